use domain::{KeptFile, SentFile, TenantId, Timestamp};
use store::{
    Store,
    knowledge::{self, Found, NewDocument},
};
use testkit::TestDb;
use uuid::Uuid;

const HOURS: &str =
    "We are open Monday to Friday from nine to five.\n\nOn public holidays we are closed.";
const PARKING: &str = "You can park behind the house, free of charge.";

async fn put(store: &Store, tenant: TenantId, title: &str, text: &str) -> bool {
    let tx = store.tenant(tenant).await.unwrap();
    let document = NewDocument {
        id: Uuid::new_v5(tenant.as_uuid(), title.as_bytes()),
        title,
        source: title,
        text,
        file: None,
    };
    let changed = knowledge::put(&tx, &document, Timestamp::now()).await.unwrap();
    tx.commit().await.unwrap();
    changed
}

async fn found(store: &Store, tenant: TenantId, question: &str) -> Vec<Found> {
    let tx = store.tenant(tenant).await.unwrap();
    knowledge::search(&tx, question, None, 3).await.unwrap()
}

#[tokio::test]
async fn a_question_finds_its_own_tenants_answer_and_nothing_where_nothing_fits() {
    let Some(db) = TestDb::create().await else { return };
    let (ours, theirs) = (db.add_tenant("ours").await, db.add_tenant("theirs").await);
    let store = db.store().await;
    assert!(put(&store, ours, "Opening hours", HOURS).await);
    assert!(put(&store, ours, "Parking", PARKING).await);
    assert!(!put(&store, ours, "Parking", PARKING).await, "it is there unchanged");

    let best = found(&store, ours, "Where can I park?").await;
    assert_eq!(best[0].text, PARKING);
    assert_eq!(best[0].title, "Parking");
    assert!(found(&store, ours, "What is the capital of France?").await.is_empty());
    assert!(found(&store, theirs, "Where can I park?").await.is_empty(), "another tenant's");

    put(&store, ours, "Parking", "There is a garage next door.").await;
    assert!(
        found(&store, ours, "Is parking behind the house?").await.is_empty(),
        "it was replaced"
    );
    let tx = store.tenant(ours).await.unwrap();
    let id = Uuid::new_v5(ours.as_uuid(), b"Parking");
    assert!(knowledge::remove(&tx, id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(found(&store, ours, "Where is the garage?").await.is_empty());
}

#[tokio::test]
async fn a_file_is_found_by_what_its_document_is_about_by_its_own_tenant() {
    let Some(db) = TestDb::create().await else { return };
    let (ours, theirs) = (db.add_tenant("ours").await, db.add_tenant("theirs").await);
    let store = db.store().await;
    let file = |name: &str| SentFile {
        file: KeptFile {
            bucket: "files".to_owned(),
            key: name.to_owned(),
            mime_type: "application/pdf".to_owned(),
            bytes: 9,
        },
        filename: Some(name.into()),
        sha256: "ab".to_owned(),
    };
    let put = async |title: &str, text: &str, file: Option<&SentFile>| {
        let tx = store.tenant(ours).await.unwrap();
        let id = Uuid::new_v5(ours.as_uuid(), title.as_bytes());
        let document = NewDocument { id, title, source: title, text, file };
        let changed = knowledge::put(&tx, &document, Timestamp::now()).await.unwrap();
        tx.commit().await.unwrap();
        changed
    };
    let (prices, form) = (file("prices.pdf"), file("form.pdf"));
    put("Price list", "A check-up is 90 dollars. New patients pay once.", Some(&prices)).await;
    put("Registration form", "Fill it in before your first visit.", Some(&form)).await;
    put("Parking", "There is a garage next door.", None).await;
    let asked = async |tenant: TenantId, words: &str| {
        let tx = store.tenant(tenant).await.unwrap();
        knowledge::file_about(&tx, words).await.unwrap().map(|found| found.file)
    };
    for (words, expected) in [
        ("Could you please send me the price list as a PDF?", Some(&prices)),
        ("send me the form for the first visit", Some(&form)),
        ("the registration form", Some(&form)),
        ("send me something", None),
        ("a copy of the garage", None),
        ("the form and the keys of the house by the river", None),
    ] {
        assert_eq!(asked(ours, words).await.as_ref(), expected, "{words}");
        assert_eq!(asked(theirs, words).await, None, "another tenant's");
    }
    assert!(
        !put("Price list", "A check-up is 90 dollars. New patients pay once.", Some(&prices)).await
    );
    assert!(put("Price list", "A check-up is 90 dollars. New patients pay once.", None).await);
    assert_eq!(asked(ours, "the price list").await, None, "it is a file no more");
}

#[tokio::test]
async fn documents_are_listed_page_by_page_and_read_back_as_they_were_given() {
    let Some(db) = TestDb::create().await else { return };
    let (ours, theirs) = (db.add_tenant("ours").await, db.add_tenant("theirs").await);
    let store = db.store().await;
    put(&store, ours, "Opening hours", HOURS).await;
    put(&store, ours, "Parking", PARKING).await;
    put(&store, theirs, "Prices", "A visit is 40 dollars.").await;

    let tx = store.tenant(ours).await.unwrap();
    let first = knowledge::list(&tx, None, 1).await.unwrap();
    let second = knowledge::list(&tx, Some(first[0].id), 10).await.unwrap();
    let mut all = [first, second].concat();
    all.sort_by(|a, b| a.title.cmp(&b.title));
    let told: Vec<_> = all.iter().map(|d| (d.title.as_str(), d.pieces, d.embedded)).collect();
    assert_eq!(told, [("Opening hours", 2, 0), ("Parking", 1, 0)]);

    let hours = knowledge::get(&tx, all[0].id).await.unwrap().unwrap();
    assert_eq!((hours.text.as_str(), hours.listed), (HOURS, all[0].clone()));
    let prices = Uuid::new_v5(theirs.as_uuid(), b"Prices");
    assert_eq!(knowledge::get(&tx, prices).await.unwrap(), None, "another tenant's");

    // Put there by a release that kept no texts.
    tx.commit().await.unwrap();
    db.owner().await.batch_execute("UPDATE knowledge_documents SET text = NULL").await.unwrap();
    let tx = store.tenant(ours).await.unwrap();
    assert_eq!(knowledge::get(&tx, all[0].id).await.unwrap().unwrap().text, HOURS);
}

#[tokio::test]
async fn what_is_said_in_other_words_is_found_by_its_embedding() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("ours").await;
    let store = db.store().await;
    put(&store, tenant, "Parking", PARKING).await;
    put(&store, tenant, "Opening hours", HOURS).await;
    // Of a model's space three directions are enough: parking, hours, and everything else.
    let tx = store.tenant(tenant).await.unwrap();
    let missing = knowledge::unembedded(&tx, "m", 10).await.unwrap();
    assert_eq!(missing.len(), 3);
    for piece in &missing {
        let about: [f32; 3] = match piece.text.starts_with("Parking") {
            true => [1.0, 0.0, 0.1],
            false => [0.0, 1.0, 0.1],
        };
        knowledge::embed(&tx, piece, "m", &about).await.unwrap();
    }
    assert!(knowledge::unembedded(&tx, "m", 10).await.unwrap().is_empty());
    assert_eq!(knowledge::unembedded(&tx, "newer", 10).await.unwrap().len(), 3);

    let question = "Where do I leave my car?";
    assert!(knowledge::search(&tx, question, None, 3).await.unwrap().is_empty(), "no word of it");
    let asked = [0.9, 0.1, 0.1];
    let best = knowledge::search(&tx, question, Some(("m", &asked)), 3).await.unwrap();
    assert_eq!(best.len(), 1);
    assert_eq!(best[0].text, PARKING);
    let strange = [0.0, 0.0, 1.0];
    let none = knowledge::search(&tx, question, Some(("m", &strange)), 3).await.unwrap();
    assert!(none.is_empty(), "about nothing they know: {none:?}");
    let other = knowledge::search(&tx, question, Some(("newer", &asked)), 3).await.unwrap();
    assert!(other.is_empty(), "embeddings of two models are not compared");
}
