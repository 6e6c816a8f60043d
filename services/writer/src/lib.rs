//! The history: what was said, what became of it, how long it took, in PostgreSQL (DESIGN 1).
//!
//! Every durable event comes through one queue; [`handlers::Recorder`] takes each in once, whatever
//! the order in which publishers' events arrive and however often. `design.md` beside this crate
//! says how.

pub mod archiver;
mod batches;
mod config;
pub mod due;
pub mod handlers;
pub mod traces;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use boot::{CommonSettings, Environment, Telemetry};
use bus::{Bus, BusSettings, Consumer, Queue, Source};
use cache::Cache;
use domain::Dependency;
use store::Store;
use tokio_util::sync::CancellationToken;
use vault::{FieldKeys, Secrets};

pub use batches::Batches;
pub use config::Config;
use traces::Traces;

/// How often secrets in use are read again.
const SECRETS_REFRESH_S: u64 = 60;
/// Nobody waits for the history so long, and events that come together cost a request and a commit, not one each.
const GATHERED_FOR: Duration = Duration::from_millis(100);

/// Runs the writer until `stop`, then drains.
///
/// # Errors
/// When it cannot start: a secret is missing, a URL wrong, the port taken.
pub async fn run(
    config: Config,
    environment: Environment,
    telemetry: &Telemetry,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let aws = boot::aws_config().await;
    let secrets = Secrets::new(
        move |name| environment.get(name).map(str::to_owned),
        aws_sdk_secretsmanager::Client::new(&aws),
        &config.common.secrets_prefix,
    );
    let database_url = secrets.get("DATABASE_URL").await?;
    let redis_url = secrets.get("REDIS_URL").await?;
    let keys = Arc::new(FieldKeys::new(aws_sdk_kms::Client::new(&aws), &config.kms_key));
    let store = Store::following(database_url.follow(), config.database_connections, keys)?;
    let cache = Cache::following(redis_url.follow(), &config.common.queue_prefix)
        .context("read REDIS_URL")?;
    let bus = Bus::new(&aws, bus_settings(&config.common));

    let dependencies: Vec<Arc<dyn Dependency>> =
        vec![Arc::new(store.clone()), Arc::new(cache.clone()), Arc::new(bus.clone())];
    let ops = boot::serve_ops(config.common.ops_listen, telemetry, dependencies, stop.clone())?;
    let fresh = tokio::spawn(secrets.keep_fresh(Duration::from_secs(SECRETS_REFRESH_S)));

    let s3 = aws_sdk_s3::config::Builder::from(&aws).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    let traces = Traces::new(s3, config.common.s3_bucket.clone(), store.clone());
    let delivering = tokio::spawn(due::deliver(store.clone(), bus.clone(), stop.clone()));
    let batches = Batches::start(store.clone(), config.batches_at_once);
    let starts = Arc::new(cache);
    let archiver = tokio::spawn(archiver::run(
        bus.clone(),
        store.clone(),
        starts.clone(),
        config.dead_letters_kept_for,
        stop.clone(),
    ));
    tracing::info!(task = config.common.task, "the writer takes events");
    Consumer::new(
        bus,
        Source::Shared(Queue::Writer),
        Arc::new(handlers::Recorder::new(batches, traces)),
        starts,
    )
    .concurrency(config.events_at_once)
    .gathers_for(GATHERED_FOR)
    .depends_on(Arc::new(store))
    .run(stop)
    .await;

    delivering.await.context("end the delivery of what is due")?;
    fresh.abort();
    archiver.await.context("end the archiver of dead letters")?;
    ops.await.context("end the health page")
}

fn bus_settings(common: &CommonSettings) -> BusSettings {
    BusSettings {
        high_throughput: common.high_throughput,
        long_poll: common.long_poll,
        drain: common.drain,
        on_point: boot::crash_point,
        ..BusSettings::new(&common.queue_prefix, &common.s3_bucket)
    }
}
