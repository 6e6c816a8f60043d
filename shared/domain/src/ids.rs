use std::fmt;

use uuid::Uuid;

use crate::Channel;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an id that already exists, such as one read from a message or a row.
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as a UUID.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }

            /// The id made from `name` under this one (UUIDv5): the same inputs give the same id
            /// on every task and on every run (DESIGN 2, "Idempotent").
            pub fn derive(&self, name: &str) -> Uuid {
                Uuid::new_v5(&self.0, name.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    };
}

uuid_id! {
    /// A business that uses the front desk. Everything a tenant owns carries it (D2).
    TenantId
}

uuid_id! {
    /// One phone call, or the running chat with one contact on one of our addresses. It is the
    /// message group of every event about it, so its events stay in order (DESIGN 2).
    ConversationId
}

uuid_id! {
    /// One event or job. Consumers claim it, brokers deduplicate by it.
    EventId
}

impl ConversationId {
    /// The conversation of a phone call: one per CallSid, the same wherever it is computed.
    pub fn of_call(tenant: TenantId, call: &CallSid) -> Self {
        Self(tenant.derive(&format!("call:{call}")))
    }

    /// The conversation of a chat: tenant, channel, our own address and the contact (for WhatsApp
    /// the BSUID where there is one, else the `wa_id`; DESIGN 4).
    pub fn of_chat(tenant: TenantId, channel: &str, our_address: &str, contact: &str) -> Self {
        Self(tenant.derive(&format!("chat:{channel}:{our_address}:{contact}")))
    }
}

impl EventId {
    /// A fresh id for something that begins here (a webhook, a caller's turn).
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id of what a handler emits while it handles `self`: derived, so a second run of the
    /// handler emits the same ids and the broker drops them (DESIGN 2, "Idempotent").
    pub fn child(&self, name: &str) -> Self {
        Self(self.derive(name))
    }

    /// What the starts of a replay are counted under, and its end is noted under: a replay keeps its event id and begins a
    /// count of its own, or the letter that failed five times would be buried again unread. The event itself where it was
    /// not replayed.
    pub fn of_replay(&self, replays: u32) -> Self {
        match replays {
            0 => *self,
            n => self.child(&format!("replay:{n}")),
        }
    }
}

/// Twilio's name of a call (`CA` and 32 hex digits), or a browser call's own (`BR` and as many).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CallSid(String);

/// No SID of Twilio's begins like this (PROTOCOLS 1.1).
const BROWSER_PREFIX: &str = "BR";

impl CallSid {
    /// The longest id accepted: Twilio's have 34 characters, ours (UUIDs) 36.
    pub const MAX_CHARS: usize = 64;

    /// Takes an id from outside; `None` unless it is 1 to [`Self::MAX_CHARS`] ASCII letters,
    /// digits, `-` or `_`, for it becomes part of Redis keys and S3 paths.
    pub fn parse(id: &str) -> Option<Self> {
        let fits = !id.is_empty() && id.len() <= Self::MAX_CHARS;
        let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (fits && plain).then(|| Self(id.to_owned()))
    }

    /// The id of a call from a web page. `id` makes it unique.
    pub fn of_browser(id: Uuid) -> Self {
        Self(format!("{BROWSER_PREFIX}{}", id.simple()))
    }

    /// The channel of the call, which its id tells: whoever knows a call by its id alone needs no look-up.
    pub fn channel(&self) -> Channel {
        if self.0.starts_with(BROWSER_PREFIX) { Channel::BROWSER } else { Channel::VOICE }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_second_run_emits_has_the_same_id() {
        let cause = EventId::random();
        assert_eq!(cause.child("sentence:0:1"), cause.child("sentence:0:1"));
        assert_ne!(cause.child("sentence:0:1"), cause.child("sentence:0:2"));
    }

    #[test]
    fn two_tenants_never_share_a_chat() {
        let (a, b) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        let chat = |t| ConversationId::of_chat(t, "whatsapp", "106540352242922", "15551234567");
        assert_ne!(chat(a), chat(b));
    }

    #[test]
    fn a_browser_calls_id_tells_its_channel_and_is_an_id_like_any() {
        let call = CallSid::of_browser(Uuid::from_u128(7));
        assert_eq!(call.channel(), Channel::BROWSER);
        assert_eq!(CallSid::parse(call.as_str()), Some(call));
        let phone = CallSid::parse("CA0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(phone.channel(), Channel::VOICE);
    }

    #[test]
    fn a_call_sid_that_could_escape_a_path_or_key_is_refused() {
        assert!(CallSid::parse("CA0123456789abcdef0123456789abcdef").is_some());
        for bad in ["", "../../etc", "a b", "{x}", &"C".repeat(65)] {
            assert!(CallSid::parse(bad).is_none(), "{bad:?}");
        }
    }
}
