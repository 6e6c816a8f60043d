//! The one-time token that lets a media socket in (DESIGN 3.1): made by the webhook, carried by the vendor as a
//! `<Parameter>`, shown at `start`. It names tenant, call and both numbers, so the socket's task needs no look-up, and
//! any edge task can check it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{CallSid, Personal, TenantId, Timestamp};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

/// The vendor opens the socket at once; a token found later is worth nothing.
pub const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// A SIP caller's address may be long, a `<Parameter>` must not (500 characters, PROTOCOLS 1.4).
const LONGEST_CALLER_CHARS: usize = 100;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamClaims {
    /// Whose number was called.
    pub tenant: TenantId,
    /// Which call.
    pub call: CallSid,
    /// The caller.
    pub from: Personal,
    /// The number called.
    pub to: String,
    /// How often the call has come back to us, 0 at first.
    pub attempt: u32,
}

/// A token whose signature and time are right; it counts only if its nonce is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedToken {
    /// What it says.
    pub claims: StreamClaims,
    /// Its name, for the one-time check.
    pub nonce: Uuid,
}

/// Why a token is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Not of our making.
    #[error("not a token of ours")]
    Forged,
    /// Of our making, and too old.
    #[error("the token is too old")]
    Expired,
}

impl TokenFault {
    /// The kind, for logs and metrics.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Forged => "forged_token",
            Self::Expired => "expired_token",
        }
    }
}

/// Makes and opens tokens. All edge tasks share the key.
pub struct StreamTokens {
    keys: Box<dyn Fn() -> Vec<Vec<u8>> + Send + Sync>,
}

#[derive(Serialize, Deserialize)]
struct Sealed(Uuid, String, String, String, u32, i64, Uuid);

impl StreamTokens {
    /// Makes tokens with the first of `keys` and opens those made with any, so that an old key is good while it
    /// rotates (E4). Nothing opens without a key.
    pub fn new(keys: Vec<Vec<u8>>) -> Self {
        Self::following(move || keys.clone())
    }

    /// The same with the keys of the moment: a task that runs while they rotate opens what a newer one made.
    pub fn following(keys: impl Fn() -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self { keys: Box::new(keys) }
    }

    /// A key for installations that name none: all edge tasks derive the same from a secret they share.
    pub fn derived_key(secret: &str) -> Vec<u8> {
        mac(secret.as_bytes(), b"switchboard media stream token").finalize().into_bytes().to_vec()
    }

    /// A token for `claims`, good until [`TOKEN_LIFE`] after `now`.
    pub fn issue(&self, claims: &StreamClaims, now: Timestamp) -> String {
        let short = claims.from.reveal().chars().count() <= LONGEST_CALLER_CHARS;
        let sealed = Sealed(
            *claims.tenant.as_uuid(),
            claims.call.as_str().to_owned(),
            if short { claims.from.reveal().to_owned() } else { "anonymous".to_owned() },
            claims.to.clone(),
            claims.attempt,
            now.plus(TOKEN_LIFE).as_micros(),
            Uuid::new_v4(),
        );
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&sealed).unwrap_or_default());
        let key = (self.keys)().into_iter().next().unwrap_or_default();
        let seal = URL_SAFE_NO_PAD.encode(mac(&key, body.as_bytes()).finalize().into_bytes());
        format!("{body}.{seal}")
    }

    /// Opens what [`Self::issue`] made.
    ///
    /// # Errors
    /// When it is forged or expired.
    pub fn open(&self, token: &str, now: Timestamp) -> Result<OpenedToken, TokenFault> {
        let (opened, expires_us) = self.read(token)?;
        if now.as_micros() >= expires_us {
            return Err(TokenFault::Expired);
        }
        Ok(opened)
    }

    /// What a token of ours says, however old it is: whoever shows it was let in with it once.
    ///
    /// # Errors
    /// When it is forged.
    pub fn recognise(&self, token: &str) -> Result<StreamClaims, TokenFault> {
        self.read(token).map(|(opened, _)| opened.claims)
    }

    fn read(&self, token: &str) -> Result<(OpenedToken, i64), TokenFault> {
        let (body, seal) = token.split_once('.').ok_or(TokenFault::Forged)?;
        let seal = URL_SAFE_NO_PAD.decode(seal).map_err(|_| TokenFault::Forged)?;
        if !(self.keys)().iter().any(|key| mac(key, body.as_bytes()).verify_slice(&seal).is_ok()) {
            return Err(TokenFault::Forged);
        }
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenFault::Forged)?;
        let Sealed(tenant, call, from, to, attempt, expires_us, nonce) =
            serde_json::from_slice(&json).map_err(|_| TokenFault::Forged)?;
        let call = CallSid::parse(&call).ok_or(TokenFault::Forged)?;
        let claims = StreamClaims {
            tenant: TenantId::from_uuid(tenant),
            call,
            from: from.into(),
            to,
            attempt,
        };
        Ok((OpenedToken { claims, nonce }, expires_us))
    }
}

fn mac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    Hmac::<Sha256>::new_from_slice(key)
        .expect("HMAC takes a key of any length")
        .chain_update(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> StreamClaims {
        StreamClaims {
            tenant: TenantId::from_uuid(Uuid::from_u128(1)),
            call: CallSid::parse("CA0123456789abcdef0123456789abcdef").unwrap(),
            from: "+15551234567".into(),
            to: "+15550100001".into(),
            attempt: 2,
        }
    }

    fn tokens(keys: &[&str]) -> StreamTokens {
        StreamTokens::new(keys.iter().map(|k| k.as_bytes().to_vec()).collect())
    }

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    #[test]
    fn a_token_says_what_was_put_in_and_fits_a_parameter() {
        let token = tokens(&["k"]).issue(&claims(), NOW);
        assert_eq!(tokens(&["k"]).open(&token, NOW).unwrap().claims, claims());
        assert!("token".len() + token.len() <= 500, "{}", token.len());
        let long = StreamClaims { from: format!("sip:{}", "x".repeat(300)).into(), ..claims() };
        assert!(tokens(&["k"]).issue(&long, NOW).len() <= 495);
    }

    #[test]
    fn a_task_that_runs_while_the_key_rotates_opens_what_a_newer_one_made() {
        let keys = std::sync::Arc::new(std::sync::Mutex::new(vec![b"old".to_vec()]));
        let held = keys.clone();
        let running = StreamTokens::following(move || held.lock().unwrap().clone());
        let before = running.issue(&claims(), NOW);
        *keys.lock().unwrap() = vec![b"new".to_vec(), b"old".to_vec()];
        let of_a_newer_task = tokens(&["new", "old"]).issue(&claims(), NOW);
        assert!(running.open(&of_a_newer_task, NOW).is_ok());
        assert!(running.open(&before, NOW).is_ok());
        assert!(tokens(&["new"]).open(&running.issue(&claims(), NOW), NOW).is_ok());
    }

    #[test]
    fn two_tokens_of_one_call_are_two() {
        let t = tokens(&["k"]);
        let nonce = |token: String| t.open(&token, NOW).unwrap().nonce;
        assert_ne!(nonce(t.issue(&claims(), NOW)), nonce(t.issue(&claims(), NOW)));
    }

    #[test]
    fn a_changed_old_or_foreign_token_is_worth_nothing() {
        let token = tokens(&["k"]).issue(&claims(), NOW);
        assert_eq!(tokens(&["k"]).open(&token, NOW.plus(TOKEN_LIFE)), Err(TokenFault::Expired));
        let old = tokens(&["k"]).recognise(&token);
        assert_eq!(old.unwrap(), claims(), "it says who was let in once, whenever it is");
        assert_eq!(tokens(&["other"]).recognise(&token), Err(TokenFault::Forged));
        assert_eq!(tokens(&["other"]).open(&token, NOW), Err(TokenFault::Forged));
        assert_eq!(tokens(&[]).open(&token, NOW), Err(TokenFault::Forged));
        assert!(tokens(&["new", "k"]).open(&token, NOW).is_ok(), "while the key rotates");
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(tokens(&["k"]).open(&changed, NOW), Err(TokenFault::Forged), "byte {at}");
        }
        for junk in ["", ".", "a.b", "....", "é.é"] {
            assert_eq!(tokens(&["k"]).open(junk, NOW), Err(TokenFault::Forged));
        }
    }
}
