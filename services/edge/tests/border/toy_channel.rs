//! A new channel is one module (A1): a plain HTTP chat, whole in this file. It goes through the same pipeline as any other,
//! in and out, and nothing downstream has heard of it before.

use std::sync::Arc;

use async_trait::async_trait;
use bus::{Context, Handler, Outcome, Queue};
use domain::{
    Channel, ConversationId, DeliveryStatus, Envelope, EventId, MessageKind, MessageReceived,
    MessageSent, OfferedChoice, Payload, Personal, SentForm, Stage, Timestamp, TurnAccount,
};
use edge::channel::{
    Answer, ChannelAdapter, ExternalId, Forgery, Malformed, Notice, OutgoingPart, Reception, Route,
    RouteMethod, SendFault, UserKey, VendorRequest,
};
use serde_json::{Value, json};
use store::seed::DEMO;
use tokio::sync::mpsc;

use crate::edge_task::{PATIENCE, start_with_channels};

const OUR_NAME: &str = "front-desk";

fn toy() -> Channel {
    Channel::named("toy")
}

/// `POST /toy` with `{"from", "id", "text"}` and the header `x-toy-password`; replies go wherever `sent` leads.
struct Toy {
    sent: mpsc::UnboundedSender<String>,
}

#[async_trait]
impl ChannelAdapter for Toy {
    fn channel(&self) -> Channel {
        toy()
    }

    fn routes(&self) -> &'static [Route] {
        &[Route { path: "/toy", method: RouteMethod::Post, max_body_bytes: 4096 }]
    }

    fn validate(&self, request: &VendorRequest) -> Result<(), Forgery> {
        match request.header("x-toy-password") {
            "" => Err(Forgery::Missing),
            "sesame" => Ok(()),
            _ => Err(Forgery::Wrong),
        }
    }

    async fn receive(&self, request: &VendorRequest) -> Result<Reception, Malformed> {
        let said: Value =
            serde_json::from_slice(&request.body).map_err(|e| Malformed::new("body", e))?;
        let part = |name: &str| {
            said[name].as_str().map(str::to_owned).ok_or_else(|| Malformed::new(name, "missing"))
        };
        let (from, id, text) = (part("from")?, part("id")?, part("text")?);
        let mut event = Envelope::new(
            EventId::from_uuid(DEMO.derive(&format!("toy:{id}"))),
            DEMO,
            ConversationId::of_chat(DEMO, toy().as_str(), OUR_NAME, &from),
            toy(),
            request.received_at,
            MessageReceived {
                from: from.as_str().into(),
                to: OUR_NAME.into(),
                text: text.into(),
                kind: MessageKind::Text,
                external_id: id,
                profile_name: None,
                bsuid: None,
                heard: None,
                call: None,
                quotes: None,
                referral: None,
                gathered: false,
                speech: None,
            },
        );
        event.stamp(Stage::WEBHOOK_RECEIVED, request.received_at);
        let user = UserKey::of(DEMO, &toy(), &from, &from);
        let notices = vec![Notice::Person { user, event: Some(Box::new(event)), seen: None }];
        let answer = Answer::text("ok");
        Ok(Reception { notices, answer_over_limit: answer.clone(), answer, outcome: None })
    }

    fn longest_text_chars(&self) -> usize {
        20
    }

    async fn send(&self, part: &OutgoingPart<'_>) -> Result<ExternalId, SendFault> {
        let _ = self.sent.send(format!("{}: {}", part.to.reveal(), part.text));
        Ok(part.mark.to_string())
    }
}

/// Plays the agents: answers with what was said, and two choices.
struct Echo;

#[async_trait]
impl Handler for Echo {
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
        let Payload::MessageReceived(said) = &message.payload else { return Outcome::Done };
        let choice =
            |id: &str| OfferedChoice { id: id.into(), title: id.into(), description: None };
        let reply = MessageSent {
            to: said.from.clone(),
            from: said.to.clone(),
            text: Personal::new(format!("You said {}", said.text.reveal())),
            in_reply_to: said.external_id.clone(),
            attempt: 1,
            account: TurnAccount::default(),
            choices: vec![choice("morning"), choice("evening")],
            form: SentForm::Text,
        };
        let reply = message.follow("message-sent", Timestamp::now(), reply);
        context.publish(&[reply]).await.into()
    }
}

#[tokio::test]
async fn a_channel_nobody_knew_is_answered_like_any_other() {
    let (sent, mut replies) = mpsc::unbounded_channel();
    let Some(edge) = start_with_channels(&[], vec![Arc::new(Toy { sent })]).await else { return };
    edge.play(Queue::Orchestrator, Arc::new(Echo));
    let body = json!({"from": "kim", "id": "1", "text": "hello there"}).to_string();
    let post = async |password: &str, body: &str| {
        edge.post("/toy", &[("x-toy-password", password)], body.to_owned()).await.0
    };
    assert_eq!(post("guess", &body).await, 401);
    assert_eq!(post("sesame", "{}").await, 400);
    assert_eq!(post("sesame", &body).await, 200);
    assert_eq!(post("sesame", &body).await, 200, "told twice");

    // Lines that fit: what was said, and the choices, written out and numbered.
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.ends_with("2. evening")) {
        let next = tokio::time::timeout(PATIENCE, replies.recv()).await;
        lines.push(next.expect("a reply").unwrap());
    }
    let whole = lines.join(" ");
    for part in ["You said hello", "there", "1. morning", "2. evening"] {
        assert!(whole.contains(part), "{lines:?}");
    }
    let texts = lines.iter().map(|line| line.strip_prefix("kim: ").expect("to whom"));
    assert!(texts.into_iter().all(|text| text.chars().count() <= 20), "{lines:?}");
    let received = edge.published_kind("MessageReceived").await;
    assert_eq!(received.channel, toy());
    let update = edge.published_kind("DeliveryUpdated").await;
    let Payload::DeliveryUpdated(update) = update.payload else { unreachable!() };
    assert_eq!(update.status, DeliveryStatus::Accepted);
    // What was told twice was answered once.
    let marker = json!({"from": "kim", "id": "2", "text": "bye"}).to_string();
    assert_eq!(post("sesame", &marker).await, 200);
    let next = tokio::time::timeout(PATIENCE, replies.recv()).await.expect("a reply").unwrap();
    assert!(next.starts_with("kim: You said bye"), "{next}");
}
