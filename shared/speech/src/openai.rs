use async_trait::async_trait;
use bytes::Bytes;
use domain::{SpeechRate, Transcript, g711};
use futures::{StreamExt as _, stream};
use reqwest::{
    Client, Response, StatusCode, header,
    multipart::{Form, Part},
};
use serde::{Deserialize, Serialize};

use crate::{
    AudioStream, SAMPLE_RATE_HZ, SpeechError, SpeechToText, TextToSpeech, Utterance, Vendor,
    http::{self, ApiKey, authorization, broken, refused},
    pcm,
    resample::ThirdRate,
    transcript, wav,
};

/// What an OpenAI-compatible endpoint is told.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// `OPENAI_BASE_URL`, which ends in `/v1`.
    pub base_url: String,
    /// The model that listens.
    pub listen_model: String,
    /// The model that speaks.
    pub speak_model: String,
    /// The voice where the tenant names none.
    pub voice: String,
}

/// OpenAI's transcription and speech (PROTOCOLS 4).
pub struct OpenAi {
    client: Client,
    settings: OpenAiSettings,
    key: ApiKey,
}

impl OpenAi {
    /// The endpoint at the base URL of `settings`.
    pub fn new(client: Client, settings: OpenAiSettings, key: ApiKey) -> Self {
        Self { client, settings, key }
    }

    /// The words in an answer to a recording (PROTOCOLS 4).
    ///
    /// # Errors
    /// [`SpeechError::Malformed`] where it is no transcript.
    pub fn read_transcript(answer: &[u8]) -> Result<Transcript, SpeechError> {
        let heard: Heard = serde_json::from_slice(answer)
            .map_err(|_| SpeechError::Malformed("not a transcript"))?;
        // It gives no confidence; what it could not recognise it leaves out.
        let confidence = if heard.text.trim().is_empty() { 0.0 } else { 1.0 };
        Ok(transcript(&heard.text, confidence))
    }

    /// What an answer other than 2xx means: of an error only its code is kept.
    pub fn read_refusal(status: StatusCode, answer: &[u8]) -> SpeechError {
        let fault = serde_json::from_slice::<Fault>(answer).ok().map(|f| f.error);
        let named = fault.and_then(|f| f.code.or(f.kind)).unwrap_or_default();
        let code = http::code(&named).unwrap_or_default();
        // Two things are 429; only one passes by itself (PROTOCOLS 4).
        if status == StatusCode::TOO_MANY_REQUESTS && code == "insufficient_quota" {
            return SpeechError::Denied(format!("429 {code}"));
        }
        refused(status, code)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.base_url)
    }
}

impl Vendor for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }
}

#[async_trait]
impl SpeechToText for OpenAi {
    async fn transcribe(&self, audio: Bytes, language: &str) -> Result<Transcript, SpeechError> {
        // Mu-law is not accepted (PROTOCOLS 4).
        let samples = pcm::from_mulaw(&audio);
        let mut file = wav::pcm16_header(1, SAMPLE_RATE_HZ, samples.len() as u32).to_vec();
        file.extend_from_slice(&samples);
        self.listen(file, "segment.wav", "audio/wav", language).await
    }

    /// The name tells it what the file is (PROTOCOLS 4).
    async fn transcribe_file(
        &self,
        file: Bytes,
        mime_type: &str,
        language: &str,
    ) -> Result<Transcript, SpeechError> {
        let essence = mime_type.split(';').next().unwrap_or(mime_type).trim();
        let name = match essence {
            "audio/ogg" => "note.ogg",
            "audio/mpeg" => "note.mp3",
            "audio/mp4" | "audio/aac" => "note.m4a",
            "audio/wav" | "audio/x-wav" => "note.wav",
            _ => return Err(SpeechError::Refused("a kind of sound it does not read".to_owned())),
        };
        self.listen(file.to_vec(), name, essence, language).await
    }
}

impl OpenAi {
    async fn listen(
        &self,
        file: Vec<u8>,
        name: &'static str,
        mime_type: &str,
        language: &str,
    ) -> Result<Transcript, SpeechError> {
        let file = Part::bytes(file).file_name(name).mime_str(mime_type).map_err(broken)?;
        // ISO 639-1, not BCP 47.
        let language = language.split('-').next().unwrap_or(language).to_owned();
        let form = Form::new()
            .text("model", self.settings.listen_model.clone())
            .text("language", language)
            .text("response_format", "json")
            .part("file", file);
        let answer = self
            .client
            .post(self.url("/audio/transcriptions"))
            .header(header::AUTHORIZATION, authorization("Bearer", &self.key)?)
            .multipart(form)
            .send()
            .await
            .map_err(broken)?;
        let answer = checked(answer).await?.bytes().await.map_err(broken)?;
        Self::read_transcript(&answer)
    }
}

#[async_trait]
impl TextToSpeech for OpenAi {
    fn voice_of(&self, utterance: &Utterance<'_>) -> String {
        utterance.voice_at(self.name()).unwrap_or(&self.settings.voice).to_owned()
    }

    async fn speak(&self, utterance: &Utterance<'_>) -> Result<AudioStream, SpeechError> {
        let request = Speak {
            model: &self.settings.speak_model,
            input: utterance.text,
            voice: &self.voice_of(utterance),
            response_format: "pcm",
            speed: Some(utterance.rate)
                .filter(|r| *r != SpeechRate::NORMAL)
                .map(SpeechRate::factor),
        };
        let answer = self
            .client
            .post(self.url("/audio/speech"))
            .header(header::AUTHORIZATION, authorization("Bearer", &self.key)?)
            .json(&request)
            .send()
            .await
            .map_err(broken)?;
        let pcm = checked(answer).await?.bytes_stream();
        // The filter still holds the end of the sentence when the vendor is done.
        let pieces = pcm.map(Some).chain(stream::once(async { None }));
        let audio = pieces.scan(ThirdRate::default(), |rate, piece| {
            let converted = match piece {
                Some(Ok(pcm)) => Ok(encode(rate.push_le_bytes(&pcm))),
                Some(Err(e)) => Err(broken(e)),
                None => Ok(encode(rate.finish())),
            };
            futures::future::ready(Some(converted))
        });
        Ok(audio.boxed())
    }
}

fn encode(samples: Vec<i16>) -> Bytes {
    samples.into_iter().map(g711::encode).collect()
}

#[derive(Serialize)]
struct Speak<'a> {
    model: &'a str,
    input: &'a str,
    voice: &'a str,
    response_format: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<f32>,
}

#[derive(Deserialize)]
struct Heard {
    text: String,
}

#[derive(Deserialize)]
struct Fault {
    error: FaultDetail,
}

#[derive(Deserialize)]
struct FaultDetail {
    code: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// The answer, if it is one.
async fn checked(answer: Response) -> Result<Response, SpeechError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.bytes().await.unwrap_or_default();
    Err(OpenAi::read_refusal(status, &body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_no_words() {
        let heard = OpenAi::read_transcript(br#"{"text":" \n"}"#).unwrap();
        assert!(heard.text.is_empty() && heard.confidence == 0.0);
        let heard = OpenAi::read_transcript(br#"{"text":" Hello."}"#).unwrap();
        assert_eq!((heard.text.reveal(), heard.confidence), ("Hello.", 1.0));
    }

    #[test]
    fn of_an_error_only_a_code_is_kept() {
        let told = |code: &str| {
            let answer = format!(r#"{{"error":{{"message":"no: hello Ada","code":"{code}"}}}}"#);
            OpenAi::read_refusal(StatusCode::TOO_MANY_REQUESTS, answer.as_bytes())
        };
        assert_eq!(
            told("rate_limit_exceeded"),
            SpeechError::Busy("429 rate_limit_exceeded".into())
        );
        assert_eq!(
            told("insufficient_quota"),
            SpeechError::Denied("429 insufficient_quota".into())
        );
        assert_eq!(told("cannot say: hello Ada"), SpeechError::Busy("429".into()));
    }
}
