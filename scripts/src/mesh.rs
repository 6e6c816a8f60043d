//! A whole mesh under one supervisor: stores, what the services find on arrival, two tasks of each service, simulator.

mod clocks;
mod supervised;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::log::Log;
use crate::probe;
use crate::process::{Launch, signal_group};
use crate::provision::CREDENTIALS;
use crate::settings;
use crate::stores::{self, Broker, Environment, Stores};

use clocks::Clocks;
use supervised::Supervised;

/// How long `switchboardctl` may take to prepare the stores.
const PREPARE_LIMIT: Duration = Duration::from_secs(120);
/// How long a task may take from its start until it is ready.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Beyond the time a service grants itself to drain.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);

/// The services, in the order in which they stop: whoever feeds others first.
const SERVICES: [&str; 4] = ["edge", "orchestrator", "voice", "writer"];
const SIMULATOR: &str = "simulator";
/// The log of what is done before the services start.
const PREPARATION: &str = "prepare";

/// How to run a mesh.
#[derive(Debug, Clone)]
pub struct Options {
    /// Variables of DESIGN section 9 that win over the mesh's own. One that names a store keeps it from being started.
    pub given: Environment,
    /// Which stand-in carries the queues.
    pub broker: Broker,
    /// False means AWS itself instead of the stand-ins.
    pub aws_stand_ins: bool,
    /// Tasks of each service. Two, or takeover cannot be seen.
    pub tasks_per_service: usize,
    /// Where `edge` listens unless `SB_EDGE_LISTEN` is given; a free loopback port when there is none.
    pub edge: Option<SocketAddr>,
    /// Where the binaries of the services lie.
    pub binaries: PathBuf,
    /// Whether each task of a service has a wall clock of its own, for [`Mesh::step_clock`].
    pub own_clocks: bool,
}

impl Options {
    /// Two tasks of each service on free loopback ports, run from the folder this program itself was built into.
    ///
    /// # Errors
    /// When this program cannot tell where it lies.
    pub fn new() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program's own folder")?;
        let folder = program.parent().context("find this program's own folder")?;
        // Cargo puts test programs one folder below the binaries.
        let binaries = match folder.file_name() {
            Some(name) if name == "deps" => folder.parent().unwrap_or(folder),
            _ => folder,
        };
        Ok(Self {
            given: Environment::new(),
            broker: Broker::default(),
            aws_stand_ins: true,
            tasks_per_service: 2,
            edge: None,
            binaries: binaries.to_owned(),
            own_clocks: false,
        })
    }
}

/// Where a mesh is reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Endpoints {
    /// `SB_PUBLIC_BASE_URL`, for webhooks, API and console.
    pub edge: String,
    /// The simulator's base URL; its control paths lie under `/sim`.
    pub simulator: String,
    /// Each task by name.
    pub tasks: Vec<TaskEndpoint>,
}

/// One task of a service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskEndpoint {
    /// Such as `voice-1`.
    pub name: String,
    /// Where `/metrics`, `/health` and `/healthz` are.
    pub ops: SocketAddr,
    /// The process id at the moment of asking; none between a death and the restart.
    pub pid: Option<i32>,
}

/// A running mesh. End it with [`Mesh::stop`]; dropped, everything is killed.
#[derive(Debug)]
pub struct Mesh {
    // Dropped in this order: the services before the stores they use.
    tasks: Vec<Supervised>,
    simulator: Supervised,
    stores: Stores,
    environment: Environment,
    simulator_address: SocketAddr,
    drain_limit: Duration,
    clocks: Option<Clocks>,
    log: Log,
}

impl Mesh {
    /// Starts stores, prepares them, starts every task and waits until all are ready.
    ///
    /// # Errors
    /// When anything of it fails; what was started is killed, and the message ends with the log of the culprit.
    pub async fn start(options: Options, log: &Log) -> anyhow::Result<Self> {
        let edge = match (given_address(&options.given, "SB_EDGE_LISTEN")?, options.edge) {
            (Some(address), _) | (None, Some(address)) => address,
            (None, None) => probe::free_address()?,
        };
        let simulator_address = match given_address(&options.given, "SB_SIM_LISTEN")? {
            Some(address) => address,
            None => probe::free_address()?,
        };
        probe::ensure_free(edge)?;
        let clocks = if options.own_clocks { Some(Clocks::new()?) } else { None };

        let stores = Stores::start(
            &stores::Options {
                given: options.given.clone(),
                broker: options.broker,
                aws_stand_ins: options.aws_stand_ins,
            },
            log,
        )
        .await?;
        let environment =
            settings::environment(&options.given, stores.environment(), edge, simulator_address);
        let drain_limit = drain_limit(&environment)?;

        prepare(&options.binaries, &environment, log).await?;

        let simulator = Launch::new(options.binaries.join(SIMULATOR)).envs(environment.clone());
        let simulator = Supervised::start(
            SIMULATOR,
            reachable(simulator_address),
            "/sim/faults",
            simulator,
            log,
        )?;
        let mut tasks: Vec<Supervised> = Vec::new();
        for service in SERVICES {
            for number in 1..=options.tasks_per_service {
                let name = format!("{service}-{number}");
                let ops = probe::free_address()?;
                let clock = match &clocks {
                    Some(clocks) => clocks.of_task(&name)?,
                    None => Vec::new(),
                };
                let launch = Launch::new(options.binaries.join(service))
                    .without(CREDENTIALS)
                    .envs(settings::of_services(&environment, &options.given))
                    .envs([("SB_TASK", name.clone()), ("SB_OPS_LISTEN", ops.to_string())])
                    .envs(clock);
                tasks.push(Supervised::start(&name, ops, "/health", launch, log)?);
            }
        }
        // For operators' tools, which run with the variables of the mesh.
        let mut environment = environment;
        let targets: Vec<_> = tasks.iter().map(|task| task.address().to_string()).collect();
        environment.entry("SB_OPS_TARGETS".to_owned()).or_insert_with(|| targets.join(","));
        let mesh = Self {
            tasks,
            simulator,
            stores,
            environment,
            simulator_address,
            drain_limit,
            clocks,
            log: log.clone(),
        };
        let everything = mesh.tasks.iter().chain([&mesh.simulator]);
        let ready = everything.map(|task| task.ready(READY_LIMIT, &mesh.log));
        futures::future::try_join_all(ready).await?;
        Ok(mesh)
    }

    /// Where everything is, with the process ids of this moment.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            edge: self.environment.get("SB_PUBLIC_BASE_URL").cloned().unwrap_or_default(),
            simulator: format!("http://{}", reachable(self.simulator_address)),
            tasks: self
                .tasks
                .iter()
                .map(|task| TaskEndpoint {
                    name: task.name().to_owned(),
                    ops: task.address(),
                    pid: task.pid().map(|pid| pid.as_raw_nonzero().get()),
                })
                .collect(),
        }
    }

    /// The variables the services run with, stores and made-up keys among them.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The stores started with this mesh: name, address, process id.
    pub fn stores(&self) -> impl Iterator<Item = (&'static str, &str, i32)> {
        self.stores.started()
    }

    /// Every process of the mesh at this moment, stores and simulator included: name and id.
    pub fn processes(&self) -> impl Iterator<Item = (&str, i32)> {
        let tasks = self.tasks.iter().chain([&self.simulator]);
        let tasks =
            tasks.filter_map(|task| Some((task.name(), task.pid()?.as_raw_nonzero().get())));
        tasks.chain(self.stores.started().map(|(name, _, pid)| (name, pid)))
    }

    /// The folder of logs, one file per task.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Kills a task without a word, as `kill -9` does, and returns the process id it had. The supervisor starts it
    /// again after 2 s.
    ///
    /// # Errors
    /// When there is no such task or it is not running at this moment.
    pub fn kill(&self, name: &str) -> anyhow::Result<Pid> {
        self.signal(name, Signal::KILL)
    }

    /// Signals a task, for instance SIGTERM as a deploy does.
    ///
    /// # Errors
    /// When there is no such task or it is not running at this moment.
    pub fn signal(&self, name: &str, signal: Signal) -> anyhow::Result<Pid> {
        let pid = self.task(name)?.pid().with_context(|| format!("{name} is not running"))?;
        signal_group(pid, signal);
        Ok(pid)
    }

    /// Sets a task's wall clock so many seconds ahead of the machine's, or behind it. The task sees it within a second, and
    /// so does the one that is started in its place.
    ///
    /// # Errors
    /// When there is no such task, or the mesh was not started with [`Options::own_clocks`].
    pub fn step_clock(&self, name: &str, seconds: i64) -> anyhow::Result<()> {
        let clocks = self.clocks.as_ref().context("the tasks of this mesh share a clock")?;
        clocks.step(self.task(name)?.name(), seconds)
    }

    /// Waits until the task runs and is ready under another process id than `before`.
    ///
    /// # Errors
    /// When there is no such task, or it is not ready again within a minute.
    pub async fn restarted(&self, name: &str, before: Pid) -> anyhow::Result<()> {
        let task = self.task(name)?;
        task.replaced(before, READY_LIMIT).await?;
        task.ready(READY_LIMIT, &self.log).await
    }

    /// Waits until a store has ended by itself, which none should, and says which. Without it the mesh is of no use.
    pub async fn store_failed(&mut self) -> &'static str {
        self.stores.failed().await
    }

    /// Stops everything in order: services drain one kind after the other, then simulator and stores go.
    ///
    /// # Errors
    /// When a process was left behind; all others are stopped nonetheless.
    pub async fn stop(self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        let mut waiting = self.tasks;
        for service in SERVICES {
            let (now, later): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|task| task.is_of(service));
            waiting = later;
            let stops = now.into_iter().map(|task| task.stop(self.drain_limit));
            for stopped in futures::future::join_all(stops).await {
                outcome = outcome.and(stopped);
            }
        }
        outcome = outcome.and(self.simulator.stop(self.drain_limit).await);
        outcome.and(self.stores.stop().await)
    }

    fn task(&self, name: &str) -> anyhow::Result<&Supervised> {
        self.tasks
            .iter()
            .chain([&self.simulator])
            .find(|task| task.name() == name)
            .with_context(|| format!("no task is called {name}"))
    }
}

/// Makes what the services expect to find: schema, queues, bucket, key, secrets, the tenant `demo`.
async fn prepare(binaries: &Path, environment: &Environment, log: &Log) -> anyhow::Result<()> {
    let mut process = Launch::new(binaries.join("switchboardctl"))
        .args(["prepare"])
        .envs(environment.clone())
        .spawn(&log.quiet().task(PREPARATION)?)?;
    let status = tokio::time::timeout(PREPARE_LIMIT, process.wait())
        .await
        .context("wait for the preparations")?
        .context("wait for the preparations")?;
    anyhow::ensure!(
        status.success(),
        "the preparations ended with {status}:\n{}",
        log.tail(PREPARATION, 12)
    );
    Ok(())
}

fn given_address(given: &Environment, name: &str) -> anyhow::Result<Option<SocketAddr>> {
    given
        .get(name)
        .filter(|value| !value.is_empty())
        .map(|value| value.parse().with_context(|| format!("read {name}: {value}")))
        .transpose()
}

/// How long a service may take to stop: its calls first, then what it has begun.
fn drain_limit(environment: &Environment) -> anyhow::Result<Duration> {
    let mut limit = DRAIN_MARGIN;
    for (name, default_seconds) in [("SB_CALL_DRAIN_SECONDS", 90), ("SB_DRAIN_SECONDS", 30)] {
        let seconds = match environment.get(name) {
            Some(value) => value.parse().with_context(|| format!("read {name}"))?,
            None => default_seconds,
        };
        limit += Duration::from_secs(seconds);
    }
    Ok(limit)
}

/// An address to connect to, for one that may listen on every interface.
fn reachable(listening: SocketAddr) -> SocketAddr {
    if listening.ip().is_unspecified() {
        (Ipv4Addr::LOCALHOST, listening.port()).into()
    } else {
        listening
    }
}
