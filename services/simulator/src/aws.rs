//! Signatures (SigV4) as AWS checks them, for [`polly`](crate::polly), [`transcribe`](crate::transcribe) and [`bedrock`](crate::bedrock).

use actix_web::{HttpRequest, http::header::HeaderMap};
use aws_smithy_eventstream::frame::write_headers_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use sha2::{Digest as _, Sha256};

use crate::config::Secret;

/// AWS refuses a request that is older, or younger, than this.
const SKEW_SECONDS: i64 = 5 * 60;

/// What stands for the hash of a body that is a stream of signed messages.
const STREAMED: &str = "STREAMING-AWS4-HMAC-SHA256-EVENTS";

/// Why a request is refused, by AWS's name for it.
pub type Refusal = &'static str;

const INCOMPLETE: Refusal = "IncompleteSignature";
const UNKNOWN_KEY: Refusal = "UnrecognizedClientException";
const WRONG: Refusal = "InvalidSignatureException";

/// What a request says about its signature.
struct Claim {
    credential: String,
    signed_headers: String,
    signature: String,
    /// When it was signed, as it writes that.
    date: String,
    /// How long it is good, for one signed in its address.
    expires_s: Option<i64>,
}

/// Checks who made a request. Without a configured `secret` the signature itself is not checked, only that there is one
/// for `service`, fresh, by a key that does not contain `invalid`.
///
/// # Errors
/// With AWS's name for what is wrong.
pub fn authorise(
    request: &HttpRequest,
    service: &str,
    body: &[u8],
    secret: Option<&Secret>,
) -> Result<(), Refusal> {
    check(request, service, &hex::encode(Sha256::digest(body)), secret).map(drop)
}

/// The same for a request whose body is a stream of signed messages; gives who checks them.
///
/// # Errors
/// As [`authorise`].
pub fn authorise_stream(
    request: &HttpRequest,
    service: &str,
    secret: Option<&Secret>,
) -> Result<Chunks, Refusal> {
    check(request, service, STREAMED, secret)
}

fn check(
    request: &HttpRequest,
    service: &str,
    body: &str,
    secret: Option<&Secret>,
) -> Result<Chunks, Refusal> {
    let query: Vec<(String, String)> =
        serde_urlencoded::from_str(request.query_string()).map_err(|_| INCOMPLETE)?;
    let in_query = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone());
    let claim = match in_query("X-Amz-Signature") {
        Some(signature) => Claim {
            credential: in_query("X-Amz-Credential").ok_or(INCOMPLETE)?,
            signed_headers: in_query("X-Amz-SignedHeaders").ok_or(INCOMPLETE)?,
            signature,
            date: in_query("X-Amz-Date").ok_or(INCOMPLETE)?,
            expires_s: in_query("X-Amz-Expires").and_then(|seconds| seconds.parse().ok()),
        },
        None => of_header(request.headers()).ok_or(INCOMPLETE)?,
    };
    let scope: Vec<&str> = claim.credential.split('/').collect();
    let [key, day, region, named, "aws4_request"] = scope[..] else { return Err(INCOMPLETE) };
    if key.contains("invalid") {
        return Err(UNKNOWN_KEY);
    }
    let signed_at = strtime::parse("%Y%m%dT%H%M%SZ", &claim.date)
        .and_then(|time| time.to_datetime()?.to_zoned(TimeZone::UTC))
        .map_err(|_| INCOMPLETE)?;
    let age = Timestamp::now().as_second() - signed_at.timestamp().as_second();
    let oldest = claim.expires_s.unwrap_or(SKEW_SECONDS).min(SKEW_SECONDS);
    let signs_host = claim.signed_headers.split(';').any(|name| name == "host");
    if named != service
        || !claim.date.starts_with(day)
        || !signs_host
        || !(-SKEW_SECONDS..=oldest).contains(&age)
    {
        return Err(WRONG);
    }
    let Some(secret) = secret else { return Ok(Chunks(None)) };
    let canonical = canonical_request(request, &query, &claim.signed_headers, body);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{day}/{region}/{named}/aws4_request\n{}",
        claim.date,
        hex::encode(Sha256::digest(canonical))
    );
    let first = format!("AWS4{}", secret.expose()).into_bytes();
    let key = [day, region, named, "aws4_request"]
        .into_iter()
        .fold(first, |key, part| mac(&key, part.as_bytes()));
    let expected = hex::encode(mac(&key, to_sign.as_bytes()));
    if expected != claim.signature {
        return Err(WRONG);
    }
    let scope = format!("{day}/{region}/{named}/aws4_request");
    Ok(Chunks(Some(Chain { key, scope, last: expected })))
}

/// Takes signed messages of a stream out of their envelopes. Each signature counts in the one before; without a
/// configured secret none is checked.
pub struct Chunks(Option<Chain>);

struct Chain {
    key: Vec<u8>,
    scope: String,
    last: String,
}

impl Chunks {
    /// The bytes of the message within; none at the end of the stream.
    ///
    /// # Errors
    /// When it is not signed as it should be.
    pub fn open(&mut self, signed: &Message) -> Result<Bytes, Refusal> {
        let of = |name: &str| {
            signed.headers().iter().find(|header| header.name().as_str() == name).map(Header::value)
        };
        let Some(HeaderValue::ByteArray(signature)) = of(":chunk-signature") else {
            return Err(INCOMPLETE);
        };
        let Some(HeaderValue::Timestamp(date)) = of(":date") else { return Err(INCOMPLETE) };
        let Some(chain) = &mut self.0 else { return Ok(signed.payload().clone()) };
        let at = Timestamp::from_second(date.secs()).map_err(|_| INCOMPLETE)?;
        let at = at.strftime("%Y%m%dT%H%M%SZ");
        let mut head = Vec::new();
        let dated = Header::new(":date", HeaderValue::Timestamp(*date));
        write_headers_to(&[dated], &mut head).map_err(|_| INCOMPLETE)?;
        let hash = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
        let (scope, last) = (&chain.scope, &chain.last);
        let to_sign = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{at}\n{scope}\n{last}\n{}\n{}",
            hash(&head),
            hash(signed.payload())
        );
        chain.last = hex::encode(mac(&chain.key, to_sign.as_bytes()));
        match chain.last == hex::encode(signature) {
            true => Ok(signed.payload().clone()),
            false => Err(WRONG),
        }
    }
}

fn of_header(headers: &HeaderMap) -> Option<Claim> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let fields = text("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let field = |name: &str| {
        let found = fields.split(',').find_map(|field| field.trim().strip_prefix(name))?;
        Some(found.strip_prefix('=')?.to_owned())
    };
    Some(Claim {
        credential: field("Credential")?,
        signed_headers: field("SignedHeaders")?,
        signature: field("Signature")?,
        date: text("x-amz-date")?.to_owned(),
        expires_s: None,
    })
}

fn canonical_request(
    request: &HttpRequest,
    query: &[(String, String)],
    signed_headers: &str,
    body: &str,
) -> String {
    let mut pairs: Vec<String> = query
        .iter()
        .filter(|(name, _)| name != "X-Amz-Signature")
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
        .collect();
    pairs.sort_unstable();
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        // In HTTP/2 the host stands beside the headers.
        let host = || request.uri().authority().map(|host| host.as_str());
        let value = value.or_else(|| if name == "host" { host() } else { None });
        format!("{name}:{}\n", value.unwrap_or_default().trim())
    };
    // What is escaped in the address is escaped once more, everywhere but in S3.
    let path: Vec<String> = request.path().split('/').map(escaped).collect();
    format!(
        "{}\n{}\n{}\n{}\n{signed_headers}\n{}",
        request.method(),
        path.join("/"),
        pairs.join("&"),
        signed_headers.split(';').map(header).collect::<String>(),
        body,
    )
}

fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}
