//! The queues that `edge` reads (DESIGN 2): its own, and those that all edge tasks share.

pub mod escalations;
pub mod live;
pub mod media;
pub mod outbound;
pub mod own_queue;
