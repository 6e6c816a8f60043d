//! The header of a WAV file with 16-bit PCM: the one form every player and library reads.

/// Bytes of [`pcm16_header`].
pub const PCM16_HEADER_BYTES: usize = 44;

/// The header before `data_bytes` of little-endian 16-bit samples, interleaved by channel.
pub fn pcm16_header(channels: u16, rate_hz: u32, data_bytes: u32) -> [u8; PCM16_HEADER_BYTES] {
    const PCM: u16 = 1;
    const BITS: u16 = 16;
    let frame_bytes = channels * (BITS / 8);
    let mut header = [0; PCM16_HEADER_BYTES];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&(data_bytes + 36).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16_u32.to_le_bytes());
    put(&PCM.to_le_bytes());
    put(&channels.to_le_bytes());
    put(&rate_hz.to_le_bytes());
    put(&(rate_hz * u32::from(frame_bytes)).to_le_bytes());
    put(&frame_bytes.to_le_bytes());
    put(&BITS.to_le_bytes());
    put(b"data");
    put(&data_bytes.to_le_bytes());
    header
}
