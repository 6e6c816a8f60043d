//! Starts the simulated outside world (DESIGN 8).

use std::net::TcpListener;

use actix_web::web;
use anyhow::Context;
use simulator::{World, config::Config};
use tracing_subscriber::EnvFilter;

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("SB_LOG").unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    let config = Config::from_env(|name| std::env::var(name).ok())?;
    let listener =
        TcpListener::bind(config.listen).with_context(|| format!("bind {}", config.listen))?;
    tracing::info!(listen = %listener.local_addr().context("read the bound address")?, "simulator is up");
    simulator::serve(listener, web::Data::new(World::new(config)), true)?
        .await
        .context("serve the simulator")
}
