//! When the call is recorded, and when not (B4): not before the caller was told, and not while an agent has paused it.

use call_core::Moment;
use domain::CallCommand;

use super::Session;

impl Session {
    /// Whether the caller is told that the call is recorded. Who comes back has been.
    pub(super) fn announces(&self) -> bool {
        let settings = &self.settings;
        self.claims.attempt == 0 && settings.recording && settings.recording_consent.is_some()
    }

    /// Until the caller was told, and where an agent has paused it before the call came back, nothing is recorded.
    pub(super) fn begin_record(&mut self) {
        if self.announces() || self.off_record_talk {
            self.off_record.pause(Moment::ZERO);
        }
    }

    /// Whether numbers in what is said now are not to be kept: recording is paused, or was in the turn before, whose reply
    /// may repeat them.
    pub(super) fn is_off_record(&self) -> bool {
        self.off_record_talk || self.off_record_before
    }

    /// A sentence begins to be spoken: with the end of the announcement recording begins.
    pub(super) fn consent_begins(&mut self, turn: u32, text: &str) {
        if turn == 0
            && let Some((_, lasts)) = self.consent.take_if(|(consent, _)| consent == text)
        {
            self.off_record.resume(self.clock.now() + lasts);
        }
    }

    /// A reply is over, heard whole or cut: what waited for that begins.
    pub(super) fn reply_over(&mut self, turn: u32) {
        if turn == 0 && self.announces() && !self.off_record.is_paused() {
            // Who speaks into the announcement has heard that there is one.
            self.off_record.resume(self.clock.now());
        }
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
        self.off_record.resume(self.clock.now());
        self.note_off_record(false);
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
