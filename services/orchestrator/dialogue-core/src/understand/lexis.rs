//! Words and numbers, as recognisers write them down.

/// Sounds and words that say nothing.
const FILLERS: [&str; 20] = [
    "uh",
    "um",
    "er",
    "erm",
    "hmm",
    "hm",
    "mm",
    "ah",
    "eh",
    "well",
    "so",
    "like",
    "please",
    "maybe",
    "perhaps",
    "just",
    "basically",
    "kinda",
    "then",
    "literally",
];

/// Lower case, one kind of apostrophe, no accents lost.
pub(crate) fn fold(text: &str) -> String {
    text.to_lowercase().replace(['’', '‘', '`'], "'")
}

/// Words in lower case, without the punctuation around them.
pub(crate) fn words(text: &str) -> Vec<String> {
    let is_gap = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '—' | '–' | '/');
    let bare = |w: &str| w.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    fold(text)
        .split(is_gap)
        .map(bare)
        .filter(|w| !w.is_empty())
        .map(|w| match w.as_str() {
            "a.m" => "am".to_owned(),
            "p.m" => "pm".to_owned(),
            "o'clock" => "oclock".to_owned(),
            _ => w,
        })
        .collect()
}

/// Whether `phrase` stands among `words`, word by word.
pub(crate) fn contains(words: &[String], phrase: &str) -> bool {
    find(words, phrase).is_some()
}

/// Where `phrase` begins among `words`.
pub(crate) fn find(words: &[String], phrase: &str) -> Option<usize> {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    words.windows(phrase.len()).position(|w| w.iter().zip(&phrase).all(|(a, b)| a == b))
}

/// Whether a word says nothing.
pub(crate) fn is_filler(word: &str) -> bool {
    FILLERS.contains(&word)
}

const UNITS: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

const TENS: [(&str, u32); 8] = [
    ("twenty", 20),
    ("thirty", 30),
    ("forty", 40),
    ("fifty", 50),
    ("sixty", 60),
    ("seventy", 70),
    ("eighty", 80),
    ("ninety", 90),
];

const ORDINALS: [&str; 20] = [
    "zeroth",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
];

fn place(list: &[&str], word: &str) -> Option<u32> {
    list.iter().position(|w| *w == word).and_then(|at| u32::try_from(at).ok())
}

/// One word below twenty.
pub(crate) fn unit(word: &str) -> Option<u32> {
    place(&UNITS, word)
}

/// One word of tens.
pub(crate) fn tens(word: &str) -> Option<u32> {
    TENS.iter().find(|(w, _)| *w == word).map(|(_, n)| *n)
}

/// The number below 100 at the start of `words` and how many words it takes.
pub(crate) fn cardinal(words: &[String]) -> Option<(u32, usize)> {
    let first = words.first()?;
    if first.len() <= 2 && first.bytes().all(|b| b.is_ascii_digit()) {
        return Some((first.parse().ok()?, 1));
    }
    if let Some(n) = unit(first) {
        return Some((n, 1));
    }
    let n = tens(first)?;
    match words.get(1).and_then(|w| unit(w)) {
        Some(one @ 1..=9) => Some((n + one, 2)),
        _ => Some((n, 1)),
    }
}

/// The ordinal below 100 at the start of `words` and how many words it takes: "3rd", "twenty first".
pub(crate) fn ordinal(words: &[String]) -> Option<(u32, usize)> {
    let first = words.first()?;
    let figures = ["st", "nd", "rd", "th"].iter().find_map(|s| first.strip_suffix(s));
    if let Some(n) = figures.and_then(|f| f.parse().ok()) {
        return Some((n, 1));
    }
    if let Some(n) = place(&ORDINALS, first) {
        return Some((n, 1));
    }
    match first.as_str() {
        "twentieth" => return Some((20, 1)),
        "thirtieth" => return Some((30, 1)),
        _ => {}
    }
    let one = words.get(1).and_then(|w| {
        let figures = ["st", "nd", "rd", "th"].iter().find_map(|s| w.strip_suffix(s));
        place(&ORDINALS, w).or_else(|| figures?.parse().ok())
    });
    match (tens(first), one) {
        (Some(n), Some(one @ 1..=9)) => Some((n + one, 2)),
        _ => None,
    }
}

/// A letter as people spell it: the letter, or "double u".
pub(crate) fn letter(word: &str) -> Option<char> {
    let mut chars = word.trim_end_matches('.').chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if c.is_alphabetic() => Some(c),
        _ => None,
    }
}
