//! Nova Sonic: `InvokeModelWithBidirectionalStream` over HTTP/2 (PROTOCOLS 5.1). It hears the modem's speech, answers with
//! the simulated model's words in the modem's voice, and takes the outcome of tools on the stream that asked for them.
//!
//! It takes the turn after as much quiet as the real one does, counted in samples and not by the clock. The fault
//! switchboard has the point `bedrock/sonic` within the stream: a status becomes the exception AWS sends for it.

use std::io;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, Version},
    web,
};
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, read_message_from};
use aws_smithy_types::event_stream::Message;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Duration, sleep},
};
use uuid::Uuid;

use super::{frame, has_key};
use crate::{
    World,
    audio::{self, TELEPHONE_HZ},
    aws::{self, Chunks},
    faults::cut_off,
    hearing,
    openai::{Answer, Entry, Mode, Settings, ToolCall, arguments, usage},
    polly::error,
};

/// Louder than this is speech.
const LOUD: u16 = 1_000;
/// Sound is sent in pieces of this many bytes.
const CHUNK_BYTES: usize = 3_200;
/// Answers that wait for the client to read them.
const BACKLOG: usize = 64;

type Frame = io::Result<Bytes>;
type Refused = &'static str;
const INVALID: Refused = "validationException";

/// Takes a session in.
pub(super) async fn open(
    world: web::Data<World>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    if request.version() != Version::HTTP_2 {
        return error(StatusCode::BAD_REQUEST, "ValidationException");
    }
    let chunks = match has_key(&request) {
        true => None,
        false => {
            let secret = world.config.aws_secret.as_ref();
            match aws::authorise_stream(&request, "bedrock", secret) {
                Ok(chunks) => Some(chunks),
                Err(refusal) => return error(StatusCode::FORBIDDEN, refusal),
            }
        }
    };
    let (send, receive) = mpsc::channel(BACKLOG);
    let input =
        Input { payload, chunks, bytes: BytesMut::new(), decoder: MessageFrameDecoder::new() };
    actix_web::rt::spawn(serve(world, input, send));
    let frames = stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|frame: Frame| (frame, receive))
    });
    HttpResponse::Ok()
        .content_type("application/vnd.amazon.eventstream")
        .insert_header(("x-amzn-requestid", Uuid::new_v4().to_string()))
        .streaming(frames)
}

async fn serve(world: web::Data<World>, mut input: Input, send: mpsc::Sender<Frame>) {
    let mut session = Session::new(world, send.clone());
    let end = loop {
        let event = tokio::select! {
            event = input.next() => event,
            () = send.closed() => return,
        };
        match event {
            Ok(Some(event)) => match session.take(&event).await {
                Ok(true) => {}
                Ok(false) => break None,
                Err(refused) => break Some(refused),
            },
            // Whoever stops in the middle of a session gets no answer to it.
            Ok(None) => break None,
            Err(refused) => break Some(refused),
        }
    };
    if let Some(kind) = end {
        tracing::info!(kind, "a session of Sonic ends badly");
        let body = json!({"message": "The session cannot go on."});
        // Who hangs up does not wait for it.
        let _ = send.send(Ok(frame("exception", kind, &body))).await;
    }
}

/// The events of a session, as their bytes come in.
struct Input {
    payload: web::Payload,
    /// `None` where a key says who asks, and nothing is signed.
    chunks: Option<Chunks>,
    bytes: BytesMut,
    decoder: MessageFrameDecoder,
}

impl Input {
    /// The next event, by its name; `None` at the end.
    async fn next(&mut self) -> Result<Option<Value>, Refused> {
        loop {
            match self.decoder.decode_frame(&mut self.bytes).map_err(|_| INVALID)? {
                DecodedFrame::Complete(message) => return self.open(&message),
                DecodedFrame::Incomplete => match self.payload.next().await {
                    Some(Ok(bytes)) => self.bytes.extend_from_slice(&bytes),
                    Some(Err(_)) | None => return Ok(None),
                },
            }
        }
    }

    fn open(&mut self, message: &Message) -> Result<Option<Value>, Refused> {
        let read = |payload: &[u8]| -> Option<Value> {
            let chunk: Value = serde_json::from_slice(payload).ok()?;
            let bytes = STANDARD.decode(chunk["bytes"].as_str()?).ok()?;
            let event: Value = serde_json::from_slice(&bytes).ok()?;
            Some(event["event"].clone())
        };
        let Some(chunks) = &mut self.chunks else {
            return read(message.payload()).map(Some).ok_or(INVALID);
        };
        let within = chunks.open(message).map_err(|_| "accessDeniedException")?;
        if within.is_empty() {
            return Ok(None);
        }
        let message = read_message_from(&within[..]).map_err(|_| INVALID)?;
        read(message.payload()).map(Some).ok_or(INVALID)
    }
}

/// What is open in the session.
struct Block {
    name: String,
    kind: String,
    role: String,
    /// The tool that a result is of.
    tool: String,
}

struct Session {
    world: web::Data<World>,
    send: mpsc::Sender<Frame>,
    ids: Value,
    began: bool,
    prompt: Option<Value>,
    blocks: Vec<Block>,
    /// The talk as a chat, which is what the simulated model reads.
    messages: Vec<Value>,
    rate_hz: u32,
    heard: Vec<i16>,
    /// Samples of quiet after which the turn is taken.
    patience_ms: usize,
    /// Tools whose outcome is not told yet.
    owed: Vec<String>,
    /// Counts up, as usage does.
    tokens: (u64, u64),
}

impl Session {
    fn new(world: web::Data<World>, send: mpsc::Sender<Frame>) -> Self {
        let id = || Uuid::new_v4().to_string();
        Self {
            world,
            send,
            ids: json!({"sessionId": id(), "completionId": id()}),
            began: false,
            prompt: None,
            blocks: Vec::new(),
            messages: Vec::new(),
            rate_hz: TELEPHONE_HZ,
            heard: Vec::new(),
            patience_ms: 1_750,
            owed: Vec::new(),
            tokens: (0, 0),
        }
    }

    /// Takes an event in; false after the last one.
    async fn take(&mut self, event: &Value) -> Result<bool, Refused> {
        let Some((name, body)) = event.as_object().and_then(|event| event.iter().next()) else {
            return Err(INVALID);
        };
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        match name.as_str() {
            "sessionStart" => {
                let sensitivity = &body["turnDetectionConfiguration"]["endpointingSensitivity"];
                self.patience_ms = match sensitivity.as_str() {
                    Some("HIGH") => 1_500,
                    Some("LOW") => 2_000,
                    _ => 1_750,
                };
            }
            "promptStart" if self.prompt.is_none() => {
                self.ids["promptName"] = body["promptName"].clone();
                self.prompt = Some(body.clone());
            }
            "promptEnd" => {
                self.tell("completionEnd", json!({"stopReason": "END_TURN"})).await;
            }
            "sessionEnd" => return Ok(false),
            _ if body["promptName"] != self.ids["promptName"] => return Err(INVALID),
            "contentStart" => self.begin(body)?,
            "contentEnd" => self.blocks.retain(|block| block.name != text("contentName")),
            "textInput" => {
                let role = self.block(text("contentName"), "TEXT")?.role.to_lowercase();
                self.messages.push(json!({"role": role, "content": text("content")}));
            }
            "audioInput" => {
                self.block(text("contentName"), "AUDIO")?;
                let bytes = STANDARD.decode(text("content")).map_err(|_| INVALID)?;
                self.heard.extend(audio::read_pcm(&bytes));
                if self.is_turn_over() {
                    self.listen().await?;
                }
            }
            "toolResult" => {
                let tool = self.block(text("contentName"), "TOOL")?.tool.clone();
                let before = self.owed.len();
                self.owed.retain(|owed| *owed != tool);
                if self.owed.len() == before {
                    return Err(INVALID);
                }
                let told = text("content");
                self.messages.push(json!({"role": "tool", "tool_call_id": tool, "content": told}));
                if self.owed.is_empty() {
                    self.answer().await?;
                }
            }
            _ => return Err(INVALID),
        }
        Ok(true)
    }

    fn begin(&mut self, body: &Value) -> Result<(), Refused> {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let kind = text("type");
        let rate_hz = body["audioInputConfiguration"]["sampleRateHertz"].as_u64();
        match (kind.as_str(), rate_hz) {
            ("AUDIO", Some(8_000 | 16_000 | 24_000)) => {
                self.rate_hz = rate_hz.and_then(|rate| u32::try_from(rate).ok()).unwrap_or(0);
            }
            ("TEXT" | "TOOL", _) => {}
            _ => return Err(INVALID),
        }
        // The person begins a talk that went on before, and speaking turns about.
        let role = text("role").to_lowercase();
        let last = self.messages.last().and_then(|said| said["role"].as_str());
        let follows = match role.as_str() {
            "assistant" => last == Some("user"),
            "user" if kind == "TEXT" => last != Some("user"),
            _ => true,
        };
        let tool = body["toolResultInputConfiguration"]["toolUseId"].as_str();
        let tool = tool.unwrap_or_default().to_owned();
        let is_new = self.blocks.iter().all(|block| block.name != text("contentName"));
        if !follows || !is_new {
            return Err(INVALID);
        }
        self.blocks.push(Block { name: text("contentName"), kind, role, tool });
        Ok(())
    }

    fn block(&self, name: &str, kind: &str) -> Result<&Block, Refused> {
        let open = self.blocks.iter().find(|block| block.name == name && block.kind == kind);
        open.ok_or(INVALID)
    }

    fn is_turn_over(&self) -> bool {
        let last = self.heard.iter().rposition(|sample| sample.unsigned_abs() > LOUD);
        let patience = self.patience_ms * self.rate_hz as usize / 1000;
        last.is_some_and(|last| self.heard.len() - last > patience)
    }

    /// Understands what was said, and answers.
    async fn listen(&mut self) -> Result<(), Refused> {
        let heard = std::mem::take(&mut self.heard);
        let samples = audio::resample(&heard, self.rate_hz, TELEPHONE_HZ);
        let words = hearing::hear(self.world.clone(), samples).await;
        let words = words.map_err(|_| "internalServerException")?;
        if words.is_empty() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.began, true) {
            self.tell("completionStart", json!({})).await;
        }
        let text = hearing::text(&words);
        self.write("USER", "FINAL", &text, "PARTIAL_TURN").await;
        self.messages.push(json!({"role": "user", "content": text}));
        self.answer().await
    }

    async fn answer(&mut self) -> Result<(), Refused> {
        let strike = self.world.faults.strike("bedrock", "sonic").await;
        if let Some((status, _)) = strike.fail {
            return Err(exception_of(status));
        }
        let prompt = self.prompt.as_ref().ok_or(INVALID)?;
        let tools = prompt["toolConfiguration"]["tools"].as_array().into_iter().flatten();
        let tools: Vec<Value> = tools
            .map(|tool| {
                let spec = &tool["toolSpec"];
                let schema = spec["inputSchema"]["json"].as_str().unwrap_or_default();
                let schema: Value = serde_json::from_str(schema).unwrap_or_default();
                json!({"type": "function", "function": {"name": spec["name"], "parameters": schema}})
            })
            .collect();
        let audio = &prompt["audioOutputConfiguration"];
        let voice = audio["voiceId"].as_str().ok_or(INVALID)?.to_owned();
        let rate_hz = audio["sampleRateHertz"].as_u64().and_then(|rate| u32::try_from(rate).ok());
        let rate_hz = rate_hz.filter(|rate| [8_000, 16_000, 24_000].contains(rate));
        let rate_hz = rate_hz.ok_or(INVALID)?;
        let chat = json!({"messages": self.messages, "tools": tools});
        let settings = self.world.model.settings();
        let answer = self.world.model.answer(&chat);
        let used = usage(&chat, &answer);
        let mut entry = self.world.model.note(chat);
        sleep(Duration::from_millis(settings.first_token_ms)).await;
        match &answer {
            Answer::Text(text) => {
                self.speak(text, &settings, (&voice, rate_hz), &entry).await?;
                self.messages.push(json!({"role": "assistant", "content": text}));
            }
            Answer::Tools { tool_calls } => {
                for call in tool_calls {
                    self.ask(call, &entry).await;
                }
                self.messages.push(json!({"role": "assistant", "content": ""}));
            }
        }
        let count = |what: &str| used[what].as_u64().unwrap_or(0);
        self.tokens.0 += count("prompt_tokens");
        self.tokens.1 += count("completion_tokens");
        let (read, written) = self.tokens;
        let total = json!({"totalInputTokens": read, "totalOutputTokens": written, "totalTokens": read + written});
        self.tell("usageEvent", total).await;
        if !self.send.is_closed() {
            entry.finish();
        }
        Ok(())
    }

    /// Says a text: each sentence in words first, then in sound; in the end what was really said.
    async fn speak(
        &mut self,
        text: &str,
        settings: &Settings,
        (voice, rate_hz): (&str, u32),
        entry: &Entry,
    ) -> Result<(), Refused> {
        let broken = matches!(settings.mode, Mode::Stall | Mode::Rubbish | Mode::Cut);
        let (mut said, mut left) = (Vec::new(), settings.after_chars);
        let sentences: Vec<&str> = sentences(text).collect();
        for (place, sentence) in sentences.iter().enumerate() {
            if broken && left < sentence.chars().count() {
                return self.break_off(settings.mode).await;
            }
            left = left.saturating_sub(sentence.chars().count());
            self.write("ASSISTANT", "SPECULATIVE", sentence, "PARTIAL_TURN").await;
            let samples = hearing::speak(&self.world, voice, sentence).await;
            let samples = samples.map_err(|_| "internalServerException")?;
            let samples = audio::resample(&samples, TELEPHONE_HZ, rate_hz);
            let is_last = place + 1 == sentences.len();
            let stop = if is_last && !broken { "END_TURN" } else { "PARTIAL_TURN" };
            let mut sound = Vec::new();
            for piece in audio::write_pcm(&samples).chunks(CHUNK_BYTES) {
                sound.push(("audioOutput", json!({"content": STANDARD.encode(piece)})));
            }
            self.block_of("AUDIO", json!({"role": "ASSISTANT"}), sound, stop).await;
            sleep(Duration::from_millis(settings.token_ms)).await;
            entry.sent(sentence);
            said.push(*sentence);
        }
        if broken {
            return self.break_off(settings.mode).await;
        }
        for sentence in said {
            self.write("ASSISTANT", "FINAL", sentence, "PARTIAL_TURN").await;
        }
        Ok(())
    }

    async fn ask(&mut self, call: &ToolCall, entry: &Entry) {
        let id = Uuid::new_v4().to_string();
        let asked = json!({"toolName": call.name, "toolUseId": id, "content": arguments(call)});
        self.block_of("TOOL", json!({"role": "TOOL"}), vec![("toolUse", asked)], "TOOL_USE").await;
        self.owed.push(id);
        entry.sent(&format!("[{}]{}", call.name, arguments(call)));
    }

    async fn break_off(&mut self, mode: Mode) -> Result<(), Refused> {
        match mode {
            Mode::Stall => self.send.closed().await,
            Mode::Cut => {
                let cut = cut_off().await;
                let _ = self.send.send(Err(cut)).await;
            }
            _ => {
                let rubbish = Bytes::from_static(b"\xff\xfe\x00data data data data data");
                let _ = self.send.send(Ok(rubbish)).await;
            }
        }
        self.send.closed().await;
        Ok(())
    }

    async fn write(&mut self, role: &str, stage: &str, text: &str, stop: &str) {
        let fields = json!({"generationStage": stage}).to_string();
        let start = json!({"role": role, "additionalModelFields": fields});
        let words = json!({"role": role, "content": text});
        self.block_of("TEXT", start, vec![("textOutput", words)], stop).await;
    }

    async fn block_of(
        &mut self,
        kind: &str,
        mut start: Value,
        contents: Vec<(&str, Value)>,
        stop: &str,
    ) {
        let id = Uuid::new_v4().to_string();
        start["type"] = kind.into();
        let end = ("contentEnd", json!({"type": kind, "stopReason": stop}));
        let events = [("contentStart", start)].into_iter().chain(contents).chain([end]);
        for (name, mut body) in events {
            body["contentId"] = id.clone().into();
            self.tell(name, body).await;
        }
    }

    async fn tell(&self, name: &str, mut body: Value) {
        for (key, id) in self.ids.as_object().into_iter().flatten() {
            body[key] = id.clone();
        }
        let event = json!({"event": {name: body}}).to_string();
        let chunk = frame("event", "chunk", &json!({"bytes": STANDARD.encode(event)}));
        // Who hangs up is noticed where the next event is awaited.
        let _ = self.send.send(Ok(chunk)).await;
    }
}

/// The sentences of the simulated model end at a full stop or question mark before a space.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let ends = |(at, end): (usize, &str)| at + end.len();
    let mut from = 0;
    let mut places: Vec<usize> = [". ", "? ", "! "]
        .iter()
        .flat_map(|end| text.match_indices(end).map(ends))
        .chain([text.len()])
        .collect();
    places.sort_unstable();
    places.into_iter().filter_map(move |to| {
        let sentence = text[from..to].trim();
        from = to;
        (!sentence.is_empty()).then_some(sentence)
    })
}

/// The exception for the status AWS documents with it.
fn exception_of(status: StatusCode) -> Refused {
    match status.as_u16() {
        400 => INVALID,
        408 => "modelTimeoutException",
        424 => "modelStreamErrorException",
        429 => "throttlingException",
        503 => "serviceUnavailableException",
        _ => "internalServerException",
    }
}
