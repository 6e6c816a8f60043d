//! Keys pressed on the telephone: words of a turn, or a turn by themselves.

use super::{CallCore, Phase};
use crate::{Action, Moment, Stages};

/// Keys of one turn; more are a hand laid on the keypad.
const KEYS_MAX: usize = 64;

/// Keys that are not a turn yet.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) pressed: String,
    /// When they are a turn.
    pub(super) due: Option<Moment>,
}

impl CallCore {
    pub(super) fn press(&mut self, digit: char, out: &mut Vec<Action>) {
        if !matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D') {
            return;
        }
        self.active = self.now;
        if digit == '#' && self.keys.pressed.is_empty() {
            // It ends nothing.
            return;
        }
        self.interrupt(out);
        if digit == '#' {
            self.keys.due = Some(self.now);
        } else if self.keys.pressed.len() < KEYS_MAX {
            self.keys.pressed.push(digit);
            self.keys.due = Some(self.now + self.settings.keys_wait);
        }
    }

    /// Keys are a turn by themselves where no words come with them.
    pub(super) fn conclude_keys(&mut self, out: &mut Vec<Action>) {
        let due = self.keys.due.is_some_and(|due| self.now >= due);
        if due && self.phase == Phase::Talking && !self.turn.is_open() {
            let text = std::mem::take(&mut self.keys).pressed;
            let stages = Stages { turn_ended: Some(self.now), ..Stages::default() };
            self.interrupt(out);
            self.take_turn(text, None, stages, out);
        }
    }
}
