//! The bus: protobuf envelopes over SQS FIFO queues and one SNS FIFO topic (DESIGN 2).
//!
//! - [`Topology`] declares every queue, subscription and filter once; `mesh`, the tests and
//!   Terraform follow it.
//! - [`Bus`] publishes events to the topic and sends jobs to queues.
//! - [`Consumer`] is the one loop that every service runs: it owns receiving, order within a group,
//!   visibility, expiry, retries, dead letters and draining. A service writes a [`Handler`].
//!
//! `design.md` beside this file says what the loop promises and what was rejected.

mod age;
mod backoff;
mod batch;
mod claim;
mod clock;
mod consumer;
mod dead_letter;
mod death;
mod deletions;
mod depth;
mod groups;
mod handler;
mod held;
mod send;
mod settings;
mod topology;
mod trace;

pub use consumer::Consumer;
pub use dead_letter::{DeadLetter, Replay};
pub use death::DeathCause;
pub use depth::Depth;
pub use handler::{Context, Handler, LeaseLost, Outcome};
pub use send::{Bus, Destination, SendError};
pub use settings::BusSettings;
pub use topology::{Queue, Source, Topology};
pub use trace::TraceContext;
