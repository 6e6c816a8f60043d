//! Requests of Twilio's to the platform (PROTOCOLS 1.1, 1.2).

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::header::CONTENT_TYPE;

use crate::{World, caller::Account, platform, twilio::signature};

/// Read and total timeout.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Attempts in all: one retry.
const ATTEMPTS: usize = 2;
/// The largest document, bytes.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// A form's fields.
pub type Form = Vec<(String, String)>;

/// Why there is no answer: Twilio's code, and what happened.
#[derive(Debug)]
pub struct Failed {
    /// 11200 HTTP, 12100 XML, 12300 content type.
    pub code: u32,
    /// For the error log.
    pub message: String,
}

/// Asks for a document.
pub async fn document(
    world: &World,
    account: &Account,
    url: &str,
    get: bool,
    form: Form,
) -> Result<String, Failed> {
    let failed = |code| move |fault: anyhow::Error| Failed { code, message: format!("{fault:#}") };
    let answer = send(world, account, url, get, form).await.map_err(failed(11200))?;
    let kind =
        answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("text/xml") && !kind.starts_with("application/xml") {
        return Err(Failed { code: 12300, message: format!("the content type is {kind:?}") });
    }
    let text = answer.text().await.context("read the document").map_err(failed(11200))?;
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(Failed {
            code: 11200,
            message: "the document is larger than 64 KB".to_owned(),
        });
    }
    Ok(text)
}

/// Sends a form, signed, and takes any 2xx answer.
pub async fn send(
    world: &World,
    account: &Account,
    url: &str,
    get: bool,
    form: Form,
) -> anyhow::Result<reqwest::Response> {
    let url = url.split('#').next().unwrap_or_default();
    let encoded = serde_urlencoded::to_string(&form).context("encode the form")?;
    let request = if get {
        let joint = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{joint}{encoded}");
        let signature = signature::sign(&account.auth_token, &url, &[]);
        platform::client()
            .get(world.config.platform.requested(&url))
            .header("x-twilio-signature", signature)
    } else {
        let signature = signature::sign(&account.auth_token, url, &form);
        platform::client()
            .post(world.config.platform.requested(url))
            .header("x-twilio-signature", signature)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8")
            .body(encoded)
    };
    let request = request
        .timeout(TIMEOUT)
        .header("user-agent", "TwilioProxy/1.1")
        .header("i-twilio-idempotency-token", uuid::Uuid::new_v4().to_string());
    let mut attempt = 1;
    let answer = loop {
        let request = request.try_clone().context("repeat a request whose body is a stream")?;
        match attempt_once(world, request).await {
            Ok(answer) => break answer,
            Err(fault) if attempt < ATTEMPTS => {
                tracing::debug!(fault = format!("{fault:#}"), "webhook is repeated");
                attempt += 1;
            }
            Err(fault) => return Err(fault),
        }
    };
    ensure!(answer.status().is_success(), "the platform answered {}", answer.status());
    Ok(answer)
}

async fn attempt_once(
    world: &World,
    request: reqwest::RequestBuilder,
) -> anyhow::Result<reqwest::Response> {
    if let Some((status, _)) = world.faults.strike("twilio", "webhook").await.fail {
        bail!("a fault lost the request ({status})");
    }
    // Without its URL, which may carry a number.
    request.send().await.map_err(reqwest::Error::without_url).context("request the platform")
}
