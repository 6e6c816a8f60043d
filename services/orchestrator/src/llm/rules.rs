use async_trait::async_trait;
use dialogue_core::sentences;
use futures::{StreamExt as _, stream};

use crate::llm::{Delta, Deltas, LanguageModel, ModelError, Request};

/// The rules engine of `dialogue-core` as a language model: needs no key, never fails, and answers
/// the same to the same (C7).
pub struct RulesEngine;

impl RulesEngine {
    /// Its name in `SB_LLM`.
    pub const NAME: &'static str = "rules";
}

#[async_trait]
impl LanguageModel for RulesEngine {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn model(&self) -> &str {
        Self::NAME
    }

    /// Streams the scripted reply. A run before this one said its first sentences, so the rest is
    /// found by counting.
    async fn reply(&self, request: &Request) -> Result<Deltas, ModelError> {
        let rest = sentences(&request.scripted).into_iter().skip(request.said.len());
        let rest: Vec<_> = rest.map(|sentence| Ok(Delta::Text(sentence))).collect();
        Ok(stream::iter(rest).boxed())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_second_run_says_the_rest_only() {
        let request = Request {
            prompt: None,
            said: vec!["One.".into()],
            scripted: "One. Two. Three.".into(),
            tools: Vec::new(),
            exchanges: Vec::new(),
            hearing: None,
        };
        let rest: Vec<Delta> =
            RulesEngine.reply(&request).await.unwrap().try_collect().await.unwrap();
        assert_eq!(rest, [Delta::Text(" Two.".into()), Delta::Text(" Three.".into())]);
    }
}
