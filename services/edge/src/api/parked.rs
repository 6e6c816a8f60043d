//! Groups of a tenant's dead letters that are left alone while somebody looks into them (F5): no replay takes their letters.

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{
    TenantTx,
    dead_letters::own::{self, OwnParked},
};
use utoipa::ToSchema;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    dead_letters::LONGEST_REASON,
    read::{self, Moment, moment},
    role::Operator,
    write::{Change, Done},
};

const WHAT: &str = "group with dead letters";
const LONGEST_GROUP: usize = 256;

/// A group that is left alone.
#[derive(Serialize, ToSchema)]
pub struct ParkedGroup {
    /// The group: a conversation or a call.
    #[schema(example = "0190a7e2-6f3b-7c11-9d2a-3f1f8c5b7a10")]
    pub group: String,
    /// Why.
    #[schema(example = "the model is being mended")]
    pub reason: String,
    /// By whom.
    #[schema(example = "jwt:ana")]
    pub actor: String,
    /// Since when.
    pub parked_at: Moment,
    /// Letters of it that wait.
    #[schema(example = 3)]
    pub waiting: i64,
}

/// The name of a group, as a dead letter has it.
#[derive(Deserialize, ToSchema)]
#[schema(
    min_length = 1,
    max_length = 256,
    pattern = "\\S",
    example = "0190a7e2-6f3b-7c11-9d2a-3f1f8c5b7a10"
)]
pub struct GroupName(String);

impl GroupName {
    fn checked(&self) -> Result<&str, ApiError> {
        read::text("group", &self.0, LONGEST_GROUP)?;
        Ok(&self.0)
    }
}

/// A group that is to be left alone.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Parking {
    /// The group.
    group: GroupName,
    /// For the record; nothing about a person.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "\\S",
        example = "the model is being mended"
    )]
    reason: String,
}

/// A group that is to be left alone no longer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Releasing {
    /// The group.
    group: GroupName,
}

/// A group that was parked or released.
#[derive(Serialize, ToSchema)]
pub struct GroupChanged {
    /// The group.
    #[schema(example = "0190a7e2-6f3b-7c11-9d2a-3f1f8c5b7a10")]
    pub group: String,
    /// Whether it is left alone from now on.
    pub is_parked: bool,
    /// How many letters it has.
    #[schema(example = 3)]
    pub letters: i64,
}

impl From<OwnParked> for ParkedGroup {
    fn from(parked: OwnParked) -> Self {
        Self {
            group: parked.group,
            reason: parked.reason,
            actor: parked.actor,
            parked_at: moment(parked.parked_at),
            waiting: parked.waiting,
        }
    }
}

/// Groups of dead letters that are left alone
///
/// For operators. The longest parked first.
#[utoipa::path(get, path = "/api/v1/dead-letters/parked", tag = "dead letters",
    responses((status = 200, description = "All of them", body = inline(Success<Vec<ParkedGroup>>))))]
pub async fn list(caller: As<Operator>) -> Answer<Vec<ParkedGroup>> {
    let tx = caller.begin().await?;
    Ok(Reply::ok(own::parked(&tx).await?.into_iter().map(ParkedGroup::from).collect()))
}

/// Leave a group of dead letters alone
///
/// For operators. No replay takes its letters until it is released. 404 where no letter of yours is in it, 409 `parked` where it is
/// left alone already.
#[utoipa::path(post, path = "/api/v1/dead-letters/park", tag = "dead letters", request_body = Parking,
    responses((status = 200, description = "It is left alone", body = inline(Success<GroupChanged>)),
        (status = 404, description = "No letter of yours is in it", body = super::answer::Failure)))]
pub async fn park(caller: As<Operator>, request: HttpRequest, body: web::Payload) -> Answer<Value> {
    let (change, body) = Change::read(&caller, &request, body).await?;
    let wanted: Parking = body.json()?;
    let group = wanted.group.checked()?;
    read::text("reason", &wanted.reason, LONGEST_REASON)?;
    change
        .make(async |tx| {
            must_have_letters(tx, group).await?;
            let by = (caller.actor.as_str(), wanted.reason.as_str());
            let letters = own::park(tx, group, by).await?;
            if letters == 0 {
                return Err(ApiError::conflict("parked", "it is left alone already"));
            }
            let parked = GroupChanged { group: group.to_owned(), is_parked: true, letters };
            Ok(Done::ok(parked, "dead_letters.park", group)
                .noting(json!({ "reason": wanted.reason, "letters": letters })))
        })
        .await
}

/// Release a group of dead letters
///
/// For operators. 404 where no letter of yours is in it, 409 `not_parked` where it is not left alone.
#[utoipa::path(post, path = "/api/v1/dead-letters/release", tag = "dead letters", request_body = Releasing,
    responses((status = 200, description = "It is released", body = inline(Success<GroupChanged>)),
        (status = 404, description = "No letter of yours is in it", body = super::answer::Failure)))]
pub async fn release(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, body) = Change::read(&caller, &request, body).await?;
    let wanted: Releasing = body.json()?;
    let group = wanted.group.checked()?;
    change
        .make(async |tx| {
            must_have_letters(tx, group).await?;
            let letters = own::release(tx, group, &caller.actor).await?;
            if letters == 0 {
                return Err(ApiError::conflict("not_parked", "it is not left alone"));
            }
            let released = GroupChanged { group: group.to_owned(), is_parked: false, letters };
            Ok(Done::ok(released, "dead_letters.release", group)
                .noting(json!({ "letters": letters })))
        })
        .await
}

async fn must_have_letters(tx: &TenantTx, group: &str) -> Result<(), ApiError> {
    match own::has_group(tx, group).await? {
        true => Ok(()),
        false => Err(ApiError::not_found(WHAT)),
    }
}
