//! Amazon Bedrock: any model behind `ConverseStream` (PROTOCOLS 5.2, C7).
//!
//! One signed POST, answered by frames of an event stream. The SDK's client of Bedrock would be a second HTTP stack for
//! this one call; its signing and its frames are used.

pub(super) mod body;
mod event;
mod identity;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use bytes::{Buf as _, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header;
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use vault::RotatingSecret;

use self::event::Event;
pub use self::identity::AwsIdentity;
pub(super) use self::identity::StreamSigner;
use crate::llm::{
    AnswerBytes, Delta, Deltas, Filled, Form, LanguageModel, ModelError, Price, Request, Waiting,
    filled,
    openai::{connection, error_body},
    patience::{END_WITHIN, Patience},
    tool_calls::{Fragment, ToolCalls},
};

/// What requests are signed for.
pub(super) const SERVICE: &str = "bedrock";

/// What a model is asked to do.
const OPERATION: &str = "converse-stream";

const JSON: &str = "application/json";

/// The longest frame accepted, in bytes. An event of a model has some hundreds.
const FRAME_BYTES_MAX: u32 = 1024 * 1024;

/// The length a frame begins with, in bytes.
const LENGTH_BYTES: usize = 4;

/// The longest name of an error kept.
const ERROR_CHARS_MAX: usize = 64;

/// Which model, and where.
#[derive(Clone, Debug)]
pub struct BedrockSettings {
    /// Its name in `SB_LLM`.
    pub name: String,
    /// The endpoint (`AWS_ENDPOINT_URL_BEDROCK_RUNTIME`), without a slash at its end.
    pub base_url: String,
    /// The model's id, or the id or ARN of an inference profile.
    pub model: String,
    /// What it costs.
    pub price: Price,
}

/// Who asks.
#[derive(Clone)]
pub enum Access {
    /// An API key of Bedrock's own.
    Key(Arc<RotatingSecret>),
    /// An identity of AWS, which signs each request.
    Signed(AwsIdentity),
}

/// A model behind Amazon Bedrock.
pub struct Bedrock {
    http: reqwest::Client,
    settings: BedrockSettings,
    access: Access,
    patience: Patience,
}

impl Bedrock {
    /// Its name in `SB_LLM`. Names that begin with it and a hyphen are further models there.
    pub const NAME: &'static str = "bedrock";

    /// A client of the endpoint, which is not asked yet.
    ///
    /// # Errors
    /// When no HTTP client can be built, for want of root certificates.
    pub fn new(settings: BedrockSettings, access: Access) -> anyhow::Result<Self> {
        Self::with_patience(settings, access, Patience::default())
    }

    pub(crate) fn with_patience(
        settings: BedrockSettings,
        access: Access,
        patience: Patience,
    ) -> anyhow::Result<Self> {
        let http = patience.http().build().context("build the HTTP client of Bedrock")?;
        Ok(Self { http, settings, access, patience })
    }

    /// Reads an answer of `ConverseStream` as its bytes come (PROTOCOLS 5.2), which are waited for as everywhere. To be polled
    /// within a runtime of Tokio.
    pub fn read(bytes: AnswerBytes) -> Deltas {
        let Patience { first_token, next_token, .. } = Patience::default();
        Reading::new(bytes, Instant::now() + first_token, next_token).deltas()
    }

    /// Why a request was refused, by an answer other than 2xx, `named` by its header `x-amzn-errortype` where it has one: the
    /// name of the error alone, for its message may quote the request.
    pub fn read_refusal(status: u16, named: Option<&str>, answer: &[u8]) -> ModelError {
        let within = || {
            let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
            answer["__type"].as_str().unwrap_or("none").to_owned()
        };
        let named = named.map_or_else(within, str::to_owned);
        ModelError::Refused { status, code: error_name(&named) }
    }
}

/// Posts to an operation of a model there.
pub(super) async fn post(
    http: &reqwest::Client,
    access: &Access,
    base_url: &str,
    (model, operation): (&str, &str),
    body: Vec<u8>,
) -> Result<reqwest::Response, ModelError> {
    let url = format!("{base_url}/model/{}/{operation}", escaped(model));
    let mut post = http.post(&url).header(header::CONTENT_TYPE, JSON);
    post = match access {
        Access::Key(key) => post.bearer_auth(key.current().reveal()),
        Access::Signed(identity) => {
            let signed = identity.sign_post(SERVICE, &url, JSON, &body).await?;
            signed.into_iter().fold(post, |post, (name, value)| post.header(name, value))
        }
    };
    post.body(body).send().await.map_err(connection)
}

#[async_trait]
impl LanguageModel for Bedrock {
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
        let body = body::body(request).ok_or(ModelError::NoWords)?;
        self.stream(&body, self.patience.until_first(request)).await
    }

    async fn fill(&self, form: &Form, within: Duration) -> Result<Filled, ModelError> {
        let (body, until_first) = (body::form(form), self.patience.first_token);
        let asked = async { filled(self.stream(&body, until_first).await?).await };
        timeout(within, asked).await.unwrap_or(Err(ModelError::TimedOut(Waiting::Next)))
    }
}

impl Bedrock {
    async fn stream(&self, body: &Value, until_first: Duration) -> Result<Deltas, ModelError> {
        let deadline = Instant::now() + until_first;
        let BedrockSettings { base_url, model, .. } = &self.settings;
        let (operation, body) = ((model.as_str(), OPERATION), body.to_string().into_bytes());
        let posted = post(&self.http, &self.access, base_url, operation, body);
        let response = timeout_at(deadline, posted)
            .await
            .map_err(|_| ModelError::TimedOut(Waiting::First))??;
        if !response.status().is_success() {
            let refused = timeout_at(deadline, refusal(&self.access, response)).await;
            return Err(refused.unwrap_or(ModelError::TimedOut(Waiting::First)));
        }
        let bytes = response.bytes_stream().map_err(connection).boxed();
        Ok(Reading::new(bytes, deadline, self.patience.next_token).deltas())
    }
}

/// Why a request was refused.
pub(super) async fn refusal(access: &Access, response: reqwest::Response) -> ModelError {
    let status = response.status().as_u16();
    let named = response.headers().get("x-amzn-errortype").and_then(|v| v.to_str().ok());
    let named = named.map(str::to_owned);
    let body = match named {
        Some(_) => Vec::new(),
        None => error_body(response).await,
    };
    let refused = Bedrock::read_refusal(status, named.as_deref(), &body);
    // Credentials that ended before their time: the next request takes fresh ones.
    if let (Access::Signed(identity), ModelError::Refused { code, .. }) = (access, &refused)
        && code.contains("Token")
    {
        identity.forget().await;
    }
    refused
}

/// `ThrottlingException` of `ThrottlingException:http://internal.amazon.com/` and of
/// `com.amazon.coral.service#ThrottlingException`.
pub(super) fn error_name(named: &str) -> String {
    let name = named.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    name.chars().take(ERROR_CHARS_MAX).collect()
}

/// An answer being read.
struct Reading {
    bytes: stream::Fuse<AnswerBytes>,
    frames: Frames,
    ready: VecDeque<Delta>,
    /// What tools it has asked for so far.
    calls: ToolCalls,
    /// Until when the next token must be there.
    deadline: Instant,
    next_token: Duration,
    waiting: Waiting,
    saw_stop: bool,
    is_over: bool,
}

impl Reading {
    fn new(bytes: AnswerBytes, deadline: Instant, next_token: Duration) -> Self {
        Self {
            bytes: bytes.fuse(),
            frames: Frames::default(),
            ready: VecDeque::new(),
            calls: ToolCalls::default(),
            deadline,
            next_token,
            waiting: Waiting::First,
            saw_stop: false,
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
            match self.frames.next() {
                Err(error) => return Some(Err(error)),
                Ok(Some(message)) => {
                    if let Err(error) = Event::read(&message).and_then(|event| self.take(event)) {
                        self.ready.clear();
                        return Some(Err(error));
                    }
                    continue;
                }
                Ok(None) => {}
            }
            match timeout_at(self.deadline, self.bytes.next()).await {
                Ok(Some(Ok(bytes))) => self.frames.take(&bytes),
                // The answer is whole; only the usage or the end is late, or lost.
                Err(_) | Ok(Some(Err(_)) | None) if self.saw_stop => self.is_over = true,
                Err(_) => return Some(Err(ModelError::TimedOut(self.waiting))),
                Ok(Some(Err(error))) => return Some(Err(error)),
                Ok(None) => return Some(Err(ModelError::BrokeOff("early_end".into()))),
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<(), ModelError> {
        if matches!(event, Event::Text(_) | Event::Asks { .. } | Event::Arguments { .. }) {
            self.waiting = Waiting::Next;
            self.deadline = Instant::now() + self.next_token;
        }
        match event {
            Event::Text(text) if text.is_empty() => {}
            Event::Text(text) => self.ready.push_back(Delta::Text(text)),
            Event::Asks { block, id, name } => {
                self.calls.take(Fragment::begins(block, id, name))?;
            }
            Event::Arguments { block, piece } => {
                self.calls.take(Fragment::goes_on(block, piece))?;
            }
            Event::Stop => {
                self.saw_stop = true;
                self.deadline = self.deadline.min(Instant::now() + END_WITHIN);
            }
            Event::Usage(usage) => {
                self.ready.push_back(Delta::Usage(usage));
                self.is_over = self.saw_stop;
            }
            Event::Nothing => {}
        }
        Ok(())
    }
}

/// Frames, as their bytes come in.
#[derive(Default)]
pub(super) struct Frames {
    bytes: BytesMut,
    decoder: MessageFrameDecoder,
    is_within: bool,
}

impl Frames {
    /// More bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame's message; `None` until more bytes are there.
    pub(super) fn next(&mut self) -> Result<Option<Message>, ModelError> {
        // What a frame says of its length is looked at before it is waited for.
        if !self.is_within && self.bytes.len() >= LENGTH_BYTES {
            let length = self.bytes.chunk().get_u32();
            if length > FRAME_BYTES_MAX {
                return Err(ModelError::Unreadable("an event has no end"));
            }
        }
        let before = self.bytes.len();
        let decoded = self.decoder.decode_frame(&mut self.bytes);
        match decoded.map_err(|_| ModelError::Unreadable("a frame is damaged"))? {
            DecodedFrame::Incomplete => {
                // It keeps the head of a frame it has begun.
                self.is_within |= self.bytes.len() < before;
                Ok(None)
            }
            DecodedFrame::Complete(message) => {
                self.is_within = false;
                Ok(Some(message))
            }
        }
    }
}

/// A model's id within a path: an ARN has slashes and colons.
pub(super) fn escaped(id: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    id.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn frame(kind: &'static str, body: &Value) -> Vec<u8> {
        let header =
            |name, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
        let message = Message::new(body.to_string().into_bytes())
            .add_header(header(":message-type", "event"))
            .add_header(header(":event-type", kind));
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        bytes
    }

    fn stream() -> Vec<u8> {
        let delta = |text| json!({"contentBlockIndex": 0, "delta": {"text": text}});
        [
            frame("messageStart", &json!({"role": "assistant"})),
            frame("contentBlockDelta", &delta("One ")),
            frame("somethingNew", &json!([1])),
            frame("contentBlockDelta", &delta("two.")),
            frame("messageStop", &json!({"stopReason": "end_turn"})),
            frame("metadata", &json!({"usage": {"inputTokens": 9, "outputTokens": 4}})),
        ]
        .concat()
    }

    fn read(pieces: &[&[u8]]) -> Result<String, ModelError> {
        let (mut frames, mut text) = (Frames::default(), String::new());
        for piece in pieces {
            frames.take(piece);
            while let Some(message) = frames.next()? {
                if let Event::Text(more) = Event::read(&message)? {
                    text.push_str(&more);
                }
            }
        }
        Ok(text)
    }

    #[test]
    fn a_damaged_frame_and_one_without_end_are_noticed_at_once() {
        let mut bytes = stream();
        bytes[20] ^= 1;
        assert!(matches!(read(&[&bytes]), Err(ModelError::Unreadable("a frame is damaged"))));
        let rubbish = b"data: {\"choices\":[]}\n\n";
        assert!(matches!(read(&[rubbish]), Err(ModelError::Unreadable("an event has no end"))));
    }

    #[test]
    fn an_errors_name_is_all_that_is_kept_of_it() {
        for named in [
            "ThrottlingException",
            "ThrottlingException:http://internal.amazon.com/coral/",
            "com.amazon.coral.service#ThrottlingException",
        ] {
            assert_eq!(error_name(named), "ThrottlingException");
        }
    }

    #[test]
    fn an_id_with_slashes_is_one_step_of_the_path() {
        assert_eq!(escaped("amazon.nova-lite-v1:0"), "amazon.nova-lite-v1%3A0");
        assert!(!escaped("arn:aws:bedrock:us-east-1:1:inference-profile/a").contains('/'));
    }

    proptest! {
        #[test]
        fn where_the_network_cuts_makes_no_difference(sizes in proptest::collection::vec(1usize..40, 1..60)) {
            let stream = stream();
            let mut rest = stream.as_slice();
            let mut pieces = Vec::new();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, tail) = rest.split_at(rest.len().min(*size));
                pieces.push(piece);
                rest = tail;
            }
            prop_assert_eq!(read(&pieces).unwrap(), "One two.");
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = read(&pieces);
        }
    }
}
