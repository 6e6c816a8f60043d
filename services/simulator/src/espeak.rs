//! The second voice.

/// The voice.
#[derive(Debug, Default)]
pub struct Espeak {}
