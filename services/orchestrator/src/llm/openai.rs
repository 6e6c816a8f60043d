//! Any endpoint that speaks OpenAI's chat completions, streamed (PROTOCOLS 4, C7).

mod body;
mod chunk;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use vault::RotatingSecret;

use self::chunk::Chunk;
use crate::llm::{
    AnswerBytes, Delta, Deltas, Filled, Form, LanguageModel, ModelError, Price, Request, Usage,
    Waiting, filled,
    patience::{END_WITHIN, Patience},
    sse::{EventParser, TooLong},
    tool_calls::ToolCalls,
};

/// As much of an error's body as is read for its code, in bytes.
const ERROR_BODY_BYTES_MAX: usize = 16 * 1024;

/// The event after which nothing follows.
const DONE: &str = "[DONE]";

/// The longest error code kept.
const ERROR_CODE_CHARS_MAX: usize = 64;

/// Where the endpoint is.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// Its name in `SB_LLM`.
    pub name: String,
    /// Ends in `/v1`, without a slash after it; of Azure's older form, in the deployment.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// Azure's `api-version`; sends the key as Azure takes it.
    pub api_version: Option<String>,
    /// What it costs.
    pub price: Price,
}

/// What differs between endpoints of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dialect {
    OpenAi,
    Azure,
    /// vLLM, Ollama and others.
    Compatible,
}

impl OpenAiSettings {
    /// The model at an endpoint whose price is not known.
    pub fn at(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            name: OpenAi::NAME.to_owned(),
            base_url: base_url.into(),
            model: model.into(),
            api_version: None,
            price: Price::default(),
        }
    }

    fn dialect(&self) -> Dialect {
        let host = self.base_url.split_once("://").map_or("", |(_, rest)| rest);
        let host = host.split(['/', ':']).next().unwrap_or_default();
        match host {
            _ if self.api_version.is_some() => Dialect::Azure,
            host if host.ends_with(".azure.com") => Dialect::Azure,
            "api.openai.com" => Dialect::OpenAi,
            _ => Dialect::Compatible,
        }
    }
}

/// An OpenAI-compatible model.
pub struct OpenAi {
    http: reqwest::Client,
    settings: OpenAiSettings,
    /// Some endpoints of one's own need none.
    key: Option<Arc<RotatingSecret>>,
    patience: Patience,
}

impl OpenAi {
    /// Its name in `SB_LLM`.
    pub const NAME: &'static str = "openai";

    /// A client of the endpoint, which is not asked yet.
    ///
    /// # Errors
    /// When no HTTP client can be built, for want of root certificates.
    pub fn new(settings: OpenAiSettings, key: Option<Arc<RotatingSecret>>) -> anyhow::Result<Self> {
        Self::with_patience(settings, key, Patience::default())
    }

    pub(crate) fn with_patience(
        settings: OpenAiSettings,
        key: Option<Arc<RotatingSecret>>,
        patience: Patience,
    ) -> anyhow::Result<Self> {
        let http =
            patience.http().build().context("build the HTTP client of the language model")?;
        Ok(Self { http, settings, key, patience })
    }

    /// Reads an answer as its bytes come (PROTOCOLS 4), which are waited for as everywhere. To be polled within a runtime of
    /// Tokio.
    pub fn read(bytes: AnswerBytes) -> Deltas {
        let Patience { first_token, next_token, .. } = Patience::default();
        Reading::new(bytes, Instant::now() + first_token, next_token).deltas()
    }

    /// Why a request was refused, by an answer other than 2xx. Its message is left out: vendors quote the request in it.
    pub fn read_refusal(status: u16, answer: &[u8]) -> ModelError {
        let answer: Option<Value> = serde_json::from_slice(answer).ok();
        let code = answer.map_or_else(|| "none".into(), |answer| error_code(&answer["error"]));
        ModelError::Refused { status, code }
    }
}

#[async_trait]
impl LanguageModel for OpenAi {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn model(&self) -> &str {
        &self.settings.model
    }

    fn price(&self) -> Price {
        self.settings.price
    }

    async fn reply(&self, request: &Request) -> Result<Deltas, ModelError> {
        let body = body::body(&self.settings, request).ok_or(ModelError::NoWords)?;
        self.stream(&body, self.patience.until_first(request)).await
    }

    async fn fill(&self, form: &Form, within: Duration) -> Result<Filled, ModelError> {
        let (body, until_first) = (body::form(&self.settings, form), self.patience.first_token);
        let asked = async { filled(self.stream(&body, until_first).await?).await };
        timeout(within, asked).await.unwrap_or(Err(ModelError::TimedOut(Waiting::Next)))
    }
}

impl OpenAi {
    async fn stream(&self, body: &Value, until_first: Duration) -> Result<Deltas, ModelError> {
        let url = format!("{}/chat/completions", self.settings.base_url);
        let mut post = self.http.post(url).json(body);
        if let Some(version) = &self.settings.api_version {
            post = post.query(&[("api-version", version)]);
        }
        if let Some(key) = &self.key {
            post = match self.settings.dialect() {
                Dialect::Azure => post.header("api-key", key.current().reveal()),
                Dialect::OpenAi | Dialect::Compatible => post.bearer_auth(key.current().reveal()),
            };
        }
        let deadline = Instant::now() + until_first;
        let response = timeout_at(deadline, post.send())
            .await
            .map_err(|_| ModelError::TimedOut(Waiting::First))?
            .map_err(connection)?;
        if !response.status().is_success() {
            let refused = timeout_at(deadline, refusal(response)).await;
            return Err(refused.unwrap_or(ModelError::TimedOut(Waiting::First)));
        }
        let bytes = response.bytes_stream().map_err(connection).boxed();
        Ok(Reading::new(bytes, deadline, self.patience.next_token).deltas())
    }
}

/// An answer being read.
struct Reading {
    bytes: stream::Fuse<AnswerBytes>,
    parser: EventParser,
    ready: VecDeque<Delta>,
    /// What tools it has asked for so far.
    calls: ToolCalls,
    /// Until when the next token must be there. Comments that keep the connection alive are none.
    deadline: Instant,
    next_token: Duration,
    waiting: Waiting,
    saw_finish: bool,
    is_over: bool,
}

impl Reading {
    fn new(bytes: AnswerBytes, deadline: Instant, next_token: Duration) -> Self {
        Self {
            bytes: bytes.fuse(),
            parser: EventParser::default(),
            ready: VecDeque::new(),
            calls: ToolCalls::default(),
            deadline,
            next_token,
            waiting: Waiting::First,
            saw_finish: false,
            is_over: false,
        }
    }

    fn deltas(self) -> Deltas {
        let deltas = stream::unfold(self, |mut reading| async move {
            let item = reading.next().await?;
            if item.is_err() {
                reading.is_over = true;
                reading.calls = ToolCalls::default();
            }
            Some((item, reading))
        });
        deltas.boxed()
    }

    async fn next(&mut self) -> Option<Result<Delta, ModelError>> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                return Some(Ok(delta));
            }
            if self.is_over {
                // The usage comes after the last request, so they are told when all is there.
                let asked = self.calls.finish();
                return (!asked.is_empty()).then_some(Ok(Delta::Asked(asked)));
            }
            let events = match timeout_at(self.deadline, self.bytes.next()).await {
                // The answer is whole; only the usage or [DONE] is late.
                Err(_) if self.saw_finish => {
                    self.is_over = true;
                    continue;
                }
                Err(_) => return Some(Err(ModelError::TimedOut(self.waiting))),
                Ok(Some(Err(_))) | Ok(None) if self.saw_finish => {
                    self.is_over = true;
                    // What is cut off in it no longer matters.
                    if let Some(last) = self.parser.finish() {
                        let _ = self.take(&last);
                    }
                    continue;
                }
                Ok(Some(Err(error))) => return Some(Err(error)),
                Ok(Some(Ok(bytes))) => match self.parser.push(&bytes) {
                    Ok(events) => events,
                    Err(TooLong) => {
                        return Some(Err(ModelError::Unreadable("an event has no end")));
                    }
                },
                Ok(None) => match self.parser.finish() {
                    Some(last) => vec![last],
                    None => return Some(Err(ModelError::BrokeOff("early_end".into()))),
                },
            };
            for event in events {
                if event.trim() == DONE {
                    self.is_over = true;
                    break;
                }
                if let Err(e) = self.take(&event) {
                    self.ready.clear();
                    return Some(Err(e));
                }
            }
        }
    }

    fn take(&mut self, event: &str) -> Result<(), ModelError> {
        let chunk: Chunk = serde_json::from_str(event)
            .map_err(|_| ModelError::Unreadable("an event is not a chunk in JSON"))?;
        if let Some(error) = chunk.error.filter(|e| !e.is_null()) {
            return Err(ModelError::BrokeOff(error_code(&error)));
        }
        for choice in chunk.choices.unwrap_or_default() {
            let (text, fragments) = match choice.delta {
                Some(delta) => (delta.content, delta.tool_calls),
                None => (None, None),
            };
            let (text, fragments) = (text.unwrap_or_default(), fragments.unwrap_or_default());
            if !text.is_empty() || !fragments.is_empty() {
                self.waiting = Waiting::Next;
                self.deadline = Instant::now() + self.next_token;
            }
            for fragment in fragments {
                self.calls.take(fragment)?;
            }
            if !text.is_empty() {
                self.ready.push_back(Delta::Text(text));
            }
            if choice.finish_reason.is_some() {
                self.saw_finish = true;
                self.deadline = self.deadline.min(Instant::now() + END_WITHIN);
            }
        }
        if let Some(usage) = chunk.usage {
            self.ready.push_back(Delta::Usage(Usage {
                tokens_in: usage.prompt_tokens.unwrap_or(0),
                tokens_out: usage.completion_tokens.unwrap_or(0),
            }));
        }
        Ok(())
    }
}

/// The error without its URL: the base may hold a credential.
pub(super) fn connection(e: reqwest::Error) -> ModelError {
    ModelError::Connection(e.without_url().to_string())
}

async fn refusal(response: reqwest::Response) -> ModelError {
    let status = response.status().as_u16();
    OpenAi::read_refusal(status, &error_body(response).await)
}

/// As much of the body of an error as is read.
pub(super) async fn error_body(response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    while let Some(Ok(piece)) = bytes.next().await {
        body.extend_from_slice(&piece);
        if body.len() > ERROR_BODY_BYTES_MAX {
            break;
        }
    }
    body
}

/// The code or type of an error object. Its message is left out: vendors quote the request in it.
fn error_code(error: &Value) -> String {
    let field = ["code", "type"].iter().find_map(|key| match &error[*key] {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    });
    field.unwrap_or_else(|| "none".into()).chars().take(ERROR_CODE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    /// What is read of `pieces`, and of what breaks off then where it does.
    async fn read(pieces: &[&str], breaks: bool) -> (Vec<Delta>, Option<ModelError>) {
        let broken = breaks.then(|| Err(ModelError::Connection("gone".into())));
        let pieces = pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece.as_bytes())));
        let bytes = stream::iter(pieces.chain(broken).collect::<Vec<_>>()).boxed();
        let (mut deltas, mut read) = (OpenAi::read(bytes), Vec::new());
        while let Some(delta) = deltas.next().await {
            match delta {
                Ok(delta) => read.push(delta),
                Err(error) => return (read, Some(error)),
            }
        }
        (read, None)
    }

    fn event(choice: Value) -> String {
        format!("data: {}\n\n", json!({"choices": [choice]}))
    }

    #[tokio::test]
    async fn nothing_counts_that_follows_the_end_however_it_is_cut() {
        let text = |text: &str| event(json!({"delta": {"content": text}}));
        let (first, end, more) = (text("One."), "data: [DONE]\n\n", text("Two."));
        let whole = format!("{first}{end}{more}");
        for pieces in [vec![whole.as_str()], vec![first.as_str(), end, more.as_str()]] {
            let (deltas, error) = read(&pieces, false).await;
            assert_eq!(deltas, [Delta::Text("One.".into())]);
            assert!(error.is_none(), "{error:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_has_ended_loses_nothing_to_what_is_cut_off_behind_it() {
        let answer = event(json!({"delta": {"content": "One."}, "finish_reason": "stop"}));
        for (rest, breaks) in [("data: {\"choices\":[],\"usa", true), ("data: [DO", false)] {
            let (deltas, error) = read(&[&answer, rest], breaks).await;
            assert_eq!(deltas, [Delta::Text("One.".into())]);
            assert!(error.is_none(), "{error:?}");
        }
        let begun = event(json!({"delta": {"content": "One."}}));
        let (_, error) = read(&[&begun, "data: {\"cho"], false).await;
        assert!(matches!(error, Some(ModelError::Unreadable(_))), "{error:?}");
    }
}
