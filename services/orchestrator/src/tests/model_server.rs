//! A model behind real HTTP that never answers twice alike, and does what a test tells it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// What the server does next in its answer.
pub(crate) enum Step {
    /// Streams this text as one delta.
    Text(String),
    /// Asks for tools, by name and arguments, and ends as the protocol has it.
    Tools(Vec<(&'static str, String)>),
    /// Writes this into the stream as it is.
    Raw(&'static str),
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            script: Box::new(script),
            requests: Mutex::default(),
            count: AtomicUsize::new(0),
            left: Notify::new(),
        });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, serving.clone()));
            }
        });
        Self { base_url, shared }
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
    let Some(body) = read_request(&mut socket).await else { return };
    let number = shared.count.fetch_add(1, Ordering::SeqCst);
    shared.requests.lock().unwrap().push(body.clone());
    let steps = match (shared.script)(number, &body) {
        Ok(steps) => steps,
        Err((status, body)) => {
            let head = format!(
                "HTTP/1.1 {status} No\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
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
            Step::Text(text) => {
                let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": {"content": text}}],
                                   "usage": null, "obfuscation": "x"});
                write_chunk(&mut socket, &format!("data: {chunk}\n\n")).await;
            }
            Step::Tools(calls) => {
                for (index, (name, arguments)) in calls.into_iter().enumerate() {
                    let id = format!("call_{number}_{index}");
                    let mut pieces = vec![json!({"index": index, "id": id, "type": "function",
                        "function": {"name": name, "arguments": ""}})];
                    pieces.extend(arguments.as_bytes().chunks(7).map(|piece| {
                        let piece = String::from_utf8_lossy(piece);
                        json!({"index": index, "function": {"arguments": piece}})
                    }));
                    for piece in pieces {
                        let chunk =
                            json!({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]});
                        write_chunk(&mut socket, &format!("data: {chunk}\n\n")).await;
                    }
                }
                write_chunk(&mut socket, &end("tool_calls")).await;
            }
            Step::Raw(raw) => write_chunk(&mut socket, raw).await,
            Step::Done => write_chunk(&mut socket, &end("stop")).await,
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

fn end(reason: &str) -> String {
    format!(
        "data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\n\
         data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":4}}}}\n\n\
         data: [DONE]\n\n"
    )
}

async fn write_chunk(socket: &mut TcpStream, text: &str) {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    socket.write_all(chunk.as_bytes()).await.ok();
    socket.flush().await.ok();
}

async fn read_request(socket: &mut TcpStream) -> Option<Value> {
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
            return serde_json::from_slice(body).ok();
        }
    }
}
