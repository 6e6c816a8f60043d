//! How Twilio and Meta sign and speak, written here from their documents and not from the code under test.

use std::net::TcpListener;

use actix_web::{App, HttpResponse, HttpServer, web};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::edge_task::{
    EdgeTask, META_SECRET, OUR_NUMBER, OUR_WHATSAPP, PUBLIC_BASE, TWILIO_TOKEN,
};

pub fn twilio_signature(message: &str) -> String {
    let mac = Hmac::<Sha1>::new_from_slice(TWILIO_TOKEN.as_bytes()).unwrap().chain_update(message);
    STANDARD.encode(mac.finalize().into_bytes())
}

pub fn meta_signature(body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(META_SECRET.as_bytes()).unwrap().chain_update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

pub fn new_call_sid() -> String {
    format!("CA{}", Uuid::new_v4().simple())
}

/// The form of an incoming call.
pub fn call_form(call: &str, from: &str, to: &str) -> Vec<(String, String)> {
    [
        ("AccountSid", "AC00000000000000000000000000000000"),
        ("CallSid", call),
        ("CallStatus", "ringing"),
        ("From", from),
        ("To", to),
        ("FromCity", ""),
    ]
    .map(|(n, v)| (n.to_owned(), v.to_owned()))
    .to_vec()
}

pub fn form_signature(path: &str, form: &[(String, String)]) -> String {
    let mut sorted = form.to_vec();
    sorted.sort();
    let params: String = sorted.iter().flat_map(|(n, v)| [n.as_str(), v.as_str()]).collect();
    twilio_signature(&format!("{PUBLIC_BASE}{path}{params}"))
}

/// An answer: status and body.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered(pub u16, pub String);

impl EdgeTask {
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answered {
        let mut request = self.http.post(format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        Answered(response.status().as_u16(), response.text().await.expect("a body"))
    }

    pub async fn post_form(
        &self,
        path: &str,
        form: &[(String, String)],
        signature: &str,
    ) -> Answered {
        let body = serde_urlencoded::to_string(form).unwrap();
        let kind = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        self.post(path, &[kind, ("x-twilio-signature", signature)], body).await
    }

    /// Twilio posts a signed form.
    pub async fn twilio(&self, path: &str, form: &[(String, String)]) -> Answered {
        self.post_form(path, form, &form_signature(path, form)).await
    }

    /// A call comes in; its TwiML.
    pub async fn call(&self, call: &str, from: &str) -> Answered {
        self.twilio("/twilio/voice", &call_form(call, from, OUR_NUMBER)).await
    }

    /// Meta posts a signed body.
    pub async fn meta(&self, body: &[u8]) -> Answered {
        self.post(
            "/webhooks/whatsapp",
            &[("x-hub-signature-256", &meta_signature(body))],
            body.to_vec(),
        )
        .await
    }
}

/// A webhook body with these messages.
pub fn whatsapp_body(messages: &[Value]) -> Vec<u8> {
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550100002", "phone_number_id": OUR_WHATSAPP},
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": "15551234567"}],
        "messages": messages,
    });
    let changes = json!([{"field": "messages", "value": value}]);
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]})
        .to_string()
        .into_bytes()
}

pub fn whatsapp_text(wamid: &str, body: &str) -> Value {
    json!({"from": "15551234567", "id": wamid, "timestamp": "1749416383", "type": "text", "text": {"body": body}})
}

/// The token in a call's TwiML.
pub fn token_in(twiml: &str) -> &str {
    let rest = twiml.split_once(r#"name="token" value=""#).expect("a token").1;
    rest.split_once('"').expect("an end").0
}

/// Twilio, which says how it was asked.
pub async fn twilio_api() -> (String, mpsc::UnboundedReceiver<(String, String)>) {
    twilio_api_answering(201, json!({"sid": "CA00000000000000000000000000000007"})).await
}

/// The same, which answers everything with this.
pub async fn twilio_api_answering(
    status: u16,
    told: Value,
) -> (String, mpsc::UnboundedReceiver<(String, String)>) {
    let (asked, received) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = move || {
        let (asked, told) = (asked.clone(), told.clone());
        let answer = move |request: actix_web::HttpRequest, body: String| {
            let _ = asked.send((request.path().to_owned(), body));
            let status = actix_web::http::StatusCode::from_u16(status).unwrap();
            let answer = HttpResponse::build(status).json(&told);
            async { answer }
        };
        App::new().default_service(web::post().to(answer))
    };
    tokio::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run());
    (base, received)
}
