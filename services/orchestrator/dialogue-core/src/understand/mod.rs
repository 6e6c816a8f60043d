//! What plain words mean, without a model: enough to ask for a name, a day and a time (C7).
//!
//! English only. Each part answers `None` when the words do not say it, never a guess.

mod answer;
mod name;
mod when;

pub use answer::{Answer, Wish, answer, wish};
pub use name::{bare_name, stated_name};
pub use when::{DayPart, TimeOfDay, bare_time, day, time, time_as_said};

/// Words in lower case, without the punctuation around them.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '—' | '–' | '/'))
        .map(|word| {
            word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase().replace('’', "'")
        })
        .filter(|word| !word.is_empty())
        .map(|word| match word.as_str() {
            "a.m" => "am".to_owned(),
            "p.m" => "pm".to_owned(),
            "o'clock" => "oclock".to_owned(),
            _ => word,
        })
        .collect()
}

/// Whether `phrase` stands among `words`, word by word.
pub(crate) fn contains(words: &[String], phrase: &str) -> bool {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    words.windows(phrase.len()).any(|w| w.iter().zip(&phrase).all(|(a, b)| a == b))
}
