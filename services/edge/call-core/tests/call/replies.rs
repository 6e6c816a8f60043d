//! What the agent says, and what of it is heard.

use std::time::Duration;

use call_core::{Action, EndReason, Heard, Input, PromptKind, Settings, Transcript, Trouble};

use crate::{APOLOGY, FILLER, GOODBYE, REPEAT, SLOWER, phone::Phone, settings, voice};

const WORDS: &str = "aaaa bbbb cccc dddd eeee ffff gggg hhhh";

fn prompts(phone: &Phone, kind: PromptKind) -> usize {
    phone.count(|action| matches!(action, Action::PromptStarted { prompt, .. } if *prompt == kind))
}

fn samples_of(phone: &Phone, code: u8) -> usize {
    phone.ear.iter().filter(|heard| **heard == code).count()
}

/// Words of `text`, all of one length, that were played to their end when `played` of `len` samples were.
fn words_heard(text: &str, played: usize, len: usize) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    words[..words.len() * played / len].join(" ")
}

#[test]
fn a_call_of_some_turns_is_heard_on_both_ends() {
    let mut phone = Phone::new(settings());
    phone.input(Input::Greeting { text: "Hello.".to_owned(), audio: vec![0x20; 8_000].into() });
    phone.input(Input::StreamStarted);
    phone.quiet(1_300);
    for turn in 1..=4 {
        assert_eq!(phone.take_turn(&voice::speech(700), "a question"), turn);
        let code = 0x20 + turn as u8;
        // The second sentence comes first.
        phone.sentence(turn, 1, 1, "Second.", &[code; 4_000]);
        phone.sentence(turn, 1, 0, "First.", &[code; 6_000]);
        phone.finish(turn, 1, 2);
        phone.quiet(1_700);
        assert_eq!(samples_of(&phone, code), 10_000);
    }
    phone.input(Input::Stop);

    let heard: Vec<(u32, &str, bool)> = phone
        .turns()
        .into_iter()
        .filter_map(|(_, _, heard)| heard)
        .map(|heard| (heard.turn, heard.text.as_str(), heard.complete))
        .collect();
    assert_eq!(
        heard,
        [
            (0, "Hello.", true),
            (1, "First. Second.", true),
            (2, "First. Second.", true),
            (3, "First. Second.", true),
        ]
    );
    let Some(Action::End { reason, heard }) = phone.actions().last() else {
        panic!("the call has not ended");
    };
    assert_eq!(*reason, EndReason::Stopped);
    assert_eq!(heard.as_ref().map(|heard| heard.turn), Some(4));
    let told = phone.count(|action| matches!(action, Action::ReplyHeard(_)));
    assert_eq!(told, 5, "each reply is told once");
    let audible = phone.count(|action| matches!(action, Action::TurnAudible { .. }));
    assert_eq!(audible, 5);
    assert_eq!(prompts(&phone, PromptKind::Filler), 0);
    assert_eq!(phone.core.next_wake(), None);
}

#[test]
fn a_barge_in_sets_the_fence_clears_and_knows_the_words_heard() {
    let len = 8 * 4_000;
    for late in [0, 130, 700, 1_500, 2_500] {
        let mut phone = Phone::started(settings());
        phone.take_turn(&voice::speech(600), "a question");
        phone.sentence(1, 1, 0, "Zero.", &[0x30; 1_600]);
        phone.sentence(1, 1, 1, WORDS, &vec![0x31; len]);
        phone.quiet(300 + late);
        let from = phone.log.len();
        phone.speak(&voice::speech(1_100));
        let played = samples_of(&phone, 0x31);
        assert!(played < len);
        let text = format!("Zero. {}", words_heard(WORDS, played, len));
        let text = text.trim().to_owned();
        phone.sentence(1, 1, 2, "Too late.", &[0x32; 1_600]);
        phone.finish(1, 1, 3);
        phone.quiet(350);
        phone.understand(from, "stop");
        let after: Vec<&Action> = phone.log[from..].iter().map(|(_, action)| action).collect();
        let fence = after.iter().position(|a| **a == Action::SetFence { turn: 2 });
        let clear = after.iter().position(|a| **a == Action::SendClear);
        assert!(clear < fence && clear.is_some(), "silent at {clear:?}, sure at {fence:?}");
        phone.quiet(1_000);
        let heard = Heard { turn: 1, text, complete: false };
        assert_eq!(phone.turns().last(), Some(&(2, "stop", Some(&heard))));
        assert_eq!(samples_of(&phone, 0x31), played, "silent after the clear");
        assert_eq!(samples_of(&phone, 0x32), 0);
    }
}

#[test]
fn a_barge_in_counts_words_by_the_clock_where_no_mark_returns() {
    let mut phone = Phone::started(settings());
    phone.marks = false;
    phone.take_turn(&voice::speech(600), "a question");
    let len = 8 * 4_000;
    phone.sentence(1, 1, 0, WORDS, &vec![0x31; len]);
    phone.quiet(2_000);
    let from = phone.log.len();
    phone.speak(&voice::speech(1_100));
    let text = words_heard(WORDS, samples_of(&phone, 0x31), len);
    phone.quiet(400);
    phone.understand(from, "stop");
    let told = phone.actions().find_map(|action| match action {
        Action::ReplyHeard(heard) => Some(heard.text.clone()),
        _ => None,
    });
    assert_eq!(told, Some(text));
}

#[test]
fn a_sound_that_is_no_word_does_not_stop_the_agent() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, WORDS, &[0x31; 32_000]);
    phone.finish(1, 1, 1);
    phone.quiet(500);
    phone.speak(&voice::noise(1_000, 20_000, 1));
    assert_eq!(phone.count(|action| *action == Action::SendClear), 0);
    let from = phone.log.len();
    phone.speak(&voice::speech(90));
    phone.quiet(300);
    phone.understand(from, "");
    phone.quiet(4_000);
    assert_eq!(phone.count(|action| *action == Action::SendClear), 1, "it pauses");
    let word = 4_000;
    assert!((32_000..32_000 + word).contains(&samples_of(&phone, 0x31)), "and goes on");
    assert_eq!(phone.turns().len(), 1);
}

#[test]
fn who_makes_the_reply_stops_with_the_first_doubt_and_goes_on_after_a_listening_word() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, WORDS, &[0x31; 32_000]);
    phone.quiet(1_000);
    let (from, began) = (phone.log.len(), phone.now);
    phone.speak(&voice::speech(300));
    let doubted = phone.log[from..].iter().find(|(_, a)| *a == Action::Doubt { turn: 1 });
    let after = doubted.expect("the model is told at once").0 - began;
    assert!(after <= Duration::from_millis(100), "{after:?}");
    phone.quiet(300);
    phone.understand(from, "mhmm");
    phone.quiet(300);
    let told: Vec<&Action> = phone.log[from..]
        .iter()
        .map(|(_, action)| action)
        .filter(|a| {
            matches!(a, Action::Doubt { .. } | Action::EndDoubt { .. } | Action::SetFence { .. })
        })
        .collect();
    assert_eq!(told, [&Action::Doubt { turn: 1 }, &Action::EndDoubt { turn: 1 }]);
    // What the model wrote when it was asked again.
    phone.sentence(1, 1, 1, "And so on.", &[0x32; 1_600]);
    phone.finish(1, 1, 2);
    phone.quiet(6_000);
    assert_eq!(samples_of(&phone, 0x32), 1_600);
    let whole = format!("{WORDS} And so on.");
    assert_eq!(
        phone.count(|a| matches!(a, Action::ReplyHeard(h) if h.complete && h.text == whole)),
        1
    );
}

#[test]
fn a_doubt_ends_with_the_fence_and_is_not_raised_of_a_reply_that_is_made() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, WORDS, &[0x31; 32_000]);
    phone.quiet(1_000);
    let from = phone.log.len();
    phone.speak(&voice::speech(1_100));
    phone.quiet(400);
    phone.understand(from, "stop");
    let doubt = phone.place(|a| *a == Action::Doubt { turn: 1 });
    let clear = phone.place(|a| *a == Action::SendClear);
    let fence = phone.place(|a| *a == Action::SetFence { turn: 2 });
    assert!(doubt < clear && clear < fence);
    assert_eq!(phone.count(|a| matches!(a, Action::EndDoubt { .. })), 0);

    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, WORDS, &[0x31; 32_000]);
    phone.finish(1, 1, 1);
    phone.quiet(1_000);
    phone.speak(&voice::speech(1_100));
    assert_eq!(phone.count(|a| matches!(a, Action::Doubt { .. })), 0);
}

#[test]
fn a_caller_who_hangs_up_in_a_doubt_leaves_none() {
    for lost in [false, true] {
        let mut phone = Phone::started(settings());
        phone.take_turn(&voice::speech(600), "a question");
        phone.sentence(1, 1, 0, WORDS, &[0x31; 32_000]);
        phone.quiet(1_000);
        phone.speak(&voice::speech(200));
        phone.input(if lost { Input::Lost } else { Input::Stop });
        let last = phone.actions().filter(|a| {
            matches!(a, Action::Doubt { .. } | Action::EndDoubt { .. } | Action::SetFence { .. })
        });
        let expected = match lost {
            true => Action::EndDoubt { turn: 1 },
            false => Action::SetFence { turn: 2 },
        };
        assert_eq!(last.last(), Some(&expected));
    }
}

#[test]
fn noise_that_cut_the_agent_short_is_not_met_with_silence() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, WORDS, &[0x31; 32_000]);
    phone.quiet(1_000);
    let from = phone.log.len();
    // Longer than any cough, and nobody knows what it is.
    phone.speak(&voice::speech(2_800));
    phone.quiet(400);
    phone.understand(from, "");
    phone.quiet(1_000);
    assert_eq!(samples_of(&phone, REPEAT), 4_000);
    assert_eq!(phone.turns().len(), 1);
    // What was heard of the reply is told with the turn that follows.
    phone.take_turn(&voice::speech(600), "go on");
    let turns = phone.turns();
    assert_eq!(turns[1].2.map(|heard| heard.turn), Some(1));
}

#[test]
fn what_is_late_doubled_or_unknown_is_never_spoken() {
    let mut phone = Phone::started(settings());
    phone.sentence(1, 1, 0, "Before the turn.", &[0x41; 800]);
    phone.take_turn(&voice::speech(600), "first");
    phone.sentence(9, 1, 0, "Of no turn.", &[0x42; 800]);
    phone.sentence(1, 1, 0, "Yes.", &[0x43; 800]);
    phone.sentence(1, 1, 0, "Yes.", &[0x43; 800]);
    phone.quiet(300);
    phone.sentence(1, 1, 0, "Yes.", &[0x43; 800]);
    phone.sentence(1, 2, 0, "Another attempt.", &[0x44; 800]);
    phone.sentence(1, 2, 1, "Another attempt.", &[0x44; 800]);
    phone.finish(1, 1, 1);
    phone.quiet(500);
    phone.take_turn(&voice::speech(600), "second");
    phone.sentence(1, 1, 1, "Late.", &[0x45; 800]);
    phone.sentence(2, 1, 0, "Good.", &[0x46; 800]);
    phone.quiet(1_000);
    for code in [0x41, 0x42, 0x44, 0x45] {
        assert_eq!(samples_of(&phone, code), 0, "{code:#x}");
    }
    assert_eq!(samples_of(&phone, 0x43), 800);
    assert_eq!(samples_of(&phone, 0x46), 800);
}

#[test]
fn a_reply_overtaken_by_the_caller_is_not_spoken() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "first");
    let from = phone.log.len();
    phone.speak(&voice::speech(600));
    phone.sentence(1, 1, 0, "To the first.", &[0x51; 800]);
    phone.quiet(400);
    phone.understand(from, "second");
    phone.quiet(500);
    phone.sentence(2, 1, 0, "To both.", &[0x52; 800]);
    phone.quiet(500);
    assert_eq!(samples_of(&phone, 0x51), 0);
    assert_eq!(samples_of(&phone, 0x52), 800);
    let fence = phone.place(|action| *action == Action::SetFence { turn: 2 });
    let taken = phone.place(|action| matches!(action, Action::TurnTaken { turn: 2, .. }));
    assert!(fence < taken);
    let heard = Heard { turn: 1, text: String::new(), complete: false };
    assert_eq!(phone.turns()[1], (2, "second", Some(&heard)));
}

#[test]
fn a_reply_held_back_by_mere_noise_is_spoken_after_it() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "first");
    let from = phone.log.len();
    phone.speak(&voice::speech(300));
    phone.sentence(1, 1, 0, "Here you are.", &[0x51; 800]);
    phone.quiet(400);
    assert_eq!(samples_of(&phone, 0x51), 0, "not over the caller's voice");
    phone.understand(from, "");
    phone.quiet(500);
    assert_eq!(samples_of(&phone, 0x51), 800);
    assert_eq!(samples_of(&phone, REPEAT), 0);
}

#[test]
fn a_silent_mesh_is_bridged_once_and_apologised_for_once() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    let taken = phone.now;
    phone.quiet(20_000);
    assert_eq!(samples_of(&phone, FILLER), 4_000);
    assert_eq!(samples_of(&phone, APOLOGY), 4_000);
    assert_eq!(prompts(&phone, PromptKind::Filler), 1);
    assert_eq!(prompts(&phone, PromptKind::Apology), 1);
    let escalated: Vec<Duration> = (phone.log.iter())
        .filter(|(_, action)| *action == Action::Escalate { turn: 1, trouble: Trouble::NoAnswer })
        .map(|(at, _)| *at)
        .collect();
    let [at] = escalated[..] else {
        panic!("escalated {} times", escalated.len());
    };
    let after = at - taken;
    assert!(after > Duration::from_secs(9) && after <= Duration::from_secs(10));
    // Whoever answers now answers too late.
    phone.sentence(1, 1, 0, "At last.", &[0x61; 800]);
    phone.quiet(500);
    assert_eq!(samples_of(&phone, 0x61), 0);
    assert_eq!(phone.take_turn(&voice::speech(600), "hello?"), 2);
}

#[test]
fn a_reply_whose_rest_never_comes_is_given_up_and_the_caller_asked_to_say_it_again() {
    let mut phone = Phone::started(settings());
    let turn = phone.take_turn(&voice::speech(700), "a question");
    phone.sentence(turn, 1, 0, "First.", &[0x30; 4_000]);
    phone.finish(turn, 1, 2);
    phone.quiet(12_000);
    assert_eq!(prompts(&phone, PromptKind::Repeat), 1);
    assert_eq!(prompts(&phone, PromptKind::StillThere), 0, "it is not the caller who is silent");
    assert_eq!(phone.count(|a| *a == Action::SetFence { turn: turn + 1 }), 1);
    phone.sentence(turn, 1, 1, "Second.", &[0x31; 4_000]);
    phone.quiet(1_000);
    assert_eq!(samples_of(&phone, 0x31), 0, "what comes after all is not spoken");
    assert_eq!(phone.take_turn(&voice::speech(700), "again"), turn + 1);
    let (_, _, heard) = phone.turns()[1];
    let heard = heard.expect("what was heard of the first answer");
    assert_eq!((heard.text.as_str(), heard.complete), ("First.", false));
}

#[test]
fn where_a_human_takes_over_the_apology_is_the_last_word() {
    let apology_after = Duration::from_secs(5);
    let settings = Settings { apology_hands_over: true, apology_after, ..settings() };
    // Neither an answer that never comes nor words that never come keep the caller here.
    for understood in [true, false] {
        let mut phone = Phone::started(settings.clone());
        phone.take_turn(&voice::speech(600), "a question");
        if !understood {
            phone.speak(&voice::speech(600));
        }
        phone.quiet(12_000);
        assert_eq!(samples_of(&phone, APOLOGY), 4_000, "heard to its end");
        assert!(phone.core.is_ended());
        let escalated = phone.place(|a| matches!(a, Action::Escalate { .. }));
        let ended = phone.place(|a| matches!(a, Action::End { reason: EndReason::Unanswered, .. }));
        assert!(escalated < ended);
    }
}

#[test]
fn an_answer_after_the_filler_follows_it() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.quiet(2_600);
    phone.sentence(1, 1, 0, "Yes.", &[0x61; 800]);
    phone.finish(1, 1, 1);
    phone.quiet(15_000);
    assert_eq!(samples_of(&phone, FILLER), 4_000);
    assert_eq!(samples_of(&phone, 0x61), 800);
    assert_eq!(samples_of(&phone, APOLOGY), 0);
    let filler = phone.ear.iter().rposition(|code| *code == FILLER);
    assert!(filler < phone.ear.iter().position(|code| *code == 0x61));
    phone.take_turn(&voice::speech(600), "thanks");
    let heard = phone.turns()[1].2.cloned();
    assert_eq!(heard.map(|heard| heard.text).as_deref(), Some("Yes."));
}

#[test]
fn a_reply_that_has_begun_is_not_talked_into() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, "Let me see.", &[0x61; 800]);
    // Nothing comes later than 10 s after the turn: it has expired by then.
    phone.quiet(9_000);
    phone.sentence(1, 1, 1, "Here it is.", &[0x62; 800]);
    phone.quiet(500);
    assert_eq!(samples_of(&phone, 0x62), 800);
    assert_eq!(samples_of(&phone, FILLER) + samples_of(&phone, APOLOGY), 0);
}

#[test]
fn words_that_do_not_come_back_are_bridged_too() {
    let mut phone = Phone::started(settings());
    phone.speak(&voice::speech(600));
    phone.quiet(20_000);
    assert_eq!(samples_of(&phone, FILLER), 4_000);
    assert_eq!(samples_of(&phone, REPEAT), 4_000);
    assert_eq!(samples_of(&phone, APOLOGY), 0);
}

#[test]
fn a_call_at_its_limit_ends_with_a_goodbye() {
    let mut phone = Phone::started(Settings { call_limit: Duration::from_secs(20), ..settings() });
    phone.quiet(17_000);
    phone.take_turn(&voice::speech(600), "a question");
    // The limit falls into this answer, which is let end.
    phone.sentence(1, 1, 0, "Well.", &[0x71; 32_000]);
    phone.finish(1, 1, 1);
    phone.quiet(8_000);
    assert_eq!(samples_of(&phone, 0x71), 32_000);
    assert_eq!(samples_of(&phone, GOODBYE), 4_000);
    assert!(phone.core.is_ended());
    let Some(Action::End { reason, heard }) = phone.actions().last() else {
        panic!("the last action is the end");
    };
    assert_eq!(*reason, EndReason::TimeLimit);
    assert!(heard.as_ref().is_some_and(|heard| heard.complete));
}

#[test]
fn a_call_at_its_limit_ends_though_the_caller_talks_on_and_the_line_is_dead() {
    let mut phone = Phone::started(Settings { call_limit: Duration::from_secs(5), ..settings() });
    phone.marks = false;
    phone.speak(&voice::speech(25_000));
    assert!(phone.core.is_ended());
}

#[test]
fn a_hang_up_in_the_middle_of_a_reply_tells_what_was_heard() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    let len = 8 * 4_000;
    phone.sentence(1, 1, 0, WORDS, &vec![0x31; len]);
    phone.quiet(2_100);
    phone.input(Input::Stop);
    let text = words_heard(WORDS, samples_of(&phone, 0x31), len);
    let heard = Some(Heard { turn: 1, text, complete: false });
    let end = Action::End { reason: EndReason::Stopped, heard };
    assert_eq!(phone.actions().last(), Some(&end));
    let actions = phone.log.len();
    phone.input(Input::Stop);
    phone.input(Input::Tick);
    phone.sentence(1, 1, 1, "More.", &[0x32; 800]);
    assert_eq!(phone.log.len(), actions, "nothing follows the end");
}

/// A job that the broker delivered twice may come out otherwise the second time.
#[test]
fn a_sentence_that_is_being_heard_stays_though_a_repetition_of_it_failed() {
    let mut phone = Phone::started(settings());
    assert_eq!(phone.take_turn(&voice::speech(600), "hello"), 1);
    phone.sentence(1, 1, 0, "It is open.", &[0x31; 16_000]);
    phone.finish(1, 1, 1);
    phone.quiet(400);
    let (part, more, text) = (0, false, String::new());
    phone.input(Input::SentenceSpoken {
        turn: 1,
        attempt: 1,
        index: 0,
        part,
        more,
        text,
        audio: None,
    });
    phone.quiet(30_000);
    assert_eq!(samples_of(&phone, 0x31), 16_000, "all of it is heard");
}

/// A caller who speaks once more, and whose words are lost.
fn speak_in_vain(phone: &mut Phone) {
    let from = phone.segments().len();
    phone.speak(&voice::speech(700));
    phone.quiet(400);
    let lost: Vec<u32> = phone.segments()[from..].iter().map(|segment| segment.1).collect();
    for segment in lost {
        phone.input(Input::SegmentTranscribed { segment, result: Transcript::Failed });
    }
    phone.quiet(1_500);
}

#[test]
fn who_is_never_understood_is_asked_again_then_to_speak_slowly_and_then_goes_to_a_human() {
    for apology_hands_over in [true, false] {
        let mut phone = Phone::started(Settings { apology_hands_over, ..settings() });
        let rungs = [PromptKind::Repeat, PromptKind::Slower, PromptKind::Apology];
        for said in [[1, 0, 0], [1, 1, 0], [1, 1, 1]] {
            speak_in_vain(&mut phone);
            assert_eq!(rungs.map(|kind| prompts(&phone, kind)), said, "each once and in order");
        }
        assert_eq!(samples_of(&phone, APOLOGY), 4_000);
        let escalate = Action::Escalate { turn: 1, trouble: Trouble::NotUnderstood };
        assert_eq!(phone.count(|action| *action == escalate), 1);
        assert_eq!(phone.core.is_ended(), apology_hands_over);
    }
}

#[test]
fn who_was_answered_meanwhile_is_asked_afresh() {
    let mut phone = Phone::started(settings());
    for turn in 1..=4 {
        speak_in_vain(&mut phone);
        speak_in_vain(&mut phone);
        assert_eq!(phone.take_turn(&voice::speech(600), "at last"), turn);
        phone.sentence(turn, 1, 0, "Yes?", &[0x31; 800]);
        phone.finish(turn, 1, 1);
        phone.quiet(500);
    }
    let rungs = [PromptKind::Repeat, PromptKind::Slower, PromptKind::Apology];
    assert_eq!(rungs.map(|kind| prompts(&phone, kind)), [4, 4, 0]);
}

/// A sentence that no vendor could speak.
fn unspoken(phone: &mut Phone, turn: u32, index: u32) {
    let (attempt, part, more, text) = (1, 0, false, "Lost.".to_owned());
    phone.input(Input::SentenceSpoken { turn, attempt, index, part, more, text, audio: None });
}

#[test]
fn a_caller_who_cannot_be_answered_is_asked_twice_to_say_it_again_and_then_goes_to_a_human() {
    let mut phone = Phone::started(settings());
    for turn in 1..=3 {
        assert_eq!(phone.take_turn(&voice::speech(600), "a question"), turn);
        unspoken(&mut phone, turn, 0);
        unspoken(&mut phone, turn, 1);
        phone.finish(turn, 1, 2);
        phone.quiet(1_500);
        let asked = [PromptKind::Repeat, PromptKind::Slower].map(|kind| prompts(&phone, kind));
        assert_eq!(asked, [1, usize::from(turn > 1)]);
    }
    assert_eq!(samples_of(&phone, APOLOGY), 4_000);
    assert_eq!(phone.count(|a| matches!(a, Action::Escalate { .. })), 1);
    assert_eq!(phone.count(|a| matches!(a, Action::TurnAudible { .. })), 0, "nothing was heard");
}

#[test]
fn a_sentence_that_cannot_be_spoken_ends_no_wait_for_the_answer() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    unspoken(&mut phone, 1, 0);
    phone.quiet(4_000);
    assert_eq!(prompts(&phone, PromptKind::Filler), 1, "the caller has heard nothing yet");
    let audible = |phone: &Phone| phone.count(|a| matches!(a, Action::TurnAudible { .. }));
    assert_eq!(audible(&phone), 0);
    phone.sentence(1, 1, 1, "Second.", &[0x32; 800]);
    phone.finish(1, 1, 2);
    phone.quiet(1_000);
    assert_eq!((samples_of(&phone, 0x32), audible(&phone)), (800, 1));
    // What was to follow it follows, though the history knows that it was not whole.
    let heard = Heard { turn: 1, text: "Second.".to_owned(), complete: false };
    let told = phone.place(|action| *action == Action::ReplyHeard(heard.clone()));
    assert_eq!(phone.place(|a| *a == Action::ReplyPlayedOut { turn: 1 }), told + 1);
    assert_eq!(prompts(&phone, PromptKind::Repeat), 0);
}

#[test]
fn who_agrees_over_the_last_word_answers_it_and_what_is_to_follow_follows() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "put me through");
    phone.sentence(1, 1, 0, "One two three four", &[0x31; 16_000]);
    phone.finish(1, 1, 1);
    phone.quiet(1_500);
    assert_eq!(phone.take_turn(&voice::speech(300), "okay"), 2);
    let out = phone.place(|a| *a == Action::ReplyPlayedOut { turn: 1 });
    let heard = phone.place(|a| matches!(a, Action::ReplyHeard(heard) if heard.turn == 1));
    assert!(heard < out);
    // One who has more to say is listened to first.
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "put me through");
    phone.sentence(1, 1, 0, "One two three four", &[0x31; 16_000]);
    phone.finish(1, 1, 1);
    phone.quiet(1_500);
    assert_eq!(phone.take_turn(&voice::speech(300), "wait"), 2);
    assert_eq!(phone.count(|a| matches!(a, Action::ReplyPlayedOut { .. })), 0);
}

#[test]
fn a_question_is_asked_once_enough_of_it_was_heard() {
    for (heard_ms, turns) in [(100, 1), (700, 2)] {
        let mut phone = Phone::started(settings());
        phone.take_turn(&voice::speech(600), "Tuesday");
        phone.sentence(1, 1, 0, "Ten is free.", &[0x31; 8_000]);
        phone.sentence(1, 1, 1, "Shall I book it for you?", &[0x32; 16_000]);
        phone.finish(1, 1, 2);
        phone.quiet(1_000 + heard_ms - 20);
        let from = phone.log.len();
        phone.speak(&voice::speech(300));
        phone.quiet(300);
        phone.understand(from, "okay");
        phone.quiet(3_000);
        assert_eq!(phone.turns().len(), turns, "after {heard_ms} ms of the question");
    }
}

#[test]
fn who_speaks_on_into_the_agent_is_understood_before_he_has_ended() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, WORDS, &[0x31; 32_000]);
    phone.quiet(1_000);
    let from = phone.log.len();
    phone.speak(&voice::speech(1_300));
    let looks = |phone: &Phone| {
        let looks = phone.log[from..].iter().filter_map(|(_, action)| match action {
            Action::Transcribe { segment, tentative: true, .. } => Some(*segment),
            _ => None,
        });
        looks.collect::<Vec<_>>()
    };
    let look = looks(&phone)[0];
    assert_eq!(phone.count(|a| *a == Action::SetFence { turn: 2 }), 0, "it may be a long okay");
    // The last word may be cut in its middle.
    phone.words(look, "okay so I'd rather ha");
    assert_eq!(phone.count(|a| *a == Action::SetFence { turn: 2 }), 1);
    phone.speak(&voice::speech(500));
    phone.quiet(400);
    let whole = phone.segments().last().map(|segment| (segment.1, segment.2.len()));
    let (whole, len) = whole.expect("the segment");
    assert!(len >= 8 * 1_800, "it comes whole: {len}");
    phone.words(whole, "okay so I'd rather have Friday");
    phone.quiet(500);
    assert_eq!(phone.turns()[1].1, "okay so I'd rather have Friday", "and no word of it twice");
}

#[test]
fn voice_that_nobody_understands_interrupts_after_a_while() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, WORDS, &[0x31; 32_000]);
    phone.quiet(1_000);
    let fences = |phone: &Phone| phone.count(|a| *a == Action::SetFence { turn: 2 });
    phone.speak(&voice::speech(2_000));
    assert_eq!(fences(&phone), 0);
    phone.speak(&voice::speech(800));
    assert_eq!(fences(&phone), 1);
}

#[test]
fn noise_while_the_agent_thinks_makes_the_wait_no_longer() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    let taken = phone.now;
    for _ in 0..5 {
        let from = phone.log.len();
        phone.speak(&voice::speech(300));
        phone.quiet(300);
        phone.understand(from, "");
        phone.quiet(1_400);
    }
    assert_eq!(prompts(&phone, PromptKind::Filler), 1);
    phone.quiet(1_000);
    let apology = phone.log.iter().find(|(_, a)| matches!(a, Action::Escalate { turn: 1, .. }));
    let after = apology.expect("an apology").0 - taken;
    assert!(after <= Duration::from_millis(10_000), "{after:?}");
    assert_eq!(prompts(&phone, PromptKind::Filler), 1, "one is enough");
}

#[test]
fn an_answer_that_waited_for_a_noise_is_given_however_long_it_took() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.quiet(8_000);
    phone.speak(&voice::speech(1_500));
    phone.sentence(1, 1, 0, "Here you are.", &[0x51; 800]);
    phone.finish(1, 1, 1);
    let from = phone.segments().len();
    phone.quiet(1_500);
    let number = phone.segments()[from].1;
    phone.words(number, "");
    phone.quiet(1_000);
    assert_eq!((samples_of(&phone, 0x51), prompts(&phone, PromptKind::Apology)), (800, 0));
}

#[test]
fn a_sure_to_one_moment_please_calls_no_answer_off() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.quiet(3_500);
    assert_eq!(prompts(&phone, PromptKind::Filler), 1);
    let from = phone.log.len();
    phone.speak(&voice::speech(300));
    phone.quiet(300);
    phone.understand(from, "sure");
    phone.quiet(300);
    phone.sentence(1, 1, 0, "Here you are.", &[0x51; 800]);
    phone.finish(1, 1, 1);
    phone.quiet(500);
    assert_eq!((samples_of(&phone, 0x51), phone.turns().len()), (800, 1));
}

/// Plays `ms` of what sounds like a voice and says nothing; each look at it finds no words.
fn babble(phone: &mut Phone, ms: u64) {
    let from = phone.segments().len();
    let mut answered = from;
    for frame in voice::speech(ms).chunks(1_600) {
        phone.speak(frame);
        let ready: Vec<u32> = phone.segments()[answered..].iter().map(|s| s.1).collect();
        answered += ready.len();
        for segment in ready {
            phone.words(segment, "");
        }
    }
}

#[test]
fn music_does_not_mute_the_agent() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    phone.sentence(1, 1, 0, WORDS, &[0x31; 32_000]);
    phone.finish(1, 1, 1);
    phone.quiet(1_000);
    babble(&mut phone, 9_000);
    let word = 4_000;
    assert!((32_000..32_000 + word).contains(&samples_of(&phone, 0x31)), "it goes on to its end");
    assert_eq!(phone.count(|a| *a == Action::SetFence { turn: 2 }), 0);
    // After a pause the caller is heard again.
    phone.quiet(500);
    assert_eq!(phone.take_turn(&voice::speech(600), "sorry, the radio"), 2);
}

#[test]
fn who_cannot_be_heard_for_music_is_asked_and_then_goes_to_a_human() {
    let mut phone = Phone::started(Settings { apology_hands_over: true, ..settings() });
    for asks in [REPEAT, SLOWER] {
        babble(&mut phone, 17_000);
        assert_eq!(samples_of(&phone, asks), 4_000, "over the music");
        phone.quiet(300);
    }
    babble(&mut phone, 17_000);
    assert_eq!(samples_of(&phone, APOLOGY), 4_000);
    assert!(phone.core.is_ended());
}

#[test]
fn an_answer_does_not_wait_for_the_end_of_music() {
    let mut phone = Phone::started(settings());
    phone.take_turn(&voice::speech(600), "a question");
    babble(&mut phone, 2_000);
    phone.sentence(1, 1, 0, "Here you are.", &[0x51; 800]);
    phone.finish(1, 1, 1);
    babble(&mut phone, 15_000);
    assert_eq!((samples_of(&phone, 0x51), samples_of(&phone, REPEAT)), (800, 0));
}
