//! How full a queue is, and how long its oldest message has waited.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use aws_sdk_sqs::types::QueueAttributeName;
use domain::Timestamp;

use crate::{age::Ages, send::Bus, topology::Queue};

const EVERY: Duration = Duration::from_secs(15);

/// How many messages lie in a queue, about: a broker counts now and then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Depth {
    /// They wait to be received.
    pub visible: u64,
    /// They are being handled, or wait to be tried again.
    pub in_flight: u64,
}

impl Bus {
    /// How full a shared queue is, and then its dead letters that nobody has taken out yet.
    ///
    /// # Errors
    /// When the broker cannot be reached, or has no such queue.
    pub async fn depth(&self, queue: Queue) -> anyhow::Result<(Depth, Depth)> {
        let topology = &self.inner.topology;
        let [live, dead] = [topology.queue_name(queue), topology.dlq_name(queue)];
        let asked = |name: String| async move {
            let url = self.queue_url(&name).await?;
            read(&self.inner.sqs, &url).await.with_context(|| format!("count {name}"))
        };
        tokio::try_join!(asked(live), asked(dead))
    }

    /// How many dead letters of a queue nobody has taken out yet.
    ///
    /// # Errors
    /// As [`Self::depth`].
    pub async fn dead_letters_left(&self, queue: Queue) -> anyhow::Result<u64> {
        let name = self.inner.topology.dlq_name(queue);
        let url = self.queue_url(&name).await?;
        let left = read(&self.inner.sqs, &url).await.with_context(|| format!("count {name}"))?;
        Ok(left.visible + left.in_flight)
    }
}

async fn read(sqs: &aws_sdk_sqs::Client, url: &str) -> anyhow::Result<Depth> {
    let (visible, hidden) = (
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    );
    let answer = sqs
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(visible.clone())
        .attribute_names(hidden.clone())
        .send()
        .await?;
    let number = |name| -> anyhow::Result<u64> {
        let attribute = answer.attributes().and_then(|all| all.get(name));
        Ok(attribute.context("the broker tells no number")?.parse()?)
    };
    Ok(Depth { visible: number(&visible)?, in_flight: number(&hidden)? })
}

/// Sets `messaging_queue_messages` and `messaging_queue_oldest_message_age_seconds` for ever.
pub(crate) async fn watch(
    sqs: aws_sdk_sqs::Client,
    url: String,
    label: &'static str,
    ages: Arc<Ages>,
) {
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        let Ok(Depth { visible, in_flight }) = read(&sqs, &url).await else { continue };
        for (state, number) in [("visible", visible), ("in_flight", in_flight)] {
            metrics::gauge!("messaging_queue_messages",
                "messaging_destination_name" => label, "state" => state)
            .set(number as f64);
        }
        let age = ages.oldest(visible, in_flight, Timestamp::now());
        metrics::gauge!("messaging_queue_oldest_message_age_seconds",
            "messaging_destination_name" => label)
        .set(age.as_secs_f64());
    }
}
