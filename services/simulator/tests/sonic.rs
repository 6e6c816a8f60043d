//! Nova Sonic, spoken to over HTTP/2 in signed frames, as the orchestrator speaks to it.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    event_stream::{sign_empty_message, sign_message},
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_eventstream::{
    frame::{DecodedFrame, MessageFrameDecoder, write_message_to},
    smithy::parse_response_headers,
};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::BytesMut;
use futures::{channel::mpsc, stream};
use serde_json::{Value, json};
use simulator::{
    Running, audio,
    config::{Config, Secret},
    modem, openai,
};

const PATH: &str = "/bedrock/model/amazon.nova-2-sonic-v1%3A0/invoke-with-bidirectional-stream";
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const QUESTION: &str = "Are you open on Tuesday?";

/// One session, and what came of it.
struct Session {
    say: mpsc::UnboundedSender<Result<Vec<u8>, std::io::Error>>,
    credentials: Credentials,
    last: String,
    response: reqwest::Response,
    bytes: BytesMut,
    decoder: MessageFrameDecoder,
}

impl Session {
    /// Opens one that is signed with `secret`.
    async fn open(simulator: &Running, secret: &str) -> anyhow::Result<Self> {
        boot::install_tls();
        let credentials = Credentials::new("AKIA", secret, None, None, "test");
        let url = format!("{}{PATH}", simulator.base_url());
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("bedrock")
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let body = SignableBody::Precomputed("STREAMING-AWS4-HMAC-SHA256-EVENTS".to_owned());
        let headers = [("content-type", EVENT_STREAM)].into_iter();
        let request = SignableRequest::new("POST", &url, headers, body)?;
        let (signed, last) = sign(request, &params)?.into_parts();
        let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build()?;
        let post = client.post(&url).header("content-type", EVENT_STREAM);
        let post = signed.headers().fold(post, |post, (name, value)| post.header(name, value));
        let (say, said) = mpsc::unbounded();
        let response = post.body(reqwest::Body::wrap_stream(said)).send().await?;
        let (bytes, decoder) = (BytesMut::new(), MessageFrameDecoder::new());
        Ok(Self { say, credentials, last, response, bytes, decoder })
    }

    fn say(&mut self, name: &str, mut body: Value) {
        body["promptName"] = "p".into();
        let chunk = json!({"event": {name: body}}).to_string();
        let chunk = json!({"bytes": BASE64_STANDARD.encode(chunk)});
        let header =
            |name, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
        let message = Message::new(chunk.to_string().into_bytes())
            .add_header(header(":message-type", "event"))
            .add_header(header(":event-type", "chunk"));
        self.send(Some(&message));
    }

    fn send(&mut self, message: Option<&Message>) {
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("bedrock")
            .time(SystemTime::now())
            .settings(())
            .build()
            .expect("parameters");
        let signed = match message {
            Some(message) => sign_message(message, &self.last, &params),
            None => sign_empty_message(&self.last, &params),
        };
        let (signed, signature) = signed.expect("a signature").into_parts();
        self.last = signature;
        let mut bytes = Vec::new();
        write_message_to(&signed, &mut bytes).expect("a frame");
        self.say.unbounded_send(Ok(bytes)).expect("somebody who listens");
    }

    /// Everything up to what is spoken.
    fn begin(&mut self, tools: Value) {
        let audio = json!({"mediaType": "audio/lpcm", "sampleRateHertz": 8000, "sampleSizeBits": 16,
            "channelCount": 1, "encoding": "base64", "audioType": "SPEECH", "voiceId": "tiffany"});
        self.say("sessionStart", json!({"inferenceConfiguration": {"maxTokens": 100}}));
        self.say(
            "promptStart",
            json!({"audioOutputConfiguration": audio,
            "toolConfiguration": {"tools": tools}}),
        );
        let text = |role: &str| {
            json!({"contentName": role, "type": "TEXT", "interactive": false, "role": role,
            "textInputConfiguration": {"mediaType": "text/plain"}})
        };
        self.say("contentStart", text("SYSTEM"));
        self.say("textInput", json!({"contentName": "SYSTEM", "content": "You are a front desk."}));
        self.say("contentEnd", json!({"contentName": "SYSTEM"}));
        self.say(
            "contentStart",
            json!({"contentName": "mic", "type": "AUDIO", "interactive": true,
            "role": "USER", "audioInputConfiguration": audio}),
        );
    }

    /// Speaks, and is quiet for 2 s.
    fn speak(&mut self, text: &str) {
        let mut samples = modem::encode(text);
        samples.resize(samples.len() + 2 * 8_000, 0);
        for piece in samples.chunks(512) {
            let content = BASE64_STANDARD.encode(audio::write_pcm(piece));
            self.say("audioInput", json!({"contentName": "mic", "content": content}));
        }
    }

    /// The next event, by its name.
    async fn next(&mut self) -> anyhow::Result<Option<(String, Value)>> {
        loop {
            if let DecodedFrame::Complete(message) = self.decoder.decode_frame(&mut self.bytes)? {
                let head = parse_response_headers(&message)?;
                let body: Value = serde_json::from_slice(message.payload())?;
                if head.message_type.as_str() != "event" {
                    return Ok(Some((head.smithy_type.as_str().to_owned(), body)));
                }
                let chunk = BASE64_STANDARD.decode(body["bytes"].as_str().unwrap_or_default())?;
                let chunk: Value = serde_json::from_slice(&chunk)?;
                let event = chunk["event"].as_object().and_then(|event| event.iter().next());
                let (name, body) = event.expect("an event");
                return Ok(Some((name.clone(), body.clone())));
            }
            let Some(bytes) = self.response.chunk().await? else { return Ok(None) };
            self.bytes.extend_from_slice(&bytes);
        }
    }

    /// What came until the block that stops so ends: of each role and stage the words, and all sound.
    async fn until(&mut self, reason: &str) -> anyhow::Result<(Vec<(String, Value)>, Vec<i16>)> {
        let (mut events, mut sound) = (Vec::new(), Vec::new());
        while let Some((name, body)) = self.next().await? {
            if let ("audioOutput", Some(content)) = (&*name, body["content"].as_str()) {
                sound.extend(audio::read_pcm(&BASE64_STANDARD.decode(content)?));
            }
            let is_end = name == "contentEnd" && body["stopReason"] == reason;
            events.push((name, body));
            if is_end {
                return Ok((events, sound));
            }
        }
        anyhow::bail!("the stream ends with {:?}", events.last())
    }
}

fn simulator(secret: &str) -> anyhow::Result<Running> {
    let aws_secret = Some(Secret::new(secret.to_owned()));
    Running::start(Config { listen: ([127, 0, 0, 1], 0).into(), aws_secret, ..Config::default() })
}

fn words(events: &[(String, Value)]) -> Vec<&str> {
    let texts = events.iter().filter(|(name, _)| name == "textOutput");
    texts.filter_map(|(_, body)| body["content"].as_str()).collect()
}

#[actix_web::test]
async fn it_hears_answers_with_sound_and_takes_what_came_of_a_tool() -> anyhow::Result<()> {
    let simulator = simulator("right")?;
    let script = json!({"mode": "script", "script": [
        {"tool_calls": [{"name": "hours", "arguments": {"day": "Tuesday"}}]},
        "We open at nine. See you then.",
    ]});
    simulator.world.model.set(serde_json::from_value::<openai::Settings>(script)?);
    let mut session = Session::open(&simulator, "right").await?;
    assert_eq!(session.response.status(), 200);
    let schema = json!({"type": "object"}).to_string();
    session.begin(json!([{"toolSpec": {"name": "hours", "inputSchema": {"json": schema}}}]));
    session.speak(QUESTION);
    let (events, _) = session.until("TOOL_USE").await?;
    assert_eq!(events[0].0, "completionStart");
    assert_eq!(words(&events), [QUESTION], "what it heard");
    let (_, asked) = events.iter().find(|(name, _)| name == "toolUse").expect("a tool");
    assert_eq!(
        (&asked["toolName"], &asked["content"]),
        (&json!("hours"), &json!("{\"day\":\"Tuesday\"}"))
    );
    session.say(
        "contentStart",
        json!({"contentName": "t", "type": "TOOL", "role": "TOOL",
        "toolResultInputConfiguration": {"toolUseId": asked["toolUseId"], "type": "TEXT"}}),
    );
    session.say("toolResult", json!({"contentName": "t", "content": "{\"opens\":9}"}));
    session.say("contentEnd", json!({"contentName": "t"}));
    let (events, sound) = session.until("END_TURN").await?;
    assert_eq!(words(&events), ["We open at nine.", "See you then."]);
    assert_eq!(modem::decode(&sound).text(), "We open at nine. See you then.");
    let seen = simulator.world.model.requests();
    assert_eq!(
        seen[1].body["messages"].as_array().and_then(|m| m.last()).map(|m| &m["content"]),
        Some(&json!("{\"opens\":9}"))
    );
    assert_eq!(seen[0].body["tools"][0]["function"]["name"], "hours");

    session.say("contentEnd", json!({"contentName": "mic"}));
    session.say("promptEnd", json!({}));
    session.say("sessionEnd", json!({}));
    session.send(None);
    let mut last = String::new();
    while let Some((name, _)) = session.next().await? {
        last = name;
    }
    assert_eq!(last, "completionEnd");
    Ok(())
}

#[actix_web::test]
async fn it_refuses_what_is_not_signed_right_and_what_comes_out_of_order() -> anyhow::Result<()> {
    let simulator = simulator("right")?;
    assert_eq!(Session::open(&simulator, "wrong").await?.response.status(), 403);

    let mut session = Session::open(&simulator, "right").await?;
    session.last = "0".repeat(64);
    session.begin(json!([]));
    let refused = session.next().await?.map(|(name, _)| name);
    assert_eq!(refused.as_deref(), Some("accessDeniedException"));

    let mut session = Session::open(&simulator, "right").await?;
    session.say("sessionStart", json!({}));
    session.speak(QUESTION);
    let refused = session.next().await?.map(|(name, _)| name);
    assert_eq!(refused.as_deref(), Some("validationException"), "sound before its block");

    let fault = json!({"status": 429, "times": 1});
    simulator.world.faults.put("bedrock", Some("sonic"), serde_json::from_value(fault)?);
    let mut session = Session::open(&simulator, "right").await?;
    session.begin(json!([]));
    session.speak(QUESTION);
    let mut last = String::new();
    while let Some((name, _)) = session.next().await? {
        last = name;
    }
    assert_eq!(last, "throttlingException");

    let url = format!("{}{PATH}", simulator.base_url());
    let body = reqwest::Body::wrap_stream(stream::empty::<Result<Vec<u8>, std::io::Error>>());
    let by_http1 = reqwest::Client::new().post(url).bearer_auth("key").body(body).send().await?;
    assert_eq!(by_http1.status(), 400, "there is no way back in HTTP/1.1");
    Ok(())
}
