//! A whole voice task over real queues, Redis and S3; only the vendors are simulated.

#![allow(clippy::unwrap_used)]

mod mesh;
mod recordings;
mod speech;
mod vendors;
mod voice_notes;
