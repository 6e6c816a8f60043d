//! Phone numbers in figures and in words: "four one six, double five five", "plus forty-four".

use phonenumber::{Mode, country};

use super::lexis;

/// The fewest and most digits of a number with its country code (E.164).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// Words inside a number that are no part of it.
const BETWEEN: [&str; 20] = [
    "and", "area", "code", "country", "dash", "hyphen", "space", "dot", "then", "the", "uh", "um",
    "er", "erm", "minus", "like", "so", "is", "number", "point",
];

/// Words after which digits mend those before.
const REPAIRS: [&str; 12] = [
    "no",
    "wait",
    "sorry",
    "actually",
    "rather",
    "scratch",
    "correction",
    "mean",
    "meant",
    "oops",
    "not",
    "nope",
];

/// Digits said in one go.
#[derive(Default)]
struct Run {
    digits: String,
    is_repair: bool,
    begins_anew: bool,
}

/// The number in `text`, as E.164. `region` is where a number without a country code is from, ISO
/// 3166. Of several the last counts; a few digits after "no" or "sorry" mend the end of those before.
pub fn phone(text: &str, region: &str) -> Option<String> {
    let mut number: Option<String> = None;
    let mut before = String::new();
    for run in runs(text) {
        if let Some(whole) = e164(&run.digits, region) {
            number = Some(whole);
            before = run.digits;
            continue;
        }
        let digits = run.digits.trim_start_matches('+').len();
        if run.is_repair {
            let kept = before.len().checked_sub(digits).map(|kept| before[..kept].to_owned());
            if let Some(mended) = kept.filter(|k| !k.is_empty()).map(|k| k + &run.digits)
                && let Some(whole) = e164(&mended, region)
            {
                number = Some(whole);
                before = mended;
                continue;
            }
            if let Some((mended, whole)) = resumed(&before, &run.digits, region) {
                number = Some(whole);
                before = mended;
                continue;
            }
            if run.begins_anew || digits > 4 {
                before = run.digits;
            }
            continue;
        }
        // "the area code is 416 and the number is 967 1111"
        before.push_str(&run.digits);
        number = e164(&before, region).or(number);
    }
    number
}

/// Half a number said again from somewhere in it and then to its end: "646 203, no, 204 1112".
fn resumed(before: &str, again: &str, region: &str) -> Option<(String, String)> {
    (1..before.len()).rev().filter(|at| before[*at..].starts_with(&again[..1])).find_map(|at| {
        let mended = format!("{}{again}", &before[..at]);
        e164(&mended, region).map(|whole| (mended, whole))
    })
}

/// A caller ID or WhatsApp id as E.164; `None` where it was withheld.
pub fn caller_id(from: &str) -> Option<String> {
    let digits = from.strip_prefix('+').unwrap_or(from);
    let is_number = DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| format!("+{digits}"))
}

/// `digits` as a number of `region`, or with the country code they begin with.
fn e164(digits: &str, region: &str) -> Option<String> {
    let count = digits.trim_start_matches('+').len();
    let is_dialled_abroad = digits.starts_with("00") || digits.starts_with("011");
    if !DIGITS.contains(&count) && !is_dialled_abroad {
        return None;
    }
    let home: Option<country::Id> = region.parse().ok();
    let parsed = |text: &str| {
        let number = phonenumber::parse(home, text).ok()?;
        number.is_valid().then(|| number.format().mode(Mode::E164).to_string())
    };
    if let Some(number) = parsed(digits) {
        return Some(number);
    }
    // "four four seven seven ...", without the plus; only where it cannot be a number from here.
    if !digits.starts_with(['+', '0'])
        && count > 10
        && let Some(number) = parsed(&format!("+{digits}"))
    {
        return Some(number);
    }
    made_up(digits, home).or_else(|| unserved(digits, home))
}

/// A number of the North American plan that no exchange serves, such as those of films and tests.
fn made_up(digits: &str, home: Option<country::Id>) -> Option<String> {
    let is_home = matches!(home, Some(country::Id::US | country::Id::CA));
    let (national, has_code) = match digits.strip_prefix("+1") {
        Some(rest) => (rest, true),
        None if digits.len() == 11 => (digits.strip_prefix('1')?, true),
        None => (digits, false),
    };
    let is_shaped = national.len() == 10
        && national.bytes().all(|b| b.is_ascii_digit())
        && national.starts_with(|c| c >= '2');
    (is_shaped && (is_home || (has_code && digits.starts_with('+'))))
        .then(|| format!("+1{national}"))
}

/// A number of the British plan's shape that no exchange serves (the ranges kept for drama).
fn unserved(digits: &str, home: Option<country::Id>) -> Option<String> {
    let is_home = home == Some(country::Id::GB);
    let code = ["+44", "0044"].iter().find_map(|code| digits.strip_prefix(code));
    let national = match code {
        Some(rest) => rest.strip_prefix('0').unwrap_or(rest),
        None => digits.strip_prefix('0').filter(|_| is_home)?,
    };
    let is_shaped = national.len() == 10
        && national.bytes().all(|b| b.is_ascii_digit())
        && national.starts_with(['1', '2', '3', '7']);
    is_shaped.then(|| format!("+44{national}"))
}

fn runs(text: &str) -> Vec<Run> {
    let folded = lexis::fold(text).replace('+', " + ");
    let is_gap = |c: char| c.is_whitespace() || "-–—().,;/!?\"".contains(c);
    let words: Vec<&str> = folded.split(is_gap).filter(|w| !w.is_empty()).collect();
    let mut runs: Vec<Run> = Vec::new();
    let mut run = Run::default();
    let mut at = 0;
    while let Some(&word) = words.get(at) {
        if matches!(word, "extension" | "ext" | "x") && !run.digits.is_empty() {
            break;
        }
        if let Some((digits, taken)) = digits_at(&words[at..], run.digits.is_empty()) {
            run.digits.push_str(&digits);
            at += taken;
            continue;
        }
        let is_between = BETWEEN.contains(&word);
        let is_repair = REPAIRS.contains(&word);
        if !is_between {
            let ended = std::mem::take(&mut run);
            if !ended.digits.is_empty() {
                runs.push(ended);
            } else {
                run = ended;
            }
            run.is_repair |= is_repair;
            run.begins_anew |= matches!(word, "scratch" | "over");
        }
        at += 1;
    }
    if !run.digits.is_empty() {
        runs.push(run);
    }
    runs
}

/// The digits that begin `words`, and how many words they take.
fn digits_at(words: &[&str], begins: bool) -> Option<(String, usize)> {
    let word = words[0];
    let next = words.get(1).copied().unwrap_or_default();
    if matches!(word, "+" | "plus") && begins {
        let is_followed = digits_at(words.get(1..).filter(|w| !w.is_empty())?, false).is_some();
        return is_followed.then(|| ("+".to_owned(), 1));
    }
    if word.bytes().all(|b| b.is_ascii_digit()) {
        if word.len() == 1 && next == "hundred" {
            return Some((format!("{word}00"), 2));
        }
        return Some((word.to_owned(), 1));
    }
    let times = match word {
        "double" => 2,
        "triple" | "treble" => 3,
        "quadruple" => 4,
        _ => 1,
    };
    if times > 1 {
        let digit = one_digit(next)?;
        return Some((digit.to_string().repeat(times), 2));
    }
    if let Some(digit) = one_digit(word) {
        return Some(match (next, words.get(2).copied().unwrap_or_default()) {
            ("hundred", _) => (format!("{digit}00"), 2),
            ("thousand", _) => (format!("{digit}000"), 2),
            _ => (digit.to_string(), 1),
        });
    }
    let owned: Vec<String> = words.iter().take(2).map(|w| (*w).to_owned()).collect();
    let (n, taken) = lexis::cardinal(&owned).filter(|(n, _)| *n >= 10)?;
    match words.get(taken).copied() {
        Some("hundred") => Some((format!("{n}00"), taken + 1)),
        _ => Some((n.to_string(), taken)),
    }
}

fn one_digit(word: &str) -> Option<char> {
    let digit = match word {
        "oh" | "o" | "nought" | "naught" | "nil" | "null" | "ou" => 0,
        "niner" => 9,
        "fife" => 5,
        _ if word.len() == 1 => return word.chars().next().filter(char::is_ascii_digit),
        _ => lexis::unit(word).filter(|n| *n < 10)?,
    };
    char::from_digit(digit, 10)
}
