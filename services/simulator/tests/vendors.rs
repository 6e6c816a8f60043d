//! The speech and language vendors, spoken to over HTTP as the services speak to them.

use std::{net::TcpListener, time::SystemTime};

use actix_web::{dev::ServerHandle, web};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_eventstream::{frame::read_message_from, smithy::parse_response_headers};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::StreamExt as _;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use simulator::{
    World, audio,
    config::{Config, Secret},
    modem,
};

struct Simulator {
    base: String,
    world: web::Data<World>,
    client: Client,
    handle: ServerHandle,
}

impl Simulator {
    fn start() -> anyhow::Result<Self> {
        Self::with(Config::default())
    }

    fn with(config: Config) -> anyhow::Result<Self> {
        boot::install_tls();
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let base = format!("http://{}", listener.local_addr()?);
        let world = web::Data::new(World::new(config));
        let server = simulator::serve(listener, world.clone(), false)?;
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Ok(Self { base, world, client: Client::builder().no_proxy().build()?, handle })
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    fn speak(&self, query: &str, text: &str) -> RequestBuilder {
        self.post(&format!("/deepgram/v1/speak?{query}"))
            .header("authorization", "Token key")
            .json(&json!({"text": text}))
    }

    fn listen(&self, audio: impl Into<reqwest::Body>) -> RequestBuilder {
        self.post("/deepgram/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000")
            .header("authorization", "Token key")
            .body(audio)
    }

    fn chat(&self, body: &Value) -> RequestBuilder {
        self.post("/openai/v1/chat/completions").bearer_auth("key").json(body)
    }

    async fn control(&self, method: &str, path: &str, body: Value) -> anyhow::Result<Value> {
        let request = self.client.request(method.parse()?, format!("{}/sim{path}", self.base));
        let text = request.json(&body).send().await?.error_for_status()?.text().await?;
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

const MULAW: &str = "model=aura-2-thalia-en&encoding=mulaw&sample_rate=8000&container=none";
const TEXT: &str = "Your table for two is booked, Ms. O'Neil. See you on Tuesday at 7:30!";

fn question(text: &str) -> Value {
    json!({"model": "m", "stream": true, "messages": [
        {"role": "system", "content": "You are a front desk."}, {"role": "user", "content": text},
    ]})
}

/// The events of a stream, without the `[DONE]` that must end it.
async fn events(response: Response) -> anyhow::Result<Vec<Value>> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await?;
    let mut lines: Vec<&str> =
        text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    assert_eq!(lines.pop(), Some("[DONE]"));
    lines.into_iter().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn content(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

#[actix_web::test]
async fn what_deepgram_speaks_deepgram_understands() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let spoken = simulator.speak(MULAW, TEXT).send().await?.error_for_status()?;
    assert_eq!(spoken.headers()["dg-model-name"], "aura-2-thalia-en");
    let spoken = spoken.bytes().await?;
    assert_eq!(
        spoken,
        audio::write_mulaw(&modem::encode(TEXT)),
        "container=none gives the bare codes"
    );

    let mut call = vec![0xff; 4000];
    call.extend_from_slice(&spoken);
    call.extend([0xff; 4000]);
    let seconds = call.len() as f64 / 8000.0;
    let heard: Value = simulator.listen(call).send().await?.error_for_status()?.json().await?;
    assert_eq!(heard["metadata"]["duration"], seconds);
    let best = &heard["results"]["channels"][0]["alternatives"][0];
    assert_eq!(best["transcript"], TEXT);
    assert!(best["confidence"].as_f64() > Some(0.95));
    let words = best["words"].as_array().expect("words");
    assert_eq!(words.len(), TEXT.split(' ').count());
    assert_eq!((&words[0]["word"], &words[0]["start"]), (&json!("your"), &json!(0.5)));
    assert_eq!(words[7]["punctuated_word"], "O'Neil.");
    Ok(())
}

#[actix_web::test]
async fn a_damaged_word_is_missing_from_the_transcript() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let mut spoken = audio::write_mulaw(&modem::encode("one two three"));
    let second = &modem::decode(&modem::encode("one two three")).words[1].span;
    let middle = (second.start + second.end) as usize / 2;
    spoken.drain(middle..middle + 160);
    let heard: Value = simulator.listen(spoken).send().await?.json().await?;
    assert_eq!(heard["results"]["channels"][0]["alternatives"][0]["transcript"], "one three");
    Ok(())
}

#[actix_web::test]
async fn people_can_be_spoken_to_with_espeak() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let text = "Good morning, how can I help you?";
    let spoken =
        simulator.speak(&MULAW.replace("aura-2-thalia-en", "espeak-en"), text).send().await?;
    let spoken = spoken.error_for_status()?.bytes().await?;
    assert!(modem::decode(&audio::read_mulaw(&spoken)).words.is_empty());
    let heard: Value = simulator.listen(spoken).send().await?.json().await?;
    assert_eq!(heard["results"]["channels"][0]["alternatives"][0]["transcript"], text);
    Ok(())
}

#[actix_web::test]
async fn silence_has_no_words() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let heard: Value = simulator.listen(vec![0xff; 16_000]).send().await?.json().await?;
    assert_eq!(
        heard["results"]["channels"][0]["alternatives"][0],
        json!({"transcript": "", "confidence": 0.0, "words": []})
    );
    Ok(())
}

#[actix_web::test]
async fn deepgram_words_an_error_in_three_ways() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    for key in [None, Some("Token invalid-key"), Some("key")] {
        let mut request = simulator.post("/deepgram/v1/speak").json(&json!({"text": "hi"}));
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        let refused = request.send().await?;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refused.json::<Value>().await?["err_code"], "INVALID_AUTH");
    }
    for query in ["", "encoding=opus", "encoding=mulaw&sample_rate=8000&container=ogg"] {
        let refused = simulator.speak(query, "hi").send().await?;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert!(refused.json::<Value>().await?["category"].is_string());
    }
    assert_eq!(simulator.listen("").send().await?.status(), StatusCode::BAD_REQUEST);
    simulator.control("PUT", "/faults/deepgram", json!({"status": 429, "times": 1})).await?;
    let refused = simulator.speak(MULAW, "hi").send().await?;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["content-type"], "text/plain");
    Ok(())
}

#[actix_web::test]
async fn a_streamed_answer_is_the_whole_answer_in_pieces() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let mut body = question("Do you have a table?");
    body["stream_options"] = json!({"include_usage": true});
    let events = events(simulator.chat(&body).send().await?.error_for_status()?).await?;
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let (usage, chunks) = events.split_last().expect("events");
    assert_eq!(usage["choices"], json!([]));
    assert!(usage["usage"]["completion_tokens"].as_u64() > Some(5));
    assert!(chunks.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    assert_eq!(chunks.last().expect("chunks")["choices"][0]["finish_reason"], "stop");

    body["stream"] = json!(false);
    let whole: Value = simulator.chat(&body).send().await?.json().await?;
    assert_eq!(whole["choices"][0]["message"]["content"], content(&events));
    assert!(content(&events).contains("Do you have a table"));
    Ok(())
}

#[actix_web::test]
async fn the_model_can_be_told_never_to_answer_twice_alike() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    simulator.control("PUT", "/model", json!({"mode": "never_alike"})).await?;
    let mut body = question("Hello?");
    let first = content(&events(simulator.chat(&body).send().await?).await?);
    let second = content(&events(simulator.chat(&body).send().await?).await?);
    assert_ne!(first, second);
    let (begun, rest) = first.split_at(first.find(". ").expect("sentences") + 1);
    body["messages"]
        .as_array_mut()
        .expect("messages")
        .push(json!({"role": "assistant", "content": begun}));
    let resumed = content(&events(simulator.chat(&body).send().await?).await?);
    assert_eq!(resumed, rest.trim_start());
    Ok(())
}

#[actix_web::test]
async fn the_model_notices_at_once_who_hangs_up_on_it() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    simulator.control("PUT", "/model", json!({"mode": "stall", "after_chars": 10})).await?;
    let mut body = simulator.chat(&question("Hello?")).send().await?.bytes_stream();
    let mut read = String::new();
    while read.matches("\"content\"").count() < 4 {
        read.push_str(std::str::from_utf8(&body.next().await.expect("more of the stream")?)?);
    }
    let log = simulator.control("GET", "/model/requests", Value::Null).await?;
    assert_eq!(log[0]["answer"], "I heard: H");
    assert_eq!(
        (&log[0]["closed_by_client_ms"], &log[0]["finished_ms"]),
        (&Value::Null, &Value::Null)
    );
    drop(body);
    loop {
        let log = simulator.control("GET", "/model/requests", Value::Null).await?;
        if log[0]["closed_by_client_ms"].is_u64() {
            break;
        }
        tokio::task::yield_now().await;
    }
    simulator.control("DELETE", "/model/requests", Value::Null).await?;
    assert_eq!(simulator.control("GET", "/model/requests", Value::Null).await?, json!([]));
    Ok(())
}

#[actix_web::test]
async fn the_model_can_break_off_and_talk_rubbish() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    simulator.control("PUT", "/model", json!({"mode": "cut", "after_chars": 12})).await?;
    assert!(simulator.chat(&question("Hello?")).send().await?.text().await.is_err());
    simulator.control("PUT", "/model", json!({"mode": "rubbish", "after_chars": 12})).await?;
    let rubbish = simulator.chat(&question("Hello?")).send().await?.bytes().await?;
    assert!(String::from_utf8(rubbish.to_vec()).is_err());
    assert!(!rubbish.ends_with(b"[DONE]\n\n"));
    Ok(())
}

#[actix_web::test]
async fn tool_calls_come_in_fragments_that_join_by_index() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let calls = json!([
        {"name": "availability", "arguments": {"day": "2026-11-24"}},
        {"name": "book", "arguments": "not even json"},
    ]);
    let script = json!({"mode": "script", "script": [{"tool_calls": calls}]});
    simulator.control("PUT", "/model", script).await?;
    let events = events(simulator.chat(&question("Tuesday?")).send().await?).await?;
    let mut joined = [String::new(), String::new()];
    let mut names = Vec::new();
    for call in events.iter().filter_map(|event| event["choices"][0]["delta"]["tool_calls"].get(0))
    {
        names.extend(call["function"]["name"].as_str());
        let index = call["index"].as_u64().expect("an index") as usize;
        joined[index].push_str(call["function"]["arguments"].as_str().expect("arguments"));
    }
    assert_eq!(names, ["availability", "book"]);
    assert_eq!(joined, ["{\"day\":\"2026-11-24\"}", "not even json"]);
    assert_eq!(events.last().expect("events")["choices"][0]["finish_reason"], "tool_calls");
    Ok(())
}

#[actix_web::test]
async fn a_bad_chat_request_is_refused_in_the_shape_of_openai() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let refused =
        simulator.post("/openai/v1/chat/completions").json(&question("hi")).send().await?;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json::<Value>().await?["error"]["code"], "invalid_api_key");
    for body in [
        json!({"model": "m"}),
        json!({"model": "m", "messages": []}),
        json!({"messages": [{}]}),
        json!(3),
    ] {
        let refused = simulator.chat(&body).send().await?;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let error = refused.json::<Value>().await?;
        let keys: Vec<_> = error["error"].as_object().expect("an error").keys().collect();
        assert_eq!(keys, ["code", "message", "param", "type"]);
    }
    Ok(())
}

#[actix_web::test]
async fn what_openai_speaks_openai_transcribes() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    for format in ["pcm", "wav"] {
        let body = json!({"model": "gpt-4o-mini-tts", "voice": "coral", "input": TEXT, "response_format": format});
        let spoken =
            simulator.post("/openai/v1/audio/speech").bearer_auth("key").json(&body).send().await?;
        let spoken = spoken.error_for_status()?.bytes().await?.to_vec();
        let wav = if format == "pcm" { audio::write_wav(&spoken, 24_000, false) } else { spoken };
        let form = reqwest::multipart::Form::new()
            .text("model", "whisper-1")
            .text("response_format", "verbose_json")
            .part("file", reqwest::multipart::Part::bytes(wav).file_name("call.wav"));
        let request =
            simulator.post("/openai/v1/audio/transcriptions").bearer_auth("key").multipart(form);
        let heard: Value = request.send().await?.error_for_status()?.json().await?;
        assert_eq!(heard["text"], TEXT);
        assert_eq!(heard["words"].as_array().map(Vec::len), Some(TEXT.split(' ').count()));
    }
    Ok(())
}

#[actix_web::test]
async fn an_embedding_is_the_same_in_both_encodings() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let embed = |format: &str| {
        let body = json!({
            "model": "text-embedding-3-small", "input": ["opening hours", "a table"],
            "encoding_format": format, "dimensions": 64,
        });
        simulator.post("/openai/v1/embeddings").bearer_auth("key").json(&body).send()
    };
    let floats: Value = embed("float").await?.error_for_status()?.json().await?;
    let encoded: Value = embed("base64").await?.error_for_status()?.json().await?;
    for index in 0..2 {
        let bytes = BASE64_STANDARD
            .decode(encoded["data"][index]["embedding"].as_str().expect("base64"))?;
        let numbers: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert_eq!(numbers.len(), 64);
        assert_eq!(
            serde_json::from_value::<Vec<f32>>(floats["data"][index]["embedding"].clone())?,
            numbers
        );
    }
    Ok(())
}

#[actix_web::test]
async fn a_vendor_or_one_point_of_it_can_be_failed_a_number_of_times() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    simulator
        .control("PUT", "/faults/openai/completions", json!({"status": 503, "times": 2}))
        .await?;
    let embeddings = json!({"model": "m", "input": "x"});
    let embeddings =
        simulator.post("/openai/v1/embeddings").bearer_auth("key").json(&embeddings).send().await?;
    assert_eq!(embeddings.status(), StatusCode::OK, "another point");
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(simulator.chat(&question("hi")).send().await?.status().as_u16());
    }
    assert_eq!(statuses, [503, 503, 200]);
    assert_eq!(simulator.control("GET", "/faults", Value::Null).await?, json!({}));
    assert_eq!(
        simulator.world.model.requests().len(),
        1,
        "a failed request never reaches the model"
    );
    Ok(())
}

#[actix_web::test]
async fn a_connection_can_be_cut_inside_an_answer() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    simulator.control("PUT", "/faults/deepgram/speak", json!({"cut_after_bytes": 4000})).await?;
    let mut body = simulator.speak(MULAW, TEXT).send().await?.error_for_status()?.bytes_stream();
    let mut received = 0;
    let ended = loop {
        match body.next().await {
            Some(Ok(bytes)) => received += bytes.len(),
            other => break other,
        }
    };
    assert!(matches!(ended, Some(Err(_))), "the answer must not look complete");
    assert!(received <= 4000, "{received}");
    simulator.control("DELETE", "/faults/deepgram/speak", Value::Null).await?;
    assert!(simulator.speak(MULAW, TEXT).send().await?.bytes().await.is_ok());
    Ok(())
}

#[actix_web::test]
async fn a_slow_point_holds_up_no_other() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    simulator.control("PUT", "/faults/deepgram/speak", json!({"latency_ms": 3_600_000})).await?;
    let mut slow = Box::pin(simulator.speak(MULAW, TEXT).send());
    let quick = simulator.listen(vec![0xff; 800]).send();
    let first = futures::future::select(&mut slow, Box::pin(quick)).await;
    assert!(matches!(first, futures::future::Either::Right((Ok(_), _))));
    Ok(())
}

#[actix_web::test]
async fn an_unknown_setting_is_refused() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    assert!(simulator.control("PUT", "/faults/openai", json!({"latency": 5})).await.is_err());
    assert!(simulator.control("PUT", "/model", json!({"mode": "sulk"})).await.is_err());
    assert!(simulator.control("DELETE", "/faults/openai", Value::Null).await.is_err());
    Ok(())
}

/// The events of a Bedrock stream: kind and body.
fn frames(bytes: &[u8]) -> anyhow::Result<Vec<(String, Value)>> {
    let (mut rest, mut events) = (bytes, Vec::new());
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into()?) as usize;
        let message = read_message_from(&rest[..length])?;
        let kind = parse_response_headers(&message)?.smithy_type.as_str().to_owned();
        events.push((kind, serde_json::from_slice(message.payload())?));
        rest = &rest[length..];
    }
    Ok(events)
}

#[actix_web::test]
async fn bedrock_streams_words_tools_and_what_they_took_in_frames() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let converse = |body: &Value| {
        let path = "/bedrock/model/amazon.nova-lite-v1%3A0/converse-stream";
        simulator.post(path).bearer_auth("key").json(body)
    };
    let body = json!({
        "system": [{"text": "You are a front desk."}],
        "messages": [{"role": "user", "content": [{"text": "Tuesday?"}]}],
    });
    let answer = converse(&body).send().await?;
    assert_eq!(answer.headers()["content-type"], "application/vnd.amazon.eventstream");
    let events = frames(&answer.bytes().await?)?;
    let text: String =
        events.iter().filter_map(|(_, body)| body["delta"]["text"].as_str()).collect();
    assert_eq!(text, "I heard: Tuesday. That is noted. What else can I do for you?");
    let ends: Vec<&str> = events.iter().rev().take(2).map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(ends, ["metadata", "messageStop"]);

    let calls = json!([{"name": "book", "arguments": {"day": "2026-11-24"}}]);
    let script = json!({"mode": "script", "script": [{"tool_calls": calls}]});
    simulator.control("PUT", "/model", script).await?;
    let events = frames(&converse(&body).send().await?.bytes().await?)?;
    let (_, start) = events.iter().find(|(kind, _)| kind == "contentBlockStart").expect("a tool");
    assert_eq!(start["start"]["toolUse"]["name"], "book");
    let input: String =
        events.iter().filter_map(|(_, b)| b["delta"]["toolUse"]["input"].as_str()).collect();
    assert_eq!(input, "{\"day\":\"2026-11-24\"}");

    let greeted = json!({"messages": [{"role": "assistant", "content": [{"text": "Hello!"}]}]});
    assert_eq!(converse(&greeted).send().await?.status(), StatusCode::BAD_REQUEST);
    let unsigned = simulator.post("/bedrock/model/m/converse-stream").json(&body).send().await?;
    assert_eq!(unsigned.status(), StatusCode::FORBIDDEN);
    simulator.control("PUT", "/faults/bedrock", json!({"status": 429})).await?;
    let throttled = converse(&body).send().await?;
    assert_eq!(throttled.headers()["x-amzn-errortype"], "ThrottlingException");
    Ok(())
}

/// `path` with a signature of `secret`, as the SDK makes it.
fn signed(simulator: &Simulator, path: &str, body: &Value, secret: &str) -> RequestBuilder {
    let credentials = Credentials::new("AKIA", secret, None, None, "test");
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("bedrock")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .expect("parameters")
        .into();
    let (url, bytes) = (format!("{}{path}", simulator.base), body.to_string().into_bytes());
    let signable = SignableBody::Bytes(&bytes);
    let request =
        SignableRequest::new("POST", &url, std::iter::empty(), signable).expect("a request");
    let signed = sign(request, &params).expect("a signature").into_parts().0;
    let post = simulator.client.post(&url).body(bytes.clone());
    signed.headers().fold(post, |post, (name, value)| post.header(name, value))
}

#[actix_web::test]
async fn a_signature_is_checked_over_what_is_escaped_in_the_path() -> anyhow::Result<()> {
    let secret = Some(Secret::new("right".to_owned()));
    let simulator = Simulator::with(Config { aws_secret: secret, ..Config::default() })?;
    let body = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]});
    let path = "/bedrock/model/amazon.nova-lite-v1%3A0/converse-stream";
    assert_eq!(signed(&simulator, path, &body, "right").send().await?.status(), StatusCode::OK);
    let wrong = signed(&simulator, path, &body, "wrong").send().await?;
    assert_eq!(wrong.status(), StatusCode::FORBIDDEN);
    Ok(())
}

#[actix_web::test]
async fn open_meteo_knows_a_place_and_its_weather() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let get = async |path: &str| -> anyhow::Result<Value> {
        let url = format!("{}/weather{path}", simulator.base);
        Ok(simulator.client.get(url).send().await?.json().await?)
    };
    let found = get("/v1/search?name=Toronto&count=1&format=json").await?;
    assert_eq!(found["results"][0]["name"], "Toronto");
    assert_eq!(get("/v1/search?name=Nowhere").await?, json!({}));
    let query = "latitude=43.7&longitude=-79.4&daily=weather_code&start_date=2026-03-10&end_date=2026-03-10";
    let forecast = get(&format!("/v1/forecast?{query}")).await?;
    assert!(forecast["daily"]["temperature_2m_max"][0].is_number(), "{forecast}");
    Ok(())
}

#[actix_web::test]
async fn a_form_that_bedrock_must_fill_is_filled() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let schema = json!({"type": "object", "properties": {
        "confidence": {"type": "number", "minimum": 0.25}}});
    let body = json!({
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "score", "inputSchema": {"json": schema}}}],
            "toolChoice": {"tool": {"name": "score"}},
        },
    });
    let asked = simulator.post("/bedrock/model/m/converse-stream").bearer_auth("key").json(&body);
    let events = frames(&asked.send().await?.bytes().await?)?;
    let input: String =
        events.iter().filter_map(|(_, b)| b["delta"]["toolUse"]["input"].as_str()).collect();
    assert_eq!(input, "{\"confidence\":0.25}");
    Ok(())
}

#[actix_web::test]
async fn an_e_mail_is_taken_from_whom_its_head_says_and_can_be_seen() -> anyhow::Result<()> {
    let simulator = Simulator::start()?;
    let send = async |from: &str, signed: bool| {
        let message = "From: desk@maple.example\r\nTo: ana@example.com\r\n\r\nHello";
        let body = json!({
            "FromEmailAddress": from,
            "Destination": {"ToAddresses": ["ana@example.com"]},
            "Content": {"Raw": {"Data": BASE64_STANDARD.encode(message)}},
        });
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{}/us-east-1/ses/aws4_request", &now[..8]);
        let signature =
            format!("AWS4-HMAC-SHA256 Credential=key/{scope}, SignedHeaders=host, Signature=x");
        let mut request = simulator.post("/ses/v2/email/outbound-emails").json(&body);
        if signed {
            request = request.header("authorization", signature).header("x-amz-date", now);
        }
        request.send().await.map(|answer| answer.status().as_u16())
    };
    assert_eq!(send("desk@maple.example", false).await?, 403);
    assert_eq!(send("other@maple.example", true).await?, 400);
    assert_eq!(send("desk@maple.example", true).await?, 200);
    let seen = simulator.control("GET", "/emails", Value::Null).await?;
    assert_eq!(seen.as_array().map(Vec::len), Some(1), "{seen}");
    assert_eq!(seen[0]["to"], json!(["ana@example.com"]));
    Ok(())
}
