//! Inputs made of others, blindly: no coverage is followed, so the kept corpus is what gives them depth.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

/// The longest input made. The parsers' own limits lie below or near it.
const LONGEST_BYTES: usize = 16 * 1024;
/// Changes to one input at most.
const CHANGES: usize = 8;
/// What breaks parsers of text, numbers and lengths.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"9223372036854775807",
    b"%",
    b"%00",
    b"%ff",
    b"&",
    b"=",
    b"+",
    b"\r\n",
    b"\n\n",
    b"data:",
    b"<",
    b"/>",
    b"&amp;",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\0",
    b"====",
    b".",
];

/// Makes inputs. The same seed makes the same ones.
pub struct Mutator(StdRng);

impl Mutator {
    /// A mutator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// An input made of those in `corpus`.
    pub fn next(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus.choose(&mut self.0).cloned().unwrap_or_default();
        for _ in 0..self.0.random_range(1..=CHANGES) {
            self.change(&mut input, corpus);
        }
        input.truncate(LONGEST_BYTES);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let rng = &mut self.0;
        let at = rng.random_range(0..=input.len());
        let end = rng.random_range(at..=input.len().min(at + 64));
        match rng.random_range(0..7) {
            0 => drop(input.drain(at..end)),
            1 => {
                let token = TOKENS.choose(rng).copied().unwrap_or_default();
                input.splice(at..at, token.iter().copied());
            }
            2 => {
                let token = TOKENS.choose(rng).copied().unwrap_or_default();
                input.splice(at..end, token.iter().copied());
            }
            3 => {
                let copy = input[at..end].to_vec();
                let times = rng.random_range(1..=16);
                input.splice(at..at, copy.repeat(times));
            }
            4 => {
                let other = corpus.choose(rng).map_or(&[][..], Vec::as_slice);
                let from = rng.random_range(0..=other.len());
                input.splice(at.., other[from..].iter().copied());
            }
            5 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = rng.random();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_makes_the_same_inputs_again_and_all_kinds_of_them() {
        let corpus = vec![b"{\"event\":\"media\"}".to_vec(), Vec::new()];
        let (mut one, mut other) = (Mutator::new(7), Mutator::new(7));
        let inputs: Vec<_> = (0..1000).map(|_| one.next(&corpus)).collect();
        assert!(inputs.iter().all(|input| *input == other.next(&corpus)));
        let distinct: std::collections::HashSet<_> = inputs.iter().collect();
        assert!(distinct.len() > 500, "{}", distinct.len());
    }
}
