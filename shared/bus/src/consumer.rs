use std::{
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System};
use domain::{Dependency, Envelope, EventId, ReplayEnd, StartCounter, Starts, Timestamp};
use futures::{
    FutureExt as _,
    future::{self, MaybeDone, maybe_done},
};
use tokio::{task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    age::Ages,
    backoff::Backoff,
    batch::MAX_ENTRIES,
    claim::{self, Unopened},
    death::DeathCause,
    deletions::{self, Deletions},
    depth,
    groups::Groups,
    handler::{Context, Handler, Outcome},
    held::{Held, Keeper},
    send::Bus,
    settings::{MAX_STARTS, VISIBILITY},
    topology::Source,
    trace::TraceContext,
};

const DEFAULT_CONCURRENCY: usize = 64;
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// What was gathered is handled together and done at nearly the same time.
const DELETED_TOGETHER: Duration = Duration::from_millis(2);

/// The one loop every service runs over a queue (DESIGN 2).
///
/// It receives, keeps messages ours, starts one handler per group at a time and in order, counts
/// starts, deletes what is done, gives back what failed together with what stands behind it, buries
/// what cannot succeed, and pauses while a dependency is down.
pub struct Consumer {
    bus: Bus,
    source: Source,
    handler: Arc<dyn Handler>,
    starts: Arc<dyn StartCounter>,
    dependencies: Vec<Arc<dyn Dependency>>,
    concurrency: usize,
    gathers_for: Duration,
}

impl Consumer {
    /// A consumer of `source`. `starts` counts handler starts over all tasks.
    pub fn new(
        bus: Bus,
        source: Source,
        handler: Arc<dyn Handler>,
        starts: Arc<dyn StartCounter>,
    ) -> Self {
        Self {
            bus,
            source,
            handler,
            starts,
            dependencies: Vec::new(),
            concurrency: DEFAULT_CONCURRENCY,
            gathers_for: Duration::ZERO,
        }
    }

    /// How many messages are held at once, at most (up to one receive, ten messages, more).
    #[must_use]
    pub fn concurrency(mut self, messages: usize) -> Self {
        self.concurrency = messages.max(1);
        self
    }

    /// For a queue on which nobody waits: after a receive, what comes within `time` is left to come together, so that one
    /// request takes many messages and one deletes them. The first message after a silence is taken at once. Where messages
    /// have waited for twice that time, the next are taken as soon as those in hand are handled.
    #[must_use]
    pub fn gathers_for(mut self, time: Duration) -> Self {
        self.gathers_for = time;
        self
    }

    /// Names something handlers need. While it is down the loop receives nothing, gives back what
    /// it holds, and counts no start.
    #[must_use]
    pub fn depends_on(mut self, dependency: Arc<dyn Dependency>) -> Self {
        self.dependencies.push(dependency);
        self
    }

    /// Runs until `stop`, then drains: the last receive is waited for, what has begun is finished
    /// within the drain time, everything else is given back.
    pub async fn run(self, stop: CancellationToken) {
        let Some(url) = self.find_queue(&stop).await else { return };
        let keeper = Arc::new(Keeper::default());
        let together = if self.gathers_for.is_zero() { Duration::ZERO } else { DELETED_TOGETHER };
        let (deletions, deleter) =
            deletions::start(self.bus.inner.sqs.clone(), url.clone(), together);
        let abandon = CancellationToken::new();
        let worker = Arc::new(Worker {
            label: match &self.source {
                Source::Shared(queue) => queue.name(),
                Source::Task(_) => "task",
            },
            queue: match &self.source {
                Source::Shared(queue) => self.bus.inner.topology.queue_name(*queue),
                Source::Task(name) => name.clone(),
            },
            url: url.clone(),
            deletions,
            abandon: abandon.clone(),
            ages: Arc::new(Ages::new(Timestamp::now())),
            consumer: self,
        });
        let sqs = worker.consumer.bus.inner.sqs.clone();
        let mut background = JoinSet::new();
        background.spawn(keeper.clone().run(sqs.clone(), url.clone()));
        background.spawn(depth::watch(sqs, url, worker.label, worker.ages.clone()));
        Loop { keeper, worker, tasks: JoinSet::new(), groups: Groups::default() }
            .run(stop, abandon)
            .await;
        // Every worker is gone now, and with them the last sender: the deleter finishes its work.
        if deleter.await.is_err() {
            tracing::error!("the deleter panicked; its messages will be handled again");
        }
    }

    async fn find_queue(&self, stop: &CancellationToken) -> Option<String> {
        let mut backoff = Backoff::default();
        loop {
            let error = match self.bus.source_url(&self.source).await {
                Ok(url) => return Some(url),
                Err(error) => error,
            };
            backoff.log(&error.to_string(), &self.source);
            tokio::select! {
                () = stop.cancelled() => return None,
                () = time::sleep(backoff.next()) => {}
            }
        }
    }
}

/// What one message's handling needs; shared by all of them.
struct Worker {
    consumer: Consumer,
    /// The queue in metrics.
    label: &'static str,
    /// The queue's full name.
    queue: String,
    url: String,
    deletions: Deletions,
    /// The drain time is over: handlers stop where they are.
    abandon: CancellationToken,
    /// For the metric of the oldest message.
    ages: Arc<Ages>,
}

/// What the loop does with the group of a message that was handled.
enum Next {
    /// The message is gone: the next of its group starts.
    FlowOn,
    /// The message went back for so long, and those behind it go back too.
    Back(Duration),
    /// As `Back`, and nothing is received until this is up again.
    Pause(Arc<dyn Dependency>),
}

struct Finished {
    group: String,
    next: Next,
}

type Receiving = Pin<Box<dyn Future<Output = anyhow::Result<Vec<Held>>> + Send>>;

struct Loop {
    keeper: Arc<Keeper>,
    worker: Arc<Worker>,
    tasks: JoinSet<Finished>,
    groups: Groups<Held>,
}

impl Loop {
    async fn run(mut self, stop: CancellationToken, abandon: CancellationToken) {
        let mut receiving: Option<Receiving> = None;
        let mut receive_at = time::Instant::now();
        // More may wait behind what is in hand.
        let mut is_behind = false;
        let mut backoff = Backoff::default();
        let mut paused: Option<Arc<dyn Dependency>> = None;
        let mut stopping = false;
        let drain = time::sleep(Duration::MAX);
        tokio::pin!(drain);
        loop {
            let room = self.groups.len() < self.worker.consumer.concurrency;
            let may_receive = receiving.is_none() && !stopping && paused.is_none() && room;
            let is_due = time::Instant::now() >= receive_at;
            if may_receive && (is_due || (is_behind && self.tasks.is_empty())) {
                receiving = Some(self.receive());
            }
            if stopping && receiving.is_none() && self.tasks.is_empty() {
                return;
            }
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    drain.as_mut().reset(
                        time::Instant::now() + self.worker.consumer.bus.inner.settings.drain,
                    );
                    self.give_back_waiting().await;
                }
                () = &mut drain, if stopping => {
                    // Handlers stop at their next await and give their messages back.
                    abandon.cancel();
                    receiving = None;
                    drain.as_mut().reset(time::Instant::now() + Duration::from_secs(3600));
                }
                Some(done) = self.tasks.join_next() => {
                    if let Some(dependency) = self.finished(done).await
                        && paused.is_none()
                    {
                        tracing::warn!(queue = self.worker.queue, dependency = dependency.name(),
                            "paused: a dependency is down");
                        paused = Some(dependency);
                        self.give_back_waiting().await;
                    }
                }
                got = async { receiving.as_mut().expect("guarded by is_some").await },
                    if receiving.is_some() =>
                {
                    receiving = None;
                    match got {
                        Ok(messages) if stopping || paused.is_some() => {
                            self.give_back(messages, Duration::ZERO).await;
                        }
                        Ok(messages) => {
                            backoff = Backoff::default();
                            let gathers_for = self.worker.consumer.gathers_for;
                            let now = Timestamp::now();
                            let is_late = |held: &Held| now.since(held.sent_at) > 2 * gathers_for;
                            is_behind = messages.iter().any(is_late);
                            receive_at = time::Instant::now()
                                + left_to_come(messages.len(), gathers_for);
                            for held in messages {
                                if let Some(held) = self.groups.push(&held.group.clone(), held) {
                                    self.start(held);
                                }
                            }
                        }
                        Err(error) => {
                            backoff.log(&format!("{error:#}"), &self.worker.consumer.source);
                            is_behind = false;
                            receive_at = time::Instant::now() + backoff.next();
                        }
                    }
                }
                () = time::sleep_until(receive_at), if may_receive && receiving.is_none() => {}
                () = time::sleep(PROBE_EVERY), if paused.is_some() && !stopping => {
                    if let Some(dependency) = &paused && dependency.is_up().await {
                        tracing::info!(queue = self.worker.queue, dependency = dependency.name(),
                            "resumed");
                        paused = None;
                    }
                }
            }
        }
    }

    fn receive(&self) -> Receiving {
        let (worker, keeper) = (self.worker.clone(), self.keeper.clone());
        Box::pin(async move {
            let inner = &worker.consumer.bus.inner;
            let answer = inner
                .poll
                .receive_message()
                .queue_url(&worker.url)
                .max_number_of_messages(MAX_ENTRIES as i32)
                .wait_time_seconds(inner.settings.long_poll.as_secs() as i32)
                .visibility_timeout(VISIBILITY.as_secs() as i32)
                .message_system_attribute_names(System::MessageGroupId)
                .message_system_attribute_names(System::ApproximateReceiveCount)
                .message_system_attribute_names(System::ApproximateFirstReceiveTimestamp)
                .message_system_attribute_names(System::SentTimestamp)
                .send()
                .await
                .map_err(|e| anyhow!(e).context(format!("receive from {}", worker.queue)))?;
            let now = Instant::now();
            let messages = answer.messages.unwrap_or_default();
            for shown in messages.iter().filter_map(handed_out_at) {
                Timestamp::agree_on(inner.clock.saw(shown, now), now);
            }
            if let Some(ahead) = Timestamp::wall_clock_ahead_by() {
                metrics::gauge!("process_clock_ahead_seconds").set(ahead);
            }
            Ok(messages.into_iter().map(|m| hold(m, &keeper, now)).collect())
        })
    }

    fn start(&mut self, held: Held) {
        let worker = self.worker.clone();
        self.tasks.spawn(async move {
            let group = held.group.clone();
            let message = held.message_id.clone();
            worker.ages.begun(&message, held.sent_at);
            let next = worker.process(held).await;
            match &next {
                Next::FlowOn => worker.ages.done(&message),
                Next::Back(after) => worker.ages.given_back(&message, *after, Timestamp::now()),
                Next::Pause(_) => {
                    worker.ages.given_back(&message, Duration::ZERO, Timestamp::now());
                }
            }
            Finished { group, next }
        });
    }

    /// Returns the dependency that was found down, if any.
    async fn finished(
        &mut self,
        done: Result<Finished, tokio::task::JoinError>,
    ) -> Option<Arc<dyn Dependency>> {
        let Finished { group, next } = match done {
            Ok(finished) => finished,
            Err(error) => {
                // Handlers' panics are caught where they happen; this is a fault of the loop, whose
                // group cannot be known. Its message comes back when its visibility ends.
                tracing::error!(%error, queue = self.worker.queue, "a worker died");
                return None;
            }
        };
        match next {
            Next::FlowOn => {
                if let Some(held) = self.groups.next(&group) {
                    self.start(held);
                }
                None
            }
            Next::Back(after) => {
                let behind = self.groups.give_up(&group);
                self.give_back(behind, after).await;
                None
            }
            Next::Pause(dependency) => {
                let behind = self.groups.give_up(&group);
                self.give_back(behind, Duration::ZERO).await;
                Some(dependency)
            }
        }
    }

    async fn give_back_waiting(&mut self) {
        let waiting = self.groups.drain_waiting();
        self.give_back(waiting, Duration::ZERO).await;
    }

    /// These were not begun, so no start is taken back.
    async fn give_back(&self, messages: Vec<Held>, after: Duration) {
        for held in messages {
            self.worker.hide(&held, after).await;
        }
    }
}

impl Worker {
    async fn process(&self, held: Held) -> Next {
        let lag = Timestamp::now().since(held.sent_at);
        metrics::histogram!("messaging_receive_lag_seconds",
            "messaging_destination_name" => self.label)
        .record(lag.as_secs_f64());
        (self.consumer.bus.inner.settings.on_point)("bus.received");
        let envelope = match claim::open(&self.consumer.bus.inner.s3, &held.body).await {
            Ok(envelope) => envelope,
            Err(why) => return self.unopened(&held, why).await,
        };
        let sender = envelope.traceparent.as_deref().and_then(TraceContext::parse);
        // A replay is another story, hours later; it is linked to the first.
        let parent = sender.filter(|_| envelope.replays == 0);
        let trace = parent.map_or_else(TraceContext::root, |t| t.child());
        let first = sender.filter(|_| envelope.replays > 0);
        let exported = tracing::info_span!(target: "otlp", "process",
            otel.name = format!("process {}", self.label), otel.kind = "consumer",
            otel.trace = %trace, otel.parent = parent.map(|t| t.span_id()),
            otel.links = first.map(|t| t.to_string()), otel.error = tracing::field::Empty,
            messaging.system = "aws_sqs", messaging.destination.name = self.label,
            messaging.message.id = %envelope.event_id,
            messaging.message.conversation_id = %envelope.conversation,
            event = envelope.payload.name(), turn = envelope.turn.0, replays = envelope.replays);
        let span = tracing::info_span!("message",
            event = envelope.payload.name(), event_id = %envelope.event_id,
            conversation = %envelope.conversation, turn = envelope.turn.0,
            trace_id = trace.trace_id());
        let handled = async {
            let next = self.handle(held, envelope, trace).instrument(span).await;
            let error = match &next {
                Next::FlowOn => "",
                Next::Back(_) => "given back",
                Next::Pause(_) => "a dependency is down",
            };
            exported.record("otel.error", error);
            next
        };
        handled.instrument(exported.clone()).await
    }

    /// What becomes of a message whose envelope cannot be had.
    async fn unopened(&self, held: &Held, why: Unopened) -> Next {
        let head = wire::from_body(&held.body).and_then(|encoded| wire::head(&encoded)).ok();
        let counted = head.as_ref().map(|head| head.event_id.of_replay(head.replays));
        let counter = &self.consumer.starts;
        match why {
            Unopened::Never(cause, reason) => {
                // Its letter cannot say of which event it is, so nobody would see there that the replay failed.
                if let (Some(replay), Some(1..)) = (counted, head.map(|head| head.replays)) {
                    let end = ReplayEnd::Failed(reason.clone());
                    counter.replay_ended(&self.queue, replay, &end).await;
                }
                self.bury(held, None, (cause, &reason), 0).await
            }
            Unopened::Refused(error) => {
                let starts = match counted {
                    Some(event) => counter.started(&self.queue, event).await.map_or(0, |s| s.0),
                    None => 0,
                };
                let why = (DeathCause::ObjectRefused, error);
                self.failed(held, None, starts, why, Outcome::RETRY_AFTER).await
            }
            Unopened::Away(error) => {
                let why = (DeathCause::Failed, error);
                self.failed(held, None, 0, why, Outcome::RETRY_AFTER).await
            }
        }
    }

    async fn handle(&self, held: Held, envelope: Envelope, trace: TraceContext) -> Next {
        let event = envelope.payload.name();
        if envelope.is_expired(Timestamp::now()) {
            metrics::counter!("messaging_expired_total",
                "messaging_destination_name" => self.label, "event" => event)
            .increment(1);
            tracing::info!("expired: dropped");
            self.note_end(&envelope, || ReplayEnd::Failed("expired".to_owned())).await;
            return self.done(held).await;
        }
        let counter = &self.consumer.starts;
        let mut counting = pin!(maybe_done(counter.started(&self.queue, counted(&envelope))));
        // Handed out for the first time it has not been begun too often, so its start is counted
        // beside the handler. A handler that kills the process at once may leave that one start
        // uncounted; every later one is counted before it.
        let mut starts = 1;
        if held.receives != 1 {
            counting.as_mut().await;
            starts = count(counting.as_mut());
        }
        if starts > MAX_STARTS {
            let reason = format!("begun {MAX_STARTS} times and never finished");
            let why = (DeathCause::NeverFinished, reason.as_str());
            return self.bury(&held, Some(&envelope), why, starts).await;
        }
        let lost = held.lease.lost();
        let context = Context { bus: self.consumer.bus.clone(), lease: held.lease, starts, trace };
        let begun = Instant::now();
        let handling = AssertUnwindSafe(self.consumer.handler.handle(&context, &envelope));
        let (outcome, cause_of_retry) = tokio::select! {
            ((), outcome) = future::join(counting.as_mut(), handling.catch_unwind()) => {
                match outcome {
                    Ok(outcome) => (outcome, DeathCause::Failed),
                    Err(panic) => {
                        let error = anyhow!("the handler panicked: {}", panic_text(&*panic));
                        (Outcome::retry(error), DeathCause::Panicked)
                    }
                }
            }
            () = lost.cancelled() => {
                tracing::warn!("visibility lost: handler aborted");
                counting.await;
                counter.given_back(&self.queue, counted(&envelope)).await;
                return Next::Back(Duration::ZERO);
            }
            () = self.abandon.cancelled() => {
                counting.await;
                counter.given_back(&self.queue, counted(&envelope)).await;
                let held = Held { lease: context.lease, ..held };
                self.hide(&held, Duration::ZERO).await;
                return Next::Back(Duration::ZERO);
            }
        };
        let starts = count(counting);
        let held = Held { lease: context.lease, ..held };
        let error_type = match &outcome {
            Outcome::Done | Outcome::PassedOver(_) => "",
            Outcome::Retry { .. } => "retry",
            Outcome::NotYet { .. } => "not_yet",
            Outcome::Reject(_) => "reject",
        };
        metrics::histogram!("messaging_process_duration_seconds",
            "messaging_destination_name" => self.label, "event" => event, "error_type" => error_type)
        .record(begun.elapsed().as_secs_f64());
        tracing::debug!(error_type, took_ms = begun.elapsed().as_millis(), "handled");
        match outcome {
            Outcome::Done => {
                self.note_end(&envelope, || ReplayEnd::Handled).await;
                self.done(held).await
            }
            Outcome::PassedOver(why) => {
                tracing::info!(why, "passed over");
                self.note_end(&envelope, || ReplayEnd::Failed(why.to_owned())).await;
                self.done(held).await
            }
            Outcome::Reject(reason) => {
                let why = (DeathCause::Rejected, reason.as_str());
                self.bury(&held, Some(&envelope), why, starts).await
            }
            Outcome::Retry { after, cause } => {
                let why = (cause_of_retry, cause);
                self.failed(&held, Some(&envelope), starts, why, after).await
            }
            Outcome::NotYet { after, cause } => {
                counter.given_back(&self.queue, counted(&envelope)).await;
                tracing::info!(reason = format!("{cause:#}"), "not yet: waits");
                self.hide(&held, after).await;
                Next::Back(after)
            }
        }
    }

    /// Notes how a replay ended.
    async fn note_end(&self, envelope: &Envelope, end: impl FnOnce() -> ReplayEnd) {
        if envelope.replays > 0 {
            self.consumer.starts.replay_ended(&self.queue, counted(envelope), &end()).await;
        }
    }

    async fn done(&self, held: Held) -> Next {
        (self.consumer.bus.inner.settings.on_point)("bus.before-delete");
        self.deletions.delete(&held.receipt).await;
        Next::FlowOn
    }

    async fn failed(
        &self,
        held: &Held,
        envelope: Option<&Envelope>,
        starts: u32,
        (cause, error): (DeathCause, anyhow::Error),
        after: Duration,
    ) -> Next {
        for dependency in &self.consumer.dependencies {
            if !dependency.is_up().await {
                if let Some(e) = envelope {
                    self.consumer.starts.given_back(&self.queue, counted(e)).await;
                }
                self.hide(held, Duration::ZERO).await;
                return Next::Pause(dependency.clone());
            }
        }
        if starts >= MAX_STARTS {
            let reason = format!("failed {starts} times, at last: {error:#}");
            return self.bury(held, envelope, (cause, &reason), starts).await;
        }
        tracing::warn!(error = format!("{error:#}"), starts, "failed: will be tried again");
        self.hide(held, after).await;
        Next::Back(after)
    }

    async fn bury(
        &self,
        held: &Held,
        envelope: Option<&Envelope>,
        (cause, reason): (DeathCause, &str),
        starts: u32,
    ) -> Next {
        tracing::error!(
            error_type = cause.name(),
            reason,
            starts,
            queue = self.queue,
            "buried in the dead letters"
        );
        let (bus, why) = (&self.consumer.bus, (cause, reason));
        if let Source::Shared(queue) = self.consumer.source
            && let Err(error) = bus.bury(queue, held, envelope, why, starts).await
        {
            tracing::error!(error = format!("{error:#}"), "not buried: will be tried again");
            self.hide(held, Outcome::RETRY_AFTER).await;
            return Next::Back(Outcome::RETRY_AFTER);
        }
        self.deletions.delete(&held.receipt).await;
        Next::FlowOn
    }

    /// Hides a message for `after`, then the broker hands it out again.
    async fn hide(&self, held: &Held, after: Duration) {
        let hidden = self
            .consumer
            .bus
            .inner
            .sqs
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(&held.receipt)
            .visibility_timeout(after.as_secs_f64().ceil() as i32)
            .send()
            .await;
        if hidden.is_err() {
            // It comes back by itself when its visibility ends.
            tracing::debug!(queue = self.queue, "a message could not be given back early");
        }
    }
}

/// How long a queue is left alone of which `received` messages were taken: not where more are waiting, and where there were none
/// a long poll has been waited out.
fn left_to_come(received: usize, gathers_for: Duration) -> Duration {
    if (1..MAX_ENTRIES).contains(&received) { gathers_for } else { Duration::ZERO }
}

/// When the broker handed a message out, by its own clock; `None` where it was not for the first time.
fn handed_out_at(message: &Message) -> Option<Timestamp> {
    let attribute = |name: System| message.attributes.as_ref()?.get(&name)?.parse::<i64>().ok();
    let is_first = attribute(System::ApproximateReceiveCount)? == 1;
    let at_ms = attribute(System::ApproximateFirstReceiveTimestamp)?;
    (is_first && at_ms > 0).then(|| Timestamp::from_micros(at_ms.saturating_mul(1_000)))
}

fn hold(message: Message, keeper: &Arc<Keeper>, now: Instant) -> Held {
    let attribute = |name: System| message.attributes.as_ref().and_then(|a| a.get(&name)).cloned();
    let receipt = message.receipt_handle.clone().unwrap_or_default();
    let sent_ms: i64 =
        attribute(System::SentTimestamp).and_then(|t| t.parse().ok()).unwrap_or_default();
    Held {
        lease: keeper.keep(&receipt, now),
        receipt,
        group: attribute(System::MessageGroupId).unwrap_or_default(),
        receives: attribute(System::ApproximateReceiveCount)
            .and_then(|n| n.parse().ok())
            .unwrap_or_default(),
        sent_at: Timestamp::from_micros(sent_ms.saturating_mul(1000)),
        message_id: message.message_id.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
    }
}

/// What starts are counted under.
fn counted(envelope: &Envelope) -> EventId {
    envelope.event_id.of_replay(envelope.replays)
}

/// How often a message has been begun; 0 when the counter could not be reached.
fn count<F: Future<Output = Option<Starts>>>(counting: Pin<&mut MaybeDone<F>>) -> u32 {
    counting.output_mut().copied().flatten().map_or(0, |starts| starts.0)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_queue_that_is_neither_empty_nor_full_is_left_alone() {
        let left = |received| left_to_come(received, Duration::from_millis(100)).as_millis();
        assert_eq!([left(0), left(1), left(9), left(10)], [0, 100, 100, 0]);
        assert_eq!(left_to_come(3, Duration::ZERO), Duration::ZERO);
    }
}
