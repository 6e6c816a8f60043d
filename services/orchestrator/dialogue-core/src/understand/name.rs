use super::words;

/// The longest name taken from words, in words.
const NAME_WORDS_MAX: usize = 4;

/// The longest word of a name.
const NAME_WORD_CHARS_MAX: usize = 30;

const INTRODUCTIONS: [&[&str]; 9] = [
    &["my", "name", "is"],
    &["my", "name's"],
    &["the", "name", "is"],
    &["name", "is"],
    &["this", "is"],
    &["i", "am"],
    &["i'm"],
    &["it", "is"],
    &["it's"],
];

/// Introductions that introduce anything: what follows must be the whole rest and look like a name.
const LOOSE_FROM: usize = 4;

/// Words that no name begins with or contains: the end of a name, or proof that it is none.
const NOT_IN_NAMES: [&str; 65] = [
    "a",
    "an",
    "the",
    "and",
    "or",
    "but",
    "to",
    "for",
    "at",
    "on",
    "in",
    "of",
    "is",
    "are",
    "i",
    "i'd",
    "i'm",
    "you",
    "we",
    "it",
    "my",
    "me",
    "your",
    "please",
    "thanks",
    "thank",
    "yes",
    "yeah",
    "no",
    "not",
    "ok",
    "okay",
    "sure",
    "hello",
    "hi",
    "hey",
    "bye",
    "what",
    "when",
    "where",
    "who",
    "why",
    "how",
    "can",
    "could",
    "would",
    "will",
    "do",
    "does",
    "want",
    "need",
    "like",
    "have",
    "appointment",
    "booking",
    "book",
    "calling",
    "about",
    "looking",
    "sorry",
    "today",
    "tomorrow",
    "morning",
    "afternoon",
    "evening",
];

/// The name in words that introduce one ("my name is Anna Lee"), in title case.
pub fn stated_name(text: &str) -> Option<String> {
    let words = words(text);
    INTRODUCTIONS.iter().enumerate().find_map(|(rank, introduction)| {
        let at = words.windows(introduction.len()).position(|w| w == *introduction)?;
        let rest = &words[at + introduction.len()..];
        let name: Vec<&String> = rest.iter().take_while(|w| is_name_word(w)).collect();
        let is_whole_rest = name.len() == rest.len();
        let fits = (1..=NAME_WORDS_MAX).contains(&name.len());
        (fits && (rank < LOOSE_FROM || is_whole_rest)).then(|| title_case(&name))
    })
}

/// The name in words that are nothing but a name, as an answer to "what is your name?".
pub fn bare_name(text: &str) -> Option<String> {
    let words = words(text);
    let name: Vec<&String> = words.iter().collect();
    let fits = (1..=NAME_WORDS_MAX).contains(&name.len()) && words.iter().all(|w| is_name_word(w));
    fits.then(|| title_case(&name))
}

fn is_name_word(word: &str) -> bool {
    let is_spelt_like_one =
        word.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '.'));
    is_spelt_like_one
        && word.chars().count() <= NAME_WORD_CHARS_MAX
        && !NOT_IN_NAMES.contains(&word)
}

fn title_case(words: &[&String]) -> String {
    let mut name = String::new();
    let mut begins = true;
    for c in words.iter().map(|w| w.as_str()).collect::<Vec<_>>().join(" ").chars() {
        if begins {
            name.extend(c.to_uppercase());
        } else {
            name.push(c);
        }
        begins = matches!(c, ' ' | '-' | '\'');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_from_an_introduction_only() {
        let cases = [
            ("My name is anna lee.", Some("Anna Lee")),
            ("Hi, my name is Jean-Luc O'Neill and I need a booking", Some("Jean-Luc O'Neill")),
            ("This is Anna", Some("Anna")),
            ("I'm Anna Lee", Some("Anna Lee")),
            ("I am looking for a dentist", None),
            ("This is about my bill", None),
            ("Anna", None),
            ("Tomorrow at two", None),
        ];
        for (text, expected) in cases {
            assert_eq!(stated_name(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_bare_name_is_words_that_could_be_one() {
        assert_eq!(bare_name("anna lee").as_deref(), Some("Anna Lee"));
        for none in ["", "yes", "what do you mean", "tomorrow", "416 555", "a b c d e"] {
            assert_eq!(bare_name(none), None, "{none}");
        }
    }
}
