//! What was said, and what was heard of it.
//!
//! On a call the agent's message of a turn has one row, whatever arrives first: the reply itself, or
//! the word of how much of it was heard. Until that word comes the row shows the whole reply; from
//! then on it shows what was heard, and keeps apart what was meant (B2). Of two such words the one
//! that heard more counts, so the order they come in changes nothing.
//!
//! What is said on a chat stands in the order in which it arrived (DESIGN 4), which is that of its group: tasks' clocks
//! may differ by seconds, so a message comes after what is there already, whatever its time.

use domain::{
    CallStarted, Channel, CipherError, ConversationId, Envelope, FieldCipher, Heard, KeptFile,
    MediaKind, MediaSettled, MessageKind, MessageReceived, MessageSent, Personal, SentForm,
    Timestamp, Turn,
};
use std::time::SystemTime;
use uuid::Uuid;

use crate::{StoreError, TenantTx, effects::turn_number, moment, plain};

const TEXT: &str = "messages.text";
const INTENDED: &str = "messages.intended";
const REFERRAL: &str = "messages.referral";

/// Takes in what a person said or wrote. The conversation's row must exist.
pub async fn received(tx: &TenantTx, of: &Envelope, e: &MessageReceived) -> Result<(), StoreError> {
    let spoken = of.channel.is_spoken();
    let (kind, value) = kind_of(&e.kind);
    let text = match &e.kind {
        MessageKind::Location(place) => kept_of(of, &place.told(&e.text)),
        _ => kept_of(of, &e.text),
    };
    let cipher = tx.cipher().await?;
    let sealed = cipher.seal(TEXT, &text)?;
    let referral = e.referral.as_ref().map(|text| cipher.seal(REFERRAL, text.reveal()));
    let turn = spoken.then(|| turn_number(of.turn));
    tx.execute(
        "INSERT INTO messages (tenant, id, conversation, channel, role, turn, position, kind,
            kind_value, text, text_enc, external_id, occurred_at, in_reply_to, referral_enc)
         SELECT t.id, $1::uuid, $2::uuid, $3::text, 'user',
            -- A chat's answer may be here already; it knows the turn.
            coalesce($4::int4, (SELECT a.turn FROM messages a
                WHERE a.in_reply_to = $10 AND a.conversation = $2 AND a.role <> 'user' LIMIT 1)),
            -- And it comes after what it answers.
            coalesce((SELECT min(a.position) - 1 FROM messages a
                WHERE a.in_reply_to = $10 AND a.conversation = $2 AND a.role <> 'user'),
                greatest($5::int8, (SELECT max(b.position) + 1 FROM messages b
                    WHERE b.conversation = $2 AND $12::bool))),
            $6::text, $7::text,
            CASE WHEN NOT t.encrypt_text THEN $8::text END,
            CASE WHEN t.encrypt_text THEN $9::bytea END,
            $10::text, $11::timestamptz, $13::text, $14::bytea
         FROM tenants t
         ON CONFLICT (tenant, id) DO NOTHING",
        &[
            of.event_id.as_uuid(),
            of.conversation.as_uuid(),
            &of.channel.as_str(),
            &turn,
            &position(of, Speaker::User),
            &kind,
            &value,
            &text,
            &sealed,
            &present(&e.external_id),
            &moment(of.occurred_at),
            &comes_last(of),
            &e.quotes.as_deref().and_then(present),
            &referral.transpose()?,
        ],
    )
    .await?;
    match &e.kind {
        MessageKind::Edited { original } | MessageKind::Revoked { original } => {
            take_changes(tx, of, &plain(original)).await?;
        }
        // What came while it could not be taken in has to be made good.
        _ if of.replays > 0 && !e.external_id.is_empty() => {
            take_changes(tx, of, &plain(&e.external_id)).await?;
        }
        _ => {}
    }
    match &e.heard {
        Some(heard) => self::heard(tx, of, heard).await,
        None => Ok(()),
    }
}

/// Has the message that the vendor names `original` say what the person made of it, as far as that is here: its last change, or
/// nothing where they took it back.
async fn take_changes(tx: &TenantTx, of: &Envelope, original: &str) -> Result<(), StoreError> {
    let conversation = of.conversation.as_uuid();
    tx.execute(
        "UPDATE messages m SET text = e.text, text_enc = e.text_enc, edited_at = e.occurred_at
         FROM (SELECT text, text_enc, occurred_at FROM messages
            WHERE conversation = $1 AND kind = 'edit' AND kind_value = $2
            ORDER BY position DESC, id DESC LIMIT 1) e
         WHERE m.conversation = $1 AND m.external_id = $2 AND m.role = 'user'",
        &[conversation, &original],
    )
    .await?;
    tx.execute(
        "UPDATE messages m SET text = NULL, text_enc = NULL, revoked_at = r.occurred_at
         FROM (SELECT min(occurred_at) AS occurred_at FROM messages
            WHERE conversation = $1 AND kind = 'revoke' AND kind_value = $2) r
         WHERE m.conversation = $1 AND m.role = 'user' AND r.occurred_at IS NOT NULL
            AND (m.external_id = $2 OR m.kind = 'edit' AND m.kind_value = $2)",
        &[conversation, &original],
    )
    .await?;
    Ok(())
}

/// What a message of a person is called in the history, and what belongs to the kind: the choice made, the message reacted to.
pub fn kind_of(kind: &MessageKind) -> (&'static str, Option<String>) {
    match kind {
        MessageKind::Speech => ("speech", None),
        MessageKind::Text => ("text", None),
        MessageKind::Choice(id) => ("choice", Some(plain(id))),
        MessageKind::Media(media) => (media.kind.as_str(), Some(plain(&media.id))),
        MessageKind::Location(_) => ("location", None),
        MessageKind::Reaction { to } => ("reaction", Some(plain(to))),
        MessageKind::Edited { original } => ("edit", Some(plain(original))),
        MessageKind::Revoked { original } => ("revoke", Some(plain(original))),
        // The number itself is among what the person is known by.
        MessageKind::NumberChanged { .. } => ("number_changed", None),
        MessageKind::Keyword(word) => ("keyword", Some(word.as_str().to_owned())),
        MessageKind::Unsupported(name) => ("unsupported", Some(plain(name))),
    }
}

/// Takes in what became of the file of a message, whose row must exist: where it is kept, and what a voice note says.
pub async fn media_settled(
    tx: &TenantTx,
    of: &Envelope,
    e: &MediaSettled,
) -> Result<(), StoreError> {
    let words = e.words.as_ref().map(|words| kept_of(of, words));
    let sealed = match &words {
        Some(words) => Some(tx.cipher().await?.seal(TEXT, words)?),
        None => None,
    };
    let file = e.file.as_ref();
    tx.execute(
        "UPDATE messages m SET
            media_bucket = $2, media_key = $3, media_type = $4, media_bytes = $5, media_fault = $6,
            text = CASE WHEN $7::text IS NULL OR t.encrypt_text OR m.revoked_at IS NOT NULL
                THEN m.text ELSE $7 END,
            text_enc = CASE WHEN $7 IS NULL OR NOT t.encrypt_text OR m.revoked_at IS NOT NULL
                THEN m.text_enc ELSE $8::bytea END
         FROM tenants t WHERE m.id = $1 AND t.id = m.tenant",
        &[
            e.message.as_uuid(),
            &file.map(|f| f.bucket.as_str()),
            &file.map(|f| f.key.as_str()),
            &file.map(|f| plain(&f.mime_type)),
            &file.map(|f| i64::try_from(f.bytes).unwrap_or(i64::MAX)),
            &e.fault.as_deref().map(plain),
            &words,
            &sealed,
        ],
    )
    .await?;
    Ok(())
}

/// Where the file of a message is kept; `None` also where the person took it back.
pub async fn file(tx: &TenantTx, message: Uuid) -> Result<Option<KeptFile>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT media_bucket, media_key, media_type, media_bytes FROM messages
             WHERE id = $1 AND media_key IS NOT NULL AND revoked_at IS NULL",
            &[&message],
        )
        .await?;
    Ok(row.map(|row| KeptFile {
        bucket: row.get(0),
        key: row.get(1),
        mime_type: row.get(2),
        bytes: u64::try_from(row.get::<_, i64>(3)).unwrap_or_default(),
    }))
}

/// A text as it may be kept: of what was said off the record without its numbers.
fn kept_of(of: &Envelope, text: &Personal) -> String {
    match of.off_record {
        true => plain(text.without_numbers().reveal()),
        false => plain(text.reveal()),
    }
}

/// Takes in an agent's reply. The conversation's row must exist.
pub async fn sent(tx: &TenantTx, of: &Envelope, e: &MessageSent) -> Result<(), StoreError> {
    let account = &e.account;
    let (kind, kind_value) = kind_of_form(&of.channel, &e.form);
    let reply = Reply {
        kind,
        kind_value,
        text: &e.text,
        role: if account.is_of_operator() { "operator" } else { "agent" },
        attempt: Some(i64::from(e.attempt)),
        in_reply_to: present(&e.in_reply_to),
        agent: present(&account.agent),
        confidence: Some(account.confidence),
        reason: Some(plain(&account.reason)),
        model: Some(plain(&account.model)),
        processing_ms: Some(i64::from(account.processing_ms)),
        tokens_in: Some(i64::from(account.tokens_in)),
        tokens_out: Some(i64::from(account.tokens_out)),
        cost_micros: Some(i64::try_from(account.cost_micros).unwrap_or(i64::MAX)),
    };
    put_reply(tx, of, &reply).await?;
    if let SentForm::File(sent) = &e.form {
        let file = &sent.file;
        tx.execute(
            "UPDATE messages SET media_bucket = $2, media_key = $3, media_type = $4, media_bytes = $5
             WHERE id = $1",
            &[
                of.event_id.as_uuid(),
                &file.bucket,
                &file.key,
                &plain(&file.mime_type),
                &i64::try_from(file.bytes).unwrap_or(i64::MAX),
            ],
        )
        .await?;
    }
    if !of.channel.is_spoken() && !account.is_of_operator() {
        tx.execute(
            "UPDATE messages SET turn = $3
             WHERE conversation = $1 AND external_id = $2 AND role = 'user' AND turn IS NULL",
            &[of.conversation.as_uuid(), &reply.in_reply_to, &turn_number(of.turn)],
        )
        .await?;
    }
    Ok(())
}

/// What a message of ours is called in the history, and what belongs to the kind: the link, the message reacted to.
pub fn kind_of_form(channel: &Channel, form: &SentForm) -> (&'static str, Option<String>) {
    match form {
        _ if channel.is_spoken() => ("speech", None),
        SentForm::Text | SentForm::Mail(_) => ("text", None),
        SentForm::File(sent) => (kind_of_file(&sent.file.mime_type), None),
        SentForm::Link(link) => ("link", Some(plain(&link.url))),
        SentForm::Reaction { to } => ("reaction", Some(plain(to))),
        SentForm::Template(template) => ("template", Some(plain(&template.name))),
    }
}

/// Takes in the greeting of a call: the agent's message of turn 0.
pub async fn greeted(tx: &TenantTx, of: &Envelope, e: &CallStarted) -> Result<(), StoreError> {
    let of = Envelope { turn: Turn::GREETING, ..of.clone() };
    put_reply(tx, &of, &Reply::of_text(&e.greeting.as_str().into())).await
}

/// What a file of ours is called among the kinds of messages.
fn kind_of_file(mime_type: &str) -> &'static str {
    let kind = match mime_type.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("video") => MediaKind::Video,
        Some("audio") => MediaKind::Audio,
        _ => MediaKind::Document,
    };
    kind.as_str()
}

/// Who wrote the message of one of `chats` that its vendor knows as `external_id`, and what it says; `None` where it is not here.
///
/// # Errors
/// When the database is away, or the text cannot be opened.
pub async fn quoted(
    tx: &TenantTx,
    chats: &[ConversationId],
    external_id: &str,
) -> Result<Option<(Speaker, Personal)>, StoreError> {
    let chats: Vec<Uuid> = chats.iter().map(|chat| *chat.as_uuid()).collect();
    let row = tx
        .query_opt(
            "SELECT m.role, m.text, m.text_enc FROM messages m
             WHERE m.conversation = ANY($1) AND (m.external_id = $2
                OR m.id = (SELECT d.message FROM deliveries d WHERE d.key = $2))
             LIMIT 1",
            &[&chats, &plain(external_id)],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let cipher = tx.cipher().await?;
    let text = open_text(cipher.as_ref(), row.get(1), row.get(2))?;
    Ok(text.map(|text| (Speaker::of_role(row.get(0)), text)))
}

/// The vendor's id of what the person wrote in a conversation as `message`.
pub async fn external_id(
    tx: &TenantTx,
    conversation: ConversationId,
    message: Uuid,
) -> Result<Option<String>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT external_id FROM messages
             WHERE id = $1 AND conversation = $2 AND role = 'user' AND external_id IS NOT NULL",
            &[&message, conversation.as_uuid()],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

struct Reply<'a> {
    kind: &'static str,
    kind_value: Option<String>,
    text: &'a Personal,
    /// Who wrote it, as the row names them.
    role: &'static str,
    attempt: Option<i64>,
    in_reply_to: Option<String>,
    agent: Option<String>,
    confidence: Option<f32>,
    reason: Option<String>,
    model: Option<String>,
    processing_ms: Option<i64>,
    tokens_in: Option<i64>,
    tokens_out: Option<i64>,
    cost_micros: Option<i64>,
}

impl<'a> Reply<'a> {
    const fn of_text(text: &'a Personal) -> Self {
        Self {
            kind: "speech",
            kind_value: None,
            text,
            role: "agent",
            attempt: None,
            in_reply_to: None,
            agent: None,
            confidence: None,
            reason: None,
            model: None,
            processing_ms: None,
            tokens_in: None,
            tokens_out: None,
            cost_micros: None,
        }
    }
}

async fn put_reply(tx: &TenantTx, of: &Envelope, reply: &Reply<'_>) -> Result<(), StoreError> {
    let cipher = tx.cipher().await?;
    let spoken = of.channel.is_spoken();
    let id = if spoken { reply_id(of.conversation, of.turn) } else { *of.event_id.as_uuid() };
    let text = kept_of(of, reply.text);
    tx.execute(
        "INSERT INTO messages AS m (tenant, id, conversation, channel, role, turn, position, kind,
            text, text_enc, intended, intended_enc, attempt, in_reply_to, agent, confidence, reason,
            model, processing_ms, tokens_in, tokens_out, cost_micros, occurred_at, kind_value)
         SELECT t.id, $1::uuid, $2::uuid, $3::text, $22::text, $4::int4,
            greatest($5::int8, (SELECT max(b.position) + 1 FROM messages b
                WHERE b.conversation = $2 AND ($24::bool OR b.external_id = $12))),
            $6::text,
            CASE WHEN NOT t.encrypt_text THEN $7::text END,
            CASE WHEN t.encrypt_text THEN $8::bytea END,
            CASE WHEN $10::bool AND NOT t.encrypt_text THEN $7 END,
            CASE WHEN $10 AND t.encrypt_text THEN $9::bytea END,
            $11::int8, $12::text, $13::text, $14::float4, $15::text, $16::text, $17::int8,
            $18::int8, $19::int8, $20::int8, $21::timestamptz, $23::text
         FROM tenants t
         -- What was heard of it came first: the row has that text already, and nothing else.
         ON CONFLICT (tenant, id) DO UPDATE SET
            intended = excluded.intended, intended_enc = excluded.intended_enc,
            attempt = excluded.attempt, in_reply_to = excluded.in_reply_to,
            agent = excluded.agent, confidence = excluded.confidence, reason = excluded.reason,
            model = excluded.model, processing_ms = excluded.processing_ms,
            tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out,
            cost_micros = excluded.cost_micros, occurred_at = excluded.occurred_at
         WHERE m.intended IS NULL AND m.intended_enc IS NULL",
        &[
            &id,
            of.conversation.as_uuid(),
            &of.channel.as_str(),
            // What an operator writes is no turn of the agents'.
            &(reply.role == "agent").then(|| turn_number(of.turn)),
            &position(of, Speaker::Agent),
            &reply.kind,
            &text,
            &cipher.seal(TEXT, &text)?,
            &cipher.seal(INTENDED, &text)?,
            &spoken,
            &reply.attempt,
            &reply.in_reply_to,
            &reply.agent,
            &reply.confidence,
            &reply.reason,
            &reply.model,
            &reply.processing_ms,
            &reply.tokens_in,
            &reply.tokens_out,
            &reply.cost_micros,
            &moment(of.occurred_at),
            &reply.role,
            &reply.kind_value,
            &comes_last(of),
        ],
    )
    .await?;
    Ok(())
}

/// Takes in what the caller heard of a reply, which may not be there yet. The conversation's row
/// must exist.
pub async fn heard(tx: &TenantTx, of: &Envelope, heard: &Heard) -> Result<(), StoreError> {
    let text = kept_of(of, &heard.text);
    let sealed = tx.cipher().await?.seal(TEXT, &text)?;
    let chars = i32::try_from(text.chars().count()).unwrap_or(i32::MAX);
    let reply = Envelope { turn: heard.turn, ..of.clone() };
    tx.execute(
        "INSERT INTO messages AS m (tenant, id, conversation, channel, role, turn, position, kind,
            text, text_enc, heard_chars, heard_whole, occurred_at)
         SELECT t.id, $1::uuid, $2::uuid, $3::text, 'agent', $4::int4, $5::int8, 'speech',
            CASE WHEN NOT t.encrypt_text THEN $6::text END,
            CASE WHEN t.encrypt_text THEN $7::bytea END,
            $8::int4, $9::bool, $10::timestamptz
         FROM tenants t
         ON CONFLICT (tenant, id) DO UPDATE SET
            text = excluded.text, text_enc = excluded.text_enc,
            heard_chars = excluded.heard_chars, heard_whole = excluded.heard_whole
         WHERE m.heard_chars IS NULL
            OR (excluded.heard_whole, excluded.heard_chars) > (m.heard_whole, m.heard_chars)",
        &[
            &reply_id(of.conversation, heard.turn),
            of.conversation.as_uuid(),
            &of.channel.as_str(),
            &turn_number(heard.turn),
            &position(&reply, Speaker::Agent),
            &text,
            &sealed,
            &chars,
            &heard.complete,
            &moment(of.occurred_at),
        ],
    )
    .await?;
    Ok(())
}

/// The last turn of a conversation that is recorded; 0 where none is.
///
/// # Errors
/// When the database is away.
pub async fn last_turn(tx: &TenantTx, conversation: ConversationId) -> Result<Turn, StoreError> {
    let sql = "SELECT max(turn) FROM messages WHERE conversation = $1";
    let row = tx.query_opt(sql, &[conversation.as_uuid()]).await?;
    let last: Option<i32> = row.and_then(|row| row.get(0));
    Ok(Turn(last.and_then(|turn| u32::try_from(turn).ok()).unwrap_or(0)))
}

/// When the person last wrote in a conversation: WhatsApp lets a business write freely for 24 hours
/// from then (PROTOCOLS 2.3).
pub async fn last_received_at(
    tx: &TenantTx,
    conversation: ConversationId,
) -> Result<Option<Timestamp>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT occurred_at FROM messages WHERE conversation = $1 AND role = 'user'
             ORDER BY position DESC LIMIT 1",
            &[conversation.as_uuid()],
        )
        .await?;
    Ok(row.map(|row| row.get::<_, SystemTime>(0).into()))
}

/// Who said something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaker {
    /// The person.
    User,
    /// An agent.
    Agent,
    /// A human of the business.
    Operator,
}

impl Speaker {
    /// The speaker a row names.
    pub(crate) fn of_role(role: &str) -> Self {
        match role {
            "user" => Self::User,
            "operator" => Self::Operator,
            _ => Self::Agent,
        }
    }
}

/// One line of a transcript.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Who.
    pub speaker: Speaker,
    /// In which turn; `None` for a chat message not yet answered.
    pub turn: Option<Turn>,
    /// What kind of message it is: `text`, `speech`, `location`, ...
    pub kind: String,
    /// What was said, written, or heard of a reply.
    pub text: Personal,
    /// Whether a spoken reply was heard to its end; `None` where nobody has said.
    pub heard_whole: Option<bool>,
    /// The agent who answered.
    pub agent: Option<String>,
    /// When, by the clock of the task that saw it: lines are in order, times need not be.
    pub at: Timestamp,
    /// The message's id: of a chat's, that of its event.
    pub message: Uuid,
    /// Whether it does not count for agents: the person took it back, it is a change that the changed message shows, or a word
    /// that the border has answered.
    pub is_withdrawn: bool,
}

/// The last `limit` lines of a conversation, oldest first: what was said and heard. Replies of
/// which nothing was heard are not in it (B2).
pub async fn transcript(
    tx: &TenantTx,
    conversation: ConversationId,
    limit: u32,
) -> Result<Vec<Line>, StoreError> {
    let cipher = tx.cipher().await?;
    let rows = tx
        .query(
            "SELECT role, turn, text, text_enc, heard_whole, agent, occurred_at, id, kind,
                revoked_at IS NOT NULL OR kind IN ('revoke', 'keyword') OR kind = 'edit' AND EXISTS (
                    SELECT FROM messages o WHERE o.conversation = m.conversation
                        AND o.external_id = m.kind_value AND o.role = 'user')
             FROM messages m
             WHERE conversation = $1 AND (heard_chars IS NULL OR heard_chars > 0)
             ORDER BY position DESC, id DESC LIMIT $2",
            &[conversation.as_uuid(), &i64::from(limit)],
        )
        .await?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows.iter().rev() {
        let text = open_text(cipher.as_ref(), row.get(2), row.get(3))?.unwrap_or_default();
        lines.push(Line {
            speaker: Speaker::of_role(row.get(0)),
            turn: row.get::<_, Option<i32>>(1).and_then(|t| u32::try_from(t).ok()).map(Turn),
            text,
            heard_whole: row.get(4),
            agent: row.get(5),
            at: row.get::<_, SystemTime>(6).into(),
            message: row.get(7),
            kind: row.get(8),
            is_withdrawn: row.get(9),
        });
    }
    Ok(lines)
}

/// What was said, from whichever of its two columns has it.
pub(crate) fn open_text(
    cipher: &dyn FieldCipher,
    plain: Option<String>,
    sealed: Option<&[u8]>,
) -> Result<Option<Personal>, CipherError> {
    open(cipher, TEXT, plain, sealed)
}

/// Where a message came from, from its column.
pub(crate) fn open_referral(
    cipher: &dyn FieldCipher,
    sealed: Option<&[u8]>,
) -> Result<Option<Personal>, CipherError> {
    open(cipher, REFERRAL, None, sealed)
}

/// What was meant to be said, from whichever of its two columns has it.
pub(crate) fn open_intended(
    cipher: &dyn FieldCipher,
    plain: Option<String>,
    sealed: Option<&[u8]>,
) -> Result<Option<Personal>, CipherError> {
    open(cipher, INTENDED, plain, sealed)
}

fn open(
    cipher: &dyn FieldCipher,
    field: &'static str,
    plain: Option<String>,
    sealed: Option<&[u8]>,
) -> Result<Option<Personal>, CipherError> {
    match (plain, sealed) {
        (Some(text), _) => Ok(Some(text.into())),
        (None, Some(sealed)) => Ok(Some(cipher.open(field, sealed)?)),
        (None, None) => Ok(None),
    }
}

/// The id of the agent's message of a turn of a call.
fn reply_id(conversation: ConversationId, turn: Turn) -> Uuid {
    conversation.derive(&format!("reply:{}", turn.0))
}

/// What sorts a message in its conversation. On calls the turn, for the events of two publishers
/// may have their times swapped; on chats the time, unless it comes after others ([`comes_last`]).
fn position(of: &Envelope, speaker: Speaker) -> i64 {
    if of.channel.is_spoken() {
        i64::from(of.turn.0) * 2 + i64::from(speaker != Speaker::User)
    } else {
        of.occurred_at.as_micros()
    }
}

/// Whether a message stands after all that are in its conversation already. Not on calls, which go by turns, nor where it
/// was replayed: the conversation has gone on without it.
fn comes_last(of: &Envelope) -> bool {
    !of.channel.is_spoken() && of.replays == 0
}

fn present(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| plain(text))
}
