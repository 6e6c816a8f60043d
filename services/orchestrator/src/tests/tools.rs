//! Tools against a real PostgreSQL: what is booked stands there, once (C5, C6, D6).

use std::{sync::Arc, time::Duration};

use bus::Destination;
use dialogue_core::tool::{
    Book, Call, Cancel, Done, FindSlots, ListAppointments, Outcome, Reschedule, ToolRequest, Window,
};
use domain::{
    AppointmentChange, AppointmentChanged, CallCommand, Channel, ControlCall, Envelope,
    MessageSent, Payload, Personal, SentForm, Timestamp, Turn,
};

use super::{
    desk::{Outbox, Talk, World, openai, rules},
    model_server::ModelServer,
};
use crate::{
    llm::LanguageModel,
    tools::{self, Scene},
};

const CALLER: &str = "+15550001111";
const OUR_NUMBER: &str = "+15550100001";

/// A clinic with one chair, open at every hour of every day, so that the test's clock does not matter.
async fn clinic() -> Option<World> {
    clinic_with(vec![rules()]).await
}

/// The same, whose agents are these models.
pub(super) async fn clinic_with(models: Vec<Arc<dyn LanguageModel>>) -> Option<World> {
    let world = World::new(models).await?;
    let tenant = world.tenant;
    world
        .db
        .owner()
        .await
        .batch_execute(&format!(
            "INSERT INTO addresses (channel, address, tenant, mode) VALUES
                ('voice', '{OUR_NUMBER}', '{tenant}', 'media_stream'),
                ('sms', '{OUR_NUMBER}', '{tenant}', 'chat');
             INSERT INTO resources (tenant, id, name)
                VALUES ('{tenant}', gen_random_uuid(), 'Dr. Lee');
             INSERT INTO services (tenant, id, name, minutes)
                VALUES ('{tenant}', gen_random_uuid(), 'check-up', 30);
             INSERT INTO service_resources (tenant, service, resource)
                SELECT s.tenant, s.id, r.number FROM services s JOIN resources r USING (tenant);
             INSERT INTO business_hours
                SELECT '{tenant}', day, '00:00', '23:30' FROM generate_series(1, 7) AS day"
        ))
        .await
        .unwrap();
    world.shell.tenants.refresh().await.unwrap();
    Some(world)
}

/// Ten o'clock UTC in `days` days.
pub(super) fn ten_in(days: i64) -> jiff::Timestamp {
    let day = jiff::Timestamp::now().as_second() / 86_400 + days;
    jiff::Timestamp::from_second(day * 86_400 + 36_000).unwrap()
}

fn booking(start: jiff::Timestamp) -> ToolRequest {
    ToolRequest::Book(Book {
        start,
        service: None,
        resource: None,
        name: "Ada Lovelace".into(),
        phone: None,
        email: None,
        notes: None,
    })
}

async fn run(
    talk: &Talk<'_>,
    out: &Outbox,
    envelope: &Envelope,
    from: &str,
    request: ToolRequest,
) -> Outcome {
    let shell = &talk.world.shell;
    let tenant = shell.tenants.get(talk.world.tenant);
    let from = Personal::from(from);
    let scene = Scene {
        shell,
        out,
        tenant: &tenant,
        envelope,
        from: &from,
        to: OUR_NUMBER,
        turn: envelope.turn,
        at: envelope.occurred_at,
    };
    tools::run(&scene, &Call { index: 0, request }, &[] as &[Done]).await.unwrap()
}

fn confirmations(out: &Outbox) -> Vec<MessageSent> {
    out.replies().into_iter().map(|(_, message)| message).collect()
}

pub(super) async fn standing(world: &World) -> i64 {
    let owner = world.db.owner().await;
    let sql = "SELECT count(*) FROM appointments WHERE status = 'booked'";
    owner.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_turn_that_is_run_twice_books_once_and_answers_alike() {
    let Some(world) = clinic().await else { return };
    let talk = world.call().await;
    let message = talk.says(1, "tomorrow at ten", None);
    let out = Outbox::default();
    let first = run(&talk, &out, &message, CALLER, booking(ten_in(3))).await;
    assert!(matches!(&first, Outcome::Booked(a) if a.start == ten_in(3)), "{first:?}");
    // A model that is asked anew may even want another time.
    let second = run(&talk, &out, &message, CALLER, booking(ten_in(4))).await;
    assert_eq!(second, first);
    assert_eq!(standing(&world).await, 1);

    let sent = out.replies();
    assert_eq!(sent[0].0.event_id, sent[1].0.event_id, "delivered once");
    assert_eq!((sent[0].0.channel.as_str(), sent[0].1.to.reveal()), ("sms", CALLER));
    assert!(sent[0].1.text.reveal().contains("booked"));
}

#[tokio::test]
async fn of_two_hundred_who_want_twenty_slots_twenty_are_booked_and_the_others_offered_something() {
    let Some(world) = clinic().await else { return };
    let times: Vec<_> = (0..20).map(|i| ten_in(3) + Duration::from_secs(i * 1800)).collect();
    let talk = world.call().await;
    let callers = (0..200_usize).map(|caller| {
        let (talk, request) = (&talk, booking(times[caller % times.len()]));
        async move {
            // Each is a call of its own.
            let call = Talk {
                world: talk.world,
                conversation: domain::ConversationId::from_uuid(uuid::Uuid::now_v7()),
                channel: talk.channel.clone(),
                call: talk.call.clone(),
            };
            let message = call.says(1, "at ten", None);
            let from = format!("+1555000{caller:04}");
            run(&call, &Outbox::default(), &message, &from, request).await
        }
    });
    // All of them in one task: more than it takes at a time.
    let outcomes: Vec<Outcome> = futures::future::join_all(callers).await;
    let booked = outcomes.iter().filter(|o| matches!(o, Outcome::Booked(_))).count();
    let offered =
        outcomes.iter().filter(|o| matches!(o, Outcome::Taken(f) if f.len() == 3)).count();
    assert_eq!((booked, offered), (20, 180));
    assert_eq!(standing(&world).await, 20);
}

#[tokio::test]
async fn an_appointment_is_found_moved_and_called_off_by_its_own_caller_only() {
    let Some(world) = clinic().await else { return };
    let talk = world.call().await;
    let out = Outbox::default();
    let window = Window { from: ten_in(3), until: ten_in(4) };
    let find = FindSlots { service: None, window, near: None, limit: 3 };
    let message = talk.says(1, "what is free", None);
    let found = run(&talk, &out, &message, CALLER, ToolRequest::FindSlots(find)).await;
    let Outcome::Slots(slots) = found else { panic!("{found:?}") };
    assert_eq!((slots.len(), slots[0].start), (3, ten_in(3)));
    let booked = run(&talk, &out, &message, CALLER, booking(slots[0].start)).await;
    let Outcome::Booked(appointment) = booked else { panic!("{booked:?}") };

    let list = ToolRequest::ListAppointments(ListAppointments { phone: None });
    let listed = run(&talk, &out, &message, CALLER, list.clone()).await;
    assert_eq!(listed, Outcome::Appointments(vec![appointment.clone()]));

    let cancel = |id: &str| ToolRequest::Cancel(Cancel { appointment: id.to_owned() });
    let stranger = world.chat();
    let theirs = stranger.says(1, "cancel it", None);
    let refused = run(&stranger, &out, &theirs, "15550009999", cancel(&appointment.id)).await;
    assert_eq!(refused, Outcome::NotFound);

    let start = ten_in(5);
    let later = talk.says(2, "rather later", None);
    let wanted = Reschedule { appointment: appointment.id.clone(), start };
    let moved = run(&talk, &out, &later, CALLER, ToolRequest::Reschedule(wanted)).await;
    let Outcome::Moved(moved) = moved else { panic!("{moved:?}") };
    assert_eq!(moved.start, start);

    let last = talk.says(3, "cancel it", None);
    let cancelled = run(&talk, &out, &last, CALLER, cancel(&moved.id)).await;
    assert_eq!(cancelled, Outcome::Cancelled(moved));
    assert_eq!(standing(&world).await, 0);
    let texts: Vec<_> = confirmations(&out).iter().map(|m| m.text.reveal().to_owned()).collect();
    assert!(texts[0].contains("booked") && texts[1].contains("moved"), "{texts:?}");
    assert!(texts[2].contains("cancelled"), "{texts:?}");
}

#[tokio::test]
async fn a_booking_is_held_while_the_database_is_away_and_confirmed_when_it_is_done() {
    let Some(world) = clinic().await else { return };
    let talk = world.call().await;
    let out = Outbox::default();
    let message = talk.says(1, "tomorrow at ten", None);
    world.db.cut_off().await;
    let outcome = run(&talk, &out, &message, CALLER, booking(ten_in(3))).await;
    assert_eq!(outcome, Outcome::Held);
    assert!(confirmations(&out).is_empty(), "nothing stands yet");
    world.db.restore().await;

    let (to, job) = out.all().pop().unwrap();
    assert_eq!(to, Some(bus::Destination::Shared(bus::Queue::Bookings)));
    let Payload::BookHeld(held) = &job.payload else { panic!("{}", job.payload.name()) };
    for _ in 0..2 {
        tools::book_held(&world.shell, &out, &job, held).await.unwrap();
    }
    assert_eq!(standing(&world).await, 1, "delivered twice, booked once");
    assert!(confirmations(&out)[0].text.reveal().contains("booked"));
}

#[tokio::test]
async fn a_person_is_reminded_of_what_still_stands() {
    let Some(world) = clinic().await else { return };
    let talk = world.call().await;
    let out = Outbox::default();
    let message = talk.says(1, "at ten", None);
    let booked = run(&talk, &out, &message, CALLER, booking(ten_in(3))).await;
    let Outcome::Booked(appointment) = booked else { panic!("{booked:?}") };

    let day_before = Timestamp::from_micros(ten_in(2).as_microsecond());
    let store = &world.shell.store;
    let early = Timestamp::from_micros(day_before.as_micros() - 1);
    assert!(store::due::tenants(store, early).await.unwrap().is_empty());
    let tx = store.tenant(world.tenant).await.unwrap();
    let due = store::due::take(&tx, day_before, 10).await.unwrap().pop().unwrap();
    tx.commit().await.unwrap();
    let bytes = wire::from_body(&due.event).unwrap();
    let wire::Decoded::Whole(event) = wire::decode(&bytes).unwrap() else { panic!("a claim") };
    let Payload::ReminderDue(reminder) = &event.payload else { panic!("{}", event.payload.name()) };
    assert_eq!(event.turn, Turn(0));
    tools::reminder_due(&world.shell, &out, &event, reminder).await.unwrap();
    let last = confirmations(&out).pop().unwrap();
    assert!(last.text.reveal().contains("reminder"), "{}", last.text.reveal());
    assert_eq!(last.to.reveal(), CALLER);

    let call_off = ToolRequest::Cancel(Cancel { appointment: appointment.id });
    let cancelling = talk.says(2, "cancel it", None);
    run(&talk, &out, &cancelling, CALLER, call_off).await;
    let before = confirmations(&out).len();
    tools::reminder_due(&world.shell, &out, &event, reminder).await.unwrap();
    assert_eq!(confirmations(&out).len(), before, "it does not stand any more");
}

#[tokio::test]
async fn a_person_is_told_of_what_the_business_itself_did_to_their_appointment() {
    let Some(world) = clinic().await else { return };
    let talk = world.call().await;
    let message = talk.says(1, "at ten", None);
    let booked = run(&talk, &Outbox::default(), &message, CALLER, booking(ten_in(3))).await;
    let Outcome::Booked(appointment) = booked else { panic!("{booked:?}") };
    let id = appointment.id.parse().unwrap();
    let changed = async |change| {
        let of = (world.tenant, talk.conversation, Channel::SMS);
        let event = AppointmentChanged::of(id, change, of, Timestamp::now());
        let Payload::AppointmentChanged(what) = &event.payload else { unreachable!() };
        let out = Outbox::default();
        for _ in 0..2 {
            tools::appointment_changed(&world.shell, &out, &event, what).await.unwrap();
        }
        let told: Vec<_> = out.replies();
        assert!(told.iter().all(|(e, _)| e.event_id == told[0].0.event_id), "it is sent once");
        told.first().map(|(envelope, message)| {
            assert_eq!((&envelope.channel, message.to.reveal()), (&Channel::SMS, CALLER));
            message.text.reveal().to_owned()
        })
    };
    let told = changed(AppointmentChange::Booked).await.unwrap();
    assert!(told.contains("check-up with Dr. Lee is booked for"), "{told}");
    assert!(changed(AppointmentChange::Moved).await.unwrap().contains("has moved to"));
    assert_eq!(changed(AppointmentChange::Cancelled).await, None, "it stands");

    let tx = world.shell.store.tenant(world.tenant).await.unwrap();
    assert!(store::appointments::cancel(&tx, id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(changed(AppointmentChange::Cancelled).await.unwrap().contains("is cancelled"));
    assert_eq!(changed(AppointmentChange::Booked).await, None, "it does not stand any more");
}

#[tokio::test]
async fn a_card_pauses_the_recording_before_a_model_answers_and_its_end_resumes_it() {
    let model = ModelServer::never_twice_alike().await;
    let Some(world) = World::new(vec![openai(&model)]).await else { return };
    let talk = world.call().await;
    let commands = |out: &Outbox| -> Vec<CallCommand> {
        let command = |envelope: Envelope| match envelope.payload {
            Payload::ControlCall(control) => Some(control.command),
            _ => None,
        };
        out.all().into_iter().filter_map(|(_, e)| command(e)).collect()
    };
    let turns = [
        ("I'd like to pay by card", vec![CallCommand::PauseRecording]),
        ("4111 1111 1111 1111", vec![]),
        ("What are your hours?", vec![CallCommand::ResumeRecording]),
    ];
    for (turn, (text, expected)) in (1..).zip(turns) {
        let out = Outbox::default();
        talk.handle(&out, &talk.says(turn, text, None)).await.unwrap();
        assert_eq!(commands(&out), expected, "{text}");
        let names: Vec<_> = out.all().iter().map(|(_, e)| e.payload.name()).collect();
        let paused = names.iter().position(|name| *name == "ControlCall").unwrap_or(0);
        let spoken = names.iter().position(|name| *name == "SpeakSentence");
        assert!(Some(paused) <= spoken, "before a word of the reply: {names:?}");
    }
}

#[tokio::test]
async fn a_pause_of_the_recording_is_told_to_the_task_that_holds_the_call() {
    let Some(world) = clinic().await else { return };
    let talk = world.call().await;
    let call = talk.call.clone().unwrap();
    let (cache, now) = (&world.shell.cache, Timestamp::now());
    cache.attach_call(&call, 1, "edge-task-2:1", "edge-task-2", now).await.unwrap();
    let message = talk.says(3, "I will pay by card", None);
    let out = Outbox::default();
    let outcome = run(&talk, &out, &message, CALLER, ToolRequest::PauseRecording).await;
    assert_eq!(outcome, Outcome::Done);
    let (to, job) = out.all().remove(0);
    assert_eq!(to, Some(Destination::Task("edge-task-2".into())));
    assert_eq!(job.turn, Turn(3));
    let expected = ControlCall { call, command: CallCommand::PauseRecording };
    assert_eq!(job.payload, expected.into());

    let chat = world.chat();
    let written = chat.says(1, "my card is", None);
    let outcome = run(&chat, &out, &written, CALLER, ToolRequest::ResumeRecording).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "nothing is recorded there");
}

#[tokio::test]
async fn whoever_gave_an_e_mail_address_gets_one_entry_in_their_calendar_that_follows_the_appointment()
 {
    let Some(world) = clinic().await else { return };
    let owner = world.db.owner().await;
    let tenant = world.tenant;
    let sql = format!(
        "INSERT INTO addresses (channel, address, tenant, mode)
         VALUES ('email', 'desk@maple.example', '{tenant}', 'chat')"
    );
    owner.batch_execute(&sql).await.unwrap();
    world.shell.tenants.refresh().await.unwrap();
    let talk = world.call().await;
    let ToolRequest::Book(book) = booking(ten_in(3)) else { unreachable!() };
    let book = Book { email: Some("ada@example.com".into()), ..book };
    let out = Outbox::default();
    let message = talk.says(1, "tomorrow at ten", None);
    let booked = run(&talk, &out, &message, CALLER, ToolRequest::Book(book)).await;
    let Outcome::Booked(booked) = booked else { panic!("{booked:?}") };
    let wanted = Reschedule { appointment: booked.id.clone(), start: ten_in(4) };
    let message = talk.says(2, "the day after", None);
    let moved = run(&talk, &out, &message, CALLER, ToolRequest::Reschedule(wanted)).await;
    let Outcome::Moved(moved) = moved else { panic!("{moved:?}") };
    let wanted = Cancel { appointment: moved.id };
    let message = talk.says(3, "not at all", None);
    run(&talk, &out, &message, CALLER, ToolRequest::Cancel(wanted)).await;

    let mails: Vec<_> =
        out.replies().into_iter().filter(|(e, _)| e.channel == Channel::EMAIL).collect();
    let entries: Vec<_> = mails
        .iter()
        .map(|(_, m)| {
            assert_eq!((m.to.reveal(), m.from.as_str()), ("ada@example.com", "desk@maple.example"));
            let SentForm::Mail(mail) = &m.form else { panic!("no e-mail") };
            let entry = mail.entry.clone().unwrap();
            (entry.id, entry.sequence, entry.is_cancelled, entry.starts_at)
        })
        .collect();
    let at = |days| Timestamp::from_micros(ten_in(days).as_microsecond());
    let one = |sequence, cancelled, days| (booked.id.clone(), sequence, cancelled, at(days));
    assert_eq!(entries, [one(0, false, 3), one(1, false, 4), one(2, true, 4)]);
}
