use std::time::Duration;

use async_trait::async_trait;
use domain::Envelope;

use crate::{
    held::Lease,
    send::{Bus, Destination, SendError},
    trace::TraceContext,
};

/// What a service does with one message. The loop around it owns everything else.
///
/// A handler must be idempotent: it may run again after it succeeded, died in the middle, or lost
/// its message to another task. The ids of what it emits derive from the message's
/// ([`domain::EventId::child`]).
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles `message`. A panic counts as [`Outcome::Retry`].
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome;
}

/// What became of a message.
#[derive(Debug)]
pub enum Outcome {
    /// Its effect stands: it is deleted.
    Done,
    /// It came too late to have an effect, for this reason, which is nobody's fault: it is deleted. Whoever replayed it is told
    /// (F5).
    PassedOver(&'static str),
    /// It may succeed later. Its group waits; after five starts it goes to the dead letters.
    Retry {
        /// How long it stays hidden.
        after: Duration,
        /// Why, for the log and for the dead letter's reason.
        cause: anyhow::Error,
    },
    /// It is not its turn: there is a place to wait for, or something outside takes nothing at the moment. Its group waits,
    /// and no start is counted, so the handler itself has to know when it has waited enough.
    NotYet {
        /// How long it stays hidden.
        after: Duration,
        /// What it waits for, for the log.
        cause: anyhow::Error,
    },
    /// It can never succeed: straight to the dead letters, and its group flows on.
    Reject(String),
}

impl Outcome {
    /// How long a failed message rests where the handler does not say.
    pub const RETRY_AFTER: Duration = Duration::from_secs(1);

    /// A retry after [`Self::RETRY_AFTER`].
    pub fn retry(cause: impl Into<anyhow::Error>) -> Self {
        Self::Retry { after: Self::RETRY_AFTER, cause: cause.into() }
    }
}

impl<E: Into<anyhow::Error>> From<Result<(), E>> for Outcome {
    fn from(result: Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(cause) => Self::retry(cause),
        }
    }
}

/// The message is no longer ours: its visibility could not be extended, so another task may have
/// it. Stop before the next effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message's visibility was lost")]
pub struct LeaseLost;

/// What a handler may do while it holds a message.
pub struct Context {
    pub(crate) bus: Bus,
    pub(crate) lease: Lease,
    pub(crate) starts: u32,
    pub(crate) trace: TraceContext,
}

impl Context {
    /// Publishes events to the topic, as [`Bus::publish`], in this message's trace.
    ///
    /// # Errors
    /// As [`Bus::publish`], and [`SendError::LeaseLost`].
    pub async fn publish(&self, events: &[Envelope]) -> Result<(), SendError> {
        self.check()?;
        self.bus.publish_within(&self.traced(events)).await
    }

    /// Sends jobs to a queue, as [`Bus::send`], in this message's trace.
    ///
    /// # Errors
    /// As [`Bus::send`], and [`SendError::LeaseLost`].
    pub async fn send(&self, to: &Destination, jobs: &[Envelope]) -> Result<(), SendError> {
        self.check()?;
        self.bus.send(to, &self.traced(jobs)).await
    }

    /// Whether the message is still ours. Ask before each effect the bus does not make.
    ///
    /// # Errors
    /// [`LeaseLost`] when it is not.
    pub fn check(&self) -> Result<(), LeaseLost> {
        if self.lease.is_lost() { Err(LeaseLost) } else { Ok(()) }
    }

    /// How often a handler has begun this message, this time included; 0 when the counter could
    /// not be reached.
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// The W3C trace context of this handling.
    pub fn traceparent(&self) -> String {
        self.trace.to_string()
    }

    fn traced(&self, envelopes: &[Envelope]) -> Vec<Envelope> {
        let traceparent = self.traceparent();
        envelopes
            .iter()
            .map(|e| Envelope { traceparent: Some(traceparent.clone()), ..e.clone() })
            .collect()
    }
}
