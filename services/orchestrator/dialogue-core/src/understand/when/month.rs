//! Days by their month: "the 10th of March", "3/4", "end of the month", "the last Friday of May".

use jiff::{ToSpan, civil::Date};

use super::{
    Here,
    day::{Day, is_at, monday, month, weekday, word},
    plus_days,
};
use crate::understand::lexis::{cardinal, ordinal};

/// A date without a year that is over is next year's.
pub(super) fn coming(month: i8, day: i8, today: Date) -> Option<Date> {
    (0..=8)
        .filter_map(|years| Date::new(today.year() + years, month, day).ok())
        .find(|date| *date >= today)
}

/// "end of the month", "the start of next month", "the last day of March", "end of next week".
pub(super) fn edge_of_span(words: &[String], at: usize, here: &Here) -> Option<(Day, usize)> {
    let skip = usize::from(matches!(word(words, at), "the" | "very"));
    let mut next = at + skip;
    if word(words, next) == "very" {
        next += 1;
    }
    let edge = match (word(words, next), word(words, next + 1)) {
        ("end" | "ends", _) => 1,
        ("month", "end") => {
            return Some((Day::On(here.today().last_of_month()), next + 2 - at));
        }
        ("last", "day") => {
            next += 1;
            1
        }
        ("start" | "beginning", _) => -1,
        ("first", "day") => {
            next += 1;
            -1
        }
        ("middle", _) => 0,
        _ => return None,
    };
    next += 1;
    if word(words, next) == "of" {
        next += 1;
    }
    let which = match word(words, next) {
        "the" | "this" => {
            next += 1;
            0
        }
        "next" => {
            next += 1;
            1
        }
        _ => 0,
    };
    let today = here.today();
    let date = match word(words, next) {
        "month" => {
            let first = today.first_of_month().checked_add((which).months()).ok()?;
            let first =
                if edge < 0 && which == 0 { first.checked_add(1.month()).ok()? } else { first };
            match edge {
                1 => first.last_of_month(),
                0 => plus_days(first, 14),
                _ => first,
            }
        }
        "week" => {
            let monday = plus_days(monday(today), 7 * i64::from(which));
            match edge {
                1 => plus_days(monday, 4),
                0 => plus_days(monday, 2),
                _ => monday,
            }
        }
        "year" if edge == 1 => Date::new(today.year() + i16::from(which as i8), 12, 31).ok()?,
        name => {
            let month = month(name)?;
            let year = if month < today.month() { today.year() + 1 } else { today.year() };
            let first = Date::new(year + i16::from(which as i8), month, 1).ok()?;
            match edge {
                1 => first.last_of_month(),
                0 => plus_days(first, 14),
                _ if first < today => Date::new(year + 1, month, 1).ok()?,
                _ => first,
            }
        }
    };
    Some((Day::On(date), next + 1 - at))
}

/// "the first Monday of April", "the last Friday of the month", "second Tuesday in June".
pub(super) fn nth_weekday(words: &[String], at: usize, here: &Here) -> Option<(Day, usize)> {
    let mut next = at + usize::from(word(words, at) == "the");
    let nth = match word(words, next) {
        "last" => -1,
        _ => {
            let (n, _) = ordinal(words.get(next..)?).filter(|(n, t)| *n <= 5 && *t == 1)?;
            i8::try_from(n).ok()?
        }
    };
    let weekday = weekday(word(words, next + 1))?;
    next += 2;
    if !matches!(word(words, next), "of" | "in") {
        return None;
    }
    next += 1;
    let today = here.today();
    let shift = match word(words, next) {
        "the" | "this" => 0,
        "next" => 1,
        _ => {
            let month = month(word(words, next))?;
            let of = |year| Date::new(year, month, 1).ok()?.nth_weekday_of_month(nth, weekday).ok();
            let date = of(today.year()).filter(|d| *d >= today).or_else(|| of(today.year() + 1))?;
            return Some((Day::On(date), next + 1 - at));
        }
    };
    if word(words, next + 1) != "month" {
        return None;
    }
    let of = |months: i64| {
        let first = today.first_of_month().checked_add(months.months()).ok()?;
        first.nth_weekday_of_month(nth, weekday).ok()
    };
    let date = of(shift).filter(|d| *d >= today).or_else(|| of(shift + 1))?;
    Some((Day::On(date), next + 2 - at))
}

/// "March 10th", "the 10th of March", "10 March 2027".
pub(super) fn of_a_month(words: &[String], at: usize, here: &Here) -> Option<(Day, usize)> {
    let number = |at: usize| {
        let rest = words.get(at..)?;
        ordinal(rest).or_else(|| cardinal(rest)).filter(|(n, _)| (1..=31).contains(n))
    };
    let (month, day, taken) = if let Some(month) = month(word(words, at)) {
        let skip = usize::from(word(words, at + 1) == "the");
        let (day, more) = number(at + 1 + skip)?;
        let is_a_clock = word(words, at + 1 + skip + more) == "oclock";
        if is_a_clock {
            return None;
        }
        (month, day, 1 + skip + more)
    } else {
        let skip = usize::from(word(words, at) == "the");
        let (day, more) = number(at + skip)?;
        let mut next = at + skip + more;
        if word(words, next) == "day" {
            next += 1;
        }
        if word(words, next) == "of" {
            next += 1;
        }
        if matches!(word(words, next), "this" | "next") && word(words, next + 1) == "month" {
            let shift = i64::from(word(words, next) == "next");
            let first = here.today().first_of_month().checked_add(shift.months()).ok()?;
            let day = i8::try_from(day).ok()?;
            let date = Date::new(first.year(), first.month(), day).ok()?;
            return Some((Day::On(date), next + 2 - at));
        }
        (month(word(words, next))?, day, next + 1 - at)
    };
    let day = i8::try_from(day).ok()?;
    if let Some((year, more)) = year(words, at + taken) {
        let date = Date::new(year, month, day).ok()?;
        return Some((Day::On(date), taken + more));
    }
    if let Some(more) = is_at(words, at + taken, "next year") {
        let date = Date::new(here.today().year() + 1, month, day).ok()?;
        return Some((Day::On(date), taken + more));
    }
    Some((Day::On(coming(month, day, here.today())?), taken))
}

/// "2027", "twenty twenty seven", "two thousand and twenty seven".
fn year(words: &[String], at: usize) -> Option<(i16, usize)> {
    let first = word(words, at);
    if first.len() == 4
        && let Ok(year) = first.parse::<i16>()
    {
        return (2000..2100).contains(&year).then_some((year, 1));
    }
    let (skip, base) = match (first, word(words, at + 1)) {
        ("two", "thousand") => (2 + usize::from(word(words, at + 2) == "and"), 2000),
        ("twenty", _) => (1, 2000),
        _ => return None,
    };
    let (n, more) = cardinal(words.get(at + skip..)?).filter(|(n, _)| (20..100).contains(n))?;
    Some((base + i16::try_from(n).ok()?, skip + more))
}

/// "2026-03-10", "3/4", "3/4/2026".
pub(super) fn figures(word: &str, here: &Here) -> Option<Date> {
    if let Ok(date) = word.parse::<Date>() {
        return Some(date);
    }
    let parts: Vec<i16> = word.split(['/', '.']).map(|p| p.parse().ok()).collect::<Option<_>>()?;
    let is_dotted = word.contains('.');
    let short = |n: i16| i8::try_from(n).ok();
    match *parts.as_slice() {
        [year, month, day] if year > 1000 => Date::new(year, short(month)?, short(day)?).ok(),
        [a, b, year] => {
            let (day, month) = day_and_month(a, b, here.is_month_first() && !is_dotted)?;
            let year = if year < 100 { 2000 + year } else { year };
            Date::new(year, month, day).ok()
        }
        [a, b] if !is_dotted => {
            let (day, month) = day_and_month(a, b, here.is_month_first())?;
            coming(month, day, here.today())
        }
        _ => None,
    }
}

fn day_and_month(a: i16, b: i16, month_first: bool) -> Option<(i8, i8)> {
    let (mut day, mut month) = if month_first { (b, a) } else { (a, b) };
    if month > 12 {
        (day, month) = (month, day);
    }
    Some((i8::try_from(day).ok()?, i8::try_from(month).ok()?))
}
