//! The API as others use it: over HTTP, with keys and tokens, against a real database.

mod configuring;
mod dead_letters;
mod events;
mod handover;
mod isolation;
mod notices;
pub mod reading;
mod writing;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::TenantId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use store::api_keys::{self, NewApiKey};

use crate::edge_task::EdgeTask;

pub const JWT_ISSUER: &str = "https://id.example.com";
/// `0123456789abcdef0123456789abcdef` under the name `k1`.
pub const JWT_KEYS: &str =
    r#"{"keys":[{"kty":"oct","kid":"k1","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#;
pub const CONSOLE_ORIGIN: &str = "https://console.example.com";

/// An answer: status, headers, body as JSON (null where it has none).
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// What was asked for, of an answer that went well.
    pub fn data(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        assert_eq!(self.body["status"], "ok", "{}", self.body);
        assert!(self.body["error"].is_null(), "{}", self.body);
        self.body["data"].clone()
    }

    /// The code of an error, with its HTTP status.
    pub fn refusal(&self) -> (u16, &str) {
        assert_eq!(self.body["status"], "error", "{}", self.body);
        assert!(self.body["data"].is_null(), "{}", self.body);
        (self.status, self.body["error"]["code"].as_str().unwrap_or_default())
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl EdgeTask {
    /// Makes an API key of a tenant, and hands it out.
    pub async fn api_key(&self, tenant: TenantId, role: &str) -> String {
        let id = &uuid::Uuid::new_v4().simple().to_string()[..12];
        let store = self.db.store().await;
        let tx = store.tenant(tenant).await.unwrap();
        let new = NewApiKey { id, name: "a test", role, created_by: "a test", expires_at: None };
        api_keys::add(&tx, &new, "the-secret").await.unwrap().unwrap();
        tx.commit().await.unwrap();
        format!("sbk_{}_{id}_the-secret", tenant.as_uuid().simple())
    }

    /// Asks the API.
    pub async fn api(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { status, headers, body, text }
    }

    /// Reads from the API with a credential.
    pub async fn read(&self, credential: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {credential}");
        self.api(Method::GET, path, &[("authorization", &bearer)], None).await
    }

    /// Writes to the API with a credential.
    pub async fn write(&self, credential: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {credential}");
        self.api(Method::POST, path, &[("authorization", &bearer)], Some(body)).await
    }
}

/// A token as the tenant's identity provider makes it.
pub fn token(tenant: TenantId, role: &str) -> String {
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let now = domain::Timestamp::now().as_micros() / 1_000_000;
    let header = encoded(json!({"alg": "HS256", "typ": "JWT", "kid": "k1"}));
    let claims = encoded(json!({
        "iss": JWT_ISSUER, "aud": "switchboard", "sub": "ana", "exp": now + 300,
        "tenant": tenant.as_uuid(), "role": role,
    }));
    let message = format!("{header}.{claims}");
    let mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef0123456789abcdef")
        .unwrap()
        .chain_update(&message);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
