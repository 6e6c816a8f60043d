use serde::Deserialize;
use serde_json::Value;

use crate::{agents::Agent, understand};

/// The most words of one rule.
const WORDS_MAX: usize = 100;

/// A tenant's rule: who says one of these words is answered by this agent (C3), before any agent is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its agent.
    pub agent: String,
    /// One of these, as a person says it, of one or several words.
    phrases: Vec<Vec<String>>,
    /// Only in calls, or only in chats.
    spoken: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    words: Vec<String>,
    spoken: Option<bool>,
}

impl Rule {
    /// The rule of a tenant's row: `{"words": ["refund", "bring it back"], "spoken": false}`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(agent: &str, condition: &Value, agents: &[Agent]) -> Result<Self, String> {
        let Condition { words, spoken } =
            Condition::deserialize(condition).map_err(|e| e.to_string())?;
        match agents.iter().find(|a| a.name == agent) {
            None => return Err(format!("agent: there is no agent {agent:?}")),
            Some(found) if !found.kind.has_turns() => {
                return Err(format!("agent: {agent:?} classifies, and never answers"));
            }
            Some(_) => {}
        }
        let phrases: Vec<Vec<String>> = words.iter().map(|w| understand::words(w)).collect();
        if phrases.is_empty() || phrases.len() > WORDS_MAX || phrases.iter().any(Vec::is_empty) {
            return Err("words: must be 1 to 100 words or phrases, none of them empty".to_owned());
        }
        Ok(Self { agent: agent.to_owned(), phrases, spoken })
    }

    pub(crate) fn applies(&self, text: &str, spoken: bool) -> bool {
        if self.spoken.is_some_and(|only| only != spoken) {
            return false;
        }
        let said = understand::words(text);
        let is_said = |phrase: &Vec<String>| {
            said.windows(phrase.len()).any(|window| window == phrase.as_slice())
        };
        self.phrases.iter().any(is_said)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::default_agents;

    fn rule(condition: Value) -> Result<Rule, String> {
        Rule::read("fallback", &condition, &default_agents())
    }

    #[test]
    fn a_rule_applies_to_whole_words_and_phrases() {
        let rule = rule(json!({"words": ["refund", "bring it back"], "spoken": true})).unwrap();
        assert!(rule.applies("I want a REFUND!", true));
        assert!(rule.applies("can I bring it back?", true));
        assert!(!rule.applies("you refunded me", true));
        assert!(!rule.applies("bring me back", true));
        assert!(!rule.applies("I want a refund", false), "only in calls");
    }

    #[test]
    fn a_bad_rule_is_refused_with_the_reason() {
        let cases = [
            (json!({"words": []}), "1 to 100"),
            (json!({"words": ["?"]}), "none of them empty"),
            (json!({"word": ["a"]}), "unknown field `word`"),
            (json!({}), "missing field `words`"),
        ];
        for (condition, expected) in cases {
            let reason = rule(condition).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
        let nobody = Rule::read("nobody", &json!({"words": ["a"]}), &default_agents());
        assert!(nobody.unwrap_err().contains("no agent \"nobody\""));
        let silent = Rule::read("classifier", &json!({"words": ["a"]}), &default_agents());
        assert!(silent.unwrap_err().contains("never answers"));
    }
}
