//! Anything in any order.

use std::{sync::LazyLock, time::Duration};

use call_core::{
    Action, CallCore, Input, Language, RestOfReply, Resumption, Settings, Transcript,
    event_log::{self, Beginning},
    g711,
};
use proptest::prelude::*;

use crate::{phone::Phone, settings, voice};

static SPEECH: LazyLock<Vec<u8>> = LazyLock::new(|| voice::speech(4_000));

#[derive(Clone, Debug)]
enum Step {
    Start,
    Greeting,
    Speak(u64),
    Quiet(u64),
    /// Frames that carry their time, as they come over a bad line.
    Stamped(Vec<Fate>, bool),
    Rubbish(Vec<u8>, Option<u64>),
    Mark(u32),
    MarkRubbish(String),
    Digit(char),
    Words(u32, bool),
    Fail(u32),
    Sentence {
        turn: u32,
        attempt: u32,
        index: u32,
        part: u32,
        more: bool,
        len: usize,
    },
    Finish {
        turn: u32,
        attempt: u32,
        sentences: u32,
    },
    /// The clock jumps by so many milliseconds.
    Jump(i64),
    Wake,
    ListensIn(Language),
    Stop,
}

/// What becomes of a frame on its way.
#[derive(Clone, Debug)]
enum Fate {
    /// It comes, so many milliseconds late.
    Comes(u64),
    Twice,
    AfterTheNext,
    Lost,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Comes(0)),
        3 => (1..120_u64).prop_map(Fate::Comes),
        1 => Just(Fate::Twice),
        1 => Just(Fate::AfterTheNext),
        2 => Just(Fate::Lost),
    ]
}

fn resumption() -> impl Strategy<Value = Option<Resumption>> {
    let reply =
        (0..3_u32).prop_map(|sentences| RestOfReply { sentences, text: "said before".to_owned() });
    let heard = any::<bool>().prop_map(|complete| ("said before".to_owned(), complete));
    let lost = (prop::option::of(reply), any::<bool>(), prop::option::of(heard))
        .prop_map(|(reply, ask_again, heard)| Resumption { reply, ask_again, heard });
    prop::option::weighted(0.3, lost)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Start),
        1 => Just(Step::Greeting),
        8 => (1..40_u64).prop_map(Step::Speak),
        8 => (1..40_u64).prop_map(Step::Quiet),
        6 => (prop::collection::vec(fate(), 1..40), any::<bool>())
            .prop_map(|(fates, voice)| Step::Stamped(fates, voice)),
        2 => (prop::collection::vec(any::<u8>(), 0..700), any::<Option<u64>>())
            .prop_map(|(bytes, stamp)| Step::Rubbish(bytes, stamp)),
        6 => (0..60_u32).prop_map(Step::Mark),
        1 => ".{0,8}".prop_map(Step::MarkRubbish),
        1 => any::<char>().prop_map(Step::Digit),
        8 => (0..8_u32, any::<bool>()).prop_map(|(back, some)| Step::Words(back, some)),
        1 => (0..8_u32).prop_map(Step::Fail),
        10 => (0..3_u32, 0..3_u32, 0..4_u32, prop_oneof![3 => Just(0), 1 => 0..4_u32], any::<bool>(), 0..20_000_usize)
            .prop_map(|(turn, attempt, index, part, more, len)| {
                Step::Sentence { turn, attempt, index, part, more, len }
            }),
        2 => (0..3_u32, 0..3_u32, 0..5_u32)
            .prop_map(|(turn, attempt, sentences)| Step::Finish { turn, attempt, sentences }),
        1 => (-5_000..20_000_i64).prop_map(Step::Jump),
        1 => Just(Step::Jump(i64::MAX)),
        8 => Just(Step::Wake),
        1 => prop::sample::select(vec![Language::German, Language::French, Language::Other]).prop_map(Step::ListensIn),
        1 => Just(Step::Stop),
    ]
}

/// A call under random inputs, and what must hold of it always.
struct Trial {
    core: CallCore,
    /// Its event log.
    log: String,
    now: Duration,
    /// Where the next stamped frame lies on the caller's line.
    stamp: Duration,
    /// The core's clock never goes back as ours may.
    latest: Duration,
    taken: u32,
    fence: u32,
    /// The turn whose reply may be being interrupted.
    doubted: Option<u32>,
    /// The attempt heard of the current turn.
    attempt: Option<u8>,
    last_segment: u32,
    parts: u32,
    recorded: u64,
    ended: bool,
}

impl Trial {
    fn new(resumption: Option<Resumption>) -> Self {
        let now = Duration::from_secs(50);
        let settings = Settings { call_limit: Duration::from_secs(120), ..settings() };
        let beginning = Beginning { settings, resumption, at: now };
        Self {
            core: beginning.core(),
            log: beginning.line() + "\n",
            now,
            stamp: Duration::ZERO,
            latest: now,
            taken: 0,
            fence: 0,
            doubted: None,
            attempt: None,
            last_segment: 0,
            parts: 0,
            recorded: 0,
            ended: false,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let out = self.handle(input);
        for action in &out {
            self.check(action);
        }
        assert_eq!(self.core.is_ended(), self.ended);
        self.latest = self.latest.max(self.now);
        let Some(wake) = self.core.next_wake() else {
            return;
        };
        assert!(!self.ended, "an ended call sleeps");
        assert!(wake > self.latest, "a wake that is due was not served");
        let again = self.handle(Input::Tick);
        assert!(again.is_empty(), "what is due is done at once: {again:?}");
        assert_eq!(self.core.next_wake(), Some(wake));
    }

    fn handle(&mut self, input: Input<'_>) -> Vec<Action> {
        let mut out = Vec::new();
        self.log.push_str(&event_log::happened(&input, self.now));
        self.log.push('\n');
        self.core.handle(input, self.now, &mut out);
        for action in &out {
            self.log.push_str(&event_log::decided(action));
            self.log.push('\n');
        }
        out
    }

    fn check(&mut self, action: &Action) {
        assert!(!self.ended, "{action:?} after the end");
        match action {
            Action::SendAudio(audio) => {
                assert!(!audio.is_empty());
                // 0x80 on: a sentence, its code naming turn and attempt. The turn is known modulo 32.
                if audio[0] >= 0x80 {
                    let (turn, attempt) = (u32::from(audio[0] & 0x7F) >> 2, audio[0] & 3);
                    assert_eq!(turn, self.taken % 32, "only the last turn is answered");
                    assert!(self.taken >= self.fence, "a cancelled turn is spoken");
                    assert_eq!(self.doubted, None, "a reply goes on and nobody is told");
                    assert_eq!(*self.attempt.get_or_insert(attempt), attempt, "mixed attempts");
                }
            }
            Action::SetFence { turn } => {
                assert!(*turn > self.fence, "the fence only rises");
                self.fence = *turn;
                self.doubted = None;
            }
            Action::Doubt { turn } => {
                assert_eq!((self.doubted, *turn), (None, self.taken), "the reply that is spoken");
                self.doubted = Some(*turn);
            }
            Action::EndDoubt { turn } => assert_eq!(self.doubted.take(), Some(*turn)),
            Action::TurnTaken { turn, text, heard, .. } => {
                assert_eq!(*turn, self.taken + 1, "turns have no gap");
                assert!(*turn >= self.fence, "a turn is taken behind the fence");
                assert!(!text.is_empty());
                assert!(heard.as_ref().is_none_or(|heard| heard.turn < *turn));
                self.taken = *turn;
                self.attempt = None;
            }
            Action::Transcribe { turn, segment, audio, .. } => {
                assert_eq!(*turn, self.taken + 1);
                assert_eq!(*segment, self.last_segment + 1);
                assert!(!audio.is_empty() && audio.len() < 8 * 40_000);
                self.last_segment = *segment;
            }
            Action::RecordingPart { index, offset_samples, caller, agent } => {
                assert_eq!((*index, *offset_samples), (self.parts, self.recorded));
                assert_eq!(caller.len(), agent.len());
                self.parts += 1;
                self.recorded += caller.len() as u64;
            }
            Action::RecordingBlock { part, block, offset_samples, caller, agent } => {
                assert_eq!(*part, self.parts, "of the part that is not whole");
                assert_eq!(*offset_samples, self.recorded + u64::from(*block) * 8_000);
                assert_eq!((caller.len(), agent.len()), (8_000, 8_000));
            }
            Action::End { .. } => {
                assert_eq!(self.doubted, None, "a doubt outlives its call");
                self.ended = true;
            }
            _ => {}
        }
    }

    fn frames(&mut self, frames: u64, voice: bool) {
        for n in 0..frames as usize {
            self.now += Duration::from_millis(20);
            let at = n % (SPEECH.len() / 160) * 160;
            let payload = if voice { &SPEECH[at..at + 160] } else { &[g711::SILENCE; 160] };
            self.input(Input::AudioFrame { payload: payload.into(), timestamp: None });
        }
    }

    fn stamped(&mut self, fates: Vec<Fate>, voice: bool) {
        let frame = Duration::from_millis(20);
        let mut held: Option<Input<'static>> = None;
        for (n, fate) in fates.into_iter().enumerate() {
            let at = n % (SPEECH.len() / 160) * 160;
            let payload = if voice { &SPEECH[at..at + 160] } else { &[g711::SILENCE; 160] };
            let input =
                Input::AudioFrame { payload: payload.to_vec().into(), timestamp: Some(self.stamp) };
            self.now += frame;
            self.stamp += frame;
            let repeated = match fate {
                Fate::Lost => continue,
                Fate::AfterTheNext => {
                    held = Some(input);
                    continue;
                }
                Fate::Comes(late) => {
                    self.now += Duration::from_millis(late);
                    None
                }
                Fate::Twice => Some(input.clone()),
            };
            for input in [Some(input), repeated, held.take()].into_iter().flatten() {
                self.input(input);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Start => self.input(Input::StreamStarted),
            Step::Greeting => self.input(Input::Greeting {
                text: "Good day to you".to_owned(),
                audio: vec![0x80; 9_000].into(),
            }),
            Step::Speak(frames) => self.frames(frames, true),
            Step::Quiet(frames) => self.frames(frames, false),
            Step::Stamped(fates, voice) => self.stamped(fates, voice),
            Step::Rubbish(payload, stamp) => self.input(Input::AudioFrame {
                payload: payload.into(),
                timestamp: stamp.map(Duration::from_millis),
            }),
            Step::Mark(number) => {
                let name = format!("m{number}");
                self.input(Input::MarkReturned { name: name.into() });
            }
            Step::MarkRubbish(name) => self.input(Input::MarkReturned { name: name.into() }),
            Step::Digit(digit) => self.input(Input::Dtmf { digit }),
            Step::Words(back, some) => {
                let text = if some { "yes please" } else { " " }.to_owned();
                self.input(Input::SegmentTranscribed {
                    segment: self.last_segment.wrapping_sub(back),
                    result: Transcript::Words { text, confidence: Some(f32::NAN) },
                });
            }
            Step::Fail(back) => self.input(Input::SegmentTranscribed {
                segment: self.last_segment.wrapping_sub(back),
                result: Transcript::Failed,
            }),
            Step::Sentence { turn, attempt, index, part, more, len } => {
                let turn = (self.taken + 1).wrapping_sub(turn);
                let code = 0x80 | (turn % 32) << 2 | attempt;
                self.input(Input::SentenceSpoken {
                    turn,
                    attempt,
                    index,
                    part,
                    more,
                    text: "some words to say".to_owned(),
                    audio: (len % 7 > 0).then(|| vec![code as u8; len].into()),
                });
            }
            Step::Finish { turn, attempt, sentences } => self.input(Input::ReplyFinished {
                turn: (self.taken + 1).wrapping_sub(turn),
                attempt,
                sentences,
            }),
            Step::Jump(ms) => {
                let by = Duration::from_millis(ms.unsigned_abs());
                self.now =
                    if ms < 0 { self.now.saturating_sub(by) } else { self.now.saturating_add(by) };
                self.input(Input::Tick);
            }
            Step::Wake => {
                if let Some(wake) = self.core.next_wake() {
                    self.now = self.now.max(wake);
                    self.input(Input::Tick);
                }
            }
            Step::ListensIn(language) => self.input(Input::ListensIn { language }),
            Step::Stop => self.input(Input::Stop),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_a_call(
        resumption in resumption(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut trial = Trial::new(resumption);
        for step in steps {
            trial.step(step);
        }
        trial.input(Input::Lost);
        prop_assert!(trial.ended, "a lost call has ended");
        let replayed = event_log::replay(&trial.log, |_, _, _| {}).map_err(|e| e.to_string());
        let replayed = replayed.map_err(TestCaseError::fail)?;
        prop_assert!(!replayed.is_cut);
        prop_assert_eq!(1 + replayed.inputs + replayed.actions, trial.log.lines().count());
    }

    #[test]
    fn a_call_left_alone_ends_by_itself(
        resumption in resumption(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut trial = Trial::new(resumption);
        trial.step(Step::Start);
        for step in steps {
            trial.step(step);
        }
        let mut wakes = 0;
        while let Some(wake) = trial.core.next_wake() {
            trial.now = trial.now.max(wake);
            trial.input(Input::Tick);
            wakes += 1;
            prop_assert!(wakes < 20_000, "it wakes without end");
        }
        prop_assert!(trial.ended);
    }

    #[test]
    fn what_was_heard_to_its_end_is_told_and_nothing_else(
        sentences in 1..4_u8,
        after_frames in 0..200_u64,
        voice_frames in 3..80_usize,
        said in prop::sample::select(vec!["", "okay", "mhmm", "stop", "no the other one"]),
        marks in any::<bool>(),
    ) {
        // Four words of a quarter of a second each, every one of a code of its own.
        const WORD: usize = 2_000;
        let code = |sentence: u8, word: u8| 0x20 + 4 * sentence + word;
        let name = |code: u8| format!("w{code:02x}");
        let mut phone = Phone::started(settings());
        phone.marks = marks;
        phone.take_turn(&SPEECH[..4_800], "a question");
        for sentence in 0..sentences {
            let codes = (0..4).map(|word| code(sentence, word));
            let text = codes.clone().map(name).collect::<Vec<_>>().join(" ");
            let audio: Vec<u8> = codes.flat_map(|code| [code; WORD]).collect();
            phone.sentence(1, 1, u32::from(sentence), &text, &audio);
        }
        phone.finish(1, 1, u32::from(sentences));
        phone.quiet(20 * after_frames);
        let from = phone.log.len();
        phone.speak(&SPEECH[..160 * voice_frames]);
        phone.quiet(400);
        phone.understand(from, said);
        phone.quiet(6_000);
        let told = phone.actions().find_map(|action| match action {
            Action::ReplyHeard(heard) if heard.turn == 1 => Some(heard.text.clone()),
            _ => None,
        });
        let heard: Vec<String> = (0..sentences)
            .flat_map(|sentence| (0..4).map(move |word| code(sentence, word)))
            .filter(|code| phone.ear.iter().filter(|played| *played == code).count() >= WORD)
            .map(name)
            .collect();
        prop_assert_eq!(told, Some(heard.join(" ")));
    }
}
