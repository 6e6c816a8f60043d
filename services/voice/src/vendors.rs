use std::sync::Arc;

use speech::{ApiKey, Client, Deepgram, OpenAi, Ordered, SpeechToText, TextToSpeech};
use vault::Secrets;

use crate::{Config, SpeechVendor};

/// Builds the vendors that `SB_STT` and `SB_TTS` name.
pub(crate) struct Vendors<'a> {
    config: &'a Config,
    secrets: &'a Secrets,
    client: Client,
}

impl<'a> Vendors<'a> {
    pub(crate) fn new(config: &'a Config, secrets: &'a Secrets) -> anyhow::Result<Self> {
        Ok(Self { config, secrets, client: speech::client()? })
    }

    /// Those who recognise, in order.
    pub(crate) async fn ears(&self) -> anyhow::Result<Ordered<dyn SpeechToText>> {
        let mut ears: Vec<Arc<dyn SpeechToText>> = Vec::new();
        for vendor in &self.config.ears {
            match vendor {
                SpeechVendor::Deepgram => ears.push(Arc::new(self.deepgram().await?)),
                SpeechVendor::OpenAi => ears.push(Arc::new(self.openai().await?)),
            }
        }
        Ok(Ordered::new(ears))
    }

    /// Those who speak, in order.
    pub(crate) async fn mouths(&self) -> anyhow::Result<Ordered<dyn TextToSpeech>> {
        let mut mouths: Vec<Arc<dyn TextToSpeech>> = Vec::new();
        for vendor in &self.config.mouths {
            match vendor {
                SpeechVendor::Deepgram => mouths.push(Arc::new(self.deepgram().await?)),
                SpeechVendor::OpenAi => mouths.push(Arc::new(self.openai().await?)),
            }
        }
        Ok(Ordered::new(mouths))
    }

    async fn deepgram(&self) -> anyhow::Result<Deepgram> {
        let key = self.key("DEEPGRAM_API_KEY").await?;
        Ok(Deepgram::new(self.client.clone(), self.config.deepgram.clone(), key))
    }

    async fn openai(&self) -> anyhow::Result<OpenAi> {
        let key = self.key("OPENAI_API_KEY").await?;
        Ok(OpenAi::new(self.client.clone(), self.config.openai.clone(), key))
    }

    async fn key(&self, name: &str) -> anyhow::Result<ApiKey> {
        let secret = self.secrets.get(name).await?;
        Ok(Arc::new(move || secret.current().reveal().to_owned()))
    }
}
