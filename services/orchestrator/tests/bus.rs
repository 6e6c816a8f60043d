//! The orchestrator as it runs: events in from the topic, jobs and events out to real queues.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use boot::Environment;
use bus::{Bus, BusSettings, Consumer, Context, Handler, Outcome, Queue, Source};
use cache::Cache;
use domain::{
    CallSid, CallStarted, Channel, ConversationId, Envelope, EventId, MessageKind, MessageReceived,
    Payload, TenantId, Timestamp, Turn,
};
use orchestrator::{Config, Orchestrator};
use testkit::TestDb;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use vault::Secrets;

/// Far beyond what a message takes; a test that waits so long has failed.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

struct Collector(UnboundedSender<Envelope>);

#[async_trait]
impl Handler for Collector {
    async fn handle(&self, _: &Context, message: &Envelope) -> Outcome {
        self.0.send(message.clone()).ok();
        Outcome::Done
    }
}

/// The orchestrator and the queues around it.
struct Mesh {
    bus: Bus,
    cache: Cache,
    tenant: TenantId,
    stop: CancellationToken,
    _db: TestDb,
}

impl Mesh {
    /// `None` where the test is to be skipped.
    async fn start() -> Option<Self> {
        boot::install_tls();
        let stores = testkit::require_stores()?;
        let db = TestDb::create().await?;
        let tenant = db.add_tenant("clinic").await;
        let prefix = testkit::unique_prefix();
        let cache = Cache::connect(&stores.redis_url, &prefix).unwrap();
        let aws = boot::aws_config().await;
        let settings =
            BusSettings { long_poll: Duration::from_secs(1), ..BusSettings::new(&prefix, "none") };
        let bus = Bus::new(&aws, settings);
        bus.provision().await.unwrap();

        let stop = CancellationToken::new();
        let config = Config::read(&Environment::default()).unwrap();
        let secrets = Secrets::new(|_| None, aws_sdk_secretsmanager::Client::new(&aws), &prefix);
        let store = db.store().await;
        let handler =
            Orchestrator::start(&config, &aws, cache.clone(), store, &secrets, stop.clone())
                .await
                .unwrap();
        let mesh = Self { bus, cache, tenant, stop, _db: db };
        mesh.consume(Source::Shared(Queue::Orchestrator), Arc::new(handler));
        Some(mesh)
    }

    fn consume(&self, source: Source, handler: Arc<dyn Handler>) {
        let starts = Arc::new(self.cache.clone());
        let consumer = Consumer::new(self.bus.clone(), source, handler, starts);
        tokio::spawn(consumer.run(self.stop.clone()));
    }

    fn collect(&self, source: Source) -> UnboundedReceiver<Envelope> {
        let (into, out) = unbounded_channel();
        self.consume(source, Arc::new(Collector(into)));
        out
    }

    fn envelope(
        &self,
        conversation: ConversationId,
        channel: Channel,
        payload: Payload,
    ) -> Envelope {
        let at = Timestamp::now();
        Envelope::new(EventId::random(), self.tenant, conversation, channel, at, payload)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

const CALL: &str = "CA0123456789abcdef0123456789abcdef";

fn received(text: &str, kind: MessageKind) -> MessageReceived {
    MessageReceived {
        from: "15551230001".into(),
        to: "106540352242922".into(),
        text: text.into(),
        external_id: "wamid.1".into(),
        profile_name: None,
        bsuid: None,
        heard: None,
        call: (kind == MessageKind::Speech).then(|| CallSid::parse(CALL).unwrap()),
        quotes: None,
        referral: None,
        gathered: false,
        speech: None,
        kind,
    }
}

async fn next(from: &mut UnboundedReceiver<Envelope>) -> Envelope {
    timeout(ARRIVES_WITHIN, from.recv())
        .await
        .expect("a message arrives")
        .expect("the consumer runs")
}

#[tokio::test]
async fn a_callers_words_become_sentences_to_speak_and_a_reply_for_the_history() {
    let Some(mesh) = Mesh::start().await else { return };
    let task_queue = mesh.bus.create_task_queue("edge-1").await.unwrap();
    let mut speak = mesh.collect(Source::Shared(Queue::Speak));
    let mut writer = mesh.collect(Source::Shared(Queue::Writer));
    let mut edge = mesh.collect(Source::Task(task_queue.clone()));

    let call = CallSid::parse(CALL).unwrap();
    let conversation = ConversationId::of_call(mesh.tenant, &call);
    let started = CallStarted {
        call: call.clone(),
        from: "+15551230001".into(),
        to: "+15550100001".into(),
        greeting: "Hello.".into(),
    };
    let words = received("I need an appointment", MessageKind::Speech);
    let words = mesh
        .envelope(conversation, Channel::VOICE, words.into())
        .with_turn(Turn(1))
        .answering_to(task_queue);
    let started = mesh.envelope(conversation, Channel::VOICE, started.into());
    mesh.bus.publish(&[started, words.clone()]).await.unwrap();

    let mut said = Vec::new();
    for _ in 0..2 {
        let job = next(&mut speak).await;
        let Payload::SpeakSentence(sentence) = job.payload else {
            panic!("{}", job.payload.name())
        };
        assert_eq!((job.turn, &sentence.call), (Turn(1), &call));
        said.push((sentence.index, sentence.text.into_revealed()));
    }
    assert_eq!(said, [(0, "Sure.".to_owned()), (1, "What name is it for?".to_owned())]);
    let Payload::ReplyFinished(end) = next(&mut edge).await.payload else { panic!("not the end") };
    assert_eq!((end.call, end.sentences, end.hang_up), (call, 2, false));

    let mut kept: HashMap<&str, Envelope> = HashMap::new();
    for _ in 0..3 {
        let event = next(&mut writer).await;
        kept.insert(event.payload.name(), event);
    }
    let reply = &kept["MessageSent"];
    assert_eq!(reply.event_id, words.event_id.child("message-sent"));
}

#[tokio::test]
async fn a_written_message_becomes_one_message_to_send() {
    let Some(mesh) = Mesh::start().await else { return };
    let mut outbound = mesh.collect(Source::Shared(Queue::Outbound));
    let conversation =
        ConversationId::of_chat(mesh.tenant, "whatsapp", "106540352242922", "15551230001");
    for (turn, (text, expected)) in (1..).zip([
        ("hi", "Hello! How can I help you?"),
        ("I need an appointment", "Sure. What name is it for?"),
        ("anna lee", "Thank you, Anna Lee. Which day would suit you?"),
        ("never mind", "All right, I have dropped that. Anything else?"),
    ]) {
        let words = received(text, MessageKind::Text);
        let event = mesh.envelope(conversation, Channel::WHATSAPP, words.into());
        mesh.bus.publish(&[event]).await.unwrap();
        let reply = next(&mut outbound).await;
        assert_eq!(reply.turn, Turn(turn));
        let Payload::MessageSent(sent) = reply.payload else { panic!("{}", reply.payload.name()) };
        assert_eq!(sent.text.reveal(), expected);
        assert_eq!((sent.to.reveal(), sent.from.as_str()), ("15551230001", "106540352242922"));
        assert_eq!(sent.in_reply_to, "wamid.1");
    }
}
