//! The writer's process: see the library.

use std::process::ExitCode;

use boot::Environment;

#[tokio::main]
async fn main() -> ExitCode {
    boot::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let environment = Environment::of_process();
    let config = writer::Config::read(&environment)?;
    let telemetry = boot::init_telemetry("writer", &environment)?;
    let stop = boot::stop_on_signal()?;
    writer::run(config, environment, &telemetry, stop).await
}
