//! What a person wants, as far as the words alone can tell.

use super::{
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

const OPENS: [&str; 34] = [
    "your times",
    "your schedule",
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
const NOT_BOOKS: [&str; 26] = [
    "how long",
    "how often",
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

/// Somebody who is not a machine.
const PEOPLE: [&str; 10] = [
    "person", "somebody", "someone", "anybody", "anyone", "people", "doctor", "dentist", "nurse",
    "staff",
];

/// To have words with one of [`PEOPLE`].
const TALKS: [&str; 8] = ["talk", "speak", "chat", "connect", "transfer", "give", "put", "through"];

/// To be seen by one of [`PEOPLE`].
const SEES: [&str; 8] = ["see", "look", "check", "examine", "visit", "meet", "in", "treat"];

/// What somebody may have with us.
const APPOINTMENTS: [&str; 9] = [
    "appointment",
    "appointments",
    "booking",
    "reservation",
    "slot",
    "visit",
    "session",
    "consultation",
    "checkup",
];

/// To do away with one of [`APPOINTMENTS`].
const ENDS: [&str; 8] = ["scrap", "drop", "delete", "remove", "scratch", "void", "kill", "undo"];

/// To another moment.
const PUTS_OFF: [&str; 9] =
    ["move", "push", "shift", "change", "switch", "bring", "put", "swap", "delay"];

/// Another time than the one there is.
const OTHER_TIMES: [&str; 7] = [
    "another day",
    "another time",
    "another date",
    "some other time",
    "some other day",
    "other day",
    "other time",
];

/// Not to be there.
const MISSES: [&str; 7] = [
    "won't be there",
    "can't be there",
    "can't do",
    "be able to come",
    "something came up",
    "doesn't work",
    "isn't going to work",
];

/// What turns the words after it.
const NEGATIONS: [&str; 7] = ["don't", "not", "won't", "can't", "cannot", "no", "unable"];

/// Words with which something is asked for.
const ASKS: [&str; 11] =
    ["want", "like", "need", "can", "could", "i'd", "let", "hoping", "get", "looking", "trying"];

/// To agree on a visit, without its name.
const ARRANGES: [&str; 8] = [
    "set something up",
    "set up a",
    "set up something",
    "set up",
    "come and see",
    "come see",
    "room for me",
    "sort something out",
];

/// How one asks for what we have to give.
const REQUESTS: [&str; 24] = [
    "i want",
    "i need",
    "need a",
    "i'd like",
    "i would like",
    "i'm looking",
    "looking for",
    "looking to",
    "hoping to",
    "hoping for",
    "trying to",
    "do you have",
    "have you got",
    "you got",
    "can i",
    "could i",
    "can we",
    "could we",
    "may i",
    "can you do",
    "could you do",
    "can you take",
    "could you take",
    "can you see",
];

/// What one asks for by these words beside an appointment.
const THINGS_ASKED: [&str; 12] = [
    "weather", "know", "ask", "pay", "refund", "results", "bill", "report", "park", "tell",
    "complain", "feedback",
];

/// How far apart the two words of a turn of phrase may stand.
const REACH: usize = 6;

/// The longest greeting or thanks that says nothing else, in words.
const COURTESY_WORDS_MAX: usize = 4;

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

/// Words that ask to have something.
const ASKS_TO_HAVE: [&str; 9] = [
    "can i",
    "could i",
    "may i",
    "can we",
    "could we",
    "i need",
    "i want",
    "i'd like",
    "i would like",
];

/// Words that begin a question; recognisers leave the mark out.
const QUESTIONS: [&str; 17] = [
    "what", "where", "when", "how", "who", "which", "why", "do", "does", "is", "are", "can",
    "could", "will", "may", "have", "whats",
];

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
