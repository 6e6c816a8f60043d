//! Amazon's vendors against the simulator, which checks signatures and frames as AWS does.

#![allow(clippy::unwrap_used)]

use std::net::TcpListener;

use actix_web::web;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use bytes::Bytes;
use domain::{SpeechRate, Transcript, VendorVoice, Voice};
use futures::TryStreamExt as _;
use simulator::{
    World, audio,
    config::{Config, Secret},
    faults::Fault,
    modem,
};
use speech::{
    AwsAccess, Polly, PollySettings, SpeechError, SpeechToText as _, TextToSpeech as _, Transcribe,
    TranscribeSettings, Utterance,
};

const SECRET: &str = "a-secret/of+mine";

struct Amazon {
    world: web::Data<World>,
    polly: Polly,
    transcribe: Transcribe,
}

impl Amazon {
    fn start() -> Self {
        Self::with(Credentials::new("AKIDOURS", SECRET, Some("to/ken==".into()), None, "test"))
    }

    fn with(credentials: Credentials) -> Self {
        boot::install_tls();
        let aws_secret = Some(Secret::new(SECRET));
        let world = web::Data::new(World::new(Config { aws_secret, ..Config::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(simulator::serve(listener, world.clone(), false).unwrap());
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        let access = AwsAccess::new(&aws).unwrap();
        let polly = PollySettings {
            base_url: format!("{base}/polly"),
            engine: "neural".into(),
            voice: "Joanna".into(),
        };
        let transcribe = TranscribeSettings { base_url: format!("{base}/transcribe") };
        Self {
            world,
            polly: Polly::new(speech::client().unwrap(), polly, access.clone()),
            transcribe: Transcribe::new(transcribe, access),
        }
    }

    async fn say(&self, text: &str, rate: SpeechRate) -> Result<Vec<u8>, SpeechError> {
        let voice = Voice::named("aura-2-thalia-en", "en-US");
        let pieces = self.polly.speak(&Utterance { text, voice: &voice, rate }).await?;
        let pieces: Vec<Bytes> = pieces.try_collect().await?;
        Ok(pieces.concat())
    }

    async fn hear(&self, text: &str) -> Result<Transcript, SpeechError> {
        let codes = audio::write_mulaw(&modem::encode(text));
        self.transcribe.transcribe(codes.into(), "en-US").await
    }
}

fn status(status: u16) -> Fault {
    Fault { status: Some(status), ..Fault::default() }
}

fn cut_after(bytes: u64) -> Fault {
    Fault { cut_after_bytes: Some(bytes), ..Fault::default() }
}

#[tokio::test]
async fn polly_speaks_sample_by_sample_and_slower_on_request() {
    let amazon = Amazon::start();
    let text = "Tom & Jerry's, <open> from nine.";
    let codes = amazon.say(text, SpeechRate::NORMAL).await.unwrap();
    assert_eq!(codes, audio::write_mulaw(&modem::encode(text)));
    let slow = amazon.say(text, SpeechRate::SLOWER).await.unwrap();
    assert_eq!(modem::decode(&audio::read_mulaw(&slow)).text(), text);
    assert!(slow.len() > codes.len());
}

#[tokio::test]
async fn polly_speaks_with_the_tenants_voice() {
    let amazon = Amazon::start();
    let named = VendorVoice { vendor: "polly".into(), name: Some("Matthew".into()) };
    let voice = Voice { vendors: vec![named], ..Voice::named("aura", "en-US") };
    let utterance = Utterance { text: "Hi.", voice: &voice, rate: SpeechRate::NORMAL };
    assert_eq!(amazon.polly.voice_of(&utterance), "Matthew");
    let usual = Voice::named("aura", "en-US");
    assert_eq!(amazon.polly.voice_of(&Utterance { voice: &usual, ..utterance }), "Joanna");
}

#[tokio::test]
async fn what_goes_wrong_at_polly_is_told_apart() {
    let amazon = Amazon::start();
    for (fault, kind) in [
        (status(429), "busy"),
        (status(503), "unavailable"),
        (status(403), "denied"),
        (status(400), "refused"),
        (cut_after(3000), "unavailable"),
    ] {
        amazon.world.faults.put("polly", Some("speech"), fault);
        let error = amazon.say("A sentence of some length.", SpeechRate::NORMAL).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    amazon.world.faults.remove("polly", Some("speech"));
    let long = "word ".repeat(1000);
    let refused = amazon.say(&long, SpeechRate::NORMAL).await.unwrap_err();
    assert_eq!(refused, SpeechError::Refused("400 TextLengthExceededException".into()));
}

#[tokio::test]
async fn transcribe_hears_every_word_once_whatever_was_partial() {
    let amazon = Amazon::start();
    let text = "one two three four five six seven eight nine ten eleven twelve thirteen";
    let heard = amazon.hear(text).await.unwrap();
    assert_eq!(heard.text.reveal(), text);
    assert!(heard.confidence > 0.5);
    let silence = Bytes::from(vec![0xFF; 4001]);
    let nothing = amazon.transcribe.transcribe(silence, "en-US").await.unwrap();
    assert!(nothing.text.is_empty());
    assert_eq!(nothing.confidence, 0.0);
}

#[tokio::test]
async fn transcribe_hears_a_voice_note_as_it_is_and_takes_no_other_file() {
    let amazon = Amazon::start();
    let text = "see you on Tuesday at two";
    let file = audio::write_wav(&audio::write_pcm(&modem::encode(text)), 8000, false);
    let note = Bytes::from(file);
    let hear = async |mime_type: &str| {
        amazon.transcribe.transcribe_file(note.clone(), mime_type, "en-US").await
    };
    assert_eq!(hear("audio/ogg; codecs=opus").await.unwrap().text.reveal(), text);
    assert_eq!(hear("audio/mpeg").await.unwrap_err().kind(), "refused");
}

#[tokio::test]
async fn what_goes_wrong_at_transcribe_is_told_apart() {
    let amazon = Amazon::start();
    let garbage = |code| Fault { body: Some("no event".into()), ..status(code) };
    for (point, fault, kind) in [
        // At the handshake, within the stream, and in the middle of a frame.
        (None, status(429), "busy"),
        (None, status(503), "unavailable"),
        (None, status(403), "denied"),
        (None, garbage(200), "malformed"),
        (Some("stream"), status(429), "busy"),
        (Some("stream"), status(500), "unavailable"),
        (Some("stream"), status(400), "refused"),
        (Some("stream"), garbage(500), "malformed"),
        (None, cut_after(150), "unavailable"),
    ] {
        amazon.world.faults.put("transcribe", point, fault);
        let error = amazon.hear("some words to be heard").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{point:?}: {error}");
        amazon.world.faults.remove("transcribe", point);
        assert_eq!(amazon.hear("and again").await.unwrap().text.reveal(), "and again");
    }
}

#[tokio::test]
async fn a_vendor_that_falls_silent_is_given_up() {
    let amazon = Amazon::start();
    let stall = Fault { latency_ms: 60_000, ..Fault::default() };
    amazon.world.faults.put("transcribe", Some("stream"), stall.clone());
    amazon.world.faults.put("polly", None, stall);
    let (heard, said) =
        tokio::join!(amazon.hear("hello"), amazon.say("Hello.", SpeechRate::NORMAL));
    assert_eq!(heard.unwrap_err(), SpeechError::TimedOut);
    assert_eq!(said.unwrap_err(), SpeechError::TimedOut);
}

#[tokio::test]
async fn a_wrong_language_is_this_requests_fault_not_the_vendors() {
    let amazon = Amazon::start();
    let codes = Bytes::from(vec![0xFF; 800]);
    let error = amazon.transcribe.transcribe(codes, "en").await.unwrap_err();
    assert_eq!(error, SpeechError::Refused("BadRequestException".into()));
}

#[tokio::test]
async fn a_wrong_secret_is_noticed_by_both() {
    let amazon = Amazon::with(Credentials::new("AKIDOURS", "another", None, None, "test"));
    assert_eq!(amazon.say("Hi.", SpeechRate::NORMAL).await.unwrap_err().kind(), "denied");
    assert_eq!(amazon.hear("hi").await.unwrap_err().kind(), "denied");
}
