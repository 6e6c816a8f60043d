//! The broker alone: how long a message takes from send to receive, with the same SDK and nothing else around it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_config::SdkConfig;
use aws_sdk_sns::types::PublishBatchRequestEntry;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// So long after it was asked, a receive surely waits at the broker.
const RECEIVE_WAITS: Duration = Duration::from_millis(20);
/// Between probes, so that they are no load of their own.
const PAUSE: Duration = Duration::from_millis(80);
const LONG_POLL_SECONDS: i32 = 10;
/// About what an event of a turn takes.
const BODY_BYTES: usize = 800;
/// What the jobs that carry sound are like: a first sentence, in mu-law, in base64.
const SENTENCE: &str = "Sure, what name is it for?";

/// A topic and a queue that nobody else uses.
pub(super) struct RawHop {
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    topic: String,
    queue: String,
    sentence_bytes: usize,
}

/// What was measured.
#[derive(Default)]
pub(super) struct RawTimes {
    /// From a publish to the topic until it is received from the queue behind.
    pub(super) topic: Vec<Duration>,
    /// From a send to the queue until it is received.
    pub(super) queue: Vec<Duration>,
    /// The same, of a message that carries the sound of a sentence.
    pub(super) sound: Vec<Duration>,
}

#[derive(Clone, Copy)]
enum Way {
    Topic,
    Queue,
    Sound,
}

impl RawHop {
    pub(super) async fn create(aws: &SdkConfig) -> anyhow::Result<Self> {
        let (sns, sqs) = (aws_sdk_sns::Client::new(aws), aws_sdk_sqs::Client::new(aws));
        let name = format!("bench-{}.fifo", Uuid::new_v4().simple());
        let queue = sqs
            .create_queue()
            .queue_name(&name)
            .attributes(QueueAttributeName::FifoQueue, "true")
            .send()
            .await
            .context("create a queue to measure")?;
        let queue = queue.queue_url().context("create a queue to measure: no URL")?.to_owned();
        let attributes = sqs
            .get_queue_attributes()
            .queue_url(&queue)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .context("read the ARN of the queue to measure")?;
        let arn = attributes.attributes().and_then(|a| a.get(&QueueAttributeName::QueueArn));
        let arn = arn.context("read the ARN of the queue to measure: none in the answer")?;
        let topic = sns
            .create_topic()
            .name(&name)
            .attributes("FifoTopic", "true")
            .attributes("ContentBasedDeduplication", "false")
            .send()
            .await
            .context("create a topic to measure")?;
        let topic = topic.topic_arn().context("create a topic to measure: no ARN")?.to_owned();
        sns.subscribe()
            .topic_arn(&topic)
            .protocol("sqs")
            .endpoint(arn)
            .attributes("RawMessageDelivery", "true")
            .send()
            .await
            .context("subscribe the queue to measure")?;
        // A byte a sample; four characters of base64 for three bytes.
        let sentence_bytes = simulator::modem::encode(SENTENCE).len().div_ceil(3) * 4;
        Ok(Self { sns, sqs, topic, queue, sentence_bytes })
    }

    /// Probes all ways in turn until `stop`.
    pub(super) async fn measure(&self, stop: CancellationToken) -> anyhow::Result<RawTimes> {
        let mut times = RawTimes::default();
        while !stop.is_cancelled() {
            times.topic.push(self.probe(Way::Topic).await?);
            tokio::time::sleep(PAUSE).await;
            times.queue.push(self.probe(Way::Queue).await?);
            tokio::time::sleep(PAUSE).await;
            times.sound.push(self.probe(Way::Sound).await?);
            tokio::time::sleep(PAUSE).await;
        }
        Ok(times)
    }

    /// One message, from before it is sent until it is received by a receive that waits already.
    async fn probe(&self, way: Way) -> anyhow::Result<Duration> {
        let send = async {
            tokio::time::sleep(RECEIVE_WAITS).await;
            let sent_at = Instant::now();
            self.send(way).await.map(|()| sent_at)
        };
        let receive = async {
            let answer = self
                .sqs
                .receive_message()
                .queue_url(&self.queue)
                .wait_time_seconds(LONG_POLL_SECONDS)
                .send()
                .await
                .context("receive a probe")?;
            Ok((answer, Instant::now()))
        };
        let (sent_at, (answer, received_at)) = tokio::try_join!(send, receive)?;
        let message = answer.messages().first().context("receive a probe: it did not come")?;
        self.sqs
            .delete_message()
            .queue_url(&self.queue)
            .receipt_handle(message.receipt_handle().unwrap_or_default())
            .send()
            .await
            .context("delete a probe")?;
        Ok(received_at.duration_since(sent_at))
    }

    async fn send(&self, way: Way) -> anyhow::Result<()> {
        let id = Uuid::new_v4().to_string();
        let body = "x".repeat(match way {
            Way::Topic | Way::Queue => BODY_BYTES,
            Way::Sound => self.sentence_bytes,
        });
        match way {
            Way::Topic => {
                let entry = PublishBatchRequestEntry::builder()
                    .id("0")
                    .message(body)
                    .message_group_id(&id)
                    .message_deduplication_id(&id)
                    .build()
                    .context("build a probe")?;
                let request = self.sns.publish_batch().topic_arn(&self.topic);
                let sent = request.publish_batch_request_entries(entry).send().await;
                sent.context("publish a probe")?;
            }
            Way::Queue | Way::Sound => {
                let entry = SendMessageBatchRequestEntry::builder()
                    .id("0")
                    .message_body(body)
                    .message_group_id(&id)
                    .message_deduplication_id(&id)
                    .build()
                    .context("build a probe")?;
                let request = self.sqs.send_message_batch().queue_url(&self.queue);
                request.entries(entry).send().await.context("send a probe")?;
            }
        }
        Ok(())
    }

    /// Removes what [`Self::create`] made.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        let topic = self.sns.delete_topic().topic_arn(self.topic).send().await;
        let queue = self.sqs.delete_queue().queue_url(self.queue).send().await;
        topic.context("remove the topic that was measured")?;
        queue.context("remove the queue that was measured")?;
        Ok(())
    }
}
