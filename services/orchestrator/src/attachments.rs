//! Files people send: whoever answers is shown them once they are kept, a moment after the message (A5, DESIGN 4).

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use aws_config::SdkConfig;
use cache::SettledFile;
use dialogue_core::{Attachment, FileBytes};
use domain::{Envelope, KeptFile, MediaKind, MessageKind, MessageReceived, Timestamp};
use tokio::time::{sleep, timeout};

use crate::Shell;

/// A person is answered then at the latest, as if the file were kept: it was announced, and a large one takes its time.
const KEPT_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long S3 may take to hand over a file.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// The largest file that is shown to a model: Converse takes no larger picture.
const SHOWN_BYTES_MAX: u64 = 3_750_000;

/// As much of a document's text as is told to a model.
const TEXT_CHARS_MAX: usize = 6_000;

/// The pictures that every model which sees takes.
const PICTURES: [&str; 3] = ["image/jpeg", "image/png", "image/webp"];

/// Where people's files are kept.
#[derive(Clone)]
pub(crate) struct Files(aws_sdk_s3::Client);

impl Files {
    /// Those in the S3 that `aws` names.
    pub(crate) fn new(aws: &SdkConfig) -> Self {
        let s3 = aws_sdk_s3::config::Builder::from(aws).force_path_style(true).build();
        Self(aws_sdk_s3::Client::from_conf(s3))
    }

    async fn read(&self, file: &KeptFile) -> anyhow::Result<Vec<u8>> {
        let object = self.0.get_object().bucket(&file.bucket).key(&file.key).send();
        let reading = async {
            let object = object.await.context("fetch a person's file")?;
            let bytes = object.body.collect().await.context("read a person's file")?;
            anyhow::Ok(bytes.to_vec())
        };
        let bytes = timeout(READ_WITHIN, reading).await.context("wait for a person's file")??;
        ensure!(bytes.len() as u64 == file.bytes, "a person's file is not as it was kept");
        Ok(bytes)
    }
}

/// What there is of the file of `event`, waited for while what the person sends next waits behind it, so that the order is
/// kept; `None` for a message without one. Voice notes have their words instead.
pub(crate) async fn of_message(
    shell: &Shell,
    envelope: &Envelope,
    event: &MessageReceived,
) -> Option<Attachment> {
    let MessageKind::Media(media) = &event.kind else { return None };
    if media.kind == MediaKind::VoiceNote {
        return None;
    }
    let give_up_at = envelope.occurred_at.plus(KEPT_WITHIN);
    let file = loop {
        match shell.cache.settled_file(envelope.conversation, envelope.event_id).await {
            Ok(Some(SettledFile::Kept(file))) => break file,
            Ok(Some(SettledFile::Missing)) => return Some(Attachment::Missing),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "what became of a file cannot be read"),
        }
        if Timestamp::now() >= give_up_at {
            metrics::counter!("orchestrator_files_unseen_total").increment(1);
            return Some(Attachment::Kept);
        }
        sleep(LOOK_EVERY).await;
    };
    let Some(shown) = Shown::of(media.kind, &file) else { return Some(Attachment::Kept) };
    Some(match shell.files.read(&file).await {
        Ok(bytes) => shown.attachment(&file, bytes),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "a file is answered without a look at it");
            metrics::counter!("orchestrator_files_unseen_total").increment(1);
            Attachment::Kept
        }
    })
}

/// How a file is shown to a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shown {
    /// As it is.
    Bytes,
    /// As its text.
    Text,
}

impl Shown {
    /// `None` for a file that no model is shown.
    fn of(kind: MediaKind, file: &KeptFile) -> Option<Self> {
        let mime_type = plain(&file.mime_type);
        let shown = match (kind, mime_type.as_str()) {
            (MediaKind::Image | MediaKind::Document, picture) if PICTURES.contains(&picture) => {
                Self::Bytes
            }
            (MediaKind::Document, "application/pdf") => Self::Bytes,
            (MediaKind::Document, "application/json") => Self::Text,
            (MediaKind::Document, text) if text.starts_with("text/") => Self::Text,
            _ => return None,
        };
        (file.bytes <= SHOWN_BYTES_MAX).then_some(shown)
    }

    fn attachment(self, file: &KeptFile, bytes: Vec<u8>) -> Attachment {
        match self {
            Self::Bytes => Attachment::Shown(FileBytes {
                mime_type: plain(&file.mime_type),
                bytes: Arc::from(bytes),
            }),
            Self::Text => Attachment::Text(beginning(&String::from_utf8_lossy(&bytes)).into()),
        }
    }
}

/// A media type without its parameters.
fn plain(mime_type: &str) -> String {
    let plain = mime_type.split(';').next().unwrap_or_default();
    plain.trim().to_ascii_lowercase()
}

fn beginning(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').trim();
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…\n(the rest is left out)", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(mime_type: &str, bytes: u64) -> KeptFile {
        let (bucket, key) = ("b".into(), "k".into());
        KeptFile { bucket, key, mime_type: mime_type.into(), bytes }
    }

    #[test]
    fn a_model_is_shown_pictures_and_documents_it_can_take_and_no_other_file() {
        let of = |kind, mime_type, bytes| Shown::of(kind, &file(mime_type, bytes));
        assert_eq!(of(MediaKind::Image, "image/jpeg", SHOWN_BYTES_MAX), Some(Shown::Bytes));
        assert_eq!(of(MediaKind::Image, "image/jpeg", SHOWN_BYTES_MAX + 1), None);
        assert_eq!(of(MediaKind::Image, "image/heic", 9), None);
        assert_eq!(of(MediaKind::Document, "application/pdf", 9), Some(Shown::Bytes));
        assert_eq!(of(MediaKind::Document, "Text/CSV; charset=utf-8", 9), Some(Shown::Text));
        assert_eq!(of(MediaKind::Document, "application/zip", 9), None);
        assert_eq!(of(MediaKind::Video, "video/mp4", 9), None);
    }

    #[test]
    fn a_long_text_is_told_from_its_beginning_and_as_cut() {
        let long = format!("\u{feff}  {}", "é".repeat(TEXT_CHARS_MAX + 1));
        let told = beginning(&long);
        assert!(told.starts_with('é') && told.ends_with("left out)"), "{}", told.len());
        assert_eq!(told.matches('é').count(), TEXT_CHARS_MAX);
        assert_eq!(beginning("a,b\n1,2\n"), "a,b\n1,2");
    }
}
