//! Against a real one-node cluster, named by `REDIS_URL`. Every test has a prefix of its own, so
//! that all run side by side and nothing is ever flushed.

#![allow(clippy::unwrap_used)]

mod audio;
mod call_records;
mod counters;
mod leases;
mod ledger;
mod outage;
mod recordings;
mod rotation;
mod turns;

use cache::Cache;
use domain::{CallSid, ConversationId, EventId, TenantId};
use uuid::Uuid;

fn redis_url() -> String {
    std::env::var("REDIS_URL").expect("REDIS_URL names a one-node cluster; scripts/test starts one")
}

fn cache() -> Cache {
    Cache::connect(&redis_url(), &format!("test-{}", Uuid::new_v4())).unwrap()
}

fn call() -> CallSid {
    CallSid::parse(&format!("CA{}", Uuid::new_v4().simple())).unwrap()
}

fn conversation() -> ConversationId {
    ConversationId::of_call(TenantId::from_uuid(Uuid::new_v4()), &call())
}

fn event() -> EventId {
    EventId::random()
}
