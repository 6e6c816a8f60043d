//! What is done before and after a call (C10), where a tenant wants it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use dialogue_core::State;
use domain::{CallEndReason, CallEnded, CallStarted, Heard, Payload, Turn};

use super::{
    desk::{GREETING, Outbox, Talk, World, rules},
    tools::clinic_with,
};
use crate::hooks::{Around, CallHook};

async fn clinic(features: &str) -> Option<World> {
    let world = clinic_with(vec![rules()]).await?;
    let sql = format!(
        "UPDATE tenants SET settings = settings || '{{\"features\": {features}}}' WHERE id = '{}'",
        world.tenant
    );
    world.db.owner().await.batch_execute(&sql).await.unwrap();
    world.shell.tenants.refresh().await.unwrap();
    Some(world)
}

fn whole(turn: u32, text: &str) -> Heard {
    Heard { turn: Turn(turn), text: text.into(), complete: true }
}

/// What the desk was asked for, by reason and summary.
fn wanted(out: &Outbox) -> Vec<(String, String)> {
    let escalation = |payload: Payload| match payload {
        Payload::EscalationRequested(e) => Some((e.reason, e.summary.reveal().to_owned())),
        _ => None,
    };
    out.all().into_iter().filter_map(|(_, e)| escalation(e.payload)).collect()
}

async fn asks_for_an_appointment(call: &Talk<'_>) {
    let words = call.says(1, "I need an appointment", Some(GREETING));
    call.handle(&Outbox::default(), &words).await.unwrap();
    let words = call.says(2, "My name is Ada Lovelace", Some("Sure. What name is it for?"));
    call.handle(&Outbox::default(), &words).await.unwrap();
}

#[tokio::test]
async fn who_leaves_in_the_middle_of_a_booking_is_called_back_where_a_tenant_wants_that() {
    let asked_back =
        ("follow_up".to_owned(), "Ada Lovelace left before an appointment was agreed.".to_owned());
    for (features, reason, expected) in [
        ("[\"follow_up\"]", CallEndReason::Caller, vec![asked_back]),
        ("[\"follow_up\"]", CallEndReason::Transferred, vec![]),
        ("[]", CallEndReason::Caller, vec![]),
    ] {
        let Some(world) = clinic(features).await else { return };
        let call = world.call().await;
        asks_for_an_appointment(&call).await;
        let out = Outbox::default();
        let heard = whole(2, "Thank you, Ada Lovelace. Which day would suit you?");
        call.ends_by(reason, heard.clone(), &out).await;
        assert_eq!(wanted(&out), expected, "{features}, {reason:?}");
        let again = Outbox::default();
        call.ends_by(reason, heard, &again).await;
        assert!(wanted(&again).is_empty(), "once");
    }
}

#[tokio::test]
async fn who_said_goodbye_is_left_alone() {
    let Some(world) = clinic("[\"follow_up\"]").await else { return };
    let call = world.call().await;
    call.handle(&Outbox::default(), &call.says(1, "goodbye", Some(GREETING))).await.unwrap();
    let out = Outbox::default();
    call.ends_by(CallEndReason::Agent, whole(1, "Thank you for calling. Goodbye."), &out).await;
    assert!(wanted(&out).is_empty());
}

/// Counts calls that begin, and fails.
struct Failing(AtomicUsize);

#[async_trait]
impl CallHook for Failing {
    fn feature(&self) -> &'static str {
        "follow_up"
    }

    async fn before_call(&self, _: &Around<'_>, _: &CallStarted) -> anyhow::Result<()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        anyhow::bail!("it does not work")
    }

    async fn after_call(&self, _: &Around<'_>, _: &CallEnded, _: &State) -> anyhow::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_call_goes_on_whatever_a_hook_before_it_does() {
    let Some(mut world) = clinic("[\"follow_up\"]").await else { return };
    let failing = Arc::new(Failing(AtomicUsize::new(0)));
    world.shell.hooks = vec![failing.clone()];
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &call.says(1, "I need an appointment", Some(GREETING))).await.unwrap();
    assert_eq!(out.texts(), ["Sure.", "What name is it for?"]);
    assert_eq!(failing.0.load(Ordering::SeqCst), 1);
}
