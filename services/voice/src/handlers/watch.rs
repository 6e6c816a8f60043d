//! Work that ends when nobody wants it any more.

use std::time::Duration;

use cache::Cache;
use domain::{CallSid, Envelope, Timestamp, Turn};
use tokio::time::{Instant, sleep, sleep_until};

/// How often the turn fence is read while a vendor answers (DESIGN 2, "Turn fence").
const FENCE_EVERY: Duration = Duration::from_millis(100);

/// The longest a vendor may take in all, with or without Redis (DESIGN 2, "Turn fence"): after 10 s
/// the caller hears an apology.
const LONGEST: Duration = Duration::from_secs(10);

/// How watched work ended.
#[derive(Debug, PartialEq)]
pub(super) enum Watched<T> {
    /// It finished.
    Finished(T),
    /// The turn fence passed it: nobody wants it any more.
    Passed,
    /// It took too long.
    TookTooLong,
}

/// Runs `work` for `message` of `call` until it finishes, the turn fence passes the message's turn,
/// or the message expires. `work` is dropped in the last two cases, which hangs up on the vendor.
pub(super) async fn watched<T>(
    cache: &Cache,
    call: &CallSid,
    message: &Envelope,
    work: impl Future<Output = T>,
) -> Watched<T> {
    // Before the vendor is asked at all: a barge-in leaves whole replies behind in the queue. Who sent a job just now read
    // the fence just before.
    let is_fresh = Timestamp::now().since(message.occurred_at) < FENCE_EVERY;
    if !is_fresh && has_passed(cache, call, message.turn).await {
        return Watched::Passed;
    }
    let deadline = Instant::now() + time_left(message);
    tokio::select! {
        done = work => Watched::Finished(done),
        () = fence_passes(cache, call, message.turn) => Watched::Passed,
        () = sleep_until(deadline) => Watched::TookTooLong,
    }
}

/// How long vendors may take for `message` in all.
pub(super) fn time_left(message: &Envelope) -> Duration {
    message.expires_at.map_or(LONGEST, |at| at.since(Timestamp::now()).min(LONGEST))
}

async fn fence_passes(cache: &Cache, call: &CallSid, turn: Turn) {
    loop {
        sleep(FENCE_EVERY).await;
        if has_passed(cache, call, turn).await {
            return;
        }
    }
}

/// Whether what belongs to `turn` is no longer wanted. Not known without Redis; `edge` drops it by
/// its turn then.
pub(super) async fn has_passed(cache: &Cache, call: &CallSid, turn: Turn) -> bool {
    cache.fence(call).await.is_ok_and(|fence| fence > turn)
}
