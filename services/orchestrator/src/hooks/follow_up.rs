use anyhow::Context as _;
use async_trait::async_trait;
use dialogue_core::State;
use domain::{CallEndReason, CallEnded, EscalationRequested, Timestamp};

use super::{Around, CallHook};

/// Asks the desk to call back who left before the appointment they were about was agreed.
pub(super) struct FollowUp;

#[async_trait]
impl CallHook for FollowUp {
    fn feature(&self) -> &'static str {
        "follow_up"
    }

    async fn after_call(
        &self,
        around: &Around<'_>,
        event: &CallEnded,
        state: &State,
    ) -> anyhow::Result<()> {
        // Who was put through has a human.
        if event.reason == CallEndReason::Transferred {
            return Ok(());
        }
        let Some(summary) = state.left_unfinished() else { return Ok(()) };
        let wanted = EscalationRequested { reason: self.feature().to_owned(), summary };
        let wanted = around.envelope.follow(self.feature(), Timestamp::now(), wanted);
        around.out.publish(&[wanted]).await.context("ask the desk to call back")
    }
}
