//! What is done before and after a call besides the talk (C10). A hook is a type here and a line in [`all`]; a tenant
//! switches it on by its name in `features`.

mod follow_up;

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use dialogue_core::State;
use domain::{CallEnded, CallStarted, Envelope};

use crate::{outlet::Outlet, tenants::Tenant};

/// The call around which something is done.
pub(crate) struct Around<'a> {
    pub(crate) out: &'a dyn Outlet,
    pub(crate) tenant: &'a Tenant,
    /// The event that tells of the call's begin or end. What a hook sends follows from it, so that it may run twice.
    pub(crate) envelope: &'a Envelope,
}

/// Something done before or after a call. Events are delivered more than once, so both may run again.
#[async_trait]
pub(crate) trait CallHook: Send + Sync {
    /// What a tenant's `features` name it, one of `TenantSettings::FEATURES`.
    fn feature(&self) -> &'static str;

    /// Before the first turn. The caller hears the greeting meanwhile; what fails here is logged, and the call goes on.
    async fn before_call(&self, _: &Around<'_>, _: &CallStarted) -> anyhow::Result<()> {
        Ok(())
    }

    /// After the last turn, with the context as the talk left it. What fails here is tried again.
    async fn after_call(&self, _: &Around<'_>, _: &CallEnded, _: &State) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The hooks there are.
pub(crate) fn all() -> Vec<Arc<dyn CallHook>> {
    vec![Arc::new(follow_up::FollowUp)]
}

pub(crate) async fn before_call(
    hooks: &[Arc<dyn CallHook>],
    around: &Around<'_>,
    event: &CallStarted,
) {
    for hook in hooks.iter().filter(|hook| is_on(around.tenant, hook.as_ref())) {
        if let Err(error) = hook.before_call(around, event).await {
            let error = format!("{error:#}");
            tracing::warn!(hook = hook.feature(), error, "a hook before a call failed");
        }
    }
}

/// # Errors
/// Of the first hook that fails: all are run again.
pub(crate) async fn after_call(
    hooks: &[Arc<dyn CallHook>],
    around: &Around<'_>,
    event: &CallEnded,
    state: &State,
) -> anyhow::Result<()> {
    for hook in hooks.iter().filter(|hook| is_on(around.tenant, hook.as_ref())) {
        let done = hook.after_call(around, event, state).await;
        done.with_context(|| format!("run the hook {}", hook.feature()))?;
    }
    Ok(())
}

fn is_on(tenant: &Tenant, hook: &dyn CallHook) -> bool {
    tenant.settings.features.iter().any(|feature| feature == hook.feature())
}
