//! What a person wants, as far as the words alone can tell.

use super::{
    intent_words::{
        APPOINTMENTS, ARRANGES, ASKS, ASKS_TO_HAVE, BOOKS, CANCELS, ENDS, FASTER, GREETS, HUMANS,
        LEAVES, MISSES, MOVES, NEGATIONS, NEVER_MIND, NOT_BOOKS, NOT_CANCELS, NOT_HUMANS,
        NOT_OPENS, OPENS, OTHER_TIMES, PEOPLE, PUTS_OFF, QUESTIONS, REPEATS, REQUESTS, SEES,
        SLOWER, SPEAKS, TALKS, THANKS, THINGS_ASKED,
    },
    lexis::{contains, words},
    service::service,
    when::{Here, facts},
};

/// A task a person comes with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intent {
    /// A new appointment.
    Book,
    /// Another time for one they have.
    Reschedule,
    /// To call one off.
    Cancel,
    /// When the business is open.
    Hours,
    /// A human.
    Human,
    /// Anything else.
    Other,
}

/// What a person wants of the talk itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// One of the tasks; never [`Intent::Other`].
    Task(Intent),
    /// To leave off what was begun.
    NeverMind,
    /// The last reply once more.
    Repeat,
    /// The last reply, slower.
    Slower,
    /// To be greeted.
    Greet,
    /// To thank, nothing else.
    Thank,
    /// To end the talk.
    Leave,
}

/// How far apart the two words of a turn of phrase may stand.
const REACH: usize = 6;

/// The longest greeting or thanks that says nothing else, in words.
const COURTESY_WORDS_MAX: usize = 4;
/// "slowly" alone, or with a word such as "please", is about our speech.
const SLOWLY_ALONE_WORDS_MAX: usize = 2;

/// What `text` asks for. The rules go from what is said most clearly to what is only likely.
pub fn intent(text: &str) -> Intent {
    let words = words(text);
    let said = Said { words: &words };
    if said.asks_for_somebody() {
        Intent::Human
    } else if said.any(&NOT_CANCELS) {
        Intent::Other
    } else if said.puts_off() {
        Intent::Reschedule
    } else if said.calls_off() {
        Intent::Cancel
    } else if said.asks_for_hours() {
        Intent::Hours
    } else if said.wants_an_appointment(text) {
        Intent::Book
    } else {
        Intent::Other
    }
}

/// Whether one of `services` is wanted: "I need a filling" and "can I get a filling", but not "how long does a filling
/// take" and "what is a filling".
pub fn wants_service(text: &str, services: &[String]) -> bool {
    let words = words(text);
    let said = Said { words: &words };
    service(text, services).is_some()
        && !said.is_only_about_one()
        && (!is_question(text) || said.any(&ASKS_TO_HAVE))
}

/// Whether something is asked.
pub(crate) fn is_question(text: &str) -> bool {
    let words = words(text);
    let asks = words.first().is_some_and(|first| QUESTIONS.contains(&first.as_str()));
    words.len() > 2 && (asks || text.trim_end().ends_with('?'))
}

/// The words of one utterance.
struct Said<'a> {
    words: &'a [String],
}

impl Said<'_> {
    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|w| w == word)
    }

    fn any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| contains(self.words, phrase))
    }

    /// Whether one of `seconds` stands after one of `firsts`, within [`REACH`].
    fn follows(&self, firsts: &[&str], seconds: &[&str]) -> bool {
        let is_one = |list: &[&str], word: &String| list.contains(&word.as_str());
        self.words.iter().enumerate().any(|(at, word)| {
            let mut after = self.words.iter().skip(at + 1).take(REACH);
            is_one(firsts, word) && after.any(|w| is_one(seconds, w))
        })
    }

    fn asks_for_somebody(&self) -> bool {
        let is_bare =
            self.words.len() <= 2 && (self.has("agent") || self.has("human") || self.has("person"));
        let wants_talk = self.follows(&TALKS, &PEOPLE)
            || self.follows(&PEOPLE, &["talk", "speak"])
            || (self.follows(&PEOPLE, &["call"]) && self.any(&["call me", "ring me", "phone me"]))
            || (self.follows(&["get", "want", "need"], &["person", "human"])
                && self.any(&["a person", "a human"]));
        let minds_machines =
            self.any(&["a machine", "a robot", "a bot", "this robot", "a computer"])
                && (self.has("person") || self.has("don't") || self.has("human"));
        (is_bare || wants_talk || minds_machines || self.any(&HUMANS)) && !self.any(&NOT_HUMANS)
    }

    /// Not to come as it was agreed.
    fn misses(&self) -> bool {
        self.any(&MISSES)
            || (self.follows(&NEGATIONS, &["come", "attend", "arrive"])
                && self.any(&["able to", "to come", "can't come", "won't come"]))
    }

    fn puts_off(&self) -> bool {
        let has_one = self.has("appointment") || self.has("booking");
        let moves = self.any(&MOVES)
            || (self.has("instead")
                && (self.any(&CANCELS) || self.has("can") || self.has("could") || has_one))
            || ((self.has("earlier") || self.has("later")) && self.has("my") && has_one)
            || self.any(&["later than planned", "earlier than planned", "than we agreed"])
            || (self.follows(&PUTS_OFF, &["my", "our"])
                && self.any(&["to", "by", "until", "forward"]))
            || self.follows(&["delay", "postpone"], &APPOINTMENTS)
            || ((self.misses() || self.any(&CANCELS)) && self.names_another_moment());
        let only_cancels = self.has("cancel") && !self.has("instead") && !self.has("reschedule");
        let only_brings = self.any(&["i bring", "to bring"]);
        moves && !only_cancels && !only_brings
    }

    /// "is Friday possible", "can we do another day": beside what does not suit, what would.
    fn names_another_moment(&self) -> bool {
        self.any(&OTHER_TIMES)
            || self
                .follows(&["is", "how", "what", "could", "can"], &["possible", "about", "instead"])
    }

    fn calls_off(&self) -> bool {
        let ends = self.follows(&ENDS, &APPOINTMENTS) && !self.has("to");
        let unwanted = self.follows(&NEGATIONS, &["want", "need", "keep"])
            && self.any(&["appointment", "booking", "reservation", "visit"])
            && (self.any(&["any more", "anymore", "after all", "longer"])
                || self.follows(&["the", "my", "that"], &APPOINTMENTS));
        let off_the_list = self.has("take") && self.any(&["off the list", "off the schedule"]);
        ends || unwanted || off_the_list || self.misses() || self.any(&CANCELS)
    }

    fn asks_for_hours(&self) -> bool {
        let asks_when = self.follows(&["what", "which"], &["time", "times"]) || self.has("until");
        let is_there = self.any(&["are you there", "are you around", "you guys there"]);
        let about_opening = self.any(&OPENS)
            || (asks_when && self.any(&["walk in", "open", "close", "shut"]))
            || (self.has("hours") && self.words.len() <= 4 && !self.has("24"))
            || (is_there && self.words.len() > 3);
        about_opening && !self.any(&NOT_OPENS) && !self.has("account")
    }

    /// What an appointment is like, costs or needs, not that one is wanted.
    fn is_only_about_one(&self) -> bool {
        let wants_one = self.has("book")
            || self.has("make")
            || self.has("schedule")
            || (self.has("need") && !self.has("do"));
        let asks_about =
            self.has("bring") || self.has("cost") || self.has("much") || self.has("phone");
        self.any(&NOT_BOOKS) && (!wants_one || asks_about)
    }

    fn wants_an_appointment(&self, text: &str) -> bool {
        if self.is_only_about_one() {
            return false;
        }
        let asks = ASKS.iter().any(|word| self.has(word));
        let wants_to_be_seen = self.follows(&SEES, &PEOPLE)
            || self.follows(&PEOPLE, &["look", "see", "check"])
            || self.follows(&SEES, &["dr"])
            || self.follows(&["fit", "squeeze", "get"], &["in"])
            || self.any(&ARRANGES);
        // "what have you got on Tuesday", "need a trim this weekend": to want a moment of ours.
        let wants_a_moment = self.any(&REQUESTS) && !self.any(&THINGS_ASKED) && {
            let facts = facts(text, &Here::nowhere(), false);
            facts.has_day() || facts.time_of_day().is_some()
        };
        self.any(&BOOKS) || (wants_to_be_seen && asks) || wants_a_moment
    }
}

/// Whether who said `text` wants to be spoken to slowly from now on; `None` where it says nothing of that (B3).
pub fn slowly(text: &str) -> Option<bool> {
    let words = words(text);
    let says = |list: &[&str]| list.iter().any(|phrase| contains(&words, phrase));
    if says(&FASTER) { Some(false) } else { asks_slower(&words).then_some(true) }
}

fn asks_slower(words: &[String]) -> bool {
    let says = |list: &[&str]| list.iter().any(|phrase| contains(words, phrase));
    let is_bare = words.len() <= SLOWLY_ALONE_WORDS_MAX;
    says(&SLOWER) || (says(&["slowly"]) && (is_bare || says(&SPEAKS)))
}

/// What `text` wants of the talk; `None` when it is none of [`Wish`].
pub fn wish(text: &str) -> Option<Wish> {
    let words = words(text);
    let says = |list: &[&str]| list.iter().any(|phrase| contains(&words, phrase));
    let is_courtesy = words.len() <= COURTESY_WORDS_MAX;
    if says(&NEVER_MIND) {
        return Some(Wish::NeverMind);
    }
    match intent(text) {
        Intent::Other => {}
        task => return Some(Wish::Task(task)),
    }
    if asks_slower(&words) {
        Some(Wish::Slower)
    } else if says(&REPEATS)
        || matches!(words.as_slice(), [only] if only == "sorry" || only == "what")
    {
        Some(Wish::Repeat)
    } else if says(&LEAVES) {
        Some(Wish::Leave)
    } else if says(&THANKS) && is_courtesy {
        Some(Wish::Thank)
    } else if says(&GREETS) && is_courtesy {
        Some(Wish::Greet)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_fast_somebody_wants_to_be_spoken_to_is_heard() {
        let cases = [
            ("Could you say that slower?", Some(true)),
            ("Slow down please, I want to book a cleaning", Some(true)),
            ("You can speak faster", Some(false)),
            ("Not so slowly, please", Some(false)),
            ("Slowly, please", Some(true)),
            ("Could you read the number slowly?", Some(true)),
            ("It hurts when I walk slowly", None),
            ("I want to book a cleaning", None),
        ];
        for (text, expected) in cases {
            assert_eq!(slowly(text), expected, "{text}");
        }
    }

    #[test]
    fn one_added_word_can_change_the_wish() {
        let cases = [
            ("I would like an appointment", Some(Wish::Task(Intent::Book))),
            ("I would like to cancel an appointment", Some(Wish::Task(Intent::Cancel))),
            ("Never mind the appointment", Some(Wish::NeverMind)),
            ("Hello", Some(Wish::Greet)),
            ("Hello, I need a booking", Some(Wish::Task(Intent::Book))),
            ("Thank you", Some(Wish::Thank)),
            ("Thank you, goodbye", Some(Wish::Leave)),
            ("Could you say that again?", Some(Wish::Repeat)),
            ("Could you say that slower?", Some(Wish::Slower)),
            ("What is the meaning of life?", None),
        ];
        for (text, expected) in cases {
            assert_eq!(wish(text), expected, "{text}");
        }
    }
}
