//! Effects of tools: a tool's effect and its row share a transaction, so that it happens once a
//! turn, across crashes (DESIGN 2, "Turn ledger").

use domain::{ConversationId, Personal, Turn};

use crate::{StoreError, TenantTx};

const RESULT: &str = "effects.result";

/// What the tool call answered the first time, if it was run before.
pub async fn find(
    tx: &TenantTx,
    conversation: ConversationId,
    turn: Turn,
    call: &str,
) -> Result<Option<Personal>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT result_enc FROM effects
             WHERE conversation = $1 AND turn = $2 AND call = $3",
            &[conversation.as_uuid(), &turn_number(turn), &call],
        )
        .await?;
    match row {
        Some(row) => Ok(Some(tx.cipher().await?.open(RESULT, row.get(0))?)),
        None => Ok(None),
    }
}

/// Records that the call was run and what it answered. `false` when it was run before: roll back
/// and answer what [`find`] says. While another transaction runs the same call, this waits for it.
pub async fn record(
    tx: &TenantTx,
    conversation: ConversationId,
    turn: Turn,
    call: &str,
    result: &Personal,
) -> Result<bool, StoreError> {
    let sealed = tx.cipher().await?.seal(RESULT, result.reveal())?;
    let recorded = tx
        .execute(
            "INSERT INTO effects (tenant, conversation, turn, call, result_enc)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            &[tx.id(), conversation.as_uuid(), &turn_number(turn), &call, &sealed],
        )
        .await?;
    Ok(recorded == 1)
}

pub(crate) fn turn_number(turn: Turn) -> i32 {
    i32::try_from(turn.0).unwrap_or(i32::MAX)
}
