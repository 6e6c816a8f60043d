//! Dead letters over the API: a tenant's own, once, on record, and for operators only.

use bus::Queue;
use domain::{
    Channel, ConversationId, Envelope, EventId, MessageKind, MessageReceived, TenantId, Timestamp,
};
use serde_json::{Value, json};
use store::{
    dead_letters::{About, Archive, NewLetter},
    seed::DEMO,
};
use uuid::Uuid;

use crate::edge_task::{OUR_WHATSAPP, start};

const WORDS: &str = "my card number is 42";

/// Keeps a letter of the writer's queue as the writer does.
async fn bury(archive: &Archive, tenant: TenantId, replays: u32) -> Envelope {
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
        expires_at: None,
        trace_id: None,
    };
    let letter = NewLetter {
        queue: Queue::Writer.name(),
        message: &message,
        group: &conversation.to_string(),
        reason: "no route",
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
    let numbers = |page: &Value| -> Vec<i64> {
        page["items"].as_array().unwrap().iter().map(|l| l["number"].as_i64().unwrap()).collect()
    };
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

    let replay = format!("{base}/replay");
    for wrong in [json!({"at_most": 0}), json!({"queue": " "}), json!({"whose": "mine"})] {
        assert_eq!(edge.write(&operator, &replay, &wrong).await.status, 400, "{wrong}");
    }
    let some = edge.write(&operator, &replay, &json!({"reason": "no", "at_most": 2})).await;
    assert_eq!(some.status, 202, "{}", some.body);
    assert_eq!(some.data(), json!({"sent": 2, "left": 1}));
    let rest = edge.write(&operator, &replay, &json!({"reason": "no"})).await;
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
    let acts = edge.read(&operator, &format!("{base}/1")).await.data()["acts"].clone();
    let acts: Vec<_> = acts.as_array().unwrap().iter().map(|act| act["act"].clone()).collect();
    assert_eq!(acts, ["replay", "published"]);
    edge.stop().await;
}
