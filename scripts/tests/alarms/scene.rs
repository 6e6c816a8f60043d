//! A mesh of one task each, and what Prometheus would see of it.

use std::path::Path;
use std::time::Duration;

use bus::{Bus, BusSettings};
use rustix::process::{Pid, Signal, kill_process};
use scripts::demo_key;
use scripts::log::{Echo, Log};
use scripts::mesh::{Mesh, Options};
use scripts::outside::Outside;
use serde_json::json;
use simulator::caller::CallScript;
use store::seed::{DEMO_NUMBER, DEMO_WHATSAPP};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::promtool::{self, Sample};

/// Sockets that `edge` is said to be meant for.
pub const SOCKETS: usize = 4;
/// Requests of a quiet moment: one of them may be late by chance.
const LOOKS: usize = 25;
/// Prometheus gives up a scrape after 10 s; a task that is well answers at once.
const SCRAPE_LIMIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(250);
/// How long what must come about may take: a message has to wait for a minute.
const PATIENCE: Duration = Duration::from_secs(150);
/// The job of `prometheus.yml`.
const JOB: &str = "switchboard";

pub struct Scene {
    pub mesh: Mesh,
    pub outside: Outside,
    http: reqwest::Client,
    /// What the rules ask for by name.
    rules: String,
    crashes: TempDir,
}

impl Scene {
    pub async fn open() -> Self {
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alarms");
        let _ = std::fs::remove_dir_all(&logs);
        println!("logs in {}", logs.display());
        let log = Log::open(&logs, Echo::Off).unwrap();
        let crashes = tempfile::tempdir().unwrap();
        let given = [
            ("SB_EDGE_SOCKETS", SOCKETS.to_string()),
            ("SB_CRASH_DIR", crashes.path().display().to_string()),
        ];
        let options = Options {
            given: given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            tasks_per_service: 1,
            own_clocks: true,
            ..Options::new().unwrap()
        };
        let mesh = Mesh::start(options, &log).await.unwrap();
        Self {
            outside: Outside::new(&mesh.endpoints().simulator).unwrap(),
            http: reqwest::Client::new(),
            rules: promtool::rules(),
            mesh,
            crashes,
        }
    }

    /// People call, write and look, and all is well. The first of them comes before: a task that has just started is slower.
    pub async fn quiet(&self) -> Vec<Sample> {
        self.outside.chat("15557770940", DEMO_WHATSAPP, &["Hello"]).await.unwrap();
        assert_eq!(self.look().await, 200);
        let before = self.sample().await;
        let call = CallScript::new("+15557770941", DEMO_NUMBER, ["I would like an appointment"]);
        let (called, written) = tokio::join!(
            self.outside.call(&call),
            self.outside.chat("15557770942", DEMO_WHATSAPP, &["What are your opening hours"]),
        );
        called.unwrap();
        written.unwrap();
        for _ in 0..LOOKS {
            assert_eq!(self.look().await, 200);
        }
        let after =
            self.until("the end of the call", |sample| sample.sum("edge_live_calls", &[]) == 0.0);
        vec![before, after.await]
    }

    /// What every task tells now.
    pub async fn sample(&self) -> Sample {
        let mut sample = Sample::default();
        for task in self.mesh.endpoints().tasks {
            let of_scrape = format!("instance=\"{}\",job=\"{JOB}\"", task.name);
            let told = self.scrape(task.ops).await;
            let up = if told.is_some() { 1.0 } else { 0.0 };
            sample.0.insert(format!("up{{{of_scrape}}}"), up);
            for line in told.iter().flat_map(|text| text.lines()) {
                let Some((series, value)) = line.rsplit_once(' ') else { continue };
                let Some((name, labels)) = series.split_once('{') else { continue };
                if !line.starts_with('#') && self.rules.contains(name) {
                    let series = format!("{name}{{{of_scrape},{labels}");
                    sample.0.insert(series, value.parse().unwrap());
                }
            }
        }
        sample
    }

    async fn scrape(&self, ops: std::net::SocketAddr) -> Option<String> {
        let answer = self.http.get(format!("http://{ops}/metrics")).timeout(SCRAPE_LIMIT).send();
        answer.await.ok()?.text().await.ok()
    }

    /// The first sample that is as wanted.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Sample) -> bool) -> Sample {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let sample = self.sample().await;
                if is_so(&sample) {
                    return sample;
                }
                tokio::time::sleep(POLL).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
    }

    /// Asks the API for something that lies in PostgreSQL; the status.
    pub async fn look(&self) -> u16 {
        let url = format!("{}/api/v1/conversations?limit=1", self.mesh.endpoints().edge);
        let key = self.variable(demo_key::VARIABLE);
        self.http.get(url).bearer_auth(key).send().await.unwrap().status().as_u16()
    }

    /// Whether a task says that it is ready.
    pub async fn is_ready(&self, name: &str) -> bool {
        let tasks = self.mesh.endpoints().tasks;
        let task = tasks.iter().find(|task| task.name == name).unwrap();
        let answer = self.http.get(format!("http://{}/health", task.ops)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Writes a message that nobody waits for the answer to.
    pub async fn write(&self, from: &str) {
        let message = json!({"from": from, "name": "Ada", "phone_number_id": DEMO_WHATSAPP,
            "text": "What are your opening hours"});
        self.outside.tell("/sim/chats/messages", &message).await.unwrap();
    }

    /// Changes a setting of the tenant `demo`.
    pub async fn set(&self, setting: &serde_json::Value) {
        let (owner, connection) =
            tokio_postgres::connect(self.variable("DATABASE_URL"), NoTls).await.unwrap();
        tokio::spawn(connection);
        let sql =
            "UPDATE tenants SET updated_at = now(), settings = settings || $1 WHERE slug = 'demo'";
        owner.execute(sql, &[setting]).await.unwrap();
    }

    /// The queues of the mesh.
    pub async fn bus(&self) -> Bus {
        let mut variables = self.mesh.environment().clone();
        // Its own is that of the other services of AWS.
        variables.insert("AWS_ENDPOINT_URL".to_owned(), variables["AWS_ENDPOINT_URL_SQS"].clone());
        let environment: boot::Environment = variables.into_iter().collect();
        let settings =
            BusSettings::new(self.variable("SB_QUEUE_PREFIX"), self.variable("SB_S3_BUCKET"));
        Bus::new(&scripts::aws::config(&environment).await, settings)
    }

    /// Signals a store and whatever it has started.
    pub fn signal_store(&self, name: &str, signal: Signal) {
        let (.., pid) = self.mesh.stores().find(|(store, ..)| *store == name).unwrap();
        for pid in family(pid) {
            // One of them may have ended meanwhile.
            let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
        }
    }

    /// Lets the edge task die when it is about to send a reply, and waits until it is there again.
    pub async fn edge_dies_in_a_send(&self, to: &str) {
        let tasks = self.mesh.endpoints().tasks;
        let edge = tasks.iter().find(|task| task.name == "edge-1").unwrap();
        let before = Pid::from_raw(edge.pid.unwrap()).unwrap();
        std::fs::write(self.crashes.path().join("edge.outbound-recorded"), "").unwrap();
        self.write(to).await;
        self.mesh.restarted("edge-1", before).await.unwrap();
    }

    fn variable(&self, name: &str) -> &str {
        &self.mesh.environment()[name]
    }
}

/// A process and its children.
fn family(pid: i32) -> Vec<i32> {
    let is_child = |of: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{of}/stat")).unwrap_or_default();
        // `pid (name) state parent ...`, where the name may hold anything, brackets too.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.nth(1).and_then(|parent| parent.parse().ok()) == Some(pid)
    };
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    std::iter::once(pid).chain(ids.filter(|id| is_child(*id))).collect()
}
