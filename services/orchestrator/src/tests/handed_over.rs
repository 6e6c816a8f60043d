//! A chat that a human has (A7): the agents are silent in it, and only in it.

use domain::ConversationId;

use super::desk::{Outbox, World, rules};

#[tokio::test]
async fn agents_are_silent_while_a_human_has_the_chat_and_answer_again_after_it() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let (chat, mut other) = (world.chat(), world.chat());
    other.conversation = ConversationId::of_chat(world.tenant, "whatsapp", "1065", "1556");
    let cache = &world.shell.cache;
    cache.hand_to_human(chat.conversation).await.unwrap();
    let out = Outbox::default();
    for text in ["Are you still there?", "Hello?"] {
        chat.handle(&out, &chat.says(0, text, None)).await.unwrap();
    }
    assert!(out.all().is_empty(), "the human answers");
    other.handle(&out, &other.says(0, "When are you open?", None)).await.unwrap();
    assert_eq!(out.replies().len(), 1, "another chat is not theirs");

    cache.give_back(chat.conversation).await.unwrap();
    let out = Outbox::default();
    chat.handle(&out, &chat.says(0, "When are you open?", None)).await.unwrap();
    assert_eq!(out.replies().len(), 1);
    assert!(!out.replies()[0].1.account.is_of_operator(), "it is on record who answered");
}
