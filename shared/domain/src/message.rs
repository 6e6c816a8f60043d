//! What people write and are written, with the files that go along, and what became of it.

use std::{fmt, sync::Arc};

use crate::{CallSid, Channel, ConversationId, EventId, Heard, Personal, TenantId, Timestamp};

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
    /// How it sounded, where the tenant has a model that hears (C7).
    pub speech: Option<Sound>,
}

/// What somebody said, as it sounded: mu-law, 8 kHz, mono.
#[derive(Clone, PartialEq, Eq)]
pub struct Sound(Arc<[u8]>);

impl Sound {
    /// The sound of these codes.
    pub fn new(mulaw: impl Into<Arc<[u8]>>) -> Self {
        Self(mulaw.into())
    }

    /// Its codes.
    pub fn mulaw(&self) -> Arc<[u8]> {
        self.0.clone()
    }
}

/// How long it is: a voice is as personal as the words.
impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sound").field("bytes", &self.0.len()).finish()
    }
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
        if self.bsuid.is_none() {
            return vec![own];
        }
        let number = self.from.reveal();
        let by_number = ConversationId::of_chat(tenant, channel.as_str(), &self.to, number);
        match by_number == own {
            true => vec![own],
            false => vec![own, by_number],
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
    /// The person has another number from now on.
    NumberChanged {
        /// That number, or the WhatsApp id made of it.
        to: Personal,
    },
    /// A word that stands alone and means the same to every business on the channel. The border answers it; agents never see it.
    Keyword(Keyword),
    /// Anything an agent cannot yet use; the value is the vendor's type name.
    Unsupported(String),
}

/// What everybody may write to a business by text message (PROTOCOLS 1.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keyword {
    /// No more messages from this number.
    Stop,
    /// Messages from this number again.
    Start,
    /// Who is this, and how does it end?
    Help,
}

impl Keyword {
    /// Its name, in the history and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Help => "help",
        }
    }

    /// The keyword of that name; `None` for one this release does not know.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Stop, Self::Start, Self::Help].into_iter().find(|word| word.as_str() == name)
    }

    /// Whether who writes it wants no messages from then on; `None` where it says nothing of that.
    pub const fn opts_out(self) -> Option<bool> {
        match self {
            Self::Stop => Some(true),
            Self::Start => Some(false),
            Self::Help => None,
        }
    }
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

/// A place on Earth, WGS 84.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

impl Location {
    /// The place as people and agents read it, by its `name` where it has one: "City Hall (43.65, -79.38)".
    pub fn told(&self, name: &Personal) -> Personal {
        let Self { latitude, longitude } = self;
        match name.is_empty() {
            true => format!("{latitude}, {longitude}").into(),
            false => format!("{} ({latitude}, {longitude})", name.reveal()).into(),
        }
    }
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

impl OfferedChoice {
    /// What a question that is answered by yes or no offers.
    pub fn yes_or_no() -> Vec<Self> {
        YES_OR_NO.map(Self::plain).to_vec()
    }

    /// Whether these are [`yes_or_no`](Self::yes_or_no). Where they cannot be buttons nobody has to be told how to answer.
    pub fn are_yes_or_no(choices: &[Self]) -> bool {
        choices.iter().map(|choice| choice.id.as_str()).eq(YES_OR_NO.map(|(id, _)| id))
    }

    fn plain((id, title): (&str, &str)) -> Self {
        Self { id: id.to_owned(), title: title.into(), description: None }
    }
}

/// By id and title.
const YES_OR_NO: [(&str, &str); 2] = [("yes", "Yes"), ("no", "No")];

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
    /// A template, which may go out at any time; the text is what the history shows of it.
    Template(SentTemplate),
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

/// A message the vendor has approved, with everything filled in (PROTOCOLS 2.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentTemplate {
    /// Its name at the vendor.
    pub name: String,
    /// Its language there, such as `en_US`.
    pub language: String,
    /// What its header has, where that is not fixed.
    pub header: Option<TemplateHeader>,
    /// The parameters of its body, in order.
    pub parameters: Vec<Personal>,
    /// Those of its buttons that are not fixed.
    pub buttons: Vec<TemplateButton>,
}

/// What stands above a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TemplateHeader {
    /// The parameter of its line.
    Text(Personal),
    /// A picture, a film or a document.
    File(SentFile),
}

/// What a button of a template is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateButton {
    /// Which button, from 0.
    pub index: u32,
    /// What.
    pub parameter: ButtonParameter,
}

/// The parameter of a template's button.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ButtonParameter {
    /// What comes back as [`MessageKind::Choice`] when it is chosen.
    Payload(String),
    /// The end of the address that it opens.
    UrlEnd(Personal),
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
