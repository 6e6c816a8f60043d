use domain::{ConversationId, Personal, TenantId, Timestamp};
use jiff::tz::TimeZone;
use store::{
    Store, TenantTx,
    appointments::{self, Agenda, Appointment, NewAppointment, Owner, nearest},
    users::Identity,
};
use testkit::TestDb;
use uuid::Uuid;

/// A check-up of half an hour at two chairs, Monday to Friday 9 to 17 by Toronto's clock.
async fn clinic(db: &TestDb) -> TenantId {
    let tenant = db.add_tenant("demo").await;
    db.owner()
        .await
        .batch_execute(&format!(
            "INSERT INTO resources (tenant, id, name)
                SELECT '{tenant}', gen_random_uuid(), chair
                FROM unnest(ARRAY['Dr. Lee', 'Dr. Roy']) AS chair;
             INSERT INTO services (tenant, id, name, minutes)
                VALUES ('{tenant}', gen_random_uuid(), 'check-up', 30);
             INSERT INTO service_resources (tenant, service, resource)
                SELECT s.tenant, s.id, r.number FROM services s JOIN resources r USING (tenant);
             INSERT INTO business_hours
                SELECT '{tenant}', day, '09:00', '17:00' FROM generate_series(1, 5) AS day;
             INSERT INTO holidays VALUES ('{tenant}', '2030-12-25', 'Christmas')"
        ))
        .await
        .unwrap();
    tenant
}

async fn agenda(tx: &TenantTx) -> Agenda {
    Agenda::load(tx, TimeZone::get("America/Toronto").unwrap()).await.unwrap()
}

fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_micros(at.as_microsecond())
}

async fn book(tx: &TenantTx, start: &str, name: &str, phone: &str) -> Option<Appointment> {
    let agenda = agenda(tx).await;
    let service = agenda.service(None).unwrap();
    let slot = agenda.slot_at(service, at(start)).unwrap();
    let new = NewAppointment {
        id: Uuid::now_v7(),
        slot: &slot,
        service: &service.name,
        name: &Personal::from(name),
        phone: Some(&phone.into()),
        email: None,
        notes: None,
        user: None,
        conversation: Some(ConversationId::from_uuid(Uuid::nil())),
        reached_by: Some(("sms", "+15550100001")),
    };
    appointments::book(tx, &new).await.unwrap()
}

fn owner(phone: &str) -> Owner {
    Owner { phone: Identity::phone(&phone.into()), conversation: None }
}

#[tokio::test]
async fn what_is_booked_is_no_longer_free_until_it_is_cancelled() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = clinic(&db).await;
    let store = db.store().await;
    let tx = store.tenant(tenant).await.unwrap();
    let day = (at("2030-03-05T00:00:00-05:00"), at("2030-03-06T00:00:00-05:00"));
    let agenda = agenda(&tx).await;
    let service = agenda.service(Some("Check-up")).unwrap();
    let starts = async || -> Vec<Timestamp> {
        let free = agenda.free(&tx, service, day).await.unwrap();
        free.into_iter().map(|slot| slot.starts_at).collect()
    };
    assert_eq!(starts().await.len(), 16);
    let ten = "2030-03-05T10:00:00-05:00";
    let first = book(&tx, ten, "Ada", "+15551230001").await.unwrap();
    assert_eq!(first.with, "Dr. Lee");
    assert!(starts().await.contains(&at(ten)), "the other chair is free");
    assert_eq!(book(&tx, ten, "Bo", "+15551230002").await.unwrap().with, "Dr. Roy");
    assert!(!starts().await.contains(&at(ten)));
    assert_eq!(book(&tx, ten, "Cy", "+15551230003").await, None, "nobody is left");

    assert!(appointments::cancel(&tx, first.id).await.unwrap());
    assert!(!appointments::cancel(&tx, first.id).await.unwrap(), "it does not stand any more");
    assert!(starts().await.contains(&at(ten)));
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn an_appointment_moves_even_into_its_own_time_and_stays_where_it_was_if_it_cannot() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = clinic(&db).await;
    let store = db.store().await;
    let tx = store.tenant(tenant).await.unwrap();
    let agenda = agenda(&tx).await;
    let service = agenda.service(None).unwrap();
    let ada = owner("+15551230001");
    let now = at("2030-03-01T12:00:00-05:00");
    let ten = "2030-03-05T10:00:00-05:00";
    let old = book(&tx, ten, "Ada", "+15551230001").await.unwrap();

    let mut slot = agenda.slot_at(service, at(ten)).unwrap();
    slot.starts_at = at("2030-03-05T10:15:00-05:00");
    slot.ends_at = at("2030-03-05T10:45:00-05:00");
    slot.resources = vec![old.resource];
    let moved = appointments::reschedule(&tx, &old, Uuid::now_v7(), &slot).await.unwrap().unwrap();
    let coming = appointments::coming(&tx, &ada, now).await.unwrap();
    assert_eq!(coming, std::slice::from_ref(&moved));

    let noon = "2030-03-05T12:00:00-05:00";
    for name in ["Bo", "Cy"] {
        book(&tx, noon, name, "+15551230002").await.unwrap();
    }
    let full = agenda.slot_at(service, at(noon)).unwrap();
    let refused = appointments::reschedule(&tx, &moved, Uuid::now_v7(), &full).await.unwrap();
    assert_eq!(refused, None);
    assert_eq!(appointments::coming(&tx, &ada, now).await.unwrap(), [moved]);
}

#[tokio::test]
async fn nobody_finds_somebody_elses_appointment() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = clinic(&db).await;
    let store = db.store().await;
    let tx = store.tenant(tenant).await.unwrap();
    let ten = "2030-03-05T10:00:00-05:00";
    let booked = book(&tx, ten, "Ada", "+1 (555) 123-0001").await.unwrap();
    let stranger = owner("+15551239999");
    assert_eq!(appointments::standing(&tx, &stranger, booked.id).await.unwrap(), None);
    let ada = owner("15551230001");
    assert_eq!(appointments::standing(&tx, &ada, booked.id).await.unwrap(), Some(booked.clone()));
    let later = at("2030-03-05T11:00:00-05:00");
    assert!(appointments::coming(&tx, &ada, later).await.unwrap().is_empty(), "it is over");
    assert_eq!(appointments::standing(&tx, &Owner::default(), booked.id).await.unwrap(), None);
    let (_, reach) = appointments::reach(&tx, booked.id).await.unwrap().unwrap();
    assert_eq!((reach.name.reveal(), reach.channel.as_str()), ("Ada", "sms"));
}

#[tokio::test]
async fn of_two_hundred_who_want_twenty_slots_twenty_get_one_and_the_others_an_offer() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = clinic(&db).await;
    let store = db.store().await;
    // Ten times at two chairs.
    let times: Vec<String> = (0..10)
        .map(|i| format!("2030-03-05T{:02}:{:02}:00-05:00", 9 + i / 2, i % 2 * 30))
        .collect();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..200 {
        let (store, start): (Store, _) = (store.clone(), times[caller % times.len()].clone());
        callers.spawn(async move {
            let tx = store.tenant(tenant).await.unwrap();
            let phone = format!("+1555123{caller:04}");
            if book(&tx, &start, "Ada", &phone).await.is_some() {
                tx.commit().await.unwrap();
                return None;
            }
            let agenda = agenda(&tx).await;
            let service = agenda.service(None).unwrap();
            let wanted = at(&start);
            let week = (wanted, wanted.plus(std::time::Duration::from_secs(7 * 86_400)));
            let free = agenda.free(&tx, service, week).await.unwrap();
            Some(nearest(free, wanted, 3))
        });
    }
    let outcomes = callers.join_all().await;
    assert_eq!(outcomes.iter().filter(|o| o.is_none()).count(), 20);
    for offers in outcomes.into_iter().flatten() {
        assert_eq!(offers.len(), 3, "everybody else is offered something");
    }
    let owner = db.owner().await;
    let rows = owner
        .query_one("SELECT count(*), count(DISTINCT (resource, during)) FROM appointments", &[])
        .await
        .unwrap();
    assert_eq!((rows.get::<_, i64>(0), rows.get::<_, i64>(1)), (20, 20));
}
