//! What a business knows (C5): documents in pieces, found by their words and by what they are about.
//!
//! The pieces hold no personal field: what a tenant puts here is what its agents may tell anybody.

use domain::{KeptFile, Personal, SentFile, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{StoreError, TenantTx, moment, plain};

/// About how long a piece is, in characters: some sentences, short enough to be read to a caller by a model, long enough
/// to stand by itself.
const PIECE_CHARS: usize = 600;

/// Pieces that are looked at for one question, by each of the two ways.
const CANDIDATES: i64 = 8;

/// From this cosine on a piece is about the question, by the embeddings.
const ABOUT_FROM: f32 = 0.35;

/// From this share of the question's words on (without "the" and the like) a piece answers it, by the words.
const WORDS_FROM: f32 = 0.5;

/// A document as a tenant gives it.
#[derive(Clone, Copy, Debug)]
pub struct NewDocument<'a> {
    /// Its id; the same id again replaces it.
    pub id: Uuid,
    /// Its title.
    pub title: &'a str,
    /// Where it came from, as answers name it.
    pub source: &'a str,
    /// The text; paragraphs are separated by empty lines.
    pub text: &'a str,
    /// The file that agents send whom asks for it.
    pub file: Option<&'a SentFile>,
}

/// A document without its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its id.
    pub id: Uuid,
    /// Its title.
    pub title: String,
    /// Where it came from.
    pub source: String,
    /// When it was put there, or last changed.
    pub updated_at: Timestamp,
    /// How many pieces it was cut into.
    pub pieces: i64,
    /// How many of them have an embedding, of whichever model.
    pub embedded: i64,
    /// The file that agents send whom asks for it.
    pub file: Option<SentFile>,
}

/// A document as it was given.
#[derive(Clone, PartialEq, Debug)]
pub struct Document {
    /// What a list tells of it.
    pub listed: Listed,
    /// Its text; of one that was put there before texts were kept, its pieces.
    pub text: String,
}

const LISTED: &str = "d.file_bucket, d.file_key, d.file_type, d.file_bytes, d.file_sha256, d.file_name,
    d.id, d.title, d.source, d.updated_at,
    (SELECT count(*) FROM knowledge_chunks c WHERE c.tenant = d.tenant AND c.document = d.id),
    (SELECT count(c.embedding_model) FROM knowledge_chunks c WHERE c.tenant = d.tenant AND c.document = d.id)";

fn listed(row: &Row) -> Listed {
    Listed {
        file: file(row),
        id: row.get(6),
        title: row.get(7),
        source: row.get(8),
        updated_at: row.get::<_, std::time::SystemTime>(9).into(),
        pieces: row.get(10),
        embedded: row.get(11),
    }
}

/// The file of a row that begins with the columns of one.
fn file(row: &Row) -> Option<SentFile> {
    let bucket: Option<String> = row.get(0);
    Some(SentFile {
        file: KeptFile {
            bucket: bucket?,
            key: row.get(1),
            mime_type: row.get(2),
            bytes: u64::try_from(row.get::<_, i64>(3)).unwrap_or_default(),
        },
        sha256: row.get(4),
        filename: row.get::<_, Option<String>>(5).map(Personal::from),
    })
}

/// Up to `limit` documents in the order of their ids, after the one whose id is `after`.
pub async fn list(
    tx: &TenantTx,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Listed>, StoreError> {
    let sql = format!(
        "SELECT {LISTED} FROM knowledge_documents d WHERE $1::uuid IS NULL OR d.id > $1
         ORDER BY d.id LIMIT $2"
    );
    Ok(tx.query(&sql, &[&after, &limit]).await?.iter().map(listed).collect())
}

/// A document; `None` where there is none of this id.
pub async fn get(tx: &TenantTx, id: Uuid) -> Result<Option<Document>, StoreError> {
    let sql = format!(
        "SELECT {LISTED}, coalesce(d.text, (SELECT string_agg(c.text, E'\\n\\n' ORDER BY c.number)
             FROM knowledge_chunks c WHERE c.tenant = d.tenant AND c.document = d.id), '')
         FROM knowledge_documents d WHERE d.id = $1"
    );
    let row = tx.query_opt(&sql, &[&id]).await?;
    Ok(row.map(|row| Document { listed: listed(&row), text: row.get(12) }))
}

/// As [`get`], held until the end of the transaction, so that two changes come one after the other.
pub async fn get_for_change(tx: &TenantTx, id: Uuid) -> Result<Option<Document>, StoreError> {
    let hold = "SELECT FROM knowledge_documents WHERE id = $1 FOR NO KEY UPDATE";
    tx.query(hold, &[&id]).await?;
    get(tx, id).await
}

/// Puts a document in place of what had its id; `false` where it is there unchanged, which keeps its embeddings.
pub async fn put(
    tx: &TenantTx,
    document: &NewDocument<'_>,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let NewDocument { id, title, source, text, file } = document;
    // No title holds a NUL, so no two documents are written alike.
    let (title, source, text) = (plain(title), plain(source), plain(text));
    let sha256 = Sha256::digest(format!("{title}\0{text}")).to_vec();
    let kept = file.map(|file| &file.file);
    let (bucket, key) = (kept.map(|kept| &kept.bucket), kept.map(|kept| &kept.key));
    let media_type = kept.map(|kept| &kept.mime_type);
    let bytes = kept.map(|kept| i64::try_from(kept.bytes).unwrap_or(i64::MAX));
    let name = file.and_then(|file| file.filename.as_ref()).map(|name| plain(name.reveal()));
    let changed = tx
        .execute(
            "INSERT INTO knowledge_documents AS d (tenant, id, title, source, sha256, updated_at, text,
                file_bucket, file_key, file_type, file_bytes, file_sha256, file_name)
             VALUES (app_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (tenant, id) DO UPDATE SET title = excluded.title, source = excluded.source,
                sha256 = excluded.sha256, updated_at = excluded.updated_at, text = excluded.text,
                file_bucket = excluded.file_bucket, file_key = excluded.file_key,
                file_type = excluded.file_type, file_bytes = excluded.file_bytes,
                file_sha256 = excluded.file_sha256, file_name = excluded.file_name
             WHERE d.sha256 <> excluded.sha256 OR d.source <> excluded.source
                OR d.file_key IS DISTINCT FROM excluded.file_key",
            &[
                id,
                &title,
                &source,
                &sha256,
                &moment(at),
                &text,
                &bucket,
                &key,
                &media_type,
                &bytes,
                &file.map(|file| &file.sha256),
                &name,
            ],
        )
        .await?;
    if changed == 0 {
        return Ok(false);
    }
    tx.execute("DELETE FROM knowledge_chunks WHERE document = $1", &[id]).await?;
    for (number, piece) in (0_i32..).zip(pieces(&text)) {
        tx.execute(
            "INSERT INTO knowledge_chunks (tenant, document, number, text)
             VALUES (app_tenant(), $1, $2, $3)",
            &[id, &number, &piece],
        )
        .await?;
    }
    Ok(true)
}

/// Removes a document; `false` where there is none.
pub async fn remove(tx: &TenantTx, id: Uuid) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM knowledge_documents WHERE id = $1", &[&id]).await? > 0)
}

/// A document that is a file, and that file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileOf {
    /// The document's title.
    pub title: String,
    /// Its file.
    pub file: SentFile,
}

/// The file that somebody asks for in `words`; `None` where no document with a file is about enough of them. What its title
/// says counts more than its text.
pub async fn file_about(tx: &TenantTx, words: &str) -> Result<Option<FileOf>, StoreError> {
    let found = tx
        .query_opt(
            "SELECT d.file_bucket, d.file_key, d.file_type, d.file_bytes, d.file_sha256, d.file_name, d.title
             FROM (SELECT ARRAY(
                        SELECT unnest(tsvector_to_array(to_tsvector('english', $1)))
                        EXCEPT SELECT unnest(tsvector_to_array(to_tsvector('english', $2)))) AS words) q,
                  knowledge_documents d,
                  LATERAL (SELECT
                        cardinality(ARRAY(SELECT unnest(q.words)
                            INTERSECT SELECT unnest(tsvector_to_array(to_tsvector('english', d.title))))) AS title,
                        cardinality(ARRAY(SELECT unnest(q.words)
                            INTERSECT SELECT unnest(tsvector_to_array(to_tsvector('english',
                                d.title || ' ' || coalesce(d.text, '')))))) AS whole) shared
             WHERE d.file_key IS NOT NULL AND shared.whole > 0
                AND shared.whole >= $3::real * cardinality(q.words)
             ORDER BY shared.title DESC, shared.whole DESC, d.id LIMIT 1",
            &[&plain(words), &OF_SENDING, &WORDS_FROM],
        )
        .await?;
    Ok(found.and_then(|row| Some(FileOf { file: file(&row)?, title: row.get(6) })))
}

/// What people say of a file whichever it is.
const OF_SENDING: &str = "send share email give get want like need have could would please file files pdf document copy \
    attachment whatsapp phone";

/// Cuts a text into pieces: at paragraphs, and where one is long, at the ends of its lines and sentences.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut open = String::new();
    let close = |open: &mut String, pieces: &mut Vec<String>| {
        if !open.trim().is_empty() {
            pieces.push(open.trim().to_owned());
        }
        open.clear();
    };
    for paragraph in text.replace("\r\n", "\n").split("\n\n") {
        for sentence in paragraph.split_inclusive(['.', '!', '?', '\n', ';']) {
            let mut rest = sentence;
            while open.chars().count() + rest.chars().count() > PIECE_CHARS {
                close(&mut open, &mut pieces);
                let Some((cut, _)) = rest.char_indices().nth(PIECE_CHARS) else { break };
                let (head, tail) = rest.split_at(cut);
                pieces.push(head.trim().to_owned());
                rest = tail;
            }
            open.push_str(rest);
        }
        close(&mut open, &mut pieces);
    }
    pieces
}

/// A piece whose embedding is missing, or is another model's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unembedded {
    document: Uuid,
    number: i32,
    /// What is to be embedded: the document's title, and the piece.
    pub text: String,
}

/// Pieces without an embedding of `model`, at most `limit`. Others skip them until the transaction ends, so that a piece
/// is paid for once.
pub async fn unembedded(
    tx: &TenantTx,
    model: &str,
    limit: i64,
) -> Result<Vec<Unembedded>, StoreError> {
    let rows = tx
        .query(
            "SELECT c.document, c.number, d.title || E'\\n' || c.text
             FROM knowledge_chunks c JOIN knowledge_documents d ON d.tenant = c.tenant AND d.id = c.document
             WHERE c.embedding_model IS DISTINCT FROM $1
             ORDER BY c.document, c.number LIMIT $2
             FOR UPDATE OF c SKIP LOCKED",
            &[&model, &limit],
        )
        .await?;
    let piece = |r: &Row| Unembedded { document: r.get(0), number: r.get(1), text: r.get(2) };
    Ok(rows.iter().map(piece).collect())
}

/// Keeps a piece's embedding.
pub async fn embed(
    tx: &TenantTx,
    piece: &Unembedded,
    model: &str,
    embedding: &[f32],
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE knowledge_chunks SET embedding = $3::text::vector, embedding_model = $4
         WHERE document = $1 AND number = $2",
        &[&piece.document, &piece.number, &vector(embedding), &model],
    )
    .await?;
    Ok(())
}

/// A piece that may answer a question.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// The document's title.
    pub title: String,
    /// Where it came from.
    pub source: String,
    /// The piece.
    pub text: String,
    /// How well it fits, 0 to 1.
    pub score: f32,
}

/// What answers `question`, the best first; nothing where no piece fits well enough, so that nobody invents. With the
/// question's embedding what is said in other words is found as well.
pub async fn search(
    tx: &TenantTx,
    question: &str,
    embedding: Option<(&str, &[f32])>,
    limit: usize,
) -> Result<Vec<Found>, StoreError> {
    // Shares of words rather than ts_rank: a rank says nothing about whether a piece answers.
    let by_words = "SELECT d.title, d.source, c.text, NULL::real AS about,
            (cardinality(ARRAY(SELECT unnest(tsvector_to_array(c.words))
                               INTERSECT SELECT unnest(q.words)))::real
             / greatest(1, cardinality(q.words)))::real AS share,
            c.document, c.number
         FROM (SELECT tsvector_to_array(to_tsvector('english', $1)) AS words) q,
              knowledge_chunks c JOIN knowledge_documents d ON d.tenant = c.tenant AND d.id = c.document
         ORDER BY share DESC, c.document, c.number LIMIT $2";
    let mut rows = tx.query(by_words, &[&plain(question), &CANDIDATES]).await?;
    if let Some((model, embedding)) = embedding {
        let by_meaning = "SELECT d.title, d.source, c.text, (1 - (c.embedding <=> $3::text::vector))::real AS about,
                (cardinality(ARRAY(SELECT unnest(tsvector_to_array(c.words))
                                   INTERSECT SELECT unnest(q.words)))::real
                 / greatest(1, cardinality(q.words)))::real AS share,
                c.document, c.number
             FROM (SELECT tsvector_to_array(to_tsvector('english', $1)) AS words) q,
                  (SELECT * FROM knowledge_chunks
                   WHERE embedding_model = $4 AND vector_dims(embedding) = $5
                   ORDER BY embedding <=> $3::text::vector LIMIT $2) c
                  JOIN knowledge_documents d ON d.tenant = c.tenant AND d.id = c.document
             ORDER BY about DESC";
        let dimensions = i32::try_from(embedding.len()).unwrap_or(0);
        let near = tx
            .query(
                by_meaning,
                &[&plain(question), &CANDIDATES, &vector(embedding), &model, &dimensions],
            )
            .await?;
        // A piece found both ways counts with both.
        let key = |r: &Row| (r.get::<_, Uuid>(5), r.get::<_, i32>(6));
        rows.retain(|row| near.iter().all(|n| key(n) != key(row)));
        rows.extend(near);
    }
    let mut found: Vec<Found> = rows.iter().filter_map(fitting).collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(limit);
    Ok(found)
}

fn fitting(row: &Row) -> Option<Found> {
    let about: Option<f32> = row.get(3);
    let (about, share): (f32, f32) = (about.unwrap_or(0.0), row.get(4));
    let score = about.max(share);
    let fits = about >= ABOUT_FROM || share >= WORDS_FROM;
    fits.then(|| Found { title: row.get(0), source: row.get(1), text: row.get(2), score })
}

/// As pgvector reads it.
fn vector(embedding: &[f32]) -> String {
    let numbers: Vec<String> = embedding.iter().map(f32::to_string).collect();
    format!("[{}]", numbers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_paragraphs_and_long_ones_at_sentences() {
        let long = "A sentence of some length. ".repeat(50);
        let text = format!("Open nine to five.\n\n\n{long}\n\nParking is behind the house.");
        let pieces = pieces(&text);
        assert_eq!(pieces.first().map(String::as_str), Some("Open nine to five."));
        assert_eq!(pieces.last().map(String::as_str), Some("Parking is behind the house."));
        assert!(pieces.iter().all(|p| p.chars().count() <= PIECE_CHARS && !p.is_empty()));
        assert!(pieces[1].ends_with("length."), "{}", pieces[1]);
    }

    #[test]
    fn a_text_without_an_end_is_cut_all_the_same() {
        let pieces = pieces(&"é".repeat(PIECE_CHARS * 2 + 7));
        assert_eq!(pieces.iter().map(|p| p.chars().count()).sum::<usize>(), PIECE_CHARS * 2 + 7);
        assert!(pieces.iter().all(|p| p.chars().count() <= PIECE_CHARS));
    }
}
