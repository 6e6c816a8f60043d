//! What each event does to the history: the claim of the event and its effect, in one transaction.

mod call;
mod message;

use async_trait::async_trait;
use bus::{Context, Handler, Outcome, TraceContext};
use domain::{Envelope, Payload, Stage};
use store::{StoreError, TenantTx, claims, conversations, deliveries, messages, turn_timings};

use crate::{Batches, traces::Traces};

/// The name the writer claims events under.
const CONSUMER: &str = "writer";

/// Takes events into the history.
pub struct Recorder {
    batches: Batches,
    traces: Traces,
}

impl Recorder {
    /// A recorder that commits through `batches`, and writes `traces` of what is over.
    pub fn new(batches: Batches, traces: Traces) -> Self {
        Self { batches, traces }
    }
}

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, context: &Context, event: &Envelope) -> Outcome {
        if !event.payload.is_event() {
            return Outcome::Reject(format!("{} is a job, not an event", event.payload.name()));
        }
        if let Err(lost) = context.check() {
            return Outcome::retry(lost);
        }
        if let Payload::TraceRequested(wanted) = &event.payload {
            return self.traces.export(event, wanted).await.into();
        }
        match self.batches.record(event.clone()).await {
            Ok(()) => Outcome::Done,
            Err(e) if e.is_of_the_data() => Outcome::Reject(format!("cannot be recorded: {e}")),
            Err(e) => Outcome::retry(anyhow::Error::new(e).context("record the event")),
        }
    }
}

/// Takes one event in: at most once, however often it is delivered, for the claim stands or falls
/// with the effect. In any order: each event makes the parents its rows name, and adds what it
/// knows to what others have brought.
///
/// # Errors
/// As the functions of `store`; the transaction is then to be dropped.
pub async fn record(tx: &TenantTx, event: &Envelope) -> Result<(), StoreError> {
    if !claims::claim(tx, CONSUMER, event.event_id).await? {
        metrics::counter!("writer_events_repeated_total", "event" => event.payload.name())
            .increment(1);
        return Ok(());
    }
    match &event.payload {
        Payload::CallStarted(e) => call::started(tx, event, e).await,
        Payload::CallEnded(e) => call::ended(tx, event, e).await,
        Payload::RecordingFinished(e) => call::recorded(tx, event, e).await,
        Payload::TransferUpdated(e) => call::transferred(tx, event, e).await,
        Payload::MessageReceived(e) => message::received(tx, event, e).await,
        Payload::MessageSent(e) => message::sent(tx, event, e).await,
        Payload::MediaSettled(e) => messages::media_settled(tx, event, e).await,
        Payload::DeliveryUpdated(e) => deliveries::note(tx, event, e).await,
        Payload::MessageRefused(e) => deliveries::came_back(tx, event, e).await,
        Payload::TurnTimed(e) => {
            measure_turn(event);
            conversations::note(tx, event, None, None).await?;
            turn_timings::note(tx, event, e).await
        }
        // `edge` writes escalations, for it also tells the operators (DESIGN 2).
        Payload::EscalationRequested(_) => Ok(()),
        // Handled before a batch is begun: it reads what stands, and writes to S3.
        Payload::TraceRequested(_) => Ok(()),
        Payload::TranscribeSegment(_)
        | Payload::SegmentTranscribed(_)
        | Payload::SpeakSentence(_)
        | Payload::SentenceSpoken(_)
        | Payload::ReplyFinished(_)
        | Payload::FinishRecording(_)
        | Payload::Ping(_)
        | Payload::BookHeld(_)
        | Payload::ReminderDue(_)
        | Payload::EscalationDue(_)
        | Payload::AppointmentChanged(_)
        | Payload::ControlCall(_)
        | Payload::ReplyWritten(_)
        | Payload::FetchMedia(_)
        | Payload::TranscribeVoiceNote(_) => Ok(()),
    }
}

/// The turn as a span of its trace, from its first stage to its last, and the times between as attributes.
fn export_turn(event: &Envelope, first: &Stage, last: &Stage) {
    let Some(trace) = event.traceparent.as_deref().and_then(TraceContext::parse) else { return };
    let at = |stage: &Stage| stage.at.as_micros();
    let stages: Vec<String> = event
        .stages
        .iter()
        .map(|stage| format!("{}+{}us", stage.name, at(stage).saturating_sub(at(first))))
        .collect();
    drop(tracing::info_span!(target: "otlp", "turn", otel.trace = %trace.child(),
        otel.parent = trace.span_id(), otel.start_us = at(first), otel.end_us = at(last),
        messaging.message.conversation_id = %event.conversation, turn = event.turn.0,
        channel = event.channel.as_str(), stages = stages.join(" ")));
}

/// The hops of a turn: each stage since the one before, and the whole.
fn measure_turn(event: &Envelope) {
    let mut stages: Vec<_> = event.stages.iter().collect();
    stages.sort_by_key(|stage| stage.at);
    let channel = event.channel.to_string();
    for pair in stages.windows(2) {
        metrics::histogram!("turn_stage_duration_seconds",
            "channel" => channel.clone(), "stage" => pair[1].name.to_string())
        .record(pair[1].at.since(pair[0].at));
    }
    if let Some((first, last)) = stages.first().zip(stages.last()) {
        export_turn(event, first, last);
        metrics::histogram!("turn_duration_seconds", "channel" => channel)
            .record(last.at.since(first.at));
    }
}
