//! Amazon SES v2, `SendEmail` (PROTOCOLS 7), signed here (SigV4): one request does not pay for an SDK.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;

use super::super::{ExternalId, SendFault};

const JSON: &str = "application/json";
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
const TRANSIENT_WAIT: Duration = Duration::from_secs(2);
const THROTTLED_WAIT: Duration = Duration::from_secs(4);

/// SES.
pub struct Ses {
    /// `AWS_ENDPOINT_URL_SESV2`; SES of the region unless said.
    base_url: Option<String>,
    region: Option<String>,
    provider: Option<SharedCredentialsProvider>,
    http: reqwest::Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    message_id: String,
}

impl Ses {
    /// SES of the region and identity of `aws`, or at `base_url`. Without a region or an identity nothing is sent.
    pub fn new(aws: &SdkConfig, base_url: Option<String>, http: reqwest::Client) -> Self {
        let region = aws.region().map(ToString::to_string);
        Self { base_url, region, provider: aws.credentials_provider(), http }
    }

    /// Sends a whole message.
    pub(super) async fn send(
        &self,
        from: &str,
        to: &str,
        message: &str,
    ) -> Result<ExternalId, SendFault> {
        let body = json!({
            "FromEmailAddress": from,
            "Destination": {"ToAddresses": [to]},
            "Content": {"Raw": {"Data": STANDARD.encode(message)}},
        });
        let body = body.to_string();
        let not_sent = |cause| SendFault::TryLater { after: TRANSIENT_WAIT, code: 0, cause };
        let (url, headers) = self.signed(&body).await.map_err(not_sent)?;
        let mut request = self.http.post(url).timeout(SEND_TIMEOUT).header("content-type", JSON);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = match request.body(body).send().await {
            Ok(response) => response,
            Err(e) if e.is_connect() || e.is_builder() => {
                return Err(not_sent(anyhow!(e.without_url()).context("connect to SES")));
            }
            Err(e) => return Err(SendFault::Unknown(anyhow!(e.without_url()))),
        };
        let status = response.status().as_u16();
        let kind = response.headers().get("x-amzn-errortype").and_then(|v| v.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(':').next()).unwrap_or_default().to_owned();
        match response.bytes().await {
            Ok(body) => read_answer(status, &kind, &body),
            Err(e) => Err(SendFault::Unknown(anyhow!(e.without_url()))),
        }
    }

    async fn signed(&self, body: &str) -> anyhow::Result<(String, Vec<(String, String)>)> {
        let region = self.region.as_deref().context("find the AWS region of SES")?;
        let usual = || format!("https://email.{region}.amazonaws.com");
        let base = self.base_url.clone().unwrap_or_else(usual);
        let url = format!("{base}/v2/email/outbound-emails");
        let provider = self.provider.as_ref().context("find AWS credentials for SES")?;
        let credentials = provider.provide_credentials().await;
        let identity = credentials.context("ask for AWS credentials")?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("ses")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .context("prepare a signature")?
            .into();
        let headers = [("content-type", JSON)].into_iter();
        let signable = SignableBody::Bytes(body.as_bytes());
        let request = SignableRequest::new("POST", url.as_str(), headers, signable);
        let signed = sign(request.context("prepare a request")?, &params).context("sign")?;
        let (instructions, _) = signed.into_parts();
        let headers = instructions.headers();
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok((url, headers))
    }
}

/// What became of a send, by the answer and the kind of error it names. SES's own words may name the person, so only their kind
/// is told.
///
/// # Errors
/// What is to be done about a send that did not arrive, or may not have.
pub fn read_answer(status: u16, kind: &str, body: &[u8]) -> Result<ExternalId, SendFault> {
    match status {
        200..=299 => match serde_json::from_slice::<Sent>(body) {
            Ok(sent) if !sent.message_id.is_empty() => Ok(sent.message_id),
            _ => Err(SendFault::Unknown(anyhow!("SES answered {status} without an id"))),
        },
        429 => Err(SendFault::TryLater {
            after: THROTTLED_WAIT,
            code: 429,
            cause: anyhow!("SES throttles"),
        }),
        500.. => Err(SendFault::Unknown(anyhow!("SES answered {status}"))),
        _ => {
            if matches!(status, 401 | 403) {
                tracing::error!(status, kind = "vendor_credentials", "SES refuses our credentials");
            }
            Err(SendFault::Refused { code: i64::from(status), detail: kind.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ses_took_has_an_id_and_what_it_may_have_taken_is_in_doubt() {
        assert_eq!(read_answer(200, "", br#"{"MessageId":"m1"}"#).unwrap(), "m1");
        for (status, body) in [(200, "{}"), (500, ""), (503, "<html>")] {
            let answer = read_answer(status, "", body.as_bytes());
            assert!(matches!(answer, Err(SendFault::Unknown(_))), "{status}");
        }
        let throttled = read_answer(429, "TooManyRequestsException", b"");
        assert!(matches!(throttled, Err(SendFault::TryLater { .. })));
        let refused = read_answer(400, "MessageRejected", br#"{"message":"ana@example.com"}"#);
        let Err(SendFault::Refused { detail, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(detail, "MessageRejected");
    }
}
