//! What the supervisor promises about processes, with stand-ins for the services themselves.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::{Pid, test_kill_process};
use scripts::log::{Echo, Log};
use scripts::mesh::{Mesh, Options};
use scripts::stores::Environment;

/// Answers its health like a service, and has a child of its own.
const SERVICE: &str = r#"#!/bin/sh
echo "started $SB_TASK"
sleep 600 &
echo "child $!"
exec /usr/bin/python3 - <<'PY'
import http.server, os, socketserver
socketserver.TCPServer.allow_reuse_address = True
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
host, port = os.environ["SB_OPS_LISTEN"].rsplit(":", 1)
socketserver.TCPServer((host, int(port)), Health).serve_forever()
PY
"#;
const SIMULATOR: &str = "#!/bin/sh\nSB_OPS_LISTEN=$SB_SIM_LISTEN exec \"$(dirname \"$0\")/edge\"\n";
const CONTROL: &str = "#!/bin/sh\necho \"$1 on $DATABASE_URL\"\n";

struct Fixture {
    binaries: tempfile::TempDir,
    logs: tempfile::TempDir,
}

impl Fixture {
    fn new(programs: &[(&str, &str)]) -> Self {
        let binaries = tempfile::tempdir().unwrap();
        let defaults = ["edge", "voice", "orchestrator", "writer"].map(|name| (name, SERVICE));
        let others = [("simulator", SIMULATOR), ("switchboardctl", CONTROL)];
        for (name, text) in defaults.iter().chain(&others).chain(programs) {
            write_program(&binaries.path().join(name), text);
        }
        Self { binaries, logs: tempfile::tempdir().unwrap() }
    }

    fn options(&self) -> Options {
        let given = ["DATABASE_URL", "REDIS_URL", "AWS_ENDPOINT_URL"]
            .map(|name| (name.to_owned(), format!("given-{name}")));
        Options {
            given: Environment::from(given),
            binaries: self.binaries.path().to_owned(),
            ..Options::new().unwrap()
        }
    }

    fn log(&self) -> Log {
        Log::open(self.logs.path(), Echo::Off).unwrap()
    }
}

fn write_program(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn lives(pid: Pid) -> bool {
    // A process nobody has reaped yet is dead nonetheless.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    test_kill_process(pid).is_ok() && stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// The process ids a task's log names after `word`.
fn pids_in(log: &Log, task: &str, word: &str) -> Vec<Pid> {
    log.read(task)
        .lines()
        .filter_map(|line| line.strip_prefix(word)?.trim().parse().ok())
        .filter_map(Pid::from_raw)
        .collect()
}

#[tokio::test]
async fn a_killed_task_comes_back_and_nothing_is_left_after_the_stop() {
    let fixture = Fixture::new(&[]);
    let log = fixture.log();
    let mesh = Mesh::start(fixture.options(), &log).await.unwrap();
    let names: Vec<_> = mesh.endpoints().tasks.into_iter().map(|task| task.name).collect();
    assert_eq!(names.len(), 8, "two tasks of each of four services: {names:?}");

    let before = mesh.kill("voice-1").unwrap();
    mesh.restarted("voice-1", before).await.unwrap();
    assert!(!lives(before));
    assert_eq!(log.read("voice-1").matches("started voice-1").count(), 2);
    assert_eq!(log.read("voice-2").matches("started voice-2").count(), 1);

    let tasks: Vec<Pid> =
        mesh.endpoints().tasks.iter().filter_map(|task| Pid::from_raw(task.pid?)).collect();
    mesh.stop().await.unwrap();
    let children = names.iter().flat_map(|name| pids_in(&log, name, "child "));
    for pid in tasks.into_iter().chain(children) {
        assert!(!lives(pid), "{pid:?} is left");
    }
}

#[tokio::test]
async fn what_is_prepared_uses_the_stores_that_were_given() {
    let fixture = Fixture::new(&[]);
    let log = fixture.log();
    let mesh = Mesh::start(fixture.options(), &log).await.unwrap();
    assert_eq!(mesh.stores().count(), 0, "all stores were given");
    assert_eq!(log.read("prepare").trim(), "prepare on given-DATABASE_URL");
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_that_cannot_start_ends_the_start_with_its_own_words() {
    let fixture = Fixture::new(&[("writer", "#!/bin/sh\necho DATABASE_URL is wrong\nexit 1\n")]);
    let log = fixture.log();
    let fault = Mesh::start(fixture.options(), &log).await.unwrap_err();
    let fault = format!("{fault:#}");
    assert!(fault.contains("writer-") && fault.contains("DATABASE_URL is wrong"), "{fault}");
}

#[tokio::test]
async fn a_failed_preparation_starts_no_service() {
    let fixture = Fixture::new(&[("switchboardctl", "#!/bin/sh\necho no such table\nexit 3\n")]);
    let log = fixture.log();
    let fault = Mesh::start(fixture.options(), &log).await.unwrap_err();
    assert!(format!("{fault:#}").contains("no such table"), "{fault:#}");
    assert_eq!(log.read("edge-1"), "");
}
