//! The call core's time line against the clock on the wall.

use std::time::{Duration, Instant};

use call_core::Moment;
use domain::{Stage, StageName, Timestamp};

/// Fixes moment zero of a call.
#[derive(Clone, Copy)]
pub(super) struct CallClock {
    origin: Instant,
    origin_wall: Timestamp,
}

impl CallClock {
    pub(super) fn start() -> Self {
        Self { origin: Instant::now(), origin_wall: Timestamp::now() }
    }

    pub(super) fn now(&self) -> Moment {
        self.origin.elapsed()
    }

    pub(super) fn instant(&self, moment: Moment) -> Instant {
        self.origin + moment
    }

    pub(super) fn wall(&self, moment: Moment) -> Timestamp {
        self.origin_wall.plus(moment)
    }

    /// A stage of the core's, where it was reached.
    pub(super) fn stage(&self, name: &'static str, at: Option<Moment>) -> Option<Stage> {
        at.map(|at| Stage::new(StageName::Borrowed(name), self.wall(at)))
    }
}

/// What a sample of the telephone, 8 kHz, takes.
const SAMPLE_MICROS: u64 = 125;

/// How many samples so much time takes.
pub(super) fn samples(time: Duration) -> u64 {
    u64::try_from(time.as_micros() / u128::from(SAMPLE_MICROS)).unwrap_or(u64::MAX)
}

/// How long so many samples take.
pub(super) fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples.saturating_mul(SAMPLE_MICROS))
}
