//! A demonstration of a running mesh: two calls and a chat through the simulator, and what the platform's history holds
//! of them afterwards.

use anyhow::Context as _;
use boot::Environment;
use domain::{CallSid, ConversationId, Stage, Turn};
use simulator::caller::{CallReport, CallScript, Utterance, Voice};
use store::messages::{Line, Speaker};
use store::seed::{DEMO, DEMO_NUMBER, DEMO_WHATSAPP};

use crate::history::History;
use crate::outside::{self, Outside};

const MODEM_CALLER: &str = "+15557770001";
const SPEAKING_CALLER: &str = "+15557770002";
const WRITER: &str = "15557770003";

/// What the callers say, each when the agent has finished.
const MODEM_WORDS: [&str; 4] = [
    "hello there",
    "I would like to make an appointment",
    "tomorrow at ten please",
    "thank you goodbye",
];
const SPOKEN_WORDS: [&str; 2] = ["hello, what can you do for me?", "thank you, goodbye"];
const WRITTEN_WORDS: [&str; 3] =
    ["Hello!", "I would like to make an appointment", "Thank you, bye"];

/// Drives the mesh whose simulator is at `simulator` and whose stores `environment` names, and prints what came of it.
///
/// # Errors
/// When a call or an answer did not come about, or the history does not agree with what was said.
pub async fn drive(simulator: &str, environment: &Environment) -> anyhow::Result<()> {
    let outside = Outside::new(simulator)?;
    let history = History::open(environment).await?;
    println!("a call in the modem voice, a call in a voice for people, and a chat; about 40 s");
    let modem = CallScript::new(MODEM_CALLER, DEMO_NUMBER, MODEM_WORDS);
    let mut speaking = CallScript::new(SPEAKING_CALLER, DEMO_NUMBER, [] as [&str; 0]);
    speaking.utterances =
        SPOKEN_WORDS.map(|text| Utterance { voice: Voice::Espeak, ..Utterance::text(text) }).into();
    let (modem, speaking, chat) = tokio::try_join!(
        outside.call(&modem),
        outside.call(&speaking),
        outside.chat(WRITER, DEMO_WHATSAPP, &WRITTEN_WORDS),
    )?;

    show_call("a call in the modem voice", &modem, &history).await?;
    show_call("a call in a voice for people", &speaking, &history).await?;
    let conversation = ConversationId::of_chat(DEMO, "whatsapp", DEMO_WHATSAPP, WRITER);
    println!(
        "\na WhatsApp chat, {} messages, last reply {}",
        chat.lines.len(),
        outside::fate(&chat)
    );
    show(&history, conversation, WRITTEN_WORDS.len()).await
}

async fn show_call(what: &str, report: &CallReport, history: &History) -> anyhow::Result<()> {
    let call = CallSid::parse(&report.sid).context("read the simulator's call id")?;
    let conversation = ConversationId::of_call(DEMO, &call);
    println!(
        "\n{what}, {:.1} s, ended by {}",
        report.duration_ms.unwrap_or_default() as f64 / 1000.0,
        report.ended_by.as_deref().unwrap_or("nobody"),
    );
    show(history, conversation, report.said.len()).await?;
    println!("  recording {}", history.recording(&call).await?);
    let whole = report.heard.iter().filter(|turn| turn.whole).count();
    println!(
        "  at the caller's ear {whole} of {} turns arrived without a fault",
        report.heard.len()
    );
    anyhow::ensure!(
        whole == report.heard.len() && whole > report.said.len(),
        "the caller did not hear a greeting and an answer to everything, each of it whole"
    );
    Ok(())
}

/// Prints the transcript of a conversation of `turns` turns, with the times of their stages.
async fn show(history: &History, conversation: ConversationId, turns: usize) -> anyhow::Result<()> {
    let (lines, timings) = history.whole(conversation, 2 * turns, turns).await?;
    for line in &lines {
        show_line(line);
        let stages = timings.iter().find(|(turn, _)| Some(*turn) == line.turn);
        if let (Speaker::Agent, Some((turn, stages))) = (line.speaker, stages) {
            show_stages(*turn, stages);
        }
    }
    Ok(())
}

fn show_line(line: &Line) {
    let speaker = match line.speaker {
        Speaker::User => "person",
        Speaker::Agent => "agent",
        Speaker::Operator => "operator",
    };
    let heard = if line.heard_whole == Some(false) { " [cut off]" } else { "" };
    // The demonstration's own words, made up; the transcripts of real people are never printed.
    println!("  {speaker:<9} {}{heard}", line.text.reveal());
}

/// One line: milliseconds since the first stage.
fn show_stages(turn: Turn, stages: &[Stage]) {
    let Some(first) = stages.iter().map(|stage| stage.at).min() else { return };
    let reached: Vec<String> = stages
        .iter()
        .map(|stage| format!("{} {}", stage.name, stage.at.since(first).as_millis()))
        .collect();
    println!("            turn {}, ms: {}", turn.0, reached.join(", "));
}
