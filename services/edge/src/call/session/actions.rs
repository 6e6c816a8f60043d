//! What the call core wants done: on the socket, in Redis, on the topic and the queues.

use std::time::Duration;

use bus::{Queue, TraceContext};
use cache::{HeardSoFar, RecordingBlock};
use call_core::{Action, EndReason, Stages, Trouble};
use domain::{
    Channel, Envelope, EscalationRequested, EventId, Handover, Heard, MessageKind, MessageReceived,
    Payload, Personal, Sound, Stage, Timestamp, TranscribeSegment, Turn, TurnTimed,
};
use tokio::{sync::oneshot, time::Instant};

use super::Session;
use crate::call::{
    clock::duration,
    effects::{Effect, Note},
    fences::Word,
    recording::{Part, written_spans},
    socket::Outgoing,
    wire::{self, Caption},
};

/// Recognising later than this helps nobody (DESIGN 2).
const SEGMENT_LIFE: Duration = Duration::from_secs(10);
/// What a human is told who gets a call because nobody here answered, or nobody here understood.
const UNANSWERED: &str = "The platform did not answer the caller in time.";
const NOT_UNDERSTOOD: &str = "The platform could not understand the caller, or not speak to them.";
/// How long playback of the new turn may wait for the fence; Redis answers in well under 1 ms.
const FENCE_PATIENCE: Duration = Duration::from_millis(50);
/// Numbers of segments, per connection of the call: a late answer for the last connection is not taken for one of this.
const SEGMENTS_PER_ATTEMPT: u32 = 100_000;

/// Numbers of parts of the recording, per connection of the call; nearly three hours.
const PARTS_PER_ATTEMPT: u32 = 1_000;

/// The longest turn of which a model is told how it sounded: 60 s.
const SPEECH_MAX_SAMPLES: usize = 60 * 8_000;

/// How the turn that the caller is in sounds so far.
#[derive(Default)]
pub(super) struct Speech {
    mulaw: Vec<u8>,
    /// Where it ends on the caller's side of the recording.
    ends: Duration,
}

/// Frames that are not to leave before the fence stands in Redis.
pub(super) struct HeldBack {
    fence: oneshot::Receiver<()>,
    /// It is not waited for longer.
    pub(super) until: Instant,
    frames: Vec<String>,
}

impl Session {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::SendAudio(audio) => self.send(wire::media(&self.stream_sid, &audio)),
            Action::SendMark(name) => self.send(wire::mark(&self.stream_sid, name)),
            Action::SendClear => self.send(wire::clear(&self.stream_sid)),
            Action::SetFence { turn } => self.set_fence(turn),
            Action::Doubt { turn } => drop(self.fences.push(Word::Doubt(self.wire_turn(turn)))),
            Action::EndDoubt { .. } => drop(self.fences.push(Word::EndDoubt)),
            Action::Transcribe { turn, segment, offset, audio, tentative } => {
                if !tentative {
                    self.keep_speech(offset, &audio);
                }
                self.transcribe(turn, segment, audio)
            }
            Action::TurnTaken { turn, text, heard, stages, .. } => {
                self.turn_taken(turn, text, heard, &stages)
            }
            Action::TurnAudible { turn, stages } => self.turn_audible(turn, &stages),
            Action::HeardProgress { turn, attempt, sentence, text } => {
                self.reply_heard(turn, &text);
                if self.is_reply(turn) {
                    let turn = self.wire_turn(turn);
                    let heard = HeardSoFar { turn, attempt, sentence, text, complete: false };
                    self.notes.push(Note::Heard(heard));
                }
            }
            Action::Announced => self.announced(),
            Action::SentenceStarted { turn, text } => {
                self.caption(Caption::AgentSays { turn: self.wire_turn(turn).0, text: &text });
            }
            Action::ReplyHeard(heard) => {
                self.reply_heard(heard.turn, &heard.text);
                self.reply_over(heard.turn);
                if !heard.complete {
                    self.caption_heard(heard.turn, &heard.text);
                }
                if heard.complete && self.is_reply(heard.turn) {
                    self.notes.push(Note::Heard(HeardSoFar {
                        turn: self.wire_turn(heard.turn),
                        text: heard.text.clone(),
                        complete: true,
                        ..HeardSoFar::default()
                    }));
                }
                // Who talks into the farewell is listened to.
                if heard.complete {
                    self.follow(heard.turn);
                }
            }
            Action::ReplyPlayedOut { turn } => self.follow(turn),
            Action::PromptStarted { prompt, turn, text } => {
                self.caption(Caption::Prompt { text: &text });
                metrics::counter!("edge_prompts_spoken_total", "prompt" => format!("{prompt:?}").to_lowercase())
                    .increment(1);
                tracing::info!(call = %self.claims.call, ?prompt, turn = self.wire_turn(turn).0, "prompt spoken");
            }
            Action::Escalate { turn, trouble } => {
                let (reason, summary) = match trouble {
                    Trouble::NoAnswer => ("no_answer", UNANSWERED),
                    Trouble::NotUnderstood => ("not_understood", NOT_UNDERSTOOD),
                };
                self.unanswered = (turn, summary);
                let event = EscalationRequested { reason: reason.into(), summary: summary.into() };
                let event =
                    self.envelope(&format!("escalation:{}", self.wire_turn(turn).0), turn, event);
                self.effects.push(Effect::Event(event));
            }
            Action::RecordingPart { index, offset_samples, mut caller, mut agent } => {
                if self.settings.recording {
                    let paused = self.off_record.mask(offset_samples, [&mut caller, &mut agent]);
                    let (index, at) = (self.first_part() + index, self.in_call(offset_samples));
                    self.parts.push(Part {
                        index,
                        at,
                        caller: caller.into(),
                        agent: agent.into(),
                        paused,
                    });
                }
            }
            Action::RecordingBlock { part, block, offset_samples, mut caller, mut agent } => {
                if self.settings.recording {
                    let paused = self.off_record.mask(offset_samples, [&mut caller, &mut agent]);
                    let (part, at) = (self.first_part() + part, self.in_call(offset_samples));
                    let paused = written_spans(&paused);
                    self.blocks.push(RecordingBlock { part, block, at, paused, caller, agent });
                }
            }
            Action::End { reason, heard } => {
                if reason == EndReason::Unanswered
                    && let Some(human) = self.settings.human()
                {
                    let (turn, summary) = self.unanswered;
                    let handover = Handover { to: human.into(), summary: summary.into() };
                    self.transfer = Some((turn, handover));
                }
                self.ended = Some((reason, heard.and_then(|h| self.wire_heard(h))));
            }
        }
    }

    /// What was agreed to come after the reply to `turn`.
    fn follow(&mut self, turn: u32) {
        self.hang_up |= self.hang_up_after == Some(turn);
        if let Some(transfer) = self.transfer_after.take_if(|(after, _)| *after == turn) {
            self.transfer = Some(transfer);
        }
    }

    /// Shows words to a person who talks by a web page; on the phone there is nowhere to show them. Captions are in the
    /// stream, in their place among the audio, so that the page shows a sentence when it is heard.
    fn caption(&mut self, caption: Caption<'_>) {
        if self.claims.call.channel() == Channel::BROWSER {
            self.send(wire::caption(&self.stream_sid, &caption));
        }
    }

    /// Shows no more of a reply than was heard of it.
    pub(super) fn caption_heard(&mut self, turn: u32, text: &str) {
        self.caption(Caption::AgentHeard { turn: self.wire_turn(turn).0, text });
    }

    /// Sends a frame, or holds it back while the fence is on its way.
    fn send(&mut self, frame: String) {
        match &mut self.held {
            Some(held) => held.frames.push(frame),
            None => self.socket.send(Outgoing::Text(frame)),
        }
    }

    /// Sets the turn fence. What the socket is told after it waits for it, a little (DESIGN 2, "Turn fence").
    fn set_fence(&mut self, turn: u32) {
        let fence = self.fences.push(Word::Fence(self.wire_turn(turn)));
        match &mut self.held {
            Some(held) => held.fence = fence,
            None => {
                self.held = Some(HeldBack {
                    fence,
                    until: Instant::now() + FENCE_PATIENCE,
                    frames: Vec::new(),
                })
            }
        }
    }

    pub(super) fn release(&mut self) {
        for frame in self.held.take().map(|h| h.frames).unwrap_or_default() {
            self.socket.send(Outgoing::Text(frame));
        }
    }

    fn transcribe(&mut self, turn: u32, segment: u32, audio: Vec<u8>) {
        self.notes.push(Note::Speaking(self.wire_turn(turn)));
        let segment = self.first_segment() + segment;
        let job = TranscribeSegment {
            call: self.claims.call.clone(),
            segment,
            audio,
            language: self.listens_in.as_ref().unwrap_or(&self.settings.voice.language).clone(),
            vendors: self.settings.stt.clone(),
        };
        let mut job = self.envelope(&format!("segment:{segment}"), turn, job);
        job.stamp(Stage::SEGMENT_SENT, job.occurred_at);
        let expires_at = job.occurred_at.plus(SEGMENT_LIFE);
        self.effects.push(Effect::Job(Queue::Transcribe, job.expiring_at(expires_at)));
    }

    /// Keeps how the turn sounds, for a model that hears. What does not follow on what was kept belongs to another turn: the
    /// segments of one have no gap.
    fn keep_speech(&mut self, offset: Duration, audio: &[u8]) {
        if !self.settings.has_speech_model() {
            return;
        }
        let kept = self.speech.take().filter(|kept| kept.ends == offset);
        let mut kept = kept.unwrap_or_default();
        kept.mulaw.extend_from_slice(audio);
        kept.ends = offset + duration(audio.len() as u64);
        self.speech = Some(kept);
    }

    /// How the turn sounded. One of keys alone has no sound, and of a long one the words are enough.
    fn speech_of(&mut self, stages: &Stages) -> Option<Sound> {
        let kept = self.speech.take()?;
        let is_heard = stages.segment_sent.is_some() && kept.mulaw.len() <= SPEECH_MAX_SAMPLES;
        is_heard.then(|| Sound::new(kept.mulaw))
    }

    fn turn_taken(
        &mut self,
        turn: u32,
        text: String,
        heard: Option<call_core::Heard>,
        stages: &Stages,
    ) {
        self.caption(Caption::CallerSaid { turn: self.wire_turn(turn).0, text: &text });
        let speech = self.speech_of(stages);
        let received = MessageReceived {
            from: self.claims.from.clone(),
            to: self.claims.to.clone(),
            text: Personal::new(text),
            kind: MessageKind::Speech,
            external_id: String::new(),
            profile_name: None,
            bsuid: None,
            heard: heard.and_then(|h| self.wire_heard(h)),
            call: Some(self.claims.call.clone()),
            quotes: None,
            referral: None,
            gathered: false,
            speech,
        };
        let mut event = self.envelope(&format!("turn:{}", self.wire_turn(turn).0), turn, received);
        self.off_record_before = self.off_record_talk;
        let from_voice = std::mem::take(&mut self.words_stages).into_iter();
        let from_voice = from_voice
            .filter(|s| s.name == Stage::TRANSCRIBE_STARTED || s.name == Stage::TRANSCRIBED);
        event.stages = [
            self.clock.stage(Stage::SPEECH_ENDED, stages.speech_ended),
            self.clock.stage(Stage::SEGMENT_SENT, stages.segment_sent),
        ]
        .into_iter()
        .flatten()
        .chain(from_voice)
        .chain(self.clock.stage(Stage::SEGMENT_TRANSCRIBED, stages.segment_transcribed))
        .chain(self.clock.stage(Stage::TURN_ENDED, stages.turn_ended))
        .collect();
        self.reply_stages.insert(turn, (0, event.stages.clone()));
        self.reply_stages.retain(|t, _| *t + 1 >= turn);
        // What is off the record is nowhere but on its way: whoever goes on with the call asks for it once more.
        let effect = if event.off_record { Effect::Event(event) } else { Effect::Turn(event) };
        self.effects.push(effect);
    }

    fn turn_audible(&mut self, turn: u32, stages: &Stages) {
        let Some((attempt, mut all)) = self.reply_stages.remove(&turn) else { return };
        all.extend(self.clock.stage(Stage::AUDIO_RECEIVED, stages.first_audio_received));
        all.extend(self.clock.stage(Stage::FIRST_AUDIO_OUT, stages.first_audio_out));
        if let (Some(ended), Some(out)) = (stages.turn_ended, stages.first_audio_out) {
            metrics::histogram!("edge_turn_answer_seconds").record(out.saturating_sub(ended));
        }
        let mut event = self.envelope(
            &format!("turn-timed:{}", self.wire_turn(turn).0),
            turn,
            TurnTimed { attempt },
        );
        event.stages = all;
        self.effects.push(Effect::Event(event));
    }

    /// An envelope of this call, under the id derived from `name`: the same wherever it is made.
    pub(super) fn envelope(
        &mut self,
        name: &str,
        turn: u32,
        payload: impl Into<Payload>,
    ) -> Envelope {
        if self.trace.0 != turn {
            self.trace = (turn, TraceContext::root());
        }
        let mut envelope = Envelope::new(
            EventId::from_uuid(self.conversation.derive(name)),
            self.claims.tenant,
            self.conversation,
            self.claims.call.channel(),
            Timestamp::now(),
            payload,
        )
        .with_turn(self.wire_turn(turn))
        .answering_to(self.services.own_queue.clone());
        envelope.traceparent = Some(self.trace.1.child().to_string());
        envelope.off_record = self.is_off_record();
        envelope
    }

    /// The core counts the turns of one connection; the mesh those of the call.
    pub(super) fn wire_turn(&self, turn: u32) -> Turn {
        Turn(self.turns_before + turn)
    }

    /// Turn 0 of a call that was lost is the reply it was lost in. What a caller hears who comes back from a transfer
    /// answers nothing.
    fn is_reply(&self, turn: u32) -> bool {
        turn > 0 || !self.returned
    }

    fn wire_heard(&self, heard: call_core::Heard) -> Option<Heard> {
        self.is_reply(heard.turn).then(|| Heard {
            turn: self.wire_turn(heard.turn),
            text: Personal::new(heard.text),
            complete: heard.complete,
        })
    }

    pub(super) fn first_segment(&self) -> u32 {
        self.claims.attempt * SEGMENTS_PER_ATTEMPT
    }

    fn first_part(&self) -> u32 {
        self.claims.attempt * PARTS_PER_ATTEMPT
    }

    /// Where in the call lies what is so far in its stream, samples; nothing where nobody knows when it began.
    fn in_call(&self, offset_samples: u64) -> Option<u64> {
        Some(self.stream_at? + offset_samples)
    }
}

/// Waits until the fence stands. Forever where nothing is held back.
pub(super) async fn fence_stands(held: &mut Option<HeldBack>) {
    match held {
        Some(held) => {
            // An error means that its task is gone: no reason to wait longer.
            let _ = (&mut held.fence).await;
        }
        None => std::future::pending().await,
    }
}
