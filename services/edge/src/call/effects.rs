//! What a call does outside its task, in order, without holding up its audio.

use std::{sync::Arc, time::Duration};

use bus::{Destination, Queue, SendError};
use cache::{Cache, CacheError, HeardSoFar};
use domain::{CallSid, Envelope, Timestamp};
use tokio::{sync::mpsc, task::JoinHandle};
use tracing::Instrument as _;

use super::CallServices;

/// A call has a handful of effects per turn; more waiting than this means that the broker has been away for long.
const LONGEST_QUEUE: usize = 1024;
/// A note follows every second of speech; more waiting than this means that Redis does not answer.
const LONGEST_NOTES: usize = 64;
/// How often it is tried to note what Redis did not take.
const NOTE_AGAIN: Duration = Duration::from_millis(500);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// An event that the broker did not take for this long is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15 * 60);

pub(super) enum Effect {
    /// To the topic, tried until the broker takes it: only then does it count as sent.
    Event(Envelope),
    /// The same for a turn of the caller, which is noted before: whoever goes on with the call publishes it again, in case
    /// this task did not come to it.
    Turn(Envelope),
    /// To a queue, tried until it expires.
    Job(Queue, Envelope),
}

/// What whoever goes on with the call has to know (DESIGN 5).
pub(super) enum Note {
    /// The turn that was taken last, and its event as it stands in a queue.
    Taken(domain::Turn, String),
    /// The caller is in the middle of this turn.
    Speaking(domain::Turn),
    /// The caller has heard so much of the last reply.
    Heard(HeardSoFar),
}

/// Notes of one call on their way to Redis. The last of each kind is tried until Redis takes it: a call that is lost soon
/// after an outage is as well known as any other.
#[derive(Clone)]
pub(super) struct Notes(mpsc::Sender<Note>);

/// What is to be noted yet, the last of each kind.
#[derive(Default)]
struct Unnoted {
    taken: Option<(domain::Turn, String)>,
    speaking: Option<domain::Turn>,
    heard: Option<HeardSoFar>,
}

impl Unnoted {
    fn add(&mut self, note: Note) {
        match note {
            Note::Taken(turn, event) => self.taken = Some((turn, event)),
            Note::Speaking(turn) => self.speaking = Some(turn),
            Note::Heard(heard) => self.heard = Some(heard),
        }
    }

    fn is_empty(&self) -> bool {
        self.taken.is_none() && self.speaking.is_none() && self.heard.is_none()
    }

    async fn write(&mut self, cache: &Cache, call: &CallSid, holder: &str) {
        if let Some((turn, event)) = &self.taken
            && told(call, cache.note_turn(call, holder, *turn, event).await)
        {
            self.taken = None;
        }
        if let Some(turn) = self.speaking
            && told(call, cache.note_speaking(call, holder, turn).await)
        {
            self.speaking = None;
        }
        if let Some(heard) = &self.heard
            && told(call, cache.note_heard(call, holder, heard).await)
        {
            self.heard = None;
        }
    }
}

impl Notes {
    pub(super) fn start(services: &Arc<CallServices>, call: CallSid, holder: String) -> Self {
        let (queue, mut todo) = mpsc::channel(LONGEST_NOTES);
        let cache = services.cache.clone();
        services.runtime.spawn(async move {
            let mut unnoted = Unnoted::default();
            loop {
                let next = match unnoted.is_empty() {
                    true => Ok(todo.recv().await),
                    false => tokio::time::timeout(NOTE_AGAIN, todo.recv()).await,
                };
                match next {
                    Ok(Some(note)) => unnoted.add(note),
                    // It is time to try again.
                    Err(_) => {}
                    // Another holds the call by now, or it is over.
                    Ok(None) => return,
                }
                unnoted.write(&cache, &call, &holder).await;
            }
        });
        Self(queue)
    }

    /// Queues a note. Never waits; one too many is dropped.
    pub(super) fn push(&self, note: Note) {
        let _ = self.0.try_send(note);
    }
}

/// Whether Redis answered.
fn told(call: &CallSid, noted: Result<bool, CacheError>) -> bool {
    match noted {
        Ok(true) => true,
        Ok(false) => {
            tracing::debug!(%call, "another task holds the call");
            true
        }
        Err(error) => {
            tracing::debug!(%call, %error, "state of the call not noted");
            false
        }
    }
}

/// The effects of one call, done one after the other.
pub(super) struct Effects {
    queue: mpsc::Sender<Effect>,
    worker: JoinHandle<()>,
}

impl Effects {
    pub(super) fn start(
        services: &Arc<CallServices>,
        call: CallSid,
        holder: String,
        notes: Notes,
    ) -> Self {
        let (queue, todo) = mpsc::channel(LONGEST_QUEUE);
        let work = work(services.clone(), call, holder, notes, todo).in_current_span();
        let worker = services.unfinished.spawn_on(work, &services.runtime);
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

async fn work(
    services: Arc<CallServices>,
    call: CallSid,
    holder: String,
    notes: Notes,
    mut todo: mpsc::Receiver<Effect>,
) {
    while let Some(effect) = todo.recv().await {
        match effect {
            Effect::Event(event) => publish(&services, &call, event).await,
            Effect::Turn(event) => {
                let encoded = wire::to_body(&wire::encode(&event));
                let noting = services.cache.note_turn(&call, &holder, event.turn, &encoded);
                if !told(&call, noting.await) {
                    notes.push(Note::Taken(event.turn, encoded));
                }
                publish(&services, &call, event).await;
            }
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
