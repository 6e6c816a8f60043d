//! People who call and write, and what they noted of it.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::json;
use simulator::caller::{CallOptions, CallReport, CallScript, Utterance};
use simulator::meta::Chat;
use store::seed::{DEMO_NUMBER, DEMO_WHATSAPP};
use tokio::sync::Mutex;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::caller::{Caller, Next, Outcome};
use crate::outside::Outside;

/// How often a caller thinks about what to do.
const THINKS_EVERY: Duration = Duration::from_millis(250);
/// Longer than the pauses within an answer, ms.
const QUIET_MS: u64 = 700;
const CALL_LIMIT: Duration = Duration::from_secs(420);
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// Who has written so often leaves it to another.
const MESSAGES_OF_ONE: usize = 20;

/// A call, as the caller's own notes and the simulator have it.
pub(super) struct Called {
    pub(super) asked: Vec<(&'static str, Outcome)>,
    pub(super) report: CallReport,
}

/// A person's chat: what was written, and the chat as the vendor has it.
pub(super) struct Written {
    pub(super) person: String,
    pub(super) texts: Vec<String>,
    pub(super) chat: Chat,
}

/// Calls, `at_once` of them, until it is time.
pub(super) async fn calls(
    outside: &Outside,
    at_once: usize,
    until: Instant,
) -> anyhow::Result<Vec<Called>> {
    let line = async |line: usize| {
        let mut calls = Vec::new();
        while Instant::now() < until {
            let from = format!("+1555777{line:02}{:02}", calls.len() % 100);
            calls.push(call(outside, &from).await?);
        }
        anyhow::Ok(calls)
    };
    Ok(try_join_all((0..at_once).map(line)).await?.into_iter().flatten().collect())
}

async fn call(outside: &Outside, from: &str) -> anyhow::Result<Called> {
    let mut script = CallScript::new(from, DEMO_NUMBER, [] as [&str; 0]);
    script.options = CallOptions { quiet_ms: QUIET_MS, stays: true, ..CallOptions::default() };
    let sid = outside.place(&script).await?;
    let path = format!("/sim/calls/{sid}");
    let mut caller = Caller::default();
    let until = Instant::now() + CALL_LIMIT;
    loop {
        let report: CallReport = outside.now(&path).await?;
        let now_ms = report.answered_unix_ms.map_or(0, |answered| {
            u64::try_from(Timestamp::now().as_millisecond() - answered).unwrap_or_default()
        });
        // A call that has ended meanwhile takes no more; the next look shows it.
        match caller.next(&report, now_ms) {
            Next::Wait => {}
            Next::Say(word) => {
                let now = Utterance { at_ms: Some(0), ..Utterance::text(word) };
                let _ = outside.tell(&format!("{path}/say"), &now).await;
            }
            Next::HangUp => drop(outside.tell(&format!("{path}/hangup"), &json!({})).await),
        }
        if report.status.is_final() || Instant::now() >= until {
            break;
        }
        tokio::time::sleep(THINKS_EVERY).await;
    }
    // One that has no end is over for the caller.
    let _ = outside.tell(&format!("{path}/hangup"), &json!({})).await;
    Ok(Called { asked: caller.asked, report: outside.over(&sid).await? })
}

/// Chats until it is time, `a_second` of messages begun each second, each person waiting for the answer before writing again.
pub(super) async fn chats(
    outside: &Outside,
    a_second: f64,
    until: Instant,
) -> anyhow::Result<Vec<Written>> {
    if a_second <= 0.0 {
        return Ok(Vec::new());
    }
    let mut turns = interval(Duration::from_secs_f64(1.0 / a_second));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let turns = Mutex::new(turns);
    // An answer takes up to some seconds while things break.
    let writers = (8.0 * a_second).ceil() as usize;
    let written = (0..writers).map(|writer| write(outside, writer, &turns, until));
    Ok(try_join_all(written).await?.into_iter().flatten().collect())
}

async fn write(
    outside: &Outside,
    writer: usize,
    turns: &Mutex<Interval>,
    until: Instant,
) -> anyhow::Result<Vec<Written>> {
    let mut all = Vec::new();
    while Instant::now() < until {
        let person = format!("1555{writer:03}{:04}", 8000 + all.len());
        let path = format!("/sim/chats/{person}");
        let mut written = Written { person, texts: Vec::new(), chat: Chat::default() };
        while written.texts.len() < MESSAGES_OF_ONE {
            turns.lock().await.tick().await;
            if Instant::now() >= until {
                break;
            }
            let text = format!("word {writer} {} {}", all.len(), written.texts.len());
            let message = json!({"from": written.person, "name": "Ada",
                "phone_number_id": DEMO_WHATSAPP, "text": text});
            outside.tell("/sim/chats/messages", &message).await?;
            written.texts.push(text);
            let wanted = written.texts.len();
            let answered = |chat: &Chat| chat.replies().len() >= wanted;
            if outside.until(ANSWER_LIMIT, &path, answered).await.is_err() {
                break;
            }
        }
        if !written.texts.is_empty() {
            all.push(written);
        }
    }
    // What came after the last look counts as well: a second answer does.
    for written in &mut all {
        written.chat = outside.now(&format!("/sim/chats/{}", written.person)).await?;
    }
    Ok(all)
}
