//! The targets. Beside not panicking, each says what must hold of whatever was understood.

use std::sync::{Arc, LazyLock};

use actix_web::http::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cache::Cache;
use domain::{Address, AddressMode, CallSid, Channel, TenantId, TenantSettings, Timestamp};
use edge::{
    api::{
        read::{Page, Query},
        token::TokenVerifier,
        twilio,
        write::OutsideFault,
    },
    call::{
        state::CallStates,
        token::{StreamClaims, StreamTokens},
        wire as media,
    },
    channel::{
        ChannelAdapter, Notice, VendorRequest,
        browser::Browser,
        email,
        twilio_sms::{self, SmsSettings, TwilioSms},
        twilio_voice::{self, Place, Transfers, TwilioSettings, TwilioVoice, WrittenReplies},
        whatsapp::{WhatsApp, WhatsAppSettings, graph},
    },
    directory::Directory,
    guard::signatures,
};
use futures::FutureExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use orchestrator::sse::EventParser;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use vault::RotatingSecret;

use crate::{
    input::{first_line, status_in},
    model_answers, speech_answers,
};

/// One parser, fed with bytes.
pub struct Target {
    /// Its name, and its corpus's.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "media-frame", run: media_frame },
    Target { name: "stream-token", run: stream_token },
    Target { name: "twilio-webhook", run: twilio_webhook },
    Target { name: "twilio-signature", run: twilio_signature },
    Target { name: "twilio-answer", run: twilio_answer },
    Target { name: "gather-place", run: gather_place },
    Target { name: "sms-webhook", run: sms_webhook },
    Target { name: "whatsapp-webhook", run: whatsapp_webhook },
    Target { name: "talk-session", run: talk_session },
    Target { name: "envelope", run: envelope },
    Target { name: "model-stream", run: model_stream },
    Target { name: "openai-answer", run: model_answers::openai_answer },
    Target { name: "bedrock-answer", run: model_answers::bedrock_answer },
    Target { name: "sonic-answer", run: model_answers::sonic_answer },
    Target { name: "tool-arguments", run: model_answers::tool_arguments },
    Target { name: "embeddings-answer", run: model_answers::embeddings_answer },
    Target { name: "deepgram-answer", run: speech_answers::deepgram_answer },
    Target { name: "openai-transcript", run: speech_answers::openai_transcript },
    Target { name: "transcribe-events", run: speech_answers::transcribe_events },
    Target { name: "polly-answer", run: speech_answers::polly_answer },
    Target { name: "spoken-audio", run: speech_answers::spoken_audio },
    Target { name: "twiml", run: twiml },
    Target { name: "graph-answer", run: graph_answer },
    Target { name: "ses-answer", run: ses_answer },
    Target { name: "api-query", run: api_query },
    Target { name: "api-token", run: api_token },
];

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const KEY: &str = "key-of-the-fuzzer";
const BASE: &str = "https://desk.example.com";
const NUMBER: &str = "+15550100001";
const WHATSAPP: &str = "106540352242922";

/// Adapters that know one tenant, and ask nobody.
struct Adapters {
    twilio: TwilioVoice,
    sms: TwilioSms,
    whatsapp: WhatsApp,
    browser: Browser,
}

static ADAPTERS: LazyLock<Adapters> = LazyLock::new(|| {
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    let address = |channel: Channel, address: &str, mode| Address {
        channel,
        address: address.to_owned(),
        display: None,
        tenant,
        mode,
        credentials: None,
    };
    let directory = Arc::new(Directory::holding(
        vec![
            address(Channel::VOICE, NUMBER, AddressMode::MediaStream),
            address(Channel::SMS, NUMBER, AddressMode::Chat),
            address(Channel::WHATSAPP, WHATSAPP, AddressMode::Chat),
            address(Channel::BROWSER, "demo", AddressMode::MediaStream),
        ],
        vec![TenantSettings { tenant, ..TenantSettings::default() }],
    ));
    // Only the first one counts; there may be one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let secret = || Arc::new(RotatingSecret::fixed(KEY));
    #[expect(clippy::expect_used, reason = "nothing of it depends on the input")]
    let (cache, http) = (
        // Never reached: a call's first webhook asks Redis nothing.
        Cache::connect("redis://127.0.0.1:1", "fuzz").expect("a URL of Redis"),
        reqwest::Client::builder().build().expect("an HTTP client"),
    );
    let tokens = Arc::new(tokens());
    let twilio = TwilioSettings { public_base_url: BASE.into(), auth_token: secret() };
    let whatsapp = WhatsAppSettings {
        api_base_url: BASE.into(),
        api_version: "v26.0".into(),
        access_token: secret(),
        app_secret: secret(),
        verify_token: secret(),
        messages_per_second: 80,
    };
    let replies = Arc::new(WrittenReplies::new(cache.clone(), "nobody's".into()));
    let states = CallStates::new(cache.clone());
    let transfers = Transfers::new(cache, http.clone(), BASE.into(), None, twilio.clone());
    let sms = SmsSettings { api_base_url: BASE.into(), account_sid: None };
    Adapters {
        sms: TwilioSms::new(sms, twilio.clone(), directory.clone(), http.clone()),
        twilio: TwilioVoice::new(
            twilio,
            directory.clone(),
            tokens.clone(),
            states,
            replies,
            transfers,
        ),
        whatsapp: WhatsApp::new(whatsapp, directory.clone(), http),
        browser: Browser::new(BASE.into(), directory, tokens),
    }
});

fn tokens() -> StreamTokens {
    StreamTokens::new(vec![KEY.as_bytes().to_vec()])
}

fn request(
    path: &str,
    query: &str,
    body: &[u8],
    headers: &[(&'static str, &str)],
) -> VendorRequest {
    let header = |(name, value): &(&'static str, &str)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
    };
    VendorRequest {
        method: Method::POST,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.iter().filter_map(header).collect::<HeaderMap>(),
        body: body.to_vec().into(),
        source: [127, 0, 0, 1].into(),
        received_at: NOW,
    }
}

/// Receives a request that needs no signature, or has one. What it tells belongs to the one tenant there is.
fn receive(adapter: &dyn ChannelAdapter, request: &VendorRequest) {
    // Where it had to wait, it would ask somebody.
    let Some(Ok(reception)) = adapter.receive(request).now_or_never() else { return };
    for notice in &reception.notices {
        let event = match notice {
            Notice::Person { event, .. } => event.as_deref(),
            Notice::Delivery { event, .. } | Notice::CallOver(event) => Some(&**event),
        };
        let Some(event) = event else { continue };
        assert_eq!(event.tenant, TenantId::from_uuid(Uuid::from_u128(1)));
        let written = wire::encode(event);
        assert!(wire::decode(&written).is_ok(), "the other services must be able to read it");
    }
}

fn media_frame(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(media::StreamEvent::Media { payload, .. }) = media::read(text) {
        let again = media::media("MZ1", &payload);
        assert!(matches!(
            media::read(&again),
            Ok(media::StreamEvent::Media { payload: read, .. }) if read == payload
        ));
    }
}

/// The input is a token, and then what stands in one of ours.
fn stream_token(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let tokens = tokens();
    assert!(tokens.open(text, NOW).is_err(), "nobody guesses a token");
    let mut claims = StreamClaims {
        tenant: TenantId::from_uuid(Uuid::from_u128(1)),
        call: CallSid::of_browser(Uuid::from_u128(2)),
        from: text.into(),
        to: text.to_owned(),
        attempt: input.len() as u32,
    };
    let opened = tokens.open(&tokens.issue(&claims, NOW), NOW).map(|opened| opened.claims);
    if text.chars().count() > 100 {
        // Longer than any caller's number.
        claims.from = "anonymous".into();
    }
    assert_eq!(opened, Ok(claims));
}

/// A form as Twilio posts it. The first line is the query, the rest the form.
fn form_request(path: &str, input: &[u8]) -> VendorRequest {
    let (query, body) = first_line(input);
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    ];
    request(path, &String::from_utf8_lossy(query), body, &headers)
}

fn twilio_webhook(input: &[u8]) {
    for path in ["/twilio/voice", "/twilio/voice/collect", "/twilio/voice/status"] {
        let form = form_request(path, input);
        assert!(ADAPTERS.twilio.validate(&form).is_err(), "nobody guesses a signature");
        let _ = ADAPTERS.twilio.repeat_key(&form);
        // A call that comes back asks Redis where it stood; here there is none.
        receive(&ADAPTERS.twilio, &VendorRequest { query: String::new(), ..form });
    }
}

/// The first line is the signature, the second the URL, the rest the body.
fn twilio_signature(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (signature, url, body) = (next(), next(), next());
    let keys = [KEY.as_bytes()];
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    let params = signatures::form_params(pairs.map(|(n, v)| (n.to_owned(), v.to_owned())));
    let valid = signatures::twilio_form(&keys, url, &params, signature)
        || signatures::twilio_json(&keys, url, body.as_bytes(), signature)
        || signatures::twilio_handshake(&keys, url, signature)
        || signatures::meta(&keys, body.as_bytes(), signature);
    assert!(!valid, "nobody guesses a signature");
}

/// The first line is the HTTP status, the rest what the REST API answers.
fn twilio_answer(input: &[u8]) {
    let (status, answer) = first_line(input);
    let status = status_in(status);
    let is_done = (200..300).contains(&status);
    if let Ok(sid) = twilio_sms::read_answer(status, answer) {
        assert!(is_done && !sid.is_empty(), "only what Twilio has taken counts as sent");
    }
    match twilio::read_started(status, answer) {
        Ok(_) => assert!(is_done, "no call begins with a refusal"),
        Err(OutsideFault::Nothing(_)) => assert!(!is_done && status < 500, "a phone may ring"),
        Err(OutsideFault::InDoubt(_)) => assert!(is_done || status >= 500),
    }
    let refused = twilio_voice::read_refusal(status, answer).to_string();
    assert!(refused.len() < 80, "no more is kept than a code: {refused}");
}

/// The query by which Twilio comes back to a call without a media stream.
fn gather_place(input: &[u8]) {
    let Ok(query) = std::str::from_utf8(input) else { return };
    let Ok(place) = Place::read(query) else { return };
    let url = place.url("/desk");
    // The fragment is not sent.
    let query = url.split_once('?').and_then(|(_, rest)| rest.split_once('#'));
    assert_eq!(query.map(|(query, _)| Place::read(query)), Some(Ok(place)));
    assert_ne!(place.next(), place);
}

fn sms_webhook(input: &[u8]) {
    for path in ["/twilio/sms", "/twilio/sms/status"] {
        let form = form_request(path, input);
        assert!(ADAPTERS.sms.validate(&form).is_err(), "nobody guesses a signature");
        receive(&ADAPTERS.sms, &form);
    }
}

fn whatsapp_webhook(input: &[u8]) {
    receive(&ADAPTERS.whatsapp, &request("/webhooks/whatsapp", "", input, &[]));
}

/// The first line is the page's origin, the rest the body.
fn talk_session(input: &[u8]) {
    let (origin, body) = first_line(input);
    let origin = String::from_utf8_lossy(origin);
    let asked =
        request("/talk/session", "", body, &[("host", "desk.example.com"), ("origin", &origin)]);
    let _ = ADAPTERS.browser.validate(&asked);
    receive(&ADAPTERS.browser, &asked);
}

/// A message's body from a queue, and the bytes in it.
fn envelope(input: &[u8]) {
    if let Ok(body) = std::str::from_utf8(input) {
        let _ = wire::from_body(body).map(|bytes| wire::decode(&bytes));
    }
    let body = wire::to_body(input);
    assert_eq!(wire::from_body(&body).ok().as_deref(), Some(input));
    if let Ok(wire::Decoded::Whole(envelope)) = wire::decode(input) {
        // Times and fields of later releases may be lost; what is left stays.
        let once = wire::encode(&envelope);
        let Ok(wire::Decoded::Whole(again)) = wire::decode(&once) else {
            panic!("what was decoded encodes to what cannot be")
        };
        assert_eq!(wire::encode(&again), once);
    }
}

/// However the bytes are cut, the events are the same.
fn model_stream(input: &[u8]) {
    let whole = events_in(&[input]);
    let middle = input.len() / 2;
    assert_eq!(events_in(&[&input[..middle], &input[middle..]]), whole);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(events_in(&bytes), whole);
}

fn events_in(pieces: &[&[u8]]) -> Option<Vec<String>> {
    let mut parser = EventParser::default();
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(parser.push(piece).ok()?);
    }
    events.extend(parser.finish());
    Some(events)
}

fn twiml(input: &[u8]) {
    let Ok(document) = std::str::from_utf8(input) else { return };
    let _ = simulator::twilio::twiml::parse(document);
}

/// The first line is the HTTP status, the rest the answer.
fn graph_answer(input: &[u8]) {
    let (status, body) = first_line(input);
    let status = status_in(status);
    if let Ok(id) = graph::read_answer(status, body) {
        assert!(status == 200 && !id.is_empty(), "only what Meta has taken counts as sent");
    }
}

/// The first line is the HTTP status, the second the kind of error, the rest the answer.
fn ses_answer(input: &[u8]) {
    let (status, rest) = first_line(input);
    let (kind, body) = first_line(rest);
    let status = status_in(status);
    if let Ok(id) = email::read_answer(status, &String::from_utf8_lossy(kind), body) {
        assert!((200..300).contains(&status) && !id.is_empty(), "only what SES has taken counts");
    }
}

fn api_query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(mut query) = Query::read(text) else { return };
    if let Ok((_, Some(place))) = query.page() {
        let page = Page::of(vec![place, place], 1, |place| *place, |place| place);
        let next = page.next_cursor.unwrap_or_default();
        let again = Query::read(&format!("cursor={next}")).and_then(|mut query| query.page());
        assert!(matches!(again, Ok((_, Some(again))) if again == place));
    }
    let _ = query.moment("from");
    let _ = query.id("agent");
    let _ = query.number("minutes", 1..=60);
    let _ = query.choice("status", &["booked", "cancelled"]);
    if let Ok(Some(text)) = query.text("text") {
        assert!(!text.contains('\0'), "PostgreSQL takes no such text");
    }
    let _ = query.end();
}

/// A token; and the header and the claims of one that is signed: the first line and the rest.
fn api_token(input: &[u8]) {
    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    static VERIFIER: LazyLock<TokenVerifier> = LazyLock::new(|| {
        let secret = URL_SAFE_NO_PAD.encode(SECRET);
        let keys = format!(r#"{{"keys":[{{"kty":"oct","kid":"a","k":"{secret}"}}]}}"#);
        let keys = Some(Arc::new(RotatingSecret::fixed(&keys)));
        #[expect(clippy::expect_used, reason = "nothing of it depends on the input")]
        TokenVerifier::new(keys, BASE.into(), "switchboard".into()).expect("a key of ours")
    });
    let text = String::from_utf8_lossy(input);
    assert!(VERIFIER.check(&text).is_none(), "nobody guesses a token");
    let (header, claims) = text.split_once('\n').unwrap_or_default();
    let mut token =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET) else { return };
    mac.update(token.as_bytes());
    token = format!("{token}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    if VERIFIER.check(&token).is_some() {
        for must_be_there in ["exp", "iss", "aud", "sub", "tenant", "role"] {
            assert!(claims.contains(must_be_there) || claims.contains('\\'), "{claims}");
        }
    }
}

/// A short name for an input.
pub fn digest(input: &[u8]) -> String {
    hex::encode(&Sha256::digest(input)[..8])
}
