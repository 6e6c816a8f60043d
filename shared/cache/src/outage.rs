use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So many failures in a row are an outage; one alone may be a stall of our own.
const FAILURES: u32 = 3;

/// How long Redis is then left alone. Short, so that a turn in progress finds it again.
const REST: Duration = Duration::from_millis(500);

/// Notices an outage, so that during one a turn waits for Redis once, not at each of its steps.
#[derive(Default)]
pub(crate) struct Outage(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    rests_until: Option<Instant>,
}

impl Outage {
    /// Whether Redis is worth asking at `now`. After each rest it is.
    pub(crate) fn may_ask(&self, now: Instant) -> bool {
        self.state().rests_until.is_none_or(|until| now >= until)
    }

    /// Redis answered, be it with a refusal.
    pub(crate) fn answered(&self) {
        *self.state() = State::default();
    }

    /// Redis did not answer. Tells whether that is an outage by now.
    pub(crate) fn failed(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let is_outage = state.failures >= FAILURES;
        if is_outage {
            state.rests_until = Some(now + REST);
        }
        is_outage
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_does_not_wait_for_a_dead_redis_at_each_of_its_steps() {
        let (outage, now) = (Outage::default(), Instant::now());
        for _ in 0..FAILURES {
            assert!(outage.may_ask(now));
            outage.failed(now);
        }
        assert!(!outage.may_ask(now));
        let later = now + REST;
        assert!(outage.may_ask(later), "it is asked again after a rest");
        outage.failed(later);
        assert!(!outage.may_ask(later), "and rests again at once");
    }

    #[test]
    fn failures_that_answers_lie_between_are_no_outage() {
        let (outage, now) = (Outage::default(), Instant::now());
        for _ in 0..FAILURES * 3 {
            outage.failed(now);
            outage.answered();
            assert!(outage.may_ask(now));
        }
    }
}
