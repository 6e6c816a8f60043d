//! What people are told of appointments that the business itself makes, moves and calls off (A6, C10).

use std::time::Duration;

use domain::{AppointmentChange, Channel, Payload, Timestamp};
use serde_json::{Value, json};
use store::{due, seed::DEMO};
use wire::Decoded;

use crate::edge_task::{EdgeTask, start};

/// What is to be told now or later, by the name of the event, and on which channel.
async fn scheduled(edge: &EdgeTask) -> Vec<(String, Channel)> {
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let in_a_year = Timestamp::now().plus(Duration::from_secs(365 * 86_400));
    // The transaction is not committed: what is taken stays.
    let events = due::take(&tx, in_a_year, 100).await.unwrap().into_iter().map(|due| {
        let bytes = wire::from_body(&due.event).unwrap();
        let Decoded::Whole(event) = wire::decode(&bytes).unwrap() else { panic!("a claim") };
        let what = match &event.payload {
            Payload::AppointmentChanged(changed) => match changed.change {
                AppointmentChange::Booked => "booked",
                AppointmentChange::Moved => "moved",
                AppointmentChange::Cancelled => "cancelled",
            },
            other => other.name(),
        };
        (what.to_owned(), event.channel)
    });
    let mut events: Vec<_> = events.collect();
    events.sort_by(|a, b| a.0.cmp(&b.0));
    events
}

/// The `place`th free time of the days after the next ones.
async fn free_time(edge: &EdgeTask, key: &str, place: usize) -> Value {
    let day = |days: u64| {
        let at = Timestamp::now().plus(Duration::from_secs(days * 86_400));
        jiff::Timestamp::from_microsecond(at.as_micros()).unwrap()
    };
    let path = format!("/api/v1/availability?service=cleaning&from={}&to={}", day(5), day(9));
    edge.read(key, &path).await.data()[place]["starts_at"].clone()
}

async fn book(edge: &EdgeTask, key: &str, more: Value) -> String {
    let mut wanted = json!({"starts_at": free_time(edge, key, 0).await, "service": "cleaning",
        "name": "Ana Silva"});
    wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let booked = edge.write(key, "/api/v1/appointments", &wanted).await.data();
    booked["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_can_be_reached_is_told_what_was_done_to_their_appointment() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "operator").await;
    let id = book(&edge, &key, json!({"phone": "+15551234567"})).await;
    let by_text = |what: &str| (what.to_owned(), Channel::SMS);
    assert_eq!(scheduled(&edge).await, [by_text("ReminderDue"), by_text("booked")]);

    let rather = json!({"starts_at": free_time(&edge, &key, 4).await});
    let moved = edge.write(&key, &format!("/api/v1/appointments/{id}/move"), &rather).await.data();
    let all = ["ReminderDue", "booked", "moved"].map(by_text);
    assert_eq!(scheduled(&edge).await, all, "one reminder, of the new time");

    let id = moved["id"].as_str().unwrap();
    let cancel = format!("/api/v1/appointments/{id}/cancel");
    assert_eq!(edge.write(&key, &cancel, &json!({})).await.status, 200);
    let all = ["booked", "cancelled", "moved"].map(by_text);
    assert_eq!(scheduled(&edge).await, all, "nobody is reminded of it any more");
}

#[tokio::test]
async fn nobody_is_told_where_the_business_does_not_want_it_or_knows_no_way() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "operator").await;
    let quiet = json!({"phone": "+15551234567", "notify": false});
    let id = book(&edge, &key, quiet).await;
    let cancel = format!("/api/v1/appointments/{id}/cancel");
    assert_eq!(edge.write(&key, &cancel, &json!({"notify": false})).await.status, 200);
    let refused = edge.write(&key, &cancel, &json!({"notfiy": false})).await;
    assert_eq!(refused.body["error"]["field"], "notfiy", "{}", refused.body);
    book(&edge, &key, json!({})).await;
    assert_eq!(scheduled(&edge).await, []);
}
