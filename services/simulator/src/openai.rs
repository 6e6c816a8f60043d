//! OpenAI.

use actix_web::web;

/// The simulated model.
#[derive(Debug, Default)]
pub struct Model {}

/// The vendor's own paths.
pub fn configure(_cfg: &mut web::ServiceConfig) {}

/// The control paths under `/sim/model`.
pub fn control(_cfg: &mut web::ServiceConfig) {}

/// An error in OpenAI's shape (PROTOCOLS 4).
pub fn error(status: actix_web::http::StatusCode, message: &str) -> serde_json::Value {
    let code = match status.as_u16() {
        401 => Some("invalid_api_key"),
        404 => Some("model_not_found"),
        429 => Some("rate_limit_exceeded"),
        _ => None,
    };
    let kind = if status.is_server_error() {
        "server_error"
    } else {
        "invalid_request_error"
    };
    serde_json::json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}
