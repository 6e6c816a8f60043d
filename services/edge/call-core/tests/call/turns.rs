//! What the caller says, and when it is a turn.

use std::time::Duration;

use call_core::{Action, EndReason, Heard, Input, PromptKind, Transcript};

use crate::{REPEAT, phone::Phone, settings, voice};

#[test]
fn the_first_syllable_is_in_the_segment() {
    let mut phone = Phone::started(settings());
    phone.quiet(1_000);
    let voice_from = phone.mouth.len();
    phone.speak(&voice::speech(600));
    let voice_to = phone.mouth.len();
    phone.quiet(400);

    let segments = phone.segments();
    let [(at, 1, audio)] = segments[..] else {
        panic!("{} segments", segments.len());
    };
    assert!(at <= voice_from, "begins {} late", at - voice_from);
    assert!(at + 8 * 400 >= voice_from, "reaches back too far");
    assert!(at + audio.len() >= voice_to, "the end is missing");
    assert_eq!(audio, &phone.mouth[at..at + audio.len()]);
}

#[test]
fn noise_alone_makes_no_turn() {
    let mut phone = Phone::started(settings());
    for (seed, level) in [(1, 300), (2, 3_000), (3, 12_000), (4, 30_000)] {
        phone.speak(&voice::noise(5_000, level, seed));
        phone.quiet(1_000);
    }
    for n in 0..20 {
        phone.speak(&voice::noise(10, 30_000, n + 5));
        phone.quiet(300 + n * 7);
    }
    assert_eq!(phone.segments().len(), 0);
}

#[test]
fn a_pause_makes_two_segments_of_one_turn() {
    let mut phone = Phone::started(settings());
    phone.quiet(500);
    phone.speak(&voice::speech(800));
    phone.quiet(350);
    phone.words(1, "my name is");
    phone.speak(&voice::speech(600));
    phone.quiet(400);
    assert!(phone.turns().is_empty(), "the caller may go on");
    phone.words(2, "Ada");
    phone.quiet(300);

    assert_eq!(phone.turns(), [(1, "my name is Ada", None)]);
    let segments = phone.segments();
    let [(first_at, _, first), (second_at, _, second)] = segments[..] else {
        panic!("{} segments", segments.len());
    };
    assert_eq!(first_at + first.len(), second_at, "no frame between is lost");
    assert_eq!(second, &phone.mouth[second_at..second_at + second.len()]);
}

#[test]
fn a_turn_ends_half_a_second_after_the_voice() {
    let mut phone = Phone::started(settings());
    phone.quiet(500);
    phone.speak(&voice::speech(800));
    let voice_ended = phone.now;
    phone.quiet(350);
    phone.words(1, "hello");
    phone.quiet(500);
    let stages = phone.actions().find_map(|action| match action {
        Action::TurnTaken { stages, .. } => Some(*stages),
        _ => None,
    });
    let stages = stages.expect("a turn");
    // The detector holds on to a voice for a few hops.
    let ms = Duration::from_millis;
    let late =
        |moment: Option<Duration>| moment.expect("a stage reached").saturating_sub(voice_ended);
    assert!(late(stages.speech_ended) < ms(120), "{stages:?}");
    assert!((ms(180)..ms(340)).contains(&late(stages.segment_sent)), "{stages:?}");
    assert_eq!(late(stages.segment_transcribed), ms(350));
    assert!((ms(480)..ms(640)).contains(&late(stages.turn_ended)), "{stages:?}");
}

#[test]
fn a_segment_without_words_makes_no_turn() {
    let mut phone = Phone::started(settings());
    phone.speak(&voice::speech(600));
    phone.quiet(400);
    phone.words(1, "");
    phone.quiet(1_000);
    assert!(phone.turns().is_empty());
    assert!(!phone.ear.contains(&REPEAT));
    assert_eq!(phone.take_turn(&voice::speech(600), "hello"), 1);
}

#[test]
fn failed_recognition_asks_to_say_it_again() {
    let mut phone = Phone::started(settings());
    phone.speak(&voice::speech(600));
    phone.quiet(400);
    phone.input(Input::SegmentTranscribed { segment: 1, result: Transcript::Failed });
    phone.quiet(1_000);
    assert!(phone.turns().is_empty());
    let asked = |action: &Action| {
        matches!(action, Action::PromptStarted { prompt: PromptKind::Repeat, .. })
    };
    assert_eq!(phone.count(asked), 1);
    assert_eq!(phone.ear.iter().filter(|code| **code == REPEAT).count(), 4_000);
    assert_eq!(phone.take_turn(&voice::speech(600), "hello"), 1);
}

#[test]
fn words_that_come_twice_or_for_no_segment_change_nothing() {
    let mut phone = Phone::started(settings());
    phone.words(1, "before anything was said");
    phone.speak(&voice::speech(600));
    phone.quiet(350);
    phone.words(1, "hello");
    phone.words(1, "hello again");
    phone.words(9, "never said");
    phone.quiet(400);
    phone.words(1, "much later");
    phone.quiet(1_000);
    assert_eq!(phone.turns(), [(1, "hello", None)]);
}

#[test]
fn the_words_of_a_turn_in_which_the_caller_hangs_up_are_kept() {
    // In the middle of a word, and in the pause before the end of the turn.
    for quiet in [0, 400] {
        let mut phone = Phone::started(settings());
        phone.input(Input::Greeting { text: "Hello.".to_owned(), audio: vec![0x20; 1_600].into() });
        phone.quiet(1_000);
        let from = phone.log.len();
        phone.speak(&voice::speech(700));
        phone.quiet(quiet);
        phone.input(Input::Stop);
        assert!(!phone.core.is_ended(), "the words are awaited");
        phone.pass(Duration::from_millis(300));
        phone.sentence(1, 1, 0, "Too early.", &[0x31; 800]);
        phone.understand(from, "goodbye then");
        let greeting = Heard { turn: 0, text: "Hello.".to_owned(), complete: true };
        assert_eq!(phone.turns(), [(1, "goodbye then", Some(&greeting))]);
        let after: Vec<&Action> = phone.actions().collect();
        let unheard = Heard { turn: 1, text: String::new(), complete: false };
        let end = Action::End { reason: EndReason::Stopped, heard: Some(unheard) };
        assert_eq!(after.last(), Some(&&end), "nothing of an answer was heard");
        let fences = phone.count(|action| *action == Action::SetFence { turn: 2 });
        assert_eq!(fences, 1, "no answer is wanted");
        let (caller, _) = phone.recording();
        assert!(caller.len() >= 8 * 1_700, "what was said is recorded to its end");
    }
}

#[test]
fn a_hang_up_does_not_wait_long_for_words_nor_at_all_for_none() {
    let mut phone = Phone::started(settings());
    phone.quiet(1_000);
    phone.speak(&voice::speech(700));
    phone.input(Input::Stop);
    phone.pass(Duration::from_millis(1_900));
    assert!(!phone.core.is_ended());
    phone.pass(Duration::from_millis(200));
    assert!(phone.core.is_ended());
    assert!(phone.turns().is_empty());

    let mut phone = Phone::started(settings());
    phone.quiet(1_000);
    phone.input(Input::Stop);
    assert!(phone.core.is_ended());
}

#[test]
fn a_turn_on_a_lost_stream_is_said_again_on_the_next() {
    let mut phone = Phone::started(settings());
    let from = phone.log.len();
    phone.speak(&voice::speech(700));
    phone.quiet(300);
    phone.understand(from, "hello");
    phone.input(Input::Lost);
    assert!(phone.core.is_ended());
    assert!(phone.turns().is_empty());
}
