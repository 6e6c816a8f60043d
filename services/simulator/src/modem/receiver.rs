//! From signal to words.

use std::{ops::Range, sync::LazyLock};

use crate::{
    modem::{
        CHECKSUM_SYMBOLS, HEADER_SYMBOLS, Header, alphabet, checksum, next_index, symbols,
        unscramble,
        voice::{FADE_SAMPLES, PERIOD_SAMPLES, PERIODS, SYMBOL_SAMPLES, SYNC, render},
    },
    signal::{dot, energy},
};

/// A word that arrived whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// What it says.
    pub text: String,
    /// Its samples, counted from the first one pushed.
    pub span: Range<u64>,
    /// It belongs to the word before, without a space (long words are sent in pieces).
    pub joined: bool,
    /// It begins an utterance.
    pub first: bool,
    /// It ends an utterance.
    pub last: bool,
    /// How close the wave came to the ideal one, 0 to 1.
    pub likeness: f32,
}

impl Word {
    /// Whether it is the rest of the word `before`: a piece whose beginning was lost is the rest of no other.
    pub fn continues(&self, before: &Word) -> bool {
        self.joined && before.span.end == self.span.start
    }
}

/// What went wrong on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The wave is not that of the word it seems to be: samples lost, repeated, moved or changed.
    Damaged,
    /// The symbols are clear, but the checksum is not theirs.
    Checksum,
    /// The audio ends inside a word.
    Cut,
    /// One or more words before this one did not arrive.
    Missing,
    /// The word is whole, but beside it, or between it and the word it should follow at once, stands a piece of sound
    /// too short to be anything but repeated audio; or it follows too early. The word is not given.
    Slipped,
}

/// A fault and the samples it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// Where, counted from the first sample pushed.
    pub span: Range<u64>,
}

/// What a stretch of audio held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// The words that arrived whole, in order.
    pub words: Vec<Word>,
    /// What went wrong, in order.
    pub faults: Vec<Fault>,
}

impl Decoded {
    /// The words as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut before: Option<&Word> = None;
        for word in &self.words {
            if before.is_some_and(|before| !word.continues(before)) {
                text.push(' ');
            }
            text.push_str(&word.text);
            before = Some(word);
        }
        text
    }

    /// Whether every word of every utterance arrived, from the first to the last.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
            && self.words.first().is_some_and(|word| word.first)
            && self.words.last().is_some_and(|word| word.last)
            && self.words.windows(2).all(|pair| pair[0].last == pair[1].first)
    }
}

/// Decodes a stretch of audio at 8 kHz, whatever stands before, between and after the speech in it.
pub fn decode(samples: &[i16]) -> Decoded {
    let mut receiver = Receiver::default();
    let mut decoded = receiver.push(samples);
    let mut rest = receiver.finish();
    decoded.words.append(&mut rest.words);
    decoded.faults.append(&mut rest.faults);
    decoded
}

const SYNC_SAMPLES: usize = SYNC.len() * SYMBOL_SAMPLES;
/// How alike the sync and what arrived must be before a word is looked for. Half a sync reaches it; no row of data
/// symbols does.
const SYNC_LIKENESS: f32 = 0.6;
/// The likeness has side peaks at whole periods before the true one; the best within this distance is taken.
const SYNC_SEARCH_SAMPLES: usize = PERIOD_SAMPLES + PERIOD_SAMPLES / 2;
/// Below this mean square no one is speaking.
const SILENCE_MEAN_SQUARE: f64 = 150.0 * 150.0;
/// The wave is compared with the ideal one this many samples at a time.
const BLOCK_SAMPLES: usize = 32;
/// The part of the speech's own energy by which a block may differ.
const BLOCK_RESIDUE: f32 = 0.3;
/// Sound shorter than this between two words of an utterance is repeated audio; longer, it is another sound.
const SLIP_SAMPLES: usize = 4 * FRAME_SAMPLES;
/// A telephone frame, 20 ms: what is lost or repeated on the way.
const FRAME_SAMPLES: usize = 160;
/// At the two ends of an utterance, where no neighbour gives a repeated frame away, this much of one is looked for, this
/// alike.
const REPEAT_SAMPLES: usize = 48;
const REPEAT_LIKENESS: f32 = 0.8;
/// So much of the past may gather before it is let go.
const KEPT_SAMPLES: usize = 4 * SLIP_SAMPLES;

static SYNC_WAVE: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let mut wave = Vec::new();
    render(&SYNC, &mut wave);
    wave
});

/// Decodes audio as it arrives.
#[derive(Debug, Default)]
pub struct Receiver {
    /// What has arrived and may still be needed; the first sample is number `dropped`.
    samples: Vec<f32>,
    dropped: u64,
    /// Where in `samples` to go on.
    at: usize,
    /// Where in `samples` a word has been found to begin.
    word_at: Option<usize>,
    /// The word before, when its utterance has not ended.
    before: Option<Before>,
}

#[derive(Debug)]
struct Before {
    index: u8,
    end: u64,
}

/// What can be said of the place where a word begins.
enum Reading {
    /// More samples are needed.
    Unfinished,
    Whole {
        header: Header,
        text: String,
        samples: usize,
        likeness: f32,
    },
    Failed {
        kind: FaultKind,
        samples: usize,
    },
}

impl Receiver {
    /// Takes the next samples and gives what has become certain with them. The last word of an utterance is certain one
    /// frame (20 ms) after its end: silence must go on arriving, as it does on a telephone line.
    pub fn push(&mut self, samples: &[i16]) -> Decoded {
        self.samples.extend(samples.iter().map(|sample| f32::from(*sample)));
        let decoded = self.read(false);
        // A little of the past stays, to judge what stood between two words; and the rest is moved to the front only
        // now and then.
        let past = self.at.saturating_sub(SLIP_SAMPLES);
        if past > KEPT_SAMPLES {
            self.samples.drain(..past);
            self.dropped += past as u64;
            self.at -= past;
            self.word_at = self.word_at.map(|at| at - past);
        }
        decoded
    }

    /// Says that no more audio comes, and gives what is left.
    pub fn finish(mut self) -> Decoded {
        self.read(true)
    }

    fn read(&mut self, ended: bool) -> Decoded {
        let mut decoded = Decoded::default();
        loop {
            if self.word_at.is_none() {
                self.word_at = self.find(ended);
            }
            let Some(start) = self.word_at else {
                return decoded;
            };
            self.at = start;
            let span = |samples: usize| {
                let start = self.dropped + start as u64;
                start..start + samples as u64
            };
            match self.word(start, ended) {
                Reading::Unfinished if !ended => return decoded,
                Reading::Unfinished => {
                    decoded.faults.push(Fault {
                        kind: FaultKind::Cut,
                        span: span(self.samples.len() - start),
                    });
                    self.at = start + PERIOD_SAMPLES;
                }
                Reading::Failed { kind, samples } => {
                    decoded.faults.push(Fault { kind, span: span(samples) });
                    self.at = start + PERIOD_SAMPLES;
                }
                Reading::Whole { header, text, samples, likeness } => {
                    let span = span(samples);
                    let fault = self.misplaced(header, &span, start);
                    decoded.faults.extend(fault.map(|kind| Fault { kind, span: span.clone() }));
                    self.before =
                        (!header.last).then_some(Before { index: header.index, end: span.end });
                    // A loss in its all but silent end moves the next word into it.
                    self.at = start + samples - FADE_SAMPLES;
                    if fault != Some(FaultKind::Slipped) {
                        decoded.words.push(Word {
                            text,
                            span,
                            joined: header.joined,
                            first: header.index == 0,
                            last: header.last,
                            likeness,
                        });
                    }
                }
            }
            self.word_at = None;
        }
    }

    /// Looks for the next sync from `at` on; without one, moves `at` to where the search must go on.
    fn find(&mut self, ended: bool) -> Option<usize> {
        let wave = &*SYNC_WAVE;
        let last = self.samples.len().checked_sub(SYNC_SAMPLES)?;
        let mut loudness = Loudness::new(&self.samples, self.at, SYNC_SAMPLES);
        let mut best: Option<(usize, f32)> = None;
        let mut at = self.at;
        while at <= last && best.is_none_or(|(place, _)| at <= place + SYNC_SEARCH_SAMPLES) {
            if loudness.energy > SILENCE_MEAN_SQUARE * SYNC_SAMPLES as f64 {
                let product = dot(&self.samples[at..at + SYNC_SAMPLES], wave);
                let likeness = product / (loudness.energy as f32 * energy(wave)).sqrt();
                if likeness > best.map_or(SYNC_LIKENESS, |(_, best)| best) {
                    best = Some((at, likeness));
                }
            }
            loudness.advance();
            at += 1;
        }
        match best {
            Some((place, _)) if ended || at > place + SYNC_SEARCH_SAMPLES => Some(place),
            // A better place may come with the next samples.
            Some((place, _)) => {
                self.at = self.at.max(place.saturating_sub(1));
                None
            }
            None => {
                self.at = self.at.max(at);
                None
            }
        }
    }

    /// Reads the word that begins at `start`.
    fn word(&self, start: usize, ended: bool) -> Reading {
        let rest = &self.samples[start..];
        let Some(header) = Self::values(rest, 0..HEADER_SYMBOLS) else {
            return Reading::Unfinished;
        };
        let header =
            Header::from_bits(header.iter().fold(0, |bits, value| bits << 3 | u16::from(*value)));
        let units_end = HEADER_SYMBOLS + 2 * header.units;
        let end = units_end + CHECKSUM_SYMBOLS;
        let samples = (SYNC.len() + end) * SYMBOL_SAMPLES;
        let (Some(units), Some(sum), Some(arrived)) = (
            Self::values(rest, HEADER_SYMBOLS..units_end),
            Self::values(rest, units_end..end),
            rest.get(..samples),
        ) else {
            return Reading::Unfinished;
        };
        if header.last && !ended && rest.len() < samples + FRAME_SAMPLES {
            return Reading::Unfinished;
        }
        let units: Vec<u8> = units.chunks_exact(2).map(|pair| pair[0] << 3 | pair[1]).collect();
        let sum = sum.iter().fold(0, |bits, value| bits << 3 | u16::from(*value));
        let right = sum == checksum(header.to_bits(), &units);

        let mut ideal = Vec::new();
        render(&symbols(header, &units), &mut ideal);
        let gain = dot(arrived, &ideal) / energy(&ideal);
        let mean_square = gain * gain * energy(&ideal) / ideal.len() as f32;
        let residue = |(arrived, ideal): (&[f32], &[f32])| -> f32 {
            arrived.iter().zip(ideal).map(|(arrived, ideal)| (arrived - gain * ideal).powi(2)).sum()
        };
        let block_limit = BLOCK_RESIDUE * mean_square * BLOCK_SAMPLES as f32;
        let alike = gain > 0.0
            && arrived
                .chunks(BLOCK_SAMPLES)
                .zip(ideal.chunks(BLOCK_SAMPLES))
                .all(|pair| residue(pair) <= block_limit);
        match (alike, right.then(|| alphabet::read(&units)).flatten()) {
            (false, _) => Reading::Failed { kind: FaultKind::Damaged, samples },
            (true, None) => Reading::Failed { kind: FaultKind::Checksum, samples },
            (true, Some(text)) => {
                let likeness = dot(arrived, &ideal) / (energy(arrived) * energy(&ideal)).sqrt();
                Reading::Whole { header, text, samples, likeness }
            }
        }
    }

    /// The values of the symbols at these places after the sync; nothing when they have not all arrived.
    fn values(word: &[f32], places: Range<usize>) -> Option<Vec<u8>> {
        places
            .map(|place| {
                // The borders of a symbol hold its neighbours too: only the middle is asked.
                let start = (SYNC.len() + place) * SYMBOL_SAMPLES + PERIOD_SAMPLES / 2;
                let middle = word.get(start..start + SYMBOL_SAMPLES - PERIOD_SAMPLES)?;
                let mut folded = [0.0; PERIOD_SAMPLES];
                for (n, sample) in middle.iter().enumerate() {
                    folded[(n + PERIOD_SAMPLES / 2) % PERIOD_SAMPLES] += sample;
                }
                let likeness = |vowel: &u8| dot(&folded, &PERIODS[usize::from(*vowel)]);
                let vowel = (0..8_u8).max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
                Some(unscramble(place, vowel))
            })
            .collect()
    }

    /// What is wrong with the place where a whole word stands, although the word itself is not.
    fn misplaced(&self, header: Header, span: &Range<u64>, start: usize) -> Option<FaultKind> {
        let end = start + usize::try_from(span.end - span.start).ok()?;
        let repeated = |first: Option<usize>, second: usize| {
            let part = |at: usize| self.samples.get(at..at + REPEAT_SAMPLES);
            first
                .and_then(part)
                .zip(part(second))
                .is_some_and(|(a, b)| dot(a, b) > REPEAT_LIKENESS * energy(a).max(energy(b)))
        };
        let first_frame_twice =
            header.index == 0 && repeated(start.checked_sub(FRAME_SAMPLES), start);
        let last_frame_twice = header.last
            && repeated(Some(end - REPEAT_SAMPLES), end + FRAME_SAMPLES - REPEAT_SAMPLES);
        if first_frame_twice || last_frame_twice {
            return Some(FaultKind::Slipped);
        }
        if header.index == 0 {
            return None;
        }
        let before = self.before.as_ref().filter(|before| next_index(before.index) == header.index);
        let Some(before) = before else {
            return Some(FaultKind::Missing);
        };
        let Some(gap) = span.start.checked_sub(before.end) else {
            return Some(FaultKind::Slipped);
        };
        let gap = usize::try_from(gap).unwrap_or(usize::MAX);
        let between = &self.samples[start.saturating_sub(gap.min(SLIP_SAMPLES))..start];
        let loud = f64::from(energy(between)) > SILENCE_MEAN_SQUARE * between.len() as f64;
        (gap > 0 && gap < SLIP_SAMPLES && loud).then_some(FaultKind::Slipped)
    }
}

/// The energy of a window that moves one sample at a time.
struct Loudness<'a> {
    samples: &'a [f32],
    start: usize,
    length: usize,
    energy: f64,
}

impl<'a> Loudness<'a> {
    fn new(samples: &'a [f32], start: usize, length: usize) -> Self {
        let window = samples.get(start..start + length).unwrap_or_default();
        let energy = window.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        Self { samples, start, length, energy }
    }

    fn advance(&mut self) {
        let square =
            |place: usize| self.samples.get(place).map_or(0.0, |sample| f64::from(*sample).powi(2));
        self.energy += square(self.start + self.length) - square(self.start);
        self.start += 1;
    }
}
