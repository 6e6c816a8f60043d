//! Messages we hold, and the task that keeps them ours.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use domain::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    batch::MAX_ENTRIES,
    settings::{EXTEND_EVERY, VISIBILITY},
};

/// One received message.
pub(crate) struct Held {
    pub(crate) message_id: String,
    pub(crate) receipt: String,
    pub(crate) body: String,
    pub(crate) group: String,
    pub(crate) receives: u32,
    pub(crate) sent_at: Timestamp,
    pub(crate) lease: Lease,
}

/// Our claim on a message. Dropping it stops the extensions.
pub(crate) struct Lease {
    id: u64,
    lost: CancellationToken,
    keeper: Arc<Keeper>,
}

impl Lease {
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Resolves when the message is no longer ours.
    pub(crate) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.entries().remove(&self.id);
    }
}

struct Entry {
    receipt: String,
    lost: CancellationToken,
    confirmed: Instant,
}

/// Extends the visibility of every held message, batched (DESIGN 2, "Visibility").
#[derive(Default)]
pub(crate) struct Keeper {
    entries: Mutex<HashMap<u64, Entry>>,
    next: std::sync::atomic::AtomicU64,
}

impl Keeper {
    /// Begins to keep a message received at `confirmed`.
    pub(crate) fn keep(self: &Arc<Self>, receipt: &str, confirmed: Instant) -> Lease {
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let lost = CancellationToken::new();
        let entry = Entry { receipt: receipt.to_owned(), lost: lost.clone(), confirmed };
        self.entries().insert(id, entry);
        Lease { id, lost, keeper: self.clone() }
    }

    /// Extends for ever; the consumer drops this when it has nothing left to hold.
    pub(crate) async fn run(self: Arc<Self>, sqs: aws_sdk_sqs::Client, url: String) {
        let mut tick = tokio::time::interval(EXTEND_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let held: Vec<(u64, String)> =
                self.entries().iter().map(|(id, e)| (*id, e.receipt.clone())).collect();
            for chunk in held.chunks(MAX_ENTRIES) {
                self.extend(&sqs, &url, chunk).await;
            }
            self.give_up_unconfirmed();
        }
    }

    async fn extend(&self, sqs: &aws_sdk_sqs::Client, url: &str, chunk: &[(u64, String)]) {
        let asked = Instant::now();
        let entries = chunk.iter().filter_map(|(id, receipt)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(id.to_string())
                .receipt_handle(receipt)
                .visibility_timeout(VISIBILITY.as_secs() as i32)
                .build()
                .ok()
        });
        let request = sqs
            .change_message_visibility_batch()
            .queue_url(url)
            .set_entries(Some(entries.collect()));
        match request.send().await {
            Ok(answer) => {
                let mut held = self.entries();
                for ok in answer.successful() {
                    if let Some(e) = ok.id().parse().ok().and_then(|id: u64| held.get_mut(&id)) {
                        e.confirmed = asked;
                    }
                }
                for failed in answer.failed() {
                    // A message deleted a moment ago fails too; its entry is gone by then.
                    if let Some(e) = failed.id().parse().ok().and_then(|id: u64| held.remove(&id)) {
                        e.lost.cancel();
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = %aws_sdk_sqs::error::DisplayErrorContext(&error),
                    messages = chunk.len(), "visibility not extended");
            }
        }
    }

    /// What the broker has not confirmed for a whole visibility is no longer ours.
    fn give_up_unconfirmed(&self) {
        self.entries().retain(|_, e| {
            let ours = e.confirmed.elapsed() < VISIBILITY;
            if !ours {
                e.lost.cancel();
            }
            ours
        });
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
