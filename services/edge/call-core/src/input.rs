//! What can happen to a call.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Language, Moment, event_log::base64};

/// Mu-law audio that is shared, not copied: a prompt serves many calls at once.
pub type Audio = Arc<[u8]>;

/// What happened. Numbers and bytes from outside need no checking before: what makes no sense is ignored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input<'a> {
    /// The media stream runs (`start`, PROTOCOLS 1.5). Audio before it is ignored, a second one has no effect.
    StreamStarted,
    /// The greeting: turn 0. Spoken when the stream runs; one that comes after the first turn is not spoken.
    Greeting {
        /// What it says.
        text: String,
        /// How it sounds.
        #[serde(with = "base64")]
        audio: Audio,
    },
    /// What the caller is to hear to its end: spoken as soon as no sentence is in its middle, before any other.
    /// [`Announced`](crate::Action::Announced) tells that it was; where somebody speaks into it, nothing does.
    Announcement {
        /// What it says.
        text: String,
        /// How it sounds.
        #[serde(with = "base64")]
        audio: Audio,
    },
    /// Audio of the caller.
    AudioFrame {
        /// Mu-law, any length.
        #[serde(with = "base64")]
        payload: Cow<'a, [u8]>,
        /// `media.timestamp`: where the frame lies on the caller's time line, so that lost frames leave a gap of their
        /// length. Without it frames follow one another.
        timestamp: Option<Moment>,
    },
    /// A mark came back: what was sent before it has been played, or cleared.
    MarkReturned {
        /// Name as sent.
        name: Cow<'a, str>,
    },
    /// A key was pressed. Keys are words of a turn, and interrupt the agent as words do.
    Dtmf {
        /// `0`-`9`, `*`, `#`, `A`-`D`; anything else is ignored.
        digit: char,
    },
    /// The call is over: somebody has hung up. Where that was in the middle of a turn of the caller, the call ends when
    /// its words are back, 2 s later at the latest.
    Stop,
    /// The stream is gone, but the call may go on over another one: what the caller was saying is said again there. Ends
    /// this part of the call at once.
    Lost,
    /// The words of a segment, for [`Transcribe`](crate::Action::Transcribe).
    SegmentTranscribed {
        /// The segment's number.
        segment: u32,
        /// What was understood.
        result: Transcript,
    },
    /// Audio of one sentence of a reply, whole or a part of it (`SentenceSpoken`). Parts may come in any order; the
    /// first is spoken at once.
    SentenceSpoken {
        /// Turn it answers.
        turn: u32,
        /// Attempt at the reply; only the one begun first is spoken (DESIGN 2, turn ledger).
        attempt: u32,
        /// Place in the reply, from 0.
        index: u32,
        /// Place of this audio in the sentence, from 0.
        part: u32,
        /// Whether further parts follow.
        more: bool,
        /// What the whole sentence says.
        text: String,
        /// How it sounds. Goes out byte for byte (DESIGN 9). Nothing where it could not be spoken: the sentence ends
        /// before this part, and does not count as heard to its end.
        #[serde(with = "base64::optional")]
        audio: Option<Audio>,
    },
    /// The reply is whole: no sentence follows the ones counted here.
    ReplyFinished {
        /// Turn it answers.
        turn: u32,
        /// Attempt at the reply.
        attempt: u32,
        /// How many sentences it has.
        sentences: u32,
    },
    /// The caller is recognised in this language from now on.
    ListensIn {
        /// Which.
        language: Language,
    },
    /// Nothing but time has passed ([`CallCore::next_wake`](crate::CallCore::next_wake)).
    Tick,
}

/// What recognition made of a segment.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transcript {
    /// The words; empty where there were none (noise).
    Words {
        /// As said.
        text: String,
        /// The recogniser's, 0 to 1, where it gives one.
        confidence: Option<f32>,
    },
    /// Recognition failed.
    Failed,
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words { text, confidence } => f
                .debug_struct("Words")
                .field("chars", &text.chars().count())
                .field("confidence", confidence)
                .finish(),
            Self::Failed => f.write_str("Failed"),
        }
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StreamStarted => f.write_str("StreamStarted"),
            Self::Greeting { audio, .. } => {
                f.debug_struct("Greeting").field("bytes", &audio.len()).finish_non_exhaustive()
            }
            Self::Announcement { audio, .. } => {
                f.debug_struct("Announcement").field("bytes", &audio.len()).finish_non_exhaustive()
            }
            Self::AudioFrame { payload, timestamp } => f
                .debug_struct("AudioFrame")
                .field("bytes", &payload.len())
                .field("timestamp", timestamp)
                .finish(),
            Self::MarkReturned { name } => {
                f.debug_struct("MarkReturned").field("name", name).finish()
            }
            Self::Dtmf { .. } => f.write_str("Dtmf"),
            Self::Stop => f.write_str("Stop"),
            Self::Lost => f.write_str("Lost"),
            Self::SegmentTranscribed { segment, result } => f
                .debug_struct("SegmentTranscribed")
                .field("segment", segment)
                .field("result", result)
                .finish(),
            Self::SentenceSpoken { turn, attempt, index, part, more, audio, .. } => f
                .debug_struct("SentenceSpoken")
                .field("turn", turn)
                .field("attempt", attempt)
                .field("index", index)
                .field("part", part)
                .field("more", more)
                .field("bytes", &audio.as_ref().map(|audio| audio.len()))
                .finish_non_exhaustive(),
            Self::ReplyFinished { turn, attempt, sentences } => f
                .debug_struct("ReplyFinished")
                .field("turn", turn)
                .field("attempt", attempt)
                .field("sentences", sentences)
                .finish(),
            Self::ListensIn { language } => {
                f.debug_struct("ListensIn").field("language", language).finish()
            }
            Self::Tick => f.write_str("Tick"),
        }
    }
}
