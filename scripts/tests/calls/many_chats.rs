//! Many chats at once.

use std::time::Duration;

use domain::ConversationId;
use serde_json::json;
use simulator::meta::Chat;
use store::seed::DEMO;

use crate::desk::{Desk, OUR_WHATSAPP};

const CHATS: usize = 8;
/// What each writes as fast as it is taken in, without awaiting an answer.
const BURST: [&str; 4] = ["Hello", "I need an appointment", "Anna Lee", "Next Tuesday at two"];
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

pub async fn bursts(desk: &Desk) {
    futures::future::join_all((0..CHATS).map(|number| burst(desk, number))).await;
}

async fn burst(desk: &Desk, number: usize) {
    let from = format!("155577750{number:02}");
    let path = format!("/sim/chats/{from}");
    let mut ids: Vec<String> = Vec::new();
    for text in BURST {
        let message = json!({
            "from": from, "name": "Anna", "phone_number_id": OUR_WHATSAPP, "text": text,
        });
        let written = desk.outside.post("/sim/chats/messages", &message).await.unwrap();
        ids.push(written["id"].as_str().unwrap().to_owned());
        // The order kept is the order of arrival: two webhooks under way at once have none.
        let taken = |chat: &Chat| {
            let ours = chat.lines.iter().filter(|line| line.by_person);
            ours.filter(|line| line.statuses.iter().any(|s| s.status == "received")).count()
                == ids.len()
        };
        let _: Chat = desk.outside.until(ANSWER_LIMIT, &path, taken).await.unwrap();
    }
    let settled = |chat: &Chat| {
        let ours = chat.lines.iter().filter(|line| !line.by_person);
        let read = |of: &&simulator::meta::Line| of.statuses.iter().any(|s| s.status == "read");
        ours.filter(read).count() >= BURST.len()
    };
    let chat: Chat = desk.outside.until(ANSWER_LIMIT, &path, settled).await.unwrap();

    let conversation = ConversationId::of_chat(DEMO, "whatsapp", OUR_WHATSAPP, &from);
    let rows = desk
        .until("delivery of every answer", async || {
            let sql = "SELECT m.text, m.in_reply_to, d.status, m.turn FROM messages m
                JOIN deliveries d ON d.tenant = m.tenant AND d.message = m.id
                WHERE m.conversation = $1 AND m.role = 'agent' ORDER BY m.position";
            let rows = desk.rows(sql, &[conversation.as_uuid()]).await;
            let read = rows.iter().filter(|row| row.get::<_, &str>(2) == "read").count();
            (read >= BURST.len()).then_some(rows)
        })
        .await;
    let answered: Vec<&str> = rows.iter().map(|row| row.get(1)).collect();
    assert_eq!(answered, ids, "each message is answered once and in its turn");
    let turns: Vec<i32> = rows.iter().map(|row| row.get(3)).collect();
    assert_eq!(turns, [1, 2, 3, 4]);
    let kept: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(kept, texts(&chat, false), "what was read is what is kept");
    let sql =
        "SELECT text FROM messages WHERE conversation = $1 AND role = 'user' ORDER BY position";
    let rows = desk.rows(sql, &[conversation.as_uuid()]).await;
    let written: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(written, BURST, "what was written is what is kept, in order");
    assert!(
        kept[3].contains("Anna Lee, check-up, Tuesday"),
        "the answers knew what came before: {kept:?}"
    );
}

fn texts(chat: &Chat, by_person: bool) -> Vec<&str> {
    let lines = chat.lines.iter().filter(|line| line.by_person == by_person);
    lines.map(|line| line.text.as_str()).collect()
}
