//! The agents.

use anyhow::Context as _;
use serde_json::json;

use super::{Sight, tenants};
use crate::ended::Ended;
use crate::print;

pub(super) async fn show(sight: &Sight, tenant: Option<&str>, json: bool) -> anyhow::Result<Ended> {
    let mut agents = Vec::new();
    for (tenant, slug) in tenants::meant(&sight.store, tenant).await? {
        let tx = sight.store.tenant(tenant).await.context("enter a tenant")?;
        let enabled = store::agents::enabled(&tx).await.context("read the agents")?;
        agents.extend(enabled.into_iter().map(|agent| (slug.clone(), agent)));
    }
    if print::is_for_programs(json) {
        let agents: Vec<_> = agents
            .iter()
            .map(|(slug, agent)| {
                json!({
                    "tenant": slug,
                    "agent": agent.name,
                    "kind": agent.kind,
                    "version": agent.version,
                    "config": agent.config,
                })
            })
            .collect();
        print::json(&agents.into())?;
    } else if !agents.is_empty() {
        let rows: Vec<_> = agents
            .iter()
            .map(|(slug, agent)| {
                let version = agent.version.to_string();
                [slug.clone(), agent.name.clone(), agent.kind.clone(), version]
            })
            .collect();
        print::say(&print::table(["TENANT", "AGENT", "KIND", "VERSION"], &rows))?;
    } else {
        // Nobody configured any: the orchestrator's own serve.
        print::note("no agents of their own");
    }
    Ok(if agents.is_empty() { Ended::Nothing } else { Ended::Done })
}
