//! What is kept of a call.

use std::time::Duration;

use call_core::{Action, Input, Moment, g711};

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

/// Both sides as they are left of a call that is lost at `lost`: the parts, and the blocks of the one that is not whole.
fn left_of(phone: &Phone, lost: Moment) -> (Vec<u8>, Vec<u8>) {
    let mut left = (Vec::new(), Vec::new());
    let (mut parts, mut whole) = (0, 0);
    for action in phone.log.iter().take_while(|(at, _)| *at <= lost).map(|(_, action)| action) {
        let (at, caller, agent) = match action {
            Action::RecordingPart { offset_samples, caller, agent, .. } => {
                (parts, whole) = (parts + 1, *offset_samples as usize + caller.len());
                (*offset_samples as usize, caller, agent)
            }
            Action::RecordingBlock { part, block, offset_samples, caller, agent } => {
                assert_eq!(*part, parts, "of the part that is not whole");
                assert_eq!(*offset_samples as usize, whole + *block as usize * 8_000);
                (*offset_samples as usize, caller, agent)
            }
            _ => continue,
        };
        assert_eq!(caller.len(), agent.len());
        for (side, audio) in [(&mut left.0, caller), (&mut left.1, agent)] {
            assert!(at <= side.len(), "without a hole");
            let over = (side.len() - at).min(audio.len());
            side[at..at + over].copy_from_slice(&audio[..over]);
            side.extend(&audio[over..]);
        }
    }
    left
}

#[test]
fn a_call_that_is_lost_at_any_moment_has_lost_two_seconds_of_its_recording_at_most() {
    let mut phone = Phone::new(settings());
    let began = phone.now;
    let greeting = voice::noise(1_300, 20_000, 1);
    phone.input(Input::Greeting { text: "Hello.".to_owned(), audio: greeting.into() });
    phone.input(Input::StreamStarted);
    phone.quiet(1_600);
    for turn in 1..=6 {
        phone.take_turn(&voice::speech(900), "a question");
        let answer = voice::noise(2_001, 20_000, u64::from(turn) * 7);
        phone.sentence(turn, 1, 0, "a b c", &answer);
        // Every second reply is interrupted.
        phone.quiet(if turn % 2 == 0 { 2_700 } else { 1_260 });
    }
    phone.quiet(3_000);
    assert!(phone.mouth.len() > 2 * 80_000, "more than two parts");
    for ms in (0..phone.mouth.len() as u64 / 8).step_by(130) {
        let (caller, agent) = left_of(&phone, began + Duration::from_millis(ms));
        assert!(caller.len() as u64 + 2 * 8_000 >= ms * 8, "{} samples at {ms} ms", caller.len());
        assert!(phone.mouth.starts_with(&caller), "the caller's side, lost at {ms} ms");
        assert!(phone.ear.starts_with(&agent), "the agent's side, lost at {ms} ms");
    }
}
