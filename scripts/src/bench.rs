//! Measures what the mesh itself adds to a turn, beside what the broker alone takes in the same minutes on the same
//! machine.
//!
//! The vendors are the simulator's, with all delays zero, so that nothing of a turn is waiting for the world outside.
//! The times are those the services stamped on the turn and the writer kept, not the bench's own; what the caller waits
//! for is read from the sound at the caller's ear as well.

mod booking;
mod calls;
mod chats;
mod contexts;
mod figures;
mod history;
mod interrupt;
mod listen;
mod raw_hop;
pub(crate) mod usage;
mod waveform;
mod webhook;

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use boot::Environment;
use domain::{CallSid, ConversationId, Stage};
use futures::{StreamExt as _, stream};
use serde::Serialize;
use simulator::caller::CallScript;
use store::seed::{DEMO, DEMO_NUMBER as OUR_NUMBER, DEMO_WHATSAPP as OUR_WHATSAPP};
use tokio_util::sync::CancellationToken;

use crate::history::History;
use crate::outside::Outside;

pub use booking::{BookingFailure, BookingLoad, BookingReport, Way, WayOutcome, booking};
pub use calls::{CallLoad, CallsReport, ServiceUse, calls};
pub use chats::{ChatsReport, ChatsStep, RAISED_RATE, chats};
pub use contexts::{ContextLoad, ContextReport, contexts};
pub use figures::{Hop, Spread, Waterfall};
pub use history::{HistoryLoad, HistoryReport, history};
pub use interrupt::{InterruptReport, interrupt};
pub use listen::{ListenReport, Listened};
use raw_hop::RawHop;
pub use usage::Process;
pub use waveform::Waveform;
pub use webhook::{WebhookReport, WebhookStep, webhook};

/// What each person says or writes, one turn each.
const WORDS: [&str; 4] = [
    "hello there",
    "I would like to make an appointment",
    "tomorrow at ten please",
    "thank you goodbye",
];

/// Every connection is open and every cache warm after so many calls, both tasks of each service having had some.
const WARM_UP: Load = Load { calls: 4, at_once: 4, chats: 4 };
/// The calls that are placed at once begin apart, so that their turns do not fall together.
const APART: Duration = Duration::from_millis(1300);

/// The way of a call's turn through the mesh, from the end of the caller's turn to the first sound of the answer.
const CALL_STAGES: [&str; 7] = [
    Stage::TURN_ENDED,
    Stage::ORCHESTRATOR_STARTED,
    Stage::FIRST_SENTENCE,
    Stage::SPEAK_STARTED,
    Stage::SPOKEN,
    Stage::AUDIO_RECEIVED,
    Stage::FIRST_AUDIO_OUT,
];
/// The way of a chat's turn, from Meta's webhook to Meta's acceptance of the reply.
const CHAT_STAGES: [&str; 5] = [
    Stage::WEBHOOK_RECEIVED,
    Stage::ORCHESTRATOR_STARTED,
    Stage::REPLY_FINISHED,
    Stage::OUTBOUND_STARTED,
    Stage::ACCEPTED,
];

/// What the mesh may add to the hops themselves.
const AIM_OVER_HOPS_MS: f64 = 10.0;

/// How much is asked of the mesh.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Load {
    /// Calls in all, of four turns each.
    pub calls: usize,
    /// Calls at a time.
    pub at_once: usize,
    /// Chats in all, of four turns each, one at a time beside the calls.
    pub chats: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was asked of the mesh.
    pub load: Load,
    /// Processors of this machine.
    pub cores: usize,
    /// `release` or `debug`.
    pub build: &'static str,
    /// Turns that were asked for and not answered and timed.
    pub lost_turns: usize,
    /// A call's turn; `None` where none was answered.
    pub call: Option<Waterfall>,
    /// A chat's turn; `None` where none was answered.
    pub chat: Option<Waterfall>,
    /// What the callers waited, from the waveform; `None` where no call was heard.
    pub waveform: Option<Waveform>,
    /// The broker alone, from a publish to the topic until it is received from a queue behind it.
    pub raw_topic: Option<Spread>,
    /// The broker alone, from a send to a queue until it is received.
    pub raw_queue: Option<Spread>,
    /// The same, of a message as large as the sound of a sentence.
    pub raw_sound: Option<Spread>,
    /// A call's turn crosses the topic once and a queue twice: three raw hops, each at its p95, and 10 ms.
    pub call_aim_p95_ms: Option<f64>,
    /// A chat's turn crosses the topic twice: two raw hops, each at its p95, and 10 ms.
    pub chat_aim_p95_ms: Option<f64>,
}

/// Drives the mesh whose simulator is at `simulator` and whose stores `environment` names.
///
/// # Errors
/// When the mesh cannot be measured at all. A turn that is lost is counted, and why is printed to standard error.
pub async fn turn(
    simulator: &str,
    environment: &Environment,
    load: Load,
) -> anyhow::Result<Report> {
    let outside = Outside::new(simulator)?;
    let history = History::open(environment).await?;
    let raw = RawHop::create(&boot::aws_config().await).await?;
    let path_style = aws_sdk_s3::config::Builder::from(&boot::aws_config().await);
    let s3 = aws_sdk_s3::Client::from_conf(path_style.force_path_style(true).build());
    let people = People { outside: &outside, history: &history, s3: &s3 };

    people.talk(WARM_UP, 0).await;
    let enough = CancellationToken::new();
    let talk = async {
        let talked = people.talk(load, WARM_UP.calls.max(WARM_UP.chats)).await;
        enough.cancel();
        talked
    };
    let (raw_times, (calls, heard, chats)) = tokio::join!(raw.measure(enough.clone()), talk);
    let raw_times = raw_times.context("measure the broker alone")?;
    raw.remove().await?;

    let [raw_topic, raw_queue, raw_sound] =
        [raw_times.topic, raw_times.queue, raw_times.sound].map(Spread::of);
    let aim = |topic_hops: f64, queue_hops: f64| {
        let (topic, queue) = (raw_topic.as_ref()?, raw_queue.as_ref()?);
        Some(topic_hops * topic.p95_ms + queue_hops * queue.p95_ms + AIM_OVER_HOPS_MS)
    };
    let asked = WORDS.len() * (load.calls + load.chats);
    let answered = answered(&calls, &CALL_STAGES) + answered(&chats, &CHAT_STAGES);
    Ok(Report {
        load,
        cores: std::thread::available_parallelism().map_or(1, Into::into),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        lost_turns: asked.saturating_sub(answered),
        call: Waterfall::of(&calls, &CALL_STAGES),
        chat: Waterfall::of(&chats, &CHAT_STAGES),
        waveform: Waveform::of(&heard),
        call_aim_p95_ms: aim(1.0, 2.0),
        chat_aim_p95_ms: aim(2.0, 0.0),
        raw_topic,
        raw_queue,
        raw_sound,
    })
}

/// Turns that went the whole way.
fn answered(turns: &[Vec<Stage>], way: &[&str]) -> usize {
    let reached = |turn: &[Stage], stage: &str| turn.iter().any(|s| s.name == stage);
    turns.iter().filter(|turn| way.iter().all(|stage| reached(turn, stage))).count()
}

/// The stages of each turn of some conversations.
type Turns = Vec<Vec<Stage>>;

struct People<'a> {
    outside: &'a Outside,
    history: &'a History,
    s3: &'a aws_sdk_s3::Client,
}

impl People<'_> {
    /// Has people call and write. `known` people have before, and others do now.
    async fn talk(&self, load: Load, known: usize) -> (Turns, Vec<waveform::Heard>, Turns) {
        let calls = stream::iter(0..load.calls)
            .map(|n| async move {
                if n < load.at_once {
                    tokio::time::sleep(APART * n as u32).await;
                }
                self.call(&format!("+1555778{:04}", known + n)).await
            })
            .buffer_unordered(load.at_once);
        let chats = stream::iter(0..load.chats)
            .then(|n| async move { self.chat(&format!("1555779{:04}", known + n)).await });
        let (calls, chats) = tokio::join!(calls.collect::<Vec<_>>(), chats.collect());
        // Decoding costs a processor: after the last call, so that it disturbs none.
        let mut turns = Vec::new();
        let mut heard = Vec::new();
        for call in calls {
            let listened = async {
                let (call, stages) = call?;
                heard.push(self.listen(&call, &stages).await?);
                Ok(stages)
            };
            turns.push(listened.await);
        }
        (turns_of("call", turns), heard, turns_of("chat", chats))
    }

    async fn listen(&self, call: &CallSid, turns: &Turns) -> anyhow::Result<waveform::Heard> {
        waveform::listen(self.outside, self.history, self.s3, call, turns).await
    }

    async fn call(&self, from: &str) -> anyhow::Result<(CallSid, Turns)> {
        let report = self.outside.call(&CallScript::new(from, OUR_NUMBER, WORDS)).await?;
        let call = CallSid::parse(&report.sid).context("read the simulator's call id")?;
        let turns = self.turns(ConversationId::of_call(DEMO, &call), report.said.len()).await?;
        Ok((call, turns))
    }

    async fn chat(&self, from: &str) -> anyhow::Result<Turns> {
        self.outside.chat(from, OUR_WHATSAPP, &WORDS).await?;
        let chat = ConversationId::of_chat(DEMO, "whatsapp", OUR_WHATSAPP, from);
        self.turns(chat, WORDS.len()).await
    }

    async fn turns(&self, conversation: ConversationId, asked: usize) -> anyhow::Result<Turns> {
        let (_, timings) = self.history.whole(conversation, 0, asked).await?;
        Ok(timings.into_iter().map(|(_, stages)| stages).collect())
    }
}

fn turns_of(kind: &str, conversations: Vec<anyhow::Result<Turns>>) -> Turns {
    let mut turns = Vec::new();
    for conversation in conversations {
        match conversation {
            Ok(found) => turns.extend(found),
            Err(error) => eprintln!("a {kind} was lost: {error:#}"),
        }
    }
    turns
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load { calls, at_once, chats } = self.load;
        writeln!(
            f,
            "{calls} calls of {} turns, {at_once} at once, and {chats} chats; {} cores, {} build",
            WORDS.len(),
            self.cores,
            self.build
        )?;
        writeln!(f, "turns lost: {}", self.lost_turns)?;
        let call = ("a call's turn", &self.call, self.call_aim_p95_ms, "topic and two queues");
        let chat = ("a chat's turn", &self.chat, self.chat_aim_p95_ms, "topic twice");
        for (what, found, aim, hops) in [call, chat] {
            let Some(Waterfall { whole, hops: each }) = found else { continue };
            writeln!(f, "\n{:<44} {:>7} {:>7} {:>7}", format!("{what}, ms"), "p50", "p95", "max")?;
            for hop in each {
                row(f, &format!("  {} → {}", hop.from, hop.to), &hop.took)?;
            }
            row(f, &format!("{} → {}", whole.from, whole.to), &whole.took)?;
            if let Some(aim) = aim {
                let is_met = if whole.took.p95_ms <= aim { "met" } else { "missed" };
                writeln!(f, "aim: raw hops at p95 ({hops}) + 10 ms = {aim:.1}: {is_met}")?;
            }
        }
        if let Some(waveform) = &self.waveform {
            write!(f, "{waveform}")?;
        }
        writeln!(f, "\n{:<44} {:>7} {:>7} {:>7}", "the broker alone, ms", "p50", "p95", "max")?;
        for (what, spread) in [
            ("topic → queue", &self.raw_topic),
            ("queue", &self.raw_queue),
            ("queue, with the sound of a sentence", &self.raw_sound),
        ] {
            if let Some(spread) = spread {
                row(f, &format!("  {what}"), spread)?;
            }
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, what: &str, spread: &Spread) -> fmt::Result {
    let Spread { p50_ms, p95_ms, max_ms, .. } = spread;
    writeln!(f, "{what:<44} {p50_ms:>7.1} {p95_ms:>7.1} {max_ms:>7.1}")
}
