//! Files of ours: what Meta takes as what, and the upload (PROTOCOLS 2.5).

use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use domain::MediaKind;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;

use super::{WhatsApp, graph, media};
use crate::channel::{ExternalId, FileToSend, SendFault, TakesFiles};

const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Meta keeps an uploaded file for 30 days; a message that waits a day for its turn still finds it.
const KEPT_FOR: Duration = Duration::from_secs(29 * 24 * 60 * 60);
/// PROTOCOLS 2.3.
const LONGEST_CAPTION_CHARS: usize = 1024;
/// The types that are shown as what they are; all others are documents.
const IMAGES: [&str; 2] = ["image/jpeg", "image/png"];
const VIDEOS: [&str; 2] = ["video/mp4", "video/3gpp"];
const SOUNDS: [&str; 5] = ["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"];

/// The member of a message that names a file of a kind.
pub(super) const fn member(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Video => "video",
        MediaKind::Audio | MediaKind::VoiceNote => "audio",
        MediaKind::Document => "document",
        MediaKind::Sticker => "sticker",
    }
}

/// As what a file is shown: by its type, and as a document where it is too large for that or of another.
fn kind_of(mime_type: &str, bytes: u64) -> Option<MediaKind> {
    let plain = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let of_type = [
        (MediaKind::Image, &IMAGES[..]),
        (MediaKind::Video, &VIDEOS[..]),
        (MediaKind::Audio, &SOUNDS[..]),
    ];
    let shown = of_type.into_iter().find(|(_, types)| types.contains(&plain.as_str()));
    let candidates = shown.map(|(kind, _)| kind).into_iter().chain([MediaKind::Document]);
    candidates.into_iter().find(|kind| bytes <= media::largest(*kind))
}

#[derive(Deserialize)]
struct UploadAnswer {
    id: String,
}

#[async_trait]
impl TakesFiles for WhatsApp {
    fn kind_of(&self, mime_type: &str, bytes: u64) -> Option<MediaKind> {
        kind_of(mime_type, bytes)
    }

    fn longest_caption_chars(&self, kind: MediaKind) -> usize {
        match kind {
            MediaKind::Image | MediaKind::Video | MediaKind::Document => LONGEST_CAPTION_CHARS,
            MediaKind::Audio | MediaKind::VoiceNote | MediaKind::Sticker => 0,
        }
    }

    fn kept_for(&self) -> Duration {
        KEPT_FOR
    }

    async fn upload(&self, our_address: &str, file: FileToSend) -> Result<ExternalId, SendFault> {
        let settings = &self.settings;
        let url = format!("{}/{}/{our_address}/media", settings.api_base_url, settings.api_version);
        let later = |cause| SendFault::TryLater { after: graph::TRANSIENT_WAIT, code: 0, cause };
        let name = file.filename.map_or_else(|| "file".to_owned(), |name| name.into_revealed());
        let part = Part::stream_with_length(file.bytes.clone(), file.bytes.len() as u64)
            .file_name(name)
            .mime_str(&file.mime_type)
            .map_err(|_| SendFault::Refused { code: 131_053, detail: "no media type".into() })?;
        let form = Form::new()
            .text("messaging_product", "whatsapp")
            .text("type", file.mime_type)
            .part("file", part);
        let token = settings.access_token.current();
        let request = self.http.post(url).bearer_auth(token.reveal()).timeout(UPLOAD_TIMEOUT);
        let answer = request.multipart(form).send().await;
        let answer =
            answer.map_err(|e| later(anyhow!(e.without_url()).context("upload a file")))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|e| later(anyhow!(e.without_url())))?;
        if status != 200 {
            return Err(graph::fault_in(status, &body));
        }
        match serde_json::from_slice::<UploadAnswer>(&body) {
            Ok(answer) if !answer.id.is_empty() => Ok(answer.id),
            _ => Err(later(anyhow!("the Graph API answered an upload without an id"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1024 * 1024;

    #[test]
    fn a_file_is_shown_as_what_it_is_within_the_limits_and_else_as_a_document() {
        for (mime_type, bytes, kind) in [
            ("image/jpeg", 5 * MB, Some(MediaKind::Image)),
            ("image/jpeg", 5 * MB + 1, Some(MediaKind::Document)),
            ("image/webp", 1, Some(MediaKind::Document)),
            ("video/mp4", 16 * MB, Some(MediaKind::Video)),
            ("audio/ogg; codecs=opus", 1, Some(MediaKind::Audio)),
            ("AUDIO/MPEG", 1, Some(MediaKind::Audio)),
            ("application/pdf", 100 * MB, Some(MediaKind::Document)),
            ("application/pdf", 100 * MB + 1, None),
        ] {
            assert_eq!(kind_of(mime_type, bytes), kind, "{mime_type} {bytes}");
        }
    }
}
