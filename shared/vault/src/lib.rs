//! Keys and secrets.
//!
//! [`FieldKeys`] encrypts the personal fields of each tenant under a data key of that tenant's own,
//! which KMS wraps with the tenant in the encryption context (D3). [`Secrets`] reads credentials
//! from the environment or Secrets Manager and follows their rotation (E4). A [`Secret`] cannot be
//! printed.

mod cipher;
mod field_keys;
mod secret;
mod secrets;

pub use field_keys::{FieldKeys, ensure_key};
pub use secret::Secret;
pub use secrets::{RotatingSecret, SecretError, Secrets, secret_id};
