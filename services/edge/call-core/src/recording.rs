//! Both sides of the call on one time line, counted in samples since the stream started.

use std::time::Duration;

use crate::{
    Action, Moment,
    g711::{SAMPLE_RATE_HZ, SILENCE},
    media_clock::{duration, samples},
};

/// How long a part waits for audio of the caller that is late.
const CALLER_LATE: Duration = Duration::from_secs(2);

/// Audio further ahead than this is not kept: nobody speaks in the future.
const AHEAD_SAMPLES: u64 = 60 * SAMPLE_RATE_HZ as u64;

/// Collects what was said and what was heard, and hands it out in parts.
///
/// The agent's side is placed by the clock, where the caller hears it. The caller's side counts its own samples; where
/// it begins on the common line is known best after some frames: by the one that came with the least delay. It is
/// settled when the first part goes out that has audio of the caller.
pub(crate) struct Recording {
    started: Moment,
    /// No part begins later, however far the clock jumps.
    until: Moment,
    part_samples: u64,
    parts: u32,
    caller: Track,
    agent: Track,
    caller_from: CallerFrom,
}

enum CallerFrom {
    /// The least of arrival less length so far, in samples.
    Estimate(Option<u64>),
    Settled(u64),
}

impl Recording {
    /// A recording of a call that lasts from `started` to `until` at most, in parts of the length `part`.
    pub(crate) fn new(started: Moment, until: Moment, part: Duration) -> Self {
        Self {
            started,
            until,
            part_samples: samples(part).max(u64::from(SAMPLE_RATE_HZ)),
            parts: 0,
            caller: Track::default(),
            agent: Track::default(),
            caller_from: CallerFrom::Estimate(None),
        }
    }

    /// The caller's audio, `at` samples after the caller's first, come at `now`.
    pub(crate) fn caller(&mut self, at: u64, audio: &[u8], now: Moment) {
        let arrival = samples(now.saturating_sub(self.started));
        let latest = arrival.saturating_sub(at + audio.len() as u64);
        let from = match &mut self.caller_from {
            CallerFrom::Settled(from) => *from,
            CallerFrom::Estimate(_) if self.parts > 0 => {
                self.caller_from = CallerFrom::Settled(latest);
                latest
            }
            CallerFrom::Estimate(least) => {
                let latest = latest.min(AHEAD_SAMPLES);
                *least = Some(least.map_or(latest, |least| least.min(latest)));
                0
            }
        };
        self.caller.write(at.saturating_add(from), audio);
    }

    /// Audio of the agent that the caller hears from `at` on.
    pub(crate) fn agent(&mut self, at: Moment, audio: &[u8]) {
        self.agent.write(samples(at.saturating_sub(self.started)), audio);
    }

    /// What was to be heard from `now` on is not.
    pub(crate) fn cut_agent(&mut self, now: Moment) {
        self.agent.truncate(samples(now.saturating_sub(self.started)));
    }

    /// Hands out the parts that are whole.
    pub(crate) fn advance(&mut self, now: Moment, out: &mut Vec<Action>) {
        while self.has_next() && now >= self.part_ends() {
            if now < self.part_ends() + CALLER_LATE && self.caller_end() < self.next_end() {
                break;
            }
            self.hand_out(self.part_samples, out);
        }
    }

    /// Hands out what is left.
    pub(crate) fn finish(&mut self, now: Moment, out: &mut Vec<Action>) {
        self.cut_agent(now);
        loop {
            let left = self.caller_end().max(self.agent.end()).saturating_sub(self.agent.from);
            if left == 0 {
                break;
            }
            self.hand_out(left.min(self.part_samples), out);
        }
    }

    /// When to call [`advance`](Self::advance) even if no audio comes.
    pub(crate) fn next_wake(&self) -> Option<Moment> {
        self.has_next().then(|| self.part_ends() + CALLER_LATE)
    }

    fn has_next(&self) -> bool {
        self.started + duration(self.agent.from) < self.until
    }

    fn next_end(&self) -> u64 {
        self.agent.from + self.part_samples
    }

    fn part_ends(&self) -> Moment {
        self.started + duration(self.next_end())
    }

    fn caller_end(&self) -> u64 {
        match self.caller_from {
            CallerFrom::Settled(_) => self.caller.end(),
            CallerFrom::Estimate(None) => 0,
            CallerFrom::Estimate(Some(from)) => self.caller.end() + from,
        }
    }

    fn hand_out(&mut self, len: u64, out: &mut Vec<Action>) {
        if let CallerFrom::Estimate(Some(from)) = self.caller_from {
            self.caller.delay(from);
            self.caller_from = CallerFrom::Settled(from);
        }
        let offset_samples = self.agent.from;
        out.push(Action::RecordingPart {
            index: self.parts,
            offset_samples,
            caller: self.caller.take(len),
            agent: self.agent.take(len),
        });
        self.parts += 1;
    }
}

/// One side. Where nothing was written is silence.
#[derive(Default)]
struct Track {
    /// Position of the first sample held.
    from: u64,
    audio: Vec<u8>,
}

impl Track {
    fn end(&self) -> u64 {
        self.from + self.audio.len() as u64
    }

    fn write(&mut self, at: u64, audio: &[u8]) {
        let gone = self.from.saturating_sub(at);
        let Some(audio) = usize::try_from(gone).ok().and_then(|gone| audio.get(gone..)) else {
            return;
        };
        let start = at.max(self.from) - self.from;
        if start.saturating_add(audio.len() as u64) > AHEAD_SAMPLES {
            return;
        }
        let start = start as usize;
        if self.audio.len() < start {
            self.audio.resize(start, SILENCE);
        }
        let (over, new) = audio.split_at(audio.len().min(self.audio.len() - start));
        self.audio[start..start + over.len()].copy_from_slice(over);
        self.audio.extend_from_slice(new);
    }

    fn truncate(&mut self, at: u64) {
        let keep = at.saturating_sub(self.from).min(self.audio.len() as u64);
        self.audio.truncate(keep as usize);
    }

    fn delay(&mut self, by: u64) {
        self.audio.splice(0..0, std::iter::repeat_n(SILENCE, by as usize));
    }

    fn take(&mut self, len: u64) -> Vec<u8> {
        self.from += len;
        let len = len as usize;
        if self.audio.len() < len {
            self.audio.resize(len, SILENCE);
        }
        let rest = self.audio.split_off(len);
        std::mem::replace(&mut self.audio, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Moment {
        Duration::from_millis(ms)
    }

    fn sides(out: &[Action]) -> (Vec<u8>, Vec<u8>) {
        let mut sides = (Vec::new(), Vec::new());
        for action in out {
            let Action::RecordingPart { offset_samples, caller, agent, .. } = action else {
                continue;
            };
            assert_eq!(*offset_samples, sides.0.len() as u64, "parts tile the call");
            assert_eq!(caller.len(), agent.len(), "parts hold as much of both");
            sides.0.extend(caller);
            sides.1.extend(agent);
        }
        sides
    }

    #[test]
    fn a_caller_whose_first_frames_were_held_up_stands_where_they_were_spoken() {
        let mut recording = Recording::new(ms(500), ms(60_000), ms(1_000));
        let mut out = Vec::new();
        // Spoken from 100 ms on; the first frame takes 60 ms longer than the others.
        recording.caller(0, &[1; 160], ms(500 + 180));
        for n in 1..20 {
            recording.caller(n * 160, &[1; 160], ms(500 + 120 + n * 20).max(ms(680)));
        }
        recording.agent(ms(700), &[2; 160]);
        recording.finish(ms(1_500), &mut out);
        let (caller, agent) = sides(&out);
        assert_eq!(caller.iter().position(|code| *code == 1), Some(800));
        assert_eq!(agent.iter().position(|code| *code == 2), Some(1_600));
    }

    #[test]
    fn what_was_cleared_is_not_on_the_recording() {
        let mut recording = Recording::new(ms(0), ms(60_000), ms(1_000));
        let mut out = Vec::new();
        recording.agent(ms(0), &[2; 1_600]);
        recording.cut_agent(ms(50));
        recording.agent(ms(100), &[3; 160]);
        recording.finish(ms(200), &mut out);
        let (_, agent) = sides(&out);
        assert_eq!(agent[..400], [2; 400]);
        assert_eq!(agent[400..800], [SILENCE; 400]);
        assert_eq!(agent[800..], [3; 160]);
    }

    #[test]
    fn a_caller_who_falls_silent_does_not_hold_up_the_parts() {
        let mut recording = Recording::new(ms(0), ms(60_000), ms(1_000));
        let mut out = Vec::new();
        recording.caller(0, &[1; 160], ms(20));
        recording.advance(ms(2_900), &mut out);
        assert!(out.is_empty(), "late audio may still come");
        recording.advance(ms(3_000), &mut out);
        assert_eq!(sides(&out).0.len(), 8_000);
    }

    #[test]
    fn a_caller_who_is_first_heard_late_stands_where_he_spoke() {
        let mut recording = Recording::new(ms(0), ms(60_000), ms(1_000));
        let mut out = Vec::new();
        recording.advance(ms(3_500), &mut out);
        recording.caller(0, &[1; 160], ms(3_520));
        recording.finish(ms(3_520), &mut out);
        let (caller, _) = sides(&out);
        assert_eq!(caller.iter().position(|code| *code == 1), Some(28_000));
    }

    #[test]
    fn audio_of_a_part_already_handed_out_is_let_go() {
        let mut track = Track::default();
        track.write(0, &[1; 10]);
        track.take(5);
        track.write(0, &[2; 8]);
        assert_eq!(track.audio, [2, 2, 2, 1, 1]);
        track.write(0, &[3; 2]);
        assert_eq!(track.audio, [2, 2, 2, 1, 1]);
    }
}
