//! Conversations and what was said in them.

use std::time::Duration;

use actix_web::{HttpRequest, web};
use domain::{
    Channel, ConversationId, Envelope, EventId, MessageSent, Personal, Timestamp, TraceRequested,
    TurnAccount,
};
use serde::Serialize;
use serde_json::{Value, json};
use store::{
    escalations,
    history::{self, ConversationFilter},
    messages::{self as said, Speaker},
    turn_timings,
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    media::OutgoingMessage,
    read::{self, Moment, Page, Query, moment},
    role::{Operator, ReadOnly},
    users,
    write::{Change, Done},
};

const WHAT: &str = "conversation";
const SEND: &str = "message.send";
const TRACE: &str = "conversation.trace";
/// How far back words are looked for where nobody says, µs: 30 days.
const SEARCHED_US: i64 = 30 * 24 * 60 * 60 * 1_000_000;
/// So long after the person last wrote a business may write freely on WhatsApp (PROTOCOLS 2.3).
const WHATSAPP_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// A call, or the running chat with one person.
#[derive(Serialize, ToSchema)]
pub struct Conversation {
    /// Its id.
    pub id: Uuid,
    /// How the person reaches us: `voice`, `browser`, `whatsapp`, `sms`.
    #[schema(example = "whatsapp")]
    pub channel: String,
    /// Which of our addresses.
    #[schema(example = "106540352242922")]
    pub our_address: Option<String>,
    /// With whom; null for a caller who hides the number.
    pub person: Option<Person>,
    /// The agent who answered last.
    #[schema(example = "reception")]
    pub agent: Option<String>,
    /// The call's id, on calls.
    #[schema(example = "CA0123456789abcdef0123456789abcdef")]
    pub call: Option<String>,
    /// When it began.
    pub started_at: Moment,
    /// When something last happened.
    pub last_active_at: Moment,
    /// When it ended; chats do not.
    pub ended_at: Option<Moment>,
}

/// Who a conversation is with.
#[derive(Serialize, ToSchema)]
pub struct Person {
    /// The person's id: what `person` finds conversations by.
    pub id: Uuid,
    /// What they are called, where they said so.
    #[schema(example = "Ana Silva")]
    pub name: Option<String>,
    /// Of what kind the contact is: `phone`, `bsuid`.
    #[schema(example = "phone")]
    pub contact_kind: Option<String>,
    /// What they are reached by; in a chat what it is held with.
    #[schema(example = "+15551234567")]
    pub contact: Option<String>,
}

impl From<history::Conversation> for Conversation {
    fn from(c: history::Conversation) -> Self {
        let (contact_kind, contact) = c.known_by.unzip();
        Self {
            id: c.id,
            channel: c.channel,
            our_address: c.our_address,
            person: c.user.map(|id| Person {
                id,
                name: c.name.map(|name| name.into_revealed()),
                contact_kind,
                contact: contact.map(|contact| contact.into_revealed()),
            }),
            agent: c.agent,
            call: c.call,
            started_at: moment(c.started_at),
            last_active_at: moment(c.last_active_at),
            ended_at: c.ended_at.map(moment),
        }
    }
}

/// Conversations
///
/// The last active first. `text` finds a message in which all of its words were said, or words that begin so, in capitals or
/// not. Without `from` it looks through the 30 days before `to`, or before now; it finds nothing where the tenant has message
/// texts encrypted.
#[utoipa::path(get, path = "/api/v1/conversations", tag = "conversations",
    params(
        ("person" = Option<String>, Query, min_length = 1, max_length = 256, example = "+15551234567",
            description = "Of this person: their id, phone number or WhatsApp id"),
        ("channel" = Option<String>, Query, min_length = 1, max_length = 256, example = "voice"),
        ("agent" = Option<String>, Query, min_length = 1, max_length = 256,
            description = "In which this agent answered"),
        ("from" = Option<Moment>, Query, description = "Last active then or later"),
        ("to" = Option<Moment>, Query, description = "Last active earlier"),
        ("text" = Option<String>, Query, min_length = 1, max_length = 256),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", body = inline(Success<Page<Conversation>>))))]
pub async fn list(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Page<Conversation>> {
    let mut query = Query::of(&request)?;
    let person = query.text("person")?;
    let mut filter = ConversationFilter {
        user: None,
        channel: query.text("channel")?,
        agent: query.text("agent")?,
        from: query.moment("from")?,
        until: query.moment("to")?,
        text: query.text("text")?,
    };
    let (limit, after) = query.page()?;
    query.end()?;
    if filter.text.is_some() && filter.from.is_none() {
        let to = filter.until.unwrap_or_else(Timestamp::now).as_micros();
        filter.from = Some(Timestamp::from_micros(to.saturating_sub(SEARCHED_US)));
    }
    let tx = caller.begin().await?;
    if let Some(person) = person {
        filter.user = users::find(&tx, &person).await?;
        if filter.user.is_none() {
            return Ok(Reply::ok(Page::empty()));
        }
    }
    let after = after.map(|(at, id)| (Timestamp::from_micros(at), id));
    let rows = history::conversations(&tx, &filter, after, limit + 1).await?;
    let key = |c: &history::Conversation| (c.last_active_at.as_micros(), c.id);
    Ok(Reply::ok(Page::of(rows, limit, key, Conversation::from)))
}

/// One conversation
#[utoipa::path(get, path = "/api/v1/conversations/{id}", tag = "conversations",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It", body = inline(Success<Conversation>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn show(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Conversation> {
    let id = read::path_id(&request, WHAT)?;
    let tx = caller.begin().await?;
    let found = history::conversation(&tx, id).await?;
    Ok(Reply::tagged(found.ok_or_else(|| ApiError::not_found(WHAT))?.into()))
}

/// Something that was said.
#[derive(Serialize, ToSchema)]
pub struct Message {
    /// Its id.
    pub id: Uuid,
    /// Who said it: `user`, `agent`, `operator`.
    #[schema(example = "agent")]
    pub role: &'static str,
    /// In which turn; null for a chat message that has no answer yet.
    #[schema(example = 3)]
    pub turn: Option<i32>,
    /// What it is: `speech`, `text`, `choice`, `image`, `voice_note`, `location`, ...
    #[schema(example = "text")]
    pub kind: String,
    /// What belongs to the kind: the choice made, the message reacted to.
    pub kind_value: Option<String>,
    /// What was said or written; of a spoken reply, what was heard.
    #[schema(example = "Tomorrow at two it is.")]
    pub text: String,
    /// What the agent meant to say, on calls.
    pub intended_text: Option<String>,
    /// How many characters of a spoken reply were heard.
    pub heard_chars: Option<i32>,
    /// Whether that was all.
    pub heard_whole: Option<bool>,
    /// The vendor's id.
    pub external_id: Option<String>,
    /// The vendor's id of the message it answers.
    pub in_reply_to: Option<String>,
    /// How a reply came about.
    pub answered_by: Option<AnsweredBy>,
    /// What became of it, as far as the vendor said.
    pub delivery: Option<Delivery>,
    /// Its file, once that is kept: `/messages/{id}/file` links to it.
    pub file: Option<File>,
    /// Why its file could not be had, or nobody understood it; with neither this nor a file it is still being fetched.
    #[schema(example = "not taken: too large")]
    pub file_fault: Option<String>,
    /// The advertisement or post the person came from with it, as the vendor headlines it.
    #[schema(example = "Spring offer")]
    pub referral: Option<String>,
    /// When the person last changed it; its text is the current one.
    pub edited_at: Option<Moment>,
    /// When the person took it back; neither its text nor its file is shown any more.
    pub revoked_at: Option<Moment>,
    /// When.
    pub at: Moment,
}

/// The file of a message.
#[derive(Serialize, ToSchema)]
pub struct File {
    /// Its media type.
    #[schema(example = "image/jpeg")]
    pub media_type: String,
    /// Its size.
    #[schema(example = 48211)]
    pub bytes: i64,
}

/// How a reply came about.
#[derive(Serialize, ToSchema)]
pub struct AnsweredBy {
    /// The agent, or the operator.
    #[schema(example = "reception")]
    pub agent: String,
    /// With which confidence it was chosen, 0 to 1.
    #[schema(example = 0.85)]
    pub confidence: Option<f32>,
    /// Why, in a few words.
    pub reason: Option<String>,
    /// The language model; `rules` for the rules engine.
    #[schema(example = "rules")]
    pub model: Option<String>,
    /// How long it took, ms.
    pub processing_ms: Option<i64>,
    /// Tokens read.
    pub tokens_in: Option<i64>,
    /// Tokens written.
    pub tokens_out: Option<i64>,
    /// Millionths of a US dollar.
    pub cost_micros: Option<i64>,
}

/// What became of a message.
#[derive(Serialize, ToSchema)]
pub struct Delivery {
    /// `held` (until the person writes), `accepted`, `sent`, `delivered`, `read`, `failed`, `doubtful`.
    #[schema(example = "read")]
    pub status: String,
    /// The vendor's error code, when it failed.
    pub error_code: Option<i64>,
    /// The vendor's words for it.
    pub error_text: Option<String>,
    /// When this was learnt.
    pub updated_at: Moment,
}

impl From<history::Message> for Message {
    fn from(m: history::Message) -> Self {
        let (heard_chars, heard_whole) = m.heard.unzip();
        Self {
            id: m.id,
            role: match m.speaker {
                Speaker::User => "user",
                Speaker::Agent => "agent",
                Speaker::Operator => "operator",
            },
            turn: m.turn,
            kind: m.kind,
            kind_value: m.kind_value,
            text: m.text.into_revealed(),
            intended_text: m.intended.map(|text| text.into_revealed()),
            heard_chars,
            heard_whole,
            external_id: m.external_id,
            in_reply_to: m.in_reply_to,
            answered_by: m.account.map(|a| AnsweredBy {
                agent: a.agent,
                confidence: a.confidence,
                reason: a.reason,
                model: a.model,
                processing_ms: a.processing_ms,
                tokens_in: a.tokens_in,
                tokens_out: a.tokens_out,
                cost_micros: a.cost_micros,
            }),
            delivery: m.delivery.map(|d| Delivery {
                status: d.status,
                error_code: d.error_code,
                error_text: d.error_text,
                updated_at: moment(d.updated_at),
            }),
            file: m.file.map(|(media_type, bytes)| File { media_type, bytes }),
            file_fault: m.file_fault,
            referral: m.referral.map(Personal::into_revealed),
            edited_at: m.edited_at.map(moment),
            revoked_at: m.revoked_at.map(moment),
            at: moment(m.at),
        }
    }
}

/// What was said in a conversation
#[utoipa::path(get, path = "/api/v1/conversations/{id}/messages", tag = "conversations",
    params(
        ("id" = Uuid, Path),
        ("order" = Option<Order>, Query, description = "`oldest_first` unless said"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of it", body = inline(Success<Page<Message>>))))]
pub async fn messages(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Page<Message>> {
    let id = read::path_id(&request, WHAT)?;
    let mut query = Query::of(&request)?;
    let newest_first =
        query.choice("order", &["oldest_first", "newest_first"])? == Some("newest_first");
    let (limit, after) = query.page()?;
    query.end()?;
    let tx = caller.begin().await?;
    must_exist(&tx, id).await?;
    let conversation = ConversationId::from_uuid(id);
    let rows = history::messages(&tx, conversation, after, newest_first, limit + 1).await?;
    let key = |m: &history::Message| (m.position, m.id);
    Ok(Reply::ok(Page::of(rows, limit, key, Message::from)))
}

/// In which order messages are listed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As they were said.
    OldestFirst,
    /// The last first.
    NewestFirst,
}

/// A turn, and when it reached each stage.
#[derive(Serialize, ToSchema)]
pub struct Turn {
    /// Its number.
    #[schema(example = 3)]
    pub turn: u32,
    /// The stages, in the order of the way.
    pub stages: Vec<Stage>,
}

/// A stage of a turn.
#[derive(Serialize, ToSchema)]
pub struct Stage {
    /// Its name.
    #[schema(example = "first_audio_out")]
    pub name: String,
    /// When it was reached.
    pub at: Moment,
    /// How long after the first stage, ms.
    #[schema(example = 16.3)]
    pub after_ms: f64,
}

/// How long each turn of a conversation took, stage by stage
#[utoipa::path(get, path = "/api/v1/conversations/{id}/turns", tag = "conversations",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "Every turn that was timed", body = inline(Success<Vec<Turn>>))))]
pub async fn turns(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Vec<Turn>> {
    let id = read::path_id(&request, WHAT)?;
    let tx = caller.begin().await?;
    must_exist(&tx, id).await?;
    let timed = turn_timings::of_conversation(&tx, ConversationId::from_uuid(id)).await?;
    let turns = timed.into_iter().map(|(turn, stages)| {
        let first = stages.iter().map(|s| s.at).min().unwrap_or_default();
        let stages = stages.into_iter().map(|s| Stage {
            name: s.name.to_string(),
            at: moment(s.at),
            after_ms: s.at.since(first).as_secs_f64() * 1000.0,
        });
        Turn { turn: turn.0, stages: stages.collect() }
    });
    Ok(Reply::ok(turns.collect()))
}

/// A trace that is being written.
#[derive(Serialize, ToSchema)]
pub struct TraceOnItsWay {
    /// Under this key of the bucket it lies soon.
    #[schema(example = "debug-exports/0190…/2026/05/28/0190….json")]
    pub key: String,
}

/// Write a conversation to S3
///
/// For operators: what was said, by which agent and why, and how long each turn took, as one JSON file. Every conversation is
/// written by itself when it is over, under `conversation-traces/`.
#[utoipa::path(post, path = "/api/v1/conversations/{id}/trace", tag = "conversations",
    params(("id" = Uuid, Path)),
    responses((status = 202, description = "It is on its way", body = inline(Success<TraceOnItsWay>))))]
pub async fn trace(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let id = read::path_id(&request, WHAT)?;
    let change = Change::of(&caller, &request, &body)?;
    let event_id = EventId::from_uuid(change.id);
    let prepare = async |tx: &store::TenantTx| {
        let found = history::conversation(tx, id).await?;
        let found = found.ok_or_else(|| ApiError::not_found(WHAT))?;
        let now = Timestamp::now();
        let wanted = TraceRequested { reason: TraceRequested::ASKED.to_owned() };
        let (conversation, channel) =
            (ConversationId::from_uuid(id), Channel::named(found.channel));
        let event =
            Envelope::new(event_id, caller.tenant, conversation, channel, now, wanted.clone());
        let key = wanted.key(&event, found.started_at);
        Ok((event, key))
    };
    let tell = async |(event, key): (Envelope, String)| {
        caller.api.bus.publish(&[event]).await.map_err(|error| {
            tracing::warn!(%error, kind = "queues_unavailable", "trace not asked for");
            ApiError::unavailable("the request could not be handed on")
        })?;
        Ok(Done::accepted(TraceOnItsWay { key }, TRACE, id))
    };
    change.make_at_least_once((TRACE, &id.to_string()), prepare, tell).await
}

async fn must_exist(tx: &store::TenantTx, id: Uuid) -> Result<(), ApiError> {
    match history::conversation(tx, id).await? {
        Some(_) => Ok(()),
        None => Err(ApiError::not_found(WHAT)),
    }
}

/// A message that is on its way.
#[derive(Serialize, ToSchema)]
pub struct MessageOnItsWay {
    /// Its id among the messages of the conversation, where its delivery shows soon.
    pub id: Uuid,
}

/// Write into a chat
///
/// For operators: a text, a file with or without one, a text with a link or with answers to choose from, a reaction, or a template. The
/// person gets it on the channel of the chat; the history shows who wrote it. 409 `not_a_chat` for a call,
/// `not_on_this_channel` for a file, a reaction or a template that is not for WhatsApp, `nobody_to_write_to` where it is not known
/// which of the person's numbers the chat is held with, `window_closed` on WhatsApp when the person last wrote more than 24 hours
/// ago and the tenant has no template for what operators write.
#[utoipa::path(post, path = "/api/v1/conversations/{id}/messages", tag = "conversations",
    params(("id" = Uuid, Path)),
    request_body(content = OutgoingMessage, example = json!({"text": "When does it suit you?", "choices": [
        {"id": "fri-10", "title": "Friday at ten"}, {"id": "mon-2", "title": "Monday at two"}]})),
    responses((status = 202, description = "It is on its way", body = inline(Success<MessageOnItsWay>))))]
pub async fn send(caller: As<Operator>, request: HttpRequest, body: web::Payload) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let id = read::path_id(&request, WHAT)?;
    let wanted: OutgoingMessage = body.json()?;
    wanted.check()?;
    let change = Change::of(&caller, &request, &body)?;
    let event_id = EventId::from_uuid(change.id);
    let conversation = ConversationId::from_uuid(id);
    let prepare = async |tx: &store::TenantTx| {
        let now = Timestamp::now();
        let settings = caller.api.directory.settings(caller.tenant).unwrap_or_default();
        let by_template = wanted.goes_by_template(settings.whatsapp_templates.operator.is_some());
        let to = addressee(tx, id, now, by_template).await?;
        if escalations::touch(tx, conversation, now).await? {
            // The mark lasts longer for it. Without it the database says who has the chat.
            let _ = caller.api.cache.hand_to_human(conversation).await;
        }
        let outgoing = wanted.resolve(&caller, tx, conversation, &to.channel).await?;
        let message = MessageSent {
            to: to.contact,
            from: to.our_address,
            text: outgoing.text.into(),
            in_reply_to: outgoing.in_reply_to,
            form: outgoing.form,
            attempt: 0,
            account: TurnAccount::of_operator(&caller.actor),
            choices: outgoing.choices,
        };
        Ok(Envelope::new(event_id, caller.tenant, conversation, to.channel, now, message))
    };
    let tell = async |event: Envelope| {
        caller.api.bus.publish(&[event]).await.map_err(|error| {
            tracing::warn!(%error, kind = "queues_unavailable", "message of an operator not sent");
            ApiError::unavailable("the message could not be handed on")
        })?;
        // The agents see it when they build the context anew from the history.
        let _ = caller.api.cache.forget_context(conversation).await;
        Ok(Done::accepted(MessageOnItsWay { id: change.id }, SEND, id)
            .noting(json!({ "message": change.id })))
    };
    change.make_at_least_once((SEND, &id.to_string()), prepare, tell).await
}

/// To whom an operator writes in a chat.
struct Addressee {
    channel: Channel,
    our_address: String,
    contact: Personal,
}

async fn addressee(
    tx: &store::TenantTx,
    id: Uuid,
    now: Timestamp,
    by_template: bool,
) -> Result<Addressee, ApiError> {
    let found = history::conversation(tx, id).await?.ok_or_else(|| ApiError::not_found(WHAT))?;
    let channel = Channel::named(found.channel);
    if channel.is_spoken() {
        return Err(ApiError::conflict("not_a_chat", "a call has no place for a message"));
    }
    // Who is known by another number too must not get it there.
    let (Some(our_address), Some(contact)) = (found.our_address, found.reached_by) else {
        return Err(ApiError::conflict("nobody_to_write_to", "nobody knows where to send it"));
    };
    if channel == Channel::WHATSAPP && !by_template {
        let last = said::last_received_at(tx, ConversationId::from_uuid(id)).await?;
        if last.is_none_or(|last| now.since(last) >= WHATSAPP_WINDOW) {
            let told = "the person last wrote more than 24 hours ago; only a template may go out";
            return Err(ApiError::conflict("window_closed", told));
        }
    }
    Ok(Addressee { channel, our_address, contact })
}
