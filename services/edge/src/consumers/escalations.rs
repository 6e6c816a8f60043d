//! Requests for a human: the row that operators work from (A7).

use async_trait::async_trait;
use bus::{Context, Handler, Outcome};
use domain::{Envelope, Payload};
use store::Store;

/// Writes escalations.
pub struct Escalations {
    store: Store,
}

impl Escalations {
    /// Writes to `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Handler for Escalations {
    async fn handle(&self, _context: &Context, message: &Envelope) -> Outcome {
        let Payload::EscalationRequested(request) = &message.payload else {
            return Outcome::Reject(format!(
                "{} is no request for a human",
                message.payload.name()
            ));
        };
        // One transaction, and the row's key is the event's id: a second run changes nothing.
        let open = async {
            let tx = self.store.tenant(message.tenant).await?;
            let opened = store::escalations::open(&tx, message, request).await?;
            tx.commit().await?;
            Ok::<_, store::StoreError>(opened)
        };
        match open.await {
            Ok(opened) => {
                if opened {
                    metrics::counter!("edge_escalations_total", "reason" => request.reason.clone())
                        .increment(1);
                    tracing::info!(reason = %request.reason.escape_debug(), "a human is wanted");
                }
                Outcome::Done
            }
            Err(error) => Outcome::retry(error),
        }
    }
}
