//! Days: "tomorrow", "the 3rd", "a week from Friday", "end of the month", "3/4".

use jiff::{
    ToSpan,
    civil::{Date, Weekday},
};

use super::{
    Here,
    month::{coming, edge_of_span, figures, nth_weekday, of_a_month},
    plus_days,
};
use crate::understand::lexis::{cardinal, ordinal};

/// A day as it was said. Some depend on what stands beside them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Day {
    /// That day.
    On(Date),
    /// A bare weekday, or "this Friday".
    Weekday(Weekday, Which),
    /// A day of a month that was not named.
    OfMonth(i8),
    /// From the first to the second, which is not in it.
    Span(Date, Date),
}

/// Which of the weekdays of its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// The next coming one, not today.
    Coming,
    /// Of this calendar week, or today.
    This,
    /// Of the next calendar week.
    Next,
    /// This many weeks after the coming one.
    After(i64),
}

pub(super) fn weekday(word: &str) -> Option<Weekday> {
    let word = word.strip_suffix('s').filter(|w| w.ends_with("day")).unwrap_or(word);
    Some(match word {
        "monday" | "mon" => Weekday::Monday,
        "tuesday" | "tue" | "tues" => Weekday::Tuesday,
        "wednesday" | "wed" | "weds" | "wensday" => Weekday::Wednesday,
        "thursday" | "thu" | "thur" | "thurs" => Weekday::Thursday,
        "friday" | "fri" => Weekday::Friday,
        "saturday" | "sat" => Weekday::Saturday,
        "sunday" | "sun" => Weekday::Sunday,
        _ => return None,
    })
}

pub(super) fn month(word: &str) -> Option<i8> {
    Some(match word {
        "january" | "jan" => 1,
        "february" | "feb" => 2,
        "march" | "mar" => 3,
        "april" | "apr" => 4,
        "may" => 5,
        "june" | "jun" => 6,
        "july" | "jul" => 7,
        "august" | "aug" => 8,
        "september" | "sept" | "sep" => 9,
        "october" | "oct" => 10,
        "november" | "nov" => 11,
        "december" | "dec" => 12,
        _ => return None,
    })
}

/// The day that `day` is, seen from `here`; a span's first.
pub(super) fn date_of(day: Day, here: &Here) -> Option<Date> {
    let today = here.today();
    match day {
        Day::On(date) | Day::Span(date, _) => Some(date),
        Day::Weekday(weekday, Which::This) => Some(of_week(monday(today), weekday))
            .filter(|d| *d >= today)
            .or_else(|| today.nth_weekday(1, weekday).ok()),
        Day::Weekday(weekday, Which::Coming) => today.nth_weekday(1, weekday).ok(),
        Day::Weekday(weekday, Which::Next) => Some(of_week(plus_days(monday(today), 7), weekday)),
        Day::Weekday(weekday, Which::After(weeks)) => {
            Some(plus_days(today.nth_weekday(1, weekday).ok()?, 7 * weeks))
        }
        Day::OfMonth(day) => coming_day_of_month(day, today),
    }
}

pub(super) fn monday(date: Date) -> Date {
    plus_days(date, -i64::from(date.weekday().to_monday_zero_offset()))
}

pub(super) fn of_week(monday: Date, weekday: Weekday) -> Date {
    plus_days(monday, i64::from(weekday.to_monday_zero_offset()))
}

fn coming_day_of_month(day: i8, today: Date) -> Option<Date> {
    let first = today.first_of_month();
    (0..12).find_map(|months| {
        let month = first.checked_add(months.months()).ok()?;
        Date::new(month.year(), month.month(), day).ok().filter(|date| *date >= today)
    })
}

/// The day that begins at `words[at]`, and how many words it takes.
pub(super) fn day_at(words: &[String], at: usize, here: &Here) -> Option<(Day, usize)> {
    relative(words, at, here)
        .or_else(|| edge_of_span(words, at, here))
        .or_else(|| nth_weekday(words, at, here))
        .or_else(|| of_a_month(words, at, here))
        .or_else(|| figures(words.get(at)?, here).map(|date| (Day::On(date), 1)))
        .or_else(|| weekday_at(words, at))
        .or_else(|| span(words, at, here))
        .or_else(|| holiday(words, at, here))
        .or_else(|| day_of_month(words, at))
}

pub(super) fn word(words: &[String], at: usize) -> &str {
    words.get(at).map_or("", String::as_str)
}

pub(super) fn is_at(words: &[String], at: usize, phrase: &str) -> Option<usize> {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    let stands = phrase.iter().enumerate().all(|(n, p)| word(words, at + n) == *p);
    stands.then_some(phrase.len())
}

/// Days counted from today or from another day.
fn relative(words: &[String], at: usize, here: &Here) -> Option<(Day, usize)> {
    let today = here.today();
    let on = |days, taken| Some((Day::On(plus_days(today, days)), taken));
    for phrase in ["the day after tomorrow", "day after tomorrow", "the day after tmrw"] {
        if let Some(taken) = is_at(words, at, phrase) {
            return on(2, taken);
        }
    }
    match (word(words, at), word(words, at + 1)) {
        ("today" | "tomorrow" | "tmrw" | "tmr" | "tomorow", "week") => {
            let days = if word(words, at) == "today" { 7 } else { 8 };
            return on(days, 2);
        }
        ("today", _) => return on(0, 1),
        ("tonight", _) => return None,
        ("tomorrow" | "tmrw" | "tmr" | "tomorow", _) => return on(1, 1),
        ("fortnight", _) if word(words, at.wrapping_sub(1)) != "a" => {}
        _ => {}
    }
    let begins = usize::from(matches!(word(words, at), "in" | "within"));
    let (days, months, taken) = duration(words, at + begins)?;
    let after = at + begins + taken;
    let count = |date: Date| {
        let date = date.checked_add(months.months()).unwrap_or(date);
        plus_days(date, days)
    };
    if matches!(word(words, after), "from" | "after" | "on") {
        if let Some(more) = is_at(words, after, "from now") {
            return Some((Day::On(count(today)), begins + taken + more));
        }
        let skip = after + 1 + usize::from(word(words, after + 1) == "this");
        if let Some((base, more)) = day_at(words, skip, here) {
            let date = count(date_of(base, here)?);
            return Some((Day::On(date), skip - at + more));
        }
    }
    if let Some((base, more)) =
        day_at(words, after, here).filter(|(d, _)| matches!(d, Day::On(_) | Day::Weekday(..)))
        && days % 7 == 0
        && months == 0
        && begins == 0
    {
        return Some((Day::On(count(date_of(base, here)?)), taken + more));
    }
    let is_said = begins == 1
        || ["time", "hence"].contains(&word(words, after)) && !word(words, after).is_empty();
    is_said.then(|| {
        let more = usize::from(matches!(word(words, after), "time" | "hence"));
        (Day::On(count(today)), begins + taken + more)
    })
}

/// "a week", "two weeks", "3 days", "a fortnight", "a month", as days and months.
fn duration(words: &[String], at: usize) -> Option<(i64, i64, usize)> {
    let (count, mut taken) = match word(words, at) {
        "a" | "an" | "one" => (1, 1),
        "fortnight" => (1, 0),
        _ => {
            let (n, taken) = cardinal(words.get(at..)?)?;
            (i64::from(n), taken)
        }
    };
    let (count, more) = match (word(words, at + taken), word(words, at + taken + 1)) {
        ("couple", "of") => (2, 2),
        ("couple", _) => (2, 1),
        ("few", _) => return None,
        _ => (count, 0),
    };
    taken += more;
    let (days, months) = match word(words, at + taken) {
        "day" | "days" => (count, 0),
        "week" | "weeks" => (7 * count, 0),
        "fortnight" | "fortnights" => (14 * count, 0),
        "month" | "months" => (0, count),
        "year" | "years" => (0, 12 * count),
        _ => return None,
    };
    Some((days, months, taken + 1))
}

fn weekday_at(words: &[String], at: usize) -> Option<(Day, usize)> {
    let (which, skip) = match (word(words, at), word(words, at + 1)) {
        ("next", _) => (Which::Next, 1),
        ("this", "coming") => (Which::Coming, 2),
        ("this", _) => (Which::This, 1),
        ("coming" | "following", _) => (Which::Coming, 1),
        ("last", _) => return None,
        _ => (Which::Coming, 0),
    };
    let day = weekday(word(words, at + skip))?;
    if skip == 0
        && matches!(word(words, at), "sat" | "sun" | "mon" | "wed" | "fri")
        && matches!(word(words, at.wrapping_sub(1)), "i" | "we" | "the")
    {
        return None;
    }
    if skip == 0 && word(words, at + 1) == "week" {
        return Some((Day::Weekday(day, Which::After(1)), 2));
    }
    if skip == 0 && word(words, at + 1) == "fortnight" {
        return Some((Day::Weekday(day, Which::After(2)), 2));
    }
    for (phrase, which) in [
        ("after next", Which::After(1)),
        ("of next week", Which::Next),
        ("next week", Which::Next),
        ("in next week", Which::Next),
        ("of this week", Which::This),
        ("this week", Which::This),
    ] {
        if let Some(more) = is_at(words, at + skip + 1, phrase) {
            return Some((Day::Weekday(day, which), skip + 1 + more));
        }
    }
    Some((Day::Weekday(day, which), skip + 1))
}

/// Weeks, weekends and months.
fn span(words: &[String], at: usize, here: &Here) -> Option<(Day, usize)> {
    let today = here.today();
    let this_monday = monday(today);
    let week = |monday: Date| Day::Span(monday, plus_days(monday, 7));
    let saturday = |monday: Date| Day::Span(plus_days(monday, 5), plus_days(monday, 7));
    let table = [
        ("the week after next", week(plus_days(this_monday, 14))),
        ("week after next", week(plus_days(this_monday, 14))),
        ("the following week", week(plus_days(this_monday, 7))),
        ("next week", week(plus_days(this_monday, 7))),
        ("this week", Day::Span(today, plus_days(this_monday, 7))),
        ("next weekend", saturday(plus_days(this_monday, 7))),
        ("this weekend", saturday(this_monday)),
        ("the weekend", saturday(this_monday)),
        ("weekend", saturday(this_monday)),
    ];
    if let Some((taken, day)) =
        table.iter().find_map(|(phrase, day)| Some((is_at(words, at, phrase)?, *day)))
    {
        return Some((day, taken));
    }
    let of_month = |first: Date| first.checked_add(1.month()).ok().map(|end| Day::Span(first, end));
    let first = today.first_of_month();
    if let Some(taken) = is_at(words, at, "next month") {
        return Some((of_month(first.checked_add(1.month()).ok()?)?, taken));
    }
    if let Some(taken) = is_at(words, at, "this month") {
        return Some((Day::Span(today, first.checked_add(1.month()).ok()?), taken));
    }
    if matches!(word(words, at), "in" | "during") {
        let month = month(word(words, at + 1))?;
        if cardinal(words.get(at + 2..)?).is_some() {
            return None;
        }
        let year = if month < today.month() { today.year() + 1 } else { today.year() };
        return Some((of_month(Date::new(year, month, 1).ok()?)?, 2));
    }
    None
}

fn holiday(words: &[String], at: usize, here: &Here) -> Option<(Day, usize)> {
    let table = [
        ("christmas eve", 12, 24),
        ("christmas day", 12, 25),
        ("boxing day", 12, 26),
        ("new year eve", 12, 31),
        ("new years eve", 12, 31),
        ("new year day", 1, 1),
        ("new years day", 1, 1),
        ("valentine day", 2, 14),
        ("valentines day", 2, 14),
        ("halloween", 10, 31),
    ];
    let (taken, month, day) =
        table.iter().find_map(|(phrase, m, d)| Some((is_at(words, at, phrase)?, *m, *d)))?;
    Some((Day::On(coming(month, day, here.today())?), taken))
}

/// "the 3rd", "the twenty first". A number without an ending is none.
fn day_of_month(words: &[String], at: usize) -> Option<(Day, usize)> {
    let skip = usize::from(word(words, at) == "the");
    let rest = words.get(at + skip..)?;
    let (n, taken) = ordinal(rest).filter(|(n, _)| (1..=31).contains(n))?;
    let is_figures = rest.first()?.starts_with(|c: char| c.is_ascii_digit());
    let next = rest.get(taken).map_or("", String::as_str);
    // "the first one", "the second time": counting, no day; a bare word needs its article.
    let counts = ["one", "time", "thing", "available", "appointment", "slot", "floor", "option"];
    let is_day =
        !counts.contains(&next) && (skip == 1 || is_figures || is_after_weekday(words, at));
    is_day.then_some((Day::OfMonth(i8::try_from(n).ok()?), skip + taken))
}

fn is_after_weekday(words: &[String], at: usize) -> bool {
    at > 0 && weekday(word(words, at - 1)).is_some()
}
