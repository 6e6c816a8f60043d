use serde::Deserialize;
use serde_json::Value;

use crate::llm::tool_calls::Fragment;

/// A chunk, as far as it matters. Compatible servers leave out, null or add what they like.
#[derive(Deserialize)]
pub(super) struct Chunk {
    pub(super) choices: Option<Vec<ChunkChoice>>,
    pub(super) usage: Option<ChunkUsage>,
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct ChunkChoice {
    pub(super) delta: Option<ChunkDelta>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ChunkDelta {
    pub(super) content: Option<String>,
    pub(super) tool_calls: Option<Vec<Fragment>>,
}

#[derive(Deserialize)]
pub(super) struct ChunkUsage {
    pub(super) prompt_tokens: Option<u32>,
    pub(super) completion_tokens: Option<u32>,
}
