//! How long the caller waits, from the sound: the recording made at the simulated caller's ear, beside what the services
//! stamped on the same turns and beside the platform's own recording.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use domain::{CallSid, Stage};
use serde::Serialize;

use super::{Spread, figures};
use crate::history::History;
use crate::outside::Outside;
use crate::stereo::{APART_SAMPLES, Stereo};

const SAMPLES_PER_MS: f64 = 8.0;

/// What was heard of one call.
pub(super) struct Heard {
    /// The waits for each answer, at the ear.
    ear: Vec<Duration>,
    /// The same in the platform's recording.
    recorded: Vec<Duration>,
    /// The same by the stamps: the caller's last voice to the first audio out.
    stamped: Vec<Duration>,
    apart_samples: u64,
}

/// The waits of all calls.
#[derive(Debug, Serialize)]
pub struct Waveform {
    /// From the caller's last sound to the agent's first, at the caller's ear.
    pub ear: Spread,
    /// The same in the platform's recording.
    pub recorded: Spread,
    /// The same as the services stamped it.
    pub stamped: Option<Spread>,
    /// The furthest that a word lies from where it lies at the ear, in any platform's recording, milliseconds.
    pub recording_apart_ms: f64,
    /// The furthest that a turn's stamps are from the ear, milliseconds.
    pub stamps_apart_ms: f64,
}

impl Waveform {
    /// What many calls say; `None` where nothing was heard.
    pub(super) fn of(calls: &[Heard]) -> Option<Self> {
        let all = |of: fn(&Heard) -> &Vec<Duration>| -> Vec<Duration> {
            calls.iter().flat_map(|call| of(call).iter().copied()).collect()
        };
        let stamps_apart = calls
            .iter()
            .filter(|call| call.ear.len() == call.stamped.len())
            .flat_map(|call| call.ear.iter().zip(&call.stamped).map(|(a, b)| a.abs_diff(*b)))
            .max();
        let apart = calls.iter().map(|call| call.apart_samples).max()?;
        Some(Self {
            ear: Spread::of(all(|call| &call.ear))?,
            recorded: Spread::of(all(|call| &call.recorded))?,
            stamped: Spread::of(all(|call| &call.stamped)),
            recording_apart_ms: apart as f64 / SAMPLES_PER_MS,
            stamps_apart_ms: stamps_apart.unwrap_or_default().as_secs_f64() * 1000.0,
        })
    }

    /// Whether the platform's recordings are the calls as they were heard (DESIGN 8).
    pub fn agrees(&self) -> bool {
        self.recording_apart_ms <= APART_SAMPLES as f64 / SAMPLES_PER_MS
    }
}

/// Listens to a call that is over.
pub(super) async fn listen(
    outside: &Outside,
    history: &History,
    s3: &aws_sdk_s3::Client,
    call: &CallSid,
    turns: &[Vec<Stage>],
) -> anyhow::Result<Heard> {
    let at_the_ear = outside.file(&format!("/sim/calls/{call}/recording")).await?;
    let (bucket, key) = history.recording_in(call).await?;
    let kept = s3.get_object().bucket(bucket).key(key).send().await.context("fetch a recording")?;
    let kept = kept.body.collect().await.context("fetch a recording")?.to_vec();
    let ear = Stereo::decode(&at_the_ear).context("read the recording at the ear")?;
    let recorded = Stereo::decode(&kept).context("read the platform's recording")?;
    let waits = |of: &Stereo| -> Vec<Duration> {
        let waits = of.waits_samples().into_iter();
        waits.map(|samples| Duration::from_micros(samples * 125)).collect()
    };
    let stamped = turns.iter().filter_map(|stages| {
        let (said, heard) = (Stage::SPEECH_ENDED, Stage::FIRST_AUDIO_OUT);
        Some(figures::at(stages, heard)?.since(figures::at(stages, said)?))
    });
    Ok(Heard {
        apart_samples: recorded.apart_samples(&ear).context("compare the two recordings")?,
        ear: waits(&ear),
        recorded: waits(&recorded),
        stamped: stamped.collect(),
    })
}

impl fmt::Display for Waveform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<44} {:>7} {:>7} {:>7}",
            "the caller stops → the agent starts, ms", "p50", "p95", "max"
        )?;
        super::row(f, "  at the caller's ear, from the waveform", &self.ear)?;
        super::row(f, "  in the platform's recording", &self.recorded)?;
        if let Some(stamped) = &self.stamped {
            super::row(f, "  by the turn's stamps", stamped)?;
        }
        let verdict = if self.agrees() { "agrees" } else { "DISAGREES" };
        writeln!(
            f,
            "furthest from the ear: the recording {:.1} ms ({verdict} within 20), the stamps {:.1} ms",
            self.recording_apart_ms, self.stamps_apart_ms
        )
    }
}
