//! Who changed what (E5). Rows are added in the transaction of the change, and never change.

use domain::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::{StoreError, TenantTx, moment};

/// One change.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who, such as `key:4f7c…` or `jwt:ana`.
    pub actor: String,
    /// What was done, such as `appointment.cancel`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// What else is worth knowing; nothing about a person.
    pub detail: Value,
}

/// Notes a change, to stand or fall with it. `detail` must hold nothing about a person.
pub async fn note(
    tx: &TenantTx,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &Value,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO audit_log (tenant, id, actor, action, subject, detail)
         VALUES ($1, $2, $3, $4, $5, $6)",
        &[tx.id(), &Uuid::now_v7(), &actor, &action, &subject, detail],
    )
    .await?;
    Ok(())
}

/// Up to `limit` changes, the newest first, after the one that `after` names by its time and id.
pub async fn page(
    tx: &TenantTx,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<Entry>, StoreError> {
    let (at, id) = after.map(|(at, id)| (moment(at), id)).unzip();
    let rows = tx
        .query(
            "SELECT id, at, actor, action, subject, detail FROM audit_log
             WHERE $1::timestamptz IS NULL OR (at <= $1 AND (at < $1 OR id > $2))
             ORDER BY at DESC, id LIMIT $3",
            &[&at, &id, &limit],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|r| Entry {
            id: r.get(0),
            at: r.get::<_, std::time::SystemTime>(1).into(),
            actor: r.get(2),
            action: r.get(3),
            subject: r.get(4),
            detail: r.get(5),
        })
        .collect())
}
