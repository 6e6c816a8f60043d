//! A call that goes on after the task that held it was lost.

use call_core::{Action, Heard, PromptKind, RestOfReply, Resumption};

use crate::{FILLER, REPEAT, RESUMED, STILL_THERE, phone::Phone, settings, voice};

fn samples_of(phone: &Phone, code: u8) -> usize {
    phone.ear.iter().filter(|heard| **heard == code).count()
}

fn rest(sentences: u32, text: &str) -> Resumption {
    let reply = Some(RestOfReply { sentences, text: text.to_owned() });
    Resumption { reply, ..Resumption::default() }
}

#[test]
fn the_reply_goes_on_with_the_sentence_that_was_not_heard() {
    let mut phone = Phone::resumed(settings(), rest(1, "First."));
    // What was heard is not said again, though it comes.
    phone.sentence(0, 7, 0, "First.", &[0x31; 800]);
    phone.sentence(0, 7, 1, "Second.", &[0x32; 800]);
    phone.sentence(0, 7, 2, "Third.", &[0x33; 800]);
    phone.finish(0, 7, 3);
    phone.quiet(3_000);
    assert_eq!(samples_of(&phone, RESUMED), 4_000);
    let heard = [0x31, 0x32, 0x33].map(|code| samples_of(&phone, code));
    assert_eq!(heard, [0, 800, 800]);
    let back = phone.ear.iter().position(|code| *code == RESUMED);
    assert!(
        back < phone.ear.iter().position(|code| *code == 0x32),
        "it says first that it is back"
    );
    phone.take_turn(&voice::speech(600), "thank you");
    let whole = Heard { turn: 0, text: "First. Second. Third.".to_owned(), complete: true };
    assert_eq!(phone.turns(), [(1, "thank you", Some(&whole))]);
    let told = phone.actions().filter_map(|action| match action {
        Action::HeardProgress { sentence, .. } => Some(*sentence),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [1, 2], "places in the whole reply");
}

#[test]
fn a_reply_all_of_which_was_heard_is_over() {
    let mut phone = Phone::resumed(settings(), rest(2, "First. Second."));
    phone.finish(0, 7, 2);
    phone.quiet(5_000);
    assert_eq!(samples_of(&phone, FILLER), 0);
    phone.take_turn(&voice::speech(600), "thank you");
    assert!(phone.turns()[0].2.is_some_and(|heard| heard.complete));
}

#[test]
fn an_answer_that_is_still_due_is_bridged_and_waited_for() {
    let mut phone = Phone::resumed(settings(), rest(0, ""));
    phone.quiet(4_000);
    assert_eq!(samples_of(&phone, FILLER), 4_000);
    phone.sentence(0, 7, 0, "Here it is.", &[0x31; 800]);
    phone.finish(0, 7, 1);
    phone.quiet(1_000);
    assert_eq!(samples_of(&phone, 0x31), 800);
}

#[test]
fn who_says_okay_to_the_agent_that_is_back_still_gets_the_answer() {
    for said in ["okay", "sure"] {
        let mut phone = Phone::resumed(settings(), rest(0, ""));
        phone.quiet(1_000);
        let from = phone.log.len();
        phone.speak(&voice::speech(300));
        phone.quiet(300);
        phone.understand(from, said);
        phone.quiet(300);
        phone.sentence(0, 7, 0, "Here it is.", &[0x31; 800]);
        phone.finish(0, 7, 1);
        phone.quiet(1_000);
        assert_eq!((samples_of(&phone, 0x31), phone.turns().len()), (800, 0), "{said}");
    }
}

#[test]
fn a_caller_who_was_speaking_is_asked_to_say_it_again() {
    let mut phone =
        Phone::resumed(settings(), Resumption { ask_again: true, ..Resumption::default() });
    phone.quiet(2_000);
    assert_eq!((samples_of(&phone, RESUMED), samples_of(&phone, REPEAT)), (4_000, 4_000));
    assert_eq!(phone.take_turn(&voice::speech(600), "book Tuesday"), 1);
}

#[test]
fn a_caller_who_speaks_on_is_listened_to() {
    let mut phone =
        Phone::resumed(settings(), Resumption { ask_again: true, ..Resumption::default() });
    assert_eq!(phone.take_turn(&voice::speech(1_500), "book Friday"), 1);
    phone.quiet(1_000);
    assert!(samples_of(&phone, RESUMED) < 4_000, "the agent does not speak over the caller");
}

#[test]
fn a_caller_of_whose_words_only_the_end_arrived_is_asked_to_say_it_again() {
    let mut phone = Phone::resumed(settings(), Resumption::default());
    let from = phone.log.len();
    phone.speak(&voice::speech(900));
    phone.quiet(400);
    assert!(samples_of(&phone, RESUMED) < 4_000, "the agent does not speak over the caller");
    phone.understand(from, "");
    phone.quiet(1_500);
    assert_eq!(samples_of(&phone, REPEAT), 4_000);
    assert_eq!(phone.take_turn(&voice::speech(600), "book Tuesday"), 1);
}

#[test]
fn a_noisy_line_is_asked_once_and_not_on_and_on() {
    let mut phone = Phone::resumed(settings(), Resumption::default());
    for _ in 0..3 {
        let from = phone.log.len();
        phone.speak(&voice::speech(900));
        phone.quiet(400);
        phone.understand(from, "");
        phone.quiet(200);
    }
    phone.quiet(2_000);
    let asked = phone
        .count(|action| matches!(action, Action::PromptStarted { prompt: PromptKind::Repeat, .. }));
    assert_eq!(asked, 1);
}

#[test]
fn a_resumed_call_in_which_nobody_speaks_is_at_a_pause_and_asks() {
    let mut phone = Phone::resumed(settings(), Resumption::default());
    assert!(!phone.core.is_at_pause());
    phone.quiet(2_000);
    assert!(phone.core.is_at_pause());
    phone.quiet(8_000);
    assert_eq!(samples_of(&phone, STILL_THERE), 4_000);
}

#[test]
fn what_was_heard_of_a_reply_that_is_over_is_told_with_the_next_turn() {
    let heard = Some(("All of it.".to_owned(), true));
    let mut phone = Phone::resumed(settings(), Resumption { heard, ..Resumption::default() });
    phone.quiet(1_000);
    phone.take_turn(&voice::speech(600), "thank you");
    let told = Heard { turn: 0, text: "All of it.".to_owned(), complete: true };
    assert_eq!(phone.turns(), [(1, "thank you", Some(&told))]);
}
