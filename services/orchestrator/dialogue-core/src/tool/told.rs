//! What came of a tool, as a model reads it and as a person hears it.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use super::{Appointment, Escalated, Outcome, Slot};
use crate::appointment::said;

/// Said to a model where no document answers: it is not to invent one.
const NOTHING_KNOWN: &str =
    "The documents say nothing of it. Say that you do not know, and offer to hand over to a human.";

impl Outcome {
    /// What a language model is told of it, as JSON: moments by the business's own clock, for models do not add offsets
    /// well, and as they are said.
    pub fn for_model(&self, zone: &TimeZone) -> Value {
        let value = match self {
            Self::Slots(slots) | Self::Taken(slots) => {
                slots.iter().map(|one| slot(one, zone)).collect()
            }
            Self::Booked(one) | Self::Moved(one) | Self::Cancelled(one) => appointment(one, zone),
            Self::Appointments(all) => all.iter().map(|one| appointment(one, zone)).collect(),
            Self::Passages(found) if found.is_empty() => {
                return json!({"outcome": self.name(), "value": [], "note": NOTHING_KNOWN});
            }
            _ => {
                let whole = serde_json::to_value(self).ok();
                return whole.unwrap_or_else(|| json!({"outcome": self.name()}));
            }
        };
        json!({"outcome": self.name(), "value": value})
    }

    /// What a person is told where something happened and no model says it.
    pub(crate) fn spoken(&self, zone: &TimeZone) -> Option<String> {
        let when = |one: &Appointment| said::moment(local(one.start, zone).datetime());
        Some(match self {
            Self::Booked(one) => format!("Your appointment is booked for {}.", when(one)),
            Self::Moved(one) => format!("Your appointment is now on {}.", when(one)),
            Self::Cancelled(one) => format!("Your appointment on {} is cancelled.", when(one)),
            Self::Sent(title) => format!("I have sent you \"{title}\" on WhatsApp."),
            Self::Held => "I have noted it, and you will get a message once it is booked.".into(),
            Self::Escalated(Escalated::Transferring) => {
                "One moment, I will put you through.".into()
            }
            Self::Escalated(Escalated::Queued { .. }) => {
                "Someone will be with you as soon as possible.".into()
            }
            _ => return None,
        })
    }
}

fn slot(slot: &Slot, zone: &TimeZone) -> Value {
    json!({
        "start": stamp(slot.start, zone),
        "end": stamp(slot.end, zone),
        "said": said::moment(local(slot.start, zone).datetime()),
        "service": slot.service,
        "resource": slot.resource,
        "with": slot.with,
    })
}

fn appointment(one: &Appointment, zone: &TimeZone) -> Value {
    json!({
        "id": one.id,
        "start": stamp(one.start, zone),
        "said": said::moment(local(one.start, zone).datetime()),
        "service": one.service,
        "with": one.with,
    })
}

fn local(at: Timestamp, zone: &TimeZone) -> jiff::Zoned {
    at.to_zoned(zone.clone())
}

fn stamp(at: Timestamp, zone: &TimeZone) -> String {
    local(at, zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_reads_moments_by_the_clock_of_the_business() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        let one = Appointment {
            id: "7".into(),
            start: "2026-03-10T18:00:00Z".parse().unwrap(),
            service: Some("check-up".into()),
            with: None,
        };
        let told = Outcome::Booked(one.clone()).for_model(&zone);
        let expected = json!({"outcome": "booked", "value": {
            "id": "7", "start": "2026-03-10T14:00:00-04:00", "said": "Tuesday, March 10 at 2 PM",
            "service": "check-up", "with": null,
        }});
        assert_eq!(told, expected);
        assert_eq!(
            Outcome::Moved(one).spoken(&zone).as_deref(),
            Some("Your appointment is now on Tuesday, March 10 at 2 PM.")
        );
        assert_eq!(Outcome::Held.for_model(&zone), json!({"outcome": "held"}));
        assert_eq!(Outcome::Unavailable.spoken(&zone), None, "nothing happened");
    }
}
