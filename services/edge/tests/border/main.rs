//! The border against real stores and queues: what may come in, what may not, and what is published of it. The vendors
//! alone are played by the tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod api;
mod edge_task;
mod email;
mod gather;
mod giving_up;
mod graph_errors;
mod limits;
mod listens_in;
mod media;
mod media_socket;
mod outbound;
mod recording;
mod sent_files;
mod takeover;
mod talk;
mod text_messages;
mod toy_channel;
mod vendors;
mod webhooks;
