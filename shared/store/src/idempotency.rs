//! Writes of the API that may be repeated: the same key gets the same answer (F1). A write inside the
//! database shares its transaction with its row here, so both stand or fall together.

use crate::{StoreError, TenantTx};

const ANSWER: &str = "api_writes.answer";

/// What is known of a write under a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// It is the first. Its row is made, to stand or fall with the transaction.
    New,
    /// It was answered before: its HTTP status, and the data as it was.
    Answered {
        /// HTTP status.
        status: u16,
        /// The answer's data, JSON.
        answer: String,
    },
    /// It was begun and nobody recorded how it ended.
    Unfinished,
    /// The key was used for another request.
    Other,
}

/// Which write is meant.
#[derive(Clone, Copy, Debug)]
pub struct WriteKey<'a> {
    /// Whose key it is: two callers never share one.
    pub actor: &'a str,
    /// The `Idempotency-Key`.
    pub key: &'a str,
    /// SHA-256 of what was asked.
    pub fingerprint: &'a [u8],
}

/// Begins a write, and says what is known of it. Keys are remembered for a day. While another
/// transaction runs the same one, this waits for it.
pub async fn begin(tx: &TenantTx, write: WriteKey<'_>) -> Result<Write, StoreError> {
    // Old ones go as new ones come, a few at a time.
    tx.execute(
        "DELETE FROM api_writes WHERE (actor, key) IN (
            SELECT actor, key FROM api_writes WHERE at < now() - interval '1 day'
            ORDER BY at LIMIT 20 FOR UPDATE SKIP LOCKED)",
        &[],
    )
    .await?;
    let begun = tx
        .execute(
            "INSERT INTO api_writes (tenant, actor, key, fingerprint) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
            &[tx.id(), &write.actor, &write.key, &write.fingerprint],
        )
        .await?;
    if begun == 1 {
        return Ok(Write::New);
    }
    let row = tx
        .query_opt(
            "SELECT fingerprint, status, answer_enc FROM api_writes WHERE actor = $1 AND key = $2",
            &[&write.actor, &write.key],
        )
        .await?;
    let Some(row) = row else { return Ok(Write::Unfinished) };
    if row.get::<_, &[u8]>(0) != write.fingerprint {
        return Ok(Write::Other);
    }
    match (row.get::<_, Option<i16>>(1), row.get::<_, Option<&[u8]>>(2)) {
        (Some(status), Some(sealed)) => Ok(Write::Answered {
            status: u16::try_from(status).unwrap_or_default(),
            answer: tx.cipher().await?.open(ANSWER, sealed)?.into_revealed(),
        }),
        _ => Ok(Write::Unfinished),
    }
}

/// Keeps the answer to a write that was begun.
pub async fn finish(
    tx: &TenantTx,
    write: WriteKey<'_>,
    status: u16,
    answer: &str,
) -> Result<(), StoreError> {
    let sealed = tx.cipher().await?.seal(ANSWER, answer)?;
    let status = i16::try_from(status).unwrap_or_default();
    tx.execute(
        "UPDATE api_writes SET status = $3, answer_enc = $4 WHERE actor = $1 AND key = $2",
        &[&write.actor, &write.key, &status, &sealed],
    )
    .await?;
    Ok(())
}

/// Forgets a write that surely had no effect: it may be tried again under the same key.
pub async fn forget(tx: &TenantTx, write: WriteKey<'_>) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM api_writes WHERE actor = $1 AND key = $2 AND status IS NULL",
        &[&write.actor, &write.key],
    )
    .await?;
    Ok(())
}
