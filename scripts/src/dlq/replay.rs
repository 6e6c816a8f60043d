//! Sending letters again, and giving them up.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use bus::{Queue, Replay};
use serde_json::{Value, json};
use store::dead_letters::{Filter, Letter, Plan, QUARANTINED_AFTER, State};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Desk, Ended, arguments::How};
use crate::ended::AskedWrongly;
use crate::print;

/// Batches a second while letters are sent: the rate is kept within each tenth.
const BATCHES_A_SECOND: u32 = 10;
/// How often it is asked whether the last letters have been handled.
const POLL: Duration = Duration::from_millis(500);
/// Conversations that have moved on are named, up to so many.
const NAMED: usize = 10;

/// What a replay has done.
struct Outcome {
    /// How many of the letters it sent are in each state.
    states: Vec<(State, i64)>,
    is_stopped: bool,
}

pub(super) async fn run(desk: &mut Desk, filter: Filter, how: &How) -> anyhow::Result<Ended> {
    let for_programs = print::is_for_programs(how.json);
    let plan = desk.letters.plan(&filter, how.including()).await?;
    for line in told(&plan, how) {
        match for_programs {
            true => print::note(&line),
            false => print::say(&line)?,
        }
    }
    if plan.letters() == 0 || how.dry_run {
        if for_programs {
            print::json(&json!({ "plan": plan_json(&plan, how), "outcome": null }))?;
        }
        return Ok(if plan.letters() == 0 { Ended::Nothing } else { Ended::Done });
    }
    if !confirm(how.yes, "Send them?")? {
        return Ok(Ended::Stopped);
    }
    let stop = boot::stop_on_signal()?;
    // What dies again while the others are sent is another run's.
    let filter = Filter { up_to: plan.newest, ..filter };
    let sent = send(desk, &filter, how, plan.letters(), &stop).await?;
    let outcome = outcome(desk, sent, how, &stop).await?;
    let said = say(&plan, &outcome, how);
    let has_failed = outcome.states.iter().any(|(state, _)| *state == State::Failed);
    let ended = match (outcome.is_stopped, has_failed) {
        (true, _) => Ended::Stopped,
        (false, true) => Ended::Ailing,
        (false, false) => Ended::Done,
    };
    // Whether anybody hears it changes nothing in what was done.
    match said {
        Err(error) if !error.is::<print::Unheard>() => Err(error),
        _ => Ok(ended),
    }
}

/// Sends what the filter means until nothing is left or it is stopped. Gives the numbers of what was sent.
async fn send(
    desk: &mut Desk,
    filter: &Filter,
    how: &How,
    of: i64,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<i64>> {
    let batch = i64::from(how.rate.div_ceil(BATCHES_A_SECOND));
    let began = Instant::now();
    let (mut sent, mut last) = (Vec::new(), 0);
    loop {
        let due = began + Duration::from_secs_f64(sent.len() as f64 / f64::from(how.rate));
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                let sent = sent.len();
                print::note(&format!("\nstopped after {sent} of {of}; the same command goes on"));
                break;
            }
            () = tokio::time::sleep_until(due) => {}
        }
        let letters = desk.letters.begin(filter, how.including(), last, batch, &desk.actor).await?;
        let Some((newest, _)) = letters.last() else {
            print::note("");
            break;
        };
        last = newest.number;
        for some in letters.chunk_by(|(a, _), (b, _)| a.queue == b.queue) {
            publish(desk, some).await?;
        }
        sent.extend(letters.iter().map(|(letter, _)| letter.number));
        progress(sent.len() as i64, of, began.elapsed());
    }
    Ok(sent)
}

async fn publish(desk: &Desk, letters: &[(Letter, String)]) -> anyhow::Result<()> {
    let name = &letters[0].0.queue;
    let queue = Queue::named(name).with_context(|| format!("this release has no queue {name}"))?;
    let again: Vec<Replay> = letters
        .iter()
        .map(|(letter, body)| Replay { group: letter.group.clone(), body: body.clone() })
        .collect();
    desk.bus
        .replay(queue, &again)
        .await
        .context("the rest is pending; the same command goes on")?;
    let numbers: Vec<i64> = letters.iter().map(|(letter, _)| letter.number).collect();
    let moved = (&[State::Pending][..], State::Published);
    desk.letters.set(&numbers, moved, ("published", &desk.actor, "")).await?;
    Ok(())
}

fn progress(sent: i64, of: i64, took: Duration) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let done = (sent * 40 / of.max(1)).clamp(0, 40) as usize;
        let rate = sent as f64 / took.as_secs_f64().max(0.001);
        let (bar, rest) = ("#".repeat(done), " ".repeat(40 - done));
        // A progress bar that cannot be shown stops nothing.
        let _ = write!(terminal, "\r[{bar}{rest}] {sent}/{of}  {rate:.0}/s ")
            .and_then(|()| terminal.flush());
    }
}

/// Waits for what becomes of the letters that were sent, unless it is stopped.
async fn outcome(
    desk: &Desk,
    sent: Vec<i64>,
    how: &How,
    stop: &CancellationToken,
) -> anyhow::Result<Outcome> {
    let of = Filter { numbers: Some(sent), ..Filter::default() };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        settled = settled(desk, &of, how) => settled?,
    }
    let counts = desk.letters.counts(&of).await?;
    let states = State::ALL.into_iter().filter_map(|state| {
        let letters: i64 = counts.iter().filter(|c| c.state == state).map(|c| c.letters).sum();
        (letters > 0).then_some((state, letters))
    });
    Ok(Outcome { states: states.collect(), is_stopped: stop.is_cancelled() })
}

async fn settled(desk: &Desk, sent: &Filter, how: &How) -> anyhow::Result<()> {
    let give_up_at = Instant::now() + Duration::from_secs(how.wait_seconds);
    let under_way = Some(vec![State::Pending, State::Published]);
    let under_way = Filter { states: under_way, ..sent.clone() };
    loop {
        if let Err(error) = desk.settle().await {
            print::note(&format!("what became of them is not known: {error:#}"));
            return Ok(());
        }
        if desk.letters.counts(&under_way).await?.is_empty() || Instant::now() >= give_up_at {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

fn told(plan: &Plan, how: &How) -> Vec<String> {
    let into = |(queue, letters): &(String, i64)| format!("{letters:>8} letters into {queue}");
    let mut lines: Vec<String> = plan.queues.iter().map(into).collect();
    let (letters, groups) = (plan.letters(), plan.groups);
    lines.push(format!("{letters:>8} letters of {groups} groups, {} a second", how.rate));
    if !plan.moved_on.is_empty() {
        lines.push(format!("{:>8} conversations have moved on since:", plan.moved_on.len()));
        lines.extend(plan.moved_on.iter().take(NAMED).map(|id| format!("          {id}")));
        if plan.moved_on.len() > NAMED {
            lines.push("          and others".to_owned());
        }
    }
    for (letters, left_out) in [
        (plan.expired, "left out: their time is over (--expired)"),
        (plan.quarantined, "left out: died too often (--quarantined)"),
        (plan.undecodable, "left out: nobody can decode them"),
        (plan.parked, "left out: their groups are parked (dlq park)"),
    ] {
        if letters > 0 {
            lines.push(format!("{letters:>8} letters {left_out}"));
        }
    }
    if how.quarantined {
        lines.push(format!("including letters that died {QUARANTINED_AFTER} times or more"));
    }
    lines
}

fn plan_json(plan: &Plan, how: &How) -> Value {
    let queue = |(queue, letters): &(String, i64)| json!({ "queue": queue, "letters": letters });
    json!({
        "letters": plan.letters(),
        "groups": plan.groups,
        "rate": how.rate,
        "queues": plan.queues.iter().map(queue).collect::<Vec<_>>(),
        "moved_on": plan.moved_on,
        "left_out": {
            "expired": plan.expired,
            "quarantined": plan.quarantined,
            "undecodable": plan.undecodable,
            "parked": plan.parked,
        },
    })
}

fn say(plan: &Plan, outcome: &Outcome, how: &How) -> anyhow::Result<()> {
    if print::is_for_programs(how.json) {
        let states = outcome.states.iter();
        let states = states.map(|(state, letters)| (state.name().to_owned(), (*letters).into()));
        let states: serde_json::Map<String, Value> = states.collect();
        let sent: i64 = outcome.states.iter().map(|(_, letters)| letters).sum();
        let outcome = json!({ "sent": sent, "stopped": outcome.is_stopped, "states": states });
        return print::json(&json!({ "plan": plan_json(plan, how), "outcome": outcome }));
    }
    for (state, letters) in &outcome.states {
        print::say(&format!("{:<10} {letters}", state.name()))?;
    }
    Ok(())
}

/// Asks on a terminal; elsewhere the answer has to be given beforehand.
fn confirm(yes: bool, question: &str) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(AskedWrongly("nobody is there to confirm: say --yes".to_owned()).into());
    }
    let mut terminal = std::io::stderr();
    write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush()).context("ask")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("read the answer")?;
    let agreed = answer.trim().eq_ignore_ascii_case("y");
    if !agreed {
        print::note("nothing was done");
    }
    Ok(agreed)
}

pub(super) async fn discard(
    desk: &Desk,
    mut filter: Filter,
    reason: &str,
    yes: bool,
    json: bool,
) -> anyhow::Result<Ended> {
    filter.states.get_or_insert_with(|| vec![State::Waiting, State::Pending]);
    let letters = desk.letters.list(&filter, i64::MAX).await?;
    print::note(&format!("{} letters", letters.len()));
    if !letters.is_empty() && !confirm(yes, "Give them up for good?")? {
        return Ok(Ended::Stopped);
    }
    let mut discarded = 0;
    // One that somebody else sends meanwhile is not in the state it was found in.
    for state in State::ALL {
        let found = letters.iter().filter(|letter| letter.state == state);
        let numbers: Vec<i64> = found.map(|letter| letter.number).collect();
        let (moved, noted) = ((&[state][..], State::Discarded), ("discard", &*desk.actor, reason));
        discarded += desk.letters.set(&numbers, moved, noted).await?;
    }
    if print::is_for_programs(json) {
        print::json(&json!({ "letters": letters.len(), "discarded": discarded }))?;
    } else {
        print::say(&format!("discarded {discarded}"))?;
    }
    Ok(if discarded == 0 { Ended::Nothing } else { Ended::Done })
}
