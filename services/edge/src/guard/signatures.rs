//! Whether a request is the vendor's own: pure functions over exact bytes (E1, PROTOCOLS 1.2 and 2.1).
//!
//! Each takes several keys, so that an old and a new one are both good while a secret rotates (E4).

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use vault::Secret;

/// The keys as the functions here take them.
pub fn key_bytes(secrets: &[Secret]) -> Vec<&[u8]> {
    secrets.iter().map(|s| s.reveal().as_bytes()).collect()
}

/// A form as Twilio signs it: every name with its distinct values, both in byte order.
pub type FormParams = BTreeMap<String, BTreeSet<String>>;

/// Gathers decoded pairs into the order Twilio signs them in.
pub fn form_params(pairs: impl IntoIterator<Item = (String, String)>) -> FormParams {
    let mut params = FormParams::new();
    for (name, value) in pairs {
        params.entry(name).or_default().insert(value);
    }
    params
}

/// Whether Twilio signed a form post to `url`, the public URL with its query, undecoded.
///
/// Twilio does not sign consistently over the port: the signature counts over the URL without one, and with one
/// (the explicit one, else the scheme's own).
pub fn twilio_form(
    keys: &[impl AsRef<[u8]>],
    url: &str,
    params: &FormParams,
    signature: &str,
) -> bool {
    let tail = signed_tail(params);
    with_and_without_port(url).iter().any(|u| twilio_hmac(keys, &format!("{u}{tail}"), signature))
}

/// Whether Twilio signed a JSON post to `url`: no parameters, but the query names the body's hash, which must be right.
pub fn twilio_json(keys: &[impl AsRef<[u8]>], url: &str, body: &[u8], signature: &str) -> bool {
    let Some(claimed) = query_of(url).split('&').find_map(|pair| pair.strip_prefix("bodySHA256="))
    else {
        return false;
    };
    let actual = hex::encode(Sha256::digest(body));
    let same_body = bool::from(actual.as_bytes().ct_eq(claimed.as_bytes()));
    same_body && twilio_form(keys, url, &FormParams::new(), signature)
}

/// Whether Twilio signed the upgrade to `url` (`wss://host/path`).
///
/// Field reports disagree on the form it signs, so every form they name counts: `wss` and `https` (on a machine
/// without TLS also `ws` and `http`), without and with a port, without and with a slash at the end. A query counts as
/// parameters, not as part of the URL.
pub fn twilio_handshake(keys: &[impl AsRef<[u8]>], url: &str, signature: &str) -> bool {
    let (plain, query) = url.split_once('?').unwrap_or((url, ""));
    let Some((_, rest)) = plain.split_once("://") else { return false };
    let params = form_params(
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let tail = signed_tail(&params);
    let rest = rest.trim_end_matches('/');
    ["wss", "https", "ws", "http"].iter().any(|scheme| {
        with_and_without_port(&format!("{scheme}://{rest}")).iter().any(|form| {
            twilio_hmac(keys, &format!("{form}{tail}"), signature)
                || twilio_hmac(keys, &format!("{form}/{tail}"), signature)
        })
    })
}

/// Whether Meta signed `body` (`X-Hub-Signature-256: sha256=<hex>`).
pub fn meta(keys: &[impl AsRef<[u8]>], body: &[u8], header: &str) -> bool {
    let Some(signature) =
        header.strip_prefix("sha256=").and_then(|digits| hex::decode(digits).ok())
    else {
        return false;
    };
    keys.iter().any(|key| {
        Hmac::<Sha256>::new_from_slice(key.as_ref())
            .is_ok_and(|mac| mac.chain_update(body).verify_slice(&signature).is_ok())
    })
}

fn twilio_hmac(keys: &[impl AsRef<[u8]>], message: &str, signature: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    keys.iter().any(|key| {
        Hmac::<Sha1>::new_from_slice(key.as_ref())
            .is_ok_and(|mac| mac.chain_update(message.as_bytes()).verify_slice(&signature).is_ok())
    })
}

fn signed_tail(params: &FormParams) -> String {
    let pairs = params.iter().flat_map(|(name, values)| values.iter().map(move |v| (name, v)));
    pairs.fold(String::new(), |tail, (name, value)| tail + name + value)
}

fn query_of(url: &str) -> &str {
    url.split_once('?').map_or("", |(_, query)| query)
}

/// `url` without a port, and with one: the explicit one, else the scheme's own. A raw split, for a URL type would
/// normalise what was signed.
fn with_and_without_port(url: &str) -> [String; 2] {
    let Some((scheme, rest)) = url.split_once("://") else {
        return [url.to_owned(), url.to_owned()];
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host_port) = match authority.rfind('@') {
        Some(at) => authority.split_at(at + 1),
        None => ("", authority),
    };
    // An IPv6 host has colons of its own, inside brackets.
    let port_at = host_port.rfind(':').filter(|&at| !host_port[at..].contains(']'));
    let (host, port) = match port_at {
        Some(at) => (&host_port[..at], &host_port[at + 1..]),
        None => (host_port, if matches!(scheme, "https" | "wss") { "443" } else { "80" }),
    };
    [format!("{scheme}://{user}{host}{path}"), format!("{scheme}://{user}{host}:{port}{path}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: [&str; 1] = ["12345"];
    const U: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

    fn pairs(list: &[(&str, &str)]) -> FormParams {
        form_params(list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    fn p() -> FormParams {
        pairs(&[
            ("To", "+18005551212"),
            ("Digits", "1234"),
            ("CallSid", "CA1234567890ABCDE"),
            ("From", "+14158675309"),
            ("Caller", "+14158675309"),
        ])
    }

    #[test]
    fn every_published_form_vector_is_accepted() {
        let port = |u: &str| u.replacen("mycompany.com", "mycompany.com:1234", 1);
        let http = U.replacen("https", "http", 1);
        let user = |u: &str| U.replacen("mycompany.com", &format!("{u}@mycompany.com"), 1);
        for (url, signature) in [
            (U.to_owned(), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
            (port(U), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
            (U.to_owned(), "kvajT1Ptam85bY51eRf/AJRuM3w="),
            (http.clone(), "0ZXoZLH/DfblKGATFgpif+LLRf4="),
            (port(&http), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
            (format!("{U}&Body=It's+amazing"), "dsq4Ehbj6cs+KdTkpF5sSSplOWw="),
            (user("user:pass"), "CukzLTc1tT5dXEDIHm/tKBanW10="),
            (user("user:pass"), "ZQFR1PTIZXF2MXB8ZnKCvnnA+rI="),
            (user("user"), "2YRLlVAflCqxaNicjMpJcSTgzSs="),
        ] {
            assert!(twilio_form(&TOKEN, &url, &p(), signature), "{url} {signature}");
            assert!(!twilio_form(&["54321"], &url, &p(), signature), "another token: {url}");
        }
    }

    #[test]
    fn repeated_parameters_count_once_and_in_order() {
        let repeated = pairs(&[
            ("Sid", "CA123"),
            ("SidAccount", "AC123"),
            ("Digits", "5678"),
            ("Digits", "1234"),
            ("Digits", "1234"),
        ]);
        assert!(twilio_form(&TOKEN, U, &repeated, "IK+Dwps556ElfBT0I3Rgjkr1wJU="));
        for order in [["+1325xxxxxxx", "+1415xxxxxxx"], ["+1415xxxxxxx", "+1325xxxxxxx"]] {
            let binding = pairs(&order.map(|v| ("MessagingBinding.Address", v)));
            assert!(twilio_form(&TOKEN, U, &binding, "83O6e2vORAoJHUNzJjDWN1jz+BA="));
        }
    }

    #[test]
    fn one_changed_byte_is_refused() {
        let mut other = p();
        other.insert("Digits".into(), BTreeSet::from(["1235".into()]));
        assert!(!twilio_form(&TOKEN, U, &other, "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
        assert!(!twilio_form(
            &TOKEN,
            &U.replace("foo=1", "foo=2"),
            &p(),
            "RSOYDt4T1cUTdK1PDd93/VVr8B8="
        ));
        for signature in ["", "RSOYDt4T1cUTdK1PDd93/VVr8B8", "not base64!"] {
            assert!(!twilio_form(&TOKEN, U, &p(), signature));
        }
    }

    #[test]
    fn every_published_json_vector_is_accepted_and_its_body_is_checked() {
        let body = br#"{"property": "value", "boolean": true}"#;
        let hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
        let empty = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let long = format!("{U}&bodySHA256={hash}");
        let short = format!("https://mycompany.com/myapp.php?bodySHA256={hash}");
        assert!(twilio_json(&TOKEN, &long, body, "a9nBmqA0ju/hNViExpshrM61xv4="));
        assert!(twilio_json(&TOKEN, &short, body, "y77kIzt2vzLz71DgmJGsen2scGs="));
        assert!(twilio_json(
            &TOKEN,
            &format!("{U}&bodySHA256={empty}"),
            b"{}",
            "Ldidvp12m26NI7eqEvxnEpkd9Hc="
        ));
        assert!(!twilio_json(&TOKEN, &long, b"{}", "a9nBmqA0ju/hNViExpshrM61xv4="));
        assert!(!twilio_json(&TOKEN, U, body, "a9nBmqA0ju/hNViExpshrM61xv4="));
    }

    #[test]
    fn a_media_socket_is_recognised_in_every_form_twilio_is_said_to_sign() {
        let url = "wss://mycompany.com/media";
        for signature in [
            "okykUWKkAOgQseVjzERZh4soLeU=",
            "m6zCRgAmr39sY5bRHH3mG0yRr1o=",
            "y/eZxfvMeXBmejSJYHDm4y/cRMk=",
        ] {
            assert!(twilio_handshake(&TOKEN, url, signature), "{signature}");
            assert!(!twilio_handshake(&TOKEN, "wss://mycompany.com/other", signature));
        }
        let sign = |message: &str| {
            let mac =
                Hmac::<Sha1>::new_from_slice(b"12345").unwrap().chain_update(message.as_bytes());
            STANDARD.encode(mac.finalize().into_bytes())
        };
        for message in [
            "https://mycompany.com/media",
            "https://mycompany.com/media/",
            "https://mycompany.com:443/media",
            "wss://mycompany.com:443/media/",
        ] {
            assert!(twilio_handshake(&TOKEN, url, &sign(message)), "{message}");
        }
        assert!(twilio_handshake(
            &TOKEN,
            "wss://mycompany.com/media?b=2&a=1",
            &sign("wss://mycompany.com/mediaa1b2")
        ));
        assert!(twilio_handshake(
            &TOKEN,
            "wss://127.0.0.1:8000/media",
            &sign("wss://127.0.0.1:8000/media")
        ));
    }

    #[test]
    fn an_ipv6_host_keeps_its_colons() {
        let [without, with] = with_and_without_port("http://[::1]/x");
        assert_eq!((without.as_str(), with.as_str()), ("http://[::1]/x", "http://[::1]:80/x"));
        let [without, with] = with_and_without_port("http://[::1]:81/x");
        assert_eq!((without.as_str(), with.as_str()), ("http://[::1]/x", "http://[::1]:81/x"));
    }

    #[test]
    fn metas_vector_is_accepted_and_a_changed_body_is_not() {
        let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
        let good = "sha256=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f";
        assert!(meta(&["app-secret"], body, good));
        assert!(
            meta(&["new", "app-secret"], body, good),
            "the old key counts while the secret rotates"
        );
        assert!(!meta(&["app-secret"], b"{}", good));
        for header in ["", "sha1=00", "sha256=zz", "sha256=", &good.replace("sha256=", "")] {
            assert!(!meta(&["app-secret"], body, header), "{header}");
        }
    }
}
