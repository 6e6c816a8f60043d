//! Tools of a tenant's own, behind real HTTP: what they answer, and what nobody can have them do (C5).

use std::sync::{Arc, Mutex};

use dialogue_core::tool::{Call, Done, Http, Outcome, ToolRequest};
use domain::{Envelope, Personal};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};

use super::{
    desk::{GREETING, Outbox, Talk, World, openai, rules},
    listening::listen,
    model_server::{ModelServer, Step},
    tools::clinic_with,
};
use crate::{
    llm::LanguageModel,
    tools::{self, OpenMeteo, OwnToolSettings, OwnTools, Scene, Tools, WeatherSettings},
};

/// A system of the tenant's.
struct System {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
    asked: Arc<Notify>,
}

impl System {
    /// One that answers every request with `answer`, as it is; `None`: never.
    async fn start(answer: Option<String>) -> Self {
        let (requests, asked) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let (kept, told) = (requests.clone(), asked.clone());
        let base = listen(move |mut socket| {
            let (kept, told, answer) = (kept.clone(), told.clone(), answer.clone());
            async move {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !is_whole(&request) {
                    match socket.read(&mut buffer).await {
                        Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                        _ => return,
                    }
                }
                kept.lock().unwrap().push(String::from_utf8(request).unwrap());
                told.notify_one();
                match answer {
                    Some(answer) => drop(socket.write_all(answer.as_bytes()).await),
                    None => std::future::pending().await,
                }
            }
        })
        .await;
        Self { base, requests, asked }
    }

    async fn answering(body: &str) -> Self {
        Self::start(Some(ok(body))).await
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    body.len() >= length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}

/// A clinic with the tool `orders` at `base`, which may ask this machine where `loopback`.
async fn clinic(
    models: Vec<Arc<dyn LanguageModel>>,
    (base, method): (&str, &str),
    loopback: bool,
) -> Option<World> {
    boot::install_tls();
    let mut world = clinic_with(models).await?;
    let tools = json!({"tools": [{
        "name": "orders", "description": "Where an order is.", "url": format!("{base}/orders"),
        "method": method, "timeout_ms": 500,
        "parameters": {
            "properties": {"order": {"type": "integer"}},
            "required": ["order"],
            "additionalProperties": false,
        },
    }]});
    let sql = "UPDATE tenants SET settings = settings || $1 WHERE id = $2";
    let owner = world.db.owner().await;
    owner.execute(sql, &[&tools, world.tenant.as_uuid()]).await.unwrap();
    assert_eq!(world.shell.tenants.refresh().await.unwrap(), [], "the settings can be used");
    let hosts = ["127.0.0.1", "localhost"].map(str::to_owned).into();
    let own = OwnTools::new(OwnToolSettings { hosts, loopback }, None).unwrap();
    let weather = OpenMeteo::new(WeatherSettings::at("http://127.0.0.1:9")).unwrap();
    world.shell.tools = Tools::new(weather, None, 6).with_own(own);
    Some(world)
}

fn asked(index: u32) -> Call {
    let arguments = json!({"order": 7});
    Call { index, request: ToolRequest::Http(Http { name: "orders".into(), arguments }) }
}

async fn run(talk: &Talk<'_>, envelope: &Envelope, index: u32, done: &[Done]) -> Outcome {
    let shell = &talk.world.shell;
    let tenant = shell.tenants.get(talk.world.tenant);
    let from = Personal::from("+15550001111");
    let out = Outbox::default();
    let scene = Scene {
        shell,
        out: &out,
        tenant: &tenant,
        envelope,
        from: &from,
        to: "+15550100001",
        turn: envelope.turn,
        at: envelope.occurred_at,
    };
    tools::run(&scene, &asked(index), done).await.unwrap()
}

#[tokio::test]
async fn a_model_asks_a_tenants_own_system_and_tells_what_it_answered() {
    let system = System::answering(r#"{"status": "shipped"}"#).await;
    let model = ModelServer::start(|number, _| match number {
        0 => Ok(vec![Step::Tools(vec![("orders", r#"{"order": "seven"}"#.into())])]),
        1 => Ok(vec![Step::Tools(vec![("orders", r#"{"order": 7}"#.into())])]),
        _ => Ok(vec![Step::Text("It is on its way.".into()), Step::Done]),
    })
    .await;
    let models = vec![openai(&model), rules()];
    let Some(world) = clinic(models, (&system.base, "POST"), true).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &call.says(1, "Where is my order 7?", Some(GREETING))).await.unwrap();
    assert_eq!(out.texts(), ["It is on its way."]);

    let requests = model.requests();
    let offered = requests[0]["tools"].as_array().unwrap();
    let offered = offered.iter().find(|t| t["function"]["name"] == "orders").unwrap();
    assert_eq!(offered["function"]["parameters"]["required"], json!(["order"]));
    let told = |request: usize| -> Value {
        let last = requests[request]["messages"].as_array().unwrap().last().unwrap().clone();
        serde_json::from_str(last["content"].as_str().unwrap()).unwrap()
    };
    assert!(told(1)["value"].as_str().unwrap().contains("order must be a whole number"));
    assert_eq!(told(2)["value"], json!({"status": "shipped"}));
    let [request] = &system.requests()[..] else { panic!("asked once, with what fits") };
    assert!(request.starts_with("POST /orders HTTP/1.1"), "{request}");
    assert!(request.contains("idempotency-key: ") && request.ends_with(r#"{"order":7}"#));
    assert!(!request.contains("5550001111"), "nothing of who calls");
}

#[tokio::test]
async fn what_may_change_something_is_asked_once_a_turn_whoever_dies_between() {
    let system = System::start(None).await;
    let Some(world) = clinic(vec![rules()], (&system.base, "POST"), true).await else { return };
    let talk = world.call().await;
    let envelope = talk.says(1, "Send it again", None);
    // The request has left; the task dies before anybody knows what came of it.
    tokio::select! {
        outcome = run(&talk, &envelope, 0, &[]) => panic!("it was to die: {outcome:?}"),
        () = system.asked.notified() => {}
    }
    let Outcome::Refused(told) = run(&talk, &envelope, 0, &[]).await else { panic!("not known") };
    assert!(told.contains("not known"), "{told}");
    assert_eq!(system.requests().len(), 1, "it is not asked a second time");
}

#[tokio::test]
async fn a_turn_that_is_run_twice_is_told_what_the_tool_answered_the_first_time() {
    let system = System::answering(r#"{"id": 1}"#).await;
    let Some(world) = clinic(vec![rules()], (&system.base, "POST"), true).await else { return };
    let talk = world.call().await;
    let envelope = talk.says(1, "Send it", None);
    let first = run(&talk, &envelope, 0, &[]).await;
    assert_eq!(first, Outcome::Json(json!({"id": 1})));
    assert_eq!(run(&talk, &envelope, 0, &[]).await, first);
    let done = [Done { call: asked(0), outcome: first }];
    assert!(matches!(run(&talk, &envelope, 1, &done).await, Outcome::Refused(_)), "one a turn");
    assert_eq!(system.requests().len(), 1);
}

#[tokio::test]
async fn a_tool_that_does_not_answer_in_time_or_answers_rubbish_has_a_sensible_end() {
    let silent = System::start(None).await;
    let Some(world) = clinic(vec![rules()], (&silent.base, "POST"), true).await else { return };
    let talk = world.call().await;
    let outcome = run(&talk, &talk.says(1, "x", None), 0, &[]).await;
    assert!(matches!(&outcome, Outcome::Refused(told) if told.contains("not known")));
    let Some(world) = clinic(vec![rules()], (&silent.base, "GET"), true).await else { return };
    let talk = world.call().await;
    let outcome = run(&talk, &talk.says(1, "x", None), 0, &[]).await;
    assert_eq!(outcome, Outcome::Unavailable, "nothing was changed");

    let long = format!("\"{}\"", "x".repeat(20_000));
    let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/meta-data\r\n\
                     content-length: 0\r\nconnection: close\r\n\r\n";
    for answer in [ok(&long), ok("<html>"), elsewhere.to_owned()] {
        let system = System::start(Some(answer)).await;
        let Some(world) = clinic(vec![rules()], (&system.base, "POST"), true).await else { return };
        let talk = world.call().await;
        let outcome = run(&talk, &talk.says(1, "x", None), 0, &[]).await;
        assert!(matches!(&outcome, Outcome::Refused(told) if told.contains("cannot be used")));
        assert_eq!(system.requests().len(), 1);
    }
}

#[tokio::test]
async fn no_tool_reaches_a_private_address_by_name_or_number() {
    let system = System::answering("{}").await;
    let port = system.base.rsplit(':').next().unwrap();
    for base in [format!("https://127.0.0.1:{port}"), format!("https://localhost:{port}")] {
        let Some(world) = clinic(vec![rules()], (&base, "GET"), false).await else { return };
        let talk = world.call().await;
        let outcome = run(&talk, &talk.says(1, "x", None), 0, &[]).await;
        assert_eq!(outcome, Outcome::Unavailable, "{base}");
    }
    assert_eq!(system.requests(), [""; 0]);
}
