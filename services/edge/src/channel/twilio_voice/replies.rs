//! Whole replies that webhooks wait for (A3).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cache::Cache;
use domain::{CallSid, Envelope, Payload, ReplyWritten, Turn};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout_at},
};

/// How often Redis is asked for a reply that may have gone to another task. The one that asked gets it from its own queue.
const LOOK_EVERY: Duration = Duration::from_millis(200);

type Waiting = HashMap<(CallSid, Turn), Vec<oneshot::Sender<Envelope>>>;

/// The replies that this task's webhooks wait for, and those that Redis keeps for every task.
pub struct WrittenReplies {
    cache: Cache,
    own_queue: String,
    waiting: Mutex<Waiting>,
}

/// A webhook's place among those that wait, until it is dropped.
pub(super) struct Wait {
    replies: Arc<WrittenReplies>,
    place: (CallSid, Turn),
    comes: oneshot::Receiver<Envelope>,
}

/// A reply, and the message that brought it where it came straight from the orchestrator.
pub(super) struct Reply {
    pub(super) written: ReplyWritten,
    pub(super) message: Option<Envelope>,
}

impl WrittenReplies {
    /// Replies that come to the queue `own_queue`, or are kept in `cache`.
    pub fn new(cache: Cache, own_queue: String) -> Self {
        Self { cache, own_queue, waiting: Mutex::default() }
    }

    /// The queue replies are to be sent to.
    pub(super) fn queue(&self) -> &str {
        &self.own_queue
    }

    /// Hands a reply to the webhook that waits for it. Where none does any more, the next one finds it in Redis.
    pub fn deliver(&self, message: &Envelope) {
        let Payload::ReplyWritten(reply) = &message.payload else { return };
        let waiting = self.waiting().remove(&(reply.call.clone(), message.turn));
        for webhook in waiting.unwrap_or_default() {
            // It may have given up just now.
            let _ = webhook.send(message.clone());
        }
    }

    /// Takes a place among those that wait. Comes before the turn is published, for the answer may be quick.
    pub(super) fn expect(self: &Arc<Self>, call: &CallSid, turn: Turn) -> Wait {
        let (sender, comes) = oneshot::channel();
        let place = (call.clone(), turn);
        self.waiting().entry(place.clone()).or_default().push(sender);
        Wait { replies: self.clone(), place, comes }
    }

    /// The reply to `turn` as it was given, as far as Redis knows.
    pub(super) async fn kept(&self, call: &CallSid, turn: Turn) -> Option<ReplyWritten> {
        match self.cache.kept_reply(call, turn).await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::debug!(%call, %error, "a kept reply cannot be read");
                None
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
    /// The reply, where it comes within `patience`. `look_first` where it may lie in Redis already.
    pub(super) async fn reply(mut self, patience: Duration, look_first: bool) -> Option<Reply> {
        let until = Instant::now() + patience;
        if look_first && let Some(reply) = self.look().await {
            return Some(reply);
        }
        loop {
            let pause = sleep(LOOK_EVERY);
            let step = async {
                tokio::select! {
                    message = &mut self.comes => message.ok(),
                    () = pause => None,
                }
            };
            let message = timeout_at(until, step).await.ok()?;
            if let Some(message) = message
                && let Payload::ReplyWritten(written) = &message.payload
            {
                return Some(Reply { written: written.clone(), message: Some(message) });
            }
            if let Ok(Some(reply)) = timeout_at(until, self.look()).await {
                return Some(reply);
            }
        }
    }

    async fn look(&self) -> Option<Reply> {
        let (call, turn) = &self.place;
        let written = self.replies.kept(call, *turn).await?;
        Some(Reply { written, message: None })
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.comes.close();
        let mut waiting = self.replies.waiting();
        if let Some(webhooks) = waiting.get_mut(&self.place) {
            webhooks.retain(|webhook| !webhook.is_closed());
            if webhooks.is_empty() {
                waiting.remove(&self.place);
            }
        }
    }
}
