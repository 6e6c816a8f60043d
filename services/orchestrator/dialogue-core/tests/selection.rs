//! Which agent takes a turn, word by word (C2).

mod clinic;

use std::time::Duration;

use clinic::Talk;
use dialogue_core::{Agent, AgentKind, Desk, default_agents};
use domain::{HttpTool, MessageKind, Selection, TenantSettings};
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
        (&[], "you sell bicycles", "fallback", "do you sell bicycles", "information"),
        (&[], "business", "fallback", "business hours", "information"),
        (&[], "are you open tomorrow", "information", "are you open tomorrow noon", "appointments"),
        (&[], "do you sell bicycles", "information", "do you sell bicycles goodbye", "greeting"),
        (&[], "what does it cost", "information", "what does cancel it cost", "appointments"),
        (&["do you sell bicycles"], "hm", "fallback", "hm yes", "appointments"),
        (&["I need an appointment", "never mind"], "no", "greeting", "no human", "appointments"),
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
        "information": {"confidence": 0.1, "reason": "it is not meant"},
        "classifier": {"intent": "appointment", "confidence": 0.8},
    });
    for (keeps_above_percent, expected) in [(70, "greeting"), (80, "appointments")] {
        let desk = scored_desk(keeps_above_percent);
        let (by, scoring) = desk.scoring(&call.state, &message).expect("a model scores");
        assert_eq!(by, "openai");
        let read = scoring.read(&format!("```json\n{scores}\n```")).expect("scores");
        let choice = desk.choose_by(&call.state, &message, &read, "m").expect("a choice");
        assert_eq!(choice.agent, expected, "the greeting's turn kept above {keeps_above_percent}");
        assert!(
            choice.reason.contains("scored by m: intent appointment 0.80, appointments 0.90 (they")
        );
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

#[test]
fn what_the_classifier_made_of_the_words_stands_in_the_reason_unless_the_current_agent_keeps_the_turn()
 {
    let table = [
        (None, "hello", "greeting", "highest of 3 at 0.85; intent courtesy 0.85"),
        (Some("greeting"), "hello", "greeting", "current agent keeps the turn at 0.85"),
        (
            None,
            "I need an appointment",
            "appointments",
            "highest of 3 at 0.90; intent appointment 0.90",
        ),
        (
            None,
            "Can I speak to a human?",
            "appointments",
            "highest of 3 at 0.90; intent human 0.90",
        ),
        (
            Some("information"),
            "do you sell bicycles",
            "information",
            "current agent keeps the turn at 0.75",
        ),
        (
            Some("greeting"),
            "do you sell bicycles",
            "information",
            "highest of 3 at 0.75; intent question 0.75",
        ),
        (None, "blue", "fallback", "highest was greeting at 0.10, under 0.50; intent unclear 0.10"),
    ];
    for (current, words, agent, reason) in table {
        let mut call = Talk::call();
        call.state.agent = current.map(str::to_owned);
        let message = call.message(words, MessageKind::Speech, true);
        let choice = call.desk.choose(&call.state, &message).expect("a choice");
        assert_eq!((choice.agent.as_str(), choice.reason.as_str()), (agent, reason), "{words}");
    }
}

fn own(name: &str, kind: AgentKind, config: serde_json::Value) -> Agent {
    Agent::read(name, kind, &config).expect("a good configuration")
}

fn chosen(desk: &Desk, words: &str) -> String {
    let call = Talk::chat();
    let message = call.message(words, MessageKind::Text, true);
    desk.choose(&call.state, &message).expect("a choice").agent
}

#[test]
fn a_tenants_classifier_says_how_sure_it_wants_to_be() {
    let doubting = own("doubting", AgentKind::IntentClassifier, json!({"wins_from": 0.8}));
    let desk = Desk::new(&TenantSettings::default(), vec![doubting]);
    assert_eq!(chosen(&desk, "do you sell bicycles"), "fallback", "0.75 is not sure enough");
    assert_eq!(chosen(&desk, "opening hours"), "information");
}

#[test]
fn agents_saved_before_there_were_five_kinds_go_on_as_they_were_configured() {
    let rest = json!({"instructions": "Be brief.", "tools": [], "language": "fr-CA"});
    let agents = vec![
        own("information", AgentKind::Task, json!({})),
        own("rest", AgentKind::Fallback, rest),
    ];
    let tool = HttpTool {
        name: "stock".into(),
        description: "How many there are.".into(),
        parameters: "{}".into(),
        url: "https://shop.example/stock".into(),
        only_looks: true,
        timeout: Duration::from_secs(1),
        agents: vec!["rest".into()],
        has_secret: false,
    };
    let settings = TenantSettings { tools: vec![tool], ..TenantSettings::default() };
    let desk = Desk::new(&settings, agents);
    let answering = chosen(&desk, "do you sell bicycles");
    assert_eq!(answering, "built-in-information", "no two agents have one name");
    assert_eq!(desk.voice(&answering).language, "fr-CA");
    let tools: Vec<String> = desk.tools(&answering).into_iter().map(|tool| tool.name).collect();
    assert_eq!(tools, ["stock"], "no tool that the tenant's own fallback did not have");
}

#[test]
fn an_intent_classifier_that_would_speak_is_refused_with_the_reason() {
    let cases = [
        (json!({"voice": "aura"}), "voice: "),
        (json!({"language": "fr"}), "language: "),
        (json!({"tools": ["find_slots"]}), "tools: "),
        (json!({"keeps_above": 0.5}), "keeps_above: "),
    ];
    for (config, key) in cases {
        let reason = Agent::read("c", AgentKind::IntentClassifier, &config).expect_err("refused");
        assert!(reason.starts_with(key) && reason.contains("never has a turn"), "{reason}");
    }
    assert!(AgentKind::NAMES.iter().all(|name| AgentKind::parse(name).is_some()));
}
