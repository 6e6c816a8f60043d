//! How much of a corpus is understood: `scripts/bench understand`.

use std::fmt;

use jiff::{Timestamp, civil::Date, civil::DateTime, tz::TimeZone};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Here, Intent, Slot, When, answer, correction, email, intent, name, phone, when,
};

/// One line of a corpus.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// Its name.
    pub id: String,
    /// What is to be understood: `datetime`, `phone`, `name`, `email`, `yesno`, `intent`, `correction`.
    pub kind: String,
    /// The words.
    pub text: String,
    /// Now.
    pub now: Timestamp,
    /// IANA time zone of the business.
    pub tz: String,
    /// ISO 3166.
    pub region: String,
    /// What was understood before (`correction`).
    #[serde(default)]
    pub prior: Value,
    /// What they mean.
    pub expect: Value,
}

/// A case that was understood otherwise.
#[derive(Clone, Debug)]
pub struct Confusion {
    /// The case's id and kind.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// The words.
    pub text: String,
    /// What they mean.
    pub expected: Value,
    /// What was understood.
    pub understood: Value,
}

/// How many of a corpus were right.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Kind, right, all; in the order of their first case.
    pub kinds: Vec<(String, usize, usize)>,
    /// The others.
    pub confusions: Vec<Confusion>,
}

impl Score {
    /// The share that was right, 0 to 1; 1 of nothing.
    pub fn share(&self) -> f64 {
        let (right, all) = self.counts();
        if all == 0 { 1.0 } else { right as f64 / all as f64 }
    }

    fn counts(&self) -> (usize, usize) {
        self.kinds.iter().fold((0, 0), |(r, a), (_, right, all)| (r + right, a + all))
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in &self.confusions {
            let Confusion { id, kind, text, expected, understood } = c;
            writeln!(
                f,
                "{id} ({kind}) {text:?}\n    expected {expected}, understood {understood}"
            )?;
        }
        for (kind, right, all) in &self.kinds {
            writeln!(f, "{kind:<12} {right:>4} of {all:>4}")?;
        }
        let (right, all) = self.counts();
        writeln!(f, "{:<12} {right:>4} of {all:>4}  {:.1} %", "all", 100.0 * self.share())
    }
}

/// Understands each of `cases` and compares.
pub fn score(cases: &[Case]) -> Score {
    let mut score = Score::default();
    for case in cases {
        let understood = understood(case);
        let is_right = same(&understood, &case.expect);
        let at = score.kinds.iter().position(|(kind, ..)| *kind == case.kind);
        let at = at.unwrap_or_else(|| {
            score.kinds.push((case.kind.clone(), 0, 0));
            score.kinds.len() - 1
        });
        score.kinds[at].1 += usize::from(is_right);
        score.kinds[at].2 += 1;
        if !is_right {
            score.confusions.push(Confusion {
                id: case.id.clone(),
                kind: case.kind.clone(),
                text: case.text.clone(),
                expected: case.expect.clone(),
                understood,
            });
        }
    }
    score
}

fn understood(case: &Case) -> Value {
    let zone = TimeZone::get(&case.tz).unwrap_or(TimeZone::UTC);
    let here = Here { now: case.now.to_zoned(zone), region: case.region.clone() };
    let text = &case.text;
    match case.kind.as_str() {
        "datetime" => when(text, &here).map_or(Value::Null, |w| written(&Slot::When(w), &here)),
        "phone" => phone(text, &case.region).map_or(Value::Null, |p| json!({"e164": p})),
        "name" => name(text, true).map_or(Value::Null, |n| json!({"name": n})),
        "email" => email(text).map_or(Value::Null, |e| json!({"email": e})),
        "yesno" => json!({"answer": match answer(text) {
            Answer::Yes => "yes",
            Answer::No => "no",
            Answer::Unclear => "unclear",
        }}),
        "intent" => json!({"intent": match intent(text) {
            Intent::Book => "book",
            Intent::Reschedule => "reschedule",
            Intent::Cancel => "cancel",
            Intent::Hours => "hours",
            Intent::Human => "human",
            Intent::Other => "other",
        }}),
        "correction" => match read(&case.prior, &here) {
            Some(prior) => written(&correction(text, &prior, &here), &here),
            None => when(text, &here).map_or(Value::Null, |w| written(&Slot::When(w), &here)),
        },
        _ => json!({"unknown kind": case.kind}),
    }
}

fn moment(at: DateTime, here: &Here) -> String {
    let zone = here.now.time_zone().clone();
    let zoned = at.to_zoned(zone).unwrap_or_else(|_| here.now.clone());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

fn written(slot: &Slot, here: &Here) -> Value {
    match slot {
        Slot::When(When::At(at)) => json!({"start": moment(*at, here)}),
        Slot::When(When::On(date)) => json!({"date": date.to_string()}),
        Slot::When(When::Within(a, b)) => json!({"window": [moment(*a, here), moment(*b, here)]}),
        Slot::Name(name) => json!({"name": name.reveal()}),
        Slot::Phone(number) => json!({"e164": number.reveal()}),
        Slot::Email(address) => json!({"email": address.reveal()}),
    }
}

fn read(prior: &Value, here: &Here) -> Option<Slot> {
    let local = |value: &Value| {
        let text = value.as_str()?;
        let there = text.parse::<Timestamp>().ok();
        let there = there.map(|t| t.to_zoned(here.now.time_zone().clone()).datetime());
        there.or_else(|| text.parse().ok())
    };
    if let Some(at) = local(&prior["start"]) {
        return Some(Slot::When(When::At(at)));
    }
    if let Some(date) = prior["date"].as_str().and_then(|d| d.parse::<Date>().ok()) {
        return Some(Slot::When(When::On(date)));
    }
    if let (Some(a), Some(b)) = (local(&prior["window"][0]), local(&prior["window"][1])) {
        return Some(Slot::When(When::Within(a, b)));
    }
    let text = |field: &str| prior[field].as_str().map(Into::into);
    text("name")
        .map(Slot::Name)
        .or_else(|| text("e164").map(Slot::Phone))
        .or_else(|| text("email").map(Slot::Email))
}

/// Equal, with moments compared as moments however their offset is written.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(x), Value::String(y)) => {
            let moment = |s: &str| s.parse::<Timestamp>().ok();
            // A border of a window may be written as a day, or as local time.
            let begins = |whole: &str, short: &str| {
                let is_day = short.len() == 10 && short.parse::<Date>().is_ok();
                let is_local = moment(short).is_none() && short.parse::<DateTime>().is_ok();
                (is_day && whole.starts_with(&format!("{short}T00:00:00")))
                    || (is_local && short.len() == 19 && whole.starts_with(short))
            };
            x == y
                || moment(x).zip(moment(y)).is_some_and(|(x, y)| x == y)
                || (moment(x).is_some() && begins(x, y))
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}
