//! Against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod appointments;
mod isolation;
mod knowledge;
mod migrations;
mod people;
mod rotation;
mod search;
mod tenants;
mod transactions;
