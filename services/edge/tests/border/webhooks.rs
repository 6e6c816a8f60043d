//! Bad and good requests on every vendor path.

use std::collections::HashSet;

use domain::{CallEndReason, MessageKind, Payload};
use serde_json::json;

use crate::{
    edge_task::{META_VERIFY, OUR_NUMBER, PUBLIC_BASE, anas_chat, start, start_with, text_of},
    vendors::{
        Answered, call_form, form_signature, meta_signature, new_call_sid, token_in,
        twilio_signature, whatsapp_body, whatsapp_text,
    },
};

const TWILIO_PATHS: [&str; 6] = [
    "/twilio/voice",
    "/incoming-call",
    "/twilio/voice/collect",
    "/twilio/voice/status",
    "/twilio/voice/transferred",
    "/twilio/voice/whisper",
];

#[tokio::test]
async fn a_missing_or_wrong_signature_is_401_on_every_path_and_publishes_nothing() {
    let Some(edge) = start().await else { return };
    let mut form = call_form(&new_call_sid(), "+15551234567", OUR_NUMBER);
    form.push(("CallDuration".into(), "5".into()));
    form.retain(|(name, _)| name != "CallStatus");
    form.push(("CallStatus".into(), "completed".into()));
    for path in TWILIO_PATHS {
        let other_url = form_signature("/elsewhere", &form);
        assert_eq!(edge.post_form(path, &form, &other_url).await.0, 401, "{path}");
        assert_eq!(edge.post_form(path, &form, "not base64").await.0, 401, "{path}");
        let body = serde_urlencoded::to_string(&form).unwrap();
        let kind = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(edge.post(path, &[kind], body).await.0, 401, "{path}: missing");
    }
    let body = whatsapp_body(&[whatsapp_text("wamid.1", "Hi")]);
    let of_another = meta_signature(b"{}");
    let path = "/webhooks/whatsapp";
    assert_eq!(edge.post(path, &[("x-hub-signature-256", &of_another)], body.clone()).await.0, 401);
    assert_eq!(edge.post(path, &[], body).await.0, 401);
    edge.assert_nothing_published().await;
}

#[tokio::test]
async fn a_call_is_connected_to_a_socket_that_only_its_token_opens() {
    let Some(edge) = start().await else { return };
    for path in ["/twilio/voice", "/incoming-call"] {
        let form = call_form(&new_call_sid(), "+15551234567", OUR_NUMBER);
        let Answered(status, twiml) = edge.twilio(path, &form).await;
        assert_eq!(status, 200, "{twiml}");
        assert!(
            twiml.contains(r#"<Connect><Stream url="wss://desk.example.com/media-stream">"#),
            "{twiml}"
        );
        assert!(token_in(&twiml).len() > 40);
        assert!(twiml.contains("</Connect><Redirect"), "a verb follows: {twiml}");
        assert!(!twiml.contains("5551234567"), "{twiml}");
    }
}

#[tokio::test]
async fn a_repeated_call_request_gets_the_same_answer_without_effect() {
    let Some(edge) = start().await else { return };
    let call = new_call_sid();
    let first = edge.call(&call, "+15551234567").await;
    assert_eq!(edge.call(&call, "+15551234567").await, first);
    assert_ne!(edge.call(&new_call_sid(), "+15551234567").await, first);
}

#[tokio::test]
async fn a_repeated_whatsapp_request_is_published_under_the_same_id() {
    let Some(edge) = start().await else { return };
    let body = whatsapp_body(&[whatsapp_text("wamid.1", "Hi")]);
    assert_eq!(edge.meta(&body).await.0, 200);
    assert_eq!(edge.meta(&body).await.0, 200);
    let ids: Vec<_> = edge.published_in(anas_chat()).await.iter().map(|e| e.event_id).collect();
    assert_eq!(
        ids.iter().collect::<HashSet<_>>().len(),
        1,
        "one id: claims and brokers drop the second"
    );
}

#[tokio::test]
async fn a_signed_but_malformed_request_is_400_and_names_the_fault() {
    let Some(edge) = start().await else { return };
    let mut no_sid = call_form("", "+15551234567", OUR_NUMBER);
    no_sid.retain(|(name, _)| name != "CallSid");
    let mut odd_sid = call_form("../../etc", "+15551234567", OUR_NUMBER);
    for form in [&mut no_sid, &mut odd_sid] {
        for path in TWILIO_PATHS {
            let Answered(status, fault) = edge.twilio(path, form).await;
            assert_eq!(status, 400, "{path}");
            assert!(fault.contains("CallSid"), "{path}: {fault}");
        }
    }
    let bare = twilio_signature(&format!("{PUBLIC_BASE}/twilio/voice"));
    let signed = ("x-twilio-signature", bare.as_str());
    for (kind, body) in [
        ("application/x-www-form-urlencoded", "CallSid=%ZZ"),
        ("application/x-www-form-urlencoded", "CallSid=%ff%fe"),
        ("application/json", "{\"CallSid\":"),
    ] {
        let Answered(status, fault) =
            edge.post("/twilio/voice", &[("content-type", kind), signed], body).await;
        assert_eq!(status, 400, "{body}: {fault}");
        assert!(!fault.is_empty());
    }
    for body in ["", "{", "[]", "{}", r#"{"entry": 1}"#] {
        let Answered(status, fault) = edge.meta(body.as_bytes()).await;
        assert_eq!(status, 400, "{body}");
        assert!(!fault.is_empty());
    }
    edge.assert_nothing_published().await;
}

#[tokio::test]
async fn an_unknown_number_is_turned_away_politely() {
    let Some(edge) = start().await else { return };
    let Answered(status, twiml) = edge
        .twilio("/twilio/voice", &call_form(&new_call_sid(), "+15551234567", "+15550199999"))
        .await;
    assert_eq!(status, 200);
    assert!(twiml.contains("<Reject"), "{twiml}");
    let mut body: serde_json::Value =
        serde_json::from_slice(&whatsapp_body(&[whatsapp_text("wamid.1", "Hi")])).unwrap();
    body["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"] = json!("999");
    assert_eq!(edge.meta(body.to_string().as_bytes()).await.0, 200);
    edge.assert_nothing_published().await;
}

#[tokio::test]
async fn an_unknown_message_type_is_200_and_told_on_as_such() {
    let Some(edge) = start().await else { return };
    let hologram =
        json!({"from": "15551234567", "id": "wamid.1", "type": "hologram", "hologram": {}});
    let body = whatsapp_body(&[hologram, whatsapp_text("wamid.2", "Hi")]);
    assert_eq!(edge.meta(&body).await.0, 200);
    let events = edge.published_in(anas_chat()).await;
    assert_eq!(events.len(), 2);
    match &events[0].payload {
        Payload::MessageReceived(m) => {
            assert_eq!(m.kind, MessageKind::Unsupported("hologram".into()))
        }
        other => panic!("{}", other.name()),
    }
    assert_eq!(text_of(&events[1]), "Hi");
}

#[tokio::test]
async fn an_oversized_body_is_413_and_the_largest_allowed_is_not() {
    let Some(edge) = start().await else { return };
    let mut form = call_form(&new_call_sid(), "+15551234567", OUR_NUMBER);
    form.push(("Padding".into(), "x".repeat(64 * 1024)));
    assert_eq!(edge.twilio("/twilio/voice", &form).await.0, 413);
    let mut large = whatsapp_body(&[]);
    large.extend(vec![b' '; 3 * 1024 * 1024 - large.len()]);
    assert_eq!(edge.meta(&large).await.0, 200);
    large.push(b' ');
    assert_eq!(edge.meta(&large).await.0, 413);
}

#[tokio::test]
async fn metas_handshake_is_answered_with_its_challenge_for_the_right_token_alone() {
    let Some(edge) = start().await else { return };
    let verify = async |token: &str| {
        let query = format!("hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444");
        let answer =
            edge.http.get(format!("{}/webhooks/whatsapp?{query}", edge.base)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(verify(META_VERIFY).await, (200, "1158201444".into()));
    assert_eq!(verify("guess").await.0, 403);
}

#[tokio::test]
async fn the_end_of_a_call_that_never_reached_us_is_published_once() {
    let Some(edge) = start().await else { return };
    let status = |state: &str| {
        let mut form = call_form(&new_call_sid(), "+15551234567", OUR_NUMBER);
        form.retain(|(name, _)| name != "CallStatus");
        form.push(("CallStatus".into(), state.into()));
        form
    };
    for state in ["ringing", "in-progress", "word-of-a-later-release"] {
        assert_eq!(edge.twilio("/twilio/voice/status", &status(state)).await.0, 200);
    }
    edge.assert_nothing_published().await;
    assert_eq!(edge.twilio("/twilio/voice/status", &status("no-answer")).await.0, 200);
    let event = edge.published_kind("CallEnded").await;
    assert!(matches!(&event.payload, Payload::CallEnded(e) if e.reason == CallEndReason::Lost));
}

#[tokio::test]
async fn a_person_over_the_limit_is_dropped_with_200_and_their_calls_rejected() {
    let Some(edge) = start().await else { return };
    let messages: Vec<_> =
        (0..105).map(|n| whatsapp_text(&format!("wamid.{n}"), &format!("{n}"))).collect();
    assert_eq!(edge.meta(&whatsapp_body(&messages)).await.0, 200);
    let texts: Vec<String> = edge.published_in(anas_chat()).await.iter().map(text_of).collect();
    let first_hundred: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(texts, first_hundred);
    let other = json!({"from": "15557654321", "id": "wamid.other", "type": "text", "text": {"body": "me too"}});
    assert_eq!(edge.meta(&whatsapp_body(&[other])).await.0, 200);
    assert_eq!(
        text_of(&edge.published_kind("MessageReceived").await),
        "me too",
        "nobody else is limited"
    );

    let mut rejected = 0;
    for _ in 0..103 {
        let Answered(status, twiml) = edge.call(&new_call_sid(), "+15551230000").await;
        assert_eq!(status, 200);
        rejected += usize::from(twiml.contains("<Reject"));
    }
    assert_eq!(rejected, 3);
    assert!(edge.call(&new_call_sid(), "+15551230001").await.1.contains("<Connect>"));
}

#[tokio::test]
async fn a_forger_is_blocked_and_an_address_that_signs_correctly_never_is() {
    let Some(edge) = start().await else { return };
    let body = whatsapp_body(&[]);
    let good = meta_signature(&body);
    let post = async |source: &str, signature: &str| {
        let headers = [("x-forwarded-for", source), ("x-hub-signature-256", signature)];
        edge.post("/webhooks/whatsapp", &headers, body.clone()).await.0
    };
    let (forger, vendor) = ("198.51.100.7", "203.0.113.5");
    assert_eq!(post(vendor, &good).await, 200);
    for source in [forger, vendor] {
        for _ in 0..25 {
            assert_eq!(post(source, "sha256=00").await, 401);
        }
    }
    assert_eq!(post(forger, &good).await, 401, "blocked");
    assert_eq!(post(vendor, &good).await, 200);
    assert_eq!(post("198.51.100.8", &good).await, 200, "a neighbour is not");
    let hidden = [
        ("x-forwarded-for", "198.51.100.8"),
        ("x-forwarded-for", forger),
        ("x-hub-signature-256", &good),
    ];
    let hidden = edge.post("/webhooks/whatsapp", &hidden, body.clone()).await.0;
    assert_eq!(hidden, 401, "a line of the forger's own, above the proxy's, hides nothing");
}

#[tokio::test]
async fn a_vendor_whose_ranges_are_set_asks_from_nowhere_else() {
    let Some(edge) = start_with(&[("SB_WHATSAPP_SOURCES", "203.0.113.0/24")]).await else { return };
    let body = whatsapp_body(&[whatsapp_text("wamid.1", "Hi")]);
    let signature = meta_signature(&body);
    let post = async |source: &str| {
        let headers = [("x-forwarded-for", source), ("x-hub-signature-256", signature.as_str())];
        edge.post("/webhooks/whatsapp", &headers, body.clone()).await.0
    };
    assert_eq!(post("198.51.100.7").await, 403, "well signed, and yet");
    edge.assert_nothing_published().await;
    assert_eq!(post("203.0.113.5").await, 200);
    assert_eq!(edge.call(&new_call_sid(), "+15551234567").await.0, 200, "Twilio has none");
}

#[tokio::test]
async fn what_cannot_be_published_is_not_acknowledged() {
    let Some(edge) = start().await else { return };
    assert_eq!(edge.meta(&whatsapp_body(&[whatsapp_text("wamid.1", "Hi")])).await.0, 200);
    edge.lose_topic().await;
    assert_eq!(
        edge.meta(&whatsapp_body(&[whatsapp_text("wamid.2", "Hi")])).await.0,
        503,
        "Meta comes again"
    );
}

#[tokio::test]
async fn a_stopping_task_drains_and_leaves_its_port() {
    let Some(edge) = start().await else { return };
    let (http, base) = (edge.http.clone(), edge.base.clone());
    edge.stop().await;
    assert!(http.get(format!("{base}/healthz")).send().await.is_err());
}
