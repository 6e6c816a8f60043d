//! A call: what of it can be seen and done from outside. [`crate::twilio::leg`] conducts it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::web;
use anyhow::{Context, ensure};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    World,
    audio::{TELEPHONE_HZ, read_wav, resample, write_mulaw},
    caller::{Account, CallScript, Person, Utterance, Voice, cough},
    modem, platform,
    twilio::{
        leg::{Leg, Next},
        recording::Recording,
        rest::Callbacks,
        sid,
    },
};

pub use crate::twilio::report::CallReport;

/// What may be done to a call from outside.
#[derive(Debug)]
pub enum Command {
    /// The caller hangs up.
    HangUp,
    /// The platform ends it (`Status=completed`, or `canceled`).
    End,
    /// The platform gives it other instructions (`Url` or `Twiml`).
    Update(Next),
    /// The caller says something more: what, and its sound.
    Say(Utterance, Vec<u8>),
}

/// A call's shared state.
#[derive(Debug)]
pub struct Call {
    /// `CA` and 32 hex digits.
    pub sid: String,
    /// Whose call it is.
    pub account: Account,
    state: Mutex<State>,
    commands: mpsc::UnboundedSender<Command>,
    over: watch::Sender<bool>,
}

/// What is known of a call.
#[derive(Debug, Default)]
pub struct State {
    /// For whoever asks.
    pub report: CallReport,
    /// At the caller's ear.
    pub recording: Recording,
    /// When it was answered.
    pub answered: Option<Instant>,
}

impl State {
    /// Milliseconds since the answer; 0 before it.
    pub fn now_ms(&self) -> u64 {
        self.answered.map_or(0, |answered| answered.elapsed().as_millis() as u64)
    }
}

impl Call {
    /// What is known of it now.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to it; `false` when it is over.
    pub fn command(&self, command: Command) -> bool {
        !*self.over.borrow() && self.commands.send(command).is_ok()
    }

    /// Marks the end: all is decoded, all callbacks were made.
    pub(super) fn set_over(&self) {
        self.over.send_replace(true);
    }
}

/// A call that has been placed.
#[derive(Debug, Clone)]
pub struct CallHandle(Arc<Call>);

impl CallHandle {
    /// `CA` and 32 hex digits.
    pub fn sid(&self) -> &str {
        &self.0.sid
    }

    /// The caller hangs up, if the call is not over.
    pub fn hang_up(&self) {
        self.0.command(Command::HangUp);
    }

    /// What is known of the call now.
    pub fn report(&self) -> CallReport {
        self.0.state().report.clone()
    }

    /// What the caller's ear has recorded so far.
    pub fn recording(&self) -> Recording {
        self.0.state().recording.clone()
    }

    /// Waits until the call is over and all that was heard is decoded.
    pub async fn finished(&self) -> CallReport {
        // It fails only when the sender is gone, and this handle holds it.
        let _ = self.0.over.subscribe().wait_for(|over| *over).await;
        self.report()
    }
}

/// How the number's owner has configured its webhooks: Twilio is to ask again where a task dies over it (PROTOCOLS 1.1).
const NUMBERS_RETRIES: &str = "#rc=5&rp=ct,rt,5xx";

/// Places a call into the platform: a signed webhook to `/twilio/voice`, and on from there.
///
/// # Errors
/// When an utterance cannot be given a voice (no such file, `espeak-ng` not installed).
pub async fn place_call(
    world: &web::Data<World>,
    script: CallScript,
) -> anyhow::Result<CallHandle> {
    let url = |path: &str| world.config.platform.public(&format!("{path}{NUMBERS_RETRIES}"));
    let first = Next::ask(url("/twilio/voice"));
    let callbacks = Callbacks::of_number(url("/twilio/voice/status"));
    start(world, script, false, first, callbacks).await
}

/// Starts a call in either direction.
pub(super) async fn start(
    world: &web::Data<World>,
    script: CallScript,
    outbound: bool,
    first: Next,
    callbacks: Callbacks,
) -> anyhow::Result<CallHandle> {
    let mut audio = Vec::with_capacity(script.utterances.len());
    for (index, utterance) in script.utterances.iter().enumerate() {
        let voiced = voice(world, utterance).await;
        audio.push(voiced.with_context(|| format!("give utterance {index} a voice"))?);
    }
    let settings = &world.config.twilio;
    let account = script.options.account.clone().unwrap_or_else(|| Account {
        sid: settings.account_sid.clone(),
        auth_token: settings.auth_token.expose().to_owned(),
    });
    let (commands, orders) = mpsc::unbounded_channel();
    let report = CallReport {
        sid: sid("CA"),
        from: script.from,
        to: script.to,
        outbound,
        placed_unix_ms: Timestamp::now().as_millisecond(),
        ..CallReport::default()
    };
    let call = Arc::new(Call {
        sid: report.sid.clone(),
        account,
        state: Mutex::new(State { report, ..State::default() }),
        commands,
        over: watch::Sender::new(false),
    });
    world.twilio.calls().insert(call.sid.clone(), call.clone());
    let person = Person::new(script.utterances, audio, script.options.clone());
    let leg = Leg::new(world.clone(), call.clone(), orders, person, script.options, callbacks);
    platform::threads().spawn(leg.run(first));
    Ok(CallHandle(call))
}

impl From<Arc<Call>> for CallHandle {
    fn from(call: Arc<Call>) -> Self {
        Self(call)
    }
}

pub(super) async fn voice(world: &World, utterance: &Utterance) -> anyhow::Result<Vec<u8>> {
    if let Some(path) = &utterance.wav {
        let file = tokio::fs::read(path).await.context("read the WAV file")?;
        return telephone(&file);
    }
    let mut samples = if utterance.coughs { cough() } else { Vec::new() };
    samples.extend(match utterance.voice {
        Voice::Modem => modem::encode(&utterance.text),
        Voice::Espeak => world.espeak.say(&utterance.text).await?,
    });
    Ok(write_mulaw(&samples))
}

/// A WAV file as the telephone carries it.
pub(super) fn telephone(file: &[u8]) -> anyhow::Result<Vec<u8>> {
    let pcm = read_wav(file)?;
    ensure!(pcm.rate_hz > 0, "the WAV file has no sampling rate");
    let samples = if pcm.rate_hz == TELEPHONE_HZ {
        pcm.samples
    } else {
        resample(&pcm.samples, pcm.rate_hz, TELEPHONE_HZ)
    };
    Ok(write_mulaw(&samples))
}
