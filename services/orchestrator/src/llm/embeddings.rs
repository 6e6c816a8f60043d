use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use domain::breaker::{Breaker, Permit, Verdict};
use serde::Deserialize;
use serde_json::json;
use vault::RotatingSecret;

/// How long an embedding of a question may take; the caller waits, and the words alone find something too.
const QUESTION_WITHIN: Duration = Duration::from_millis(1500);

/// How long a batch of pieces may take.
const BATCH_WITHIN: Duration = Duration::from_secs(20);

/// Where texts are embedded.
#[derive(Clone, Debug)]
pub struct EmbeddingSettings {
    /// Its name in `SB_EMBEDDINGS`.
    pub name: String,
    /// Ends in `/v1`, without a slash after it.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
}

/// An OpenAI-compatible endpoint of embeddings (PROTOCOLS 4).
pub struct Embeddings {
    http: reqwest::Client,
    settings: EmbeddingSettings,
    key: Option<Arc<RotatingSecret>>,
    breaker: Mutex<Breaker>,
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
    /// A client of the endpoint, which is not asked yet.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub fn new(
        settings: EmbeddingSettings,
        key: Option<Arc<RotatingSecret>>,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("build the HTTP client of the embeddings")?;
        Ok(Self { http, settings, key, breaker: Mutex::default() })
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
        let url = format!("{}/embeddings", self.settings.base_url);
        let body =
            json!({"model": self.settings.model, "input": texts, "encoding_format": "float"});
        let mut post = self.http.post(url).timeout(within).json(&body);
        if let Some(key) = &self.key {
            post = post.bearer_auth(key.current().reveal());
        }
        let response = post.send().await.map_err(reqwest::Error::without_url).context("ask")?;
        let status = response.status();
        if !status.is_success() {
            bail!("refused with status {}", status.as_u16());
        }
        let answer: Answer =
            response.json().await.map_err(reqwest::Error::without_url).context("read")?;
        let mut data = answer.data;
        data.sort_by_key(|e| e.index);
        let is_whole = data.len() == texts.len()
            && data.iter().enumerate().all(|(place, e)| {
                e.index == place
                    && !e.embedding.is_empty()
                    && e.embedding.iter().all(|n| n.is_finite())
            });
        if !is_whole {
            bail!("the answer is not one embedding for each text");
        }
        Ok(data.into_iter().map(|e| e.embedding).collect())
    }
}
