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
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use tokio::sync::Mutex;

use crate::llm::ModelError;

/// Credentials are asked for anew so long before they end: longer than a request is on its way.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

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

    /// The headers that sign a POST of `body` to `url` (SigV4).
    pub(super) async fn sign_post(
        &self,
        service: &str,
        url: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Vec<(String, String)>, ModelError> {
        let cannot_sign = || ModelError::Connection("the request cannot be signed".to_owned());
        let identity = self.credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| cannot_sign())?
            .into();
        let headers = [("content-type", content_type)].into_iter();
        let request = SignableRequest::new("POST", url, headers, SignableBody::Bytes(body))
            .map_err(|_| cannot_sign())?;
        let signed = sign(request, &params).map_err(|_| cannot_sign())?.into_parts().0;
        Ok(signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
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
