//! The orchestrator: chooses the agent of a turn, asks a language model, and sends the reply
//! sentence by sentence (DESIGN 3.4). `design.md` beside this crate says how a turn survives the
//! task that runs it.

mod attachments;
mod config;
mod context;
mod handlers;
mod hooks;
mod ledger;
mod llm;
mod outlet;
mod tenants;
mod tools;
mod turn;
mod voice_notes;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::Context as _;
use aws_config::SdkConfig;
use cache::Cache;
use store::Store;
use tokio_util::sync::CancellationToken;
use vault::{RotatingSecret, Secrets};

pub use config::{Config, ModelSettings};
pub use handlers::Orchestrator;
pub use llm::{
    AnswerBytes, Asked, Bedrock, BedrockSettings, Delta, Deltas, EmbeddingSettings, Embeddings,
    Exchange, ModelError, OpenAi, OpenAiSettings, Price, Sonic, SonicSettings, Spoken, Usage, sse,
};
pub use tools::{HeldBookings, OwnToolSettings, WeatherSettings};

use crate::{
    attachments::Files,
    hooks::CallHook,
    llm::{AwsIdentity, BedrockAccess, Guarded, LanguageModel, RulesEngine},
    tenants::Tenants,
    tools::{OpenMeteo, OwnTools, Tools},
};

/// What the handlers work with.
pub(crate) struct Shell {
    pub(crate) cache: Cache,
    pub(crate) store: Store,
    /// What people sent.
    pub(crate) files: Files,
    pub(crate) tenants: Arc<Tenants>,
    /// In the order they are asked.
    pub(crate) models: Vec<Arc<dyn LanguageModel>>,
    pub(crate) tools: Tools,
    pub(crate) hooks: Vec<Arc<dyn CallHook>>,
}

impl Orchestrator {
    /// An orchestrator over Redis, PostgreSQL and the S3 that `aws` names. It reads the tenants until `stop`.
    ///
    /// # Errors
    /// When a model's key cannot be had, or its client not be built.
    pub async fn start(
        config: &Config,
        aws: &SdkConfig,
        cache: Cache,
        store: Store,
        secrets: &Secrets,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut models: Vec<Arc<dyn LanguageModel>> = Vec::new();
        for settings in &config.models {
            models.push(match settings {
                ModelSettings::Rules => Arc::new(RulesEngine),
                ModelSettings::OpenAi(openai) => {
                    let key = secrets
                        .find(&ModelSettings::key_of(&openai.name))
                        .await
                        .context("find the model's key")?;
                    Arc::new(Guarded::new(Arc::new(OpenAi::new(openai.clone(), key)?)))
                }
                ModelSettings::Bedrock(bedrock) => {
                    let key = secrets
                        .find(&ModelSettings::key_of(&bedrock.name))
                        .await
                        .context("find the model's key")?;
                    let access = bedrock_access(key, aws)?;
                    Arc::new(Guarded::new(Arc::new(Bedrock::new(bedrock.clone(), access)?)))
                }
                ModelSettings::Sonic(sonic) => {
                    let key = secrets
                        .find(&ModelSettings::key_of(Bedrock::NAME))
                        .await
                        .context("find the model's key")?;
                    let access = match (bedrock_access(key, aws)?, &sonic.region) {
                        (BedrockAccess::Signed(identity), Some(region)) => {
                            BedrockAccess::Signed(identity.in_region(region))
                        }
                        (access, _) => access,
                    };
                    Arc::new(Guarded::new(Arc::new(Sonic::new(sonic.clone(), access)?)))
                }
            });
        }
        let tenants = Arc::new(Tenants::new(store.clone()));
        tokio::spawn(tenants.clone().keep_fresh(stop.clone()));
        let embeddings = match &config.embeddings {
            Some(settings) => {
                let key = secrets
                    .find(&ModelSettings::key_of(&settings.name))
                    .await
                    .context("find the key of the embeddings")?;
                Some(Arc::new(match settings.name == Bedrock::NAME {
                    true => Embeddings::titan(settings.clone(), bedrock_access(key, aws)?)?,
                    false => Embeddings::new(settings.clone(), key)?,
                }))
            }
            None => None,
        };
        if let Some(embeddings) = &embeddings {
            let (embeddings, store) = (embeddings.clone(), store.clone());
            tokio::spawn(tools::keep_embedded(embeddings, store, tenants.clone(), stop));
        }
        let weather = OpenMeteo::new(config.weather.clone())?;
        let own = OwnTools::new(config.own_tools.clone(), Some(secrets.clone()))?;
        let tools = Tools::new(weather, embeddings, config.database_connections).with_own(own);
        let (files, hooks) = (Files::new(aws), hooks::all());
        let shell = Shell { cache, store, files, tenants, models, tools, hooks };
        Ok(Self { shell: Arc::new(shell) })
    }

    /// The handler of the bookings that this orchestrator's turns held.
    pub fn held_bookings(&self) -> HeldBookings {
        HeldBookings { shell: self.shell.clone() }
    }
}

/// With a key of Bedrock's own, else as we are at AWS.
fn bedrock_access(
    key: Option<Arc<RotatingSecret>>,
    aws: &SdkConfig,
) -> anyhow::Result<BedrockAccess> {
    Ok(match key {
        Some(key) => BedrockAccess::Key(key),
        None => BedrockAccess::Signed(AwsIdentity::new(aws)?),
    })
}
