//! The same turns as [`super::models`] has, by a model behind Bedrock's event stream.

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use domain::Turn;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    desk::{GREETING, Outbox, World, openai, rules},
    model_server::{ModelServer, Step},
    tools::{clinic_with, standing, ten_in},
};
use crate::llm::{
    AwsIdentity, Bedrock, BedrockAccess, BedrockSettings, Guarded, LanguageModel, Patience, Price,
};

type Answers = Result<Vec<Step>, (u16, &'static str)>;

const WORDS: &str = "Yes, please book it.";

pub(super) fn access() -> BedrockAccess {
    let credentials = Credentials::new("AKIA", "secret", None, None, "test");
    let aws = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    BedrockAccess::Signed(AwsIdentity::new(&aws).unwrap())
}

fn bedrock_with(server: &ModelServer, patience: Patience) -> Arc<dyn LanguageModel> {
    boot::install_tls();
    let settings = BedrockSettings {
        name: Bedrock::NAME.to_owned(),
        base_url: server.base_url.clone(),
        model: "amazon.nova-lite-v1:0".to_owned(),
        price: Price { tokens_in: 1.0, tokens_out: 2.0 },
    };
    let bedrock = Bedrock::with_patience(settings, access(), patience).unwrap();
    Arc::new(Guarded::new(Arc::new(bedrock)))
}

fn bedrock(server: &ModelServer) -> Arc<dyn LanguageModel> {
    bedrock_with(server, Patience::default())
}

/// A clinic with this model before the rules.
async fn clinic(
    script: impl Fn(usize, &Value) -> Answers + Send + Sync + 'static,
) -> Option<(World, ModelServer)> {
    let server = ModelServer::start(script).await;
    let world = clinic_with(vec![bedrock(&server), rules()]).await?;
    Some((world, server))
}

fn says(text: &str) -> Answers {
    Ok(vec![Step::Text(text.into()), Step::Done])
}

#[tokio::test]
async fn a_model_books_by_its_tools_and_what_it_used_is_counted() {
    let arguments = json!({"start": ten_in(3).to_string(), "name": "Ada Lovelace"}).to_string();
    let answers = move |number, _: &Value| match number {
        0 => Ok(vec![
            Step::Text("Let me book it.".into()),
            Step::Tools(vec![("book_appointment", arguments.clone())]),
        ]),
        _ => says("You are booked."),
    };
    let Some((world, model)) = clinic(answers).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &call.says(1, WORDS, Some(GREETING))).await.unwrap();
    assert_eq!(out.texts(), ["Let me book it.", "You are booked."]);
    assert_eq!(standing(&world).await, 1);

    let requests = model.requests();
    let last = requests[1]["messages"].as_array().unwrap().last().unwrap();
    let result = &last["content"][0]["toolResult"];
    assert_eq!(result["toolUseId"], "call_0_0");
    assert_eq!(result["content"][0]["json"]["outcome"], "booked");
    assert_eq!(requests[0]["messages"][0]["role"], "user", "also where we greeted first");
    let account = out.replies().last().unwrap().1.account.clone();
    assert_eq!((account.tokens_in, account.tokens_out), (18, 8));
    assert_eq!(account.cost_micros, 34);
    assert_eq!(account.model, "amazon.nova-lite-v1:0");
}

#[tokio::test]
async fn one_that_fails_before_it_said_anything_gives_way_to_the_next() {
    type Failing = fn(usize, &Value) -> Answers;
    let failing: [(&str, Failing); 6] = [
        ("is throttled", |_, _| Err((429, "ThrottlingException"))),
        ("is throttled in the stream", |_, _| Ok(vec![Step::Exception("throttlingException")])),
        ("streams rubbish", |_, _| Ok(vec![Step::Raw("data: {\"choices\":[]}\n\n")])),
        ("ends without an end", |_, _| Ok(Vec::new())),
        ("never ends its arguments", |_, _| {
            Ok(vec![Step::Tools(vec![("book_appointment", "{\"sta".into())])])
        }),
        ("may not be asked", |_, _| Err((403, "AccessDeniedException"))),
    ];
    for (what, script) in failing {
        let first = ModelServer::start(script).await;
        let second = ModelServer::start(|_, _| says("Here I am.")).await;
        let Some(world) = clinic_with(vec![bedrock(&first), openai(&second), rules()]).await else {
            return;
        };
        let call = world.call().await;
        let out = Outbox::default();
        call.handle(&out, &call.says(1, "Are you there?", Some(GREETING))).await.unwrap();
        assert_eq!(out.texts(), ["Here I am."], "a model that {what}");
        assert_eq!(out.replies()[0].1.account.model, "test-model", "a model that {what}");
    }
}

#[tokio::test]
async fn one_that_dies_in_the_middle_of_a_sentence_leaves_whole_sentences() {
    let answers = |number, _: &Value| match number {
        0 => Ok(vec![Step::Text("We are open until five. On Sat".into())]),
        _ => Err((503, "ServiceUnavailableException")),
    };
    let Some((world, _model)) = clinic(answers).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &call.says(1, "When are you open?", Some(GREETING))).await.unwrap();
    let texts = out.texts();
    assert_eq!(texts[0], "We are open until five.");
    assert!(texts.iter().all(|text| !text.contains("On Sat")), "{texts:?}");
}

#[tokio::test]
async fn one_that_stalls_is_left_for_the_next() {
    let patience = Patience {
        connect: Duration::from_secs(2),
        first_token: Duration::from_millis(300),
        next_token: Duration::from_millis(300),
    };
    let model = ModelServer::start(|_, _| Ok(vec![Step::Stall])).await;
    let slow = bedrock_with(&model, patience);
    let Some(world) = clinic_with(vec![slow, rules()]).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &call.says(1, "I need an appointment", None)).await.unwrap();
    assert_eq!(out.texts(), ["Sure.", "What name is it for?"]);
}

#[tokio::test]
async fn barge_in_closes_its_stream() {
    let stalls = |_, _: &Value| Ok(vec![Step::Text("One moment. And ".into()), Step::Stall]);
    let Some((world, model)) = clinic(stalls).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    let words = call.says(1, WORDS, Some(GREETING));
    let barge_in = async {
        while out.spoken().is_empty() {
            tokio::task::yield_now().await;
        }
        world.shell.cache.set_fence(call.call.as_ref().unwrap(), Turn(2)).await.unwrap();
    };
    let (handled, ()) = tokio::join!(call.handle(&out, &words), barge_in);
    handled.unwrap();
    timeout(Duration::from_secs(20), model.client_left()).await.expect("the stream was closed");
}
