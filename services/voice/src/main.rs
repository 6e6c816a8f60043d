//! A voice task.

use std::process::ExitCode;

use aws_sdk_secretsmanager::Client;
use boot::Environment;
use vault::Secrets;
use voice::{Config, Service};

#[tokio::main]
async fn main() -> ExitCode {
    boot::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let env = Environment::of_process();
    let telemetry = boot::init_telemetry("voice", &env)?;
    let config = Config::read(&env)?;
    let stop = boot::stop_on_signal()?;
    let aws = boot::aws_config().await;
    let variables = move |name: &str| env.get(name).map(str::to_owned);
    let secrets = Secrets::new(variables, Client::new(&aws), &config.common.secrets_prefix);
    let service = Service::build(&config, &aws, secrets).await?;
    let ops = boot::serve_ops(
        config.common.ops_listen,
        &telemetry,
        service.dependencies(),
        stop.clone(),
    )?;
    tracing::info!(task = config.common.task, "voice is up");
    service.run(stop).await;
    ops.await?;
    Ok(())
}
