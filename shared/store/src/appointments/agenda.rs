use domain::Timestamp;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::calendar::{Busy, Calendar, Opening, Pace, Slot};
use crate::{StoreError, TenantTx, moment};

/// No appointment is longer, so that what may overlap a moment is found by its start (the schema
/// says so too).
const LONGEST: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// What a business offers, and when.
#[derive(Clone, PartialEq, Debug)]
pub struct Agenda {
    /// What can be booked, in the tenant's order; the first is meant where none is named.
    pub services: Vec<Service>,
    /// When the business is open.
    pub calendar: Calendar,
}

/// Something that can be booked.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// Its id.
    pub id: Uuid,
    /// Its name, as people say it.
    pub name: String,
    /// How it fills the calendar.
    pub pace: Pace,
    /// Who or what serves it.
    pub resources: Vec<Resource>,
}

/// Who or what serves appointments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    /// Its number.
    pub number: i64,
    /// Its name, as people say it.
    pub name: String,
}

/// The names of what can be booked, in the tenant's order.
pub async fn service_names(tx: &TenantTx) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT name FROM services WHERE enabled ORDER BY position, name";
    let rows = tx.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

impl Service {
    /// The numbers of its resources.
    pub fn resource_numbers(&self) -> Vec<i64> {
        self.resources.iter().map(|r| r.number).collect()
    }
}

impl Agenda {
    /// Reads the tenant's agenda, its hours being by the clock of `timezone`.
    pub async fn load(tx: &TenantTx, timezone: TimeZone) -> Result<Self, StoreError> {
        // Sent at once: the connection takes them one after the other without waiting.
        let (services, hours, holidays) = tokio::try_join!(
            tx.query(
                "SELECT s.id, s.name, s.minutes, s.step_minutes,
                    array_agg(r.number ORDER BY r.number), array_agg(r.name ORDER BY r.number)
                 FROM services s
                 JOIN service_resources sr ON sr.service = s.id
                 JOIN resources r ON r.number = sr.resource
                 WHERE s.enabled
                 GROUP BY s.tenant, s.id
                 ORDER BY s.position, s.name",
                &[],
            ),
            tx.query(
                "SELECT weekday, opens, closes FROM business_hours ORDER BY weekday, opens",
                &[],
            ),
            tx.query("SELECT day FROM holidays", &[]),
        )?;
        let services = services.iter().map(|row| {
            let numbers: Vec<i64> = row.get(4);
            let names: Vec<String> = row.get(5);
            Service {
                id: row.get(0),
                name: row.get(1),
                pace: Pace { minutes: row.get(2), step_minutes: row.get(3) },
                resources: numbers
                    .into_iter()
                    .zip(names)
                    .map(|(number, name)| Resource { number, name })
                    .collect(),
            }
        });
        let hours = hours.iter().map(|row| Opening {
            weekday: row.get::<_, i16>(0).try_into().unwrap_or_default(),
            opens: row.get(1),
            closes: row.get(2),
        });
        Ok(Self {
            services: services.collect(),
            calendar: Calendar {
                timezone,
                hours: hours.collect(),
                holidays: holidays.iter().map(|row| row.get(0)).collect(),
            },
        })
    }

    /// The service named by id or name, case aside; the first one where none is named.
    pub fn service(&self, named: Option<&str>) -> Option<&Service> {
        let Some(named) = named else { return self.services.first() };
        self.services
            .iter()
            .find(|s| s.name.eq_ignore_ascii_case(named.trim()) || s.id.to_string() == named.trim())
    }

    /// The free times of `service` from `from` to before `until`, in order.
    pub async fn free(
        &self,
        tx: &TenantTx,
        service: &Service,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<Slot>, StoreError> {
        let resources = service.resource_numbers();
        let earliest = Timestamp::from_micros(from.as_micros() - LONGEST.as_micros() as i64);
        let rows = tx
            .query(
                "SELECT resource, starts_at, ends_at FROM appointments
                 WHERE status = 'booked' AND starts_at > $1 AND starts_at < $2
                    AND resource = ANY($3)",
                &[&moment(earliest), &moment(until.plus(LONGEST)), &resources],
            )
            .await?;
        let busy: Vec<Busy> = rows
            .iter()
            .map(|row| Busy {
                resource: row.get(0),
                starts_at: row.get::<_, std::time::SystemTime>(1).into(),
                ends_at: row.get::<_, std::time::SystemTime>(2).into(),
            })
            .collect();
        Ok(self.calendar.free((from, until), service.pace, &resources, &busy))
    }

    /// When an appointment of `service` that starts at `at` ends, and who could serve it, whether
    /// they are free or not; `None` where the hours do not allow it.
    pub fn slot_at(&self, service: &Service, at: Timestamp) -> Option<Slot> {
        let starts = self.calendar.starts_on(self.calendar.day_of(at), service.pace);
        let (starts_at, ends_at) = starts.into_iter().find(|(start, _)| *start == at)?;
        Some(Slot { starts_at, ends_at, resources: service.resource_numbers() })
    }
}
