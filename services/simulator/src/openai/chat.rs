//! `POST /v1/chat/completions`, whole or as a stream of events.

use std::{collections::VecDeque, io, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    World,
    faults::cut_off,
    openai::{
        Problem, authorise,
        model::{Answer, Entry, Mode, Settings, ToolCall},
    },
};

/// A token of the simulated model, characters.
const TOKEN_CHARS: usize = 4;

/// Serves a request.
pub(super) async fn completions(
    world: web::Data<World>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    complete(&world, &request, &body).await.unwrap_or_else(HttpResponse::from)
}

async fn complete(
    world: &World,
    request: &HttpRequest,
    body: &[u8],
) -> Result<HttpResponse, Problem> {
    authorise(world, request)?;
    let body: Value = serde_json::from_slice(body).map_err(Problem::request)?;
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        return Err(Problem::request("'messages' must be a list with at least one message"));
    }
    let Some(model) = body["model"].as_str() else {
        return Err(Problem::request("'model' is missing"));
    };
    let settings = world.model.settings();
    let answer = world.model.answer(&body);
    let usage = usage(&body, &answer);
    let head =
        Head { id: format!("chatcmpl-{}", Uuid::new_v4().simple()), model: model.to_owned() };
    let with_usage = body["stream_options"]["include_usage"].as_bool().unwrap_or(false);
    let streamed = body["stream"].as_bool().unwrap_or(false);
    let entry = world.model.note(body);
    if streamed {
        let script = script(&head, &answer, &settings, with_usage.then_some(usage));
        return Ok(HttpResponse::Ok()
            .content_type("text/event-stream")
            .streaming(play(script, entry)));
    }
    whole(&head, &answer, &settings, usage, entry).await
}

struct Head {
    id: String,
    model: String,
}

impl Head {
    fn object(&self, kind: &str) -> Value {
        json!({"id": self.id, "object": kind, "created": 1, "model": self.model})
    }

    /// One event of a stream. With usage asked for, every one but the last says that there is none yet.
    fn event(&self, choices: Value, usage: Option<Value>) -> Bytes {
        let mut chunk = self.object("chat.completion.chunk");
        chunk["choices"] = choices;
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        Bytes::from(format!("data: {chunk}\n\n"))
    }
}

/// What happens next in a stream.
pub(crate) enum Step {
    /// Nothing for so long.
    Wait(Duration),
    /// Bytes for the wire, and what the log shows of them.
    Send(Bytes, String),
    /// Nothing more, ever.
    Stall,
    /// The connection is cut.
    Cut,
}

fn script(
    head: &Head,
    answer: &Answer,
    settings: &Settings,
    usage: Option<Value>,
) -> VecDeque<Step> {
    let no_usage = usage.as_ref().map(|_| Value::Null);
    let delta = |delta: Value, finish: Value| {
        head.event(json!([{"index": 0, "delta": delta, "finish_reason": finish}]), no_usage.clone())
    };
    let mut steps = VecDeque::new();
    steps.push_back(Step::Wait(Duration::from_millis(settings.first_token_ms)));
    steps.push_back(Step::Send(
        delta(json!({"role": "assistant", "content": ""}), Value::Null),
        String::new(),
    ));
    let finish = match answer {
        Answer::Text(text) => {
            let broken = matches!(settings.mode, Mode::Stall | Mode::Rubbish | Mode::Cut);
            let said: String =
                text.chars().take(if broken { settings.after_chars } else { usize::MAX }).collect();
            for token in tokens(&said) {
                steps.push_back(Step::Send(delta(json!({"content": token}), Value::Null), token));
                steps.push_back(Step::Wait(Duration::from_millis(settings.token_ms)));
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
            "stop"
        }
        Answer::Tools { tool_calls } => {
            for (index, call) in tool_calls.iter().enumerate() {
                let first = json!({"tool_calls": [{
                    "index": index, "id": format!("call_{}", Uuid::new_v4().simple()), "type": "function",
                    "function": {"name": call.name, "arguments": ""},
                }]});
                steps.push_back(Step::Send(delta(first, Value::Null), format!("[{}]", call.name)));
                for token in tokens(&arguments(call)) {
                    let next =
                        json!({"tool_calls": [{"index": index, "function": {"arguments": token}}]});
                    steps.push_back(Step::Wait(Duration::from_millis(settings.token_ms)));
                    steps.push_back(Step::Send(delta(next, Value::Null), token));
                }
            }
            "tool_calls"
        }
    };
    steps.push_back(Step::Send(delta(json!({}), json!(finish)), String::new()));
    if usage.is_some() {
        steps.push_back(Step::Send(head.event(json!([]), usage), String::new()));
    }
    steps.push_back(Step::Send(Bytes::from_static(b"data: [DONE]\n\n"), String::new()));
    steps
}

/// Lines that are no events, events that are no JSON, JSON that is no chunk, bytes that are no text, and then the end
/// without a `[DONE]`.
fn rubbish() -> impl Iterator<Item = Bytes> {
    let lines: [&[u8]; 5] = [
        b"data: {\"choices\":[{\"delta\":{\"conte\n\n",
        b"data: {\"choices\":[{\"delta\":{\"content\":17}}]}\n\n",
        b"data: [\"what\",null]\n\n",
        b"\xff\xfe\x00data data data\n\n",
        b"event: ???\ndata:\n\n",
    ];
    lines.into_iter().map(Bytes::from_static)
}

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = String> {
    let mut rest = text.chars();
    std::iter::from_fn(move || {
        let token: String = rest.by_ref().take(TOKEN_CHARS).collect();
        (!token.is_empty()).then_some(token)
    })
}

/// The arguments of a call, as they are streamed.
pub(crate) fn arguments(call: &ToolCall) -> String {
    match &call.arguments {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Plays the steps. The entry in the log lives as long as the stream, so that a client who hangs up is noticed.
pub(crate) fn play(steps: VecDeque<Step>, entry: Entry) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold((steps, entry), |(mut steps, mut entry)| async move {
        loop {
            let Some(step) = steps.pop_front() else {
                entry.finish();
                return None;
            };
            match step {
                Step::Wait(time) if time.is_zero() => {}
                Step::Wait(time) => tokio::time::sleep(time).await,
                Step::Send(bytes, shown) => {
                    entry.sent(&shown);
                    return Some((Ok(bytes), (steps, entry)));
                }
                Step::Stall => std::future::pending().await,
                Step::Cut => {
                    entry.finish();
                    return Some((Err(cut_off().await), (VecDeque::new(), entry)));
                }
            }
        }
    })
}

async fn whole(
    head: &Head,
    answer: &Answer,
    settings: &Settings,
    usage: Value,
    mut entry: Entry,
) -> Result<HttpResponse, Problem> {
    let tokens = usage["completion_tokens"].as_u64().unwrap_or(0);
    let time = Duration::from_millis(settings.first_token_ms + settings.token_ms * tokens);
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
    match settings.mode {
        Mode::Stall => std::future::pending().await,
        Mode::Rubbish => {
            entry.finish();
            return Ok(HttpResponse::Ok()
                .content_type("application/json")
                .body("{\"choices\":[{\"mess"));
        }
        Mode::Cut => {
            return Ok(HttpResponse::Ok().streaming(play(VecDeque::from([Step::Cut]), entry)));
        }
        Mode::Echo | Mode::NeverAlike | Mode::Script | Mode::FrontDesk => {}
    }
    let (message, finish) = match answer {
        Answer::Text(text) => {
            entry.sent(text);
            (json!({"role": "assistant", "content": text, "refusal": null}), "stop")
        }
        Answer::Tools { tool_calls } => {
            let calls: Vec<_> = tool_calls
                .iter()
                .map(|call| {
                    entry.sent(&format!("[{}]{}", call.name, arguments(call)));
                    json!({
                        "id": format!("call_{}", Uuid::new_v4().simple()), "type": "function",
                        "function": {"name": call.name, "arguments": arguments(call)},
                    })
                })
                .collect();
            (json!({"role": "assistant", "content": null, "tool_calls": calls}), "tool_calls")
        }
    };
    let mut answer = head.object("chat.completion");
    answer["choices"] = json!([{"index": 0, "message": message, "finish_reason": finish}]);
    answer["usage"] = usage;
    entry.finish();
    Ok(HttpResponse::Ok().json(answer))
}

/// Counted as the simulated model counts: four characters a token.
pub(crate) fn usage(body: &Value, answer: &Answer) -> Value {
    let count = |chars: usize| chars.div_ceil(TOKEN_CHARS);
    let prompt = count(body["messages"].to_string().chars().count());
    let completion = match answer {
        Answer::Text(text) => count(text.chars().count()),
        Answer::Tools { tool_calls } => {
            tool_calls.iter().map(|call| 1 + count(arguments(call).chars().count())).sum()
        }
    };
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}
