//! A person's turn: its words, and what comes along with them in a chat.

use std::{fmt, sync::Arc};

use domain::{Heard, Media, MediaKind, MessageKind, Personal, Turn};

/// As much of a message that is replied to, or of what an advertisement says, as is told.
const TOLD_CHARS_MAX: usize = 300;

/// What a model is told of a file that it is not shown.
pub(crate) const NOT_SEEN: &str =
    "You do not see the file they sent; the team does. Do not guess what is in it.";

/// A person's turn, as the core takes it.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Its number.
    pub turn: Turn,
    /// The words.
    pub text: Personal,
    /// What kind of message it was.
    pub kind: MessageKind,
    /// What was heard of the reply before (calls).
    pub heard: Option<Heard>,
    /// Whether the answer is spoken.
    pub spoken: bool,
    /// The number or WhatsApp id it came from; empty where it is not known.
    pub from: Personal,
    /// What there is of its file; `None` where it has none, or nobody has looked.
    pub attachment: Option<Attachment>,
    /// The message it replies to, where the person pointed at one that is known.
    pub quoted: Option<Quoted>,
    /// The advertisement or post the person came from.
    pub referral: Option<Personal>,
}

/// What there is of the file of a message (A5).
#[derive(Clone, PartialEq, Debug)]
pub enum Attachment {
    /// It is kept for people; a model is shown nothing of it.
    Kept,
    /// A model may be shown it as it is.
    Shown(FileBytes),
    /// A document's text, or its beginning.
    Text(Personal),
    /// It could not be had.
    Missing,
}

/// A picture or a PDF, as the person sent it.
#[derive(Clone, PartialEq, Eq)]
pub struct FileBytes {
    /// Its media type, without parameters.
    pub mime_type: String,
    /// The file.
    pub bytes: Arc<[u8]>,
}

/// How much there is: what is in it is the person's.
impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBytes")
            .field("mime_type", &self.mime_type)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// A message that another one replies to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quoted {
    /// Whether we wrote it.
    pub is_ours: bool,
    /// What it says.
    pub text: Personal,
}

impl Message {
    /// The words to answer: for a choice without a title, its id. The name of a place is no words.
    pub(crate) fn words(&self) -> Personal {
        match &self.kind {
            MessageKind::Choice(id) if self.text.is_empty() => id.as_str().into(),
            MessageKind::Location(_) => Personal::default(),
            _ => self.text.clone(),
        }
    }

    /// What of the message is told to a model and remembered: the words, and what came along with them.
    pub(crate) fn shown(&self) -> Personal {
        let referral = self.referral.as_ref().map(|advertisement| {
            format!("[came from the advertisement \"{}\"]", beginning(advertisement))
        });
        let quoted = self.quoted.as_ref().map(|quoted| {
            let whose = if quoted.is_ours { "your" } else { "their own" };
            format!("[in reply to {whose} message \"{}\"]", beginning(&quoted.text))
        });
        let words = Some(self.words().into_revealed()).filter(|words| !words.is_empty());
        let parts = [referral, quoted, words, self.marker()];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join(" ").into()
    }

    /// What stands for that which is no words.
    fn marker(&self) -> Option<String> {
        let media = match &self.kind {
            MessageKind::Location(place) => {
                return Some(self::place(&place.told(&self.text)).into_revealed());
            }
            MessageKind::Media(media) => media,
            _ => return None,
        };
        let what = match media.kind {
            // Its words are what was sent.
            MediaKind::VoiceNote if !self.text.is_empty() => return None,
            MediaKind::VoiceNote => "a voice note that could not be understood".to_owned(),
            kind => format!("a {}", name_of(kind)),
        };
        let name = media.filename.as_ref().map(|name| format!(" named {}", name.reveal()));
        let what = format!("{what}{}", name.unwrap_or_default());
        Some(match &self.attachment {
            Some(Attachment::Text(text)) => {
                format!("[sent {what}, which says:]\n{}\n[the end of it]", text.reveal())
            }
            Some(Attachment::Missing) => format!("[sent {what}, which did not arrive]"),
            _ => format!("[sent {what}]"),
        })
    }

    /// What a model is told of a file that it does not see.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match (self.file()?, &self.attachment) {
            (_, Some(Attachment::Shown(_) | Attachment::Text(_))) => None,
            (_, Some(Attachment::Missing)) => {
                Some("The file they sent did not arrive: ask for it once more.")
            }
            _ => Some(NOT_SEEN),
        }
    }

    /// The file that came with it; the words of a voice note are no file to anybody.
    fn file(&self) -> Option<&Media> {
        match &self.kind {
            MessageKind::Media(media) if media.kind != MediaKind::VoiceNote => Some(media),
            _ => None,
        }
    }

    /// Whether there is nothing in it but a file or a place, which is answered whoever has the turn.
    pub(crate) fn is_without_words(&self) -> bool {
        let brings = self.file().is_some() || matches!(self.kind, MessageKind::Location(_));
        brings && self.words().is_empty()
    }

    /// What is said, by the rules, of what came along: that it is here, or that it did not arrive.
    pub(crate) fn receipt(&self) -> Option<String> {
        let what = match (&self.kind, self.file()) {
            (MessageKind::Location(_), _) => "location",
            (_, Some(media)) => name_of(media.kind),
            _ => return None,
        };
        Some(match self.attachment {
            Some(Attachment::Missing) => {
                format!("Sorry, I could not get your {what}. Could you send it again?")
            }
            _ if what == name_of(MediaKind::Sticker) => "Thank you for the sticker.".to_owned(),
            _ => format!("Thank you, I have your {what}; the team will see it."),
        })
    }

    /// Whether what came along has to be sent again.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.attachment, Some(Attachment::Missing)) && self.file().is_some()
    }

    /// What kind of message it is, where nothing in it can be answered.
    pub(crate) fn unreadable(&self) -> Option<&str> {
        match &self.kind {
            MessageKind::Unsupported(kind) => Some(kind),
            MessageKind::Reaction { .. } => Some("reaction"),
            MessageKind::Revoked { .. } => Some("revoke"),
            MessageKind::NumberChanged { .. } => Some("system"),
            MessageKind::Media(media) if self.text.is_empty() => match media.kind {
                MediaKind::VoiceNote => Some(media.kind.as_str()),
                _ => self.is_missing().then_some("a file that did not arrive"),
            },
            _ => None,
        }
    }

    /// What is said where nothing can be answered.
    pub(crate) fn excuse(&self, unreadable: &str) -> String {
        match self.receipt() {
            Some(receipt) => receipt,
            None => cannot_read(unreadable),
        }
    }
}

/// What stands for a place in a talk.
pub(crate) fn place(told: &Personal) -> Personal {
    format!("[shared a location: {}]", told.reveal()).into()
}

fn cannot_read(kind: &str) -> String {
    let what = match kind {
        "voice_note" => {
            return "Sorry, I could not understand your voice note. Could you write it as text?"
                .to_owned();
        }
        "image" | "video" | "audio" | "document" | "sticker" | "location" => {
            format!("{kind} messages")
        }
        "contacts" => "contact cards".to_owned(),
        _ => "this kind of message".to_owned(),
    };
    format!("I cannot open {what} yet. Could you write it as text?")
}

/// What people call a file.
fn name_of(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "picture",
        MediaKind::Video => "video",
        MediaKind::Audio => "sound file",
        MediaKind::VoiceNote => "voice note",
        MediaKind::Document => "document",
        MediaKind::Sticker => "sticker",
    }
}

/// The beginning of a text, on one line and without what would end it.
fn beginning(text: &Personal) -> String {
    let words: Vec<&str> = text.reveal().split_whitespace().collect();
    let line = words.join(" ").replace('"', "'");
    match line.char_indices().nth(TOLD_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
