//! What can be booked, who serves it and when the business is open.

use jiff::{
    civil::{Date, Time},
    tz::TimeZone,
};
use serde::Serialize;
use store::{
    TenantTx,
    appointments::{Agenda, Service as Offered},
    tenants,
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    role::ReadOnly,
};

/// Something that can be booked.
#[derive(Serialize, ToSchema)]
pub struct Service {
    /// Its id.
    pub id: Uuid,
    /// Its name, as people say it.
    #[schema(example = "check-up")]
    pub name: String,
    /// How long an appointment takes.
    #[schema(example = 30)]
    pub minutes: i32,
    /// Appointments start at whole steps from the opening on.
    #[schema(example = 30)]
    pub step_minutes: i32,
    /// Who or what serves it, by name.
    #[schema(example = json!(["Dr. Lee", "Dr. Roy"]))]
    pub with: Vec<String>,
}

/// Who or what serves appointments.
#[derive(Serialize, ToSchema)]
pub struct Resource {
    /// Its name, as people say it.
    #[schema(example = "Dr. Lee")]
    pub name: String,
    /// The services it gives, by name.
    #[schema(example = json!(["check-up", "cleaning"]))]
    pub services: Vec<String>,
}

/// When the business is open.
#[derive(Serialize, ToSchema)]
pub struct Hours {
    /// By whose clock.
    #[schema(example = "America/Toronto")]
    pub timezone: String,
    /// Every week, in order; two of a day make a lunch break.
    pub week: Vec<OpenFrom>,
    /// Days on which it stays closed.
    #[schema(value_type = Vec<String>, example = json!(["2026-12-25"]))]
    pub closed_on: Vec<Date>,
}

/// A stretch of opening hours.
#[derive(Serialize, ToSchema)]
pub struct OpenFrom {
    /// ISO 8601: 1 is Monday.
    #[schema(minimum = 1, maximum = 7, example = 1)]
    pub weekday: i8,
    /// From then on.
    #[schema(value_type = String, example = "09:00:00")]
    pub opens: Time,
    /// Until then.
    #[schema(value_type = String, example = "17:00:00")]
    pub closes: Time,
}

impl From<Offered> for Service {
    fn from(s: Offered) -> Self {
        Self {
            id: s.id,
            name: s.name,
            minutes: s.pace.minutes,
            step_minutes: s.pace.step_minutes,
            with: s.resources.into_iter().map(|r| r.name).collect(),
        }
    }
}

/// Services
///
/// Where none is named the first is meant.
#[utoipa::path(get, path = "/api/v1/services", tag = "appointments",
    responses((status = 200, description = "All that can be booked", body = inline(Success<Vec<Service>>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn list(caller: As<ReadOnly>) -> Answer<Vec<Service>> {
    let tx = caller.begin().await?;
    let (_, agenda) = agenda(&tx).await?;
    Ok(Reply::tagged(agenda.services.into_iter().map(Service::from).collect()))
}

/// Who or what serves appointments
#[utoipa::path(get, path = "/api/v1/resources", tag = "appointments",
    responses((status = 200, description = "Everybody who gives a service", body = inline(Success<Vec<Resource>>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn resources(caller: As<ReadOnly>) -> Answer<Vec<Resource>> {
    let tx = caller.begin().await?;
    let (_, agenda) = agenda(&tx).await?;
    let mut all: Vec<(i64, Resource)> = Vec::new();
    for service in agenda.services {
        for resource in service.resources {
            match all.iter_mut().find(|(number, _)| *number == resource.number) {
                Some((_, known)) => known.services.push(service.name.clone()),
                None => {
                    let services = vec![service.name.clone()];
                    all.push((resource.number, Resource { name: resource.name, services }));
                }
            }
        }
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(Reply::tagged(all.into_iter().map(|(_, resource)| resource).collect()))
}

/// When the business is open
#[utoipa::path(get, path = "/api/v1/hours", tag = "appointments",
    responses((status = 200, description = "By its own clock", body = inline(Success<Hours>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn hours(caller: As<ReadOnly>) -> Answer<Hours> {
    let tx = caller.begin().await?;
    let (timezone, agenda) = agenda(&tx).await?;
    let week = agenda.calendar.hours.iter();
    let week = week.map(|o| OpenFrom { weekday: o.weekday, opens: o.opens, closes: o.closes });
    Ok(Reply::tagged(Hours {
        timezone,
        week: week.collect(),
        closed_on: agenda.calendar.holidays.into_iter().collect(),
    }))
}

/// The tenant's agenda, and the time zone it goes by.
pub(super) async fn agenda(tx: &TenantTx) -> Result<(String, Agenda), ApiError> {
    let own = tenants::own(tx).await?;
    let named = own.settings["timezone"].as_str().unwrap_or("UTC").to_owned();
    let timezone = TimeZone::get(&named).unwrap_or(TimeZone::UTC);
    let agenda = Agenda::load(tx, timezone).await?;
    Ok((named, agenda))
}
