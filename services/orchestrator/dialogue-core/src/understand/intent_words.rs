//! Words and phrases that tell what a person wants, and some that only seem to.

pub(super) const HUMANS: [&str; 34] = [
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
pub(super) const NOT_HUMANS: [&str; 8] = [
    "are you a human",
    "are you human",
    "are you a real person",
    "is this a human",
    "is this a real person",
    "am i speaking to a human",
    "am i talking to a human",
    "you a real person",
];

pub(super) const CANCELS: [&str; 25] = [
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

pub(super) const NOT_CANCELS: [&str; 5] = [
    "cancellation policy",
    "cancellation fee",
    "cancel fee",
    "charge for cancelling",
    "don't cancel",
];

pub(super) const MOVES: [&str; 43] = [
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

pub(super) const OPENS: [&str; 34] = [
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
pub(super) const NOT_OPENS: [&str; 9] = [
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

pub(super) const BOOKS: [&str; 63] = [
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
pub(super) const NOT_BOOKS: [&str; 26] = [
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

pub(super) const LEAVES: [&str; 12] = [
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

pub(super) const NEVER_MIND: [&str; 7] = [
    "never mind",
    "nevermind",
    "forget it",
    "forget about it",
    "leave it",
    "changed my mind",
    "forget the appointment",
];

pub(super) const REPEATS: [&str; 14] = [
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

pub(super) const SLOWER: [&str; 4] = ["slower", "slow down", "more slowly", "too fast"];

/// What is done "slowly" by who speaks: "it hurts slowly" is no wish about our speech.
pub(super) const SPEAKS: [&str; 8] =
    ["speak", "talk", "say", "repeat", "read", "tell", "go", "again"];

pub(super) const FASTER: [&str; 6] =
    ["faster", "speed up", "normal speed", "too slow", "so slow", "so slowly"];

pub(super) const THANKS: [&str; 4] = ["thanks", "thank you", "thank", "cheers"];

pub(super) const GREETS: [&str; 8] = [
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
pub(super) const PEOPLE: [&str; 10] = [
    "person", "somebody", "someone", "anybody", "anyone", "people", "doctor", "dentist", "nurse",
    "staff",
];

/// To have words with one of [`PEOPLE`].
pub(super) const TALKS: [&str; 8] =
    ["talk", "speak", "chat", "connect", "transfer", "give", "put", "through"];

/// To be seen by one of [`PEOPLE`].
pub(super) const SEES: [&str; 8] =
    ["see", "look", "check", "examine", "visit", "meet", "in", "treat"];

/// What somebody may have with us.
pub(super) const APPOINTMENTS: [&str; 9] = [
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
pub(super) const ENDS: [&str; 8] =
    ["scrap", "drop", "delete", "remove", "scratch", "void", "kill", "undo"];

/// To another moment.
pub(super) const PUTS_OFF: [&str; 9] =
    ["move", "push", "shift", "change", "switch", "bring", "put", "swap", "delay"];

/// Another time than the one there is.
pub(super) const OTHER_TIMES: [&str; 7] = [
    "another day",
    "another time",
    "another date",
    "some other time",
    "some other day",
    "other day",
    "other time",
];

/// Not to be there.
pub(super) const MISSES: [&str; 7] = [
    "won't be there",
    "can't be there",
    "can't do",
    "be able to come",
    "something came up",
    "doesn't work",
    "isn't going to work",
];

/// What turns the words after it.
pub(super) const NEGATIONS: [&str; 7] =
    ["don't", "not", "won't", "can't", "cannot", "no", "unable"];

/// Words with which something is asked for.
pub(super) const ASKS: [&str; 11] =
    ["want", "like", "need", "can", "could", "i'd", "let", "hoping", "get", "looking", "trying"];

/// To agree on a visit, without its name.
pub(super) const ARRANGES: [&str; 8] = [
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
pub(super) const REQUESTS: [&str; 24] = [
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
pub(super) const THINGS_ASKED: [&str; 12] = [
    "weather", "know", "ask", "pay", "refund", "results", "bill", "report", "park", "tell",
    "complain", "feedback",
];

/// Words that ask to have something.
pub(super) const ASKS_TO_HAVE: [&str; 9] = [
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
pub(super) const QUESTIONS: [&str; 17] = [
    "what", "where", "when", "how", "who", "which", "why", "do", "does", "is", "are", "can",
    "could", "will", "may", "have", "whats",
];
