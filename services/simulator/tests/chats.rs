//! Chats through the simulated Meta, against a small platform of the test's own.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use simulator::{
    Running,
    config::{Config, Secret},
    meta::{Chat, Failure, StatusStep},
    platform::Platform,
};

const NUMBER: &str = "106540352242922";
const PERSON: &str = "15550199002";

/// The platform: notes what it is told, and refuses as often as it was asked to.
struct Desk {
    secret: String,
    refusals: AtomicU32,
    told: Mutex<Vec<Value>>,
}

struct Test {
    desk: Arc<Desk>,
    simulator: Running,
    client: reqwest::Client,
}

async fn webhook(desk: web::Data<Desk>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let mut mac = Hmac::<Sha256>::new_from_slice(desk.secret.as_bytes()).expect("any length");
    mac.update(&body);
    let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let signed = request
        .headers()
        .get("x-hub-signature-256")
        .is_some_and(|given| given == expected.as_str());
    if !signed || !body.is_ascii() {
        return HttpResponse::Unauthorized().finish();
    }
    let refuse = |left: u32| left.checked_sub(1);
    if desk.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse).is_ok() {
        return HttpResponse::ServiceUnavailable().finish();
    }
    let envelope: Value = serde_json::from_slice(&body).expect("JSON from Meta");
    desk.told
        .lock()
        .expect("no panic before")
        .push(envelope["entry"][0]["changes"][0]["value"].clone());
    HttpResponse::Ok().finish()
}

async fn challenge(query: web::Query<Vec<(String, String)>>) -> HttpResponse {
    let find =
        |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    match find("hub.verify_token").as_deref() {
        Some("verify-me") => HttpResponse::Ok().body(find("hub.challenge").unwrap_or_default()),
        _ => HttpResponse::Forbidden().finish(),
    }
}

impl Test {
    fn open() -> Self {
        boot::install_tls();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let edge = format!("http://{}", listener.local_addr().expect("an address"));
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            platform: Platform::at(&edge),
            ..Config::default()
        };
        config.meta.access_token = Some(Secret::new("graph-token"));
        config.meta.verify_token = Secret::new("verify-me");
        let desk = Arc::new(Desk {
            secret: config.meta.app_secret.expose().to_owned(),
            refusals: AtomicU32::new(0),
            told: Mutex::default(),
        });
        let data = web::Data::from(desk.clone());
        let server = HttpServer::new(move || {
            let paths = web::resource("/webhooks/whatsapp");
            App::new()
                .app_data(data.clone())
                .service(paths.route(web::post().to(webhook)).route(web::get().to(challenge)))
        });
        let server =
            server.workers(1).disable_signals().listen(listener).expect("a listener").run();
        tokio::spawn(server);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { desk, simulator: Running::start(config).expect("a simulator"), client }
    }

    async fn write(&self, message: Value) -> String {
        let url = format!("{}/sim/chats/messages", self.simulator.base_url());
        let answer = self.client.post(url).json(&message).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        answer["id"].as_str().expect("an id").to_owned()
    }

    async fn graph(&self, token: &str, message: Value) -> (u16, Value) {
        let url = format!("{}/graph/v23.0/{NUMBER}/messages", self.simulator.base_url());
        let answer = self
            .client
            .post(url)
            .bearer_auth(token)
            .json(&message)
            .send()
            .await
            .expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn reply(&self, body: &str) -> (u16, Value) {
        self.graph("graph-token", text(body)).await
    }

    /// What the platform was told under this name, once there are `count`.
    async fn told(&self, member: &str, count: usize) -> Vec<Value> {
        loop {
            let told: Vec<Value> = {
                let told = self.desk.told.lock().expect("no panic before");
                told.iter().filter(|value| !value[member].is_null()).cloned().collect()
            };
            if told.len() >= count {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn chat(&self) -> Chat {
        self.simulator.world.meta.chat(PERSON).expect("a chat")
    }
}

fn text(body: &str) -> Value {
    json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": PERSON,
        "type": "text", "text": {"body": body}, "biz_opaque_callback_data": "event-7",
    })
}

#[tokio::test]
async fn a_message_goes_in_and_its_answer_comes_out_with_every_status() {
    let test = Test::open();
    let id = test
        .write(json!({"from": PERSON, "name": "Ana", "bsuid": "US.1", "text": "Grüße 👋"}))
        .await;
    let told = &test.told("messages", 1).await[0];
    assert_eq!(told["metadata"]["phone_number_id"], NUMBER);
    assert_eq!(told["messages"][0]["text"]["body"], "Grüße 👋");
    assert_eq!(told["messages"][0]["id"], json!(id));
    assert_eq!(
        told["contacts"][0],
        json!({"profile": {"name": "Ana"}, "wa_id": PERSON, "user_id": "US.1"})
    );

    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": id, "typing_indicator": {"type": "text"}});
    assert_eq!(test.graph("graph-token", read).await, (200, json!({"success": true})));
    let (status, answer) = test.reply("Hello, Ana").await;
    assert_eq!((status, &answer["contacts"][0]["wa_id"]), (200, &json!(PERSON)));

    let statuses = test.told("statuses", 3).await;
    let of =
        |name: &str| statuses.iter().find(|value| value["statuses"][0]["status"] == name).cloned();
    for name in ["sent", "delivered", "read"] {
        let status = of(name).expect(name);
        assert_eq!(status["statuses"][0]["id"], answer["messages"][0]["id"]);
        assert_eq!(status["statuses"][0]["biz_opaque_callback_data"], "event-7");
    }
    let chat = test.chat();
    assert_eq!(chat.replies(), ["Hello, Ana"]);
    let seen = |line: usize| {
        chat.lines[line].statuses.iter().map(|status| status.status.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(seen(0), ["received", "read", "typing"]);
    assert_eq!(seen(1), ["accepted", "sent", "delivered", "read"]);
}

#[tokio::test]
async fn a_webhook_that_is_not_taken_comes_again() {
    let test = Test::open();
    test.desk.refusals.store(2, Ordering::SeqCst);
    test.write(json!({"from": PERSON, "name": "Ana", "text": "Anyone?"})).await;
    assert_eq!(test.told("messages", 1).await.len(), 1);
    while test.chat().lines[0].statuses.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(test.chat().lines[0].attempts, 3);
}

#[tokio::test]
async fn what_meta_would_refuse_is_refused_with_its_code() {
    let test = Test::open();
    test.write(json!({"from": PERSON, "name": "Ana", "text": "Hi"})).await;
    let button = json!({"type": "reply", "reply": {"id": "y", "title": "Yes"}});
    let buttons = json!({
        "messaging_product": "whatsapp", "to": PERSON, "type": "interactive",
        "interactive": {"type": "button", "body": {"text": "Pick"}, "action": {"buttons": [button, button, button, button]}},
    });
    let code = |answer: (u16, Value)| (answer.0, answer.1["error"]["code"].clone());
    assert_eq!(code(test.graph("stolen", text("Hi")).await), (401, json!(190)));
    assert_eq!(code(test.reply("").await), (400, json!(131_008)));
    assert_eq!(code(test.reply(&"é".repeat(4097)).await), (400, json!(131_009)));
    assert_eq!(code(test.graph("graph-token", buttons).await), (400, json!(131_009)));
    assert_eq!(test.reply(&"é".repeat(4096)).await.0, 200, "characters count, not bytes");
}

#[tokio::test]
async fn a_stranger_who_never_wrote_gets_no_free_text() {
    let test = Test::open();
    assert_eq!(test.reply("Buy now").await.0, 200, "it is accepted first");
    let failed = &test.told("statuses", 1).await[0]["statuses"][0];
    assert_eq!(
        (&failed["status"], &failed["errors"][0]["code"]),
        (&json!("failed"), &json!(131_047))
    );
}

#[tokio::test]
async fn ordered_failures_strike_at_once_or_later() {
    let test = Test::open();
    test.write(json!({"from": PERSON, "name": "Ana", "text": "Hi"})).await;
    test.simulator.world.meta.fail(Failure { code: 130_429, later: false, times: 1 });
    test.simulator.world.meta.fail(Failure { code: 131_026, later: true, times: 1 });
    assert_eq!(test.reply("one").await.1["error"]["code"], 130_429);
    assert_eq!(test.reply("two").await.0, 200);
    assert_eq!(test.told("statuses", 1).await[0]["statuses"][0]["errors"][0]["code"], 131_026);
}

#[tokio::test]
async fn statuses_come_in_the_order_that_was_set() {
    let test = Test::open();
    test.write(json!({"from": PERSON, "name": "Ana", "text": "Hi"})).await;
    let step = |status: &str, after_ms| StatusStep { status: status.to_owned(), after_ms };
    test.simulator.world.meta.set_statuses(vec![step("delivered", 300), step("read", 5)]);
    test.reply("Hello").await;
    let told = test.told("statuses", 2).await;
    let order: Vec<_> = told.iter().map(|value| value["statuses"][0]["status"].clone()).collect();
    assert_eq!(order, ["read", "delivered"]);
}

#[tokio::test]
async fn a_voice_note_is_fetched_in_two_steps() {
    let test = Test::open();
    test.write(json!({
        "from": PERSON, "name": "Ana", "type": "audio", "content": {"voice": true},
        "media_base64": "T2dnUw==", "mime_type": "audio/ogg; codecs=opus",
    }))
    .await;
    let note = test.told("messages", 1).await[0]["messages"][0]["audio"].clone();
    assert_eq!(
        (&note["voice"], &note["mime_type"]),
        (&json!(true), &json!("audio/ogg; codecs=opus"))
    );
    let url = format!(
        "{}/graph/v23.0/{}",
        test.simulator.base_url(),
        note["id"].as_str().expect("an id")
    );
    let fetch = |url: String| test.client.get(url).bearer_auth("graph-token").send();
    let described: Value = fetch(url).await.expect("an answer").json().await.expect("JSON");
    let file = described["url"].as_str().expect("a URL").to_owned();
    assert_eq!(
        fetch(file.clone()).await.expect("an answer").bytes().await.expect("a file"),
        "OggS"
    );
    assert_eq!(test.client.get(file).send().await.expect("an answer").status(), 401);
}

#[tokio::test]
async fn the_webhook_is_verified_by_its_challenge() {
    let test = Test::open();
    let url = format!("{}/sim/chats/verify", test.simulator.base_url());
    let answer: Value =
        test.client.post(url).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer, json!({"verified": true}));
}
