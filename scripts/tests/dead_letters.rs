//! `switchboardctl dlq` as an operator at night uses it: on real stores, with a consumer that counts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusSettings, Consumer, Context, DeathCause, Handler, Outcome, Queue, Source};
use cache::Cache;
use domain::{
    Channel, ConversationId, Envelope, EventId, MessageKind, MessageReceived, Ping, TenantId,
    Timestamp,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use store::dead_letters::{About, Archive, DeadLetters, Filter, Including, NewLetter, State};
use testkit::{Stores, TestDb};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const GROUPS: usize = 6;
const LETTERS: usize = 60;
const WORDS: &str = "my card number is";
const WRONG: i32 = 2;
const NOTHING: i32 = 3;
const STOPPED: i32 = 4;
const AILING: i32 = 5;

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

/// Tells every event it is given, and does nothing about it.
struct Refused(mpsc::UnboundedSender<Envelope>);

#[async_trait::async_trait]
impl Handler for Refused {
    async fn handle(&self, _: &Context, message: &Envelope) -> Outcome {
        self.0.send(message.clone()).unwrap();
        Outcome::Reject("still no route".into())
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
        self.bury_as(DeathCause::Failed, envelope, reason).await;
    }

    async fn bury_as(&self, cause: DeathCause, envelope: &Envelope, reason: &str) {
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
            error_type: cause.name(),
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
    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a replay with these arguments would do.
    async fn plan(&self, arguments: &[&str]) -> Value {
        let replay = [&["replay", "--dry-run"], arguments].concat();
        self.json(&replay).await["plan"].clone()
    }

    /// Runs a consumer until it is told to stop.
    fn consume(&self, handler: impl Handler) -> (CancellationToken, JoinHandle<()>) {
        let cache = Cache::connect(&self.stores.redis_url, &self.prefix).unwrap();
        let source = Source::Shared(Queue::Orchestrator);
        let consumer = Consumer::new(self.bus.clone(), source, Arc::new(handler), Arc::new(cache));
        let stop = CancellationToken::new();
        (stop.clone(), tokio::spawn(consumer.run(stop)))
    }

    /// How many letters there are in each state.
    async fn states(&self) -> Vec<(String, i64)> {
        let listed = self.json(&["list", "--all"]).await;
        let counts = listed["counts"].as_array().unwrap();
        let state = |count: &Value| count["state"].as_str().unwrap().to_owned();
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

    let plan = desk.plan(&[]).await;
    assert_eq!(plan["queues"], json!([{"queue": "orchestrator", "letters": 60}]));
    assert_eq!((&plan["letters"], &plan["groups"]), (&json!(60), &json!(6)));
    let left_out = json!({"expired": 1, "quarantined": 1, "undecodable": 0, "parked": 0});
    assert_eq!(plan["left_out"], left_out);
    assert_eq!(desk.states().await, [("waiting".to_owned(), 61), ("waiting".to_owned(), 1)]);
    let unasked = desk.run(&["replay"]).await;
    assert_eq!(unasked.status.code(), Some(WRONG), "nobody is there to confirm");

    let (told, mut handled) = mpsc::unbounded_channel();
    let (stop, running) = desk.consume(Told(told));
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
    assert_eq!(desk.plan(&[]).await["letters"], 1);

    let everything = ["discard", "--reason", "a test of ours", "--yes", "--json"];
    assert_eq!(desk.run(&everything).await.status.code(), Some(WRONG), "which letters?");
    assert_eq!(desk.plan(&[]).await["letters"], 1);
    let all = desk.json(&[&everything[..], &["--all"]].concat()).await;
    assert_eq!(all, json!({"letters": 1, "discarded": 1}));
    assert_eq!(desk.run(&["list"]).await.status.code(), Some(NOTHING));
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_from_what_cannot_be_done() {
    let Some(desk) = Desk::open().await else { return };
    for (wrong, right) in [
        (&["list", "--queue", "writers"][..], "there are orchestrator, writer,"),
        (&["list", "--state", "dead"], "there are waiting,"),
        (&["list", "--error-type", "sad"], "there are undecodable,"),
        (&["list", "--limit", "0"], "--limit"),
        (&["list", "--tenant", "nobody"], "no such tenant"),
        (&["park", "a group"], "--reason"),
        (&["discard", "1", "--reason", " "], "say why"),
    ] {
        let refused = desk.run(wrong).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(WRONG), "{wrong:?}: {said}");
        assert!(said.contains(right), "{wrong:?}: {said}");
    }
}

#[tokio::test]
async fn what_still_needs_somebody_is_listed_newest_first_with_its_reasons_and_ages() {
    let Some(desk) = Desk::open().await else { return };
    let owner = desk.db.owner().await;
    let sql = "INSERT INTO addresses (channel, address, tenant, mode)
        VALUES ('whatsapp', '106540352242922', $1, 'chat')";
    owner.execute(sql, &[desk.tenant.as_uuid()]).await.unwrap();
    for number in 1..=3 {
        desk.bury(&desk.event(0, number), &format!("failed {number} times, at last: no route"))
            .await;
    }
    desk.bury(&Envelope { tenant: TenantId::from_uuid(Uuid::nil()), ..desk.event(1, 4) }, "sky")
        .await;
    owner
        .batch_execute(
            "UPDATE dead_letters SET state = 'processed' WHERE number = 2;
             UPDATE dead_letters SET died_at = now() - interval '3 days' WHERE number = 1",
        )
        .await
        .unwrap();
    let numbers = |listed: &Value| -> Vec<i64> {
        let letters = listed["letters"].as_array().unwrap().iter();
        letters.map(|letter| letter["number"].as_i64().unwrap()).collect()
    };

    let open = desk.json(&["list"]).await;
    assert_eq!(numbers(&open), [4, 3, 1]);
    let reasons = json!([
        {"reason": "failed # times, at last: no route", "letters": 2},
        {"reason": "sky", "letters": 1},
    ]);
    assert_eq!(open["reasons"], reasons);
    let ages = json!([{"age": "under 1h", "letters": 2}, {"age": "1d to 7d", "letters": 1}]);
    assert_eq!(open["ages"], ages);
    assert_eq!(numbers(&desk.json(&["list", "--all"]).await), [4, 3, 2, 1]);
    assert_eq!(numbers(&desk.json(&["list", "2"]).await), [2], "what is named is shown");
    for ours in ["demo", &desk.tenant.to_string()] {
        assert_eq!(numbers(&desk.json(&["list", "--tenant", ours]).await), [3, 1]);
    }
    for option in ["--reason", "--why"] {
        assert_eq!(numbers(&desk.json(&["list", option, "no ROUTE"]).await), [3, 1]);
    }
    let cut = desk.run(&["list", "--limit", "1"]).await;
    assert_eq!(numbers(&serde_json::from_slice(&cut.stdout).unwrap()), [4]);
    assert!(String::from_utf8_lossy(&cut.stderr).contains("2 older ones"));
}

#[tokio::test]
async fn letters_are_counted_found_sent_and_given_up_by_what_they_died_of() {
    let Some(desk) = Desk::open().await else { return };
    desk.bury_as(DeathCause::Panicked, &desk.event(0, 1), "failed 5 times, at last: oh").await;
    desk.bury_as(DeathCause::Rejected, &desk.event(1, 2), "no such tenant").await;
    desk.bury_as(DeathCause::Rejected, &desk.event(2, 3), "no such agent").await;
    let listed = desk.json(&["list"]).await;
    let counts = listed["counts"].as_array().unwrap().iter();
    let counts: Vec<_> = counts.map(|count| (&count["error_type"], &count["letters"])).collect();
    assert_eq!(counts, [(&json!("panicked"), &json!(1)), (&json!("rejected"), &json!(2))]);
    let panicked = desk.json(&["list", "--error-type", "panicked"]).await;
    let letters = panicked["letters"].as_array().unwrap();
    assert_eq!((letters.len(), &letters[0]["number"]), (1, &json!(1)));
    assert_eq!(desk.json(&["show", "1"]).await["error_type"], "panicked");
    assert_eq!(desk.plan(&["--error-type", "rejected"]).await["letters"], 2);
    let discard = ["discard", "--error-type", "rejected", "--yes", "--reason", "they left"];
    assert_eq!(desk.json(&discard).await, json!({"letters": 2, "discarded": 2}));
    let replay = ["replay", "--error-type", "panicked", "--yes", "--wait-seconds", "0"];
    assert_eq!(desk.json(&replay).await["outcome"]["sent"], 1);
    let mut states = desk.states().await;
    states.sort();
    assert_eq!(states, [("discarded".to_owned(), 2), ("published".to_owned(), 1)]);
}

#[tokio::test]
async fn a_letter_that_dies_again_is_left_to_the_next_replay_and_scripts_learn_of_it() {
    let Some(desk) = Desk::open().await else { return };
    desk.bury(&desk.event(0, 1), "no route").await;
    desk.bury(&desk.event(1, 2), "no route").await;
    let (told, mut given) = mpsc::unbounded_channel();
    let (stop, running) = desk.consume(Refused(told));
    // The first dies again a second before the last would be sent.
    let replay = ["replay", "--rate", "1", "--yes", "--wait-seconds", "60"];
    let dying = async {
        while let Some(event) = given.recv().await {
            desk.bury(&event, "still no route").await;
        }
    };
    let replayed = tokio::select! {
        replayed = desk.run(&replay) => replayed,
        () = dying => panic!("the consumer has ended"),
    };
    stop.cancel();
    running.await.unwrap();
    assert_eq!(replayed.status.code(), Some(AILING));
    let told: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!(told["plan"]["letters"], 2);
    assert_eq!(told["outcome"], json!({"sent": 2, "stopped": false, "states": {"failed": 2}}));
    let states = [("failed".to_owned(), 2), ("waiting".to_owned(), 2)];
    assert_eq!(desk.states().await, states);
}

#[tokio::test]
async fn what_is_left_out_is_sent_when_it_is_asked_for_and_who_has_moved_on_is_named() {
    let Some(desk) = Desk::open().await else { return };
    let talk = desk.event(0, 1);
    desk.bury(&talk, "no route").await;
    desk.bury(&Envelope { replays: 3, ..desk.event(1, 2) }, "no route").await;
    let soon = Timestamp::now().plus(Duration::from_secs(60));
    desk.bury(&desk.event(2, 3).expiring_at(soon), "no route").await;
    let (tenant, conversation) = (desk.tenant.as_uuid(), talk.conversation.as_uuid());
    let owner = desk.db.owner().await;
    for sql in [
        "INSERT INTO conversations (tenant, id, channel, started_at, last_active_at)
            VALUES ($1, $2, 'whatsapp', now(), now())",
        "INSERT INTO messages (tenant, id, conversation, channel, role, position, kind, occurred_at)
            VALUES ($1, $2, $2, 'whatsapp', 'user', 1, 'text', now() + interval '1 minute')",
    ] {
        owner.execute(sql, &[tenant, conversation]).await.unwrap();
    }
    let plan = desk.plan(&[]).await;
    assert_eq!((&plan["letters"], &plan["moved_on"]), (&json!(1), &json!([conversation])));
    assert_eq!(
        (&plan["left_out"]["quarantined"], &plan["left_out"]["expired"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(desk.plan(&["--quarantined"]).await["letters"], 2);
    assert_eq!(desk.plan(&["--expired"]).await["letters"], 2);

    let (told, mut handled) = mpsc::unbounded_channel();
    let (stop, running) = desk.consume(Told(told));
    let replay =
        ["replay", "--quarantined", "--expired", "--yes", "--wait-seconds", "60", "--as", "Ann"];
    let outcome = desk.json(&replay).await["outcome"].clone();
    assert_eq!(outcome, json!({"sent": 3, "stopped": false, "states": {"processed": 3}}));
    stop.cancel();
    running.await.unwrap();
    let mut replays = Vec::new();
    while let Ok(event) = handled.try_recv() {
        replays.push(event.replays);
    }
    replays.sort();
    assert_eq!(replays, [1, 1, 4]);
}

#[tokio::test]
async fn a_replay_is_stopped_while_it_waits_and_its_letters_are_seen_without_redis() {
    let Some(desk) = Desk::open().await else { return };
    desk.bury(&desk.event(0, 1), "no route").await;
    let replay = ["replay", "--yes", "--wait-seconds", "600"];
    let replay =
        desk.command(&replay).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    while desk.states().await != [("published".to_owned(), 1)] {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kill_process(Pid::from_child(&replay), Signal::INT).unwrap();
    let stopped = tokio::task::spawn_blocking(move || replay.wait_with_output().unwrap()).await;
    let stopped = stopped.unwrap();
    assert_eq!(stopped.status.code(), Some(STOPPED));
    let told: Value = serde_json::from_slice(&stopped.stdout).unwrap();
    assert_eq!(told["outcome"], json!({"sent": 1, "stopped": true, "states": {"published": 1}}));

    for (seen, code) in [(&["list"][..], 0), (&["show", "1"], 0), (&["replay", "--yes"], 1)] {
        let mut command = desk.command(seen);
        command.env("REDIS_URL", "redis://127.0.0.1:9");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{seen:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Redis"), "{seen:?}");
    }
}

#[tokio::test]
async fn what_somebody_else_has_moved_on_meanwhile_stays_as_it_is() {
    let Some(desk) = Desk::open().await else { return };
    desk.bury(&desk.event(0, 1), "no route").await;
    let keys = testkit::key_ring().await.unwrap();
    let mut letters = DeadLetters::open(&desk.db.url(), keys).await.unwrap();
    let (all, usual) = (Filter::default(), Including::default());
    assert_eq!(letters.begin(&all, usual, 0, 10, "Ann").await.unwrap().len(), 1);
    let sent = (&[State::Pending][..], State::Published);
    assert_eq!(letters.set(&[1], sent, ("published", "Ann", "")).await.unwrap(), 1);
    // Ben found it waiting.
    let given_up = (&[State::Waiting][..], State::Discarded);
    assert_eq!(letters.set(&[1], given_up, ("discard", "Ben", "a test")).await.unwrap(), 0);
    assert_eq!(desk.states().await, [("published".to_owned(), 1)]);

    desk.bury(&desk.event(1, 2), "no route").await;
    assert_eq!(letters.set(&[2], given_up, ("discard", "Ben", "a test")).await.unwrap(), 1);
    assert!(letters.begin(&all, usual, 0, 10, "Ann").await.unwrap().is_empty());
    let acts = desk.json(&["show", "2"]).await["acts"].as_array().unwrap().len();
    assert_eq!(acts, 1, "nothing is on record that did not happen");
}

#[tokio::test]
async fn a_reader_who_leaves_stops_no_replay_and_is_no_fault() {
    let Some(desk) = Desk::open().await else { return };
    for number in 0..3 {
        desk.bury(&desk.event(number, number), "no route").await;
    }
    let unread = || std::io::pipe().unwrap().1;
    let mut command = desk.command(&["list"]);
    command.stdout(unread());
    let listed = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!((listed.status.code(), &listed.stderr[..]), (Some(0), &b""[..]));
    let mut command = desk.command(&["replay", "--yes", "--wait-seconds", "0"]);
    command.stdout(unread()).stderr(unread());
    let replayed = tokio::task::spawn_blocking(move || command.status().unwrap()).await.unwrap();
    assert_eq!(replayed.code(), Some(0));
    assert_eq!(desk.states().await, [("published".to_owned(), 3)]);
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
    let parked = desk.json(&park).await;
    assert_eq!(parked, json!({"group": group, "changed": true, "letters": 2}));
    assert_eq!(desk.run(&park).await.status.code(), Some(NOTHING), "it is parked already");
    let unknown = desk.run(&["park", "nobody", "--reason", "a slip of the pen"]).await;
    assert_eq!(unknown.status.code(), Some(NOTHING), "no letter has this group");
    let parked = desk.json(&["park"]).await;
    assert_eq!(parked.as_array().unwrap().len(), 1);
    assert_eq!((&parked[0]["group"], &parked[0]["waiting"]), (&group.as_str().into(), &2.into()));
    let plan = desk.plan(&[]).await;
    assert_eq!((&plan["letters"], &plan["left_out"]["parked"]), (&json!(1), &json!(2)));

    let released = desk.json(&["release", &group, "--as", "Ben"]).await;
    assert_eq!(released, json!({"group": group, "changed": true, "letters": 2}));
    assert_eq!(desk.run(&["release", &group]).await.status.code(), Some(NOTHING));
    let plan = desk.plan(&[]).await;
    assert_eq!((&plan["letters"], &plan["groups"]), (&json!(3), &json!(2)));
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
    let plan = desk.plan(&[]).await;
    println!("plan: {} ms with the start of the program", begun.elapsed().as_millis());
    assert_eq!((&plan["letters"], &plan["groups"]), (&json!(LETTERS), &json!(GROUPS)));

    let (told, mut handled) = mpsc::unbounded_channel();
    let (stop, running) = desk.consume(Told(told));
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
