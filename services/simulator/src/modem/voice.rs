//! The vowels: one pitch period of each, and the signal of a row of them.

use std::{f32::consts::TAU, sync::LazyLock};

use crate::signal::energy;

/// One period of the 125 Hz pitch at 8 kHz.
pub(super) const PERIOD_SAMPLES: usize = 64;
/// A symbol: three periods, 24 ms.
pub(super) const SYMBOL_SAMPLES: usize = 3 * PERIOD_SAMPLES;
/// At a border each symbol reaches this far into its neighbour, so that there is no click.
pub(super) const FADE_SAMPLES: usize = 16;
/// The vowels no data symbol uses, in the order that begins a word.
pub(super) const SYNC: [u8; 2] = [8, 9];
/// Loudness: 15 dB below full scale, where `earshot` is surest of it.
const RMS: f32 = 6000.0;

const VOWELS: usize = 10;
/// First and second formant of each vowel, Hz. They lie between two harmonics, so that even and odd ones carry about
/// the same energy and half a period's shift changes the wave much.
const FORMANTS_HZ: [(f32, f32); VOWELS] = [
    (312.5, 2312.5),
    (437.5, 1937.5),
    (687.5, 1687.5),
    (812.5, 1312.5),
    (562.5, 1062.5),
    (437.5, 812.5),
    (312.5, 1187.5),
    (562.5, 1437.5),
    (687.5, 2062.5),
    (437.5, 1562.5),
];
/// The harmonics inside 300-3400 Hz.
const HARMONICS: std::ops::RangeInclusive<usize> = 3..=26;

pub(super) type Period = [f32; PERIOD_SAMPLES];

/// One period of each vowel, at a loudness of [`RMS`].
pub(super) static PERIODS: LazyLock<[Period; VOWELS]> =
    LazyLock::new(|| std::array::from_fn(period));

fn period(vowel: usize) -> Period {
    let (first, second) = FORMANTS_HZ[vowel];
    let resonance =
        |hz: f32, formant: f32, width: f32| 1.0 / (1.0 + ((hz - formant) / width).powi(2));
    // The ear hears no phase, but the receiver does: phases that look random keep two vowels apart even where their
    // spectra overlap, and keep the peak of the wave low.
    let mut seed = 0x9e37_79b9_u32.wrapping_mul(vowel as u32 + 1);
    let mut wave = [0.0; PERIOD_SAMPLES];
    for harmonic in HARMONICS {
        let hz = 125.0 * harmonic as f32;
        let amplitude = resonance(hz, first, 60.0) + 0.5 * resonance(hz, second, 90.0) + 0.01;
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let phase = TAU * (seed >> 8) as f32 / (1 << 24) as f32;
        for (n, sample) in wave.iter_mut().enumerate() {
            *sample +=
                amplitude * (TAU * (harmonic * n) as f32 / PERIOD_SAMPLES as f32 + phase).sin();
        }
    }
    let gain = RMS / (energy(&wave) / PERIOD_SAMPLES as f32).sqrt();
    wave.map(|sample| sample * gain)
}

/// Appends the signal of a word to `out`, fading in and out at its ends.
pub(super) fn render(symbols: &[u8], out: &mut Vec<f32>) {
    let periods = &*PERIODS;
    out.reserve(symbols.len() * SYMBOL_SAMPLES);
    for (place, symbol) in symbols.iter().enumerate() {
        let this = &periods[usize::from(*symbol)];
        let before = place.checked_sub(1).map(|place| &periods[usize::from(symbols[place])]);
        let after = symbols.get(place + 1).map(|symbol| &periods[usize::from(*symbol)]);
        for n in 0..SYMBOL_SAMPLES {
            let phase = n % PERIOD_SAMPLES;
            let from_border = n.min(SYMBOL_SAMPLES - 1 - n);
            let neighbour = if n < SYMBOL_SAMPLES / 2 { before } else { after };
            out.push(if from_border >= FADE_SAMPLES {
                this[phase]
            } else {
                let inside = (from_border as f32 + 0.5) / FADE_SAMPLES as f32;
                match neighbour {
                    Some(other) => {
                        let share = 0.5 + 0.5 * inside;
                        share * this[phase] + (1.0 - share) * other[phase]
                    }
                    None => inside * this[phase],
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::dot;

    #[test]
    fn no_vowel_can_be_taken_for_another() {
        for (a, left) in PERIODS.iter().enumerate() {
            for (b, right) in PERIODS.iter().enumerate().filter(|(b, _)| *b != a) {
                let likeness = dot(left, right) / energy(left);
                assert!(likeness < 0.5, "vowels {a} and {b}: {likeness}");
            }
        }
    }

    #[test]
    fn half_a_period_changes_every_vowel() {
        for (vowel, wave) in PERIODS.iter().enumerate() {
            let mut shifted = *wave;
            shifted.rotate_left(PERIOD_SAMPLES / 2);
            let likeness = dot(wave, &shifted) / energy(wave);
            assert!(likeness < 0.4, "vowel {vowel}: {likeness}");
        }
    }

    #[test]
    fn no_vowel_clips() {
        let peak = PERIODS.iter().flatten().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        assert!(peak < 20_000.0, "{peak}");
    }
}
