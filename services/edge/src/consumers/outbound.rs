//! Replies on their way out: WhatsApp now, whatever channel is registered later (A1). A send is at most once: recorded
//! before and after, and never repeated in doubt (DESIGN 2, "Sends").

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;
use async_trait::async_trait;
use bus::{Context, Handler, Outcome};
use cache::{Cache, SendState};
use domain::{
    DeliveryStatus, DeliveryUpdated, Envelope, EventId, MessageSent, Payload, Stage, Timestamp,
    TurnTimed,
};

use crate::channel::{ChannelAdapter, ExternalId, OutgoingPart, SendFault, SendMark, parts_of};

/// A send without an answer is settled by a status, or raised after this (DESIGN 2).
const DOUBT_ENDS_AFTER: Duration = Duration::from_secs(60);
/// The first look at a doubtful send comes soon, for a status mostly does; the next when the doubt ends. So one crash
/// costs few of a message's five starts.
const FIRST_LOOK_AFTER: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Sends replies by the channels' adapters.
pub struct Outbound {
    adapters: Vec<Arc<dyn ChannelAdapter>>,
    cache: Cache,
}

/// What became of one part.
enum PartOutcome {
    Accepted(ExternalId),
    Failed { code: i64, detail: String },
    Doubtful,
}

impl Outbound {
    /// Sends by `adapters`, with send records in `cache`.
    pub fn new(adapters: Vec<Arc<dyn ChannelAdapter>>, cache: Cache) -> Self {
        Self { adapters, cache }
    }
}

#[async_trait]
impl Handler for Outbound {
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
        let Payload::MessageSent(reply) = &message.payload else {
            return Outcome::Reject(format!("{} is nothing to send", message.payload.name()));
        };
        if message.channel.is_spoken() {
            // Its sentences went to the call one by one.
            return Outcome::Done;
        }
        let Some(adapter) = self.adapters.iter().find(|a| a.channel() == message.channel) else {
            return Outcome::Reject(format!("no adapter for the channel {}", message.channel));
        };
        match self.send(context, adapter.as_ref(), message, reply).await {
            Ok(()) => Outcome::Done,
            Err(retry) => retry,
        }
    }
}

impl Outbound {
    async fn send(
        &self,
        context: &Context,
        adapter: &dyn ChannelAdapter,
        message: &Envelope,
        reply: &MessageSent,
    ) -> Result<(), Outcome> {
        let begun = Timestamp::now();
        let parts = parts_of(
            reply.text.reveal(),
            &reply.choices,
            adapter.longest_text_chars(),
            adapter.longest_text_above(&reply.choices),
        );
        for (index, (text, choices)) in (0_u32..).zip(&parts) {
            let mark = SendMark {
                message: message.event_id,
                part: index,
                conversation: message.conversation,
            };
            let part = OutgoingPart {
                our_address: &reply.from,
                to: &reply.to,
                text,
                choices,
                in_reply_to: Some(reply.in_reply_to.as_str()).filter(|_| index == 0),
                mark,
            };
            let outcome = self.send_part(context, adapter, &part).await?;
            let failed = !matches!(outcome, PartOutcome::Accepted(_));
            let now = Timestamp::now();
            let mut events = vec![update_of(message, mark, outcome, now)];
            if index == 0 && !failed && !reply.account.is_of_operator() {
                // As on a call, where the first audio counts: the person is answered with the first part.
                events.push(timed(message, reply.attempt, begun, now));
            }
            context.publish(&events).await.map_err(Outcome::retry)?;
            boot::crash_point("edge.published");
            if failed {
                // The rest of a reply without its beginning makes no sense.
                break;
            }
        }
        Ok(())
    }

    /// Sends one part, at most once over all runs.
    async fn send_part(
        &self,
        context: &Context,
        adapter: &dyn ChannelAdapter,
        part: &OutgoingPart<'_>,
    ) -> Result<PartOutcome, Outcome> {
        let send = part.mark.send_id();
        match self.cache.begin_send(send).await.map_err(Outcome::retry)? {
            SendState::New => {}
            SendState::Done { external_id } => return Ok(PartOutcome::Accepted(external_id)),
            SendState::InDoubt { since } => return in_doubt(since, Timestamp::now()),
        }
        boot::crash_point("edge.outbound-recorded");
        if let Err(lost) = context.check() {
            self.forget(send).await?;
            return Err(Outcome::retry(lost));
        }
        let sent = adapter.send(part).await;
        boot::crash_point("edge.outbound-answered");
        match sent {
            Ok(external_id) => {
                // Not recorded, it is in doubt: the status settles it.
                let id =
                    self.cache.finish_send(send, &external_id).await.map_err(Outcome::retry)?;
                count(adapter, "accepted");
                Ok(PartOutcome::Accepted(id))
            }
            Err(SendFault::TryLater { after, cause }) => {
                self.forget(send).await?;
                count(adapter, "try_later");
                Err(Outcome::Retry { after: backoff(after, context.starts()), cause })
            }
            Err(SendFault::Refused { code, detail }) => {
                self.forget(send).await?;
                count(adapter, "refused");
                tracing::warn!(code, detail = %detail.escape_debug(), "reply refused by the vendor");
                Ok(PartOutcome::Failed { code, detail })
            }
            Err(SendFault::Unknown(cause)) => {
                count(adapter, "unknown");
                Err(Outcome::Retry {
                    after: FIRST_LOOK_AFTER,
                    cause: cause.context("send in doubt"),
                })
            }
        }
    }

    async fn forget(&self, send: EventId) -> Result<(), Outcome> {
        self.cache.fail_send(send).await.map_err(Outcome::retry)
    }
}

/// What to do about a send of which nobody knows how it went.
fn in_doubt(since: Timestamp, now: Timestamp) -> Result<PartOutcome, Outcome> {
    let doubted = now.since(since);
    if doubted >= DOUBT_ENDS_AFTER {
        metrics::counter!("edge_doubtful_sends_total").increment(1);
        tracing::error!(
            kind = "doubtful_send",
            "whether a reply was sent cannot be known; not repeated"
        );
        return Ok(PartOutcome::Doubtful);
    }
    let after = if doubted < FIRST_LOOK_AFTER {
        FIRST_LOOK_AFTER - doubted
    } else {
        DOUBT_ENDS_AFTER - doubted
    };
    Err(Outcome::Retry { after, cause: anyhow!("send in doubt, waiting for a status") })
}

/// Four times longer with each start, as Meta asks for its pair rate (PROTOCOLS 2.4).
fn backoff(first: Duration, starts: u32) -> Duration {
    first.saturating_mul(4_u32.saturating_pow(starts.saturating_sub(1).min(8))).min(LONGEST_WAIT)
}

fn update_of(message: &Envelope, mark: SendMark, outcome: PartOutcome, now: Timestamp) -> Envelope {
    let (external_id, status, error) = match outcome {
        PartOutcome::Accepted(id) => (id, DeliveryStatus::Accepted, None),
        PartOutcome::Failed { code, detail } => {
            (String::new(), DeliveryStatus::Failed, Some((code, detail)))
        }
        PartOutcome::Doubtful => (String::new(), DeliveryStatus::Doubtful, None),
    };
    let name = format!("delivery:{}:{status:?}", mark.part);
    let update = DeliveryUpdated { message: Some(mark.message), external_id, status, error };
    message.follow(&name, now, update)
}

/// The stages of the turn that `message` answers, for the history (DESIGN 3.6).
fn timed(message: &Envelope, attempt: u32, begun: Timestamp, accepted: Timestamp) -> Envelope {
    let mut event = message.follow("turn-timed", accepted, TurnTimed { attempt });
    event.stamp(Stage::OUTBOUND_STARTED, begun);
    event.stamp(Stage::ACCEPTED, accepted);
    event
}

fn count(adapter: &dyn ChannelAdapter, outcome: &'static str) {
    metrics::counter!("edge_sends_total", "channel" => adapter.channel().to_string(), "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn wait_after(seconds: u64) -> Option<u64> {
        match in_doubt(T0, T0.plus(Duration::from_secs(seconds))) {
            Err(Outcome::Retry { after, .. }) => Some(after.as_secs()),
            Ok(PartOutcome::Doubtful) => None,
            _ => panic!("a send in doubt is neither repeated nor taken as done"),
        }
    }

    #[test]
    fn a_send_in_doubt_is_looked_at_soon_then_when_the_doubt_ends_and_never_repeated() {
        assert_eq!(wait_after(6), Some(4));
        assert_eq!(wait_after(10), Some(50));
        assert_eq!(wait_after(59), Some(1));
        assert_eq!(wait_after(60), None);
    }

    #[test]
    fn a_crash_and_its_doubt_fit_into_the_starts_a_message_has() {
        // The first start crashed; the message comes back after 6 s.
        let (mut at, mut starts) = (6, 1);
        while let Some(wait) = wait_after(at) {
            at += wait;
            starts += 1;
        }
        assert!(starts < 5, "{starts}");
    }

    #[test]
    fn throttling_is_waited_out_four_times_longer_each_time() {
        let seconds = [1, 2, 3, 4].map(|starts| backoff(Duration::from_secs(4), starts).as_secs());
        assert_eq!(seconds, [4, 16, 64, 120]);
    }
}
