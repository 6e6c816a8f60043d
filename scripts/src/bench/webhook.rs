//! How many signed WhatsApp webhooks the border takes: from one connection up to where more of them bring no more.
//!
//! The sender is on the same machine and shares its processors, so that it is kept plain: HTTP/1.1 over raw sockets, one
//! request at a time on each. Each request is one text message, answered only after its publish (DESIGN 4).
//!
//! It is the border alone that is measured: the tasks of `edge` work on no queue (`SB_EDGE_CONSUMES=none`), and the other
//! services are stopped meanwhile, for what they would make of the messages runs on the same processors.

use std::{fmt, time::Duration};

use anyhow::{Context as _, ensure};
use boot::Environment;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::json;
use simulator::meta;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{OUR_WHATSAPP, Process, figures::is_past_the_knee, usage::Usage};

/// Services that would work on what the border publishes.
const BEHIND: [&str; 3] = ["orchestrator", "voice", "writer"];
/// A FastAPI edge doing the same takes so much processor time, ms a request (issue 5); the strongest Python that
/// coalesces across requests.
const FASTAPI_MS: f64 = 1.48;
const STRONGEST_PYTHON_MS: f64 = 0.51;
/// So many times less is aimed at.
const AIM_TIMES: f64 = 20.0;

const PATH: &str = "/webhooks/whatsapp";
/// Fewer than the border lets one person write in a minute (E2), whatever the rate.
const MESSAGES_A_PERSON: u64 = 50;
/// More connections are not tried.
const MOST_CONNECTIONS: usize = 256;
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// One number of connections.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct WebhookStep {
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// Answered 200 a second.
    pub requests_a_second: f64,
    /// The wait for the answer, ms.
    pub p50_ms: f64,
    /// The same at the 99th percentile.
    pub p99_ms: f64,
    /// Processor time of all `edge` tasks, ms a request.
    pub edge_ms_a_request: f64,
    /// The same as cores busy.
    pub edge_cores: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct WebhookReport {
    /// Processors of this machine.
    pub cores: usize,
    /// `release` or `debug`.
    pub build: &'static str,
    /// In the order of connections; up to two beyond the knee.
    pub steps: Vec<WebhookStep>,
}

impl WebhookReport {
    /// The step of the most requests a second.
    fn knee(&self) -> Option<&WebhookStep> {
        self.steps.iter().max_by(|a, b| a.requests_a_second.total_cmp(&b.requests_a_second))
    }
}

/// Processes that stand still until this is dropped.
struct Stopped(Vec<Pid>);

impl Stopped {
    fn all(processes: &[Process]) -> Self {
        let behind = processes.iter().filter(|process| BEHIND.contains(&process.kind()));
        let pids: Vec<Pid> = behind.filter_map(|process| Pid::from_raw(process.pid)).collect();
        for pid in &pids {
            let _ = kill_process(*pid, Signal::STOP);
        }
        Self(pids)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// Posts to the border that `environment` names, `each` long at every number of connections. `processes` are those of the
/// mesh.
///
/// # Errors
/// When the border refuses a request or does not answer.
pub async fn webhook(
    environment: &Environment,
    processes: &[Process],
    each: Duration,
) -> anyhow::Result<WebhookReport> {
    let base = environment.get("SB_PUBLIC_BASE_URL").context("SB_PUBLIC_BASE_URL is missing")?;
    let host = base.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let secret =
        environment.get("WHATSAPP_APP_SECRET").context("WHATSAPP_APP_SECRET is missing")?;
    let edges: Vec<Process> = processes.iter().filter(|p| p.kind() == "edge").cloned().collect();
    let _stopped = Stopped::all(processes);
    let run = uuid::Uuid::new_v4().simple().to_string();
    let mut report = WebhookReport {
        cores: std::thread::available_parallelism().map_or(1, Into::into),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        steps: Vec::new(),
    };
    let mut connections = 1;
    while connections <= MOST_CONNECTIONS {
        let before = cpu_of(&edges)?;
        let begun = Instant::now();
        let senders = (0..connections).map(|n| {
            let sender = Sender {
                host: host.clone(),
                secret: secret.to_owned(),
                name: format!("{run}{connections}x{n}"),
                until: begun + each,
            };
            tokio::spawn(sender.run())
        });
        let mut waits = Vec::new();
        for sender in futures::future::join_all(senders).await {
            waits.extend(sender.context("join a sender")??);
        }
        let took = begun.elapsed().as_secs_f64();
        let cpu = (cpu_of(&edges)? - before).as_secs_f64();
        waits.sort_by(f64::total_cmp);
        ensure!(!waits.is_empty(), "nothing was answered");
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        report.steps.push(WebhookStep {
            connections,
            requests_a_second: waits.len() as f64 / took,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            edge_ms_a_request: 1000.0 * cpu / waits.len() as f64,
            edge_cores: cpu / took,
        });
        let rates: Vec<f64> = report.steps.iter().map(|step| step.requests_a_second).collect();
        if is_past_the_knee(&rates) {
            break;
        }
        connections *= 2;
    }
    Ok(report)
}

fn cpu_of(edges: &[Process]) -> anyhow::Result<Duration> {
    edges.iter().map(|process| Usage::of(process).map(|used| used.cpu)).sum()
}

/// One connection.
struct Sender {
    host: String,
    secret: String,
    name: String,
    until: Instant,
}

impl Sender {
    /// Posts until the time is over; the waits, ms.
    async fn run(self) -> anyhow::Result<Vec<f64>> {
        let mut socket = TcpStream::connect(&self.host).await.context("connect to the border")?;
        socket.set_nodelay(true).context("send at once")?;
        let mut waits = Vec::new();
        let mut answer = vec![0; 4096];
        for n in 0.. {
            if Instant::now() >= self.until {
                break;
            }
            let request = self.request(n);
            let begun = Instant::now();
            socket.write_all(&request).await.context("post a webhook")?;
            let read = timeout(ANSWER_LIMIT, socket.read(&mut answer)).await;
            let read = read.context("wait for an answer")?.context("read an answer")?;
            let head = String::from_utf8_lossy(&answer[..read]);
            ensure!(head.starts_with("HTTP/1.1 200"), "answered {:?}", head.lines().next());
            waits.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(waits)
    }

    fn request(&self, n: u64) -> Vec<u8> {
        let person = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, self.name.as_bytes());
        let person = person.as_u128() % 1_000_000_000 * 1000 + u128::from(n / MESSAGES_A_PERSON);
        let from = format!("1{person}");
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [
            {"field": "messages", "value": {
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "15550100002", "phone_number_id": OUR_WHATSAPP},
                "contacts": [{"profile": {"name": "Ana"}, "wa_id": from}],
                "messages": [{
                    "from": from, "id": format!("wamid.{}.{n}", self.name), "timestamp": "1749416383",
                    "type": "text", "text": {"body": "Hello, are you open on Saturday?"},
                }],
            }},
        ]}]})
        .to_string();
        let signature = meta::sign(&self.secret, body.as_bytes());
        format!(
            "POST {PATH} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             x-hub-signature-256: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )
        .into_bytes()
    }
}

impl fmt::Display for WebhookReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "signed WhatsApp webhooks; {} cores, {} build", self.cores, self.build)?;
        writeln!(
            f,
            "{:>11} {:>11} {:>8} {:>8} {:>15} {:>11}",
            "connections", "requests/s", "p50 ms", "p99 ms", "edge ms/request", "edge cores"
        )?;
        for step in &self.steps {
            writeln!(
                f,
                "{:>11} {:>11.0} {:>8.1} {:>8.1} {:>15.2} {:>11.2}",
                step.connections,
                step.requests_a_second,
                step.p50_ms,
                step.p99_ms,
                step.edge_ms_a_request,
                step.edge_cores
            )?;
        }
        let Some(knee) = self.knee() else { return Ok(()) };
        let (cost, aim) = (knee.edge_ms_a_request, FASTAPI_MS / AIM_TIMES);
        writeln!(
            f,
            "at the knee {:.0} µs of edge a request: {:.1} times less than FastAPI ({FASTAPI_MS} ms), {:.1} than the \
             strongest Python ({STRONGEST_PYTHON_MS} ms); aim {:.0} µs: {}",
            1000.0 * cost,
            FASTAPI_MS / cost,
            STRONGEST_PYTHON_MS / cost,
            1000.0 * aim,
            if cost <= aim { "met" } else { "missed" }
        )
    }
}
