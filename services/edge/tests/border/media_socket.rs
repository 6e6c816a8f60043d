//! The media socket: what opens it, what closes it, and what of a call is published.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bus::{Context, Destination, Handler, Outcome, Queue};
use domain::{CallEndReason, Envelope, Payload, SentenceSpoken, Timestamp};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};

use crate::{
    edge_task::{EdgeTask, PATIENCE, start, start_with},
    vendors::{new_call_sid, token_in, twilio_signature, whatsapp_body, whatsapp_text},
};

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
/// A phone sends a frame every 20 ms.
const FRAME: Duration = Duration::from_millis(20);
const CALLER: &str = "+15551234567";

async fn open(edge: &EdgeTask, signature: Option<&str>) -> Result<Socket, u16> {
    let url = edge.base.replacen("http", "ws", 1) + "/media-stream";
    let mut request = url.into_client_request().unwrap();
    if let Some(signature) = signature {
        request.headers_mut().insert("x-twilio-signature", signature.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(e) => panic!("{e}"),
    }
}

/// As Twilio opens it.
pub async fn open_signed(edge: &EdgeTask) -> Socket {
    let signature = twilio_signature("wss://desk.example.com/media-stream");
    open(edge, Some(&signature)).await.expect("a socket")
}

pub async fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).await.expect("an open socket");
}

pub fn start_message(call: &str, token: &str) -> Value {
    json!({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": {
        "streamSid": "MZ1", "accountSid": "AC1", "callSid": call, "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token}}})
}

pub fn media(n: u32, payload: &str) -> Value {
    json!({"event": "media", "sequenceNumber": (n + 2).to_string(), "streamSid": "MZ1",
        "media": {"track": "inbound", "chunk": (n + 1).to_string(), "timestamp": (n * 20).to_string(), "payload": payload}})
}

pub fn silence() -> String {
    STANDARD.encode([0xff; 160])
}

/// Waits until the other side closes; fails when any audio came before.
pub async fn closed_without_audio(socket: &mut Socket) {
    let wait = async {
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(text) => panic!("got {text}"),
                Message::Close(_) => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the socket is closed");
}

/// What the socket brings until it brings an `event`, that one included, while the caller is silent.
pub async fn heard_events(socket: &mut Socket, event: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let listen = async {
        let mut n = 0;
        while events.last().is_none_or(|last: &Value| last["event"] != event) {
            say(socket, &media(n, &silence())).await;
            n += 1;
            let Ok(next) = tokio::time::timeout(FRAME, socket.next()).await else { continue };
            let text = next.expect("an open socket").expect("a frame").into_text().unwrap();
            events.push(serde_json::from_str(&text).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, listen).await.unwrap_or_else(|_| panic!("no {event}"));
    events
}

/// Lets the caller listen in silence until the other side closes.
pub async fn heard_until_closed(socket: &mut Socket) {
    let listen = async {
        for n in 0.. {
            let sent = socket.send(Message::text(media(n, &silence()).to_string())).await;
            let next = tokio::time::timeout(FRAME, socket.next()).await;
            if sent.is_err() || matches!(next, Ok(None | Some(Err(_) | Ok(Message::Close(_))))) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, listen).await.expect("the socket is closed");
}

/// A call in progress.
pub async fn connected(edge: &EdgeTask, call: &str, from: &str) -> Socket {
    let twiml = edge.call(call, from).await.1;
    let mut socket = open_signed(edge).await;
    say(&mut socket, &json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})).await;
    say(&mut socket, &start_message(call, token_in(&twiml))).await;
    socket
}

#[tokio::test]
async fn a_wrongly_signed_socket_is_refused_at_the_handshake() {
    let Some(edge) = start().await else { return };
    assert_eq!(open(&edge, Some("d3Jvbmc=")).await.err(), Some(401));
    let elsewhere = twilio_signature("wss://desk.example.com/elsewhere");
    assert_eq!(open(&edge, Some(&elsewhere)).await.err(), Some(401));
}

#[tokio::test]
async fn where_signatures_are_required_a_socket_without_one_is_refused() {
    let Some(edge) = start_with(&[("SB_STREAM_SIGNATURE", "required")]).await else { return };
    assert_eq!(open(&edge, None).await.err(), Some(401));
    open_signed(&edge).await;
}

#[tokio::test]
async fn a_socket_without_a_good_token_is_closed_and_nothing_is_published() {
    let Some(edge) = start().await else { return };
    let call = new_call_sid();
    let twiml = edge.call(&call, CALLER).await.1;
    let token = token_in(&twiml);
    let other_call = new_call_sid();
    let forged = format!("x{token}");
    for (call, token) in
        [(&call, ""), (&call, "junk"), (&call, forged.as_str()), (&other_call, token)]
    {
        let mut socket = open_signed(&edge).await;
        say(&mut socket, &start_message(call, token)).await;
        closed_without_audio(&mut socket).await;
    }
    edge.assert_nothing_published().await;
}

#[tokio::test]
async fn a_socket_that_never_starts_or_talks_rubbish_is_closed() {
    let Some(edge) = start().await else { return };
    let mut silent = open_signed(&edge).await;
    for rubbish in ["{", "[]", r#"{"event":"media"}"#] {
        let mut socket = open_signed(&edge).await;
        socket.send(Message::text(rubbish)).await.unwrap();
        closed_without_audio(&mut socket).await;
    }
    let mut large = open_signed(&edge).await;
    large.send(Message::text("x".repeat(100_000))).await.unwrap();
    closed_without_audio(&mut large).await;
    closed_without_audio(&mut silent).await;
    edge.assert_nothing_published().await;
}

#[tokio::test]
async fn a_second_socket_with_the_same_token_is_closed_and_the_first_goes_on() {
    let Some(edge) = start().await else { return };
    let call = new_call_sid();
    let twiml = edge.call(&call, CALLER).await.1;
    let mut first = open_signed(&edge).await;
    say(&mut first, &start_message(&call, token_in(&twiml))).await;
    edge.published_kind("CallStarted").await;
    let mut second = open_signed(&edge).await;
    say(&mut second, &start_message(&call, token_in(&twiml))).await;
    closed_without_audio(&mut second).await;
    say(&mut first, &media(0, &silence())).await;
    say(&mut first, &json!({"event": "stop", "sequenceNumber": "3", "streamSid": "MZ1", "stop": {"callSid": call}})).await;
    let ended = edge.published_kind("CallEnded").await;
    assert!(matches!(&ended.payload, Payload::CallEnded(e) if e.reason == CallEndReason::Caller));
}

#[tokio::test]
async fn a_person_has_three_sockets_and_no_fourth() {
    let Some(edge) = start().await else { return };
    let mut open_sockets = Vec::new();
    for _ in 0..3 {
        open_sockets.push(connected(&edge, &new_call_sid(), CALLER).await);
        edge.published_kind("CallStarted").await;
    }
    let mut fourth = connected(&edge, &new_call_sid(), CALLER).await;
    closed_without_audio(&mut fourth).await;
    let _other = connected(&edge, &new_call_sid(), "+15557654321").await;
    edge.published_kind("CallStarted").await;
}

#[tokio::test]
async fn a_fault_in_a_frame_is_overlooked_and_a_stream_of_them_ends_the_call() {
    let Some(edge) = start().await else { return };
    let call = new_call_sid();
    let mut socket = connected(&edge, &call, CALLER).await;
    let started = edge.published_kind("CallStarted").await;
    assert!(matches!(&started.payload, Payload::CallStarted(s) if s.from.reveal() == CALLER));
    say(&mut socket, &media(0, "%%% no base64")).await;
    socket.send(Message::text("{ no json")).await.unwrap();
    say(&mut socket, &json!({"event": "hologram"})).await;
    say(&mut socket, &media(1, &silence())).await;
    // It still listens: the end of the stream is understood.
    say(&mut socket, &json!({"event": "stop", "streamSid": "MZ1", "stop": {"callSid": call}}))
        .await;
    closed_without_audio(&mut socket).await;
    let ended = edge.published_kind("CallEnded").await;
    assert!(matches!(&ended.payload, Payload::CallEnded(e) if e.reason == CallEndReason::Caller));

    let mut noisy = connected(&edge, &new_call_sid(), CALLER).await;
    edge.published_kind("CallStarted").await;
    for n in 0..20 {
        // Later ones may find the socket closed, which is the point.
        let _ = noisy.send(Message::text(media(n, "%%%").to_string())).await;
    }
    closed_without_audio(&mut noisy).await;
}

#[tokio::test]
async fn a_call_whose_audio_never_starts_is_closed() {
    let Some(edge) = start().await else { return };
    let mut socket = connected(&edge, &new_call_sid(), CALLER).await;
    edge.published_kind("CallStarted").await;
    closed_without_audio(&mut socket).await;
}

#[tokio::test]
async fn a_call_that_ended_is_hung_up_and_one_that_was_lost_is_connected_again() {
    let Some(edge) = start().await else { return };
    let call = new_call_sid();
    let form = crate::vendors::call_form(&call, CALLER, crate::edge_task::OUR_NUMBER);
    let mut socket = connected(&edge, &call, CALLER).await;
    edge.published_kind("CallStarted").await;
    socket.close(None).await.unwrap();
    let again = edge.twilio("/twilio/voice?attempt=1&turn=0", &form).await.1;
    assert!(again.contains("<Connect>"), "{again}");
    let mut socket = open_signed(&edge).await;
    say(&mut socket, &start_message(&call, token_in(&again))).await;
    say(&mut socket, &json!({"event": "stop", "streamSid": "MZ1", "stop": {"callSid": call}}))
        .await;
    edge.published_kind("CallEnded").await;
    let after = edge.twilio("/twilio/voice?attempt=2&turn=0", &form).await.1;
    assert!(after.contains("<Hangup/>") && !after.contains("<Connect>"), "{after}");
    let too_often =
        crate::vendors::call_form(&new_call_sid(), CALLER, crate::edge_task::OUR_NUMBER);
    let fallback = edge.twilio("/twilio/voice?attempt=6&turn=0", &too_often).await.1;
    assert!(fallback.contains("<Dial>+15550100009</Dial>"), "{fallback}");
}

#[tokio::test]
async fn a_call_that_nothing_can_hold_ends_with_a_word_where_there_is_no_other_number() {
    let Some(edge) = start().await else { return };
    edge.set(&json!({"fallback_number": null})).await;
    let told = async {
        loop {
            let form =
                crate::vendors::call_form(&new_call_sid(), CALLER, crate::edge_task::OUR_NUMBER);
            let twiml = edge.twilio("/twilio/voice?attempt=6&turn=0", &form).await.1;
            if !twiml.contains("<Dial>") {
                return twiml;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await.expect("the setting is read");
    assert!(told.contains("I am sorry") && told.contains("</Say><Hangup/>"), "{told}");
}

/// Plays the voice service: speaks everything it is asked to with an audio that tells the texts apart.
pub struct Voice;

#[async_trait::async_trait]
impl Handler for Voice {
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
        let (Payload::SpeakSentence(job), Some(reply_to)) = (&message.payload, &message.reply_to)
        else {
            return Outcome::Reject("not to be spoken".into());
        };
        let spoken = SentenceSpoken {
            call: job.call.clone(),
            attempt: job.attempt,
            index: job.index,
            text: job.text.clone(),
            result: Ok(audio_of(job.text.reveal())),
            part: 0,
            more: false,
        };
        let answer = message.follow("spoken", Timestamp::now(), spoken);
        context.send(&Destination::Task(reply_to.clone()), &[answer]).await.into()
    }
}

fn audio_of(text: &str) -> Vec<u8> {
    text.bytes().cycle().take(1600).collect()
}

#[tokio::test]
async fn a_caller_is_greeted_in_the_tenants_voice_byte_for_byte() {
    let Some(edge) = start().await else { return };
    edge.play(Queue::Speak, Arc::new(Voice));
    let mut socket = connected(&edge, &new_call_sid(), CALLER).await;
    let started = edge.published_kind("CallStarted").await;
    let Payload::CallStarted(started) = started.payload else { panic!("no CallStarted") };
    let greeting = audio_of(&started.greeting);
    let mut heard = Vec::new();
    let listen = async {
        let mut n = 0;
        while heard.len() < greeting.len() {
            say(&mut socket, &media(n, &silence())).await;
            n += 1;
            let Ok(next) = tokio::time::timeout(FRAME, socket.next()).await else { continue };
            let text = next.expect("an open socket").expect("a frame").into_text().unwrap();
            let message: Value = serde_json::from_str(&text).unwrap();
            match message["event"].as_str() {
                Some("media") => heard.extend(
                    STANDARD.decode(message["media"]["payload"].as_str().unwrap()).unwrap(),
                ),
                Some("mark") => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, listen).await.expect("a greeting");
    assert!(heard == greeting, "no byte added, lost or changed");
}

/// It listens before it has read which addresses are ours: to turn a call away, or to drop a message, would be wrong.
#[tokio::test]
async fn a_task_that_knows_no_address_yet_has_the_vendor_ask_again() {
    let Some(mut edge) = start().await else { return };
    edge.base = edge.start_without_database().await;
    let call = new_call_sid();
    assert_eq!(edge.call(&call, CALLER).await.0, 503);
    let body = whatsapp_body(&[whatsapp_text("wamid.early", "Hi")]);
    assert_eq!(edge.meta(&body).await.0, 503);
    let signature = twilio_signature("wss://desk.example.com/media-stream");
    assert_eq!(open(&edge, Some(&signature)).await.unwrap_err(), 503);
    edge.stop().await;
}
