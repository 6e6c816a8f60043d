//! What was given up (F5): a tenant's own dead letters, seen, sent again or given up for good by operators. Filters over all
//! tenants, rates and parking are the command line's (`switchboardctl dlq`).

use actix_web::{HttpRequest, web};
use bus::{Queue, Replay, Topology, replay_id};
use domain::EventId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::dead_letters::{
    Act, QUARANTINED_AFTER, State,
    own::{self, OwnLetter},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    read::{self, Moment, Page, Query, moment},
    role::Operator,
    write::{Change, Done},
};

const WHAT: &str = "dead letter";
const LONGEST_REASON: usize = 500;
/// A letter that was begun to be sent may not have been: it is sent again as the same.
const OPEN: [State; 2] = [State::Waiting, State::Pending];

/// A message that was given up.
#[derive(Serialize, ToSchema)]
pub struct DeadLetter {
    /// Its number.
    #[schema(example = 17)]
    pub number: i64,
    /// The queue it was meant for.
    #[schema(example = "writer")]
    pub queue: String,
    /// Why it was given up.
    #[schema(example = "failed 5 times, at last: no route to the model")]
    pub reason: String,
    /// What became of it.
    pub state: LetterState,
    /// What it says, by name.
    #[schema(example = "MessageReceived")]
    pub event: Option<String>,
    /// Its event's id.
    pub event_id: Option<Uuid>,
    /// In which conversation.
    pub conversation: Option<Uuid>,
    /// In which turn.
    pub turn: Option<i32>,
    /// How often a handler had begun it.
    pub starts: i32,
    /// How often the broker had handed it out.
    pub receives: i32,
    /// How often it had been sent again when it died.
    pub replays: i32,
    /// When it was given up.
    pub died_at: Moment,
    /// When it became worthless: a job of a call.
    pub expires_at: Option<Moment>,
    /// Its trace.
    pub trace_id: Option<String>,
    /// Whether operators leave its conversation alone.
    pub is_parked: bool,
}

/// What became of a dead letter.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LetterState {
    /// Nobody has done anything about it.
    Waiting,
    /// It is being sent again.
    Pending,
    /// It was sent again.
    Published,
    /// It was handled.
    Processed,
    /// It died again, as another letter.
    Failed,
    /// It was given up for good.
    Discarded,
}

/// Something that was done to a dead letter, or came of it.
#[derive(Serialize, ToSchema)]
pub struct LetterAct {
    /// When.
    pub at: Moment,
    /// What.
    #[schema(example = "replay")]
    pub act: String,
    /// By whom.
    #[schema(example = "jwt:ana")]
    pub actor: String,
    /// The reason, or what else is to be known.
    pub detail: String,
}

/// A dead letter, and what was done to it.
#[derive(Serialize, ToSchema)]
pub struct DeadLetterWithActs {
    /// The letter.
    pub letter: DeadLetter,
    /// In order.
    pub acts: Vec<LetterAct>,
}

/// Why a dead letter is given up for good.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Discarding {
    /// For the record; nothing about a person.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S", example = "a test of ours")]
    reason: String,
}

impl From<State> for LetterState {
    fn from(state: State) -> Self {
        match state {
            State::Waiting => Self::Waiting,
            State::Pending => Self::Pending,
            State::Published => Self::Published,
            State::Processed => Self::Processed,
            State::Failed => Self::Failed,
            State::Discarded => Self::Discarded,
        }
    }
}

impl From<OwnLetter> for DeadLetter {
    fn from(letter: OwnLetter) -> Self {
        Self {
            number: letter.number,
            queue: letter.queue,
            reason: letter.reason,
            state: letter.state.into(),
            event: letter.event_name,
            event_id: letter.event,
            conversation: letter.conversation,
            turn: letter.turn,
            starts: letter.starts,
            receives: letter.receives,
            replays: letter.replays,
            died_at: moment(letter.died_at),
            expires_at: letter.expires_at.map(moment),
            trace_id: letter.trace_id,
            is_parked: letter.is_parked,
        }
    }
}

impl From<Act> for LetterAct {
    fn from(act: Act) -> Self {
        Self { at: moment(act.at), act: act.act, actor: act.actor, detail: act.detail }
    }
}

/// Dead letters
///
/// For operators. The newest first.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "dead letters",
    params(
        ("state" = Option<LetterState>, Query),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", body = inline(Success<Page<DeadLetter>>))))]
pub async fn list(caller: As<Operator>, request: HttpRequest) -> Answer<Page<DeadLetter>> {
    let mut query = Query::of(&request)?;
    let state = query.choice("state", &State::ALL.map(State::name))?;
    let state = state.and_then(State::named);
    let (limit, after) = query.page()?;
    query.end()?;
    let tx = caller.begin().await?;
    let rows = own::page(&tx, state, after.map(|(number, _)| number), limit + 1).await?;
    let key = |letter: &OwnLetter| (letter.number, Uuid::nil());
    Ok(Reply::ok(Page::of(rows, limit, key, DeadLetter::from)))
}

/// One dead letter
///
/// For operators. What it says is not shown: it speaks of a person.
#[utoipa::path(get, path = "/api/v1/dead-letters/{id}", tag = "dead letters",
    params(("id" = i64, Path, minimum = 1)),
    responses((status = 200, description = "It", body = inline(Success<DeadLetterWithActs>))))]
pub async fn show(caller: As<Operator>, request: HttpRequest) -> Answer<DeadLetterWithActs> {
    let number = number_of(&request)?;
    let tx = caller.begin().await?;
    let mut letter = find(&tx, number).await?;
    if letter.state == State::Published && was_handled(&caller, &letter).await {
        letter.state = State::Processed;
    }
    let acts = own::acts(&tx, number).await?.into_iter().map(LetterAct::from).collect();
    Ok(Reply::ok(DeadLetterWithActs { letter: letter.into(), acts }))
}

/// Whether a replay was handled, as Redis knows; without Redis nobody does.
async fn was_handled(caller: &As<Operator>, letter: &OwnLetter) -> bool {
    let (Some(event), Some(queue)) = (letter.event, Queue::named(&letter.queue)) else {
        return false;
    };
    let topology = Topology::new(&caller.api.settings.queue_prefix, false);
    let replay = replay_id(EventId::from_uuid(event), letter.replays.unsigned_abs() + 1);
    let done = caller.api.cache.are_replays_done(&topology.queue_name(queue), &[replay]).await;
    done.is_ok_and(|done| done.first() == Some(&true))
}

/// Send a dead letter again
///
/// For operators. 409 where it was sent or given up before (`not_waiting`), has died three times (`quarantined`), was of use for
/// seconds only (`expired`), or its conversation is left alone (`parked`).
#[utoipa::path(post, path = "/api/v1/dead-letters/{id}/replay", tag = "dead letters",
    params(("id" = i64, Path, minimum = 1)),
    responses((status = 202, description = "It was sent", body = inline(Success<DeadLetter>))))]
pub async fn replay(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let number = number_of(&request)?;
    Change::of(&caller, &request, &body)?
        .make(async |tx| {
            let letter = find(tx, number).await?;
            may_be_replayed(&letter)?;
            let queue = Queue::named(&letter.queue)
                .ok_or_else(|| ApiError::conflict("no_queue", "this release has no such queue"))?;
            // On record before it leaves: whoever finds it pending sends the same again.
            let noting = caller.begin().await?;
            let noted = ("replay", caller.actor.as_str(), "");
            if !own::set(&noting, number, (&OPEN, State::Pending), noted).await? {
                return Err(not_waiting());
            }
            let sealed = own::body(&noting, number).await?;
            let body = sealed.ok_or_else(|| ApiError::not_found(WHAT))?;
            noting.commit().await?;
            let again = Replay { group: letter.group.clone(), body };
            caller.api.bus.replay(queue, &[again]).await.map_err(|error| {
                let error = format!("{error:#}");
                tracing::warn!(number, error, kind = "not_replayed", "a dead letter was not sent");
                ApiError::unavailable("it could not be sent; again later")
            })?;
            let noted = ("published", caller.actor.as_str(), "");
            own::set(tx, number, (&[State::Pending], State::Published), noted).await?;
            let letter = find(tx, number).await?;
            Ok(Done::accepted(DeadLetter::from(letter), "dead_letter.replay", number))
        })
        .await
}

/// Give a dead letter up for good
///
/// For operators. It stays to be seen. 409 `not_waiting` where it was sent or given up before.
#[utoipa::path(post, path = "/api/v1/dead-letters/{id}/discard", tag = "dead letters", request_body = Discarding,
    params(("id" = i64, Path, minimum = 1)),
    responses((status = 200, description = "It is given up", body = inline(Success<DeadLetter>))))]
pub async fn discard(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let number = number_of(&request)?;
    let wanted: Discarding = body.json()?;
    read::text("reason", &wanted.reason, LONGEST_REASON)?;
    Change::of(&caller, &request, &body)?
        .make(async |tx| {
            find(tx, number).await?;
            let noted = ("discard", caller.actor.as_str(), wanted.reason.as_str());
            if !own::set(tx, number, (&OPEN, State::Discarded), noted).await? {
                return Err(not_waiting());
            }
            let letter = find(tx, number).await?;
            Ok(Done::ok(DeadLetter::from(letter), "dead_letter.discard", number)
                .noting(json!({ "reason": wanted.reason })))
        })
        .await
}

fn may_be_replayed(letter: &OwnLetter) -> Result<(), ApiError> {
    let refusals = [
        (!OPEN.contains(&letter.state), "not_waiting", "it was sent or given up before"),
        (letter.is_parked, "parked", "its conversation is left alone for now"),
        (letter.replays >= QUARANTINED_AFTER, "quarantined", "it has died three times"),
        (letter.expires_at.is_some(), "expired", "it was of use for seconds only"),
    ];
    match refusals.into_iter().find(|(refused, ..)| *refused) {
        Some((_, code, message)) => Err(ApiError::conflict(code, message)),
        None => Ok(()),
    }
}

fn not_waiting() -> ApiError {
    ApiError::conflict("not_waiting", "it was sent or given up before")
}

async fn find(tx: &store::TenantTx, number: i64) -> Result<OwnLetter, ApiError> {
    own::find(tx, number).await?.ok_or_else(|| ApiError::not_found(WHAT))
}

/// A number that is none is that of nothing.
fn number_of(request: &HttpRequest) -> Result<i64, ApiError> {
    read::path_text(request).parse().map_err(|_| ApiError::not_found(WHAT))
}
