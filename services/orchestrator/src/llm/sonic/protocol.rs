//! The events of Nova Sonic, as JSON: what a session says and what it is told (PROTOCOLS 5.1).
//!
//! A session here has one prompt and answers one turn. Blocks that are sent are numbered; blocks that are received follow
//! one another, so that what comes belongs to the last one that began.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dialogue_core::{Role, tool::ToolSchema};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::llm::{ModelError, Usage};

/// The rate of audio both ways, samples a second: the telephone's, so that nothing is resampled.
pub(super) const RATE_HZ: u32 = 8_000;

/// There is one in a session.
const PROMPT: &str = "turn";

const TEXT: &str = "text/plain";

/// Writes the events of a session, in the order in which they are asked for.
#[derive(Default)]
pub(super) struct Script {
    blocks: u32,
}

impl Script {
    /// Opens the session and the prompt. `endpointing`: how soon the person's turn is taken to be over, of models that can be
    /// told.
    pub(super) fn begin(
        tokens_max: u32,
        endpointing: Option<&str>,
        voice: &str,
        tools: &[ToolSchema],
    ) -> [Value; 2] {
        let mut prompt = json!({
            "promptName": PROMPT,
            "textOutputConfiguration": {"mediaType": TEXT},
            "audioOutputConfiguration": lpcm(json!({"voiceId": voice})),
        });
        if !tools.is_empty() {
            let tools = tools.iter().map(|tool| {
                // The schema is a text here, unlike everywhere else.
                json!({"toolSpec": {
                    "name": tool.name, "description": tool.description,
                    "inputSchema": {"json": tool.parameters.to_string()},
                }})
            });
            prompt["toolUseOutputConfiguration"] = json!({"mediaType": "application/json"});
            prompt["toolConfiguration"] = json!({"tools": tools.collect::<Vec<_>>()});
        }
        let inference = json!({"maxTokens": tokens_max, "topP": 0.9, "temperature": 0.7});
        let mut session = json!({"inferenceConfiguration": inference});
        if let Some(sensitivity) = endpointing {
            session["turnDetectionConfiguration"] = json!({"endpointingSensitivity": sensitivity});
        }
        [event("sessionStart", session), event("promptStart", prompt)]
    }

    /// What the model is told before the talk.
    pub(super) fn system(&mut self, text: &str) -> [Value; 3] {
        self.text("SYSTEM", text)
    }

    /// What was said before, each with who said it.
    pub(super) fn said(&mut self, role: Role, text: &str) -> [Value; 3] {
        let role = match role {
            Role::Person => "USER",
            Role::Agent => "ASSISTANT",
        };
        self.text(role, text)
    }

    fn text(&mut self, role: &str, text: &str) -> [Value; 3] {
        let block = self.block();
        let start = json!({"type": "TEXT", "interactive": false, "role": role,
            "textInputConfiguration": {"mediaType": TEXT}});
        [
            of_block("contentStart", &block, start),
            of_block("textInput", &block, json!({"content": text})),
            of_block("contentEnd", &block, json!({})),
        ]
    }

    /// Opens the block of the person's voice, and names it.
    pub(super) fn listen(&mut self) -> (Value, Voice) {
        let block = self.block();
        let start = json!({"type": "AUDIO", "interactive": true, "role": "USER",
            "audioInputConfiguration": lpcm(json!({}))});
        (of_block("contentStart", &block, start), Voice { block })
    }

    /// What came of a tool.
    pub(super) fn told(&mut self, asked: &str, told: &Value) -> [Value; 3] {
        let block = self.block();
        let start = json!({"type": "TOOL", "interactive": false, "role": "TOOL",
            "toolResultInputConfiguration": {"toolUseId": asked, "type": "TEXT",
                "textInputConfiguration": {"mediaType": TEXT}}});
        [
            of_block("contentStart", &block, start),
            of_block("toolResult", &block, json!({"content": told.to_string()})),
            of_block("contentEnd", &block, json!({})),
        ]
    }

    /// Closes the prompt and the session.
    pub(super) fn end() -> [Value; 2] {
        [event("promptEnd", json!({"promptName": PROMPT})), event("sessionEnd", json!({}))]
    }

    fn block(&mut self) -> String {
        self.blocks += 1;
        format!("block-{}", self.blocks)
    }
}

/// The block in which the person is heard.
pub(super) struct Voice {
    block: String,
}

impl Voice {
    /// More of it, as samples.
    pub(super) fn says(&self, samples: &[i16]) -> Value {
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        of_block("audioInput", &self.block, json!({"content": STANDARD.encode(bytes)}))
    }

    /// The person is heard no more.
    pub(super) fn ends(&self) -> Value {
        of_block("contentEnd", &self.block, json!({}))
    }
}

fn event(name: &str, body: Value) -> Value {
    json!({"event": {name: body}})
}

fn of_block(name: &str, block: &str, mut body: Value) -> Value {
    body["promptName"] = PROMPT.into();
    body["contentName"] = block.into();
    event(name, body)
}

/// How audio is written; mu-law is not taken.
fn lpcm(mut more: Value) -> Value {
    more["mediaType"] = "audio/lpcm".into();
    more["sampleRateHertz"] = RATE_HZ.into();
    more["sampleSizeBits"] = 16.into();
    more["channelCount"] = 1.into();
    more["encoding"] = "base64".into();
    more["audioType"] = "SPEECH".into();
    more
}

/// An event of an answer, as far as it matters.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Event {
    /// A block begins.
    Begins(Block),
    /// More words of the block.
    Words(String),
    /// More sound of the block.
    Sound(Vec<i16>),
    /// The block asks for a tool.
    Asks { id: String, name: String, arguments: String },
    /// The block is over.
    Ends(Stop),
    /// What the session took so far.
    Usage(Usage),
    /// Nothing more follows.
    Over,
    /// What does not matter here, or a later version sends.
    Nothing,
}

/// What is in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Block {
    /// What the model is about to say.
    Planned,
    /// What is said, as sound.
    Sound,
    /// Words that are known from elsewhere: what was said in the end, and what the model understood of the person.
    Repeated,
    /// A request for a tool.
    Tool,
}

/// Why a block is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// More of the same answer follows.
    Partial,
    /// The answer is whole.
    EndOfTurn,
    /// The model wants to know what came of the tool.
    ToolUse,
    /// The model believes that the person speaks over it.
    Interrupted,
}

#[derive(Deserialize)]
struct Received {
    event: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContentStart {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    role: String,
    /// JSON within JSON.
    additional_model_fields: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelFields {
    generation_stage: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse {
    tool_use_id: String,
    tool_name: String,
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContentEnd {
    #[serde(default)]
    stop_reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageEvent {
    #[serde(default)]
    total_input_tokens: u32,
    #[serde(default)]
    total_output_tokens: u32,
}

impl Event {
    /// The event of a chunk.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn read(chunk: &[u8]) -> Result<Self, ModelError> {
        const WRONG: ModelError = ModelError::Unreadable("an event is not what its name says");
        let Received { event } = serde_json::from_slice(chunk).map_err(|_| WRONG)?;
        let Value::Object(event) = event else { return Err(WRONG) };
        let Some((name, body)) = event.into_iter().next() else { return Ok(Self::Nothing) };
        let read = match name.as_str() {
            "contentStart" => serde_json::from_value(body).map(|start| Self::Begins(block(&start))),
            "textOutput" => {
                serde_json::from_value(body).map(|Content { content }| Self::Words(content))
            }
            "audioOutput" => {
                let Content { content } = serde_json::from_value(body).map_err(|_| WRONG)?;
                return Ok(Self::Sound(samples(&content).ok_or(WRONG)?));
            }
            "toolUse" => serde_json::from_value(body).map(|asked: ToolUse| Self::Asks {
                id: asked.tool_use_id,
                name: asked.tool_name,
                arguments: asked.content,
            }),
            "contentEnd" => serde_json::from_value(body).map(|end| Self::Ends(stop(&end))),
            "usageEvent" => serde_json::from_value(body).map(|used: UsageEvent| {
                let (tokens_in, tokens_out) = (used.total_input_tokens, used.total_output_tokens);
                Self::Usage(Usage { tokens_in, tokens_out })
            }),
            "completionEnd" => Ok(Self::Over),
            _ => Ok(Self::Nothing),
        };
        read.map_err(|_| WRONG)
    }
}

fn block(start: &ContentStart) -> Block {
    let fields = start.additional_model_fields.as_deref();
    let stage = fields
        .and_then(|fields| serde_json::from_str::<ModelFields>(fields).ok())
        .and_then(|fields| fields.generation_stage);
    match (start.kind.as_str(), start.role.as_str(), stage.as_deref()) {
        ("AUDIO", ..) => Block::Sound,
        ("TOOL", ..) => Block::Tool,
        (_, "ASSISTANT", Some("SPECULATIVE")) => Block::Planned,
        _ => Block::Repeated,
    }
}

fn stop(end: &ContentEnd) -> Stop {
    match end.stop_reason.as_str() {
        "END_TURN" => Stop::EndOfTurn,
        "TOOL_USE" => Stop::ToolUse,
        "INTERRUPTED" => Stop::Interrupted,
        _ => Stop::Partial,
    }
}

fn samples(content: &str) -> Option<Vec<i16>> {
    let bytes = STANDARD.decode(content).ok()?;
    let (pairs, rest) = bytes.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(event: &Value) -> Event {
        Event::read(json!({"event": event}).to_string().as_bytes()).unwrap()
    }

    fn ids() -> Value {
        json!({"sessionId": "s", "promptName": PROMPT, "completionId": "c", "contentId": "b"})
    }

    fn with(mut more: Value) -> Value {
        for (name, value) in ids().as_object().unwrap() {
            more[name] = value.clone();
        }
        more
    }

    /// The shapes of AWS's page on output events (PROTOCOLS 5.1).
    #[test]
    fn the_events_of_an_answer_are_read_as_they_are_documented() {
        let stage = |stage: &str| json!({"generationStage": stage}).to_string();
        let text = |role: &str, at: &str| {
            let fields = stage(at);
            json!({"contentStart": with(json!({"type": "TEXT", "role": role,
                "additionalModelFields": fields, "textOutputConfiguration": {"mediaType": TEXT}}))})
        };
        let end = |kind: &str, why: &str| json!({"contentEnd": with(json!({"type": kind, "stopReason": why}))});
        let audio = lpcm(json!({}));
        for (event, expected) in [
            (json!({"completionStart": ids()}), Event::Nothing),
            (text("USER", "FINAL"), Event::Begins(Block::Repeated)),
            (text("ASSISTANT", "SPECULATIVE"), Event::Begins(Block::Planned)),
            (text("ASSISTANT", "FINAL"), Event::Begins(Block::Repeated)),
            (
                json!({"textOutput": with(json!({"content": "We open at nine."}))}),
                Event::Words("We open at nine.".to_owned()),
            ),
            (
                json!({"contentStart": with(json!({"type": "AUDIO", "role": "ASSISTANT",
                    "audioOutputConfiguration": audio}))}),
                Event::Begins(Block::Sound),
            ),
            (
                json!({"audioOutput": with(json!({"content": "AQD//w=="}))}),
                Event::Sound(vec![1, -1]),
            ),
            (
                json!({"contentStart": with(json!({"type": "TOOL", "role": "TOOL",
                    "toolUseOutputConfiguration": {"mediaType": "application/json"}}))}),
                Event::Begins(Block::Tool),
            ),
            (
                json!({"toolUse": with(json!({"toolName": "book", "toolUseId": "t1",
                    "content": "{\"day\":1}"}))}),
                Event::Asks {
                    id: "t1".into(),
                    name: "book".into(),
                    arguments: "{\"day\":1}".into(),
                },
            ),
            (end("TEXT", "PARTIAL_TURN"), Event::Ends(Stop::Partial)),
            (end("TOOL", "TOOL_USE"), Event::Ends(Stop::ToolUse)),
            (end("AUDIO", "END_TURN"), Event::Ends(Stop::EndOfTurn)),
            (end("TEXT", "INTERRUPTED"), Event::Ends(Stop::Interrupted)),
            (
                json!({"usageEvent": with(json!({"details": {"total": {"input": {"speechTokens": 3}}},
                    "totalInputTokens": 9, "totalOutputTokens": 4, "totalTokens": 13}))}),
                Event::Usage(Usage { tokens_in: 9, tokens_out: 4 }),
            ),
            (json!({"completionEnd": with(json!({"stopReason": "END_TURN"}))}), Event::Over),
            (json!({"somethingNew": [1]}), Event::Nothing),
        ] {
            assert_eq!(read(&event), expected, "{event}");
        }
    }

    #[test]
    fn what_is_no_event_is_noticed() {
        for chunk in [
            "",
            "[]",
            "{\"event\":17}",
            "{\"event\":{\"textOutput\":{\"content\":17}}}",
            // Half a sample.
            "{\"event\":{\"audioOutput\":{\"content\":\"AQ==\"}}}",
            "{\"event\":{\"audioOutput\":{\"content\":\"no base64\"}}}",
        ] {
            assert!(
                matches!(Event::read(chunk.as_bytes()), Err(ModelError::Unreadable(_))),
                "{chunk}"
            );
        }
    }

    /// As pipecat's client sends them (PROTOCOLS 5.1).
    #[test]
    fn every_block_begins_and_ends_under_a_name_of_its_own() {
        let mut script = Script::default();
        let tools = vec![ToolSchema {
            name: "book".into(),
            description: "Books.".into(),
            parameters: json!({"type": "object"}),
        }];
        let [session, prompt] = Script::begin(1000, Some("HIGH"), "tiffany", &tools);
        assert_eq!(session["event"]["sessionStart"]["inferenceConfiguration"]["maxTokens"], 1000);
        let prompt = &prompt["event"]["promptStart"];
        assert_eq!(prompt["audioOutputConfiguration"]["voiceId"], "tiffany");
        assert_eq!(prompt["audioOutputConfiguration"]["sampleRateHertz"], 8000);
        let schema = &prompt["toolConfiguration"]["tools"][0]["toolSpec"]["inputSchema"]["json"];
        assert_eq!(schema, "{\"type\":\"object\"}");
        let [_, without] = Script::begin(1000, None, "tiffany", &[]);
        assert!(without["event"]["promptStart"].get("toolConfiguration").is_none());

        let mut sent: Vec<Value> = script.system("Be brief.").into();
        sent.extend(script.said(Role::Agent, "Hello!"));
        let (start, voice) = script.listen();
        sent.extend([start, voice.says(&[1, -1])]);
        sent.extend(script.told("t1", &json!({"outcome": "booked"})));
        sent.push(voice.ends());
        let parts: Vec<_> = sent
            .iter()
            .map(|event| {
                let (name, body) = event["event"].as_object().unwrap().iter().next().unwrap();
                assert_eq!(body["promptName"], PROMPT);
                (name.as_str(), body["contentName"].as_str().unwrap())
            })
            .collect();
        assert_eq!(
            parts,
            [
                ("contentStart", "block-1"),
                ("textInput", "block-1"),
                ("contentEnd", "block-1"),
                ("contentStart", "block-2"),
                ("textInput", "block-2"),
                ("contentEnd", "block-2"),
                ("contentStart", "block-3"),
                ("audioInput", "block-3"),
                ("contentStart", "block-4"),
                ("toolResult", "block-4"),
                ("contentEnd", "block-4"),
                ("contentEnd", "block-3"),
            ]
        );
        assert_eq!(sent[3]["event"]["contentStart"]["role"], "ASSISTANT");
        assert_eq!(sent[7]["event"]["audioInput"]["content"], "AQD//w==");
        let told = &sent[8]["event"]["contentStart"]["toolResultInputConfiguration"];
        assert_eq!(told["toolUseId"], "t1");
        assert_eq!(sent[9]["event"]["toolResult"]["content"], "{\"outcome\":\"booked\"}");
    }

    proptest! {
        #[test]
        fn no_chunk_makes_it_panic(name in "[a-zA-Z]{0,12}", content in ".{0,40}") {
            let _ = Event::read(content.as_bytes());
            for name in [name.as_str(), "contentStart", "audioOutput", "toolUse", "usageEvent"] {
                let event = json!({"event": {name: {"content": content, "type": content, "role": content,
                    "additionalModelFields": content}}});
                let _ = Event::read(event.to_string().as_bytes());
            }
        }
    }
}
