//! What the orchestrator does with each event of its queue.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use boot::crash_point;
use bus::{Handler, Outcome};
use domain::{
    CallEnded, CallStarted, Envelope, MessageReceived, Payload, Timestamp, TransferUpdated, Turn,
};

use crate::{
    Shell,
    context::Context,
    hooks::{self, Around},
    ledger::TurnLedger,
    outlet::Outlet,
    tools,
    turn::TurnRun,
    voice_notes,
};

/// The handler of the orchestrator's queue.
pub struct Orchestrator {
    pub(crate) shell: Arc<Shell>,
}

#[async_trait]
impl Handler for Orchestrator {
    async fn handle(&self, context: &bus::Context, message: &Envelope) -> Outcome {
        match &message.payload {
            Payload::CallStarted(e) => call_started(&self.shell, context, message, e).await.into(),
            Payload::MessageReceived(e) => {
                message_received(&self.shell, context, message, e).await.into()
            }
            Payload::CallEnded(e) => call_ended(&self.shell, context, message, e).await.into(),
            Payload::TransferUpdated(e) => transfer_updated(&self.shell, message, e).await.into(),
            Payload::ReminderDue(e) => {
                tools::reminder_due(&self.shell, context, message, e).await.into()
            }
            other => Outcome::Reject(format!("{} is not for the orchestrator", other.name())),
        }
    }
}

/// Puts the context of a new call in place. One that has turns in it already is left alone: the
/// event came again, or the call came back to us (DESIGN 5).
pub(crate) async fn call_started(
    shell: &Shell,
    out: &dyn Outlet,
    envelope: &Envelope,
    event: &CallStarted,
) -> anyhow::Result<()> {
    let tenant = shell.tenants.get(envelope.tenant);
    let mut context = Context::load(&shell.cache, &shell.store, &tenant.desk, envelope).await;
    if context.state.agent.is_none() && context.state.last_turn == Turn::GREETING {
        context.state = tenant.desk.call_started(&event.greeting);
        context.save(&shell.cache, envelope.conversation).await?;
        hooks::before_call(&shell.hooks, &Around { out, tenant: &tenant, envelope }, event).await;
    }
    Ok(())
}

/// How long after a person's words Redis is waited for where an earlier run of the turn may have said something that stands in
/// the ledger: who goes on without it may say something else.
const LEDGER_WITHIN: Duration = Duration::from_secs(8);

/// Answers a person's turn.
pub(crate) async fn message_received(
    shell: &Shell,
    out: &dyn Outlet,
    envelope: &Envelope,
    event: &MessageReceived,
) -> anyhow::Result<()> {
    let started_at = Timestamp::now();
    crash_point("orchestrator.received");
    let tenant = shell.tenants.get(envelope.tenant);
    let loading = Context::load(&shell.cache, &shell.store, &tenant.desk, envelope);
    let patience = match out.is_repeated() {
        true => LEDGER_WITHIN.saturating_sub(started_at.since(envelope.occurred_at)),
        false => Duration::ZERO,
    };
    let open = |turn| TurnLedger::open(&shell.cache, envelope.conversation, turn, patience);
    let run_of = |turn, message| {
        let call = event.call.clone();
        TurnRun { shell, out, tenant: &tenant, envelope, message, turn, call, started_at }
    };
    let with_words;
    // Someone waits: what can be asked for together takes one round trip.
    let (context, ledger, run, was_fenced) = if envelope.channel.is_spoken() {
        let run = run_of(envelope.turn, event);
        let (context, ledger, was_fenced) =
            tokio::join!(loading, open(envelope.turn), run.is_fenced());
        (context, ledger, run, was_fenced)
    } else {
        let with_human = shell.cache.is_with_human(envelope.conversation);
        let (with_human, context) = tokio::join!(with_human, loading);
        // Without Redis the agent answers: better twice than never.
        if with_human.unwrap_or(false) {
            metrics::counter!("orchestrator_turns_left_to_human_total").increment(1);
            return Ok(());
        }
        with_words = voice_notes::with_words(&shell.cache, envelope, event).await;
        let last = context.state.last_turn;
        let numbering = shell.cache.next_turn(envelope.conversation, envelope.event_id, last);
        let (turn, ledger) = tokio::join!(numbering, open(last.next()));
        let turn = turn.context("number the turn of the chat")?;
        // A message that came before has the number it got then.
        let ledger = if turn == last.next() { ledger } else { open(turn).await };
        (context, ledger, run_of(turn, with_words.as_ref().unwrap_or(event)), false)
    };
    if run.turn < context.state.last_turn {
        // Delivered again long after: later turns have built on it.
        metrics::counter!("orchestrator_turns_stale_total").increment(1);
        return Ok(());
    }
    run.run(context, ledger, was_fenced).await
}

/// Takes in what was heard of the last reply and closes the context.
pub(crate) async fn call_ended(
    shell: &Shell,
    out: &dyn Outlet,
    envelope: &Envelope,
    event: &CallEnded,
) -> anyhow::Result<()> {
    let tenant = shell.tenants.get(envelope.tenant);
    let mut context = Context::load(&shell.cache, &shell.store, &tenant.desk, envelope).await;
    if context.state.ended {
        return Ok(());
    }
    context.state.call_ended(event.heard.as_ref());
    // Before the end is kept: what fails is tried again.
    let around = Around { out, tenant: &tenant, envelope };
    hooks::after_call(&shell.hooks, &around, event, &context.state).await?;
    context.save(&shell.cache, envelope.conversation).await
}

/// Takes in what was heard of the reply that announced a transfer: the caller may come back (A7).
pub(crate) async fn transfer_updated(
    shell: &Shell,
    envelope: &Envelope,
    event: &TransferUpdated,
) -> anyhow::Result<()> {
    let Some(heard) = &event.heard else { return Ok(()) };
    let tenant = shell.tenants.get(envelope.tenant);
    let mut context = Context::load(&shell.cache, &shell.store, &tenant.desk, envelope).await;
    context.state.hear(Some(heard));
    context.save(&shell.cache, envelope.conversation).await
}
