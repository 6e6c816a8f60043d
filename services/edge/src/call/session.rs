//! One call on one socket: feeds the call core, does what it says (DESIGN 3).

mod actions;
mod answers;
mod ending;
mod heartbeat;
mod record;

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix_ws::{AggregatedMessage, AggregatedMessageStream};
use bus::TraceContext;
use call_core::{
    CallCore, EndReason, Input, Language, Moment, Prompts, Settings, TurnSettings,
    event_log::Beginning,
};
use domain::{
    CallStarted, Channel, ConversationId, Envelope, Handover, Heard, Stage, TenantSettings,
    Timestamp,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::DropGuard;
use tracing::{Instrument as _, Span};

use self::{
    actions::{HeldBack, Speech, fence_stands},
    heartbeat::heartbeat,
};
use super::{
    CallServices, Entered,
    clock::{CallClock, duration},
    effects::{Effect, Effects, Notes},
    event_log::EventLog,
    fences::Fences,
    off_record::OffRecord,
    recording::{Blocks, PartQueue},
    resumption::LostCall,
    socket::SocketSender,
    token::StreamClaims,
    wire::{self, StreamEvent},
};
use crate::guard::SocketSlot;

/// Twilio sends a frame every 20 ms, silence included: without any for this long the stream is dead, or never was.
const SILENT_STREAM: Duration = Duration::from_secs(10);
/// How long a call waits for a greeting that is not rendered yet. Where the caller speaks first, it is not said any more.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);
/// A line with a fault in a frame now and then is better than none; a stream of faults is no line.
const TOLERATED_FAULTS: u32 = 10;
const MAILBOX: usize = 256;

/// What was found out about a call before its session begins.
pub(super) struct Admitted {
    pub claims: StreamClaims,
    pub stream_sid: String,
    /// Shows zero when the stream started.
    pub clock: CallClock,
    pub slot: Option<SocketSlot>,
    pub started_at: Timestamp,
    /// Redis could not be told that the call is here.
    pub is_unrecorded: bool,
    /// The caller comes back from a transfer that nobody took.
    pub returned: bool,
    /// Recording was paused when the call was here last.
    pub off_record: bool,
    /// The language of the agent that had the turn when the call was here last.
    pub listens_in: Option<String>,
    /// The name under which this socket's word on the call counts.
    pub holder: String,
    /// What another task was doing with the call when it was lost.
    pub lost: Option<LostCall>,
    /// Turns taken on earlier connections of the same call.
    pub turns_before: u32,
    /// Where in the call the stream began, samples; nothing where nobody knows when that began.
    pub stream_at: Option<u64>,
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
    /// The call goes to a human.
    HandedOver,
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
    log: EventLog,
    socket: SocketSender,
    effects: Effects,
    notes: Notes,
    fences: Fences,
    holder: String,
    parts: PartQueue,
    blocks: Blocks,
    turns_before: u32,
    stream_at: Option<u64>,
    /// What is not to leave before the fence stands in Redis.
    held: Option<HeldBack>,
    /// Stages of the words of the turn that is being spoken by the caller.
    words_stages: Vec<Stage>,
    /// How that turn sounds, where a model wants to hear it.
    speech: Option<Speech>,
    /// Stages of each reply, as its first sentence brought them.
    reply_stages: HashMap<u32, (u32, Vec<Stage>)>,
    trace: (u32, TraceContext),
    /// The agent ends the call once this turn's reply was heard.
    hang_up_after: Option<u32>,
    hang_up: bool,
    /// Whom the call goes to once this turn's reply was heard.
    transfer_after: Option<(u32, Handover)>,
    transfer: Option<(u32, Handover)>,
    /// The turn that got no answer, and what a human is told of it.
    unanswered: (u32, &'static str),
    /// The caller comes back from a transfer that nobody took.
    returned: bool,
    /// Where nothing is recorded.
    off_record: OffRecord,
    /// The caller is greeted, also where another task lost the call before that was heard.
    greets: bool,
    /// The caller is to be told that the call is recorded, and was not yet.
    unannounced: bool,
    /// How that is said, once it is rendered.
    consent: Option<call_core::Prompt>,
    /// An agent has paused recording; the last turn was taken while that was so; it goes on after this turn's reply.
    off_record_talk: bool,
    off_record_before: bool,
    /// The language in which the caller is recognised, where it is not the tenant's.
    listens_in: Option<String>,
    record_after: Option<u32>,
    ended: Option<(EndReason, Option<Heard>)>,
    faults: u32,
    last_frame: Instant,
    span: Span,
    _entered: Entered,
    _heartbeat: DropGuard,
}

/// Settings of a call that has lasted for `before` on other connections.
fn core_settings(
    tenant: &TenantSettings,
    prompts: Prompts,
    channel: &Channel,
    listens_in: Option<&str>,
    before: Duration,
) -> Settings {
    let domain::TurnTaking {
        end_of_turn,
        end_of_turn_unfinished,
        end_of_turn_answered,
        back_channel_longest,
        caller_silent_after,
    } = tenant.turn_taking;
    let defaults = Settings::default();
    Settings {
        turn: TurnSettings {
            end_of_turn,
            end_of_turn_unfinished,
            end_of_turn_answered,
            back_channel_longest,
            language: Language::of(listens_in.unwrap_or(&tenant.voice.language)),
            ..TurnSettings::default()
        },
        prompts,
        // A web page cannot be dialled on.
        apology_hands_over: tenant.human().is_some() && *channel == Channel::VOICE,
        caller_silent_after,
        spent: before,
        recording_block: if tenant.recording { defaults.recording_block } else { Duration::ZERO },
        ..defaults
    }
}

impl Session {
    /// Runs the call until its socket ends, then settles it. The last thing done on the socket is to close it.
    pub(super) async fn run(
        services: Arc<CallServices>,
        admitted: Admitted,
        mut stream: AggregatedMessageStream,
        socket: SocketSender,
    ) {
        let claims = &admitted.claims;
        let span = tracing::info_span!("call", call = %claims.call, tenant = %claims.tenant,
            conversation = %ConversationId::of_call(claims.tenant, &claims.call));
        let begun = Self::begin(services, admitted, socket).instrument(span.clone());
        let (mut session, mut answers, mut greeted) = begun.await;
        let greeting = session.greeting();
        let cut = session.services.cut.clone();
        let cut = cut.cancelled();
        let alarm = tokio::time::sleep_until(session.due());
        tokio::pin!(greeting, cut, alarm);
        let end = loop {
            if let Some(end) = session.ending() {
                break end;
            }
            if session.services.stopping.is_cancelled() && session.core.is_at_pause() {
                break SocketEnd::Lost("handed_on");
            }
            // What is due moves on with every frame. One timer that rings early now and then costs less than one set anew
            // each time.
            let due = session.due();
            if due < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(due);
            }
            tokio::select! {
                // The span is entered where a frame leads to something, and most do not.
                frame = stream.recv() => {
                    if let Some(end) = session.frame(frame) {
                        break end;
                    }
                }
                Some(answer) = answers.recv() => span.in_scope(|| session.answer(answer)),
                prompt = &mut greeting, if !greeted => {
                    greeted = true;
                    span.in_scope(|| session.greet(prompt));
                }
                () = fence_stands(&mut session.held) => session.release(),
                () = &mut alarm => {
                    if let Some(end) = span.in_scope(|| session.pass_time()) {
                        break end;
                    }
                }
                () = &mut cut => break SocketEnd::Lost("drained"),
            }
        };
        session.finish(end, answers).instrument(span).await;
    }

    /// The call as its socket finds it, where its answers come in, and whether the caller has been greeted.
    async fn begin(
        services: Arc<CallServices>,
        mut admitted: Admitted,
        socket: SocketSender,
    ) -> (Self, mpsc::Receiver<Envelope>, bool) {
        let (mailbox, answers) = mpsc::channel(MAILBOX);
        let settings = services.directory.settings(admitted.claims.tenant).unwrap_or_default();
        let mut recalled = (Vec::new(), None);
        let mut greeted = admitted.claims.attempt > 0 && !admitted.returned;
        if let Some(lost) = &mut admitted.lost {
            recalled = lost.recall(&services, &admitted.claims, &settings).await;
            greeted &= !lost.greet;
        }
        let heard = admitted.lost.as_ref().and_then(LostCall::heard_so_far).map(str::to_owned);
        let mut session = Self::new(services, admitted, settings, mailbox, socket);
        session.begin_record();
        tracing::info!(call = %session.claims.call, attempt = session.claims.attempt, "media stream started");
        session.announce();
        if let Some(heard) = heard {
            session.caption_heard(0, &heard);
        }
        session.input_at(Input::StreamStarted, Moment::ZERO);
        let (effects, whole) = recalled;
        for effect in effects {
            session.effects.push(effect);
        }
        if let Some(finished) = whole {
            session.answer(finished);
        }
        (session, answers, greeted)
    }

    fn new(
        services: Arc<CallServices>,
        admitted: Admitted,
        settings: Arc<TenantSettings>,
        mailbox: mpsc::Sender<Envelope>,
        socket: SocketSender,
    ) -> Self {
        let Admitted {
            claims,
            stream_sid,
            clock,
            slot,
            started_at,
            is_unrecorded,
            returned,
            off_record,
            listens_in,
            holder,
            lost,
            turns_before,
            stream_at,
        } = admitted;
        let is_greeted_again = lost.as_ref().is_some_and(|lost| lost.greet);
        let beginning = Beginning {
            settings: core_settings(
                &settings,
                services.prompts.of(&settings),
                &claims.call.channel(),
                listens_in.as_deref(),
                stream_at.map_or(Duration::ZERO, duration),
            ),
            resumption: lost.filter(|lost| !lost.greet).map(|lost| lost.resumption),
            at: Moment::ZERO,
        };
        let greets = claims.attempt == 0 || is_greeted_again;
        let unrecorded = is_unrecorded.then_some(started_at);
        let notes = Notes::start(&services, claims.call.clone(), holder.clone());
        let logs = &services.event_logs;
        Self {
            conversation: ConversationId::of_call(claims.tenant, &claims.call),
            core: beginning.core(),
            log: logs.begin(&services.runtime, &claims.call, claims.attempt, &beginning),
            effects: Effects::start(&services, claims.call.clone(), holder.clone(), notes.clone()),
            notes,
            fences: Fences::start(&services, claims.call.clone()),
            parts: PartQueue::start(&services, claims.call.clone()),
            blocks: Blocks::start(&services, claims.call.clone()),
            _entered: services.live.enter(&services, &claims.call, mailbox),
            _heartbeat: heartbeat(&services, &claims, &holder, unrecorded, slot),
            holder,
            services,
            claims,
            settings,
            stream_sid,
            started_at,
            clock,
            socket,
            turns_before,
            stream_at,
            held: None,
            words_stages: Vec::new(),
            speech: None,
            reply_stages: HashMap::new(),
            trace: (0, TraceContext::root()),
            hang_up_after: None,
            hang_up: false,
            transfer_after: None,
            transfer: None,
            unanswered: (0, ""),
            returned,
            off_record: OffRecord::default(),
            greets,
            unannounced: false,
            consent: None,
            // Whoever was not greeted has talked to no agent that could have paused it.
            off_record_talk: off_record && !greets,
            off_record_before: off_record && !greets,
            listens_in,
            record_after: None,
            ended: None,
            faults: 0,
            last_frame: Instant::now(),
            span: Span::current(),
        }
    }

    fn announce(&mut self) {
        let started = CallStarted {
            call: self.claims.call.clone(),
            from: self.claims.from.clone(),
            to: self.claims.to.clone(),
            greeting: match self.settings.recording_consent.as_ref().filter(|_| self.announces()) {
                Some(consent) => format!("{consent} {}", self.settings.greeting),
                None => self.settings.greeting.clone(),
            },
        };
        let mut event = self.envelope("call-started", 0, started);
        event.occurred_at = self.started_at;
        self.effects.push(Effect::Event(event));
    }

    /// What the caller hears first, once it is rendered: the announcement that the call is recorded, and the greeting.
    fn greeting(&self) -> impl Future<Output = Vec<call_core::Prompt>> + use<> {
        let (prompts, settings) = (self.services.prompts.clone(), self.settings.clone());
        let (returned, announced) = (self.returned, self.announces());
        async move {
            let consent = settings.recording_consent.as_deref().filter(|_| announced);
            let text = if returned { &settings.nobody_free } else { &settings.greeting };
            let mut spoken = Vec::new();
            for text in consent.into_iter().chain([text.as_str()]) {
                spoken.extend(prompts.prompt_within(&settings, text, GREETING_PATIENCE).await);
            }
            spoken
        }
    }

    fn greet(&mut self, prompts: Vec<call_core::Prompt>) {
        let sentences = prompts.len() as u32;
        for (index, prompt) in (0..).zip(prompts) {
            if self.settings.recording_consent.as_ref() == Some(&prompt.text) {
                self.consent = Some(prompt.clone());
            }
            let (turn, attempt, part, more) = (0, 0, 0, false);
            let (text, audio) = (prompt.text, Some(prompt.audio));
            self.input(Input::SentenceSpoken { turn, attempt, index, part, more, text, audio });
        }
        if sentences > 0 {
            self.input(Input::ReplyFinished { turn: 0, attempt: 0, sentences });
        }
    }

    fn ending(&self) -> Option<SocketEnd> {
        match &self.ended {
            _ if self.hang_up => Some(SocketEnd::HungUp),
            _ if self.transfer.is_some() => Some(SocketEnd::HandedOver),
            Some((reason, _)) => Some(SocketEnd::Core(*reason)),
            None => None,
        }
    }

    /// When [`pass_time`](Self::pass_time) has something to do, if nothing else happens before.
    fn due(&self) -> Instant {
        let fence = self.held.as_ref().map(|held| held.until);
        let silent = self.last_frame + SILENT_STREAM;
        self.core_due().into_iter().chain(fence).fold(silent, Instant::min)
    }

    /// When the core wants to be woken; nothing once the call has ended.
    fn core_due(&self) -> Option<Instant> {
        self.core.next_wake().map(|wake| self.clock.instant(wake).into())
    }

    /// Does what is due by now; tells when that ends the socket.
    fn pass_time(&mut self) -> Option<SocketEnd> {
        let now = Instant::now();
        if now >= self.last_frame + SILENT_STREAM {
            return Some(SocketEnd::Lost("silent_stream"));
        }
        if self.held.as_ref().is_some_and(|held| now >= held.until) {
            self.release();
        }
        let at = self.clock.now();
        if self.core.next_wake().is_some_and(|wake| at >= wake) {
            self.input_at(Input::Tick, at);
        }
        None
    }

    fn input(&mut self, input: Input<'_>) {
        self.input_at(input, self.clock.now());
    }

    fn input_at(&mut self, input: Input<'_>, at: Moment) {
        let mut actions = Vec::new();
        self.log.happened(&input, at);
        self.core.handle(input, at, &mut actions);
        if actions.is_empty() {
            return;
        }
        let _in_its_span = self.span.clone().entered();
        let mut takes_turn = false;
        for action in actions {
            self.log.decided(&action);
            takes_turn |= matches!(action, call_core::Action::TurnTaken { .. });
            self.perform(action);
        }
        if let Some(announcement) = self.announcement_due().filter(|_| takes_turn) {
            self.input_at(announcement, at);
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
                self.input(Input::AudioFrame { payload: payload.into(), timestamp });
            }
            Ok(StreamEvent::Mark(name)) => self.input(Input::MarkReturned { name: name.into() }),
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
}
