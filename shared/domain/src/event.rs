use std::time::Duration;

use crate::{
    CallSid, Channel, ConversationId, Envelope, EventId, Heard, Personal, TenantId, Timestamp,
    Voice,
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

/// A person said or wrote something. On a call: one whole turn of the caller, published by the call
/// core alone (DESIGN 3.3).
#[derive(Clone, PartialEq, Debug)]
pub struct MessageReceived {
    /// Who: number, WhatsApp id or BSUID.
    pub from: Personal,
    /// Which of our addresses.
    pub to: String,
    /// What was said or written; for an unsupported type, empty.
    pub text: Personal,
    /// What kind of message it was.
    pub kind: MessageKind,
    /// The vendor's id of the message (`wamid`); empty on calls.
    pub external_id: String,
    /// The name the vendor gave for the person.
    pub profile_name: Option<Personal>,
    /// The WhatsApp business-scoped user id, where given.
    pub bsuid: Option<Personal>,
    /// What was heard of the reply before (calls).
    pub heard: Option<Heard>,
    /// The call it was said in; `None` on chats.
    pub call: Option<CallSid>,
    /// The vendor's id of the message this one replies to, where the person quoted one.
    pub quotes: Option<String>,
    /// The advertisement or post the person came from, as the vendor headlines it.
    pub referral: Option<Personal>,
    /// The vendor recognises and speaks in this call (A3): the reply is wanted whole, as
    /// [`ReplyWritten`] to `reply_to`, and not sentence by sentence as audio.
    pub gathered: bool,
}

impl MessageReceived {
    /// The chats a message on `channel` stands for: `own`, and the one that is named by the number alone where the person has
    /// a business-scoped id too. What we write of our own accord goes to the number.
    pub fn chats(
        &self,
        tenant: TenantId,
        channel: &Channel,
        own: ConversationId,
    ) -> Vec<ConversationId> {
        let number = self.from.reveal();
        let by_number = ConversationId::of_chat(tenant, channel.as_str(), &self.to, number);
        match self.bsuid.is_some() && by_number != own {
            true => vec![own, by_number],
            false => vec![own],
        }
    }
}

/// What kind of message a person sent.
#[derive(Clone, PartialEq, Debug)]
pub enum MessageKind {
    /// Spoken in a call.
    Speech,
    /// Written.
    Text,
    /// A button or list entry was chosen; the value is its id.
    Choice(String),
    /// A picture, a recording, a document: what it is, not what is in it. A caption is the text.
    Media(Media),
    /// A place; its name or address, where given, is the text.
    Location(Location),
    /// The person reacted to a message; the text is the emoji, empty where the reaction was taken back.
    Reaction {
        /// The vendor's id of that message.
        to: String,
    },
    /// The person changed a message; the text is what it says now.
    Edited {
        /// The vendor's id of the message as it was first sent.
        original: String,
    },
    /// The person took a message back.
    Revoked {
        /// The vendor's id of that message.
        original: String,
    },
    /// Anything an agent cannot yet use; the value is the vendor's type name.
    Unsupported(String),
}

/// A file a person sent, as the vendor announces it (PROTOCOLS 2.2, 2.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Media {
    /// What it is.
    pub kind: MediaKind,
    /// The vendor's id, by which it is fetched; good for 7 days.
    pub id: String,
    /// The media type the vendor names, such as `image/jpeg`.
    pub mime_type: String,
    /// SHA-256 of the file, hexadecimal, as the vendor computed it; empty where it names none.
    pub sha256: String,
    /// A document's name.
    pub filename: Option<Personal>,
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// A piece of sound that was chosen as a file.
    Audio,
    /// A voice note: the person spoke to us.
    VoiceNote,
    /// A document.
    Document,
    /// A sticker.
    Sticker,
}

impl MediaKind {
    /// Its name, in the history and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::VoiceNote => "voice_note",
            Self::Document => "document",
            Self::Sticker => "sticker",
        }
    }

    /// The kind of that name; `None` for one this release does not know.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Image, Self::Video, Self::Audio, Self::VoiceNote, Self::Document, Self::Sticker]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// Where a person's file is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptFile {
    /// Bucket.
    pub bucket: String,
    /// `media/{tenant}/{yyyy}/{mm}/{dd}/{message}`.
    pub key: String,
    /// The media type the vendor gives it, such as `image/jpeg`.
    pub mime_type: String,
    /// Its size.
    pub bytes: u64,
}

/// Fetch a file from its vendor and keep it (PROTOCOLS 2.5). Ends in [`MediaSettled`]; a voice note is recognised before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchMedia {
    /// The `MessageReceived` event it came with.
    pub message: EventId,
    /// What it is.
    pub media: Media,
    /// Which of our addresses it was sent to.
    pub our_address: String,
}

/// Recognise a voice note that is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TranscribeVoiceNote {
    /// The `MessageReceived` event it came with.
    pub message: EventId,
    /// The note.
    pub file: KeptFile,
    /// BCP 47.
    pub language: String,
    /// Who is asked, in order; empty means `SB_STT` (C8).
    pub vendors: Vec<String>,
}

/// What became of a file a person sent (A5).
#[derive(Clone, PartialEq, Debug)]
pub struct MediaSettled {
    /// The `MessageReceived` event it came with.
    pub message: EventId,
    /// Where it is kept; `None` where it could not be had.
    pub file: Option<KeptFile>,
    /// What a voice note says; `None` for any other file, and where nobody could understand it.
    pub words: Option<Personal>,
    /// Why it could not be had, or not be understood; nothing about the person.
    pub fault: Option<String>,
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

/// A place on Earth, WGS 84.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

/// One of several answers an agent offers. A channel that has buttons or lists shows it so; elsewhere it stands in the
/// text, numbered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferedChoice {
    /// What comes back as [`MessageKind::Choice`] when it is chosen.
    pub id: String,
    /// What the person reads.
    pub title: Personal,
    /// A second line, where the channel has room for one.
    pub description: Option<Personal>,
}

/// An agent's whole reply to a turn. Outbound channels send it, the writer keeps it.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageSent {
    /// To whom.
    pub to: Personal,
    /// From which of our addresses.
    pub from: String,
    /// The reply, whole. On a call, what was heard of it follows in [`Heard`].
    pub text: Personal,
    /// The vendor's id of the message it answers; empty on calls.
    pub in_reply_to: String,
    /// The run of the turn that made it (DESIGN 2, "Turn ledger").
    pub attempt: u32,
    /// How it came about (C9).
    pub account: TurnAccount,
    /// Answers to choose from; empty on calls, where they are spoken.
    pub choices: Vec<OfferedChoice>,
    /// What it is besides its text.
    pub form: SentForm,
}

/// What a message of ours is besides its text. A channel that cannot show it so writes it out, or refuses it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum SentForm {
    /// Nothing but the text.
    #[default]
    Text,
    /// A file; the text is its caption and may be empty.
    File(SentFile),
    /// A link below the text, as a button where the channel has such.
    Link(SentLink),
    /// A reaction to something the person wrote; the text is the emoji, empty to take it back.
    Reaction {
        /// The vendor's id of that message.
        to: String,
    },
    /// An e-mail; elsewhere it is nothing but the text.
    Mail(Mail),
}

/// A file that is sent to a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentFile {
    /// Where it is kept, and what it is.
    pub file: KeptFile,
    /// What the person sees as its name.
    pub filename: Option<Personal>,
    /// SHA-256 of it, hexadecimal: what was uploaded to a vendor once is known by it.
    pub sha256: String,
}

/// A link that a person may open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentLink {
    /// What stands on it.
    pub title: String,
    /// `https://…`
    pub url: String,
}

/// A vendor took a message, and told later in a status that the person may not be written to freely (PROTOCOLS 2.4, 131047).
/// It is sent again by a template, or held until they write: once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageRefused {
    /// The `MessageSent` event.
    pub message: EventId,
    /// Which part of it, from 0.
    pub part: u32,
    /// The vendor's id of that part.
    pub external_id: String,
    /// The vendor's code.
    pub code: i64,
}

/// What an e-mail has besides its text (A6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    /// Its subject.
    pub subject: Personal,
    /// An appointment, for the person's own calendar.
    pub entry: Option<CalendarEntry>,
}

/// An appointment in a person's own calendar (RFC 5545).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CalendarEntry {
    /// The same however often the appointment is moved; a UUID.
    pub id: String,
    /// Grows with every change of it.
    pub sequence: u32,
    /// Whether it is called off.
    pub is_cancelled: bool,
    /// When it starts.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// By whose clock, an IANA time zone.
    pub timezone: String,
    /// What it is.
    pub summary: Personal,
}

/// Which agent answered, why, and at what cost (C9).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TurnAccount {
    /// The agent's name.
    pub agent: String,
    /// The confidence it was chosen with, 0 to 1.
    pub confidence: f32,
    /// Why it was chosen, in a few words.
    pub reason: String,
    /// The language model; `rules` for the rules engine, [`TurnAccount::HUMAN`] where an operator wrote it.
    pub model: String,
    /// From taking the message to the end of the reply, ms.
    pub processing_ms: u32,
    /// Tokens read.
    pub tokens_in: u32,
    /// Tokens written.
    pub tokens_out: u32,
    /// Millionths of a US dollar.
    pub cost_micros: u64,
}

impl TurnAccount {
    /// The model of a reply that a human wrote.
    pub const HUMAN: &'static str = "human";

    /// The account of a reply that the operator `name` wrote.
    pub fn of_operator(name: impl Into<String>) -> Self {
        Self { agent: name.into(), model: Self::HUMAN.to_owned(), ..Self::default() }
    }

    /// Whether an operator wrote the reply.
    pub fn is_of_operator(&self) -> bool {
        self.model == Self::HUMAN
    }
}

/// A vendor told us what became of something we sent.
#[derive(Clone, PartialEq, Debug)]
pub struct DeliveryUpdated {
    /// The `MessageSent` event it is about, where known.
    pub message: Option<EventId>,
    /// The vendor's id of the message.
    pub external_id: String,
    /// What became of it.
    pub status: DeliveryStatus,
    /// The vendor's error code and text, when it failed.
    pub error: Option<(i64, String)>,
}

/// What became of a message. The order is the order of knowledge: a later status never gives way to
/// an earlier one, whatever order they arrive in, and doubt gives way to every word of the vendor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DeliveryStatus {
    /// It waits until the person writes: the channel takes no message of ours before (PROTOCOLS 2.4, 24 h window).
    Held,
    /// Whether it was sent cannot be known, and no status came: raised, never repeated (DESIGN 2,
    /// "Sends").
    Doubtful,
    /// The vendor took it.
    Accepted,
    /// It left the vendor.
    Sent,
    /// It reached the person's device.
    Delivered,
    /// It was read (or a voice note played).
    Read,
    /// It did not arrive, and will not.
    Failed,
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
    /// Why, as a short code: `no_answer`, `asked`, `ladder`.
    pub reason: String,
    /// What the human should know.
    pub summary: Personal,
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
}

/// Join a call's recording parts (`recording-parts/{call}/{index}.{caller|agent}.ulaw`) into one
/// stereo file and remove them.
#[derive(Clone, PartialEq, Debug)]
pub struct FinishRecording {
    /// The call.
    pub call: CallSid,
    /// When the call began; gives the date in the key.
    pub started_at: Timestamp,
    /// How many parts there are.
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
