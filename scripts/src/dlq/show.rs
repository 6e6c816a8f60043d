//! Letters on a terminal and for programs.

use anyhow::Context as _;
use domain::Timestamp;
use serde_json::{Value, json};
use store::dead_letters::{Act, Count, Filter, Letter};
use wire::Decoded;

use super::{Desk, Ended};
use crate::print::{self, age, time};

/// A reason may be long: a table shows its beginning.
const REASON_CHARS: usize = 60;
/// The commonest reasons are told, up to so many.
const REASONS: i64 = 10;
/// Columns of a histogram.
const WIDTH: i64 = 30;

pub(super) async fn list(
    desk: &Desk,
    filter: &Filter,
    limit: i64,
    json: bool,
) -> anyhow::Result<Ended> {
    let counts = desk.letters.counts(filter).await?;
    let reasons = desk.letters.reasons(filter, REASONS).await?;
    let ages = desk.letters.ages(filter).await?;
    let letters = desk.letters.newest(filter, limit).await?;
    let now = Timestamp::now();
    if print::is_for_programs(json) {
        print::json(&json!({
            "counts": counts.iter().map(count_json).collect::<Vec<_>>(),
            "reasons": histogram_json("reason", &reasons),
            "ages": histogram_json("age", &ages),
            "letters": letters.iter().map(letter_json).collect::<Vec<_>>(),
        }))?;
    } else if !letters.is_empty() {
        print_counts(&counts, now)?;
        print_histogram(&ages)?;
        print_histogram(&reasons)?;
        print_letters(&letters, now)?;
    }
    if letters.is_empty() {
        print::note("no dead letters");
        return Ok(Ended::Nothing);
    }
    let all: i64 = counts.iter().map(|count| count.letters).sum();
    if all > limit {
        print::note(&format!("{} older ones are not shown (--limit)", all - limit));
    }
    Ok(Ended::Done)
}

pub(super) async fn one(
    desk: &mut Desk,
    number: i64,
    reveal: bool,
    json: bool,
) -> anyhow::Result<Ended> {
    let filter = Filter { numbers: Some(vec![number]), ..Filter::default() };
    let Some(letter) = desk.letters.list(&filter, 1).await?.pop() else {
        print::note(&format!("no dead letter {number}"));
        return Ok(Ended::Nothing);
    };
    if reveal {
        // Before it is shown: nobody reads what is not on record.
        desk.letters.note(&[number], "reveal", &desk.actor, "").await?;
    }
    let body = desk.letters.body(number).await?;
    let acts = desk.letters.acts(number).await?;
    let says = says(&body, reveal);
    let mut whole = letter_json(&letter);
    if print::is_for_programs(json) {
        whole["envelope"] = says.into();
        whole["acts"] = acts.iter().map(act_json).collect();
        print::json(&whole)?;
        return Ok(Ended::Done);
    }
    for (name, value) in whole.as_object().context("a letter is an object")? {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        print::say(&format!("{name:>14}  {text}"))?;
    }
    print::say(&format!("\n{says}"))?;
    for act in acts {
        let (at, act, actor, detail) = (time(act.at), act.act, act.actor, act.detail);
        print::say(&format!("{at}  {act} by {actor}  {detail}"))?;
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
        "error_type": count.error_type,
        "state": count.state.name(),
        "letters": count.letters,
        "oldest": time(count.oldest),
    })
}

fn histogram_json(of: &str, counts: &[(String, i64)]) -> Value {
    counts.iter().map(|(value, letters)| json!({ of: value, "letters": letters })).collect()
}

fn letter_json(letter: &Letter) -> Value {
    json!({
        "number": letter.number,
        "state": letter.state.name(),
        "queue": letter.queue,
        "group": letter.group,
        "error_type": letter.error_type,
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

fn print_counts(counts: &[Count], now: Timestamp) -> anyhow::Result<()> {
    let most = counts.iter().map(|count| count.letters).max().unwrap_or(1);
    let rows: Vec<_> = counts
        .iter()
        .map(|count| {
            [
                count.queue.clone(),
                event_name(count.event_name.as_deref()),
                count.error_type.clone(),
                count.state.name().to_owned(),
                count.letters.to_string(),
                age(count.oldest, now),
                bar(count.letters, most),
            ]
        })
        .collect();
    print::say(&print::table(
        ["QUEUE", "EVENT", "ERROR TYPE", "STATE", "LETTERS", "OLDEST", ""],
        &rows,
    ))
}

fn print_histogram(counts: &[(String, i64)]) -> anyhow::Result<()> {
    let most = counts.iter().map(|(_, letters)| *letters).max().unwrap_or(1);
    print::say("")?;
    for (name, letters) in counts {
        // What came from outside moves no cursor.
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        print::say(&format!("{name:<REASON_CHARS$} {letters:>7}  {}", bar(*letters, most)))?;
    }
    Ok(())
}

fn bar(letters: i64, most: i64) -> String {
    let most = most.max(1);
    "#".repeat(((letters * WIDTH + most - 1) / most) as usize)
}

fn print_letters(letters: &[Letter], now: Timestamp) -> anyhow::Result<()> {
    let rows: Vec<_> = letters
        .iter()
        .map(|letter| {
            [
                letter.number.to_string(),
                letter.state.name().to_owned(),
                letter.queue.clone(),
                letter.group.clone(),
                event_name(letter.event_name.as_deref()),
                age(letter.died_at, now),
                letter.reason.chars().take(REASON_CHARS).collect(),
            ]
        })
        .collect();
    let header = ["NUMBER", "STATE", "QUEUE", "GROUP", "EVENT", "AGE", "REASON"];
    print::say("")?;
    print::say(&print::table(header, &rows))
}

fn event_name(name: Option<&str>) -> String {
    name.unwrap_or("(undecodable)").to_owned()
}
