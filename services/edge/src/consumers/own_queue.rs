//! This task's own queue: answers of the mesh for the calls whose sockets it holds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::anyhow;
use async_trait::async_trait;
use bus::{Bus, Context, Destination, Handler, Outcome};
use domain::{
    BoxFuture, CallSid, Channel, ConversationId, Dependency, Envelope, EventId, Payload, Ping,
    TenantId, Timestamp,
};
use rand::random;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    call::{CallServices, NotDelivered},
    channel::twilio_voice::WrittenReplies,
};

/// A session that does not keep up gets a moment; its answers keep their order meanwhile.
const MAILBOX_FULL_WAIT: Duration = Duration::from_millis(100);
const PING_EVERY: Duration = Duration::from_secs(5);

/// Routes answers to sessions.
pub struct AnswerRouter {
    calls: Arc<CallServices>,
    replies: Arc<WrittenReplies>,
    ready: Arc<QueueReady>,
}

impl AnswerRouter {
    /// A router to `calls`, and to the webhooks that wait for `replies`, that tells `ready` when the ping came through.
    pub fn new(
        calls: Arc<CallServices>,
        replies: Arc<WrittenReplies>,
        ready: Arc<QueueReady>,
    ) -> Self {
        Self { calls, replies, ready }
    }
}

#[async_trait]
impl Handler for AnswerRouter {
    async fn handle(&self, _context: &Context, message: &Envelope) -> Outcome {
        match &message.payload {
            Payload::Ping(ping) => {
                self.ready.came_back(ping);
                Outcome::Done
            }
            Payload::SentenceSpoken(spoken) if self.calls.prompts.take_in(spoken) => Outcome::Done,
            Payload::SentenceSpoken(spoken) => self.deliver(&spoken.call, message),
            Payload::SegmentTranscribed(words) => self.deliver(&words.call, message),
            Payload::ReplyFinished(reply) => self.deliver(&reply.call, message),
            Payload::ControlCall(control) => self.deliver(&control.call, message),
            Payload::ReplyWritten(_) => {
                self.replies.deliver(message);
                Outcome::Done
            }
            other => {
                // This queue has no dead letters: what cannot be used is dropped.
                tracing::warn!(event = other.name(), "not for an edge task; dropped");
                Outcome::Done
            }
        }
    }
}

impl AnswerRouter {
    fn deliver(&self, call: &CallSid, message: &Envelope) -> Outcome {
        match self.calls.live.deliver(call, message.clone()) {
            Ok(()) => Outcome::Done,
            Err(NotDelivered::NotHere) => {
                // The call is over, or went to another task, whose answers are looked up anew.
                metrics::counter!("edge_answers_dropped_total", "event" => message.payload.name())
                    .increment(1);
                Outcome::Done
            }
            Err(NotDelivered::Full) => Outcome::Retry {
                after: MAILBOX_FULL_WAIT,
                cause: anyhow!("the call does not keep up"),
            },
        }
    }
}

/// Whether this task's own queue works: a ping went through it (DESIGN 2). Until then the task is not ready.
pub struct QueueReady {
    nonce: u64,
    ready: AtomicBool,
}

impl Default for QueueReady {
    fn default() -> Self {
        Self { nonce: random(), ready: AtomicBool::new(false) }
    }
}

impl QueueReady {
    fn came_back(&self, ping: &Ping) {
        if ping.nonce == self.nonce && !self.ready.swap(true, Ordering::Relaxed) {
            tracing::info!("own queue works");
        }
    }

    /// Sends pings through the queue `name` until one has come back.
    pub async fn ping(self: Arc<Self>, bus: Bus, name: String, stop: CancellationToken) {
        let nobody = Uuid::nil();
        while !self.ready.load(Ordering::Relaxed) && !stop.is_cancelled() {
            let ping = Envelope::new(
                EventId::random(),
                TenantId::from_uuid(nobody),
                ConversationId::from_uuid(nobody),
                Channel::VOICE,
                Timestamp::now(),
                Ping { nonce: self.nonce },
            );
            if let Err(error) = bus.send(&Destination::Task(name.clone()), &[ping]).await {
                tracing::warn!(%error, "own queue not reached, trying again");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(PING_EVERY) => {}
            }
        }
    }
}

impl Dependency for QueueReady {
    fn name(&self) -> &'static str {
        "own_queue"
    }

    fn is_up(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { self.ready.load(Ordering::Relaxed) })
    }
}
