//! Call logs. The three events about a call may come in any order; each fills in what it knows.

use domain::{
    CallEndReason, CallEnded, CallSid, CallStarted, Envelope, RecordingFinished, TransferUpdated,
};
use serde_json::{Value, json};

use crate::{StoreError, TenantTx, moment};

/// The call began.
pub async fn started(tx: &TenantTx, of: &Envelope, e: &CallStarted) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO call_logs AS c (tenant, call, conversation, started_at)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant, call) DO UPDATE SET
            started_at = least(c.started_at, excluded.started_at)",
        &[tx.id(), &e.call.as_str(), of.conversation.as_uuid(), &moment(of.occurred_at)],
    )
    .await?;
    Ok(())
}

/// The call is over.
pub async fn ended(tx: &TenantTx, of: &Envelope, e: &CallEnded) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO call_logs AS c (tenant, call, conversation, started_at, ended_at, end_reason)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant, call) DO UPDATE SET
            started_at = least(c.started_at, excluded.started_at),
            ended_at = coalesce(c.ended_at, excluded.ended_at),
            end_reason = coalesce(c.end_reason, excluded.end_reason)",
        &[
            tx.id(),
            &e.call.as_str(),
            of.conversation.as_uuid(),
            &moment(e.started_at),
            &moment(of.occurred_at),
            &reason_name(e.reason),
        ],
    )
    .await?;
    Ok(())
}

/// The call's recording lies in S3 (B4).
pub async fn recorded(
    tx: &TenantTx,
    of: &Envelope,
    e: &RecordingFinished,
) -> Result<(), StoreError> {
    let length = i64::try_from(e.duration_ms).unwrap_or(i64::MAX);
    let bytes = i64::try_from(e.bytes).unwrap_or(i64::MAX);
    let spans = e.paused.iter().map(|p| json!({ "from_ms": p.from_ms, "to_ms": p.to_ms }));
    let paused = (!e.paused.is_empty()).then(|| Value::from_iter(spans));
    tx.execute(
        "INSERT INTO call_logs (tenant, call, conversation,
            recording_bucket, recording_key, recording_ms, recording_bytes, recording_paused)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (tenant, call) DO UPDATE SET
            recording_bucket = excluded.recording_bucket,
            recording_key = excluded.recording_key,
            recording_ms = excluded.recording_ms,
            recording_bytes = excluded.recording_bytes,
            recording_paused = excluded.recording_paused",
        &[
            tx.id(),
            &e.call.as_str(),
            of.conversation.as_uuid(),
            &e.bucket,
            &e.key,
            &length,
            &bytes,
            &paused,
        ],
    )
    .await?;
    Ok(())
}

/// The call is being handed to a human, was taken, or came back (A7). What happened last counts,
/// whatever order the events come in.
pub async fn transferred(
    tx: &TenantTx,
    of: &Envelope,
    e: &TransferUpdated,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO call_logs AS c (tenant, call, conversation, transfer_status, transfer_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant, call) DO UPDATE SET
            transfer_status = excluded.transfer_status, transfer_at = excluded.transfer_at
         WHERE c.transfer_at IS NULL OR c.transfer_at <= excluded.transfer_at",
        &[
            tx.id(),
            &e.call.as_str(),
            of.conversation.as_uuid(),
            &e.status.as_str(),
            &moment(of.occurred_at),
        ],
    )
    .await?;
    Ok(())
}

/// Where a call's recording lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// Bucket.
    pub bucket: String,
    /// Key in it.
    pub key: String,
}

/// The recording of `call`, once it is finished.
pub async fn recording(tx: &TenantTx, call: &CallSid) -> Result<Option<Recording>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT recording_bucket, recording_key FROM call_logs
             WHERE call = $1 AND recording_key IS NOT NULL",
            &[&call.as_str()],
        )
        .await?;
    Ok(row.map(|r| Recording { bucket: r.get(0), key: r.get(1) }))
}

const fn reason_name(reason: CallEndReason) -> &'static str {
    match reason {
        CallEndReason::Caller => "caller",
        CallEndReason::Agent => "agent",
        CallEndReason::TimeLimit => "time_limit",
        CallEndReason::Lost => "lost",
        CallEndReason::Transferred => "transferred",
    }
}
