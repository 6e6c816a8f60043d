use boot::{CommonSettings, ConfigError, Environment, Reader};
use domain::TenantSettings;
use speech::{DeepgramSettings, OpenAiSettings, PollySettings, TranscribeSettings};

/// Where the infrastructure stands unless told otherwise (G4).
const DEFAULT_REGION: &str = "ap-south-1";

/// What a voice task is told by its environment (DESIGN 9). Credentials are no part of it.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every service is told.
    pub common: CommonSettings,
    /// Who recognises, in order (`SB_STT`).
    pub ears: Vec<&'static str>,
    /// Who speaks, in order (`SB_TTS`).
    pub mouths: Vec<&'static str>,
    /// Deepgram.
    pub deepgram: DeepgramSettings,
    /// OpenAI, or what speaks like it.
    pub openai: OpenAiSettings,
    /// Amazon Polly.
    pub polly: PollySettings,
    /// Amazon Transcribe.
    pub transcribe: TranscribeSettings,
    /// Jobs of one queue at once (`SB_VOICE_CONCURRENCY`).
    pub concurrency: usize,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// All faults in one message.
    pub fn read(env: &Environment) -> Result<Self, ConfigError> {
        let mut r = env.reader();
        let text = |r: &Reader<'_>, key: &str, default: &str| {
            r.optional(key).unwrap_or_else(|| default.to_owned())
        };
        let config = Self {
            common: CommonSettings::read(&mut r, "voice"),
            ears: vendors(&mut r, "SB_STT", TenantSettings::STT_VENDORS),
            mouths: vendors(&mut r, "SB_TTS", TenantSettings::TTS_VENDORS),
            deepgram: DeepgramSettings {
                base_url: r.url("DEEPGRAM_BASE_URL", Some("https://api.deepgram.com")),
                listen_model: text(&r, "DEEPGRAM_LISTEN_MODEL", "nova-3"),
            },
            openai: OpenAiSettings {
                base_url: r.url("OPENAI_BASE_URL", Some("https://api.openai.com/v1")),
                listen_model: text(&r, "OPENAI_LISTEN_MODEL", "gpt-4o-mini-transcribe"),
                speak_model: text(&r, "OPENAI_SPEAK_MODEL", "gpt-4o-mini-tts"),
                voice: text(&r, "OPENAI_VOICE", "alloy"),
            },
            polly: PollySettings {
                base_url: amazon(&mut r, "AWS_ENDPOINT_URL_POLLY", "polly", ""),
                engine: text(&r, "POLLY_ENGINE", "neural"),
                voice: text(&r, "POLLY_VOICE", "Joanna"),
            },
            transcribe: TranscribeSettings {
                base_url: amazon(
                    &mut r,
                    "AWS_ENDPOINT_URL_TRANSCRIBE_STREAMING",
                    "transcribestreaming",
                    // Where its WebSockets listen (PROTOCOLS 5.3).
                    ":8443",
                ),
            },
            concurrency: r.parsed("SB_VOICE_CONCURRENCY", 64),
        };
        r.finish(config)
    }
}

fn vendors(
    r: &mut Reader<'_>,
    key: &'static str,
    known: &'static [&'static str],
) -> Vec<&'static str> {
    let mut vendors = Vec::new();
    for name in r.list(key, "deepgram") {
        match known.iter().find(|known| **known == name) {
            Some(known) => vendors.push(*known),
            None => r.fault(key, format!("may name {}, separated by commas", known.join(", "))),
        }
    }
    vendors
}

/// The endpoint of an Amazon service: the one of its own variable, else the one of every service, else
/// that of the region, as the SDK looks for it.
fn amazon(r: &mut Reader<'_>, key: &'static str, service: &str, port: &str) -> String {
    let region = r.optional("AWS_REGION").or_else(|| r.optional("AWS_DEFAULT_REGION"));
    let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
    let usual = r.optional("AWS_ENDPOINT_URL");
    let usual = usual.unwrap_or_else(|| format!("https://{service}.{region}.amazonaws.com{port}"));
    r.url(key, Some(&usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(&vars.iter().copied().collect())
    }

    #[test]
    fn vendors_take_over_in_the_order_they_are_named() {
        let config = read(&[("SB_STT", "openai, deepgram")]).unwrap();
        assert_eq!(config.ears, ["openai", "deepgram"]);
        assert_eq!(config.mouths, ["deepgram"]);
    }

    #[test]
    fn amazon_is_found_where_its_sdk_would_find_it() {
        let real = read(&[("AWS_REGION", "eu-west-1")]).unwrap();
        assert_eq!(real.polly.base_url, "https://polly.eu-west-1.amazonaws.com");
        let streaming = "https://transcribestreaming.eu-west-1.amazonaws.com:8443";
        assert_eq!(real.transcribe.base_url, streaming);
        let stand_in = ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566");
        let own = ("AWS_ENDPOINT_URL_POLLY", "http://127.0.0.1:4700/polly");
        let given = read(&[stand_in, own]).unwrap();
        assert_eq!(given.polly.base_url, own.1);
        assert_eq!(given.transcribe.base_url, stand_in.1);
    }

    #[test]
    fn a_wrong_start_names_every_fault_at_once() {
        let faults = read(&[("SB_STT", "whisper"), ("DEEPGRAM_BASE_URL", "ftp://x")]);
        let message = faults.unwrap_err().to_string();
        assert!(message.contains("SB_STT") && message.contains("DEEPGRAM_BASE_URL"), "{message}");
    }
}
