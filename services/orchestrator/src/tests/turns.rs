//! What leaves the orchestrator in a turn, and which model answers.

use std::{sync::Arc, time::Duration};

use bus::{Destination, Queue};
use domain::{Heard, Payload, SpeechRate, Stage, Timestamp, Turn};

use super::{
    desk::{GREETING, Outbox, World, openai, rules},
    model_server::{ModelServer, Step},
    tools::clinic_with,
};
use crate::llm::{OpenAi, OpenAiSettings, Patience};

#[tokio::test]
async fn a_call_turn_leaves_sentence_by_sentence_and_then_whole() {
    let model = ModelServer::never_twice_alike().await;
    let Some(world) = World::new(vec![openai(&model)]).await else { return };
    let call = world.call().await;
    let (cache, sid, now) = (&world.shell.cache, call.call.as_ref().unwrap(), Timestamp::now());
    cache.attach_call(sid, 1, "edge-task-2:1", "edge-task-2", now).await.unwrap();
    let words = call.says(1, "What do you do?", Some(GREETING));
    let out = Outbox::default();
    call.handle(&out, &words).await.unwrap();

    let kinds: Vec<_> = out.all().iter().map(|(to, e)| (to.clone(), e.payload.name())).collect();
    let speak = (Some(Destination::Shared(Queue::Speak)), "SpeakSentence");
    let edge = (Some(Destination::Task("edge-task-2".into())), "ReplyFinished");
    assert_eq!(kinds, [speak.clone(), speak.clone(), speak, edge, (None, "MessageSent")]);

    let job = &out.all()[0].1;
    assert_eq!(job.expires_at, Some(words.occurred_at.plus(Duration::from_secs(10))));
    assert_eq!(job.reply_to.as_deref(), Some("edge-task-1"));
    let stages: Vec<_> = job.stages.iter().map(|s| s.name.as_ref()).collect();
    assert_eq!(stages, [Stage::ORCHESTRATOR_STARTED, Stage::FIRST_SENTENCE]);
    assert_eq!(out.finished()[0].1.sentences, 3);

    let (envelope, reply) = &out.replies()[0];
    assert_eq!(reply.text.reveal(), out.texts().join(" "));
    assert_eq!((reply.to.reveal(), reply.from.as_str()), ("+15550001111", "+15550100001"));
    assert_eq!(envelope.turn, Turn(1));
    assert_eq!(reply.account.agent, "fallback");
    assert_eq!((reply.account.tokens_in, reply.account.tokens_out), (9, 4));
    assert_eq!(reply.account.model, "test-model");
    assert!(reply.account.reason.contains("under 0.50"), "{}", reply.account.reason);
}

#[tokio::test]
async fn a_call_by_the_rules_engine_ends_with_a_goodbye() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let call = world.call().await;
    let mut heard = GREETING.to_owned();
    let talk = [
        ("I need an appointment", "Sure. What name is it for?"),
        ("My name is Anna Lee", "Thank you, Anna Lee. Which day would suit you?"),
        ("Never mind", "All right, I have dropped that. Anything else?"),
        ("No, goodbye", "Thank you for calling. Goodbye."),
    ];
    let mut hang_ups = Vec::new();
    for (turn, (text, expected)) in (1..).zip(talk) {
        let out = Outbox::default();
        call.handle(&out, &call.says(turn, text, Some(&heard))).await.unwrap();
        heard = out.texts().join(" ");
        assert_eq!(heard, expected);
        hang_ups.push(out.finished()[0].1.hang_up);
    }
    assert_eq!(hang_ups, [false, false, false, true]);
    call.ends(Heard { turn: Turn(4), text: "Thank you".into(), complete: false }).await;
    let kept = world.shell.cache.context(call.conversation).await.unwrap().unwrap();
    assert!(kept.body.contains("\"ended\":true") && !kept.body.contains("Goodbye"), "{kept:?}");
}

#[tokio::test]
async fn who_asks_for_it_is_spoken_to_slowly_for_the_rest_of_the_call() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let call = world.call().await;
    let mut heard = GREETING.to_owned();
    let question = "Sure. What name is it for?";
    let talk = [
        ("I need an appointment", question, SpeechRate::NORMAL),
        ("Slower, please", question, SpeechRate::SLOWER),
        (
            "My name is Anna Lee",
            "Thank you, Anna Lee. Which day would suit you?",
            SpeechRate::SLOWER,
        ),
    ];
    for (turn, (text, expected, rate)) in (1..).zip(talk) {
        let out = Outbox::default();
        call.handle(&out, &call.says(turn, text, Some(&heard))).await.unwrap();
        heard = out.texts().join(" ");
        assert_eq!(heard, expected);
        let rates: Vec<_> = out.spoken().iter().map(|(_, sentence)| sentence.rate).collect();
        assert_eq!(rates, vec![rate; rates.len()], "{text}");
    }
}

#[tokio::test]
async fn the_next_model_answers_in_the_same_turn_when_the_first_fails() {
    type Failure = fn(usize, &serde_json::Value) -> Result<Vec<Step>, (u16, &'static str)>;
    let failures: [(&str, Failure); 5] = [
        ("refuses", |_, _| Err((429, r#"{"error":{"code":"insufficient_quota"}}"#))),
        ("breaks off before a sentence", |_, _| Ok(vec![Step::Text("Half a".into())])),
        ("reports an error", |_, _| {
            Ok(vec![Step::Raw("data: {\"error\":{\"type\":\"server_error\"}}\n\n")])
        }),
        ("streams rubbish", |_, _| Ok(vec![Step::Raw("data: {rubbish\n\n")])),
        ("says nothing", |_, _| Ok(vec![Step::Done])),
    ];
    for (name, script) in failures {
        let model = ModelServer::start(script).await;
        let Some(world) = World::new(vec![openai(&model), rules()]).await else { return };
        let call = world.call().await;
        let out = Outbox::default();
        call.handle(&out, &call.says(1, "I need an appointment", None)).await.unwrap();
        assert_eq!(out.texts(), ["Sure.", "What name is it for?"], "a model that {name}");
        assert_eq!(out.replies()[0].1.account.model, "rules", "a model that {name}");
    }
}

#[tokio::test]
async fn a_model_that_stalls_is_left_for_the_next() {
    let patience = Patience {
        connect: Duration::from_secs(2),
        first_token: Duration::from_millis(300),
        next_token: Duration::from_millis(300),
    };
    let silent: fn(usize, &serde_json::Value) -> _ = |_, _| Ok(vec![Step::Stall]);
    let alive_but_silent: fn(usize, &serde_json::Value) -> _ =
        |_, _| Ok(vec![Step::Raw(": keep-alive\n\n"), Step::Stall]);
    let begins: fn(usize, &serde_json::Value) -> _ =
        |_, _| Ok(vec![Step::Text("Half a".into()), Step::Stall]);
    for script in [silent, alive_but_silent, begins] {
        let model = ModelServer::start(script).await;
        let settings = OpenAiSettings::at(&model.base_url, "test-model");
        boot::install_tls();
        let slow = Arc::new(OpenAi::with_patience(settings, None, patience).unwrap());
        let Some(world) = World::new(vec![slow, rules()]).await else { return };
        let call = world.call().await;
        let out = Outbox::default();
        call.handle(&out, &call.says(1, "I need an appointment", None)).await.unwrap();
        assert_eq!(out.texts(), ["Sure.", "What name is it for?"]);
    }
}

#[tokio::test]
async fn a_model_that_breaks_off_after_a_sentence_goes_on_from_there() {
    let model = ModelServer::start(|number, _| match number {
        0 => Ok(vec![Step::Text("One. Tw".into())]),
        _ => Ok(vec![Step::Text("Two. Three.".into()), Step::Done]),
    })
    .await;
    let Some(world) = World::new(vec![openai(&model), rules()]).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &call.says(1, "Count.", None)).await.unwrap();
    assert_eq!(out.texts(), ["One.", "Two.", "Three."]);
}

#[tokio::test]
async fn a_caller_whom_no_model_answers_hears_that_something_is_wrong() {
    let model = ModelServer::start(|_, _| Err((500, "no"))).await;
    let Some(world) = World::new(vec![openai(&model)]).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &call.says(1, "Hello?", None)).await.unwrap();
    assert_eq!(
        out.texts(),
        dialogue_core::sentences(dialogue_core::RECOVERY)
            .iter()
            .map(|s| s.trim().to_owned())
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_tenants_own_agents_and_settings_are_used_once_they_are_read() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let owner = world.db.owner().await;
    let id = *world.tenant.as_uuid();
    owner
        .execute(
            "INSERT INTO agent_metadata (tenant, name, kind, config) VALUES ($1, 'visits', 'task', '{}')",
            &[&id],
        )
        .await
        .unwrap();
    owner
        .execute(
            "INSERT INTO addresses (channel, address, tenant, mode) VALUES ('voice', '+15550009999', $1, 'media_stream')",
            &[&id],
        )
        .await
        .unwrap();
    world.shell.tenants.refresh().await.unwrap();
    let call = world.call().await;
    let out = Outbox::default();
    call.handle(&out, &call.says(1, "I need an appointment", None)).await.unwrap();
    assert_eq!(out.replies()[0].1.account.agent, "visits");
}

#[tokio::test]
async fn an_old_turn_delivered_again_changes_nothing() {
    let Some(world) = World::new(vec![rules()]).await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    let first = call.says(1, "I need an appointment", Some(GREETING));
    call.handle(&out, &first).await.unwrap();
    call.handle(&out, &call.says(2, "Anna", Some("Sure."))).await.unwrap();
    let before = world.shell.cache.context(call.conversation).await.unwrap();
    let out = Outbox::default();
    call.handle(&out, &first).await.unwrap();
    assert!(out.all().is_empty());
    assert_eq!(world.shell.cache.context(call.conversation).await.unwrap(), before);
}

/// A clinic whose calls go to this number when a human is wanted.
async fn with_a_human(to: &str) -> Option<World> {
    let world = World::new(vec![rules()]).await?;
    let tenant = world.tenant;
    let sql = format!(
        "UPDATE tenants SET settings = settings || '{{\"transfer_to\": \"{to}\"}}' WHERE id = '{tenant}';
         INSERT INTO addresses (channel, address, tenant, mode)
            VALUES ('voice', '+15550100001', '{tenant}', 'gather')"
    );
    world.db.owner().await.batch_execute(&sql).await.unwrap();
    world.shell.tenants.refresh().await.unwrap();
    Some(world)
}

#[tokio::test]
async fn a_call_goes_to_a_human_once_the_reply_that_says_so_is_over() {
    let Some(world) = with_a_human("sip:desk@example.com").await else { return };
    let call = world.call().await;
    let out = Outbox::default();
    let words = call.says(1, "I want to talk to a person", Some(GREETING));
    call.handle(&out, &words).await.unwrap();
    assert_eq!(out.texts(), ["One moment, I will put you through."]);
    let finished = &out.finished()[0].1;
    let handover = finished.transfer.as_ref().expect("a transfer");
    assert_eq!(handover.to.reveal(), "sip:desk@example.com");
    assert_eq!(handover.summary.reveal(), "Somebody asked for a person.");
    assert!(!finished.hang_up);
    // Told again after a crash, it is the same.
    let again = Outbox::default();
    call.handle(&again, &words).await.unwrap();
    assert_eq!(again.finished()[0].1.transfer, finished.transfer);
}

#[tokio::test]
async fn a_call_without_a_stream_gets_its_reply_whole_and_any_edge_task_finds_it() {
    let Some(world) = with_a_human("+15550100009").await else { return };
    let call = world.call().await;
    let mut words = call.says(1, "I want to talk to a person", Some(GREETING));
    if let Payload::MessageReceived(message) = &mut words.payload {
        message.gathered = true;
    }
    let out = Outbox::default();
    call.handle(&out, &words).await.unwrap();
    let left = out.all();
    let written = left.iter().find_map(|(to, job)| match &job.payload {
        Payload::ReplyWritten(reply) => Some((to.clone(), reply.clone())),
        _ => None,
    });
    let (to, reply) = written.expect("a written reply");
    assert_eq!(to, Some(Destination::Task("edge-task-1".into())), "to the task that asked");
    assert_eq!(reply.text.reveal(), "One moment, I will put you through.");
    assert_eq!(reply.transfer.as_ref().map(|t| t.to.reveal()), Some("+15550100009"));
    let kept = world.shell.cache.kept_reply(&reply.call, Turn(1)).await.unwrap();
    assert_eq!(kept, Some(reply));
    let kinds: Vec<_> = left.iter().map(|(_, e)| e.payload.name()).collect();
    assert_eq!(kinds, ["EscalationRequested", "ReplyWritten", "MessageSent"], "nothing is spoken");
}

#[tokio::test]
async fn the_edge_task_is_told_in_which_language_the_agent_that_has_the_turn_listens() {
    let Some(world) = clinic_with(vec![rules()]).await else { return };
    let call = world.call().await;
    let listens_in = async |turn: u32, words: &str| {
        let out = Outbox::default();
        call.handle(&out, &call.says(turn, words, None)).await.unwrap();
        out.finished()[0].1.listens_in.clone()
    };
    assert_eq!(listens_in(1, "the sky is blue").await, None, "there is only the tenant's");
    let sql = format!(
        "INSERT INTO agent_metadata (tenant, name, kind, config) VALUES
            ('{}', 'rest', 'fallback', '{{\"language\": \"fr-CA\"}}')",
        world.tenant
    );
    world.db.owner().await.batch_execute(&sql).await.unwrap();
    let refused = world.shell.tenants.refresh().await.unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    let usual = world.shell.tenants.get(world.tenant).settings.voice.language.clone();
    for (turn, words, expected) in [
        (2, "the grass is green", "fr-CA"),
        (3, "hello", usual.as_str()),
        (4, "the sea is deep", "fr-CA"),
    ] {
        assert_eq!(listens_in(turn, words).await.as_deref(), Some(expected), "{words}");
        let noted = world.shell.cache.listens_in(call.call.as_ref().unwrap()).await.unwrap();
        assert_eq!(noted.as_deref(), Some(expected), "for who takes the call over");
    }

    // Of a call that Twilio recognises, the webhook says so.
    let mut gathered = call.says(5, "the rain is wet", None);
    if let Payload::MessageReceived(message) = &mut gathered.payload {
        message.gathered = true;
    }
    let out = Outbox::default();
    call.handle(&out, &gathered).await.unwrap();
    let written = out.all().into_iter().find_map(|(_, job)| match job.payload {
        Payload::ReplyWritten(reply) => Some(reply.language),
        _ => None,
    });
    assert_eq!(written.flatten().as_deref(), Some("fr-CA"));
}
