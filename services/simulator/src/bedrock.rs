//! Amazon Bedrock: `ConverseStream`, in event-stream frames (PROTOCOLS 5.2), Nova Sonic, and Titan's embeddings. The model behind it is the
//! one that [`openai`](crate::openai) has, with its modes and its log.

mod sonic;

use std::{collections::VecDeque, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    World, aws,
    openai::{Answer, Mode, Settings, Step, ToolCall, arguments, embedding, play, tokens, usage},
    polly::error,
};

/// Mounts the paths under `/bedrock`.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/model/{model}/converse-stream", web::post().to(converse))
        .route("/model/{model}/invoke", web::post().to(invoke))
        .route("/model/{model}/invoke-with-bidirectional-stream", web::post().to(sonic::open));
}

/// The numbers of a Titan embedding.
const DIMENSIONS: usize = 1024;

fn authorise(world: &World, request: &HttpRequest, body: &[u8]) -> Result<(), aws::Refusal> {
    let secret = world.config.aws_secret.as_ref();
    if has_key(request) { Ok(()) } else { aws::authorise(request, "bedrock", body, secret) }
}

/// Whether a key of Bedrock's own comes with the request.
fn has_key(request: &HttpRequest) -> bool {
    request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("Bearer ") && !value.contains("invalid"))
}

/// `InvokeModel` of Titan's text embeddings: one text a request.
async fn invoke(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    if let Err(refusal) = authorise(&world, &request, &body) {
        return error(StatusCode::FORBIDDEN, refusal);
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(text) = body["inputText"].as_str().filter(|text| !text.is_empty()) else {
        return error(StatusCode::BAD_REQUEST, "ValidationException");
    };
    let tokens = text.chars().count().div_ceil(4);
    let numbers = embedding(text, DIMENSIONS);
    HttpResponse::Ok().json(json!({"embedding": numbers, "inputTextTokenCount": tokens}))
}

async fn converse(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    if let Err(refusal) = authorise(&world, &request, &body) {
        return error(StatusCode::FORBIDDEN, refusal);
    }
    let Some(body) = serde_json::from_slice(&body).ok().filter(is_valid) else {
        return error(StatusCode::BAD_REQUEST, "ValidationException");
    };
    let asked = as_chat(&body);
    let settings = world.model.settings();
    let answer = match (world.model.answer(&asked), forced(&body)) {
        (Answer::Text(form), Some(name)) => Answer::Tools {
            tool_calls: vec![ToolCall { name: name.to_owned(), arguments: Value::String(form) }],
        },
        (answer, _) => answer,
    };
    let script = script(&answer, &settings, &usage(&asked, &answer));
    let entry = world.model.note(body);
    HttpResponse::Ok()
        .content_type("application/vnd.amazon.eventstream")
        .insert_header(("x-amzn-requestid", Uuid::new_v4().to_string()))
        .streaming(play(script, entry))
}

/// What Bedrock refuses: a talk that the user does not begin, roles that do not alternate, blank texts, files without bytes.
fn is_valid(body: &Value) -> bool {
    let Some(messages) = body["messages"].as_array().filter(|m| !m.is_empty()) else {
        return false;
    };
    let roles = messages.iter().map(|message| message["role"].as_str());
    let alternate =
        roles.eq([Some("user"), Some("assistant")].into_iter().cycle().take(messages.len()));
    let is_said = |block: &Value| {
        block["text"].as_str().is_none_or(|text| !text.trim().is_empty())
            && (block.get("text").is_some()
                || block["image"]["source"]["bytes"].is_string()
                || block["document"]["source"]["bytes"].is_string()
                || block["toolUse"]["input"].is_object()
                || block["toolResult"]["content"].is_array())
    };
    let content = |message: &Value| {
        message["content"].as_array().is_some_and(|c| !c.is_empty() && c.iter().all(is_said))
    };
    alternate && messages.iter().all(content)
}

/// The request as a chat, which is what the simulated model reads. A tool that must be used is a form to be filled.
fn as_chat(body: &Value) -> Value {
    let said = |blocks: &Value| -> String {
        let texts = blocks.as_array().into_iter().flatten().filter_map(|b| b["text"].as_str());
        texts.collect::<Vec<_>>().join(" ")
    };
    let mut messages = vec![json!({"role": "system", "content": said(&body["system"])})];
    for message in body["messages"].as_array().into_iter().flatten() {
        let results =
            message["content"].as_array().into_iter().flatten().filter_map(|b| b.get("toolResult"));
        for result in results {
            let content = match result["content"][0].get("json") {
                Some(value) => value.to_string(),
                None => said(&result["content"]),
            };
            let id = &result["toolUseId"];
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": content}));
        }
        let text = said(&message["content"]);
        let is_told = message["content"][0].get("toolResult").is_some();
        if !text.is_empty() || !is_told {
            messages.push(json!({"role": message["role"], "content": text}));
        }
    }
    let mut chat = json!({"messages": messages});
    let tools = body["toolConfig"]["tools"].as_array().into_iter().flatten();
    let tools: Vec<Value> = tools
        .map(|tool| {
            let spec = &tool["toolSpec"];
            json!({"type": "function", "function": {"name": spec["name"], "parameters": spec["inputSchema"]["json"]}})
        })
        .collect();
    if let Some(name) = forced(body) {
        let form = tools.iter().find(|tool| tool["function"]["name"] == name);
        let schema = form.map_or(&Value::Null, |tool| &tool["function"]["parameters"]);
        chat["response_format"] = json!({"type": "json_schema",
            "json_schema": {"name": name, "schema": schema}});
    }
    chat["tools"] = tools.into();
    chat
}

/// The tool that must be used.
fn forced(body: &Value) -> Option<&str> {
    body["toolConfig"]["toolChoice"]["tool"]["name"].as_str()
}

fn script(answer: &Answer, settings: &Settings, usage: &Value) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    steps.push_back(Step::Wait(Duration::from_millis(settings.first_token_ms)));
    let send = |kind, body: &Value, shown: String| Step::Send(event(kind, body), shown);
    let silent = |kind, body: Value| Step::Send(event(kind, &body), String::new());
    steps.push_back(silent("messageStart", json!({"role": "assistant"})));
    let wait = || Step::Wait(Duration::from_millis(settings.token_ms));
    let reason = match answer {
        Answer::Text(text) => {
            let broken = matches!(settings.mode, Mode::Stall | Mode::Rubbish | Mode::Cut);
            let kept = if broken { settings.after_chars } else { usize::MAX };
            for token in tokens(&text.chars().take(kept).collect::<String>()) {
                let delta = json!({"contentBlockIndex": 0, "delta": {"text": token}});
                steps.push_back(send("contentBlockDelta", &delta, token));
                steps.push_back(wait());
            }
            match settings.mode {
                Mode::Stall => steps.push_back(Step::Stall),
                Mode::Cut => steps.push_back(Step::Cut),
                Mode::Rubbish => {
                    steps.extend(rubbish().map(|bytes| Step::Send(bytes, String::new())))
                }
                Mode::Echo | Mode::NeverAlike | Mode::Script | Mode::FrontDesk => {}
            }
            if broken {
                return steps;
            }
            steps.push_back(silent("contentBlockStop", json!({"contentBlockIndex": 0})));
            "end_turn"
        }
        Answer::Tools { tool_calls } => {
            for (block, call) in tool_calls.iter().enumerate() {
                let id = format!("tooluse_{}", Uuid::new_v4().simple());
                let start = json!({"contentBlockIndex": block,
                    "start": {"toolUse": {"toolUseId": id, "name": call.name}}});
                steps.push_back(send("contentBlockStart", &start, format!("[{}]", call.name)));
                for token in tokens(&arguments(call)) {
                    let delta = json!({"contentBlockIndex": block,
                        "delta": {"toolUse": {"input": token}}});
                    steps.push_back(wait());
                    steps.push_back(send("contentBlockDelta", &delta, token));
                }
                steps.push_back(silent("contentBlockStop", json!({"contentBlockIndex": block})));
            }
            "tool_use"
        }
    };
    steps.push_back(silent("messageStop", json!({"stopReason": reason})));
    let usage = json!({"usage": {"inputTokens": usage["prompt_tokens"], "outputTokens": usage["completion_tokens"],
        "totalTokens": usage["total_tokens"]}, "metrics": {"latencyMs": 1}});
    steps.push_back(silent("metadata", usage));
    steps
}

/// An event that is not what its name says, a frame whose checksum is wrong, and bytes that are no frame.
fn rubbish() -> impl Iterator<Item = Bytes> {
    let odd = event("contentBlockDelta", &json!({"delta": {"text": 17}}));
    let mut damaged = event("contentBlockDelta", &json!({"delta": {"text": "no"}})).to_vec();
    if let Some(last) = damaged.last_mut() {
        *last ^= 1;
    }
    [odd, damaged.into(), Bytes::from_static(b"\xff\xfe\x00data data data")].into_iter()
}

fn event(kind: &'static str, body: &Value) -> Bytes {
    frame("event", kind, body)
}

fn frame(message: &'static str, kind: &'static str, body: &Value) -> Bytes {
    let header = |name, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let type_header = if message == "event" { ":event-type" } else { ":exception-type" };
    let message = Message::new(body.to_string().into_bytes())
        .add_header(header(type_header, kind))
        .add_header(header(":content-type", "application/json"))
        .add_header(header(":message-type", message));
    let mut frame = Vec::new();
    if let Err(error) = write_message_to(&message, &mut frame) {
        tracing::error!(%error, "an event of the simulator cannot be written");
    }
    frame.into()
}
