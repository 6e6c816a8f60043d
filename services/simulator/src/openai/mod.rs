//! OpenAI and what is compatible with it: chat, speech both ways, embeddings (PROTOCOLS 4).

mod chat;
mod front_desk;
mod media;
mod model;
pub(crate) mod multipart;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde_json::{Value, json};

use crate::World;
pub(crate) use chat::{Step, arguments, play, tokens, usage};
pub(crate) use media::embedding;
pub(crate) use model::Entry;
pub use model::{Answer, Mode, Model, Seen, Settings, ToolCall};

/// Mounts the paths under `/openai`. The base URL a service is given ends in `/openai/v1`.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/v1/chat/completions", web::post().to(chat::completions))
        .route("/v1/audio/speech", web::post().to(media::speech))
        .route("/v1/audio/transcriptions", web::post().to(media::transcriptions))
        .route("/v1/embeddings", web::post().to(media::embeddings));
}

/// Mounts `GET` and `PUT /sim/model`, `GET` and `DELETE /sim/model/requests`.
pub fn control(cfg: &mut web::ServiceConfig) {
    cfg.service(web::resource("/model").route(web::get().to(show)).route(web::put().to(set)))
        .service(
            web::resource("/model/requests")
                .route(web::get().to(requests))
                .route(web::delete().to(forget)),
        );
}

async fn show(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(world.model.settings())
}

async fn set(world: web::Data<World>, settings: web::Json<Settings>) -> HttpResponse {
    world.model.set(settings.into_inner());
    HttpResponse::NoContent().finish()
}

async fn requests(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(world.model.requests())
}

async fn forget(world: web::Data<World>) -> HttpResponse {
    world.model.forget();
    HttpResponse::NoContent().finish()
}

/// An error in OpenAI's shape: all four keys, two of which may be null.
pub fn error(status: StatusCode, message: &str) -> Value {
    let code = match status.as_u16() {
        401 => Some("invalid_api_key"),
        404 => Some("model_not_found"),
        429 => Some("rate_limit_exceeded"),
        _ => None,
    };
    let kind = match status.as_u16() {
        429 => "requests",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// Why a request is not served.
struct Problem(StatusCode, String);

impl Problem {
    fn request(message: impl std::fmt::Display) -> Self {
        Self(StatusCode::BAD_REQUEST, message.to_string())
    }

    fn service(fault: &anyhow::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, format!("{fault:#}"))
    }
}

impl From<Problem> for HttpResponse {
    fn from(Problem(status, message): Problem) -> Self {
        HttpResponse::build(status).json(error(status, &message))
    }
}

fn authorise(world: &World, request: &HttpRequest) -> Result<(), Problem> {
    let key = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if crate::config::accepts(world.config.openai_key.as_ref(), key) {
        Ok(())
    } else {
        Err(Problem(StatusCode::UNAUTHORIZED, "Incorrect API key provided.".to_owned()))
    }
}
