//! Dead letters of a tenant sent again, or given up, by a filter (F5): first what would be done, then so many at a time, oldest
//! first, until none is left. Each request does a bounded number of them, and takes a bounded time where a rate is wanted.

use std::time::Duration;

use actix_web::{HttpRequest, web};
use bus::{Queue, Replay};
use domain::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::dead_letters::{
    Including, State,
    own::{self, OwnFilter},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    dead_letters::{self, Discarding, LONGEST_REASON, LettersMeant},
    read::{self, Moment, Query, timestamp},
    role::Operator,
    write::{Change, Done, OutsideFault},
};

const REPLAY: &str = "dead_letters.replay";
/// What the audit log has for the letters of a filter.
const MANY: &str = "many";
const LONGEST_TEXT: usize = 256;
const AT_MOST: i64 = 100;
/// A request that goes at a rate ends after so many seconds.
const SENT_WITHIN_S: i64 = 10;

/// Which dead letters are meant; what is left out does not matter.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LettersWanted {
    /// Meant for this queue.
    #[schema(min_length = 1, max_length = 256, pattern = "\\S", example = "writer")]
    queue: Option<String>,
    /// Given up for this, in a word.
    #[schema(min_length = 1, max_length = 256, pattern = "\\S", example = "failed")]
    error_type: Option<String>,
    /// Whose reason has this in it, in capitals or not.
    #[schema(min_length = 1, max_length = 256, pattern = "\\S", example = "no route")]
    reason: Option<String>,
    /// With this name of what they say.
    #[schema(min_length = 1, max_length = 256, pattern = "\\S", example = "MessageReceived")]
    event: Option<String>,
    /// Of this conversation.
    conversation: Option<Uuid>,
    /// Of this group: a conversation or a call.
    #[schema(min_length = 1, max_length = 256, pattern = "\\S")]
    group: Option<String>,
    /// Given up then or later.
    from: Option<Moment>,
    /// Given up earlier.
    to: Option<Moment>,
    /// So many at most, 1 to 100; 100 unless said.
    #[schema(minimum = 1, maximum = 100, example = 50)]
    at_most: Option<i64>,
    /// So many a second, 1 to 100, as long as ten seconds; as fast as they go unless said.
    #[schema(minimum = 1, maximum = 100, example = 5)]
    per_second: Option<i64>,
    /// Those too that have died three times.
    quarantined: bool,
    /// Those too that were of use for seconds only.
    expired: bool,
}

/// What a replay would do.
#[derive(Serialize, ToSchema)]
pub struct ReplayPlan {
    /// Letters that would be sent.
    #[schema(example = 60)]
    pub letters: i64,
    /// Conversations they belong to.
    #[schema(example = 6)]
    pub conversations: i64,
    /// How many go into which queue.
    pub queues: Vec<IntoQueue>,
    /// Conversations in which something was said after the letter; up to 100 of them.
    pub moved_on: Vec<Uuid>,
    /// Left out unless asked for: of use for seconds only.
    pub expired: i64,
    /// Left out unless asked for: died three times.
    pub quarantined: i64,
    /// Left out: their groups are left alone.
    pub parked: i64,
}

/// Letters for a queue.
#[derive(Serialize, ToSchema)]
pub struct IntoQueue {
    /// The queue.
    #[schema(example = "writer")]
    pub queue: String,
    /// How many.
    #[schema(example = 60)]
    pub letters: i64,
}

/// What a replay has done.
#[derive(Serialize, ToSchema)]
pub struct Replayed {
    /// Letters sent by this request.
    #[schema(example = 50)]
    pub sent: i64,
    /// Letters meant that are still to be sent: the same request again goes on.
    #[schema(example = 10)]
    pub left: i64,
}

impl From<own::OwnPlan> for ReplayPlan {
    fn from(plan: own::OwnPlan) -> Self {
        let queues = plan.queues.into_iter();
        Self {
            letters: plan.letters,
            conversations: plan.groups,
            queues: queues.map(|(queue, letters)| IntoQueue { queue, letters }).collect(),
            moved_on: plan.moved_on,
            expired: plan.expired,
            quarantined: plan.quarantined,
            parked: plan.parked,
        }
    }
}

/// What sending dead letters again would do
///
/// For operators. Nothing is sent.
#[utoipa::path(get, path = "/api/v1/dead-letters/plan", tag = "dead letters",
    params(
        LettersMeant,
        ("quarantined" = Option<bool>, Query, description = "Those too that have died three times"),
        ("expired" = Option<bool>, Query, description = "Those too that were of use for seconds only"),
    ),
    responses((status = 200, description = "The plan", body = inline(Success<ReplayPlan>))))]
pub async fn plan(caller: As<Operator>, request: HttpRequest) -> Answer<ReplayPlan> {
    let mut query = Query::of(&request)?;
    let filter = dead_letters::meant(&mut query)?;
    let including = Including {
        quarantined: query.flag("quarantined")?.unwrap_or_default(),
        expired: query.flag("expired")?.unwrap_or_default(),
    };
    query.end()?;
    let tx = caller.begin().await?;
    Ok(Reply::ok(own::plan(&tx, &filter, including).await?.into()))
}

/// Send dead letters again
///
/// For operators. The oldest first, in order within each group; those the plan leaves out are left out. Ask again until `left` is 0:
/// stopped in the middle, the next request goes on, and nothing is handled twice. With `to` what dies again meanwhile is left alone.
#[utoipa::path(post, path = "/api/v1/dead-letters/replay", tag = "dead letters", request_body = LettersWanted,
    responses((status = 202, description = "They were sent", body = inline(Success<Replayed>))))]
pub async fn replay(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let wanted: LettersWanted = body.json()?;
    let (filter, at_most, per_second) = wanted.checked()?;
    let including = Including { quarantined: wanted.quarantined, expired: wanted.expired };
    let send_some = async || {
        // On record before they leave: whoever finds them pending sends the same again.
        let tx = caller.begin().await?;
        let letters = own::begin(&tx, &filter, including, at_most, &caller.actor).await?;
        tx.commit().await?;
        let mut sent = 0;
        'all: for (second, some) in letters.chunks(per_second).enumerate() {
            if second > 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            for some in some.chunk_by(|a, b| a.queue == b.queue) {
                match send(&caller, some).await {
                    Ok(()) => sent += some.len() as i64,
                    // What has left is told; what has not is pending, and goes with the next request.
                    Err(error) if sent == 0 => return Err(error),
                    Err(_) => break 'all,
                }
            }
        }
        Ok::<i64, ApiError>(sent)
    };
    let count_left = async || {
        let plan = own::plan(&caller.begin().await?, &filter, including).await?;
        Ok::<i64, ApiError>(plan.letters)
    };
    Change::of(&caller, &request, &body)?
        .make_outside((REPLAY, MANY), async || {
            let sent = send_some().await.map_err(OutsideFault::Nothing)?;
            let left = count_left().await.map_err(OutsideFault::InDoubt)?;
            let noted = json!({ "sent": sent });
            Ok(Done::accepted(Replayed { sent, left }, REPLAY, MANY).noting(noted))
        })
        .await
}

/// Letters given up.
#[derive(Serialize, ToSchema)]
pub struct Discarded {
    /// Letters given up by this request.
    #[schema(example = 50)]
    pub discarded: i64,
    /// Letters meant that are still there: the same request again goes on.
    #[schema(example = 10)]
    pub left: i64,
}

/// Give dead letters up for good
///
/// For operators. Up to 100 of those that the query means, the oldest first; ask again until `left` is 0. They stay to be seen. A
/// query that means all of them is refused.
#[utoipa::path(post, path = "/api/v1/dead-letters/discard", tag = "dead letters", request_body = Discarding,
    params(LettersMeant),
    responses((status = 200, description = "They are given up", body = inline(Success<Discarded>))))]
pub async fn discard(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, body) = Change::read(&caller, &request, body).await?;
    let mut query = Query::of(&request)?;
    let filter = dead_letters::meant(&mut query)?;
    query.end()?;
    if filter == OwnFilter::default() {
        return Err(ApiError::parameter("queue", "or another parameter must say which are meant"));
    }
    let wanted: Discarding = body.json()?;
    read::text("reason", &wanted.reason, LONGEST_REASON)?;
    change
        .make(async |tx| {
            let by = (caller.actor.as_str(), wanted.reason.as_str());
            let discarded = own::discard(tx, &filter, AT_MOST, by).await?;
            let left = own::open(tx, &filter).await?;
            let noted = json!({ "discarded": discarded, "reason": wanted.reason });
            let done = Discarded { discarded, left };
            Ok(Done::ok(done, "dead_letters.discard", MANY).noting(noted))
        })
        .await
}

/// Sends letters of one queue, and notes that they were sent.
async fn send(caller: &As<Operator>, letters: &[own::Begun]) -> Result<(), ApiError> {
    let queue = letters.first().and_then(|letter| Queue::named(&letter.queue));
    let queue = queue.ok_or_else(dead_letters::no_queue)?;
    let again =
        |letter: &own::Begun| Replay { group: letter.group.clone(), body: letter.body.clone() };
    let again: Vec<Replay> = letters.iter().map(again).collect();
    caller.api.bus.replay(queue, &again).await.map_err(|error| {
        let error = format!("{error:#}");
        tracing::warn!(error, kind = "not_replayed", "dead letters were not sent");
        ApiError::unavailable("they could not be sent; again later")
    })?;
    let tx = caller.begin().await?;
    for letter in letters {
        let noted = ("published", caller.actor.as_str(), "");
        let moved = (&[State::Pending][..], State::Published);
        own::set(&tx, letter.number, moved, noted).await?;
    }
    Ok(tx.commit().await?)
}

impl LettersWanted {
    /// The letters, how many of them, and how many a second.
    fn checked(&self) -> Result<(OwnFilter, i64, usize), ApiError> {
        let texts = [
            ("queue", &self.queue),
            ("error_type", &self.error_type),
            ("reason", &self.reason),
            ("event", &self.event),
            ("group", &self.group),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                read::text(name, text, LONGEST_TEXT)?;
            }
        }
        let at_most = self.at_most.unwrap_or(AT_MOST);
        if !(1..=AT_MOST).contains(&at_most) {
            return Err(ApiError::field("at_most", "must be 1 to 100"));
        }
        let per_second = self.per_second.unwrap_or(AT_MOST);
        if !(1..=AT_MOST).contains(&per_second) {
            return Err(ApiError::field("per_second", "must be 1 to 100"));
        }
        let at = |moment: Option<Moment>| -> Option<Timestamp> { moment.map(timestamp) };
        let filter = OwnFilter {
            queue: self.queue.clone(),
            error_type: self.error_type.clone(),
            reason: self.reason.clone(),
            event_name: self.event.clone(),
            conversation: self.conversation,
            group: self.group.clone(),
            state: None,
            since: at(self.from),
            until: at(self.to),
        };
        let at_most = at_most.min(per_second * SENT_WITHIN_S);
        Ok((filter, at_most, usize::try_from(per_second).unwrap_or(1)))
    }
}
