//! What the orchestrator is told by its environment (DESIGN 9).

use boot::{CommonSettings, ConfigError, Environment};

use crate::{
    llm::{OpenAi, OpenAiSettings, RulesEngine},
    tools::WeatherSettings,
};

/// Everything the orchestrator is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every service is told.
    pub common: CommonSettings,
    /// The models to ask, in order.
    pub models: Vec<ModelSettings>,
    /// Connections to PostgreSQL at most (D1).
    pub database_connections: usize,
    /// How many messages are handled at once, at most.
    pub concurrency: usize,
    /// Where the weather comes from.
    pub weather: WeatherSettings,
    /// The KMS key that wraps the tenants' data keys.
    pub kms_key: String,
}

/// One entry of `SB_LLM`.
#[derive(Clone, Debug)]
pub enum ModelSettings {
    /// The rules engine.
    Rules,
    /// An OpenAI-compatible endpoint; its key is the secret `OPENAI_API_KEY`.
    OpenAi(OpenAiSettings),
}

/// The most connections a task may hold (D1).
const DATABASE_CONNECTIONS_MAX: usize = 20;

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// Every fault, in one message.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut r = environment.reader();
        let common = CommonSettings::read(&mut r, "orchestrator");
        let mut models = Vec::new();
        let names = r.list("SB_LLM", RulesEngine::NAME);
        if names.is_empty() {
            r.fault("SB_LLM", "names no model");
        }
        for name in names {
            match name.as_str() {
                RulesEngine::NAME => models.push(ModelSettings::Rules),
                OpenAi::NAME => models.push(ModelSettings::OpenAi(OpenAiSettings {
                    base_url: r.url("OPENAI_BASE_URL", Some("https://api.openai.com/v1")),
                    model: r.optional("OPENAI_MODEL").unwrap_or_else(|| "gpt-4o-mini".into()),
                })),
                other => r.fault("SB_LLM", format!("{other} is not one of rules, openai")),
            }
        }
        let database_connections = r.parsed("SB_DATABASE_CONNECTIONS", 10);
        if !(2..=DATABASE_CONNECTIONS_MAX).contains(&database_connections) {
            r.fault("SB_DATABASE_CONNECTIONS", "must be 2 to 20");
        }
        let concurrency = r.parsed("SB_CONCURRENCY", 64);
        let weather = WeatherSettings {
            forecast_url: r.url("SB_WEATHER_BASE_URL", Some("https://api.open-meteo.com")),
            geocoding_url: r
                .url("SB_GEOCODING_BASE_URL", Some("https://geocoding-api.open-meteo.com")),
        };
        let kms_key = r.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".into());
        r.finish(Self { common, models, database_connections, concurrency, weather, kms_key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(&vars.iter().copied().collect())
    }

    #[test]
    fn the_rules_engine_serves_where_nothing_is_said() {
        let config = read(&[]).unwrap();
        assert!(matches!(config.models.as_slice(), [ModelSettings::Rules]));
    }

    #[test]
    fn models_are_asked_in_the_order_of_the_list() {
        let config = read(&[("SB_LLM", "openai, rules"), ("OPENAI_MODEL", "m")]).unwrap();
        let [ModelSettings::OpenAi(openai), ModelSettings::Rules] = config.models.as_slice() else {
            panic!("{:?}", config.models);
        };
        assert_eq!(openai.base_url, "https://api.openai.com/v1");
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = read(&[("SB_LLM", "oracle"), ("SB_DATABASE_CONNECTIONS", "21")]).unwrap_err();
        let message = faults.to_string();
        assert!(message.contains("oracle") && message.contains("2 to 20"), "{message}");
    }
}
