//! Calls.

use actix_web::HttpRequest;
use domain::Timestamp;
use serde::Serialize;
use store::history;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    read::{self, Moment, Page, Query, moment},
    role::ReadOnly,
};

const WHAT: &str = "call";

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
            recording: c.recording.map(|(duration_ms, bytes)| Recording { duration_ms, bytes }),
        }
    }
}

/// Calls
///
/// The newest first.
#[utoipa::path(get, path = "/api/v1/calls", tag = "calls",
    params(
        ("from" = Option<Moment>, Query, description = "That began then or later"),
        ("to" = Option<Moment>, Query, description = "That began earlier"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", body = inline(Success<Page<Call>>))))]
pub async fn list(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Page<Call>> {
    let mut query = Query::of(&request)?;
    let began = (query.moment("from")?, query.moment("to")?);
    let (limit, after) = query.page()?;
    query.end()?;
    let tx = caller.begin().await?;
    let after = after.map(|(at, id)| (Timestamp::from_micros(at), id));
    let rows = history::calls(&tx, began, after, limit + 1).await?;
    let key = |c: &history::Call| (c.started_at.unwrap_or_default().as_micros(), c.conversation);
    Ok(Reply::ok(Page::of(rows, limit, key, Call::from)))
}

/// One call
#[utoipa::path(get, path = "/api/v1/calls/{id}", tag = "calls",
    params(("id" = String, Path, example = "CA0123456789abcdef0123456789abcdef")),
    responses((status = 200, description = "It", body = inline(Success<Call>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn show(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Call> {
    let Some(call) = domain::CallSid::parse(read::path_text(&request)) else {
        return Err(ApiError::not_found(WHAT));
    };
    let tx = caller.begin().await?;
    let found = history::call(&tx, call.as_str()).await?;
    Ok(Reply::tagged(found.ok_or_else(|| ApiError::not_found(WHAT))?.into()))
}
