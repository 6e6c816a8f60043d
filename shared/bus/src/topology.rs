//! The one declaration of what exists on the broker.

use anyhow::Context as _;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::settings::MAX_RECEIVES;

/// The shared queues (DESIGN 2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Queue {
    /// What agents act on.
    Orchestrator,
    /// Everything durable.
    Writer,
    /// Replies that leave by a vendor's API.
    Outbound,
    /// Humans wanted.
    Escalations,
    /// What operators watch.
    Live,
    /// Speech to be recognised.
    Transcribe,
    /// Sentences to be spoken.
    Speak,
    /// Slow work.
    Jobs,
    /// Bookings held while the database is away.
    Bookings,
    /// Files to be fetched from vendors.
    Media,
}

impl Queue {
    /// Every shared queue.
    pub const ALL: &'static [Self] = &[
        Self::Orchestrator,
        Self::Writer,
        Self::Outbound,
        Self::Escalations,
        Self::Live,
        Self::Transcribe,
        Self::Speak,
        Self::Jobs,
        Self::Bookings,
        Self::Media,
    ];

    /// The name between prefix and suffix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orchestrator => "orchestrator",
            Self::Writer => "writer",
            Self::Outbound => "outbound",
            Self::Escalations => "escalations",
            Self::Live => "live",
            Self::Transcribe => "transcribe",
            Self::Speak => "speak",
            Self::Jobs => "jobs",
            Self::Bookings => "bookings",
            Self::Media => "media",
        }
    }

    /// The queue of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|q| q.name() == name)
    }

    /// What the topic delivers to it, as an SNS filter policy over message attributes; `None` for a
    /// queue the topic does not feed.
    pub fn filter(self) -> Option<Value> {
        Some(match self {
            Self::Orchestrator => {
                json!({"event": [
                    "CallStarted", "CallEnded", "MessageReceived", "ReminderDue", "TransferUpdated",
                    "AppointmentChanged",
                ]})
            }
            Self::Writer => json!({"event": [
                "CallStarted", "CallEnded", "MessageReceived", "MessageSent", "DeliveryUpdated",
                "TurnTimed", "RecordingFinished", "TransferUpdated", "MediaSettled",
                "TraceRequested", "MessageRefused",
            ]}),
            // Spoken channels get their replies sentence by sentence; every other channel, also one
            // added later, gets them here.
            Self::Outbound => json!({
                "event": ["MessageSent", "MessageRefused"],
                "channel": [{"anything-but": ["voice", "browser"]}],
            }),
            Self::Escalations => json!({"event": ["EscalationRequested", "EscalationDue"]}),
            Self::Live => json!({"event": [
                "CallStarted", "CallEnded", "MessageReceived", "MessageSent", "DeliveryUpdated",
                "RecordingFinished", "EscalationRequested", "TransferUpdated", "MediaSettled",
            ]}),
            Self::Transcribe | Self::Speak | Self::Jobs | Self::Bookings | Self::Media => {
                return None;
            }
        })
    }
}

/// What a consumer reads: a shared queue, or a task's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A shared queue, with dead letters.
    Shared(Queue),
    /// A task's own queue by its full name; it has no dead letters.
    Task(String),
}

/// The names of one environment's queues and topic.
#[derive(Clone, Debug)]
pub struct Topology {
    prefix: String,
    high_throughput: bool,
}

impl Topology {
    /// The topology under `prefix`. High-throughput mode is a switch because one stand-in lacks it.
    pub fn new(prefix: impl Into<String>, high_throughput: bool) -> Self {
        Self { prefix: prefix.into(), high_throughput }
    }

    /// The topic of every event.
    pub fn topic_name(&self) -> String {
        format!("{}-events.fifo", self.prefix)
    }

    /// A shared queue.
    pub fn queue_name(&self, queue: Queue) -> String {
        format!("{}-{}.fifo", self.prefix, queue.name())
    }

    /// Its dead letters.
    pub fn dlq_name(&self, queue: Queue) -> String {
        format!("{}-{}-dlq.fifo", self.prefix, queue.name())
    }

    /// A task's own queue; `start` makes the name fresh each time the task starts.
    pub fn task_queue_name(&self, task: &str, start: &str) -> String {
        format!("{}-edge-{task}-{start}.fifo", self.prefix)
    }

    /// Creates whatever of the topology is missing. Safe to run again, and by several at once.
    ///
    /// # Errors
    /// When the broker refuses or cannot be reached; what was made stays.
    pub async fn provision(
        &self,
        sqs: &aws_sdk_sqs::Client,
        sns: &aws_sdk_sns::Client,
    ) -> anyhow::Result<()> {
        let topic = sns
            .create_topic()
            .name(self.topic_name())
            .attributes("FifoTopic", "true")
            .attributes("ContentBasedDeduplication", "false")
            .send()
            .await
            .context("create the events topic")?;
        let topic = topic.topic_arn().context("create the events topic: no ARN in the answer")?;
        for &queue in Queue::ALL {
            let (_, dlq_arn) = self.create(sqs, &self.dlq_name(queue), None).await?;
            let (url, arn) = self.create(sqs, &self.queue_name(queue), Some(&dlq_arn)).await?;
            if let Some(filter) = queue.filter() {
                self.subscribe(sqs, sns, topic, &url, &arn, &filter).await?;
            }
        }
        Ok(())
    }

    async fn create(
        &self,
        sqs: &aws_sdk_sqs::Client,
        name: &str,
        dlq_arn: Option<&str>,
    ) -> anyhow::Result<(String, String)> {
        let mut request = sqs
            .create_queue()
            .queue_name(name)
            .attributes(QueueAttributeName::FifoQueue, "true")
            .attributes(QueueAttributeName::MessageRetentionPeriod, (14 * 24 * 3600).to_string())
            .attributes(
                QueueAttributeName::VisibilityTimeout,
                crate::settings::VISIBILITY.as_secs().to_string(),
            );
        if self.high_throughput {
            request = request
                .attributes(QueueAttributeName::DeduplicationScope, "messageGroup")
                .attributes(QueueAttributeName::FifoThroughputLimit, "perMessageGroupId");
        }
        if let Some(arn) = dlq_arn {
            let redrive = json!({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES});
            request = request.attributes(QueueAttributeName::RedrivePolicy, redrive.to_string());
        }
        let created = request.send().await.with_context(|| format!("create the queue {name}"))?;
        let url =
            created.queue_url().with_context(|| format!("create the queue {name}: no URL"))?;
        let attributes = sqs
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .with_context(|| format!("read the ARN of {name}"))?;
        let arn = attributes
            .attributes()
            .and_then(|a| a.get(&QueueAttributeName::QueueArn))
            .with_context(|| format!("read the ARN of {name}: none in the answer"))?;
        Ok((url.to_owned(), arn.clone()))
    }

    async fn subscribe(
        &self,
        sqs: &aws_sdk_sqs::Client,
        sns: &aws_sdk_sns::Client,
        topic: &str,
        url: &str,
        arn: &str,
        filter: &Value,
    ) -> anyhow::Result<()> {
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }]});
        sqs.set_queue_attributes()
            .queue_url(url)
            .attributes(QueueAttributeName::Policy, policy.to_string())
            .send()
            .await
            .with_context(|| format!("allow the topic to feed {arn}"))?;
        sns.subscribe()
            .topic_arn(topic)
            .protocol("sqs")
            .endpoint(arn)
            .attributes("RawMessageDelivery", "true")
            .attributes("FilterPolicyScope", "MessageAttributes")
            .attributes("FilterPolicy", filter.to_string())
            .return_subscription_arn(true)
            .send()
            .await
            .with_context(|| format!("subscribe {arn} to the topic"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::Payload;

    use super::*;

    #[test]
    fn every_event_in_a_filter_exists_and_every_event_reaches_someone() {
        let mut delivered = std::collections::BTreeSet::new();
        for queue in Queue::ALL {
            let Some(filter) = queue.filter() else { continue };
            for event in filter["event"].as_array().unwrap() {
                let event = event.as_str().unwrap();
                assert!(Payload::NAMES.contains(&event), "{queue:?} waits for {event}");
                delivered.insert(event.to_owned());
            }
        }
        let jobs = [
            "TranscribeSegment",
            "SegmentTranscribed",
            "SpeakSentence",
            "SentenceSpoken",
            "ReplyFinished",
            "FinishRecording",
            "Ping",
            "BookHeld",
            "ControlCall",
            "ReplyWritten",
            "FetchMedia",
            "TranscribeVoiceNote",
        ];
        for name in Payload::NAMES {
            assert_ne!(jobs.contains(name), delivered.contains(*name), "{name}");
        }
    }
}
