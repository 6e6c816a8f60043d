//! Many calls at once.

use jiff::{Timestamp, tz::TimeZone};
use scripts::stereo::Stereo;
use simulator::caller::{CallReport, CallScript};

use crate::desk::{Desk, OUR_NUMBER, said};

const CALLS: usize = 20;
const TURNS: usize = 4;
/// What a caller hears while a busy machine is slow; it belongs to no answer, and is not kept.
const FILLER: &str = "One moment, please.";
/// Longer than the silence between the filler and an answer that comes in time: nobody takes it for the answer.
const QUIET_MS: u64 = 3_000;
/// 200 ms. Twenty calls of a development build are more than two cores carry without holding up marks; what a machine
/// with room does to 20 ms, `scripts/bench turn` measures.
const APART_SAMPLES: u64 = 1_600;

const NAMES: [&str; CALLS] = [
    "Ada", "Ben", "Carla", "David", "Emma", "Felix", "Greta", "Hugo", "Irene", "Jonas", "Karin",
    "Leo", "Mona", "Noah", "Olga", "Paul", "Rosa", "Simon", "Tina", "Victor",
];
const WISHES: [&str; 4] = [
    "I would like to make an appointment",
    "Could you tell me what it costs?",
    "My tooth has hurt since Tuesday",
    "Can I book for tomorrow at ten?",
];
const ENDS: [&str; 2] = ["Thank you, goodbye", "That was 1 of my questions"];

fn script(number: usize) -> CallScript {
    let name = NAMES[number];
    let texts = [
        format!("Hello, this is {name}"),
        WISHES[number % WISHES.len()].to_owned(),
        format!("{name} {}", number + 1),
        ENDS[number % ENDS.len()].to_owned(),
    ];
    let mut script = CallScript::new(&format!("+155577710{number:02}"), OUR_NUMBER, texts);
    script.options.quiet_ms = QUIET_MS;
    script
}

pub async fn twenty_at_once(desk: &Desk) {
    let scripts: Vec<_> = (0..CALLS).map(script).collect();
    let calls = scripts.iter().map(|script| desk.outside.call(script));
    let reports: Vec<CallReport> = futures::future::try_join_all(calls).await.unwrap();
    let damage: Vec<String> = reports.iter().flat_map(damage).collect();
    assert!(damage.is_empty(), "damaged at the ear:\n{}", damage.join("\n"));
    let checks = reports.iter().zip(&scripts).map(async |(report, script)| {
        let wanted: Vec<_> = script.utterances.iter().map(|u| u.text.as_str()).collect();
        assert_eq!(said(report), wanted, "the caller came to say everything");
        check(desk, report).await;
    });
    futures::future::join_all(checks).await;
    let kept = desk.rows("SELECT 1 FROM call_logs", &[]).await.len();
    assert_eq!(kept, CALLS, "each call is kept once");
}

/// What did not arrive whole, with the time of day, for what befalls many calls at one moment has one cause.
fn damage(report: &CallReport) -> Vec<String> {
    let answered = report.answered_unix_ms.unwrap_or_default();
    let turns = report.heard.iter().filter(|turn| !turn.whole || !turn.faults.is_empty());
    turns
        .map(|turn| {
            let at = turn.faults.iter().map(|f| (answered + f.start_ms as i64, &f.kind));
            format!("{} {:?} {:?}", report.sid, turn.text, at.collect::<Vec<_>>())
        })
        .collect()
}

/// What the caller heard of the agent's replies.
fn answers(report: &CallReport) -> Vec<&str> {
    let texts = report.texts().into_iter();
    texts.map(|text| text.strip_prefix(FILLER).unwrap_or(text).trim_start()).collect()
}

async fn check(desk: &Desk, report: &CallReport) {
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    let kept = desk.kept(report, 1 + 2 * TURNS).await;
    assert_eq!(kept.user(), said(report), "what was said is what is kept");
    assert_eq!(kept.agent(), answers(report), "what was heard is what is kept: {report:#?}");
    assert!(kept.lines.iter().all(|line| line.heard_whole != Some(false)), "{:?}", kept.lines);

    let id = kept.conversation;
    let messages = "SELECT role, turn FROM messages WHERE conversation = $1 ORDER BY position";
    let rows: Vec<(String, i32)> = desk
        .rows(messages, &[id.as_uuid()])
        .await
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let turns = (1..=TURNS as i32).flat_map(|turn| [("user", turn), ("agent", turn)]);
    let expected: Vec<_> = [("agent", 0)]
        .into_iter()
        .chain(turns)
        .map(|(role, turn)| (role.to_owned(), turn))
        .collect();
    assert_eq!(rows, expected, "each message is kept once and in its turn");
    let timed = desk
        .until("times of every turn", async || {
            let sql = "SELECT turn, jsonb_array_length(stages) FROM turn_timings
                WHERE conversation = $1 ORDER BY turn";
            let rows = desk.rows(sql, &[id.as_uuid()]).await;
            (rows.len() >= TURNS).then_some(rows)
        })
        .await;
    let timed: Vec<(i32, i32)> = timed.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(timed.iter().all(|(_, stages)| *stages > 6), "{timed:?}");
    assert!(timed.iter().map(|(turn, _)| *turn).eq(1..=TURNS as i32), "{timed:?}");

    let sql = "SELECT started_at, ended_at, end_reason FROM call_logs WHERE call = $1";
    let rows = desk.rows(sql, &[&report.sid]).await;
    let (started, ended): (Timestamp, Timestamp) = (rows[0].get(0), rows[0].get(1));
    let reason = if report.ended_by.as_deref() == Some("caller") { "caller" } else { "agent" };
    assert!(started < ended);
    assert_eq!(rows[0].get::<_, &str>(2), reason);
    check_recording(desk, report, started).await;
}

async fn check_recording(desk: &Desk, report: &CallReport, started: Timestamp) {
    let key = desk.recording(report).await;
    let day = started.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d").to_string();
    assert_eq!(key, format!("audio-recordings/{day}/{}.wav", report.sid));
    let recorded = Stereo::decode(&desk.file(&key).await).unwrap();
    assert_eq!((&recorded.caller.faults[..], &recorded.agent.faults[..]), (&[][..], &[][..]));
    assert_eq!(recorded.caller.text(), said(report).join(" "));
    assert_eq!(recorded.agent.text(), report.texts().join(" "));
    let path = format!("/sim/calls/{}/recording", report.sid);
    let ear = Stereo::decode(&desk.outside.file(&path).await.unwrap()).unwrap();
    let apart = recorded.apart_samples(&ear).unwrap();
    assert!(apart <= APART_SAMPLES, "{apart} samples");
    let lasts_ms = recorded.samples as u64 / 8;
    let lasted_ms = report.duration_ms.unwrap();
    assert!(lasts_ms <= lasted_ms && lasted_ms - lasts_ms < 1_000, "{lasts_ms} of {lasted_ms} ms");
}
