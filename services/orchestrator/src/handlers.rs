//! What the orchestrator does with each event of its queue.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use boot::crash_point;
use bus::{Handler, Outcome};
use domain::{
    CallEnded, CallStarted, Envelope, MessageKind, MessageReceived, Payload, Timestamp,
    TransferUpdated, Turn,
};
use store::{effects, escalations};
use tokio::time::timeout;

use crate::{
    Shell, attachments,
    context::{self, Context, Kept},
    hooks::{self, Around},
    ledger::TurnLedger,
    outlet::Outlet,
    tenants::Tenant,
    tools,
    turn::{REPLY, TurnRun},
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
            Payload::MessageReceived(e) => message_received(&self.shell, context, message, e)
                .await
                .unwrap_or_else(Outcome::retry),
            Payload::CallEnded(e) => call_ended(&self.shell, context, message, e).await.into(),
            Payload::TransferUpdated(e) => transfer_updated(&self.shell, message, e).await.into(),
            Payload::ReminderDue(e) => {
                tools::reminder_due(&self.shell, context, message, e).await.into()
            }
            Payload::AppointmentChanged(e) => {
                tools::appointment_changed(&self.shell, context, message, e).await.into()
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

/// Why a message that is replayed is passed over.
const WITH_HUMAN: &str = "a human has the chat";
const OVERTAKEN: &str = "overtaken: the conversation has moved on";
const HALF_DONE: &str = "overtaken: what it asked for was done, and the conversation has moved on";
const TOO_LATE: &str = "too late: nobody on the call waits for the answer any more";

/// Answers a person's turn, unless that is too late.
pub(crate) async fn message_received(
    shell: &Shell,
    out: &dyn Outlet,
    envelope: &Envelope,
    event: &MessageReceived,
) -> anyhow::Result<Outcome> {
    if matches!(event.kind, MessageKind::Keyword(_)) {
        // The border has answered it.
        return Ok(Outcome::Done);
    }
    let started_at = Timestamp::now();
    crash_point("orchestrator.received");
    let tenant = shell.tenants.get(envelope.tenant);
    let patience = match out.is_repeated() {
        true => LEDGER_WITHIN.saturating_sub(started_at.since(envelope.occurred_at)),
        false => Duration::ZERO,
    };
    let open = |turn| TurnLedger::open(&shell.cache, envelope.conversation, turn, patience);
    let run_of = |turn, message| {
        let call = event.call.clone();
        let tenant = &tenant;
        let (attachment, quoted) = (None, None);
        TurnRun {
            shell,
            out,
            tenant,
            envelope,
            message,
            attachment,
            quoted,
            turn,
            call,
            started_at,
        }
    };
    let with_words;
    // Someone waits: what can be asked for together takes one round trip.
    let (context, ledger, run, was_fenced) = if envelope.channel.is_spoken() {
        let run = run_of(envelope.turn, event);
        let loading = Context::load(&shell.cache, &shell.store, &tenant.desk, envelope);
        let (context, ledger, was_fenced) =
            tokio::join!(loading, open(envelope.turn), run.is_fenced());
        (context, ledger, run, was_fenced)
    } else {
        let marked = shell.cache.is_with_human(envelope.conversation);
        let kept = Kept::read(&shell.cache, envelope.conversation);
        let (marked, kept) = tokio::join!(marked, kept);
        let (marked, has_context) = (marked.ok(), kept.was_in_redis());
        let (is_theirs, context) = tokio::join!(
            is_with_human(shell, &tenant, envelope, marked, has_context),
            kept.or_rebuilt(&shell.store, &tenant.desk, envelope),
        );
        if is_theirs {
            metrics::counter!("orchestrator_turns_left_to_human_total").increment(1);
            return Ok(Outcome::PassedOver(WITH_HUMAN));
        }
        let attachment = attachments::of_message(shell, envelope, event);
        let (words, attachment, quoted) = tokio::join!(
            voice_notes::with_words(&shell.cache, envelope, event),
            attachment,
            context::quoted(&shell.store, envelope, event),
        );
        with_words = words;
        let last = context.state.last_turn;
        let numbering = shell.cache.next_turn(envelope.conversation, envelope.event_id, last);
        let (turn, ledger) = tokio::join!(numbering, open(last.next()));
        let turn = turn.context("number the turn of the chat")?;
        let turn = match turn_of_replay(shell, envelope, turn, last).await? {
            Ok(turn) => turn,
            Err(outcome) => return Ok(outcome),
        };
        // A message that came before has the number it got then.
        let ledger = if turn == last.next() { ledger } else { open(turn).await };
        let run = run_of(turn, with_words.as_ref().unwrap_or(event));
        (context, ledger, TurnRun { attachment, quoted, ..run }, false)
    };
    if run.turn < context.state.last_turn {
        // Delivered again long after: later turns have built on it.
        metrics::counter!("orchestrator_turns_stale_total").increment(1);
        return Ok(Outcome::PassedOver(OVERTAKEN));
    }
    let is_new = ledger.finished().is_none() && !context.state.has(run.turn);
    let is_too_late = is_new && run.is_late();
    run.run(context, ledger, was_fenced).await?;
    if matches!(event.kind, MessageKind::Edited { .. } | MessageKind::Revoked { .. })
        // The history has what it says now; the context would go on with what it said before.
        && let Err(error) = shell.cache.forget_context(envelope.conversation).await
    {
        tracing::warn!(%error, "agents still know what a person changed or took back");
    }
    Ok(if is_too_late { Outcome::PassedOver(TOO_LATE) } else { Outcome::Done })
}

/// The turn in which a chat's message is answered, `turn` being the one it was given first and `last` the last that was
/// answered. A replay that was overtaken gets a turn of its own; what came of it, where it was answered or had an effect
/// before.
async fn turn_of_replay(
    shell: &Shell,
    envelope: &Envelope,
    mut turn: Turn,
    last: Turn,
) -> anyhow::Result<Result<Turn, Outcome>> {
    let conversation = envelope.conversation;
    let reply = envelope.event_id.child(REPLY);
    for replays in 1..=envelope.replays {
        if turn >= last {
            break;
        }
        let ledger = TurnLedger::open(&shell.cache, conversation, turn, Duration::ZERO).await;
        let tx = shell.store.tenant(envelope.tenant).await.context("look for its answer")?;
        let left = effects::left_by(&tx, conversation, turn, reply).await;
        let left = left.context("look for its answer")?;
        if left.reply || ledger.finished().is_some() {
            return Ok(Err(Outcome::Done));
        }
        if left.effect {
            return Ok(Err(Outcome::PassedOver(HALF_DONE)));
        }
        let replay = envelope.event_id.of_replay(replays);
        let numbering = shell.cache.next_turn(conversation, replay, last).await;
        turn = numbering.context("number the turn of the replay")?;
    }
    Ok(Ok(turn))
}

/// How long the database is asked who has a chat; a person waits.
const HOLDER_WITHIN: Duration = Duration::from_millis(1500);

/// Whether a human has the chat (A7). The database has the word, and is asked where Redis says so, or may have lost what it knew:
/// it has no context either. Without the database the mark counts, and without both the agent answers: better twice than never.
async fn is_with_human(
    shell: &Shell,
    tenant: &Tenant,
    envelope: &Envelope,
    marked: Option<bool>,
    has_context: bool,
) -> bool {
    if marked == Some(false) && has_context {
        return false;
    }
    let asked = async {
        let tx = shell.store.tenant(envelope.tenant).await?;
        let idle_since = Timestamp::now().minus(tenant.settings.chat_handover.idle_after);
        escalations::is_taken(&tx, envelope.conversation, idle_since).await
    };
    match timeout(HOLDER_WITHIN, asked).await {
        Ok(Ok(is_taken)) => is_taken,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the database cannot say who has a chat");
            marked.unwrap_or(false)
        }
        Err(_) => marked.unwrap_or(false),
    }
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
