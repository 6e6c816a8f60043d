//! One running edge task with a database, queues and Redis keys of its own.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bus::{Bus, BusSettings, Consumer, Context, Handler, Outcome, Queue, Source};
use cache::Cache;
use domain::{
    Channel, ConversationId, DeliveryStatus, DeliveryUpdated, Envelope, EventId, Payload, TenantId,
    Timestamp,
};
use edge::{
    Edge,
    channel::ChannelAdapter,
    config::{Config, Credentials},
};
use testkit::TestDb;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use vault::RotatingSecret;

pub const TWILIO_TOKEN: &str = "12345";
pub const META_SECRET: &str = "app-secret";
pub const META_VERIFY: &str = "verify-me";
pub const PUBLIC_BASE: &str = "https://desk.example.com";
pub const OUR_NUMBER: &str = "+15550100001";
pub const OUR_GATHER_NUMBER: &str = "+15550100003";
pub const OUR_WHATSAPP: &str = "106540352242922";
/// Stand-ins answer in milliseconds; a machine that compiles beside may need longer.
pub const PATIENCE: Duration = Duration::from_secs(30);
const KMS_KEY: &str = "alias/sb-test";
const BUCKET: &str = "sb-test-edge";

pub struct EdgeTask {
    pub http: reqwest::Client,
    pub base: String,
    pub bus: Bus,
    pub cache: Arc<Cache>,
    pub prefix: String,
    published: Mutex<mpsc::UnboundedReceiver<Envelope>>,
    stop: CancellationToken,
    running: Option<tokio::task::JoinHandle<()>>,
    pub db: TestDb,
}

/// Starts a task, or skips the test where there are no stores.
pub async fn start() -> Option<EdgeTask> {
    start_with(&[]).await
}

pub async fn start_with(more: &[(&str, &str)]) -> Option<EdgeTask> {
    start_with_channels(more, Vec::new()).await
}

/// With channels besides those of the registry.
pub async fn start_with_channels(
    more: &[(&str, &str)],
    channels: Vec<Arc<dyn ChannelAdapter>>,
) -> Option<EdgeTask> {
    let stores = testkit::require_stores()?;
    let db = TestDb::create().await?;
    store::seed::demo(&db.url()).await.expect("seed the demo tenant");
    testkit::key_ring().await.expect("make the key of the tests");
    let prefix = testkit::unique_prefix();
    let aws = boot::aws_config().await;
    // It may be there already, from another test.
    let _ = testkit::make_bucket(BUCKET).await;
    let settings =
        BusSettings { long_poll: Duration::from_secs(1), ..BusSettings::new(&prefix, BUCKET) };
    let bus = Bus::new(&aws, settings);
    bus.provision().await.expect("provision the queues");

    let stop = CancellationToken::new();
    let urls = (db.url(), stores.redis_url.clone());
    let edge = launch("edge-test", &prefix, &urls, &stop, more, channels).await;
    let base = format!("http://{}", edge.address());
    let running = tokio::spawn(async move { edge.run().await.expect("drain the edge") });

    let cache = Arc::new(Cache::connect(&stores.redis_url, &prefix).expect("a Redis URL"));
    let published = collect(&bus, Queue::Writer, &cache, &stop);
    let http = reqwest::Client::new();
    let task = EdgeTask {
        http,
        base,
        bus,
        cache,
        prefix,
        published: Mutex::new(published),
        stop,
        running: Some(running),
        db,
    };
    task.ready().await;
    Some(task)
}

/// Starts a task of the environment `prefix`; `urls` are those of the database and of Redis.
async fn launch(
    name: &str,
    prefix: &str,
    urls: &(String, String),
    stop: &CancellationToken,
    more: &[(&str, &str)],
    channels: Vec<Arc<dyn ChannelAdapter>>,
) -> Edge {
    let mut variables: HashMap<&str, &str> = HashMap::from([
        ("SB_TASK", name),
        ("SB_EDGE_LISTEN", "127.0.0.1:0"),
        ("SB_PUBLIC_BASE_URL", PUBLIC_BASE),
        ("SB_TRUSTED_PROXIES", "127.0.0.1"),
        ("SB_QUEUE_PREFIX", prefix),
        ("SB_S3_BUCKET", BUCKET),
        ("SB_KMS_KEY", KMS_KEY),
        ("SB_LONG_POLL_SECONDS", "1"),
        ("SB_CALL_DRAIN_SECONDS", "1"),
        // In most tests nobody speaks.
        ("SB_PROMPTS_PATIENCE_SECONDS", "0"),
        ("SB_JWT_ISSUER", crate::api::JWT_ISSUER),
        ("SB_CORS_ORIGINS", crate::api::CONSOLE_ORIGIN),
        // Nobody listens: a read mark is best effort.
        ("WHATSAPP_API_BASE_URL", "http://127.0.0.1:9"),
    ]);
    variables.extend(more.iter().copied());
    let config = Config::read(&variables.into_iter().collect()).expect("a right configuration");
    let fixed = |value: &str| Arc::new(RotatingSecret::fixed(value));
    let credentials = Credentials {
        database_url: fixed(&urls.0),
        redis_url: fixed(&urls.1),
        twilio_auth_token: fixed(TWILIO_TOKEN),
        whatsapp_access_token: fixed("access-token"),
        whatsapp_app_secret: fixed(META_SECRET),
        whatsapp_verify_token: fixed(META_VERIFY),
        stream_token_key: None,
        jwt_keys: Some(fixed(crate::api::JWT_KEYS)),
    };
    let aws = boot::aws_config().await;
    let edge = Edge::start_with(config, credentials, &aws, stop.clone(), channels);
    edge.await.expect("start the edge")
}

async fn s3() -> aws_sdk_s3::Client {
    let aws = boot::aws_config().await;
    let s3 = aws_sdk_s3::config::Builder::from(&aws).force_path_style(true).build();
    aws_sdk_s3::Client::from_conf(s3)
}

struct Collector(mpsc::UnboundedSender<Envelope>);

#[async_trait]
impl Handler for Collector {
    async fn handle(&self, _context: &Context, message: &Envelope) -> Outcome {
        let _ = self.0.send(message.clone());
        Outcome::Done
    }
}

fn collect(
    bus: &Bus,
    queue: Queue,
    cache: &Arc<Cache>,
    stop: &CancellationToken,
) -> mpsc::UnboundedReceiver<Envelope> {
    let (collected, seen) = mpsc::unbounded_channel();
    let handler = Arc::new(Collector(collected));
    tokio::spawn(
        Consumer::new(bus.clone(), Source::Shared(queue), handler, cache.clone()).run(stop.clone()),
    );
    seen
}

impl EdgeTask {
    /// Waits until the task says that it is ready.
    async fn ready(&self) {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let health = self.http.get(format!("{}/health", self.base)).send().await;
            if health.as_ref().is_ok_and(|h| h.status() == 200) {
                return;
            }
            assert!(tokio::time::Instant::now() < until, "never ready: {health:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts another task beside this one, which ends with it.
    pub async fn start_another(&self, more: &[(&str, &str)]) {
        let stores = testkit::require_stores().expect("the stores of this task");
        let urls = (self.db.url(), stores.redis_url.clone());
        let edge = launch("edge-other", &self.prefix, &urls, &self.stop, more, Vec::new()).await;
        tokio::spawn(async move { edge.run().await.expect("drain the edge") });
    }

    /// Starts another task, from which the database cannot be reached; where it listens.
    pub async fn start_without_database(&self) -> String {
        let stores = testkit::require_stores().expect("the stores of this task");
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let database = format!("postgres://nobody@{}/none", nobody.expect("a port"));
        let urls = (database, stores.redis_url.clone());
        let edge = launch("edge-blind", &self.prefix, &urls, &self.stop, &[], Vec::new()).await;
        let base = format!("http://{}", edge.address());
        tokio::spawn(async move { edge.run().await.expect("drain the edge") });
        base
    }

    /// Takes the topic away: nothing can be published any more.
    pub async fn lose_topic(&self) {
        let sns = aws_sdk_sns::Client::new(&boot::aws_config().await);
        let name = bus::Topology::new(&self.prefix, false).topic_name();
        // Creating a topic that exists tells its name in full.
        let known = sns.create_topic().name(name).attributes("FifoTopic", "true");
        let known = known
            .attributes("ContentBasedDeduplication", "false")
            .send()
            .await
            .expect("find our topic");
        let arn = known.topic_arn().expect("its name in full");
        sns.delete_topic().topic_arn(arn).send().await.expect("delete our topic");
    }

    /// Changes settings of the demo tenant; the task reads them within seconds.
    pub async fn set(&self, settings: &serde_json::Value) {
        let owner = self.db.owner().await;
        let sql = "UPDATE tenants SET settings = settings || $1 WHERE slug = 'demo'";
        owner.execute(sql, &[settings]).await.expect("change settings");
    }

    /// Keeps a file under `key`; the bucket.
    pub async fn keep(&self, key: &str, bytes: Vec<u8>) -> String {
        let put = s3().await.put_object().bucket(BUCKET).key(key).body(bytes.into());
        put.send().await.expect("keep a file");
        BUCKET.to_owned()
    }

    /// A file of the recordings' bucket, and what is told of it.
    pub async fn file(&self, key: &str) -> (Vec<u8>, HashMap<String, String>) {
        let found = s3().await.get_object().bucket(BUCKET).key(key).send().await.expect("a file");
        let told = found.metadata().cloned().unwrap_or_default();
        (found.body.collect().await.expect("its bytes").to_vec(), told)
    }

    /// Whether there is such a file.
    pub async fn has_file(&self, key: &str) -> bool {
        match s3().await.head_object().bucket(BUCKET).key(key).send().await {
            Ok(_) => true,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => false,
            Err(error) => panic!("look for a file: {error:?}"),
        }
    }

    /// Plays another service: handles what lies in its queue.
    pub fn play(&self, queue: Queue, handler: Arc<dyn Handler>) {
        let consumer =
            Consumer::new(self.bus.clone(), Source::Shared(queue), handler, self.cache.clone());
        tokio::spawn(consumer.run(self.stop.clone()));
    }

    /// The next event that the task published.
    pub async fn published(&self) -> Envelope {
        let next = self.published.lock().await.recv().await;
        next.expect("the collector runs")
    }

    /// The next published event of one kind.
    pub async fn published_kind(&self, name: &str) -> Envelope {
        let find = async {
            loop {
                let event = self.published().await;
                if event.payload.name() == name {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, find)
            .await
            .unwrap_or_else(|_| panic!("no {name} was published"))
    }

    /// Everything published so far of one conversation: an event of it sent now comes after all others.
    pub async fn published_in(&self, conversation: ConversationId) -> Vec<Envelope> {
        let update = DeliveryUpdated {
            message: None,
            external_id: "the-end".into(),
            status: DeliveryStatus::Sent,
            error: None,
        };
        let nobody = TenantId::from_uuid(Uuid::nil());
        let now = Timestamp::now();
        let end =
            Envelope::new(EventId::random(), nobody, conversation, Channel::WHATSAPP, now, update);
        self.bus.publish(std::slice::from_ref(&end)).await.expect("publish the end");
        let collect = async {
            let mut events = Vec::new();
            loop {
                let event = self.published().await;
                if event.event_id == end.event_id {
                    return events;
                }
                events.push(event);
            }
        };
        tokio::time::timeout(PATIENCE, collect).await.expect("the end comes back")
    }

    pub async fn assert_nothing_published(&self) {
        // The queue hands out the first message of every conversation in the order of arrival.
        let events = self.published_in(ConversationId::from_uuid(Uuid::new_v4())).await;
        let names: Vec<_> = events.iter().map(|e| e.payload.name()).collect();
        assert!(names.is_empty(), "published: {names:?}");
    }

    /// Stops the task as a deploy does, and waits until it is gone.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            tokio::time::timeout(PATIENCE, running)
                .await
                .expect("drained in time")
                .expect("no panic");
        }
    }
}

impl Drop for EdgeTask {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The chat of the person that [`crate::vendors::whatsapp_text`] speaks for.
pub fn anas_chat() -> ConversationId {
    ConversationId::of_chat(store::seed::DEMO, "whatsapp", OUR_WHATSAPP, "15551234567")
}

/// A chat message's words, or what kind it was.
pub fn text_of(event: &Envelope) -> String {
    match &event.payload {
        Payload::MessageReceived(m) => m.text.reveal().to_owned(),
        other => panic!("{} is no message", other.name()),
    }
}
