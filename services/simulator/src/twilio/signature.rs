//! X-Twilio-Signature (PROTOCOLS 1.2).

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The signature over `url`, byte for byte as it was configured, and the parameters of a form (none for GET and for a
/// socket's handshake).
pub fn sign(auth_token: &str, url: &str, form: &[(String, String)]) -> String {
    let mut parameters: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in form {
        parameters.entry(name).or_default().insert(value);
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    for (name, values) in parameters {
        for value in values {
            mac.update(name.as_bytes());
            mac.update(value.as_bytes());
        }
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const U: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

    fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn p() -> Vec<(String, String)> {
        form(&[
            ("To", "+18005551212"),
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("From", "+14158675309"),
            ("Digits", "1234"),
        ])
    }

    #[test]
    fn signs_as_twilios_own_libraries_do() {
        for (url, signature) in [
            (U, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
            ("https://mycompany.com:443/myapp.php?foo=1&bar=2", "kvajT1Ptam85bY51eRf/AJRuM3w="),
            ("http://mycompany.com:80/myapp.php?foo=1&bar=2", "0ZXoZLH/DfblKGATFgpif+LLRf4="),
            ("http://mycompany.com:1234/myapp.php?foo=1&bar=2", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
            (&format!("{U}&Body=It's+amazing"), "dsq4Ehbj6cs+KdTkpF5sSSplOWw="),
            (
                "https://user:pass@mycompany.com/myapp.php?foo=1&bar=2",
                "CukzLTc1tT5dXEDIHm/tKBanW10=",
            ),
            ("https://user@mycompany.com/myapp.php?foo=1&bar=2", "2YRLlVAflCqxaNicjMpJcSTgzSs="),
        ] {
            assert_eq!(sign("12345", url, &p()), signature, "{url}");
        }
    }

    #[test]
    fn a_repeated_parameter_counts_each_value_once_and_sorted() {
        let digits = form(&[
            ("Sid", "CA123"),
            ("SidAccount", "AC123"),
            ("Digits", "5678"),
            ("Digits", "1234"),
            ("Digits", "1234"),
        ]);
        assert_eq!(sign("12345", U, &digits), "IK+Dwps556ElfBT0I3Rgjkr1wJU=");
        let addresses = form(&[
            ("MessagingBinding.Address", "+1415xxxxxxx"),
            ("MessagingBinding.Address", "+1325xxxxxxx"),
        ]);
        assert_eq!(sign("12345", U, &addresses), "83O6e2vORAoJHUNzJjDWN1jz+BA=");
    }

    #[test]
    fn a_json_body_counts_by_the_hash_in_the_query() {
        let hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
        let url = format!("{U}&bodySHA256={hash}");
        assert_eq!(sign("12345", &url, &[]), "a9nBmqA0ju/hNViExpshrM61xv4=");
        let alone = format!("https://mycompany.com/myapp.php?bodySHA256={hash}");
        assert_eq!(sign("12345", &alone, &[]), "y77kIzt2vzLz71DgmJGsen2scGs=");
        let empty = "https://mycompany.com:443/myapp.php?foo=1&bar=2&bodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(sign("12345", empty, &[]), "Ldidvp12m26NI7eqEvxnEpkd9Hc=");
    }

    #[test]
    fn a_sockets_handshake_signs_its_url_alone() {
        for (url, signature) in [
            ("wss://mycompany.com/media", "okykUWKkAOgQseVjzERZh4soLeU="),
            ("wss://mycompany.com/media/", "m6zCRgAmr39sY5bRHH3mG0yRr1o="),
            ("wss://mycompany.com:443/media", "y/eZxfvMeXBmejSJYHDm4y/cRMk="),
        ] {
            assert_eq!(sign("12345", url, &[]), signature);
        }
    }
}
