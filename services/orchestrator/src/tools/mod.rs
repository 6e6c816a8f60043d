//! What agents have done for them (C5): each request of the dialogue core run against the store and
//! the world outside, within a time limit.
//!
//! A tool's effect happens at most once a turn, across crashes: it shares a transaction with its row
//! in `effects`, or leaves as a message whose id derives from the turn (DESIGN 2, "Turn ledger").
//! The log names tools and kinds of outcome, never what they were about.

mod appointments;
mod confirmation;
mod documents;
mod held;
mod knowledge;
mod own;
mod public_address;
mod weather;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use bus::{Destination, SendError};
use dialogue_core::tool::{Call, Done, Escalate, Escalated, Outcome, ToolRequest};
use domain::{
    CallCommand, Channel, ControlCall, Envelope, EscalationRequested, MessageReceived, Payload,
    Timestamp, Turn,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

pub(crate) use confirmation::{appointment_changed, reminder_due};
pub use held::HeldBookings;
#[cfg(test)]
pub(crate) use held::book_held;
pub(crate) use knowledge::keep_embedded;
pub use own::OwnToolSettings;
pub(crate) use own::OwnTools;
pub(crate) use weather::OpenMeteo;
pub use weather::WeatherSettings;

use crate::{Shell, llm::Embeddings, outlet::Outlet, tenants::Tenant};

/// How long a tool that only looks may take; the caller waits.
const LOOK_WITHIN: Duration = Duration::from_secs(3);
/// How long a tool that changes something may take. Cut off, it may have happened; the turn's next
/// run finds out.
const ACT_WITHIN: Duration = Duration::from_secs(5);

/// How long a tenant's own tool may take, with what is put on record before and after it.
const OWN_WITHIN: Duration = Duration::from_secs(7);

/// How long a tool waits while others use the calendar. A burst of callers is no lost database: they
/// queue here, and not for a connection, whose want counts as an outage.
const QUEUE_WITHIN: Duration = Duration::from_secs(4);

/// What the tools of all turns share.
pub(crate) struct Tools {
    pub(crate) weather: OpenMeteo,
    /// `None` where documents are found by their words alone.
    pub(crate) embeddings: Option<Arc<Embeddings>>,
    own: OwnTools,
    calendar: Semaphore,
}

impl Tools {
    /// `connections` is how many the pool has. Half of them serve the calendar, so that what else a
    /// turn reads finds one.
    pub(crate) fn new(
        weather: OpenMeteo,
        embeddings: Option<Arc<Embeddings>>,
        connections: usize,
    ) -> Self {
        let calendar = Semaphore::new((connections / 2).max(1));
        Self { weather, embeddings, own: OwnTools::none(), calendar }
    }

    /// With tools of the tenants' own.
    pub(crate) fn with_own(self, own: OwnTools) -> Self {
        Self { own, ..self }
    }
}

/// Where a tool is run: the turn, and who it is for.
pub(crate) struct Scene<'a> {
    pub(crate) shell: &'a Shell,
    pub(crate) out: &'a dyn Outlet,
    pub(crate) tenant: &'a Tenant,
    /// The message that is being answered.
    pub(crate) envelope: &'a Envelope,
    /// Who calls or writes.
    pub(crate) from: &'a domain::Personal,
    /// Which of our addresses.
    pub(crate) to: &'a str,
    pub(crate) turn: Turn,
    /// When the message came, for a second run of the turn to answer alike; of a held booking, now.
    pub(crate) at: Timestamp,
}

/// Runs `call`, `done` being what was done in the turn before it.
///
/// # Errors
/// When a message of the tool's could not leave; the turn is to be run again.
pub(crate) async fn run(scene: &Scene<'_>, call: &Call, done: &[Done]) -> anyhow::Result<Outcome> {
    let request = &call.request;
    let name = request.name();
    let begun = Instant::now();
    let limit = match request {
        ToolRequest::Http(_) => OWN_WITHIN,
        request if request.has_effect() => ACT_WITHIN,
        _ => LOOK_WITHIN,
    };
    let effect = effect_name(request, call.index, done);
    let place = match request.is_of_appointments() {
        true => timeout(QUEUE_WITHIN, scene.shell.tools.calendar.acquire()).await.ok(),
        false => None,
    };
    // On the heap: a turn's future is deep enough without what all tools are made of.
    let running = Box::pin(run_unlimited(scene, request, &effect, done));
    let ran = timeout(limit, running).await;
    drop(place);
    let outcome = match ran {
        Ok(outcome) => outcome.with_context(|| format!("run the tool {name}"))?,
        Err(_) if matches!(request, ToolRequest::Book(_)) => {
            // Whether it stands is not known; held, it is settled under the same name.
            appointments::hold(scene, request, &effect).await?
        }
        Err(_) if matches!(request, ToolRequest::Http(_)) => own::not_known(),
        Err(_) => Outcome::Unavailable,
    };
    let took_ms = begun.elapsed().as_millis() as u64;
    tracing::info!(tool = name, outcome = outcome.name(), took_ms, "tool run");
    metrics::histogram!("orchestrator_tool_seconds", "tool" => metric_name(request))
        .record(begun.elapsed());
    metrics::counter!("orchestrator_tools_total",
        "tool" => metric_name(request), "outcome" => outcome.name())
    .increment(1);
    Ok(outcome)
}

async fn run_unlimited(
    scene: &Scene<'_>,
    request: &ToolRequest,
    effect: &str,
    done: &[Done],
) -> anyhow::Result<Outcome> {
    match request {
        ToolRequest::FindSlots(find) => Ok(appointments::find_slots(scene, find).await),
        ToolRequest::Book(_) => appointments::book(scene, request, effect).await,
        ToolRequest::Reschedule(wanted) => appointments::reschedule(scene, wanted, effect).await,
        ToolRequest::Cancel(wanted) => appointments::cancel(scene, wanted, effect).await,
        ToolRequest::ListAppointments(whose) => Ok(appointments::list(scene, whose).await),
        ToolRequest::SearchKnowledge(wanted) => Ok(knowledge::search(scene, wanted).await),
        ToolRequest::SendDocument(wanted) => documents::send(scene, wanted, effect).await,
        ToolRequest::Weather(wanted) => Ok(scene.shell.tools.weather.forecast(scene, wanted).await),
        ToolRequest::Escalate(wanted) => escalate(scene, wanted, effect).await,
        ToolRequest::PauseRecording => control(scene, CallCommand::PauseRecording, effect).await,
        ToolRequest::ResumeRecording => control(scene, CallCommand::ResumeRecording, effect).await,
        ToolRequest::Http(wanted) => {
            Ok(scene.shell.tools.own.run(scene, wanted, effect, done).await)
        }
    }
}

/// The name of an effect within its turn: the tool, and how often it was run before. Not its place
/// among all calls, for a model that is asked again after the ledger was lost may look around less.
fn effect_name(request: &ToolRequest, index: u32, done: &[Done]) -> String {
    let before = done
        .iter()
        .filter(|d| d.call.index < index && d.call.request.name() == request.name())
        .count();
    format!("{}:{before}", request.name())
}

/// A tenant's own tools share one label: their names are the tenants' affair.
fn metric_name(request: &ToolRequest) -> String {
    match request {
        ToolRequest::Http(_) => "http".to_owned(),
        own => own.name().to_owned(),
    }
}

/// Has the edge task that holds the call pause or resume its recording. What is not recorded by us (a chat, a call that the
/// vendor recognises) cannot be paused.
async fn control(scene: &Scene<'_>, command: CallCommand, effect: &str) -> anyhow::Result<Outcome> {
    let Payload::MessageReceived(MessageReceived { call: Some(call), gathered: false, .. }) =
        &scene.envelope.payload
    else {
        return Ok(Outcome::Refused("nothing is recorded here".into()));
    };
    let job = ControlCall { call: call.clone(), command };
    let job = scene
        .envelope
        .follow(&format!("tool:{effect}"), Timestamp::now(), job)
        .with_turn(scene.turn);
    let holder = scene.shell.cache.edge_of(call).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "who holds the call is not known; telling who asked");
        None
    });
    let Some(queue) = holder.or_else(|| scene.envelope.reply_to.clone()) else {
        return Ok(Outcome::Unavailable);
    };
    match scene.out.send(&Destination::Task(queue), &[job]).await {
        Ok(()) => Ok(Outcome::Done),
        Err(SendError::QueueGone(_)) => Ok(Outcome::Unavailable),
        Err(error) => Err(error).context("have the recording controlled"),
    }
}

/// Asks for a human (A7). The id derives from the turn, so that one is asked for once. A call goes to one as soon as the
/// reply was heard, where the tenant names who takes it; a web page's cannot be dialled on.
async fn escalate(scene: &Scene<'_>, wanted: &Escalate, effect: &str) -> anyhow::Result<Outcome> {
    let requested = EscalationRequested {
        reason: wanted.reason.as_str().to_owned(),
        summary: wanted.summary.clone(),
    };
    let event = scene
        .envelope
        .follow(&format!("tool:{effect}"), Timestamp::now(), requested)
        .with_turn(scene.turn);
    scene.out.publish(&[event]).await.context("ask for a human")?;
    let is_phone = scene.envelope.channel == Channel::VOICE;
    Ok(Outcome::Escalated(match scene.tenant.settings.human() {
        Some(_) if is_phone => Escalated::Transferring,
        _ => Escalated::Queued { minutes: None },
    }))
}
