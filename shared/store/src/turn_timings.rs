//! When each turn reached each stage (DESIGN 3.6).

use domain::{ConversationId, Envelope, Stage, Timestamp, Turn, TurnTimed};
use serde_json::json;

use crate::{StoreError, TenantTx, effects::turn_number, moment};

/// Keeps the stages the envelope gathered. Of two reports about one turn the earlier end counts:
/// that is when the person was answered.
pub async fn note(tx: &TenantTx, of: &Envelope, e: &TurnTimed) -> Result<(), StoreError> {
    let times = of.stages.iter().map(|s| s.at);
    let began = times.clone().min().unwrap_or(of.occurred_at);
    let done = times.max().unwrap_or(of.occurred_at);
    let stages: serde_json::Value =
        of.stages.iter().map(|s| json!({ "name": s.name, "at_us": s.at.as_micros() })).collect();
    tx.execute(
        "INSERT INTO turn_timings AS t
            (tenant, conversation, turn, attempt, stages, began_at, done_at, trace_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (tenant, conversation, turn) DO UPDATE SET
            attempt = excluded.attempt, stages = excluded.stages,
            began_at = excluded.began_at, done_at = excluded.done_at,
            trace_id = excluded.trace_id
         WHERE (excluded.done_at, excluded.attempt) < (t.done_at, t.attempt)",
        &[
            tx.id(),
            of.conversation.as_uuid(),
            &turn_number(of.turn),
            &i64::from(e.attempt),
            &stages,
            &moment(began),
            &moment(done),
            &trace_id(of),
        ],
    )
    .await?;
    Ok(())
}

/// The trace of an event, as W3C names it: the second part of its `traceparent`.
fn trace_id(of: &Envelope) -> Option<&str> {
    let id = of.traceparent.as_deref()?.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

/// The trace of each turn of a conversation that has one, turn by turn.
pub async fn trace_ids(
    tx: &TenantTx,
    conversation: ConversationId,
) -> Result<Vec<(Turn, String)>, StoreError> {
    let sql = "SELECT turn, trace_id FROM turn_timings
         WHERE conversation = $1 AND trace_id IS NOT NULL ORDER BY turn";
    let rows = tx.query(sql, &[conversation.as_uuid()]).await?;
    let read = |row: &tokio_postgres::Row| {
        Some((Turn(u32::try_from(row.get::<_, i32>(0)).ok()?), row.get(1)))
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// The stages of each turn of a conversation, turn by turn.
pub async fn of_conversation(
    tx: &TenantTx,
    conversation: ConversationId,
) -> Result<Vec<(Turn, Vec<Stage>)>, StoreError> {
    let rows = tx
        .query(
            "SELECT turn, stages FROM turn_timings WHERE conversation = $1 ORDER BY turn",
            &[conversation.as_uuid()],
        )
        .await?;
    let stages = |kept: serde_json::Value| -> Vec<Stage> {
        let kept = kept.as_array().map(Vec::as_slice).unwrap_or_default();
        kept.iter()
            .filter_map(|stage| {
                let at = Timestamp::from_micros(stage["at_us"].as_i64()?);
                Some(Stage::new(stage["name"].as_str()?.to_owned(), at))
            })
            .collect()
    };
    Ok(rows
        .iter()
        .filter_map(|row| {
            let turn = u32::try_from(row.get::<_, i32>(0)).ok()?;
            Some((Turn(turn), stages(row.get(1))))
        })
        .collect())
}
