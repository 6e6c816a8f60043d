//! Requests for a human (A7). `edge` takes them from its queue and writes them (DESIGN 2).

use domain::{Envelope, EscalationRequested};

use crate::{StoreError, TenantTx, conversations, moment};

const SUMMARY: &str = "escalations.summary";

/// Opens an escalation, once however often the event comes. `false` when it was open already.
pub async fn open(
    tx: &TenantTx,
    of: &Envelope,
    e: &EscalationRequested,
) -> Result<bool, StoreError> {
    conversations::note(tx, of, None, None).await?;
    let summary = tx.cipher().await?.seal(SUMMARY, e.summary.reveal())?;
    let opened = tx
        .execute(
            "INSERT INTO escalations
                (tenant, id, conversation, reason, summary_enc, requested_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            &[
                tx.id(),
                of.event_id.as_uuid(),
                of.conversation.as_uuid(),
                &e.reason,
                &summary,
                &moment(of.occurred_at),
            ],
        )
        .await?;
    Ok(opened == 1)
}
