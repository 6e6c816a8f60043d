//! Child processes that cannot outlive their supervisor.
//!
//! Each runs in a process group of its own, so that Ctrl-C on the terminal reaches only the supervisor and stopping
//! takes grandchildren along. `setpriv` (util-linux) asks the kernel to kill the child should the supervisor die without
//! a word: `prctl` after `fork` would need unsafe code here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::log::TaskLog;

/// How long a group may take to vanish after SIGKILL before it is reported as left behind.
const KILL_LIMIT: Duration = Duration::from_secs(5);
const GROUP_POLL: Duration = Duration::from_millis(10);

/// What to run.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<String, String>,
    forgotten: Vec<&'static str>,
    user: Option<String>,
    folder: Option<PathBuf>,
}

impl Launch {
    /// A program, to be run as the supervisor's own user with the supervisor's environment.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            forgotten: Vec::new(),
            user: None,
            folder: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets variables over what is inherited.
    #[must_use]
    pub fn envs<K: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.environment
            .extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Keeps variables from being inherited; one that is set by [`Launch::envs`] is set nonetheless.
    #[must_use]
    pub fn without(mut self, names: impl IntoIterator<Item = &'static str>) -> Self {
        self.forgotten.extend(names);
        self
    }

    /// Runs it as another user; only root can.
    #[must_use]
    pub fn user(mut self, user: Option<&str>) -> Self {
        self.user = user.map(str::to_owned);
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Starts it, its output going to `log`. The kernel ties the child's life to the *thread* that calls this, so
    /// call it from the main thread or a worker of the runtime, never from a blocking one.
    ///
    /// # Errors
    /// When the process cannot be made. A missing program shows as exit code 127, with the reason in the log.
    pub fn spawn(&self, log: &TaskLog) -> anyhow::Result<Process> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = &self.user {
            command.args([
                &format!("--reuid={user}"),
                &format!("--regid={user}"),
                "--clear-groups",
            ]);
        }
        command
            .arg("--")
            .arg(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        for name in &self.forgotten {
            command.env_remove(name);
        }
        command.envs(&self.environment);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut child =
            command.spawn().with_context(|| format!("start {}", self.program.display()))?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(id.try_into().ok()?))
            .context("read the process id of a child just started")?;
        let pumps = [
            child.stdout.take().map(|out| log.pump(out)),
            child.stderr.take().map(|err| log.pump(err)),
        ];
        Ok(Process { child, group, pumps: pumps.into_iter().flatten().collect() })
    }
}

/// A running child and its process group. Dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Pid,
    pumps: Vec<JoinHandle<()>>,
}

impl Process {
    /// The process id, which is the id of its group as well.
    #[must_use]
    pub fn id(&self) -> Pid {
        self.group
    }

    /// Waits until the process has ended and its output is read.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // Grandchildren may hold the pipes open; they die with their parent here.
        signal_group(self.group, Signal::KILL);
        for pump in self.pumps.drain(..) {
            // A pump can only have been cancelled with the runtime.
            let _ = pump.await;
        }
        Ok(status)
    }

    /// The exit status if it has ended already.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn try_wait(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends `signal` (SIGTERM as a rule), gives the process `patience` to end, then kills the group and sees it gone.
    ///
    /// # Errors
    /// When something of the group is still there at the end.
    pub async fn stop(mut self, signal: Signal, patience: Duration) -> anyhow::Result<()> {
        signal_group(self.group, signal);
        if tokio::time::timeout(patience, self.wait()).await.is_err() {
            signal_group(self.group, Signal::KILL);
            self.wait().await.context("wait for a killed process")?;
        }
        await_gone(self.group).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Once waited for, its id may belong to another.
        if self.child.id().is_some() {
            signal_group(self.group, Signal::KILL);
        }
    }
}

/// Signals every process of a group; one that has gone needs no signal.
pub fn signal_group(group: Pid, signal: Signal) {
    let _ = kill_process_group(group, signal);
}

/// Waits until no process of the group runs any more.
///
/// # Errors
/// When one still does after five seconds.
pub async fn await_gone(group: Pid) -> anyhow::Result<()> {
    let start = Instant::now();
    while test_kill_process_group(group).is_ok() && has_running_member(group) {
        anyhow::ensure!(
            start.elapsed() < KILL_LIMIT,
            "process group {} outlived SIGKILL",
            group.as_raw_nonzero()
        );
        tokio::time::sleep(GROUP_POLL).await;
    }
    Ok(())
}

/// Whether the group holds more than zombies: an orphan stays one until init reaps it, which in a container may be never.
fn has_running_member(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    processes
        .filter_map(Result::ok)
        .filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok())
        .any(|stat| {
            // `pid (name) state parent group ...`, where the name may hold anything, brackets too.
            let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let state = fields.next();
            let its_group = fields.nth(1).and_then(|id| id.parse().ok());
            state != Some("Z") && its_group == Some(group.as_raw_nonzero().get())
        })
}
