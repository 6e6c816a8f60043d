//! Calls that Twilio recognises and speaks (A3), out of the ordinary. A booking is in [`crate::booking`].

use simulator::caller::{CallReport, CallScript, Utterance};

use crate::desk::{Desk, GREETING, OUR_GATHER_NUMBER, said};

const QUESTION: &str = "Are you still there? I cannot hear you.";

/// Who says nothing is asked twice, then the call ends politely.
pub async fn said_nothing(desk: &Desk) {
    let mut script = CallScript::new("+15557773001", OUR_GATHER_NUMBER, Vec::<String>::new());
    script.options.stays = true;
    let report = desk.outside.call(&script).await.unwrap();
    let goodbye = "I still cannot hear you. Please call again. Goodbye.";
    assert_eq!(report.texts(), [GREETING, QUESTION, QUESTION, goodbye], "{report:#?}");
    assert_eq!(report.ended_by.as_deref(), Some("hangup"));
    assert_eq!(desk.end_of(&report.sid).await, "agent");
}

/// Keys are words as well; whoever hangs up has ended the call.
pub async fn hung_up(desk: &Desk) {
    let mut script = CallScript::new("+15557773002", OUR_GATHER_NUMBER, ["Book an appointment"]);
    script.utterances.push(Utterance { digits: Some("42#".to_owned()), ..Utterance::default() });
    let report = desk.outside.call(&script).await.unwrap();
    assert_eq!(report.heard.len(), 3, "{report:#?}");
    let kept = desk.kept(&report, 5).await;
    assert_eq!(kept.user(), ["Book an appointment", "42"]);
    assert_eq!(kept.agent(), report.texts());
    assert_eq!(desk.ended(&report).await.as_deref(), Some("caller"));
}

/// Whichever edge task dies, the next webhook goes on where the talk was.
pub async fn edge_killed(desk: &Desk) {
    let words = [
        "I would like to make an appointment",
        "My name is Cora Diaz",
        "next Thursday at 10 AM",
        "no, never mind",
        "no thank you",
    ];
    let script = CallScript::new("+15557773003", OUR_GATHER_NUMBER, words);
    let sid = desk.outside.place(&script).await.unwrap();
    for (turn, task) in [(0, "edge-1"), (1, "edge-2")] {
        let spoken = |r: &CallReport| r.said.get(turn).is_some_and(|s| s.end_ms.is_some());
        desk.outside.call_until(&sid, spoken).await.unwrap();
        desk.kill(task);
    }
    let report = desk.outside.over(&sid).await.unwrap();
    assert_eq!(said(&report), words, "{report:#?}");
    assert_eq!(report.ended_by.as_deref(), Some("hangup"), "{report:#?}");
    let answers = report.texts().join(" ");
    assert!(answers.contains("Cora Diaz, check-up, Thursday"), "nothing was forgotten: {answers}");
    let kept = desk.kept(&report, 1 + 2 * words.len()).await;
    assert_eq!(kept.user(), words);
}
