//! The pages at `/api/docs`: the description of the API, to be read by people. Made here as plain HTML, so that they load
//! nothing from elsewhere and run no script.

use std::{fmt::Write as _, sync::LazyLock};

use actix_web::{HttpResponse, Responder};
use serde_json::{Map, Value, json};

use super::openapi;

const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Schemas lie within each other no deeper.
const MAX_DEPTH: usize = 12;

static PAGE: LazyLock<String> =
    LazyLock::new(|| render(&serde_json::to_value(&*openapi::DOCUMENT).unwrap_or_default()));

/// The page.
pub async fn page() -> impl Responder {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header(("content-security-policy", POLICY))
        .insert_header(("x-content-type-options", "nosniff"))
        .body(PAGE.as_str())
}

/// Its style.
pub async fn style() -> impl Responder {
    HttpResponse::Ok().content_type("text/css; charset=utf-8").body(include_str!("docs.css"))
}

fn render(document: &Value) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Switchboard API</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/api/docs/docs.css\">\
         <h1>Switchboard API</h1><p class=\"muted\"><a href=\"/api/v1/openapi.json\">openapi.json</a></p>",
    );
    let _ = write!(html, "<p>{}</p>", escaped(text(&document["info"]["description"])));
    html.push_str("<p>Credentials: <code>Authorization: Bearer sbk_…</code> (or a token), or <code>X-API-Key</code>.</p>");
    let mut section = String::new();
    let paths = document["paths"].as_object().cloned().unwrap_or_default();
    let mut all: Vec<(String, String, String, Value)> = Vec::new();
    for (path, item) in &paths {
        for (method, operation) in item.as_object().unwrap_or(&Map::new()) {
            let tag = text(&operation["tags"][0]).to_owned();
            all.push((tag, path.clone(), method.to_uppercase(), operation.clone()));
        }
    }
    all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    for (tag, path, method, operation) in &all {
        if *tag != section {
            section.clone_from(tag);
            let _ = write!(html, "<h2>{}</h2>", escaped(tag));
        }
        render_operation(&mut html, document, path, method, operation);
    }
    html
}

fn render_operation(
    html: &mut String,
    document: &Value,
    path: &str,
    method: &str,
    operation: &Value,
) {
    let _ = write!(
        html,
        "<details><summary><span class=\"method {method}\">{method}</span><code>{}</code> {}</summary><p>{}</p>",
        escaped(path),
        escaped(text(&operation["summary"])),
        escaped(text(&operation["description"]))
    );
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        html.push_str("<table><tr><th>parameter<th>in<th>type<th>");
        for parameter in parameters {
            let _ = write!(
                html,
                "<tr><td><code>{}</code><td>{}<td>{}<td>{}",
                escaped(text(&parameter["name"])),
                escaped(text(&parameter["in"])),
                escaped(&kind(document, &parameter["schema"])),
                escaped(text(&parameter["description"]))
            );
        }
        html.push_str("</table>");
    }
    let body = &operation["requestBody"]["content"]["application/json"];
    if body.is_object() {
        let _ = write!(html, "<p>Body</p><pre>{}</pre>", pretty(&shown(document, body)));
    }
    html.push_str("<table><tr><th>status<th>meaning");
    let responses = operation["responses"].as_object().cloned().unwrap_or_default();
    for (status, response) in &responses {
        let _ = write!(
            html,
            "<tr><td><code>{}</code><td>{}",
            escaped(status),
            escaped(text(&response["description"]))
        );
    }
    html.push_str("</table>");
    for (status, response) in responses.iter().filter(|(status, _)| status.starts_with('2')) {
        let content = &response["content"]["application/json"];
        if content.is_object() {
            let _ = write!(html, "<p>{status}</p><pre>{}</pre>", pretty(&shown(document, content)));
        }
    }
    html.push_str("</details>");
}

/// The example of a content, made from its schema where none is given.
fn shown(document: &Value, content: &Value) -> Value {
    match &content["example"] {
        Value::Null => example(document, &content["schema"], 0),
        given => given.clone(),
    }
}

/// A value of a schema: its example where it has one.
fn example(document: &Value, schema: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return example(document, document.pointer(pointer).unwrap_or(&Value::Null), depth + 1);
    }
    for given in ["example", "default"] {
        if !schema[given].is_null() {
            return schema[given].clone();
        }
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    for choice in ["oneOf", "anyOf"] {
        let choices = schema[choice].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(first) = choices.iter().find(|c| c["type"] != "null") {
            return example(document, first, depth + 1);
        }
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|k| **k != "null").cloned().unwrap_or_default(),
        kind => kind.clone(),
    };
    match text(&kinds) {
        "object" => {
            let mut object = Map::new();
            for (name, field) in schema["properties"].as_object().unwrap_or(&Map::new()) {
                object.insert(name.clone(), example(document, field, depth + 1));
            }
            // Only one of the two is ever there.
            if object.contains_key("data") && object.contains_key("error") {
                let empty = if object["status"] == "error" { "data" } else { "error" };
                object.insert(empty.to_owned(), Value::Null);
            }
            Value::Object(object)
        }
        "array" => json!([example(document, &schema["items"], depth + 1)]),
        "integer" => json!(1),
        "number" => json!(0.5),
        "boolean" => json!(true),
        "string" => match text(&schema["format"]) {
            "uuid" => json!("018f6b1e-7c1a-7000-8000-000000000001"),
            "date-time" => json!("2026-11-28T09:30:00Z"),
            _ => json!("…"),
        },
        _ => Value::Null,
    }
}

/// What a schema is, in a few words.
fn kind(document: &Value, schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return kind(document, document.pointer(pointer).unwrap_or(&Value::Null));
    }
    let one_of = schema["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(first) = one_of.iter().find(|c| c["type"] != "null") {
        return kind(document, first);
    }
    if let Some(choices) = schema["enum"].as_array() {
        let choices: Vec<&str> = choices.iter().map(text).collect();
        return choices.join(" | ");
    }
    let name = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).filter(|k| *k != "null").collect(),
        kind => text(kind).to_owned(),
    };
    match text(&schema["format"]) {
        "" => name,
        format => format!("{name} ({format})"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn pretty(value: &Value) -> String {
    escaped(&serde_json::to_string_pretty(value).unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_operation_with_an_example_and_needs_nothing_from_elsewhere() {
        let page = &*PAGE;
        let document = serde_json::to_value(&*openapi::DOCUMENT).unwrap();
        for path in document["paths"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        }
        assert!(page.contains("Tomorrow at two it is."), "examples are shown");
        for elsewhere in ["<script", "src=", "href=\"http", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }
}
