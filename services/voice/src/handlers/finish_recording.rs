use std::time::Duration;

use async_trait::async_trait;
use bus::{Context, Handler, Outcome};
use domain::{Envelope, Payload, RecordingFinished, Timestamp};

use super::misplaced;
use crate::recorder::{Recorder, RecorderError};

/// A part may still be on its way when the call is over.
const PART_LATE: Duration = Duration::from_secs(5);

/// `FinishRecording` → `RecordingFinished`. A second run finds the file and publishes the same
/// event.
pub(crate) struct FinishRecordings {
    pub(crate) recorder: Recorder,
}

#[async_trait]
impl Handler for FinishRecordings {
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
        let Payload::FinishRecording(job) = &message.payload else { return misplaced(message) };
        let file = match self.recorder.join(job).await {
            Ok(Some(file)) => file,
            Ok(None) => {
                tracing::info!(call = %job.call, "the call left nothing to record");
                return Outcome::Done;
            }
            Err(error @ RecorderError::MissingParts { .. }) => {
                return Outcome::Retry { after: PART_LATE, cause: error.into() };
            }
            Err(error @ RecorderError::TooLong(_)) => return Outcome::Reject(error.to_string()),
            Err(error) => return Outcome::retry(error),
        };
        boot::crash_point("voice.recorded");
        let finished = RecordingFinished {
            call: job.call.clone(),
            bucket: file.bucket,
            key: file.key,
            duration_ms: file.duration_ms,
            bytes: file.bytes,
            paused: file.paused,
        };
        let event = message.follow("recording-finished", Timestamp::now(), finished);
        if let Err(error) = context.publish(&[event]).await {
            return Outcome::retry(error);
        }
        boot::crash_point("voice.recording-published");
        if let Err(lost) = context.check() {
            return Outcome::retry(lost);
        }
        self.recorder.remove_parts(job).await.into()
    }
}
