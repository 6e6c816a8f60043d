//! Whether the caller's audio is voice.

use std::collections::VecDeque;

use earshot::Detector;

use crate::{g711, pitch::Pitch};

/// Samples at 8 kHz that one verdict covers: the detector takes 256 at 16 kHz, 16 ms.
pub(crate) const HOP_SAMPLES: usize = 128;

/// Samples the interpolation reaches back over.
const REACH: usize = 7;

/// One half of the symmetric half-band filter that finds the sample between two: a sinc under a raised cosine, summing
/// to one half. Plain repetition or a straight line would leave an image of the voice above 4 kHz, which the detector
/// was never taught.
const HALF_BAND: [f32; 4] = [0.610_53, -0.146_26, 0.039_18, -0.003_45];

/// A voice may lose its pitch between two sounds: fewer hops than this without one, 48 ms, are still voice. One hop in
/// which noise has a pitch by chance is thereby no speech yet.
const HOPS_WITHOUT_PITCH: u32 = 3;

/// A hop in which no sample is as loud as this (of 32,768; 54 dB below full scale) is taken for no voice: it would be
/// spoken in the lowest eight steps of mu-law.
const FAINT: f32 = 64.0;

/// A hop that has no pitch is no voice whatever the detector makes of it, so that it is not asked: it is most of what a call
/// costs here. When a pitch comes it hears so many of the last hops first, 128 ms: its features reach back over 80 ms,
/// and its memory settles meanwhile.
const HOPS_CAUGHT_UP: usize = 8;

/// Voice activity with hysteresis: what the detector takes for voice, and has a pitch.
pub(crate) struct Vad {
    detector: Box<Detector>,
    pitch: Pitch,
    hops_without_pitch: u32,
    /// The last hops that the detector was not asked of, at its rate.
    unheard: VecDeque<[i16; 2 * HOP_SAMPLES]>,
    /// The last `REACH` samples of the hop before, then those of this hop.
    samples: [f32; REACH + HOP_SAMPLES],
    filled: usize,
    enter_score: f32,
    exit_score: f32,
    voiced: bool,
}

impl Vad {
    pub(crate) fn new(enter_score: f32, exit_score: f32) -> Self {
        Self {
            detector: Box::default(),
            pitch: Pitch::new(),
            hops_without_pitch: HOPS_WITHOUT_PITCH,
            unheard: VecDeque::with_capacity(HOPS_CAUGHT_UP),
            samples: [0.0; REACH + HOP_SAMPLES],
            filled: 0,
            enter_score,
            exit_score,
            voiced: false,
        }
    }

    /// Takes mu-law audio up to the end of the hop. Gives how many samples were taken, and whether the hop is voice
    /// if they completed it.
    pub(crate) fn take(&mut self, audio: &[u8]) -> (usize, Option<bool>) {
        let taken = audio.len().min(HOP_SAMPLES - self.filled);
        let free = &mut self.samples[REACH + self.filled..];
        for (sample, code) in free.iter_mut().zip(&audio[..taken]) {
            *sample = f32::from(g711::decode(*code));
        }
        self.filled += taken;
        if self.filled < HOP_SAMPLES {
            return (taken, None);
        }
        self.filled = 0;
        let has_pitch = self.has_pitch();
        let may_be_voice = has_pitch || self.hops_without_pitch + 1 < HOPS_WITHOUT_PITCH;
        let enough = if self.voiced { self.exit_score } else { self.enter_score };
        self.voiced = self.is_heard_as_voice(may_be_voice, enough);
        if self.voiced && has_pitch {
            self.hops_without_pitch = 0;
        } else {
            self.hops_without_pitch = self.hops_without_pitch.saturating_add(1);
        }
        self.samples.copy_within(HOP_SAMPLES.., 0);
        (taken, Some(self.voiced))
    }

    fn has_pitch(&mut self) -> bool {
        let hop = &self.samples[REACH..];
        self.pitch.hear(hop);
        hop.iter().any(|sample| sample.abs() >= FAINT) && self.pitch.is_there()
    }

    /// Whether the detector takes the hop for voice, if it is asked.
    fn is_heard_as_voice(&mut self, is_asked: bool, enough: f32) -> bool {
        let hop = self.at_16_khz();
        if !is_asked {
            if self.unheard.len() == HOPS_CAUGHT_UP {
                self.unheard.pop_front();
            }
            self.unheard.push_back(hop);
            return false;
        }
        for unheard in self.unheard.drain(..) {
            self.detector.predict_i16(&unheard);
        }
        self.detector.predict_i16(&hop) >= enough
    }

    fn at_16_khz(&self) -> [i16; 2 * HOP_SAMPLES] {
        // Tap by tap over the whole hop, which the compiler does several samples at a time.
        let mut between = [0.0; HOP_SAMPLES];
        for (n, weight) in HALF_BAND.into_iter().enumerate() {
            let (before, after) = (&self.samples[3 - n..], &self.samples[4 + n..]);
            for (sum, (a, b)) in between.iter_mut().zip(before.iter().zip(after)) {
                *sum += weight * (a + b);
            }
        }
        let mut doubled = [0; 2 * HOP_SAMPLES];
        let pairs = self.samples[3..].iter().zip(between);
        for (pair, (sample, between)) in doubled.chunks_exact_mut(2).zip(pairs) {
            // A cast from float saturates, which is what an overshoot wants.
            pair[0] = *sample as i16;
            pair[1] = between as i16;
        }
        doubled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::TurnSettings;

    fn verdicts(audio: &[u8], chunk: usize) -> Vec<bool> {
        let settings = TurnSettings::default();
        let mut vad = Vad::new(settings.enter_score, settings.exit_score);
        let mut verdicts = Vec::new();
        for mut rest in audio.chunks(chunk) {
            while !rest.is_empty() {
                let (taken, verdict) = vad.take(rest);
                verdicts.extend(verdict);
                rest = &rest[taken..];
            }
        }
        verdicts
    }

    /// Harmonics of 125 Hz under two formants.
    fn vowel(samples: usize) -> Vec<u8> {
        (0..samples)
            .map(|n| {
                let t = n as f32 / 8_000.0;
                let sum: f32 = (1..28)
                    .map(|k| {
                        let hz = 125.0 * k as f32;
                        let formant =
                            |centre: f32, width: f32| (-((hz - centre) / width).powi(2)).exp();
                        (formant(600.0, 150.0) + 0.5 * formant(1_300.0, 200.0) + 0.02)
                            * (std::f32::consts::TAU * hz * t).sin()
                    })
                    .sum();
                g711::encode((sum * 5_000.0) as i16)
            })
            .collect()
    }

    #[test]
    fn a_vowel_is_voice_and_silence_is_not() {
        let voiced = verdicts(&vowel(8_000), 160);
        assert!(voiced[3..].iter().all(|voice| *voice), "{voiced:?}");
        let silent = verdicts(&[g711::SILENCE; 8_000], 160);
        assert!(!silent.iter().any(|voice| *voice), "{silent:?}");
    }

    /// The verdicts of a detector that is asked of every hop.
    fn verdicts_on_all(audio: &[u8]) -> Vec<bool> {
        let settings = TurnSettings::default();
        let mut vad = Vad::new(settings.enter_score, settings.exit_score);
        let hops = audio.chunks_exact(HOP_SAMPLES).map(|hop| {
            for (sample, code) in vad.samples[REACH..].iter_mut().zip(hop) {
                *sample = f32::from(g711::decode(*code));
            }
            let score = vad.detector.predict_i16(&vad.at_16_khz());
            let has_pitch = vad.has_pitch();
            vad.samples.copy_within(HOP_SAMPLES.., 0);
            let enough = if vad.voiced { vad.exit_score } else { vad.enter_score };
            let is_voice = score >= enough;
            let is_pitched = is_voice && has_pitch;
            vad.hops_without_pitch = if is_pitched { 0 } else { vad.hops_without_pitch + 1 };
            vad.voiced = is_voice && vad.hops_without_pitch < HOPS_WITHOUT_PITCH;
            vad.voiced
        });
        hops.collect()
    }

    #[test]
    fn what_has_a_pitch_is_judged_as_if_all_before_it_had_been_heard() {
        let mut state = 1_u64;
        let mut noise = move |loudest: i16| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 48) as u16 as i16 % loudest
        };
        const ONSET_HOPS: usize = 4;
        for loudest in [1, 20, 60, 300, 1_000] {
            let mut audio = vowel(4_000);
            let mut begins = Vec::new();
            for pause in [800, 3_200, 16_000, 80_000] {
                audio.extend((0..pause).map(|_| g711::encode(0)));
                begins.push(audio.len() / HOP_SAMPLES);
                audio.extend(vowel(1_600));
            }
            let line: Vec<u8> = audio
                .iter()
                .map(|code| g711::encode(g711::decode(*code).saturating_add(noise(loudest))))
                .collect();
            let (asked, of_all) = (verdicts(&line, 160), verdicts_on_all(&line));
            for (n, (verdict, of_all)) in asked.iter().zip(&of_all).enumerate() {
                // Of what it was not asked it has no memory: a voice may begin for it a few hops sooner or later.
                let is_onset = begins.iter().any(|at| (*at..at + ONSET_HOPS).contains(&n));
                assert!(verdict == of_all || is_onset, "noise below {loudest}, hop {n}");
            }
            assert!(asked.last() == Some(&true), "the vowel at the end is voice");
        }
    }

    #[test]
    fn the_size_of_the_frames_changes_no_verdict() {
        let mut audio = vowel(4_000);
        audio.extend([g711::SILENCE; 4_000]);
        let whole = verdicts(&audio, audio.len());
        for chunk in [1, 77, 128, 160, 1_000] {
            assert_eq!(verdicts(&audio, chunk), whole, "frames of {chunk}");
        }
    }

    #[test]
    fn doubling_keeps_a_tone_and_adds_no_other() {
        for hz in [300.0_f32, 1_000.0, 2_000.0, 2_500.0] {
            let tone = |n: f32| 8_000.0 * (std::f32::consts::TAU * hz * n / 8_000.0).sin();
            let mut vad = Vad::new(0.6, 0.4);
            for (n, sample) in vad.samples.iter_mut().enumerate() {
                *sample = tone(n as f32);
            }
            for (n, doubled) in vad.at_16_khz().into_iter().enumerate() {
                let error = (f32::from(doubled) - tone(3.0 + n as f32 / 2.0)).abs();
                assert!(error < 8_000.0 * 0.07, "{hz} Hz, sample {n}: off by {error}");
            }
        }
    }
}
