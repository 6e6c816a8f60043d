//! What a person is told of an appointment by message (C6, A6): the confirmation of one made on the
//! phone or held meanwhile, and the reminder the day before.

use anyhow::Context as _;
use dialogue_core::tool::{Appointment, Outcome};
use domain::{
    AppointmentChange, AppointmentChanged, CalendarEntry, Channel, ConversationId, Envelope, Mail,
    MessageSent, Payload, Personal, ReminderDue, SentForm, Timestamp, TurnAccount,
};
use jiff::tz::TimeZone;
use store::{
    StoreError, TenantTx,
    appointments::{self, InCalendar, Reach},
    due,
    users::Identity,
};

use super::{Scene, appointments::moment};
use crate::{Shell, outlet::Outlet, tenants::Tenant};

/// How a person is written to.
pub(super) struct TextTo {
    pub(super) channel: Channel,
    pub(super) our_address: String,
    pub(super) to: Personal,
}

/// How the person of this turn is told of an appointment: in their chat; a caller by text message,
/// where the tenant has a number for that, else on WhatsApp.
pub(super) fn by(scene: &Scene<'_>, phone: Option<&Personal>) -> Option<TextTo> {
    let channel = &scene.envelope.channel;
    if !channel.is_spoken() {
        return Some(TextTo {
            channel: channel.clone(),
            our_address: scene.to.to_owned(),
            to: scene.from.clone(),
        });
    }
    let to = phone.filter(|number| Identity::phone(number).is_some())?;
    let own = &scene.tenant.addresses;
    let address = own
        .iter()
        .find(|a| a.channel == Channel::SMS && a.address == scene.to)
        .or_else(|| own.iter().find(|a| a.channel == Channel::SMS))
        .or_else(|| own.iter().find(|a| a.channel == Channel::WHATSAPP))?;
    Some(TextTo {
        channel: address.channel.clone(),
        our_address: address.address.clone(),
        to: to.clone(),
    })
}

/// Confirms by message what was agreed on the phone. In a chat the reply says it already.
pub(super) async fn of(
    scene: &Scene<'_>,
    outcome: &Outcome,
    effect: &str,
    phone: Option<&Personal>,
) -> anyhow::Result<()> {
    if !scene.envelope.channel.is_spoken() {
        return mail(scene, outcome, effect).await;
    }
    send(scene, outcome, effect, phone).await
}

/// Tells by message what came of a booking. The id derives from the turn: sent twice, it is
/// delivered once.
pub(super) async fn send(
    scene: &Scene<'_>,
    outcome: &Outcome,
    effect: &str,
    phone: Option<&Personal>,
) -> anyhow::Result<()> {
    mail(scene, outcome, effect).await?;
    let Some(text) = text_of(scene.tenant, outcome) else { return Ok(()) };
    let Some(to) = by(scene, phone.or(Some(scene.from))) else { return Ok(()) };
    let id = scene.envelope.event_id.child(&format!("confirm:{effect}"));
    let message = message(scene.envelope, &to, text);
    let message = Envelope { event_id: id, ..message };
    scene.out.publish(&[message]).await.context("confirm an appointment")
}

/// Tells by e-mail as well, with the appointment for the person's own calendar, where an address is known and the tenant has one
/// to write from. A number is not needed for it.
async fn mail(scene: &Scene<'_>, outcome: &Outcome, effect: &str) -> anyhow::Result<()> {
    let tenant = scene.tenant;
    let from = tenant.addresses.iter().find(|a| a.channel == Channel::EMAIL);
    let (Some(from), Some(text)) = (from, text_of(tenant, outcome)) else { return Ok(()) };
    let (told, is_cancelled) = match outcome {
        Outcome::Booked(told) | Outcome::Moved(told) => (told, false),
        Outcome::Cancelled(told) => (told, true),
        _ => return Ok(()),
    };
    let Ok(id) = told.id.parse() else { return Ok(()) };
    let tx = scene.shell.store.tenant(scene.envelope.tenant).await?;
    let found = appointments::in_calendar(&tx, id).await.context("find what to write of")?;
    drop(tx);
    let Some(found) = found else { return Ok(()) };
    let InCalendar { appointment, first, moves, email } = found;
    let summary = format!("{}: {}", tenant.settings.business, what(told));
    let entry = CalendarEntry {
        id: first.to_string(),
        sequence: moves + u32::from(is_cancelled),
        is_cancelled,
        starts_at: appointment.starts_at,
        ends_at: appointment.ends_at,
        timezone: tenant.settings.timezone.clone(),
        summary: summary.into(),
    };
    let subject = match outcome {
        Outcome::Booked(_) => "Your appointment",
        Outcome::Moved(_) => "Your appointment has moved",
        _ => "Your appointment is cancelled",
    };
    let subject = format!("{subject}, {}", said(tenant, told.start));
    let to = TextTo { channel: Channel::EMAIL, our_address: from.address.clone(), to: email };
    let mut message = message(scene.envelope, &to, text);
    message.event_id = scene.envelope.event_id.child(&format!("mail:{effect}"));
    if let Payload::MessageSent(sent) = &mut message.payload {
        sent.form = SentForm::Mail(Mail { subject: subject.into(), entry: Some(entry) });
    }
    scene.out.publish(&[message]).await.context("confirm an appointment by e-mail")
}

/// Schedules the reminder, in the transaction of the booking. One that is sooner than the reminder
/// would come has none.
pub(super) async fn remind(
    scene: &Scene<'_>,
    tx: &TenantTx,
    booked: &appointments::Appointment,
) -> Result<(), StoreError> {
    if !scene.tenant.settings.reminders {
        return Ok(());
    }
    let of = (scene.envelope.tenant, scene.envelope.conversation, scene.envelope.channel.clone());
    let Some(event) = ReminderDue::of(booked.id, booked.starts_at, of, scene.at) else {
        return Ok(());
    };
    due::schedule(tx, booked.id, event.occurred_at, &wire::to_body(&wire::encode(&event))).await
}

/// Reminds the person of an appointment that still stands.
///
/// # Errors
/// When the database cannot be read or the message not leave.
pub(crate) async fn reminder_due(
    shell: &Shell,
    out: &dyn Outlet,
    envelope: &Envelope,
    event: &ReminderDue,
) -> anyhow::Result<()> {
    let Ok(id) = event.appointment.parse() else { return Ok(()) };
    let tenant = shell.tenants.get(envelope.tenant);
    let tx = shell.store.tenant(envelope.tenant).await?;
    let found = appointments::reach(&tx, id).await.context("find whom to remind")?;
    drop(tx);
    let Some((appointment, reach)) = found else { return Ok(()) };
    if appointment.starts_at <= Timestamp::now() {
        // Late beyond use: the writer was away for a day.
        return Ok(());
    }
    let Reach { channel, our_address, phone, .. } = reach;
    let to = TextTo { channel: Channel::named(channel), our_address, to: phone };
    let business = &tenant.settings.business;
    let at = said(&tenant, moment(appointment.starts_at));
    let text = format!(
        "{business}: a reminder of your {} with {} on {at}. Write or call us if you cannot come.",
        appointment.service, appointment.with
    );
    let message = message(envelope, &to, text);
    let message = Envelope { event_id: envelope.event_id.child("reminder"), ..message };
    out.publish(&[message]).await.context("remind of an appointment")
}

/// Tells the person what the business itself did to their appointment, by message and by e-mail, where they can be reached so. The
/// ids derive from the event: told twice, it is delivered once.
///
/// # Errors
/// When the database cannot be read or a message not leave.
pub(crate) async fn appointment_changed(
    shell: &Shell,
    out: &dyn Outlet,
    envelope: &Envelope,
    event: &AppointmentChanged,
) -> anyhow::Result<()> {
    let Ok(id) = event.appointment.parse() else { return Ok(()) };
    let tenant = shell.tenants.get(envelope.tenant);
    let tx = shell.store.tenant(envelope.tenant).await?;
    let found = appointments::entry(&tx, id).await.context("find what to tell of")?;
    let reach = appointments::reach_of_any(&tx, id).await.context("find whom to tell")?;
    drop(tx);
    let now = Timestamp::now();
    let status = match event.change {
        AppointmentChange::Booked | AppointmentChange::Moved => "booked",
        AppointmentChange::Cancelled => "cancelled",
    };
    // What was undone meanwhile, or is over, is no news.
    let found = found.filter(|found| found.status == status && found.starts_at > now);
    let Some(found) = found else { return Ok(()) };
    let told = Appointment {
        id: found.id.to_string(),
        start: moment(found.starts_at),
        service: Some(found.service),
        with: Some(found.with),
    };
    let outcome = match event.change {
        AppointmentChange::Booked => Outcome::Booked(told),
        AppointmentChange::Moved => Outcome::Moved(told),
        AppointmentChange::Cancelled => Outcome::Cancelled(told),
    };
    let (tenant, turn, from) = (tenant.as_ref(), envelope.turn, Personal::default());
    let scene = Scene { shell, out, tenant, envelope, from: &from, to: "", turn, at: now };
    mail(&scene, &outcome, "changed").await?;
    let (Some((_, reach)), Some(text)) = (reach, text_of(tenant, &outcome)) else { return Ok(()) };
    let Reach { channel, our_address, phone, .. } = reach;
    let to = TextTo { channel: Channel::named(channel), our_address, to: phone };
    let message = message(envelope, &to, text);
    let message = Envelope { event_id: envelope.event_id.child("changed"), ..message };
    out.publish(&[message]).await.context("tell of an appointment")
}

/// A message in the chat with a person, which may be another conversation than `cause`'s.
pub(super) fn message(cause: &Envelope, to: &TextTo, text: String) -> Envelope {
    let number = to.to.reveal();
    let contact = match to.channel == Channel::WHATSAPP {
        true => number.trim_start_matches('+').to_owned(),
        false => number.to_owned(),
    };
    let chat =
        ConversationId::of_chat(cause.tenant, to.channel.as_str(), &to.our_address, &contact);
    let sent = MessageSent {
        to: contact.into(),
        from: to.our_address.clone(),
        text: text.into(),
        in_reply_to: String::new(),
        choices: Vec::new(),
        form: SentForm::Text,
        attempt: 1,
        account: TurnAccount { agent: "appointments".into(), ..TurnAccount::default() },
    };
    let now = Timestamp::now();
    Envelope::new(cause.event_id, cause.tenant, chat, to.channel.clone(), now, sent)
}

fn what(appointment: &Appointment) -> String {
    let service = appointment.service.as_deref().unwrap_or("appointment");
    match &appointment.with {
        Some(with) => format!("{service} with {with}"),
        None => service.to_owned(),
    }
}

fn text_of(tenant: &Tenant, outcome: &Outcome) -> Option<String> {
    let business = &tenant.settings.business;
    Some(match outcome {
        Outcome::Booked(a) => {
            format!("{business}: your {} is booked for {}.", what(a), said(tenant, a.start))
        }
        Outcome::Moved(a) => {
            format!("{business}: your {} has moved to {}.", what(a), said(tenant, a.start))
        }
        Outcome::Cancelled(a) => {
            format!("{business}: your {} on {} is cancelled.", what(a), said(tenant, a.start))
        }
        _ => return None,
    })
}

/// What the person of a held booking is told when the time was gone (D6).
pub(super) fn sorry(tenant: &Tenant, free: &[dialogue_core::tool::Slot]) -> String {
    let business = &tenant.settings.business;
    let times: Vec<String> = free.iter().map(|slot| said(tenant, slot.start)).collect();
    match times.as_slice() {
        [] => format!("{business}: sorry, that time was no longer free. Please write or call us."),
        times => format!(
            "{business}: sorry, that time was no longer free. These are: {}. Please write or call us.",
            times.join("; ")
        ),
    }
}

/// Says what a held booking came to, where it is not the booking asked for.
pub(super) async fn send_sorry(
    scene: &Scene<'_>,
    text: String,
    effect: &str,
    phone: Option<&Personal>,
) -> anyhow::Result<()> {
    let Some(to) = by(scene, phone.or(Some(scene.from))) else { return Ok(()) };
    let id = scene.envelope.event_id.child(&format!("confirm:{effect}"));
    let message = Envelope { event_id: id, ..message(scene.envelope, &to, text) };
    scene.out.publish(&[message]).await.context("tell of a held booking")
}

/// A moment by the business's own clock, as it is written.
fn said(tenant: &Tenant, at: jiff::Timestamp) -> String {
    let zone = TimeZone::get(&tenant.settings.timezone).unwrap_or(TimeZone::UTC);
    at.to_zoned(zone).strftime("%A, %B %-d at %-I:%M %p").to_string()
}
