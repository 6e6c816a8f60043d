//! What the orchestrator is told by its environment (DESIGN 9).

use boot::{CommonSettings, ConfigError, Deployment, Environment, Reader};
use domain::TenantSettings;

use crate::{
    llm::{
        Bedrock, BedrockSettings, EmbeddingSettings, OpenAi, OpenAiSettings, Price, RulesEngine,
        SonicSettings,
    },
    tools::{OwnToolSettings, WeatherSettings},
};

/// Everything the orchestrator is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every service is told.
    pub common: CommonSettings,
    /// The models to ask, in order.
    pub models: Vec<ModelSettings>,
    /// Where documents are embedded; `None`: they are found by their words alone.
    pub embeddings: Option<EmbeddingSettings>,
    /// Connections to PostgreSQL at most (D1).
    pub database_connections: usize,
    /// How many messages are handled at once, at most.
    pub concurrency: usize,
    /// Where the weather comes from.
    pub weather: WeatherSettings,
    /// Where the tenants' own tools may be.
    pub own_tools: OwnToolSettings,
    /// The KMS key that wraps the tenants' data keys.
    pub kms_key: String,
}

/// One entry of `SB_LLM`.
#[derive(Clone, Debug)]
pub enum ModelSettings {
    /// The rules engine.
    Rules,
    /// An OpenAI-compatible endpoint; its key is the secret `{NAME}_API_KEY`.
    OpenAi(OpenAiSettings),
    /// A model of Amazon Bedrock; a key of Bedrock's own is the secret `{NAME}_API_KEY`.
    Bedrock(BedrockSettings),
    /// Nova Sonic, which hears and speaks; a key of Bedrock's own is the secret `BEDROCK_API_KEY`.
    Sonic(SonicSettings),
}

impl ModelSettings {
    /// The secret's name for an endpoint.
    pub(crate) fn key_of(name: &str) -> String {
        variable(name, "API_KEY")
    }
}

/// `SB_EMBEDDINGS` names an endpoint as `SB_LLM` does; `{NAME}_EMBEDDING_MODEL` its model. `bedrock` is Amazon Titan.
fn embedder(r: &mut Reader<'_>, name: String) -> Option<EmbeddingSettings> {
    if !is_name(&name) {
        r.fault("SB_EMBEDDINGS", format!("{name} is no name"));
        return None;
    }
    let key = |what: &str| -> &'static str { String::leak(variable(&name, what)) };
    if name == Bedrock::NAME {
        let model = r.optional("BEDROCK_EMBEDDING_MODEL");
        let model = model.unwrap_or_else(|| "amazon.titan-embed-text-v2:0".into());
        return Some(EmbeddingSettings { name, base_url: bedrock_url(r), model });
    }
    let is_openai = name == OpenAi::NAME;
    let base_url = r.url(key("BASE_URL"), is_openai.then_some("https://api.openai.com/v1"));
    let model = match is_openai {
        true => {
            let own = r.optional("OPENAI_EMBEDDING_MODEL");
            own.unwrap_or_else(|| "text-embedding-3-small".into())
        }
        false => r.required(key("EMBEDDING_MODEL")),
    };
    Some(EmbeddingSettings { name, base_url, model })
}

/// `OPENAI_MODEL` of `openai`, `OWN_VLLM_MODEL` of `own-vllm`.
fn variable(name: &str, what: &str) -> String {
    format!("{}_{what}", name.to_uppercase().replace('-', "_"))
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// An endpoint of any name: `{NAME}_BASE_URL`, `_MODEL`, `_API_VERSION` (Azure), `_PRICE_IN` and `_PRICE_OUT` in US dollars a
/// million tokens. OpenAI's own needs none of them.
fn endpoint(r: &mut Reader<'_>, name: &str) -> OpenAiSettings {
    // Read once, at the start; a fault names its variable as long as the process lives.
    let key = |what: &str| -> &'static str { String::leak(variable(name, what)) };
    let is_openai = name == OpenAi::NAME;
    let base_url = r.url(key("BASE_URL"), is_openai.then_some("https://api.openai.com/v1"));
    let model = match is_openai {
        true => r.optional("OPENAI_MODEL").unwrap_or_else(|| "gpt-4o-mini".into()),
        false => r.required(key("MODEL")),
    };
    let price = price(r, name);
    let api_version = r.optional(&variable(name, "API_VERSION"));
    OpenAiSettings { name: name.to_owned(), base_url, model, api_version, price }
}

/// `{NAME}_PRICE_IN` and `_PRICE_OUT`, in US dollars a million tokens.
fn price(r: &mut Reader<'_>, name: &str) -> Price {
    let mut price = |what| {
        let key: &'static str = String::leak(variable(name, what));
        let price: f64 = r.parsed(key, 0.0);
        if !(0.0..=10_000.0).contains(&price) {
            r.fault(key, "must be US dollars a million tokens");
        }
        price
    };
    Price { tokens_in: price("PRICE_IN"), tokens_out: price("PRICE_OUT") }
}

/// Where the SDK would look for it.
fn bedrock_url(r: &mut Reader<'_>) -> String {
    let region = r.optional("AWS_REGION").or_else(|| r.optional("AWS_DEFAULT_REGION"));
    let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
    bedrock_url_in(r, &region)
}

fn bedrock_url_in(r: &mut Reader<'_>, region: &str) -> String {
    let usual = r.optional("AWS_ENDPOINT_URL");
    let usual = usual.unwrap_or_else(|| format!("https://bedrock-runtime.{region}.amazonaws.com"));
    r.url("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", Some(&usual))
}

/// `bedrock` has a usual model, `bedrock-haiku` names its own by `BEDROCK_HAIKU_MODEL`.
fn bedrock(r: &mut Reader<'_>, name: &str) -> BedrockSettings {
    let base_url = bedrock_url(r);
    let model = match name == Bedrock::NAME {
        true => r.optional("BEDROCK_MODEL").unwrap_or_else(|| "amazon.nova-lite-v1:0".to_owned()),
        false => r.required(String::leak(variable(name, "MODEL"))),
    };
    BedrockSettings { name: name.to_owned(), base_url, model, price: price(r, name) }
}

/// `sonic` and `sonic-amy` are the same model, unless `SONIC_AMY_MODEL` names another, with voices of their own. There are few
/// regions where it is; `SONIC_REGION` names one where it is not at home.
fn sonic(r: &mut Reader<'_>, name: &str) -> SonicSettings {
    let region = r.optional(&variable(TenantSettings::SPEECH_MODEL, "REGION"));
    let base_url = match &region {
        Some(region) => bedrock_url_in(r, region),
        None => bedrock_url(r),
    };
    let model = r.optional(&variable(name, "MODEL"));
    let voice = r.optional(&variable(name, "VOICE"));
    SonicSettings {
        name: name.to_owned(),
        base_url,
        region,
        model: model.unwrap_or_else(|| "amazon.nova-2-sonic-v1:0".to_owned()),
        voice: voice.unwrap_or_else(|| "tiffany".to_owned()),
        price: price(r, name),
    }
}

fn is_bedrock(name: &str) -> bool {
    name.strip_prefix(Bedrock::NAME).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// G4.
const DEFAULT_REGION: &str = "ap-south-1";

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
                sonic if is_name(sonic) && TenantSettings::is_speech_model(sonic) => {
                    models.push(ModelSettings::Sonic(self::sonic(&mut r, sonic)));
                }
                bedrock if is_name(bedrock) && is_bedrock(bedrock) => {
                    models.push(ModelSettings::Bedrock(self::bedrock(&mut r, bedrock)));
                }
                endpoint if is_name(endpoint) => {
                    models.push(ModelSettings::OpenAi(self::endpoint(&mut r, endpoint)));
                }
                other => r.fault("SB_LLM", format!("{other} is no name")),
            }
        }
        let embeddings = r.optional("SB_EMBEDDINGS").and_then(|name| embedder(&mut r, name));
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
        let hosts = r.list("SB_TOOL_HOSTS", "");
        let own_tools = OwnToolSettings {
            hosts: hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect(),
            loopback: r.parsed("SB_TOOL_LOOPBACK", false),
        };
        if own_tools.loopback && common.deployment != Deployment::Development {
            r.fault("SB_TOOL_LOOPBACK", "is for development alone");
        }
        let kms_key = r.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".into());
        r.finish(Self {
            common,
            models,
            embeddings,
            database_connections,
            concurrency,
            weather,
            own_tools,
            kms_key,
        })
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
    fn endpoints_of_any_name_have_variables_of_their_own() {
        let config = read(&[
            ("SB_LLM", "azure,own-vllm,rules"),
            ("AZURE_BASE_URL", "https://x.openai.azure.com/openai/deployments/front"),
            ("AZURE_MODEL", "front"),
            ("AZURE_API_VERSION", "2024-10-21"),
            ("AZURE_PRICE_IN", "2.5"),
            ("AZURE_PRICE_OUT", "10"),
            ("OWN_VLLM_BASE_URL", "http://10.0.0.7:8000/v1/"),
            ("OWN_VLLM_MODEL", "qwen"),
        ]);
        let config = config.unwrap();
        let [ModelSettings::OpenAi(azure), ModelSettings::OpenAi(own), ModelSettings::Rules] =
            config.models.as_slice()
        else {
            panic!("{:?}", config.models)
        };
        assert_eq!((azure.name.as_str(), own.name.as_str()), ("azure", "own-vllm"));
        assert_eq!(azure.price, Price { tokens_in: 2.5, tokens_out: 10.0 });
        assert_eq!(own.base_url, "http://10.0.0.7:8000/v1");
        assert_eq!(ModelSettings::key_of(&own.name), "OWN_VLLM_API_KEY");
    }

    #[test]
    fn bedrock_is_found_where_its_sdk_would_find_it() {
        let config = read(&[
            ("SB_LLM", "bedrock,bedrock-haiku,rules"),
            ("AWS_REGION", "eu-west-1"),
            ("BEDROCK_HAIKU_MODEL", "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
            ("BEDROCK_HAIKU_PRICE_IN", "1"),
        ]);
        let config = config.unwrap();
        let [ModelSettings::Bedrock(usual), ModelSettings::Bedrock(haiku), ModelSettings::Rules] =
            config.models.as_slice()
        else {
            panic!("{:?}", config.models)
        };
        assert_eq!(usual.base_url, "https://bedrock-runtime.eu-west-1.amazonaws.com");
        assert_eq!(usual.model, "amazon.nova-lite-v1:0");
        assert_eq!((haiku.name.as_str(), haiku.price.tokens_in), ("bedrock-haiku", 1.0));
        let stand_in = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:4700/bedrock");
        let config = read(&[("SB_LLM", "bedrock"), stand_in]).unwrap();
        let [ModelSettings::Bedrock(given)] = config.models.as_slice() else { panic!() };
        assert_eq!(given.base_url, stand_in.1);
        let embeddings = read(&[("SB_EMBEDDINGS", "bedrock"), stand_in]).unwrap().embeddings;
        let embeddings = embeddings.expect("an endpoint of embeddings");
        assert_eq!(embeddings.base_url, stand_in.1);
        assert_eq!(embeddings.model, "amazon.titan-embed-text-v2:0");
    }

    #[test]
    fn a_model_that_speaks_may_be_in_a_region_of_its_own() {
        let config = read(&[
            ("SB_LLM", "rules,sonic,sonic-amy"),
            ("AWS_REGION", "ap-south-1"),
            ("SONIC_REGION", "us-east-1"),
            ("SONIC_AMY_VOICE", "amy"),
        ]);
        let config = config.unwrap();
        let [ModelSettings::Rules, ModelSettings::Sonic(usual), ModelSettings::Sonic(amy)] =
            config.models.as_slice()
        else {
            panic!("{:?}", config.models)
        };
        assert_eq!(usual.base_url, "https://bedrock-runtime.us-east-1.amazonaws.com");
        assert_eq!((usual.region.as_deref(), &*usual.voice), (Some("us-east-1"), "tiffany"));
        assert_eq!((&*amy.name, &*amy.voice, &amy.model), ("sonic-amy", "amy", &usual.model));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = read(&[("SB_LLM", "oracle"), ("SB_DATABASE_CONNECTIONS", "21")]).unwrap_err();
        let message = faults.to_string();
        assert!(message.contains("ORACLE_BASE_URL") && message.contains("2 to 20"), "{message}");
    }
}
