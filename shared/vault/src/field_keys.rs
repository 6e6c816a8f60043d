use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_kms::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
    types::DataKeySpec,
};
use domain::{BoxFuture, FieldCipher, KeyError, KeyRing, TenantId};
use zeroize::Zeroizing;

use crate::cipher::TenantCipher;

/// The name under which the tenant stands in the encryption context.
const CONTEXT: &str = "tenant";

/// Makes and unwraps the data keys of tenants (D3). Whoever asks keeps the cipher: `store` does, so
/// that KMS is asked once a tenant and task.
///
/// A tenant's data key is bound to the tenant by the encryption context: KMS refuses to unwrap it
/// for another, and its log says whose key was used.
pub struct FieldKeys {
    kms: Client,
    key_id: String,
}

impl FieldKeys {
    /// Uses the KMS key `key_id` (an id, an ARN, or `alias/...`).
    pub fn new(kms: Client, key_id: impl Into<String>) -> Self {
        Self { kms, key_id: key_id.into() }
    }

    async fn unwrap(
        &self,
        tenant: TenantId,
        wrapped: &[u8],
    ) -> Result<Arc<dyn FieldCipher>, KeyError> {
        let answer = self
            .kms
            .decrypt()
            .key_id(&self.key_id)
            .ciphertext_blob(Blob::new(wrapped))
            .encryption_context(CONTEXT, tenant.to_string())
            .send()
            .await
            .map_err(key_error)?;
        let data_key = Zeroizing::new(answer.plaintext.map(Blob::into_inner).unwrap_or_default());
        let cipher = TenantCipher::new(tenant, &data_key)
            .ok_or_else(|| KeyError::Refused("KMS answered a key that has not 32 bytes".into()))?;
        Ok(Arc::new(cipher))
    }
}

impl KeyRing for FieldKeys {
    fn generate(&self, tenant: TenantId) -> BoxFuture<'_, Result<Vec<u8>, KeyError>> {
        Box::pin(async move {
            let answer = self
                .kms
                .generate_data_key_without_plaintext()
                .key_id(&self.key_id)
                .key_spec(DataKeySpec::Aes256)
                .encryption_context(CONTEXT, tenant.to_string())
                .send()
                .await
                .map_err(key_error)?;
            answer
                .ciphertext_blob
                .map(Blob::into_inner)
                .ok_or_else(|| KeyError::Refused("KMS answered no key".into()))
        })
    }

    fn cipher<'a>(
        &'a self,
        tenant: TenantId,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Arc<dyn FieldCipher>, KeyError>> {
        Box::pin(self.unwrap(tenant, wrapped))
    }
}

/// Makes the KMS key behind `alias` (`alias/...`) where there is none, for one machine and for
/// tests. In the cloud the infrastructure declares it.
///
/// # Errors
/// When KMS cannot be reached or refuses.
pub async fn ensure_key(kms: &Client, alias: &str) -> anyhow::Result<()> {
    if kms.describe_key().key_id(alias).send().await.is_ok() {
        return Ok(());
    }
    let made = kms
        .create_key()
        .description("Switchboard: personal fields")
        .send()
        .await
        .context("make a KMS key")?;
    let id = made.key_metadata.context("learn the new KMS key's id")?.key_id;
    match kms.create_alias().alias_name(alias).target_key_id(id).send().await {
        Ok(_) => Ok(()),
        // Another task was first.
        Err(e) if e.code() == Some("AlreadyExistsException") => Ok(()),
        Err(e) => Err(e).context("name the KMS key"),
    }
}

/// Which refusals of KMS a retry cannot help.
fn key_error<E>(e: SdkError<E>) -> KeyError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let final_codes = [
        "InvalidCiphertextException",
        "IncorrectKeyException",
        "AccessDeniedException",
        "NotFoundException",
        "DisabledException",
        "KMSInvalidStateException",
        "ValidationException",
    ];
    match e.code() {
        Some(code) if final_codes.contains(&code) => {
            KeyError::Refused(format!("KMS: {code}").into())
        }
        _ => KeyError::Unavailable(Box::new(e)),
    }
}
