//! What the business knows (C5): documents that agents answer from.

use actix_web::{HttpRequest, web};
use domain::{Personal, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::knowledge::{self, Listed, NewDocument};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, IfMatch, Reply, Success},
    caller::As,
    media,
    read::{self, Moment, Page, Query, moment},
    role::{Developer, ReadOnly},
    write::{Change, Done},
};

const WHAT: &str = "document";
/// The largest body that brings a document, bytes.
const MAX_BODY_BYTES: usize = 512 * 1024;
const LONGEST_TITLE: usize = 200;
const LONGEST_SOURCE: usize = 500;
const LONGEST_TEXT: usize = 400_000;

/// A document, without its text.
#[derive(Serialize, ToSchema)]
pub struct Document {
    /// Its id.
    pub id: Uuid,
    /// Its title.
    #[schema(example = "Parking")]
    pub title: String,
    /// Where it came from, as answers name it.
    #[schema(example = "our visitors' page")]
    pub source: String,
    /// The pieces it is found by.
    #[schema(example = 4)]
    pub pieces: i64,
    /// How many of them are found by what they are about as well, not by their words alone.
    #[schema(example = 4)]
    pub embedded: i64,
    /// The file that agents send whom asks for it.
    pub file: Option<DocumentFile>,
    /// When it was put there, or last changed.
    pub updated_at: Moment,
}

/// The file of a document.
#[derive(Serialize, ToSchema)]
pub struct DocumentFile {
    /// Its media type.
    #[schema(example = "application/pdf")]
    pub media_type: String,
    /// Its size.
    #[schema(example = 48211)]
    pub bytes: u64,
    /// What the person sees as its name.
    #[schema(example = "prices.pdf")]
    pub filename: Option<String>,
}

/// A document.
#[derive(Serialize, ToSchema)]
pub struct WholeDocument {
    /// What a list shows of it.
    pub about: Document,
    /// Its text.
    #[schema(example = "There is parking behind the house, free for two hours.")]
    pub text: String,
}

/// A document that is to be known.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedDocument {
    /// Its title.
    #[schema(min_length = 1, max_length = 200, pattern = "\\S", example = "Parking")]
    title: String,
    /// Where it came from, as answers name it; the title unless said.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S", example = "our visitors' page")]
    source: Option<String>,
    /// Its text; paragraphs are separated by empty lines. Agents may tell it to anybody.
    #[schema(
        min_length = 1,
        max_length = 400000,
        pattern = "\\S",
        example = "There is parking behind the house, free for two hours."
    )]
    text: String,
    /// The same as a file, as `POST /media` named it: agents send it on WhatsApp to whom asks for it. None unless said.
    file: Option<Uuid>,
}

impl From<Listed> for Document {
    fn from(d: Listed) -> Self {
        Self {
            id: d.id,
            title: d.title,
            source: d.source,
            pieces: d.pieces,
            embedded: d.embedded,
            file: d.file.map(|sent| DocumentFile {
                media_type: sent.file.mime_type,
                bytes: sent.file.bytes,
                filename: sent.filename.map(Personal::into_revealed),
            }),
            updated_at: moment(d.updated_at),
        }
    }
}

impl From<knowledge::Document> for WholeDocument {
    fn from(found: knowledge::Document) -> Self {
        Self { about: found.listed.into(), text: found.text }
    }
}

/// Documents
///
/// In the order of their ids.
#[utoipa::path(get, path = "/api/v1/documents", tag = "knowledge",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", body = inline(Success<Page<Document>>))))]
pub async fn list(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Page<Document>> {
    let mut query = Query::of(&request)?;
    let (limit, after) = query.page()?;
    query.end()?;
    let tx = caller.begin().await?;
    let rows = knowledge::list(&tx, after.map(|(_, id)| id), limit + 1).await?;
    Ok(Reply::ok(Page::of(rows, limit, |d| (0, d.id), Document::from)))
}

/// One document
#[utoipa::path(get, path = "/api/v1/documents/{id}", tag = "knowledge",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It", body = inline(Success<WholeDocument>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn show(caller: As<ReadOnly>, request: HttpRequest) -> Answer<WholeDocument> {
    let id = read::path_id(&request, WHAT)?;
    let tx = caller.begin().await?;
    let found = knowledge::get(&tx, id).await?.ok_or_else(|| ApiError::not_found(WHAT))?;
    Ok(Reply::tagged(found.into()))
}

/// Put a document
///
/// For developers. The id is the caller's choice; what had it gives way. Agents answer from it at once by its words, and some
/// seconds later by what it is about, where embeddings are set up. 512 KiB at most.
#[utoipa::path(put, path = "/api/v1/documents/{id}", tag = "knowledge", request_body = WantedDocument,
    params(
        ("id" = Uuid, Path),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the version it takes the place of"),
    ),
    responses((status = 200, description = "As it is now", body = inline(Success<Document>)),
        (status = 412, description = "Somebody else was first", body = super::answer::Failure)))]
pub async fn put(caller: As<Developer>, request: HttpRequest, body: web::Payload) -> Answer<Value> {
    let body = read::body_up_to(&request, body, MAX_BODY_BYTES).await?;
    let id: Uuid = read::path_text(&request)
        .parse()
        .map_err(|_| ApiError::parameter("id", "must be an id, a UUID"))?;
    let wanted: WantedDocument = body.json()?;
    read::text("title", &wanted.title, LONGEST_TITLE)?;
    if let Some(source) = &wanted.source {
        read::text("source", source, LONGEST_SOURCE)?;
    }
    read::text("text", &wanted.text, LONGEST_TEXT)?;
    let change = Change::of(&caller, &request, &body)?;
    let file = match wanted.file {
        Some(id) => Some(media::handed_over(&caller, id).await?),
        None => None,
    };
    let expected = IfMatch::of(&request);
    change
        .make(async |tx| {
            if let Some(expected) = expected {
                let before = knowledge::get_for_change(tx, id).await?;
                expected.check(before.map(WholeDocument::from).as_ref())?;
            }
            let source = wanted.source.as_deref().unwrap_or(&wanted.title);
            let (title, text) = (&wanted.title, &wanted.text);
            let new = NewDocument { id, title, source, text, file: file.as_ref() };
            knowledge::put(tx, &new, Timestamp::now()).await?;
            let put = knowledge::get(tx, id).await?.ok_or_else(ApiError::internal)?;
            Ok(Done::ok(Document::from(put.listed), "document.put", id))
        })
        .await
}

/// Remove a document
///
/// For developers. Nobody answers from it any more.
#[utoipa::path(delete, path = "/api/v1/documents/{id}", tag = "knowledge",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It is gone; as it was", body = inline(Success<Document>))))]
pub async fn remove(
    caller: As<Developer>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, _) = Change::read(&caller, &request, body).await?;
    let id = read::path_id(&request, WHAT)?;
    change
        .make(async |tx| {
            let found = knowledge::get(tx, id).await?.ok_or_else(|| ApiError::not_found(WHAT))?;
            knowledge::remove(tx, id).await?;
            Ok(Done::ok(Document::from(found.listed), "document.remove", id))
        })
        .await
}
