//! The tools of a tenant's own, as its settings declare them (C5).

use std::{ops::RangeInclusive, time::Duration};

use domain::HttpTool;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Each is told to the model with every turn.
const MOST: usize = 20;
const LONGEST_NAME: usize = 40;
const LONGEST_DESCRIPTION_CHARS: usize = 500;
const LONGEST_SCHEMA_BYTES: usize = 4 * 1024;
const LONGEST_URL_BYTES: usize = 500;
/// A caller waits for it.
const TIMEOUT_MS: RangeInclusive<u64> = 100..=4_000;
const USUAL_TIMEOUT_MS: u64 = 3_000;
/// The types that arguments are checked against.
const TYPES: [&str; 6] = ["string", "integer", "number", "boolean", "array", "object"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolColumn {
    name: String,
    description: String,
    parameters: Option<Map<String, Value>>,
    url: String,
    method: Option<String>,
    timeout_ms: Option<u64>,
    #[serde(default)]
    agents: Vec<String>,
    #[serde(default)]
    secret: bool,
}

/// Reads them, or says what is wrong with one.
pub(super) fn read(columns: Vec<ToolColumn>) -> Result<Vec<HttpTool>, String> {
    if columns.len() > MOST {
        return Err(format!("tools: must be at most {MOST}"));
    }
    let mut tools: Vec<HttpTool> = Vec::new();
    for column in columns {
        let name = column.name.clone();
        let tool = tool(column).map_err(|fault| format!("tools: {name:?}: {fault}"))?;
        if tools.iter().any(|other| other.name == tool.name) {
            return Err(format!("tools: {name:?} is there twice"));
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn tool(column: ToolColumn) -> Result<HttpTool, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !(1..=LONGEST_NAME).contains(&column.name.len()) || !column.name.bytes().all(plain) {
        return Err(format!("name: must have 1 to {LONGEST_NAME} small letters, digits and _"));
    }
    let description = column.description.trim();
    if description.is_empty() || description.chars().count() > LONGEST_DESCRIPTION_CHARS {
        return Err(format!("description: must have 1 to {LONGEST_DESCRIPTION_CHARS} characters"));
    }
    let url = &column.url;
    let is_url = url.starts_with("https://") || url.starts_with("http://");
    let is_plain = url.bytes().all(|b| b.is_ascii_graphic()) && !url.contains(['@', '#']);
    if !is_url || !is_plain || url.len() > LONGEST_URL_BYTES {
        return Err("url: must be https://, without a user and without a fragment".to_owned());
    }
    let only_looks = match column.method.as_deref() {
        None | Some("POST") => false,
        Some("GET") => true,
        Some(_) => return Err("method: must be GET, which only looks, or POST".to_owned()),
    };
    let timeout_ms = column.timeout_ms.unwrap_or(USUAL_TIMEOUT_MS);
    if !TIMEOUT_MS.contains(&timeout_ms) {
        return Err("timeout_ms: must be 100 to 4000".to_owned());
    }
    Ok(HttpTool {
        description: description.to_owned(),
        parameters: schema(column.parameters)?,
        url: column.url,
        only_looks,
        timeout: Duration::from_millis(timeout_ms),
        agents: column.agents,
        has_secret: column.secret,
        name: column.name,
    })
}

/// The schema as a model is told it: an object, each argument of which has a type or its values.
fn schema(declared: Option<Map<String, Value>>) -> Result<String, String> {
    let nothing = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let Some(mut schema) = declared else { return Ok(nothing.to_string()) };
    if schema.get("type").is_some_and(|kind| kind != "object") {
        return Err("parameters: must be the schema of an object".to_owned());
    }
    schema.insert("type".to_owned(), json!("object"));
    let required = schema.get("required").cloned().unwrap_or_else(|| json!([]));
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    let Some(properties) = properties.as_object() else {
        return Err("parameters.properties: must be an object".to_owned());
    };
    for (name, property) in properties {
        let is_known = property["type"].as_str().is_some_and(|kind| TYPES.contains(&kind));
        if !is_known && !property["enum"].is_array() {
            let types = TYPES.join(", ");
            return Err(format!("parameters.{name}: must have an enum, or a type of {types}"));
        }
    }
    let named = required.as_array().is_some_and(|all| {
        all.iter().all(|name| name.as_str().is_some_and(|name| properties.contains_key(name)))
    });
    if !named {
        return Err("parameters.required: must be names of its properties".to_owned());
    }
    let text = Value::Object(schema).to_string();
    match text.len() > LONGEST_SCHEMA_BYTES {
        true => Err(format!("parameters: must have at most {LONGEST_SCHEMA_BYTES} bytes")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(tool: Value) -> Result<Vec<HttpTool>, String> {
        read(vec![serde_json::from_value(tool).map_err(|e| e.to_string())?])
    }

    fn order_status() -> Value {
        json!({
            "name": "order_status", "description": "Where an order is.",
            "url": "https://shop.example.com/orders", "method": "GET",
            "parameters": {"properties": {"order": {"type": "integer"}}, "required": ["order"]},
        })
    }

    #[test]
    fn a_tool_is_read_with_what_it_says_and_what_is_usual() {
        let tools = read_one(order_status()).unwrap();
        assert!(tools[0].only_looks && tools[0].agents.is_empty() && !tools[0].has_secret);
        assert_eq!(tools[0].timeout, Duration::from_secs(3));
        assert!(tools[0].parameters.contains("\"type\":\"object\""));
    }

    #[test]
    fn a_tool_that_cannot_be_used_is_refused_with_its_name_and_the_reason() {
        for (field, wrong) in [
            ("name", json!("Order Status")),
            ("description", json!(" ")),
            ("url", json!("ftp://shop.example.com")),
            ("url", json!("https://user@shop.example.com")),
            ("method", json!("DELETE")),
            ("timeout_ms", json!(60_000)),
            ("parameters", json!({"type": "string"})),
            ("parameters", json!({"properties": {"order": {"type": "uuid"}}})),
            ("parameters", json!({"required": ["order"]})),
        ] {
            let mut tool = order_status();
            tool[field] = wrong;
            let refused = read_one(tool).unwrap_err();
            assert!(refused.starts_with("tools: ") && refused.contains(field), "{refused}");
        }
        let twice = [order_status(), order_status()].map(|t| serde_json::from_value(t).unwrap());
        assert!(read(twice.into()).unwrap_err().contains("twice"));
    }
}
