//! A broker with a topology of its own for each test.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use aws_config::{BehaviorVersion, SdkConfig};
use bus::{Bus, BusSettings, Consumer, DeadLetter, Handler, Queue, Replay, Source, Topology};
use domain::{
    BoxFuture, Channel, ConversationId, Dependency, Envelope, EventId, MessageKind,
    MessageReceived, MessageSent, Payload, Ping, ReplayEnd, SentForm, StartCounter, Starts,
    TenantId, Timestamp, TurnAccount,
};
use testkit::Refusals;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A stand-in by its address.
pub struct Broker(String);

impl Broker {
    /// The one `variable` names. At home a test without a broker is skipped; in CI it fails.
    pub fn from_env(variable: &str) -> Option<Self> {
        let url = std::env::var(variable).ok();
        assert!(url.is_some() || std::env::var("CI").is_err(), "{variable} must be set in CI");
        if url.is_none() {
            eprintln!("skipped: {variable} is not set; run by scripts/test");
        }
        url.map(Self)
    }
}

/// A topology, a bus over it, and what its consumers count.
pub struct Rig {
    pub bus: Bus,
    aws: SdkConfig,
    s3: aws_sdk_s3::Client,
    /// Where large envelopes lie.
    bucket: String,
    /// What S3 refuses of that to the bus.
    pub refusals: Refusals,
    topology: Topology,
    pub counts: Arc<Counts>,
}

impl Rig {
    pub async fn new(Broker(url): Broker) -> Self {
        let http = boot::aws_config().await.http_client().expect("a client");
        let aws = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .endpoint_url(url)
            .region("us-east-1")
            .test_credentials()
            .load()
            .await;
        let prefix = format!("t{}", &Uuid::new_v4().simple().to_string()[..10]);
        let s3 = aws_sdk_s3::config::Builder::from(&aws).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(s3);
        s3.create_bucket().bucket(&prefix).send().await.unwrap();
        let (aws, refusals) = Refusals::of(&prefix, &aws);
        let settings = BusSettings {
            long_poll: Duration::from_secs(1),
            drain: Duration::from_secs(20),
            ..BusSettings::new(prefix.clone(), prefix.clone())
        };
        let bus = Bus::new(&aws, settings);
        bus.provision().await.unwrap();
        bus.provision().await.expect("to provision again changes nothing");
        let topology = Topology::new(prefix.clone(), false);
        Self { bus, aws, s3, bucket: prefix, refusals, topology, counts: Arc::default() }
    }

    pub fn consume(&self, source: Source, handler: Arc<dyn Handler>) -> Running {
        self.run(Consumer::new(self.bus.clone(), source, handler, self.counts.clone()))
    }

    pub fn consume_depending(
        &self,
        source: Source,
        handler: Arc<dyn Handler>,
        dependency: Arc<dyn Dependency>,
    ) -> Running {
        let consumer = Consumer::new(self.bus.clone(), source, handler, self.counts.clone());
        self.run(consumer.depends_on(dependency))
    }

    fn run(&self, consumer: Consumer) -> Running {
        let stop = CancellationToken::new();
        Running { task: tokio::spawn(consumer.run(stop.clone())), stop }
    }

    /// Waits for a dead letter.
    pub async fn dead_letter(&self, queue: Queue) -> DeadLetter {
        for _ in 0..200 {
            if let Some(letter) = self.bus.take_dead_letters(queue).await.unwrap().pop() {
                return letter;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no dead letter in {queue:?} within 10 s");
    }

    /// Sends a dead letter into its queue again.
    pub async fn replay(&self, letter: &DeadLetter) {
        let again = Replay { group: letter.group.clone(), body: letter.body.clone() };
        self.bus.replay(letter.queue, &[again]).await.unwrap();
    }

    /// Deletes everything that was too large for the topic, as a rule of the bucket does after a while.
    pub async fn forget_large(&self) {
        let listed = self.s3.list_objects_v2().bucket(&self.bucket).send().await.unwrap();
        assert!(!listed.contents().is_empty(), "there is something to be deleted");
        for object in listed.contents() {
            let delete = self.s3.delete_object().bucket(&self.bucket);
            delete.key(object.key().unwrap()).send().await.unwrap();
        }
    }

    /// Puts a body into a queue that the bus would not send.
    pub async fn send_raw(&self, queue: Queue, group: &str, body: &str) {
        self.put(self.topology.queue_name(queue), group, body).await;
    }

    /// Puts a body into the dead letters of a queue, as the broker itself does.
    pub async fn bury_raw(&self, queue: Queue, group: &str, body: &str) {
        self.put(self.topology.dlq_name(queue), group, body).await;
    }

    async fn put(&self, name: String, group: &str, body: &str) {
        let sqs = aws_sdk_sqs::Client::new(&self.aws);
        let url = sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap();
        sqs.send_message()
            .queue_url(url)
            .message_body(body)
            .message_group_id(group)
            .message_deduplication_id(Uuid::new_v4().to_string())
            .send()
            .await
            .unwrap();
    }

    pub fn starts_of(&self, event: EventId) -> u32 {
        self.counts.0.lock().unwrap().get(&event).copied().unwrap_or_default()
    }
}

pub struct Running {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// As a killed process: nothing is given back, nothing extended.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// How often each event was begun, and how replays ended.
#[derive(Default)]
pub struct Counts(Mutex<HashMap<EventId, u32>>, Mutex<HashMap<EventId, ReplayEnd>>);

impl Counts {
    /// How the `replays`-th replay of an event ended, once it has.
    pub async fn end_of(&self, event: EventId, replays: u32) -> ReplayEnd {
        for _ in 0..200 {
            let end = self.1.lock().unwrap().get(&event.of_replay(replays)).cloned();
            if let Some(end) = end {
                return end;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the replay did not end within 10 s");
    }
}

impl StartCounter for Counts {
    fn started<'a>(&'a self, _: &'a str, event: EventId) -> BoxFuture<'a, Option<Starts>> {
        let mut counts = self.0.lock().unwrap();
        let count = counts.entry(event).or_default();
        *count += 1;
        let starts = Starts(*count);
        Box::pin(async move { Some(starts) })
    }

    fn given_back<'a>(&'a self, _: &'a str, event: EventId) -> BoxFuture<'a, ()> {
        *self.0.lock().unwrap().get_mut(&event).unwrap() -= 1;
        Box::pin(async {})
    }

    fn replay_ended<'a>(
        &'a self,
        _: &'a str,
        replay: EventId,
        end: &'a ReplayEnd,
    ) -> BoxFuture<'a, ()> {
        self.1.lock().unwrap().insert(replay, end.clone());
        Box::pin(async {})
    }

    fn replays_ended<'a>(
        &'a self,
        _: &'a str,
        replays: &'a [EventId],
    ) -> BoxFuture<'a, Option<Vec<Option<ReplayEnd>>>> {
        let ended = self.1.lock().unwrap();
        let ends = replays.iter().map(|replay| ended.get(replay).cloned()).collect();
        Box::pin(async move { Some(ends) })
    }
}

/// A dependency that is down until told.
#[derive(Default)]
pub struct Down {
    up: AtomicBool,
    probes: AtomicU32,
}

impl Down {
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }

    pub fn recover(&self) {
        self.up.store(true, Ordering::SeqCst);
    }

    /// Waits until the loop has asked so often.
    pub async fn probed(&self, times: u32) {
        while self.probes.load(Ordering::SeqCst) < times {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Dependency for Down {
    fn name(&self) -> &'static str {
        "database"
    }

    fn is_up(&self) -> BoxFuture<'_, bool> {
        self.probes.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Self::is_up(self) })
    }
}

pub fn conversation() -> ConversationId {
    ConversationId::from_uuid(Uuid::new_v4())
}

fn envelope(group: ConversationId, channel: Channel, payload: impl Into<Payload>) -> Envelope {
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    Envelope::new(EventId::random(), tenant, group, channel, Timestamp::now(), payload)
}

pub fn event(group: ConversationId, text: &str) -> Envelope {
    let received = MessageReceived {
        from: "15551234567".into(),
        to: "106540352242922".into(),
        text: text.into(),
        kind: MessageKind::Text,
        external_id: String::new(),
        profile_name: None,
        bsuid: None,
        heard: None,
        call: None,
        quotes: None,
        referral: None,
        gathered: false,
        speech: None,
    };
    envelope(group, Channel::WHATSAPP, received)
}

pub fn reply(group: ConversationId, channel: Channel, text: &str) -> Envelope {
    let sent = MessageSent {
        to: "15551234567".into(),
        from: "106540352242922".into(),
        text: text.into(),
        in_reply_to: String::new(),
        attempt: 1,
        account: TurnAccount::default(),
        choices: Vec::new(),
        form: SentForm::Text,
    };
    envelope(group, channel, sent)
}

pub fn job(group: ConversationId, nonce: u64) -> Envelope {
    envelope(group, Channel::VOICE, Ping { nonce })
}

pub fn text_of(envelope: &Envelope) -> String {
    match &envelope.payload {
        Payload::MessageReceived(m) => m.text.reveal().to_owned(),
        Payload::MessageSent(m) => m.text.reveal().to_owned(),
        other => panic!("{} has no text", other.name()),
    }
}
