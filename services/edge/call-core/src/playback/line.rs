//! The line to the caller: what was sent, and how much of it has been played.

use std::{collections::VecDeque, time::Duration};

use super::{between, time};
use crate::Moment;

/// Marks kept waiting at most. A vendor that returns none must not fill the memory.
const MARKS_OUT_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Line {
    /// Samples sent.
    sent: u64,
    /// When they have all been played, by the clock.
    plays_out: Moment,
    /// A position and when it was played: where a mark came back, or where sending began after a silence.
    known: (u64, Moment),
    /// Marks not returned yet.
    marks: VecDeque<Mark>,
    marks_sent: u32,
}

struct Mark {
    name: String,
    /// The position it marks.
    at: u64,
    /// When that has been played, by the clock.
    plays: Moment,
}

impl Line {
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn plays_out(&self) -> Moment {
        self.plays_out
    }

    /// How many samples more stay within `ahead` of real time.
    pub(super) fn room(&self, ahead: Duration, now: Moment) -> usize {
        between(self.plays_out.max(now), now + ahead) as usize
    }

    /// Sends `len` samples; gives when they begin to play.
    pub(super) fn send(&mut self, len: usize, now: Moment) -> Moment {
        if self.heard(now) == self.sent {
            self.known = (self.sent, now);
        }
        let begins = self.plays_out.max(now);
        self.plays_out = begins;
        self.plays_out += time(len);
        self.sent += len as u64;
        begins
    }

    /// Marks the place reached. Gives the mark's name.
    pub(super) fn mark(&mut self) -> String {
        self.marks_sent += 1;
        let name = format!("m{}", self.marks_sent);
        if self.marks.len() == MARKS_OUT_MAX {
            self.marks.pop_front();
        }
        let mark = Mark { name: name.clone(), at: self.sent, plays: self.plays_out };
        self.marks.push_back(mark);
        name
    }

    /// Takes in a mark. Those before it have been passed too. Gives what it marks, and when by the clock it was due.
    pub(super) fn mark_returned(&mut self, name: &str, now: Moment) -> Option<(u64, Moment)> {
        let place = self.marks.iter().position(|mark| mark.name == name)?;
        let mark = self.marks.drain(..=place).next_back()?;
        if mark.at >= self.known.0 {
            self.known = (mark.at, now);
        }
        Some((mark.at, mark.plays))
    }

    /// Whether every mark has come back.
    pub(super) fn is_heard(&self) -> bool {
        self.marks.is_empty()
    }

    /// How far the caller has heard.
    pub(super) fn heard(&self, now: Moment) -> u64 {
        let (at, when) = self.known;
        self.sent.min(at.saturating_add(between(when, now)))
    }

    /// Drops what was not played: from here on, what is heard counts from what is sent next. Says whether there was
    /// anything.
    pub(super) fn clear(&mut self, now: Moment) -> bool {
        let unplayed = self.plays_out > now || !self.marks.is_empty();
        self.plays_out = self.plays_out.min(now);
        self.known = (self.sent, now);
        self.marks.clear();
        unplayed
    }
}
