//! Voice notes: the words of a file that lies in S3.

use bus::{Queue, Source};
use domain::{Envelope, EventId, KeptFile, MediaSettled, Payload, TranscribeVoiceNote};
use simulator::{audio, faults::Fault, modem};

use crate::mesh::{Call, Inbox, Mesh};

async fn note(mesh: &Mesh, key: &str, file: Vec<u8>) -> Envelope {
    let bytes = file.len() as u64;
    mesh.s3.put_object().bucket(&mesh.bucket).key(key).body(file.into()).send().await.unwrap();
    let file = KeptFile {
        bucket: mesh.bucket.clone(),
        key: key.to_owned(),
        mime_type: "audio/wav".to_owned(),
        bytes,
    };
    let (message, language) = (EventId::random(), "en-US".to_owned());
    let mut job =
        Call::new().job(0, TranscribeVoiceNote { message, file, language, vendors: Vec::new() });
    job.channel = domain::Channel::WHATSAPP;
    job
}

async fn settled(history: &mut Inbox) -> MediaSettled {
    match history.next().await.payload {
        Payload::MediaSettled(settled) => settled,
        other => panic!("{}", other.name()),
    }
}

#[tokio::test]
async fn what_a_note_says_is_told_to_whoever_answers_and_to_the_history() {
    for stt in ["deepgram", "openai"] {
        let Some(mesh) = Mesh::start(&[("SB_STT", stt)]).await else { return };
        let mut history = mesh.inbox(Source::Shared(Queue::Writer));
        let samples = modem::encode("I would like an appointment");
        let wav = audio::write_wav(&audio::write_pcm(&samples), audio::TELEPHONE_HZ, false);
        let job = note(&mesh, "media/a", wav).await;
        mesh.give(Queue::Transcribe, &job).await;
        let settled = settled(&mut history).await;
        assert_eq!(settled.words.unwrap().reveal(), "I would like an appointment");
        assert_eq!(settled.file.unwrap().key, "media/a");
        let told = mesh.cache.settled_words(job.conversation, settled.message).await.unwrap();
        assert_eq!(told.as_deref(), Some("I would like an appointment"));
    }
}

#[tokio::test]
async fn a_note_that_nobody_understands_is_settled_as_well() {
    let Some(mesh) = Mesh::start(&[("SB_STT", "deepgram")]).await else { return };
    let mut history = mesh.inbox(Source::Shared(Queue::Writer));
    mesh.world.faults.put("deepgram", None, Fault { status: Some(503), ..Fault::default() });
    let job = note(&mesh, "media/b", vec![1, 2, 3]).await;
    mesh.give(Queue::Transcribe, &job).await;
    let settled = settled(&mut history).await;
    assert!(settled.words.is_none() && settled.fault.is_some());
    let told = mesh.cache.settled_words(job.conversation, settled.message).await.unwrap();
    assert_eq!(told.as_deref(), Some(""));
}
