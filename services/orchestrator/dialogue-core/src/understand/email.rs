//! E-mail addresses, written or spelled aloud: "john dot smith at gmail dot com".

use super::lexis;

/// Words that end what stands before an address.
const INTRODUCES: [&str; 28] = [
    "is", "it's", "its", "that's", "address", "email", "e-mail", "mail", "to", "me", "use", "on",
    "yes", "yeah", "sure", "ok", "okay", "so", "well", "no", "wait", "sorry", "actually", "was",
    "be", "write", "down", "please",
];

/// Words that say nothing inside an address.
const NOTHING: [&str; 16] = [
    "uh",
    "um",
    "er",
    "erm",
    "the",
    "letter",
    "letters",
    "all",
    "lowercase",
    "one",
    "word",
    "small",
    "capital",
    "symbol",
    "sign",
    "then",
];

/// Endings of domains, so that an address ends where it ends.
const TOP_LEVEL: [&str; 40] = [
    "com", "org", "net", "edu", "gov", "io", "co", "uk", "ca", "us", "de", "fr", "in", "au", "nz",
    "ie", "info", "biz", "dev", "app", "me", "tv", "eu", "nl", "ch", "at", "it", "es", "se", "no",
    "dk", "be", "pl", "za", "ac", "ai", "health", "clinic", "example", "online",
];

/// Names of domains that recognisers write in two words.
const SPLIT: [(&str, &str, &str); 8] = [
    ("g", "mail", "gmail"),
    ("gee", "mail", "gmail"),
    ("hot", "mail", "hotmail"),
    ("out", "look", "outlook"),
    ("i", "cloud", "icloud"),
    ("eye", "cloud", "icloud"),
    ("proton", "mail", "protonmail"),
    ("fast", "mail", "fastmail"),
];

/// The address in `text`, in lower case; of several the last.
pub fn email(text: &str) -> Option<String> {
    let words = words(text);
    let mut found = None;
    let mut at = 0;
    while at < words.len() {
        if is_written(&words[at]) {
            found = Some(words[at].clone());
        } else if is_at(&words, at)
            && let Some((domain, taken)) = domain(&words, at + 1)
            && let Some(local) = local(&words[..at])
        {
            let address = format!("{local}@{domain}");
            if is_written(&address) {
                found = Some(address);
                at += taken;
            }
        }
        at += 1;
    }
    found
}

/// "at", or "at sign"; "john at gmail dot com" and not "at two".
fn is_at(words: &[String], at: usize) -> bool {
    matches!(words[at].as_str(), "at" | "@" | "arobase")
}

fn words(text: &str) -> Vec<String> {
    let folded = lexis::fold(text);
    let mut words: Vec<String> = Vec::new();
    for raw in
        folded.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '<' | '>'))
    {
        let word = raw.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '@' | '_'));
        let word = if word.is_empty() && raw.contains('@') { "@" } else { word };
        if word.is_empty() {
            continue;
        }
        match word.split_once('@') {
            // "john@gmail dot com" has its sign inside.
            Some((a, b)) if !is_written(word) => {
                words.extend([a, "at", b].into_iter().filter(|w| !w.is_empty()).map(str::to_owned));
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// One address, whole: local part, sign, domain with a dot.
fn is_written(word: &str) -> bool {
    let Some((local, domain)) = word.split_once('@') else { return false };
    let is_local = !local.is_empty()
        && local.len() <= 64
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+'%".contains(&b));
    let labels: Vec<&str> = domain.split('.').collect();
    let is_label = |l: &&str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let ends =
        labels.last().is_some_and(|l| l.len() >= 2 && l.bytes().all(|b| b.is_ascii_alphabetic()));
    is_local && labels.len() >= 2 && labels.iter().all(is_label) && ends
}

/// The domain that begins at `words[at]`, and how many words it takes.
fn domain(words: &[String], at: usize) -> Option<(String, usize)> {
    let mut domain = String::new();
    let mut next = at;
    let mut ended = 0;
    let mut is_label_begun = false;
    while let Some(word) = words.get(next) {
        let word = word.as_str();
        let follows = words.get(next + 1).map_or("", String::as_str);
        if next - at > 24 {
            break;
        }
        if matches!(word, "dot" | "point" | "period") && is_label_begun {
            domain.push('.');
            is_label_begun = false;
        } else if matches!(word, "dash" | "hyphen" | "minus") {
            domain.push('-');
        } else if NOTHING.contains(&word) && word != "one" && !is_label_begun {
        } else if let Some((_, _, whole)) =
            SPLIT.iter().find(|(a, b, _)| *a == word && *b == follows)
        {
            domain.push_str(whole);
            is_label_begun = true;
            next += 1;
        } else if let Some((text, taken)) = piece(&words[next..]) {
            let last_label = domain.rsplit('.').next().unwrap_or_default();
            let is_whole = domain.contains('.') && TOP_LEVEL.contains(&last_label);
            if is_label_begun && is_whole {
                break;
            }
            domain.push_str(&text);
            is_label_begun = true;
            next += taken - 1;
        } else {
            break;
        }
        next += 1;
        let last = domain.rsplit('.').next().unwrap_or_default();
        if domain.contains('.') && last.len() >= 2 && is_label_begun {
            ended = next;
            let is_end =
                words.get(next).is_none_or(|w| !matches!(w.as_str(), "dot" | "point" | "period"));
            if TOP_LEVEL.contains(&last) && is_end {
                break;
            }
        }
    }
    let domain = domain.trim_end_matches('.').to_owned();
    (ended > 0 && domain.contains('.')).then(|| (domain, ended - at))
}

/// The local part that ends `words`.
fn local(words: &[String]) -> Option<String> {
    let begins = words
        .iter()
        .rposition(|w| INTRODUCES.contains(&w.as_str()))
        .map_or(0, |at| begin_after(words, at));
    let mut local = String::new();
    let mut at = begins;
    while let Some(word) = words.get(at) {
        let sign = match word.as_str() {
            "dot" | "point" | "period" => Some('.'),
            "underscore" | "underline" => Some('_'),
            "dash" | "hyphen" | "minus" => Some('-'),
            "plus" => Some('+'),
            _ => None,
        };
        if let Some(sign) = sign {
            local.push(sign);
            at += 1;
        } else if word == "under" && words.get(at + 1).is_some_and(|w| w == "score") {
            local.push('_');
            at += 2;
        } else if NOTHING.contains(&word.as_str()) && !is_digit_one(words, at) {
            at += 1;
        } else if let Some((text, taken)) = piece(&words[at..]) {
            local.push_str(&text);
            at += taken;
        } else {
            at += 1;
        }
    }
    let local = local.trim_matches(['.', '-']).to_owned();
    (!local.is_empty()).then_some(local)
}

/// "one" is the digit unless it is of "all one word".
fn is_digit_one(words: &[String], at: usize) -> bool {
    words[at] == "one" && words.get(at + 1).is_none_or(|w| w != "word")
}

/// After the last word that introduces; "me at" has an "at" of its own.
fn begin_after(words: &[String], at: usize) -> usize {
    let next = at + 1;
    let has_own =
        matches!(words[at].as_str(), "me" | "is") && words.get(next).is_some_and(|w| w == "at");
    next + usize::from(has_own)
}

/// One word of an address: a word, a number, a letter "as in" something, "double l".
fn piece(words: &[String]) -> Option<(String, usize)> {
    let word = words.first()?.as_str();
    let next = |n: usize| words.get(n).map_or("", String::as_str);
    let times = match word {
        "double" => 2,
        "triple" => 3,
        _ => 1,
    };
    if times > 1 {
        let what = next(1);
        let is_one = what.chars().count() == 1 && what.is_ascii();
        let unit = match lexis::unit(what) {
            Some(n) => Some(n.to_string()),
            None => is_one.then(|| what.to_owned()),
        };
        if let Some(unit) = unit {
            return Some((unit.repeat(times), 2));
        }
    }
    let is_letter = lexis::letter(word).is_some_and(|c| c.is_ascii());
    if is_letter && matches!((next(1), next(2)), ("as", "in") | ("is", "for")) {
        return Some((word.to_owned(), 4.min(words.len())));
    }
    if is_letter && matches!(next(1), "for" | "like") && next(2).starts_with(word) {
        return Some((word.to_owned(), 3));
    }
    if let Some((n, taken)) =
        lexis::cardinal(words).filter(|_| !word.starts_with(|c: char| c.is_ascii_digit()))
    {
        return Some((n.to_string(), taken));
    }
    if word == "oh" {
        return Some(("0".into(), 1));
    }
    let fits = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+'".contains(&b));
    fits.then(|| (word.replace('\'', ""), 1))
}
