//! What a tenant configures over the API: agents, rules, documents; and the lists it takes away.

use std::time::Duration;

use domain::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use store::seed::DEMO;

use super::{Answer, reading::chat};
use crate::edge_task::{EdgeTask, start};

async fn ask(edge: &EdgeTask, method: Method, key: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {key}");
    edge.api(method, path, &[("authorization", bearer.as_str())], Some(body)).await
}

#[tokio::test]
async fn an_agent_has_a_new_version_with_every_change_and_a_bad_one_is_refused_as_the_tasks_would()
{
    let Some(edge) = start().await else { return };
    let (developer, operator) =
        (edge.api_key(DEMO, "developer").await, edge.api_key(DEMO, "operator").await);
    let path = "/api/v1/agents/billing";
    let wanted = json!({"kind": "task", "config": {"instructions": "Be brief."}});
    let put = async |body: &Value| ask(&edge, Method::PUT, &developer, path, body).await;
    assert_eq!(
        ask(&edge, Method::PUT, &operator, path, &wanted).await.refusal(),
        (403, "forbidden")
    );
    let first = put(&wanted).await.data();
    assert_eq!((&first["version"], &first["enabled"]), (&json!(1), &json!(true)));
    assert_eq!(put(&wanted).await.data()["version"], 1, "the same is no new version");
    let mut other = wanted.clone();
    other["config"]["tools"] = json!(["find_slots"]);
    other["version"] = json!(1);
    assert_eq!(put(&other).await.data()["version"], 2);
    assert_eq!(put(&other).await.refusal(), (409, "changed"), "somebody was first");

    for (bad, field, named) in [
        (json!({"kind": "telepathy", "config": {}}), "kind", "kind"),
        (json!({"kind": "task", "config": {"tools": ["fly"]}}), "config", "fly"),
        (json!({"kind": "task", "config": {"instruction": "x"}}), "config", "instruction"),
        (json!({"kind": "task", "config": []}), "config", "map"),
    ] {
        let refused = put(&bad).await;
        assert_eq!(refused.refusal(), (400, "invalid_body"), "{bad}");
        assert_eq!(refused.body["error"]["field"], field);
        assert!(refused.body["error"]["message"].as_str().unwrap().contains(named), "{bad}");
    }
    let shown = edge.read(&operator, path).await.data();
    assert_eq!(
        (&shown["version"], &shown["config"]["tools"][0]),
        (&json!(2), &json!("find_slots"))
    );
    let off = json!({"kind": "task", "config": {}, "enabled": false});
    assert_eq!(put(&off).await.data()["enabled"], false);
    let listed = edge.read(&operator, "/api/v1/agents").await.data();
    let billing = listed.as_array().unwrap().iter().find(|a| a["name"] == "billing").unwrap();
    assert_eq!(billing["version"], 3);

    let library = json!({"kind": "information_retrieval", "config": {}});
    let classifier = json!({"kind": "intent_classifier", "config": {"wins_from": 0.6}});
    for (name, body) in [("library", &library), ("intents", &classifier)] {
        let path = format!("/api/v1/agents/{name}");
        let stored = ask(&edge, Method::PUT, &developer, &path, body).await.data();
        assert_eq!(stored["kind"], body["kind"]);
    }
    let second = put(&classifier).await;
    assert_eq!(second.refusal(), (409, "second_classifier"), "there is one of a tenant");
    let speaking = json!({"kind": "intent_classifier", "config": {"voice": "x"}});
    assert_eq!(put(&speaking).await.body["error"]["field"], "config");
    let to_nobody = json!({"priority": 5, "condition": {"words": ["a"]}, "agent": "intents"});
    let refused = ask(&edge, Method::POST, &developer, "/api/v1/routing-rules", &to_nobody).await;
    assert_eq!(refused.body["error"]["field"], "agent", "it never answers");
    let bad_name = ask(&edge, Method::PUT, &developer, "/api/v1/agents/Billing!", &wanted).await;
    assert_eq!(bad_name.refusal(), (400, "invalid_parameter"));
}

#[tokio::test]
async fn a_rule_is_added_changed_and_removed_and_leads_to_an_agent_that_is_there() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "developer").await;
    let agent = json!({"kind": "task", "config": {}});
    ask(&edge, Method::PUT, &key, "/api/v1/agents/billing", &agent).await.data();
    let rule = json!({"priority": 5, "condition": {"words": ["refund"]}, "agent": "billing"});
    let added = ask(&edge, Method::POST, &key, "/api/v1/routing-rules", &rule).await;
    assert_eq!(added.status, 201);
    let added = added.data();
    let path = format!("/api/v1/routing-rules/{}", added["id"].as_str().unwrap());
    let mut changed = rule.clone();
    changed["condition"] = json!({"words": ["refund", "money back"], "spoken": true});
    let put = ask(&edge, Method::PUT, &key, &path, &changed).await.data();
    assert_eq!(put["condition"]["words"][1], "money back");
    for (field, wrong) in [
        ("agent", json!("nobody")),
        ("condition", json!({"words": []})),
        ("condition", json!({"word": ["refund"]})),
        ("priority", json!("first")),
    ] {
        let mut bad = rule.clone();
        bad[field] = wrong;
        let refused = ask(&edge, Method::PUT, &key, &path, &bad).await;
        assert_eq!(refused.refusal(), (400, "invalid_body"), "{bad}");
        assert_eq!(refused.body["error"]["field"], field);
    }
    assert_eq!(edge.read(&key, "/api/v1/routing-rules").await.data()[0]["id"], added["id"]);
    assert_eq!(ask(&edge, Method::DELETE, &key, &path, &json!({})).await.status, 200);
    assert_eq!(edge.read(&key, &path).await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn a_document_is_put_read_back_found_by_its_words_and_removed() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "developer").await;
    let id = uuid::Uuid::new_v4();
    let path = format!("/api/v1/documents/{id}");
    let long = "There is a jetty behind the house.\n\n".repeat(4_000);
    let document = json!({"title": "Jetty", "text": long});
    let put = ask(&edge, Method::PUT, &key, &path, &document).await.data();
    assert_eq!((&put["title"], &put["source"]), (&json!("Jetty"), &json!("Jetty")));
    let shown = edge.read(&key, &path).await.data();
    assert!(shown["text"].as_str().unwrap().starts_with("There is a jetty"));
    let listed = edge.read(&key, "/api/v1/documents?limit=100").await.data();
    let listed = listed["items"].as_array().unwrap();
    assert!(listed.iter().any(|d| d["id"] == id.to_string()));
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let found = store::knowledge::search(&tx, "jetty house", None, 1).await.unwrap();
    assert_eq!(found[0].source, "Jetty");
    drop(tx);
    let empty = ask(&edge, Method::PUT, &key, &path, &json!({"title": "x", "text": " "})).await;
    assert_eq!(empty.refusal(), (400, "invalid_body"));
    let huge = json!({"title": "x", "text": "x".repeat(600_000)});
    assert_eq!(
        ask(&edge, Method::PUT, &key, &path, &huge).await.refusal(),
        (413, "payload_too_large")
    );
    assert_eq!(ask(&edge, Method::DELETE, &key, &path, &json!({})).await.status, 200);
    assert_eq!(edge.read(&key, &path).await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn a_document_may_be_a_file_that_was_handed_over() {
    let Some(edge) = start().await else { return };
    let (developer, operator) =
        (edge.api_key(DEMO, "developer").await, edge.api_key(DEMO, "operator").await);
    let path = format!("/api/v1/documents/{}", uuid::Uuid::new_v4());
    let bearer = format!("Bearer {operator}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/pdf")];
    let pdf = b"%PDF-1.4".as_slice();
    let handed = edge.post("/api/v1/media?filename=prices.pdf", &headers, pdf).await;
    let handed: Value = serde_json::from_str(&handed.1).unwrap();
    let document = |file: &Value| json!({"title": "Prices", "text": "40 dollars.", "file": file});
    let put =
        async |file: &Value| ask(&edge, Method::PUT, &developer, &path, &document(file)).await;
    let shown = put(&handed["data"]["id"]).await.data();
    let expected = json!({"media_type": "application/pdf", "bytes": 8, "filename": "prices.pdf"});
    assert_eq!(shown["file"], expected);
    assert_eq!(edge.read(&developer, &path).await.data()["about"]["file"], expected);
    let refused = put(&json!(uuid::Uuid::new_v4())).await;
    assert_eq!(refused.refusal(), (400, "invalid_body"));
    assert_eq!(refused.body["error"]["field"], "file");
    assert_eq!(put(&Value::Null).await.data()["file"], Value::Null);
}

async fn free_times(edge: &EdgeTask, key: &str) -> Vec<String> {
    let day = |days: u64| {
        let at = Timestamp::now().plus(Duration::from_secs(days * 86_400));
        jiff::Timestamp::from_microsecond(at.as_micros()).unwrap()
    };
    let path = format!("/api/v1/availability?service=cleaning&from={}&to={}", day(5), day(9));
    let times = edge.read(key, &path).await.data();
    let starts = times.as_array().unwrap().iter().map(|t| t["starts_at"].as_str().unwrap());
    starts.map(str::to_owned).collect()
}

#[tokio::test]
async fn an_appointment_is_moved_once_and_the_old_one_names_the_new() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "operator").await;
    let times = free_times(&edge, &key).await;
    let wanted = json!({"starts_at": times[0], "service": "cleaning", "name": "Ana Silva"});
    let booked = edge.write(&key, "/api/v1/appointments", &wanted).await.data();
    let old = format!("/api/v1/appointments/{}", booked["id"].as_str().unwrap());
    let to = json!({"starts_at": times[3]});
    let night = json!({"starts_at": "2030-01-01T03:00:00Z"});
    let path = format!("{old}/move");
    assert_eq!(edge.write(&key, &path, &night).await.refusal(), (409, "not_offered"));
    let moved = edge.write(&key, &path, &to).await;
    assert_eq!(moved.status, 201);
    let moved = moved.data();
    assert_eq!((&moved["starts_at"], &moved["name"]), (&to["starts_at"], &json!("Ana Silva")));
    assert_eq!(moved["with"], booked["with"], "whoever is free stays");
    let shown = edge.read(&key, &old).await.data();
    assert_eq!((&shown["status"], &shown["moved_to"]), (&json!("cancelled"), &moved["id"]));
    assert_eq!(edge.write(&key, &path, &to).await.refusal(), (409, "not_booked"));

    let services = edge.read(&key, "/api/v1/services").await.data();
    assert!(services.as_array().unwrap().iter().any(|s| s["name"] == "cleaning"));
    let resources = edge.read(&key, "/api/v1/resources").await.data();
    assert!(resources.as_array().unwrap().iter().any(|r| r["name"] == booked["with"]));
    let hours = edge.read(&key, "/api/v1/hours").await.data();
    assert!(hours["timezone"].is_string() && !hours["week"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_list_is_a_file_of_lines_with_all_of_it_and_on_record() {
    let Some(edge) = start().await else { return };
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let begin = Timestamp::from_micros(1_800_000_000_000_000);
    // More than are read at once.
    for n in 0..503_u64 {
        let at = begin.plus(Duration::from_secs(60 * n));
        chat(&tx, &format!("+1555123{n:04}"), &["Hello"], at).await;
    }
    tx.commit().await.unwrap();
    let key = edge.api_key(DEMO, "developer").await;
    let file = async |query: &str| {
        let url = format!("{}/api/v1/exports/conversations{query}", edge.base);
        let response = edge.http.get(url).bearer_auth(&key).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        (kind, response.text().await.unwrap())
    };
    let (kind, lines) = file("").await;
    assert_eq!(kind, "application/x-ndjson");
    let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((lines.len(), ids.len()), (503, 503), "each once");
    let (kind, csv) = file("?format=csv&limit=501").await;
    assert_eq!(kind, "text/csv; charset=utf-8");
    assert!(csv.starts_with("id,channel,our_address,person,name,contact,"), "{}", &csv[..80]);
    assert_eq!(csv.lines().count(), 502);
    assert!(csv.contains(",+15551230502,"));

    let person = lines[0]["person"]["id"].as_str().unwrap();
    let url = format!("{}/api/v1/users/{person}/export", edge.base);
    let all = edge.http.get(url).bearer_auth(&key).send().await.unwrap().text().await.unwrap();
    let all: Vec<Value> = all.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let kinds: Vec<_> = all.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["person", "conversation", "message", "message"], "theirs alone");
    assert_eq!(all[2]["data"]["text"], "Hello");

    let reader = edge.api_key(DEMO, "operator").await;
    let refused = edge.read(&reader, "/api/v1/exports/appointments").await;
    assert_eq!(refused.refusal(), (403, "forbidden"), "a person's data leaves");
    let admin = edge.api_key(DEMO, "admin").await;
    let log = edge.read(&admin, "/api/v1/audit").await.data();
    assert_eq!(log["items"][0]["action"], "export");
    assert_eq!(log["items"][0]["detail"]["user"], person);
    assert_eq!(log["items"][1]["subject"], "conversations");
}
