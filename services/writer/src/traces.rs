//! Conversations as JSON in S3 (D5): one file of each when it is over, and one whenever somebody asks.

use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_s3::Client;
use domain::{ConversationId, Envelope, Timestamp, TraceRequested};
use serde_json::{Value, json};
use store::{
    Store, StoreError, TenantTx, due,
    effects::{self, Effect},
    escalations::{self, Escalation},
    history,
    messages::Speaker,
    tenants, turn_timings,
};

/// What belongs to a call arrives within this after its end: the last delivery, the recording.
const AFTER_A_CALL: Duration = Duration::from_secs(60);
/// A chat that rests so long is over (C4).
const AFTER_A_CHAT: Duration = Duration::from_secs(30 * 60);
const PAGE: i64 = 500;
/// Requests for a human in one conversation, at most: it has one at a time.
const ESCALATIONS_MAX: i64 = 100;

/// Sees to it that the conversation of `of` is written to S3 once it is over: so long after this event, unless a later
/// one puts it off.
///
/// # Errors
/// As the functions of `store`.
pub async fn schedule(tx: &TenantTx, of: &Envelope) -> Result<(), StoreError> {
    let after = if of.channel.is_spoken() { AFTER_A_CALL } else { AFTER_A_CHAT };
    let at = of.occurred_at.plus(after);
    let wanted = TraceRequested { reason: TraceRequested::ENDED.to_owned() };
    let event = Envelope { stages: Vec::new(), ..of.follow("trace", at, wanted) };
    let id = of.conversation.derive("trace");
    due::schedule(tx, id, at, &wire::to_body(&wire::encode(&event))).await
}

/// Writes traces into one bucket.
#[derive(Clone)]
pub struct Traces {
    s3: Client,
    bucket: String,
    store: Store,
}

impl Traces {
    /// Reads from `store`, writes into `bucket`.
    pub fn new(s3: Client, bucket: String, store: Store) -> Self {
        Self { s3, bucket, store }
    }

    /// Writes what is known of a conversation now. A second run writes it again under the same key.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub async fn export(&self, of: &Envelope, wanted: &TraceRequested) -> anyhow::Result<()> {
        let tx = self.store.tenant(of.tenant).await?;
        let Some((began, trace)) = trace_of(&tx, of.conversation).await? else {
            tracing::warn!(conversation = %of.conversation, "a trace of a conversation nobody knows");
            return Ok(());
        };
        drop(tx);
        let key = wanted.key(of, began);
        let body = serde_json::to_vec(&trace).context("encode a trace")?;
        self.s3
            .put_object()
            .bucket(&self.bucket)
            .key(&key)
            .content_type("application/json")
            .body(body.into())
            .send()
            .await
            .context("write a trace to S3")?;
        metrics::counter!("writer_traces_total", "reason" => wanted.reason.clone()).increment(1);
        Ok(())
    }
}

async fn trace_of(
    tx: &TenantTx,
    conversation: ConversationId,
) -> anyhow::Result<Option<(Timestamp, Value)>> {
    let id = *conversation.as_uuid();
    let Some(found) = history::conversation(tx, id).await.context("find a conversation")? else {
        return Ok(None);
    };
    // A tenant whose texts are encrypted wants them nowhere in clear.
    let with_text = !tenants::own(tx).await.context("read the tenant")?.encrypt_text;
    let mut messages = Vec::new();
    let mut after = None;
    loop {
        let page = history::messages(tx, conversation, after, false, PAGE).await;
        let page = page.context("read the messages")?;
        after = page.last().map(|m| (m.position, m.id));
        let is_last = i64::try_from(page.len()).unwrap_or(PAGE) < PAGE;
        messages.extend(page.iter().map(|m| message(m, with_text)));
        if is_last {
            break;
        }
    }
    let timed = turn_timings::of_conversation(tx, conversation).await.context("read the turns")?;
    let trace_ids =
        turn_timings::trace_ids(tx, conversation).await.context("read the turns' traces")?;
    let turns: Vec<Value> = timed
        .iter()
        .map(|(turn, stages)| {
            let stages = stages.iter().map(|s| json!({"name": s.name, "at": moment(s.at)}));
            let trace_id = trace_ids.iter().find(|(of, _)| of == turn).map(|(_, id)| id);
            json!({"turn": turn.0, "trace_id": trace_id, "stages": stages.collect::<Vec<_>>()})
        })
        .collect();
    let done = effects::of_conversation(tx, conversation).await.context("read what tools did")?;
    let tools: Vec<Value> = done.iter().map(|effect| tool(effect, with_text)).collect();
    let asked = escalations::of_conversation(tx, conversation, ESCALATIONS_MAX).await;
    let asked = asked.context("read the requests for a human")?;
    let escalations: Vec<Value> = asked.iter().map(|e| escalation(e, with_text)).collect();
    let trace = json!({
        "conversation": id,
        "channel": found.channel,
        "our_address": found.our_address,
        "user": found.user,
        "call": found.call,
        "started_at": moment(found.started_at),
        "last_active_at": moment(found.last_active_at),
        "ended_at": found.ended_at.map(moment),
        "messages": messages,
        "turns": turns,
        "tools": tools,
        "escalations": escalations,
    });
    Ok(Some((found.started_at, trace)))
}

/// A message without who wrote it: that is found by the conversation's `user`, as long as the person is known.
fn message(m: &history::Message, with_text: bool) -> Value {
    let speaker = match m.speaker {
        Speaker::User => "user",
        Speaker::Agent => "agent",
        Speaker::Operator => "operator",
    };
    let account = m.account.as_ref().map(|a| {
        json!({
            "agent": a.agent, "confidence": a.confidence, "reason": a.reason, "model": a.model,
            "processing_ms": a.processing_ms, "tokens_in": a.tokens_in, "tokens_out": a.tokens_out,
            "cost_micros": a.cost_micros,
        })
    });
    let delivery = m.delivery.as_ref().map(|d| {
        json!({
            "status": d.status, "error_code": d.error_code, "error_text": d.error_text,
            "updated_at": moment(d.updated_at),
        })
    });
    json!({
        "id": m.id,
        "speaker": speaker,
        "turn": m.turn,
        "kind": m.kind,
        "kind_value": m.kind_value,
        "external_id": m.external_id,
        "in_reply_to": m.in_reply_to,
        "text": with_text.then(|| m.text.reveal()),
        "intended": m.intended.as_ref().filter(|_| with_text).map(|text| text.reveal()),
        "heard": m.heard.map(|(chars, whole)| json!({"chars": chars, "whole": whole})),
        "account": account,
        "delivery": delivery,
        "file": m.file.as_ref().map(|(media_type, bytes)| {
            json!({"media_type": media_type, "bytes": bytes})
        }),
        "file_fault": m.file_fault,
        "edited_at": m.edited_at.map(moment),
        "revoked_at": m.revoked_at.map(moment),
        "at": moment(m.at),
    })
}

/// What a tool did: its answer may say as much of the person as a text.
fn tool(effect: &Effect, with_text: bool) -> Value {
    let result = serde_json::from_str::<Value>(effect.result.reveal()).ok();
    json!({
        "turn": effect.turn,
        "call": effect.call,
        "result": result.filter(|_| with_text),
        "at": moment(effect.at),
    })
}

fn escalation(e: &Escalation, with_text: bool) -> Value {
    json!({
        "id": e.id,
        "reason": e.reason,
        "summary": with_text.then(|| e.summary.reveal()),
        "status": e.status,
        "requested_at": moment(e.requested_at),
        "asked_again_at": e.asked_again_at.map(moment),
        "taken_by": e.taken_by,
        "taken_at": e.taken_at.map(moment),
        "closed_at": e.closed_at.map(moment),
        "closed_by": e.closed_by,
        "timed_out": e.timed_out,
    })
}

fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default().to_string()
}
