//! When the call is recorded, and when not (B4): not before the caller was told, and not while an agent has paused it.

use call_core::{Input, Moment, Prompt};
use domain::CallCommand;

use super::Session;

impl Session {
    /// Whether the caller is told that the call is recorded: who is greeted is.
    pub(super) fn announces(&self) -> bool {
        let settings = &self.settings;
        self.greets && settings.recording && settings.recording_consent.is_some()
    }

    /// Until the caller was told, and where it was paused before the call came back, nothing is recorded.
    pub(super) fn begin_record(&mut self) {
        self.unannounced = self.announces();
        if self.unannounced {
            self.note_off_record(true);
        }
        if self.unannounced || self.off_record_talk {
            self.off_record.pause(Moment::ZERO);
        }
    }

    /// Whether numbers in what is said now are not to be kept: recording is paused, or was in the turn before, whose reply
    /// may repeat them.
    pub(super) fn is_off_record(&self) -> bool {
        self.off_record_talk || self.off_record_before
    }

    /// More of a reply was heard: recording begins where that is the announcement to its end.
    pub(super) fn reply_heard(&mut self, turn: u32, text: &str) {
        let is_consent = |consent: &Prompt| text.starts_with(consent.text.trim());
        if turn == 0 && self.unannounced && self.consent.as_ref().is_some_and(is_consent) {
            self.announced();
        }
    }

    /// The caller was told that the call is recorded.
    pub(super) fn announced(&mut self) {
        self.unannounced = false;
        if !self.off_record_talk {
            self.off_record.resume(self.clock.now());
            self.note_off_record(false);
        }
    }

    /// The announcement for who has spoken into it, or came before it: it is made once more, and until then nothing is
    /// recorded.
    pub(super) fn announcement_due(&self) -> Option<Input<'static>> {
        let consent = self.consent.as_ref().filter(|_| self.unannounced)?;
        Some(Input::Announcement { text: consent.text.clone(), audio: consent.audio.clone() })
    }

    /// A reply is over, heard whole or cut: what waited for that begins.
    pub(super) fn reply_over(&mut self, turn: u32) {
        if self.record_after.take_if(|after| *after <= turn).is_some() {
            self.resume_record();
        }
    }

    /// An agent has recording paused or resumed.
    pub(super) fn control(&mut self, command: CallCommand, turn: u32) {
        tracing::info!(call = %self.claims.call, ?command, "recording controlled");
        match command {
            CallCommand::PauseRecording => {
                self.record_after = None;
                self.off_record_talk = true;
                self.off_record.pause(self.clock.now());
                self.note_off_record(true);
            }
            // The reply that is being spoken may repeat what was told.
            CallCommand::ResumeRecording if self.off_record_talk => self.record_after = Some(turn),
            CallCommand::ResumeRecording => {}
        }
    }

    fn resume_record(&mut self) {
        self.off_record_talk = false;
        if !self.unannounced {
            self.off_record.resume(self.clock.now());
            self.note_off_record(false);
        }
    }

    /// Notes it for whoever goes on with the call, should this task be lost.
    fn note_off_record(&self, paused: bool) {
        let (services, call) = (self.services.clone(), self.claims.call.clone());
        self.services.runtime.spawn(async move {
            if let Err(error) = services.cache.set_off_record(&call, paused).await {
                tracing::warn!(%call, %error, "pause of the recording not noted");
            }
        });
    }
}
