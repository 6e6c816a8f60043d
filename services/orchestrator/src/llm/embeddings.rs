use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use domain::breaker::{Breaker, Permit, Verdict};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;
use vault::RotatingSecret;

use crate::llm::bedrock::{Access as BedrockAccess, post};

/// How long an embedding of a question may take; the caller waits, and the words alone find something too.
const QUESTION_WITHIN: Duration = Duration::from_millis(1500);

/// How long a batch of pieces may take.
const BATCH_WITHIN: Duration = Duration::from_secs(20);

/// Requests on their way at a time to an endpoint that takes one text with each.
const TEXTS_AT_ONCE: usize = 8;

const NOT_ONE_EACH: &str = "the answer is not one embedding for each text";

/// Where texts are embedded.
#[derive(Clone, Debug)]
pub struct EmbeddingSettings {
    /// Its name in `SB_EMBEDDINGS`.
    pub name: String,
    /// Of an OpenAI-compatible endpoint it ends in `/v1`; without a slash at its end.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
}

/// An endpoint of embeddings.
pub struct Embeddings {
    http: reqwest::Client,
    settings: EmbeddingSettings,
    protocol: Protocol,
    breaker: Mutex<Breaker>,
}

enum Protocol {
    /// OpenAI's, with its key (PROTOCOLS 4).
    OpenAi(Option<Arc<RotatingSecret>>),
    /// `InvokeModel` of Amazon Titan's text embeddings, one text a request.
    Titan(BedrockAccess),
}

/// What Titan answers.
#[derive(Deserialize)]
struct TitanAnswer {
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vec<f32>,
}

impl Embeddings {
    /// A client of an OpenAI-compatible endpoint, which is not asked yet.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub fn new(
        settings: EmbeddingSettings,
        key: Option<Arc<RotatingSecret>>,
    ) -> anyhow::Result<Self> {
        Self::speaking(settings, Protocol::OpenAi(key))
    }

    /// A client of Titan at Bedrock, which is not asked yet.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub fn titan(settings: EmbeddingSettings, access: BedrockAccess) -> anyhow::Result<Self> {
        Self::speaking(settings, Protocol::Titan(access))
    }

    fn speaking(settings: EmbeddingSettings, protocol: Protocol) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("build the HTTP client of the embeddings")?;
        Ok(Self { http, settings, protocol, breaker: Mutex::default() })
    }

    /// The embeddings in the answer of an OpenAI-compatible endpoint to so many `texts`, in their order (PROTOCOLS 4).
    ///
    /// # Errors
    /// When it is not one embedding for each.
    pub fn read_answer(answer: &[u8], texts: usize) -> anyhow::Result<Vec<Vec<f32>>> {
        let Answer { mut data } = serde_json::from_slice(answer).context("read")?;
        data.sort_by_key(|e| e.index);
        if !data.iter().enumerate().all(|(place, e)| e.index == place) {
            bail!(NOT_ONE_EACH);
        }
        whole(data.into_iter().map(|e| e.embedding).collect(), texts)
    }

    /// The embedding in Titan's answer.
    ///
    /// # Errors
    /// When it is none.
    pub fn read_titan(answer: &[u8]) -> anyhow::Result<Vec<f32>> {
        let TitanAnswer { embedding } = serde_json::from_slice(answer).context("read")?;
        whole(vec![embedding], 1)?.pop().context(NOT_ONE_EACH)
    }

    /// What embeddings are stored under: those of two models are not compared.
    pub(crate) fn model(&self) -> &str {
        &self.settings.model
    }

    /// The embedding of a question; `None` where it cannot be had in time.
    pub(crate) async fn of_question(&self, question: &str) -> Option<Vec<f32>> {
        let permit = self.breaker().ask(Instant::now())?;
        let asked = self.ask(&[question], QUESTION_WITHIN).await;
        self.settle(permit, asked.is_ok());
        match asked {
            Ok(mut all) => all.pop(),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "a question is looked up by its words alone"
                );
                None
            }
        }
    }

    /// The embeddings of pieces of documents, in their order.
    pub(crate) async fn of_pieces(&self, texts: &[&str]) -> anyhow::Result<Vec<Vec<f32>>> {
        self.ask(texts, BATCH_WITHIN).await
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, permit: Permit, works: bool) {
        let verdict = if works { Verdict::Works } else { Verdict::Fails };
        self.breaker().settle(permit, verdict, Instant::now());
    }

    async fn ask(&self, texts: &[&str], within: Duration) -> anyhow::Result<Vec<Vec<f32>>> {
        match &self.protocol {
            Protocol::OpenAi(key) => self.ask_openai(key.as_deref(), texts, within).await,
            Protocol::Titan(access) => {
                let each: Vec<_> = texts.iter().map(|text| self.ask_titan(access, text)).collect();
                let all = stream::iter(each).buffered(TEXTS_AT_ONCE).try_collect();
                timeout(within, all).await.context("wait")?
            }
        }
    }

    async fn ask_openai(
        &self,
        key: Option<&RotatingSecret>,
        texts: &[&str],
        within: Duration,
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let url = format!("{}/embeddings", self.settings.base_url);
        let body =
            json!({"model": self.settings.model, "input": texts, "encoding_format": "float"});
        let mut post = self.http.post(url).timeout(within).json(&body);
        if let Some(key) = key {
            post = post.bearer_auth(key.current().reveal());
        }
        let begun = Instant::now();
        let sent = post.send().await;
        self.note(begun, &sent, |error| error.is_timeout());
        Self::read_answer(&body_of(sent).await?, texts.len())
    }

    async fn ask_titan(&self, access: &BedrockAccess, text: &str) -> anyhow::Result<Vec<f32>> {
        let EmbeddingSettings { base_url, model, .. } = &self.settings;
        let body = json!({"inputText": text}).to_string().into_bytes();
        let begun = Instant::now();
        let sent = post(&self.http, access, base_url, (model.as_str(), "invoke"), body).await;
        self.note(begun, &sent, |_| false);
        Self::read_titan(&body_of(Ok(sent?)).await?)
    }

    /// Notes a request for the metrics of vendors.
    fn note<E>(
        &self,
        begun: Instant,
        sent: &Result<reqwest::Response, E>,
        is_timeout: impl Fn(&E) -> bool,
    ) {
        let error_type = match sent {
            Ok(answer) if answer.status().is_success() => "",
            Ok(answer) if answer.status().is_client_error() => "refused",
            Err(error) if is_timeout(error) => "timeout",
            Ok(_) | Err(_) => "unavailable",
        };
        metrics::histogram!("vendor_request_duration_seconds",
            "vendor" => self.settings.name.clone(), "request" => "embeddings",
            "error_type" => error_type)
        .record(begun.elapsed());
    }
}

/// `embedded`, where they are one for each of so many `texts`.
fn whole(embedded: Vec<Vec<f32>>, texts: usize) -> anyhow::Result<Vec<Vec<f32>>> {
    let is_one = |e: &Vec<f32>| !e.is_empty() && e.iter().all(|n| n.is_finite());
    if embedded.len() != texts || !embedded.iter().all(is_one) {
        bail!(NOT_ONE_EACH);
    }
    Ok(embedded)
}

async fn body_of(answer: reqwest::Result<reqwest::Response>) -> anyhow::Result<Bytes> {
    let answer = answer.map_err(reqwest::Error::without_url).context("ask")?;
    let status = answer.status();
    if !status.is_success() {
        bail!("refused with status {}", status.as_u16());
    }
    answer.bytes().await.map_err(reqwest::Error::without_url).context("read")
}
