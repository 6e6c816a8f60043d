//! A mesh with stores of its own, and a look into them.

use std::path::Path;
use std::time::Duration;

use call_core::event_log;
use domain::{CallSid, ConversationId};
use rustix::process::{Pid, Signal};
use scripts::history::History;
use scripts::log::{Echo, Log};
use scripts::mesh::{Mesh, Options};
use scripts::outside::Outside;
use simulator::caller::CallReport;
use store::messages::{Line, Speaker};
use store::seed::DEMO;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

/// Addresses of the tenant `demo` (DESIGN section 9).
pub const OUR_NUMBER: &str = "+15550100001";
pub const OUR_GATHER_NUMBER: &str = "+15550100003";
pub const OUR_WHATSAPP: &str = "106540352242922";
/// What it says to whoever calls.
pub const GREETING: &str = "Thank you for calling Maple Dental. How can I help you today?";

const BUCKET_VARIABLE: &str = "SB_S3_BUCKET";
const CALL_LOG_VARIABLE: &str = "SB_CALL_LOG_DIR";
const POLL: Duration = Duration::from_millis(50);
/// How long what must come about may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Desk {
    pub outside: Outside,
    pub history: History,
    mesh: Mesh,
    /// The owner's connection: past row-level security, to see what really lies there.
    owner: tokio_postgres::Client,
    s3: aws_sdk_s3::Client,
}

impl Desk {
    /// A running mesh. Its logs stay where cargo keeps what tests write, for whoever looks into a failure.
    pub async fn open(name: &str) -> Self {
        Self::open_with(name, &[]).await
    }

    /// The same, with these variables.
    pub async fn open_with(name: &str, given: &[(&str, &str)]) -> Self {
        Self::start(name, given, false).await
    }

    /// The same, with a wall clock for each task.
    pub async fn open_with_own_clocks(name: &str) -> Self {
        Self::start(name, &[], true).await
    }

    async fn start(name: &str, given: &[(&str, &str)], own_clocks: bool) -> Self {
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&logs);
        println!("logs in {}", logs.display());
        let log = Log::open(&logs, Echo::Off).unwrap();
        let calls = logs.join("calls").display().to_string();
        let own = (CALL_LOG_VARIABLE, &*calls);
        let given = given.iter().chain([&own]);
        let given = given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = Options { given: given.collect(), own_clocks, ..Options::new().unwrap() };
        let mesh = Mesh::start(options, &log).await.unwrap();
        let environment: boot::Environment = mesh.environment().clone().into_iter().collect();
        let (owner, connection) =
            tokio_postgres::connect(&mesh.environment()["DATABASE_URL"], NoTls).await.unwrap();
        tokio::spawn(connection);
        Self {
            outside: Outside::new(&mesh.endpoints().simulator).unwrap(),
            history: History::open(&environment).await.unwrap(),
            s3: s3(&environment).await,
            owner,
            mesh,
        }
    }

    /// Stops the mesh; fails when a process is left behind.
    pub async fn close(self) {
        self.mesh.stop().await.unwrap();
    }

    /// Stops the mesh, and lets every call it had happen again from its event log: the same is decided, byte for byte.
    pub async fn close_and_replay(self) {
        let folder = self.variable(CALL_LOG_VARIABLE).to_owned();
        self.close().await;
        let mut calls = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let log = std::fs::read_to_string(&path).unwrap();
            let replayed = event_log::replay(&log, |_, _, _| {});
            let replayed = replayed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(!replayed.is_cut, "{} ends with the call", path.display());
            calls += 1;
        }
        assert!(calls > 0, "no call was logged");
    }

    /// Where the public reaches the platform, with this path.
    pub fn public(&self, path: &str) -> String {
        format!("{}{path}", self.mesh.endpoints().edge)
    }

    /// Kills a task; the mesh starts it anew.
    pub fn kill(&self, task: &str) {
        self.mesh.kill(task).unwrap();
    }

    /// Signals a task; gives its process id.
    pub fn signal(&self, task: &str, signal: Signal) -> Pid {
        self.mesh.signal(task, signal).unwrap()
    }

    /// Sets a task's wall clock so many seconds ahead, or behind.
    pub fn step_clock(&self, task: &str, seconds: i64) {
        self.mesh.step_clock(task, seconds).unwrap();
    }

    /// Waits until a task that was `before` runs and is ready again.
    pub async fn restarted(&self, task: &str, before: Pid) {
        self.mesh.restarted(task, before).await.unwrap();
    }

    /// What the log of a task says.
    pub fn log_of_task(&self, task: &str) -> String {
        self.mesh.log().read(task)
    }

    /// A variable the services run with.
    pub fn variable(&self, name: &str) -> &str {
        &self.mesh.environment()[name]
    }

    /// The variables the services run with.
    pub fn environment(&self) -> boot::Environment {
        self.mesh.environment().clone().into_iter().collect()
    }

    /// What the logs of all tasks of a service say.
    pub fn log_of(&self, service: &str) -> String {
        (1..=2).map(|n| self.mesh.log().read(&format!("{service}-{n}"))).collect()
    }

    pub async fn rows(&self, sql: &str, of: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.owner.query(sql, of).await.unwrap()
    }

    /// A file of the recordings' bucket.
    pub async fn file(&self, key: &str) -> Vec<u8> {
        let bucket = self.variable(BUCKET_VARIABLE);
        let found = self.s3.get_object().bucket(bucket).key(key).send().await.unwrap();
        found.body.collect().await.unwrap().to_vec()
    }

    /// What is kept of a call once `lines` are, and its end.
    pub async fn kept(&self, report: &CallReport, lines: usize) -> Kept {
        let call = CallSid::parse(&report.sid).unwrap();
        let conversation = ConversationId::of_call(DEMO, &call);
        let (lines, _) = self
            .history
            .whole(conversation, lines, 0)
            .await
            .unwrap_or_else(|fault| panic!("{fault:#}: {report:#?}"));
        self.until("the end of a call", async || self.ended(report).await).await;
        Kept { conversation, lines }
    }

    /// Why the call ended, as far as the history knows.
    pub async fn ended(&self, report: &CallReport) -> Option<String> {
        let sql = "SELECT end_reason FROM call_logs WHERE call = $1 AND ended_at IS NOT NULL";
        self.rows(sql, &[&report.sid]).await.first().map(|row| row.get(0))
    }

    /// Why the call of this id ended, once it has.
    pub async fn end_of(&self, call: &str) -> String {
        let sql = "SELECT end_reason FROM call_logs WHERE call = $1 AND ended_at IS NOT NULL";
        let look = async || self.rows(sql, &[&call]).await.first().map(|row| row.get(0));
        self.until("the end of a call", look).await
    }

    /// The key of a call's recording, once it is finished.
    pub async fn recording(&self, report: &CallReport) -> String {
        self.recording_of(&report.sid).await
    }

    /// The same, by the call's id.
    pub async fn recording_of(&self, call: &str) -> String {
        let sql = "SELECT recording_key FROM call_logs
            WHERE call = $1 AND recording_key IS NOT NULL";
        let look = async || self.rows(sql, &[&call]).await.first().map(|row| row.get(0));
        self.until("recording", look).await
    }

    /// Waits until `look` finds something.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(POLL).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
    }
}

/// The transcript of a call.
pub struct Kept {
    pub conversation: ConversationId,
    pub lines: Vec<Line>,
}

impl Kept {
    pub fn of(&self, speaker: Speaker) -> Vec<&str> {
        let lines = self.lines.iter().filter(|line| line.speaker == speaker);
        lines.map(|line| line.text.reveal()).collect()
    }

    pub fn user(&self) -> Vec<&str> {
        self.of(Speaker::User)
    }

    pub fn agent(&self) -> Vec<&str> {
        self.of(Speaker::Agent)
    }
}

/// The texts of what the caller said.
pub fn said(report: &CallReport) -> Vec<&str> {
    report.said.iter().map(|said| said.text.as_str()).collect()
}

async fn s3(environment: &boot::Environment) -> aws_sdk_s3::Client {
    let aws = scripts::aws::config(environment).await;
    let path_style = aws_sdk_s3::config::Builder::from(&aws).force_path_style(true).build();
    aws_sdk_s3::Client::from_conf(path_style)
}
