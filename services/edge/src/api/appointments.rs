//! Appointments.

use actix_web::HttpRequest;
use domain::Timestamp;
use serde::Serialize;
use store::appointments::{self, AppointmentFilter, BookEntry};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    read::{self, Moment, Page, Query, moment},
    role::ReadOnly,
};

const WHAT: &str = "appointment";

/// An appointment.
#[derive(Serialize, ToSchema)]
pub struct Appointment {
    /// Its id.
    pub id: Uuid,
    /// When it starts.
    pub starts_at: Moment,
    /// When it ends.
    pub ends_at: Moment,
    /// Whether it stands.
    pub status: AppointmentStatus,
    /// What is done.
    #[schema(example = "check-up")]
    pub service: String,
    /// Who or what serves it.
    #[schema(example = "Dr. Lee")]
    pub with: String,
    /// The person's id, where known.
    pub person: Option<Uuid>,
    /// The conversation it was made in.
    pub conversation: Option<Uuid>,
    /// Whom it is for.
    #[schema(example = "Ana Silva")]
    pub name: Option<String>,
    /// Their number.
    #[schema(example = "+15551234567")]
    pub phone: Option<String>,
    /// Their e-mail address.
    pub email: Option<String>,
    /// What was said besides.
    pub notes: Option<String>,
    /// The appointment it was moved to.
    pub moved_to: Option<Uuid>,
    /// When it was made.
    pub created_at: Moment,
}

/// Whether an appointment stands.
#[derive(Serialize, ToSchema, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum AppointmentStatus {
    /// It stands.
    Booked,
    /// It was called off, or moved.
    Cancelled,
}

impl From<BookEntry> for Appointment {
    fn from(a: BookEntry) -> Self {
        Self {
            id: a.id,
            starts_at: moment(a.starts_at),
            ends_at: moment(a.ends_at),
            status: match a.status.as_str() {
                "booked" => AppointmentStatus::Booked,
                _ => AppointmentStatus::Cancelled,
            },
            service: a.service,
            with: a.with,
            person: a.user,
            conversation: a.conversation,
            name: a.name.map(|text| text.into_revealed()),
            phone: a.phone.map(|text| text.into_revealed()),
            email: a.email.map(|text| text.into_revealed()),
            notes: a.notes.map(|text| text.into_revealed()),
            moved_to: a.moved_to,
            created_at: moment(a.created_at),
        }
    }
}

/// Appointments
///
/// The earliest first.
#[utoipa::path(get, path = "/api/v1/appointments", tag = "appointments",
    params(
        ("from" = Option<Moment>, Query, description = "That start then or later"),
        ("to" = Option<Moment>, Query, description = "That start earlier"),
        ("status" = Option<AppointmentStatus>, Query),
        ("person" = Option<Uuid>, Query, description = "Of this person"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 unless said"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$",
            description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", body = inline(Success<Page<Appointment>>))))]
pub async fn list(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Page<Appointment>> {
    let mut query = Query::of(&request)?;
    let filter = AppointmentFilter {
        from: query.moment("from")?,
        until: query.moment("to")?,
        status: query.choice("status", &["booked", "cancelled"])?.map(str::to_owned),
        user: query.id("person")?,
    };
    let (limit, after) = query.page()?;
    query.end()?;
    let tx = caller.begin().await?;
    let after = after.map(|(at, id)| (Timestamp::from_micros(at), id));
    let rows = appointments::page(&tx, &filter, after, limit + 1).await?;
    let key = |a: &BookEntry| (a.starts_at.as_micros(), a.id);
    Ok(Reply::ok(Page::of(rows, limit, key, Appointment::from)))
}

/// One appointment
#[utoipa::path(get, path = "/api/v1/appointments/{id}", tag = "appointments",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It", body = inline(Success<Appointment>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn show(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Appointment> {
    let id = read::path_id(&request, WHAT)?;
    let tx = caller.begin().await?;
    let found = appointments::entry(&tx, id).await?;
    Ok(Reply::tagged(found.ok_or_else(|| ApiError::not_found(WHAT))?.into()))
}
