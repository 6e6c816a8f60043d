//! Amazon Nova Sonic: a model that hears and speaks (PROTOCOLS 5.1, C7).
//!
//! One stream of HTTP/2 answers one turn: what was said before goes up as text, what the person said just now as sound,
//! and the answer comes down sentence by sentence with its sound, while the tools it asks for are told to the same stream.

mod protocol;
mod talk;

use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use dialogue_core::{Prompt, Role, Utterance, join};
use domain::g711;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout_at},
};

use self::{
    protocol::{RATE_HZ, Script, Voice},
    talk::Talk,
};
use crate::llm::{
    ANSWER_TOKENS_MAX, AnswerBytes, BedrockAccess, Deltas, Exchange, GO_ON, LanguageModel,
    ModelError, Price, Request, Waiting,
    bedrock::{SERVICE, StreamSigner, body::OPENING, escaped, refusal},
    openai::connection,
    patience::Patience,
};

/// What the model is asked to do.
const OPERATION: &str = "invoke-with-bidirectional-stream";

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// A stream lives a few seconds; a connection that died without a word is noticed sooner than by them.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// Sound is sent in pieces of this many samples: 64 ms.
const PIECE_SAMPLES: usize = 512;

/// What follows the person's last word at once. The model waits for up to 2 s of quiet before it takes the turn; the call
/// core has waited already.
const QUIET_SAMPLES: usize = 2 * RATE_HZ as usize;

/// The only generation that cannot be told how patient to be.
const IMPATIENT: &str = "amazon.nova-sonic-v1:0";

/// Which model, where, and how it sounds.
#[derive(Clone, Debug)]
pub struct SonicSettings {
    /// Its name in `SB_LLM`.
    pub name: String,
    /// The endpoint (`AWS_ENDPOINT_URL_BEDROCK_RUNTIME`), without a slash at its end.
    pub base_url: String,
    /// The region that requests are signed for, where it is not ours.
    pub region: Option<String>,
    /// The model's id.
    pub model: String,
    /// The voice, by the model's name for it.
    pub voice: String,
    /// What it costs.
    pub price: Price,
}

/// Nova Sonic behind Amazon Bedrock.
pub struct Sonic {
    http: reqwest::Client,
    settings: SonicSettings,
    access: BedrockAccess,
    patience: Patience,
}

impl Sonic {
    /// A client of the endpoint, which is not asked yet.
    ///
    /// # Errors
    /// When no HTTP client can be built, for want of root certificates.
    pub fn new(settings: SonicSettings, access: BedrockAccess) -> anyhow::Result<Self> {
        Self::with_patience(settings, access, Patience::default())
    }

    pub(crate) fn with_patience(
        settings: SonicSettings,
        access: BedrockAccess,
        patience: Patience,
    ) -> anyhow::Result<Self> {
        let http = patience
            .http()
            // Only there can an answer begin before the request has ended.
            .http2_prior_knowledge()
            .http2_keep_alive_interval(KEEP_ALIVE)
            .build()
            .context("build the HTTP client of Nova Sonic")?;
        Ok(Self { http, settings, access, patience })
    }

    /// Reads what a session answers as its bytes come (PROTOCOLS 5.1), which are waited for as everywhere. `told` holds what came
    /// of the tools that it asks for; it ends where nobody will know. To be called and polled within a runtime of Tokio.
    pub fn read(bytes: AnswerBytes, told: watch::Receiver<Vec<Exchange>>) -> Deltas {
        let patience = Patience::default();
        let mut script = Script::default();
        let (_, voice) = script.listen();
        // Nobody hears what would be said to it.
        let (say, _) = mpsc::unbounded_channel();
        let deadline = Instant::now() + patience.first_token;
        Talk::new(bytes, (say, script, voice), told, deadline, patience).deltas()
    }

    /// What the session is told before anybody speaks.
    fn opening(&self, prompt: &Prompt, request: &Request) -> (Vec<Value>, Script) {
        let mut script = Script::default();
        let endpointing = (self.settings.model != IMPATIENT).then_some("HIGH");
        let begin =
            Script::begin(ANSWER_TOKENS_MAX, endpointing, &self.settings.voice, &request.tools);
        let mut events = Vec::from(begin);
        events.extend(script.system(&system(prompt, request)));
        for (role, text) in history(&prompt.messages) {
            events.extend(script.said(role, &text));
        }
        (events, script)
    }

    /// The stream, once the model has taken the request.
    async fn open(
        &self,
        events: mpsc::UnboundedReceiver<Value>,
    ) -> Result<reqwest::Response, ModelError> {
        let SonicSettings { base_url, model, .. } = &self.settings;
        let url = format!("{base_url}/model/{}/{OPERATION}", escaped(model));
        let mut post = self.http.post(&url).header(header::CONTENT_TYPE, EVENT_STREAM);
        let mut signer = None;
        post = match &self.access {
            BedrockAccess::Key(key) => post.bearer_auth(key.current().reveal()),
            BedrockAccess::Signed(identity) => {
                let (headers, of_messages) =
                    identity.sign_stream(SERVICE, &url, EVENT_STREAM).await?;
                signer = Some(of_messages);
                headers.into_iter().fold(post, |post, (name, value)| post.header(name, value))
            }
        };
        let frames = stream::unfold((events, Some(signer)), |(mut events, signer)| async move {
            let mut signer = signer?;
            match events.recv().await {
                Some(event) => {
                    let frame = frame(signer.as_mut(), &event);
                    Some((frame, (events, Some(signer))))
                }
                // A signed stream says that it is over.
                None => {
                    let end = signer.as_mut()?.sign(None).and_then(|end| written(&end));
                    Some((end, (events, None)))
                }
            }
        });
        post.body(reqwest::Body::wrap_stream(frames)).send().await.map_err(connection)
    }
}

#[async_trait]
impl LanguageModel for Sonic {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn model(&self) -> &str {
        &self.settings.model
    }

    fn price(&self) -> Price {
        self.settings.price
    }

    fn speaks(&self) -> bool {
        true
    }

    async fn reply(&self, request: &Request) -> Result<Deltas, ModelError> {
        let (Some(prompt), Some(hearing)) = (&request.prompt, &request.hearing) else {
            return Err(ModelError::NoWords);
        };
        let deadline = Instant::now() + self.patience.first_token;
        let (events, mut script) = self.opening(prompt, request);
        let (say, said) = mpsc::unbounded_channel();
        let (listen, voice) = script.listen();
        // It cannot fail before the other end is handed over.
        for event in events.into_iter().chain([listen]).chain(heard(&voice, &hearing.sound.mulaw()))
        {
            let _ = say.send(event);
        }
        let opened = timeout_at(deadline, self.open(said)).await;
        let response = opened.map_err(|_| ModelError::TimedOut(Waiting::First))??;
        if !response.status().is_success() {
            let refused = timeout_at(deadline, refusal(&self.access, response)).await;
            return Err(refused.unwrap_or(ModelError::TimedOut(Waiting::First)));
        }
        let bytes = response.bytes_stream().map_err(connection).boxed();
        let told = hearing.told.clone();
        Ok(Talk::new(bytes, (say, script, voice), told, deadline, self.patience).deltas())
    }
}

/// The person's words as sound, and the quiet after them.
fn heard(voice: &Voice, mulaw: &[u8]) -> Vec<Value> {
    let mut samples: Vec<i16> = mulaw.iter().map(|code| g711::decode(*code)).collect();
    samples.resize(samples.len() + QUIET_SAMPLES, 0);
    samples.chunks(PIECE_SAMPLES).map(|piece| voice.says(piece)).collect()
}

/// What the model is told beforehand. A talk takes nothing but what people said, so what a turn has come to already stands
/// here.
fn system(prompt: &Prompt, request: &Request) -> String {
    let mut system = prompt.system.reveal().to_owned();
    for Exchange { asked, told, .. } in &request.exchanges {
        let (name, arguments) = (&asked.name, &asked.arguments);
        let done = format!("\nYou have used the tool {name} for this with {arguments}: {told}");
        system.push_str(&done);
    }
    if !request.said.is_empty() {
        let begun = json!(join(&request.said));
        system.push_str(&format!("\nTo what the person says now you have said: {begun}. {GO_ON}"));
    }
    system
}

/// The talk before the words that are heard. The person begins, and whoever speaks twice is one block.
fn history(messages: &[Utterance]) -> Vec<(Role, String)> {
    let heard = messages.iter().rev().take_while(|said| said.role == Role::Person).count();
    let before = &messages[..messages.len() - heard];
    let mut talk: Vec<(Role, String)> = Vec::new();
    if before.first().is_some_and(|first| first.role == Role::Agent) {
        talk.push((Role::Person, OPENING.to_owned()));
    }
    for said in before {
        let text = said.text.reveal().trim();
        match talk.last_mut() {
            _ if text.is_empty() => {}
            Some((role, before)) if *role == said.role => {
                before.push('\n');
                before.push_str(text);
            }
            _ => talk.push((said.role, text.to_owned())),
        }
    }
    talk
}

/// The frame of an event.
fn frame(signer: Option<&mut StreamSigner>, event: &Value) -> Result<Bytes, ModelError> {
    let header = |name, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let chunk = json!({"bytes": STANDARD.encode(event.to_string())});
    let message = Message::new(chunk.to_string().into_bytes())
        .add_header(header(":message-type", "event"))
        .add_header(header(":event-type", "chunk"))
        .add_header(header(":content-type", "application/json"));
    match signer {
        Some(signer) => written(&signer.sign(Some(&message))?),
        None => written(&message),
    }
}

fn written(message: &Message) -> Result<Bytes, ModelError> {
    let mut bytes = Vec::new();
    write_message_to(message, &mut bytes)
        .map_err(|_| ModelError::Unreadable("an event cannot be written"))?;
    Ok(bytes.into())
}
