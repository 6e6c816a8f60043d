//! Joins the two sides of a call into one stereo file in S3 (B4).

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, anyhow};
use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    primitives::ByteStream,
    types::{Delete, ObjectIdentifier},
};
use bytes::Bytes;
use domain::{BoxFuture, CallSid, Dependency, FinishRecording, PausedSpan, Timestamp, g711};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::tz::TimeZone;
use speech::{SAMPLE_RATE_HZ, wav};

/// Parts fetched at once.
const FETCHES: usize = 8;

/// A third more than the longest call (B4). It bounds what is held in memory: 77 MB.
const LONGEST_SAMPLES: usize = 40 * 60 * SAMPLE_RATE_HZ as usize;

const CHANNELS: u16 = 2;
/// One sample of both sides, in 16 bits each.
const FRAME_BYTES: usize = 4;
/// Within the second or two a health page waits.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a part, and the whole, tells of its pauses (S3 metadata).
const PAUSED: &str = "paused";

/// S3 takes so many keys in one request.
const DELETE_KEYS: usize = 1000;

/// Finishes recordings in one bucket.
#[derive(Clone)]
pub struct Recorder {
    s3: Client,
    bucket: String,
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
    #[error("{0} is not there yet")]
    MissingPart(String),
    #[error("the recording is longer than any call")]
    TooLong,
    #[error("{0:#}")]
    Storage(#[from] anyhow::Error),
}

impl Recorder {
    /// A recorder on the S3 that `aws` names.
    pub fn new(aws: &SdkConfig, bucket: &str) -> Self {
        // Stand-ins serve every bucket under one host name; AWS takes the path form as well.
        let s3 = aws_sdk_s3::config::Builder::from(aws).force_path_style(true).build();
        Self { s3: Client::from_conf(s3), bucket: bucket.to_owned() }
    }

    /// The S3 it works on.
    pub(crate) fn s3(&self) -> Client {
        self.s3.clone()
    }

    /// Makes the file of `job` from its parts, unless it stands already. The parts stay.
    pub(crate) async fn join(&self, job: &FinishRecording) -> Result<RecordingFile, RecorderError> {
        let key = recording_key(&job.call, job.started_at);
        if let Some((bytes, paused)) = self.size_of(&key).await? {
            return Ok(self.file(key, bytes, &paused));
        }
        let (file, paused) = self.stereo(job).await?;
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
        Ok(self.file(key, bytes, &paused))
    }

    /// Removes the parts of `job`. Ones that are gone already are no error.
    pub(crate) async fn remove_parts(&self, job: &FinishRecording) -> anyhow::Result<()> {
        let keys: Vec<String> = (0..job.parts)
            .flat_map(|index| Side::BOTH.map(|side| part_key(&job.call, index, side)))
            .collect();
        for keys in keys.chunks(DELETE_KEYS) {
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
        Ok(())
    }

    /// The whole file: what the caller said on the left, what the caller heard on the right; and where recording was
    /// paused, in samples.
    async fn stereo(
        &self,
        job: &FinishRecording,
    ) -> Result<(Vec<u8>, Vec<(u64, u64)>), RecorderError> {
        let parts = stream::iter(0..job.parts).map(|index| async move {
            tokio::try_join!(
                self.part(&job.call, index, Side::Caller),
                self.part(&job.call, index, Side::Agent),
            )
        });
        // Room for the header, which tells the length.
        let mut file = vec![0; wav::PCM16_HEADER_BYTES];
        let mut parts = parts.buffered(FETCHES);
        let mut paused: Vec<(u64, u64)> = Vec::new();
        while let Some(((caller, told), (agent, _))) = parts.try_next().await? {
            let offset = ((file.len() - wav::PCM16_HEADER_BYTES) / FRAME_BYTES) as u64;
            for (from, to) in read_spans(&told) {
                let (from, to) = (offset.saturating_add(from), offset.saturating_add(to));
                match paused.last_mut().filter(|(_, before)| *before == from) {
                    Some((_, before)) => *before = to,
                    None => paused.push((from, to)),
                }
            }
            interleave(&caller, &agent, &mut file);
            if file.len() > wav::PCM16_HEADER_BYTES + LONGEST_SAMPLES * FRAME_BYTES {
                return Err(RecorderError::TooLong);
            }
        }
        let data_bytes = (file.len() - wav::PCM16_HEADER_BYTES) as u32;
        let header = wav::pcm16_header(CHANNELS, SAMPLE_RATE_HZ, data_bytes);
        file[..wav::PCM16_HEADER_BYTES].copy_from_slice(&header);
        Ok((file, paused))
    }

    /// A side of a part, and what it tells of its pauses.
    async fn part(
        &self,
        call: &CallSid,
        index: u32,
        side: Side,
    ) -> Result<(Bytes, String), RecorderError> {
        let key = part_key(call, index, side);
        let answer = match self.s3.get_object().bucket(&self.bucket).key(&key).send().await {
            Ok(answer) => answer,
            Err(e) if e.as_service_error().is_some_and(|e| e.is_no_such_key()) => {
                return Err(RecorderError::MissingPart(key));
            }
            Err(e) => return Err(anyhow!(e).context(format!("fetch {key}")).into()),
        };
        let told = paused_in(answer.metadata());
        let body = answer.body.collect().await.with_context(|| format!("fetch {key}"))?;
        Ok((body.into_bytes(), told))
    }

    async fn size_of(&self, key: &str) -> anyhow::Result<Option<(u64, Vec<(u64, u64)>)>> {
        match self.s3.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(head) => {
                let bytes = head.content_length().and_then(|bytes| u64::try_from(bytes).ok());
                Ok(bytes.map(|bytes| (bytes, read_spans(&paused_in(head.metadata())))))
            }
            Err(e) if e.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(None),
            Err(e) => Err(anyhow!(e).context(format!("look for the recording {key}"))),
        }
    }

    fn file(&self, key: String, bytes: u64, paused: &[(u64, u64)]) -> RecordingFile {
        let frames = bytes.saturating_sub(wav::PCM16_HEADER_BYTES as u64) / FRAME_BYTES as u64;
        RecordingFile {
            bucket: self.bucket.clone(),
            key,
            bytes,
            duration_ms: milliseconds(frames),
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

fn paused_in(metadata: Option<&HashMap<String, String>>) -> String {
    metadata.and_then(|told| told.get(PAUSED)).cloned().unwrap_or_default()
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

fn part_key(call: &CallSid, index: u32, side: Side) -> String {
    format!("recording-parts/{call}/{index:05}.{}.ulaw", side.name())
}

/// By the day the call began, UTC: the same wherever and whenever it is computed.
fn recording_key(call: &CallSid, started_at: Timestamp) -> String {
    let began = jiff::Timestamp::from_microsecond(started_at.as_micros()).unwrap_or_default();
    let day = began.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d").to_string();
    format!("audio-recordings/{day}/{call}.wav")
}

/// Appends a part. A side that is shorter is silent at its end, so that the next part begins at the
/// same moment on both.
fn interleave(caller: &[u8], agent: &[u8], file: &mut Vec<u8>) {
    const SILENCE: u8 = 0xFF;
    let frames = caller.len().max(agent.len());
    file.reserve(frames * FRAME_BYTES);
    for at in 0..frames {
        for side in [caller, agent] {
            let code = side.get(at).copied().unwrap_or(SILENCE);
            file.extend_from_slice(&g711::decode(code).to_le_bytes());
        }
    }
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

    #[test]
    fn a_short_side_is_filled_up_so_that_the_sides_stay_together() {
        let mut file = Vec::new();
        interleave(&[0x80, 0x80], &[0x00], &mut file);
        let samples: Vec<i16> =
            file.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
        assert_eq!(samples, [32_124, -32_124, 32_124, 0]);
    }
}
