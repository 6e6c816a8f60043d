//! The outside world, through the simulator's control paths.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use simulator::caller::{CallReport, CallScript};
use simulator::meta::Chat;

const CALL_LIMIT: Duration = Duration::from_secs(300);
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Servers close a connection that was idle for 5 s; a request may not meet that.
const IDLE_CONNECTION: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(100);

/// The simulator of a running mesh.
pub struct Outside {
    base_url: String,
    http: reqwest::Client,
    poll: Duration,
}

impl Outside {
    /// Prepares to ask the simulator at `base_url`.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(base_url: &str) -> anyhow::Result<Self> {
        boot::install_tls();
        let http = reqwest::Client::builder()
            .timeout(REQUEST_LIMIT)
            .pool_idle_timeout(IDLE_CONNECTION)
            .build()
            .context("prepare an HTTP client")?;
        Ok(Self { base_url: base_url.trim_end_matches('/').to_owned(), http, poll: POLL })
    }

    /// Asks less often how something stands, where the simulator is not to be kept busy.
    #[must_use]
    pub fn asking_every(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Places a call and waits until it is over and everything heard has been decoded.
    ///
    /// # Errors
    /// When the simulator refuses, or the call does not end in time.
    pub async fn call(&self, script: &CallScript) -> anyhow::Result<CallReport> {
        let sid = self.place(script).await?;
        self.over(&sid).await
    }

    /// Places a call and returns its id.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub async fn place(&self, script: &CallScript) -> anyhow::Result<String> {
        let placed = self.post("/sim/calls", script).await.context("place a call")?;
        let sid = placed["sid"].as_str().context("place a call: no sid in the answer")?;
        Ok(sid.to_owned())
    }

    /// Waits until a call is over and everything heard in it has been decoded.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn over(&self, sid: &str) -> anyhow::Result<CallReport> {
        self.call_until(sid, |report| {
            report.status.is_final() && !report.heard.iter().any(|turn| turn.decoding)
        })
        .await
        .context("wait for a call to end")
    }

    /// Waits until a call has come so far.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn call_until(
        &self,
        sid: &str,
        done: impl Fn(&CallReport) -> bool,
    ) -> anyhow::Result<CallReport> {
        self.until(CALL_LIMIT, &format!("/sim/calls/{sid}"), done).await
    }

    /// Writes message after message, each when the one before has been answered.
    ///
    /// # Errors
    /// When an answer does not come in time.
    pub async fn chat(&self, from: &str, to: &str, texts: &[&str]) -> anyhow::Result<Chat> {
        let path = format!("/sim/chats/{from}");
        let mut chat = Chat::default();
        for text in texts {
            self.write(from, to, text).await?;
            chat = self.replied(from, chat.replies().len() + 1).await?;
        }
        // The statuses of the last reply come after it.
        self.until(ANSWER_LIMIT, &path, |chat: &Chat| fate(chat) == "read")
            .await
            .context("wait for the last reply to be read")
    }

    /// Writes a message.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub async fn write(&self, from: &str, to: &str, text: &str) -> anyhow::Result<()> {
        let message = json!({ "from": from, "name": "Ada", "phone_number_id": to, "text": text });
        self.post("/sim/chats/messages", &message).await.context("write a message")?;
        Ok(())
    }

    /// A chat, as soon as the business has written `replies` messages in it.
    ///
    /// # Errors
    /// When it has not in time.
    pub async fn replied(&self, from: &str, replies: usize) -> anyhow::Result<Chat> {
        // The simulator lets us wait there, so that the answer is known when it comes and nothing is asked meanwhile.
        let path = format!("/sim/chats/{from}?replies={replies}");
        self.until(ANSWER_LIMIT, &path, |chat: &Chat| chat.replies().len() >= replies)
            .await
            .context("wait for the answer to a message")
    }

    /// Asks the simulator to do something.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        self.ask(self.http.post(self.url(path)).json(body)).await
    }

    /// Tells the simulator to do something that has no answer.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn tell(&self, path: &str, body: &impl Serialize) -> anyhow::Result<()> {
        let answer = self.http.post(self.url(path)).json(body).send().await;
        answer.and_then(reqwest::Response::error_for_status).map(drop).context("tell the simulator")
    }

    /// Changes a setting of the simulator.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn put(&self, path: &str, body: &impl Serialize) -> anyhow::Result<()> {
        let answer = self.http.put(self.url(path)).json(body).send().await;
        answer.and_then(reqwest::Response::error_for_status).map(drop).context("set the simulator")
    }

    /// Fetches a file, for instance a recording.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub async fn file(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.http.get(self.url(path)).send().await.context("ask the simulator")?;
        let answer = answer.error_for_status().context("ask the simulator")?;
        Ok(answer.bytes().await.context("read its answer")?.to_vec())
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let answer = request.send().await.context("ask the simulator")?;
        answer
            .error_for_status()
            .context("ask the simulator")?
            .json()
            .await
            .context("read its answer")
    }

    /// How something stands at this moment.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub async fn now<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.http.get(self.url(path)).send().await.context("ask the simulator")?;
        let answer = answer.error_for_status().context("ask the simulator")?;
        answer.json().await.context("read its answer")
    }

    /// Asks `path` until the answer is as wanted.
    ///
    /// # Errors
    /// When it is not within `limit`.
    pub async fn until<T: DeserializeOwned>(
        &self,
        limit: Duration,
        path: &str,
        done: impl Fn(&T) -> bool,
    ) -> anyhow::Result<T> {
        let asked = tokio::time::timeout(limit, async {
            loop {
                let state = self.now(path).await?;
                if done(&state) {
                    return Ok(state);
                }
                tokio::time::sleep(self.poll).await;
            }
        });
        asked.await.unwrap_or_else(|_| anyhow::bail!("not within {} s", limit.as_secs()))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }
}

/// What became of the last message of the business.
pub fn fate(chat: &Chat) -> &str {
    let last = chat.lines.iter().rfind(|line| !line.by_person);
    last.and_then(|line| line.statuses.last()).map_or("unknown", |status| status.status.as_str())
}
