//! The fault switchboard: every vendor can be slowed, failed or cut (DESIGN 8).
//!
//! A fault is set for a vendor (`twilio`, `graph`, `deepgram`, `openai`, `polly`, `transcribe`, `bedrock`) or for one point of it. The point of an HTTP
//! request is the last segment of its path without an extension, in lower case (`listen`, `completions`, `messages`);
//! what happens outside a request asks by a name of its own through [`Faults::strike`].

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{
    Error, HttpResponse,
    body::{BodyStream, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::Next,
    web,
};
use futures::{future, stream};
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::World;

/// What goes wrong, and how often. All fields may be left out; an empty fault does nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Every request waits this long first, milliseconds.
    pub latency_ms: u64,
    /// A random wait of up to this on top, milliseconds.
    pub jitter_ms: u64,
    /// The share of requests that fail, 0 to 1. A `status` without a rate fails all of them.
    pub error_rate: f64,
    /// The status of a failed request (default 503).
    pub status: Option<u16>,
    /// The body of a failed request, verbatim; without one, the vendor's own shape of an error.
    pub body: Option<String>,
    /// The connection is cut after this many bytes of an answer's body.
    pub cut_after_bytes: Option<u64>,
    /// The fault strikes this many times and is gone; without it, until deleted.
    pub times: Option<u32>,
}

/// What a fault means for one request, after its wait is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strike {
    /// Fail with this status and, when given, this body.
    pub fail: Option<(StatusCode, Option<String>)>,
    /// Cut the connection after this many bytes of the answer's body.
    pub cut_after_bytes: Option<u64>,
}

/// The faults that are set, by `vendor` or `vendor/point`.
#[derive(Debug, Default)]
pub struct Faults(Mutex<BTreeMap<String, Fault>>);

impl Faults {
    fn set(&self) -> MutexGuard<'_, BTreeMap<String, Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a fault for a vendor, or for one point of it.
    pub fn put(&self, vendor: &str, point: Option<&str>, fault: Fault) {
        self.set().insert(key(vendor, point), fault);
    }

    /// Removes a vendor's fault, or that of one point; says whether there was one.
    pub fn remove(&self, vendor: &str, point: Option<&str>) -> bool {
        self.set().remove(&key(vendor, point)).is_some()
    }

    /// Every fault that is set.
    pub fn list(&self) -> BTreeMap<String, Fault> {
        self.set().clone()
    }

    /// Applies the fault of this point, or else that of its vendor: waits as long as it says, then tells what else is
    /// to go wrong.
    pub async fn strike(&self, vendor: &str, point: &str) -> Strike {
        let Some((wait, strike)) = self.take(vendor, point) else {
            return Strike::default();
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        strike
    }

    fn take(&self, vendor: &str, point: &str) -> Option<(Duration, Strike)> {
        let mut set = self.set();
        let name = [key(vendor, Some(point)), key(vendor, None)]
            .into_iter()
            .find(|name| set.contains_key(name))?;
        let fault = set.get_mut(&name)?;
        let mut random = rand::rng();
        let wait =
            Duration::from_millis(fault.latency_ms + random.random_range(0..=fault.jitter_ms));
        let rate =
            if fault.error_rate == 0.0 && fault.status.is_some() { 1.0 } else { fault.error_rate };
        let fail = random.random_bool(rate.clamp(0.0, 1.0)).then(|| {
            let status = fault.status.and_then(|status| StatusCode::from_u16(status).ok());
            (status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), fault.body.clone())
        });
        let strike = Strike { fail, cut_after_bytes: fault.cut_after_bytes };
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                set.remove(&name);
            }
        }
        Some((wait, strike))
    }
}

fn key(vendor: &str, point: Option<&str>) -> String {
    point.map_or_else(|| vendor.to_owned(), |point| format!("{vendor}/{point}"))
}

/// The vendor and the point of a request's path.
fn place(path: &str) -> (&str, String) {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let vendor = segments.next().unwrap_or_default();
    let last = segments.next_back().unwrap_or_default();
    let point = last.split_once('.').map_or(last, |(stem, _)| stem).to_ascii_lowercase();
    (vendor, point)
}

/// Middleware of every vendor's scope.
///
/// # Errors
/// Those of the handler behind it.
pub async fn apply(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse, Error> {
    let (vendor, point) = place(request.path());
    let vendor = vendor.to_owned();
    let strike = match request.app_data::<web::Data<World>>() {
        Some(world) => world.faults.strike(&vendor, &point).await,
        None => Strike::default(),
    };
    if let Some((status, body)) = strike.fail {
        tracing::info!(vendor, point, status = status.as_u16(), "fault struck");
        let response = match body {
            Some(body) => HttpResponse::build(status).body(body),
            None => vendor_error(&vendor, status),
        };
        return Ok(request.into_response(response));
    }
    let response = next.call(request).await?.map_into_boxed_body();
    Ok(match strike.cut_after_bytes {
        Some(bytes) => {
            tracing::info!(vendor, point, bytes, "connection will be cut");
            response.map_body(|_, body| cut(body, bytes))
        }
        None => response,
    })
}

/// The first `bytes` of a body, then an error, upon which the server closes the connection.
fn cut(body: BoxBody, bytes: u64) -> BoxBody {
    let rest = stream::unfold((Some(Box::pin(body)), bytes), |(body, left)| async move {
        let mut body = body?;
        let next = match left {
            0 => None,
            _ => future::poll_fn(|context| body.as_mut().poll_next(context)).await,
        };
        match next {
            Some(Ok(chunk)) => {
                let keep = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                Some((Ok(chunk.slice(..keep)), (Some(body), left - keep as u64)))
            }
            None if left > 0 => None,
            _ => Some((Err(cut_off().await), (None, 0))),
        }
    });
    BoxBody::new(BodyStream::new(Box::pin(rest)))
}

/// The error that ends a body early. The server would drop what it has not written yet, so it is first given a turn to
/// write it.
pub(crate) async fn cut_off() -> std::io::Error {
    tokio::task::yield_now().await;
    std::io::Error::other("cut on purpose")
}

/// What Meta words failures of its own under; the last is on no list.
const GRAPH_CODES: [u32; 4] = [1, 2, 131_016, 135_000];

/// An error as this vendor words it (PROTOCOLS 1.6, 2.4, 3.5, 4).
fn vendor_error(vendor: &str, status: StatusCode) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.insert_header((header::RETRY_AFTER, "1"));
    }
    let code = status.as_u16();
    let message = status.canonical_reason().unwrap_or("error");
    match vendor {
        "openai" => response.json(crate::openai::error(status, message)),
        "deepgram" => response.content_type("text/plain").body(message),
        "twilio" => response
            .json(json!({"code": 20000 + u32::from(code), "message": message, "status": code})),
        "graph" => {
            let code = match status.is_server_error() {
                true => GRAPH_CODES[rand::rng().random_range(0..GRAPH_CODES.len())],
                false => 2,
            };
            response.json(json!({"error": {
                "message": format!("(#{code}) {message}"), "type": "OAuthException", "code": code, "fbtrace_id": "simulated",
            }}))
        }
        "polly" | "transcribe" | "bedrock" => {
            let kind = match status {
                StatusCode::TOO_MANY_REQUESTS => "ThrottlingException",
                status if status.is_server_error() => "ServiceFailureException",
                _ => "ValidationException",
            };
            response.insert_header(("x-amzn-errortype", kind)).json(json!({"message": message}))
        }
        _ => response.finish(),
    }
}

/// Mounts `GET /faults`, and `PUT` and `DELETE` of `/faults/{vendor}` and `/faults/{vendor}/{point}`.
pub fn control(cfg: &mut web::ServiceConfig) {
    cfg.route("/faults", web::get().to(show));
    for path in ["/faults/{vendor}", "/faults/{vendor}/{point}"] {
        cfg.service(web::resource(path).route(web::put().to(put)).route(web::delete().to(delete)));
    }
}

#[derive(Deserialize)]
struct Place {
    vendor: String,
    point: Option<String>,
}

async fn show(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(world.faults.list())
}

async fn put(
    world: web::Data<World>,
    place: web::Path<Place>,
    fault: web::Json<Fault>,
) -> HttpResponse {
    world.faults.put(&place.vendor, place.point.as_deref(), fault.into_inner());
    HttpResponse::NoContent().finish()
}

async fn delete(world: web::Data<World>, place: web::Path<Place>) -> HttpResponse {
    if world.faults.remove(&place.vendor, place.point.as_deref()) {
        HttpResponse::NoContent().finish()
    } else {
        HttpResponse::NotFound().finish()
    }
}
