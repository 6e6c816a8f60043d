//! REST `/api/v1` (F1): what front ends and other systems build on. Its types are its own: neither the words of
//! [`domain`] nor the wire's stand in its JSON, so that those may change.
//!
//! - [`answer`]: the one shape of every answer.
//! - [`caller`]: who asks; `key`, `token`, [`role`] are its parts.
//! - [`read`]: queries, bodies, pages. [`write`]: changes, each once and on record.
//! - [`openapi`]: the description, from the code; [`docs`] shows it.
//! - one module for each kind of thing: conversations, calls, appointments, ...

pub mod agents;
pub mod answer;
pub mod appointments;
pub mod caller;
pub mod calls;
pub mod conversations;
pub mod cors;
pub mod dead_letters;
pub mod docs;
pub mod documents;
pub mod escalations;
pub mod events;
pub mod exports;
mod files;
pub mod health;
pub mod key;
pub mod keys;
mod media;
pub mod openapi;
pub mod parked;
pub mod read;
pub mod replays;
pub mod role;
pub mod services;
mod templates;
pub mod tenant;
pub mod token;
pub mod twilio;
pub mod users;
pub mod write;

use std::{net::IpAddr, sync::Arc};

use actix_web::{HttpRequest, Resource, Route, http::Method, middleware::from_fn, web};
use answer::ApiError;
use bus::Bus;
use cache::Cache;
use cors::Origins;
use domain::Dependency;
use store::Store;
use token::TokenVerifier;
use tokio_util::sync::CancellationToken;
use twilio::TwilioCalls;

use crate::{
    directory::Directory,
    guard::{Guard, client_address::TrustedProxies},
    http,
};

/// Under which everything lies.
pub const BASE: &str = "/api/v1";

/// What the API works with.
pub struct Api {
    /// The database.
    pub store: Store,
    /// Tickets, live events, who has a chat.
    pub cache: Cache,
    /// Where messages of operators go.
    pub bus: Bus,
    /// Our addresses.
    pub directory: Arc<Directory>,
    /// Calls that are started and ended here.
    pub twilio: TwilioCalls,
    /// Recordings.
    pub s3: aws_sdk_s3::Client,
    /// The task stops: sockets of live events are closed.
    pub stopping: CancellationToken,
    /// Limits.
    pub guard: Arc<Guard>,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: TrustedProxies,
    /// Tokens that let people in.
    pub tokens: TokenVerifier,
    /// Pages of other origins that may ask.
    pub origins: Origins,
    /// What `/health` shows.
    pub dependencies: Vec<Arc<dyn Dependency>>,
    /// Plain settings.
    pub settings: ApiSettings,
}

/// What the API is told.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// `SB_API_REQUESTS_PER_MINUTE` (E2).
    pub requests_per_minute: u32,
    /// `SB_S3_BUCKET`: where files to be sent are kept.
    pub bucket: String,
}

impl Api {
    /// The address a request came from (E3).
    pub fn source_of(&self, request: &HttpRequest) -> IpAddr {
        http::source_of(&self.proxies, request)
    }
}

/// Mounts the API and its pages.
pub fn routes(app: &mut web::ServiceConfig, api: &web::Data<Api>) {
    let (get, post, put) = (web::get, web::post, web::put);
    let v1 = web::scope(BASE)
        .app_data(api.clone())
        .wrap(from_fn(cors::answer))
        .wrap(from_fn(measure))
        .service(at("/openapi.json", [(Method::GET, get().to(openapi::document))]))
        .service(at("/health", [(Method::GET, get().to(health::show))]))
        .service(at("/conversations", [(Method::GET, get().to(conversations::list))]))
        .service(at("/conversations/{id}", [(Method::GET, get().to(conversations::show))]))
        .service(at(
            "/conversations/{id}/messages",
            [
                (Method::GET, get().to(conversations::messages)),
                (Method::POST, post().to(conversations::send)),
            ],
        ))
        .service(at("/conversations/{id}/trace", [(Method::POST, post().to(conversations::trace))]))
        .service(at("/messages/{id}/file", [(Method::GET, get().to(files::link))]))
        .service(at("/media", [(Method::POST, post().to(media::hand_over))]))
        .service(at("/conversations/{id}/turns", [(Method::GET, get().to(conversations::turns))]))
        .service(at(
            "/calls",
            [(Method::GET, get().to(calls::list)), (Method::POST, post().to(calls::start))],
        ))
        .service(at("/calls/{id}/end", [(Method::POST, post().to(calls::end))]))
        .service(at("/calls/{id}/recording", [(Method::GET, get().to(calls::recording))]))
        .service(at("/calls/{id}", [(Method::GET, get().to(calls::show))]))
        .service(at(
            "/appointments",
            [
                (Method::GET, get().to(appointments::list)),
                (Method::POST, post().to(appointments::create)),
            ],
        ))
        .service(at("/appointments/{id}/cancel", [(Method::POST, post().to(appointments::cancel))]))
        .service(at("/appointments/{id}/move", [(Method::POST, post().to(appointments::move_it))]))
        .service(at("/services", [(Method::GET, get().to(services::list))]))
        .service(at("/resources", [(Method::GET, get().to(services::resources))]))
        .service(at("/hours", [(Method::GET, get().to(services::hours))]))
        .service(at("/availability", [(Method::GET, get().to(appointments::availability))]))
        .service(at("/appointments/{id}", [(Method::GET, get().to(appointments::show))]))
        .service(at("/escalations", [(Method::GET, get().to(escalations::list))]))
        .service(at("/escalations/{id}/claim", [(Method::POST, post().to(escalations::claim))]))
        .service(at("/escalations/{id}/close", [(Method::POST, post().to(escalations::close))]))
        .service(at("/dead-letters", [(Method::GET, get().to(dead_letters::list))]))
        .service(at("/dead-letters/counts", [(Method::GET, get().to(dead_letters::counts))]))
        .service(at("/dead-letters/parked", [(Method::GET, get().to(parked::list))]))
        .service(at("/dead-letters/park", [(Method::POST, post().to(parked::park))]))
        .service(at("/dead-letters/release", [(Method::POST, post().to(parked::release))]))
        .service(at("/dead-letters/discard", [(Method::POST, post().to(replays::discard))]))
        .service(at("/dead-letters/plan", [(Method::GET, get().to(replays::plan))]))
        .service(at("/dead-letters/replay", [(Method::POST, post().to(replays::replay))]))
        .service(at("/dead-letters/{id}/replay", [(Method::POST, post().to(dead_letters::replay))]))
        .service(at("/dead-letters/{id}/reveal", [(Method::POST, post().to(dead_letters::reveal))]))
        .service(at(
            "/dead-letters/{id}/discard",
            [(Method::POST, post().to(dead_letters::discard))],
        ))
        .service(at("/dead-letters/{id}", [(Method::GET, get().to(dead_letters::show))]))
        .service(at("/users", [(Method::GET, get().to(users::list))]))
        .service(at("/users/{id}/export", [(Method::GET, get().to(exports::person))]))
        .service(at("/users/{id}", [(Method::GET, get().to(users::show))]))
        .service(at(
            "/tenant",
            [
                (Method::GET, get().to(tenant::show)),
                (Method::PATCH, web::patch().to(tenant::change)),
            ],
        ))
        .service(at("/agents", [(Method::GET, get().to(agents::list))]))
        .service(at(
            "/agents/{id}",
            [(Method::GET, get().to(agents::show)), (Method::PUT, put().to(agents::put))],
        ))
        .service(at(
            "/routing-rules",
            [
                (Method::GET, get().to(agents::list_rules)),
                (Method::POST, post().to(agents::add_rule)),
            ],
        ))
        .service(at(
            "/routing-rules/{id}",
            [
                (Method::GET, get().to(agents::show_rule)),
                (Method::PUT, put().to(agents::put_rule)),
                (Method::DELETE, web::delete().to(agents::remove_rule)),
            ],
        ))
        .service(at("/documents", [(Method::GET, get().to(documents::list))]))
        .service(at(
            "/documents/{id}",
            [
                (Method::GET, get().to(documents::show)),
                (Method::PUT, put().to(documents::put)),
                (Method::DELETE, web::delete().to(documents::remove)),
            ],
        ))
        .service(at("/exports/conversations", [(Method::GET, get().to(exports::conversations))]))
        .service(at("/exports/appointments", [(Method::GET, get().to(exports::appointments))]))
        .service(at("/audit", [(Method::GET, get().to(tenant::audit_log))]))
        .service(at(
            "/api-keys",
            [(Method::GET, get().to(keys::list)), (Method::POST, post().to(keys::create))],
        ))
        .service(at("/api-keys/{id}", [(Method::DELETE, web::delete().to(keys::revoke))]))
        .service(at("/events", [(Method::GET, get().to(events::socket))]))
        .service(at("/events/tickets", [(Method::POST, post().to(events::create_ticket))]))
        .service(at("/escalations/{id}", [(Method::GET, get().to(escalations::show))]))
        .default_service(web::to(nowhere));
    app.service(v1)
        .route("/api/docs", get().to(docs::page))
        .route("/api/docs/docs.css", get().to(docs::style));
}

/// A path with its methods; another method is told which there are (RFC 9110, 15.5.6).
fn at<const N: usize>(path: &str, routes: [(Method, Route); N]) -> Resource {
    let allowed = routes.iter().map(|(method, _)| method.as_str()).collect::<Vec<_>>().join(", ");
    let resource = routes.into_iter().fold(web::resource(path), |r, (_, route)| r.route(route));
    resource.default_service(web::to(move || {
        let refused = ApiError::method_not_allowed(&allowed);
        async move { Err::<&'static str, _>(refused) }
    }))
}

async fn nowhere() -> Result<&'static str, ApiError> {
    Err(ApiError::not_found("path"))
}

/// Times every request by the pattern of its path, for a path may name a person's conversation.
async fn measure(
    request: actix_web::dev::ServiceRequest,
    next: actix_web::middleware::Next<impl actix_web::body::MessageBody>,
) -> Result<actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody>, actix_web::Error> {
    let begun = std::time::Instant::now();
    let method = request.method().as_str().to_owned();
    let response = next.call(request).await?;
    let route = response.request().match_pattern().unwrap_or_else(|| "unknown".to_owned());
    metrics::histogram!("http_server_request_duration_seconds",
        "http_request_method" => method, "http_route" => route,
        "http_response_status_code" => response.status().as_str().to_owned())
    .record(begun.elapsed());
    Ok(response)
}
