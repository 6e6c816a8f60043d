//! The booking of the requirements (C6), made by a language model with its tools, by phone.

use domain::{CallSid, ConversationId};
use serde_json::json;
use simulator::caller::CallScript;
use store::seed::DEMO;

use crate::desk::{Desk, OUR_NUMBER};

/// A model behind each protocol books; the second takes over where the first fails.
pub async fn book(desk: &Desk) {
    books(desk, "+15557771011", "gpt-4o-mini").await;
    desk.outside.put("/sim/faults/openai/completions", &json!({"status": 503})).await.unwrap();
    books(desk, "+15557771012", "amazon.nova-lite-v1:0").await;
}

/// A model that hears and speaks books on the line itself; where it is away the next answers the words.
pub async fn book_by_ear(desk: &Desk) {
    let sql = "UPDATE tenants SET updated_at = now(), settings = settings || '{\"models\": [\"sonic\", \"openai\"]}'
        WHERE id = $1";
    desk.rows(sql, &[DEMO.as_uuid()]).await;
    // Every task has read it by then (C3).
    let sql = "SELECT 1 FROM tenants WHERE id = $1 AND updated_at < now() - interval '6 s'";
    let look = async || desk.rows(sql, &[DEMO.as_uuid()]).await.pop();
    desk.until("settings that are in force", look).await;
    books(desk, "+15557771013", "amazon.nova-2-sonic-v1:0").await;
    let away = json!({"status": 503});
    desk.outside.put("/sim/faults/bedrock/sonic", &away).await.unwrap();
    books(desk, "+15557771014", "gpt-4o-mini").await;
}

/// The simulated model asks, looks, offers and books; one appointment stands.
async fn books(desk: &Desk, caller: &str, model: &str) {
    desk.outside.put("/sim/model", &json!({"mode": "front_desk"})).await.unwrap();
    let script = CallScript::new(
        caller,
        OUR_NUMBER,
        [
            "I would like to make an appointment",
            "My name is Ada Lovelace",
            "tomorrow at 2 PM",
            "yes please",
            "no thank you",
        ],
    );
    let report = desk.outside.call(&script).await.unwrap();
    let heard = report.texts().join(" ");
    assert!(heard.contains("Shall I book it?"), "{heard}");
    assert!(heard.contains("You are booked for"), "{heard}");

    let call = CallSid::parse(&report.sid).unwrap();
    let conversation = ConversationId::of_call(DEMO, &call);
    let sql = "SELECT 1 FROM appointments WHERE conversation = $1 AND status = 'booked'";
    assert_eq!(desk.rows(sql, &[conversation.as_uuid()]).await.len(), 1, "booked once");
    desk.kept(&report, report.said.len() + report.heard.len()).await;
    let sql = "SELECT 1 FROM messages
        WHERE conversation = $1 AND role = 'agent' AND model = $2 AND tokens_out > 0";
    let by_it = desk.rows(sql, &[conversation.as_uuid(), &model]).await.len();
    assert_eq!(by_it, 5, "all by {model}");
}
