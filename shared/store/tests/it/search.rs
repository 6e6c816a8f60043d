//! Finding conversations by what was said in them.

use domain::TenantId;
use store::history::{self, ConversationFilter};
use testkit::TestDb;
use uuid::Uuid;

const NOWHERE: [Uuid; 0] = [];
const NOTHING: [Option<Uuid>; 0] = [];
/// More messages than a page has.
const MANY: i32 = 100;

/// A conversation in which `text` was said, `times` times.
async fn said(db: &TestDb, tenant: TenantId, text: &str, times: i32) -> Uuid {
    let (owner, id) = (db.owner().await, Uuid::now_v7());
    let sql = "INSERT INTO conversations (tenant, id, channel, started_at, last_active_at)
        VALUES ($1, $2, 'whatsapp', now(), now())";
    owner.execute(sql, &[tenant.as_uuid(), &id]).await.unwrap();
    let sql = "INSERT INTO messages (tenant, id, conversation, channel, role, position, kind, text, occurred_at)
        SELECT $1, gen_random_uuid(), $2, 'whatsapp', 'user', n, 'text', $3, now()
        FROM generate_series(1, $4) n";
    owner.execute(sql, &[tenant.as_uuid(), &id, &text, &times]).await.unwrap();
    id
}

async fn found(db: &TestDb, tenant: TenantId, text: &str) -> Vec<Uuid> {
    let tx = db.store().await.tenant(tenant).await.unwrap();
    let filter = ConversationFilter { text: Some(text.into()), ..ConversationFilter::default() };
    let found = history::conversations(&tx, &filter, None, 10).await.unwrap();
    let mut ids: Vec<Uuid> = found.into_iter().map(|conversation| conversation.id).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn words_find_the_tenants_own_conversations_be_they_rare_or_common() {
    let Some(db) = TestDb::create().await else { return };
    let (ours, theirs) = (db.add_tenant("ours").await, db.add_tenant("theirs").await);
    let common = said(&db, ours, "Hello, an appointment please", MANY).await;
    let rare = said(&db, ours, r"My dog's name is Rex\Max; hello!", 1).await;
    let their_rare = said(&db, theirs, "Rex said hello", 1).await;

    assert_eq!(found(&db, ours, "HELLO").await, [common, rare]);
    assert_eq!(found(&db, ours, "appoint").await, [common]);
    assert_eq!(found(&db, ours, "hello dog").await, [rare], "all words, in any order");
    assert_eq!(found(&db, ours, "rex").await, [rare]);
    assert_eq!(found(&db, ours, r"dog's \ rex").await, [rare], "signs are no syntax");
    assert_eq!(found(&db, ours, "& | ! ' :*").await, NOWHERE, "nor words");
    assert_eq!(found(&db, ours, "cat").await, NOWHERE);
    assert_eq!(found(&db, ours, &theirs.to_string()).await, NOWHERE);
    assert_eq!(found(&db, theirs, "rex").await, [their_rare]);
}

#[tokio::test]
async fn who_looks_for_a_word_of_very_many_messages_is_told_to_walk() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("ours").await;
    let said_in = said(&db, tenant, "a winter appointment", 20).await;
    let service = db.owner().await;
    let enter = format!("SET ROLE switchboard_service; SET app.tenant = '{tenant}'");
    service.batch_execute(&enter).await.unwrap();
    let that_say = async |wanted: &str, most: i32| -> Vec<Option<Uuid>> {
        let rows = service.query("SELECT conversations_that_say($1, $2)", &[&wanted, &most]).await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(that_say("winter", 20).await, [Some(said_in)]);
    assert_eq!(that_say("winter", 19).await, [None]);
    assert_eq!(that_say("summer appointment", 20).await, NOTHING);
}

#[tokio::test]
async fn what_was_said_long_ago_is_found_behind_many_newer_conversations() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("ours").await;
    let long_ago = said(&db, tenant, "a winter appointment", 1).await;
    // More than the newest that are walked first.
    let sql = "INSERT INTO conversations (tenant, id, channel, started_at, last_active_at)
        SELECT $1, gen_random_uuid(), 'sms', now(), now() + n * interval '1 s'
        FROM generate_series(1, 1100) n";
    db.owner().await.execute(sql, &[tenant.as_uuid()]).await.unwrap();
    assert_eq!(found(&db, tenant, "winter").await, [long_ago]);
    assert_eq!(found(&db, tenant, "summer").await, NOWHERE);
}

#[tokio::test]
async fn nobody_searches_outside_of_a_tenant() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("ours").await;
    said(&db, tenant, "hello", 1).await;
    let service = db.owner().await;
    service.batch_execute("SET ROLE switchboard_service").await.unwrap();
    let rows = service.query("SELECT conversations_that_say('hello', 10)", &[]).await.unwrap();
    assert!(rows.is_empty());
}
