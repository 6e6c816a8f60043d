//! A tenant's own dead letters, as the API shows and moves them.

use domain::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Act, BODY, Including, NOBODY, QUARANTINED_AFTER, State};
use crate::{
    StoreError, TenantTx,
    history::{Conditions, at, maybe_at},
    moment,
};

const COLUMNS: &str = "number, queue, message_group, reason, starts, receives, died_at, conversation, event, event_name,
    turn, replays, expires_at, trace_id, state, is_parked, error_type";

/// A letter of the tenant, without its body.
#[derive(Clone, Debug)]
pub struct OwnLetter {
    /// Its number.
    pub number: i64,
    /// The queue it was meant for.
    pub queue: String,
    /// Its group.
    pub group: String,
    /// Why it was given up, in a word.
    pub error_type: String,
    /// Why it was given up, as a text.
    pub reason: String,
    /// How often a handler had begun it.
    pub starts: i32,
    /// How often the broker had handed it out.
    pub receives: i32,
    /// When it was given up.
    pub died_at: Timestamp,
    /// What it is about.
    pub conversation: Option<Uuid>,
    /// Its event.
    pub event: Option<Uuid>,
    /// The name of its payload.
    pub event_name: Option<String>,
    /// Its turn.
    pub turn: Option<i32>,
    /// How often it had been replayed when it died.
    pub replays: i32,
    /// When it became worthless.
    pub expires_at: Option<Timestamp>,
    /// Its trace.
    pub trace_id: Option<String>,
    /// What became of it.
    pub state: State,
    /// Whether its group is left alone.
    pub is_parked: bool,
}

/// Which of a tenant's letters are meant. What is not given does not matter.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct OwnFilter {
    /// Of this queue.
    pub queue: Option<String>,
    /// Given up for this, in a word.
    pub error_type: Option<String>,
    /// Whose reason has this in it, in capitals or not.
    pub reason: Option<String>,
    /// Of this payload.
    pub event_name: Option<String>,
    /// Of this conversation.
    pub conversation: Option<Uuid>,
    /// Of this group.
    pub group: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// That died then or later.
    pub since: Option<Timestamp>,
    /// That died earlier.
    pub until: Option<Timestamp>,
}

/// How many letters of a tenant have a queue, a payload, an error type and a state in common.
#[derive(Clone, Debug)]
pub struct OwnCount {
    /// The queue.
    pub queue: String,
    /// The payload.
    pub event_name: Option<String>,
    /// Why they were given up, in a word.
    pub error_type: String,
    /// The state.
    pub state: State,
    /// How many.
    pub letters: i64,
    /// When the oldest died.
    pub oldest: Timestamp,
}

/// A group of a tenant's letters that is left alone.
#[derive(Clone, Debug)]
pub struct OwnParked {
    /// The group: a conversation or a call.
    pub group: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub actor: String,
    /// Since when.
    pub parked_at: Timestamp,
    /// Letters of it that wait.
    pub waiting: i64,
}

/// What a replay of a tenant's letters would do.
#[derive(Clone, Debug, Default)]
pub struct OwnPlan {
    /// Letters that would be sent.
    pub letters: i64,
    /// Groups they belong to.
    pub groups: i64,
    /// The same letters by queue.
    pub queues: Vec<(String, i64)>,
    /// Conversations in which something was said after the letter, up to 100 of them.
    pub moved_on: Vec<Uuid>,
    /// Jobs whose time is over: left out unless asked for.
    pub expired: i64,
    /// Letters that died too often: left out unless asked for.
    pub quarantined: i64,
    /// Letters of parked groups: left out.
    pub parked: i64,
}

/// A letter whose replay has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Its number.
    pub number: i64,
    /// The queue it was meant for.
    pub queue: String,
    /// Its group.
    pub group: String,
    /// Its body, as it was buried.
    pub body: String,
}

/// What the operators' replays leave out as well.
fn replayable(often: &str, Including { quarantined, expired }: Including) -> String {
    format!(
        "event IS NOT NULL AND ({expired} OR expires_at IS NULL) AND ({quarantined} OR replays < {often})
            AND NOT is_parked"
    )
}

impl OwnFilter {
    /// Of those that nobody has sent with success.
    fn open(&self) -> Conditions {
        let mut wanted = self.conditions();
        wanted.all.push("state IN ('waiting', 'pending')".to_owned());
        wanted
    }

    fn conditions(&self) -> Conditions {
        let mut wanted = Conditions::default();
        if let Some(state) = self.state {
            wanted.add("state = $", state.name());
        }
        if let Some(group) = self.group.clone() {
            wanted.add("message_group = $", group);
        }
        if let Some(queue) = self.queue.clone() {
            wanted.add("queue = $", queue);
        }
        if let Some(error_type) = self.error_type.clone() {
            wanted.add("error_type = $", error_type);
        }
        if let Some(reason) = self.reason.clone() {
            wanted.add("position(lower($::text) IN lower(reason)) > 0", reason);
        }
        if let Some(name) = self.event_name.clone() {
            wanted.add("event_name = $", name);
        }
        if let Some(conversation) = self.conversation {
            wanted.add("conversation = $", conversation);
        }
        if let Some(since) = self.since {
            wanted.add("died_at >= $", moment(since));
        }
        if let Some(until) = self.until {
            wanted.add("died_at < $", moment(until));
        }
        wanted
    }
}

/// What a replay of the letters meant would do.
pub async fn plan(
    tx: &TenantTx,
    filter: &OwnFilter,
    including: Including,
) -> Result<OwnPlan, StoreError> {
    let Including { quarantined, expired } = including;
    let mut wanted = filter.open();
    let of_all = wanted.sql();
    let often = wanted.value(QUARANTINED_AFTER);
    let replayable = replayable(&often, including);
    let values = wanted.values();
    let sql = format!(
        "SELECT queue, count(*) FILTER (WHERE {replayable}),
            count(*) FILTER (WHERE expires_at IS NOT NULL AND NOT {expired}),
            count(*) FILTER (WHERE replays >= {often} AND NOT {quarantined}),
            count(*) FILTER (WHERE is_parked)
         FROM own_dead_letters {of_all} GROUP BY 1 ORDER BY 1"
    );
    let mut plan = OwnPlan::default();
    for row in tx.query(&sql, &values).await? {
        let letters: i64 = row.get(1);
        plan.letters += letters;
        if letters > 0 {
            plan.queues.push((row.get(0), letters));
        }
        plan.expired += row.get::<_, i64>(2);
        plan.quarantined += row.get::<_, i64>(3);
        plan.parked += row.get::<_, i64>(4);
    }
    let sql = format!(
        "SELECT count(DISTINCT message_group) FROM own_dead_letters {of_all} AND {replayable}"
    );
    let groups = tx.query_opt(&sql, &values).await?;
    plan.groups = groups.map_or(0, |row| row.get(0));
    let sql = format!(
        "SELECT conversation FROM (
            SELECT conversation, max(occurred_at) AS since FROM own_dead_letters {of_all} AND {replayable}
            GROUP BY 1) c
         WHERE EXISTS (SELECT FROM messages m
            WHERE m.conversation = c.conversation AND m.occurred_at > c.since)
         ORDER BY 1 LIMIT 100"
    );
    plan.moved_on = tx.query(&sql, &values).await?.iter().map(|row| row.get(0)).collect();
    Ok(plan)
}

/// The next letters to be replayed, oldest first, up to `limit`. They are pending from now on.
pub async fn begin(
    tx: &TenantTx,
    filter: &OwnFilter,
    including: Including,
    limit: i64,
    actor: &str,
) -> Result<Vec<Begun>, StoreError> {
    let mut wanted = filter.open();
    let of_all = wanted.sql();
    let replayable = replayable(&wanted.value(QUARANTINED_AFTER), including);
    let limit = wanted.value(limit);
    let sql = format!(
        "SELECT number, queue, message_group FROM own_dead_letters {of_all} AND {replayable}
         ORDER BY number LIMIT {limit}"
    );
    let mut begun = Vec::new();
    for row in tx.query(&sql, &wanted.values()).await? {
        let (number, queue, group) = (row.get(0), row.get(1), row.get(2));
        let open = [State::Waiting, State::Pending];
        if !set(tx, number, (&open, State::Pending), ("replay", actor, "")).await? {
            continue;
        }
        if let Some(body) = body(tx, number).await? {
            begun.push(Begun { number, queue, group, body });
        }
    }
    Ok(begun)
}

/// Gives up to `limit` of the letters meant up for good, the oldest first, with a record of who did it and why. How many were.
pub async fn discard(
    tx: &TenantTx,
    filter: &OwnFilter,
    limit: i64,
    (actor, reason): (&str, &str),
) -> Result<i64, StoreError> {
    let mut wanted = filter.open();
    let of_all = wanted.sql();
    let limit = wanted.value(limit);
    let sql = format!("SELECT number FROM own_dead_letters {of_all} ORDER BY number LIMIT {limit}");
    let mut discarded = 0;
    for row in tx.query(&sql, &wanted.values()).await? {
        let open = [State::Waiting, State::Pending];
        let noted = ("discard", actor, reason);
        discarded += i64::from(set(tx, row.get(0), (&open, State::Discarded), noted).await?);
    }
    Ok(discarded)
}

/// How many of the letters meant may still be sent again or given up.
pub async fn open(tx: &TenantTx, filter: &OwnFilter) -> Result<i64, StoreError> {
    let wanted = filter.open();
    let sql = format!("SELECT count(*) FROM own_dead_letters {}", wanted.sql());
    Ok(tx.query_opt(&sql, &wanted.values()).await?.map_or(0, |row| row.get(0)))
}

/// How many letters are meant, by queue, payload, error type and state.
pub async fn counts(tx: &TenantTx, filter: &OwnFilter) -> Result<Vec<OwnCount>, StoreError> {
    let wanted = filter.conditions();
    let sql = format!(
        "SELECT queue, event_name, error_type, state, count(*), min(died_at) FROM own_dead_letters {}
         GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        wanted.sql()
    );
    // Nothing for a state that a later release made.
    let count = |row: &Row| {
        Some(OwnCount {
            queue: row.get(0),
            event_name: row.get(1),
            error_type: row.get(2),
            state: State::named(row.get(3))?,
            letters: row.get(4),
            oldest: at(row, 5),
        })
    };
    Ok(tx.query(&sql, &wanted.values()).await?.iter().filter_map(count).collect())
}

/// Parks a group of the tenant's: no replay takes its letters until it is released. How many letters of the tenant's it has; 0
/// where it has none, or is parked already.
pub async fn park(
    tx: &TenantTx,
    group: &str,
    (actor, reason): (&str, &str),
) -> Result<i64, StoreError> {
    let sql = "SELECT park_own_group($1, $2, $3)";
    let row = tx.query_opt(sql, &[&group, &crate::plain(reason), &actor]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

/// Releases a parked group of the tenant's. How many letters of the tenant's it has; 0 where it is not parked.
pub async fn release(tx: &TenantTx, group: &str, actor: &str) -> Result<i64, StoreError> {
    let row = tx.query_opt("SELECT release_own_group($1, $2)", &[&group, &actor]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

/// The tenant's groups that are parked, the longest parked first.
pub async fn parked(tx: &TenantTx) -> Result<Vec<OwnParked>, StoreError> {
    let sql = "SELECT message_group, reason, actor, parked_at, waiting FROM own_parked_groups
         ORDER BY parked_at, message_group";
    let parked = |row: &Row| OwnParked {
        group: row.get(0),
        reason: row.get(1),
        actor: row.get(2),
        parked_at: at(row, 3),
        waiting: row.get(4),
    };
    Ok(tx.query(sql, &[]).await?.iter().map(parked).collect())
}

/// Whether a group has letters of the tenant's.
pub async fn has_group(tx: &TenantTx, group: &str) -> Result<bool, StoreError> {
    let sql = "SELECT FROM own_dead_letters WHERE message_group = $1 LIMIT 1";
    Ok(tx.query_opt(sql, &[&group]).await?.is_some())
}

/// Up to `limit` of the letters meant, the newest first, before the one with the number `before`.
pub async fn page(
    tx: &TenantTx,
    filter: &OwnFilter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<OwnLetter>, StoreError> {
    let mut wanted = filter.conditions();
    if let Some(before) = before {
        wanted.add("number < $", before);
    }
    let limit = wanted.value(limit);
    let conditions = wanted.sql();
    let sql = format!(
        "SELECT {COLUMNS} FROM own_dead_letters {conditions} ORDER BY number DESC LIMIT {limit}"
    );
    Ok(tx.query(&sql, &wanted.values()).await?.iter().filter_map(letter).collect())
}

/// One letter.
pub async fn find(tx: &TenantTx, number: i64) -> Result<Option<OwnLetter>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM own_dead_letters WHERE number = $1");
    Ok(tx.query_opt(&sql, &[&number]).await?.as_ref().and_then(letter))
}

/// What was done to a letter, in order.
pub async fn acts(tx: &TenantTx, number: i64) -> Result<Vec<Act>, StoreError> {
    let sql =
        "SELECT at, act, actor, detail FROM own_dead_letter_acts WHERE letter = $1 ORDER BY at";
    let act =
        |row: &Row| Act { at: at(row, 0), act: row.get(1), actor: row.get(2), detail: row.get(3) };
    Ok(tx.query(sql, &[&number]).await?.iter().map(act).collect())
}

/// The body of a letter, as it was buried.
pub async fn body(tx: &TenantTx, number: i64) -> Result<Option<String>, StoreError> {
    let sql = "SELECT wrapped_key, body_enc FROM own_dead_letters WHERE number = $1";
    let Some(row) = tx.query_opt(sql, &[&number]).await? else { return Ok(None) };
    let (wrapped, sealed): (Vec<u8>, &[u8]) = (row.get(0), row.get(1));
    let cipher = tx.key_ring().cipher(NOBODY, &wrapped).await?;
    Ok(Some(cipher.open(BODY, sealed)?.into_revealed()))
}

/// Notes that something was done to a letter that leaves it where it stands.
pub async fn note(
    tx: &TenantTx,
    number: i64,
    (act, actor, detail): (&str, &str, &str),
) -> Result<(), StoreError> {
    let sql = "SELECT note_own_dead_letter($1, $2, $3, $4)";
    tx.query(sql, &[&number, &act, &actor, &crate::plain(detail)]).await?;
    Ok(())
}

/// Moves a letter from one of `from` to `to`, with a record of who did it. False when it stands elsewhere by now.
pub async fn set(
    tx: &TenantTx,
    number: i64,
    (from, to): (&[State], State),
    noted: (&str, &str, &str),
) -> Result<bool, StoreError> {
    let from: Vec<&str> = from.iter().map(|state| state.name()).collect();
    let sql = "UPDATE own_dead_letters SET state = $2 WHERE number = $1 AND state = ANY ($3)";
    let moved = tx.execute(sql, &[&number, &to.name(), &from]).await? > 0;
    if moved {
        note(tx, number, noted).await?;
    }
    Ok(moved)
}

/// Nothing for a state that a later release made.
fn letter(row: &Row) -> Option<OwnLetter> {
    Some(OwnLetter {
        number: row.get(0),
        queue: row.get(1),
        group: row.get(2),
        reason: row.get(3),
        starts: row.get(4),
        receives: row.get(5),
        died_at: at(row, 6),
        conversation: row.get(7),
        event: row.get(8),
        event_name: row.get(9),
        turn: row.get(10),
        replays: row.get(11),
        expires_at: maybe_at(row, 12),
        trace_id: row.get(13),
        state: State::named(row.get(14))?,
        is_parked: row.get(15),
        error_type: row.get(16),
    })
}
