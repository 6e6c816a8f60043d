//! Amazon SES v2: `SendEmail` with a raw message (PROTOCOLS 7). What was sent is seen under `/sim/emails`.

use std::sync::{Mutex, PoisonError};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{World, aws, polly::error};

/// SES takes a message for so many people.
const RECIPIENTS_MAX: usize = 50;

/// The post.
#[derive(Debug, Default)]
pub struct Post(Mutex<Vec<Sent>>);

/// A message that was taken.
#[derive(Clone, Debug, Serialize)]
struct Sent {
    id: String,
    from: String,
    to: Vec<String>,
    /// Head and body, as it would go on.
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendEmail {
    from_email_address: String,
    destination: Destination,
    content: Content,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    to_addresses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    raw: Raw,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    data: String,
}

/// Mounts the paths under `/ses`.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/v2/email/outbound-emails", web::post().to(send));
}

/// Mounts what is under `/sim`.
pub fn control(cfg: &mut web::ServiceConfig) {
    cfg.route("/emails", web::get().to(list));
}

async fn send(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let secret = world.config.aws_secret.as_ref();
    if let Err(refusal) = aws::authorise(&request, "ses", &body, secret) {
        return error(StatusCode::FORBIDDEN, refusal);
    }
    let Some((wanted, message)) = read(&body) else {
        return error(StatusCode::BAD_REQUEST, "BadRequestException");
    };
    let id = Uuid::new_v4().to_string();
    let to = wanted.destination.to_addresses;
    let sent = Sent { id: id.clone(), from: wanted.from_email_address, to, message };
    world.post.0.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
    HttpResponse::Ok().json(json!({ "MessageId": id }))
}

/// A message that can go on: for somebody, from whom its head says.
fn read(body: &[u8]) -> Option<(SendEmail, String)> {
    let wanted: SendEmail = serde_json::from_slice(body).ok()?;
    let message = BASE64_STANDARD.decode(&wanted.content.raw.data).ok()?;
    let message = String::from_utf8(message).ok()?;
    let (head, _) = message.split_once("\r\n\r\n")?;
    let from = head.lines().find(|line| line.to_ascii_lowercase().starts_with("from:"))?;
    let to = &wanted.destination.to_addresses;
    let good = from.contains(&wanted.from_email_address)
        && (1..=RECIPIENTS_MAX).contains(&to.len())
        && to.iter().all(|address| address.contains('@'));
    good.then_some((wanted, message))
}

async fn list(world: web::Data<World>) -> HttpResponse {
    let sent = world.post.0.lock().unwrap_or_else(PoisonError::into_inner);
    HttpResponse::Ok().json(&*sent)
}
