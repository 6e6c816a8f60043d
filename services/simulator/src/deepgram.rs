//! Deepgram: pre-recorded `listen` and `speak` (PROTOCOLS 3.2, 3.4, 3.5).
//!
//! The ears hear the modem voice, else the clauses of the `espeak` voice, else nothing; the mouth is the modem unless the
//! model's name contains `espeak`.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    World,
    audio::{self, TELEPHONE_HZ},
    hearing::{self, Word},
};

/// A longer text is refused, characters.
const TEXT_MAX_CHARS: usize = 2000;
/// Answers are streamed in pieces of this many bytes: 0.2 s of mu-law.
const CHUNK_BYTES: usize = 1600;

/// Mounts the paths under `/deepgram`.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/v1/listen", web::post().to(listen)).route("/v1/speak", web::post().to(speak));
}

/// The shapes in which Deepgram words an error (PROTOCOLS 3.5).
enum Problem {
    /// `err_code` and `err_msg`: the credentials.
    Credentials,
    /// `category`, `message` and `details`: the request.
    Request(String),
    /// Plain text: the service itself.
    Service(String),
}

impl From<Problem> for HttpResponse {
    fn from(problem: Problem) -> Self {
        let request_id = Uuid::new_v4();
        let (status, code) = match &problem {
            Problem::Credentials => (StatusCode::UNAUTHORIZED, "INVALID_AUTH"),
            Problem::Request(_) => (StatusCode::BAD_REQUEST, "INVALID_REQUEST"),
            Problem::Service(_) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR"),
        };
        let mut response = HttpResponse::build(status);
        response
            .insert_header(("dg-request-id", request_id.to_string()))
            .insert_header(("dg-error", code));
        match problem {
            Problem::Credentials => response.json(json!({
                "err_code": code, "err_msg": "Invalid credentials.", "request_id": request_id,
            })),
            Problem::Request(details) => response.json(json!({
                "category": code, "message": "The request cannot be served.", "details": details,
                "request_id": request_id,
            })),
            Problem::Service(message) => response.content_type("text/plain").body(message),
        }
    }
}

fn authorise(world: &World, request: &HttpRequest) -> Result<(), Problem> {
    let key =
        request.headers().get("authorization").and_then(|value| value.to_str().ok()).and_then(
            |value| value.strip_prefix("Token ").or_else(|| value.strip_prefix("Bearer ")),
        );
    if crate::config::accepts(world.config.deepgram_key.as_ref(), key) {
        Ok(())
    } else {
        Err(Problem::Credentials)
    }
}

#[derive(Deserialize)]
struct ListenQuery {
    #[serde(default = "nova")]
    model: String,
    encoding: Option<String>,
    sample_rate: Option<u32>,
}

fn nova() -> String {
    "nova-3".to_owned()
}

async fn listen(
    world: web::Data<World>,
    request: HttpRequest,
    query: web::Query<ListenQuery>,
    body: Bytes,
) -> HttpResponse {
    transcribe(world, &request, query.into_inner(), body).await.unwrap_or_else(HttpResponse::from)
}

async fn transcribe(
    world: web::Data<World>,
    request: &HttpRequest,
    query: ListenQuery,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    authorise(&world, request)?;
    let samples = samples(&query, &body).map_err(Problem::Request)?;
    let duration_s = samples.len() as f64 / f64::from(TELEPHONE_HZ);
    let words =
        hearing::hear(world, samples).await.map_err(|fault| Problem::Service(fault.to_string()))?;
    let request_id = Uuid::new_v4();
    let model_id = Uuid::new_v5(&Uuid::NAMESPACE_DNS, query.model.as_bytes());
    let answer = json!({
        "metadata": {
            "transaction_key": "deprecated",
            "request_id": request_id,
            "sha256": hex::encode(Sha256::digest(&body)),
            "created": jiff::Timestamp::now().to_string(),
            "duration": duration_s,
            "channels": 1,
            "models": [model_id],
            "model_info": {model_id.to_string(): {"name": query.model, "version": "simulated", "arch": "nova-3"}},
        },
        "results": {"channels": [{"alternatives": [{
            "transcript": hearing::text(&words),
            "confidence": hearing::confidence(&words),
            "words": words.iter().map(Spoken::from).collect::<Vec<_>>(),
        }]}]},
    });
    Ok(HttpResponse::Ok().insert_header(("dg-request-id", request_id.to_string())).json(answer))
}

/// A word as Deepgram lists it; times in seconds.
#[derive(Serialize)]
struct Spoken<'a> {
    word: String,
    start: f64,
    end: f64,
    confidence: f32,
    punctuated_word: &'a str,
}

impl<'a> From<&'a Word> for Spoken<'a> {
    fn from(word: &'a Word) -> Self {
        let seconds = |sample: usize| sample as f64 / f64::from(TELEPHONE_HZ);
        let bare =
            word.text.trim_matches(|character: char| !character.is_alphanumeric()).to_lowercase();
        Self {
            word: if bare.is_empty() { word.text.clone() } else { bare },
            start: seconds(word.span.start),
            end: seconds(word.span.end),
            confidence: word.confidence,
            punctuated_word: &word.text,
        }
    }
}

/// The audio of a request at 8 kHz: raw when the query names an encoding, else a WAV file.
fn samples(query: &ListenQuery, body: &[u8]) -> Result<Vec<i16>, String> {
    if body.is_empty() {
        return Err("there is no audio".to_owned());
    }
    let raw_rate = || {
        query
            .sample_rate
            .filter(|rate| (8000..=48_000).contains(rate))
            .ok_or("sample_rate is missing")
    };
    let (rate_hz, samples) = match query.encoding.as_deref() {
        Some("mulaw") => (raw_rate()?, audio::read_mulaw(body)),
        Some("linear16") => (raw_rate()?, audio::read_pcm(body)),
        Some(other) => return Err(format!("encoding {other} is not simulated")),
        None => {
            let pcm = audio::read_wav(body).map_err(|fault| fault.to_string())?;
            (pcm.rate_hz, pcm.samples)
        }
    };
    Ok(audio::resample(&samples, rate_hz, TELEPHONE_HZ))
}

#[derive(Deserialize)]
struct SpeakQuery {
    #[serde(default = "aura")]
    model: String,
    #[serde(default = "mp3")]
    encoding: String,
    #[serde(default = "wav")]
    container: String,
    sample_rate: Option<u32>,
    speed: Option<f64>,
}

fn aura() -> String {
    "aura-asteria-en".to_owned()
}

fn mp3() -> String {
    "mp3".to_owned()
}

fn wav() -> String {
    "wav".to_owned()
}

#[derive(Deserialize)]
struct SpeakBody {
    text: String,
}

async fn speak(
    world: web::Data<World>,
    request: HttpRequest,
    query: web::Query<SpeakQuery>,
    body: Bytes,
) -> HttpResponse {
    synthesise(&world, &request, &query, &body).await.unwrap_or_else(HttpResponse::from)
}

async fn synthesise(
    world: &World,
    request: &HttpRequest,
    query: &SpeakQuery,
    body: &[u8],
) -> Result<HttpResponse, Problem> {
    authorise(world, request)?;
    let SpeakBody { text } =
        serde_json::from_slice(body).map_err(|fault| Problem::Request(fault.to_string()))?;
    let chars = text.chars().count();
    if text.trim().is_empty() || chars > TEXT_MAX_CHARS {
        return Err(Problem::Request(format!(
            "the text must have 1 to {TEXT_MAX_CHARS} characters"
        )));
    }
    let rate_hz = query.sample_rate.unwrap_or(24_000);
    if !(8000..=48_000).contains(&rate_hz) {
        return Err(Problem::Request("sample_rate must be 8000 to 48000".to_owned()));
    }
    let speed = query.speed.unwrap_or(1.0);
    if !(0.7..=1.5).contains(&speed) {
        return Err(Problem::Request("speed must be 0.7 to 1.5".to_owned()));
    }
    let samples = hearing::speak_at(world, &query.model, &text, speed)
        .await
        .map_err(|fault| Problem::Service(format!("{fault:#}")))?;
    let samples = audio::resample(&samples, TELEPHONE_HZ, rate_hz);
    let (mulaw, bytes, content_type) = match query.encoding.as_str() {
        "mulaw" => (true, audio::write_mulaw(&samples), "audio/mulaw"),
        "linear16" => (false, audio::write_pcm(&samples), "audio/l16"),
        other => return Err(Problem::Request(format!("encoding {other} is not simulated"))),
    };
    let (bytes, content_type) = match query.container.as_str() {
        "none" => (bytes, content_type),
        "wav" => (audio::write_wav(&bytes, rate_hz, mulaw), "audio/wav"),
        other => return Err(Problem::Request(format!("container {other} is not simulated"))),
    };
    Ok(HttpResponse::Ok()
        .content_type(content_type)
        .insert_header(("dg-request-id", Uuid::new_v4().to_string()))
        .insert_header(("dg-model-name", query.model.as_str()))
        .insert_header(("dg-char-count", chars.to_string()))
        .streaming(audio::chunks(bytes, CHUNK_BYTES)))
}
