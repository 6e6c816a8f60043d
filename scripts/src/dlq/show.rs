//! Letters on a terminal and for programs.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use domain::Timestamp;
use serde_json::{Value, json};
use store::dead_letters::{Act, Count, Letter};
use wire::Decoded;

use super::{Desk, Ended, Which};
use crate::print::{age, time};

/// A reason may be long: a table shows its beginning.
const REASON_CHARS: usize = 60;

pub(super) async fn list(
    desk: &Desk,
    which: &Which,
    limit: i64,
    json: bool,
) -> anyhow::Result<Ended> {
    let filter = which.filter()?;
    let counts = desk.letters.counts(&filter).await?;
    let letters = desk.letters.list(&filter, limit.max(0)).await?;
    let now = Timestamp::now();
    if json || !std::io::stdout().is_terminal() {
        let all = json!({
            "counts": counts.iter().map(count_json).collect::<Vec<_>>(),
            "letters": letters.iter().map(letter_json).collect::<Vec<_>>(),
        });
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else if !letters.is_empty() {
        print_counts(&counts, now);
        println!();
        print_letters(&letters, now);
    }
    if letters.is_empty() {
        eprintln!("no dead letters");
        return Ok(Ended::Nothing);
    }
    Ok(Ended::Done)
}

pub(super) async fn one(
    desk: &mut Desk,
    number: i64,
    reveal: bool,
    json: bool,
) -> anyhow::Result<Ended> {
    let filter = store::dead_letters::Filter { numbers: Some(vec![number]), ..Default::default() };
    let Some(letter) = desk.letters.list(&filter, 1).await?.pop() else {
        eprintln!("no dead letter {number}");
        return Ok(Ended::Nothing);
    };
    if reveal {
        // Before it is shown: nobody reads what is not on record.
        desk.letters.note(&[number], "reveal", &desk.actor, "").await?;
    }
    let body = desk.letters.body(number).await?;
    let acts = desk.letters.acts(number).await?;
    let says = says(&body, reveal);
    if json || !std::io::stdout().is_terminal() {
        let mut whole = letter_json(&letter);
        whole["envelope"] = says.into();
        whole["acts"] = acts.iter().map(act_json).collect();
        println!("{}", serde_json::to_string_pretty(&whole)?);
        return Ok(Ended::Done);
    }
    let whole = letter_json(&letter);
    for (name, value) in whole.as_object().context("a letter is an object")? {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        println!("{name:>14}  {text}");
    }
    println!("\n{says}");
    for act in acts {
        println!("{}  {} by {}  {}", time(act.at), act.act, act.actor, act.detail);
    }
    Ok(Ended::Done)
}

/// What the body says. A name, number or text shows as its length, unless all is to be seen.
fn says(body: &str, reveal: bool) -> String {
    let decoded = wire::from_body(body).and_then(|encoded| {
        if reveal {
            return wire::in_the_clear(&encoded);
        }
        Ok(match wire::decode(&encoded)? {
            Decoded::Whole(envelope) => format!("{envelope:#?}"),
            Decoded::Claimed(check) => format!("too large for the topic, in S3: {check:?}"),
        })
    });
    decoded.unwrap_or_else(|error| format!("it cannot be decoded: {error}"))
}

fn count_json(count: &Count) -> Value {
    json!({
        "queue": count.queue,
        "event": count.event_name,
        "state": count.state.name(),
        "letters": count.letters,
        "oldest": time(count.oldest),
    })
}

fn letter_json(letter: &Letter) -> Value {
    json!({
        "number": letter.number,
        "state": letter.state.name(),
        "queue": letter.queue,
        "group": letter.group,
        "reason": letter.reason,
        "starts": letter.starts,
        "receives": letter.receives,
        "replays": letter.replays,
        "sent_at": letter.sent_at.map(time),
        "died_at": time(letter.died_at),
        "tenant": letter.tenant,
        "conversation": letter.conversation,
        "turn": letter.turn,
        "event": letter.event_name,
        "event_id": letter.event,
        "occurred_at": letter.occurred_at.map(time),
        "expires_at": letter.expires_at.map(time),
        "trace_id": letter.trace_id,
        "build": letter.build,
    })
}

fn act_json(act: &Act) -> Value {
    json!({"at": time(act.at), "act": act.act, "actor": act.actor, "detail": act.detail})
}

fn print_counts(counts: &[Count], now: Timestamp) {
    let most = counts.iter().map(|count| count.letters).max().unwrap_or(1).max(1);
    for count in counts {
        let event = count.event_name.as_deref().unwrap_or("(undecodable)");
        let bar = "#".repeat(((count.letters * 30 + most - 1) / most) as usize);
        println!(
            "{:<14}{event:<22}{:<11}{:>7}  oldest {:>5}  {bar}",
            count.queue,
            count.state.name(),
            count.letters,
            age(count.oldest, now),
        );
    }
}

fn print_letters(letters: &[Letter], now: Timestamp) {
    println!("{:>8}  {:<10}{:<14}{:<20}{:>5}  REASON", "NUMBER", "STATE", "QUEUE", "EVENT", "AGE");
    for letter in letters {
        let event = letter.event_name.as_deref().unwrap_or("(undecodable)");
        let reason: String = letter.reason.chars().take(REASON_CHARS).collect();
        println!(
            "{:>8}  {:<10}{:<14}{event:<20}{:>5}  {reason}",
            letter.number,
            letter.state.name(),
            letter.queue,
            age(letter.died_at, now),
        );
    }
}
