//! Silence: of the mesh that owes an answer, and of the caller (B3).

use super::{CallCore, Phase};
use crate::{Action, EndReason, Moment, PromptKind, Trouble};

/// How often a caller who says nothing is asked whether somebody is there (B3).
const ASKED_MAX: u32 = 2;

/// The caller has finished and waits for an answer.
#[derive(Clone, Copy)]
pub(super) struct MeshSilence {
    pub(super) turn: u32,
    /// Nothing while the caller goes on speaking.
    pub(super) since: Option<Moment>,
    pub(super) filler_said: bool,
}

impl CallCore {
    /// When the caller has been silent for too long. Not while the agent speaks or owes an answer.
    pub(super) fn caller_silent_at(&self) -> Option<Moment> {
        let owes = self.silence.is_some() || self.owes_reply();
        let busy =
            owes || self.turn.is_open() || self.keys.due.is_some() || self.playback.is_saying();
        if busy || self.phase != Phase::Talking {
            return None;
        }
        let patience = match self.playback.is_mid_reply() {
            // The rest of it should have come by then, and was dropped if it had not.
            true => self.settings.apology_after,
            false => self.settings.caller_silent_after,
        };
        Some(self.active.max(self.playback.plays_out()) + patience)
    }

    pub(super) fn ask_the_silent(&mut self, out: &mut Vec<Action>) {
        if self.caller_silent_at().is_none_or(|at| self.now < at) {
            return;
        }
        self.active = self.now;
        if self.playback.is_mid_reply() {
            // It is ours to break the silence: the caller waits for the rest of an answer that will not come.
            self.raise_fence(self.taken + 1, out);
            let heard = self.playback.drop_reply(self.now);
            self.note_heard(heard, out);
            return self.say(PromptKind::Repeat);
        }
        self.asked += 1;
        if self.asked <= ASKED_MAX {
            return self.say(PromptKind::StillThere);
        }
        self.close(PromptKind::Unheard, EndReason::CallerSilent, out);
    }

    /// Whether an answer is due of which nothing has been spoken. A greeting is none.
    pub(super) fn owes_reply(&self) -> bool {
        (self.taken > 0 || self.resumes_reply) && self.playback.awaits_reply()
    }

    /// Whether the caller, who waits for an answer, was told to wait or that the agent is back.
    pub(super) fn asked_for_patience(&self) -> bool {
        let silences = self.silence.iter().chain(&self.silence_before);
        self.taken == 0 || silences.into_iter().any(|silence| silence.filler_said)
    }

    /// From now on the caller waits for an answer to `turn`, if it is not waiting for it already.
    pub(super) fn await_mesh(&mut self, turn: u32) {
        match &mut self.silence {
            Some(silence) if silence.turn == turn => {
                silence.since.get_or_insert(self.now);
            }
            silence => {
                let new = MeshSilence { turn, since: Some(self.now), filler_said: false };
                self.silence_before = silence.replace(new);
            }
        }
    }

    /// Nothing was said after all: the caller goes on waiting for the answer that is owed, as long as before.
    pub(super) fn await_owed_reply(&mut self) {
        let silences = [self.silence_before.take(), self.silence.take()];
        if !self.owes_reply() {
            return;
        }
        let silences = silences.into_iter().flatten();
        let filler_said = silences.clone().any(|silence| silence.filler_said);
        let mut since = silences.filter(|silence| silence.turn == self.taken).map(|s| s.since);
        let since = since.next().flatten().or(Some(self.now));
        self.silence = Some(MeshSilence { turn: self.taken, since, filler_said });
    }

    /// The caller could not be understood, or not be answered: asked to say it again, then to say it slowly, and then a human
    /// is to help (B3).
    pub(super) fn ask_again(&mut self, out: &mut Vec<Action>) {
        self.setbacks += 1;
        match self.setbacks {
            1 => self.say(PromptKind::Repeat),
            2 => self.say(PromptKind::Slower),
            _ => self.call_human(self.taken + 1, Trouble::NotUnderstood, out),
        }
    }

    /// A human is to help, who takes the call at once where there is one.
    fn call_human(&mut self, turn: u32, trouble: Trouble, out: &mut Vec<Action>) {
        self.setbacks = 0;
        out.push(Action::Escalate { turn, trouble });
        match self.settings.apology_hands_over {
            true => self.close(PromptKind::Apology, EndReason::Unanswered, out),
            false => self.say(PromptKind::Apology),
        }
    }

    /// When a silence of the mesh has lasted too long. Not while the caller speaks.
    pub(super) fn silence_ends(&self) -> Option<Moment> {
        let silence = self.silence.as_ref()?;
        let since = silence.since?;
        let caller_goes_on = self.turn.is_open() && !self.turn.is_waiting_for_words();
        let is_answered = silence.turn == self.taken && self.playback.has_reply();
        if caller_goes_on || self.keys.due.is_some() || is_answered {
            return None;
        }
        let patience = if silence.filler_said {
            self.settings.apology_after
        } else {
            self.settings.filler_after.min(self.settings.apology_after)
        };
        Some(since + patience)
    }

    pub(super) fn break_silence(&mut self, out: &mut Vec<Action>) {
        if self.silence_ends().is_none_or(|ends| self.now < ends) {
            return;
        }
        let Some(silence) = &mut self.silence else {
            return;
        };
        let waited = silence.since.map(|since| self.now - since);
        if waited < Some(self.settings.apology_after) {
            silence.filler_said = true;
            return self.say(PromptKind::Filler);
        }
        let turn = silence.turn;
        (self.silence, self.silence_before) = (None, None);
        if turn == self.taken {
            self.raise_fence(turn + 1, out);
            let heard = self.playback.drop_reply(self.now);
            self.note_heard(heard, out);
        } else {
            self.turn.abandon();
        }
        self.call_human(turn, Trouble::NoAnswer, out);
    }
}
