//! Language models behind one trait, asked in the order of `SB_LLM` (C7).

mod embeddings;
mod guarded;
mod openai;
mod rules;
pub mod sse;

use std::fmt;

use async_trait::async_trait;
use dialogue_core::{Prompt, tool::ToolSchema};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use embeddings::{EmbeddingSettings, Embeddings};
pub use guarded::Guarded;
#[cfg(test)]
pub(crate) use openai::Patience;
pub use openai::{OpenAi, OpenAiSettings};
pub use rules::RulesEngine;

/// What a model is asked for one turn.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it is told, ending with the person's words; `None` where there are no words to answer,
    /// which only the rules engine can do.
    pub prompt: Option<Prompt>,
    /// The sentences of the reply that stand in the ledger already. What is streamed follows them.
    pub said: Vec<String>,
    /// The rules engine's reply.
    pub scripted: String,
    /// The tools it may ask for.
    pub tools: Vec<ToolSchema>,
    /// What it asked for in this turn and what came of it, in order.
    pub exchanges: Vec<Exchange>,
}

/// A tool a model asked for, in its own words.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The model's name of the request.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as they were streamed, JSON or not.
    pub arguments: String,
}

/// Without the arguments: they may hold what the person said.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A tool a model asked for and what it is told came of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Exchange {
    /// The request.
    pub asked: Asked,
    /// Those of one message of the model have the same.
    pub round: u32,
    /// How many sentences of the reply stood when it asked.
    pub said: usize,
    /// What it is told.
    pub told: Value,
}

/// A piece of an answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Delta {
    /// More text.
    Text(String),
    /// The message ends with requests for tools.
    Asked(Vec<Asked>),
    /// What it took, once, where the vendor says.
    Usage(Usage),
}

/// What a model's tokens cost, in US dollars a million: as many millionths of a dollar a token.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Price {
    /// Of those it reads.
    pub tokens_in: f64,
    /// Of those it writes.
    pub tokens_out: f64,
}

impl Price {
    /// In millionths of a US dollar.
    pub fn of(&self, usage: Usage) -> f64 {
        self.tokens_in * f64::from(usage.tokens_in) + self.tokens_out * f64::from(usage.tokens_out)
    }
}

/// Tokens, for C9.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// Tokens read.
    pub tokens_in: u32,
    /// Tokens written.
    pub tokens_out: u32,
}

/// An answer on its way. It ends when the model is done; an error is its last item. Dropping it
/// closes the connection to the vendor.
pub type Deltas = BoxStream<'static, Result<Delta, ModelError>>;

/// A language model.
#[async_trait]
pub trait LanguageModel: Send + Sync {
    /// Its name in `SB_LLM` and metrics.
    fn name(&self) -> &str;

    /// The name stored with a turn (C9).
    fn model(&self) -> &str;

    /// What its tokens cost.
    fn price(&self) -> Price {
        Price::default()
    }

    /// Asks for a reply, as a stream.
    ///
    /// # Errors
    /// When the model does not begin to answer.
    async fn reply(&self, request: &Request) -> Result<Deltas, ModelError>;
}

/// Why a model did not answer, or broke off. Holds nothing of what was asked or answered.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No connection, or it broke.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// The vendor refused.
    #[error("refused with status {status}, code {code}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The vendor's error code or type.
        code: String,
    },
    /// It said nothing for too long.
    #[error("timed out waiting for the {0} token")]
    TimedOut(Waiting),
    /// The stream reported an error in its midst.
    #[error("the stream broke off with error {0}")]
    BrokeOff(String),
    /// It sent what cannot be read.
    #[error("unreadable stream: {0}")]
    Unreadable(&'static str),
    /// It was not asked: it failed lately.
    #[error("it failed lately and was not asked")]
    Resting,
    /// There are no words it could answer.
    #[error("nothing to answer")]
    NoWords,
}

/// What a model was waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// The first token of the answer.
    First,
    /// The next one.
    Next,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Next => "next",
        })
    }
}
