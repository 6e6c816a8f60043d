//! API keys: made, listed, revoked by admins.

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::api_keys;
use utoipa::ToSchema;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    key::NewKey,
    read::{self, Moment, moment, timestamp},
    role::{Admin, Role},
    write::{Change, Done},
};

/// An API key. What opens the API is shown once, when it is made.
#[derive(Serialize, ToSchema)]
pub struct ApiKey {
    /// The part that is no secret.
    #[schema(example = "4f7c0a91b2de")]
    pub id: String,
    /// What people call it.
    #[schema(example = "console")]
    pub name: String,
    /// What it may do.
    pub role: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Moment,
    /// After this moment it opens nothing.
    pub expires_at: Option<Moment>,
    /// Since when it opens nothing.
    pub revoked_at: Option<Moment>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Moment>,
}

/// An API key that has just been made.
#[derive(Serialize, ToSchema)]
pub struct CreatedApiKey {
    /// The part that is no secret.
    #[schema(example = "4f7c0a91b2de")]
    pub id: String,
    /// The key itself. It is shown this once; null when the same is asked for again.
    #[schema(required = true, example = "sbk_de300000000040008000000000000001_4f7c0a91b2de_…")]
    pub key: Option<String>,
    /// What may be shown of it.
    pub about: ApiKey,
}

/// An API key that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedApiKey {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, pattern = "\\S", example = "console")]
    name: String,
    /// What it may do.
    role: Role,
    /// After this moment it opens nothing; it lasts unless said.
    expires_at: Option<Moment>,
}

impl From<api_keys::ApiKey> for ApiKey {
    fn from(k: api_keys::ApiKey) -> Self {
        Self {
            id: k.id,
            name: k.name,
            role: k.role,
            created_by: k.created_by,
            created_at: moment(k.created_at),
            expires_at: k.expires_at.map(moment),
            revoked_at: k.revoked_at.map(moment),
            last_used_at: k.last_used_at.map(moment),
        }
    }
}

/// API keys
///
/// For admins. The newest first, revoked ones too.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "api keys",
    responses((status = 200, description = "All of them", body = inline(Success<Vec<ApiKey>>))))]
pub async fn list(caller: As<Admin>) -> Answer<Vec<ApiKey>> {
    let tx = caller.begin().await?;
    Ok(Reply::ok(api_keys::all(&tx).await?.into_iter().map(ApiKey::from).collect()))
}

/// Make an API key
///
/// For admins. The key is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "api keys", request_body = WantedApiKey,
    responses((status = 201, description = "It was made", body = inline(Success<CreatedApiKey>))))]
pub async fn create(caller: As<Admin>, request: HttpRequest, body: web::Payload) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let wanted: WantedApiKey = body.json()?;
    read::text("name", &wanted.name, 100)?;
    Change::of(&caller, &request, &body)?
        .make(async |tx| {
            let key = NewKey::random();
            let new = api_keys::NewApiKey {
                id: &key.id,
                name: &wanted.name,
                role: wanted.role.name(),
                created_by: &caller.actor,
                expires_at: wanted.expires_at.map(timestamp),
            };
            // Two of 36^12 alike: asked again it gets another one.
            let made = api_keys::add(tx, &new, key.secret.reveal()).await?;
            let about = made.ok_or_else(|| ApiError::unavailable("ask again"))?;
            let handed_out = key.handed_out(caller.tenant);
            let created = CreatedApiKey {
                id: key.id.clone(),
                key: Some(handed_out.reveal().to_owned()),
                about: about.into(),
            };
            let mut done = Done::created(created, "api_key.create", &key.id)
                .noting(json!({ "role": wanted.role.name() }));
            done.shown_once = Some("key");
            Ok(done)
        })
        .await
}

/// Revoke an API key
///
/// For admins. It opens nothing from now on.
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", tag = "api keys",
    params(("id" = String, Path, example = "4f7c0a91b2de")),
    responses((status = 200, description = "It is revoked", body = inline(Success<ApiKey>))))]
pub async fn revoke(caller: As<Admin>, request: HttpRequest, body: web::Payload) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let id = read::path_text(&request).to_owned();
    Change::of(&caller, &request, &body)?
        .make(async |tx| {
            let revoked = api_keys::revoke(tx, &id).await?;
            let revoked = revoked.ok_or_else(|| ApiError::not_found("API key"))?;
            Ok(Done::ok(ApiKey::from(revoked), "api_key.revoke", &id))
        })
        .await
}
