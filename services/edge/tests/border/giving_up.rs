//! A vendor that takes nothing for a while: the reply waits and arrives, or its failure is told. It never vanishes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::anyhow;
use async_trait::async_trait;
use domain::{
    Channel, ConversationId, DeliveryStatus, DeliveryUpdated, Envelope, EventId, MessageSent,
    Payload, SentForm, Timestamp, TurnAccount,
};
use edge::channel::{
    ChannelAdapter, ExternalId, Forgery, Malformed, OutgoingPart, Reception, Route, SendFault,
    VendorRequest,
};
use store::seed::DEMO;

use crate::edge_task::{EdgeTask, start_with_channels};

const THROTTLED: i64 = 130_429;

fn busy() -> Channel {
    Channel::named("busy")
}

/// A vendor that takes nothing so many times.
struct Busy(AtomicU32);

#[async_trait]
impl ChannelAdapter for Busy {
    fn channel(&self) -> Channel {
        busy()
    }

    fn routes(&self) -> &'static [Route] {
        &[]
    }

    fn validate(&self, _: &VendorRequest) -> Result<(), Forgery> {
        Err(Forgery::Missing)
    }

    async fn receive(&self, _: &VendorRequest) -> Result<Reception, Malformed> {
        Err(Malformed::new("all", "not asked"))
    }

    fn longest_text_chars(&self) -> usize {
        100
    }

    async fn send(&self, part: &OutgoingPart<'_>) -> Result<ExternalId, SendFault> {
        let less = |left: u32| left.checked_sub(1);
        match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(_) => Err(SendFault::TryLater {
                after: Duration::ZERO,
                code: THROTTLED,
                cause: anyhow!("too many"),
            }),
            Err(_) => Ok(part.mark.to_string()),
        }
    }
}

fn reply() -> Envelope {
    let sent = MessageSent {
        to: "kim".into(),
        from: "desk".into(),
        text: "hello".into(),
        in_reply_to: String::new(),
        attempt: 1,
        account: TurnAccount::default(),
        choices: Vec::new(),
        form: SentForm::Text,
    };
    let chat = ConversationId::of_chat(DEMO, "busy", "desk", "kim");
    Envelope::new(EventId::random(), DEMO, chat, busy(), Timestamp::now(), sent)
}

/// What is told of a reply that the vendor does not take `times` times.
async fn fate_after(times: u32) -> Option<DeliveryUpdated> {
    let adapter: Arc<dyn ChannelAdapter> = Arc::new(Busy(AtomicU32::new(times)));
    let edge: EdgeTask = start_with_channels(&[], vec![adapter]).await?;
    let reply = reply();
    edge.bus.publish(std::slice::from_ref(&reply)).await.unwrap();
    let Payload::DeliveryUpdated(update) = edge.published_kind("DeliveryUpdated").await.payload
    else {
        unreachable!()
    };
    assert_eq!(update.message, Some(reply.event_id));
    Some(update)
}

#[tokio::test]
async fn a_reply_that_is_throttled_more_often_than_a_message_is_started_arrives() {
    let Some(update) = fate_after(8).await else { return };
    assert_eq!(update.status, DeliveryStatus::Accepted);
}

#[tokio::test]
async fn a_reply_that_is_never_taken_is_told_as_failed_with_the_vendors_code() {
    let Some(update) = fate_after(u32::MAX).await else { return };
    assert_eq!(update.status, DeliveryStatus::Failed);
    assert_eq!(update.error.map(|(code, _)| code), Some(THROTTLED));
}
