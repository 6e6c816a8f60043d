//! Why messages are given up, as a word that can be counted and searched for.

/// Why a message was given up: its class, beside the reason, which is for people (OpenTelemetry's `error.type`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DeathCause {
    /// Nobody can read it.
    Undecodable,
    /// It was too large for the topic, and what it says is gone from S3.
    ObjectGone,
    /// It was too large for the topic, and S3 refused to give what it says, at every start.
    ObjectRefused,
    /// Its handler said that it can never succeed.
    Rejected,
    /// It failed at every start.
    Failed,
    /// It failed at every start; at the last one its handler panicked.
    Panicked,
    /// It was begun as often as it may be, and what became of that nobody said: the process died, most likely.
    NeverFinished,
    /// The broker itself gave it up, after handing it out too often.
    ReceiveLimit,
    /// It is not known here: another release gave it up.
    Unknown,
}

impl DeathCause {
    /// Every cause.
    pub const ALL: &'static [Self] = &[
        Self::Undecodable,
        Self::ObjectGone,
        Self::ObjectRefused,
        Self::Rejected,
        Self::Failed,
        Self::Panicked,
        Self::NeverFinished,
        Self::ReceiveLimit,
        Self::Unknown,
    ];

    /// Its name in messages, metrics and the archive. It never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::ObjectGone => "object_gone",
            Self::ObjectRefused => "object_refused",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::NeverFinished => "never_finished",
            Self::ReceiveLimit => "receive_limit",
            Self::Unknown => "unknown",
        }
    }

    /// The cause of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|cause| cause.name() == name)
    }

    /// What a dead letter tells of it. The broker gives no reason; earlier releases gave nothing else.
    pub(crate) fn told(name: Option<&str>, reason: Option<&str>) -> Self {
        match (name, reason) {
            (Some(name), _) => Self::named(name).unwrap_or(Self::Unknown),
            (None, Some(_)) => Self::Unknown,
            (None, None) => Self::ReceiveLimit,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_cause_is_told_by_a_name_of_its_own() {
        for cause in DeathCause::ALL {
            assert_eq!(DeathCause::told(Some(cause.name()), Some("a reason")), *cause);
        }
        let names: HashSet<_> = DeathCause::ALL.iter().map(|cause| cause.name()).collect();
        assert_eq!(names.len(), DeathCause::ALL.len());
    }

    #[test]
    fn what_another_release_buried_is_told_from_what_the_broker_did() {
        assert_eq!(DeathCause::told(None, Some("the sky is green")), DeathCause::Unknown);
        assert_eq!(DeathCause::told(Some("bewitched"), Some("by a frog")), DeathCause::Unknown);
        assert_eq!(DeathCause::told(None, None), DeathCause::ReceiveLimit);
    }
}
