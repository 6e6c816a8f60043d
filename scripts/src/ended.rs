//! How an operator's command ended, as scripts learn it.

use std::process::ExitCode;

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
