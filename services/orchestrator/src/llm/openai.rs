//! Any endpoint that speaks OpenAI's chat completions, streamed (PROTOCOLS 4, C7).

use std::{collections::VecDeque, sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use dialogue_core::{Role, join};
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use vault::RotatingSecret;

use crate::llm::{
    Delta, Deltas, LanguageModel, ModelError, Request, Usage, Waiting,
    sse::{EventParser, TooLong},
};

/// How long the vendor is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) first_token: Duration,
    pub(crate) next_token: Duration,
}

impl Default for Patience {
    /// A caller waits while we wait, and the next provider wants its share of the time.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_token: Duration::from_secs(4),
            next_token: Duration::from_secs(3),
        }
    }
}

/// As much of an error's body as is read for its code, in bytes.
const ERROR_BODY_BYTES_MAX: usize = 16 * 1024;

/// The longest error code kept.
const ERROR_CODE_CHARS_MAX: usize = 64;

/// What a model that goes on with a reply is told besides.
const GO_ON: &str =
    "You have begun to answer. Go on right after your last sentence and repeat nothing.";

/// Where the endpoint is.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// Ends in `/v1`, without a slash after it.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
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
        let http = reqwest::Client::builder()
            .connect_timeout(patience.connect)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("build the HTTP client of the language model")?;
        Ok(Self { http, settings, key, patience })
    }

    fn body(&self, request: &Request) -> Option<Value> {
        let prompt = request.prompt.as_ref()?;
        let mut system = prompt.system.reveal().to_owned();
        if !request.said.is_empty() {
            system.push('\n');
            system.push_str(GO_ON);
        }
        let mut messages = vec![json!({"role": "system", "content": system})];
        messages.extend(prompt.messages.iter().map(|u| {
            let role = match u.role {
                Role::Person => "user",
                Role::Agent => "assistant",
            };
            json!({"role": role, "content": u.text.reveal()})
        }));
        if !request.said.is_empty() {
            messages.push(json!({"role": "assistant", "content": join(&request.said)}));
        }
        Some(json!({
            "model": self.settings.model,
            "messages": messages,
            "stream": true,
            "stream_options": {"include_usage": true},
        }))
    }
}

#[async_trait]
impl LanguageModel for OpenAi {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn model(&self) -> &str {
        &self.settings.model
    }

    async fn reply(&self, request: &Request) -> Result<Deltas, ModelError> {
        let body = self.body(request).ok_or(ModelError::NoWords)?;
        let url = format!("{}/chat/completions", self.settings.base_url);
        let mut post = self.http.post(url).json(&body);
        if let Some(key) = &self.key {
            post = post.bearer_auth(key.current().reveal());
        }
        let deadline = Instant::now() + self.patience.first_token;
        let response = timeout_at(deadline, post.send())
            .await
            .map_err(|_| ModelError::TimedOut(Waiting::First))?
            .map_err(connection)?;
        if !response.status().is_success() {
            let refused = timeout_at(deadline, refusal(response)).await;
            return Err(refused.unwrap_or(ModelError::TimedOut(Waiting::First)));
        }
        let reading = Reading {
            bytes: response.bytes_stream().fuse().boxed(),
            parser: EventParser::default(),
            ready: VecDeque::new(),
            deadline,
            next_token: self.patience.next_token,
            waiting: Waiting::First,
            saw_finish: false,
            is_over: false,
        };
        let deltas = stream::unfold(reading, |mut reading| async move {
            let item = reading.next().await?;
            reading.is_over |= item.is_err();
            Some((item, reading))
        });
        Ok(deltas.boxed())
    }
}

/// An answer being read.
struct Reading {
    bytes: stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    parser: EventParser,
    ready: VecDeque<Delta>,
    /// Until when the next token must be there. Comments that keep the connection alive are none.
    deadline: Instant,
    next_token: Duration,
    waiting: Waiting,
    saw_finish: bool,
    is_over: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Delta, ModelError>> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                return Some(Ok(delta));
            }
            if self.is_over {
                return None;
            }
            let events = match timeout_at(self.deadline, self.bytes.next()).await {
                // The text is whole; only the usage or [DONE] is late.
                Err(_) if self.saw_finish => return None,
                Err(_) => return Some(Err(ModelError::TimedOut(self.waiting))),
                Ok(Some(Err(_))) | Ok(None) if self.saw_finish => {
                    self.is_over = true;
                    self.parser.finish().into_iter().collect()
                }
                Ok(Some(Err(e))) => return Some(Err(connection(e))),
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
                if let Err(e) = self.take(&event) {
                    self.ready.clear();
                    return Some(Err(e));
                }
            }
        }
    }

    fn take(&mut self, event: &str) -> Result<(), ModelError> {
        if event.trim() == "[DONE]" {
            self.is_over = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(event)
            .map_err(|_| ModelError::Unreadable("an event is not a chunk in JSON"))?;
        if let Some(error) = chunk.error.filter(|e| !e.is_null()) {
            return Err(ModelError::BrokeOff(error_code(&error)));
        }
        for choice in chunk.choices.unwrap_or_default() {
            let text = choice.delta.and_then(|d| d.content).unwrap_or_default();
            if !text.is_empty() {
                self.waiting = Waiting::Next;
                self.deadline = Instant::now() + self.next_token;
                self.ready.push_back(Delta::Text(text));
            }
            self.saw_finish |= choice.finish_reason.is_some();
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

/// A chunk, as far as it matters. Compatible servers leave out, null or add what they like.
#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<ChunkChoice>>,
    usage: Option<ChunkUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    delta: Option<ChunkDelta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct ChunkDelta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct ChunkUsage {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
}

/// The error without its URL: the base may hold a credential.
fn connection(e: reqwest::Error) -> ModelError {
    ModelError::Connection(e.without_url().to_string())
}

async fn refusal(response: reqwest::Response) -> ModelError {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    while let Some(Ok(piece)) = bytes.next().await {
        body.extend_from_slice(&piece);
        if body.len() > ERROR_BODY_BYTES_MAX {
            break;
        }
    }
    let parsed: Option<Value> = serde_json::from_slice(&body).ok();
    let code = parsed.as_ref().map_or_else(|| "none".into(), |b| error_code(&b["error"]));
    ModelError::Refused { status, code }
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
