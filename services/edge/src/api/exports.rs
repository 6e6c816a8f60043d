//! Lists as files (F1), for a spreadsheet or another system: written page by page while they are sent, so that neither the
//! database nor this process ever holds one whole.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
};
use bytes::Bytes;
use domain::{ConversationId, TenantId, Timestamp};
use futures::stream;
use serde::Serialize;
use serde_json::json;
use store::{
    Store,
    appointments::{self, AppointmentFilter},
    audit,
    history::{self, ConversationFilter},
    users,
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::ApiError,
    appointments::Appointment,
    caller::As,
    conversations::{Conversation, Message},
    read::{self, Query},
    role::Developer,
    users::User,
};

/// Rows of one file, at most.
const MOST_ROWS: i64 = 50_000;
/// Everything about one person is made whole before it is sent.
const LARGEST_PERSON_BYTES: usize = 32 * 1024 * 1024;
/// Rows that are read and sent at once.
const PAGE: i64 = 500;

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180, with a line of names. A text that a spreadsheet would take for a formula begins with `'`.
    Csv,
}

/// Where a page begins: after this one.
type After = Option<(Timestamp, Uuid)>;

/// A list that can be a file.
trait Listed: Clone + 'static {
    type Row: Serialize;
    const COLUMNS: &'static [&'static str];

    fn cells(row: &Self::Row) -> Vec<String>;

    /// Up to `limit` rows after `after`, and what the last of them sorts by.
    async fn page(
        &self,
        store: &Store,
        tenant: TenantId,
        after: After,
        limit: i64,
    ) -> Result<(Vec<Self::Row>, After), ApiError>;
}

/// Conversations as a file
///
/// For developers. The last active first, as they stand while the file is written; 50,000 at most. Whoever gets as many as were
/// asked for asks for the rest with `to`. A file that could not be written to its end breaks off: the transfer is not whole then.
#[utoipa::path(get, path = "/api/v1/exports/conversations", tag = "exports",
    params(
        ("format" = Option<Format>, Query, description = "`ndjson` unless said"),
        ("channel" = Option<String>, Query, min_length = 1, max_length = 256, example = "voice"),
        ("agent" = Option<String>, Query, min_length = 1, max_length = 256,
            description = "In which this agent answered"),
        ("from" = Option<super::read::Moment>, Query, description = "Last active then or later"),
        ("to" = Option<super::read::Moment>, Query, description = "Last active earlier"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 50000, description = "50000 unless said"),
    ),
    responses((status = 200, description = "The file", content(
        (String = "application/x-ndjson"), (String = "text/csv")))))]
pub async fn conversations(
    caller: As<Developer>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let format = format_of(&mut query)?;
    let filter = ConversationFilter {
        user: None,
        channel: query.text("channel")?,
        agent: query.text("agent")?,
        from: query.moment("from")?,
        until: query.moment("to")?,
        text: None,
    };
    let limit = query.number("limit", 1..=MOST_ROWS)?.unwrap_or(MOST_ROWS);
    query.end()?;
    file(&caller, "conversations", filter, format, limit).await
}

/// Appointments as a file
///
/// For developers. The earliest first; 50,000 at most. Whoever gets as many as were asked for asks for the rest with `from`. A file
/// that could not be written to its end breaks off: the transfer is not whole then.
#[utoipa::path(get, path = "/api/v1/exports/appointments", tag = "exports",
    params(
        ("format" = Option<Format>, Query, description = "`ndjson` unless said"),
        ("from" = Option<super::read::Moment>, Query, description = "That start then or later"),
        ("to" = Option<super::read::Moment>, Query, description = "That start earlier"),
        ("status" = Option<super::appointments::AppointmentStatus>, Query),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 50000, description = "50000 unless said"),
    ),
    responses((status = 200, description = "The file", content(
        (String = "application/x-ndjson"), (String = "text/csv")))))]
pub async fn appointments(
    caller: As<Developer>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let format = format_of(&mut query)?;
    let filter = AppointmentFilter {
        from: query.moment("from")?,
        until: query.moment("to")?,
        status: query.choice("status", &["booked", "cancelled"])?.map(str::to_owned),
        user: None,
    };
    let limit = query.number("limit", 1..=MOST_ROWS)?.unwrap_or(MOST_ROWS);
    query.end()?;
    file(&caller, "appointments", filter, format, limit).await
}

/// Everything about one person
///
/// For developers (D4). One JSON object a line: `kind` is `person`, `conversation`, `message` (which follows its conversation) or
/// `appointment`, `data` is what the API shows of it elsewhere. Recordings and files are linked from there. 409 `too_much` where it
/// is more than 32 MiB.
#[utoipa::path(get, path = "/api/v1/users/{id}/export", tag = "exports",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The file", content((String = "application/x-ndjson"))),
        (status = 409, description = "It is too much for one answer", body = super::answer::Failure)))]
pub async fn person(caller: As<Developer>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = read::path_id(&request, "user")?;
    let tx = caller.begin().await?;
    let found = users::person(&tx, id).await?.ok_or_else(|| ApiError::not_found("user"))?;
    let mut lines = Lines::default();
    lines.add("person", &User::from(found))?;
    let filter = ConversationFilter { user: Some(id), ..ConversationFilter::default() };
    let mut after = None;
    loop {
        let page = history::conversations(&tx, &filter, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.last_active_at, last.id));
        for conversation in page {
            let of = ConversationId::from_uuid(conversation.id);
            lines.add("conversation", &Conversation::from(conversation))?;
            let mut position = None;
            loop {
                let said = history::messages(&tx, of, position, false, PAGE).await?;
                let Some(last) = said.last() else { break };
                position = Some((last.position, last.id));
                for message in said {
                    lines.add("message", &Message::from(message))?;
                }
            }
        }
    }
    let filter = AppointmentFilter { user: Some(id), ..AppointmentFilter::default() };
    let mut after = None;
    loop {
        let page = appointments::page(&tx, &filter, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.starts_at, last.id));
        for appointment in page {
            lines.add("appointment", &Appointment::from(appointment))?;
        }
    }
    audit::note(&tx, &caller.actor, "export", "user", &json!({ "user": id })).await?;
    tx.commit().await?;
    metrics::counter!("edge_api_changes_total", "action" => "export").increment(1);
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, "application/x-ndjson"));
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response.insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"user.ndjson\""));
    Ok(response.body(lines.0))
}

/// Lines of a file that is made whole.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, kind: &str, data: &impl Serialize) -> Result<(), ApiError> {
        let line = json!({ "kind": kind, "data": data }).to_string();
        if self.0.len() + line.len() > LARGEST_PERSON_BYTES {
            return Err(ApiError::conflict("too_much", "it is more than 32 MiB"));
        }
        self.0.push_str(&line);
        self.0.push('\n');
        Ok(())
    }
}

fn format_of(query: &mut Query) -> Result<Format, ApiError> {
    Ok(match query.choice("format", &["ndjson", "csv"])? {
        Some("csv") => Format::Csv,
        _ => Format::Ndjson,
    })
}

/// What is left to be sent.
struct Rest<L> {
    list: L,
    store: Store,
    tenant: TenantId,
    format: Format,
    after: After,
    left: i64,
}

/// Answers with the file. That it was taken is on record before its first line leaves (E5).
async fn file<L: Listed>(
    caller: &As<Developer>,
    name: &'static str,
    list: L,
    format: Format,
    limit: i64,
) -> Result<HttpResponse, ApiError> {
    let (store, tenant) = (caller.api.store.clone(), caller.tenant);
    let mut rest = Rest { list, store, tenant, format, after: None, left: limit };
    // What is wrong with the first page can still be told.
    let mut begin = rest.next_page().await?.unwrap_or_default();
    if format == Format::Csv {
        let names: Vec<String> = L::COLUMNS.iter().map(|name| (*name).to_owned()).collect();
        begin.insert_str(0, &line_of(&names));
    }
    let tx = caller.begin().await?;
    let detail = json!({ "format": format, "limit": limit });
    audit::note(&tx, &caller.actor, "export", name, &detail).await?;
    tx.commit().await?;
    metrics::counter!("edge_api_changes_total", "action" => "export").increment(1);
    let pages = stream::try_unfold((Some(begin), rest), async |(begun, mut rest)| {
        let page = match begun {
            Some(begun) => Some(begun),
            None => rest.next_page().await?,
        };
        Ok::<_, ApiError>(page.map(|page| (Bytes::from(page), (None, rest))))
    });
    let (kind, ending) = match format {
        Format::Ndjson => ("application/x-ndjson", "ndjson"),
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
    };
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(kind)));
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    let disposition = format!("attachment; filename=\"{name}.{ending}\"");
    response.insert_header((header::CONTENT_DISPOSITION, disposition));
    Ok(response.streaming(Box::pin(pages)))
}

impl<L: Listed> Rest<L> {
    /// The next lines; `None` after the last.
    async fn next_page(&mut self) -> Result<Option<String>, ApiError> {
        let wanted = self.left.min(PAGE);
        if wanted == 0 {
            return Ok(None);
        }
        let (rows, last) = self.list.page(&self.store, self.tenant, self.after, wanted).await?;
        let got = i64::try_from(rows.len()).unwrap_or(wanted);
        self.left = if got < wanted { 0 } else { self.left - got };
        self.after = last;
        let mut lines = String::new();
        for row in &rows {
            match self.format {
                Format::Csv => lines.push_str(&line_of(&L::cells(row))),
                Format::Ndjson => {
                    let Ok(line) = serde_json::to_string(row) else {
                        return Err(ApiError::internal());
                    };
                    lines.push_str(&line);
                    lines.push('\n');
                }
            }
        }
        Ok((got > 0).then_some(lines))
    }
}

/// A line of RFC 4180.
fn line_of(cells: &[String]) -> String {
    let quoted = |cell: &String| match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.clone(),
    };
    let cells: Vec<String> = cells.iter().map(quoted).collect();
    format!("{}\r\n", cells.join(","))
}

/// A text that somebody else wrote: what a spreadsheet would run as a formula is shown instead. A phone number is none.
fn text(text: Option<String>) -> String {
    let text = text.unwrap_or_default();
    let number = text.strip_prefix('+').unwrap_or(&text);
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    match !is_number && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text,
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

impl Listed for ConversationFilter {
    type Row = Conversation;
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "channel",
        "our_address",
        "person",
        "name",
        "contact",
        "agent",
        "call",
        "started_at",
        "last_active_at",
        "ended_at",
    ];

    fn cells(c: &Conversation) -> Vec<String> {
        let person = c.person.as_ref();
        vec![
            c.id.to_string(),
            c.channel.clone(),
            shown(c.our_address.as_ref()),
            shown(person.map(|p| p.id)),
            text(person.and_then(|p| p.name.clone())),
            text(person.and_then(|p| p.contact.clone())),
            shown(c.agent.as_ref()),
            shown(c.call.as_ref()),
            c.started_at.to_string(),
            c.last_active_at.to_string(),
            shown(c.ended_at),
        ]
    }

    async fn page(
        &self,
        store: &Store,
        tenant: TenantId,
        after: After,
        limit: i64,
    ) -> Result<(Vec<Conversation>, After), ApiError> {
        let tx = store.tenant(tenant).await?;
        let rows = history::conversations(&tx, self, after, limit).await?;
        let last = rows.last().map(|c| (c.last_active_at, c.id));
        Ok((rows.into_iter().map(Conversation::from).collect(), last))
    }
}

impl Listed for AppointmentFilter {
    type Row = Appointment;
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "starts_at",
        "ends_at",
        "status",
        "service",
        "with",
        "person",
        "conversation",
        "name",
        "phone",
        "email",
        "notes",
        "moved_to",
        "created_at",
    ];

    fn cells(a: &Appointment) -> Vec<String> {
        vec![
            a.id.to_string(),
            a.starts_at.to_string(),
            a.ends_at.to_string(),
            a.status.name().to_owned(),
            text(Some(a.service.clone())),
            text(Some(a.with.clone())),
            shown(a.person),
            shown(a.conversation),
            text(a.name.clone()),
            text(a.phone.clone()),
            text(a.email.clone()),
            text(a.notes.clone()),
            shown(a.moved_to),
            a.created_at.to_string(),
        ]
    }

    async fn page(
        &self,
        store: &Store,
        tenant: TenantId,
        after: After,
        limit: i64,
    ) -> Result<(Vec<Appointment>, After), ApiError> {
        let tx = store.tenant(tenant).await?;
        let rows = appointments::page(&tx, self, after, limit).await?;
        let last = rows.last().map(|a| (a.starts_at, a.id));
        Ok((rows.into_iter().map(Appointment::from).collect(), last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_read_back_as_it_was_and_runs_nowhere() {
        let cells = ["plain", "a, b", "she said \"hi\"", "two\nlines"].map(str::to_owned);
        let line = "plain,\"a, b\",\"she said \"\"hi\"\"\",\"two\nlines\"\r\n";
        assert_eq!(line_of(&cells), line);
        for (given, safe) in [
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("@x", "'@x"),
            ("-1+1", "'-1+1"),
            ("+1-2", "'+1-2"),
            ("+15551234567", "+15551234567"),
            ("Ana", "Ana"),
            ("", ""),
        ] {
            assert_eq!(text(Some(given.to_owned())), safe);
        }
    }
}
