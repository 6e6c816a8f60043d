//! Joins the two sides of a call into one stereo file in S3 (B4).

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    primitives::ByteStream,
    types::{Delete, ObjectIdentifier},
};
use bytes::Bytes;
use cache::{Cache, RecordingBlock};
use domain::{BoxFuture, CallSid, Dependency, FinishRecording, PausedSpan, Timestamp};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::tz::TimeZone;
use speech::SAMPLE_RATE_HZ;

use crate::stereo::{Piece, Stereo, TooLong};

/// Parts fetched at once.
const FETCHES: usize = 8;

/// Within the second or two a health page waits.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a part lies in the call (S3 metadata): samples since it began.
const AT: &str = "at";
/// What a part, and the whole, tells of its pauses (S3 metadata).
const PAUSED: &str = "paused";

/// S3 takes so many keys in one request.
const DELETE_KEYS: usize = 1000;

/// Finishes recordings in one bucket.
#[derive(Clone)]
pub struct Recorder {
    s3: Client,
    bucket: String,
    cache: Cache,
}

/// A finished recording.
pub(crate) struct RecordingFile {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) bytes: u64,
    pub(crate) duration_ms: u64,
    /// Where recording was paused, in order.
    pub(crate) paused: Vec<PausedSpan>,
}

/// Why a recording could not be finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecorderError {
    #[error("{there} of {all} parts are there yet")]
    MissingParts { there: usize, all: u32 },
    #[error(transparent)]
    TooLong(#[from] TooLong),
    #[error(transparent)]
    Storage(#[from] anyhow::Error),
}

impl Recorder {
    /// A recorder on the S3 that `aws` names. `cache` has what was not stored when a task was lost.
    pub fn new(aws: &SdkConfig, bucket: &str, cache: Cache) -> Self {
        // Stand-ins serve every bucket under one host name; AWS takes the path form as well.
        let s3 = aws_sdk_s3::config::Builder::from(aws).force_path_style(true).build();
        Self { s3: Client::from_conf(s3), bucket: bucket.to_owned(), cache }
    }

    /// The S3 it works on.
    pub(crate) fn s3(&self) -> Client {
        self.s3.clone()
    }

    /// Makes the file of `job` from its parts, unless it stands already. The parts stay. Nothing where there are none.
    pub(crate) async fn join(
        &self,
        job: &FinishRecording,
    ) -> Result<Option<RecordingFile>, RecorderError> {
        let key = recording_key(&job.call, job.started_at);
        if let Some((bytes, paused)) = self.size_of(&key).await? {
            return Ok(Some(self.file(key, bytes, &paused)));
        }
        let pieces = self.pieces(job).await?;
        if pieces.is_empty() {
            return Ok(None);
        }
        let (file, paused) = self.stereo(&job.call, pieces).await?;
        let bytes = file.len() as u64;
        let told = (!paused.is_empty())
            .then(|| HashMap::from([(PAUSED.to_owned(), written_spans(&paused))]));
        self.s3
            .put_object()
            .bucket(&self.bucket)
            .key(&key)
            .content_type("audio/wav")
            .set_metadata(told)
            .body(ByteStream::from(file))
            .send()
            .await
            .with_context(|| format!("store the recording {key}"))?;
        Ok(Some(self.file(key, bytes, &paused)))
    }

    /// Removes all of which the file of `job` was made. What is gone already is no error.
    pub(crate) async fn remove_parts(&self, job: &FinishRecording) -> anyhow::Result<()> {
        for keys in self.part_keys(&job.call).await?.chunks(DELETE_KEYS) {
            let objects = keys
                .iter()
                .map(|key| ObjectIdentifier::builder().key(key).build())
                .collect::<Result<Vec<_>, _>>()
                .context("name recording parts")?;
            let delete = Delete::builder()
                .set_objects(Some(objects))
                .quiet(true)
                .build()
                .context("name recording parts")?;
            let answer = self
                .s3
                .delete_objects()
                .bucket(&self.bucket)
                .delete(delete)
                .send()
                .await
                .context("remove recording parts")?;
            if let Some(failed) = answer.errors().first() {
                let code = failed.code().unwrap_or("no reason given");
                return Err(anyhow!("remove recording parts: {code}"));
            }
        }
        if let Err(error) = self.cache.drop_recording(&job.call).await {
            tracing::warn!(call = %job.call, %error, "the rest of a recording is left to expire");
        }
        Ok(())
    }

    async fn part_keys(&self, call: &CallSid) -> anyhow::Result<Vec<String>> {
        let listing = self
            .s3
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(parts_prefix(call))
            .into_paginator()
            .send();
        let pages = listing.try_collect().await.context("list the parts of a recording")?;
        let keys = pages.iter().flat_map(|page| page.contents()).filter_map(|o| o.key());
        Ok(keys.map(str::to_owned).collect())
    }

    /// What the file is made of, in order: parts, and where a task was lost what is left of the one it was at.
    async fn pieces(&self, job: &FinishRecording) -> Result<Vec<Source>, RecorderError> {
        let (keys, left) = tokio::join!(self.part_keys(&job.call), self.cache.recording(&job.call));
        let keys: BTreeSet<String> = keys?.into_iter().collect();
        let prefix = parts_prefix(&job.call);
        let index = |key: &String| key.strip_prefix(&prefix)?.split('.').next()?.parse().ok();
        let mut parts: BTreeSet<u32> = keys.iter().filter_map(index).collect();
        // A task may be lost between the two.
        parts.retain(|index| {
            Side::BOTH.iter().all(|side| keys.contains(&part_key(&job.call, *index, *side)))
        });
        if parts.len() < job.parts as usize {
            return Err(RecorderError::MissingParts { there: parts.len(), all: job.parts });
        }
        // Without Redis it is tried again later: a file that stands is not made anew.
        let left = left.context("read what was not stored of a recording")?;
        let left = left.into_iter().filter(|block| !parts.contains(&block.part)).map(Source::Left);
        let mut pieces: Vec<Source> = left.collect();
        pieces.extend(parts.into_iter().map(Source::Part));
        // Blocks of one part are in order, and stay so.
        pieces.sort_by_key(Source::part);
        Ok(pieces)
    }

    /// The whole file: what the caller said on the left, what the caller heard on the right; and where recording was
    /// paused, in samples.
    async fn stereo(
        &self,
        call: &CallSid,
        pieces: Vec<Source>,
    ) -> Result<(Vec<u8>, Vec<(u64, u64)>), RecorderError> {
        let pieces = stream::iter(pieces).map(|piece| async move {
            match piece {
                Source::Part(index) => self.part(call, index).await,
                Source::Left(block) => Ok(Piece {
                    at: block.at,
                    paused: read_spans(&block.paused),
                    caller: block.caller.into(),
                    agent: block.agent.into(),
                }),
            }
        });
        let mut pieces = pieces.buffered(FETCHES);
        let mut stereo = Stereo::default();
        while let Some(piece) = pieces.try_next().await? {
            stereo.add(&piece)?;
        }
        Ok(stereo.finish())
    }

    async fn part(&self, call: &CallSid, index: u32) -> anyhow::Result<Piece> {
        let ((caller, told), (agent, _)) = tokio::try_join!(
            self.fetch(part_key(call, index, Side::Caller)),
            self.fetch(part_key(call, index, Side::Agent)),
        )?;
        let at = told.get(AT).and_then(|at| at.parse().ok());
        Ok(Piece { at, paused: read_spans(paused_in(&told)), caller, agent })
    }

    async fn fetch(&self, key: String) -> anyhow::Result<(Bytes, HashMap<String, String>)> {
        let answer = self.s3.get_object().bucket(&self.bucket).key(&key).send().await;
        let answer = answer.with_context(|| format!("fetch {key}"))?;
        let told = answer.metadata().cloned().unwrap_or_default();
        let body = answer.body.collect().await.with_context(|| format!("fetch {key}"))?;
        Ok((body.into_bytes(), told))
    }

    async fn size_of(&self, key: &str) -> anyhow::Result<Option<(u64, Vec<(u64, u64)>)>> {
        match self.s3.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(head) => {
                let bytes = head.content_length().and_then(|bytes| u64::try_from(bytes).ok());
                let paused = head.metadata().map(|told| read_spans(paused_in(told)));
                Ok(bytes.map(|bytes| (bytes, paused.unwrap_or_default())))
            }
            Err(e) if e.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(None),
            Err(e) => Err(anyhow!(e).context(format!("look for the recording {key}"))),
        }
    }

    fn file(&self, key: String, bytes: u64, paused: &[(u64, u64)]) -> RecordingFile {
        RecordingFile {
            bucket: self.bucket.clone(),
            key,
            bytes,
            duration_ms: milliseconds(Stereo::samples_in(bytes)),
            paused: paused
                .iter()
                .map(|&(from, to)| PausedSpan {
                    from_ms: milliseconds(from),
                    to_ms: milliseconds(to),
                })
                .collect(),
        }
    }
}

impl Dependency for Recorder {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn is_up(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            let asked = self.s3.head_bucket().bucket(&self.bucket).send();
            matches!(tokio::time::timeout(PROBE_TIMEOUT, asked).await, Ok(Ok(_)))
        })
    }
}

fn milliseconds(samples: u64) -> u64 {
    samples.saturating_mul(1000) / u64::from(SAMPLE_RATE_HZ)
}

fn paused_in(told: &HashMap<String, String>) -> &str {
    told.get(PAUSED).map_or("", String::as_str)
}

/// Reads `from-to,...`, samples; what is no such span is none.
fn read_spans(told: &str) -> Vec<(u64, u64)> {
    let span = |text: &str| {
        let (from, to) = text.split_once('-')?;
        Some((from.parse().ok()?, to.parse().ok()?)).filter(|(from, to): &(u64, u64)| from < to)
    };
    told.split(',').filter_map(span).collect()
}

fn written_spans(spans: &[(u64, u64)]) -> String {
    spans.iter().map(|(from, to)| format!("{from}-{to}")).collect::<Vec<_>>().join(",")
}

/// One side of a call.
#[derive(Clone, Copy)]
enum Side {
    Caller,
    Agent,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Caller, Self::Agent];

    const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Agent => "agent",
        }
    }
}

/// What the file is made of.
enum Source {
    /// Of this number.
    Part(u32),
    /// What is left of a part that is not stored.
    Left(RecordingBlock),
}

impl Source {
    fn part(&self) -> u32 {
        match self {
            Self::Part(index) => *index,
            Self::Left(block) => block.part,
        }
    }
}

fn parts_prefix(call: &CallSid) -> String {
    format!("recording-parts/{call}/")
}

fn part_key(call: &CallSid, index: u32, side: Side) -> String {
    format!("{}{index:05}.{}.ulaw", parts_prefix(call), side.name())
}

/// By the day the call began, UTC: the same wherever and whenever it is computed.
fn recording_key(call: &CallSid, started_at: Timestamp) -> String {
    let began = jiff::Timestamp::from_microsecond(started_at.as_micros()).unwrap_or_default();
    let day = began.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d").to_string();
    format!("audio-recordings/{day}/{call}.wav")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_filed_under_the_utc_day_it_began() {
        let call = CallSid::parse("CA1").unwrap();
        // 2026-11-20T23:59:59Z.
        let at = Timestamp::from_micros(1_795_219_199_000_000);
        assert_eq!(recording_key(&call, at), "audio-recordings/2026/11/20/CA1.wav");
    }
}
