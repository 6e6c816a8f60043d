//! Live events, as an operator's page receives them.

use domain::{
    CallSid, Channel, ConversationId, Envelope, EscalationRequested, EventId, TenantId, Timestamp,
};
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use store::seed::DEMO;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Error, Message},
};

use crate::edge_task::{EdgeTask, PATIENCE, start};

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

async fn publish(edge: &EdgeTask, tenant: TenantId, reason: &str) {
    let call = CallSid::parse("CA0123456789abcdef0123456789abcdef").unwrap();
    let wanted = EscalationRequested { reason: reason.into(), summary: "".into() };
    let conversation = ConversationId::of_call(tenant, &call);
    let event = Envelope::new(
        EventId::random(),
        tenant,
        conversation,
        Channel::VOICE,
        Timestamp::now(),
        wanted,
    );
    edge.bus.publish(&[event]).await.unwrap();
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
    let plain = edge.api(Method::GET, "/api/v1/events?ticket=x", &[], None).await;
    assert_eq!(plain.refusal(), (426, "upgrade_required"));
}
