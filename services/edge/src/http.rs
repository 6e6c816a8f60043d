//! The border: the main HTTP server, and the one pipeline that every vendor's webhook goes through.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use bus::{Bus, Destination, Queue, SendError, TraceContext};
use bytes::{Bytes, BytesMut};
use cache::Cache;
use domain::{Dependency, Envelope, EventId, Payload, Timestamp};
use futures::{StreamExt as _, future::join_all};
use serde_json::json;
use uuid::Uuid;

use crate::{
    call::{CallServices, settle_call_over, socket},
    channel::{
        Answer, ChannelAdapter, Forgery, Notice, Outcome, Reception, Route, RouteMethod, Seen,
        UserKey, VendorRequest,
    },
    consumers::media,
    guard::{
        Guard,
        client_address::{TrustedProxies, VendorSources},
    },
    publisher::Publisher,
    read_marks::ReadMarks,
};

/// Vendors send their bodies at once.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How much of an oversized body is read and thrown away, so that the sender gets to read the answer.
const DISCARDED_BYTES: usize = 16 * 1024 * 1024;
/// When a person wrote last is noted no more often than this, to spare Redis a write for each message.
const WRITTEN_NOTED_EVERY: Duration = Duration::from_secs(5 * 60);
/// The statuses of a message mostly follow within this.
const SETTLED_REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// What the HTTP server needs.
pub struct Border {
    /// The channels.
    pub adapters: Vec<Arc<dyn ChannelAdapter>>,
    /// Who may come in.
    pub guard: Arc<Guard>,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: TrustedProxies,
    /// From where vendors may ask.
    pub sources: VendorSources,
    /// Where jobs go, and what nobody waits for.
    pub bus: Bus,
    /// Where events go.
    pub publisher: Publisher,
    /// Whom it is shown that their message was seen.
    pub read_marks: ReadMarks,
    /// Send records.
    pub cache: Cache,
    /// Calls and their sockets.
    pub calls: Arc<CallServices>,
    /// What `/health` shows.
    pub dependencies: Vec<Arc<dyn Dependency>>,
}

/// Mounts everything the main port serves.
pub fn routes(app: &mut web::ServiceConfig, border: &web::Data<Border>) {
    app.app_data(border.clone());
    for adapter in &border.adapters {
        for route in adapter.routes() {
            let (adapter, route) = (adapter.clone(), *route);
            let handler =
                move |request: HttpRequest, body: web::Payload, border: web::Data<Border>| {
                    let adapter = adapter.clone();
                    async move { border.webhook(&adapter, route, &request, body).await }
                };
            let method = match route.method {
                RouteMethod::Get => web::get(),
                RouteMethod::Post => web::post(),
            };
            app.route(route.path, method.to(handler));
        }
    }
    app.route("/media-stream", web::get().to(socket::media_stream))
        .route("/browser-stream", web::get().to(socket::browser_stream))
        .route("/health", web::get().to(ready))
        .route("/healthz", web::get().to(alive));
}

async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "alive"}))
}

async fn ready(border: web::Data<Border>) -> HttpResponse {
    if border.calls.stopping.is_cancelled() {
        return HttpResponse::ServiceUnavailable().json(json!({"status": "stopping"}));
    }
    boot::health_response(&border.dependencies).await
}

/// The address a request came from, behind `proxies` or not (E3).
pub fn source_of(proxies: &TrustedProxies, request: &HttpRequest) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |a| a.ip());
    // A proxy may add a line of its own below one that the caller wrote: together they are one list.
    let lines = request.headers().get_all("x-forwarded-for");
    let forwarded: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
    proxies.source(peer, &forwarded.join(","))
}

/// Why a request was not taken in.
enum Refusal {
    Blocked,
    /// The vendor does not ask from there.
    ForeignSource,
    TooLarge,
    TooSlow,
    Forged(Forgery),
    Malformed(String),
    Unavailable(SendError),
    /// The task has just started and knows no address yet: another is to be asked, or this one again.
    Starting,
}

impl Border {
    /// The address a request came from (E3).
    pub fn source_of(&self, request: &HttpRequest) -> IpAddr {
        source_of(&self.proxies, request)
    }

    /// Guards, reads, publishes and only then answers a vendor's request (DESIGN 4).
    async fn webhook(
        &self,
        adapter: &Arc<dyn ChannelAdapter>,
        route: Route,
        request: &HttpRequest,
        body: web::Payload,
    ) -> HttpResponse {
        let begun = std::time::Instant::now();
        let route_method = request.method().as_str().to_owned();
        let response = match self.take_in(adapter, route, request, body).await {
            Ok(answer) => response_of(&answer),
            Err(refusal) => refused(&adapter.channel().to_string(), route.path, &refusal),
        };
        metrics::histogram!("http_server_request_duration_seconds",
            "http_request_method" => route_method, "http_route" => route.path,
            "http_response_status_code" => response.status().as_str().to_owned())
        .record(begun.elapsed());
        response
    }

    async fn take_in(
        &self,
        adapter: &Arc<dyn ChannelAdapter>,
        route: Route,
        request: &HttpRequest,
        body: web::Payload,
    ) -> Result<Answer, Refusal> {
        if !self.calls.directory.is_loaded() {
            return Err(Refusal::Starting);
        }
        let source = self.source_of(request);
        if !self.sources.allow(&adapter.channel(), source) {
            return Err(Refusal::ForeignSource);
        }
        if self.guard.is_blocked(source).await {
            return Err(Refusal::Blocked);
        }
        let read = read_body(request, body, route.max_body_bytes);
        let body =
            tokio::time::timeout(BODY_WITHIN, read).await.map_err(|_| Refusal::TooSlow)??;
        let request = VendorRequest {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or("").to_owned(),
            headers: request.headers().clone(),
            body,
            source,
            received_at: Timestamp::now(),
        };
        if let Err(forgery) = adapter.validate(&request) {
            if adapter.proves_sender() && self.guard.note_forgery(source).await {
                metrics::counter!("edge_addresses_blocked_total").increment(1);
                tracing::warn!(
                    kind = "address_blocked",
                    "repeated bad signatures: source blocked for 15 minutes"
                );
            }
            return Err(Refusal::Forged(forgery));
        }
        if adapter.proves_sender() {
            self.guard.note_signed(source).await;
        }
        let repeat_key = adapter.repeat_key(&request);
        if let Some(key) = &repeat_key
            && let Some(body) = self.guard.earlier_answer(key).await
        {
            metrics::counter!("edge_repeats_total", "channel" => adapter.channel().to_string())
                .increment(1);
            tracing::info!(
                kind = "repeated_request",
                path = route.path,
                "answered as before, without effect"
            );
            return Ok(earlier(body));
        }
        let reception = adapter
            .receive(&request)
            .await
            .map_err(|fault| Refusal::Malformed(fault.to_string()))?;
        let (answer, seen) = self.publish(adapter, reception).await?;
        for (user, seen) in seen {
            self.read_marks.mark(&self.calls.runtime, adapter, user, seen);
        }
        match repeat_key {
            Some(key) => Ok(earlier(self.guard.keep_answer(&key, kept(&answer)).await)),
            None => Ok(answer),
        }
    }

    /// Publishes what a request says; `Ok` only once the broker has all of it.
    async fn publish(
        &self,
        adapter: &Arc<dyn ChannelAdapter>,
        reception: Reception,
    ) -> Result<(Answer, Vec<(UserKey, Seen)>), Refusal> {
        let Reception { notices, mut answer, answer_over_limit, outcome } = reception;
        let mut outcome = outcome;
        let (mut events, mut calls_over, mut seen_marks) = (Vec::new(), Vec::new(), Vec::new());
        let judged = self.judge_all(&notices).await;
        for (notice, is_admitted) in notices.into_iter().zip(judged) {
            match notice {
                Notice::Person { user, event, seen } => {
                    if is_admitted {
                        self.note_written(adapter, event.as_deref());
                        events.extend(event.map(|e| *e));
                        seen_marks.extend(seen.map(|seen| (user, seen)));
                    } else {
                        answer = answer_over_limit.clone();
                        outcome = None;
                        let channel = adapter.channel().to_string();
                        metrics::counter!("edge_over_limit_total", "channel" => channel.clone())
                            .increment(1);
                        tracing::warn!(kind = "over_limit", channel, limit = "requests", user = %user.0, "request dropped");
                    }
                }
                Notice::Delivery { event, .. } => events.push(*event),
                Notice::CallOver(event) => calls_over.push(*event),
            }
        }
        for event in events.iter_mut().chain(&mut calls_over) {
            event.traceparent = Some(TraceContext::root().to_string());
        }
        if !events.is_empty() {
            let files: Vec<Envelope> = events.iter().filter_map(media::job_of).collect();
            let received: Vec<&'static str> = events.iter().map(|e| e.payload.name()).collect();
            self.publisher.publish(events).await.map_err(Refusal::Unavailable)?;
            boot::crash_point("edge.published");
            count_received(adapter, received);
            if !files.is_empty() {
                // Not sent, the vendor repeats the whole request: what is published already is dropped then.
                let to = Destination::Shared(Queue::Media);
                self.bus.send(&to, &files).await.map_err(Refusal::Unavailable)?;
            }
        }
        for event in calls_over {
            settle_call_over(&self.calls, event).await.map_err(Refusal::Unavailable)?;
        }
        if let Some(outcome) = outcome {
            let Outcome { answer: last, events } = outcome.await;
            answer = last;
            self.publish_beside(adapter, events);
        }
        Ok((answer, seen_marks))
    }

    /// From now on the person may be written to freely for a while. Beside the answer: the history knows it too.
    fn note_written(&self, adapter: &Arc<dyn ChannelAdapter>, event: Option<&Envelope>) {
        let Some(event) = event.filter(|_| adapter.window().is_some()) else { return };
        let Payload::MessageReceived(message) = &event.payload else { return };
        let mut chats = message.chats(event.tenant, &event.channel, event.conversation);
        // A moment that is a few minutes old sends whoever asks to the history.
        chats.retain(|chat| {
            !self.guard.was_marked_here(&format!("written:{chat}"), WRITTEN_NOTED_EVERY)
        });
        if chats.is_empty() {
            return;
        }
        let (cache, at) = (self.cache.clone(), event.occurred_at);
        self.calls.runtime.spawn(async move {
            for chat in chats {
                if let Err(error) = cache.note_written(chat, at).await {
                    tracing::debug!(%error, "when a person wrote last is not noted");
                }
            }
        });
    }

    /// Publishes what the vendor does not wait for. Lost where the broker is away: times of a turn are no history, and of
    /// a call's end the vendor tells as well.
    fn publish_beside(&self, adapter: &Arc<dyn ChannelAdapter>, mut events: Vec<Envelope>) {
        if events.is_empty() {
            return;
        }
        for event in &mut events {
            event.traceparent.get_or_insert_with(|| TraceContext::root().to_string());
        }
        let (bus, adapter) = (self.bus.clone(), adapter.clone());
        let publish = async move {
            match bus.publish(&events).await {
                Ok(()) => count_received(&adapter, events.iter().map(|e| e.payload.name())),
                Err(error) => {
                    tracing::error!(%error, "events beside a webhook's answer not published")
                }
            }
        };
        self.calls.unfinished.spawn_on(publish, &self.calls.runtime);
    }

    /// Judges the notices of a request, at once: Meta sends up to 1,000 updates in one. Those of one person one after the
    /// other, so that the first are within the limit.
    async fn judge_all(&self, notices: &[Notice]) -> Vec<bool> {
        let mut rows: HashMap<Uuid, Vec<usize>> = HashMap::new();
        for (place, notice) in notices.iter().enumerate() {
            let row = match notice {
                Notice::Person { user, .. } => user.0,
                Notice::Delivery { send: Some((send, _)), .. } => *send.as_uuid(),
                Notice::Delivery { .. } | Notice::CallOver(_) => continue,
            };
            rows.entry(row).or_default().push(place);
        }
        let row = async |places: Vec<usize>| {
            let mut judged = Vec::with_capacity(places.len());
            for place in places {
                judged.push((place, self.judge(&notices[place]).await));
            }
            judged
        };
        let mut judged = vec![true; notices.len()];
        for (place, is_admitted) in
            join_all(rows.into_values().map(row)).await.into_iter().flatten()
        {
            judged[place] = is_admitted;
        }
        judged
    }

    /// What Redis has to do with a notice: whether a person is within their limit; that a send arrived.
    async fn judge(&self, notice: &Notice) -> bool {
        match notice {
            Notice::Person { user, .. } => self.guard.admit(*user).await,
            Notice::Delivery { send: Some((send, external_id)), .. } => {
                self.settle_send(*send, external_id).await;
                true
            }
            Notice::Delivery { .. } | Notice::CallOver(_) => true,
        }
    }

    /// A status with our mark on it proves that the vendor took the message: a send in doubt is settled. Three statuses
    /// follow a message; the first that comes here is enough.
    async fn settle_send(&self, send: EventId, external_id: &str) {
        let key = format!("settled:{send}");
        if self.guard.is_marked_here(&key) {
            return;
        }
        match self.cache.finish_send(send, external_id).await {
            Ok(_) => drop(self.guard.was_marked_here(&key, SETTLED_REMEMBERED)),
            Err(error) => tracing::debug!(%error, "send record not settled by a status"),
        }
    }
}

fn count_received(
    adapter: &Arc<dyn ChannelAdapter>,
    events: impl IntoIterator<Item = &'static str>,
) {
    for event in events {
        metrics::counter!("edge_events_total",
            "channel" => adapter.channel().to_string(), "event" => event)
        .increment(1);
    }
}

async fn read_body(
    request: &HttpRequest,
    mut body: web::Payload,
    limit: usize,
) -> Result<Bytes, Refusal> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let mut kept = BytesMut::with_capacity(announced.unwrap_or(0).min(limit));
    let mut total = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| Refusal::Malformed(format!("body: {e}")))?;
        total += chunk.len();
        if total > limit + DISCARDED_BYTES {
            break;
        }
        if total <= limit {
            kept.extend_from_slice(&chunk);
        }
    }
    if total > limit { Err(Refusal::TooLarge) } else { Ok(kept.freeze()) }
}

/// An answer as it is kept for repeats: the content type tells the rest, for only 200 is kept.
fn kept(answer: &Answer) -> String {
    let kind = if answer.content_type == Answer::twiml("").content_type { 'x' } else { 't' };
    format!("{kind}{}", answer.body)
}

fn earlier(kept: String) -> Answer {
    match kept.strip_prefix('x') {
        Some(body) => Answer::twiml(body),
        None => Answer::text(kept.strip_prefix('t').unwrap_or(&kept)),
    }
}

fn response_of(answer: &Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    response.content_type(answer.content_type);
    for header in answer.headers {
        response.insert_header(*header);
    }
    response.body(answer.body.clone())
}

/// The answer to what is not taken in, and its one log line: the kind, and nothing about a person.
fn refused(channel: &str, path: &'static str, refusal: &Refusal) -> HttpResponse {
    let (status, kind, told) = match refusal {
        Refusal::Blocked => (StatusCode::UNAUTHORIZED, "blocked_address", String::new()),
        Refusal::ForeignSource => (StatusCode::FORBIDDEN, "foreign_source", String::new()),
        Refusal::Forged(forgery @ (Forgery::WrongToken | Forgery::ForeignPage)) => {
            (StatusCode::FORBIDDEN, forgery.kind(), String::new())
        }
        Refusal::Forged(forgery) => (StatusCode::UNAUTHORIZED, forgery.kind(), String::new()),
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "oversized_body", String::new()),
        Refusal::TooSlow => (StatusCode::REQUEST_TIMEOUT, "slow_body", String::new()),
        Refusal::Malformed(fault) => (StatusCode::BAD_REQUEST, "malformed_request", fault.clone()),
        Refusal::Unavailable(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "queues_unavailable", String::new())
        }
        Refusal::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting", String::new()),
    };
    metrics::counter!("edge_requests_refused_total", "channel" => channel.to_owned(), "kind" => kind).increment(1);
    match refusal {
        Refusal::Unavailable(error) => {
            tracing::error!(kind, channel, path, %error, "request not taken in")
        }
        _ => tracing::warn!(kind, channel, path, fault = told, "request refused"),
    }
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(told)
}
