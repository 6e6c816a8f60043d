//! What many calls at a time cost: processor and memory of each service, and the mesh's own time under that load.
//!
//! The callers, the vendors and the stores run on the same machine, so each process is measured by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use boot::Environment;
use domain::{CallSid, ConversationId, Stage};
use serde::Serialize;
use simulator::caller::{CallReport, CallScript};
use store::messages::Speaker;
use store::seed::DEMO;
use tokio::time::{Instant, sleep, sleep_until};

use super::usage::{Process, Sample};
use super::{CALL_STAGES, OUR_NUMBER, Waterfall, row};
use crate::history::History;
use crate::outside::Outside;

/// What a caller says in one call of about 80 s, one turn each, and nothing that leads to a human.
const WORDS: [&str; 12] = [
    "hello there",
    "I would like to make an appointment",
    "my name is Anna Lee",
    "never mind the appointment",
    "Could you tell me what it costs?",
    "I would like to make an appointment",
    "for Anna Lee please",
    "never mind the appointment",
    "Could you tell me what it costs?",
    "I would like to make an appointment",
    "never mind the appointment",
    "thank you goodbye",
];
/// Callers begin apart, so that their turns do not fall together.
const APART: Duration = Duration::from_millis(150);
/// How long a mesh without calls is watched, for what it uses by itself.
const IDLE: Duration = Duration::from_secs(5);
/// A question about a call costs the simulator, which shares the machine.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// Lines of a call's transcript: the greeting, and two a turn.
const LINES: usize = 1 + 2 * WORDS.len();

/// How many calls, for how long.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CallLoad {
    /// Calls at a time. One that ends is followed by another.
    pub calls: usize,
    /// How long they are watched once all have begun.
    pub watched: Duration,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct CallsReport {
    /// What was asked.
    pub load: CallLoad,
    /// Processors of this machine.
    pub cores: usize,
    /// `release` or `debug`.
    pub build: &'static str,
    /// Turns spoken and answered.
    pub turns: usize,
    /// Turns that arrived damaged or not at all, on either end.
    pub faulty_turns: usize,
    /// The mesh's own time in a turn.
    pub turn: Option<Waterfall>,
    /// What each service used, all its tasks together.
    pub services: Vec<ServiceUse>,
}

/// What the processes of one kind used.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceUse {
    /// The service or store.
    pub name: String,
    /// How many processes.
    pub processes: usize,
    /// Of one core, while the calls ran: 1 is one core busy all the time.
    pub cores: f64,
    /// The same while there were none.
    pub idle_cores: f64,
    /// Memory at the end of the watch, MB (10^6 bytes).
    pub memory_mb: f64,
    /// Memory before the calls.
    pub idle_memory_mb: f64,
}

impl ServiceUse {
    fn core_percent_a_call(&self, calls: usize) -> f64 {
        100.0 * (self.cores - self.idle_cores) / calls as f64
    }

    fn memory_mb_a_call(&self, calls: usize) -> f64 {
        (self.memory_mb - self.idle_memory_mb) / calls as f64
    }
}

/// Has people call the mesh whose simulator is at `simulator`, whose stores `environment` names, and which runs as
/// `processes`.
///
/// # Errors
/// When the mesh cannot be measured. What went wrong with a call is counted and printed to standard error.
pub async fn calls(
    simulator: &str,
    environment: &Environment,
    processes: &[Process],
    load: CallLoad,
) -> anyhow::Result<CallsReport> {
    let outside = Outside::new(simulator)?.asking_every(ASK_EVERY);
    let history = History::open(environment).await?;
    let warm_up = (0..4).map(|n| caller(&outside, n, Instant::now()));
    futures::future::join_all(warm_up).await;

    let before_idle = Sample::take(processes)?;
    sleep(IDLE).await;
    let after_idle = Sample::take(processes)?;

    let begun = Instant::now();
    let all_there = begun + APART * load.calls as u32;
    let until = all_there + load.watched;
    let callers = (0..load.calls).map(|n| {
        let outside = &outside;
        async move {
            sleep_until(begun + APART * n as u32).await;
            caller(outside, 100 + n, until).await
        }
    });
    let watch = async {
        sleep_until(all_there).await;
        let before = Sample::take(processes)?;
        sleep_until(until).await;
        anyhow::Ok((before, Sample::take(processes)?))
    };
    let (conversations, watched) = tokio::join!(futures::future::join_all(callers), watch);
    let (before, after) = watched?;

    let mut turns = Vec::new();
    let mut faulty_turns = 0;
    let conversations: Vec<_> = conversations.into_iter().flatten().collect();
    let asked = WORDS.len() * conversations.len();
    for report in &conversations {
        let (faults, timed) = match report {
            Ok(report) => match judge(&history, report).await {
                Ok(judged) => judged,
                Err(error) => {
                    eprintln!("call {}: {error:#}", report.sid);
                    (WORDS.len(), Vec::new())
                }
            },
            Err(error) => {
                eprintln!("a call was lost: {error:#}");
                (WORDS.len(), Vec::new())
            }
        };
        faulty_turns += faults;
        turns.extend(timed);
    }
    Ok(CallsReport {
        load,
        cores: std::thread::available_parallelism().map_or(1, Into::into),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        turns: asked,
        faulty_turns,
        turn: Waterfall::of(&turns, &CALL_STAGES),
        services: services(processes, [&before_idle, &after_idle, &before, &after]),
    })
}

/// One person who calls again and again until `until`, and finishes the last call.
async fn caller(
    outside: &Outside,
    number: usize,
    until: Instant,
) -> Vec<anyhow::Result<CallReport>> {
    let script = CallScript::new(&format!("+1555776{number:04}"), OUR_NUMBER, WORDS);
    let mut reports = Vec::new();
    loop {
        reports.push(outside.call(&script).await);
        if Instant::now() >= until {
            return reports;
        }
    }
}

/// Turns of a call that did not arrive as they were said, at the caller's ear or in the history; and the stages of all.
async fn judge(history: &History, report: &CallReport) -> anyhow::Result<(usize, Vec<Vec<Stage>>)> {
    let call = CallSid::parse(&report.sid).context("read the simulator's call id")?;
    let conversation = ConversationId::of_call(DEMO, &call);
    let (lines, timings) = history.whole(conversation, LINES, WORDS.len()).await?;
    let said = |speaker| {
        let lines = lines.iter().filter(move |line| line.speaker == speaker);
        lines.map(|line| line.text.reveal()).collect::<Vec<_>>()
    };
    let damaged = report.heard.iter().filter(|turn| !turn.whole || !turn.faults.is_empty());
    let faults = damaged.count()
        + unlike(&WORDS, &said(Speaker::User))
        + unlike(&report.texts(), &said(Speaker::Agent));
    if faults > 0 {
        eprintln!("call {}: {faults} faults", report.sid);
    }
    Ok((faults.min(WORDS.len()), timings.into_iter().map(|(_, stages)| stages).collect()))
}

/// How many of two rows of texts differ, one lacking counted as well.
fn unlike(one: &[&str], other: &[&str]) -> usize {
    let differ = one.iter().zip(other).filter(|(a, b)| a != b).count();
    differ + one.len().abs_diff(other.len())
}

fn services(
    processes: &[Process],
    [idle_from, idle_to, from, to]: [&Sample; 4],
) -> Vec<ServiceUse> {
    const MB: f64 = 1e6;
    let mut kinds: BTreeMap<&str, ServiceUse> = BTreeMap::new();
    for (n, process) in processes.iter().enumerate() {
        let kind = kinds.entry(process.kind()).or_insert_with(|| ServiceUse {
            name: process.kind().to_owned(),
            processes: 0,
            cores: 0.0,
            idle_cores: 0.0,
            memory_mb: 0.0,
            idle_memory_mb: 0.0,
        });
        kind.processes += 1;
        kind.cores += to.cores(from, n);
        kind.idle_cores += idle_to.cores(idle_from, n);
        kind.memory_mb += to.memory(n) as f64 / MB;
        kind.idle_memory_mb += idle_to.memory(n) as f64 / MB;
    }
    kinds.into_values().collect()
}

impl fmt::Display for CallsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallLoad { calls, watched } = self.load;
        writeln!(
            f,
            "{calls} calls at once for {} s; {} cores, {} build",
            watched.as_secs(),
            self.cores,
            self.build
        )?;
        writeln!(f, "turns: {}, of them with a fault: {}", self.turns, self.faulty_turns)?;
        if let Some(Waterfall { whole, hops }) = &self.turn {
            writeln!(f, "\n{:<44} {:>7} {:>7} {:>7}", "a call's turn, ms", "p50", "p95", "max")?;
            for hop in hops {
                row(f, &format!("  {} → {}", hop.from, hop.to), &hop.took)?;
            }
            row(f, &format!("{} → {}", whole.from, whole.to), &whole.took)?;
        }
        writeln!(
            f,
            "\n{:<24} {:>7} {:>7} {:>9} {:>9} {:>8} {:>8}",
            "processes", "cores", "idle", "% a call", "MB", "idle", "a call"
        )?;
        for used in &self.services {
            writeln!(
                f,
                "{:<24} {:>7.3} {:>7.3} {:>9.3} {:>9.1} {:>8.1} {:>8.2}",
                format!("{} ({})", used.name, used.processes),
                used.cores,
                used.idle_cores,
                used.core_percent_a_call(calls),
                used.memory_mb,
                used.idle_memory_mb,
                used.memory_mb_a_call(calls),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_lacks_counts_as_one_that_differs() {
        assert_eq!(unlike(&["a", "b"], &["a", "b"]), 0);
        assert_eq!(unlike(&["a", "b"], &["x", "b"]), 1);
        assert_eq!(unlike(&["a", "b"], &["a"]), 1);
    }
}
