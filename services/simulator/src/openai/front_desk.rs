//! A model that makes appointments with the tools it is given: no more than is needed to see that a model can.
//!
//! Without memory, as any model: all it knows stands in the request. What it offered a turn ago it looks up again before
//! it books.

use jiff::{ToSpan as _, Zoned, civil::Date, civil::Weekday};
use serde_json::{Value, json};

use super::model::{Answer, ToolCall, text};

const FIND: &str = "find_slots";
const BOOK: &str = "book_appointment";
const OFFER: &str = "Shall I book it?";

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// The answer to a request; `None` where it has not the tools, or is not told what day it is.
pub(super) fn answer(body: &Value) -> Option<Answer> {
    let tools = body["tools"].as_array()?;
    let has = |name: &str| tools.iter().any(|tool| tool["function"]["name"] == name);
    if !(has(FIND) && has(BOOK)) {
        return None;
    }
    let messages = body["messages"].as_array()?;
    let now = now(&text(messages.first()?))?;
    let said: Vec<String> = messages.iter().filter(|m| m["role"] == "user").map(text).collect();
    let last = said.last()?;
    let offered = messages
        .iter()
        .rev()
        .filter(|m| m["role"] == "assistant")
        .map(text)
        .find(|text| !text.is_empty())
        .is_some_and(|text| text.contains(OFFER));
    let agrees = offered && is_yes(last);
    let name = said.iter().rev().find_map(|text| name_in(text));
    let wish = said.iter().rev().find_map(|text| wish_in(text, &now));
    let newest = messages.last()?;
    if newest["role"] == "tool" {
        let outcome: Value = serde_json::from_str(&text(newest)).ok()?;
        return Some(after(&outcome, agrees, name));
    }
    if is_no(last) {
        return Some(say("Thank you. Goodbye."));
    }
    Some(match (name, wish) {
        (None, _) => say("Sure. What name is it for?"),
        (Some(name), None) => {
            say(&format!("Thank you, {name}. Which day and time would suit you?"))
        }
        (Some(_), Some((day, hour))) => find(day, hour),
    })
}

fn after(outcome: &Value, agrees: bool, name: Option<String>) -> Answer {
    let first = &outcome["value"][0];
    match (outcome["outcome"].as_str().unwrap_or_default(), first["start"].as_str()) {
        ("slots", Some(start)) if agrees => call(
            BOOK,
            json!({
                "start": start, "service": first["service"], "resource": first["resource"],
                "name": name.unwrap_or_else(|| "Somebody".to_owned()),
            }),
        ),
        ("slots" | "taken", Some(_)) => {
            say(&format!("I have {} free. {OFFER}", first["said"].as_str().unwrap_or("a time")))
        }
        ("booked", _) => {
            let when = outcome["value"]["said"].as_str().unwrap_or("then");
            say(&format!("You are booked for {when}. Anything else?"))
        }
        _ => say("Sorry, that did not work. Would another day do?"),
    }
}

fn find(day: Date, hour: i8) -> Answer {
    let at = |day: Date, hour: i8| day.at(hour, 0, 0, 0).to_string();
    let until = day.saturating_add(14.days());
    call(FIND, json!({"from": at(day, 0), "until": at(until, 0), "near": at(day, hour)}))
}

fn call(name: &str, arguments: Value) -> Answer {
    Answer::Tools { tool_calls: vec![ToolCall { name: name.to_owned(), arguments }] }
}

fn say(text: &str) -> Answer {
    Answer::Text(text.to_owned())
}

/// The moment in brackets that the system message names.
fn now(system: &str) -> Option<Zoned> {
    system.split('(').skip(1).find_map(|rest| {
        let stamp = rest.split(')').next()?;
        let offset = jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%:z", stamp).ok()?;
        offset.to_zoned().ok()
    })
}

fn words(text: &str) -> Vec<String> {
    let plain = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    text.split_whitespace().map(plain).filter(|w| !w.is_empty()).collect()
}

fn name_in(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let at = lower.find("my name is ")? + "my name is ".len();
    let rest = text.get(at..)?.split([',', '.', '?']).next()?;
    let name = words(rest);
    (!name.is_empty()).then(|| name.join(" "))
}

/// Day and hour: "tomorrow at 2 PM", "next Wednesday at 2".
fn wish_in(text: &str, now: &Zoned) -> Option<(Date, i8)> {
    let words: Vec<String> = words(text).iter().map(|w| w.to_lowercase()).collect();
    let is_named = |name: &str| words.iter().any(|w| w == name);
    let today = now.date();
    let day = if is_named("tomorrow") {
        today.saturating_add(1.day())
    } else {
        let (_, weekday) = WEEKDAYS.into_iter().find(|(name, _)| is_named(name))?;
        today.nth_weekday(1, weekday).ok()?
    };
    let place = words.iter().position(|w| w == "at")?;
    let hour: i8 = words.get(place + 1)?.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    let is_morning = words.get(place + 2).is_some_and(|w| w == "am") || (7..=11).contains(&hour);
    Some((day, if is_morning || hour == 12 { hour } else { hour + 12 }))
}

fn is_yes(text: &str) -> bool {
    words(text).first().is_some_and(|w| w.eq_ignore_ascii_case("yes"))
}

fn is_no(text: &str) -> bool {
    words(text).first().is_some_and(|w| w.eq_ignore_ascii_case("no"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(messages: Vec<Value>) -> Answer {
        let system = "You are the front desk.\nIt is Tuesday (2026-03-10T09:00:00-04:00).";
        let mut all = vec![json!({"role": "system", "content": system})];
        all.extend(messages);
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        answer(&json!({"messages": all, "tools": [tool(FIND), tool(BOOK)]})).expect("an answer")
    }

    fn user(text: &str) -> Value {
        json!({"role": "user", "content": text})
    }

    fn assistant(text: &str) -> Value {
        json!({"role": "assistant", "content": text})
    }

    fn tool(outcome: Value) -> Value {
        json!({"role": "tool", "tool_call_id": "a", "content": outcome.to_string()})
    }

    #[test]
    fn it_asks_looks_offers_and_books() {
        let mut talk = vec![user("I want an appointment")];
        assert_eq!(asked(talk.clone()), say("Sure. What name is it for?"));
        talk.extend([assistant("Sure. What name is it for?"), user("My name is Ada Lovelace.")]);
        assert_eq!(
            asked(talk.clone()),
            say("Thank you, Ada Lovelace. Which day and time would suit you?")
        );
        talk.extend([assistant("Thank you, Ada Lovelace."), user("tomorrow at 2 PM")]);
        let looks = asked(talk.clone());
        let Answer::Tools { tool_calls } = &looks else { panic!("{looks:?}") };
        assert_eq!(tool_calls[0].arguments["near"], "2026-03-11T14:00:00");

        let slot =
            json!({"start": "S", "said": "Wednesday at 2 PM", "service": "x", "resource": "1"});
        let slots = tool(json!({"outcome": "slots", "value": [slot]}));
        let mut told = talk.clone();
        told.push(slots.clone());
        let offer = "I have Wednesday at 2 PM free. Shall I book it?";
        assert_eq!(asked(told), say(offer));

        talk.extend([assistant(offer), user("yes please")]);
        assert_eq!(asked(talk.clone()), looks, "it looks again");
        talk.push(slots);
        let books = asked(talk.clone());
        let Answer::Tools { tool_calls } = &books else { panic!("{books:?}") };
        assert_eq!(tool_calls[0].arguments["name"], "Ada Lovelace");
        assert_eq!(tool_calls[0].arguments["start"], "S");
        talk.push(tool(json!({"outcome": "booked", "value": {"said": "Wednesday at 2 PM"}})));
        assert_eq!(asked(talk), say("You are booked for Wednesday at 2 PM. Anything else?"));
    }
}
