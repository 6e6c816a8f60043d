//! Against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod appointments;
mod isolation;
mod knowledge;
mod migrations;
mod people;
mod search;
mod rotation;
mod tenants;
mod transactions;
