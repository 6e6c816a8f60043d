use std::{collections::HashMap, fmt, sync::LazyLock};

use deadpool_redis::redis::Script;
use domain::CallSid;

use crate::{Cache, CacheError};

/// Longer than a lost call takes to be over and its recording to be finished. It counts from the last block on.
const RECORDING_TTL_SECONDS: u64 = 60 * 60;

/// What is kept of one call at most, about 2 MB: a part is gone from here within seconds, unless S3 is away.
const BLOCKS_MAX: usize = 128;

static KEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('HLEN', KEYS[1]) < tonumber(ARGV[2]) then
            for i = 3, #ARGV, 2 do
                redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
            end
        end
        redis.call('EXPIRE', KEYS[1], ARGV[1])
        ",
    )
});

static DROP_PART: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
            if string.sub(field, 1, #ARGV[1]) == ARGV[1] then
                redis.call('HDEL', KEYS[1], field)
            end
        end
        ",
    )
});

/// A stretch of a call's recording that is not in S3 yet: what is left of it where its task is lost (B4).
#[derive(Clone, PartialEq, Eq)]
pub struct RecordingBlock {
    /// The part of the recording it belongs to, which takes its place once it is stored.
    pub part: u32,
    /// Which stretch of the part, from 0.
    pub block: u32,
    /// Where it lies in the call, samples at 8 kHz; nothing where that is not known: behind the block before.
    pub at: Option<u64>,
    /// Stretches of it that are silent because recording was paused, as the metadata of a part tells them.
    pub paused: String,
    /// Mu-law of the caller's side.
    pub caller: Vec<u8>,
    /// As much of the agent's side.
    pub agent: Vec<u8>,
}

impl fmt::Debug for RecordingBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingBlock")
            .field("part", &self.part)
            .field("block", &self.block)
            .field("at", &self.at)
            .field("bytes", &(self.caller.len() + self.agent.len()))
            .finish_non_exhaustive()
    }
}

impl RecordingBlock {
    fn field(&self) -> String {
        format!("{}{}", part_prefix(self.part), self.block)
    }

    /// A line that tells where it lies and what is paused in it, then both sides.
    fn value(&self) -> Vec<u8> {
        let at = self.at.map(|at| at.to_string()).unwrap_or_default();
        let told = format!("{at} {}\n", self.paused);
        [told.as_bytes(), &self.caller, &self.agent].concat()
    }

    fn read(field: &str, value: &[u8]) -> Option<Self> {
        let (part, block) = field.split_once(':')?;
        let line = value.iter().position(|byte| *byte == b'\n')?;
        let (at, paused) = std::str::from_utf8(&value[..line]).ok()?.split_once(' ')?;
        let audio = &value[line + 1..];
        let (caller, agent) = audio.split_at(audio.len() / 2);
        Some(Self {
            part: part.parse().ok()?,
            block: block.parse().ok()?,
            at: at.parse().ok(),
            paused: paused.to_owned(),
            caller: caller.to_vec(),
            agent: agent.to_vec(),
        })
    }
}

fn part_prefix(part: u32) -> String {
    format!("{part}:")
}

impl Cache {
    /// Keeps `blocks` of the recording of `call`, each in the place of the same block as it was kept before.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn keep_recording(
        &self,
        call: &CallSid,
        blocks: &[RecordingBlock],
    ) -> Result<(), CacheError> {
        let key = self.recording_key(call);
        self.run("keep_recording", |mut c| async move {
            let mut keep = KEEP.key(key);
            keep.arg(RECORDING_TTL_SECONDS).arg(BLOCKS_MAX);
            for block in blocks {
                keep.arg(block.field()).arg(block.value());
            }
            keep.invoke_async(&mut c).await
        })
        .await
    }

    /// Forgets what is kept of a part that is stored by now.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn drop_recorded_part(&self, call: &CallSid, part: u32) -> Result<(), CacheError> {
        let key = self.recording_key(call);
        self.run("drop_recorded_part", |mut c| async move {
            DROP_PART.key(key).arg(part_prefix(part)).invoke_async(&mut c).await
        })
        .await
    }

    /// Whether anything is kept of the recording of `call`.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn has_recording(&self, call: &CallSid) -> Result<bool, CacheError> {
        let key = self.recording_key(call);
        self.run("has_recording", |mut c| async move {
            deadpool_redis::redis::cmd("EXISTS").arg(key).query_async(&mut c).await
        })
        .await
    }

    /// What is kept of the recording of `call`, in order.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn recording(&self, call: &CallSid) -> Result<Vec<RecordingBlock>, CacheError> {
        let key = self.recording_key(call);
        let fields: HashMap<String, Vec<u8>> = self
            .run("recording", |mut c| async move {
                deadpool_redis::redis::cmd("HGETALL").arg(key).query_async(&mut c).await
            })
            .await?;
        let read = fields.iter().filter_map(|(field, value)| RecordingBlock::read(field, value));
        let mut blocks: Vec<_> = read.collect();
        blocks.sort_by_key(|block| (block.part, block.block));
        Ok(blocks)
    }

    /// Forgets what is kept of the recording of `call`.
    ///
    /// # Errors
    /// When Redis is away; it then expires.
    pub async fn drop_recording(&self, call: &CallSid) -> Result<(), CacheError> {
        let key = self.recording_key(call);
        self.run("drop_recording", |mut c| async move {
            deadpool_redis::redis::cmd("UNLINK").arg(key).query_async(&mut c).await
        })
        .await
    }

    fn recording_key(&self, call: &CallSid) -> String {
        self.key(call.as_str(), ":recording")
    }
}
