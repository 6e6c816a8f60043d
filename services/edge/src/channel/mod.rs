//! The ways people reach us (A1). A channel is one module that implements [`ChannelAdapter`] and one line in
//! [`registry`]; the webhook pipeline, the outbound consumer and everything downstream know channels by this trait
//! alone.

pub mod browser;
pub mod email;
pub mod registry;
pub mod twilio_sms;
pub mod twilio_voice;
pub mod whatsapp;

use std::{fmt, net::IpAddr, time::Duration};

use actix_web::http::{Method, header::HeaderMap};
use async_trait::async_trait;
use bytes::Bytes;
use cache::Rate;
use domain::{
    BoxFuture, Channel, ConversationId, Envelope, EventId, Mail, Media, MediaKind, OfferedChoice,
    Personal, SentLink, SentTemplate, TenantId, Timestamp,
};
use unicode_segmentation::UnicodeSegmentation as _;
use uuid::Uuid;

/// One way in and out. The four duties of A1: validate a request, receive, send, and tell delivery status (which is
/// among what [`ChannelAdapter::receive`] reports, as [`Notice::Delivery`]).
#[async_trait]
pub trait ChannelAdapter: Send + Sync + 'static {
    /// Which channel it is.
    fn channel(&self) -> Channel;

    /// The paths the vendor calls.
    fn routes(&self) -> &'static [Route];

    /// Whether the vendor sent this request (E1).
    ///
    /// # Errors
    /// When it is unsigned or signed by someone else.
    fn validate(&self, request: &VendorRequest) -> Result<(), Forgery>;

    /// Whether a valid request proves who sent it, as a signature does. Only then does it speak for the address it came
    /// from, and only then is one that is not valid a forgery (E3).
    fn proves_sender(&self) -> bool {
        true
    }

    /// The name under which a repeated request gets the same answer again, without effect (DESIGN 3.1). `None` where
    /// a repeat is harmless, because its events carry the ids of the first.
    fn repeat_key(&self, _request: &VendorRequest) -> Option<String> {
        None
    }

    /// What the request says and how to answer it. Called only for validated requests.
    ///
    /// # Errors
    /// When the request is not of the shape the vendor documents.
    async fn receive(&self, request: &VendorRequest) -> Result<Reception, Malformed>;

    /// Shows the person that their message was seen, once it is safe with us. Best effort.
    async fn mark_seen(&self, _seen: &Seen) {}

    /// Fetches a file that a person sent to `our_address`: not larger than `media`'s kind may be, of a type that fits it,
    /// and whole (A5).
    ///
    /// # Errors
    /// Says whether it may be had later ([`FetchFault`]).
    async fn fetch_media(
        &self,
        _our_address: &str,
        _media: &Media,
    ) -> Result<FetchedFile, FetchFault> {
        Err(FetchFault::Refused("the channel has no files".to_owned()))
    }

    /// The longest text of one message, in characters; a longer reply is sent in parts.
    fn longest_text_chars(&self) -> usize;

    /// How long the text above `choices` may be, in characters, when the channel shows them as buttons or a list;
    /// `None` where it cannot: they are written out then, numbered.
    fn longest_text_above(&self, _choices: &[OfferedChoice]) -> Option<usize> {
        None
    }

    /// How long after a person wrote they may be written to freely; later only by a template the vendor has approved.
    /// `None` where there is no such rule.
    fn window(&self) -> Option<Duration> {
        None
    }

    /// The vendor's code for a person who wants no more messages from one of our addresses; `None` where nobody can say so.
    fn opted_out_code(&self) -> Option<i64> {
        None
    }

    /// How fast the vendor takes messages; `None` where it need not be held back.
    fn pace(&self) -> Option<Pace> {
        None
    }

    /// How long the text above a link may be, in characters, when the channel shows it as a button; `None` where it cannot:
    /// it is written out then.
    fn longest_text_above_link(&self, _link: &SentLink) -> Option<usize> {
        None
    }

    /// Whether we can react to a message; where not, the emoji is a text.
    fn takes_reactions(&self) -> bool {
        false
    }

    /// The channel as one that takes files of ours; `None` where it is none.
    fn files(&self) -> Option<&dyn TakesFiles> {
        None
    }

    /// Sends one part of a reply.
    ///
    /// # Errors
    /// Says whether the vendor may have taken it ([`SendFault`]).
    async fn send(&self, part: &OutgoingPart<'_>) -> Result<ExternalId, SendFault>;
}

/// A channel that takes files: handed over first, then named by messages.
#[async_trait]
pub trait TakesFiles: Send + Sync {
    /// As what a file of this type and size is shown; `None` where it cannot be taken.
    fn kind_of(&self, mime_type: &str, bytes: u64) -> Option<MediaKind>;

    /// The longest caption of such a file, in characters; 0 where it has none.
    fn longest_caption_chars(&self, kind: MediaKind) -> usize;

    /// How long messages may name a file that was handed over.
    fn kept_for(&self) -> Duration;

    /// Hands a file over, for messages from `our_address`; the vendor's id of it.
    ///
    /// # Errors
    /// As a send's. Whatever the fault, the same again does no harm.
    async fn upload(&self, our_address: &str, file: FileToSend) -> Result<ExternalId, SendFault>;
}

/// A file on its way out.
pub struct FileToSend {
    /// Its media type.
    pub mime_type: String,
    /// Its name, where it has one.
    pub filename: Option<Personal>,
    /// What is in it.
    pub bytes: Bytes,
}

/// A path a vendor calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The path.
    pub path: &'static str,
    /// With which method.
    pub method: RouteMethod,
    /// A larger body is answered 413 unread.
    pub max_body_bytes: usize,
}

/// The methods vendors use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteMethod {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// A vendor's request, byte for byte.
pub struct VendorRequest {
    /// The method.
    pub method: Method,
    /// The path, undecoded.
    pub path: String,
    /// The query, undecoded, without the `?`.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The address it came from: behind trusted proxies, that of the sender.
    pub source: IpAddr,
    /// When it came.
    pub received_at: Timestamp,
}

impl VendorRequest {
    /// A header's text; empty where it is missing or no text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }

    /// The URL the vendor called, as it signs it: our public base, then path and query as they came.
    pub fn public_url(&self, public_base_url: &str) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{public_base_url}{}{mark}{}", self.path, self.query)
    }
}

/// A request that is not the vendor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// It carries no signature.
    Missing,
    /// Its signature is not by our key, or not of this request.
    Wrong,
    /// A page of another site asks in its visitor's name.
    ForeignPage,
    /// A handshake that proves itself by a token named another one; answered 403 (PROTOCOLS 2.1).
    WrongToken,
}

impl Forgery {
    /// The kind, for logs and metrics.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Missing => "missing_signature",
            Self::Wrong => "wrong_signature",
            Self::ForeignPage => "foreign_page",
            Self::WrongToken => "wrong_verify_token",
        }
    }
}

/// A validated request that is not of the documented shape. Says which part is wrong and quotes nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl Malformed {
    /// `part` of the request has `problem`.
    pub fn new(part: &str, problem: impl fmt::Display) -> Self {
        Self(format!("{part}: {problem}"))
    }
}

/// What a request says.
pub struct Reception {
    /// In the order in which they are to be published.
    pub notices: Vec<Notice>,
    /// The answer, once everything is published.
    pub answer: Answer,
    /// The answer where a person of it is over the limit (E2).
    pub answer_over_limit: Answer,
    /// Where the answer depends on what becomes of the notices: awaited once they are published, in the place of
    /// `answer`. Nobody whose request was over the limit waits.
    pub outcome: Option<BoxFuture<'static, Outcome>>,
}

/// What became of a request.
pub struct Outcome {
    /// The answer.
    pub answer: Answer,
    /// What is to be published besides; the vendor does not wait for it.
    pub events: Vec<Envelope>,
}

impl Reception {
    /// Nothing to publish; just an answer.
    pub fn answered(answer: Answer) -> Self {
        Self { notices: Vec::new(), answer_over_limit: answer.clone(), answer, outcome: None }
    }
}

/// One thing a request says.
#[derive(Debug)]
pub enum Notice {
    /// A person reached us. Counts against their limit; over it, the event is dropped (E2).
    Person {
        /// Who, as the limit counts them.
        user: UserKey,
        /// What they said; nothing for a call that only begins.
        event: Option<Box<Envelope>>,
        /// What to show them once it is published.
        seen: Option<Seen>,
    },
    /// The vendor told what became of something we sent.
    Delivery {
        /// The event for the history.
        event: Box<Envelope>,
        /// The send it settles, where the vendor gave our own mark back.
        send: Option<(EventId, ExternalId)>,
    },
    /// A call is over, says the vendor. The task that owns the call knows more and comes first.
    CallOver(Box<Envelope>),
}

/// A person as the limits of E2 count them: derived from their number or id, so that neither lies in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserKey(pub Uuid);

impl UserKey {
    /// The person behind `contact` (a number, a WhatsApp id). Who hides the number counts as `otherwise`, for one
    /// anonymous caller must not use up the limit of all.
    pub fn of(tenant: TenantId, channel: &Channel, contact: &str, otherwise: &str) -> Self {
        let known = contact.bytes().any(|b| b.is_ascii_digit());
        let (kind, who) = if known { ("user", contact) } else { ("hidden", otherwise) };
        Self(tenant.derive(&format!("{kind}:{channel}:{who}")))
    }

    /// Whoever it is that comes from `source` and has no number: a web page's visitor. An IPv6 network of 64 bits is one,
    /// for a single machine may use all of its addresses.
    pub fn at(tenant: TenantId, source: IpAddr) -> Self {
        let source = match source.to_canonical() {
            IpAddr::V6(v6) => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
            v4 => v4,
        };
        Self(tenant.derive(&format!("address:{source}")))
    }
}

/// A message the person is to see as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// On which of our addresses.
    pub our_address: String,
    /// The vendor's id of the message.
    pub external_id: String,
    /// In which chat.
    pub conversation: ConversationId,
    /// Whether it is shown too that an answer is being written, where the channel can: an agent's, so not while a human has
    /// the chat.
    pub is_answered_now: bool,
}

/// What the vendor gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Content type.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: &'static [(&'static str, &'static str)],
    /// Body.
    pub body: String,
}

impl Answer {
    /// 200 with TwiML.
    pub fn twiml(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            content_type: "text/xml; charset=utf-8",
            headers: &[],
            body: body.into(),
        }
    }

    /// 200 with plain text.
    pub fn text(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            content_type: "text/plain; charset=utf-8",
            headers: &[],
            body: body.into(),
        }
    }
}

/// The vendor's id of something we sent.
pub type ExternalId = String;

/// One part of a reply, on its way out.
pub struct OutgoingPart<'a> {
    /// From which of our addresses.
    pub our_address: &'a str,
    /// To whom.
    pub to: &'a Personal,
    /// What.
    pub text: &'a str,
    /// Answers to choose from, shown below the text; only the last part has any, and only where
    /// [`ChannelAdapter::longest_text_above`] said that the channel shows them.
    pub choices: &'a [OfferedChoice],
    /// What it is besides its text.
    pub body: PartBody<'a>,
    /// Which message it answers; only the first part does.
    pub in_reply_to: Option<&'a str>,
    /// What the vendor is to give back with every status.
    pub mark: SendMark,
}

/// What a part of a reply is besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartBody<'a> {
    /// Nothing.
    Text,
    /// A template; the text is in its parameters.
    Template {
        /// The template, with everything in it.
        template: &'a SentTemplate,
        /// The file of its header, where it has one that was handed over.
        file: Option<FileAtVendor<'a>>,
    },
    /// A file; the text is its caption.
    File(FileAtVendor<'a>),
    /// A link below the text.
    Link(&'a SentLink),
    /// A reaction to the message of this id; the text is the emoji.
    Reaction(&'a str),
    /// What an e-mail has besides.
    Mail(&'a Mail),
}

/// A file that was handed over to the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileAtVendor<'a> {
    /// The vendor's id of it.
    pub id: &'a str,
    /// As what it is shown.
    pub kind: MediaKind,
    /// Its name, where it has one.
    pub filename: Option<&'a Personal>,
}

/// How fast a vendor takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one of our addresses.
    pub per_address: Rate,
    /// From one of our addresses to one person.
    pub per_person: Rate,
}

/// Our own mark on a sent message: which reply, which part of it, and the conversation a status belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendMark {
    /// The `MessageSent` event.
    pub message: EventId,
    /// The part, from 0.
    pub part: u32,
    /// The conversation.
    pub conversation: ConversationId,
}

impl SendMark {
    /// The name of the send record of this part.
    pub fn send_id(&self) -> EventId {
        match self.part {
            0 => self.message,
            part => self.message.child(&format!("part:{part}")),
        }
    }

    /// Reads back what [`fmt::Display`] wrote; `None` for a mark that is not ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let mark = Self {
            message: fields.next()?.parse().ok()?,
            part: fields.next()?.parse().ok()?,
            conversation: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(mark)
    }
}

impl fmt::Display for SendMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.message, self.part, self.conversation)
    }
}

/// Why a part was not sent, or not surely.
#[derive(Debug, thiserror::Error)]
pub enum SendFault {
    /// The vendor did not take it, and may later.
    #[error("not taken yet: {cause:#}")]
    TryLater {
        /// How long to wait at first; longer with each try.
        after: Duration,
        /// The vendor's code; 0 where nobody was reached.
        code: i64,
        /// What the vendor said.
        cause: anyhow::Error,
    },
    /// The vendor will never take it.
    #[error("refused by the vendor: {code} {detail}")]
    Refused {
        /// The vendor's code.
        code: i64,
        /// The vendor's words; nothing about the person.
        detail: String,
    },
    /// The request may have arrived: it must not be repeated (DESIGN 2, "Sends").
    #[error("no answer to a send: {0:#}")]
    Unknown(anyhow::Error),
}

/// A file a person sent.
pub struct FetchedFile {
    /// Its media type, as the vendor serves it.
    pub mime_type: String,
    /// What is in it.
    pub bytes: Bytes,
}

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchFault {
    /// It may be had later.
    #[error("not to be had now: {0:#}")]
    TryLater(anyhow::Error),
    /// It never will: it is gone, too large, of a wrong type, or not what was announced. Nothing about the person.
    #[error("not taken: {0}")]
    Refused(String),
}

/// A reply as the parts a channel takes: text of at most `longest` characters each, and with the last the choices,
/// where it shows them below a text of at most `longest_above`. Else they stand in the text, numbered; not a yes and a no,
/// which everybody knows how to write.
pub fn parts_of<'a>(
    text: &str,
    choices: &'a [OfferedChoice],
    longest: usize,
    longest_above: Option<usize>,
) -> Vec<(String, &'a [OfferedChoice])> {
    let bare = |part: &str| (part.to_owned(), &choices[..0]);
    let Some(longest_above) = longest_above.filter(|_| !choices.is_empty()) else {
        return split_text(&numbered(text, choices), longest).into_iter().map(bare).collect();
    };
    let mut parts: Vec<_> = split_text(text, longest).into_iter().map(bare).collect();
    let last = parts.pop().map(|(last, _)| last).unwrap_or_default();
    // What does not fit above the choices goes before them.
    let mut above = split_text(&last, longest_above);
    let shown = above.pop().unwrap_or_default().to_owned();
    parts.extend(above.into_iter().map(bare));
    parts.push((shown, choices));
    parts
}

/// A text with `choices` below it, written out and numbered; not a yes and a no, which everybody knows how to write.
pub fn numbered(text: &str, choices: &[OfferedChoice]) -> String {
    let mut whole = text.trim_end().to_owned();
    let is_plain = OfferedChoice::are_yes_or_no(choices);
    let listed = if is_plain { &choices[..0] } else { choices };
    for (number, choice) in (1..).zip(listed) {
        whole.push_str(&format!("\n{number}. {}", choice.title.reveal()));
        if let Some(description) = &choice.description {
            whole.push_str(&format!(" ({})", description.reveal()));
        }
    }
    whole
}

/// Cuts a text into parts of at most `longest` characters, at a line's or else a word's end where there is one in the second
/// half of the part.
pub fn split_text(text: &str, longest: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while let Some((end, _)) = rest.char_indices().nth(longest) {
        let cut = part_end(rest, end);
        parts.push(rest[..cut].trim_end());
        rest = rest[cut..].trim_start();
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

/// Where a part of `text` ends that may go up to `end`. What is read as one character is not torn apart.
fn part_end(text: &str, end: usize) -> usize {
    let head = &text[..end];
    let is_late = |at: &usize| *at > end / 2;
    let line = head.rfind('\n').filter(is_late);
    let word = || head.rfind(char::is_whitespace).filter(is_late);
    let character = || {
        let starts = text.grapheme_indices(true).map(|(at, _)| at);
        starts.take_while(|at| *at <= end).last().filter(|at| *at > 0)
    };
    line.or_else(word).or_else(character).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reply_is_cut_between_words_and_loses_none() {
        let text = "one two three four five six seven".repeat(40);
        let parts = split_text(&text, 100);
        assert!(parts.iter().all(|p| p.chars().count() <= 100 && !p.is_empty()));
        assert_eq!(parts.join(" "), text);
        assert_eq!(split_text("short", 100), ["short"]);
        assert_eq!(split_text("ééééé", 2), ["éé", "éé", "é"], "characters, not bytes");
        assert!(split_text("  ", 100).is_empty());
    }

    #[test]
    fn an_early_line_does_not_have_a_later_word_torn_apart() {
        let parts = split_text("Hi\nwe are open until five", 20);
        assert_eq!(parts, ["Hi\nwe are open", "until five"]);
        assert_eq!(split_text("we are open\nuntil five", 20), ["we are open", "until five"]);
    }

    #[test]
    fn what_is_read_as_one_character_stays_whole() {
        let family = "👩\u{200d}👩\u{200d}👧";
        assert_eq!(split_text(&format!("abc{family}d"), 6), ["abc", &format!("{family}d")]);
        assert_eq!(split_text("abcde\u{301}f", 5), ["abcd", "e\u{301}f"]);
        assert_eq!(split_text("ab🇨🇦", 3), ["ab", "🇨🇦"]);
        assert_eq!(
            split_text(family, 2).concat(),
            family,
            "too long for any part, and yet not lost"
        );
    }

    fn offered(titles: &[&str]) -> Vec<OfferedChoice> {
        let choice = |title: &&str| OfferedChoice {
            id: format!("id-{title}"),
            title: (*title).into(),
            description: None,
        };
        titles.iter().map(choice).collect()
    }

    #[test]
    fn choices_stand_below_the_last_part_where_the_channel_shows_them() {
        let choices = offered(&["Yes", "No"]);
        let parts = parts_of("one two three four", &choices, 100, Some(10));
        assert_eq!(parts, [("one two".into(), &choices[..0]), ("three four".into(), &choices[..])]);
        assert_eq!(parts_of("Sure?", &choices, 100, Some(10)), [("Sure?".into(), &choices[..])]);
    }

    #[test]
    fn choices_are_written_out_and_numbered_where_the_channel_cannot_show_them() {
        let mut choices = offered(&["Tuesday", "Friday"]);
        choices[1].description = Some("with Dr Singh".into());
        let parts = parts_of("When?", &choices, 100, None);
        assert_eq!(parts, [("When?\n1. Tuesday\n2. Friday (with Dr Singh)".into(), &choices[..0])]);
        assert_eq!(parts_of("Bye.", &[], 100, Some(10)), [("Bye.".into(), &choices[..0])]);
        let plain = OfferedChoice::yes_or_no();
        assert_eq!(parts_of("Sure?", &plain, 100, None), [("Sure?".into(), &plain[..0])]);
        assert_eq!(parts_of("Sure?", &plain, 100, Some(10)), [("Sure?".into(), &plain[..])]);
    }

    #[test]
    fn one_anonymous_caller_does_not_use_up_the_limit_of_all() {
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        let of = |who: &str, call: &str| UserKey::of(tenant, &Channel::VOICE, who, call);
        assert_eq!(of("+15551234567", "CA1"), of("+15551234567", "CA2"));
        assert_ne!(of("anonymous", "CA1"), of("anonymous", "CA2"));
    }

    #[test]
    fn visitors_without_a_number_are_told_apart_by_their_network() {
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        let at = |source: &str| UserKey::at(tenant, source.parse().unwrap());
        assert_eq!(at("192.0.2.7"), at("::ffff:192.0.2.7"));
        assert_ne!(at("192.0.2.7"), at("192.0.2.8"));
        assert_eq!(at("2001:db8:1:2::3"), at("2001:db8:1:2:ffff::4"));
        assert_ne!(at("2001:db8:1:2::3"), at("2001:db8:1:3::3"));
    }

    #[test]
    fn a_mark_comes_back_as_it_went_and_a_foreign_one_is_none_of_ours() {
        let mark = SendMark {
            message: EventId::random(),
            part: 3,
            conversation: ConversationId::from_uuid(Uuid::from_u128(9)),
        };
        assert_eq!(SendMark::parse(&mark.to_string()), Some(mark));
        for foreign in ["", "job-9", "a:b:c", &format!("{mark}:more")] {
            assert_eq!(SendMark::parse(foreign), None);
        }
    }
}
