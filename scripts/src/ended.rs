//! How an operator's command ended, as scripts learn it.

use std::fmt;
use std::process::ExitCode;

use crate::print;

/// How a command ended well. That it could not do what was asked is an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It did what was asked.
    Done,
    /// Nothing is there that was meant.
    Nothing,
    /// It was stopped before its end: the same again goes on.
    Stopped,
    /// It looked, and something is not well.
    Ailing,
}

impl Ended {
    /// The exit code.
    pub fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Nothing => 3,
            Self::Stopped => 4,
            Self::Ailing => 5,
        })
    }
}

/// What was asked makes no sense; says what would. It ends with 2, as what clap refuses.
#[derive(Debug)]
pub struct AskedWrongly(pub String);

impl fmt::Display for AskedWrongly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AskedWrongly {}

/// The exit code of a command that ended in an error, which is said to the operator.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    if error.is::<print::Unheard>() {
        return ExitCode::SUCCESS;
    }
    print::note(&format!("switchboardctl: {error:#}"));
    if error.is::<AskedWrongly>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
