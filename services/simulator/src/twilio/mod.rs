//! Twilio.

pub mod signature;
pub mod twiml;

use actix_web::web;
use boot::Reader;

use crate::config::Secret;

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
            auth_token: reader.optional("TWILIO_AUTH_TOKEN").map_or(default.auth_token, Secret::new),
        }
    }
}

/// What this vendor remembers.
#[derive(Debug, Default)]
pub struct Twilio {}

/// The vendor's own paths.
pub fn configure(_cfg: &mut web::ServiceConfig) {}

/// The control paths under `/sim`.
pub fn control(_cfg: &mut web::ServiceConfig) {}
