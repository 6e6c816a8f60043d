//! Handing a call over to a human (A7): a spoken word to the caller, a summary to whoever takes the call, and a way back
//! where nobody does.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use cache::Cache;
use domain::{CallSid, Handover, TenantSettings};
use serde::Deserialize;

use super::{RETRY_POLICY, TRANSFERRED_PATH, TwilioSettings, WHISPER_PATH, twiml::Document};
use crate::{call::state::CallStates, vendor};

/// Twilio answers an update in a fraction of it; the caller hears silence meanwhile.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the human's telephone rings, seconds: about five times.
const RING_SECONDS: u32 = 25;

/// What Twilio says of a call that is over (PROTOCOLS 1.6).
const NOT_IN_PROGRESS: u32 = 21_220;

/// Why Twilio did not take a document.
#[derive(Debug, thiserror::Error)]
pub enum NotUpdated {
    /// There is nobody on the line any more.
    #[error("the call is over")]
    Over,
    /// It may take it later. Says its causes itself.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for NotUpdated {
    fn from(fault: anyhow::Error) -> Self {
        Self::Failed(fault)
    }
}

#[derive(Default, Deserialize)]
struct Refusal {
    code: u32,
}

/// How calls are handed over.
#[derive(Clone)]
pub struct Transfers {
    cache: Cache,
    states: CallStates,
    http: reqwest::Client,
    api_base_url: String,
    account_sid: Option<String>,
    twilio: TwilioSettings,
}

impl Transfers {
    /// Handing over by the account `account_sid` at `api_base_url`. Without an account, and where Twilio does not answer, the
    /// call is handed over when Twilio asks for its next instructions.
    pub fn new(
        cache: Cache,
        http: reqwest::Client,
        api_base_url: String,
        account_sid: Option<String>,
        twilio: TwilioSettings,
    ) -> Self {
        let states = CallStates::new(cache.clone());
        Self { cache, states, http, api_base_url, account_sid, twilio }
    }

    /// Notes that the call goes to a human from now on: it is neither revived nor ended by what becomes of its stream. Comes
    /// before Twilio is told.
    pub async fn begin(&self, call: &CallSid, handover: &Handover, settings: &TenantSettings) {
        let to = handover.to.reveal();
        let told = format!("A call for {}. {}", settings.business, handover.summary.reveal());
        let whisper = Document::default().say(settings, &told).response().into();
        let (noted, kept) = tokio::join!(
            self.states.set_transferring(call, to),
            self.cache.keep_whisper(call, &whisper),
        );
        if let Err(error) = noted.and(kept) {
            tracing::warn!(%call, %error, "a transfer is not noted; the human may not be told of the call");
        }
    }

    /// Notes that the call is ours again.
    pub async fn end(&self, call: &CallSid) {
        if let Err(error) = self.states.set_live(call).await {
            tracing::warn!(%call, %error, "the return of a call is not noted");
        }
    }

    /// The verb that calls the human, and brings the caller back with `query` where nobody takes the call. Its URLs are
    /// whole, for a document given over REST has no address of its own.
    pub(super) fn dial(
        &self,
        document: Document,
        call: &CallSid,
        to: &str,
        query: &str,
    ) -> Document {
        let base = &self.twilio.public_base_url;
        let action = format!("{base}{TRANSFERRED_PATH}?{query}{RETRY_POLICY}");
        let whisper = format!("{base}{WHISPER_PATH}?call={call}{RETRY_POLICY}");
        document.dial(to, &action, &whisper, RING_SECONDS)
    }

    /// The whole document that calls the human.
    pub fn document(&self, call: &CallSid, to: &str, query: &str) -> String {
        self.dial(Document::default(), call, to, query).response()
    }

    /// Gives Twilio `document` for a call that goes on.
    ///
    /// # Errors
    /// When Twilio does not take it: then it asks us once the call's stream is closed, unless the call is over.
    pub async fn update(&self, call: &CallSid, document: &str) -> Result<(), NotUpdated> {
        let Some(account) = &self.account_sid else {
            return Err(anyhow!("TWILIO_ACCOUNT_SID is not set").into());
        };
        let base = &self.api_base_url;
        let url = format!("{base}/2010-04-01/Accounts/{account}/Calls/{call}.json");
        let request = self
            .http
            .post(url)
            .basic_auth(account, Some(self.twilio.auth_token.current().reveal()))
            .timeout(UPDATE_TIMEOUT)
            .form(&[("Twiml", document)]);
        let begun = std::time::Instant::now();
        let sent = request.send().await.map_err(reqwest::Error::without_url);
        let status = sent.as_ref().map(|response| response.status().as_u16());
        vendor::asked("twilio", "update_call", begun, status);
        let answer = sent.context("update the call at Twilio")?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let body = answer.bytes().await.unwrap_or_default();
        Err(read_refusal(status.as_u16(), &body))
    }

    /// What is said to whoever takes the call, before both talk.
    pub(super) async fn whisper(&self, call: &CallSid) -> String {
        match self.cache.whisper(call).await {
            Ok(Some(whisper)) => whisper.into_revealed(),
            Ok(None) => Document::default().response(),
            Err(error) => {
                tracing::warn!(%call, %error, "the human is not told what the call is about");
                Document::default().response()
            }
        }
    }
}

/// Why Twilio did not take a document, by an answer other than 2xx (PROTOCOLS 1.6).
pub fn read_refusal(status: u16, answer: &[u8]) -> NotUpdated {
    let refusal = serde_json::from_slice::<Refusal>(answer).unwrap_or_default();
    match refusal.code {
        NOT_IN_PROGRESS => NotUpdated::Over,
        code => anyhow!("update the call at Twilio: {status}, code {code}").into(),
    }
}
