//! A chat as its person sees it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A person may be written to freely for so long after their last message, milliseconds (PROTOCOLS 2.4, 131047).
const WINDOW_MS: i64 = 24 * 3600 * 1000;

/// One person's chat with one of the business's numbers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Chat {
    /// The person's number, without `+`.
    pub wa_id: String,
    /// The person's profile name.
    pub name: String,
    /// The person's business-scoped id, when the account has one.
    pub bsuid: Option<String>,
    /// The business's number.
    pub phone_number_id: String,
    /// What was written, in the order in which it appeared.
    pub lines: Vec<Line>,
}

/// One message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// `wamid....`
    pub id: String,
    /// Written by the person, else by the business.
    pub by_person: bool,
    /// `text`, `image`, ...
    pub kind: String,
    /// What it says: the text, or the caption, or a button's title.
    pub text: String,
    /// The whole message as it was sent.
    pub content: Value,
    /// When it was written, or accepted, Unix milliseconds.
    pub unix_ms: i64,
    /// What became of it: for the business's, `accepted`, `sent`, ...; for the person's, `received` (the webhook was
    /// answered) and `read`.
    pub statuses: Vec<Status>,
    /// How often the webhook of a person's message was tried.
    pub attempts: u32,
    /// `biz_opaque_callback_data` of a business's message.
    pub callback_data: Option<String>,
}

/// One step of a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Which.
    pub status: String,
    /// When, Unix milliseconds.
    pub unix_ms: i64,
    /// The code of a failure.
    pub code: Option<u32>,
}

impl Line {
    /// Notes a step.
    pub(super) fn note(&mut self, status: &str, code: Option<u32>) {
        let unix_ms = Timestamp::now().as_millisecond();
        self.statuses.push(Status { status: status.to_owned(), unix_ms, code });
    }
}

impl Chat {
    /// The texts of the business, in order.
    pub fn replies(&self) -> Vec<&str> {
        self.lines.iter().filter(|line| !line.by_person).map(|line| line.text.as_str()).collect()
    }

    /// Whether the business may write freely.
    pub(super) fn is_open(&self) -> bool {
        let since = Timestamp::now().as_millisecond() - WINDOW_MS;
        self.lines.iter().any(|line| line.by_person && line.unix_ms >= since)
    }

    pub(super) fn line(&mut self, id: &str) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.id == id)
    }
}

/// What a person reads of a message: its text, caption, body or title.
pub(super) fn readable(kind: &str, message: &Value) -> String {
    let member = &message[kind];
    let places = [
        "/body",
        "/body/text",
        "/caption",
        "/button_reply/title",
        "/list_reply/title",
        "/text",
        "/name",
        "/emoji",
    ];
    if let Some(parameters) = member.pointer("/components/0/parameters").and_then(Value::as_array) {
        let texts = parameters.iter().filter_map(|p| p["text"].as_str());
        return texts.collect::<Vec<_>>().join(" ");
    }
    let found = places.iter().filter_map(|place| member.pointer(place)).find_map(Value::as_str);
    found.unwrap_or_default().to_owned()
}
