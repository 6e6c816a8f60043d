//! Agents and the rules that route to them, as data (C3). What is put here is read by the code that every task reads it by, so
//! that what would be refused there is refused here, with the same reason.

use actix_web::{HttpRequest, web};
use dialogue_core::{Agent as Read, AgentKind, Rule};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::{
    TenantTx,
    agents::{self, AgentEntry, RuleEntry, RuleRow},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, IfMatch, Reply, Success},
    caller::As,
    read::{self, Moment, moment},
    role::{Developer, ReadOnly},
    write::{Change, Done},
};

const WHAT: &str = "agent";
const RULE: &str = "routing rule";
const LONGEST_NAME: usize = 40;
/// Each is asked in every turn.
const MOST_AGENTS: usize = 50;
/// Each is tried in every turn.
const MOST_RULES: usize = 500;

/// An agent, as it is configured.
#[derive(Serialize, ToSchema)]
pub struct Agent {
    /// Its name.
    #[schema(example = "reception")]
    pub name: String,
    /// `greeting`, `task`, `information_retrieval`, `fallback`, `intent_classifier` (one of a tenant; it never has a turn).
    #[schema(example = "task")]
    pub kind: String,
    /// What it is told, and what it may use.
    #[schema(value_type = Object, example = json!({"instructions": "Be brief.", "tools": ["find_slots"]}))]
    pub config: Value,
    /// Whether it takes part.
    pub enabled: bool,
    /// Grows with every change.
    #[schema(example = 3)]
    pub version: i64,
    /// When this version was made.
    pub updated_at: Moment,
}

impl From<AgentEntry> for Agent {
    fn from(AgentEntry { row, enabled, updated_at }: AgentEntry) -> Self {
        Self {
            name: row.name,
            kind: row.kind,
            config: row.config,
            enabled,
            version: row.version,
            updated_at: moment(updated_at),
        }
    }
}

/// A new version of an agent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedAgent {
    /// `greeting`, `task`, `information_retrieval`, `fallback`, `intent_classifier` (one of a tenant; it never has a turn).
    #[schema(min_length = 1, max_length = 40, example = "task")]
    kind: String,
    /// What it is told, and what it may use; what is left out is as with the built-in agent of the kind.
    #[schema(value_type = Object, example = json!({"instructions": "Be brief.", "tools": ["find_slots"]}))]
    config: Map<String, Value>,
    /// Whether it takes part; it does unless said.
    enabled: Option<bool>,
    /// The version that it takes the place of, 0 for none: 409 `changed` where somebody else was first. Not looked at unless
    /// said.
    #[schema(minimum = 0, example = 3)]
    version: Option<i64>,
}

/// Agents
///
/// Those that the tenant has configured, switched off ones too; a tenant without any has the usual ones.
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents",
    responses((status = 200, description = "All of them, by name", body = inline(Success<Vec<Agent>>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn list(caller: As<ReadOnly>) -> Answer<Vec<Agent>> {
    let tx = caller.begin().await?;
    Ok(Reply::tagged(agents::all(&tx).await?.into_iter().map(Agent::from).collect()))
}

/// One agent
#[utoipa::path(get, path = "/api/v1/agents/{id}", tag = "agents",
    params(("id" = String, Path, description = "Its name", example = "reception")),
    responses((status = 200, description = "It", body = inline(Success<Agent>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn show(caller: As<ReadOnly>, request: HttpRequest) -> Answer<Agent> {
    let name = name_of(&request).ok_or_else(|| ApiError::not_found(WHAT))?;
    let tx = caller.begin().await?;
    let found = agents::find(&tx, name).await?;
    Ok(Reply::tagged(found.ok_or_else(|| ApiError::not_found(WHAT))?.into()))
}

/// Put a version of an agent
///
/// For developers. In force on every task within some seconds. What the tasks could not use is refused, with the reason. The
/// same again is no new version.
#[utoipa::path(put, path = "/api/v1/agents/{id}", tag = "agents", request_body = WantedAgent,
    params(("id" = String, Path, description = "Its name: up to 40 small letters, digits, `-` and `_`", example = "reception")),
    responses((status = 200, description = "As it is now", body = inline(Success<Agent>))))]
pub async fn put(caller: As<Developer>, request: HttpRequest, body: web::Payload) -> Answer<Value> {
    let (change, body) = Change::read(&caller, &request, body).await?;
    let name = name_of(&request).ok_or_else(|| {
        ApiError::parameter("id", "must have up to 40 small letters, digits, `-` and `_`")
    })?;
    let wanted: WantedAgent = body.json()?;
    let known = AgentKind::parse(&wanted.kind);
    let kind = known.ok_or_else(|| {
        ApiError::field("kind", &format!("is none of {}", AgentKind::NAMES.join(", ")))
    })?;
    let config = Value::Object(wanted.config);
    Read::read(name, kind, &config).map_err(|fault| ApiError::field("config", &fault))?;
    change
        .make(async |tx| {
            let before = agents::find_for_change(tx, name).await?;
            let version = before.as_ref().map_or(0, |before| before.row.version);
            if wanted.version.is_some_and(|expected| expected != version) {
                return Err(ApiError::conflict("changed", "there is another version by now"));
            }
            let all = agents::all(tx).await?;
            if before.is_none() && all.len() >= MOST_AGENTS {
                return Err(ApiError::conflict("too_many", "there are 50 agents already"));
            }
            let enabled = wanted.enabled.unwrap_or(true);
            let is_alike = |other: &AgentEntry| {
                other.enabled && other.row.kind == wanted.kind && other.row.name != name
            };
            if enabled && !kind.has_turns() && all.iter().any(is_alike) {
                let told = "another agent is the intent classifier; switch it off first";
                return Err(ApiError::conflict("second_classifier", told));
            }
            let put = agents::put(tx, (name, wanted.kind.as_str()), &config, enabled).await?;
            let version = put.row.version;
            Ok(Done::ok(Agent::from(put), "agent.put", name).noting(json!({ "version": version })))
        })
        .await
}

/// The name in the path, where it could be one.
fn name_of(request: &HttpRequest) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    let name = read::path_text(request);
    ((1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(plain)).then_some(name)
}

/// A rule that sends who says certain words to one agent.
#[derive(Serialize, ToSchema)]
pub struct RoutingRule {
    /// Its id.
    pub id: Uuid,
    /// Rules are tried from the lowest on.
    #[schema(example = 10)]
    pub priority: i32,
    /// What has to be so.
    #[schema(value_type = Object, example = json!({"words": ["refund", "bring it back"], "spoken": true}))]
    pub condition: Value,
    /// Which agent takes the turn then.
    #[schema(example = "reception")]
    pub agent: String,
    /// Whether it is tried.
    pub enabled: bool,
}

impl From<RuleEntry> for RoutingRule {
    fn from(RuleEntry { row, priority, enabled }: RuleEntry) -> Self {
        let RuleRow { id, condition, agent } = row;
        Self { id, priority, condition, agent, enabled }
    }
}

/// A routing rule that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedRule {
    /// Rules are tried from the lowest on.
    #[schema(example = 10)]
    priority: i32,
    /// `words`: 1 to 100 words or phrases, one of which is said; `spoken`: only in calls, or only in chats.
    #[schema(value_type = Object, example = json!({"words": ["refund", "bring it back"], "spoken": true}))]
    condition: Map<String, Value>,
    /// One of the tenant's own agents.
    #[schema(min_length = 1, max_length = 40, example = "reception")]
    agent: String,
    /// Whether it is tried; it is unless said.
    enabled: Option<bool>,
}

/// Routing rules
#[utoipa::path(get, path = "/api/v1/routing-rules", tag = "agents",
    responses((status = 200, description = "All of them, in the order in which they are tried", body = inline(Success<Vec<RoutingRule>>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn list_rules(caller: As<ReadOnly>) -> Answer<Vec<RoutingRule>> {
    let tx = caller.begin().await?;
    Ok(Reply::tagged(agents::all_rules(&tx).await?.into_iter().map(RoutingRule::from).collect()))
}

/// One routing rule
#[utoipa::path(get, path = "/api/v1/routing-rules/{id}", tag = "agents",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It", body = inline(Success<RoutingRule>),
        headers(("ETag" = String))), (status = 304, description = "As it was")))]
pub async fn show_rule(caller: As<ReadOnly>, request: HttpRequest) -> Answer<RoutingRule> {
    let id = read::path_id(&request, RULE)?;
    let tx = caller.begin().await?;
    let found = agents::rule(&tx, id).await?;
    Ok(Reply::tagged(found.ok_or_else(|| ApiError::not_found(RULE))?.into()))
}

/// Add a routing rule
///
/// For developers. In force on every task within some seconds; one that the tasks could not use is refused, with the reason.
#[utoipa::path(post, path = "/api/v1/routing-rules", tag = "agents", request_body = WantedRule,
    responses((status = 201, description = "It was added", body = inline(Success<RoutingRule>))))]
pub async fn add_rule(
    caller: As<Developer>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, body) = Change::read(&caller, &request, body).await?;
    let wanted: WantedRule = body.json()?;
    change
        .make(async |tx| {
            if agents::all_rules(tx).await?.len() >= MOST_RULES {
                return Err(ApiError::conflict("too_many", "there are 500 rules already"));
            }
            let rule = usable(tx, change.id, wanted).await?;
            agents::put_rule(tx, &rule).await?;
            Ok(Done::created(RoutingRule::from(rule), "routing_rule.add", change.id))
        })
        .await
}

/// Change a routing rule
///
/// For developers. All of it is as the body says.
#[utoipa::path(put, path = "/api/v1/routing-rules/{id}", tag = "agents", request_body = WantedRule,
    params(
        ("id" = Uuid, Path),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the version it takes the place of"),
    ),
    responses((status = 200, description = "As it is now", body = inline(Success<RoutingRule>)),
        (status = 412, description = "Somebody else was first", body = super::answer::Failure)))]
pub async fn put_rule(
    caller: As<Developer>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, body) = Change::read(&caller, &request, body).await?;
    let id = read::path_id(&request, RULE)?;
    let expected = IfMatch::of(&request);
    let wanted: WantedRule = body.json()?;
    change
        .make(async |tx| {
            let before = agents::rule_for_change(tx, id).await?;
            let before = RoutingRule::from(before.ok_or_else(|| ApiError::not_found(RULE))?);
            if let Some(expected) = expected {
                expected.check(Some(&before))?;
            }
            let rule = usable(tx, id, wanted).await?;
            agents::put_rule(tx, &rule).await?;
            Ok(Done::ok(RoutingRule::from(rule), "routing_rule.put", id))
        })
        .await
}

/// Remove a routing rule
///
/// For developers.
#[utoipa::path(delete, path = "/api/v1/routing-rules/{id}", tag = "agents",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It is gone; as it was", body = inline(Success<RoutingRule>))))]
pub async fn remove_rule(
    caller: As<Developer>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (change, _) = Change::read(&caller, &request, body).await?;
    let id = read::path_id(&request, RULE)?;
    change
        .make(async |tx| {
            let found = agents::rule(tx, id).await?;
            let found = found.ok_or_else(|| ApiError::not_found(RULE))?;
            agents::remove_rule(tx, id).await?;
            Ok(Done::ok(RoutingRule::from(found), "routing_rule.remove", id))
        })
        .await
}

/// The rule, where the tasks can use it.
async fn usable(tx: &TenantTx, id: Uuid, wanted: WantedRule) -> Result<RuleEntry, ApiError> {
    let condition = Value::Object(wanted.condition);
    let read = |row: agents::AgentRow| {
        let kind = AgentKind::parse(&row.kind)?;
        Read::read(&row.name, kind, &row.config).ok()
    };
    let own: Vec<Read> = agents::enabled(tx).await?.into_iter().filter_map(read).collect();
    if own.iter().all(|agent| agent.name != wanted.agent) {
        let told = "is none of the tenant's own agents, or is switched off";
        return Err(ApiError::field("agent", told));
    }
    let is_silent = |agent: &Read| agent.name == wanted.agent && !agent.kind.has_turns();
    if own.iter().any(is_silent) {
        return Err(ApiError::field("agent", "classifies, and never answers"));
    }
    Rule::read(&wanted.agent, &condition, &own)
        .map_err(|fault| ApiError::field("condition", &fault))?;
    Ok(RuleEntry {
        row: RuleRow { id, condition, agent: wanted.agent },
        priority: wanted.priority,
        enabled: wanted.enabled.unwrap_or(true),
    })
}
