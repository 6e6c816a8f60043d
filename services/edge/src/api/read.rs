//! Reading what a request says: its query, its path, its body. Every fault is told with the part that is meant.

use std::{fmt, ops::RangeInclusive, time::Duration};

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
    web,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::BytesMut;
use domain::{Personal, Timestamp};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::ApiError;

/// The largest body, bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// How much of an oversized body is read and thrown away, so that the sender gets to read the answer.
const DISCARDED_BYTES: usize = 16 * 1024 * 1024;
const BODY_WITHIN: Duration = Duration::from_secs(10);
const LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 100;
const MAX_TEXT_CHARS: usize = 256;
/// A cursor: a moment or a position, and an id.
const CURSOR_BYTES: usize = 24;

/// A moment, as RFC 3339 writes it, in UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-28T09:30:00Z")]
pub struct Moment(jiff::Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment as the API writes it.
pub fn moment(at: Timestamp) -> Moment {
    Moment(jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default())
}

/// A moment as everything else has it.
pub fn timestamp(at: Moment) -> Timestamp {
    Timestamp::from_micros(at.0.as_microsecond())
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    /// What is on this page.
    pub items: Vec<T>,
    /// Where the next page begins: as `cursor` in the next request. Null on the last page.
    #[schema(required = true, example = "AAY4ZqXrwABZ0GkV5m5Ho6bKZ2m3kQAB")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The first `limit` of `rows`, of which one more than that was asked for; `key` is what a row sorts by.
    pub fn of<R>(
        mut rows: Vec<R>,
        limit: i64,
        key: impl Fn(&R) -> (i64, Uuid),
        item: impl FnMut(R) -> T,
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| cursor_of(key(last)));
        Self { items: rows.into_iter().map(item).collect(), next_cursor }
    }

    /// Nothing, and no more of it.
    pub const fn empty() -> Self {
        Self { items: Vec::new(), next_cursor: None }
    }
}

fn cursor_of((at, id): (i64, Uuid)) -> String {
    let mut bytes = [0; CURSOR_BYTES];
    bytes[..8].copy_from_slice(&at.to_be_bytes());
    bytes[8..].copy_from_slice(id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor(text: &str) -> Option<(i64, Uuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let bytes: [u8; CURSOR_BYTES] = bytes.try_into().ok()?;
    let (at, id) = bytes.split_first_chunk::<8>()?;
    Some((i64::from_be_bytes(*at), Uuid::from_slice(id).ok()?))
}

/// The query of a request, taken out parameter by parameter; what nobody took out is refused by [`Query::end`], for it is
/// most likely misspelt.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query.
    ///
    /// # Errors
    /// When a parameter is given twice, or holds what no text may.
    pub fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        Self::read(request.query_string())
    }

    /// As [`Query::of`], from what stands behind the question mark.
    ///
    /// # Errors
    /// As [`Query::of`].
    pub fn read(query: &str) -> Result<Self, ApiError> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
        for (index, (name, value)) in pairs.iter().enumerate() {
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(ApiError::parameter(name, "is given more than once"));
            }
            // What was no UTF-8 is this character by now.
            if value.contains(['\0', '\u{fffd}']) {
                return Err(ApiError::parameter(name, "holds a character that no text has"));
            }
        }
        Ok(Self(pairs))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// A text of 1 to 256 characters.
    ///
    /// # Errors
    /// When it is empty or longer.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            Some(text) if text.is_empty() || text.chars().count() > MAX_TEXT_CHARS => {
                Err(ApiError::parameter(name, "must have 1 to 256 characters"))
            }
            text => Ok(text),
        }
    }

    /// One of `choices`.
    ///
    /// # Errors
    /// When it is another.
    pub fn choice(
        &mut self,
        name: &str,
        choices: &[&'static str],
    ) -> Result<Option<&'static str>, ApiError> {
        let Some(given) = self.take(name) else { return Ok(None) };
        match choices.iter().find(|choice| **choice == given) {
            Some(choice) => Ok(Some(choice)),
            None => {
                Err(ApiError::parameter(name, &format!("must be one of {}", choices.join(", "))))
            }
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        Ok(self.choice(name, &["true", "false"])?.map(|given| given == "true"))
    }

    /// A moment, as RFC 3339 writes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn moment(&mut self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let read = |text: String| {
            text.parse().map(|at| timestamp(Moment(at))).map_err(|_| {
                ApiError::parameter(name, "must be a moment such as 2026-11-28T09:30:00Z")
            })
        };
        self.take(name).map(read).transpose()
    }

    /// An id.
    ///
    /// # Errors
    /// When it is none.
    pub fn id(&mut self, name: &str) -> Result<Option<Uuid>, ApiError> {
        let read = |text: String| {
            text.parse().map_err(|_| ApiError::parameter(name, "must be an id, a UUID"))
        };
        self.take(name).map(read).transpose()
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is none of `range`.
    pub fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, ApiError> {
        let read = |text: String| {
            text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
                let problem = format!("must be a number from {} to {}", range.start(), range.end());
                ApiError::parameter(name, &problem)
            })
        };
        self.take(name).map(read).transpose()
    }

    /// How many are wanted, and after which.
    ///
    /// # Errors
    /// When either cannot be used.
    pub fn page(&mut self) -> Result<(i64, Option<(i64, Uuid)>), ApiError> {
        let limit = match self.take("limit") {
            Some(limit) => limit
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| ApiError::parameter("limit", "must be a number from 1 to 100"))?,
            None => LIMIT,
        };
        let read = |cursor: String| {
            read_cursor(&cursor)
                .ok_or_else(|| ApiError::parameter("cursor", "must be a next_cursor of ours"))
        };
        Ok((limit, self.take("cursor").map(read).transpose()?))
    }

    /// Nothing else may be there.
    ///
    /// # Errors
    /// Names what is.
    pub fn end(self) -> Result<(), ApiError> {
        match self.0.first() {
            Some((name, _)) => Err(ApiError::parameter(name, "is not known here")),
            None => Ok(()),
        }
    }
}

/// An id in the path. One that is none is an id of nothing.
pub fn path_id(request: &HttpRequest, what: &str) -> Result<Uuid, ApiError> {
    path_text(request).parse().map_err(|_| ApiError::not_found(what))
}

/// The variable part of the path.
pub fn path_text(request: &HttpRequest) -> &str {
    request.match_info().get("id").unwrap_or_default()
}

/// The body, as it came. Read before anything is done.
///
/// # Errors
/// When it is too large, too slow, or no JSON by its own word.
pub async fn body(request: &HttpRequest, body: web::Payload) -> Result<Body, ApiError> {
    body_up_to(request, body, MAX_BODY_BYTES).await
}

/// As [`body`], where up to `max` bytes may come.
///
/// # Errors
/// As [`body`].
pub async fn body_up_to(
    request: &HttpRequest,
    body: web::Payload,
    max: usize,
) -> Result<Body, ApiError> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let bytes = within(BODY_WITHIN, whole(body, max)).await?;
    if !bytes.is_empty() && !kind.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body must be application/json",
        ));
    }
    Ok(Body(bytes))
}

/// The body of a request that is a file: its media type without parameters, and the file.
///
/// # Errors
/// When it is larger than `max` bytes, or slower than `limit`.
pub async fn file(
    request: &HttpRequest,
    body: web::Payload,
    max: usize,
    limit: Duration,
) -> Result<(String, Body), ApiError> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Ok((kind, Body(within(limit, whole(body, max)).await?)))
}

async fn within(
    limit: Duration,
    read: impl Future<Output = Result<BytesMut, ApiError>>,
) -> Result<BytesMut, ApiError> {
    tokio::time::timeout(limit, read).await.unwrap_or_else(|_| {
        let told = format!("the body did not come within {} s", limit.as_secs());
        Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_body", told))
    })
}

async fn whole(mut body: web::Payload, max: usize) -> Result<BytesMut, ApiError> {
    let (mut kept, mut total) = (BytesMut::new(), 0);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| {
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_body", "the body broke off")
        })?;
        total += chunk.len();
        if total > max + DISCARDED_BYTES {
            break;
        }
        if total <= max {
            kept.extend_from_slice(&chunk);
        }
    }
    if total <= max {
        return Ok(kept);
    }
    Err(ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "payload_too_large",
        format!("a body has at most {max} bytes"),
    ))
}

/// A body that has been read.
pub struct Body(BytesMut);

impl Body {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What it says.
    ///
    /// # Errors
    /// When it is no JSON, or JSON of another shape; names the field.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let invalid = |code, message| ApiError::new(StatusCode::BAD_REQUEST, code, message);
        let value: serde_json::Value = serde_json::from_slice(&self.0)
            .map_err(|e| invalid("invalid_json", format!("the body is no JSON: {e}")))?;
        if holds_nul(&value) {
            return Err(invalid("invalid_body", "no text may hold the character U+0000".into()));
        }
        serde_path_to_error::deserialize(value).map_err(|fault| {
            let path = fault.path().to_string();
            let error = invalid("invalid_body", format!("{path}: {}", fault.inner()));
            if path == "." { error } else { error.of(&path) }
        })
    }
}

/// PostgreSQL cannot keep it.
fn holds_nul(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().any(holds_nul),
        serde_json::Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value))
        }
        _ => false,
    }
}

/// A text of a body, of 1 to `max` characters that are not all blanks.
///
/// # Errors
/// When it is empty or longer.
pub fn text(field: &str, text: &str, max: usize) -> Result<(), ApiError> {
    if text.trim().is_empty() || text.chars().count() > max {
        let problem = format!("must have 1 to {max} characters, not blanks alone");
        return Err(ApiError::field(field, &problem));
    }
    Ok(())
}

/// A phone number of a body, E.164.
///
/// # Errors
/// When it is none.
pub fn phone(field: &str, number: &str) -> Result<Personal, ApiError> {
    let digits = number.strip_prefix('+').unwrap_or_default();
    let good = (7..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit());
    if good {
        return Ok(number.into());
    }
    Err(ApiError::field(field, "must be a phone number in E.164, such as +15551234567"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn query(text: &str) -> Query {
        let request = TestRequest::with_uri(&format!("/x?{text}")).to_http_request();
        Query::of(&request).unwrap()
    }

    #[test]
    fn a_cursor_comes_back_as_the_place_it_was_made_of() {
        let place = (-17, Uuid::new_v4());
        assert_eq!(read_cursor(&cursor_of(place)), Some(place));
        assert_eq!(
            query(&format!("cursor={}", cursor_of(place))).page().unwrap(),
            (50, Some(place))
        );
        for bad in ["", "AAAA", "*"] {
            assert!(read_cursor(bad).is_none());
        }
    }

    #[test]
    fn the_last_page_says_that_it_is_the_last() {
        let key = |n: &i64| (*n, Uuid::nil());
        let page = Page::of(vec![1, 2, 3], 2, key, |n| n);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(page.next_cursor.as_deref().and_then(read_cursor), Some((2, Uuid::nil())));
        assert!(Page::of(vec![1, 2], 2, key, |n| n).next_cursor.is_none());
    }

    #[test]
    fn a_misspelt_or_broken_parameter_is_named() {
        let mut misspelt = query("chanel=voice&limit=7");
        assert_eq!(misspelt.page().unwrap().0, 7);
        assert_eq!(misspelt.end().unwrap_err().to_string(), "invalid_parameter");
        for bad in ["limit=0", "limit=101", "limit=ten", "cursor=x"] {
            assert!(query(bad).page().is_err(), "{bad}");
        }
        assert!(query("from=yesterday").moment("from").is_err());
        assert!(query("from=2026-11-28T09:30:00%2B01:00").moment("from").unwrap().is_some());
        let twice = TestRequest::with_uri("/x?a=1&a=2").to_http_request();
        assert!(Query::of(&twice).is_err());
    }
}
