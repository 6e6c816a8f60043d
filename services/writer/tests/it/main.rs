//! The writer against real stores.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod events;
mod history;
mod privacy;
mod queue;
