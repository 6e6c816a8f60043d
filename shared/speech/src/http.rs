use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use reqwest::{Client, StatusCode, header::HeaderValue};

use crate::SpeechError;

/// A vendor that cannot be connected to within this has the next one take over.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a vendor may say nothing: before its answer, or within it. Two vendors in a row stay
/// under the 10 s after which the caller hears an apology (DESIGN 3).
pub(crate) const SILENCE_TIMEOUT: Duration = Duration::from_secs(4);

/// Kept longer than callers pause, so that a turn does not begin with a handshake.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// The client of every vendor: shared, for it holds the open connections.
///
/// # Errors
/// When no TLS provider was installed.
pub fn client() -> anyhow::Result<Client> {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build()
        .context("build the HTTP client for speech")
}

/// Where a vendor's key is read, at each request, so that a rotated one is followed (E4).
pub type ApiKey = Arc<dyn Fn() -> String + Send + Sync>;

/// An `Authorization` header that no log shows.
pub(crate) fn authorization(scheme: &str, key: &ApiKey) -> Result<HeaderValue, SpeechError> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {}", key()))
        .map_err(|_| SpeechError::Refused("the key is no header value".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a broken request means. The URL is left out: it may be long and says nothing new.
pub(crate) fn broken(error: reqwest::Error) -> SpeechError {
    if error.is_timeout() {
        return SpeechError::TimedOut;
    }
    let cause = if error.is_connect() { "no connection" } else { "the connection broke" };
    SpeechError::Unavailable(cause.to_owned())
}

/// The longest of a vendor's own words that are kept, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// The code or id that a vendor gave, where it is one word. What else stands in its place is not kept: it may repeat what
/// was said, at any length.
pub(crate) fn code(named: &str) -> Option<&str> {
    let is_of_codes = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_code = (1..=CODE_BYTES_MAX).contains(&named.len()) && named.bytes().all(is_of_codes);
    is_code.then_some(named)
}

/// What an answer other than 2xx means; `detail` is the vendor's code and request id.
pub(crate) fn refused(status: StatusCode, detail: &str) -> SpeechError {
    let text = if detail.is_empty() {
        status.as_u16().to_string()
    } else {
        format!("{} {detail}", status.as_u16())
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS => SpeechError::Busy(text),
        StatusCode::REQUEST_TIMEOUT => SpeechError::TimedOut,
        StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => {
            SpeechError::Denied(text)
        }
        status if status.is_server_error() => SpeechError::Unavailable(text),
        _ => SpeechError::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn a_code_is_one_short_word() {
        for named in ["INVALID_AUTH", "insufficient_quota", "429", "0f8c-1d.2"] {
            assert_eq!(code(named), Some(named));
        }
        let long = "x".repeat(65);
        for other in ["", "hello Ada", "a\u{0}", "caf\u{e9}", long.as_str()] {
            assert_eq!(code(other), None, "{other:?}");
        }
    }
}
