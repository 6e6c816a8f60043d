use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_eventstream::{
    frame::{read_message_from, write_message_to},
    smithy::parse_response_headers,
};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use domain::Transcript;
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use reqwest::Url;
use serde::Deserialize;
use tokio::time::timeout;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, Error as SocketError},
};

use crate::{
    SAMPLE_RATE_HZ, SpeechError, SpeechToText, Vendor,
    aws::AwsAccess,
    http::{CONNECT_TIMEOUT, SILENCE_TIMEOUT, code, refused},
    pcm, transcript,
};

/// Audio of one event: 100 ms, in the middle of the 50 to 200 ms AWS asks for.
const EVENT_BYTES: usize = 2 * SAMPLE_RATE_HZ as usize / 10;
/// The same of a voice note, which has 16 to 32 kbit/s.
const NOTE_EVENT_BYTES: usize = 400;
/// Opus counts at 48 kHz, whatever it was made of (RFC 7845).
const OPUS_HZ: u32 = 48_000;

/// How long a signed address is good: the longest that is allowed (5 min) helps nobody.
const ADDRESS_LASTS: Duration = Duration::from_secs(60);

/// What Transcribe is told.
#[derive(Clone, Debug)]
pub struct TranscribeSettings {
    /// Transcribe's streaming endpoint (`AWS_ENDPOINT_URL_TRANSCRIBE_STREAMING`), http or https,
    /// without a trailing slash.
    pub base_url: String,
}

/// Amazon Transcribe, streaming over a WebSocket (PROTOCOLS 5.3): a segment is sent at once, as events
/// of an event stream, and its final results are put together.
pub struct Transcribe {
    settings: TranscribeSettings,
    access: AwsAccess,
}

impl Transcribe {
    /// Transcribe at the base URL of `settings`.
    pub fn new(settings: TranscribeSettings, access: AwsAccess) -> Self {
        Self { settings, access }
    }

    /// Has `audio` recognised, in events of `event_bytes`.
    async fn stream(
        &self,
        audio: &[u8],
        event_bytes: usize,
        encoding: (&str, u32),
        language: &str,
    ) -> Result<Transcript, SpeechError> {
        let address = self.address(language, encoding).await?;
        let connected = timeout(CONNECT_TIMEOUT, connect_async(address)).await;
        let (socket, _) = connected.map_err(|_| SpeechError::TimedOut)?.map_err(not_opened)?;
        let (to, from) = socket.split();
        let mut hearing = std::pin::pin!(hear(from));
        tokio::select! {
            biased;
            heard = &mut hearing => return heard,
            // Where the socket broke, what it said before tells why.
            _ = say(to, audio, event_bytes) => {}
        }
        hearing.await
    }

    async fn address(
        &self,
        language: &str,
        (encoding, rate_hz): (&str, u32),
    ) -> Result<String, SpeechError> {
        let wrong = || SpeechError::Refused("its address is none".to_owned());
        let base = format!("{}/stream-transcription-websocket", self.settings.base_url);
        let mut url = Url::parse(&base).map_err(|_| wrong())?;
        url.query_pairs_mut()
            .append_pair("language-code", language)
            .append_pair("media-encoding", encoding)
            .append_pair("sample-rate", &rate_hz.to_string());
        let url = self.access.presign_get("transcribe", url, ADDRESS_LASTS).await?;
        let address = url.as_str().strip_prefix("http").ok_or_else(wrong)?;
        Ok(format!("ws{address}"))
    }
}

impl Vendor for Transcribe {
    fn name(&self) -> &'static str {
        "transcribe"
    }
}

#[async_trait]
impl SpeechToText for Transcribe {
    async fn transcribe(&self, audio: Bytes, language: &str) -> Result<Transcript, SpeechError> {
        let samples = pcm::from_mulaw(&audio);
        self.stream(&samples, EVENT_BYTES, ("pcm", SAMPLE_RATE_HZ), language).await
    }

    /// It takes Opus in Ogg as it is (PROTOCOLS 5.3), which is what a voice note is; nothing is decoded here.
    async fn transcribe_file(
        &self,
        file: Bytes,
        mime_type: &str,
        language: &str,
    ) -> Result<Transcript, SpeechError> {
        if mime_type.split(';').next().map(str::trim) != Some("audio/ogg") {
            return Err(SpeechError::Refused("it takes no such files".to_owned()));
        }
        self.stream(&file, NOTE_EVENT_BYTES, ("ogg-opus", OPUS_HZ), language).await
    }
}

/// Sends the audio, and the event without any that ends it.
async fn say<S>(mut to: S, audio: &[u8], event_bytes: usize) -> Result<(), SocketError>
where
    S: Sink<tungstenite::Message, Error = SocketError> + Unpin,
{
    for piece in audio.chunks(event_bytes).chain([&[][..]]) {
        to.feed(tungstenite::Message::Binary(audio_event(piece))).await?;
    }
    to.flush().await
}

fn audio_event(samples: &[u8]) -> Bytes {
    let header = |name, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let event = Message::new(samples.to_vec())
        .add_header(header(":message-type", "event"))
        .add_header(header(":event-type", "AudioEvent"))
        .add_header(header(":content-type", "application/octet-stream"));
    let mut frame = Vec::with_capacity(samples.len() + 128);
    // What it cannot write are headers longer than these.
    let _ = write_message_to(&event, &mut frame);
    frame.into()
}

/// Puts the final results together until the stream is closed.
async fn hear<S>(mut from: S) -> Result<Transcript, SpeechError>
where
    S: Stream<Item = Result<tungstenite::Message, SocketError>> + Unpin,
{
    let mut results = FinalResults::default();
    loop {
        let next = timeout(SILENCE_TIMEOUT, from.next()).await;
        match next.map_err(|_| SpeechError::TimedOut)? {
            Some(Ok(tungstenite::Message::Binary(frame))) => results.take(&frame)?,
            Some(Ok(tungstenite::Message::Close(_))) => return Ok(results.transcript()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => {
                return Err(SpeechError::Unavailable("the connection broke".to_owned()));
            }
        }
    }
}

/// What Transcribe has understood for sure, put together from the events of its stream (PROTOCOLS 5.3).
#[derive(Default)]
pub struct FinalResults {
    text: String,
    confidences: Vec<f32>,
}

const NO_EVENT: SpeechError = SpeechError::Malformed("not an event");

impl FinalResults {
    /// Takes in an event, which is a frame of the stream.
    ///
    /// # Errors
    /// What an exception within the stream means, which ends it; [`SpeechError::Malformed`] where the frame is damaged or
    /// not what it says.
    pub fn take(&mut self, frame: &[u8]) -> Result<(), SpeechError> {
        let message = read_message_from(frame).map_err(|_| NO_EVENT)?;
        let head = parse_response_headers(&message).map_err(|_| NO_EVENT)?;
        match (head.message_type.as_str(), head.smithy_type.as_str()) {
            ("event", "TranscriptEvent") => {}
            // What a later version sends beside them.
            ("event", _) => return Ok(()),
            (_, kind) => return Err(meaning(kind)),
        }
        let event: TranscriptEvent = serde_json::from_slice(message.payload())
            .map_err(|_| SpeechError::Malformed("not a transcript"))?;
        let results = event.transcript.results.into_iter().filter(|result| !result.is_partial);
        for best in results.filter_map(|result| result.alternatives.into_iter().next()) {
            self.text.push(' ');
            self.text.push_str(&best.transcript);
            let known = best.items.iter().filter_map(|item| item.confidence);
            self.confidences.extend(known.map(|confidence| confidence.clamp(0.0, 1.0)));
        }
        Ok(())
    }

    /// The words of all of them, and how sure it is on the whole.
    pub fn transcript(self) -> Transcript {
        let sum: f32 = self.confidences.iter().sum();
        let confidence = match self.confidences.len() {
            // Some languages come without.
            0 if !self.text.trim().is_empty() => 1.0,
            items => sum / items.max(1) as f32,
        };
        transcript(&self.text, confidence)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TranscriptEvent {
    transcript: Results,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Results {
    #[serde(default)]
    results: Vec<ResultPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultPart {
    #[serde(default)]
    is_partial: bool,
    #[serde(default)]
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alternative {
    transcript: String,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    confidence: Option<f32>,
}

/// What an exception within the stream means.
fn meaning(named: &str) -> SpeechError {
    let kind = code(named).unwrap_or("an exception without a name");
    match kind {
        "LimitExceededException" | "ThrottlingException" => SpeechError::Busy(kind.to_owned()),
        "BadRequestException" | "ConflictException" => SpeechError::Refused(kind.to_owned()),
        // They say that the key is wrong, or may not.
        kind if kind.contains("Signature")
            || kind.contains("Client")
            || kind.contains("Denied") =>
        {
            SpeechError::Denied(kind.to_owned())
        }
        kind => SpeechError::Unavailable(kind.to_owned()),
    }
}

fn not_opened(error: SocketError) -> SpeechError {
    match error {
        SocketError::Http(answer) if answer.status().is_success() => {
            SpeechError::Malformed("not a WebSocket")
        }
        SocketError::Http(answer) => refused(answer.status(), ""),
        SocketError::Protocol(_) => SpeechError::Malformed("not a WebSocket"),
        _ => SpeechError::Unavailable("no connection".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: (&'static str, &'static str), body: &'static str) -> Vec<u8> {
        let header =
            |name, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
        let type_header = if kind.0 == "event" { ":event-type" } else { ":exception-type" };
        let message = Message::new(body.as_bytes())
            .add_header(header(":message-type", kind.0))
            .add_header(header(type_header, kind.1));
        let mut frame = Vec::new();
        write_message_to(&message, &mut frame).unwrap();
        frame
    }

    #[test]
    fn only_final_results_count_and_they_follow_one_another() {
        let mut results = FinalResults::default();
        for body in [
            r#"{"Transcript":{"Results":[{"IsPartial":true,"Alternatives":[{"Transcript":"hello wor","Items":[]}]}]}}"#,
            r#"{"Transcript":{"Results":[{"IsPartial":false,"Alternatives":[{"Transcript":"Hello world.","Items":[{"Confidence":0.5},{"Confidence":1.0},{}]}]}]}}"#,
            r#"{"Transcript":{"Results":[]}}"#,
            r#"{"Transcript":{"Results":[{"IsPartial":false,"Alternatives":[{"Transcript":"Bye.","Items":[{"Confidence":0.75}]}]}]}}"#,
        ] {
            results.take(&event(("event", "TranscriptEvent"), body)).unwrap();
        }
        let transcript = results.transcript();
        assert_eq!(transcript.text.reveal(), "Hello world. Bye.");
        assert_eq!(transcript.confidence, 0.75);
    }

    #[test]
    fn how_sure_it_is_lies_within_0_to_1_and_blanks_are_no_words() {
        let heard = |body: &'static str| {
            let mut results = FinalResults::default();
            results.take(&event(("event", "TranscriptEvent"), body)).unwrap();
            results.transcript()
        };
        let odd = heard(
            r#"{"Transcript":{"Results":[{"Alternatives":[{"Transcript":"Hi.","Items":[{"Confidence":1e300},{"Confidence":-1e300}]}]}]}}"#,
        );
        assert_eq!((odd.text.reveal(), odd.confidence), ("Hi.", 0.5));
        let nothing = heard(
            r#"{"Transcript":{"Results":[{"Alternatives":[{"Transcript":" "}]},{"Alternatives":[{"Transcript":""}]}]}}"#,
        );
        assert!(nothing.text.is_empty() && nothing.confidence == 0.0);
    }

    #[test]
    fn an_exception_says_whether_asking_again_helps() {
        for (kind, transient) in [
            ("LimitExceededException", true),
            ("InternalFailureException", true),
            ("BadRequestException", false),
            ("UnrecognizedClientException", false),
        ] {
            let error =
                FinalResults::default().take(&event(("exception", kind), "{}")).unwrap_err();
            assert_eq!(error.is_transient(), transient, "{kind}");
        }
    }

    #[test]
    fn a_damaged_event_is_noticed() {
        let mut frame = event(("event", "TranscriptEvent"), r#"{"Transcript":{"Results":[]}}"#);
        let last = frame.len() - 1;
        for place in [0, 9, last - 6, last] {
            frame[place] ^= 1;
            assert!(FinalResults::default().take(&frame).is_err(), "byte {place}");
            frame[place] ^= 1;
        }
        assert_eq!(FinalResults::default().take(&frame), Ok(()));
    }
}
