//! Live events, as an operator's page receives them.

use domain::{
    CallSid, Channel, ConversationId, Envelope, EscalationRequested, EventId, KeptFile, Media,
    MediaKind, MediaSettled, MessageKind, Payload, TenantId, Timestamp, TransferStatus,
    TransferUpdated,
};
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use store::seed::DEMO;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Error, Message, protocol::frame::coding::CloseCode},
};

use super::reading::received;
use crate::edge_task::{EdgeTask, PATIENCE, start, start_with};

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

async fn ticket(edge: &EdgeTask, key: &str) -> String {
    let ticket = edge.write(key, "/api/v1/events/tickets", &json!({})).await.data();
    ticket["ticket"].as_str().unwrap().to_owned()
}

async fn open(edge: &EdgeTask, query: &str) -> Result<Socket, u16> {
    let url = format!("{}/api/v1/events?{query}", edge.base.replace("http://", "ws://"));
    match tokio_tungstenite::connect_async(url).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn next(socket: &mut Socket) -> Value {
    let text = async {
        loop {
            if let Message::Text(text) = socket.next().await.expect("open").expect("whole") {
                return text;
            }
        }
    };
    let text = tokio::time::timeout(PATIENCE, text).await.expect("an event comes");
    serde_json::from_str(&text).unwrap()
}

fn call() -> CallSid {
    CallSid::parse("CA0123456789abcdef0123456789abcdef").unwrap()
}

fn event(tenant: TenantId, channel: Channel, payload: impl Into<Payload>) -> Envelope {
    let conversation = ConversationId::of_call(tenant, &call());
    Envelope::new(EventId::random(), tenant, conversation, channel, Timestamp::now(), payload)
}

async fn publish(edge: &EdgeTask, tenant: TenantId, reason: &str) {
    let wanted = EscalationRequested { reason: reason.into(), summary: "".into() };
    edge.bus.publish(&[event(tenant, Channel::VOICE, wanted)]).await.unwrap();
}

#[tokio::test]
async fn whoever_has_a_ticket_sees_what_happens_at_their_own_desk_and_goes_on_where_they_were() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "read_only").await;
    let used = ticket(&edge, &key).await;
    let mut socket = open(&edge, &format!("ticket={used}")).await.expect("open");
    let other = edge.db.add_tenant("other").await;
    publish(&edge, other, "theirs").await;
    publish(&edge, DEMO, "first").await;
    publish(&edge, DEMO, "second").await;
    let first = next(&mut socket).await;
    assert_eq!(first["event"]["kind"], "escalation_requested");
    assert_eq!(first["event"]["data"]["reason"], "first", "nobody else's");
    assert_eq!(next(&mut socket).await["event"]["data"]["reason"], "second");

    assert_eq!(
        open(&edge, &format!("ticket={used}")).await.err(),
        Some(401),
        "a ticket is good once"
    );
    let again = ticket(&edge, &key).await;
    let last = first["id"].as_str().unwrap();
    let mut resumed =
        open(&edge, &format!("ticket={again}&last_event_id={last}")).await.expect("open");
    assert_eq!(next(&mut resumed).await["event"]["data"]["reason"], "second");

    let lost = ticket(&edge, &key).await;
    let mut late = open(&edge, &format!("ticket={lost}&last_event_id=1-0")).await.expect("open");
    assert_eq!(next(&mut late).await["gap"], true, "what was lost is told");
    assert_eq!(next(&mut late).await["event"]["data"]["reason"], "first");

    let fourth = ticket(&edge, &key).await;
    assert_eq!(
        open(&edge, &format!("ticket={fourth}")).await.err(),
        Some(429),
        "three sockets each"
    );
    drop(late);
    let reopened = async {
        loop {
            match open(&edge, &format!("ticket={fourth}")).await {
                Ok(socket) => return socket,
                Err(status) => assert_eq!(status, 429, "the ticket is good until it opened one"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reopened).await.expect("a place is free again");
    let plain = edge.api(Method::GET, "/api/v1/events?ticket=x", &[], None).await;
    assert_eq!(plain.refusal(), (426, "upgrade_required"));
}

#[tokio::test]
async fn whoever_watches_sees_what_a_message_is_what_became_of_its_file_and_how_a_transfer_stands()
{
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "read_only").await;
    let used = ticket(&edge, &key).await;
    let mut socket = open(&edge, &format!("ticket={used}")).await.expect("open");
    let picture = MessageKind::Media(Media {
        kind: MediaKind::Image,
        id: "1".into(),
        mime_type: "image/jpeg".into(),
        sha256: String::new(),
        filename: None,
    });
    let sent = event(DEMO, Channel::WHATSAPP, received("15551234567", "", picture, "wamid.1"));
    let file = KeptFile {
        bucket: "b".into(),
        key: "k".into(),
        mime_type: "image/jpeg".into(),
        bytes: 48_211,
    };
    let message = sent.event_id;
    let settled = MediaSettled { message, file: Some(file), words: None, fault: None };
    let settled = event(DEMO, Channel::WHATSAPP, settled);
    let transfer = TransferUpdated { call: call(), status: TransferStatus::Answered, heard: None };
    let mut secret = event(
        DEMO,
        Channel::VOICE,
        received("+15551234567", "My card is 4111", MessageKind::Speech, ""),
    );
    secret.off_record = true;
    for told in [sent, settled, event(DEMO, Channel::VOICE, transfer), secret] {
        edge.bus.publish(&[told]).await.unwrap();
    }

    let sent = next(&mut socket).await["event"].clone();
    assert_eq!(
        (&sent["kind"], &sent["data"]["kind"]),
        (&"message_received".into(), &"image".into())
    );
    assert_eq!(sent["data"]["file"]["media_type"], "image/jpeg");
    let settled = next(&mut socket).await["event"].clone();
    assert_eq!(settled["kind"], "media_settled");
    assert_eq!(settled["data"]["message"], message.to_string());
    assert_eq!(settled["data"]["file"], json!({"media_type": "image/jpeg", "bytes": 48_211}));
    let transfer = next(&mut socket).await["event"].clone();
    assert_eq!(transfer["kind"], "transfer_updated");
    assert_eq!(transfer["data"]["status"], "answered");
    let secret = next(&mut socket).await["event"].clone();
    assert_eq!(secret["data"]["text"], "My card is ••••", "as the history has it");
}

#[tokio::test]
async fn a_socket_ends_soon_after_the_key_behind_it_is_revoked() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "read_only").await;
    let used = ticket(&edge, &key).await;
    let mut socket = open(&edge, &format!("ticket={used}")).await.expect("open");
    publish(&edge, DEMO, "first").await;
    assert_eq!(next(&mut socket).await["event"]["data"]["reason"], "first", "it is let in");
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let id = key.split('_').nth(2).unwrap();
    store::api_keys::revoke(&tx, id).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    let closed = async {
        loop {
            if let Message::Close(reason) = socket.next().await.expect("a close").expect("whole") {
                return reason.expect("a reason");
            }
        }
    };
    let reason = tokio::time::timeout(PATIENCE, closed).await.expect("it is closed");
    assert_eq!((reason.code, reason.reason.as_str()), (CloseCode::Policy, "credential_revoked"));
}

#[tokio::test]
async fn whoever_does_not_keep_up_is_told_so_and_goes_on_where_they_were() {
    let variables = [("SB_API_REQUESTS_PER_MINUTE", "100000")];
    let Some(edge) = start_with(&variables).await else { return };
    let key = edge.api_key(DEMO, "read_only").await;
    let used = ticket(&edge, &key).await;
    let mut slow = open(&edge, &format!("ticket={used}")).await.expect("open");
    let mut others = Vec::new();
    for _ in 0..2 {
        let used = ticket(&edge, &key).await;
        others.push(open(&edge, &format!("ticket={used}")).await.expect("open"));
    }
    // They read; the slow one does not, and far more comes than lies between it and us.
    let readers = others.into_iter().map(|mut socket| {
        tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} })
    });
    let readers: Vec<_> = readers.collect();
    let body = json!({ "text": "x".repeat(60_000) }).to_string();
    for _ in 0..1_000 {
        edge.cache.add_live(DEMO, &body).await.unwrap();
    }
    // Three sockets each: a fourth opens once the slow one was given up.
    let given_up = async {
        loop {
            let used = ticket(&edge, &key).await;
            match open(&edge, &format!("ticket={used}")).await {
                Ok(socket) => return socket,
                Err(429) => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
                Err(status) => panic!("{status}"),
            }
        }
    };
    let _fourth = tokio::time::timeout(PATIENCE, given_up).await.expect("the slow one is given up");
    let mut last = None;
    let reason = loop {
        match slow.next().await.expect("a close").expect("whole") {
            Message::Text(text) => {
                let event: Value = serde_json::from_str(&text).unwrap();
                last = event["id"].as_str().map(str::to_owned);
            }
            Message::Close(reason) => break reason.expect("a reason"),
            _ => {}
        }
    };
    assert_eq!((reason.code, reason.reason.as_str()), (CloseCode::Policy, "slow_reader"));
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    drop((slow, _fourth));
    let last = last.expect("it had read some");
    let again = async {
        loop {
            let used = ticket(&edge, &key).await;
            let query = format!("ticket={used}&last_event_id={last}");
            if let Ok(socket) = open(&edge, &query).await {
                return socket;
            }
        }
    };
    let mut again = tokio::time::timeout(PATIENCE, again).await.expect("a place is free again");
    let next = next(&mut again).await;
    assert!(next["id"].as_str().unwrap() > last.as_str(), "it goes on after what was read");
}
