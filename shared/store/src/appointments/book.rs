//! The appointment book as the business sees it: everybody's, past ones and cancelled ones too.

use domain::{Personal, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{EMAIL, NAME, NOTES, PHONE};
use crate::{
    StoreError, TenantTx,
    history::{self, Conditions},
    moment,
};

/// Which appointments are meant. What is not given does not matter.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AppointmentFilter {
    /// That start then or later.
    pub from: Option<Timestamp>,
    /// That start earlier.
    pub until: Option<Timestamp>,
    /// `booked` or `cancelled`.
    pub status: Option<String>,
    /// Of this person.
    pub user: Option<Uuid>,
}

/// An appointment with all that is known of it.
#[derive(Clone, PartialEq, Debug)]
pub struct BookEntry {
    /// Its id.
    pub id: Uuid,
    /// When it starts.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// `booked` or `cancelled`.
    pub status: String,
    /// The service's name.
    pub service: String,
    /// Who or what serves it.
    pub with: String,
    /// The person, where known.
    pub user: Option<Uuid>,
    /// In which conversation it was made.
    pub conversation: Option<Uuid>,
    /// Whom it is for.
    pub name: Option<Personal>,
    /// E.164.
    pub phone: Option<Personal>,
    /// Where a confirmation may go.
    pub email: Option<Personal>,
    /// What was said besides.
    pub notes: Option<Personal>,
    /// The appointment it was moved to.
    pub moved_to: Option<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Up to `limit` appointments, the earliest first, after the one that `after` names by its start and id.
pub async fn page(
    tx: &TenantTx,
    filter: &AppointmentFilter,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<BookEntry>, StoreError> {
    let mut wanted = Conditions::default();
    if let Some(from) = filter.from {
        wanted.add("a.starts_at >= $", moment(from));
    }
    if let Some(until) = filter.until {
        wanted.add("a.starts_at < $", moment(until));
    }
    if let Some(status) = &filter.status {
        wanted.add("a.status = $", status.clone());
    }
    if let Some(user) = filter.user {
        wanted.add("a.user_id = $", user);
    }
    if let Some((at, id)) = after {
        let (at, id) = (wanted.value(moment(at)), wanted.value(id));
        wanted.all.push(format!("(a.starts_at, a.id) > ({at}, {id})"));
    }
    select(tx, wanted, limit).await
}

/// One appointment.
pub async fn entry(tx: &TenantTx, id: Uuid) -> Result<Option<BookEntry>, StoreError> {
    let mut wanted = Conditions::default();
    wanted.add("a.id = $", id);
    Ok(select(tx, wanted, 1).await?.pop())
}

async fn select(
    tx: &TenantTx,
    mut wanted: Conditions,
    limit: i64,
) -> Result<Vec<BookEntry>, StoreError> {
    let limit = wanted.value(limit);
    let sql = format!(
        "SELECT a.id, a.starts_at, a.ends_at, a.status, a.service, r.name, a.user_id,
            a.conversation, a.customer_name_enc, a.customer_phone_enc, a.customer_email_enc,
            a.notes_enc, a.moved_to, a.created_at
         FROM appointments a JOIN resources r ON r.number = a.resource
         {} ORDER BY a.starts_at, a.id LIMIT {limit}",
        wanted.sql()
    );
    let rows = tx.query(&sql, &wanted.values()).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let cipher = tx.cipher().await?;
    let open = |row: &Row, column: usize, field| {
        let sealed: Option<&[u8]> = row.get(column);
        sealed.map(|sealed| cipher.open(field, sealed)).transpose()
    };
    let read = |row: &Row| {
        Ok(BookEntry {
            id: row.get(0),
            starts_at: history::at(row, 1),
            ends_at: history::at(row, 2),
            status: row.get(3),
            service: row.get(4),
            with: row.get(5),
            user: row.get(6),
            conversation: row.get(7),
            name: open(row, 8, NAME)?,
            phone: open(row, 9, PHONE)?,
            email: open(row, 10, EMAIL)?,
            notes: open(row, 11, NOTES)?,
            moved_to: row.get(12),
            created_at: history::at(row, 13),
        })
    };
    rows.iter().map(read).collect()
}
