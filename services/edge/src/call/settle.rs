//! What remains to be done when a call's socket is gone, or the vendor says that the call is over.

use std::{sync::Arc, time::Duration};

use bus::{Destination, Queue};
use domain::{
    CallEndReason, CallEnded, CallSid, ConversationId, Envelope, EventId, FinishRecording, Heard,
    Payload, TenantId, Timestamp,
};

use super::{
    CallServices,
    effects::{Effect, Effects},
    recording::PartQueue,
    state::CallState,
};
use crate::channel::twilio_voice::call_ended;

/// How long a call whose socket was lost may take to come back on another (DESIGN 5: 1 to 3 s).
const COME_BACK_WITHIN: Duration = Duration::from_secs(15);
/// How long the task that holds a call may take to end it itself, which knows what was heard.
const OWNER_ENDS_WITHIN: Duration = Duration::from_secs(20);

pub(super) struct Ending {
    pub tenant: TenantId,
    pub call: CallSid,
    pub reason: CallEndReason,
    pub started_at: Timestamp,
    pub heard: Option<Heard>,
    /// The call was on other connections before.
    pub resumed: bool,
    /// Numbers in what was heard last are not to be kept.
    pub off_record: bool,
}

/// Publishes the end of a call and has its recording finished, once everything before is done. A call that was only
/// lost gets the time to come back.
pub(super) async fn settle_session(
    services: Arc<CallServices>,
    ending: Ending,
    effects: Effects,
    parts: PartQueue,
) {
    let noted = ending.reason != CallEndReason::Lost;
    if noted {
        note(&services, &ending).await;
    }
    let stored = parts.finish().await;
    let mut recorded = (stored > 0).then_some(stored);
    if ending.reason == CallEndReason::Lost {
        if !is_gone_for_good(&services, &ending.call).await {
            effects.finish().await;
            return;
        }
        services.states.set_ended(&ending.call).await;
    }
    // A lost call may have been elsewhere in between.
    if ending.resumed || ending.reason == CallEndReason::Lost {
        recorded = recorded_anywhere(&services, &ending.call).await.unwrap_or(recorded);
    }
    effects.push(Effect::Event(ended(&ending)));
    if let Some(parts) = recorded {
        let job = finish_recording(ending.tenant, &ending.call, ending.started_at, parts);
        effects.push(Effect::Job(Queue::Jobs, job));
    }
    effects.finish().await;
    if noted {
        // Where it fails, the same is published once more, and changes nothing.
        let _ = services.cache.forget_ending(&services.own_queue, &ending.call).await;
    }
}

/// The event of the end of a call.
fn ended(ending: &Ending) -> Envelope {
    let now = Timestamp::now();
    let mut event = call_ended(ending.tenant, &ending.call, ending.reason, ending.started_at, now);
    if let Payload::CallEnded(CallEnded { heard, .. }) = &mut event.payload {
        heard.clone_from(&ending.heard);
    }
    event.off_record = ending.off_record;
    event
}

/// Notes what follows the end of a call, for storing the last of its recording may take minutes (S3 away), and this task may
/// not live that long.
pub(super) async fn note(services: &CallServices, ending: &Ending) {
    let job = finish_recording(ending.tenant, &ending.call, ending.started_at, 0);
    let messages =
        [ended(ending), job].map(|message| wire::to_body(&wire::encode(&message))).join("\n");
    if let Err(error) =
        services.cache.note_ending(&services.own_queue, &ending.call, &messages).await
    {
        tracing::debug!(call = %ending.call, %error, "what follows the end of a call is not noted");
    }
}

/// Publishes what a task that is gone had noted of a call that is over. False where that has to be tried again.
pub(super) async fn settle_noted(services: &CallServices, call: &CallSid, messages: &str) -> bool {
    for message in messages.lines() {
        let Ok(bytes) = wire::from_body(message) else { continue };
        let Ok(wire::Decoded::Whole(mut message)) = wire::decode(&bytes) else { continue };
        let sent = match &mut message.payload {
            Payload::FinishRecording(job) => match recorded_anywhere(services, call).await {
                Ok(None) => Ok(()),
                Ok(Some(parts)) => {
                    job.parts = parts;
                    let jobs = [message];
                    let to = Destination::Shared(Queue::Jobs);
                    services.bus.send(&to, &jobs).await.map_err(anyhow::Error::from)
                }
                Err(error) => Err(error),
            },
            _ => services.bus.publish(&[message]).await.map_err(anyhow::Error::from),
        };
        if let Err(error) = sent {
            tracing::warn!(%call, error = format!("{error:#}"), "a call that a lost task ended is not settled yet");
            return false;
        }
    }
    true
}

/// Whether a lost call stayed away. False as well when this task stops first: another then settles it.
async fn is_gone_for_good(services: &CallServices, call: &CallSid) -> bool {
    tokio::select! {
        () = tokio::time::sleep(COME_BACK_WITHIN) => {}
        () = services.stopping.cancelled() => return false,
    }
    !services.states.is_held(call).await && services.states.state(call).await != CallState::Ended
}

/// Settles a call of which the vendor says that it is over. Where a task holds the call, or has ended it, that one knows
/// what was heard and comes first; should it have died over it, the event follows, and is dropped as a repetition where
/// it did not.
///
/// # Errors
/// When the queues do not take the end of the call.
pub async fn settle_call_over(
    services: &Arc<CallServices>,
    event: Envelope,
) -> Result<(), bus::SendError> {
    let mut event = event;
    let Payload::CallEnded(ended) = &mut event.payload else { return Ok(()) };
    let call = ended.call.clone();
    let is_held = services.states.is_held(&call).await;
    // Asked after that: who ends a call says so as it lets go of it, and between the two in the other order both would be
    // missed, and with the call's end what was heard.
    let state = services.states.state(&call).await;
    let has_ended = state == CallState::Ended;
    if matches!(state, CallState::Transferring(_)) {
        ended.reason = CallEndReason::Transferred;
    }
    if !has_ended && !is_held {
        return end_abandoned_call(services, event).await;
    }
    let services = services.clone();
    let runtime = services.runtime.clone();
    runtime.spawn(async move {
        tokio::time::sleep(OWNER_ENDS_WITHIN).await;
        if let Err(error) = end_abandoned_call(&services, event).await {
            tracing::error!(%call, %error, "end of a call not published");
        }
    });
    Ok(())
}

/// Settles a call that was over before its task, which is gone, knew of it, and of whose end the vendor has told nobody else.
/// False where that has to be tried again.
pub(super) async fn settle_unnoticed(services: &CallServices, call: &CallSid) -> bool {
    let record = match services.cache.call_record(call).await {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(%call, %error, "a call that is over is not settled yet");
            return false;
        }
    };
    // One that a release before this one began says nothing of its tenant.
    let Some(tenant) = record.tenant else { return true };
    tracing::info!(%call, "a call was over before its task knew");
    let now = Timestamp::now();
    let began_at = record.began_at.unwrap_or(now);
    let event = call_ended(tenant, call, CallEndReason::Lost, began_at, now);
    match end_abandoned_call(services, event).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%call, %error, "a call that is over is not settled yet");
            false
        }
    }
}

async fn end_abandoned_call(
    services: &CallServices,
    mut event: Envelope,
) -> Result<(), bus::SendError> {
    let tenant = event.tenant;
    let Payload::CallEnded(ended) = &mut event.payload else { return Ok(()) };
    let call = ended.call.clone();
    let began_at = services.states.began_at(&call).await;
    if let Ok(Some(began_at)) = began_at {
        ended.started_at = began_at;
    }
    let started_at = ended.started_at;
    let already = services.states.state(&call).await == CallState::Ended;
    services.states.set_ended(&call).await;
    services.bus.publish(&[event]).await?;
    // Where Redis does not say when it began, it may have been recorded all the same.
    if already || matches!(began_at, Ok(None)) {
        return Ok(());
    }
    match recorded_anywhere(services, &call).await {
        Ok(None) => Ok(()),
        Ok(Some(parts)) => {
            let job = finish_recording(tenant, &call, started_at, parts);
            services.bus.send(&Destination::Shared(Queue::Jobs), &[job]).await
        }
        Err(error) => {
            tracing::error!(%call, error = format!("{error:#}"), "recording of a lost call not finished");
            Ok(())
        }
    }
}

/// How many parts of a call's recording are stored. Nothing where there is no recording: what a lost task kept in Redis is
/// one, though no part of it may be stored.
async fn recorded_anywhere(services: &CallServices, call: &CallSid) -> anyhow::Result<Option<u32>> {
    let (stored, kept) =
        tokio::join!(services.recordings.stored_parts(call), services.cache.has_recording(call),);
    let stored = stored?;
    // Where Redis does not say, there may be something: whoever makes the file asks once more.
    Ok((stored > 0 || kept.unwrap_or(true)).then_some(stored))
}

fn finish_recording(
    tenant: TenantId,
    call: &CallSid,
    started_at: Timestamp,
    parts: u32,
) -> Envelope {
    let conversation = ConversationId::of_call(tenant, call);
    Envelope::new(
        EventId::from_uuid(conversation.derive("finish-recording")),
        tenant,
        conversation,
        call.channel(),
        Timestamp::now(),
        FinishRecording { call: call.clone(), started_at, parts },
    )
}
