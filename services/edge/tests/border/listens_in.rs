//! In which language a caller is recognised.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bus::{Context, Destination, Handler, Outcome, Queue};
use call_core::g711;
use domain::{CallSid, Envelope, EventId, Payload, ReplyFinished, Turn};
use tokio::sync::mpsc;

use crate::{
    edge_task::{EdgeTask, OUR_NUMBER, PATIENCE, start_with},
    media_socket::{Socket, Voice, media, open_signed, say, silence, start_message},
    vendors::{call_form, new_call_sid, token_in},
};

const FRAME: Duration = Duration::from_millis(20);
/// A mu-law frame of 20 ms.
const FRAME_BYTES: usize = 160;

/// Plays the ears: tells in which language it was to listen.
struct Ears(mpsc::UnboundedSender<String>);

#[async_trait]
impl Handler for Ears {
    async fn handle(&self, _context: &Context, message: &Envelope) -> Outcome {
        if let Payload::TranscribeSegment(job) = &message.payload {
            let _ = self.0.send(job.language.clone());
        }
        Outcome::Done
    }
}

/// Says something again and again until the ears are asked to listen to it.
async fn listened_to(socket: &mut Socket, ears: &mut mpsc::UnboundedReceiver<String>) -> String {
    let words = simulator::modem::encode("good morning");
    let words: Vec<u8> = words.into_iter().map(g711::encode).collect();
    while ears.try_recv().is_ok() {}
    let speak = async {
        let mut n = 0;
        loop {
            for frame in words.chunks_exact(FRAME_BYTES) {
                say(socket, &media(n, &STANDARD.encode(frame))).await;
                n += 1;
                tokio::time::sleep(FRAME).await;
            }
            for _ in 0..60 {
                say(socket, &media(n, &silence())).await;
                n += 1;
                tokio::time::sleep(FRAME).await;
            }
        }
    };
    tokio::select! {
        language = ears.recv() => language.expect("ears"),
        () = speak => unreachable!(),
        () = tokio::time::sleep(PATIENCE) => panic!("nobody was asked to listen"),
    }
}

async fn connected(edge: &EdgeTask, sid: &str, attempt: u32) -> Socket {
    let form = call_form(sid, "+15551234567", OUR_NUMBER);
    let path = format!("/twilio/voice?attempt={attempt}&turn=0");
    let twiml = match attempt {
        0 => edge.call(sid, "+15551234567").await.1,
        _ => edge.twilio(&path, &form).await.1,
    };
    let mut socket = open_signed(edge).await;
    say(&mut socket, &start_message(sid, token_in(&twiml))).await;
    socket
}

#[tokio::test]
async fn a_caller_is_recognised_in_the_language_of_the_agent_that_has_the_turn_wherever_the_call_is()
 {
    let logs = std::env::temp_dir().join(testkit::unique_prefix());
    let folder = logs.to_str().expect("a readable path");
    let Some(edge) = start_with(&[("SB_CALL_LOG_DIR", folder)]).await else { return };
    edge.play(Queue::Speak, Arc::new(Voice));
    let (asked, mut ears) = mpsc::unbounded_channel();
    edge.play(Queue::Transcribe, Arc::new(Ears(asked)));
    let sid = new_call_sid();
    let call = CallSid::parse(&sid).unwrap();
    let mut socket = connected(&edge, &sid, 0).await;
    let started = edge.published_kind("CallStarted").await;
    assert_eq!(listened_to(&mut socket, &mut ears).await, "en-US", "the tenant's");

    // The orchestrator does both.
    edge.cache.set_listens_in(&call, "fr-CA").await.unwrap();
    let finished = ReplyFinished {
        call: call.clone(),
        attempt: 1,
        sentences: 0,
        hang_up: false,
        transfer: None,
        listens_in: Some("fr-CA".into()),
    };
    let told =
        Envelope { event_id: EventId::random(), payload: finished.into(), ..started.clone() };
    let own_queue = Destination::Task(started.reply_to.clone().unwrap());
    edge.bus.send(&own_queue, &[told.with_turn(Turn(9))]).await.unwrap();
    let changed = async { while listened_to(&mut socket, &mut ears).await != "fr-CA" {} };
    tokio::time::timeout(PATIENCE, changed).await.expect("the agent's language");

    drop(socket);
    let mut socket = connected(&edge, &sid, 1).await;
    assert_eq!(listened_to(&mut socket, &mut ears).await, "fr-CA", "the call came back");

    // What the words tell of the turn is told in the same language.
    logged(&logs.join(format!("{sid}.0.jsonl")), r#""language":"english""#).await;
    logged(&logs.join(format!("{sid}.0.jsonl")), r#"{"listens_in":{"language":"french"}}"#).await;
    logged(&logs.join(format!("{sid}.1.jsonl")), r#""language":"french""#).await;
    let _ = std::fs::remove_dir_all(logs);
}

/// Waits until the event log of a connection holds these characters.
async fn logged(log: &Path, some: &str) {
    let is_there = async {
        while !std::fs::read_to_string(log).is_ok_and(|text| text.contains(some)) {
            tokio::time::sleep(FRAME).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, is_there).await;
    waited.unwrap_or_else(|_| panic!("no {some} in {}", log.display()));
}
