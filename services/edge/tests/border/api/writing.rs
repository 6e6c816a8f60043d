//! What the API changes: once, on record, and only for whoever may.

use std::time::Duration;

use domain::{
    CallSid, Channel, ConversationId, Envelope, EscalationRequested, EventId, MessageKind,
    PausedSpan, Payload, RecordingFinished, Timestamp,
};
use reqwest::Method;
use serde_json::{Value, json};
use store::{
    conversations, escalations,
    seed::DEMO,
    users::{self, Identity},
};

use super::{
    Answer,
    reading::{chat, received},
};
use crate::{
    edge_task::{EdgeTask, OUR_NUMBER, OUR_WHATSAPP, PATIENCE, start, start_with},
    vendors::{twilio_api, twilio_api_answering},
};

async fn write_under(
    edge: &EdgeTask,
    credential: &str,
    path: &str,
    body: &Value,
    key: &str,
) -> Answer {
    let bearer = format!("Bearer {credential}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
    edge.api(Method::POST, path, &headers, Some(body)).await
}

/// A time next week that is free.
async fn free_time(edge: &EdgeTask, key: &str) -> String {
    let day = |days: u64| {
        let at = Timestamp::now().plus(Duration::from_secs(days * 86_400));
        jiff::Timestamp::from_microsecond(at.as_micros()).unwrap()
    };
    let path = format!("/api/v1/availability?service=cleaning&from={}&to={}", day(5), day(9));
    let times = edge.read(key, &path).await.data();
    assert_eq!(times[0]["with"].as_array().unwrap().len(), 2, "{times}");
    times[0]["starts_at"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_appointment_is_booked_once_however_often_it_is_asked_for_and_never_twice_over() {
    let Some(edge) = start().await else { return };
    let (operator, reader) =
        (edge.api_key(DEMO, "operator").await, edge.api_key(DEMO, "read_only").await);
    let path = "/api/v1/appointments";
    let wanted = json!({"starts_at": free_time(&edge, &reader).await, "service": "cleaning",
        "name": "Ana Silva", "phone": "+15551234567", "notes": "First visit"});
    assert_eq!(edge.write(&reader, path, &wanted).await.refusal(), (403, "forbidden"));
    let booked = write_under(&edge, &operator, path, &wanted, "one").await;
    assert_eq!(booked.status, 201);
    let booked = booked.data();
    assert_eq!((&booked["status"], &booked["name"]), (&"booked".into(), &"Ana Silva".into()));
    let again = write_under(&edge, &operator, path, &wanted, "one").await;
    assert_eq!(again.status, 201);
    assert_eq!(again.data(), booked, "the same answer");
    let mut other = wanted.clone();
    other["name"] = "Bob".into();
    let reused = write_under(&edge, &operator, path, &other, "one").await;
    assert_eq!(reused.refusal(), (422, "key_reused"));
    assert_eq!(write_under(&edge, &operator, path, &other, "no key!").await.refusal().0, 400);
    // The other dentist is free; then nobody is.
    assert_eq!(edge.write(&operator, path, &other).await.status, 201);
    assert_eq!(edge.write(&operator, path, &other).await.refusal(), (409, "time_taken"));
    let night = json!({"starts_at": "2030-01-01T03:00:00Z", "name": "Bob"});
    assert_eq!(edge.write(&operator, path, &night).await.refusal(), (409, "not_offered"));

    let id = booked["id"].as_str().unwrap();
    let cancel = format!("{path}/{id}/cancel");
    assert_eq!(edge.write(&operator, &cancel, &json!({})).await.data()["status"], "cancelled");
    assert_eq!(edge.write(&operator, &cancel, &json!({})).await.refusal(), (409, "not_booked"));
    let listed = edge.read(&reader, &format!("{path}?status=cancelled")).await.data();
    assert_eq!(listed["items"][0]["id"], id);

    let admin = edge.api_key(DEMO, "admin").await;
    let log = edge.read(&admin, "/api/v1/audit").await.data();
    let actions: Vec<_> =
        log["items"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["appointment.cancel", "appointment.create", "appointment.create"]);
    assert!(log["items"][0]["actor"].as_str().unwrap().starts_with("key:"));
    assert!(!log.to_string().contains("Ana"), "nothing about a person");
    assert_eq!(edge.read(&operator, "/api/v1/audit").await.refusal(), (403, "forbidden"));
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_the_field_that_is_meant() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "operator").await;
    let path = "/api/v1/appointments";
    for (body, field) in [
        (json!({"name": "Ana"}), None),
        (json!({"starts_at": "tomorrow", "name": "Ana"}), Some("starts_at")),
        (json!({"starts_at": "2030-01-01T10:00:00Z", "name": " "}), Some("name")),
        (json!({"starts_at": "2030-01-01T10:00:00Z", "name": "A", "phone": "911"}), Some("phone")),
        (json!({"starts_at": "2030-01-01T10:00:00Z", "name": "A\u{0}"}), None),
        (json!({"starts_at": "2030-01-01T10:00:00Z", "name": "A", "tenant": "x"}), Some("tenant")),
        (json!([]), None),
    ] {
        let answer = edge.write(&key, path, &body).await;
        assert_eq!(answer.refusal(), (400, "invalid_body"), "{body}");
        if let Some(field) = field {
            assert_eq!(answer.body["error"]["field"], field, "{body}: {}", answer.body);
        }
    }
    let bearer = format!("Bearer {key}");
    let post = async |kind: &str, body: String| {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let answer = edge.post(path, &headers, body).await;
        let body: Value = serde_json::from_str(&answer.1).unwrap();
        (answer.0, body["error"]["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(post("application/json", "{".into()).await, (400, "invalid_json".into()));
    assert_eq!(post("text/plain", "{}".into()).await, (415, "unsupported_media_type".into()));
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(post("application/json", large).await, (413, "payload_too_large".into()));
}

#[tokio::test]
async fn an_operator_writes_into_a_chat_while_whatsapp_allows_it() {
    let Some(edge) = start().await else { return };
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let now = Timestamp::now();
    let ago = |seconds: i64| Timestamp::from_micros(now.as_micros() - seconds * 1_000_000);
    let open = chat(&tx, "+15551230001", &["Hello"], ago(60)).await;
    let closed = chat(&tx, "+15551230002", &["Hello"], ago(2 * 86_400)).await;
    tx.commit().await.unwrap();
    let key = edge.api_key(DEMO, "operator").await;
    let body = json!({"text": "This is Maria from the desk."});
    let path = format!("/api/v1/conversations/{open}/messages");
    let sent = write_under(&edge, &key, &path, &body, "m1").await;
    assert_eq!(sent.status, 202);
    let id = sent.data()["id"].as_str().unwrap().to_owned();
    assert_eq!(write_under(&edge, &key, &path, &body, "m1").await.data()["id"], *id);
    let event = edge.published_kind("MessageSent").await;
    assert_eq!(event.event_id.to_string(), id);
    let Payload::MessageSent(message) = &event.payload else { unreachable!() };
    assert_eq!(message.text.reveal(), "This is Maria from the desk.");
    assert_eq!(message.to.reveal(), "+15551230001");
    assert!(message.account.is_of_operator() && message.account.agent.starts_with("key:"));
    let tx = store.tenant(DEMO).await.unwrap();
    store::messages::sent(&tx, &event, message).await.unwrap();
    tx.commit().await.unwrap();
    let newest = edge.read(&key, &format!("{path}?order=newest_first&limit=1")).await.data();
    assert_eq!(
        (&newest["items"][0]["role"], &newest["items"][0]["turn"]),
        (&"operator".into(), &Value::Null)
    );

    let path = format!("/api/v1/conversations/{closed}/messages");
    assert_eq!(edge.write(&key, &path, &body).await.refusal(), (409, "window_closed"));

    let admin = edge.api_key(DEMO, "admin").await;
    let log = edge.read(&admin, "/api/v1/audit").await.data();
    let noted: Vec<_> = log["items"].as_array().unwrap().iter().map(|e| &e["detail"]).collect();
    assert_eq!(noted.len(), 2, "once however often, and nothing of what was refused: {log}");
    assert_eq!(noted[0]["message"], id, "what was done");
    assert_eq!(noted[1]["outcome"], "attempted", "and before it left that it would be");
}

#[tokio::test]
async fn a_message_goes_to_the_number_its_chat_is_held_with_whatever_else_the_person_is_known_by() {
    let Some(edge) = start().await else { return };
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let numbers = ["+15551230001", "+15551230002"];
    let known_by = numbers.map(|number| Identity::phone(&number.into()).unwrap());
    let now = Timestamp::now();
    let person = users::note(&tx, &known_by, None, now).await.unwrap();
    let mut chats = Vec::new();
    for number in numbers {
        chats.push(chat(&tx, number, &["Hello"], now).await);
    }
    // Of none of the two numbers: nobody knows which one wrote it.
    let lost = ConversationId::of_chat(DEMO, "whatsapp", OUR_WHATSAPP, "15551230003");
    let said = received("+15551230003", "Hi", MessageKind::Text, "wamid.lost");
    let event = Envelope::new(EventId::random(), DEMO, lost, Channel::WHATSAPP, now, said.clone());
    conversations::note(&tx, &event, Some(OUR_WHATSAPP), person).await.unwrap();
    store::messages::received(&tx, &event, &said).await.unwrap();
    tx.commit().await.unwrap();
    let key = edge.api_key(DEMO, "operator").await;
    let body = json!({"text": "This is Maria from the desk."});
    for (chat, number) in chats.iter().zip(numbers) {
        let path = format!("/api/v1/conversations/{chat}");
        let shown = edge.read(&key, &path).await.data();
        assert_eq!(shown["person"]["contact"], number);
        let sent = edge.write(&key, &format!("{path}/messages"), &body).await;
        assert_eq!(sent.status, 202, "{}", sent.body);
        let event = edge.published_kind("MessageSent").await;
        let Payload::MessageSent(message) = &event.payload else { unreachable!() };
        assert_eq!((event.conversation, message.to.reveal()), (*chat, number));
    }
    let path = format!("/api/v1/conversations/{lost}/messages");
    assert_eq!(edge.write(&key, &path, &body).await.refusal(), (409, "nobody_to_write_to"));
}

#[tokio::test]
async fn a_call_of_which_nobody_knows_whether_it_was_placed_is_on_record_as_that() {
    let (base, _asked) = twilio_api_answering(500, json!({})).await;
    let variables = [("TWILIO_API_BASE_URL", base.as_str()), ("TWILIO_ACCOUNT_SID", "AC1")];
    let Some(edge) = start_with(&variables).await else { return };
    let key = edge.api_key(DEMO, "operator").await;
    let wanted = json!({"to": "+15551234567", "from": OUR_NUMBER});
    // The addresses are held in memory; they may still be on their way there.
    let asked = tokio::time::timeout(PATIENCE, async {
        loop {
            let asked = write_under(&edge, &key, "/api/v1/calls", &wanted, "c1").await;
            if asked.status != 400 {
                return asked;
            }
        }
    });
    let asked = asked.await.expect("asked");
    assert_eq!(asked.refusal(), (503, "unavailable"));
    let again = write_under(&edge, &key, "/api/v1/calls", &wanted, "c1").await;
    assert_eq!(again.refusal(), (409, "unfinished"));
    let admin = edge.api_key(DEMO, "admin").await;
    let log = edge.read(&admin, "/api/v1/audit").await.data();
    let noted: Vec<_> = log["items"].as_array().unwrap().iter().collect();
    assert_eq!(noted.len(), 2, "{log}");
    assert!(noted.iter().all(|e| e["action"] == "call.start"));
    assert_eq!(noted[0]["detail"]["outcome"], "in_doubt");
    assert_eq!(noted[1]["detail"]["outcome"], "attempted");
    assert_eq!(noted[0]["subject"], noted[1]["subject"], "both are of one attempt");
}

/// The audit log takes nothing any more, until [`MENDED`].
const FULL: &str = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER is_full BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse()";
const MENDED: &str = "DROP TRIGGER is_full ON audit_log";

/// What was done and how it ended, as the audit log has it, the newest first; "" where it was done.
async fn audited(edge: &EdgeTask) -> Vec<(String, String)> {
    let admin = edge.api_key(DEMO, "admin").await;
    let log = edge.read(&admin, "/api/v1/audit").await.data();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = log["items"].as_array().unwrap().iter();
    entries.map(|e| (text(&e["action"]), text(&e["detail"]["outcome"]))).collect()
}

#[tokio::test]
async fn a_trace_and_a_file_are_on_record_before_they_leave_or_do_not_leave() {
    let Some(edge) = start().await else { return };
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let spoken_in = chat(&tx, "+15551230001", &["Hello"], Timestamp::now()).await;
    tx.commit().await.unwrap();
    let key = edge.api_key(DEMO, "operator").await;
    let trace = format!("/api/v1/conversations/{spoken_in}/trace");
    let bearer = format!("Bearer {key}");
    let hand_over = async || {
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/pdf"),
            ("idempotency-key", "f1"),
        ];
        edge.post("/api/v1/media", &headers, "%PDF-1.7 prices").await.0
    };
    let key_id = key.split('_').nth(2).unwrap();
    let file = DEMO.derive(&format!("api:key:{key_id}:f1"));
    let file = format!("media/{DEMO}/outgoing/{file}");

    let owner = edge.db.owner().await;
    owner.batch_execute(FULL).await.unwrap();
    let refused = write_under(&edge, &key, &trace, &json!({}), "t1").await;
    assert_eq!(refused.refusal(), (503, "unavailable"));
    assert_eq!(hand_over().await, 503);
    edge.assert_nothing_published().await;
    assert!(!edge.has_file(&file).await);

    owner.batch_execute(MENDED).await.unwrap();
    let asked = write_under(&edge, &key, &trace, &json!({}), "t1").await;
    assert_eq!(asked.status, 202, "{}", asked.body);
    let event = edge.published_kind("TraceRequested").await;
    assert_eq!(event.conversation, spoken_in);
    let again = write_under(&edge, &key, &trace, &json!({}), "t1").await;
    assert_eq!(again.data(), asked.data(), "the same answer");
    for _ in 0..2 {
        assert_eq!(hand_over().await, 201);
    }
    assert!(edge.has_file(&file).await);
    let noted = [
        ("media.create", ""),
        ("media.create", "attempted"),
        ("conversation.trace", ""),
        ("conversation.trace", "attempted"),
    ];
    let noted = noted.map(|(action, outcome)| (action.to_owned(), outcome.to_owned()));
    assert_eq!(audited(&edge).await, noted, "once however often");
}

#[tokio::test]
async fn a_trace_that_could_not_be_handed_on_is_on_record_as_in_doubt_and_can_be_asked_for_again() {
    let Some(edge) = start().await else { return };
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let spoken_in = chat(&tx, "+15551230001", &["Hello"], Timestamp::now()).await;
    tx.commit().await.unwrap();
    let key = edge.api_key(DEMO, "operator").await;
    let trace = format!("/api/v1/conversations/{spoken_in}/trace");
    assert_eq!(edge.write(&key, &trace, &json!({})).await.status, 202);
    edge.lose_topic().await;
    for _ in 0..2 {
        let refused = write_under(&edge, &key, &trace, &json!({}), "t1").await;
        assert_eq!(refused.refusal(), (503, "unavailable"));
    }
    let outcomes: Vec<_> = audited(&edge).await.into_iter().map(|(_, outcome)| outcome).collect();
    let expected = ["in_doubt", "attempted", "in_doubt", "attempted", "", "attempted"];
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn a_chat_that_an_operator_took_is_the_operators_until_it_is_given_back() {
    let Some(edge) = start().await else { return };
    let conversation = ConversationId::of_chat(DEMO, "whatsapp", "1", "2");
    let wanted = EscalationRequested { reason: "asked".into(), summary: "An invoice".into() };
    let event = Envelope::new(
        EventId::random(),
        DEMO,
        conversation,
        Channel::WHATSAPP,
        Timestamp::now(),
        wanted.clone(),
    );
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    escalations::open(&tx, &event, &wanted).await.unwrap();
    tx.commit().await.unwrap();
    let key = edge.api_key(DEMO, "operator").await;
    let open = edge.read(&key, "/api/v1/escalations?status=open").await.data();
    assert_eq!(open["items"][0]["summary"], "An invoice");
    let path = format!("/api/v1/escalations/{}", event.event_id);
    let nothing = json!({});
    let claimed = edge.write(&key, &format!("{path}/claim"), &nothing).await.data();
    assert_eq!(claimed["status"], "taken");
    assert!(edge.cache.is_with_human(conversation).await.unwrap());
    let second = edge.write(&key, &format!("{path}/claim"), &nothing).await;
    assert_eq!(second.refusal(), (409, "not_open"));
    assert_eq!(
        edge.write(&key, &format!("{path}/close"), &nothing).await.data()["status"],
        "closed"
    );
    assert!(!edge.cache.is_with_human(conversation).await.unwrap());
}

#[tokio::test]
async fn a_key_is_shown_once_opens_what_its_role_may_and_nothing_once_it_is_revoked() {
    let Some(edge) = start().await else { return };
    let admin = edge.api_key(DEMO, "admin").await;
    let wanted = json!({"name": "console", "role": "read_only"});
    let made = write_under(&edge, &admin, "/api/v1/api-keys", &wanted, "k").await.data();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(edge.read(key, "/api/v1/calls").await.status, 200);
    assert_eq!(edge.write(key, "/api/v1/api-keys", &wanted).await.refusal(), (403, "forbidden"));
    let again = write_under(&edge, &admin, "/api/v1/api-keys", &wanted, "k").await.data();
    assert_eq!((&again["id"], &again["key"]), (&id.into(), &Value::Null));
    let listed = edge.read(&admin, "/api/v1/api-keys").await.data().to_string();
    assert!(listed.contains(id) && !listed.contains(key));
    let bearer = format!("Bearer {admin}");
    let path = format!("/api/v1/api-keys/{id}");
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(edge.api(Method::DELETE, &path, &headers, None).await.data()["id"], id);
    assert_eq!(edge.read(key, "/api/v1/calls").await.refusal(), (401, "unauthorized"));
}

#[tokio::test]
async fn a_tenants_settings_are_changed_in_part_and_a_wrong_one_is_refused_by_name() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "developer").await;
    let bearer = format!("Bearer {key}");
    let patch = async |settings: Value| {
        let body = json!({ "settings": settings });
        let headers = [("authorization", bearer.as_str())];
        edge.api(Method::PATCH, "/api/v1/tenant", &headers, Some(&body)).await
    };
    let held = edge.read(&key, "/api/v1/tenant").await.header("etag").to_owned();
    let changed = patch(json!({"greeting": "Good morning!", "fallback_number": null})).await.data();
    let late = [("authorization", bearer.as_str()), ("if-match", held.as_str())];
    let body = json!({"settings": {"greeting": "Good evening!"}});
    let late = edge.api(Method::PATCH, "/api/v1/tenant", &late, Some(&body)).await;
    assert_eq!(late.refusal(), (412, "changed"), "somebody else was first");
    let held = edge.read(&key, "/api/v1/tenant").await.header("etag").to_owned();
    let in_time = [("authorization", bearer.as_str()), ("if-match", held.as_str())];
    let body = json!({"settings": {"greeting": "Good morning!"}});
    let in_time = edge.api(Method::PATCH, "/api/v1/tenant", &in_time, Some(&body)).await;
    assert_eq!(in_time.status, 200, "{}", in_time.body);
    assert_eq!(changed["settings"]["greeting"], "Good morning!");
    assert!(changed["settings"]["fallback_number"].is_null());
    assert_eq!(changed["settings"]["business"], "Maple Dental", "the rest stays");
    for (wrong, named) in
        [(json!({"timezone": "Mars/Olympus"}), "Mars"), (json!({"greetign": "Hi"}), "greetign")]
    {
        let refused = patch(wrong).await;
        assert_eq!(refused.refusal(), (400, "invalid_body"));
        assert!(refused.body["error"]["message"].as_str().unwrap().contains(named));
    }
    assert_eq!(edge.read(&key, "/api/v1/tenant").await.data()["settings"], changed["settings"]);
}

#[tokio::test]
async fn a_call_is_placed_once_ended_on_demand_and_its_recording_is_linked() {
    let (base, mut asked) = twilio_api().await;
    let variables = [("TWILIO_API_BASE_URL", base.as_str()), ("TWILIO_ACCOUNT_SID", "AC1")];
    let Some(edge) = start_with(&variables).await else { return };
    let key = edge.api_key(DEMO, "operator").await;
    let wanted = json!({"to": "+15551234567", "from": OUR_NUMBER});
    // The addresses are held in memory; they may still be on their way there.
    let started = tokio::time::timeout(PATIENCE, async {
        loop {
            let started = write_under(&edge, &key, "/api/v1/calls", &wanted, "c1").await;
            if started.status == 202 {
                return started.data();
            }
            assert_eq!(started.body["error"]["field"], "from", "{}", started.body);
        }
    });
    let started = started.await.expect("placed");
    let (path, form) = asked.recv().await.unwrap();
    assert_eq!(path, "/2010-04-01/Accounts/AC1/Calls.json");
    assert!(form.contains("To=%2B15551234567") && form.contains("twilio%2Fvoice"), "{form}");
    assert_eq!(write_under(&edge, &key, "/api/v1/calls", &wanted, "c1").await.data(), started);
    assert!(asked.try_recv().is_err(), "no second phone rings");
    let foreign = json!({"to": "+15551234567", "from": "+15550199999"});
    assert_eq!(edge.write(&key, "/api/v1/calls", &foreign).await.refusal(), (400, "invalid_body"));

    let call = CallSid::parse(started["id"].as_str().unwrap()).unwrap();
    let conversation = ConversationId::of_call(DEMO, &call);
    let recorded = RecordingFinished {
        call: call.clone(),
        bucket: "sb-test-edge".into(),
        key: "audio-recordings/2026/11/28/CA.wav".into(),
        duration_ms: 1000,
        bytes: 16_044,
        paused: vec![PausedSpan { from_ms: 200, to_ms: 700 }],
    };
    let event = Envelope::new(
        EventId::random(),
        DEMO,
        conversation,
        Channel::VOICE,
        Timestamp::now(),
        recorded.clone(),
    );
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    conversations::note(&tx, &event, None, None).await.unwrap();
    store::calls::recorded(&tx, &event, &recorded).await.unwrap();
    tx.commit().await.unwrap();
    let shown = edge.read(&key, &format!("/api/v1/calls/{call}")).await.data();
    let recording =
        json!({"duration_ms": 1000, "bytes": 16_044, "paused": [{"from_ms": 200, "to_ms": 700}]});
    assert_eq!(shown["recording"], recording);
    let link = edge.read(&key, &format!("/api/v1/calls/{call}/recording")).await.data();
    let link = link["url"].as_str().unwrap();
    assert!(link.contains("CA.wav") && link.contains("X-Amz-Signature="), "{link}");
    let ended = edge.write(&key, &format!("/api/v1/calls/{call}/end"), &json!({})).await;
    assert_eq!(ended.status, 202);
    let (path, form) = asked.recv().await.unwrap();
    assert_eq!(
        (path.as_str(), form.as_str()),
        (&*format!("/2010-04-01/Accounts/AC1/Calls/{call}.json"), "Status=completed")
    );
}
