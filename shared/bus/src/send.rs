use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use aws_sdk_sqs::{
    error::ProvideErrorMetadata,
    types::{QueueAttributeName, SendMessageBatchRequestEntry},
};
use domain::{BoxFuture, Dependency, Envelope};
use tokio::sync::OnceCell;

use crate::{
    batch, claim,
    clock::BrokerClock,
    handler::LeaseLost,
    settings::{BusSettings, CLAIM_CHECK_OVER_BYTES},
    topology::{Queue, Source, Topology},
};

/// The topic's limit for a request, less what attributes take.
const TOPIC_REQUEST_BYTES: usize = 240 * 1024;
/// SQS's limit for a request, less what ids take.
pub(crate) const QUEUE_REQUEST_BYTES: usize = 1000 * 1024;
/// An attempt to send that takes longer is tried again.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);
/// A task's own queue forgets what is older: no caller waits longer.
const TASK_QUEUE_RETENTION: Duration = Duration::from_secs(60);

/// Where a job goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// A shared queue.
    Shared(Queue),
    /// A task's own queue, by its full name (an envelope's `reply_to`).
    Task(String),
}

/// Why something was not sent. Where it is not [`SendError::QueueGone`] or `LeaseLost`, it may have
/// been sent all the same; sending again is safe, for the broker drops the second by its event id.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The task whose queue it was is gone.
    #[error("the queue {0} does not exist")]
    QueueGone(String),
    /// The message is no longer ours: another task handles it.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The broker could not be reached, or refused. Says its causes itself.
    #[error("{0:#}")]
    Unavailable(anyhow::Error),
}

impl From<anyhow::Error> for SendError {
    fn from(fault: anyhow::Error) -> Self {
        Self::Unavailable(fault)
    }
}

/// Sends to the topic and to queues. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) sqs: aws_sdk_sqs::Client,
    /// A client of its own for receiving, whose time limit is longer than a long poll.
    pub(crate) poll: aws_sdk_sqs::Client,
    sns: aws_sdk_sns::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) settings: BusSettings,
    pub(crate) topology: Topology,
    pub(crate) clock: BrokerClock,
    topic_arn: OnceCell<String>,
    queue_urls: Mutex<HashMap<String, String>>,
}

impl Bus {
    /// A bus over the broker that `aws` names.
    pub fn new(aws: &SdkConfig, settings: BusSettings) -> Self {
        let limit = |t: Duration| TimeoutConfig::builder().operation_attempt_timeout(t).build();
        let sqs = aws_sdk_sqs::config::Builder::from(aws);
        let sns = aws_sdk_sns::config::Builder::from(aws).timeout_config(limit(SEND_TIMEOUT));
        // Stand-ins serve every bucket under one host name; AWS takes the path form as well.
        let s3 = aws_sdk_s3::config::Builder::from(aws).force_path_style(true);
        let poll_limit = settings.long_poll + SEND_TIMEOUT;
        Self {
            inner: Arc::new(Inner {
                poll: aws_sdk_sqs::Client::from_conf(
                    sqs.clone().timeout_config(limit(poll_limit)).build(),
                ),
                sqs: aws_sdk_sqs::Client::from_conf(
                    sqs.timeout_config(limit(SEND_TIMEOUT)).build(),
                ),
                sns: aws_sdk_sns::Client::from_conf(sns.build()),
                s3: aws_sdk_s3::Client::from_conf(s3.build()),
                topology: Topology::new(settings.prefix.clone(), settings.high_throughput),
                settings,
                clock: BrokerClock::new(Instant::now()),
                topic_arn: OnceCell::new(),
                queue_urls: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// Creates what the topology lacks on the broker.
    ///
    /// # Errors
    /// When the broker refuses or cannot be reached.
    pub async fn provision(&self) -> anyhow::Result<()> {
        self.inner.topology.provision(&self.inner.sqs, &self.inner.sns).await
    }

    /// The full name of a shared queue.
    pub fn queue_name(&self, queue: Queue) -> String {
        self.inner.topology.queue_name(queue)
    }

    /// Publishes events to the topic, in order, in as few requests as they fit. `Ok` only when the
    /// broker has taken all of them; after an error some may have been taken, and publishing all
    /// again is right.
    ///
    /// # Errors
    /// [`SendError::Unavailable`].
    pub async fn publish(&self, events: &[Envelope]) -> Result<(), SendError> {
        // Where a trace begins: what handles these events is told this span as its parent.
        let _begun: Vec<tracing::Span> = roots(events)
            .map(|(trace, event)| {
                tracing::info_span!(target: "otlp", "publish", otel.name = "publish events",
                otel.kind = "producer", otel.trace = trace, messaging.system = "aws_sns",
                messaging.destination.name = "events", messaging.message.id = %event.event_id,
                messaging.message.conversation_id = %event.conversation,
                event = event.payload.name(), turn = event.turn.0)
            })
            .collect();
        self.publish_within(events).await
    }

    /// As [`Bus::publish`], in a span that is told elsewhere.
    pub(crate) async fn publish_within(&self, events: &[Envelope]) -> Result<(), SendError> {
        timed("events", "publish", self.publish_all(events)).await
    }

    async fn publish_all(&self, events: &[Envelope]) -> Result<(), SendError> {
        let topic = self.topic_arn().await?;
        let mut bodies = Vec::with_capacity(events.len());
        for event in events {
            debug_assert!(event.payload.is_event(), "{} is a job", event.payload.name());
            bodies.push(self.topic_body(event).await?);
        }
        let sizes: Vec<usize> = bodies.iter().map(String::len).collect();
        for run in batch::runs(&sizes, TOPIC_REQUEST_BYTES) {
            let entries = run
                .clone()
                .map(|i| topic_entry(i, &events[i], &bodies[i]))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let answer = self
                .inner
                .sns
                .publish_batch()
                .topic_arn(topic)
                .set_publish_batch_request_entries(Some(entries))
                .send()
                .await
                .context("publish to the topic")?;
            if let Some(failed) = answer.failed().first() {
                let why = failed.message().unwrap_or("no reason given");
                return Err(anyhow!("publish to the topic: {}: {why}", failed.code()).into());
            }
            count_sent("events", &events[run]);
            (self.inner.settings.on_point)("bus.published");
        }
        Ok(())
    }

    /// Sends jobs to a queue, in order. As [`Bus::publish`], but for one queue.
    ///
    /// # Errors
    /// [`SendError::QueueGone`] when it is a task's queue and the task is gone.
    pub async fn send(&self, to: &Destination, jobs: &[Envelope]) -> Result<(), SendError> {
        let (name, label) = match to {
            Destination::Shared(queue) => (self.inner.topology.queue_name(*queue), queue.name()),
            Destination::Task(name) => (name.clone(), "task"),
        };
        timed(label, "send", self.send_all(name, label, jobs)).await
    }

    async fn send_all(
        &self,
        name: String,
        label: &'static str,
        jobs: &[Envelope],
    ) -> Result<(), SendError> {
        let url = self.queue_url(&name).await?;
        let bodies: Vec<String> = jobs.iter().map(|j| wire::to_body(&wire::encode(j))).collect();
        let sizes: Vec<usize> = bodies.iter().map(String::len).collect();
        for run in batch::runs(&sizes, QUEUE_REQUEST_BYTES) {
            let entries = run
                .clone()
                .map(|i| queue_entry(i, &jobs[i], &bodies[i]))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let answer = self
                .inner
                .sqs
                .send_message_batch()
                .queue_url(&url)
                .set_entries(Some(entries))
                .send()
                .await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(e) if is_gone(&e) => {
                    self.forget_queue(&name);
                    return Err(SendError::QueueGone(name));
                }
                Err(e) => {
                    return Err(anyhow!(e).context(format!("send to the queue {name}")).into());
                }
            };
            if let Some(failed) = answer.failed().first() {
                let why = failed.message().unwrap_or("no reason given");
                return Err(anyhow!("send to the queue {name}: {}: {why}", failed.code()).into());
            }
            count_sent(label, &jobs[run]);
            (self.inner.settings.on_point)("bus.sent");
        }
        Ok(())
    }

    /// Creates the queue of this task, under a fresh name, and returns the name: the `reply_to` of
    /// what the task sends. It has no dead letters and keeps a message for 60 s (DESIGN 2).
    ///
    /// # Errors
    /// When the broker refuses or cannot be reached.
    pub async fn create_task_queue(&self, task: &str) -> anyhow::Result<String> {
        let start = format!("{:08x}", uuid::Uuid::new_v4().as_u128() as u32);
        let name = self.inner.topology.task_queue_name(task, &start);
        let created = self
            .inner
            .sqs
            .create_queue()
            .queue_name(&name)
            .attributes(QueueAttributeName::FifoQueue, "true")
            .attributes(
                QueueAttributeName::MessageRetentionPeriod,
                TASK_QUEUE_RETENTION.as_secs().to_string(),
            )
            .attributes(
                QueueAttributeName::VisibilityTimeout,
                crate::settings::VISIBILITY.as_secs().to_string(),
            )
            .send()
            .await
            .with_context(|| format!("create the task's queue {name}"))?;
        let url = created.queue_url().with_context(|| format!("create {name}: no URL"))?;
        self.remember_queue(&name, url);
        Ok(name)
    }

    /// Deletes a task's queue: the task is stopping.
    ///
    /// # Errors
    /// When the broker refuses or cannot be reached. A queue that is gone already is no error.
    pub async fn delete_task_queue(&self, name: &str) -> anyhow::Result<()> {
        let url = match self.queue_url(name).await {
            Ok(url) => url,
            Err(SendError::QueueGone(_)) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        self.forget_queue(name);
        match self.inner.sqs.delete_queue().queue_url(url).send().await {
            Err(e) if !is_gone(&e) => Err(anyhow!(e).context(format!("delete the queue {name}"))),
            _ => Ok(()),
        }
    }

    pub(crate) async fn source_url(&self, source: &Source) -> Result<String, SendError> {
        match source {
            Source::Shared(queue) => self.queue_url(&self.inner.topology.queue_name(*queue)).await,
            Source::Task(name) => self.queue_url(name).await,
        }
    }

    pub(crate) async fn queue_url(&self, name: &str) -> Result<String, SendError> {
        let known = self.urls().get(name).cloned();
        if let Some(url) = known {
            return Ok(url);
        }
        let answer = self.inner.sqs.get_queue_url().queue_name(name).send().await;
        match answer {
            Ok(found) => {
                let url = found.queue_url().with_context(|| format!("look up {name}: no URL"))?;
                self.remember_queue(name, url);
                Ok(url.to_owned())
            }
            Err(e) if is_gone(&e) => Err(SendError::QueueGone(name.to_owned())),
            Err(e) => Err(anyhow!(e).context(format!("look up the queue {name}")).into()),
        }
    }

    async fn topic_body(&self, event: &Envelope) -> Result<String, SendError> {
        let encoded = wire::encode(event);
        if encoded.len() <= CLAIM_CHECK_OVER_BYTES {
            return Ok(wire::to_body(&encoded));
        }
        let bucket = &self.inner.settings.claim_check_bucket;
        let claim = claim::store(&self.inner.s3, bucket, event, encoded).await?;
        Ok(wire::to_body(&wire::encode_claim(event, &claim)))
    }

    async fn topic_arn(&self) -> anyhow::Result<&str> {
        let find = || async {
            // Creating a topic that exists answers its ARN; there is no look-up by name.
            let answer = self
                .inner
                .sns
                .create_topic()
                .name(self.inner.topology.topic_name())
                .attributes("FifoTopic", "true")
                .attributes("ContentBasedDeduplication", "false")
                .send()
                .await
                .context("look up the events topic")?;
            answer.topic_arn().map(str::to_owned).context("look up the events topic: no ARN")
        };
        self.inner.topic_arn.get_or_try_init(find).await.map(String::as_str)
    }

    fn urls(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.inner.queue_urls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember_queue(&self, name: &str, url: &str) {
        self.urls().insert(name.to_owned(), url.to_owned());
    }

    fn forget_queue(&self, name: &str) {
        self.urls().remove(name);
    }
}

impl Dependency for Bus {
    fn name(&self) -> &'static str {
        "queues"
    }

    fn is_up(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            let name = self.inner.topology.queue_name(Queue::Orchestrator);
            let queue = self.inner.sqs.get_queue_url().queue_name(name).send();
            // The topic too, which is looked up once: a task that is ready publishes its first event
            // as quickly as its later ones, and so in the order of arrival.
            let asked = async { queue.await.is_ok() && self.topic_arn().await.is_ok() };
            tokio::time::timeout(Duration::from_secs(2), asked).await.unwrap_or(false)
        })
    }
}

/// Each trace context among these, with the first event that has it.
fn roots(events: &[Envelope]) -> impl Iterator<Item = (&str, &Envelope)> {
    events.iter().enumerate().filter_map(move |(at, event)| {
        let trace = event.traceparent.as_deref()?;
        let is_first =
            events[..at].iter().all(|before| before.traceparent.as_deref() != Some(trace));
        is_first.then_some((trace, event))
    })
}

/// What the broker drops a repetition by.
pub(crate) fn deduplication_id(envelope: &Envelope) -> String {
    match envelope.replays {
        0 => envelope.event_id.to_string(),
        n => format!("replay:{}:{n}", envelope.event_id),
    }
}

fn topic_entry(i: usize, event: &Envelope, body: &str) -> anyhow::Result<PublishBatchRequestEntry> {
    let text = |value: &str| {
        MessageAttributeValue::builder().data_type("String").string_value(value).build()
    };
    let mut entry = PublishBatchRequestEntry::builder()
        .id(i.to_string())
        .message(body)
        .message_group_id(event.group())
        .message_deduplication_id(deduplication_id(event))
        .message_attributes("event", text(event.payload.name())?)
        .message_attributes("channel", text(event.channel.as_str())?)
        .message_attributes("tenant", text(&event.tenant.to_string())?);
    if let Some(traceparent) = &event.traceparent {
        entry = entry.message_attributes("traceparent", text(traceparent)?);
    }
    entry.build().context("build a topic entry")
}

fn queue_entry(
    i: usize,
    job: &Envelope,
    body: &str,
) -> anyhow::Result<SendMessageBatchRequestEntry> {
    SendMessageBatchRequestEntry::builder()
        .id(i.to_string())
        .message_body(body)
        .message_group_id(job.group())
        .message_deduplication_id(deduplication_id(job))
        .build()
        .context("build a queue entry")
}

fn is_gone(error: &impl ProvideErrorMetadata) -> bool {
    matches!(error.code(), Some("AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist"))
}

/// Measures an operation of the client, by OpenTelemetry's names.
async fn timed(
    to: &'static str,
    operation: &'static str,
    sent: impl Future<Output = Result<(), SendError>>,
) -> Result<(), SendError> {
    let begun = Instant::now();
    let result = sent.await;
    let error_type = match &result {
        Ok(()) => "",
        Err(SendError::QueueGone(_)) => "queue_gone",
        Err(SendError::LeaseLost(_)) => "lease_lost",
        Err(SendError::Unavailable(_)) => "unavailable",
    };
    metrics::histogram!("messaging_client_operation_duration_seconds",
        "messaging_destination_name" => to, "messaging_operation_name" => operation,
        "error_type" => error_type)
    .record(begun.elapsed());
    result
}

fn count_sent(to: &'static str, envelopes: &[Envelope]) {
    for e in envelopes {
        metrics::counter!("messaging_client_sent_messages_total",
            "messaging_destination_name" => to, "event" => e.payload.name())
        .increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_each_of_its_causes_once() {
        let refused = SendError::from(anyhow!("refused").context("publish to the topic"));
        assert_eq!(refused.to_string(), "publish to the topic: refused");
        assert_eq!(format!("{:#}", anyhow!(refused)), "publish to the topic: refused");
    }
}
