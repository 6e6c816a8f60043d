//! Where a call is not recorded: before the caller was told that it is, and while an agent has paused it (card numbers).
//!
//! The call core hands out both sides of the whole call; what is off the record is overwritten with silence before it
//! leaves this process, so that the recording keeps its length and both sides their places.

use call_core::Moment;

use super::clock::samples;

/// Mu-law's digital silence (G.711).
const SILENCE: u8 = 0xff;

/// The stretches off the record, in samples since the stream started; in order, and apart.
#[derive(Default)]
pub(super) struct OffRecord {
    spans: Vec<Span>,
}

#[derive(Clone, Copy)]
struct Span {
    from: u64,
    /// Nothing while it goes on.
    to: Option<u64>,
}

impl OffRecord {
    /// Nothing is kept from `at` on.
    pub(super) fn pause(&mut self, at: Moment) {
        if !self.is_paused() {
            self.spans.push(Span { from: samples(at), to: None });
        }
    }

    /// From `at` on, which may be in the future, it is kept again.
    pub(super) fn resume(&mut self, at: Moment) {
        if let Some(span) = self.spans.last_mut() {
            // Sooner than was said before, never later.
            let to = samples(at).max(span.from);
            span.to = Some(span.to.map_or(to, |before| before.min(to)));
        }
    }

    /// Whether it goes on with no end in sight.
    pub(super) fn is_paused(&self) -> bool {
        self.spans.last().is_some_and(|span| span.to.is_none())
    }

    /// Silences what of a part of both sides that begins at `offset` is off the record; says which stretches of the part
    /// that were, in samples from its start.
    pub(super) fn mask(&self, offset: u64, sides: [&mut Vec<u8>; 2]) -> Vec<(u64, u64)> {
        let [caller, agent] = sides;
        let len = caller.len().max(agent.len()) as u64;
        let within = |at: u64| at.saturating_sub(offset).min(len);
        let stretches =
            self.spans.iter().map(|span| (within(span.from), span.to.map_or(len, within)));
        let stretches: Vec<_> = stretches.filter(|(from, to)| from < to).collect();
        for side in [caller, agent] {
            for &(from, to) in &stretches {
                let end = (to as usize).min(side.len());
                if let Some(stretch) = side.get_mut(from as usize..end) {
                    stretch.fill(SILENCE);
                }
            }
        }
        stretches
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: u64 = 8;

    fn ms(ms: u64) -> Moment {
        Duration::from_millis(ms)
    }

    /// Which milliseconds of a part of 100 ms from `offset_ms` on are silent, as far as they are the same on both sides.
    fn silent(off: &OffRecord, offset_ms: u64) -> (Vec<u64>, Vec<(u64, u64)>) {
        let (mut caller, mut agent) = (vec![1; 800], vec![2; 800]);
        let told = off.mask(offset_ms * MS, [&mut caller, &mut agent]);
        let is_silent = |side: &[u8], ms: u64| {
            side[(ms * MS) as usize..((ms + 1) * MS) as usize].iter().all(|code| *code == SILENCE)
        };
        let silent: Vec<u64> = (0..100).filter(|ms| is_silent(&caller, *ms)).collect();
        assert!(silent.iter().all(|ms| is_silent(&agent, *ms)), "both sides alike");
        assert_eq!((caller.len(), agent.len()), (800, 800), "nothing moves");
        (silent, told.iter().map(|(from, to)| (from / MS, to / MS)).collect())
    }

    #[test]
    fn what_is_said_in_a_pause_is_silence_to_the_sample_and_the_rest_is_kept() {
        let mut off = OffRecord::default();
        off.pause(ms(150));
        assert_eq!(silent(&off, 0), (Vec::new(), Vec::new()));
        assert_eq!(silent(&off, 100), ((50..100).collect(), vec![(50, 100)]));
        off.pause(ms(170));
        off.resume(ms(320));
        assert_eq!(silent(&off, 200), ((0..100).collect(), vec![(0, 100)]));
        off.pause(ms(360));
        off.resume(ms(380));
        let expected: Vec<u64> = (0..20).chain(60..80).collect();
        assert_eq!(silent(&off, 300), (expected, vec![(0, 20), (60, 80)]));
        assert_eq!(silent(&off, 400), (Vec::new(), Vec::new()));
    }

    #[test]
    fn an_announcement_that_is_cut_short_ends_the_pause_sooner() {
        let mut off = OffRecord::default();
        off.pause(Moment::ZERO);
        assert!(off.is_paused());
        off.resume(ms(90));
        assert!(!off.is_paused());
        off.resume(ms(30));
        off.resume(ms(200));
        assert_eq!(silent(&off, 0).1, [(0, 30)]);
    }
}
