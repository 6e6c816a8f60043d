//! Agents of a tenant: configuration as data (C3).

use crate::{StoreError, TenantTx};

/// One agent, as its row has it. What `config` means is the orchestrator's business.
#[derive(Clone, PartialEq, Debug)]
pub struct AgentRow {
    /// Unique within the tenant.
    pub name: String,
    /// `greeting`, `task`, `fallback`, ...
    pub kind: String,
    /// A JSON object.
    pub config: serde_json::Value,
    /// Grows with every change.
    pub version: i64,
}

/// The tenant's agents that are switched on, by name.
pub async fn enabled(tx: &TenantTx) -> Result<Vec<AgentRow>, StoreError> {
    let rows = tx
        .query(
            "SELECT name, kind, config, version FROM agent_metadata WHERE enabled ORDER BY name",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|r| AgentRow { name: r.get(0), kind: r.get(1), config: r.get(2), version: r.get(3) })
        .collect())
}

/// One routing rule, as its row has it.
#[derive(Clone, PartialEq, Debug)]
pub struct RuleRow {
    /// Its id.
    pub id: uuid::Uuid,
    /// What has to be so; a JSON object.
    pub condition: serde_json::Value,
    /// Which agent takes the turn then.
    pub agent: String,
}

/// The tenant's rules that are switched on, in the order in which they are tried.
pub async fn rules(tx: &TenantTx) -> Result<Vec<RuleRow>, StoreError> {
    let sql = "SELECT id, condition, agent FROM routing_rules WHERE enabled ORDER BY priority, id";
    let rows = tx.query(sql, &[]).await?;
    let rule =
        |r: &tokio_postgres::Row| RuleRow { id: r.get(0), condition: r.get(1), agent: r.get(2) };
    Ok(rows.iter().map(rule).collect())
}
