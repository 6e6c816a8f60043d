//! One file per job.

mod finish_recording;
mod speak;
mod transcribe;
mod voice_note;
mod watch;

use bus::{Context, Destination, Outcome, SendError};
use cache::Cache;
use domain::{CallSid, Envelope};

pub(crate) use finish_recording::FinishRecordings;
pub(crate) use speak::Speak;
pub(crate) use transcribe::Transcribe;

/// Sends an answer to the edge task that holds `call` now, else to the one that asked, unless the
/// turn fence has passed it meanwhile. A task that is gone wants no answer any more (DESIGN 2).
async fn send_answer(
    context: &Context,
    cache: &Cache,
    call: &CallSid,
    mut answer: Envelope,
    asked: &Envelope,
) -> Outcome {
    answer.expires_at = asked.expires_at;
    // Without Redis `edge` drops by turn, and who asked is still there.
    let (fence, edge) = cache.way_to(call).await.unwrap_or_default();
    if fence > asked.turn {
        return dropped("passed");
    }
    let Some(queue) = edge.or_else(|| asked.reply_to.clone()) else {
        return dropped("nobody");
    };
    match context.send(&Destination::Task(queue), &[answer]).await {
        Ok(_) => Outcome::Done,
        Err(SendError::QueueGone(_)) => dropped("gone"),
        Err(error) => Outcome::retry(error),
    }
}

/// A job done without an answer: the turn is over, or its task.
fn dropped(why: &'static str) -> Outcome {
    metrics::counter!("voice_answers_dropped_total", "why" => why).increment(1);
    Outcome::Done
}

fn misplaced(message: &Envelope) -> Outcome {
    Outcome::Reject(format!("{} has no handler in voice", message.payload.name()))
}
