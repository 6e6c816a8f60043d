//! Dead letters: burying a message with its reason, looking at them, and replaying them.

use anyhow::Context as _;
use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName as System};
use domain::{Envelope, Timestamp};
use wire::Decoded;

use crate::{
    batch::MAX_ENTRIES,
    held::Held,
    send::{Bus, deduplication_id},
    topology::Queue,
};

/// AWS takes up to 256 KiB of attributes; a reason beyond this says nothing more.
const REASON_MAX_CHARS: usize = 1000;

/// A message that was given up.
#[derive(Debug)]
pub struct DeadLetter {
    /// The queue it was meant for.
    pub queue: Queue,
    /// Its group there.
    pub group: String,
    /// Why it was given up.
    pub reason: String,
    /// How often a handler had begun it.
    pub starts: u32,
    /// What it says; `None` when it cannot be decoded.
    pub envelope: Option<Envelope>,
    body: String,
    receipt: String,
}

/// A dead letter that was put back into its queue.
#[derive(Debug)]
pub struct Replayed {
    /// The letter.
    pub letter: DeadLetter,
    /// How often it has been replayed now.
    pub replays: u32,
}

impl Bus {
    /// Puts a message into the dead letters of its queue, body untouched, with the reason.
    pub(crate) async fn bury(
        &self,
        queue: Queue,
        held: &Held,
        envelope: Option<&Envelope>,
        reason: &str,
        starts: u32,
    ) -> anyhow::Result<()> {
        let url = self.queue_url(&self.inner.topology.dlq_name(queue)).await?;
        let dedup = envelope.map_or_else(|| held.message_id.clone(), deduplication_id);
        let reason: String = reason.chars().take(REASON_MAX_CHARS).collect();
        let attribute = |value: String| {
            MessageAttributeValue::builder().data_type("String").string_value(value).build()
        };
        self.inner
            .sqs
            .send_message()
            .queue_url(url)
            .message_body(&held.body)
            .message_group_id(&held.group)
            .message_deduplication_id(format!("dead:{dedup}"))
            .message_attributes("reason", attribute(reason)?)
            .message_attributes("starts", attribute(starts.to_string())?)
            .message_attributes("receives", attribute(held.receives.to_string())?)
            .message_attributes("sent_at_us", attribute(held.sent_at.as_micros().to_string())?)
            .send()
            .await
            .with_context(|| format!("bury a message of {}", queue.name()))?;
        metrics::counter!("messaging_dead_letters_total", "queue" => queue.name()).increment(1);
        Ok(())
    }

    /// Up to ten dead letters of `queue`, left where they are.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn dead_letters(&self, queue: Queue) -> anyhow::Result<Vec<DeadLetter>> {
        self.receive_dead(queue, MAX_ENTRIES, 0).await
    }

    /// Puts up to `limit` dead letters of `queue` back into it, oldest first, in order within each
    /// group. Each keeps its event id and counts the replay; a job gets the time it had at first.
    /// What cannot be decoded stays (DESIGN 2, "Replay").
    ///
    /// # Errors
    /// When the broker cannot be reached; what was replayed until then stays replayed.
    pub async fn replay(&self, queue: Queue, limit: usize) -> anyhow::Result<Vec<Replayed>> {
        let mut replayed = Vec::new();
        while replayed.len() < limit {
            let want = (limit - replayed.len()).min(MAX_ENTRIES);
            let hidden_seconds = 30;
            let letters = self.receive_dead(queue, want, hidden_seconds).await?;
            if letters.is_empty() {
                break;
            }
            for letter in letters {
                if let Some(replays) = self.replay_one(&letter).await? {
                    replayed.push(Replayed { letter, replays });
                }
            }
        }
        Ok(replayed)
    }

    async fn replay_one(&self, letter: &DeadLetter) -> anyhow::Result<Option<u32>> {
        let Some(envelope) = &letter.envelope else { return Ok(None) };
        let replays = envelope.replays + 1;
        let now = Timestamp::now();
        let expires_at = envelope.expires_at.map(|at| now.plus(at.since(envelope.occurred_at)));
        let encoded = wire::from_body(&letter.body).context("decode a dead letter")?;
        let body = wire::to_body(&wire::readdress(&encoded, replays, expires_at));
        let to = self.queue_url(&self.inner.topology.queue_name(letter.queue)).await?;
        self.inner
            .sqs
            .send_message()
            .queue_url(to)
            .message_body(body)
            .message_group_id(&letter.group)
            .message_deduplication_id(format!("replay:{}:{replays}", envelope.event_id))
            .send()
            .await
            .with_context(|| {
                format!("replay {} into {}", envelope.event_id, letter.queue.name())
            })?;
        let from = self.queue_url(&self.inner.topology.dlq_name(letter.queue)).await?;
        self.inner
            .sqs
            .delete_message()
            .queue_url(from)
            .receipt_handle(&letter.receipt)
            .send()
            .await
            .with_context(|| format!("delete the dead letter {}", envelope.event_id))?;
        Ok(Some(replays))
    }

    async fn receive_dead(
        &self,
        queue: Queue,
        max: usize,
        hidden_seconds: i32,
    ) -> anyhow::Result<Vec<DeadLetter>> {
        let url = self.queue_url(&self.inner.topology.dlq_name(queue)).await?;
        let answer = self
            .inner
            .sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(max as i32)
            .visibility_timeout(hidden_seconds)
            .message_system_attribute_names(System::MessageGroupId)
            .message_attribute_names("All")
            .send()
            .await
            .with_context(|| format!("receive dead letters of {}", queue.name()))?;
        Ok(answer.messages().iter().map(|m| read(queue, m)).collect())
    }
}

fn read(queue: Queue, message: &Message) -> DeadLetter {
    let text = |name: &str| {
        let attribute = message.message_attributes().and_then(|a| a.get(name));
        attribute.and_then(|a| a.string_value()).map(str::to_owned)
    };
    let body = message.body().unwrap_or_default().to_owned();
    let decoded = wire::from_body(&body).and_then(|bytes| wire::decode(&bytes));
    DeadLetter {
        queue,
        group: message
            .attributes()
            .and_then(|a| a.get(&System::MessageGroupId))
            .cloned()
            .unwrap_or_default(),
        reason: text("reason").unwrap_or_else(|| "the broker's receive limit".to_owned()),
        starts: text("starts").and_then(|n| n.parse().ok()).unwrap_or_default(),
        envelope: match decoded {
            Ok(Decoded::Whole(envelope)) => Some(envelope),
            Ok(Decoded::Claimed(_)) | Err(_) => None,
        },
        body,
        receipt: message.receipt_handle().unwrap_or_default().to_owned(),
    }
}
