use async_trait::async_trait;
use bytes::Bytes;
use domain::{Personal, SpeechRate, Transcript};
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::{Client, Response, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::{
    AudioStream, SpeechError, SpeechToText, TextToSpeech, Utterance, Vendor,
    http::{ApiKey, authorization, broken, code, refused},
    transcript,
};

/// What Deepgram is told.
#[derive(Clone, Debug)]
pub struct DeepgramSettings {
    /// `DEEPGRAM_BASE_URL`, without a trailing slash.
    pub base_url: String,
    /// The model that listens; the one that speaks is the tenant's voice.
    pub listen_model: String,
}

/// Deepgram over HTTP: pre-recorded `listen` and `speak` (PROTOCOLS 3.2, 3.4).
pub struct Deepgram {
    client: Client,
    settings: DeepgramSettings,
    key: ApiKey,
}

impl Deepgram {
    /// Deepgram at the base URL of `settings`.
    pub fn new(client: Client, settings: DeepgramSettings, key: ApiKey) -> Self {
        Self { client, settings, key }
    }

    /// The words in an answer to a recording (PROTOCOLS 3.2).
    ///
    /// # Errors
    /// [`SpeechError::Malformed`] where it is no transcript.
    pub fn read_transcript(answer: &[u8]) -> Result<Transcript, SpeechError> {
        let heard: Heard = serde_json::from_slice(answer).map_err(|_| NOT_A_TRANSCRIPT)?;
        let channel = heard.results.channels.into_iter().next().ok_or(NOT_A_TRANSCRIPT)?;
        let best = channel.alternatives.into_iter().next().ok_or(NOT_A_TRANSCRIPT)?;
        Ok(transcript(best.transcript.reveal(), best.confidence))
    }

    /// What an answer other than 2xx means. It is worded in one of three ways (PROTOCOLS 3.5); of plain text nothing is
    /// kept, for it may repeat what was to be said.
    pub fn read_refusal(status: StatusCode, answer: &[u8]) -> SpeechError {
        refused(status, &fault_detail(answer))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.base_url)
    }
}

impl Vendor for Deepgram {
    fn name(&self) -> &'static str {
        "deepgram"
    }
}

#[async_trait]
impl SpeechToText for Deepgram {
    async fn transcribe(&self, audio: Bytes, language: &str) -> Result<Transcript, SpeechError> {
        let form = [("encoding", "mulaw"), ("sample_rate", "8000")];
        self.listen(audio, "audio/basic", language, &form).await
    }

    /// It finds out by itself what a file is: with an encoding named it would not (PROTOCOLS 3.2).
    async fn transcribe_file(
        &self,
        file: Bytes,
        mime_type: &str,
        language: &str,
    ) -> Result<Transcript, SpeechError> {
        self.listen(file, mime_type, language, &[]).await
    }
}

impl Deepgram {
    async fn listen(
        &self,
        audio: Bytes,
        content_type: &str,
        language: &str,
        form: &[(&str, &str)],
    ) -> Result<Transcript, SpeechError> {
        let answer = self
            .client
            .post(self.url("/v1/listen"))
            .query(&[
                ("model", self.settings.listen_model.as_str()),
                ("language", language),
                ("smart_format", "true"),
            ])
            .query(form)
            .header(header::AUTHORIZATION, authorization("Token", &self.key)?)
            .header(header::CONTENT_TYPE, content_type)
            .body(audio)
            .send()
            .await
            .map_err(broken)?;
        let answer = checked(answer).await?.bytes().await.map_err(broken)?;
        Self::read_transcript(&answer)
    }
}

const NOT_A_TRANSCRIPT: SpeechError = SpeechError::Malformed("not a transcript");

#[async_trait]
impl TextToSpeech for Deepgram {
    fn voice_of(&self, utterance: &Utterance<'_>) -> String {
        utterance.voice_at(self.name()).unwrap_or(&utterance.voice.model).to_owned()
    }

    async fn speak(&self, utterance: &Utterance<'_>) -> Result<AudioStream, SpeechError> {
        let pace = match utterance.rate {
            SpeechRate::NORMAL => None,
            rate => Some(("speed", rate.factor().to_string())),
        };
        let answer = self
            .client
            .post(self.url("/v1/speak"))
            .query(&[
                ("model", self.voice_of(utterance).as_str()),
                ("encoding", "mulaw"),
                ("sample_rate", "8000"),
                // Without it the mu-law comes as a WAV file, whose header is a click (PROTOCOLS 3.4).
                ("container", "none"),
            ])
            .query(&pace.as_slice())
            .header(header::AUTHORIZATION, authorization("Token", &self.key)?)
            .json(&Speak { text: utterance.text })
            .send()
            .await
            .map_err(broken)?;
        Ok(checked(answer).await?.bytes_stream().map_err(broken).boxed())
    }
}

#[derive(Serialize)]
struct Speak<'a> {
    text: &'a str,
}

#[derive(Deserialize)]
struct Heard {
    results: Results,
}

#[derive(Deserialize)]
struct Results {
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    #[serde(deserialize_with = "personal")]
    transcript: Personal,
    #[serde(default)]
    confidence: f32,
}

fn personal<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Personal, D::Error> {
    String::deserialize(d).map(Personal::from)
}

/// The answer, if it is one.
async fn checked(answer: Response) -> Result<Response, SpeechError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.bytes().await.unwrap_or_default();
    Err(Deepgram::read_refusal(status, &body))
}

#[derive(Deserialize)]
struct Fault {
    #[serde(alias = "category")]
    err_code: Option<String>,
    request_id: Option<String>,
}

fn fault_detail(body: &[u8]) -> String {
    let Ok(fault) = serde_json::from_slice::<Fault>(body) else { return String::new() };
    let request = fault.request_id.as_deref().and_then(code).map(|id| format!("request {id}"));
    let named = fault.err_code.as_deref().and_then(code).map(str::to_owned);
    named.into_iter().chain(request).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_error_shapes_are_understood_and_none_repeats_the_text() {
        let old = br#"{"err_code":"INVALID_AUTH","err_msg":"no: hello Ada","request_id":"r1"}"#;
        assert_eq!(fault_detail(old), "INVALID_AUTH, request r1");
        let new = br#"{"category":"INVALID_JSON","message":"hello Ada","details":"hello Ada","request_id":"r2"}"#;
        assert_eq!(fault_detail(new), "INVALID_JSON, request r2");
        assert_eq!(fault_detail(b"cannot say: hello Ada"), "");
        let odd = br#"{"err_code":"cannot say: hello Ada","request_id":"r3"}"#;
        assert_eq!(fault_detail(odd), "request r3");
    }

    #[test]
    fn how_sure_it_is_lies_within_0_to_1_and_blanks_are_no_words() {
        let heard = |transcript: &str, confidence: &str| {
            let alternative =
                format!(r#"{{"transcript":"{transcript}","confidence":{confidence}}}"#);
            let answer =
                format!(r#"{{"results":{{"channels":[{{"alternatives":[{alternative}]}}]}}}}"#);
            Deepgram::read_transcript(answer.as_bytes()).unwrap()
        };
        for (told, meant) in [("0.5", 0.5), ("7", 1.0), ("-1", 0.0), ("1e300", 1.0)] {
            assert_eq!(heard("Hello.", told).confidence, meant, "{told}");
        }
        assert!(heard(" \\n ", "0.9").text.is_empty());
        assert_eq!(heard(" Hello.", "0.9").text.reveal(), "Hello.");
    }
}
