//! Who asks: an API key or a token, the tenant from it alone, within the limits (E2, E5).

use std::{future::Future, marker::PhantomData, ops::Deref, pin::Pin, time::Duration};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};
use domain::TenantId;
use store::TenantTx;
use uuid::Uuid;

use super::{
    Api,
    answer::ApiError,
    key::PresentedKey,
    role::{AtLeast, Role},
};
use crate::channel::UserKey;

const NO_CREDENTIAL: &str = "send an API key or a token as `Authorization: Bearer …`";
const BAD_CREDENTIAL: &str = "the API key or token is not good, or not good any more";
/// What failed attempts from one address are counted under: they have no tenant.
const NOBODY: TenantId = TenantId::from_uuid(Uuid::nil());

/// Whoever asks, known and within the limits.
pub struct Caller {
    /// What the API works with.
    pub api: web::Data<Api>,
    /// Whose data; from the credential, never from the request.
    pub tenant: TenantId,
    /// Who, as the audit log names them: `key:{id}` or `jwt:{subject}`.
    pub actor: String,
    /// What they may do.
    pub role: Role,
}

impl Caller {
    /// Begins a transaction that sees the caller's tenant alone.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(&self) -> Result<TenantTx, ApiError> {
        Ok(self.api.store.tenant(self.tenant).await?)
    }
}

/// A caller of at least this role.
pub struct As<R> {
    caller: Caller,
    role: PhantomData<R>,
}

impl<R> Deref for As<R> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<R: AtLeast> FromRequest for As<R> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = authenticate(&request).await?;
            if caller.role < R::ROLE {
                return Err(ApiError::forbidden(format!(
                    "this needs the role {}; the credential has {}",
                    R::ROLE.name(),
                    caller.role.name()
                )));
            }
            Ok(Self { caller, role: PhantomData })
        })
    }
}

async fn authenticate(request: &HttpRequest) -> Result<Caller, ApiError> {
    let api = request.app_data::<web::Data<Api>>().ok_or_else(ApiError::internal)?.clone();
    match known(&api, request).await? {
        Ok((tenant, actor, role)) => {
            let user = UserKey(tenant.derive(&format!("api:{actor}")));
            let limit = api.settings.requests_per_minute;
            admit(user, api.guard.admit_to_api(user, limit).await)?;
            Ok(Caller { api, tenant, actor, role })
        }
        Err(message) => {
            // Whoever guesses is slowed down; a person who mistypes is not.
            let source = UserKey::at(NOBODY, api.source_of(request));
            metrics::counter!("edge_api_refused_total").increment(1);
            admit(source, api.guard.admit_to_api(source, api.settings.requests_per_minute).await)?;
            Err(ApiError::unauthorized(message))
        }
    }
}

fn admit(user: UserKey, admission: Result<(), Duration>) -> Result<(), ApiError> {
    admission.map_err(|wait| {
        over_limit(user, "requests");
        ApiError::too_many_requests(wait.as_secs().max(1))
    })
}

/// Counts and logs that a caller is over one of the limits (E2).
pub(super) fn over_limit(user: UserKey, limit: &'static str) {
    metrics::counter!("edge_over_limit_total", "channel" => "api").increment(1);
    tracing::warn!(kind = "over_limit", channel = "api", limit, user = %user.0, "request refused");
}

type Known = Result<(TenantId, String, Role), &'static str>;

async fn known(api: &Api, request: &HttpRequest) -> Result<Known, ApiError> {
    let Some(credential) = credential(request) else { return Ok(Err(NO_CREDENTIAL)) };
    if PresentedKey::looks_like_one(credential) {
        let Some(key) = PresentedKey::parse(credential) else { return Ok(Err(BAD_CREDENTIAL)) };
        let tx = api.store.tenant(key.tenant).await?;
        let role = match store::api_keys::role_of(&tx, key.id, key.secret).await {
            Ok(role) => role,
            Err(store::StoreError::NoTenant) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(role) = role.as_deref().and_then(Role::named) else {
            return Ok(Err(BAD_CREDENTIAL));
        };
        tx.commit().await?;
        return Ok(Ok((key.tenant, format!("key:{}", key.id), role)));
    }
    let Some(bearer) = api.tokens.check(credential) else { return Ok(Err(BAD_CREDENTIAL)) };
    let tx = api.store.tenant(bearer.tenant).await?;
    if !store::tenants::exists(&tx).await? {
        return Ok(Err(BAD_CREDENTIAL));
    }
    Ok(Ok((bearer.tenant, format!("jwt:{}", bearer.subject), bearer.role)))
}

/// `Authorization: Bearer`; without it, `X-API-Key`.
fn credential(request: &HttpRequest) -> Option<&str> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(authorization) = header(header::AUTHORIZATION) else {
        let key = header(header::HeaderName::from_static("x-api-key"))?;
        return Some(key.trim()).filter(|key| !key.is_empty());
    };
    let (scheme, credential) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim()).filter(|c| !c.is_empty())
}
