//! Whether the mesh goes on when a caller only listens: "uh-huh", "okay" or a cough into an answer.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use domain::{CallSid, ConversationId};
use serde::Serialize;
use serde_json::json;
use simulator::audio;
use simulator::caller::{BargeIn, CallReport, CallScript, Utterance, Voice};
use store::messages::Speaker;
use store::seed::DEMO;

use super::{OUR_NUMBER, Spread};
use crate::history::{History, TRANSCRIPT_LINES};
use crate::outside::Outside;

/// What the rules engine cannot do, so that the model is asked.
const QUESTION: &str = "Tell me about your practice";
/// When it is said, after the answer began.
const INTO_THE_ANSWER_MS: u64 = 1_000;
/// How fast the model writes: it is still at the answer then.
const TOKEN_MS: u64 = 40;
/// The caller hangs up when nothing was heard for so long: longer than an answer is waited for, shorter than the agent waits
/// before it asks whether somebody is there.
const PATIENCE_MS: u64 = 5_000;

/// What callers do who only listen.
const LISTENING: [&str; 3] = ["uh-huh", "okay", "a cough"];
const COUGH: usize = 2;

/// What became of answers to callers who only listened in one way.
#[derive(Debug, Serialize)]
pub struct Listened {
    /// What they did.
    pub what: &'static str,
    /// How many callers.
    pub calls: usize,
    /// Answers that ended there, or were taken for answered.
    pub interrupted: usize,
    /// For how long the agent fell silent, where it did.
    pub silent: Option<Spread>,
}

/// The same of all of them.
#[derive(Debug, Serialize)]
pub struct ListenReport(pub Vec<Listened>);

impl ListenReport {
    /// Interruptions that were none, and callers.
    pub fn false_interruptions(&self) -> (usize, usize) {
        self.0.iter().fold((0, 0), |(of, all), kind| (of + kind.interrupted, all + kind.calls))
    }
}

/// Has `calls` callers of each kind listen to the model's answer.
pub(super) async fn listen(
    outside: &Outside,
    history: &History,
    calls: usize,
) -> anyhow::Result<ListenReport> {
    // It can be told to go on with an answer that it was at.
    outside.put("/sim/model", &json!({ "mode": "never_alike", "token_ms": TOKEN_MS })).await?;
    let folder = tempfile::tempdir().context("make a folder for a cough")?;
    let cough = folder.path().join("cough.wav");
    std::fs::write(&cough, coughed()).context("write a cough")?;
    let mut of: [(usize, Vec<Duration>); 3] = Default::default();
    for n in 0..calls {
        let [first, second, third] = [0, 1, 2].map(|kind| script(n, kind, &cough));
        let reports =
            tokio::try_join!(outside.call(&first), outside.call(&second), outside.call(&third))?;
        for ((interrupted, silent), report) in of.iter_mut().zip(<[_; 3]>::from(reports)) {
            *interrupted += usize::from(was_interrupted(history, &report).await?);
            silent.extend(fell_silent(&report));
        }
    }
    let of = LISTENING.into_iter().zip(of).map(|(what, (interrupted, silent))| Listened {
        what,
        calls,
        interrupted,
        silent: Spread::of(silent),
    });
    Ok(ListenReport(of.collect()))
}

fn script(n: usize, kind: usize, cough: &Path) -> CallScript {
    let from = format!("+1555775{kind}{n:03}");
    let mut script = CallScript::new(&from, OUR_NUMBER, [QUESTION, LISTENING[kind]]);
    script.options.patience_ms = PATIENCE_MS;
    let listening = &mut script.utterances[1];
    listening.barge_in = Some(BargeIn { after_ms: INTO_THE_ANSWER_MS });
    listening.voice = Voice::Espeak;
    if kind == COUGH {
        *listening = Utterance { wav: Some(cough.to_owned()), ..listening.clone() };
    }
    script
}

/// Whether the history has the answer as cut short, or something as said into it.
async fn was_interrupted(history: &History, report: &CallReport) -> anyhow::Result<bool> {
    let call = CallSid::parse(&report.sid).context("read the simulator's call id")?;
    let conversation = ConversationId::of_call(DEMO, &call);
    // By then all that the caller said is there.
    history.recording(&call).await?;
    let told = history.until(async |tx| {
        let lines = store::messages::transcript(tx, conversation, TRANSCRIPT_LINES).await?;
        let answer = lines.iter().filter(|line| line.speaker == Speaker::Agent).nth(1);
        let whole = answer.and_then(|answer| answer.heard_whole);
        Ok(whole.map(|whole| (lines, whole)))
    });
    let (lines, was_whole) = told.await.context("wait for what the caller heard of the answer")?;
    let said = lines.iter().filter(|line| line.speaker == Speaker::User).count();
    let is_interrupted = said > 1 || !was_whole;
    if is_interrupted {
        let sid = &report.sid;
        eprintln!("call {sid}: {said} messages of the caller, the answer whole: {was_whole}");
    }
    Ok(is_interrupted)
}

/// From the clear of what the agent was saying until it is heard again.
fn fell_silent(report: &CallReport) -> Option<Duration> {
    let cleared = *report.clears_ms.first()?;
    let again = report.heard.iter().map(|turn| turn.start_ms).find(|start| *start > cleared)?;
    Some(Duration::from_millis(again - cleared))
}

/// A burst of noise that dies away, without a pitch: a WAV file.
fn coughed() -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    let mut noise = |ms: usize, peak: i32| -> Vec<i16> {
        let samples = (0..ms * 8).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (i32::from((state >> 16) as i16) * peak / i32::from(i16::MAX)) as i16
        });
        samples.collect()
    };
    let sound = [noise(60, 20_000), noise(180, 6_000)].concat();
    audio::write_wav(&audio::write_pcm(&sound), audio::TELEPHONE_HZ, false)
}

impl fmt::Display for ListenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (of, all) = self.false_interruptions();
        let share = 100.0 * of as f64 / all.max(1) as f64;
        writeln!(f, "{all} callers only listen: false interruptions {of} ({share:.1} %)")?;
        for Listened { what, calls, interrupted, silent } in &self.0 {
            let paused = silent.as_ref().map_or(0, |silent| silent.count);
            writeln!(f, "  {what:<8} interrupted {interrupted} of {calls}, paused {paused}")?;
            if let Some(silent) = silent {
                super::row(f, "  clear → the agent goes on", silent)?;
            }
        }
        Ok(())
    }
}
