use std::time::Duration;

use crate::{
    CallSid, Channel, ConversationId, DeliveryUpdated, Envelope, EventId, FetchMedia, Heard,
    MediaSettled, MessageReceived, MessageRefused, MessageSent, Personal, TenantId, Timestamp,
    TranscribeVoiceNote, Voice,
};

macro_rules! payloads {
    ($( $(#[$doc:meta])* $kind:ident $name:ident ),* $(,)?) => {
        /// What an envelope carries: an event (past tense, to the topic) or a job (imperative, to
        /// one queue).
        #[derive(Clone, PartialEq, Debug)]
        pub enum Payload {
            $( $(#[$doc])* $name($name), )*
        }

        impl Payload {
            /// Every payload's name, as it stands in the `event` message attribute.
            pub const NAMES: &'static [&'static str] = &[$( stringify!($name), )*];

            /// The name, as it stands in the `event` message attribute that filters look at.
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$name(_) => stringify!($name), )* }
            }

            /// Whether it goes to the topic (an event) or to one queue (a job).
            pub const fn is_event(&self) -> bool {
                match self { $( Self::$name(_) => payloads!(@$kind), )* }
            }
        }

        $( impl From<$name> for Payload {
            fn from(p: $name) -> Self { Self::$name(p) }
        } )*
    };
    (@event) => { true };
    (@job) => { false };
}

payloads! {
    /// A call was connected to us.
    event CallStarted,
    /// A call is over.
    event CallEnded,
    /// A person said or wrote something.
    event MessageReceived,
    /// An agent's whole reply.
    event MessageSent,
    /// A vendor told us what became of something we sent.
    event DeliveryUpdated,
    /// The reply of a turn is on its way to the ear; the stages tell how long each step took.
    event TurnTimed,
    /// A call's recording lies in S3.
    event RecordingFinished,
    /// A human is wanted.
    event EscalationRequested,
    /// A person is to be reminded of an appointment.
    event ReminderDue,
    /// A call is being handed to a human, or came back.
    event TransferUpdated,
    /// A file a person sent is kept, or cannot be had.
    event MediaSettled,
    /// Somebody wants what is known of a conversation as a file.
    event TraceRequested,
    /// A vendor took a message, and told later that the person may not be written to freely.
    event MessageRefused,
    /// A request for a human is to be looked at again.
    event EscalationDue,
    /// The business itself made, moved or called off an appointment.
    event AppointmentChanged,
    /// Recognise a piece of the caller's speech.
    job TranscribeSegment,
    /// The words of a segment, for the call's edge task.
    job SegmentTranscribed,
    /// Speak one sentence of a reply.
    job SpeakSentence,
    /// The audio of a sentence, for the call's edge task.
    job SentenceSpoken,
    /// No more sentences follow in this reply, for the call's edge task.
    job ReplyFinished,
    /// Join a call's recording parts into one file.
    job FinishRecording,
    /// A task's own queue works once this has come through it.
    job Ping,
    /// Book what could not be booked while the database was away.
    job BookHeld,
    /// Do something with a call that is going on, for its edge task.
    job ControlCall,
    /// A whole reply, for the edge task whose webhook waits for it.
    job ReplyWritten,
    /// Fetch a file a person sent.
    job FetchMedia,
    /// Recognise a voice note.
    job TranscribeVoiceNote,
}

/// A call was connected to us.
#[derive(Clone, PartialEq, Debug)]
pub struct CallStarted {
    /// The vendor's name of the call.
    pub call: CallSid,
    /// The caller's number, E.164, or `anonymous`.
    pub from: Personal,
    /// The number dialled: ours.
    pub to: String,
    /// What the caller is greeted with (turn 0).
    pub greeting: String,
}

/// A call is over. Its id derives from the call, so whoever learns first may publish it.
#[derive(Clone, PartialEq, Debug)]
pub struct CallEnded {
    /// The vendor's name of the call.
    pub call: CallSid,
    /// Why.
    pub reason: CallEndReason,
    /// When it began.
    pub started_at: Timestamp,
    /// What was heard of the last reply.
    pub heard: Option<Heard>,
}

/// Why a call is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallEndReason {
    /// The caller hung up.
    Caller,
    /// An agent ended it.
    Agent,
    /// It reached the time limit (B4).
    TimeLimit,
    /// The socket was lost and the call did not come back.
    Lost,
    /// It went to a human.
    Transferred,
}

/// What is known of a conversation is to be written to S3 (D5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceRequested {
    /// Why, as a short code: [`ENDED`](Self::ENDED), [`ASKED`](Self::ASKED).
    pub reason: String,
}

impl TraceRequested {
    /// The conversation is over.
    pub const ENDED: &str = "ended";
    /// Somebody asked for it.
    pub const ASKED: &str = "asked";

    /// Where in the bucket the trace lies that `of` asks for: at the end one file of a conversation, found by the day it `began`;
    /// what was asked for is a file of its own.
    pub fn key(&self, of: &Envelope, began: Timestamp) -> String {
        let (folder, name, day) = match self.reason == Self::ENDED {
            true => ("conversation-traces", of.conversation.to_string(), began),
            false => ("debug-exports", of.event_id.to_string(), of.occurred_at),
        };
        let (year, month, day) = day.utc_date();
        format!("{folder}/{}/{year:04}/{month:02}/{day:02}/{name}.json", of.tenant)
    }
}

/// The stages of a turn, which travel in the envelope, are complete.
#[derive(Clone, PartialEq, Debug)]
pub struct TurnTimed {
    /// The run of the turn that was played or sent.
    pub attempt: u32,
}

/// A call's recording lies in S3 (B4).
#[derive(Clone, PartialEq, Debug)]
pub struct RecordingFinished {
    /// The vendor's name of the call.
    pub call: CallSid,
    /// Bucket.
    pub bucket: String,
    /// `audio-recordings/{yyyy}/{mm}/{dd}/{call_sid}.wav`.
    pub key: String,
    /// Length, ms.
    pub duration_ms: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Where recording was paused, in order: both sides are silent there.
    pub paused: Vec<PausedSpan>,
}

/// A stretch of a recording in which it was paused, ms from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PausedSpan {
    /// From here,
    pub from_ms: u64,
    /// to before here.
    pub to_ms: u64,
}

/// A human is wanted (A7).
#[derive(Clone, PartialEq, Debug)]
pub struct EscalationRequested {
    /// Why, as a short code: `no_answer`, `not_understood`, `asked`, `ladder`.
    pub reason: String,
    /// What the human should know.
    pub summary: Personal,
}

/// A request for a human in a chat is to be looked at again (A7): nobody may have taken it, or whoever did may have left it.
/// How it stands is looked up then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EscalationDue {
    /// The id of the event that asked.
    pub escalation: String,
}

impl EscalationDue {
    /// The event that has `escalation`, of the chat on `channel`, looked at again at `at`.
    pub fn of(
        escalation: uuid::Uuid,
        at: Timestamp,
        (tenant, conversation, channel): (TenantId, ConversationId, Channel),
    ) -> Envelope {
        let name = format!("escalation-due:{escalation}:{}", at.as_micros());
        let id = EventId::from_uuid(tenant.derive(&name));
        let due = Self { escalation: escalation.to_string() };
        Envelope::new(id, tenant, conversation, channel, at, due)
    }
}

/// How the handing over of a call stands (A7).
#[derive(Clone, PartialEq, Debug)]
pub struct TransferUpdated {
    /// The call.
    pub call: CallSid,
    /// How it stands.
    pub status: TransferStatus,
    /// What was heard of the reply that announced it.
    pub heard: Option<Heard>,
}

/// How a transfer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransferStatus {
    /// The human is being called.
    Dialled,
    /// Somebody took the call, and the talk is over.
    Answered,
    /// Nobody took it; the caller is back with the agent.
    Returned,
}

impl TransferStatus {
    /// Its name, in the history.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dialled => "dialled",
            Self::Answered => "answered",
            Self::Returned => "returned",
        }
    }
}

/// A human is to take a call over once the reply was heard (A7).
#[derive(Clone, PartialEq, Debug)]
pub struct Handover {
    /// Who is called: E.164, or a SIP address.
    pub to: Personal,
    /// What is said to whoever takes the call.
    pub summary: Personal,
}

/// Recognise a piece of the caller's speech. Answered by [`SegmentTranscribed`] to `reply_to`.
#[derive(Clone, PartialEq, Debug)]
pub struct TranscribeSegment {
    /// The call.
    pub call: CallSid,
    /// The segment's number in the call, from 0.
    pub segment: u32,
    /// Mu-law, 8 kHz, mono.
    pub audio: Vec<u8>,
    /// BCP 47.
    pub language: String,
    /// Who is asked, in order; empty means `SB_STT` (C8).
    pub vendors: Vec<String>,
}

/// The words of a segment.
#[derive(Clone, PartialEq, Debug)]
pub struct SegmentTranscribed {
    /// The call.
    pub call: CallSid,
    /// The segment's number.
    pub segment: u32,
    /// The words, or why there are none.
    pub result: Result<Transcript, SpeechFailure>,
}

/// Words recognised.
#[derive(Clone, PartialEq, Debug)]
pub struct Transcript {
    /// The words; empty when nothing was said.
    pub text: Personal,
    /// 0 to 1.
    pub confidence: f32,
}

/// Why speech was not recognised or not spoken: every provider failed. The text says which and how,
/// for the log and the trace; it holds nothing the caller said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpeechFailure(pub String);

/// Speak one sentence. Answered by [`SentenceSpoken`] to the call's edge task.
#[derive(Clone, PartialEq, Debug)]
pub struct SpeakSentence {
    /// The call.
    pub call: CallSid,
    /// The run of the turn.
    pub attempt: u32,
    /// The sentence's place in the reply, from 0.
    pub index: u32,
    /// What to say.
    pub text: Personal,
    /// With which voice.
    pub voice: Voice,
    /// How fast.
    pub rate: SpeechRate,
    /// Whether the text is the same for everybody and said often, so that its audio may be kept: no
    /// personal data is in it.
    pub cacheable: bool,
}

/// How fast a sentence is spoken, in percent of the voice's own pace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SpeechRate(u8);

impl SpeechRate {
    /// The voice's own pace.
    pub const NORMAL: Self = Self(100);
    /// For who did not understand (B3). Every vendor can speak so slowly.
    pub const SLOWER: Self = Self(80);

    /// A pace in percent, held within what every vendor can do: 70 to 150 (PROTOCOLS 3.4, 4, 5.3).
    pub const fn percent(percent: u8) -> Self {
        match percent {
            ..70 => Self(70),
            70..=150 => Self(percent),
            151.. => Self(150),
        }
    }

    /// In percent.
    pub const fn as_percent(self) -> u8 {
        self.0
    }

    /// As a factor: 1 is the voice's own pace.
    pub fn factor(self) -> f32 {
        f32::from(self.0) / 100.0
    }
}

impl Default for SpeechRate {
    fn default() -> Self {
        Self::NORMAL
    }
}

/// The audio of a sentence, or a part of it: the first one is played while the others are on their way.
#[derive(Clone, PartialEq, Debug)]
pub struct SentenceSpoken {
    /// The call.
    pub call: CallSid,
    /// The run of the turn.
    pub attempt: u32,
    /// The sentence's place in the reply.
    pub index: u32,
    /// What is said.
    pub text: Personal,
    /// Mu-law, 8 kHz, mono, as the vendor gave it; or why there is none, from this part on.
    pub result: Result<Vec<u8>, SpeechFailure>,
    /// The place of this audio in the sentence's, from 0.
    pub part: u32,
    /// Whether further parts follow. A whole sentence is part 0 of one.
    pub more: bool,
}

/// No more sentences follow in this reply.
#[derive(Clone, PartialEq, Debug)]
pub struct ReplyFinished {
    /// The call.
    pub call: CallSid,
    /// The run of the turn.
    pub attempt: u32,
    /// How many sentences the reply has.
    pub sentences: u32,
    /// Whether the agent ends the call once the reply was heard.
    pub hang_up: bool,
    /// To whom the call goes once the reply was heard.
    pub transfer: Option<Handover>,
    /// The language in which the caller is recognised from now on, BCP 47: that of the agent that has the turn. `None`: as
    /// before.
    pub listens_in: Option<String>,
}

/// A whole reply to a turn of a call that has no media stream (A3).
#[derive(Clone, PartialEq, Debug)]
pub struct ReplyWritten {
    /// The call.
    pub call: CallSid,
    /// The run of the turn.
    pub attempt: u32,
    /// What is to be said.
    pub text: Personal,
    /// Whether the agent ends the call with it.
    pub hang_up: bool,
    /// To whom the call goes after it.
    pub transfer: Option<Handover>,
    /// In which language the agent speaks and the caller is recognised after it, BCP 47; `None` where all agents speak the
    /// tenant's.
    pub language: Option<String>,
}

/// Join a call's recording parts (`recording-parts/{call}/{index}.{caller|agent}.ulaw`), and what a lost task left in Redis
/// of one that was not whole, into one stereo file and remove them.
#[derive(Clone, PartialEq, Debug)]
pub struct FinishRecording {
    /// The call.
    pub call: CallSid,
    /// When the call began; gives the date in the key.
    pub started_at: Timestamp,
    /// How many parts are stored at least.
    pub parts: u32,
}

/// A task's own queue works once this has come through it (DESIGN 2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ping {
    /// Says which ping it is.
    pub nonce: u64,
}

/// Do something with a call that is going on, by its edge task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlCall {
    /// The call.
    pub call: CallSid,
    /// What to do.
    pub command: CallCommand,
}

/// What an agent can have done with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallCommand {
    /// Keep nothing of what is said from now on: a card number is about to be read out.
    PauseRecording,
    /// Go on recording, once the reply that is being spoken is over, for it may repeat the number.
    ResumeRecording,
}

/// Book what could not be booked while the database was away (D6). It never expires; the envelope
/// has conversation and turn.
#[derive(Clone, PartialEq, Debug)]
pub struct BookHeld {
    /// The name of the effect within its turn.
    pub effect: String,
    /// When the appointment begins.
    pub start: Timestamp,
    /// The service's name; `None` for the tenant's first.
    pub service: Option<String>,
    /// Whom it is for.
    pub name: Personal,
    /// E.164.
    pub phone: Option<Personal>,
    /// Where a confirmation may go.
    pub email: Option<Personal>,
    /// What was said besides.
    pub notes: Option<Personal>,
    /// Who called or wrote.
    pub from: Personal,
    /// Which of our addresses was called or written to.
    pub to: String,
}

/// A person is to be reminded of an appointment (C10). Whether it still stands is looked up then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReminderDue {
    /// The appointment's id.
    pub appointment: String,
}

impl ReminderDue {
    /// A person is reminded so long before.
    pub const BEFORE: Duration = Duration::from_secs(24 * 3600);

    /// The reminder of an appointment that starts at `starts_at` and was made in the conversation: to be published when it
    /// occurs. `None` where that is not later than `now`.
    pub fn of(
        appointment: uuid::Uuid,
        starts_at: Timestamp,
        (tenant, conversation, channel): (TenantId, ConversationId, Channel),
        now: Timestamp,
    ) -> Option<Envelope> {
        let before = i64::try_from(Self::BEFORE.as_micros()).unwrap_or(0);
        let at = Timestamp::from_micros(starts_at.as_micros().saturating_sub(before));
        let id = EventId::from_uuid(tenant.derive(&format!("remind:{appointment}")));
        let reminder = Self { appointment: appointment.to_string() };
        (at > now).then(|| Envelope::new(id, tenant, conversation, channel, at, reminder))
    }
}

/// The business itself, and no agent, changed an appointment: the person is to be told (A6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppointmentChanged {
    /// The appointment's id; of one that was moved, the new one's.
    pub appointment: String,
    /// What was done.
    pub change: AppointmentChange,
}

/// What was done to an appointment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppointmentChange {
    /// It was made.
    Booked,
    /// It has another time.
    Moved,
    /// It was called off.
    Cancelled,
}

impl AppointmentChanged {
    /// That `appointment` was changed at `now`. An appointment is made, moved on and called off once each, and so is each told.
    pub fn of(
        appointment: uuid::Uuid,
        change: AppointmentChange,
        (tenant, conversation, channel): (TenantId, ConversationId, Channel),
        now: Timestamp,
    ) -> Envelope {
        let name = format!("appointment-changed:{appointment}:{change:?}");
        let id = EventId::from_uuid(tenant.derive(&name));
        let changed = Self { appointment: appointment.to_string(), change };
        Envelope::new(id, tenant, conversation, channel, now, changed)
    }
}
