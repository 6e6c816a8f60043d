//! What comes along with the words of a chat, and what goes out below a reply (A5).

use domain::{
    DeliveryStatus, DeliveryUpdated, Envelope, EventId, KeptFile, Location, Media, MediaKind,
    MessageKind, MessageReceived, Payload,
};
use serde_json::{Value, json};
use store::{conversations, deliveries, messages};

use super::{
    desk::{Outbox, Talk, World, openai, rules},
    model_server::{ModelServer, Step},
    tools::{clinic_with, ten_in},
};

/// The message with what `change` makes of it.
fn with(chat: &Talk<'_>, text: &str, change: impl FnOnce(&mut MessageReceived)) -> Envelope {
    let mut words = chat.says(0, text, None);
    if let Payload::MessageReceived(message) = &mut words.payload {
        change(message);
    }
    words
}

fn sends(chat: &Talk<'_>, kind: MediaKind, name: Option<&str>, caption: &str) -> Envelope {
    let media = Media {
        kind,
        id: "77".into(),
        mime_type: "x/y".into(),
        sha256: String::new(),
        filename: name.map(Into::into),
    };
    with(chat, caption, |message| message.kind = MessageKind::Media(media))
}

/// Keeps the file of `message`, as the border does.
async fn keep(world: &World, message: &Envelope, mime_type: &str, bytes: &[u8]) {
    let file = KeptFile {
        bucket: format!("files-{}", EventId::random()),
        key: format!("media/{}", message.event_id),
        mime_type: mime_type.into(),
        bytes: bytes.len() as u64,
    };
    let s3 = testkit::make_bucket(&file.bucket).await.unwrap();
    let put = s3.put_object().bucket(&file.bucket).key(&file.key).body(bytes.to_vec().into());
    put.send().await.unwrap();
    let cache = &world.shell.cache;
    cache.settle_file(message.conversation, message.event_id, Some(&file)).await.unwrap();
}

/// The content of the person's last message as a model was given it.
fn last_of(request: &Value) -> Value {
    let messages = request["messages"].as_array().unwrap();
    let last = messages.iter().rev().find(|m| m["role"] == "user").unwrap();
    last["content"].clone()
}

#[tokio::test]
async fn a_model_looks_at_the_picture_a_person_sends_and_reads_the_document() {
    let model = ModelServer::never_twice_alike().await;
    let Some(world) = World::new(vec![openai(&model), rules()]).await else { return };
    let chat = world.chat();
    let out = Outbox::default();
    let picture = sends(&chat, MediaKind::Image, None, "");
    keep(&world, &picture, "image/png", b"bytes").await;
    chat.handle(&out, &picture).await.unwrap();
    let list = sends(&chat, MediaKind::Document, Some("list.csv"), "what is the sum?");
    keep(&world, &list, "text/csv", b"tooth,2\ncrown,3\n").await;
    chat.handle(&out, &list).await.unwrap();

    assert_eq!(out.replies().len(), 2);
    assert!(out.replies().iter().all(|(_, reply)| reply.account.model == "test-model"));
    let requests = model.requests();
    let shown = last_of(&requests[0]);
    assert_eq!(shown[0]["text"], "[sent a picture]");
    assert_eq!(shown[1]["image_url"]["url"], "data:image/png;base64,Ynl0ZXM=");
    let read = last_of(&requests[1]).as_str().unwrap().to_owned();
    assert!(read.starts_with("what is the sum? [sent a document named list.csv"), "{read}");
    assert!(read.contains("\ntooth,2\ncrown,3\n"), "{read}");
}

#[tokio::test]
async fn the_rules_take_a_file_in_and_go_on_and_ask_for_one_that_did_not_arrive_again() {
    let model = ModelServer::never_twice_alike().await;
    let Some(mut world) = World::new(vec![rules()]).await else { return };
    let replies = |out: &Outbox| -> Vec<String> {
        out.replies().into_iter().map(|(_, reply)| reply.text.into_revealed()).collect()
    };
    let chat = world.chat();
    let out = Outbox::default();
    chat.handle(&out, &chat.says(0, "I need an appointment", None)).await.unwrap();
    let film = sends(&chat, MediaKind::Video, None, "");
    keep(&world, &film, "video/mp4", b"bytes").await;
    chat.handle(&out, &film).await.unwrap();
    chat.handle(&out, &chat.says(0, "anna lee", None)).await.unwrap();
    let expected = [
        "Sure. What name is it for?",
        "Thank you, I have your video; the team will see it. What name is it for?",
        "Thank you, Anna Lee. Which day would suit you?",
    ];
    assert_eq!(replies(&out), expected);

    let lost = sends(&chat, MediaKind::Image, None, "");
    world.shell.cache.settle_file(lost.conversation, lost.event_id, None).await.unwrap();
    let out = Outbox::default();
    world.shell.models = vec![openai(&model), rules()];
    let chat = world.chat();
    chat.handle(&out, &lost).await.unwrap();
    assert_eq!(replies(&out), ["Sorry, I could not get your picture. Could you send it again?"]);
    assert!(model.requests().is_empty(), "there is nothing a model could look at");
}

#[tokio::test]
async fn an_agent_is_told_what_a_message_replies_to_and_where_a_person_is_and_came_from() {
    let model = ModelServer::never_twice_alike().await;
    let Some(world) = World::new(vec![openai(&model), rules()]).await else { return };
    let chat = world.chat();
    let first = with(&chat, "are you open?", |message| {
        message.referral = Some("Spring offer".into());
    });
    let out = Outbox::default();
    chat.handle(&out, &first).await.unwrap();

    // What the writer does with what came and went, and with the vendor's word of it.
    let (sent, reply) = out.replies().remove(0);
    let Payload::MessageReceived(received) = &first.payload else { panic!() };
    let tx = world.shell.store.tenant(world.tenant).await.unwrap();
    conversations::note(&tx, &first, None, None).await.unwrap();
    messages::received(&tx, &first, received).await.unwrap();
    messages::sent(&tx, &sent, &reply).await.unwrap();
    let accepted = DeliveryUpdated {
        message: Some(sent.event_id),
        external_id: "wamid.ours".into(),
        status: DeliveryStatus::Accepted,
        error: None,
    };
    deliveries::note(&tx, &sent, &accepted).await.unwrap();
    tx.commit().await.unwrap();

    let quoting =
        |text: &str, of: &str| with(&chat, text, |message| message.quotes = Some(of.to_owned()));
    let place = with(&chat, "City Hall", |message| {
        message.kind = MessageKind::Location(Location { latitude: 43.65, longitude: -79.38 });
    });
    let turns = [
        quoting("on which days?", "wamid.ours"),
        quoting("I meant on Sunday", "wamid.1"),
        quoting("and this?", "wamid.of-nobody"),
        place,
    ];
    for turn in &turns {
        chat.handle(&out, turn).await.unwrap();
    }
    let told: Vec<_> = model.requests().iter().map(last_of).collect();
    let ours = reply.text.reveal();
    let expected = [
        "[came from the advertisement \"Spring offer\"] are you open?".to_owned(),
        format!("[in reply to your message \"{ours}\"] on which days?"),
        "[in reply to their own message \"are you open?\"] I meant on Sunday".to_owned(),
        "and this?".to_owned(),
        "[shared a location: City Hall (43.65, -79.38)]".to_owned(),
    ];
    assert_eq!(told, expected.map(Value::from));
}

#[tokio::test]
async fn times_that_a_model_found_and_offers_are_choices_in_a_chat_and_spoken_in_a_call() {
    let find = json!({"from": ten_in(3).to_string(), "until": ten_in(4).to_string()}).to_string();
    let answers = move |number: usize, body: &Value| {
        let told = body["messages"].as_array().unwrap().iter().rev().find(|m| m["role"] == "tool");
        Ok(match (number % 2, told) {
            (1, Some(told)) => {
                let told: Value = serde_json::from_str(told["content"].as_str().unwrap()).unwrap();
                let said = |place: usize| told["value"][place]["said"].as_str().unwrap().to_owned();
                let text = format!("I have {} or {}. Which suits you?", said(0), said(1));
                vec![Step::Text(text), Step::Done]
            }
            _ => vec![Step::Tools(vec![("find_slots", find.clone())])],
        })
    };
    let model = ModelServer::start(answers).await;
    let Some(world) = clinic_with(vec![openai(&model), rules()]).await else { return };
    let (chat, call) = (world.chat(), world.call().await);
    let (written, spoken) = (Outbox::default(), Outbox::default());
    chat.handle(&written, &chat.says(0, "When do you have time?", None)).await.unwrap();
    call.handle(&spoken, &call.says(1, "When do you have time?", None)).await.unwrap();

    let reply = &written.replies()[0].1;
    assert_eq!(reply.account.model, "test-model");
    let told: Value = {
        let requests = model.requests();
        let told = requests[1]["messages"].as_array().unwrap().last().unwrap().clone();
        serde_json::from_str(told["content"].as_str().unwrap()).unwrap()
    };
    let id = |place: usize| {
        let start: jiff::Timestamp =
            told["value"][place]["start"].as_str().unwrap().parse().unwrap();
        format!("offer:{}", start.as_microsecond())
    };
    let mut expected = [id(0), id(1)];
    expected.sort();
    let ids: Vec<_> = reply.choices.iter().map(|choice| choice.id.clone()).collect();
    assert_eq!(ids, expected, "{}", reply.text.reveal());
    assert!(spoken.replies()[0].1.choices.is_empty(), "a caller hears them");
}

#[tokio::test]
async fn what_is_read_back_in_a_chat_is_answered_by_yes_or_no() {
    let Some(world) = clinic_with(vec![rules()]).await else { return };
    let chat = world.chat();
    let out = Outbox::default();
    for words in ["I need an appointment", "anna lee", "next Tuesday at two"] {
        chat.handle(&out, &chat.says(0, words, None)).await.unwrap();
    }
    let last = &out.replies()[2].1;
    assert!(last.text.reveal().ends_with("Is that right?"), "{}", last.text.reveal());
    let ids: Vec<_> = last.choices.iter().map(|choice| choice.id.as_str()).collect();
    assert_eq!(ids, ["yes", "no"]);
    let pressed = with(&chat, "Yes", |message| message.kind = MessageKind::Choice("yes".into()));
    chat.handle(&out, &pressed).await.unwrap();
    let booked = &out.replies()[3].1;
    assert!(booked.text.reveal().starts_with("You are booked"), "{}", booked.text.reveal());
}
