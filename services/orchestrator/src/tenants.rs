//! Every tenant's settings and agents, held in memory and refreshed (C3).

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use dialogue_core::{Agent, AgentKind, Desk, Rule, default_agents};
use domain::{Address, TenantId, TenantSettings};
use store::{
    Store, StoreError, addresses,
    agents::{self, AgentRow, RuleRow},
    appointments, tenants,
};
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
    fn new(settings: TenantSettings, desk: Desk, addresses: Vec<Address>) -> Self {
        Self { settings, desk, addresses }
    }
}

/// What of a tenant could not be used, and why.
pub(crate) type Refused = (TenantId, String);

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
            let desk = Desk::new(&settings, default_agents());
            Arc::new(Tenant::new(settings, desk, Vec::new()))
        })
    }

    /// Every tenant there is, as far as is known.
    pub(crate) fn ids(&self) -> Vec<TenantId> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Reads every tenant's settings and agents.
    ///
    /// # Errors
    /// When PostgreSQL cannot be asked; what was known stays.
    pub(crate) async fn refresh(&self) -> Result<Vec<Refused>, StoreError> {
        let mut all = tenants::settings(&self.store).await?;
        for (_, reason) in &mut all.refused {
            reason.insert_str(0, "settings: ");
        }
        let mut addresses: HashMap<TenantId, Vec<Address>> = HashMap::new();
        for address in addresses::all(&self.store).await? {
            addresses.entry(address.tenant).or_default().push(address);
        }
        let mut held = HashMap::new();
        for settings in all.good {
            let tx = self.store.tenant(settings.tenant).await?;
            let rows = agents::enabled(&tx).await?;
            let rules = agents::rules(&tx).await?;
            let services = appointments::service_names(&tx).await?;
            let before = self.get(settings.tenant);
            let mut refuse = |reason| all.refused.push((settings.tenant, reason));
            let agents = agents_of(rows, before.desk.agents(), &mut refuse);
            let desk = Desk::new(&settings, agents).with_services(services);
            let rules = rules_of(rules, desk.agents(), &mut refuse);
            let own = addresses.remove(&settings.tenant).unwrap_or_default();
            let tenant = Tenant::new(settings, desk.with_rules(rules), own);
            held.insert(tenant.settings.tenant, Arc::new(tenant));
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
                    .map(|(tenant, reason)| format!("tenant {tenant}: {reason}"))
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

/// The agents a tenant's rows name; the built-in ones where it names none. An agent whose row cannot be used stays as it
/// was `before`; a kind this release does not know is left out.
fn agents_of(rows: Vec<AgentRow>, before: &[Agent], refuse: &mut impl FnMut(String)) -> Vec<Agent> {
    let mut agents = Vec::new();
    for row in rows {
        let AgentRow { name, kind, config, version } = row;
        let is_second = |agent: &Agent| !agent.kind.has_turns();
        let read = match AgentKind::parse(&kind) {
            Some(kind) if !kind.has_turns() && agents.iter().any(is_second) => {
                Err("kind: another agent is the intent classifier".to_owned())
            }
            Some(kind) => Agent::read(&name, kind, &config),
            None => Err(format!("kind: {kind:?} is not known")),
        };
        match read {
            Ok(agent) => agents.push(agent),
            Err(reason) => {
                refuse(format!("agent {name:?}, version {version}: {reason}"));
                agents.extend(before.iter().find(|a| a.name == name).cloned());
            }
        }
    }
    if agents.is_empty() { default_agents() } else { agents }
}

/// A rule that cannot be used is left out: its turns go to whom the agents' own judgement sends them.
fn rules_of(rows: Vec<RuleRow>, agents: &[Agent], refuse: &mut impl FnMut(String)) -> Vec<Rule> {
    let mut rules = Vec::new();
    for row in rows {
        match Rule::read(&row.agent, &row.condition, agents) {
            Ok(rule) => rules.push(rule),
            Err(reason) => refuse(format!("rule {}: {reason}", row.id)),
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(name: &str, kind: &str, config: serde_json::Value) -> AgentRow {
        AgentRow { name: name.into(), kind: kind.into(), config, version: 3 }
    }

    #[test]
    fn a_tenants_rows_make_its_agents_and_bad_ones_are_refused_with_the_reason() {
        let before = [Agent::read("moody", AgentKind::Task, &json!({})).unwrap()];
        let mut refused = Vec::new();
        let agents = agents_of(
            vec![
                row(
                    "welcome",
                    "greeting",
                    json!({"instructions": "Be brief.", "tools": [], "keeps_above": 0.8, "wins_from": 0.6,
                           "language": "fr-CA", "voice": "aura-2-agathe-fr"}),
                ),
                row("odd", "telepathy", json!({})),
                row("moody", "task", json!({"tools": ["find_slots", "fly"]})),
                row("typo", "task", json!({"instruction": "Be brief."})),
                row("what", "intent_classifier", json!({"wins_from": 0.6})),
                row("what2", "intent_classifier", json!({})),
            ],
            &before,
            &mut |reason| refused.push(reason),
        );
        let expected = Agent {
            name: "welcome".into(),
            kind: AgentKind::Greeting,
            instructions: "Be brief.".into(),
            tools: Vec::new(),
            keeps_above_percent: Some(80),
            wins_from_percent: Some(60),
            language: Some("fr-CA".into()),
            voice: Some("aura-2-agathe-fr".into()),
        };
        assert_eq!(agents[..2], [expected, before[0].clone()], "what was good before stays");
        assert_eq!((agents.len(), agents[2].name.as_str()), (3, "what"));
        assert_eq!(refused.len(), 4);
        assert!(
            refused[0].contains("agent \"odd\", version 3: kind: \"telepathy\""),
            "{refused:?}"
        );
        assert!(refused[1].contains("tools: \"fly\" is none of find_slots"), "{refused:?}");
        assert!(refused[2].contains("unknown field `instruction`"), "{refused:?}");
        assert!(refused[3].contains("another agent is the intent classifier"), "{refused:?}");
        assert_eq!(agents_of(Vec::new(), &[], &mut |_| {}), default_agents());
    }
}
