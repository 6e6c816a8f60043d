//! The voice that people understand: `espeak-ng`, and a recogniser of what it said.
//!
//! The recogniser knows the clauses this voice has rendered and finds them in audio by correlation, so a clause is
//! understood only where its own sound has really arrived, through noise if need be. What another voice says, a clause
//! interrupted in its middle, or one rendered in another process, it does not understand.

use std::{
    collections::VecDeque,
    ops::Range,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, ensure};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    audio::{self, TELEPHONE_HZ},
    signal::{dot, energy},
};

/// The recogniser forgets its oldest clause when it knows more than this.
const CLAUSES_MAX: usize = 512;
/// Silence after a comma and after a sentence, samples: 160 and 320 ms, short enough not to end a turn.
const COMMA_SAMPLES: usize = 1280;
const STOP_SAMPLES: usize = 2560;
/// What is quieter than this at the ends of a clause is cut off.
const QUIET: u16 = 200;
/// The part of a clause that is searched for, 75 ms where it is loudest.
const ANCHOR_SAMPLES: usize = 600;
/// The search runs at a quarter of the rate, with the anchor at two offsets, because a search at the full rate costs
/// sixteen times as much and the energy of speech lies low.
const COARSE: usize = 4;
const COARSE_OFFSETS: [usize; 2] = [0, COARSE / 2];
/// The peaks of two pitch periods lie further apart than this at the coarse rate: 5 ms.
const PEAK: usize = 10;
/// How alike the anchor must be at the coarse rate, and then at the full one, for the whole clause to be compared.
const COARSE_LIKENESS: f32 = 0.4;
const ANCHOR_LIKENESS: f32 = 0.5;
/// How alike the whole clause must be.
const CLAUSE_LIKENESS: f32 = 0.65;

/// The voice and what it has said.
#[derive(Debug, Default)]
pub struct Espeak(Mutex<VecDeque<Arc<Clause>>>);

/// A piece of text that is spoken without a pause.
struct Clause {
    text: String,
    samples: Vec<f32>,
    /// Where the part begins that is searched for.
    anchor: usize,
    /// That part at the coarse rate, from each offset on.
    coarse: [Vec<f32>; COARSE_OFFSETS.len()],
}

impl std::fmt::Debug for Clause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clause").field("samples", &self.samples.len()).finish_non_exhaustive()
    }
}

/// A clause that was found in audio.
#[derive(Clone, PartialEq)]
pub struct Heard {
    /// Its text.
    pub text: String,
    /// Where it lies in the audio.
    pub span: Range<usize>,
    /// How alike its sound is, 0 to 1.
    pub likeness: f32,
}

impl Espeak {
    fn clauses(&self) -> MutexGuard<'_, VecDeque<Arc<Clause>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Speaks a text: samples at 8 kHz. Every clause is rendered once and known to the recogniser from then on.
    ///
    /// # Errors
    /// When `espeak-ng` is not installed, or fails.
    pub async fn say(&self, text: &str) -> anyhow::Result<Vec<i16>> {
        let mut spoken = Vec::new();
        for text in split(text) {
            let known = self.clauses().iter().find(|clause| clause.text == text).cloned();
            let clause = match known {
                Some(clause) => clause,
                None => self.learn(text, render(text).await?),
            };
            let pause = if text.ends_with(['.', '?', '!']) { STOP_SAMPLES } else { COMMA_SAMPLES };
            spoken.extend(clause.samples.iter().map(|sample| *sample as i16));
            spoken.extend(std::iter::repeat_n(0, pause));
        }
        Ok(spoken)
    }

    fn learn(&self, text: &str, samples: Vec<i16>) -> Arc<Clause> {
        let samples: Vec<f32> = samples.into_iter().map(f32::from).collect();
        let loudness =
            |start: &usize| energy(&samples[*start..(*start + ANCHOR_SAMPLES).min(samples.len())]);
        let starts = (0..samples.len().saturating_sub(ANCHOR_SAMPLES)).step_by(80);
        let anchor = starts.max_by(|a, b| loudness(a).total_cmp(&loudness(b))).unwrap_or(0);
        let end = (anchor + ANCHOR_SAMPLES).min(samples.len());
        let clause = Arc::new(Clause {
            text: text.to_owned(),
            coarse: COARSE_OFFSETS
                .map(|offset| coarse(samples.get(anchor + offset..end).unwrap_or_default())),
            samples,
            anchor,
        });
        let mut clauses = self.clauses();
        clauses.push_back(clause.clone());
        if clauses.len() > CLAUSES_MAX {
            clauses.pop_front();
        }
        clause
    }

    /// The clauses that this audio (8 kHz) holds, in order. Costs well under 1 ms for each clause known and each second
    /// of audio.
    pub fn recognise(&self, samples: &[i16]) -> Vec<Heard> {
        let samples: Vec<f32> = samples.iter().copied().map(f32::from).collect();
        let coarse = coarse(&samples);
        let known: Vec<_> = self.clauses().iter().cloned().collect();
        let mut found: Vec<Heard> =
            known.iter().flat_map(|clause| clause.find(&samples, &coarse)).collect();
        // Where two clauses sound alike, the one that explains more of the audio is meant.
        let weight = |heard: &Heard| heard.likeness * heard.span.len() as f32;
        found.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        let mut heard: Vec<Heard> = Vec::new();
        for candidate in found {
            let free = |other: &Heard| {
                other.span.end <= candidate.span.start || candidate.span.end <= other.span.start
            };
            if heard.iter().all(free) {
                heard.push(candidate);
            }
        }
        heard.sort_by_key(|heard| heard.span.start);
        heard
    }
}

impl Clause {
    fn find(&self, audio: &[f32], coarse_audio: &[f32]) -> Vec<Heard> {
        let length = self.coarse[0].len();
        let energies = self.coarse.each_ref().map(|anchor| energy(anchor));
        let mut found = Vec::new();
        let mut best: Option<(usize, usize, f32)> = None;
        for (at, window) in coarse_audio.windows(length.max(1)).enumerate() {
            let window_energy = energy(window);
            for ((anchor, energy), offset) in self.coarse.iter().zip(energies).zip(COARSE_OFFSETS) {
                let likeness = alike(dot(&window[..anchor.len()], anchor), window_energy, energy);
                if likeness > best.map_or(COARSE_LIKENESS, |(_, _, best)| best) {
                    best = Some((at, (COARSE * at).saturating_sub(offset), likeness));
                }
            }
            // A pitch period beside the right place the likeness peaks too, and at this rate perhaps higher: every peak
            // is refined.
            if let Some((_, place, _)) = best.filter(|(found_at, _, _)| at > found_at + PEAK) {
                found.extend(self.refine(audio, place));
                best = None;
            }
        }
        found.extend(best.and_then(|(_, place, _)| self.refine(audio, place)));
        found
    }

    /// Looks for the anchor around `place` at the full rate, and there for the whole clause.
    fn refine(&self, audio: &[f32], place: usize) -> Option<Heard> {
        let length = ANCHOR_SAMPLES.min(self.samples.len());
        let anchor = self.samples.get(self.anchor..self.anchor + length)?;
        let likeness = |at: usize| {
            let window = audio.get(at..at + length)?;
            Some((at, alike(dot(window, anchor), energy(window), energy(anchor))))
        };
        let around = place.saturating_sub(COARSE)..=place + COARSE;
        let (at, best) = around.filter_map(likeness).max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        if best < ANCHOR_LIKENESS { None } else { self.compare(audio, at) }
    }

    /// Compares the whole clause with the audio in which its anchor lies at `place`. What the audio lacks at the ends
    /// counts as different.
    fn compare(&self, audio: &[f32], place: usize) -> Option<Heard> {
        let cut = self.anchor.saturating_sub(place);
        let start = place.saturating_sub(self.anchor);
        let end = audio.len().min(start + self.samples.len() - cut);
        let arrived = &audio[start..end];
        let ideal = &self.samples[cut..cut + arrived.len()];
        let likeness = alike(dot(arrived, ideal), energy(arrived), energy(&self.samples));
        (likeness >= CLAUSE_LIKENESS).then(|| Heard {
            text: self.text.clone(),
            span: start..end,
            likeness,
        })
    }
}

/// The cosine of two signals from their product and their energies; 0 for silence.
fn alike(product: f32, energy: f32, other_energy: f32) -> f32 {
    product / (energy * other_energy).sqrt().max(1.0)
}

/// A signal at the coarse rate; averaging is low-pass enough for a search.
fn coarse(samples: &[f32]) -> Vec<f32> {
    samples
        .as_chunks::<COARSE>()
        .0
        .iter()
        .map(|chunk| chunk.iter().sum::<f32>() / COARSE as f32)
        .collect()
}

/// The clauses of a text: each ends with punctuation that is spoken as a pause.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        let end = rest
            .char_indices()
            .zip(rest.chars().skip(1).map(char::is_whitespace).chain([true]))
            .find(|((_, mark), before_space)| *before_space && ",.;:?!".contains(*mark))
            .map_or(rest.len(), |((at, mark), _)| at + mark.len_utf8());
        let clause = &rest[..end];
        rest = rest[end..].trim_start();
        (!clause.is_empty()).then_some(clause)
    })
}

/// Renders a clause at 8 kHz, without the silence around it.
async fn render(text: &str) -> anyhow::Result<Vec<i16>> {
    let mut child = Command::new("espeak-ng")
        .args(["-v", "en-us", "-s", "165", "--stdin", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("start espeak-ng (is it installed?)")?;
    let mut input = child.stdin.take().context("open the input of espeak-ng")?;
    input.write_all(text.as_bytes()).await.context("give espeak-ng its text")?;
    drop(input);
    let output = child.wait_with_output().await.context("wait for espeak-ng")?;
    ensure!(output.status.success(), "espeak-ng ended with {}", output.status);
    let wav = audio::read_wav(&output.stdout).context("read what espeak-ng wrote")?;
    let samples = audio::resample(&wav.samples, wav.rate_hz, TELEPHONE_HZ);
    let loud = |sample: &i16| sample.unsigned_abs() > QUIET;
    let start = samples.iter().position(loud).unwrap_or(0);
    let end = samples.iter().rposition(loud).map_or(0, |last| last + 1);
    // Through mu-law and back, so that what is kept is what a telephone can carry.
    Ok(audio::read_mulaw(&audio::write_mulaw(samples.get(start..end).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(heard: &[Heard]) -> Vec<&str> {
        heard.iter().map(|heard| heard.text.as_str()).collect()
    }

    fn noise(samples: usize, amplitude: i32) -> impl Iterator<Item = i16> {
        let mut state = 1_u32;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as i32 % (2 * amplitude) - amplitude) as i16
        })
        .take(samples)
    }

    #[test]
    fn a_text_is_split_where_a_speaker_pauses() {
        let clauses: Vec<_> = split(" Yes, at 2.30 p.m. please.  Thank you!").collect();
        assert_eq!(clauses, ["Yes,", "at 2.30 p.m.", "please.", "Thank you!"]);
        assert_eq!(split("  ").count(), 0);
    }

    #[tokio::test]
    async fn only_what_was_heard_is_understood() -> anyhow::Result<()> {
        let espeak = Espeak::default();
        let booking = espeak.say("I would like to book a table, for two people.").await?;
        let farewell = espeak.say("Thank you, and goodbye.").await?;
        assert_eq!(
            espeak.say("Thank you, and goodbye.").await?,
            farewell,
            "a phrase sounds the same each time"
        );

        let heard = espeak.recognise(&booking);
        assert_eq!(texts(&heard), ["I would like to book a table,", "for two people."]);
        let mut call: Vec<i16> = noise(5000, 300).collect();
        call.extend(&farewell);
        call.extend(noise(777, 300));
        call.extend(&booking);
        let call: Vec<i16> =
            call.iter().zip(noise(call.len(), 1000)).map(|(a, b)| a.saturating_add(b)).collect();
        let heard = espeak.recognise(&audio::read_mulaw(&audio::write_mulaw(&call)));
        assert_eq!(
            texts(&heard),
            ["Thank you,", "and goodbye.", "I would like to book a table,", "for two people."]
        );
        assert!(heard[0].span.start.abs_diff(5000) < 2, "{}", heard[0].span.start);
        Ok(())
    }

    #[tokio::test]
    async fn half_a_phrase_gives_its_whole_clauses_only() -> anyhow::Result<()> {
        let espeak = Espeak::default();
        let spoken = espeak.say("Tomorrow would be fine, in the afternoon.").await?;
        let second = espeak.recognise(&spoken)[1].span.clone();
        let middle = (second.start + second.end) / 2;
        assert_eq!(texts(&espeak.recognise(&spoken[..middle - 2000])), ["Tomorrow would be fine,"]);
        assert!(espeak.recognise(&noise(20_000, 4000).collect::<Vec<_>>()).is_empty());
        assert!(
            Espeak::default().recognise(&spoken).is_empty(),
            "another voice's words are not known"
        );
        Ok(())
    }
}
