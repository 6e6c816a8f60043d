//! The edge service.

use std::{process::ExitCode, time::Duration};

use edge::{
    Edge,
    config::{Config, Credentials},
};
use tokio_util::sync::CancellationToken;
use vault::Secrets;

const SECRETS_REFRESH_EVERY: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    boot::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let environment = boot::Environment::of_process();
    let telemetry = boot::init_telemetry("edge", &environment)?;
    let config = Config::read(&environment)?;
    let (ops_listen, secrets_prefix) =
        (config.common.ops_listen, config.common.secrets_prefix.clone());
    let stop = boot::stop_on_signal()?;

    let aws = boot::aws_config().await;
    let client = aws_sdk_secretsmanager::Client::new(&aws);
    let secrets =
        Secrets::new(move |name| environment.get(name).map(str::to_owned), client, secrets_prefix);
    let credentials = Credentials::load(&secrets).await?;
    tokio::spawn(secrets.keep_fresh(SECRETS_REFRESH_EVERY));

    let edge = Edge::start(config, credentials, &aws, stop).await?;
    // The operators' port stays open while calls drain.
    let ops_stop = CancellationToken::new();
    let ops = boot::serve_ops(ops_listen, &telemetry, edge.dependencies(), ops_stop.clone())?;
    let result = edge.run().await;
    ops_stop.cancel();
    ops.await?;
    result
}
