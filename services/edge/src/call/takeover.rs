//! One lease a task, and what becomes of the calls of one that lapsed: its host is gone without a word, and Twilio still
//! holds their sockets (DESIGN 5). Another task takes them by telling Twilio to ask again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use cache::Renewal;
use domain::{CallSid, Channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    CallServices,
    settle::{settle_noted, settle_unnoticed},
    state::CallState,
};
use crate::channel::twilio_voice::NotUpdated;

/// How long a lease lasts, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(4);
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// After an outage of Redis every lease looks lapsed for a while.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// One task at a time takes over the calls of another.
const TAKING: Duration = Duration::from_secs(5);
/// A call that Twilio does not let go of so often is over, or its socket will close by itself.
const TRIES_MAX: u32 = 5;

/// Keeps this task's lease until `drained`, and takes over the calls of those whose leases lapse, until the task stops.
pub async fn keep_watch(services: Arc<CallServices>, drained: CancellationToken) {
    let mut unsettled_until = Instant::now() + SETTLED_AFTER;
    let mut tries = HashMap::new();
    while !drained.is_cancelled() {
        if !services.stopping.is_cancelled()
            && matches!(services.cache.edge_is_asked_to_stop(&services.own_queue).await, Ok(true))
        {
            tracing::info!("an operator asked this task to hand its calls over and end");
            services.stopping.cancel();
        }
        match services.cache.renew_edge_lease(&services.own_queue, LEASE).await {
            Err(error) => {
                tracing::debug!(%error, "lease not renewed");
                unsettled_until = Instant::now() + SETTLED_AFTER;
            }
            Ok(Renewal { lapsed, .. }) if Instant::now() >= unsettled_until => {
                for queue in lapsed.iter().filter(|queue| **queue != services.own_queue) {
                    if !services.stopping.is_cancelled() {
                        take_over(&services, queue, &mut tries).await;
                    }
                }
            }
            Ok(_) => {}
        }
        tokio::select! {
            () = drained.cancelled() => {}
            () = tokio::time::sleep(RENEW_EVERY) => {}
        }
    }
    // Where it fails, the lease lapses with no call to take over.
    let _ = services.cache.end_edge_lease(&services.own_queue).await;
}

async fn take_over(services: &CallServices, from: &str, tries: &mut HashMap<CallSid, u32>) {
    let (cache, own) = (&services.cache, &services.own_queue);
    let taking = cache.renew_lease(&format!("takeover:{from}"), own, TAKING).await;
    let Ok(true) = taking else { return };
    let Ok(calls) = cache.calls_of_edge(from).await else { return };
    if !calls.is_empty() {
        tracing::warn!(
            from,
            calls = calls.len(),
            "a task is gone without a word; its calls are taken over"
        );
    }
    let mut left = 0;
    for call in calls {
        if take_call(services, from, &call, tries).await {
            tries.remove(&call);
            // Where it fails the call is looked at once more.
            let _ = cache.remove_call_of_edge(from, &call).await;
        } else {
            left += 1;
        }
    }
    let Ok(endings) = cache.endings_of_edge(from).await else { return };
    for (call, messages) in endings {
        match services.states.state(&call).await {
            CallState::Unknown => {
                left += 1;
                continue;
            }
            CallState::Ended if settle_noted(services, &call, &messages).await => {
                tracing::info!(%call, from, "a call that a lost task ended is settled");
            }
            CallState::Ended => {
                left += 1;
                continue;
            }
            // An end is noted before it counts: this one went on elsewhere.
            CallState::New | CallState::Live | CallState::Transferring(_) => {}
        }
        // Where it fails the same is published once more, and changes nothing.
        let _ = cache.forget_ending(from, &call).await;
    }
    if left == 0 {
        let _ = cache.forget_edge(from).await;
    }
}

/// Has Twilio ask what to do with the call. Says whether nothing is left to do.
async fn take_call(
    services: &CallServices,
    from: &str,
    call: &CallSid,
    tries: &mut HashMap<CallSid, u32>,
) -> bool {
    if call.channel() != Channel::VOICE {
        // A page cannot be told; it asks by itself.
        return true;
    }
    let attempt = match services.cache.take_over_call(call, from).await {
        Ok(Some(attempt)) => attempt,
        Ok(None) => return true,
        Err(error) => {
            tracing::warn!(%call, %error, "call not taken over yet");
            return false;
        }
    };
    let document = services.twilio.come_back(attempt);
    match services.transfers.update(call, &document).await {
        Ok(()) => {
            metrics::counter!("edge_calls_taken_over_total").increment(1);
            tracing::info!(%call, attempt, from, "call taken over");
            true
        }
        // Its task died before it knew.
        Err(NotUpdated::Over) => settle_unnoticed(services, call).await,
        Err(error) => {
            let tried = tries.entry(call.clone()).or_default();
            *tried += 1;
            tracing::warn!(%call, tried, %error, "call not taken over");
            *tried >= TRIES_MAX
        }
    }
}
