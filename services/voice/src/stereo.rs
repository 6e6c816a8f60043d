//! A stereo file made of pieces, each where it lies in the call.

use bytes::Bytes;
use domain::g711;
use speech::{SAMPLE_RATE_HZ, wav};

/// A third more than the longest call (B4). It bounds what is held in memory: 77 MB.
const LONGEST_SAMPLES: u64 = 40 * 60 * SAMPLE_RATE_HZ as u64;

/// A call comes back within seconds, from a transfer that nobody took within a minute or two. What claims to lie further
/// behind the piece before it has another clock.
const LONGEST_GAP_SAMPLES: u64 = 10 * 60 * SAMPLE_RATE_HZ as u64;

/// So long a task may go on with a call that is elsewhere already (a stream is dead after 10 s). What claims to lie
/// further back has another clock.
const LONGEST_OVERLAP_SAMPLES: u64 = 15 * SAMPLE_RATE_HZ as u64;

const CHANNELS: u16 = 2;
/// One sample of both sides, in 16 bits each.
const FRAME_BYTES: usize = 4;

/// A stretch of a call, mu-law.
pub(crate) struct Piece {
    /// Where it lies in the call, samples; behind the piece before it where that is not known.
    pub(crate) at: Option<u64>,
    /// Where recording was paused in it, samples.
    pub(crate) paused: Vec<(u64, u64)>,
    pub(crate) caller: Bytes,
    pub(crate) agent: Bytes,
}

/// Longer than any call.
#[derive(Debug, thiserror::Error)]
#[error("the recording is longer than any call")]
pub(crate) struct TooLong;

/// A file in the making.
pub(crate) struct Stereo {
    file: Vec<u8>,
    paused: Vec<(u64, u64)>,
}

impl Default for Stereo {
    fn default() -> Self {
        // Room for the header, which tells the length.
        Self { file: vec![0; wav::PCM16_HEADER_BYTES], paused: Vec::new() }
    }
}

impl Stereo {
    /// Samples of each side in a file of so many bytes.
    pub(crate) fn samples_in(bytes: u64) -> u64 {
        bytes.saturating_sub(wav::PCM16_HEADER_BYTES as u64) / FRAME_BYTES as u64
    }

    /// Adds the piece that follows. What is not known before it is silence; what was there of its time was recorded where
    /// the call was before, and gives way.
    pub(crate) fn add(&mut self, piece: &Piece) -> Result<(), TooLong> {
        let len = self.samples();
        let plausible = |at: &u64| {
            *at <= len + LONGEST_GAP_SAMPLES && at.saturating_add(LONGEST_OVERLAP_SAMPLES) >= len
        };
        let at = piece.at.filter(plausible).unwrap_or(len);
        if at + piece.caller.len().max(piece.agent.len()) as u64 > LONGEST_SAMPLES {
            return Err(TooLong);
        }
        self.file.resize(wav::PCM16_HEADER_BYTES + at as usize * FRAME_BYTES, 0);
        self.paused.retain_mut(|(from, to)| {
            *to = at.min(*to);
            from < to
        });
        for (from, to) in &piece.paused {
            let (from, to) = (at.saturating_add(*from), at.saturating_add(*to));
            match self.paused.last_mut().filter(|(_, before)| *before == from) {
                Some((_, before)) => *before = to,
                None => self.paused.push((from, to)),
            }
        }
        self.interleave(&piece.caller, &piece.agent);
        Ok(())
    }

    /// The file, and where recording was paused, in samples.
    pub(crate) fn finish(mut self) -> (Vec<u8>, Vec<(u64, u64)>) {
        let data_bytes = (self.file.len() - wav::PCM16_HEADER_BYTES) as u32;
        let header = wav::pcm16_header(CHANNELS, SAMPLE_RATE_HZ, data_bytes);
        self.file[..wav::PCM16_HEADER_BYTES].copy_from_slice(&header);
        (self.file, self.paused)
    }

    fn samples(&self) -> u64 {
        Self::samples_in(self.file.len() as u64)
    }

    /// Appends both sides. One that is shorter is silent at its end, so that the next piece begins at the same moment on
    /// both.
    fn interleave(&mut self, caller: &[u8], agent: &[u8]) {
        const SILENCE: u8 = 0xFF;
        let frames = caller.len().max(agent.len());
        self.file.reserve(frames * FRAME_BYTES);
        for at in 0..frames {
            for side in [caller, agent] {
                let code = side.get(at).copied().unwrap_or(SILENCE);
                self.file.extend_from_slice(&g711::decode(code).to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: i16 = 32_124;

    fn piece(at: Option<u64>, samples: usize) -> Piece {
        let side = Bytes::from(vec![0x80; samples]);
        Piece { at, paused: Vec::new(), caller: side.clone(), agent: side }
    }

    /// Each stretch of the left side that is alike: its sample, and how long it is.
    fn stretches(stereo: Stereo) -> Vec<(i16, usize)> {
        let (file, _) = stereo.finish();
        let frames = file[wav::PCM16_HEADER_BYTES..].chunks_exact(FRAME_BYTES);
        let left: Vec<i16> = frames.map(|f| i16::from_le_bytes([f[0], f[1]])).collect();
        left.chunk_by(|a, b| a == b).map(|stretch| (stretch[0], stretch.len())).collect()
    }

    #[test]
    fn a_short_side_is_filled_up_so_that_the_sides_stay_together() {
        let mut stereo = Stereo::default();
        let (caller, agent) = (Bytes::from_static(&[0x80, 0x80]), Bytes::from_static(&[0x00]));
        stereo.add(&Piece { at: None, paused: Vec::new(), caller, agent }).unwrap();
        let (file, _) = stereo.finish();
        let data = file[wav::PCM16_HEADER_BYTES..].chunks_exact(2);
        let samples: Vec<i16> = data.map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
        assert_eq!(samples, [32_124, -32_124, 32_124, 0]);
    }

    #[test]
    fn what_is_not_known_is_silence_and_what_comes_back_stands_where_it_was_said() {
        let mut stereo = Stereo::default();
        stereo.add(&piece(Some(0), 800)).unwrap();
        stereo.add(&piece(Some(2_000), 100)).unwrap();
        stereo.add(&piece(None, 50)).unwrap();
        assert_eq!(stretches(stereo), [(LOUD, 800), (0, 1_200), (LOUD, 150)]);
    }

    #[test]
    fn where_two_tasks_recorded_the_later_one_counts() {
        let mut stereo = Stereo::default();
        let paused = vec![(100, 300), (600, 800)];
        stereo.add(&Piece { paused, ..piece(Some(0), 800) }).unwrap();
        let silent = Bytes::from(vec![0xFF; 900]);
        let (caller, agent) = (silent.clone(), silent);
        stereo.add(&Piece { at: Some(200), paused: Vec::new(), caller, agent }).unwrap();
        assert_eq!(stereo.paused, [(100, 200)]);
        assert_eq!(stretches(stereo), [(LOUD, 200), (0, 900)]);
    }

    #[test]
    fn a_clock_that_is_wrong_moves_nothing() {
        let mut stereo = Stereo::default();
        stereo.add(&piece(Some(0), 20 * 8_000)).unwrap();
        for at in [0, u64::MAX / 2, 30 * 60 * 8_000] {
            stereo.add(&piece(Some(at), 100)).unwrap();
        }
        assert_eq!(stretches(stereo), [(LOUD, 20 * 8_000 + 300)]);
    }

    #[test]
    fn what_is_longer_than_any_call_is_refused() {
        let mut stereo = Stereo::default();
        for minutes in (0..36).step_by(9) {
            stereo.add(&piece(Some(minutes * 60 * 8_000), 100)).unwrap();
        }
        stereo.add(&piece(Some(36 * 60 * 8_000), 3 * 60 * 8_000)).unwrap();
        assert!(stereo.add(&piece(None, 2 * 60 * 8_000)).is_err());
    }
}
