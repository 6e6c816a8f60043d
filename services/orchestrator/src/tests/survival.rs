//! What the caller hears when the task that answers dies, or the world around it does.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cache::Cache;
use domain::{MessageKind, Payload, Turn};
use store::{calls, conversations, messages};
use tokio::time::timeout;

use super::{
    desk::{GREETING, Outbox, World, openai, rules},
    model_server::{ModelServer, Step},
};
use crate::handlers;

/// The messages of a whole turn with three sentences: three to speak, the end for the edge task,
/// the reply for the history.
const MESSAGES: usize = 5;

#[tokio::test]
async fn a_turn_that_dies_at_any_step_is_one_coherent_answer_once() {
    for hang_at in 0..MESSAGES {
        for is_after in [false, true] {
            let model = ModelServer::never_twice_alike().await;
            let Some(world) = World::new(vec![openai(&model), rules()]).await else { return };
            let call = world.call().await;
            let words = call.says(1, "What do you do?", Some(GREETING));

            let first = Outbox::deadly(hang_at, is_after);
            first.kill(call.handle(&first, &words)).await;
            let second = Outbox::default();
            call.handle(&second, &words).await.unwrap();

            let at =
                format!("died {} message {hang_at}", if is_after { "after" } else { "before" });
            let mut heard = BTreeMap::new();
            for (id, sentence) in first.spoken().into_iter().chain(second.spoken()) {
                let place = (sentence.attempt, sentence.index);
                let before = heard.insert(place, (id, sentence.text.clone()));
                assert!(before.is_none_or(|b| b == (id, sentence.text)), "{at}: {place:?} changed");
            }
            assert_eq!(heard.len(), 3, "{at}: {heard:?}");
            let told: Vec<_> = heard.values().map(|(_, text)| text.reveal()).collect();
            for (index, text) in told.iter().enumerate() {
                assert!(text.ends_with(&format!("has sentence {index}.")), "{at}: {told:?}");
            }
            let replies = second.replies();
            let [(_, reply)] = replies.as_slice() else { panic!("{at}: {replies:?}") };
            assert_eq!(reply.text.reveal(), told.join(" "), "{at}");
            let ids: Vec<_> = first.replies().iter().map(|(e, _)| e.event_id).collect();
            assert!(ids.iter().all(|id| *id == replies[0].0.event_id), "{at}: same id, same reply");

            // A third delivery, after all is done, asks no model again and says nothing new.
            let asked = model.requests().len();
            let third = Outbox::default();
            call.handle(&third, &words).await.unwrap();
            assert_eq!(model.requests().len(), asked, "{at}");
            assert_eq!(third.replies()[0].1.text, reply.text, "{at}");
        }
    }
}

#[tokio::test]
async fn who_goes_on_with_a_turn_waits_for_redis_to_tell_what_was_said_in_it() {
    let Some(stores) = testkit::require_stores() else { return };
    let model = ModelServer::never_twice_alike().await;
    let Some(world) = World::new(vec![openai(&model), rules()]).await else { return };
    let call = world.call().await;
    let words = call.says(1, "What do you do?", Some(GREETING));
    let first = Outbox::deadly(1, false);
    first.kill(call.handle(&first, &words)).await;

    let key = format!("{}:{{{}}}:turn:1", world.prefix, call.conversation);
    stores.redis(&format!("RENAME {key} {key}:kept")).await;
    stores.redis(&format!("SET {key} x")).await;
    let before = stores.type_errors().await;
    let second = Outbox::repeated();
    let comes_back = async {
        while stores.type_errors().await < before + 2 {}
        stores.redis(&format!("RENAME {key}:kept {key}")).await;
    };
    let (handled, ()) = tokio::join!(call.handle(&second, &words), comes_back);
    handled.unwrap();
    let spoken = first.spoken().into_iter().chain(second.spoken());
    let runs: BTreeSet<u32> = spoken.map(|(_, sentence)| sentence.attempt).collect();
    assert_eq!(runs.len(), 1, "it is one answer");
}

#[tokio::test]
async fn a_model_that_goes_on_is_told_what_was_said_already() {
    let model = ModelServer::never_twice_alike().await;
    let Some(world) = World::new(vec![openai(&model)]).await else { return };
    let call = world.call().await;
    let words = call.says(1, "What do you do?", Some(GREETING));
    let first = Outbox::deadly(1, false);
    first.kill(call.handle(&first, &words)).await;
    call.handle(&Outbox::default(), &words).await.unwrap();
    let requests = model.requests();
    let told: Vec<_> = requests[1]["messages"].as_array().unwrap()[1..]
        .iter()
        .map(|m| (m["role"].as_str().unwrap(), m["content"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("assistant", GREETING),
            ("user", "What do you do?"),
            ("assistant", "Answer 0 has sentence 0. Answer 0 has sentence 1."),
        ]
    );
}

#[tokio::test]
async fn the_rules_engine_goes_on_by_counting() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let call = world.call().await;
    let words = call.says(1, "What is the capital of France?", Some(GREETING));
    let first = Outbox::deadly(0, true);
    first.kill(call.handle(&first, &words)).await;
    let second = Outbox::default();
    call.handle(&second, &words).await.unwrap();
    assert_eq!(
        second.texts(),
        ["Sorry, I do not know that.", "Would you like to talk to a person?"]
    );
    assert_eq!(second.spoken()[0].0, first.spoken()[0].0, "the first again, under the same id");
}

#[tokio::test]
async fn a_doubt_closes_the_models_stream_and_a_listening_word_has_it_go_on() {
    let model = ModelServer::start(|number, _| {
        Ok(match number {
            0 => vec![Step::Text("It is a long story. It begi".into()), Step::Stall],
            _ => vec![Step::Text("It ends well.".into()), Step::Done],
        })
    })
    .await;
    let Some(world) = World::new(vec![openai(&model), rules()]).await else { return };
    let call = world.call().await;
    let words = call.says(1, "Tell me everything.", Some(GREETING));
    let (out, sid) = (Outbox::default(), call.call.clone().unwrap());
    let listens = async {
        while out.spoken().is_empty() {
            tokio::task::yield_now().await;
        }
        world.shell.cache.doubt_turn(&sid, Turn(1)).await.unwrap();
        timeout(Duration::from_secs(20), model.client_left()).await.expect("it is told at once");
        assert_eq!(model.requests().len(), 1, "nothing is asked for in doubt");
        world.shell.cache.end_doubt(&sid).await.unwrap();
    };
    let (handled, ()) = tokio::join!(call.handle(&out, &words), listens);
    handled.unwrap();
    assert_eq!(out.texts(), ["It is a long story.", "It ends well."]);
    assert_eq!(out.finished()[0].1.sentences, 2, "one reply, under one attempt");
    assert_eq!(out.replies()[0].1.text.reveal(), "It is a long story. It ends well.");
    let requests = model.requests();
    let last = requests[1]["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(last["content"], "It is a long story.", "it goes on after what was said");
}

#[tokio::test]
async fn a_doubt_that_was_right_keeps_the_words_and_asks_nobody_again() {
    let model = ModelServer::start(|_, _| {
        Ok(vec![Step::Text("It is a long story. It begi".into()), Step::Stall])
    })
    .await;
    let Some(world) = World::new(vec![openai(&model), rules()]).await else { return };
    let call = world.call().await;
    let words = call.says(1, "Tell me everything.", Some(GREETING));
    let (out, sid) = (Outbox::default(), call.call.clone().unwrap());
    let interrupts = async {
        while out.spoken().is_empty() {
            tokio::task::yield_now().await;
        }
        world.shell.cache.doubt_turn(&sid, Turn(1)).await.unwrap();
        timeout(Duration::from_secs(20), model.client_left()).await.expect("it is told at once");
        world.shell.cache.set_fence(&sid, Turn(2)).await.unwrap();
    };
    let (handled, ()) = tokio::join!(call.handle(&out, &words), interrupts);
    handled.unwrap();
    assert_eq!(model.requests().len(), 1);
    assert_eq!(out.replies()[0].1.text.reveal(), "It is a long story.");
    assert!(out.finished().is_empty());
}

#[tokio::test]
async fn barge_in_closes_the_models_stream_and_keeps_the_words() {
    let model = ModelServer::start(|_, _| {
        Ok(vec![Step::Text("It is a long story. It begi".into()), Step::Stall])
    })
    .await;
    let Some(world) = World::new(vec![openai(&model), rules()]).await else { return };
    let call = world.call().await;
    let words = call.says(1, "Tell me everything.", Some(GREETING));
    let out = Outbox::default();
    let barge_in = async {
        while out.spoken().is_empty() {
            tokio::task::yield_now().await;
        }
        world.shell.cache.set_fence(call.call.as_ref().unwrap(), Turn(2)).await.unwrap();
    };
    let (handled, ()) = tokio::join!(call.handle(&out, &words), barge_in);
    handled.unwrap();
    timeout(Duration::from_secs(20), model.client_left()).await.expect("the connection was closed");
    assert_eq!(out.texts(), ["It is a long story."]);
    assert_eq!(out.replies()[0].1.text.reveal(), "It is a long story.");
    assert!(out.finished().is_empty(), "nobody waits for the end of a reply that was cut");

    // The next turn's model knows what was heard of it, to the word.
    let next = call.says(2, "Stop.", Some("It is a"));
    let out = Outbox::default();
    tokio::select! {
        _ = call.handle(&out, &next) => {}
        () = async { while model.requests().len() < 2 { tokio::task::yield_now().await } } => {}
    }
    let requests = model.requests();
    let told: Vec<_> = requests[1]["messages"].as_array().unwrap()[1..]
        .iter()
        .map(|m| m["content"].as_str().unwrap())
        .collect();
    assert_eq!(told, [GREETING, "Tell me everything.", "It is a", "Stop."]);
}

#[tokio::test]
async fn a_turn_the_caller_has_left_behind_is_not_answered_but_remembered() {
    let model = ModelServer::never_twice_alike().await;
    let Some(world) = World::new(vec![openai(&model)]).await else { return };
    let call = world.call().await;
    world.shell.cache.set_fence(call.call.as_ref().unwrap(), Turn(2)).await.unwrap();
    let out = Outbox::default();
    call.handle(&out, &call.says(1, "My name is Anna", Some(GREETING))).await.unwrap();
    assert!(out.all().is_empty());
    call.handle(&out, &call.says(2, "and I need help", None)).await.unwrap();
    let requests = model.requests();
    let messages = requests[0]["messages"].as_array().unwrap();
    let told: Vec<_> = messages[1..].iter().map(|m| m["content"].as_str().unwrap()).collect();
    assert_eq!(told, [GREETING, "My name is Anna", "and I need help"]);
}

#[tokio::test]
async fn a_context_lost_by_redis_comes_back_from_the_history() {
    let Some(mut world) = World::new(vec![rules()]).await else { return };
    let redis_url = testkit::require_stores().unwrap().redis_url;
    let call = world.call().await;
    let out = Outbox::default();
    let words = call.says(1, "I need an appointment", Some(GREETING));
    call.handle(&out, &words).await.unwrap();
    let (sent, reply) = out.replies().remove(0);
    let (conversation, sid) = (call.conversation, call.call.clone().unwrap());

    // What the writer does with the same events.
    let store = world.shell.store.clone();
    let tx = store.tenant(world.tenant).await.unwrap();
    conversations::note(&tx, &words, None, None).await.unwrap();
    let started = domain::CallStarted {
        call: sid.clone(),
        from: "+15550001111".into(),
        to: "+15550100001".into(),
        greeting: GREETING.into(),
    };
    calls::started(&tx, &words, &started).await.unwrap();
    messages::greeted(&tx, &words, &started).await.unwrap();
    let Payload::MessageReceived(received) = &words.payload else { panic!() };
    messages::received(&tx, &words, received).await.unwrap();
    messages::sent(&tx, &sent, &reply).await.unwrap();
    tx.commit().await.unwrap();

    let next = call.says(2, "Anna Lee", Some("Sure. What name is it for?"));
    world.shell.cache = Cache::connect(&redis_url, &testkit::unique_prefix()).unwrap();
    let out = Outbox::default();
    let Payload::MessageReceived(e) = &next.payload else { panic!() };
    handlers::message_received(&world.shell, &out, &next, e).await.unwrap();
    assert_eq!(out.texts(), ["Thank you, Anna Lee.", "Which day would suit you?"]);
    assert_eq!(out.spoken()[0].1.call, sid);

    // Without Redis at all the call goes on just the same.
    world.shell.cache = Cache::connect("redis://127.0.0.1:1", "nowhere").unwrap();
    let out = Outbox::default();
    handlers::message_received(&world.shell, &out, &next, e).await.unwrap();
    assert_eq!(out.texts(), ["Thank you, Anna Lee.", "Which day would suit you?"]);
    assert_eq!(out.replies().len(), 1);
    assert_eq!(conversation, out.replies()[0].0.conversation);
}

#[tokio::test]
async fn without_postgresql_the_last_known_or_built_in_agents_answer() {
    let Some(mut world) = World::new(vec![rules()]).await else { return };
    let keys = testkit::key_ring().await.unwrap();
    world.shell.store =
        store::Store::connect("postgres://nobody@127.0.0.1:1/none", 2, keys).unwrap();
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &call.says(1, "I need an appointment", Some(GREETING))).await.unwrap();
    assert_eq!(out.texts(), ["Sure.", "What name is it for?"]);
}

#[tokio::test]
async fn a_chats_message_delivered_again_is_answered_once() {
    let model = ModelServer::never_twice_alike().await;
    let Some(world) = World::new(vec![openai(&model)]).await else { return };
    let chat = world.chat();
    let words = chat.says(0, "What do you do?", None);
    let first = Outbox::deadly(0, false);
    first.kill(chat.handle(&first, &words)).await;
    let out = Outbox::default();
    chat.handle(&out, &words).await.unwrap();
    chat.handle(&out, &words).await.unwrap();
    let replies = out.replies();
    assert_eq!(replies[0].0.event_id, replies[1].0.event_id);
    assert_eq!(replies[0].1.text, replies[1].1.text);
    assert_eq!(replies[0].0.turn, Turn(1));
    assert!(replies[0].1.text.reveal().starts_with("Answer 0 has sentence 0."));

    let mut old = chat.says(0, "image", None);
    if let Payload::MessageReceived(e) = &mut old.payload {
        e.kind = MessageKind::Unsupported("image".into());
        e.text = "".into();
    }
    let asked = model.requests().len();
    let out = Outbox::default();
    chat.handle(&out, &old).await.unwrap();
    assert_eq!(out.replies()[0].0.turn, Turn(2));
    assert!(out.replies()[0].1.text.reveal().starts_with("I cannot open image messages"));
    assert_eq!(model.requests().len(), asked, "no model is asked about what it cannot see");
}
