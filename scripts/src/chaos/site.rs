//! A mesh whose stores lie behind proxies that break.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::json;

use super::cut::Line;
use super::plan::Blow;
use super::stand_in::StandIn;
use crate::log::Log;
use crate::mesh::{Mesh, Options};
use crate::outside::Outside;
use crate::probe;
use crate::stores::{self, Environment, Stores};

/// How long a task may take to be alive again before the next of its service is hit.
const ALIVE_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// Of no answer this is the whole.
const CUT_AFTER_BYTES: u64 = 10;

/// A mesh to be broken.
pub(super) struct Site {
    // Dropped in this order: who uses, then what is used.
    mesh: Mesh,
    postgres: Line,
    redis: Line,
    queues: StandIn,
    storage: StandIn,
    stores: Stores,
    redis_address: SocketAddr,
    outside: Outside,
    log: Log,
}

impl Site {
    /// Starts it.
    ///
    /// # Errors
    /// When anything of it does not start.
    pub(super) async fn open(log: &Log) -> anyhow::Result<Self> {
        let stores = Stores::start(&stores::Options::default(), log).await?;
        let mut given: Environment = stores.environment().clone();
        let at = |name: &str| address_in(&given, name);
        let redis_address = at("REDIS_URL")?;
        let postgres = Line::to(at("DATABASE_URL")?).await?;
        let redis = Line::to(redis_address).await?;
        let queues = StandIn::before(at("AWS_ENDPOINT_URL_SQS")?).await?;
        let storage = StandIn::before(at("AWS_ENDPOINT_URL")?).await?;
        let database_url = given["DATABASE_URL"]
            .replace(&at("DATABASE_URL")?.to_string(), &postgres.address().to_string());
        announce(redis_address, redis.address()).await?;

        // The second model, which answers where the first fails, is the simulator's as well, with the key it knows.
        let simulator = probe::free_address()?;
        let (models, key) = (format!("http://{simulator}/openai/v1"), "chaos".to_owned());
        for (name, value) in [
            ("DATABASE_URL", database_url),
            ("REDIS_URL", format!("redis://{}", redis.address())),
            ("AWS_ENDPOINT_URL_SQS", queues.url()),
            ("AWS_ENDPOINT_URL_SNS", queues.url()),
            ("AWS_ENDPOINT_URL_S3", storage.url()),
            ("SB_SIM_LISTEN", simulator.to_string()),
            ("SB_LLM", "openai,openai-spare,rules".to_owned()),
            ("OPENAI_BASE_URL", models.clone()),
            ("OPENAI_API_KEY", key.clone()),
            ("OPENAI_SPARE_BASE_URL", models),
            ("OPENAI_SPARE_MODEL", "spare".to_owned()),
            ("OPENAI_SPARE_API_KEY", key),
        ] {
            given.insert(name.to_owned(), value);
        }
        let mesh = Mesh::start(Options { given, own_clocks: true, ..Options::new()? }, log).await?;
        let outside = Outside::new(&mesh.endpoints().simulator)?;
        outside.put("/sim/model", &json!({"mode": "never_alike"})).await?;
        let log = log.clone();
        Ok(Self { mesh, postgres, redis, queues, storage, stores, redis_address, outside, log })
    }

    /// The world outside.
    pub(super) fn outside(&self) -> anyhow::Result<Outside> {
        Outside::new(&self.mesh.endpoints().simulator)
    }

    /// The variables by which the stores are reached when nothing is broken.
    pub(super) fn environment(&self) -> boot::Environment {
        let mut environment = self.mesh.environment().clone();
        environment.extend(self.stores.environment().clone());
        environment.into_iter().collect()
    }

    /// Lets something break.
    ///
    /// # Errors
    /// When it cannot be broken, or what was to come back does not.
    pub(super) async fn strike(&mut self, blow: &Blow) -> anyhow::Result<()> {
        match *blow {
            Blow::Kill(task) => self.hit(task, Signal::KILL).await,
            Blow::Stop(task) => self.hit(task, Signal::TERM).await,
            Blow::CutPostgres(lasting) => {
                self.postgres.cut();
                tokio::time::sleep(lasting).await;
                self.postgres.mend();
            }
            Blow::SilencePostgres(lasting) => {
                self.postgres.fall_silent();
                tokio::time::sleep(lasting).await;
                self.postgres.mend();
            }
            Blow::RestartPostgres => self.stores.restart_postgres(&self.log).await?,
            Blow::CutRedis(lasting) => {
                self.redis.cut();
                tokio::time::sleep(lasting).await;
                self.redis.mend();
            }
            Blow::SilenceRedis(lasting) => {
                self.redis.fall_silent();
                tokio::time::sleep(lasting).await;
                self.redis.mend();
            }
            Blow::RestartRedis => {
                // Who came by the line before it knows its place would go past it.
                self.redis.cut();
                self.stores.restart_redis(&self.log).await?;
                announce(self.redis_address, self.redis.address()).await?;
                self.redis.mend();
            }
            Blow::RefuseQueues(lasting) => self.queues.refuse(lasting),
            Blow::LoseAnswers(times) => self.queues.lose_answers(times),
            Blow::DeliverAgain(times) => self.queues.repeat(times),
            Blow::FillStorage(lasting) => self.storage.fill(lasting),
            Blow::StepClock { task, seconds } => self.mesh.step_clock(task, seconds)?,
            Blow::Slow { vendor, late, times } => {
                self.set_fault(vendor, &late_answers(late, times)).await?;
            }
            Blow::Fail { vendor, times } => {
                self.set_fault(vendor, &json!({"status": 503, "times": times})).await?;
            }
            Blow::Hang { vendor, late } => self.set_fault(vendor, &late_answers(late, 1)).await?,
            Blow::CutShort { vendor } => {
                let fault = json!({"cut_after_bytes": CUT_AFTER_BYTES, "times": 1});
                self.set_fault(vendor, &fault).await?;
            }
        }
        Ok(())
    }

    /// Nothing is broken any more.
    pub(super) fn mend(&self) {
        self.postgres.mend();
        self.redis.mend();
        self.queues.mend();
        self.storage.mend();
    }

    /// How often the broker delivered messages again.
    pub(super) fn delivered_again(&self) -> u32 {
        self.queues.delivered_again()
    }

    /// Stops it all.
    ///
    /// # Errors
    /// When a process was left behind.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let stopped = self.mesh.stop().await;
        stopped.and(self.stores.stop().await)
    }

    /// Signals a task, once the other of its service is alive: a slow machine may still be starting that one.
    async fn hit(&self, task: &str, signal: Signal) {
        let service = task.split('-').next().unwrap_or_default();
        let endpoints = self.mesh.endpoints();
        let of_service = |name: &str| name.split('-').next() == Some(service) && name != task;
        let others = endpoints.tasks.iter().filter(|other| of_service(&other.name));
        let alive = tokio::time::timeout(ALIVE_LIMIT, async {
            for other in others {
                while !probe::answers_ok(other.ops, "/healthz").await {
                    tokio::time::sleep(POLL).await;
                }
            }
        });
        // One that is itself starting again is not there to be hit.
        if alive.await.is_err() || self.mesh.signal(task, signal).is_err() {
            println!("          {task} is spared: its service has not recovered");
        }
    }

    async fn set_fault(&self, vendor: &str, fault: &serde_json::Value) -> anyhow::Result<()> {
        self.outside.put(&format!("/sim/faults/{vendor}"), fault).await
    }
}

/// What the simulator is told so that a vendor's next answers are late.
fn late_answers(late: Duration, times: u32) -> serde_json::Value {
    let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
    json!({"latency_ms": late_ms, "times": times})
}

/// Clients of a cluster go where it says it is: behind the line.
async fn announce(redis: SocketAddr, line: SocketAddr) -> anyhow::Result<()> {
    let order = format!("CONFIG SET cluster-announce-port {}\r\n", line.port());
    let answer = probe::exchange(redis, &order).await.context("reach Redis")?;
    anyhow::ensure!(answer.starts_with("+OK"), "announce Redis elsewhere: {answer}");
    Ok(())
}

/// Host and port of a URL in a variable.
fn address_in(given: &Environment, name: &str) -> anyhow::Result<SocketAddr> {
    let url = given.get(name).with_context(|| format!("{name} is not there"))?;
    let rest = url.split_once("://").map_or(&**url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    address.parse().with_context(|| format!("read the address in {name}"))
}
