//! One turn, from the words that came in to the reply that left (DESIGN 3.4).
//!
//! Every step can be the last one of this process. What has been said stands in the ledger before it
//! is sent, so that whoever runs the turn next sends the same sentences under the same ids and goes
//! on from there.

use std::{pin::pin, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use boot::crash_point;
use bus::{Destination, Queue, SendError};
use dialogue_core::{
    Answer, Choice, Reply, ReplyAction, ReplyInput, State, Step, join,
    tool::{Call, Done, Escalated, Outcome, ToolRequest},
};
use domain::{
    CallSid, Envelope, Handover, MessageReceived, MessageSent, ReplyFinished, ReplyWritten,
    SpeakSentence, SpeechRate, Stage, Timestamp, Turn, TurnAccount,
};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    Shell,
    context::Context,
    ledger::TurnLedger,
    llm::{Asked, Delta, Deltas, Exchange, LanguageModel, ModelError, Request, RulesEngine, Usage},
    outlet::Outlet,
    tenants::Tenant,
    tools::{self, Scene},
};

/// How often the fence is read while a model is waited for (DESIGN 2, "Turn fence").
const FENCE_EVERY: Duration = Duration::from_millis(100);

/// What is spoken later than this after the end of the caller's turn is dropped (DESIGN 2).
const SPEAK_WITHIN: Duration = Duration::from_secs(10);

/// How long models may stream one reply: of a call, what could still be spoken; of a chat, what a
/// person waits for.
const SPOKEN_STREAM_MAX: Duration = Duration::from_secs(10);
const WRITTEN_STREAM_MAX: Duration = Duration::from_secs(60);

/// The ledger's names for the agent chosen and for the model whose sentences stand there.
const CHOICE: &str = "choice";
const MODEL: &str = "model";

/// Before the index of a tool call: what came of it.
const TOOL: &str = "tool:";

/// What a turn works on.
pub(crate) struct TurnRun<'a> {
    pub(crate) shell: &'a Shell,
    pub(crate) out: &'a dyn Outlet,
    pub(crate) tenant: &'a Tenant,
    pub(crate) envelope: &'a Envelope,
    pub(crate) message: &'a MessageReceived,
    pub(crate) turn: Turn,
    /// The live call; `None` on a chat.
    pub(crate) call: Option<CallSid>,
    pub(crate) started_at: Timestamp,
}

/// What the reply to a turn is made from.
struct Thinking<'a> {
    state: &'a State,
    message: &'a dialogue_core::Message,
    choice: &'a Choice,
    /// What was done in the turn, by the rules or a model.
    done: Vec<Done>,
    /// What the model asked for in this run.
    exchanges: Vec<Exchange>,
}

/// How the reply came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// All of it was sent.
    Whole,
    /// The caller spoke over it, or waits for it no longer.
    Cut,
}

/// What was used for a reply.
#[derive(Default)]
struct Spent {
    usage: Usage,
    first_sentence_at: Option<Timestamp>,
}

impl TurnRun<'_> {
    /// Answers the turn, or ends what an earlier run of it began.
    ///
    /// # Errors
    /// When the turn has to be run again; what stands in the ledger by then is not said anew.
    pub(crate) async fn run(
        self,
        mut context: Context,
        mut ledger: TurnLedger<'_>,
    ) -> anyhow::Result<()> {
        let Self { shell, tenant, envelope, turn, .. } = self;
        if let Some(finished) = ledger.finished() {
            return self.publish_again(&ledger, finished).await;
        }
        if context.state.has(turn) {
            // The context is written after everything was published, so nothing is left to do.
            return Ok(());
        }
        let message = dialogue_core::Message {
            turn,
            text: self.message.text.clone(),
            kind: self.message.kind.clone(),
            heard: self.message.heard.clone(),
            spoken: self.call.is_some(),
            from: self.message.from.clone(),
        };
        let Some(choice) = tenant.desk.choose(&context.state, &message) else {
            return Ok(());
        };
        let (choice, is_fenced) =
            tokio::join!(record_choice(&mut ledger, choice), self.is_fenced());
        let choice = choice?;
        metrics::counter!("orchestrator_turns_total", "agent" => choice.agent.clone()).increment(1);
        let mut spent = Spent::default();
        let mut thinking = Thinking {
            state: &context.state,
            message: &message,
            choice: &choice,
            done: done_before(&ledger)?,
            exchanges: Vec::new(),
        };
        let end = match is_fenced {
            true => End::Cut,
            false => self.reply(&mut ledger, &mut thinking, &mut spent).await?,
        };
        let answer = self.settled(&ledger, &thinking);
        if end == End::Cut {
            metrics::counter!("orchestrator_turns_cut_total").increment(1);
        }

        let took = Timestamp::now().since(self.started_at);
        metrics::histogram!("orchestrator_turn_seconds", "channel" => envelope.channel.to_string())
            .record(took);
        let model = ledger.value(MODEL).unwrap_or(RulesEngine::NAME).to_owned();
        let ending = Ending {
            is_cut: end == End::Cut,
            hang_up: answer.hang_up,
            summary: summary_for_human(&thinking.done),
            agent: choice.agent,
            confidence: choice.confidence,
            reason: choice.reason,
            model,
            processing_ms: millis(took),
            tokens_in: spent.usage.tokens_in,
            tokens_out: spent.usage.tokens_out,
            first_sentence_us: spent.first_sentence_at.map(|at| at.as_micros()),
        };
        self.publish_end(&ledger, &ending).await?;
        crash_point("orchestrator.message-sent");

        context.state = answer.state;
        if !ledger.sentences().is_empty() {
            let said = join(ledger.sentences());
            context.state.replied(turn, said.into(), self.call.is_some());
        }
        context.save(&shell.cache, envelope.conversation).await?;
        crash_point("orchestrator.context-written");
        let ending = serde_json::to_string(&ending).context("encode the turn's end")?;
        ledger.finish(&ending).await
    }

    /// A turn that was whole already: its messages once more, under the same ids, for whoever
    /// missed them.
    async fn publish_again(&self, ledger: &TurnLedger<'_>, finished: &str) -> anyhow::Result<()> {
        let ending: Ending = serde_json::from_str(finished).context("read the turn's end")?;
        if !ending.is_cut {
            for index in 0..ledger.sentences().len() {
                if self.is_fenced().await {
                    break;
                }
                self.speak(ledger, index, None).await?;
            }
        }
        self.publish_end(ledger, &ending).await
    }

    /// Sends the reply sentence by sentence until it is whole or no longer wanted.
    async fn reply(
        &self,
        ledger: &mut TurnLedger<'_>,
        thinking: &mut Thinking<'_>,
        spent: &mut Spent,
    ) -> anyhow::Result<End> {
        for index in 0..ledger.sentences().len() {
            if self.is_fenced().await {
                return Ok(End::Cut);
            }
            self.speak(ledger, index, None).await?;
        }
        if self.is_late() {
            return Ok(End::Cut);
        }
        let prompt = self.considered(thinking).prompt;
        let models = self.models(prompt.is_some());
        let made_by = ledger
            .value(MODEL)
            .map(|name| models.iter().position(|m| m.name() == name).unwrap_or(models.len()));
        let said = u32::try_from(ledger.sentences().len()).unwrap_or(u32::MAX);
        let mut reply = Reply::new(models.len(), said, made_by).after(&thinking.done);

        let out_of_time = sleep_until(Instant::now() + self.stream_max());
        let mut out_of_time = pin!(out_of_time);
        let mut fenced = pin!(self.fenced());
        let mut stream: Option<Deltas> = None;
        let mut model: Option<&dyn LanguageModel> = None;
        let mut asked_for: Vec<Asked> = Vec::new();
        let mut actions = reply.step(ReplyInput::Begin);
        loop {
            for action in std::mem::take(&mut actions) {
                match action {
                    ReplyAction::Finish => return Ok(End::Whole),
                    ReplyAction::Say { sentence, .. } => {
                        spent.first_sentence_at.get_or_insert_with(Timestamp::now);
                        if !self.say(ledger, model, &sentence, spent).await? {
                            return Ok(End::Cut);
                        }
                    }
                    ReplyAction::Run { place, call } => {
                        let outcome = self.run_tool(ledger, thinking, call).await?;
                        let asked = asked_for.get(place).cloned();
                        thinking.exchanges.extend(asked.map(|asked| Exchange { asked, outcome }));
                    }
                    ReplyAction::Refuse { place, why } => {
                        let asked = asked_for.get(place).cloned();
                        let outcome = Outcome::Refused(why);
                        thinking.exchanges.extend(asked.map(|asked| Exchange { asked, outcome }));
                    }
                    ReplyAction::Ask(index) => {
                        stream = None;
                        let asked = models[index].as_ref();
                        model = Some(asked);
                        let scripted = match asked.name() == RulesEngine::NAME {
                            true => self.by_the_rules(ledger, thinking).await?.scripted,
                            false => String::new(),
                        };
                        let request = Request {
                            prompt: prompt.clone(),
                            said: ledger.sentences().to_vec(),
                            scripted,
                            // None is told to a model before the shell runs them.
                            tools: Vec::new(),
                            exchanges: thinking.exchanges.clone(),
                        };
                        let asked_at = Instant::now();
                        let begun = tokio::select! {
                            begun = asked.reply(&request) => begun,
                            () = &mut fenced => return Ok(End::Cut),
                            () = &mut out_of_time => {
                                actions = reply.step(ReplyInput::OutOfTime);
                                continue;
                            }
                        };
                        match begun {
                            Ok(deltas) => {
                                metrics::histogram!("orchestrator_model_begin_seconds",
                                    "model" => asked.name().to_owned())
                                .record(asked_at.elapsed());
                                stream = Some(deltas);
                            }
                            Err(error) => actions = self.failed(asked, &error, &mut reply),
                        }
                    }
                }
            }
            if !actions.is_empty() {
                continue;
            }
            let Some(deltas) = stream.as_mut() else {
                bail!("the reply neither ended nor was asked for");
            };
            let item = tokio::select! {
                item = deltas.next() => item,
                () = &mut fenced => return Ok(End::Cut),
                () = &mut out_of_time => {
                    stream = None;
                    actions = reply.step(ReplyInput::OutOfTime);
                    continue;
                }
            };
            actions = match item {
                Some(Ok(Delta::Text(piece))) => reply.step(ReplyInput::Text(&piece)),
                Some(Ok(Delta::Asked(asked))) => {
                    asked_for = asked;
                    stream = None;
                    let requests = asked_for.iter().map(|a| a.request.clone()).collect();
                    reply.step(ReplyInput::Asked(requests))
                }
                Some(Ok(Delta::Usage(usage))) => {
                    spent.usage.tokens_in += usage.tokens_in;
                    spent.usage.tokens_out += usage.tokens_out;
                    Vec::new()
                }
                Some(Err(error)) => match model {
                    Some(asked) => self.failed(asked, &error, &mut reply),
                    None => reply.step(ReplyInput::Failed),
                },
                None => reply.step(ReplyInput::Ended),
            };
        }
    }

    fn failed(
        &self,
        model: &dyn LanguageModel,
        error: &ModelError,
        reply: &mut Reply,
    ) -> Vec<ReplyAction> {
        tracing::warn!(model = model.name(), %error, said = reply.sentences(), "a model failed");
        metrics::counter!("orchestrator_model_failures_total", "model" => model.name().to_owned())
            .increment(1);
        reply.step(ReplyInput::Failed)
    }

    /// The models to ask, in order. Where there are no words only the rules engine has an answer.
    fn models(&self, has_words: bool) -> Vec<std::sync::Arc<dyn LanguageModel>> {
        match has_words {
            true => self.shell.models.clone(),
            false => vec![std::sync::Arc::new(RulesEngine)],
        }
    }

    /// What a model is asked, and the context after its reply. When the message came, not the clock,
    /// so that a second run answers alike.
    fn considered(&self, thinking: &Thinking<'_>) -> Answer {
        let Thinking { state, message, choice, done, .. } = thinking;
        self.tenant.desk.consider(state, message, choice, self.envelope.occurred_at, done)
    }

    /// The answer of the rules, with the tools run that they need for it.
    async fn by_the_rules(
        &self,
        ledger: &mut TurnLedger<'_>,
        thinking: &mut Thinking<'_>,
    ) -> anyhow::Result<Answer> {
        loop {
            let Thinking { state, message, choice, done, .. } = &*thinking;
            let at = self.envelope.occurred_at;
            match self.tenant.desk.answer(state, message, choice, at, done) {
                Step::Answer(answer) => return Ok(answer),
                Step::Run(call) => {
                    self.run_tool(ledger, thinking, call).await?;
                }
            }
        }
    }

    /// The context after the turn, by whoever made the reply.
    fn settled(&self, ledger: &TurnLedger<'_>, thinking: &Thinking<'_>) -> Answer {
        let Thinking { state, message, choice, done, .. } = thinking;
        let is_scripted = ledger.value(MODEL).is_none_or(|model| model == RulesEngine::NAME);
        let at = self.envelope.occurred_at;
        match self.tenant.desk.answer(state, message, choice, at, done) {
            Step::Answer(answer) if is_scripted => answer,
            _ => self.considered(thinking),
        }
    }

    /// Runs a tool, unless this or an earlier run of the turn has, and records what came of it.
    async fn run_tool(
        &self,
        ledger: &mut TurnLedger<'_>,
        thinking: &mut Thinking<'_>,
        call: Call,
    ) -> anyhow::Result<Outcome> {
        if let Some(done) = thinking.done.iter().find(|d| d.call.index == call.index) {
            return Ok(done.outcome.clone());
        }
        let name = format!("{TOOL}{}", call.index);
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
        let outcome = tools::run(&scene, &call, &thinking.done).await?;
        crash_point("orchestrator.tool-run");
        let done = Done { call, outcome };
        let ours = serde_json::to_string(&done).context("encode what a tool did")?;
        let standing = ledger.record_value(&name, &ours).await?;
        let done: Done = serde_json::from_str(&standing).context("read what a tool did")?;
        let outcome = done.outcome.clone();
        thinking.done.push(done);
        Ok(outcome)
    }

    /// Records a sentence and sends it; `false` when the fence has passed the turn.
    async fn say(
        &self,
        ledger: &mut TurnLedger<'_>,
        model: Option<&dyn LanguageModel>,
        sentence: &str,
        spent: &Spent,
    ) -> anyhow::Result<bool> {
        crash_point("orchestrator.answered");
        let model = model.filter(|_| ledger.sentences().is_empty());
        let recording = async {
            match model {
                Some(model) => ledger.record_first_sentence(sentence, MODEL, model.name()).await,
                None => ledger.record_sentence(sentence).await,
            }
        };
        let (is_ours, is_fenced) = tokio::join!(recording, self.is_fenced());
        if !is_ours? {
            bail!("another run is giving this reply");
        }
        crash_point("orchestrator.ledgered");
        if is_fenced {
            return Ok(false);
        }
        let index = ledger.sentences().len() - 1;
        self.speak(ledger, index, spent.first_sentence_at.filter(|_| index == 0)).await?;
        crash_point("orchestrator.sentence-sent");
        Ok(true)
    }

    /// Sends a sentence that stands in the ledger to `voice`. On a chat, and in a call without a
    /// media stream, nothing leaves before the whole reply.
    async fn speak(
        &self,
        ledger: &TurnLedger<'_>,
        index: usize,
        ready_at: Option<Timestamp>,
    ) -> anyhow::Result<()> {
        let Some(call) = self.call.as_ref().filter(|_| !self.message.gathered) else {
            return Ok(());
        };
        let attempt = ledger.attempt();
        let job = SpeakSentence {
            call: call.clone(),
            attempt,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            text: ledger.sentences()[index].trim().into(),
            voice: self.tenant.settings.voice.clone(),
            rate: SpeechRate::NORMAL,
            cacheable: false,
        };
        let name = format!("speak:{attempt}:{index}");
        let mut job = self
            .envelope
            .follow(&name, Timestamp::now(), job)
            .expiring_at(self.envelope.occurred_at.plus(SPEAK_WITHIN));
        job.reply_to.clone_from(&self.envelope.reply_to);
        if let Some(ready_at) = ready_at {
            job.stamp(Stage::ORCHESTRATOR_STARTED, self.started_at);
            job.stamp(Stage::FIRST_SENTENCE, ready_at);
        }
        let to = Destination::Shared(Queue::Speak);
        self.out.send(&to, &[job]).await.context("send a sentence to be spoken")
    }

    /// Says that the reply is over: to the call's edge task, and to the topic for the history.
    async fn publish_end(&self, ledger: &TurnLedger<'_>, ending: &Ending) -> anyhow::Result<()> {
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
            choices: Vec::new(),
        };
        let now = Timestamp::now();
        let mut sent = self.envelope.follow("message-sent", now, sent).with_turn(self.turn);
        sent.stamp(Stage::ORCHESTRATOR_STARTED, self.started_at);
        if let Some(at) = ending.first_sentence_us {
            sent.stamp(Stage::FIRST_SENTENCE, Timestamp::from_micros(at));
        }
        sent.stamp(Stage::REPLY_FINISHED, now);
        self.out.publish(&[sent]).await.context("publish the reply")
    }

    async fn tell_edge(
        &self,
        call: &CallSid,
        ledger: &TurnLedger<'_>,
        ending: &Ending,
    ) -> anyhow::Result<()> {
        let attempt = ledger.attempt();
        let finished = ReplyFinished {
            call: call.clone(),
            attempt,
            sentences: u32::try_from(ledger.sentences().len()).unwrap_or(u32::MAX),
            hang_up: ending.hang_up,
            transfer: self.handover(ending),
        };
        let name = format!("reply-finished:{attempt}");
        // It does not expire: an edge task that hears late of the end still has to know of it.
        let job = self.envelope.follow(&name, Timestamp::now(), finished);
        let holder = self.shell.cache.edge_of(call).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "who holds the call is not known; answering to who asked");
            None
        });
        let Some(queue) = holder.or_else(|| self.envelope.reply_to.clone()) else {
            return Err(anyhow!("nobody holds the call"));
        };
        self.send_to_edge(queue, job).await.context("tell the edge task that the reply is over")
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
        };
        let kept = self.shell.cache.keep_reply(self.turn, &reply).await;
        if let Err(error) = &kept {
            tracing::warn!(%error, "a written reply is not kept; only the task that asked gets it");
        }
        let Some(queue) = self.envelope.reply_to.clone() else {
            return kept.context("nobody asked for the reply, and it is not kept");
        };
        let now = Timestamp::now();
        let mut job = self.envelope.follow(&format!("reply-written:{attempt}"), now, reply);
        job.stamp(Stage::ORCHESTRATOR_STARTED, self.started_at);
        if let Some(at) = ending.first_sentence_us {
            job.stamp(Stage::FIRST_SENTENCE, Timestamp::from_micros(at));
        }
        job.stamp(Stage::REPLY_FINISHED, now);
        self.send_to_edge(queue, job).await.context("give the reply to the edge task")
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

    /// Whether the caller has gone on to a later turn. Redis away: not as far as we know; the edge
    /// task drops by turn itself.
    async fn is_fenced(&self) -> bool {
        let Some(call) = &self.call else { return false };
        match self.shell.cache.fence(call).await {
            Ok(fence) => fence > self.turn,
            Err(error) => {
                tracing::debug!(%error, "the turn fence cannot be read");
                false
            }
        }
    }

    /// Whether the caller has waited so long that nothing said now would be spoken.
    fn is_late(&self) -> bool {
        let late_at = self.envelope.occurred_at.plus(SPEAK_WITHIN);
        self.call.is_some() && Timestamp::now() >= late_at
    }

    /// Returns once the fence has passed the turn.
    async fn fenced(&self) {
        loop {
            sleep(FENCE_EVERY).await;
            if self.is_fenced().await {
                return;
            }
        }
    }

    fn stream_max(&self) -> Duration {
        if self.call.is_some() { SPOKEN_STREAM_MAX } else { WRITTEN_STREAM_MAX }
    }
}

/// What the human is told whom the turn has put the call through to.
fn summary_for_human(done: &[Done]) -> Option<String> {
    done.iter().find_map(|done| match (&done.call.request, &done.outcome) {
        (ToolRequest::Escalate(wanted), Outcome::Escalated(Escalated::Transferring)) => {
            Some(wanted.summary.reveal().to_owned())
        }
        _ => None,
    })
}

/// What earlier runs of the turn did.
fn done_before(ledger: &TurnLedger<'_>) -> anyhow::Result<Vec<Done>> {
    let names = (0..dialogue_core::tool::CALLS_MAX).map(|index| format!("{TOOL}{index}"));
    let standing = names.map_while(|name| ledger.value(&name));
    standing.map(|done| serde_json::from_str(done).context("read what a tool did")).collect()
}

async fn record_choice(ledger: &mut TurnLedger<'_>, choice: Choice) -> anyhow::Result<Choice> {
    let Choice { agent, confidence, reason } = choice;
    let ours = serde_json::to_string(&StoredChoice { agent, confidence, reason })
        .context("encode the choice of agent")?;
    let standing = ledger.record_value(CHOICE, &ours).await?;
    let StoredChoice { agent, confidence, reason } =
        serde_json::from_str(&standing).context("read the choice of agent")?;
    Ok(Choice { agent, confidence, reason })
}

#[derive(Serialize, Deserialize)]
struct StoredChoice {
    agent: String,
    confidence: f32,
    reason: String,
}

/// What the ledger keeps of a finished turn, so that its end can be published again.
#[derive(Serialize, Deserialize)]
struct Ending {
    is_cut: bool,
    hang_up: bool,
    /// What the human is told to whom the call goes after the reply.
    #[serde(default)]
    summary: Option<String>,
    agent: String,
    confidence: f32,
    reason: String,
    model: String,
    processing_ms: u32,
    tokens_in: u32,
    tokens_out: u32,
    first_sentence_us: Option<i64>,
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
            // No prices are configured yet.
            cost_micros: 0,
        }
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
