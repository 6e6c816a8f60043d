//! One task that is started again when it dies, as ECS would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::log::{Log, TaskLog};
use crate::probe;
use crate::process::Launch;

/// DESIGN section 9.
const RESTART_AFTER: Duration = Duration::from_secs(2);
const READY_POLL: Duration = Duration::from_millis(50);
const LOG_LINES_IN_ERROR: usize = 20;

/// What is known of the process behind a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running(Pid),
    /// Between a death and the next start.
    Dead,
}

/// A task and the loop that keeps it running. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Supervised {
    name: Arc<str>,
    address: SocketAddr,
    ready_path: &'static str,
    life: watch::Receiver<Life>,
    stop: CancellationToken,
    patience: watch::Sender<Duration>,
    supervisor: AbortOnDropHandle<anyhow::Result<()>>,
}

impl Supervised {
    /// Starts the process and keeps it running. It counts as ready once `ready_path` at `address` answers 200.
    ///
    /// # Errors
    /// When the first start fails.
    pub(super) fn start(
        name: &str,
        address: SocketAddr,
        ready_path: &'static str,
        launch: Launch,
        log: &Log,
    ) -> anyhow::Result<Self> {
        let name: Arc<str> = name.into();
        let first = launch.spawn(&log.task(&name)?)?;
        let (life_sender, life) = watch::channel(Life::Running(first.id()));
        let (patience, patience_receiver) = watch::channel(Duration::ZERO);
        let stop = CancellationToken::new();
        let supervisor = Supervisor {
            name: name.clone(),
            launch,
            task_log: log.task(&name)?,
            log: log.clone(),
            life: life_sender,
            stop: stop.clone(),
            patience: patience_receiver,
        };
        Ok(Self {
            name,
            address,
            ready_path,
            life,
            stop,
            patience,
            supervisor: AbortOnDropHandle::new(tokio::spawn(supervisor.run(first))),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// True for a task of this service.
    pub(super) fn is_of(&self, service: &str) -> bool {
        self.name.strip_prefix(service).is_some_and(|rest| rest.starts_with('-'))
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        match *self.life.borrow() {
            Life::Running(pid) => Some(pid),
            Life::Dead => None,
        }
    }

    /// Waits until the task says it is ready.
    ///
    /// # Errors
    /// When it dies first or is not ready within `limit`; the end of its log is in the message.
    pub(super) async fn ready(&self, limit: Duration, log: &Log) -> anyhow::Result<()> {
        let pid = self.pid();
        let asked = tokio::time::timeout(limit, async {
            while !probe::answers_ok(self.address, self.ready_path).await {
                anyhow::ensure!(self.pid() == pid && pid.is_some(), "{} died", self.name);
                tokio::time::sleep(READY_POLL).await;
            }
            Ok(())
        });
        asked
            .await
            .unwrap_or_else(|_| anyhow::bail!("not ready within {} s", limit.as_secs()))
            .with_context(|| {
                format!(
                    "start {}; its log ends:\n{}",
                    self.name,
                    log.tail(&self.name, LOG_LINES_IN_ERROR)
                )
            })
    }

    /// Waits until it runs under another process id than `before`.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub(super) async fn replaced(&self, before: Pid, limit: Duration) -> anyhow::Result<()> {
        let mut life = self.life.clone();
        tokio::time::timeout(
            limit,
            life.wait_for(|life| matches!(life, Life::Running(pid) if *pid != before)),
        )
        .await
        .with_context(|| format!("wait for {} to be started again", self.name))?
        .with_context(|| format!("wait for {}: its supervisor is gone", self.name))?;
        Ok(())
    }

    /// SIGTERM, `patience` to drain, then SIGKILL.
    ///
    /// # Errors
    /// When a process is left behind, or a restart had failed.
    pub(super) async fn stop(self, patience: Duration) -> anyhow::Result<()> {
        self.patience.send_replace(patience);
        self.stop.cancel();
        self.supervisor
            .await
            .context("wait for a supervisor")?
            .with_context(|| format!("stop {}", self.name))
    }
}

struct Supervisor {
    name: Arc<str>,
    launch: Launch,
    task_log: TaskLog,
    log: Log,
    life: watch::Sender<Life>,
    stop: CancellationToken,
    patience: watch::Receiver<Duration>,
}

impl Supervisor {
    async fn run(self, mut process: crate::process::Process) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                status = process.wait() => {
                    let status = status.context("wait for a task")?;
                    self.life.send_replace(Life::Dead);
                    self.log.say(&format!("{} ended with {status}, starts again in 2 s", self.name));
                }
                () = self.stop.cancelled() => {
                    let patience = *self.patience.borrow();
                    return process.stop(Signal::TERM, patience).await;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RESTART_AFTER) => {}
                () = self.stop.cancelled() => return Ok(()),
            }
            process = self.launch.spawn(&self.task_log).inspect_err(|error| {
                self.log.say(&format!("cannot start {}: {error:#}", self.name))
            })?;
            self.life.send_replace(Life::Running(process.id()));
        }
    }
}
