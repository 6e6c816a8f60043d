//! Requests for a human (A7): the queue that operators work from.

use actix_web::{HttpRequest, web};
use domain::{Channel, ConversationId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use store::{TenantTx, escalations};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    read::{self, Moment, Page, Query, moment},
    role::{Operator, ReadOnly},
    write::Change,
};

const WHAT: &str = "escalation";

/// A request for a human.
#[derive(Serialize, ToSchema)]
pub struct Escalation {
    /// Its id.
    pub id: Uuid,
    /// In which conversation.
    pub conversation: Uuid,
    /// On which channel.
    #[schema(example = "whatsapp")]
    pub channel: String,
    /// Why, as a short code: `asked`, `ladder`, `no_answer`, ...
    #[schema(example = "asked")]
    pub reason: String,
    /// What the human should know.
    #[schema(example = "Wants to talk about an invoice.")]
    pub summary: String,
    /// Where it stands.
    pub status: EscalationStatus,
    /// When a human was asked for.
    pub requested_at: Moment,
    /// Who took it.
    #[schema(example = "jwt:ana")]
    pub taken_by: Option<String>,
    /// When.
    pub taken_at: Option<Moment>,
    /// When it was closed.
    pub closed_at: Option<Moment>,
}

/// Where a request for a human stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EscalationStatus {
    /// Nobody has taken it.
    Open,
    /// Somebody sees to it.
    Taken,
    /// It is done.
    Closed,
}

impl From<escalations::Escalation> for Escalation {
    fn from(e: escalations::Escalation) -> Self {
        Self {
            id: e.id,
            conversation: e.conversation,
            channel: e.channel,
            reason: e.reason,
            summary: e.summary.into_revealed(),
            status: match e.status.as_str() {
                "open" => EscalationStatus::Open,
                "taken" => EscalationStatus::Taken,
                _ => EscalationStatus::Closed,
            },
            requested_at: moment(e.requested_at),
            taken_by: e.taken_by,
            taken_at: e.taken_at.map(moment),
            closed_at: e.closed_at.map(moment),
        }
    }
}

/// Requests for a human
///
/// The one that has waited longest first.
#[utoipa::path(get, path = "/api/v1/escalations", tag = "escalations",
    params(
        ("status" = Option<EscalationStatus>, Query),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", body = inline(Success<Page<Escalation>>))))]
pub async fn list(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Page<Escalation>> {
    let mut query = Query::of(&request)?;
    let status = query.choice("status", &["open", "taken", "closed"])?;
    let (limit, after) = query.page()?;
    query.end()?;
    let tx = caller.begin().await?;
    let after = after.map(|(at, id)| (Timestamp::from_micros(at), id));
    let rows = escalations::page(&tx, status, after, limit + 1).await?;
    let key = |e: &escalations::Escalation| (e.requested_at.as_micros(), e.id);
    Ok(Reply::ok(Page::of(rows, limit, key, Escalation::from)))
}

/// One request for a human
#[utoipa::path(get, path = "/api/v1/escalations/{id}", tag = "escalations",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It", body = inline(Success<Escalation>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn show(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Escalation> {
    let id = read::path_id(&request, WHAT)?;
    let tx = caller.begin().await?;
    let found = escalations::find(&tx, id).await?;
    Ok(Reply::tagged(found.ok_or_else(|| ApiError::not_found(WHAT))?.into()))
}

/// Take a request for a human
///
/// For operators. In a chat the agents stay silent from now on, until it is closed, or for 12 hours. 409 `not_open` when somebody
/// else was first.
#[utoipa::path(post, path = "/api/v1/escalations/{id}/claim", tag = "escalations",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It is the caller's", body = inline(Success<Escalation>))))]
pub async fn claim(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, _) = Change::read(&caller, &request, body).await?;
    let id = read::path_id(&request, WHAT)?;
    let claimed = async |tx: &TenantTx| {
        let claimed = escalations::claim(tx, id, &caller.actor).await?;
        if claimed && let Some(chat) = chat_of(tx, id).await? {
            // Before it is on record: whoever has a chat must not find an agent talking in it.
            caller.api.cache.hand_to_human(chat).await.map_err(away)?;
        }
        Ok(claimed)
    };
    let refused = ("not_open", "it is not open any more");
    changed(&change, ("escalation.claim", id), claimed, refused).await
}

/// Close a request for a human
///
/// For operators. A chat goes back to the agents. 409 `closed` when it was closed before.
#[utoipa::path(post, path = "/api/v1/escalations/{id}/close", tag = "escalations",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It is closed", body = inline(Success<Escalation>))))]
pub async fn close(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, _) = Change::read(&caller, &request, body).await?;
    let id = read::path_id(&request, WHAT)?;
    let closed = async |tx: &TenantTx| {
        let closed = escalations::close(tx, id).await?;
        if closed && let Some(chat) = chat_of(tx, id).await? {
            caller.api.cache.give_back(chat).await.map_err(away)?;
        }
        Ok(closed)
    };
    let refused = ("closed", "it was closed before");
    changed(&change, ("escalation.close", id), closed, refused).await
}

async fn changed(
    change: &Change<'_>,
    (action, id): (&'static str, Uuid),
    step: impl AsyncFnOnce(&TenantTx) -> Result<bool, ApiError>,
    refused: (&str, &str),
) -> Answer<Value> {
    let shown = async |tx: &TenantTx| Ok(escalations::find(tx, id).await?);
    change.step::<_, Escalation>((action, WHAT, id), step, shown, refused).await
}

/// The chat that a human is wanted in; `None` for a call.
async fn chat_of(tx: &TenantTx, id: Uuid) -> Result<Option<ConversationId>, ApiError> {
    let found = escalations::find(tx, id).await?.ok_or_else(|| ApiError::not_found(WHAT))?;
    let is_chat = !Channel::named(found.channel).is_spoken();
    Ok(is_chat.then(|| ConversationId::from_uuid(found.conversation)))
}

fn away(error: cache::CacheError) -> ApiError {
    tracing::warn!(%error, kind = "redis_away", "a chat was not handed over");
    ApiError::unavailable("the chat could not be handed over; again later")
}
