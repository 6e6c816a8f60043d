//! G.711 mu-law (PROTOCOLS 8).
//!
//! A byte on the wire is the complemented code: [`SILENCE`] is +0, `0x7F` is −0. Encoding follows the ITU's reference
//! (variant (a)), bit for bit; it differs from the Sun variant at 127 negative decision boundaries.

/// The code of digital silence.
pub const SILENCE: u8 = 0xFF;

/// Samples per second, the only rate of the telephone.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

const DECODED: [i16; 256] = decode_table();

/// The sample that `code` stands for.
#[inline]
pub fn decode(code: u8) -> i16 {
    DECODED[usize::from(code)]
}

/// The code nearest to `sample`.
#[inline]
pub fn encode(sample: i16) -> u8 {
    // The reference takes 14 bits, and the one's complement of a negative sample.
    let negative = sample < 0;
    let wide = i32::from(if negative { !sample } else { sample });
    let magnitude = ((wide >> 2) + 33).min(0x1FFF) as u32;
    // 33..=0x1FFF has its leading one in bits 5 to 12: the segment.
    let segment = 26 - magnitude.leading_zeros();
    let step = (magnitude >> (segment + 1)) & 0x0F;
    let sign = if negative { 0x80 } else { 0x00 };
    !(sign | (segment << 4) | step) as u8
}

const fn decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let plain = !(code as u8);
        let exponent = (plain >> 4) & 7;
        let step = (plain & 0x0F) as i32;
        let magnitude = ((2 * step + 33) << (exponent + 2)) - 132;
        table[code] = if code < 0x80 { -magnitude } else { magnitude } as i16;
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn every_sample_encodes_as_the_reference_does() {
        let codes: Vec<u8> = (i16::MIN..=i16::MAX).map(encode).collect();
        assert_eq!(
            hex::encode(Sha256::digest(&codes)),
            "90c29de505fb68e766118303bd552a16005dcf810873698bee1d8f3b247ce28c"
        );
    }

    #[test]
    fn every_code_decodes_as_the_reference_does() {
        let samples: Vec<u8> = (0..=255).flat_map(|u| decode(u).to_le_bytes()).collect();
        assert_eq!(
            hex::encode(Sha256::digest(&samples)),
            "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827"
        );
    }

    #[test]
    fn samples_code_as_in_the_published_table() {
        for (sample, code, decoded) in [
            (0, 0xFF, 0),
            (4, 0xFE, 8),
            (100, 0xF2, 104),
            (-4, 0x7F, 0),
            (-5, 0x7E, -8),
            (-100, 0x73, -96),
            (1000, 0xCE, 988),
            (-1000, 0x4E, -988),
            (8031, 0xA0, 7932),
            (32767, 0x80, 32124),
            (-32768, 0x00, -32124),
        ] {
            assert_eq!(encode(sample), code, "encode({sample})");
            assert_eq!(decode(code), decoded, "decode({code:#04x})");
        }
    }

    #[test]
    fn a_code_survives_decoding_and_encoding() {
        for code in (0..=255).filter(|code| *code != 0x7F) {
            assert_eq!(encode(decode(code)), code);
        }
        assert_eq!(encode(decode(0x7F)), SILENCE, "the two zeroes become one");
    }
}
