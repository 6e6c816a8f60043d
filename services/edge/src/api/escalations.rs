//! Requests for a human (A7): the queue that operators work from.

use std::time::Duration;

use actix_web::{HttpRequest, web};
use domain::{Channel, ConversationId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use store::{TenantTx, due, escalations};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    events,
    read::{self, Moment, Page, Query, moment},
    role::{Operator, ReadOnly},
    write::Change,
};
use crate::handover;

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
    /// When a human was last asked for again.
    pub asked_again_at: Option<Moment>,
    /// Who took it.
    #[schema(example = "jwt:ana")]
    pub taken_by: Option<String>,
    /// When.
    pub taken_at: Option<Moment>,
    /// When a human last wrote in the chat, or took it.
    pub active_at: Option<Moment>,
    /// When it was closed.
    pub closed_at: Option<Moment>,
    /// Who closed it; null where it timed out.
    #[schema(example = "jwt:ana")]
    pub closed_by: Option<String>,
    /// Whether it was closed because whoever took it did not write any more.
    pub timed_out: bool,
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
            asked_again_at: e.asked_again_at.map(moment),
            taken_by: e.taken_by,
            taken_at: e.taken_at.map(moment),
            active_at: e.active_at.map(moment),
            closed_at: e.closed_at.map(moment),
            closed_by: e.closed_by,
            timed_out: e.timed_out,
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
/// For operators. In a chat the agents stay silent from now on, until it is closed, or until no operator has written in it for
/// the tenant's `chat_handover.idle_after_minutes` (12 hours unless said). 409 `not_open` when somebody else was first.
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
        let now = Timestamp::now();
        let claimed = escalations::claim(tx, id, &caller.actor, now).await?;
        if claimed && let Some((chat, channel)) = chat_of(&find(tx, id).await?) {
            // Before it is on record: agents that know nothing of the chat ask the database who has it.
            caller.api.cache.forget_context(chat).await.map_err(away)?;
            let at = now.plus(idle_after(&caller));
            handover::look_again(tx, id, at, (caller.tenant, chat, channel)).await?;
        }
        Ok(claimed)
    };
    let refused = ("not_open", "it is not open any more");
    changed((&caller, &change), ("escalation.claim", "escalation_claimed", id), claimed, refused)
        .await
}

/// Close a request for a human
///
/// For operators. A chat goes back to the agents, unless another operator has it by a request of its own. 409 `closed` when it
/// was closed before.
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
        let closed = escalations::close(tx, id, &caller.actor, Timestamp::now()).await?;
        if closed {
            due::forget(tx, id).await?;
        }
        Ok(closed)
    };
    let refused = ("closed", "it was closed before");
    changed((&caller, &change), ("escalation.close", "escalation_closed", id), closed, refused)
        .await
}

/// Makes the change, and once it stands has the agents know who has the chat. Where they cannot be told they find out: the
/// database has the word.
async fn changed(
    (caller, change): (&As<Operator>, &Change<'_>),
    (action, live, id): (&'static str, &'static str, Uuid),
    step: impl AsyncFnOnce(&TenantTx) -> Result<bool, ApiError>,
    refused: (&str, &str),
) -> Answer<Value> {
    let shown = async |tx: &TenantTx| Ok(escalations::find(tx, id).await?);
    let answer = change.step::<_, Escalation>((action, WHAT, id), step, shown, refused).await?;
    let found = async { find(&caller.begin().await?, id).await };
    let Ok(found) = found.await else { return Ok(answer) };
    if let Some((chat, _)) = chat_of(&found) {
        let stores = (&caller.api.store, &caller.api.cache);
        let marked = handover::mark(stores, (caller.tenant, chat), idle_after(caller)).await;
        if let Err(error) = marked {
            let error = format!("{error:#}");
            tracing::warn!(error, "a chat is not marked as it stands; agents ask the database");
        }
    }
    let (told, by) = ((live, change.id), Some(caller.actor.as_str()));
    events::tell_escalation(&caller.api.cache, caller.tenant, told, &found, by).await;
    Ok(answer)
}

fn idle_after(caller: &As<Operator>) -> Duration {
    let settings = caller.api.directory.settings(caller.tenant).unwrap_or_default();
    settings.chat_handover.idle_after
}

async fn find(tx: &TenantTx, id: Uuid) -> Result<escalations::Escalation, ApiError> {
    escalations::find(tx, id).await?.ok_or_else(|| ApiError::not_found(WHAT))
}

/// The chat that a human is wanted in; `None` for a call.
fn chat_of(of: &escalations::Escalation) -> Option<(ConversationId, Channel)> {
    let channel = Channel::named(of.channel.clone());
    (!channel.is_spoken()).then(|| (ConversationId::from_uuid(of.conversation), channel))
}

fn away(error: cache::CacheError) -> ApiError {
    tracing::warn!(%error, kind = "redis_away", "a chat was not handed over");
    ApiError::unavailable("the chat could not be handed over; again later")
}
