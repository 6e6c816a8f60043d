//! Nothing about a person stands in a plain column.

use domain::{Envelope, EscalationRequested, EventId};
use testkit::TestDb;
use tokio_postgres::Client;

use crate::events;

/// Every row of every table, as text.
async fn dump(owner: &Client) -> String {
    let tables = owner
        .query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'", &[])
        .await
        .unwrap();
    let mut dump = String::new();
    for table in tables {
        let table: &str = table.get(0);
        for row in owner.query(&format!("SELECT r::text FROM {table} r"), &[]).await.unwrap() {
            dump.push_str(row.get(0));
            dump.push('\n');
        }
    }
    dump
}

async fn fill(db: &TestDb, encrypt_text: bool) -> (Client, Vec<Envelope>) {
    let tenant = db.add_tenant("demo").await;
    let owner = db.owner().await;
    owner.execute("UPDATE tenants SET encrypt_text = $1", &[&encrypt_text]).await.unwrap();
    let store = db.store().await;
    let all = [events::call(tenant, 1), events::chat(tenant, 1)].concat();
    let tx = store.tenant(tenant).await.unwrap();
    for event in &all {
        writer::handlers::record(&tx, event).await.unwrap();
    }
    let wanted = EscalationRequested {
        reason: "asked".into(),
        summary: "Ada Lovelace has a toothache".into(),
    };
    let escalation = Envelope { event_id: EventId::random(), ..all[0].clone() };
    assert!(store::escalations::open(&tx, &escalation, &wanted).await.unwrap());
    tx.commit().await.unwrap();
    (owner, all)
}

const PERSONAL: [&str; 6] =
    ["15551234567", "5551234567", "Ada", "Lovelace", "US.4711", "toothache"];
const SAID: [&str; 4] = ["need a dentist", "Friday", "Are you open", "Until five"];

#[tokio::test]
async fn names_and_numbers_are_never_plain_and_text_only_where_the_tenant_lets_it() {
    let Some(db) = TestDb::create().await else { return };
    let (owner, _) = fill(&db, false).await;
    let plain = dump(&owner).await;
    for word in PERSONAL {
        assert!(!plain.contains(word), "{word}");
    }
    for words in SAID {
        assert!(plain.contains(words), "text search needs {words:?}");
    }
}

#[tokio::test]
async fn a_tenant_that_asks_has_its_text_encrypted_and_reads_it_all_the_same() {
    let Some(db) = TestDb::create().await else { return };
    let (owner, all) = fill(&db, true).await;
    let plain = dump(&owner).await;
    for words in PERSONAL.iter().chain(&SAID) {
        assert!(!plain.contains(words), "{words}");
    }
    let store = db.store().await;
    let tx = store.tenant(all[0].tenant).await.unwrap();
    let lines = store::messages::transcript(&tx, all[0].conversation, 10).await.unwrap();
    let texts: Vec<_> = lines.iter().map(|l| l.text.reveal()).collect();
    assert_eq!(
        texts,
        [
            "Hello, this is the clinic.",
            "I need a dentist.",
            "Of course.",
            "No, Friday.",
            "Friday it is."
        ]
    );
}

#[tokio::test]
async fn another_tenants_key_opens_nothing() {
    let Some(db) = TestDb::create().await else { return };
    let (owner, all) = fill(&db, true).await;
    // Someone with the database moves a wrapped key from one tenant's row to another's.
    let other = db.add_tenant("other").await;
    owner
        .execute(
            "UPDATE tenants SET wrapped_key =
                (SELECT wrapped_key FROM tenants WHERE slug = 'demo') WHERE slug = 'other'",
            &[],
        )
        .await
        .unwrap();
    let store = db.store().await;
    let tx = store.tenant(other).await.unwrap();
    let refused = store::messages::transcript(&tx, all[0].conversation, 10).await.unwrap_err();
    assert!(matches!(refused, store::StoreError::Key(domain::KeyError::Refused(_))), "{refused}");
}
