//! Deepgram.

use actix_web::web;

/// The vendor's own paths.
pub fn configure(_cfg: &mut web::ServiceConfig) {}
