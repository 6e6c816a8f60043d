//! What the agent says, and what of it is heard.

use std::time::Duration;

use call_core::{Action, EndReason, Heard, Input, PromptKind, Settings};

use crate::{APOLOGY, FILLER, GOODBYE, REPEAT, phone::Phone, settings, voice};

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
        assert!(!phone.core.is_ended());

        let after: Vec<&Action> = phone.log[from..].iter().map(|(_, action)| action).collect();
        let fence = after.iter().position(|a| **a == Action::SetFence { turn: 2 });
        let clear = after.iter().position(|a| **a == Action::SendClear);
        assert!(clear < fence && clear.is_some(), "silent at {clear:?}, sure at {fence:?}");

        let played = samples_of(&phone, 0x31);
        assert!(played < len);
        let text = format!("Zero. {}", words_heard(WORDS, played, len));
        let text = text.trim().to_owned();
        phone.sentence(1, 1, 2, "Too late.", &[0x32; 1_600]);
        phone.finish(1, 1, 3);
        phone.quiet(350);
        phone.understand(from, "stop");
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
    phone.speak(&voice::speech(1_100));
    let text = words_heard(WORDS, samples_of(&phone, 0x31), len);
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
    phone.speak(&voice::speech(1_100));
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
    phone.speak(&voice::speech(1_100));
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
        .filter(|(_, action)| *action == Action::Escalate { turn: 1 })
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
