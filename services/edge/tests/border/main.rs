//! The border against real stores and queues: what may come in, what may not, and what is published of it. The vendors
//! alone are played by the tests.

mod edge_task;
mod media_socket;
mod outbound;
mod vendors;
mod webhooks;
