//! The call as a whole: what each input means for the turn, the playback and the recording.

use crate::{Action, EndReason, Input, Moment, Settings};

/// One phone call.
pub struct CallCore {
    settings: Settings,
    now: Moment,
    ended: bool,
}

impl CallCore {
    /// A call whose stream has not started yet.
    pub fn new(settings: Settings, now: Moment) -> Self {
        Self {
            settings,
            now,
            ended: false,
        }
    }

    /// Takes in what happened at `now` and appends what is to be done to `out`.
    pub fn handle(&mut self, input: Input<'_>, now: Moment, out: &mut Vec<Action>) {
        if self.ended {
            return;
        }
        self.now = self.now.max(now);
        if matches!(input, Input::Stop) {
            self.ended = true;
            out.push(Action::End {
                reason: EndReason::Stopped,
                heard: None,
            });
        }
    }

    /// When to call with [`Input::Tick`] at the latest if nothing else happens; nothing once the call has ended.
    pub fn next_wake(&self) -> Option<Moment> {
        (!self.ended).then(|| self.now + self.settings.call_limit)
    }

    /// Whether [`Action::End`] has been given.
    pub fn is_ended(&self) -> bool {
        self.ended
    }
}
