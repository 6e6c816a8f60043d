//! Meta's webhooks: signed over the raw body, repeated until answered 200 (PROTOCOLS 2.1, 2.2).

use std::time::Duration;

use actix_web::web;
use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{
    World,
    meta::{
        Media, WABA_ID,
        chat::{Line, readable},
        wamid,
    },
    platform,
};

/// Where the platform takes them.
const PATH: &str = "/webhooks/whatsapp";
/// How long the platform may take to answer (PROTOCOLS 2.1 quotes 3 to 20 s).
const TIMEOUT: Duration = Duration::from_secs(20);
/// The second attempt comes at once, the later ones at growing distances up to this.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Meta goes on for 7 days; nobody watches a simulator for so long.
const ATTEMPTS_MAX: u32 = 30;

/// What a person writes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Incoming {
    /// The person's number, without `+`.
    pub from: String,
    /// The profile name.
    pub name: String,
    /// The business's number; without one, the first known.
    pub phone_number_id: Option<String>,
    /// The person's business-scoped id.
    pub bsuid: Option<String>,
    /// The number is withheld: only the business-scoped id is told (PROTOCOLS 2.2).
    pub hides_number: bool,
    /// A text message.
    pub text: Option<String>,
    /// Another type of message ...
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// ... with its member.
    pub content: Value,
    /// The file of a picture, a voice note or a document, base64; its id, hash and type are put into `content`.
    pub media_base64: Option<String>,
    /// The file's type.
    pub mime_type: Option<String>,
    /// The message replied to.
    pub reply_to: Option<String>,
}

/// A person writes: the line appears in the chat, and the webhook goes out.
pub(super) fn write(world: &web::Data<World>, incoming: Incoming) -> anyhow::Result<String> {
    ensure!(!incoming.from.is_empty(), "a message has a sender");
    let numbers = &world.config.meta.numbers;
    let phone_number_id = match &incoming.phone_number_id {
        Some(id) => id.clone(),
        None => numbers.keys().next().context("no business number is known")?.clone(),
    };
    let kind = incoming.kind.clone().unwrap_or_else(|| "text".to_owned());
    let mut content = match &incoming.text {
        Some(text) => json!({ "body": text }),
        None => incoming.content.clone(),
    };
    if let Some(file) = &incoming.media_base64 {
        attach(world, &mut content, file, incoming.mime_type.as_deref())?;
    }
    let now = Timestamp::now();
    let id = wamid();
    let mut message = json!({
        "id": id,
        "timestamp": now.as_second().to_string(),
        "type": kind,
        kind.as_str(): content,
    });
    let mut contact = json!({"profile": {"name": incoming.name}});
    if !incoming.hides_number {
        message["from"] = json!(incoming.from);
        contact["wa_id"] = json!(incoming.from);
    }
    if let Some(bsuid) = &incoming.bsuid {
        message["from_user_id"] = json!(bsuid);
        contact["user_id"] = json!(bsuid);
    }
    if let Some(replied) = &incoming.reply_to {
        let display = numbers.get(&phone_number_id);
        message["context"] = json!({"from": display, "id": replied});
    }
    let line = Line {
        id: id.clone(),
        by_person: true,
        text: readable(&kind, &message),
        kind,
        content: message.clone(),
        unix_ms: now.as_millisecond(),
        statuses: Vec::new(),
        attempts: 0,
        callback_data: None,
    };
    let mut state = world.meta.state();
    let chat = state.chats.entry(incoming.from.clone()).or_default();
    chat.wa_id.clone_from(&incoming.from);
    chat.name = incoming.name;
    chat.bsuid = incoming.bsuid;
    chat.phone_number_id.clone_from(&phone_number_id);
    chat.lines.push(line);
    drop(state);
    let value = json!({"contacts": [contact], "messages": [message]});
    let line = Some((incoming.from, id.clone()));
    platform::threads().spawn(deliver(world.clone(), phone_number_id, value, line));
    Ok(id)
}

fn attach(
    world: &World,
    content: &mut Value,
    file: &str,
    mime_type: Option<&str>,
) -> anyhow::Result<()> {
    let data = STANDARD.decode(file).context("read media_base64")?;
    let mime_type = mime_type.unwrap_or("application/octet-stream").to_owned();
    if !content.is_object() {
        *content = Value::Object(Map::new());
    }
    let id = media_id();
    content["id"] = json!(id);
    content["mime_type"] = json!(mime_type);
    content["sha256"] = json!(STANDARD.encode(Sha256::digest(&data)));
    world.meta.state().media.insert(id, Media { mime_type, data: data.into() });
    Ok(())
}

/// Media ids are plain numbers.
pub(super) fn media_id() -> String {
    (uuid::Uuid::new_v4().as_u128() % 10_u128.pow(16)).to_string()
}

/// Delivers a `value` of an envelope, as often as it takes. `line` is the chat and message to note it with.
pub(super) async fn deliver(
    world: web::Data<World>,
    phone_number_id: String,
    mut value: Value,
    line: Option<(String, String)>,
) {
    value["messaging_product"] = json!("whatsapp");
    let display = world.config.meta.numbers.get(&phone_number_id);
    value["metadata"] =
        json!({"display_phone_number": display, "phone_number_id": phone_number_id});
    let envelope = json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA_ID, "changes": [{"field": "messages", "value": value}]}],
    });
    let body = escape(&envelope.to_string());
    let signature = sign(world.config.meta.app_secret.expose(), body.as_bytes());
    let mut wait = Duration::ZERO;
    for attempt in 1..=ATTEMPTS_MAX {
        let answered = post(&world, &body, &signature).await;
        if let Some((chat, id)) = &line
            && let Some(line) =
                world.meta.state().chats.get_mut(chat).and_then(|chat| chat.line(id))
        {
            line.attempts = attempt;
            if answered.is_ok() {
                line.note("received", None);
            }
        }
        match answered {
            Ok(()) => return,
            Err(fault) => {
                tracing::info!(attempt, fault = format!("{fault:#}"), "webhook was not taken")
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).clamp(Duration::from_secs(1), RETRY_MAX);
    }
}

async fn post(world: &World, body: &str, signature: &str) -> anyhow::Result<()> {
    let strike = world.faults.strike("graph", "webhook").await;
    ensure!(strike.fail.is_none(), "a fault lost the request");
    let answer = platform::client()
        .post(world.config.platform.requested(&world.config.platform.public(PATH)))
        .timeout(TIMEOUT)
        .header("content-type", "application/json")
        .header("user-agent", "facebookexternalua")
        .header("x-hub-signature-256", signature)
        .body(body.to_owned())
        .send()
        .await
        .context("post the webhook")?;
    ensure!(answer.status() == 200, "the platform answered {}", answer.status());
    Ok(())
}

/// Whether the platform answers the webhook's verification as it should.
pub(super) async fn verify(world: &web::Data<World>) -> bool {
    let world = world.clone();
    let asked = platform::threads().spawn(async move {
        let challenge = media_id();
        let url = world.config.platform.requested(&world.config.platform.public(PATH));
        let query = [
            ("hub.mode", "subscribe"),
            ("hub.verify_token", world.config.meta.verify_token.expose()),
            ("hub.challenge", &challenge),
        ];
        let answer = platform::client().get(url).query(&query).send().await.ok()?;
        let verified = answer.status() == 200;
        (verified && answer.text().await.ok()? == challenge).then_some(())
    });
    matches!(asked.await, Ok(Some(())))
}

/// `X-Hub-Signature-256` of a body.
pub fn sign(app_secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(app_secret.as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// JSON with everything beyond ASCII as `\uXXXX`, as Meta writes it. Such characters stand in strings only.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_the_known_vector() {
        assert_eq!(
            sign("app-secret", br#"{"object":"whatsapp_business_account","entry":[]}"#),
            "sha256=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f"
        );
    }

    #[test]
    fn what_is_escaped_reads_back_the_same() {
        let text = json!({"body": "Grüße, 你好 👋 \"quoted\"\n"});
        let escaped = escape(&text.to_string());
        assert!(escaped.is_ascii() && escaped.contains("\\ud83d\\udc4b"), "{escaped}");
        assert_eq!(serde_json::from_str::<Value>(&escaped).expect("JSON"), text);
    }
}
