use base64::{Engine as _, engine::general_purpose::STANDARD};
use dialogue_core::{FileBytes, Role, Utterance, join};
use serde_json::{Value, json};

use super::{Dialect, OpenAiSettings};
use crate::llm::{ANSWER_TOKENS_MAX, Exchange, Form, GO_ON, Request};

/// The body of a request; `None` where there are no words to answer.
pub(super) fn body(settings: &OpenAiSettings, request: &Request) -> Option<Value> {
    let prompt = request.prompt.as_ref()?;
    let part = prompt.file.as_ref().and_then(|file| part(settings, file));
    let unseen = (prompt.file.is_some() && part.is_none()).then(|| prompt.without_file());
    let prompt = unseen.as_ref().unwrap_or(prompt);
    let begun = request.begun();
    let mut system = prompt.system.reveal().to_owned();
    if !begun.is_empty() {
        system.push('\n');
        system.push_str(GO_ON);
    }
    let mut messages = vec![json!({"role": "system", "content": system})];
    messages.extend(prompt.messages.iter().map(message));
    if let (Some(part), Some(last)) = (part, messages.last_mut()) {
        let words = json!({"type": "text", "text": last["content"]});
        last["content"] = json!([words, part]);
    }
    messages.extend(exchanged(&request.exchanges, &request.said));
    if !begun.is_empty() {
        messages.push(json!({"role": "assistant", "content": join(begun)}));
    }
    let mut body = json!({
        "model": settings.model,
        "messages": messages,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    body[limit_of(settings)] = json!(ANSWER_TOKENS_MAX);
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            json!({"type": "function", "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.parameters,
            }})
        });
        body["tools"] = tools.collect();
    }
    Some(body)
}

/// The body of a request that is answered by a filled form.
pub(super) fn form(settings: &OpenAiSettings, form: &Form) -> Value {
    let mut messages = vec![json!({"role": "system", "content": form.system.reveal()})];
    messages.extend(form.messages.iter().map(message));
    let mut body = json!({
        "model": settings.model,
        "messages": messages,
        "stream": true,
        "stream_options": {"include_usage": true},
        "response_format": {"type": "json_schema", "json_schema": {
            "name": form.name, "strict": true, "schema": form.schema,
        }},
    });
    body[limit_of(settings)] = json!(ANSWER_TOKENS_MAX);
    body
}

fn message(utterance: &Utterance) -> Value {
    let role = match utterance.role {
        Role::Person => "user",
        Role::Agent => "assistant",
    };
    json!({"role": role, "content": utterance.text.reveal()})
}

/// A file as a part of a message. Only OpenAI's own endpoint takes a PDF.
fn part(settings: &OpenAiSettings, file: &FileBytes) -> Option<Value> {
    let FileBytes { mime_type, bytes } = file;
    let url = || format!("data:{mime_type};base64,{}", STANDARD.encode(bytes));
    match mime_type.starts_with("image/") {
        true => Some(json!({"type": "image_url", "image_url": {"url": url()}})),
        false if settings.dialect() == Dialect::OpenAi => {
            let file = json!({"filename": "document.pdf", "file_data": url()});
            Some(json!({"type": "file", "file": file}))
        }
        false => None,
    }
}

/// OpenAI's own endpoints refuse the older name for some models, others do not know the newer one.
fn limit_of(settings: &OpenAiSettings) -> &'static str {
    match settings.dialect() {
        Dialect::OpenAi | Dialect::Azure => "max_completion_tokens",
        Dialect::Compatible => "max_tokens",
    }
}

/// Each round as the protocol has it: the assistant's message that asked, then a message for what came of each request.
fn exchanged(exchanges: &[Exchange], said: &[String]) -> Vec<Value> {
    let mut messages = Vec::new();
    let mut before = 0;
    for round in exchanges.chunk_by(|a, b| a.round == b.round) {
        let until = round[0].said.clamp(before, said.len());
        let words = &said[before..until];
        before = until;
        let content = if words.is_empty() { Value::Null } else { json!(join(words)) };
        let calls: Vec<Value> = round
            .iter()
            .map(|Exchange { asked, .. }| {
                json!({"id": asked.id, "type": "function", "function": {
                    "name": asked.name, "arguments": asked.arguments,
                }})
            })
            .collect();
        messages.push(json!({"role": "assistant", "content": content, "tool_calls": calls}));
        messages.extend(round.iter().map(|Exchange { asked, told, .. }| {
            json!({"role": "tool", "tool_call_id": asked.id, "content": told.to_string()})
        }));
    }
    messages
}

#[cfg(test)]
mod tests {
    use dialogue_core::{Prompt, tool};
    use domain::Turn;

    use super::*;
    use crate::llm::Asked;

    fn settings(base_url: &str, api_version: Option<&str>) -> OpenAiSettings {
        OpenAiSettings {
            api_version: api_version.map(str::to_owned),
            ..OpenAiSettings::at(base_url, "m")
        }
    }

    fn request() -> Request {
        let exchange = |id: &str, round, said| Exchange {
            asked: Asked { id: id.into(), name: "weather".into(), arguments: "{}".into() },
            round,
            said,
            told: json!({"outcome": "unavailable"}),
        };
        let words = Utterance { role: Role::Person, text: "Well?".into(), turn: Turn(1) };
        Request {
            prompt: Some(Prompt { system: "Be brief.".into(), messages: vec![words], file: None }),
            said: vec!["Let me look.".into(), " It is".into()],
            scripted: String::new(),
            tools: tool::built_in().into_iter().filter(|t| t.name == "weather").collect(),
            exchanges: vec![exchange("a", 1, 1), exchange("b", 1, 1), exchange("c", 2, 1)],
            hearing: None,
        }
    }

    #[test]
    fn what_was_asked_and_what_came_of_it_stand_in_their_order() {
        let body = body(&settings("https://api.openai.com/v1", None), &request()).unwrap();
        let messages = body["messages"].as_array().unwrap();
        let roles: Vec<_> = messages.iter().map(|m| m["role"].as_str().unwrap()).collect();
        let expected =
            ["system", "user", "assistant", "tool", "tool", "assistant", "tool", "assistant"];
        assert_eq!(roles, expected);
        assert_eq!(messages[2]["content"], "Let me look.");
        assert_eq!(messages[2]["tool_calls"][1]["id"], "b");
        assert_eq!(messages[4]["tool_call_id"], "b");
        assert_eq!(messages[5]["content"], Value::Null);
        assert_eq!(messages[7]["content"], "It is");
        assert!(messages[0]["content"].as_str().unwrap().ends_with(GO_ON));
        assert_eq!(body["tools"][0]["function"]["name"], "weather");
        assert_eq!(body["max_completion_tokens"], ANSWER_TOKENS_MAX);
    }

    #[test]
    fn other_servers_are_told_the_limit_by_the_name_they_know() {
        let ollama = settings("http://127.0.0.1:11434/v1", None);
        assert_eq!(body(&ollama, &request()).unwrap()["max_tokens"], ANSWER_TOKENS_MAX);
        let azure = settings("https://x.openai.azure.com/openai/deployments/m", Some("2024-10-21"));
        assert_eq!(body(&azure, &request()).unwrap()["max_completion_tokens"], ANSWER_TOKENS_MAX);
    }

    #[test]
    fn a_file_goes_along_with_the_words_where_the_endpoint_takes_its_kind() {
        let with = |mime_type: &str| {
            let bytes = b"bytes"[..].into();
            let mut request = request();
            if let Some(prompt) = &mut request.prompt {
                prompt.file = Some(FileBytes { mime_type: mime_type.into(), bytes });
            }
            request
        };
        let openai = settings("https://api.openai.com/v1", None);
        let ollama = settings("http://127.0.0.1:11434/v1", None);
        let said = |settings: &OpenAiSettings, mime_type: &str| {
            body(settings, &with(mime_type)).unwrap()["messages"][1]["content"].clone()
        };
        let words = json!({"type": "text", "text": "Well?"});
        let url = "data:image/png;base64,Ynl0ZXM=";
        let picture = json!([words, {"type": "image_url", "image_url": {"url": url}}]);
        assert_eq!(said(&openai, "image/png"), picture);
        assert_eq!(said(&ollama, "image/png"), picture);
        let pdf = said(&openai, "application/pdf");
        assert_eq!(pdf[1]["file"]["file_data"], "data:application/pdf;base64,Ynl0ZXM=");
        assert_eq!(said(&ollama, "application/pdf"), "Well?", "its name is told");
    }
}
