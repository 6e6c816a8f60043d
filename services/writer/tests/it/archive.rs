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
use domain::{Channel, ConversationId, Envelope, EventId, Payload, Ping, TenantId, Timestamp};
use store::dead_letters::{
    About, Archive, DeadLetters, Filter, Including, Letter, NewLetter, State,
};
use testkit::TestDb;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use writer::archiver;

/// Refuses what it is given until it is mended, and then passes over what nobody wants any more.
struct Broken(Arc<AtomicBool>);

const UNWANTED: u64 = 13;

#[async_trait::async_trait]
impl Handler for Broken {
    async fn handle(&self, _: &Context, message: &Envelope) -> Outcome {
        match self.0.load(Ordering::SeqCst) {
            true => Outcome::Reject("the sky is green".into()),
            false if message.payload == Payload::Ping(Ping { nonce: UNWANTED }) => {
                Outcome::PassedOver("overtaken")
            }
            false => Outcome::Done,
        }
    }
}

struct Desk {
    bus: Bus,
    cache: Cache,
    archive: Archive,
    letters: DeadLetters,
    sqs: aws_sdk_sqs::Client,
    topology: Topology,
}

impl Desk {
    async fn open(db: &TestDb, redis_url: &str) -> Self {
        let aws = boot::aws_config().await;
        let (sqs, sns) = (aws_sdk_sqs::Client::new(&aws), aws_sdk_sns::Client::new(&aws));
        let prefix = testkit::unique_prefix();
        let topology = Topology::new(&prefix, false);
        topology.provision(&sqs, &sns).await.unwrap();
        let long_poll = Duration::from_secs(1);
        Self {
            bus: Bus::new(&aws, BusSettings { long_poll, ..BusSettings::new(&prefix, "unused") }),
            cache: Cache::connect(redis_url, &prefix).unwrap(),
            archive: Archive::new(db.store().await),
            letters: DeadLetters::open(&db.url(), testkit::key_ring().await.unwrap())
                .await
                .unwrap(),
            sqs,
            topology,
        }
    }

    /// A consumer of jobs that is broken until told.
    fn consume(&self) -> (Arc<AtomicBool>, CancellationToken, JoinHandle<()>) {
        let (broken, stop) = (Arc::new(AtomicBool::new(true)), CancellationToken::new());
        let handler = Arc::new(Broken(broken.clone()));
        let source = Source::Shared(Queue::Jobs);
        let starts = Arc::new(self.cache.clone());
        let consumer = Consumer::new(self.bus.clone(), source, handler, starts);
        (broken, stop.clone(), tokio::spawn(consumer.run(stop)))
    }

    /// Puts a body into the dead letters of a queue, as the broker itself does.
    async fn bury_raw(&self, queue: Queue, body: &str) {
        let name = self.topology.dlq_name(queue);
        let found = self.sqs.get_queue_url().queue_name(name).send().await.unwrap();
        self.sqs
            .send_message()
            .queue_url(found.queue_url.unwrap())
            .message_body(body)
            .message_group_id("a group")
            .message_deduplication_id("once")
            .send()
            .await
            .unwrap();
    }

    /// Keeps a letter as the archiver does.
    async fn keep(&self, queue: Queue, envelope: &Envelope) {
        let (now, message) = (Timestamp::now(), Uuid::new_v4().to_string());
        let about = About {
            tenant: envelope.tenant,
            conversation: envelope.conversation,
            event: envelope.event_id,
            event_name: envelope.payload.name(),
            turn: envelope.turn,
            replays: envelope.replays,
            occurred_at: envelope.occurred_at,
            expires_at: envelope.expires_at,
            trace_id: None,
        };
        let letter = NewLetter {
            queue: queue.name(),
            message: &message,
            group: &envelope.conversation.to_string(),
            error_type: "failed",
            reason: "no route",
            starts: 5,
            receives: 5,
            sent_at: None,
            died_at: now,
            about: Some(about),
            build: "test",
            body: &wire::to_body(&wire::encode(envelope)),
        };
        self.archive.keep(&letter).await.unwrap();
    }

    /// Sends every letter that waits into its queue again.
    async fn replay_all(&mut self) {
        let begun =
            self.letters.begin(&Filter::default(), Including::default(), 0, 10, "Ann").await;
        for (letter, body) in begun.unwrap() {
            let replay = Replay { group: letter.group.clone(), body };
            let queue = Queue::named(&letter.queue).unwrap();
            self.bus.replay(queue, &[replay]).await.unwrap();
        }
    }

    /// The state of every letter, and what was last told of it.
    async fn states(&self) -> Vec<(State, String)> {
        let mut states = Vec::new();
        for letter in self.letters.list(&Filter::default(), 100).await.unwrap() {
            let last = self.letters.acts(letter.number).await.unwrap().pop();
            states.push((letter.state, last.map_or(String::new(), |act| act.detail)));
        }
        states
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
    let mut desk = Desk::open(&db, &stores.redis_url).await;
    let (broken, stop, running) = desk.consume();
    // It is of no tenant that exists, and is kept all the same.
    let sent = job(7);
    desk.bus.send(&Destination::Shared(Queue::Jobs), std::slice::from_ref(&sent)).await.unwrap();

    let [first] = &desk.kept(1).await[..] else { panic!("one letter") };
    assert_eq!((first.queue.as_str(), first.reason.as_str()), ("jobs", "the sky is green"));
    assert_eq!(first.error_type, "rejected");
    assert_eq!(first.group, sent.conversation.to_string());
    assert_eq!(first.event, Some(*sent.event_id.as_uuid()));
    assert_eq!(first.event_name.as_deref(), Some("Ping"));
    assert_eq!((first.starts, first.replays, first.state), (1, 0, State::Waiting));
    assert_eq!(first.build, env!("CARGO_PKG_VERSION"), "of the service that gave it up");
    assert!(desk.bus.take_dead_letters(Queue::Jobs).await.unwrap().is_empty());

    let again = desk.letters.begin(&Filter::default(), Including::default(), 0, 10, "Ann").await;
    let [(letter, body)] = &again.unwrap()[..] else { panic!("one letter") };
    let replay = Replay { group: letter.group.clone(), body: body.clone() };
    desk.bus.replay(Queue::Jobs, &[replay]).await.unwrap();
    let published = (&[State::Pending][..], State::Published);
    let moved = desk.letters.set(&[letter.number], published, ("published", "Ann", "")).await;
    assert_eq!(moved.unwrap(), 1);
    desk.kept(2).await;
    archiver::settle(&desk.bus, &desk.archive, &desk.cache).await.unwrap();
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
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let mut desk = Desk::open(&db, &stores.redis_url).await;
    desk.bury_raw(Queue::Writer, "no base64 of anything").await;
    db.cut_off().await;
    assert!(archiver::sweep(&desk.bus, &desk.archive).await.is_err());
    db.restore().await;
    // The cut took this connection too.
    let keys = testkit::key_ring().await.unwrap();
    desk.letters = DeadLetters::open(&db.url(), keys).await.unwrap();
    let [letter] = &desk.kept(1).await[..] else { panic!("one letter") };
    assert_eq!((letter.event, letter.tenant, letter.state), (None, None, State::Waiting));
    assert_eq!(letter.reason, "the broker's receive limit");
    assert_eq!(letter.error_type, "receive_limit");
    assert_eq!(desk.letters.body(letter.number).await.unwrap(), "no base64 of anything");
    let plan = desk.letters.plan(&Filter::default(), Including::default()).await.unwrap();
    assert_eq!((plan.letters(), plan.undecodable), (0, 1), "nobody sends what nobody can read");
}

#[tokio::test]
async fn a_queue_that_cannot_be_looked_through_holds_up_no_other() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let desk = Desk::open(&db, &stores.redis_url).await;
    let [first, .., last] = Queue::ALL else { panic!("several queues") };
    desk.bury_raw(*last, "no base64 of anything").await;
    let lost = desk.sqs.get_queue_url().queue_name(desk.topology.dlq_name(*first));
    let lost = lost.send().await.unwrap().queue_url.unwrap();
    desk.sqs.delete_queue().queue_url(lost).send().await.unwrap();
    let kept = async {
        loop {
            let swept = archiver::sweep(&desk.bus, &desk.archive).await;
            assert!(swept.is_err(), "what could not be looked through is told");
            let kept = desk.letters.list(&Filter::default(), 10).await.unwrap().pop();
            if let Some(letter) = kept {
                return letter;
            }
        }
    };
    let letter = timeout(Duration::from_secs(20), kept).await.expect("it is kept");
    assert_eq!(letter.queue, last.name());
}

#[tokio::test]
async fn how_a_replay_ended_is_noted_without_an_operator_who_asks() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let mut desk = Desk::open(&db, &stores.redis_url).await;
    let (broken, stop, running) = desk.consume();
    for (letters, nonce) in [(1, 7), (2, UNWANTED)] {
        desk.bus.send(&Destination::Shared(Queue::Jobs), &[job(nonce)]).await.unwrap();
        desk.kept(letters).await;
    }
    broken.store(false, Ordering::SeqCst);
    desk.replay_all().await;
    let mut states = desk.states().await;
    while states.iter().any(|(state, _)| *state == State::Pending) {
        archiver::settle(&desk.bus, &desk.archive, &desk.cache).await.unwrap();
        states = desk.states().await;
    }
    let expected = [(State::Processed, ""), (State::Failed, "overtaken")];
    assert_eq!(states, expected.map(|(state, detail)| (state, detail.to_owned())));
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_letter_whose_words_are_gone_from_s3_is_kept_as_it_is() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let mut desk = Desk::open(&db, &stores.redis_url).await;
    let bucket = testkit::unique_prefix();
    testkit::make_bucket(&bucket).await.unwrap();
    let claim = wire::ClaimCheck { bucket, key: "gone".into() };
    let body = wire::to_body(&wire::encode_claim(&job(7), &claim));
    desk.bury_raw(Queue::Orchestrator, &body).await;
    let [letter] = &desk.kept(1).await[..] else { panic!("one letter") };
    assert_eq!((letter.event, letter.state), (None, State::Waiting));
    assert_eq!(letter.build, "", "nobody but the broker gave it up");
    assert_eq!(desk.letters.body(letter.number).await.unwrap(), body);
}

#[tokio::test]
async fn what_needs_somebody_is_counted_and_nothing_else() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let mut desk = Desk::open(&db, &stores.redis_url).await;
    let now = Timestamp::now();
    let late = job(4).expiring_at(now);
    for (envelope, queue) in [
        (job(1), Queue::Jobs),
        (job(2), Queue::Writer),
        (job(3), Queue::Outbound),
        (late, Queue::Speak),
    ] {
        desk.keep(queue, &envelope).await;
    }
    let group = desk.letters.list(&Filter::default(), 10).await.unwrap().remove(1).group;
    desk.letters.park(&group, "Ann", "she looks into it").await.unwrap();
    let begun = Filter { queue: Some("outbound".into()), ..Filter::default() };
    desk.letters.begin(&begun, Including::default(), 0, 10, "Ann").await.unwrap();
    let waiting = async || desk.archive.waiting().await.unwrap();
    assert_eq!(waiting().await, [("jobs".to_owned(), 1)], "what is under way needs nobody yet");

    let owner = db.owner().await;
    let an_hour_ago = "UPDATE dead_letter_acts SET at = at - interval '1 hour'";
    owner.batch_execute(an_hour_ago).await.unwrap();
    let mut counted = waiting().await;
    counted.sort();
    assert_eq!(counted, [("jobs".to_owned(), 1), ("outbound".to_owned(), 1)], "it was killed");
}

#[tokio::test]
async fn only_what_was_settled_long_ago_is_forgotten() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let desk = Desk::open(&db, &stores.redis_url).await;
    for nonce in 1..=3 {
        desk.keep(Queue::Jobs, &job(nonce)).await;
    }
    let owner = db.owner().await;
    let a_year_ago = "UPDATE dead_letters SET died_at = died_at - interval '1 year';
        UPDATE dead_letters SET state = 'discarded' WHERE number > 1;
        INSERT INTO dead_letter_acts (letter, at, act, actor) VALUES
            (2, now() - interval '1 year', 'discard', 'Ann'), (3, now(), 'discard', 'Ann')";
    owner.batch_execute(a_year_ago).await.unwrap();
    archiver::forget(&desk.archive, Duration::from_secs(90 * 24 * 3600)).await.unwrap();
    let left = desk.letters.list(&Filter::default(), 10).await.unwrap();
    assert_eq!(left.iter().map(|letter| letter.number).collect::<Vec<_>>(), [1, 3]);
    assert!(desk.letters.acts(2).await.unwrap().is_empty());
}
