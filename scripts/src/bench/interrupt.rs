//! How soon the mesh stops when a caller speaks into an answer: at the caller's ear, and at the model that still writes; and
//! whether it goes on when the caller only listens.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use boot::Environment;
use domain::{CallSid, ConversationId};
use serde::Serialize;
use serde_json::{Value, json};
use simulator::caller::{BargeIn, CallScript, Utterance};
use store::messages::Speaker;
use store::seed::DEMO;

use super::listen::{ListenReport, listen};
use super::{OUR_NUMBER, Spread, row};
use crate::history::History;
use crate::outside::Outside;

/// What the rules engine cannot do, so that the model is asked.
const QUESTION: &str = "Tell me about your practice";
/// More than a word of listening.
const INTERRUPTION: &str = "Hold on please I meant something else";
/// When the caller speaks, after the answer began.
const INTO_THE_ANSWER_MS: u64 = 1_000;
/// How fast the model writes: the answer takes it longer than the caller listens.
const TOKEN_MS: u64 = 40;
/// About 8 s of the modem voice in its first sentence.
const ANSWER: &str = "We are a small practice by the river and we look after all of your family, from the first tooth \
    of the youngest to the last one of the oldest. Our rooms are bright and quiet, and nobody waits for longer than ten \
    minutes. We are open on every day of the week but Sunday, from nine in the morning until five in the afternoon. On \
    Thursdays we stay for longer, so that whoever works may come as well.";

/// What was measured.
#[derive(Debug, Serialize)]
pub struct InterruptReport {
    /// Callers who interrupted.
    pub calls: usize,
    /// From the caller's first sound to the clear of what the agent was saying.
    pub cleared: Spread,
    /// From the caller's first sound until the model saw its connection closed.
    pub closed: Spread,
    /// From the clear until then.
    pub closed_after_clear: Spread,
    /// Calls in which the history holds other words of the answer than were heard.
    pub not_as_heard: usize,
    /// Callers who only listened.
    pub listening: ListenReport,
}

/// Has `calls` callers, one after the other, speak into the model's answer on the mesh whose simulator is at `simulator`;
/// and as many do each of what is no interruption.
///
/// # Errors
/// When a call does not go as it should: the model was not asked, or had written everything before the caller spoke.
pub async fn interrupt(
    simulator: &str,
    environment: &Environment,
    calls: usize,
) -> anyhow::Result<InterruptReport> {
    let outside = Outside::new(simulator)?;
    let history = History::open(environment).await?;
    let (mut cleared, mut closed, mut after_clear) = (Vec::new(), Vec::new(), Vec::new());
    let mut not_as_heard = 0;
    for n in 0..calls {
        let answers = json!({ "mode": "script", "token_ms": TOKEN_MS, "script": [ANSWER] });
        outside.put("/sim/model", &answers).await?;
        let before = requests(&outside).await?.len();
        let mut script =
            CallScript::new(&format!("+1555776{n:04}"), OUR_NUMBER, [QUESTION, INTERRUPTION]);
        let barge_in = Some(BargeIn { after_ms: INTO_THE_ANSWER_MS });
        script.utterances[1] = Utterance { barge_in, ..Utterance::text(INTERRUPTION) };
        let report = outside.call(&script).await?;
        let answered = report.answered_unix_ms.context("the call was not answered")?;
        let spoke = report.said.get(1).context("the caller did not interrupt")?.start_ms;
        let clear = *report.clears_ms.first().context("the agent was not cleared")?;
        let request = requests(&outside).await?.into_iter().nth(before);
        let request = request.context("the model was not asked")?;
        let gone = request["closed_by_client_ms"].as_i64();
        let gone = gone.context("the model had written all before the caller spoke")?;
        let closed_ms = u64::try_from(gone - answered).context("read the simulator's clocks")?;
        ensure!(clear >= spoke && closed_ms >= spoke, "the agent stopped before the caller spoke");
        cleared.push(Duration::from_millis(clear - spoke));
        closed.push(Duration::from_millis(closed_ms - spoke));
        after_clear.push(Duration::from_millis(closed_ms.saturating_sub(clear)));

        let call = CallSid::parse(&report.sid).context("read the simulator's call id")?;
        let conversation = ConversationId::of_call(DEMO, &call);
        let (lines, _) = history.whole(conversation, 5, 2).await?;
        let heard = report.heard.get(1).map(|turn| turn.text.as_str()).unwrap_or_default();
        let mut kept = lines.iter().filter(|line| line.speaker == Speaker::Agent);
        not_as_heard += usize::from(kept.nth(1).is_none_or(|line| line.text.reveal() != heard));
    }
    let spread = |times| Spread::of(times).context("no call was placed");
    Ok(InterruptReport {
        calls,
        cleared: spread(cleared)?,
        closed: spread(closed)?,
        closed_after_clear: spread(after_clear)?,
        not_as_heard,
        listening: listen(&outside, &history, calls).await?,
    })
}

async fn requests(outside: &Outside) -> anyhow::Result<Vec<Value>> {
    let seen = outside.file("/sim/model/requests").await?;
    serde_json::from_slice(&seen).context("read what the model was asked")
}

impl fmt::Display for InterruptReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} callers speak into an answer; kept otherwise than heard: {}",
            self.calls, self.not_as_heard
        )?;
        writeln!(f, "{:<44} {:>7} {:>7} {:>7}", "ms", "p50", "p95", "max")?;
        row(f, "the caller's first sound → clear", &self.cleared)?;
        row(f, "the caller's first sound → model closed", &self.closed)?;
        row(f, "clear → model closed", &self.closed_after_clear)?;
        write!(f, "{}", self.listening)
    }
}
