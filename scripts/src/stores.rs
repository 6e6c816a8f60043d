//! The backing stores of one machine (DESIGN section 7): PostgreSQL, Redis as a one-node cluster, fauxqs for SQS and SNS,
//! ministack for S3, Secrets Manager and KMS. Each listens on loopback only, on a free port, with a fresh state folder
//! that goes when they stop. A store named by a variable of the environment is used as it is, and not started.

mod aws;
mod postgres;
mod redis;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::log::Log;
use crate::process::{Launch, Process, signal_group};

/// Variables as the services read them (DESIGN section 9).
pub type Environment = BTreeMap<String, String>;

const STOP_LIMIT: Duration = Duration::from_secs(5);
const STAND_IN_REGION: &str = "eu-central-1";

/// Which stand-in carries the queues. The bus is built for both (STANDINS.md): fauxqs is the quick one, ministack hands
/// out several messages of a group at once, as AWS does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Broker {
    /// fauxqs, about 2 ms a hop.
    #[default]
    Fauxqs,
    /// ministack, about 50 ms a hop.
    Ministack,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Variables that win over what is started here; one that names a store keeps it from being started:
    /// `DATABASE_URL`, `REDIS_URL`, `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_SQS`.
    pub given: Environment,
    /// Where SQS and SNS are found when `given` does not say.
    pub broker: Broker,
    /// False means AWS itself: no stand-ins, and the SDK finds its endpoints and credentials alone.
    pub aws_stand_ins: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { given: Environment::new(), broker: Broker::default(), aws_stand_ins: true }
    }
}

/// Running stores. End them with [`Stores::stop`]; dropped, they are killed.
#[derive(Debug)]
pub struct Stores {
    running: Vec<Running>,
    environment: Environment,
    // Declared last: the folder goes after the processes that write to it.
    _state: TempDir,
}

/// One started store.
#[derive(Debug)]
struct Running {
    name: &'static str,
    /// How it was started, and is again.
    launch: Launch,
    process: Process,
    /// What ends it soon, clients connected or not.
    stop_signal: Signal,
    url: String,
}

impl Stores {
    /// Starts what `options` leaves to start, all at once, and waits until each answers.
    ///
    /// # Errors
    /// When a program is not installed, dies, or does not answer within 30 s; the end of its log is in the message.
    pub async fn start(options: &Options, log: &Log) -> anyhow::Result<Self> {
        let state = state_folder()?;
        let path = state.path();
        let log = &log.quiet();
        let missing = |name: &str| options.given.get(name).is_none_or(String::is_empty);
        let want_ministack = options.aws_stand_ins && missing("AWS_ENDPOINT_URL");
        let want_fauxqs = want_ministack && missing("AWS_ENDPOINT_URL_SQS");
        let (postgres, redis, ministack, fauxqs) = tokio::try_join!(
            when(missing("DATABASE_URL"), postgres::start(path, log)),
            when(missing("REDIS_URL"), redis::start(path, log)),
            when(want_ministack, aws::start_ministack(path, log)),
            when(want_fauxqs, aws::start_fauxqs(log)),
        )?;

        let mut environment = Environment::new();
        let mut set = |name: &str, store: Option<&Running>| {
            if let Some(store) = store {
                environment.insert(name.to_owned(), store.url.clone());
            }
        };
        let queues = match options.broker {
            Broker::Fauxqs => fauxqs.as_ref(),
            Broker::Ministack => ministack.as_ref(),
        };
        set("DATABASE_URL", postgres.as_ref());
        set("REDIS_URL", redis.as_ref());
        set("AWS_ENDPOINT_URL", ministack.as_ref());
        set("AWS_ENDPOINT_URL_SQS", queues);
        set("AWS_ENDPOINT_URL_SNS", queues);
        set("SB_TEST_MINISTACK_URL", ministack.as_ref());
        set("SB_TEST_FAUXQS_URL", fauxqs.as_ref());
        if ministack.is_some() {
            for (name, value) in [
                ("AWS_REGION", STAND_IN_REGION),
                // The stand-ins take any; the SDK refuses to go without.
                ("AWS_ACCESS_KEY_ID", "stand-in"),
                ("AWS_SECRET_ACCESS_KEY", "stand-in"),
            ] {
                environment.insert(name.to_owned(), value.to_owned());
            }
        }
        environment.extend(
            options
                .given
                .iter()
                .filter(|(name, value)| names_a_store(name) && !value.is_empty())
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Ok(Self {
            running: [postgres, redis, ministack, fauxqs].into_iter().flatten().collect(),
            environment,
            _state: state,
        })
    }

    /// The variables that lead to these stores, those that were given among them.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Name, address and process id of each store that was started here.
    pub fn started(&self) -> impl Iterator<Item = (&'static str, &str, i32)> {
        self.running.iter().map(|store| {
            (store.name, store.url.as_str(), store.process.id().as_raw_nonzero().get())
        })
    }

    /// Waits until one of the stores ends by itself, which none should, and says which.
    pub async fn failed(&mut self) -> &'static str {
        if self.running.is_empty() {
            return std::future::pending().await;
        }
        let waits = self
            .running
            .iter_mut()
            .map(|store| Box::pin(async { store.process.wait().await.map(|_| store.name) }));
        match futures::future::select_all(waits).await.0 {
            Ok(name) => name,
            Err(_) => "a store",
        }
    }

    /// Ends PostgreSQL without a word to its clients and starts it again on the same data, as a fail-over does.
    ///
    /// # Errors
    /// When it was not started here, or does not come back.
    pub async fn restart_postgres(&mut self, log: &Log) -> anyhow::Result<()> {
        let store = self.running("postgres")?;
        postgres::restart(store, &log.quiet()).await.context("restart PostgreSQL")
    }

    /// The same for Redis, which keeps what it holds over the restart.
    ///
    /// # Errors
    /// When it was not started here, or does not come back.
    pub async fn restart_redis(&mut self, log: &Log) -> anyhow::Result<()> {
        let store = self.running("redis")?;
        redis::restart(store, &log.quiet()).await.context("restart Redis")
    }

    fn running(&mut self, name: &str) -> anyhow::Result<&mut Running> {
        let found = self.running.iter_mut().find(|store| store.name == name);
        found.with_context(|| format!("{name} was not started here"))
    }

    /// Stops all and removes their state.
    ///
    /// # Errors
    /// When a process is left behind.
    pub async fn stop(self) -> anyhow::Result<()> {
        let stops = self.running.into_iter().map(|store| async move {
            store
                .process
                .stop(store.stop_signal, STOP_LIMIT)
                .await
                .with_context(|| format!("stop {}", store.name))
        });
        futures::future::join_all(stops).await.into_iter().collect()
    }
}

impl Running {
    /// Sends `signal`, sees the process end, and starts it again. It may not answer yet.
    async fn replace(&mut self, signal: Signal, log: &Log) -> anyhow::Result<()> {
        signal_group(self.process.id(), signal);
        if tokio::time::timeout(STOP_LIMIT, self.process.wait()).await.is_err() {
            signal_group(self.process.id(), Signal::KILL);
            self.process.wait().await.context("wait for a killed store")?;
        }
        self.process = self.launch.spawn(&log.task(self.name)?)?;
        Ok(())
    }
}

/// True for the variables by which the services find a store.
fn names_a_store(variable: &str) -> bool {
    matches!(variable, "DATABASE_URL" | "REDIS_URL") || variable.starts_with("AWS_")
}

async fn when<T>(
    wanted: bool,
    start: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<Option<T>> {
    if wanted { start.await.map(Some) } else { Ok(None) }
}

const STATE_PREFIX: &str = "switchboard-stores-";

/// A folder for this run, with the process id in its name. PostgreSQL's own user must be able to pass through it.
fn state_folder() -> anyhow::Result<TempDir> {
    remove_orphans();
    let folder = tempfile::Builder::new()
        .prefix(&format!("{STATE_PREFIX}{}-", std::process::id()))
        .tempdir()
        .context("create a state folder")?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))
        .context("open the state folder for the database's user")?;
    Ok(folder)
}

/// Removes what runs that were killed have left. What cannot be removed is another user's.
fn remove_orphans() {
    let Ok(folders) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for folder in folders.filter_map(Result::ok) {
        let name = folder.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(STATE_PREFIX)?.split('-').next())
            .and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}
