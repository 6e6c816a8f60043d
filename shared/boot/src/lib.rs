//! What every service does before and around its work: read its configuration, start telemetry,
//! show its health, and stop when told.
//!
//! A service's `main` reads as a sentence: read the environment, start telemetry, build the parts,
//! serve, stop on a signal, drain. See `services/writer/src/main.rs`.

mod aws;
mod crash;
mod environment;
mod exit;
mod ops;
mod otlp;
mod settings;
mod signals;
mod telemetry;

pub use aws::{aws_config, install_tls};
pub use crash::crash_point;
pub use environment::{ConfigError, Deployment, Environment, Reader};
pub use exit::exit;
pub use ops::{health_response, serve_ops};
pub use settings::CommonSettings;
pub use signals::stop_on_signal;
pub use telemetry::{Telemetry, init_telemetry};
