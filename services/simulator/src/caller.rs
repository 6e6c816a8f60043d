//! The simulated caller: what a person with a script says, hears and does (DESIGN 8).
//!
//! [`Person`] is free of input and output: one frame heard in, one frame said out, and the frames are its clock. A turn
//! of the agent is a stretch of sound that is followed by quiet; where the agent pauses longer than `quiet_ms` within an
//! answer, the caller takes it for two.

use std::{ops::Range, path::PathBuf};

use domain::g711;
use serde::{Deserialize, Serialize};

use crate::twilio::playback::{FRAME_SAMPLES, Frame, SILENT_FRAME};

pub use crate::twilio::call::{CallHandle, CallReport, place_call};

/// Samples per millisecond.
const SAMPLES_PER_MS: u64 = 8;
/// A frame with no sample above this is quiet.
const QUIET_PEAK: u16 = 256;
/// When the caller has spoken over the agent, so much quiet separates the cut answer from the next, milliseconds.
const CUT_QUIET_MS: u64 = 200;

/// Who calls whom, and what the caller says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallScript {
    /// The caller's number, E.164.
    pub from: String,
    /// The number called, E.164.
    pub to: String,
    /// What the caller says, in order. With nothing to say the caller listens.
    #[serde(default)]
    pub utterances: Vec<Utterance>,
    /// How the caller behaves.
    #[serde(default)]
    pub options: CallOptions,
}

impl CallScript {
    /// A caller who says these texts in the modem voice, each when the agent has finished.
    pub fn new<T: Into<String>>(from: &str, to: &str, texts: impl IntoIterator<Item = T>) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            utterances: texts.into_iter().map(Utterance::text).collect(),
            options: CallOptions::default(),
        }
    }
}

/// How a caller behaves. All may be left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallOptions {
    /// The agent has finished when it has been quiet for so long.
    pub quiet_ms: u64,
    /// A caller who has heard nothing for so long goes on, and after the last utterance hangs up.
    pub patience_ms: u64,
    /// Hang up at this time of the call, whatever goes on.
    pub hang_up_after_ms: Option<u64>,
    /// Never hang up of one's own accord, except by `hang_up_after_ms`.
    pub stays: bool,
    /// Do not hang up before so many turns of the agent were heard (default: one answer to the last utterance).
    pub expect_turns: Option<usize>,
    /// Between utterances the line carries noise of this peak instead of digital silence.
    pub noise_peak: u16,
    /// The media stream carries no audio from the caller at all.
    pub no_media: bool,
    /// Another account than the configured one, for instance one whose signatures are wrong.
    pub account: Option<Account>,
    /// How a party the call is transferred to answers (`completed`, `busy`, `no-answer`, `failed`).
    pub dial_status: DialStatus,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            quiet_ms: 700,
            patience_ms: 15_000,
            hang_up_after_ms: None,
            stays: false,
            expect_turns: None,
            noise_peak: 0,
            no_media: false,
            account: None,
            dial_status: DialStatus::Completed,
        }
    }
}

/// A Twilio account.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// `AC` and 32 hex digits.
    pub sid: String,
    /// What its webhooks are signed with.
    pub auth_token: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("sid", &self.sid).finish_non_exhaustive()
    }
}

/// `DialCallStatus` (PROTOCOLS 1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DialStatus {
    /// Answered, talked, hung up.
    Completed,
    /// Engaged.
    Busy,
    /// Rang out.
    NoAnswer,
    /// Could not be reached.
    Failed,
}

impl DialStatus {
    /// As Twilio writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no-answer",
            Self::Failed => "failed",
        }
    }
}

/// How a cough dies away: milliseconds, and the peak of the noise.
const COUGH: [(usize, u16); 2] = [(60, 20_000), (180, 6_000)];
/// Breath between a cough and the words, milliseconds.
const AFTER_COUGH_MS: usize = 300;

/// A cough and the breath after it: a burst of noise without a pitch. Samples at 8 kHz, the same in every run.
pub fn cough() -> Vec<i16> {
    let mut noise = Noise::default();
    let samples = |ms: usize| ms * SAMPLES_PER_MS as usize;
    let burst = |(ms, peak)| std::iter::repeat_n(peak, samples(ms));
    let mut sound: Vec<i16> = COUGH.into_iter().flat_map(burst).map(|p| noise.next(p)).collect();
    sound.resize(sound.len() + samples(AFTER_COUGH_MS), 0);
    sound
}

/// Noise, the same in every run.
#[derive(Debug)]
struct Noise(u32);

impl Default for Noise {
    fn default() -> Self {
        Self(0x9E37_79B9)
    }
}

impl Noise {
    fn next(&mut self, peak: u16) -> i16 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let sample = i64::from((self.0 >> 8) % (2 * u32::from(peak) + 1)) - i64::from(peak);
        sample.clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }
}

/// One thing the caller says, plays or keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Utterance {
    /// The words. With `wav`, what that file says.
    pub text: String,
    /// A WAV file to play instead of a voice.
    pub wav: Option<PathBuf>,
    /// Keys to press; nothing is said.
    pub digits: Option<String>,
    /// Whose voice.
    pub voice: Voice,
    /// Cough first; where there are no words, only that.
    pub coughs: bool,
    /// A pause when it would be the caller's turn.
    pub pause_before_ms: u64,
    /// Speak into the agent's answer instead of awaiting its end.
    pub barge_in: Option<BargeIn>,
    /// Speak at this time of the call instead.
    pub at_ms: Option<u64>,
}

impl Utterance {
    /// Words in the modem voice, when the agent has finished.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// Speaking over the agent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BargeIn {
    /// So long after the agent began its answer.
    pub after_ms: u64,
}

/// The voices of DESIGN 8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Voice {
    /// Carries text with checksums.
    #[default]
    Modem,
    /// Carries words that people understand.
    Espeak,
}

/// What the person does in one frame.
#[derive(Debug, Default, PartialEq)]
pub struct Act {
    /// An utterance begins with this frame.
    pub began: Option<usize>,
    /// An utterance ended with the frame before.
    pub ended: Option<usize>,
    /// Keys are pressed.
    pub digits: Option<String>,
    /// The agent's turn is over: its samples.
    pub heard: Option<Range<u64>>,
    /// The person hangs up.
    pub hangs_up: bool,
}

/// A caller in a call.
#[derive(Debug)]
pub struct Person {
    utterances: Vec<Utterance>,
    /// The audio of each utterance, mu-law.
    audio: Vec<Vec<u8>>,
    options: CallOptions,
    /// The frame's first sample, from the start of the call.
    now: u64,
    next: usize,
    speaking: Option<Speaking>,
    /// When the last utterance began, and when it ended.
    spoke: Option<Range<u64>>,
    /// The agent's turn that is being heard.
    hearing: Option<Range<u64>>,
    /// When the answer to the last utterance (or the greeting) was known to be over.
    answered: Option<u64>,
    /// Turns heard so far.
    turns: usize,
    noise: Noise,
}

#[derive(Debug)]
struct Speaking {
    index: usize,
    at: usize,
}

impl Person {
    /// A caller with a script, and the audio of each utterance.
    pub fn new(utterances: Vec<Utterance>, audio: Vec<Vec<u8>>, options: CallOptions) -> Self {
        Self {
            utterances,
            audio,
            options,
            now: 0,
            next: 0,
            speaking: None,
            spoke: None,
            hearing: None,
            answered: None,
            turns: 0,
            noise: Noise::default(),
        }
    }

    /// One frame: what is heard in it, what is said in it, and what else is done.
    pub fn frame(&mut self, heard: &Frame) -> (Frame, Act) {
        let mut act = Act { heard: self.hear(heard), ..Act::default() };
        if self.speaking.is_none() && self.is_due() {
            self.begin(&mut act);
        }
        act.hangs_up = self.is_done();
        let said = self.say(&mut act);
        self.now += FRAME_SAMPLES as u64;
        (said, act)
    }

    /// Has something more to say, after all the rest.
    pub fn add(&mut self, utterance: Utterance, audio: Vec<u8>) {
        self.utterances.push(utterance);
        self.audio.push(audio);
    }

    /// The agent's turn that is still open when the call ends.
    pub fn still_hearing(&self) -> Option<Range<u64>> {
        self.hearing.clone()
    }

    /// The words of an utterance.
    pub fn words(&self, index: usize) -> &str {
        self.utterances.get(index).map_or("", |utterance| &utterance.text)
    }

    /// The voice of an utterance.
    pub fn voice(&self, index: usize) -> Voice {
        self.utterances.get(index).map(|utterance| utterance.voice).unwrap_or_default()
    }

    /// When the last utterance ended, milliseconds of the call.
    pub fn spoke_until_ms(&self) -> Option<u64> {
        self.spoke.as_ref().map(|spoke| spoke.end / SAMPLES_PER_MS)
    }

    fn hear(&mut self, heard: &Frame) -> Option<Range<u64>> {
        let frame = self.now..self.now + FRAME_SAMPLES as u64;
        let sounds = heard.iter().any(|code| g711::decode(*code).unsigned_abs() > QUIET_PEAK);
        let Some(turn) = &mut self.hearing else {
            if sounds {
                self.hearing = Some(frame);
            }
            return None;
        };
        let quiet_ms = (self.now - turn.end) / SAMPLES_PER_MS;
        let spoken_over = self.spoke.as_ref().is_some_and(|spoke| spoke.start > turn.start);
        if sounds && !(spoken_over && quiet_ms >= CUT_QUIET_MS) {
            turn.end = frame.end;
            return None;
        }
        if !sounds && quiet_ms < self.options.quiet_ms {
            return None;
        }
        let over = std::mem::replace(&mut self.hearing, sounds.then_some(frame))?;
        self.turns += 1;
        // What the caller spoke over is no answer to what it said.
        if !spoken_over {
            self.answered = Some(self.now);
        }
        Some(over)
    }

    fn is_due(&self) -> bool {
        let Some(utterance) = self.utterances.get(self.next) else { return false };
        let samples = |ms: u64| ms * SAMPLES_PER_MS;
        if let Some(at_ms) = utterance.at_ms {
            return self.now >= samples(at_ms);
        }
        let since = self.waiting_since();
        let began = self.hearing.as_ref().filter(|turn| turn.start >= since);
        match (utterance.barge_in, began, self.answered) {
            (Some(barge_in), Some(turn), _) => self.now >= turn.start + samples(barge_in.after_ms),
            // Who takes a pause does not speak into what the agent says meanwhile.
            (None, None, Some(answered)) => {
                self.now >= answered + samples(utterance.pause_before_ms)
            }
            (_, Some(_), _) => false,
            (_, None, _) => self.is_out_of_patience(),
        }
    }

    fn waiting_since(&self) -> u64 {
        self.spoke.as_ref().map_or(0, |spoke| spoke.end)
    }

    fn is_out_of_patience(&self) -> bool {
        let since = self.hearing.as_ref().map_or(self.waiting_since(), |turn| turn.end);
        let since = since.max(self.answered.unwrap_or(0)).max(self.waiting_since());
        self.now >= since + self.options.patience_ms * SAMPLES_PER_MS
    }

    fn is_done(&self) -> bool {
        if self.options.hang_up_after_ms.is_some_and(|ms| self.now >= ms * SAMPLES_PER_MS) {
            return true;
        }
        if self.options.stays || self.speaking.is_some() || self.next < self.utterances.len() {
            return false;
        }
        let enough = self.options.expect_turns.is_none_or(|turns| self.turns >= turns);
        (self.answered.is_some() && enough) || self.is_out_of_patience()
    }

    fn begin(&mut self, act: &mut Act) {
        let index = self.next;
        self.next += 1;
        self.answered = None;
        self.spoke = Some(self.now..self.now);
        if let Some(digits) = &self.utterances[index].digits {
            act.digits = Some(digits.clone());
        } else {
            act.began = Some(index);
            self.speaking = Some(Speaking { index, at: 0 });
        }
    }

    fn say(&mut self, act: &mut Act) -> Frame {
        let mut frame = self.background();
        let Some(speaking) = &mut self.speaking else { return frame };
        let rest = self.audio.get(speaking.index).map_or(&[][..], |audio| &audio[speaking.at..]);
        let said = rest.len().min(FRAME_SAMPLES);
        frame[..said].copy_from_slice(&rest[..said]);
        speaking.at += said;
        if let Some(spoke) = &mut self.spoke {
            spoke.end = self.now + said as u64;
        }
        if said < FRAME_SAMPLES || rest.len() == said {
            act.ended = Some(speaking.index);
            self.speaking = None;
        }
        frame
    }

    /// Silence or noise, the same in every run.
    fn background(&mut self) -> Frame {
        if self.options.noise_peak == 0 {
            return SILENT_FRAME;
        }
        std::array::from_fn(|_| g711::encode(self.noise.next(self.options.noise_peak)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Frame = [0x20; FRAME_SAMPLES];

    /// A caller with utterances of 400 ms.
    fn person(options: CallOptions, utterances: Vec<Utterance>) -> Person {
        let audio = vec![vec![0x30; 3200]; utterances.len()];
        Person::new(utterances, audio, options)
    }

    /// Plays `(sound, milliseconds)` to the person; what was done, with the time of each.
    fn hears(person: &mut Person, line: &[(bool, u64)]) -> Vec<(u64, Act)> {
        let mut done = Vec::new();
        for (sound, ms) in line {
            for _ in 0..ms / 20 {
                let at_ms = person.now / SAMPLES_PER_MS;
                let (_, act) = person.frame(if *sound { &SOUND } else { &SILENT_FRAME });
                if act != Act::default() {
                    done.push((at_ms, act));
                }
            }
        }
        done
    }

    fn times(done: &[(u64, Act)], what: impl Fn(&Act) -> bool) -> Vec<u64> {
        done.iter().filter(|(_, act)| what(act)).map(|(at_ms, _)| *at_ms).collect()
    }

    #[test]
    fn speaks_when_the_agent_has_been_quiet_and_not_in_a_short_pause() {
        let mut caller = person(CallOptions::default(), vec![Utterance::text("yes")]);
        let line = [(true, 400), (false, 600), (true, 400), (false, 2000)];
        let done = hears(&mut caller, &line);
        assert_eq!(times(&done, |act| act.began.is_some()), [2100]);
        assert_eq!(times(&done, |act| act.ended.is_some()), [2480]);
    }

    #[test]
    fn says_at_once_what_is_added_to_be_said_at_once() {
        let mut caller = person(CallOptions { stays: true, ..CallOptions::default() }, vec![]);
        hears(&mut caller, &[(false, 400)]);
        let now = Utterance { at_ms: Some(0), ..Utterance::text("more") };
        caller.add(now, vec![0x30; 3200]);
        let done = hears(&mut caller, &[(false, 1000)]);
        assert_eq!(times(&done, |act| act.began.is_some()), [400]);
        assert_eq!(times(&done, |act| act.ended.is_some()), [780]);
        assert!(times(&done, |act| act.hangs_up).is_empty());
    }

    #[test]
    fn tells_the_answer_to_a_barge_in_from_what_it_cut() {
        let mut words = Utterance::text("stop");
        words.barge_in = Some(BargeIn { after_ms: 200 });
        let mut caller = person(CallOptions::default(), vec![words]);
        let line = [(true, 300), (false, 300), (true, 400), (false, 1000)];
        let done = hears(&mut caller, &line);
        assert_eq!(times(&done, |act| act.began.is_some()), [200]);
        let turns: Vec<_> = done.iter().filter_map(|(_, act)| act.heard.clone()).collect();
        assert_eq!(turns, [0..300 * 8, 600 * 8..1000 * 8]);
        assert_eq!(times(&done, |act| act.hangs_up).first(), Some(&1700), "after the answer");
    }

    #[test]
    fn goes_on_and_then_gives_up_when_nobody_answers() {
        let options = CallOptions { patience_ms: 1000, ..CallOptions::default() };
        let mut caller = person(options, vec![Utterance::text("hello?")]);
        let done = hears(&mut caller, &[(false, 3000)]);
        assert_eq!(times(&done, |act| act.began.is_some()), [1000]);
        assert_eq!(times(&done, |act| act.hangs_up).first(), Some(&2400));
    }

    #[test]
    fn a_cough_is_loud_short_and_followed_by_breath() {
        let sound = cough();
        let loud = sound.iter().rposition(|sample| sample.unsigned_abs() > 1_000).unwrap();
        assert!((200 * 8..=240 * 8).contains(&loud), "{loud}");
        assert_eq!(sound.len(), 540 * 8);
        assert!(crate::modem::decode(&sound).words.is_empty(), "it says nothing");
    }

    #[test]
    fn stays_for_the_turns_it_expects() {
        let options = CallOptions { expect_turns: Some(2), ..CallOptions::default() };
        let mut caller = person(options, Vec::new());
        let line = [(true, 400), (false, 1000), (true, 400), (false, 1000)];
        let done = hears(&mut caller, &line);
        assert_eq!(times(&done, |act| act.hangs_up).first(), Some(&2500));
    }
}
