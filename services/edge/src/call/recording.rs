//! Both sides of a call on their way to S3, in parts, so that a lost task loses seconds (B4).

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use aws_sdk_s3::{Client, primitives::ByteStream};
use domain::CallSid;
use tokio::{sync::mpsc, task::JoinHandle};

use super::CallServices;

/// Parts of 10 s that may wait while S3 is away: ten minutes, about 10 MB a call at most.
const LONGEST_QUEUE: usize = 60;
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(10);
const TRIES: u32 = 60;

/// What a part tells of its pauses (S3 metadata): `from-to,...`, samples from its start. `voice` reads it.
const PAUSED: &str = "paused";

/// Where parts of recordings are kept.
#[derive(Clone)]
pub struct Recordings {
    s3: Client,
    bucket: String,
}

/// One part: the same stretch of both sides.
pub(super) struct Part {
    pub(super) index: u32,
    pub(super) caller: Vec<u8>,
    pub(super) agent: Vec<u8>,
    /// Stretches that are silent because recording was paused, in samples from the part's start.
    pub(super) paused: Vec<(u64, u64)>,
}

/// The parts of one call, stored one after the other.
pub(super) struct PartQueue {
    queue: mpsc::Sender<Part>,
    worker: JoinHandle<u32>,
}

impl Recordings {
    /// Recordings in `bucket`.
    pub fn new(s3: Client, bucket: String) -> Self {
        Self { s3, bucket }
    }

    /// How many parts of `call` are stored: where a call that comes back goes on.
    ///
    /// # Errors
    /// When S3 is away.
    pub async fn stored_parts(&self, call: &CallSid) -> anyhow::Result<u32> {
        let listed = self
            .s3
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("recording-parts/{call}/"))
            .send()
            .await
            .context("list the parts of a recording")?;
        // 30 minutes make 180 parts of two files each: one page holds them all.
        let indices = listed.contents().iter().filter_map(|o| {
            let name = o.key()?.rsplit('/').next()?;
            name.split('.').next()?.parse::<u32>().ok()
        });
        Ok(indices.max().map_or(0, |last| last + 1))
    }

    async fn store(&self, call: &CallSid, part: &Part) -> anyhow::Result<()> {
        let paused: Vec<_> = part.paused.iter().map(|(from, to)| format!("{from}-{to}")).collect();
        let paused = (!paused.is_empty()).then(|| paused.join(","));
        for (side, audio) in [("caller", &part.caller), ("agent", &part.agent)] {
            self.s3
                .put_object()
                .bucket(&self.bucket)
                .key(format!("recording-parts/{call}/{:05}.{side}.ulaw", part.index))
                .body(ByteStream::from(audio.clone()))
                .set_metadata(paused.clone().map(|p| HashMap::from([(PAUSED.to_owned(), p)])))
                .send()
                .await
                .context("store a part of a recording")?;
        }
        Ok(())
    }
}

impl PartQueue {
    pub(super) fn start(services: &Arc<CallServices>, call: CallSid) -> Self {
        let (queue, mut todo) = mpsc::channel::<Part>(LONGEST_QUEUE);
        let recordings = services.recordings.clone();
        let work = async move {
            let mut parts = 0;
            while let Some(part) = todo.recv().await {
                parts = part.index + 1;
                store_surely(&recordings, &call, &part).await;
            }
            parts
        };
        Self { queue, worker: services.unfinished.spawn_on(work, &services.runtime) }
    }

    /// Queues a part. Never waits; where S3 has been away for long the part is lost.
    pub(super) fn push(&self, part: Part) {
        if self.queue.try_send(part).is_err() {
            metrics::counter!("edge_recording_parts_lost_total").increment(1);
            tracing::error!("part of a recording lost: S3 has been away too long");
        }
    }

    /// Waits until everything queued is stored; says how many parts the recording has, 0 where nothing was recorded
    /// here.
    pub(super) async fn finish(self) -> u32 {
        drop(self.queue);
        self.worker.await.unwrap_or_else(|_| {
            tracing::error!("storing a recording ended in a panic");
            0
        })
    }
}

async fn store_surely(recordings: &Recordings, call: &CallSid, part: &Part) {
    let mut wait = RETRY_FIRST;
    for attempt in 1..=TRIES {
        let Err(error) = recordings.store(call, part).await else { return };
        if attempt == 1 {
            tracing::warn!(%call, error = format!("{error:#}"), "part of a recording not stored, trying again");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_LONGEST);
    }
    metrics::counter!("edge_recording_parts_lost_total").increment(1);
    tracing::error!(%call, index = part.index, "part of a recording lost: S3 did not take it");
}
