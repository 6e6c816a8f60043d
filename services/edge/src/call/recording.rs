//! Both sides of a call on their way to S3, in parts, and before those are whole to Redis, so that a lost task loses two
//! seconds (B4).

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use aws_sdk_s3::{Client, primitives::ByteStream};
use bytes::Bytes;
use cache::RecordingBlock;
use domain::CallSid;
use tokio::{sync::mpsc, task::JoinHandle};

use super::CallServices;

/// Parts of 20 s that may wait while S3 is away: ten minutes, about 10 MB a call at most.
const LONGEST_QUEUE: usize = 30;
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(10);
const TRIES: u32 = 60;

/// A block follows every second; more waiting than this, half a megabyte, means that Redis is away.
const LONGEST_BLOCKS: usize = 32;

/// Where a part lies in the call (S3 metadata): samples since it began. `voice` reads it.
const AT: &str = "at";
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
    /// Where it lies in the call, samples; nothing where nobody knows when that began.
    pub(super) at: Option<u64>,
    pub(super) caller: Bytes,
    pub(super) agent: Bytes,
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

    /// How many parts of `call` are stored, both sides of them.
    ///
    /// # Errors
    /// When S3 is away.
    pub async fn stored_parts(&self, call: &CallSid) -> anyhow::Result<u32> {
        let listing = self
            .s3
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("recording-parts/{call}/"))
            .into_paginator()
            .send();
        let pages = listing.try_collect().await.context("list the parts of a recording")?;
        let mut sides: HashMap<String, u32> = HashMap::new();
        for key in pages.iter().flat_map(|page| page.contents()).filter_map(|o| o.key()) {
            let part = key.split('.').next().unwrap_or(key);
            *sides.entry(part.to_owned()).or_default() += 1;
        }
        Ok(sides.values().filter(|sides| **sides == 2).count() as u32)
    }

    async fn store(&self, call: &CallSid, part: &Part) -> anyhow::Result<()> {
        let paused = (!part.paused.is_empty()).then(|| (PAUSED, written_spans(&part.paused)));
        let told = part.at.map(|at| (AT, at.to_string())).into_iter().chain(paused);
        let told: HashMap<_, _> = told.map(|(name, value)| (name.to_owned(), value)).collect();
        for (side, audio) in [("caller", &part.caller), ("agent", &part.agent)] {
            self.s3
                .put_object()
                .bucket(&self.bucket)
                .key(format!("recording-parts/{call}/{:05}.{side}.ulaw", part.index))
                .body(ByteStream::from(audio.clone()))
                .set_metadata(Some(told.clone()))
                .send()
                .await
                .context("store a part of a recording")?;
        }
        Ok(())
    }
}

/// As the metadata of a part tells stretches.
pub(super) fn written_spans(spans: &[(u64, u64)]) -> String {
    spans.iter().map(|(from, to)| format!("{from}-{to}")).collect::<Vec<_>>().join(",")
}

/// Blocks of one call on their way to Redis, in order. Those that cannot be kept are tried again with the next; they are lost
/// only where the task is.
pub(super) struct Blocks(mpsc::Sender<RecordingBlock>);

impl Blocks {
    pub(super) fn start(services: &Arc<CallServices>, call: CallSid) -> Self {
        let (queue, mut todo) = mpsc::channel(LONGEST_BLOCKS);
        let cache = services.cache.clone();
        services.runtime.spawn(async move {
            let mut blocks = Vec::new();
            while todo.recv_many(&mut blocks, LONGEST_BLOCKS).await > 0 {
                match cache.keep_recording(&call, &blocks).await {
                    Ok(()) => blocks.clear(),
                    Err(error) => {
                        tracing::debug!(%call, %error, "seconds of a recording not kept");
                        let too_many = blocks.len().saturating_sub(LONGEST_BLOCKS);
                        blocks.drain(..too_many);
                    }
                }
            }
        });
        Self(queue)
    }

    /// Queues a block. Never waits; one too many is dropped.
    pub(super) fn push(&self, block: RecordingBlock) {
        let _ = self.0.try_send(block);
    }
}

impl PartQueue {
    pub(super) fn start(services: &Arc<CallServices>, call: CallSid) -> Self {
        let (queue, mut todo) = mpsc::channel::<Part>(LONGEST_QUEUE);
        let (recordings, cache) = (services.recordings.clone(), services.cache.clone());
        let work = async move {
            let mut stored = 0;
            while let Some(part) = todo.recv().await {
                if store_surely(&recordings, &call, &part).await {
                    stored += 1;
                    // Where it fails, the part is known to be stored, and what is kept of it expires.
                    let _ = cache.drop_recorded_part(&call, part.index).await;
                }
            }
            stored
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

    /// Waits until everything queued is stored; says how many parts were stored from here.
    pub(super) async fn finish(self) -> u32 {
        drop(self.queue);
        self.worker.await.unwrap_or_else(|_| {
            tracing::error!("storing a recording ended in a panic");
            0
        })
    }
}

async fn store_surely(recordings: &Recordings, call: &CallSid, part: &Part) -> bool {
    let mut wait = RETRY_FIRST;
    for attempt in 1..=TRIES {
        let Err(error) = recordings.store(call, part).await else { return true };
        if attempt == 1 {
            tracing::warn!(%call, error = format!("{error:#}"), "part of a recording not stored, trying again");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_LONGEST);
    }
    metrics::counter!("edge_recording_parts_lost_total").increment(1);
    tracing::error!(%call, index = part.index, "part of a recording lost: S3 did not take it");
    false
}
