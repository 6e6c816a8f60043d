//! One reply of the agent: its sentences, whichever order they come in, and what of them was sent.

use super::sentence::Sentence;
use crate::{Audio, Heard};

/// Sentences of a reply that may wait. More would be a fault of the sender.
const WAITING_MAX: usize = 128;

/// Attempts whose length is remembered before one begins.
const TOTALS_MAX: usize = 8;

/// 600 ms: who says something over so little of the end has heard it.
const LAST_WORD_SAMPLES: u64 = 4_800;

pub(crate) struct Reply {
    turn: u32,
    /// What was heard of it on an earlier connection: so many sentences, of these words.
    before: (u32, String),
    /// The attempt that is spoken; another is never mixed in (DESIGN 2, turn ledger).
    begun: Option<u32>,
    /// Whether a sentence has begun that sounds, or there is none to begin.
    sounds: bool,
    waiting: Vec<Waiting>,
    /// Sentences begun, in order.
    spoken: Vec<Sentence>,
    /// Of those, the ones that are not to be begun again.
    passed: usize,
    /// How many sentences an attempt has, as far as told.
    totals: Vec<(u32, u32)>,
    /// Bytes of the heard text that were told as progress.
    told: usize,
}

struct Waiting {
    attempt: u32,
    index: u32,
    sentence: Sentence,
}

/// A sentence of a reply as it comes: whole, or a part of it.
pub(crate) struct Piece {
    pub(crate) attempt: u32,
    /// Place in the reply, from 0.
    pub(crate) index: u32,
    /// Place in the sentence, from 0.
    pub(crate) part: u32,
    /// Whether further parts follow.
    pub(crate) more: bool,
    pub(crate) text: String,
    /// Nothing where it could not be spoken.
    pub(crate) audio: Option<Audio>,
}

/// How a sentence is begun.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    Anew,
    /// In the middle, after a pause.
    Again,
    /// Without a sound: it is over with that.
    Silent,
}

/// How far a reply has been heard.
pub(crate) struct Progress {
    pub(crate) turn: u32,
    pub(crate) attempt: u32,
    /// The sentence heard last, wholly or in part.
    pub(crate) sentence: u32,
    /// All that was heard of the reply.
    pub(crate) text: String,
}

impl Reply {
    pub(super) fn new(turn: u32) -> Self {
        Self::after(turn, 0, String::new())
    }

    /// A reply of which the first `sentences` were heard elsewhere: `text`.
    pub(super) fn after(turn: u32, sentences: u32, text: String) -> Self {
        Self {
            turn,
            begun: None,
            sounds: false,
            waiting: Vec::new(),
            spoken: Vec::new(),
            passed: 0,
            totals: Vec::new(),
            told: text.len(),
            before: (sentences, text),
        }
    }

    pub(crate) fn turn(&self) -> u32 {
        self.turn
    }

    /// Takes in a piece, unless it has come before or is of an attempt that is not spoken.
    pub(crate) fn add(&mut self, piece: Piece) {
        let Piece { attempt, index, part, more, text, audio } = piece;
        if self.begun.is_some_and(|begun| begun != attempt) {
            return;
        }
        let waiting = |other: &&mut Waiting| (other.attempt, other.index) == (attempt, index);
        let Some(place) = index.checked_sub(self.before.0) else {
            return;
        };
        let sentence = if let Some(spoken) = self.spoken.get_mut(place as usize) {
            spoken
        } else if let Some(waiting) = self.waiting.iter_mut().find(waiting) {
            &mut waiting.sentence
        } else if self.waiting.len() < WAITING_MAX {
            let place = self.waiting.len();
            self.waiting.push(Waiting { attempt, index, sentence: Sentence::new(text) });
            &mut self.waiting[place].sentence
        } else {
            return;
        };
        sentence.add(part, more, audio);
    }

    /// Takes in how many sentences an attempt has. One without any is begun, and over, with that.
    pub(crate) fn finish(&mut self, attempt: u32, sentences: u32) {
        if sentences <= self.before.0 && self.begun.is_none() {
            self.begun = Some(attempt);
            self.sounds = true;
        }
        let known = self.totals.iter().any(|(known, _)| *known == attempt);
        if !known && self.totals.len() < TOTALS_MAX {
            self.totals.push((attempt, sentences));
        }
    }

    /// Sentences that could not be spoken begin nothing.
    pub(super) fn has_begun(&self) -> bool {
        self.sounds
    }

    pub(super) fn has_next(&self) -> bool {
        self.passed < self.spoken.len() || self.next().is_some()
    }

    /// Whether a sentence that sounds can begin, be it after others that do not.
    pub(super) fn can_sound(&self) -> bool {
        let Some(next) = self.next().map(|place| &self.waiting[place]) else {
            return false;
        };
        let mut following = (next.index..).map_while(|index| {
            let mut waiting = self.waiting.iter().filter(|other| other.sentence.can_begin());
            waiting.find(|other| (other.attempt, other.index) == (next.attempt, index))
        });
        following.any(|waiting| !waiting.sentence.is_silent())
    }

    /// Goes back to what was not heard by one who has heard up to position `to`.
    pub(super) fn go_back(&mut self, to: u64) {
        let mut unheard = None;
        for (place, sentence) in self.spoken.iter_mut().enumerate() {
            if sentence.go_back(to) {
                unheard.get_or_insert(place);
            }
        }
        self.passed = unheard.unwrap_or(self.spoken.len());
    }

    /// Begins the next sentence at position `at`, or goes on with it, if its first part is there. Says whether it was.
    pub(super) fn begin_next(&mut self, at: u64) -> Option<Begun> {
        if let Some(sentence) = self.spoken.get_mut(self.passed) {
            self.passed += 1;
            return Some(if sentence.begin(at) { Begun::Anew } else { Begun::Again });
        }
        let next = self.next()?;
        let Waiting { attempt, mut sentence, .. } = self.waiting.swap_remove(next);
        if self.begun.is_none() {
            self.begun = Some(attempt);
            self.waiting.retain(|other| other.attempt == attempt);
        }
        let begun = if sentence.is_silent() { Begun::Silent } else { Begun::Anew };
        self.sounds |= begun == Begun::Anew;
        sentence.begin(at);
        self.spoken.push(sentence);
        self.passed += 1;
        Some(begun)
    }

    /// The sentence begun last.
    pub(super) fn current(&mut self) -> Option<&mut Sentence> {
        self.spoken.get_mut(self.passed.checked_sub(1)?)
    }

    /// Whether the sentence begun last cannot go on before another part of it comes.
    pub(super) fn is_stuck(&self) -> bool {
        let current = self.passed.checked_sub(1).and_then(|place| self.spoken.get(place));
        current.is_some_and(Sentence::is_stuck)
    }

    /// Whether one who has heard up to position `to` was being asked something.
    pub(super) fn asks(&self, to: u64) -> bool {
        let heard = self.spoken.iter().rfind(|sentence| sentence.is_grasped(to));
        heard.is_some_and(|sentence| sentence.text().trim_end().ends_with('?'))
    }

    /// Whether all that one has not heard of it who has heard up to position `to` is its last word.
    pub(super) fn is_ending(&self, to: u64) -> bool {
        let unheard: u64 = self.spoken.iter().map(|sentence| sentence.unheard(to)).sum();
        self.is_whole() && unheard < LAST_WORD_SAMPLES
    }

    /// Whether it is known how many sentences it has: nobody makes more of it.
    pub(crate) fn is_finished(&self) -> bool {
        self.total().is_some()
    }

    /// Whether all its sentences have been sent.
    pub(super) fn is_whole(&self) -> bool {
        let spoken = self.spoken.len() as u32;
        self.total().is_some_and(|total| total.saturating_sub(self.before.0) == spoken)
            && self.spoken.iter().all(Sentence::is_sent)
    }

    fn total(&self) -> Option<u32> {
        let total = self.totals.iter().find(|(attempt, _)| Some(*attempt) == self.begun);
        total.map(|(_, sentences)| *sentences)
    }

    /// What was heard of it by one who has heard up to position `to`. Nothing is told of a greeting that never came.
    pub(super) fn heard(mut self, to: u64) -> Option<Heard> {
        if self.turn == 0 && self.spoken.is_empty() && self.before.0 == 0 {
            return None;
        }
        let whole = self.is_whole();
        let (text, all, _) = self.text_heard(to);
        Some(Heard { turn: self.turn, text, complete: whole && all })
    }

    /// What is known to be heard of it when a mark has returned for position `to`, if that is more than before.
    pub(super) fn progress(&mut self, to: u64) -> Option<Progress> {
        let attempt = self.begun?;
        let (text, _, sentence) = self.text_heard(to);
        let more = text.len() > self.told;
        self.told = self.told.max(text.len());
        more.then_some(Progress { turn: self.turn, attempt, sentence, text })
    }

    /// The words heard up to position `to`, whether they are all of what has been begun, and the sentence they end in.
    fn text_heard(&mut self, to: u64) -> (String, bool, u32) {
        let (first, heard_before) = &self.before;
        let (mut text, mut all) = (heard_before.clone(), true);
        let mut last = first.saturating_sub(1);
        for (index, sentence) in self.spoken.iter_mut().enumerate() {
            let (words, whole) = sentence.heard(to);
            all &= whole;
            if !words.is_empty() {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(words);
                last = first + index as u32;
            }
        }
        (text, all, last)
    }

    fn next(&self) -> Option<usize> {
        let index = self.before.0 + self.spoken.len() as u32;
        self.waiting.iter().position(|waiting| {
            waiting.index == index
                && self.begun.is_none_or(|begun| begun == waiting.attempt)
                && waiting.sentence.can_begin()
        })
    }
}
