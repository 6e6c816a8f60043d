//! What the reply to a turn is made from: the rules, models, and what tools did for either.

use std::sync::Arc;

use anyhow::Context as _;
use boot::crash_point;
use dialogue_core::{
    Answer, Choice, State, Step, join,
    tool::{Call, Done, Outcome},
};
use serde::{Deserialize, Serialize};

use super::{MODEL, TurnRun, ending::StoredOffer};
use crate::{
    ledger::TurnLedger,
    llm::{Asked, Exchange, LanguageModel, RulesEngine},
    tools::{self, Scene},
};

/// Before the index of a tool call: what came of it.
const TOOL: &str = "tool:";

/// Why a model's second wish of the same kind is not fulfilled.
const DONE_ALREADY: &str =
    "this was done in this turn already; tell the person, and change more in the next turn";

/// What the reply to a turn is made from.
pub(super) struct Thinking<'a> {
    pub(super) state: &'a State,
    pub(super) message: &'a dialogue_core::Message,
    pub(super) choice: &'a Choice,
    /// What was done in the turn, by the rules or a model.
    pub(super) done: Vec<Done>,
    /// What models asked for in the turn and were told.
    pub(super) exchanges: Vec<Exchange>,
    /// Whether a model has changed something in the turn; the rules know nothing of it.
    has_acted: bool,
}

/// Where in the reply a model asked for a tool.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) asked: Asked,
    pub(super) round: u32,
    /// How many sentences stood.
    pub(super) said: usize,
}

/// What the ledger keeps of a tool: enough for a second run to tell the model what it did.
#[derive(Serialize, Deserialize)]
struct StoredDone {
    #[serde(flatten)]
    done: Done,
    /// `None` where the rules asked.
    #[serde(default)]
    by_model: Option<Place>,
}

impl<'a> Thinking<'a> {
    /// The turn as earlier runs of it left it.
    pub(super) fn resume(
        run: &TurnRun<'_>,
        ledger: &TurnLedger<'_>,
        state: &'a State,
        message: &'a dialogue_core::Message,
        choice: &'a Choice,
    ) -> anyhow::Result<Self> {
        let (done, exchanges, has_acted) = (Vec::new(), Vec::new(), false);
        let mut thinking = Self { state, message, choice, done, exchanges, has_acted };
        let names = (0..dialogue_core::tool::CALLS_MAX).map(|index| format!("{TOOL}{index}"));
        for standing in names.map_while(|name| ledger.value(&name)) {
            let StoredDone { done, by_model } =
                serde_json::from_str(standing).context("read what a tool did")?;
            let told = run.tenant.desk.told(&done.outcome);
            thinking.has_acted |= by_model.is_some() && done.outcome.has_happened();
            thinking.exchanges.extend(by_model.map(|place| place.told(told)));
            thinking.done.push(done);
        }
        Ok(thinking)
    }

    /// The number of the round that a model begins by asking for tools.
    pub(super) fn next_round(&self) -> u32 {
        self.exchanges.last().map_or(1, |last| last.round + 1)
    }

    /// Whether nothing was said since a model asked for tools.
    pub(super) fn is_owed(&self, said: usize) -> bool {
        self.exchanges.last().is_some_and(|last| last.said >= said)
    }
}

impl Place {
    pub(super) fn told(self, told: serde_json::Value) -> Exchange {
        Exchange { asked: self.asked, round: self.round, said: self.said, told }
    }
}

impl TurnRun<'_> {
    /// The models to ask, in order. Where there are no words only the rules engine has an answer, and one that hears and
    /// speaks is asked only where there is something to hear and somebody listens.
    pub(super) fn models(&self, has_words: bool) -> Vec<Arc<dyn LanguageModel>> {
        if !has_words {
            return vec![Arc::new(RulesEngine)];
        }
        let is_talk = self.speaks_to().is_some() && self.message.speech.is_some();
        let known: Vec<_> =
            self.shell.models.iter().filter(|m| is_talk || !m.speaks()).cloned().collect();
        let wanted = self.tenant.settings.models.iter();
        let own: Vec<_> =
            wanted.filter_map(|name| known.iter().find(|m| m.name() == name)).cloned().collect();
        if own.is_empty() { known } else { own }
    }

    /// What a model is asked, and the context after its reply. When the message came, not the clock,
    /// so that a second run answers alike.
    pub(super) fn considered(&self, thinking: &Thinking<'_>) -> Answer {
        let Thinking { state, message, choice, done, .. } = thinking;
        self.tenant.desk.consider(state, message, choice, self.envelope.occurred_at, done)
    }

    /// The rules' reply, with the tools run that they need for it. Where a model changed something before it failed, they
    /// say that and nothing else: they would do it once more.
    pub(super) async fn by_the_rules(
        &self,
        ledger: &mut TurnLedger<'_>,
        thinking: &mut Thinking<'_>,
    ) -> anyhow::Result<String> {
        if thinking.has_acted {
            return Ok(self.tenant.desk.said_of(&thinking.done).unwrap_or_default());
        }
        loop {
            let Thinking { state, message, choice, done, .. } = &*thinking;
            let at = self.envelope.occurred_at;
            match self.tenant.desk.answer(state, message, choice, at, done) {
                Step::Answer(answer) => return Ok(answer.scripted),
                Step::Run(call) => {
                    self.run_tool(ledger, thinking, call, None).await?;
                }
            }
        }
    }

    /// The context after the turn, by whoever made the reply.
    pub(super) fn settled(&self, ledger: &TurnLedger<'_>, thinking: &Thinking<'_>) -> Answer {
        let Thinking { state, message, choice, done, .. } = thinking;
        let is_scripted = ledger.value(MODEL).is_none_or(|model| model == RulesEngine::NAME);
        let at = self.envelope.occurred_at;
        match self.tenant.desk.answer(state, message, choice, at, done) {
            Step::Answer(answer) if is_scripted && !thinking.has_acted => *answer,
            _ => self.considered(thinking),
        }
    }

    /// What a person who writes may choose from below the reply, whoever wrote it.
    pub(super) fn offered(
        &self,
        ledger: &TurnLedger<'_>,
        thinking: &Thinking<'_>,
        state: &State,
    ) -> Vec<StoredOffer> {
        if self.call.is_some() {
            return Vec::new();
        }
        let is_scripted = ledger.value(MODEL).is_none_or(|model| model == RulesEngine::NAME);
        let reply = join(ledger.sentences());
        let reply = (reply.as_str(), is_scripted && !thinking.has_acted);
        let at = self.envelope.occurred_at;
        let choices = self.tenant.desk.choices(reply, state, &thinking.done, at);
        choices.into_iter().map(StoredOffer::from).collect()
    }

    /// Runs a tool that a model asked for, and keeps what it is told.
    pub(super) async fn run_asked(
        &self,
        ledger: &mut TurnLedger<'_>,
        thinking: &mut Thinking<'_>,
        call: Call,
        place: Place,
    ) -> anyhow::Result<()> {
        let outcome = self.run_tool(ledger, thinking, call, Some(place.clone())).await?;
        let told = self.tenant.desk.told(&outcome);
        thinking.exchanges.push(place.told(told));
        Ok(())
    }

    /// Runs a tool, unless this or an earlier run of the turn has, and records what came of it.
    pub(super) async fn run_tool(
        &self,
        ledger: &mut TurnLedger<'_>,
        thinking: &mut Thinking<'_>,
        call: Call,
        by_model: Option<Place>,
    ) -> anyhow::Result<Outcome> {
        if let Some(done) = thinking.done.iter().find(|d| d.call.index == call.index) {
            return Ok(done.outcome.clone());
        }
        let name = format!("{TOOL}{}", call.index);
        let is_repeated = by_model.is_some()
            && call.request.has_effect()
            && thinking
                .done
                .iter()
                .any(|d| d.call.request.name() == call.request.name() && d.outcome.has_happened());
        let outcome = match is_repeated {
            true => Outcome::Refused(DONE_ALREADY.to_owned()),
            false => self.run_outside(&call, &thinking.done).await?,
        };
        crash_point("orchestrator.tool-run");
        let ours = StoredDone { done: Done { call, outcome }, by_model };
        let ours = serde_json::to_string(&ours).context("encode what a tool did")?;
        let standing = ledger.record_value(&name, &ours).await?;
        let StoredDone { done, by_model } =
            serde_json::from_str(&standing).context("read what a tool did")?;
        thinking.has_acted |= by_model.is_some() && done.outcome.has_happened();
        let outcome = done.outcome.clone();
        thinking.done.push(done);
        Ok(outcome)
    }

    async fn run_outside(&self, call: &Call, done: &[Done]) -> anyhow::Result<Outcome> {
        let scene = Scene {
            shell: self.shell,
            out: self.out,
            tenant: self.tenant,
            envelope: self.envelope,
            from: &self.message.from,
            to: &self.message.to,
            turn: self.turn,
            at: self.envelope.occurred_at,
        };
        tools::run(&scene, call, done).await
    }
}
