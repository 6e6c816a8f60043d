//! What was given up (F5): a tenant's own dead letters, seen, sent again or given up for good by operators. Letters of all tenants
//! are the command line's (`switchboardctl dlq`).

use actix_web::{HttpRequest, web};
use bus::{Queue, Replay};
use domain::{EventId, ReplayEnd, StartCounter as _, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::dead_letters::{
    Act, Including, QUARANTINED_AFTER, State,
    own::{self, OwnCount, OwnFilter, OwnLetter},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use wire::Decoded;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    read::{self, Moment, Page, Query, moment},
    role::Operator,
    write::{Change, Done},
};

const WHAT: &str = "dead letter";
const REPLAY: &str = "dead_letter.replay";
pub(super) const LONGEST_REASON: usize = 500;
/// Of what a letter says so much is shown; only sound is longer.
const LONGEST_ENVELOPE_CHARS: usize = 20_000;
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
    /// Why it was given up, in a word: `undecodable`, `object_gone` or `object_refused` (too large for the topic, and S3 does not have
    /// or give it), `rejected` (it can never succeed), `failed`, `panicked` or `never_finished` at every start, `receive_limit` (the
    /// broker itself gave it up), `unknown`. Later releases may have more.
    #[schema(example = "failed")]
    pub error_type: String,
    /// Why it was given up, as a text.
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
    /// What it was in order with: a conversation or a call.
    #[schema(example = "0190a7e2-6f3b-7c11-9d2a-3f1f8c5b7a10")]
    pub group: String,
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
    /// Whether operators leave its group alone.
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
    /// It died again, as another letter, or had no effect: the acts say why.
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

/// A dead letter, what it says, and what was done to it.
#[derive(Serialize, ToSchema)]
pub struct DeadLetterWithActs {
    /// The letter.
    pub letter: DeadLetter,
    /// What it says, for people to read; of names, numbers and texts the length alone.
    #[schema(example = "Envelope {\n    channel: \"whatsapp\",\n    …")]
    pub envelope: String,
    /// In order.
    pub acts: Vec<LetterAct>,
}

/// What a dead letter says, in the clear.
#[derive(Serialize, ToSchema)]
pub struct RevealedLetter {
    /// Its number.
    #[schema(example = 17)]
    pub number: i64,
    /// What it says, for people to read. Null when the same is asked for again.
    #[schema(required = true, example = "Envelope {\n    channel: \"whatsapp\",\n    …")]
    pub envelope: Option<String>,
}

/// How many dead letters have a queue, a kind of event, an error type and a state in common.
#[derive(Serialize, ToSchema)]
pub struct LetterCount {
    /// The queue they were meant for.
    #[schema(example = "writer")]
    pub queue: String,
    /// What they say, by name.
    #[schema(example = "MessageReceived")]
    pub event: Option<String>,
    /// Why they were given up, in a word.
    #[schema(example = "failed")]
    pub error_type: String,
    /// What became of them.
    pub state: LetterState,
    /// How many.
    #[schema(example = 60)]
    pub letters: i64,
    /// When the oldest was given up.
    pub oldest: Moment,
}

/// Which dead letters a query means; what is left out does not matter.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LettersMeant {
    /// Meant for this queue
    #[param(min_length = 1, max_length = 256, example = "writer")]
    queue: Option<String>,
    /// Given up for this, in a word
    #[param(min_length = 1, max_length = 256, example = "failed")]
    error_type: Option<String>,
    /// Whose reason has this in it
    #[param(min_length = 1, max_length = 256)]
    reason: Option<String>,
    /// With this name of what they say
    #[param(min_length = 1, max_length = 256, example = "MessageReceived")]
    event: Option<String>,
    /// Of this conversation
    conversation: Option<Uuid>,
    /// Of this group: a conversation or a call
    #[param(min_length = 1, max_length = 256)]
    group: Option<String>,
    /// Given up then or later
    #[param(value_type = Option<Moment>)]
    from: Option<Timestamp>,
    /// Given up earlier
    #[param(value_type = Option<Moment>)]
    to: Option<Timestamp>,
}

/// Which dead letter is sent again although it is left out otherwise.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Replaying {
    /// Although it has died three times.
    quarantined: bool,
    /// Although it was of use for seconds only.
    expired: bool,
}

/// Why a dead letter is given up for good.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Discarding {
    /// For the record; nothing about a person.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S", example = "a test of ours")]
    pub(super) reason: String,
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
            error_type: letter.error_type,
            reason: letter.reason,
            state: letter.state.into(),
            event: letter.event_name,
            event_id: letter.event,
            conversation: letter.conversation,
            turn: letter.turn,
            group: letter.group,
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

impl From<OwnCount> for LetterCount {
    fn from(count: OwnCount) -> Self {
        Self {
            queue: count.queue,
            event: count.event_name,
            error_type: count.error_type,
            state: count.state.into(),
            letters: count.letters,
            oldest: moment(count.oldest),
        }
    }
}

impl LettersMeant {
    /// Takes them out of a query.
    fn of(query: &mut Query) -> Result<Self, ApiError> {
        Ok(Self {
            queue: query.text("queue")?,
            error_type: query.text("error_type")?,
            reason: query.text("reason")?,
            event: query.text("event")?,
            conversation: query.id("conversation")?,
            group: query.text("group")?,
            from: query.moment("from")?,
            to: query.moment("to")?,
        })
    }
}

impl From<LettersMeant> for OwnFilter {
    fn from(meant: LettersMeant) -> Self {
        Self {
            queue: meant.queue,
            error_type: meant.error_type,
            reason: meant.reason,
            event_name: meant.event,
            conversation: meant.conversation,
            group: meant.group,
            state: None,
            since: meant.from,
            until: meant.to,
        }
    }
}

/// The letters that a query means.
pub(super) fn meant(query: &mut Query) -> Result<OwnFilter, ApiError> {
    LettersMeant::of(query).map(OwnFilter::from)
}

fn meant_in_state(query: &mut Query) -> Result<OwnFilter, ApiError> {
    let state = query.choice("state", &State::ALL.map(State::name))?.and_then(State::named);
    Ok(OwnFilter { state, ..meant(query)? })
}

/// Dead letters
///
/// For operators. The newest first.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "dead letters",
    params(
        ("state" = Option<LetterState>, Query),
        LettersMeant,
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", body = inline(Success<Page<DeadLetter>>))))]
pub async fn list(caller: As<Operator>, request: HttpRequest) -> Answer<Page<DeadLetter>> {
    let mut query = Query::of(&request)?;
    let filter = meant_in_state(&mut query)?;
    let (limit, after) = query.page()?;
    query.end()?;
    let tx = caller.begin().await?;
    let rows = own::page(&tx, &filter, after.map(|(number, _)| number), limit + 1).await?;
    let key = |letter: &OwnLetter| (letter.number, Uuid::nil());
    Ok(Reply::ok(Page::of(rows, limit, key, DeadLetter::from)))
}

/// How many dead letters there are
///
/// For operators. By queue, kind of event, error type and state.
#[utoipa::path(get, path = "/api/v1/dead-letters/counts", tag = "dead letters",
    params(("state" = Option<LetterState>, Query), LettersMeant),
    responses((status = 200, description = "The counts", body = inline(Success<Vec<LetterCount>>))))]
pub async fn counts(caller: As<Operator>, request: HttpRequest) -> Answer<Vec<LetterCount>> {
    let mut query = Query::of(&request)?;
    let filter = meant_in_state(&mut query)?;
    query.end()?;
    let tx = caller.begin().await?;
    Ok(Reply::ok(own::counts(&tx, &filter).await?.into_iter().map(LetterCount::from).collect()))
}

/// One dead letter
///
/// For operators. What it says is shown without names, numbers and texts.
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
    let body = own::body(&tx, number).await?.ok_or_else(|| ApiError::not_found(WHAT))?;
    let acts = own::acts(&tx, number).await?.into_iter().map(LetterAct::from).collect();
    let envelope = says(&body, false);
    Ok(Reply::ok(DeadLetterWithActs { letter: letter.into(), envelope, acts }))
}

/// What a body says. A name, number or text shows as its length, unless all is to be seen.
fn says(body: &str, in_the_clear: bool) -> String {
    let decoded = wire::from_body(body).and_then(|encoded| {
        if in_the_clear {
            return wire::in_the_clear(&encoded);
        }
        Ok(match wire::decode(&encoded)? {
            Decoded::Whole(envelope) => format!("{envelope:#?}"),
            Decoded::Claimed(check) => format!("too large for the topic, in S3: {check:?}"),
        })
    });
    let mut told = decoded.unwrap_or_else(|error| format!("it cannot be decoded: {error}"));
    if let Some((end, _)) = told.char_indices().nth(LONGEST_ENVELOPE_CHARS) {
        told.truncate(end);
        told.push('…');
    }
    told
}

/// Show what a dead letter says
///
/// For operators. That it was shown, and to whom, is on record first.
#[utoipa::path(post, path = "/api/v1/dead-letters/{id}/reveal", tag = "dead letters",
    params(("id" = i64, Path, minimum = 1)),
    responses((status = 200, description = "What it says", body = inline(Success<RevealedLetter>))))]
pub async fn reveal(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, _) = Change::read(&caller, &request, body).await?;
    let number = number_of(&request)?;
    change
        .make(async |tx| {
            let body = own::body(tx, number).await?.ok_or_else(|| ApiError::not_found(WHAT))?;
            own::note(tx, number, ("reveal", caller.actor.as_str(), "")).await?;
            let revealed = RevealedLetter { number, envelope: Some(says(&body, true)) };
            let mut done = Done::ok(revealed, "dead_letter.reveal", number);
            done.shown_once = Some("envelope");
            Ok(done)
        })
        .await
}

/// Whether a replay was handled, as Redis knows; without Redis nobody does.
async fn was_handled(caller: &As<Operator>, letter: &OwnLetter) -> bool {
    let (Some(event), Some(queue)) = (letter.event, Queue::named(&letter.queue)) else {
        return false;
    };
    let replay = EventId::from_uuid(event).of_replay(letter.replays.unsigned_abs() + 1);
    let queue = caller.api.bus.queue_name(queue);
    let ends = caller.api.cache.replays_ended(&queue, &[replay]).await;
    ends.is_some_and(|ends| ends.contains(&Some(ReplayEnd::Handled)))
}

/// Send a dead letter again
///
/// For operators. 409 where it was sent or given up before (`not_waiting`), has died three times (`quarantined`) or was of use for
/// seconds only (`expired`) unless the body says to send it all the same, or its group is left alone (`parked`).
#[utoipa::path(post, path = "/api/v1/dead-letters/{id}/replay", tag = "dead letters",
    request_body = Option<Replaying>,
    params(("id" = i64, Path, minimum = 1)),
    responses((status = 202, description = "It was sent", body = inline(Success<DeadLetter>))))]
pub async fn replay(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, body) = Change::read(&caller, &request, body).await?;
    let number = number_of(&request)?;
    let wanted: Replaying = match body.bytes() {
        [] => Replaying::default(),
        _ => body.json()?,
    };
    let including = Including { quarantined: wanted.quarantined, expired: wanted.expired };
    let prepare = async |tx: &store::TenantTx| {
        let letter = find(tx, number).await?;
        may_be_replayed(&letter, including)?;
        let queue = Queue::named(&letter.queue).ok_or_else(no_queue)?;
        // On record before it leaves: whoever finds it pending sends the same again.
        let noted = ("replay", caller.actor.as_str(), "");
        if !own::set(tx, number, (&OPEN, State::Pending), noted).await? {
            return Err(not_waiting());
        }
        let body = own::body(tx, number).await?.ok_or_else(|| ApiError::not_found(WHAT))?;
        Ok((queue, Replay { group: letter.group, body }))
    };
    let tell = async |(queue, again): (Queue, Replay)| {
        caller.api.bus.replay(queue, &[again]).await.map_err(|error| {
            let error = format!("{error:#}");
            tracing::warn!(number, error, kind = "not_replayed", "a dead letter was not sent");
            ApiError::unavailable("it could not be sent; again later")
        })?;
        let tx = caller.begin().await?;
        let noted = ("published", caller.actor.as_str(), "");
        own::set(&tx, number, (&[State::Pending], State::Published), noted).await?;
        let letter = find(&tx, number).await?;
        tx.commit().await?;
        Ok(Done::accepted(DeadLetter::from(letter), REPLAY, number))
    };
    change.make_at_least_once((REPLAY, &number.to_string()), prepare, tell).await
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

fn may_be_replayed(
    letter: &OwnLetter,
    Including { quarantined, expired }: Including,
) -> Result<(), ApiError> {
    let has_died_often = letter.replays >= QUARANTINED_AFTER;
    let refusals = [
        (!OPEN.contains(&letter.state), "not_waiting", "it was sent or given up before"),
        (letter.is_parked, "parked", "its group is left alone for now"),
        (has_died_often && !quarantined, "quarantined", "it has died three times"),
        (letter.expires_at.is_some() && !expired, "expired", "it was of use for seconds only"),
    ];
    match refusals.into_iter().find(|(refused, ..)| *refused) {
        Some((_, code, message)) => Err(ApiError::conflict(code, message)),
        None => Ok(()),
    }
}

fn not_waiting() -> ApiError {
    ApiError::conflict("not_waiting", "it was sent or given up before")
}

/// A letter of a later release.
pub(super) fn no_queue() -> ApiError {
    ApiError::conflict("no_queue", "this release has no such queue")
}

async fn find(tx: &store::TenantTx, number: i64) -> Result<OwnLetter, ApiError> {
    own::find(tx, number).await?.ok_or_else(|| ApiError::not_found(WHAT))
}

/// A number that is none is that of nothing.
fn number_of(request: &HttpRequest) -> Result<i64, ApiError> {
    read::path_text(request).parse().map_err(|_| ApiError::not_found(WHAT))
}

#[cfg(test)]
mod tests {
    use bus::DeathCause;

    use crate::api::openapi;

    #[test]
    fn every_error_type_is_described() {
        let document = serde_json::to_value(&*openapi::DOCUMENT).unwrap();
        let letter = &document["components"]["schemas"]["DeadLetter"]["properties"];
        let described = letter["error_type"]["description"].as_str().unwrap();
        for cause in DeathCause::ALL {
            assert!(described.contains(&format!("`{}`", cause.name())), "{described}");
        }
    }
}
