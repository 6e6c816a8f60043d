//! What the simulated model answers, and what it was asked.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::front_desk;

/// The log of requests forgets its oldest entry when it holds more than this.
const REQUESTS_MAX: usize = 10_000;

/// How the model behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Three sentences that quote the last user message; alike each time.
    #[default]
    Echo,
    /// Three sentences, each with the number of the answer: no two answers are alike. An answer that the request has
    /// already begun (its last message is the assistant's) goes on with its own number.
    NeverAlike,
    /// As echo, but after `after_chars` nothing more comes, and the connection stays open.
    Stall,
    /// As echo, but after `after_chars` come lines that are no events.
    Rubbish,
    /// As echo, but after `after_chars` the connection is cut.
    Cut,
    /// The answers of `script`, one per request, then echo.
    Script,
    /// Makes appointments with the tools of the request; without them, as echo.
    FrontDesk,
}

/// The model's settings, as `PUT /sim/model` takes them. What is left out has its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How it behaves.
    pub mode: Mode,
    /// Time before the first token, milliseconds.
    pub first_token_ms: u64,
    /// Time before each further token (about four characters), milliseconds.
    pub token_ms: u64,
    /// When `stall`, `rubbish` and `cut` begin, in characters of the answer.
    pub after_chars: usize,
    /// The answers of mode `script`.
    pub script: Vec<Answer>,
    /// What a request with `response_format` gets; without it, the least that satisfies the request's schema.
    pub classification: Option<Value>,
}

/// One scripted answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// Words.
    Text(String),
    /// Calls of tools.
    Tools {
        /// In this order.
        tool_calls: Vec<ToolCall>,
    },
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The function's name.
    pub name: String,
    /// Its arguments: an object, or a string that is sent as it stands.
    pub arguments: Value,
}

/// A request the model has seen.
#[derive(Clone, Serialize)]
pub struct Seen {
    /// Counts from 1.
    pub number: u64,
    /// When it came, milliseconds since 1970.
    pub received_ms: u64,
    /// Its body.
    pub body: Value,
    /// What has been answered to it so far.
    pub answer: String,
    /// When the answer was complete, milliseconds since 1970.
    pub finished_ms: Option<u64>,
    /// When the client closed the connection before that, milliseconds since 1970.
    pub closed_by_client_ms: Option<u64>,
}

/// The simulated model.
#[derive(Debug, Default)]
pub struct Model {
    settings: Mutex<Settings>,
    answers: AtomicU64,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log(Mutex<Vec<Seen>>);

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log(..)")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Model {
    /// The settings in force.
    pub fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    /// Changes the settings for the requests that come from now on.
    pub fn set(&self, settings: Settings) {
        *lock(&self.settings) = settings;
    }

    /// Every request, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.log.0).clone()
    }

    /// Forgets the requests.
    pub fn forget(&self) {
        lock(&self.log.0).clear();
    }

    /// Notes a request.
    pub(crate) fn note(&self, body: Value) -> Entry {
        let mut log = lock(&self.log.0);
        let number = log.last().map_or(1, |last| last.number + 1);
        if log.len() >= REQUESTS_MAX {
            log.remove(0);
        }
        log.push(Seen {
            number,
            received_ms: now_ms(),
            body,
            answer: String::new(),
            finished_ms: None,
            closed_by_client_ms: None,
        });
        Entry { log: self.log.clone(), number, finished: false }
    }

    /// The answer to a request with these messages.
    pub(crate) fn answer(&self, body: &Value) -> Answer {
        if let Some(format) = body.get("response_format").filter(|format| format["type"] != "text")
        {
            let given = lock(&self.settings).classification.clone();
            let least = || least(&format["json_schema"]["schema"]);
            return Answer::Text(given.unwrap_or_else(least).to_string());
        }
        let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let said = messages
            .iter()
            .rev()
            .find(|message| message["role"] == "user")
            .map(text)
            .unwrap_or_default();
        let mut settings = lock(&self.settings);
        match settings.mode {
            Mode::Script if !settings.script.is_empty() => settings.script.remove(0),
            Mode::NeverAlike => Answer::Text(self.never_alike(messages, &said)),
            Mode::FrontDesk => {
                front_desk::answer(body).unwrap_or_else(|| Answer::Text(echo(&said)))
            }
            _ => Answer::Text(echo(&said)),
        }
    }

    fn never_alike(&self, messages: &[Value], said: &str) -> String {
        let begun = messages.last().filter(|message| message["role"] == "assistant").map(text);
        let number = begun.as_deref().and_then(number_of);
        let (Some(begun), Some(number)) = (begun, number) else {
            return numbered(self.answers.fetch_add(1, Ordering::Relaxed) + 1, said).join(" ");
        };
        let sentences = numbered(number, said);
        match sentences.join(" ").strip_prefix(begun.trim_end()) {
            Some(rest) => rest.trim_start().to_owned(),
            None => {
                let missing: Vec<_> =
                    sentences.into_iter().filter(|sentence| !begun.contains(sentence)).collect();
                missing.join(" ")
            }
        }
    }
}

/// What a message says, whether its content is a string or a list of parts.
pub(super) fn text(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// What the user said, such that it can stand inside a sentence.
fn quoted(said: &str) -> &str {
    said.trim().trim_end_matches(['.', '?', '!', ',', ';', ':'])
}

fn echo(said: &str) -> String {
    format!("I heard: {}. That is noted. What else can I do for you?", quoted(said))
}

fn numbered(number: u64, said: &str) -> [String; 3] {
    [
        format!("Answer {number} begins: you said {}.", quoted(said)),
        format!("Answer {number} goes on with its second sentence."),
        format!("Answer {number} ends here, what else can I do?"),
    ]
}

/// The number of the answer that a text begins.
fn number_of(begun: &str) -> Option<u64> {
    let digits = begun.trim_start().strip_prefix("Answer ")?;
    digits.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

/// The least value that satisfies a JSON schema of the kind that structured output allows.
fn least(schema: &Value) -> Value {
    if let Some(value) =
        schema.get("const").or_else(|| schema["enum"].get(0)).or_else(|| schema.get("default"))
    {
        return value.clone();
    }
    if let Some(variant) = schema["anyOf"].get(0) {
        return least(variant);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => json!(""),
        Some("integer") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("number") => schema.get("minimum").cloned().unwrap_or(json!(0.0)),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        Some("array") => {
            let length = schema["minItems"].as_u64().unwrap_or(0).min(100);
            (0..length).map(|_| least(&schema["items"])).collect()
        }
        _ => {
            let properties = schema["properties"].as_object();
            properties
                .into_iter()
                .flatten()
                .map(|(name, schema)| (name.clone(), least(schema)))
                .collect()
        }
    }
}

/// A request's place in the log. Dropped before it is finished, the client has closed the connection.
pub(crate) struct Entry {
    log: Arc<Log>,
    number: u64,
    finished: bool,
}

impl Entry {
    fn change(&self, change: impl FnOnce(&mut Seen)) {
        let mut log = lock(&self.log.0);
        // The newest requests change most.
        if let Some(seen) = log.iter_mut().rev().find(|seen| seen.number == self.number) {
            change(seen);
        }
    }

    /// Adds what is being sent.
    pub(crate) fn sent(&self, text: &str) {
        self.change(|seen| seen.answer.push_str(text));
    }

    /// The answer is complete, as far as the model is to complete it.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
        self.change(|seen| seen.finished_ms = Some(now_ms()));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.finished {
            self.change(|seen| seen.closed_by_client_ms = Some(now_ms()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(messages: Value) -> Value {
        json!({"model": "m", "messages": messages})
    }

    fn answer(model: &Model, messages: Value) -> String {
        match model.answer(&asked(messages)) {
            Answer::Text(text) => text,
            Answer::Tools { .. } => String::new(),
        }
    }

    fn never_alike() -> Model {
        let model = Model::default();
        model.set(Settings { mode: Mode::NeverAlike, ..Settings::default() });
        model
    }

    #[test]
    fn no_two_answers_are_alike() {
        let model = never_alike();
        let question = json!([{"role": "user", "content": "When are you open?"}]);
        let (first, second) = (answer(&model, question.clone()), answer(&model, question));
        assert!(first.contains("When are you open."));
        assert_eq!(
            (first.matches("Answer 1 ").count(), second.matches("Answer 2 ").count()),
            (3, 3)
        );
    }

    #[test]
    fn a_begun_answer_goes_on_where_it_stopped_and_keeps_its_number() {
        let model = never_alike();
        let question = json!({"role": "user", "content": "Hello."});
        let whole = answer(&model, json!([question]));
        answer(&model, json!([question]));
        for cut in (0..whole.len()).filter(|cut| *cut > "Answer 1".len()) {
            let begun = whole[..cut].to_owned();
            let rest = answer(&model, json!([question, {"role": "assistant", "content": begun}]));
            let together = format!("{} {}", begun.trim_end(), rest);
            assert_eq!(together.replace(' ', ""), whole.replace(' ', ""), "begun up to {cut}");
        }
    }

    #[test]
    fn a_request_that_classifies_gets_what_its_schema_asks_for() {
        let schema = json!({"type": "object", "properties": {
            "agent": {"type": "string", "enum": ["greeting", "booking"]},
            "confidence": {"type": "number", "minimum": 0.25},
            "slots": {"type": "array", "items": {"type": "string"}},
        }});
        let mut request = asked(json!([{"role": "user", "content": "hi"}]));
        request["response_format"] =
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
        let model = Model::default();
        let Answer::Text(text) = model.answer(&request) else { panic!("not a text") };
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value, json!({"agent": "greeting", "confidence": 0.25, "slots": []}));
    }

    #[test]
    fn a_script_is_followed_and_then_over() {
        let model = Model::default();
        let settings = json!({"mode": "script", "script": [
            "One.", {"tool_calls": [{"name": "book", "arguments": {"day": "Tuesday"}}]},
        ]});
        model.set(serde_json::from_value(settings).expect("settings"));
        let question = asked(json!([{"role": "user", "content": "Two?"}]));
        assert_eq!(model.answer(&question), Answer::Text("One.".to_owned()));
        assert!(
            matches!(model.answer(&question), Answer::Tools { tool_calls } if tool_calls[0].name == "book")
        );
        assert_eq!(model.answer(&question), Answer::Text(echo("Two?")));
    }
}
