//! Meta.

use actix_web::web;
use boot::Reader;

use crate::config::Secret;

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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_token: None,
            app_secret: Secret::new("simulated-app-secret"),
            verify_token: Secret::new("simulated-verify-token"),
        }
    }
}

impl Settings {
    /// Takes what the environment says.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let default = Self::default();
        Self {
            access_token: reader.optional("WHATSAPP_ACCESS_TOKEN").map(Secret::new),
            app_secret: reader.optional("WHATSAPP_APP_SECRET").map_or(default.app_secret, Secret::new),
            verify_token: reader.optional("WHATSAPP_VERIFY_TOKEN").map_or(default.verify_token, Secret::new),
        }
    }
}

/// What this vendor remembers.
#[derive(Debug, Default)]
pub struct Meta {}

/// The vendor's own paths.
pub fn configure(_cfg: &mut web::ServiceConfig) {}

/// The control paths under `/sim`.
pub fn control(_cfg: &mut web::ServiceConfig) {}
