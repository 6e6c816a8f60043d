//! The people who reach us.

use actix_web::HttpRequest;
use domain::Timestamp;
use serde::Serialize;
use store::{
    TenantTx,
    users::{self, Identity},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    read::{self, Moment, Page, Query, moment},
    role::ReadOnly,
};

const WHAT: &str = "user";

/// A person who called or wrote.
#[derive(Serialize, ToSchema)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// What they are called, where they said so.
    #[schema(example = "Ana Silva")]
    pub name: Option<String>,
    /// What they are known by.
    pub contacts: Vec<Contact>,
    /// When they first reached us.
    pub first_seen_at: Moment,
    /// When they last did.
    pub last_seen_at: Moment,
}

/// What a person is known by.
#[derive(Serialize, ToSchema)]
pub struct Contact {
    /// `phone`, `bsuid`.
    #[schema(example = "phone")]
    pub kind: String,
    /// The number, the id.
    #[schema(example = "+15551234567")]
    pub value: String,
}

impl From<users::Person> for User {
    fn from(p: users::Person) -> Self {
        let contact = |(kind, value): (String, domain::Personal)| Contact {
            kind,
            value: value.into_revealed(),
        };
        Self {
            id: p.id,
            name: p.name.map(|name| name.into_revealed()),
            contacts: p.known_by.into_iter().map(contact).collect(),
            first_seen_at: moment(p.first_seen_at),
            last_seen_at: moment(p.last_seen_at),
        }
    }
}

/// People
///
/// The last seen first.
#[utoipa::path(get, path = "/api/v1/users", tag = "users",
    params(
        ("person" = Option<String>, Query, min_length = 1, max_length = 256, example = "+15551234567",
            description = "This one alone: their id, phone number or WhatsApp id"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", body = inline(Success<Page<User>>))))]
pub async fn list(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Page<User>> {
    let mut query = Query::of(&request)?;
    let person = query.text("person")?;
    let (limit, after) = query.page()?;
    query.end()?;
    let tx = caller.begin().await?;
    if let Some(person) = person {
        let found = match find(&tx, &person).await? {
            Some(id) => users::person(&tx, id).await?,
            None => None,
        };
        return Ok(Reply::ok(Page::of(Vec::from_iter(found), limit, key, User::from)));
    }
    let after = after.map(|(at, id)| (Timestamp::from_micros(at), id));
    let rows = users::page(&tx, after, limit + 1).await?;
    Ok(Reply::ok(Page::of(rows, limit, key, User::from)))
}

/// What a list of people sorts by.
fn key(person: &users::Person) -> (i64, Uuid) {
    (person.last_seen_at.as_micros(), person.id)
}

/// The person that somebody means by an id, a number or a WhatsApp id; `None` where nobody is known by it.
pub(super) async fn find(tx: &TenantTx, person: &str) -> Result<Option<Uuid>, ApiError> {
    if let Ok(id) = person.parse() {
        return Ok(Some(id));
    }
    let Some(identity) = Identity::typed(person) else { return Ok(None) };
    Ok(users::by_identity(tx, &identity).await?)
}

/// One person
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "They", body = inline(Success<User>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn show(caller: As<ReadOnly>, request: HttpRequest) -> Answer<User> {
    let id = read::path_id(&request, WHAT)?;
    let tx = caller.begin().await?;
    let found = users::person(&tx, id).await?;
    Ok(Reply::tagged(found.ok_or_else(|| ApiError::not_found(WHAT))?.into()))
}
