//! Sending letters again, and giving them up.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bus::{Queue, Replay};
use store::dead_letters::{Filter, Letter, Plan, QUARANTINED_AFTER, State};
use tokio::time::Instant;

use super::{Desk, Ended, Which, arguments::How};

/// Batches a second while letters are sent: the rate is kept within each tenth.
const BATCHES_A_SECOND: u32 = 10;
/// How often it is asked whether the last letters have been handled.
const POLL: Duration = Duration::from_millis(500);
/// Conversations that have moved on are named, up to so many.
const NAMED: usize = 10;

pub(super) async fn run(desk: &mut Desk, which: &Which, how: &How) -> anyhow::Result<Ended> {
    let filter = which.filter()?;
    let plan = desk.letters.plan(&filter, how.including()).await?;
    tell(&plan, how);
    if plan.letters() == 0 {
        return Ok(Ended::Nothing);
    }
    if how.dry_run {
        return Ok(Ended::Done);
    }
    confirm(how.yes, "Send them?")?;
    let ended = send(desk, &filter, how, plan.letters()).await?;
    report(desk, &filter, how).await?;
    Ok(ended)
}

/// Sends what the filter means until nothing is left or Ctrl-C.
async fn send(desk: &mut Desk, filter: &Filter, how: &How, of: i64) -> anyhow::Result<Ended> {
    let batch = i64::from(how.rate.div_ceil(BATCHES_A_SECOND));
    let began = Instant::now();
    let (mut sent, mut last) = (0_i64, 0);
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let due = began + Duration::from_secs_f64(sent as f64 / f64::from(how.rate));
        tokio::select! {
            biased;
            _ = &mut stop => {
                eprintln!("\nstopped after {sent} of {of}; the same command goes on");
                return Ok(Ended::Stopped);
            }
            () = tokio::time::sleep_until(due) => {}
        }
        let letters = desk.letters.begin(filter, how.including(), last, batch, &desk.actor).await?;
        let Some((newest, _)) = letters.last() else { break };
        last = newest.number;
        for some in letters.chunk_by(|(a, _), (b, _)| a.queue == b.queue) {
            publish(desk, some).await?;
        }
        sent += letters.len() as i64;
        progress(sent, of, began.elapsed());
    }
    eprintln!();
    Ok(Ended::Done)
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
    desk.letters.set(&numbers, State::Published, "published", &desk.actor, "").await
}

fn progress(sent: i64, of: i64, took: Duration) {
    if std::io::stderr().is_terminal() {
        let done = (sent * 40 / of.max(1)).clamp(0, 40) as usize;
        let rate = sent as f64 / took.as_secs_f64().max(0.001);
        eprint!("\r[{}{}] {sent}/{of}  {rate:.0}/s ", "#".repeat(done), " ".repeat(40 - done));
        // A progress bar that cannot be shown stops nothing.
        let _ = std::io::stderr().flush();
    }
}

/// Waits for the outcome of what was sent and says it.
async fn report(desk: &Desk, filter: &Filter, how: &How) -> anyhow::Result<()> {
    let give_up_at = Instant::now() + Duration::from_secs(how.wait_seconds);
    let mut of = filter.clone();
    loop {
        desk.settle().await?;
        of.states = Some(vec![State::Pending, State::Published]);
        let open: i64 = desk.letters.counts(&of).await?.iter().map(|c| c.letters).sum();
        if open == 0 || Instant::now() >= give_up_at {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    of.states = None;
    let counts = desk.letters.counts(&of).await?;
    for state in State::ALL {
        let letters: i64 = counts.iter().filter(|c| c.state == state).map(|c| c.letters).sum();
        if letters > 0 {
            println!("{:<10} {letters}", state.name());
        }
    }
    Ok(())
}

fn tell(plan: &Plan, how: &How) {
    for (queue, letters) in &plan.queues {
        println!("{letters:>8} letters into {queue}");
    }
    println!("{:>8} letters of {} groups, {} a second", plan.letters(), plan.groups, how.rate);
    if !plan.moved_on.is_empty() {
        println!("{:>8} conversations have moved on since:", plan.moved_on.len());
        for conversation in plan.moved_on.iter().take(NAMED) {
            println!("          {conversation}");
        }
        if plan.moved_on.len() > NAMED {
            println!("          and others");
        }
    }
    for (letters, left_out) in [
        (plan.expired, "left out: their time is over (--expired)"),
        (plan.quarantined, "left out: died too often (--quarantined)"),
        (plan.undecodable, "left out: nobody can decode them"),
        (plan.parked, "left out: their groups are parked (dlq park)"),
    ] {
        if letters > 0 {
            println!("{letters:>8} letters {left_out}");
        }
    }
    if how.quarantined {
        println!("including letters that died {QUARANTINED_AFTER} times or more");
    }
}

/// Asks on a terminal; elsewhere the answer has to be given beforehand.
fn confirm(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    ensure!(std::io::stdin().is_terminal(), "nobody is there to confirm: say --yes");
    eprint!("{question} [y/N] ");
    std::io::stderr().flush().context("ask")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("read the answer")?;
    if !answer.trim().eq_ignore_ascii_case("y") {
        bail!("nothing was done");
    }
    Ok(())
}

pub(super) async fn discard(
    desk: &Desk,
    which: &Which,
    reason: &str,
    yes: bool,
) -> anyhow::Result<Ended> {
    ensure!(!reason.trim().is_empty(), "--reason: say why, for the record");
    let mut filter = which.filter()?;
    filter.states.get_or_insert_with(|| vec![State::Waiting, State::Pending]);
    let letters = desk.letters.list(&filter, i64::MAX).await?;
    if letters.is_empty() {
        eprintln!("no dead letters");
        return Ok(Ended::Nothing);
    }
    println!("{} letters", letters.len());
    confirm(yes, "Give them up for good?")?;
    let numbers: Vec<i64> = letters.iter().map(|letter| letter.number).collect();
    desk.letters.set(&numbers, State::Discarded, "discard", &desk.actor, reason).await?;
    println!("discarded {}", numbers.len());
    Ok(Ended::Done)
}
