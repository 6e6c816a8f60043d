//! Starts the simulated outside world (DESIGN 8).

use std::{net::TcpListener, process::ExitCode};

use actix_web::web;
use anyhow::Context as _;
use simulator::{World, config::Config};

#[actix_web::main]
async fn main() -> ExitCode {
    boot::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let environment = boot::Environment::of_process();
    boot::init_telemetry("simulator", &environment)?;
    let config = Config::read(&environment)?;
    let listener =
        TcpListener::bind(config.listen).with_context(|| format!("bind {}", config.listen))?;
    let address = listener.local_addr().context("read the bound address")?;
    tracing::info!(%address, "simulator is up");
    let world = web::Data::new(World::new(config));
    simulator::serve(listener, world, true)?.await.context("serve the simulator")
}
