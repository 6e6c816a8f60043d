//! 16-bit samples, little-endian, as vendors without mu-law take and give them.

use bytes::Bytes;
use domain::g711;

/// Mu-law as 16-bit samples.
pub fn from_mulaw(audio: &[u8]) -> Vec<u8> {
    audio.iter().flat_map(|code| g711::decode(*code).to_le_bytes()).collect()
}

/// Encodes pieces as mu-law that are cut anywhere. An odd byte at the very end is no sample.
#[derive(Default)]
pub struct MuLawEncoder {
    /// The low byte of a sample whose high byte is in the next piece.
    odd_byte: Option<u8>,
}

impl MuLawEncoder {
    /// Takes a piece, and gives the code of each sample that is whole by then.
    pub fn encode(&mut self, piece: &[u8]) -> Bytes {
        let mut bytes = self.odd_byte.take().into_iter().chain(piece.iter().copied());
        let mut codes = Vec::with_capacity(piece.len().div_ceil(2));
        while let Some(low) = bytes.next() {
            match bytes.next() {
                Some(high) => codes.push(g711::encode(i16::from_le_bytes([low, high]))),
                None => self.odd_byte = Some(low),
            }
        }
        codes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_the_same_codes_however_they_are_cut() {
        let codes: Vec<u8> = (0..=255).filter(|code| *code != 0x7F).collect();
        let pcm = from_mulaw(&codes);
        for piece in [1, 2, 7, pcm.len()] {
            let mut encoder = MuLawEncoder::default();
            let again: Vec<u8> = pcm.chunks(piece).flat_map(|p| encoder.encode(p)).collect();
            assert_eq!(again, codes);
        }
    }
}
