//! The end of a turn: who is told of it, and what the ledger keeps.

use anyhow::{Context as _, anyhow};
use bus::{Destination, SendError};
use cache::Sequel;
use dialogue_core::{
    join,
    tool::{Done, Escalated, Outcome, ToolRequest},
};
use domain::{
    CallSid, Envelope, Handover, MessageSent, OfferedChoice, Payload, Personal, ReplyFinished,
    ReplyWritten, SentForm, Stage, Timestamp, TurnAccount,
};
use serde::{Deserialize, Serialize};

use super::{REPLY, TurnRun};
use crate::ledger::TurnLedger;

/// What the ledger keeps of a finished turn, so that its end can be published again.
#[derive(Serialize, Deserialize)]
pub(super) struct Ending {
    pub(super) is_cut: bool,
    pub(super) hang_up: bool,
    /// What the human is told to whom the call goes after the reply.
    #[serde(default)]
    pub(super) summary: Option<String>,
    /// What the person is to choose from.
    #[serde(default)]
    pub(super) choices: Vec<StoredOffer>,
    pub(super) agent: String,
    pub(super) confidence: f32,
    pub(super) reason: String,
    pub(super) model: String,
    pub(super) processing_ms: u32,
    pub(super) tokens_in: u32,
    pub(super) tokens_out: u32,
    /// In millionths of a US dollar.
    #[serde(default)]
    pub(super) cost_micros: u64,
    pub(super) first_sentence_us: Option<i64>,
}

/// An answer to choose, as the ledger keeps it.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredOffer {
    id: String,
    title: String,
    #[serde(default)]
    description: Option<String>,
}

impl StoredOffer {
    fn choice(&self) -> OfferedChoice {
        OfferedChoice {
            id: self.id.clone(),
            title: self.title.as_str().into(),
            description: self.description.as_deref().map(Into::into),
        }
    }
}

impl From<OfferedChoice> for StoredOffer {
    fn from(choice: OfferedChoice) -> Self {
        let description = choice.description.map(Personal::into_revealed);
        Self { id: choice.id, title: choice.title.into_revealed(), description }
    }
}

impl Ending {
    /// C9. The vendor's own name of the model is worth more than its place in the list.
    fn account(&self, run: &TurnRun<'_>) -> TurnAccount {
        let models = &run.shell.models;
        let model =
            models.iter().find(|m| m.name() == self.model).map_or(&*self.model, |m| m.model());
        TurnAccount {
            agent: self.agent.clone(),
            confidence: self.confidence,
            reason: self.reason.clone(),
            model: model.to_owned(),
            processing_ms: self.processing_ms,
            tokens_in: self.tokens_in,
            tokens_out: self.tokens_out,
            cost_micros: self.cost_micros,
        }
    }
}

impl TurnRun<'_> {
    /// Says that the reply is over: to the call's edge task, and to the topic for the history.
    pub(super) async fn publish_end(
        &self,
        ledger: &TurnLedger<'_>,
        ending: &Ending,
    ) -> anyhow::Result<()> {
        let sentences = ledger.sentences();
        match &self.call {
            Some(call) if !ending.is_cut && self.message.gathered => {
                self.hand_over_written(call, ledger, ending).await?
            }
            Some(call) if !ending.is_cut => self.tell_edge(call, ledger, ending).await?,
            _ => {}
        }
        if sentences.is_empty() {
            return Ok(());
        }
        let sent = MessageSent {
            to: self.message.from.clone(),
            from: self.message.to.clone(),
            text: join(sentences).into(),
            in_reply_to: self.message.external_id.clone(),
            attempt: ledger.attempt(),
            account: ending.account(self),
            choices: ending.choices.iter().map(StoredOffer::choice).collect(),
            form: SentForm::Text,
        };
        let sent = self.finished(REPLY, sent, ending).with_turn(self.turn);
        self.out.publish(&[sent]).await.context("publish the reply")
    }

    async fn tell_edge(
        &self,
        call: &CallSid,
        ledger: &TurnLedger<'_>,
        ending: &Ending,
    ) -> anyhow::Result<()> {
        let attempt = ledger.attempt();
        let listens_in = self.listens_in(call, &ending.agent).await;
        let finished = ReplyFinished {
            call: call.clone(),
            attempt,
            sentences: u32::try_from(ledger.sentences().len()).unwrap_or(u32::MAX),
            hang_up: ending.hang_up,
            transfer: self.handover(ending),
            listens_in,
        };
        let name = format!("reply-finished:{attempt}");
        // It does not expire: an edge task that hears late of the end still has to know of it.
        let job = self.envelope.follow(&name, Timestamp::now(), finished);
        self.to_holder(call, job).await.context("tell the edge task that the reply is over")
    }

    /// Sends a job to the task that holds the call.
    pub(super) async fn to_holder(&self, call: &CallSid, job: Envelope) -> anyhow::Result<()> {
        let holder = self.shell.cache.edge_of(call).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "who holds the call is not known; answering to who asked");
            None
        });
        let Some(queue) = holder.or_else(|| self.envelope.reply_to.clone()) else {
            return Err(anyhow!("nobody holds the call"));
        };
        Ok(self.send_to_edge(queue, job).await?)
    }

    /// What `agent` speaks; `None` where all agents speak the tenant's language: nothing ever changes there.
    fn language(&self, agent: &str) -> Option<String> {
        let desk = &self.tenant.desk;
        desk.speaks_several().then(|| desk.voice(agent).language)
    }

    /// The language in which the caller is recognised after the reply of `agent`, noted for a task that takes the call over.
    async fn listens_in(&self, call: &CallSid, agent: &str) -> Option<String> {
        let language = self.language(agent)?;
        if let Err(error) = self.shell.cache.set_listens_in(call, &language).await {
            tracing::warn!(%error, "a task that takes the call over listens in the tenant's language");
        }
        Some(language)
    }

    /// Gives the whole reply to the edge task whose webhook waits for it, and keeps it where another
    /// finds it, should that one die or be too late for its vendor (A3).
    async fn hand_over_written(
        &self,
        call: &CallSid,
        ledger: &TurnLedger<'_>,
        ending: &Ending,
    ) -> anyhow::Result<()> {
        let attempt = ledger.attempt();
        let reply = ReplyWritten {
            call: call.clone(),
            attempt,
            text: join(ledger.sentences()).into(),
            hang_up: ending.hang_up,
            transfer: self.handover(ending),
            language: self.language(&ending.agent),
        };
        let kept = self.shell.cache.keep_reply(self.turn, &reply).await;
        if let Err(error) = &kept {
            tracing::warn!(%error, "a written reply is not kept; only the task that asked gets it");
        }
        let Some(queue) = self.envelope.reply_to.clone() else {
            return kept.context("nobody asked for the reply, and it is not kept");
        };
        let job = self.finished(&format!("reply-written:{attempt}"), reply, ending);
        self.send_to_edge(queue, job).await.context("give the reply to the edge task")
    }

    /// What tells of the whole reply, with the stages that it has passed here.
    fn finished(&self, name: &str, payload: impl Into<Payload>, ending: &Ending) -> Envelope {
        let now = Timestamp::now();
        let mut envelope = self.envelope.follow(name, now, payload);
        envelope.stamp(Stage::ORCHESTRATOR_STARTED, self.started_at);
        if let Some(at) = ending.first_sentence_us {
            envelope.stamp(Stage::FIRST_SENTENCE, Timestamp::from_micros(at));
        }
        envelope.stamp(Stage::REPLY_FINISHED, now);
        envelope
    }

    /// What becomes of the call once the reply was heard: of one that was cut, nothing.
    pub(super) fn sequel(&self, ending: &Ending) -> Sequel {
        match ending.is_cut {
            true => Sequel::default(),
            false => Sequel { hang_up: ending.hang_up, transfer: self.handover(ending) },
        }
    }

    fn handover(&self, ending: &Ending) -> Option<Handover> {
        let to = self.tenant.settings.human()?.into();
        Some(Handover { to, summary: ending.summary.as_deref()?.into() })
    }

    async fn send_to_edge(&self, queue: String, job: Envelope) -> Result<(), SendError> {
        match self.out.send(&Destination::Task(queue), &[job]).await {
            // The task is gone; whoever takes the call over asks for what it needs.
            Err(SendError::QueueGone(_)) => {
                metrics::counter!("orchestrator_edge_gone_total").increment(1);
                Ok(())
            }
            result => result,
        }
    }
}

/// What the human is told whom the turn has put the call through to.
pub(super) fn summary_for_human(done: &[Done]) -> Option<String> {
    done.iter().find_map(|done| match (&done.call.request, &done.outcome) {
        (ToolRequest::Escalate(wanted), Outcome::Escalated(Escalated::Transferring)) => {
            Some(wanted.summary.reveal().to_owned())
        }
        _ => None,
    })
}
