//! A headless Chromium with a file for a microphone, steered over the DevTools protocol.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long the browser may take to start, and what a page must do to come about.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The browser, or `None` where the test is to be skipped: at home, without one.
///
/// # Panics
/// In CI, when there is none.
pub fn require() -> Option<PathBuf> {
    let chosen = std::env::var_os("SB_CHROMIUM").map(PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = chosen.or_else(|| {
        let files = std::env::split_paths(&folders);
        files.flat_map(|folder| NAMES.map(|name| folder.join(name))).find(|file| file.is_file())
    });
    assert!(
        found.is_some() || std::env::var_os("CI").is_none(),
        "no Chromium: CI must install it (scripts/install --for-tests)"
    );
    if found.is_none() {
        eprintln!("skipped: no Chromium (scripts/install --for-tests)");
    }
    found
}

/// One page in a browser of its own.
pub struct Page {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last: u64,
    _browser: Child,
    _profile: TempDir,
    _files: TempDir,
}

impl Page {
    /// Starts a browser that hears `microphone`, a WAV file among its `files`, once, from when a page asks for it.
    pub async fn open(browser: &Path, files: TempDir, microphone: &Path) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let running = Command::new(browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--remote-debugging-port=0",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ])
            .arg(format!("--use-file-for-fake-audio-capture={}%noloop", microphone.display()))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let port = port_of(profile.path()).await;
        let url = page_of(port).await;
        let (socket, _) = connect_async(url).await.unwrap();
        let mut page =
            Self { socket, last: 0, _browser: running, _profile: profile, _files: files };
        page.command("Page.enable", json!({})).await;
        page
    }

    /// Runs `script` in every page before its own.
    pub async fn prepare(&mut self, script: &str) {
        self.command("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await;
    }

    /// Goes to `url`, and waits until `ready` holds there.
    pub async fn visit(&mut self, url: &str, ready: &str) {
        let gone = self.command("Page.navigate", json!({"url": url})).await;
        assert!(gone.get("errorText").is_none(), "{gone}");
        self.until(&format!("location.href === {} && ({ready})", json!(url))).await;
    }

    /// Evaluates an expression, a promise to its end.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        let mut answer = self
            .command(
                "Runtime.evaluate",
                json!({"expression": expression, "awaitPromise": true, "returnByValue": true,
                    "userGesture": true}),
            )
            .await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer:#}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression holds.
    pub async fn until(&mut self, expression: &str) {
        let wait = async {
            while self.evaluate(&format!("Boolean({expression})")).await != Value::Bool(true) {
                tokio::time::sleep(POLL).await;
            }
        };
        let met = tokio::time::timeout(PATIENCE, wait).await.is_ok();
        if !met {
            let seen = self.evaluate("document.body.innerText").await;
            panic!("never: {expression}; the page says {seen}");
        }
    }

    async fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let id = self.last;
        let message = json!({"id": id, "method": method, "params": parameters});
        self.socket.send(Message::text(message.to_string())).await.unwrap();
        let answer = async {
            loop {
                let message = self.socket.next().await.expect("the browser runs").unwrap();
                let Message::Text(text) = message else { continue };
                let mut answer: Value = serde_json::from_str(&text).unwrap();
                if answer["id"] == id {
                    assert!(answer.get("error").is_none(), "{method}: {answer}");
                    return answer["result"].take();
                }
            }
        };
        tokio::time::timeout(PATIENCE, answer).await.expect("the browser answers")
    }
}

/// The port that the browser chose, as it writes it into its profile.
async fn port_of(profile: &Path) -> u16 {
    let file = profile.join("DevToolsActivePort");
    let look = async {
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some(port) = text.lines().next().and_then(|line| line.parse().ok()) {
                return port;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the browser starts")
}

async fn page_of(port: u16) -> String {
    let look = async {
        loop {
            let list = reqwest::get(format!("http://127.0.0.1:{port}/json/list")).await;
            if let Ok(list) = list
                && let Ok(pages) = list.json::<Vec<Value>>().await
                && let Some(page) = pages.iter().find(|page| page["type"] == "page")
            {
                return page["webSocketDebuggerUrl"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the browser has a page")
}
