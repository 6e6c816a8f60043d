//! What is shown of the history (F1, D1): pages of conversations, what was said in them, calls.
//!
//! Pages go by a key, never by an offset, so that the thousandth costs what the first does. Each set
//! of filters is a statement of its own: `$1 IS NULL OR …` would keep the planner from the index.
//! Under row-level security an index serves leakproof operators alone, which those on text search
//! are not: words are looked up by a function of the database (`0071_search.sql`).

use std::time::SystemTime;

use domain::{CipherError, ConversationId, FieldCipher, Personal, TenantId, Timestamp};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::{StoreError, TenantTx, messages::Speaker, moment, users};

/// Which conversations are meant. What is not given does not matter.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ConversationFilter {
    /// Of this person.
    pub user: Option<Uuid>,
    /// On this channel.
    pub channel: Option<String>,
    /// In which this agent answered.
    pub agent: Option<String>,
    /// Last active then or later.
    pub from: Option<Timestamp>,
    /// Last active earlier.
    pub until: Option<Timestamp>,
    /// In a message of which all these words were said, or words that begin so, in capitals or not.
    pub text: Option<String>,
}

/// A conversation, and whom it is with.
#[derive(Clone, PartialEq, Debug)]
pub struct Conversation {
    /// Its id.
    pub id: Uuid,
    /// Its channel.
    pub channel: String,
    /// Which of our addresses.
    pub our_address: Option<String>,
    /// The person, where known.
    pub user: Option<Uuid>,
    /// What the person is called.
    pub name: Option<Personal>,
    /// What the person is known by: `phone` or `bsuid`, and the value; in a chat what it is held with, where that is known.
    pub known_by: Option<(String, Personal)>,
    /// Where an answer in the chat goes; `None` where the person is known by several things and none of them made its id.
    pub reached_by: Option<Personal>,
    /// Who answered last.
    pub agent: Option<String>,
    /// The call, on calls.
    pub call: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When something last happened.
    pub last_active_at: Timestamp,
    /// When it ended; chats do not.
    pub ended_at: Option<Timestamp>,
}

/// So many of the newest conversations are walked first for what was said: of a common word they give a page, in 20 ms of
/// 5,000,000 messages, where the index would give the places of millions.
const NEWEST_WALKED: i64 = 1_000;
/// A word in more messages than this is walked to however far it is, for there are many. Of 5,000,000 messages the index gives
/// so many in 0.15 s.
const RARE_WORD_MESSAGES: i32 = 10_000;

/// Up to `limit` conversations, the last active first, after the one that `after` names by its time and id.
pub async fn conversations(
    tx: &TenantTx,
    filter: &ConversationFilter,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<Conversation>, StoreError> {
    let mut wanted = conditions(filter, after);
    let Some(text) = &filter.text else {
        return select(tx, &format!("conversations c {}", wanted.sql()), wanted, limit).await;
    };
    let (newest, says) = (wanted.value(NEWEST_WALKED), says(&mut wanted, text));
    let walked = format!(
        "(SELECT * FROM conversations c {} ORDER BY c.last_active_at DESC, c.id LIMIT {newest}) c
         WHERE {says}",
        wanted.sql()
    );
    let found = select(tx, &walked, wanted, limit).await?;
    if i64::try_from(found.len()) == Ok(limit) {
        return Ok(found);
    }
    let sql = "SELECT conversations_that_say($1, $2)";
    let rows = tx.query(sql, &[text, &RARE_WORD_MESSAGES]).await?;
    let mut wanted = conditions(filter, after);
    match rows.iter().map(|row| row.get(0)).collect::<Option<Vec<Uuid>>>() {
        Some(said_in) if said_in.is_empty() => return Ok(Vec::new()),
        Some(said_in) => wanted.add("c.id = ANY($)", said_in),
        None => {
            let says = self::says(&mut wanted, text);
            wanted.all.push(says);
        }
    }
    select(tx, &format!("conversations c {}", wanted.sql()), wanted, limit).await
}

/// All that is wanted but what was said.
fn conditions(filter: &ConversationFilter, after: Option<(Timestamp, Uuid)>) -> Conditions {
    let mut wanted = Conditions::default();
    if let Some(user) = filter.user {
        wanted.add("c.user_id = $", user);
    }
    if let Some(channel) = &filter.channel {
        wanted.add("c.channel = $", channel.clone());
    }
    if let Some(from) = filter.from {
        wanted.add("c.last_active_at >= $", moment(from));
    }
    if let Some(until) = filter.until {
        wanted.add("c.last_active_at < $", moment(until));
    }
    if let Some(agent) = &filter.agent {
        wanted.add(
            "EXISTS (SELECT FROM messages m WHERE m.conversation = c.id AND m.agent = $)",
            agent.clone(),
        );
    }
    if let Some((at, id)) = after {
        wanted.after("c.last_active_at", at, "c.id", id);
    }
    wanted
}

/// That the words of `text` were said in a conversation, looked for message by message. The offset keeps the planner from reading
/// the words of all messages at once, a query of its own from working out what is wanted for each of them.
fn says(wanted: &mut Conditions, text: &str) -> String {
    let text = wanted.value(text.to_owned());
    format!(
        "EXISTS (SELECT FROM messages m WHERE m.conversation = c.id
            AND m.text ILIKE ALL ((SELECT words_like({text}))::text[])
            AND words_said(m.tenant, m.text) @@ (SELECT words_wanted(app_tenant(), {text})) OFFSET 0)"
    )
}

/// One conversation.
pub async fn conversation(tx: &TenantTx, id: Uuid) -> Result<Option<Conversation>, StoreError> {
    let mut wanted = Conditions::default();
    wanted.add("c.id = $", id);
    Ok(select(tx, &format!("conversations c {}", wanted.sql()), wanted, 1).await?.pop())
}

/// A page of what is `from`, whose values are in `wanted`.
async fn select(
    tx: &TenantTx,
    from: &str,
    mut wanted: Conditions,
    limit: i64,
) -> Result<Vec<Conversation>, StoreError> {
    let limit = wanted.value(limit);
    let sql = format!(
        "WITH page AS (
            SELECT c.id, c.channel, c.our_address, c.user_id, c.started_at, c.last_active_at, c.ended_at
            FROM {from} ORDER BY c.last_active_at DESC, c.id LIMIT {limit})
         SELECT page.*, u.name_enc, i.kinds, i.sealed, a.agent, l.call
         FROM page
         LEFT JOIN users u ON u.id = page.user_id
         LEFT JOIN LATERAL (SELECT array_agg(kind ORDER BY kind DESC, value_hash) AS kinds,
                array_agg(value_enc ORDER BY kind DESC, value_hash) AS sealed
            FROM user_identities WHERE user_id = page.user_id) i ON true
         LEFT JOIN LATERAL (SELECT agent FROM messages
            WHERE conversation = page.id AND agent IS NOT NULL
            ORDER BY position DESC LIMIT 1) a ON true
         LEFT JOIN LATERAL (SELECT call FROM call_logs
            WHERE conversation = page.id LIMIT 1) l ON true
         ORDER BY page.last_active_at DESC, page.id"
    );
    let rows = tx.query(&sql, &wanted.values()).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let cipher = tx.cipher().await?;
    let read = |row: &Row| {
        let name: Option<&[u8]> = row.get(7);
        let kinds: Vec<String> = row.get::<_, Option<_>>(8).unwrap_or_default();
        let sealed: Vec<&[u8]> = row.get::<_, Option<_>>(9).unwrap_or_default();
        let mut identities = Vec::with_capacity(kinds.len());
        for (kind, value) in kinds.into_iter().zip(sealed) {
            identities.push((kind, users::open_value(cipher.as_ref(), value)?));
        }
        let (id, channel, our_address): (_, String, Option<String>) =
            (row.get(0), row.get(1), row.get(2));
        let ours = our_address.as_deref().unwrap_or_default();
        let held_with = held_with(tx.tenant(), id, (&channel, ours), &identities);
        Ok(Conversation {
            id,
            reached_by: held_with.and_then(|n| Some(identities.get(n)?.1.clone())),
            known_by: identities.into_iter().nth(held_with.unwrap_or_default()),
            channel,
            our_address,
            user: row.get(3),
            started_at: at(row, 4),
            last_active_at: at(row, 5),
            ended_at: maybe_at(row, 6),
            name: name.map(|sealed| users::open_name(cipher.as_ref(), sealed)).transpose()?,
            agent: row.get(10),
            call: row.get(11),
        })
    };
    rows.iter().map(read).collect()
}

/// Which of what a person is known by a chat is held with: the one that its id was made of (DESIGN 4), or the only one there is,
/// for nothing else led the chat to this person. WhatsApp names a number without its `+`.
fn held_with(
    tenant: TenantId,
    id: Uuid,
    (channel, ours): (&str, &str),
    identities: &[(String, Personal)],
) -> Option<usize> {
    let is_of =
        |contact: &str| *ConversationId::of_chat(tenant, channel, ours, contact).as_uuid() == id;
    let made = identities.iter().position(|(_, value)| {
        is_of(value.reveal()) || value.reveal().strip_prefix('+').is_some_and(is_of)
    });
    made.or_else(|| (identities.len() == 1).then_some(0))
}

/// Something that was said, whole.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Its id.
    pub id: Uuid,
    /// What sorts it in its conversation.
    pub position: i64,
    /// Who.
    pub speaker: Speaker,
    /// In which turn; `None` for a chat message not yet answered.
    pub turn: Option<i32>,
    /// What kind of message: `text`, `speech`, `image`, ...
    pub kind: String,
    /// What belongs to the kind: the choice made, the message reacted to.
    pub kind_value: Option<String>,
    /// What was said, written, or heard of a reply.
    pub text: Personal,
    /// What the agent meant to say, on calls.
    pub intended: Option<Personal>,
    /// How many characters of a spoken reply were heard, and whether that was all.
    pub heard: Option<(i32, bool)>,
    /// The vendor's id.
    pub external_id: Option<String>,
    /// The vendor's id of the message it answers.
    pub in_reply_to: Option<String>,
    /// How a reply came about (C9).
    pub account: Option<Account>,
    /// What became of it, as far as the vendor said.
    pub delivery: Option<Delivery>,
    /// Its file, once that is kept: the media type, and the size in bytes.
    pub file: Option<(String, i64)>,
    /// Why its file could not be had, or nobody understood it; nothing about the person.
    pub file_fault: Option<String>,
    /// When the person last changed it: its text is the current one.
    pub edited_at: Option<Timestamp>,
    /// The advertisement or post the person came from with it.
    pub referral: Option<Personal>,
    /// When the person took it back: neither its text nor its file is shown.
    pub revoked_at: Option<Timestamp>,
    /// When.
    pub at: Timestamp,
}

/// How a reply came about.
#[derive(Clone, PartialEq, Debug)]
pub struct Account {
    /// The agent.
    pub agent: String,
    /// 0 to 1.
    pub confidence: Option<f32>,
    /// Why it was chosen.
    pub reason: Option<String>,
    /// The language model.
    pub model: Option<String>,
    /// ms.
    pub processing_ms: Option<i64>,
    /// Tokens read.
    pub tokens_in: Option<i64>,
    /// Tokens written.
    pub tokens_out: Option<i64>,
    /// Millionths of a US dollar.
    pub cost_micros: Option<i64>,
}

/// What became of a message.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery {
    /// `held`, `accepted`, `sent`, `delivered`, `read`, `failed`, `doubtful`.
    pub status: String,
    /// The vendor's error code, when it failed.
    pub error_code: Option<i64>,
    /// The vendor's words for it.
    pub error_text: Option<String>,
    /// When this was learnt.
    pub updated_at: Timestamp,
}

/// Up to `limit` messages of a conversation after the one that `after` names by position and id; the
/// oldest first, or the newest where `newest_first`.
pub async fn messages(
    tx: &TenantTx,
    conversation: ConversationId,
    after: Option<(i64, Uuid)>,
    newest_first: bool,
    limit: i64,
) -> Result<Vec<Message>, StoreError> {
    let mut wanted = Conditions::default();
    wanted.add("m.conversation = $", *conversation.as_uuid());
    let (beyond, order) = if newest_first { ("<", "DESC") } else { (">", "ASC") };
    if let Some((position, id)) = after {
        let (position, id) = (wanted.value(position), wanted.value(id));
        wanted.all.push(format!("(m.position, m.id) {beyond} ({position}, {id})"));
    }
    let limit = wanted.value(limit);
    let sql = format!(
        "SELECT m.id, m.position, m.role, m.turn, m.kind, m.kind_value, m.text, m.text_enc,
            m.intended, m.intended_enc, m.heard_chars, m.heard_whole, m.external_id, m.in_reply_to,
            m.agent, m.confidence, m.reason, m.model, m.processing_ms, m.tokens_in, m.tokens_out,
            m.cost_micros, m.occurred_at, d.status, d.error_code, d.error_text, d.updated_at,
            m.media_type, m.media_bytes, m.media_fault, m.edited_at, m.revoked_at,
            m.referral_enc
         FROM messages m
         LEFT JOIN LATERAL (SELECT status, error_code, error_text, updated_at FROM deliveries
            WHERE message = m.id ORDER BY progress DESC LIMIT 1) d ON true
         {} ORDER BY m.position {order}, m.id {order} LIMIT {limit}",
        wanted.sql()
    );
    let rows = tx.query(&sql, &wanted.values()).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let cipher = tx.cipher().await?;
    rows.iter().map(|row| Ok(read_message(row, cipher.as_ref())?)).collect()
}

fn read_message(row: &Row, cipher: &dyn FieldCipher) -> Result<Message, CipherError> {
    let agent: Option<String> = row.get(14);
    let status: Option<String> = row.get(23);
    let revoked_at = maybe_at(row, 31);
    Ok(Message {
        id: row.get(0),
        position: row.get(1),
        speaker: Speaker::of_role(row.get(2)),
        turn: row.get(3),
        kind: row.get(4),
        kind_value: row.get(5),
        text: crate::messages::open_text(cipher, row.get(6), row.get(7))?.unwrap_or_default(),
        intended: crate::messages::open_intended(cipher, row.get(8), row.get(9))?,
        heard: row.get::<_, Option<i32>>(10).zip(row.get::<_, Option<bool>>(11)),
        external_id: row.get(12),
        in_reply_to: row.get(13),
        account: agent.map(|agent| Account {
            agent,
            confidence: row.get(15),
            reason: row.get(16),
            model: row.get(17),
            processing_ms: row.get(18),
            tokens_in: row.get(19),
            tokens_out: row.get(20),
            cost_micros: row.get(21),
        }),
        at: at(row, 22),
        delivery: status.map(|status| Delivery {
            status,
            error_code: row.get(24),
            error_text: row.get(25),
            updated_at: maybe_at(row, 26).unwrap_or_default(),
        }),
        file: row.get::<_, Option<String>>(27).zip(row.get(28)).filter(|_| revoked_at.is_none()),
        file_fault: row.get(29),
        edited_at: maybe_at(row, 30),
        revoked_at,
        referral: crate::messages::open_referral(cipher, row.get(32))?,
    })
}

/// A call.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    /// The vendor's name of it.
    pub call: String,
    /// Its conversation.
    pub conversation: Uuid,
    /// `voice` or `browser`.
    pub channel: String,
    /// The person, where known.
    pub user: Option<Uuid>,
    /// Which of our addresses.
    pub our_address: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended; `None` while it goes on.
    pub ended_at: Option<Timestamp>,
    /// `caller`, `agent`, `time_limit`, `lost`, `transferred`.
    pub end_reason: Option<String>,
    /// The recording; `None` until it is finished.
    pub recording: Option<Recording>,
}

/// A recording of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// How long it is, ms.
    pub duration_ms: i64,
    /// How large the file is, bytes.
    pub bytes: i64,
    /// Where it was paused: from and to, ms from its start, in order.
    pub paused: Vec<(u64, u64)>,
}

impl Recording {
    fn of(row: &Row) -> Option<Self> {
        let (duration_ms, bytes) =
            row.get::<_, Option<i64>>(8).zip(row.get::<_, Option<i64>>(9))?;
        let spans: Option<serde_json::Value> = row.get(10);
        let spans = spans.as_ref().and_then(serde_json::Value::as_array).into_iter().flatten();
        let paused =
            spans.filter_map(|span| Some((span["from_ms"].as_u64()?, span["to_ms"].as_u64()?)));
        Some(Self { duration_ms, bytes, paused: paused.collect() })
    }
}

/// Which calls are meant. What is not given does not matter.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CallFilter {
    /// Of this person.
    pub user: Option<Uuid>,
    /// `voice` or `browser`.
    pub channel: Option<String>,
    /// To or from this address of ours.
    pub our_address: Option<String>,
    /// Whether they still go on.
    pub is_live: Option<bool>,
    /// That began then or later.
    pub from: Option<Timestamp>,
    /// That began earlier.
    pub until: Option<Timestamp>,
}

/// Up to `limit` calls, the newest first, after the one that `after` names by its start
/// and its conversation.
pub async fn calls(
    tx: &TenantTx,
    filter: &CallFilter,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<Call>, StoreError> {
    let mut wanted = Conditions::default();
    wanted.all.push("l.started_at IS NOT NULL".to_owned());
    if let Some(user) = filter.user {
        wanted.add("c.user_id = $", user);
    }
    if let Some(channel) = &filter.channel {
        wanted.add("c.channel = $", channel.clone());
    }
    if let Some(address) = &filter.our_address {
        wanted.add("c.our_address = $", address.clone());
    }
    if let Some(is_live) = filter.is_live {
        wanted.add("(l.ended_at IS NULL) = $", is_live);
    }
    if let Some(from) = filter.from {
        wanted.add("l.started_at >= $", moment(from));
    }
    if let Some(until) = filter.until {
        wanted.add("l.started_at < $", moment(until));
    }
    if let Some((at, conversation)) = after {
        wanted.after("l.started_at", at, "l.conversation", conversation);
    }
    select_calls(tx, wanted, limit).await
}

/// One call.
pub async fn call(tx: &TenantTx, call: &str) -> Result<Option<Call>, StoreError> {
    let mut wanted = Conditions::default();
    wanted.add("l.call = $", call.to_owned());
    Ok(select_calls(tx, wanted, 1).await?.pop())
}

async fn select_calls(
    tx: &TenantTx,
    mut wanted: Conditions,
    limit: i64,
) -> Result<Vec<Call>, StoreError> {
    let limit = wanted.value(limit);
    let sql = format!(
        "SELECT l.call, l.conversation, c.channel, c.user_id, c.our_address, l.started_at,
            l.ended_at, l.end_reason, l.recording_ms, l.recording_bytes, l.recording_paused
         FROM call_logs l JOIN conversations c ON c.id = l.conversation
         {} ORDER BY l.started_at DESC, l.conversation LIMIT {limit}",
        wanted.sql()
    );
    let rows = tx.query(&sql, &wanted.values()).await?;
    Ok(rows
        .iter()
        .map(|row| Call {
            call: row.get(0),
            conversation: row.get(1),
            channel: row.get(2),
            user: row.get(3),
            our_address: row.get(4),
            started_at: maybe_at(row, 5),
            ended_at: maybe_at(row, 6),
            end_reason: row.get(7),
            recording: Recording::of(row),
        })
        .collect())
}

/// The conditions of a statement and the values they name.
#[derive(Default)]
pub(crate) struct Conditions {
    pub(crate) all: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Conditions {
    /// Adds `condition`, in which `$` stands for `value`.
    pub(crate) fn add(&mut self, condition: &str, value: impl ToSql + Sync + Send + 'static) {
        let place = self.value(value);
        self.all.push(condition.replace('$', &place));
    }

    /// Adds a value, and says how the statement names it.
    pub(crate) fn value(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    /// What comes after a row in the order `time DESC, id`, in a form that an index on both serves.
    pub(crate) fn after(
        &mut self,
        time: &str,
        at: Timestamp,
        id_column: &str,
        id: impl ToSql + Sync + Send + 'static,
    ) {
        let (at, id) = (self.value(moment(at)), self.value(id));
        self.all.push(format!("{time} <= {at} AND ({time} < {at} OR {id_column} > {id})"));
    }

    pub(crate) fn sql(&self) -> String {
        if self.all.is_empty() {
            return String::new();
        }
        format!("WHERE {}", self.all.join(" AND "))
    }

    pub(crate) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync)).collect()
    }
}

pub(crate) fn at(row: &Row, column: usize) -> Timestamp {
    row.get::<_, SystemTime>(column).into()
}

pub(crate) fn maybe_at(row: &Row, column: usize) -> Option<Timestamp> {
    row.get::<_, Option<SystemTime>>(column).map(Timestamp::from)
}
