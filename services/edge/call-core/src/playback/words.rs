//! Which words of a sentence were heard when its audio was cut short.
//!
//! Nobody tells when a voice says which word. Quiet places between loud ones are where a word may end: the borders of
//! the words are laid on those of them that fit the lengths of the words best, each word taken to last by its
//! characters. Where a voice leaves no quiet between two words, their border is where the characters put it, between the
//! quiet places around them. All this is done once, when a reply is cut.

use std::{iter::once, ops::Range};

use crate::g711;

/// 1 ms, so that a voice that falls silent for no more than that between two words is noticed.
const WINDOW_SAMPLES: usize = 8;
/// Quieter than this part of the sentence's mean power is quiet: 19 dB below it.
const QUIET: f32 = 0.0125;
/// Quiet places looked at, the longest of them; what is beyond is the rustle of a bad voice.
const PAUSES_MAX: usize = 64;
/// A short word takes longer than its letters: each is counted as so many characters more.
const WORD_CHARS: usize = 2;
/// What a border without a pause costs, beside words of a wrong length: as much as one word that lasts 3.2 times as long
/// as it should.
const UNMARKED: f32 = 1.5;

/// What a character takes where nothing is known of a voice: 65 ms.
const SAMPLES_PER_CHAR: usize = 520;

/// How much of `text` lies in the first `played` samples, its words ending at `ends`: words whose end was played.
pub(super) fn before<'t>(text: &'t str, ends: &[f32], played: u64) -> &'t str {
    let heard = ends.iter().take_while(|end| **end <= played as f32).count();
    let last = heard.checked_sub(1).and_then(|last| words(text).into_iter().nth(last));
    last.map_or("", |word| &text[..word.bytes])
}

/// Where each word of `text` ends in its audio, samples.
pub(super) fn ends(text: &str, audio: &[u8]) -> Vec<f32> {
    fit(&words(text), audio)
}

/// Where each word of `text` is likely to end, of which only the first `there` samples are known.
pub(super) fn likely_ends(text: &str, there: usize) -> Vec<f32> {
    let words = words(text);
    let chars = words.last().map_or(0, |last| last.chars);
    let whole = there.max(chars * SAMPLES_PER_CHAR) as f32;
    words.iter().map(|word| whole * word.chars as f32 / chars as f32).collect()
}

/// Where a word ends: in the text, and in characters that take time.
struct Word {
    bytes: usize,
    chars: usize,
}

fn words(text: &str) -> Vec<Word> {
    let (mut bytes, mut chars) = (0, 0);
    let word = |word: &str| {
        let begins = bytes + text[bytes..].find(word).unwrap_or_default();
        bytes = begins + word.len();
        chars += word.chars().count() + WORD_CHARS;
        Word { bytes, chars }
    };
    text.split_whitespace().map(word).collect()
}

/// The best way to have so many words end at a place.
#[derive(Clone, Copy)]
struct Fit {
    cost: f32,
    /// The words and the place before.
    from: (usize, usize),
}

/// Where each word ends in `audio`, samples.
fn fit(words: &[Word], audio: &[u8]) -> Vec<f32> {
    let (speech, pauses) = pauses(audio);
    let chars = |word: usize| word.checked_sub(1).map_or(0, |last| words[last].chars) as f32;
    let sounds = speech.len() - pauses.iter().map(Range::len).sum::<usize>();
    let per_char = sounds as f32 / chars(words.len()).max(1.0);
    // A place is where speech stops and where it goes on.
    let places: Vec<Range<usize>> = once(speech.start..speech.start)
        .chain(pauses)
        .chain(once(speech.end..speech.end))
        .collect();
    let last = places.len() - 1;
    let unreached = Fit { cost: f32::INFINITY, from: (0, 0) };
    let mut fits = vec![vec![unreached; places.len()]; words.len() + 1];
    fits[0][0].cost = 0.0;
    for to in 1..places.len() {
        for word in 1..=words.len() {
            // Only the end of speech ends the last word, and no other does.
            if (to == last) != (word == words.len()) {
                continue;
            }
            let mut best = unreached;
            for from in 0..to {
                let lasts = places[to].start.saturating_sub(places[from].end).max(1) as f32;
                for (before, fits) in fits.iter().enumerate().take(word) {
                    let due = (chars(word) - chars(before)) * per_char;
                    let misfit = lasts / due + due / lasts - 2.0;
                    let unmarked = (word - before - 1) as f32 * UNMARKED;
                    let cost = fits[from].cost + misfit + unmarked;
                    if cost < best.cost {
                        best = Fit { cost, from: (before, from) };
                    }
                }
            }
            fits[word][to] = best;
        }
    }
    let mut ends = vec![0.0; words.len()];
    let (mut word, mut to) = (words.len(), last);
    while word > 0 {
        let (before, from) = fits[word][to].from;
        let (begins, stops) = (places[from].end as f32, places[to].start as f32);
        for (inner, end) in ends.iter_mut().enumerate().take(word).skip(before) {
            let share = (chars(inner + 1) - chars(before)) / (chars(word) - chars(before));
            *end = begins + share * (stops - begins);
        }
        (word, to) = (before, from);
    }
    ends
}

/// Where speech begins and ends, and the quiet places within it.
fn pauses(audio: &[u8]) -> (Range<usize>, Vec<Range<usize>>) {
    let power: Vec<f32> = audio
        .chunks(WINDOW_SAMPLES)
        .map(|window| {
            let squares = window.iter().map(|code| f32::from(g711::decode(*code)).powi(2));
            squares.sum::<f32>() / window.len() as f32
        })
        .collect();
    let quiet = QUIET * power.iter().sum::<f32>() / power.len().max(1) as f32;
    let mut found: Vec<Range<usize>> = Vec::new();
    for (window, power) in power.iter().enumerate() {
        let at = window * WINDOW_SAMPLES..((window + 1) * WINDOW_SAMPLES).min(audio.len());
        match found.last_mut() {
            _ if *power > quiet => {}
            Some(last) if last.end == at.start => last.end = at.end,
            _ => found.push(at),
        }
    }
    let mut speech = 0..audio.len();
    found.retain(|pause| {
        if pause.start == 0 {
            speech.start = pause.end;
        } else if pause.end == audio.len() {
            speech.end = pause.start;
        } else {
            return true;
        }
        false
    });
    if speech.is_empty() {
        return (0..audio.len(), Vec::new());
    }
    if found.len() > PAUSES_MAX {
        found.sort_by_key(|pause| std::cmp::Reverse(pause.len()));
        found.truncate(PAUSES_MAX);
        found.sort_by_key(|pause| pause.start);
    }
    (speech, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard<'t>(text: &'t str, audio: &[u8], played: u64) -> &'t str {
        let text = text.trim();
        before(text, &ends(text, audio), played)
    }

    /// A sound of `ms`, then quiet of `pause_ms`.
    fn word(ms: usize, pause_ms: usize) -> Vec<u8> {
        let sound = (0..ms * 8).map(|n| g711::encode(if n % 16 < 8 { 6_000 } else { -6_000 }));
        sound.chain(vec![g711::SILENCE; pause_ms * 8]).collect()
    }

    fn at_ms<'t>(text: &'t str, audio: &[u8], ms: usize) -> &'t str {
        heard(text, audio, ms as u64 * 8)
    }

    #[test]
    fn words_are_heard_whole_or_not_at_all() {
        let text = " Yes, at ten o'clock. ";
        let audio = [0x20; 100];
        for (played, said) in [
            (0, ""),
            (23, ""),
            (24, "Yes,"),
            (39, "Yes,"),
            (40, "Yes, at"),
            (61, "Yes, at ten"),
            (99, "Yes, at ten"),
            (100, "Yes, at ten o'clock."),
        ] {
            assert_eq!(heard(text, &audio, played), said, "{played} of 100");
        }
        assert_eq!(heard("für  Überraschung", &audio[..19], 5), "für");
        assert_eq!(heard("", &audio, 5), "");
    }

    #[test]
    fn a_pause_tells_where_a_word_ends_whatever_its_length() {
        // The short word takes as long as the long one.
        let audio = [word(400, 2), word(400, 2), word(400, 0)].concat();
        for (ms, said) in [(398, ""), (401, "I"), (800, "I"), (803, "I understand")] {
            assert_eq!(at_ms("I understand you", &audio, ms), said, "{ms} ms");
        }
    }

    #[test]
    fn a_pause_within_a_word_ends_none() {
        // "ten o'clock", with the closure of a "t" and of two "k".
        let audio = [word(150, 60), word(180, 40), word(180, 50), word(60, 0)].concat();
        for (ms, said) in [(149, ""), (155, "ten"), (340, "ten"), (600, "ten")] {
            assert_eq!(at_ms("ten o'clock", &audio, ms), said, "{ms} ms");
        }
    }

    #[test]
    fn between_two_pauses_the_characters_tell() {
        let audio = [word(1_000, 300), word(500, 0)].concat();
        let text = "abcd efgh, ijkl";
        for (ms, said) in [
            (450, ""),
            (470, "abcd"),
            (990, "abcd"),
            (1_001, "abcd efgh,"),
            (1_299, "abcd efgh,"),
            (1_790, "abcd efgh,"),
        ] {
            assert_eq!(at_ms(text, &audio, ms), said, "{ms} ms");
        }
    }

    #[test]
    fn quiet_before_and_after_the_words_counts_for_none() {
        let lead = vec![g711::SILENCE; 4_000];
        let audio = [lead.clone(), word(300, 0), word(300, 0), lead].concat();
        for (ms, said) in [(790, ""), (801, "abc"), (1_099, "abc"), (1_101, "abc def")] {
            assert_eq!(at_ms("abc def", &audio, ms), said, "{ms} ms");
        }
    }

    #[test]
    fn silence_and_endless_rustle_are_taken_in() {
        assert_eq!(heard("abc def", &[g711::SILENCE; 80], 60), "abc");
        let rustle = word(2, 2).repeat(2_000);
        let text = "word ".repeat(60);
        assert!(heard(&text, &rustle, 30_000).len() < text.len());
    }
}
