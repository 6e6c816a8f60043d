use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use domain::{CipherError, FieldCipher, Personal, TenantId};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The form of a sealed field: this byte, 12 bytes of nonce, the ciphertext, 16 bytes of tag. The
/// byte is authenticated, so that a later form cannot be passed off as this one.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// Length of a data key: AES-256.
pub(crate) const KEY_BYTES: usize = 32;

/// The cipher of one tenant: AES-256-GCM for fields, HMAC-SHA256 for look-up, each under a key
/// derived from the tenant's data key, so that neither can serve for the other.
///
/// Nonces are random: with 96 bits, a tenant's key is good for 2^32 fields before two of them are
/// as likely to meet as 2^-33 (NIST SP 800-38D, 8.3).
pub(crate) struct TenantCipher {
    tenant: TenantId,
    fields: Aes256Gcm,
    hashes: Hmac<Sha256>,
}

impl TenantCipher {
    /// `None` when the data key has not 32 bytes.
    pub(crate) fn new(tenant: TenantId, data_key: &[u8]) -> Option<Self> {
        if data_key.len() != KEY_BYTES {
            return None;
        }
        let fields = derive(data_key, "switchboard fields 1")?;
        let hashes = derive(data_key, "switchboard hashes 1")?;
        Some(Self {
            tenant,
            fields: Aes256Gcm::new_from_slice(&*fields).ok()?,
            hashes: Hmac::new_from_slice(&*hashes).ok()?,
        })
    }

    /// What binds a ciphertext to its place: moved to another tenant or column, it does not open.
    fn place(&self, field: &str) -> Vec<u8> {
        let mut place = vec![VERSION];
        place.extend_from_slice(self.tenant.as_uuid().as_bytes());
        place.extend_from_slice(field.as_bytes());
        place
    }
}

impl FieldCipher for TenantCipher {
    fn seal(&self, field: &'static str, text: &str) -> Result<Vec<u8>, CipherError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let aad = self.place(field);
        let sealed = self
            .fields
            .encrypt(&Nonce::from(nonce), Payload { msg: text.as_bytes(), aad: &aad })
            .map_err(|_| CipherError { field, problem: "is too long to be encrypted" })?;
        let mut out = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    fn open(&self, field: &'static str, sealed: &[u8]) -> Result<Personal, CipherError> {
        let fault = |problem| CipherError { field, problem };
        let (version, rest) = sealed.split_first().ok_or(fault("is empty"))?;
        if *version != VERSION {
            return Err(fault("has a form this release does not know"));
        }
        if rest.len() < NONCE_BYTES + TAG_BYTES {
            return Err(fault("is cut short"));
        }
        let (nonce, sealed) =
            rest.split_first_chunk::<NONCE_BYTES>().ok_or(fault("is cut short"))?;
        let aad = self.place(field);
        let text = self
            .fields
            .decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: &aad })
            .map_err(|_| fault("was not encrypted here, under this key, for this tenant"))?;
        String::from_utf8(text).map(Personal::new).map_err(|_| fault("is not text"))
    }

    fn hash(&self, field: &'static str, text: &str) -> [u8; 32] {
        let mut mac = self.hashes.clone();
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        mac.update(&(field.len() as u64).to_be_bytes());
        mac.update(field.as_bytes());
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// HMAC-SHA256 of a label under the data key: one block of HKDF-Expand, which suffices for a key of
/// 256 bits from a key that is uniform already (RFC 5869, 3.3).
fn derive(data_key: &[u8], label: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(data_key).ok()?;
    mac.update(label.as_bytes());
    mac.update(&[1]);
    Some(Zeroizing::new(mac.finalize().into_bytes().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher(tenant: u128, key: u8) -> TenantCipher {
        let tenant = TenantId::from_uuid(uuid::Uuid::from_u128(tenant));
        TenantCipher::new(tenant, &[key; KEY_BYTES]).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_in_its_own_place_only() {
        let ours = cipher(1, 7);
        let sealed = ours.seal("users.name", "Ada Lovelace").unwrap();
        assert_eq!(ours.open("users.name", &sealed).unwrap().reveal(), "Ada Lovelace");

        assert!(ours.open("messages.text", &sealed).is_err(), "another column");
        assert!(cipher(2, 7).open("users.name", &sealed).is_err(), "another tenant, same key");
        assert!(cipher(1, 8).open("users.name", &sealed).is_err(), "another key");
    }

    #[test]
    fn a_damaged_field_is_refused_wherever_the_damage_is() {
        let ours = cipher(1, 7);
        let sealed = ours.seal("users.name", "Ada").unwrap();
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(ours.open("users.name", &damaged).is_err(), "byte {at}");
            assert!(ours.open("users.name", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_alike_but_always_hashed_alike() {
        let ours = cipher(1, 7);
        assert_ne!(ours.seal("f", "x").unwrap(), ours.seal("f", "x").unwrap());
        assert_eq!(ours.hash("f", "x"), ours.hash("f", "x"));
        assert_ne!(ours.hash("f", "x"), ours.hash("g", "x"));
        assert_ne!(ours.hash("f", "x"), cipher(1, 8).hash("f", "x"));
        assert_ne!(ours.hash("ab", "c"), ours.hash("a", "bc"));
    }
}
