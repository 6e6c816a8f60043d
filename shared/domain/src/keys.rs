use std::{error::Error, fmt, sync::Arc};

use crate::{BoxFuture, Personal, TenantId};

/// Encrypts the personal fields of one tenant (D3). `vault` has the keys; `store` seals on the way
/// into a row and opens on the way out, so that nobody else handles a ciphertext.
pub trait FieldCipher: Send + Sync {
    /// Encrypts `text` for the column `field`. Two calls never give the same bytes.
    fn seal(&self, field: &'static str, text: &str) -> Result<Vec<u8>, CipherError>;

    /// Decrypts what [`FieldCipher::seal`] made for the same tenant and field.
    fn open(&self, field: &'static str, sealed: &[u8]) -> Result<Personal, CipherError>;

    /// The keyed hash rows are looked up by. The same text gives the same hash within a tenant, and
    /// says nothing to whoever lacks the tenant's key. The caller normalises the text first.
    fn hash(&self, field: &'static str, text: &str) -> [u8; 32];
}

/// Hands out the cipher of a tenant. The wrapped key lies in the tenant's row; what unwraps it lies
/// in KMS, bound to the tenant (D3).
pub trait KeyRing: Send + Sync {
    /// Makes a new data key for `tenant` and returns it wrapped, as it is to be stored.
    fn generate(&self, tenant: TenantId) -> BoxFuture<'_, Result<Vec<u8>, KeyError>>;

    /// The cipher under the key that [`KeyRing::generate`] wrapped for the same tenant.
    fn cipher<'a>(
        &'a self,
        tenant: TenantId,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Arc<dyn FieldCipher>, KeyError>>;
}

/// A field could not be encrypted or decrypted. It names the field, never its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CipherError {
    /// The column.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for CipherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field {}: {}", self.field, self.problem)
    }
}

impl Error for CipherError {}

/// Why there is no key.
#[derive(Debug)]
pub enum KeyError {
    /// The key service cannot be reached; again later may do.
    Unavailable(Box<dyn Error + Send + Sync>),
    /// The key service refuses: the wrapped key is another tenant's, or damaged.
    Refused(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable(_) => "the key service cannot be reached",
            Self::Refused(_) => "the key service refuses the tenant's key",
        })
    }
}

impl Error for KeyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(e) | Self::Refused(e) => Some(e.as_ref()),
        }
    }
}
