//! How the vendors reach the platform under test.

use std::{sync::LazyLock, time::Duration};

use anyhow::{Context, bail};
use boot::Reader;
use tokio::runtime::{Builder, Handle, Runtime};
use url::Url;

/// How long the vendors wait for a connection (PROTOCOLS 1.1).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the platform is.
#[derive(Debug, Clone)]
pub struct Platform {
    /// What the vendors were told, and sign: scheme and host without a slash at the end (`SB_PUBLIC_BASE_URL`).
    pub public_base_url: String,
    /// What is really connected to: the edge behind whatever ends TLS (`SB_SIM_EDGE_URL`, default the public one).
    pub edge_url: String,
}

impl Default for Platform {
    fn default() -> Self {
        Self::at("http://127.0.0.1:8000")
    }
}

/// An address to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`.
    pub address: String,
    /// Whether TLS is spoken there.
    pub tls: bool,
}

impl Platform {
    /// A platform that is reached where it says it is.
    pub fn at(base_url: &str) -> Self {
        let base_url = base_url.trim_end_matches('/').to_owned();
        Self { public_base_url: base_url.clone(), edge_url: base_url }
    }

    /// Takes what the environment says.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let public = reader.url("SB_PUBLIC_BASE_URL", Some(&Self::default().public_base_url));
        let edge_url = reader.url("SB_SIM_EDGE_URL", Some(&public));
        Self { public_base_url: public, edge_url }
    }

    /// A public URL of the platform.
    pub fn public(&self, path: &str) -> String {
        format!("{}{path}", self.public_base_url)
    }

    /// The URL to request for a URL the vendor was given: the edge's for one of the platform's own, else unchanged.
    /// The fragment is not sent.
    pub fn requested(&self, url: &str) -> String {
        let url = url.split('#').next().unwrap_or_default();
        match url.strip_prefix(&self.public_base_url) {
            Some(rest) if rest.is_empty() || rest.starts_with(['/', '?']) => {
                format!("{}{rest}", self.edge_url)
            }
            _ => url.to_owned(),
        }
    }

    /// Where to connect for a `wss` URL: to the edge for the platform's own host.
    ///
    /// # Errors
    /// When the URL is not one, or not `wss` (31922, PROTOCOLS 1.4).
    pub fn socket(&self, url: &str) -> anyhow::Result<Target> {
        let url = Url::parse(url).context("read the socket's URL")?;
        if url.scheme() != "wss" {
            bail!("the scheme is {}, not wss", url.scheme());
        }
        let public = Url::parse(&self.public_base_url).context("read SB_PUBLIC_BASE_URL")?;
        // Compared as written: a wss URL leaves out 443, and an http one 80.
        let reached = if (url.host_str(), url.port()) == (public.host_str(), public.port()) {
            Url::parse(&self.edge_url).context("read SB_SIM_EDGE_URL")?
        } else {
            url
        };
        let host = reached.host_str().context("the URL names no host")?;
        let tls = matches!(reached.scheme(), "wss" | "https");
        let port = reached.port().unwrap_or(if tls { 443 } else { 80 });
        Ok(Target { address: format!("{host}:{port}"), tls })
    }
}

/// The threads on which the outside world acts by itself. Its 20 ms clocks must not wait behind a request to another
/// vendor, which the server's own threads answer.
pub fn threads() -> Handle {
    static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("outside")
            .enable_all()
            .build()
            .ok()
    });
    RUNTIME.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
}

/// The client of every webhook. To be used on [`threads`] only: its connections live there.
pub fn client() -> reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        boot::install_tls();
        reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .expect("the TLS provider was installed just now")
    });
    CLIENT.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind_tls() -> Platform {
        Platform {
            public_base_url: "https://desk.example".to_owned(),
            edge_url: "http://127.0.0.1:8000".to_owned(),
        }
    }

    #[test]
    fn only_the_platforms_own_urls_go_to_the_edge() {
        let platform = behind_tls();
        assert_eq!(
            platform.requested("https://desk.example/a?b=1#rc=2"),
            "http://127.0.0.1:8000/a?b=1"
        );
        assert_eq!(platform.requested("https://desk.example.org/a"), "https://desk.example.org/a");
    }

    #[test]
    fn a_media_socket_ends_at_the_edge_without_tls() {
        let target = behind_tls().socket("wss://desk.example/media-stream").expect("a wss URL");
        assert_eq!(target, Target { address: "127.0.0.1:8000".to_owned(), tls: false });
        let elsewhere = behind_tls().socket("wss://other.example/").expect("a wss URL");
        assert_eq!(elsewhere, Target { address: "other.example:443".to_owned(), tls: true });
    }

    #[test]
    fn twilio_opens_no_socket_but_wss() {
        assert!(behind_tls().socket("ws://desk.example/media-stream").is_err());
    }
}
