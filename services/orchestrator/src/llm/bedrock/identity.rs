use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use aws_config::SdkConfig;
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider},
};
use aws_sigv4::{
    event_stream::{sign_empty_message, sign_message},
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_types::event_stream::Message;
use tokio::sync::Mutex;

use crate::llm::ModelError;

/// Credentials are asked for anew so long before they end: longer than a request is on its way.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// What stands for the hash of a body whose messages are signed one by one.
const STREAMED: &str = "STREAMING-AWS4-HMAC-SHA256-EVENTS";

/// Who we are at AWS.
#[derive(Clone)]
pub struct AwsIdentity {
    region: String,
    provider: SharedCredentialsProvider,
    /// The chain of providers remembers nothing: on ECS it would ask the agent each time.
    held: Arc<Mutex<Option<Credentials>>>,
}

impl AwsIdentity {
    /// The identity and region of `aws`. Credentials are fetched by the first request.
    ///
    /// # Errors
    /// When no region is set, or no source of credentials.
    pub fn new(aws: &SdkConfig) -> anyhow::Result<Self> {
        let region = aws.region().context("find the AWS region of Bedrock")?;
        let provider = aws.credentials_provider().context("find AWS credentials for Bedrock")?;
        Ok(Self { region: region.to_string(), provider, held: Arc::default() })
    }

    /// The same identity in another region.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.region);
        self
    }

    /// The headers that sign a POST of `body` to `url` (SigV4).
    pub(super) async fn sign_post(
        &self,
        service: &str,
        url: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Vec<(String, String)>, ModelError> {
        let credentials = self.credentials().await?;
        let settings = SigningSettings::default();
        let body = SignableBody::Bytes(body);
        Ok(self.sign(&credentials, (service, url, content_type), body, settings)?.0)
    }

    /// The headers that sign a POST of an event stream to `url`, and who signs its messages.
    pub(in crate::llm) async fn sign_stream(
        &self,
        service: &'static str,
        url: &str,
        content_type: &str,
    ) -> Result<(Vec<(String, String)>, StreamSigner), ModelError> {
        let credentials = self.credentials().await?;
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let body = SignableBody::Precomputed(STREAMED.to_owned());
        let (headers, last) =
            self.sign(&credentials, (service, url, content_type), body, settings)?;
        Ok((headers, StreamSigner { credentials, region: self.region.clone(), service, last }))
    }

    fn sign(
        &self,
        credentials: &Credentials,
        (service, url, content_type): (&str, &str, &str),
        body: SignableBody<'_>,
        settings: SigningSettings,
    ) -> Result<(Vec<(String, String)>, String), ModelError> {
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(cannot_sign)?
            .into();
        let headers = [("content-type", content_type)].into_iter();
        let request = SignableRequest::new("POST", url, headers, body).map_err(cannot_sign)?;
        let (signed, signature) = sign(request, &params).map_err(cannot_sign)?.into_parts();
        let headers = signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok((headers.collect(), signature))
    }

    /// The next request asks for fresh credentials.
    pub(super) async fn forget(&self) {
        *self.held.lock().await = None;
    }

    async fn credentials(&self) -> Result<Credentials, ModelError> {
        let mut held = self.held.lock().await;
        let ends =
            |c: &Credentials| c.expiry().is_some_and(|at| at < SystemTime::now() + RENEW_BEFORE);
        match held.as_ref() {
            Some(credentials) if !ends(credentials) => Ok(credentials.clone()),
            _ => {
                let fresh = self
                    .provider
                    .provide_credentials()
                    .await
                    .map_err(|_| ModelError::Connection("no AWS credentials".to_owned()))?;
                Ok(held.insert(fresh).clone())
            }
        }
    }
}

/// Signs the messages of one stream, each with the signature of the one before.
pub(in crate::llm) struct StreamSigner {
    credentials: Credentials,
    region: String,
    service: &'static str,
    last: String,
}

impl StreamSigner {
    /// The message in a signed one; `None` is the end of the stream.
    pub(in crate::llm) fn sign(
        &mut self,
        message: Option<&Message>,
    ) -> Result<Message, ModelError> {
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service)
            .time(SystemTime::now())
            .settings(())
            .build()
            .map_err(cannot_sign)?;
        let signed = match message {
            Some(message) => sign_message(message, &self.last, &params),
            None => sign_empty_message(&self.last, &params),
        };
        let (signed, signature) = signed.map_err(cannot_sign)?.into_parts();
        self.last = signature;
        Ok(signed)
    }
}

/// Without the reason, which may quote what was to be signed.
fn cannot_sign<E>(_: E) -> ModelError {
    ModelError::Connection("the request cannot be signed".to_owned())
}
