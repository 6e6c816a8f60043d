//! Publishes what is due (DESIGN 5). Any number of writers do it side by side: each takes what no other
//! holds, publishes it, and commits. One that dies in between publishes it again under the same id,
//! and the broker and the consumers drop the second.

use std::time::Duration;

use anyhow::Context as _;
use bus::Bus;
use domain::{Envelope, TenantId, Timestamp};
use store::{Store, due};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wire::Decoded;

/// How often is looked for what is due. A reminder may be a moment late.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Taken at once, so that a commit is not far from its publishing.
const TAKEN_AT_ONCE: i64 = 20;

/// Publishes what is due until `stop`. Trouble is logged when it begins.
pub async fn deliver(store: Store, bus: Bus, stop: CancellationToken) {
    let mut is_failing = false;
    loop {
        match deliver_once(&store, &bus, Timestamp::now()).await {
            Ok(_) => is_failing = false,
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(error = format!("{error:#}"), "what is due waits");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// Publishes everything that is due at `now`, and says how much it was.
///
/// # Errors
/// When it cannot be read or published; it stays due.
pub async fn deliver_once(store: &Store, bus: &Bus, now: Timestamp) -> anyhow::Result<usize> {
    let mut delivered = 0;
    for tenant in due::tenants(store, now).await.context("ask who has something due")? {
        loop {
            let taken = deliver_some(store, bus, tenant, now).await?;
            delivered += taken;
            if taken < usize::try_from(TAKEN_AT_ONCE).unwrap_or(usize::MAX) {
                break;
            }
        }
    }
    Ok(delivered)
}

async fn deliver_some(
    store: &Store,
    bus: &Bus,
    tenant: TenantId,
    now: Timestamp,
) -> anyhow::Result<usize> {
    let tx = store.tenant(tenant).await?;
    let taken = due::take(&tx, now, TAKEN_AT_ONCE).await.context("take what is due")?;
    let events: Vec<Envelope> = taken.iter().filter_map(|due| decode(&due.event)).collect();
    if !events.is_empty() {
        bus.publish(&events).await.context("publish what is due")?;
    }
    tx.commit().await.context("forget what was due")?;
    metrics::counter!("writer_due_published_total").increment(events.len() as u64);
    Ok(taken.len())
}

/// What cannot be read never will be: it goes, with a word in the log.
fn decode(event: &str) -> Option<Envelope> {
    match wire::from_body(event).and_then(|bytes| wire::decode(&bytes)) {
        Ok(Decoded::Whole(envelope)) => Some(envelope),
        Ok(Decoded::Claimed(_)) => None,
        Err(error) => {
            tracing::error!(%error, "something due cannot be read and is dropped");
            None
        }
    }
}
