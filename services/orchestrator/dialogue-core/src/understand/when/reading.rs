//! From words to facts: which words are a day, a time, a part of the day, and which take back another.

use jiff::{SignedDuration, civil::Time};

use super::{
    DayPart, Here,
    clock::{Clock, Meridiem, clock_at},
    day::{Day, Which, date_of, day_at, monday, of_week},
    facts::{Facts, Shift},
    plus_days, text,
};
use crate::understand::lexis;

/// Words after which what was said before is mended.
const REPAIRS: [&str; 16] = [
    "no",
    "wait",
    "actually",
    "sorry",
    "rather",
    "scratch",
    "instead",
    "mean",
    "meant",
    "oops",
    "correction",
    "nope",
    "better",
    "hang",
    "hold",
    "make",
];

/// Words that introduce a time.
const INTRODUCES: [&str; 13] = [
    "at", "by", "from", "till", "until", "before", "after", "past", "between", "it", "say", "than",
    "since",
];

/// Words before what is not meant.
const NEGATES: [&str; 4] = ["not", "isn't", "except", "than"];

/// The facts in `text`; `asked`: a bare number is a time.
pub(super) fn read(text: &str, here: &Here, asked: bool) -> Facts {
    let words = text::words(text);
    let mut reading = Reading { words: &words, here, asked, facts: Facts::default(), repair: 0 };
    reading.read();
    reading.facts
}

struct Reading<'a> {
    words: &'a [String],
    here: &'a Here,
    asked: bool,
    facts: Facts,
    /// Where what was said last began to be mended.
    repair: usize,
}

impl<'a> Reading<'a> {
    fn word(&self, at: usize) -> &'a str {
        self.words.get(at).map_or("", String::as_str)
    }

    fn before(&self, at: usize, n: usize) -> &'a str {
        at.checked_sub(n).map_or("", |i| self.words[i].as_str())
    }

    fn read(&mut self) {
        let mut at = 0;
        let mut part_at = 0;
        while at < self.words.len() {
            if REPAIRS.contains(&self.word(at)) {
                self.repair = at;
            }
            let part = self.facts.part;
            let taken = self.take(at).unwrap_or(0);
            if self.facts.part != part {
                part_at = at;
            }
            // "Monday morning, no, Tuesday at three": the morning went with the Monday.
            let has_new_clock = taken > 0 && self.facts.clock.is_some() && self.repair > part_at;
            if has_new_clock && self.facts.part.is_some() && self.clock_is_at(at) {
                self.facts.part = None;
            }
            at += taken.max(1);
        }
    }

    fn clock_is_at(&self, at: usize) -> bool {
        clock_at(self.words, at).is_some()
    }

    /// Takes in what begins at `at`; how many words it was.
    fn take(&mut self, at: usize) -> Option<usize> {
        let is_negated = NEGATES.contains(&self.before(at, 1))
            || (NEGATES.contains(&self.before(at, 2)) && matches!(self.before(at, 1), "on" | "at"))
            || (self.before(at, 2) == "instead" && self.before(at, 1) == "of")
            || (self.before(at, 1) == "do" && self.before(at, 2) == "can't")
            || self.before(at, 1) == "can't";
        // What is over is not wanted; "last" hides the weekday after it.
        if matches!(self.word(at), "last" | "past")
            && super::day::weekday(self.word(at + 1)).is_some()
            && !matches!(self.word(at + 2), "of" | "in")
        {
            return Some(2);
        }
        let before = self.facts.clone();
        let taken = self
            .take_shift(at)
            .or_else(|| self.take_duration(at))
            .or_else(|| self.take_day(at))
            .or_else(|| self.take_part(at))
            .or_else(|| self.take_range(at))
            .or_else(|| self.take_clock(at))
            .or_else(|| self.take_meridiem(at))?;
        if is_negated {
            self.facts = before;
        }
        Some(taken)
    }

    fn take_day(&mut self, at: usize) -> Option<usize> {
        let (day, taken) = day_at(self.words, at, self.here)?;
        // "Monday to Wednesday": the days between.
        if matches!(self.before(at, 1), "to" | "and" | "through" | "till" | "until")
            && let Some(first) = self.facts.day.filter(|_| self.is_between(at))
            && let (Some(from), Some(until)) = (date_of(first, self.here), date_of(day, self.here))
            && from < until
        {
            self.facts.day = Some(Day::Span(from, plus_days(until, 1)));
            return Some(taken);
        }
        match (self.facts.day, day) {
            (Some(Day::Weekday(weekday, _)), Day::OfMonth(_) | Day::On(_))
                if self.repair <= at.saturating_sub(2) || self.repair == 0 =>
            {
                self.facts.weekday = Some(weekday);
                self.facts.day = Some(day);
            }
            // "next week on Tuesday"
            (Some(Day::Span(from, until)), Day::Weekday(weekday, Which::Coming)) => {
                let date = of_week(monday(from), weekday);
                let is_in = from <= date && date < until;
                self.facts.day = Some(if is_in { Day::On(date) } else { day });
            }
            (Some(Day::Weekday(weekday, _)), Day::Span(from, until))
                if until == plus_days(monday(from), 7) =>
            {
                self.facts.day = Some(Day::On(of_week(monday(from), weekday)));
            }
            _ => {
                self.facts.weekday = None;
                self.facts.day = Some(day);
            }
        }
        self.facts.in_time = None;
        if !matches!(day, Day::Span(..)) {
            self.facts.tonight = false;
        }
        Some(taken)
    }

    /// "between", or "from", stands before the first of two.
    fn is_between(&self, at: usize) -> bool {
        let begins = at.saturating_sub(6);
        self.words[begins..at].iter().any(|w| matches!(w.as_str(), "between" | "from"))
    }

    fn take_part(&mut self, at: usize) -> Option<usize> {
        let today = self.here.today();
        let (part, taken) = match (self.word(at), self.word(at + 1)) {
            ("tonight", _) => {
                self.facts.day = Some(Day::On(today));
                self.facts.tonight = true;
                (DayPart::Evening, 1)
            }
            ("this", "morning" | "afternoon" | "evening") => {
                self.facts.day = Some(Day::On(today));
                (part_named(self.word(at + 1))?, 2)
            }
            ("first", "thing") => (DayPart::Morning, 2),
            ("after", "lunch" | "lunchtime") => (DayPart::Afternoon, 2),
            ("before", "lunch" | "lunchtime") => (DayPart::Morning, 2),
            ("after", "work" | "school" | "hours") => (DayPart::Evening, 2),
            ("end", "of") if self.word(at + 2) == "day" => (DayPart::Afternoon, 3),
            ("last", "thing") => (DayPart::Afternoon, 2),
            ("good", "morning" | "afternoon" | "evening") => return Some(2),
            (word, _) => (part_named(word)?, 1),
        };
        self.facts.part = Some(part);
        if self.repair > 0 && self.facts.clock.is_some_and(|c| c.meridiem.is_some()) {
            self.facts.clock = None;
        }
        Some(taken)
    }

    fn take_range(&mut self, at: usize) -> Option<usize> {
        let begins = matches!(self.word(at), "between" | "from");
        let first = at + usize::from(begins);
        let (from, more) = match begins {
            // "from ten to four" is no quarter of an hour.
            true => plain_clock(self.words, first)?,
            false => clock_at(self.words, first)?,
        };
        let joint = first + more;
        if !matches!(self.word(joint), "to" | "till" | "until" | "and" | "through" | "til") {
            return None;
        }
        if self.word(joint) == "and" && self.word(at) != "between" {
            return None;
        }
        let (until, rest) = clock_at(self.words, joint + 1)?;
        let taken = joint + 1 + rest - at;
        let is_time = begins
            || from.is_explicit
            || until.is_explicit
            || self.is_introduced(at)
            || self.is_beside_day(at, taken)
            || self.is_all(at, taken);
        if !is_time {
            return None;
        }
        self.set_clock(from);
        self.facts.until = Some(until);
        Some(taken)
    }

    fn take_clock(&mut self, at: usize) -> Option<usize> {
        let (clock, taken) = clock_at(self.words, at)?;
        let end = at + taken;
        let is_counting = self.word(at) == "one"
            && matches!(
                self.before(at, 1),
                "the"
                    | "that"
                    | "this"
                    | "first"
                    | "last"
                    | "later"
                    | "another"
                    | "which"
                    | "earlier"
            );
        let counts = matches!(
            self.word(end),
            "people"
                | "of"
                | "persons"
                | "kids"
                | "days"
                | "weeks"
                | "hours"
                | "hour"
                | "minutes"
                | "times"
                | "more"
                | "years"
                | "year"
                | "months"
                | "children"
                | "second"
                | "guests"
                | "minute"
                | "appointments"
                | "percent"
                | "dollars"
                | "euros"
                | "pounds"
                | "moment"
        );
        let is_time = clock.is_explicit
            || self.is_introduced(at)
            || (self.asked && (1..=12).contains(&clock.hour))
            || self.is_beside_day(at, taken)
            || (clock.is_certain && clock.minute == 0 && clock.hour % 12 == 0)
            || self.is_all(at, taken);
        let is_other = matches!(self.before(at, 1), "number" | "room" | "for" | "line" | "suite")
            && clock.meridiem.is_none()
            && !(clock.is_explicit && self.before(at, 1) == "for");
        let is_counted = (is_counting || counts || is_other) && clock.meridiem.is_none();
        if !is_time || is_counted {
            return None;
        }
        self.set_clock(clock);
        let (before, more) = (self.before(at, 1), self.word(end));
        self.facts.is_from_only = before == "after"
            || matches!(more, "onwards" | "onward")
            || (before == "from" && more == "on")
            || (more == "or" && self.word(end + 1) == "later")
            || (before == "than" && self.before(at, 2) == "earlier");
        self.facts.is_until_only = matches!(before, "before" | "until" | "till")
            || (more == "or" && self.word(end + 1) == "earlier")
            || (before == "than" && self.before(at, 2) == "later");
        Some(taken)
    }

    fn set_clock(&mut self, clock: Clock) {
        self.facts.clock = Some(clock);
        self.facts.until = None;
        self.facts.in_time = None;
        (self.facts.is_from_only, self.facts.is_until_only) = (false, false);
    }

    fn is_introduced(&self, at: usize) -> bool {
        INTRODUCES.contains(&self.before(at, 1))
            || (self.before(at, 1) == "to"
                && self.facts.day.is_none()
                && !self.before(at, 2).is_empty())
    }

    /// "tomorrow two", "two on Friday", "two tomorrow".
    fn is_beside_day(&self, at: usize, taken: usize) -> bool {
        let end = at + taken;
        let after = end + usize::from(matches!(self.word(end), "on" | "this"));
        let follows = day_at(self.words, after, self.here).is_some()
            || matches!(self.word(end), "tonight")
            || part_named(self.word(after)).is_some();
        let named = self.facts.day.is_some() || self.facts.part.is_some();
        let is_last = self.words[..at].iter().rev().take(1).any(|w| {
            super::day::weekday(w).is_some()
                || super::day::month(w).is_some()
                || part_named(w).is_some()
                || matches!(w.as_str(), "tomorrow" | "today" | "tonight" | "week")
                || lexis::ordinal(std::slice::from_ref(w)).is_some()
        });
        follows || (named && is_last)
    }

    /// Nothing else is said.
    fn is_all(&self, at: usize, taken: usize) -> bool {
        const SAYS_NOTHING: [&str; 24] = [
            "no", "yes", "yeah", "ok", "okay", "sorry", "wait", "actually", "make", "it", "let's",
            "i'd", "is", "good", "fine", "works", "for", "me", "thanks", "that", "say", "oh", "or",
            "sure",
        ];
        let others = self.words.iter().enumerate().filter(|(i, _)| *i < at || *i >= at + taken);
        others.map(|(_, w)| w.as_str()).all(|w| SAYS_NOTHING.contains(&w))
    }

    /// "in an hour", "in twenty minutes", "in half an hour".
    fn take_duration(&mut self, at: usize) -> Option<usize> {
        let begins = usize::from(matches!(self.word(at), "in" | "within"));
        let (minutes, taken) = minutes_at(self.words, at + begins)?;
        let end = at + begins + taken;
        let is_from_now = self.word(end) == "from" && self.word(end + 1) == "now";
        if begins == 0 && !is_from_now {
            return None;
        }
        self.facts.in_time = Some(SignedDuration::from_mins(minutes));
        Some(begins + taken + if is_from_now { 2 } else { 0 })
    }

    /// "an hour later", "a day earlier", "the next day", "same time the week after".
    fn take_shift(&mut self, at: usize) -> Option<usize> {
        const DAYS: [(&str, i64); 8] = [
            ("the next day", 1),
            ("the day after", 1),
            ("the following day", 1),
            ("next day", 1),
            ("the day before", -1),
            ("the week after", 7),
            ("the following week", 7),
            ("the previous day", -1),
        ];
        for (phrase, days) in DAYS {
            let length = phrase.split(' ').count();
            let rest = self.words.get(at..)?;
            let more = rest.get(length).map_or("", String::as_str);
            let is_more = matches!(more, "tomorrow" | "next" | "that") && more != "that";
            if !is_more && lexis::find(rest, phrase) == Some(0) {
                if self.asked {
                    self.facts.shift = Some(Shift { days, minutes: 0 });
                    return Some(length);
                }
                return None;
            }
        }
        let (days, minutes, taken) = match minutes_at(self.words, at) {
            Some((minutes, taken)) => (0, minutes, taken),
            None => {
                let (days, taken) = days_at(self.words, at)?;
                (days, 0, taken)
            }
        };
        let sign = match self.word(at + taken) {
            "later" | "after" | "on" => 1,
            "earlier" | "sooner" | "before" => -1,
            _ => return None,
        };
        if matches!(self.word(at + taken), "after" | "before" | "on")
            && self.word(at + taken + 1) != "that"
        {
            return None;
        }
        self.facts.shift = Some(Shift { days: sign * days, minutes: sign * minutes });
        Some(taken + 1)
    }

    /// "PM, not AM" alone.
    fn take_meridiem(&mut self, at: usize) -> Option<usize> {
        let meridiem = match self.word(at) {
            "am" if self.before(at, 1) != "i" => Meridiem::Am,
            "pm" => Meridiem::Pm,
            _ => return None,
        };
        self.facts.meridiem = Some(meridiem);
        Some(1)
    }
}

fn part_named(word: &str) -> Option<DayPart> {
    Some(match word {
        "morning" | "mornings" | "forenoon" => DayPart::Morning,
        "afternoon" | "afternoons" => DayPart::Afternoon,
        "evening" | "evenings" | "night" => DayPart::Evening,
        "lunchtime" | "lunch" => DayPart::Lunch,
        _ => return None,
    })
}

/// A clock time that is no count of minutes before or after an hour.
fn plain_clock(words: &[String], at: usize) -> Option<(Clock, usize)> {
    let (_, taken) = lexis::cardinal(words.get(at..)?).map_or_else(
        || clock_at(words, at),
        |(_, taken)| Some((Clock::of(Time::midnight()), taken)),
    )?;
    let end = at + taken;
    if matches!(words.get(end).map(String::as_str), Some("to" | "till" | "until" | "and" | "til")) {
        return clock_at(&words[..end], at);
    }
    clock_at(words, at)
}

fn minutes_at(words: &[String], at: usize) -> Option<(i64, usize)> {
    let word = |n: usize| words.get(at + n).map_or("", String::as_str);
    match (word(0), word(1), word(2)) {
        ("half", "an", "hour") => return Some((30, 3)),
        ("half", "hour", _) => return Some((30, 2)),
        ("a", "half", "hour") => return Some((30, 3)),
        ("quarter", "of", "an") if word(3) == "hour" => return Some((15, 4)),
        ("an" | "a" | "one", "hour", "and") if word(3) == "a" && word(4) == "half" => {
            return Some((90, 5));
        }
        ("an" | "a" | "one", "hour", _) => return Some((60, 2)),
        _ => {}
    }
    let (count, taken) = match (word(0), word(1), word(2)) {
        ("a", "couple", "of") => (2, 3),
        _ => {
            let (n, taken) = lexis::cardinal(words.get(at..)?)?;
            (i64::from(n), taken)
        }
    };
    match word(taken) {
        "hour" | "hours" => Some((60 * count, taken + 1)),
        "minute" | "minutes" | "mins" => Some((count, taken + 1)),
        _ => None,
    }
}

fn days_at(words: &[String], at: usize) -> Option<(i64, usize)> {
    let word = |n: usize| words.get(at + n).map_or("", String::as_str);
    let (count, taken) = match word(0) {
        "a" | "one" => (1, 1),
        _ => {
            let (n, taken) = lexis::cardinal(words.get(at..)?)?;
            (i64::from(n), taken)
        }
    };
    match word(taken) {
        "day" | "days" => Some((count, taken + 1)),
        "week" | "weeks" => Some((7 * count, taken + 1)),
        _ => None,
    }
}
