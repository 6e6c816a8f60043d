//! The one shape of every answer: `{status, data, error}` (F1), whatever happened.

use actix_web::{
    HttpRequest, HttpResponse, Responder, ResponseError,
    body::BoxBody,
    http::{StatusCode, header},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use store::StoreError;
use utoipa::ToSchema;

/// What a handler returns.
pub type Answer<T> = Result<Reply<T>, ApiError>;

/// An answer that has what was asked for.
#[derive(Serialize, ToSchema)]
pub struct Success<T> {
    /// How it went.
    pub status: SuccessStatus,
    /// What was asked for.
    pub data: T,
    /// Always null.
    #[schema(required = true)]
    pub error: Option<Problem>,
}

/// How it went: well.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SuccessStatus {
    /// Well.
    Ok,
}

/// An answer that says what is wrong.
#[derive(Serialize, ToSchema)]
pub struct Failure {
    /// How it went.
    pub status: FailureStatus,
    /// Always null.
    #[schema(required = true)]
    pub data: Option<Nothing>,
    /// What is wrong.
    pub error: Problem,
}

/// How it went: not well.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailureStatus {
    /// Not well.
    Error,
}

/// There is none.
#[derive(Serialize, ToSchema)]
pub struct Nothing {}

/// What is wrong with a request.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema, Debug)]
pub struct Problem {
    /// For programs; it stays as it is.
    #[schema(example = "invalid_parameter")]
    pub code: String,
    /// For people; it may be worded otherwise some day.
    #[schema(example = "limit: must be a number from 1 to 100")]
    pub message: String,
    /// Which part of the request is meant, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "limit")]
    pub field: Option<String>,
}

/// Why a request is not answered with what it asked for.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    problem: Problem,
    headers: Vec<(header::HeaderName, String)>,
}

impl ApiError {
    /// An error with a code for programs and words for people. The words go to the caller alone, so they may quote the
    /// caller; they are never logged.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let problem = Problem { code: code.to_owned(), message: message.into(), field: None };
        Self { status, problem, headers: Vec::new() }
    }

    /// Names the part of the request that is meant.
    #[must_use]
    pub fn of(mut self, field: &str) -> Self {
        self.problem.field = Some(field.to_owned());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A parameter cannot be used.
    pub fn parameter(name: &str, problem: &str) -> Self {
        let message = format!("{name}: {problem}");
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", message).of(name)
    }

    /// A field of the body cannot be used.
    pub fn field(name: &str, problem: &str) -> Self {
        let message = format!("{name}: {problem}");
        Self::new(StatusCode::BAD_REQUEST, "invalid_body", message).of(name)
    }

    /// Nobody knows who asks.
    pub fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
            .with(header::WWW_AUTHENTICATE, "Bearer")
    }

    /// Whoever asks may not.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// There is no such thing, or it is another tenant's.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// It does not go together with how things stand.
    pub fn conflict(code: &str, message: &str) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// The path has other methods.
    pub fn method_not_allowed(allowed: &str) -> Self {
        let message = format!("this path answers to {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
            .with(header::ALLOW, allowed)
    }

    /// Over the limit (E2); again after `seconds`.
    pub fn too_many_requests(seconds: u64) -> Self {
        let message = format!("over the limit of requests; again in {seconds} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
            .with(header::RETRY_AFTER, seconds.to_string())
    }

    /// Something that is needed is away for now.
    pub fn unavailable(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            .with(header::RETRY_AFTER, "1")
    }

    /// A fault of ours; what it is stands in the log alone.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "a fault of ours; it is logged")
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.problem.code)
    }
}

/// A file that cannot be written to its end breaks off with it.
impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        response.json(Failure {
            status: FailureStatus::Error,
            data: None,
            error: self.problem.clone(),
        })
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, kind = "database_away", "request to the API not answered");
            return Self::unavailable(
                "the database does not answer; nothing is lost by asking again",
            );
        }
        tracing::error!(%error, kind = "database_refuses", "request to the API not answered");
        Self::internal()
    }
}

/// An answer that has what was asked for, with its HTTP status.
pub struct Reply<T> {
    status: StatusCode,
    data: T,
    location: Option<String>,
    tagged: bool,
}

impl<T> Reply<T> {
    /// 200.
    pub fn ok(data: T) -> Self {
        Self { status: StatusCode::OK, data, location: None, tagged: false }
    }

    /// 200 with an `ETag`; 304 where the caller has it already.
    pub fn tagged(data: T) -> Self {
        Self { tagged: true, ..Self::ok(data) }
    }

    /// Another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl<T: Serialize> Responder for Reply<T> {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        let success = Success { status: SuccessStatus::Ok, data: self.data, error: None };
        let Ok(body) = serde_json::to_vec(&success) else {
            tracing::error!(kind = "answer_not_written", "an answer of the API is no JSON");
            return ApiError::internal().error_response();
        };
        let mut response = HttpResponse::build(self.status);
        response.content_type("application/json");
        if let Some(location) = self.location {
            response.insert_header((header::LOCATION, location));
        }
        if !self.tagged {
            response.insert_header((header::CACHE_CONTROL, "no-store"));
            return response.body(body);
        }
        let tag = tag_of(&body);
        response.insert_header((header::ETAG, tag.clone()));
        response.insert_header((header::CACHE_CONTROL, "private, no-cache"));
        if is_held(request, &tag) {
            response.status(StatusCode::NOT_MODIFIED);
            return response.finish();
        }
        response.body(body)
    }
}

/// The `ETag` of an answer.
fn tag_of(body: &[u8]) -> String {
    format!("\"{}\"", hex::encode(&Sha256::digest(body)[..16]))
}

/// Which version a change takes the place of, where the caller says so by `If-Match` (RFC 9110, 13.1.1).
pub struct IfMatch(Vec<String>);

impl IfMatch {
    /// What the request says; `None` where it says nothing.
    pub fn of(request: &HttpRequest) -> Option<Self> {
        let lines = request.headers().get_all(header::IF_MATCH);
        let tags = lines.flat_map(|line| line.to_str().unwrap_or_default().split(','));
        let tags: Vec<String> = tags.map(|tag| tag.trim().to_owned()).collect();
        (!tags.is_empty()).then_some(Self(tags))
    }

    /// Compares with what a GET would show `now`; `None` where there is nothing.
    ///
    /// # Errors
    /// 412 where it is another version: somebody else was first.
    pub fn check<T: Serialize>(&self, now: Option<&T>) -> Result<(), ApiError> {
        let shown = now.map(|data| Success { status: SuccessStatus::Ok, data, error: None });
        let tag = shown.and_then(|shown| serde_json::to_vec(&shown).ok()).map(|b| tag_of(&b));
        let is_meant = tag.is_some_and(|tag| self.0.iter().any(|t| *t == tag || t == "*"));
        if is_meant {
            return Ok(());
        }
        let message = "there is another version by now; look at it before you change it";
        Err(ApiError::new(StatusCode::PRECONDITION_FAILED, "changed", message).of("If-Match"))
    }
}

/// Whether the caller says that it holds the answer of that tag.
fn is_held(request: &HttpRequest, tag: &str) -> bool {
    let held = request.headers().get_all(header::IF_NONE_MATCH);
    let mut tags = held.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    tags.any(|held| {
        let held = held.trim();
        held == "*" || held.strip_prefix("W/").unwrap_or(held) == tag
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn whoever_holds_an_answer_already_is_told_so_in_any_form_the_header_may_have() {
        let held = |header: &str| {
            let request =
                TestRequest::default().insert_header(("if-none-match", header)).to_http_request();
            is_held(&request, "\"abc\"")
        };
        assert!(held("\"abc\"") && held("W/\"abc\"") && held("\"x\", \"abc\"") && held("*"));
        assert!(!held("abc") && !held("\"abcd\"") && !held(""));
    }

    #[test]
    fn a_change_of_a_version_that_is_no_more_is_refused_and_one_that_names_none_is_not() {
        let shown = Reply::tagged("as it is").respond_to(&TestRequest::default().to_http_request());
        let tag = shown.headers().get("etag").unwrap().to_str().unwrap().to_owned();
        let check = |header: &str, now: Option<&str>| {
            let request = TestRequest::default().insert_header(("if-match", header));
            IfMatch::of(&request.to_http_request()).unwrap().check(now.as_ref()).is_ok()
        };
        assert!(check(&tag, Some("as it is")) && check(&format!("\"x\", {tag}"), Some("as it is")));
        assert!(check("*", Some("as it is")) && !check("*", None));
        assert!(!check(&tag, Some("otherwise")) && !check(&tag, None) && !check("", Some("x")));
        assert!(!check(&format!("W/{tag}"), Some("as it is")), "a weak tag says too little");
        assert!(IfMatch::of(&TestRequest::default().to_http_request()).is_none());
    }
}
