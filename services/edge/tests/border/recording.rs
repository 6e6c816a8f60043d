//! When a call is recorded, and when not (B4): with the test as the caller and as the voice.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bus::{Bus, Context, Destination, Handler, Outcome, Queue};
use domain::{
    CallCommand, CallSid, ControlCall, Envelope, EventId, FinishRecording, Payload, SentenceSpoken,
    Timestamp,
};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    edge_task::{EdgeTask, OUR_NUMBER, PATIENCE, start},
    media_socket::{Socket, media, open_signed, say, start_message},
    vendors::{call_form, new_call_sid, token_in},
};

const CALLER: &str = "+15551234567";
const CONSENT: &str = "This call is recorded.";
/// Half a second of sound for each sentence.
const SENTENCE_SAMPLES: usize = 4000;
const FRAME: Duration = Duration::from_millis(20);
/// What the caller's telephone sends: no silence, and no voice either.
const HUM: u8 = 0xfe;
const SILENCE: u8 = 0xff;

/// Speaks whatever it is asked to, and notes it.
struct Voice {
    bus: Bus,
    spoken: Mutex<Vec<String>>,
}

#[async_trait]
impl Handler for Voice {
    async fn handle(&self, _context: &Context, message: &Envelope) -> Outcome {
        let Payload::SpeakSentence(job) = &message.payload else { return Outcome::Done };
        let spoken = SentenceSpoken {
            call: job.call.clone(),
            attempt: job.attempt,
            index: job.index,
            text: job.text.clone(),
            result: Ok(vec![0x20; SENTENCE_SAMPLES]),
            part: 0,
            more: false,
        };
        let answer = message.follow("spoken", Timestamp::now(), spoken);
        let to = Destination::Task(message.reply_to.clone().unwrap());
        self.bus.send(&to, &[answer]).await.unwrap();
        self.spoken.lock().unwrap().push(job.text.reveal().to_owned());
        Outcome::Done
    }
}

impl Voice {
    async fn renders(&self, text: &str) {
        let rendered = async {
            while !self.spoken.lock().unwrap().iter().any(|spoken| spoken == text) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, rendered).await.expect("it is rendered");
    }
}

/// Tells which recordings are to be finished.
pub struct Jobs(pub mpsc::UnboundedSender<FinishRecording>);

#[async_trait]
impl Handler for Jobs {
    async fn handle(&self, _context: &Context, message: &Envelope) -> Outcome {
        if let Payload::FinishRecording(job) = &message.payload {
            let _ = self.0.send(job.clone());
        }
        Outcome::Done
    }
}

/// A telephone that hums.
struct Phone {
    socket: Socket,
    frames: u32,
    /// When all that came has been played.
    plays_out: Instant,
    /// What is to come back, and when.
    marks: VecDeque<(Instant, Value)>,
}

impl Phone {
    async fn call(edge: &EdgeTask, sid: &str) -> Self {
        let twiml = edge.call(sid, CALLER).await.1;
        let mut socket = open_signed(edge).await;
        say(&mut socket, &start_message(sid, token_in(&twiml))).await;
        Self { socket, frames: 0, plays_out: Instant::now(), marks: VecDeque::new() }
    }

    async fn hum(&mut self, frames: u32) {
        self.send(frames, &[HUM; 160]).await;
    }

    /// Sends a frame so many times, at a frame's pace; plays what comes meanwhile, and returns its marks.
    async fn send(&mut self, frames: u32, frame: &[u8]) {
        for _ in 0..frames {
            say(&mut self.socket, &media(self.frames, &STANDARD.encode(frame))).await;
            self.frames += 1;
            let pause = tokio::time::sleep(FRAME);
            tokio::pin!(pause);
            loop {
                let message = tokio::select! {
                    () = &mut pause => break,
                    message = self.socket.next() => message.expect("an open socket").unwrap(),
                };
                let Ok(text) = message.into_text() else { continue };
                self.take_in(serde_json::from_str(&text).unwrap_or_default());
            }
            while self.marks.front().is_some_and(|(due, _)| Instant::now() >= *due) {
                let (_, mark) = self.marks.pop_front().unwrap();
                say(&mut self.socket, &mark).await;
            }
        }
    }

    fn take_in(&mut self, told: Value) {
        let now = Instant::now();
        match told["event"].as_str() {
            Some("media") => {
                let audio = STANDARD.decode(told["media"]["payload"].as_str().unwrap()).unwrap();
                let lasts = Duration::from_micros(125 * audio.len() as u64);
                self.plays_out = self.plays_out.max(now) + lasts;
            }
            Some("mark") => self.marks.push_back((self.plays_out, told)),
            Some("clear") => {
                self.plays_out = now;
                self.marks.iter_mut().for_each(|(due, _)| *due = now);
            }
            _ => {}
        }
    }

    async fn press(&mut self, digit: &str) {
        let key = json!({"event": "dtmf", "streamSid": "MZ1", "sequenceNumber": "2",
            "dtmf": {"track": "inbound_track", "digit": digit}});
        say(&mut self.socket, &key).await;
    }

    async fn hang_up(&mut self, sid: &str) {
        let stop = json!({"event": "stop", "sequenceNumber": "9", "streamSid": "MZ1",
            "stop": {"accountSid": "AC1", "callSid": sid}});
        say(&mut self.socket, &stop).await;
    }
}

#[tokio::test]
async fn nothing_is_recorded_before_the_announcement_nor_in_a_pause() {
    let Some(edge) = start().await else { return };
    let voice = Arc::new(Voice { bus: edge.bus.clone(), spoken: Mutex::default() });
    edge.play(Queue::Speak, voice.clone());
    let (jobs, mut finished) = mpsc::unbounded_channel();
    edge.play(Queue::Jobs, Arc::new(Jobs(jobs)));
    edge.set(&json!({"recording_consent": CONSENT})).await;
    voice.renders(CONSENT).await;

    let sid = new_call_sid();
    let mut phone = Phone::call(&edge, &sid).await;
    let started = edge.published_kind("CallStarted").await;
    let Payload::CallStarted(event) = &started.payload else { unreachable!() };
    assert!(event.greeting.starts_with(CONSENT), "{}", event.greeting);
    phone.hum(150).await;
    let pause =
        ControlCall { call: CallSid::parse(&sid).unwrap(), command: CallCommand::PauseRecording };
    let job = Envelope { event_id: EventId::random(), payload: pause.into(), ..started.clone() };
    let own_queue = Destination::Task(started.reply_to.clone().unwrap());
    edge.bus.send(&own_queue, &[job]).await.unwrap();
    phone.hum(150).await;
    phone.hang_up(&sid).await;

    let job = tokio::time::timeout(PATIENCE, finished.recv()).await.unwrap().unwrap();
    assert_eq!(job.parts, 1);
    let forgotten = async {
        while edge.cache.has_recording(&job.call).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("nothing but the part is left");
    let part = |side: &str| format!("recording-parts/{sid}/00000.{side}.ulaw");
    let (caller, told) = edge.file(&part("caller")).await;
    let (agent, _) = edge.file(&part("agent")).await;
    assert_eq!(caller.len(), agent.len());
    let kept = caller.iter().position(|code| *code == HUM).expect("some of it is recorded");
    assert!(kept >= SENTENCE_SAMPLES, "recorded from {kept} on");
    let paused = kept + caller[kept..].iter().position(|code| *code == SILENCE).expect("a pause");
    assert!(caller[paused..].iter().all(|code| *code == SILENCE), "to the end");
    assert!(caller.len() - paused > 8000, "{} of {}", paused, caller.len());
    assert!(agent[..kept].iter().all(|code| *code == SILENCE), "both sides alike");
    let spans = format!("0-{kept},{paused}-{}", caller.len());
    assert_eq!(told.get("paused"), Some(&spans));
    assert_eq!(told.get("at").map(String::as_str), Some("0"));
    let ended = edge.published_kind("CallEnded").await;
    assert!(ended.off_record, "numbers in it are masked");
}

#[tokio::test]
async fn who_breaks_into_the_announcement_is_recorded_once_it_was_made_again() {
    let Some(edge) = start().await else { return };
    let voice = Arc::new(Voice { bus: edge.bus.clone(), spoken: Mutex::default() });
    edge.play(Queue::Speak, voice.clone());
    let (jobs, mut finished) = mpsc::unbounded_channel();
    edge.play(Queue::Jobs, Arc::new(Jobs(jobs)));
    edge.set(&json!({"recording_consent": CONSENT})).await;
    voice.renders(CONSENT).await;
    let sid = new_call_sid();
    let mut phone = Phone::call(&edge, &sid).await;
    phone.hum(10).await;
    for digit in ["4", "#"] {
        phone.press(digit).await;
    }
    let broke_in = phone.frames as usize * 160;
    phone.hum(100).await;
    phone.hang_up(&sid).await;
    let job = tokio::time::timeout(PATIENCE, finished.recv()).await.unwrap().unwrap();
    assert_eq!(job.parts, 1);
    let (caller, _) = edge.file(&format!("recording-parts/{sid}/00000.caller.ulaw")).await;
    let kept = caller.iter().position(|code| *code == HUM).expect("some of it is recorded");
    assert!(kept >= broke_in + SENTENCE_SAMPLES, "recorded from {kept} on, cut at {broke_in}");
}

#[tokio::test]
async fn what_a_task_that_is_gone_has_recorded_is_kept_second_by_second_and_finished() {
    let Some(edge) = start().await else { return };
    let (jobs, mut finished) = mpsc::unbounded_channel();
    edge.play(Queue::Jobs, Arc::new(Jobs(jobs)));
    let sid = new_call_sid();
    let call = CallSid::parse(&sid).unwrap();
    let mut phone = Phone::call(&edge, &sid).await;
    let started = edge.published_kind("CallStarted").await;
    phone.hum(75).await;
    let pause = ControlCall { call: call.clone(), command: CallCommand::PauseRecording };
    let job = Envelope { event_id: EventId::random(), payload: pause.into(), ..started.clone() };
    let own_queue = Destination::Task(started.reply_to.clone().unwrap());
    edge.bus.send(&own_queue, &[job]).await.unwrap();
    phone.hum(190).await;
    let kept = edge.cache.recording(&call).await.unwrap();
    assert!(kept.len() >= 3, "{} seconds of five", kept.len());
    for (n, block) in kept.iter().enumerate() {
        assert_eq!((block.part, block.block, block.at), (0, n as u32, Some(n as u64 * 8_000)));
        assert_eq!((block.caller.len(), block.agent.len()), (8_000, 8_000));
    }
    assert!(kept[0].caller.iter().filter(|code| **code == HUM).count() > 7_000);
    let paused = kept.last().unwrap();
    assert_eq!(paused.paused, "0-8000", "paused");
    assert!(paused.caller.iter().all(|code| *code == SILENCE), "and nothing of it is kept");

    // As if its task were gone: nobody holds the call, and Twilio says that it is over.
    edge.cache.attach_call(&call, 1, "gone:1", "gone.fifo", Timestamp::now()).await.unwrap();
    let mut over = call_form(&sid, CALLER, OUR_NUMBER);
    over.retain(|(name, _)| name != "CallStatus");
    over.push(("CallStatus".to_owned(), "completed".to_owned()));
    edge.twilio("/twilio/voice/status", &over).await;
    let job = tokio::time::timeout(PATIENCE, finished.recv()).await.unwrap().unwrap();
    assert_eq!((job.call, job.parts), (call, 0), "no part of it is whole");
}
