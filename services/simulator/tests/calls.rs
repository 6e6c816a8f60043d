//! Calls through the simulated Twilio, against a small platform of the test's own.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::StreamExt as _;
use serde_json::{Value, json};
use simulator::{
    Running,
    audio::{read_mulaw, write_mulaw},
    caller::{Account, BargeIn, CallReport, CallScript, Utterance, place_call},
    config::Config,
    modem,
    platform::Platform,
    twilio::{CallStatus, signature::sign},
};

const PUBLIC: &str = "https://desk.test";
const GREETING: &str = "Good morning, this is the front desk.";
const CALLER: &str = "+15550199001";
const NUMBER: &str = "+15550100001";

const STREAM: &str = r#"<Response><Connect><Stream url="wss://desk.test/media-stream"><Parameter name="token" value="t-1"/></Stream></Connect><Redirect>/twilio/voice/after?n=1</Redirect></Response>"#;
const HANGUP: &str = "<Response><Hangup/></Response>";

/// How the platform behaves on the media socket.
#[derive(Clone, Copy, PartialEq)]
enum Agent {
    /// Says back what it understands, and the greeting first.
    Echo,
    /// Greets at length; falls silent when spoken to, and says "Yes?".
    Talkative,
    /// Sends what Twilio does not understand, then greets.
    Rude,
    /// Closes the socket once it has understood something.
    Leaves,
}

/// What the platform has seen.
#[derive(Default)]
struct Seen {
    requests: Vec<(String, HashMap<String, String>)>,
    handshake_signed: bool,
    messages: Vec<Value>,
}

struct Desk {
    agent: Agent,
    documents: HashMap<&'static str, &'static str>,
    token: String,
    seen: Mutex<Seen>,
}

impl Desk {
    /// A platform, and the simulator before it.
    fn open(
        agent: Agent,
        documents: &[(&'static str, &'static str)],
    ) -> (Arc<Self>, Running, ServerHandle) {
        boot::install_tls();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let edge = listener.local_addr().expect("an address");
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            platform: Platform {
                public_base_url: PUBLIC.to_owned(),
                edge_url: format!("http://{edge}"),
            },
            ..Config::default()
        };
        let desk = Arc::new(Self {
            agent,
            documents: documents.iter().copied().collect(),
            token: config.twilio.auth_token.expose().to_owned(),
            seen: Mutex::default(),
        });
        let data = web::Data::from(desk.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .route("/media-stream", web::get().to(media))
                .default_service(web::post().to(voice))
        });
        let server =
            server.workers(1).disable_signals().listen(listener).expect("a listener").run();
        let handle = server.handle();
        tokio::spawn(server);
        (desk, Running::start(config).expect("a simulator"), handle)
    }

    fn requests(&self, path: &str) -> Vec<HashMap<String, String>> {
        let seen = self.seen.lock().expect("no panic before");
        let found = seen.requests.iter().filter(|(known, _)| known == path);
        found.map(|(_, form)| form.clone()).collect()
    }

    /// Waits for a message of this kind.
    async fn message(&self, event: &str) -> Value {
        loop {
            if let Some(message) = self.messages(event).into_iter().next() {
                return message;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn messages(&self, event: &str) -> Vec<Value> {
        let seen = self.seen.lock().expect("no panic before");
        seen.messages.iter().filter(|message| message["event"] == event).cloned().collect()
    }
}

async fn voice(
    desk: web::Data<Desk>,
    request: HttpRequest,
    form: web::Form<Vec<(String, String)>>,
) -> HttpResponse {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str()).to_owned();
    let expected = sign(&desk.token, &format!("{PUBLIC}{path}"), &form);
    let given = request.headers().get("x-twilio-signature").and_then(|value| value.to_str().ok());
    if given != Some(&expected) {
        return HttpResponse::Unauthorized().finish();
    }
    let document = desk.documents.get(path.as_str()).copied();
    desk.seen
        .lock()
        .expect("no panic before")
        .requests
        .push((path, form.into_inner().into_iter().collect()));
    match document {
        Some(document) => HttpResponse::Ok().content_type("text/xml").body(document),
        None => HttpResponse::NoContent().finish(),
    }
}

async fn media(
    desk: web::Data<Desk>,
    request: HttpRequest,
    body: web::Payload,
) -> actix_web::Result<HttpResponse> {
    let signature = request.headers().get("x-twilio-signature");
    let expected = sign(&desk.token, "wss://desk.test/media-stream", &[]);
    desk.seen.lock().expect("no panic before").handshake_signed =
        signature.is_some_and(|given| given == expected.as_str());
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        let mut receiver = modem::Receiver::default();
        let mut words: Vec<String> = Vec::new();
        let mut sid = String::new();
        while let Some(Ok(actix_ws::Message::Text(text))) = messages.next().await {
            let message: Value = serde_json::from_str(&text).expect("JSON from Twilio");
            desk.seen.lock().expect("no panic before").messages.push(message.clone());
            let mut out: Vec<String> = Vec::new();
            let say = |sid: &str, text: &str| {
                let payload = BASE64_STANDARD.encode(write_mulaw(&modem::encode(text)));
                [
                    json!({"event": "media", "streamSid": sid, "media": {"payload": payload}})
                        .to_string(),
                    json!({"event": "mark", "streamSid": sid, "mark": {"name": text}}).to_string(),
                ]
            };
            if message["event"] == "start" {
                sid = message["streamSid"].as_str().expect("a sid").to_owned();
                if desk.agent == Agent::Rude {
                    out.push("{".to_owned());
                    out.push(
                        json!({"event": "media", "streamSid": "MZother", "media": {"payload": ""}})
                            .to_string(),
                    );
                }
                let greeting = if desk.agent == Agent::Talkative {
                    [GREETING; 3].join(" ")
                } else {
                    GREETING.to_owned()
                };
                out.extend(say(&sid, &greeting));
            }
            if message["event"] == "media" {
                let payload = message["media"]["payload"].as_str().expect("a payload");
                let decoded =
                    receiver.push(&read_mulaw(&BASE64_STANDARD.decode(payload).expect("base64")));
                assert_eq!(decoded.faults, [], "the caller's speech arrives whole");
                for word in decoded.words {
                    if word.first && desk.agent == Agent::Talkative {
                        out.push(json!({"event": "clear", "streamSid": sid}).to_string());
                    }
                    words.push(word.text);
                    if word.last {
                        let reply = format!("You said: {}", std::mem::take(&mut words).join(" "));
                        match desk.agent {
                            Agent::Talkative => out.extend(say(&sid, "Yes?")),
                            Agent::Leaves => return drop(session.close(None).await),
                            _ => out.extend(say(&sid, &reply)),
                        }
                    }
                }
            }
            for text in out {
                if session.text(text).await.is_err() {
                    return;
                }
            }
        }
    });
    Ok(response)
}

fn audio_ms(text: &str) -> u64 {
    modem::encode(text).len() as u64 / 8
}

async fn call(simulator: &Running, script: CallScript) -> CallReport {
    place_call(&simulator.world, script).await.expect("a call").finished().await
}

#[tokio::test]
async fn a_call_is_heard_word_for_word_on_both_ends() {
    let (desk, simulator, _edge) = Desk::open(Agent::Echo, &[("/twilio/voice", STREAM)]);
    let script = CallScript::new(CALLER, NUMBER, ["I need a table", "For 2 people"]);
    let handle = place_call(&simulator.world, script).await.expect("a call");
    let report = handle.finished().await;

    assert_eq!(report.texts(), [GREETING, "You said: I need a table", "You said: For 2 people"]);
    assert!(report.heard.iter().all(|turn| turn.whole), "{:?}", report.heard);
    assert_eq!(
        (report.status, report.ended_by.as_deref()),
        (CallStatus::Completed, Some("caller"))
    );
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    // All audio of a turn was sent at once; it played at the pace of speech.
    for turn in &report.heard {
        let played_ms = (turn.end_ms - turn.start_ms) as i64;
        let expected_ms = audio_ms(&turn.text) as i64;
        assert!((0..20).contains(&(played_ms - expected_ms)), "{turn:?} {expected_ms}");
    }
    // Each mark came back when its audio had played, and not before.
    assert_eq!(report.marks.len(), 3);
    assert!(report.marks.iter().all(|mark| mark.returned_ms.is_some() && !mark.cleared));
    assert_eq!(desk.messages("mark").len(), 3);
    for (mark, turn) in report.marks.iter().zip(&report.heard) {
        assert!(mark.returned_ms >= Some(turn.end_ms), "{mark:?} {turn:?}");
    }
    // The ear's two tracks are one time line.
    let recording = handle.recording();
    assert_eq!(recording.said.len(), recording.heard.len());
    assert_eq!(modem::decode(&read_mulaw(&recording.said)).text(), "I need a table For 2 people");
}

#[tokio::test]
async fn every_request_is_signed_and_the_stream_is_numbered_without_a_gap() {
    let (desk, simulator, _edge) = Desk::open(Agent::Echo, &[("/twilio/voice", STREAM)]);
    let report = call(&simulator, CallScript::new(CALLER, NUMBER, Vec::<String>::new())).await;

    let first = &desk.requests("/twilio/voice")[0];
    assert_eq!((first["From"].as_str(), first["To"].as_str()), (CALLER, NUMBER));
    assert_eq!(
        (first["CallSid"].as_str(), first["CallStatus"].as_str()),
        (report.sid.as_str(), "ringing")
    );
    assert!(desk.seen.lock().expect("no panic before").handshake_signed);
    let start = &desk.messages("start")[0];
    assert_eq!(start["start"]["customParameters"], json!({"token": "t-1"}));
    assert_eq!(start["start"]["callSid"], json!(report.sid));
    for (index, message) in desk.messages("media").iter().enumerate() {
        assert_eq!(message["media"]["chunk"], json!((index + 1).to_string()));
        assert_eq!(message["media"]["timestamp"], json!(((index + 1) * 20).to_string()));
    }
    assert_eq!(desk.message("stop").await["stop"]["callSid"], json!(report.sid));
    let over = &desk.requests("/twilio/voice/status")[0];
    assert_eq!(over["CallStatus"], "completed");
    assert!(over["CallDuration"].parse::<u64>().is_ok() && over["Timestamp"].ends_with("+0000"));
}

#[tokio::test]
async fn a_caller_who_speaks_over_the_agent_silences_it() {
    let (_desk, simulator, _edge) = Desk::open(Agent::Talkative, &[("/twilio/voice", STREAM)]);
    let mut script = CallScript::new(CALLER, NUMBER, ["Stop, please"]);
    script.utterances[0].barge_in = Some(BargeIn { after_ms: 500 });
    let report = call(&simulator, script).await;

    let full = [GREETING; 3].join(" ");
    let [greeting, answer] = &report.heard[..] else { panic!("{:?}", report.heard) };
    assert!(full.starts_with(&greeting.text) && greeting.text.len() < full.len(), "{greeting:?}");
    assert!(greeting.end_ms - greeting.start_ms < audio_ms(&full));
    assert_eq!((answer.text.as_str(), answer.whole), ("Yes?", true));
    assert_eq!(report.clears_ms.len(), 1);
    assert!(report.marks[0].cleared && !report.marks[1].cleared, "{:?}", report.marks);
    assert_eq!(report.said[0].start_ms - greeting.start_ms, 500);
}

#[tokio::test]
async fn a_socket_the_platform_closes_leads_to_the_next_verb() {
    let (desk, simulator, _edge) = Desk::open(
        Agent::Leaves,
        &[("/twilio/voice", STREAM), ("/twilio/voice/after?n=1", HANGUP)],
    );
    let report = call(&simulator, CallScript::new(CALLER, NUMBER, ["Goodbye"])).await;
    assert_eq!(report.ended_by.as_deref(), Some("hangup"));
    assert_eq!(desk.requests("/twilio/voice/after?n=1").len(), 1);
    assert_eq!(desk.messages("stop").len(), 0, "the socket was gone");
}

#[tokio::test]
async fn a_message_twilio_does_not_understand_is_noted_once_and_the_call_goes_on() {
    let (_desk, simulator, _edge) = Desk::open(Agent::Rude, &[("/twilio/voice", STREAM)]);
    let report = call(&simulator, CallScript::new(CALLER, NUMBER, Vec::<String>::new())).await;
    let codes: Vec<_> = report.faults.iter().map(|fault| fault.code).collect();
    assert_eq!(codes, [31951]);
    assert_eq!(report.texts(), [GREETING]);
}

#[tokio::test]
async fn gathered_speech_and_keys_reach_the_action() {
    let gather = r#"<Response><Gather input="dtmf speech" action="/twilio/voice/collect?turn=1" numDigits="2" speechTimeout="auto"><Say>What is it about?</Say></Gather></Response>"#;
    let again = r#"<Response><Gather input="dtmf speech" action="/twilio/voice/collect?turn=2" numDigits="2"><Say>And how many?</Say></Gather></Response>"#;
    let (desk, simulator, _edge) = Desk::open(
        Agent::Echo,
        &[
            ("/twilio/voice", gather),
            ("/twilio/voice/collect?turn=1", again),
            ("/twilio/voice/collect?turn=2", HANGUP),
        ],
    );
    let mut script = CallScript::new(CALLER, NUMBER, ["A booking"]);
    script.utterances.push(Utterance { digits: Some("12".to_owned()), ..Utterance::default() });
    let report = call(&simulator, script).await;
    assert_eq!(report.texts(), ["What is it about?", "And how many?"]);
    assert_eq!(desk.requests("/twilio/voice/collect?turn=1")[0]["SpeechResult"], "A booking");
    assert_eq!(desk.requests("/twilio/voice/collect?turn=2")[0]["Digits"], "12");
    assert_eq!(report.ended_by.as_deref(), Some("hangup"));
}

#[tokio::test]
async fn a_transfer_is_dialled_and_its_end_reported() {
    let dial = r#"<Response><Dial action="/twilio/voice/dialled"><Number url="/whisper">+15550100099</Number></Dial></Response>"#;
    let (desk, simulator, _edge) = Desk::open(
        Agent::Echo,
        &[
            ("/twilio/voice", dial),
            ("/whisper", "<Response><Say>It is Ana.</Say></Response>"),
            ("/twilio/voice/dialled", HANGUP),
        ],
    );
    let mut script = CallScript::new(CALLER, NUMBER, Vec::<String>::new());
    script.options.stays = true;
    let report = call(&simulator, script).await;
    assert_eq!(desk.requests("/twilio/voice/dialled")[0]["DialCallStatus"], "completed");
    let dialled = report.events.iter().find(|event| event.what == "dial").expect("a dial");
    assert_eq!(dialled.detail, "+15550100099");
    let whisper = report.events.iter().find(|event| event.what == "whisper").expect("a whisper");
    assert_eq!(whisper.detail, "It is Ana.");
    assert_eq!(desk.requests("/whisper")[0]["ParentCallSid"], report.sid);
    assert_ne!(desk.requests("/whisper")[0]["CallSid"], report.sid);
}

#[tokio::test]
async fn a_call_with_a_wrong_signature_fails_before_it_is_answered() {
    let (desk, simulator, _edge) = Desk::open(Agent::Echo, &[("/twilio/voice", STREAM)]);
    let mut script = CallScript::new(CALLER, NUMBER, Vec::<String>::new());
    script.options.account =
        Some(Account { sid: "ACstranger".to_owned(), auth_token: "not the token".to_owned() });
    let report = call(&simulator, script).await;
    assert_eq!((report.status, report.faults[0].code), (CallStatus::Failed, 11200));
    assert!(desk.requests("/twilio/voice").is_empty());
}

#[tokio::test]
async fn rest_moves_a_live_call_to_other_instructions() {
    let (desk, simulator, _edge) =
        Desk::open(Agent::Echo, &[("/twilio/voice", STREAM), ("/resume", HANGUP)]);
    let mut script = CallScript::new(CALLER, NUMBER, Vec::<String>::new());
    script.options.stays = true;
    let handle = place_call(&simulator.world, script).await.expect("a call");
    desk.message("start").await;
    let settings = &simulator.world.config.twilio;
    let url = format!(
        "{}/twilio/2010-04-01/Accounts/{}/Calls/{}.json",
        simulator.base_url(),
        settings.account_sid,
        handle.sid()
    );
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let update = |token: &str| {
        client
            .post(&url)
            .basic_auth(&settings.account_sid, Some(token))
            .form(&[("Url", "https://desk.test/resume")])
            .send()
    };
    let refused = update("wrong").await.expect("an answer");
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.expect("JSON")["code"], 20003);
    let taken = update(settings.auth_token.expose()).await.expect("an answer");
    assert_eq!(taken.json::<Value>().await.expect("JSON")["status"], "in-progress");

    let report = handle.finished().await;
    assert_eq!(report.ended_by.as_deref(), Some("hangup"));
    assert_eq!(desk.requests("/resume").len(), 1);
    desk.message("stop").await;
    let late = update(settings.auth_token.expose()).await.expect("an answer");
    assert_eq!(late.json::<Value>().await.expect("JSON")["code"], 21220);
}

#[tokio::test]
async fn a_call_placed_over_http_can_be_watched_and_hung_up() {
    let (desk, simulator, _edge) = Desk::open(Agent::Echo, &[("/twilio/voice", STREAM)]);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let base = format!("{}/sim/calls", simulator.base_url());
    let script = json!({"from": CALLER, "to": NUMBER, "options": {"stays": true}});
    let placed: Value = client
        .post(&base)
        .json(&script)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let one = format!("{base}/{}", placed["sid"].as_str().expect("a sid"));
    desk.message("start").await;
    let hung_up = client.post(format!("{one}/hangup")).send().await.expect("an answer");
    assert_eq!(hung_up.status(), 204);
    let report = loop {
        let report: CallReport =
            client.get(&one).send().await.expect("an answer").json().await.expect("a report");
        if report.status.is_final() {
            break report;
        }
    };
    assert_eq!(report.ended_by.as_deref(), Some("caller"));
    let wav = client.get(format!("{one}/recording")).send().await.expect("an answer");
    assert!(wav.bytes().await.expect("a file").starts_with(b"RIFF"));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_calls_at_once_are_each_heard_whole() {
    let (_desk, simulator, _edge) = Desk::open(Agent::Echo, &[("/twilio/voice", STREAM)]);
    let calls = (0..20).map(|n| {
        let script = CallScript::new(&format!("+155501991{n:02}"), NUMBER, [format!("I am {n}")]);
        call(&simulator, script)
    });
    for (n, report) in futures::future::join_all(calls).await.iter().enumerate() {
        assert_eq!(report.texts(), [GREETING.to_owned(), format!("You said: I am {n}")]);
        assert!(report.heard.iter().all(|turn| turn.whole), "{:?}", report.heard);
    }
}

#[tokio::test]
async fn a_call_the_platform_places_is_picked_up_and_reported() {
    let (desk, simulator, _edge) = Desk::open(
        Agent::Echo,
        &[("/outbound", "<Response><Say>Your table is ready.</Say></Response>")],
    );
    let settings = &simulator.world.config.twilio;
    let url = format!(
        "{}/twilio/2010-04-01/Accounts/{}/Calls.json",
        simulator.base_url(),
        settings.account_sid
    );
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let create = |to: &'static str| {
        client
            .post(&url)
            .basic_auth(&settings.account_sid, Some(settings.auth_token.expose()))
            .form(&[
                ("To", to),
                ("From", NUMBER),
                ("Url", "https://desk.test/outbound"),
                ("StatusCallback", "https://desk.test/calls/status"),
                ("StatusCallbackEvent", "answered"),
                ("StatusCallbackEvent", "completed"),
            ])
            .send()
    };
    let refused = create("tomorrow").await.expect("an answer");
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json::<Value>().await.expect("JSON")["code"], 21211);

    let placed = create(CALLER).await.expect("an answer");
    assert_eq!(placed.status(), 201);
    let placed: Value = placed.json().await.expect("JSON");
    let handle = simulator.world.twilio.handle(placed["sid"].as_str().expect("a sid"));
    let report = handle.expect("the call").finished().await;
    assert_eq!(report.texts(), ["Your table is ready."]);
    assert_eq!(desk.requests("/outbound")[0]["Direction"], "outbound-api");
    let mut statuses: Vec<_> =
        desk.requests("/calls/status").iter().map(|form| form["CallStatus"].clone()).collect();
    statuses.sort();
    assert_eq!(statuses, ["completed", "in-progress"]);
}

#[tokio::test]
async fn a_text_message_is_taken_and_its_delivery_reported() {
    let (desk, simulator, _edge) = Desk::open(Agent::Echo, &[]);
    let settings = &simulator.world.config.twilio;
    let url = format!(
        "{}/twilio/2010-04-01/Accounts/{}/Messages.json",
        simulator.base_url(),
        settings.account_sid
    );
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let send = |body: String| {
        let callback = "https://desk.test/twilio/sms/status?event=e-1".to_owned();
        let form = [
            ("To", CALLER.to_owned()),
            ("From", NUMBER.to_owned()),
            ("Body", body),
            ("StatusCallback", callback),
        ];
        client
            .post(&url)
            .basic_auth(&settings.account_sid, Some(settings.auth_token.expose()))
            .form(&form)
            .send()
    };
    let long = send("a".repeat(1601)).await.expect("an answer");
    assert_eq!(long.json::<Value>().await.expect("JSON")["code"], 21617);
    let taken: Value =
        send("See you at 2".to_owned()).await.expect("an answer").json().await.expect("JSON");
    assert_eq!(taken["status"], "queued");
    let statuses = loop {
        let told = desk.requests("/twilio/sms/status?event=e-1");
        if told.len() == 2 {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(
        statuses.iter().all(|form| form["MessageSid"] == taken["sid"].as_str().expect("a sid"))
    );
    assert_eq!(
        (&*statuses[0]["MessageStatus"], &*statuses[1]["MessageStatus"]),
        ("sent", "delivered")
    );
    assert_eq!(simulator.world.twilio.messages()[0].body, "See you at 2");
}
