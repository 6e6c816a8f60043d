//! The words every part of Switchboard shares: who, where, which turn, and what can happen.
//!
//! This crate knows no runtime, no serialisation and no vendor. What crosses a queue is an
//! [`Envelope`] around a [`Payload`]; the `wire` crate turns it into protobuf and back. [`g711`] is here
//! because the call core, the speech vendors and the simulator all speak it, and none may use another; [`breaker`]
//! because vendors of speech and of language models rest by the same rule.

pub mod breaker;
mod channel;
mod delivery;
mod envelope;
mod event;
pub mod g711;
mod ids;
mod keys;
mod mask;
mod message;
mod personal;
mod tenant;
mod time;
mod turn;

pub use channel::Channel;
pub use delivery::{BoxFuture, Dependency, ReplayEnd, StartCounter, Starts};
pub use envelope::Envelope;
pub use event::*;
pub use ids::{CallSid, ConversationId, EventId, TenantId};
pub use keys::{CipherError, FieldCipher, KeyError, KeyRing};
pub use message::*;
pub use personal::Personal;
pub use tenant::{
    Address, AddressMode, ChatHandover, HttpTool, Selection, Template, Templates, TenantSettings,
    TurnTaking, VendorVoice, Voice,
};
pub use time::Timestamp;
pub use turn::{Heard, Stage, StageName, Turn};
