//! Every tenant's settings and agents, held in memory and refreshed (C3).

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use dialogue_core::{Agent, AgentKind, Desk, default_agents};
use domain::{Address, TenantId, TenantSettings};
use store::{Store, StoreError, addresses, agents, agents::AgentRow, tenants};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A change is seen by every task within this time (C3).
const REFRESH_EVERY: Duration = Duration::from_secs(5);

/// A tenant, ready to answer.
pub(crate) struct Tenant {
    pub(crate) settings: TenantSettings,
    pub(crate) desk: Desk,
    /// Where the tenant can be reached, and so where it can write from.
    pub(crate) addresses: Vec<Address>,
}

impl Tenant {
    fn new(settings: TenantSettings, agents: Vec<Agent>, addresses: Vec<Address>) -> Self {
        let desk = Desk::new(&settings, agents);
        Self { settings, desk, addresses }
    }
}

/// The tenants as they were last read. While PostgreSQL is away the last known ones serve; one that
/// was never read gets default settings and the built-in agents, so that a caller is answered.
pub(crate) struct Tenants {
    store: Store,
    held: RwLock<HashMap<TenantId, Arc<Tenant>>>,
}

impl Tenants {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, held: RwLock::default() }
    }

    pub(crate) fn get(&self, tenant: TenantId) -> Arc<Tenant> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned();
        held.unwrap_or_else(|| {
            let settings = TenantSettings { tenant, ..TenantSettings::default() };
            Arc::new(Tenant::new(settings, default_agents(), Vec::new()))
        })
    }

    /// Reads every tenant's settings and agents.
    ///
    /// # Errors
    /// When PostgreSQL cannot be asked; what was known stays.
    pub(crate) async fn refresh(&self) -> Result<Vec<(TenantId, String)>, StoreError> {
        let all = tenants::settings(&self.store).await?;
        let mut addresses: HashMap<TenantId, Vec<Address>> = HashMap::new();
        for address in addresses::all(&self.store).await? {
            addresses.entry(address.tenant).or_default().push(address);
        }
        let mut held = HashMap::new();
        for settings in all.good {
            let tx = self.store.tenant(settings.tenant).await?;
            let agents = agents_of(agents::enabled(&tx).await?);
            let own = addresses.remove(&settings.tenant).unwrap_or_default();
            held.insert(settings.tenant, Arc::new(Tenant::new(settings, agents, own)));
        }
        let mut standing = self.held.write().unwrap_or_else(PoisonError::into_inner);
        // A tenant whose settings became unusable keeps the last ones that were not.
        for (tenant, _) in &all.refused {
            if let Some(known) = standing.get(tenant) {
                held.entry(*tenant).or_insert_with(|| known.clone());
            }
        }
        *standing = held;
        Ok(all.refused)
    }

    /// Refreshes until `stop`. Trouble is logged when it begins and when it changes, not every time.
    pub(crate) async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let mut said = Vec::new();
        loop {
            let trouble: Vec<String> = match self.refresh().await {
                Ok(refused) => refused
                    .into_iter()
                    .map(|(tenant, reason)| format!("settings of tenant {tenant}: {reason}"))
                    .collect(),
                Err(error) => vec![format!("tenants cannot be read: {error}")],
            };
            for problem in trouble.iter().filter(|t| !said.contains(*t)) {
                tracing::warn!(%problem, "tenants are as they were");
            }
            said = trouble;
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(REFRESH_EVERY) => {}
            }
        }
    }
}

/// The agents a tenant's rows name; the built-in ones where it names none. A kind this release does
/// not know is left out.
fn agents_of(rows: Vec<AgentRow>) -> Vec<Agent> {
    let known: Vec<Agent> = rows.into_iter().filter_map(agent_of).collect();
    if known.is_empty() { default_agents() } else { known }
}

fn agent_of(row: AgentRow) -> Option<Agent> {
    let kind = match row.kind.as_str() {
        "greeting" => AgentKind::Greeting,
        "task" => AgentKind::Task,
        "fallback" => AgentKind::Fallback,
        _ => return None,
    };
    let built_in = default_agents().into_iter().find(|a| a.kind == kind);
    let instructions = match row.config.get("instructions").and_then(|i| i.as_str()) {
        Some(own) => own.to_owned(),
        None => built_in.map(|a| a.instructions).unwrap_or_default(),
    };
    Some(Agent { name: row.name, kind, instructions })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(name: &str, kind: &str, config: serde_json::Value) -> AgentRow {
        AgentRow { name: name.into(), kind: kind.into(), config, version: 1 }
    }

    #[test]
    fn a_tenants_rows_make_its_agents() {
        let agents = agents_of(vec![
            row("welcome", "greeting", json!({"instructions": "Be brief."})),
            row("odd", "telepathy", json!({})),
        ]);
        let expected = Agent {
            name: "welcome".into(),
            kind: AgentKind::Greeting,
            instructions: "Be brief.".into(),
        };
        assert_eq!(agents, [expected]);
        assert_eq!(agents_of(Vec::new()), default_agents());
    }
}
