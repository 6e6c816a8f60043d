//! Requests for a human: the row that operators work from, and what becomes of one that waits too long (A7).

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use bus::{Context, Handler, Outcome};
use cache::Cache;
use domain::{
    ChatHandover, Envelope, EscalationDue, EscalationRequested, MessageSent, Payload, SentForm,
    TenantId, Timestamp, TurnAccount,
};
use store::{
    Store, TenantTx,
    escalations::{self, Escalation},
    history,
};

use crate::{api::events, directory::Directory, handover};

/// Who tells a person that nobody is free yet, in the history.
const TOLD_BY: &str = "handover";

/// Writes escalations, and looks at them again.
pub struct Escalations {
    store: Store,
    cache: Cache,
    directory: Arc<Directory>,
}

impl Escalations {
    /// Writes to `store`; chats are marked in `cache`, for as long as the tenants in `directory` want it.
    pub fn new(store: Store, cache: Cache, directory: Arc<Directory>) -> Self {
        Self { store, cache, directory }
    }

    fn limits(&self, tenant: TenantId) -> ChatHandover {
        let settings = self.directory.settings(tenant);
        settings.map_or_else(ChatHandover::default, |settings| settings.chat_handover.clone())
    }

    /// One transaction, which claims the event: a second run changes nothing.
    async fn open(&self, of: &Envelope, request: &EscalationRequested) -> anyhow::Result<()> {
        let tx = self.store.tenant(of.tenant).await?;
        let is_new = escalations::open(&tx, of, request).await.context("open an escalation")?;
        if is_new && !of.channel.is_spoken() {
            let at = of.occurred_at.plus(self.limits(of.tenant).untaken_after);
            let chat = (of.tenant, of.conversation, of.channel.clone());
            handover::look_again(&tx, *of.event_id.as_uuid(), at, chat).await?;
        }
        tx.commit().await?;
        if is_new {
            metrics::counter!("edge_escalations_total", "reason" => request.reason.clone())
                .increment(1);
            tracing::info!(reason = %request.reason.escape_debug(), "a human is wanted");
        }
        Ok(())
    }

    async fn look_again(
        &self,
        context: &Context,
        of: &Envelope,
        event: &EscalationDue,
    ) -> anyhow::Result<()> {
        let Ok(id) = event.escalation.parse() else { return Ok(()) };
        let (now, limits) = (Timestamp::now(), self.limits(of.tenant));
        let tx = self.store.tenant(of.tenant).await?;
        let Some(found) = escalations::find(&tx, id).await? else { return Ok(()) };
        match found.status.as_str() {
            "open" => {
                if escalations::tell(&tx, id, now).await? {
                    self.tell(context, &tx, of, &limits).await?;
                    tx.commit().await?;
                    // The history has what was told.
                    self.cache.forget_context(of.conversation).await?;
                    metrics::counter!("edge_escalations_untaken_total").increment(1);
                }
                Ok(())
            }
            "taken" => self.time_out(tx, of, &found, limits.idle_after).await,
            // An earlier run of this closed it, and was lost before the agents knew.
            _ if found.timed_out => self.mark(of, limits.idle_after).await,
            _ => Ok(()),
        }
    }

    async fn mark(&self, of: &Envelope, idle_after: Duration) -> anyhow::Result<()> {
        let stores = (&self.store, &self.cache);
        handover::mark(stores, (of.tenant, of.conversation), idle_after).await
    }

    /// Tells the person that nobody is free yet; the agents go on. Published before it is on record, under an id made of the event's:
    /// told twice it is sent once.
    async fn tell(
        &self,
        context: &Context,
        tx: &TenantTx,
        of: &Envelope,
        limits: &ChatHandover,
    ) -> anyhow::Result<()> {
        let found = history::conversation(tx, *of.conversation.as_uuid()).await?;
        let Some((from, to)) = found.and_then(|c| c.our_address.zip(c.reached_by)) else {
            tracing::warn!(conversation = %of.conversation, "nobody knows whom to tell that no human is free");
            return Ok(());
        };
        let message = MessageSent {
            to,
            from,
            text: limits.nobody_free.as_str().into(),
            in_reply_to: String::new(),
            attempt: 1,
            account: TurnAccount { agent: TOLD_BY.to_owned(), ..TurnAccount::default() },
            choices: Vec::new(),
            form: SentForm::Text,
        };
        let event = of.follow("nobody-free", Timestamp::now(), message);
        context.publish(&[event]).await.context("tell that no human is free")
    }

    /// Closes a request whose human wrote nothing for too long, and gives the chat back; else looks again later.
    async fn time_out(
        &self,
        tx: TenantTx,
        of: &Envelope,
        found: &Escalation,
        idle_after: Duration,
    ) -> anyhow::Result<()> {
        let (now, chat) = (Timestamp::now(), of.conversation);
        if escalations::time_out(&tx, found.id, now.minus(idle_after), now).await? {
            tx.commit().await?;
            metrics::counter!("edge_escalations_timed_out_total").increment(1);
            tracing::info!(conversation = %chat, "a chat goes back to the agents: its human wrote nothing for too long");
            let closed = Escalation { status: "closed".to_owned(), ..found.clone() };
            let told = ("escalation_closed", *of.event_id.as_uuid());
            events::tell_escalation(&self.cache, of.tenant, told, &closed, None).await;
        } else {
            let active_at = found.active_at.or(found.taken_at).unwrap_or(now);
            let chat = (of.tenant, chat, of.channel.clone());
            handover::look_again(&tx, found.id, active_at.plus(idle_after), chat).await?;
            tx.commit().await?;
        }
        self.mark(of, idle_after).await
    }
}

#[async_trait]
impl Handler for Escalations {
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
        match &message.payload {
            Payload::EscalationRequested(request) => self.open(message, request).await.into(),
            Payload::EscalationDue(event) => self.look_again(context, message, event).await.into(),
            other => Outcome::Reject(format!("{} is no request for a human", other.name())),
        }
    }
}
