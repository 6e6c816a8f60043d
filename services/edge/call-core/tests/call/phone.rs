//! A telephone on the other end of the core: speaks frame by frame in virtual time, plays what it is sent as Twilio
//! does (PROTOCOLS 1.5), and keeps what its user hears.

use std::{collections::VecDeque, time::Duration};

use call_core::{Action, CallCore, Heard, Input, Moment, Resumption, Settings, Transcript, g711};

pub const FRAME: usize = 160;
const START: Moment = Duration::from_secs(1_000);

enum Queued {
    Sample(u8),
    Mark(String),
}

pub struct Phone {
    pub core: CallCore,
    pub now: Moment,
    started: Moment,
    queue: VecDeque<Queued>,
    /// What was heard, sample by sample, since the start of the stream.
    pub ear: Vec<u8>,
    /// What was said.
    pub mouth: Vec<u8>,
    pub log: Vec<(Moment, Action)>,
    /// Whether marks come back.
    pub marks: bool,
}

impl Phone {
    pub fn new(settings: Settings) -> Self {
        Self::of(CallCore::new(settings, START))
    }

    /// A call that goes on after it was lost elsewhere.
    pub fn resumed(settings: Settings, resumption: Resumption) -> Self {
        let mut phone = Self::of(CallCore::resumed(settings, resumption, START));
        phone.input(Input::StreamStarted);
        phone
    }

    fn of(core: CallCore) -> Self {
        Self {
            core,
            now: START,
            started: START,
            queue: VecDeque::new(),
            ear: Vec::new(),
            mouth: Vec::new(),
            log: Vec::new(),
            marks: true,
        }
    }

    pub fn started(settings: Settings) -> Self {
        let mut phone = Self::new(settings);
        phone.input(Input::StreamStarted);
        phone
    }

    pub fn input(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.core.handle(input, self.now, &mut out);
        if let Some(wake) = self.core.next_wake() {
            assert!(wake > self.now, "a wake that is due was not served");
        }
        for action in out {
            match &action {
                Action::SendAudio(audio) => {
                    self.queue.extend(audio.iter().copied().map(Queued::Sample));
                }
                Action::SendMark(name) => self.queue.push_back(Queued::Mark(name.clone())),
                Action::SendClear => {
                    let marks: Vec<_> = self.queue.drain(..).collect();
                    self.log.push((self.now, action));
                    for queued in marks {
                        if let Queued::Mark(name) = queued {
                            self.return_mark(&name);
                        }
                    }
                    continue;
                }
                _ => {}
            }
            self.log.push((self.now, action));
        }
    }

    fn return_mark(&mut self, name: &str) {
        if self.marks {
            self.input(Input::MarkReturned { name: name.into() });
        }
    }

    /// Speaks `audio`; time passes with it.
    pub fn speak(&mut self, audio: &[u8]) {
        for frame in audio.chunks(FRAME) {
            self.pass(Duration::from_micros(frame.len() as u64 * 125));
            let timestamp = Some(Duration::from_micros(self.mouth.len() as u64 * 125));
            self.mouth.extend(frame);
            self.input(Input::AudioFrame { payload: frame.into(), timestamp });
        }
    }

    pub fn quiet(&mut self, ms: u64) {
        self.speak(&vec![g711::SILENCE; ms as usize * 8]);
    }

    /// Lets time pass in which nothing is sent.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            while let Some(Queued::Mark(_)) = self.queue.front() {
                if let Some(Queued::Mark(name)) = self.queue.pop_front() {
                    self.return_mark(&name);
                }
            }
            let to_mark = self.queue.iter().position(|queued| matches!(queued, Queued::Mark(_)));
            let mark =
                to_mark.map(|samples| self.now + Duration::from_micros(samples as u64 * 125));
            let wake = self.core.next_wake();
            let next = [mark, wake].into_iter().flatten().chain([until]).min();
            let next = next.unwrap_or(until).min(until);
            self.play_until(next);
            if next == until {
                if wake == Some(next) {
                    self.input(Input::Tick);
                }
                if mark == Some(next) {
                    continue;
                }
                return;
            }
            if wake == Some(next) {
                self.input(Input::Tick);
            }
        }
    }

    fn play_until(&mut self, until: Moment) {
        let end = ((until - self.started).as_micros() / 125) as usize;
        while self.ear.len() < end {
            match self.queue.front() {
                Some(Queued::Sample(code)) => {
                    self.ear.push(*code);
                    self.queue.pop_front();
                }
                _ => self.ear.push(g711::SILENCE),
            }
        }
        self.now = until;
    }

    pub fn words(&mut self, segment: u32, text: &str) {
        self.input(Input::SegmentTranscribed {
            segment,
            result: Transcript::Words { text: text.to_owned(), confidence: Some(0.9) },
        });
    }

    /// Answers every segment handed out since `from` in the log with `text`.
    pub fn understand(&mut self, from: usize, text: &str) {
        let segments: Vec<u32> = self.log[from..]
            .iter()
            .filter_map(|(_, action)| match action {
                Action::Transcribe { segment, .. } => Some(*segment),
                _ => None,
            })
            .collect();
        for segment in segments {
            self.words(segment, text);
        }
    }

    /// Says `audio`, is understood as `text`, and waits until the turn is taken.
    pub fn take_turn(&mut self, audio: &[u8], text: &str) -> u32 {
        let from = self.log.len();
        self.speak(audio);
        self.quiet(400);
        self.understand(from, text);
        self.quiet(300);
        let taken = self.log[from..].iter().find_map(|(_, action)| match action {
            Action::TurnTaken { turn, text: said, .. } => {
                assert_eq!(said, text);
                Some(*turn)
            }
            _ => None,
        });
        taken.expect("the turn is taken")
    }

    pub fn sentence(&mut self, turn: u32, attempt: u32, index: u32, text: &str, audio: &[u8]) {
        self.input(Input::SentenceSpoken {
            turn,
            attempt,
            index,
            part: 0,
            more: false,
            text: text.to_owned(),
            audio: Some(audio.into()),
        });
    }

    pub fn finish(&mut self, turn: u32, attempt: u32, sentences: u32) {
        self.input(Input::ReplyFinished { turn, attempt, sentences });
    }

    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.log.iter().map(|(_, action)| action)
    }

    pub fn count(&self, what: impl Fn(&Action) -> bool) -> usize {
        self.actions().filter(|action| what(action)).count()
    }

    pub fn place(&self, what: impl Fn(&Action) -> bool) -> usize {
        self.actions().position(what).expect("the action was given")
    }

    /// Position, number and audio of each segment.
    pub fn segments(&self) -> Vec<(usize, u32, &[u8])> {
        self.actions()
            .filter_map(|action| match action {
                Action::Transcribe { segment, offset, audio, .. } => {
                    Some(((offset.as_micros() / 125) as usize, *segment, audio.as_slice()))
                }
                _ => None,
            })
            .collect()
    }

    /// Number, words and what was heard before, of each turn.
    pub fn turns(&self) -> Vec<(u32, &str, Option<&Heard>)> {
        self.actions()
            .filter_map(|action| match action {
                Action::TurnTaken { turn, text, heard, .. } => {
                    Some((*turn, text.as_str(), heard.as_ref()))
                }
                _ => None,
            })
            .collect()
    }

    /// Caller's and agent's side of the whole recording.
    pub fn recording(&self) -> (Vec<u8>, Vec<u8>) {
        let mut sides = (Vec::new(), Vec::new());
        let mut next = 0;
        for action in self.actions() {
            if let Action::RecordingPart { index, offset_samples, caller, agent } = action {
                assert_eq!(*index, next);
                assert_eq!(*offset_samples, sides.0.len() as u64);
                assert_eq!(caller.len(), agent.len());
                sides.0.extend(caller);
                sides.1.extend(agent);
                next += 1;
            }
        }
        sides
    }
}
