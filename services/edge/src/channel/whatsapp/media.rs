//! Files people send, fetched in two steps: what and where, then the bytes, both with our token (PROTOCOLS 2.5).

use std::time::{Duration, Instant};

use anyhow::anyhow;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use domain::{Media, MediaKind};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::WhatsApp;
use crate::{
    channel::{FetchFault, FetchedFile},
    vendor,
};

const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// What the Graph API tells of a file.
#[derive(Deserialize)]
struct Description {
    /// Good for 5 minutes.
    url: String,
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    sha256: String,
    #[serde(default)]
    file_size: u64,
}

impl WhatsApp {
    pub(super) async fn fetch(&self, media: &Media) -> Result<FetchedFile, FetchFault> {
        let is_id = media.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !is_id || media.id.is_empty() {
            // It becomes part of a path.
            return Err(FetchFault::Refused("its id is none".to_owned()));
        }
        let description = self.describe(&media.id).await?;
        fits(media.kind, &description.mime_type)?;
        within(media.kind, description.file_size)?;
        let bytes = match self.download(media.kind, &description.url).await? {
            Some(bytes) => bytes,
            // The URL has expired meanwhile: another is given for the asking.
            None => {
                let again = self.describe(&media.id).await?;
                let bytes = self.download(media.kind, &again.url).await?;
                bytes.ok_or_else(|| FetchFault::TryLater(anyhow!("its URL is not served")))?
            }
        };
        for announced in [&media.sha256, &description.sha256] {
            if !announced.is_empty() && !is_digest(announced, &bytes) {
                return Err(FetchFault::Refused("its SHA-256 is another".to_owned()));
            }
        }
        Ok(FetchedFile { mime_type: description.mime_type, bytes })
    }

    async fn describe(&self, id: &str) -> Result<Description, FetchFault> {
        let settings = &self.settings;
        let url = format!("{}/{}/{id}", settings.api_base_url, settings.api_version);
        let answer = self.get(&url, DESCRIBE_TIMEOUT).await?;
        let answer = usable(answer)?;
        let body = answer.bytes().await.map_err(lost)?;
        serde_json::from_slice(&body)
            .map_err(|_| FetchFault::TryLater(anyhow!("the description of a file is none")))
    }

    /// The bytes; `None` where the URL is not served any more.
    async fn download(&self, kind: MediaKind, url: &str) -> Result<Option<Bytes>, FetchFault> {
        let answer = self.get(url, DOWNLOAD_TIMEOUT).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let mut answer = usable(answer)?;
        within(kind, answer.content_length().unwrap_or(0))?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(lost)? {
            bytes.extend_from_slice(&piece);
            within(kind, bytes.len() as u64)?;
        }
        Ok(Some(bytes.freeze()))
    }

    async fn get(&self, url: &str, timeout: Duration) -> Result<Response, FetchFault> {
        let token = self.settings.access_token.current();
        let request = self.http.get(url).bearer_auth(token.reveal()).timeout(timeout);
        let begun = Instant::now();
        let sent = request.send().await;
        let status = sent.as_ref().map(|answer| answer.status().as_u16());
        vendor::asked("graph", "media", begun, status);
        sent.map_err(lost)
    }
}

fn lost(error: reqwest::Error) -> FetchFault {
    FetchFault::TryLater(anyhow!(error.without_url()).context("ask the Graph API for a file"))
}

/// An answer with something in it. A file that is not there, or not for us, never will be.
fn usable(answer: Response) -> Result<Response, FetchFault> {
    let status = answer.status();
    match status {
        _ if status.is_success() => Ok(answer),
        StatusCode::UNAUTHORIZED => {
            tracing::error!(kind = "vendor_credentials", "WhatsApp refuses our access token");
            Err(FetchFault::TryLater(anyhow!("HTTP {status}")))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Err(FetchFault::TryLater(anyhow!("HTTP {status}")))
        }
        _ if status.is_server_error() => Err(FetchFault::TryLater(anyhow!("HTTP {status}"))),
        _ => Err(FetchFault::Refused(format!("HTTP {}", status.as_u16()))),
    }
}

/// The largest file of a kind, in bytes (PROTOCOLS 2.5).
pub(super) const fn largest(kind: MediaKind) -> u64 {
    const MB: u64 = 1024 * 1024;
    match kind {
        MediaKind::Image => 5 * MB,
        MediaKind::Video | MediaKind::Audio | MediaKind::VoiceNote => 16 * MB,
        MediaKind::Document => 100 * MB,
        MediaKind::Sticker => 500 * 1024,
    }
}

fn within(kind: MediaKind, bytes: u64) -> Result<(), FetchFault> {
    match bytes <= largest(kind) {
        true => Ok(()),
        false => Err(FetchFault::Refused(format!("larger than {} bytes", largest(kind)))),
    }
}

/// A document may be anything; nothing of it is run or shown here.
fn fits(kind: MediaKind, mime_type: &str) -> Result<(), FetchFault> {
    let begins = match kind {
        MediaKind::Image | MediaKind::Sticker => "image/",
        MediaKind::Video => "video/",
        MediaKind::Audio | MediaKind::VoiceNote => "audio/",
        MediaKind::Document => "",
    };
    match mime_type.starts_with(begins) {
        true => Ok(()),
        false => Err(FetchFault::Refused("its type is not of its kind".to_owned())),
    }
}

/// Meta writes a digest in base64 in webhooks and in hexadecimal in the Graph API.
fn is_digest(announced: &str, bytes: &[u8]) -> bool {
    let digest = Sha256::digest(bytes);
    announced.eq_ignore_ascii_case(&hex::encode(digest)) || announced == STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_known_in_either_writing() {
        let hex = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        assert!(is_digest(hex, b"foo") && is_digest(&hex.to_uppercase(), b"foo"));
        assert!(is_digest("LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=", b"foo"));
        assert!(!is_digest(hex, b"bar"));
    }

    #[test]
    fn a_file_is_of_its_kind_and_within_its_limit() {
        assert!(fits(MediaKind::VoiceNote, "audio/ogg; codecs=opus").is_ok());
        assert!(fits(MediaKind::Image, "text/html").is_err());
        assert!(fits(MediaKind::Document, "application/pdf").is_ok());
        assert!(within(MediaKind::Image, 5 * 1024 * 1024).is_ok());
        assert!(within(MediaKind::Image, 5 * 1024 * 1024 + 1).is_err());
    }
}
