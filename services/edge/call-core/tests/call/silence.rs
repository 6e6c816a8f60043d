//! A caller who says nothing, keys, and the end of a call.

use std::time::Duration;

use call_core::{Action, EndReason, Input, Settings};

use crate::{GOODBYE, STILL_THERE, UNHEARD, WARNING, phone::Phone, settings, voice};

fn samples_of(phone: &Phone, code: u8) -> usize {
    phone.ear.iter().filter(|heard| **heard == code).count()
}

fn press(phone: &mut Phone, keys: &str) {
    for digit in keys.chars() {
        phone.input(Input::Dtmf { digit });
        phone.quiet(300);
    }
}

#[test]
fn a_silent_caller_is_asked_twice_and_then_the_call_ends() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, "An answer.", &[0x31; 8_000]);
    phone.finish(1, 1, 1);
    phone.quiet(8_000);
    assert_eq!(samples_of(&phone, STILL_THERE), 0);
    phone.quiet(2_000);
    assert_eq!(samples_of(&phone, STILL_THERE), 4_000);
    phone.quiet(9_000);
    assert_eq!(samples_of(&phone, STILL_THERE), 8_000);
    phone.quiet(10_000);
    assert_eq!(samples_of(&phone, UNHEARD), 4_000);
    let Some(Action::End { reason, .. }) = phone.actions().last() else {
        panic!("the call has not ended");
    };
    assert_eq!(*reason, EndReason::CallerSilent);
}

#[test]
fn a_caller_who_answers_is_asked_afresh_the_next_time() {
    let mut phone = Phone::started(settings());
    for turn in 1..=4 {
        phone.quiet(10_000);
        assert_eq!(phone.take_turn(&voice::speech(600), "hello"), turn);
        phone.sentence(turn, 1, 0, "Yes?", &[0x31; 800]);
        phone.finish(turn, 1, 1);
    }
    phone.quiet(1_000);
    assert!(!phone.core.is_ended());
    assert_eq!(samples_of(&phone, STILL_THERE), 16_000);
}

#[test]
fn the_caller_is_told_that_the_limit_is_near() {
    let mut phone = Phone::started(Settings {
        call_limit: Duration::from_secs(20),
        warning_before: Duration::from_secs(10),
        caller_silent_after: Duration::from_secs(60),
        ..settings()
    });
    phone.quiet(9_900);
    assert_eq!(samples_of(&phone, WARNING), 0);
    phone.quiet(1_000);
    assert_eq!(samples_of(&phone, WARNING), 4_000);
    phone.quiet(11_000);
    assert_eq!((samples_of(&phone, WARNING), samples_of(&phone, GOODBYE)), (4_000, 4_000));
}

#[test]
fn who_comes_back_near_the_limit_is_told_so_too() {
    let mut phone = Phone::started(Settings {
        call_limit: Duration::from_secs(30),
        spent: Duration::from_secs(25),
        warning_before: Duration::from_secs(10),
        caller_silent_after: Duration::from_secs(60),
        ..settings()
    });
    phone.quiet(1_000);
    assert_eq!((samples_of(&phone, WARNING), samples_of(&phone, GOODBYE)), (4_000, 0));
    phone.quiet(5_000);
    assert_eq!((samples_of(&phone, WARNING), samples_of(&phone, GOODBYE)), (4_000, 4_000));
}

#[test]
fn keys_are_a_turn_when_no_more_come_or_a_hash_ends_them() {
    let mut phone = Phone::started(settings());
    press(&mut phone, "4165550123");
    assert!(phone.turns().is_empty());
    phone.quiet(2_000);
    assert_eq!(phone.turns(), [(1, "4165550123", None)]);
    press(&mut phone, "#12#");
    assert_eq!(phone.turns().last().map(|turn| turn.1), Some("12"));
    phone.input(Input::Dtmf { digit: 'x' });
    phone.quiet(3_000);
    assert_eq!(phone.turns().len(), 2);
}

#[test]
fn a_key_interrupts_the_agent_at_once() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, "Press one for yes, two for no.", &[0x31; 32_000]);
    phone.finish(1, 1, 1);
    phone.quiet(1_000);
    press(&mut phone, "1");
    let played = samples_of(&phone, 0x31);
    phone.quiet(2_500);
    assert_eq!(samples_of(&phone, 0x31), played);
    let (turn, text, heard) = phone.turns()[1];
    assert_eq!((turn, text), (2, "1"));
    assert!(heard.is_some_and(|heard| !heard.complete));
}

#[test]
fn a_hash_that_ends_no_keys_leaves_the_agent_alone() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, "Here it is.", &[0x31; 16_000]);
    phone.finish(1, 1, 1);
    phone.quiet(500);
    press(&mut phone, "#");
    phone.quiet(4_000);
    assert_eq!(samples_of(&phone, 0x31), 16_000);
    assert_eq!(phone.turns().len(), 1);
}

#[test]
fn nothing_is_said_between_two_keys() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    press(&mut phone, "41");
    phone.sentence(1, 1, 0, "Here it is.", &[0x31; 800]);
    phone.finish(1, 1, 1);
    press(&mut phone, "6555012");
    phone.quiet(3_000);
    assert_eq!(samples_of(&phone, 0x31), 0);
    assert_eq!(phone.turns().last().map(|turn| turn.1), Some("416555012"));
}

#[test]
fn words_and_keys_of_one_turn_stay_together() {
    let mut phone = Phone::started(settings());
    press(&mut phone, "416");
    let from = phone.log.len();
    phone.speak(&voice::speech(600));
    phone.quiet(400);
    phone.understand(from, "is my area code");
    phone.quiet(3_000);
    assert_eq!(phone.turns(), [(1, "is my area code 416", None)]);
}
