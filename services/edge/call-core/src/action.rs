//! What the shell is to do.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{Moment, event_log::base64, settings::PromptKind};

/// What the shell does, in the order given. No action answers; what comes of it returns as an
/// [`Input`](crate::Input).
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Send this mu-law audio to the caller now.
    SendAudio(#[serde(with = "base64")] Vec<u8>),
    /// Send a mark of this name; names are unique within the stream.
    SendMark(String),
    /// Drop what the caller has not heard yet.
    SendClear,
    /// Set `{call}:turn` in Redis: everything of an earlier turn is cancelled. Comes before the
    /// [`TurnTaken`](Action::TurnTaken) of the same turn (DESIGN 2), and once it is sure that the caller interrupts; the
    /// [`SendClear`](Action::SendClear) comes with the first doubt.
    SetFence {
        /// The first turn that still counts.
        turn: u32,
    },
    /// The caller may be interrupting: whoever still makes the reply to this turn is to stop. Comes with the
    /// [`SendClear`](Action::SendClear); [`EndDoubt`](Action::EndDoubt) or [`SetFence`](Action::SetFence) follows.
    Doubt {
        /// The turn answered.
        turn: u32,
    },
    /// The caller only listened: the reply is to go on where it was.
    EndDoubt {
        /// The turn answered.
        turn: u32,
    },
    /// Publish `TranscribeSegment`; its result comes back as
    /// [`SegmentTranscribed`](crate::Input::SegmentTranscribed).
    Transcribe {
        /// The turn these words will belong to if there are any.
        turn: u32,
        /// Number of the segment, unique within the call, from 1.
        segment: u32,
        /// Where the segment begins on the caller's side of the recording.
        offset: Duration,
        /// Mu-law. Segments of one turn follow one another without a gap.
        #[serde(with = "base64")]
        audio: Vec<u8>,
        /// Only a look at a segment in the making, which comes whole under a number of its own.
        tentative: bool,
    },
    /// Publish `MessageReceived`: the caller has finished a turn.
    TurnTaken {
        /// Number of the turn, from 1 and without a gap.
        turn: u32,
        /// The caller's words.
        text: String,
        /// The recogniser's least confidence in any segment, where it gave one.
        confidence: Option<f32>,
        /// What was heard of the reply before; nothing if none was due.
        heard: Option<Heard>,
        /// Times so far.
        stages: Stages,
    },
    /// The first audio of the reply went out; comes once per turn at most.
    TurnAudible {
        /// The turn answered.
        turn: u32,
        /// Times, now whole.
        stages: Stages,
    },
    /// A mark has told that more of a reply was heard than was known before.
    HeardProgress {
        /// The turn answered; 0 is the greeting.
        turn: u32,
        /// The attempt that is spoken.
        attempt: u32,
        /// The sentence heard last, wholly or in part, from 0.
        sentence: u32,
        /// All that was heard of the reply so far.
        text: String,
    },
    /// A reply is over, heard to its end or cut. Comes once per reply at most, before the
    /// [`TurnTaken`](Action::TurnTaken) that repeats it.
    ReplyHeard(Heard),
    /// What is to follow the reply may, though not all of it was heard: the caller only agreed over its last word, or a
    /// sentence could not be spoken. Comes after its [`ReplyHeard`](Action::ReplyHeard).
    ReplyPlayedOut {
        /// The turn answered.
        turn: u32,
    },
    /// A sentence rendered ahead begins to be spoken.
    PromptStarted {
        /// Which.
        prompt: PromptKind,
        /// The turn in which.
        turn: u32,
        /// What it says.
        text: String,
    },
    /// The last [`Announcement`](crate::Input::Announcement) was heard to its end.
    Announced,
    /// A sentence of a reply begins to be spoken: comes before its first [`SendAudio`](Action::SendAudio).
    SentenceStarted {
        /// The turn answered; 0 is the greeting.
        turn: u32,
        /// What it says.
        text: String,
    },
    /// Publish `EscalationRequested`: the caller cannot be helped here (B3).
    Escalate {
        /// The turn that got no answer.
        turn: u32,
        /// Why it got none.
        trouble: Trouble,
    },
    /// Store a part of the recording. Parts come in order, tile the call, and hold the same number of samples of both
    /// sides.
    RecordingPart {
        /// From 0.
        index: u32,
        /// Samples of 125 us since the start of the stream.
        offset_samples: u64,
        /// Mu-law of the left channel.
        #[serde(with = "base64")]
        caller: Vec<u8>,
        /// Mu-law of the right channel.
        #[serde(with = "base64")]
        agent: Vec<u8>,
    },
    /// Keep this stretch of a part that is not whole yet, in the place of what was kept of it before: all that is left of
    /// it where this task is lost. [`RecordingPart`](Action::RecordingPart) of the same part comes in its place.
    RecordingBlock {
        /// The part.
        part: u32,
        /// Which stretch of it, from 0.
        block: u32,
        /// Samples of 125 us since the start of the stream.
        offset_samples: u64,
        /// Mu-law of the left channel.
        #[serde(with = "base64")]
        caller: Vec<u8>,
        /// Mu-law of the right channel.
        #[serde(with = "base64")]
        agent: Vec<u8>,
    },
    /// The call is over; the last action ever. The shell closes the stream where the caller has not.
    End {
        /// Why.
        reason: EndReason,
        /// What was heard of the last reply, if no [`TurnTaken`](Action::TurnTaken) has told it.
        heard: Option<Heard>,
    },
}

/// Why a human is to help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The mesh has been silent too long.
    NoAnswer,
    /// The caller was asked to say it again, and could not be understood or answered all the same.
    NotUnderstood,
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The caller hung up or the stream stopped.
    Stopped,
    /// It reached [`call_limit`](crate::Settings::call_limit).
    TimeLimit,
    /// The caller said nothing, though asked twice (B3).
    CallerSilent,
    /// The mesh did not answer, or the caller was not understood: the call goes to a human (DESIGN 3).
    Unanswered,
}

/// What the caller heard of a reply. Words that may have been cut are not in it (B2).
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// The turn answered; 0 is the greeting.
    pub turn: u32,
    /// The words; of a sentence cut short, those played to their end. Empty if nothing was heard.
    pub text: String,
    /// Whether that is all of it.
    pub complete: bool,
}

/// When each stage of a turn was reached (DESIGN 3.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stages {
    /// The caller's last voice.
    pub speech_ended: Option<Moment>,
    /// The last segment was handed out.
    pub segment_sent: Option<Moment>,
    /// The last words came back.
    pub segment_transcribed: Option<Moment>,
    /// The turn was taken.
    pub turn_ended: Option<Moment>,
    /// The first sentence of the reply came.
    pub first_audio_received: Option<Moment>,
    /// Its first frame went out.
    pub first_audio_out: Option<Moment>,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard")
            .field("turn", &self.turn)
            .field("chars", &self.text.chars().count())
            .field("complete", &self.complete)
            .finish()
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SendAudio(audio) => {
                f.debug_struct("SendAudio").field("bytes", &audio.len()).finish()
            }
            Self::SendMark(name) => f.debug_tuple("SendMark").field(name).finish(),
            Self::SendClear => f.write_str("SendClear"),
            Self::SetFence { turn } => f.debug_struct("SetFence").field("turn", turn).finish(),
            Self::Doubt { turn } => f.debug_struct("Doubt").field("turn", turn).finish(),
            Self::EndDoubt { turn } => f.debug_struct("EndDoubt").field("turn", turn).finish(),
            Self::Transcribe { turn, segment, offset, audio, tentative } => f
                .debug_struct("Transcribe")
                .field("turn", turn)
                .field("segment", segment)
                .field("offset", offset)
                .field("bytes", &audio.len())
                .field("tentative", tentative)
                .finish(),
            Self::TurnTaken { turn, text, confidence, heard, stages } => f
                .debug_struct("TurnTaken")
                .field("turn", turn)
                .field("chars", &text.chars().count())
                .field("confidence", confidence)
                .field("heard", heard)
                .field("stages", stages)
                .finish(),
            Self::TurnAudible { turn, stages } => {
                f.debug_struct("TurnAudible").field("turn", turn).field("stages", stages).finish()
            }
            Self::HeardProgress { turn, attempt, sentence, text } => f
                .debug_struct("HeardProgress")
                .field("turn", turn)
                .field("attempt", attempt)
                .field("sentence", sentence)
                .field("chars", &text.chars().count())
                .finish(),
            Self::ReplyHeard(heard) => f.debug_tuple("ReplyHeard").field(heard).finish(),
            Self::ReplyPlayedOut { turn } => {
                f.debug_struct("ReplyPlayedOut").field("turn", turn).finish()
            }
            Self::PromptStarted { prompt, turn, .. } => f
                .debug_struct("PromptStarted")
                .field("prompt", prompt)
                .field("turn", turn)
                .finish_non_exhaustive(),
            Self::Announced => f.write_str("Announced"),
            Self::SentenceStarted { turn, text } => f
                .debug_struct("SentenceStarted")
                .field("turn", turn)
                .field("chars", &text.chars().count())
                .finish(),
            Self::Escalate { turn, trouble } => {
                f.debug_struct("Escalate").field("turn", turn).field("trouble", trouble).finish()
            }
            Self::RecordingPart { index, offset_samples, caller, agent } => f
                .debug_struct("RecordingPart")
                .field("index", index)
                .field("offset_samples", offset_samples)
                .field("caller_bytes", &caller.len())
                .field("agent_bytes", &agent.len())
                .finish(),
            Self::RecordingBlock { part, block, offset_samples, caller, agent } => f
                .debug_struct("RecordingBlock")
                .field("part", part)
                .field("block", block)
                .field("offset_samples", offset_samples)
                .field("caller_bytes", &caller.len())
                .field("agent_bytes", &agent.len())
                .finish(),
            Self::End { reason, heard } => {
                f.debug_struct("End").field("reason", reason).field("heard", heard).finish()
            }
        }
    }
}
