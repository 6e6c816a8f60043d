//! Turns of a model that hears and speaks: its own sound, the same tools, ledger, fence and events.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bus::Destination;
use domain::{Envelope, Payload, SentenceSpoken, Sound, Turn};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    bedrock::access,
    desk::{GREETING, Outbox, Talk, World, openai, rules},
    model_server::{self, ModelServer},
    sonic_server::{SonicServer, Step, sound_of},
    tools::{clinic_with, standing, ten_in},
};
use crate::llm::{Guarded, LanguageModel, Patience, Price, Sonic, SonicSettings};

type Answers = Result<Vec<Step>, (u16, &'static str)>;

const WORDS: &str = "Yes, please book it.";
/// How they sound.
const VOICE: [u8; 3] = [0x80, 0x00, 0x55];

fn sonic_with(server: &SonicServer, patience: Patience) -> Arc<dyn LanguageModel> {
    boot::install_tls();
    let settings = SonicSettings {
        name: "sonic".to_owned(),
        base_url: server.base_url.clone(),
        region: None,
        model: "amazon.nova-2-sonic-v1:0".to_owned(),
        voice: "tiffany".to_owned(),
        price: Price { tokens_in: 1.0, tokens_out: 2.0 },
    };
    let sonic = Sonic::with_patience(settings, access(), patience).unwrap();
    Arc::new(Guarded::new(Arc::new(sonic)))
}

fn sonic(server: &SonicServer) -> Arc<dyn LanguageModel> {
    sonic_with(server, Patience::default())
}

/// A clinic with this model before the rules.
async fn clinic(
    script: impl Fn(usize, &[Value]) -> Answers + Send + Sync + 'static,
) -> Option<(World, SonicServer)> {
    let server = SonicServer::start(script).await;
    let world = clinic_with(vec![sonic(&server), rules()]).await?;
    Some((world, server))
}

/// The caller's turn with its sound.
fn sounds(talk: &Talk<'_>, turn: u32, text: &str) -> Envelope {
    let mut envelope = talk.says(turn, text, Some(GREETING));
    if let Payload::MessageReceived(message) = &mut envelope.payload {
        message.speech = Some(Sound::new(VOICE));
    }
    envelope
}

/// The sentences that left with their sound, and where to.
fn voiced(out: &Outbox) -> Vec<(Option<Destination>, SentenceSpoken)> {
    let spoken = out.all().into_iter().filter_map(|(to, envelope)| match envelope.payload {
        Payload::SentenceSpoken(spoken) => Some((to, spoken)),
        _ => None,
    });
    spoken.collect()
}

fn voiced_texts(out: &Outbox) -> Vec<String> {
    voiced(out).into_iter().map(|(_, spoken)| spoken.text.reveal().to_owned()).collect()
}

/// The bodies of the events of that name.
fn told<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter_map(|event| event.get(name)).collect()
}

#[tokio::test]
async fn it_is_heard_in_its_own_voice_and_uses_tools_on_one_stream() {
    let arguments = json!({"start": ten_in(3).to_string(), "name": "Ada Lovelace"}).to_string();
    let answers = move |number, _: &[Value]| {
        Ok(match number {
            0 => vec![
                Step::Says("Let me book it."),
                Step::Asks("book_appointment", arguments.clone()),
            ],
            _ => vec![Step::Says("You are booked. See you."), Step::Ends("Goodbye.")],
        })
    };
    let Some((world, model)) = clinic(answers).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &sounds(&call, 1, WORDS)).await.unwrap();

    let sentences = ["Let me book it.", "You are booked. See you.", "Goodbye."];
    assert_eq!(voiced_texts(&out), sentences);
    for (place, (to, spoken)) in voiced(&out).into_iter().enumerate() {
        assert_eq!(to, Some(Destination::Task("edge-task-1".into())));
        assert_eq!((spoken.index as usize, spoken.part, spoken.more), (place, 0, false));
        assert_eq!(spoken.result, Ok(sound_of(sentences[place])));
    }
    assert!(out.spoken().is_empty(), "nobody else speaks");
    assert_eq!(out.finished()[0].1.sentences, 3);
    assert_eq!(standing(&world).await, 1);

    let [session] = model.sessions().try_into().unwrap();
    let sent: Vec<_> = told(&session, "textInput");
    assert_eq!(sent.last().unwrap()["content"], GREETING, "the words themselves are heard");
    let heard = told(&session, "audioInput")[0]["content"].as_str().unwrap();
    let heard = STANDARD.decode(heard).unwrap();
    let voice: Vec<u8> =
        VOICE.iter().flat_map(|code| domain::g711::decode(*code).to_le_bytes()).collect();
    assert_eq!(heard[..voice.len()], voice);
    assert!(heard[voice.len()..].iter().all(|byte| *byte == 0), "and then it is quiet");
    let result = told(&session, "toolResult")[0]["content"].as_str().unwrap().to_owned();
    assert!(result.contains("\"booked\""), "{result}");
    let reply = out.replies().pop().unwrap().1;
    assert_eq!(reply.text.reveal(), sentences.join(" "));
    let account = reply.account;
    assert_eq!(account.model, "amazon.nova-2-sonic-v1:0");
    assert_eq!((account.tokens_in, account.tokens_out, account.cost_micros), (18, 8, 34));
}

#[tokio::test]
async fn one_that_fails_gives_way_to_the_next_with_the_words() {
    type Failing = fn(usize, &[Value]) -> Answers;
    let failing: [(&str, Failing); 5] = [
        ("is throttled", |_, _| Err((429, "ThrottlingException"))),
        ("is throttled in the stream", |_, _| Ok(vec![Step::Exception("throttlingException")])),
        ("leaves", |_, _| Ok(vec![Step::Leaves])),
        ("may not be asked", |_, _| Err((403, "AccessDeniedException"))),
        ("asks for nonsense", |_, _| Ok(vec![Step::Asks("book_appointment", "{\"sta".into())])),
    ];
    for (what, script) in failing {
        let first = SonicServer::start(script).await;
        let second = ModelServer::start(|_, _| {
            Ok(vec![model_server::Step::Text("Here I am.".into()), model_server::Step::Done])
        })
        .await;
        let models = vec![sonic(&first), openai(&second), rules()];
        let Some(world) = clinic_with(models).await else { return };
        let call = world.call().await;
        let out = Outbox::default();
        call.handle(&out, &sounds(&call, 1, "Are you there?")).await.unwrap();
        assert_eq!(out.texts(), ["Here I am."], "one that {what}");
        assert!(voiced(&out).is_empty(), "one that {what}");
        let messages = second.requests()[0]["messages"].as_array().unwrap().clone();
        // What the first was told of its wishes may follow.
        let words = messages.iter().rfind(|message| message["role"] == "user").unwrap();
        assert_eq!(words["content"], "Are you there?", "one that {what}");
    }
}

#[tokio::test]
async fn one_that_stalls_is_left_for_the_next() {
    let patience = Patience {
        connect: Duration::from_secs(2),
        first_token: Duration::from_millis(300),
        next_token: Duration::from_millis(300),
    };
    let model = SonicServer::start(|_, _| Ok(vec![Step::Stalls])).await;
    let slow = sonic_with(&model, patience);
    let Some(world) = clinic_with(vec![slow, rules()]).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &sounds(&call, 1, "I need an appointment")).await.unwrap();
    assert_eq!(out.texts(), ["Sure.", "What name is it for?"]);
    timeout(Duration::from_secs(20), model.client_left()).await.expect("the stream was closed");
}

#[tokio::test]
async fn a_turn_that_dies_is_heard_the_second_time_as_the_first() {
    for hang_at in 0..3 {
        let answers = |number, events: &[Value]| {
            let is_told = |what: &str| {
                let texts = told(events, "textInput").into_iter();
                let mut texts = texts.filter_map(|said| said["content"].as_str());
                texts.any(|text| text.contains(&format!("you have said: \"{what}\"")))
            };
            Ok(match number {
                0 => vec![Step::Says("One of the first."), Step::Ends("Two of the first.")],
                _ if is_told("One of the first.") => vec![Step::Ends("Two of the second.")],
                _ if is_told("One of the first. Two of the first.") => vec![Step::Ends("")],
                _ => vec![Step::Ends("It was asked anew.")],
            })
        };
        let Some((world, model)) = clinic(answers).await else { return };
        let call = world.call().await;
        let words = sounds(&call, 1, "Tell me two things.");
        let first = Outbox::deadly(hang_at, true);
        first.kill(call.handle(&first, &words)).await;
        let second = Outbox::default();
        call.handle(&second, &words).await.unwrap();
        let texts = voiced_texts(&second);
        assert_eq!(texts[0], "One of the first.", "died at {hang_at}");
        let is_whole = hang_at > 0;
        let rest = if is_whole { "Two of the first." } else { "Two of the second." };
        assert_eq!(texts[1..], [rest], "died at {hang_at}");
        for (_, spoken) in voiced(&second) {
            assert_eq!(spoken.result, Ok(sound_of(spoken.text.reveal())), "died at {hang_at}");
        }
        let asked = model.sessions().len();
        assert!(asked <= 2, "asked {asked} times, died at {hang_at}");
    }
}

#[tokio::test]
async fn barge_in_closes_its_stream() {
    let stalls = |_, _: &[Value]| Ok(vec![Step::Says("One moment."), Step::Stalls]);
    let Some((world, model)) = clinic(stalls).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    let words = sounds(&call, 1, WORDS);
    let barge_in = async {
        while voiced(&out).is_empty() {
            tokio::task::yield_now().await;
        }
        world.shell.cache.set_fence(call.call.as_ref().unwrap(), Turn(2)).await.unwrap();
    };
    let (handled, ()) = tokio::join!(call.handle(&out, &words), barge_in);
    handled.unwrap();
    timeout(Duration::from_secs(20), model.client_left()).await.expect("the stream was closed");
    assert!(out.finished().is_empty(), "what was cut is not told as whole");
}

#[tokio::test]
async fn where_nothing_can_be_heard_it_is_not_asked() {
    let Some((world, model)) = clinic(|_, _| Ok(vec![Step::Ends("No.")])).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &call.says(1, "I need an appointment", None)).await.unwrap();
    assert_eq!(out.texts(), ["Sure.", "What name is it for?"], "a call without its sound");
    let chat = world.chat();
    let out = Outbox::default();
    chat.handle(&out, &chat.says(1, "I need an appointment", None)).await.unwrap();
    assert_eq!(out.replies().len(), 1, "a chat");
    assert!(model.sessions().is_empty());
}
