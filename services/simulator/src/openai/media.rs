//! Speech, transcription and embeddings.

use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    World,
    audio::{self, TELEPHONE_HZ},
    hearing,
    openai::{Problem, authorise, multipart},
};

/// The rate of speech, samples a second.
const SPEECH_HZ: u32 = 24_000;
/// Speech is streamed in pieces of this many bytes: 0.2 s.
const CHUNK_BYTES: usize = 9600;
/// A longer text is refused, characters.
const INPUT_MAX_CHARS: usize = 4096;
/// The numbers of an embedding, where the request names no other.
const DIMENSIONS: usize = 1536;

#[derive(Deserialize)]
struct SpeechBody {
    model: String,
    input: String,
    #[serde(default)]
    voice: String,
    #[serde(default)]
    response_format: Option<String>,
    speed: Option<f64>,
}

/// `POST /v1/audio/speech`: `pcm` and `wav` at 24 kHz; the voice is the modem unless model or voice say `espeak`.
pub(super) async fn speech(
    world: web::Data<World>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    speak(&world, &request, &body).await.unwrap_or_else(HttpResponse::from)
}

async fn speak(world: &World, request: &HttpRequest, body: &[u8]) -> Result<HttpResponse, Problem> {
    authorise(world, request)?;
    let body: SpeechBody = serde_json::from_slice(body).map_err(Problem::request)?;
    if body.input.trim().is_empty() || body.input.chars().count() > INPUT_MAX_CHARS {
        return Err(Problem::request(format!(
            "'input' must have 1 to {INPUT_MAX_CHARS} characters"
        )));
    }
    let voice = format!("{} {}", body.model, body.voice);
    let speed = body.speed.unwrap_or(1.0);
    if !(0.25..=4.0).contains(&speed) {
        return Err(Problem::request("'speed' must be 0.25 to 4"));
    }
    let samples = hearing::speak_at(world, &voice, &body.input, speed)
        .await
        .map_err(|fault| Problem::service(&fault))?;
    let bytes = audio::write_pcm(&audio::resample(&samples, TELEPHONE_HZ, SPEECH_HZ));
    let (bytes, kind) = match body.response_format.as_deref() {
        Some("pcm") => (bytes, "audio/pcm"),
        Some("wav") => (audio::write_wav(&bytes, SPEECH_HZ, false), "audio/wav"),
        other => {
            return Err(Problem::request(format!(
                "format {} is not simulated",
                other.unwrap_or("mp3")
            )));
        }
    };
    Ok(HttpResponse::Ok().content_type(kind).streaming(audio::chunks(bytes, CHUNK_BYTES)))
}

/// `POST /v1/audio/transcriptions` of a WAV file; `json`, `text` and `verbose_json`.
pub(super) async fn transcriptions(
    world: web::Data<World>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    transcribe(world, &request, &body).await.unwrap_or_else(HttpResponse::from)
}

async fn transcribe(
    world: web::Data<World>,
    request: &HttpRequest,
    body: &[u8],
) -> Result<HttpResponse, Problem> {
    authorise(&world, request)?;
    let content_type =
        request.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("");
    let part = |name: &str| multipart::part(content_type, body, name);
    let file = part("file").ok_or_else(|| Problem::request("'file' is missing"))?;
    let wav = audio::read_wav(file).map_err(Problem::request)?;
    let seconds = |samples: usize| samples as f64 / f64::from(TELEPHONE_HZ);
    let samples = audio::resample(&wav.samples, wav.rate_hz, TELEPHONE_HZ);
    let duration_s = seconds(samples.len());
    let words = hearing::hear(world, samples).await.map_err(|fault| Problem::service(&fault))?;
    let text = hearing::text(&words);
    let mut response = HttpResponse::Ok();
    match part("response_format").unwrap_or(b"json") {
        b"json" => Ok(response.json(json!({
            "text": text, "usage": {"type": "duration", "seconds": duration_s.ceil()},
        }))),
        b"text" => Ok(response.content_type("text/plain").body(text + "\n")),
        b"verbose_json" => Ok(response.json(json!({
            "task": "transcribe", "language": "english", "duration": duration_s, "text": text, "segments": [],
            "words": words.iter().map(|word| json!({
                "word": word.text, "start": seconds(word.span.start), "end": seconds(word.span.end),
            })).collect::<Vec<_>>(),
        }))),
        _ => Err(Problem::request("this response_format is not simulated")),
    }
}

#[derive(Deserialize)]
struct EmbeddingsBody {
    model: String,
    input: Input,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

/// `POST /v1/embeddings`: texts that share words lie near each other, the same each time.
pub(super) async fn embeddings(
    world: web::Data<World>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    embed(&world, &request, &body).unwrap_or_else(HttpResponse::from)
}

fn embed(world: &World, request: &HttpRequest, body: &[u8]) -> Result<HttpResponse, Problem> {
    authorise(world, request)?;
    let body: EmbeddingsBody = serde_json::from_slice(body).map_err(Problem::request)?;
    let inputs = match body.input {
        Input::One(input) => vec![input],
        Input::Many(inputs) => inputs,
    };
    if inputs.is_empty() || inputs.len() > 2048 || inputs.iter().any(String::is_empty) {
        return Err(Problem::request("'input' must be 1 to 2048 texts, none of them empty"));
    }
    let dimensions = body.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=3072).contains(&dimensions) {
        return Err(Problem::request("'dimensions' must be 1 to 3072"));
    }
    let in_base64 = body.encoding_format.as_deref() == Some("base64");
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let numbers = embedding(input, dimensions);
            let embedding = if in_base64 {
                let bytes: Vec<u8> =
                    numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                json!(BASE64_STANDARD.encode(bytes))
            } else {
                json!(numbers)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens: usize = inputs.iter().map(|input| input.chars().count().div_ceil(4)).sum();
    Ok(HttpResponse::Ok().json(json!({
        "object": "list", "data": data, "model": body.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })))
}

/// The sum of a few coordinates for each word, drawn from its hash, at length 1.
pub(crate) fn embedding(text: &str, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimensions];
    let words =
        text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    for word in words.map(str::to_lowercase).chain([String::new()]) {
        // The empty word, which every text has, keeps the length above zero.
        let weight = if word.is_empty() { 0.1 } else { 1.0 };
        for draw in Sha256::digest(&word).as_chunks::<4>().0 {
            let number = u32::from_le_bytes(*draw);
            let sign = if number & 1 == 0 { 1.0 } else { -1.0 };
            sum[(number >> 1) as usize % dimensions] += sign * weight;
        }
    }
    let length =
        sum.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    sum.into_iter().map(|number| number / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_share_words_lie_nearer_than_those_that_do_not() {
        let near = |a: &str, b: &str| -> f32 {
            embedding(a, DIMENSIONS).iter().zip(embedding(b, DIMENSIONS)).map(|(a, b)| a * b).sum()
        };
        let asked = "What are your opening hours?";
        assert!((near(asked, asked) - 1.0).abs() < 1e-5);
        assert!(
            near(asked, "Our opening hours are nine to five.")
                > near(asked, "The cat sat on a mat.") + 0.2
        );
    }
}
