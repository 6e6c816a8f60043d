//! A proxy between the services and a stand-in of AWS that fails as AWS may: it refuses, it does the work and loses the
//! answer, it delivers a message a second time after it was deleted, it has no room.
//!
//! One request a connection, so that it need not understand how an answer ends.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::probe;

const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a client waits for an answer that is lost, before the connection ends.
const LOST_ANSWER: Duration = Duration::from_secs(1);
const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A stand-in behind this proxy. Dropping it ends the proxy.
pub(super) struct StandIn {
    address: SocketAddr,
    faults: Arc<Mutex<Faults>>,
    _serving: AbortOnDropHandle<()>,
}

/// What is to go wrong.
#[derive(Default)]
struct Faults {
    refuses_until: Option<Instant>,
    full_until: Option<Instant>,
    /// So many answers are still to be lost.
    answers_to_lose: u32,
    /// So many receipts are still to be kept, to deliver them again.
    receipts_to_repeat: u32,
    kept: Vec<Receipt>,
    delivered_again: u32,
}

/// Messages that were received once, to be received again when all of them were deleted.
struct Receipt {
    queue: String,
    /// Handles of those that are not deleted yet.
    handles: Vec<String>,
    answer: Vec<u8>,
}

/// What becomes of a request.
enum Fate {
    Refused,
    Answered(Vec<u8>),
    Forwarded { loses_answer: bool },
}

impl StandIn {
    /// Puts a proxy before the stand-in at `upstream`.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) async fn before(upstream: SocketAddr) -> anyhow::Result<Self> {
        let address = probe::free_address()?;
        let listener = TcpListener::bind(address).await.context("listen for a stand-in")?;
        let faults = Arc::<Mutex<Faults>>::default();
        let serving = tokio::spawn(serve(listener, upstream, faults.clone()));
        Ok(Self { address, faults, _serving: AbortOnDropHandle::new(serving) })
    }

    /// `http://host:port`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers 503 to everything for so long.
    pub(super) fn refuse(&self, lasting: Duration) {
        lock(&self.faults).refuses_until = Some(Instant::now() + lasting);
    }

    /// Refuses whatever is to be stored for so long, and gives the rest.
    pub(super) fn fill(&self, lasting: Duration) {
        lock(&self.faults).full_until = Some(Instant::now() + lasting);
    }

    /// Does what the next requests ask for, and answers none of them.
    pub(super) fn lose_answers(&self, times: u32) {
        lock(&self.faults).answers_to_lose = times;
    }

    /// Delivers what the next receives bring once more, after it was deleted.
    pub(super) fn repeat(&self, times: u32) {
        lock(&self.faults).receipts_to_repeat = times;
    }

    /// Nothing more goes wrong.
    pub(super) fn mend(&self) {
        let mut faults = lock(&self.faults);
        *faults = Faults { delivered_again: faults.delivered_again, ..Faults::default() };
    }

    /// How often messages were delivered again.
    pub(super) fn delivered_again(&self) -> u32 {
        lock(&self.faults).delivered_again
    }
}

impl Faults {
    fn judge(&mut self, request: &Request, now: Instant) -> Fate {
        if self.refuses_until.is_some_and(|until| now < until) {
            return Fate::Refused;
        }
        if self.full_until.is_some_and(|until| now < until) && request.method != "GET" {
            return Fate::Refused;
        }
        for receipt in &mut self.kept {
            receipt.handles.retain(|handle| {
                !(request.is_deletion() && contains(&request.body, handle.as_bytes()))
            });
        }
        if let Some(queue) = request.receives_from() {
            let due = |kept: &Receipt| kept.queue == queue && kept.handles.is_empty();
            if let Some(at) = self.kept.iter().position(due) {
                self.delivered_again += 1;
                return Fate::Answered(self.kept.remove(at).answer);
            }
        }
        let loses_answer = self.answers_to_lose > 0;
        self.answers_to_lose = self.answers_to_lose.saturating_sub(1);
        Fate::Forwarded { loses_answer }
    }

    /// Keeps an answer that brings messages, where such are to be repeated.
    fn note(&mut self, request: &Request, answer: &[u8]) {
        let Some(queue) = request.receives_from() else { return };
        if self.receipts_to_repeat == 0 {
            return;
        }
        let handles = handles_in(answer);
        if !handles.is_empty() {
            self.receipts_to_repeat -= 1;
            self.kept.push(Receipt { queue, handles, answer: answer.to_owned() });
        }
    }
}

fn lock(faults: &Mutex<Faults>) -> MutexGuard<'_, Faults> {
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, upstream: SocketAddr, faults: Arc<Mutex<Faults>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let faults = faults.clone();
        // Whoever went away in the middle has no use for an error.
        tokio::spawn(async move { pass(client, upstream, &faults).await.ok() });
    }
}

async fn pass(
    mut client: TcpStream,
    upstream: SocketAddr,
    faults: &Mutex<Faults>,
) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let Some(request) = Request::read(&mut client).await? else { return Ok(()) };
    let fate = lock(faults).judge(&request, Instant::now());
    let answer = match fate {
        Fate::Refused => UNAVAILABLE.to_owned(),
        Fate::Answered(answer) => answer,
        Fate::Forwarded { loses_answer } => {
            let asked = request.ask(upstream);
            // A client that goes away is not waited for: a long poll would take messages for nobody.
            let answer = tokio::select! {
                answer = asked => answer?,
                () = gone(&client) => return Ok(()),
            };
            if loses_answer {
                tokio::time::sleep(LOST_ANSWER).await;
                return Ok(());
            }
            lock(faults).note(&request, &answer);
            answer
        }
    };
    client.write_all(&answer).await?;
    client.shutdown().await?;
    Ok(())
}

/// Waits until the other side has closed.
async fn gone(client: &TcpStream) {
    loop {
        match client.peek(&mut [0]).await {
            Ok(0) | Err(_) => return,
            // A second request of the connection, which will get no answer here.
            Ok(_) => std::future::pending().await,
        }
    }
}

/// A request as it came.
struct Request {
    method: String,
    /// Without the headers that speak of the connection.
    head: String,
    /// `X-Amz-Target`, or nothing.
    target: String,
    body: Vec<u8>,
}

impl Request {
    /// Reads one; `None` when the client closes without.
    async fn read(client: &mut TcpStream) -> anyhow::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let head_end = loop {
            if let Some(at) = find(&bytes, b"\r\n\r\n") {
                break at;
            }
            anyhow::ensure!(bytes.len() < HEAD_BYTES_MAX, "read a request: its head has no end");
            if client.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
        let header = |wanted: &str| {
            let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
        };
        let length: usize =
            header("content-length").unwrap_or("0").parse().context("read a request's length")?;
        anyhow::ensure!(length <= BODY_BYTES_MAX, "read a request: {length} bytes are too many");
        if header("expect").is_some() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut body = bytes.split_off(head_end + 4);
        while body.len() < length {
            anyhow::ensure!(client.read_buf(&mut body).await? > 0, "read a request: it was cut");
        }
        let of_connection = |line: &str| {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            matches!(&*name, "connection" | "keep-alive" | "expect")
        };
        let kept: Vec<&str> = head.lines().filter(|line| !of_connection(line)).collect();
        Ok(Some(Self {
            method: head.split(' ').next().unwrap_or_default().to_owned(),
            target: header("x-amz-target").unwrap_or_default().to_owned(),
            head: kept.join("\r\n"),
            body,
        }))
    }

    /// The whole answer, headers and all.
    async fn ask(&self, upstream: SocketAddr) -> anyhow::Result<Vec<u8>> {
        let mut upstream = TcpStream::connect(upstream).await.context("reach the stand-in")?;
        upstream.set_nodelay(true)?;
        let head = format!("{}\r\nconnection: close\r\n\r\n", self.head);
        upstream.write_all(&[head.as_bytes(), &self.body].concat()).await?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer).await.context("read the stand-in's answer")?;
        Ok(answer)
    }

    fn is_deletion(&self) -> bool {
        self.target.starts_with("AmazonSQS.DeleteMessage")
    }

    /// The queue that messages are asked of.
    fn receives_from(&self) -> Option<String> {
        if self.target != "AmazonSQS.ReceiveMessage" {
            return None;
        }
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body["QueueUrl"].as_str()?.to_owned())
    }
}

/// The receipt handles in an answer of SQS.
fn handles_in(answer: &[u8]) -> Vec<String> {
    let body = find(answer, b"\r\n\r\n").map_or(&[][..], |at| &answer[at + 4..]);
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let messages = body["Messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().filter_map(|one| one["ReceiptHandle"].as_str()).map(str::to_owned).collect()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    find(bytes, wanted).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(operation: &str, body: &str) -> Request {
        Request {
            method: "POST".to_owned(),
            head: String::new(),
            target: format!("AmazonSQS.{operation}"),
            body: body.as_bytes().to_owned(),
        }
    }

    fn forwarded(fate: &Fate) -> bool {
        matches!(fate, Fate::Forwarded { loses_answer: false })
    }

    #[test]
    fn a_message_is_delivered_again_once_and_not_before_it_was_deleted() {
        let mut faults = Faults { receipts_to_repeat: 1, ..Faults::default() };
        let receive = request("ReceiveMessage", r#"{"QueueUrl": "q"}"#);
        let elsewhere = request("ReceiveMessage", r#"{"QueueUrl": "r"}"#);
        let delete = request("DeleteMessage", r#"{"QueueUrl": "q", "ReceiptHandle": "h1"}"#);
        let answer = b"HTTP/1.1 200 OK\r\n\r\n{\"Messages\":[{\"ReceiptHandle\":\"h1\"}]}";
        let now = Instant::now();
        assert!(forwarded(&faults.judge(&receive, now)));
        faults.note(&receive, answer);
        assert!(forwarded(&faults.judge(&receive, now)), "it is being handled");
        assert!(forwarded(&faults.judge(&delete, now)));
        assert!(forwarded(&faults.judge(&elsewhere, now)));
        assert!(matches!(faults.judge(&receive, now), Fate::Answered(again) if again == answer));
        assert!(forwarded(&faults.judge(&receive, now)));
    }

    #[test]
    fn a_full_store_still_gives_what_it_has() {
        let now = Instant::now();
        let full_until = Some(now + Duration::from_secs(1));
        let mut faults = Faults { full_until, ..Faults::default() };
        let put = Request { method: "PUT".to_owned(), ..request("", "") };
        let get = Request { method: "GET".to_owned(), ..request("", "") };
        assert!(matches!(faults.judge(&put, now), Fate::Refused));
        assert!(forwarded(&faults.judge(&get, now)));
        assert!(forwarded(&faults.judge(&put, now + Duration::from_secs(2))));
    }

    #[tokio::test]
    async fn an_answer_is_lost_after_the_work_was_done() {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = StandIn::before(upstream.local_addr().unwrap()).await.unwrap();
        let served = tokio::spawn(async move {
            let mut bodies = Vec::new();
            for _ in 0..2 {
                let (mut client, _) = upstream.accept().await.unwrap();
                let request = Request::read(&mut client).await.unwrap().unwrap();
                bodies.push(String::from_utf8(request.body).unwrap());
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\ndone").await.unwrap();
            }
            bodies
        });
        proxy.lose_answers(1);
        let ask = async |body: &str| {
            let mut client = TcpStream::connect(proxy.address).await.unwrap();
            let length = body.len();
            let request = format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{body}");
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert_eq!(ask("one").await, "");
        assert!(ask("two").await.ends_with("done"));
        assert_eq!(served.await.unwrap(), ["one", "two"]);
    }
}
