//! The heart of a phone call, without input or output (DESIGN 3.2): `(state, input, now) → actions`.
//!
//! [`CallCore`] hears the caller frame by frame, decides what is speech and when a turn is over, paces the agent's
//! sentences out with marks, knows what the caller has heard of them, and puts both sides on one recording. It opens
//! no socket, reads no clock and never sleeps: the shell (`edge`) hands it what happened together with the time, does
//! what the actions say, in order, and calls again no later than [`CallCore::next_wake`].
//!
//! Audio is G.711 mu-law, 8000 Hz, mono, one byte a sample, in both directions (PROTOCOLS 1.5).

mod action;
mod core;
pub mod event_log;
pub use domain::g711;
mod input;
mod media_clock;
mod pitch;
mod playback;
mod recording;
mod settings;
mod turn;
mod utterance;
mod vad;

pub use action::{Action, EndReason, Heard, Stages, Trouble};
pub use core::CallCore;
pub use input::{Audio, Input, Transcript};
pub use settings::{Prompt, PromptKind, Prompts, RestOfReply, Resumption, Settings, TurnSettings};
pub use utterance::Language;

/// A point in time: what a monotonic clock shows since an origin the shell chose once for the call.
///
/// A clock that steps back is held at the latest time seen.
pub type Moment = std::time::Duration;
