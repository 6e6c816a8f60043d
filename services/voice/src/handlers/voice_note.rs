use std::time::Duration;

use anyhow::Context as _;
use bus::{Context, Outcome};
use bytes::Bytes;
use domain::{Envelope, MediaSettled, Timestamp, TranscribeVoiceNote};

use super::Transcribe;

/// A person waits half a minute for an answer, `orchestrator` no longer (DESIGN 4).
const NOTE_WITHIN: Duration = Duration::from_secs(20);

impl Transcribe {
    /// `TranscribeVoiceNote` → what it says, in Redis for whoever answers and as `MediaSettled` for the history. The
    /// vendor may be asked more than once; the first words stand. A failure is an answer too: the person is asked to
    /// write.
    pub(super) async fn voice_note(
        &self,
        context: &Context,
        message: &Envelope,
        job: &TranscribeVoiceNote,
    ) -> Outcome {
        let file = match self.fetch(job).await {
            Ok(file) => file,
            Err(fault) => return Outcome::retry(fault),
        };
        let mime_type = &job.file.mime_type;
        let heard = self
            .ears
            .transcribe_file(file, mime_type, &job.language, &job.vendors, NOTE_WITHIN)
            .await;
        let (words, fault) = match heard {
            Ok(words) if words.text.is_empty() => (None, Some("no words in it".to_owned())),
            Ok(words) => (Some(words.text), None),
            Err(failed) => (None, Some(failed.to_string())),
        };
        boot::crash_point("voice.note-transcribed");
        let told = words.as_ref().map(|words| words.reveal());
        if let Err(away) = self.cache.settle_words(message.conversation, job.message, told).await {
            return Outcome::retry(away);
        }
        let settled =
            MediaSettled { message: job.message, file: Some(job.file.clone()), words, fault };
        let event = message.follow("media-settled", Timestamp::now(), settled);
        context.publish(&[event]).await.into()
    }

    async fn fetch(&self, job: &TranscribeVoiceNote) -> anyhow::Result<Bytes> {
        let file = self.s3.get_object().bucket(&job.file.bucket).key(&job.file.key).send().await;
        let file = file.context("fetch a voice note")?;
        Ok(file.body.collect().await.context("read a voice note")?.into_bytes())
    }
}
