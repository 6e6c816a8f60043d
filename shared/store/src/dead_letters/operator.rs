//! What operators see of the dead letters, and do to them.

use std::{collections::HashMap, sync::Arc};

use anyhow::Context as _;
use domain::{FieldCipher, KeyRing, Timestamp};
use tokio_postgres::{Client, Row, types::ToSql};
use uuid::Uuid;

use super::{BODY, NOBODY};
use crate::{migrate, moment};

/// A letter that died again after so many replays is left out of further ones, unless asked for: it does harm, and the
/// same again will not mend it.
pub const QUARANTINED_AFTER: i32 = 3;

const COLUMNS: &str = "number, queue, message_group, reason, starts, receives, sent_at, died_at, tenant, conversation,
    event, event_name, turn, replays, occurred_at, expires_at, trace_id, build, state, error_type";

const MATCHES: &str = "($1::text IS NULL OR queue = $1)
    AND ($2::text IS NULL OR position(lower($2) IN lower(reason)) > 0)
    AND ($3::uuid IS NULL OR tenant = $3)
    AND ($4::text IS NULL OR message_group = $4)
    AND ($5::text IS NULL OR event_name = $5)
    AND ($6::timestamptz IS NULL OR died_at >= $6)
    AND ($7::timestamptz IS NULL OR died_at < $7)
    AND ($8::bigint[] IS NULL OR number = ANY ($8))
    AND ($9::text[] IS NULL OR state = ANY ($9))
    AND ($10::bigint IS NULL OR number <= $10)
    AND ($11::text IS NULL OR error_type = $11)";

/// May be replayed: it is whole, is not being replayed with success, and has not died too often. What was begun and not
/// finished is sent again as it was, and the broker and the handlers see that it is the same.
const REPLAYABLE: &str = "state IN ('waiting', 'pending') AND event IS NOT NULL
    AND ($12 OR replays < $13) AND ($14 OR expires_at IS NULL)
    AND message_group NOT IN (SELECT message_group FROM parked_groups)";

/// What became of a letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nobody has done anything about it.
    Waiting,
    /// Its replay has begun; whether it was sent is not known.
    Pending,
    /// It was sent into its queue again.
    Published,
    /// It was handled.
    Processed,
    /// It died again, which a letter of its own tells, or its replay had no effect.
    Failed,
    /// It was given up by an operator.
    Discarded,
}

impl State {
    /// Every state, by its name.
    pub const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Pending,
        Self::Published,
        Self::Processed,
        Self::Failed,
        Self::Discarded,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Pending => "pending",
            Self::Published => "published",
            Self::Processed => "processed",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
        }
    }

    /// The state of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Which letters are meant. What is not given does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this queue.
    pub queue: Option<String>,
    /// Given up for this, in a word.
    pub error_type: Option<String>,
    /// Whose reason has this in it, in capitals or not.
    pub reason: Option<String>,
    /// Of this tenant.
    pub tenant: Option<Uuid>,
    /// Of this group.
    pub group: Option<String>,
    /// Of this payload.
    pub event_name: Option<String>,
    /// That died then or later.
    pub since: Option<Timestamp>,
    /// That died earlier.
    pub until: Option<Timestamp>,
    /// With one of these numbers.
    pub numbers: Option<Vec<i64>>,
    /// In one of these states.
    pub states: Option<Vec<State>>,
    /// Up to this number: what is kept later is not meant.
    pub up_to: Option<i64>,
}

impl Filter {
    fn values(&self) -> Values {
        Values {
            since: self.since.map(moment),
            until: self.until.map(moment),
            states: self
                .states
                .as_ref()
                .map(|states| states.iter().map(|state| state.name()).collect()),
        }
    }
}

struct Values {
    since: Option<std::time::SystemTime>,
    until: Option<std::time::SystemTime>,
    states: Option<Vec<&'static str>>,
}

fn parameters<'a>(filter: &'a Filter, values: &'a Values) -> Vec<&'a (dyn ToSql + Sync)> {
    vec![
        &filter.queue,
        &filter.reason,
        &filter.tenant,
        &filter.group,
        &filter.event_name,
        &values.since,
        &values.until,
        &filter.numbers,
        &values.states,
        &filter.up_to,
        &filter.error_type,
    ]
}

/// A letter, without its body.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its number here.
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
    /// When it was sent, if known.
    pub sent_at: Option<Timestamp>,
    /// When it was given up.
    pub died_at: Timestamp,
    /// Whose it is, where it can be decoded; so for all that follow.
    pub tenant: Option<Uuid>,
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
    /// When it happened.
    pub occurred_at: Option<Timestamp>,
    /// When it became worthless.
    pub expires_at: Option<Timestamp>,
    /// Its trace.
    pub trace_id: Option<String>,
    /// The release that kept it.
    pub build: String,
    /// What became of it.
    pub state: State,
}

/// Something that was done to a letter, or came of it.
#[derive(Clone, Debug)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// What.
    pub act: String,
    /// By whom.
    pub actor: String,
    /// The reason, or what else is to be known.
    pub detail: String,
}

/// How many letters have a queue, a payload, an error type and a state in common.
#[derive(Clone, Debug)]
pub struct Count {
    /// The queue.
    pub queue: String,
    /// The payload; `None` for what cannot be decoded.
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

/// What a replay would do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Letters that would be sent, by queue.
    pub queues: Vec<(String, i64)>,
    /// The newest of them: what dies while they are sent has a higher number.
    pub newest: Option<i64>,
    /// Groups they belong to.
    pub groups: i64,
    /// Of these groups, conversations in which something was said after the letter.
    pub moved_on: Vec<Uuid>,
    /// Jobs whose time is over: they are left out unless asked for.
    pub expired: i64,
    /// Letters that died too often: they are left out unless asked for.
    pub quarantined: i64,
    /// Letters nobody can decode: they are always left out.
    pub undecodable: i64,
    /// Letters of parked groups: they are left out until these are released.
    pub parked: i64,
}

impl Plan {
    /// Letters that would be sent.
    pub fn letters(&self) -> i64 {
        self.queues.iter().map(|(_, letters)| letters).sum()
    }
}

/// A group that is left alone.
#[derive(Clone, Debug)]
pub struct Parked {
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

/// Letters a replay takes that it otherwise leaves out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Including {
    /// Those that died too often.
    pub quarantined: bool,
    /// Jobs whose time is over.
    pub expired: bool,
}

/// The dead letters, for operators.
pub struct DeadLetters {
    pub(super) client: Client,
    keys: Arc<dyn KeyRing>,
    ciphers: HashMap<Vec<u8>, Arc<dyn FieldCipher>>,
}

impl DeadLetters {
    /// Opens them over `database_url`, whose login must be a member of `switchboard_operator`.
    ///
    /// # Errors
    /// When the database cannot be reached, is not migrated or does not let the login in.
    pub async fn open(database_url: &str, keys: Arc<dyn KeyRing>) -> anyhow::Result<Self> {
        let client = migrate::owner(database_url).await?;
        client.batch_execute("SET ROLE switchboard_operator").await.context(
            "work as switchboard_operator (is the database migrated, and the login a member?)",
        )?;
        Ok(Self { client, keys, ciphers: HashMap::new() })
    }

    /// The letters that are meant, oldest first, up to `limit`.
    ///
    /// # Errors
    /// When the database cannot be asked; so for all that follow.
    pub async fn list(&self, filter: &Filter, limit: i64) -> anyhow::Result<Vec<Letter>> {
        self.listed(filter, "ORDER BY number", limit).await
    }

    /// The letters that are meant, newest first, up to `limit`.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn newest(&self, filter: &Filter, limit: i64) -> anyhow::Result<Vec<Letter>> {
        self.listed(filter, "ORDER BY number DESC", limit).await
    }

    async fn listed(
        &self,
        filter: &Filter,
        order: &str,
        limit: i64,
    ) -> anyhow::Result<Vec<Letter>> {
        let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE {MATCHES} {order} LIMIT $12");
        let values = filter.values();
        let mut parameters = parameters(filter, &values);
        parameters.push(&limit);
        let rows = self.client.query(&sql, &parameters).await.context("list dead letters")?;
        rows.iter().map(letter).collect()
    }

    /// How many letters are meant, by queue, payload, error type and state.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn counts(&self, filter: &Filter) -> anyhow::Result<Vec<Count>> {
        let sql = format!(
            "SELECT queue, event_name, error_type, state, count(*), min(died_at) FROM dead_letters
             WHERE {MATCHES} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
        );
        let values = filter.values();
        let parameters = parameters(filter, &values);
        let rows = self.client.query(&sql, &parameters).await.context("count dead letters")?;
        rows.iter()
            .map(|row| {
                Ok(Count {
                    queue: row.get(0),
                    event_name: row.get(1),
                    error_type: row.get(2),
                    state: state(row.get(3))?,
                    letters: row.get(4),
                    oldest: time(row.get(5)),
                })
            })
            .collect()
    }

    /// The `limit` commonest reasons of the letters that are meant, numbers in them aside, and how many letters have
    /// each.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn reasons(&self, filter: &Filter, limit: i64) -> anyhow::Result<Vec<(String, i64)>> {
        let sql = format!(
            "SELECT left(regexp_replace(reason, '[0-9]+', '#', 'g'), 60), count(*) FROM dead_letters
             WHERE {MATCHES} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $12"
        );
        let values = filter.values();
        let mut parameters = parameters(filter, &values);
        parameters.push(&limit);
        let rows = self.client.query(&sql, &parameters).await.context("count reasons")?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// How long ago the letters that are meant died, the youngest first, and how many letters did.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn ages(&self, filter: &Filter) -> anyhow::Result<Vec<(String, i64)>> {
        let sql = format!(
            "SELECT CASE WHEN died_at > now() - interval '1 hour' THEN 'under 1h'
                    WHEN died_at > now() - interval '1 day' THEN '1h to 1d'
                    WHEN died_at > now() - interval '7 days' THEN '1d to 7d'
                    ELSE 'over 7d' END, count(*)
             FROM dead_letters WHERE {MATCHES} GROUP BY 1 ORDER BY max(died_at) DESC"
        );
        let values = filter.values();
        let parameters = parameters(filter, &values);
        let rows = self.client.query(&sql, &parameters).await.context("count ages")?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// What was done to a letter, in order.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn acts(&self, number: i64) -> anyhow::Result<Vec<Act>> {
        let sql =
            "SELECT at, act, actor, detail FROM dead_letter_acts WHERE letter = $1 ORDER BY at";
        let rows =
            self.client.query(sql, &[&number]).await.context("read what was done to a letter")?;
        let act = |row: &Row| Act {
            at: time(row.get(0)),
            act: row.get(1),
            actor: row.get(2),
            detail: row.get(3),
        };
        Ok(rows.iter().map(act).collect())
    }

    /// The body of a letter, as it was buried.
    ///
    /// # Errors
    /// As [`Self::list`], and when its key cannot be had.
    pub async fn body(&mut self, number: i64) -> anyhow::Result<String> {
        let sql = "SELECT wrapped_key, body_enc FROM dead_letters WHERE number = $1";
        let row = self.client.query_one(sql, &[&number]).await.context("read a dead letter")?;
        self.unseal(row.get(0), row.get(1)).await
    }

    /// Notes an act on letters.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn note(
        &self,
        numbers: &[i64],
        act: &str,
        actor: &str,
        detail: &str,
    ) -> anyhow::Result<()> {
        let sql = "INSERT INTO dead_letter_acts (letter, act, actor, detail)
            SELECT number, $2, $3, $4 FROM unnest($1::bigint[]) AS number";
        self.client
            .execute(sql, &[&numbers, &act, &actor, &detail])
            .await
            .context("note what was done to dead letters")?;
        Ok(())
    }

    /// What a replay of the letters meant would do.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn plan(&self, filter: &Filter, including: Including) -> anyhow::Result<Plan> {
        let values = filter.values();
        let base = parameters(filter, &values);
        let with: Vec<&(dyn ToSql + Sync)> = base
            .iter()
            .copied()
            .chain([
                &including.quarantined as &(dyn ToSql + Sync),
                &QUARANTINED_AFTER,
                &including.expired,
            ])
            .collect();
        let chosen = format!("FROM dead_letters WHERE {MATCHES} AND {REPLAYABLE}");
        let queues = format!("SELECT queue, count(*), max(number) {chosen} GROUP BY 1 ORDER BY 1");
        let groups =
            format!("SELECT count(*) FROM (SELECT DISTINCT queue, message_group {chosen}) g");
        let moved_on = format!(
            "SELECT conversation FROM (
                SELECT tenant, conversation, max(occurred_at) AS since {chosen} GROUP BY 1, 2) c
             WHERE conversation_moved_on(tenant, conversation, since) ORDER BY 1"
        );
        let left_out = format!(
            "SELECT count(*) FILTER (WHERE event IS NOT NULL AND expires_at IS NOT NULL AND NOT $12),
                count(*) FILTER (WHERE event IS NOT NULL AND replays >= $14 AND NOT $13),
                count(*) FILTER (WHERE event IS NULL),
                count(*) FILTER (WHERE message_group IN (SELECT message_group FROM parked_groups))
             FROM dead_letters WHERE {MATCHES} AND state IN ('waiting', 'pending')"
        );
        let context = "plan a replay";
        let left: Vec<&(dyn ToSql + Sync)> = base
            .iter()
            .copied()
            .chain([
                &including.expired as &(dyn ToSql + Sync),
                &including.quarantined,
                &QUARANTINED_AFTER,
            ])
            .collect();
        let queues = self.client.query(&queues, &with).await.context(context)?;
        let groups = self.client.query_one(&groups, &with).await.context(context)?;
        let moved_on = self.client.query(&moved_on, &with).await.context(context)?;
        let left_out = self.client.query_one(&left_out, &left).await.context(context)?;
        Ok(Plan {
            queues: queues.iter().map(|row| (row.get(0), row.get(1))).collect(),
            newest: queues.iter().map(|row| row.get(2)).max(),
            groups: groups.get(0),
            moved_on: moved_on.iter().map(|row| row.get(0)).collect(),
            expired: left_out.get(0),
            quarantined: left_out.get(1),
            undecodable: left_out.get(2),
            parked: left_out.get(3),
        })
    }

    /// The next letters to be replayed, oldest first, up to `limit`, with their bodies, after the letter `after`. They
    /// are pending from now on.
    ///
    /// # Errors
    /// As [`Self::body`].
    pub async fn begin(
        &mut self,
        filter: &Filter,
        including: Including,
        after: i64,
        limit: i64,
        actor: &str,
    ) -> anyhow::Result<Vec<(Letter, String)>> {
        let values = filter.values();
        let mut with = parameters(filter, &values);
        with.extend([
            &including.quarantined as &(dyn ToSql + Sync),
            &QUARANTINED_AFTER,
            &including.expired,
            &after,
            &limit,
            &actor,
        ]);
        // One statement: what somebody else discards or parks meanwhile is not begun.
        let sql = format!(
            "WITH chosen AS (
                SELECT number AS begun FROM dead_letters
                WHERE {MATCHES} AND {REPLAYABLE} AND number > $15 ORDER BY number LIMIT $16 FOR UPDATE),
            changed AS (
                UPDATE dead_letters SET state = 'pending' FROM chosen WHERE number = begun
                RETURNING {COLUMNS}, wrapped_key, body_enc),
            noted AS (
                INSERT INTO dead_letter_acts (letter, act, actor)
                SELECT number, 'replay', $17 FROM changed)
            SELECT * FROM changed ORDER BY number"
        );
        let rows = self.client.query(&sql, &with).await.context("begin a replay")?;
        let mut letters = Vec::with_capacity(rows.len());
        for row in &rows {
            let body = self.unseal(row.get("wrapped_key"), row.get("body_enc")).await?;
            letters.push((letter(row)?, body));
        }
        Ok(letters)
    }

    /// Notes what became of letters that are still in one of the states `from`. Gives how many these are: what somebody
    /// else has moved on meanwhile stays as it is.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn set(
        &self,
        numbers: &[i64],
        (from, to): (&[State], State),
        (act, actor, detail): (&str, &str, &str),
    ) -> anyhow::Result<u64> {
        let from: Vec<&str> = from.iter().map(|state| state.name()).collect();
        // One statement, so that no act stands without its effect.
        let sql = "WITH chosen AS (
                SELECT number AS found FROM dead_letters
                WHERE number = ANY ($1) AND state = ANY ($2) ORDER BY number FOR UPDATE),
            changed AS (
                UPDATE dead_letters SET state = $3 FROM chosen WHERE number = found
                RETURNING number)
            INSERT INTO dead_letter_acts (letter, act, actor, detail)
            SELECT number, $4, $5, $6 FROM changed";
        self.client
            .execute(sql, &[&numbers, &from, &to.name(), &act, &actor, &detail])
            .await
            .context("note what became of dead letters")
    }

    /// Parks a group: no replay takes its letters until it is released. Gives how many letters it has; nothing when it is
    /// parked already.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn park(
        &self,
        group: &str,
        actor: &str,
        reason: &str,
    ) -> anyhow::Result<Option<u64>> {
        // One statement, so that no group is parked without a record of it.
        let sql = "WITH parked AS (
                INSERT INTO parked_groups (message_group, reason, actor) VALUES ($1, $2, $3)
                ON CONFLICT DO NOTHING RETURNING message_group),
            noted AS (
                INSERT INTO dead_letter_acts (letter, act, actor, detail)
                SELECT l.number, 'park', $3, $2 FROM dead_letters l JOIN parked USING (message_group)
                RETURNING letter)
            SELECT (SELECT count(*) FROM parked), (SELECT count(*) FROM noted)";
        self.change_group(sql, &[&group, &reason, &actor]).await.context("park a group")
    }

    /// Releases a parked group. Gives how many letters it has; nothing when it is not parked.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn release(&self, group: &str, actor: &str) -> anyhow::Result<Option<u64>> {
        let sql = "WITH released AS (
                DELETE FROM parked_groups WHERE message_group = $1 RETURNING message_group),
            noted AS (
                INSERT INTO dead_letter_acts (letter, act, actor)
                SELECT l.number, 'release', $2 FROM dead_letters l JOIN released USING (message_group)
                RETURNING letter)
            SELECT (SELECT count(*) FROM released), (SELECT count(*) FROM noted)";
        self.change_group(sql, &[&group, &actor]).await.context("release a group")
    }

    async fn change_group(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Option<u64>> {
        let row = self.client.query_one(sql, values).await?;
        let (changed, letters): (i64, i64) = (row.get(0), row.get(1));
        Ok((changed > 0).then_some(letters.unsigned_abs()))
    }

    /// The groups that are parked, the longest parked first.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn parked(&self) -> anyhow::Result<Vec<Parked>> {
        let sql = "SELECT p.message_group, p.reason, p.actor, p.parked_at,
                (SELECT count(*) FROM dead_letters l
                    WHERE l.message_group = p.message_group AND l.state = 'waiting')
            FROM parked_groups p ORDER BY p.parked_at";
        let rows = self.client.query(sql, &[]).await.context("list parked groups")?;
        let parked = |row: &Row| Parked {
            group: row.get(0),
            reason: row.get(1),
            actor: row.get(2),
            parked_at: time(row.get(3)),
            waiting: row.get(4),
        };
        Ok(rows.iter().map(parked).collect())
    }

    async fn unseal(&mut self, wrapped: Vec<u8>, sealed: &[u8]) -> anyhow::Result<String> {
        let cipher = match self.ciphers.get(&wrapped) {
            Some(cipher) => cipher.clone(),
            None => {
                let cipher = self.keys.cipher(NOBODY, &wrapped).await?;
                self.ciphers.entry(wrapped).or_insert(cipher).clone()
            }
        };
        Ok(cipher.open(BODY, sealed)?.into_revealed())
    }
}

fn letter(row: &Row) -> anyhow::Result<Letter> {
    let at =
        |column: &str| row.get::<_, Option<std::time::SystemTime>>(column).map(Timestamp::from);
    Ok(Letter {
        number: row.get("number"),
        queue: row.get("queue"),
        group: row.get("message_group"),
        error_type: row.get("error_type"),
        reason: row.get("reason"),
        starts: row.get("starts"),
        receives: row.get("receives"),
        sent_at: at("sent_at"),
        died_at: time(row.get("died_at")),
        tenant: row.get("tenant"),
        conversation: row.get("conversation"),
        event: row.get("event"),
        event_name: row.get("event_name"),
        turn: row.get("turn"),
        replays: row.get("replays"),
        occurred_at: at("occurred_at"),
        expires_at: at("expires_at"),
        trace_id: row.get("trace_id"),
        build: row.get("build"),
        state: state(row.get("state"))?,
    })
}

fn time(at: std::time::SystemTime) -> Timestamp {
    Timestamp::from(at)
}

fn state(name: &str) -> anyhow::Result<State> {
    State::named(name).with_context(|| format!("a state this release does not know: {name}"))
}
