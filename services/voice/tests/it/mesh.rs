use std::{collections::BTreeMap, net::TcpListener, sync::Arc, time::Duration};

use actix_web::web;
use async_trait::async_trait;
use aws_sdk_secretsmanager::Client as SecretsManager;
use boot::Environment;
use bus::{Bus, BusSettings, Consumer, Context, Destination, Handler, Outcome, Queue, Source};
use cache::Cache;
use domain::{
    CallSid, Channel, ConversationId, Envelope, EventId, Payload, TenantId, Timestamp, Turn,
};
use simulator::{World, config::Config as Simulated};
use testkit::Refusals;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;
use vault::Secrets;
use voice::{Config, Service};

/// Far more than anything here takes: what is caught is a hang.
pub const HANG: Duration = Duration::from_secs(30);

/// A voice task with everything around it, under a prefix of its own.
pub struct Mesh {
    pub bus: Bus,
    pub cache: Cache,
    pub s3: aws_sdk_s3::Client,
    pub bucket: String,
    /// What S3 refuses of that to the task.
    pub refusals: Refusals,
    pub world: web::Data<World>,
    stop: CancellationToken,
    _stop_at_end: DropGuard,
}

impl Mesh {
    /// A mesh with the simulator's vendors; `None` where the test is to be skipped.
    pub async fn start(vars: &[(&str, &str)]) -> Option<Self> {
        let world = web::Data::new(World::new(Simulated::default()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(simulator::serve(listener, world.clone(), false).unwrap());
        let (deepgram, openai) = (format!("{base}/deepgram"), format!("{base}/openai/v1"));
        let (polly, transcribe) = (format!("{base}/polly"), format!("{base}/transcribe"));
        let mut all = vec![
            ("DEEPGRAM_BASE_URL", deepgram.as_str()),
            ("OPENAI_BASE_URL", &openai),
            ("AWS_ENDPOINT_URL_POLLY", &polly),
            ("AWS_ENDPOINT_URL_TRANSCRIBE_STREAMING", &transcribe),
            ("SB_LONG_POLL_SECONDS", "1"),
        ];
        all.extend_from_slice(vars);
        Self::of(world, &all).await
    }

    async fn of(world: web::Data<World>, vars: &[(&str, &str)]) -> Option<Self> {
        let stores = testkit::require_stores()?;
        let prefix = testkit::unique_prefix();
        let bucket = format!("{prefix}-files");
        let aws = boot::aws_config().await;
        let s3 = testkit::make_bucket(&bucket).await.unwrap();
        let bus = Bus::new(
            &aws,
            BusSettings { long_poll: Duration::from_secs(1), ..BusSettings::new(&prefix, &bucket) },
        );
        bus.provision().await.unwrap();

        let own = [("SB_QUEUE_PREFIX", prefix.as_str()), ("SB_S3_BUCKET", &bucket)];
        let env: Environment = vars.iter().copied().chain(own).collect();
        let config = Config::read(&env).unwrap();
        let redis_url = env.get("REDIS_URL").unwrap_or(&stores.redis_url).to_owned();
        let secrets = Secrets::new(
            move |name| match name {
                "REDIS_URL" => Some(redis_url.clone()),
                "DEEPGRAM_API_KEY" | "OPENAI_API_KEY" => Some("a-key".to_owned()),
                _ => None,
            },
            SecretsManager::new(&aws),
            &prefix,
        );
        let stop = CancellationToken::new();
        let (aws, refusals) = Refusals::of(&bucket, &aws);
        let service = Service::build(&config, &aws, secrets).await.unwrap();
        tokio::spawn(service.run(stop.clone()));
        Some(Self {
            cache: Cache::connect(&stores.redis_url, &prefix).unwrap(),
            bus,
            s3,
            bucket,
            refusals,
            world,
            _stop_at_end: stop.clone().drop_guard(),
            stop,
        })
    }

    /// An edge task: its queue, and what arrives there.
    pub async fn edge(&self, name: &str) -> (String, Inbox) {
        let queue = self.bus.create_task_queue(name).await.unwrap();
        let inbox = self.inbox(Source::Task(queue.clone()));
        (queue, inbox)
    }

    /// What arrives at a queue.
    pub fn inbox(&self, source: Source) -> Inbox {
        let (taken, inbox) = mpsc::unbounded_channel();
        let starts = Arc::new(self.cache.clone());
        let consumer = Consumer::new(self.bus.clone(), source, Arc::new(Taker(taken)), starts);
        tokio::spawn(consumer.run(self.stop.clone()));
        Inbox(inbox)
    }

    /// Gives a job.
    pub async fn give(&self, queue: Queue, job: &Envelope) {
        self.bus.send(&Destination::Shared(queue), std::slice::from_ref(job)).await.unwrap();
    }
}

/// Messages in the order they arrived.
pub struct Inbox(mpsc::UnboundedReceiver<Envelope>);

impl Inbox {
    /// Waits for the next one.
    pub async fn next(&mut self) -> Envelope {
        timeout(HANG, self.0.recv()).await.expect("something arrives").unwrap()
    }

    /// The next sentence: what came with its first part, and the audio of all its parts, which come in any order.
    pub async fn sentence(&mut self) -> (Envelope, Result<Vec<u8>, String>) {
        let mut parts = BTreeMap::new();
        let mut count = None;
        while count != Some(parts.len() as u32) {
            let envelope = self.next().await;
            let Payload::SentenceSpoken(spoken) = &envelope.payload else { panic!("no sentence") };
            let spoken = spoken.clone();
            if !spoken.more {
                count = Some(spoken.part + 1);
            }
            parts.insert(spoken.part, (envelope, spoken.result));
        }
        let first = parts[&0].0.clone();
        let audio: Result<Vec<Vec<u8>>, _> = parts.into_values().map(|(_, audio)| audio).collect();
        (first, audio.map(|parts| parts.concat()).map_err(|failure| failure.0))
    }
}

struct Taker(mpsc::UnboundedSender<Envelope>);

#[async_trait]
impl Handler for Taker {
    async fn handle(&self, _: &Context, message: &Envelope) -> Outcome {
        self.0.send(message.clone()).map_err(|_| anyhow::anyhow!("the test is over")).into()
    }
}

/// One call, and envelopes about it.
pub struct Call {
    pub sid: CallSid,
    tenant: TenantId,
}

impl Call {
    pub fn new() -> Self {
        let sid = CallSid::parse(&format!("CA{}", Uuid::new_v4().simple())).unwrap();
        Self { sid, tenant: TenantId::from_uuid(Uuid::new_v4()) }
    }

    pub fn job(&self, turn: u32, payload: impl Into<Payload>) -> Envelope {
        let conversation = ConversationId::of_call(self.tenant, &self.sid);
        Envelope::new(
            EventId::random(),
            self.tenant,
            conversation,
            Channel::VOICE,
            Timestamp::now(),
            payload,
        )
        .with_turn(Turn(turn))
    }
}
