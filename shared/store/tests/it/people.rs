use domain::{Personal, Timestamp};
use store::users::{self, Identity};
use testkit::TestDb;

#[tokio::test]
async fn a_caller_and_a_whatsapp_contact_with_one_number_are_one_person() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let tx = db.store().await.tenant(tenant).await.unwrap();
    let at = Timestamp::from_micros(1_000_000);

    let caller = Identity::phone(&"+15551234567".into()).unwrap();
    let called = users::note(&tx, std::slice::from_ref(&caller), None, at).await.unwrap().unwrap();

    let contact = [
        Identity::phone(&"15551234567".into()).unwrap(),
        Identity::bsuid(&"US.17".into()).unwrap(),
    ];
    let name = Personal::from("Ada Lovelace");
    let wrote = users::note(&tx, &contact, Some(&name), at).await.unwrap().unwrap();
    assert_eq!(called, wrote);

    // Later the vendor names only the business-scoped id.
    let later = users::note(&tx, &contact[1..], None, at).await.unwrap().unwrap();
    assert_eq!(later, wrote);
    assert_eq!(users::name(&tx, later).await.unwrap(), Some(name));
    assert_eq!(users::by_identity(&tx, &caller).await.unwrap(), Some(later));
}

#[tokio::test]
async fn a_hidden_number_identifies_nobody() {
    for hidden in ["anonymous", "", "+", "unknown", "+1555abc"] {
        assert_eq!(Identity::phone(&hidden.into()), None, "{hidden}");
    }
}

#[tokio::test]
async fn a_person_met_by_many_at_once_is_made_once() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let mut meetings = tokio::task::JoinSet::new();
    for n in 0..12 {
        let store = store.clone();
        meetings.spawn(async move {
            let known_by = [
                Identity::phone(&"+15551234567".into()).unwrap(),
                Identity::bsuid(&"US.17".into()).unwrap(),
            ];
            loop {
                let tx = store.tenant(tenant).await.unwrap();
                let at = Timestamp::from_micros(n);
                let met = users::note(&tx, &known_by, None, at).await;
                match (met, tx.commit().await) {
                    (Ok(user), Ok(())) => return user.unwrap(),
                    (Err(e), _) | (_, Err(e)) => assert!(e.is_transient(), "{e}"),
                }
            }
        });
    }
    let mut met = meetings.join_all().await;
    met.sort();
    met.dedup();
    assert_eq!(met.len(), 1);
    let users: i64 =
        db.owner().await.query_one("SELECT count(*) FROM users", &[]).await.unwrap().get(0);
    assert_eq!(users, 1, "no half-made person is left");
}
