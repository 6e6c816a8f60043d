use base64::{Engine as _, engine::general_purpose::STANDARD};
use dialogue_core::{FileBytes, Role, Utterance, join};
use serde_json::{Value, json};

use crate::llm::{ANSWER_TOKENS_MAX, Asked, Exchange, Form, GO_ON, Request};

/// The first message must be the user's, and a talk may begin with our greeting.
pub(in crate::llm) const OPENING: &str = "(The conversation begins.)";

/// The body of a request; `None` where there are no words to answer.
pub(super) fn body(request: &Request) -> Option<Value> {
    let prompt = request.prompt.as_ref()?;
    let begun = request.begun();
    let mut system = prompt.system.reveal().to_owned();
    if !begun.is_empty() {
        system.push('\n');
        system.push_str(GO_ON);
    }
    let mut messages = Messages::of(&prompt.messages);
    if let Some(block) = prompt.file.as_ref().and_then(block) {
        messages.add(USER, block);
    }
    messages.exchanged(&request.exchanges, &request.said);
    if !begun.is_empty() {
        messages.text(ASSISTANT, &join(begun));
    }
    let mut body = json!({
        "system": [{"text": system}],
        "messages": messages.0,
        "inferenceConfig": {"maxTokens": ANSWER_TOKENS_MAX},
    });
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            json!({"toolSpec": {
                "name": tool.name, "description": tool.description,
                "inputSchema": {"json": tool.parameters},
            }})
        });
        body["toolConfig"] = json!({"tools": tools.collect::<Vec<_>>()});
    }
    Some(body)
}

/// The body of a request that is answered by a filled form: the arguments of the only tool, which must be used.
pub(super) fn form(form: &Form) -> Value {
    json!({
        "system": [{"text": form.system.reveal()}],
        "messages": Messages::of(&form.messages).0,
        "inferenceConfig": {"maxTokens": ANSWER_TOKENS_MAX},
        "toolConfig": {
            "tools": [{"toolSpec": {
                "name": form.name, "description": "Takes the answer.",
                "inputSchema": {"json": form.schema},
            }}],
            "toolChoice": {"tool": {"name": form.name}},
        },
    })
}

const USER: &str = "user";
const ASSISTANT: &str = "assistant";

/// Messages as Converse takes them: roles alternate, and no text is blank.
#[derive(Default)]
struct Messages(Vec<Value>);

impl Messages {
    fn of(talk: &[Utterance]) -> Self {
        let mut messages = Self::default();
        if talk.first().is_none_or(|first| first.role == Role::Agent) {
            messages.text(USER, OPENING);
        }
        for utterance in talk {
            let role = match utterance.role {
                Role::Person => USER,
                Role::Agent => ASSISTANT,
            };
            messages.text(role, utterance.text.reveal());
        }
        messages
    }

    fn add(&mut self, role: &str, block: Value) {
        if let Some(last) = self.0.last_mut().filter(|last| last["role"] == role)
            && let Some(content) = last["content"].as_array_mut()
        {
            content.push(block);
            return;
        }
        self.0.push(json!({"role": role, "content": [block]}));
    }

    fn text(&mut self, role: &str, text: &str) {
        // Some models refuse a text of the assistant that ends with a space.
        let text = text.trim();
        if !text.is_empty() {
            self.add(role, json!({"text": text}));
        }
    }

    /// Each round: the assistant's message that asked, then one of the user with what came of each request.
    fn exchanged(&mut self, exchanges: &[Exchange], said: &[String]) {
        let mut before = 0;
        for round in exchanges.chunk_by(|a, b| a.round == b.round) {
            let until = round[0].said.clamp(before, said.len());
            self.text(ASSISTANT, &join(&said[before..until]));
            before = until;
            for Exchange { asked, .. } in round {
                self.add(ASSISTANT, tool_use(asked));
            }
            for Exchange { asked, told, .. } in round {
                let content = match told.is_object() {
                    true => json!({"json": told}),
                    false => json!({"text": told.to_string()}),
                };
                let result = json!({"toolUseId": asked.id, "content": [content]});
                self.add(USER, json!({"toolResult": result}));
            }
        }
    }
}

/// A file as a block of a message. The name of a document is read by the model, so it is none of the person's making.
fn block(file: &FileBytes) -> Option<Value> {
    let source = json!({"bytes": STANDARD.encode(&file.bytes)});
    match file.mime_type.split_once('/')? {
        ("image", format) => Some(json!({"image": {"format": format, "source": source}})),
        ("application", "pdf") => {
            let document = json!({"format": "pdf", "name": "document", "source": source});
            Some(json!({"document": document}))
        }
        _ => None,
    }
}

/// Arguments that are no object were told to be none; the model is shown that it asked.
fn tool_use(asked: &Asked) -> Value {
    let input = serde_json::from_str(&asked.arguments).ok().filter(Value::is_object);
    let input = input.unwrap_or_else(|| json!({}));
    json!({"toolUse": {"toolUseId": asked.id, "name": asked.name, "input": input}})
}

#[cfg(test)]
mod tests {
    use dialogue_core::{Prompt, tool};
    use domain::Turn;

    use super::*;

    #[test]
    fn roles_alternate_beginning_with_the_user_whatever_was_said() {
        let says = |role, text: &str| Utterance { role, text: text.into(), turn: Turn(1) };
        let exchange = |id: &str, round, said| Exchange {
            asked: Asked { id: id.into(), name: "weather".into(), arguments: "{\"pl".into() },
            round,
            said,
            told: json!({"outcome": "unavailable"}),
        };
        let messages = vec![
            says(Role::Agent, "Hello!"),
            says(Role::Person, "Well"),
            says(Role::Agent, " "),
            says(Role::Person, "how is it?"),
        ];
        let request = Request {
            prompt: Some(Prompt {
                system: "Be brief.".into(),
                messages,
                file: Some(FileBytes { mime_type: "image/png".into(), bytes: b"bytes"[..].into() }),
            }),
            said: vec!["Let me look.".into(), " It is ".into()],
            scripted: String::new(),
            tools: tool::built_in().into_iter().filter(|t| t.name == "weather").collect(),
            exchanges: vec![exchange("a", 1, 1), exchange("b", 1, 1), exchange("c", 2, 1)],
            hearing: None,
        };
        let body = body(&request).unwrap();
        let messages = body["messages"].as_array().unwrap();
        let roles: Vec<_> = messages.iter().map(|m| m["role"].as_str().unwrap()).collect();
        let expected = [USER, ASSISTANT, USER, ASSISTANT, USER, ASSISTANT, USER, ASSISTANT];
        assert_eq!(roles, expected);
        let picture = json!({"image": {"format": "png", "source": {"bytes": "Ynl0ZXM="}}});
        let words = [json!({"text": "Well"}), json!({"text": "how is it?"}), picture];
        assert_eq!(messages[2]["content"], json!(words), "the picture goes with the last words");
        assert_eq!(messages[3]["content"][0]["text"], "Let me look.");
        assert_eq!(messages[3]["content"][2]["toolUse"]["toolUseId"], "b");
        assert_eq!(messages[3]["content"][1]["toolUse"]["input"], json!({}));
        let results = messages[4]["content"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        assert_eq!(
            results[0]["toolResult"]["content"][0]["json"],
            json!({"outcome": "unavailable"})
        );
        assert_eq!(messages[7]["content"], json!([{"text": "It is"}]));
        assert!(body["system"][0]["text"].as_str().unwrap().ends_with(GO_ON));
        assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "weather");
    }
}
