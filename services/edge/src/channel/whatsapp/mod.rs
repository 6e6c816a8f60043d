//! WhatsApp over Meta's Cloud API (A5, PROTOCOLS 2).

mod content;
mod files;
pub mod graph;
mod inbound;
mod media;
mod outgoing;
mod payload;

use std::{sync::Arc, time::Duration};

use actix_web::http::Method;
use async_trait::async_trait;
use cache::Rate;
use domain::{Channel, Media, OfferedChoice, SentLink};
use subtle::ConstantTimeEq as _;
use vault::RotatingSecret;

use super::{
    Answer, ChannelAdapter, ExternalId, FetchFault, FetchedFile, Forgery, Malformed, OutgoingPart,
    Pace, Reception, Route, RouteMethod, Seen, SendFault, TakesFiles, VendorRequest,
};
use crate::{
    directory::Directory,
    guard::signatures::{self, key_bytes},
};

const PATH: &str = "/webhooks/whatsapp";
/// Meta sends up to 3 MB (PROTOCOLS 2.1).
const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;
/// PROTOCOLS 2.3.
const LONGEST_TEXT_CHARS: usize = 4096;

/// A person may be written to freely for so long after they wrote (PROTOCOLS 2.4).
pub const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// Meta's code for a message outside the window, at once or in a status (PROTOCOLS 2.4).
pub const OUTSIDE_WINDOW: i64 = 131_047;
/// What Meta takes for one person from one of our numbers (PROTOCOLS 2.4).
const PER_PERSON: Rate = Rate { interval: Duration::from_secs(6), burst: 45 };

/// What the adapter is told.
#[derive(Clone)]
pub struct WhatsAppSettings {
    /// `WHATSAPP_API_BASE_URL`.
    pub api_base_url: String,
    /// `WHATSAPP_API_VERSION`.
    pub api_version: String,
    /// `WHATSAPP_MESSAGES_PER_SECOND`: what Meta takes from one of our numbers.
    pub messages_per_second: u32,
    /// Ours towards Meta.
    pub access_token: Arc<RotatingSecret>,
    /// What Meta signs with.
    pub app_secret: Arc<RotatingSecret>,
    /// What Meta shows in its handshake.
    pub verify_token: Arc<RotatingSecret>,
}

/// The WhatsApp adapter.
pub struct WhatsApp {
    settings: WhatsAppSettings,
    directory: Arc<Directory>,
    http: reqwest::Client,
}

impl WhatsApp {
    /// An adapter that knows our addresses by `directory` and calls Meta through `http`.
    pub fn new(
        settings: WhatsAppSettings,
        directory: Arc<Directory>,
        http: reqwest::Client,
    ) -> Self {
        Self { settings, directory, http }
    }
}

#[async_trait]
impl ChannelAdapter for WhatsApp {
    fn channel(&self) -> Channel {
        Channel::WHATSAPP
    }

    fn routes(&self) -> &'static [Route] {
        &[
            Route { path: PATH, method: RouteMethod::Get, max_body_bytes: 0 },
            Route { path: PATH, method: RouteMethod::Post, max_body_bytes: MAX_BODY_BYTES },
        ]
    }

    fn validate(&self, request: &VendorRequest) -> Result<(), Forgery> {
        if request.method == Method::GET {
            // Meta's handshake is not signed: it proves itself by the token we chose (PROTOCOLS 2.1).
            let (mode, token) =
                (query_value(request, "hub.mode"), query_value(request, "hub.verify_token"));
            let accepted = self.settings.verify_token.accepted();
            let known =
                accepted.iter().any(|t| token.as_bytes().ct_eq(t.reveal().as_bytes()).into());
            return if mode == "subscribe" && known { Ok(()) } else { Err(Forgery::WrongToken) };
        }
        let secrets = self.settings.app_secret.accepted();
        match request.header("x-hub-signature-256") {
            "" => Err(Forgery::Missing),
            header if signatures::meta(&key_bytes(&secrets), &request.body, header) => Ok(()),
            _ => Err(Forgery::Wrong),
        }
    }

    async fn receive(&self, request: &VendorRequest) -> Result<Reception, Malformed> {
        if request.method == Method::GET {
            return Ok(Reception::answered(Answer::text(query_value(request, "hub.challenge"))));
        }
        let answer = Answer::text("");
        let notices = inbound::read(&request.body, &self.directory, request.received_at)?;
        Ok(Reception { notices, answer_over_limit: answer.clone(), answer, outcome: None })
    }

    async fn mark_seen(&self, seen: &Seen) {
        self.post_read_mark(seen).await;
    }

    async fn fetch_media(
        &self,
        _our_address: &str,
        media: &Media,
    ) -> Result<FetchedFile, FetchFault> {
        self.fetch(media).await
    }

    fn longest_text_chars(&self) -> usize {
        LONGEST_TEXT_CHARS
    }

    fn longest_text_above(&self, choices: &[OfferedChoice]) -> Option<usize> {
        outgoing::shows(choices).then_some(outgoing::LONGEST_INTERACTIVE_TEXT_CHARS)
    }

    fn longest_text_above_link(&self, link: &SentLink) -> Option<usize> {
        outgoing::shows_link(link).then_some(outgoing::LONGEST_INTERACTIVE_TEXT_CHARS)
    }

    fn takes_reactions(&self) -> bool {
        true
    }

    fn files(&self) -> Option<&dyn TakesFiles> {
        Some(self)
    }

    fn window(&self) -> Option<Duration> {
        Some(WINDOW)
    }

    fn pace(&self) -> Option<Pace> {
        let per_address = Rate {
            interval: Duration::from_secs(1) / self.settings.messages_per_second.max(1),
            burst: 1,
        };
        Some(Pace { per_address, per_person: PER_PERSON })
    }

    async fn send(&self, part: &OutgoingPart<'_>) -> Result<ExternalId, SendFault> {
        self.post_message(part).await
    }
}

fn query_value(request: &VendorRequest, name: &str) -> String {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(&request.query).unwrap_or_default();
    pairs.into_iter().find(|(n, _)| n == name).map(|(_, value)| value).unwrap_or_default()
}
