//! Requests to AWS, signed here (SigV4). Polly is one request and Transcribe one WebSocket; with
//! their SDKs each would bring a client of its own, and Transcribe's speaks HTTP/2 only.

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
    http_request::{
        SignableBody, SignableRequest, SignatureLocation, SigningInstructions, SigningSettings,
        sign,
    },
    sign::v4,
};
use reqwest::Url;
use tokio::sync::Mutex;

use crate::SpeechError;

/// Credentials are asked for anew so long before they end: longer than a request is on its way.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// Who we are at AWS, shared by its vendors.
#[derive(Clone)]
pub struct AwsAccess {
    region: String,
    provider: SharedCredentialsProvider,
    /// The chain of providers remembers nothing: on ECS it would ask the agent each time.
    held: Arc<Mutex<Option<Credentials>>>,
}

impl AwsAccess {
    /// The identity and region of `aws`. Credentials are fetched by the first request.
    ///
    /// # Errors
    /// When no region is set, or no source of credentials.
    pub fn new(aws: &SdkConfig) -> anyhow::Result<Self> {
        let region = aws.region().context("find the AWS region of speech vendors")?;
        let provider = aws.credentials_provider().context("find AWS credentials for speech")?;
        Ok(Self { region: region.to_string(), provider, held: Arc::default() })
    }

    /// The headers that sign a POST of `body` to `url`.
    pub(crate) async fn sign_post(
        &self,
        service: &str,
        url: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Vec<(String, String)>, SpeechError> {
        let headers = [("content-type", content_type)].into_iter();
        let request = SignableRequest::new("POST", url, headers, SignableBody::Bytes(body));
        let signed = self.signed(service, SigningSettings::default(), request).await?;
        Ok(signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// `url` with a signature in its query, good for `lasting`.
    pub(crate) async fn presign_get(
        &self,
        service: &str,
        mut url: Url,
        lasting: Duration,
    ) -> Result<Url, SpeechError> {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(lasting);
        let request =
            SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::Bytes(&[]));
        let signed = self.signed(service, settings, request).await?;
        url.query_pairs_mut().extend_pairs(signed.params());
        Ok(url)
    }

    async fn signed<'r, E>(
        &self,
        service: &str,
        settings: SigningSettings,
        request: Result<SignableRequest<'r>, E>,
    ) -> Result<SigningInstructions, SpeechError> {
        let cannot_sign = || SpeechError::Denied("the request cannot be signed".to_owned());
        let identity = self.credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|_| cannot_sign())?
            .into();
        let request = request.map_err(|_| cannot_sign())?;
        Ok(sign(request, &params).map_err(|_| cannot_sign())?.into_parts().0)
    }

    async fn credentials(&self) -> Result<Credentials, SpeechError> {
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
                    .map_err(|_| SpeechError::Unavailable("no AWS credentials".to_owned()))?;
                Ok(held.insert(fresh).clone())
            }
        }
    }
}
