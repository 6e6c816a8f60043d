//! `switchboardctl status|calls|trace|tail|tenants|agents` as an operator and as a script use them, on real stores.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bus::{Bus, BusSettings};
use cache::{Cache, Record};
use domain::{
    CallSid, CallStarted, Channel, ConversationId, Envelope, EventId, Stage, Timestamp, Turn,
    TurnTimed,
};
use serde_json::{Value, json};
use store::seed::DEMO;
use testkit::{Stores, TestDb};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

const FAILED: i32 = 1;
const WRONG: i32 = 2;
const NOTHING: i32 = 3;
const AILING: i32 = 5;
const WORDS: &str = "my card number is";
const OURS: &str = "+15550100001";

struct Scene {
    db: TestDb,
    stores: Stores,
    prefix: String,
    cache: Cache,
}

impl Scene {
    async fn open() -> Option<Self> {
        let stores = testkit::require_stores()?;
        let db = TestDb::create().await?;
        store::seed::demo(&db.url()).await.unwrap();
        testkit::key_ring().await.unwrap();
        let prefix = testkit::unique_prefix();
        let cache = Cache::connect(&stores.redis_url, &prefix).unwrap();
        Some(Self { db, stores, prefix, cache })
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, &[]).await
    }

    async fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboardctl"));
        command
            .args(arguments)
            .env("DATABASE_URL", self.db.url())
            .env("REDIS_URL", &self.stores.redis_url)
            .env("SB_QUEUE_PREFIX", &self.prefix)
            .env("SB_S3_BUCKET", &self.prefix)
            .env("SB_KMS_KEY", testkit::KMS_KEY)
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// What it prints when all goes well.
    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A call that a task holds, in its third turn.
    async fn live_call(&self, queue: &str) -> CallSid {
        let call = CallSid::parse(&format!("CA{}", Uuid::new_v4().simple())).unwrap();
        let began = Timestamp::now();
        self.cache.renew_edge_lease(queue, Duration::from_secs(60)).await.unwrap();
        self.cache.attach_call(&call, 0, "holder:1", queue, began).await.unwrap();
        self.cache.add_call_of_edge(queue, &call).await.unwrap();
        self.cache.note_turn(&call, "holder:1", Turn(3), "event").await.unwrap();
        call
    }

    /// Keeps a call and the times of one turn, as the writer does.
    async fn keep_turn(&self, call: &CallSid) -> ConversationId {
        let conversation = ConversationId::of_call(DEMO, call);
        let now = Timestamp::now();
        let at = |ms| now.plus(Duration::from_millis(ms));
        let envelope = |payload: domain::Payload| {
            Envelope::new(EventId::random(), DEMO, conversation, Channel::VOICE, now, payload)
        };
        let store = self.db.store().await;
        let tx = store.tenant(DEMO).await.unwrap();
        let started = CallStarted {
            call: call.clone(),
            from: "+15551234567".into(),
            to: OURS.into(),
            greeting: "Hello".into(),
        };
        let of = envelope(started.clone().into());
        store::conversations::note(&tx, &of, Some(OURS), None).await.unwrap();
        store::calls::started(&tx, &of, &started).await.unwrap();
        let mut timed = envelope(TurnTimed { attempt: 7 }.into()).with_turn(Turn(3));
        timed.stamp(Stage::TURN_ENDED, at(0));
        timed.stamp(Stage::ORCHESTRATOR_STARTED, at(4));
        timed.stamp(Stage::FIRST_AUDIO_OUT, at(16));
        store::turn_timings::note(&tx, &timed, &TurnTimed { attempt: 7 }).await.unwrap();
        tx.commit().await.unwrap();
        conversation
    }
}

#[tokio::test]
async fn live_calls_are_shown_with_the_task_that_holds_them() {
    let Some(scene) = Scene::open().await else { return };
    assert_eq!(scene.run(&["calls"]).await.status.code(), Some(NOTHING));
    let queue = format!("{}-edge-edge-1-0a1b2c3d.fifo", scene.prefix);
    let call = scene.live_call(&queue).await;
    let calls = scene.json(&["calls"]).await;
    let [shown] = &calls.as_array().unwrap()[..] else { panic!("{calls}") };
    assert_eq!(
        (&shown["call"], &shown["task"], &shown["phase"], &shown["turn"]),
        (&json!(call.as_str()), &json!("edge-1"), &json!("live"), &json!(3))
    );
    scene.cache.end_call(&call, Some("holder:1")).await.unwrap();
    assert_eq!(scene.run(&["calls"]).await.status.code(), Some(NOTHING));
}

#[tokio::test]
async fn a_task_is_asked_to_hand_over_unless_it_is_the_last_or_not_there() {
    let Some(scene) = Scene::open().await else { return };
    let queue = |task: &str| format!("{}-edge-{task}-0a1b2c3d.fifo", scene.prefix);
    let lease = Duration::from_secs(60);
    scene.cache.renew_edge_lease(&queue("edge-1"), lease).await.unwrap();
    let alone = scene.run(&["calls", "drain", "edge-1"]).await;
    assert_eq!(alone.status.code(), Some(FAILED));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("--yes"));
    assert!(!scene.cache.edge_is_asked_to_stop(&queue("edge-1")).await.unwrap());

    scene.cache.renew_edge_lease(&queue("edge-2"), lease).await.unwrap();
    let unknown = scene.run(&["calls", "drain", "edge-9"]).await;
    assert_eq!(unknown.status.code(), Some(NOTHING));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("edge-1, edge-2"));
    let drain = scene.run(&["calls", "drain", "edge-1", "--wait-seconds", "60"]);
    let ends = async {
        while !scene.cache.edge_is_asked_to_stop(&queue("edge-1")).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        scene.cache.end_edge_lease(&queue("edge-1")).await.unwrap();
    };
    let (drained, ()) = tokio::join!(drain, ends);
    assert_eq!(drained.status.code(), Some(0), "{}", String::from_utf8_lossy(&drained.stderr));
    assert!(!scene.cache.edge_is_asked_to_stop(&queue("edge-2")).await.unwrap());
}

#[tokio::test]
async fn a_turn_is_traced_through_its_hops_by_call_conversation_or_number() {
    let Some(scene) = Scene::open().await else { return };
    let queue = format!("{}-edge-edge-1-0a1b2c3d.fifo", scene.prefix);
    let call = scene.live_call(&queue).await;
    let conversation = scene.keep_turn(&call).await;
    let ledger = scene.cache.begin_turn(conversation, Turn(3)).await.unwrap();
    let said = [Record::Sentence(0, WORDS)];
    scene.cache.record(conversation, Turn(3), ledger.attempt, &said).await.unwrap();
    let (of_call, of_chat) = (call.as_str().to_owned(), conversation.to_string());
    for what in [of_call.clone(), of_chat, format!("{of_call}:3")] {
        let traced = scene.json(&["trace", &what]).await;
        assert_eq!(traced["tenant"], "demo");
        assert_eq!(traced["live"]["phase"], "live");
        let [turn] = &traced["turns"].as_array().unwrap()[..] else { panic!("{traced}") };
        let stages: Vec<_> = turn["stages"].as_array().unwrap().iter().collect();
        let names: Vec<_> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
        assert_eq!(names, ["turn_ended", "orchestrator_started", "first_audio_out"]);
        assert_eq!((&turn["turn"], &turn["total_ms"]), (&json!(3), &json!(16.0)));
        assert_eq!(stages[1]["after_ms"], 4.0);
        assert_eq!((&turn["ledger"]["sentences"]), (&json!(1)));
        assert!(!traced.to_string().contains(WORDS), "no words of anybody: {traced}");
    }
    let unknown = scene.run(&["trace", &format!("{of_call}:9")]).await;
    assert_eq!(unknown.status.code(), Some(NOTHING));
    assert_eq!(scene.run(&["trace", "somebody"]).await.status.code(), Some(WRONG));
}

#[tokio::test]
async fn while_the_database_is_away_what_redis_has_is_shown_and_what_is_missing_is_said() {
    let Some(scene) = Scene::open().await else { return };
    let call = scene.live_call(&format!("{}-edge-edge-1-0a1b2c3d.fifo", scene.prefix)).await;
    let conversation = ConversationId::of_call(DEMO, &call);
    let ledger = scene.cache.begin_turn(conversation, Turn(3)).await.unwrap();
    let said = [Record::Sentence(0, WORDS)];
    scene.cache.record(conversation, Turn(3), ledger.attempt, &said).await.unwrap();
    scene.cache.add_live(DEMO, &json!({"kind": "call_started"}).to_string()).await.unwrap();
    scene.db.cut_off().await;
    let (call, chat) = (call.as_str(), format!("{conversation}:3"));
    let (demo, other) = (DEMO.to_string(), format!("CA{}", Uuid::new_v4().simple()));

    let traced = scene.json(&["trace", call, "--tenant", &demo]).await;
    assert_eq!((&traced["live"]["phase"], &traced["live"]["turn"]), (&json!("live"), &json!(3)));
    assert_eq!(traced["turns"][0]["ledger"]["sentences"], 1);
    assert!(traced["gaps"][0].as_str().unwrap().contains("the history"), "{traced}");
    let traced = scene.json(&["trace", &chat]).await;
    assert_eq!((&traced["tenant"], &traced["turns"][0]["turn"]), (&Value::Null, &json!(3)));
    let unknown = scene.run(&["trace", &other]).await;
    assert_eq!(unknown.status.code(), Some(FAILED), "the history may know it");

    let told = scene.run(&["tail", "--no-follow", "--tenant", &demo]).await;
    assert!(String::from_utf8_lossy(&told.stdout).contains("call_started"));
    let by_name = scene.run(&["tail", "--no-follow", "--tenant", "demo"]).await;
    assert_eq!(by_name.status.code(), Some(FAILED));
    let status = scene.run(&["status", "--quiet", "--targets", "127.0.0.1:9"]).await;
    assert_eq!(status.status.code(), Some(AILING));
    let ailments = String::from_utf8(status.stdout).unwrap();
    assert!(ailments.contains("dead letters cannot be counted: "), "{ailments}");
    scene.db.restore().await;
}

/// The same database with a login that is refused.
fn with_another_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, host) = rest.rsplit_once('@').unwrap();
    format!("{scheme}://nobody:wrong@{host}")
}

#[tokio::test]
async fn the_stores_are_found_by_secrets_manager_also_while_a_password_is_rotated() {
    let Some(scene) = Scene::open().await else { return };
    let prefix = scene.prefix.as_str();
    let unset = [("DATABASE_URL", ""), ("REDIS_URL", ""), ("SB_SECRETS_PREFIX", prefix)];
    let nowhere = scene.run_with(&["tenants"], &unset).await;
    assert_eq!(nowhere.status.code(), Some(FAILED));
    let said = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    for named in ["DATABASE_URL", "environment", "Secrets Manager"] {
        assert!(said.contains(named), "{said}");
    }

    let secrets = aws_sdk_secretsmanager::Client::new(&boot::aws_config().await);
    let (database, redis) = (scene.db.url(), scene.stores.redis_url.as_str());
    for (name, value) in [("DATABASE_URL", database.as_str()), ("REDIS_URL", redis)] {
        let id = vault::secret_id(prefix, name);
        secrets.create_secret().name(id).secret_string(value).send().await.unwrap();
    }
    for (command, code) in
        [(&["tenants"][..], 0), (&["calls"], NOTHING), (&["dlq", "list"], NOTHING)]
    {
        let found = scene.run_with(command, &unset).await;
        let said = String::from_utf8_lossy(&found.stderr).into_owned();
        assert_eq!(found.status.code(), Some(code), "{command:?}: {said}");
    }

    let id = vault::secret_id(prefix, "DATABASE_URL");
    let next = with_another_login(&database);
    secrets.put_secret_value().secret_id(id).secret_string(next).send().await.unwrap();
    for (command, code) in [(&["tenants"][..], 0), (&["dlq", "list"], NOTHING)] {
        let found = scene.run_with(command, &unset).await;
        let said = String::from_utf8_lossy(&found.stderr).into_owned();
        assert_eq!(found.status.code(), Some(code), "{command:?}: {said}");
        assert!(!said.contains("wrong"), "{said}");
    }
}

#[tokio::test]
async fn events_are_told_masked_and_whole_only_on_record() {
    let Some(scene) = Scene::open().await else { return };
    let event = |n: u32| {
        json!({"kind": "message_received", "conversation": Uuid::nil(), "channel": "whatsapp",
            "turn": n, "at": "2026-11-28T09:30:00Z", "data": {"text": WORDS}})
    };
    assert_eq!(scene.run(&["tail", "--no-follow"]).await.status.code(), Some(NOTHING));
    for n in 1..=2 {
        scene.cache.add_live(DEMO, &event(n).to_string()).await.unwrap();
    }
    let told = scene.run(&["tail", "--no-follow", "--tenant", "demo"]).await;
    let told = String::from_utf8(told.stdout).unwrap();
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines.iter().map(|l| l["event"]["turn"].as_u64()).collect::<Vec<_>>(),
        [Some(1), Some(2)]
    );
    assert!(!told.contains(WORDS), "{told}");

    let reveal = ["tail", "--since", "10m", "--count", "1", "--reveal", "--as", "ann"];
    let told = scene.run(&reveal).await;
    assert!(String::from_utf8_lossy(&told.stdout).contains(WORDS));
    let store = scene.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let acts = store::audit::page(&tx, None, 10).await.unwrap();
    let revealed = acts.iter().find(|act| act.action == "live_events.reveal").unwrap();
    assert_eq!(revealed.actor, "operator:ann");
    for asked in [["tail", "--tenant", "nobody"], ["agents", "--tenant", "nobody"]] {
        let unknown = scene.run(&asked).await;
        assert_eq!(unknown.status.code(), Some(WRONG));
        assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are demo"));
    }
}

#[tokio::test]
async fn tenants_and_their_agents_are_shown_and_a_bad_setting_is_told() {
    let Some(scene) = Scene::open().await else { return };
    let tenants = scene.json(&["tenants"]).await;
    assert_eq!((&tenants[0]["slug"], &tenants[0]["fault"]), (&json!("demo"), &Value::Null));
    assert!(tenants[0]["addresses"].to_string().contains(OURS));
    let agents = scene.run(&["agents", "--tenant", "demo"]).await;
    assert!(matches!(agents.status.code(), Some(0 | NOTHING)));
    let owner = scene.db.owner().await;
    owner
        .batch_execute(
            "UPDATE tenants SET settings = settings || '{\"voise\": 1}' WHERE slug = 'demo'",
        )
        .await
        .unwrap();
    let wrong = scene.run(&["tenants"]).await;
    assert_eq!(wrong.status.code(), Some(AILING));
    let told: Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!(told[0]["slug"], "demo");
    assert!(told[0]["fault"].as_str().unwrap().contains("voise"));
    let agents = scene.run(&["agents", "--tenant", "demo"]).await;
    assert!(matches!(agents.status.code(), Some(0 | NOTHING)), "its name is still its name");
}

#[tokio::test]
async fn a_document_is_put_listed_and_removed_and_each_change_is_on_record() {
    let Some(scene) = Scene::open().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.txt");
    std::fs::write(&file, "A visit is 40 dollars.\n\nChildren pay half.").unwrap();
    let file = file.to_str().unwrap();
    let put =
        ["knowledge", "put", file, "--tenant", "demo", "--title", "Our prices", "--as", "ann"];
    let said = scene.run(&put).await;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let again = scene.run(&put).await;
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("unchanged"));

    let listed = scene.json(&["knowledge", "list", "--tenant", "demo"]).await;
    let documents = listed.as_array().unwrap();
    let ours = documents.iter().find(|d| d["title"] == "Our prices").unwrap();
    assert_eq!((&ours["pieces"], &ours["source"]), (&json!(2), &json!("Our prices")));
    let id = ours["id"].as_str().unwrap();
    let remove = ["knowledge", "remove", id, "--tenant", "demo", "--as", "ann"];
    assert!(scene.run(&remove).await.status.success());
    assert_eq!(scene.run(&remove).await.status.code(), Some(NOTHING));

    let sql =
        "SELECT action FROM audit_log WHERE actor = 'operator:ann' AND subject = $1 ORDER BY at";
    let rows = scene.db.owner().await.query(sql, &[&id]).await.unwrap();
    let actions: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(actions, ["knowledge.put", "knowledge.remove"]);
}

/// A task's operators' port, which answers with this health and these metrics.
async fn ops(health: (u16, &'static str), metrics: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut asked = [0; 2048];
                let length = stream.read(&mut asked).await.unwrap();
                let is_health = String::from_utf8_lossy(&asked[..length]).contains(" /health ");
                let (status, body) = if is_health { health } else { (200, metrics) };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    address
}

#[tokio::test]
async fn the_status_says_what_is_not_well_and_ends_so_that_a_script_knows() {
    let Some(scene) = Scene::open().await else { return };
    let long_poll = Duration::from_secs(1);
    let settings = BusSettings { long_poll, ..BusSettings::new(&scene.prefix, &scene.prefix) };
    Bus::new(&boot::aws_config().await, settings).provision().await.unwrap();
    let well = (200, r#"{"status":"ready","dependencies":{"redis":"up"}}"#);
    let edge = ops(
        well,
        "target_info{service_name=\"edge\",service_instance_id=\"edge-1\"} 1\nedge_live_calls 2\n",
    )
    .await;
    let voice = "target_info{service_name=\"voice\",service_instance_id=\"voice-1\"} 1\n";
    let targets = [edge.as_str(), &ops(well, voice).await].join(",");
    let status = scene.run_with(&["status"], &[("SB_OPS_TARGETS", &targets)]).await;
    assert_eq!(status.status.code(), Some(0), "{}", String::from_utf8_lossy(&status.stderr));
    let told: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        (&told["tasks"][0]["task"], &told["tasks"][0]["live_calls"]),
        (&json!("edge-1"), &json!(2.0))
    );
    assert_eq!(told["queues"].as_array().unwrap().len(), bus::Queue::ALL.len());
    assert_eq!((&told["ailments"], &told["dead_letters_waiting"]), (&json!([]), &json!(0)));

    let ill = (503, r#"{"status":"not ready","dependencies":{"postgres":"down","redis":"up"}}"#);
    let writer =
        ops(ill, "target_info{service_name=\"writer\",service_instance_id=\"writer-1\"} 1\n").await;
    let all = [targets.as_str(), &writer, "127.0.0.1:9"].join(",");
    let status = scene.run_with(&["status", "--quiet"], &[("SB_OPS_TARGETS", &all)]).await;
    assert_eq!(status.status.code(), Some(AILING));
    let told = String::from_utf8(status.stdout).unwrap();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["127.0.0.1:9 does not answer", "writer-1 is not ready: postgres"]
    );
}

#[tokio::test]
async fn help_has_examples_and_shells_can_complete() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_switchboardctl")).args(arguments).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let one_word = ["status", "calls", "trace", "tail", "tenants", "agents", "dlq", "replay"];
    let two_words = ["dlq list", "dlq show", "dlq replay", "dlq park", "dlq release"];
    let more = ["dlq discard", "calls drain"];
    for command in one_word.iter().chain(&two_words).chain(&more) {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        assert!(run(&words).contains("Example"), "{command}");
    }
    let script = run(&["completion", "bash"]);
    for word in ["trace", "--no-follow", "dlq"] {
        assert!(script.contains(word), "{word}");
    }
}
