//! How many WhatsApp messages a second the whole mesh answers: from one person who writes at a time up to where more of
//! them bring no more, and what binds there.
//!
//! Each person writes when the message before was answered, so that nobody's messages are folded into one answer. The
//! writers, Meta and the stores run on the same machine, so each process is measured by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use boot::Environment;
use domain::{ConversationId, Stage};
use futures::future::join_all;
use serde::Serialize;
use simulator::meta::Rates;
use store::seed::DEMO;
use tokio::time::Instant;

use super::figures::is_past_the_knee;
use super::usage::{Process, Sample};
use super::{CHAT_STAGES, OUR_WHATSAPP, WORDS, Waterfall, row};
use crate::history::History;
use crate::outside::Outside;

/// More people at a time are not tried.
const MOST_PEOPLE: usize = 256;
/// What Meta takes from a number whose throughput it has raised, messages a second (PROTOCOLS 2.4).
pub const RAISED_RATE: u32 = 1000;

/// One number of people.
#[derive(Debug, Serialize)]
pub struct ChatsStep {
    /// People who write, each waiting for the answer before the next message.
    pub people: usize,
    /// Messages answered a second.
    pub messages_a_second: f64,
    /// From the writing to the answer in the person's hand, ms.
    pub p50_ms: f64,
    /// The same at the 99th percentile.
    pub p99_ms: f64,
    /// Cores that each kind of process kept busy.
    pub cores: BTreeMap<String, f64>,
    /// Where the time of a message went, by the stamps of its turn.
    pub turn: Option<Waterfall>,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct ChatsReport {
    /// Processors of this machine.
    pub cores: usize,
    /// `release` or `debug`.
    pub build: &'static str,
    /// In the order of people; up to two beyond the knee.
    pub steps: Vec<ChatsStep>,
    /// Messages that were not answered, or that the history lacks.
    pub lost: usize,
}

impl ChatsReport {
    /// The step of the most messages a second.
    fn knee(&self) -> Option<&ChatsStep> {
        self.steps.iter().max_by(|a, b| a.messages_a_second.total_cmp(&b.messages_a_second))
    }
}

/// Has people write to the mesh whose simulator is at `simulator`, whose stores `environment` names, and which runs as
/// `processes`, `each` long at every number of people.
///
/// # Errors
/// When the mesh cannot be measured, or nothing is answered. A message that is lost is counted, and why is printed to
/// standard error.
pub async fn chats(
    simulator: &str,
    environment: &Environment,
    processes: &[Process],
    each: Duration,
) -> anyhow::Result<ChatsReport> {
    let outside = Outside::new(simulator)?;
    let history = History::open(environment).await?;
    let interval = Duration::from_secs(1) / RAISED_RATE;
    let rates = Rates {
        number_interval_us: u64::try_from(interval.as_micros()).context("read the rate")?,
        number_burst: RAISED_RATE,
        ..Rates::default()
    };
    outside.put("/sim/chats/rates", &rates).await?;
    let own = Process { name: "writers".to_owned(), pid: std::process::id().cast_signed() };
    let processes = [processes, &[own]].concat();
    let warm_up = (0..4).map(|n| write(&outside, format!("15557760{n:05}"), Instant::now()));
    join_all(warm_up).await;

    let mut report = ChatsReport {
        cores: std::thread::available_parallelism().map_or(1, Into::into),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        steps: Vec::new(),
        lost: 0,
    };
    let mut people = 1;
    while people <= MOST_PEOPLE {
        let before = Sample::take(&processes)?;
        let begun = Instant::now();
        let writers = (0..people).map(|n| person(&outside, people, n, begun + each));
        let chats: Vec<Chat> = join_all(writers).await.into_iter().flatten().collect();
        let took = begun.elapsed().as_secs_f64();
        let after = Sample::take(&processes)?;

        let mut waits: Vec<f64> = chats.iter().flat_map(|chat| &chat.waits_ms).copied().collect();
        ensure!(!waits.is_empty(), "nothing was answered");
        waits.sort_by(f64::total_cmp);
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        let mut cores: BTreeMap<String, f64> = BTreeMap::new();
        for (n, process) in processes.iter().enumerate() {
            *cores.entry(process.kind().to_owned()).or_default() += after.cores(&before, n);
        }
        let mut turns = Vec::new();
        for chat in &chats {
            let (lost, timed) = judge(&history, chat).await;
            report.lost += lost;
            turns.extend(timed);
        }
        report.steps.push(ChatsStep {
            people,
            messages_a_second: waits.len() as f64 / took,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            cores,
            turn: Waterfall::of(&turns, &CHAT_STAGES),
        });
        let rates: Vec<f64> = report.steps.iter().map(|step| step.messages_a_second).collect();
        if is_past_the_knee(&rates) {
            break;
        }
        people *= 2;
    }
    Ok(report)
}

/// What became of one chat.
struct Chat {
    person: String,
    /// What each message waited for its answer.
    waits_ms: Vec<f64>,
    /// Why the last message was lost.
    fault: Option<anyhow::Error>,
}

/// Somebody else writes as soon as a chat is over, until `until`.
async fn person(outside: &Outside, people: usize, place: usize, until: Instant) -> Vec<Chat> {
    let mut chats = Vec::new();
    while Instant::now() < until {
        let number = format!("1{people:03}{place:03}{:05}", chats.len());
        chats.push(write(outside, number, until).await);
    }
    chats
}

/// One chat. Once it is late, no more is written in it.
async fn write(outside: &Outside, person: String, until: Instant) -> Chat {
    let mut chat = Chat { person, waits_ms: Vec::new(), fault: None };
    for (n, text) in WORDS.iter().enumerate() {
        let begun = Instant::now();
        let answered = async {
            outside.write(&chat.person, OUR_WHATSAPP, text).await?;
            let replies = outside.replied(&chat.person, n + 1).await?.replies().len();
            ensure!(replies == n + 1, "{replies} answers to {} messages", n + 1);
            Ok(())
        };
        if let Err(fault) = answered.await {
            chat.fault = Some(fault);
            break;
        }
        chat.waits_ms.push(begun.elapsed().as_secs_f64() * 1000.0);
        if Instant::now() >= until {
            break;
        }
    }
    chat
}

/// How many messages of a chat were not answered or are not in the history with their answers, and the stages of the
/// others.
async fn judge(history: &History, chat: &Chat) -> (usize, Vec<Vec<Stage>>) {
    let unanswered = usize::from(chat.fault.is_some());
    if let Some(fault) = &chat.fault {
        eprintln!("chat {}: {fault:#}", chat.person);
    }
    let conversation = ConversationId::of_chat(DEMO, "whatsapp", OUR_WHATSAPP, &chat.person);
    let turns = chat.waits_ms.len();
    match history.whole(conversation, 2 * turns, turns).await {
        Ok((_, timings)) => (unanswered, timings.into_iter().map(|(_, stages)| stages).collect()),
        Err(error) => {
            eprintln!("chat {}: {error:#}", chat.person);
            (unanswered + turns, Vec::new())
        }
    }
}

impl fmt::Display for ChatsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "WhatsApp messages through the mesh; {} cores, {} build",
            self.cores, self.build
        )?;
        writeln!(
            f,
            "{:>7} {:>11} {:>8} {:>8} {:>11}",
            "people", "messages/s", "p50 ms", "p99 ms", "cores busy"
        )?;
        for step in &self.steps {
            writeln!(
                f,
                "{:>7} {:>11.0} {:>8.1} {:>8.1} {:>11.2}",
                step.people,
                step.messages_a_second,
                step.p50_ms,
                step.p99_ms,
                step.cores.values().sum::<f64>()
            )?;
        }
        writeln!(f, "messages not answered or not in the history: {}", self.lost)?;
        let Some(knee) = self.knee() else { return Ok(()) };
        if let Some(Waterfall { whole, hops }) = &knee.turn {
            let title = format!("a message with {} people, ms", knee.people);
            writeln!(f, "\n{title:<44} {:>7} {:>7} {:>7}", "p50", "p95", "max")?;
            for hop in hops {
                row(f, &format!("  {} → {}", hop.from, hop.to), &hop.took)?;
            }
            row(f, &format!("{} → {}", whole.from, whole.to), &whole.took)?;
        }
        writeln!(f, "\n{:<24} {:>7} {:>13}", "processes", "cores", "ms a message")?;
        let mut by_use: Vec<_> = knee.cores.iter().collect();
        by_use.sort_by(|a, b| b.1.total_cmp(a.1));
        for (name, cores) in by_use {
            writeln!(
                f,
                "{name:<24} {cores:>7.3} {:>13.2}",
                1000.0 * cores / knee.messages_a_second
            )?;
        }
        Ok(())
    }
}
