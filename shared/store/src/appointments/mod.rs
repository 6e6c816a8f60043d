//! Appointments (C6): what can be booked, and the bookings.
//!
//! No double booking under any concurrency is the database's word (`no_double_booking`), not this
//! module's: whoever loses a race is told that the time is taken. What a person is called and
//! reached by is sealed (D3).

mod agenda;
mod book;
mod calendar;

use domain::{ConversationId, Personal, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

pub use agenda::{Agenda, Resource, Service, service_names};
pub use book::{AppointmentFilter, BookEntry, entry, page};
pub use calendar::{Busy, Calendar, Opening, Pace, Slot, nearest};

use crate::{StoreError, TenantTx, moment, users::Identity};

const NAME: &str = "appointments.customer_name";
const PHONE: &str = "appointments.customer_phone";
const EMAIL: &str = "appointments.customer_email";
const NOTES: &str = "appointments.notes";

/// Appointments one person is shown, at most.
const LISTED_MAX: i64 = 10;

/// An appointment that is wanted.
#[derive(Clone, PartialEq, Debug)]
pub struct NewAppointment<'a> {
    /// Its id, made outside.
    pub id: Uuid,
    /// When, and who could serve it, in the order they are tried.
    pub slot: &'a Slot,
    /// The service's name.
    pub service: &'a str,
    /// Whom it is for.
    pub name: &'a Personal,
    /// E.164.
    pub phone: Option<&'a Personal>,
    /// Where a confirmation may go.
    pub email: Option<&'a Personal>,
    /// What was said besides.
    pub notes: Option<&'a Personal>,
    /// The person, where known.
    pub user: Option<Uuid>,
    /// In which conversation it was made, where in one.
    pub conversation: Option<ConversationId>,
    /// The channel on which the person is told of it, and which of our addresses writes.
    pub reached_by: Option<(&'a str, &'a str)>,
}

/// An appointment that stands, or stood.
#[derive(Clone, PartialEq, Debug)]
pub struct Appointment {
    /// Its id.
    pub id: Uuid,
    /// When it starts.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// The service's name.
    pub service: String,
    /// The resource's number.
    pub resource: i64,
    /// The resource's name.
    pub with: String,
}

/// Whose appointments are meant: those made for the number, or in the conversation, which is all that
/// is known of a person who hides it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Owner {
    /// The number.
    pub phone: Option<Identity>,
    /// The conversation.
    pub conversation: Option<ConversationId>,
}

impl Owner {
    fn conversation(&self) -> Option<&Uuid> {
        self.conversation.as_ref().map(ConversationId::as_uuid)
    }
}

/// How a person is told of an appointment.
#[derive(Clone, PartialEq, Debug)]
pub struct Reach {
    /// The channel.
    pub channel: String,
    /// Which of our addresses writes.
    pub our_address: String,
    /// To which number.
    pub phone: Personal,
    /// Whom the appointment is for.
    pub name: Personal,
}

/// Books the first of the slot's resources that is free. `None` when all were taken: nothing has
/// happened, and the transaction can go on. While another transaction books the same time, this
/// waits for its end.
pub async fn book(
    tx: &TenantTx,
    new: &NewAppointment<'_>,
) -> Result<Option<Appointment>, StoreError> {
    let cipher = tx.cipher().await?;
    let seal = |field, text: Option<&Personal>| {
        text.filter(|t| !t.is_empty()).map(|t| cipher.seal(field, t.reveal())).transpose()
    };
    let name = cipher.seal(NAME, new.name.reveal())?;
    let phone = seal(PHONE, new.phone)?;
    let email = seal(EMAIL, new.email)?;
    let notes = seal(NOTES, new.notes)?;
    let phone_hash =
        new.phone.and_then(Identity::phone).map(|identity| identity.hash(cipher.as_ref()));
    let (channel, our_address) = new.reached_by.unzip();
    for resource in &new.slot.resources {
        let row = tx
            .query_opt(
                "INSERT INTO appointments
                    (tenant, id, resource, during, status, service, user_id, conversation,
                     customer_name_enc, customer_phone_enc, customer_phone_hash,
                     customer_email_enc, notes_enc, channel, our_address)
                 VALUES ($1, $2, $3, tstzrange($4, $5), 'booked', $6, $7, $8, $9, $10, $11, $12,
                     $13, $14, $15)
                 ON CONFLICT ON CONSTRAINT no_double_booking DO NOTHING
                 RETURNING (SELECT name FROM resources WHERE number = $3)",
                &[
                    tx.id(),
                    &new.id,
                    resource,
                    &moment(new.slot.starts_at),
                    &moment(new.slot.ends_at),
                    &new.service,
                    &new.user,
                    &new.conversation.as_ref().map(ConversationId::as_uuid),
                    &name,
                    &phone,
                    &phone_hash,
                    &email,
                    &notes,
                    &channel,
                    &our_address,
                ],
            )
            .await?;
        if let Some(row) = row {
            return Ok(Some(Appointment {
                id: new.id,
                starts_at: new.slot.starts_at,
                ends_at: new.slot.ends_at,
                service: new.service.to_owned(),
                resource: *resource,
                with: row.get(0),
            }));
        }
    }
    Ok(None)
}

/// Moves an appointment to `slot`, as a new one with the id `id`; the old one is kept as cancelled
/// and names it. `None` when every resource of the slot was taken: the old one stands.
///
/// The old time counts as free, for an appointment may move into its own half hour.
pub async fn reschedule(
    tx: &TenantTx,
    old: &Appointment,
    id: Uuid,
    slot: &Slot,
) -> Result<Option<Appointment>, StoreError> {
    tx.batch("SAVEPOINT moving").await?;
    tx.execute(
        "UPDATE appointments SET status = 'cancelled', moved_to = $2, updated_at = now()
         WHERE id = $1",
        &[&old.id, &id],
    )
    .await?;
    for resource in &slot.resources {
        let row = tx
            .query_opt(
                "INSERT INTO appointments
                    (tenant, id, resource, during, status, service, user_id, conversation,
                     customer_name_enc, customer_phone_enc, customer_phone_hash,
                     customer_email_enc, customer_email_hash, notes_enc, channel, our_address,
                     moved_from_first, moves)
                 SELECT tenant, $2, $3, tstzrange($4, $5), 'booked', service, user_id, conversation,
                     customer_name_enc, customer_phone_enc, customer_phone_hash,
                     customer_email_enc, customer_email_hash, notes_enc, channel, our_address,
                     coalesce(moved_from_first, id), moves + 1
                 FROM appointments WHERE id = $1
                 ON CONFLICT ON CONSTRAINT no_double_booking DO NOTHING
                 RETURNING (SELECT name FROM resources WHERE number = $3)",
                &[&old.id, &id, resource, &moment(slot.starts_at), &moment(slot.ends_at)],
            )
            .await?;
        if let Some(row) = row {
            tx.batch("RELEASE SAVEPOINT moving").await?;
            return Ok(Some(Appointment {
                id,
                starts_at: slot.starts_at,
                ends_at: slot.ends_at,
                service: old.service.clone(),
                resource: *resource,
                with: row.get(0),
            }));
        }
    }
    tx.batch("ROLLBACK TO SAVEPOINT moving; RELEASE SAVEPOINT moving").await?;
    Ok(None)
}

/// Calls an appointment off. `false` when it did not stand any more.
pub async fn cancel(tx: &TenantTx, id: Uuid) -> Result<bool, StoreError> {
    let cancelled = tx
        .execute(
            "UPDATE appointments SET status = 'cancelled', updated_at = now()
             WHERE id = $1 AND status = 'booked'",
            &[&id],
        )
        .await?;
    Ok(cancelled == 1)
}

/// The owner's appointments that have not ended at `now`, the next first; at most ten.
pub async fn coming(
    tx: &TenantTx,
    owner: &Owner,
    now: Timestamp,
) -> Result<Vec<Appointment>, StoreError> {
    let hash = hash_of(tx, owner).await?;
    let rows = tx
        .query(
            "SELECT a.id, a.starts_at, a.ends_at, a.service, a.resource, r.name
             FROM appointments a JOIN resources r ON r.number = a.resource
             WHERE (a.customer_phone_hash = $1 OR a.conversation = $2)
                AND a.status = 'booked' AND a.ends_at > $3
             ORDER BY a.starts_at LIMIT $4",
            &[&hash, &owner.conversation(), &moment(now), &LISTED_MAX],
        )
        .await?;
    Ok(rows.iter().map(read).collect())
}

/// One of the owner's appointments that stands, held until the end of the transaction so that two
/// changes of it come one after the other. Somebody else's is not found.
pub async fn standing(
    tx: &TenantTx,
    owner: &Owner,
    id: Uuid,
) -> Result<Option<Appointment>, StoreError> {
    let hash = hash_of(tx, owner).await?;
    let row = tx
        .query_opt(
            "SELECT a.id, a.starts_at, a.ends_at, a.service, a.resource, r.name
             FROM appointments a JOIN resources r ON r.number = a.resource
             WHERE a.id = $1 AND (a.customer_phone_hash = $2 OR a.conversation = $3)
                AND a.status = 'booked'
             FOR NO KEY UPDATE OF a",
            &[&id, &hash, &owner.conversation()],
        )
        .await?;
    Ok(row.as_ref().map(read))
}

/// As [`standing`], whosever it is: for the business itself.
pub async fn standing_one(tx: &TenantTx, id: Uuid) -> Result<Option<Appointment>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT a.id, a.starts_at, a.ends_at, a.service, a.resource, r.name
             FROM appointments a JOIN resources r ON r.number = a.resource
             WHERE a.id = $1 AND a.status = 'booked'
             FOR NO KEY UPDATE OF a",
            &[&id],
        )
        .await?;
    Ok(row.as_ref().map(read))
}

/// How the person of an appointment is reached about it; `None` when it does not stand any more, or
/// nobody can be reached.
pub async fn reach(tx: &TenantTx, id: Uuid) -> Result<Option<(Appointment, Reach)>, StoreError> {
    reach_in(tx, id, &["booked"]).await
}

/// As [`reach`], also where it was called off: to say that.
pub async fn reach_of_any(
    tx: &TenantTx,
    id: Uuid,
) -> Result<Option<(Appointment, Reach)>, StoreError> {
    reach_in(tx, id, &["booked", "cancelled"]).await
}

async fn reach_in(
    tx: &TenantTx,
    id: Uuid,
    states: &[&str],
) -> Result<Option<(Appointment, Reach)>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT a.id, a.starts_at, a.ends_at, a.service, a.resource, r.name,
                a.channel, a.our_address, a.customer_phone_enc, a.customer_name_enc
             FROM appointments a JOIN resources r ON r.number = a.resource
             WHERE a.id = $1 AND a.status = ANY ($2) AND a.channel IS NOT NULL
                AND a.our_address IS NOT NULL AND a.customer_phone_enc IS NOT NULL
                AND a.customer_name_enc IS NOT NULL",
            &[&id, &states],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let cipher = tx.cipher().await?;
    let reach = Reach {
        channel: row.get(6),
        our_address: row.get(7),
        phone: cipher.open(PHONE, row.get(8))?,
        name: cipher.open(NAME, row.get(9))?,
    };
    Ok(Some((read(&row), reach)))
}

/// An appointment as it stands in the person's own calendar (A6).
#[derive(Clone, PartialEq, Debug)]
pub struct InCalendar {
    /// The appointment.
    pub appointment: Appointment,
    /// The first of those that were moved on to it; itself where it was not moved.
    pub first: Uuid,
    /// How often it was moved.
    pub moves: u32,
    /// Where the person's mail goes.
    pub email: Personal,
}

/// What goes into the calendar of the person who was made the appointment for; `None` where no e-mail address is known.
pub async fn in_calendar(tx: &TenantTx, id: Uuid) -> Result<Option<InCalendar>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT a.id, a.starts_at, a.ends_at, a.service, a.resource, r.name,
                coalesce(a.moved_from_first, a.id), a.moves, a.customer_email_enc
             FROM appointments a JOIN resources r ON r.number = a.resource
             WHERE a.id = $1 AND a.customer_email_enc IS NOT NULL",
            &[&id],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(InCalendar {
        appointment: read(&row),
        first: row.get(6),
        moves: row.get::<_, i32>(7).unsigned_abs(),
        email: tx.cipher().await?.open(EMAIL, row.get(8))?,
    }))
}

async fn hash_of(tx: &TenantTx, owner: &Owner) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(phone) = &owner.phone else { return Ok(None) };
    Ok(Some(phone.hash(tx.cipher().await?.as_ref())))
}

fn read(row: &Row) -> Appointment {
    let at = |column| Timestamp::from(row.get::<_, std::time::SystemTime>(column));
    Appointment {
        id: row.get(0),
        starts_at: at(1),
        ends_at: at(2),
        service: row.get(3),
        resource: row.get(4),
        with: row.get(5),
    }
}
