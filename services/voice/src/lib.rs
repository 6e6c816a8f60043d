//! The heavy half of speech: it recognises segments, speaks sentences, and finishes recordings.
//!
//! It holds no state of its own. Any task may take any job, and one that dies in the middle loses
//! nothing but time: the queue hands the job to another (DESIGN 5). `design.md` beside this crate's
//! manifest says what is promised for each job.

mod config;
mod handlers;
mod recorder;
mod spoken;
mod stereo;
mod vendors;

use std::{sync::Arc, time::Duration};

use aws_config::SdkConfig;
use bus::{Bus, BusSettings, Consumer, Handler, Queue, Source};
use cache::Cache;
use domain::Dependency;
use speech::{Ordered, SpeechToText, TextToSpeech};
use tokio_util::sync::CancellationToken;
use vault::Secrets;

pub use config::Config;
pub use recorder::Recorder;

use handlers::{FinishRecordings, Speak, Transcribe};
use vendors::Vendors;

/// How often rotated credentials are looked for (E4).
const SECRETS_EVERY: Duration = Duration::from_secs(60);

/// How many recordings are joined at once: each is held in memory whole (`design.md`).
const RECORDINGS_AT_ONCE: usize = 2;

/// A voice task, ready to run.
pub struct Service {
    bus: Bus,
    cache: Cache,
    recorder: Recorder,
    ears: Arc<Ordered<dyn SpeechToText>>,
    mouths: Arc<Ordered<dyn TextToSpeech>>,
    secrets: Secrets,
    concurrency: usize,
}

impl Service {
    /// Puts the parts together. Nothing is received yet.
    ///
    /// # Errors
    /// When a credential of a configured vendor is missing.
    pub async fn build(config: &Config, aws: &SdkConfig, secrets: Secrets) -> anyhow::Result<Self> {
        let common = &config.common;
        let redis_url = secrets.get("REDIS_URL").await?;
        let bus = Bus::new(
            aws,
            BusSettings {
                high_throughput: common.high_throughput,
                long_poll: common.long_poll,
                drain: common.drain,
                on_point: boot::crash_point,
                ..BusSettings::new(&common.queue_prefix, &common.s3_bucket)
            },
        );
        let vendors = Vendors::new(config, aws, &secrets)?;
        let cache = Cache::following(redis_url.follow(), &common.queue_prefix)?;
        Ok(Self {
            bus,
            recorder: Recorder::new(aws, &common.s3_bucket, cache.clone()),
            cache,
            ears: Arc::new(vendors.ears().await?),
            mouths: Arc::new(vendors.mouths().await?),
            secrets,
            concurrency: config.concurrency,
        })
    }

    /// What the health page shows.
    pub fn dependencies(&self) -> Vec<Arc<dyn Dependency>> {
        vec![
            Arc::new(self.bus.clone()),
            Arc::new(self.cache.clone()),
            Arc::new(self.recorder.clone()),
        ]
    }

    /// Consumes the three queues until `stop`, then drains.
    pub async fn run(self, stop: CancellationToken) {
        let transcribe = Transcribe {
            ears: self.ears.clone(),
            cache: self.cache.clone(),
            s3: self.recorder.s3(),
        };
        let speak = Speak { mouths: self.mouths.clone(), cache: self.cache.clone() };
        let recordings = FinishRecordings { recorder: self.recorder.clone() };
        // Speech goes on while Redis is away (DESIGN 5); a recording needs S3 for certain.
        let s3 = Arc::new(self.recorder.clone());
        let work = async {
            tokio::join!(
                self.consumer(Queue::Transcribe, transcribe).run(stop.clone()),
                self.consumer(Queue::Speak, speak).run(stop.clone()),
                self.consumer(Queue::Jobs, recordings)
                    .concurrency(RECORDINGS_AT_ONCE)
                    .depends_on(s3)
                    .run(stop.clone()),
            )
        };
        tokio::select! {
            _ = work => {}
            () = self.secrets.clone().keep_fresh(SECRETS_EVERY) => {}
        }
    }

    fn consumer(&self, queue: Queue, handler: impl Handler) -> Consumer {
        let starts = Arc::new(self.cache.clone());
        Consumer::new(self.bus.clone(), Source::Shared(queue), Arc::new(handler), starts)
            .concurrency(self.concurrency)
    }
}
