//! One of several times that were offered, as people point at it.

use jiff::civil::{DateTime, Time};

use crate::{
    state::Offer,
    understand::{self, Answer, Here, TimeOfDay},
};

use super::local;

/// What the words choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Chosen {
    /// The one at this place.
    One(usize),
    /// One of them, but not which.
    Some,
    /// None of them.
    None,
    /// Something else, or nothing about them.
    Else,
}

const ANY: [&str; 9] = [
    "any",
    "either",
    "whichever",
    "whatever",
    "whenever",
    "anything",
    "earliest",
    "soonest",
    "earlier",
];
const PLACES: [(&str, usize); 8] = [
    ("first", 0),
    ("1st", 0),
    ("former", 0),
    ("second", 1),
    ("2nd", 1),
    ("middle", 1),
    ("third", 2),
    ("3rd", 2),
];

/// "the first one", "the last", "any of them": whether the words point at something offered.
pub(super) fn points_at_one(text: &str) -> bool {
    pointed(&understand::words(text), 2).is_some()
}

/// "the second one", "the last", whose words would else be a day or an hour.
fn named_place(words: &[String], count: usize) -> Option<usize> {
    let at = words.iter().position(|w| {
        PLACES.iter().any(|(place, _)| w == place) || matches!(w.as_str(), "last" | "latter")
    })?;
    let next = words.get(at + 1).map_or("", String::as_str);
    let is_alone = matches!(next, "one" | "option" | "slot" | "time" | "please")
        || (next.is_empty() && words.len() <= 3);
    is_alone.then(|| pointed(&words[at..], count)).flatten()
}

/// "2" below a numbered list, unless that is an hour that was offered.
fn bare_number(words: &[String], times: &[DateTime]) -> Option<usize> {
    let [word] = words else { return None };
    let number: usize = word.parse().ok()?;
    let is_hour = times.iter().any(|at| usize::from(at.hour().unsigned_abs()) % 12 == number % 12);
    (!is_hour && (1..=times.len()).contains(&number)).then(|| number - 1)
}

fn pointed(words: &[String], count: usize) -> Option<usize> {
    let has = |list: &[&str]| words.iter().any(|w| list.contains(&w.as_str()));
    if has(&["last", "latter", "latest", "later"]) {
        return count.checked_sub(1);
    }
    let place = PLACES.iter().find(|(word, _)| has(&[word])).map(|(_, place)| *place);
    place.or_else(|| has(&ANY).then_some(0)).filter(|place| *place < count.max(3))
}

/// What `text` chooses of `offers`.
pub(super) fn choose(offers: &[Offer], text: &str, here: &Here) -> Chosen {
    let words = understand::words(text);
    if let Some(place) = named_place(&words, offers.len()) {
        return if place < offers.len() { Chosen::One(place) } else { Chosen::Some };
    }
    let times: Vec<DateTime> = offers.iter().map(|o| local(o.start, here)).collect();
    if let Some(place) = bare_number(&words, &times) {
        return Chosen::One(place);
    }
    let facts = understand::facts(text, here, true);
    let date = facts.date(here);
    let clock = match facts.time_of_day() {
        Some(TimeOfDay::At(time)) => Some(time),
        _ => None,
    };
    let is_meant = |at: &DateTime| {
        date.is_none_or(|d| d == at.date()) && clock.is_none_or(|c| is_same(c, at.time()))
    };
    if date.is_some() || clock.is_some() {
        let mut meant = times.iter().enumerate().filter(|(_, at)| is_meant(at));
        return match (meant.next(), meant.next()) {
            (Some((at, _)), None) => Chosen::One(at),
            (Some((at, _)), Some(_)) if clock.is_some() => Chosen::One(at),
            // A day of which several times were offered.
            (Some(_), Some(_)) => Chosen::Some,
            _ => Chosen::Else,
        };
    }
    if facts.time_of_day().is_some() {
        return Chosen::Else;
    }
    if let Some(place) = pointed(&words, times.len()) {
        return if place < times.len() { Chosen::One(place) } else { Chosen::Some };
    }
    match understand::answer(text) {
        Answer::Yes if times.len() == 1 => Chosen::One(0),
        Answer::Yes | Answer::Unclear => Chosen::Some,
        Answer::No => Chosen::None,
    }
}

/// The same time on a clock without morning and afternoon: what was offered says which half.
fn is_same(said: Time, offered: Time) -> bool {
    said.minute() == offered.minute() && said.hour() % 12 == offered.hour() % 12
}
