//! Language models behind one trait, asked in the order of `SB_LLM` (C7).

mod bedrock;
mod embeddings;
mod guarded;
mod openai;
mod patience;
mod rules;
mod sonic;
pub mod sse;
mod tool_calls;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use dialogue_core::{Prompt, Utterance, tool::ToolSchema};
use domain::{Personal, Sound};
use futures::{StreamExt as _, stream::BoxStream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

pub use bedrock::{Access as BedrockAccess, AwsIdentity, Bedrock, BedrockSettings};
pub use embeddings::{EmbeddingSettings, Embeddings};
pub use guarded::Guarded;
pub use openai::{OpenAi, OpenAiSettings};
#[cfg(test)]
pub(crate) use patience::Patience;
pub use rules::RulesEngine;
pub use sonic::{Sonic, SonicSettings};

/// What a model that goes on with a reply is told besides.
const GO_ON: &str =
    "You have begun to answer. Go on right after your last sentence and repeat nothing.";

/// The most tokens one answer of a model may have; a spoken reply has some dozens.
const ANSWER_TOKENS_MAX: u32 = 1_000;

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
    /// What a model that hears and speaks needs besides; `None` where there is nothing to hear.
    pub hearing: Option<Hearing>,
}

/// What a model that hears and speaks is asked.
#[derive(Clone, Debug)]
pub struct Hearing {
    /// The person's last words as they sounded.
    pub sound: Sound,
    /// [`Request::exchanges`] with those still to come: it waits for them on the stream that asks.
    pub told: watch::Receiver<Vec<Exchange>>,
}

impl Request {
    /// The same without its file, where it has one and `error` is a refusal that may be for that: many models do not look at
    /// files, and answer what is said of it.
    fn without_file(&self, error: &ModelError) -> Option<Self> {
        let prompt = self.prompt.as_ref().filter(|prompt| prompt.file.is_some())?;
        let ModelError::Refused { status: 400 | 404 | 413 | 415 | 422, .. } = error else {
            return None;
        };
        Some(Self { prompt: Some(prompt.without_file()), ..self.clone() })
    }

    /// What stands in the ledger after the last tools were asked for: it is gone on with.
    fn begun(&self) -> &[String] {
        let told = self.exchanges.last().map_or(0, |e| e.said).min(self.said.len());
        &self.said[told..]
    }
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
    /// A whole sentence with its sound, of a model that speaks.
    Spoken(Spoken),
    /// The message ends with requests for tools.
    Asked(Vec<Asked>),
    /// What it took, once, where the vendor says.
    Usage(Usage),
}

/// A sentence of a model that speaks.
#[derive(Clone, PartialEq, Eq)]
pub struct Spoken {
    /// Its words.
    pub text: String,
    /// Its sound: mu-law, 8 kHz.
    pub audio: Vec<u8>,
}

/// How much there is, not what is said.
impl fmt::Debug for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spoken")
            .field("chars", &self.text.chars().count())
            .field("bytes", &self.audio.len())
            .finish()
    }
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

/// The body of a vendor's answer, piece by piece as it comes.
pub type AnswerBytes = BoxStream<'static, Result<Bytes, ModelError>>;

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

    /// Whether it hears and speaks: it answers [`Hearing::sound`] with [`Delta::Spoken`], and waits for what comes of its
    /// tools on the stream that asked for them. It can be asked for nothing else.
    fn speaks(&self) -> bool {
        false
    }

    /// Asks for a reply, as a stream.
    ///
    /// # Errors
    /// When the model does not begin to answer.
    async fn reply(&self, request: &Request) -> Result<Deltas, ModelError>;

    /// Asks for JSON of a schema, whole, within `within`.
    ///
    /// # Errors
    /// As [`reply`](Self::reply), when it breaks off or takes longer; always by a model that cannot.
    async fn fill(&self, _form: &Form, _within: Duration) -> Result<Filled, ModelError> {
        Err(ModelError::NoWords)
    }
}

/// What a model is asked to say as JSON.
#[derive(Clone, Debug)]
pub struct Form {
    /// Names the form to the model: letters, digits and `_`.
    pub name: &'static str,
    /// What it is told beforehand.
    pub system: Personal,
    /// The talk it is about.
    pub messages: Vec<Utterance>,
    /// The JSON Schema of the answer.
    pub schema: Value,
}

/// A form as a model filled it.
#[derive(Clone, PartialEq, Debug)]
pub struct Filled {
    /// JSON, if the model did as it was told.
    pub text: String,
    /// What it took, where the vendor says.
    pub usage: Usage,
}

/// The longest filled form taken, in bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// Puts an answer together that is a filled form: text, or the arguments of the tool that had to be used.
async fn filled(mut deltas: Deltas) -> Result<Filled, ModelError> {
    let (mut text, mut usage) = (String::new(), Usage::default());
    while let Some(delta) = deltas.next().await {
        match delta? {
            Delta::Text(piece) => text.push_str(&piece),
            Delta::Asked(asked) => {
                text = asked.into_iter().next().map(|a| a.arguments).unwrap_or_default();
            }
            Delta::Spoken(_) => {}
            Delta::Usage(told) => usage = told,
        }
        if text.len() > FORM_BYTES_MAX {
            return Err(ModelError::Unreadable("a form has no end"));
        }
    }
    Ok(Filled { text, usage })
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
