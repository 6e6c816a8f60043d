//! What the border must refuse, on a running mesh.

use std::time::{Duration, Instant};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use simulator::caller::{Account, CallReport, CallScript};
use simulator::twilio::{CallStatus, signature};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::desk::{Desk, OUR_NUMBER};

const NOBODYS_NUMBER: &str = "+15559999999";
const PATIENCE: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub async fn refused(desk: &Desk) {
    tokio::join!(unknown_number(desk), wrong_signature(desk), second_socket(desk));
}

async fn unknown_number(desk: &Desk) {
    let script = CallScript::new("+15557776001", NOBODYS_NUMBER, ["Hello"]);
    let report = desk.outside.call(&script).await.unwrap();
    assert_eq!(report.ended_by.as_deref(), Some("rejected"), "{report:#?}");
    assert!(report.said.is_empty() && report.heard.is_empty());
    assert!(desk.log_of("edge").contains("call to a number that is not ours"));
    assert_not_kept(desk, &report).await;
}

async fn wrong_signature(desk: &Desk) {
    let mut script = CallScript::new("+15557776002", OUR_NUMBER, ["Hello"]);
    let sid = desk.variable("TWILIO_ACCOUNT_SID").to_owned();
    script.options.account = Some(Account { sid, auth_token: "somebody else's".to_owned() });
    let report = desk.outside.call(&script).await.unwrap();
    assert_eq!(report.status, CallStatus::Failed, "{report:#?}");
    assert!(report.faults.iter().any(|fault| fault.message.contains("401")), "{report:#?}");
    assert!(report.said.is_empty() && report.heard.is_empty());
    assert_not_kept(desk, &report).await;
}

/// A token that was overheard opens no second socket, and does not disturb the first.
async fn second_socket(desk: &Desk) {
    let call = "CA0000000000000000000000000000beef";
    let token = token_of_a_call(desk, call).await;
    let began = Instant::now();
    let mut first = open(desk, call, &token).await;
    println!("media socket accepted in {} ms", began.elapsed().as_millis());
    assert_eq!(next_event(&mut first).await["event"], "media", "the greeting");

    let mut second = open(desk, call, &token).await;
    let closed = tokio::time::timeout(PATIENCE, async {
        while let Some(Ok(message)) = second.next().await {
            match message {
                Message::Text(text) => panic!("the second socket got {text}"),
                Message::Close(frame) => return frame,
                _ => {}
            }
        }
        None
    });
    let frame = closed.await.expect("the second socket is closed").expect("with a reason");
    assert_eq!(frame.reason.as_str(), "token_used_before");
    let event = next_event(&mut first).await;
    assert!(event["event"] == "mark" || event["event"] == "media", "the call goes on: {event}");
    let stop = json!({"event": "stop", "streamSid": "MZ1", "stop": {"callSid": call}});
    first.send(Message::text(stop.to_string())).await.unwrap();
    let sql = "SELECT 1 FROM call_logs WHERE call = $1 AND ended_at IS NOT NULL";
    desk.until("end of the call", async || desk.rows(sql, &[&call]).await.pop()).await;
}

/// Places a call as Twilio does and gives the token of its media socket.
async fn token_of_a_call(desk: &Desk, call: &str) -> String {
    let url = desk.public("/twilio/voice");
    let form = [
        ("AccountSid", desk.variable("TWILIO_ACCOUNT_SID")),
        ("CallSid", call),
        ("CallStatus", "ringing"),
        ("From", "+15557776003"),
        ("To", OUR_NUMBER),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let signed = signature::sign(desk.variable("TWILIO_AUTH_TOKEN"), &url, &form);
    let request =
        reqwest::Client::new().post(&url).header("x-twilio-signature", signed).form(&form);
    let twiml = request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap();
    let (_, parameter) = twiml.split_once("value=\"").unwrap();
    parameter.split_once('"').unwrap().0.to_owned()
}

/// Opens a media socket and says which call it is for.
async fn open(desk: &Desk, call: &str, token: &str) -> Socket {
    let url = desk.public("/media-stream").replacen("http", "ws", 1);
    let signed_url = url.replacen("ws://", "wss://", 1);
    let signed = signature::sign(desk.variable("TWILIO_AUTH_TOKEN"), &signed_url, &[]);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("x-twilio-signature", signed.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    let start = json!({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": {
        "streamSid": "MZ1", "accountSid": desk.variable("TWILIO_ACCOUNT_SID"), "callSid": call,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token}}});
    socket.send(Message::text(start.to_string())).await.unwrap();
    socket
}

async fn next_event(socket: &mut Socket) -> Value {
    let next = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    });
    next.await.expect("something on the media socket")
}

async fn assert_not_kept(desk: &Desk, report: &CallReport) {
    let kept = desk.rows("SELECT 1 FROM call_logs WHERE call = $1", &[&report.sid]).await;
    assert!(kept.is_empty(), "a refused call leaves no row");
}
