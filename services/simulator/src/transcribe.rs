//! Amazon Transcribe: `StartStreamTranscription` over a WebSocket, in event-stream frames (PROTOCOLS 5.3).
//!
//! What is heard is told when the stream of audio ends, as one result per few words, each partial first. Within the
//! stream the fault switchboard has the point `transcribe/stream`: a status becomes the exception AWS sends for it, a
//! body a frame that is no event. A voice note (`ogg-opus`) is a WAV file here, as at every vendor of the simulator's: it
//! decodes no Opus.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, Session};
use aws_smithy_eventstream::{
    frame::{read_message_from, write_message_to},
    smithy::parse_response_headers,
};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    World,
    audio::{self, TELEPHONE_HZ},
    aws,
    hearing::{self, Word},
    polly::error,
};

/// More audio than this in one event is refused, bytes: 200 ms at 48 kHz.
const EVENT_MAX_BYTES: usize = 2 * 48_000 / 5;
/// Words of one result.
const RESULT_WORDS: usize = 6;

/// Mounts the path under `/transcribe`.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/stream-transcription-websocket", web::get().to(open));
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Parameters {
    language_code: String,
    media_encoding: String,
    sample_rate: u32,
}

async fn open(
    world: web::Data<World>,
    request: HttpRequest,
    query: web::Query<Parameters>,
    payload: web::Payload,
) -> actix_web::Result<HttpResponse> {
    let secret = world.config.aws_secret.as_ref();
    if let Err(refusal) = aws::authorise(&request, "transcribe", b"", secret) {
        return Ok(error(StatusCode::FORBIDDEN, refusal));
    }
    let (response, session, stream) = actix_ws::handle(&request, payload)?;
    let stream = stream.aggregate_continuations();
    actix_web::rt::spawn(serve(world, query.into_inner(), session, stream));
    Ok(response)
}

async fn serve(
    world: web::Data<World>,
    parameters: Parameters,
    mut session: Session,
    mut stream: AggregatedMessageStream,
) {
    let said = transcribe(&world, &parameters, &mut stream).await;
    let strike = world.faults.strike("transcribe", "stream").await;
    let frames = match (strike.fail, said) {
        (Some((_, Some(body))), _) => vec![Bytes::from(body)],
        (Some((status, None)), _) => vec![exception(exception_of(status))],
        (None, Ok(words)) => results(&words),
        (None, Err(kind)) => vec![exception(kind)],
    };
    for frame in frames {
        if session.binary(frame).await.is_err() {
            return;
        }
    }
    // Who hangs up does not wait for it.
    let _ = session.close(Some(CloseCode::Normal.into())).await;
}

/// Takes in the audio and hears it.
async fn transcribe(
    world: &web::Data<World>,
    parameters: &Parameters,
    stream: &mut AggregatedMessageStream,
) -> Result<Vec<Word>, &'static str> {
    let is_rate = (8000..=48_000).contains(&parameters.sample_rate);
    let is_note = match parameters.media_encoding.as_str() {
        "pcm" => false,
        "ogg-opus" => true,
        _ => return Err("BadRequestException"),
    };
    if !is_rate || !parameters.language_code.contains('-') {
        return Err("BadRequestException");
    }
    let mut sound = Vec::new();
    loop {
        match stream.recv().await {
            Some(Ok(AggregatedMessage::Binary(frame))) => {
                let piece = audio_of(&frame).ok_or("BadRequestException")?;
                if piece.is_empty() {
                    break;
                }
                if !is_note && piece.len() % 2 != 0 {
                    return Err("BadRequestException");
                }
                sound.extend_from_slice(&piece);
            }
            Some(Ok(AggregatedMessage::Ping(_) | AggregatedMessage::Pong(_))) => {}
            _ => return Err("BadRequestException"),
        }
    }
    let (samples, rate_hz) = match is_note {
        false => (audio::read_pcm(&sound), parameters.sample_rate),
        true => {
            let note = audio::read_wav(&sound).map_err(|_| "BadRequestException")?;
            (note.samples, note.rate_hz)
        }
    };
    let samples = audio::resample(&samples, rate_hz, TELEPHONE_HZ);
    hearing::hear(world.clone(), samples).await.map_err(|_| "InternalFailureException")
}

fn audio_of(frame: &[u8]) -> Option<Bytes> {
    let message = read_message_from(frame).ok()?;
    let head = parse_response_headers(&message).ok()?;
    let is_audio =
        head.message_type.as_str() == "event" && head.smithy_type.as_str() == "AudioEvent";
    let samples = message.payload();
    (is_audio && samples.len() <= EVENT_MAX_BYTES).then(|| samples.clone())
}

fn results(words: &[Word]) -> Vec<Bytes> {
    let events = words.chunks(RESULT_WORDS).flat_map(|words| {
        let id = Uuid::new_v4();
        // What is partial may still change, and does: nobody may take it for the words.
        [result(id, &words[..1], true), result(id, words, false)]
    });
    events.map(|body| event(":event-type", "event", "TranscriptEvent", &body)).collect()
}

fn result(id: Uuid, words: &[Word], is_partial: bool) -> Value {
    let seconds = |samples: usize| samples as f64 / f64::from(TELEPHONE_HZ);
    let items: Vec<Value> = words
        .iter()
        .map(|word| {
            json!({
                "Content": word.text, "Type": "pronunciation", "Confidence": word.confidence,
                "StartTime": seconds(word.span.start), "EndTime": seconds(word.span.end),
            })
        })
        .collect();
    json!({"Transcript": {"Results": [{
        "ResultId": id, "IsPartial": is_partial, "ChannelId": "ch_0",
        "StartTime": seconds(words.first().map_or(0, |word| word.span.start)),
        "EndTime": seconds(words.last().map_or(0, |word| word.span.end)),
        "Alternatives": [{"Transcript": hearing::text(words), "Items": items}],
    }]}})
}

/// The exception for the status AWS documents with it.
fn exception_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "BadRequestException",
        StatusCode::TOO_MANY_REQUESTS => "LimitExceededException",
        StatusCode::CONFLICT => "ConflictException",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailableException",
        _ => "InternalFailureException",
    }
}

fn exception(kind: &'static str) -> Bytes {
    let body = json!({"Message": "The stream cannot be served."});
    event(":exception-type", "exception", kind, &body)
}

fn event(
    type_header: &'static str,
    message: &'static str,
    kind: &'static str,
    body: &Value,
) -> Bytes {
    let header = |name, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let message = Message::new(body.to_string().into_bytes())
        .add_header(header(":message-type", message))
        .add_header(header(type_header, kind))
        .add_header(header(":content-type", "application/json"));
    let mut frame = Vec::new();
    if let Err(error) = write_message_to(&message, &mut frame) {
        tracing::error!(%error, "an event of the simulator cannot be written");
    }
    frame.into()
}
