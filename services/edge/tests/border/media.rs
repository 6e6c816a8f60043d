//! Files people send over WhatsApp, with Meta's two steps played by a small server.

use std::{collections::HashMap, net::TcpListener, sync::Arc, time::Duration};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use async_trait::async_trait;
use bus::{Context, Handler, Outcome, Queue};
use cache::SettledFile;
use domain::{Envelope, MediaSettled, MessageKind, Payload, TranscribeVoiceNote};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::{
    edge_task::{EdgeTask, PATIENCE, anas_chat, start_with},
    vendors::whatsapp_body,
};

/// Files by their ids: the media type, the bytes, and how often the vendor fails before it serves them.
type Files = HashMap<&'static str, (&'static str, Vec<u8>)>;

async fn meta(files: Files) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (files, own) = (web::Data::new(files), base.clone());
    let app = move || {
        let own = own.clone();
        let serve = move |request: HttpRequest, files: web::Data<Files>| {
            let own = own.clone();
            async move {
                if request.headers().get("authorization").is_none_or(|v| v != "Bearer access-token")
                {
                    return HttpResponse::Unauthorized().finish();
                }
                let path = request.path().to_owned();
                let id = path.rsplit('/').next().unwrap_or_default().to_owned();
                let Some((mime_type, bytes)) = files.get(id.as_str()) else {
                    let error = json!({"error": {"code": 100, "message": "no such object"}});
                    return HttpResponse::BadRequest().json(error);
                };
                if path.starts_with("/files/") {
                    return HttpResponse::Ok().content_type(*mime_type).body(bytes.clone());
                }
                HttpResponse::Ok().json(json!({
                    "messaging_product": "whatsapp", "id": id, "url": format!("{own}/files/{id}"),
                    "mime_type": mime_type, "file_size": bytes.len(),
                    "sha256": hex::encode(Sha256::digest(bytes)),
                }))
            }
        };
        App::new()
            .app_data(files.clone())
            .route("/files/{id}", web::get().to(serve.clone()))
            .default_service(web::get().to(serve))
    };
    tokio::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run());
    base
}

fn announced(kind: &str, id: &str, bytes: &[u8], more: Value) -> Value {
    let mut file =
        json!({"id": id, "mime_type": "x/y", "sha256": hex::encode(Sha256::digest(bytes))});
    for (name, value) in more.as_object().unwrap() {
        file[name] = value.clone();
    }
    json!({"from": "15551234567", "id": format!("wamid.{id}"), "timestamp": "1749416383", "type": kind, kind: file})
}

async fn settled(edge: &EdgeTask) -> MediaSettled {
    match edge.published_kind("MediaSettled").await.payload {
        Payload::MediaSettled(settled) => settled,
        other => panic!("{}", other.name()),
    }
}

struct Ears(mpsc::UnboundedSender<Envelope>);

#[async_trait]
impl Handler for Ears {
    async fn handle(&self, _context: &Context, message: &Envelope) -> Outcome {
        let _ = self.0.send(message.clone());
        Outcome::Done
    }
}

#[tokio::test]
async fn a_picture_is_told_at_once_and_kept_with_its_message() {
    let picture = b"\x89PNG not really".to_vec();
    let base = meta(HashMap::from([("77", ("image/png", picture.clone()))])).await;
    let Some(edge) = start_with(&[("WHATSAPP_API_BASE_URL", &base)]).await else { return };
    let message = announced("image", "77", &picture, json!({"caption": "my tooth"}));
    assert_eq!(edge.meta(&whatsapp_body(&[message])).await.0, 200);
    let received = edge.published_kind("MessageReceived").await;
    let settled = settled(&edge).await;
    assert_eq!(settled.message, received.event_id);
    let file = settled.file.expect("it is kept");
    assert_eq!((file.mime_type.as_str(), file.bytes), ("image/png", picture.len() as u64));
    assert!(file.key.starts_with(&format!("media/{}/", received.tenant)), "{}", file.key);
    assert_eq!(edge.file(&file.key).await.0, picture);
    let told = edge.cache.settled_file(anas_chat(), received.event_id).await.unwrap();
    assert_eq!(told, Some(SettledFile::Kept(file)), "whoever answers finds it");
}

#[tokio::test]
async fn a_voice_note_goes_to_the_ears_and_one_that_cannot_be_had_is_settled_without_words() {
    let note = b"OggS not really".to_vec();
    let base = meta(HashMap::from([("88", ("audio/ogg; codecs=opus", note.clone()))])).await;
    let Some(edge) = start_with(&[("WHATSAPP_API_BASE_URL", &base)]).await else { return };
    let (heard, mut asked) = mpsc::unbounded_channel();
    edge.play(Queue::Transcribe, Arc::new(Ears(heard)));
    let voice = |id: &str, bytes: &[u8]| announced("audio", id, bytes, json!({"voice": true}));
    edge.meta(&whatsapp_body(&[voice("88", &note)])).await;
    let job = tokio::time::timeout(PATIENCE, asked.recv()).await.expect("asked").unwrap();
    let Payload::TranscribeVoiceNote(TranscribeVoiceNote { message, file, language, .. }) =
        &job.payload
    else {
        // The greeting's prompts are spoken by another queue; nothing else is to be recognised.
        panic!("{}", job.payload.name());
    };
    let received = edge.published_kind("MessageReceived").await;
    assert_eq!((*message, language.as_str()), (received.event_id, "en-US"));
    assert_eq!(job.conversation, anas_chat());
    assert_eq!(edge.file(&file.key).await.0, note);

    edge.meta(&whatsapp_body(&[voice("99", b"gone")])).await;
    let received = edge.published_kind("MessageReceived").await;
    let gone = settled(&edge).await;
    assert_eq!((gone.message, gone.file), (received.event_id, None));
    let words = edge.cache.settled_words(anas_chat(), received.event_id).await.unwrap();
    assert_eq!(
        words.as_deref(),
        Some(""),
        "whoever waits for the words is told that there are none"
    );
}

#[tokio::test]
async fn what_is_not_what_was_announced_or_too_large_is_not_kept() {
    let large = vec![0_u8; 5 * 1024 * 1024 + 1];
    let files = HashMap::from([
        ("1", ("image/png", b"another".to_vec())),
        ("2", ("image/png", large.clone())),
        ("3", ("text/html", b"<script>".to_vec())),
    ]);
    let base = meta(files).await;
    let Some(edge) = start_with(&[("WHATSAPP_API_BASE_URL", &base)]).await else { return };
    for (id, bytes, why) in
        [("1", &b"announced"[..], "SHA-256"), ("2", &large, "larger"), ("3", b"<script>", "type")]
    {
        edge.meta(&whatsapp_body(&[announced("image", id, bytes, json!({}))])).await;
        let settled = settled(&edge).await;
        assert_eq!(settled.file, None);
        let told = edge.cache.settled_file(anas_chat(), settled.message).await.unwrap();
        assert_eq!(told, Some(SettledFile::Missing), "nobody waits for it");
        assert!(settled.fault.as_deref().unwrap().contains(why), "{:?}", settled.fault);
    }
}

#[tokio::test]
async fn the_webhook_is_answered_while_the_vendor_keeps_the_file_back() {
    // Nobody serves the file.
    let Some(edge) = start_with(&[("WHATSAPP_API_BASE_URL", "http://127.0.0.1:9")]).await else {
        return;
    };
    let message = announced("document", "5", b"x", json!({"filename": "a.pdf"}));
    let body = whatsapp_body(&[message]);
    let answered = tokio::time::timeout(Duration::from_secs(10), edge.meta(&body));
    assert_eq!(answered.await.expect("an answer").0, 200);
    let Payload::MessageReceived(received) = edge.published_kind("MessageReceived").await.payload
    else {
        panic!("a message");
    };
    assert!(matches!(received.kind, MessageKind::Media(_)));
}
