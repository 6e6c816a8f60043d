//! The tools of a tenant's own, over HTTP (C5): declared in its settings, asked only at hosts that the platform lists and at
//! addresses that are public.
//!
//! One that may change something is asked at most once: that it is asked is on record (`effects`) before the request leaves. A
//! turn that is run again finds what came of it, or that nobody knows; then it is not asked again.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use anyhow::Context as _;
use dialogue_core::tool::{Done, Http, Outcome};
use domain::{HttpTool, Personal, TenantId};
use reqwest::{Client, Response, Url, redirect};
use serde_json::{Map, Value};
use store::{StoreError, effects};
use vault::Secrets;

use super::{Scene, public_address::PublicOnly};

/// The longest answer that is read, bytes: it goes to a model whole.
const LONGEST_ANSWER: usize = 16 * 1024;

const NOT_KNOWN: &str = "no answer came, and whether it was done is not known; do not ask for it \
    again, and tell the person that it has to be checked";
const DONE_ALREADY: &str =
    "this was asked for in this turn already; tell the person what came of it";
const UNREADABLE: &str = "it was asked, but what it answered cannot be used; do not ask for it \
    again, and tell the person that it has to be checked";
const NOT_SET_UP: &str = "this tool is not set up; tell the person that it cannot be done now";

/// Whether it was done is not known.
pub(super) fn not_known() -> Outcome {
    Outcome::Refused(NOT_KNOWN.to_owned())
}

/// What the platform allows the tenants' own tools.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OwnToolSettings {
    /// `SB_TOOL_HOSTS`: the hosts that may be asked, `api.example.com` or `*.example.com`; none unless said.
    pub hosts: HashSet<String>,
    /// `SB_TOOL_LOOPBACK`: whether this machine itself may be asked, in plain HTTP; only in development.
    pub loopback: bool,
}

impl OwnToolSettings {
    fn lists(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let mut above = host.match_indices('.').map(|(at, _)| format!("*{}", &host[at..]));
        self.hosts.contains(&host) || above.any(|above| self.hosts.contains(&above))
    }
}

/// Asks tenants' own tools.
pub(crate) struct OwnTools {
    /// `None` where nobody may be asked.
    http: Option<Client>,
    settings: OwnToolSettings,
    /// Those of the tools; `None` where there are none.
    secrets: Option<Secrets>,
}

/// Why there is no answer.
enum Fault {
    /// Nothing left.
    NotSent(&'static str),
    /// It may have arrived.
    NotKnown,
    /// It answered something that is of no use.
    Unreadable,
}

impl OwnTools {
    /// Asks nobody.
    pub(crate) fn none() -> Self {
        Self { http: None, settings: OwnToolSettings::default(), secrets: None }
    }

    /// Asks whom `settings` allows.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub(crate) fn new(settings: OwnToolSettings, secrets: Option<Secrets>) -> anyhow::Result<Self> {
        let http = Client::builder()
            // Where a redirect leads nobody has checked.
            .redirect(redirect::Policy::none())
            // A proxy would resolve names by itself.
            .no_proxy()
            .dns_resolver(Arc::new(PublicOnly { loopback: settings.loopback }))
            .user_agent("switchboard")
            .build()
            .context("build the HTTP client of the tenants' own tools")?;
        Ok(Self { http: Some(http), settings, secrets })
    }

    /// Asks the tool; at most once, where it may change something.
    pub(super) async fn run(
        &self,
        scene: &Scene<'_>,
        wanted: &Http,
        effect: &str,
        done: &[Done],
    ) -> Outcome {
        let tools = &scene.tenant.settings.tools;
        let Some(tool) = tools.iter().find(|tool| tool.name == wanted.name) else {
            return Outcome::NotFound;
        };
        if tool.only_looks {
            let asked = self.ask(scene, tool, &wanted.arguments, effect).await;
            return asked.unwrap_or(Outcome::Unavailable);
        }
        let was_done = |d: &Done| {
            let answered = matches!(d.outcome, Outcome::Json(_) | Outcome::Done);
            answered && d.call.request.name() == tool.name
        };
        if done.iter().any(was_done) {
            return Outcome::Refused(DONE_ALREADY.to_owned());
        }
        match begin(scene, effect).await {
            Ok(Begun::First) => {}
            Ok(Begun::Before(outcome)) => return outcome,
            Err(error) => {
                tracing::warn!(%error, "a tool that may change something is not asked off the record");
                return Outcome::Unavailable;
            }
        }
        boot::crash_point("orchestrator.own-tool-begun");
        let outcome = match self.ask(scene, tool, &wanted.arguments, effect).await {
            Ok(outcome) => outcome,
            Err(Fault::NotSent(_)) => Outcome::Unavailable,
            Err(Fault::NotKnown) => not_known(),
            Err(Fault::Unreadable) => Outcome::Refused(UNREADABLE.to_owned()),
        };
        if let Err(error) = finish(scene, effect, &outcome).await {
            // The ledger of the turn has it too; without both it is not known, and not asked again.
            tracing::warn!(%error, "what a tool answered is not on record");
        }
        outcome
    }

    async fn ask(
        &self,
        scene: &Scene<'_>,
        tool: &HttpTool,
        arguments: &Value,
        effect: &str,
    ) -> Result<Outcome, Fault> {
        let asked = self.exchange(scene, tool, arguments, effect).await;
        let fault = match &asked {
            Ok(_) => return asked,
            Err(Fault::NotSent(why)) => why,
            Err(Fault::NotKnown) => "no answer",
            Err(Fault::Unreadable) => "an answer that cannot be used",
        };
        // Nothing of the address or the arguments: they may be about a person.
        tracing::warn!(tool = tool.name, fault, "a tenant's own tool cannot be used");
        asked
    }

    async fn exchange(
        &self,
        scene: &Scene<'_>,
        tool: &HttpTool,
        arguments: &Value,
        effect: &str,
    ) -> Result<Outcome, Fault> {
        let http = self.http.as_ref().ok_or(Fault::NotSent("none may be asked"))?;
        let url = self.checked(&tool.url)?;
        let key = scene.envelope.event_id.derive(&format!("tool:{effect}"));
        let request = match tool.only_looks {
            true => http.get(url).query(&pairs(arguments)),
            false => http.post(url).json(arguments),
        };
        let mut request = request
            .timeout(tool.timeout)
            .header("accept", "application/json")
            .header("idempotency-key", key.to_string());
        if tool.has_secret {
            match self.secret_of(scene.envelope.tenant, &tool.name).await {
                Some(secret) => request = request.bearer_auth(secret.reveal()),
                None => return Ok(Outcome::Refused(NOT_SET_UP.to_owned())),
            }
        }
        let response = request.send().await.map_err(|error| {
            match error.is_connect() || error.is_builder() {
                true => Fault::NotSent("no connection, or to an address that is not public"),
                false => Fault::NotKnown,
            }
        })?;
        let status = response.status().as_u16();
        match status {
            200..=299 => read(response).await,
            404 | 410 => Ok(Outcome::NotFound),
            400..=499 => Ok(Outcome::Refused(format!("it was refused with the status {status}"))),
            500.. => Err(Fault::NotKnown),
            _ => Err(Fault::Unreadable),
        }
    }

    /// The URL, where it may be asked as far as can be seen without resolving its host.
    fn checked(&self, url: &str) -> Result<Url, Fault> {
        let url = Url::parse(url).map_err(|_| Fault::NotSent("no URL"))?;
        let is_plain = url.scheme() == "http";
        if !(url.scheme() == "https" || is_plain && self.settings.loopback) {
            return Err(Fault::NotSent("not https"));
        }
        let host = url.host_str().ok_or(Fault::NotSent("no host"))?;
        if !self.settings.lists(host) {
            return Err(Fault::NotSent("a host that SB_TOOL_HOSTS does not list"));
        }
        // What is an address already is not resolved, so that the resolver does not see it.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let allowed = PublicOnly { loopback: self.settings.loopback };
        if bare.parse::<IpAddr>().is_ok_and(|address| !allowed.allows(address)) {
            return Err(Fault::NotSent("an address that is not public"));
        }
        Ok(url)
    }

    /// The tool's own secret. Its name has the tenant in it, so that no tenant has another's secrets, or ours, sent anywhere.
    async fn secret_of(&self, tenant: TenantId, tool: &str) -> Option<vault::Secret> {
        let name = format!("TOOL_{}_{tool}", tenant.as_uuid().simple()).to_uppercase();
        match self.secrets.as_ref()?.find(&name).await {
            Ok(secret) => Some(secret?.current()),
            Err(error) => {
                tracing::warn!(%error, "the secret of a tool cannot be had");
                None
            }
        }
    }
}

/// Reads an answer that is not too long, and is JSON or nothing.
async fn read(mut response: Response) -> Result<Outcome, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Fault::Unreadable)? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(Fault::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Outcome::Done);
    }
    serde_json::from_slice(&body).map(Outcome::Json).map_err(|_| Fault::Unreadable)
}

/// The arguments as a query: texts as they are, everything else as JSON.
fn pairs(arguments: &Value) -> Vec<(&str, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let all = arguments.as_object().into_iter().flat_map(Map::iter);
    all.map(|(name, value)| (name.as_str(), text(value))).collect()
}

/// Whether a tool is asked for the first time.
enum Begun {
    First,
    Before(Outcome),
}

/// Puts on record that the tool is being asked.
async fn begin(scene: &Scene<'_>, effect: &str) -> Result<Begun, StoreError> {
    let (conversation, turn) = (scene.envelope.conversation, scene.turn);
    let tx = scene.shell.store.tenant(scene.envelope.tenant).await?;
    if let Some(before) = effects::find(&tx, conversation, turn, effect).await? {
        let before = serde_json::from_str(before.reveal()).unwrap_or_else(|_| not_known());
        return Ok(Begun::Before(before));
    }
    let begun = format!("{effect}:begun");
    if !effects::record(&tx, conversation, turn, &begun, &Personal::from("")).await? {
        return Ok(Begun::Before(not_known()));
    }
    tx.commit().await?;
    Ok(Begun::First)
}

/// Puts on record what came of it.
async fn finish(scene: &Scene<'_>, effect: &str, outcome: &Outcome) -> Result<(), StoreError> {
    let recorded: Personal = serde_json::to_string(outcome).unwrap_or_default().into();
    let tx = scene.shell.store.tenant(scene.envelope.tenant).await?;
    effects::record(&tx, scene.envelope.conversation, scene.turn, effect, &recorded).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_hosts_are_asked_and_no_private_address_however_it_is_written() {
        let hosts =
            "api.example.com *.shop.example 127.0.0.1 [::ffff:a00:1] 10.0.0.1".split_whitespace();
        let hosts = hosts.map(str::to_owned).collect();
        let settings = OwnToolSettings { hosts, loopback: false };
        let tools = OwnTools { http: None, settings, secrets: None };
        for good in
            ["https://api.example.com/x", "https://API.example.com", "https://eu.shop.example/"]
        {
            assert!(tools.checked(good).is_ok(), "{good}");
        }
        for bad in [
            "http://api.example.com/x",
            "https://example.com",
            "https://evil-api.example.com",
            "https://shop.example",
            "https://api.example.com.evil.test",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://10.0.0.1/",
            "https://[::ffff:10.0.0.1]/",
            "file:///etc/passwd",
            "https://",
        ] {
            assert!(tools.checked(bad).is_err(), "{bad}");
        }
    }
}
