//! An orchestrator over real stores, whose messages a test can see and stop.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bus::{Destination, SendError};
use cache::Cache;
use domain::{
    CallEndReason, CallEnded, CallSid, CallStarted, Channel, ConversationId, Envelope, EventId,
    Heard, MessageKind, MessageReceived, MessageSent, Payload, ReplyFinished, SpeakSentence,
    TenantId, Timestamp, Turn,
};
use testkit::TestDb;
use tokio::sync::Notify;

use crate::{
    Shell,
    attachments::Files,
    handlers, hooks,
    llm::{LanguageModel, OpenAi, OpenAiSettings, RulesEngine},
    outlet::Outlet,
    tenants::Tenants,
    tools::{OpenMeteo, Tools, WeatherSettings},
};

use super::model_server::ModelServer;

/// Of the pool a test is given.
const CONNECTIONS: usize = 6;

pub(crate) const GREETING: &str = "Hello, how can I help you today?";

/// One task of the orchestrator in a world of its own.
pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) shell: Shell,
    pub(crate) tenant: TenantId,
    /// Of its keys in Redis.
    pub(crate) prefix: String,
}

pub(crate) fn openai(server: &ModelServer) -> Arc<dyn LanguageModel> {
    boot::install_tls();
    let settings = OpenAiSettings::at(&server.base_url, "test-model");
    Arc::new(OpenAi::new(settings, None).unwrap())
}

pub(crate) fn rules() -> Arc<dyn LanguageModel> {
    Arc::new(RulesEngine)
}

impl World {
    /// `None` where the test is to be skipped.
    pub(crate) async fn new(models: Vec<Arc<dyn LanguageModel>>) -> Option<Self> {
        let stores = testkit::require_stores()?;
        let db = TestDb::create().await?;
        let tenant = db.add_tenant("clinic").await;
        let store = db.store().await;
        let prefix = testkit::unique_prefix();
        let cache = Cache::connect(&stores.redis_url, &prefix).unwrap();
        let tenants = Arc::new(Tenants::new(store.clone()));
        // Nobody listens there.
        let weather = OpenMeteo::new(WeatherSettings::at("http://127.0.0.1:9")).unwrap();
        let tools = Tools::new(weather, None, CONNECTIONS);
        let hooks = hooks::all();
        let files = Files::new(&boot::aws_config().await);
        let shell = Shell { cache, store, files, tenants, models, tools, hooks };
        Some(Self { db, shell, tenant, prefix })
    }

    pub(crate) async fn call(&self) -> Talk<'_> {
        let call = CallSid::parse(&format!("CA{}", EventId::random())).unwrap();
        let talk = Talk {
            world: self,
            conversation: ConversationId::of_call(self.tenant, &call),
            channel: Channel::VOICE,
            call: Some(call.clone()),
        };
        let started = CallStarted {
            call,
            from: "+15550001111".into(),
            to: "+15550100001".into(),
            greeting: GREETING.into(),
        };
        let envelope = talk.envelope(Turn(0), started.clone());
        handlers::call_started(&self.shell, &Outbox::default(), &envelope, &started).await.unwrap();
        talk
    }

    pub(crate) fn chat(&self) -> Talk<'_> {
        Talk {
            world: self,
            conversation: ConversationId::of_chat(self.tenant, "whatsapp", "1065", "1555"),
            channel: Channel::WHATSAPP,
            call: None,
        }
    }
}

/// One conversation.
pub(crate) struct Talk<'a> {
    pub(crate) world: &'a World,
    pub(crate) conversation: ConversationId,
    pub(crate) channel: Channel,
    pub(crate) call: Option<CallSid>,
}

impl Talk<'_> {
    pub(crate) fn envelope(&self, turn: Turn, payload: impl Into<Payload>) -> Envelope {
        let (tenant, channel) = (self.world.tenant, self.channel.clone());
        let at = Timestamp::now();
        Envelope::new(EventId::random(), tenant, self.conversation, channel, at, payload)
            .with_turn(turn)
            .answering_to("edge-task-1")
    }

    /// The caller's turn `turn`, after having heard `heard` of the reply before.
    pub(crate) fn says(&self, turn: u32, text: &str, heard: Option<&str>) -> Envelope {
        let heard = heard.map(|text| Heard {
            turn: Turn(turn.saturating_sub(1)),
            text: text.into(),
            complete: false,
        });
        let spoken = self.call.is_some();
        let message = MessageReceived {
            from: "+15550001111".into(),
            to: "+15550100001".into(),
            text: text.into(),
            kind: if spoken { MessageKind::Speech } else { MessageKind::Text },
            external_id: if spoken { String::new() } else { "wamid.1".into() },
            profile_name: None,
            bsuid: None,
            heard,
            call: self.call.clone(),
            quotes: None,
            referral: None,
            gathered: false,
            speech: None,
        };
        self.envelope(Turn(if spoken { turn } else { 0 }), message)
    }

    /// Handles the event as the orchestrator's loop would.
    pub(crate) async fn handle(
        &self,
        out: &Outbox,
        envelope: &Envelope,
    ) -> anyhow::Result<bus::Outcome> {
        let shell = &self.world.shell;
        match &envelope.payload {
            Payload::MessageReceived(e) => {
                handlers::message_received(shell, out, envelope, e).await
            }
            other => panic!("{} is not a turn", other.name()),
        }
    }

    pub(crate) async fn ends(&self, heard: Heard) {
        self.ends_by(CallEndReason::Caller, heard, &Outbox::default()).await;
    }

    pub(crate) async fn ends_by(&self, reason: CallEndReason, heard: Heard, out: &Outbox) {
        let call = self.call.clone().unwrap();
        let ended = CallEnded { call, reason, started_at: Timestamp::now(), heard: Some(heard) };
        let envelope = self.envelope(Turn(0), ended.clone());
        handlers::call_ended(&self.world.shell, out, &envelope, &ended).await.unwrap();
    }
}

/// What left the orchestrator, in order. It can hold the `hang_at`-th message, before or after it
/// left: the run that sends it then waits for ever, and the test lets it die there.
#[derive(Default)]
pub(crate) struct Outbox {
    sent: Mutex<Vec<(Option<Destination>, Envelope)>>,
    count: AtomicUsize,
    hang_at: Option<usize>,
    is_after: bool,
    hangs: Notify,
    is_repeated: bool,
}

impl Outbox {
    /// One at whose `hang_at`-th message (from 0) the run is to die, before or after it left.
    pub(crate) fn deadly(hang_at: usize, is_after: bool) -> Self {
        Self { hang_at: Some(hang_at), is_after, ..Self::default() }
    }

    /// One of a message that was delivered before.
    pub(crate) fn repeated() -> Self {
        Self { is_repeated: true, ..Self::default() }
    }

    /// Runs `turn` until it hangs, and drops it there.
    pub(crate) async fn kill(&self, turn: impl Future<Output = anyhow::Result<bus::Outcome>>) {
        tokio::select! {
            result = turn => panic!("it was to die: {result:?}"),
            () = self.hangs.notified() => {}
        }
    }

    async fn take(&self, to: Option<&Destination>, envelopes: &[Envelope]) {
        let hangs = self.hang_at == Some(self.count.fetch_add(1, Ordering::SeqCst));
        if !hangs || self.is_after {
            let entries = envelopes.iter().map(|e| (to.cloned(), e.clone()));
            self.sent.lock().unwrap().extend(entries);
        }
        if hangs {
            self.hangs.notify_one();
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn all(&self) -> Vec<(Option<Destination>, Envelope)> {
        self.sent.lock().unwrap().clone()
    }

    pub(crate) fn spoken(&self) -> Vec<(EventId, SpeakSentence)> {
        let is_speak = |e: Envelope| match e.payload {
            Payload::SpeakSentence(s) => Some((e.event_id, s)),
            _ => None,
        };
        self.all().into_iter().filter_map(|(_, e)| is_speak(e)).collect()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.spoken().into_iter().map(|(_, s)| s.text.reveal().to_owned()).collect()
    }

    pub(crate) fn replies(&self) -> Vec<(Envelope, MessageSent)> {
        let is_reply = |e: Envelope| match e.payload.clone() {
            Payload::MessageSent(m) => Some((e, m)),
            _ => None,
        };
        self.all().into_iter().filter_map(|(_, e)| is_reply(e)).collect()
    }

    pub(crate) fn finished(&self) -> Vec<(Option<Destination>, ReplyFinished)> {
        let is_finished = |to: Option<Destination>, e: Envelope| match e.payload {
            Payload::ReplyFinished(f) => Some((to, f)),
            _ => None,
        };
        self.all().into_iter().filter_map(|(to, e)| is_finished(to, e)).collect()
    }
}

#[async_trait]
impl Outlet for Outbox {
    async fn publish(&self, events: &[Envelope]) -> Result<(), SendError> {
        self.take(None, events).await;
        Ok(())
    }

    async fn send(&self, to: &Destination, jobs: &[Envelope]) -> Result<(), SendError> {
        self.take(Some(to), jobs).await;
        Ok(())
    }

    fn is_repeated(&self) -> bool {
        self.is_repeated
    }
}
