//! Tasks whose wall clocks are wrong by more than the life of a job: nobody notices.

use std::time::Duration;

use domain::ConversationId;
use rustix::process::Signal;
use serde_json::json;
use simulator::{caller::CallScript, meta::Chat};
use store::{messages::Speaker, seed::DEMO};

use crate::desk::{Desk, OUR_NUMBER, OUR_WHATSAPP, said};

/// What is spoken later than 10 s after the end of a turn is dropped (DESIGN 2).
const WRONG_SECONDS: i64 = 11;
const SAID: [&str; 3] =
    ["Hello, this is Ada", "My tooth has hurt since Tuesday", "Thank you, goodbye"];
/// What a caller hears while a busy machine is slow; it belongs to no answer, and is not kept.
const FILLER: &str = "One moment, please.";
const QUIET_MS: u64 = 3_000;
const WRITER: &str = "15557776001";
const MESSAGES: usize = 8;
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A call between edge tasks whose clocks are right and others whose are not, from their start on.
pub async fn call(desk: &Desk) {
    let restarts = [("orchestrator", WRONG_SECONDS), ("voice", -WRONG_SECONDS)].into_iter();
    let restarts = restarts.flat_map(|(service, by)| [(service, 1, by), (service, 2, by)]);
    let restarts = restarts.map(async |(service, number, by)| {
        let task = format!("{service}-{number}");
        desk.step_clock(&task, by);
        let before = desk.signal(&task, Signal::KILL);
        desk.restarted(&task, before).await;
    });
    futures::future::join_all(restarts).await;

    let mut script = CallScript::new("+15557776000", OUR_NUMBER, SAID);
    script.options.quiet_ms = QUIET_MS;
    let report = desk.outside.call(&script).await.unwrap();
    assert_eq!(said(&report), SAID, "{report:#?}");
    let texts = report.texts().into_iter();
    let answers: Vec<_> =
        texts.map(|text| text.strip_prefix(FILLER).unwrap_or(text).trim_start()).collect();
    let kept = desk.kept(&report, 1 + 2 * SAID.len()).await;
    assert_eq!(kept.user(), SAID);
    assert_eq!(kept.agent(), answers, "what was heard is what is kept: {report:#?}");
}

/// A chat whose messages come to edge tasks the clock of one of which is set forth and back all the time.
pub async fn chat(desk: &Desk) {
    let path = format!("/sim/chats/{WRITER}");
    let texts: Vec<String> = (0..MESSAGES).map(|number| format!("word {number}")).collect();
    for (number, text) in texts.iter().enumerate() {
        let by = if number % 2 == 0 { WRONG_SECONDS } else { -WRONG_SECONDS };
        desk.step_clock("edge-1", by);
        let message = json!({
            "from": WRITER, "name": "Ada", "phone_number_id": OUR_WHATSAPP, "text": text,
        });
        desk.outside.post("/sim/chats/messages", &message).await.unwrap();
        let answered = |chat: &Chat| chat.replies().len() > number;
        desk.outside.until::<Chat>(ANSWER_LIMIT, &path, answered).await.unwrap();
    }
    let conversation = ConversationId::of_chat(DEMO, "whatsapp", OUR_WHATSAPP, WRITER);
    let (kept, _) = desk.history.whole(conversation, 2 * MESSAGES, 0).await.unwrap();
    let turns: Vec<_> = kept.chunks(2).map(|turn| (turn[0].speaker, turn[1].speaker)).collect();
    assert_eq!(turns, [(Speaker::User, Speaker::Agent); MESSAGES], "{kept:#?}");
    let written: Vec<_> = kept.iter().step_by(2).map(|line| line.text.reveal()).collect();
    assert_eq!(written, texts);
}
