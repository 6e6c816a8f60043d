//! The dialogue of a front desk as a pure function: `(state, input, now) → what is to be done`.
//!
//! Nothing here waits, sleeps, reads a clock or talks to anyone; the orchestrator does what comes
//! out. Four pieces:
//!
//! - [`Desk`] turns a [`Message`] and the [`State`] before it into a [`Choice`] of agent (C2) and an
//!   [`Answer`]: the rules engine's own reply, what a language model would be asked, and the state
//!   after it. The same input gives the same answer, so a turn that is run twice answers alike.
//! - [`Reply`] drives one reply while it streams: sentences out as they end, the next model when
//!   one fails, onward from what an earlier run had said.
//! - [`tool`] is what agents can have done: the rules and a model ask, the shell does it.
//! - [`Splitter`] cuts streamed text at the ends of sentences and nowhere else.

mod agents;
mod appointment;
mod classifier;
mod desk;
mod message;
mod offering;
mod recording;
mod reply;
mod retrieval;
mod routing;
mod scoring;
mod selection;
mod sentence;
mod state;
pub mod tool;
pub mod understand;

pub use agents::{Agent, AgentKind, USUAL_TOOLS, default_agents};
pub use desk::{Answer, Desk, Past, Prompt, Step};
pub use message::{Attachment, FileBytes, Message, Quoted};
pub use reply::{
    CONTINUATIONS_MAX, MISTAKES_MAX, RECOVERY, REPLY_BYTES_MAX, ROUNDS_MAX, Reply, ReplyAction,
    ReplyInput, join,
};
pub use routing::Rule;
pub use scoring::{Scores, Scoring};
pub use selection::{Bidder, Choice, FALLBACK_UNDER, KEEPS_ABOVE, select};
pub use sentence::{Splitter, is_speakable, sentences};
pub use state::{
    Contact, Enquiry, HISTORY_UTTERANCES_MAX, Offer, Question, Role, State, Task, Utterance,
};
pub use understand::{DayPart, TimeOfDay};
