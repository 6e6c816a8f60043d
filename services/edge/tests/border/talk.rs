//! The web page: what it is served, who gets a session, and what a session opens (A4).

use bus::Queue;
use domain::{CallEndReason, Channel, Payload};
use futures::{SinkExt as _, StreamExt as _};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};

use crate::{
    edge_task::{EdgeTask, start},
    media_socket::{
        Socket, Voice, closed_without_audio, heard_events, media, open_signed, say, silence,
        start_message,
    },
    vendors::{new_call_sid, token_in},
};

const OWN_PAGE: &str = "https://desk.example.com";

/// As the page asks for it.
async fn session_for(edge: &EdgeTask, tenant: &str, origin: &str) -> reqwest::Response {
    let asked = edge.http.post(format!("{}/talk/session", edge.base)).header("origin", origin);
    asked.json(&json!({"tenant": tenant})).send().await.unwrap()
}

/// The id of a new call, and its token.
async fn session(edge: &EdgeTask) -> (String, String) {
    let answer = session_for(edge, "demo", OWN_PAGE).await;
    assert_eq!(answer.status(), 200);
    let session: Value = answer.json().await.unwrap();
    let text = |key: &str| session[key].as_str().unwrap().to_owned();
    (text("call"), text("token"))
}

async fn open(edge: &EdgeTask, origin: &str) -> Result<Socket, u16> {
    let url = edge.base.replacen("http", "ws", 1) + "/browser-stream";
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("origin", origin.parse().unwrap());
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(e) => panic!("{e}"),
    }
}

#[tokio::test]
async fn the_page_and_all_it_needs_come_from_here_and_may_load_nothing_else() {
    let Some(edge) = start().await else { return };
    for path in ["/talk", "/talk/talk.css", "/talk/talk.js", "/talk/line.js", "/talk/sound.js"] {
        let answer = edge.http.get(format!("{}{path}", edge.base)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(!answer.text().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_session_is_for_our_own_page_and_for_a_tenant_that_is_open_to_it() {
    let Some(edge) = start().await else { return };
    assert_eq!(session_for(&edge, "demo", "https://evil.example").await.status(), 403);
    assert_eq!(session_for(&edge, "nobody", OWN_PAGE).await.status(), 404);
    // Our phone number is no page.
    assert_eq!(session_for(&edge, "+15550100001", OWN_PAGE).await.status(), 404);
    let url = format!("{}/talk/session", edge.base);
    let rubbish = edge.http.post(url).header("origin", OWN_PAGE).body("tenant=demo");
    assert_eq!(rubbish.send().await.unwrap().status(), 400);
    assert_eq!(open(&edge, "https://evil.example").await.err(), Some(401));
    session(&edge).await;
}

#[tokio::test]
async fn a_visitor_gets_a_hundred_sessions_a_minute_and_no_more() {
    let Some(edge) = start().await else { return };
    for _ in 0..100 {
        session(&edge).await;
    }
    let refused = session_for(&edge, "demo", OWN_PAGE).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn a_token_opens_its_own_door_once() {
    let Some(edge) = start().await else { return };
    let (call, token) = session(&edge).await;
    let mut phones = open_signed(&edge).await;
    say(&mut phones, &start_message(&call, &token)).await;
    closed_without_audio(&mut phones).await;
    let phone_call = new_call_sid();
    let twiml = edge.call(&phone_call, "+15551234567").await.1;
    let mut browsers = open(&edge, OWN_PAGE).await.unwrap();
    say(&mut browsers, &start_message(&phone_call, token_in(&twiml))).await;
    closed_without_audio(&mut browsers).await;
    edge.assert_nothing_published().await;

    let mut first = open(&edge, OWN_PAGE).await.unwrap();
    say(&mut first, &start_message(&call, &token)).await;
    edge.published_kind("CallStarted").await;
    let mut second = open(&edge, OWN_PAGE).await.unwrap();
    say(&mut second, &start_message(&call, &token)).await;
    closed_without_audio(&mut second).await;
}

/// As a page asks that has lost the socket `token` let in.
async fn come_back(edge: &EdgeTask, token: &str) -> reqwest::Response {
    let asked = edge.http.post(format!("{}/talk/session", edge.base)).header("origin", OWN_PAGE);
    asked.json(&json!({"tenant": "demo", "lost": token})).send().await.unwrap()
}

#[tokio::test]
async fn a_page_that_lost_its_socket_goes_on_with_the_same_call() {
    let Some(edge) = start().await else { return };
    edge.play(Queue::Speak, Arc::new(Voice));
    let (call, token) = session(&edge).await;
    let mut first = open(&edge, OWN_PAGE).await.unwrap();
    say(&mut first, &start_message(&call, &token)).await;
    let started = edge.published_kind("CallStarted").await;
    heard_events(&mut first, "media").await;
    // Its host is gone: nobody says goodbye.
    drop(first);

    let answer = come_back(&edge, &token).await;
    assert_eq!(answer.status(), 200);
    let again: Value = answer.json().await.unwrap();
    assert_eq!(again["call"], call.as_str(), "the same call");
    let mut second = open(&edge, OWN_PAGE).await.unwrap();
    say(&mut second, &start_message(&call, again["token"].as_str().unwrap())).await;
    let events = heard_events(&mut second, "media").await;
    let heard = json!({"kind": "agent_heard", "turn": 0, "text": ""});
    assert_eq!(events[0]["caption"], heard, "what it will hear again is not shown twice");
    second.send(Message::text(r#"{"event":"stop"}"#)).await.unwrap();
    let ended = edge.published_kind("CallEnded").await;
    assert_eq!(ended.conversation, started.conversation);
    assert!(matches!(&ended.payload, Payload::CallEnded(e) if e.reason == CallEndReason::Caller));

    // A call that is over is not begun again, by whatever token.
    let answer = come_back(&edge, &token).await;
    let late: Value = answer.json().await.unwrap();
    let mut third = open(&edge, OWN_PAGE).await.unwrap();
    say(&mut third, &start_message(&call, late["token"].as_str().unwrap())).await;
    closed_without_audio(&mut third).await;
}

#[tokio::test]
async fn only_the_page_of_a_call_comes_back_to_it() {
    let Some(edge) = start().await else { return };
    let phone = edge.call(&new_call_sid(), "+15551234567").await.1;
    for foreign in ["", "junk", token_in(&phone)] {
        assert_eq!(come_back(&edge, foreign).await.status(), 410, "{foreign}");
    }
    let (_, mut token) = session(&edge).await;
    for _ in 0..5 {
        let answer: Value = come_back(&edge, &token).await.json().await.unwrap();
        token = answer["token"].as_str().unwrap().to_owned();
    }
    assert_eq!(come_back(&edge, &token).await.status(), 410, "it comes back five times at most");
}

#[tokio::test]
async fn a_task_that_is_told_to_stop_has_the_page_come_back() {
    let Some(edge) = start().await else { return };
    let (call, token) = session(&edge).await;
    let mut socket = open(&edge, OWN_PAGE).await.unwrap();
    say(&mut socket, &start_message(&call, &token)).await;
    edge.published_kind("CallStarted").await;
    let closed = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| u16::from(frame.code));
            }
        }
        None
    };
    let ((), code) = tokio::join!(edge.stop(), closed);
    assert_eq!(code, Some(1012), "not as if the call were over");
}

#[tokio::test]
async fn a_call_from_the_page_is_kept_as_one_and_shows_what_the_agent_says() {
    let Some(edge) = start().await else { return };
    edge.play(Queue::Speak, Arc::new(Voice));
    let (call, token) = session(&edge).await;
    let mut socket = open(&edge, OWN_PAGE).await.unwrap();
    say(&mut socket, &start_message(&call, &token)).await;
    let started = edge.published_kind("CallStarted").await;
    assert_eq!(started.channel, Channel::BROWSER);
    let Payload::CallStarted(details) = started.payload else { panic!("no CallStarted") };
    assert_eq!((details.from.reveal(), details.to.as_str()), ("anonymous", "demo"));
    let events = heard_events(&mut socket, "media").await;
    let caption = json!({"kind": "agent_says", "turn": 0, "text": details.greeting});
    assert_eq!(events[0]["caption"], caption, "before the first sound of it");
    say(&mut socket, &media(1, &silence())).await;
    socket.send(Message::text(r#"{"event":"stop"}"#)).await.unwrap();
    let ended = edge.published_kind("CallEnded").await;
    assert_eq!(ended.channel, Channel::BROWSER);
    assert!(matches!(&ended.payload, Payload::CallEnded(e) if e.reason == CallEndReason::Caller));
}
