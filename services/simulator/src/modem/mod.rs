//! The modem voice: speech without a model and without cheating (DESIGN 8).
//!
//! Text becomes a vowel-like signal, harmonics of a 125 Hz pitch under two formants inside 300-3400 Hz, and only a
//! signal that arrives whole becomes text again. At 8 kHz:
//!
//! ```text
//! word   = sync sync | header 3 | units 2 each, at most 16 | checksum 3        (symbols)
//! symbol = one of eight vowels, 24 ms; two more vowels are kept for the sync   (3 bits)
//! header = index 3 bits: 0 for the first word of an utterance, then 1 to 7 and round again
//!          units 4 bits: their number less one
//!          joined 1 bit: belongs to the word before, without a space
//!          last 1 bit: ends the utterance
//! ```
//!
//! Words follow each other without a gap, so that voice activity sees one stretch of speech. A pitch period is 64
//! samples and a telephone frame 160, two and a half periods: a frame lost, repeated or out of order turns the phase of
//! every odd harmonic, so the receiver compares what arrived with what the decoded word sounds like, 4 ms at a time, and
//! refuses the word where they differ. The index tells of words lost whole.
//!
//! `decode(encode(text))` gives `text` back, with every run of white space as one space.

mod alphabet;
mod receiver;
mod voice;

pub use receiver::{Decoded, Fault, FaultKind, Receiver, Word, decode};

use crate::modem::voice::{SYNC, render};

/// Samples per second of all modem audio.
pub const SAMPLE_RATE_HZ: u32 = 8000;

/// Symbols of the header, and of the checksum.
const HEADER_SYMBOLS: usize = 3;
const CHECKSUM_SYMBOLS: usize = 3;
/// The most six-bit units in one word; a longer one is sent as joined pieces.
const WORD_UNITS: usize = 16;

/// What a word's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    index: u8,
    units: usize,
    joined: bool,
    last: bool,
}

impl Header {
    fn to_bits(self) -> u16 {
        u16::from(self.index) << 6
            | ((self.units - 1) as u16) << 2
            | u16::from(self.joined) << 1
            | u16::from(self.last)
    }

    fn from_bits(bits: u16) -> Self {
        Self {
            index: (bits >> 6 & 7) as u8,
            units: usize::from(bits >> 2 & 15) + 1,
            joined: bits & 2 != 0,
            last: bits & 1 != 0,
        }
    }
}

/// The index of the word after the one with this index.
fn next_index(index: u8) -> u8 {
    index % 7 + 1
}

/// The speech for a text: 16-bit samples at 8 kHz, without silence around it. Nothing for a text without a word.
pub fn encode(text: &str) -> Vec<i16> {
    encode_at(text, 1.0)
}

/// As [`encode`], at a pace of which 1 is the usual: a slower one pauses after each word but the last.
pub fn encode_at(text: &str, pace: f64) -> Vec<i16> {
    let pieces = alphabet::pieces(text);
    let mut samples = Vec::new();
    let mut index = 0;
    for (place, piece) in pieces.iter().enumerate() {
        let header = Header {
            index,
            units: piece.units.len(),
            joined: piece.joined,
            last: place + 1 == pieces.len(),
        };
        let began = samples.len();
        render(&symbols(header, &piece.units), &mut samples);
        if pace < 1.0 && !header.last {
            let pause = (samples.len() - began) as f64 * (1.0 / pace - 1.0);
            samples.extend(std::iter::repeat_n(0.0, pause as usize));
        }
        index = next_index(index);
    }
    samples.into_iter().map(|sample| sample.round() as i16).collect()
}

/// Every symbol of a word, the sync included.
fn symbols(header: Header, units: &[u8]) -> Vec<u8> {
    let bits = header.to_bits();
    let mut values = octal(bits);
    values.extend(units.iter().flat_map(|unit| [unit >> 3, unit & 7]));
    values.extend(octal(checksum(bits, units)));
    let scrambled = values.into_iter().enumerate().map(|(place, value)| scramble(place, value));
    SYNC.into_iter().chain(scrambled).collect()
}

/// Nine bits as three symbols.
fn octal(bits: u16) -> Vec<u8> {
    vec![(bits >> 6 & 7) as u8, (bits >> 3 & 7) as u8, (bits & 7) as u8]
}

/// A vowel depends on its place as well, so that no text holds one vowel for long: speech does not.
fn scramble(place: usize, value: u8) -> u8 {
    ((usize::from(value) + place) % 8) as u8
}

fn unscramble(place: usize, vowel: u8) -> u8 {
    ((usize::from(vowel) + 8 - place % 8) % 8) as u8
}

/// A nine-bit cyclic redundancy check (x^9 + x^4 + 1) of the header and the units.
fn checksum(header: u16, units: &[u8]) -> u16 {
    let header_bits = (0..9).rev().map(|bit| header >> bit & 1);
    let unit_bits =
        units.iter().flat_map(|unit| (0..6).rev().map(move |bit| u16::from(unit >> bit & 1)));
    header_bits.chain(unit_bits).fold(0x1ff, |register, bit| {
        let carry = register >> 8 & 1 ^ bit;
        (register << 1 & 0x1ff) ^ if carry == 1 { 0x011 } else { 0 }
    })
}

#[cfg(test)]
mod tests;
