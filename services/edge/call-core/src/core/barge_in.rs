//! What the caller says into the agent's own speech: it pauses at once, and whether that was an interruption tell the words
//! (B2).

use std::time::Duration;

use super::{CallCore, Phase};
use crate::{
    Action, PromptKind, TurnSettings,
    utterance::{Agent, may_be_back_channel},
};

/// So much voice into a reply in which no words are found comes from something else than a caller.
const WORDLESS_INTO_REPLY: Duration = Duration::from_secs(3);

impl CallCore {
    /// The caller speaks: the agent does not, but may go on with its reply where that was no interruption.
    pub(super) fn fall_silent(&mut self, out: &mut Vec<Action>) {
        let turn = self.taken + 1;
        if let Some(silence) = self.silence.as_mut().filter(|silence| silence.turn == turn) {
            silence.since = None;
        }
        if self.settings.turn.back_channel_longest.is_zero() {
            self.interrupt(out);
        } else if self.playback.is_mid_reply() {
            if let Some(stream) = self.stream.as_mut().filter(|_| !self.playback.is_paused()) {
                let unfinished = self.playback.reply().filter(|reply| !reply.is_finished());
                self.doubted = unfinished.map(|reply| reply.turn());
                out.extend(self.doubted.map(|turn| Action::Doubt { turn }));
                self.playback.pause(self.now, &mut stream.recording, out);
            }
        } else {
            self.cut_prompt(out);
        }
    }

    /// What is said besides replies stops for good. Should nothing have been said into it, the caller, who heard it break
    /// off, is asked to say it again; into that, once.
    fn cut_prompt(&mut self, out: &mut Vec<Action>) {
        if self.playback.is_speaking(self.now) {
            let asks_again = [PromptKind::Repeat, PromptKind::Slower].map(Some);
            self.has_cut = !asks_again.contains(&self.playback.prompt());
            self.clear(out);
        }
    }

    /// The caller takes the turn: the reply, if one is being spoken, is over.
    pub(super) fn interrupt(&mut self, out: &mut Vec<Action>) {
        if self.playback.is_mid_reply() {
            // Before the clear: whoever still works on the reply is to stop before the caller hears it stop.
            self.raise_fence(self.taken + 1, out);
            let heard = self.silence_agent(out);
            self.has_cut = heard.as_ref().is_some_and(|heard| !heard.complete);
            self.note_heard(heard, out);
        } else {
            self.cut_prompt(out);
        }
    }

    /// The caller speaks into a reply that has paused. For longer than one says "okay": the words so far are looked at. For
    /// so long without any that are known: that is no cough.
    pub(super) fn listen_closer(&mut self, out: &mut Vec<Action>) {
        let TurnSettings { back_channel_longest, unknown_longest, .. } = self.settings.turn;
        let unknown = self.turn.unknown();
        if unknown < back_channel_longest {
            return;
        }
        if unknown >= unknown_longest.max(back_channel_longest) {
            self.interrupt(out);
        } else if let Some(segment) = self.turn.peek(self.now) {
            self.transcribe(segment, true, out);
        }
    }

    /// More is known of what the caller is saying into a reply that has paused: either it interrupts, or it may go on.
    pub(super) fn weigh_words(&mut self, out: &mut Vec<Action>) {
        if !self.playback.is_paused() {
            return;
        }
        if may_be_back_channel(&self.turn.overheard(), self.agent_in_reply(), self.turn.language())
        {
            self.turn.pass_over();
        } else {
            self.interrupt(out);
        }
    }

    /// Music and television sound like somebody who does not stop: they neither mute the agent nor hold up its answer (B3).
    pub(super) fn give_up_babble(&mut self, out: &mut Vec<Action>) {
        let is_paused = self.playback.is_paused();
        let longest = match is_paused {
            true => WORDLESS_INTO_REPLY,
            false => self.settings.turn.longest_segment,
        };
        if self.phase != Phase::Talking
            || !self.turn.is_speaking()
            || self.turn.wordless() < longest
        {
            return;
        }
        self.turn.ignore();
        self.active = self.now;
        match is_paused {
            true => self.playback.resume(),
            false => self.go_back(true, out),
        }
    }

    /// A reply does not stand still for words that do not come back; they may still end it.
    pub(super) fn give_up_doubt(&mut self) {
        let quiet = self.turn.quiet() >= self.settings.turn.doubt_longest;
        let is_unknown = self.turn.is_waiting_for_words() && !self.turn.is_speaking();
        if self.playback.is_paused() && is_unknown && quiet {
            self.playback.resume();
        }
    }

    /// The caller only listened: the reply is to go on.
    pub(super) fn end_doubt(&mut self, out: &mut Vec<Action>) {
        out.extend(self.doubted.take().map(|turn| Action::EndDoubt { turn }));
    }

    /// What the agent is at that has begun its reply.
    pub(super) fn agent_in_reply(&self) -> Agent {
        match self.playback.was_asking() {
            true => Agent::Asking,
            false => Agent::Telling,
        }
    }
}
