use std::{future::Future, pin::Pin};

use crate::EventId;

/// A future a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How often a handler has begun a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Starts(pub u32);

/// What became of the replay of a dead letter (F5).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ReplayEnd {
    /// It was handled: its effect stands.
    Handled,
    /// It had no effect, for this reason.
    Failed(String),
}

/// Counts how often a handler has begun a message, over all tasks.
///
/// The broker's own count cannot serve: AWS counts a receive for every message of a group it hands
/// out, so the innocent ones behind a bad one would be buried with it (DESIGN 2, "Failures"). The
/// consumer loop (`bus`) asks; the store of counters (`cache`) answers.
pub trait StartCounter: Send + Sync {
    /// Counts one more start of `event` on `queue` and returns the new count. `None` when the
    /// counter cannot be reached: the message is then handled uncounted.
    fn started<'a>(&'a self, queue: &'a str, event: EventId) -> BoxFuture<'a, Option<Starts>>;

    /// Takes one start back: the message was given back without fault of its own.
    fn given_back<'a>(&'a self, queue: &'a str, event: EventId) -> BoxFuture<'a, ()>;

    /// Notes how a replay ended, for whoever replayed it (F5). `replay` is what its starts are counted under
    /// ([`EventId::of_replay`]).
    fn replay_ended<'a>(
        &'a self,
        queue: &'a str,
        replay: EventId,
        end: &'a ReplayEnd,
    ) -> BoxFuture<'a, ()>;

    /// How these replays ended, each in its place; `None` in the place of one that has not, as far as is known. `None` for all
    /// when the counter cannot be reached.
    fn replays_ended<'a>(
        &'a self,
        queue: &'a str,
        replays: &'a [EventId],
    ) -> BoxFuture<'a, Option<Vec<Option<ReplayEnd>>>>;
}

/// Something outside this process that work needs: the database, Redis, the queues. Health pages
/// show it, and a consumer pauses while it is down instead of failing message after message
/// (DESIGN 2, "Failures").
pub trait Dependency: Send + Sync {
    /// Its name on the health page and in logs, such as `postgres`.
    fn name(&self) -> &'static str;

    /// Asks it for a sign of life. Answers within a second or two, whatever happens.
    fn is_up(&self) -> BoxFuture<'_, bool>;
}
