//! Live events (F2): a stream per tenant in Redis, filled by whichever edge task takes an event off the `live` queue, read by
//! each task for the sockets it holds. Its ids are the resume points. A socket reads at its own pace: who does not keep up
//! is closed, and comes back with the last id it saw.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use actix_ws::{AggregatedMessage, CloseCode, CloseReason, Session};
use cache::{Cache, CacheError, LiveEntry};
use domain::{
    CallSid, Envelope, MessageKind, MessageReceived, MessageSent, Payload, Personal, SentForm,
    TenantId, Timestamp,
};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::{api_keys, escalations::Escalation, messages};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use utoipa::ToSchema;
use uuid::Uuid;
use vault::Secret;

use super::{
    Api,
    answer::{Answer, ApiError, Reply, Success},
    caller::{self, As},
    read::{Moment, Query, moment},
    role::ReadOnly,
};
use crate::{channel::UserKey, guard::SocketSlot};

const TICKET_LIFE: Duration = Duration::from_secs(60);
/// How often a socket looks for what is new.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many events are read at once.
const BATCH: usize = 100;
/// A socket that does not take an event within this does not keep up.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(20);
/// Three pings without an answer.
const SILENT_FOR: Duration = Duration::from_secs(65);
/// How often a socket's place is kept, and its credential looked at again.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// Events do not wait longer for the database to say whether a credential is still good.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(2);
/// Nothing but pongs and a close is expected.
const LONGEST_FRAME_BYTES: usize = 4 * 1024;

/// Something that happens at the desk, as whoever watches sees it.
#[derive(Serialize, ToSchema)]
pub struct LiveEvent {
    /// What: `call_started`, `call_ended`, `transfer_updated`, `message_received`, `media_settled`, `message_sent`,
    /// `delivery_updated`, `recording_finished`, `escalation_requested`, `escalation_claimed`, `escalation_closed`.
    #[schema(example = "message_received")]
    pub kind: &'static str,
    /// The event's own id: the same when it is told twice.
    pub event: Uuid,
    /// In which conversation.
    pub conversation: Uuid,
    /// On which channel.
    #[schema(example = "whatsapp")]
    pub channel: String,
    /// In which turn.
    pub turn: u32,
    /// When.
    pub at: Moment,
    /// What belongs to the kind: texts, files, the call, the status.
    #[schema(value_type = Object)]
    pub data: Value,
}

impl LiveEvent {
    /// What is shown of an event; `None` for one that is nobody's to watch.
    pub fn of(event: &Envelope) -> Option<Self> {
        let (kind, data) = match &event.payload {
            Payload::CallStarted(e) => {
                ("call_started", json!({ "call": e.call.as_str(), "to": e.to }))
            }
            Payload::CallEnded(e) => (
                "call_ended",
                json!({ "call": e.call.as_str(), "reason": format!("{:?}", e.reason).to_lowercase() }),
            ),
            Payload::TransferUpdated(e) => (
                "transfer_updated",
                json!({ "call": e.call.as_str(), "status": e.status.as_str() }),
            ),
            Payload::MessageReceived(e) => ("message_received", received(event, e)),
            Payload::MessageSent(e) => ("message_sent", sent(event, e)),
            Payload::MediaSettled(e) => (
                "media_settled",
                json!({
                    "message": *e.message.as_uuid(),
                    "file": e.file.as_ref().map(|file| {
                        json!({ "media_type": file.mime_type, "bytes": file.bytes })
                    }),
                    "text": e.words.as_ref().map(|words| text_of(event, words)),
                    "file_fault": e.fault,
                }),
            ),
            Payload::DeliveryUpdated(e) => (
                "delivery_updated",
                json!({
                    "message": e.message.map(|id| *id.as_uuid()),
                    "status": format!("{:?}", e.status).to_lowercase(),
                }),
            ),
            Payload::RecordingFinished(e) => (
                "recording_finished",
                json!({ "call": e.call.as_str(), "duration_ms": e.duration_ms }),
            ),
            Payload::EscalationRequested(e) => (
                "escalation_requested",
                json!({ "escalation": *event.event_id.as_uuid(), "reason": e.reason }),
            ),
            _ => return None,
        };
        Some(Self {
            kind,
            event: *event.event_id.as_uuid(),
            conversation: *event.conversation.as_uuid(),
            channel: event.channel.to_string(),
            turn: event.turn.0,
            at: moment(event.occurred_at),
            data,
        })
    }
}

fn received(event: &Envelope, e: &MessageReceived) -> Value {
    let (kind, kind_value) = messages::kind_of(&e.kind);
    let file = match &e.kind {
        MessageKind::Media(media) => Some(json!({
            "media_type": media.mime_type,
            "filename": media.filename.as_ref().map(Personal::reveal),
        })),
        _ => None,
    };
    json!({ "text": text_of(event, &e.text), "kind": kind, "kind_value": kind_value, "file": file })
}

fn sent(event: &Envelope, e: &MessageSent) -> Value {
    let (kind, kind_value) = messages::kind_of_form(&event.channel, &e.form);
    let file = match &e.form {
        SentForm::File(sent) => Some(json!({
            "media_type": sent.file.mime_type,
            "filename": sent.filename.as_ref().map(Personal::reveal),
            "bytes": sent.file.bytes,
        })),
        _ => None,
    };
    json!({
        "text": text_of(event, &e.text),
        "agent": e.account.agent,
        "kind": kind,
        "kind_value": kind_value,
        "file": file,
    })
}

/// A text as the history has it: of what was said off the record without its numbers.
fn text_of(event: &Envelope, text: &Personal) -> String {
    match event.off_record {
        true => text.without_numbers().into_revealed(),
        false => text.reveal().to_owned(),
    }
}

/// Tells whoever watches that a request for a human was taken (`escalation_claimed`) or closed (`escalation_closed`) `by` somebody,
/// so that no two operators answer one person. `id` is the same however often it is told. Without Redis nobody is told, and the
/// list of requests has the word.
pub async fn tell_escalation(
    cache: &Cache,
    tenant: TenantId,
    (kind, id): (&'static str, Uuid),
    escalation: &Escalation,
    by: Option<&str>,
) {
    let event = LiveEvent {
        kind,
        event: id,
        conversation: escalation.conversation,
        channel: escalation.channel.clone(),
        turn: 0,
        at: moment(Timestamp::now()),
        data: json!({ "escalation": escalation.id, "status": escalation.status, "by": by }),
    };
    let Ok(body) = serde_json::to_string(&event) else { return };
    if let Err(error) = cache.add_live(tenant, &body).await {
        tracing::warn!(%error, kind = "redis_away", "nobody is told of a request for a human");
    }
}

/// What opens the socket of live events, once.
#[derive(Serialize, ToSchema)]
pub struct Ticket {
    /// To be sent as `ticket` when the socket is opened.
    #[schema(example = "b0f2…")]
    pub ticket: String,
    /// Until when it opens it, s.
    #[schema(example = 60)]
    pub expires_in_seconds: u64,
}

/// Whom a ticket speaks for, as it lies in Redis under the hash of the ticket.
#[derive(Serialize, Deserialize)]
struct Holder {
    tenant: Uuid,
    actor: String,
}

/// A ticket for live events
///
/// A browser cannot send a header when it opens a socket: the ticket goes into the URL instead. It is good once, for a minute.
#[utoipa::path(post, path = "/api/v1/events/tickets", tag = "live events",
    responses((status = 201, description = "It", body = inline(Success<Ticket>))))]
pub async fn create_ticket(caller: As<ReadOnly>) -> Answer<Ticket> {
    let ticket = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let holder = Holder { tenant: *caller.tenant.as_uuid(), actor: caller.actor.clone() };
    let holder = serde_json::to_string(&holder).unwrap_or_default();
    caller.api.cache.put_ticket(&hash_of(&ticket), &holder, TICKET_LIFE).await.map_err(away)?;
    let ticket = Ticket { ticket, expires_in_seconds: TICKET_LIFE.as_secs() };
    Ok(Reply::ok(ticket).with_status(StatusCode::CREATED))
}

fn hash_of(ticket: &str) -> String {
    hex::encode(Sha256::digest(ticket.as_bytes()))
}

fn away(error: CacheError) -> ApiError {
    tracing::warn!(%error, kind = "redis_away", "live events not served");
    ApiError::unavailable("live events are away for now")
}

/// Live events
///
/// A WebSocket. Each message is `{"id": "…", "event": {…}}`; `{"gap": true}` says that events between `last_event_id` and the
/// next one are lost. Closed with 1008 `slow_reader` where the reader does not keep up, 1001 when the task stops: come back
/// with the last id. Closed with 1008 `credential_revoked` once the API key that the ticket was made with is not good any more.
/// A ticket opens nothing where three sockets are open already (429), and stays good then.
#[utoipa::path(get, path = "/api/v1/events", tag = "live events", security(()),
    params(
        ("ticket" = String, Query, min_length = 1, max_length = 256),
        ("last_event_id" = Option<String>, Query, pattern = "^[0-9]{1,19}-[0-9]{1,19}$",
            description = "Go on after this event; else with what happens from now on"),
    ),
    responses(
        (status = 101, description = "The socket is open; its messages", body = inline(LiveEvent)),
        (status = 426, description = "This is a WebSocket", body = super::answer::Failure),
    ))]
pub async fn socket(
    api: web::Data<Api>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let ticket = query.text("ticket")?.map(Secret::new);
    let last = query.text("last_event_id")?;
    query.end()?;
    let ticket = ticket.ok_or_else(|| ApiError::parameter("ticket", "is missing"))?;
    if last.as_deref().is_some_and(|id| !is_id(id)) {
        return Err(ApiError::parameter("last_event_id", "must be the id of an event"));
    }
    let upgrade = request.headers().get(header::UPGRADE).and_then(|v| v.to_str().ok());
    if !upgrade.is_some_and(|u| u.eq_ignore_ascii_case("websocket")) {
        let message = "this is a WebSocket";
        return Err(ApiError::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message)
            .with(header::UPGRADE, "websocket"));
    }
    let hash = hash_of(ticket.reveal());
    // Only looked at: whoever has too many sockets comes back with it.
    let holder = api.cache.ticket(&hash).await.map_err(away)?;
    let holder = holder.and_then(|holder| serde_json::from_str::<Holder>(&holder).ok());
    let Some(Holder { tenant, actor }) = holder else { return Err(bad_ticket()) };
    let tenant = TenantId::from_uuid(tenant);
    let from = match last {
        Some(last) => last,
        None => api.cache.last_live(tenant).await.map_err(away)?,
    };
    let user = UserKey(tenant.derive(&format!("api:{actor}")));
    let this = CallSid::of_browser(Uuid::new_v4());
    let Some(slot) = api.guard.take_socket(user, &this, 0).await else {
        caller::over_limit(user, "sockets");
        return Err(ApiError::too_many_requests(crate::guard::SOCKET_LEASE.as_secs()));
    };
    let opened = match api.cache.take_ticket(&hash).await {
        Ok(Some(_)) => actix_ws::handle(&request, body).map_err(|fault| {
            let status = fault.as_response_error().status_code();
            ApiError::new(status, "invalid_handshake", "the handshake is not whole")
        }),
        Ok(None) => Err(bad_ticket()),
        Err(error) => Err(away(error)),
    };
    let (response, session, messages) = match opened {
        Ok(opened) => opened,
        Err(refused) => {
            api.guard.release_socket(&slot).await;
            return Err(refused);
        }
    };
    let messages = messages.max_frame_size(LONGEST_FRAME_BYTES).aggregate_continuations();
    let watcher = Watcher { api, tenant, actor, slot, session, from };
    actix_web::rt::spawn(watcher.run(messages));
    Ok(response)
}

fn bad_ticket() -> ApiError {
    ApiError::unauthorized("the ticket is not good, or not good any more")
}

fn is_id(id: &str) -> bool {
    let number = |part: &str| part.parse::<u64>().is_ok();
    id.split_once('-').is_some_and(|(ms, sequence)| number(ms) && number(sequence))
}

/// One open socket.
struct Watcher {
    api: web::Data<Api>,
    tenant: TenantId,
    /// Whose ticket opened it.
    actor: String,
    slot: SocketSlot,
    session: Session,
    /// The last event that was sent.
    from: String,
}

/// Why a socket is closed by us.
enum End {
    Left,
    Slow,
    Silent,
    Revoked,
    Stopping,
}

impl Watcher {
    async fn run(mut self, mut messages: actix_ws::AggregatedMessageStream) {
        metrics::gauge!("edge_event_sockets").increment(1);
        let end = self.watch(&mut messages).await;
        metrics::gauge!("edge_event_sockets").decrement(1);
        self.api.guard.release_socket(&self.slot).await;
        let (code, why) = match end {
            End::Left => return,
            End::Slow => (CloseCode::Policy, "slow_reader"),
            End::Silent => (CloseCode::Policy, "no_pong"),
            End::Revoked => (CloseCode::Policy, "credential_revoked"),
            End::Stopping => (CloseCode::Away, "stopping"),
        };
        metrics::counter!("edge_event_sockets_closed_total", "reason" => why).increment(1);
        let reason = CloseReason { code, description: Some(why.to_owned()) };
        // One that does not read does not read this either.
        let _ = timeout(TAKEN_WITHIN, self.session.close(Some(reason))).await;
    }

    async fn watch(&mut self, messages: &mut actix_ws::AggregatedMessageStream) -> End {
        let stopping = self.api.stopping.clone();
        let ticks = |every| {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let (mut look, mut ping, mut renew) =
            (ticks(LOOK_EVERY), ticks(PING_EVERY), ticks(RENEW_EVERY));
        let mut heard = Instant::now();
        if let Err(end) = self.tell_gap().await {
            return end;
        }
        loop {
            tokio::select! {
                () = stopping.cancelled() => return End::Stopping,
                message = messages.next() => match message {
                    Some(Ok(AggregatedMessage::Close(_)) | Err(_)) | None => return End::Left,
                    Some(Ok(AggregatedMessage::Ping(bytes))) => {
                        heard = Instant::now();
                        let _ = self.session.pong(&bytes).await;
                    }
                    Some(Ok(_)) => heard = Instant::now(),
                },
                _ = look.tick() => if let Err(end) = self.send_new().await {
                    return end;
                },
                _ = ping.tick() => {
                    if heard.elapsed() > SILENT_FOR {
                        return End::Silent;
                    }
                    match timeout(TAKEN_WITHIN, self.session.ping(b"")).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return End::Left,
                        Err(_) => return End::Slow,
                    }
                }
                _ = renew.tick() => {
                    // Without Redis nobody is counted.
                    drop(self.api.guard.renew_socket(&self.slot).await);
                    if !self.is_still_let_in().await {
                        return End::Revoked;
                    }
                }
            }
        }
    }

    /// Whether the API key is good that the ticket was made with. Tokens end by themselves; without the database nobody is shut
    /// out.
    async fn is_still_let_in(&self) -> bool {
        let Some(key) = self.actor.strip_prefix("key:") else { return true };
        let looked_at = async {
            let tx = self.api.store.tenant(self.tenant).await?;
            api_keys::is_good(&tx, key).await
        };
        match timeout(LOOKED_AT_WITHIN, looked_at).await {
            Ok(Ok(is_good)) => is_good,
            _ => true,
        }
    }

    /// Says that events are lost, where the stream begins after the one the reader saw last.
    async fn tell_gap(&mut self) -> Result<(), End> {
        match first_after(&self.api.cache, self.tenant, &self.from).await {
            Ok(true) => self.send(json!({ "gap": true }).to_string()).await,
            Ok(false) | Err(_) => Ok(()),
        }
    }

    async fn send_new(&mut self) -> Result<(), End> {
        loop {
            let Ok(events) = self.api.cache.live_after(self.tenant, &self.from, BATCH).await else {
                // Redis is away: what happens meanwhile is in the stream when it is back.
                return Ok(());
            };
            let whole_batch = events.len() == BATCH;
            for LiveEntry { id, body } in events {
                // The body is JSON of our own.
                self.send(format!(r#"{{"id":"{id}","event":{body}}}"#)).await?;
                self.from = id;
            }
            if !whole_batch {
                return Ok(());
            }
        }
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        match timeout(TAKEN_WITHIN, self.session.text(text)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::Slow),
        }
    }
}

/// Whether the stream was cut off behind `last`.
async fn first_after(cache: &Cache, tenant: TenantId, last: &str) -> Result<bool, CacheError> {
    let place = |id: &str| {
        let (ms, sequence) = id.split_once('-')?;
        Some((ms.parse::<u64>().ok()?, sequence.parse::<u64>().ok()?))
    };
    if place(last) == Some((0, 0)) {
        return Ok(false);
    }
    let first = cache.first_live(tenant).await?;
    Ok(match first {
        Some(first) => place(last) < place(&first),
        // Nothing is left of what there was.
        None => true,
    })
}
