//! What the caller's own ear recorded.

use domain::g711;

use crate::audio::TELEPHONE_HZ;

/// Two tracks of mu-law that begin with the answer and never lack a frame.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// What the caller sent.
    pub said: Vec<u8>,
    /// What the caller heard.
    pub heard: Vec<u8>,
}

impl Recording {
    /// A stereo WAV file, 16-bit PCM: left is what was said, right what was heard.
    pub fn wav(&self) -> Vec<u8> {
        let frames = self.said.len().max(self.heard.len());
        let data_bytes = (frames * 4) as u32;
        let mut file = Vec::with_capacity(44 + frames * 4);
        file.extend(b"RIFF");
        file.extend((36 + data_bytes).to_le_bytes());
        file.extend(b"WAVEfmt ");
        file.extend(16_u32.to_le_bytes());
        file.extend(1_u16.to_le_bytes());
        file.extend(2_u16.to_le_bytes());
        file.extend(TELEPHONE_HZ.to_le_bytes());
        file.extend((TELEPHONE_HZ * 4).to_le_bytes());
        file.extend(4_u16.to_le_bytes());
        file.extend(16_u16.to_le_bytes());
        file.extend(b"data");
        file.extend(data_bytes.to_le_bytes());
        for frame in 0..frames {
            for track in [&self.said, &self.heard] {
                let code = track.get(frame).copied().unwrap_or(g711::SILENCE);
                file.extend(g711::decode(code).to_le_bytes());
            }
        }
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{read_wav, write_mulaw};

    #[test]
    fn the_caller_is_on_the_left_sample_by_sample() {
        // 0x7F, minus zero, reads back as 0xFF and is left out.
        let said: Vec<u8> = (0..=255).filter(|code| *code != 0x7F).collect();
        let file = Recording { said: said.clone(), heard: vec![1; 10] }.wav();
        assert_eq!(file.len(), 44 + said.len() * 4);
        let left = read_wav(&file).expect("a WAV file");
        assert_eq!((left.rate_hz, write_mulaw(&left.samples)), (8000, said));
    }
}
