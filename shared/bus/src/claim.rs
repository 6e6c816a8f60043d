//! Claim check: an envelope too large for the topic lies in S3, a pointer travels (DESIGN 2, "Size").

use anyhow::Context as _;
use domain::Envelope;
use wire::ClaimCheck;

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

/// Fetches the encoded envelope a pointer names.
pub(crate) async fn fetch(s3: &aws_sdk_s3::Client, claim: &ClaimCheck) -> anyhow::Result<Vec<u8>> {
    let object = s3
        .get_object()
        .bucket(&claim.bucket)
        .key(&claim.key)
        .send()
        .await
        .context("fetch a large envelope from S3")?;
    let bytes = object.body.collect().await.context("read a large envelope from S3")?;
    Ok(bytes.to_vec())
}
