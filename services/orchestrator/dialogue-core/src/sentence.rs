//! Streamed text, cut at the ends of sentences and nowhere else (DESIGN 3.4, 9).

/// Marks that may end a sentence when white space follows.
const TERMINATORS: [char; 4] = ['.', '!', '?', '…'];

/// Marks that end a sentence in scripts that set no space between sentences.
const UNSPACED_TERMINATORS: [char; 4] = ['。', '！', '？', '।'];

/// What may stand between the mark and the space.
const CLOSERS: [char; 10] = ['"', '\'', ')', ']', '}', '»', '”', '’', '*', '_'];

/// Abbreviations after which the sentence always goes on.
const TITLES: [&str; 22] = [
    "dr", "mr", "mrs", "ms", "mx", "prof", "st", "mt", "rev", "hon", "gen", "col", "capt", "sgt",
    "lt", "messrs", "vs", "cf", "ca", "e.g", "i.e", "dept",
];

/// Abbreviations that stand before a number; elsewhere they are words that may end a sentence.
const BEFORE_NUMBERS: [&str; 25] = [
    "no", "nos", "nr", "fig", "p", "pp", "vol", "ch", "ext", "tel", "approx", "jan", "feb", "mar",
    "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "rm", "apt",
];

/// Abbreviations that end the sentence only when the next word begins with a capital.
const MAYBE_LAST: [&str; 13] =
    ["a.m", "p.m", "am", "pm", "etc", "inc", "ltd", "co", "corp", "jr", "sr", "ave", "blvd"];

/// Cuts text that arrives in pieces into sentences. Where the pieces are cut makes no difference,
/// and nothing is altered: the sentences joined are the text, but for white space at its very end.
///
/// A sentence carries the white space before it, none after it. Where it cannot be sure, it waits
/// for the next word, and in doubt it does not cut: a missing cut costs a moment, a wrong one is
/// heard.
#[derive(Clone, Default)]
pub struct Splitter {
    buffer: String,
    /// No sentence ends before this byte.
    scanned: usize,
}

impl Splitter {
    /// Takes a piece of text and returns the sentences it completed.
    pub fn push(&mut self, piece: &str) -> Vec<String> {
        self.buffer.push_str(piece);
        let mut sentences = Vec::new();
        loop {
            match scan(&self.buffer, self.scanned) {
                Scan::Cut(at) => {
                    let rest = self.buffer.split_off(at);
                    sentences.push(std::mem::replace(&mut self.buffer, rest));
                    self.scanned = 0;
                }
                Scan::Wait(from) => {
                    self.scanned = from;
                    return sentences;
                }
            }
        }
    }

    /// What is left when the text is over; `None` when it is blank.
    pub fn finish(&mut self) -> Option<String> {
        self.scanned = 0;
        let rest = std::mem::take(&mut self.buffer);
        let kept = rest.trim_end().len();
        (kept > 0).then(|| rest[..kept].to_owned())
    }

    /// The length of what has not been cut yet, in bytes.
    pub fn waiting_bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// The sentences of a whole text.
pub fn sentences(text: &str) -> Vec<String> {
    let mut splitter = Splitter::default();
    let mut all = splitter.push(text);
    all.extend(splitter.finish());
    all
}

/// Whether a voice has anything to say for it.
pub fn is_speakable(sentence: &str) -> bool {
    sentence.chars().any(char::is_alphanumeric)
}

enum Scan {
    /// A sentence ends before this byte.
    Cut(usize),
    /// None ends before this byte; what follows decides whether one ends at it.
    Wait(usize),
}

fn scan(text: &str, from: usize) -> Scan {
    let mut at = from;
    while let Some(c) = text[at..].chars().next() {
        let next = at + c.len_utf8();
        if !is_mark(c) && c != '\n' {
            at = next;
            continue;
        }
        let verdict = if c == '\n' { blank_line(text, at) } else { mark(text, at) };
        match verdict {
            Verdict::Ends(cut) => return Scan::Cut(cut),
            Verdict::GoesOn(resume) => at = resume,
            Verdict::Unknown => return Scan::Wait(at),
        }
    }
    Scan::Wait(at)
}

fn is_mark(c: char) -> bool {
    TERMINATORS.contains(&c) || UNSPACED_TERMINATORS.contains(&c)
}

enum Verdict {
    Ends(usize),
    GoesOn(usize),
    Unknown,
}

/// A blank line ends a sentence that has no mark, such as a heading.
fn blank_line(text: &str, at: usize) -> Verdict {
    let rest = &text[at + 1..];
    let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
    match rest[blank..].chars().next() {
        None => Verdict::Unknown,
        Some('\n') if is_speakable(&text[..at]) => Verdict::Ends(at),
        Some(_) => Verdict::GoesOn(at + 1),
    }
}

/// Whether the run of marks at `at` ends the sentence.
fn mark(text: &str, at: usize) -> Verdict {
    let after_run = skip(text, at, is_mark);
    let after = skip(text, after_run, |c| CLOSERS.contains(&c));
    let Some(following) = text[after..].chars().next() else {
        return Verdict::Unknown;
    };
    let head = &text[..at];
    let run = &text[at..after_run];
    if !is_speakable(head) {
        return Verdict::GoesOn(after);
    }
    if run.ends_with(UNSPACED_TERMINATORS) {
        return Verdict::Ends(after);
    }
    if !following.is_whitespace() {
        return Verdict::GoesOn(after);
    }
    let rule = if run == "." { rule_of_word_before(head) } else { Rule::Ends };
    let trails_off = run.len() > 1 && !run.contains(['!', '?']);
    let rule = match rule {
        Rule::Ends if trails_off || after > after_run => Rule::EndsUnlessLowercase,
        rule => rule,
    };
    let begins = text[after..].trim_start().chars().next();
    let ends = match (rule, begins) {
        (Rule::Ends, _) => true,
        (Rule::GoesOn, _) => false,
        (_, None) => return Verdict::Unknown,
        (Rule::EndsUnlessNumber, Some(c)) => !c.is_numeric(),
        (Rule::EndsUnlessLowercase, Some(c)) => !c.is_lowercase(),
        (Rule::EndsBeforeCapital, Some(c)) => c.is_uppercase(),
    };
    if ends { Verdict::Ends(after) } else { Verdict::GoesOn(after) }
}

fn skip(text: &str, from: usize, mut which: impl FnMut(char) -> bool) -> usize {
    text[from..].find(|c| !which(c)).map_or(text.len(), |n| from + n)
}

#[derive(Clone, Copy)]
enum Rule {
    Ends,
    GoesOn,
    EndsUnlessNumber,
    EndsUnlessLowercase,
    EndsBeforeCapital,
}

/// What a single full stop after `head` means.
fn rule_of_word_before(head: &str) -> Rule {
    let is_list_marker = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if is_list_marker(head.trim_start()) {
        return Rule::GoesOn;
    }
    let opens = |c: char| c.is_whitespace() || matches!(c, '(' | '[' | '"' | '“' | '\'' | '‘');
    let word = head.rsplit(opens).next().unwrap_or_default();
    let lower = word.to_lowercase();
    let lower = lower.as_str();
    let mut letters = word.chars();
    let is_initial =
        matches!((letters.next(), letters.next()), (Some(c), None) if c.is_uppercase());
    let is_acronym = word.contains('.') && word.split('.').all(|part| part.chars().count() == 1);
    if TITLES.contains(&lower) || is_initial {
        Rule::GoesOn
    } else if BEFORE_NUMBERS.contains(&lower) {
        Rule::EndsUnlessNumber
    } else if MAYBE_LAST.contains(&lower) {
        Rule::EndsBeforeCapital
    } else if is_acronym {
        Rule::GoesOn
    } else {
        Rule::Ends
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trimmed(text: &str) -> Vec<String> {
        sentences(text).iter().map(|s| s.trim().to_owned()).collect()
    }

    #[test]
    fn a_sentence_is_cut_where_a_speaker_would_stop() {
        let cases: &[(&str, &[&str])] = &[
            ("Hello there. How are you?", &["Hello there.", "How are you?"]),
            ("Dr. Smith is in. Mr. Jones is not.", &["Dr. Smith is in.", "Mr. Jones is not."]),
            ("It costs 3.5 dollars. Fine?", &["It costs 3.5 dollars.", "Fine?"]),
            ("You did what?! Oh no!", &["You did what?!", "Oh no!"]),
            (
                "Well... let me see. Yes... Here it is.",
                &["Well... let me see.", "Yes...", "Here it is."],
            ),
            ("She said \"Stop.\" Then she left.", &["She said \"Stop.\"", "Then she left."]),
            ("\"Really?\" she asked. Yes.", &["\"Really?\" she asked.", "Yes."]),
            (
                "We open at 9 a.m. and close at 5 p.m. Come by.",
                &["We open at 9 a.m. and close at 5 p.m.", "Come by."],
            ),
            ("No. 5 is free. No. It is not.", &["No. 5 is free.", "No.", "It is not."]),
            ("J. R. Smith lives in the U.S. today.", &["J. R. Smith lives in the U.S. today."]),
            ("1. First thing. 2. Second thing.", &["1. First thing.", "2. Second thing."]),
            ("ok. sure. see you", &["ok.", "sure.", "see you"]),
            (
                "Mail a.b@example.com or see example.com/x.",
                &["Mail a.b@example.com or see example.com/x."],
            ),
            ("Opening hours\n\nMonday to Friday", &["Opening hours", "Monday to Friday"]),
            ("one line\nand its rest. Done.", &["one line\nand its rest.", "Done."]),
            ("すみません。明日ですか？はい", &["すみません。", "明日ですか？", "はい"]),
            ("No mark at all", &["No mark at all"]),
            ("... so, yes. Go.", &["... so, yes.", "Go."]),
            ("", &[]),
            ("  \n ", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(trimmed(text), *expected, "{text:?}");
        }
    }

    #[test]
    fn a_very_long_sentence_stays_whole() {
        let text = format!("{}end. Next.", "and then, ".repeat(2_000));
        let cut = trimmed(&text);
        assert_eq!(cut.len(), 2);
        assert!(cut[0].ends_with("end."));
    }

    #[test]
    fn a_plain_sentence_is_out_as_soon_as_the_space_after_it_is_seen() {
        let mut splitter = Splitter::default();
        assert!(splitter.push("All right.").is_empty(), "more marks could follow");
        assert_eq!(splitter.push(" "), ["All right."]);
    }

    proptest! {
        #[test]
        fn the_borders_of_the_pieces_make_no_difference(
            text in "([A-Za-z0-9 .!?\"')…\n。é]|Dr\\. |p\\.m\\. |No\\. |\\.\\.\\. ){0,60}",
            sizes in proptest::collection::vec(1usize..7, 1..80),
        ) {
            let whole = sentences(&text);
            let mut splitter = Splitter::default();
            let mut pieces = Vec::new();
            let mut sizes = sizes.into_iter().cycle();
            let mut chars = text.chars().peekable();
            while chars.peek().is_some() {
                let piece: String = chars.by_ref().take(sizes.next().unwrap_or(1)).collect();
                pieces.extend(splitter.push(&piece));
            }
            pieces.extend(splitter.finish());
            prop_assert_eq!(&pieces, &whole);
            prop_assert_eq!(whole.concat(), text.trim_end());
        }
    }
}
