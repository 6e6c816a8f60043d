//! One turn, from the words that came in to the reply that left (DESIGN 3.4).
//!
//! Every step can be the last one of this process. What has been said stands in the ledger before it
//! is sent, so that whoever runs the turn next sends the same sentences under the same ids and goes
//! on from there.

mod choosing;
mod ending;
mod spent;
mod thinking;

use std::{pin::pin, time::Duration};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use boot::crash_point;
use bus::{Destination, Queue};
use cache::Standing;
use dialogue_core::{
    Attachment, Choice, Quoted, Reply, ReplyAction, ReplyInput, join,
    tool::{ArgumentError, Outcome, ToolRequest},
};
use domain::{
    CallSid, Envelope, MessageReceived, Payload, SentenceSpoken, SpeakSentence, SpeechRate, Stage,
    Timestamp, Turn, Voice,
};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use self::{
    ending::{Ending, summary_for_human},
    spent::Spent,
    thinking::{Place, Thinking},
};
use crate::{
    Shell,
    context::Context,
    ledger::TurnLedger,
    llm::{Asked, Delta, Deltas, Hearing, LanguageModel, ModelError, Request, RulesEngine},
    outlet::Outlet,
    tenants::Tenant,
};

/// How often the fence is read while a model is waited for (DESIGN 2, "Turn fence").
const FENCE_EVERY: Duration = Duration::from_millis(50);

/// What is spoken later than this after the end of the caller's turn is dropped (DESIGN 2).
const SPEAK_WITHIN: Duration = Duration::from_secs(10);

/// How long models may stream one reply: of a call, what could still be spoken; of a chat, what a
/// person waits for.
const SPOKEN_STREAM_MAX: Duration = Duration::from_secs(10);
const WRITTEN_STREAM_MAX: Duration = Duration::from_secs(60);

/// The name, under the message's id, of the reply for the history and for who sends it.
pub(crate) const REPLY: &str = "message-sent";

/// The ledger's names for the agent chosen and for the model whose sentences stand there.
const CHOICE: &str = "choice";
const MODEL: &str = "model";
/// Before the index of a sentence: its sound, in base64, where a model spoke it.
const SOUND: &str = "sound:";

/// What a turn works on.
pub(crate) struct TurnRun<'a> {
    pub(crate) shell: &'a Shell,
    pub(crate) out: &'a dyn Outlet,
    pub(crate) tenant: &'a Tenant,
    pub(crate) envelope: &'a Envelope,
    pub(crate) message: &'a MessageReceived,
    /// What there is of its file.
    pub(crate) attachment: Option<Attachment>,
    /// What it replies to.
    pub(crate) quoted: Option<Quoted>,
    pub(crate) turn: Turn,
    /// The live call; `None` on a chat.
    pub(crate) call: Option<CallSid>,
    pub(crate) started_at: Timestamp,
}

/// How the reply came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// All of it was sent.
    Whole,
    /// The caller spoke over it, or waits for it no longer.
    Cut,
}

impl TurnRun<'_> {
    /// Answers the turn, or ends what an earlier run of it began. `was_fenced`: what [`Self::is_fenced`] said when the
    /// context was loaded.
    ///
    /// # Errors
    /// When the turn has to be run again; what stands in the ledger by then is not said anew.
    pub(crate) async fn run(
        self,
        mut context: Context,
        mut ledger: TurnLedger<'_>,
        was_fenced: bool,
    ) -> anyhow::Result<()> {
        let Self { shell, envelope, turn, .. } = self;
        let opened = Instant::now();
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
            attachment: self.attachment.clone(),
            quoted: self.quoted.clone(),
            referral: self.message.referral.clone(),
        };
        let mut spent = Spent::default();
        let chosen = self.choose(&ledger, &context.state, &message, &mut spent).await;
        let Some(choice) = chosen else { return Ok(()) };
        let choice = note_choice(&mut ledger, choice, context.state.slowly_after(&message.text))?;
        // A model that scores takes its time.
        let is_fenced = was_fenced || (opened.elapsed() > FENCE_EVERY && self.is_fenced().await);
        metrics::counter!("orchestrator_turns_total", "agent" => choice.agent.clone()).increment(1);
        let mut thinking = Thinking::resume(&self, &ledger, &context.state, &message, &choice)?;
        let end = match is_fenced {
            true => End::Cut,
            false => self.reply(&mut ledger, &mut thinking, &mut spent).await?,
        };
        spent.close();
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
            choices: self.offered(&ledger, &thinking, &answer.state),
            summary: summary_for_human(&thinking.done),
            cost_micros: spent.cost_micros(),
            agent: choice.agent,
            confidence: choice.confidence,
            reason: choice.reason,
            model,
            processing_ms: millis(took),
            tokens_in: spent.usage.tokens_in,
            tokens_out: spent.usage.tokens_out,
            first_sentence_us: spent.first_sentence_at.map(|at| at.as_micros()),
        };
        ledger.settle().await?;
        self.publish_end(&ledger, &ending).await?;
        crash_point("orchestrator.message-sent");

        context.state = answer.state;
        if !ledger.sentences().is_empty() {
            let said = join(ledger.sentences());
            context.state.replied(turn, said.into(), self.call.is_some());
        }
        context.save(&shell.cache, envelope.conversation).await?;
        crash_point("orchestrator.context-written");
        let sequel = self.sequel(&ending);
        let ending = serde_json::to_string(&ending).context("encode the turn's end")?;
        ledger.finish(&ending, &sequel).await
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
                self.speak(ledger, index, &Spent::default()).await?;
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
            self.speak(ledger, index, spent).await?;
        }
        if self.is_late() {
            return Ok(End::Cut);
        }
        let precaution =
            self.tenant.desk.precaution(thinking.state, thinking.message, &thinking.done);
        if let Some(call) = precaution {
            self.run_tool(ledger, thinking, call, None).await?;
        }
        let prompt = self.considered(thinking).prompt;
        let tools = self.tenant.desk.tools(&thinking.choice.agent);
        let models = self.models(prompt.is_some());
        let made_by = ledger
            .value(MODEL)
            .map(|name| models.iter().position(|m| m.name() == name).unwrap_or(models.len()));
        let said = u32::try_from(ledger.sentences().len()).unwrap_or(u32::MAX);
        let mut reply = Reply::new(models.len(), said, made_by)
            .after(&thinking.done, thinking.is_owed(ledger.sentences().len()));
        reply.has_done(self.tenant.desk.said_of(&thinking.done));

        let began = Instant::now();
        let out_of_time = sleep_until(self.deadline(began, spent));
        let mut out_of_time = pin!(out_of_time);
        let mut halted = pin!(self.halted());
        let (tell, told) = watch::channel(thinking.exchanges.clone());
        let mut stream: Option<Deltas> = None;
        let mut model: Option<&dyn LanguageModel> = None;
        let mut sound: Option<Vec<u8>> = None;
        let mut asked_for: Vec<Asked> = Vec::new();
        let mut round = 0;
        let mut actions = reply.step(ReplyInput::Begin);
        loop {
            for action in std::mem::take(&mut actions) {
                match action {
                    ReplyAction::Finish => return Ok(End::Whole),
                    ReplyAction::Say { sentence, .. } => {
                        spent.first_sentence_at.get_or_insert_with(Timestamp::now);
                        if !self.say(ledger, model, (&sentence, sound.take()), spent).await? {
                            return Ok(End::Cut);
                        }
                    }
                    ReplyAction::Run { place, call } => {
                        let Some(asked) = asked_for.get(place).cloned() else { continue };
                        if call.request.has_effect() && self.is_cut(spent).await {
                            return Ok(End::Cut);
                        }
                        let place = Place { asked, round, said: ledger.sentences().len() };
                        self.run_asked(ledger, thinking, call, place).await?;
                        reply.has_done(self.tenant.desk.said_of(&thinking.done));
                    }
                    ReplyAction::Refuse { place, why } => {
                        let Some(asked) = asked_for.get(place).cloned() else { continue };
                        metrics::counter!("orchestrator_tools_refused_total").increment(1);
                        let told = self.tenant.desk.told(&Outcome::Refused(why));
                        let place = Place { asked, round, said: ledger.sentences().len() };
                        thinking.exchanges.push(place.told(told));
                    }
                    ReplyAction::Ask(index) => {
                        let asked = models[index].as_ref();
                        let waits = stream.take().filter(|_| {
                            asked.speaks() && model.is_some_and(|m| m.name() == asked.name())
                        });
                        model = Some(asked);
                        let scripted = match asked.name() == RulesEngine::NAME {
                            true => self.by_the_rules(ledger, thinking).await?,
                            false => String::new(),
                        };
                        let request = Request {
                            prompt: prompt.clone(),
                            said: ledger.sentences().to_vec(),
                            scripted,
                            tools: tools.clone(),
                            exchanges: thinking.exchanges.clone(),
                            hearing: self
                                .message
                                .speech
                                .clone()
                                .map(|sound| Hearing { sound, told: told.clone() }),
                        };
                        if waits.is_some() {
                            stream = waits;
                            tell.send_replace(request.exchanges);
                            continue;
                        }
                        spent.asks(asked, &request);
                        let asked_at = Instant::now();
                        let begun = tokio::select! {
                            begun = asked.reply(&request) => begun,
                            () = &mut halted => {
                                if self.is_cut(spent).await {
                                    return Ok(End::Cut);
                                }
                                halted.set(self.halted());
                                out_of_time.as_mut().reset(self.deadline(began, spent));
                                actions = reply.step(ReplyInput::GoesOn);
                                continue;
                            }
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
                            Err(error) => {
                                spent.was_refused();
                                actions = self.failed(asked, &error, &mut reply);
                            }
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
                () = &mut halted => {
                    // Before it is known: the model is not to write what nobody may hear.
                    stream = None;
                    if self.is_cut(spent).await {
                        return Ok(End::Cut);
                    }
                    halted.set(self.halted());
                    out_of_time.as_mut().reset(self.deadline(began, spent));
                    actions = reply.step(ReplyInput::GoesOn);
                    continue;
                }
                () = &mut out_of_time => {
                    stream = None;
                    actions = reply.step(ReplyInput::OutOfTime);
                    continue;
                }
            };
            actions = match item {
                Some(Ok(Delta::Text(piece))) => {
                    spent.wrote(piece.len());
                    reply.step(ReplyInput::Text(&piece))
                }
                Some(Ok(Delta::Spoken(spoken))) => {
                    spent.wrote(spoken.text.len());
                    sound = Some(spoken.audio);
                    reply.step(ReplyInput::Sentence(&spoken.text))
                }
                Some(Ok(Delta::Asked(asked))) => {
                    // One that speaks waits for what comes of them, and tells what it used in the end.
                    stream = stream.filter(|_| model.is_some_and(LanguageModel::speaks));
                    spent.wrote(asked.iter().map(|a| a.arguments.len()).sum());
                    if stream.is_none() {
                        spent.close();
                    }
                    asked_for = asked;
                    round = thinking.next_round();
                    match spent.is_over_budget() {
                        true => reply.step(ReplyInput::OverBudget),
                        false => {
                            reply.step(ReplyInput::Asked(self.understood(&asked_for, thinking)))
                        }
                    }
                }
                Some(Ok(Delta::Usage(usage))) => {
                    spent.told(usage);
                    Vec::new()
                }
                Some(Err(error)) => {
                    stream = None;
                    match model {
                        Some(asked) => self.failed(asked, &error, &mut reply),
                        None => reply.step(ReplyInput::Failed),
                    }
                }
                None => {
                    stream = None;
                    reply.step(ReplyInput::Ended)
                }
            };
        }
    }

    /// What the model asked for, as far as the agent of the turn may have it and it can be understood.
    fn understood(
        &self,
        asked: &[Asked],
        thinking: &Thinking<'_>,
    ) -> Vec<Result<ToolRequest, ArgumentError>> {
        let agent = &thinking.choice.agent;
        let requested = |a: &Asked| self.tenant.desk.requested(agent, &a.name, &a.arguments);
        asked.iter().map(requested).collect()
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

    /// Records a sentence and sends it; `false` when the fence has passed the turn. Where nothing leaves before the whole
    /// reply, it is recorded with the whole.
    async fn say(
        &self,
        ledger: &mut TurnLedger<'_>,
        model: Option<&dyn LanguageModel>,
        (sentence, sound): (&str, Option<Vec<u8>>),
        spent: &Spent,
    ) -> anyhow::Result<bool> {
        crash_point("orchestrator.answered");
        let index = ledger.sentences().len();
        if let Some(model) = model.filter(|_| index == 0) {
            ledger.note_value(MODEL, model.name());
        }
        if let Some(sound) = sound {
            ledger.note_value(&format!("{SOUND}{index}"), &STANDARD.encode(sound));
        }
        ledger.note_sentence(sentence);
        if self.speaks_to().is_none() {
            return Ok(!self.is_fenced().await);
        }
        let (settled, is_fenced) = tokio::join!(ledger.settle(), self.is_fenced());
        settled?;
        if is_fenced {
            return Ok(false);
        }
        self.speak(ledger, index, spent).await?;
        crash_point("orchestrator.sentence-sent");
        Ok(true)
    }

    /// The call whose caller hears each sentence as it is made. On a chat, and in a call without a media stream, nothing
    /// leaves before the whole reply.
    fn speaks_to(&self) -> Option<&CallSid> {
        self.call.as_ref().filter(|_| !self.message.gathered)
    }

    /// Sends a sentence that stands in the ledger: to `voice`, where it is spoken, or with its sound to the task that holds
    /// the call.
    async fn speak(
        &self,
        ledger: &TurnLedger<'_>,
        index: usize,
        spent: &Spent,
    ) -> anyhow::Result<()> {
        let Some(call) = self.speaks_to() else { return Ok(()) };
        let attempt = ledger.attempt();
        let place = u32::try_from(index).unwrap_or(u32::MAX);
        let text = ledger.sentences()[index].trim().into();
        if let Some(sound) = ledger.value(&format!("{SOUND}{index}")) {
            let audio = STANDARD.decode(sound).context("read the sound of a sentence")?;
            let spoken = SentenceSpoken {
                call: call.clone(),
                attempt,
                index: place,
                text,
                result: Ok(audio),
                part: 0,
                more: false,
            };
            let job = self.sentence(&format!("spoken:{attempt}:{index}"), spoken, index, spent);
            return self.to_holder(call, job).await.context("send a sentence that is spoken");
        }
        let (voice, rate) = self.manner(ledger);
        let job = SpeakSentence {
            call: call.clone(),
            attempt,
            index: place,
            text,
            voice,
            rate,
            cacheable: false,
        };
        let mut job = self.sentence(&format!("speak:{attempt}:{index}"), job, index, spent);
        job.reply_to.clone_from(&self.envelope.reply_to);
        let to = Destination::Shared(Queue::Speak);
        self.out.send(&to, &[job]).await.context("send a sentence to be spoken")
    }

    /// What carries a sentence, as long as it is worth speaking.
    fn sentence(
        &self,
        name: &str,
        payload: impl Into<Payload>,
        index: usize,
        spent: &Spent,
    ) -> Envelope {
        let mut job = self
            .envelope
            .follow(name, Timestamp::now(), payload)
            .expiring_at(self.envelope.occurred_at.plus(SPEAK_WITHIN + spent.doubted));
        if let Some(ready_at) = spent.first_sentence_at.filter(|_| index == 0) {
            job.stamp(Stage::ORCHESTRATOR_STARTED, self.started_at);
            job.stamp(Stage::FIRST_SENTENCE, ready_at);
        }
        job
    }

    /// The voice of the agent that has the turn, and how fast it speaks to this caller.
    fn manner(&self, ledger: &TurnLedger<'_>) -> (Voice, SpeechRate) {
        let chosen =
            ledger.value(CHOICE).and_then(|c| serde_json::from_str::<StoredChoice>(c).ok());
        match chosen {
            Some(StoredChoice { agent, slowly: true, .. }) => {
                (self.tenant.desk.voice(&agent), SpeechRate::SLOWER)
            }
            Some(choice) => (self.tenant.desk.voice(&choice.agent), SpeechRate::NORMAL),
            None => (self.tenant.settings.voice.clone(), SpeechRate::NORMAL),
        }
    }

    /// Whether the caller has gone on to a later turn. Redis away: not as far as we know; the edge
    /// task drops by turn itself.
    pub(crate) async fn is_fenced(&self) -> bool {
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
    pub(crate) fn is_late(&self) -> bool {
        let late_at = self.envelope.occurred_at.plus(SPEAK_WITHIN);
        self.call.is_some() && Timestamp::now() >= late_at
    }

    /// How the turn stands with the caller. Wanted where that cannot be known, as [`Self::is_fenced`].
    async fn standing(&self) -> Standing {
        let Some(call) = &self.call else { return Standing::Wanted };
        self.shell.cache.standing(call, self.turn).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the turn fence cannot be read");
            Standing::Wanted
        })
    }

    /// Returns once nobody is to work on the reply: the fence has passed the turn, or the caller may be interrupting.
    async fn halted(&self) {
        loop {
            sleep(FENCE_EVERY).await;
            if self.standing().await != Standing::Wanted {
                return;
            }
        }
    }

    /// Waits until it is known whether the caller interrupts, where he may be, and says whether he does. Nothing is
    /// asked for meanwhile; `cache` ends a doubt whose owner died.
    async fn is_cut(&self, spent: &mut Spent) -> bool {
        let since = Instant::now();
        let mut standing = self.standing().await;
        if standing != Standing::Doubted {
            return standing == Standing::Passed;
        }
        while standing == Standing::Doubted {
            sleep(FENCE_EVERY).await;
            standing = self.standing().await;
        }
        spent.doubted += since.elapsed();
        let outcome = if standing == Standing::Passed { "cut" } else { "goes_on" };
        metrics::counter!("orchestrator_turns_doubted_total", "outcome" => outcome).increment(1);
        standing == Standing::Passed
    }

    /// Until when the models of the reply have time.
    fn deadline(&self, began: Instant, spent: &Spent) -> Instant {
        let longest = if self.call.is_some() { SPOKEN_STREAM_MAX } else { WRITTEN_STREAM_MAX };
        began + longest + spent.doubted
    }
}

/// The choice of an earlier run, or else this one, which stands with the first thing that is recorded.
fn note_choice(
    ledger: &mut TurnLedger<'_>,
    choice: Choice,
    slowly: bool,
) -> anyhow::Result<Choice> {
    if let Some(standing) = ledger.value(CHOICE) {
        let StoredChoice { agent, confidence, reason, .. } =
            serde_json::from_str(standing).context("read the choice of agent")?;
        return Ok(Choice { agent, confidence, reason });
    }
    let Choice { agent, confidence, reason } = choice.clone();
    let ours = serde_json::to_string(&StoredChoice { agent, confidence, reason, slowly })
        .context("encode the choice of agent")?;
    ledger.note_value(CHOICE, &ours);
    Ok(choice)
}

#[derive(Serialize, Deserialize)]
struct StoredChoice {
    agent: String,
    confidence: f32,
    reason: String,
    /// See [`dialogue_core::State::slowly_after`].
    #[serde(default)]
    slowly: bool,
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
