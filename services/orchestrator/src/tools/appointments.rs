//! Booking (C6), as the dialogue asks for it.

use std::time::Duration;

use anyhow::Context as _;
use dialogue_core::tool::{
    self, Book, Cancel, FindSlots, ListAppointments, Outcome, Reschedule, ToolRequest,
};
use domain::{BookHeld, Channel, Personal, Timestamp};
use jiff::tz::TimeZone;
use store::{
    StoreError, TenantTx,
    appointments::{self, Agenda, NewAppointment, Owner, Service, Slot, nearest},
    due, effects,
    users::{self, Identity},
};

use super::{Scene, confirmation};

/// How far around the wanted time other times are looked for.
const LOOK_BACK: Duration = Duration::from_secs(3 * 86_400);
const LOOK_AHEAD: Duration = Duration::from_secs(21 * 86_400);
/// Times offered where the wanted one is taken.
const OFFERS: usize = 3;
/// A transaction that another one was in the way of is begun anew so often.
const TRIES: u32 = 4;

pub(super) async fn find_slots(scene: &Scene<'_>, find: &FindSlots) -> Outcome {
    let looked = async {
        let tx = scene.shell.store.tenant(scene.envelope.tenant).await?;
        let agenda = Agenda::load(&tx, timezone(scene)).await?;
        let Some(service) = agenda.service(find.service.as_deref()) else {
            return Ok(no_service(&agenda));
        };
        let from = stamp(find.window.from).max(scene.at);
        let near = find.near.map_or(from, stamp);
        let limit = usize::try_from(find.limit).unwrap_or(OFFERS).clamp(1, 20);
        let mut free = agenda.free(&tx, service, (from, stamp(find.window.until))).await?;
        if free.is_empty() {
            free = agenda.free(&tx, service, around(near, scene.at)).await?;
        }
        Ok(Outcome::Slots(told(nearest(free, near, limit), service, near)))
    };
    looked.await.unwrap_or_else(|error| unavailable(&error))
}

/// Books, or holds the booking while the database is away (D6). Either way the person is told by
/// message once it stands.
pub(super) async fn book(
    scene: &Scene<'_>,
    request: &ToolRequest,
    effect: &str,
) -> anyhow::Result<Outcome> {
    let ToolRequest::Book(wanted) = request else { return Ok(Outcome::NotFound) };
    if wanted.name.is_empty() {
        return Ok(Outcome::Refused("a name is needed".into()));
    }
    match book_now(scene, wanted, effect).await {
        Ok(outcome) => {
            confirmation::of(scene, &outcome, effect, wanted.phone.as_ref()).await?;
            Ok(outcome)
        }
        Err(error) if error.is_transient() => {
            tracing::warn!(%error, "a booking is held until the database is back");
            hold(scene, request, effect).await
        }
        Err(error) => Ok(unavailable(&error)),
    }
}

/// Books, or says what stands in the way.
///
/// # Errors
/// When the database cannot be used; whether it happened, the next try tells.
pub(super) async fn book_now(
    scene: &Scene<'_>,
    wanted: &Book,
    effect: &str,
) -> Result<Outcome, StoreError> {
    once(scene, &Change::Book(wanted), effect).await
}

/// Keeps a booking that could not be written, or of which it is not known, for later.
pub(super) async fn hold(
    scene: &Scene<'_>,
    request: &ToolRequest,
    effect: &str,
) -> anyhow::Result<Outcome> {
    let ToolRequest::Book(wanted) = request else { return Ok(Outcome::Unavailable) };
    let held = BookHeld {
        effect: effect.to_owned(),
        start: stamp(wanted.start),
        service: wanted.service.clone(),
        name: wanted.name.clone(),
        phone: wanted.phone.clone(),
        email: wanted.email.clone(),
        notes: wanted.notes.clone(),
        from: scene.from.clone(),
        to: scene.to.to_owned(),
    };
    let job = scene
        .envelope
        .follow(&format!("tool:{effect}"), Timestamp::now(), held)
        .with_turn(scene.turn);
    let queue = bus::Destination::Shared(bus::Queue::Bookings);
    scene.out.send(&queue, &[job]).await.context("hold a booking")?;
    metrics::counter!("orchestrator_bookings_held_total").increment(1);
    Ok(Outcome::Held)
}

/// What a person wants changed.
enum Change<'a> {
    Book(&'a Book),
    Reschedule(&'a Reschedule),
    Cancel(&'a Cancel),
}

pub(super) async fn reschedule(
    scene: &Scene<'_>,
    wanted: &Reschedule,
    effect: &str,
) -> anyhow::Result<Outcome> {
    change(scene, &Change::Reschedule(wanted), effect).await
}

pub(super) async fn cancel(
    scene: &Scene<'_>,
    wanted: &Cancel,
    effect: &str,
) -> anyhow::Result<Outcome> {
    change(scene, &Change::Cancel(wanted), effect).await
}

async fn change(scene: &Scene<'_>, wanted: &Change<'_>, effect: &str) -> anyhow::Result<Outcome> {
    let changed = once(scene, wanted, effect).await;
    let outcome = changed.unwrap_or_else(|error| unavailable(&error));
    confirmation::of(scene, &outcome, effect, None).await?;
    Ok(outcome)
}

/// Makes the change and records what came of it in the same transaction, unless that was done before:
/// then what came of it the first time. A transaction that was in another's way is begun anew, and
/// one of whose commit nothing is known as well, for then the row tells.
async fn once(scene: &Scene<'_>, wanted: &Change<'_>, effect: &str) -> Result<Outcome, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match try_once(scene, wanted, effect).await {
            Err(StoreError::InDoubt(_) | StoreError::Conflict(_)) if tries < TRIES => {}
            result => return result,
        }
    }
}

async fn try_once(
    scene: &Scene<'_>,
    wanted: &Change<'_>,
    effect: &str,
) -> Result<Outcome, StoreError> {
    let (conversation, turn) = (scene.envelope.conversation, scene.turn);
    let tx = scene.shell.store.tenant(scene.envelope.tenant).await?;
    if let Some(before) = effects::find(&tx, conversation, turn, effect).await? {
        return Ok(read(&before));
    }
    let outcome = match wanted {
        Change::Book(wanted) => make(scene, &tx, wanted, effect).await?,
        Change::Reschedule(wanted) => move_it(scene, &tx, wanted, effect).await?,
        Change::Cancel(wanted) => call_off(scene, &tx, wanted).await?,
    };
    let recorded: Personal = serde_json::to_string(&outcome).unwrap_or_default().into();
    if effects::record(&tx, conversation, turn, effect, &recorded).await? {
        tx.commit().await?;
        return Ok(outcome);
    }
    // Another run was quicker: this one's effect is rolled back.
    drop(tx);
    let tx = scene.shell.store.tenant(scene.envelope.tenant).await?;
    let before = effects::find(&tx, conversation, turn, effect).await?;
    before.map_or(Ok(Outcome::Unavailable), |before| Ok(read(&before)))
}

fn read(recorded: &Personal) -> Outcome {
    serde_json::from_str(recorded.reveal()).unwrap_or_else(|error| {
        tracing::error!(%error, "what a tool did before cannot be read");
        Outcome::Done
    })
}

/// `Taken` where another was quicker, or the hours do not allow it.
async fn make(
    scene: &Scene<'_>,
    tx: &TenantTx,
    wanted: &Book,
    effect: &str,
) -> Result<Outcome, StoreError> {
    let agenda = Agenda::load(tx, timezone(scene)).await?;
    let Some(service) = agenda.service(wanted.service.as_deref()) else {
        return Ok(no_service(&agenda));
    };
    let start = stamp(wanted.start);
    let slot = agenda.slot_at(service, start).filter(|_| start > scene.at);
    let Some(mut slot) = slot else { return offers(scene, tx, &agenda, service, start).await };
    let preferred = wanted.resource.as_deref().and_then(|r| r.parse::<i64>().ok());
    slot.resources.sort_by_key(|number| Some(*number) != preferred);

    let phone = number_of(scene, wanted.phone.as_ref());
    let user = users::note(tx, &identities(scene), Some(&wanted.name), scene.at).await?;
    let text = confirmation::by(scene, phone.as_ref());
    let new = NewAppointment {
        id: scene.envelope.event_id.derive(&format!("tool:{effect}")),
        slot: &slot,
        service: &service.name,
        name: &wanted.name,
        phone: phone.as_ref(),
        email: wanted.email.as_ref(),
        notes: wanted.notes.as_ref(),
        user,
        conversation: Some(scene.envelope.conversation),
        reached_by: text.as_ref().map(|t| (t.channel.as_str(), t.our_address.as_str())),
    };
    match appointments::book(tx, &new).await? {
        Some(booked) => {
            confirmation::remind(scene, tx, &booked).await?;
            Ok(Outcome::Booked(told_appointment(&booked)))
        }
        None => offers(scene, tx, &agenda, service, start).await,
    }
}

/// As [`make`], for an appointment there is.
async fn move_it(
    scene: &Scene<'_>,
    tx: &TenantTx,
    wanted: &Reschedule,
    effect: &str,
) -> Result<Outcome, StoreError> {
    let Ok(id) = wanted.appointment.parse() else { return Ok(Outcome::NotFound) };
    let Some(old) = appointments::standing(tx, &owner(scene), id).await? else {
        return Ok(Outcome::NotFound);
    };
    let agenda = Agenda::load(tx, timezone(scene)).await?;
    let Some(service) = agenda.service(Some(&old.service)).or(agenda.service(None)) else {
        return Ok(no_service(&agenda));
    };
    let start = stamp(wanted.start);
    let slot = agenda.slot_at(service, start).filter(|_| start > scene.at);
    let Some(mut slot) = slot else { return offers(scene, tx, &agenda, service, start).await };
    slot.resources.sort_by_key(|number| *number != old.resource);
    let id = scene.envelope.event_id.derive(&format!("tool:{effect}"));
    match appointments::reschedule(tx, &old, id, &slot).await? {
        Some(moved) => {
            due::forget(tx, old.id).await?;
            confirmation::remind(scene, tx, &moved).await?;
            Ok(Outcome::Moved(told_appointment(&moved)))
        }
        None => offers(scene, tx, &agenda, service, start).await,
    }
}

async fn call_off(
    scene: &Scene<'_>,
    tx: &TenantTx,
    wanted: &Cancel,
) -> Result<Outcome, StoreError> {
    let Ok(id) = wanted.appointment.parse() else { return Ok(Outcome::NotFound) };
    let Some(old) = appointments::standing(tx, &owner(scene), id).await? else {
        return Ok(Outcome::NotFound);
    };
    appointments::cancel(tx, id).await?;
    due::forget(tx, id).await?;
    Ok(Outcome::Cancelled(told_appointment(&old)))
}

pub(super) async fn list(scene: &Scene<'_>, whose: &ListAppointments) -> Outcome {
    let told = whose.phone.as_ref().and_then(Identity::phone);
    if told.is_some_and(|told| Some(told) != Identity::phone(scene.from)) {
        return Outcome::NotFound;
    }
    let looked = async {
        let tx = scene.shell.store.tenant(scene.envelope.tenant).await?;
        let coming = appointments::coming(&tx, &owner(scene), scene.at).await?;
        Ok(Outcome::Appointments(coming.iter().map(told_appointment).collect()))
    };
    looked.await.unwrap_or_else(|error: StoreError| unavailable(&error))
}

/// The times nearest to one that cannot be had.
async fn offers(
    scene: &Scene<'_>,
    tx: &TenantTx,
    agenda: &Agenda,
    service: &Service,
    wanted: Timestamp,
) -> Result<Outcome, StoreError> {
    let free = agenda.free(tx, service, around(wanted, scene.at)).await?;
    Ok(Outcome::Taken(told(nearest(free, wanted, OFFERS), service, wanted)))
}

fn around(wanted: Timestamp, now: Timestamp) -> (Timestamp, Timestamp) {
    let back = i64::try_from(LOOK_BACK.as_micros()).unwrap_or(0);
    let wanted = wanted.max(now);
    let from = Timestamp::from_micros(wanted.as_micros().saturating_sub(back)).max(now);
    (from, wanted.plus(LOOK_AHEAD))
}

/// Slots as the dialogue takes them: the nearest to `near` first.
fn told(mut slots: Vec<Slot>, service: &Service, near: Timestamp) -> Vec<tool::Slot> {
    slots.sort_by_key(|s| s.starts_at.as_micros().abs_diff(near.as_micros()));
    let one = |slot: Slot| {
        let number = *slot.resources.first()?;
        let with = service.resources.iter().find(|r| r.number == number);
        Some(tool::Slot {
            start: moment(slot.starts_at),
            end: moment(slot.ends_at),
            service: service.name.clone(),
            resource: number.to_string(),
            with: with.map(|r| r.name.clone()),
        })
    };
    slots.into_iter().filter_map(one).collect()
}

fn told_appointment(appointment: &appointments::Appointment) -> tool::Appointment {
    tool::Appointment {
        id: appointment.id.to_string(),
        start: moment(appointment.starts_at),
        service: Some(appointment.service.clone()),
        with: Some(appointment.with.clone()),
    }
}

fn no_service(agenda: &Agenda) -> Outcome {
    let names: Vec<&str> = agenda.services.iter().map(|s| s.name.as_str()).collect();
    match names.is_empty() {
        true => Outcome::Refused("nothing can be booked here".into()),
        false => {
            Outcome::Refused(format!("there is no such service; there are {}", names.join(", ")))
        }
    }
}

fn unavailable(error: &StoreError) -> Outcome {
    tracing::warn!(%error, "a tool cannot use the database");
    Outcome::Unavailable
}

/// Whose appointments may be seen and changed: those of who calls or writes. A number that is only
/// told opens nothing, for anybody can tell it; what it names, a human has to look up.
fn owner(scene: &Scene<'_>) -> Owner {
    Owner { phone: Identity::phone(scene.from), conversation: Some(scene.envelope.conversation) }
}

/// The number an appointment is made for: the one told, else the caller's.
fn number_of(scene: &Scene<'_>, told: Option<&Personal>) -> Option<Personal> {
    let known = |number: &Personal| Identity::phone(number).is_some();
    told.filter(|n| known(n)).or(Some(scene.from).filter(|n| known(n))).cloned()
}

fn identities(scene: &Scene<'_>) -> Vec<Identity> {
    let number = Identity::phone(scene.from);
    let is_scoped = number.is_none() && scene.envelope.channel == Channel::WHATSAPP;
    let scoped = is_scoped.then(|| Identity::bsuid(scene.from)).flatten();
    number.into_iter().chain(scoped).collect()
}

fn timezone(scene: &Scene<'_>) -> TimeZone {
    TimeZone::get(&scene.tenant.settings.timezone).unwrap_or(TimeZone::UTC)
}

pub(super) fn stamp(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_microsecond())
}

pub(super) fn moment(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default()
}
