//! A person's talk with the platform, over the simulator.

use std::time::Duration;

use anyhow::Context as _;
use domain::{CallSid, ConversationId};
use jiff::Timestamp;
use serde_json::json;
use simulator::caller::{CallOptions, CallReport, CallScript, Utterance};
use simulator::meta::Chat;
use store::seed::{DEMO, DEMO_GATHER_NUMBER, DEMO_NUMBER, DEMO_WHATSAPP};
use tokio::time::{Instant, sleep};

use super::customer::{Customer, Line, Next};
use super::persona::{Habit, Persona, Way};
use crate::outside::Outside;

/// How often a person thinks about what to do.
const THINKS_EVERY: Duration = Duration::from_millis(200);
/// The agent has finished when it was quiet for so long, ms.
const QUIET_MS: u64 = 700;
/// Who interrupts lets the agent speak so long, ms.
const INTERRUPTED_AFTER_MS: u64 = 1_200;
/// What asks nothing may be followed by more for so long, ms.
const MORE_MS: u64 = 4_000;
/// An answer is awaited so long, ms.
const ANSWER_MS: u64 = 15_000;
/// Who says nothing is asked within this time, ms.
const SILENT_MS: u64 = 30_000;
/// How often a person speaks up unasked.
const SPEAKS_UP_MAX: usize = 2;
/// After the goodbye the agent hangs up, ms.
const HANG_UP_MS: u64 = 8_000;
/// Peak of the noise on the line of who calls from a noisy place.
const NOISE_PEAK: u16 = 400;
const CALL_LIMIT: Duration = Duration::from_secs(280);
const REPLY_LIMIT: Duration = Duration::from_secs(20);
/// A reply may be followed by another.
const SETTLED: Duration = Duration::from_millis(400);

/// What became of a talk.
pub(super) struct Talk {
    pub(super) persona: Persona,
    pub(super) customer: Customer,
    pub(super) conversation: ConversationId,
    /// From the answer, or the first message, to the end.
    pub(super) lasted: Duration,
    /// Each line: seconds, who, what.
    pub(super) transcript: Vec<(f64, &'static str, String)>,
}

/// Has the person call or write, until the talk is over.
///
/// # Errors
/// When the simulator refuses, or no answer comes in time.
pub(super) async fn talk(outside: &Outside, persona: Persona) -> anyhow::Result<Talk> {
    match persona.way {
        Way::Stream => call(outside, persona, DEMO_NUMBER).await,
        Way::Gather => call(outside, persona, DEMO_GATHER_NUMBER).await,
        Way::Chat => chat(outside, persona).await,
    }
}

/// Where a caller stands in the call.
#[derive(Default)]
struct Place {
    /// Turns of the agent that were taken in.
    turns: usize,
    /// Utterances that were sent to be said.
    said: usize,
    /// How long nothing may be heard before the person speaks up.
    patience_ms: u64,
    spoke_up: usize,
    /// When the person wanted to hang up.
    leaves_ms: Option<u64>,
}

/// What a caller does now.
fn next(customer: &mut Customer, report: &CallReport, place: &mut Place, now_ms: u64) -> Next {
    let is_speaking = report.said.iter().filter(|said| said.end_ms.is_some()).count() < place.said;
    if is_speaking || report.heard.iter().any(|turn| turn.decoding) {
        return Next::Wait;
    }
    if let Some(from_ms) = report.hearing_from_ms {
        let is_greeting = report.heard.is_empty() && report.said.is_empty();
        let is_due = is_greeting && now_ms >= from_ms + INTERRUPTED_AFTER_MS;
        return if is_due { customer.greeted() } else { Next::Wait };
    }
    let spoke_ms = report.said.last().and_then(|said| said.end_ms).unwrap_or_default();
    // What the person spoke into is no answer to what they said.
    let new = report.heard.iter().skip(place.turns).filter(|turn| turn.end_ms > spoke_ms);
    let words: Vec<&str> = new.map(|turn| turn.text.as_str()).collect();
    place.turns = report.heard.len();
    if !words.is_empty() {
        place.patience_ms = MORE_MS;
        return customer.hear(&words.join(" "));
    }
    let heard_ms = report.heard.last().map_or(0, |turn| turn.end_ms);
    if now_ms < heard_ms.max(spoke_ms) + place.patience_ms {
        return Next::Wait;
    }
    place.spoke_up += 1;
    if place.spoke_up > SPEAKS_UP_MAX { Next::HangUp } else { customer.wait_no_longer() }
}

async fn call(outside: &Outside, persona: Persona, to: &str) -> anyhow::Result<Talk> {
    let own = persona.own_number();
    let from = if persona.is_hidden { "anonymous" } else { &own };
    let mut script = CallScript::new(from, to, [] as [&str; 0]);
    script.options = CallOptions {
        quiet_ms: QUIET_MS,
        stays: true,
        noise_peak: if persona.has(Habit::Noisy) { NOISE_PEAK } else { 0 },
        ..CallOptions::default()
    };
    let sid = outside.place(&script).await?;
    let path = format!("/sim/calls/{sid}");
    let mut customer = Customer::new(persona.clone());
    let mut place = Place { patience_ms: ANSWER_MS, ..Place::default() };
    let until = Instant::now() + CALL_LIMIT;
    loop {
        sleep(THINKS_EVERY).await;
        let report: CallReport = outside.now(&path).await?;
        if report.status.is_final() || Instant::now() >= until {
            break;
        }
        let Some(answered) = report.answered_unix_ms else { continue };
        let now_ms = Timestamp::now().as_millisecond().saturating_sub(answered).unsigned_abs();
        if let Some(left_ms) = place.leaves_ms {
            if now_ms >= left_ms + HANG_UP_MS {
                break;
            }
            continue;
        }
        match next(&mut customer, &report, &mut place, now_ms) {
            Next::Wait => {}
            Next::KeepSilent => place.patience_ms = SILENT_MS,
            Next::HangUp => place.leaves_ms = Some(now_ms),
            Next::Say(line) => {
                place.patience_ms = if line.text.is_empty() { SILENT_MS } else { ANSWER_MS };
                say(outside, &path, line, &mut place).await;
            }
        }
    }
    // One that is over already refuses.
    let _ = outside.tell(&format!("{path}/hangup"), &json!({})).await;
    let report = outside.over(&sid).await?;
    let call = CallSid::parse(&report.sid).context("read the simulator's call id")?;
    Ok(Talk {
        persona,
        customer,
        conversation: ConversationId::of_call(DEMO, &call),
        lasted: Duration::from_millis(report.duration_ms.unwrap_or_default()),
        transcript: transcript(&report),
    })
}

/// A call that has ended meanwhile takes no more; the next look shows it.
async fn say(outside: &Outside, path: &str, line: Line, place: &mut Place) {
    let Line { text, coughs } = line;
    let now = Utterance { at_ms: Some(0), coughs, ..Utterance::text(text) };
    if outside.tell(&format!("{path}/say"), &now).await.is_ok() {
        place.said += 1;
    }
}

fn transcript(report: &CallReport) -> Vec<(f64, &'static str, String)> {
    let seconds = |ms: u64| ms as f64 / 1000.0;
    let said = report.said.iter().map(|said| {
        let text = if said.text.is_empty() { "(coughs)" } else { &said.text };
        (seconds(said.start_ms), "caller", text.to_owned())
    });
    let heard = report.heard.iter().map(|turn| {
        let broken = if turn.faults.is_empty() { "" } else { " (damaged)" };
        (seconds(turn.start_ms), "agent", format!("{}{broken}", turn.text))
    });
    let faults = report
        .faults
        .iter()
        .map(|fault| (seconds(fault.at_ms), "fault", format!("{} {}", fault.code, fault.message)));
    let ended = report.duration_ms.map(|ms| {
        let by = report.ended_by.as_deref().unwrap_or("nobody");
        (seconds(ms), "ended", format!("by {by}"))
    });
    let mut lines: Vec<_> = said.chain(heard).chain(faults).chain(ended).collect();
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    lines
}

async fn chat(outside: &Outside, persona: Persona) -> anyhow::Result<Talk> {
    let from = persona.own_number().trim_start_matches('+').to_owned();
    let path = format!("/sim/chats/{from}");
    let mut customer = Customer::new(persona.clone());
    let mut chat = Chat::default();
    let mut next = customer.hear("How can I help you?");
    let began = Instant::now();
    let mut spoke_up = 0;
    loop {
        let text = match next {
            Next::Say(line) => line.text,
            Next::HangUp => break,
            Next::Wait | Next::KeepSilent if spoke_up >= SPEAKS_UP_MAX => break,
            Next::Wait | Next::KeepSilent => {
                spoke_up += 1;
                next = customer.wait_no_longer();
                continue;
            }
        };
        let known = chat.replies().len();
        let message = json!({ "from": from, "name": persona.name,
            "phone_number_id": DEMO_WHATSAPP, "text": text });
        outside.post("/sim/chats/messages", &message).await.context("write a message")?;
        let replied = |chat: &Chat| chat.replies().len() > known;
        let Ok(_) = outside.until::<Chat>(REPLY_LIMIT, &path, replied).await else { break };
        sleep(SETTLED).await;
        chat = outside.now(&path).await?;
        next = customer.hear(&chat.replies()[known..].join(" "));
    }
    let lasted = began.elapsed();
    let chat: Chat = outside.now(&path).await?;
    let first_ms = chat.lines.first().map_or(0, |line| line.unix_ms);
    let line = |line: &simulator::meta::Line| {
        let who = if line.by_person { "writer" } else { "agent" };
        ((line.unix_ms - first_ms) as f64 / 1000.0, who, line.text.clone())
    };
    Ok(Talk {
        persona,
        customer,
        conversation: ConversationId::of_chat(DEMO, "whatsapp", DEMO_WHATSAPP, &from),
        lasted,
        transcript: chat.lines.iter().map(line).collect(),
    })
}
