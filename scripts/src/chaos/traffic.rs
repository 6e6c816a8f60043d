//! People who call and write, and what they noted of it.

use std::time::Duration;

use futures::future::try_join_all;
use serde_json::json;
use simulator::caller::{CallOptions, CallReport, CallScript};
use simulator::meta::Chat;
use tokio::time::Instant;

use crate::outside::Outside;

const OUR_NUMBER: &str = "+15550100001";
pub(super) const OUR_WHATSAPP: &str = "106540352242922";
/// Said in a call, one after the other.
const WORDS: [&str; 4] = ["maple", "silver", "orange", "birch"];
/// Longer than the silence between a filler and an answer that comes in time.
const QUIET_MS: u64 = 3_000;
const ANSWER_LIMIT: Duration = Duration::from_secs(90);

/// A person's chat: what was written, and the chat as the vendor has it.
pub(super) struct Written {
    pub(super) person: String,
    pub(super) texts: Vec<String>,
    pub(super) chat: Chat,
    /// An answer did not come within 90 s.
    pub(super) gave_up: bool,
}

/// Calls, `at_once` of them, until it is time.
pub(super) async fn calls(
    outside: &Outside,
    at_once: usize,
    until: Instant,
) -> anyhow::Result<Vec<CallReport>> {
    let line = async |line: usize| {
        let mut reports = Vec::new();
        while Instant::now() < until {
            let caller = format!("+1555777{:02}{:02}", line, reports.len() % 100);
            let mut script = CallScript::new(&caller, OUR_NUMBER, WORDS);
            script.options = CallOptions { quiet_ms: QUIET_MS, ..CallOptions::default() };
            reports.push(outside.call(&script).await?);
        }
        anyhow::Ok(reports)
    };
    Ok(try_join_all((0..at_once).map(line)).await?.into_iter().flatten().collect())
}

/// Chats of `persons` people until it is time, each waiting for the answer before writing again.
pub(super) async fn chats(
    outside: &Outside,
    persons: usize,
    until: Instant,
) -> anyhow::Result<Vec<Written>> {
    let chat = async |number: usize| {
        let person = format!("1555888{number:04}");
        let path = format!("/sim/chats/{person}");
        let mut written =
            Written { person, texts: Vec::new(), chat: Chat::default(), gave_up: false };
        while Instant::now() < until && !written.gave_up {
            let text = format!("word {number} {}", written.texts.len());
            let message = json!({"from": written.person, "name": "Ada",
                "phone_number_id": OUR_WHATSAPP, "text": text});
            outside.post("/sim/chats/messages", &message).await?;
            written.texts.push(text);
            let wanted = written.texts.len();
            let answered = |chat: &Chat| chat.replies().len() >= wanted;
            match outside.until(ANSWER_LIMIT, &path, answered).await {
                Ok(chat) => written.chat = chat,
                Err(_) => written.gave_up = true,
            }
        }
        // What came after the last look counts as well: a second answer does.
        written.chat = outside.until(ANSWER_LIMIT, &path, |_: &Chat| true).await?;
        anyhow::Ok(written)
    };
    try_join_all((0..persons).map(chat)).await
}
