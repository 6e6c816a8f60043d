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
    let mut process = Launch::new("redis-server")
        .args(["--port", &address.port().to_string()])
        .args(["--bind", "127.0.0.1", "--cluster-announce-ip", "127.0.0.1"])
        .args(["--cluster-enabled", "yes"])
        .args(["--save", "", "--appendonly", "no"])
        .folder(folder)
        .spawn(&log.task("redis")?)?;
    let mut slots_assigned = false;
    probe::await_ready("redis", &mut process, log, async || {
        if !slots_assigned {
            let answer = probe::exchange(address, "CLUSTER ADDSLOTSRANGE 0 16383\r\n").await;
            slots_assigned = answer.is_ok_and(|answer| answer.starts_with("+OK"));
        }
        probe::exchange(address, "CLUSTER INFO\r\n")
            .await
            .is_ok_and(|answer| answer.contains("cluster_state:ok"))
    })
    .await?;
    Ok(Running {
        name: "redis",
        process,
        stop_signal: Signal::TERM,
        url: format!("redis://{address}"),
    })
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
