use std::{collections::VecDeque, time::Duration};

use aws_smithy_eventstream::smithy::parse_response_headers;
use aws_smithy_types::event_stream::Message;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::g711;
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout_at},
};

use super::protocol::{Block, Event, RATE_HZ, Script, Stop, Voice};
use crate::llm::{
    AnswerBytes, Asked, Delta, Deltas, Exchange, ModelError, Spoken, Usage, Waiting,
    bedrock::{Frames, error_name},
    patience::{END_WITHIN, Patience},
};

/// A microphone never stops; while the model is waited for it hears this much quiet at a time.
const QUIET_EVERY: Duration = Duration::from_millis(100);
const QUIET_SAMPLES: usize = RATE_HZ as usize / 10;

/// The longest sentence taken, in samples: 60 s. More is rubbish or a loop.
const SENTENCE_SAMPLES_MAX: usize = 60 * RATE_HZ as usize;

/// The longest words of a sentence, and arguments of a tool, in bytes.
const WORDS_BYTES_MAX: usize = 4_000;
const ARGUMENTS_BYTES_MAX: usize = 32 * 1024;

/// A session that answers one turn.
pub(super) struct Talk {
    bytes: stream::Fuse<AnswerBytes>,
    frames: Frames,
    /// `None` once everything was said.
    say: Option<mpsc::UnboundedSender<Value>>,
    script: Script,
    voice: Voice,
    quiet: Interval,
    told: watch::Receiver<Vec<Exchange>>,
    /// The tool whose outcome the model waits for.
    owed: Option<String>,
    answer: Answer,
    ready: VecDeque<Delta>,
    /// Until when more must be there.
    deadline: Instant,
    patience: Patience,
    waiting: Waiting,
    is_over: bool,
}

/// What of an answer is on its way.
#[derive(Default)]
struct Answer {
    block: Option<Block>,
    words: String,
    sound: Vec<u8>,
    asks: Option<Asked>,
    /// By the whole session.
    used: Usage,
}

/// What the answer has come to.
enum Step {
    /// More of it is to come.
    More(Option<Delta>),
    /// The model asks for a tool, and waits.
    Asks(Asked),
    /// The model has said all it wanted to.
    Whole(Option<Delta>),
    /// Nothing more comes.
    Over,
}

impl Talk {
    pub(super) fn new(
        bytes: AnswerBytes,
        (say, script, voice): (mpsc::UnboundedSender<Value>, Script, Voice),
        told: watch::Receiver<Vec<Exchange>>,
        deadline: Instant,
        patience: Patience,
    ) -> Self {
        let mut quiet = interval_at(Instant::now() + QUIET_EVERY, QUIET_EVERY);
        // While a tool runs nobody listens; what was missed then is not made up for.
        quiet.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            bytes: bytes.fuse(),
            frames: Frames::default(),
            say: Some(say),
            script,
            voice,
            quiet,
            told,
            owed: None,
            answer: Answer::default(),
            ready: VecDeque::new(),
            deadline,
            patience,
            waiting: Waiting::First,
            is_over: false,
        }
    }

    pub(super) fn deltas(self) -> Deltas {
        let deltas = stream::unfold(self, |mut talk| async move {
            let item = talk.next().await?;
            if item.is_err() {
                talk.is_over = true;
                talk.ready.clear();
            }
            Some((item, talk))
        });
        deltas.boxed()
    }

    async fn next(&mut self) -> Option<Result<Delta, ModelError>> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                return Some(Ok(delta));
            }
            if self.is_over {
                return None;
            }
            if let Some(asked) = self.owed.take() {
                self.tell(&asked).await?;
            }
            match self.frames.next() {
                Err(error) => return Some(Err(error)),
                Ok(Some(message)) => {
                    match event(&message).and_then(|event| self.answer.take(event)) {
                        Ok(step) => self.take(step),
                        Err(error) => return Some(Err(error)),
                    }
                    continue;
                }
                Ok(None) => {}
            }
            let is_whole = self.say.is_none();
            let read = tokio::select! {
                read = timeout_at(self.deadline, self.bytes.next()) => read,
                _ = self.quiet.tick(), if !is_whole => {
                    self.say([self.voice.says(&[0; QUIET_SAMPLES])]);
                    continue;
                }
            };
            match read {
                Ok(Some(Ok(bytes))) => {
                    self.frames.take(&bytes);
                }
                // The answer is whole; only the usage or the end is late, or lost.
                Err(_) | Ok(Some(Err(_)) | None) if is_whole => self.take(Step::Over),
                Err(_) => return Some(Err(ModelError::TimedOut(self.waiting))),
                Ok(Some(Err(error))) => return Some(Err(error)),
                Ok(None) => return Some(Err(ModelError::BrokeOff("early_end".into()))),
            }
        }
    }

    fn take(&mut self, step: Step) {
        self.waiting = Waiting::Next;
        self.wait(self.patience.next_token);
        match step {
            Step::More(delta) => self.ready.extend(delta),
            Step::Asks(asked) => {
                self.owed = Some(asked.id.clone());
                self.ready.push_back(Delta::Asked(vec![asked]));
            }
            Step::Whole(delta) => {
                self.ready.extend(delta);
                self.say([self.voice.ends()]);
                self.say(Script::end());
                self.say = None;
                self.deadline = Instant::now() + END_WITHIN;
            }
            Step::Over => {
                let used = Some(self.answer.used).filter(|used| *used != Usage::default());
                self.ready.extend(used.map(Delta::Usage));
                self.is_over = true;
            }
        }
    }

    /// Tells the model what came of a tool. `None` when nobody will know any more.
    async fn tell(&mut self, asked: &str) -> Option<()> {
        let came = |exchanges: &Vec<Exchange>| exchanges.iter().any(|e| e.asked.id == asked);
        let exchanges = self.told.wait_for(came).await.ok()?.clone();
        let exchange = exchanges.iter().rev().find(|e| e.asked.id == asked)?;
        let told = self.script.told(asked, &exchange.told);
        self.say(told);
        self.wait(self.patience.first_token);
        Some(())
    }

    fn say(&self, events: impl IntoIterator<Item = Value>) {
        let Some(say) = &self.say else { return };
        for event in events {
            // Where the request is gone, the answer says so.
            let _ = say.send(event);
        }
    }

    fn wait(&mut self, longest: Duration) {
        if self.say.is_some() {
            self.deadline = Instant::now() + longest;
        }
    }
}

impl Answer {
    fn take(&mut self, event: Event) -> Result<Step, ModelError> {
        match event {
            Event::Begins(block) => self.block = Some(block),
            Event::Words(words) if self.block == Some(Block::Planned) => {
                self.words.push_str(&words);
                if self.words.len() > WORDS_BYTES_MAX {
                    return Err(ModelError::Unreadable("a sentence has no end"));
                }
            }
            Event::Sound(samples) => {
                self.sound.extend(samples.into_iter().map(g711::encode));
                if self.sound.len() > SENTENCE_SAMPLES_MAX {
                    return Err(ModelError::Unreadable("a sentence has no end"));
                }
            }
            Event::Asks { id, name, arguments } => {
                if arguments.len() > ARGUMENTS_BYTES_MAX {
                    return Err(ModelError::Unreadable("a tool's arguments have no end"));
                }
                self.asks = Some(Asked { id, name, arguments });
            }
            Event::Ends(stop) => return self.ended(stop),
            Event::Usage(used) => self.used = used,
            Event::Over => return Ok(Step::Over),
            Event::Words(_) | Event::Nothing => {}
        }
        Ok(Step::More(None))
    }

    fn ended(&mut self, stop: Stop) -> Result<Step, ModelError> {
        match (self.block.take(), stop) {
            // It heard something in the quiet that follows the person's words.
            (_, Stop::Interrupted) => Err(ModelError::BrokeOff("interrupted".to_owned())),
            (Some(Block::Sound), Stop::EndOfTurn) => Ok(Step::Whole(self.spoken())),
            (Some(Block::Sound), _) => Ok(Step::More(self.spoken())),
            (Some(Block::Tool), _) => Ok(self.asks.take().map_or(Step::More(None), Step::Asks)),
            _ => Ok(Step::More(None)),
        }
    }

    /// The sentence whose sound is whole. Sound without words waits for them.
    fn spoken(&mut self) -> Option<Delta> {
        if self.words.trim().is_empty() || self.sound.is_empty() {
            return None;
        }
        let (text, audio) = (std::mem::take(&mut self.words), std::mem::take(&mut self.sound));
        Some(Delta::Spoken(Spoken { text, audio }))
    }
}

#[derive(Deserialize)]
struct Chunk {
    bytes: String,
}

/// The event in a frame.
fn event(message: &Message) -> Result<Event, ModelError> {
    const WRONG: ModelError = ModelError::Unreadable("a chunk is none");
    let head = parse_response_headers(message)
        .map_err(|_| ModelError::Unreadable("a frame does not say what it is"))?;
    if head.message_type.as_str() != "event" {
        return Err(ModelError::BrokeOff(error_name(head.smithy_type.as_str())));
    }
    if head.smithy_type.as_str() != "chunk" {
        return Ok(Event::Nothing);
    }
    let Chunk { bytes } = serde_json::from_slice(message.payload()).map_err(|_| WRONG)?;
    Event::read(&STANDARD.decode(bytes).map_err(|_| WRONG)?)
}
