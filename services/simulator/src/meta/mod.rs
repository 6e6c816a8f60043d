//! Meta: WhatsApp chats by signed webhooks and the Graph API (PROTOCOLS 2).
//!
//! | control path | what it does |
//! |---|---|
//! | `POST /sim/chats/messages` | a person writes ([`webhook::Incoming`]); answers `{"id"}` |
//! | `GET /sim/chats`, `GET /sim/chats/{wa_id}` | the chats as the people see them, or one; with `?replies=N` once the business has written N messages in it, or after 5 s |
//! | `PUT /sim/chats/statuses` | which statuses follow an accepted message, in which order and when |
//! | `POST /sim/chats/errors` | the next messages fail with a code of PROTOCOLS 2.4 |
//! | `PUT /sim/chats/rates` | how fast messages are taken ([`Rates`]); Meta's own rates unless set |
//! | `GET /sim/chats/refusals` | how many messages were refused, by the code |
//! | `POST /sim/chats/verify` | asks the platform for the webhook's challenge; answers `{"verified"}` |

mod chat;
mod graph;
mod rates;
mod webhook;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{HttpResponse, web};
use base64::{Engine, engine::general_purpose::STANDARD};
use boot::Reader;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{sync::Notify, time::timeout};
use uuid::Uuid;

pub use crate::meta::{
    chat::{Chat, Line, Status},
    rates::Rates,
    webhook::{Incoming, sign},
};
use crate::{World, config::Secret};
use rates::Taken;

/// The account that owns the numbers.
const WABA_ID: &str = "102290129340398";

/// Who waits for a reply is told so after this at the latest how the chat stands.
const REPLY_WAIT: Duration = Duration::from_secs(5);

/// What the app is called with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The token Graph requests must bear (`WHATSAPP_ACCESS_TOKEN`). Without one any token passes that does not
    /// contain `invalid`.
    pub access_token: Option<Secret>,
    /// What webhooks are signed with (`WHATSAPP_APP_SECRET`).
    pub app_secret: Secret,
    /// What the webhook's verification asks for (`WHATSAPP_VERIFY_TOKEN`).
    pub verify_token: Secret,
    /// The business's numbers: display number by `phone_number_id` (DESIGN 9).
    pub numbers: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        let demo = ("106540352242922".to_owned(), "15550100002".to_owned());
        Self {
            access_token: None,
            app_secret: Secret::new("simulated-app-secret"),
            verify_token: Secret::new("simulated-verify-token"),
            numbers: BTreeMap::from([demo]),
        }
    }
}

impl Settings {
    /// Takes what the environment says.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let default = Self::default();
        let secret = |name| reader.optional(name).map(Secret::new);
        Self {
            access_token: secret("WHATSAPP_ACCESS_TOKEN"),
            app_secret: secret("WHATSAPP_APP_SECRET").unwrap_or(default.app_secret),
            verify_token: secret("WHATSAPP_VERIFY_TOKEN").unwrap_or(default.verify_token),
            numbers: default.numbers,
        }
    }
}

/// What follows an accepted message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusStep {
    /// `sent`, `delivered`, `read` or `failed`.
    pub status: String,
    /// So long after the message was accepted. The webhooks go out in the order of these times.
    pub after_ms: u64,
}

/// A failure that was ordered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// A code of PROTOCOLS 2.4.
    pub code: u32,
    /// The message is accepted and fails later, by a status.
    #[serde(default)]
    pub later: bool,
    /// So many messages (default 1).
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// A file someone sent.
#[derive(Debug, Clone)]
struct Media {
    mime_type: String,
    data: Bytes,
}

/// What this vendor remembers.
#[derive(Debug, Default)]
pub struct Meta(Mutex<State>);

/// See [`Meta`].
#[derive(Debug)]
struct State {
    chats: BTreeMap<String, Chat>,
    /// Those who wait for a reply, by the person's number.
    waiting: HashMap<String, Arc<Notify>>,
    media: BTreeMap<String, Media>,
    statuses: Vec<StatusStep>,
    failures: VecDeque<Failure>,
    rates: Rates,
    taken: Taken,
    /// How many messages were refused, by the code.
    refusals: BTreeMap<u32, u32>,
    /// How many files were uploaded.
    uploads: u32,
}

impl Default for State {
    fn default() -> Self {
        let step = |status: &str, after_ms| StatusStep { status: status.to_owned(), after_ms };
        Self {
            chats: BTreeMap::new(),
            waiting: HashMap::new(),
            media: BTreeMap::new(),
            statuses: vec![step("sent", 20), step("delivered", 60), step("read", 120)],
            failures: VecDeque::new(),
            rates: Rates::default(),
            taken: Taken::default(),
            refusals: BTreeMap::new(),
            uploads: 0,
        }
    }
}

impl Meta {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A chat as its person sees it.
    pub fn chat(&self, wa_id: &str) -> Option<Chat> {
        self.state().chats.get(wa_id).cloned()
    }

    /// Waits until the business has written `replies` messages to a person, [`REPLY_WAIT`] at most.
    async fn until_replied(&self, wa_id: &str, replies: usize) {
        let replied = async {
            loop {
                let told = {
                    let mut state = self.state();
                    if state.chats.get(wa_id).is_some_and(|chat| chat.replies().len() >= replies) {
                        return;
                    }
                    let told = state.waiting.entry(wa_id.to_owned()).or_default();
                    // Registered while the state is held: no reply comes in between.
                    Arc::clone(told).notified_owned()
                };
                told.await;
            }
        };
        let _ = timeout(REPLY_WAIT, replied).await;
    }

    /// Sets what follows an accepted message from now on.
    pub fn set_statuses(&self, steps: Vec<StatusStep>) {
        self.state().statuses = steps;
    }

    /// Orders a failure.
    pub fn fail(&self, failure: Failure) {
        self.state().failures.push_back(failure);
    }

    /// Sets how fast messages are taken from now on.
    pub fn set_rates(&self, rates: Rates) {
        self.state().rates = rates;
    }

    /// How many messages were refused, by the code.
    pub fn refusals(&self) -> BTreeMap<u32, u32> {
        self.state().refusals.clone()
    }

    /// How many files were uploaded.
    pub fn uploads(&self) -> u32 {
        self.state().uploads
    }

    /// Every file is gone, as after its 30 days.
    pub fn forget_media(&self) {
        self.state().media.clear();
    }

    /// A file, by its id: its type and what is in it.
    pub fn file(&self, id: &str) -> Option<(String, Bytes)> {
        let state = self.state();
        state.media.get(id).map(|media| (media.mime_type.clone(), media.data.clone()))
    }
}

impl State {
    /// The failure that is due, counted down.
    fn next_failure(&mut self) -> Option<Failure> {
        let failure = self.failures.front_mut()?;
        failure.times = failure.times.saturating_sub(1);
        let taken = failure.clone();
        if taken.times == 0 {
            self.failures.pop_front();
        }
        Some(taken)
    }
}

/// A fresh message id.
fn wamid() -> String {
    format!("wamid.{}", STANDARD.encode(Uuid::new_v4().as_bytes()))
}

/// The vendor's own paths.
pub fn configure(cfg: &mut web::ServiceConfig) {
    graph::configure(cfg);
}

/// The control paths under `/sim`.
pub fn control(cfg: &mut web::ServiceConfig) {
    cfg.route("/chats/messages", web::post().to(write))
        .route("/chats/statuses", web::put().to(set_statuses))
        .route("/chats/errors", web::post().to(fail))
        .route("/chats/verify", web::post().to(verify))
        .route("/chats/rates", web::put().to(set_rates))
        .route("/chats/refusals", web::get().to(refusals))
        .route("/chats", web::get().to(list))
        .route("/chats/{wa_id}", web::get().to(show));
}

async fn write(world: web::Data<World>, incoming: web::Json<Incoming>) -> HttpResponse {
    match webhook::write(&world, incoming.into_inner()) {
        Ok(id) => HttpResponse::Created().json(json!({ "id": id })),
        Err(fault) => HttpResponse::BadRequest().json(json!({"error": format!("{fault:#}")})),
    }
}

async fn set_statuses(world: web::Data<World>, steps: web::Json<Vec<StatusStep>>) -> HttpResponse {
    world.meta.set_statuses(steps.into_inner());
    HttpResponse::NoContent().finish()
}

async fn fail(world: web::Data<World>, failure: web::Json<Failure>) -> HttpResponse {
    world.meta.fail(failure.into_inner());
    HttpResponse::NoContent().finish()
}

async fn set_rates(world: web::Data<World>, rates: web::Json<Rates>) -> HttpResponse {
    world.meta.set_rates(rates.into_inner());
    HttpResponse::NoContent().finish()
}

async fn refusals(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(world.meta.refusals())
}

async fn verify(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"verified": webhook::verify(&world).await}))
}

async fn list(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(&world.meta.state().chats)
}

/// How far a chat is to be before it is shown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    #[serde(default)]
    replies: usize,
}

async fn show(
    world: web::Data<World>,
    wa_id: web::Path<String>,
    shown: web::Query<Shown>,
) -> HttpResponse {
    if shown.replies > 0 {
        world.meta.until_replied(&wa_id, shown.replies).await;
    }
    match world.meta.chat(&wa_id) {
        Some(chat) => HttpResponse::Ok().json(chat),
        None => HttpResponse::NotFound().finish(),
    }
}
