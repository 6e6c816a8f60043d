//! From 24 kHz, as OpenAI speaks, to the telephone's 8 kHz.

use std::{f32::consts::PI, sync::LazyLock};

const DECIMATION: usize = 3;
/// Odd, so that the filter delays by whole samples. 91 taps at 24 kHz fall from 3.4 kHz, the end of
/// the telephone band, to silence at 4 kHz, where the image would begin.
const TAPS: usize = 91;
const HALF: usize = TAPS / 2;
/// The middle of that slope.
const CUTOFF: f32 = 3700.0 / 24_000.0;

/// A windowed sinc (Blackman) of unit gain.
static FILTER: LazyLock<[f32; TAPS]> = LazyLock::new(|| {
    let mut taps: [f32; TAPS] = std::array::from_fn(|n| {
        let x = n as f32 - HALF as f32;
        let sinc = if x == 0.0 { 2.0 * CUTOFF } else { (2.0 * PI * CUTOFF * x).sin() / (PI * x) };
        let turn = 2.0 * PI * n as f32 / (TAPS - 1) as f32;
        sinc * (0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos())
    });
    let gain: f32 = taps.iter().sum();
    taps.iter_mut().for_each(|t| *t /= gain);
    taps
});

/// Takes 24 kHz 16-bit samples piece by piece and gives every third, low-pass filtered. What it
/// gives in all is as long as what it took, without the filter's delay. An odd byte at the very end is no sample.
pub struct ThirdRate {
    /// The filter's past, then what is not yet used.
    window: Vec<f32>,
    /// The low byte of a sample whose high byte is in the next piece.
    odd_byte: Option<u8>,
}

impl Default for ThirdRate {
    fn default() -> Self {
        Self { window: vec![0.0; HALF], odd_byte: None }
    }
}

impl ThirdRate {
    /// Takes a piece, cut anywhere, and gives what is sure so far.
    pub fn push_le_bytes(&mut self, piece: &[u8]) -> Vec<i16> {
        let mut bytes = self.odd_byte.take().into_iter().chain(piece.iter().copied());
        while let Some(low) = bytes.next() {
            match bytes.next() {
                Some(high) => self.window.push(f32::from(i16::from_le_bytes([low, high]))),
                None => self.odd_byte = Some(low),
            }
        }
        self.drain()
    }

    /// Gives the rest.
    pub fn finish(&mut self) -> Vec<i16> {
        self.window.extend([0.0; HALF]);
        self.drain()
    }

    fn drain(&mut self) -> Vec<i16> {
        let mut from = 0;
        let mut out = Vec::new();
        while let Some(past) = self.window.get(from..from + TAPS) {
            let sum: f32 = past.iter().zip(FILTER.iter()).map(|(s, t)| s * t).sum();
            // `as` holds the sum within what a sample can be.
            out.push(sum.round() as i16);
            from += DECIMATION;
        }
        self.window.drain(..from);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32) -> Vec<u8> {
        (0..24_000)
            .map(|n| (10_000.0 * (2.0 * PI * hz * n as f32 / 24_000.0).sin()) as i16)
            .flat_map(i16::to_le_bytes)
            .collect()
    }

    fn convert(pcm: &[u8], piece: usize) -> Vec<i16> {
        let mut rate = ThirdRate::default();
        let mut out: Vec<i16> = pcm.chunks(piece).flat_map(|p| rate.push_le_bytes(p)).collect();
        out.extend(rate.finish());
        out
    }

    fn peak(samples: &[i16]) -> u16 {
        // The ends hear the silence around the tone.
        samples[100..samples.len() - 100].iter().map(|s| s.unsigned_abs()).max().unwrap()
    }

    #[test]
    fn a_second_stays_a_second_however_it_is_cut() {
        let pcm = tone(440.0);
        let whole = convert(&pcm, pcm.len());
        assert_eq!(whole.len(), 8000);
        for piece in [1, 7, 1023] {
            assert_eq!(convert(&pcm, piece), whole);
        }
    }

    #[test]
    fn speech_passes_and_what_the_telephone_cannot_carry_does_not_come_back_as_noise() {
        let passed = peak(&convert(&tone(1000.0), 4096));
        assert!((9_900..=10_100).contains(&passed), "{passed}");
        let image = peak(&convert(&tone(5000.0), 4096));
        assert!(image < 30, "{image}");
    }
}
