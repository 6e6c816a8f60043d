//! Dead letters over the API: a tenant's own, once, on record, and for operators only.

use bus::{DeathCause, Queue};
use domain::{
    Channel, ConversationId, Envelope, EventId, MessageKind, MessageReceived, TenantId, Timestamp,
};
use reqwest::Method;
use serde_json::{Value, json};
use store::{
    dead_letters::{About, Archive, NewLetter},
    seed::DEMO,
};
use uuid::Uuid;

use crate::edge_task::{EdgeTask, OUR_WHATSAPP, start};

const WORDS: &str = "my card number is 42";

/// Keeps a letter of the writer's queue as the writer does.
async fn bury(archive: &Archive, tenant: TenantId, replays: u32) -> Envelope {
    bury_as(archive, tenant, replays, (DeathCause::Failed, "no route", None)).await
}

async fn bury_as(
    archive: &Archive,
    tenant: TenantId,
    replays: u32,
    (cause, reason, expires_at): (DeathCause, &str, Option<Timestamp>),
) -> Envelope {
    let conversation = ConversationId::from_uuid(Uuid::new_v4());
    let received = MessageReceived {
        from: "15551234567".into(),
        to: OUR_WHATSAPP.into(),
        text: WORDS.into(),
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
    let (id, now) = (EventId::random(), Timestamp::now());
    let envelope = Envelope {
        replays,
        expires_at,
        ..Envelope::new(id, tenant, conversation, Channel::WHATSAPP, now, received)
    };
    let (body, message) = (wire::to_body(&wire::encode(&envelope)), Uuid::new_v4().to_string());
    let about = About {
        tenant,
        conversation,
        event: id,
        event_name: envelope.payload.name(),
        turn: envelope.turn,
        replays,
        occurred_at: now,
        expires_at,
        trace_id: None,
    };
    let letter = NewLetter {
        queue: Queue::Writer.name(),
        message: &message,
        group: &conversation.to_string(),
        error_type: cause.name(),
        reason,
        starts: 5,
        receives: 5,
        sent_at: None,
        died_at: now,
        about: Some(about),
        build: "test",
        body: &body,
    };
    archive.keep(&letter).await.unwrap();
    envelope
}

fn numbers(page: &Value) -> Vec<i64> {
    page["items"].as_array().unwrap().iter().map(|l| l["number"].as_i64().unwrap()).collect()
}

async fn acts(edge: &EdgeTask, credential: &str, letter: i64) -> Vec<String> {
    let shown = edge.read(credential, &format!("/api/v1/dead-letters/{letter}")).await.data();
    let acts = shown["acts"].as_array().unwrap().iter();
    acts.map(|act| act["act"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_operator_sees_sends_again_and_gives_up_the_letters_of_the_own_tenant_alone() {
    let Some(edge) = start().await else { return };
    let archive = Archive::new(edge.db.store().await);
    let other = edge.db.add_tenant("other").await;
    let first = bury(&archive, DEMO, 0).await;
    bury(&archive, other, 0).await;
    bury(&archive, DEMO, 0).await;
    bury(&archive, DEMO, 3).await;
    let (operator, reader) =
        (edge.api_key(DEMO, "operator").await, edge.api_key(DEMO, "read_only").await);
    let base = "/api/v1/dead-letters";
    assert_eq!(edge.read(&reader, base).await.refusal(), (403, "forbidden"));
    let listed = edge.read(&operator, &format!("{base}?limit=2")).await.data();
    assert_eq!(numbers(&listed), [4, 3], "the newest first, and none of another tenant");
    let cursor = listed["next_cursor"].as_str().unwrap();
    let next = edge.read(&operator, &format!("{base}?limit=2&cursor={cursor}")).await.data();
    assert_eq!(numbers(&next), [1]);
    assert!(!next.to_string().contains(WORDS), "{next}");
    for path in [format!("{base}/2"), format!("{base}/99"), format!("{base}/x")] {
        assert_eq!(edge.read(&operator, &path).await.status, 404, "{path}");
    }
    let foreign = edge.write(&operator, &format!("{base}/2/replay"), &json!({})).await;
    assert_eq!(foreign.status, 404);

    let replay = format!("{base}/1/replay");
    let sent = edge.write(&operator, &replay, &json!({})).await;
    assert_eq!(sent.status, 202, "{}", sent.body);
    assert_eq!(sent.data()["state"], "published");
    let again = edge.published_kind("MessageReceived").await;
    assert_eq!((again.event_id, again.replays), (first.event_id, 1));
    assert_eq!(edge.write(&operator, &replay, &json!({})).await.refusal(), (409, "not_waiting"));
    let dead = edge.write(&operator, &format!("{base}/4/replay"), &json!({})).await;
    assert_eq!(dead.refusal(), (409, "quarantined"));

    let discard = format!("{base}/3/discard");
    assert_eq!(edge.write(&operator, &discard, &json!({"reason": " "})).await.status, 400);
    let reason = json!({"reason": "a test of ours"});
    assert_eq!(edge.write(&operator, &discard, &reason).await.data()["state"], "discarded");
    assert_eq!(edge.write(&operator, &discard, &reason).await.refusal(), (409, "not_waiting"));
    let shown = edge.read(&operator, &format!("{base}/3")).await.data();
    assert_eq!(shown["acts"][0]["detail"], "a test of ours");
    assert!(shown["acts"][0]["actor"].as_str().unwrap().starts_with("key:"), "{shown}");

    let admin = edge.api_key(DEMO, "admin").await;
    let log = edge.read(&admin, "/api/v1/audit").await.data();
    let actions: Vec<_> =
        log["items"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert!(actions.contains(&"dead_letter.replay") && actions.contains(&"dead_letter.discard"));
    edge.stop().await;
}

#[tokio::test]
async fn letters_are_sent_again_by_a_filter_after_a_plan_and_a_few_at_a_time() {
    let Some(edge) = start().await else { return };
    let archive = Archive::new(edge.db.store().await);
    let other = edge.db.add_tenant("other").await;
    let mut wanted = Vec::new();
    for _ in 0..3 {
        wanted.push(bury(&archive, DEMO, 0).await.event_id);
    }
    bury(&archive, DEMO, 3).await;
    bury(&archive, other, 0).await;
    let operator = edge.api_key(DEMO, "operator").await;
    let base = "/api/v1/dead-letters";

    let plan = edge.read(&operator, &format!("{base}/plan?queue=writer&reason=NO")).await.data();
    assert_eq!((&plan["letters"], &plan["conversations"]), (&json!(3), &json!(3)), "{plan}");
    assert_eq!(plan["queues"], json!([{"queue": "writer", "letters": 3}]));
    assert_eq!((&plan["quarantined"], &plan["parked"]), (&json!(1), &json!(0)));
    let none = edge.read(&operator, &format!("{base}/plan?reason=sky")).await.data();
    assert_eq!(none["letters"], 0);
    let none = edge.read(&operator, &format!("{base}/plan?error_type=panicked")).await.data();
    assert_eq!(none["letters"], 0);

    let replay = format!("{base}/replay");
    for wrong in [
        json!({"at_most": 0}),
        json!({"queue": " "}),
        json!({"error_type": ""}),
        json!({"whose": "mine"}),
    ] {
        assert_eq!(edge.write(&operator, &replay, &wrong).await.status, 400, "{wrong}");
    }
    let none = edge.write(&operator, &replay, &json!({"error_type": "panicked"})).await;
    assert_eq!(none.data(), json!({"sent": 0, "left": 0}));
    let some = edge.write(&operator, &replay, &json!({"reason": "no", "at_most": 2})).await;
    assert_eq!(some.status, 202, "{}", some.body);
    assert_eq!(some.data(), json!({"sent": 2, "left": 1}));
    let rest = json!({"reason": "no", "error_type": "failed"});
    let rest = edge.write(&operator, &replay, &rest).await;
    assert_eq!(rest.data(), json!({"sent": 1, "left": 0}));
    let rest = edge.write(&operator, &replay, &json!({"queue": "writer"})).await;
    assert_eq!(rest.data(), json!({"sent": 0, "left": 0}));
    let mut sent = Vec::new();
    for _ in 0..3 {
        let again = edge.published_kind("MessageReceived").await;
        assert_eq!(again.replays, 1);
        sent.push(again.event_id);
    }
    // Each is of a conversation of its own, and these are in no order to each other.
    wanted.sort();
    sent.sort();
    assert_eq!(sent, wanted);
    assert_eq!(acts(&edge, &operator, 1).await, ["replay", "published"]);
    edge.stop().await;
}

#[tokio::test]
async fn letters_are_found_and_counted_and_what_they_say_is_shown_once_that_is_on_record() {
    let Some(edge) = start().await else { return };
    let archive = Archive::new(edge.db.store().await);
    let other = edge.db.add_tenant("other").await;
    let first = bury(&archive, DEMO, 0).await;
    bury_as(&archive, DEMO, 0, (DeathCause::Panicked, "the model is away", None)).await;
    bury(&archive, other, 0).await;
    let operator = edge.api_key(DEMO, "operator").await;
    let base = "/api/v1/dead-letters";
    let conversation = first.conversation;
    for (query, found) in [
        ("queue=writer", vec![2, 1]),
        ("queue=speak", vec![]),
        ("reason=MODEL", vec![2]),
        ("error_type=panicked", vec![2]),
        ("error_type=failed&state=waiting", vec![1]),
        ("error_type=rejected", vec![]),
        ("event=MessageReceived&state=waiting", vec![2, 1]),
        ("event=CallEnded", vec![]),
        (&*format!("conversation={conversation}"), vec![1]),
        (&*format!("group={conversation}"), vec![1]),
        ("from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", vec![2, 1]),
        ("from=2100-01-01T00:00:00Z", vec![]),
        ("to=2020-01-01T00:00:00Z", vec![]),
    ] {
        let listed = edge.read(&operator, &format!("{base}?{query}")).await.data();
        assert_eq!(numbers(&listed), found, "{query}");
        let counts = edge.read(&operator, &format!("{base}/counts?{query}")).await.data();
        let letters = counts.as_array().unwrap().iter().map(|c| c["letters"].as_i64().unwrap());
        assert_eq!(letters.sum::<i64>(), found.len() as i64, "{query}");
    }
    let counts = edge.read(&operator, &format!("{base}/counts")).await.data();
    let counts = counts.as_array().unwrap().iter();
    let counts: Vec<_> =
        counts.map(|c| [&c["queue"], &c["event"], &c["error_type"], &c["state"]]).collect();
    let count = |error_type| ["writer", "MessageReceived", error_type, "waiting"];
    assert_eq!(counts, [count("failed"), count("panicked")]);

    let shown = edge.read(&operator, &format!("{base}/1")).await.data();
    assert_eq!(shown["letter"]["error_type"], "failed");
    let envelope = shown["envelope"].as_str().unwrap();
    assert!(envelope.contains("MessageReceived") && !envelope.contains(WORDS), "{envelope}");
    let bearer = format!("Bearer {operator}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "r")];
    let reveal = async |letter: i64| {
        let path = format!("{base}/{letter}/reveal");
        edge.api(Method::POST, &path, &headers, Some(&json!({}))).await
    };
    let revealed = reveal(1).await.data();
    assert!(revealed["envelope"].as_str().unwrap().contains(WORDS), "{revealed}");
    assert_eq!(acts(&edge, &operator, 1).await, ["reveal"]);
    assert!(reveal(1).await.data()["envelope"].is_null(), "it is not kept for a repeat");
    let foreign = edge.write(&operator, &format!("{base}/3/reveal"), &json!({})).await;
    assert_eq!(foreign.refusal(), (404, "not_found"));
    let reader = edge.api_key(DEMO, "read_only").await;
    let refused = edge.write(&reader, &format!("{base}/1/reveal"), &json!({})).await;
    assert_eq!(refused.refusal(), (403, "forbidden"));
    let admin = edge.api_key(DEMO, "admin").await;
    let log = edge.read(&admin, "/api/v1/audit").await.data();
    assert_eq!(log["items"][0]["action"], "dead_letter.reveal");
    assert!(!log.to_string().contains(WORDS));
}

#[tokio::test]
async fn a_group_is_left_alone_until_it_is_released_by_whose_it_is() {
    let Some(edge) = start().await else { return };
    let archive = Archive::new(edge.db.store().await);
    let other = edge.db.add_tenant("other").await;
    let ours = bury(&archive, DEMO, 0).await.conversation.to_string();
    let theirs = bury(&archive, other, 0).await.conversation.to_string();
    let operator = edge.api_key(DEMO, "operator").await;
    let stranger = edge.api_key(other, "operator").await;
    let base = "/api/v1/dead-letters";
    let (park, release) = (format!("{base}/park"), format!("{base}/release"));
    let parking = |group: &str| json!({"group": group, "reason": "somebody looks into it"});
    let foreign = edge.write(&operator, &park, &parking(&theirs)).await;
    assert_eq!(foreign.refusal(), (404, "not_found"));
    let silent = json!({"group": ours, "reason": " "});
    assert_eq!(edge.write(&operator, &park, &silent).await.refusal(), (400, "invalid_body"));
    let parked = edge.write(&operator, &park, &parking(&ours)).await.data();
    assert_eq!(parked, json!({"group": ours, "is_parked": true, "letters": 1}));
    let again = edge.write(&operator, &park, &parking(&ours)).await;
    assert_eq!(again.refusal(), (409, "parked"));

    let list = edge.read(&operator, &format!("{base}/parked")).await.data();
    assert_eq!((&list[0]["group"], &list[0]["waiting"]), (&json!(ours), &json!(1)), "{list}");
    assert_eq!(list[0]["reason"], "somebody looks into it");
    assert_eq!(edge.read(&stranger, &format!("{base}/parked")).await.data(), json!([]));
    let replay = format!("{base}/1/replay");
    assert_eq!(edge.write(&operator, &replay, &json!({})).await.refusal(), (409, "parked"));
    let plan = edge.read(&operator, &format!("{base}/plan")).await.data();
    assert_eq!((&plan["letters"], &plan["parked"]), (&json!(0), &json!(1)));

    let group = json!({ "group": ours });
    assert_eq!(edge.write(&stranger, &release, &group).await.refusal(), (404, "not_found"));
    let released = edge.write(&operator, &release, &group).await.data();
    assert_eq!(released, json!({"group": ours, "is_parked": false, "letters": 1}));
    assert_eq!(edge.write(&operator, &release, &group).await.refusal(), (409, "not_parked"));
    assert_eq!(acts(&edge, &operator, 1).await, ["park", "release"]);
    assert_eq!(edge.write(&operator, &replay, &json!({})).await.status, 202);
    edge.stop().await;
}

#[tokio::test]
async fn what_is_left_out_is_sent_when_asked_for_and_the_rest_is_given_up_by_a_filter() {
    let Some(edge) = start().await else { return };
    let archive = Archive::new(edge.db.store().await);
    let other = edge.db.add_tenant("other").await;
    let over = Timestamp::from_micros(Timestamp::now().as_micros() - 60_000_000);
    bury_as(&archive, DEMO, 0, (DeathCause::Failed, "too late", Some(over))).await;
    bury(&archive, DEMO, 3).await;
    bury(&archive, DEMO, 3).await;
    bury(&archive, DEMO, 0).await;
    bury(&archive, other, 0).await;
    let operator = edge.api_key(DEMO, "operator").await;
    let base = "/api/v1/dead-letters";
    let nothing = json!({});
    let expired = format!("{base}/1/replay");
    assert_eq!(edge.write(&operator, &expired, &nothing).await.refusal(), (409, "expired"));
    let sent = edge.write(&operator, &expired, &json!({"expired": true})).await;
    assert_eq!(sent.status, 202, "{}", sent.body);
    let dead = format!("{base}/2/replay");
    assert_eq!(edge.write(&operator, &dead, &nothing).await.refusal(), (409, "quarantined"));
    let sent = edge.write(&operator, &dead, &json!({"quarantined": true})).await;
    assert_eq!(sent.status, 202, "{}", sent.body);

    let plan = edge.read(&operator, &format!("{base}/plan?quarantined=true")).await.data();
    assert_eq!((&plan["letters"], &plan["quarantined"]), (&json!(2), &json!(0)), "{plan}");
    let replay = format!("{base}/replay");
    let never = json!({"per_second": 0});
    assert_eq!(edge.write(&operator, &replay, &never).await.refusal(), (400, "invalid_body"));
    let wanted = json!({"quarantined": true, "reason": "route", "at_most": 1, "per_second": 1});
    let some = edge.write(&operator, &replay, &wanted).await.data();
    assert_eq!(some, json!({"sent": 1, "left": 1}));

    let discard = format!("{base}/discard");
    let why = json!({"reason": "a test of ours"});
    let all = edge.write(&operator, &discard, &why).await;
    assert_eq!(all.refusal(), (400, "invalid_parameter"), "not everything by a slip");
    let none = edge.write(&operator, &format!("{discard}?error_type=panicked"), &why).await;
    assert_eq!(none.data(), json!({"discarded": 0, "left": 0}));
    let meant = format!("{discard}?reason=ROUTE&error_type=failed");
    let done = edge.write(&operator, &meant, &why).await.data();
    assert_eq!(done, json!({"discarded": 1, "left": 0}));
    assert_eq!(acts(&edge, &operator, 4).await, ["discard"]);
    let stranger = edge.api_key(other, "operator").await;
    let theirs = edge.read(&stranger, base).await.data();
    assert_eq!(theirs["items"][0]["state"], "waiting");
    edge.stop().await;
}
