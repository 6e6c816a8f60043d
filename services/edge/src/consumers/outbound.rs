//! Replies on their way out: WhatsApp now, whatever channel is registered later (A1). A send is at most once: recorded
//! before and after, and never repeated in doubt (DESIGN 2, "Sends").

mod compose;
mod files;
mod waits;

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;
use async_trait::async_trait;
use bus::{Context, Handler, Outcome};
use cache::{Cache, Refusal, SendState};
use compose::{Body, Part};
use domain::{
    DeliveryStatus, DeliveryUpdated, Envelope, EventId, MessageRefused, MessageSent, Payload,
    SentForm, SentTemplate, Stage, Timestamp, TurnTimed,
};
use files::{FileOf, Files, NotUploaded, STALE};
use store::{
    Store, due, messages,
    opt_outs::{self, OptOut},
};
use waits::Doubt;
use wire::Decoded;

use crate::{
    channel::{
        ChannelAdapter, ExternalId, FileAtVendor, OutgoingPart, PartBody, SendFault, SendMark,
        whatsapp::OUTSIDE_WINDOW,
    },
    directory::Directory,
};

/// A place in line that is nearer than this is waited for with the message in hand.
const WAITED_IN_HAND: Duration = Duration::from_secs(2);
/// What may not be sent waits so long for the person to write.
const HELD_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A message is on its way for a moment: so much of the window is not used.
const WINDOW_MARGIN: Duration = Duration::from_secs(60);
const LONGEST_PARAMETER_CHARS: usize = 1024;

/// Sends replies by the channels' adapters.
pub struct Outbound {
    adapters: Vec<Arc<dyn ChannelAdapter>>,
    cache: Cache,
    store: Store,
    directory: Arc<Directory>,
    files: Files,
}

/// How a message leaves that may not be sent freely.
enum Form {
    Template(Box<SentTemplate>),
    /// Not before the person writes.
    Held,
    /// The person did not write in time.
    TooLate,
}

/// What became of one part.
enum PartOutcome {
    /// By the vendor, at this moment as far as is known.
    Accepted(ExternalId, Timestamp),
    Failed {
        code: i64,
        detail: String,
    },
    Doubtful,
    Held,
}

impl Outbound {
    /// Sends by `adapters`, with send records in `cache`, the history in `store`, the tenants' templates in `directory` and
    /// files in `s3`.
    pub fn new(
        adapters: Vec<Arc<dyn ChannelAdapter>>,
        cache: Cache,
        store: Store,
        directory: Arc<Directory>,
        s3: aws_sdk_s3::Client,
    ) -> Self {
        let files = Files::new(s3, cache.clone());
        Self { adapters, cache, store, directory, files }
    }
}

#[async_trait]
impl Handler for Outbound {
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
        if message.channel.is_spoken() {
            // Its sentences went to the call one by one.
            return Outcome::Done;
        }
        let Some(adapter) = self.adapters.iter().find(|a| a.channel() == message.channel) else {
            return Outcome::Reject(format!("no adapter for the channel {}", message.channel));
        };
        let adapter: &dyn ChannelAdapter = adapter.as_ref();
        let sent = match &message.payload {
            Payload::MessageSent(reply) => self.send(context, adapter, message, reply).await,
            Payload::MessageRefused(refused) => {
                self.send_again(context, adapter, message, refused).await
            }
            other => return Outcome::Reject(format!("{} is nothing to send", other.name())),
        };
        match sent {
            Ok(()) => Outcome::Done,
            Err(retry) => retry,
        }
    }
}

impl Outbound {
    async fn send(
        &self,
        context: &Context,
        adapter: &dyn ChannelAdapter,
        message: &Envelope,
        reply: &MessageSent,
    ) -> Result<(), Outcome> {
        if let Some(code) = adapter.opted_out_code()
            && self.is_opted_out(message, reply).await?
        {
            count(adapter, "opted_out");
            let detail = "the person wants no messages from this number".to_owned();
            return self.tell(context, message, PartOutcome::Failed { code, detail }).await;
        }
        let is_template = matches!(reply.form, SentForm::Template(_));
        let seems_open = is_template || self.is_open(adapter, message).await?;
        if seems_open {
            match self.send_parts(context, adapter, message, reply, None).await? {
                // The vendor knows the window better, and has told in time.
                Some(OUTSIDE_WINDOW) if adapter.window().is_some() => {}
                _ => return Ok(()),
            }
        }
        // Nobody knew that it was closed where the vendor had to tell it.
        let closed_at = if seems_open { Timestamp::now() } else { Timestamp::from_micros(0) };
        self.send_outside(context, adapter, message, reply, closed_at).await
    }

    async fn is_opted_out(&self, message: &Envelope, reply: &MessageSent) -> Result<bool, Outcome> {
        let asked = async {
            let tx = self.store.tenant(message.tenant).await?;
            opt_outs::is_out(&tx, &OptOut::of(&message.channel, &reply.from, &reply.to)).await
        };
        asked.await.map_err(|e| waits::without_store(e, "ask whether the person wants messages"))
    }

    /// The vendor knows what we did not: the person wants no messages.
    async fn note_opt_out(&self, message: &Envelope, reply: &MessageSent) -> Result<(), Outcome> {
        let noted = async {
            let tx = self.store.tenant(message.tenant).await?;
            let of = OptOut::of(&message.channel, &reply.from, &reply.to);
            opt_outs::note(&tx, &of, true, Timestamp::now()).await?;
            tx.commit().await
        };
        noted.await.map_err(|e| waits::without_store(e, "note that the person wants no messages"))
    }

    /// Sends a message that may not be sent freely by a template, or holds it. The person may be written to freely where
    /// they wrote after `closed_at`.
    async fn send_outside(
        &self,
        context: &Context,
        adapter: &dyn ChannelAdapter,
        message: &Envelope,
        reply: &MessageSent,
        closed_at: Timestamp,
    ) -> Result<(), Outcome> {
        match self.outside_window(message, reply) {
            Form::Template(template) => {
                let sent = self.send_parts(context, adapter, message, reply, Some(&*template));
                sent.await.map(drop)
            }
            Form::Held => {
                self.hold(context, adapter, message).await?;
                // The person may have written meanwhile, before there was anything to be released.
                let since = self.last_written(message).await?;
                let window = adapter.window().unwrap_or(Duration::MAX);
                match since.is_some_and(|at| at > closed_at && is_within(window, at)) {
                    true => self.release(message).await,
                    false => Ok(()),
                }
            }
            Form::TooLate => {
                let detail = "the person did not write in time, and there is no template".into();
                let outcome = PartOutcome::Failed { code: OUTSIDE_WINDOW, detail };
                self.tell(context, message, outcome).await
            }
        }
    }

    /// Whether the person may be written to freely. An answer carries when the person wrote; of what they did not ask for
    /// Redis knows, and the history behind it.
    async fn is_open(
        &self,
        adapter: &dyn ChannelAdapter,
        message: &Envelope,
    ) -> Result<bool, Outcome> {
        let Some(window) = adapter.window() else { return Ok(true) };
        let asked = message.stages.iter().find(|s| s.name == Stage::WEBHOOK_RECEIVED);
        if asked.is_some_and(|stage| is_within(window, stage.at)) {
            return Ok(true);
        }
        let noted = self.cache.last_written(message.conversation).await.map_err(Outcome::retry)?;
        if noted.is_some_and(|at| is_within(window, at)) {
            return Ok(true);
        }
        let kept = self.last_kept(message).await?;
        Ok(kept.is_some_and(|at| is_within(window, at)))
    }

    /// When the person wrote last, as far as anybody knows.
    async fn last_written(&self, message: &Envelope) -> Result<Option<Timestamp>, Outcome> {
        let noted = self.cache.last_written(message.conversation).await.map_err(Outcome::retry)?;
        Ok(noted.max(self.last_kept(message).await?))
    }

    /// When the person wrote last, by the history.
    async fn last_kept(&self, message: &Envelope) -> Result<Option<Timestamp>, Outcome> {
        let kept = async {
            let tx = self.store.tenant(message.tenant).await?;
            messages::last_received_at(&tx, message.conversation).await
        };
        kept.await.map_err(|e| waits::without_store(e, "ask when the person wrote last"))
    }

    /// Sends a message again, once, that the vendor had taken and refused later.
    async fn send_again(
        &self,
        context: &Context,
        adapter: &dyn ChannelAdapter,
        told: &Envelope,
        refused: &MessageRefused,
    ) -> Result<(), Outcome> {
        let (message, part) = (refused.message, refused.part);
        let mark = SendMark { message, part, conversation: told.conversation };
        let refusal = self.cache.refuse_send(mark.send_id(), &refused.external_id).await;
        let again = match refusal.map_err(Outcome::retry)? {
            Refusal::SentAgain => return Ok(()),
            // All parts are sent again with the first.
            Refusal::SendAgain if refused.part > 0 => return Ok(()),
            Refusal::SendAgain => self.cache.kept_sent(refused.message).await,
            Refusal::Again => Ok(None),
        };
        let again = again.map_err(Outcome::retry)?.and_then(|body| decoded(&body));
        let Some((again, reply)) = again else {
            let status = DeliveryStatus::Failed;
            let error = Some((refused.code, "the person may not be written to freely".to_owned()));
            let external_id = refused.external_id.clone();
            let update = DeliveryUpdated { message: Some(message), external_id, status, error };
            let event = told.follow("failed", Timestamp::now(), update);
            return context.publish(&[event]).await.map_err(Outcome::retry);
        };
        count(adapter, "refused_late");
        self.send_outside(context, adapter, &again, &reply, told.occurred_at).await
    }

    /// What is done with a message that may not be sent freely.
    fn outside_window(&self, message: &Envelope, reply: &MessageSent) -> Form {
        let settings = self.directory.settings(message.tenant).unwrap_or_default();
        let templates = &settings.whatsapp_templates;
        let template = match reply.account.is_of_operator() {
            true => &templates.operator,
            false if reply.in_reply_to.is_empty() => &templates.notice,
            false => &templates.reply,
        };
        // A template has no place for a file, and a reaction says nothing by itself.
        let template =
            template.as_ref().filter(|_| matches!(reply.form, SentForm::Text | SentForm::Link(_)));
        if let Some(template) = template {
            let parameters = template.filled(&settings.business, &compose::as_text(reply));
            if parameters.iter().all(|p| p.chars().count() <= LONGEST_PARAMETER_CHARS) {
                return Form::Template(Box::new(SentTemplate {
                    name: template.name.clone(),
                    language: template.language.clone(),
                    header: None,
                    parameters: parameters.into_iter().map(Into::into).collect(),
                    buttons: Vec::new(),
                }));
            }
        }
        let is_reaction = matches!(reply.form, SentForm::Reaction { .. });
        match Timestamp::now().since(message.occurred_at) < HELD_FOR && !is_reaction {
            true => Form::Held,
            false => Form::TooLate,
        }
    }

    /// Keeps a message until the person writes, and tells that.
    async fn hold(
        &self,
        context: &Context,
        adapter: &dyn ChannelAdapter,
        message: &Envelope,
    ) -> Result<(), Outcome> {
        let again = Envelope { replays: message.replays + 1, ..message.clone() };
        let again = wire::to_body(&wire::encode(&again));
        let id = *message.event_id.child("held").as_uuid();
        let until = message.occurred_at.plus(HELD_FOR);
        let held = async {
            let tx = self.store.tenant(message.tenant).await?;
            due::hold(&tx, id, message.conversation, until, &again).await?;
            tx.commit().await
        };
        held.await.map_err(|error| Outcome::retry(anyhow!(error).context("hold a message")))?;
        count(adapter, "held");
        self.tell(context, message, PartOutcome::Held).await
    }

    async fn release(&self, message: &Envelope) -> Result<(), Outcome> {
        let released = async {
            let tx = self.store.tenant(message.tenant).await?;
            due::release(&tx, message.conversation, Timestamp::now()).await?;
            tx.commit().await
        };
        released.await.map_err(Outcome::retry)
    }

    /// Tells what became of the whole message.
    async fn tell(
        &self,
        context: &Context,
        message: &Envelope,
        outcome: PartOutcome,
    ) -> Result<(), Outcome> {
        let event = update_of(message, mark_of(message, 0), outcome, Timestamp::now());
        context.publish(&[event]).await.map_err(Outcome::retry)
    }

    /// Sends all parts, or as many as the vendor takes; the code of its refusal.
    async fn send_parts(
        &self,
        context: &Context,
        adapter: &dyn ChannelAdapter,
        message: &Envelope,
        reply: &MessageSent,
        template: Option<&SentTemplate>,
    ) -> Result<Option<i64>, Outcome> {
        let begun = Timestamp::now();
        let parts = match template {
            Some(_) => {
                Ok(vec![Part { text: compose::as_text(reply), choices: &[], body: Body::Text }])
            }
            None => compose::parts(adapter, reply),
        };
        let parts = match parts {
            Ok(parts) => parts,
            Err(unsendable) => {
                let (code, detail) = (unsendable.code, unsendable.detail.to_owned());
                self.tell(context, message, PartOutcome::Failed { code, detail }).await?;
                return Ok(Some(code));
            }
        };
        for (index, part) in (0_u32..).zip(&parts) {
            let keeping = async {
                if index == 0 && template.is_none() && adapter.window().is_some() {
                    // Should the vendor tell later that the person may not be written to freely.
                    let body = wire::to_body(&wire::encode(message));
                    self.cache.keep_sent(message.event_id, &body).await.map_err(Outcome::retry)?;
                }
                Ok::<(), Outcome>(())
            };
            let sending = self.send_part(context, adapter, message, reply, template, index, part);
            let (kept, outcome) = tokio::join!(keeping, sending);
            let outcome = outcome?;
            kept?;
            let (accepted_at, code) = match &outcome {
                PartOutcome::Accepted(_, at) => (Some(*at), None),
                PartOutcome::Failed { code, .. } => (None, Some(*code)),
                PartOutcome::Doubtful | PartOutcome::Held => (None, None),
            };
            if code.is_some() && code == adapter.opted_out_code() {
                self.note_opt_out(message, reply).await?;
            }
            if code == Some(OUTSIDE_WINDOW) && index == 0 && template.is_none() {
                return Ok(code);
            }
            let now = Timestamp::now();
            let mark = mark_of(message, index);
            let mut events = vec![update_of(message, mark, outcome, now)];
            if let Some(at) = accepted_at.filter(|_| index == 0 && !reply.account.is_of_operator())
            {
                // As on a call, where the first audio counts: the person is answered with the first part.
                events.push(timed(message, reply.attempt, begun, at));
            }
            context.publish(&events).await.map_err(Outcome::retry)?;
            boot::crash_point("edge.published");
            if accepted_at.is_none() {
                // The rest of a reply without its beginning makes no sense.
                return Ok(code);
            }
        }
        Ok(None)
    }

    /// Sends one part; a file is handed over before, where the vendor does not have it.
    #[expect(clippy::too_many_arguments, reason = "a part is nothing without its message")]
    async fn send_part(
        &self,
        context: &Context,
        adapter: &dyn ChannelAdapter,
        message: &Envelope,
        reply: &MessageSent,
        template: Option<&SentTemplate>,
        index: u32,
        part: &Part<'_>,
    ) -> Result<PartOutcome, Outcome> {
        let mark = mark_of(message, index);
        let Some((file, kind)) = part.file().filter(|_| template.is_none()) else {
            let body = body_of(template, part.body, None);
            return self.send_once(context, adapter, &outgoing(reply, part, body, mark)).await;
        };
        let Some(taker) = adapter.files() else {
            return Err(Outcome::Reject("the channel has no files".to_owned()));
        };
        let channel = &message.channel;
        let of = FileOf { tenant: message.tenant, channel, our_address: &reply.from, file };
        let filename = file.filename.as_ref();
        loop {
            let uploaded = match self.files.at_vendor(context, taker, &of).await? {
                Ok(uploaded) => uploaded,
                Err(NotUploaded::Refused { code, detail }) => {
                    return Ok(PartOutcome::Failed { code, detail });
                }
                Err(NotUploaded::Later { after, code, cause }) => {
                    return self.put_off(adapter, mark.send_id(), after, code, cause).await;
                }
            };
            let at_vendor = FileAtVendor { id: &uploaded.id, kind, filename };
            let body = body_of(None, part.body, Some(at_vendor));
            match self.send_once(context, adapter, &outgoing(reply, part, body, mark)).await? {
                PartOutcome::Failed { code, .. } if uploaded.is_known && STALE.contains(&code) => {
                    self.files.forget(&of).await?;
                }
                outcome => return Ok(outcome),
            }
        }
    }

    /// Waits until the vendor is to be asked again (PROTOCOLS 2.4, throughput), over all tasks. What is far is no fault of the
    /// message: its place is kept, so that it waits once.
    async fn await_place(
        &self,
        adapter: &dyn ChannelAdapter,
        part: &OutgoingPart<'_>,
    ) -> Result<(), Outcome> {
        let Some(pace) = adapter.pace() else { return Ok(()) };
        let (send, channel) = (part.mark.send_id(), adapter.channel());
        let person = format!("{channel}:person:{}", part.mark.conversation);
        let address = format!("{channel}:address:{}", part.our_address);
        let (person, address) = tokio::join!(
            self.cache.place_in_line(&person, pace.per_person, send),
            self.cache.place_in_line(&address, pace.per_address, send),
        );
        let wait = person.map_err(Outcome::retry)?.max(address.map_err(Outcome::retry)?);
        if wait > WAITED_IN_HAND {
            count(adapter, "paced");
            let cause = anyhow!("the vendor takes no more from this address, or for this person");
            return Err(Outcome::NotYet { after: wait, cause });
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Sends one part, at most once over all runs.
    async fn send_once(
        &self,
        context: &Context,
        adapter: &dyn ChannelAdapter,
        part: &OutgoingPart<'_>,
    ) -> Result<PartOutcome, Outcome> {
        self.await_place(adapter, part).await?;
        let send = part.mark.send_id();
        match self.cache.begin_send(send).await.map_err(Outcome::retry)? {
            SendState::New => {}
            SendState::Done { external_id } => {
                return Ok(PartOutcome::Accepted(external_id, Timestamp::now()));
            }
            SendState::InDoubt { since } => return in_doubt(since),
        }
        boot::crash_point("edge.outbound-recorded");
        if let Err(lost) = context.check() {
            self.forget(send).await?;
            return Err(Outcome::retry(lost));
        }
        let sent = adapter.send(part).await;
        let answered_at = Timestamp::now();
        boot::crash_point("edge.outbound-answered");
        match sent {
            Ok(external_id) => {
                // Not recorded, it is in doubt: the status settles it.
                let id =
                    self.cache.finish_send(send, &external_id).await.map_err(Outcome::retry)?;
                count(adapter, "accepted");
                Ok(PartOutcome::Accepted(id, answered_at))
            }
            Err(SendFault::TryLater { after, code, cause }) => {
                count(adapter, "try_later");
                self.put_off(adapter, send, after, code, cause).await
            }
            Err(SendFault::Refused { code, detail }) => {
                self.forget(send).await?;
                count(adapter, "refused");
                tracing::warn!(code, detail = %detail.escape_debug(), "reply refused by the vendor");
                Ok(PartOutcome::Failed { code, detail })
            }
            Err(SendFault::Unknown(cause)) => {
                count(adapter, "unknown");
                let cause = cause.context("send in doubt");
                Err(Outcome::NotYet { after: waits::FIRST_LOOK_AFTER, cause })
            }
        }
    }

    /// Lets a part wait that the vendor does not take at the moment; where it has waited enough, it has failed.
    async fn put_off(
        &self,
        adapter: &dyn ChannelAdapter,
        send: EventId,
        first: Duration,
        code: i64,
        cause: anyhow::Error,
    ) -> Result<PartOutcome, Outcome> {
        let times = self.cache.put_off_send(send).await.map_err(Outcome::retry)?;
        match waits::put_off(first, times) {
            Some(after) => Err(Outcome::NotYet { after, cause }),
            None => {
                count(adapter, "given_up");
                let fault = format!("{cause:#}");
                tracing::error!(code, fault, kind = "reply_given_up", "the vendor takes no reply");
                let detail = "the vendor took nothing for too long".to_owned();
                Ok(PartOutcome::Failed { code, detail })
            }
        }
    }

    async fn forget(&self, send: EventId) -> Result<(), Outcome> {
        self.cache.fail_send(send).await.map_err(Outcome::retry)
    }
}

/// Whether a window that opened at `at` is open still, and for a moment more.
fn is_within(window: Duration, at: Timestamp) -> bool {
    Timestamp::now().since(at) < window.saturating_sub(WINDOW_MARGIN)
}

/// What a part is, with its file at the vendor; `template` is sent in its place.
fn body_of<'a>(
    template: Option<&'a SentTemplate>,
    body: Body<'a>,
    file: Option<FileAtVendor<'a>>,
) -> PartBody<'a> {
    match (template, body) {
        (Some(template), _) | (None, Body::Template { template, .. }) => {
            PartBody::Template { template, file }
        }
        (None, Body::Text) => PartBody::Text,
        (None, Body::File { .. }) => file.map_or(PartBody::Text, PartBody::File),
        (None, Body::Link(link)) => PartBody::Link(link),
        (None, Body::Reaction { to }) => PartBody::Reaction(to),
        (None, Body::Mail(mail)) => PartBody::Mail(mail),
    }
}

/// A part as the adapter takes it.
fn outgoing<'a>(
    reply: &'a MessageSent,
    part: &'a Part<'_>,
    body: PartBody<'a>,
    mark: SendMark,
) -> OutgoingPart<'a> {
    OutgoingPart {
        our_address: &reply.from,
        to: &reply.to,
        text: &part.text,
        choices: part.choices,
        body,
        in_reply_to: Some(reply.in_reply_to.as_str()).filter(|_| mark.part == 0),
        mark,
    }
}

fn mark_of(message: &Envelope, part: u32) -> SendMark {
    SendMark { message: message.event_id, part, conversation: message.conversation }
}

/// A message as it was kept; `None` where a later release wrote what this one cannot read.
fn decoded(body: &str) -> Option<(Envelope, MessageSent)> {
    let bytes = wire::from_body(body).ok()?;
    let Ok(Decoded::Whole(message)) = wire::decode(&bytes) else { return None };
    let Payload::MessageSent(reply) = &message.payload else { return None };
    let reply = reply.clone();
    Some((message, reply))
}

/// A send of which nobody knows how it went: waited for, or raised.
fn in_doubt(since: Timestamp) -> Result<PartOutcome, Outcome> {
    match waits::in_doubt(since, Timestamp::now()) {
        Doubt::Wait(outcome) => Err(outcome),
        Doubt::Over => {
            metrics::counter!("edge_doubtful_sends_total").increment(1);
            tracing::error!(
                kind = "doubtful_send",
                "whether a reply was sent cannot be known; not repeated"
            );
            Ok(PartOutcome::Doubtful)
        }
    }
}

fn update_of(message: &Envelope, mark: SendMark, outcome: PartOutcome, now: Timestamp) -> Envelope {
    let (external_id, status, error) = match outcome {
        PartOutcome::Accepted(id, _) => (id, DeliveryStatus::Accepted, None),
        PartOutcome::Failed { code, detail } => {
            (String::new(), DeliveryStatus::Failed, Some((code, detail)))
        }
        PartOutcome::Doubtful => (String::new(), DeliveryStatus::Doubtful, None),
        PartOutcome::Held => (String::new(), DeliveryStatus::Held, None),
    };
    // Sent again after a late refusal it is accepted under another id.
    let name = format!("delivery:{}:{status:?}:{external_id}", mark.part);
    let update = DeliveryUpdated { message: Some(mark.message), external_id, status, error };
    message.follow(&name, now, update)
}

/// The stages of the turn that `message` answers, for the history (DESIGN 3.6).
fn timed(message: &Envelope, attempt: u32, begun: Timestamp, accepted: Timestamp) -> Envelope {
    let mut event = message.follow("turn-timed", accepted, TurnTimed { attempt });
    event.stamp(Stage::OUTBOUND_STARTED, begun);
    event.stamp(Stage::ACCEPTED, accepted);
    event
}

fn count(adapter: &dyn ChannelAdapter, outcome: &'static str) {
    metrics::counter!("edge_sends_total", "channel" => adapter.channel().to_string(), "outcome" => outcome).increment(1);
}
