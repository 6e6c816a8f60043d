//! Answers that were not heard to the end, and turns that were not finished.

use std::time::Duration;

use scripts::stereo::Stereo;
use simulator::caller::{BargeIn, CallScript, Utterance};
use simulator::modem;

use crate::desk::{Desk, GREETING, OUR_NUMBER, said};

/// What the rules engine answers to what it cannot do, and the sentence after it.
const OFFER: &str = "I can make, move or cancel an appointment.";
const BEYOND_THE_RULES: &str = "The weather is nice.";
const INTERRUPTION: &str = "Hold on please";

/// What it takes to notice that somebody speaks over the agent: 64 ms of voice, and the way.
const NOTICED_MS: u64 = 94;
/// When the caller may speak without being noticed to interrupt: the greeting is over.
const AFTER_GREETING_MS: u64 = 8_000;

/// Callers who speak into the middle of a word, in the greeting and in an answer.
pub async fn spoken_over(desk: &Desk) {
    let cuts = [(GREETING, "Thank"), (GREETING, "calling"), (OFFER, "move"), (OFFER, "cancel")];
    let calls = cuts.iter().enumerate().map(async |(number, (text, word))| {
        let from = format!("+155577720{number:02}");
        speak_over(desk, &from, text, word).await;
    });
    futures::future::join_all(calls).await;
}

async fn speak_over(desk: &Desk, from: &str, text: &str, word: &str) {
    let turn = usize::from(text == OFFER);
    let mut script = CallScript::new(from, OUR_NUMBER, [] as [&str; 0]);
    script.utterances = [BEYOND_THE_RULES; 1][..turn].iter().map(|t| Utterance::text(*t)).collect();
    let barge_in = Some(BargeIn { after_ms: middle_ms(text, word) - NOTICED_MS });
    script.utterances.push(Utterance { barge_in, ..Utterance::text(INTERRUPTION) });
    let report = desk.outside.call(&script).await.unwrap();

    let before_the_word = text.split(word).next().unwrap().trim();
    let cut = &report.heard[turn];
    assert_eq!(cut.text, before_the_word, "the caller spoke into {word}: {report:#?}");
    let [cleared_ms] = report.clears_ms[..] else { panic!("{:?}", report.clears_ms) };
    assert!(cut.end_ms <= cleared_ms + 20, "heard until {}, cleared at {cleared_ms}", cut.end_ms);
    let rest = &report.heard[turn + 1..];
    assert!(rest.len() == 1 && rest[0].whole, "one whole answer follows: {rest:#?}");

    // A reply of which nothing was heard is not shown.
    let unheard = usize::from(before_the_word.is_empty());
    let kept = desk.kept(&report, 2 * (turn + 1) + 1 - unheard).await;
    assert_eq!(kept.user(), said(&report));
    let heard: Vec<&str> = report.texts().into_iter().filter(|text| !text.is_empty()).collect();
    assert_eq!(kept.agent(), heard, "what is kept was heard, to the word");
    let sql = "SELECT heard_whole, intended FROM messages
        WHERE conversation = $1 AND turn = $2 AND role = 'agent'";
    let rows = desk.rows(sql, &[kept.conversation.as_uuid(), &(turn as i32)]).await;
    assert_eq!(rows[0].get::<_, Option<bool>>(0), Some(false));
    let intended: String = rows[0].get(1);
    assert!(intended.starts_with(text), "what was meant is kept apart: {intended}");
}

/// The middle of a word of a text that is spoken, milliseconds.
fn middle_ms(text: &str, word: &str) -> u64 {
    let spoken = modem::decode(&modem::encode(text));
    let span = &spoken.words.iter().find(|spoken| spoken.text == word).unwrap().span;
    (span.start + span.end) / 2 / 8
}

/// A caller who hangs up right after the last word, and one in the middle of it.
pub async fn hung_up_on(desk: &Desk) {
    let text = "Please cancel my appointment";
    let lasts_ms = modem::encode(text).len() as u64 / 8;
    tokio::join!(
        hang_up(desk, "+15557773001", text, lasts_ms + 100, text),
        hang_up(desk, "+15557773002", text, lasts_ms - 300, "Please cancel my"),
    );
}

async fn hang_up(desk: &Desk, from: &str, text: &str, after_ms: u64, arrives: &str) {
    let mut script = CallScript::new(from, OUR_NUMBER, [text]);
    script.utterances[0].at_ms = Some(AFTER_GREETING_MS);
    script.options.hang_up_after_ms = Some(AFTER_GREETING_MS + after_ms);
    let report = desk.outside.call(&script).await.unwrap();
    assert_eq!(report.texts(), [GREETING], "{report:#?}");

    let kept = desk.kept(&report, 2).await;
    assert_eq!(kept.user(), [arrives], "what was said before the end is kept");
    assert_eq!(kept.agent(), [GREETING], "an answer nobody heard is not");
    assert_eq!(desk.ended(&report).await.as_deref(), Some("caller"));
    let key = desk.recording(&report).await;
    let recorded = Stereo::decode(&desk.file(&key).await).unwrap();
    assert_eq!(recorded.caller.text(), arrives);
    assert_eq!(recorded.agent.text(), GREETING);
}

/// A caller whose line carries nothing: the talk does not wait for ever.
pub async fn never_heard(desk: &Desk) {
    let silent_stream = Duration::from_secs(10);
    let mut script = CallScript::new("+15557774001", OUR_NUMBER, [] as [&str; 0]);
    script.options.no_media = true;
    script.options.stays = true;
    script.options.hang_up_after_ms = Some(silent_stream.as_millis() as u64 + 3_000);
    let report = desk.outside.call(&script).await.unwrap();
    assert_eq!(report.heard[0].text, GREETING, "who hears nothing speaks nonetheless");
    let came = |what| report.events.iter().filter(|event| event.what == what).count();
    assert_eq!((came("redirect"), came("stream-started")), (1, 2), "{:#?}", report.events);
    let kept = desk.kept(&report, 1).await;
    assert_eq!(kept.agent(), [GREETING]);
    assert!(kept.user().is_empty());
}
