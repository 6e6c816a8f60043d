//! Free ports, and waiting until a store answers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::log::Log;
use crate::process::Process;

const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const LOG_LINES_IN_ERROR: usize = 12;

/// Ports for our own listeners. Below 32768, from where Linux takes ports for outgoing connections: one of those could
/// take a port between its choice here and its use. Redis's second port, 10,000 above, stays below as well.
const PORTS: std::ops::Range<u16> = 12_000..22_000;
const PORT_ATTEMPTS: usize = 1_000;

/// A loopback address whose port nothing listens on at this moment, and which this process was not given before. A
/// process takes one port after the other from a random one on, so that meshes that start at the same time hardly meet.
///
/// # Errors
/// When a thousand ports are taken.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    static NEXT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(Uuid::new_v4().as_u64_pair().1 >> 16));
    for _ in 0..PORT_ATTEMPTS {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = u16::try_from(next % u64::from(PORTS.end - PORTS.start))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + offset));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    anyhow::bail!("find a free port between {} and {}", PORTS.start, PORTS.end)
}

/// Checks that nobody listens there. The edge tasks share their port (`SO_REUSEPORT`), and would with a stranger, too, who
/// then got half of the calls.
///
/// # Errors
/// When somebody does, or the address is not this machine's.
pub(crate) fn ensure_free(address: SocketAddr) -> anyhow::Result<()> {
    TcpListener::bind(address)
        .map(drop)
        .with_context(|| format!("listen on {address}; SB_EDGE_LISTEN names another address"))
}

/// Asks until the answer is yes.
///
/// # Errors
/// When the process ends first or 30 s pass; the end of its log is in the message.
pub(crate) async fn await_ready(
    name: &str,
    process: &mut Process,
    log: &Log,
    mut ready: impl AsyncFnMut() -> bool,
) -> anyhow::Result<()> {
    let asked = tokio::time::timeout(START_LIMIT, async {
        while !ready().await {
            if let Some(status) = process.try_wait().context("look at a starting process")? {
                anyhow::bail!("{name} ended with {status}");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    });
    asked
        .await
        .unwrap_or_else(|_| {
            anyhow::bail!("{name} did not answer within {} s", START_LIMIT.as_secs())
        })
        .with_context(|| {
            format!("start {name}; its log ends:\n{}", log.tail(name, LOG_LINES_IN_ERROR))
        })
}

/// True when a GET of `path` is answered with 200.
pub(crate) async fn answers_ok(address: SocketAddr, path: &str) -> bool {
    exchange(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"))
        .await
        .is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// Sends `request` and returns the first bytes that come back.
pub(crate) async fn exchange(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await?;
    answer.truncate(length);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
