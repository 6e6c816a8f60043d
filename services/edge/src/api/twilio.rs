//! Calls that the API starts and ends, over Twilio's Calls resource (PROTOCOLS 1.6).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::http::StatusCode;
use bytes::Bytes;
use domain::{CallSid, Personal};
use serde::Deserialize;
use vault::RotatingSecret;

use super::{answer::ApiError, write::OutsideFault};
use crate::vendor;

const WITHIN: Duration = Duration::from_secs(10);

/// Twilio, as far as the API needs it.
pub struct TwilioCalls {
    /// `TWILIO_API_BASE_URL`.
    pub api_base_url: String,
    /// `TWILIO_ACCOUNT_SID`; without it no call is started.
    pub account_sid: Option<String>,
    /// Opens the account.
    pub auth_token: Arc<RotatingSecret>,
    /// Where Twilio asks what to do with the call.
    pub public_base_url: String,
    /// To Twilio.
    pub http: reqwest::Client,
}

#[derive(Deserialize)]
struct Started {
    sid: String,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
}

impl TwilioCalls {
    /// Has Twilio ring `to` from our number `from`; once somebody answers it asks us what to do, as for any call.
    ///
    /// # Errors
    /// Says whether a phone may ring all the same.
    pub async fn start(&self, from: &str, to: &Personal) -> Result<CallSid, OutsideFault> {
        let base = &self.public_base_url;
        let form = [
            ("To", to.reveal().to_owned()),
            ("From", from.to_owned()),
            ("Url", format!("{base}/twilio/voice")),
            ("StatusCallback", format!("{base}/twilio/voice/status")),
        ];
        let (status, answer) = self.post("Calls.json", &form).await?;
        read_started(status, &answer)
    }

    /// Ends a call.
    ///
    /// # Errors
    /// When it is over already, or Twilio does not answer.
    pub async fn end(&self, call: &CallSid) -> Result<(), OutsideFault> {
        let form = [("Status", "completed".to_owned())];
        let (status, answer) = self.post(&format!("Calls/{call}.json"), &form).await?;
        read_done(status, &answer)
    }

    async fn post(
        &self,
        resource: &str,
        form: &[(&str, String)],
    ) -> Result<(u16, Bytes), OutsideFault> {
        let Some(account) = &self.account_sid else {
            let error = ApiError::conflict("no_telephony", "TWILIO_ACCOUNT_SID is not set");
            return Err(OutsideFault::Nothing(error));
        };
        let url = format!("{}/2010-04-01/Accounts/{account}/{resource}", self.api_base_url);
        let request = self
            .http
            .post(url)
            .basic_auth(account, Some(self.auth_token.current().reveal()))
            .timeout(WITHIN)
            .form(form);
        let away = |error: reqwest::Error| {
            let told = ApiError::unavailable("Twilio does not answer");
            // Its URL names the account.
            let error = error.without_url();
            tracing::warn!(%error, kind = "vendor_away", vendor = "twilio", "request to Twilio failed");
            told
        };
        let begun = Instant::now();
        let sent = request.send().await;
        let status = sent.as_ref().map(|response| response.status().as_u16());
        vendor::asked("twilio", "calls", begun, status);
        let response = match sent {
            Ok(response) => response,
            Err(e) if e.is_connect() || e.is_builder() => {
                return Err(OutsideFault::Nothing(away(e)));
            }
            Err(e) => return Err(OutsideFault::InDoubt(away(e))),
        };
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|e| OutsideFault::InDoubt(away(e)))?;
        Ok((status, body))
    }
}

/// The call that was started, by the answer (PROTOCOLS 1.6).
///
/// # Errors
/// Says whether a phone may ring all the same.
pub fn read_started(status: u16, answer: &[u8]) -> Result<CallSid, OutsideFault> {
    read_done(status, answer)?;
    let started = serde_json::from_slice::<Started>(answer).ok();
    started.and_then(|s| CallSid::parse(&s.sid)).ok_or_else(|| {
        OutsideFault::InDoubt(ApiError::unavailable("Twilio answered without a call's id"))
    })
}

/// Whether Twilio did what it was asked.
fn read_done(status: u16, answer: &[u8]) -> Result<(), OutsideFault> {
    match status {
        200..=299 => Ok(()),
        429 => Err(OutsideFault::Nothing(ApiError::unavailable("Twilio throttles"))),
        500.. => Err(OutsideFault::InDoubt(ApiError::unavailable("Twilio does not answer"))),
        _ => Err(OutsideFault::Nothing(refused(status, answer))),
    }
}

/// Twilio's own words name the number, so only its code is told.
fn refused(status: u16, body: &[u8]) -> ApiError {
    let code = serde_json::from_slice::<Refusal>(body).map_or(i64::from(status), |r| r.code);
    match code {
        20003 => {
            tracing::error!(code, kind = "vendor_credentials", "Twilio refuses our credentials");
            ApiError::unavailable("Twilio refuses our credentials")
        }
        20404 | 21220 => ApiError::conflict("call_over", "the call does not go on any more"),
        code => ApiError::new(
            StatusCode::CONFLICT,
            "vendor_refused",
            format!("Twilio refuses, with the code {code}"),
        ),
    }
}
