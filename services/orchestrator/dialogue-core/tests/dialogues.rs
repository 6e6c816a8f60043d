//! Whole talks by the rules engine: what a caller and a chat partner hear and read.

use dialogue_core::tool::{Done, Escalated, Outcome};
use dialogue_core::{Answer, Choice, Desk, Message, Past, Role, State, Step, default_agents};
use domain::{Heard, MessageKind, TenantSettings, Timestamp, Turn};

/// Friday, 20 November 2026, 14:00 UTC.
const NOW: Timestamp = Timestamp::from_micros(1_795_183_200_000_000);

/// What a slow voice can say without the caller growing impatient.
const SPOKEN_CHARS_MAX: usize = 90;

fn desk() -> Desk {
    let settings = TenantSettings {
        business: "Harbour Dental".into(),
        timezone: "America/Toronto".into(),
        ..TenantSettings::default()
    };
    Desk::new(&settings, default_agents())
}

fn answer(desk: &Desk, state: &State, message: &Message, choice: &Choice) -> Answer {
    match desk.answer(state, message, choice, NOW, &[]) {
        Step::Answer(answer) => answer,
        Step::Run(call) => panic!("needs {}", call.request.name()),
    }
}

struct Talk {
    desk: Desk,
    state: State,
    turn: Turn,
    spoken: bool,
    hung_up: bool,
}

impl Talk {
    fn call() -> Self {
        let desk = desk();
        let state = desk.call_started("Hello, how can I help you today?");
        Self { desk, state, turn: Turn(0), spoken: true, hung_up: false }
    }

    fn chat() -> Self {
        Self { spoken: false, state: State::default(), ..Self::call() }
    }

    fn answer(&mut self, text: &str, kind: MessageKind, heard_whole: bool) -> (String, Answer) {
        self.turn = self.turn.next();
        let heard = self.state.pending.as_ref().filter(|_| self.spoken && heard_whole);
        let heard = heard.map(|p| Heard { turn: p.turn, text: p.text.clone(), complete: true });
        let message = Message {
            turn: self.turn,
            text: text.into(),
            kind,
            heard,
            spoken: self.spoken,
            from: "".into(),
        };
        let choice = self.desk.choose(&self.state, &message).expect("wants an answer");
        let answer = answer(&self.desk, &self.state, &message, &choice);
        self.state = answer.state.clone();
        self.state.replied(self.turn, answer.scripted.as_str().into(), self.spoken);
        self.hung_up |= answer.hang_up;
        (choice.agent, answer)
    }

    fn say(&mut self, text: &str) -> (String, String) {
        let kind = if self.spoken { MessageKind::Speech } else { MessageKind::Text };
        let (agent, answer) = self.answer(text, kind, true);
        (agent, answer.scripted)
    }

    fn holds(&mut self, lines: &[(&str, &str, &str)]) {
        for (text, agent, reply) in lines {
            let (by, said) = self.say(text);
            assert_eq!((by.as_str(), said.as_str()), (*agent, *reply), "to {text:?}");
            if self.spoken {
                assert!(said.len() <= SPOKEN_CHARS_MAX, "too long to listen to: {said}");
                assert!(dialogue_core::sentences(&said).len() <= 3, "{said}");
            }
        }
    }
}

#[test]
fn a_caller_leaves_an_appointment_request() {
    let mut call = Talk::call();
    call.holds(&[
        ("I would like to make an appointment.", "appointments", "Sure. What name is it for?"),
        ("My name is Anna Lee.", "appointments", "Thank you, Anna Lee. Which day would suit you?"),
        ("Next Tuesday, please.", "appointments", "And at what time on Tuesday, November 24?"),
        ("At two.", "appointments", "Anna Lee, Tuesday, November 24 at 2 PM. Is that right?"),
        (
            "Yes.",
            "appointments",
            "Thank you. I have noted your request for the team. Anything else?",
        ),
        ("No, thank you.", "greeting", "Thank you for calling. Goodbye."),
    ]);
    assert!(call.hung_up);
}

#[test]
fn a_chat_leaves_an_appointment_request() {
    let mut chat = Talk::chat();
    chat.holds(&[
        ("hi", "greeting", "Hello! How can I help you?"),
        ("can I book for tomorrow at 10?", "appointments", "Sure. What name is it for?"),
        ("anna lee", "appointments", "Anna Lee, Saturday, November 21 at 10 AM. Is that right?"),
        ("no, Monday", "appointments", "Anna Lee, Monday, November 23 at 10 AM. Is that right?"),
        (
            "yes",
            "appointments",
            "Thank you. I have noted your request for the team. Anything else?",
        ),
        ("thanks", "greeting", "You are welcome. Anything else?"),
    ]);
    assert!(!chat.hung_up, "a chat has nothing to hang up");
}

#[test]
fn what_the_agents_cannot_do_ends_in_an_offer() {
    let mut call = Talk::call();
    let offer = "I can take down an appointment request. Would you like one?";
    let again = "Sorry, I can only help with appointments. Would you like one?";
    call.holds(&[
        ("What is the capital of France?", "fallback", offer),
        ("Do you sell bicycles?", "fallback", again),
        ("Yes.", "appointments", "Sure. What name is it for?"),
        (
            "The weather is nice.",
            "appointments",
            "Sorry, I did not get the name. Could you say it again?",
        ),
        ("Never mind.", "appointments", "All right, I have dropped that. Anything else?"),
        ("Goodbye.", "greeting", "Thank you for calling. Goodbye."),
    ]);
}

#[test]
fn a_reply_is_repeated_on_request_even_if_nothing_of_it_was_heard() {
    let mut call = Talk::call();
    call.say("I need an appointment");
    let (_, answer) = call.answer("Pardon?", MessageKind::Speech, false);
    assert_eq!(answer.scripted, "Sure. What name is it for?");
    let prompt = answer.prompt.expect("a model could answer this");
    let agent_said = |u: &&dialogue_core::Utterance| u.role == Role::Agent;
    let told: Vec<_> = prompt.messages.iter().filter(agent_said).map(|u| u.turn).collect();
    assert_eq!(told, [Turn::GREETING], "what was not heard is told to no model");
    call.holds(&[("Anna", "appointments", "Thank you, Anna. Which day would suit you?")]);
}

#[test]
fn who_asks_for_a_human_is_handed_over_and_only_once() {
    let call = Talk::call();
    let message = Message {
        turn: Turn(1),
        text: "Can I speak to a human?".into(),
        kind: MessageKind::Speech,
        heard: None,
        spoken: true,
        from: "".into(),
    };
    let choice = call.desk.choose(&call.state, &message).expect("wants an answer");
    let step = |done: &[Done]| call.desk.answer(&call.state, &message, &choice, NOW, done);
    let Step::Run(escalate) = step(&[]) else { panic!("a human has to be called") };
    let outcomes = [
        (Outcome::Escalated(Escalated::Transferring), "One moment, I will put you through."),
        (
            Outcome::Unavailable,
            "Sorry, nobody is free right now. Shall I take an appointment request?",
        ),
    ];
    for (outcome, expected) in outcomes {
        let done = Done { call: escalate.clone(), outcome };
        let Step::Answer(answer) = step(&[done]) else { panic!("asked twice") };
        assert_eq!(answer.scripted, expected);
    }
}

#[test]
fn nothing_sounds_like_a_booking() {
    let mut call = Talk::call();
    for text in ["book me in", "Anna", "tomorrow", "at two", "yes"] {
        let (_, said) = call.say(text);
        assert!(!said.to_lowercase().contains("booked"), "{said}");
    }
}

#[test]
fn a_time_that_is_over_is_asked_again() {
    let mut call = Talk::call();
    call.holds(&[
        (
            "I want to book for today at 8 am",
            "appointments",
            "That time is over already. Which time would suit you?",
        ),
        ("three", "appointments", "Sure. What name is it for?"),
        ("Anna", "appointments", "Anna, Friday, November 20 at 3 PM. Is that right?"),
    ]);
}

#[test]
fn a_model_is_given_what_was_heard_and_the_words_last() {
    let mut call = Talk::call();
    call.say("I need an appointment");
    let (_, answer) = call.answer("Anna Lee", MessageKind::Speech, true);
    let prompt = answer.prompt.expect("a model could answer this");
    let told: Vec<_> = prompt.messages.iter().map(|u| (u.role, u.text.reveal())).collect();
    assert_eq!(
        told,
        [
            (Role::Agent, "Hello, how can I help you today?"),
            (Role::Person, "I need an appointment"),
            (Role::Agent, "Sure. What name is it for?"),
            (Role::Person, "Anna Lee"),
        ]
    );
    let system = prompt.system.reveal();
    assert!(system.contains("Harbour Dental") && system.contains("cannot book"), "{system}");
    assert!(
        system.contains("Friday, November 20, 2026, 9:00 AM"),
        "the business's clock: {system}"
    );
}

#[test]
fn kinds_of_message_no_agent_can_read_get_a_sensible_answer() {
    let mut chat = Talk::chat();
    let (agent, answer) = chat.answer("", MessageKind::Unsupported("image".into()), true);
    assert_eq!(agent, "fallback");
    assert_eq!(answer.scripted, "I cannot open image messages yet. Could you write it as text?");
    assert!(answer.prompt.is_none(), "there are no words a model could answer");
    let reaction = Message {
        turn: Turn(2),
        text: "".into(),
        kind: MessageKind::Unsupported("reaction".into()),
        heard: None,
        spoken: false,
        from: "".into(),
    };
    assert!(chat.desk.choose(&chat.state, &reaction).is_none(), "a thumbs-up wants no answer");
    let (agent, _) = chat.answer("", MessageKind::Choice("book an appointment".into()), true);
    assert_eq!(agent, "appointments");
}

#[test]
fn a_lost_context_is_rebuilt_from_the_history_without_the_user_noticing() {
    let mut call = Talk::call();
    let mut past = Vec::new();
    for text in ["I need an appointment", "Anna Lee", "next Tuesday"] {
        let (agent, _) = call.say(text);
        let heard = call.state.pending.clone().expect("a spoken reply is pending");
        let person = call.state.history.last().cloned().expect("the words are in");
        past.push(Past { utterance: person, agent: None, at: NOW });
        past.push(Past { utterance: heard, agent: Some(agent), at: NOW });
    }
    call.state = call.desk.rebuild(&past, &[], true, &"".into());
    call.holds(&[(
        "at two",
        "appointments",
        "Anna Lee, Tuesday, November 24 at 2 PM. Is that right?",
    )]);
}

#[test]
fn the_same_state_and_words_give_the_same_answer() {
    let mut call = Talk::call();
    call.say("I need an appointment for tomorrow");
    let message = Message {
        turn: Turn(2),
        text: "Anna".into(),
        kind: MessageKind::Speech,
        heard: None,
        spoken: true,
        from: "".into(),
    };
    let run = || {
        let choice = call.desk.choose(&call.state, &message).expect("wants an answer");
        let answer = answer(&call.desk, &call.state, &message, &choice);
        (choice, answer)
    };
    assert_eq!(run(), run());
}
