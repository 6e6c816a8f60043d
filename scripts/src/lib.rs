//! Runs the whole mesh on one machine (DESIGN section 7): the backing stores, the services under a supervisor,
//! what they find on arrival (queues, secrets, the demo tenant), a demonstration of it all, and measurements.
//!
//! The binaries in `src/bin` are thin; integration tests start a mesh of their own through this library.

pub mod access;
pub mod aws;
pub mod bench;
pub mod chaos;
pub mod demo;
pub mod demo_key;
pub mod dlq;
pub mod ended;
pub mod history;
pub mod instance;
pub mod log;
pub mod mesh;
pub mod operate;
pub mod outside;
pub mod print;
mod probe;
pub mod process;
pub mod provision;
mod settings;
mod split_mix;
pub mod stereo;
pub mod stores;
mod tools;
