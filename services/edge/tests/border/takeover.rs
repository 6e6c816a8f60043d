//! A task whose host is gone without a word: its lease lapses, and its calls are another's (DESIGN 5).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bus::{Context, Destination, Handler, Outcome, Queue};
use cache::{Record, RecordingBlock, Sequel};
use domain::{
    CallEndReason, CallEnded, CallSid, ConversationId, Envelope, EventId, FinishRecording,
    Handover, MessageKind, MessageReceived, Payload, SentenceSpoken, Timestamp, Turn,
};
use serde_json::json;
use store::{
    conversations, messages,
    seed::DEMO,
    users::{self, Identity},
};
use tokio::sync::mpsc;

use crate::{
    edge_task::{EdgeTask, OUR_NUMBER, PATIENCE, PUBLIC_BASE, start_with},
    media_socket::{Voice, heard_events, heard_until_closed, open_signed, say, start_message},
    recording::Jobs,
    vendors::{call_form, new_call_sid, token_in, twilio_api, twilio_api_answering},
};

const GONE: &str = "edge-of-a-host-that-is-gone.fifo";
const HUMAN: &str = "+15550009999";

/// A call whose task died when its first turn had been taken.
async fn lost_call(edge: &EdgeTask) -> CallSid {
    lost_call_of(edge, Timestamp::now()).await
}

/// The same, of a call that began at `began_at`.
async fn lost_call_of(edge: &EdgeTask, began_at: Timestamp) -> CallSid {
    let call = CallSid::parse(&new_call_sid()).unwrap();
    edge.cache.attach_call(&call, 0, "gone:1", GONE, began_at).await.unwrap();
    assert!(edge.cache.note_turn(&call, "gone:1", Turn(1), "").await.unwrap());
    call
}

/// What is left in Redis of the recording of a call whose task is gone.
fn first_second() -> RecordingBlock {
    RecordingBlock {
        part: 0,
        block: 0,
        at: Some(0),
        paused: String::new(),
        caller: vec![0x20; 8_000],
        agent: vec![0x30; 8_000],
    }
}

/// The call comes back, and its caller listens until the stream is closed.
async fn comes_back(edge: &EdgeTask, call: &CallSid) {
    let form = call_form(call.as_str(), "+15551234567", OUR_NUMBER);
    let twiml = edge.twilio("/twilio/voice?attempt=1&turn=0", &form).await.1;
    let mut socket = open_signed(edge).await;
    say(&mut socket, &start_message(call.as_str(), token_in(&twiml))).await;
    heard_until_closed(&mut socket).await;
}

#[tokio::test]
async fn what_was_to_follow_a_reply_follows_it_though_its_task_is_gone() {
    let (base, mut asked) = twilio_api().await;
    let variables = [("TWILIO_API_BASE_URL", base.as_str()), ("TWILIO_ACCOUNT_SID", "AC1")];
    let Some(edge) = start_with(&variables).await else { return };
    edge.play(Queue::Speak, Arc::new(Voice));
    let human = Handover { to: HUMAN.into(), summary: "Ada asks for a person.".into() };
    for transfer in [None, Some(human)] {
        let call = lost_call(&edge).await;
        let conversation = ConversationId::of_call(DEMO, &call);
        let cache = &edge.cache;
        let attempt = cache.begin_turn(conversation, Turn(1)).await.unwrap().attempt;
        let said = [Record::Sentence(0, "Goodbye.")];
        cache.record(conversation, Turn(1), attempt, &said).await.unwrap();
        let sequel = Sequel { hang_up: transfer.is_none(), transfer: transfer.clone() };
        cache.finish_turn(conversation, Turn(1), attempt, "", &sequel).await.unwrap();
        comes_back(&edge, &call).await;
        if transfer.is_some() {
            let (path, form) = asked.recv().await.expect("Twilio is asked");
            assert!(path.contains(call.as_str()) && form.contains("15550009999"), "{form}");
        } else {
            let ended = edge.published_kind("CallEnded").await;
            let by_the_agent =
                |e: &domain::CallEnded| e.call == call && e.reason == CallEndReason::Agent;
            assert!(matches!(&ended.payload, Payload::CallEnded(e) if by_the_agent(e)));
        }
    }
    edge.stop().await;
}

/// Tells with which voice sentences are to be spoken.
struct Voices(mpsc::UnboundedSender<(CallSid, domain::Voice)>);

#[async_trait]
impl Handler for Voices {
    async fn handle(&self, _context: &Context, message: &Envelope) -> Outcome {
        if let Payload::SpeakSentence(job) = &message.payload {
            let _ = self.0.send((job.call.clone(), job.voice.clone()));
        }
        Outcome::Done
    }
}

#[tokio::test]
async fn the_rest_of_a_reply_is_spoken_in_the_voice_it_began_in() {
    let Some(edge) = start_with(&[]).await else { return };
    let (asked, mut voices) = mpsc::unbounded_channel();
    edge.play(Queue::Speak, Arc::new(Voices(asked)));
    let sql =
        "INSERT INTO agent_metadata (tenant, name, kind, config) VALUES ($1, 'amelie', 'task', $2)";
    let config =
        json!({"instructions": "Be brief.", "language": "fr-CA", "voice": "aura-2-agathe-fr"});
    edge.db.owner().await.execute(sql, &[DEMO.as_uuid(), &config]).await.expect("keep an agent");
    let call = lost_call(&edge).await;
    let (conversation, cache) = (ConversationId::of_call(DEMO, &call), &edge.cache);
    let attempt = cache.begin_turn(conversation, Turn(1)).await.unwrap().attempt;
    let choice = r#"{"agent": "amelie", "confidence": 0.9, "reason": "said so"}"#;
    let said = [Record::Value("choice", choice), Record::Sentence(0, "Bonjour.")];
    cache.record(conversation, Turn(1), attempt, &said).await.unwrap();
    let form = call_form(call.as_str(), "+15551234567", OUR_NUMBER);
    let twiml = edge.twilio("/twilio/voice?attempt=1&turn=0", &form).await.1;
    let mut socket = open_signed(&edge).await;
    say(&mut socket, &start_message(call.as_str(), token_in(&twiml))).await;
    let of_the_call = async {
        loop {
            let (of, voice) = voices.recv().await.expect("it is asked for");
            if of == call {
                return voice;
            }
        }
    };
    let voice = tokio::time::timeout(PATIENCE, of_the_call).await.expect("it is asked for");
    assert_eq!((&*voice.model, &*voice.language), ("aura-2-agathe-fr", "fr-CA"));
    edge.stop().await;
}

#[tokio::test]
async fn an_answer_that_never_comes_ends_with_an_apology_and_a_human() {
    let (base, mut asked) = twilio_api().await;
    let variables = [("TWILIO_API_BASE_URL", base.as_str()), ("TWILIO_ACCOUNT_SID", "AC1")];
    let Some(edge) = start_with(&variables).await else { return };
    edge.play(Queue::Speak, Arc::new(Voice));
    let call = lost_call(&edge).await;
    comes_back(&edge, &call).await;
    let (path, form) = asked.recv().await.expect("Twilio is asked");
    assert!(path.contains(call.as_str()), "{path}");
    assert!(form.contains("Dial") && form.contains("15550100009"), "{form}");
    edge.stop().await;
}

#[tokio::test]
async fn a_call_that_changes_hands_does_not_last_longer_for_it() {
    let Some(edge) = start_with(&[]).await else { return };
    edge.play(Queue::Speak, Arc::new(Voice));
    let half_an_hour_ago = Timestamp::from_micros(Timestamp::now().as_micros() - 30 * 60_000_000);
    let call = lost_call_of(&edge, half_an_hour_ago).await;
    comes_back(&edge, &call).await;
    let ended = edge.published_kind("CallEnded").await;
    assert!(
        matches!(&ended.payload, Payload::CallEnded(e) if e.reason == CallEndReason::TimeLimit)
    );
    edge.stop().await;
}

#[tokio::test]
async fn the_calls_of_a_lapsed_task_are_asked_to_come_back_those_that_are_elsewhere_are_not() {
    let (base, mut asked) = twilio_api().await;
    let variables = [("TWILIO_API_BASE_URL", base.as_str()), ("TWILIO_ACCOUNT_SID", "AC1")];
    let Some(edge) = start_with(&variables).await else { return };
    let cache = &edge.cache;
    let (call, moved) = (new_call_sid(), new_call_sid());
    let (call, moved) = (CallSid::parse(&call).unwrap(), CallSid::parse(&moved).unwrap());
    for held in [&call, &moved] {
        let now = Timestamp::now();
        cache.attach_call(held, 0, "gone:1", GONE, now).await.unwrap();
        cache.add_call_of_edge(GONE, held).await.unwrap();
    }
    // That one has come back by itself.
    cache.attach_call(&moved, 1, "other:1", "edge-other.fifo", Timestamp::now()).await.unwrap();
    cache.renew_edge_lease(GONE, Duration::from_millis(1)).await.unwrap();

    let update = tokio::time::timeout(PATIENCE, asked.recv()).await;
    let (path, form) = update.expect("the call is taken over").unwrap();
    assert_eq!(path, format!("/2010-04-01/Accounts/AC1/Calls/{call}.json"));
    let form: Vec<(String, String)> = serde_urlencoded::from_str(&form).unwrap();
    let [(name, document)] = &form[..] else { panic!("{form:?}") };
    assert_eq!(name, "Twiml");
    let back = format!("{PUBLIC_BASE}/twilio/voice?attempt=1&amp;turn=0#rc=5&amp;rp=ct,rt,5xx");
    assert!(
        document.contains(&format!("<Redirect method=\"POST\">{back}</Redirect>")),
        "{document}"
    );
    // What the task that is gone still says does not count.
    let stale = cache.note_speaking(&call, "gone:1", domain::Turn(9)).await.unwrap();
    assert!(!stale);

    let forgotten = async {
        while !cache.calls_of_edge(GONE).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("nothing is left to take over");
    assert!(asked.try_recv().is_err(), "a call that is elsewhere is left alone");
    edge.stop().await;
}

/// Redis was away when its last turns were to be noted.
#[tokio::test]
async fn a_call_that_comes_back_goes_on_behind_the_last_turn_that_is_recorded() {
    let Some(edge) = start_with(&[]).await else { return };
    let call = lost_call(&edge).await;
    let conversation = ConversationId::of_call(DEMO, &call);
    let said = MessageReceived {
        from: "+15551234567".into(),
        to: OUR_NUMBER.into(),
        text: "orange".into(),
        kind: MessageKind::Speech,
        external_id: String::new(),
        profile_name: None,
        bsuid: None,
        heard: None,
        call: Some(call.clone()),
        quotes: None,
        referral: None,
        gathered: false,
        speech: None,
    };
    let (id, now) = (EventId::random(), Timestamp::now());
    let event =
        Envelope::new(id, DEMO, conversation, call.channel(), now, said.clone()).with_turn(Turn(3));
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let known_by = Identity::phone(&said.from).unwrap();
    let user = users::note(&tx, &[known_by], None, now).await.unwrap();
    conversations::note(&tx, &event, Some(OUR_NUMBER), user).await.unwrap();
    messages::received(&tx, &event, &said).await.unwrap();
    tx.commit().await.unwrap();

    let form = call_form(call.as_str(), "+15551234567", OUR_NUMBER);
    let twiml = edge.twilio("/twilio/voice?attempt=1&turn=0", &form).await.1;
    let mut socket = open_signed(&edge).await;
    say(&mut socket, &start_message(call.as_str(), token_in(&twiml))).await;
    for digit in ["4", "#"] {
        let key = json!({"event": "dtmf", "streamSid": "MZ1", "sequenceNumber": "2",
            "dtmf": {"track": "inbound_track", "digit": digit}});
        say(&mut socket, &key).await;
    }
    let taken = edge.published_kind("MessageReceived").await;
    assert_eq!(taken.turn, Turn(4), "turn 3 is another");
    edge.stop().await;
}

#[tokio::test]
async fn a_call_that_redis_was_not_told_of_is_known_to_other_tasks_once_redis_is_back() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(edge) = start_with(&[]).await else { return };
    let call = CallSid::parse(&new_call_sid()).unwrap();
    let form = call_form(call.as_str(), "+15551234567", OUR_NUMBER);
    let twiml = edge.twilio("/twilio/voice", &form).await.1;
    let key = format!("{}:{{{call}}}:call", edge.prefix);
    // What is to be noted of the call fails, as in an outage.
    stores.redis(&format!("SET {key} x")).await;
    let mut socket = open_signed(&edge).await;
    say(&mut socket, &start_message(call.as_str(), token_in(&twiml))).await;
    edge.published_kind("CallStarted").await;
    assert!(edge.cache.call_record(&call).await.is_err());
    stores.redis(&format!("DEL {key}")).await;
    let known = async {
        while edge.cache.call_record(&call).await.unwrap().began_at.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.expect("told once more");
    assert!(edge.cache.edge_of(&call).await.unwrap().is_some());
    edge.stop().await;
}

/// The task is gone while it waited for S3 to take the last of a recording.
#[tokio::test]
async fn what_a_lost_task_had_still_to_publish_of_a_call_that_was_over_is_published() {
    let Some(edge) = start_with(&[]).await else { return };
    let (jobs, mut finished) = tokio::sync::mpsc::unbounded_channel();
    edge.play(Queue::Jobs, Arc::new(Jobs(jobs)));
    let cache = &edge.cache;
    let call = lost_call(&edge).await;
    cache.end_call(&call, Some("gone:1")).await.unwrap();
    cache.keep_recording(&call, &[first_second()]).await.unwrap();
    let conversation = ConversationId::of_call(DEMO, &call);
    let started_at = Timestamp::now();
    let message = |name: &str, payload: Payload| {
        let id = EventId::from_uuid(conversation.derive(name));
        let event = Envelope::new(id, DEMO, conversation, call.channel(), started_at, payload);
        wire::to_body(&wire::encode(&event))
    };
    let heard = None;
    let reason = CallEndReason::Caller;
    let ended = CallEnded { call: call.clone(), reason, started_at, heard };
    let finish = FinishRecording { call: call.clone(), started_at, parts: 0 };
    let messages = [message("call-ended", ended.into()), message("finish", finish.into())];
    cache.note_ending(GONE, &call, &messages.join("\n")).await.unwrap();
    cache.renew_edge_lease(GONE, Duration::from_millis(1)).await.unwrap();

    let job = tokio::time::timeout(PATIENCE, finished.recv()).await;
    assert_eq!(job.expect("its recording is finished").unwrap().call, call);
    let over = edge.published_kind("CallEnded").await;
    assert!(matches!(&over.payload, Payload::CallEnded(e) if e.call == call));
    let settled = async {
        while !cache.endings_of_edge(GONE).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("once");
    edge.stop().await;
}

#[tokio::test]
async fn a_call_that_went_on_elsewhere_is_not_ended_by_what_its_lost_task_had_noted() {
    let Some(edge) = start_with(&[]).await else { return };
    let cache = &edge.cache;
    let call = lost_call(&edge).await;
    cache.attach_call(&call, 1, "other:1", "edge-other.fifo", Timestamp::now()).await.unwrap();
    let (reason, started_at) = (CallEndReason::Caller, Timestamp::now());
    let ended = CallEnded { call: call.clone(), reason, started_at, heard: None };
    let conversation = ConversationId::of_call(DEMO, &call);
    let event =
        Envelope::new(EventId::random(), DEMO, conversation, call.channel(), started_at, ended);
    let noted = wire::to_body(&wire::encode(&event));
    cache.note_ending(GONE, &call, &noted).await.unwrap();
    cache.renew_edge_lease(GONE, Duration::from_millis(1)).await.unwrap();
    let forgotten = async {
        while !cache.endings_of_edge(GONE).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("it is forgotten");
    edge.assert_nothing_published().await;
    edge.stop().await;
}

/// The caller hung up when the task died, and the vendor's callback came to nobody.
#[tokio::test]
async fn a_call_that_was_over_before_its_lost_task_knew_is_ended_and_its_recording_finished() {
    let told = json!({"code": 21_220, "message": "Call is not in-progress.", "status": 400});
    let (base, _asked) = twilio_api_answering(400, told).await;
    let variables = [("TWILIO_API_BASE_URL", base.as_str()), ("TWILIO_ACCOUNT_SID", "AC1")];
    let Some(edge) = start_with(&variables).await else { return };
    let (jobs, mut finished) = tokio::sync::mpsc::unbounded_channel();
    edge.play(Queue::Jobs, Arc::new(Jobs(jobs)));
    let cache = &edge.cache;
    let call = lost_call(&edge).await;
    assert!(cache.note_tenant(&call, "gone:1", DEMO).await.unwrap());
    cache.keep_recording(&call, &[first_second()]).await.unwrap();
    cache.add_call_of_edge(GONE, &call).await.unwrap();
    cache.renew_edge_lease(GONE, Duration::from_millis(1)).await.unwrap();

    let job = tokio::time::timeout(PATIENCE, finished.recv()).await;
    assert_eq!(job.expect("its recording is finished").unwrap().call, call);
    let over = edge.published_kind("CallEnded").await;
    assert!(matches!(&over.payload, Payload::CallEnded(e) if e.call == call));
    edge.stop().await;
}

#[tokio::test]
async fn a_task_that_an_operator_asks_to_hand_over_ends_by_itself() {
    let Some(edge) = start_with(&[]).await else { return };
    let mut alive = edge.cache.edges().await.unwrap();
    let until = tokio::time::Instant::now() + PATIENCE;
    while alive.is_empty() && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
        alive = edge.cache.edges().await.unwrap();
    }
    let [(queue, true)] = &alive[..] else { panic!("{alive:?}") };
    edge.cache.ask_edge_to_stop(queue).await.unwrap();
    while !edge.cache.edges().await.unwrap().is_empty() {
        assert!(tokio::time::Instant::now() < until, "it goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    edge.stop().await;
}

#[tokio::test]
async fn what_belongs_to_a_turn_that_is_over_is_not_taken_for_the_reply_that_is_due() {
    let Some(edge) = start_with(&[]).await else { return };
    let call = lost_call(&edge).await;
    assert!(edge.cache.note_turn(&call, "gone:1", Turn(2), "").await.unwrap());
    let form = call_form(call.as_str(), "+15551234567", OUR_NUMBER);
    let twiml = edge.twilio("/twilio/voice?attempt=1&turn=0", &form).await.1;
    let mut socket = open_signed(&edge).await;
    say(&mut socket, &start_message(call.as_str(), token_in(&twiml))).await;
    let started = edge.published_kind("CallStarted").await;
    let own_queue = Destination::Task(started.reply_to.clone().unwrap());
    for (turn, attempt, code) in [(1, 7, 0x31), (2, 9, 0x32)] {
        let spoken = SentenceSpoken {
            call: call.clone(),
            attempt,
            index: 0,
            text: "Good day.".into(),
            result: Ok(vec![code; 1_600]),
            part: 0,
            more: false,
        };
        let answer =
            Envelope { event_id: EventId::random(), payload: spoken.into(), ..started.clone() };
        edge.bus.send(&own_queue, &[answer.with_turn(Turn(turn))]).await.unwrap();
    }
    let events = heard_events(&mut socket, "media").await;
    let payload = events.last().unwrap()["media"]["payload"].as_str().unwrap();
    assert_eq!(STANDARD.decode(payload).unwrap()[0], 0x32, "what answers the last turn");
    edge.stop().await;
}
