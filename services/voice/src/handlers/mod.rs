//! One file per job.

mod finish_recording;
mod speak;
mod transcribe;
mod watch;

use bus::{Context, Destination, Outcome, SendError};
use cache::Cache;
use domain::{CallSid, Envelope};
use futures::future::try_join_all;

pub(crate) use finish_recording::FinishRecordings;
pub(crate) use speak::Speak;
pub(crate) use transcribe::Transcribe;

/// Sends the parts of an answer to the edge task that holds `call` now, else to the one that asked,
/// unless the turn fence has passed it meanwhile. A task that is gone wants no answer any more
/// (DESIGN 2).
///
/// The parts leave at once, each in a request of its own: the first need not wait for the others to be
/// taken in, and hardly a death falls between them. Whoever receives them puts them in order.
async fn send_answer(
    context: &Context,
    cache: &Cache,
    call: &CallSid,
    mut parts: Vec<Envelope>,
    asked: &Envelope,
) -> Outcome {
    for part in &mut parts {
        part.expires_at = asked.expires_at;
    }
    // Without Redis `edge` drops by turn, and who asked is still there.
    let (fence, edge) = cache.way_to(call).await.unwrap_or_default();
    if fence > asked.turn {
        return dropped("passed");
    }
    let Some(queue) = edge.or_else(|| asked.reply_to.clone()) else {
        return dropped("nobody");
    };
    let to = Destination::Task(queue);
    let sends = parts.chunks(1).map(|part| context.send(&to, part));
    match try_join_all(sends).await {
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
