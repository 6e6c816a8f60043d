//! Segments and sentences.

use bus::Queue;
use domain::{
    Envelope, Payload, Personal, SegmentTranscribed, SentenceSpoken, SpeakSentence, SpeechRate,
    Stage, Timestamp, TranscribeSegment, Turn, Voice,
};
use simulator::{audio, faults::Fault, modem};
use tokio::{io::AsyncReadExt as _, net::TcpListener, time::timeout};

use crate::mesh::{Call, HANG, Mesh};

const BOOKED: &str = "Your table is booked for eight in the evening.";

fn sentence(call: &Call, turn: u32, index: u32, text: &str) -> Envelope {
    let voice = Voice::named("aura-2-thalia-en", "en-US");
    let text = Personal::from(text);
    let (rate, cacheable) = (SpeechRate::NORMAL, false);
    let call_sid = call.sid.clone();
    call.job(
        turn,
        SpeakSentence { call: call_sid, attempt: 7, index, text, voice, rate, cacheable },
    )
}

fn segment(call: &Call, turn: u32, audio: Vec<u8>) -> Envelope {
    let (call_sid, language) = (call.sid.clone(), "en-US".to_owned());
    let vendors = Vec::new();
    call.job(turn, TranscribeSegment { call: call_sid, segment: 3, audio, language, vendors })
}

fn spoken(answer: &Envelope) -> &SentenceSpoken {
    match &answer.payload {
        Payload::SentenceSpoken(spoken) => spoken,
        other => panic!("{} is no sentence", other.name()),
    }
}

fn transcribed(answer: &Envelope) -> &SegmentTranscribed {
    match &answer.payload {
        Payload::SegmentTranscribed(transcribed) => transcribed,
        other => panic!("{} is no transcript", other.name()),
    }
}

fn down() -> Fault {
    Fault { status: Some(503), ..Fault::default() }
}

#[tokio::test]
async fn a_sentence_is_spoken_and_understood_again_without_a_fault() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let call = Call::new();
    let job = sentence(&call, 1, 0, BOOKED).answering_to(&queue);
    mesh.give(Queue::Speak, &job).await;
    let (answer, codes) = edge.sentence().await;
    assert_eq!(answer.event_id, job.event_id.child("sentence-spoken"));
    assert_eq!(answer.turn, Turn(1));
    let stages: Vec<_> = answer.stages.iter().map(|s| s.name.as_ref()).collect();
    assert_eq!(stages, [Stage::SPEAK_STARTED, Stage::SPOKEN]);
    let said = spoken(&answer);
    assert_eq!((said.attempt, said.index), (7, 0));
    assert_eq!(said.text.reveal(), BOOKED);
    let codes = codes.unwrap();
    assert_eq!(codes, audio::write_mulaw(&modem::encode(BOOKED)));

    mesh.give(Queue::Transcribe, &segment(&call, 2, codes).answering_to(&queue)).await;
    let answer = edge.next().await;
    let heard = transcribed(&answer);
    assert_eq!(heard.segment, 3);
    assert_eq!(heard.result.as_ref().unwrap().text.reveal(), BOOKED);
    let stages: Vec<_> = answer.stages.iter().map(|s| s.name.as_ref()).collect();
    assert_eq!(stages, [Stage::TRANSCRIBE_STARTED, Stage::TRANSCRIBED]);
}

#[tokio::test]
async fn silence_has_no_words_and_is_no_failure() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let job = segment(&Call::new(), 1, vec![0xFF; 8000]).answering_to(&queue);
    mesh.give(Queue::Transcribe, &job).await;
    assert!(transcribed(&edge.next().await).result.as_ref().unwrap().text.is_empty());
}

#[tokio::test]
async fn answers_go_to_the_task_that_took_the_call_over() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (old, _) = mesh.edge("edge-1").await;
    let (new, mut edge) = mesh.edge("edge-2").await;
    let call = Call::new();
    mesh.cache.attach_call(&call.sid, 1, "edge-2:1", &new, Timestamp::now()).await.unwrap();
    mesh.give(Queue::Speak, &sentence(&call, 1, 0, "Still here.").answering_to(&old)).await;
    assert_eq!(spoken(&edge.next().await).index, 0);
}

#[tokio::test]
async fn what_the_caller_has_talked_over_is_never_spoken() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let call = Call::new();
    mesh.cache.set_fence(&call.sid, Turn(2)).await.unwrap();
    for (turn, index) in [(1, 0), (1, 1), (2, 0)] {
        let job = sentence(&call, turn, index, "Some words.").answering_to(&queue);
        mesh.give(Queue::Speak, &job).await;
    }
    assert_eq!(edge.next().await.turn, Turn(2), "the group flowed past what was cancelled");
}

#[tokio::test]
async fn a_vendor_is_hung_up_on_when_the_caller_talks_over_it_and_the_next_turn_is_not_held_up() {
    let vendor = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", vendor.local_addr().unwrap());
    let Some(mesh) = Mesh::start(&[("DEEPGRAM_BASE_URL", &base)]).await else { return };
    let (queue, _edge) = mesh.edge("edge-1").await;
    let call = Call::new();
    let give = |turn| {
        let job = sentence(&call, turn, 0, "A long answer.").answering_to(&queue);
        let mesh = &mesh;
        async move { mesh.give(Queue::Speak, &job).await }
    };
    give(1).await;
    give(2).await;
    let (mut first, _) = timeout(HANG, vendor.accept()).await.unwrap().unwrap();
    mesh.cache.set_fence(&call.sid, Turn(2)).await.unwrap();
    let mut request = Vec::new();
    // Ends only when the other side does: this vendor never says a word.
    timeout(HANG, first.read_to_end(&mut request)).await.unwrap().unwrap();
    assert!(request.starts_with(b"POST /v1/speak?model=aura-2-thalia-en&encoding=mulaw"));
    let _second = timeout(HANG, vendor.accept()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_passing_fault_is_not_heard() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let once = Fault { times: Some(1), ..down() };
    mesh.world.faults.put("deepgram", None, once);
    let job = sentence(&Call::new(), 1, 0, "Some words.").answering_to(&queue);
    mesh.give(Queue::Speak, &job).await;
    assert!(spoken(&edge.next().await).result.is_ok());
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_again_and_heard_once() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let text = "All of it, please, to the last word of the sentence.";
    let whole = modem::encode(text).len() as u64;
    // Near its beginning, and near its end.
    for (index, bytes) in [(0, 2_000), (1, whole - 2_000)] {
        let cut = Fault { cut_after_bytes: Some(bytes), times: Some(1), ..Fault::default() };
        mesh.world.faults.put("deepgram", Some("speak"), cut);
        let job = sentence(&Call::new(), 1, index, text).answering_to(&queue);
        mesh.give(Queue::Speak, &job).await;
        let codes = edge.sentence().await.1.unwrap();
        assert_eq!(codes, audio::write_mulaw(&modem::encode(text)), "cut after {bytes}");
    }
}

#[tokio::test]
async fn the_second_vendor_takes_over_in_the_same_turn() {
    let both = [("SB_STT", "deepgram,openai"), ("SB_TTS", "deepgram,openai")];
    let Some(mesh) = Mesh::start(&both).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    mesh.world.faults.put("deepgram", None, down());
    let call = Call::new();
    let job = sentence(&call, 1, 0, "Another voice.").answering_to(&queue);
    mesh.give(Queue::Speak, &job).await;
    let codes = edge.sentence().await.1.unwrap();
    assert_eq!(modem::decode(&audio::read_mulaw(&codes)).text(), "Another voice.");
    mesh.give(Queue::Transcribe, &segment(&call, 2, codes).answering_to(&queue)).await;
    let answer = edge.next().await;
    let heard = transcribed(&answer).result.as_ref().unwrap();
    assert_eq!(heard.text.reveal(), "Another voice.");
}

#[tokio::test]
async fn when_every_vendor_fails_the_call_is_told_why_and_nobody_waits() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    mesh.world.faults.put("deepgram", None, down());
    let call = Call::new();
    mesh.give(Queue::Speak, &sentence(&call, 1, 0, "My name is Ada.").answering_to(&queue)).await;
    let failure = spoken(&edge.next().await).result.clone().unwrap_err().0;
    assert!(failure.contains("deepgram") && failure.contains("503"), "{failure}");
    assert!(!failure.contains("Ada"), "{failure}");
    mesh.give(Queue::Transcribe, &segment(&call, 1, vec![0xFF; 800]).answering_to(&queue)).await;
    assert!(transcribed(&edge.next().await).result.is_err());
}

#[tokio::test]
async fn a_refused_key_is_not_tried_again_and_never_shown() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let refused = Fault {
        status: Some(401),
        body: Some(r#"{"err_code":"INVALID_AUTH","err_msg":"a-key","request_id":"r1"}"#.into()),
        times: Some(1),
        ..Fault::default()
    };
    mesh.world.faults.put("deepgram", None, refused);
    let job = sentence(&Call::new(), 1, 0, "Some words.").answering_to(&queue);
    mesh.give(Queue::Speak, &job).await;
    let failure = spoken(&edge.next().await).result.clone().unwrap_err().0;
    assert_eq!(failure, "deepgram: it denies access (401 INVALID_AUTH, request r1)");
}

#[tokio::test]
async fn a_task_that_is_gone_wants_no_answer_and_holds_nobody_up() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let call = Call::new();
    let lost = sentence(&call, 1, 0, "Hello?").answering_to("no-such-edge-task.fifo");
    mesh.give(Queue::Speak, &lost).await;
    mesh.give(Queue::Speak, &sentence(&call, 1, 1, "Nobody asked.")).await;
    mesh.give(Queue::Speak, &sentence(&call, 1, 2, "Hello.").answering_to(&queue)).await;
    assert_eq!(spoken(&edge.next().await).index, 2);
}

#[tokio::test]
async fn a_sentence_that_comes_too_late_is_not_spoken() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let call = Call::new();
    let late = sentence(&call, 1, 0, "Too late.").expiring_at(Timestamp::now());
    mesh.give(Queue::Speak, &late.answering_to(&queue)).await;
    mesh.give(Queue::Speak, &sentence(&call, 1, 1, "In time.").answering_to(&queue)).await;
    assert_eq!(spoken(&edge.next().await).index, 1);
}

#[tokio::test]
async fn without_redis_a_call_is_still_answered_by_who_asked() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let redis_url = format!("redis://{nowhere}");
    let Some(mesh) = Mesh::start(&[("REDIS_URL", &redis_url)]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let job = sentence(&Call::new(), 1, 0, "Still talking.").answering_to(&queue);
    mesh.give(Queue::Speak, &job).await;
    assert!(spoken(&edge.next().await).result.is_ok());
}
