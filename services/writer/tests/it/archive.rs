//! Dead letters, from the broker into the archive and back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use bus::{
    Bus, BusSettings, Consumer, Context, Destination, Handler, Outcome, Queue, Replay, Source,
    Topology,
};
use cache::Cache;
use domain::{Channel, ConversationId, Envelope, EventId, Ping, TenantId, Timestamp};
use store::dead_letters::{Archive, DeadLetters, Filter, Including, Letter, State};
use testkit::TestDb;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use writer::archiver;

/// Refuses what it is given until it is mended.
struct Broken(Arc<AtomicBool>);

#[async_trait::async_trait]
impl Handler for Broken {
    async fn handle(&self, _: &Context, _: &Envelope) -> Outcome {
        match self.0.load(Ordering::SeqCst) {
            true => Outcome::Reject("the sky is green".into()),
            false => Outcome::Done,
        }
    }
}

struct Desk {
    bus: Bus,
    archive: Archive,
    letters: DeadLetters,
    sqs: aws_sdk_sqs::Client,
    topology: Topology,
}

impl Desk {
    async fn open(db: &TestDb) -> Self {
        let aws = boot::aws_config().await;
        let (sqs, sns) = (aws_sdk_sqs::Client::new(&aws), aws_sdk_sns::Client::new(&aws));
        let prefix = testkit::unique_prefix();
        let topology = Topology::new(&prefix, false);
        topology.provision(&sqs, &sns).await.unwrap();
        let long_poll = Duration::from_secs(1);
        Self {
            bus: Bus::new(&aws, BusSettings { long_poll, ..BusSettings::new(&prefix, "unused") }),
            archive: Archive::new(db.store().await),
            letters: DeadLetters::open(&db.url(), testkit::key_ring().await.unwrap())
                .await
                .unwrap(),
            sqs,
            topology,
        }
    }

    /// Sweeps until so many letters are kept.
    async fn kept(&self, letters: usize) -> Vec<Letter> {
        loop {
            archiver::sweep(&self.bus, &self.archive).await.unwrap();
            let kept = self.letters.list(&Filter::default(), 100).await.unwrap();
            if kept.len() >= letters {
                return kept;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn job(nonce: u64) -> Envelope {
    let conversation = ConversationId::from_uuid(Uuid::new_v4());
    let id = EventId::from_uuid(conversation.derive("job"));
    let tenant = TenantId::from_uuid(Uuid::new_v4());
    Envelope::new(id, tenant, conversation, Channel::VOICE, Timestamp::now(), Ping { nonce })
}

#[tokio::test]
async fn what_was_given_up_is_kept_with_its_reason_and_what_fails_again_is_told_of_its_replay() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let mut desk = Desk::open(&db).await;
    let broken = Arc::new(AtomicBool::new(true));
    let stop = CancellationToken::new();
    let cache = Cache::connect(&stores.redis_url, &testkit::unique_prefix()).unwrap();
    let consumer = Consumer::new(
        desk.bus.clone(),
        Source::Shared(Queue::Jobs),
        Arc::new(Broken(broken.clone())),
        Arc::new(cache),
    );
    let running = tokio::spawn(consumer.run(stop.clone()));
    // It is of no tenant that exists, and is kept all the same.
    let sent = job(7);
    desk.bus.send(&Destination::Shared(Queue::Jobs), std::slice::from_ref(&sent)).await.unwrap();

    let [first] = &desk.kept(1).await[..] else { panic!("one letter") };
    assert_eq!((first.queue.as_str(), first.reason.as_str()), ("jobs", "the sky is green"));
    assert_eq!(first.group, sent.conversation.to_string());
    assert_eq!(first.event, Some(*sent.event_id.as_uuid()));
    assert_eq!(first.event_name.as_deref(), Some("Ping"));
    assert_eq!((first.starts, first.replays, first.state), (1, 0, State::Waiting));
    assert!(desk.bus.take_dead_letters(Queue::Jobs).await.unwrap().is_empty());

    let again = desk.letters.begin(&Filter::default(), Including::default(), 0, 10, "Ann").await;
    let [(letter, body)] = &again.unwrap()[..] else { panic!("one letter") };
    let replay = Replay { group: letter.group.clone(), body: body.clone() };
    desk.bus.replay(Queue::Jobs, &[replay]).await.unwrap();
    desk.letters.set(&[letter.number], State::Published, "published", "Ann", "").await.unwrap();
    desk.kept(2).await;
    assert_eq!(desk.letters.note_failures().await.unwrap(), 1);
    let both = desk.letters.list(&Filter::default(), 10).await.unwrap();
    let states: Vec<_> = both.iter().map(|l| (l.event, l.replays, l.state)).collect();
    let event = Some(*sent.event_id.as_uuid());
    assert_eq!(states, [(event, 0, State::Failed), (event, 1, State::Waiting)]);
    let acts = desk.letters.acts(both[0].number).await.unwrap();
    let acts: Vec<_> = acts.iter().map(|a| (a.act.as_str(), a.actor.as_str())).collect();
    assert_eq!(acts, [("replay", "Ann"), ("published", "Ann"), ("failed", "the consumer")]);

    broken.store(false, Ordering::SeqCst);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_letter_nobody_can_read_is_kept_as_it_is_and_stays_in_the_broker_while_the_database_is_away()
 {
    let Some(_) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let mut desk = Desk::open(&db).await;
    let name = desk.topology.dlq_name(Queue::Writer);
    let url = desk.sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap();
    desk.sqs
        .send_message()
        .queue_url(url)
        .message_body("no base64 of anything")
        .message_group_id("a group")
        .message_deduplication_id("once")
        .send()
        .await
        .unwrap();
    db.cut_off().await;
    assert!(archiver::sweep(&desk.bus, &desk.archive).await.is_err());
    db.restore().await;
    // The cut took this connection too.
    let keys = testkit::key_ring().await.unwrap();
    desk.letters = DeadLetters::open(&db.url(), keys).await.unwrap();
    let [letter] = &desk.kept(1).await[..] else { panic!("one letter") };
    assert_eq!((letter.event, letter.tenant, letter.state), (None, None, State::Waiting));
    assert_eq!(letter.reason, "the broker's receive limit");
    assert_eq!(desk.letters.body(letter.number).await.unwrap(), "no base64 of anything");
    let plan = desk.letters.plan(&Filter::default(), Including::default()).await.unwrap();
    assert_eq!((plan.letters(), plan.undecodable), (0, 1), "nobody sends what nobody can read");
}
