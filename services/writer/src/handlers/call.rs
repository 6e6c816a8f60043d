use domain::{CallEnded, CallStarted, Envelope, RecordingFinished, TransferUpdated};
use store::{
    StoreError, TenantTx, calls, conversations, messages,
    users::{self, Identity},
};

use crate::traces;

/// The call, who rang, and the greeting as the agent's message of turn 0.
pub(super) async fn started(
    tx: &TenantTx,
    of: &Envelope,
    e: &CallStarted,
) -> Result<(), StoreError> {
    let caller: Vec<Identity> = Identity::phone(&e.from).into_iter().collect();
    let user = users::note(tx, &caller, None, of.occurred_at).await?;
    conversations::note(tx, of, Some(&e.to), user).await?;
    calls::started(tx, of, e).await?;
    messages::greeted(tx, of, e).await
}

/// The call's end, and what was heard of the last reply.
pub(super) async fn ended(tx: &TenantTx, of: &Envelope, e: &CallEnded) -> Result<(), StoreError> {
    conversations::note(tx, of, None, None).await?;
    conversations::end(tx, of).await?;
    calls::ended(tx, of, e).await?;
    traces::schedule(tx, of).await?;
    match &e.heard {
        Some(heard) => messages::heard(tx, of, heard).await,
        None => Ok(()),
    }
}

/// Where the recording lies.
pub(super) async fn recorded(
    tx: &TenantTx,
    of: &Envelope,
    e: &RecordingFinished,
) -> Result<(), StoreError> {
    conversations::note(tx, of, None, None).await?;
    calls::recorded(tx, of, e).await
}

/// How the handing over to a human stands, and what was heard of the reply that announced it.
pub(super) async fn transferred(
    tx: &TenantTx,
    of: &Envelope,
    e: &TransferUpdated,
) -> Result<(), StoreError> {
    conversations::note(tx, of, None, None).await?;
    calls::transferred(tx, of, e).await?;
    match &e.heard {
        Some(heard) => messages::heard(tx, of, heard).await,
        None => Ok(()),
    }
}
