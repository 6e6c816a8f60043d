//! What the caller's words say about the turn: whether more is coming, and whether they are meant to take it.
//!
//! Word lists, no model: they are asked between two frames. English so far; in another language hardly a word of them is
//! met, and the turn ends by quiet alone.

/// Digits of a telephone number with its area code: fewer, one by one, are a number in the middle.
const NUMBER_DIGITS: usize = 10;

/// What the words so far say about how they go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// A sentence or number that nobody ends there.
    MoreComing,
    /// Nothing to tell it by.
    Open,
    /// A complete yes or no: what could follow is another sentence.
    Answered,
}

/// How the words go on.
pub(crate) fn outlook(text: &str) -> Outlook {
    let words = words(text);
    let Some(last) = words.last() else {
        return Outlook::Answered;
    };
    let last = last.as_str();
    if HESITATIONS.contains(&last) {
        return Outlook::MoreComing;
    }
    if ANSWERS.contains(&words.join(" ").as_str()) || words.iter().all(|word| is_murmur(word)) {
        return Outlook::Answered;
    }
    let trimmed = text.trim_end();
    if trimmed.ends_with(['?', '!']) {
        return Outlook::Open;
    }
    let before = words.len().checked_sub(2).map_or("", |place| words[place].as_str());
    let more = trimmed.ends_with([',', '-', '–', '—', '…', ':'])
        || trimmed.ends_with("...")
        || (CONNECTORS.contains(&last) && !(last == "on" && LED_ON.contains(&before)))
        || (last == "so" && !matches!(before, "think" | "hope" | "guess" | "say" | "believe"))
        || OPENINGS.iter().any(|opening| ends_with(&words, opening))
        || is_number_in_the_middle(&words)
        || is_spelling(&words);
    if more { Outlook::MoreComing } else { Outlook::Open }
}

/// What the agent is at when the caller says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// It tells something.
    Telling,
    /// It asks something, to which an "okay" is an answer.
    Asking,
    /// It has not begun to answer the caller's last turn, to which a "yes" may belong, but no "okay, thank you".
    Thinking,
}

/// Whether these words say no more than that the caller listens.
pub(crate) fn is_back_channel(text: &str, agent: Agent) -> bool {
    let phrases: &[&[&str]] = match agent {
        Agent::Telling => &[ASSENTS, AFFIRMATIONS],
        Agent::Asking => &[],
        Agent::Thinking => &[ASSENTS],
    };
    let words = words(text);
    let mut rest = words.as_slice();
    while let Some(first) = rest.first() {
        // The longest that fits: "that's fine" before "that's".
        let said = phrases.iter().flat_map(|list| list.iter()).filter_map(|phrase| {
            let len = phrase.split(' ').count();
            let said = rest.get(..len)?;
            phrase.split(' ').eq(said.iter().map(String::as_str)).then_some(len)
        });
        match said.max() {
            Some(len) => rest = &rest[len..],
            None if is_murmur(first) => rest = &rest[1..],
            None => return false,
        }
    }
    true
}

/// Words in lower case without their punctuation; what stands in brackets is a noise that the recogniser names.
fn words(text: &str) -> Vec<String> {
    let mut depth = 0_u32;
    let spoken: String = text
        .chars()
        .filter(|c| {
            match c {
                '[' | '(' | '<' => depth += 1,
                ']' | ')' | '>' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect();
    spoken
        .split(|c: char| c.is_whitespace() || matches!(c, '-' | '–' | '—'))
        .map(|word| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '+');
            word.to_lowercase().replace('’', "'")
        })
        .filter(|word| !word.is_empty())
        .collect()
}

fn ends_with(words: &[String], phrase: &str) -> bool {
    let len = phrase.split(' ').count();
    words.len() >= len
        && phrase.split(' ').eq(words[words.len() - len..].iter().map(String::as_str))
}

/// A sound of listening however it is spelt: "mhm", "mmhmm", "uh-huh", "hmm", "aha".
fn is_murmur(word: &str) -> bool {
    let humming = word.len() >= 2 && word.chars().all(|c| matches!(c, 'm' | 'h'));
    humming || MURMURS.contains(&word)
}

/// Whether the words end in digits, one by one or in groups, that are no whole telephone number yet.
fn is_number_in_the_middle(words: &[String]) -> bool {
    let (mut digits, mut groups, mut first) = (0, 0, "");
    let mut before = "";
    for (place, word) in words.iter().enumerate().rev() {
        let many = match word.as_str() {
            "double" if place + 1 < words.len() => 1,
            "triple" if place + 1 < words.len() => 2,
            "plus" | "+" => 0,
            word if DIGITS.contains(&word) => 1,
            word => {
                let figures = word.strip_prefix('+').unwrap_or(word);
                if figures.is_empty() || !figures.bytes().all(|b| b.is_ascii_digit()) {
                    before = word;
                    break;
                }
                figures.len()
            }
        };
        digits += many;
        groups += usize::from(many > 0);
        if many > 0 {
            first = word;
        }
    }
    let whole = NUMBER_DIGITS + usize::from(matches!(first, "1" | "one"));
    // "At 10 30" and "November 28 2026" are whole, and so is a number on its own.
    let date_or_time = DATED.contains(&before);
    let announced = words.iter().any(|word| matches!(word.as_str(), "number" | "phone" | "digits"));
    (3..whole).contains(&digits) && !date_or_time && (groups >= 2 || (announced && digits < 9))
}

/// Whether the words end in letters, one by one.
fn is_spelling(words: &[String]) -> bool {
    let letter =
        |word: &&String| word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    words.iter().rev().take_while(letter).count() >= 2
}

const ANSWERS: &[&str] = &[
    "yes",
    "yes please",
    "yes thanks",
    "yes thank you",
    "yes it is",
    "yes that's right",
    "yes correct",
    "yeah",
    "yeah sure",
    "yep",
    "yup",
    "no",
    "no thanks",
    "no thank you",
    "no it's not",
    "no it isn't",
    "no that's all",
    "nope",
    "nah",
    "correct",
    "that's correct",
    "that is correct",
    "right",
    "that's right",
    "that is right",
    "sure",
    "okay",
    "ok",
    "all right",
    "alright",
    "exactly",
    "absolutely",
    "of course",
    "definitely",
    "please do",
    "that's all",
    "that's it",
    "go ahead",
];

/// Said while somebody else speaks, they mean "I am listening".
const ASSENTS: &[&str] = &[
    "okay",
    "ok",
    "okay then",
    "i see",
    "i know",
    "i get it",
    "got it",
    "gotcha",
    "alright",
    "all right",
    "fine",
    "that's fine",
    "good",
    "very good",
    "that's good",
    "sounds good",
    "sounds great",
    "great",
    "that's great",
    "that works",
    "makes sense",
    "that makes sense",
    "i understand",
    "understood",
    "no problem",
    "no worries",
    "go on",
    "go ahead",
    "carry on",
    "please go on",
    "oh",
    "wow",
    "really",
    "nice",
    "very nice",
    "that's nice",
    "lovely",
    "perfect",
    "excellent",
    "wonderful",
    "awesome",
    "amazing",
    "brilliant",
    "interesting",
    "cool",
    "thanks",
    "thank you",
    "thank you very much",
    "thanks a lot",
];

/// The same, where nothing was asked.
const AFFIRMATIONS: &[&str] = &[
    "yes",
    "yeah",
    "yep",
    "yup",
    "right",
    "that's right",
    "sure",
    "of course",
    "exactly",
    "true",
    "correct",
    "indeed",
    "absolutely",
    "definitely",
];

const MURMURS: &[&str] = &[
    "uh", "um", "er", "erm", "ah", "aah", "aha", "uhhuh", "huh", "eh", "mhmm", "mmhm", "uhuh",
    "uhm", "ooh", "ha", "haha", "hahaha", "heh", "hehe",
];

/// "Go on" is a whole sentence, and "hold on" asks for time.
const LED_ON: &[&str] = &["go", "come", "carry", "hold", "hang", "going", "move"];

const HESITATIONS: &[&str] = &["um", "uh", "er", "erm", "uhm", "well", "like"];

const CONNECTORS: &[&str] = &[
    "and",
    "or",
    "but",
    "because",
    "with",
    "to",
    "for",
    "at",
    "on",
    "in",
    "of",
    "from",
    "by",
    "about",
    "between",
    "until",
    "till",
    "around",
    "the",
    "a",
    "an",
    "my",
    "your",
    "our",
    "their",
    "his",
    "is",
    "are",
    "am",
    "was",
    "if",
    "than",
    "it's",
    "i'm",
    "we're",
    "i'd",
    "i'll",
    "i've",
    "we'd",
    "that's",
    "there's",
    "what's",
    "let's",
    "mr",
    "mrs",
    "ms",
    "dr",
    "dot",
    "capital",
    "underscore",
    "dash",
    "double",
    "triple",
    "plus",
    "every",
    "any",
    "some",
    "either",
    "maybe",
    "not",
    "after",
    "past",
    "since",
    "without",
    "near",
    "during",
    "very",
    "next",
    "you're",
    "they're",
    "he's",
    "she's",
    "who's",
    "where's",
    "how's",
    "we've",
    "we'll",
    "actually",
];

/// Sentences nobody ends there.
const OPENINGS: &[&str] = &[
    "i",
    "i want",
    "i need",
    "i have",
    "i would",
    "i'd like",
    "i would like",
    "we would like",
    "we want",
    "we need",
    "can i",
    "could i",
    "may i",
    "can you",
    "could you",
    "would you",
    "will you",
    "do you",
    "are you",
    "let me",
    "this is",
    "i was wondering",
    "i'm looking",
    "i'm calling",
    "i am calling",
    "the first name",
    "the last name",
    "my name",
    "my number",
    "my email",
    "my phone number",
    "do you have",
    "can i get",
    "could i get",
    "can i have",
    "how about",
    "what about",
    "such as",
    "as well as",
    "you know",
    "i mean",
    "i think",
    "i guess",
    "i believe",
    "area code",
    "let me see",
    "let me think",
    "let me check",
    "let me look",
    "one second",
    "one sec",
    "one moment",
    "one minute",
    "just a second",
    "just a sec",
    "just a moment",
    "just a minute",
    "give me a second",
    "give me a moment",
    "give me a minute",
    "wait a second",
    "wait a moment",
    "wait a minute",
    "hang on",
    "hold on",
];

const DIGITS: &[&str] =
    &["zero", "oh", "o", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// What comes before the figures of a date or a time of day.
const DATED: &[&str] = &[
    "at",
    "by",
    "until",
    "till",
    "from",
    "around",
    "about",
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_coming_after_what_nobody_ends_with() {
        for text in [
            "My name is",
            "I would like to book an appointment for",
            "Tuesday and",
            "I'd like",
            "um",
            "Well,",
            "it's four one six",
            "416 555",
            "my number is 416",
            "four one six five five five zero one",
            "+1 416 555",
            "double",
            "j o h",
            "ada at gmail dot",
            "I need an appointment with Dr. Lee, and",
            "can you",
            "so",
            "1 416 555 012",
            "because",
            "I think um",
            "let me see",
            "hold on",
            "just a second",
            "how about",
            "at half past",
            "I would like to see Dr.",
            "the name is spelled capital",
        ] {
            assert_eq!(outlook(text), Outlook::MoreComing, "{text}");
        }
    }

    #[test]
    fn a_yes_or_no_is_complete() {
        for text in [
            "Yes.",
            "yes, please",
            "No.",
            "no thank you",
            "That's right.",
            "Okay",
            "mhmm",
            "Uh-huh.",
            "",
        ] {
            assert_eq!(outlook(text), Outlook::Answered, "{text}");
        }
    }

    #[test]
    fn whole_sentences_and_numbers_wait_for_nothing() {
        for text in [
            "I would like to book an appointment.",
            "416 555 0123",
            "four one six five five five zero one two three",
            "tomorrow at 2",
            "at 10 30",
            "November 28 2026",
            "on May 5",
            "I think so",
            "What are you open for?",
            "+1 416 555 0123",
            "in 2026",
            "for two people",
            "yes on Friday",
            "My name is Ada Lovelace",
            "go on",
        ] {
            assert_eq!(outlook(text), Outlook::Open, "{text}");
        }
    }

    #[test]
    fn who_says_that_he_listens_does_not_take_the_turn() {
        for text in [
            "mhmm",
            "Mm-hmm.",
            "uh huh",
            "Okay.",
            "okay, got it",
            "[cough]",
            "(coughs) mhm",
            "right",
            "",
            "I see.",
            "haha",
            "Sounds good!",
            "oh, that makes sense, thank you",
            "please go on",
        ] {
            assert!(is_back_channel(text, Agent::Telling), "{text}");
        }
        for text in [
            "no",
            "wait",
            "stop",
            "okay but Friday",
            "Wednesday",
            "what",
            "hello",
            "yes on Monday",
            "that's",
            "no that's not good",
            "go on Friday",
        ] {
            assert!(!is_back_channel(text, Agent::Telling), "{text}");
        }
    }

    #[test]
    fn an_okay_to_a_question_is_an_answer_and_a_murmur_is_none() {
        assert!(!is_back_channel("okay", Agent::Asking));
        assert!(!is_back_channel("yes", Agent::Asking));
        assert!(is_back_channel("mhmm", Agent::Asking));
    }

    #[test]
    fn what_is_said_while_the_agent_thinks_takes_no_turn_unless_it_may_be_an_answer() {
        for text in ["okay", "um", "thank you", "okay, great, thanks"] {
            assert!(is_back_channel(text, Agent::Thinking), "{text}");
        }
        for text in ["yes", "yeah okay", "hello", "or Friday"] {
            assert!(!is_back_channel(text, Agent::Thinking), "{text}");
        }
    }
}
