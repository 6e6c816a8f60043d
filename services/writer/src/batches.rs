use std::{collections::HashMap, sync::Arc};

use bus::TraceContext;
use domain::{Envelope, TenantId};
use store::{Store, StoreError};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::handlers;

/// Events in one transaction, at most. Beyond some dozens the commit is no longer what costs.
const MAX_EVENTS: usize = 32;
/// Events that wait for a batch; the consumer's own limit is what bounds them.
const WAITING: usize = 1024;

/// Commits events together: while one batch is being written the next one gathers, so an idle
/// writer commits each event at once, and a busy one shares a commit among many. Nothing waits for a
/// batch to fill.
///
/// The consumer hands out one event of a conversation at a time, so a batch never holds two of one,
/// and none overtakes another. A batch that fails is rolled back whole, and each of its events is
/// then written alone: a bad one harms no other.
pub struct Batches {
    waiting: mpsc::Sender<Item>,
}

struct Item {
    event: Envelope,
    done: oneshot::Sender<Result<(), StoreError>>,
}

impl Batches {
    /// Begins to write up to `at_once` batches at a time, each on a connection of its own. It ends
    /// with the last [`Batches`].
    pub fn start(store: Store, at_once: usize) -> Self {
        let (waiting, queue) = mpsc::channel(WAITING);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..at_once.max(1) {
            tokio::spawn(write_batches(store.clone(), queue.clone()));
        }
        Self { waiting }
    }

    /// Takes the event in and returns once it is committed.
    ///
    /// # Errors
    /// Why this event, not its batch, could not be recorded.
    pub async fn record(&self, event: Envelope) -> Result<(), StoreError> {
        let (done, outcome) = oneshot::channel();
        let lost = || StoreError::interrupted("the writer of batches has ended");
        self.waiting.send(Item { event, done }).await.map_err(|_| lost())?;
        outcome.await.map_err(|_| lost())?
    }
}

async fn write_batches(store: Store, queue: Arc<Mutex<mpsc::Receiver<Item>>>) {
    loop {
        let mut gathered = Vec::new();
        // The lock is held while waiting: the others are next in turn, each with a batch of its own.
        if queue.lock().await.recv_many(&mut gathered, MAX_EVENTS).await == 0 {
            return;
        }
        let mut by_tenant: HashMap<TenantId, Vec<Item>> = HashMap::new();
        for item in gathered {
            by_tenant.entry(item.event.tenant).or_default().push(item);
        }
        for (tenant, items) in by_tenant {
            // A task of its own, so that a panic costs its batch and not this loop: whoever waits for
            // an event of it sees it lost, and tries again.
            let _ = tokio::spawn(write(store.clone(), tenant, items)).await;
        }
    }
}

async fn write(store: Store, tenant: TenantId, items: Vec<Item>) {
    metrics::histogram!("writer_batch_events").record(items.len() as f64);
    // One transaction of many traces: a trace of its own, with a link to each.
    let _written = tracing::info_span!(target: "otlp", "write", otel.name = "write batch",
        otel.trace = %TraceContext::root(), otel.links = traces_of(&items), events = items.len());
    if let [_, _, ..] = items.as_slice() {
        if commit(&store, tenant, items.iter().map(|i| &i.event)).await.is_ok() {
            items.into_iter().for_each(|item| answer(item, Ok(())));
            return;
        }
        metrics::counter!("writer_batches_split_total").increment(1);
    }
    for item in items {
        let alone = commit(&store, tenant, std::iter::once(&item.event)).await;
        answer(item, alone);
    }
}

fn traces_of(items: &[Item]) -> String {
    let traces = items.iter().filter_map(|item| item.event.traceparent.as_deref());
    traces.collect::<Vec<_>>().join(" ")
}

async fn commit(
    store: &Store,
    tenant: TenantId,
    events: impl Iterator<Item = &Envelope>,
) -> Result<(), StoreError> {
    let tx = store.tenant(tenant).await?;
    for event in events {
        handlers::record(&tx, event).await?;
    }
    tx.commit().await
}

fn answer(item: Item, outcome: Result<(), StoreError>) {
    // Whoever asked may be gone, its message lost to another task; the record stands all the same.
    let _ = item.done.send(outcome);
}
