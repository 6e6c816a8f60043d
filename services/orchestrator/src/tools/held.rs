//! Bookings held while the database was away: done as soon as it is back, then confirmed (D6).

use std::sync::Arc;

use async_trait::async_trait;
use bus::Outcome;
use dialogue_core::tool::{self, Book, ToolRequest};
use domain::{BookHeld, Envelope, Payload, Timestamp};

use super::{Scene, appointments, confirmation};
use crate::{Shell, outlet::Outlet};

/// The handler of the queue of held bookings.
pub struct HeldBookings {
    pub(crate) shell: Arc<Shell>,
}

#[async_trait]
impl bus::Handler for HeldBookings {
    async fn handle(&self, context: &bus::Context, message: &Envelope) -> Outcome {
        match &message.payload {
            Payload::BookHeld(held) => book_held(&self.shell, context, message, held).await.into(),
            other => Outcome::Reject(format!("{} is no held booking", other.name())),
        }
    }
}

/// Books what was held, once, and tells the person.
pub(crate) async fn book_held(
    shell: &Shell,
    out: &dyn Outlet,
    message: &Envelope,
    held: &BookHeld,
) -> anyhow::Result<()> {
    let tenant = shell.tenants.get(message.tenant);
    let scene = Scene {
        shell,
        out,
        tenant: &tenant,
        envelope: message,
        from: &held.from,
        to: &held.to,
        turn: message.turn,
        at: Timestamp::now(),
    };
    let request = Book {
        start: appointments::moment(held.start),
        service: held.service.clone(),
        resource: None,
        name: held.name.clone(),
        phone: held.phone.clone(),
        email: held.email.clone(),
        notes: held.notes.clone(),
    };
    let phone = held.phone.as_ref();
    let outcome = appointments::book_now(&scene, &request, &held.effect).await?;
    match &outcome {
        tool::Outcome::Taken(free) => {
            let text = confirmation::sorry(&tenant, free);
            confirmation::send_sorry(&scene, text, &held.effect, phone).await?;
        }
        tool::Outcome::Booked(_) => {
            confirmation::send(&scene, &outcome, &held.effect, phone).await?;
        }
        other => {
            tracing::error!(outcome = other.name(), "a held booking came to nothing");
            let text = confirmation::sorry(&tenant, &[]);
            confirmation::send_sorry(&scene, text, &held.effect, phone).await?;
        }
    }
    tracing::info!(
        tool = ToolRequest::Book(request).name(),
        outcome = outcome.name(),
        "held booking done"
    );
    Ok(())
}
