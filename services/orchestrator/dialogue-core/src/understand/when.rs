use jiff::{
    ToSpan,
    civil::{Date, Time, Weekday},
};

use super::words;

/// A part of the day, when no hour was named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DayPart {
    /// 9 to 12.
    Morning,
    /// 12 to 17.
    Afternoon,
    /// 17 to 21.
    Evening,
}

/// The time of day a person wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeOfDay {
    /// A clock time.
    At(Time),
    /// Some time in a part of the day.
    Part(DayPart),
}

const WEEKDAYS: [(&str, Weekday); 14] = [
    ("monday", Weekday::Monday),
    ("mon", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("tue", Weekday::Tuesday),
    ("tues", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("wed", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("thu", Weekday::Thursday),
    ("thurs", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("fri", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const ORDINALS: [&str; 20] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
];

const HOURS: [&str; 12] = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve",
];

/// Minutes said in one word after an hour ("two thirty").
const MINUTES: [(&str, i8); 5] =
    [("ten", 10), ("fifteen", 15), ("twenty", 20), ("thirty", 30), ("forty-five", 45)];

/// The day `text` names, seen from `today`. A bare weekday is the next coming one, not today; "next
/// Tuesday" is that of the next calendar week; of several days the last counts ("Monday, no,
/// Tuesday").
pub fn day(text: &str, today: Date) -> Option<Date> {
    let words = words(text);
    (0..words.len()).rev().find_map(|at| day_at(&words, at, today))
}

fn day_at(words: &[String], at: usize, today: Date) -> Option<Date> {
    let word = words[at].as_str();
    let before = |n: usize| at.checked_sub(n).map_or("", |i| words[i].as_str());
    let after = |n: usize| words.get(at + n).map_or("", |w| w.as_str());
    match word {
        "today" | "tonight" => return Some(today),
        "tomorrow" if before(1) == "after" && before(2) == "day" => {
            return today.checked_add(2.days()).ok();
        }
        "tomorrow" => return today.checked_add(1.day()).ok(),
        _ => {}
    }
    if let Some((_, weekday)) = WEEKDAYS.iter().find(|(name, _)| *name == word) {
        if before(1) == "next" {
            let monday = today.nth_weekday(1, Weekday::Monday).ok()?;
            return monday.checked_add(i64::from(weekday.to_monday_zero_offset()).days()).ok();
        }
        return today.nth_weekday(1, *weekday).ok();
    }
    if let Ok(date) = word.parse::<Date>() {
        return Some(date);
    }
    if let Some(month) = MONTHS.iter().position(|m| *m == word) {
        let number = |w: &str| day_of_month(w).or_else(|| plain_number(w));
        let is_of = before(1) == "of";
        let day = number(after(1)).or_else(|| number(before(if is_of { 2 } else { 1 })))?;
        let month = i8::try_from(month + 1).ok()?;
        let this_year = Date::new(today.year(), month, day);
        return match this_year {
            Ok(date) if date >= today => Some(date),
            _ => Date::new(today.year() + 1, month, day).ok(),
        };
    }
    let is_month = |w: &str| MONTHS.contains(&w);
    if is_month(before(1)) || is_month(after(1)) || (after(1) == "of" && is_month(after(2))) {
        return None;
    }
    let is_digits = word.starts_with(|c: char| c.is_ascii_digit());
    if is_digits || before(1) == "the" {
        let day = day_of_month(word)?;
        let first = today.first_of_month();
        return (0..12).find_map(|months| {
            let month = first.checked_add(months.months()).ok()?;
            let date = Date::new(month.year(), month.month(), day).ok()?;
            (date >= today).then_some(date)
        });
    }
    None
}

/// "3rd", "third".
fn day_of_month(word: &str) -> Option<i8> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if !digits.is_empty() && matches!(&word[digits.len()..], "st" | "nd" | "rd" | "th") {
        return plain_number(digits);
    }
    let nth =
        |w: &str| ORDINALS.iter().position(|o| *o == w).and_then(|i| i8::try_from(i + 1).ok());
    match word.split_once('-') {
        Some(("twenty", unit)) => nth(unit).filter(|n| *n < 10).map(|n| 20 + n),
        Some(("thirty", "first")) => Some(31),
        _ if word == "thirtieth" => Some(30),
        _ => nth(word),
    }
}

fn plain_number(word: &str) -> Option<i8> {
    word.parse().ok().filter(|n| (1..=31).contains(n))
}

/// The time of day `text` names. A bare hour from 1 to 6 is in the afternoon, 7 to 11 in the
/// morning, 12 is noon; of several times the last counts.
pub fn time(text: &str) -> Option<TimeOfDay> {
    time_in(text, false)
}

/// As [`time`], for an answer to "at what time?", where a number alone is an hour.
pub fn bare_time(text: &str) -> Option<TimeOfDay> {
    time_in(text, true)
}

fn time_in(text: &str, alone: bool) -> Option<TimeOfDay> {
    let words = words(text);
    let part = day_part(&words);
    let clock = |alone| (0..words.len()).rev().find_map(|at| clock_at(&words, at, part, alone));
    let clock = clock(false).or_else(|| alone.then(|| clock(true)).flatten());
    clock.map(TimeOfDay::At).or(part.map(TimeOfDay::Part))
}

fn day_part(words: &[String]) -> Option<DayPart> {
    words.iter().rev().find_map(|w| match w.as_str() {
        "morning" | "mornings" => Some(DayPart::Morning),
        "afternoon" | "afternoons" => Some(DayPart::Afternoon),
        "evening" | "evenings" | "tonight" => Some(DayPart::Evening),
        _ => None,
    })
}

/// The clock time whose hour stands at `at`. `alone`: an hour needs no "at" before it.
fn clock_at(words: &[String], at: usize, part: Option<DayPart>, alone: bool) -> Option<Time> {
    let word = words[at].as_str();
    let before = |n: usize| at.checked_sub(n).map_or("", |i| words[i].as_str());
    let after = |n: usize| words.get(at + n).map_or("", |w| w.as_str());
    if matches!(word, "noon" | "midday") {
        return Time::new(12, 0, 0, 0).ok();
    }
    let (figures, suffix) = ["am", "pm"]
        .iter()
        .find_map(|s| word.strip_suffix(s).map(|f| (f, *s)))
        .filter(|(figures, _)| figures.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or((word, ""));
    let has_colon = figures.contains([':', '.']);
    let (hour, mut minute) = match figures.split_once([':', '.']) {
        Some((h, m)) if m.len() == 2 => (h.parse::<i8>().ok()?, m.parse::<i8>().ok()?),
        Some(_) => return None,
        None => (hour_of(figures)?, 0),
    };
    let mut next = 1;
    if !has_colon && let Some((_, m)) = MINUTES.iter().find(|(name, _)| *name == after(1)) {
        minute = *m;
        next = 2;
    }
    let suffix = match after(next) {
        "am" | "pm" if suffix.is_empty() => after(next),
        _ => suffix,
    };
    let is_oclock = after(next) == "oclock";
    let (shift, relative) = match (before(2), before(1)) {
        ("half", "past") => (30, true),
        ("quarter", "past") => (15, true),
        ("quarter", "to") => (-15, true),
        _ => (0, false),
    };
    let is_introduced = matches!(before(1), "at" | "around" | "about" | "by" | "past" | "after");
    let is_in_part = after(next) == "in" && after(next + 1) == "the";
    let is_said_as_time = has_colon || !suffix.is_empty() || is_oclock || relative || is_in_part;
    let is_time = is_said_as_time || is_introduced || alone;
    if !is_time || !(0..24).contains(&hour) || !(0..60).contains(&minute) {
        return None;
    }
    let hour = match (suffix, part, hour) {
        ("am", _, 12) => 0,
        ("pm", _, 1..=11) | ("", Some(DayPart::Afternoon | DayPart::Evening), 1..=11) => hour + 12,
        ("am" | "pm", ..) | (_, Some(_), _) => hour,
        // A clock face with a leading figure of its own ("14:00", "09:30") says what it means.
        _ if has_colon && figures.starts_with('0') => hour,
        (_, _, 1..=6) => hour + 12,
        _ => hour,
    };
    let minutes = i32::from(hour) * 60 + i32::from(minute) + shift;
    let (h, m) = (minutes.div_euclid(60), minutes.rem_euclid(60));
    Time::new(i8::try_from(h).ok()?, i8::try_from(m).ok()?, 0, 0).ok()
}

fn hour_of(word: &str) -> Option<i8> {
    let named = HOURS.iter().position(|h| *h == word).and_then(|i| i8::try_from(i + 1).ok());
    named.or_else(|| (word.len() <= 2).then(|| word.parse().ok()).flatten())
}

/// A time of day as a person says it.
pub fn time_as_said(time: TimeOfDay) -> String {
    match time {
        TimeOfDay::Part(DayPart::Morning) => "in the morning".into(),
        TimeOfDay::Part(DayPart::Afternoon) => "in the afternoon".into(),
        TimeOfDay::Part(DayPart::Evening) => "in the evening".into(),
        TimeOfDay::At(t) if t.minute() == 0 => format!("at {}", t.strftime("%-I %p")),
        TimeOfDay::At(t) => format!("at {}", t.strftime("%-I:%M %p")),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time as clock};

    use super::*;

    #[test]
    fn a_day_is_understood_as_people_say_it() {
        // A Friday.
        let today = date(2026, 11, 20);
        let cases = [
            ("today", Some(date(2026, 11, 20))),
            ("tomorrow at 2", Some(date(2026, 11, 21))),
            ("the day after tomorrow", Some(date(2026, 11, 22))),
            ("Friday", Some(date(2026, 11, 27))),
            ("on Monday", Some(date(2026, 11, 23))),
            ("next Tuesday", Some(date(2026, 11, 24))),
            ("next Friday", Some(date(2026, 11, 27))),
            ("Monday, no, Tuesday", Some(date(2026, 11, 24))),
            ("the 3rd", Some(date(2026, 12, 3))),
            ("the thirty-first", Some(date(2026, 12, 31))),
            ("March 10th", Some(date(2027, 3, 10))),
            ("on the 10th of December", Some(date(2026, 12, 10))),
            ("2026-12-24", Some(date(2026, 12, 24))),
            ("February 30", None),
            ("one second please", None),
            ("at 2 pm", None),
        ];
        for (text, expected) in cases {
            assert_eq!(day(text, today), expected, "{text}");
        }
    }

    #[test]
    fn a_time_is_understood_as_people_say_it() {
        let at = |h, m| Some(TimeOfDay::At(clock(h, m, 0, 0)));
        let cases = [
            ("at 2", at(14, 0)),
            ("tomorrow 2 PM", at(14, 0)),
            ("2:30 p.m.", at(14, 30)),
            ("at nine", at(9, 0)),
            ("nine thirty am", at(9, 30)),
            ("half past three", at(15, 30)),
            ("quarter to ten", at(9, 45)),
            ("14:15", at(14, 15)),
            ("12 pm", at(12, 0)),
            ("12 am", at(0, 0)),
            ("noon", at(12, 0)),
            ("seven in the evening", at(19, 0)),
            ("at 3, no, at 4", at(16, 0)),
            ("in the afternoon", Some(TimeOfDay::Part(DayPart::Afternoon))),
            ("at 25:00", None),
            ("March 10", None),
            ("two people", None),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!(bare_time("three"), at(15, 0));
    }

    #[test]
    fn a_time_is_said_shortly() {
        assert_eq!(time_as_said(TimeOfDay::At(clock(14, 0, 0, 0))), "at 2 PM");
        assert_eq!(time_as_said(TimeOfDay::At(clock(9, 30, 0, 0))), "at 9:30 AM");
    }
}
