//! Appointments.

use std::time::Duration;

use actix_web::{HttpRequest, web};
use domain::{
    AppointmentChange, AppointmentChanged, Channel, ConversationId, Personal, ReminderDue,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{
    TenantTx,
    appointments::{self, AppointmentFilter, BookEntry, NewAppointment},
    due,
    users::{self, Identity},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    read::{self, Moment, Page, Query, moment, timestamp},
    role::{Operator, ReadOnly},
    services::agenda,
    write::{Change, Done},
};

const WHAT: &str = "appointment";
/// What is told of one that is called off or moved already.
const NOT_BOOKED: (&str, &str) = ("not_booked", "it does not stand any more");
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

impl AppointmentStatus {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Cancelled => "cancelled",
        }
    }
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
    /// Whether the person is told of it, and reminded the day before.
    #[serde(default = "yes")]
    #[schema(default = true)]
    notify: bool,
}

const fn yes() -> bool {
    true
}

/// Book an appointment
///
/// For operators. Whoever has a number or an e-mail address, and whom the tenant can write to, is told of it and reminded the day
/// before, unless `notify` is false. 409 `time_taken` when somebody else has it, `not_offered` outside of the hours or for a time that is over.
#[utoipa::path(post, path = "/api/v1/appointments", tag = "appointments", request_body = WantedAppointment,
    responses((status = 201, description = "It is booked", body = inline(Success<Appointment>))))]
pub async fn create(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, body) = Change::read(&caller, &request, body).await?;
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
    change
        .make(async |tx| {
            let (_, agenda) = agenda(tx).await?;
            let service = agenda.service(wanted.service.as_deref());
            let service = service.ok_or_else(|| ApiError::field("service", "is none of yours"))?;
            let (at, now) = (timestamp(wanted.starts_at), Timestamp::now());
            let slot = agenda.slot_at(service, at).filter(|slot| slot.starts_at > now);
            let slot = slot.ok_or_else(not_offered)?;
            let name: Personal = wanted.name.as_str().into();
            let email: Option<Personal> = wanted.email.as_deref().map(Into::into);
            let notes: Option<Personal> = wanted.notes.as_deref().map(Into::into);
            let reached_by = phone.as_ref().and_then(|_| written_from(&caller));
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
                reached_by: reached_by.as_ref().map(|(c, address)| (c.as_str(), address.as_str())),
            };
            if appointments::book(tx, &new).await?.is_none() {
                return Err(time_taken());
            }
            if wanted.notify {
                tell(&caller, tx, (change.id, AppointmentChange::Booked), now).await?;
            }
            let booked = appointments::entry(tx, change.id).await?;
            let booked = booked.ok_or_else(ApiError::internal)?;
            Ok(Done::created(Appointment::from(booked), "appointment.create", change.id))
        })
        .await
}

/// How an appointment is called off.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancellation {
    /// Whether the person is told.
    #[serde(default = "yes")]
    #[schema(default = true)]
    notify: bool,
}

/// Call an appointment off
///
/// For operators. The person is told, as of a new one. 409 `not_booked` when it does not stand any more.
#[utoipa::path(post, path = "/api/v1/appointments/{id}/cancel", tag = "appointments",
    request_body = Option<Cancellation>,
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It is called off", body = inline(Success<Appointment>))))]
pub async fn cancel(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, body) = Change::read(&caller, &request, body).await?;
    let id = read::path_id(&request, WHAT)?;
    let Cancellation { notify } = match body.bytes() {
        [] => Cancellation { notify: true },
        _ => body.json()?,
    };
    let cancelled = async |tx: &TenantTx| {
        let cancelled = appointments::cancel(tx, id).await?;
        if cancelled {
            due::forget(tx, id).await?;
            if notify {
                tell(&caller, tx, (id, AppointmentChange::Cancelled), Timestamp::now()).await?;
            }
        }
        Ok(cancelled)
    };
    let shown = async |tx: &TenantTx| Ok(appointments::entry(tx, id).await?);
    let what = ("appointment.cancel", WHAT, id);
    change.step::<_, Appointment>(what, cancelled, shown, NOT_BOOKED).await
}

/// Another time for an appointment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnotherTime {
    /// When it is to start; a time that `availability` shows.
    starts_at: Moment,
    /// Whether the person is told of it, and reminded the day before.
    #[serde(default = "yes")]
    #[schema(default = true)]
    notify: bool,
}

/// Move an appointment
///
/// For operators. It is a new one then, which the old one names as `moved_to`; nothing else of it changes, and whoever serves it
/// stays where they are free. The person is told, as of a new one. 409 `not_booked` when it does not stand any more, `time_taken`, `not_offered` as for a new one.
#[utoipa::path(post, path = "/api/v1/appointments/{id}/move", tag = "appointments", request_body = AnotherTime,
    params(("id" = Uuid, Path)),
    responses((status = 201, description = "The new one", body = inline(Success<Appointment>))))]
pub async fn move_it(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, body) = Change::read(&caller, &request, body).await?;
    let id = read::path_id(&request, WHAT)?;
    let wanted: AnotherTime = body.json()?;
    change
        .make(async |tx| {
            let Some(old) = appointments::standing_one(tx, id).await? else {
                let known = appointments::entry(tx, id).await?;
                known.ok_or_else(|| ApiError::not_found(WHAT))?;
                return Err(ApiError::conflict(NOT_BOOKED.0, NOT_BOOKED.1));
            };
            let (_, agenda) = agenda(tx).await?;
            let service = agenda.service(Some(&old.service)).or(agenda.service(None));
            let (at, now) = (timestamp(wanted.starts_at), Timestamp::now());
            let slot = service.and_then(|service| agenda.slot_at(service, at));
            let slot = slot.filter(|slot| slot.starts_at > now);
            let mut slot = slot.ok_or_else(not_offered)?;
            slot.resources.sort_by_key(|number| *number != old.resource);
            let moved = appointments::reschedule(tx, &old, change.id, &slot).await?;
            let moved = moved.ok_or_else(time_taken)?;
            due::forget(tx, old.id).await?;
            if wanted.notify {
                tell(&caller, tx, (moved.id, AppointmentChange::Moved), now).await?;
            }
            let entry = appointments::entry(tx, moved.id).await?;
            let entry = entry.ok_or_else(ApiError::internal)?;
            Ok(Done::created(Appointment::from(entry), "appointment.move", id)
                .noting(json!({ "to": moved.id })))
        })
        .await
}

/// On which channel, and from which address, a person with a number is written to: by text message, where the tenant has a number
/// for that, else on WhatsApp. As an agent's booking does it.
fn written_from(caller: &As<Operator>) -> Option<(Channel, String)> {
    let address = |channel: Channel| {
        let address = caller.api.directory.address_of(caller.tenant, &channel)?;
        Some((channel, address))
    };
    address(Channel::SMS).or_else(|| address(Channel::WHATSAPP))
}

/// Has the agents tell the person what was done to their appointment (A6), and remind them of one that stands (C10), where they can
/// be reached. It leaves with the transaction of the change, or not at all.
async fn tell(
    caller: &As<Operator>,
    tx: &TenantTx,
    (id, done): (Uuid, AppointmentChange),
    now: Timestamp,
) -> Result<(), ApiError> {
    let entry = appointments::entry(tx, id).await?.ok_or_else(ApiError::internal)?;
    let reach = appointments::reach_of_any(tx, id).await?;
    let channel = match &reach {
        Some((_, reach)) => Channel::named(reach.channel.clone()),
        None if entry.email.is_some() => Channel::EMAIL,
        None => return Ok(()),
    };
    // One that was made in no conversation is a thread of its own.
    let thread = || caller.tenant.derive(&format!("appointment:{id}"));
    let conversation = ConversationId::from_uuid(entry.conversation.unwrap_or_else(thread));
    let of = (caller.tenant, conversation, channel);
    let event = AppointmentChanged::of(id, done, of.clone(), now);
    let told = wire::to_body(&wire::encode(&event));
    due::schedule(tx, *event.event_id.as_uuid(), now, &told).await?;
    let settings = caller.api.directory.settings(caller.tenant).unwrap_or_default();
    if done == AppointmentChange::Cancelled || reach.is_none() || !settings.reminders {
        return Ok(());
    }
    if let Some(reminder) = ReminderDue::of(id, entry.starts_at, of, now) {
        let at = reminder.occurred_at;
        due::schedule(tx, id, at, &wire::to_body(&wire::encode(&reminder))).await?;
    }
    Ok(())
}

fn not_offered() -> ApiError {
    ApiError::conflict("not_offered", "no appointment of this service starts then")
}

fn time_taken() -> ApiError {
    ApiError::conflict("time_taken", "the time is taken")
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
    let (_, agenda) = agenda(&tx).await?;
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
