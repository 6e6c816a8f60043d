//! What a log says of itself when it is replayed.

use std::time::Duration;

use call_core::{
    Input, RestOfReply, Resumption,
    event_log::{self, Beginning, ReplayError},
};

use crate::settings;

/// The log of a call that was lost and goes on, says that it is back, hears a mark, and stops.
fn log() -> String {
    let beginning = Beginning {
        settings: settings(),
        resumption: Some(Resumption {
            reply: Some(RestOfReply { sentences: 1, text: "We are open.".into() }),
            ask_again: false,
            heard: None,
        }),
        at: Duration::ZERO,
    };
    let mut core = beginning.core();
    let mut log = beginning.line() + "\n";
    let mut at = Duration::ZERO;
    for input in [Input::StreamStarted, Input::Dtmf { digit: '1' }, Input::Tick, Input::Stop] {
        let mut actions = Vec::new();
        log += &(event_log::happened(&input, at) + "\n");
        core.handle(input, at, &mut actions);
        for action in &actions {
            log += &(event_log::decided(action) + "\n");
        }
        at += Duration::from_secs(3);
    }
    log
}

fn replay(log: &str) -> Result<event_log::Replayed, ReplayError> {
    event_log::replay(log, |_, _, _| {})
}

#[test]
fn a_log_tells_how_long_the_call_lasted_and_shows_every_step() {
    let mut steps = Vec::new();
    let log = log();
    let replayed = event_log::replay(&log, |at, _, actions| steps.push((at, actions.len())));
    let replayed = replayed.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((replayed.inputs, replayed.lasted.as_secs()), (4, 9));
    assert_eq!(steps.iter().map(|step| step.1).sum::<usize>(), replayed.actions);
    assert!(!replayed.is_cut && replayed.actions > 4);
}

#[test]
fn a_log_of_a_killed_task_counts_as_far_as_it_goes() {
    let log = log();
    for cut in [log.len() - 3, log.trim_end().rfind('\n').unwrap_or_default() + 1] {
        assert!(replay(&log[..cut]).is_ok_and(|replayed| replayed.is_cut), "cut at {cut}");
    }
}

#[test]
fn another_decision_is_shown_with_its_line() {
    let log = log();
    let changed = log.replacen("\"turn\":1", "\"turn\":7", 1);
    let line = changed.lines().zip(log.lines()).position(|(a, b)| a != b).map(|n| n + 1);
    assert_ne!(changed, log);
    let Err(ReplayError::Differs { line: at, logged, replayed }) = replay(&changed) else {
        panic!("it replays");
    };
    assert_eq!(Some(at), line);
    assert!(
        logged.to_string().contains("\"turn\":7") && replayed.to_string().contains("\"turn\":1")
    );
}

#[test]
fn an_action_that_was_left_out_or_added_is_found() {
    let log = log();
    let mut lines: Vec<&str> = log.lines().collect();
    let first = lines.iter().position(|line| line.starts_with("{\"action")).unwrap_or_default();
    let action = lines.remove(first);
    assert!(matches!(replay(&lines.join("\n")), Err(ReplayError::Differs { .. })));
    lines.insert(first, action);
    let end = lines.iter().rposition(|line| line.starts_with("{\"input")).unwrap_or_default();
    lines.insert(end, action);
    assert!(matches!(replay(&lines.join("\n")), Err(ReplayError::Differs { .. })));
}

#[test]
fn what_is_no_log_is_named() {
    let log = log();
    let headless = log.split_once('\n').map_or("", |(_, rest)| rest);
    assert_eq!(replay(headless), Err(ReplayError::Beginning { line: 1 }));
    let rubbish = log.replacen("{\"input\"", "rubbish", 1);
    assert!(matches!(replay(&rubbish), Err(ReplayError::Unreadable { line: 2, .. })));
}
