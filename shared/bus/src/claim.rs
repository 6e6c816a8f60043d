//! Claim check: an envelope too large for the topic lies in S3, a pointer travels (DESIGN 2, "Size").

use anyhow::{Context as _, anyhow};
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use domain::Envelope;
use wire::{ClaimCheck, DecodeError, Decoded};

use crate::death::DeathCause;

/// Why the envelope of a message cannot be had.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// It never can: this is wrong with it.
    Never(DeathCause, String),
    /// S3 refuses to give it, and may do so for good.
    Refused(anyhow::Error),
    /// S3 cannot be asked.
    Away(anyhow::Error),
}

impl From<DecodeError> for Unopened {
    fn from(error: DecodeError) -> Self {
        Self::Never(DeathCause::Undecodable, format!("undecodable: {error}"))
    }
}

/// Stores the encoded envelope and returns the pointer. The key derives from the event id, so a
/// second run overwrites with the same content.
pub(crate) async fn store(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    envelope: &Envelope,
    encoded: Vec<u8>,
) -> anyhow::Result<ClaimCheck> {
    let key = format!("claim-checks/{}/{}", envelope.tenant, envelope.event_id);
    s3.put_object()
        .bucket(bucket)
        .key(&key)
        .body(encoded.into())
        .send()
        .await
        .context("store a large envelope in S3")?;
    Ok(ClaimCheck { bucket: bucket.to_owned(), key })
}

/// The envelope in a message's body, fetched from S3 where it lies there.
pub(crate) async fn open(s3: &aws_sdk_s3::Client, body: &str) -> Result<Envelope, Unopened> {
    let encoded = wire::from_body(body)?;
    let claim = match wire::decode(&encoded)? {
        Decoded::Whole(envelope) => return Ok(envelope),
        Decoded::Claimed(claim) => claim,
    };
    // A replay counts itself in what travels; what lies in S3 stays as it was.
    let head = wire::head(&encoded)?;
    match wire::decode(&fetch(s3, &claim).await?)? {
        Decoded::Whole(envelope) => {
            Ok(Envelope { replays: head.replays, expires_at: head.expires_at, ..envelope })
        }
        Decoded::Claimed(_) => Err(DecodeError::UnknownPayload.into()),
    }
}

async fn fetch(s3: &aws_sdk_s3::Client, claim: &ClaimCheck) -> Result<Vec<u8>, Unopened> {
    let asked = s3.get_object().bucket(&claim.bucket).key(&claim.key).send().await;
    let object = asked.map_err(|error| {
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        let is_gone = error.code() == Some("NoSuchKey");
        let cause = anyhow!(error).context("fetch a large envelope from S3");
        match status {
            _ if is_gone => {
                let reason = format!("what it says is gone from S3: {}", claim.key);
                Unopened::Never(DeathCause::ObjectGone, reason)
            }
            Some(400..500) => Unopened::Refused(cause),
            _ => Unopened::Away(cause),
        }
    })?;
    let bytes = object.body.collect().await;
    let bytes = bytes.context("read a large envelope from S3").map_err(Unopened::Away)?;
    Ok(bytes.to_vec())
}
