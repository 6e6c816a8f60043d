//! JSON Web Tokens (RFC 7519) that let people in: made by the tenant's identity provider, checked here by the keys of
//! `SB_JWT_KEYS`, a JWK set (RFC 7517). A rotation adds a key under a new `kid`; both are accepted for as long as both are
//! in the set, and the set before it for as long as `vault` remembers it (E4, E5).

use std::sync::Arc;

use anyhow::Context as _;
use domain::TenantId;
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet},
    signature,
};
use ring::{hmac, signature as ring_signature};
use serde::Deserialize;
use uuid::Uuid;
use vault::RotatingSecret;

use super::role::Role;

/// Clocks differ that much, s.
const LEEWAY_S: u64 = 30;
/// A shorter secret can be guessed (RFC 7518, 3.2), bytes.
const SHORTEST_SECRET: usize = 32;
const LONGEST_TOKEN: usize = 8 * 1024;

/// Whom a token speaks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Whose data.
    pub tenant: TenantId,
    /// Who, as the identity provider names them.
    pub subject: String,
    /// What they may do.
    pub role: Role,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    tenant: Uuid,
    role: Role,
}

/// Checks tokens.
pub struct TokenVerifier {
    /// A JWK set; `None` where nobody comes with a token.
    keys: Option<Arc<RotatingSecret>>,
    issuer: String,
    audience: String,
}

impl TokenVerifier {
    /// Tokens of `issuer` for `audience`, signed by one of `keys`.
    ///
    /// # Errors
    /// When the keys are no JWK set, or one of them can never serve.
    pub fn new(
        keys: Option<Arc<RotatingSecret>>,
        issuer: String,
        audience: String,
    ) -> anyhow::Result<Self> {
        // Whoever was first installed the same.
        let _ = PROVIDER.install_default();
        if let Some(keys) = &keys {
            let set: JwkSet = serde_json::from_str(keys.current().reveal())
                .map_err(|_| anyhow::anyhow!("SB_JWT_KEYS is no JWK set"))?;
            for key in &set.keys {
                usable(key).with_context(|| {
                    let kid = key.common.key_id.as_deref().unwrap_or("without a kid");
                    format!("take the key {kid:?} of SB_JWT_KEYS")
                })?;
            }
        }
        Ok(Self { keys, issuer, audience })
    }

    /// Whom the token speaks for; `None` for one that is not good.
    pub fn check(&self, token: &str) -> Option<Bearer> {
        if token.len() > LONGEST_TOKEN {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        for set in self.keys.as_ref()?.accepted() {
            let Ok(set) = serde_json::from_str::<JwkSet>(set.reveal()) else { continue };
            let key = match &header.kid {
                Some(kid) => set.find(kid),
                None => set.keys.first().filter(|_| set.keys.len() == 1),
            };
            let Some((algorithm, key)) = key.and_then(|key| usable(key).ok()) else { continue };
            // The algorithm is the key's, never the token's own choice.
            let mut expected = Validation::new(algorithm);
            expected.leeway = LEEWAY_S;
            expected.validate_nbf = true;
            expected.set_issuer(&[&self.issuer]);
            expected.set_audience(&[&self.audience]);
            expected.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            if let Ok(token) = jsonwebtoken::decode::<Claims>(token, &key, &expected) {
                let Claims { sub, tenant, role } = token.claims;
                let tenant = TenantId::from_uuid(tenant);
                return Some(Bearer { tenant, subject: sub, role });
            }
        }
        None
    }
}

/// A key with the one algorithm it serves.
fn usable(key: &Jwk) -> anyhow::Result<(Algorithm, DecodingKey)> {
    let algorithm = match &key.algorithm {
        AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        _ => anyhow::bail!("a key is for HS256 (oct), RS256 (RSA) or EdDSA (OKP, Ed25519)"),
    };
    let decoding = DecodingKey::from_jwk(key).map_err(|_| anyhow::anyhow!("it cannot be read"))?;
    if algorithm == Algorithm::HS256
        && decoding.try_get_as_bytes().is_ok_and(|secret| secret.len() < SHORTEST_SECRET)
    {
        anyhow::bail!("a secret has at least {SHORTEST_SECRET} bytes");
    }
    Ok((algorithm, decoding))
}

/// `jsonwebtoken` over ring, as everything here that is cryptography of the network. It checks; nothing is signed.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: refuse_to_sign,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

fn refuse_to_sign(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl signature::Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> Result<(), signature::Error> {
        let good = match (self.algorithm, self.key.kind()) {
            (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::verify(&key, message, given).is_ok()
            }
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let key = ring_signature::RsaPublicKeyComponents { n, e };
                let scheme = &ring_signature::RSA_PKCS1_2048_8192_SHA256;
                key.verify(scheme, message, given).is_ok()
            }
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(public)) => {
                ring_signature::UnparsedPublicKey::new(&ring_signature::ED25519, public)
                    .verify(message, given)
                    .is_ok()
            }
            _ => false,
        };
        if good { Ok(()) } else { Err(signature::Error::new()) }
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn encoded(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn now() -> u64 {
        u64::try_from(domain::Timestamp::now().as_micros() / 1_000_000).unwrap()
    }

    fn claims() -> Value {
        json!({
            "iss": "https://id.example.com", "aud": "switchboard", "sub": "ana",
            "exp": now() + 60, "tenant": Uuid::nil(), "role": "operator",
        })
    }

    fn signed(header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn oct(kid: &str, secret: &[u8]) -> Value {
        json!({"kty": "oct", "kid": kid, "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(secret)})
    }

    fn verifier_of(keys: &[Value]) -> TokenVerifier {
        let set = Arc::new(RotatingSecret::fixed(json!({ "keys": keys }).to_string()));
        TokenVerifier::new(Some(set), "https://id.example.com".into(), "switchboard".into())
            .unwrap()
    }

    #[test]
    fn a_good_token_names_tenant_person_and_role() {
        let verifier =
            verifier_of(&[oct("new", b"another-secret-of-thirty-two-byte"), oct("old", SECRET)]);
        let token = signed(&json!({"alg": "HS256", "kid": "old"}), &claims());
        let expected = Bearer {
            tenant: TenantId::from_uuid(Uuid::nil()),
            subject: "ana".into(),
            role: Role::Operator,
        };
        assert_eq!(verifier.check(&token), Some(expected), "both keys are good while both stand");
    }

    #[test]
    fn a_token_with_anything_wrong_is_no_token() {
        let verifier =
            verifier_of(&[oct("k", SECRET), oct("other", b"another-secret-of-thirty-two-byte")]);
        let header = json!({"alg": "HS256", "kid": "k"});
        assert!(verifier.check(&signed(&header, &claims())).is_some());
        for (wrong, value) in [
            ("iss", json!("https://evil.example")),
            ("aud", json!("elsewhere")),
            ("exp", json!(now() - 120)),
            ("exp", json!("tomorrow")),
            ("exp", Value::Null),
            ("nbf", json!(now() + 3600)),
            ("tenant", json!("demo")),
            ("role", json!("owner")),
            ("sub", Value::Null),
        ] {
            let mut claims = claims();
            claims[wrong] = value;
            assert_eq!(verifier.check(&signed(&header, &claims)), None, "{wrong}");
        }
        for header in [
            json!({"alg": "none", "kid": "k"}),
            json!({"alg": "HS512", "kid": "k"}),
            json!({"alg": "RS256", "kid": "k"}),
            json!({"alg": "HS256", "kid": "other"}),
            json!({"alg": "HS256", "kid": "gone"}),
            json!({"alg": "HS256"}),
        ] {
            assert_eq!(verifier.check(&signed(&header, &claims())), None, "{header}");
        }
        for rubbish in ["", "a.b.c", "..", &"x".repeat(100_000)] {
            assert_eq!(verifier.check(rubbish), None);
        }
    }

    #[test]
    fn a_public_key_of_a_pair_checks_what_the_private_one_signed() {
        let seed = [7; 32];
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let public = URL_SAFE_NO_PAD.encode(pair.public_key());
        let verifier =
            verifier_of(&[json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": public})]);
        let message =
            format!("{}.{}", encoded(&json!({"alg": "EdDSA", "kid": "ed"})), encoded(&claims()));
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()));
        assert!(verifier.check(&format!("{message}.{signature}")).is_some());
        // The public key taken for a secret: the oldest trick.
        let message =
            format!("{}.{}", encoded(&json!({"alg": "HS256", "kid": "ed"})), encoded(&claims()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, pair.public_key().as_ref());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
        assert_eq!(verifier.check(&format!("{message}.{signature}")), None);
    }

    /// An RSA key of 2,048 bits, made for this test alone, and its modulus as a JWK has it.
    const RSA_PRIVATE: &str = include_str!("../../tests/data/rs256_private_key.pkcs8.b64");
    const RSA_MODULUS: &str = "v9LfYt5Wkbcd0LwEzyUSlXmQRSpoarLzeUp0gP1AwfoQOB7TBgg_dM454yndgLW2mnqysHLM27s6va4ZY7MkDelHZkY3xiIK25j8_LqstAJGNXxlOw3Gjwdbcpl7y_vH780tF5CIJ0HqdaiAMjlM9wmeWhUrouN33fpXY0frbJFGfclt7di_bqLNafZMHRs7OKLJ45205WCBzp23VW11eh7dY-Qq7HmGkKl96mUG7MwMKmthwfBvyMCWjQG1ZZim_udHJhvC1DP5LrWQxjigko-9tyVN5TMTF4C80dPVvUNF891jSyPAZXJlx7EnV7PVVi2Ua5D0-T3rmOxLBQlW-w";

    #[test]
    fn a_token_signed_by_an_rsa_key_is_good_and_one_that_was_changed_is_not() {
        let der = base64::engine::general_purpose::STANDARD.decode(RSA_PRIVATE.trim()).unwrap();
        let pair = ring_signature::RsaKeyPair::from_pkcs8(&der).unwrap();
        let key =
            json!({"kty": "RSA", "kid": "rsa", "alg": "RS256", "n": RSA_MODULUS, "e": "AQAB"});
        let verifier = verifier_of(&[key]);
        let header = encoded(&json!({"alg": "RS256", "kid": "rsa"}));
        let sign = |message: &str| {
            let mut signature = vec![0; pair.public().modulus_len()];
            let random = ring::rand::SystemRandom::new();
            let scheme = &ring_signature::RSA_PKCS1_SHA256;
            pair.sign(scheme, &random, message.as_bytes(), &mut signature).unwrap();
            URL_SAFE_NO_PAD.encode(signature)
        };
        let message = format!("{header}.{}", encoded(&claims()));
        let signature = sign(&message);
        let bearer = verifier.check(&format!("{message}.{signature}")).unwrap();
        assert_eq!((bearer.subject.as_str(), bearer.role), ("ana", Role::Operator));

        let mut admin = claims();
        admin["role"] = json!("admin");
        let changed = format!("{header}.{}", encoded(&admin));
        assert_eq!(verifier.check(&format!("{changed}.{signature}")), None);
        // The public key taken for a secret.
        let message =
            format!("{}.{}", encoded(&json!({"alg": "HS256", "kid": "rsa"})), encoded(&claims()));
        let modulus = URL_SAFE_NO_PAD.decode(RSA_MODULUS).unwrap();
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &modulus), message.as_bytes());
        let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac));
        assert_eq!(verifier.check(&forged), None);
    }

    #[test]
    fn keys_that_can_never_serve_end_the_start_and_are_not_told() {
        for bad in ["{}", "secret-text", r#"{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}"#] {
            let keys = Some(Arc::new(RotatingSecret::fixed(bad)));
            let fault = TokenVerifier::new(keys, "i".into(), "a".into()).err().unwrap();
            let told = format!("{fault:#}");
            assert!(told.contains("SB_JWT_KEYS"), "{told}");
            assert!(!told.contains("secret-text") && !told.contains("c2hvcnQ"), "{told}");
        }
    }
}
