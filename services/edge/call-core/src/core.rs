//! The call as a whole: what each input means for the turn, the playback and the recording.

mod barge_in;
mod keys;
mod limit;
mod silence;

use std::time::Duration;

use self::{keys::Keys, limit::LIMIT_GRACE, silence::MeshSilence};
use crate::{
    Action, EndReason, Heard, Input, Moment, Prompt, PromptKind, RestOfReply, Resumption, Settings,
    Stages,
    g711::SILENCE,
    media_clock::{MediaClock, Placed, duration, samples},
    playback::{Piece, Playback, Progress},
    recording::Recording,
    turn::{Event, Outcome, ReadySegment, Times, TurnTaker},
    utterance::{Agent, is_back_channel},
};

/// How long the words of a turn are waited for in the middle of which the caller hung up. Recognition takes a fraction of
/// it; a call whose voice task died just then loses its last words, not its end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Times later than this are taken for it, so that no sum of times overflows.
const LATEST: Moment = Duration::from_secs(u64::MAX / 2);

const SILENT_FRAME: [u8; 160] = [SILENCE; 160];

/// One phone call.
///
/// Turns are numbered from 1 as the caller takes them; turn 0 is the greeting. A reply is spoken only while its turn is
/// the last one taken, and only in the attempt that was begun; it does not begin while the caller speaks.
pub struct CallCore {
    settings: Settings,
    now: Moment,
    /// The last turn taken.
    taken: u32,
    /// The fence as last set.
    fence: u32,
    /// The turn whose reply nobody is to work on before it is known whether the caller interrupts.
    doubted: Option<u32>,
    /// Times of the turn taken last.
    stages: Stages,
    turn: TurnTaker,
    /// Whether the open turn has cut short what the agent was saying.
    has_cut: bool,
    playback: Playback,
    /// What was heard of the last reply, until a turn tells it.
    heard: Option<Heard>,
    silence: Option<MeshSilence>,
    /// The one before, until it is known whether the caller has said something in it.
    silence_before: Option<MeshSilence>,
    /// The reply to turn 0 is an answer that was owed elsewhere, and no greeting.
    resumes_reply: bool,
    /// How often in a row the caller could not be understood, or not be answered.
    setbacks: u32,
    /// Keys pressed that are not a turn yet.
    keys: Keys,
    /// When something last went on in the talk beside the agent's voice.
    active: Moment,
    /// How often the silent caller was asked.
    asked: u32,
    warned: bool,
    stream: Option<Stream>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Talking,
    /// The goodbye is on its way; the call ends at this time at the latest.
    Closing(Moment, EndReason),
    /// The caller is gone and the last words are on their way; the call ends at this time at the latest.
    Gone(Moment),
    Ended,
}

/// What exists once the media stream runs.
struct Stream {
    started: Moment,
    first_audio: Option<Moment>,
    clock: MediaClock,
    recording: Recording,
}

impl CallCore {
    /// A call whose stream has not started yet.
    pub fn new(settings: Settings, now: Moment) -> Self {
        let now = now.min(LATEST);
        let mut playback = Playback::new(settings.send_ahead);
        playback.expect_reply(0);
        Self {
            now,
            taken: 0,
            fence: 0,
            doubted: None,
            stages: Stages::default(),
            turn: TurnTaker::new(settings.turn.clone(), now),
            has_cut: false,
            playback,
            heard: None,
            silence: None,
            silence_before: None,
            resumes_reply: false,
            setbacks: 0,
            keys: Keys::default(),
            active: now,
            asked: 0,
            warned: false,
            stream: None,
            phase: Phase::Talking,
            settings,
        }
    }

    /// A call that goes on here after another task lost it, whose stream has not started yet. What is spoken or due of the
    /// last reply is the reply to turn 0; there is no greeting.
    pub fn resumed(settings: Settings, resumption: Resumption, now: Moment) -> Self {
        let mut core = Self::new(settings, now);
        core.playback = Playback::new(core.settings.send_ahead);
        core.heard = resumption.heard.map(|(text, complete)| Heard { turn: 0, text, complete });
        core.say(PromptKind::Resumed);
        if let Some(RestOfReply { sentences, text }) = resumption.reply {
            core.resumes_reply = true;
            core.playback.expect_rest(0, sentences, text);
            core.await_mesh(0);
        } else if resumption.ask_again {
            core.say(PromptKind::Repeat);
        }
        core
    }

    /// Whether nobody speaks, and nothing is owed: a moment at which the call can change hands.
    pub fn is_at_pause(&self) -> bool {
        self.phase == Phase::Talking
            && self.silence.is_none()
            && !self.turn.is_open()
            && self.keys.due.is_none()
            && !self.playback.is_mid_reply()
            && !self.playback.is_speaking(self.now)
    }

    /// Takes in what happened at `now` and appends what is to be done to `out`, in order.
    pub fn handle(&mut self, input: Input<'_>, now: Moment, out: &mut Vec<Action>) {
        self.now = self.now.max(now.min(LATEST));
        match (self.phase, input) {
            (Phase::Ended, _) => return,
            (_, Input::Lost) => {
                // Whoever goes on with the call has the reply go on.
                self.end_doubt(out);
                return self.end(EndReason::Stopped, out);
            }
            (Phase::Gone(_), Input::SegmentTranscribed { segment, result }) => {
                self.turn.transcribed(segment, result, self.now);
                return self.await_last_words(out);
            }
            (Phase::Gone(_), _) => return self.await_last_words(out),
            (_, Input::Stop) => return self.stop(out),
            (_, Input::StreamStarted) => self.start(),
            (_, Input::AudioFrame { payload, timestamp }) => self.listen(&payload, timestamp, out),
            (_, Input::MarkReturned { name }) => self.mark_returned(&name, out),
            (_, Input::ListensIn { language }) => self.turn.listen_in(language),
            (_, Input::Tick) => {}
            (Phase::Closing(..), _) => {}
            (Phase::Talking, Input::Dtmf { digit }) => self.press(digit, out),
            (Phase::Talking, Input::Greeting { text, audio }) => {
                let audio = Some(audio);
                let piece = Piece { attempt: 0, index: 0, part: 0, more: false, text, audio };
                self.add_sentence(0, piece);
                self.finish_reply(0, 0, 1);
            }
            (Phase::Talking, Input::Announcement { text, audio }) => {
                self.playback.say(PromptKind::Announcement, Prompt { text, audio });
            }
            (Phase::Talking, Input::SegmentTranscribed { segment, result }) => {
                self.turn.transcribed(segment, result, self.now);
                self.weigh_words(out);
            }
            (
                Phase::Talking,
                Input::SentenceSpoken { turn, attempt, index, part, more, text, audio },
            ) => self.add_sentence(turn, Piece { attempt, index, part, more, text, audio }),
            (Phase::Talking, Input::ReplyFinished { turn, attempt, sentences }) => {
                self.finish_reply(turn, attempt, sentences)
            }
        }
        self.settle(out);
    }

    /// When to call with [`Input::Tick`] at the latest if nothing else happens; nothing before the stream starts and
    /// once the call has ended.
    pub fn next_wake(&self) -> Option<Moment> {
        let stream = self.stream.as_ref()?;
        let limit = self.limit(stream);
        let end = match self.phase {
            Phase::Ended => return None,
            Phase::Closing(at, _) => at,
            Phase::Gone(at) => return Some(at),
            Phase::Talking if self.now < limit => limit,
            Phase::Talking => limit + LIMIT_GRACE,
        };
        let others = [
            self.playback.next_wake(self.is_taking_turn()),
            self.turn.next_wake(),
            self.silence_ends(),
            self.keys.due.filter(|_| !self.turn.is_open()),
            self.caller_silent_at(),
            self.warning_at(stream).filter(|at| *at > self.now),
            stream.recording.next_wake(),
        ];
        others.into_iter().flatten().chain([end]).min()
    }

    /// Whether [`Action::End`] has been given.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    fn start(&mut self) {
        self.active = self.now;
        self.stream.get_or_insert_with(|| {
            let latest = self.now + self.settings.call_limit + 2 * LIMIT_GRACE;
            Stream {
                started: self.now,
                first_audio: None,
                clock: MediaClock::default(),
                recording: Recording::new(
                    self.now,
                    latest,
                    self.settings.recording_part,
                    self.settings.recording_block,
                ),
            }
        });
    }

    fn listen(&mut self, payload: &[u8], timestamp: Option<Moment>, out: &mut Vec<Action>) {
        let now = self.now;
        let Some(stream) = self.stream.as_mut().filter(|_| !payload.is_empty()) else {
            return;
        };
        let elapsed = samples(now - *stream.first_audio.get_or_insert(now));
        let len = payload.len() as u64;
        let Placed::At { at, mut lost } = stream.clock.place(timestamp, len, elapsed) else {
            return;
        };
        stream.recording.caller(at, payload, now);
        if self.phase != Phase::Talking {
            return;
        }
        while lost > 0 {
            let part = lost.min(SILENT_FRAME.len() as u64);
            self.hear(&SILENT_FRAME[..part as usize], out);
            lost -= part;
        }
        self.hear(payload, out);
    }

    fn hear(&mut self, mut audio: &[u8], out: &mut Vec<Action>) {
        while !audio.is_empty() {
            let settings = &self.settings.turn;
            let enough = match self.playback.is_speaking(self.now) {
                false => settings.speech_after,
                true if self.playback.is_mid_reply() => settings.barge_in_after,
                true => settings.cut_in_after,
            };
            let (taken, event) = self.turn.hear(audio, enough, self.now);
            audio = &audio[taken..];
            match event {
                Some(Event::SpeechStarted) => self.fall_silent(out),
                Some(Event::SegmentReady(segment)) => self.transcribe(segment, false, out),
                None => {}
            }
            if self.playback.is_paused() {
                self.listen_closer(out);
            }
        }
    }

    /// Ends the reply and all sound of it. Gives what was heard.
    fn silence_agent(&mut self, out: &mut Vec<Action>) -> Option<Heard> {
        let heard = self.playback.drop_reply(self.now);
        self.clear(out);
        heard
    }

    fn clear(&mut self, out: &mut Vec<Action>) {
        if let Some(stream) = &mut self.stream {
            self.playback.clear(self.now, &mut stream.recording, out);
        }
    }

    fn transcribe(&mut self, segment: ReadySegment, tentative: bool, out: &mut Vec<Action>) {
        out.push(Action::Transcribe {
            turn: self.taken + 1,
            segment: segment.number,
            offset: duration(segment.at),
            audio: segment.audio,
            tentative,
        });
    }

    fn mark_returned(&mut self, name: &str, out: &mut Vec<Action>) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let progress = self.playback.mark_returned(name, self.now, &mut stream.recording);
        out.extend(progress.map(|Progress { turn, attempt, sentence, text }| {
            Action::HeardProgress { turn, attempt, sentence, text }
        }));
        if self.playback.has_announced(self.now) {
            out.push(Action::Announced);
        }
    }

    fn add_sentence(&mut self, turn: u32, piece: Piece) {
        let reply = self.playback.reply().filter(|reply| reply.turn() == turn);
        if let Some(reply) = reply {
            if piece.audio.is_some() {
                self.stages.first_audio_received.get_or_insert(self.now);
            }
            reply.add(piece);
        }
    }

    fn finish_reply(&mut self, turn: u32, attempt: u32, sentences: u32) {
        let reply = self.playback.reply().filter(|reply| reply.turn() == turn);
        if let Some(reply) = reply {
            reply.finish(attempt, sentences);
        }
    }

    /// Does what is due after any input.
    fn settle(&mut self, out: &mut Vec<Action>) {
        if self.stream.is_none() {
            return;
        }
        if let Some(segment) = self.turn.pass_time(self.now) {
            self.transcribe(segment, false, out);
        }
        self.conclude_reply(out);
        self.give_up_babble(out);
        self.give_up_doubt();
        self.conclude_turn(out);
        self.break_silence(out);
        self.conclude_keys(out);
        self.speak(out);
        self.conclude_reply(out);
        self.keep_to_limit(out);
        self.ask_the_silent(out);
        self.speak(out);
        if let Phase::Closing(latest, reason) = self.phase
            && (self.playback.is_done() || self.now >= latest)
        {
            return self.end(reason, out);
        }
        if let Some(stream) = &mut self.stream {
            stream.recording.advance(self.now, out);
        }
    }

    fn conclude_reply(&mut self, out: &mut Vec<Action>) {
        let Some(heard) = self.playback.conclude_reply(self.now) else {
            return;
        };
        let (turn, complete, is_unheard) = (heard.turn, heard.complete, heard.text.is_empty());
        self.note_heard(Some(heard), out);
        if complete {
            return;
        }
        if !is_unheard {
            return out.push(Action::ReplyPlayedOut { turn });
        }
        // None of it could be spoken.
        (self.silence, self.silence_before) = (None, None);
        match self.is_taking_turn() {
            true => self.has_cut = true,
            false => self.ask_again(out),
        }
    }

    fn conclude_turn(&mut self, out: &mut Vec<Action>) {
        if self.turn.is_waiting_for_words() && !self.playback.is_mid_reply() {
            self.await_mesh(self.taken + 1);
        }
        let Some(outcome) = self.turn.conclude() else {
            return;
        };
        self.active = self.now;
        match outcome {
            Outcome::Words { text, .. } if self.is_listening(&text) => {
                match self.playback.is_mid_reply() {
                    true => self.playback.resume(),
                    false => self.go_back(false, out),
                }
            }
            Outcome::Words { mut text, confidence, times } => {
                let keys = std::mem::take(&mut self.keys);
                if !keys.pressed.is_empty() {
                    text.push(' ');
                    text.push_str(&keys.pressed);
                }
                let agreed = is_back_channel(&text, Agent::Telling, self.turn.language())
                    && self.playback.was_ending();
                let agreed = self.playback.reply().filter(|_| agreed).map(|reply| reply.turn());
                self.interrupt(out);
                out.extend(agreed.map(|turn| Action::ReplyPlayedOut { turn }));
                self.take_turn(text, confidence, self.stages_of(&times), out);
            }
            Outcome::Noise | Outcome::NotUnderstood if self.playback.is_mid_reply() => {
                self.playback.resume();
            }
            Outcome::Noise if self.has_cut && !self.owes_reply() => {
                self.go_back(false, out);
                self.say(PromptKind::Repeat);
            }
            Outcome::Noise => self.go_back(false, out),
            Outcome::NotUnderstood => self.go_back(true, out),
        }
    }

    /// Whether the caller, speaking into a reply or before one that is due, only said that he listens.
    fn is_listening(&self, text: &str) -> bool {
        let agent = match self.playback.is_mid_reply() {
            // Who agrees over its last word answers it.
            true if self.playback.was_ending() => return false,
            true => self.agent_in_reply(),
            false if !self.owes_reply() || !self.keys.pressed.is_empty() => return false,
            // A "sure" answers "one moment, please".
            false if self.asked_for_patience() => Agent::Telling,
            false => Agent::Thinking,
        };
        is_back_channel(text, agent, self.turn.language())
    }

    fn take_turn(
        &mut self,
        text: String,
        confidence: Option<f32>,
        stages: Stages,
        out: &mut Vec<Action>,
    ) {
        let turn = self.taken + 1;
        self.asked = 0;
        if self.playback.awaits_reply() {
            // Overtaken before a word of it was spoken.
            self.raise_fence(turn, out);
        }
        let heard = self.playback.drop_reply(self.now);
        self.note_heard(heard, out);
        self.taken = turn;
        self.has_cut = false;
        self.stages = stages;
        self.playback.expect_reply(turn);
        self.await_mesh(turn);
        self.silence_before = None;
        out.push(Action::TurnTaken { turn, text, confidence, heard: self.heard.take(), stages });
    }

    /// The caller's turn came to nothing. A reply that waited for it is spoken now; else the caller, who spoke in vain, is
    /// asked to say it again.
    fn go_back(&mut self, ask_again: bool, out: &mut Vec<Action>) {
        self.has_cut = false;
        self.await_owed_reply();
        if ask_again && !self.owes_reply() {
            self.ask_again(out);
        }
    }

    /// Whether the caller is in a turn, spoken or keyed: what is due waits for it.
    fn is_taking_turn(&self) -> bool {
        self.turn.is_open() || self.keys.due.is_some()
    }

    fn speak(&mut self, out: &mut Vec<Action>) {
        if !self.playback.is_paused() {
            self.end_doubt(out);
        }
        let hold = self.is_taking_turn();
        let Some(stream) = &mut self.stream else {
            return;
        };
        let began = self.playback.advance(hold, self.taken, self.now, &mut stream.recording, out);
        if let Some(turn) = began {
            self.silence = None;
            self.setbacks = 0;
            self.stages.first_audio_out = Some(self.now);
            out.push(Action::TurnAudible { turn, stages: self.stages });
        }
    }

    fn say(&mut self, kind: PromptKind) {
        if let Some(prompt) = self.prompt(kind).cloned() {
            self.playback.say(kind, prompt);
        }
    }

    fn prompt(&self, kind: PromptKind) -> Option<&Prompt> {
        let prompts = &self.settings.prompts;
        match kind {
            PromptKind::Filler => &prompts.filler,
            PromptKind::Apology => &prompts.apology,
            PromptKind::Repeat => &prompts.repeat,
            PromptKind::Slower => {
                prompts.slower.as_ref().map_or(&prompts.repeat, |_| &prompts.slower)
            }
            PromptKind::Goodbye => &prompts.goodbye,
            PromptKind::Resumed => &prompts.resumed,
            PromptKind::Warning => &prompts.warning,
            PromptKind::StillThere => &prompts.still_there,
            PromptKind::Unheard => &prompts.unheard,
            PromptKind::Announcement => return None,
        }
        .as_ref()
    }

    fn raise_fence(&mut self, turn: u32, out: &mut Vec<Action>) {
        self.doubted = None;
        if turn > self.fence {
            self.fence = turn;
            out.push(Action::SetFence { turn });
        }
    }

    fn note_heard(&mut self, heard: Option<Heard>, out: &mut Vec<Action>) {
        if let Some(heard) = heard {
            self.active = self.now;
            // A reply may be over without a sound: it has no sentences.
            self.silence.take_if(|silence| silence.turn == heard.turn && heard.complete);
            out.push(Action::ReplyHeard(heard.clone()));
            self.heard = Some(heard);
        }
    }

    /// The caller is gone. What was said of a turn is still to be known.
    fn stop(&mut self, out: &mut Vec<Action>) {
        if self.doubted.is_some() {
            // Nobody is there to hear the rest.
            self.raise_fence(self.taken + 1, out);
        }
        if self.phase != Phase::Talking || !self.turn.is_open() {
            return self.end(EndReason::Stopped, out);
        }
        let heard = self.playback.drop_reply(self.now);
        self.note_heard(heard, out);
        if let Some(segment) = self.turn.stop(self.now) {
            self.transcribe(segment, false, out);
        }
        if let Some(stream) = &mut self.stream {
            stream.recording.finish(self.now, out);
        }
        self.phase = Phase::Gone(self.now + LAST_WORDS);
        self.await_last_words(out);
    }

    fn await_last_words(&mut self, out: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Gone(latest) if self.now >= latest) {
            self.turn.give_up_words();
        }
        match self.turn.conclude() {
            None if self.turn.is_open() => return,
            Some(Outcome::Words { text, confidence, times }) => {
                self.take_turn(text, confidence, self.stages_of(&times), out);
                // Nobody is there to hear an answer.
                self.raise_fence(self.taken + 1, out);
            }
            _ => {}
        }
        self.end(EndReason::Stopped, out);
    }

    fn stages_of(&self, times: &Times) -> Stages {
        Stages {
            speech_ended: times.speech_ended,
            segment_sent: times.segment_sent,
            segment_transcribed: times.segment_transcribed,
            turn_ended: Some(self.now),
            ..Stages::default()
        }
    }

    fn end(&mut self, reason: EndReason, out: &mut Vec<Action>) {
        let heard = self.playback.drop_reply(self.now);
        self.note_heard(heard, out);
        if let Some(stream) = &mut self.stream {
            stream.recording.finish(self.now, out);
        }
        self.phase = Phase::Ended;
        out.push(Action::End { reason, heard: self.heard.take() });
    }
}
