//! A confirmation by e-mail, as SES gets it (A6).

use std::net::TcpListener;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    CalendarEntry, Channel, ConversationId, DeliveryStatus, Envelope, EventId, Mail, MessageSent,
    Payload, SentForm, Timestamp, TurnAccount,
};
use serde_json::{Value, json};
use store::seed::DEMO;
use tokio::sync::mpsc;

use crate::edge_task::{PATIENCE, start_with};

const OURS: &str = "desk@maple.example";

/// SES, as far as it is asked: what came with which signature.
async fn ses() -> (String, mpsc::UnboundedReceiver<(String, Value)>) {
    let (sent, received) = mpsc::unbounded_channel();
    let sent = web::Data::new(sent);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = move || {
        App::new().app_data(sent.clone()).route("/v2/email/outbound-emails", web::post().to(take))
    };
    tokio::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run());
    (base, received)
}

async fn take(
    request: HttpRequest,
    body: web::Json<Value>,
    sent: web::Data<mpsc::UnboundedSender<(String, Value)>>,
) -> HttpResponse {
    let signature = request.headers().get("authorization").unwrap().to_str().unwrap().to_owned();
    let _ = sent.send((signature, body.into_inner()));
    HttpResponse::Ok().json(json!({"MessageId": "ses-1"}))
}

fn confirmation(to: &str) -> Envelope {
    let at = Timestamp::from_micros;
    let entry = CalendarEntry {
        id: "018f6b1e-7c1a-7000-8000-000000000001".into(),
        sequence: 0,
        is_cancelled: false,
        starts_at: at(1_800_000_000_000_000),
        ends_at: at(1_800_001_800_000_000),
        timezone: "America/Toronto".into(),
        summary: "Maple Dental: cleaning with Dr. Lee".into(),
    };
    let message = MessageSent {
        to: to.into(),
        from: OURS.into(),
        text: "Maple Dental: your cleaning is booked.".into(),
        in_reply_to: String::new(),
        attempt: 1,
        account: TurnAccount::default(),
        choices: Vec::new(),
        form: SentForm::Mail(Mail { subject: "Your appointment".into(), entry: Some(entry) }),
    };
    let chat = ConversationId::of_chat(DEMO, "email", OURS, to);
    Envelope::new(EventId::random(), DEMO, chat, Channel::EMAIL, Timestamp::now(), message)
}

#[tokio::test]
async fn a_confirmation_leaves_once_with_the_appointment_for_the_calendar() {
    let (base, mut sent) = ses().await;
    let Some(edge) = start_with(&[("AWS_ENDPOINT_URL_SESV2", &base)]).await else { return };
    let sql = format!(
        "INSERT INTO addresses (channel, address, tenant, mode) VALUES ('email', '{OURS}', '{DEMO}', 'chat')"
    );
    edge.db.owner().await.batch_execute(&sql).await.unwrap();
    let status = async |message: EventId| loop {
        let Payload::DeliveryUpdated(update) = edge.published_kind("DeliveryUpdated").await.payload
        else {
            unreachable!()
        };
        if update.message == Some(message) {
            return update;
        }
    };
    // Addresses are held in memory; this one may still be on its way there.
    let (event, update) = loop {
        let event = confirmation("ana@example.com");
        edge.bus.publish(std::slice::from_ref(&event)).await.unwrap();
        let update = status(event.event_id).await;
        if update.status == DeliveryStatus::Accepted {
            break (event, update);
        }
    };
    assert_eq!(update.external_id, "ses-1");
    let (signature, body) = sent.recv().await.unwrap();
    assert!(signature.contains("/ses/aws4_request"), "{signature}");
    assert_eq!(body["FromEmailAddress"], OURS);
    assert_eq!(body["Destination"]["ToAddresses"], json!(["ana@example.com"]));
    let raw = STANDARD.decode(body["Content"]["Raw"]["Data"].as_str().unwrap()).unwrap();
    let raw = String::from_utf8(raw).unwrap();
    assert!(raw.contains("To: <ana@example.com>") && raw.contains("method=REQUEST"), "{raw}");
    assert!(raw.contains(&format!("Message-ID: <{}@maple.example>", event.event_id)), "{raw}");

    // The same again, as after a crash behind the send; then one that is no address.
    edge.bus.publish(std::slice::from_ref(&event)).await.unwrap();
    let bad = confirmation("ana");
    edge.bus.publish(std::slice::from_ref(&bad)).await.unwrap();
    assert_eq!(status(bad.event_id).await.status, DeliveryStatus::Failed);
    let more = tokio::time::timeout(PATIENCE / 30, sent.recv()).await;
    assert!(more.is_err(), "nothing is sent twice, and nothing to nobody");
}
