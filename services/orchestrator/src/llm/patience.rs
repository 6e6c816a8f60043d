//! How long models are waited for.

use std::time::Duration;

use crate::llm::Request;

/// How long the vendor is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) first_token: Duration,
    pub(crate) next_token: Duration,
}

impl Default for Patience {
    /// A caller waits while we wait, and the next provider wants its share of the time.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_token: Duration::from_secs(4),
            next_token: Duration::from_secs(3),
        }
    }
}

/// So many times as long a model has that looks at a file first. That is in chats alone, where nobody holds a telephone.
const WITH_A_FILE: u32 = 3;

impl Patience {
    /// How long the first token of the answer to `request` is waited for.
    pub(crate) fn until_first(&self, request: &Request) -> Duration {
        match request.prompt.as_ref().is_some_and(|prompt| prompt.file.is_some()) {
            true => self.first_token * WITH_A_FILE,
            false => self.first_token,
        }
    }

    /// A client of a vendor's endpoint. It follows no redirect: the key is for that one alone.
    pub(crate) fn http(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .connect_timeout(self.connect)
            .redirect(reqwest::redirect::Policy::none())
    }
}

/// How long the usage and the end are waited for when the model has finished.
pub(crate) const END_WITHIN: Duration = Duration::from_millis(500);
