//! What a whole run leaves in logs and metrics names nobody, and no secret (F4, E4, D3).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::path::Path;

use boot::Environment;
use domain::{CallSid, ConversationId};
use scripts::history::History;
use scripts::log::{Echo, Log};
use scripts::mesh::{Mesh, Options};
use scripts::outside::Outside;
use scripts::provision::CREDENTIALS;
use scripts::stores::Environment as Variables;
use serde_json::{Value, json};
use simulator::caller::CallScript;
use store::seed::DEMO;

const OUR_NUMBER: &str = "+15550100001";
const OUR_WHATSAPP: &str = "106540352242922";
const CALLER: &str = "+15557770931";
const WRITER: &str = "15557770932";
const SAID: [&str; 2] = ["I would like an appointment", "purple walrus"];
const WRITTEN: [&str; 2] = ["What are your opening hours", "turquoise pelican"];
/// Nobody's words but theirs.
const TELLTALE: [&str; 6] =
    ["walrus", "pelican", "5557770931", "5557770932", "Ada", "opening hours"];
/// Ours in detail: what others log there is theirs.
const OURS_IN_DETAIL: &str = "info,actix_server=warn,edge=debug,voice=debug,orchestrator=debug,writer=debug,bus=debug,\
    store=debug,cache=debug,speech=debug,call_core=debug,dialogue_core=debug";
/// A shorter value is found anywhere.
const SHORTEST_SECRET: usize = 12;

#[tokio::test]
async fn a_run_leaves_no_secret_no_number_and_no_word_in_logs_and_metrics() {
    let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("discretion");
    let _ = std::fs::remove_dir_all(&logs);
    let log = Log::open(&logs, Echo::Off).unwrap();
    let given = [("SB_LOG_FORMAT", "json"), ("SB_LOG", OURS_IN_DETAIL)];
    let given: Variables =
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mesh = Mesh::start(Options { given, ..Options::new().unwrap() }, &log).await.unwrap();
    let outside = Outside::new(&mesh.endpoints().simulator).unwrap();
    let environment: Environment = mesh.environment().clone().into_iter().collect();
    let history = History::open(&environment).await.unwrap();

    let script = CallScript::new(CALLER, OUR_NUMBER, SAID);
    let (call, chat) =
        tokio::join!(outside.call(&script), outside.chat(WRITER, OUR_WHATSAPP, &WRITTEN));
    let call = CallSid::parse(&call.unwrap().sid).unwrap();
    chat.unwrap();
    let conversation = ConversationId::of_call(DEMO, &call);
    history.whole(conversation, 2 * SAID.len(), SAID.len()).await.unwrap();
    // A forged request is logged as well.
    let http = reqwest::Client::new();
    let forged = [("From", CALLER), ("To", OUR_NUMBER), ("CallSid", call.as_str())];
    let url = format!("{}/twilio/voice", mesh.endpoints().edge);
    let refused = http.post(url).header("x-twilio-signature", "no").form(&forged).send().await;
    assert_eq!(refused.unwrap().status(), 401);

    let mut told = Vec::new();
    for task in mesh.endpoints().tasks {
        let metrics = http.get(format!("http://{}/metrics", task.ops)).send().await.unwrap();
        told.push((format!("metrics of {}", task.name), metrics.text().await.unwrap()));
        told.push((format!("log of {}", task.name), mesh.log().read(&task.name)));
    }
    let secrets = secrets(mesh.environment());
    assert!(secrets.len() >= 8, "{}", secrets.len());
    for (what, text) in &told {
        assert!(!text.is_empty(), "{what} is empty");
        for (name, secret) in &secrets {
            assert!(!text.contains(secret), "{what} has {name}");
        }
        for word in TELLTALE {
            let line = text.lines().find(|line| line.contains(word));
            assert!(line.is_none(), "{what} tells of somebody ({word}): {line:?}");
        }
    }

    // What is logged while a message is handled says which.
    let mut within_messages = 0;
    for (what, text) in told.iter().filter(|(what, _)| what.starts_with("log")) {
        for line in text.lines() {
            let line: Value = serde_json::from_str(line)
                .unwrap_or_else(|_| panic!("{what} has a line that is no JSON: {line}"));
            let span = &line["span"];
            if span["name"] == json!("message") {
                within_messages += 1;
                for id in ["trace_id", "conversation", "turn", "event_id"] {
                    assert!(!span[id].is_null(), "{what}: {line}");
                }
            }
        }
    }
    assert!(within_messages > 0, "nothing is logged while messages are handled");
    mesh.stop().await.unwrap();
}

/// Every credential of the run, by name.
fn secrets(environment: &Variables) -> Vec<(String, String)> {
    let named = CREDENTIALS.iter().copied().chain(["SB_DEMO_API_KEY", "AWS_SECRET_ACCESS_KEY"]);
    let mut secrets = Vec::new();
    for name in named {
        let Some(value) = environment.get(name) else { continue };
        let secret =
            match (name, value.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'))) {
                // A URL's login; its host is no secret.
                ("DATABASE_URL" | "REDIS_URL", Some((login, _))) => {
                    login.rsplit_once(':').map_or(login, |(_, password)| password).to_owned()
                }
                ("DATABASE_URL" | "REDIS_URL", None) => continue,
                _ => value.clone(),
            };
        if secret.len() >= SHORTEST_SECRET {
            secrets.push((name.to_owned(), secret));
        }
    }
    secrets
}
