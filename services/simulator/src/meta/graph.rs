//! The Graph API for messages and media (PROTOCOLS 2.3 to 2.5).

use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, ResponseError, http::StatusCode, http::header, web};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    World,
    config::accepts,
    meta::{
        Media, State,
        chat::{Chat, Line, readable},
        wamid, webhook,
    },
    openai::multipart,
    platform,
};

/// Meta's largest file, and what surrounds it.
const UPLOAD_MAX: usize = 101 * 1024 * 1024;
/// Messages that name a file.
const FILES: [&str; 5] = ["image", "video", "document", "audio", "sticker"];

/// Mounts the paths.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/files/{id}", web::get().to(download))
        .service(
            web::resource("/{version}/{number}/media")
                .app_data(web::PayloadConfig::new(UPLOAD_MAX))
                .route(web::post().to(upload)),
        )
        .route("/{version}/{number}/messages", web::post().to(send))
        .route("/{version}/{media}", web::get().to(describe));
}

/// An error as Meta words it (PROTOCOLS 2.4).
#[derive(Debug, thiserror::Error)]
#[error("(#{code}) {details}")]
struct GraphError {
    code: u32,
    details: String,
}

fn refused(code: u32, details: impl Into<String>) -> GraphError {
    GraphError { code, details: details.into() }
}

impl ResponseError for GraphError {
    /// Clients are to decide by the code; the status follows Meta's older table.
    fn status_code(&self) -> StatusCode {
        match self.code {
            0 | 190 => StatusCode::UNAUTHORIZED,
            10 | 200..300 | 131_031 | 368 => StatusCode::FORBIDDEN,
            4 | 80_007 | 130_429 | 131_048 | 131_056 | 131_064 => StatusCode::TOO_MANY_REQUESTS,
            1 | 131_000 => StatusCode::INTERNAL_SERVER_ERROR,
            2 | 131_016 | 131_057 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code()).json(json!({"error": {
            "message": format!("(#{}) {}", self.code, title(self.code)),
            "type": "OAuthException",
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.details},
            "fbtrace_id": "AsimulatedTrace0000000",
        }}))
    }
}

fn title(code: u32) -> &'static str {
    match code {
        0 | 190 => "Authentication failed",
        4 | 80_007 | 130_429 => "Rate limit hit",
        100 | 131_009 => "Invalid parameter",
        131_008 => "Required parameter is missing",
        131_026 => "Message undeliverable",
        131_030 => "Recipient phone number not in allowed list",
        131_047 => "Re-engagement message",
        131_049 => "This message was not delivered to maintain healthy ecosystem engagement",
        131_051 => "Message type is not supported",
        131_056 => "Too many messages to this pair",
        _ => "Something went wrong",
    }
}

fn authorise(world: &World, request: &HttpRequest) -> Result<(), GraphError> {
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if accepts(world.config.meta.access_token.as_ref(), token) {
        Ok(())
    } else {
        Err(refused(190, "Invalid OAuth access token"))
    }
}

async fn send(
    world: web::Data<World>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    body: web::Bytes,
) -> Result<HttpResponse, GraphError> {
    authorise(&world, &request)?;
    let phone_number_id = path.into_inner().1;
    if !world.config.meta.numbers.contains_key(&phone_number_id) {
        return Err(refused(100, "Object with this ID does not exist"));
    }
    let message: Value =
        serde_json::from_slice(&body).map_err(|_| refused(100, "The body is not JSON"))?;
    if message["messaging_product"] != "whatsapp" {
        return Err(refused(100, "messaging_product is not whatsapp"));
    }
    if !message["status"].is_null() {
        return mark_read(&world, &message);
    }
    let Accepted { id, wa_id, fails_with } = accept(&world, &phone_number_id, &message)?;
    platform::threads().spawn(report(
        world,
        phone_number_id,
        wa_id.clone(),
        id.clone(),
        fails_with,
    ));
    let input = message["to"].as_str().or(message["recipient"].as_str());
    Ok(HttpResponse::Ok().json(json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": input, "wa_id": wa_id}],
        "messages": [{"id": id, "message_status": "accepted"}],
    })))
}

/// A message that was taken.
struct Accepted {
    id: String,
    wa_id: String,
    /// The code of the status by which it fails later.
    fails_with: Option<u32>,
}

/// Takes a message, if it is well formed and within the rates, and no failure is ordered.
fn accept(world: &World, phone_number_id: &str, message: &Value) -> Result<Accepted, GraphError> {
    let kind = validate(message)?;
    let mut state = world.meta.state();
    let state = &mut *state;
    let wa_id = recipient(message, &state.chats)?;
    let taken = state.taken.take(state.rates, phone_number_id, &wa_id, Instant::now());
    if let Err(code) = taken {
        *state.refusals.entry(code).or_default() += 1;
        return Err(refused(code, "Message failed to send because there were too many messages"));
    }
    names_a_file(state, &kind, message)?;
    let failure = state.next_failure();
    if let Some(failure) = failure.as_ref().filter(|failure| !failure.later) {
        *state.refusals.entry(failure.code).or_default() += 1;
        return Err(refused(failure.code, "ordered by the test"));
    }
    let chat = state.chats.entry(wa_id.clone()).or_insert_with(|| Chat {
        wa_id: wa_id.clone(),
        phone_number_id: phone_number_id.to_owned(),
        ..Chat::default()
    });
    let fails_with = match failure {
        Some(failure) => Some(failure.code),
        None if kind != "template" && !chat.is_open() => Some(131_047),
        None => None,
    };
    let mut line = Line {
        id: wamid(),
        by_person: false,
        text: readable(&kind, message),
        kind,
        content: message.clone(),
        unix_ms: Timestamp::now().as_millisecond(),
        statuses: Vec::new(),
        attempts: 0,
        callback_data: message["biz_opaque_callback_data"].as_str().map(str::to_owned),
    };
    line.note("accepted", None);
    let id = line.id.clone();
    chat.lines.push(line);
    if let Some(waiting) = state.waiting.get(&wa_id) {
        waiting.notify_waiters();
    }
    Ok(Accepted { id, wa_id, fails_with })
}

/// A file that a message names by its id is there, and of a type that may be shown so.
fn names_a_file(state: &State, kind: &str, message: &Value) -> Result<(), GraphError> {
    let Some(id) = message[kind]["id"].as_str().filter(|_| FILES.contains(&kind)) else {
        return Ok(());
    };
    let media = state.media.get(id).ok_or_else(|| refused(131_009, "Media ID is not known"))?;
    let is_so = match kind {
        "image" | "sticker" => media.mime_type.starts_with("image/"),
        "video" => media.mime_type.starts_with("video/"),
        "audio" => media.mime_type.starts_with("audio/"),
        _ => true,
    };
    if !is_so {
        return Err(refused(131_053, format!("{} is no {kind}", media.mime_type)));
    }
    if kind == "audio" && !message[kind]["caption"].is_null() {
        return Err(refused(131_009, "audio has no caption"));
    }
    Ok(())
}

/// Takes a file that messages may name for 30 days (PROTOCOLS 2.5).
async fn upload(
    world: web::Data<World>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    body: web::Bytes,
) -> Result<HttpResponse, GraphError> {
    authorise(&world, &request)?;
    if !world.config.meta.numbers.contains_key(&path.into_inner().1) {
        return Err(refused(100, "Object with this ID does not exist"));
    }
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let part = |name: &str| multipart::part(content_type, &body, name);
    let text = |name: &str| part(name).map(|value| String::from_utf8_lossy(value).into_owned());
    if text("messaging_product").as_deref() != Some("whatsapp") {
        return Err(refused(100, "messaging_product is not whatsapp"));
    }
    let mime_type = text("type").ok_or_else(|| refused(131_008, "type is missing"))?;
    let data = part("file").ok_or_else(|| refused(131_008, "file is missing"))?;
    const MB: usize = 1024 * 1024;
    let largest = match mime_type.split('/').next() {
        Some("image") => 5 * MB,
        Some("audio" | "video") => 16 * MB,
        _ => 100 * MB,
    };
    if data.is_empty() || data.len() > largest {
        return Err(refused(131_053, "the file is empty or too large"));
    }
    let id = webhook::media_id();
    let media = Media { mime_type, data: web::Bytes::copy_from_slice(data) };
    let mut state = world.meta.state();
    state.uploads += 1;
    state.media.insert(id.clone(), media);
    Ok(HttpResponse::Ok().json(json!({ "id": id })))
}

/// Marks a person's message as read, and shows that the business is typing when asked to.
fn mark_read(world: &World, message: &Value) -> Result<HttpResponse, GraphError> {
    if message["status"] != "read" {
        return Err(refused(100, "status is not read"));
    }
    let id =
        message["message_id"].as_str().ok_or_else(|| refused(131_008, "message_id is missing"))?;
    let mut state = world.meta.state();
    let line = state.chats.values_mut().find_map(|chat| chat.line(id));
    let line = line.filter(|line| line.by_person);
    let line = line.ok_or_else(|| refused(131_009, "message_id is not known"))?;
    line.note("read", None);
    if message["typing_indicator"]["type"] == "text" {
        line.note("typing", None);
    }
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

/// The person's number: `to`, or whose business-scoped id `recipient` is.
fn recipient(
    message: &Value,
    chats: &std::collections::BTreeMap<String, Chat>,
) -> Result<String, GraphError> {
    if let Some(to) = message["to"].as_str() {
        let digits: String = to.chars().filter(char::is_ascii_digit).collect();
        return if digits.len() < 7 {
            Err(refused(131_009, "to is not a number"))
        } else {
            Ok(digits)
        };
    }
    let bsuid = message["recipient"].as_str().ok_or_else(|| refused(131_008, "to is missing"))?;
    let chat = chats.values().find(|chat| chat.bsuid.as_deref() == Some(bsuid));
    chat.map(|chat| chat.wa_id.clone()).ok_or_else(|| refused(131_026, "recipient is not known"))
}

/// Checks a message against the limits of PROTOCOLS 2.3; its type.
fn validate(message: &Value) -> Result<String, GraphError> {
    let kind = message["type"].as_str().unwrap_or("text");
    at_most(message, "/biz_opaque_callback_data", 512)?;
    let member = &message[kind];
    if !member.is_object() {
        return Err(refused(131_008, format!("{kind} is missing")));
    }
    match kind {
        "text" => required(member, "/body", 4096)?,
        "image" | "video" | "document" | "audio" | "sticker" => {
            if member["id"].is_null() && member["link"].is_null() {
                return Err(refused(131_008, format!("{kind} has neither id nor link")));
            }
            at_most(member, "/caption", 1024)?;
        }
        "interactive" => interactive(member)?,
        "template" => {
            required(member, "/name", 512)?;
            required(member, "/language/code", 16)?;
        }
        "reaction" => required(member, "/message_id", 512)?,
        "location" | "contacts" => {}
        _ => return Err(refused(131_051, format!("{kind} is not a message type"))),
    }
    Ok(kind.to_owned())
}

fn interactive(member: &Value) -> Result<(), GraphError> {
    required(member, "/body/text", 1024)?;
    at_most(member, "/header/text", 60)?;
    at_most(member, "/footer/text", 60)?;
    let list = |at: &Value| at.as_array().cloned().unwrap_or_default();
    match member["type"].as_str() {
        Some("button") => {
            let buttons = list(&member["action"]["buttons"]);
            if !(1..=3).contains(&buttons.len()) {
                return Err(refused(131_009, "there are 1 to 3 buttons"));
            }
            for button in &buttons {
                required(button, "/reply/id", 256)?;
                required(button, "/reply/title", 20)?;
            }
        }
        Some("list") => {
            required(member, "/action/button", 20)?;
            let sections = list(&member["action"]["sections"]);
            let rows: Vec<Value> =
                sections.iter().flat_map(|section| list(&section["rows"])).collect();
            if !(1..=10).contains(&sections.len()) || !(1..=10).contains(&rows.len()) {
                return Err(refused(131_009, "there are 1 to 10 sections and rows"));
            }
            for section in &sections {
                at_most(section, "/title", 24)?;
            }
            for row in &rows {
                required(row, "/id", 200)?;
                required(row, "/title", 24)?;
                at_most(row, "/description", 72)?;
            }
        }
        Some("cta_url") => {
            required(member, "/action/parameters/display_text", 20)?;
            required(member, "/action/parameters/url", 2000)?;
        }
        _ => return Err(refused(131_009, "the interactive type is not known")),
    }
    Ok(())
}

fn required(value: &Value, place: &str, chars_max: usize) -> Result<(), GraphError> {
    match value.pointer(place).and_then(Value::as_str) {
        None | Some("") => Err(refused(131_008, format!("{place} is missing"))),
        Some(_) => at_most(value, place, chars_max),
    }
}

fn at_most(value: &Value, place: &str, chars_max: usize) -> Result<(), GraphError> {
    let text = value.pointer(place).and_then(Value::as_str).unwrap_or_default();
    if text.chars().count() > chars_max {
        return Err(refused(131_009, format!("{place} is longer than {chars_max} characters")));
    }
    Ok(())
}

/// Sends the statuses of an accepted message.
async fn report(
    world: web::Data<World>,
    phone_number_id: String,
    wa_id: String,
    id: String,
    fails_with: Option<u32>,
) {
    let mut steps = world.meta.state().statuses.clone();
    steps.sort_by_key(|step| step.after_ms);
    if fails_with.is_some() {
        steps.truncate(1);
    }
    let mut passed_ms = 0;
    for step in steps {
        tokio::time::sleep(Duration::from_millis(step.after_ms - passed_ms)).await;
        passed_ms = step.after_ms;
        let status = if fails_with.is_some() { "failed" } else { &step.status };
        let mut value = json!({
            "id": id,
            "status": status,
            "timestamp": Timestamp::now().as_second().to_string(),
            "recipient_id": wa_id,
        });
        if let Some(code) = fails_with {
            value["errors"] = json!([{
                "code": code,
                "title": title(code),
                "message": title(code),
                "error_data": {"details": title(code)},
            }]);
        } else {
            value["pricing"] = json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": "service"});
        }
        if let Some(chat) = world.meta.state().chats.get_mut(&wa_id) {
            if let Some(bsuid) = &chat.bsuid
                && fails_with.is_none()
            {
                value["recipient_user_id"] = json!(bsuid);
            }
            if let Some(line) = chat.line(&id) {
                line.note(status, fails_with);
                if let Some(data) = &line.callback_data {
                    value["biz_opaque_callback_data"] = json!(data);
                }
            }
        }
        let value = json!({"statuses": [value]});
        tokio::spawn(webhook::deliver(world.clone(), phone_number_id.clone(), value, None));
    }
}

async fn describe(
    world: web::Data<World>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, GraphError> {
    authorise(&world, &request)?;
    let id = path.into_inner().1;
    let media = find(&world, &id)?;
    let host = request.connection_info().host().to_owned();
    Ok(HttpResponse::Ok().json(json!({
        "messaging_product": "whatsapp",
        "url": format!("http://{host}/graph/files/{id}"),
        "mime_type": media.mime_type,
        "sha256": hex::encode(Sha256::digest(&media.data)),
        "file_size": media.data.len(),
        "id": id,
    })))
}

async fn download(
    world: web::Data<World>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, GraphError> {
    authorise(&world, &request)?;
    let media = find(&world, &id)?;
    Ok(HttpResponse::Ok().content_type(media.mime_type).body(media.data))
}

fn find(world: &World, id: &str) -> Result<Media, GraphError> {
    let found = world.meta.state().media.get(id).cloned();
    found.ok_or_else(|| refused(100, "Object with this ID does not exist"))
}
