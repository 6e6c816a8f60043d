//! Dead letters: burying a message with its reason, taking it out for the archive, sending it again.

use std::collections::HashSet;

use anyhow::Context as _;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName as System,
    SendMessageBatchRequestEntry,
};
use domain::{Envelope, Timestamp};

use crate::{
    batch::{self, MAX_ENTRIES},
    claim::{self, Unopened},
    death::DeathCause,
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
    /// Why it was given up, in a word.
    pub cause: DeathCause,
    /// Why it was given up, as a text: an error with all that led to it.
    pub reason: String,
    /// How often a handler had begun it.
    pub starts: u32,
    /// How often the broker had handed it out.
    pub receives: u32,
    /// When it was sent to its queue, where the loop buried it and could tell.
    pub sent_at: Option<Timestamp>,
    /// When it became a dead letter.
    pub died_at: Timestamp,
    /// The release of the task that gave it up; `None` where the broker itself did.
    pub build: Option<String>,
    /// What it says; `None` when it cannot be decoded, or S3 no longer has it.
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

impl Bus {
    /// Puts a message into the dead letters of its queue, body untouched, with the cause and the reason.
    pub(crate) async fn bury(
        &self,
        queue: Queue,
        held: &Held,
        envelope: Option<&Envelope>,
        (cause, reason): (DeathCause, &str),
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
            .message_attributes("error_type", attribute(cause.name().to_owned())?)
            .message_attributes("reason", attribute(reason)?)
            .message_attributes("starts", attribute(starts.to_string())?)
            .message_attributes("receives", attribute(held.receives.to_string())?)
            .message_attributes("sent_at_us", attribute(held.sent_at.as_micros().to_string())?)
            .message_attributes("build", attribute(env!("CARGO_PKG_VERSION").to_owned())?)
            .send()
            .await
            .with_context(|| format!("bury a message of {}", queue.name()))?;
        metrics::counter!("messaging_dead_letters_total",
            "messaging_destination_name" => queue.name(), "error_type" => cause.name())
        .increment(1);
        Ok(())
    }

    /// Up to ten dead letters of `queue`, oldest first, in order within each group. They are hidden from others for half a
    /// minute: keep them, then [remove](Self::remove_dead_letter) them. A large one that S3 cannot be asked for is left out,
    /// with those of its group behind it: they are there the next time.
    ///
    /// # Errors
    /// When the broker cannot be reached.
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
        let mut left_out = HashSet::new();
        for message in answer.messages() {
            let group = of_broker(message, &System::MessageGroupId).unwrap_or_default();
            if left_out.contains(group) {
                continue;
            }
            match self.read(queue, message).await {
                Ok(letter) => letters.push(letter),
                Err(error) => {
                    let (queue, error) = (queue.name(), format!("{error:#}"));
                    tracing::warn!(queue, error, "a dead letter cannot be read yet");
                    left_out.insert(group);
                }
            }
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
    /// When one cannot be decoded, before any is sent; when the broker cannot be reached or refuses one: some may have been
    /// sent, of each group the first ones, and sending all again is right.
    pub async fn replay(&self, queue: Queue, letters: &[Replay]) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let mut entries = Vec::with_capacity(letters.len());
        for (n, letter) in letters.iter().enumerate() {
            let encoded = wire::from_body(&letter.body).context("decode a dead letter")?;
            // What lies in S3 is not asked for: whoever handles the replay finds out whether it is still there.
            let head = wire::head(&encoded).context("decode a dead letter")?;
            let replays = head.replays + 1;
            let expires_at = head.expires_at.map(|at| now.plus(at.since(head.occurred_at)));
            entries.push(
                SendMessageBatchRequestEntry::builder()
                    .id(n.to_string())
                    .message_body(wire::to_body(&wire::readdress(&encoded, replays, expires_at)))
                    .message_group_id(&letter.group)
                    .message_deduplication_id(format!("replay:{}:{replays}", head.event_id))
                    .build()?,
            );
        }
        let url = self.queue_url(&self.inner.topology.queue_name(queue)).await?;
        let sizes: Vec<usize> = entries.iter().map(|entry| entry.message_body.len()).collect();
        let groups: Vec<&str> = letters.iter().map(|letter| letter.group.as_str()).collect();
        for run in batch::runs_of_one_each(&groups, &sizes, QUEUE_REQUEST_BYTES) {
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
        let number = |name: &str| text(name).and_then(|n| n.parse().ok()).unwrap_or_default();
        let died_ms =
            of_broker(message, &System::SentTimestamp).and_then(|ms| ms.parse::<i64>().ok());
        let body = message.body().unwrap_or_default().to_owned();
        let envelope = match claim::open(&self.inner.s3, &body).await {
            Ok(envelope) => Some(envelope),
            Err(Unopened::Never(..) | Unopened::Refused(_)) => None,
            Err(Unopened::Away(error)) => return Err(error),
        };
        Ok(DeadLetter {
            queue,
            message_id: message.message_id().unwrap_or_default().to_owned(),
            group: of_broker(message, &System::MessageGroupId).unwrap_or_default().to_owned(),
            cause: DeathCause::told(text("error_type"), text("reason")),
            reason: text("reason").unwrap_or("the broker's receive limit").to_owned(),
            starts: number("starts"),
            receives: number("receives"),
            sent_at: text("sent_at_us").and_then(|us| us.parse().ok()).map(Timestamp::from_micros),
            died_at: died_ms.map_or_else(Timestamp::now, |ms| Timestamp::from_micros(ms * 1_000)),
            build: text("build").map(str::to_owned),
            envelope,
            body,
            receipt: message.receipt_handle().unwrap_or_default().to_owned(),
        })
    }
}

/// What the broker itself says of a message.
fn of_broker<'a>(message: &'a Message, name: &System) -> Option<&'a str> {
    message.attributes().and_then(|all| all.get(name)).map(String::as_str)
}
