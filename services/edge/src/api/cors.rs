//! Pages of other origins that may use the API (F1): those on the list, `SB_CORS_ORIGINS`, and no others. Credentials are
//! sent as a header by the page itself, never by the browser's own keeping, so cookies are not allowed for.

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};

use super::{Api, answer::ApiError};

const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS: &str =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-API-Key";
const RESPONSE_HEADERS: &str = "ETag, Location, Retry-After";
/// How long a browser may remember the answer, s.
const REMEMBERED_S: &str = "3600";

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Exactly these.
    pub fn listed(origins: Vec<String>) -> Self {
        Self(origins)
    }

    /// The origin that asks, where it is on the list.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let listed = self.0.iter().any(|o| o.as_bytes().eq_ignore_ascii_case(origin.as_bytes()));
        listed.then(|| origin.clone())
    }
}

/// Answers a browser's question before the request, and tells it with every answer who may read it.
pub async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let origins = request.app_data::<web::Data<Api>>().map(|api| api.origins.clone());
    let origin = origins.unwrap_or_default().allowed(request.headers());
    let asks_before = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (asks_before, &origin) {
        (true, Some(_)) => request.into_response(HttpResponse::NoContent().finish()),
        (true, None) => {
            let refused = ApiError::forbidden("this origin may not use the API");
            request.error_response(refused)
        }
        (false, _) => next.call(request).await?.map_into_boxed_body(),
    };
    let headers = response.headers_mut();
    // Whether or not it is allowed: a cache must not give one origin's answer to another.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let nosniff = HeaderName::from_static("x-content-type-options");
    headers.insert(nosniff, HeaderValue::from_static("nosniff"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let mut tell = |name, value| headers.insert(name, HeaderValue::from_static(value));
        tell(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        if asks_before {
            tell(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            tell(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            tell(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_S);
        }
    }
    Ok(response)
}
