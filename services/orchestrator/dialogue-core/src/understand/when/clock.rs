//! Clock times: "half past three", "two thirty", "14:00", "quarter to ten".

use jiff::civil::Time;

use crate::understand::lexis;

/// Half of the day, as said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meridiem {
    /// Before noon.
    Am,
    /// After noon.
    Pm,
}

/// A clock time as it was said: on a face of twelve hours until it is known which half was meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    pub(super) hour: i8,
    pub(super) minute: i8,
    pub(super) meridiem: Option<Meridiem>,
    /// Said so that it can only be the hour of 24.
    pub(super) is_certain: bool,
    /// Said so that it can only be a time.
    pub(super) is_explicit: bool,
}

impl Clock {
    const fn face(hour: i8, minute: i8) -> Self {
        Self { hour, minute, meridiem: None, is_certain: false, is_explicit: false }
    }

    const fn certain(hour: i8, minute: i8) -> Self {
        Self { hour, minute, meridiem: None, is_certain: true, is_explicit: true }
    }

    pub(super) fn of(time: Time) -> Self {
        Self::certain(time.hour(), time.minute())
    }

    /// The time meant. A bare 1 to 6 is after noon, 7 to 11 before it, 12 noon.
    pub(super) fn time(self) -> Time {
        let hour = match (self.is_certain, self.meridiem, self.hour) {
            (true, ..) => self.hour,
            (_, Some(Meridiem::Am), 12) => 0,
            (_, Some(Meridiem::Pm), 1..=11) => self.hour + 12,
            (_, None, 1..=6) => self.hour + 12,
            _ => self.hour,
        };
        Time::new(hour.clamp(0, 23), self.minute.clamp(0, 59), 0, 0).unwrap_or(Time::midnight())
    }

    pub(super) fn with(self, meridiem: Option<Meridiem>) -> Self {
        if self.meridiem.is_some() { self } else { Self { meridiem, ..self } }
    }
}

/// The clock time that begins at `words[at]`, however vague, and how many words it takes.
pub(super) fn clock_at(words: &[String], at: usize) -> Option<(Clock, usize)> {
    let (clock, taken) = face_at(words, at)?;
    let after = |n: usize| words.get(at + taken + n).map_or("", String::as_str);
    let mut clock = clock;
    let mut length = taken;
    if after(0) == "oclock" || (after(0) == "hours" && clock.is_certain) {
        clock.is_explicit = true;
        length += 1;
    }
    let rest = words.get(at + length..).unwrap_or_default();
    let word = |n: usize| rest.get(n).map_or("", String::as_str);
    let meridiem = match (word(0), word(1), word(2)) {
        ("am", ..) => Some((Meridiem::Am, 1)),
        ("pm", ..) => Some((Meridiem::Pm, 1)),
        ("in", "the", "morning") => Some((Meridiem::Am, 3)),
        ("in", "the", "afternoon" | "evening") => Some((Meridiem::Pm, 3)),
        ("at", "night", _) if clock.hour == 12 => Some((Meridiem::Am, 2)),
        ("at", "night", _) => Some((Meridiem::Pm, 2)),
        _ => None,
    };
    if let Some((meridiem, taken)) = meridiem {
        clock.is_explicit = true;
        if !(clock.is_certain && clock.hour > 12) {
            clock.meridiem = Some(meridiem);
            clock.is_certain = false;
        }
        length += taken;
    }
    Some((clock, length))
}

fn face_at(words: &[String], at: usize) -> Option<(Clock, usize)> {
    let word = |n: usize| words.get(at + n).map_or("", String::as_str);
    match word(0) {
        "noon" | "midday" | "noontime" => return Some((Clock::certain(12, 0), 1)),
        "midnight" => return Some((Clock::certain(0, 0), 1)),
        _ => {}
    }
    if let Some(found) = relative(words, at) {
        return Some(found);
    }
    if let Some(found) = figures(word(0)) {
        return Some((found, 1));
    }
    let (hour, taken) = lexis::cardinal(&words[at..])?;
    let hour = i8::try_from(hour).ok().filter(|h| (0..=24).contains(h))?;
    let rest = &words[at + taken..];
    let next = |n: usize| rest.get(n).map_or("", String::as_str);
    let (minute, more) = match next(0) {
        "hundred" => (0, 1),
        "oh" | "o" | "zero" if lexis::cardinal(&rest[1..]).is_some_and(|(n, _)| n < 10) => {
            (lexis::cardinal(&rest[1..]).map_or(0, |(n, _)| n), 2)
        }
        _ => match lexis::cardinal(rest) {
            // "two thirty"; not "two 3 pm", and no minute stands before one of its own.
            Some((n @ 10..=59, more)) if !is_hour_of_its_own(rest, n, more) => (n, more),
            _ => (0, 0),
        },
    };
    let minute = i8::try_from(minute).ok()?;
    let clock = match hour {
        13..=23 => Clock { is_explicit: more > 0, ..Clock::certain(hour, minute) },
        0 | 24 if more == 0 => return None,
        0 => Clock::certain(0, minute),
        24 => return None,
        _ if next(0) == "hundred" => Clock { is_explicit: true, ..Clock::certain(hour, 0) },
        _ => Clock { is_explicit: more > 0, ..Clock::face(hour, minute) },
    };
    Some((clock, taken + more))
}

/// "two ten pm" is ten past two; "ten twelve oclock" is no time.
fn is_hour_of_its_own(rest: &[String], n: u32, taken: usize) -> bool {
    n <= 12 && rest.get(taken).is_some_and(|w| w == "oclock")
}

/// "half past three", "half three", "quarter to four", "ten to four", "five minutes past nine".
fn relative(words: &[String], at: usize) -> Option<(Clock, usize)> {
    let word = |n: usize| words.get(at + n).map_or("", String::as_str);
    let (minutes, mut taken, is_counted) = match word(0) {
        "half" => (30, 1, true),
        "quarter" => (15, 1, true),
        "a" if word(1) == "quarter" => (15, 2, true),
        _ => {
            let (n, taken) = lexis::cardinal(&words[at..])?;
            (i32::try_from(n).ok()?, taken, false)
        }
    };
    let is_said_in_minutes = matches!(word(taken), "minutes" | "minute" | "mins" | "min");
    if is_said_in_minutes {
        taken += 1;
    }
    let is_likely = is_counted || is_said_in_minutes || matches!(minutes, 5 | 10 | 20 | 25);
    let shift = match word(taken) {
        "past" | "after" => minutes,
        "to" | "of" | "til" | "till" | "before" if minutes != 30 => -minutes,
        // British: half past two.
        _ if word(0) == "half" && taken == 1 => {
            let (hour, more) = lexis::cardinal(&words[at + 1..])?;
            let is_hour = (1..=12).contains(&hour) && !is_span(words.get(at + 1 + more));
            let hour = i8::try_from(hour).ok().filter(|_| is_hour)?;
            let clock = Clock { is_explicit: true, ..Clock::face(hour, 30) };
            return Some((clock, 1 + more));
        }
        _ => return None,
    };
    if !is_likely || !(1..=59).contains(&minutes) {
        return None;
    }
    taken += 1;
    let from = words.get(at + taken..)?;
    let (hour, is_certain, more) = match from.first().map(String::as_str) {
        Some("noon" | "midday") => (12, true, 1),
        Some("midnight") => (0, true, 1),
        _ => {
            let (hour, more) = lexis::cardinal(from).filter(|(h, _)| (1..=23).contains(h))?;
            (i32::try_from(hour).ok()?, hour > 12, more)
        }
    };
    let cycle = if is_certain { 24 * 60 } else { 12 * 60 };
    let total = (hour * 60 + shift).rem_euclid(cycle);
    let (hour, minute) = (i8::try_from(total / 60).ok()?, i8::try_from(total % 60).ok()?);
    let clock = match is_certain {
        true => Clock::certain(hour, minute),
        false => {
            let hour = if hour == 0 { 12 } else { hour };
            Clock { is_explicit: true, ..Clock::face(hour, minute) }
        }
    };
    Some((clock, taken + more))
}

/// "half an hour", "half two hours": no time of day.
fn is_span(word: Option<&String>) -> bool {
    word.is_some_and(|w| matches!(w.as_str(), "hour" | "hours" | "minutes" | "days" | "weeks"))
}

/// "2:30", "2.30", "14:00", "1430".
fn figures(word: &str) -> Option<Clock> {
    let (hour, minute) = match word.split_once([':', '.']) {
        Some((h, m)) if m.len() == 2 && !h.is_empty() && h.len() <= 2 => (h, m),
        Some(_) => return None,
        None if word.len() == 4 => (word.get(..2)?, word.get(2..)?),
        None => return None,
    };
    let (h, m) = (hour.parse::<i8>().ok()?, minute.parse::<i8>().ok()?);
    if !(0..=23).contains(&h) || !(0..=59).contains(&m) {
        return None;
    }
    let has_colon = word.len() != 4 || word.contains([':', '.']);
    if h > 12 || h == 0 || hour.starts_with('0') {
        return Some(Clock { is_explicit: has_colon, ..Clock::certain(h, m) });
    }
    Some(Clock { is_explicit: has_colon, ..Clock::face(h, m) })
}
