//! How long the oldest message of a queue has waited. SQS tells that to CloudWatch alone, a minute late; a consumer can
//! tell what it sees itself. No I/O.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::Timestamp;

/// A message that was given back is counted for so long, unless somebody begins it again.
const GIVEN_BACK: Duration = Duration::from_secs(30);

/// What one consumer knows of the age of its queue.
pub(crate) struct Ages(Mutex<State>);

struct State {
    /// What is being handled or will be tried again, by the broker's id: when it was sent, and until when it counts.
    open: HashMap<String, (Timestamp, Option<Timestamp>)>,
    /// The newest message seen: the broker hands out the oldest of each group first.
    newest: Option<Timestamp>,
    /// When nothing was in the queue.
    empty_at: Timestamp,
}

impl Ages {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self(Mutex::new(State { open: HashMap::new(), newest: None, empty_at: now }))
    }

    /// A message is being handled.
    pub(crate) fn begun(&self, message: &str, sent_at: Timestamp) {
        let mut state = self.state();
        state.open.insert(message.to_owned(), (sent_at, None));
        state.newest = state.newest.max(Some(sent_at));
    }

    /// It is gone from the queue.
    pub(crate) fn done(&self, message: &str) {
        self.state().open.remove(message);
    }

    /// It went back and will be tried again.
    pub(crate) fn given_back(&self, message: &str, after: Duration, now: Timestamp) {
        if let Some((_, until)) = self.state().open.get_mut(message) {
            *until = Some(now.plus(after + GIVEN_BACK));
        }
    }

    /// The age of the oldest, at most, where the broker counts `visible` messages and `hidden` ones.
    pub(crate) fn oldest(&self, visible: u64, hidden: u64, now: Timestamp) -> Duration {
        let mut state = self.state();
        state.open.retain(|_, (_, until)| until.is_none_or(|until| now < until));
        if visible == 0 && hidden == 0 {
            state.empty_at = now;
            state.open.clear();
            return Duration::ZERO;
        }
        // Before the first is seen of a queue that was full at the start, its age is that of this consumer.
        let waits_since = match state.newest {
            Some(newest) => newest.max(state.empty_at),
            None => state.empty_at,
        };
        let open = state.open.values().map(|(sent_at, _)| *sent_at);
        let oldest = open.chain((visible > 0).then_some(waits_since)).min();
        oldest.map_or(Duration::ZERO, |oldest| now.since(oldest))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn oldest(ages: &Ages, visible: u64, hidden: u64, now: i64) -> u64 {
        ages.oldest(visible, hidden, at(now)).as_secs()
    }

    #[test]
    fn an_empty_queue_has_no_age_and_a_full_one_ages_from_the_moment_it_was_empty() {
        let ages = Ages::new(at(0));
        assert_eq!(oldest(&ages, 0, 0, 100), 0);
        assert_eq!(oldest(&ages, 5, 0, 160), 60);
    }

    #[test]
    fn what_is_handled_for_long_or_tried_again_and_again_ages() {
        let ages = Ages::new(at(0));
        ages.begun("stuck", at(10));
        ages.begun("other", at(90));
        ages.done("other");
        assert_eq!(oldest(&ages, 0, 1, 100), 90);
        ages.given_back("stuck", Duration::from_secs(1), at(100));
        assert_eq!(oldest(&ages, 0, 1, 110), 100);
        // Another task has it, or it is done.
        assert_eq!(oldest(&ages, 0, 0, 140), 0);
    }

    #[test]
    fn a_queue_that_keeps_moving_is_as_old_as_what_was_handed_out_last() {
        let ages = Ages::new(at(0));
        for second in 0..100 {
            ages.begun("m", at(second));
            ages.done("m");
        }
        assert_eq!(oldest(&ages, 3, 1, 101), 2);
    }
}
