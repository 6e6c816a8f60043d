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

/// Sends answers to the edge task that holds `call` now, else to the one that asked, unless the
/// turn fence has passed them meanwhile. A task that is gone wants no answer any more (DESIGN 2).
///
/// # Errors
/// How the job ends, where they did not arrive.
async fn send_answers(
    context: &Context,
    cache: &Cache,
    call: &CallSid,
    mut answers: Vec<Envelope>,
    asked: &Envelope,
) -> Result<(), Outcome> {
    for answer in &mut answers {
        answer.expires_at = asked.expires_at;
    }
    // Without Redis `edge` drops by turn, and who asked is still there.
    let (fence, edge) = cache.way_to(call).await.unwrap_or_default();
    if fence > asked.turn {
        return Err(dropped("passed"));
    }
    let Some(queue) = edge.or_else(|| asked.reply_to.clone()) else {
        return Err(dropped("nobody"));
    };
    match context.send(&Destination::Task(queue), &answers).await {
        Ok(_) => Ok(()),
        Err(SendError::QueueGone(_)) => Err(dropped("gone")),
        Err(error) => Err(Outcome::retry(error)),
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
