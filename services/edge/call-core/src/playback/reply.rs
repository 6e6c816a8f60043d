//! One reply of the agent: its sentences, whichever order they come in, and what of them was sent.

use super::words;
use crate::{Audio, Heard};

/// Sentences of a reply that may wait. More would be a fault of the sender.
const WAITING_MAX: usize = 128;

/// Attempts whose length is remembered before one begins.
const TOTALS_MAX: usize = 8;

pub(crate) struct Reply {
    turn: u32,
    /// The attempt that is spoken; another is never mixed in (DESIGN 2, turn ledger).
    begun: Option<u32>,
    waiting: Vec<Waiting>,
    spoken: Vec<Spoken>,
    /// How many sentences an attempt has, as far as told.
    totals: Vec<(u32, u32)>,
}

struct Waiting {
    attempt: u32,
    index: u32,
    text: String,
    audio: Audio,
}

struct Spoken {
    text: String,
    /// Position of its first sample.
    at: u64,
    audio: Audio,
    /// How much of it was sent.
    sent: u64,
}

impl Spoken {
    fn len(&self) -> u64 {
        self.audio.len() as u64
    }
}

impl Reply {
    pub(super) fn new(turn: u32) -> Self {
        Self { turn, begun: None, waiting: Vec::new(), spoken: Vec::new(), totals: Vec::new() }
    }

    pub(crate) fn turn(&self) -> u32 {
        self.turn
    }

    /// Takes in a sentence, unless it has come before or is of an attempt that is not spoken.
    pub(crate) fn add(&mut self, attempt: u32, index: u32, text: String, audio: Audio) {
        let other = self.begun.is_some_and(|begun| begun != attempt);
        let spoken = (index as usize) < self.spoken.len();
        let waits = (self.waiting.iter()).any(|s| (s.attempt, s.index) == (attempt, index));
        if !other && !spoken && !waits && self.waiting.len() < WAITING_MAX {
            self.waiting.push(Waiting { attempt, index, text, audio });
        }
    }

    /// Takes in how many sentences an attempt has. One without any is begun, and over, with that.
    pub(crate) fn finish(&mut self, attempt: u32, sentences: u32) {
        if sentences == 0 && self.begun.is_none() {
            self.begun = Some(attempt);
        }
        let known = self.totals.iter().any(|(known, _)| *known == attempt);
        if !known && self.totals.len() < TOTALS_MAX {
            self.totals.push((attempt, sentences));
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    pub(super) fn has_next(&self) -> bool {
        self.next().is_some()
    }

    /// Begins the next sentence at position `at`, if it is there.
    pub(super) fn begin_next(&mut self, at: u64) -> Option<Audio> {
        let sentence = self.waiting.swap_remove(self.next()?);
        if self.begun.is_none() {
            self.begun = Some(sentence.attempt);
            self.waiting.retain(|other| other.attempt == sentence.attempt);
        }
        let audio = sentence.audio.clone();
        self.spoken.push(Spoken { text: sentence.text, at, audio: sentence.audio, sent: 0 });
        Some(audio)
    }

    /// The sentence begun last has been sent up to position `to`.
    pub(super) fn sent(&mut self, to: u64) {
        if let Some(last) = self.spoken.last_mut() {
            last.sent = to - last.at;
        }
    }

    /// Whether all its sentences have been sent.
    pub(super) fn is_whole(&self) -> bool {
        let total = (self.totals.iter()).find(|(attempt, _)| Some(*attempt) == self.begun);
        total.is_some_and(|(_, sentences)| *sentences as usize == self.spoken.len())
            && self.spoken.iter().all(|sentence| sentence.sent == sentence.len())
    }

    /// What was heard of it by one who has heard up to position `to`. Nothing is told of a greeting that never came.
    pub(super) fn heard(self, to: u64) -> Option<Heard> {
        if self.turn == 0 && self.spoken.is_empty() {
            return None;
        }
        let mut complete = self.is_whole();
        let mut text = String::new();
        for sentence in &self.spoken {
            let played = to.saturating_sub(sentence.at).min(sentence.sent);
            let words = if played == 0 {
                ""
            } else {
                words::heard(&sentence.text, &sentence.audio, played)
            };
            complete &= played == sentence.len() && played > 0;
            if !words.is_empty() {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(words);
            }
        }
        Some(Heard { turn: self.turn, text, complete })
    }

    fn next(&self) -> Option<usize> {
        let index = self.spoken.len() as u32;
        self.waiting.iter().position(|sentence| {
            sentence.index == index && self.begun.is_none_or(|begun| begun == sentence.attempt)
        })
    }
}
