//! When the caller speaks, what goes to be transcribed, and when the turn is over.

use std::time::Duration;

use crate::{
    Language, Moment, Transcript, TurnSettings,
    media_clock::{duration, samples},
    utterance::{Outlook, outlook, says_nothing},
    vad::{HOP_SAMPLES, Vad},
};

/// A stream that brings nothing for this long in the middle of a turn is taken for quiet.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// Follows the caller's audio through speech, pauses and turns, and its words to the end of them. Knows nothing of the
/// agent: whether speech interrupts something is for the caller of [`hear`](Self::hear) to say, by the voice it asks for.
pub(crate) struct TurnTaker {
    settings: TurnSettings,
    vad: Vad,
    phase: Phase,
    /// The caller's audio from `kept_from` on: pre-roll, or the segment in the making.
    kept: Vec<u8>,
    kept_from: u64,
    /// Samples of voice up to here, less those of quiet between: speech is voiced most of the time, not all of it.
    run: u64,
    /// Where that run began.
    run_from: u64,
    /// Samples since the last voice of the turn.
    quiet: u64,
    /// Samples of voice in the open turn since its words were last known.
    unknown: u64,
    /// Where the open turn begins.
    turn_from: u64,
    /// Voice without words has gone on and on: none is taken for speech before a pause.
    is_deaf: bool,
    /// Samples of quiet that end the turn, by the words known.
    patience: u64,
    /// Where the segment in the making begins; no segment begins before the end of the last.
    segment_from: u64,
    last_segment: u32,
    /// Segments of the turn, in order.
    segments: Vec<Segment>,
    /// What was handed out of the segment in the making.
    probe: Option<Segment>,
    last_audio: Moment,
    stalled: bool,
    speech_ended: Option<Moment>,
    segment_sent: Option<Moment>,
    segment_transcribed: Option<Moment>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No turn is open.
    Quiet,
    /// Speech; its segment grows.
    Speech,
    /// A turn is open, all its speech has been handed out.
    Pause,
}

struct Segment {
    number: u32,
    /// Where it ends.
    to: u64,
    sent: Moment,
    words: Words,
}

impl Segment {
    fn is_awaited(&self) -> bool {
        matches!(self.words, Words::Awaited)
    }

    fn is_said(&self) -> bool {
        matches!(self.words, Words::Said(..))
    }

    fn said(&self) -> &str {
        match &self.words {
            Words::Said(words, _) => words,
            Words::Awaited | Words::Failed => "",
        }
    }
}

enum Words {
    Awaited,
    Said(String, Option<f32>),
    Failed,
}

/// What a stretch of audio brought about.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// The caller has begun to speak, or goes on after a pause.
    SpeechStarted,
    /// This is to be transcribed.
    SegmentReady(ReadySegment),
}

#[derive(Debug, PartialEq)]
pub(crate) struct ReadySegment {
    pub(crate) number: u32,
    /// Position of its first sample on the caller's line.
    pub(crate) at: u64,
    pub(crate) audio: Vec<u8>,
}

/// How a turn came out.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The caller has said something.
    Words { text: String, confidence: Option<f32>, times: Times },
    /// Nothing was said after all.
    Noise,
    /// Something may have been said, but recognition failed.
    NotUnderstood,
}

/// When the last of each was.
#[derive(Debug, PartialEq)]
pub(crate) struct Times {
    pub(crate) speech_ended: Option<Moment>,
    pub(crate) segment_sent: Option<Moment>,
    pub(crate) segment_transcribed: Option<Moment>,
}

impl TurnTaker {
    pub(crate) fn new(settings: TurnSettings, now: Moment) -> Self {
        Self {
            vad: Vad::new(settings.enter_score, settings.exit_score),
            patience: samples(settings.end_of_turn),
            settings,
            phase: Phase::Quiet,
            kept: Vec::new(),
            kept_from: 0,
            run: 0,
            run_from: 0,
            quiet: 0,
            unknown: 0,
            turn_from: 0,
            is_deaf: false,
            segment_from: 0,
            last_segment: 0,
            segments: Vec::new(),
            probe: None,
            last_audio: now,
            stalled: false,
            speech_ended: None,
            segment_sent: None,
            segment_transcribed: None,
        }
    }

    /// The language of the words that come from now on.
    pub(crate) fn listen_in(&mut self, language: Language) {
        self.settings.language = language;
    }

    /// The language of the words.
    pub(crate) fn language(&self) -> Language {
        self.settings.language
    }

    /// Whether the caller is in the middle of saying something.
    pub(crate) fn is_speaking(&self) -> bool {
        self.phase == Phase::Speech
    }

    /// Whether a turn has begun that is not over.
    pub(crate) fn is_open(&self) -> bool {
        self.phase != Phase::Quiet
    }

    /// Whether the caller has stopped for so long that only missing words keep the turn open.
    pub(crate) fn is_waiting_for_words(&self) -> bool {
        let ended = self.stalled || (self.run == 0 && self.quiet >= self.patience);
        self.phase == Phase::Pause && ended
    }

    /// How long the caller has spoken in the open turn since it was last known what, pauses taken off.
    pub(crate) fn unknown(&self) -> Duration {
        duration(self.unknown)
    }

    /// How much of the open turn is known to hold no words; nothing where there are some, or some may be.
    pub(crate) fn wordless(&self) -> Duration {
        let mut parts = self.segments.iter().chain(&self.probe);
        if !parts.clone().all(|part| part.is_said() && says_nothing(part.said())) {
            return Duration::ZERO;
        }
        parts.next_back().map_or(Duration::ZERO, |last| duration(last.to - self.turn_from))
    }

    /// Since when, in the caller's audio, an open turn has been quiet.
    pub(crate) fn quiet(&self) -> Duration {
        duration(self.quiet)
    }

    /// Takes audio up to the next verdict on voice, and says how much. Speech begins with so much voice as `enough`.
    pub(crate) fn hear(
        &mut self,
        audio: &[u8],
        enough: Duration,
        now: Moment,
    ) -> (usize, Option<Event>) {
        self.last_audio = now;
        self.stalled = false;
        let (taken, verdict) = self.vad.take(audio);
        self.kept.extend_from_slice(&audio[..taken]);
        let event = verdict.and_then(|voiced| self.step(voiced, enough, now));
        (taken, event)
    }

    /// Takes in the words of a segment. Those of a turn that is over, unknown ones and second ones are ignored.
    pub(crate) fn transcribed(&mut self, number: u32, result: Transcript, now: Moment) {
        let is_it = |segment: &&mut Segment| segment.number == number && segment.is_awaited();
        let words = match result {
            Transcript::Words { text, confidence } => {
                Words::Said(text.trim().to_owned(), confidence)
            }
            Transcript::Failed => Words::Failed,
        };
        if let Some(segment) = self.segments.iter_mut().find(is_it) {
            self.segment_transcribed = Some(now);
            segment.words = words;
            self.weigh_words();
        } else if let Some(probe) = self.probe.as_mut().filter(|probe| is_it(probe)) {
            probe.words = words;
        }
    }

    /// Once all is known that was said, it tells how long to wait for more.
    fn weigh_words(&mut self) {
        if self.segments.iter().any(Segment::is_awaited) {
            return;
        }
        self.patience = samples(match outlook(&self.text(), self.settings.language) {
            Outlook::MoreComing => self.settings.end_of_turn_unfinished,
            Outlook::Open => self.settings.end_of_turn,
            Outlook::Answered => self.settings.end_of_turn_answered,
        });
    }

    /// The words of the open turn, as far as they are known.
    fn text(&self) -> String {
        joined(self.segments.iter().map(Segment::said))
    }

    /// The same with those of the segment in the making, but for the last: it may be cut in its middle.
    pub(crate) fn overheard(&self) -> String {
        let begun = self.probe.as_ref().map_or("", Segment::said).trim_end();
        let begun = begun.rsplit_once(char::is_whitespace).map_or("", |(whole, _)| whole);
        joined(self.segments.iter().map(Segment::said).chain([begun]))
    }

    /// Takes note that the words known are none that take the turn. Of those that are not known nothing is said by that.
    pub(crate) fn pass_over(&mut self) {
        if self.segments.iter().chain(&self.probe).all(Segment::is_said) {
            self.unknown = 0;
        }
    }

    /// Hands out what was said so far of the segment in the making, which comes whole when it is: its words tell sooner
    /// whether they take the turn. Nothing where those of the last such look are not known.
    pub(crate) fn peek(&mut self, now: Moment) -> Option<ReadySegment> {
        if !self.is_speaking() || self.probe.as_ref().is_some_and(|probe| !probe.is_said()) {
            return None;
        }
        let (probe, segment) = self.hand_out(now);
        self.probe = Some(probe);
        Some(segment)
    }

    /// Lets time pass: words that did not come count as failed, a stalled stream as quiet.
    pub(crate) fn pass_time(&mut self, now: Moment) -> Option<ReadySegment> {
        for segment in &mut self.segments {
            if segment.is_awaited() && now >= segment.sent + self.settings.words_wait {
                segment.words = Words::Failed;
            }
        }
        if !self.is_open() || self.stalled || now < self.last_audio + STALLED_AFTER {
            return None;
        }
        self.stop(now)
    }

    /// Takes the caller for quiet from now on: nothing more is heard. The open turn is over once its words are back.
    pub(crate) fn stop(&mut self, now: Moment) -> Option<ReadySegment> {
        self.stalled = true;
        self.run = 0;
        self.is_speaking().then(|| {
            self.phase = Phase::Pause;
            self.cut(now)
        })
    }

    /// Waits for no more words: those that are not back count as failed.
    pub(crate) fn give_up_words(&mut self) {
        for segment in &mut self.segments {
            if segment.is_awaited() {
                segment.words = Words::Failed;
            }
        }
    }

    /// When [`pass_time`](Self::pass_time) has something to do.
    pub(crate) fn next_wake(&self) -> Option<Moment> {
        let stall = (self.is_open() && !self.stalled).then(|| self.last_audio + STALLED_AFTER);
        self.segments
            .iter()
            .filter(|segment| segment.is_awaited())
            .map(|segment| segment.sent + self.settings.words_wait)
            .chain(stall)
            .min()
    }

    /// Ends the turn if it is over: the caller is quiet and all words are back, or will not come.
    pub(crate) fn conclude(&mut self) -> Option<Outcome> {
        if !self.is_waiting_for_words() || self.segments.iter().any(Segment::is_awaited) {
            return None;
        }
        let text = self.text();
        let mut confidence: Option<f32> = None;
        let mut failed = false;
        for segment in &self.segments {
            match &segment.words {
                Words::Said(words, Some(sure)) if !words.is_empty() => {
                    confidence = Some(confidence.map_or(*sure, |least| least.min(*sure)));
                }
                Words::Said(..) | Words::Awaited => {}
                Words::Failed => failed = true,
            }
        }
        let outcome = match (says_nothing(&text), failed) {
            (false, _) => Outcome::Words {
                text,
                confidence,
                times: Times {
                    speech_ended: self.speech_ended,
                    segment_sent: self.segment_sent,
                    segment_transcribed: self.segment_transcribed,
                },
            },
            (true, true) => Outcome::NotUnderstood,
            (true, false) => Outcome::Noise,
        };
        self.abandon();
        Some(outcome)
    }

    /// Forgets the open turn, and takes no voice for speech before there is a pause in it.
    pub(crate) fn ignore(&mut self) {
        self.abandon();
        self.is_deaf = true;
    }

    /// Forgets the open turn.
    pub(crate) fn abandon(&mut self) {
        self.phase = Phase::Quiet;
        self.run = 0;
        self.quiet = 0;
        self.unknown = 0;
        self.patience = samples(self.settings.end_of_turn);
        self.segment_from = self.position();
        self.segments.clear();
        self.probe = None;
        self.speech_ended = None;
        self.segment_sent = None;
        self.segment_transcribed = None;
    }

    fn step(&mut self, voiced: bool, enough: Duration, now: Moment) -> Option<Event> {
        let hop = HOP_SAMPLES as u64;
        if self.is_deaf {
            self.quiet = if voiced { 0 } else { self.quiet + hop };
            self.is_deaf = self.quiet < samples(self.settings.segment_pause);
            self.trim();
            return None;
        }
        if voiced {
            if self.run == 0 {
                self.run_from = self.position() - hop;
            }
            self.run += hop;
        } else {
            self.run = self.run.saturating_sub(hop);
        }
        if self.phase == Phase::Speech {
            if voiced {
                self.unknown += hop;
                self.quiet = 0;
                self.speech_ended = Some(now);
            } else {
                self.quiet += hop;
            }
            if self.quiet >= samples(self.settings.segment_pause) {
                self.phase = Phase::Pause;
                return Some(Event::SegmentReady(self.cut(now)));
            }
            let length = self.position() - self.segment_from;
            if length >= samples(self.settings.longest_segment) {
                return Some(Event::SegmentReady(self.cut(now)));
            }
            return None;
        }
        self.quiet += hop;
        if voiced && self.run >= samples(enough) {
            if self.phase == Phase::Quiet {
                let from = self.run_from.saturating_sub(samples(self.settings.pre_roll));
                self.segment_from = from.max(self.segment_from).max(self.kept_from);
                self.turn_from = self.segment_from;
            }
            self.phase = Phase::Speech;
            self.unknown += self.run;
            self.quiet = 0;
            self.speech_ended = Some(now);
            return Some(Event::SpeechStarted);
        }
        if self.phase == Phase::Quiet {
            self.trim();
        }
        None
    }

    /// Ends the segment in the making.
    fn cut(&mut self, now: Moment) -> ReadySegment {
        let (part, segment) = self.hand_out(now);
        self.run = 0;
        self.patience = samples(self.settings.end_of_turn);
        self.kept.clear();
        self.kept_from = part.to;
        self.segment_from = part.to;
        self.segments.push(part);
        self.probe = None;
        self.segment_sent = Some(now);
        segment
    }

    /// What was said since the last segment.
    fn hand_out(&mut self, now: Moment) -> (Segment, ReadySegment) {
        let at = self.segment_from;
        let audio = self.kept[(at - self.kept_from) as usize..].to_vec();
        self.last_segment += 1;
        let (number, to) = (self.last_segment, at + audio.len() as u64);
        let part = Segment { number, to, sent: now, words: Words::Awaited };
        (part, ReadySegment { number, at, audio })
    }

    /// Keeps as much as a turn that begins next could reach back to; seldom, for it moves what it keeps.
    fn trim(&mut self) {
        let settings = &self.settings;
        let longest = settings.speech_after.max(settings.barge_in_after).max(settings.cut_in_after);
        let reach = 2 * longest + settings.pre_roll;
        let reach = samples(reach) as usize + 2 * HOP_SAMPLES;
        if self.kept.len() >= 2 * reach {
            let gone = self.kept.len() - reach;
            self.kept.drain(..gone);
            self.kept_from += gone as u64;
        }
    }

    fn position(&self) -> u64 {
        self.kept_from + self.kept.len() as u64
    }
}

fn joined<'t>(words: impl Iterator<Item = &'t str>) -> String {
    words.filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drives the turn-taking itself, with the verdicts given instead of detected.
    struct Bench {
        taker: TurnTaker,
        now: Moment,
        segments: Vec<ReadySegment>,
        starts: Vec<u64>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                taker: TurnTaker::new(TurnSettings::default(), Moment::ZERO),
                now: Moment::ZERO,
                segments: Vec::new(),
                starts: Vec::new(),
            }
        }

        /// `ms` of voice or quiet, a multiple of 16.
        fn feed(&mut self, voiced: bool, ms: u64) {
            self.feed_against(self.taker.settings.speech_after, voiced, ms);
        }

        fn feed_against(&mut self, enough: Duration, voiced: bool, ms: u64) {
            for _ in 0..ms / 16 {
                self.now += Duration::from_millis(16);
                let position = self.taker.position();
                let code = (position / HOP_SAMPLES as u64) as u8;
                self.taker.kept.extend([code; HOP_SAMPLES]);
                match self.taker.step(voiced, enough, self.now) {
                    Some(Event::SpeechStarted) => self.starts.push(position),
                    Some(Event::SegmentReady(segment)) => self.segments.push(segment),
                    None => {}
                }
            }
        }

        fn say(&mut self, segment: u32, text: &str) {
            let text = text.to_owned();
            let result = Transcript::Words { text, confidence: None };
            self.taker.transcribed(segment, result, self.now);
        }
    }

    fn text(outcome: Option<Outcome>) -> Option<String> {
        match outcome {
            Some(Outcome::Words { text, .. }) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn a_click_begins_no_turn() {
        let mut bench = Bench::new();
        for _ in 0..20 {
            bench.feed(true, 64);
            bench.feed(false, 160);
        }
        assert!(!bench.taker.is_open());
        assert!(bench.segments.is_empty());
    }

    #[test]
    fn speech_begins_with_as_much_voice_as_is_asked_for() {
        let mut bench = Bench::new();
        let enough = Duration::from_millis(200);
        bench.feed_against(enough, true, 192);
        assert!(!bench.taker.is_open());
        bench.feed_against(enough, true, 16);
        assert!(bench.taker.is_speaking());
    }

    #[test]
    fn the_words_tell_how_long_more_is_waited_for() {
        for (words, ends_ms) in [("yes", 304), ("tomorrow", 512), ("my name is", 1_504), ("", 304)]
        {
            let mut bench = Bench::new();
            bench.feed(true, 480);
            bench.feed(false, 208);
            bench.say(1, words);
            bench.feed(false, ends_ms - 208 - 16);
            assert_eq!(bench.taker.conclude(), None, "{words}");
            bench.feed(false, 16);
            assert!(bench.taker.conclude().is_some(), "{words}");
        }
    }

    #[test]
    fn what_is_said_after_an_unfinished_sentence_finishes_it() {
        let mut bench = Bench::new();
        bench.feed(true, 480);
        bench.feed(false, 800);
        bench.say(1, "my name is");
        assert_eq!(bench.taker.conclude(), None);
        bench.feed(true, 480);
        bench.feed(false, 208);
        bench.say(2, "Ada");
        bench.feed(false, 304);
        assert_eq!(text(bench.taker.conclude()).as_deref(), Some("my name is Ada"));
    }

    #[test]
    fn the_first_segment_reaches_back_by_the_pre_roll() {
        let mut bench = Bench::new();
        bench.feed(false, 3_200);
        bench.feed(true, 400);
        bench.feed(false, 208);
        let [segment] = &bench.segments[..] else {
            panic!("{} segments", bench.segments.len());
        };
        assert_eq!(segment.at, (3_200 - 300) * 8);
        assert_eq!(segment.audio.len(), (300 + 400 + 208) * 8);
    }

    #[test]
    fn segments_of_a_turn_tile_it() {
        let mut bench = Bench::new();
        bench.feed(false, 800);
        for _ in 0..3 {
            bench.feed(true, 480);
            bench.feed(false, 320);
        }
        assert_eq!(bench.segments.len(), 3);
        for pair in bench.segments.windows(2) {
            assert_eq!(pair[0].at + pair[0].audio.len() as u64, pair[1].at);
        }
        for segment in &bench.segments {
            for (n, code) in segment.audio.iter().enumerate() {
                assert_eq!(*code, ((segment.at + n as u64) / 128) as u8);
            }
        }
    }

    #[test]
    fn a_monologue_is_cut_without_losing_a_sample() {
        let mut bench = Bench::new();
        bench.feed(true, 40_000);
        bench.feed(false, 208);
        assert_eq!(bench.segments.len(), 3);
        let said: usize = bench.segments.iter().map(|s| s.audio.len()).sum();
        assert_eq!(said, 40_208 * 8);
        assert_eq!(bench.segments[0].at, 0);
    }

    #[test]
    fn the_turn_ends_when_it_is_quiet_and_the_words_are_back() {
        let mut bench = Bench::new();
        bench.feed(true, 480);
        bench.feed(false, 480);
        bench.say(1, "hello");
        assert_eq!(bench.taker.conclude(), None, "the caller may go on");
        bench.feed(false, 32);
        assert_eq!(text(bench.taker.conclude()).as_deref(), Some("hello"));
        assert_eq!(bench.taker.conclude(), None, "a turn ends once");
    }

    #[test]
    fn late_words_hold_the_turn_open_and_speech_continues_it() {
        let mut bench = Bench::new();
        bench.feed(true, 480);
        bench.feed(false, 1_600);
        assert_eq!(bench.taker.conclude(), None);
        bench.feed(true, 480);
        bench.say(1, "my name is");
        assert_eq!(bench.taker.conclude(), None, "the caller is speaking");
        bench.feed(false, 640);
        bench.say(2, "Ada");
        assert_eq!(text(bench.taker.conclude()).as_deref(), Some("my name is Ada"));
    }

    #[test]
    fn a_run_of_voice_not_yet_sure_delays_the_end() {
        let mut bench = Bench::new();
        bench.feed(true, 480);
        bench.feed(false, 464);
        bench.say(1, "well");
        bench.feed(true, 64);
        assert_eq!(bench.taker.conclude(), None);
        bench.feed(true, 16);
        assert!(bench.taker.is_speaking());
    }

    #[test]
    fn noise_and_failure_come_out_as_such() {
        let mut bench = Bench::new();
        bench.feed(true, 480);
        bench.feed(false, 512);
        bench.say(1, "  ");
        assert_eq!(bench.taker.conclude(), Some(Outcome::Noise));
        bench.feed(true, 480);
        bench.feed(false, 512);
        bench.taker.transcribed(2, Transcript::Failed, bench.now);
        assert_eq!(bench.taker.conclude(), Some(Outcome::NotUnderstood));
    }

    #[test]
    fn words_that_never_come_fail_after_the_wait() {
        let mut bench = Bench::new();
        bench.feed(true, 480);
        bench.feed(false, 512);
        assert_eq!(bench.taker.conclude(), None);
        let deadline = bench.taker.segments[0].sent + bench.taker.settings.words_wait;
        bench.taker.pass_time(deadline);
        assert_eq!(bench.taker.conclude(), Some(Outcome::NotUnderstood));
    }

    #[test]
    fn a_stream_that_stalls_in_the_middle_of_a_word_ends_the_segment() {
        let mut bench = Bench::new();
        bench.feed(true, 480);
        let segment = bench.taker.pass_time(bench.now + STALLED_AFTER);
        assert_eq!(segment.map(|s| s.audio.len()), Some(480 * 8));
        bench.say(1, "hel");
        assert_eq!(text(bench.taker.conclude()).as_deref(), Some("hel"));
    }
}
