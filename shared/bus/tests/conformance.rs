//! What the loop promises, proved on a real broker. Every test runs on both stand-ins, which differ
//! where it matters: fauxqs hands out one message of a group per receive, ministack several, as AWS
//! does (STANDINS).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod broker;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::anyhow;
use async_trait::async_trait;
use broker::{Broker, Down, Rig, conversation, event, job, text_of};
use bus::{Context, DeathCause, Destination, Handler, Outcome, Queue, Replay, SendError, Source};
use domain::{Channel, Envelope, Payload, Ping, ReplayEnd, StartCounter as _, Timestamp};
use tokio::sync::{Semaphore, mpsc};

/// A handler made of a closure; every start is reported to the test.
struct Told<F> {
    seen: mpsc::UnboundedSender<Envelope>,
    decide: F,
}

#[async_trait]
impl<F> Handler for Told<F>
where
    F: Fn(&Envelope) -> Outcome + Send + Sync + 'static,
{
    async fn handle(&self, _: &Context, message: &Envelope) -> Outcome {
        self.seen.send(message.clone()).ok();
        (self.decide)(message)
    }
}

fn told<F>(decide: F) -> (Arc<Told<F>>, mpsc::UnboundedReceiver<Envelope>)
where
    F: Fn(&Envelope) -> Outcome + Send + Sync + 'static,
{
    let (seen, starts) = mpsc::unbounded_channel();
    (Arc::new(Told { seen, decide }), starts)
}

async fn next(starts: &mut mpsc::UnboundedReceiver<Envelope>) -> Envelope {
    tokio::time::timeout(Duration::from_secs(40), starts.recv())
        .await
        .expect("a message within 40 s")
        .expect("a running consumer")
}

async fn each_group_stays_in_order(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|_| Outcome::Done);
    let groups = [conversation(), conversation(), conversation()];
    let events: Vec<Envelope> = (0..30).map(|n| event(groups[n % 3], &format!("{n}"))).collect();
    rig.bus.publish(&events).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    let mut seen: HashMap<_, Vec<u32>> = HashMap::new();
    for _ in 0..30 {
        let e = next(&mut starts).await;
        seen.entry(e.conversation).or_default().push(text_of(&e).parse().unwrap());
    }
    for (k, group) in groups.iter().enumerate() {
        let expected: Vec<u32> = (0..10).map(|n| n * 3 + k as u32).collect();
        assert_eq!(seen[group], expected);
    }
    running.stop().await;
}

/// Blocks on what begins with `slow`, and notices two of a group at a time.
struct OneAtATime {
    inside: AtomicBool,
    overlapped: AtomicBool,
    gate: Semaphore,
    seen: mpsc::UnboundedSender<Envelope>,
}

impl OneAtATime {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Envelope>) {
        let (seen, ends) = mpsc::unbounded_channel();
        let (inside, overlapped) = (AtomicBool::new(false), AtomicBool::new(false));
        (Arc::new(Self { inside, overlapped, gate: Semaphore::new(0), seen }), ends)
    }
}

#[async_trait]
impl Handler for OneAtATime {
    async fn handle(&self, _: &Context, message: &Envelope) -> Outcome {
        let text = text_of(message);
        if text.starts_with("slow") {
            if self.inside.swap(true, Ordering::SeqCst) {
                self.overlapped.store(true, Ordering::SeqCst);
            }
            self.gate.acquire().await.unwrap().forget();
            self.inside.store(false, Ordering::SeqCst);
        }
        self.seen.send(message.clone()).ok();
        Outcome::Done
    }
}

async fn a_slow_group_blocks_itself_alone(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut ends) = OneAtATime::new();
    let (slow, quick) = (conversation(), conversation());
    let mut events: Vec<_> = (0..4).map(|n| event(slow, &format!("slow {n}"))).collect();
    events.extend((0..4).map(|n| event(quick, &format!("quick {n}"))));
    rig.bus.publish(&events).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler.clone());
    for n in 0..4 {
        assert_eq!(text_of(&next(&mut ends).await), format!("quick {n}"));
    }
    handler.gate.add_permits(4);
    for n in 0..4 {
        assert_eq!(text_of(&next(&mut ends).await), format!("slow {n}"));
    }
    assert!(!handler.overlapped.load(Ordering::SeqCst), "two of a group at a time");
    running.stop().await;
}

async fn a_rejected_message_is_buried_and_those_behind_it_flow_on(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|e| match text_of(e).as_str() {
        "bad" => Outcome::Reject("field turn: is not a number".into()),
        _ => Outcome::Done,
    });
    let group = conversation();
    rig.bus.publish(&[event(group, "bad"), event(group, "1"), event(group, "2")]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    let order: Vec<_> = [next(&mut starts).await, next(&mut starts).await, next(&mut starts).await]
        .iter()
        .map(text_of)
        .collect();
    assert_eq!(order, ["bad", "1", "2"]);
    let letter = rig.dead_letter(Queue::Orchestrator).await;
    assert_eq!(letter.cause, DeathCause::Rejected);
    assert_eq!(letter.reason, "field turn: is not a number");
    assert_eq!(letter.starts, 1);
    assert_eq!(letter.build.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(text_of(&letter.envelope.unwrap()), "bad");
    running.stop().await;
}

async fn a_failed_message_is_tried_again_and_not_overtaken(broker: Broker) {
    let rig = Rig::new(broker).await;
    let failures = AtomicU32::new(2);
    let (handler, mut starts) = told(move |e| {
        let fail = text_of(e) == "1"
            && failures
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                .is_ok();
        if fail {
            Outcome::Retry { after: Duration::ZERO, cause: anyhow!("not yet") }
        } else {
            Outcome::Done
        }
    });
    let group = conversation();
    rig.bus.publish(&[event(group, "1"), event(group, "2"), event(group, "3")]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    for expected in ["1", "1", "1", "2", "3"] {
        assert_eq!(text_of(&next(&mut starts).await), expected);
    }
    running.stop().await;
}

async fn what_waits_for_its_turn_uses_up_no_starts(broker: Broker) {
    let rig = Rig::new(broker).await;
    let waits = AtomicU32::new(7);
    let (handler, mut starts) = told(move |e| {
        let wait = text_of(e) == "1"
            && waits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        match wait {
            true => Outcome::NotYet { after: Duration::ZERO, cause: anyhow!("no place in line") },
            false => Outcome::Done,
        }
    });
    let group = conversation();
    rig.bus.publish(&[event(group, "1"), event(group, "2")]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    for expected in ["1", "1", "1", "1", "1", "1", "1", "1", "2"] {
        assert_eq!(text_of(&next(&mut starts).await), expected);
    }
    running.stop().await;
}

async fn five_starts_bury_the_bad_one_and_none_of_the_innocent(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|e| match text_of(e).as_str() {
        "bad" => Outcome::Retry { after: Duration::ZERO, cause: anyhow!("the sky is green") },
        _ => Outcome::Done,
    });
    let group = conversation();
    let mut events = vec![event(group, "bad")];
    events.extend((0..8).map(|n| event(group, &format!("{n}"))));
    rig.bus.publish(&events).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    for _ in 0..5 {
        assert_eq!(text_of(&next(&mut starts).await), "bad");
    }
    for n in 0..8 {
        assert_eq!(text_of(&next(&mut starts).await), format!("{n}"));
    }
    let letter = rig.dead_letter(Queue::Orchestrator).await;
    assert_eq!((letter.cause, letter.starts), (DeathCause::Failed, 5));
    assert!(letter.reason.contains("the sky is green"), "{}", letter.reason);
    running.stop().await;
}

async fn a_panic_is_a_retry(broker: Broker) {
    let rig = Rig::new(broker).await;
    let first = AtomicBool::new(true);
    let (handler, mut starts) = told(move |_| {
        assert!(!first.swap(false, Ordering::SeqCst), "the first start panics");
        Outcome::Done
    });
    rig.bus.publish(&[event(conversation(), "once more")]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    let (a, b) = (next(&mut starts).await, next(&mut starts).await);
    assert_eq!(a.event_id, b.event_id);
    running.stop().await;
}

async fn a_panic_at_the_last_start_is_told_from_other_failures(broker: Broker) {
    let rig = Rig::new(broker).await;
    let failures = AtomicU32::new(4);
    let (handler, mut starts) = told(move |_| {
        let left = failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        assert!(left.is_ok(), "the last start panics");
        Outcome::Retry { after: Duration::ZERO, cause: anyhow!("not yet") }
    });
    rig.bus.publish(&[event(conversation(), "stubborn")]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    for _ in 0..5 {
        next(&mut starts).await;
    }
    let letter = rig.dead_letter(Queue::Orchestrator).await;
    assert_eq!((letter.cause, letter.starts), (DeathCause::Panicked, 5));
    assert!(letter.reason.contains("the last start panics"), "{}", letter.reason);
    running.stop().await;
}

async fn what_five_processes_did_not_survive_is_buried(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (deadly, _ends) = OneAtATime::new();
    let group = conversation();
    let sent = event(group, "slow, and deadly");
    for _ in 0..4 {
        rig.counts.started("of earlier processes", sent.event_id).await;
    }
    rig.bus.publish(&[sent, event(group, "the next")]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), deadly.clone());
    while !deadly.inside.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    running.kill().await;
    let (handler, mut starts) = told(|_| Outcome::Done);
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    assert_eq!(text_of(&next(&mut starts).await), "the next", "it is not begun once more");
    let letter = rig.dead_letter(Queue::Orchestrator).await;
    assert_eq!((letter.cause, letter.starts), (DeathCause::NeverFinished, 6));
    running.stop().await;
}

async fn what_the_broker_itself_gave_up_is_told_from_what_we_did(broker: Broker) {
    let rig = Rig::new(broker).await;
    let group = conversation();
    let body = wire::to_body(&wire::encode(&event(group, "too often")));
    rig.bury_raw(Queue::Orchestrator, &group.to_string(), &body).await;
    let letter = rig.dead_letter(Queue::Orchestrator).await;
    assert_eq!((letter.cause, letter.build), (DeathCause::ReceiveLimit, None));
    assert_eq!(text_of(&letter.envelope.unwrap()), "too often");
}

async fn what_cannot_be_decoded_is_buried_at_once(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|_| Outcome::Done);
    let group = conversation();
    rig.send_raw(Queue::Speak, &group.to_string(), "this is not base64 of anything").await;
    rig.bus.send(&Destination::Shared(Queue::Speak), &[job(group, 7)]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Speak), handler);
    assert_eq!(next(&mut starts).await.payload, Payload::Ping(Ping { nonce: 7 }));
    let letter = rig.dead_letter(Queue::Speak).await;
    assert!(letter.reason.starts_with("undecodable"), "{}", letter.reason);
    assert_eq!((letter.cause, letter.starts), (DeathCause::Undecodable, 0));
    running.stop().await;
}

async fn the_same_event_is_handled_once(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|_| Outcome::Done);
    let group = conversation();
    let twice = event(group, "twice");
    rig.bus.publish(std::slice::from_ref(&twice)).await.unwrap();
    rig.bus.publish(&[twice]).await.unwrap();
    rig.bus.publish(&[event(group, "last")]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    assert_eq!(text_of(&next(&mut starts).await), "twice");
    assert_eq!(text_of(&next(&mut starts).await), "last");
    running.stop().await;
}

async fn an_expired_job_is_never_done(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|_| Outcome::Done);
    let group = conversation();
    let late = job(group, 1).expiring_at(Timestamp::now());
    rig.bus.send(&Destination::Shared(Queue::Speak), &[late, job(group, 2)]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Speak), handler);
    assert_eq!(next(&mut starts).await.payload, Payload::Ping(Ping { nonce: 2 }));
    running.stop().await;
    assert!(rig.bus.take_dead_letters(Queue::Speak).await.unwrap().is_empty());
}

async fn an_event_too_large_for_the_topic_arrives_whole(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|_| Outcome::Done);
    let text = "word ".repeat(100_000);
    rig.bus.publish(&[event(conversation(), &text)]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    assert!(text_of(&next(&mut starts).await) == text, "the text arrived altered");
    running.stop().await;
}

async fn a_replayed_letter_is_handled_and_counts_its_replays(broker: Broker) {
    let rig = Rig::new(broker).await;
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = broken.clone();
    let (handler, mut starts) = told(move |_| match is_broken.load(Ordering::SeqCst) {
        true => Outcome::Reject("broken".into()),
        false => Outcome::Done,
    });
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    let sent = event(conversation(), "again");
    rig.bus.publish(std::slice::from_ref(&sent)).await.unwrap();
    next(&mut starts).await;
    let letter = rig.dead_letter(Queue::Orchestrator).await;
    assert_eq!((&*letter.reason, letter.starts, letter.receives), ("broken", 1, 1));
    rig.bus.remove_dead_letter(&letter).await.unwrap();
    broken.store(false, Ordering::SeqCst);
    // Whoever is interrupted sends the same again.
    rig.replay(&letter).await;
    rig.replay(&letter).await;
    let second = next(&mut starts).await;
    assert_eq!((second.event_id, second.replays), (sent.event_id, 1));
    // Of the same group, so it comes after whatever was replayed.
    let last = event(sent.conversation, "last");
    rig.bus.publish(std::slice::from_ref(&last)).await.unwrap();
    assert_eq!(next(&mut starts).await.event_id, last.event_id);
    running.stop().await;
    assert_eq!(rig.counts.end_of(sent.event_id, 1).await, ReplayEnd::Handled);
}

async fn a_replay_that_had_no_effect_says_why(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, _starts) = told(|e| match e.replays {
        0 => Outcome::Reject("no route".into()),
        _ => Outcome::PassedOver("overtaken"),
    });
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler.clone());
    let sent = event(conversation(), "too late");
    rig.bus.publish(std::slice::from_ref(&sent)).await.unwrap();
    let letter = rig.dead_letter(Queue::Orchestrator).await;
    rig.bus.remove_dead_letter(&letter).await.unwrap();
    rig.replay(&letter).await;
    let end = rig.counts.end_of(sent.event_id, 1).await;
    assert_eq!(end, ReplayEnd::Failed("overtaken".to_owned()));
    running.stop().await;
    assert!(rig.bus.take_dead_letters(Queue::Orchestrator).await.unwrap().is_empty());

    // It gets the time anew that it had at first: none.
    let group = conversation();
    let late = job(group, 1);
    let late = late.clone().expiring_at(late.occurred_at);
    let body = wire::to_body(&wire::encode(&late));
    let again = Replay { group: group.to_string(), body };
    rig.bus.replay(Queue::Speak, &[again]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Speak), handler);
    let end = rig.counts.end_of(late.event_id, 1).await;
    assert_eq!(end, ReplayEnd::Failed("expired".to_owned()));
    running.stop().await;
}

async fn what_s3_no_longer_has_is_buried_and_holds_nobody_up(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|_| Outcome::Done);
    let group = conversation();
    let large = event(group, &"word ".repeat(100_000));
    rig.bus.publish(&[large.clone(), event(group, "the next")]).await.unwrap();
    rig.forget_large().await;
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    assert_eq!(text_of(&next(&mut starts).await), "the next");
    let letter = rig.dead_letter(Queue::Orchestrator).await;
    assert!(letter.reason.contains("gone from S3"), "{}", letter.reason);
    assert_eq!(letter.cause, DeathCause::ObjectGone);
    assert!(letter.envelope.is_none());
    rig.bus.remove_dead_letter(&letter).await.unwrap();
    rig.replay(&letter).await;
    let end = rig.counts.end_of(large.event_id, 1).await;
    let ReplayEnd::Failed(why) = end else { panic!("{end:?}") };
    assert!(why.contains("gone from S3"), "{why}");
    running.stop().await;
}

async fn what_s3_does_not_take_is_not_published_nor_what_comes_with_it(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|_| Outcome::Done);
    let group = conversation();
    let events = [
        event(group, "the first"),
        event(group, &"word ".repeat(100_000)),
        event(group, "the last"),
    ];
    rig.refusals.begin("PUT");
    let refused = rig.bus.publish(&events).await.unwrap_err().to_string();
    assert!(refused.contains("store a large envelope in S3"), "{refused}");
    rig.refusals.end();
    let before = event(group, "before");
    rig.bus.publish(std::slice::from_ref(&before)).await.unwrap();
    rig.bus.publish(&events).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    for expected in std::iter::once(&before).chain(&events) {
        let came = next(&mut starts).await;
        assert_eq!(came.event_id, expected.event_id);
        assert!(text_of(&came) == text_of(expected), "the text arrived altered");
    }
    running.stop().await;
}

async fn what_s3_refuses_for_a_while_is_handled_whole_and_in_its_place(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|_| Outcome::Done);
    let group = conversation();
    let large = event(group, &"word ".repeat(100_000));
    rig.bus.publish(&[large.clone(), event(group, "the next")]).await.unwrap();
    rig.refusals.begin("GET");
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    rig.refusals.seen(2).await;
    rig.refusals.end();
    assert!(text_of(&next(&mut starts).await) == text_of(&large), "the text arrived altered");
    assert_eq!(text_of(&next(&mut starts).await), "the next");
    running.stop().await;
    assert!(rig.bus.take_dead_letters(Queue::Orchestrator).await.unwrap().is_empty());
}

async fn what_s3_refused_at_every_start_is_handled_when_it_is_replayed(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|_| Outcome::Done);
    let group = conversation();
    let large = event(group, &"word ".repeat(100_000));
    rig.bus.publish(&[large.clone(), event(group, "the next")]).await.unwrap();
    rig.refusals.begin("GET");
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    let letter = rig.dead_letter(Queue::Orchestrator).await;
    assert_eq!((letter.cause, letter.starts), (DeathCause::ObjectRefused, 5));
    assert!(letter.reason.contains("AccessDenied"), "{}", letter.reason);
    assert_eq!(text_of(&next(&mut starts).await), "the next", "it holds nobody up any more");
    rig.refusals.end();
    rig.bus.remove_dead_letter(&letter).await.unwrap();
    rig.replay(&letter).await;
    let again = next(&mut starts).await;
    assert_eq!((again.event_id, again.replays), (large.event_id, 1));
    assert!(text_of(&again) == text_of(&large), "the text arrived altered");
    assert_eq!(rig.counts.end_of(large.event_id, 1).await, ReplayEnd::Handled);
    running.stop().await;
}

async fn a_replayed_letter_too_large_for_the_topic_counts_its_replays_too(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut starts) = told(|e| match e.replays {
        0 => Outcome::Reject("no route".into()),
        _ => Outcome::Done,
    });
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    let large = event(conversation(), &"word ".repeat(100_000));
    rig.bus.publish(std::slice::from_ref(&large)).await.unwrap();
    assert_eq!(next(&mut starts).await.replays, 0);
    let letter = rig.dead_letter(Queue::Orchestrator).await;
    rig.bus.remove_dead_letter(&letter).await.unwrap();
    rig.replay(&letter).await;
    let again = next(&mut starts).await;
    assert_eq!((again.event_id, again.replays), (large.event_id, 1));
    assert_eq!(rig.counts.end_of(large.event_id, 1).await, ReplayEnd::Handled);
    running.stop().await;
}

async fn a_letter_that_failed_five_times_has_all_its_starts_again_when_replayed(broker: Broker) {
    let rig = Rig::new(broker).await;
    let failures = AtomicU32::new(5 + 2);
    let (handler, mut starts) = told(move |_| {
        let left = failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match left {
            Ok(_) => Outcome::Retry { after: Duration::ZERO, cause: anyhow!("not yet") },
            Err(_) => Outcome::Done,
        }
    });
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    let group = conversation();
    rig.bus.publish(&[event(group, "stubborn")]).await.unwrap();
    for _ in 0..5 {
        assert_eq!(next(&mut starts).await.replays, 0);
    }
    let letter = rig.dead_letter(Queue::Orchestrator).await;
    rig.bus.remove_dead_letter(&letter).await.unwrap();
    rig.replay(&letter).await;
    for _ in 0..3 {
        assert_eq!(next(&mut starts).await.replays, 1);
    }
    running.stop().await;
    assert!(rig.bus.take_dead_letters(Queue::Orchestrator).await.unwrap().is_empty());
}

async fn the_topic_feeds_each_queue_with_what_it_asked_for(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut outbound) = told(|_| Outcome::Done);
    let running = rig.consume(Source::Shared(Queue::Outbound), handler);
    let spoken = broker::reply(conversation(), Channel::VOICE, "spoken");
    let written = broker::reply(conversation(), Channel::WHATSAPP, "written");
    let toy = broker::reply(conversation(), Channel::named("toy"), "a channel added later");
    rig.bus.publish(&[spoken, event(conversation(), "in"), written, toy]).await.unwrap();
    let mut texts = [text_of(&next(&mut outbound).await), text_of(&next(&mut outbound).await)];
    texts.sort();
    assert_eq!(texts, ["a channel added later", "written"]);
    running.stop().await;
    assert!(outbound.recv().await.is_none(), "nothing else came");
}

async fn a_task_queue_answers_its_ping_and_is_gone_when_deleted(broker: Broker) {
    let rig = Rig::new(broker).await;
    let name = rig.bus.create_task_queue("edge-1").await.unwrap();
    let (handler, mut starts) = told(|_| Outcome::Done);
    let running = rig.consume(Source::Task(name.clone()), handler);
    let to = Destination::Task(name.clone());
    rig.bus.send(&to, &[job(conversation(), 1)]).await.unwrap();
    next(&mut starts).await;
    running.stop().await;
    rig.bus.delete_task_queue(&name).await.unwrap();
    rig.bus.delete_task_queue(&name).await.unwrap();
    let sent = rig.bus.send(&to, &[job(conversation(), 2)]).await;
    assert!(matches!(sent, Err(SendError::QueueGone(_))), "{sent:?}");
}

async fn stopping_finishes_what_runs_and_gives_back_what_waits(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (handler, mut ends) = OneAtATime::new();
    let group = conversation();
    rig.bus.publish(&[event(group, "slow 1"), event(group, "slow 2")]).await.unwrap();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler.clone());
    while !handler.inside.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::spawn(running.stop());
    handler.gate.add_permits(1);
    stopping.await.unwrap();
    assert_eq!(text_of(&next(&mut ends).await), "slow 1");
    assert!(ends.try_recv().is_err(), "the second was not begun");
    let (handler, mut starts) = told(|_| Outcome::Done);
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    assert_eq!(text_of(&next(&mut starts).await), "slow 2");
    running.stop().await;
}

async fn a_message_of_a_dead_consumer_comes_to_another(broker: Broker) {
    let rig = Rig::new(broker).await;
    let (stuck, _ends) = OneAtATime::new();
    let running = rig.consume(Source::Shared(Queue::Orchestrator), stuck.clone());
    let group = conversation();
    rig.bus.publish(&[event(group, "slow 1"), event(group, "slow 2")]).await.unwrap();
    while !stuck.inside.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    running.kill().await;
    let (handler, mut starts) = told(|_| Outcome::Done);
    let running = rig.consume(Source::Shared(Queue::Orchestrator), handler);
    assert_eq!(text_of(&next(&mut starts).await), "slow 1");
    assert_eq!(text_of(&next(&mut starts).await), "slow 2");
    running.stop().await;
}

async fn a_handler_longer_than_the_visibility_keeps_its_message(broker: Broker) {
    let rig = Rig::new(broker).await;
    struct Long(AtomicU32, mpsc::UnboundedSender<Envelope>);
    #[async_trait]
    impl Handler for Long {
        async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
            self.0.fetch_add(1, Ordering::SeqCst);
            // Longer than the 6 s of visibility: the broker's clock cannot be made to run faster.
            tokio::time::sleep(Duration::from_secs(9)).await;
            context.check().unwrap();
            self.1.send(message.clone()).ok();
            Outcome::Done
        }
    }
    let (seen, mut ends) = mpsc::unbounded_channel();
    let long = Arc::new(Long(AtomicU32::new(0), seen));
    let a = rig.consume(Source::Shared(Queue::Orchestrator), long.clone());
    let b = rig.consume(Source::Shared(Queue::Orchestrator), long.clone());
    rig.bus.publish(&[event(conversation(), "long")]).await.unwrap();
    next(&mut ends).await;
    a.stop().await;
    b.stop().await;
    assert_eq!(long.0.load(Ordering::SeqCst), 1, "it was handled once");
}

async fn a_dependency_that_is_down_pauses_and_counts_nothing(broker: Broker) {
    let rig = Rig::new(broker).await;
    let database = Arc::new(Down::default());
    let up = database.clone();
    let (handler, mut starts) = told(move |_| match up.is_up() {
        true => Outcome::Done,
        false => Outcome::retry(anyhow!("connection refused")),
    });
    rig.bus.publish(&[event(conversation(), "1"), event(conversation(), "2")]).await.unwrap();
    let running =
        rig.consume_depending(Source::Shared(Queue::Orchestrator), handler, database.clone());
    let first = next(&mut starts).await;
    database.probed(8).await;
    let begun_while_down = 1 + std::iter::from_fn(|| starts.try_recv().ok()).count();
    assert!(begun_while_down <= 2, "each was begun at most once while it was down");
    assert_eq!(rig.starts_of(first.event_id), 0, "a start for which it is not to blame");
    database.recover();
    let done = [next(&mut starts).await, next(&mut starts).await];
    assert_ne!(done[0].event_id, done[1].event_id);
    running.stop().await;
    assert!(rig.bus.take_dead_letters(Queue::Orchestrator).await.unwrap().is_empty());
}

macro_rules! on_both_brokers {
    ($($test:ident),* $(,)?) => {
        mod fauxqs {
            use super::Broker;
            $( #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(broker) = Broker::from_env("SB_TEST_FAUXQS_URL") {
                    super::$test(broker).await;
                }
            } )*
        }
        mod ministack {
            use super::Broker;
            $( #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(broker) = Broker::from_env("SB_TEST_MINISTACK_URL") {
                    super::$test(broker).await;
                }
            } )*
        }
    };
}

on_both_brokers!(
    each_group_stays_in_order,
    a_slow_group_blocks_itself_alone,
    a_rejected_message_is_buried_and_those_behind_it_flow_on,
    a_failed_message_is_tried_again_and_not_overtaken,
    what_waits_for_its_turn_uses_up_no_starts,
    five_starts_bury_the_bad_one_and_none_of_the_innocent,
    a_panic_is_a_retry,
    a_panic_at_the_last_start_is_told_from_other_failures,
    what_five_processes_did_not_survive_is_buried,
    what_the_broker_itself_gave_up_is_told_from_what_we_did,
    what_cannot_be_decoded_is_buried_at_once,
    the_same_event_is_handled_once,
    an_expired_job_is_never_done,
    an_event_too_large_for_the_topic_arrives_whole,
    a_replayed_letter_is_handled_and_counts_its_replays,
    a_replay_that_had_no_effect_says_why,
    what_s3_no_longer_has_is_buried_and_holds_nobody_up,
    what_s3_does_not_take_is_not_published_nor_what_comes_with_it,
    what_s3_refuses_for_a_while_is_handled_whole_and_in_its_place,
    what_s3_refused_at_every_start_is_handled_when_it_is_replayed,
    a_replayed_letter_too_large_for_the_topic_counts_its_replays_too,
    a_letter_that_failed_five_times_has_all_its_starts_again_when_replayed,
    the_topic_feeds_each_queue_with_what_it_asked_for,
    a_task_queue_answers_its_ping_and_is_gone_when_deleted,
    stopping_finishes_what_runs_and_gives_back_what_waits,
    a_message_of_a_dead_consumer_comes_to_another,
    a_handler_longer_than_the_visibility_keeps_its_message,
    a_dependency_that_is_down_pauses_and_counts_nothing,
);
