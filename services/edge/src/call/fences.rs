//! What is told of a call's turns to whoever still works on them (DESIGN 2, "Turn fence"), in order.

use std::sync::Arc;

use domain::{CallSid, Turn};
use tokio::sync::{mpsc, oneshot};

use super::CallServices;

/// A caller interrupts no faster than Redis answers; more waiting than this means that it is away.
const LONGEST_QUEUE: usize = 64;

/// How a turn stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    /// Everything of an earlier turn is cancelled.
    Fence(Turn),
    /// The caller may be interrupting the reply to this turn.
    Doubt(Turn),
    /// He was not.
    EndDoubt,
}

/// Words of one call on their way to Redis. A doubt overtaken by its end would hold a reply up.
pub(super) struct Fences(mpsc::Sender<(Word, oneshot::Sender<()>)>);

impl Fences {
    pub(super) fn start(services: &Arc<CallServices>, call: CallSid) -> Self {
        let (queue, mut todo) = mpsc::channel::<(Word, oneshot::Sender<()>)>(LONGEST_QUEUE);
        let cache = services.cache.clone();
        services.runtime.spawn(async move {
            while let Some((word, done)) = todo.recv().await {
                let told = match word {
                    Word::Fence(turn) => cache.set_fence(&call, turn).await.map(drop),
                    Word::Doubt(turn) => cache.doubt_turn(&call, turn).await,
                    Word::EndDoubt => cache.end_doubt(&call).await,
                };
                if let Err(error) = told {
                    // This task still drops by turn, and a doubt ends by itself.
                    tracing::warn!(%call, ?word, %error, "turn fence not set");
                }
                // Nobody may be waiting for it.
                let _ = done.send(());
            }
        });
        Self(queue)
    }

    /// Queues a word. Never waits; what it gives comes to an end once the word stands, or is lost.
    pub(super) fn push(&self, word: Word) -> oneshot::Receiver<()> {
        let (done, stands) = oneshot::channel();
        if self.0.try_send((word, done)).is_err() {
            tracing::warn!(?word, "turn fence not set: Redis has been away too long");
        }
        stands
    }
}
