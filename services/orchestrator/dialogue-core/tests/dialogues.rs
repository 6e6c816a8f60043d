//! Whole talks by the rules engine: what a caller and a chat partner hear and read.

mod clinic;

use clinic::{CALLER, NOW, Talk, desk_with, moment};
use dialogue_core::tool::{Done, Escalated, Outcome};
use dialogue_core::{Attachment, Message, Past, Prompt, Role, Step};
use domain::{Location, Media, MediaKind, MessageKind, Turn};

/// What a slow voice can say without the caller growing impatient.
const SPOKEN_CHARS_MAX: usize = 120;

trait Holds {
    fn holds(&mut self, lines: &[(&str, &str, &str)]);
}

impl Holds for Talk {
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
fn a_caller_leaves_with_an_appointment() {
    let mut call = Talk::call();
    call.holds(&[
        ("I would like to make an appointment.", "appointments", "Sure. What name is it for?"),
        ("My name is Anna Lee.", "appointments", "Thank you, Anna Lee. Which day would suit you?"),
        ("Next Tuesday, please.", "appointments", "And at what time on Tuesday, November 24?"),
        (
            "At two.",
            "appointments",
            "Anna Lee, check-up, Tuesday, November 24 at 2 PM, number ending 0 1 2 3. Is that right?",
        ),
        (
            "Yes.",
            "appointments",
            "You are booked for Tuesday, November 24 at 2 PM. A text message follows. Anything else?",
        ),
        ("No, thank you.", "greeting", "Thank you for calling. Goodbye."),
    ]);
    assert!(call.hung_up);
    let booked = &call.clinic.booked[&moment("2026-11-24T14:00")];
    assert_eq!(*booked, ("Anna Lee".to_owned(), Some(CALLER.to_owned())));
}

#[test]
fn the_service_that_is_named_is_booked_and_read_back() {
    let mut call = Talk::call();
    call.holds(&[
        ("I need a cleaning", "appointments", "Sure. What name is it for?"),
        ("Anna Lee", "appointments", "Thank you, Anna Lee. Which day would suit you?"),
        (
            "next Tuesday at two",
            "appointments",
            "Anna Lee, cleaning, Tuesday, November 24 at 2 PM, number ending 0 1 2 3. Is that right?",
        ),
        (
            "no, a filling",
            "appointments",
            "Anna Lee, filling, Tuesday, November 24 at 2 PM, number ending 0 1 2 3. Is that right?",
        ),
    ]);
    call.say("yes");
    let start = moment("2026-11-24T14:00");
    assert_eq!(call.clinic.services[&start].as_deref(), Some("filling"));
}

#[test]
fn who_wants_a_service_is_not_asked_whether_an_appointment_is_wanted() {
    for words in
        ["I need a filling", "a filling please", "can I get a filling", "my filling fell out"]
    {
        let (agent, said) = Talk::call().say(words);
        assert_eq!((&*agent, &*said), ("appointments", "Sure. What name is it for?"), "{words}");
    }
    for words in [
        "how long does a filling take",
        "how much is a filling",
        "is a filling painful",
        "do you do fillings",
        "what does insurance pay for a filling",
    ] {
        let (agent, _) = Talk::call().say(words);
        assert_ne!(agent, "appointments", "{words}");
    }
}

#[test]
fn a_service_that_nobody_named_is_read_back_and_can_be_mended() {
    for words in ["no, it's for a filling", "it should be a filling", "no, a filling"] {
        let mut call = Talk::call();
        for words in ["can you hear me", "yes please", "Anna Lee", "next Tuesday at two"] {
            call.say(words);
        }
        let (_, said) = call.say(words);
        let mended = "Anna Lee, filling, Tuesday, November 24 at 2 PM, number ending 0 1 2 3. Is that right?";
        assert_eq!(said, mended, "{words}");
        call.say("yes");
        let start = moment("2026-11-24T14:00");
        assert_eq!(call.clinic.services[&start].as_deref(), Some("filling"));
    }
}

#[test]
fn a_service_that_was_named_before_an_appointment_was_offered_is_the_one_booked() {
    let mut call = Talk::call();
    let (_, said) = call.say("it is about my insurance and a filling");
    assert!(said.ends_with("Would you like one?"), "{said}");
    for words in ["yes please", "Anna Lee", "next Tuesday at two", "yes"] {
        call.say(words);
    }
    let start = moment("2026-11-24T14:00");
    assert_eq!(call.clinic.services[&start].as_deref(), Some("filling"));
}

#[test]
fn where_the_business_wants_one_an_email_address_is_asked_for_and_read_back() {
    let asks = || Talk::call_to(desk_with(&["asks_email"]));
    let mut call = asks();
    call.holds(&[
        ("I need an appointment", "appointments", "Sure. What name is it for?"),
        ("Anna Lee", "appointments", "Thank you, Anna Lee. Which day would suit you?"),
        ("next Tuesday at two", "appointments", "What e-mail address should I confirm it to?"),
        (
            "anna dot lee at example dot org",
            "appointments",
            "Anna Lee, check-up, Tuesday, November 24 at 2 PM, e-mail anna dot lee at example dot org. Is that right?",
        ),
        (
            "no, the email is anna at example dot org",
            "appointments",
            "Anna Lee, check-up, Tuesday, November 24 at 2 PM, e-mail anna at example dot org. Is that right?",
        ),
    ]);
    call.say("yes");
    let start = moment("2026-11-24T14:00");
    assert_eq!(call.clinic.emails[&start].as_deref(), Some("anna@example.org"));
    assert_eq!(call.clinic.booked[&start].1.as_deref(), Some(CALLER));

    // Nobody has to have one, and none is no reason to have no appointment.
    for answers in [&["no"][..], &["blue mushrooms", "green mushrooms"]] {
        let mut call = asks();
        for words in ["I need an appointment", "Anna Lee", "next Tuesday at two"] {
            call.say(words);
        }
        let mut said = String::new();
        for words in answers {
            said = call.say(words).1;
        }
        assert!(said.ends_with("number ending 0 1 2 3. Is that right?"), "{answers:?}: {said}");
        call.say("yes");
        assert_eq!(call.clinic.emails[&start], None, "{answers:?}");
    }
}

#[test]
fn an_email_address_that_is_told_unasked_is_kept() {
    let mut chat = Talk::chat();
    for words in ["I need an appointment", "Anna Lee", "my email is anna@example.org"] {
        chat.say(words);
    }
    let (_, said) = chat.say("next Tuesday at two");
    assert_eq!(
        said,
        "Anna Lee, check-up, Tuesday, November 24 at 2 PM, e-mail anna@example.org. Is that right?"
    );
    chat.say("yes");
    let start = moment("2026-11-24T14:00");
    assert_eq!(chat.clinic.emails[&start].as_deref(), Some("anna@example.org"));
}

#[test]
fn nothing_of_a_card_is_recorded() {
    let mut call = Talk::call();
    let (_, said) = call.say("I'd like to pay by card.");
    assert!(said.starts_with("I have paused the recording."), "{said}");
    assert!(said.len() <= SPOKEN_CHARS_MAX && call.clinic.is_off_record);
    call.say("It is 4111 1111 1111 1111.");
    assert!(call.clinic.is_off_record, "while the number is told");
    call.say("I need an appointment.");
    assert!(!call.clinic.is_off_record);

    let mut chat = Talk::chat();
    chat.say("I'd like to pay by card.");
    assert!(!chat.clinic.is_off_record, "nothing is recorded there");
}

#[test]
fn a_chat_leaves_with_an_appointment() {
    let mut chat = Talk::chat();
    chat.holds(&[
        ("hi", "greeting", "Hello! How can I help you?"),
        ("can I book for tomorrow at 10?", "appointments", "Sure. What name is it for?"),
        (
            "anna lee",
            "appointments",
            "Sorry, 10 AM is not free. I have 3:30 PM, 4 PM or 4:30 PM on Friday, November 20. Which \
             would suit you?",
        ),
        (
            "no, Monday at 10",
            "appointments",
            "Anna Lee, check-up, Monday, November 23 at 10 AM. Is that right?",
        ),
        ("yes", "appointments", "You are booked for Monday, November 23 at 10 AM. Anything else?"),
        ("thanks", "greeting", "You are welcome. Anything else?"),
    ]);
    assert!(!chat.hung_up, "a chat has nothing to hang up");
}

#[test]
fn what_the_agents_cannot_do_ends_in_an_offer() {
    let mut call = Talk::call();
    let offer = "I can make, move or cancel an appointment. Would you like one?";
    let again = "Sorry, I can only help with appointments. Would you like one?";
    call.holds(&[
        ("The sky is blue.", "fallback", offer),
        ("The weather is nice.", "fallback", again),
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
fn who_is_not_understood_is_asked_again_told_what_can_be_done_and_offered_a_human() {
    let human = "Sorry, I still do not understand. Would you like to talk to a person?";
    let mut call = Talk::call();
    for (said, expected) in [
        ("The sky is blue.", "I can make, move or cancel an appointment. Would you like one?"),
        ("The weather is nice.", "Sorry, I can only help with appointments. Would you like one?"),
        ("The grass is green.", human),
    ] {
        assert_eq!(call.say(said), ("fallback".to_owned(), expected.to_owned()));
    }
    let mut other = Talk { state: call.state.clone(), turn: call.turn, ..Talk::call() };
    other.holds(&[("No.", "fallback", "All right. Anything else?")]);
    call.say("The sea is deep.");
    assert_eq!(call.clinic.escalations, ["Somebody was not understood three times."]);
}

#[test]
fn what_is_not_known_is_said_not_to_be_known_and_a_human_offered() {
    let unknown = "Sorry, I do not know that. Would you like to talk to a person?";
    let mut call = Talk::call();
    call.holds(&[
        ("What is the capital of France?", "information", unknown),
        ("No.", "fallback", "All right. Anything else?"),
        ("Do you sell bicycles?", "information", unknown),
        ("Yes please.", "appointments", "One moment, I will put you through."),
    ]);
    assert_eq!(call.clinic.escalations, ["Somebody asked for a person."]);

    let mut call = Talk::call();
    call.holds(&[
        ("Do you sell bicycles?", "information", unknown),
        ("I would like an appointment.", "appointments", "Sure. What name is it for?"),
    ]);

    let mut call = Talk::call();
    call.clinic.is_away = true;
    let (_, said) = call.say("Do you sell bicycles?");
    let expected = "Sorry, I cannot look that up right now. Would you like to talk to a person?";
    assert_eq!(said, expected, "not looked up is not unknown");
}

#[test]
fn who_asks_what_the_desk_can_do_is_told() {
    let mut call = Talk::call();
    let offer = "I can make, move or cancel an appointment. Would you like one?";
    call.holds(&[
        ("Hello, what can you do for me?", "fallback", offer),
        ("Yes.", "appointments", "Sure. What name is it for?"),
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
        attachment: None,
        quoted: None,
        referral: None,
    };
    let choice = call.desk.choose(&call.state, &message).expect("wants an answer");
    let step = |done: &[Done]| call.desk.answer(&call.state, &message, &choice, NOW, done);
    let Step::Run(escalate) = step(&[]) else { panic!("a human has to be called") };
    let outcomes = [
        (Outcome::Escalated(Escalated::Transferring), "One moment, I will put you through."),
        (Outcome::Unavailable, "Sorry, nobody is free right now. Would you like an appointment?"),
    ];
    for (outcome, expected) in outcomes {
        let done = Done { call: escalate.clone(), outcome };
        let Step::Answer(answer) = step(&[done]) else { panic!("asked twice") };
        assert_eq!(answer.scripted, expected);
    }
}

#[test]
fn nothing_sounds_like_a_booking_that_does_not_stand() {
    let mut call = Talk::call();
    call.clinic.is_away = true;
    for text in ["book me in", "Anna", "next Tuesday", "at two", "yes"] {
        let (_, said) = call.say(text);
        assert!(!said.to_lowercase().contains("booked"), "{said}");
    }
    let (_, said) = call.say("sorry?");
    assert!(said.contains("I have kept your request"), "{said}");
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
        (
            "Anna",
            "appointments",
            "Anna, check-up, Friday, November 20 at 3 PM, number ending 0 1 2 3. Is that right?",
        ),
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
    assert!(system.contains("Harbour Dental") && system.contains("clear yes"), "{system}");
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
        attachment: None,
        quoted: None,
        referral: None,
    };
    assert!(chat.desk.choose(&chat.state, &reaction).is_none(), "a thumbs-up wants no answer");
    let (agent, _) = chat.answer("", MessageKind::Choice("book an appointment".into()), true);
    assert_eq!(agent, "appointments");
}

/// A file of this kind, with what there is of it and its caption.
fn file(talk: &Talk, kind: MediaKind, attachment: Option<Attachment>, caption: &str) -> Message {
    let media = Media {
        kind,
        id: "77".into(),
        mime_type: "x/y".into(),
        sha256: String::new(),
        filename: None,
    };
    let message = talk.message(caption, MessageKind::Media(media), true);
    Message { attachment, ..message }
}

/// What the rules say to it, and what a model is asked.
fn taken(talk: &mut Talk, message: &Message) -> (String, Option<Prompt>) {
    let choice = talk.desk.choose(&talk.state, message).expect("wants an answer");
    let answer = talk.answered(message, &choice);
    talk.state = answer.state;
    talk.state.replied(message.turn, answer.scripted.as_str().into(), false);
    talk.turn = message.turn;
    (answer.scripted, answer.prompt)
}

#[test]
fn a_file_is_taken_in_and_the_talk_goes_on_where_it_was() {
    let mut chat = Talk::chat();
    chat.say("I need an appointment");
    let picture = file(&chat, MediaKind::Image, Some(Attachment::Kept), "");
    let (said, prompt) = taken(&mut chat, &picture);
    let expected = "Thank you, I have your picture; the team will see it. What name is it for?";
    assert_eq!(said, expected);
    let prompt = prompt.expect("a model can say something to it");
    assert_eq!(prompt.messages.last().expect("a message").text.reveal(), "[sent a picture]");
    assert!(prompt.system.reveal().contains("You do not see the file"));
    let named = file(&chat, MediaKind::Document, Some(Attachment::Kept), "Anna Lee");
    let (said, _) = taken(&mut chat, &named);
    let expected = "Thank you, I have your document; the team will see it. \
        Thank you, Anna Lee. Which day would suit you?";
    assert_eq!(said, expected);
    chat.holds(&[("next Tuesday", "appointments", "And at what time on Tuesday, November 24?")]);

    let mut silent = Talk::chat();
    let first = file(&silent, MediaKind::Image, None, "");
    let (said, _) = taken(&mut silent, &first);
    assert!(said.ends_with("What can I do for you?"), "{said}");
}

#[test]
fn a_file_that_did_not_arrive_is_asked_for_again_and_its_caption_is_answered() {
    let mut chat = Talk::chat();
    let gone = file(&chat, MediaKind::Image, Some(Attachment::Missing), "");
    let again = "Sorry, I could not get your picture. Could you send it again?";
    assert_eq!(taken(&mut chat, &gone), (again.to_owned(), None));
    let gone = file(&chat, MediaKind::Image, Some(Attachment::Missing), "I need an appointment");
    let (said, prompt) = taken(&mut chat, &gone);
    assert_eq!(said, format!("{again} Sure. What name is it for?"));
    let prompt = prompt.expect("there are words");
    let told = prompt.messages.last().expect("a message").text.reveal().to_owned();
    assert_eq!(told, "I need an appointment [sent a picture, which did not arrive]");
    let note = file(&chat, MediaKind::VoiceNote, None, "");
    let (said, _) = taken(&mut chat, &note);
    assert!(said.starts_with("Sorry, I could not understand your voice note."), "{said}");
}

#[test]
fn a_place_is_no_answer_to_what_was_asked() {
    let mut chat = Talk::chat();
    chat.say("I need an appointment");
    let place = Location { latitude: 43.65, longitude: -79.38 };
    let place = chat.message("10 Friday Street", MessageKind::Location(place), true);
    let (said, prompt) = taken(&mut chat, &place);
    let expected = "Thank you, I have your location; the team will see it. What name is it for?";
    assert_eq!(said, expected);
    assert_eq!((chat.state.enquiry.day, chat.state.misses), (None, 0));
    let told = prompt.expect("a model can say something to it").messages;
    let told = told.last().expect("a message").text.reveal();
    assert_eq!(told, "[shared a location: 10 Friday Street (43.65, -79.38)]");
}

#[test]
fn what_the_rules_ask_can_be_chosen_from_where_a_person_writes() {
    let mut chat = Talk::chat();
    let titles = |chat: &mut Talk, words: &str| -> Vec<String> {
        let (_, said) = chat.say(words);
        let choices = chat.desk.choices((said.as_str(), true), &chat.state, &[], NOW);
        choices.into_iter().map(|choice| choice.title.into_revealed()).collect()
    };
    assert!(titles(&mut chat, "I need an appointment").is_empty());
    assert!(titles(&mut chat, "Anna Lee").is_empty());
    let offered = ["Monday 9 AM", "Monday 9:30 AM", "Monday 10 AM"];
    assert_eq!(titles(&mut chat, "Monday morning"), offered);
    assert_eq!(titles(&mut chat, "Monday 9:30 AM"), ["Yes", "No"]);
    assert!(titles(&mut chat, "no").is_empty(), "what should be changed is no yes or no");
    assert_eq!(titles(&mut chat, "Monday 10 AM"), ["Yes", "No"]);
    assert!(titles(&mut chat, "Yes").is_empty());
}

#[test]
fn a_lost_context_is_rebuilt_from_the_history_without_the_user_noticing() {
    let mut call = Talk::call();
    let mut past = Vec::new();
    for text in ["I need an appointment", "Anna Lee", "next Tuesday"] {
        let (agent, _) = call.say(text);
        let heard = call.state.pending.clone().expect("a spoken reply is pending");
        let person = call.state.history.last().cloned().expect("the words are in");
        past.push(Past { utterance: person, is_place: false, agent: None, at: NOW });
        past.push(Past { utterance: heard, is_place: false, agent: Some(agent), at: NOW });
    }
    call.state = call.desk.rebuild(&past, &[], true, &CALLER.into());
    call.holds(&[(
        "at two",
        "appointments",
        "Anna Lee, check-up, Tuesday, November 24 at 2 PM, number ending 0 1 2 3. Is that right?",
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
        attachment: None,
        quoted: None,
        referral: None,
    };
    let mut run = || {
        let choice = call.desk.choose(&call.state, &message).expect("wants an answer");
        let answer = call.answered(&message, &choice);
        (choice, answer)
    };
    assert_eq!(run(), run());
}

/// A talk of which only the end of each reply is of interest.
fn ends(talk: &mut Talk, lines: &[(&str, &str)]) {
    for (text, expected) in lines {
        let (_, said) = talk.say(text);
        assert!(said.contains(expected), "to {text:?}: {said}");
    }
}

#[test]
fn a_taken_time_is_answered_with_the_nearest_free_ones() {
    let mut call = Talk::call();
    call.clinic.booked.insert(moment("2026-11-24T14:00"), ("Somebody".into(), None));
    ends(
        &mut call,
        &[
            (
                "I need to see the dentist next Tuesday at two, my name is Ben Okoro",
                "2 PM is not free",
            ),
            ("do you have half past two?", "Ben Okoro, check-up, Tuesday, November 24 at 2:30 PM"),
            ("yes please", "You are booked for Tuesday, November 24 at 2:30 PM"),
        ],
    );
}

#[test]
fn a_caller_who_does_not_mind_chooses_from_what_there_is() {
    let mut call = Talk::call();
    ends(
        &mut call,
        &[
            ("I'd like an appointment", "What name"),
            ("Ben Okoro", "Which day"),
            ("Monday morning", "9 AM, 9:30 AM or 10 AM on Monday, November 23"),
            ("the second one", "Monday, November 23 at 9:30 AM"),
            ("no, the last one was better, ten", "Monday, November 23 at 10 AM"),
            ("that's right", "You are booked for Monday, November 23 at 10 AM"),
        ],
    );
}

#[test]
fn what_was_read_back_can_be_corrected_before_it_is_booked() {
    let mut call = Talk::call();
    ends(
        &mut call,
        &[
            ("book me in for tomorrow week at eleven", "What name"),
            ("Anna Lee", "is not free"),
            ("Tuesday at eleven then", "Tuesday, November 24 at 11 AM"),
            ("no, Wednesday", "Wednesday, November 25 at 11 AM"),
            ("half an hour later please", "Wednesday, November 25 at 11:30 AM"),
            ("the name is wrong", "What name"),
            ("Annie Leigh", "Annie Leigh, check-up, Wednesday"),
            ("use another number, 416 967 1111", "number ending 1 1 1 1"),
            ("yes, thanks", "You are booked for Wednesday, November 25 at 11:30 AM"),
        ],
    );
    let booked = &call.clinic.booked[&moment("2026-11-25T11:30")];
    assert_eq!(*booked, ("Annie Leigh".to_owned(), Some("+14169671111".to_owned())));
}

#[test]
fn a_caller_who_hides_the_number_is_asked_for_one() {
    let mut call = Talk { from: "anonymous", ..Talk::call() };
    ends(
        &mut call,
        &[
            ("an appointment on Monday at ten for Ben Okoro please", ""),
            ("Ben Okoro", "What number can we reach you on?"),
            ("four one six nine six seven double one double one", "number ending 1 1 1 1"),
            ("yes", "You are booked"),
        ],
    );
}

#[test]
fn an_appointment_is_moved_and_called_off() {
    for mut talk in [Talk::call(), Talk::chat()] {
        let start = moment("2026-11-24T14:00");
        talk.clinic.booked.insert(start, ("Anna Lee".into(), Some(CALLER.into())));
        ends(
            &mut talk,
            &[
                ("I need to move my appointment on Tuesday", "When would suit you instead?"),
                ("Thursday", "moves to Thursday, November 26 at 2 PM. Is that right?"),
                ("can we make it three", "moves to Thursday, November 26 at 3 PM"),
                ("yes", "It has moved to Thursday, November 26 at 3 PM"),
                ("and now I want to cancel my appointment", "shall I cancel it?"),
                ("yes please", "It is cancelled."),
                ("I want to cancel my appointment", "I find no appointment"),
            ],
        );
        assert!(talk.clinic.booked.is_empty());
    }
}

#[test]
fn of_several_appointments_the_one_that_is_meant_is_changed() {
    let mut call = Talk::call();
    for day in [24, 26] {
        let start = moment(&format!("2026-11-{day}T14:00"));
        call.clinic.booked.insert(start, ("Anna Lee".into(), Some(CALLER.into())));
    }
    ends(
        &mut call,
        &[
            ("please cancel my appointment", "Which appointment is it"),
            ("the one on Thursday", "Thursday, November 26 at 2 PM: shall I cancel it?"),
            ("no", "it stays as it is"),
        ],
    );
    assert_eq!(call.clinic.booked.len(), 2);
}

#[test]
fn who_is_not_understood_is_asked_again_more_plainly_and_then_put_through() {
    let mut call = Talk::call();
    ends(
        &mut call,
        &[
            ("I'd like an appointment", "What name"),
            ("", "Could you say it again?"),
            ("", "Please say only the name"),
            ("", "I will put you through"),
        ],
    );
    assert_eq!(call.clinic.escalations, ["Somebody was not understood three times."]);
}
