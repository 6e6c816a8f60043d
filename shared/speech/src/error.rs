use std::fmt;

use domain::SpeechFailure;

/// What became of a request to a speech vendor. No text holds a key, what the caller said or what
/// was to be said: of a vendor's own words only its code and the id of the request are kept, by
/// which the vendor finds the rest.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpeechError {
    /// 429: too many requests at once; the next may do (PROTOCOLS 3.5).
    #[error("it is busy ({0})")]
    Busy(String),
    /// It cannot be reached, broke off, or failed by itself (5xx).
    #[error("it is unavailable ({0})")]
    Unavailable(String),
    /// It did not answer in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// It answered something that is not speech.
    #[error("its answer makes no sense ({0})")]
    Malformed(&'static str),
    /// It will refuse the same request again: an unknown voice, a text that is too long.
    #[error("it refuses ({0})")]
    Refused(String),
    /// It will refuse every request until somebody does something: credentials, quota.
    #[error("it denies access ({0})")]
    Denied(String),
    /// It was not asked: it failed lately ([`Breaker`](domain::breaker::Breaker)).
    #[error("it failed lately and was not asked")]
    Resting,
}

impl SpeechError {
    /// Whether the same vendor may do better at once.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Denied(_) | Self::Resting)
    }

    /// A short name for metric labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Busy(_) => "busy",
            Self::Unavailable(_) => "unavailable",
            Self::TimedOut => "timeout",
            Self::Malformed(_) => "malformed",
            Self::Refused(_) => "refused",
            Self::Denied(_) => "denied",
            Self::Resting => "resting",
        }
    }
}

/// Every vendor of the list failed: each with its last error.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct AllFailed(pub Vec<(&'static str, SpeechError)>);

impl fmt::Display for AllFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (vendor, error)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{vendor}: {error}")?;
        }
        Ok(())
    }
}

impl From<AllFailed> for SpeechFailure {
    fn from(all: AllFailed) -> Self {
        Self(all.to_string())
    }
}
