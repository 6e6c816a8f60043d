//! Recordings, and what can be understood in them.

use simulator::modem::{self, Decoded};

/// How far two recordings of one call may be apart (DESIGN 8), samples at 8 kHz: 20 ms.
pub const APART_SAMPLES: u64 = 160;

/// What a stereo recording says: left the caller, right the agent.
pub struct Stereo {
    pub caller: Decoded,
    pub agent: Decoded,
    pub samples: usize,
}

impl Stereo {
    /// Reads a WAV file, 16-bit PCM at 8 kHz, and decodes both sides of it.
    pub fn decode(wav: &[u8]) -> Self {
        let data = samples(wav);
        let side = |channel: usize| -> Vec<i16> {
            let samples = data.chunks_exact(4).map(|frame| &frame[2 * channel..][..2]);
            samples.map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]])).collect()
        };
        Self {
            caller: modem::decode(&side(0)),
            agent: modem::decode(&side(1)),
            samples: data.len() / 4,
        }
    }

    /// Asserts that this recording has the same words at the same times as `other`, but for where they begin: nobody
    /// knows when the other one was switched on.
    pub fn assert_agrees_with(&self, other: &Self) {
        let words = |of: &Self| -> Vec<(String, u64)> {
            let words = of.caller.words.iter().chain(&of.agent.words);
            words.map(|word| (word.text.clone(), word.span.start)).collect()
        };
        let (ours, theirs) = (words(self), words(other));
        let texts = |words: &[(String, u64)]| -> Vec<String> {
            words.iter().map(|(text, _)| text.clone()).collect()
        };
        assert_eq!(texts(&ours), texts(&theirs));
        let apart: Vec<i64> =
            ours.iter().zip(&theirs).map(|((_, a), (_, b))| *a as i64 - *b as i64).collect();
        let spread = apart.iter().max().unwrap().abs_diff(*apart.iter().min().unwrap());
        assert!(spread <= APART_SAMPLES, "{spread} samples: {apart:?}");
    }
}

fn samples(wav: &[u8]) -> &[u8] {
    assert_eq!((&wav[..4], &wav[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
    let format: [u16; 2] = [20, 22].map(|at| u16::from_le_bytes([wav[at], wav[at + 1]]));
    let rate_hz = u32::from_le_bytes(wav[24..28].try_into().unwrap());
    assert_eq!((format, rate_hz), ([1, 2], 8000), "16-bit PCM, two channels, 8 kHz");
    let mut at = 12;
    loop {
        let len = u32::from_le_bytes(wav[at + 4..at + 8].try_into().unwrap()) as usize;
        if &wav[at..at + 4] == b"data" {
            return &wav[at + 8..at + 8 + len];
        }
        at += 8 + len + len % 2;
    }
}
