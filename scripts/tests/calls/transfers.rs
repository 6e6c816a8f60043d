//! Calls that go to a human (A7): told so, announced to whoever takes them, and back with the agent where nobody does.

use domain::{CallSid, ConversationId};
use serde_json::json;
use simulator::caller::{CallReport, CallScript, Utterance};
use store::seed::DEMO;

use crate::desk::{Desk, GREETING, OUR_GATHER_NUMBER, OUR_NUMBER, said};

const HUMAN: &str = "+15550100009";
const PUT_THROUGH: &str = "One moment, I will put you through.";
const NOBODY: &str = "Nobody could take the call just now. What else can I do for you?";
const FAREWELL: &str = "Thank you for calling. Goodbye.";
/// The caller waits while a telephone rings and nobody comes, and says something before being asked for it.
const PATIENCE_MS: u64 = 4_000;

pub async fn all(desk: &Desk) {
    tokio::join!(
        answered(desk, "+15557774001", OUR_NUMBER),
        answered(desk, "+15557774002", OUR_GATHER_NUMBER),
    );
    let nobody = json!({"number": HUMAN, "answers": "no-answer"});
    desk.outside.put("/sim/parties", &nobody).await.unwrap();
    tokio::join!(
        returned(desk, "+15557774003", OUR_NUMBER),
        returned(desk, "+15557774004", OUR_GATHER_NUMBER),
    );
}

async fn answered(desk: &Desk, caller: &str, our_number: &str) {
    let words = ["I would like to speak to a person"];
    let mut script = CallScript::new(caller, our_number, words);
    script.options.stays = true;
    let report = desk.outside.call(&script).await.unwrap();
    assert_eq!(report.texts(), [GREETING, PUT_THROUGH], "{report:#?}");
    assert_eq!(report.ended_by.as_deref(), Some("hangup"), "when the human's talk was over");
    assert_eq!(happened(&report, "dial"), [HUMAN]);
    let told = "A call for Maple Dental. Somebody asked for a person.";
    assert_eq!(happened(&report, "whisper"), [told]);

    let kept = desk.kept(&report, 3).await;
    assert_eq!(kept.user(), words);
    assert_eq!(kept.agent(), [GREETING, PUT_THROUGH]);
    assert_eq!(desk.end_of(&report.sid).await, "transferred");
    stands(desk, &report, "answered").await;
    if our_number == OUR_NUMBER {
        desk.recording(&report).await;
    }
}

async fn returned(desk: &Desk, caller: &str, our_number: &str) {
    let mut script = CallScript::new(caller, our_number, ["I would like to speak to a person"]);
    script
        .utterances
        .push(Utterance { pause_before_ms: PATIENCE_MS, ..Utterance::text("Goodbye") });
    let report = desk.outside.call(&script).await.unwrap();
    assert_eq!(report.texts(), [GREETING, PUT_THROUGH, NOBODY, FAREWELL], "{report:#?}");
    let kept = desk.kept(&report, 5).await;
    assert_eq!(kept.user(), said(&report));
    assert_eq!(kept.agent(), [GREETING, PUT_THROUGH, FAREWELL]);
    assert_eq!(desk.end_of(&report.sid).await, "agent");
    stands(desk, &report, "returned").await;
    if our_number == OUR_NUMBER {
        desk.recording(&report).await;
    }
}

/// The history comes to say how the transfer went.
async fn stands(desk: &Desk, report: &CallReport, status: &str) {
    let call = CallSid::parse(&report.sid).unwrap();
    let sql = "SELECT 1 FROM call_logs WHERE call = $1 AND transfer_status = $2";
    let look = async || desk.rows(sql, &[&report.sid, &status]).await.pop();
    desk.until("word of the transfer", look).await;
    let conversation = ConversationId::of_call(DEMO, &call);
    let sql = "SELECT 1 FROM messages
        WHERE conversation = $1 AND role = 'agent' AND heard_whole IS NOT TRUE";
    let unheard = desk.rows(sql, &[conversation.as_uuid()]).await.len();
    assert_eq!(unheard, 0, "all of it was heard");
}

/// What of this kind happened in the call, as Twilio saw it.
fn happened<'a>(report: &'a CallReport, what: &str) -> Vec<&'a str> {
    let events = report.events.iter().filter(|event| event.what == what);
    events.map(|event| event.detail.as_str()).collect()
}
