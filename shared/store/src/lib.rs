//! PostgreSQL: connections, tenant-scoped transactions, and a module of plain functions per
//! aggregate.
//!
//! Everything a tenant owns is read and written through a [`TenantTx`]: row-level security shows it
//! that tenant's rows and no others, under a role that cannot step around it (D2). The functions
//! take the transaction, so a caller puts what belongs together into one: a claim and its effect, a
//! tool's effect and its row (DESIGN 2).
//!
//! Personal fields are sealed on the way in and opened on the way out (D3); no ciphertext leaves
//! this crate, and no error carries a value of a row.

pub mod addresses;
pub mod agents;
pub mod api_keys;
pub mod appointments;
pub mod audit;
pub mod calls;
pub mod claims;
pub mod conversations;
pub mod dead_letters;
pub mod deliveries;
pub mod due;
pub mod effects;
mod error;
pub mod escalations;
pub mod history;
pub mod idempotency;
pub mod knowledge;
pub mod messages;
pub mod migrate;
pub mod opt_outs;
mod pool;
pub mod seed;
pub mod tenants;
pub mod turn_timings;
pub mod users;

pub use error::{Fault, StoreError};
pub use pool::{Store, TenantTx};

/// The SQL type `timestamptz` of a moment.
pub(crate) fn moment(at: domain::Timestamp) -> std::time::SystemTime {
    at.into()
}

/// PostgreSQL's text cannot hold a NUL character; what comes from outside may.
pub(crate) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
