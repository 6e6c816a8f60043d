//! The call core's time line against the clock on the wall.

use std::time::Instant;

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
