//! Sounds that a caller makes.

use std::f32::consts::TAU;

use call_core::g711;

/// Formants of some vowels, in Hz.
const VOWELS: [(f32, f32); 4] =
    [(600.0, 1_300.0), (350.0, 1_900.0), (450.0, 900.0), (700.0, 1_600.0)];

/// Voice: harmonics of 125 Hz under two formants, a new vowel every 80 ms.
pub fn speech(ms: u64) -> Vec<u8> {
    let gain = |hz: f32, centre: f32, width: f32| (-((hz - centre) / width).powi(2)).exp();
    (0..ms as usize * 8)
        .map(|n| {
            let (first, second) = VOWELS[n / 640 % VOWELS.len()];
            let sum: f32 = (1..28)
                .map(|k| {
                    let hz = 125.0 * k as f32;
                    let gain = gain(hz, first, 150.0) + 0.5 * gain(hz, second, 200.0) + 0.02;
                    gain * (TAU * hz * n as f32 / 8_000.0).sin()
                })
                .sum();
            g711::encode((sum * 5_000.0) as i16)
        })
        .collect()
}

/// White noise up to `level`, the same for the same seed.
pub fn noise(ms: u64, level: i16, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..ms * 8)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let unit = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
            g711::encode((unit * f32::from(level)) as i16)
        })
        .collect()
}

/// Two frequencies at once, as keys, rings and machines sound.
pub fn tone(ms: u64, low: f32, high: f32) -> Vec<u8> {
    let at = |n: usize, hz: f32| (TAU * hz * n as f32 / 8_000.0).sin();
    let sample = |n| (at(n, low) + at(n, high)) * 4_000.0;
    (0..ms as usize * 8).map(|n| g711::encode(sample(n) as i16)).collect()
}

/// A cough: a burst of noise that dies away, without a pitch.
pub fn cough(seed: u64) -> Vec<u8> {
    let loud = noise(60, 20_000, seed);
    let weak = noise(180, 6_000, seed + 1);
    [loud, weak].concat()
}

/// Words by `espeak-ng`, without the quiet around them. `scripts/install` brings it.
pub async fn espeak(words: &str) -> Vec<u8> {
    // It would spell it.
    let words = words.replace("mhmm", "umhum");
    let said = simulator::espeak::Espeak::default().say(&words).await;
    let said = said.unwrap_or_else(|error| panic!("{error:#}"));
    let loud = |sample: &i16| sample.unsigned_abs() > 200;
    let from = said.iter().position(loud).unwrap_or_default();
    let to = said.iter().rposition(loud).map_or(0, |last| last + 1);
    said[from..to].iter().map(|sample| g711::encode(*sample)).collect()
}

/// The same by another of its voices, such as `en+f3`, at 8 kHz before the line codes it.
pub fn espeak_as(voice: &str, words: &str) -> Vec<f32> {
    const HZ: f32 = 22_050.0;
    let words = words.replace("mhmm", "umhum");
    let mut espeak = std::process::Command::new("espeak-ng");
    let said = espeak.args(["-v", voice, "--stdout", &words]).output().expect("espeak-ng runs");
    // After the header of a WAV file.
    let said: Vec<f32> = said.stdout[44..]
        .chunks_exact(2)
        .map(|sample| f32::from(i16::from_le_bytes([sample[0], sample[1]])))
        .collect();
    let around =
        |at: usize| said[at.saturating_sub(1)..(at + 2).min(said.len())].iter().sum::<f32>();
    let samples = (said.len() as f32 * 8_000.0 / HZ) as usize;
    let said: Vec<f32> =
        (0..samples).map(|n| around((n as f32 * HZ / 8_000.0) as usize) / 3.0).collect();
    let loud = |sample: &f32| sample.abs() > 200.0;
    let from = said.iter().position(loud).unwrap_or_default();
    let to = said.iter().rposition(loud).map_or(0, |last| last + 1);
    said[from..to].to_vec()
}
