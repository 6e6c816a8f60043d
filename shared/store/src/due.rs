//! What is to happen later (DESIGN 5): an encoded event and when it is to be published. Nobody waits;
//! the writer takes what is due.

use domain::{ConversationId, TenantId, Timestamp};
use uuid::Uuid;

use crate::{Store, StoreError, TenantTx, moment};

const EVENT: &str = "due.event";

/// Something that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    /// Its id.
    pub id: Uuid,
    /// The text [`schedule`] was given.
    pub event: String,
}

/// Sees to it that `event`, an encoded envelope as text, is published at `at`. What was scheduled
/// under the same id gives way.
pub async fn schedule(
    tx: &TenantTx,
    id: Uuid,
    at: Timestamp,
    event: &str,
) -> Result<(), StoreError> {
    let sealed = tx.cipher().await?.seal(EVENT, event)?;
    tx.execute(
        "INSERT INTO due (tenant, id, at, event_enc) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant, id) DO UPDATE SET at = excluded.at, event_enc = excluded.event_enc",
        &[tx.id(), &id, &moment(at), &sealed],
    )
    .await?;
    Ok(())
}

/// Sees to it that `event` is published as soon as the person of `conversation` writes, at the latest at `at`. What was
/// scheduled under the same id gives way.
pub async fn hold(
    tx: &TenantTx,
    id: Uuid,
    conversation: ConversationId,
    at: Timestamp,
    event: &str,
) -> Result<(), StoreError> {
    schedule(tx, id, at, event).await?;
    let sql = "UPDATE due SET conversation = $2 WHERE id = $1";
    tx.execute(sql, &[&id, conversation.as_uuid()]).await?;
    Ok(())
}

/// The person of `conversation` has written: what was held for that is due at `now`.
pub async fn release(
    tx: &TenantTx,
    conversation: ConversationId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE due SET at = $2 WHERE conversation = $1 AND at > $2";
    tx.execute(sql, &[conversation.as_uuid(), &moment(now)]).await?;
    Ok(())
}

/// It is not to happen any more.
pub async fn forget(tx: &TenantTx, id: Uuid) -> Result<(), StoreError> {
    tx.execute("DELETE FROM due WHERE id = $1", &[&id]).await?;
    Ok(())
}

/// The tenants that have something due at `now`.
///
/// # Errors
/// As [`Store::tenant`].
pub async fn tenants(store: &Store, now: Timestamp) -> Result<Vec<TenantId>, StoreError> {
    let client = store.client().await?;
    let statement = client.prepare_cached("SELECT * FROM tenants_with_due($1)").await?;
    let rows = client.query(&statement, &[&moment(now)]).await?;
    Ok(rows.iter().map(|row| TenantId::from_uuid(row.get(0))).collect())
}

/// Takes up to `limit` of what is due at `now`, the oldest first, past what another transaction has
/// taken. They are gone when the transaction is committed: publish before.
pub async fn take(tx: &TenantTx, now: Timestamp, limit: i64) -> Result<Vec<Due>, StoreError> {
    let rows = tx
        .query(
            "DELETE FROM due WHERE id = ANY (ARRAY(
                SELECT id FROM due WHERE at <= $1 ORDER BY at, id LIMIT $2 FOR UPDATE SKIP LOCKED))
             RETURNING id, event_enc",
            &[&moment(now), &limit],
        )
        .await?;
    let cipher = tx.cipher().await?;
    let open = |row: &tokio_postgres::Row| {
        let event = cipher.open(EVENT, row.get(1))?.into_revealed();
        Ok(Due { id: row.get(0), event })
    };
    rows.iter().map(open).collect()
}
