//! Effects of tools: a tool's effect and its row share a transaction, so that it happens once a
//! turn, across crashes (DESIGN 2, "Turn ledger").

use domain::{ConversationId, EventId, Personal, Timestamp, Turn};

use crate::{StoreError, TenantTx, history};

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

/// What a turn of a chat has left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Its reply stands in the history.
    pub reply: bool,
    /// One of its tools had an effect.
    pub effect: bool,
}

/// What `turn` has left behind, whose reply has the id `reply`.
pub async fn left_by(
    tx: &TenantTx,
    conversation: ConversationId,
    turn: Turn,
    reply: EventId,
) -> Result<Left, StoreError> {
    let row = tx
        .query_opt(
            "SELECT EXISTS (SELECT FROM messages WHERE id = $3),
                EXISTS (SELECT FROM effects WHERE conversation = $1 AND turn = $2)",
            &[conversation.as_uuid(), &turn_number(turn), reply.as_uuid()],
        )
        .await?;
    Ok(row.map_or(Left { reply: false, effect: false }, |row| Left {
        reply: row.get(0),
        effect: row.get(1),
    }))
}

/// What a tool did in a turn.
#[derive(Clone, PartialEq, Debug)]
pub struct Effect {
    /// In which turn.
    pub turn: i32,
    /// The tool call's name within it.
    pub call: String,
    /// What it answered, as [`record`] was given it.
    pub result: Personal,
    /// When.
    pub at: Timestamp,
}

/// What tools did in a conversation, turn by turn.
pub async fn of_conversation(
    tx: &TenantTx,
    conversation: ConversationId,
) -> Result<Vec<Effect>, StoreError> {
    let sql = "SELECT turn, call, result_enc, happened_at FROM effects
         WHERE conversation = $1 ORDER BY turn, happened_at, call";
    let rows = tx.query(sql, &[conversation.as_uuid()]).await?;
    let cipher = tx.cipher().await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Effect {
            turn: row.get(0),
            call: row.get(1),
            result: cipher.open(RESULT, row.get(2))?,
            at: history::at(row, 3),
        })
    };
    rows.iter().map(read).collect()
}

pub(crate) fn turn_number(turn: Turn) -> i32 {
    i32::try_from(turn.0).unwrap_or(i32::MAX)
}
