//! Chats that go to a human and back (A7): who has one, for how long, and what the person is told.

use std::time::Duration;

use domain::{
    Channel, ChatHandover, ConversationId, Envelope, EscalationDue, EscalationRequested, EventId,
    Payload, Timestamp,
};
use serde_json::{Value, json};
use store::{escalations, seed::DEMO};
use uuid::Uuid;

use super::reading::chat;
use crate::edge_task::{EdgeTask, PATIENCE, start};

fn asked(conversation: ConversationId, summary: &str) -> Envelope {
    let wanted = EscalationRequested { reason: "asked".into(), summary: summary.into() };
    let now = Timestamp::now();
    Envelope::new(EventId::random(), DEMO, conversation, Channel::WHATSAPP, now, wanted)
}

/// A chat in which a human is wanted: it, and the request's id.
async fn wanted(edge: &EdgeTask, number: &str) -> (ConversationId, Uuid) {
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let now = Timestamp::now();
    let conversation = chat(&tx, number, &["A human please"], now).await;
    let event = asked(conversation, "An invoice");
    let Payload::EscalationRequested(request) = &event.payload else { unreachable!() };
    assert!(escalations::open(&tx, &event, request).await.unwrap());
    tx.commit().await.unwrap();
    (conversation, *event.event_id.as_uuid())
}

async fn look_again(edge: &EdgeTask, conversation: ConversationId, request: Uuid) {
    let of = (DEMO, conversation, Channel::WHATSAPP);
    edge.bus.publish(&[EscalationDue::of(request, Timestamp::now(), of)]).await.unwrap();
}

/// The request as soon as it is as `wanted`.
async fn until(
    edge: &EdgeTask,
    key: &str,
    request: Uuid,
    is_wanted: impl Fn(&Value) -> bool,
) -> Value {
    let look = async {
        loop {
            let shown = edge.read(key, &format!("/api/v1/escalations/{request}")).await.data();
            if is_wanted(&shown) {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the request as it is wanted")
}

async fn act(edge: &EdgeTask, key: &str, request: Uuid, step: &str) -> Value {
    edge.write(key, &format!("/api/v1/escalations/{request}/{step}"), &json!({})).await.data()
}

#[tokio::test]
async fn closing_one_request_leaves_the_chat_to_the_operator_who_has_it_by_another() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "operator").await;
    let (conversation, first) = wanted(&edge, "+15551230011").await;
    // As an earlier release left it: one row for each time the person asked.
    let second = Uuid::new_v4();
    let sql = "INSERT INTO escalations
            (tenant, id, conversation, reason, summary_enc, requested_at)
        SELECT tenant, $2, conversation, reason, summary_enc, requested_at
        FROM escalations WHERE id = $1";
    edge.db.owner().await.execute(sql, &[&first, &second]).await.unwrap();
    act(&edge, &key, first, "claim").await;
    assert_eq!(act(&edge, &key, second, "close").await["status"], "closed");
    assert!(edge.cache.is_with_human(conversation).await.unwrap(), "the first is still theirs");
    let closed = act(&edge, &key, first, "close").await;
    assert_eq!(closed["closed_by"], closed["taken_by"], "who ended it is on record");
    assert!(!edge.cache.is_with_human(conversation).await.unwrap());
}

#[tokio::test]
async fn who_asks_for_a_human_again_has_one_request_that_says_what_is_wanted_now() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "operator").await;
    let (conversation, request) = wanted(&edge, "+15551230012").await;
    let again = asked(conversation, "An invoice, urgently");
    edge.bus.publish(std::slice::from_ref(&again)).await.unwrap();
    let told = until(&edge, &key, request, |e| !e["asked_again_at"].is_null()).await;
    assert_eq!(told["summary"], "An invoice, urgently");
    act(&edge, &key, request, "claim").await;
    act(&edge, &key, request, "close").await;
    // The second time it was asked comes once more: it was taken in.
    edge.bus.publish(&[Envelope { replays: 1, ..again }]).await.unwrap();
    let fresh = asked(conversation, "Something else");
    edge.bus.publish(std::slice::from_ref(&fresh)).await.unwrap();
    until_there(&edge, &key, *fresh.event_id.as_uuid()).await;
    let all = edge.read(&key, "/api/v1/escalations").await.data();
    let ids: Vec<_> =
        all["items"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [request.to_string(), fresh.event_id.to_string()]);
}

async fn until_there(edge: &EdgeTask, key: &str, request: Uuid) {
    let path = format!("/api/v1/escalations/{request}");
    let look = async {
        while edge.read(key, &path).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the request is there");
}

#[tokio::test]
async fn a_person_whom_nobody_took_over_is_told_so_once_and_keeps_their_agent() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "operator").await;
    let (conversation, request) = wanted(&edge, "+15551230013").await;
    look_again(&edge, conversation, request).await;
    let told = edge.published_kind("MessageSent").await;
    let Payload::MessageSent(message) = &told.payload else { unreachable!() };
    assert_eq!(told.conversation, conversation);
    assert_eq!(message.to.reveal().trim_start_matches('+'), "15551230013");
    assert_eq!(message.text.reveal(), ChatHandover::default().nobody_free);
    assert!(!edge.cache.is_with_human(conversation).await.unwrap());

    look_again(&edge, conversation, request).await;
    // Taken after the second look, in the order of the queue.
    edge.bus.publish(&[asked(conversation, "Still waiting")]).await.unwrap();
    let shown = until(&edge, &key, request, |e| !e["asked_again_at"].is_null()).await;
    assert_eq!(shown["status"], "open", "an operator may still take it");
    let more = edge.published_in(conversation).await;
    assert!(more.iter().all(|e| e.payload.name() != "MessageSent"), "it was told once");
}

#[tokio::test]
async fn a_chat_whose_operator_writes_nothing_any_more_goes_back_to_the_agents() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "operator").await;
    let (conversation, request) = wanted(&edge, "+15551230014").await;
    act(&edge, &key, request, "claim").await;
    let owner = edge.db.owner().await;
    let long_ago = "UPDATE escalations SET active_at = now() - interval '13 hours' WHERE id = $1";
    owner.execute(long_ago, &[&request]).await.unwrap();
    let path = format!("/api/v1/conversations/{conversation}/messages");
    let written = edge.write(&key, &path, &json!({"text": "One moment, please."})).await;
    assert_eq!(written.status, 202);
    look_again(&edge, conversation, request).await;
    edge.bus.publish(&[asked(conversation, "Thank you")]).await.unwrap();
    let shown = until(&edge, &key, request, |e| !e["asked_again_at"].is_null()).await;
    assert_eq!(shown["status"], "taken", "the operator wrote just now");
    assert!(edge.cache.is_with_human(conversation).await.unwrap());
    let sql = "SELECT at > now() + interval '11 hours' FROM due WHERE id = $1";
    assert!(owner.query_one(sql, &[&request]).await.unwrap().get::<_, bool>(0), "looked at again");

    owner.execute(long_ago, &[&request]).await.unwrap();
    look_again(&edge, conversation, request).await;
    let shown = until(&edge, &key, request, |e| e["status"] == "closed").await;
    assert_eq!((&shown["timed_out"], &shown["closed_by"]), (&true.into(), &Value::Null));
    let back = async {
        while edge.cache.is_with_human(conversation).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.expect("the chat is the agents' again");
}
