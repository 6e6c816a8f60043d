//! What is kept of a call.

use std::time::Duration;

use call_core::{Input, g711};

use crate::{phone::Phone, settings, voice};

#[test]
fn both_sides_are_recorded_to_the_sample() {
    let mut phone = Phone::new(settings());
    let pattern = |len: usize, seed: u64| voice::noise(len as u64 / 8, 20_000, seed);
    phone.input(Input::Greeting { text: "Hello.".to_owned(), audio: pattern(8_000, 1).into() });
    phone.input(Input::StreamStarted);
    phone.quiet(1_200);
    for turn in 1..=6 {
        assert_eq!(phone.take_turn(&voice::speech(700), "a question"), turn);
        phone.sentence(turn, 1, 0, "a b c", &pattern(16_008, u64::from(turn) * 7));
        phone.quiet(900 + u64::from(turn) * 20);
        // Every second reply is interrupted.
        if turn % 2 == 0 {
            phone.quiet(1_500);
        }
    }
    phone.quiet(3_000);
    phone.input(Input::Stop);
    let (caller, agent) = phone.recording();
    assert_eq!(caller.len(), phone.mouth.len());
    assert!(caller == phone.mouth, "the caller's side is what was said");
    assert!(agent == phone.ear, "the agent's side is what was heard");
}

#[test]
fn a_lost_frame_is_silence_on_the_recording() {
    let mut phone = Phone::started(settings());
    let said = voice::speech(200);
    for (n, frame) in said.chunks(160).enumerate() {
        phone.pass(Duration::from_millis(20));
        if n % 3 != 1 {
            phone.input(Input::AudioFrame {
                payload: frame.into(),
                timestamp: Some(Duration::from_millis(20 * n as u64)),
            });
        }
    }
    phone.input(Input::Stop);
    let (caller, _) = phone.recording();
    assert_eq!(caller.len(), said.len());
    for (n, (kept, frame)) in caller.chunks(160).zip(said.chunks(160)).enumerate() {
        let expected = if n % 3 == 1 { &[g711::SILENCE; 160] } else { frame };
        assert_eq!(kept, expected, "frame {n}");
    }
}

#[test]
fn a_call_that_never_sounded_leaves_no_recording() {
    let mut phone = Phone::started(settings());
    phone.input(Input::Stop);
    assert_eq!(phone.recording().0.len(), 0);
    let mut phone = Phone::new(settings());
    phone.speak(&voice::speech(100));
    phone.input(Input::Stop);
    assert_eq!(phone.recording().0.len(), 0, "audio before the start is not ours");
}
