//! Which agent takes a turn, word by word (C2).

mod clinic;

use clinic::Talk;
use dialogue_core::{Desk, default_agents};
use domain::{MessageKind, Selection, TenantSettings};
use serde_json::json;

/// Who answers `text` after the talk `before`.
fn answers(before: &[&str], text: &str) -> String {
    let mut call = Talk::call();
    for said in before {
        call.say(said);
    }
    call.say(text).0
}

#[test]
fn one_more_word_sends_a_turn_to_another_agent() {
    let flips: &[(&[&str], &str, &str, &str, &str)] = &[
        (&[], "thank you", "greeting", "cancel, thank you", "appointments"),
        (&[], "hello", "greeting", "hello appointment", "appointments"),
        (&[], "the weather is nice", "fallback", "the weather is nice goodbye", "greeting"),
        (&[], "tomorrow", "fallback", "tomorrow noon", "appointments"),
        (&["I need an appointment"], "Anna", "appointments", "Anna goodbye", "greeting"),
        (&["the weather is nice"], "yes", "appointments", "yes goodbye", "greeting"),
    ];
    for (before, text, agent, longer, other) in flips {
        assert_eq!(text.split(' ').count() + 1, longer.split(' ').count(), "one word more");
        assert_eq!(answers(before, text), *agent, "{text:?} after {before:?}");
        assert_eq!(answers(before, longer), *other, "{longer:?} after {before:?}");
    }
}

fn scored_desk(keeps_above_percent: u8) -> Desk {
    let selection = Selection {
        keeps_above_percent,
        scored_by: Some("openai".to_owned()),
        ..Selection::default()
    };
    Desk::new(&TenantSettings { selection, ..TenantSettings::default() }, default_agents())
}

#[test]
fn a_models_scores_follow_the_same_rule_and_a_tenants_own_thresholds() {
    let call = Talk::call();
    let message = call.message("whatever", MessageKind::Speech, true);
    let scores = json!({
        "greeting": {"confidence": 0.75, "reason": "it may be meant"},
        "appointments": {"confidence": 0.9, "reason": "they ask for what it does"},
    });
    for (keeps_above_percent, expected) in [(70, "greeting"), (80, "appointments")] {
        let desk = scored_desk(keeps_above_percent);
        let (by, scoring) = desk.scoring(&call.state, &message).expect("a model scores");
        assert_eq!(by, "openai");
        let read = scoring.read(&format!("```json\n{scores}\n```")).expect("scores");
        let choice = desk.choose_by(&call.state, &message, &read, "m").expect("a choice");
        assert_eq!(choice.agent, expected, "the greeting's turn kept above {keeps_above_percent}");
        assert!(choice.reason.contains("scored by m: appointments 0.90 (they ask"));
    }
}

#[test]
fn nobody_is_asked_where_there_is_nothing_to_choose() {
    let call = Talk::call();
    let desk = scored_desk(70);
    let picture = call.message("", MessageKind::Unsupported("image".into()), true);
    assert!(desk.scoring(&call.state, &picture).is_none());
    let said = call.message("hello", MessageKind::Speech, true);
    assert!(clinic::desk().scoring(&call.state, &said).is_none(), "the rules score");
}
