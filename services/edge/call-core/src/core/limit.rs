//! How a call ends by our own will: at its limit (B4), and after a last sentence.

use std::time::Duration;

use super::{CallCore, Keys, Phase, Stream};
use crate::{Action, EndReason, Moment, PromptKind, media_clock::duration};

/// How long the end of a call that has reached its limit waits for a pause in the talk.
pub(super) const LIMIT_GRACE: Duration = Duration::from_secs(15);

/// How long the end of a call waits for the mark of the goodbye.
const GOODBYE_LATE: Duration = Duration::from_secs(2);

impl CallCore {
    pub(super) fn keep_to_limit(&mut self, out: &mut Vec<Action>) {
        let Some(stream) = self.stream.as_ref() else {
            return;
        };
        let limit = self.limit(stream);
        let pause = !self.turn.is_open() && !self.playback.is_speaking(self.now);
        if self.phase != Phase::Talking {
            return;
        }
        if self.now >= limit && (pause || self.now >= limit + LIMIT_GRACE) {
            self.close(PromptKind::Goodbye, EndReason::TimeLimit, out);
        } else if pause && self.warning_at(stream).is_some_and(|at| self.now >= at) {
            self.warned = true;
            self.say(PromptKind::Warning);
        }
    }

    /// When the caller is to be told that the call is about to end.
    pub(super) fn warning_at(&self, stream: &Stream) -> Option<Moment> {
        let before = self.settings.warning_before;
        let due = !self.warned && self.settings.call_limit >= 2 * before && !before.is_zero();
        due.then(|| self.limit(stream).saturating_sub(before))
    }

    /// Ends the talk with a sentence, and the call when that has been heard.
    pub(super) fn close(&mut self, with: PromptKind, reason: EndReason, out: &mut Vec<Action>) {
        self.raise_fence(self.taken + 1, out);
        let heard = self.silence_agent(out);
        self.note_heard(heard, out);
        self.turn.abandon();
        self.keys = Keys::default();
        self.silence = None;
        self.say(with);
        let length = self.prompt(with).map_or(0, |prompt| prompt.audio.len());
        let latest = self.now + duration(length as u64) + GOODBYE_LATE;
        self.phase = Phase::Closing(latest, reason);
    }

    pub(super) fn limit(&self, stream: &Stream) -> Moment {
        stream.started + self.settings.call_limit.saturating_sub(self.settings.spent)
    }
}
