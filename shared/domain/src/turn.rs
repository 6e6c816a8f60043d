use std::borrow::Cow;

use crate::{Personal, Timestamp};

/// The number of a turn in its conversation. A caller's first turn is 1; turn 0 is the greeting.
/// On a chat the number is given by the orchestrator in the order of arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Turn(pub u32);

impl Turn {
    /// The greeting, spoken before the caller's first words.
    pub const GREETING: Self = Self(0);

    /// The turn after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What the caller heard of a reply. This, not what was meant to be said, is what the agent
/// remembers and what the history holds (B2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// The turn whose reply it was.
    pub turn: Turn,
    /// The words heard, from the start of the reply; empty when nothing was.
    pub text: Personal,
    /// Whether the whole reply was heard.
    pub complete: bool,
}

/// Where a turn was at a moment. The stages travel in the envelope, each hop adds its own, and the
/// edge task hands the whole list to the history when the first audio goes out (DESIGN 3.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stage {
    /// Which stage.
    pub name: StageName,
    /// When it was reached, by the clock of the task that reached it.
    pub at: Timestamp,
}

/// A stage's name. The constants are those the platform itself stamps.
pub type StageName = Cow<'static, str>;

impl Stage {
    /// The caller's last voiced frame.
    pub const SPEECH_ENDED: &'static str = "speech_ended";
    /// The last segment of the caller's words left for recognition.
    pub const SEGMENT_SENT: &'static str = "segment_sent";
    /// `voice` took the segment from its queue.
    pub const TRANSCRIBE_STARTED: &'static str = "transcribe_started";
    /// The vendor's words were there.
    pub const TRANSCRIBED: &'static str = "transcribed";
    /// The words were back in the call core.
    pub const SEGMENT_TRANSCRIBED: &'static str = "segment_transcribed";
    /// The call core decided that the caller's turn is over.
    pub const TURN_ENDED: &'static str = "turn_ended";
    /// The edge received the vendor's webhook (chats).
    pub const WEBHOOK_RECEIVED: &'static str = "webhook_received";
    /// The orchestrator took the message from its queue.
    pub const ORCHESTRATOR_STARTED: &'static str = "orchestrator_started";
    /// The model's first complete sentence was there.
    pub const FIRST_SENTENCE: &'static str = "first_sentence";
    /// The whole reply was there.
    pub const REPLY_FINISHED: &'static str = "reply_finished";
    /// `voice` took the first sentence from its queue.
    pub const SPEAK_STARTED: &'static str = "speak_started";
    /// The vendor's audio of the first sentence was there.
    pub const SPOKEN: &'static str = "spoken";
    /// The audio was back at the edge task.
    pub const AUDIO_RECEIVED: &'static str = "audio_received";
    /// The first frame of the reply left for the caller.
    pub const FIRST_AUDIO_OUT: &'static str = "first_audio_out";
    /// The edge took the reply from the outbound queue (chats).
    pub const OUTBOUND_STARTED: &'static str = "outbound_started";
    /// The vendor accepted the reply (chats).
    pub const ACCEPTED: &'static str = "accepted";

    /// The stage `name`, reached at `at`.
    pub fn new(name: impl Into<StageName>, at: Timestamp) -> Self {
        Self { name: name.into(), at }
    }
}
