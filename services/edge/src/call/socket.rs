//! The sockets of calls: who may open one, and what it takes until its call is known (DESIGN 3.1, E1, E2). A phone's comes
//! from Twilio, a web page's from the browser; what is said on them is the same.

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason};
use bytes::Bytes;
use cache::{CacheError, CallRecord};
use call_core::Moment;
use domain::{CallSid, Channel, ConversationId, Timestamp};
use tokio::sync::mpsc;

use super::{
    CallServices,
    clock::{CallClock, duration, samples},
    resumption::LostCall,
    session::{Admitted, Session},
    token::{StreamClaims, TOKEN_LIFE},
    wire::{self, LONGEST_FRAME_BYTES, StreamEvent},
};
use crate::{
    channel::{UserKey, browser},
    config::StreamSignature,
    guard::signatures::{key_bytes, twilio_handshake},
    http::Border,
};

/// A socket that has not named its call by then is closed.
const START_WITHIN: Duration = Duration::from_secs(5);
/// `connected` and a few stray frames; a socket that says more before `start` is no media stream.
const FRAMES_BEFORE_START: usize = 20;
/// How often, and how many times, Redis is asked once more what is known of a call that comes back: without that, its caller
/// has to say again what was said last.
const ATTACH_EVERY: Duration = Duration::from_millis(250);
const ATTACH_AGAIN: u32 = 4;
/// As long as an operation of Redis may take: the caller hears nothing meanwhile.
const RECORDED_WITHIN: Duration = cache::OPERATION_TIMEOUT;
/// 200 ms of audio are 10 frames: a vendor who is this far behind does not read.
const LONGEST_BACKLOG: usize = 1024;

/// `GET /media-stream`.
pub async fn media_stream(
    request: HttpRequest,
    payload: web::Payload,
    border: web::Data<Border>,
) -> actix_web::Result<HttpResponse> {
    let services = border.calls.clone();
    let source = border.source_of(&request);
    if border.guard.is_blocked(source).await {
        return Ok(refused(Channel::VOICE, "blocked_address"));
    }
    let signature =
        request.headers().get("x-twilio-signature").and_then(|v| v.to_str().ok()).unwrap_or("");
    if signature.is_empty() {
        if services.stream_signature == StreamSignature::Required {
            border.guard.note_forgery(source).await;
            return Ok(refused(Channel::VOICE, "missing_signature"));
        }
    } else {
        let base = &services.twilio.public_base_url;
        let rest = base.split_once("://").map_or(base.as_str(), |(_, rest)| rest);
        let target = request.uri().path_and_query().map_or(request.path(), |pq| pq.as_str());
        let secrets = services.twilio.auth_token.accepted();
        if !twilio_handshake(&key_bytes(&secrets), &format!("wss://{rest}{target}"), signature) {
            border.guard.note_forgery(source).await;
            return Ok(refused(Channel::VOICE, "wrong_signature"));
        }
        border.guard.note_signed(source).await;
    }
    open(&request, payload, services, Door::Phone)
}

/// `GET /browser-stream` (A4). The token proves it: it was given to a page of ours, for one call.
pub async fn browser_stream(
    request: HttpRequest,
    payload: web::Payload,
    border: web::Data<Border>,
) -> actix_web::Result<HttpResponse> {
    let source = border.source_of(&request);
    if border.guard.is_blocked(source).await {
        return Ok(refused(Channel::BROWSER, "blocked_address"));
    }
    let services = border.calls.clone();
    if !browser::is_own_page(request.headers(), &services.twilio.public_base_url) {
        return Ok(refused(Channel::BROWSER, "foreign_page"));
    }
    open(&request, payload, services, Door::Browser(source))
}

/// Where a socket came in.
#[derive(Clone, Copy)]
enum Door {
    Phone,
    /// From this address.
    Browser(IpAddr),
}

impl Door {
    fn channel(self) -> Channel {
        match self {
            Self::Phone => Channel::VOICE,
            Self::Browser(_) => Channel::BROWSER,
        }
    }
}

fn open(
    request: &HttpRequest,
    payload: web::Payload,
    services: Arc<CallServices>,
    door: Door,
) -> actix_web::Result<HttpResponse> {
    if services.stopping.is_cancelled() || !services.directory.is_loaded() {
        return Ok(HttpResponse::ServiceUnavailable().finish());
    }
    let (response, socket, stream) = actix_ws::handle(request, payload)?;
    let stream = stream
        .max_frame_size(LONGEST_FRAME_BYTES)
        .aggregate_continuations()
        .max_continuation_size(LONGEST_FRAME_BYTES);
    actix_web::rt::spawn(serve(services, stream, SocketSender::start(socket), door));
    Ok(response)
}

fn refused(channel: Channel, kind: &'static str) -> HttpResponse {
    metrics::counter!("edge_requests_refused_total", "channel" => channel.to_string(), "kind" => kind)
        .increment(1);
    tracing::warn!(kind, %channel, "media socket refused");
    HttpResponse::Unauthorized().finish()
}

async fn serve(
    services: Arc<CallServices>,
    mut stream: AggregatedMessageStream,
    socket: SocketSender,
    door: Door,
) {
    let admitted = async {
        let (stream_sid, call_sid, token) = await_start(&mut stream, &socket).await?;
        // The caller's first frames arrive while the call is being admitted.
        let clock = CallClock::start();
        admit(&services, stream_sid, &call_sid, &token, clock, door).await
    };
    match admitted.await {
        Ok(admitted) => Session::run(services, admitted, stream, socket).await,
        Err(kind) => {
            let channel = door.channel().to_string();
            metrics::counter!("edge_requests_refused_total", "channel" => channel, "kind" => kind)
                .increment(1);
            tracing::warn!(kind, "media socket closed before its call began");
            socket.send(Outgoing::Refuse(kind));
        }
    }
}

/// Waits for `start`; else says what came instead.
async fn await_start(
    stream: &mut AggregatedMessageStream,
    socket: &SocketSender,
) -> Result<(String, String, String), &'static str> {
    let start = async {
        for _ in 0..FRAMES_BEFORE_START {
            match stream.recv().await {
                Some(Ok(AggregatedMessage::Text(text))) => match wire::read(&text) {
                    Ok(StreamEvent::Start { stream_sid, call_sid, token }) => {
                        return Ok((stream_sid, call_sid, token));
                    }
                    Ok(_) => {}
                    Err(fault) => return Err(fault.kind()),
                },
                Some(Ok(AggregatedMessage::Ping(payload))) => socket.pong(payload),
                Some(Ok(AggregatedMessage::Pong(_))) => {}
                Some(Ok(AggregatedMessage::Binary(_))) => return Err("binary_frame"),
                Some(Ok(AggregatedMessage::Close(_))) | None => return Err("closed_before_start"),
                Some(Err(_)) => return Err("broken_socket"),
            }
        }
        Err("no_start")
    };
    tokio::time::timeout(START_WITHIN, start).await.unwrap_or(Err("no_start"))
}

/// Whether the call may begin on this socket. What Redis is asked besides is asked at once, for the caller waits.
async fn admit(
    services: &CallServices,
    stream_sid: String,
    call_sid: &str,
    token: &str,
    clock: CallClock,
    door: Door,
) -> Result<Admitted, &'static str> {
    if token.is_empty() {
        return Err("missing_token");
    }
    let now = Timestamp::now();
    let opened = services.tokens.open(token, now).map_err(|fault| fault.kind())?;
    let claims = opened.claims;
    if CallSid::parse(call_sid).as_ref() != Some(&claims.call) {
        return Err("token_of_another_call");
    }
    if claims.call.channel() != door.channel() {
        return Err("token_of_another_channel");
    }
    // Twice its life, so that no clock difference between tasks opens a gap.
    if !services.guard.is_first_use(opened.nonce, TOKEN_LIFE * 2).await {
        return Err("token_used_before");
    }
    let user = match door {
        Door::Phone => {
            UserKey::of(claims.tenant, &Channel::VOICE, claims.from.reveal(), claims.call.as_str())
        }
        Door::Browser(source) => UserKey::at(claims.tenant, source),
    };
    let resumed = claims.attempt > 0;
    let holder = format!("{}:{stream_sid}", services.own_queue);
    let record = attach(services, &claims, &holder, now).await;
    let (slot, fence, returned, off_record, listens_in, recorded) = tokio::join!(
        services.guard.take_socket(user, &claims.call, claims.attempt),
        services.cache.fence(&claims.call),
        async { resumed && services.states.is_returned(&claims.call, claims.attempt).await },
        async { resumed && services.cache.is_off_record(&claims.call).await.unwrap_or(false) },
        async {
            match resumed {
                true => services.cache.listens_in(&claims.call).await.unwrap_or(None),
                false => None,
            }
        },
        async { if resumed { recorded_turn(services, &claims).await } else { 0 } },
    );
    if slot.is_none() {
        let channel = door.channel();
        tracing::warn!(kind = "over_limit", %channel, limit = "sockets", user = %user.0, call = %claims.call,
            "media socket refused");
        return Err("too_many_sockets");
    }
    let record = match record {
        Ok(Some(record)) => Some(record),
        Ok(None) => return Err("call_has_ended"),
        // Without Redis the call goes on, as well as it can.
        Err(error) => {
            tracing::warn!(call = %claims.call, %error, "the call is held without a record");
            None
        }
    };
    let is_unrecorded = record.is_none();
    let started_at = record.as_ref().and_then(|record| record.began_at).unwrap_or(now);
    let stream_at = match record.as_ref().and_then(|record| record.began_at) {
        _ if !resumed => Some(0),
        // Who comes back to a call that begins now has lost its record.
        began_at => began_at
            .filter(|began_at| *began_at != now)
            .map(|began_at| samples(clock.wall(Moment::ZERO).since(began_at))),
    };
    let fence = fence.map_or(0, |turn| turn.0);
    let known = resumed.then_some(record).flatten();
    let turns_before = match &known {
        // The fence names the first turn that counts: it may be the one that was being spoken.
        Some(record) => record.taken.0.max(fence.saturating_sub(1)).max(recorded),
        None => fence.max(recorded),
    };
    let lost = match (known, stream_at) {
        _ if returned || !resumed => None,
        (Some(record), Some(at)) => Some(LostCall::of(record, fence, turns_before, duration(at))),
        // A record that has just begun knows nothing.
        _ => Some(LostCall::unknown()),
    };
    Ok(Admitted {
        claims,
        holder,
        lost,
        stream_sid,
        clock,
        slot,
        started_at,
        is_unrecorded,
        returned,
        off_record,
        listens_in,
        turns_before,
        stream_at,
    })
}

/// Takes the call for this socket; what was known of it, nothing where it is over or elsewhere.
async fn attach(
    services: &CallServices,
    claims: &StreamClaims,
    holder: &str,
    now: Timestamp,
) -> Result<Option<CallRecord>, CacheError> {
    let StreamClaims { call, attempt, .. } = claims;
    let mut tried = 0;
    loop {
        let attached =
            services.cache.attach_call(call, *attempt, holder, &services.own_queue, now).await;
        if attached.is_ok() || *attempt == 0 || tried == ATTACH_AGAIN {
            return attached;
        }
        tried += 1;
        tokio::time::sleep(ATTACH_EVERY).await;
    }
}

/// The last turn of the call that stands in the history: one that Redis was not told of is no number for another. 0 where the
/// database does not answer soon.
async fn recorded_turn(services: &CallServices, claims: &StreamClaims) -> u32 {
    let (store, tenant) = (services.store.clone(), claims.tenant);
    let conversation = ConversationId::of_call(tenant, &claims.call);
    // The pool's connections live where they were made.
    let asked = services.runtime.spawn(async move {
        let tx = store.tenant(tenant).await?;
        store::messages::last_turn(&tx, conversation).await
    });
    match tokio::time::timeout(RECORDED_WITHIN, asked).await {
        Ok(Ok(Ok(turn))) => turn.0,
        Ok(Ok(Err(error))) => {
            tracing::warn!(call = %claims.call, %error, "the call goes on without its history");
            0
        }
        Ok(Err(_)) | Err(_) => 0,
    }
}

/// What leaves on a media socket.
pub(super) enum Outgoing {
    /// One of the three messages of PROTOCOLS 1.5.
    Text(String),
    /// An answer to a ping.
    Pong(Bytes),
    /// The call is over, or handed over.
    Close,
    /// The call goes on at another task: a web page asks for it by itself.
    Leave,
    /// It never began.
    Refuse(&'static str),
}

/// Sends without ever waiting: a vendor that does not read must not hold up the call core.
pub(super) struct SocketSender(mpsc::Sender<Outgoing>);

impl SocketSender {
    fn start(mut socket: actix_ws::Session) -> Self {
        let (sender, mut queue) = mpsc::channel(LONGEST_BACKLOG);
        actix_web::rt::spawn(async move {
            let reason = loop {
                let sent = match queue.recv().await {
                    Some(Outgoing::Text(text)) => socket.text(text).await,
                    Some(Outgoing::Pong(payload)) => socket.pong(&payload).await,
                    Some(Outgoing::Close) | None => break CloseReason::from(CloseCode::Normal),
                    Some(Outgoing::Leave) => break CloseReason::from(CloseCode::Restart),
                    Some(Outgoing::Refuse(kind)) => {
                        break CloseReason::from((CloseCode::Policy, kind));
                    }
                };
                if sent.is_err() {
                    return;
                }
            };
            // The other side may be gone already.
            let _ = socket.close(Some(reason)).await;
        });
        Self(sender)
    }

    pub(super) fn send(&self, message: Outgoing) {
        // Lost only where the socket is closed or hopelessly behind; its reader notices the first, and a stream that
        // is 1,000 frames behind no longer carries a conversation.
        if self.0.try_send(message).is_err() {
            metrics::counter!("edge_media_frames_lost_total").increment(1);
        }
    }

    pub(super) fn pong(&self, payload: Bytes) {
        self.send(Outgoing::Pong(payload));
    }
}
