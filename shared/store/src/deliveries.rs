//! What vendors said became of what we sent. Statuses come in any order, also before the message,
//! and before anybody knows which message they are about.

use domain::{DeliveryStatus, DeliveryUpdated, Envelope, EventId, MessageRefused};
use uuid::Uuid;

use crate::{StoreError, TenantTx, moment, plain};

/// Takes a status in. It never goes back to an earlier one.
pub async fn note(tx: &TenantTx, of: &Envelope, e: &DeliveryUpdated) -> Result<(), StoreError> {
    let message = e.message.map(|m| *m.as_uuid());
    let key = match (e.external_id.as_str(), message) {
        ("", Some(message)) => format!("event:{message}"),
        (external, _) => plain(external),
    };
    let (code, text) = match &e.error {
        Some((code, text)) => (Some(*code), Some(plain(text))),
        None => (None, None),
    };
    tx.execute(
        "INSERT INTO deliveries AS d
            (tenant, key, message, status, progress, error_code, error_text, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (tenant, key) DO UPDATE SET
            message = coalesce(d.message, excluded.message),
            status = CASE WHEN excluded.progress > d.progress
                THEN excluded.status ELSE d.status END,
            error_code = CASE WHEN excluded.progress > d.progress
                THEN excluded.error_code ELSE d.error_code END,
            error_text = CASE WHEN excluded.progress > d.progress
                THEN excluded.error_text ELSE d.error_text END,
            updated_at = CASE WHEN excluded.progress > d.progress
                THEN excluded.updated_at ELSE d.updated_at END,
            progress = greatest(d.progress, excluded.progress)",
        &[
            tx.id(),
            &key,
            &message,
            &name(e.status),
            &progress(e.status),
            &code,
            &text,
            &moment(of.occurred_at),
        ],
    )
    .await?;
    Ok(())
}

/// A message that a vendor had taken came back: what was said of it so far does not count. It waits, until it is sent again.
pub async fn came_back(tx: &TenantTx, of: &Envelope, e: &MessageRefused) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO deliveries (tenant, key, message, status, progress, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant, key) DO UPDATE SET message = excluded.message,
            status = excluded.status, progress = excluded.progress, updated_at = excluded.updated_at",
        &[
            tx.id(),
            &plain(&e.external_id),
            e.message.as_uuid(),
            &name(DeliveryStatus::Held),
            &progress(DeliveryStatus::Held),
            &moment(of.occurred_at),
        ],
    )
    .await?;
    Ok(())
}

/// What became of a message, as far as anybody said.
pub async fn of_message(
    tx: &TenantTx,
    message: EventId,
) -> Result<Option<DeliveryStatus>, StoreError> {
    let id: &Uuid = message.as_uuid();
    let row = tx
        .query_opt(
            "SELECT status FROM deliveries WHERE message = $1 ORDER BY progress DESC LIMIT 1",
            &[id],
        )
        .await?;
    Ok(row.and_then(|r| parse(r.get(0))))
}

const ALL: [DeliveryStatus; 7] = [
    DeliveryStatus::Held,
    DeliveryStatus::Doubtful,
    DeliveryStatus::Accepted,
    DeliveryStatus::Sent,
    DeliveryStatus::Delivered,
    DeliveryStatus::Read,
    DeliveryStatus::Failed,
];

/// How far a status is; what is held is not even in doubt. Doubt gives way to any word of the vendor: it says that none has come.
fn progress(status: DeliveryStatus) -> i16 {
    let place = ALL.iter().position(|s| *s == status).unwrap_or(0);
    i16::try_from(place).unwrap_or(0) - 1
}

const fn name(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Held => "held",
        DeliveryStatus::Doubtful => "doubtful",
        DeliveryStatus::Accepted => "accepted",
        DeliveryStatus::Sent => "sent",
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Read => "read",
        DeliveryStatus::Failed => "failed",
    }
}

fn parse(text: &str) -> Option<DeliveryStatus> {
    ALL.into_iter().find(|s| name(*s) == text)
}
