//! Whether a sound has a pitch, as a voice has and noise has not.
//!
//! The detector alone takes loud steady noise for voice (it scores white noise at −10 dB above 0.8). A voice repeats
//! itself 60 to 400 times a second; noise repeats nothing, whatever its colour once slow drift is taken out.

/// Pairs of samples are joined: half the rate holds every pitch, at a quarter of the work.
const STEP: usize = 2;

/// Compared with itself further back: 32 ms.
const WINDOW: usize = 128;

/// How far back, at 4 kHz: 400 Hz to 60 Hz.
const LAGS: std::ops::RangeInclusive<usize> = 10..=66;

/// Likeness, 1 being the same, from which a sound has a pitch. Chance brings white noise to 0.3.
const LIKENESS_MIN: f32 = 0.38;

const KEPT: usize = WINDOW + 72;

/// Listens for a pitch.
pub(crate) struct Pitch {
    /// The latest sound at 4 kHz, less its drift.
    sound: [f32; KEPT],
    last: f32,
}

impl Pitch {
    pub(crate) fn new() -> Self {
        Self { sound: [0.0; KEPT], last: 0.0 }
    }

    /// Takes in sound at 8 kHz, an even number of samples and no more than a hop.
    pub(crate) fn hear(&mut self, samples: &[f32]) {
        let new = samples.len() / STEP;
        self.sound.copy_within(new.., 0);
        for (sound, pair) in self.sound[KEPT - new..].iter_mut().zip(samples.chunks_exact(STEP)) {
            let joined = pair[0] + pair[1];
            *sound = joined - self.last;
            self.last = joined;
        }
    }

    /// Whether the last 32 ms have a pitch.
    pub(crate) fn is_there(&self) -> bool {
        let now = &self.sound[KEPT - WINDOW..];
        let energy = dot(now, now);
        LAGS.into_iter().any(|lag| {
            let before = &self.sound[KEPT - WINDOW - lag..KEPT - lag];
            let likeness = dot(now, before);
            likeness > 0.0
                && likeness * likeness > LIKENESS_MIN * LIKENESS_MIN * energy * dot(before, before)
        })
    }
}

/// Sums in eight lanes, which the compiler can keep in registers; a single sum it may not reorder.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_with_pitch(sound: &[f32]) -> f32 {
        let mut pitch = Pitch::new();
        let hops = sound.chunks_exact(128);
        let all = hops.len() as f32;
        let with = hops.filter(|hop| {
            pitch.hear(hop);
            pitch.is_there()
        });
        with.count() as f32 / all
    }

    #[test]
    fn a_voice_has_a_pitch_be_it_low_or_high() {
        for hz in [75.0, 125.0, 220.0, 380.0_f32] {
            let voice: Vec<f32> = (0..8_000)
                .map(|n| {
                    let turn = std::f32::consts::TAU * hz * n as f32 / 8_000.0;
                    (1..8).map(|k| 500.0 * (turn * k as f32).sin()).sum()
                })
                .collect();
            let share = share_with_pitch(&voice);
            assert!(share > 0.9, "{hz} Hz: {share}");
        }
    }

    #[test]
    fn noise_of_any_colour_has_none() {
        let mut state = 1_u64;
        let mut white = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        for colour in [0.0, 0.5, 0.9, 0.99_f32] {
            let mut last = 0.0;
            let noise: Vec<f32> = (0..80_000)
                .map(|_| {
                    last = colour * last + white() * 5_000.0;
                    last
                })
                .collect();
            let share = share_with_pitch(&noise);
            assert!(share < 0.02, "colour {colour}: {share}");
        }
    }

    #[test]
    fn silence_has_none() {
        assert_eq!(share_with_pitch(&[0.0; 8_000]), 0.0);
    }
}
