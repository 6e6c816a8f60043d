//! The conduct of one call: it follows TwiML (PROTOCOLS 1.4) while the caller's time passes, 20 ms by 20 ms.
//!
//! Everything that takes time runs inside [`Leg::meanwhile`] or asks [`Leg::frame`] for the next frame, so the line never
//! stands still: what is played, said and recorded goes on through a slow webhook as it does on a telephone. Frames are
//! due at fixed times after the answer; a late one is made up for, none is left out.

use std::{future::Future, ops::Range, pin::pin, sync::Arc, time::Duration};

use actix_web::web;
use anyhow::Context;
use jiff::Timestamp;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};
use url::Url;

use crate::{
    World,
    audio::{read_mulaw, write_mulaw},
    caller::{Act, CallOptions, DialStatus, Person},
    hearing, modem, platform,
    twilio::{
        call::{Call, Command, telephone},
        playback::{FRAME_MS, FRAME_SAMPLES, Frame, Playback, SILENT_FRAME},
        report::{CallFault, CallStatus, Event, Mark, Said, Turn},
        rest::{Callbacks, call_form},
        sid,
        stream::{Heard, Identity, MediaStream},
        twiml::{self, Gather, Request, Stream, Verb},
        webhook::{self, Form},
    },
};

/// How long a party stays on the line that a call was transferred to.
const DIALLED_TALK: Duration = Duration::from_secs(2);
/// How long a telephone rings until somebody answers it, or it is engaged.
const RINGS: Duration = Duration::from_millis(500);
/// How long one rings that nobody answers, though it would ring longer: tests wait for it.
const NOBODY_COMES: Duration = Duration::from_secs(2);
/// How sure the recogniser of `<Gather>` says it is.
const CONFIDENCE: &str = "0.97";

/// Where the next instructions come from.
#[derive(Debug, Clone)]
pub enum Next {
    /// Ask the platform.
    Ask {
        /// Absolute.
        url: String,
        /// By GET.
        get: bool,
        /// Fields beside the standard ones.
        form: Form,
    },
    /// A document at hand (`Twiml` of the REST API).
    Document(String),
}

impl Next {
    /// By POST, with the standard fields.
    pub fn ask(url: String) -> Self {
        Self::Ask { url, get: false, form: Form::new() }
    }
}

/// Why the instructions at hand are not followed to their end.
enum Stop {
    /// The call is over.
    Over(CallStatus, &'static str),
    /// Others take their place.
    Go(Next),
}

/// Why a stream is over.
enum StreamOver {
    ClosedByPlatform,
    Stop(Stop),
}

/// One call, in its own task.
pub struct Leg {
    world: web::Data<World>,
    call: Arc<Call>,
    orders: UnboundedReceiver<Command>,
    person: Person,
    options: CallOptions,
    callbacks: Callbacks,
    playback: Playback,
    /// What is being said: it goes out when it has been said.
    saying: Frame,
    /// Runs from the answer on.
    clock: Option<Interval>,
    decodes: JoinSet<()>,
    /// The URL of the document that is followed, for what is relative to it.
    base: String,
}

/// What happened in a frame.
struct Passed {
    said: Frame,
    marks: Vec<String>,
    act: Act,
}

impl Leg {
    /// A call that has not begun.
    pub fn new(
        world: web::Data<World>,
        call: Arc<Call>,
        orders: UnboundedReceiver<Command>,
        person: Person,
        options: CallOptions,
        callbacks: Callbacks,
    ) -> Self {
        let base = world.config.platform.public("/");
        Self {
            world,
            call,
            orders,
            person,
            options,
            callbacks,
            playback: Playback::default(),
            saying: SILENT_FRAME,
            clock: None,
            decodes: JoinSet::new(),
            base,
        }
    }

    /// From the first webhook to the last callback.
    pub async fn run(mut self, first: Next) {
        self.call.state().report.status = CallStatus::Ringing;
        self.callbacks.report(&self.world, &self.call, "ringing");
        let mut next = first;
        let (status, by) = loop {
            match self.follow(next).await {
                Stop::Go(instructions) => next = instructions,
                Stop::Over(status, by) => break (status, by),
            }
        };
        self.close(status, by).await;
    }

    async fn follow(&mut self, next: Next) -> Stop {
        let document = match next {
            Next::Document(document) => document,
            Next::Ask { url, get, form } => match self.ask(url, get, form).await {
                Ok(document) => document,
                Err(stop) => return stop,
            },
        };
        let verbs = match twiml::parse(&document) {
            Ok(verbs) => verbs,
            Err(fault) => return self.broken(12100, format!("{fault:#}")),
        };
        if self.clock.is_none() {
            if let Some(Verb::Reject { busy }) = verbs.first() {
                let status = if *busy { CallStatus::Busy } else { CallStatus::Failed };
                return Stop::Over(status, "rejected");
            }
            self.answer();
        }
        for verb in verbs {
            if let Err(stop) = self.obey(verb).await {
                return stop;
            }
        }
        Stop::Over(CallStatus::Completed, "no-instructions")
    }

    async fn ask(&mut self, url: String, get: bool, extra: Form) -> Result<String, Stop> {
        let mut form = call_form(&self.call);
        form.extend(extra);
        self.note("webhook", &path(&url));
        self.base.clone_from(&url);
        let (world, call) = (self.world.clone(), self.call.clone());
        let answer = self
            .meanwhile(
                async move { webhook::document(&world, &call.account, &url, get, form).await },
            )
            .await?;
        answer.map_err(|failed| self.broken(failed.code, failed.message))
    }

    /// The caller hears that an application error has occurred; the call ends.
    fn broken(&self, code: u32, message: String) -> Stop {
        self.fault(code, message);
        let status = if self.clock.is_some() { CallStatus::Completed } else { CallStatus::Failed };
        Stop::Over(status, "error")
    }

    fn answer(&mut self) {
        let mut clock = interval(Duration::from_millis(FRAME_MS));
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        self.clock = Some(clock);
        {
            let mut state = self.call.state();
            state.answered = Some(Instant::now());
            state.report.answered_unix_ms = Some(Timestamp::now().as_millisecond());
            state.report.status = CallStatus::InProgress;
        }
        self.callbacks.report(&self.world, &self.call, "answered");
    }

    async fn obey(&mut self, verb: Verb) -> Result<(), Stop> {
        match verb {
            Verb::Say { .. } | Verb::Play { .. } | Verb::Pause(_) => {
                self.prompt(&verb).await?;
                self.play_out().await
            }
            Verb::Connect { action, stream } => {
                self.connect(&stream).await?;
                self.go_on(action, Form::new())
            }
            Verb::Gather(gather) => self.gather(gather).await,
            Verb::Dial { party, whisper, timeout, action } => {
                self.dial(&party, whisper, timeout, action).await
            }
            Verb::Redirect(request) => {
                self.note("redirect", &path(&request.url));
                self.go_on(Some(request), Form::new())
            }
            Verb::Hangup => Err(Stop::Over(CallStatus::Completed, "hangup")),
            Verb::Reject { .. } => {
                Err(self.broken(13520, "<Reject> after the call was answered".to_owned()))
            }
        }
    }

    fn go_on(&self, action: Option<Request>, form: Form) -> Result<(), Stop> {
        let Some(Request { url, get }) = action else { return Ok(()) };
        Err(Stop::Go(Next::Ask { url: self.absolute(url), get, form }))
    }

    /// A URL of the document that is followed. Absolute ones stay as written, byte for byte: they are signed.
    fn absolute(&self, url: String) -> String {
        match Url::parse(&self.base) {
            Ok(base) if Url::parse(&url).is_err() => {
                base.join(&url).map(String::from).unwrap_or(url)
            }
            _ => url,
        }
    }

    /// Queues what a prompt sounds like.
    async fn prompt(&mut self, verb: &Verb) -> Result<(), Stop> {
        let (audio, times) = match verb {
            Verb::Say { text, times } => (write_mulaw(&modem::encode(text)), *times),
            Verb::Play { url, times } => match self.fetch(url).await? {
                Ok(audio) => (audio, *times),
                Err(fault) => {
                    self.fault(11200, format!("{fault:#}"));
                    return Ok(());
                }
            },
            Verb::Pause(length) => {
                let samples = length.as_millis() as usize * FRAME_SAMPLES / FRAME_MS as usize;
                (vec![domain::g711::SILENCE; samples], 1)
            }
            _ => return Ok(()),
        };
        for _ in 0..times.max(1) {
            self.playback.push(audio.clone());
        }
        Ok(())
    }

    async fn fetch(&mut self, url: &str) -> Result<anyhow::Result<Vec<u8>>, Stop> {
        let url = self.world.config.platform.requested(url);
        self.meanwhile(async move {
            let answer =
                platform::client().get(url).send().await.map_err(reqwest::Error::without_url);
            let answer = answer.context("fetch what is to be played")?.error_for_status()?;
            telephone(&answer.bytes().await.context("read what is to be played")?)
        })
        .await
    }

    async fn play_out(&mut self) -> Result<(), Stop> {
        while !self.playback.is_idle() {
            self.frame().await?;
        }
        Ok(())
    }

    async fn connect(&mut self, stream: &Stream) -> Result<(), Stop> {
        let identity = Identity {
            stream_sid: sid("MZ"),
            call_sid: self.call.sid.clone(),
            account_sid: self.call.account.sid.clone(),
        };
        let (world, call, stream) = (self.world.clone(), self.call.clone(), stream.clone());
        let opened = self
            .meanwhile(async move {
                let platform = &world.config.platform;
                let token = &call.account.auth_token;
                MediaStream::open(platform, &stream.url, &stream.parameters, token, identity).await
            })
            .await?;
        let mut socket = match opened {
            Ok(socket) => socket,
            Err(refused) => {
                self.fault(refused.code, refused.message);
                return Ok(());
            }
        };
        self.note("stream-started", "");
        let over = self.converse(&mut socket).await;
        self.note("stream-stopped", "");
        match over {
            // What was queued belongs to the stream and goes with it.
            StreamOver::ClosedByPlatform => {
                self.clear();
                Ok(())
            }
            StreamOver::Stop(stop) => {
                self.clear();
                socket.stop();
                Err(stop)
            }
        }
    }

    async fn converse(&mut self, socket: &mut MediaStream) -> StreamOver {
        let mut warned = false;
        loop {
            tokio::select! {
                passed = self.frame() => match passed {
                    Ok(passed) => self.send(socket, passed),
                    Err(stop) => return StreamOver::Stop(stop),
                },
                heard = socket.next() => match heard {
                    Heard::Media(audio) => self.playback.push(audio),
                    Heard::Mark(name) => self.mark(socket, name),
                    Heard::Clear => {
                        let pending = self.clear();
                        let now_ms = self.call.state().now_ms();
                        self.call.state().report.clears_ms.push(now_ms);
                        for name in pending {
                            socket.mark(&name);
                        }
                    }
                    // Twilio warns once per stream.
                    Heard::Invalid(message) if !warned => {
                        warned = true;
                        self.fault(31951, message);
                    }
                    Heard::Invalid(_) => {}
                    Heard::Closed { orderly } => {
                        if orderly {
                            self.note("stream-closed-by-platform", "");
                        } else {
                            self.fault(31921, "the media socket broke".to_owned());
                        }
                        return StreamOver::ClosedByPlatform;
                    }
                },
            }
        }
    }

    fn send(&mut self, socket: &mut MediaStream, passed: Passed) {
        for name in passed.marks {
            socket.mark(&name);
        }
        for digit in passed.act.digits.iter().flat_map(|digits| digits.chars()) {
            socket.dtmf(digit);
        }
        if !self.options.no_media && !socket.media(&passed.said) {
            self.fault(31930, "audio was dropped: the platform reads too slowly".to_owned());
        }
    }

    fn mark(&mut self, socket: &mut MediaStream, name: String) {
        let at_once = self.playback.mark(name.clone());
        let mut state = self.call.state();
        let now_ms = state.now_ms();
        state.report.marks.push(Mark {
            name,
            received_ms: now_ms,
            returned_ms: at_once.as_ref().map(|_| now_ms),
            cleared: false,
        });
        drop(state);
        if let Some(name) = at_once {
            socket.mark(&name);
        }
    }

    /// Empties the playback; the pending marks.
    fn clear(&mut self) -> Vec<String> {
        let pending = self.playback.clear();
        self.marks_returned(&pending, true);
        pending
    }

    fn marks_returned(&self, names: &[String], cleared: bool) {
        let mut state = self.call.state();
        let now_ms = state.now_ms();
        for name in names {
            let mut pending =
                state.report.marks.iter_mut().filter(|mark| mark.returned_ms.is_none());
            if let Some(mark) = pending.find(|mark| mark.name == *name) {
                mark.returned_ms = Some(now_ms);
                mark.cleared = cleared;
            }
        }
    }

    /// Prompts, then what the caller says or keys. Both may begin during the prompts, which stops them.
    async fn gather(&mut self, gather: Gather) -> Result<(), Stop> {
        for prompt in &gather.prompts {
            self.prompt(prompt).await?;
        }
        let mut digits = String::new();
        let mut spoken_from: Option<usize> = None;
        let mut quiet: Option<Duration> = None;
        let mut waited = Duration::ZERO;
        let result = loop {
            let passed = self.frame().await?;
            if let Some(keys) = passed.act.digits.filter(|_| gather.dtmf) {
                self.clear();
                waited = Duration::ZERO;
                digits.push_str(&keys);
            }
            let finished = gather.finish_on_key.and_then(|key| digits.find(key));
            if let Some(end) = finished.filter(|end| *end > 0) {
                digits.truncate(end);
                break Some(("Digits", digits));
            }
            if gather.num_digits.is_some_and(|count| digits.len() >= count) {
                break Some(("Digits", digits));
            }
            if gather.speech && passed.act.began.is_some() {
                self.clear();
                let said = self.call.state().recording.said.len();
                spoken_from.get_or_insert(said - FRAME_SAMPLES);
                quiet = None;
            }
            if passed.act.ended.is_some() {
                quiet = Some(Duration::ZERO);
            }
            if let (Some(from), Some(so_far)) = (spoken_from, &mut quiet) {
                *so_far += Duration::from_millis(FRAME_MS);
                if *so_far >= gather.speech_timeout {
                    let words = self.recognise(from).await?;
                    if !words.is_empty() {
                        break Some(("SpeechResult", words));
                    }
                    // It was noise.
                    (spoken_from, quiet) = (None, None);
                }
            }
            if spoken_from.is_none() && self.playback.is_idle() {
                waited += Duration::from_millis(FRAME_MS);
            }
            if waited >= gather.timeout {
                break (!digits.is_empty()).then_some(("Digits", digits));
            }
        };
        let mut form = Form::new();
        match result {
            Some((name, value)) => {
                self.note("gathered", name);
                form.push((name.to_owned(), value));
                if name == "SpeechResult" {
                    form.push(("Confidence".to_owned(), CONFIDENCE.to_owned()));
                }
            }
            None if gather.action_on_empty_result => self.note("gathered", "nothing"),
            None => return Ok(()),
        }
        let own = Request { url: self.base.clone(), get: false };
        self.go_on(Some(gather.action.unwrap_or(own)), form)
    }

    /// What the caller has said from this sample of the call on, by the sound of it.
    async fn recognise(&mut self, from: usize) -> Result<String, Stop> {
        let said = self.call.state().recording.said[from..].to_vec();
        let world = self.world.clone();
        let words = self.meanwhile(hearing::hear(world, read_mulaw(&said))).await?;
        Ok(words.map(|words| hearing::text(&words)).unwrap_or_else(|fault| {
            self.fault(11200, format!("{fault:#}"));
            String::new()
        }))
    }

    async fn dial(
        &mut self,
        party: &str,
        whisper: Option<Request>,
        timeout: Duration,
        action: Option<Request>,
    ) -> Result<(), Stop> {
        self.note("dial", party);
        let status = self.world.twilio.answer_of(party).unwrap_or(self.options.dial_status);
        let rings = match status {
            DialStatus::NoAnswer => timeout.min(NOBODY_COMES),
            _ => RINGS,
        };
        self.pass_time(rings).await?;
        let mut form = vec![("DialCallStatus".to_owned(), status.as_str().to_owned())];
        if status == DialStatus::Completed {
            let child = sid("CA");
            if let Some(whisper) = whisper {
                self.whisper(party, &child, whisper).await?;
            }
            self.note("bridged", party);
            self.pass_time(DIALLED_TALK).await?;
            form.push(("DialCallSid".to_owned(), child));
            form.push(("DialCallDuration".to_owned(), DIALLED_TALK.as_secs().to_string()));
        }
        self.go_on(action, form)
    }

    /// What the party hears before both talk: asked for in the name of the leg to it.
    async fn whisper(&mut self, party: &str, child: &str, request: Request) -> Result<(), Stop> {
        let Request { url, get } = request;
        let url = self.absolute(url);
        let mut form = call_form(&self.call);
        for (name, value) in &mut form {
            match name.as_str() {
                "CallSid" => child.clone_into(value),
                "To" | "Called" => party.clone_into(value),
                "Direction" => "outbound-dial".clone_into(value),
                _ => {}
            }
        }
        form.push(("ParentCallSid".to_owned(), self.call.sid.clone()));
        let (world, call) = (self.world.clone(), self.call.clone());
        let asked = async move { webhook::document(&world, &call.account, &url, get, form).await };
        let document = match self.meanwhile(asked).await? {
            Ok(document) => document,
            Err(failed) => {
                self.fault(failed.code, failed.message);
                return Ok(());
            }
        };
        match twiml::parse(&document) {
            Ok(verbs) => {
                for verb in verbs {
                    if let Verb::Say { text, .. } = verb {
                        self.note("whisper", &text);
                    }
                }
            }
            Err(fault) => self.fault(12100, format!("{fault:#}")),
        }
        Ok(())
    }

    async fn pass_time(&mut self, time: Duration) -> Result<(), Stop> {
        for _ in 0..time.as_millis() as u64 / FRAME_MS {
            self.frame().await?;
        }
        Ok(())
    }

    /// Lets the caller's time pass until `work` is done.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                passed = self.frame() => { passed?; }
            }
        }
    }

    /// The next frame, at its time. Before the answer there are none, but the call may be ended. Safe to cancel.
    async fn frame(&mut self) -> Result<Passed, Stop> {
        loop {
            let order = match &mut self.clock {
                Some(clock) => tokio::select! {
                    order = self.orders.recv() => order,
                    _ = clock.tick() => return self.pass(),
                },
                None => self.orders.recv().await,
            };
            let answered = self.clock.is_some();
            return Err(match order {
                Some(Command::Say(utterance, audio)) => {
                    self.person.add(utterance, audio);
                    continue;
                }
                Some(Command::HangUp) | None if !answered => {
                    Stop::Over(CallStatus::Canceled, "caller")
                }
                Some(Command::HangUp) | None => Stop::Over(CallStatus::Completed, "caller"),
                Some(Command::End) if !answered => Stop::Over(CallStatus::Canceled, "rest"),
                Some(Command::End) => Stop::Over(CallStatus::Completed, "rest"),
                Some(Command::Update(next)) => {
                    self.note("updated", "");
                    Stop::Go(next)
                }
            });
        }
    }

    fn pass(&mut self) -> Result<Passed, Stop> {
        let (marks, heard) = self.playback.frame();
        let (said, act) = self.person.frame(&heard);
        {
            let mut state = self.call.state();
            let now_ms = (state.recording.said.len() / FRAME_SAMPLES) as u64 * FRAME_MS;
            state.recording.said.extend(said);
            state.recording.heard.extend(heard);
            state.report.hearing_from_ms = self
                .person
                .still_hearing()
                .map(|turn| turn.start * FRAME_MS / FRAME_SAMPLES as u64);
            if let Some(index) = act.began {
                let (text, voice) = (self.person.words(index).to_owned(), self.person.voice(index));
                state.report.said.push(Said { text, voice, start_ms: now_ms, end_ms: None });
            }
            if act.ended.is_some()
                && let Some(said) = state.report.said.last_mut()
            {
                said.end_ms = self.person.spoke_until_ms();
            }
        }
        self.marks_returned(&marks, false);
        if let Some(span) = act.heard.clone() {
            self.decode(span);
        }
        if act.hangs_up {
            return Err(Stop::Over(CallStatus::Completed, "caller"));
        }
        Ok(Passed { said: std::mem::replace(&mut self.saying, said), marks, act })
    }

    /// Understands a turn of the agent, on a thread of its own: it takes longer than a frame.
    fn decode(&mut self, span: Range<u64>) {
        // A frame of silence on each side, as on the line.
        let start = span.start.saturating_sub(FRAME_SAMPLES as u64);
        let mut state = self.call.state();
        let recorded = &state.recording.heard;
        let end = (span.end as usize + FRAME_SAMPLES).min(recorded.len());
        let mut audio = recorded[start as usize..end].to_vec();
        audio.extend(SILENT_FRAME);
        let start_ms = span.start * FRAME_MS / FRAME_SAMPLES as u64;
        let mut before = state.report.said.iter().rev().filter(|said| said.start_ms <= start_ms);
        let caller_ended_ms = before.next().and_then(|said| said.end_ms);
        let index = state.report.heard.len();
        let turn = Turn::at(&span, caller_ended_ms);
        state.report.heard.push(turn.clone());
        drop(state);
        let (world, call) = (self.world.clone(), self.call.clone());
        self.decodes.spawn_blocking(move || {
            let mut turn = turn;
            turn.decode(&audio, start, &world.espeak);
            if let Some(place) = call.state().report.heard.get_mut(index) {
                *place = turn;
            }
        });
    }

    async fn close(mut self, status: CallStatus, by: &str) {
        if let Some(span) = self.person.still_hearing() {
            self.decode(span);
        }
        {
            let mut state = self.call.state();
            let duration_ms = state.now_ms();
            state.report.status = status;
            state.report.ended_by = Some(by.to_owned());
            state.report.duration_ms = state.answered.map(|_| duration_ms);
        }
        tracing::info!(call = self.call.sid, status = status.as_str(), by, "call is over");
        self.callbacks.report(&self.world, &self.call, "completed");
        self.callbacks.settled().await;
        while self.decodes.join_next().await.is_some() {}
        self.call.set_over();
    }

    fn note(&self, what: &str, detail: &str) {
        let mut state = self.call.state();
        let at_ms = state.now_ms();
        let unix_ms = Timestamp::now().as_millisecond();
        let (what, detail) = (what.to_owned(), detail.to_owned());
        state.report.events.push(Event { at_ms, unix_ms, what, detail });
    }

    fn fault(&self, code: u32, message: String) {
        tracing::info!(call = self.call.sid, code, "Twilio notes an error");
        let mut state = self.call.state();
        let at_ms = state.now_ms();
        state.report.faults.push(CallFault { code, at_ms, message });
    }
}

/// A URL's path, for an event: what stands in a query may be secret.
fn path(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.find('/').map_or("/", |start| &rest[start..]);
    rest.split(['?', '#']).next().unwrap_or_default().to_owned()
}
