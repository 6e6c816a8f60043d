//! Amazon Polly: `SynthesizeSpeech` (PROTOCOLS 5.3). The voice is the modem unless its name contains `espeak`.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::{
    World,
    audio::{self, TELEPHONE_HZ},
    aws, hearing,
};

/// A longer text is refused, billed characters.
const TEXT_MAX_CHARS: usize = 3000;
/// Speech is streamed in pieces of this many bytes. Odd, for nobody may rely on whole samples in a piece.
const CHUNK_BYTES: usize = 3201;

/// Mounts the paths under `/polly`.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/v1/speech", web::post().to(speech));
}

/// An error in AWS's REST JSON: its type in a header.
pub(crate) fn error(status: StatusCode, kind: &str) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header(("x-amzn-errortype", kind))
        .insert_header(("x-amzn-requestid", Uuid::new_v4().to_string()))
        .json(json!({"message": "The request cannot be served."}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Synthesize {
    text: String,
    text_type: Option<String>,
    voice_id: String,
    engine: Option<String>,
    output_format: String,
    sample_rate: Option<String>,
}

async fn speech(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let secret = world.config.aws_secret.as_ref();
    if let Err(refusal) = aws::authorise(&request, "polly", &body, secret) {
        return error(StatusCode::FORBIDDEN, refusal);
    }
    match synthesise(&world, &body).await {
        Ok(response) => response,
        Err(kind) if kind == "ServiceFailureException" => {
            error(StatusCode::INTERNAL_SERVER_ERROR, kind)
        }
        Err(kind) => error(StatusCode::BAD_REQUEST, kind),
    }
}

async fn synthesise(world: &World, body: &[u8]) -> Result<HttpResponse, &'static str> {
    let body: Synthesize = serde_json::from_slice(body).map_err(|_| "ValidationException")?;
    let engine = body.engine.as_deref().unwrap_or("standard");
    if !["standard", "neural", "long-form", "generative"].contains(&engine)
        || body.voice_id.is_empty()
    {
        return Err("ValidationException");
    }
    let (text, rate) = match body.text_type.as_deref().unwrap_or("text") {
        "text" => (body.text, 1.0),
        "ssml" => read_ssml(&body.text).ok_or("InvalidSsmlException")?,
        _ => return Err("ValidationException"),
    };
    if text.chars().count() > TEXT_MAX_CHARS {
        return Err("TextLengthExceededException");
    }
    let rate_hz = match (body.output_format.as_str(), body.sample_rate.as_deref()) {
        ("pcm", None | Some("16000")) => 16_000,
        ("pcm" | "mulaw", Some("8000")) | ("mulaw", None) => TELEPHONE_HZ,
        ("pcm" | "mulaw", _) => return Err("InvalidSampleRateException"),
        _ => return Err("ValidationException"),
    };
    let samples = hearing::speak_at(world, &body.voice_id, &text, rate)
        .await
        .map_err(|_| "ServiceFailureException")?;
    let samples = audio::resample(&samples, TELEPHONE_HZ, rate_hz);
    let (bytes, content_type) = match body.output_format.as_str() {
        "mulaw" => (audio::write_mulaw(&samples), "audio/mulaw"),
        _ => (audio::write_pcm(&samples), "audio/pcm"),
    };
    Ok(HttpResponse::Ok()
        .content_type(content_type)
        .insert_header(("x-amzn-requestid", Uuid::new_v4().to_string()))
        .insert_header(("x-amzn-requestcharacters", text.chars().count().to_string()))
        .streaming(audio::chunks(bytes, CHUNK_BYTES)))
}

/// The words of `<speak>`, and the pace of a `<prosody rate="80%">` in it.
fn read_ssml(ssml: &str) -> Option<(String, f64)> {
    let document = roxmltree::Document::parse(ssml).ok()?;
    if !document.root_element().has_tag_name("speak") {
        return None;
    }
    let text = document.descendants().filter(|node| node.is_text()).filter_map(|node| node.text());
    let prosody = document.descendants().find(|node| node.has_tag_name("prosody"));
    let rate = match prosody.and_then(|node| node.attribute("rate")) {
        Some(rate) => rate.strip_suffix('%')?.parse::<f64>().ok()? / 100.0,
        None => 1.0,
    };
    (0.2..=2.0).contains(&rate).then(|| (text.collect(), rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_read_and_not_spoken() {
        let slow = "<speak><prosody rate=\"80%\">You &amp; me.</prosody></speak>";
        assert_eq!(read_ssml(slow), Some(("You & me.".to_owned(), 0.8)));
        assert_eq!(read_ssml("<p>no</p>"), None);
        assert_eq!(read_ssml("<speak>5 < 6</speak>"), None);
    }
}
