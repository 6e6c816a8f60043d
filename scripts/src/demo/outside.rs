//! The outside world, through the simulator's control paths.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use simulator::caller::{CallReport, CallScript};
use simulator::meta::Chat;

const CALL_LIMIT: Duration = Duration::from_secs(120);
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

pub(super) struct Outside {
    base_url: String,
    http: reqwest::Client,
}

impl Outside {
    pub(super) fn new(base_url: &str) -> anyhow::Result<Self> {
        boot::install_tls();
        let http = reqwest::Client::builder()
            .timeout(REQUEST_LIMIT)
            .build()
            .context("prepare an HTTP client")?;
        Ok(Self { base_url: base_url.trim_end_matches('/').to_owned(), http })
    }

    /// Places a call and waits until it is over and everything heard has been decoded.
    pub(super) async fn call(&self, script: &CallScript) -> anyhow::Result<CallReport> {
        let placed = self.post("/sim/calls", script).await.context("place a call")?;
        let sid = placed["sid"].as_str().context("place a call: no sid in the answer")?;
        let path = format!("/sim/calls/{sid}");
        self.until(CALL_LIMIT, &path, |report: &CallReport| {
            report.status.is_final() && !report.heard.iter().any(|turn| turn.decoding)
        })
        .await
        .context("wait for a call to end")
    }

    /// Writes message after message, each when the one before has been answered.
    pub(super) async fn chat(&self, from: &str, to: &str, texts: &[&str]) -> anyhow::Result<Chat> {
        let path = format!("/sim/chats/{from}");
        let mut chat = Chat::default();
        for text in texts {
            let answered = chat.replies().len();
            let message =
                json!({ "from": from, "name": "Ada", "phone_number_id": to, "text": text });
            self.post("/sim/chats/messages", &message).await.context("write a message")?;
            chat = self
                .until(ANSWER_LIMIT, &path, |chat: &Chat| chat.replies().len() > answered)
                .await
                .context("wait for the answer to a message")?;
        }
        // The statuses of the last reply come after it.
        self.until(ANSWER_LIMIT, &path, |chat: &Chat| fate(chat) == "read")
            .await
            .context("wait for the last reply to be read")
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        let answer =
            self.http.post(self.url(path)).json(body).send().await.context("ask the simulator")?;
        answer
            .error_for_status()
            .context("ask the simulator")?
            .json()
            .await
            .context("read its answer")
    }

    async fn until<T: DeserializeOwned>(
        &self,
        limit: Duration,
        path: &str,
        done: impl Fn(&T) -> bool,
    ) -> anyhow::Result<T> {
        let asked = tokio::time::timeout(limit, async {
            loop {
                let answer =
                    self.http.get(self.url(path)).send().await.context("ask the simulator")?;
                let state = answer
                    .error_for_status()
                    .context("ask the simulator")?
                    .json()
                    .await
                    .context("read its answer")?;
                if done(&state) {
                    return Ok(state);
                }
                tokio::time::sleep(POLL).await;
            }
        });
        asked.await.unwrap_or_else(|_| anyhow::bail!("not within {} s", limit.as_secs()))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }
}

/// What became of the last message of the business.
pub(super) fn fate(chat: &Chat) -> &str {
    let last = chat.lines.iter().rfind(|line| !line.by_person);
    last.and_then(|line| line.statuses.last()).map_or("unknown", |status| status.status.as_str())
}
