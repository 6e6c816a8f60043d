//! Calls.

use std::time::Duration;

use actix_web::{HttpRequest, web};
use aws_sdk_s3::presigning::PresigningConfig;
use domain::{AddressMode, CallSid, Channel, ConversationId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::history::{self, CallFilter};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    read::{self, Moment, Page, Query, moment},
    role::{Operator, ReadOnly},
    users,
    write::{Change, Done},
};

const WHAT: &str = "call";
const START: &str = "call.start";
const END: &str = "call.end";
/// How long a link to a recording is good.
const LINK_LIFE: Duration = Duration::from_secs(5 * 60);

/// A call.
#[derive(Serialize, ToSchema)]
pub struct Call {
    /// Its id.
    #[schema(example = "CA0123456789abcdef0123456789abcdef")]
    pub id: String,
    /// Its conversation, which has what was said.
    pub conversation: Uuid,
    /// `voice` or `browser`.
    #[schema(example = "voice")]
    pub channel: String,
    /// The person's id, where known.
    pub person: Option<Uuid>,
    /// Which of our addresses.
    #[schema(example = "+15550100001")]
    pub our_address: Option<String>,
    /// When it began.
    pub started_at: Option<Moment>,
    /// When it ended; null while it goes on.
    pub ended_at: Option<Moment>,
    /// Why: `caller`, `agent`, `time_limit`, `lost`, `transferred`.
    #[schema(example = "caller")]
    pub end_reason: Option<String>,
    /// The recording, once it is finished.
    pub recording: Option<Recording>,
}

/// A recording.
#[derive(Serialize, ToSchema)]
pub struct Recording {
    /// How long it is, ms.
    #[schema(example = 61_240)]
    pub duration_ms: i64,
    /// How large the file is, bytes.
    pub bytes: i64,
    /// Where it was paused, in order: both sides are silent there.
    pub paused: Vec<Paused>,
}

/// A stretch of a recording in which it was paused.
#[derive(Serialize, ToSchema)]
pub struct Paused {
    /// From here, ms from the start of the recording,
    #[schema(example = 20_480)]
    pub from_ms: u64,
    /// to before here.
    #[schema(example = 31_600)]
    pub to_ms: u64,
}

impl From<history::Recording> for Recording {
    fn from(r: history::Recording) -> Self {
        let paused = r.paused.into_iter().map(|(from_ms, to_ms)| Paused { from_ms, to_ms });
        Self { duration_ms: r.duration_ms, bytes: r.bytes, paused: paused.collect() }
    }
}

impl From<history::Call> for Call {
    fn from(c: history::Call) -> Self {
        Self {
            id: c.call,
            conversation: c.conversation,
            channel: c.channel,
            person: c.user,
            our_address: c.our_address,
            started_at: c.started_at.map(moment),
            ended_at: c.ended_at.map(moment),
            end_reason: c.end_reason,
            recording: c.recording.map(Recording::from),
        }
    }
}

/// Calls
///
/// The newest first.
#[utoipa::path(get, path = "/api/v1/calls", tag = "calls",
    params(
        ("live" = Option<bool>, Query, description = "Whether they still go on"),
        ("person" = Option<String>, Query, min_length = 1, max_length = 256, example = "+15551234567",
            description = "With this person: their id or phone number"),
        ("channel" = Option<String>, Query, min_length = 1, max_length = 256, example = "voice"),
        ("address" = Option<String>, Query, min_length = 1, max_length = 256, example = "+15550100001",
            description = "On this address of yours"),
        ("from" = Option<Moment>, Query, description = "That began then or later"),
        ("to" = Option<Moment>, Query, description = "That began earlier"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", body = inline(Success<Page<Call>>))))]
pub async fn list(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Page<Call>> {
    let mut query = Query::of(&request)?;
    let person = query.text("person")?;
    let mut filter = CallFilter {
        user: None,
        channel: query.text("channel")?,
        our_address: query.text("address")?,
        is_live: query.flag("live")?,
        from: query.moment("from")?,
        until: query.moment("to")?,
    };
    let (limit, after) = query.page()?;
    query.end()?;
    let tx = caller.begin().await?;
    if let Some(person) = person {
        filter.user = users::find(&tx, &person).await?;
        if filter.user.is_none() {
            return Ok(Reply::ok(Page::empty()));
        }
    }
    let after = after.map(|(at, id)| (Timestamp::from_micros(at), id));
    let rows = history::calls(&tx, &filter, after, limit + 1).await?;
    let key = |c: &history::Call| (c.started_at.unwrap_or_default().as_micros(), c.conversation);
    Ok(Reply::ok(Page::of(rows, limit, key, Call::from)))
}

/// One call
#[utoipa::path(get, path = "/api/v1/calls/{id}", tag = "calls",
    params(("id" = String, Path, example = "CA0123456789abcdef0123456789abcdef")),
    responses((status = 200, description = "It", body = inline(Success<Call>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn show(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Call> {
    Ok(Reply::tagged(find(&caller, &request).await?.into()))
}

/// A call that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedCall {
    /// Whom to ring, E.164.
    #[schema(pattern = "^\\+[1-9][0-9]{6,14}$", example = "+15551234567")]
    to: String,
    /// From which of our numbers.
    #[schema(pattern = "^\\+[1-9][0-9]{6,14}$", example = "+15550100001")]
    from: String,
}

/// A call that was started.
#[derive(Serialize, ToSchema)]
pub struct StartedCall {
    /// Its id.
    #[schema(example = "CA0123456789abcdef0123456789abcdef")]
    pub id: String,
    /// The conversation it will have once somebody answers.
    pub conversation: Uuid,
}

/// Ring somebody
///
/// For operators. Once the person answers, an agent talks to them. At most once under one Idempotency-Key: 409 `unfinished` says
/// that nobody knows whether a phone rang.
#[utoipa::path(post, path = "/api/v1/calls", tag = "calls", request_body = WantedCall,
    responses((status = 202, description = "It is being placed", body = inline(Success<StartedCall>))))]
pub async fn start(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let wanted: WantedCall = body.json()?;
    let to = read::phone("to", &wanted.to)?;
    read::phone("from", &wanted.from)?;
    let ours = caller.api.directory.address(&Channel::VOICE, &wanted.from);
    let ours = ours.filter(|a| a.tenant == caller.tenant && a.mode != AddressMode::Chat);
    if ours.is_none() {
        return Err(ApiError::field("from", "is no number of yours that takes calls"));
    }
    let change = Change::of(&caller, &request, &body)?;
    change
        .make_outside((START, &change.id.to_string()), async || {
            let call = caller.api.twilio.start(&wanted.from, &to).await?;
            let conversation = *ConversationId::of_call(caller.tenant, &call).as_uuid();
            let started = StartedCall { id: call.to_string(), conversation };
            let noted = json!({ "from": wanted.from, "change": change.id });
            Ok(Done::accepted(started, START, &call).noting(noted))
        })
        .await
}

/// End a call
///
/// For operators. 409 `call_over` when it does not go on any more, `not_a_phone_call` for one from a web page.
#[utoipa::path(post, path = "/api/v1/calls/{id}/end", tag = "calls",
    params(("id" = String, Path, example = "CA0123456789abcdef0123456789abcdef")),
    responses((status = 202, description = "It is being ended", body = inline(Success<Call>))))]
pub async fn end(caller: As<Operator>, request: HttpRequest, body: web::Payload) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let found = find(&caller, &request).await?;
    if found.ended_at.is_some() {
        return Err(ApiError::conflict("call_over", "the call does not go on any more"));
    }
    let call = CallSid::parse(&found.call).ok_or_else(|| ApiError::not_found(WHAT))?;
    if call.channel() != Channel::VOICE {
        return Err(ApiError::conflict("not_a_phone_call", "a web page ends its call itself"));
    }
    Change::of(&caller, &request, &body)?
        .make_outside((END, call.as_str()), async || {
            caller.api.twilio.end(&call).await?;
            Ok(Done::accepted(Call::from(found), END, &call))
        })
        .await
}

/// A link to a recording.
#[derive(Serialize, ToSchema)]
pub struct RecordingLink {
    /// Where the WAV file is: the caller on the left, the agent on the right.
    #[schema(example = "https://recordings.s3.amazonaws.com/audio-recordings/…")]
    pub url: String,
    /// Until when the link is good.
    pub expires_at: Moment,
}

/// A link to a call's recording
///
/// Good for five minutes, for whoever has it.
#[utoipa::path(get, path = "/api/v1/calls/{id}/recording", tag = "calls",
    params(("id" = String, Path, example = "CA0123456789abcdef0123456789abcdef")),
    responses((status = 200, description = "It", body = inline(Success<RecordingLink>))))]
pub async fn recording(caller: As<ReadOnly>, request: HttpRequest) -> Answer<RecordingLink> {
    let found = find(&caller, &request).await?;
    let call = CallSid::parse(&found.call).ok_or_else(|| ApiError::not_found(WHAT))?;
    let tx = caller.begin().await?;
    let recording = store::calls::recording(&tx, &call).await?;
    let recording = recording.ok_or_else(|| ApiError::not_found("recording"))?;
    let expires_at = moment(Timestamp::now().plus(LINK_LIFE));
    let good_for = PresigningConfig::expires_in(LINK_LIFE).map_err(not_linked)?;
    let link = caller.api.s3.get_object().bucket(recording.bucket).key(recording.key);
    let link = link.presigned(good_for).await.map_err(not_linked)?;
    Ok(Reply::ok(RecordingLink { url: link.uri().to_owned(), expires_at }))
}

fn not_linked(error: impl std::error::Error + 'static) -> ApiError {
    let error: &dyn std::error::Error = &error;
    tracing::error!(error, kind = "link_not_made", "link to a recording not made");
    ApiError::internal()
}

async fn find(
    caller: &super::caller::Caller,
    request: &HttpRequest,
) -> Result<history::Call, ApiError> {
    let Some(call) = CallSid::parse(read::path_text(request)) else {
        return Err(ApiError::not_found(WHAT));
    };
    let tx = caller.begin().await?;
    history::call(&tx, call.as_str()).await?.ok_or_else(|| ApiError::not_found(WHAT))
}
