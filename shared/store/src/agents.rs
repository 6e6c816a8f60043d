//! Agents of a tenant: configuration as data (C3).

use domain::Timestamp;
use uuid::Uuid;

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

/// An agent as those who configure it see it: switched off ones too.
#[derive(Clone, PartialEq, Debug)]
pub struct AgentEntry {
    /// The row.
    pub row: AgentRow,
    /// Whether it takes part.
    pub enabled: bool,
    /// When its newest version was made.
    pub updated_at: Timestamp,
}

const ENTRY: &str = "name, kind, config, version, enabled, updated_at";

/// All agents of the tenant, by name.
pub async fn all(tx: &TenantTx) -> Result<Vec<AgentEntry>, StoreError> {
    let sql = format!("SELECT {ENTRY} FROM agent_metadata ORDER BY name");
    Ok(tx.query(&sql, &[]).await?.iter().map(entry_of).collect())
}

/// One agent.
pub async fn find(tx: &TenantTx, name: &str) -> Result<Option<AgentEntry>, StoreError> {
    let sql = format!("SELECT {ENTRY} FROM agent_metadata WHERE name = $1");
    Ok(tx.query_opt(&sql, &[&name]).await?.as_ref().map(entry_of))
}

/// As [`find`], held until the end of the transaction, so that two changes come one after the other.
pub async fn find_for_change(tx: &TenantTx, name: &str) -> Result<Option<AgentEntry>, StoreError> {
    let sql = format!("SELECT {ENTRY} FROM agent_metadata WHERE name = $1 FOR NO KEY UPDATE");
    Ok(tx.query_opt(&sql, &[&name]).await?.as_ref().map(entry_of))
}

/// Puts a new version of an agent in the place of the one before. The same again makes none. What the dialogue core refuses
/// must not come here.
pub async fn put(
    tx: &TenantTx,
    (name, kind): (&str, &str),
    config: &serde_json::Value,
    enabled: bool,
) -> Result<AgentEntry, StoreError> {
    let sql = format!(
        "INSERT INTO agent_metadata (tenant, name, kind, config, enabled) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant, name) DO UPDATE
            SET kind = excluded.kind, config = excluded.config, enabled = excluded.enabled
         RETURNING {ENTRY}"
    );
    let row = tx.query_opt(&sql, &[tx.id(), &name, &kind, config, &enabled]).await?;
    row.as_ref().map(entry_of).ok_or(StoreError::NoTenant)
}

fn entry_of(r: &tokio_postgres::Row) -> AgentEntry {
    let row = AgentRow { name: r.get(0), kind: r.get(1), config: r.get(2), version: r.get(3) };
    let updated_at = r.get::<_, std::time::SystemTime>(5).into();
    AgentEntry { row, enabled: r.get(4), updated_at }
}

/// A routing rule as those who configure it see it: switched off ones too.
#[derive(Clone, PartialEq, Debug)]
pub struct RuleEntry {
    /// The row.
    pub row: RuleRow,
    /// Rules are tried from the lowest on.
    pub priority: i32,
    /// Whether it is tried.
    pub enabled: bool,
}

/// All rules of the tenant, in the order in which they are tried.
pub async fn all_rules(tx: &TenantTx) -> Result<Vec<RuleEntry>, StoreError> {
    let sql = "SELECT id, condition, agent, priority, enabled FROM routing_rules
         ORDER BY priority, id";
    Ok(tx.query(sql, &[]).await?.iter().map(rule_of).collect())
}

/// One rule.
pub async fn rule(tx: &TenantTx, id: Uuid) -> Result<Option<RuleEntry>, StoreError> {
    let sql = "SELECT id, condition, agent, priority, enabled FROM routing_rules WHERE id = $1";
    Ok(tx.query_opt(sql, &[&id]).await?.as_ref().map(rule_of))
}

/// As [`rule`], held until the end of the transaction, so that two changes come one after the other.
pub async fn rule_for_change(tx: &TenantTx, id: Uuid) -> Result<Option<RuleEntry>, StoreError> {
    let sql = "SELECT id, condition, agent, priority, enabled FROM routing_rules WHERE id = $1
         FOR NO KEY UPDATE";
    Ok(tx.query_opt(sql, &[&id]).await?.as_ref().map(rule_of))
}

/// Adds a rule, or puts it in the place of the one with its id. Its agent is one of the tenant's rows.
pub async fn put_rule(tx: &TenantTx, rule: &RuleEntry) -> Result<(), StoreError> {
    let RuleEntry { row: RuleRow { id, condition, agent }, priority, enabled } = rule;
    tx.execute(
        "INSERT INTO routing_rules (tenant, id, priority, condition, agent, enabled)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant, id) DO UPDATE SET priority = excluded.priority,
            condition = excluded.condition, agent = excluded.agent, enabled = excluded.enabled",
        &[tx.id(), id, priority, condition, agent, enabled],
    )
    .await?;
    Ok(())
}

/// Removes a rule; `false` where there is none.
pub async fn remove_rule(tx: &TenantTx, id: Uuid) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM routing_rules WHERE id = $1", &[&id]).await? > 0)
}

fn rule_of(r: &tokio_postgres::Row) -> RuleEntry {
    let row = RuleRow { id: r.get(0), condition: r.get(1), agent: r.get(2) };
    RuleEntry { row, priority: r.get(3), enabled: r.get(4) }
}
