use aws_smithy_eventstream::smithy::parse_response_headers;
use aws_smithy_types::event_stream::Message;
use serde::{Deserialize, de::DeserializeOwned};

use crate::llm::{ModelError, Usage};

/// Reasons for which a message stops that leave nothing to be used of it (PROTOCOLS 5.2).
const FAILED: [&str; 3] =
    ["malformed_model_output", "malformed_tool_use", "model_context_window_exceeded"];

/// An event of an answer, as far as it matters.
pub(super) enum Event {
    /// More text.
    Text(String),
    /// Block `block` asks for a tool.
    Asks { block: usize, id: String, name: String },
    /// More of the arguments that block `block` asks with.
    Arguments { block: usize, piece: String },
    /// The message is whole.
    Stop,
    /// What it took.
    Usage(Usage),
    /// What does not matter here, or a later version sends.
    Nothing,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStart {
    #[serde(default)]
    content_block_index: usize,
    start: Option<Start>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    tool_use: Option<ToolUse>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse {
    tool_use_id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta {
    #[serde(default)]
    content_block_index: usize,
    delta: Option<Piece>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece {
    text: Option<String>,
    tool_use: Option<Input>,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    input: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageStop {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    usage: Option<MetadataUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataUsage {
    #[serde(default)]
    input_tokens: u32,
    #[serde(default)]
    output_tokens: u32,
}

impl Event {
    /// The event of a frame.
    ///
    /// # Errors
    /// When it reports a failure, or cannot be read.
    pub(super) fn read(message: &Message) -> Result<Self, ModelError> {
        let head = parse_response_headers(message)
            .map_err(|_| ModelError::Unreadable("a frame does not say what it is"))?;
        let kind = head.smithy_type.as_str();
        if head.message_type.as_str() != "event" {
            return Err(ModelError::BrokeOff(super::error_name(kind)));
        }
        let payload = message.payload();
        Ok(match kind {
            "contentBlockStart" => {
                let BlockStart { content_block_index, start } = parsed(payload)?;
                match start.and_then(|start| start.tool_use) {
                    Some(ToolUse { tool_use_id, name }) => {
                        Self::Asks { block: content_block_index, id: tool_use_id, name }
                    }
                    None => Self::Nothing,
                }
            }
            "contentBlockDelta" => {
                let BlockDelta { content_block_index, delta } = parsed(payload)?;
                match delta {
                    Some(Piece { text: Some(text), .. }) => Self::Text(text),
                    Some(Piece { tool_use: Some(Input { input }), .. }) => {
                        Self::Arguments { block: content_block_index, piece: input }
                    }
                    _ => Self::Nothing,
                }
            }
            "messageStop" => match parsed::<MessageStop>(payload)?.stop_reason {
                Some(reason) if FAILED.contains(&reason.as_str()) => {
                    return Err(ModelError::BrokeOff(reason));
                }
                _ => Self::Stop,
            },
            "metadata" => match parsed::<Metadata>(payload)?.usage {
                Some(MetadataUsage { input_tokens, output_tokens }) => {
                    Self::Usage(Usage { tokens_in: input_tokens, tokens_out: output_tokens })
                }
                None => Self::Nothing,
            },
            _ => Self::Nothing,
        })
    }
}

fn parsed<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ModelError> {
    serde_json::from_slice(payload)
        .map_err(|_| ModelError::Unreadable("an event is not what its name says"))
}
