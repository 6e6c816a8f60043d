//! What a whole run leaves in logs, metrics and traces names nobody, and no secret (F4, E4, D3); and a turn has one trace through
//! all services.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use boot::Environment;
use domain::{CallSid, ConversationId};
use scripts::demo_key;
use scripts::history::History;
use scripts::log::{Echo, Log};
use scripts::mesh::{Mesh, Options};
use scripts::outside::Outside;
use scripts::provision::CREDENTIALS;
use scripts::stores::Environment as Variables;
use serde_json::{Value, json};
use simulator::caller::CallScript;
use store::seed::DEMO;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const OUR_NUMBER: &str = "+15550100001";
const OUR_WHATSAPP: &str = "106540352242922";
const CALLER: &str = "+15557770931";
const WRITER: &str = "15557770932";
const SAID: [&str; 2] = ["I would like an appointment", "purple walrus"];
const WRITTEN: [&str; 2] = ["What are your opening hours", "turquoise pelican"];
/// Nobody's words but theirs.
const TELLTALE: [&str; 6] =
    ["walrus", "pelican", "5557770931", "5557770932", "Ada", "opening hours"];
/// Ours in detail: what others log there is theirs.
const OURS_IN_DETAIL: &str = "info,actix_server=warn,edge=debug,voice=debug,orchestrator=debug,writer=debug,bus=debug,\
    store=debug,cache=debug,speech=debug,call_core=debug,dialogue_core=debug";
/// A shorter value is found anywhere.
const SHORTEST_SECRET: usize = 12;
/// The stand-ins take any.
const AWS_SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", "b7c1f0a9d24e4d5f8a6b");
/// What a spoken turn goes through.
const SERVICES: [&str; 4] = ["edge", "orchestrator", "voice", "writer"];
/// Spans are sent once a second.
const SPANS_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_run_leaves_no_secret_no_number_and_no_word_in_logs_metrics_and_traces() {
    let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("discretion");
    let _ = std::fs::remove_dir_all(&logs);
    let log = Log::open(&logs, Echo::Off).unwrap();
    let collector = Collector::open().await;
    let given = [
        ("SB_LOG_FORMAT", "json"),
        ("SB_LOG", OURS_IN_DETAIL),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        AWS_SECRET,
    ];
    let given: Variables =
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mesh = Mesh::start(Options { given, ..Options::new().unwrap() }, &log).await.unwrap();
    let outside = Outside::new(&mesh.endpoints().simulator).unwrap();
    let environment: Environment = mesh.environment().clone().into_iter().collect();
    let history = History::open(&environment).await.unwrap();

    let script = CallScript::new(CALLER, OUR_NUMBER, SAID);
    let (call, chat) =
        tokio::join!(outside.call(&script), outside.chat(WRITER, OUR_WHATSAPP, &WRITTEN));
    let call = CallSid::parse(&call.unwrap().sid).unwrap();
    chat.unwrap();
    let conversation = ConversationId::of_call(DEMO, &call);
    history.whole(conversation, 2 * SAID.len(), SAID.len()).await.unwrap();
    // A forged request is logged as well.
    let http = reqwest::Client::new();
    let forged = [("From", CALLER), ("To", OUR_NUMBER), ("CallSid", call.as_str())];
    let url = format!("{}/twilio/voice", mesh.endpoints().edge);
    let refused = http.post(url).header("x-twilio-signature", "no").form(&forged).send().await;
    assert_eq!(refused.unwrap().status(), 401);
    // So is what the API is asked, by whom it knows and by whom it does not.
    let key = &mesh.environment()[demo_key::VARIABLE];
    let url = format!("{}/api/v1/conversations/{conversation}", mesh.endpoints().edge);
    for (key, status) in [(key.clone(), 200), (format!("{key}x"), 401)] {
        let asked = http.get(&url).bearer_auth(key).send().await;
        assert_eq!(asked.unwrap().status(), status);
    }

    let spans = collector.spans_of_a_whole_turn(conversation, 1).await;
    let mut told = vec![("spans".to_owned(), spans)];
    for task in mesh.endpoints().tasks {
        let metrics = http.get(format!("http://{}/metrics", task.ops)).send().await.unwrap();
        told.push((format!("metrics of {}", task.name), metrics.text().await.unwrap()));
        told.push((format!("log of {}", task.name), mesh.log().read(&task.name)));
    }
    let secrets = secrets(mesh.environment());
    assert!(secrets.len() >= 8, "{}", secrets.len());
    for (what, text) in &told {
        assert!(!text.is_empty(), "{what} is empty");
        for (name, secret) in &secrets {
            assert!(!text.contains(secret), "{what} has {name}");
        }
        for word in TELLTALE {
            let line = text.lines().find(|line| line.contains(word));
            assert!(line.is_none(), "{what} tells of somebody ({word}): {line:?}");
        }
    }

    // What is logged while a message is handled says which.
    let mut within_messages = 0;
    for (what, text) in told.iter().filter(|(what, _)| what.starts_with("log")) {
        for line in text.lines() {
            let line: Value = serde_json::from_str(line)
                .unwrap_or_else(|_| panic!("{what} has a line that is no JSON: {line}"));
            let span = &line["span"];
            if span["name"] == json!("message") {
                within_messages += 1;
                for id in ["trace_id", "conversation", "turn", "event_id"] {
                    assert!(!span[id].is_null(), "{what}: {line}");
                }
            }
        }
    }
    assert!(within_messages > 0, "nothing is logged while messages are handled");
    mesh.stop().await.unwrap();
}

/// Every credential of the run, by name.
fn secrets(environment: &Variables) -> Vec<(String, String)> {
    let named = CREDENTIALS.iter().copied().chain([demo_key::VARIABLE, AWS_SECRET.0]);
    let mut secrets = Vec::new();
    for name in named {
        let Some(value) = environment.get(name) else { continue };
        let secret =
            match (name, value.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'))) {
                // A URL's login; its host is no secret.
                ("DATABASE_URL" | "REDIS_URL", Some((login, _))) => {
                    login.rsplit_once(':').map_or(login, |(_, password)| password).to_owned()
                }
                ("DATABASE_URL" | "REDIS_URL", None) => continue,
                // What stands before it says whose it is.
                (demo_key::VARIABLE, _) => value.rsplit('_').next().unwrap().to_owned(),
                _ => value.clone(),
            };
        assert!(secret.len() >= SHORTEST_SECRET, "{name} is too short to be looked for");
        secrets.push((name.to_owned(), secret));
    }
    secrets
}

/// What takes the spans of a run, as a collector of OpenTelemetry's does, until the test ends.
struct Collector {
    url: String,
    /// Each with the service that made it.
    spans: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Collector {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::<Mutex<Vec<_>>>::default();
        let taken = spans.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(take_spans(client, taken.clone()));
            }
        });
        Self { url, spans }
    }

    /// All spans, one a line, once a turn of `conversation` is in one trace from its beginning to the history.
    async fn spans_of_a_whole_turn(&self, conversation: ConversationId, turn: u32) -> String {
        let whole = tokio::time::timeout(SPANS_LIMIT, async {
            while !self.hops(conversation, turn).values().any(|hops| hops.len() == SERVICES.len()) {
                tokio::time::sleep(POLL).await;
            }
        });
        let is_whole = whole.await.is_ok();
        assert!(
            is_whole,
            "no trace goes through {SERVICES:?}: {:?}",
            self.hops(conversation, turn)
        );
        let spans = self.spans.lock().unwrap();
        spans.iter().map(|(service, span)| format!("{service} {span}\n")).collect()
    }

    /// Which of the services each trace of the turn went through.
    fn hops(&self, conversation: ConversationId, turn: u32) -> BTreeMap<String, BTreeSet<String>> {
        let (conversation, turn) = (conversation.to_string(), turn.to_string());
        let mut hops: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (service, span) in self.spans.lock().unwrap().iter() {
            let of = attribute(&span["attributes"], "messaging.message.conversation_id");
            let is_of_turn = attribute(&span["attributes"], "turn") == Some(turn.as_str());
            if of == Some(conversation.as_str())
                && is_of_turn
                && SERVICES.contains(&service.as_str())
            {
                let trace = span["traceId"].as_str().unwrap().to_owned();
                hops.entry(trace).or_default().insert(service.clone());
            }
        }
        hops
    }
}

/// Takes one request after the other until the client goes.
async fn take_spans(mut client: TcpStream, spans: Arc<Mutex<Vec<(String, Value)>>>) {
    let mut bytes = Vec::new();
    while let Some(body) = request(&mut client, &mut bytes).await {
        let body: Value = serde_json::from_slice(&body).unwrap();
        for of in body["resourceSpans"].as_array().unwrap() {
            let service = attribute(&of["resource"]["attributes"], "service.name").unwrap();
            let made = of["scopeSpans"].as_array().unwrap().iter();
            let made = made.flat_map(|scope| scope["spans"].as_array().unwrap());
            spans.lock().unwrap().extend(made.map(|span| (service.to_owned(), span.clone())));
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        if client.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// The body of the next request; `bytes` holds what has come of it and of those behind it.
async fn request(client: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            assert!(head.starts_with("post /v1/traces "), "{head}");
            let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
            let length: usize = length.trim().parse().unwrap();
            let body = end + 4;
            if bytes.len() >= body + length {
                let rest = bytes.split_off(body + length);
                return Some(std::mem::replace(bytes, rest).split_off(body));
            }
        }
        if client.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A text or whole number among attributes, which the protocol's JSON has both as texts.
fn attribute<'a>(attributes: &'a Value, name: &str) -> Option<&'a str> {
    let found = attributes.as_array()?.iter().find(|attribute| attribute["key"] == name)?;
    let value = &found["value"];
    value["stringValue"].as_str().or_else(|| value["intValue"].as_str())
}
