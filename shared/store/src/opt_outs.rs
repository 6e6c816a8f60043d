//! Who wants no more messages from one of our numbers (PROTOCOLS 1.6, error 21610). It outlives the conversation, and holds of a
//! person no more than the keyed hash of what they are known by.

use domain::{Channel, Personal, Timestamp};

use crate::{StoreError, TenantTx, moment, users::Identity};

/// One of our addresses and a person who is written to from it.
#[derive(Clone, Copy, Debug)]
pub struct OptOut<'a> {
    channel: &'a Channel,
    our_address: &'a str,
    person: &'a Personal,
}

impl<'a> OptOut<'a> {
    /// That of `person` from `our_address` on `channel`.
    pub fn of(channel: &'a Channel, our_address: &'a str, person: &'a Personal) -> Self {
        Self { channel, our_address, person }
    }

    /// What the row is found by; `None` for nobody.
    async fn hash(&self, tx: &TenantTx) -> Result<Option<Vec<u8>>, StoreError> {
        match Identity::typed(self.person.reveal()) {
            Some(person) => Ok(Some(person.hash(tx.cipher().await?.as_ref()))),
            None => Ok(None),
        }
    }
}

/// Notes whether the person wants no messages since `at`. The later word stands, whatever order they arrive in.
pub async fn note(
    tx: &TenantTx,
    of: &OptOut<'_>,
    is_out: bool,
    at: Timestamp,
) -> Result<(), StoreError> {
    let Some(person) = of.hash(tx).await? else { return Ok(()) };
    tx.execute(
        "INSERT INTO opt_outs AS o (tenant, channel, our_address, person_hash, is_out, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant, channel, our_address, person_hash) DO UPDATE SET
            is_out = excluded.is_out, changed_at = excluded.changed_at
         WHERE o.changed_at <= excluded.changed_at",
        &[tx.id(), &of.channel.as_str(), &of.our_address, &person, &is_out, &moment(at)],
    )
    .await?;
    Ok(())
}

/// Whether the person wants no messages.
pub async fn is_out(tx: &TenantTx, of: &OptOut<'_>) -> Result<bool, StoreError> {
    let Some(person) = of.hash(tx).await? else { return Ok(false) };
    let row = tx
        .query_opt(
            "SELECT is_out FROM opt_outs
             WHERE channel = $1 AND our_address = $2 AND person_hash = $3",
            &[&of.channel.as_str(), &of.our_address, &person],
        )
        .await?;
    Ok(row.is_some_and(|row| row.get(0)))
}
