use std::sync::Arc;

use anyhow::Context as _;
use aws_config::SdkConfig;
use speech::{
    ApiKey, AwsAccess, Client, Deepgram, OpenAi, Ordered, Polly, SpeechToText, TextToSpeech,
    Transcribe,
};
use vault::Secrets;

use crate::Config;

/// Builds the vendors that can be asked: those that `SB_STT` and `SB_TTS` name, and every other one
/// there are credentials for, which a tenant may name (C8).
pub(crate) struct Vendors<'a> {
    config: &'a Config,
    secrets: &'a Secrets,
    aws: &'a SdkConfig,
    client: Client,
}

impl<'a> Vendors<'a> {
    pub(crate) fn new(
        config: &'a Config,
        aws: &'a SdkConfig,
        secrets: &'a Secrets,
    ) -> anyhow::Result<Self> {
        Ok(Self { config, secrets, aws, client: speech::client()? })
    }

    /// Those who recognise.
    pub(crate) async fn ears(&self) -> anyhow::Result<Ordered<dyn SpeechToText>> {
        let mut ears: Vec<Arc<dyn SpeechToText>> = Vec::new();
        if let Some(deepgram) = self.deepgram().await? {
            ears.push(Arc::new(deepgram));
        }
        if let Some(openai) = self.openai().await? {
            ears.push(Arc::new(openai));
        }
        if let Ok(access) = AwsAccess::new(self.aws) {
            ears.push(Arc::new(Transcribe::new(self.config.transcribe.clone(), access)));
        }
        let known: Vec<_> = ears.iter().map(|vendor| vendor.name()).collect();
        complete("SB_STT", &self.config.ears, &known)?;
        Ok(Ordered::new(ears, self.config.ears.clone()))
    }

    /// Those who speak.
    pub(crate) async fn mouths(&self) -> anyhow::Result<Ordered<dyn TextToSpeech>> {
        let mut mouths: Vec<Arc<dyn TextToSpeech>> = Vec::new();
        if let Some(deepgram) = self.deepgram().await? {
            mouths.push(Arc::new(deepgram));
        }
        if let Some(openai) = self.openai().await? {
            mouths.push(Arc::new(openai));
        }
        if let Ok(access) = AwsAccess::new(self.aws) {
            let (client, settings) = (self.client.clone(), self.config.polly.clone());
            mouths.push(Arc::new(Polly::new(client, settings, access)));
        }
        let known: Vec<_> = mouths.iter().map(|vendor| vendor.name()).collect();
        complete("SB_TTS", &self.config.mouths, &known)?;
        Ok(Ordered::new(mouths, self.config.mouths.clone()))
    }

    async fn deepgram(&self) -> anyhow::Result<Option<Deepgram>> {
        let key = self.key("DEEPGRAM_API_KEY").await?;
        let (client, settings) = (self.client.clone(), self.config.deepgram.clone());
        Ok(key.map(|key| Deepgram::new(client, settings, key)))
    }

    async fn openai(&self) -> anyhow::Result<Option<OpenAi>> {
        let key = self.key("OPENAI_API_KEY").await?;
        let (client, settings) = (self.client.clone(), self.config.openai.clone());
        Ok(key.map(|key| OpenAi::new(client, settings, key)))
    }

    async fn key(&self, name: &str) -> anyhow::Result<Option<ApiKey>> {
        let secret = self.secrets.find(name).await?;
        Ok(secret
            .map(|secret| -> ApiKey { Arc::new(move || secret.current().reveal().to_owned()) }))
    }
}

/// Every vendor the task is told to ask must be there.
fn complete(key: &str, named: &[&str], known: &[&str]) -> anyhow::Result<()> {
    let missing = named.iter().find(|name| !known.contains(name));
    missing.map_or(Some(()), |_| None).with_context(|| {
        format!("{key} names {}, for which there are no credentials", missing.unwrap_or(&""))
    })
}
