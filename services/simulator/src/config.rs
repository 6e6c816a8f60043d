//! What the environment says, read once (DESIGN 9).

use std::net::SocketAddr;

use boot::{ConfigError, Environment};

use crate::{meta, platform::Platform, twilio};

/// The simulator's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the one HTTP server listens (`SB_SIM_LISTEN`, default `127.0.0.1:4700`).
    pub listen: SocketAddr,
    /// The key Deepgram's paths expect (`DEEPGRAM_API_KEY`). Without one any key passes that does not contain
    /// `invalid`.
    pub deepgram_key: Option<Secret>,
    /// The key OpenAI's paths expect (`OPENAI_API_KEY`), with the same rule.
    pub openai_key: Option<Secret>,
    /// The secret with which requests to Amazon are signed (`AWS_SECRET_ACCESS_KEY`). Without one only the form of a
    /// signature is checked.
    pub aws_secret: Option<Secret>,
    /// Where webhooks and media sockets go.
    pub platform: Platform,
    /// The Twilio account.
    pub twilio: twilio::Settings,
    /// The Meta app.
    pub meta: meta::Settings,
}

/// A configured credential, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a credential.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The credential itself, to compare or sign with.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Whether a vendor accepts a request's key: the one it expects, or, where none is configured, any that does not contain
/// `invalid`.
pub fn accepts(expected: Option<&Secret>, given: Option<&str>) -> bool {
    given.is_some_and(|given| match expected {
        Some(expected) => given == expected.expose(),
        None => !given.is_empty() && !given.contains("invalid"),
    })
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4700)),
            deepgram_key: None,
            openai_key: None,
            aws_secret: None,
            platform: Platform::default(),
            twilio: twilio::Settings::default(),
            meta: meta::Settings::default(),
        }
    }
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Names every variable that cannot be understood, in one message.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut reader = environment.reader();
        let config = Self {
            listen: reader.parsed("SB_SIM_LISTEN", Self::default().listen),
            deepgram_key: reader.optional("DEEPGRAM_API_KEY").map(Secret::new),
            openai_key: reader.optional("OPENAI_API_KEY").map(Secret::new),
            aws_secret: reader.optional("AWS_SECRET_ACCESS_KEY").map(Secret::new),
            platform: Platform::read(&mut reader),
            twilio: twilio::Settings::read(&mut reader),
            meta: meta::Settings::read(&mut reader),
        };
        reader.finish(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_be_printed() {
        let environment = [("OPENAI_API_KEY", "sk-hush")].into_iter().collect();
        let config = Config::read(&environment).expect("a good configuration");
        assert_eq!(config.openai_key.as_ref().map(Secret::expose), Some("sk-hush"));
        assert!(!format!("{config:?}").contains("hush"));
    }
}
