//! Appointments.

use std::time::Duration;

use actix_web::{HttpRequest, web};
use domain::{Personal, Timestamp};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{
    TenantTx,
    appointments::{self, Agenda, AppointmentFilter, BookEntry, NewAppointment},
    tenants,
    users::{self, Identity},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    read::{self, Moment, Page, Query, moment, timestamp},
    role::{Operator, ReadOnly},
    write::{Change, Done},
};

const WHAT: &str = "appointment";
/// Free times are looked for no further at once.
const LONGEST_SEARCH: Duration = Duration::from_secs(31 * 24 * 3600);
/// Free times that are shown, at most.
const SLOTS_SHOWN: usize = 500;

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

/// An appointment that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedAppointment {
    /// When it starts; a time that `availability` shows.
    starts_at: Moment,
    /// What is done, by name or id; the tenant's first service unless said.
    #[schema(min_length = 1, max_length = 200, pattern = "\\S", example = "check-up")]
    service: Option<String>,
    /// Whom it is for.
    #[schema(min_length = 1, max_length = 200, pattern = "\\S", example = "Ana Silva")]
    name: String,
    /// Their number, E.164.
    #[schema(pattern = "^\\+[1-9][0-9]{6,14}$", example = "+15551234567")]
    phone: Option<String>,
    /// Their e-mail address.
    #[schema(min_length = 1, max_length = 254, pattern = "\\S")]
    email: Option<String>,
    /// What is to be known besides.
    #[schema(min_length = 1, max_length = 1000, pattern = "\\S")]
    notes: Option<String>,
}

/// Book an appointment
///
/// For operators. 409 `time_taken` when somebody else has it, `not_offered` outside of the hours or for a time that is over.
#[utoipa::path(post, path = "/api/v1/appointments", tag = "appointments", request_body = WantedAppointment,
    responses((status = 201, description = "It is booked", body = inline(Success<Appointment>))))]
pub async fn create(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let wanted: WantedAppointment = body.json()?;
    read::text("name", &wanted.name, 200)?;
    for (field, text, max) in [
        ("service", &wanted.service, 200),
        ("email", &wanted.email, 254),
        ("notes", &wanted.notes, 1000),
    ] {
        text.as_ref().map_or(Ok(()), |text| read::text(field, text, max))?;
    }
    let phone = wanted.phone.as_ref().map(|phone| read::phone("phone", phone)).transpose()?;
    let change = Change::of(&caller, &request, &body)?;
    change
        .make(async |tx| {
            let agenda = agenda(tx).await?;
            let service = agenda.service(wanted.service.as_deref());
            let service = service.ok_or_else(|| ApiError::field("service", "is none of yours"))?;
            let (at, now) = (timestamp(wanted.starts_at), Timestamp::now());
            let slot = agenda.slot_at(service, at).filter(|slot| slot.starts_at > now);
            let told = "no appointment of this service starts then";
            let slot = slot.ok_or_else(|| ApiError::conflict("not_offered", told))?;
            let name: Personal = wanted.name.as_str().into();
            let email: Option<Personal> = wanted.email.as_deref().map(Into::into);
            let notes: Option<Personal> = wanted.notes.as_deref().map(Into::into);
            let known_by: Vec<Identity> = phone.iter().filter_map(Identity::phone).collect();
            let user = users::note(tx, &known_by, Some(&name), now).await?;
            let new = NewAppointment {
                id: change.id,
                slot: &slot,
                service: &service.name,
                name: &name,
                phone: phone.as_ref(),
                email: email.as_ref(),
                notes: notes.as_ref(),
                user,
                conversation: None,
                reached_by: None,
            };
            if appointments::book(tx, &new).await?.is_none() {
                return Err(ApiError::conflict("time_taken", "the time is taken"));
            }
            let booked = appointments::entry(tx, change.id).await?;
            let booked = booked.ok_or_else(ApiError::internal)?;
            Ok(Done::created(Appointment::from(booked), "appointment.create", change.id))
        })
        .await
}

/// Call an appointment off
///
/// For operators. 409 `not_booked` when it does not stand any more.
#[utoipa::path(post, path = "/api/v1/appointments/{id}/cancel", tag = "appointments",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It is called off", body = inline(Success<Appointment>))))]
pub async fn cancel(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let body = read::body(&request, body).await?;
    let id = read::path_id(&request, WHAT)?;
    Change::of(&caller, &request, &body)?
        .make(async |tx| {
            let cancelled = appointments::cancel(tx, id).await?;
            let entry = appointments::entry(tx, id).await?;
            let entry = entry.ok_or_else(|| ApiError::not_found(WHAT))?;
            if !cancelled {
                return Err(ApiError::conflict("not_booked", "it does not stand any more"));
            }
            Ok(Done::ok(Appointment::from(entry), "appointment.cancel", id))
        })
        .await
}

/// A time that can be booked.
#[derive(Serialize, ToSchema)]
pub struct FreeTime {
    /// When it starts.
    pub starts_at: Moment,
    /// When it ends.
    pub ends_at: Moment,
    /// Who or what is free then.
    #[schema(example = json!(["Dr. Lee", "Dr. Roy"]))]
    pub with: Vec<String>,
}

/// Times that can be booked
///
/// Of one service, by the business's own hours; up to 31 days and 500 times at once.
#[utoipa::path(get, path = "/api/v1/availability", tag = "appointments",
    params(
        ("from" = Moment, Query, description = "That start then or later"),
        ("to" = Moment, Query, description = "That start earlier"),
        ("service" = Option<String>, Query, min_length = 1, max_length = 256,
            description = "By name or id; the tenant's first service unless said"),
    ),
    responses((status = 200, description = "They, the earliest first", body = inline(Success<Vec<FreeTime>>))))]
pub async fn availability(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Vec<FreeTime>> {
    let mut query = Query::of(&request)?;
    let (from, until) = (query.moment("from")?, query.moment("to")?);
    let service = query.text("service")?;
    query.end()?;
    let from = from.ok_or_else(|| ApiError::parameter("from", "is missing"))?;
    let until = until.ok_or_else(|| ApiError::parameter("to", "is missing"))?;
    if until.since(from) > LONGEST_SEARCH {
        return Err(ApiError::parameter("to", "must be at most 31 days after from"));
    }
    let tx = caller.begin().await?;
    let agenda = agenda(&tx).await?;
    let Some(service) = agenda.service(service.as_deref()) else {
        return Err(ApiError::parameter("service", "is none of yours"));
    };
    let free = agenda.free(&tx, service, (from, until)).await?;
    let named = |number: &i64| {
        let mut all = service.resources.iter();
        all.find(|r| r.number == *number).map(|r| r.name.clone())
    };
    let times = free.into_iter().take(SLOTS_SHOWN).map(|slot| FreeTime {
        starts_at: moment(slot.starts_at),
        ends_at: moment(slot.ends_at),
        with: slot.resources.iter().filter_map(named).collect(),
    });
    Ok(Reply::ok(times.collect()))
}

async fn agenda(tx: &TenantTx) -> Result<Agenda, ApiError> {
    let own = tenants::own(tx).await?;
    let named = own.settings["timezone"].as_str().unwrap_or("UTC");
    let timezone = TimeZone::get(named).unwrap_or(TimeZone::UTC);
    Ok(Agenda::load(tx, timezone).await?)
}
