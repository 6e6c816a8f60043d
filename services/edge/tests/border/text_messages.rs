//! Text messages over Twilio (A6): in, out, and STOP, START and HELP, with Twilio played by a small server.

use domain::{
    Channel, ConversationId, DeliveryStatus, DeliveryUpdated, Envelope, EventId, Keyword,
    MessageKind, MessageReceived, MessageSent, Payload, SentForm, Timestamp, TurnAccount,
};
use serde_json::{Value, json};
use store::{
    opt_outs::{self, OptOut},
    seed::DEMO,
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    edge_task::{EdgeTask, OUR_NUMBER, PATIENCE, start, start_with},
    vendors::{Answered, form_signature, twilio_api_answering},
};

const ANA: &str = "+15551234567";
const ACCOUNT: &str = "AC00000000000000000000000000000001";
const PATH: &str = "/twilio/sms";
const STATUS_PATH: &str = "/twilio/sms/status";

/// A task whose Twilio answers every send with this.
async fn start_answered(
    status: u16,
    told: Value,
) -> Option<(EdgeTask, UnboundedReceiver<(String, String)>)> {
    let (base, asked) = twilio_api_answering(status, told).await;
    let variables = [("TWILIO_API_BASE_URL", base.as_str()), ("TWILIO_ACCOUNT_SID", ACCOUNT)];
    Some((start_with(&variables).await?, asked))
}

fn text(sid: &str, body: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let fields = [("MessageSid", sid), ("From", ANA), ("To", OUR_NUMBER), ("Body", body)];
    let fields = fields.iter().chain(more);
    fields.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn chat() -> ConversationId {
    ConversationId::of_chat(DEMO, "sms", OUR_NUMBER, ANA)
}

fn reply(text: &str) -> Envelope {
    let sent = MessageSent {
        to: ANA.into(),
        from: OUR_NUMBER.into(),
        text: text.into(),
        in_reply_to: String::new(),
        attempt: 1,
        account: TurnAccount::default(),
        choices: Vec::new(),
        form: SentForm::Text,
    };
    Envelope::new(EventId::random(), DEMO, chat(), Channel::SMS, Timestamp::now(), sent)
}

/// What a person wrote, as it was published.
async fn received(edge: &EdgeTask) -> MessageReceived {
    match edge.published_kind("MessageReceived").await.payload {
        Payload::MessageReceived(message) => message,
        other => panic!("{}", other.name()),
    }
}

/// What became of a message of ours.
async fn fate(edge: &EdgeTask) -> DeliveryUpdated {
    match edge.published_kind("DeliveryUpdated").await.payload {
        Payload::DeliveryUpdated(update) => update,
        other => panic!("{}", other.name()),
    }
}

/// What Twilio was told to send next.
async fn sent(asked: &mut UnboundedReceiver<(String, String)>) -> Vec<(String, String)> {
    let next = tokio::time::timeout(PATIENCE, asked.recv()).await.expect("Twilio is asked");
    serde_urlencoded::from_str(&next.unwrap().1).unwrap()
}

fn field<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
    form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// Plays the writer, which takes what a person wrote into the history.
async fn write(edge: &EdgeTask, message: &MessageReceived) {
    let MessageKind::Keyword(word) = message.kind else { panic!("{:?}", message.kind) };
    let Some(is_out) = word.opts_out() else { return };
    let tx = edge.db.store().await.tenant(DEMO).await.unwrap();
    let of = OptOut::of(&Channel::SMS, &message.to, &message.from);
    opt_outs::note(&tx, &of, is_out, Timestamp::now()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn only_what_twilio_signed_comes_in() {
    let Some(edge) = start().await else { return };
    let message = text("SM1", "Hi", &[]);
    let mut status = message.clone();
    status.push(("MessageStatus".into(), "delivered".into()));
    for (path, form) in [(PATH, &message), (STATUS_PATH, &status)] {
        let elsewhere = form_signature("/elsewhere", form);
        assert_eq!(edge.post_form(path, form, &elsewhere).await.0, 401, "{path}");
        let body = serde_urlencoded::to_string(form).unwrap();
        let kind = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(edge.post(path, &[kind], body).await.0, 401, "{path}: missing");
    }
    let mut nobody = text("SM2", "Hi", &[]);
    nobody.retain(|(name, _)| name != "From");
    let Answered(status, fault) = edge.twilio(PATH, &nobody).await;
    assert_eq!((status, fault.contains("From")), (400, true), "{fault}");
    edge.assert_nothing_published().await;
}

#[tokio::test]
async fn a_text_comes_in_its_answer_goes_out_and_a_status_settles_it() {
    let Some((edge, mut asked)) = start_answered(201, json!({"sid": "SM9"})).await else { return };
    let Answered(status, twiml) = edge.twilio(PATH, &text("SM1", "Are you open?", &[])).await;
    assert_eq!((status, twiml.as_str()), (200, "<Response/>"));
    let event = edge.published_kind("MessageReceived").await;
    assert_eq!((event.conversation, &event.channel), (chat(), &Channel::SMS));
    let Payload::MessageReceived(message) = event.payload else { unreachable!() };
    assert_eq!((message.text.reveal(), &message.kind), ("Are you open?", &MessageKind::Text));

    let answer = reply("Until five.");
    edge.bus.publish(std::slice::from_ref(&answer)).await.unwrap();
    let form = sent(&mut asked).await;
    let told = ["To", "From", "Body"].map(|name| field(&form, name));
    assert_eq!(told, [ANA, OUR_NUMBER, "Until five."]);
    assert_eq!(fate(&edge).await.status, DeliveryStatus::Accepted);
    let callback = field(&form, "StatusCallback");
    let query = callback.split_once("/twilio/sms/status").expect("our own path").1;
    let mut told = text("SM9", "", &[("MessageStatus", "delivered")]);
    told.iter_mut().for_each(|(name, value)| match name.as_str() {
        "From" => OUR_NUMBER.clone_into(value),
        "To" => ANA.clone_into(value),
        _ => {}
    });
    assert_eq!(edge.twilio(&format!("{STATUS_PATH}{query}"), &told).await.0, 200);
    let delivered = fate(&edge).await;
    assert_eq!(delivered.message, Some(answer.event_id));
    assert_eq!(delivered.status, DeliveryStatus::Delivered);
}

#[tokio::test]
async fn nothing_is_sent_to_who_said_stop_until_they_say_start() {
    let Some((edge, mut asked)) = start_answered(201, json!({"sid": "SM9"})).await else { return };
    let Answered(status, twiml) = edge.twilio(PATH, &text("SM1", "Stop.", &[])).await;
    assert_eq!(status, 200);
    assert!(twiml.contains("<Message>Maple Dental: you will get no more messages"), "{twiml}");
    let stop = received(&edge).await;
    assert_eq!(stop.kind, MessageKind::Keyword(Keyword::Stop));
    write(&edge, &stop).await;

    let refused = reply("See you tomorrow.");
    edge.bus.publish(std::slice::from_ref(&refused)).await.unwrap();
    let update = fate(&edge).await;
    assert_eq!((update.message, update.status), (Some(refused.event_id), DeliveryStatus::Failed));
    assert_eq!(update.error.map(|(code, _)| code), Some(21_610));

    let twiml = edge.twilio(PATH, &text("SM2", "START", &[])).await.1;
    assert!(twiml.contains("<Message>Maple Dental: you will get messages"), "{twiml}");
    write(&edge, &received(&edge).await).await;
    edge.bus.publish(&[reply("Welcome back.")]).await.unwrap();
    assert_eq!(field(&sent(&mut asked).await, "Body"), "Welcome back.", "and nothing before it");
}

#[tokio::test]
async fn help_names_the_business_and_the_way_out_in_its_own_words_where_it_has_some() {
    let Some(edge) = start().await else { return };
    let twiml = edge.twilio(PATH, &text("SM1", "help", &[])).await.1;
    assert!(twiml.contains("Maple Dental") && twiml.contains("STOP"), "{twiml}");
    assert_eq!(received(&edge).await.kind, MessageKind::Keyword(Keyword::Help));
    edge.set(&json!({"sms_help": "Tom & Co, 555 0100. STOP ends this."})).await;
    let until = tokio::time::Instant::now() + PATIENCE;
    // The settings are read anew every few seconds.
    loop {
        let twiml = edge.twilio(PATH, &text("SM2", "INFO", &[])).await.1;
        if twiml
            == "<Response><Message>Tom &amp; Co, 555 0100. STOP ends this.</Message></Response>"
        {
            break;
        }
        assert!(tokio::time::Instant::now() < until, "{twiml}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_twilio_has_answered_is_obeyed_and_not_answered_again() {
    let Some(edge) = start().await else { return };
    let cancel = text("SM1", "Cancel", &[("OptOutType", "STOP")]);
    assert_eq!(edge.twilio(PATH, &cancel).await, Answered(200, "<Response/>".into()));
    assert_eq!(received(&edge).await.kind, MessageKind::Keyword(Keyword::Stop));
    // By itself it is about an appointment, for agents.
    edge.twilio(PATH, &text("SM2", "Cancel", &[])).await;
    assert_eq!(received(&edge).await.kind, MessageKind::Text);
}

#[tokio::test]
async fn a_stop_that_twilio_alone_knows_is_learnt_from_its_refusal() {
    let told = json!({"code": 21_610, "message": "unsubscribed", "status": 400});
    let Some((edge, mut asked)) = start_answered(400, told).await else { return };
    edge.bus.publish(&[reply("one")]).await.unwrap();
    assert_eq!(field(&sent(&mut asked).await, "Body"), "one");
    assert_eq!(fate(&edge).await.error.map(|(code, _)| code), Some(21_610));
    edge.bus.publish(&[reply("two")]).await.unwrap();
    assert_eq!(fate(&edge).await.error.map(|(code, _)| code), Some(21_610));
    assert!(asked.try_recv().is_err(), "Twilio is not asked again");
}
