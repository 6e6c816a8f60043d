//! Dead letters of a tenant sent again by a filter (F5): first what would be done, then so many at a time, oldest first, until
//! none is left. The rate is the caller's: each request sends a bounded number.

use actix_web::{HttpRequest, web};
use bus::{Queue, Replay};
use domain::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::dead_letters::{
    State,
    own::{self, OwnFilter},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    read::{self, Moment, Query, timestamp},
    role::Operator,
    write::{Change, Done},
};

const LONGEST_TEXT: usize = 256;
const AT_MOST: i64 = 100;

/// LettersWanted dead letters are meant; what is left out does not matter.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LettersWanted {
    /// Meant for this queue.
    #[schema(min_length = 1, max_length = 256, pattern = "\\S", example = "writer")]
    queue: Option<String>,
    /// Whose reason has this in it, in capitals or not.
    #[schema(min_length = 1, max_length = 256, pattern = "\\S", example = "no route")]
    reason: Option<String>,
    /// With this name of what they say.
    #[schema(min_length = 1, max_length = 256, pattern = "\\S", example = "MessageReceived")]
    event: Option<String>,
    /// Of this conversation.
    conversation: Option<Uuid>,
    /// Given up then or later.
    from: Option<Moment>,
    /// Given up earlier.
    to: Option<Moment>,
    /// So many at most, 1 to 100; 100 unless said.
    #[schema(minimum = 1, maximum = 100, example = 50)]
    at_most: Option<i64>,
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
    /// Left out: of use for seconds only.
    pub expired: i64,
    /// Left out: died three times.
    pub quarantined: i64,
    /// Left out: their conversations are left alone.
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
        ("queue" = Option<String>, Query, min_length = 1, max_length = 256, example = "writer"),
        ("reason" = Option<String>, Query, min_length = 1, max_length = 256,
            description = "Whose reason has this in it"),
        ("event" = Option<String>, Query, min_length = 1, max_length = 256, example = "MessageReceived"),
        ("conversation" = Option<Uuid>, Query),
        ("from" = Option<Moment>, Query, description = "Given up then or later"),
        ("to" = Option<Moment>, Query, description = "Given up earlier"),
    ),
    responses((status = 200, description = "The plan", body = inline(Success<ReplayPlan>))))]
pub async fn plan(caller: As<Operator>, request: HttpRequest) -> Answer<ReplayPlan> {
    let mut query = Query::of(&request)?;
    let filter = OwnFilter {
        queue: query.text("queue")?,
        reason: query.text("reason")?,
        event_name: query.text("event")?,
        conversation: query.id("conversation")?,
        since: query.moment("from")?,
        until: query.moment("to")?,
    };
    query.end()?;
    let tx = caller.begin().await?;
    Ok(Reply::ok(own::plan(&tx, &filter).await?.into()))
}

/// Send dead letters again
///
/// For operators. The oldest first, in order within each conversation; those the plan leaves out are left out. Stopped in the middle,
/// the same request goes on: nothing is handled twice.
#[utoipa::path(post, path = "/api/v1/dead-letters/replay", tag = "dead letters", request_body = LettersWanted,
    responses((status = 202, description = "They were sent", body = inline(Success<Replayed>))))]
pub async fn replay(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let wanted: LettersWanted = body.json()?;
    let (filter, at_most) = wanted.checked()?;
    Change::of(&caller, &request, &body)?
        .make(async |tx| {
            // On record before they leave: whoever finds them pending sends the same again.
            let noting = caller.begin().await?;
            let letters = own::begin(&noting, &filter, at_most, &caller.actor).await?;
            noting.commit().await?;
            for some in letters.chunk_by(|a, b| a.queue == b.queue) {
                send(&caller, some).await?;
                for letter in some {
                    let noted = ("published", caller.actor.as_str(), "");
                    let moved = (&[State::Pending][..], State::Published);
                    own::set(tx, letter.number, moved, noted).await?;
                }
            }
            let left = own::plan(tx, &filter).await?.letters;
            let sent = letters.len() as i64;
            Ok(Done::accepted(Replayed { sent, left }, "dead_letters.replay", "many")
                .noting(json!({ "sent": sent })))
        })
        .await
}

async fn send(caller: &As<Operator>, letters: &[own::Begun]) -> Result<(), ApiError> {
    let Some(queue) = letters.first().and_then(|letter| Queue::named(&letter.queue)) else {
        return Err(ApiError::conflict("no_queue", "this release has no such queue"));
    };
    let again =
        |letter: &own::Begun| Replay { group: letter.group.clone(), body: letter.body.clone() };
    let again: Vec<Replay> = letters.iter().map(again).collect();
    caller.api.bus.replay(queue, &again).await.map_err(|error| {
        let error = format!("{error:#}");
        tracing::warn!(error, kind = "not_replayed", "dead letters were not sent");
        ApiError::unavailable("they could not be sent; again later")
    })
}

impl LettersWanted {
    fn checked(self) -> Result<(OwnFilter, i64), ApiError> {
        for (name, text) in
            [("queue", &self.queue), ("reason", &self.reason), ("event", &self.event)]
        {
            if let Some(text) = text {
                read::text(name, text, LONGEST_TEXT)?;
            }
        }
        let at_most = self.at_most.unwrap_or(AT_MOST);
        if !(1..=AT_MOST).contains(&at_most) {
            return Err(ApiError::field("at_most", "must be 1 to 100"));
        }
        let at = |moment: Option<Moment>| -> Option<Timestamp> { moment.map(timestamp) };
        let filter = OwnFilter {
            queue: self.queue,
            reason: self.reason,
            event_name: self.event,
            conversation: self.conversation,
            since: at(self.from),
            until: at(self.to),
        };
        Ok((filter, at_most))
    }
}
