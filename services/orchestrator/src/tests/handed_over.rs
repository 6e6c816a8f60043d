//! A chat that a human has (A7): the agents are silent in it, and only in it.

use std::time::Duration;

use domain::{
    ChatHandover, ConversationId, EscalationRequested, MessageSent, Payload, SentForm, Timestamp,
    Turn, TurnAccount,
};
use store::{escalations, messages};
use tokio::time::timeout;
use uuid::Uuid;

use super::desk::{Outbox, Talk, World, rules};
use crate::context::Context;

/// A human took the chat so long ago, as the database has it; the request's id.
async fn taken(chat: &Talk<'_>, ago: Duration) -> Uuid {
    let world = chat.world;
    let wanted = EscalationRequested { reason: "asked".into(), summary: "An invoice".into() };
    let event = chat.envelope(Turn(1), wanted.clone());
    let id = *event.event_id.as_uuid();
    let tx = world.shell.store.tenant(world.tenant).await.unwrap();
    assert!(escalations::open(&tx, &event, &wanted).await.unwrap());
    assert!(escalations::claim(&tx, id, "jwt:ana", Timestamp::now().minus(ago)).await.unwrap());
    tx.commit().await.unwrap();
    id
}

/// How often agents answer a question in the chat.
async fn answers(chat: &Talk<'_>) -> usize {
    let out = Outbox::default();
    chat.handle(&out, &chat.says(0, "When are you open?", None)).await.unwrap();
    out.replies().len()
}

#[tokio::test]
async fn agents_are_silent_while_a_human_has_the_chat_and_answer_again_after_it() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let (chat, mut other) = (world.chat(), world.chat());
    other.conversation = ConversationId::of_chat(world.tenant, "whatsapp", "1065", "1556");
    let cache = &world.shell.cache;
    let request = taken(&chat, Duration::ZERO).await;
    cache.hand_to_human(chat.conversation).await.unwrap();
    let out = Outbox::default();
    for text in ["Are you still there?", "Hello?"] {
        chat.handle(&out, &chat.says(0, text, None)).await.unwrap();
    }
    assert!(out.all().is_empty(), "the human answers");
    assert_eq!(answers(&other).await, 1, "another chat is not theirs");

    let tx = world.shell.store.tenant(world.tenant).await.unwrap();
    assert!(escalations::close(&tx, request, "jwt:ana", Timestamp::now()).await.unwrap());
    tx.commit().await.unwrap();
    let out = Outbox::default();
    chat.handle(&out, &chat.says(0, "When are you open?", None)).await.unwrap();
    assert_eq!(out.replies().len(), 1, "also while a mark is left in Redis");
    assert!(!out.replies()[0].1.account.is_of_operator(), "it is on record who answered");
}

#[tokio::test]
async fn agents_are_silent_also_where_redis_has_lost_that_a_human_has_the_chat() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let chat = world.chat();
    assert_eq!(answers(&chat).await, 1);
    taken(&chat, Duration::ZERO).await;
    world.shell.cache.forget_context(chat.conversation).await.unwrap();
    assert_eq!(answers(&chat).await, 0, "the database knows it");
}

#[tokio::test]
async fn who_has_the_chat_is_asked_while_its_history_is_read() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let chat = world.chat();
    let (words, out) = (chat.says(0, "I need an appointment", None), Outbox::default());
    chat.handle(&out, &words).await.unwrap();
    let (sent, reply) = out.replies().remove(0);
    // What the writer does with the same events.
    let tx = world.shell.store.tenant(world.tenant).await.unwrap();
    store::conversations::note(&tx, &words, None, None).await.unwrap();
    let Payload::MessageReceived(received) = &words.payload else { unreachable!() };
    messages::received(&tx, &words, received).await.unwrap();
    messages::sent(&tx, &sent, &reply).await.unwrap();
    tx.commit().await.unwrap();
    world.shell.cache.forget_context(chat.conversation).await.unwrap();

    let owner = world.db.owner().await;
    let hold = "BEGIN; LOCK TABLE messages, escalations IN ACCESS EXCLUSIVE MODE";
    owner.batch_execute(hold).await.unwrap();
    let until_both_wait = async {
        let waiting = "SELECT count(DISTINCT relation) FROM pg_locks WHERE NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while owner.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) < 2 {}
        owner.batch_execute("COMMIT").await.unwrap();
    };
    let (name, out) = (chat.says(0, "Anna Lee", None), Outbox::default());
    let (handled, waited) =
        tokio::join!(chat.handle(&out, &name), timeout(Duration::from_secs(20), until_both_wait));
    handled.unwrap();
    waited.expect("both are asked");
    // Asked one after the other, the history would have been given up by then.
    let reply = out.replies()[0].1.text.reveal().to_owned();
    assert!(reply.starts_with("Thank you, Anna Lee."), "{reply}");
}

#[tokio::test]
async fn a_human_who_wrote_nothing_for_too_long_silences_nobody() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let chat = world.chat();
    let limit = ChatHandover::default().idle_after;
    taken(&chat, limit + Duration::from_secs(60)).await;
    world.shell.cache.hand_to_human(chat.conversation).await.unwrap();
    assert_eq!(answers(&chat).await, 1);
}

#[tokio::test]
async fn agents_know_what_the_human_told_the_person_meanwhile() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let chat = world.chat();
    assert_eq!(answers(&chat).await, 1);
    let shell = &world.shell;
    let told = MessageSent {
        to: "+15550001111".into(),
        from: "1065".into(),
        text: "Your invoice is paid.".into(),
        in_reply_to: String::new(),
        attempt: 0,
        account: TurnAccount::of_operator("jwt:ana"),
        choices: Vec::new(),
        form: SentForm::Text,
    };
    let event = chat.envelope(Turn(0), told.clone());
    let tx = shell.store.tenant(world.tenant).await.unwrap();
    store::conversations::note(&tx, &event, Some("1065"), None).await.unwrap();
    messages::sent(&tx, &event, &told).await.unwrap();
    tx.commit().await.unwrap();
    shell.cache.forget_context(chat.conversation).await.unwrap();

    let next = chat.says(0, "Thank you", None);
    let desk = &shell.tenants.get(world.tenant).desk;
    let context = Context::load(&shell.cache, &shell.store, desk, &next).await;
    let known: Vec<_> = context.state.history.iter().map(|said| said.text.reveal()).collect();
    assert_eq!(known, ["Your invoice is paid."]);
}
