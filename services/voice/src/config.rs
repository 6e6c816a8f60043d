use boot::{CommonSettings, ConfigError, Environment, Reader};
use speech::{DeepgramSettings, OpenAiSettings};

/// What a voice task is told by its environment (DESIGN 9). Credentials are no part of it.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every service is told.
    pub common: CommonSettings,
    /// Who recognises, in order (`SB_STT`).
    pub ears: Vec<SpeechVendor>,
    /// Who speaks, in order (`SB_TTS`).
    pub mouths: Vec<SpeechVendor>,
    /// Deepgram.
    pub deepgram: DeepgramSettings,
    /// OpenAI, or what speaks like it.
    pub openai: OpenAiSettings,
    /// Jobs of one queue at once (`SB_VOICE_CONCURRENCY`).
    pub concurrency: usize,
}

/// A speech vendor, by its name in `SB_STT` and `SB_TTS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpeechVendor {
    /// `deepgram`.
    Deepgram,
    /// `openai`.
    OpenAi,
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
            ears: vendors(&mut r, "SB_STT"),
            mouths: vendors(&mut r, "SB_TTS"),
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
            concurrency: r.parsed("SB_VOICE_CONCURRENCY", 64),
        };
        r.finish(config)
    }
}

fn vendors(r: &mut Reader<'_>, key: &'static str) -> Vec<SpeechVendor> {
    let mut vendors = Vec::new();
    for name in r.list(key, "deepgram") {
        match name.as_str() {
            "deepgram" => vendors.push(SpeechVendor::Deepgram),
            "openai" => vendors.push(SpeechVendor::OpenAi),
            _ => r.fault(key, "may name deepgram and openai, separated by commas"),
        }
    }
    vendors
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
        assert_eq!(config.ears, [SpeechVendor::OpenAi, SpeechVendor::Deepgram]);
        assert_eq!(config.mouths, [SpeechVendor::Deepgram]);
    }

    #[test]
    fn a_wrong_start_names_every_fault_at_once() {
        let faults = read(&[("SB_STT", "whisper"), ("DEEPGRAM_BASE_URL", "ftp://x")]);
        let message = faults.unwrap_err().to_string();
        assert!(message.contains("SB_STT") && message.contains("DEEPGRAM_BASE_URL"), "{message}");
    }
}
