//! No route shows or changes anything of another tenant (D2, E5), whatever id it is given.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::edge_task::start_with;

/// One row of everything, of the tenant `$tenant`, every id of which is the tenant's own.
const ONE_ROW_OF_EVERYTHING: &str =
    include_str!("../../../../../shared/store/tests/it/one_row_in_every_table.sql");

#[tokio::test]
async fn every_route_with_another_tenants_credentials_shows_and_changes_nothing() {
    let variables = [("SB_API_REQUESTS_PER_MINUTE", "100000")];
    let Some(edge) = start_with(&variables).await else { return };
    let (ours, theirs) = (edge.db.add_tenant("ours").await, edge.db.add_tenant("theirs").await);
    let owner = edge.db.owner().await;
    let rows = ONE_ROW_OF_EVERYTHING.replace("$tenant", &theirs.to_string());
    owner.batch_execute(&rows).await.unwrap();
    let before = state_of(&owner, theirs.as_uuid()).await;
    assert!(before.len() > 15, "every table has a row of theirs");

    let document = edge.api(Method::GET, "/api/v1/openapi.json", &[], None).await.body;
    let key = edge.api_key(ours, "admin").await;
    let bearer = format!("Bearer {key}");
    // One of them suits each operation; the others are refused.
    let bodies = [
        json!({}),
        json!({"text": "x"}),
        json!({"settings": {"greeting": "x"}}),
        json!({"name": "x", "role": "admin"}),
        json!({"name": "x", "starts_at": "2030-01-01T10:00:00Z"}),
        json!({"to": "+15551234567", "from": "+15550100001"}),
        json!({"starts_at": "2030-01-01T10:00:00Z"}),
        json!({"kind": "task", "config": {}}),
        json!({"priority": 1, "condition": {"words": ["x"]}, "agent": "dentist"}),
        json!({"title": "x", "text": "x"}),
    ];
    let mut walked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|m| *m != "parameters") {
            let method: Method = method.to_uppercase().parse().unwrap();
            // Ids of theirs, as their rows have them: the tenant's own id, and the names in the file.
            for id in [
                theirs.to_string(),
                "CA1".to_owned(),
                "abcdefghijkl".to_owned(),
                "dentist".to_owned(),
            ] {
                let path = path.replace("{id}", &id);
                // An agent is called what it is put under: theirs is the name that may lead to it.
                if method == Method::PUT && path.contains("/agents/") && id != "dentist" {
                    continue;
                }
                let bodies: &[Value] = if method == Method::GET { &[Value::Null] } else { &bodies };
                for body in bodies {
                    let headers = [("authorization", bearer.as_str())];
                    let answer = edge.api(method.clone(), &path, &headers, Some(body)).await;
                    assert!(answer.status < 500, "{method} {path}: {}", answer.body);
                    // A file is no JSON.
                    let told = match answer.body.is_null() {
                        true => answer.text.clone(),
                        false => answer.body["data"].to_string(),
                    };
                    // Whoever puts a document chooses its id, and is told it.
                    let is_chosen = method == Method::PUT && path.contains("/documents/");
                    let is_told = told.contains(&theirs.to_string());
                    assert!(!is_told || is_chosen, "{method} {path}: {told}");
                    walked += 1;
                }
            }
        }
    }
    assert!(walked >= 150, "{walked} requests were made");
    assert_eq!(state_of(&owner, theirs.as_uuid()).await, before, "something of theirs was changed");

    // Whose it is does see it: the walk was not blind.
    let their_key = edge.api_key(theirs, "read_only").await;
    let shown = edge.read(&their_key, &format!("/api/v1/conversations/{theirs}")).await.data();
    assert_eq!(shown["id"], theirs.to_string());
}

/// Every row of theirs in every table, as text.
async fn state_of(owner: &tokio_postgres::Client, tenant: &Uuid) -> Vec<String> {
    let tables = owner
        .query(
            "SELECT table_name::text FROM information_schema.columns
             WHERE table_schema = 'public' AND column_name = 'tenant' ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let mut state = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        let sql =
            format!("SELECT '{table} ' || t::text FROM {table} t WHERE tenant = $1 ORDER BY 1");
        let rows = owner.query(&sql, &[tenant]).await.unwrap();
        state.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    state
}
