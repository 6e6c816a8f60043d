use super::{contains, words};

/// What the words say to a yes-or-no question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Agreement.
    Yes,
    /// Refusal or correction.
    No,
    /// Neither.
    Unclear,
}

const AGREES_DESPITE_NO: [&str; 4] = ["no problem", "not a problem", "why not", "no worries"];

const REFUSES: [&str; 13] = [
    "no",
    "nope",
    "nah",
    "not",
    "wrong",
    "incorrect",
    "don't",
    "isn't",
    "doesn't",
    "never",
    "negative",
    "change",
    "won't",
];

const AGREES: [&str; 25] = [
    "yes",
    "yeah",
    "yep",
    "yup",
    "ya",
    "sure",
    "correct",
    "right",
    "exactly",
    "ok",
    "okay",
    "fine",
    "perfect",
    "absolutely",
    "definitely",
    "indeed",
    "affirmative",
    "certainly",
    "please",
    "good",
    "great",
    "works",
    "aye",
    "true",
    "y",
];

/// What `text` says to a yes-or-no question. A refusal anywhere outweighs agreement: a booking too
/// few can be mended, one too many was never wanted.
pub fn answer(text: &str) -> Answer {
    let words = words(text);
    let says = |list: &[&str]| words.iter().any(|w| list.contains(&w.as_str()));
    if AGREES_DESPITE_NO.iter().any(|phrase| contains(&words, phrase)) {
        Answer::Yes
    } else if says(&REFUSES) {
        Answer::No
    } else if says(&AGREES) || contains(&words, "go ahead") {
        Answer::Yes
    } else {
        Answer::Unclear
    }
}

/// What a person wants, as far as the rules can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// An appointment.
    Book,
    /// To move or call off one they have.
    Change,
    /// To leave off what was begun.
    NeverMind,
    /// The last reply once more.
    Repeat,
    /// To speak with a human.
    Human,
    /// To be greeted.
    Greet,
    /// To thank, nothing else.
    Thank,
    /// To end the talk.
    Leave,
}

const LEAVES: [&str; 9] = [
    "goodbye",
    "good bye",
    "bye",
    "bye bye",
    "that's all",
    "that is all",
    "see you",
    "nothing else",
    "have a nice day",
];

const NEVER_MIND: [&str; 6] =
    ["never mind", "nevermind", "forget it", "forget about it", "leave it", "changed my mind"];

const REPEATS: [&str; 8] = [
    "say that again",
    "say it again",
    "repeat that",
    "repeat it",
    "please repeat",
    "pardon",
    "what did you say",
    "come again",
];

const CHANGES: [&str; 8] = [
    "cancel",
    "reschedule",
    "postpone",
    "rebook",
    "move my appointment",
    "change my appointment",
    "move my booking",
    "change my booking",
];

const BOOKS: [&str; 14] = [
    "appointment",
    "appointments",
    "book",
    "booking",
    "reserve",
    "reservation",
    "schedule",
    "consultation",
    "checkup",
    "check-up",
    "time slot",
    "see the doctor",
    "see the dentist",
    "make a visit",
];

const HUMANS: [&str; 14] = [
    "human",
    "real person",
    "a person",
    "operator",
    "receptionist",
    "someone real",
    "talk to someone",
    "speak to someone",
    "speak with someone",
    "talk with someone",
    "representative",
    "agent",
    "manager",
    "live person",
];

const THANKS: [&str; 4] = ["thanks", "thank you", "thank", "cheers"];

const GREETS: [&str; 8] = [
    "hello",
    "hi",
    "hey",
    "good morning",
    "good afternoon",
    "good evening",
    "greetings",
    "namaste",
];

/// The longest greeting or thanks that says nothing else, in words.
const COURTESY_WORDS_MAX: usize = 4;

/// What `text` asks for; `None` when it is none of [`Wish`].
pub fn wish(text: &str) -> Option<Wish> {
    let words = words(text);
    let says = |list: &[&str]| list.iter().any(|phrase| contains(&words, phrase));
    let is_courtesy = words.len() <= COURTESY_WORDS_MAX;
    if says(&NEVER_MIND) {
        Some(Wish::NeverMind)
    } else if says(&HUMANS) {
        Some(Wish::Human)
    } else if says(&CHANGES) {
        Some(Wish::Change)
    } else if says(&BOOKS) {
        Some(Wish::Book)
    } else if says(&REPEATS) || matches!(words.as_slice(), [only] if only == "sorry") {
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
    fn yes_and_no_are_told_apart() {
        for yes in ["Yes.", "yeah, that's right", "Sure!", "OK", "no problem", "go ahead"] {
            assert_eq!(answer(yes), Answer::Yes, "{yes}");
        }
        for no in ["No", "no, Wednesday", "that's not right", "Nope.", "yes, no, wrong day"] {
            assert_eq!(answer(no), Answer::No, "{no}");
        }
        for unclear in ["", "Wednesday", "hmm", "what do you mean"] {
            assert_eq!(answer(unclear), Answer::Unclear, "{unclear}");
        }
    }

    #[test]
    fn one_added_word_can_change_the_wish() {
        let cases = [
            ("I would like an appointment", Some(Wish::Book)),
            ("I would like to cancel an appointment", Some(Wish::Change)),
            ("Never mind the appointment", Some(Wish::NeverMind)),
            ("I would like a human to make an appointment", Some(Wish::Human)),
            ("Hello", Some(Wish::Greet)),
            ("Hello, I need a booking", Some(Wish::Book)),
            ("Thank you", Some(Wish::Thank)),
            ("Thank you, goodbye", Some(Wish::Leave)),
            ("Could you say that again?", Some(Wish::Repeat)),
            ("What is the meaning of life?", None),
        ];
        for (text, expected) in cases {
            assert_eq!(wish(text), expected, "{text}");
        }
    }
}
