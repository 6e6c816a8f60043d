//! Audio files and sampling rates.

use std::f64::consts::PI;

use bytes::Bytes;
use domain::g711;
use futures::{Stream, stream};

/// The telephone's rate, at which the simulator keeps all speech, samples a second.
pub const TELEPHONE_HZ: u32 = 8000;

/// PCM of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcm {
    /// Samples a second.
    pub rate_hz: u32,
    /// The samples.
    pub samples: Vec<i16>,
}

/// Why a WAV file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// It is no RIFF/WAVE file, or it ends before its data begin.
    #[error("not a WAV file")]
    NotWav,
    /// Its samples are neither 16-bit PCM nor mu-law.
    #[error("WAV format {0} with {1} bits is not supported")]
    Format(u16, u16),
}

const WAV_PCM: u16 = 1;
const WAV_MULAW: u16 = 7;

/// Reads a WAV file of 16-bit PCM or mu-law; of several channels, the first. A length in the file that is longer than
/// the file, as of one written to a pipe, means up to its end.
///
/// # Errors
/// When the file is something else.
pub fn read_wav(file: &[u8]) -> Result<Pcm, WavError> {
    let number =
        |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
    if file.get(..4) != Some(b"RIFF") || file.get(8..12) != Some(b"WAVE") {
        return Err(WavError::NotWav);
    }
    let mut rest = &file[12..];
    let mut format = None;
    while let Some((head, body)) = rest.split_at_checked(8) {
        let length = number(&head[4..8]) as usize;
        let chunk = &body[..length.min(body.len())];
        match &head[..4] {
            b"fmt " if chunk.len() >= 16 => {
                let short = |at: usize| number(&chunk[at..at + 2]) as u16;
                format =
                    Some((short(0), usize::from(short(2)).max(1), number(&chunk[4..8]), short(14)));
            }
            b"data" => {
                let (code, channels, rate_hz, bits) = format.ok_or(WavError::NotWav)?;
                let samples = match (code, bits) {
                    (WAV_PCM, 16) => read_pcm(chunk).into_iter().step_by(channels).collect(),
                    (WAV_MULAW, 8) => {
                        chunk.iter().step_by(channels).map(|code| g711::decode(*code)).collect()
                    }
                    _ => return Err(WavError::Format(code, bits)),
                };
                return Ok(Pcm { rate_hz, samples });
            }
            _ => {}
        }
        // Chunks begin at even places.
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    Err(WavError::NotWav)
}

/// A WAV file of these bytes, which are 16-bit PCM, or mu-law when `mulaw` is set.
pub fn write_wav(data: &[u8], rate_hz: u32, mulaw: bool) -> Vec<u8> {
    let (code, width) = if mulaw { (WAV_MULAW, 1) } else { (WAV_PCM, 2) };
    let length = data.len() as u32;
    let mut file = Vec::with_capacity(44 + data.len());
    file.extend(b"RIFF");
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(code.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(rate_hz.to_le_bytes());
    file.extend((rate_hz * width).to_le_bytes());
    file.extend((width as u16).to_le_bytes());
    file.extend((8 * width as u16).to_le_bytes());
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    file
}

/// Little-endian 16-bit samples; an odd last byte is left out.
pub fn read_pcm(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// Samples as little-endian bytes.
pub fn write_pcm(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Samples as mu-law.
pub fn write_mulaw(samples: &[i16]) -> Vec<u8> {
    samples.iter().map(|sample| g711::encode(*sample)).collect()
}

/// Mu-law as samples.
pub fn read_mulaw(codes: &[u8]) -> Vec<i16> {
    codes.iter().map(|code| g711::decode(*code)).collect()
}

/// A body as a stream of pieces, as a vendor sends audio while it is made.
pub fn chunks(
    body: Vec<u8>,
    bytes: usize,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> + 'static {
    let mut rest = Bytes::from(body);
    stream::iter(std::iter::from_fn(move || {
        let length = rest.len().min(bytes);
        (length > 0).then(|| Ok(rest.split_to(length)))
    }))
}

/// The filter reaches over this many zero crossings to each side.
const REACH: f64 = 24.0;

/// Brings audio to another rate through a windowed-sinc low-pass below half of the lower one, without delay.
pub fn resample(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    if from_hz == to_hz || from_hz == 0 || to_hz == 0 || samples.is_empty() {
        return samples.to_vec();
    }
    let common = gcd(from_hz, to_hz);
    let (step, phases) = ((from_hz / common) as usize, (to_hz / common) as usize);
    // In cycles per input sample; a little below the limit, for the filter's slope.
    let cutoff = 0.46 * f64::from(from_hz.min(to_hz)) / f64::from(from_hz);
    let half = (REACH / (2.0 * cutoff)).ceil();
    let tap = |x: f64| {
        let angle = 2.0 * PI * cutoff * x;
        let sinc = if x == 0.0 { 1.0 } else { angle.sin() / angle };
        2.0 * cutoff * sinc * (0.5 + 0.5 * (PI * x / (half + 1.0)).cos())
    };
    let half = half as i64;
    let kernels: Vec<Vec<f32>> = (0..phases)
        .map(|phase| {
            let fraction = phase as f64 / phases as f64;
            (-half..=half).map(|n| tap(n as f64 - fraction) as f32).collect()
        })
        .collect();
    (0..samples.len() * phases / step)
        .map(|place| {
            let (whole, phase) = (place * step / phases, place * step % phases);
            let sum: f32 = (-half..=half)
                .zip(&kernels[phase])
                .filter_map(|(n, tap)| {
                    let sample = samples.get(usize::try_from(whole as i64 + n).ok()?)?;
                    Some(tap * f32::from(*sample))
                })
                .sum();
            sum.round() as i16
        })
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate_hz: u32, samples: usize) -> Vec<i16> {
        let angle = |n: usize| 2.0 * PI * hz * n as f64 / f64::from(rate_hz);
        (0..samples).map(|n| (8000.0 * angle(n).sin()) as i16).collect()
    }

    #[test]
    fn a_tone_keeps_its_pitch_level_and_place_at_another_rate() {
        for (from, to) in [(22_050, 8000), (8000, 24_000), (48_000, 8000), (8000, 16_000)] {
            let resampled = resample(&tone(1000.0, from, from as usize), from, to);
            let ideal = tone(1000.0, to, resampled.len());
            let inner = 200..resampled.len() - 200;
            let worst = inner.map(|n| i32::from(resampled[n] - ideal[n]).abs()).max();
            assert!(worst < Some(80), "{from} to {to}: off by {worst:?}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_gone() {
        let resampled = resample(&tone(5000.0, 22_050, 22_050), 22_050, 8000);
        assert!(resampled[200..7800].iter().all(|sample| sample.abs() < 40));
    }

    #[test]
    fn a_wav_file_comes_back_even_when_its_length_is_a_lie() {
        let samples = tone(440.0, 8000, 99);
        let mut file = write_wav(&write_pcm(&samples), 16_000, false);
        assert_eq!(read_wav(&file), Ok(Pcm { rate_hz: 16_000, samples: samples.clone() }));
        file[40..44].fill(0xff);
        assert_eq!(read_wav(&file), Ok(Pcm { rate_hz: 16_000, samples: samples.clone() }));
        let mulaw = write_wav(&write_mulaw(&samples), 8000, true);
        assert_eq!(read_wav(&mulaw).map(|pcm| pcm.samples), Ok(read_mulaw(&write_mulaw(&samples))));
    }

    #[test]
    fn what_is_no_wav_file_is_refused() {
        assert_eq!(read_wav(b"OggS and so on"), Err(WavError::NotWav));
        let file = write_wav(&[0; 100], 8000, false);
        assert!((0..44).all(|length| length == 0 || read_wav(&file[..length]).is_err()));
    }
}
