//! The event log of a call: what happened to its core and what it decided, one JSON object a line, and its replay.
//!
//! The first line says how the core began, an `input` line what happened and when, and the `action` lines after it what
//! came of that. The core has no other source of anything, so a log replays to the same actions, byte for byte, on any
//! machine with the same build; where a later build decides otherwise, the replay says from which line on.
//!
//! A log holds what was said and how it sounded: personal data, as the recording is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Action, CallCore, Input, Moment, Resumption, Settings};

/// How a core began.
#[derive(Serialize, Deserialize)]
pub struct Beginning {
    /// What the tenant has set.
    pub settings: Settings,
    /// What a call that was lost elsewhere goes on with.
    pub resumption: Option<Resumption>,
    /// When.
    pub at: Moment,
}

impl Beginning {
    /// The core as it was then.
    pub fn core(&self) -> CallCore {
        match &self.resumption {
            Some(resumption) => {
                CallCore::resumed(self.settings.clone(), resumption.clone(), self.at)
            }
            None => CallCore::new(self.settings.clone(), self.at),
        }
    }

    /// Its line, without the end of line.
    pub fn line(&self) -> String {
        line(&Line::Began(self))
    }
}

/// The line of an input handled at `at`, without the end of line.
pub fn happened(input: &Input<'_>, at: Moment) -> String {
    line(&Line::Input { at, input })
}

/// The line of an action, without the end of line.
pub fn decided(action: &Action) -> String {
    line(&Line::Action(action))
}

/// As written.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Began(&'a Beginning),
    Input { at: Moment, input: &'a Input<'a> },
    Action(&'a Action),
}

/// As read. An action is compared as it stands.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Read {
    Began(Box<Beginning>),
    Input { at: Moment, input: Box<Input<'static>> },
    Action(serde::de::IgnoredAny),
}

fn line(line: &Line<'_>) -> String {
    // Fails on maps whose keys are no strings; there are none.
    serde_json::to_string(line).unwrap_or_default()
}

/// What a log came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Inputs handled.
    pub inputs: usize,
    /// Actions that were as logged.
    pub actions: usize,
    /// Time in the call from its beginning to its last input.
    pub lasted: Moment,
    /// Whether the log stops before the core had done what was due: its task was killed.
    pub is_cut: bool,
}

/// Why a log does not replay. Lines count from 1.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReplayError {
    /// The line is none of a log's.
    #[error("line {line} is no line of an event log: {fault}")]
    Unreadable {
        /// Where.
        line: usize,
        /// What the reader says.
        fault: String,
    },
    /// The log does not begin with how the core began, or begins twice.
    #[error("line {line}: a log begins with `began`, once")]
    Beginning {
        /// Where.
        line: usize,
    },
    /// The core decides otherwise than it did.
    #[error("line {line}: logged {logged}, replayed {replayed}")]
    Differs {
        /// Where.
        line: usize,
        /// The line, cut to what can be read; `nothing` where the core did nothing more.
        logged: Shortened,
        /// What the core does now.
        replayed: Shortened,
    },
}

/// A line for a message to a person: audio makes lines of any length.
#[derive(Debug, PartialEq, Eq)]
pub struct Shortened(String);

impl fmt::Display for Shortened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Shortened {
    const CHARS: usize = 200;

    fn of(line: Option<&str>) -> Self {
        let Some(line) = line else { return Self("nothing".into()) };
        let mut text: String = line.chars().take(Self::CHARS).collect();
        if text.len() < line.len() {
            text.push_str("...");
        }
        Self(text)
    }
}

/// Handles every input of a log again, in virtual time, and compares what is decided with what was, byte for byte.
/// `seen` is shown each input and what it leads to.
///
/// # Errors
/// At the first line that is not as it should be. A last line that was cut is left out.
pub fn replay(
    log: &str,
    mut seen: impl FnMut(Moment, &Input<'_>, &[Action]),
) -> Result<Replayed, ReplayError> {
    let mut lines = log.lines().enumerate().map(|(n, text)| (n + 1, text)).peekable();
    let mut replayed = Replayed::default();
    let mut core = None;
    let mut due: Vec<Action> = Vec::new();
    let mut due_lines = Vec::new().into_iter();
    while let Some((line, text)) = lines.next() {
        let read = match serde_json::from_str(text) {
            Ok(read) => read,
            Err(_) if lines.peek().is_none() && !log.ends_with('\n') => {
                replayed.is_cut = true;
                return Ok(replayed);
            }
            Err(fault) => return Err(ReplayError::Unreadable { line, fault: fault.to_string() }),
        };
        let differs = |logged: Option<&str>, now: Option<&str>| ReplayError::Differs {
            line,
            logged: Shortened::of(logged),
            replayed: Shortened::of(now),
        };
        match (read, &mut core) {
            (Read::Began(beginning), None) => core = Some((beginning.core(), beginning.at)),
            (Read::Began(_), Some(_)) | (_, None) => return Err(ReplayError::Beginning { line }),
            (Read::Action(_), Some(_)) => {
                let now: Option<String> = due_lines.next();
                if now.as_deref() != Some(text) {
                    return Err(differs(Some(text), now.as_deref()));
                }
                replayed.actions += 1;
            }
            (Read::Input { at, input }, Some((core, began))) => {
                if let Some(now) = due_lines.next() {
                    return Err(differs(None, Some(&now)));
                }
                due.clear();
                core.handle((*input).clone(), at, &mut due);
                seen(at, &input, &due);
                due_lines = due.iter().map(decided).collect::<Vec<_>>().into_iter();
                replayed.inputs += 1;
                replayed.lasted = at.saturating_sub(*began);
            }
        }
    }
    replayed.is_cut = due_lines.next().is_some();
    Ok(replayed)
}

/// Bytes as base64.
pub(crate) mod base64 {
    use ::base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &impl AsRef<[u8]>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, B: From<Vec<u8>>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<B, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(B::from).map_err(D::Error::custom)
    }

    /// Bytes that may be missing.
    pub mod optional {
        use super::{Deserializer, STANDARD, Serializer};
        use ::base64::Engine as _;
        use serde::{Deserialize as _, de::Error as _};

        pub fn serialize<S: Serializer>(
            bytes: &Option<impl AsRef<[u8]>>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match bytes {
                Some(bytes) => to.serialize_some(&STANDARD.encode(bytes)),
                None => to.serialize_none(),
            }
        }

        pub fn deserialize<'de, B: From<Vec<u8>>, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<B>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            let bytes = text.map(|text| STANDARD.decode(text)).transpose();
            bytes.map(|bytes| bytes.map(B::from)).map_err(D::Error::custom)
        }
    }
}
