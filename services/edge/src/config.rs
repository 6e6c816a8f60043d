//! What `edge` is told: read once, every fault listed in one message (DESIGN 9).

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use boot::{CommonSettings, ConfigError, Environment};
use bus::Queue;
use vault::{RotatingSecret, SecretError, Secrets};

use crate::guard::client_address::{Ranges, TrustedProxies, VendorSources};

/// Connections a task may have (D1).
const MAX_DATABASE_CONNECTIONS: usize = 20;

/// The plain settings. Credentials are read apart, by [`Credentials::load`].
#[derive(Clone, Debug)]
pub struct Config {
    /// What every service is told.
    pub common: CommonSettings,
    /// Where vendors and browsers reach us (`SB_EDGE_LISTEN`).
    pub listen: SocketAddr,
    /// How the outside names us (`SB_PUBLIC_BASE_URL`): what vendors sign, and where sockets go.
    pub public_base_url: String,
    /// Whose `X-Forwarded-For` is believed (`SB_TRUSTED_PROXIES`).
    pub trusted_proxies: TrustedProxies,
    /// From where vendors' webhooks may come (`SB_WHATSAPP_SOURCES`, `SB_TWILIO_SOURCES`; E3).
    pub vendor_sources: VendorSources,
    /// Whether a media socket must be signed as well as carry its token (`SB_STREAM_SIGNATURE`). A wrong signature is
    /// refused in any case.
    pub stream_signature: StreamSignature,
    /// `TWILIO_API_BASE_URL`.
    pub twilio_api_base_url: String,
    /// `TWILIO_ACCOUNT_SID`; without it no text message is sent.
    pub twilio_account_sid: Option<String>,
    /// Meta's Graph API (`WHATSAPP_API_BASE_URL`).
    pub whatsapp_api_base_url: String,
    /// Its version (`WHATSAPP_API_VERSION`).
    pub whatsapp_api_version: String,
    /// What Meta takes from one of our numbers a second (`WHATSAPP_MESSAGES_PER_SECOND`).
    pub whatsapp_messages_per_second: u32,
    /// Where e-mail leaves (`AWS_ENDPOINT_URL_SESV2`); Amazon SES of the region unless said.
    pub ses_base_url: Option<String>,
    /// How long live calls may go on when the task is told to stop (`SB_CALL_DRAIN_SECONDS`; DESIGN 5).
    pub call_drain: Duration,
    /// How long a task that starts waits for its greetings and the like before it counts as ready without them
    /// (`SB_PROMPTS_PATIENCE_SECONDS`).
    pub prompts_patience: Duration,
    /// Sockets (calls and live events) that a task is meant to hold (`SB_EDGE_SOCKETS`): told beside those it holds, for
    /// scaling and the alarm at 80 % (F4).
    pub sockets: u32,
    /// The shared queues this task works on (`SB_EDGE_CONSUMES`, or `none`): all that are `edge`'s unless said, so that tasks
    /// may be set apart for webhooks, and measured.
    pub consumes: Vec<Queue>,
    /// Where the event log of each call is kept, for development (`SB_CALL_LOG_DIR`): it holds what was said and how it
    /// sounded. Nowhere by default.
    pub call_log_dir: Option<PathBuf>,
    /// The KMS key that wraps the tenants' data keys (`SB_KMS_KEY`).
    pub kms_key: String,
    /// Who makes the tokens that open the API (`SB_JWT_ISSUER`); asked for where there are keys for them.
    pub jwt_issuer: Option<String>,
    /// For whom they are made (`SB_JWT_AUDIENCE`).
    pub jwt_audience: String,
    /// The web pages of other origins that may use the API (`SB_CORS_ORIGINS`), such as `https://console.example.com`.
    pub cors_origins: Vec<String>,
    /// Requests of one caller of the API a minute (`SB_API_REQUESTS_PER_MINUTE`; E2).
    pub api_requests_per_minute: u32,
    /// Connections to PostgreSQL, one of them for health (`SB_DATABASE_CONNECTIONS`).
    pub database_connections: usize,
}

/// See [`Config::stream_signature`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamSignature {
    /// Checked where there is one. The default: which form Twilio signs behind a proxy is not settled (PROTOCOLS 9),
    /// and the one-time token proves the socket by itself.
    IfPresent,
    /// A socket without one is refused.
    Required,
}

impl std::str::FromStr for StreamSignature {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "if-present" => Ok(Self::IfPresent),
            "required" => Ok(Self::Required),
            _ => Err("must be if-present or required"),
        }
    }
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// All faults, in one message.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut r = environment.reader();
        let common = CommonSettings::read(&mut r, "edge");
        let mut ranges = |name| {
            Ranges::parse(&r.list(name, "")).unwrap_or_else(|fault| {
                r.fault(name, fault.to_string());
                Ranges::default()
            })
        };
        let trusted_proxies = TrustedProxies(ranges("SB_TRUSTED_PROXIES"));
        let vendor_sources = VendorSources {
            whatsapp: ranges("SB_WHATSAPP_SOURCES"),
            twilio: ranges("SB_TWILIO_SOURCES"),
        };
        let consumed = r.list("SB_EDGE_CONSUMES", "outbound,media,escalations,live");
        let consumes = consumes(&consumed).unwrap_or_else(|wrong| {
            r.fault("SB_EDGE_CONSUMES", format!("{wrong:?} is no queue of edge's"));
            Vec::new()
        });
        let config = Self {
            common,
            consumes,
            listen: r.parsed("SB_EDGE_LISTEN", SocketAddr::from(([0, 0, 0, 0], 8000))),
            public_base_url: r.url("SB_PUBLIC_BASE_URL", None),
            trusted_proxies,
            vendor_sources,
            stream_signature: r.parsed("SB_STREAM_SIGNATURE", StreamSignature::IfPresent),
            twilio_api_base_url: r.url("TWILIO_API_BASE_URL", Some("https://api.twilio.com")),
            twilio_account_sid: r.optional("TWILIO_ACCOUNT_SID"),
            whatsapp_api_base_url: r
                .url("WHATSAPP_API_BASE_URL", Some("https://graph.facebook.com")),
            whatsapp_api_version: r
                .optional("WHATSAPP_API_VERSION")
                .unwrap_or_else(|| "v26.0".into()),
            whatsapp_messages_per_second: r.parsed("WHATSAPP_MESSAGES_PER_SECOND", 80),
            ses_base_url: r.optional("AWS_ENDPOINT_URL_SESV2"),
            call_drain: r.seconds("SB_CALL_DRAIN_SECONDS", 90),
            prompts_patience: r.seconds("SB_PROMPTS_PATIENCE_SECONDS", 10),
            sockets: r.parsed("SB_EDGE_SOCKETS", 200),
            call_log_dir: r.optional("SB_CALL_LOG_DIR").map(PathBuf::from),
            kms_key: r.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".into()),
            jwt_issuer: r.optional("SB_JWT_ISSUER"),
            jwt_audience: r.optional("SB_JWT_AUDIENCE").unwrap_or_else(|| "switchboard".into()),
            cors_origins: r.list("SB_CORS_ORIGINS", ""),
            api_requests_per_minute: r.parsed("SB_API_REQUESTS_PER_MINUTE", 100),
            database_connections: r.parsed("SB_DATABASE_CONNECTIONS", 5),
        };
        if !(2..=MAX_DATABASE_CONNECTIONS).contains(&config.database_connections) {
            r.fault("SB_DATABASE_CONNECTIONS", "must be 2 to 20");
        }
        let is_origin = |origin: &String| {
            let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '*', ' ']))
        };
        if let Some(wrong) = config.cors_origins.iter().find(|origin| !is_origin(origin)) {
            let fault = format!("{wrong:?} is no origin such as https://console.example.com");
            r.fault("SB_CORS_ORIGINS", fault);
        }
        r.finish(config)
    }
}

fn consumes(names: &[String]) -> Result<Vec<Queue>, &str> {
    const OURS: [Queue; 4] = [Queue::Outbound, Queue::Media, Queue::Escalations, Queue::Live];
    if names == ["none"] {
        return Ok(Vec::new());
    }
    let queue = |name| OURS.into_iter().find(|queue| queue.name() == name);
    names.iter().map(|name| queue(name).ok_or(name.as_str())).collect()
}

/// The credentials: from the environment, else from Secrets Manager (DESIGN 9).
#[derive(Clone)]
pub struct Credentials {
    /// `DATABASE_URL`.
    pub database_url: Arc<RotatingSecret>,
    /// `REDIS_URL`.
    pub redis_url: Arc<RotatingSecret>,
    /// `TWILIO_AUTH_TOKEN`.
    pub twilio_auth_token: Arc<RotatingSecret>,
    /// `WHATSAPP_ACCESS_TOKEN`.
    pub whatsapp_access_token: Arc<RotatingSecret>,
    /// `WHATSAPP_APP_SECRET`.
    pub whatsapp_app_secret: Arc<RotatingSecret>,
    /// `WHATSAPP_VERIFY_TOKEN`.
    pub whatsapp_verify_token: Arc<RotatingSecret>,
    /// `SB_STREAM_TOKEN_KEY`; without it all edge tasks derive the same key from the Twilio token.
    pub stream_token_key: Option<Arc<RotatingSecret>>,
    /// `SB_JWT_KEYS`, a JWK set; without it the API takes no tokens, only keys.
    pub jwt_keys: Option<Arc<RotatingSecret>>,
}

impl Credentials {
    /// Reads all of them.
    ///
    /// # Errors
    /// When one that is needed is nowhere.
    pub async fn load(secrets: &Secrets) -> Result<Self, SecretError> {
        Ok(Self {
            database_url: secrets.get("DATABASE_URL").await?,
            redis_url: secrets.get("REDIS_URL").await?,
            twilio_auth_token: secrets.get("TWILIO_AUTH_TOKEN").await?,
            whatsapp_access_token: secrets.get("WHATSAPP_ACCESS_TOKEN").await?,
            whatsapp_app_secret: secrets.get("WHATSAPP_APP_SECRET").await?,
            whatsapp_verify_token: secrets.get("WHATSAPP_VERIFY_TOKEN").await?,
            stream_token_key: secrets.find("SB_STREAM_TOKEN_KEY").await?,
            jwt_keys: secrets.find("SB_JWT_KEYS").await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_start_names_every_fault_at_once() {
        let env: Environment = [
            ("SB_EDGE_LISTEN", "everywhere"),
            ("SB_TRUSTED_PROXIES", "10.0.0.0/16, balancer"),
            ("SB_TWILIO_SOURCES", "twilio.com"),
            ("SB_STREAM_SIGNATURE", "maybe"),
            ("SB_CORS_ORIGINS", "https://a.example, *"),
            ("SB_EDGE_CONSUMES", "outbound, writer"),
        ]
        .into_iter()
        .collect();
        let message = Config::read(&env).unwrap_err().to_string();
        for key in [
            "SB_EDGE_LISTEN",
            "SB_TRUSTED_PROXIES",
            "SB_TWILIO_SOURCES",
            "SB_STREAM_SIGNATURE",
            "SB_PUBLIC_BASE_URL",
            "SB_CORS_ORIGINS",
            "SB_EDGE_CONSUMES",
        ] {
            assert!(message.contains(key), "{message}");
        }
    }
}
