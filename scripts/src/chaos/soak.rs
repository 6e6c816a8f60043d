//! A mesh that works for long while Meta misbehaves (issue 5): people write and call, the fault switchboard goes round its
//! faults, and at the end every message is answered exactly once, every status is settled, and memory stands where it stood.
//!
//! No task dies here: that is what the plan of blows is for.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use boot::Environment;
use domain::ConversationId;
use futures::{FutureExt as _, future::try_join_all};
use serde_json::{Value, json};
use simulator::meta::Chat;
use store::messages::Speaker;
use store::seed::{DEMO, DEMO_WHATSAPP};
use tokio::time::{Instant, sleep, sleep_until};

use super::ledger::{self, Verdict};
use super::traffic::{self, Written};
use crate::bench::usage::{Process, Usage};
use crate::history::History;
use crate::log::Log;
use crate::mesh::{Mesh, Options};
use crate::outside::Outside;

/// One fault after the other, so far apart.
const APART: Duration = Duration::from_secs(5);
/// Quiet at the end, in which what is under way comes to its end.
const CALM: Duration = Duration::from_secs(30);
/// A person writes so many messages in all, fewer than a number may send to one person at once (PROTOCOLS 2.4).
const MESSAGES_A_PERSON: usize = 12;
/// Between an answer and the next message.
const THINKS: Duration = Duration::from_millis(700);
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
const SAMPLED_EVERY: Duration = Duration::from_secs(10);
/// In a shorter run caches and pools are still filling.
const JUDGED_FROM: Duration = Duration::from_secs(10 * 60);
/// What memory may grow from the middle to the end of a run: a share, and a little that no run is without.
const GROWTH_MAX: f64 = 0.10;
const GROWTH_SLACK_MB: f64 = 4.0;
const SERVICES: [&str; 4] = ["edge", "orchestrator", "voice", "writer"];

/// How much traffic, for how long.
#[derive(Debug, Clone, Copy)]
pub struct SoakLoad {
    /// How long.
    pub lasting: Duration,
    /// Persons who write at a time.
    pub writers: usize,
    /// Calls at a time.
    pub calls: usize,
}

/// What Meta does wrong for a moment: a path of the simulator's, and what it is told.
fn faults() -> [(&'static str, Value); 9] {
    let point = "/sim/faults/graph/messages";
    let webhook = "/sim/faults/graph/webhook";
    let error = |code: u32| json!({"code": code, "times": 2});
    [
        (point, json!({"status": 500, "times": 2})),
        ("/sim/chats/errors", error(130_429)),
        (webhook, json!({"status": 503, "times": 2})),
        (point, json!({"latency_ms": 2_000, "jitter_ms": 1_000, "times": 4})),
        ("/sim/chats/errors", error(131_056)),
        // Taken, and the answer is lost: a send in doubt, which its status settles.
        (point, json!({"cut_after_bytes": 10, "times": 1})),
        (webhook, json!({"latency_ms": 1_500, "times": 4})),
        ("/sim/chats/errors", error(131_000)),
        (point, json!({"status": 503, "times": 2})),
    ]
}

/// What was found.
#[derive(Debug)]
pub struct SoakVerdict {
    /// What people lost.
    pub people: Verdict,
    /// Messages of ours whose fate nobody knows at the end, as the platform has it.
    pub unsettled: Vec<String>,
    /// How many messages of ours the vendor took.
    pub sent: usize,
    /// How many it refused, by the code.
    pub refusals: BTreeMap<u32, u32>,
    /// The memory of each process.
    pub memory: Vec<Memory>,
    /// Tasks that were not there at the end as at the beginning.
    pub restarted: Vec<String>,
    /// Whether it lasted long enough to judge memory.
    pub judges_memory: bool,
}

/// The memory of one process over the run, MB.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Such as `edge-1`.
    pub name: String,
    /// After a tenth of the run.
    pub start_mb: f64,
    /// In the middle, a mean over a fifth of the run.
    pub middle_mb: f64,
    /// At the end, a mean over a fifth of the run.
    pub end_mb: f64,
    /// By the second half of the run, the straight line that fits best, MB an hour.
    pub slope_mb_an_hour: f64,
    /// Whether it is one of ours that is judged.
    pub is_judged: bool,
}

impl Memory {
    /// `samples` are seconds and MB, in order.
    fn of(name: &str, samples: &[(f64, f64)], is_judged: bool) -> Self {
        let part = |from: f64, to: f64| {
            let at = |share: f64| ((samples.len() as f64) * share) as usize;
            let last = at(to).clamp(1, samples.len().max(1));
            samples.get(at(from).min(last - 1)..last).unwrap_or_default()
        };
        Self {
            name: name.to_owned(),
            start_mb: mean(part(0.1, 0.15)),
            middle_mb: mean(part(0.4, 0.6)),
            end_mb: mean(part(0.8, 1.0)),
            slope_mb_an_hour: 3600.0 * slope(part(0.5, 1.0)),
            is_judged,
        }
    }

    fn is_flat(&self) -> bool {
        self.end_mb <= self.middle_mb * (1.0 + GROWTH_MAX) + GROWTH_SLACK_MB
    }
}

fn mean(samples: &[(f64, f64)]) -> f64 {
    samples.iter().map(|(_, mb)| mb).sum::<f64>() / samples.len().max(1) as f64
}

/// The slope of the straight line with the least squares.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let n = samples.len().max(1) as f64;
    let at = samples.iter().map(|(at, _)| at).sum::<f64>() / n;
    let mb = mean(samples);
    let along: f64 = samples.iter().map(|(x, y)| (x - at) * (y - mb)).sum();
    let square: f64 = samples.iter().map(|(x, _)| (x - at).powi(2)).sum();
    if square == 0.0 { 0.0 } else { along / square }
}

impl SoakVerdict {
    /// Whether nobody lost anything, everything is settled, and memory is flat where that was looked at.
    pub fn is_good(&self) -> bool {
        self.people.is_good()
            && self.unsettled.is_empty()
            && self.restarted.is_empty()
            && (!self.judges_memory || self.growing().next().is_none())
    }

    fn growing(&self) -> impl Iterator<Item = &Memory> {
        self.memory.iter().filter(|memory| memory.is_judged && !memory.is_flat())
    }
}

impl fmt::Display for SoakVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.people)?;
        let refused: u32 = self.refusals.values().sum();
        writeln!(
            f,
            "{} messages of ours, {} unsettled; {refused} refused on the way: {:?}",
            self.sent,
            self.unsettled.len(),
            self.refusals
        )?;
        for one in &self.unsettled {
            writeln!(f, "unsettled: {one}")?;
        }
        for task in &self.restarted {
            writeln!(f, "restarted: {task}")?;
        }
        writeln!(
            f,
            "{:<16} {:>9} {:>9} {:>9} {:>10}",
            "memory, MB", "start", "middle", "end", "MB/hour"
        )?;
        for Memory { name, start_mb, middle_mb, end_mb, slope_mb_an_hour, .. } in &self.memory {
            writeln!(
                f,
                "{name:<16} {start_mb:>9.1} {middle_mb:>9.1} {end_mb:>9.1} {slope_mb_an_hour:>10.1}"
            )?;
        }
        match self.judges_memory {
            false => writeln!(f, "too short to say whether memory is flat")?,
            true => {
                for memory in self.growing() {
                    writeln!(f, "growing: {}", memory.name)?;
                }
            }
        }
        writeln!(f, "{}", if self.is_good() { "passed" } else { "FAILED" })
    }
}

/// Runs a mesh under load and Meta's faults.
///
/// # Errors
/// When the mesh or the simulator itself fails; what people lost is the verdict's.
pub async fn soak(load: SoakLoad, log: &Log) -> anyhow::Result<SoakVerdict> {
    let given = [("SB_LLM".to_owned(), "openai,rules".to_owned())];
    let given = given.into_iter().chain(std::env::vars()).collect();
    let mesh = Mesh::start(Options { given, ..Options::new()? }, log).await?;
    let outside = Outside::new(&mesh.endpoints().simulator)?;
    outside.put("/sim/model", &json!({"mode": "never_alike"})).await?;
    let environment: Environment = mesh.environment().clone().into_iter().collect();
    let history = History::open(&environment).await?;
    let processes: Vec<Process> =
        mesh.processes().map(|(name, pid)| Process { name: name.to_owned(), pid }).collect();

    let trouble_until = Instant::now() + load.lasting;
    let until = trouble_until + CALM;
    let ((), called, written, samples) = tokio::try_join!(
        trouble(&outside, trouble_until),
        traffic::calls(&outside, load.calls, trouble_until),
        write(&outside, load.writers, trouble_until),
        watch(&processes, until).map(Ok),
    )?;
    let unsettled = unsettled(&history, &written).await?;
    let sent = written.iter().map(|of| of.chat.replies().len()).sum();
    let people = ledger::judge(&history, called, written).await?;
    let refusals = outside.until(SETTLE_LIMIT, "/sim/chats/refusals", |_: &_| true).await?;
    let alive: Vec<(String, i32)> =
        mesh.processes().map(|(name, pid)| (name.to_owned(), pid)).collect();
    let restarted = processes.iter().filter(|p| !alive.contains(&(p.name.clone(), p.pid)));
    let restarted = restarted.map(|p| p.name.clone()).collect();
    mesh.stop().await?;
    Ok(SoakVerdict {
        people,
        unsettled,
        sent,
        refusals,
        memory: samples
            .iter()
            .map(|(process, samples)| {
                let is_ours = SERVICES.contains(&process.kind());
                Memory::of(&process.name, samples, is_ours)
            })
            .collect(),
        restarted,
        judges_memory: load.lasting >= JUDGED_FROM,
    })
}

/// Goes round the faults.
async fn trouble(outside: &Outside, until: Instant) -> anyhow::Result<()> {
    for (path, fault) in faults().iter().cycle() {
        let next = Instant::now() + APART;
        if next >= until {
            break;
        }
        match path.starts_with("/sim/faults") {
            true => outside.put(path, fault).await?,
            false => outside.tell(path, fault).await?,
        }
        sleep_until(next).await;
    }
    for point in ["messages", "webhook"] {
        outside.put(&format!("/sim/faults/graph/{point}"), &json!({})).await?;
    }
    Ok(())
}

/// People who write a dozen messages each, `at_once` of them, one after the other.
async fn write(outside: &Outside, at_once: usize, until: Instant) -> anyhow::Result<Vec<Written>> {
    let line = async |line: usize| {
        let mut all = Vec::new();
        while Instant::now() < until {
            let number = format!("15558{line:02}{:05}", all.len());
            all.push(person(outside, line, number, until).await?);
        }
        anyhow::Ok(all)
    };
    Ok(try_join_all((0..at_once).map(line)).await?.into_iter().flatten().collect())
}

/// One after the other, each when the one before is answered: webhooks that Meta repeats keep no order among themselves.
async fn person(
    outside: &Outside,
    line: usize,
    person: String,
    until: Instant,
) -> anyhow::Result<Written> {
    let path = format!("/sim/chats/{person}");
    let mut written = Written { person, texts: Vec::new(), chat: Chat::default() };
    let mut gave_up = false;
    for n in 0..MESSAGES_A_PERSON {
        if Instant::now() >= until || gave_up {
            break;
        }
        let text = format!("word {line} {n}");
        let message = json!({"from": written.person, "name": "Ada",
            "phone_number_id": DEMO_WHATSAPP, "text": text});
        outside.post("/sim/chats/messages", &message).await?;
        written.texts.push(text);
        let wanted = written.texts.len();
        let answered = |chat: &Chat| chat.replies().len() >= wanted;
        gave_up = outside.until(ANSWER_LIMIT, &path, answered).await.is_err();
        sleep(THINKS).await;
    }
    // A second answer may still come, and the statuses of the last one do.
    let settled = |chat: &Chat| {
        let mut ours = chat.lines.iter().filter(|line| !line.by_person);
        ours.all(|line| line.statuses.iter().any(|s| s.status == "read"))
    };
    let _ = outside.until(SETTLE_LIMIT, &path, settled).await;
    written.chat = outside.until(ANSWER_LIMIT, &path, |_: &Chat| true).await?;
    Ok(written)
}

/// Samples the memory of `processes` until it is time: seconds since the beginning, MB.
async fn watch(processes: &[Process], until: Instant) -> Vec<(Process, Vec<(f64, f64)>)> {
    let began = Instant::now();
    let mut all: Vec<_> = processes.iter().map(|p| (p.clone(), Vec::new())).collect();
    while Instant::now() < until {
        for (process, samples) in &mut all {
            // One that is gone is told of by the verdict.
            if let Ok(used) = Usage::of(process) {
                samples.push((began.elapsed().as_secs_f64(), used.memory as f64 / 1e6));
            }
        }
        sleep(SAMPLED_EVERY).await;
    }
    all
}

/// Messages of ours that the vendor has taken, and of which the platform does not know that they were read.
async fn unsettled(history: &History, written: &[Written]) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for of in written {
        let conversation = ConversationId::of_chat(DEMO, "whatsapp", DEMO_WHATSAPP, &of.person);
        let open = async |tx: &store::TenantTx| {
            let messages = store::history::messages(tx, conversation, None, false, 1_000).await?;
            let ours = messages.into_iter().filter(|m| m.speaker != Speaker::User);
            let fates = ours.map(|m| m.delivery.map_or("unknown".to_owned(), |d| d.status));
            anyhow::Ok(fates.filter(|fate| fate != "read" && fate != "failed").collect::<Vec<_>>())
        };
        let settled = history.until(async |tx| Ok(open(tx).await?.is_empty().then_some(()))).await;
        if settled.is_err() {
            let open = history.until(async |tx| Ok(Some(open(tx).await?))).await?;
            all.extend(open.into_iter().map(|fate| format!("{}: {fate}", of.person)));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(mb: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..180).map(|n| (10.0 * f64::from(n), mb(f64::from(n) / 180.0))).collect()
    }

    #[test]
    fn memory_that_fills_and_stays_is_flat_and_what_leaks_is_not() {
        let fills = Memory::of("edge-1", &samples(|t| 30.0 + 10.0 * (t * 5.0).min(1.0)), true);
        assert!(fills.is_flat(), "{fills:?}");
        assert!(fills.slope_mb_an_hour.abs() < 0.1, "{fills:?}");
        let leaks = Memory::of("edge-1", &samples(|t| 30.0 + 60.0 * t), true);
        assert!(!leaks.is_flat(), "{leaks:?}");
        assert!((leaks.slope_mb_an_hour - 120.0).abs() < 2.0, "{leaks:?}");
    }

    #[test]
    fn a_run_without_samples_is_no_panic() {
        let none = Memory::of("edge-1", &[], true);
        assert_eq!((none.start_mb, none.end_mb), (0.0, 0.0));
        assert!(Memory::of("edge-1", &[(0.0, 1.0)], true).is_flat());
    }
}
