//! From the topic to the rows, through the queue.

use std::{sync::Arc, time::Duration};

use bus::{Bus, BusSettings, Consumer, Queue, Source, Topology};
use cache::Cache;
use domain::{
    Dependency as _, Envelope, EscalationRequested, Payload, TraceRequested, Turn, TurnTimed,
};
use store::{effects, escalations};
use testkit::TestDb;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use writer::{Batches, handlers::Recorder, traces::Traces};

use crate::events;

/// The queues of one test, and two tasks that write from them.
struct Writers {
    bus: Bus,
    s3: aws_sdk_s3::Client,
    /// Where traces go; it is not there before a test makes it.
    bucket: String,
    stop: CancellationToken,
    tasks: tokio::task::JoinSet<()>,
}

impl Writers {
    async fn start(db: &TestDb, redis_url: &str) -> Self {
        let aws = boot::aws_config().await;
        let (sqs, sns) = (aws_sdk_sqs::Client::new(&aws), aws_sdk_sns::Client::new(&aws));
        let prefix = testkit::unique_prefix();
        Topology::new(&prefix, false).provision(&sqs, &sns).await.unwrap();
        let long_poll = Duration::from_secs(1);
        let bus = Bus::new(&aws, BusSettings { long_poll, ..BusSettings::new(&prefix, "unused") });
        let s3 = aws_sdk_s3::config::Builder::from(&aws).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(s3);
        let stop = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let store = db.store().await;
            let consumer = Consumer::new(
                bus.clone(),
                Source::Shared(Queue::Writer),
                Arc::new(Recorder::new(
                    Batches::start(store.clone(), 4),
                    Traces::new(s3.clone(), prefix.clone(), store.clone()),
                )),
                Arc::new(Cache::connect(redis_url, &prefix).unwrap()),
            );
            tasks.spawn(consumer.depends_on(Arc::new(store)).run(stop.clone()));
        }
        Self { bus, s3, bucket: prefix, stop, tasks }
    }

    /// Makes the bucket that traces go to.
    async fn make_bucket(&self) {
        testkit::make_bucket(&self.bucket).await.unwrap();
    }

    /// The file in a folder of it, once there is one: its key and what it says.
    async fn file_in(&self, folder: &str) -> (String, String) {
        let key = loop {
            let found = self.s3.list_objects_v2().bucket(&self.bucket).prefix(folder).send();
            if let Some(file) = found.await.unwrap().contents().first() {
                break file.key().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let file = self.s3.get_object().bucket(&self.bucket).key(&key).send().await.unwrap();
        let file = file.body.collect().await.unwrap().to_vec();
        (key, String::from_utf8(file).unwrap())
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}

async fn count(owner: &Client, table: &str) -> i64 {
    owner.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

async fn until_claimed(owner: &Client, events: usize) {
    while count(owner, "claims").await < i64::try_from(events).unwrap() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_published_twice_is_recorded_once_by_two_tasks() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let writers = Writers::start(&db, &stores.redis_url).await;
    let mut wanted = 0;
    for n in 0..8 {
        let call = events::call(tenant, n);
        writers.bus.publish(&call).await.unwrap();
        // Past the broker's own memory of what it has seen.
        let again: Vec<_> = call.iter().map(|e| Envelope { replays: 1, ..e.clone() }).collect();
        writers.bus.publish(&again).await.unwrap();
        wanted += call.len();
    }
    let owner = db.owner().await;
    until_claimed(&owner, wanted).await;
    writers.stop().await;

    for (table, rows) in [("call_logs", 8), ("messages", 40), ("turn_timings", 8), ("users", 1)] {
        assert_eq!(count(&owner, table).await, rows, "{table}");
    }
}

#[tokio::test]
async fn what_happens_while_the_database_is_away_is_recorded_when_it_is_back() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let writers = Writers::start(&db, &stores.redis_url).await;
    let before = events::call(tenant, 0);
    writers.bus.publish(&before).await.unwrap();
    until_claimed(&db.owner().await, before.len()).await;

    db.cut_off().await;
    let meanwhile = events::call(tenant, 1);
    writers.bus.publish(&meanwhile).await.unwrap();
    let probe = db.store().await;
    assert!(!probe.is_up().await);
    db.restore().await;

    let owner = db.owner().await;
    until_claimed(&owner, before.len() + meanwhile.len()).await;
    writers.stop().await;
    assert_eq!(count(&owner, "messages").await, 10);
}

#[tokio::test]
async fn a_call_that_is_over_is_written_to_s3_as_one_file() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let writers = Writers::start(&db, &stores.redis_url).await;
    writers.make_bucket().await;

    let call = events::call(tenant, 1);
    writers.bus.publish(&call).await.unwrap();
    until_claimed(&db.owner().await, call.len()).await;
    // A minute after its end the trace is due, of every tenant that has an address.
    let sql = "INSERT INTO addresses (channel, address, tenant, mode)
        VALUES ('voice', '+15550100001', $1, 'media_stream')";
    db.owner().await.execute(sql, &[tenant.as_uuid()]).await.unwrap();
    let store = db.store().await;
    let ended = call.iter().map(|e| e.occurred_at).max().unwrap();
    let later = ended.plus(Duration::from_secs(61));
    assert_eq!(writer::due::deliver_once(&store, &writers.bus, later).await.unwrap(), 1);

    let folder = format!("conversation-traces/{tenant}/");
    let (key, file) = writers.file_in(&folder).await;
    assert!(key.ends_with(&format!("/{}.json", call[0].conversation)), "{key}");
    let trace: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert_eq!(trace["call"], events::call_sid(1).as_str());
    assert_eq!(trace["messages"].as_array().unwrap().len(), 5);
    assert_eq!(trace["turns"][0]["stages"].as_array().unwrap().len(), 2);
    assert!(!file.contains(events::CALLER), "no number is in it");
    writers.stop().await;
}

#[tokio::test]
async fn a_chat_in_which_only_we_wrote_is_written_to_s3_as_well() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let writers = Writers::start(&db, &stores.redis_url).await;
    writers.make_bucket().await;
    let reminder = events::chat(tenant, 1).remove(1);
    writers.bus.publish(std::slice::from_ref(&reminder)).await.unwrap();
    until_claimed(&db.owner().await, 1).await;
    let sql = "INSERT INTO addresses (channel, address, tenant, mode)
        VALUES ('whatsapp', '106540352242922', $1, 'chat')";
    db.owner().await.execute(sql, &[tenant.as_uuid()]).await.unwrap();
    let later = reminder.occurred_at.plus(Duration::from_secs(31 * 60));
    let store = db.store().await;
    assert_eq!(writer::due::deliver_once(&store, &writers.bus, later).await.unwrap(), 1);
    let (key, file) = writers.file_in(&format!("conversation-traces/{tenant}/")).await;
    assert!(key.ends_with(&format!("/{}.json", reminder.conversation)), "{key}");
    let trace: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert_eq!(trace["messages"][0]["text"], "Until five.");
    writers.stop().await;
}

#[tokio::test]
async fn a_trace_that_was_asked_for_tells_what_tools_did_and_where_to_look_further() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let writers = Writers::start(&db, &stores.redis_url).await;
    writers.make_bucket().await;
    let (mut chat, trace_id) = (events::chat(tenant, 1), "0af7651916cd43dd8448eb211c80319c");
    let mut timed = chat[1].follow("timed", chat[1].occurred_at, TurnTimed { attempt: 1 });
    timed.traceparent = Some(format!("00-{trace_id}-b7ad6b7169203331-01"));
    chat.push(timed);
    let human = EscalationRequested { reason: "asked".into(), summary: "An invoice".into() };
    let human = chat[1].follow("human", chat[1].occurred_at, human);
    writers.bus.publish(&chat).await.unwrap();
    until_claimed(&db.owner().await, chat.len()).await;
    let store = db.store().await;
    let tx = store.tenant(tenant).await.unwrap();
    let (conversation, booked) = (chat[0].conversation, r#"{"booked":{"id":"7"}}"#.into());
    assert!(effects::record(&tx, conversation, Turn(1), "book:0", &booked).await.unwrap());
    let Payload::EscalationRequested(wanted) = &human.payload else { unreachable!() };
    assert!(escalations::open(&tx, &human, wanted).await.unwrap());
    tx.commit().await.unwrap();

    let asked = TraceRequested { reason: TraceRequested::ASKED.to_owned() };
    let asked = chat[0].follow("asked", chat[1].occurred_at, asked);
    writers.bus.publish(std::slice::from_ref(&asked)).await.unwrap();
    let (key, file) = writers.file_in(&format!("debug-exports/{tenant}/")).await;
    assert!(key.ends_with(&format!("/{}.json", asked.event_id)), "{key}");
    let trace: serde_json::Value = serde_json::from_str(&file).unwrap();
    let (question, answer) = (&trace["messages"][0], &trace["messages"][1]);
    assert_eq!(question["external_id"], "wamid.in.1");
    assert_eq!((&question["kind"], &answer["in_reply_to"]), (&"text".into(), &"wamid.in.1".into()));
    assert_eq!(answer["delivery"]["status"], "read");
    assert_eq!(trace["turns"][0]["trace_id"], trace_id);
    assert_eq!(trace["tools"][0]["call"], "book:0");
    assert_eq!(trace["tools"][0]["result"]["booked"]["id"], "7");
    assert_eq!(trace["escalations"][0]["summary"], "An invoice");
    assert_eq!(trace["escalations"][0]["status"], "open");

    // A tenant whose texts are encrypted wants them nowhere in clear.
    let sql = "UPDATE tenants SET encrypt_text = true WHERE id = $1";
    db.owner().await.execute(sql, &[tenant.as_uuid()]).await.unwrap();
    let again = TraceRequested { reason: TraceRequested::ASKED.to_owned() };
    let again = Envelope {
        occurred_at: asked.occurred_at.plus(Duration::from_secs(2 * 86_400)),
        ..chat[0].follow("again", asked.occurred_at, again)
    };
    let Payload::TraceRequested(wanted) = &again.payload else { unreachable!() };
    let folder = wanted.key(&again, again.occurred_at);
    writers.bus.publish(std::slice::from_ref(&again)).await.unwrap();
    let (_, file) = writers.file_in(&folder).await;
    for secret in ["Until five.", "An invoice", "booked"] {
        assert!(!file.contains(secret), "{secret}: {file}");
    }
    writers.stop().await;
}
