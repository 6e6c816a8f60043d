//! Who is asked, in which order, and who takes over.

use bus::Queue;
use domain::{
    Envelope, Payload, Personal, SpeakSentence, SpeechRate, TranscribeSegment, VendorVoice, Voice,
};
use simulator::{audio, faults::Fault, modem};

use crate::mesh::{Call, Mesh};

fn down() -> Fault {
    Fault { status: Some(503), ..Fault::default() }
}

/// A sentence of a tenant that names these vendors.
fn sentence(call: &Call, index: u32, text: &str, vendors: &[&str]) -> SpeakSentence {
    let vendors = vendors.iter().map(|vendor| VendorVoice {
        vendor: (*vendor).to_owned(),
        name: (*vendor == "polly").then(|| "Matthew".to_owned()),
    });
    let voice = Voice { vendors: vendors.collect(), ..Voice::named("aura-2-thalia-en", "en-US") };
    SpeakSentence {
        call: call.sid.clone(),
        attempt: 1,
        index,
        text: Personal::from(text),
        voice,
        rate: SpeechRate::NORMAL,
        cacheable: false,
    }
}

fn words_in(codes: &[u8]) -> String {
    modem::decode(&audio::read_mulaw(codes)).text()
}

async fn speak(mesh: &Mesh, call: &Call, queue: &str, sentence: SpeakSentence) {
    let job: Envelope = call.job(1, sentence).answering_to(queue);
    mesh.give(Queue::Speak, &job).await;
}

#[tokio::test]
async fn a_tenants_own_order_wins_and_the_next_of_it_takes_over_in_the_same_turn() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let call = Call::new();
    // The usual vendor is away; the tenant's are Amazon's and OpenAI's.
    mesh.world.faults.put("deepgram", None, down());
    speak(&mesh, &call, &queue, sentence(&call, 0, "From Polly.", &["polly", "openai"])).await;
    let codes = edge.sentence().await.1.unwrap();
    assert_eq!(codes, audio::write_mulaw(&modem::encode("From Polly.")));

    // Near its beginning, and near its end.
    let text = "And this is from the next of them.";
    // Polly gives two bytes a sample.
    let whole = 2 * modem::encode(text).len() as u64;
    for (index, bytes) in [(1, 4_000), (2, whole - 2_000)] {
        let cut = Fault { cut_after_bytes: Some(bytes), ..Fault::default() };
        mesh.world.faults.put("polly", None, cut);
        let both = sentence(&call, index, text, &["polly", "openai"]);
        speak(&mesh, &call, &queue, both).await;
        assert_eq!(words_in(&edge.sentence().await.1.unwrap()), text);
    }

    let segment = TranscribeSegment {
        call: call.sid.clone(),
        segment: 1,
        audio: codes,
        language: "en-US".into(),
        vendors: vec!["deepgram".into(), "transcribe".into()],
    };
    mesh.give(Queue::Transcribe, &call.job(2, segment).answering_to(&queue)).await;
    let Payload::SegmentTranscribed(heard) = edge.next().await.payload else { panic!("words") };
    assert_eq!(heard.result.unwrap().text.reveal(), "From Polly.");
}

#[tokio::test]
async fn a_vendor_that_keeps_failing_is_left_alone() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let call = Call::new();
    // Six faults, for each sentence asks it twice. Were it asked again, the seventh time would do.
    mesh.world.faults.put("deepgram", None, Fault { times: Some(6), ..down() });
    for index in 0..3 {
        let both = sentence(&call, index, "Somebody says it.", &["deepgram", "openai"]);
        speak(&mesh, &call, &queue, both).await;
        assert_eq!(words_in(&edge.sentence().await.1.unwrap()), "Somebody says it.");
    }
    speak(&mesh, &call, &queue, sentence(&call, 3, "Alone.", &["deepgram"])).await;
    let failure = edge.sentence().await.1.unwrap_err();
    assert_eq!(failure, "deepgram: it failed lately and was not asked");
}

#[tokio::test]
async fn a_greeting_is_heard_while_every_vendor_is_away() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let call = Call::new();
    let text = "Hello, this is the front desk.";
    let greeting = SpeakSentence { cacheable: true, ..sentence(&call, 0, text, &[]) };
    speak(&mesh, &call, &queue, greeting.clone()).await;
    let first = edge.sentence().await.1.unwrap();
    mesh.world.faults.put("deepgram", None, down());
    speak(&mesh, &call, &queue, greeting.clone()).await;
    assert_eq!(edge.sentence().await.1.unwrap(), first);
    // Where another is asked first that is away as well.
    mesh.world.faults.put("openai", None, down());
    let voice = sentence(&call, 0, "", &["openai", "deepgram"]).voice;
    speak(&mesh, &call, &queue, SpeakSentence { voice, ..greeting.clone() }).await;
    assert_eq!(edge.sentence().await.1.unwrap(), first);
    // What is not for everybody is kept nowhere.
    let personal = SpeakSentence { cacheable: false, ..greeting };
    speak(&mesh, &call, &queue, personal).await;
    assert!(edge.sentence().await.1.is_err());
}

#[tokio::test]
async fn every_vendor_speaks_slower_when_asked() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let (queue, mut edge) = mesh.edge("edge-1").await;
    let call = Call::new();
    let text = "Could you say that again, please?";
    let usual = modem::encode(text).len();
    for (index, vendor) in ["deepgram", "openai", "polly"].into_iter().enumerate() {
        let rate = SpeechRate::SLOWER;
        let slow = SpeakSentence { rate, ..sentence(&call, index as u32, text, &[vendor]) };
        speak(&mesh, &call, &queue, slow).await;
        let codes = edge.sentence().await.1.unwrap();
        assert_eq!(words_in(&codes), text, "{vendor}");
        assert!(codes.len() > usual * 11 / 10, "{vendor}: {} after {usual}", codes.len());
    }
}
