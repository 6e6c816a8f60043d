//! The modem voice.
