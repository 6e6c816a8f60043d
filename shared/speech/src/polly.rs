use async_trait::async_trait;
use domain::SpeechRate;
use futures::{StreamExt as _, stream};
use reqwest::{Client, Response, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::{
    AudioStream, SAMPLE_RATE_HZ, SpeechError, TextToSpeech, Utterance, Vendor,
    aws::AwsAccess,
    http::{broken, code, refused},
    pcm::MuLawEncoder,
};

/// What Polly is told.
#[derive(Clone, Debug)]
pub struct PollySettings {
    /// Polly's endpoint (`AWS_ENDPOINT_URL_POLLY`), without a trailing slash.
    pub base_url: String,
    /// `standard`, `neural`, `long-form` or `generative`.
    pub engine: String,
    /// The voice where the tenant names none.
    pub voice: String,
}

/// Amazon Polly: `SynthesizeSpeech` (PROTOCOLS 5.3). 16-bit samples are asked for, which every engine
/// gives at 8 kHz.
pub struct Polly {
    client: Client,
    settings: PollySettings,
    access: AwsAccess,
}

const JSON: &str = "application/json";

impl Polly {
    /// Polly at the base URL of `settings`.
    pub fn new(client: Client, settings: PollySettings, access: AwsAccess) -> Self {
        Self { client, settings, access }
    }

    /// What an answer other than 2xx means, `named` by its header `x-amzn-errortype` where it has one. Of an error only its
    /// type is kept.
    pub fn read_refusal(status: StatusCode, named: Option<&str>, answer: &[u8]) -> SpeechError {
        let fault = || serde_json::from_slice::<Fault>(answer).ok()?.kind;
        let named = named.map(str::to_owned).or_else(fault).unwrap_or_default();
        meaning(status, error_type(&named))
    }
}

impl Vendor for Polly {
    fn name(&self) -> &'static str {
        "polly"
    }
}

#[async_trait]
impl TextToSpeech for Polly {
    fn voice_of(&self, utterance: &Utterance<'_>) -> String {
        utterance.voice_at(self.name()).unwrap_or(&self.settings.voice).to_owned()
    }

    async fn speak(&self, utterance: &Utterance<'_>) -> Result<AudioStream, SpeechError> {
        let (text, text_type) = match utterance.rate {
            SpeechRate::NORMAL => (utterance.text.to_owned(), "text"),
            rate => (slowed(utterance.text, rate), "ssml"),
        };
        let request = Synthesize {
            engine: &self.settings.engine,
            output_format: "pcm",
            sample_rate: SAMPLE_RATE_HZ.to_string(),
            text: &text,
            text_type,
            voice_id: &self.voice_of(utterance),
        };
        let body = serde_json::to_vec(&request)
            .map_err(|_| SpeechError::Refused("the text is no JSON".to_owned()))?;
        let url = format!("{}/v1/speech", self.settings.base_url);
        let signature = self.access.sign_post("polly", &url, JSON, &body).await?;
        let mut ask = self.client.post(url).header(header::CONTENT_TYPE, JSON).body(body);
        for (name, value) in signature {
            ask = ask.header(name, value);
        }
        let pcm = checked(ask.send().await.map_err(broken)?).await?.bytes_stream();
        // An odd byte at the very end is no sample.
        let audio =
            stream::unfold((pcm, MuLawEncoder::default()), |(mut pcm, mut encoder)| async {
                let piece = pcm.next().await?.map(|piece| encoder.encode(&piece)).map_err(broken);
                Some((piece, (pcm, encoder)))
            });
        Ok(audio.boxed())
    }
}

fn slowed(text: &str, rate: SpeechRate) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<speak><prosody rate=\"{}%\">{text}</prosody></speak>", rate.as_percent())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Synthesize<'a> {
    engine: &'a str,
    output_format: &'a str,
    sample_rate: String,
    text: &'a str,
    text_type: &'a str,
    voice_id: &'a str,
}

/// The answer, if it is one.
async fn checked(answer: Response) -> Result<Response, SpeechError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let named = answer.headers().get("x-amzn-errortype").and_then(|v| v.to_str().ok());
    let named = named.map(str::to_owned);
    let body = answer.bytes().await.unwrap_or_default();
    Err(Polly::read_refusal(status, named.as_deref(), &body))
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "__type")]
    kind: Option<String>,
}

/// `ThrottlingException` of `com.amazonaws.polly#ThrottlingException:http://…`.
fn error_type(named: &str) -> &str {
    let named = named.split(':').next().unwrap_or_default();
    code(named.rsplit('#').next().unwrap_or_default()).unwrap_or_default()
}

/// AWS throttles with 400 as well as with 429.
fn meaning(status: StatusCode, kind: &str) -> SpeechError {
    match kind {
        "ThrottlingException" | "TooManyRequestsException" | "LimitExceededException" => {
            SpeechError::Busy(format!("{} {kind}", status.as_u16()))
        }
        _ => refused(status, kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_an_error_is_found_however_it_is_written() {
        let long = "com.amazonaws.polly#ThrottlingException:http://internal/";
        assert_eq!(error_type(long), "ThrottlingException");
        let busy = meaning(StatusCode::BAD_REQUEST, error_type(long));
        assert_eq!(busy, SpeechError::Busy("400 ThrottlingException".to_owned()));
        let within = br#"{"__type":"com.amazonaws.polly#InvalidSsmlException"}"#;
        let refused = Polly::read_refusal(StatusCode::BAD_REQUEST, None, within);
        assert_eq!(refused, SpeechError::Refused("400 InvalidSsmlException".to_owned()));
        assert_eq!(error_type("cannot say hello Ada"), "");
    }

    #[test]
    fn slower_text_cannot_break_out_of_its_markup() {
        let ssml = slowed("5 < 6 & 7 > 6</speak>", SpeechRate::SLOWER);
        let inside = "5 &lt; 6 &amp; 7 &gt; 6&lt;/speak&gt;";
        assert_eq!(ssml, format!("<speak><prosody rate=\"80%\">{inside}</prosody></speak>"));
    }
}
