//! What becomes of a message that is sent again from the dead letters, when its conversation has moved on.

use bus::Outcome;
use domain::{Envelope, Payload, Turn};
use store::{conversations, effects, messages};

use super::{
    desk::{GREETING, Outbox, World, openai, rules},
    model_server::ModelServer,
};

fn replayed(words: &Envelope, replays: u32) -> Envelope {
    Envelope { replays, ..words.clone() }
}

#[tokio::test]
async fn a_chats_message_that_was_overtaken_unanswered_gets_its_answer_once() {
    let model = ModelServer::never_twice_alike().await;
    let Some(world) = World::new(vec![openai(&model)]).await else { return };
    let chat = world.chat();
    let lost = chat.says(0, "Do you open on Sunday?", None);
    let first = Outbox::deadly(0, false);
    first.kill(chat.handle(&first, &lost)).await;
    let later = Outbox::default();
    chat.handle(&later, &chat.says(0, "Hello?", None)).await.unwrap();
    assert_eq!(later.replies()[0].0.turn, Turn(2));

    let out = Outbox::default();
    let outcome = chat.handle(&out, &replayed(&lost, 1)).await.unwrap();
    assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
    let [(envelope, reply)] = &out.replies()[..] else { panic!("one answer") };
    assert_eq!((envelope.turn, envelope.event_id), (Turn(3), lost.event_id.child("message-sent")));
    let asked = model.requests();
    let told: Vec<_> = asked.last().unwrap()["messages"].as_array().unwrap()[1..]
        .iter()
        .map(|m| m["content"].as_str().unwrap())
        .collect();
    assert!(told.contains(&"Hello?"), "it is answered as the talk stands now: {told:?}");
    assert_eq!(told.last(), Some(&"Do you open on Sunday?"));

    // The same replay delivered again says the same again, and a later one nothing.
    let again = Outbox::default();
    chat.handle(&again, &replayed(&lost, 1)).await.unwrap();
    assert_eq!(again.replies()[0].1.text, reply.text);
    chat.handle(&Outbox::default(), &chat.says(0, "Thanks", None)).await.unwrap();
    let second = Outbox::default();
    let outcome = chat.handle(&second, &replayed(&lost, 2)).await.unwrap();
    assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
    assert!(second.all().is_empty(), "{:?}", second.all());
}

#[tokio::test]
async fn an_answer_that_stands_in_the_history_is_not_given_again_after_redis_forgot_it() {
    let Some(mut world) = World::new(vec![rules()]).await else { return };
    let redis_url = testkit::require_stores().unwrap().redis_url;
    let chat = world.chat();
    let (words, out) = (chat.says(0, "hi", None), Outbox::default());
    chat.handle(&out, &words).await.unwrap();
    let (sent, reply) = out.replies().remove(0);
    let mut next = chat.says(0, "I need an appointment", None);
    let Payload::MessageReceived(received) = &mut next.payload else { panic!() };
    received.external_id = "wamid.2".into();
    let out = Outbox::default();
    chat.handle(&out, &next).await.unwrap();
    let (last_sent, last_reply) = out.replies().remove(0);

    // What the writer does with the same events.
    let tx = world.shell.store.tenant(world.tenant).await.unwrap();
    conversations::note(&tx, &words, None, None).await.unwrap();
    for (words, sent, reply) in [(&words, &sent, &reply), (&next, &last_sent, &last_reply)] {
        let Payload::MessageReceived(received) = &words.payload else { panic!() };
        messages::received(&tx, words, received).await.unwrap();
        messages::sent(&tx, sent, reply).await.unwrap();
    }
    tx.commit().await.unwrap();

    world.shell.cache = cache::Cache::connect(&redis_url, &testkit::unique_prefix()).unwrap();
    // Its number is lost with Redis, so it gets one as it would have had.
    let conversation = words.conversation;
    world.shell.cache.next_turn(conversation, words.event_id, Turn(0)).await.unwrap();
    let out = Outbox::default();
    let outcome = world.chat().handle(&out, &replayed(&words, 1)).await.unwrap();
    assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
    assert!(out.all().is_empty(), "{:?}", out.all());
}

#[tokio::test]
async fn what_was_done_for_a_message_is_not_done_again_and_whoever_replays_it_is_told() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let chat = world.chat();
    let lost = chat.says(0, "I need an appointment", None);
    let first = Outbox::deadly(0, false);
    first.kill(chat.handle(&first, &lost)).await;
    let tx = world.shell.store.tenant(world.tenant).await.unwrap();
    effects::record(&tx, chat.conversation, Turn(1), "book", &"booked".into()).await.unwrap();
    tx.commit().await.unwrap();
    chat.handle(&Outbox::default(), &chat.says(0, "Hello?", None)).await.unwrap();

    let out = Outbox::default();
    let outcome = chat.handle(&out, &replayed(&lost, 1)).await.unwrap();
    let Outcome::PassedOver(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.starts_with("overtaken: what it asked for was done"), "{why}");
    assert!(out.all().is_empty(), "{:?}", out.all());
}

#[tokio::test]
async fn a_callers_words_that_were_overtaken_are_passed_over_and_so_said() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let call = world.call().await;
    let lost = call.says(1, "My name is Anna", Some(GREETING));
    let later = call.says(2, "I need an appointment", None);
    call.handle(&Outbox::default(), &later).await.unwrap();
    let out = Outbox::default();
    let outcome = call.handle(&out, &replayed(&lost, 1)).await.unwrap();
    let Outcome::PassedOver(why) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why, "overtaken: the conversation has moved on");
    assert!(out.all().is_empty());

    let mut late = replayed(&call.says(3, "Hello?", None), 1);
    late.occurred_at = late.occurred_at.minus(std::time::Duration::from_secs(60));
    let outcome = call.handle(&out, &late).await.unwrap();
    let Outcome::PassedOver(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.starts_with("too late"), "{why}");
    assert!(out.spoken().is_empty(), "nobody on the call waits for it");
}

#[tokio::test]
async fn a_chat_that_a_human_has_is_left_to_them_and_whoever_replays_it_is_told() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let chat = world.chat();
    let words = chat.says(0, "hi", None);
    world.shell.cache.hand_to_human(chat.conversation).await.unwrap();
    // Without the database the mark in Redis counts.
    world.db.cut_off().await;
    let out = Outbox::default();
    let outcome = chat.handle(&out, &replayed(&words, 1)).await.unwrap();
    let Outcome::PassedOver(why) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why, "a human has the chat");
    assert!(out.all().is_empty());
}
