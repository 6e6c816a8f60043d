//! Keys of the API as they are handed out: `sbk_{tenant}_{id}_{secret}`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::TenantId;
use rand::Rng as _;
use uuid::Uuid;
use vault::Secret;

const PREFIX: &str = "sbk";
const ID_CHARS: usize = 12;
const SECRET_BYTES: usize = 32;

/// A key, taken apart.
pub struct PresentedKey<'a> {
    /// Whose it says it is. Its row lies behind that tenant's row-level security.
    pub tenant: TenantId,
    /// The part that is no secret.
    pub id: &'a str,
    /// The part that is.
    pub secret: &'a str,
}

impl<'a> PresentedKey<'a> {
    /// Takes a key apart; `None` for what does not look like one.
    pub fn parse(key: &'a str) -> Option<Self> {
        let mut parts = key.splitn(4, '_');
        let (PREFIX, tenant, id, secret) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?)
        else {
            return None;
        };
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
        let whole = tenant.len() == 32 && id.len() == ID_CHARS && plain(id) && !secret.is_empty();
        let tenant = whole.then(|| Uuid::try_parse(tenant).ok()).flatten()?;
        Some(Self { tenant: TenantId::from_uuid(tenant), id, secret })
    }

    /// Whether a credential looks like a key, rather than like a token.
    pub fn looks_like_one(credential: &str) -> bool {
        credential.starts_with("sbk_")
    }
}

/// A key that has just been made.
pub struct NewKey {
    /// The part that is no secret.
    pub id: String,
    /// The part that is: 256 random bits.
    pub secret: Secret,
}

impl NewKey {
    /// A new key.
    pub fn random() -> Self {
        let mut rng = rand::rng();
        let id = (0..ID_CHARS)
            .map(|_| char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[rng.random_range(0..36)]))
            .collect();
        let secret: [u8; SECRET_BYTES] = rng.random();
        Self { id, secret: Secret::new(URL_SAFE_NO_PAD.encode(secret)) }
    }

    /// The key as it is handed out, once.
    pub fn handed_out(&self, tenant: TenantId) -> Secret {
        let tenant = tenant.as_uuid().simple();
        Secret::new(format!("{PREFIX}_{tenant}_{}_{}", self.id, self.secret.reveal()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_handed_out_is_taken_apart_again_whatever_its_secret_is_made_of() {
        for _ in 0..200 {
            let (tenant, key) = (TenantId::from_uuid(Uuid::new_v4()), NewKey::random());
            let handed_out = key.handed_out(tenant);
            let parsed = PresentedKey::parse(handed_out.reveal()).unwrap();
            assert_eq!(parsed.tenant, tenant);
            assert_eq!((parsed.id, parsed.secret), (key.id.as_str(), key.secret.reveal()));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_a_look_into_the_database() {
        let tenant = "de300000000040008000000000000001";
        for bad in [
            "",
            "sbk_",
            "sbk_x_abcdefghijkl_s",
            &format!("sbk_{tenant}_abcdefghijkl_"),
            &format!("sbk_{tenant}_short_secret"),
            &format!("sbk_{tenant}_abc'efghijkl_secret"),
            &format!("xyz_{tenant}_abcdefghijkl_secret"),
        ] {
            assert!(PresentedKey::parse(bad).is_none(), "{bad}");
        }
    }
}
