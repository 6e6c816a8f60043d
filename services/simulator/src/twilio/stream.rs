//! Twilio's end of a media socket (PROTOCOLS 1.5).

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{SinkExt, StreamExt, stream::SplitStream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::mpsc::{self, error::TrySendError},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    platform::{CONNECT_TIMEOUT, Platform},
    twilio::{
        playback::{FRAME_MS, Frame},
        signature,
    },
};

/// How long the platform may take to answer the closing of a socket.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// So many messages wait for a platform that is slow to read, 5 s of audio; then audio is dropped (31930).
const OUTGOING_MESSAGES: usize = 250;

/// Why no stream came about: Twilio's code, and what happened.
#[derive(Debug)]
pub struct Refused {
    /// 31901 timeout, 31902 refused, 31910 TLS, 31920 not 101, 31922 scheme.
    pub code: u32,
    /// For the error log.
    pub message: String,
}

/// What the platform says.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Audio to play.
    Media(Vec<u8>),
    /// A mark.
    Mark(String),
    /// Drop what is queued.
    Clear,
    /// A message Twilio does not understand (31951).
    Invalid(String),
    /// The platform closed the socket, in order or not.
    Closed {
        /// With a closing handshake.
        orderly: bool,
    },
}

/// What the platform may send: these three, and no other field (else 31951).
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase", deny_unknown_fields)]
enum Inbound {
    Media {
        #[serde(rename = "streamSid")]
        stream_sid: String,
        media: Payload,
    },
    Mark {
        #[serde(rename = "streamSid")]
        stream_sid: String,
        mark: Name,
    },
    Clear {
        #[serde(rename = "streamSid")]
        stream_sid: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    payload: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

/// Who the stream belongs to.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `MZ` and 32 hex digits.
    pub stream_sid: String,
    /// The call.
    pub call_sid: String,
    /// The account.
    pub account_sid: String,
}

/// An open media socket.
#[derive(Debug)]
pub struct MediaStream {
    identity: Arc<Identity>,
    outgoing: mpsc::Sender<Message>,
    incoming: SplitStream<WebSocketStream<TcpStream>>,
    writer: JoinHandle<()>,
    sequence: u64,
    chunk: u64,
    congested: bool,
}

impl MediaStream {
    /// Connects, signs the handshake over the URL as the document gives it, and says `connected` and `start`.
    ///
    /// # Errors
    /// When the platform does not take the stream.
    pub async fn open(
        platform: &Platform,
        url: &str,
        parameters: &[(String, String)],
        auth_token: &str,
        identity: Identity,
    ) -> Result<Self, Refused> {
        let refused = |code| move |message: String| Refused { code, message };
        let target = platform.socket(url).map_err(|fault| refused(31922)(format!("{fault:#}")))?;
        if target.tls {
            return Err(refused(31910)("the simulator speaks no TLS on media sockets".to_owned()));
        }
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(&target.address)).await;
        let tcp = connected
            .map_err(|_| refused(31901)("connecting took too long".to_owned()))?
            .map_err(|fault| refused(31902)(fault.to_string()))?;
        let socket = timeout(CONNECT_TIMEOUT, handshake(tcp, url, auth_token)).await;
        let socket = socket
            .map_err(|_| refused(31901)("the handshake took too long".to_owned()))?
            .map_err(|fault| refused(31920)(format!("{fault:#}")))?;
        let (mut sink, incoming) = socket.split();
        let (outgoing, mut queue) = mpsc::channel(OUTGOING_MESSAGES);
        let writer = tokio::spawn(async move {
            while let Some(message) = queue.recv().await {
                if sink.send(message).await.is_err() {
                    return;
                }
            }
            // A peer that is gone already needs no farewell.
            let _ = sink.close().await;
        });
        let mut stream = Self {
            identity: Arc::new(identity),
            outgoing,
            incoming,
            writer,
            sequence: 0,
            chunk: 0,
            congested: false,
        };
        stream.send(json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}));
        let parameters: serde_json::Map<_, _> = parameters
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        let identity = stream.identity.clone();
        stream.say(
            "start",
            json!({
                "streamSid": identity.stream_sid,
                "accountSid": identity.account_sid,
                "callSid": identity.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": parameters,
            }),
        );
        Ok(stream)
    }

    /// Sends a frame of the caller's. `false` the first time one had to be dropped because the platform reads too
    /// slowly.
    pub fn media(&mut self, frame: &Frame) -> bool {
        self.chunk += 1;
        let sent = self.say(
            "media",
            json!({
                "track": "inbound",
                "chunk": self.chunk.to_string(),
                "timestamp": (self.chunk * FRAME_MS).to_string(),
                "payload": STANDARD.encode(frame),
            }),
        );
        let noticed = sent || self.congested;
        self.congested |= !sent;
        noticed
    }

    /// Sends a key.
    pub fn dtmf(&mut self, digit: char) {
        self.say("dtmf", json!({"track": "inbound_track", "digit": digit.to_string()}));
    }

    /// Returns a mark.
    pub fn mark(&mut self, name: &str) {
        self.say("mark", json!({ "name": name }));
    }

    /// Says `stop` and closes. The call goes on; the socket is given up when the platform has answered the closing, or
    /// has not in time: before that, it might not read what was said last.
    pub fn stop(mut self) {
        let identity = self.identity.clone();
        self.say("stop", json!({"accountSid": identity.account_sid, "callSid": identity.call_sid}));
        let Self { outgoing, mut incoming, writer, .. } = self;
        drop(outgoing);
        tokio::spawn(async move {
            let farewell = async {
                // It ends well or the socket is gone; both are the end.
                let _ = writer.await;
                while let Some(Ok(_)) = incoming.next().await {}
            };
            let _ = timeout(CLOSE_TIMEOUT, farewell).await;
        });
    }

    /// The next thing the platform says. Safe to cancel.
    pub async fn next(&mut self) -> Heard {
        loop {
            return match self.incoming.next().await {
                Some(Ok(Message::Text(text))) => self.understand(text.as_str()),
                Some(Ok(Message::Binary(_))) => Heard::Invalid("a binary message".to_owned()),
                Some(Ok(Message::Close(_))) => Heard::Closed { orderly: true },
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Heard::Closed { orderly: false },
            };
        }
    }

    fn understand(&self, text: &str) -> Heard {
        let (stream_sid, heard) = match serde_json::from_str(text) {
            Ok(Inbound::Media { stream_sid, media }) => match STANDARD.decode(&media.payload) {
                Ok(audio) => (stream_sid, Heard::Media(audio)),
                Err(_) => return Heard::Invalid("the payload is not base64".to_owned()),
            },
            Ok(Inbound::Mark { stream_sid, mark }) => (stream_sid, Heard::Mark(mark.name)),
            Ok(Inbound::Clear { stream_sid }) => (stream_sid, Heard::Clear),
            // The message of serde names fields and places, never contents of a string.
            Err(fault) => return Heard::Invalid(fault.to_string()),
        };
        if stream_sid == self.identity.stream_sid {
            heard
        } else {
            Heard::Invalid("another stream's streamSid".to_owned())
        }
    }

    fn say(&mut self, event: &str, member: Value) -> bool {
        self.sequence += 1;
        let mut message = json!({
            "event": event,
            "sequenceNumber": self.sequence.to_string(),
            "streamSid": self.identity.stream_sid,
        });
        message[event] = member;
        self.send(message)
    }

    fn send(&mut self, message: Value) -> bool {
        let sent = self.outgoing.try_send(Message::text(message.to_string()));
        // A closed socket is noticed where it is read.
        !matches!(sent, Err(TrySendError::Full(_)))
    }
}

async fn handshake(
    tcp: TcpStream,
    url: &str,
    auth_token: &str,
) -> anyhow::Result<WebSocketStream<TcpStream>> {
    tcp.set_nodelay(true).context("send frames without delay")?;
    if url.contains('?') {
        bail!("a <Stream> url takes no query");
    }
    let mut request = url.into_client_request().context("read the socket's URL")?;
    let signature = HeaderValue::from_str(&signature::sign(auth_token, url, &[]))
        .context("put the signature into a header")?;
    request.headers_mut().insert("x-twilio-signature", signature);
    let (socket, _) = client_async(request, tcp).await.context("shake hands")?;
    Ok(socket)
}
