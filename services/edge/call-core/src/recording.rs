//! Both sides of the call on one time line, counted in samples since the stream started.

use std::time::Duration;

use crate::{
    Action, Moment,
    g711::{SAMPLE_RATE_HZ, SILENCE},
    media_clock::{duration, samples},
};

/// How long a part waits for audio of the caller that is late.
const CALLER_LATE: Duration = Duration::from_secs(2);

/// How much earlier than the start the caller's first frame may have begun: its own 20 ms, and what the start was held up.
const BEFORE_START_SAMPLES: i64 = SAMPLE_RATE_HZ as i64 / 10;

/// So many marks tell reliably where a stretch of speech stands: one may have been held up.
const SETTLED_BY_MARKS: u32 = 2;

/// What telephony plays at a time: 20 ms.
const FRAME_SAMPLES: u64 = 160;

/// A mark that is later than this has been held up; speech is not held up so long.
const MARK_LATE: Duration = Duration::from_secs(1);

/// How much later than it happened a stretch is kept, so that the caller's audio of it has come.
const BLOCK_LATE: Duration = Duration::from_millis(200);

/// Audio further ahead than this is not kept: nobody speaks in the future.
const AHEAD_SAMPLES: u64 = 60 * SAMPLE_RATE_HZ as u64;

/// Collects what was said and what was heard, and hands it out in parts.
///
/// The agent's side is placed where the caller hears it: a stretch of speech by the clock, and, once its first mark has
/// come back, as much later as that was late; less if a later one is less late, for marks are held up at times. The mark travels as the caller's audio does, so the two sides stand to each
/// other as they did at the caller's ear, however long the way. The caller's side counts its own samples; where
/// it begins on the common line is known best after some frames: by the one that came with the least delay. It is
/// settled when the first part goes out that has audio of the caller.
pub(crate) struct Recording {
    started: Moment,
    /// No part begins later, however far the clock jumps.
    until: Moment,
    part_samples: u64,
    /// Nothing where only whole parts are kept.
    block_samples: u64,
    parts: u32,
    /// The blocks of the next part are kept up to here; as they are now up to `kept_to`.
    blocks_to: u64,
    kept_to: u64,
    caller: Track,
    agent: Track,
    caller_from: CallerFrom,
    stretch: Stretch,
    /// How late the last stretch was heard, samples.
    late: u64,
    /// What a mark has told to be heard, by the clock.
    heard_to: u64,
}

/// What the agent says without falling silent.
#[derive(Default)]
struct Stretch {
    /// Where the clock has it begin.
    begins: u64,
    /// Where it stands on the track.
    at: u64,
    /// Silence put before it, which can be taken away again.
    moved: u64,
    /// No mark has told yet where it is to stand.
    unplaced: bool,
    /// Marks that have told.
    marks: u32,
}

enum CallerFrom {
    /// The least of arrival less length so far, in samples. Below zero where the caller spoke before the start was told;
    /// that little is not kept.
    Estimate(Option<i64>),
    Settled(i64),
}

impl Recording {
    /// A recording of a call that lasts from `started` to `until` at most, in parts of the length `part`; of the one that
    /// is not whole yet a block is handed out every `block`.
    pub(crate) fn new(started: Moment, until: Moment, part: Duration, block: Duration) -> Self {
        Self {
            started,
            until,
            part_samples: samples(part).max(u64::from(SAMPLE_RATE_HZ)),
            block_samples: samples(block),
            parts: 0,
            blocks_to: 0,
            kept_to: 0,
            caller: Track::default(),
            agent: Track::default(),
            caller_from: CallerFrom::Estimate(None),
            stretch: Stretch::default(),
            late: 0,
            heard_to: 0,
        }
    }

    /// The caller's audio, `at` samples after the caller's first, come at `now`.
    pub(crate) fn caller(&mut self, at: u64, audio: &[u8], now: Moment) {
        let arrival = samples(now.saturating_sub(self.started)).min(i64::MAX as u64) as i64;
        let spoken = (at + audio.len() as u64).min(i64::MAX as u64) as i64;
        let latest = (arrival - spoken).max(-BEFORE_START_SAMPLES);
        let from = match &mut self.caller_from {
            CallerFrom::Settled(from) => *from,
            CallerFrom::Estimate(_) if self.parts > 0 => {
                self.caller_from = CallerFrom::Settled(latest);
                latest
            }
            CallerFrom::Estimate(least) => {
                let latest = latest.min(AHEAD_SAMPLES as i64);
                if least.is_none_or(|least| latest < least) {
                    *least = Some(latest);
                    self.kept_to = 0;
                }
                0
            }
        };
        let before = (from.saturating_neg().max(0) as u64).saturating_sub(at);
        if let Some(audio) = audio.get(before as usize..) {
            let at = (at + before).saturating_add_signed(from);
            self.caller.write(at, audio);
            self.changed_from(at.saturating_add_signed(self.caller_shift()));
        }
    }

    /// Audio of the agent that plays from `at` on by the clock. It `begins` to speak, or goes on.
    pub(crate) fn agent(&mut self, at: Moment, audio: &[u8], begins: bool) {
        let at = self.position(at);
        if begins {
            self.place(self.late);
            let (begins, at) = (at, at.max(self.agent.end()));
            self.stretch = Stretch { begins, at, moved: 0, unplaced: true, marks: 0 };
        }
        let at = at.saturating_add(self.stretch.shift());
        self.agent.write(at, audio);
        self.changed_from(at);
    }

    /// A mark came back at `now` whose audio had played at `played` by the clock.
    pub(crate) fn agent_heard(&mut self, played: Moment, now: Moment) {
        let Some(into @ 1..) = self.position(played).checked_sub(self.stretch.begins) else {
            return;
        };
        self.heard_to = self.position(played);
        self.stretch.marks += 1;
        // What ends within a frame has been played when the frame has.
        let due = self
            .stretch
            .begins
            .saturating_add(into.div_ceil(FRAME_SAMPLES).saturating_mul(FRAME_SAMPLES));
        let late = self.by_caller(now).saturating_sub(due).min(samples(MARK_LATE));
        if self.stretch.unplaced {
            return self.place(late);
        }
        let back = self.late.saturating_sub(late).min(self.stretch.moved);
        let moved_back = self.stretch.at - back;
        if back > 0 && moved_back >= self.agent.from {
            self.agent.remove(moved_back, back);
            self.changed_from(moved_back);
            self.stretch.at = moved_back;
            self.stretch.moved -= back;
            self.late = late;
        }
    }

    /// What was to be heard from `now` on is not, unless a mark has told that it was.
    pub(crate) fn cut_agent(&mut self, now: Moment) {
        self.place(self.late);
        let heard = self.position(now).max(self.heard_to).saturating_add(self.stretch.shift());
        self.agent.truncate(heard);
        self.changed_from(heard);
    }

    /// Settles where the stretch stands, unless it is settled: so much later than the clock says.
    fn place(&mut self, late: u64) {
        if std::mem::take(&mut self.stretch.unplaced) {
            let by = self.stretch.moves_by(late);
            self.agent.insert(self.stretch.at, by);
            self.changed_from(self.stretch.at);
            self.stretch.at = self.stretch.at.saturating_add(by);
            self.stretch.moved = by;
            self.late = late;
        }
    }

    /// What was kept is no longer so from `at` on.
    fn changed_from(&mut self, at: u64) {
        self.kept_to = self.kept_to.min(at);
    }

    /// Where `now` is, by the caller's audio where that flows: it comes in one row with the marks, and what holds up the
    /// one holds up the other.
    fn by_caller(&self, now: Moment) -> u64 {
        let by_clock = self.position(now);
        let by_caller = self.caller_end().saturating_add(FRAME_SAMPLES);
        let flows = by_clock.abs_diff(by_caller) < samples(MARK_LATE);
        if flows { by_caller } else { by_clock }
    }

    fn position(&self, at: Moment) -> u64 {
        samples(at.saturating_sub(self.started))
    }

    /// Hands out the parts that are whole.
    pub(crate) fn advance(&mut self, now: Moment, out: &mut Vec<Action>) {
        while self.has_next() && now >= self.part_ends() {
            let begun = self.stretch.at < self.next_end() && self.agent.end() > self.agent.from;
            let unsettled = begun && self.stretch.marks < SETTLED_BY_MARKS;
            let incomplete = unsettled || self.caller_end() < self.next_end();
            if incomplete && now < self.part_ends() + CALLER_LATE {
                break;
            }
            if begun {
                self.place(self.late);
            }
            self.hand_out(self.part_samples, out);
        }
        self.hand_out_blocks(now, out);
    }

    /// Hands out the blocks of the part that is not whole yet which have come about, and those that have changed since.
    fn hand_out_blocks(&mut self, now: Moment, out: &mut Vec<Action>) {
        let begins = self.agent.from;
        let settled = self.position(now.saturating_sub(BLOCK_LATE));
        let block =
            |at: u64| at.saturating_sub(begins).checked_div(self.block_samples).unwrap_or(0);
        let (first, end) = (block(self.kept_to), block(settled));
        let to = begins + end * self.block_samples;
        if to <= self.blocks_to || !self.has_next() {
            return;
        }
        for block in first..end {
            let offset_samples = begins + block * self.block_samples;
            out.push(Action::RecordingBlock {
                part: self.parts,
                block: u32::try_from(block).unwrap_or(u32::MAX),
                offset_samples,
                caller: self.caller_side(offset_samples, self.block_samples),
                agent: self.agent_side(offset_samples, self.block_samples),
            });
        }
        (self.blocks_to, self.kept_to) = (to, to);
    }

    fn caller_side(&self, at: u64, len: u64) -> Vec<u8> {
        let shift = self.caller_shift();
        let before = (shift.max(0) as u64).saturating_sub(at).min(len);
        let mut side = vec![SILENCE; before as usize];
        self.caller.copy((at + before).saturating_add_signed(-shift), len - before, &mut side);
        side
    }

    /// As it stands by what is known: a stretch that is not placed yet as late as the one before.
    fn agent_side(&self, at: u64, len: u64) -> Vec<u8> {
        let moves_by = if self.stretch.unplaced { self.stretch.moves_by(self.late) } else { 0 };
        let end = at + len;
        let begins = self.stretch.at.clamp(at, end);
        let moved = self.stretch.at.saturating_add(moves_by).clamp(at, end);
        let mut side = Vec::new();
        self.agent.copy(at, begins - at, &mut side);
        side.resize((moved - at) as usize, SILENCE);
        self.agent.copy(moved.saturating_sub(moves_by), end - moved, &mut side);
        side
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
        self.caller.end().saturating_add_signed(self.caller_shift())
    }

    /// How much later than on its track the caller's side stands.
    fn caller_shift(&self) -> i64 {
        match self.caller_from {
            CallerFrom::Estimate(Some(from)) => from,
            CallerFrom::Estimate(None) | CallerFrom::Settled(_) => 0,
        }
    }

    fn hand_out(&mut self, len: u64, out: &mut Vec<Action>) {
        if let CallerFrom::Estimate(Some(from)) = self.caller_from {
            match u64::try_from(from) {
                Ok(from) => self.caller.insert(0, from),
                Err(_) => self.caller.remove(0, from.unsigned_abs()),
            }
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
        (self.blocks_to, self.kept_to) = (self.agent.from, self.agent.from);
    }
}

impl Stretch {
    /// How much later it is to stand for being heard so `late`.
    fn moves_by(&self, late: u64) -> u64 {
        self.begins.saturating_add(late).saturating_sub(self.at)
    }

    fn shift(&self) -> u64 {
        self.at - self.begins
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

    /// Appends what stands from `at` on; where nothing does, silence.
    fn copy(&self, at: u64, len: u64, to: &mut Vec<u8>) {
        let before = self.from.saturating_sub(at).min(len);
        to.resize(to.len() + before as usize, SILENCE);
        let held = usize::try_from((at + before).saturating_sub(self.from)).unwrap_or(usize::MAX);
        let held = self.audio.get(held..).unwrap_or_default();
        let held = &held[..held.len().min((len - before) as usize)];
        to.extend(held);
        to.resize(to.len() + (len - before) as usize - held.len(), SILENCE);
    }

    fn truncate(&mut self, at: u64) {
        let keep = at.saturating_sub(self.from).min(self.audio.len() as u64);
        self.audio.truncate(keep as usize);
    }

    /// Moves what stands from `at` on by so much.
    fn insert(&mut self, at: u64, by: u64) {
        let at = at.saturating_sub(self.from).min(self.audio.len() as u64) as usize;
        let by = by.min(AHEAD_SAMPLES) as usize;
        self.audio.splice(at..at, std::iter::repeat_n(SILENCE, by));
    }

    fn remove(&mut self, at: u64, len: u64) {
        let at = at.saturating_sub(self.from).min(self.audio.len() as u64) as usize;
        let len = (len as usize).min(self.audio.len() - at);
        self.audio.drain(at..at + len);
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
        let mut recording = Recording::new(ms(500), ms(60_000), ms(1_000), Duration::ZERO);
        let mut out = Vec::new();
        // Spoken from 100 ms on; the first frame takes 60 ms longer than the others.
        recording.caller(0, &[1; 160], ms(500 + 180));
        for n in 1..20 {
            recording.caller(n * 160, &[1; 160], ms(500 + 120 + n * 20).max(ms(680)));
        }
        recording.agent(ms(700), &[2; 160], true);
        recording.finish(ms(1_500), &mut out);
        let (caller, agent) = sides(&out);
        assert_eq!(caller.iter().position(|code| *code == 1), Some(800));
        assert_eq!(agent.iter().position(|code| *code == 2), Some(1_600));
    }

    #[test]
    fn what_was_spoken_before_the_start_moves_nothing() {
        let mut recording = Recording::new(ms(0), ms(60_000), ms(1_000), Duration::ZERO);
        let mut out = Vec::new();
        for n in 0..20 {
            recording.caller(n * 160, &[n as u8 + 1; 160], ms(5 + n * 20));
        }
        recording.finish(ms(1_000), &mut out);
        let (caller, _) = sides(&out);
        assert_eq!(caller.iter().position(|code| *code == 2), Some(40), "spoken from 5 ms on");
    }

    #[test]
    fn what_was_cleared_is_not_on_the_recording() {
        let mut recording = Recording::new(ms(0), ms(60_000), ms(1_000), Duration::ZERO);
        let mut out = Vec::new();
        recording.agent(ms(0), &[2; 1_600], true);
        recording.cut_agent(ms(50));
        recording.agent(ms(100), &[3; 160], true);
        recording.finish(ms(200), &mut out);
        let (_, agent) = sides(&out);
        assert_eq!(agent[..400], [2; 400]);
        assert_eq!(agent[400..800], [SILENCE; 400]);
        assert_eq!(agent[800..], [3; 160]);
    }

    #[test]
    fn speech_stands_where_its_first_mark_says_that_it_was_heard() {
        let mut recording = Recording::new(ms(0), ms(60_000), ms(1_000), Duration::ZERO);
        let mut out = Vec::new();
        recording.agent(ms(900), &[2; 1_600], true);
        recording.caller(0, &[1; 8_000], ms(1_000));
        recording.advance(ms(1_050), &mut out);
        assert!(out.is_empty(), "nobody knows yet where it stands");
        // Held up by 20 ms more than the next; the second itself is 300 ms late, but so is the caller's audio.
        recording.caller(8_000, &[1; 1_440], ms(1_180));
        recording.agent_heard(ms(1_100), ms(1_200));
        recording.agent(ms(1_100), &[3; 800], false);
        recording.caller(9_440, &[1; 320], ms(1_540));
        recording.agent_heard(ms(1_160), ms(1_540));
        recording.caller(9_760, &[1; 2_080], ms(1_540));
        recording.agent_heard(ms(1_200), ms(1_540));
        // Sooner than the stretch before has been heard, by the clock; and cut before a mark came back.
        recording.agent(ms(1_210), &[4; 1_600], true);
        recording.cut_agent(ms(1_310));
        recording.finish(ms(1_600), &mut out);
        let (_, agent) = sides(&out);
        let from = |code| agent.iter().position(|found| *found == code);
        assert_eq!([2, 3, 4].map(from), [980 * 8, 1_180 * 8, 1_290 * 8].map(Some));
        assert_eq!(agent.iter().filter(|code| **code == 4).count(), 800);
    }

    #[test]
    fn a_caller_who_falls_silent_does_not_hold_up_the_parts() {
        let mut recording = Recording::new(ms(0), ms(60_000), ms(1_000), Duration::ZERO);
        let mut out = Vec::new();
        recording.caller(0, &[1; 160], ms(20));
        recording.advance(ms(2_900), &mut out);
        assert!(out.is_empty(), "late audio may still come");
        recording.advance(ms(3_000), &mut out);
        assert_eq!(sides(&out).0.len(), 8_000);
    }

    #[test]
    fn a_caller_who_is_first_heard_late_stands_where_he_spoke() {
        let mut recording = Recording::new(ms(0), ms(60_000), ms(1_000), Duration::ZERO);
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
