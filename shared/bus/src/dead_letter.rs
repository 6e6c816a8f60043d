//! Dead letters: burying a message with its reason, taking it out for the archive, sending it again.

use anyhow::Context as _;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName as System,
    SendMessageBatchRequestEntry,
};
use domain::{Envelope, EventId, Timestamp};
use wire::Decoded;

use crate::{
    batch::{self, MAX_ENTRIES},
    claim,
    held::Held,
    send::{Bus, QUEUE_REQUEST_BYTES, deduplication_id},
    topology::Queue,
};

/// How long a letter that was taken out is hidden from others, s: time to keep it and remove it.
const TAKEN_SECONDS: i32 = 30;

/// AWS takes up to 256 KiB of attributes; a reason beyond this says nothing more.
const REASON_MAX_CHARS: usize = 1000;

/// A message that was given up.
#[derive(Debug)]
pub struct DeadLetter {
    /// The queue it was meant for.
    pub queue: Queue,
    /// The broker's id of the letter.
    pub message_id: String,
    /// Its group.
    pub group: String,
    /// Why it was given up.
    pub reason: String,
    /// How often a handler had begun it.
    pub starts: u32,
    /// How often the broker had handed it out.
    pub receives: u32,
    /// When it was sent to its queue, where the loop buried it and could tell.
    pub sent_at: Option<Timestamp>,
    /// When it became a dead letter.
    pub died_at: Timestamp,
    /// What it says; `None` when it cannot be decoded.
    pub envelope: Option<Envelope>,
    /// Its body as it was received.
    pub body: String,
    receipt: String,
}

/// A dead letter to be sent again.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The group it goes into.
    pub group: String,
    /// Its body as it was buried.
    pub body: String,
}

/// What the starts of a replay are counted under, and its end is noted under: a replay keeps its event id and begins a
/// count of its own, or the letter that failed five times would be buried again unread.
pub fn replay_id(event: EventId, replays: u32) -> EventId {
    match replays {
        0 => event,
        n => event.child(&format!("replay:{n}")),
    }
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
        metrics::counter!("messaging_dead_letters_total",
            "messaging_destination_name" => queue.name())
        .increment(1);
        Ok(())
    }

    /// Up to ten dead letters of `queue`, oldest first, in order within each group. They are hidden from others for half a
    /// minute: keep them, then [remove](Self::remove_dead_letter) them.
    ///
    /// # Errors
    /// When the broker cannot be reached, or S3 for a large one.
    pub async fn take_dead_letters(&self, queue: Queue) -> anyhow::Result<Vec<DeadLetter>> {
        let url = self.queue_url(&self.inner.topology.dlq_name(queue)).await?;
        let answer = self
            .inner
            .sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(MAX_ENTRIES as i32)
            .visibility_timeout(TAKEN_SECONDS)
            .message_system_attribute_names(System::MessageGroupId)
            .message_system_attribute_names(System::SentTimestamp)
            .message_attribute_names("All")
            .send()
            .await
            .with_context(|| format!("receive dead letters of {}", queue.name()))?;
        let mut letters = Vec::with_capacity(answer.messages().len());
        for message in answer.messages() {
            letters.push(self.read(queue, message).await?);
        }
        Ok(letters)
    }

    /// Takes a letter out of the broker for good.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn remove_dead_letter(&self, letter: &DeadLetter) -> anyhow::Result<()> {
        let url = self.queue_url(&self.inner.topology.dlq_name(letter.queue)).await?;
        self.inner
            .sqs
            .delete_message()
            .queue_url(url)
            .receipt_handle(&letter.receipt)
            .send()
            .await
            .with_context(|| format!("delete a dead letter of {}", letter.queue.name()))?;
        Ok(())
    }

    /// Sends dead letters into `queue` again, in order. Each keeps its event id and counts the replay; a job gets the
    /// time it had at first. The same replay sent twice within the broker's memory of five minutes is sent once
    /// (DESIGN 2, "Replay").
    ///
    /// # Errors
    /// When one cannot be decoded, before any is sent; when the broker cannot be reached: some may have been sent, and
    /// sending all again is right.
    pub async fn replay(&self, queue: Queue, letters: &[Replay]) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let mut entries = Vec::with_capacity(letters.len());
        for (n, letter) in letters.iter().enumerate() {
            let encoded = wire::from_body(&letter.body).context("decode a dead letter")?;
            let envelope = self.whole(&encoded).await?.context("a dead letter nobody can read")?;
            let replays = envelope.replays + 1;
            let expires_at = envelope.expires_at.map(|at| now.plus(at.since(envelope.occurred_at)));
            entries.push(
                SendMessageBatchRequestEntry::builder()
                    .id(n.to_string())
                    .message_body(wire::to_body(&wire::readdress(&encoded, replays, expires_at)))
                    .message_group_id(&letter.group)
                    .message_deduplication_id(format!("replay:{}:{replays}", envelope.event_id))
                    .build()?,
            );
        }
        let url = self.queue_url(&self.inner.topology.queue_name(queue)).await?;
        let sizes: Vec<usize> = entries.iter().map(|entry| entry.message_body.len()).collect();
        for run in batch::runs(&sizes, QUEUE_REQUEST_BYTES) {
            let answer = self
                .inner
                .sqs
                .send_message_batch()
                .queue_url(&url)
                .set_entries(Some(entries[run].to_vec()))
                .send()
                .await
                .with_context(|| format!("replay into {}", queue.name()))?;
            if let Some(failed) = answer.failed().first() {
                let why = failed.message().unwrap_or("no reason given");
                anyhow::bail!("replay into {}: {}: {why}", queue.name(), failed.code());
            }
        }
        Ok(())
    }

    async fn read(&self, queue: Queue, message: &Message) -> anyhow::Result<DeadLetter> {
        let text = |name: &str| {
            let attribute = message.message_attributes().and_then(|a| a.get(name));
            attribute.and_then(|a| a.string_value())
        };
        let of_broker = |name: System| message.attributes().and_then(|a| a.get(&name));
        let number = |name: &str| text(name).and_then(|n| n.parse().ok()).unwrap_or_default();
        let died_ms = of_broker(System::SentTimestamp).and_then(|ms| ms.parse::<i64>().ok());
        let body = message.body().unwrap_or_default().to_owned();
        let envelope = match wire::from_body(&body) {
            Ok(encoded) => self.whole(&encoded).await?,
            Err(_) => None,
        };
        Ok(DeadLetter {
            queue,
            message_id: message.message_id().unwrap_or_default().to_owned(),
            group: of_broker(System::MessageGroupId).cloned().unwrap_or_default(),
            reason: text("reason").unwrap_or("the broker's receive limit").to_owned(),
            starts: number("starts"),
            receives: number("receives"),
            sent_at: text("sent_at_us").and_then(|us| us.parse().ok()).map(Timestamp::from_micros),
            died_at: died_ms.map_or_else(Timestamp::now, |ms| Timestamp::from_micros(ms * 1_000)),
            envelope,
            body,
            receipt: message.receipt_handle().unwrap_or_default().to_owned(),
        })
    }

    /// The envelope, from S3 where it lies there; `None` when nobody can read it.
    async fn whole(&self, encoded: &[u8]) -> anyhow::Result<Option<Envelope>> {
        let fetched = match wire::decode(encoded) {
            Ok(Decoded::Whole(envelope)) => return Ok(Some(envelope)),
            Ok(Decoded::Claimed(check)) => claim::fetch(&self.inner.s3, &check).await?,
            Err(_) => return Ok(None),
        };
        Ok(match wire::decode(&fetched) {
            Ok(Decoded::Whole(envelope)) => Some(envelope),
            Ok(Decoded::Claimed(_)) | Err(_) => None,
        })
    }
}
