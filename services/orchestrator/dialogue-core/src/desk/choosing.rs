//! Which agent takes a turn (C2).

use super::Desk;
use crate::{
    agents::{Agent, AgentKind},
    classifier::{self, Meaning, Verdict},
    message::Message,
    scoring::{self, Scores, Scoring},
    selection::{Bidder, Choice, select},
    state::State,
};
use domain::Selection;

/// Kinds of message nobody expects an answer to.
const ANSWERLESS_KINDS: [&str; 3] = ["reaction", "revoke", "system"];

impl Desk {
    /// Which agent takes the turn, by the rules' own judgement (C2); `None` when the message wants no answer.
    pub fn choose(&self, state: &State, message: &Message) -> Option<Choice> {
        Some(match self.settled_without_asking(state, message)? {
            Some(choice) => choice,
            None => {
                let (words, current) = (message.words(), state.agent.as_deref());
                let heard = with_heard(state, message);
                let verdict = self.classified(&heard, words.reveal());
                let mut is_kept = current.is_some();
                let fallback = self.name_of(AgentKind::Fallback);
                let choice = select(&self.bidders(), current, fallback, |agent| {
                    let is_current = current == Some(agent);
                    is_kept &= is_current;
                    verdict.confidence_of(self.kind_of(agent), is_current)
                });
                // Who keeps the turn does so without the others, and the words' meaning is no part of why.
                let noted = (!is_kept).then(|| format!("{}; {}", choice.reason, verdict.told()));
                Choice { reason: noted.unwrap_or_else(|| choice.reason.clone()), ..choice }
            }
        })
    }

    /// What the words are about, by the rules; unclear where the tenant's classifier wants to be surer than that.
    fn classified(&self, heard: &State, text: &str) -> Verdict {
        let verdict = classifier::classify(heard, text, &self.services);
        let wins_from = self.classifier().and_then(|agent| agent.wins_from_percent).unwrap_or(0);
        if verdict.confidence < f32::from(wins_from) / 100.0 {
            return Verdict { meaning: Meaning::Unclear, ..verdict };
        }
        verdict
    }

    fn classifier(&self) -> Option<&Agent> {
        self.agents.iter().find(|a| a.kind == AgentKind::IntentClassifier)
    }

    /// Which agent takes the turn where a model said how sure they are (C2). `by` is the model's name.
    pub fn choose_by(
        &self,
        state: &State,
        message: &Message,
        scores: &Scores,
        by: &str,
    ) -> Option<Choice> {
        Some(match self.settled_without_asking(state, message)? {
            Some(choice) => choice,
            None => {
                let (current, fallback) =
                    (state.agent.as_deref(), self.name_of(AgentKind::Fallback));
                let choice =
                    select(&self.bidders(), current, fallback, |agent| scores.confidence(agent));
                let reason = format!("{}; scored by {by}: {}", choice.reason, scores.told());
                Choice { reason, ..choice }
            }
        })
    }

    /// The model that scores the agents, by its name in `SB_LLM`, and what it is asked; `None` where the rules do, or there
    /// is nothing to choose.
    pub fn scoring(&self, state: &State, message: &Message) -> Option<(&str, Scoring)> {
        let by = self.selection.scored_by.as_deref()?;
        let words = message.words();
        let is_open = matches!(self.settled_without_asking(state, message), Some(None));
        if !is_open || words.is_empty() {
            return None;
        }
        let asked: Vec<(&str, &str)> =
            self.bidding().map(|a| (a.name.as_str(), a.instructions.as_str())).collect();
        if asked.is_empty() {
            return None;
        }
        let mut heard = state.clone();
        heard.hear(message.heard.as_ref());
        heard.person_said(message.turn, &message.shown());
        let from = heard.history.len().saturating_sub(scoring::SHOWN + 1);
        let talk = heard.history.split_off(from);
        let classifier = self.classifier().map(|a| (a.name.as_str(), a.instructions.as_str()));
        Some((by, Scoring::new(&asked, classifier, state.agent.as_deref(), talk)))
    }

    /// The choice where no agent has to be asked; `None` where the message wants no answer.
    fn settled_without_asking(&self, state: &State, message: &Message) -> Option<Option<Choice>> {
        if let Some(kind) = message.unreadable() {
            let is_answered = !ANSWERLESS_KINDS.contains(&kind);
            return is_answered.then(|| {
                Some(Choice {
                    agent: self.name_of(AgentKind::Fallback).to_owned(),
                    confidence: 1.0,
                    reason: format!("no agent can read {kind}"),
                })
            });
        }
        if message.is_without_words() {
            let current = state.agent.as_deref().filter(|name| self.speaker(name).is_some());
            return Some(Some(Choice {
                agent: current.unwrap_or(self.name_of(AgentKind::Fallback)).to_owned(),
                confidence: 1.0,
                reason: "there are no words to judge by".to_owned(),
            }));
        }
        let words = message.words();
        let ruled = self
            .rules
            .iter()
            .zip(1..)
            .find(|(rule, _)| rule.applies(words.reveal(), message.spoken));
        Some(ruled.map(|(rule, number)| {
            let reason = format!("rule {number} of the tenant");
            Choice { agent: rule.agent.clone(), confidence: 1.0, reason }
        }))
    }

    fn bidding(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter().filter(|a| a.kind != AgentKind::Fallback && a.kind.has_turns())
    }

    /// The agents with their thresholds (C3).
    fn bidders(&self) -> Vec<Bidder<'_>> {
        let share = |own: Option<u8>, usual: u8| f32::from(own.unwrap_or(usual)) / 100.0;
        let Selection { keeps_above_percent, fallback_under_percent, .. } = self.selection;
        let bidders = self.bidding().map(|agent| Bidder {
            name: &agent.name,
            keeps_above: share(agent.keeps_above_percent, keeps_above_percent),
            wins_from: share(agent.wins_from_percent, fallback_under_percent),
        });
        bidders.collect()
    }
}

/// The state the agents bid on: what was heard is in it, and a reply nobody heard can still be
/// asked for again.
fn with_heard(state: &State, message: &Message) -> State {
    let mut heard = state.clone();
    heard.hear(message.heard.as_ref());
    heard.pending = state.pending.clone();
    heard
}
