use std::{borrow::Cow, fmt};

/// The way a person reaches us. A name, not a closed list: a new channel is one adapter in `edge`,
/// and nothing downstream changes (A1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Channel(Cow<'static, str>);

impl Channel {
    /// A phone call, by media stream or Gather.
    pub const VOICE: Self = Self(Cow::Borrowed("voice"));
    /// A call from a web page.
    pub const BROWSER: Self = Self(Cow::Borrowed("browser"));
    /// WhatsApp Cloud API.
    pub const WHATSAPP: Self = Self(Cow::Borrowed("whatsapp"));
    /// Text messages.
    pub const SMS: Self = Self(Cow::Borrowed("sms"));
    /// E-mail; it only leaves.
    pub const EMAIL: Self = Self(Cow::Borrowed("email"));

    /// A channel by its name, as adapters register it.
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self(name.into())
    }

    /// The name, as it stands in messages, rows and metric labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an answer is spoken into a live call (sentence by sentence) instead of sent as one
    /// message.
    pub fn is_spoken(&self) -> bool {
        *self == Self::VOICE || *self == Self::BROWSER
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
