//! What other tasks are told of a call while it lasts here.

use std::{sync::Arc, time::Duration};

use domain::Timestamp;
use tokio_util::sync::DropGuard;

use crate::{
    call::{CallServices, token::StreamClaims},
    guard::SocketSlot,
};

/// How often the caller's socket is said to be in use.
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// Keeps what other tasks know of the call: who holds it, where its answers go, that the caller's socket is in use.
/// Where Redis was not told that the call, which began at `unrecorded`, is here, it is told now. Ends with the returned
/// guard.
pub(super) fn heartbeat(
    services: &Arc<CallServices>,
    claims: &StreamClaims,
    holder: &str,
    unrecorded: Option<Timestamp>,
    slot: Option<SocketSlot>,
) -> DropGuard {
    let alive = tokio_util::sync::CancellationToken::new();
    let (ended, services, call) = (alive.clone(), services.clone(), claims.call.clone());
    let (holder, attempt, tenant) = (holder.to_owned(), claims.attempt, claims.tenant);
    let runtime = services.runtime.clone();
    runtime.spawn(async move {
        let (cache, own_queue) = (&services.cache, &services.own_queue);
        let (mut unrecorded, mut is_listed) = (unrecorded, false);
        while !ended.is_cancelled() {
            if let Some(began_at) = unrecorded {
                let told = cache.attach_call(&call, attempt, &holder, own_queue, began_at).await;
                // A call that is over by then, or elsewhere, is refused: that is no reason to ask again.
                unrecorded = unrecorded.filter(|_| told.is_err());
            }
            if unrecorded.is_none() && !is_listed {
                let (listed, owned) = tokio::join!(
                    cache.add_call_of_edge(own_queue, &call),
                    cache.note_tenant(&call, &holder, tenant),
                );
                is_listed = listed.is_ok() && owned.is_ok();
            }
            if let Some(slot) = &slot {
                // Without Redis nobody counts.
                let _ = services.guard.renew_socket(slot).await;
            }
            tokio::select! {
                () = ended.cancelled() => {}
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
        }
        // Where they fail, whoever takes over what this task holds finds the call elsewhere, or over.
        let _ = cache.detach_call(&call, &holder).await;
        let _ = cache.remove_call_of_edge(own_queue, &call).await;
        if let Some(slot) = &slot {
            services.guard.release_socket(slot).await;
        }
    });
    alive.drop_guard()
}
