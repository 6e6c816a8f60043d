//! `switchboardctl dlq` as an operator at night uses it: on real stores, with a consumer that counts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusSettings, Consumer, Context, Handler, Outcome, Queue, Source};
use cache::Cache;
use domain::{
    Channel, ConversationId, Envelope, EventId, MessageKind, MessageReceived, Ping, TenantId,
    Timestamp,
};
use store::dead_letters::{About, Archive, NewLetter};
use testkit::{Stores, TestDb};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const GROUPS: usize = 6;
const LETTERS: usize = 60;
const WORDS: &str = "my card number is";
const NOTHING: i32 = 3;

struct Desk {
    db: TestDb,
    stores: Stores,
    prefix: String,
    bus: Bus,
    archive: Archive,
    tenant: TenantId,
}

/// Tells every event it is given.
struct Told(mpsc::UnboundedSender<Envelope>);

#[async_trait::async_trait]
impl Handler for Told {
    async fn handle(&self, _: &Context, message: &Envelope) -> Outcome {
        self.0.send(message.clone()).unwrap();
        Outcome::Done
    }
}

impl Desk {
    async fn open() -> Option<Self> {
        let stores = testkit::require_stores()?;
        let db = TestDb::create().await?;
        let prefix = testkit::unique_prefix();
        let long_poll = Duration::from_secs(1);
        let settings = BusSettings { long_poll, ..BusSettings::new(&prefix, &prefix) };
        let bus = Bus::new(&boot::aws_config().await, settings);
        bus.provision().await.unwrap();
        let (archive, tenant) = (Archive::new(db.store().await), db.add_tenant("demo").await);
        Some(Self { db, stores, prefix, bus, archive, tenant })
    }

    fn event(&self, group: usize, number: usize) -> Envelope {
        let conversation = ConversationId::from_uuid(self.tenant.derive(&format!("group {group}")));
        let received = MessageReceived {
            from: "15551234567".into(),
            to: "106540352242922".into(),
            text: format!("{WORDS} {number}").into(),
            kind: MessageKind::Text,
            external_id: String::new(),
            profile_name: None,
            bsuid: None,
            heard: None,
            call: None,
            quotes: None,
            referral: None,
            gathered: false,
            speech: None,
        };
        let id = EventId::from_uuid(conversation.derive(&format!("event {number}")));
        let (channel, now) = (Channel::WHATSAPP, Timestamp::now());
        Envelope::new(id, self.tenant, conversation, channel, now, received)
    }

    /// Keeps a letter as the writer does.
    async fn bury(&self, envelope: &Envelope, reason: &str) {
        let (body, message) = (wire::to_body(&wire::encode(envelope)), Uuid::new_v4().to_string());
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
            queue: Queue::Orchestrator.name(),
            message: &message,
            group: &envelope.conversation.to_string(),
            reason,
            starts: 5,
            receives: 5,
            sent_at: None,
            died_at: Timestamp::now(),
            about: Some(about),
            build: "test",
            body: &body,
        };
        self.archive.keep(&letter).await.unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboardctl"));
        command
            .arg("dlq")
            .args(arguments)
            .env("DATABASE_URL", self.db.url())
            .env("REDIS_URL", &self.stores.redis_url)
            .env("SB_QUEUE_PREFIX", &self.prefix)
            .env("SB_S3_BUCKET", &self.prefix)
            .env("SB_KMS_KEY", testkit::KMS_KEY)
            .stdin(Stdio::null());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// What it prints when all goes well.
    async fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// How many letters there are in each state.
    async fn states(&self) -> Vec<(String, i64)> {
        let listed = self.json(&["list"]).await;
        let counts = listed["counts"].as_array().unwrap();
        let state = |count: &serde_json::Value| count["state"].as_str().unwrap().to_owned();
        counts.iter().map(|count| (state(count), count["letters"].as_i64().unwrap())).collect()
    }
}

#[tokio::test]
async fn a_replay_killed_in_the_middle_and_begun_again_handles_each_letter_once_and_in_order() {
    let Some(desk) = Desk::open().await else { return };
    let mut wanted = vec![Vec::new(); GROUPS];
    for number in 0..LETTERS {
        let event = desk.event(number % GROUPS, number);
        desk.bury(&event, "failed 5 times, at last: no route to the model").await;
        wanted[number % GROUPS].push(event.event_id);
    }
    // Of these nothing is sent again of itself.
    let mut late = desk.event(0, 1000).expiring_at(Timestamp::now());
    late.payload = Ping { nonce: 1 }.into();
    desk.bury(&late, "begun 5 times and never finished").await;
    desk.bury(&Envelope { replays: 3, ..desk.event(1, 1001) }, "the sky is green").await;

    let plan = desk.run(&["replay", "--dry-run"]).await;
    assert!(plan.status.success());
    let plan = String::from_utf8(plan.stdout).unwrap();
    for said in [
        "60 letters into orchestrator",
        "60 letters of 6 groups",
        "1 letters left out: their time",
        "1 letters left out: died too",
    ] {
        assert!(plan.contains(said), "{said}: {plan}");
    }
    assert_eq!(desk.states().await, [("waiting".to_owned(), 61), ("waiting".to_owned(), 1)]);
    let unasked = desk.run(&["replay"]).await;
    assert!(!unasked.status.success(), "nobody is there to confirm");

    let (told, mut handled) = mpsc::unbounded_channel();
    let cache = Cache::connect(&desk.stores.redis_url, &desk.prefix).unwrap();
    let stop = CancellationToken::new();
    let source = Source::Shared(Queue::Orchestrator);
    let consumer = Consumer::new(desk.bus.clone(), source, Arc::new(Told(told)), Arc::new(cache));
    let running = tokio::spawn(consumer.run(stop.clone()));
    let mut first = desk
        .command(&["replay", "--rate", "20", "--yes", "--as", "Ann"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() < LETTERS / 4 {
        seen.push(handled.recv().await.unwrap());
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let second = desk.run(&["replay", "--rate", "200", "--yes", "--as", "Ben"]).await;
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    while seen.len() < LETTERS {
        seen.push(handled.recv().await.unwrap());
    }
    while desk.states().await.iter().any(|(state, _)| state == "published") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    running.await.unwrap();
    assert!(handled.try_recv().is_err(), "nothing is handled twice");

    for (group, wanted) in wanted.iter().enumerate() {
        let conversation = desk.event(group, 0).conversation;
        let of_group = seen.iter().filter(|event| event.conversation == conversation);
        assert_eq!(of_group.map(|event| event.event_id).collect::<Vec<_>>(), *wanted);
    }
    assert!(seen.iter().all(|event| event.replays == 1));
    let mut states = desk.states().await;
    states.sort();
    let expected = [("processed", LETTERS as i64), ("waiting", 1), ("waiting", 1)];
    assert_eq!(states, expected.map(|(state, letters)| (state.to_owned(), letters)));
    let one = desk.json(&["show", "1"]).await;
    let acts: Vec<_> = one["acts"].as_array().unwrap().iter().map(|a| a["act"].as_str()).collect();
    assert_eq!(acts, [Some("replay"), Some("published"), Some("processed")]);
    assert_eq!(one["acts"][0]["actor"], "Ann");
    assert_eq!(desk.run(&["replay", "--yes"]).await.status.code(), Some(NOTHING));
}

#[tokio::test]
async fn personal_words_are_masked_unless_asked_for_and_the_asking_is_on_record() {
    let Some(desk) = Desk::open().await else { return };
    desk.bury(&desk.event(0, 42), "the sky is green").await;
    let masked = desk.run(&["show", "1"]).await;
    let masked = String::from_utf8(masked.stdout).unwrap();
    assert!(!masked.contains(WORDS) && !masked.contains("15551234567"), "{masked}");
    assert!(masked.contains("MessageReceived") && masked.contains("the sky is green"));
    let shown = desk.json(&["show", "1", "--reveal", "--as", "Ann"]).await;
    assert!(shown["envelope"].as_str().unwrap().contains("my card number is 42"));
    let act = &shown["acts"][0];
    assert_eq!((&act["act"], &act["actor"]), (&"reveal".into(), &"Ann".into()));
    assert_eq!(desk.run(&["show", "2"]).await.status.code(), Some(NOTHING));
}

#[tokio::test]
async fn what_is_discarded_is_seen_with_its_reason_and_sent_no_more() {
    let Some(desk) = Desk::open().await else { return };
    desk.bury(&desk.event(0, 1), "the sky is green").await;
    desk.bury(&desk.event(0, 2), "no route").await;
    let nameless = desk.run(&["discard", "--why", "sky", "--yes", "--reason", " "]).await;
    assert!(String::from_utf8_lossy(&nameless.stderr).contains("--reason"));
    let discard = ["discard", "--why", "SKY", "--yes", "--reason", "a test of ours", "--as", "Ann"];
    assert!(desk.run(&discard).await.status.success());
    let one = desk.json(&["show", "1"]).await;
    assert_eq!(
        (&one["state"], &one["acts"][0]["detail"]),
        (&"discarded".into(), &"a test of ours".into())
    );
    let plan = desk.run(&["replay", "--dry-run"]).await;
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(plan.contains("1 letters into orchestrator"), "{plan}");
    let wrong = desk.run(&["list", "--queue", "writers"]).await;
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("there are orchestrator, writer,"));
}

#[tokio::test]
async fn a_parked_group_is_left_out_until_it_is_released_and_both_are_on_record() {
    let Some(desk) = Desk::open().await else { return };
    for (group, number) in [(0, 1), (0, 2), (1, 3)] {
        desk.bury(&desk.event(group, number), "no route").await;
    }
    let group = desk.event(0, 0).conversation.to_string();
    let nameless = desk.run(&["park", &group]).await;
    assert!(String::from_utf8_lossy(&nameless.stderr).contains("--reason"));
    let park = ["park", &group, "--reason", "Ann looks into it", "--as", "Ann"];
    assert!(desk.run(&park).await.status.success());
    assert_eq!(desk.run(&park).await.status.code(), Some(NOTHING), "it is parked already");
    let parked = desk.json(&["park"]).await;
    assert_eq!((&parked[0]["group"], &parked[0]["waiting"]), (&group.as_str().into(), &2.into()));
    let plan = async || String::from_utf8(desk.run(&["replay", "--dry-run"]).await.stdout).unwrap();
    let planned = plan().await;
    assert!(planned.contains("1 letters of 1 groups"), "{planned}");
    assert!(planned.contains("2 letters left out: their groups are parked"), "{planned}");

    assert!(desk.run(&["release", &group, "--as", "Ben"]).await.status.success());
    assert_eq!(desk.run(&["release", &group]).await.status.code(), Some(NOTHING));
    assert!(plan().await.contains("3 letters of 2 groups"));
    let one = desk.json(&["show", "1"]).await;
    let acts: Vec<_> = one["acts"].as_array().unwrap().iter().map(|a| &a["act"]).collect();
    assert_eq!(acts, ["park", "release"]);
}

/// The bar of issue 6: 10,000 letters over 500 groups.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_letters_are_planned_and_replayed_in_order_killed_and_resumed() {
    const LETTERS: usize = 10_000;
    const GROUPS: usize = 500;
    /// As many as the archive has connections. A group stays in one, for its letters have an order.
    const LANES: usize = 6;
    let Some(desk) = Desk::open().await else { return };
    let mut wanted = vec![Vec::new(); GROUPS];
    for number in 0..LETTERS {
        wanted[number % GROUPS].push(desk.event(number % GROUPS, number).event_id);
    }
    let desk = &desk;
    let lanes = (0..LANES).map(|lane| async move {
        for number in (0..LETTERS).filter(|number| number % GROUPS % LANES == lane) {
            let event = desk.event(number % GROUPS, number);
            desk.bury(&event, "failed 5 times, at last: no route to the model").await;
        }
    });
    futures::future::join_all(lanes).await;
    let begun = std::time::Instant::now();
    let plan = desk.run(&["replay", "--dry-run"]).await;
    println!("plan: {} ms with the start of the program", begun.elapsed().as_millis());
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(plan.contains("10000 letters of 500 groups"), "{plan}");

    let (told, mut handled) = mpsc::unbounded_channel();
    let cache = Cache::connect(&desk.stores.redis_url, &desk.prefix).unwrap();
    let stop = CancellationToken::new();
    let source = Source::Shared(Queue::Orchestrator);
    let consumer = Consumer::new(desk.bus.clone(), source, Arc::new(Told(told)), Arc::new(cache));
    let running = tokio::spawn(consumer.run(stop.clone()));
    let replay = ["replay", "--rate", "500", "--yes", "--as", "Ann", "--wait-seconds", "120"];
    let begun = std::time::Instant::now();
    let mut first =
        desk.command(&replay).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut seen = Vec::new();
    while seen.len() < LETTERS / 2 {
        seen.push(handled.recv().await.unwrap());
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let second = desk.run(&replay).await;
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    println!("replayed, killed and resumed: {} s", begun.elapsed().as_secs());
    while seen.len() < LETTERS {
        seen.push(handled.recv().await.unwrap());
    }
    stop.cancel();
    running.await.unwrap();
    assert!(handled.try_recv().is_err(), "nothing is handled twice");
    for (group, wanted) in wanted.iter().enumerate() {
        let conversation = desk.event(group, 0).conversation;
        let of_group = seen.iter().filter(|event| event.conversation == conversation);
        assert_eq!(of_group.map(|event| event.event_id).collect::<Vec<_>>(), *wanted);
    }
    assert_eq!(desk.states().await, [("processed".to_owned(), LETTERS as i64)]);
}
