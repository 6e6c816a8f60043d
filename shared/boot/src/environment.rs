use std::{collections::HashMap, fmt, str::FromStr, time::Duration};

const LONGEST_SECONDS: u32 = 24 * 60 * 60;

/// The variables a process was started with, as a value: a test passes a map (DESIGN 9).
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars().collect())
    }

    /// A variable's value; an empty one counts as not set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// A reader that collects every fault instead of stopping at the first.
    pub fn reader(&self) -> Reader<'_> {
        Reader { environment: self, faults: Vec::new() }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(vars: I) -> Self {
        Self(vars.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

/// Where the process runs. `production` is strict: no plain http to vendors, JSON logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deployment {
    /// One machine, or a test.
    Development,
    /// As production, with other data.
    Staging,
    /// Real callers.
    Production,
}

/// Reads variables into typed values. Every fault is kept and reported together by
/// [`Reader::finish`], so that an operator mends a wrong start once, not variable by variable.
pub struct Reader<'a> {
    environment: &'a Environment,
    faults: Vec<(&'static str, String)>,
}

impl Reader<'_> {
    /// A variable that must be set.
    pub fn required(&mut self, key: &'static str) -> String {
        self.optional(key).unwrap_or_else(|| {
            self.fault(key, "is not set");
            String::new()
        })
    }

    /// A variable that may be missing.
    pub fn optional(&self, key: &str) -> Option<String> {
        self.environment.get(key).map(str::to_owned)
    }

    /// A variable with a default, parsed.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, key: &'static str, default: T) -> T {
        match self.environment.get(key).map(T::from_str) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(e)) => {
                self.fault(key, e.to_string());
                default
            }
        }
    }

    /// Whole seconds, a day at most: no configuration makes a time that cannot be computed.
    pub fn seconds(&mut self, key: &'static str, default: u32) -> Duration {
        let seconds = self.parsed(key, default);
        if seconds > LONGEST_SECONDS {
            self.fault(key, format!("must be 0 to {LONGEST_SECONDS}"));
        }
        Duration::from_secs(seconds.into())
    }

    /// A list, split at commas; blanks around the entries do not count.
    pub fn list(&mut self, key: &'static str, default: &str) -> Vec<String> {
        let text = self.environment.get(key).unwrap_or(default);
        text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
    }

    /// A base URL: http or https (in production https alone), returned without a trailing slash.
    pub fn url(&mut self, key: &'static str, default: Option<&str>) -> String {
        let Some(text) = self.environment.get(key).or(default) else {
            self.fault(key, "is not set");
            return String::new();
        };
        let url = text.trim_end_matches('/').to_owned();
        let plain = url.strip_prefix("http://");
        match plain.or_else(|| url.strip_prefix("https://")) {
            None | Some("") => self.fault(key, "must be a URL beginning with https:// or http://"),
            Some(_) if plain.is_some() && self.deployment() == Deployment::Production => {
                self.fault(key, "must be https in production");
            }
            Some(_) => {}
        }
        url
    }

    /// `SB_ENV`; development where it is not set.
    pub fn deployment(&mut self) -> Deployment {
        match self.environment.get("SB_ENV") {
            None | Some("development") => Deployment::Development,
            Some("staging") => Deployment::Staging,
            Some("production") => Deployment::Production,
            Some(_) => {
                self.fault("SB_ENV", "must be development, staging or production");
                Deployment::Development
            }
        }
    }

    /// Notes a fault of a variable: what is wrong and what would be right.
    pub fn fault(&mut self, key: &'static str, problem: impl Into<String>) {
        let fault = (key, problem.into());
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// The configuration, if no fault was found.
    ///
    /// # Errors
    /// All faults, in one message.
    pub fn finish<T>(self, config: T) -> Result<T, ConfigError> {
        if self.faults.is_empty() { Ok(config) } else { Err(ConfigError(self.faults)) }
    }
}

/// Every fault of a configuration. Values are not shown: they may be secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<(&'static str, String)>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s):", self.0.len())?;
        for (key, problem) in &self.0 {
            write!(f, "\n  {key}: {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_in_one_message_and_no_value() {
        let env: Environment = [("SB_ENV", "prod"), ("PORT", "eighty"), ("BASE", "ftp://secret")]
            .into_iter()
            .collect();
        let mut r = env.reader();
        r.deployment();
        r.parsed("PORT", 80_u16);
        r.url("BASE", None);
        r.required("TOKEN");
        let message = r.finish(()).unwrap_err().to_string();
        for key in ["SB_ENV", "PORT", "BASE", "TOKEN"] {
            assert_eq!(message.matches(key).count(), 1, "{message}");
        }
        assert!(!message.contains("secret"), "{message}");
    }

    #[test]
    fn seconds_are_whole_and_a_day_at_most() {
        let read = |text: &str| {
            let env: Environment = [("WAIT", text)].into_iter().collect();
            let mut r = env.reader();
            let wait = r.seconds("WAIT", 7);
            r.finish(wait).map_err(|faults| faults.to_string())
        };
        assert_eq!(read("").unwrap(), Duration::from_secs(7));
        assert_eq!(read("86400").unwrap(), Duration::from_secs(86_400));
        for wrong in ["86401", "-1", "1.5", "18446744073709551615"] {
            assert!(read(wrong).unwrap_err().contains("WAIT"), "{wrong}");
        }
    }

    #[test]
    fn plain_http_is_refused_in_production_alone() {
        let read = |stage: &str| {
            let env: Environment = [("SB_ENV", stage), ("U", "http://h/")].into_iter().collect();
            let mut r = env.reader();
            let url = r.url("U", None);
            r.finish(url)
        };
        assert_eq!(read("development").unwrap(), "http://h");
        assert!(read("production").is_err());
    }
}
