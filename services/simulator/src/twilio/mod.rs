//! Twilio: calls that follow TwiML, media sockets, REST for calls and messages (PROTOCOLS 1). `design.md` beside the
//! crate says how the parts hang together.
//!
//! | control path | what it does |
//! |---|---|
//! | `POST /sim/calls` | places the call of a [`CallScript`]; answers `{"sid"}` |
//! | `GET /sim/calls`, `GET /sim/calls/{sid}` | the [`CallReport`]s, or one |
//! | `GET /sim/calls/{sid}/recording` | stereo WAV at the caller's ear: left what was said, right what was heard |
//! | `POST /sim/calls/{sid}/hangup` | the caller hangs up |
//! | `POST /sim/calls/{sid}/say` | the caller says an [`Utterance`] more, after those of the script |
//! | `PUT /sim/parties` | how a number or SIP address answers that calls are dialled on to: `{"number", "answers"}` |
//! | `GET /sim/sms` | the text messages the platform has sent |

pub mod call;
mod leg;
pub mod playback;
mod recording;
mod report;
mod rest;
pub mod signature;
mod stream;
pub mod twiml;
mod webhook;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix_web::{HttpResponse, web};
use boot::Reader;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

pub use crate::twilio::{
    recording::Recording,
    report::{CallFault, CallStatus, Event, HeardFault, HeardWord, Mark, Said, Turn},
    rest::TextMessage,
};
use crate::{
    World,
    caller::{CallScript, DialStatus, Utterance},
    config::Secret,
    twilio::call::{Call, CallHandle, CallReport, Command, place_call, voice},
};

/// The account the simulated numbers belong to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `AC` and 32 hex digits (`TWILIO_ACCOUNT_SID`).
    pub account_sid: String,
    /// The primary auth token: signs webhooks, and is the REST password (`TWILIO_AUTH_TOKEN`).
    pub auth_token: Secret,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account_sid: "AC00000000000000000000000000000001".to_owned(),
            auth_token: Secret::new("simulated-auth-token"),
        }
    }
}

impl Settings {
    /// Takes what the environment says.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let default = Self::default();
        Self {
            account_sid: reader.optional("TWILIO_ACCOUNT_SID").unwrap_or(default.account_sid),
            auth_token: reader
                .optional("TWILIO_AUTH_TOKEN")
                .map_or(default.auth_token, Secret::new),
        }
    }
}

/// What this vendor remembers.
#[derive(Debug, Default)]
pub struct Twilio {
    calls: Mutex<BTreeMap<String, Arc<Call>>>,
    messages: Mutex<Vec<TextMessage>>,
    parties: Mutex<BTreeMap<String, DialStatus>>,
}

impl Twilio {
    /// A call that was placed, in either direction.
    pub fn handle(&self, sid: &str) -> Option<CallHandle> {
        self.call(sid).map(CallHandle::from)
    }

    fn call(&self, sid: &str) -> Option<Arc<Call>> {
        self.calls().get(sid).cloned()
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a party answers that a call is dialled on to, where that was set.
    fn answer_of(&self, party: &str) -> Option<DialStatus> {
        self.parties.lock().unwrap_or_else(PoisonError::into_inner).get(party).copied()
    }

    /// The text messages the platform has sent.
    pub fn messages(&self) -> MutexGuard<'_, Vec<TextMessage>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fresh SID: the kind's two letters and 32 hex digits.
fn sid(kind: &str) -> String {
    format!("{kind}{}", Uuid::new_v4().simple())
}

/// The vendor's own paths.
pub fn configure(cfg: &mut web::ServiceConfig) {
    rest::configure(cfg);
}

/// The control paths under `/sim`.
pub fn control(cfg: &mut web::ServiceConfig) {
    cfg.route("/calls", web::post().to(place))
        .route("/calls", web::get().to(list))
        .route("/calls/{sid}", web::get().to(show))
        .route("/calls/{sid}/recording", web::get().to(recording))
        .route("/calls/{sid}/hangup", web::post().to(hang_up))
        .route("/calls/{sid}/say", web::post().to(say))
        .route("/parties", web::put().to(set_party))
        .route("/sms", web::get().to(text_messages));
}

async fn place(world: web::Data<World>, script: web::Json<CallScript>) -> HttpResponse {
    match place_call(&world, script.into_inner()).await {
        Ok(call) => HttpResponse::Created().json(json!({"sid": call.sid()})),
        Err(fault) => HttpResponse::BadRequest().json(json!({"error": format!("{fault:#}")})),
    }
}

async fn list(world: web::Data<World>) -> HttpResponse {
    let calls: Vec<_> = world.twilio.calls().values().cloned().collect();
    let reports: Vec<CallReport> = calls.iter().map(|call| call.state().report.clone()).collect();
    HttpResponse::Ok().json(reports)
}

async fn show(world: web::Data<World>, sid: web::Path<String>) -> HttpResponse {
    match world.twilio.handle(&sid) {
        Some(call) => HttpResponse::Ok().json(call.report()),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn recording(world: web::Data<World>, sid: web::Path<String>) -> HttpResponse {
    match world.twilio.handle(&sid) {
        Some(call) => HttpResponse::Ok().content_type("audio/wav").body(call.recording().wav()),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn hang_up(world: web::Data<World>, sid: web::Path<String>) -> HttpResponse {
    match world.twilio.call(&sid) {
        Some(call) if call.command(Command::HangUp) => HttpResponse::NoContent().finish(),
        Some(_) => HttpResponse::Conflict().finish(),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn say(
    world: web::Data<World>,
    sid: web::Path<String>,
    utterance: web::Json<Utterance>,
) -> HttpResponse {
    let utterance = utterance.into_inner();
    let Some(call) = world.twilio.call(&sid) else { return HttpResponse::NotFound().finish() };
    let audio = match voice(&world, &utterance).await {
        Ok(audio) => audio,
        Err(fault) => {
            return HttpResponse::BadRequest().json(json!({"error": format!("{fault:#}")}));
        }
    };
    match call.command(Command::Say(utterance, audio)) {
        true => HttpResponse::NoContent().finish(),
        false => HttpResponse::Conflict().finish(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Party {
    number: String,
    answers: DialStatus,
}

async fn set_party(world: web::Data<World>, party: web::Json<Party>) -> HttpResponse {
    let Party { number, answers } = party.into_inner();
    let mut parties = world.twilio.parties.lock().unwrap_or_else(PoisonError::into_inner);
    parties.insert(number, answers);
    HttpResponse::NoContent().finish()
}

async fn text_messages(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(&*world.twilio.messages())
}
