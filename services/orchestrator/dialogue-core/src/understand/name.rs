//! Names, in an introduction or by themselves, also spelled.

use super::{
    lexis::{self, letter},
    name_words::{
        INTRODUCTIONS, LOOSE, LOOSE_UNASKED, NOT_IN_NAMES, PARTICLES, RELATIONS, REPAIRS, TITLES,
    },
};

/// The longest name taken from words, in words.
const NAME_WORDS_MAX: usize = 5;

/// The longest word of a name.
const NAME_WORD_CHARS_MAX: usize = 30;

/// The name in `text`. `asked`: it answers the question for a name, so a bare one counts.
pub fn name(text: &str, asked: bool) -> Option<String> {
    let words = words(text);
    if words.is_empty() || text.trim_end().ends_with('?') {
        return None;
    }
    let found = by_parts(&words)
        .or_else(|| repaired(&words, asked))
        .or_else(|| stated(&words, asked))
        .or_else(|| asked.then(|| bare(&words))?)?;
    Some(title_case(once(&found)))
}

/// "Bond, James Bond": the whole name, not its surname twice.
fn once(name: &[String]) -> &[String] {
    match name {
        [first, rest @ ..]
            if rest.len() > 1 && rest.last().is_some_and(|l| l.eq_ignore_ascii_case(first)) =>
        {
            rest
        }
        _ => name,
    }
}

/// Words as they were written, without what is no word; a spelled name is joined later.
fn words(text: &str) -> Vec<String> {
    let is_gap =
        |c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '—' | '–' | '/' | '"');
    let text = text.replace(['’', '‘', '`'], "'");
    let is_noise = |w: &str| {
        matches!(
            w.to_lowercase().as_str(),
            "uh" | "um" | "er" | "erm" | "hmm" | "ah" | "mm" | "please" | "well"
        )
    };
    text.split(is_gap)
        .map(|w| w.trim_matches(|c: char| !c.is_alphanumeric()).to_owned())
        .filter(|w| !w.is_empty() && !is_noise(w))
        .collect()
}

fn lower(words: &[String]) -> Vec<String> {
    words.iter().map(|w| w.to_lowercase()).collect()
}

/// "first name Anna last name Lee", "surname Patel, first name Priya".
fn by_parts(words: &[String]) -> Option<Vec<String>> {
    let low = lower(words);
    let after = |phrases: &[&str]| {
        phrases.iter().find_map(|phrase| {
            let at = lexis::find(&low, phrase)? + phrase.split(' ').count();
            let skip = usize::from(low.get(at).is_some_and(|w| w == "is"));
            let name = taken(&words[(at + skip).min(words.len())..]);
            (!name.is_empty()).then_some(name)
        })
    };
    let first = after(&["first name", "given name", "forename", "christian name"])?;
    let last = after(&["last name", "surname", "family name", "second name"])?;
    Some(first.into_iter().chain(last).collect())
}

/// What stands after the last repair: a whole name, or one word that mends the last or the first.
fn repaired(words: &[String], asked: bool) -> Option<Vec<String>> {
    let low = lower(words);
    let at = low.iter().rposition(|w| REPAIRS.contains(&w.as_str())).filter(|at| *at > 0)?;
    let (mut before, after) = (&words[..at], &words[at + 1..]);
    while let [rest @ .., last] = before
        && REPAIRS.contains(&last.to_lowercase().as_str())
    {
        before = rest;
    }
    let skip = low[at + 1..]
        .iter()
        .take_while(|w| matches!(w.as_str(), "i" | "it's" | "that's" | "it" | "is"))
        .count();
    let mended = stated(after, true).or_else(|| bare(&after[skip.min(after.len())..]))?;
    let first = stated(before, asked).or_else(|| asked.then(|| bare(before))?)?;
    if mended.len() == 1 && first.len() > 1 {
        let near = |n: usize| alike(&first[n], &mended[0]);
        if near(0) && !near(first.len() - 1) {
            return Some(mended.into_iter().chain(first.into_iter().skip(1)).collect());
        }
        return Some(first[..first.len() - 1].iter().cloned().chain(mended).collect());
    }
    Some(mended)
}

/// Begin alike: a word said again, better.
fn alike(a: &str, b: &str) -> bool {
    let first = |w: &str| w.chars().next().map(|c| c.to_lowercase().to_string());
    first(a) == first(b)
}

/// The name after an introduction; `asked`: also after one that introduces anything.
fn stated(words: &[String], asked: bool) -> Option<Vec<String>> {
    let low = lower(words);
    let tight = INTRODUCTIONS.iter().filter_map(|phrase| {
        let at = lexis::find(&low, phrase)?;
        Some(at + phrase.split(' ').count())
    });
    if let Some(begin) = tight.max() {
        let rest = after_relation(&words[begin..]);
        let name = taken(rest);
        if !name.is_empty() {
            return Some(name);
        }
    }
    if let Some(at) = low.iter().position(|w| matches!(w.as_str(), "here" | "speaking" | "calling"))
    {
        let name = bare(&words[..at]);
        if at > 0 && name.is_some() {
            return name;
        }
    }
    let loose = if asked { LOOSE.as_slice() } else { &LOOSE[..LOOSE_UNASKED] };
    loose.iter().find_map(|phrase| {
        let at = lexis::find(&low, phrase)? + phrase.split(' ').count();
        bare(after_relation(&words[at..]))
    })
}

/// "my daughter Emily": the name after the relation.
fn after_relation(words: &[String]) -> &[String] {
    let low = lower(words);
    match low.as_slice() {
        [my, relation, ..]
            if matches!(my.as_str(), "my" | "our") && RELATIONS.contains(&relation.as_str()) =>
        {
            &words[2..]
        }
        _ => words,
    }
}

/// The name that begins `words`.
fn taken(words: &[String]) -> Vec<String> {
    let words = without_title(words);
    let mut name: Vec<String> = Vec::new();
    let mut letters = String::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let low = word.to_lowercase();
        let here = at;
        let next = |n: usize| words.get(here + n).map_or(String::new(), |w| w.to_lowercase());
        let is_explained = matches!(next(1).as_str(), "a" | "an");
        if low == "with" && is_explained && letter(&next(2)).is_some() && letters.is_empty() {
            at += 3;
            continue;
        }
        if matches!(low.as_str(), "spelled" | "spelt" | "spell")
            || (low == "that's" && letter(&next(1)).is_some())
            || (low == "with" && matches!(next(1).as_str(), "a" | "an" | "two" | "one"))
        {
            let spelled = spelled_after(&words[at..]);
            return with_spelled(name, letters, spelled);
        }
        if matches!(low.as_str(), "double") && letter(&next(1)).is_some() {
            letters.push_str(&next(1).repeat(2));
            at += 2;
            continue;
        }
        if let Some(c) = letter(&low).filter(|_| is_spelling(words, at, &letters)) {
            letters.push(c);
            at += 1;
            if matches!((next(1).as_str(), next(2).as_str()), ("as", "in") | ("is", "for")) {
                at += 3;
            } else if matches!(next(1).as_str(), "for" | "like") && next(2).starts_with(c) {
                at += 2;
            }
            continue;
        }
        if !letters.is_empty() {
            if !is_name_word(word) {
                break;
            }
            flush(&mut name, &mut letters);
        }
        if !is_name_word(word) || name.len() >= NAME_WORDS_MAX {
            break;
        }
        name.push(word.clone());
        at += 1;
    }
    with_spelled(name, letters, None)
}

/// Two letters in a row are spelled; one alone between words is an initial.
fn is_spelling(words: &[String], at: usize, letters: &str) -> bool {
    let is_letter = |n: usize| {
        words.get(n).is_some_and(|w| letter(w).is_some() || w.to_lowercase() == "double")
    };
    let is_as_in =
        words.get(at + 1).is_some_and(|w| matches!(w.as_str(), "as" | "for" | "like" | "is"));
    !letters.is_empty() || is_letter(at + 1) || is_as_in
}

fn spelled_after(words: &[String]) -> Option<String> {
    let mut letters = String::new();
    let mut at = words.iter().position(|w| letter(w).is_some() && w != "a" || w == "A")?;
    while let Some(word) = words.get(at) {
        let low = word.to_lowercase();
        if low == "double" {
            let c = words.get(at + 1).and_then(|w| letter(w))?;
            letters.extend([c, c]);
            at += 2;
            continue;
        }
        match letter(&low) {
            Some(c) => letters.push(c),
            None => break,
        }
        at += 1;
    }
    (letters.chars().count() > 1).then_some(letters)
}

fn flush(name: &mut Vec<String>, letters: &mut String) {
    let spelled = std::mem::take(letters);
    *name = with_spelled(std::mem::take(name), spelled, None);
}

/// Letters spell the word before them again, or a word of their own.
fn with_spelled(mut name: Vec<String>, letters: String, spelled: Option<String>) -> Vec<String> {
    let letters = spelled.unwrap_or(letters);
    if letters.is_empty() {
        return name;
    }
    if let Some(last) = name.last_mut()
        && alike(last, &letters)
        && last.chars().count().abs_diff(letters.chars().count()) <= 3
    {
        *last = letters;
    } else {
        name.push(letters);
    }
    name
}

fn without_title(words: &[String]) -> &[String] {
    match words {
        [title, rest @ ..] if TITLES.contains(&title.to_lowercase().as_str()) => rest,
        _ => words,
    }
}

/// Words that are nothing but a name, as an answer to "what is your name?".
fn bare(words: &[String]) -> Option<Vec<String>> {
    let low = lower(words);
    let polite = |w: &String| {
        matches!(
            w.as_str(),
            "yes" | "yeah" | "sure" | "ok" | "okay" | "hi" | "hello" | "so" | "oh" | "hey"
        )
    };
    let skip = low.iter().take_while(|w| polite(w)).count();
    let mut rest = &words[skip..];
    while let [shorter @ .., last] = rest
        && matches!(
            last.to_lowercase().as_str(),
            "thanks" | "thank" | "you" | "please" | "here" | "speaking" | "calling"
        )
    {
        rest = shorter;
    }
    let rest = without_title(rest);
    let name = taken(rest);
    let is_whole = !name.is_empty()
        && rest.iter().all(|w| is_name_word(w) || is_spelling_word(w))
        && rest.iter().filter(|w| letter(w).is_none()).count() <= NAME_WORDS_MAX + 3;
    let is_known_word = |w: &String| super::when::is_time_word(&w.to_lowercase());
    (is_whole && !(name.iter().all(is_known_word))).then_some(name)
}

fn is_spelling_word(word: &str) -> bool {
    let low = word.to_lowercase();
    matches!(
        low.as_str(),
        "that's" | "spelled" | "spelt" | "double" | "with" | "a" | "an" | "as" | "in" | "for"
    ) || letter(&low).is_some()
}

fn is_name_word(word: &str) -> bool {
    let low = word.to_lowercase();
    let is_spelt_like_one = low.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '.'));
    is_spelt_like_one
        && low.chars().count() <= NAME_WORD_CHARS_MAX
        && (!NOT_IN_NAMES.contains(&low.as_str()) || PARTICLES.contains(&low.as_str()))
}

/// Title case; capitals inside a word that has small letters too are kept (McDonald).
fn title_case(words: &[String]) -> String {
    let of = |word: &String| {
        let has_small = word.chars().any(char::is_lowercase);
        let word = if has_small { word.clone() } else { word.to_lowercase() };
        let mut begins = true;
        let mut titled = String::new();
        for c in word.chars() {
            if begins {
                titled.extend(c.to_uppercase());
            } else {
                titled.push(c);
            }
            begins = matches!(c, '-' | '\'');
        }
        titled
    };
    words.iter().map(of).collect::<Vec<_>>().join(" ")
}
