//! What vendors of speech answer: words, sound and refusals.

use std::collections::HashSet;

use domain::Transcript;
use reqwest::StatusCode;
use serde_json::Value;
use speech::{
    Deepgram, FinalResults, OpenAi, Polly, SpeechError,
    pcm::{self, MuLawEncoder},
    resample::ThirdRate,
};

use crate::input::{events, first_line, status_in, texts};

/// Our own words about a failure, and a code and an id of the vendor's.
const LONGEST_ERROR_BYTES: usize = 200;

pub(crate) fn deepgram_answer(input: &[u8]) {
    words_or_refusal(input, Deepgram::read_transcript, Deepgram::read_refusal);
}

pub(crate) fn openai_transcript(input: &[u8]) {
    words_or_refusal(input, OpenAi::read_transcript, OpenAi::read_refusal);
}

/// The first line is the HTTP status, the rest the answer.
fn words_or_refusal(
    input: &[u8],
    read_transcript: fn(&[u8]) -> Result<Transcript, SpeechError>,
    read_refusal: fn(StatusCode, &[u8]) -> SpeechError,
) {
    let (status, answer) = first_line(input);
    let status = status_of(status);
    if !status.is_success() {
        return tells_nothing(&read_refusal(status, answer));
    }
    match read_transcript(answer) {
        Ok(heard) => {
            is_heard(&heard);
            let words = heard.text.reveal();
            // It reads what we skip more strictly than we do.
            if let Ok(answer) = serde_json::from_slice::<Value>(answer) {
                let is_told = texts(&answer).iter().any(|text| text.trim() == words);
                assert!(words.is_empty() || is_told, "words from nowhere");
            }
        }
        Err(error) => tells_nothing(&error),
    }
}

/// The first line is the HTTP status, the second the header that names the error, the rest the answer.
pub(crate) fn polly_answer(input: &[u8]) {
    let (status, rest) = first_line(input);
    let (named, answer) = first_line(rest);
    let named = std::str::from_utf8(named).ok().filter(|named| !named.is_empty());
    tells_nothing(&Polly::read_refusal(status_of(status), named, answer));
}

/// Each line is an event; and the whole may be a frame.
pub(crate) fn transcribe_events(input: &[u8]) {
    if let Err(error) = FinalResults::default().take(input) {
        tells_nothing(&error);
    }
    let mut results = FinalResults::default();
    for mut frame in events(input).filter_map(|event| event.frame()) {
        if let Err(error) = results.take(&frame) {
            return tells_nothing(&error);
        }
        let place = input.len() % frame.len();
        frame[place] ^= 1;
        assert!(FinalResults::default().take(&frame).is_err(), "a damaged frame is noticed");
    }
    let heard = results.transcript();
    is_heard(&heard);
    let bodies = events(input).map(|event| serde_json::from_slice(event.body));
    if let Ok(bodies) = bodies.collect::<Result<Vec<Value>, _>>() {
        let sent: HashSet<&str> =
            bodies.iter().flat_map(texts).flat_map(str::split_whitespace).collect();
        let is_told = heard.text.reveal().split_whitespace().all(|word| sent.contains(word));
        assert!(is_told, "words from nowhere");
    }
}

/// Sound in 16-bit samples, after a byte that says how long the pieces are in which it comes.
pub(crate) fn spoken_audio(input: &[u8]) {
    let Some((piece, sound)) = input.split_first() else { return };
    let (piece, whole) = (usize::from(*piece).max(1), sound.len().max(1));
    let samples = sound.len() / 2;
    let codes = encoded(sound, piece);
    assert_eq!(codes.len(), samples, "a code for each sample that is whole");
    assert_eq!(codes, encoded(sound, whole), "however it is cut");
    let again = pcm::from_mulaw(&codes);
    assert_eq!(again.len(), 2 * samples);
    assert_eq!(pcm::from_mulaw(&encoded(&again, piece)), again, "nothing more is lost");

    let thirds = converted(sound, piece);
    assert_eq!(thirds.len(), samples.div_ceil(3), "a second stays a second");
    assert_eq!(thirds, converted(sound, whole), "however it is cut");
    let is_silent = sound[..2 * samples].iter().all(|byte| *byte == 0);
    assert!(!is_silent || thirds.iter().all(|sample| *sample == 0), "sound from nowhere");
}

fn encoded(sound: &[u8], piece: usize) -> Vec<u8> {
    let mut encoder = MuLawEncoder::default();
    sound.chunks(piece).flat_map(|piece| encoder.encode(piece)).collect()
}

fn converted(sound: &[u8], piece: usize) -> Vec<i16> {
    let mut rate = ThirdRate::default();
    let mut samples: Vec<i16> =
        sound.chunks(piece).flat_map(|piece| rate.push_le_bytes(piece)).collect();
    samples.extend(rate.finish());
    samples
}

fn status_of(line: &[u8]) -> StatusCode {
    StatusCode::from_u16(status_in(line)).unwrap_or_default()
}

/// What the trait promises of whatever was heard.
fn is_heard(heard: &Transcript) {
    assert!((0.0..=1.0).contains(&heard.confidence), "{}", heard.confidence);
    let words = heard.text.reveal();
    assert_eq!(words, words.trim(), "where there are no words, nothing was said");
}

/// Of a vendor's own words no more is kept than a code and an id: the rest may be a person's.
fn tells_nothing(error: &SpeechError) {
    let told = error.to_string();
    let is_plain = told.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    assert!(is_plain && told.len() <= LONGEST_ERROR_BYTES, "{told}");
}
