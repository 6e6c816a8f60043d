//! What people send over WhatsApp besides text, on a running mesh.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::ConversationId;
use serde_json::json;
use simulator::{audio, meta::Chat, modem};
use store::seed::DEMO;

use crate::desk::{Desk, OUR_WHATSAPP};

const SPEAKER: &str = "15557773001";
const CHOOSER: &str = "15557773002";
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A voice note and a text sent right after it: the note is answered by its words, and first.
pub async fn voice_note(desk: &Desk) {
    let words = "I would like to make an appointment";
    let samples = modem::encode(words);
    let wav = audio::write_wav(&audio::write_pcm(&samples), audio::TELEPHONE_HZ, false);
    let note = json!({
        "from": SPEAKER, "name": "Ada", "phone_number_id": OUR_WHATSAPP, "type": "audio",
        "content": {"voice": true}, "media_base64": STANDARD.encode(&wav), "mime_type": "audio/wav",
    });
    let text = json!({
        "from": SPEAKER, "name": "Ada", "phone_number_id": OUR_WHATSAPP, "text": "My name is Anna Lee",
    });
    let path = format!("/sim/chats/{SPEAKER}");
    desk.outside.post("/sim/chats/messages", &note).await.unwrap();
    let taken = |chat: &Chat| chat.lines[0].statuses.iter().any(|s| s.status == "received");
    let _: Chat = desk.outside.until(ANSWER_LIMIT, &path, taken).await.unwrap();
    desk.outside.post("/sim/chats/messages", &text).await.unwrap();
    let answered = |chat: &Chat| chat.replies().len() >= 2;
    let chat: Chat = desk.outside.until(ANSWER_LIMIT, &path, answered).await.unwrap();
    let replies = chat.replies();
    assert!(replies[0].contains("What name is it for?"), "{replies:?}");
    assert!(replies[1].contains("Anna Lee"), "{replies:?}");

    let conversation = ConversationId::of_chat(DEMO, "whatsapp", OUR_WHATSAPP, SPEAKER);
    let rows = desk
        .until("the words of the note in the history", async || {
            let sql = "SELECT text, media_key FROM messages
                WHERE conversation = $1 AND kind = 'voice_note' AND media_key IS NOT NULL";
            let rows = desk.rows(sql, &[conversation.as_uuid()]).await;
            (!rows.is_empty()).then_some(rows)
        })
        .await;
    assert_eq!(rows[0].get::<_, &str>(0), words);
    assert_eq!(desk.file(rows[0].get(1)).await, wav, "kept as it was sent");
}

/// Offered times are buttons, and one that is pressed is the time that is booked.
pub async fn offered_times(desk: &Desk) {
    let words = ["I would like to book next Thursday morning", "My name is Cleo Park"];
    let chat = desk.outside.chat(CHOOSER, OUR_WHATSAPP, &words).await.unwrap();
    let offer = chat.lines.iter().rfind(|line| line.kind == "interactive");
    let offer = offer.unwrap_or_else(|| panic!("times were offered: {:?}", chat.replies()));
    let action = &offer.content["interactive"]["action"];
    let buttons = action["buttons"].as_array().expect("up to three short ones are buttons");
    let chosen = &buttons[1]["reply"];
    let pressed = json!({
        "from": CHOOSER, "name": "Cleo", "phone_number_id": OUR_WHATSAPP, "type": "interactive",
        "content": {"type": "button_reply", "button_reply": chosen}, "reply_to": offer.id,
    });
    let answered = chat.replies().len();
    desk.outside.post("/sim/chats/messages", &pressed).await.unwrap();
    let path = format!("/sim/chats/{CHOOSER}");
    let chat: Chat = desk
        .outside
        .until(ANSWER_LIMIT, &path, |chat: &Chat| chat.replies().len() > answered)
        .await
        .unwrap();
    let title = chosen["title"].as_str().unwrap();
    let clock = title.split_once(' ').map_or(title, |(_, clock)| clock);
    let clock = clock.rsplit(", ").next().unwrap();
    let reply = *chat.replies().last().unwrap();
    assert!(reply.contains(&format!("at {clock}. Is that right?")), "{title}: {reply}");
}
