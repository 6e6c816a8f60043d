//! What a patient caller does in a call that may break. No I/O: what is known of the call in, what to do next out.
//!
//! The caller says a word, waits for its answer, and goes on with the next. Asked to say it again, or told "I am back", they
//! say it again, in another word, so that each word is said once. A word that nothing came of is lost.

use domain::TenantSettings;
use simulator::caller::CallReport;

/// What is said, and said instead when it must be said again.
const WORDS: [[&str; 5]; 4] = [
    ["maple", "cedar", "birch", "willow", "aspen"],
    ["silver", "copper", "iron", "nickel", "cobalt"],
    ["orange", "violet", "yellow", "purple", "crimson"],
    ["river", "valley", "harbor", "meadow", "island"],
];
/// How the model's answer ends.
const ENDS: &str = "what else can I do?";

/// A sentence the agent may pause after, ms.
const PAUSE_MS: u64 = 1_500;
/// After what the agent did not finish, or said otherwise, ms.
const PERHAPS_MORE_MS: u64 = 4_000;
/// After "I am back" an answer may still come, ms.
const BACK_MS: u64 = 7_000;
/// Who heard nothing for so long has not been heard, ms.
const PATIENCE_MS: u64 = 30_000;

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    Say(&'static str),
    HangUp,
}

/// What came of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Waiting,
    /// It was answered, and the answer quoted it.
    Answered,
    /// It was answered by another than the model.
    AnsweredOtherwise,
    /// The platform said that it had not understood, was away, or could not.
    Excused,
    /// Its answer broke off, after the platform said that it was away.
    CutShort,
    /// Nothing came of it, or half an answer.
    Lost(&'static str),
}

/// A caller in one call.
#[derive(Debug, Default)]
pub(super) struct Caller {
    /// Each word, with what came of it.
    pub(super) asked: Vec<(&'static str, Outcome)>,
    slot: usize,
    attempt: usize,
}

/// What the agent says for want of an answer.
struct Phrases {
    settings: TenantSettings,
}

impl Phrases {
    /// Without what belongs to no answer.
    fn strip(&self, heard: &str) -> String {
        heard.replace(&*self.settings.filler, " ").trim().to_owned()
    }

    fn says_back(&self, heard: &str) -> bool {
        heard.contains(&*self.settings.resumed) || heard.contains(&*self.settings.nobody_free)
    }

    fn asks_again(&self, heard: &str) -> bool {
        let Phrases { settings } = self;
        let asks = [&*settings.repeat_request, &settings.slower_request, &settings.apology];
        asks.iter().chain(&[dialogue_core::RECOVERY]).any(|asks| heard.contains(asks))
    }

    /// Whoever is asked whether they are there, having just spoken, was not heard.
    fn asks_who_is_there(&self, heard: &str) -> bool {
        heard.contains(&*self.settings.silence_question)
    }
}

impl Caller {
    /// What the caller does, `now_ms` into the call.
    pub(super) fn next(&mut self, report: &CallReport, now_ms: u64) -> Next {
        let phrases = Phrases { settings: TenantSettings::default() };
        if report.status.is_final() {
            self.ended(report, &phrases);
            return Next::Wait;
        }
        if report.answered_unix_ms.is_none() || report.heard.iter().any(|turn| turn.decoding) {
            return Next::Wait;
        }
        let Some((word, Outcome::Waiting)) = self.asked.last().copied() else {
            let greeted = !report.heard.is_empty() && report.hearing_from_ms.is_none();
            return if greeted || now_ms > PATIENCE_MS { self.say() } else { Next::Wait };
        };
        let Some(ended_ms) = said_until(report, word) else { return Next::Wait };
        let heard = phrases.strip(&heard_since(report, ended_ms));
        let quiet_ms = match report.hearing_from_ms {
            Some(_) => 0,
            None => now_ms.saturating_sub(quiet_since(report, ended_ms)),
        };
        match self.judge(&heard, word, quiet_ms, &phrases) {
            Some(outcome) => self.go_on(outcome),
            None => Next::Wait,
        }
    }

    /// What came of the word, once that is sure.
    fn judge(&self, heard: &str, word: &str, quiet_ms: u64, phrases: &Phrases) -> Option<Outcome> {
        let is_back = phrases.says_back(heard);
        let after = |ms: u64, outcome: Outcome| (quiet_ms >= ms).then_some(outcome);
        if let Some((_, rest)) = heard.split_once(&quote(word)) {
            let cut = if is_back { Outcome::CutShort } else { Outcome::Lost("half an answer") };
            return match rest.contains(ENDS) {
                true => after(PAUSE_MS, Outcome::Answered),
                false => after(PATIENCE_MS / 2, cut),
            };
        }
        if phrases.asks_again(heard) {
            return after(PERHAPS_MORE_MS, Outcome::Excused);
        }
        if is_back {
            return after(BACK_MS, Outcome::Excused);
        }
        if phrases.asks_who_is_there(heard) {
            return after(PAUSE_MS, Outcome::Lost("it was not heard"));
        }
        match heard.is_empty() {
            true => after(PATIENCE_MS, Outcome::Lost("no answer")),
            false => after(PERHAPS_MORE_MS, Outcome::AnsweredOtherwise),
        }
    }

    fn go_on(&mut self, outcome: Outcome) -> Next {
        if let Some((_, last)) = self.asked.last_mut() {
            *last = outcome;
        }
        let again = matches!(outcome, Outcome::Excused | Outcome::CutShort | Outcome::Lost(_));
        if again && self.attempt + 1 < WORDS[0].len() {
            self.attempt += 1;
        } else {
            (self.slot, self.attempt) = (self.slot + 1, 0);
        }
        self.say()
    }

    fn say(&mut self) -> Next {
        let Some(word) = WORDS.get(self.slot).map(|words| words[self.attempt]) else {
            return Next::HangUp;
        };
        self.asked.push((word, Outcome::Waiting));
        Next::Say(word)
    }

    /// The platform ended the call, or never took it.
    fn ended(&mut self, report: &CallReport, phrases: &Phrases) {
        if report.answered_unix_ms.is_none() {
            self.asked.push(("", Outcome::Lost("the call was not taken")));
            return;
        }
        let Some((word, outcome)) = self.asked.last_mut() else {
            self.asked.push(("", Outcome::Lost("the call ended with the greeting")));
            return;
        };
        if *outcome != Outcome::Waiting {
            return;
        }
        let since = said_until(report, word).unwrap_or_default();
        let heard = phrases.strip(&heard_since(report, since));
        *outcome = match phrases.asks_again(&heard) || phrases.says_back(&heard) {
            true => Outcome::Excused,
            false => Outcome::Lost("the call ended"),
        };
    }
}

/// How the model quotes a word.
pub(super) fn quote(word: &str) -> String {
    format!("you said {word}.")
}

/// What was heard from a time of the call on.
fn heard_since(report: &CallReport, since_ms: u64) -> String {
    let turns = report.heard.iter().filter(|turn| turn.end_ms > since_ms);
    turns.map(|turn| turn.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn said_until(report: &CallReport, word: &str) -> Option<u64> {
    report.said.iter().rfind(|said| said.text == word)?.end_ms
}

fn quiet_since(report: &CallReport, ended_ms: u64) -> u64 {
    report.heard.last().map_or(ended_ms, |turn| turn.end_ms.max(ended_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use simulator::caller::Voice;
    use simulator::twilio::{CallStatus, Said, Turn};

    /// A call in which `said` was said and then `heard` was heard.
    fn call(said: &[&str], heard: &[(&str, u64)]) -> CallReport {
        CallReport {
            status: CallStatus::InProgress,
            answered_unix_ms: Some(0),
            said: said
                .iter()
                .zip(0..)
                .map(|(text, at)| Said {
                    text: (*text).to_owned(),
                    voice: Voice::Modem,
                    start_ms: 5_000 + 20_000 * at,
                    end_ms: Some(6_000 + 20_000 * at),
                })
                .collect(),
            heard: heard
                .iter()
                .map(|(text, end_ms)| Turn {
                    text: (*text).to_owned(),
                    start_ms: end_ms - 500,
                    end_ms: *end_ms,
                    ..Turn::default()
                })
                .collect(),
            ..CallReport::default()
        }
    }

    const HELLO: (&str, u64) = ("Hello.", 1_000);

    fn after_the_first_word(heard: &[(&str, u64)], now_ms: u64) -> (Next, Outcome) {
        let mut caller = Caller::default();
        assert_eq!(caller.next(&call(&[], &[HELLO]), 2_000), Next::Say("maple"));
        let heard = [&[HELLO][..], heard].concat();
        let next = caller.next(&call(&["maple"], &heard), now_ms);
        (next, caller.asked[0].1)
    }

    #[test]
    fn who_is_answered_goes_on_with_the_next_word() {
        let answer = "Answer 1 begins: you said maple. It goes on. What now, what else can I do?";
        let (next, outcome) = after_the_first_word(&[(answer, 12_000)], 14_000);
        assert_eq!((next, outcome), (Next::Say("silver"), Outcome::Answered));
        let (next, _) =
            after_the_first_word(&[("Answer 1 begins: you said maple.", 12_000)], 14_000);
        assert_eq!(next, Next::Wait, "the rest is still to come");
    }

    #[test]
    fn who_is_asked_to_says_it_again_in_another_word() {
        let settings = TenantSettings::default();
        let TenantSettings { repeat_request, slower_request, resumed, apology, .. } = &settings;
        for asks in [repeat_request, slower_request, resumed, apology] {
            let (next, outcome) = after_the_first_word(&[(&**asks, 9_000)], 17_000);
            assert_eq!((next, outcome), (Next::Say("cedar"), Outcome::Excused), "{asks}");
        }
        let (next, _) = after_the_first_word(&[(&*settings.filler, 9_000)], 17_000);
        assert_eq!(next, Next::Wait, "an answer follows a filler");
    }

    #[test]
    fn a_word_that_nothing_came_of_is_lost() {
        assert_eq!(after_the_first_word(&[], 20_000).1, Outcome::Waiting);
        assert!(matches!(after_the_first_word(&[], 40_000).1, Outcome::Lost(_)));
        let half = "Answer 1 begins: you said maple.";
        assert!(matches!(after_the_first_word(&[(half, 9_000)], 40_000).1, Outcome::Lost(_)));
        let there = TenantSettings::default().silence_question;
        assert!(matches!(after_the_first_word(&[(&*there, 14_000)], 17_000).1, Outcome::Lost(_)));
    }

    #[test]
    fn a_call_that_ends_before_its_time_is_lost_unless_it_said_so() {
        let mut caller = Caller::default();
        caller.next(&call(&[], &[HELLO]), 2_000);
        let over = CallReport { status: CallStatus::Completed, ..call(&["maple"], &[HELLO]) };
        caller.next(&over, 9_000);
        assert!(matches!(caller.asked[0].1, Outcome::Lost(_)));
    }
}
