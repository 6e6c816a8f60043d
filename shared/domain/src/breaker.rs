//! Keeps a vendor that fails from costing every turn its patience (C7, C8).

use std::time::{Duration, Instant};

/// So many requests in a row have failed when a vendor is given a rest.
const FAILURES: u32 = 3;

/// The first rest. Each that follows without a success between is twice as long.
const REST_FIRST: Duration = Duration::from_secs(5);

/// The longest rest: a vendor that is back is noticed within a minute.
const REST_LONGEST: Duration = Duration::from_secs(60);

/// Whether a vendor is to be asked: closed, it is; open, it rests; half open, one request tries it.
/// Time is an argument.
#[derive(Debug, Default)]
pub struct Breaker {
    state: State,
    /// Rests without a success between.
    rests: u32,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// A request that may be made. What became of it is told the breaker with it.
#[derive(Debug, PartialEq, Eq)]
pub enum Permit {
    /// One of many.
    Usual,
    /// The one that tries whether the vendor is back.
    Trial,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The vendor answered, be it that it refused this one request.
    Works,
    /// It failed.
    Fails,
    /// It fails for certain until somebody does something: credentials, quota.
    FailsForGood,
    /// Nobody knows: the request was given up.
    Unknown,
}

impl Breaker {
    /// Whether the vendor may be asked now. At most one [`Permit::Trial`] is out at a time.
    pub fn ask(&mut self, now: Instant) -> Option<Permit> {
        match self.state {
            State::Closed { .. } => Some(Permit::Usual),
            State::Open { until } if now >= until => {
                self.state = State::HalfOpen;
                Some(Permit::Trial)
            }
            State::Open { .. } | State::HalfOpen => None,
        }
    }

    /// Takes in what became of a request. Of those begun before the vendor went to rest nothing more
    /// is learned.
    pub fn settle(&mut self, permit: Permit, verdict: Verdict, now: Instant) {
        match (permit, verdict) {
            (Permit::Trial, Verdict::Works) => *self = Self::default(),
            (Permit::Trial, Verdict::Unknown) => self.state = State::Open { until: now },
            (Permit::Trial, _) => self.rest(now),
            (Permit::Usual, verdict) => {
                let State::Closed { failures } = &mut self.state else { return };
                match verdict {
                    Verdict::Works => *failures = 0,
                    Verdict::Unknown => {}
                    Verdict::Fails if *failures + 1 < FAILURES => *failures += 1,
                    Verdict::Fails | Verdict::FailsForGood => self.rest(now),
                }
            }
        }
    }

    /// Whether it is closed: the vendor works, as far as anybody knows.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    fn rest(&mut self, now: Instant) {
        let rest = REST_FIRST.saturating_mul(1 << self.rests.min(8)).min(REST_LONGEST);
        self.rests = self.rests.saturating_add(1);
        self.state = State::Open { until: now + rest };
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// What happens to a breaker: a request is made, one that is out ends, time passes.
    #[derive(Clone, Debug)]
    enum Step {
        Ask,
        Settle(usize, Verdict),
        Pass(Duration),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let verdict = prop_oneof![
            3 => Just(Verdict::Fails),
            2 => Just(Verdict::Works),
            1 => Just(Verdict::FailsForGood),
            1 => Just(Verdict::Unknown),
        ];
        let step = prop_oneof![
            4 => Just(Step::Ask),
            4 => (any::<usize>(), verdict).prop_map(|(n, verdict)| Step::Settle(n, verdict)),
            2 => (0..90_000_u64).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        ];
        vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happens_one_trial_at_a_time_and_no_vendor_is_left_out_for_good(steps in steps()) {
            let mut breaker = Breaker::default();
            let mut now = Instant::now();
            let mut out: Vec<Permit> = Vec::new();
            for step in steps {
                match step {
                    Step::Ask => {
                        let trials = out.iter().filter(|p| **p == Permit::Trial).count();
                        if let Some(permit) = breaker.ask(now) {
                            prop_assert!(permit == Permit::Usual || trials == 0);
                            out.push(permit);
                        }
                    }
                    Step::Settle(n, verdict) if !out.is_empty() => {
                        let permit = out.swap_remove(n % out.len());
                        let (was_closed, is_trial) = (breaker.is_closed(), permit == Permit::Trial);
                        breaker.settle(permit, verdict, now);
                        if is_trial {
                            prop_assert_eq!(breaker.is_closed(), verdict == Verdict::Works);
                        } else if !was_closed {
                            prop_assert!(!breaker.is_closed(), "late words change nothing");
                        }
                    }
                    Step::Settle(..) => {}
                    Step::Pass(time) => now += time,
                }
            }
            // Whatever is still out ends without a word; then nobody waits longer than the longest rest.
            for permit in out {
                breaker.settle(permit, Verdict::Unknown, now);
            }
            prop_assert!(breaker.ask(now + REST_LONGEST).is_some());
        }

        #[test]
        fn a_resting_vendor_is_not_asked_and_rests_grow_to_a_bound(trials in 1..20_u32) {
            let mut breaker = Breaker::default();
            let mut now = Instant::now();
            breaker.settle(Permit::Usual, Verdict::FailsForGood, now);
            let mut last = Duration::ZERO;
            for _ in 0..trials {
                let State::Open { until } = breaker.state else { panic!("it rests") };
                let rest = until - now;
                prop_assert!(rest >= last && rest <= REST_LONGEST);
                prop_assert_eq!(breaker.ask(until - Duration::from_millis(1)), None);
                last = rest;
                now = until;
                prop_assert_eq!(breaker.ask(now), Some(Permit::Trial));
                prop_assert_eq!(breaker.ask(now), None, "one at a time");
                breaker.settle(Permit::Trial, Verdict::Fails, now);
            }
        }
    }

    #[test]
    fn only_failures_in_a_row_count() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for verdict in [Verdict::Fails, Verdict::Fails, Verdict::Works, Verdict::Fails] {
            breaker.settle(Permit::Usual, verdict, now);
        }
        breaker.settle(Permit::Usual, Verdict::Unknown, now);
        breaker.settle(Permit::Usual, Verdict::Fails, now);
        assert!(breaker.is_closed());
        breaker.settle(Permit::Usual, Verdict::Fails, now);
        assert!(!breaker.is_closed());
    }
}
