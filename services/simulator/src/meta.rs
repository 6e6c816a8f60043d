//! Meta.

use actix_web::web;

/// What this vendor remembers.
#[derive(Debug, Default)]
pub struct Meta {}

/// The vendor's own paths.
pub fn configure(_cfg: &mut web::ServiceConfig) {}

/// The control paths under `/sim`.
pub fn control(_cfg: &mut web::ServiceConfig) {}
