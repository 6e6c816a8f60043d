//! Files people send: fetched from the vendor and kept in S3, beside the webhook that announced them (A5). A second run
//! writes the same file under the same key.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use bus::{Context, Destination, Handler, Outcome, Queue};
use cache::Cache;
use domain::{
    Envelope, FetchMedia, KeptFile, MediaKind, MediaSettled, MessageKind, Payload, Timestamp,
    TranscribeVoiceNote,
};
use jiff::tz::TimeZone;

use crate::{
    channel::{ChannelAdapter, FetchFault},
    directory::Directory,
};

/// Held in memory whole, up to 100 MB each.
pub const FILES_AT_ONCE: usize = 2;
/// The last start of a message that is not its end as a dead letter: what cannot be had by then is given up.
const LAST_START: u32 = 4;

/// Fetches files by the channels' adapters.
pub struct MediaIn {
    /// The channels.
    pub adapters: Vec<Arc<dyn ChannelAdapter>>,
    /// Whose ears hear a voice note.
    pub directory: Arc<Directory>,
    /// Where whoever answers is told that a file is kept, or that it has nothing to wait for.
    pub cache: Cache,
    /// Where files go,
    pub s3: aws_sdk_s3::Client,
    /// and into which bucket.
    pub bucket: String,
}

/// The job that fetches the file of `event`, if it has one.
pub fn job_of(event: &Envelope) -> Option<Envelope> {
    let Payload::MessageReceived(message) = &event.payload else { return None };
    let MessageKind::Media(media) = &message.kind else { return None };
    let job = FetchMedia {
        message: event.event_id,
        media: media.clone(),
        our_address: message.to.clone(),
    };
    Some(event.follow("fetch-media", event.occurred_at, job))
}

#[async_trait]
impl Handler for MediaIn {
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
        let Payload::FetchMedia(job) = &message.payload else {
            return Outcome::Reject(format!("{} is nothing to fetch", message.payload.name()));
        };
        let Some(adapter) = self.adapters.iter().find(|a| a.channel() == message.channel) else {
            return Outcome::Reject(format!("no adapter for the channel {}", message.channel));
        };
        let file = match adapter.fetch_media(&job.our_address, &job.media).await {
            Ok(file) => file,
            Err(FetchFault::TryLater(cause)) if context.starts() < LAST_START => {
                let after = again_after(context);
                return Outcome::Retry { after, cause: cause.context("fetch a person's file") };
            }
            Err(fault) => return self.give_up(context, message, job, &fault).await.into(),
        };
        let kept = KeptFile {
            bucket: self.bucket.clone(),
            key: key_of(message, job),
            mime_type: file.mime_type,
            bytes: file.bytes.len() as u64,
        };
        let stored = self
            .s3
            .put_object()
            .bucket(&kept.bucket)
            .key(&kept.key)
            .content_type(&kept.mime_type)
            .body(file.bytes.into())
            .send()
            .await
            .context("keep a person's file in S3");
        if let Err(cause) = stored {
            return Outcome::Retry { after: again_after(context), cause };
        }
        boot::crash_point("edge.media-kept");
        metrics::counter!("edge_files_total", "outcome" => "kept").increment(1);
        self.tell(context, message, job, kept).await.into()
    }
}

impl MediaIn {
    async fn tell(
        &self,
        context: &Context,
        message: &Envelope,
        job: &FetchMedia,
        file: KeptFile,
    ) -> anyhow::Result<()> {
        let now = Timestamp::now();
        if job.media.kind == MediaKind::VoiceNote {
            let settings = self.directory.settings(message.tenant).unwrap_or_default();
            let note = TranscribeVoiceNote {
                message: job.message,
                file,
                language: settings.voice.language.clone(),
                vendors: settings.stt.clone(),
            };
            let note = message.follow("transcribe-voice-note", now, note);
            let to = Destination::Shared(Queue::Transcribe);
            return context.send(&to, &[note]).await.context("have a voice note recognised");
        }
        self.cache
            .settle_file(message.conversation, job.message, Some(&file))
            .await
            .context("note where a file is kept")?;
        let settled =
            MediaSettled { message: job.message, file: Some(file), words: None, fault: None };
        let event = message.follow("media-settled", now, settled);
        context.publish(&[event]).await.context("tell that a file is kept")
    }

    async fn give_up(
        &self,
        context: &Context,
        message: &Envelope,
        job: &FetchMedia,
        fault: &FetchFault,
    ) -> anyhow::Result<()> {
        tracing::warn!(kind = "media_given_up", %fault, "a person's file is not kept");
        metrics::counter!("edge_files_total", "outcome" => "given_up").increment(1);
        let (cache, conversation) = (&self.cache, message.conversation);
        match job.media.kind {
            MediaKind::VoiceNote => cache.settle_words(conversation, job.message, None).await,
            _ => cache.settle_file(conversation, job.message, None).await,
        }
        .context("note that there is nothing to wait for")?;
        let settled = MediaSettled {
            message: job.message,
            file: None,
            words: None,
            fault: Some(fault.to_string()),
        };
        let event = message.follow("media-settled", Timestamp::now(), settled);
        context.publish(&[event]).await.context("tell that a file was given up")
    }
}

/// 1, 4, 16 s: within what a voice note is waited for, and little for a vendor that blocks who asks too often
/// (PROTOCOLS 2.5).
fn again_after(context: &Context) -> Duration {
    Duration::from_secs(4_u64.pow(context.starts().saturating_sub(1).min(3)))
}

/// By the day it came, so that files can be kept and removed by age.
fn key_of(message: &Envelope, job: &FetchMedia) -> String {
    let at = jiff::Timestamp::from_microsecond(message.occurred_at.as_micros()).unwrap_or_default();
    let day = at.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d");
    format!("media/{}/{day}/{}", message.tenant, job.message)
}
