//! What a call does outside its task, in order, without holding up its audio.

use std::{sync::Arc, time::Duration};

use bus::{Destination, Queue, SendError};
use domain::{CallSid, Envelope, Timestamp};
use tokio::{sync::mpsc, task::JoinHandle};

use super::CallServices;

/// A call has a handful of effects per turn; more waiting than this means that the broker has been away for long.
const LONGEST_QUEUE: usize = 1024;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// An event that the broker did not take for this long is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15 * 60);

pub(super) enum Effect {
    /// To the topic, tried until the broker takes it: only then does it count as sent.
    Event(Envelope),
    /// To a queue, tried until it expires.
    Job(Queue, Envelope),
}

/// The effects of one call, done one after the other.
pub(super) struct Effects {
    queue: mpsc::Sender<Effect>,
    worker: JoinHandle<()>,
}

impl Effects {
    pub(super) fn start(services: &Arc<CallServices>, call: CallSid) -> Self {
        let (queue, todo) = mpsc::channel(LONGEST_QUEUE);
        let worker =
            services.unfinished.spawn_on(work(services.clone(), call, todo), &services.runtime);
        Self { queue, worker }
    }

    /// Queues an effect. Never waits.
    pub(super) fn push(&self, effect: Effect) {
        if self.queue.try_send(effect).is_err() {
            metrics::counter!("edge_call_effects_lost_total").increment(1);
            tracing::error!("effect of a call lost: the broker has been away too long");
        }
    }

    /// Waits until everything queued is done.
    pub(super) async fn finish(self) {
        drop(self.queue);
        if self.worker.await.is_err() {
            tracing::error!("the effects of a call ended in a panic");
        }
    }
}

async fn work(services: Arc<CallServices>, call: CallSid, mut todo: mpsc::Receiver<Effect>) {
    while let Some(effect) = todo.recv().await {
        match effect {
            Effect::Event(event) => publish(&services, &call, event).await,
            Effect::Job(queue, job) => send(&services, &call, queue, job).await,
        }
    }
}

async fn publish(services: &CallServices, call: &CallSid, event: Envelope) {
    let name = event.payload.name();
    let give_up_at = Timestamp::now().plus(GIVE_UP_AFTER);
    let events = [event];
    if persist(name, call, give_up_at, || services.bus.publish(&events)).await {
        boot::crash_point("edge.published");
    }
}

async fn send(services: &CallServices, call: &CallSid, queue: Queue, job: Envelope) {
    let (name, until) = (job.payload.name(), job.expires_at);
    let (to, jobs) = (Destination::Shared(queue), [job]);
    let give_up_at = until.unwrap_or_else(|| Timestamp::now().plus(GIVE_UP_AFTER));
    persist(name, call, give_up_at, || services.bus.send(&to, &jobs)).await;
}

async fn persist<F: Future<Output = Result<(), SendError>>>(
    name: &'static str,
    call: &CallSid,
    give_up_at: Timestamp,
    attempt: impl Fn() -> F,
) -> bool {
    let mut wait = RETRY_FIRST;
    loop {
        let Err(error) = attempt().await else { return true };
        if Timestamp::now() >= give_up_at {
            metrics::counter!("edge_call_effects_lost_total").increment(1);
            tracing::error!(%call, event = name, %error, "given up: not sent in time");
            return false;
        }
        if wait == RETRY_FIRST {
            tracing::warn!(%call, event = name, %error, "not sent, trying again");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_LONGEST);
    }
}
