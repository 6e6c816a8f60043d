//! Conversations: the parents of everything said.

use domain::Envelope;
use uuid::Uuid;

use crate::{StoreError, TenantTx, moment};

/// Sees to it that the envelope's conversation has its row, and adds what this event knows of it.
/// Events come in any order between publishers, so each is a possible first; what is known already
/// is not taken back.
pub async fn note(
    tx: &TenantTx,
    of: &Envelope,
    our_address: Option<&str>,
    user: Option<Uuid>,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO conversations AS c
            (tenant, id, channel, our_address, user_id, started_at, last_active_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6)
         ON CONFLICT (tenant, id) DO UPDATE SET
            our_address = coalesce(c.our_address, excluded.our_address),
            user_id = coalesce(c.user_id, excluded.user_id),
            started_at = least(c.started_at, excluded.started_at),
            last_active_at = greatest(c.last_active_at, excluded.last_active_at)",
        &[
            tx.id(),
            of.conversation.as_uuid(),
            &of.channel.as_str(),
            &our_address,
            &user,
            &moment(of.occurred_at),
        ],
    )
    .await?;
    Ok(())
}

/// Marks the conversation as over. Its row must exist.
pub async fn end(tx: &TenantTx, of: &Envelope) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversations SET ended_at = coalesce(ended_at, $2) WHERE id = $1",
        &[of.conversation.as_uuid(), &moment(of.occurred_at)],
    )
    .await?;
    Ok(())
}
