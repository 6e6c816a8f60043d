//! One sentence: its audio in parts, whichever order they come in, how far it was said, and how much of it was heard.

use std::borrow::Cow;

use super::words;
use crate::Audio;

/// Parts of a sentence. More would be a fault of the sender.
const PARTS_MAX: usize = 512;

/// 400 ms, after which one knows what a sentence is about, if it is not half over before.
const GRASPED_SAMPLES: u64 = 3_200;

pub(super) struct Sentence {
    text: String,
    parts: Vec<Option<Audio>>,
    /// How many parts there are, once that is known.
    count: Option<usize>,
    /// Its end could not be spoken, or never came.
    broken: bool,
    /// Samples heard before it was begun, or begun again.
    from: u64,
    /// Position on the line of the first sample after those.
    at: u64,
    begun: bool,
    /// Samples that need not be sent any more.
    sent: u64,
    /// Where each word ends, once it was asked.
    ends: Option<Vec<f32>>,
}

impl Sentence {
    /// What it says.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A sentence of which nothing has come yet.
    pub(super) fn new(text: String) -> Self {
        Self {
            text,
            parts: Vec::new(),
            count: None,
            broken: false,
            from: 0,
            at: 0,
            begun: false,
            sent: 0,
            ends: None,
        }
    }

    /// A sentence that is all there.
    pub(super) fn whole(text: String, audio: Audio) -> Self {
        Self { parts: vec![Some(audio)], count: Some(1), ..Self::new(text) }
    }

    /// Takes in a part, unless it has come before or lies behind the end. Without audio the sentence breaks off there; what
    /// has come is there, however a repetition of it went.
    pub(super) fn add(&mut self, part: u32, more: bool, audio: Option<Audio>) {
        let part = part as usize;
        let has_come = matches!(self.parts.get(part), Some(Some(_)));
        if has_come || part >= self.count.unwrap_or(PARTS_MAX) {
            return;
        }
        let Some(audio) = audio else {
            self.broken = true;
            self.count = Some(part);
            return self.parts.truncate(part);
        };
        if self.parts.len() <= part {
            self.parts.resize(part + 1, None);
        }
        self.parts[part] = Some(audio);
        self.ends = None;
        if !more {
            self.count = Some(part + 1);
            self.parts.truncate(part + 1);
        }
    }

    /// Whether it can be begun: its first part is there, or it is known to have none.
    pub(super) fn can_begin(&self) -> bool {
        self.count == Some(0) || matches!(self.parts.first(), Some(Some(_)))
    }

    /// Whether all of it is there, and makes no sound: it could not be spoken.
    pub(super) fn is_silent(&self) -> bool {
        self.has_all() && self.len() == 0
    }

    /// Begins to say it, or goes on after a pause, at position `at` of the line. Says whether that is the beginning of it.
    pub(super) fn begin(&mut self, at: u64) -> bool {
        self.at = at;
        !std::mem::replace(&mut self.begun, true)
    }

    /// Goes back to the word that one was in the middle of who has heard up to position `to`. Says whether there is
    /// something to say again, or for the first time.
    pub(super) fn go_back(&mut self, to: u64) -> bool {
        let played = self.played(to);
        let from =
            if self.is_sent() && played == self.len() { played } else { self.word_begins(played) };
        self.from = from;
        self.sent = from;
        !self.is_sent()
    }

    /// Where the word ends that was heard before the one at `played`.
    fn word_begins(&mut self, played: u64) -> u64 {
        let ends = self.ends().iter().take_while(|end| **end <= played as f32);
        // Rounded up, so that the word before counts as heard to its end.
        ends.last().map_or(0, |end| (end.ceil() as u64).min(played)).max(self.from)
    }

    /// What is to be sent next: up to the end of a part, nothing where the next one is not there.
    pub(super) fn rest(&self) -> &[u8] {
        let mut before = 0;
        for part in &self.parts {
            let Some(part) = part else {
                break;
            };
            let skip = (self.sent - before) as usize;
            if let Some(rest @ [_, ..]) = part.get(skip..) {
                return rest;
            }
            before += part.len() as u64;
        }
        &[]
    }

    /// Notes that so many samples were sent.
    pub(super) fn send(&mut self, samples: usize) {
        self.sent += samples as u64;
    }

    /// How many samples were sent since it was begun.
    pub(super) fn since_begun(&self) -> usize {
        (self.sent - self.from) as usize
    }

    /// Whether all of it has been sent.
    pub(super) fn is_sent(&self) -> bool {
        self.has_all() && self.sent >= self.len()
    }

    /// Whether it cannot go on before another part comes.
    pub(super) fn is_stuck(&self) -> bool {
        self.rest().is_empty() && !self.is_sent()
    }

    /// Waits for no more parts.
    pub(super) fn break_off(&mut self) {
        let there = self.there().count();
        self.parts.truncate(there);
        self.count = Some(there);
        self.broken = true;
    }

    /// What was heard by one who has heard up to position `to`: its words, and whether that is all of it.
    pub(super) fn heard(&mut self, to: u64) -> (&str, bool) {
        let played = self.played(to);
        let all = self.is_sent() && !self.broken && played == self.len() && played > 0;
        if all {
            return (self.text.trim(), true);
        }
        if played == 0 {
            return ("", false);
        }
        self.ends();
        let ends = self.ends.as_deref().unwrap_or_default();
        (words::before(self.text.trim(), ends, played), false)
    }

    /// Whether one who has heard up to position `to` knows what it is about.
    pub(super) fn is_grasped(&self, to: u64) -> bool {
        let half = if self.has_all() { self.len() / 2 } else { u64::MAX };
        let played = self.played(to);
        played > 0 && played >= half.min(GRASPED_SAMPLES)
    }

    /// How many samples of what there is of it one has not heard who has heard up to position `to`.
    pub(super) fn unheard(&self, to: u64) -> u64 {
        self.len() - self.played(to)
    }

    /// Where each word ends.
    fn ends(&mut self) -> &[f32] {
        match &mut self.ends {
            Some(ends) => ends,
            unknown => {
                let text = self.text.trim();
                let known = self.count == Some(self.parts.len())
                    && self.parts.iter().all(Option::is_some)
                    && !self.broken;
                unknown.insert(if known {
                    words::ends(text, &joined(&self.parts))
                } else {
                    words::likely_ends(text, self.parts.iter().flatten().map(|p| p.len()).sum())
                })
            }
        }
    }

    /// How many samples of it one has heard who has heard up to position `to`.
    fn played(&self, to: u64) -> u64 {
        self.from + to.saturating_sub(self.at).min(self.sent - self.from)
    }

    /// Samples that follow one another from the start.
    fn len(&self) -> u64 {
        self.there().map(|part| part.len() as u64).sum()
    }

    fn has_all(&self) -> bool {
        self.count == Some(self.there().count())
    }

    fn there(&self) -> impl Iterator<Item = &Audio> {
        self.parts.iter().map_while(Option::as_ref)
    }
}

fn joined(parts: &[Option<Audio>]) -> Cow<'_, [u8]> {
    match parts {
        [Some(one)] => Cow::Borrowed(one),
        parts => Cow::Owned(parts.iter().flatten().flat_map(|part| part.iter().copied()).collect()),
    }
}
