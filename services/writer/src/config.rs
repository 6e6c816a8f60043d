use std::time::Duration;

use boot::{CommonSettings, ConfigError, Environment};

/// Connections a task may have (D1).
const MAX_DATABASE_CONNECTIONS: usize = 20;

const DAY_S: u64 = 24 * 60 * 60;
/// Dead letters hold people's words: ten years is not for ever.
const LONGEST_DAYS: u32 = 3_650;

/// What the writer is told by its environment. Credentials are read apart, as secrets.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every service is told.
    pub common: CommonSettings,
    /// The KMS key that wraps the tenants' data keys (`SB_KMS_KEY`).
    pub kms_key: String,
    /// Connections to PostgreSQL, one of them for health (`SB_DATABASE_CONNECTIONS`).
    pub database_connections: usize,
    /// Events held at once (`SB_WRITER_EVENTS`).
    pub events_at_once: usize,
    /// Batches being committed at once (`SB_WRITER_BATCHES`).
    pub batches_at_once: usize,
    /// How long dead letters are kept after they were settled (`SB_DEAD_LETTERS_DAYS`).
    pub dead_letters_kept_for: Duration,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Every fault, in one message.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut r = environment.reader();
        let dead_letters_days: u32 = r.parsed("SB_DEAD_LETTERS_DAYS", 90);
        let config = Self {
            common: CommonSettings::read(&mut r, "writer"),
            kms_key: r.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".into()),
            database_connections: r.parsed("SB_DATABASE_CONNECTIONS", 10),
            events_at_once: r.parsed("SB_WRITER_EVENTS", 256),
            batches_at_once: r.parsed("SB_WRITER_BATCHES", 4),
            dead_letters_kept_for: Duration::from_secs(u64::from(dead_letters_days) * DAY_S),
        };
        if !(2..=MAX_DATABASE_CONNECTIONS).contains(&config.database_connections) {
            r.fault("SB_DATABASE_CONNECTIONS", "must be 2 to 20");
        }
        if config.events_at_once == 0 {
            r.fault("SB_WRITER_EVENTS", "must be at least 1");
        }
        if !(1..config.database_connections.max(2)).contains(&config.batches_at_once) {
            r.fault("SB_WRITER_BATCHES", "must be at least 1 and fewer than the connections");
        }
        if !(1..=LONGEST_DAYS).contains(&dead_letters_days) {
            r.fault("SB_DEAD_LETTERS_DAYS", "must be 1 to 3650");
        }
        r.finish(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_at_once() {
        let wrong: Environment = [
            ("SB_DATABASE_CONNECTIONS", "200"),
            ("SB_WRITER_EVENTS", "0"),
            ("SB_WRITER_BATCHES", "many"),
            ("SB_DEAD_LETTERS_DAYS", "0"),
        ]
        .into_iter()
        .collect();
        let message = Config::read(&wrong).unwrap_err().to_string();
        for key in [
            "SB_DATABASE_CONNECTIONS",
            "SB_WRITER_EVENTS",
            "SB_WRITER_BATCHES",
            "SB_DEAD_LETTERS_DAYS",
        ] {
            assert!(message.contains(key), "{message}");
        }
        assert!(Config::read(&Environment::default()).is_ok());
    }
}
