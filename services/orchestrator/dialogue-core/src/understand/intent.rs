//! What a person wants, as far as the words alone can tell.

use super::lexis::{contains, words};

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

const HUMANS: [&str; 34] = [
    "human",
    "real person",
    "live person",
    "actual person",
    "to a person",
    "with a person",
    "get a person",
    "operator",
    "receptionist",
    "representative",
    "manager",
    "supervisor",
    "talk to someone",
    "speak to someone",
    "speak with someone",
    "talk with someone",
    "talk to somebody",
    "speak to somebody",
    "speak with somebody",
    "someone real",
    "real human",
    "transfer me",
    "put me through",
    "connect me",
    "customer service",
    "live agent",
    "an agent",
    "call me back",
    "speak to the doctor",
    "talk to the doctor",
    "somebody from",
    "member of staff",
    "someone from your team",
    "real agent",
];

/// Asked about us, not for somebody.
const NOT_HUMANS: [&str; 8] = [
    "are you a human",
    "are you human",
    "are you a real person",
    "is this a human",
    "is this a real person",
    "am i speaking to a human",
    "am i talking to a human",
    "you a real person",
];

const CANCELS: [&str; 25] = [
    "cancel",
    "cancelled",
    "canceled",
    "canceling",
    "cancelling",
    "call off",
    "call it off",
    "won't be able to make it",
    "not be able to make it",
    "can't make it",
    "cannot make it",
    "can't come",
    "cannot come",
    "won't make it",
    "not going to make it",
    "not coming",
    "no longer need",
    "don't need my appointment",
    "don't need the appointment",
    "delete my appointment",
    "remove my appointment",
    "remove my booking",
    "take me off",
    "delete my booking",
    "get rid of my appointment",
];

const NOT_CANCELS: [&str; 5] = [
    "cancellation policy",
    "cancellation fee",
    "cancel fee",
    "charge for cancelling",
    "don't cancel",
];

const MOVES: [&str; 43] = [
    "reschedule",
    "rescheduling",
    "re-schedule",
    "re schedule",
    "postpone",
    "rebook",
    "move my",
    "move it",
    "move the appointment",
    "move our",
    "push my",
    "push it",
    "push back",
    "change my appointment",
    "change my booking",
    "change my reservation",
    "change the appointment",
    "change the time",
    "change the date",
    "change the day",
    "change my time",
    "change the booking",
    "change my slot",
    "different time",
    "different day",
    "different date",
    "another time instead",
    "another day instead",
    "switch my",
    "shift my",
    "shift it",
    "bring forward",
    "bring my",
    "bring it forward",
    "swap my",
    "move up",
    "earlier slot",
    "later slot",
    "move to another",
    "new time for my",
    "come another day",
    "moved to",
    "change it to",
];

const OPENS: [&str; 32] = [
    "opening hours",
    "opening times",
    "business hours",
    "office hours",
    "your hours",
    "the hours",
    "working hours",
    "hours of operation",
    "opening time",
    "closing time",
    "what hours",
    "do you open",
    "you open",
    "do you close",
    "you close",
    "are you open",
    "you guys open",
    "is it open",
    "shop open",
    "office open",
    "clinic open",
    "store open",
    "you are open",
    "you're open",
    "how late are",
    "you closed",
    "when do you shut",
    "open on",
    "open today",
    "open tomorrow",
    "open until",
    "hours today",
];

/// Open, but for an appointment.
const NOT_OPENS: [&str; 9] = [
    "anything open",
    "slot open",
    "slots open",
    "any openings",
    "something open",
    "times open",
    "have open",
    "open slot",
    "open appointment",
];

const BOOKS: [&str; 63] = [
    "make an appointment",
    "book an appointment",
    "schedule an appointment",
    "set up an appointment",
    "get an appointment",
    "an appointment",
    "appointment for",
    "new appointment",
    "appointments",
    "appointment",
    "book",
    "booking",
    "reserve",
    "reservation",
    "schedule",
    "consultation",
    "checkup",
    "check-up",
    "check up",
    "time slot",
    "slot",
    "slots",
    "opening",
    "openings",
    "availability",
    "available",
    "come in",
    "come by",
    "fit me in",
    "squeeze me in",
    "get in to see",
    "get me in",
    "see the doctor",
    "see the dentist",
    "see a doctor",
    "see a dentist",
    "see someone about",
    "see dr",
    "see doctor",
    "pencil me in",
    "put me down",
    "sign me up",
    "haircut",
    "cleaning",
    "teeth cleaned",
    "my teeth",
    "toothache",
    "make a visit",
    "anything open",
    "something open",
    "slot open",
    "have open",
    "any time free",
    "anything free",
    "times free",
    "free on",
    "free tomorrow",
    "do you have time",
    "do you have anything",
    "have anything",
    "arrange a",
    "a visit",
    "get in on",
];

/// About an appointment, without wanting one.
const NOT_BOOKS: [&str; 24] = [
    "when is my appointment",
    "what time is my appointment",
    "do i have an appointment",
    "confirm my appointment",
    "how much",
    "bring to my",
    "i bring",
    "price",
    "cost",
    "phone book",
    "do i need an appointment",
    "when's my appointment",
    "about my appointment",
    "my last appointment",
    "late for my appointment",
    "running late",
    "directions",
    "address",
    "parking",
    "insurance",
    "my bill",
    "prescription",
    "was my appointment",
    "where is my appointment",
];

const LEAVES: [&str; 12] = [
    "goodbye",
    "good bye",
    "bye",
    "bye bye",
    "that's all",
    "that is all",
    "see you",
    "nothing else",
    "have a nice day",
    "have a good day",
    "that'll be all",
    "that will be all",
];

const NEVER_MIND: [&str; 7] = [
    "never mind",
    "nevermind",
    "forget it",
    "forget about it",
    "leave it",
    "changed my mind",
    "forget the appointment",
];

const REPEATS: [&str; 14] = [
    "say that again",
    "say it again",
    "repeat that",
    "repeat it",
    "please repeat",
    "pardon",
    "what did you say",
    "come again",
    "didn't catch that",
    "didn't hear you",
    "didn't get that",
    "one more time",
    "you repeat",
    "what was that",
];

const SLOWER: [&str; 5] = ["slower", "slow down", "more slowly", "too fast", "slowly"];

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

/// What `text` asks for.
pub fn intent(text: &str) -> Intent {
    let words = words(text);
    let says = |list: &[&str]| list.iter().any(|phrase| contains(&words, phrase));
    let has = |word: &str| words.iter().any(|w| w == word);
    let is_bare = words.len() <= 2 && (has("agent") || has("human") || has("person"));
    if (is_bare || says(&HUMANS)) && !says(&NOT_HUMANS) {
        return Intent::Human;
    }
    let moves = says(&MOVES)
        || (has("instead") && (says(&CANCELS) || has("can") || has("could") || has("appointment")))
        || ((has("earlier") || has("later"))
            && has("my")
            && (has("appointment") || has("booking")));
    if moves && !(has("cancel") && !has("instead")) {
        return Intent::Reschedule;
    }
    if says(&CANCELS) && !says(&NOT_CANCELS) {
        let books_another = (has("another") || has("new")) && !has("cancel");
        return if books_another || has("reschedule") {
            Intent::Reschedule
        } else {
            Intent::Cancel
        };
    }
    if says(&NOT_CANCELS) {
        return Intent::Other;
    }
    let is_about_opening = says(&OPENS) || (has("hours") && words.len() <= 4 && !has("24"));
    if is_about_opening && !says(&NOT_OPENS) && !has("account") {
        return Intent::Hours;
    }
    let wants = has("book") || has("make") || has("schedule") || has("need") && !has("do");
    if says(&BOOKS)
        && (!says(&NOT_BOOKS)
            || (wants && !has("bring") && !has("cost") && !has("much") && !has("phone")))
    {
        return Intent::Book;
    }
    Intent::Other
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
    if says(&SLOWER) {
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
