//! E-mail through Amazon SES (A6, PROTOCOLS 7): confirmations with a calendar file. It only leaves: nobody writes to us that way.
//! SES tells no status here, so a send without an answer is in doubt until it is raised, and never repeated.

mod calendar_file;
mod message;
mod ses;

use std::sync::Arc;

use async_trait::async_trait;
use domain::{Channel, Timestamp};

use self::calendar_file::Parties;
pub use self::ses::{Ses, read_answer};
use super::{
    ChannelAdapter, ExternalId, Forgery, Malformed, OutgoingPart, PartBody, Reception, Route,
    SendFault, VendorRequest,
};
use crate::directory::Directory;

/// Far above what we write, below what a mail program shows.
const LONGEST_TEXT_CHARS: usize = 100_000;
const LONGEST_ADDRESS: usize = 254;

/// The adapter of e-mail.
pub struct Email {
    ses: Ses,
    directory: Arc<Directory>,
}

impl Email {
    /// An adapter that knows whose our addresses are by `directory`.
    pub fn new(ses: Ses, directory: Arc<Directory>) -> Self {
        Self { ses, directory }
    }
}

#[async_trait]
impl ChannelAdapter for Email {
    fn channel(&self) -> Channel {
        Channel::EMAIL
    }

    fn routes(&self) -> &'static [Route] {
        &[]
    }

    fn validate(&self, _: &VendorRequest) -> Result<(), Forgery> {
        Err(Forgery::Missing)
    }

    async fn receive(&self, _: &VendorRequest) -> Result<Reception, Malformed> {
        Err(Malformed::new("path", "nothing comes in here"))
    }

    fn longest_text_chars(&self) -> usize {
        LONGEST_TEXT_CHARS
    }

    async fn send(&self, part: &OutgoingPart<'_>) -> Result<ExternalId, SendFault> {
        let (from, to) = (part.our_address, part.to.reveal());
        let refused = |detail: &str| SendFault::Refused { code: 0, detail: detail.to_owned() };
        if !is_address(from) || !is_address(to) {
            return Err(refused("no e-mail address"));
        }
        let tenant = self.directory.tenant_of(&Channel::EMAIL, from);
        let settings = tenant.and_then(|tenant| self.directory.settings(tenant));
        let settings = settings.ok_or_else(|| refused("the sender is none of our addresses"))?;
        let parties = Parties { business: &settings.business, from, to };
        let id = part.mark.send_id().to_string();
        let mail = match part.body {
            PartBody::Mail(mail) => Some(mail),
            _ => None,
        };
        let message = message::render(&parties, (part.text, mail), (&id, Timestamp::now()));
        self.ses.send(from, to, &message).await
    }
}

/// Whether a text can stand as an address in a header and in SES's request, and nothing else can.
fn is_address(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !b"<>()[],;:\\\"".contains(&b);
    let parts = text.split_once('@');
    let whole = parts.is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.contains('@') && !host.starts_with('.')
    });
    whole && text.len() <= LONGEST_ADDRESS && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_is_written_to() {
        for good in ["ana@example.com", "ana.silva+desk@mail.example.co.uk"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "ana",
            "ana@",
            "@example.com",
            "ana@example",
            "a@b@example.com",
            "ana@example.com, bob@example.com",
            "ana@example.com\r\nBcc: bob@example.com",
            "Ana <ana@example.com>",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
