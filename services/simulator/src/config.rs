//! What the environment says, read once (DESIGN 9).

use std::net::SocketAddr;

use anyhow::{Context, bail};

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

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4700)),
            deepgram_key: None,
            openai_key: None,
        }
    }
}

impl Config {
    /// Reads the configuration through `variable`, which is the process environment in `main` and a map in tests.
    ///
    /// # Errors
    /// Names every variable that cannot be understood, in one message.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut config = Self::default();
        let mut faults = Vec::new();
        if let Some(value) = variable("SB_SIM_LISTEN") {
            match value
                .parse()
                .context("SB_SIM_LISTEN is not an address with a port")
            {
                Ok(listen) => config.listen = listen,
                Err(fault) => faults.push(format!("{fault:#}")),
            }
        }
        config.deepgram_key = variable("DEEPGRAM_API_KEY").map(Secret::new);
        config.openai_key = variable("OPENAI_API_KEY").map(Secret::new);
        if !faults.is_empty() {
            bail!("configuration: {}", faults.join("; "));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_ends_the_start_and_says_which_variable() {
        let fault = Config::from_env(|name| (name == "SB_SIM_LISTEN").then(|| "4700".to_owned()));
        assert!(format!("{:#}", fault.expect_err("no port")).contains("SB_SIM_LISTEN"));
    }

    #[test]
    fn a_key_cannot_be_printed() {
        let config =
            Config::from_env(|name| (name == "OPENAI_API_KEY").then(|| "sk-hush".to_owned()))
                .expect("a good configuration");
        assert!(!format!("{config:?}").contains("hush"));
    }
}
