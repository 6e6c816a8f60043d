use std::time::Duration;

use deadpool_redis::redis::cmd;
use domain::TenantId;

use crate::{Cache, CacheError, limits::milliseconds};

/// A file at a vendor: by its content, for one of our addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UploadOf<'a> {
    /// Whose file.
    pub tenant: TenantId,
    /// On which channel.
    pub channel: &'a str,
    /// For messages from which of our addresses.
    pub our_address: &'a str,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: &'a str,
}

impl Cache {
    /// The vendor's id of a file that was uploaded before.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn uploaded(&self, of: &UploadOf<'_>) -> Result<Option<String>, CacheError> {
        let key = self.upload_key(of);
        self.run("uploaded", |mut c| async move { cmd("GET").arg(key).query_async(&mut c).await })
            .await
    }

    /// Notes that the vendor keeps a file under `id`, for `kept_for`.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn note_uploaded(
        &self,
        of: &UploadOf<'_>,
        id: &str,
        kept_for: Duration,
    ) -> Result<(), CacheError> {
        let (key, ttl_ms) = (self.upload_key(of), milliseconds(kept_for));
        self.run("note_uploaded", |mut c| async move {
            cmd("SET").arg(key).arg(id).arg("PX").arg(ttl_ms).query_async(&mut c).await
        })
        .await
    }

    /// The vendor does not know it any more.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn forget_uploaded(&self, of: &UploadOf<'_>) -> Result<(), CacheError> {
        let key = self.upload_key(of);
        self.run(
            "forget_uploaded",
            |mut c| async move { cmd("DEL").arg(key).query_async(&mut c).await },
        )
        .await
    }

    fn upload_key(&self, of: &UploadOf<'_>) -> String {
        let UploadOf { tenant, channel, our_address, sha256 } = of;
        self.key(&format!("upload:{tenant}:{channel}:{our_address}:{sha256}"), "")
    }
}
