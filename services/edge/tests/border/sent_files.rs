//! What goes out besides text (PROTOCOLS 2.3, 2.5): files, links, reactions; and messages that are refused late. The simulator
//! is Meta.

use std::{net::TcpListener, time::Duration};

use actix_web::web;
use domain::{
    Channel, ConversationId, DeliveryStatus, DeliveryUpdated, Envelope, EventId, KeptFile,
    MessageSent, Payload, SentFile, SentForm, SentLink, Stage, Timestamp, TurnAccount,
};
use serde_json::{Value, json};
use simulator::{
    World,
    config::Config,
    meta::{Line, Rates},
};

use crate::{
    api::reading::chat,
    edge_task::{EdgeTask, OUR_WHATSAPP, PATIENCE, anas_chat, start_with},
    vendors::{whatsapp_body, whatsapp_text},
};

const ANA: &str = "15551234567";

/// A task whose WhatsApp is the simulator, and Ana, who has just written.
async fn start() -> Option<(EdgeTask, web::Data<World>)> {
    start_at_rate("80").await.map(|(edge, world, _)| (edge, world))
}

async fn start_at_rate(a_second: &str) -> Option<(EdgeTask, web::Data<World>, String)> {
    let world = web::Data::new(World::new(Config::default()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/graph", listener.local_addr().unwrap());
    tokio::spawn(simulator::serve(listener, world.clone(), false).unwrap());
    let variables =
        [("WHATSAPP_API_BASE_URL", base.as_str()), ("WHATSAPP_MESSAGES_PER_SECOND", a_second)];
    let edge = start_with(&variables).await?;
    edge.meta(&whatsapp_body(&[whatsapp_text("wamid.asked", "Hi")])).await;
    edge.published_kind("MessageReceived").await;
    Some((edge, world, base))
}

fn reply(text: &str, form: SentForm) -> Envelope {
    let sent = MessageSent {
        to: ANA.into(),
        from: OUR_WHATSAPP.into(),
        text: text.into(),
        in_reply_to: "wamid.asked".into(),
        attempt: 1,
        account: TurnAccount::default(),
        choices: Vec::new(),
        form,
    };
    let now = Timestamp::now();
    let (id, tenant) = (EventId::random(), store::seed::DEMO);
    let mut reply = Envelope::new(id, tenant, anas_chat(), Channel::WHATSAPP, now, sent);
    reply.stamp(Stage::WEBHOOK_RECEIVED, now);
    reply
}

async fn publish(edge: &EdgeTask, reply: &Envelope) {
    edge.bus.publish(std::slice::from_ref(reply)).await.unwrap();
}

async fn fate(edge: &EdgeTask) -> DeliveryUpdated {
    match edge.published_kind("DeliveryUpdated").await.payload {
        Payload::DeliveryUpdated(update) => update,
        other => panic!("{}", other.name()),
    }
}

async fn fate_of(edge: &EdgeTask, message: &Envelope) -> DeliveryUpdated {
    loop {
        let fate = fate(edge).await;
        if fate.message == Some(message.event_id) {
            return fate;
        }
    }
}

/// The same for another person, who has not written.
fn to_stranger(message: &Envelope, number: &str) -> Envelope {
    let mut other = Envelope { event_id: EventId::random(), ..message.clone() };
    let Payload::MessageSent(sent) = &mut other.payload else { unreachable!() };
    sent.to = number.into();
    let demo = store::seed::DEMO;
    other.conversation = ConversationId::of_chat(demo, "whatsapp", OUR_WHATSAPP, number);
    other
}

/// What Ana sees of the business.
fn seen(world: &World) -> Vec<Line> {
    let chat = world.meta.chat(ANA).unwrap_or_default();
    chat.lines.into_iter().filter(|line| !line.by_person).collect()
}

async fn price_list(edge: &EdgeTask) -> SentForm {
    let bytes = b"%PDF-1.7 prices".to_vec();
    let file = KeptFile {
        key: "media/prices".to_owned(),
        mime_type: "application/pdf".to_owned(),
        bytes: bytes.len() as u64,
        bucket: edge.keep("media/prices", bytes).await,
    };
    let filename = Some("prices.pdf".into());
    SentForm::File(SentFile { file, filename, sha256: "ab".repeat(32) })
}

#[tokio::test]
async fn a_file_is_uploaded_once_and_named_by_every_message_until_the_vendor_has_it_no_more() {
    let Some((edge, world)) = start().await else { return };
    let prices = price_list(&edge).await;
    for text in ["our prices", ""] {
        publish(&edge, &reply(text, prices.clone())).await;
        assert_eq!(fate(&edge).await.status, DeliveryStatus::Accepted);
    }
    assert_eq!(world.meta.uploads(), 1, "the second message names the same file");
    let lines = seen(&world);
    assert_eq!(lines.len(), 2);
    let document = &lines[0].content["document"];
    assert_eq!(document["caption"], "our prices");
    assert_eq!(document["filename"], "prices.pdf");
    assert_eq!(lines[0].content["context"]["message_id"], "wamid.asked");
    let (mime_type, bytes) = world.meta.file(document["id"].as_str().unwrap()).unwrap();
    assert_eq!((mime_type.as_str(), &bytes[..]), ("application/pdf", &b"%PDF-1.7 prices"[..]));

    world.meta.forget_media();
    publish(&edge, &reply("again", prices)).await;
    assert_eq!(fate(&edge).await.status, DeliveryStatus::Accepted, "it is uploaded anew");
    assert_eq!(world.meta.uploads(), 2);
    assert_eq!(seen(&world).len(), 3, "and the message is there once");
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_as_failed_and_stops_nothing() {
    let Some((edge, world)) = start().await else { return };
    let SentForm::File(mut gone) = price_list(&edge).await else { unreachable!() };
    gone.file.key = "media/nothing-here".to_owned();
    publish(&edge, &reply("look", SentForm::File(gone))).await;
    let failed = fate(&edge).await;
    assert_eq!((failed.status, failed.error.unwrap().0), (DeliveryStatus::Failed, 131_053));
    publish(&edge, &reply("and on", SentForm::Text)).await;
    assert_eq!(fate(&edge).await.status, DeliveryStatus::Accepted);
    assert_eq!(seen(&world).len(), 1);
}

#[tokio::test]
async fn a_link_is_a_button_and_a_reaction_lands_on_its_message() {
    let Some((edge, world)) = start().await else { return };
    let (title, url) = ("See the map".to_owned(), "https://maps.example/here".to_owned());
    publish(&edge, &reply("Here we are", SentForm::Link(SentLink { title, url }))).await;
    fate(&edge).await;
    publish(&edge, &reply("👍", SentForm::Reaction { to: "wamid.asked".into() })).await;
    fate(&edge).await;
    let lines = seen(&world);
    let button = &lines[0].content["interactive"];
    assert_eq!(
        (&button["type"], &button["body"]["text"]),
        (&json!("cta_url"), &json!("Here we are"))
    );
    assert_eq!(button["action"]["parameters"]["display_text"], "See the map");
    assert_eq!(lines[1].content["reaction"], json!({"message_id": "wamid.asked", "emoji": "👍"}));
}

#[tokio::test]
async fn an_operator_hands_a_file_over_and_writes_with_it() {
    let Some((edge, world)) = start().await else { return };
    let key = edge.api_key(store::seed::DEMO, "operator").await;
    let bearer = format!("Bearer {key}");
    let hand_over = async |kind: &str, bytes: &'static [u8]| {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let answer = edge.post("/api/v1/media?filename=map.png", &headers, bytes).await;
        (answer.0, serde_json::from_str::<Value>(&answer.1).unwrap())
    };
    assert_eq!(hand_over("text/html", b"<script>").await.0, 415);
    assert_eq!(hand_over("image/png", b"").await.0, 400);
    let (status, kept) = hand_over("image/png", b"\x89PNG not really").await;
    assert_eq!(status, 201, "{kept}");
    let file = kept["data"]["id"].as_str().unwrap();

    // The chat and the message are in the history, as the writer keeps them.
    let theirs = remembered(&edge, "Where are you?").await;
    let path = format!("/api/v1/conversations/{}/messages", anas_chat().as_uuid());
    for (body, field) in [
        (json!({}), "text"),
        (json!({"text": "x", "file": uuid::Uuid::new_v4()}), "file"),
        (json!({"text": "x", "reply_to": uuid::Uuid::new_v4()}), "reply_to"),
        (json!({"text": "x", "link": {"title": "x", "url": "javascript:x"}}), "link.url"),
        (json!({"file": file, "reaction": {"to": theirs, "emoji": "👍"}}), "file"),
        (json!({"reaction": {"to": theirs, "emoji": "no"}}), "reaction.emoji"),
    ] {
        let answer = edge.write(&key, &path, &body).await;
        assert_eq!(answer.refusal(), (400, "invalid_body"), "{body}: {}", answer.body);
        assert_eq!(answer.body["error"]["field"], field, "{body}");
    }
    let body = json!({"text": "Here we are", "file": file, "reply_to": theirs});
    assert_eq!(edge.write(&key, &path, &body).await.status, 202);
    fate(&edge).await;
    let body = json!({"reaction": {"to": theirs, "emoji": "👍"}});
    assert_eq!(edge.write(&key, &path, &body).await.status, 202);
    fate(&edge).await;
    let lines = seen(&world);
    assert_eq!(lines[0].content["image"]["caption"], "Here we are");
    let asked = format!("wamid.{ANA}.1");
    assert_eq!(lines[0].content["context"]["message_id"], asked);
    assert_eq!(lines[1].content["reaction"]["message_id"], asked);
}

#[tokio::test]
async fn an_operator_sends_a_template_however_long_ago_the_person_wrote() {
    let Some((edge, world)) = start().await else { return };
    let key = edge.api_key(store::seed::DEMO, "operator").await;
    let two_days_ago = Timestamp::now().as_micros() - 2 * 86_400 * 1_000_000;
    remembered_at(&edge, "Hello", Timestamp::from_micros(two_days_ago)).await;
    let path = format!("/api/v1/conversations/{}/messages", anas_chat().as_uuid());
    let plain = edge.write(&key, &path, &json!({"text": "Are you still there?"})).await;
    assert_eq!(plain.refusal(), (409, "window_closed"));
    let template = |change: Value| {
        let mut template = json!({"name": "offer", "language": "en_US"});
        template.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "template": template })
    };
    for (body, field) in [
        (template(json!({"name": "An offer"})), "template.name"),
        (template(json!({"language": "en-US!"})), "template.language"),
        (template(json!({"header": {}})), "template.header"),
        (template(json!({"parameters": ["two\nlines"]})), "template.parameters[0]"),
        (template(json!({"buttons": [{"index": 0}]})), "template.buttons[0]"),
        (template(json!({"buttons": [{"index": 10, "payload": "x"}]})), "template.buttons[0]"),
        (
            template(
                json!({"buttons": [{"index": 0, "payload": "x"}, {"index": 0, "url_end": "x"}]}),
            ),
            "template.buttons[1]",
        ),
        (
            json!({"template": {"name": "offer", "language": "en_US"}, "file": uuid::Uuid::new_v4()}),
            "template",
        ),
    ] {
        let answer = edge.write(&key, &path, &body).await;
        assert_eq!(answer.refusal(), (400, "invalid_body"), "{body}: {}", answer.body);
        assert_eq!(answer.body["error"]["field"], field, "{body}");
    }
    let body =
        template(json!({"header": {"text": "Maple Dental"}, "parameters": ["Ana", "Friday"],
        "buttons": [{"index": 0, "payload": "yes"}, {"index": 1, "url_end": "a/1"}]}));
    assert_eq!(edge.write(&key, &path, &body).await.status, 202);
    let Payload::MessageSent(sent) = edge.published_kind("MessageSent").await.payload else {
        unreachable!()
    };
    assert_eq!(sent.text.reveal(), "[offer] Ana · Friday", "what the history shows");
    assert_eq!(fate(&edge).await.status, DeliveryStatus::Accepted);
    let lines = seen(&world);
    let sent = &lines[0].content["template"];
    assert_eq!((&sent["name"], &sent["language"]["code"]), (&json!("offer"), &json!("en_US")));
    let components = sent["components"].as_array().unwrap();
    let kinds: Vec<_> = components.iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["header", "body", "button", "button"]);
    assert_eq!(components[1]["parameters"][1]["text"], "Friday");
}

#[tokio::test]
async fn an_operator_offers_choices() {
    let Some((edge, world)) = start().await else { return };
    let key = edge.api_key(store::seed::DEMO, "operator").await;
    remembered(&edge, "When?").await;
    let path = format!("/api/v1/conversations/{}/messages", anas_chat().as_uuid());
    let choice = |id: &str, title: &str| json!({"id": id, "title": title});
    let eleven: Vec<_> = (0..11).map(|n| choice(&n.to_string(), &format!("at {n}"))).collect();
    for (choices, field) in [
        (json!(eleven), "choices"),
        (json!([choice("a", " ")]), "choices[0].title"),
        (json!([choice("a", "Friday"), choice("a", "Monday")]), "choices[1]"),
    ] {
        let body = json!({"text": "When?", "choices": choices});
        let answer = edge.write(&key, &path, &body).await;
        assert_eq!(answer.refusal(), (400, "invalid_body"), "{body}: {}", answer.body);
        assert_eq!(answer.body["error"]["field"], field, "{body}");
    }
    let choices = json!([choice("fri", "Friday"), choice("mon", "Monday")]);
    let alone = edge.write(&key, &path, &json!({ "choices": choices })).await;
    assert_eq!(alone.body["error"]["field"], "choices", "{}", alone.body);
    let body = json!({"text": "When?", "choices": choices});
    assert_eq!(edge.write(&key, &path, &body).await.status, 202);
    fate(&edge).await;
    let buttons = &seen(&world)[0].content["interactive"]["action"]["buttons"];
    let reply = &buttons[1]["reply"];
    assert_eq!((&reply["id"], &reply["title"]), (&json!("mon"), &json!("Monday")));
}

/// Ana's chat in the history, with this message of hers; its id.
async fn remembered(edge: &EdgeTask, text: &str) -> uuid::Uuid {
    remembered_at(edge, text, Timestamp::now()).await
}

async fn remembered_at(edge: &EdgeTask, text: &str, at: Timestamp) -> uuid::Uuid {
    let store = edge.db.store().await;
    let tx = store.tenant(store::seed::DEMO).await.unwrap();
    let conversation = chat(&tx, ANA, &[text], at).await;
    assert_eq!(conversation, anas_chat());
    tx.commit().await.unwrap();
    let owner = edge.db.owner().await;
    let sql = "SELECT id FROM messages WHERE role = 'user' AND conversation = $1";
    owner.query_one(sql, &[conversation.as_uuid()]).await.unwrap().get(0)
}

/// Meta's word that a message it had taken was not delivered.
async fn refuse(edge: &EdgeTask, line: &Line) {
    let mut body: Value = serde_json::from_slice(&whatsapp_body(&[])).unwrap();
    body["entry"][0]["changes"][0]["value"]["statuses"] = json!([{
        "id": line.id, "status": "failed", "recipient_id": ANA,
        "biz_opaque_callback_data": line.callback_data,
        "errors": [{"code": 131_047, "title": "Re-engagement message"}]}]);
    assert_eq!(edge.meta(body.to_string().as_bytes()).await.0, 200);
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_message_refused_late_is_sent_again_by_its_template_once() {
    let Some((edge, world)) = start().await else { return };
    edge.set(&json!({"whatsapp_templates": {"reply": {"name": "late", "language": "en_US",
        "parameters": ["{text}"]}}}))
        .await;
    let message = reply("see you", SentForm::Text);
    publish(&edge, &message).await;
    assert_eq!(fate(&edge).await.status, DeliveryStatus::Accepted);
    // The settings are read anew every few seconds.
    let late = Envelope { stages: Vec::new(), ..message.clone() };
    until("the template is known", async || {
        publish(&edge, &to_stranger(&late, "15550001111")).await;
        fate(&edge).await.status == DeliveryStatus::Accepted
    })
    .await;
    let first = seen(&world).remove(0);
    refuse(&edge, &first).await;
    assert_eq!(fate_of(&edge, &message).await.status, DeliveryStatus::Accepted);
    let lines = seen(&world);
    assert_eq!(lines[1].content["template"]["name"], "late");
    assert_eq!(lines[1].content["template"]["components"][0]["parameters"][0]["text"], "see you");

    // Told twice it is not sent twice, and what came in its place is not sent again.
    refuse(&edge, &first).await;
    refuse(&edge, &lines[1]).await;
    let failed = fate_of(&edge, &message).await;
    assert_eq!((failed.status, failed.error.unwrap().0), (DeliveryStatus::Failed, 131_047));
    assert_eq!(seen(&world).len(), 2);
}

#[tokio::test]
async fn a_message_refused_late_without_a_template_waits_until_the_person_writes() {
    let Some((edge, world)) = start().await else { return };
    publish(&edge, &reply("see you", SentForm::Text)).await;
    assert_eq!(fate(&edge).await.status, DeliveryStatus::Accepted);
    refuse(&edge, &seen(&world).remove(0)).await;
    assert_eq!(fate(&edge).await.status, DeliveryStatus::Held);
    let owner = edge.db.owner().await;
    let held = owner.query("SELECT 1 FROM due WHERE at > now()", &[]).await.unwrap();
    assert_eq!((held.len(), seen(&world).len()), (1, 1));
}

#[tokio::test]
async fn two_tasks_together_keep_the_rate_of_a_number() {
    let Some((edge, world, base)) = start_at_rate("20").await else { return };
    let rate = [("WHATSAPP_API_BASE_URL", base.as_str()), ("WHATSAPP_MESSAGES_PER_SECOND", "20")];
    edge.start_another(&rate).await;
    // If each kept the rate alone, 80 would come within two seconds, of which 65 are taken. A machine that stands still for a
    // second, so that what was paced arrives together, is no fault.
    world.meta.set_rates(Rates {
        number_interval_us: 50_000,
        number_burst: 25,
        ..Rates::default()
    });
    let people: Vec<String> = (0..80).map(|n| format!("1555000{n:04}")).collect();
    for person in &people {
        publish(&edge, &to_stranger(&reply("hello", SentForm::Text), person)).await;
    }
    until("everybody is written to", async || {
        people.iter().all(|person| world.meta.chat(person).is_some())
    })
    .await;
    assert_eq!(world.meta.refusals(), [].into(), "nothing came too soon");
}
