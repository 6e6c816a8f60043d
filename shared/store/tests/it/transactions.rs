use domain::{ConversationId, EventId, Personal, Turn};
use store::{claims, due, effects};
use testkit::TestDb;

#[tokio::test]
async fn of_many_who_claim_an_event_at_once_one_gets_it() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let event = EventId::random();
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        tries.spawn(async move {
            let tx = store.tenant(tenant).await.unwrap();
            let claimed = claims::claim(&tx, "writer", event).await.unwrap();
            tx.commit().await.unwrap();
            claimed
        });
    }
    let claimed = tries.join_all().await.into_iter().filter(|c| *c).count();
    assert_eq!(claimed, 1);
}

#[tokio::test]
async fn a_claim_that_was_rolled_back_is_free_again_and_other_consumers_have_their_own() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let event = EventId::random();
    let dropped = store.tenant(tenant).await.unwrap();
    assert!(claims::claim(&dropped, "writer", event).await.unwrap());
    drop(dropped);

    let tx = store.tenant(tenant).await.unwrap();
    assert!(claims::claim(&tx, "writer", event).await.unwrap(), "the first was rolled back");
    assert!(claims::claim(&tx, "edge", event).await.unwrap(), "another consumer");
    assert!(!claims::claim(&tx, "writer", event).await.unwrap(), "the same again");
}

#[tokio::test]
async fn a_connection_that_comes_back_from_a_dropped_transaction_knows_no_tenant() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let keys = testkit::key_ring().await.unwrap();
    // Two connections, one of them for health: every transaction uses the same one.
    let store = store::Store::connect(&db.url(), 2, keys).unwrap();
    for _ in 0..3 {
        drop(store.tenant(tenant).await.unwrap());
        let unknown = domain::TenantId::from_uuid(uuid::Uuid::nil());
        let tx = store.tenant(unknown).await.unwrap();
        let person = store::users::Identity::phone(&"+15551234567".into()).unwrap();
        let refused = store::users::by_identity(&tx, &person).await;
        assert!(matches!(refused, Err(store::StoreError::NoTenant)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_tools_effect_is_recorded_once_and_its_answer_kept() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let conversation = ConversationId::from_uuid(uuid::Uuid::now_v7());
    let answer = Personal::from("booked for Ada");

    let tx = store.tenant(tenant).await.unwrap();
    assert!(effects::record(&tx, conversation, Turn(2), "book", &answer).await.unwrap());
    tx.commit().await.unwrap();

    let tx = store.tenant(tenant).await.unwrap();
    let again = Personal::from("something else");
    assert!(!effects::record(&tx, conversation, Turn(2), "book", &again).await.unwrap());
    let found = effects::find(&tx, conversation, Turn(2), "book").await.unwrap();
    assert_eq!(found, Some(answer));
    assert_eq!(effects::find(&tx, conversation, Turn(3), "book").await.unwrap(), None);
}

#[tokio::test]
async fn two_cannot_book_the_same_chair_at_the_same_time() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let owner = db.owner().await;
    owner
        .execute(
            "INSERT INTO resources (tenant, id, name)
             SELECT $1, gen_random_uuid(), chair FROM unnest(ARRAY['one', 'two']) AS chair",
            &[tenant.as_uuid()],
        )
        .await
        .unwrap();
    let book = async |chair: &str, from: &str, to: &str| {
        owner
            .execute(
                "INSERT INTO appointments (tenant, id, resource, during, status, service)
                 SELECT $1, gen_random_uuid(), number,
                    tstzrange($3::text::timestamptz, $4::text::timestamptz), 'booked', 'check-up'
                 FROM resources WHERE name = $2",
                &[tenant.as_uuid(), &chair, &from, &to],
            )
            .await
    };
    book("one", "2030-01-01 10:00Z", "2030-01-01 11:00Z").await.unwrap();
    book("one", "2030-01-01 11:00Z", "2030-01-01 12:00Z").await.expect("the next hour is free");
    book("two", "2030-01-01 10:00Z", "2030-01-01 11:00Z").await.expect("the other chair is free");
    let twice = book("one", "2030-01-01 10:30Z", "2030-01-01 10:45Z").await.unwrap_err();
    assert_eq!(twice.as_db_error().unwrap().constraint(), Some("no_double_booking"));

    owner.execute("UPDATE appointments SET status = 'cancelled'", &[]).await.unwrap();
    book("one", "2030-01-01 10:30Z", "2030-01-01 10:45Z").await.expect("a cancelled one is free");
}

#[tokio::test]
async fn what_is_due_is_taken_once_by_whoever_comes_and_stays_when_it_could_not_be_published() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    db.owner()
        .await
        .execute(
            "INSERT INTO addresses (channel, address, tenant, mode) VALUES ('sms', '+1', $1, 'chat')",
            &[tenant.as_uuid()],
        )
        .await
        .unwrap();
    let store = db.store().await;
    let now = domain::Timestamp::now();
    let later = now.plus(std::time::Duration::from_secs(60));
    let [soon, late, dropped] = [(); 3].map(|()| uuid::Uuid::now_v7());
    let tx = store.tenant(tenant).await.unwrap();
    for (id, at) in [(soon, now), (late, later), (dropped, now)] {
        due::schedule(&tx, id, at, "an event").await.unwrap();
    }
    due::forget(&tx, dropped).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(due::tenants(&store, now).await.unwrap(), [tenant]);

    let failed = store.tenant(tenant).await.unwrap();
    let taken = due::take(&failed, now, 10).await.unwrap();
    assert_eq!(taken, [due::Due { id: soon, event: "an event".into() }]);
    let other = store.tenant(tenant).await.unwrap();
    assert!(due::take(&other, now, 10).await.unwrap().is_empty(), "another has it");
    drop((failed, other));

    let tx = store.tenant(tenant).await.unwrap();
    let mut again = due::take(&tx, now, 10).await.unwrap();
    while again.is_empty() {
        // The rollback is under way.
        tokio::task::yield_now().await;
        again = due::take(&tx, now, 10).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert!(due::tenants(&store, now).await.unwrap().is_empty());
    assert_eq!(due::tenants(&store, later).await.unwrap(), [tenant]);
}

#[tokio::test]
async fn what_is_held_is_due_when_the_person_writes_and_at_its_own_time_at_the_latest() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let now = domain::Timestamp::now();
    let later = now.plus(std::time::Duration::from_secs(7 * 24 * 60 * 60));
    let [anas, bens] = [(); 2].map(|()| domain::ConversationId::from_uuid(uuid::Uuid::now_v7()));
    let tx = store.tenant(tenant).await.unwrap();
    for chat in [anas, bens] {
        due::hold(&tx, *chat.as_uuid(), chat, later, "an event").await.unwrap();
    }
    assert!(due::take(&tx, now, 10).await.unwrap().is_empty());
    due::release(&tx, anas, now).await.unwrap();
    let taken = due::take(&tx, now, 10).await.unwrap();
    assert_eq!(taken.iter().map(|due| due.id).collect::<Vec<_>>(), [*anas.as_uuid()]);
    assert_eq!(due::take(&tx, later, 10).await.unwrap().len(), 1, "nobody waits for ever");
}
