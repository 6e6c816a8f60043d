//! A caller and somebody who writes each leave with an appointment (C6): understood, looked up, read back, agreed to,
//! booked once, and told of it by message.

use std::time::Duration;

use domain::{CallSid, ConversationId};
use serde_json::Value;
use simulator::caller::{CallReport, CallScript};
use store::seed::DEMO;

use crate::desk::{Desk, OUR_GATHER_NUMBER, OUR_NUMBER, OUR_WHATSAPP, said};

const CALLER: &str = "+15557771001";
const GATHERED_CALLER: &str = "+15557771003";
const WRITER: &str = "15557771002";
const MESSAGE_LIMIT: Duration = Duration::from_secs(20);

/// The call of the requirements: name, the caller's own number, a time, read back, yes, a text message.
pub async fn by_voice(desk: &Desk) {
    let report = by_phone(desk, CALLER, OUR_NUMBER).await;
    assert_ne!(report.ended_by.as_deref(), Some("caller"), "nothing was left to say");
}

/// The same over a number without a media stream (A3): same words, same appointment, same transcript.
pub async fn by_gather(desk: &Desk) {
    let report = by_phone(desk, GATHERED_CALLER, OUR_GATHER_NUMBER).await;
    assert_eq!(report.ended_by.as_deref(), Some("hangup"), "{report:#?}");
    assert!(report.events.iter().all(|event| event.what != "stream-started"));
    let kept = desk.kept(&report, report.said.len() + report.heard.len()).await;
    assert_eq!(kept.user(), said(&report));
    assert_eq!(kept.agent(), report.texts());
    assert_eq!(desk.ended(&report).await.as_deref(), Some("agent"));
    let sql = "SELECT 1 FROM messages
        WHERE conversation = $1 AND role = 'agent' AND heard_whole IS NOT TRUE";
    let unheard = desk.rows(sql, &[kept.conversation.as_uuid()]).await.len();
    assert_eq!(unheard, 0, "every reply counts as heard");
}

async fn by_phone(desk: &Desk, caller: &str, our_number: &str) -> CallReport {
    let script = CallScript::new(
        caller,
        our_number,
        [
            "I would like to make an appointment",
            "My name is Anna Lee",
            "next Wednesday at 2 PM",
            "yes please",
            "no thank you",
        ],
    );
    let report = desk.outside.call(&script).await.unwrap();
    let heard = report.texts().join(" ");
    let ending = caller[caller.len() - 4..].chars().map(String::from).collect::<Vec<_>>().join(" ");
    assert!(heard.contains(&format!("at 2 PM, number ending {ending}. Is that right?")), "{heard}");
    assert!(heard.contains("You are booked for Wednesday"), "{heard}");

    let call = CallSid::parse(&report.sid).unwrap();
    let conversation = ConversationId::of_call(DEMO, &call);
    assert_eq!(standing(desk, conversation).await, 1, "booked once");
    let to_the_caller = |sent: &Value| -> Vec<Value> {
        let all = sent.as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|message| message["to"] == caller).collect()
    };
    let is_told = |sent: &Value| !to_the_caller(sent).is_empty();
    let sent: Value = desk.outside.until(MESSAGE_LIMIT, "/sim/sms", is_told).await.unwrap();
    let texts = to_the_caller(&sent);
    assert_eq!(texts.len(), 1, "told once: {texts:?}");
    let body = texts[0]["body"].as_str().unwrap_or_default();
    assert!(body.contains("is booked for Wednesday"), "{body}");
    assert_eq!(texts[0]["from"], our_number);
    report
}

/// The same in a chat; then it is moved, and called off.
pub async fn by_chat(desk: &Desk) {
    let words = [
        "Can I book next Thursday at 11 am?",
        "Ben Okoro",
        "yes",
        "I need to move my appointment",
        "an hour later please",
        "yes",
        "please cancel my appointment",
        "yes",
    ];
    let chat = desk.outside.chat(WRITER, OUR_WHATSAPP, &words).await.unwrap();
    let replies = chat.replies();
    assert_eq!(replies.len(), words.len(), "{replies:?}");
    for (at, parts) in [
        (1, ["Ben Okoro, check-up, Thursday", "at 11 AM. Is that right?"]),
        (2, ["You are booked for Thursday", "at 11 AM"]),
        (5, ["It has moved to Thursday", "at 12 PM"]),
        (7, ["It is cancelled.", "Anything else?"]),
    ] {
        assert!(parts.iter().all(|part| replies[at].contains(part)), "{}", replies[at]);
    }
    let conversation = ConversationId::of_chat(DEMO, "whatsapp", OUR_WHATSAPP, WRITER);
    assert_eq!(standing(desk, conversation).await, 0);
    let sql = "SELECT 1 FROM appointments WHERE conversation = $1";
    let kept = desk.rows(sql, &[conversation.as_uuid()]).await.len();
    assert_eq!(kept, 2, "as it was first, and as it was moved");
}

async fn standing(desk: &Desk, conversation: ConversationId) -> usize {
    let sql = "SELECT 1 FROM appointments WHERE conversation = $1 AND status = 'booked'";
    desk.rows(sql, &[conversation.as_uuid()]).await.len()
}
