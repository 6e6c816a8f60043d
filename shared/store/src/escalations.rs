//! Requests for a human (A7). `edge` takes them from its queue and writes them (DESIGN 2).

use domain::{ConversationId, Envelope, EscalationRequested, Personal, Timestamp};
use uuid::Uuid;

use crate::{
    StoreError, TenantTx, claims, conversations,
    history::{self, Conditions},
    moment,
};

const SUMMARY: &str = "escalations.summary";

/// The name that requests are claimed under.
const CONSUMER: &str = "escalations";

/// Takes in that a human is wanted, once however often the event comes. Where one is wanted or there already in the
/// conversation it is the same request, with what the human should know now. `true` where it is a new one.
pub async fn open(
    tx: &TenantTx,
    of: &Envelope,
    e: &EscalationRequested,
) -> Result<bool, StoreError> {
    conversations::note(tx, of, None, None).await?;
    if !claims::claim(tx, CONSUMER, of.event_id).await? {
        return Ok(false);
    }
    let summary = tx.cipher().await?.seal(SUMMARY, e.summary.reveal())?;
    let conversation = of.conversation.as_uuid();
    let at = moment(of.occurred_at);
    let asked_again = tx
        .execute(
            "UPDATE escalations SET
                summary_enc = CASE WHEN coalesce(asked_again_at, requested_at) <= $3 THEN $2
                    ELSE summary_enc END,
                asked_again_at = greatest(coalesce(asked_again_at, requested_at), $3)
             WHERE conversation = $1 AND status <> 'closed'",
            &[conversation, &summary, &at],
        )
        .await?;
    if asked_again > 0 {
        return Ok(false);
    }
    let opened = tx
        .execute(
            "INSERT INTO escalations
                (tenant, id, conversation, reason, summary_enc, requested_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            &[tx.id(), of.event_id.as_uuid(), conversation, &e.reason, &summary, &at],
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
    /// When a human was last asked for again.
    pub asked_again_at: Option<Timestamp>,
    /// Who took it.
    pub taken_by: Option<String>,
    /// When.
    pub taken_at: Option<Timestamp>,
    /// When whoever took it last wrote, or took it.
    pub active_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Who closed it; `None` where nobody did.
    pub closed_by: Option<String>,
    /// Whether it was closed because whoever took it did not write any more.
    pub timed_out: bool,
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

/// The requests of one conversation, the oldest first.
pub async fn of_conversation(
    tx: &TenantTx,
    conversation: ConversationId,
    limit: i64,
) -> Result<Vec<Escalation>, StoreError> {
    let mut wanted = Conditions::default();
    wanted.add("e.conversation = $", *conversation.as_uuid());
    select(tx, wanted, limit).await
}

/// Takes an open request for `by` at `now`. `false` when it is not open, or not there.
pub async fn claim(tx: &TenantTx, id: Uuid, by: &str, now: Timestamp) -> Result<bool, StoreError> {
    let taken = tx
        .execute(
            "UPDATE escalations SET status = 'taken', taken_by = $2, taken_at = $3, active_at = $3
             WHERE id = $1 AND status = 'open'",
            &[&id, &by, &moment(now)],
        )
        .await?;
    Ok(taken == 1)
}

/// Closes a request for `by` at `now`. `false` when it is closed already, or not there.
pub async fn close(tx: &TenantTx, id: Uuid, by: &str, now: Timestamp) -> Result<bool, StoreError> {
    let closed = tx
        .execute(
            "UPDATE escalations SET status = 'closed', closed_by = $2, closed_at = $3
             WHERE id = $1 AND status <> 'closed'",
            &[&id, &by, &moment(now)],
        )
        .await?;
    Ok(closed == 1)
}

/// Closes a request whose human last wrote at `idle_since` or earlier. `false` when they wrote later, or nobody has it.
pub async fn time_out(
    tx: &TenantTx,
    id: Uuid,
    idle_since: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let closed = tx
        .execute(
            "UPDATE escalations SET status = 'closed', timed_out = true, closed_at = $3
             WHERE id = $1 AND status = 'taken' AND coalesce(active_at, taken_at) <= $2",
            &[&id, &moment(idle_since), &moment(now)],
        )
        .await?;
    Ok(closed == 1)
}

/// Notes that the person of an open request is told at `now` that nobody is free yet. `false` when they were told before, or
/// it is not open any more.
pub async fn tell(tx: &TenantTx, id: Uuid, now: Timestamp) -> Result<bool, StoreError> {
    let told = tx
        .execute(
            "UPDATE escalations SET told_at = $2
             WHERE id = $1 AND status = 'open' AND told_at IS NULL",
            &[&id, &moment(now)],
        )
        .await?;
    Ok(told == 1)
}

/// Notes that a human wrote in the conversation at `now`. `false` where none has it.
pub async fn touch(
    tx: &TenantTx,
    conversation: ConversationId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let touched = tx
        .execute(
            "UPDATE escalations SET active_at = greatest(coalesce(active_at, taken_at), $2)
             WHERE conversation = $1 AND status = 'taken'",
            &[conversation.as_uuid(), &moment(now)],
        )
        .await?;
    Ok(touched > 0)
}

/// Whether a human has the conversation who wrote in it, or took it, later than `idle_since`.
pub async fn is_taken(
    tx: &TenantTx,
    conversation: ConversationId,
    idle_since: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "SELECT FROM escalations WHERE conversation = $1 AND status = 'taken'
            AND coalesce(active_at, taken_at) > $2 LIMIT 1";
    let taken = tx.query_opt(sql, &[conversation.as_uuid(), &moment(idle_since)]).await?;
    Ok(taken.is_some())
}

/// As [`is_taken`], and so until the end of the transaction: nobody takes or closes a request of it meanwhile.
pub async fn is_taken_for_change(
    tx: &TenantTx,
    conversation: ConversationId,
    idle_since: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "SELECT FROM escalations WHERE conversation = $1 AND status <> 'closed'
             ORDER BY id FOR UPDATE";
    tx.query(sql, &[conversation.as_uuid()]).await?;
    is_taken(tx, conversation, idle_since).await
}

async fn select(
    tx: &TenantTx,
    mut wanted: Conditions,
    limit: i64,
) -> Result<Vec<Escalation>, StoreError> {
    let limit = wanted.value(limit);
    let sql = format!(
        "SELECT e.id, e.conversation, c.channel, e.reason, e.summary_enc, e.status,
            e.requested_at, e.asked_again_at, e.taken_by, e.taken_at, e.active_at, e.closed_at,
            e.closed_by, e.timed_out
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
            asked_again_at: history::maybe_at(row, 7),
            taken_by: row.get(8),
            taken_at: history::maybe_at(row, 9),
            active_at: history::maybe_at(row, 10),
            closed_at: history::maybe_at(row, 11),
            closed_by: row.get(12),
            timed_out: row.get(13),
        })
    };
    rows.iter().map(read).collect()
}
