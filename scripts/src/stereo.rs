//! Recordings of calls, and what can be understood in them: from the audio itself, for the modem voice's words tell where
//! they lie.

use std::ops::Range;

use anyhow::{Context as _, ensure};
use simulator::modem::{self, Decoded, Word};

/// How far two recordings of one call may be apart (DESIGN 8), samples at 8 kHz: 20 ms.
pub const APART_SAMPLES: u64 = 160;
const RATE_HZ: u32 = 8000;
/// The same word in two recordings is no further apart than this, or it is another.
const NEAR_SAMPLES: u64 = RATE_HZ as u64 / 2;

/// What a stereo recording says: left the caller, right the agent.
pub struct Stereo {
    /// The caller's side.
    pub caller: Decoded,
    /// The agent's side.
    pub agent: Decoded,
    /// Its length.
    pub samples: usize,
}

impl Stereo {
    /// Reads a WAV file, 16-bit PCM at 8 kHz, and decodes both sides of it.
    ///
    /// # Errors
    /// When it is not such a file.
    pub fn decode(wav: &[u8]) -> anyhow::Result<Self> {
        let data = samples(wav)?;
        let side = |channel: usize| -> Vec<i16> {
            let samples = data.chunks_exact(4).map(|frame| &frame[2 * channel..][..2]);
            samples.map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]])).collect()
        };
        Ok(Self {
            caller: modem::decode(&side(0)),
            agent: modem::decode(&side(1)),
            samples: data.len() / 4,
        })
    }

    /// How far the same words lie apart in this recording and `other`, samples, but for where the two begin: nobody
    /// knows when the other one was switched on.
    ///
    /// # Errors
    /// When they have not the same words.
    pub fn apart_samples(&self, other: &Self) -> anyhow::Result<u64> {
        self.apart_samples_but_for(other, 0..0)
    }

    /// The same, though what `other` has in this stretch of it may be missing here.
    ///
    /// # Errors
    /// When they have not the same words elsewhere.
    pub fn apart_samples_but_for(&self, other: &Self, lost: Range<u64>) -> anyhow::Result<u64> {
        let mut apart: Vec<i64> = Vec::new();
        for (ours, theirs) in [(&self.caller, &other.caller), (&self.agent, &other.agent)] {
            let mut words = ours.words.iter().peekable();
            for word in &theirs.words {
                let may_miss = word.span.start < lost.end && lost.start < word.span.end;
                let begins = word.span.start as i64;
                // One of the same text that is said later is another.
                let is_it = |found: &&Word| {
                    let by = found.span.start as i64 - begins;
                    found.text == word.text
                        && !(may_miss
                            && apart.first().is_some_and(|a| by.abs_diff(*a) > NEAR_SAMPLES))
                };
                match words.next_if(is_it) {
                    Some(found) => apart.push(found.span.start as i64 - begins),
                    None => ensure!(
                        may_miss,
                        "{:?} at {begins}: {} and {}",
                        word.text,
                        ours.text(),
                        theirs.text()
                    ),
                }
            }
            ensure!(words.next().is_none(), "{} and {}", ours.text(), theirs.text());
        }
        let (most, least) = (apart.iter().max(), apart.iter().min());
        Ok(most.zip(least).map_or(0, |(most, least)| most.abs_diff(*least)))
    }

    /// How long each answer was waited for, samples: from the end of the caller's last word to the agent's next.
    pub fn waits_samples(&self) -> Vec<u64> {
        let ends = self.caller.words.iter().map(|word| word.span.end);
        let starts: Vec<u64> = self.agent.words.iter().map(|word| word.span.start).collect();
        let mut waits: Vec<(u64, u64)> = Vec::new();
        for end in ends {
            let Some(start) = starts.iter().copied().find(|start| *start >= end) else { continue };
            // Of several words before one answer the last counts.
            waits.retain(|(answer, _)| *answer != start);
            waits.push((start, start - end));
        }
        waits.into_iter().map(|(_, wait)| wait).collect()
    }
}

fn samples(wav: &[u8]) -> anyhow::Result<&[u8]> {
    let number = |at: usize| -> anyhow::Result<u32> {
        let bytes = wav.get(at..at + 4).context("the file ends early")?;
        Ok(u32::from_le_bytes(bytes.try_into().context("read a number")?))
    };
    ensure!(wav.get(..4) == Some(b"RIFF") && wav.get(8..16) == Some(b"WAVEfmt "), "no WAV file");
    // Format 1 is PCM; the number of channels is the upper half.
    ensure!(number(20)? == 1 | 2 << 16 && number(24)? == RATE_HZ, "not PCM, stereo, 8 kHz");
    let mut at = 12;
    loop {
        let len = number(at + 4)? as usize;
        if &wav[at..at + 4] == b"data" {
            return wav.get(at + 8..at + 8 + len).context("the file ends early");
        }
        at += 8 + len + len % 2;
    }
}

#[cfg(test)]
mod tests {
    use simulator::audio::write_wav;

    use super::*;

    /// A call in which the agent answers so many samples after the caller.
    fn recorded(began: usize, waited: usize) -> Stereo {
        let (caller, agent) = (modem::encode("hello there"), modem::encode("good day"));
        let mut frames = vec![[0_i16; 2]; began + caller.len() + waited + agent.len() + 100];
        for (n, sample) in caller.iter().enumerate() {
            frames[began + n][0] = *sample;
        }
        for (n, sample) in agent.iter().enumerate() {
            frames[began + caller.len() + waited + n][1] = *sample;
        }
        let data: Vec<u8> = frames.iter().flatten().flat_map(|s| s.to_le_bytes()).collect();
        let mut wav = write_wav(&data, RATE_HZ, false);
        wav[22] = 2;
        Stereo::decode(&wav).unwrap()
    }

    #[test]
    fn a_wait_is_read_from_the_sound_and_two_recordings_are_compared_but_for_their_beginning() {
        let (ear, early) = (recorded(4000, 6000), recorded(1000, 6000));
        let [wait] = ear.waits_samples()[..] else { panic!("one answer") };
        assert!(wait.abs_diff(6000) <= 80, "{wait}");
        assert!(ear.apart_samples(&early).unwrap() <= 8);
        let apart = ear.apart_samples(&recorded(4000, 6240)).unwrap();
        assert!(apart.abs_diff(240) <= 8, "{apart}");
    }

    #[test]
    fn words_may_be_missing_where_they_may_be_lost_and_nowhere_else() {
        let ear = recorded(4000, 6000);
        let mut kept = recorded(1000, 6000);
        let lost = ear.agent.words[0].span.clone();
        kept.agent.words.remove(0);
        assert!(kept.apart_samples(&ear).is_err());
        assert!(kept.apart_samples_but_for(&ear, lost.clone()).unwrap() <= 8);
        kept.agent.words.remove(0);
        assert!(kept.apart_samples_but_for(&ear, lost).is_err());
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        for wav in [&b""[..], b"RIFF....WAVEfmt ", b"OggS and so on and on and on and on and on"] {
            assert!(Stereo::decode(wav).is_err());
        }
    }
}
