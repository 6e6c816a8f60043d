//! One call on one socket: feeds the call core, does what it says (DESIGN 3).

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix_ws::{AggregatedMessage, AggregatedMessageStream};
use bus::{Queue, TraceContext};
use call_core::{Action, CallCore, EndReason, Input, Moment, Settings, Stages, Transcript};
use domain::{
    CallEndReason, CallStarted, Channel, ConversationId, Envelope, EscalationRequested, EventId,
    Heard, MessageKind, MessageReceived, Payload, Personal, Stage, TenantSettings, Timestamp,
    TranscribeSegment, Turn, TurnTimed,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::DropGuard;

use super::{
    CallServices, Entered,
    clock::{CallClock, NEVER},
    effects::{Effect, Effects},
    recording::{Part, PartQueue},
    settle,
    socket::{Outgoing, SocketSender},
    state::RENEW_EVERY,
    token::StreamClaims,
    wire::{self, StreamEvent},
};
use crate::guard::SocketSlot;

/// Recognising later than this helps nobody (DESIGN 2).
const SEGMENT_LIFE: Duration = Duration::from_secs(10);
/// Twilio sends a frame every 20 ms, silence included: without any for this long the stream is dead, or never was.
const SILENT_STREAM: Duration = Duration::from_secs(10);
/// How long playback of the new turn may wait for the fence; Redis answers in well under 1 ms.
const FENCE_PATIENCE: Duration = Duration::from_millis(50);
/// How long a call waits for a greeting that is not rendered yet.
const GREETING_PATIENCE: Duration = Duration::from_secs(3);
/// A line with a fault in a frame now and then is better than none; a stream of faults is no line.
const TOLERATED_FAULTS: u32 = 10;
/// Numbers of segments, per connection of the call: a late answer for the last connection is not taken for one of this.
const SEGMENTS_PER_ATTEMPT: u32 = 100_000;
const MAILBOX: usize = 256;

/// What was found out about a call before its session begins.
pub(super) struct Admitted {
    pub claims: StreamClaims,
    pub stream_sid: String,
    /// Shows zero when the stream started.
    pub clock: CallClock,
    pub slot: Option<SocketSlot>,
    pub started_at: Timestamp,
    /// Turns taken and parts recorded on earlier connections of the same call.
    pub turns_before: u32,
    pub parts_before: u32,
}

/// How the socket came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketEnd {
    /// The core ended the call; it says why.
    Core(EndReason),
    /// The vendor said `stop`.
    Stopped,
    /// The agent hung up.
    HungUp,
    /// It went away, fell silent or talked rubbish; the call may come back.
    Lost(&'static str),
}

pub(super) struct Session {
    services: Arc<CallServices>,
    claims: StreamClaims,
    settings: Arc<TenantSettings>,
    conversation: ConversationId,
    stream_sid: String,
    started_at: Timestamp,
    clock: CallClock,
    core: CallCore,
    socket: SocketSender,
    effects: Effects,
    parts: PartQueue,
    turns_before: u32,
    parts_before: u32,
    /// What is not to leave before the fence stands in Redis.
    held: Option<HeldBack>,
    /// Stages of the words of the turn that is being spoken by the caller.
    words_stages: Vec<Stage>,
    /// Stages of each reply, as its first sentence brought them.
    reply_stages: HashMap<u32, (u32, Vec<Stage>)>,
    trace: (u32, TraceContext),
    /// The agent ends the call once this turn's reply was heard.
    hang_up_after: Option<u32>,
    hang_up: bool,
    ended: Option<(EndReason, Option<Heard>)>,
    faults: u32,
    last_frame: Instant,
    _entered: Entered,
    _heartbeat: DropGuard,
}

struct HeldBack {
    fence: oneshot::Receiver<()>,
    until: Instant,
    frames: Vec<String>,
}

impl Session {
    /// Runs the call until its socket ends, then settles it. The last thing done on the socket is to close it.
    pub(super) async fn run(
        services: Arc<CallServices>,
        admitted: Admitted,
        mut stream: AggregatedMessageStream,
        socket: SocketSender,
    ) {
        let (mailbox, mut answers) = mpsc::channel(MAILBOX);
        let mut session = Self::new(services, admitted, mailbox, socket);
        tracing::info!(call = %session.claims.call, attempt = session.claims.attempt, "media stream started");
        session.announce();
        session.input_at(Input::StreamStarted, Moment::ZERO);
        let greeting = session.greeting();
        tokio::pin!(greeting);
        let mut greeted = session.claims.attempt > 0;
        let cut = session.services.cut.clone();
        let end = loop {
            if let Some(end) = session.ending() {
                break end;
            }
            let (wake, fence_until) = session.wakes();
            tokio::select! {
                frame = stream.recv() => {
                    if let Some(end) = session.frame(frame) {
                        break end;
                    }
                }
                Some(answer) = answers.recv() => session.answer(answer),
                prompt = &mut greeting, if !greeted => {
                    greeted = true;
                    if let Some(prompt) = prompt {
                        session.input(Input::Greeting { text: prompt.text, audio: prompt.audio });
                    }
                }
                () = tokio::time::sleep_until(wake) => session.input(Input::Tick),
                () = fence_stands(&mut session.held, fence_until) => session.release(),
                () = tokio::time::sleep_until(session.last_frame + SILENT_STREAM) => {
                    break SocketEnd::Lost("silent_stream");
                }
                () = cut.cancelled() => break SocketEnd::Lost("drained"),
            }
        };
        session.finish(end, answers).await;
    }

    fn new(
        services: Arc<CallServices>,
        admitted: Admitted,
        mailbox: mpsc::Sender<Envelope>,
        socket: SocketSender,
    ) -> Self {
        let Admitted { claims, stream_sid, clock, slot, started_at, turns_before, parts_before } =
            admitted;
        let settings = services.directory.settings(claims.tenant).unwrap_or_default();
        let core_settings =
            Settings { prompts: services.prompts.of(&settings), ..Settings::default() };
        Self {
            conversation: ConversationId::of_call(claims.tenant, &claims.call),
            core: CallCore::new(core_settings, Moment::ZERO),
            effects: Effects::start(&services, claims.call.clone()),
            parts: PartQueue::start(&services, claims.call.clone()),
            _entered: services.live.enter(&services, &claims.call, mailbox),
            _heartbeat: heartbeat(&services, &claims, slot),
            services,
            claims,
            settings,
            stream_sid,
            started_at,
            clock,
            socket,
            turns_before,
            parts_before,
            held: None,
            words_stages: Vec::new(),
            reply_stages: HashMap::new(),
            trace: (0, TraceContext::root()),
            hang_up_after: None,
            hang_up: false,
            ended: None,
            faults: 0,
            last_frame: Instant::now(),
        }
    }

    fn announce(&mut self) {
        let started = CallStarted {
            call: self.claims.call.clone(),
            from: self.claims.from.clone(),
            to: self.claims.to.clone(),
            greeting: self.settings.greeting.clone(),
        };
        let mut event = self.envelope("call-started", 0, started);
        event.occurred_at = self.started_at;
        self.effects.push(Effect::Event(event));
    }

    fn greeting(&self) -> impl Future<Output = Option<call_core::Prompt>> + use<> {
        let (prompts, settings) = (self.services.prompts.clone(), self.settings.clone());
        async move { prompts.prompt_within(&settings, &settings.greeting, GREETING_PATIENCE).await }
    }

    fn ending(&self) -> Option<SocketEnd> {
        match &self.ended {
            _ if self.hang_up => Some(SocketEnd::HungUp),
            Some((reason, _)) => Some(SocketEnd::Core(*reason)),
            None => None,
        }
    }

    /// When the core wants to be woken, and until when the fence is waited for.
    fn wakes(&self) -> (Instant, Instant) {
        let now = self.clock.now();
        let wake = self.core.next_wake().unwrap_or(now + NEVER);
        let never = Instant::now() + NEVER;
        (Instant::from_std(self.clock.instant(wake)), self.held.as_ref().map_or(never, |h| h.until))
    }

    fn input(&mut self, input: Input<'_>) {
        self.input_at(input, self.clock.now());
    }

    fn input_at(&mut self, input: Input<'_>, at: Moment) {
        let mut actions = Vec::new();
        self.core.handle(input, at, &mut actions);
        for action in actions {
            self.perform(action);
        }
    }

    /// Takes in what the socket brought; tells when that ends it.
    fn frame(
        &mut self,
        frame: Option<Result<AggregatedMessage, actix_ws::ProtocolError>>,
    ) -> Option<SocketEnd> {
        let text = match frame {
            Some(Ok(AggregatedMessage::Text(text))) => text,
            Some(Ok(AggregatedMessage::Ping(payload))) => {
                self.socket.pong(payload);
                return None;
            }
            Some(Ok(AggregatedMessage::Pong(_))) => return None,
            Some(Ok(AggregatedMessage::Binary(_))) => return self.fault("binary_frame"),
            Some(Ok(AggregatedMessage::Close(_))) | None => {
                return Some(SocketEnd::Lost("socket_closed"));
            }
            Some(Err(error)) => {
                tracing::info!(call = %self.claims.call, %error, "media socket failed");
                return Some(SocketEnd::Lost("socket_failed"));
            }
        };
        match wire::read(&text) {
            Ok(StreamEvent::Media { timestamp, payload }) => {
                self.last_frame = Instant::now();
                self.input(Input::AudioFrame { payload: &payload, timestamp });
            }
            Ok(StreamEvent::Mark(name)) => self.input(Input::MarkReturned { name: &name }),
            Ok(StreamEvent::Dtmf(digit)) => self.input(Input::Dtmf { digit }),
            Ok(StreamEvent::Stop) => return Some(SocketEnd::Stopped),
            Ok(StreamEvent::Start { .. } | StreamEvent::Connected | StreamEvent::Unknown) => {}
            Err(fault) => return self.fault(fault.kind()),
        }
        None
    }

    fn fault(&mut self, kind: &'static str) -> Option<SocketEnd> {
        self.faults += 1;
        metrics::counter!("edge_media_faults_total", "kind" => kind).increment(1);
        if self.faults == 1 {
            tracing::warn!(call = %self.claims.call, kind, "frame on the media socket ignored");
        }
        (self.faults > TOLERATED_FAULTS).then_some(SocketEnd::Lost(kind))
    }

    /// Takes in what the mesh answered.
    fn answer(&mut self, envelope: Envelope) {
        let turn = envelope.turn.0.saturating_sub(self.turns_before);
        match envelope.payload {
            Payload::SegmentTranscribed(answer) => {
                let Some(segment) = answer.segment.checked_sub(self.first_segment()) else {
                    return;
                };
                self.words_stages = envelope.stages;
                let result = match answer.result {
                    Ok(words) => Transcript::Words {
                        text: words.text.into_revealed(),
                        confidence: Some(words.confidence).filter(|c| *c > 0.0),
                    },
                    Err(failure) => {
                        tracing::warn!(call = %self.claims.call, failure = %failure.0, "segment not recognised");
                        Transcript::Failed
                    }
                };
                self.input(Input::SegmentTranscribed { segment, result });
            }
            Payload::SentenceSpoken(spoken) => {
                // The attempt begun first is the one that is played.
                let begun = self.reply_stages.get(&turn).is_some_and(|(attempt, _)| *attempt > 0);
                if spoken.index == 0 && spoken.part == 0 && !begun {
                    self.reply_stages.insert(turn, (spoken.attempt, envelope.stages));
                }
                let audio = match spoken.result {
                    Ok(audio) => Some(audio.into()),
                    Err(failure) => {
                        tracing::warn!(call = %self.claims.call, failure = %failure.0, "sentence not spoken");
                        None
                    }
                };
                self.input(Input::SentenceSpoken {
                    turn,
                    attempt: spoken.attempt,
                    index: spoken.index,
                    part: spoken.part,
                    more: spoken.more,
                    text: spoken.text.into_revealed(),
                    audio,
                });
            }
            Payload::ReplyFinished(reply) => {
                if reply.hang_up {
                    self.hang_up_after = Some(turn);
                }
                let (attempt, sentences) = (reply.attempt, reply.sentences);
                self.input(Input::ReplyFinished { turn, attempt, sentences });
            }
            other => tracing::warn!(event = other.name(), "not an answer to a call"),
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::SendAudio(audio) => self.send(wire::media(&self.stream_sid, &audio)),
            Action::SendMark(name) => self.send(wire::mark(&self.stream_sid, name)),
            Action::SendClear => self.send(wire::clear(&self.stream_sid)),
            Action::SetFence { turn } => self.set_fence(turn),
            Action::Transcribe { turn, segment, audio, .. } => {
                self.transcribe(turn, segment, audio)
            }
            Action::TurnTaken { turn, text, heard, stages, .. } => {
                self.turn_taken(turn, text, heard, &stages)
            }
            Action::TurnAudible { turn, stages } => self.turn_audible(turn, &stages),
            Action::HeardProgress { .. } => {}
            Action::ReplyHeard(heard) => {
                // Who talks into the farewell is listened to.
                self.hang_up |= heard.complete && self.hang_up_after == Some(heard.turn);
            }
            Action::PromptStarted { prompt, turn, .. } => {
                metrics::counter!("edge_prompts_spoken_total", "prompt" => format!("{prompt:?}").to_lowercase())
                    .increment(1);
                tracing::info!(call = %self.claims.call, ?prompt, turn = self.wire_turn(turn).0, "prompt spoken");
            }
            // Keys are not read aloud to agents yet; Gather numbers and menus will.
            Action::DigitPressed(_) => tracing::debug!(call = %self.claims.call, "key pressed"),
            Action::Escalate { turn } => {
                let summary = Personal::from("The platform did not answer the caller in time.");
                let event = EscalationRequested { reason: "no_answer".into(), summary };
                let event =
                    self.envelope(&format!("escalation:{}", self.wire_turn(turn).0), turn, event);
                self.effects.push(Effect::Event(event));
            }
            Action::RecordingPart { index, caller, agent, .. } => {
                self.parts.push(Part { index: self.parts_before + index, caller, agent });
            }
            Action::End { reason, heard } => {
                self.ended = Some((reason, heard.and_then(|h| self.wire_heard(h))));
            }
        }
    }

    /// Sends a frame, or holds it back while the fence is on its way.
    fn send(&mut self, frame: String) {
        match &mut self.held {
            Some(held) => held.frames.push(frame),
            None => self.socket.send(Outgoing::Text(frame)),
        }
    }

    /// Sets the turn fence. What the socket is told after it waits for it, a little (DESIGN 2, "Turn fence").
    fn set_fence(&mut self, turn: u32) {
        let (done, fence) = oneshot::channel();
        let (services, call, turn) =
            (self.services.clone(), self.claims.call.clone(), self.wire_turn(turn));
        self.services.runtime.spawn(async move {
            if let Err(error) = services.cache.set_fence(&call, turn).await {
                // This task still drops by turn.
                tracing::warn!(%call, turn = turn.0, %error, "turn fence not set");
            }
            // The session may be gone.
            let _ = done.send(());
        });
        match &mut self.held {
            Some(held) => held.fence = fence,
            None => {
                self.held = Some(HeldBack {
                    fence,
                    until: Instant::now() + FENCE_PATIENCE,
                    frames: Vec::new(),
                })
            }
        }
    }

    fn release(&mut self) {
        for frame in self.held.take().map(|h| h.frames).unwrap_or_default() {
            self.socket.send(Outgoing::Text(frame));
        }
    }

    fn transcribe(&mut self, turn: u32, segment: u32, audio: Vec<u8>) {
        let segment = self.first_segment() + segment;
        let job = TranscribeSegment {
            call: self.claims.call.clone(),
            segment,
            audio,
            language: self.settings.voice.language.clone(),
            vendors: self.settings.stt.clone(),
        };
        let mut job = self.envelope(&format!("segment:{segment}"), turn, job);
        job.stamp(Stage::SEGMENT_SENT, job.occurred_at);
        let expires_at = job.occurred_at.plus(SEGMENT_LIFE);
        self.effects.push(Effect::Job(Queue::Transcribe, job.expiring_at(expires_at)));
    }

    fn turn_taken(
        &mut self,
        turn: u32,
        text: String,
        heard: Option<call_core::Heard>,
        stages: &Stages,
    ) {
        let received = MessageReceived {
            from: self.claims.from.clone(),
            to: self.claims.to.clone(),
            text: Personal::new(text),
            kind: MessageKind::Speech,
            external_id: String::new(),
            profile_name: None,
            bsuid: None,
            heard: heard.and_then(|h| self.wire_heard(h)),
            call: Some(self.claims.call.clone()),
            quotes: None,
            referral: None,
        };
        let mut event = self.envelope(&format!("turn:{}", self.wire_turn(turn).0), turn, received);
        let from_voice = std::mem::take(&mut self.words_stages).into_iter();
        let from_voice = from_voice
            .filter(|s| s.name == Stage::TRANSCRIBE_STARTED || s.name == Stage::TRANSCRIBED);
        event.stages = [
            self.clock.stage(Stage::SPEECH_ENDED, stages.speech_ended),
            self.clock.stage(Stage::SEGMENT_SENT, stages.segment_sent),
        ]
        .into_iter()
        .flatten()
        .chain(from_voice)
        .chain(self.clock.stage(Stage::SEGMENT_TRANSCRIBED, stages.segment_transcribed))
        .chain(self.clock.stage(Stage::TURN_ENDED, stages.turn_ended))
        .collect();
        self.reply_stages.insert(turn, (0, event.stages.clone()));
        self.reply_stages.retain(|t, _| *t + 1 >= turn);
        self.effects.push(Effect::Event(event));
    }

    fn turn_audible(&mut self, turn: u32, stages: &Stages) {
        let Some((attempt, mut all)) = self.reply_stages.remove(&turn) else { return };
        all.extend(self.clock.stage(Stage::AUDIO_RECEIVED, stages.first_audio_received));
        all.extend(self.clock.stage(Stage::FIRST_AUDIO_OUT, stages.first_audio_out));
        if let (Some(ended), Some(out)) = (stages.turn_ended, stages.first_audio_out) {
            metrics::histogram!("edge_turn_answer_seconds").record(out.saturating_sub(ended));
        }
        let mut event = self.envelope(
            &format!("turn-timed:{}", self.wire_turn(turn).0),
            turn,
            TurnTimed { attempt },
        );
        event.stages = all;
        self.effects.push(Effect::Event(event));
    }

    /// An envelope of this call, under the id derived from `name`: the same wherever it is made.
    fn envelope(&mut self, name: &str, turn: u32, payload: impl Into<Payload>) -> Envelope {
        if self.trace.0 != turn {
            self.trace = (turn, TraceContext::root());
        }
        let mut envelope = Envelope::new(
            EventId::from_uuid(self.conversation.derive(name)),
            self.claims.tenant,
            self.conversation,
            Channel::VOICE,
            Timestamp::now(),
            payload,
        )
        .with_turn(self.wire_turn(turn))
        .answering_to(self.services.own_queue.clone());
        envelope.traceparent = Some(self.trace.1.child().to_string());
        envelope
    }

    /// The core counts the turns of one connection; the mesh those of the call.
    fn wire_turn(&self, turn: u32) -> Turn {
        Turn(self.turns_before + turn)
    }

    /// Turn 0 of a call that came back is no greeting.
    fn wire_heard(&self, heard: call_core::Heard) -> Option<Heard> {
        let known = heard.turn > 0 || self.claims.attempt == 0;
        known.then(|| Heard {
            turn: self.wire_turn(heard.turn),
            text: Personal::new(heard.text),
            complete: heard.complete,
        })
    }

    fn first_segment(&self) -> u32 {
        self.claims.attempt * SEGMENTS_PER_ATTEMPT
    }

    /// Closes the socket and leaves what remains to a task of its own.
    async fn finish(mut self, end: SocketEnd, answers: mpsc::Receiver<Envelope>) {
        self.release();
        let reason = match end {
            SocketEnd::Core(EndReason::TimeLimit) => CallEndReason::TimeLimit,
            SocketEnd::Core(EndReason::Stopped) | SocketEnd::Stopped => CallEndReason::Caller,
            SocketEnd::HungUp => CallEndReason::Agent,
            SocketEnd::Lost(_) => CallEndReason::Lost,
        };
        tracing::info!(call = %self.claims.call, ?end, "media stream ended");
        metrics::counter!("edge_calls_ended_total", "reason" => format!("{reason:?}").to_lowercase()).increment(1);
        if reason != CallEndReason::Lost {
            // Before the socket is closed: Twilio then asks at once what to do with the call.
            self.services.states.set_ended(&self.claims.call).await;
        }
        self.socket.send(Outgoing::Close);
        let services = self.services.clone();
        services.unfinished.spawn_on(self.settle(reason, answers), &services.runtime);
    }

    /// Ends the call in the core, which may await the caller's last words, and then outside.
    async fn settle(mut self, reason: CallEndReason, mut answers: mpsc::Receiver<Envelope>) {
        match reason {
            CallEndReason::Lost => self.input(Input::Lost),
            _ => self.input(Input::Stop),
        }
        while self.ended.is_none() {
            let (wake, _) = self.wakes();
            tokio::select! {
                Some(answer) = answers.recv() => self.answer(answer),
                () = tokio::time::sleep_until(wake) => self.input(Input::Tick),
            }
        }
        let heard = self.ended.take().and_then(|(_, heard)| heard);
        let ending = settle::Ending {
            tenant: self.claims.tenant,
            call: self.claims.call.clone(),
            reason,
            started_at: self.started_at,
            heard,
            parts_before: self.parts_before,
        };
        let Self { services, effects, parts, _entered, _heartbeat, .. } = self;
        // This task no longer holds the call: a lost one may come back elsewhere.
        drop((_entered, _heartbeat));
        settle::settle_session(services, ending, effects, parts).await;
    }
}

async fn fence_stands(held: &mut Option<HeldBack>, until: Instant) {
    match held {
        Some(held) => {
            // An error means that its task is gone: no reason to wait longer.
            let _ = tokio::time::timeout_at(until, &mut held.fence).await;
        }
        None => std::future::pending().await,
    }
}

/// Keeps what other tasks know of the call: who holds it, where its answers go, that the caller's socket is in use.
/// Ends with the returned guard.
fn heartbeat(
    services: &Arc<CallServices>,
    claims: &StreamClaims,
    slot: Option<SocketSlot>,
) -> DropGuard {
    let alive = tokio_util::sync::CancellationToken::new();
    let (ended, services, call) = (alive.clone(), services.clone(), claims.call.clone());
    let owner = format!("{}:{}", services.own_queue, claims.attempt);
    let runtime = services.runtime.clone();
    runtime.spawn(async move {
        let mut routed = false;
        while !ended.is_cancelled() {
            if !routed {
                routed = services.cache.set_edge_of(&call, &services.own_queue).await.is_ok();
            }
            services.states.hold(&call, &owner).await;
            if let Some(slot) = &slot {
                // Without Redis nobody counts.
                let _ = services.guard.renew_socket(slot).await;
            }
            tokio::select! {
                () = ended.cancelled() => {}
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
        }
        services.states.let_go(&call, &owner).await;
        if let Some(slot) = &slot {
            services.guard.release_socket(slot).await;
        }
    });
    alive.drop_guard()
}
