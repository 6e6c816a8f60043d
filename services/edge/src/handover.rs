//! Who has a chat, the agents or a human (A7). The database says it; a mark in Redis is what the agents look at first.

use std::time::Duration;

use anyhow::Context as _;
use cache::Cache;
use domain::{Channel, ConversationId, EscalationDue, TenantId, Timestamp};
use store::{Store, StoreError, TenantTx, due, escalations};
use uuid::Uuid;

/// Has the request `id` of a chat looked at again at `at`: nobody may have taken it, or whoever did may have left it.
///
/// # Errors
/// As [`due::schedule`].
pub(crate) async fn look_again(
    tx: &TenantTx,
    id: Uuid,
    at: Timestamp,
    of: (TenantId, ConversationId, Channel),
) -> Result<(), StoreError> {
    let event = EscalationDue::of(id, at, of);
    due::schedule(tx, id, at, &wire::to_body(&wire::encode(&event))).await
}

/// Marks `chat` as the database has it: a human's who was there within `idle_after`, or the agents'. They build their context
/// anew, for it lacks what a human and the person said to each other.
///
/// # Errors
/// When the database or Redis cannot be used.
pub(crate) async fn mark(
    (store, cache): (&Store, &Cache),
    (tenant, chat): (TenantId, ConversationId),
    idle_after: Duration,
) -> anyhow::Result<()> {
    let tx = store.tenant(tenant).await.context("ask who has a chat")?;
    let idle_since = Timestamp::now().minus(idle_after);
    // Held until the mark stands: who takes or closes a request meanwhile marks after us.
    let is_taken = escalations::is_taken_for_change(&tx, chat, idle_since).await;
    if is_taken.context("ask who has a chat")? {
        cache.hand_to_human(chat).await.context("give a chat to a human")?;
        cache.forget_context(chat).await.context("forget what the agents know")?;
    } else {
        cache.forget_context(chat).await.context("forget what the agents know")?;
        cache.give_back(chat).await.context("give a chat back")?;
    }
    tx.commit().await.context("end the transaction of a mark")
}
