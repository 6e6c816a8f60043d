//! Requests for a human (A7). `edge` takes them from its queue and writes them (DESIGN 2).

use domain::{Envelope, EscalationRequested, Personal, Timestamp};
use uuid::Uuid;

use crate::{
    StoreError, TenantTx, conversations,
    history::{self, Conditions},
    moment,
};

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

/// A request for a human, as operators see it.
#[derive(Clone, PartialEq, Debug)]
pub struct Escalation {
    /// The id of the event that asked.
    pub id: Uuid,
    /// In which conversation.
    pub conversation: Uuid,
    /// On which channel.
    pub channel: String,
    /// Why, as a short code.
    pub reason: String,
    /// What the human should know.
    pub summary: Personal,
    /// `open`, `taken`, `closed`.
    pub status: String,
    /// When.
    pub requested_at: Timestamp,
    /// Who took it.
    pub taken_by: Option<String>,
    /// When.
    pub taken_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

/// Up to `limit` requests, of one status or of all, the oldest first, after the one that `after` names
/// by its time and id.
pub async fn page(
    tx: &TenantTx,
    status: Option<&str>,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<Escalation>, StoreError> {
    let mut wanted = Conditions::default();
    if let Some(status) = status {
        wanted.add("e.status = $", status.to_owned());
    }
    if let Some((at, id)) = after {
        let (at, id) = (wanted.value(moment(at)), wanted.value(id));
        wanted.all.push(format!("(e.requested_at, e.id) > ({at}, {id})"));
    }
    select(tx, wanted, limit).await
}

/// One request.
pub async fn find(tx: &TenantTx, id: Uuid) -> Result<Option<Escalation>, StoreError> {
    let mut wanted = Conditions::default();
    wanted.add("e.id = $", id);
    Ok(select(tx, wanted, 1).await?.pop())
}

/// Takes an open request for `by`. `false` when it is not open, or not there.
pub async fn claim(tx: &TenantTx, id: Uuid, by: &str) -> Result<bool, StoreError> {
    let taken = tx
        .execute(
            "UPDATE escalations SET status = 'taken', taken_by = $2, taken_at = now()
             WHERE id = $1 AND status = 'open'",
            &[&id, &by],
        )
        .await?;
    Ok(taken == 1)
}

/// Closes a request. `false` when it is closed already, or not there.
pub async fn close(tx: &TenantTx, id: Uuid) -> Result<bool, StoreError> {
    let closed = tx
        .execute(
            "UPDATE escalations SET status = 'closed', closed_at = now()
             WHERE id = $1 AND status <> 'closed'",
            &[&id],
        )
        .await?;
    Ok(closed == 1)
}

async fn select(
    tx: &TenantTx,
    mut wanted: Conditions,
    limit: i64,
) -> Result<Vec<Escalation>, StoreError> {
    let limit = wanted.value(limit);
    let sql = format!(
        "SELECT e.id, e.conversation, c.channel, e.reason, e.summary_enc, e.status,
            e.requested_at, e.taken_by, e.taken_at, e.closed_at
         FROM escalations e JOIN conversations c ON c.id = e.conversation
         {} ORDER BY e.requested_at, e.id LIMIT {limit}",
        wanted.sql()
    );
    let rows = tx.query(&sql, &wanted.values()).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let cipher = tx.cipher().await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Escalation {
            id: row.get(0),
            conversation: row.get(1),
            channel: row.get(2),
            reason: row.get(3),
            summary: cipher.open(SUMMARY, row.get(4))?,
            status: row.get(5),
            requested_at: history::at(row, 6),
            taken_by: row.get(7),
            taken_at: history::maybe_at(row, 8),
            closed_at: history::maybe_at(row, 9),
        })
    };
    rows.iter().map(read).collect()
}
