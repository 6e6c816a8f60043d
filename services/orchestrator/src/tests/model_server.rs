//! A model behind real HTTP that never answers twice alike, and does what a test tells it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};

use super::listening::listen;

/// What the server does next in its answer.
pub(crate) enum Step {
    /// Streams this text as one delta.
    Text(String),
    /// Asks for tools, by name and arguments, and ends as the protocol has it.
    Tools(Vec<(&'static str, String)>),
    /// Writes this into the stream as it is.
    Raw(&'static str),
    /// Ends with an exception in the stream, as Bedrock does.
    Exception(&'static str),
    /// Says nothing more, until the client goes.
    Stall,
    /// Ends as the protocol has it.
    Done,
}

type Script = dyn Fn(usize, &Value) -> Result<Vec<Step>, (u16, &'static str)> + Send + Sync;

#[derive(Clone)]
pub(crate) struct ModelServer {
    pub(crate) base_url: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    requests: Mutex<Vec<Value>>,
    count: AtomicUsize,
    /// A client left while the server was stalling.
    left: Notify,
}

impl ModelServer {
    /// Starts a server; `script` gets the number of the request and its body, and says what is
    /// answered, or with which status and body it is refused.
    pub(crate) async fn start(
        script: impl Fn(usize, &Value) -> Result<Vec<Step>, (u16, &'static str)> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            script: Box::new(script),
            requests: Mutex::default(),
            count: AtomicUsize::new(0),
            left: Notify::new(),
        });
        let serving = shared.clone();
        let base = listen(move |socket| serve(socket, serving.clone())).await;
        Self { base_url: format!("{base}/v1"), shared }
    }

    /// Answers every request with three sentences that name the request, one delta a word; one that
    /// has begun already is gone on with.
    pub(crate) async fn never_twice_alike() -> Self {
        Self::start(|number, body| {
            let said = said_already(body);
            let words = (said..3).flat_map(|i| {
                format!("Answer {number} has sentence {i}. ")
                    .split_inclusive(' ')
                    .map(|w| Step::Text(w.to_owned()))
                    .collect::<Vec<_>>()
            });
            Ok(words.chain([Step::Done]).collect())
        })
        .await
    }

    /// The bodies of the requests so far.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until a client has left a stalling answer.
    pub(crate) async fn client_left(&self) {
        self.shared.left.notified().await;
    }
}

/// How many sentences the trailing assistant message has; 0 where the user's words stand last.
fn said_already(body: &Value) -> usize {
    let last = body["messages"].as_array().and_then(|m| m.last()).unwrap();
    match last["role"].as_str() {
        Some("assistant") => last["content"].as_str().unwrap().matches('.').count(),
        _ => 0,
    }
}

async fn serve(mut socket: TcpStream, shared: Arc<Shared>) {
    let Some((path, body)) = read_request(&mut socket).await else { return };
    if path.ends_with("/embeddings") {
        let texts = body["input"].as_array().unwrap().iter().enumerate();
        let data: Vec<Value> =
            texts.map(|(i, text)| json!({"index": i, "embedding": about(text)})).collect();
        return write_json(&mut socket, &json!({"data": data})).await;
    }
    if path.ends_with("/invoke") {
        let answer = json!({"embedding": about(&body["inputText"]), "inputTextTokenCount": 3});
        return write_json(&mut socket, &answer).await;
    }
    let form = if path.ends_with("/converse-stream") { Form::Bedrock } else { Form::OpenAi };
    let number = shared.count.fetch_add(1, Ordering::SeqCst);
    shared.requests.lock().unwrap().push(body.clone());
    let steps = match (shared.script)(number, &body) {
        Ok(steps) => steps,
        Err((status, body)) => {
            let named = match form {
                Form::Bedrock => format!("x-amzn-errortype: {body}:http://amazon.com/\r\n"),
                Form::OpenAi => String::new(),
            };
            let head = format!(
                "HTTP/1.1 {status} No\r\n{named}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(head.as_bytes()).await.ok();
            return;
        }
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\
                connection: close\r\n\r\n";
    socket.write_all(head.as_bytes()).await.ok();
    for step in steps {
        match step {
            Step::Text(text) => write_chunk(&mut socket, &form.text(&text)).await,
            Step::Tools(calls) => {
                for (index, (name, arguments)) in calls.into_iter().enumerate() {
                    let id = format!("call_{number}_{index}");
                    for piece in form.tool(index, &id, name, &arguments) {
                        write_chunk(&mut socket, &piece).await;
                    }
                }
                write_chunk(&mut socket, &form.end(true)).await;
            }
            Step::Raw(raw) => write_chunk(&mut socket, raw.as_bytes()).await,
            Step::Exception(kind) => {
                let body = json!({"message": "no"});
                write_chunk(&mut socket, &frame("exception", kind, &body)).await;
            }
            Step::Done => write_chunk(&mut socket, &form.end(false)).await,
            Step::Stall => {
                let mut byte = [0];
                if matches!(socket.read(&mut byte).await, Ok(0) | Err(_)) {
                    shared.left.notify_one();
                }
                return;
            }
        }
    }
    socket.write_all(b"0\r\n\r\n").await.ok();
}

/// A space of three directions is enough: parking, hours, and everything else.
fn about(text: &Value) -> [f64; 3] {
    let text = text.as_str().unwrap().to_lowercase();
    let names = |words: &[&str]| if words.iter().any(|w| text.contains(w)) { 1.0 } else { 0.0 };
    [names(&["park", "my car"]), names(&["open", "hours"]), 0.1]
}

async fn write_json(socket: &mut TcpStream, answer: &Value) {
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    socket.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).await.ok();
}

/// The protocol a request came by.
#[derive(Clone, Copy)]
enum Form {
    OpenAi,
    Bedrock,
}

impl Form {
    fn text(self, text: &str) -> Vec<u8> {
        match self {
            Self::OpenAi => {
                let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": {"content": text}}],
                                   "usage": null, "obfuscation": "x"});
                format!("data: {chunk}\n\n").into_bytes()
            }
            Self::Bedrock => {
                let delta = json!({"contentBlockIndex": 0, "delta": {"text": text}, "p": "abc"});
                event("contentBlockDelta", &delta)
            }
        }
    }

    fn tool(self, index: usize, id: &str, name: &str, arguments: &str) -> Vec<Vec<u8>> {
        let pieces = arguments.as_bytes().chunks(7).map(|p| String::from_utf8_lossy(p));
        match self {
            Self::OpenAi => {
                let first = json!({"index": index, "id": id, "type": "function",
                    "function": {"name": name, "arguments": ""}});
                let rest =
                    pieces.map(|piece| json!({"index": index, "function": {"arguments": piece}}));
                let chunk =
                    |piece| json!({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]});
                let all = std::iter::once(first).chain(rest).map(chunk);
                all.map(|chunk| format!("data: {chunk}\n\n").into_bytes()).collect()
            }
            Self::Bedrock => {
                // Text is block 0.
                let block = index + 1;
                let start = json!({"contentBlockIndex": block,
                    "start": {"toolUse": {"toolUseId": id, "name": name}}});
                let mut events = vec![event("contentBlockStart", &start)];
                events.extend(pieces.map(|piece| {
                    let delta = json!({"contentBlockIndex": block,
                        "delta": {"toolUse": {"input": piece}}});
                    event("contentBlockDelta", &delta)
                }));
                events.push(event("contentBlockStop", &json!({"contentBlockIndex": block})));
                events
            }
        }
    }

    fn end(self, asks: bool) -> Vec<u8> {
        match self {
            Self::OpenAi => {
                let reason = if asks { "tool_calls" } else { "stop" };
                format!(
                    "data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\n\
                     data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":4}}}}\n\n\
                     data: [DONE]\n\n"
                )
                .into_bytes()
            }
            Self::Bedrock => {
                let reason = if asks { "tool_use" } else { "end_turn" };
                let usage = json!({"usage": {"inputTokens": 9, "outputTokens": 4, "totalTokens": 13},
                                   "metrics": {"latencyMs": 7}});
                [event("messageStop", &json!({"stopReason": reason})), event("metadata", &usage)]
                    .concat()
            }
        }
    }
}

fn event(kind: &'static str, body: &Value) -> Vec<u8> {
    frame("event", kind, body)
}

fn frame(message: &'static str, kind: &'static str, body: &Value) -> Vec<u8> {
    let header = |name, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let type_header = if message == "event" { ":event-type" } else { ":exception-type" };
    let message = Message::new(body.to_string().into_bytes())
        .add_header(header(":message-type", message))
        .add_header(header(type_header, kind))
        .add_header(header(":content-type", "application/json"));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}

async fn write_chunk(socket: &mut TcpStream, bytes: &[u8]) {
    let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    socket.write_all(&chunk).await.ok();
    socket.flush().await.ok();
}

/// The path and the body.
async fn read_request(socket: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read = socket.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: "))?;
        let body = &bytes[end + 4..];
        if body.len() >= length.trim().parse::<usize>().ok()? {
            let path = head.split(' ').nth(1)?.to_owned();
            return Some((path, serde_json::from_slice(body).ok()?));
        }
    }
}
