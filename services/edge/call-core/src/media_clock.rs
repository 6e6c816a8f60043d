//! Where the caller's frames lie on a time line counted in samples.

use std::time::Duration;

use crate::{Moment, g711::SAMPLE_RATE_HZ};

const SAMPLE_US: u64 = 1_000_000 / SAMPLE_RATE_HZ as u64;

/// Stamps are whole milliseconds, and some senders take them from a wall clock: less than a frame means nothing.
const TOLERANCE_SAMPLES: u64 = 160;

/// How far the caller's line may run ahead of the time that has passed. A stamp beyond it is wrong.
const AHEAD_SAMPLES: u64 = 5 * SAMPLE_RATE_HZ as u64;

/// Longest gap that is believed.
const GAP_SAMPLES_MAX: u64 = 60 * SAMPLE_RATE_HZ as u64;

/// A sender whose stamps make no sense this often in a row is not believed again.
const DISTRUST_AFTER_FRAMES: u32 = 5;

/// How long `samples` of audio take.
pub(crate) fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples.saturating_mul(SAMPLE_US))
}

/// How many whole samples fit into `time`.
pub(crate) fn samples(time: Duration) -> u64 {
    u64::try_from(time.as_micros() / u128::from(SAMPLE_US)).unwrap_or(u64::MAX)
}

/// Places frames one behind the other, leaves a gap where the stamps say that frames were lost, and refuses those that
/// came twice or too late.
#[derive(Debug, Default)]
pub(crate) struct MediaClock {
    /// Samples placed so far.
    position: u64,
    /// The stamp of the first frame, which is position 0.
    origin: Option<Moment>,
    senseless_in_a_row: u32,
    distrusted: bool,
}

/// What to do with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It lies at `at`; `lost` samples before it never came.
    At { at: u64, lost: u64 },
    /// It was there before.
    Late,
}

impl MediaClock {
    /// Places a frame of `len` samples that has come `elapsed` samples of time after the first.
    pub(crate) fn place(&mut self, stamp: Option<Moment>, len: u64, elapsed: u64) -> Placed {
        let lost = match stamp.filter(|_| !self.distrusted) {
            None => 0,
            Some(stamp) => {
                let origin = *self.origin.get_or_insert(stamp);
                let due = samples(stamp.saturating_sub(origin));
                let gap = due.saturating_sub(self.position);
                let overlap = self.position.saturating_sub(due);
                if due > elapsed.saturating_add(AHEAD_SAMPLES) || gap > GAP_SAMPLES_MAX {
                    self.doubt();
                    0
                } else if overlap + TOLERANCE_SAMPLES / 20 >= len.max(TOLERANCE_SAMPLES) {
                    self.doubt();
                    if !self.distrusted {
                        return Placed::Late;
                    }
                    0
                } else {
                    self.senseless_in_a_row = 0;
                    if gap < TOLERANCE_SAMPLES { 0 } else { gap }
                }
            }
        };
        let at = self.position + lost;
        self.position = at + len;
        Placed::At { at, lost }
    }

    fn doubt(&mut self) {
        self.senseless_in_a_row += 1;
        self.distrusted = self.senseless_in_a_row >= DISTRUST_AFTER_FRAMES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 160;

    fn at_ms(ms: u64) -> Option<Moment> {
        Some(Duration::from_millis(ms))
    }

    #[test]
    fn a_lost_frame_leaves_a_gap_of_its_length() {
        let mut clock = MediaClock::default();
        assert_eq!(clock.place(at_ms(40), FRAME, 0), Placed::At { at: 0, lost: 0 });
        assert_eq!(clock.place(at_ms(80), FRAME, 320), Placed::At { at: 320, lost: 160 });
    }

    #[test]
    fn a_frame_that_comes_twice_counts_once() {
        let mut clock = MediaClock::default();
        clock.place(at_ms(0), FRAME, 0);
        clock.place(at_ms(20), FRAME, 160);
        assert_eq!(clock.place(at_ms(20), FRAME, 160), Placed::Late);
        assert_eq!(clock.place(at_ms(0), FRAME, 160), Placed::Late);
        assert_eq!(clock.place(at_ms(40), FRAME, 320), Placed::At { at: 320, lost: 0 });
    }

    #[test]
    fn stamps_that_waver_by_less_than_a_frame_change_nothing() {
        let mut clock = MediaClock::default();
        for (n, ms) in [0, 27, 33, 66, 80, 91].into_iter().enumerate() {
            let at = n as u64 * FRAME;
            assert_eq!(clock.place(at_ms(ms), FRAME, at), Placed::At { at, lost: 0 });
        }
    }

    #[test]
    fn a_sender_without_a_working_clock_is_still_heard() {
        for stamp in [0, u64::MAX] {
            let mut clock = MediaClock::default();
            clock.place(at_ms(0), FRAME, 0);
            let heard = (1..=100)
                .filter(|n| {
                    matches!(
                        clock.place(at_ms(stamp), FRAME, n * FRAME),
                        Placed::At { lost: 0, .. }
                    )
                })
                .count();
            assert!(heard >= 95, "{heard} of 100 frames stamped {stamp}");
        }
    }
}
