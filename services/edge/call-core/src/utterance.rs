//! What the caller's words say about the turn: whether more is coming, and whether they are meant to take it.
//!
//! Word lists, no model: they are asked between two frames. English; of some other languages a plain yes or no and the words
//! that say "I am listening". In those hardly another word of them is met, and the turn ends by quiet alone.

mod phrases;

use phrases::{
    AFFIRMATIONS, ANSWERS, ASSENTS, AUXILIARIES, CONJUNCTIONS, CONNECTORS, COURTESIES, DATED,
    DIGITS, HESITATIONS, HOURS, LED_ON, MAIL_HOSTS, MURMURS, NAMED, NO, OPENINGS, PRONOUNS, SPELT,
    TAGS, TEENS, TENS, WEEKDAYS, YES,
};

/// Digits of a telephone number with its area code: fewer, one by one, are a number in the middle.
const NUMBER_DIGITS: usize = 10;
/// Digits of one that begins with a country code, as most have them.
const INTERNATIONAL_DIGITS: usize = 12;
/// Digits of a payment card, which are read out in fours.
const CARD_DIGITS: usize = 16;
const CARD_GROUP: usize = 4;
/// How many words "yes, I am" and "no, they are not" have at most.
const SHORT_ANSWER_WORDS: usize = 5;

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
    let trimmed = text.trim_end();
    if trimmed.ends_with([',', '-', '–', '—', '…', ':']) || trimmed.ends_with("...") {
        return Outlook::MoreComing;
    }
    if is_answer(&words) {
        return Outlook::Answered;
    }
    if is_hesitation(last) {
        return Outlook::MoreComing;
    }
    if words.iter().all(|word| is_murmur(word)) {
        return Outlook::Answered;
    }
    if trimmed.ends_with(['?', '!']) {
        return Outlook::Open;
    }
    let more = is_clause_in_the_middle(&words)
        || is_number_in_the_middle(&words)
        || is_spelling(&words)
        || is_address_in_the_middle(text, &words);
    if more { Outlook::MoreComing } else { Outlook::Open }
}

/// Whether nothing was said but "um", or what the recogniser calls a noise.
pub(crate) fn says_nothing(text: &str) -> bool {
    words(text).iter().all(|word| is_hesitation(word))
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
        if NO.iter().any(|no| begins_with(rest, no)) {
            return false;
        }
        match longest(phrases, rest) {
            Some(len) => rest = &rest[len..],
            None if is_murmur(first) => rest = &rest[1..],
            None => return false,
        }
    }
    true
}

/// Whether these words, of which more may follow, can still come to say no more than that.
pub(crate) fn may_be_back_channel(text: &str, agent: Agent) -> bool {
    let words = words(text);
    let begins = |begun: &[String]| {
        let phrases = ASSENTS.iter().chain(AFFIRMATIONS);
        phrases.into_iter().any(|phrase| {
            let mut phrase = phrase.split(' ');
            begun.iter().all(|word| phrase.next() == Some(word))
        })
    };
    (0..=words.len()).rev().any(|place| {
        let (said, begun) = words.split_at(place);
        begins(begun) && is_back_channel(&said.join(" "), agent)
    })
}

/// Words in lower case without their punctuation; what stands in brackets or asterisks is a noise that the recogniser
/// names, unless it is a number.
fn words(text: &str) -> Vec<String> {
    let mut spoken = String::new();
    let mut aside: Option<String> = None;
    for c in text.chars() {
        match (c, &mut aside) {
            ('[' | '(' | '<' | '*', None) => aside = Some(String::new()),
            (']' | ')' | '>' | '*', Some(said)) => {
                if said.contains(|c: char| c.is_ascii_digit()) {
                    spoken.push_str(said);
                }
                spoken.push(' ');
                aside = None;
            }
            (c, Some(said)) => said.push(c),
            (c, None) => spoken.push(c),
        }
    }
    // What is not closed is no aside: a recogniser masks an oath as "f***".
    spoken.push_str(&aside.unwrap_or_default());
    spoken
        .split(|c: char| c.is_whitespace() || matches!(c, '-' | '–' | '—'))
        .map(|word| {
            let word = word.trim_matches(|c: char| !is_of_a_word(c) && c != '+');
            word.to_lowercase().replace('’', "'")
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// Letters and figures, and the signs that stand with a letter in the scripts of India.
fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\u{0900}'..='\u{0DFF}')
}

fn ends_with(words: &[String], phrase: &str) -> bool {
    let len = phrase.split(' ').count();
    words.len() >= len && begins_with(&words[words.len() - len..], phrase)
}

fn begins_with(words: &[String], phrase: &str) -> bool {
    let len = phrase.split(' ').count();
    words.get(..len).is_some_and(|said| phrase.split(' ').eq(said.iter().map(String::as_str)))
}

/// How many words the longest of the phrases has that `words` begin with: "that's fine" before "that's".
fn longest(phrases: &[&[&str]], words: &[String]) -> Option<usize> {
    let phrases = phrases.iter().flat_map(|list| list.iter());
    phrases
        .filter(|phrase| begins_with(words, phrase))
        .map(|phrase| phrase.split(' ').count())
        .max()
}

fn is_one_of(words: &[&str], word: &str) -> bool {
    words.contains(&word)
}

/// A sound however long it is drawn out and however it is spelt: "ummm" is "um", "hmm" is "hm".
fn sound(word: &str) -> String {
    let mut sound: Vec<char> = word.chars().collect();
    sound.dedup();
    sound.into_iter().collect()
}

fn is_hesitation(word: &str) -> bool {
    is_one_of(HESITATIONS, &sound(word))
}

/// A sound of listening however it is spelt: "mhm", "mmhmm", "uh-huh", "hmm", "aha".
fn is_murmur(word: &str) -> bool {
    let humming = word.len() >= 2 && word.chars().all(|c| matches!(c, 'm' | 'h'));
    humming || is_one_of(MURMURS, &sound(word)) || is_one_of(MURMURS, word)
}

/// A yes or no with what people add to it: "yes please", "no, not yet", "yes, I am".
fn is_answer(words: &[String]) -> bool {
    let said_yes_or_no = words.first().is_some_and(|first| is_one_of(YES, first));
    let verb =
        |word: &String| is_one_of(AUXILIARIES, word) || word == "not" || word.ends_with("n't");
    if said_yes_or_no
        && (3..=SHORT_ANSWER_WORDS).contains(&words.len())
        && words[1].split('\'').next().is_some_and(|subject| is_one_of(PRONOUNS, subject))
        && words[2..].iter().all(verb)
    {
        return true;
    }
    let mut rest = words;
    while !rest.is_empty() {
        let lists: &[&[&str]] =
            if rest.len() == words.len() { &[ANSWERS] } else { &[ANSWERS, COURTESIES] };
        match longest(lists, rest) {
            Some(len) => rest = &rest[len..],
            None => return false,
        }
    }
    true
}

/// Whether the last words are ones that nobody ends a sentence with.
fn is_clause_in_the_middle(words: &[String]) -> bool {
    let (last, before) = (back(words, 0), back(words, 1));
    let by_last_word = match last {
        // "Because we would"; but "I know where it is".
        verb if is_one_of(PRONOUNS, before) && is_one_of(AUXILIARIES, verb) => {
            is_one_of(CONJUNCTIONS, back(words, 2)) || (words.len() == 2 && verb != "do")
        }
        "on" => !is_one_of(LED_ON, before),
        "so" => !matches!(before, "think" | "hope" | "guess" | "say" | "believe" | "said"),
        "well" => !matches!(before, "as" | "very" | "so" | "quite" | "pretty" | "feel"),
        "like" => !matches!(before, "you" | "look" | "looks" | "it" | "be" | "that"),
        "maybe" => is_one_of(CONJUNCTIONS, before) || before == "well",
        "any" => !words.iter().any(|word| word.ends_with("n't") || word == "not"),
        "some" => !matches!(before, "have" | "like" | "want" | "need" | "take" | "get"),
        "actually" => words.len() == 1 || !is_one_of(YES, &words[0]),
        "while" => before != "a",
        "through" => is_one_of(WEEKDAYS, before),
        "which" | "when" | "where" | "who" => {
            words.len() > 2 && !matches!(before, "know" | "me" | "since" | "and" | "remember")
        }
        word => is_one_of(CONNECTORS, word),
    };
    // "I think" opens a sentence, and closes "Tuesday, I think".
    let opens = |phrase: &&&str| {
        let told = words.len().saturating_sub(phrase.split(' ').count());
        ends_with(words, phrase) && words[..told].iter().all(|word| is_filling(word))
    };
    by_last_word
        || OPENINGS.iter().any(|opening| ends_with(words, opening))
        || TAGS.iter().find(opens).is_some()
}

/// Said before a sentence begins.
fn is_filling(word: &str) -> bool {
    is_hesitation(word)
        || is_one_of(CONJUNCTIONS, word)
        || is_one_of(YES, word)
        || matches!(word, "well" | "oh")
}

/// The word so many places before the last.
fn back(words: &[String], places: usize) -> &str {
    words.len().checked_sub(places + 1).map_or("", |place| words[place].as_str())
}

/// Whether the words end in digits, one by one or in groups, that are no whole number of a telephone or a card yet.
fn is_number_in_the_middle(words: &[String]) -> bool {
    let (mut digits, mut groups, mut fours, mut international) = (0, 0, true, false);
    let (mut first, mut second, mut before) = ("", "", "");
    for (place, word) in words.iter().enumerate().rev() {
        let word = word.as_str();
        let many = match word {
            "double" if place + 1 < words.len() => 1,
            "triple" if place + 1 < words.len() => 2,
            "hundred" if place > 0 => 2,
            "plus" | "+" => {
                international = true;
                0
            }
            _ if is_one_of(DIGITS, word) => 1,
            _ if is_one_of(TEENS, word) => 2,
            _ if is_one_of(TENS, word) && is_one_of(DIGITS, first) => 1,
            _ if is_one_of(TENS, word) => 2,
            _ => {
                let figures = word.strip_prefix('+').unwrap_or(word);
                if figures.is_empty() || !figures.bytes().all(|b| b.is_ascii_digit()) {
                    before = word;
                    break;
                }
                international |= figures.len() < word.len();
                figures.len()
            }
        };
        digits += many;
        // "Fifty five" is one group, and so is "eight hundred".
        let goes_on = word == "hundred" || (is_one_of(TENS, word) && is_one_of(DIGITS, first));
        groups += usize::from(many > 0 && !goes_on);
        fours &= many == CARD_GROUP;
        if many > 0 {
            (first, second) = (word, first);
        }
    }
    let said = |some: &str| words.iter().any(|word| word == some);
    let introduced = NAMED
        .iter()
        .any(|named| words.windows(named.split(' ').count()).any(|some| begins_with(some, named)));
    let announced = introduced || said("number") || said("digits");
    let minutes = is_one_of(TENS, second) || is_one_of(TEENS, second);
    let clock = groups == 2 && is_one_of(HOURS, first) && minutes && !announced;
    let year = digits == 4 && groups == 2 && matches!(first, "nineteen" | "twenty");
    // "At 10 30", "three thirty" and "November 28 2026" are whole, and so is a number on its own.
    let date_or_time = clock || ((is_one_of(DATED, before) || year) && !introduced);
    let fewest = if introduced { 1 } else { 3 };
    let whole = match first.strip_prefix('+').unwrap_or(first) {
        _ if said("card") || (fours && groups > 2) => CARD_DIGITS,
        "1" | "one" => NUMBER_DIGITS + 1,
        first if first.starts_with(['0', '1']) && international => NUMBER_DIGITS + 1,
        _ if international => INTERNATIONAL_DIGITS,
        first if first.starts_with('0') || matches!(first, "zero" | "oh" | "o") => {
            NUMBER_DIGITS + 1
        }
        _ => NUMBER_DIGITS,
    };
    (fewest..whole).contains(&digits) && !date_or_time && (groups >= 2 || (announced && digits < 9))
}

/// Whether the words end in letters, one by one.
fn is_spelling(words: &[String]) -> bool {
    let is_letter = |word: &str| word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    let letters = words.iter().rev().take_while(|word| is_letter(word)).count();
    let (last, before) = (back(words, 0), back(words, 1));
    if letters > 0 {
        let time_of_day = last == "m" && matches!(before, "a" | "p");
        return match letters {
            // "Ten a m".
            2 if time_of_day => back(words, 2).is_empty(),
            1 => !matches!(last, "i" | "a") && (words.len() == 1 || is_one_of(SPELT, before)),
            _ => true,
        };
    }
    // "J as in John", "S for sugar".
    let stands_for = before == "for" && !matches!(back(words, 2), "a" | "i");
    (stands_for && is_letter(back(words, 2)))
        || (before == "in" && back(words, 2) == "as" && is_letter(back(words, 3)))
}

/// Whether an e-mail address has been begun and its end is missing: "my email is ada", "ada at gmail".
fn is_address_in_the_middle(text: &str, words: &[String]) -> bool {
    if is_one_of(MAIL_HOSTS, back(words, 0)) && back(words, 1) == "at" {
        return true;
    }
    let begun = words.iter().rposition(|word| word == "is").filter(|place| {
        words[..*place].iter().any(|word| matches!(word.as_str(), "email" | "mail"))
    });
    let told = begun.map_or(&[][..], |place| &words[place + 1..]);
    let whole = text.contains('@') || told.iter().any(|word| word == "at" || word == "not");
    (1..=3).contains(&told.len()) && !whole
}

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
            "S",
            "it's J",
            "s m i double t",
            "J as in John",
            "S for sugar",
            "my number is four one",
            "eight hundred five five five",
            "five fifty five two",
            "my card is 4111 1111 1111",
            "4111 1111 1111",
            "0207 946 095",
            "+91 98765 432",
            "(416) 555",
            "my name's",
            "'cause",
            "because we",
            "because we would",
            "it was on Monday and they",
            "can we",
            "is there",
            "I was thinking",
            "Monday through",
            "my email is ada",
            "it's ada at gmail",
            "umm",
            "I'd like a table for, uhh",
            "Yes,",
            "Okay…",
            "no, I mean",
            "well I think",
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
            "Yes, I am.",
            "No, it is not",
            "no I'm not",
            "yes we do",
            "Of course not.",
            "probably not",
            "no, not yet",
            "that's fine",
            "not really",
            "yes sir",
            "maybe",
            "I think so",
            "uh-uh",
            "sí",
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
            "I suppose not",
            "What are you open for?",
            "+1 416 555 0123",
            "in 2026",
            "for two people",
            "yes on Friday",
            "My name is Ada Lovelace",
            "go on",
            "Friday as well",
            "what's it like?",
            "Tuesday, I guess",
            "Tuesday I think",
            "No, actually.",
            "I don't have any",
            "I don't know what it is",
            "two p m",
            "ten a m",
            "three thirty",
            "two forty five",
            "nineteen eighty four",
            "+44 20 7946 0958",
            "my card is 4111 1111 1111 1111",
            "my email is ada at example dot com",
            "twenty two",
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
            "keep going",
            "that's true, yes",
            "yes please",
            "thank you so much",
            "m-hm",
            "*coughs*",
            "ummm",
            "ja genau",
            "अच्छा",
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
            "uh-uh",
            "please stop",
        ] {
            assert!(!is_back_channel(text, Agent::Telling), "{text}");
        }
    }

    #[test]
    fn an_um_says_nothing_and_a_murmur_may_be_an_answer() {
        for text in ["um", "Uhh, umm", "hmm", "[cough]", ""] {
            assert!(says_nothing(text), "{text}");
        }
        for text in ["mhmm", "no", "um, yes", "(416)", "*** no, stop"] {
            assert!(!says_nothing(text), "{text}");
        }
    }

    #[test]
    fn what_has_only_begun_may_still_become_a_sign_of_listening() {
        for text in ["", "okay", "oh that", "oh that makes", "thank", "mhmm I", "yeah, very"] {
            assert!(may_be_back_channel(text, Agent::Telling), "{text}");
        }
        for text in ["wait", "oh that one", "okay but", "I meant the", "I see the"] {
            assert!(!may_be_back_channel(text, Agent::Telling), "{text}");
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
