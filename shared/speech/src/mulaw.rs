//! G.711 mu-law, the ITU variant (PROTOCOLS 8).

/// What one code sounds as.
pub const fn decode(code: u8) -> i16 {
    let m = !code;
    let segment = (m >> 4) & 7;
    let step = (m & 15) as i16;
    let magnitude = ((2 * step + 33) << (segment + 2)) - 132;
    if code < 0x80 { -magnitude } else { magnitude }
}

/// The code of a sample.
pub const fn encode(sample: i16) -> u8 {
    let fourteen_bit = if sample < 0 { !sample >> 2 } else { sample >> 2 };
    let biased = fourteen_bit + 33;
    let biased = if biased > 0x1FFF { 0x1FFF } else { biased };
    // The bias sees to it that bit 5 or a higher one is set; the highest is the segment.
    let segment = biased.ilog2() - 5;
    let step = (biased >> (segment + 1)) as u8 & 15;
    let sign = if sample < 0 { 0 } else { 0x80 };
    sign | (!(((segment as u8) << 4) | step) & 0x7F)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn every_code_decodes_as_the_itu_reference_does() {
        let table: Vec<u8> = (0..=255).flat_map(|u| decode(u).to_le_bytes()).collect();
        assert_eq!(
            hex::encode(Sha256::digest(table)),
            "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827"
        );
    }

    #[test]
    fn every_sample_encodes_as_the_itu_reference_does() {
        let codes: Vec<u8> = (i16::MIN..=i16::MAX).map(encode).collect();
        assert_eq!(
            hex::encode(Sha256::digest(codes)),
            "90c29de505fb68e766118303bd552a16005dcf810873698bee1d8f3b247ce28c"
        );
    }
}
