//! What the caller says, and when it is a turn.

use std::time::Duration;

use call_core::{Action, Input, PromptKind, Transcript};

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
fn a_key_is_reported() {
    let mut phone = Phone::started(settings());
    for digit in ['5', '#', 'x', '\n'] {
        phone.input(Input::Dtmf { digit });
    }
    let digits: Vec<char> = (phone.actions())
        .filter_map(|action| match action {
            Action::DigitPressed(digit) => Some(*digit),
            _ => None,
        })
        .collect();
    assert_eq!(digits, ['5', '#']);
}
