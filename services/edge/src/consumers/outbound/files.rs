//! Files on their way out: uploaded to the vendor once, and known there by an id that many messages may name (PROTOCOLS 2.5).

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use aws_sdk_s3::{Client, error::SdkError, operation::get_object::GetObjectError};
use bus::{Context, Outcome};
use cache::{Cache, UploadOf};
use domain::{Channel, SentFile, TenantId};
use tokio::sync::Semaphore;

use super::waits::backoff;
use crate::channel::{FileToSend, SendFault, TakesFiles};

/// Held in memory whole.
const FILES_AT_ONCE: usize = 2;
const STORE_WAIT: Duration = Duration::from_secs(2);

/// What a vendor answers where an id names no file of its any more (PROTOCOLS 2.4).
pub(super) const STALE: [i64; 4] = [100, 131_009, 131_052, 131_053];

/// Uploads files.
pub(super) struct Files {
    s3: Client,
    cache: Cache,
    at_once: Semaphore,
}

/// A file at the vendor.
pub(super) struct Uploaded {
    pub id: String,
    /// Whether it was there before.
    pub is_known: bool,
}

/// Why a file is not at the vendor.
pub(super) enum NotUploaded {
    /// It cannot be sent.
    Refused { code: i64, detail: String },
    /// The vendor takes none at the moment.
    Later { after: Duration, code: i64, cause: anyhow::Error },
}

impl Files {
    pub(super) fn new(s3: Client, cache: Cache) -> Self {
        Self { s3, cache, at_once: Semaphore::new(FILES_AT_ONCE) }
    }

    /// The vendor's id of a file for messages from `our_address`; uploaded where it has none. An upload that is repeated
    /// does no harm: nobody sees it.
    pub(super) async fn at_vendor(
        &self,
        context: &Context,
        taker: &dyn TakesFiles,
        of: &FileOf<'_>,
    ) -> Result<Result<Uploaded, NotUploaded>, Outcome> {
        let upload = of.upload();
        if let Some(id) = self.cache.uploaded(&upload).await.map_err(Outcome::retry)? {
            return Ok(Ok(Uploaded { id, is_known: true }));
        }
        let _permit = self.at_once.acquire().await.map_err(|e| Outcome::retry(anyhow!(e)))?;
        let kept = &of.file.file;
        let found = self.s3.get_object().bucket(&kept.bucket).key(&kept.key).send().await;
        let found = match found {
            Ok(found) => found.body.collect().await.context("read a file to be sent"),
            Err(SdkError::ServiceError(e)) if matches!(e.err(), GetObjectError::NoSuchKey(_)) => {
                let detail = "the file is not there any more".to_owned();
                return Ok(Err(NotUploaded::Refused { code: STALE[3], detail }));
            }
            Err(error) => Err(anyhow!(error).context("fetch a file to be sent")),
        };
        let again = |cause| Outcome::Retry { after: backoff(STORE_WAIT, context.starts()), cause };
        let bytes = found.map_err(again)?.into_bytes();
        let file = FileToSend {
            mime_type: kept.mime_type.clone(),
            filename: of.file.filename.clone(),
            bytes,
        };
        match taker.upload(of.our_address, file).await {
            Ok(id) => {
                let noted = self.cache.note_uploaded(&upload, &id, taker.kept_for()).await;
                noted.map_err(Outcome::retry)?;
                Ok(Ok(Uploaded { id, is_known: false }))
            }
            Err(SendFault::TryLater { after, code, cause }) => {
                Ok(Err(NotUploaded::Later { after, code, cause }))
            }
            Err(SendFault::Unknown(cause)) => {
                Ok(Err(NotUploaded::Later { after: STORE_WAIT, code: 0, cause }))
            }
            Err(SendFault::Refused { code, detail }) => {
                Ok(Err(NotUploaded::Refused { code, detail }))
            }
        }
    }

    /// The vendor does not know the id any more.
    pub(super) async fn forget(&self, of: &FileOf<'_>) -> Result<(), Outcome> {
        self.cache.forget_uploaded(&of.upload()).await.map_err(Outcome::retry)
    }
}

/// A file, and from whom it is sent: a vendor keeps it for one number.
pub(super) struct FileOf<'a> {
    pub tenant: TenantId,
    pub channel: &'a Channel,
    pub our_address: &'a str,
    pub file: &'a SentFile,
}

impl FileOf<'_> {
    fn upload(&self) -> UploadOf<'_> {
        UploadOf {
            tenant: self.tenant,
            channel: self.channel.as_str(),
            our_address: self.our_address,
            sha256: &self.file.sha256,
        }
    }
}
