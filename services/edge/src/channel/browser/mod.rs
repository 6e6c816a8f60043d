//! Calls from a web page (A4): the page, and what lets its socket in. The call itself is one like any other, on
//! `/browser-stream`, in [`crate::call`].
//!
//! Which tenant's desk a page talks to stands in its URL, `/talk?tenant=NAME`. A tenant is open to it who has an address
//! on the channel `browser`; nobody has one unasked.

use std::sync::Arc;

use actix_web::http::{Method, header::HeaderMap};
use async_trait::async_trait;
use domain::{Address, CallSid, Channel};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    Answer, ChannelAdapter, ExternalId, Forgery, Malformed, Notice, OutgoingPart, Reception, Route,
    RouteMethod, SendFault, UserKey, VendorRequest,
};
use crate::{
    call::token::{StreamClaims, StreamTokens},
    directory::Directory,
};

const SESSION_PATH: &str = "/talk/session";
const MAX_BODY_BYTES: usize = 4 * 1024;
/// Whoever talks from a page and does not say who they are.
const ANONYMOUS: &str = "anonymous";

/// A file of the page. All of them are in the binary: nothing is fetched from elsewhere.
struct File {
    path: &'static str,
    content_type: &'static str,
    body: &'static str,
}

const FILES: [File; 5] = [
    File {
        path: "/talk",
        content_type: "text/html; charset=utf-8",
        body: include_str!("talk.html"),
    },
    File {
        path: "/talk/talk.css",
        content_type: "text/css; charset=utf-8",
        body: include_str!("talk.css"),
    },
    File { path: "/talk/talk.js", content_type: JAVASCRIPT, body: include_str!("talk.js") },
    File { path: "/talk/line.js", content_type: JAVASCRIPT, body: include_str!("line.js") },
    File { path: "/talk/sound.js", content_type: JAVASCRIPT, body: include_str!("sound.js") },
];
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Nothing but our own files and our own socket; no other page may frame this one, for it asks for the microphone.
const FILE_HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("permissions-policy", "microphone=(self), camera=(), geolocation=()"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
];
const ANSWER_HEADERS: &[(&str, &str)] =
    &[("cache-control", "no-store"), ("x-content-type-options", "nosniff")];
/// E2 counts requests of one minute.
const OVER_LIMIT_HEADERS: &[(&str, &str)] = &[("cache-control", "no-store"), ("retry-after", "60")];

/// The adapter of calls from a web page.
pub struct Browser {
    public_base_url: String,
    directory: Arc<Directory>,
    tokens: Arc<StreamTokens>,
}

/// How often a call may come back (DESIGN 5).
const RETURNS_MAX: u32 = 5;

#[derive(Deserialize)]
struct SessionRequest {
    tenant: String,
    /// The token that let in the socket of a call which is to go on, for the page has lost it.
    #[serde(default)]
    lost: Option<String>,
}

impl Browser {
    /// An adapter for pages under `public_base_url`, of the tenants that `directory` knows, let in by `tokens`.
    pub fn new(
        public_base_url: String,
        directory: Arc<Directory>,
        tokens: Arc<StreamTokens>,
    ) -> Self {
        Self { public_base_url, directory, tokens }
    }

    /// The call of a page that has lost its socket, as it comes back. Whether it goes on is known where its record is: at
    /// the socket.
    fn come_back(&self, token: &str, address: &Address) -> Option<StreamClaims> {
        let claims = self.tokens.recognise(token).ok()?;
        let is_ours = claims.call.channel() == Channel::BROWSER
            && (claims.tenant, &claims.to) == (address.tenant, &address.address);
        (is_ours && claims.attempt < RETURNS_MAX)
            .then(|| StreamClaims { attempt: claims.attempt + 1, ..claims })
    }

    /// A new call, or one that comes back, and the token that lets its socket in once.
    fn session(&self, request: &VendorRequest) -> Result<Reception, Malformed> {
        let asked: SessionRequest = serde_json::from_slice(&request.body)
            .map_err(|_| Malformed::new("body", "must be JSON like {\"tenant\":\"name\"}"))?;
        let Some(address) = self.directory.address(&Channel::BROWSER, &asked.tenant) else {
            metrics::counter!("edge_unknown_address_total", "channel" => "browser").increment(1);
            tracing::warn!(
                kind = "unknown_page",
                channel = "browser",
                "a page of no tenant that is open to it"
            );
            return Ok(Reception::answered(told(404, "unknown_tenant")));
        };
        let claims = match &asked.lost {
            Some(token) => match self.come_back(token, &address) {
                Some(claims) => claims,
                None => return Ok(Reception::answered(told(410, "call_has_ended"))),
            },
            None => StreamClaims {
                tenant: address.tenant,
                call: CallSid::of_browser(Uuid::new_v4()),
                from: ANONYMOUS.into(),
                to: address.address,
                attempt: 0,
            },
        };
        let call = &claims.call;
        let token = self.tokens.issue(&claims, request.received_at);
        let settings = self.directory.settings(address.tenant).unwrap_or_default();
        tracing::info!(%call, attempt = claims.attempt, "call from a web page let in");
        let user = UserKey::at(address.tenant, request.source);
        Ok(Reception {
            notices: vec![Notice::Person { user, event: None, seen: None }],
            answer: Answer {
                headers: ANSWER_HEADERS,
                ..json_answer(
                    200,
                    &json!({
                        "call": call.as_str(),
                        "token": token,
                        "business": settings.business,
                        "language": settings.voice.language,
                    }),
                )
            },
            answer_over_limit: Answer { headers: OVER_LIMIT_HEADERS, ..told(429, "over_limit") },
            outcome: None,
        })
    }
}

#[async_trait]
impl ChannelAdapter for Browser {
    fn channel(&self) -> Channel {
        Channel::BROWSER
    }

    fn routes(&self) -> &'static [Route] {
        const fn get(file: &File) -> Route {
            Route { path: file.path, method: RouteMethod::Get, max_body_bytes: 0 }
        }
        const SESSION: Route =
            Route { path: SESSION_PATH, method: RouteMethod::Post, max_body_bytes: MAX_BODY_BYTES };
        const {
            let [a, b, c, d, e] = &FILES;
            &[get(a), get(b), get(c), get(d), get(e), SESSION]
        }
    }

    /// The page is anybody's. A session is for our own page only.
    fn validate(&self, request: &VendorRequest) -> Result<(), Forgery> {
        if request.method == Method::GET || is_own_page(&request.headers, &self.public_base_url) {
            return Ok(());
        }
        Err(Forgery::ForeignPage)
    }

    fn proves_sender(&self) -> bool {
        false
    }

    async fn receive(&self, request: &VendorRequest) -> Result<Reception, Malformed> {
        if request.path == SESSION_PATH {
            return self.session(request);
        }
        let file = FILES.iter().find(|file| file.path == request.path);
        let Some(File { content_type, body, .. }) = file else {
            return Ok(Reception::answered(told(404, "not_found")));
        };
        Ok(Reception::answered(Answer {
            status: 200,
            content_type,
            headers: FILE_HEADERS,
            body: (*body).to_owned(),
        }))
    }

    /// Nothing: a reply to a call is spoken on its socket.
    fn longest_text_chars(&self) -> usize {
        usize::MAX
    }

    async fn send(&self, _part: &OutgoingPart<'_>) -> Result<ExternalId, SendFault> {
        Err(SendFault::Refused { code: 0, detail: "a reply to a call is spoken, not sent".into() })
    }
}

/// Whether the browser says that a page of this very host makes the request. A proxy before us may have changed the
/// host, so the public one counts as well. What is no browser says nothing, and is no other site's page either.
pub fn is_own_page(headers: &HeaderMap, public_base_url: &str) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = match header("origin") {
        Some(origin) => origin,
        None => return !headers.contains_key("origin"),
    };
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let public = public_base_url.split_once("://").map_or(public_base_url, |(_, rest)| rest);
    let public = public.split('/').next().unwrap_or_default();
    [header("host").unwrap_or_default(), public].iter().any(|h| authority.eq_ignore_ascii_case(h))
}

fn told(status: u16, error: &str) -> Answer {
    json_answer(status, &json!({ "error": error }))
}

fn json_answer(status: u16, body: &serde_json::Value) -> Answer {
    Answer {
        status,
        content_type: "application/json",
        headers: ANSWER_HEADERS,
        body: body.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_a_page_of_our_own_may_ask_in_a_browser() {
        let base = "https://desk.example.com/front";
        let own = |pairs: &[(&'static str, &'static str)]| is_own_page(&headers(pairs), base);
        assert!(own(&[("host", "10.0.0.7:8000"), ("origin", "https://desk.example.com")]));
        assert!(own(&[("host", "127.0.0.1:4800"), ("origin", "http://127.0.0.1:4800")]));
        assert!(own(&[("host", "desk.example.com")]), "no browser");
        for foreign in ["https://evil.example", "null", "", "https://desk.example.com.evil.example"]
        {
            assert!(!own(&[("host", "desk.example.com"), ("origin", foreign)]), "{foreign}");
        }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for File { path, body, .. } in &FILES {
            assert!(!body.contains("http://") && !body.contains("https://"), "{path}");
            assert!(!body.contains("<script>") && !body.contains("<style>"), "{path}: inline");
        }
    }
}
