//! The broker's clock, as a task can tell it from what it receives. No I/O.
//!
//! Tasks' wall clocks may differ by seconds, and times of one are compared with another's: when a job expires, how long a
//! caller has waited. The broker is the one that all of them hear, and it says when it handed a message out for the first
//! time. So each message tells what its clock shows, a little late. Between two of them the time goes by the clock that only
//! goes forward, which no step of the wall clock touches.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::Timestamp;

/// A sample is late by the way of the answer, and by as much as an answer is repeated late. The best of so many, over at
/// least so long, is within milliseconds.
const SAMPLES: u32 = 16;
const LASTING: Duration = Duration::from_secs(60);

/// What is known of the broker's clock.
pub(crate) struct BrokerClock {
    /// Where the times of this task are counted from.
    origin: Instant,
    windows: Mutex<(Window, Option<Window>)>,
}

/// The best of some samples.
#[derive(Clone, Copy)]
struct Window {
    since: Instant,
    samples: u32,
    /// What the broker's clock showed at the origin, µs since the epoch. Late samples make it too early, none too late.
    at_origin_us: i64,
}

impl BrokerClock {
    pub(crate) fn new(origin: Instant) -> Self {
        let none = Window { since: origin, samples: 0, at_origin_us: i64::MIN };
        Self { origin, windows: Mutex::new((none, None)) }
    }

    /// Takes in that the broker's clock showed `shown` not later than `at`; gives what it shows then, as far as is known.
    pub(crate) fn saw(&self, shown: Timestamp, at: Instant) -> Timestamp {
        let since_us = i64::try_from((at - self.origin).as_micros()).unwrap_or(i64::MAX);
        let at_origin_us = shown.as_micros().saturating_sub(since_us);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let (current, before) = &mut *windows;
        if current.samples >= SAMPLES && at.duration_since(current.since) >= LASTING {
            *before = Some(*current);
            *current = Window { since: at, samples: 0, at_origin_us };
        }
        current.samples += 1;
        current.at_origin_us = current.at_origin_us.max(at_origin_us);
        let best = before.map_or(i64::MIN, |w| w.at_origin_us).max(current.at_origin_us);
        Timestamp::from_micros(best.saturating_add(since_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH_MS: i64 = 1_800_000_000_000;

    fn ms(of: u64) -> Duration {
        Duration::from_millis(of)
    }

    fn shown(at_ms: i64) -> Timestamp {
        Timestamp::from_micros((EPOCH_MS + at_ms) * 1_000)
    }

    #[test]
    fn the_promptest_answer_tells_the_time_and_late_ones_change_nothing() {
        let origin = Instant::now();
        let clock = BrokerClock::new(origin);
        assert_eq!(clock.saw(shown(1_000), origin + ms(1_400)), shown(1_000), "all that is known");
        assert_eq!(clock.saw(shown(2_000), origin + ms(2_002)), shown(2_000));
        // An answer that was repeated a minute later, and the next one.
        assert_eq!(clock.saw(shown(2_500), origin + ms(60_000)), shown(59_998));
        assert_eq!(clock.saw(shown(61_000), origin + ms(61_003)), shown(61_001));
    }

    #[test]
    fn a_broker_whose_clock_was_set_back_is_followed_in_time() {
        let origin = Instant::now();
        let clock = BrokerClock::new(origin);
        let mut known = Timestamp::default();
        for second in 0..200 {
            let was_set_back = if second < 20 { 0 } else { 5_000 };
            let at_ms = second * 1_000;
            known = clock.saw(shown(at_ms as i64 - was_set_back), origin + ms(at_ms));
        }
        assert_eq!(known, shown(199_000 - 5_000));
    }

    #[test]
    fn a_quiet_hour_does_not_make_one_late_answer_the_only_one() {
        let origin = Instant::now();
        let clock = BrokerClock::new(origin);
        for second in 0..100 {
            clock.saw(shown(second * 1_000), origin + ms(second as u64 * 1_000));
        }
        let late = clock.saw(shown(3_600_000), origin + ms(3_607_000));
        assert_eq!(late, shown(3_607_000));
    }
}
