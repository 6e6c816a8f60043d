//! What became of a call, as the simulated caller and Twilio saw it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{
    audio::read_mulaw,
    caller::Voice,
    espeak::Espeak,
    modem::{self, FaultKind},
};

/// Samples per millisecond.
const SAMPLES_PER_MS: u64 = 8;

/// Where a call stands (PROTOCOLS 1.3, of those the simulator comes to).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallStatus {
    /// To be placed.
    #[default]
    Queued,
    /// The platform has been asked for its first document.
    Ringing,
    /// Answered.
    InProgress,
    /// Over.
    Completed,
    /// Refused.
    Busy,
    /// Ended before it was answered: the platform gave no document.
    Failed,
    /// Taken back before it was answered.
    Canceled,
}

impl CallStatus {
    /// As Twilio writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Nothing comes after it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Ringing | Self::InProgress)
    }
}

/// Everything known of a call. Times in milliseconds since it was answered.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CallReport {
    /// `CA` and 32 hex digits.
    pub sid: String,
    /// Who calls.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// The platform placed the call, through REST.
    pub outbound: bool,
    /// Where it stands.
    pub status: CallStatus,
    /// Why it ended: `caller`, `hangup` (the verb), `rest`, `rejected`, `no-instructions`, `error`.
    pub ended_by: Option<String>,
    /// When it was placed, Unix milliseconds.
    pub placed_unix_ms: i64,
    /// When it was answered, Unix milliseconds: the time line's zero.
    pub answered_unix_ms: Option<i64>,
    /// How long it lasted.
    pub duration_ms: Option<u64>,
    /// What the caller said.
    pub said: Vec<Said>,
    /// What the caller heard, turn by turn.
    pub heard: Vec<Turn>,
    /// When the turn of the agent began that is being heard.
    pub hearing_from_ms: Option<u64>,
    /// Marks sent by the platform.
    pub marks: Vec<Mark>,
    /// When the platform cleared what was queued.
    pub clears_ms: Vec<u64>,
    /// What was wrong, with Twilio's code.
    pub faults: Vec<CallFault>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// One utterance of the caller.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Said {
    /// The words.
    pub text: String,
    /// Whose voice.
    pub voice: Voice,
    /// When it began.
    pub start_ms: u64,
    /// When it ended; missing while it is being said, and when the call ended within it.
    pub end_ms: Option<u64>,
}

/// One turn of the agent, as it arrived at the caller's ear.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Turn {
    /// When its sound began.
    pub start_ms: u64,
    /// When its sound ended.
    pub end_ms: u64,
    /// From the end of the caller's last utterance to the start, read from the sound itself. Negative when the agent
    /// began before the caller had ended; missing before the caller has spoken.
    pub after_caller_ms: Option<i64>,
    /// The words understood.
    pub text: String,
    /// All of it arrived, from the first word of an utterance to the last word of one, without a fault.
    pub whole: bool,
    /// Each word, with its place in the call.
    pub words: Vec<HeardWord>,
    /// What was damaged on the way.
    pub faults: Vec<HeardFault>,
    /// It has not been decoded yet.
    pub decoding: bool,
}

/// A word, or for the espeak voice a clause.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeardWord {
    /// The word.
    pub text: String,
    /// When it began.
    pub start_ms: u64,
    /// When it ended.
    pub end_ms: u64,
}

/// Damage in what was heard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeardFault {
    /// `damaged`, `checksum`, `cut`, `missing` or `slipped` (see [`FaultKind`]).
    pub kind: String,
    /// When it begins.
    pub start_ms: u64,
    /// When it ends.
    pub end_ms: u64,
}

/// A mark of the platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mark {
    /// Its name.
    pub name: String,
    /// When it came.
    pub received_ms: u64,
    /// When it was returned.
    pub returned_ms: Option<u64>,
    /// It was returned by a clear, not because its audio had played.
    pub cleared: bool,
}

/// Something Twilio would have noted in its error log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallFault {
    /// Twilio's code, for instance 31951.
    pub code: u32,
    /// When.
    pub at_ms: u64,
    /// What was wrong.
    pub message: String,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// When, since the answer (0 before it).
    pub at_ms: u64,
    /// When, Unix milliseconds.
    pub unix_ms: i64,
    /// What: `webhook`, `stream-started`, `stream-stopped`, `redirect`, `dial`, ...
    pub what: String,
    /// Which.
    pub detail: String,
}

impl CallReport {
    /// What the caller understood, turn by turn.
    pub fn texts(&self) -> Vec<&str> {
        self.heard.iter().map(|turn| turn.text.as_str()).collect()
    }
}

impl Turn {
    /// A turn with these samples of the call, not decoded yet.
    pub(super) fn at(span: &Range<u64>, caller_ended_ms: Option<u64>) -> Self {
        let start_ms = span.start / SAMPLES_PER_MS;
        Self {
            start_ms,
            end_ms: span.end / SAMPLES_PER_MS,
            after_caller_ms: caller_ended_ms.map(|ended| start_ms as i64 - ended as i64),
            decoding: true,
            ..Self::default()
        }
    }

    /// Understands what was heard: the modem voice, or else the espeak voice. `audio` is mu-law; `start` is the sample
    /// of the call it begins with.
    pub(super) fn decode(&mut self, audio: &[u8], start: u64, espeak: &Espeak) {
        let samples = read_mulaw(audio);
        let ms = |sample: u64| (start + sample) / SAMPLES_PER_MS;
        let decoded = modem::decode(&samples);
        self.decoding = false;
        if decoded.words.is_empty() && decoded.faults.is_empty() {
            let clauses = espeak.recognise(&samples);
            let texts: Vec<_> = clauses.iter().map(|clause| clause.text.as_str()).collect();
            self.text = texts.join(" ");
            self.whole = !clauses.is_empty();
            self.words = clauses
                .iter()
                .map(|clause| HeardWord {
                    text: clause.text.clone(),
                    start_ms: ms(clause.span.start as u64),
                    end_ms: ms(clause.span.end as u64),
                })
                .collect();
            return;
        }
        self.text = decoded.text();
        self.whole = decoded.is_whole();
        for word in decoded.words {
            let end_ms = ms(word.span.end);
            match self.words.last_mut().filter(|_| word.joined) {
                Some(before) => {
                    before.text.push_str(&word.text);
                    before.end_ms = end_ms;
                }
                None => {
                    let start_ms = ms(word.span.start);
                    self.words.push(HeardWord { text: word.text, start_ms, end_ms });
                }
            }
        }
        self.faults = decoded
            .faults
            .into_iter()
            .map(|fault| HeardFault {
                kind: kind(fault.kind).to_owned(),
                start_ms: ms(fault.span.start),
                end_ms: ms(fault.span.end),
            })
            .collect();
    }
}

fn kind(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Damaged => "damaged",
        FaultKind::Checksum => "checksum",
        FaultKind::Cut => "cut",
        FaultKind::Missing => "missing",
        FaultKind::Slipped => "slipped",
    }
}
