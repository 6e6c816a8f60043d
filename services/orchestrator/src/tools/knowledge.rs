//! What the tenant's documents say (C5), and the embeddings they are found by.

use std::time::Duration;

use anyhow::Context as _;
use dialogue_core::tool::{Outcome, Passage, SearchKnowledge};
use domain::TenantId;
use store::{Store, StoreError, knowledge};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Scene;
use crate::{llm::Embeddings, tenants::Tenants};

/// Pieces a model is given: more is read, paid for and not said.
const PASSAGES: usize = 3;

/// How soon pieces without an embedding are noticed.
const EMBED_EVERY: Duration = Duration::from_secs(5);

/// Pieces embedded with one request.
const BATCH: i64 = 64;

/// Empty where nothing fits: the agent says that it does not know.
pub(super) async fn search(scene: &Scene<'_>, wanted: &SearchKnowledge) -> Outcome {
    let question = wanted.query.reveal();
    let embeddings = scene.shell.tools.embeddings.as_deref();
    let embedded = match embeddings {
        Some(embeddings) => embeddings.of_question(question).await.map(|e| (embeddings.model(), e)),
        None => None,
    };
    let looked = async {
        let tx = scene.shell.store.tenant(scene.envelope.tenant).await?;
        let embedded = embedded.as_ref().map(|(model, e)| (*model, e.as_slice()));
        knowledge::search(&tx, question, embedded, PASSAGES).await
    };
    match looked.await {
        Ok(found) => Outcome::Passages(
            found.into_iter().map(|f| Passage { source: f.source, text: f.text }).collect(),
        ),
        Err(error) => {
            let error: StoreError = error;
            tracing::warn!(%error, "the documents cannot be searched");
            Outcome::Unavailable
        }
    }
}

/// Embeds what the tenants have added or changed, until `stop`. Until then it is found by its words.
pub(crate) async fn keep_embedded(
    embeddings: std::sync::Arc<Embeddings>,
    store: Store,
    tenants: std::sync::Arc<Tenants>,
    stop: CancellationToken,
) {
    let mut said = None;
    loop {
        let mut trouble = None;
        for tenant in tenants.ids() {
            if let Err(error) = embed_missing(&embeddings, &store, tenant).await {
                trouble = Some(format!("{error:#}"));
                break;
            }
        }
        if let Some(error) = trouble.as_ref().filter(|_| said != trouble) {
            tracing::warn!(error, "documents are not embedded");
        }
        said = trouble;
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(EMBED_EVERY) => {}
        }
    }
}

/// Embeds a tenant's pieces, batch by batch, until none is left.
async fn embed_missing(
    embeddings: &Embeddings,
    store: &Store,
    tenant: TenantId,
) -> anyhow::Result<()> {
    loop {
        let tx = store.tenant(tenant).await.context("look for pieces")?;
        let pieces = knowledge::unembedded(&tx, embeddings.model(), BATCH).await;
        let pieces = pieces.context("look for pieces")?;
        if pieces.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = pieces.iter().map(|p| p.text.as_str()).collect();
        let vectors = embeddings.of_pieces(&texts).await.context("embed pieces")?;
        for (piece, vector) in pieces.iter().zip(&vectors) {
            knowledge::embed(&tx, piece, embeddings.model(), vector)
                .await
                .context("keep an embedding")?;
        }
        tx.commit().await.context("keep the embeddings")?;
    }
}
