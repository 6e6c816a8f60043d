//! Nova Sonic behind real HTTP/2, which takes a turn when it hears quiet and does what a test tells it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_smithy_eventstream::frame::{
    DecodedFrame, MessageFrameDecoder, read_message_from, write_message_to,
};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, server};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::Notify};

use super::listening::listen;

/// What the server does next.
pub(crate) enum Step {
    /// Says this sentence: in words, then as one sample for each letter.
    Says(&'static str),
    /// Says this one, and that the turn is over.
    Ends(&'static str),
    /// Asks for a tool, by name and arguments, and waits for what comes of it.
    Asks(&'static str, String),
    /// Ends with an exception in the stream.
    Exception(&'static str),
    /// Ends the stream without a word.
    Leaves,
    /// Says nothing more, until the client goes.
    Stalls,
}

type Answers = Result<Vec<Step>, (u16, &'static str)>;
type Script = dyn Fn(usize, &[Value]) -> Answers + Send + Sync;

#[derive(Clone)]
pub(crate) struct SonicServer {
    pub(crate) base_url: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    /// The events of each session.
    sessions: Mutex<Vec<Vec<Value>>>,
    turns: AtomicUsize,
    /// A client left while the server was stalling.
    left: Notify,
}

impl SonicServer {
    /// Starts a server; `script` gets how often it was to speak before and the session's events so far, and says what
    /// follows. With a status it refuses the next session.
    pub(crate) async fn start(
        script: impl Fn(usize, &[Value]) -> Answers + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            script: Box::new(script),
            sessions: Mutex::default(),
            turns: AtomicUsize::new(0),
            left: Notify::new(),
        });
        let serving = shared.clone();
        let base_url = listen(move |socket| serve(socket, serving.clone())).await;
        Self { base_url, shared }
    }

    /// What each session was told so far.
    pub(crate) fn sessions(&self) -> Vec<Vec<Value>> {
        self.shared.sessions.lock().unwrap().clone()
    }

    /// Waits until a client has left while nothing was said.
    pub(crate) async fn client_left(&self) {
        self.shared.left.notified().await;
    }
}

/// What a sentence sounds like here, as the client is to hand it on.
pub(crate) fn sound_of(sentence: &str) -> Vec<u8> {
    samples_of(sentence).into_iter().map(domain::g711::encode).collect()
}

fn samples_of(sentence: &str) -> Vec<i16> {
    sentence.bytes().map(|letter| i16::from(letter) * 64).collect()
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) {
    let mut connection = server::handshake(socket).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let refused = (shared.script)(shared.turns.load(Ordering::SeqCst), &[]).err();
            let (status, kind) = refused.unwrap_or((200, ""));
            let response = http::Response::builder().status(status);
            let response = response.header("x-amzn-errortype", kind).body(()).unwrap();
            let send = respond.send_response(response, status != 200).unwrap();
            if status == 200 {
                let session = {
                    let mut sessions = shared.sessions.lock().unwrap();
                    sessions.push(Vec::new());
                    sessions.len() - 1
                };
                let input = Input {
                    body: request.into_body(),
                    bytes: BytesMut::new(),
                    decoder: MessageFrameDecoder::new(),
                };
                answer(shared, session, input, send).await;
            }
        });
    }
}

/// Takes the turn when it hears quiet for the first time, and goes on when it is told what came of a tool.
async fn answer(
    shared: Arc<Shared>,
    session: usize,
    mut input: Input,
    mut send: SendStream<Bytes>,
) {
    let mut has_heard = false;
    while let Some(event) = input.next().await {
        let is_quiet = event["audioInput"]["content"]
            .as_str()
            .is_some_and(|sound| STANDARD.decode(sound).unwrap().iter().all(|byte| *byte == 0));
        let is_told = event.get("toolResult").is_some();
        let so_far = {
            let events = &mut shared.sessions.lock().unwrap()[session];
            events.push(event);
            events.clone()
        };
        if !(is_told || (is_quiet && !std::mem::replace(&mut has_heard, true))) {
            continue;
        }
        let number = shared.turns.fetch_add(1, Ordering::SeqCst);
        for step in (shared.script)(number, &so_far).unwrap_or_default() {
            let chunks = match step {
                Step::Says(text) => says(number, text, "PARTIAL_TURN"),
                Step::Ends(text) => says(number, text, "END_TURN"),
                Step::Asks(name, arguments) => asks(number, name, &arguments),
                Step::Exception(kind) => vec![frame("exception", kind, &json!({"message": "no"}))],
                Step::Leaves => {
                    send.send_data(Bytes::new(), true).ok();
                    return;
                }
                Step::Stalls => {
                    // The client's quiet goes on meanwhile.
                    while input.next().await.is_some() {}
                    shared.left.notify_one();
                    return;
                }
            };
            for chunk in chunks {
                send.send_data(chunk, false).ok();
            }
        }
    }
    send.send_data(Bytes::new(), true).ok();
}

/// A session counts what it used from its beginning.
fn says(number: usize, text: &str, stop: &str) -> Vec<Bytes> {
    let (read, written) = (9 * (number + 1), 4 * (number + 1));
    let pcm: Vec<u8> = samples_of(text).iter().flat_map(|s| s.to_le_bytes()).collect();
    let stage = |stage: &str| json!({"generationStage": stage}).to_string();
    let mut chunks = vec![
        chunk(
            "contentStart",
            json!({"type": "TEXT", "role": "ASSISTANT",
            "additionalModelFields": stage("SPECULATIVE")}),
        ),
        chunk("textOutput", json!({"content": text, "role": "ASSISTANT"})),
        chunk("contentEnd", json!({"type": "TEXT", "stopReason": "PARTIAL_TURN"})),
        chunk("contentStart", json!({"type": "AUDIO", "role": "ASSISTANT"})),
    ];
    let sound = pcm.chunks(10).map(|piece| json!({"content": STANDARD.encode(piece)}));
    chunks.extend(sound.map(|content| chunk("audioOutput", content)));
    chunks.extend([
        chunk("contentEnd", json!({"type": "AUDIO", "stopReason": stop})),
        chunk(
            "contentStart",
            json!({"type": "TEXT", "role": "ASSISTANT",
            "additionalModelFields": stage("FINAL")}),
        ),
        chunk("textOutput", json!({"content": text, "role": "ASSISTANT"})),
        chunk("contentEnd", json!({"type": "TEXT", "stopReason": stop})),
        chunk(
            "usageEvent",
            json!({"totalInputTokens": read, "totalOutputTokens": written, "totalTokens": read + written}),
        ),
    ]);
    chunks
}

fn asks(number: usize, name: &str, arguments: &str) -> Vec<Bytes> {
    let id = format!("tool-{number}");
    vec![
        chunk("contentStart", json!({"type": "TOOL", "role": "TOOL"})),
        chunk("toolUse", json!({"toolName": name, "toolUseId": id, "content": arguments})),
        chunk("contentEnd", json!({"type": "TOOL", "stopReason": "TOOL_USE"})),
    ]
}

fn chunk(name: &str, body: Value) -> Bytes {
    let event = json!({"event": {name: body}}).to_string();
    frame("event", "chunk", &json!({"bytes": STANDARD.encode(event)}))
}

fn frame(message: &'static str, kind: &'static str, body: &Value) -> Bytes {
    let header = |name, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let type_header = if message == "event" { ":event-type" } else { ":exception-type" };
    let message = Message::new(body.to_string().into_bytes())
        .add_header(header(":message-type", message))
        .add_header(header(type_header, kind));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes.into()
}

/// The events of a session, out of their signed envelopes; the simulator checks what is signed.
struct Input {
    body: RecvStream,
    bytes: BytesMut,
    decoder: MessageFrameDecoder,
}

impl Input {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let DecodedFrame::Complete(signed) =
                self.decoder.decode_frame(&mut self.bytes).unwrap()
            {
                if signed.payload().is_empty() {
                    return None;
                }
                let message = read_message_from(&signed.payload()[..]).unwrap();
                let chunk: Value = serde_json::from_slice(message.payload()).unwrap();
                let event = STANDARD.decode(chunk["bytes"].as_str().unwrap()).unwrap();
                let event: Value = serde_json::from_slice(&event).unwrap();
                return Some(event["event"].clone());
            }
            let bytes = self.body.data().await?.ok()?;
            self.body.flow_control().release_capacity(bytes.len()).unwrap();
            self.bytes.extend_from_slice(&bytes);
        }
    }
}
