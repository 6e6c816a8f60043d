//! Days and times as people say them.
//!
//! Words become facts (a day, a clock time, a part of the day, a span), each with its place; of two
//! facts of one kind the later counts, for people repair what they said by saying it again, and what
//! stands after "not" does not count. What the facts come to is seen from a moment in the business's
//! time zone.
//!
//! Conventions: a bare weekday is the next coming one, not today; "next Tuesday" is that of the next
//! calendar week, which begins on Monday; a bare hour of 1 to 6 is after noon, 7 to 11 before it, 12
//! is noon; a date without a year that is over is next year's.

mod clock;
mod day;
mod facts;
mod month;
mod reading;
mod text;

use jiff::{
    ToSpan, Zoned,
    civil::{Date, DateTime, Time},
};

pub use facts::Facts;

/// Seen from where and when.
#[derive(Clone, Debug)]
pub struct Here {
    /// Now, in the business's time zone.
    pub now: Zoned,
    /// Where people live, ISO 3166: the order of day and month, and the numbers without a country.
    pub region: String,
}

impl Here {
    /// Seen from nowhere: for whether a day or time is named at all.
    pub fn nowhere() -> Self {
        Self { now: Zoned::default(), region: String::new() }
    }

    /// Whether 3/4 is the fourth of March.
    pub(crate) fn is_month_first(&self) -> bool {
        matches!(self.region.as_str(), "US" | "CA" | "PH" | "PR")
    }

    pub(crate) fn today(&self) -> Date {
        self.now.date()
    }
}

/// A part of the day, when no hour was named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DayPart {
    /// 9 to 12.
    Morning,
    /// 12 to 14.
    Lunch,
    /// 12 to 17.
    Afternoon,
    /// 17 to 21.
    Evening,
}

impl DayPart {
    /// Its first hour and the first after it.
    pub const fn hours(self) -> (i8, i8) {
        match self {
            Self::Morning => (9, 12),
            Self::Lunch => (12, 14),
            Self::Afternoon => (12, 17),
            Self::Evening => (17, 21),
        }
    }
}

/// The time of day a person wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeOfDay {
    /// A clock time.
    At(Time),
    /// Some time in a part of the day.
    Part(DayPart),
}

impl TimeOfDay {
    /// As a person says it.
    pub fn as_said(self) -> String {
        match self {
            Self::Part(DayPart::Morning) => "in the morning".into(),
            Self::Part(DayPart::Lunch) => "at lunchtime".into(),
            Self::Part(DayPart::Afternoon) => "in the afternoon".into(),
            Self::Part(DayPart::Evening) => "in the evening".into(),
            Self::At(t) if t.minute() == 0 => format!("at {}", t.strftime("%-I %p")),
            Self::At(t) => format!("at {}", t.strftime("%-I:%M %p")),
        }
    }
}

/// What words about time come to, on the business's own clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// A moment.
    At(DateTime),
    /// A day.
    On(Date),
    /// A half-open span.
    Within(DateTime, DateTime),
}

impl When {
    /// The (first) day of it.
    pub fn date(self) -> Date {
        match self {
            Self::At(at) | Self::Within(at, _) => at.date(),
            Self::On(date) => date,
        }
    }
}

/// The day, moment or span `text` names; `None` where it names none.
pub fn when(text: &str, here: &Here) -> Option<When> {
    reading::read(text, here, false).resolve(here)
}

/// The facts in `text`. `asked`: it answers a question for a time, so that a bare number is one.
pub fn facts(text: &str, here: &Here, asked: bool) -> Facts {
    reading::read(text, here, asked)
}

/// What a person wants who had wanted `prior` and now says `text`: the parts named anew replace the
/// old ones, the others stay.
pub fn corrected(text: &str, prior: When, here: &Here) -> When {
    reading::read(text, here, true).applied_to(prior, here)
}

/// Whether a word is of time: no name by itself.
pub(crate) fn is_time_word(word: &str) -> bool {
    const ALSO_NAMES: [&str; 5] = ["may", "april", "june", "jan", "august"];
    day::weekday(word).is_some()
        || (day::month(word).is_some() && !ALSO_NAMES.contains(&word))
        || matches!(word, "noon" | "midnight" | "tonight" | "week" | "weekend" | "month")
}

pub(crate) fn at(date: Date, hour: i8, minute: i8) -> DateTime {
    date.at(hour.clamp(0, 23), minute.clamp(0, 59), 0, 0)
}

pub(crate) fn midnight(date: Date) -> DateTime {
    date.to_datetime(Time::midnight())
}

pub(crate) fn plus_days(date: Date, days: i64) -> Date {
    date.checked_add(days.days()).unwrap_or(date)
}

pub(crate) fn part_of(date: Date, part: DayPart) -> When {
    let (from, until) = part.hours();
    When::Within(at(date, from, 0), at(date, until, 0))
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    #[test]
    fn a_time_is_said_shortly() {
        assert_eq!(TimeOfDay::At(time(14, 0, 0, 0)).as_said(), "at 2 PM");
        assert_eq!(TimeOfDay::At(time(9, 30, 0, 0)).as_said(), "at 9:30 AM");
    }
}
