//! The people who reach us.

use actix_web::HttpRequest;
use domain::Timestamp;
use serde::Serialize;
use store::users;
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
    /// `phone`, `email`, `bsuid`.
    #[schema(example = "phone")]
    pub kind: String,
    /// The number, the address, the id.
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
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", body = inline(Success<Page<User>>))))]
pub async fn list(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Page<User>> {
    let mut query = Query::of(&request)?;
    let (limit, after) = query.page()?;
    query.end()?;
    let tx = caller.begin().await?;
    let after = after.map(|(at, id)| (Timestamp::from_micros(at), id));
    let rows = users::page(&tx, after, limit + 1).await?;
    let key = |p: &users::Person| (p.last_seen_at.as_micros(), p.id);
    Ok(Reply::ok(Page::of(rows, limit, key, User::from)))
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
