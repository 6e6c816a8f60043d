//! Replies on their way to WhatsApp, with Meta played by a small server.

use std::{collections::VecDeque, net::TcpListener, sync::Mutex};

use actix_web::{App, HttpResponse, HttpServer, web};
use domain::{
    Channel, DeliveryStatus, DeliveryUpdated, Envelope, EventId, MessageSent, Payload, SentForm,
    Stage, Timestamp, Turn, TurnAccount,
};
use serde_json::{Value, json};

use crate::{
    edge_task::{EdgeTask, OUR_WHATSAPP, PATIENCE, anas_chat, start_with},
    vendors::{meta_signature, whatsapp_body, whatsapp_text},
};

/// Meta's Graph API: keeps what was sent and answers as told, then always well.
struct Graph {
    sent: tokio::sync::mpsc::UnboundedSender<Value>,
    answers: Mutex<VecDeque<(u16, Value)>>,
}

async fn graph(
    answers: Vec<(u16, Value)>,
) -> (String, tokio::sync::mpsc::UnboundedReceiver<Value>) {
    let (sent, received) = tokio::sync::mpsc::unbounded_channel();
    let graph = web::Data::new(Graph { sent, answers: Mutex::new(answers.into()) });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = move || App::new().app_data(graph.clone()).default_service(web::post().to(messages));
    tokio::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run());
    (base, received)
}

async fn messages(
    graph: web::Data<Graph>,
    path: web::Path<()>,
    body: web::Json<Value>,
) -> HttpResponse {
    let () = path.into_inner();
    let _ = graph.sent.send(body.into_inner());
    let answer = graph.answers.lock().unwrap().pop_front();
    let (status, body) =
        answer.unwrap_or_else(|| (200, json!({"messages": [{"id": "wamid.sent"}]})));
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).json(body)
}

fn reply(text: &str) -> Envelope {
    let mut reply = unasked(text);
    let Payload::MessageSent(sent) = &mut reply.payload else { unreachable!() };
    sent.in_reply_to = "wamid.asked".into();
    reply.stamp(Stage::WEBHOOK_RECEIVED, reply.occurred_at);
    reply
}

/// What we write of our own accord: a reminder.
fn unasked(text: &str) -> Envelope {
    let tenant = store::seed::DEMO;
    Envelope::new(
        EventId::random(),
        tenant,
        anas_chat(),
        Channel::WHATSAPP,
        Timestamp::now(),
        MessageSent {
            to: "15551234567".into(),
            from: OUR_WHATSAPP.into(),
            text: text.into(),
            in_reply_to: String::new(),
            attempt: 1,
            account: TurnAccount::default(),
            choices: Vec::new(),
            form: SentForm::Text,
        },
    )
}

async fn update(edge: &EdgeTask) -> DeliveryUpdated {
    match edge.published_kind("DeliveryUpdated").await.payload {
        Payload::DeliveryUpdated(update) => update,
        other => panic!("{}", other.name()),
    }
}

async fn next(sent: &mut tokio::sync::mpsc::UnboundedReceiver<Value>) -> Value {
    tokio::time::timeout(PATIENCE, sent.recv()).await.expect("Meta is asked").expect("Meta runs")
}

#[tokio::test]
async fn a_reply_is_sent_once_and_its_acceptance_published() {
    let (base, mut sent) = graph(Vec::new()).await;
    let Some(edge) = start_with(&[("WHATSAPP_API_BASE_URL", &base)]).await else { return };
    let event = reply("Hello Ana").with_turn(Turn(3));
    edge.bus.publish(std::slice::from_ref(&event)).await.unwrap();
    let message = next(&mut sent).await;
    assert_eq!(message["text"]["body"], "Hello Ana");
    assert_eq!(message["to"], "15551234567");
    let mark = message["biz_opaque_callback_data"].as_str().unwrap();
    assert!(mark.starts_with(&event.event_id.to_string()), "{mark}");
    let accepted = update(&edge).await;
    assert_eq!(accepted.status, DeliveryStatus::Accepted);
    assert_eq!(
        (accepted.message, accepted.external_id.as_str()),
        (Some(event.event_id), "wamid.sent")
    );
    let timed = edge.published_kind("TurnTimed").await;
    assert_eq!((timed.conversation, timed.turn), (event.conversation, Turn(3)));
    let stages: Vec<_> = timed.stages.iter().map(|s| &*s.name).collect();
    assert_eq!(stages, [Stage::WEBHOOK_RECEIVED, Stage::OUTBOUND_STARTED, Stage::ACCEPTED]);

    // The same event again, as after a crash behind the send: told again, not sent again.
    let again = Envelope { replays: 1, ..event.clone() };
    edge.bus.publish(&[again]).await.unwrap();
    let marker = reply("marker");
    edge.bus.publish(&[marker]).await.unwrap();
    assert_eq!(
        next(&mut sent).await["text"]["body"],
        "marker",
        "in one conversation order is kept"
    );

    // Meta's status names our mark: it lands on the reply and in its conversation.
    let mut body: Value = serde_json::from_slice(&whatsapp_body(&[])).unwrap();
    body["entry"][0]["changes"][0]["value"]["statuses"] = json!([
        {"id": "wamid.sent", "status": "read", "recipient_id": "15551234567", "biz_opaque_callback_data": mark}]);
    let body = body.to_string().into_bytes();
    let signature = meta_signature(&body);
    assert_eq!(
        edge.post("/webhooks/whatsapp", &[("x-hub-signature-256", &signature)], body).await.0,
        200
    );
    let read = loop {
        let event = edge.published_kind("DeliveryUpdated").await;
        match &event.payload {
            Payload::DeliveryUpdated(u) if u.status == DeliveryStatus::Read => break event,
            _ => {}
        }
    };
    assert_eq!(read.conversation, event.conversation);
}

#[tokio::test]
async fn a_throttled_reply_is_tried_again_and_a_refused_one_is_told_as_failed() {
    let error = |code: i64| {
        (400, json!({"error": {"message": "m", "type": "OAuthException", "code": code}}))
    };
    let (base, mut sent) = graph(vec![
        error(131_000),
        (200, json!({"messages": [{"id": "wamid.2"}]})),
        error(131_030),
    ])
    .await;
    let Some(edge) = start_with(&[("WHATSAPP_API_BASE_URL", &base)]).await else { return };
    edge.bus.publish(&[reply("patience")]).await.unwrap();
    assert_eq!(next(&mut sent).await["text"]["body"], "patience");
    assert_eq!(next(&mut sent).await["text"]["body"], "patience");
    assert_eq!(update(&edge).await.external_id, "wamid.2");
    edge.bus.publish(&[reply("refused")]).await.unwrap();
    next(&mut sent).await;
    let failed = update(&edge).await;
    assert_eq!(failed.status, DeliveryStatus::Failed);
    assert_eq!(failed.error.map(|(code, _)| code), Some(131_030));
}

#[tokio::test]
async fn a_long_reply_leaves_in_parts_that_fit() {
    let (base, mut sent) = graph(Vec::new()).await;
    let Some(edge) = start_with(&[("WHATSAPP_API_BASE_URL", &base)]).await else { return };
    let text = "word ".repeat(1200);
    edge.bus.publish(&[reply(&text)]).await.unwrap();
    let mut parts = vec![next(&mut sent).await, next(&mut sent).await];
    let texts: Vec<String> =
        parts.iter().map(|p| p["text"]["body"].as_str().unwrap().to_owned()).collect();
    assert!(texts.iter().all(|t| t.chars().count() <= 4096));
    assert_eq!(texts.join(" "), text.trim());
    assert_eq!(
        parts.remove(0)["context"]["message_id"],
        "wamid.asked",
        "the first part answers the question"
    );
    assert!(parts.remove(0)["context"].is_null());

    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(edge.published().await.payload.name());
    }
    assert_eq!(
        told,
        ["MessageSent", "DeliveryUpdated", "TurnTimed", "DeliveryUpdated"],
        "each part's fate is told, and the turn timed once, by the first"
    );
}

#[tokio::test]
async fn what_nobody_asked_for_waits_until_the_person_writes() {
    let (base, mut sent) = graph(Vec::new()).await;
    let Some(edge) = start_with(&[("WHATSAPP_API_BASE_URL", &base)]).await else { return };
    edge.bus.publish(&[unasked("a reminder")]).await.unwrap();
    let held = update(&edge).await;
    assert_eq!((held.status, held.error), (DeliveryStatus::Held, None));
    let owner = edge.db.owner().await;
    let rows = owner.query("SELECT conversation FROM due WHERE at > now()", &[]).await.unwrap();
    assert_eq!(rows.len(), 1, "it is kept");
    assert_eq!(rows[0].get::<_, uuid::Uuid>(0), *anas_chat().as_uuid());

    // Once they have written, the next one leaves freely.
    edge.meta(&whatsapp_body(&[whatsapp_text("wamid.hi", "Hi")])).await;
    let until = tokio::time::Instant::now() + PATIENCE;
    while edge.cache.last_written(anas_chat()).await.unwrap().is_none() {
        assert!(tokio::time::Instant::now() < until, "it is noted when they wrote");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    edge.bus.publish(&[unasked("another")]).await.unwrap();
    let message = loop {
        let message = next(&mut sent).await;
        if message["status"].is_null() {
            break message;
        }
    };
    assert_eq!(message["text"]["body"], "another");
}

#[tokio::test]
async fn an_agent_is_shown_to_be_writing_but_for_a_chat_that_a_human_has() {
    let (base, mut sent) = graph(Vec::new()).await;
    let Some(edge) = start_with(&[("WHATSAPP_API_BASE_URL", &base)]).await else { return };
    edge.cache.hand_to_human(anas_chat()).await.unwrap();
    edge.meta(&whatsapp_body(&[whatsapp_text("wamid.to-human", "Hi")])).await;
    let mark = next(&mut sent).await;
    assert_eq!((&mark["status"], &mark["message_id"]), (&json!("read"), &json!("wamid.to-human")));
    assert!(mark["typing_indicator"].is_null(), "{mark}");

    let mut of_another = whatsapp_text("wamid.to-agent", "Hi");
    of_another["from"] = json!("15557654321");
    edge.meta(&whatsapp_body(&[of_another])).await;
    assert_eq!(next(&mut sent).await["typing_indicator"]["type"], "text");
}

#[tokio::test]
async fn outside_the_window_a_template_goes_out_where_there_is_one() {
    let refused =
        (400, json!({"error": {"message": "m", "type": "OAuthException", "code": 131_047}}));
    let (base, mut sent) =
        graph(vec![(200, json!({"messages": [{"id": "wamid.t"}]})), refused]).await;
    let Some(edge) = start_with(&[("WHATSAPP_API_BASE_URL", &base)]).await else { return };
    let template = |name: &str| json!({"name": name, "language": "en_US", "parameters": ["{business}", "{text}"]});
    edge.set(
        &json!({"whatsapp_templates": {"notice": template("notice"), "reply": template("late")}}),
    )
    .await;
    let message = loop {
        // The settings are read anew every few seconds; until then it is held.
        edge.bus.publish(&[unasked("see you\ntomorrow")]).await.unwrap();
        match tokio::time::timeout(std::time::Duration::from_secs(2), sent.recv()).await {
            Ok(message) => break message.unwrap(),
            Err(_) => continue,
        }
    };
    assert_eq!(message["template"]["name"], "notice");
    let parameters = &message["template"]["components"][0]["parameters"];
    assert_eq!(parameters[1]["text"], "see you tomorrow", "a parameter is one line");
    assert_eq!(parameters[0]["text"], "Maple Dental");

    // The vendor knows the window better than we: the answer goes by its own template.
    edge.bus.publish(&[reply("too late")]).await.unwrap();
    assert_eq!(next(&mut sent).await["type"], "text");
    let by_template = next(&mut sent).await;
    assert_eq!(by_template["template"]["name"], "late");
}

#[tokio::test]
async fn one_person_is_written_to_at_the_vendors_pace_and_no_message_is_lost() {
    let (base, mut sent) = graph(Vec::new()).await;
    let Some(edge) = start_with(&[("WHATSAPP_API_BASE_URL", &base)]).await else { return };
    let replies: Vec<_> = (0..47).map(|n| reply(&format!("message {n}"))).collect();
    for reply in &replies {
        edge.bus.publish(std::slice::from_ref(reply)).await.unwrap();
    }
    for n in 0..46 {
        let message = next(&mut sent).await;
        assert_eq!(message["text"]["body"], format!("message {n}"), "in order, and each once");
    }
}
