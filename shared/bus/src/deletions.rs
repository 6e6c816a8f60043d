//! Deletes what is done, as many in one request as are waiting.

use std::time::Duration;

use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::batch::MAX_ENTRIES;

type Wanted = (String, oneshot::Sender<()>);

/// Where workers hand in receipts.
pub(crate) struct Deletions(mpsc::UnboundedSender<Wanted>);

impl Deletions {
    /// Returns when the broker has answered: the next of a group starts only when the one before it
    /// cannot come back behind it. What was not deleted is logged, and handled again.
    pub(crate) async fn delete(&self, receipt: &str) {
        let (deleted, answered) = oneshot::channel();
        if self.0.send((receipt.to_owned(), deleted)).is_ok() {
            let _ = answered.await;
        }
    }
}

/// Starts the task that deletes; it ends, its work done, once every [`Deletions`] is dropped. Who comes first waits for others
/// for as long as `together`.
pub(crate) fn start(
    sqs: aws_sdk_sqs::Client,
    url: String,
    together: Duration,
) -> (Deletions, JoinHandle<()>) {
    let (wanted, receipts) = mpsc::unbounded_channel();
    (Deletions(wanted), tokio::spawn(run(sqs, url, together, receipts)))
}

async fn run(
    sqs: aws_sdk_sqs::Client,
    url: String,
    together: Duration,
    mut receipts: mpsc::UnboundedReceiver<Wanted>,
) {
    let mut batch = Vec::with_capacity(MAX_ENTRIES);
    while receipts.recv_many(&mut batch, MAX_ENTRIES).await > 0 {
        if !together.is_zero() && batch.len() < MAX_ENTRIES {
            tokio::time::sleep(together).await;
            while batch.len() < MAX_ENTRIES
                && let Ok(another) = receipts.try_recv()
            {
                batch.push(another);
            }
        }
        let entries = batch.iter().enumerate().filter_map(|(i, (receipt, _))| {
            DeleteMessageBatchRequestEntry::builder()
                .id(i.to_string())
                .receipt_handle(receipt)
                .build()
                .ok()
        });
        let request =
            sqs.delete_message_batch().queue_url(&url).set_entries(Some(entries.collect()));
        match request.send().await {
            Ok(answer) => {
                for failed in answer.failed() {
                    tracing::warn!(code = failed.code(), "not deleted: will be handled again");
                }
            }
            Err(error) => {
                tracing::warn!(error = %aws_sdk_sqs::error::DisplayErrorContext(&error),
                    messages = batch.len(), "not deleted: will be handled again");
            }
        }
        for (_, deleted) in batch.drain(..) {
            let _ = deleted.send(());
        }
    }
}
