//! Which agent takes the turn, where a model says how sure they are (C2).

use std::time::Duration;

use dialogue_core::{Choice, Message, Scores, Scoring, State};

use super::{CHOICE, TurnRun, spent::Spent};
use crate::{
    ledger::TurnLedger,
    llm::{Form, LanguageModel, ModelError, RulesEngine},
};

/// How long the scores of a turn are waited for: the caller waits, and the rules have scores too.
const SCORED_WITHIN: Duration = Duration::from_millis(1500);

/// What the form is called.
const FORM: &str = "score_agents";

impl TurnRun<'_> {
    /// The agent of the turn, and why; `None` when the message wants no answer. A second run finds its choice in the ledger,
    /// and asks nobody.
    pub(super) async fn choose(
        &self,
        ledger: &TurnLedger<'_>,
        state: &State,
        message: &Message,
        spent: &mut Spent,
    ) -> Option<Choice> {
        let desk = &self.tenant.desk;
        let by_the_rules = desk.choose(state, message)?;
        if ledger.value(CHOICE).is_some() {
            return Some(by_the_rules);
        }
        let scoring = desk.scoring(state, message).filter(|(name, _)| *name != RulesEngine::NAME);
        let Some((name, scoring)) = scoring else { return Some(by_the_rules) };
        let because = |why: &str| Choice {
            reason: format!("{}; by the rules, for {name} {why}", by_the_rules.reason),
            ..by_the_rules.clone()
        };
        let Some(model) = self.shell.models.iter().find(|m| m.name() == name) else {
            return Some(because("is not configured"));
        };
        let scored = tokio::select! {
            scored = scores(model.as_ref(), &scoring, spent) => scored,
            // The turn is cut, or soon may be.
            () = self.halted() => return Some(because("was interrupted")),
        };
        match scored {
            Ok(scores) => desk.choose_by(state, message, &scores, model.model()),
            Err(error) => {
                metrics::counter!("orchestrator_scorings_failed_total", "model" => name.to_owned())
                    .increment(1);
                tracing::warn!(model = name, %error, "the rules score the agents");
                Some(because(match error {
                    ModelError::TimedOut(_) => "was late",
                    ModelError::Unreadable(_) => "answered out of form",
                    ModelError::Resting => "rests",
                    _ => "failed",
                }))
            }
        }
    }
}

/// One request for all agents.
async fn scores(
    model: &dyn LanguageModel,
    scoring: &Scoring,
    spent: &mut Spent,
) -> Result<Scores, ModelError> {
    let form = Form {
        name: FORM,
        system: scoring.system.clone(),
        messages: scoring.messages.clone(),
        schema: scoring.schema.clone(),
    };
    let filled = model.fill(&form, SCORED_WITHIN).await?;
    spent.also(model, filled.usage);
    scoring
        .read(&filled.text)
        .ok_or(ModelError::Unreadable("the scores are not what was asked for"))
}
