//! What the agent says: in order, paced, and known to be heard.
//!
//! Positions count the samples sent to the caller since the stream started. What the caller has heard is the position
//! of the last mark that came back plus the time since, capped by what was sent (DESIGN 3.5). A mark that was still out
//! at a `clear` is forgotten with it, so that its return extends nothing.

mod line;
mod reply;
mod sentence;
mod words;

use std::{collections::VecDeque, time::Duration};

use crate::{
    Action, Heard, Moment, Prompt, PromptKind, media_clock::samples, recording::Recording,
};
use line::Line;
use reply::Begun;
pub(crate) use reply::{Piece, Progress, Reply};
use sentence::Sentence;

/// 20 ms: audio goes out in whole ones of these, so many at a time as there is room for. At the beginning of a sentence
/// that is all that may be ahead, in one message: there is none that the second could be late for.
const FRAME_SAMPLES: usize = 160;

/// In the middle of a sentence audio goes out as soon as there is room for so much of what may be ahead: a message costs
/// the same whatever is in it, and what it plays after is still there by far.
const TOGETHER_SHARE: u32 = 10;

/// A long sentence carries a mark this often, so that it is known how far into it the caller has heard.
const MARK_EVERY_SAMPLES: usize = 8_000;

/// The first mark in a sentence comes sooner, so that it is soon known when the caller began to hear it; after whole
/// frames, so that it returns no later for the rest of one.
const FIRST_MARK_SAMPLES: usize = 1_600;

/// Quiet between two sentences of a reply up to this long is part of the agent's speech.
const BREATH: Duration = Duration::from_millis(500);

/// How long after its time a mark is waited for, before what it marks counts as heard.
const MARK_LATE: Duration = Duration::from_secs(2);

/// How long after the end of what is there the next part of a sentence is waited for, before it counts as broken off.
/// Longer than a redelivery takes after the death of a voice task (6 s, DESIGN 2).
const PART_LATE: Duration = Duration::from_secs(8);

/// The agent's mouth.
pub(crate) struct Playback {
    send_ahead: Duration,
    line: Line,
    /// Sentences rendered ahead come before those of the reply, but not into the middle of one.
    prompts: VecDeque<(PromptKind, Prompt)>,
    /// The prompt begun last.
    prompt: Option<(PromptKind, Sentence)>,
    reply: Option<Reply>,
    saying: Option<Saying>,
    /// What was said into the reply is not known yet: it does not go on.
    pause: Option<Pause>,
}

/// A reply that was broken off and may be taken up again.
struct Pause {
    /// Whether the caller was being asked something.
    asked: bool,
    /// Whether only its last word was left to say.
    was_ending: bool,
}

/// Whose sentence is on its way out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Saying {
    Prompt,
    Reply,
}

impl Playback {
    pub(crate) fn new(send_ahead: Duration) -> Self {
        Self {
            // One frame out and one to come: with less, nothing could ever be sent.
            send_ahead: send_ahead.max(Duration::from_millis(40)),
            line: Line::default(),
            prompts: VecDeque::new(),
            prompt: None,
            reply: None,
            saying: None,
            pause: None,
        }
    }

    /// From now on the reply to `turn` is what may be spoken.
    pub(crate) fn expect_reply(&mut self, turn: u32) {
        self.reply = Some(Reply::new(turn));
        self.pause = None;
    }

    /// From now on the rest of the reply to `turn` may be spoken, of which `sentences` were heard elsewhere: `text`.
    pub(crate) fn expect_rest(&mut self, turn: u32, sentences: u32, text: String) {
        self.reply = Some(Reply::after(turn, sentences, text));
    }

    /// Falls silent in the middle of the reply, which can be taken up again where it was.
    pub(crate) fn pause(&mut self, now: Moment, recording: &mut Recording, out: &mut Vec<Action>) {
        let heard = self.line.heard(now);
        if let Some(reply) = &mut self.reply {
            let (asked, was_ending) = (reply.asks(heard), reply.is_ending(heard));
            self.pause = Some(Pause { asked, was_ending });
            reply.go_back(heard);
        }
        self.clear(now, recording, out);
    }

    /// Takes the reply up again.
    pub(crate) fn resume(&mut self) {
        self.pause = None;
    }

    /// Whether the reply waits for what was said into it.
    pub(crate) fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// Whether the reply waits, and the caller was being asked something.
    pub(crate) fn was_asking(&self) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.asked)
    }

    /// Whether the reply waits, and only its last word was left to say.
    pub(crate) fn was_ending(&self) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.was_ending)
    }

    /// Whether something is on its way out, or is to be said next.
    pub(crate) fn is_saying(&self) -> bool {
        self.saying.is_some() || !self.prompts.is_empty() || self.is_paused()
    }

    /// When all that was sent has been played, by the clock.
    pub(crate) fn plays_out(&self) -> Moment {
        self.line.plays_out()
    }

    /// The reply that may be spoken, or is.
    pub(crate) fn reply(&mut self) -> Option<&mut Reply> {
        self.reply.as_mut()
    }

    /// Speaks a prompt after the sentence that is being spoken.
    pub(crate) fn say(&mut self, kind: PromptKind, prompt: Prompt) {
        self.prompts.push_back((kind, prompt));
    }

    /// Whether a reply is due of which nothing has been spoken.
    pub(crate) fn awaits_reply(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.has_begun())
    }

    /// Whether a reply is due that can begin.
    pub(crate) fn has_reply(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.has_begun() && reply.can_sound())
    }

    /// Whether the reply has begun and the caller has not heard all of it.
    pub(crate) fn is_mid_reply(&self) -> bool {
        self.reply.as_ref().is_some_and(Reply::has_begun)
    }

    /// Whether the caller hears the agent speak.
    pub(crate) fn is_speaking(&self, now: Moment) -> bool {
        self.saying.is_some()
            || !self.prompts.is_empty()
            || now < self.line.plays_out()
            || (self.is_mid_reply() && now < self.line.plays_out() + BREATH)
    }

    /// The prompt begun last.
    pub(crate) fn prompt(&self) -> Option<PromptKind> {
        self.prompt.as_ref().map(|(kind, _)| *kind)
    }

    /// Whether all that was to be said has been said and, by its marks, been heard.
    pub(crate) fn is_done(&self) -> bool {
        self.saying.is_none() && self.prompts.is_empty() && self.line.is_heard()
    }

    /// Sends what is due. A reply that has not begun waits while `hold`. Gives the turn whose reply began.
    pub(crate) fn advance(
        &mut self,
        hold: bool,
        prompts_in: u32,
        now: Moment,
        recording: &mut Recording,
        out: &mut Vec<Action>,
    ) -> Option<u32> {
        let mut began = None;
        loop {
            let room = self.line.room(self.send_ahead, now) / FRAME_SAMPLES * FRAME_SAMPLES;
            let is_mid_sentence = self.current().is_some_and(|sentence| sentence.since_begun() > 0);
            if room == 0 || (is_mid_sentence && room < self.together()) {
                break;
            }
            if self.saying.is_none() {
                self.saying = self.begin_next(hold, prompts_in, &mut began, out);
            }
            let Some(sentence) = self.current() else {
                break;
            };
            let to_mark = match sentence.since_begun() {
                sent if sent < FIRST_MARK_SAMPLES => FIRST_MARK_SAMPLES - sent,
                sent => MARK_EVERY_SAMPLES - sent % MARK_EVERY_SAMPLES,
            };
            let rest = sentence.rest();
            let frame = rest[..rest.len().min(room).min(to_mark)].to_vec();
            sentence.send(frame.len());
            if sentence.is_stuck() && frame.is_empty() {
                if now < self.line.plays_out() + PART_LATE {
                    break;
                }
                // Not `sentence`, which the look at the line has let go.
                self.current().map(Sentence::break_off);
                continue;
            }
            let over = sentence.is_sent();
            let ends = over && sentence.since_begun() > 0;
            let marked = frame.len() == to_mark;
            if !frame.is_empty() {
                let begins = self.line.plays_out() < now || self.line.sent() == 0;
                recording.agent(self.line.send(frame.len(), now), &frame, begins);
                out.push(Action::SendAudio(frame));
            }
            if over {
                self.saying = None;
            }
            if ends || marked {
                out.push(Action::SendMark(self.line.mark()));
            }
        }
        began
    }

    /// How many samples go out in one message, where no more are due.
    fn together(&self) -> usize {
        samples(self.send_ahead / TOGETHER_SHARE) as usize / FRAME_SAMPLES * FRAME_SAMPLES
    }

    /// Begins what is to be said next: prompts before sentences of the reply.
    fn begin_next(
        &mut self,
        hold: bool,
        prompts_in: u32,
        began: &mut Option<u32>,
        out: &mut Vec<Action>,
    ) -> Option<Saying> {
        let at = self.line.sent();
        if let Some((prompt, Prompt { text, audio })) = self.prompts.pop_front() {
            out.push(Action::PromptStarted { prompt, turn: prompts_in, text: text.clone() });
            let mut sentence = Sentence::whole(text, audio);
            sentence.begin(at);
            self.prompt = Some((prompt, sentence));
            return Some(Saying::Prompt);
        }
        let paused = self.pause.is_some();
        let ready = |reply: &&mut Reply| !paused && (!hold || reply.has_begun());
        let reply = self.reply.as_mut().filter(ready)?;
        let was_begun = reply.has_begun();
        let begun = reply.begin_next(at)?;
        let turn = reply.turn();
        let text = (begun == Begun::Anew)
            .then(|| reply.current().map(|sentence| sentence.text().to_owned()))
            .flatten();
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            out.push(Action::SentenceStarted { turn, text });
        }
        if reply.has_begun() && !was_begun {
            *began = Some(turn);
        }
        Some(Saying::Reply)
    }

    /// The sentence on its way out.
    fn current(&mut self) -> Option<&mut Sentence> {
        match self.saying? {
            Saying::Prompt => self.prompt.as_mut().map(|(_, sentence)| sentence),
            Saying::Reply => self.reply.as_mut().and_then(Reply::current),
        }
    }

    /// Takes in a mark that came back. Tells how far the reply is known to be heard, if that is further than before.
    pub(crate) fn mark_returned(
        &mut self,
        name: &str,
        now: Moment,
        recording: &mut Recording,
    ) -> Option<Progress> {
        let (at, played) = self.line.mark_returned(name, now)?;
        recording.agent_heard(played, now);
        self.reply.as_mut()?.progress(at)
    }

    /// Whether an announcement has been heard to its end, when a mark has come back. Told once.
    pub(crate) fn has_announced(&mut self, now: Moment) -> bool {
        let heard = self.line.heard(now);
        let announced = |(kind, sentence): &mut (PromptKind, Sentence)| {
            *kind == PromptKind::Announcement && sentence.heard(heard).1
        };
        self.prompt.take_if(announced).is_some()
    }

    /// What was heard of the reply if it is whole and has been heard to its end.
    pub(crate) fn conclude_reply(&mut self, now: Moment) -> Option<Heard> {
        let whole = self.reply.as_ref().is_some_and(Reply::is_whole);
        let heard = self.line.is_heard() || now >= self.line.plays_out() + MARK_LATE;
        (whole && self.saying.is_none() && heard).then(|| self.drop_reply(now)).flatten()
    }

    /// Gives up the reply without a sound: what it has not sent is not spoken, and what was sent still plays. Tells
    /// what was heard of it until now, if there was one.
    pub(crate) fn drop_reply(&mut self, now: Moment) -> Option<Heard> {
        self.pause = None;
        let reply = self.reply.take()?;
        self.saying.take_if(|saying| *saying == Saying::Reply);
        reply.heard(self.line.heard(now))
    }

    /// Falls silent at once. Clears what was sent and not played, if there is any.
    pub(crate) fn clear(&mut self, now: Moment, recording: &mut Recording, out: &mut Vec<Action>) {
        self.prompts.clear();
        self.prompt.take_if(|(kind, _)| *kind == PromptKind::Announcement);
        self.saying = None;
        if self.line.clear(now) {
            recording.cut_agent(now);
            out.push(Action::SendClear);
        }
    }

    /// When [`advance`](Self::advance) or [`conclude_reply`](Self::conclude_reply) has something to do, if no mark or
    /// sentence comes.
    pub(crate) fn next_wake(&self, hold: bool) -> Option<Moment> {
        let stuck = match self.saying {
            Some(Saying::Reply) => self.reply.as_ref().is_some_and(Reply::is_stuck),
            _ => false,
        };
        if stuck {
            return Some(self.line.plays_out() + PART_LATE);
        }
        let paused = self.pause.is_some();
        let more = self.saying.is_some()
            || !self.prompts.is_empty()
            || (self.reply.as_ref())
                .is_some_and(|reply| !paused && reply.has_next() && (!hold || reply.has_begun()));
        if more {
            // Not for every frame: half of what is sent ahead may play out first. While the caller's own frames come
            // in, they drive the sending before this does.
            let half = self.send_ahead / 2;
            let frame = Duration::from_millis(20);
            return Some(self.line.plays_out().saturating_sub(half.min(self.send_ahead - frame)));
        }
        let whole = self.reply.as_ref().is_some_and(Reply::is_whole);
        whole.then(|| self.line.plays_out() + MARK_LATE)
    }
}

/// Time that `len` samples take.
fn time(len: usize) -> Duration {
    crate::media_clock::duration(len as u64)
}

/// Samples from `from` to `to`.
fn between(from: Moment, to: Moment) -> u64 {
    samples(to.saturating_sub(from))
}

#[cfg(test)]
mod tests;
