use std::fmt;

use domain::{CipherError, KeyError};

/// Why the database did not do what it was asked.
///
/// Callers branch on it: a handler tries again later or gives up, a booking is held or refused. It
/// never carries a value of a row, for rows speak of people.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or did not answer in time. Nothing has happened.
    #[error("the database cannot be reached: {0}")]
    Unavailable(Fault),
    /// The connection was lost while the transaction was being committed: it may have happened.
    /// Only a claim or an effect's row can tell, by doing the same again.
    #[error("the connection was lost during the commit: {0}")]
    InDoubt(Fault),
    /// Another transaction was in the way. Nothing has happened; the same again may succeed.
    #[error("another transaction was in the way: {0}")]
    Conflict(Fault),
    /// The database refuses, and would again.
    #[error("the database refuses: {0}")]
    Refused(Fault),
    /// The tenant is not in the database.
    #[error("there is no such tenant")]
    NoTenant,
    /// The tenant's key could not be had.
    #[error("the tenant's key: {0}")]
    Key(#[from] KeyError),
    /// A field could not be encrypted or decrypted.
    #[error(transparent)]
    Cipher(#[from] CipherError),
}

impl StoreError {
    /// Whether the transaction may have been committed although this error came back.
    pub const fn may_have_happened(&self) -> bool {
        matches!(self, Self::InDoubt(_))
    }

    /// Whether the same again may succeed later, with nothing changed.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::InDoubt(_) | Self::Conflict(_) => true,
            Self::Key(KeyError::Unavailable(_)) => true,
            Self::Key(KeyError::Refused(_))
            | Self::Refused(_)
            | Self::NoTenant
            | Self::Cipher(_) => false,
        }
    }

    /// Whether what was to be written is itself at fault (a value the schema refuses, a tenant that
    /// does not exist), so that the same can never succeed. What a later migration or grant could
    /// mend is not.
    pub fn is_of_the_data(&self) -> bool {
        match self {
            Self::NoTenant => true,
            // data_exception, integrity_constraint_violation, program_limit_exceeded
            Self::Refused(fault) => {
                let class = fault.sqlstate.as_deref().and_then(|s| s.get(..2));
                matches!(class, Some("22" | "23" | "54"))
            }
            _ => false,
        }
    }

    /// Work on the database was given up before anything happened, for a reason of the caller's own.
    pub fn interrupted(reason: &'static str) -> Self {
        Self::Unavailable(Fault::new(reason))
    }

    /// The name of the constraint that refused, such as `no_double_booking`.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Refused(fault) => fault.constraint.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn at_commit(e: tokio_postgres::Error) -> Self {
        match Self::from(e) {
            Self::Unavailable(fault) => Self::InDoubt(fault),
            sure => sure,
        }
    }
}

/// What the server or the connection said, without the values a server puts into its details.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fault {
    /// The SQLSTATE, where the server answered.
    pub sqlstate: Option<String>,
    /// The constraint that refused, where one did.
    pub constraint: Option<String>,
    message: String,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.sqlstate {
            Some(code) => write!(f, " (SQLSTATE {code})"),
            None => Ok(()),
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(e: tokio_postgres::Error) -> Self {
        let Some(db) = e.as_db_error() else {
            // Not the server's word, so the connection's.
            return Self::Unavailable(Fault::new(spell_out(&e)));
        };
        let code = db.code().code();
        let fault = Fault {
            sqlstate: Some(code.to_owned()),
            constraint: db.constraint().map(str::to_owned),
            message: db.message().to_owned(),
        };
        match code {
            // serialization_failure, deadlock_detected, lock_not_available
            "40001" | "40P01" | "55P03" => Self::Conflict(fault),
            // query_canceled (statement_timeout), idle_in_transaction_session_timeout
            "57014" | "25P03" => Self::Unavailable(fault),
            // connection_exception, insufficient_resources, operator_intervention, system_error;
            // read_only_sql_transaction: a standby right after a failover
            _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class))
                || code == "25006" =>
            {
                Self::Unavailable(fault)
            }
            _ => Self::Refused(fault),
        }
    }
}

/// An error of the connection and its causes in one line.
fn spell_out(e: &dyn std::error::Error) -> String {
    let mut line = e.to_string();
    let mut cause = e.source();
    while let Some(next) = cause {
        line.push_str(": ");
        line.push_str(&next.to_string());
        cause = next.source();
    }
    line
}
