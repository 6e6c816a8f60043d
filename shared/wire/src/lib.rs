//! The wire form of an [`Envelope`]: protobuf, and base64 of it in a message body (DESIGN 2).
//!
//! This is the only crate that names a prost type. A message this release cannot read is an error
//! that says what is wrong with it; fields it does not know are kept when a message is handed on
//! with [`readdress`].

mod convert;
mod error;

#[allow(missing_docs, clippy::all)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/switchboard.v1.rs"));
}

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{Envelope, EventId, Timestamp};
pub use error::DecodeError;
use prost::Message as _;

/// Where an envelope lies that was too large for the topic (DESIGN 2, "Size").
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimCheck {
    /// S3 bucket.
    pub bucket: String,
    /// S3 key; its content is the whole encoded envelope.
    pub key: String,
}

/// What a message body held.
#[derive(Clone, PartialEq, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a claim check is the rare case, and neither is stored in bulk"
)]
pub enum Decoded {
    /// The envelope.
    Whole(Envelope),
    /// A pointer to it.
    Claimed(ClaimCheck),
}

/// What an envelope says of itself, also where the rest of it lies in S3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Its id.
    pub event_id: EventId,
    /// How often it was replayed.
    pub replays: u32,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it becomes worthless.
    pub expires_at: Option<Timestamp>,
}

/// Encodes an envelope.
pub fn encode(envelope: &Envelope) -> Vec<u8> {
    convert::to_proto(envelope).encode_to_vec()
}

/// Encodes the pointer that stands in for `envelope`, which lies in S3.
pub fn encode_claim(envelope: &Envelope, claim: &ClaimCheck) -> Vec<u8> {
    let mut proto = convert::head_to_proto(envelope);
    proto.claim_check =
        Some(proto::ClaimCheck { bucket: claim.bucket.clone(), key: claim.key.clone() });
    proto.encode_to_vec()
}

/// Decodes what [`encode`] or [`encode_claim`] wrote, in this release or an earlier one.
///
/// # Errors
/// Names the field that is missing or malformed. Such a message can never succeed.
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let proto = proto::Envelope::decode(bytes).map_err(|e| DecodeError::Protobuf(e.to_string()))?;
    match proto.claim_check {
        Some(c) => Ok(Decoded::Claimed(ClaimCheck { bucket: c.bucket, key: c.key })),
        None => convert::from_proto(proto).map(Decoded::Whole),
    }
}

/// Decodes what [`encode`] and [`encode_claim`] both write.
///
/// # Errors
/// As [`decode`].
pub fn head(bytes: &[u8]) -> Result<Head, DecodeError> {
    let proto = proto::Envelope::decode(bytes).map_err(|e| DecodeError::Protobuf(e.to_string()))?;
    convert::head_from_proto(&proto)
}

/// All an encoded envelope says, for people, with nothing masked.
///
/// # Errors
/// When it is no protobuf of ours.
pub fn in_the_clear(bytes: &[u8]) -> Result<String, DecodeError> {
    let proto = proto::Envelope::decode(bytes).map_err(|e| DecodeError::Protobuf(e.to_string()))?;
    Ok(format!("{proto:#?}"))
}

/// The text of a message body.
pub fn to_body(encoded: &[u8]) -> String {
    STANDARD.encode(encoded)
}

/// The encoded envelope in a message body.
///
/// # Errors
/// When the body is not base64.
pub fn from_body(body: &str) -> Result<Vec<u8>, DecodeError> {
    STANDARD.decode(body).map_err(|e| DecodeError::Base64(e.to_string()))
}

/// The encoded envelope with another replay count and expiry, everything else byte for byte: what a
/// later release wrote, and this one does not know, stays in it.
pub fn readdress(encoded: &[u8], replays: u32, expires_at: Option<Timestamp>) -> Vec<u8> {
    // In protobuf the last occurrence of a scalar field wins, so appending changes it.
    let mut out = encoded.to_vec();
    let tail = proto::Readdressed {
        replays: Some(replays),
        expires_at_us: expires_at.map(|t| t.as_micros()),
    };
    out.extend(tail.encode_to_vec());
    out
}
