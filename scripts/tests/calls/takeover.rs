//! Calls whose edge task is lost: killed, or told to stop (DESIGN 5). Another goes on with them. A host that is gone without
//! a word cannot be had here, for tasks of one machine share a port: `services/edge/tests/border/takeover.rs` has it.

use rustix::process::Signal;
use scripts::stereo::{APART_SAMPLES, Stereo};
use simulator::caller::{CallReport, CallScript};

use crate::desk::{Desk, GREETING, OUR_NUMBER, said};

/// What the rules engine answers to what it cannot do.
const BEYOND_THE_RULES: &str = "What is the capital of France?";
pub const BACK: &str = "I am back, sorry about that.";
const FAREWELL: &str = "Thank you for calling. Goodbye.";
/// Longer than the call takes to come back, so that the caller does not speak into the silence, and shorter than the agent
/// waits before it asks whether somebody is there.
const QUIET_MS: u64 = 7_500;

/// Twilio's word for a media socket that ended without being closed.
const SOCKET_BROKE: u32 = 31921;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// `kill -9`: the socket is closed.
    Killed,
    /// Told to stop, as a deploy does.
    Stopped,
}

pub async fn goes_on(desk: &Desk, loss: Loss) {
    let from = format!("+1555777500{}", loss as u8);
    let mut script = CallScript::new(&from, OUR_NUMBER, [BEYOND_THE_RULES, "Thank you, goodbye"]);
    script.options.quiet_ms = QUIET_MS;
    script.options.patience_ms = 40_000;
    let sid = desk.outside.place(&script).await.unwrap();
    let spoken = |r: &CallReport| r.said.first().is_some_and(|said| said.end_ms.is_some());
    desk.outside.call_until(&sid, spoken).await.unwrap();
    let sql = "SELECT 1 FROM messages JOIN call_logs USING (conversation)
        WHERE call = $1 AND role = 'user'";
    let taken = async || desk.rows(sql, &[&sid]).await.first().map(|_| ());
    desk.until("turn of the caller", taken).await;
    let holder = holder(desk, &sid);
    let signal = match loss {
        Loss::Killed => Signal::KILL,
        Loss::Stopped => Signal::TERM,
    };
    let before = desk.signal(&holder, signal);
    let report = desk.outside.over(&sid).await.unwrap();
    assert_eq!(said(&report), [BEYOND_THE_RULES, "Thank you, goodbye"], "{report:#?}");
    let heard = report.texts().join(" ");
    assert!(heard.starts_with(GREETING), "{loss:?}: {heard}");
    assert_eq!(heard.matches(BACK).count(), 1, "{loss:?}: {heard}");
    assert!(heard.ends_with(FAREWELL), "{loss:?}: {heard}");
    let streams = report.events.iter().filter(|event| event.what == "stream-started").count();
    assert_eq!(streams, 2, "{loss:?}: {:#?}", report.events);

    let kept = desk.kept(&report, 5).await;
    assert_eq!(kept.user(), said(&report));
    let [greeting, answer, farewell] = kept.agent()[..] else { panic!("{:?}", kept.agent()) };
    assert_eq!((greeting, farewell), (GREETING, FAREWELL));
    // Every sentence of the answer was heard, on one line or the other, and is kept once.
    for sentence in answer.split_inclusive(['.', '?']) {
        assert!(heard.contains(sentence.trim()), "{loss:?}: {sentence:?} is not in {heard}");
    }
    let sql = "SELECT heard_whole, intended FROM messages JOIN call_logs USING (conversation)
        WHERE call = $1 AND role = 'agent' AND turn = 1";
    let rows = desk.rows(sql, &[&sid]).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<_, Option<bool>>(0), Some(true), "{loss:?}: {answer}");
    let ends = desk.rows("SELECT 1 FROM call_logs WHERE call = $1", &[&sid]).await;
    assert_eq!(ends.len(), 1);
    recorded(desk, &report, loss).await;
    desk.restarted(&holder, before).await;
}

/// The call is one file, both sides where the caller's ear has them. Of a task that was killed its last two seconds may be
/// missing.
async fn recorded(desk: &Desk, report: &CallReport, loss: Loss) {
    let kept = Stereo::decode(&desk.file(&desk.recording(report).await).await).unwrap();
    let path = format!("/sim/calls/{}/recording", report.sid);
    let ear = Stereo::decode(&desk.outside.file(&path).await.unwrap()).unwrap();
    let back = report.events.iter().filter(|event| event.what == "stream-started").nth(1).unwrap();
    let lost = match loss {
        Loss::Killed => {
            let broke = report.faults.iter().find(|fault| fault.code == SOCKET_BROKE).unwrap();
            broke.at_ms.saturating_sub(2_000) * 8..back.at_ms * 8
        }
        Loss::Stopped => 0..0,
    };
    let apart = kept.apart_samples_but_for(&ear, lost).unwrap();
    assert!(apart <= APART_SAMPLES, "{loss:?}: {apart} samples");
    let (lasts_ms, lasted_ms) = (kept.samples as u64 / 8, report.duration_ms.unwrap());
    assert!(lasted_ms.abs_diff(lasts_ms) < 1_000, "{loss:?}: {lasts_ms} of {lasted_ms} ms");
}

/// The edge task that holds the call's socket.
pub fn holder(desk: &Desk, sid: &str) -> String {
    let began = |log: String| {
        log.lines().any(|line| line.contains("media stream started") && line.contains(sid))
    };
    let holder = ["edge-1", "edge-2"].into_iter().find(|task| began(desk.log_of_task(task)));
    holder.unwrap_or_else(|| panic!("nobody holds {sid}")).to_owned()
}
