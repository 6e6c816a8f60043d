//! Redis as a cluster of one node, so that keys of different slots fail here as they would on ElastiCache.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::Context as _;
use rustix::process::Signal;

use super::Running;
use crate::log::Log;
use crate::probe;
use crate::process::Launch;

/// Redis puts the port of its cluster bus this far above its own.
const BUS_PORT_OFFSET: u16 = 10_000;
const ATTEMPTS: usize = 100;

pub(super) async fn start(state: &Path, log: &Log) -> anyhow::Result<Running> {
    let address = free_address()?;
    let folder = state.join("redis");
    std::fs::create_dir(&folder).context("create Redis's folder")?;
    let launch = Launch::new("redis-server")
        .args(["--port", &address.port().to_string()])
        .args(["--bind", "127.0.0.1", "--cluster-announce-ip", "127.0.0.1"])
        .args(["--cluster-enabled", "yes"])
        .args(["--save", "", "--appendonly", "no"])
        .folder(folder);
    let mut process = launch.spawn(&log.task("redis")?)?;
    let mut slots_assigned = false;
    probe::await_ready("redis", &mut process, log, async || {
        if !slots_assigned {
            let answer = probe::exchange(address, "CLUSTER ADDSLOTSRANGE 0 16383\r\n").await;
            slots_assigned = answer.is_ok_and(|answer| answer.starts_with("+OK"));
        }
        is_whole(address).await
    })
    .await?;
    Ok(Running {
        name: "redis",
        launch,
        process,
        stop_signal: Signal::TERM,
        url: format!("redis://{address}"),
    })
}

/// Has it write down what it holds and end, and starts it again: nothing is lost, as when a replica takes over.
pub(super) async fn restart(store: &mut Running, log: &Log) -> anyhow::Result<()> {
    let address = store.url.trim_start_matches("redis://").parse().context("read its address")?;
    // It ends without an answer.
    let _ = probe::exchange(address, "SHUTDOWN SAVE\r\n").await;
    store.replace(Signal::TERM, log).await?;
    probe::await_ready("redis", &mut store.process, log, async || is_whole(address).await).await
}

async fn is_whole(address: SocketAddr) -> bool {
    let answer = probe::exchange(address, "CLUSTER INFO\r\n").await;
    answer.is_ok_and(|answer| answer.contains("cluster_state:ok"))
}

/// A free port with a free one for the cluster bus above it.
fn free_address() -> anyhow::Result<SocketAddr> {
    for _ in 0..ATTEMPTS {
        let address = probe::free_address()?;
        let bus_port = address.port().checked_add(BUS_PORT_OFFSET);
        if bus_port.is_some_and(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            return Ok(address);
        }
    }
    anyhow::bail!("find two free ports {BUS_PORT_OFFSET} apart for Redis")
}
