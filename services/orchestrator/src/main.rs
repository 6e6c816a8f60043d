//! The orchestrator service: agents, context, language models (DESIGN 1).

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use boot::Environment;
use bus::{Bus, BusSettings, Consumer, Queue, Source};
use cache::Cache;
use domain::Dependency;
use orchestrator::{Config, Orchestrator};
use store::Store;
use vault::{FieldKeys, Secrets};

/// How soon a rotated secret is followed (E4).
const SECRETS_FRESH_EVERY: Duration = Duration::from_secs(60);

/// Few at once: after an outage the callers of now come first.
const HELD_BOOKINGS_AT_ONCE: usize = 4;

#[tokio::main]
async fn main() -> ExitCode {
    boot::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let environment = Environment::of_process();
    let telemetry = boot::init_telemetry("orchestrator", &environment)?;
    let config = Config::read(&environment)?;
    let common = config.common.clone();
    let stop = boot::stop_on_signal().context("listen for signals")?;
    let aws = boot::aws_config().await;

    let secrets = Secrets::new(
        move |name| environment.get(name).map(str::to_owned),
        aws_sdk_secretsmanager::Client::new(&aws),
        common.secrets_prefix.clone(),
    );
    let redis_url = secrets.get("REDIS_URL").await.context("find Redis")?;
    let database_url = secrets.get("DATABASE_URL").await.context("find PostgreSQL")?;
    let cache =
        Cache::following(redis_url.follow(), &common.queue_prefix).context("prepare Redis")?;
    let keys = FieldKeys::new(aws_sdk_kms::Client::new(&aws), config.kms_key.clone());
    let store =
        Store::following(database_url.follow(), config.database_connections, Arc::new(keys))
            .context("prepare PostgreSQL")?;
    let bus = Bus::new(
        &aws,
        BusSettings {
            high_throughput: common.high_throughput,
            long_poll: common.long_poll,
            drain: common.drain,
            on_point: boot::crash_point,
            ..BusSettings::new(common.queue_prefix.clone(), common.s3_bucket.clone())
        },
    );

    let dependencies: Vec<Arc<dyn Dependency>> =
        vec![Arc::new(cache.clone()), Arc::new(store.clone()), Arc::new(bus.clone())];
    let ops = boot::serve_ops(common.ops_listen, &telemetry, dependencies, stop.clone())?;
    tokio::spawn(secrets.clone().keep_fresh(SECRETS_FRESH_EVERY));

    let handler =
        Orchestrator::start(&config, &aws, cache.clone(), store.clone(), &secrets, stop.clone())
            .await?;
    tracing::info!(task = common.task, "orchestrator is up");
    // What was held while PostgreSQL was away waits until it is back.
    let held = Consumer::new(
        bus.clone(),
        Source::Shared(Queue::Bookings),
        Arc::new(handler.held_bookings()),
        Arc::new(cache.clone()),
    )
    .concurrency(HELD_BOOKINGS_AT_ONCE)
    .depends_on(Arc::new(store));
    // It depends on nothing: a call goes on without Redis and without PostgreSQL (DESIGN 5).
    let messages =
        Consumer::new(bus, Source::Shared(Queue::Orchestrator), Arc::new(handler), Arc::new(cache))
            .concurrency(config.concurrency);
    tokio::join!(messages.run(stop.clone()), held.run(stop));
    ops.await.context("stop the ops server")
}
