//! Requests of Twilio's to the platform (PROTOCOLS 1.1, 1.2).

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use reqwest::header::CONTENT_TYPE;

use crate::{World, caller::Account, platform, twilio::signature};

/// Read and total timeout.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Retries where the URL names no other number (PROTOCOLS 1.1), and the most it may name.
const RETRIES: u32 = 1;
const RETRIES_MAX: u32 = 5;
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

/// What a URL's fragment says of retries (PROTOCOLS 1.1).
#[derive(Debug, PartialEq, Eq)]
struct RetryPolicy {
    retries: u32,
    /// A connection that could not be made, or broke.
    on_connection: bool,
    /// No answer in time.
    on_timeout: bool,
    /// An answer of 500 or more.
    on_5xx: bool,
}

impl RetryPolicy {
    fn of(url: &str) -> Self {
        let fragment = url.split_once('#').map_or("", |(_, fragment)| fragment);
        let told = |name: &str| {
            let pairs = fragment.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
        };
        let retries = told("rc").and_then(|rc| rc.parse().ok()).unwrap_or(RETRIES);
        let on: Vec<&str> = told("rp").unwrap_or("ct").split(',').collect();
        let is_on = |name| on.contains(&name) || on.contains(&"all");
        Self {
            retries: retries.min(RETRIES_MAX),
            on_connection: is_on("ct"),
            on_timeout: is_on("rt"),
            on_5xx: is_on("5xx"),
        }
    }

    /// Whether what came of a request is worth another.
    fn covers(&self, came: &Result<reqwest::Response, Fault>) -> bool {
        match came {
            Ok(answer) => self.on_5xx && answer.status().is_server_error(),
            Err(Fault::Timeout(_)) => self.on_timeout,
            Err(Fault::Connection(_)) => self.on_connection,
        }
    }
}

/// Why nothing was answered.
enum Fault {
    Connection(anyhow::Error),
    Timeout(anyhow::Error),
}

/// Sends a form, signed, and takes any 2xx answer.
pub async fn send(
    world: &World,
    account: &Account,
    url: &str,
    get: bool,
    form: Form,
) -> anyhow::Result<reqwest::Response> {
    let policy = RetryPolicy::of(url);
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
    let mut retried = 0;
    let answer = loop {
        let request = request.try_clone().context("repeat a request whose body is a stream")?;
        let came = attempt_once(world, request).await;
        if retried == policy.retries || !policy.covers(&came) {
            break came;
        }
        retried += 1;
        tracing::debug!(retried, "webhook is repeated");
    };
    let answer = answer.map_err(|(Fault::Connection(fault) | Fault::Timeout(fault))| fault)?;
    ensure!(answer.status().is_success(), "the platform answered {}", answer.status());
    Ok(answer)
}

async fn attempt_once(
    world: &World,
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, Fault> {
    if let Some((status, _)) = world.faults.strike("twilio", "webhook").await.fail {
        return Err(Fault::Connection(anyhow!("a fault lost the request ({status})")));
    }
    request.send().await.map_err(|error| {
        let is_late = error.is_timeout() && !error.is_connect();
        // Without its URL, which may carry a number.
        let error = anyhow!(error.without_url()).context("request the platform");
        if is_late { Fault::Timeout(error) } else { Fault::Connection(error) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_often_and_when_it_is_asked_for_again() {
        let policy = |retries, on_connection, on_timeout, on_5xx| RetryPolicy {
            retries,
            on_connection,
            on_timeout,
            on_5xx,
        };
        let url = |fragment: &str| RetryPolicy::of(&format!("https://h/voice?a=1{fragment}"));
        assert_eq!(url(""), policy(1, true, false, false));
        assert_eq!(url("#rc=5&rp=ct,rt,5xx"), policy(5, true, true, true));
        assert_eq!(url("#rc=9&rp=5xx&ct=2000"), policy(5, false, false, true));
        assert_eq!(url("#rc=0&rp=all"), policy(0, true, true, true));
    }
}
