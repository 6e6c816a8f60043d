//! The tenant itself, and who changed what in it.

use actix_web::{HttpRequest, web};
use domain::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use store::{
    audit,
    tenants::{self, OwnTenant},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, IfMatch, Reply, Success},
    caller::As,
    read::{self, Moment, Page, Query, moment},
    role::{Admin, Developer, ReadOnly},
    write::{Change, Done},
};

/// A business that uses the front desk.
#[derive(Serialize, ToSchema)]
pub struct Tenant {
    /// Its id.
    pub id: Uuid,
    /// A short unique name.
    #[schema(example = "demo")]
    pub slug: String,
    /// What it says about itself: `business`, `timezone`, `greeting`, `fallback_number`, ...
    #[schema(value_type = Object, example = json!({"business": "Maple Dental", "timezone": "America/Toronto"}))]
    pub settings: Value,
    /// Whether message texts are encrypted, at the price of searching them.
    pub encrypts_text: bool,
    /// When it was last changed.
    pub updated_at: Moment,
}

fn shown(caller: &super::caller::Caller, own: OwnTenant) -> Tenant {
    Tenant {
        id: *caller.tenant.as_uuid(),
        slug: own.slug,
        settings: own.settings,
        encrypts_text: own.encrypt_text,
        updated_at: moment(own.updated_at),
    }
}

/// The tenant
#[utoipa::path(get, path = "/api/v1/tenant", tag = "tenant",
    responses((status = 200, description = "The caller's own", body = inline(Success<Tenant>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn show(caller: As<ReadOnly>) -> Answer<Tenant> {
    let tx = caller.begin().await?;
    let own = tenants::own(&tx).await?;
    Ok(Reply::tagged(shown(&caller, own)))
}

/// Settings that are to be changed.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantChange {
    /// What is to be otherwise (RFC 7396): a value replaces, null takes away, what is not named stays.
    #[schema(value_type = Object, example = json!({"greeting": "Maple Dental, good morning!"}))]
    settings: Map<String, Value>,
}

/// Change the tenant's settings
///
/// For developers. In force on every task within some seconds. What cannot be used is refused by name.
#[utoipa::path(patch, path = "/api/v1/tenant", tag = "tenant", request_body = TenantChange,
    params(("If-Match" = Option<String>, Header, description = "The `ETag` of the version it takes the place of")),
    responses((status = 200, description = "As it is now", body = inline(Success<Tenant>)),
        (status = 412, description = "Somebody else was first", body = super::answer::Failure)))]
pub async fn change(
    caller: As<Developer>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let wanted: TenantChange = body.json()?;
    let expected = IfMatch::of(&request);
    Change::of(&caller, &request, &body)?
        .make(async |tx| {
            let before = shown(&caller, tenants::own_for_change(tx).await?);
            if let Some(expected) = expected {
                expected.check(Some(&before))?;
            }
            let mut settings = before.settings.as_object().cloned().unwrap_or_default();
            for (name, value) in &wanted.settings {
                match value {
                    Value::Null => settings.remove(name),
                    value => settings.insert(name.clone(), value.clone()),
                };
            }
            let settings = Value::Object(settings);
            tenants::parse(caller.tenant, &before.slug, settings.clone())
                .map_err(|fault| ApiError::field("settings", &fault))?;
            let own = tenants::put_settings(tx, &settings).await?;
            // Which, not what: a setting may name a person.
            let names: Vec<&String> = wanted.settings.keys().collect();
            Ok(Done::ok(shown(&caller, own), "tenant.change", caller.tenant)
                .noting(json!({ "settings": names })))
        })
        .await
}

/// A change that somebody made.
#[derive(Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: Moment,
    /// Who: `key:` and the key's id, or `jwt:` and the subject.
    #[schema(example = "key:4f7c0a91b2de")]
    pub actor: String,
    /// What was done.
    #[schema(example = "appointment.cancel")]
    pub action: String,
    /// To what.
    pub subject: String,
    /// What else is worth knowing.
    #[schema(value_type = Object)]
    pub detail: Value,
}

/// Who changed what
///
/// For admins. The newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of it", body = inline(Success<Page<AuditEntry>>))))]
pub async fn audit_log(caller: As<Admin>, request: HttpRequest) -> Answer<Page<AuditEntry>> {
    let mut query = Query::of(&request)?;
    let (limit, after) = query.page()?;
    query.end()?;
    let tx = caller.begin().await?;
    let after = after.map(|(at, id)| (Timestamp::from_micros(at), id));
    let rows = audit::page(&tx, after, limit + 1).await?;
    let key = |e: &audit::Entry| (e.at.as_micros(), e.id);
    let item = |e: audit::Entry| AuditEntry {
        id: e.id,
        at: moment(e.at),
        actor: e.actor,
        action: e.action,
        subject: e.subject,
        detail: e.detail,
    };
    Ok(Reply::ok(Page::of(rows, limit, key, item)))
}
