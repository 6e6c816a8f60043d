use std::sync::Arc;

use async_trait::async_trait;
use bus::{Context, Handler, Outcome};
use bytes::Bytes;
use cache::Cache;
use domain::{
    Envelope, Payload, SegmentTranscribed, SpeechFailure, Stage, Timestamp, TranscribeSegment,
};
use speech::{Ordered, SpeechToText};

use super::{
    dropped, misplaced, send_answer,
    watch::{Watched, time_left, watched},
};

/// `TranscribeSegment` → `SegmentTranscribed`, and voice notes (`voice_note`). The vendor may be asked more than once; the answer
/// has one event id.
pub(crate) struct Transcribe {
    pub(crate) ears: Arc<Ordered<dyn SpeechToText>>,
    pub(crate) cache: Cache,
    /// Where voice notes lie.
    pub(crate) s3: aws_sdk_s3::Client,
}

#[async_trait]
impl Handler for Transcribe {
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
        let job = match &message.payload {
            Payload::TranscribeSegment(job) => job,
            Payload::TranscribeVoiceNote(job) => {
                return self.voice_note(context, message, job).await;
            }
            _ => return misplaced(message),
        };
        let Some(answer) = transcribe(&self.ears, &self.cache, message, job).await else {
            return dropped("passed");
        };
        boot::crash_point("voice.transcribed");
        let outcome = send_answer(context, &self.cache, &job.call, answer, message).await;
        boot::crash_point("voice.transcribe-sent");
        outcome
    }
}

/// The words of a segment, or why there are none; nothing when the turn is over. A failure is an
/// answer too: the call core asks the caller to repeat (B3).
async fn transcribe(
    ears: &Ordered<dyn SpeechToText>,
    cache: &Cache,
    message: &Envelope,
    job: &TranscribeSegment,
) -> Option<Envelope> {
    let started = Timestamp::now();
    let audio = Bytes::from(job.audio.clone());
    let words = ears.transcribe(audio, &job.language, &job.vendors, time_left(message));
    let result = match watched(cache, &job.call, message, words).await {
        Watched::Finished(heard) => heard.map_err(SpeechFailure::from),
        Watched::TookTooLong => Err(SpeechFailure("nobody recognised it in time".to_owned())),
        Watched::Passed => return None,
    };
    let transcribed = SegmentTranscribed { call: job.call.clone(), segment: job.segment, result };
    let now = Timestamp::now();
    let mut answer = message.follow("segment-transcribed", now, transcribed);
    answer.stamp(Stage::TRANSCRIBE_STARTED, started);
    answer.stamp(Stage::TRANSCRIBED, now);
    Some(answer)
}
