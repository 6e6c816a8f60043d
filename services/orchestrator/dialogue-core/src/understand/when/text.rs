//! The words of a sentence about time, made uniform.

use crate::understand::lexis;

/// Words that introduce a time but mean no more than "at".
const ABOUT: [&str; 8] =
    ["around", "about", "roughly", "approximately", "approx", "circa", "near", "@"];

/// The words of `text`: fillers left out, figures apart from what is glued to them.
pub(super) fn words(text: &str) -> Vec<String> {
    let folded = lexis::fold(text).replace(['–', '—'], "-").replace("o'clock", "oclock");
    let mut words: Vec<String> = Vec::new();
    for raw in folded.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')')) {
        let word = raw.trim_matches(|c: char| !c.is_alphanumeric() && c != '@');
        if !word.is_empty() {
            push(word, &mut words);
        }
    }
    join(words)
}

fn push(word: &str, words: &mut Vec<String>) {
    let word = word.strip_suffix("ish").filter(|w| w.len() < 8 && !w.is_empty()).unwrap_or(word);
    let word = word.trim_end_matches('-');
    let begins_with_figure = word.starts_with(|c: char| c.is_ascii_digit());
    let figures = word.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '.');
    let tail = word[figures.len()..].replace('.', "");
    if word.parse::<jiff::civil::Date>().is_ok() {
        words.push(word.to_owned());
    } else if begins_with_figure && !figures.is_empty() && word.contains('-') {
        let (a, b) = word.split_once('-').unwrap_or((word, ""));
        if b.contains('-') || word.contains('/') {
            words.push(word.replace('-', "/"));
            return;
        }
        push(a, words);
        words.push("to".into());
        push(b, words);
    } else if begins_with_figure && matches!(tail.as_str(), "am" | "pm" | "a" | "p" | "h" | "hrs") {
        words.push(figures.to_owned());
        words.push(match tail.as_str() {
            "a" | "am" => "am".into(),
            "p" | "pm" => "pm".into(),
            _ => "oclock".into(),
        });
    } else if let Some((a, b)) = word.split_once('-').filter(|(a, _)| is_splittable(a)) {
        words.push(a.to_owned());
        push(b, words);
    } else {
        match word.replace('.', "").as_str() {
            plain @ ("am" | "pm") => words.push(plain.to_owned()),
            _ => words.push(word.strip_suffix("'s").unwrap_or(word).to_owned()),
        }
    }
}

/// "twenty-first", "mid-morning".
fn is_splittable(first: &str) -> bool {
    lexis::tens(first).is_some()
        || lexis::unit(first).is_some()
        || matches!(first, "mid" | "half" | "early" | "late" | "quarter")
}

/// Pairs that are one word ("p m", "o clock"), and fillers out.
fn join(words: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for word in words {
        let last = joined.last().map(String::as_str);
        let pair = match (last, word.as_str()) {
            (Some("a"), "m") => Some("am"),
            (Some("p"), "m") => Some("pm"),
            (Some("o"), "clock") => Some("oclock"),
            (Some("to"), "morrow") => Some("tomorrow"),
            (Some("after"), "noon") if joined.len() > 1 && is_of_afternoon(&joined) => {
                Some("afternoon")
            }
            (Some("mid"), "day") => Some("midday"),
            (Some("lunch"), "time") => Some("lunchtime"),
            (Some("week"), "end") => Some("weekend"),
            _ => None,
        };
        if let Some(pair) = pair {
            joined.pop();
            joined.push(pair.to_owned());
        } else if ABOUT.contains(&word.as_str()) {
            if last != Some("at") {
                joined.push("at".to_owned());
            }
        } else if !lexis::is_filler(&word) {
            joined.push(word);
        }
    }
    joined
}

/// "in the after noon", not "after noon".
fn is_of_afternoon(joined: &[String]) -> bool {
    matches!(joined[joined.len() - 2].as_str(), "the" | "this")
}
