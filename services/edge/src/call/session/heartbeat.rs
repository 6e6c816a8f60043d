//! What other tasks are told of a call while it lasts here.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::DropGuard;

use crate::{
    call::{CallServices, token::StreamClaims},
    guard::SocketSlot,
};

/// How often the caller's socket is said to be in use.
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// Keeps what other tasks know of the call: who holds it, where its answers go, that the caller's socket is in use.
/// Ends with the returned guard.
pub(super) fn heartbeat(
    services: &Arc<CallServices>,
    claims: &StreamClaims,
    holder: &str,
    slot: Option<SocketSlot>,
) -> DropGuard {
    let alive = tokio_util::sync::CancellationToken::new();
    let (ended, services, call) = (alive.clone(), services.clone(), claims.call.clone());
    let holder = holder.to_owned();
    let runtime = services.runtime.clone();
    runtime.spawn(async move {
        let mut routed = false;
        while !ended.is_cancelled() {
            if !routed {
                let (route, listed) = tokio::join!(
                    services.cache.set_edge_of(&call, &services.own_queue),
                    services.cache.add_call_of_edge(&services.own_queue, &call),
                );
                routed = route.is_ok() && listed.is_ok();
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
        let _ = services.cache.detach_call(&call, &holder).await;
        let _ = services.cache.remove_call_of_edge(&services.own_queue, &call).await;
        if let Some(slot) = &slot {
            services.guard.release_socket(slot).await;
        }
    });
    alive.drop_guard()
}
