//! Calls without a media stream (A3), with an orchestrator played by the test.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bus::{Bus, Context, Destination, Handler, Outcome, Queue};
use domain::{
    CallEndReason, CallSid, Envelope, Handover, Heard, MessageReceived, Payload, ReplyWritten,
    Stage, Timestamp, TransferStatus, Turn,
};

use crate::{
    edge_task::{EdgeTask, OUR_GATHER_NUMBER, OUR_NUMBER, PUBLIC_BASE, start},
    vendors::{Answered, call_form, form_signature, new_call_sid},
};

const CALLER: &str = "+15551234567";
const HUMAN: &str = "+15550100009";
const COLLEAGUE: &str = "sip:ana@desk.example.com;transport=tls";
const GREETING: &str = "Thank you for calling Maple Dental. How can I help you today?";
/// What a vendor waits for at most here; our own bar is 2 s.
const WAITS: u32 = 4;

/// Answers what it is asked: repeats the words, says goodbye to a goodbye, and nothing to "silence".
struct Agent {
    bus: Bus,
    asked: Mutex<Vec<(Turn, MessageReceived)>>,
}

#[async_trait]
impl Handler for Agent {
    async fn handle(&self, _context: &Context, message: &Envelope) -> Outcome {
        let Payload::MessageReceived(asked) = &message.payload else { return Outcome::Done };
        self.asked.lock().unwrap().push((message.turn, asked.clone()));
        let words = asked.text.reveal();
        if words == "silence" {
            return Outcome::Done;
        }
        let reply = ReplyWritten {
            call: asked.call.clone().unwrap(),
            attempt: 7,
            text: format!("You said <{words}> & more.").into(),
            hang_up: words == "goodbye",
            transfer: ["a person", "a colleague"].contains(&words).then(|| Handover {
                to: if words == "a person" { HUMAN } else { COLLEAGUE }.into(),
                summary: "Ana & Ben asked for a person.".into(),
            }),
            language: (words == "bonjour").then(|| "fr-CA".into()),
        };
        let job = message.follow("reply-written:7", Timestamp::now(), reply);
        let to = Destination::Task(message.reply_to.clone().unwrap());
        self.bus.send(&to, &[job]).await.unwrap();
        Outcome::Done
    }
}

impl Agent {
    fn at(edge: &EdgeTask) -> Arc<Self> {
        let agent = Arc::new(Self { bus: edge.bus.clone(), asked: Mutex::default() });
        edge.play(Queue::Orchestrator, agent.clone());
        agent
    }

    fn asked(&self) -> Vec<(Turn, MessageReceived)> {
        self.asked.lock().unwrap().clone()
    }
}

/// A call as Twilio holds it.
struct Line<'a> {
    edge: &'a EdgeTask,
    sid: String,
}

impl<'a> Line<'a> {
    fn new(edge: &'a EdgeTask) -> Self {
        Self { edge, sid: new_call_sid() }
    }

    async fn post(&self, path: &str, more: &[(&str, &str)]) -> String {
        let mut form = call_form(&self.sid, CALLER, OUR_GATHER_NUMBER);
        form.extend(more.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let Answered(status, twiml) = self.edge.twilio(path, &form).await;
        assert_eq!(status, 200, "{twiml}");
        twiml
    }

    async fn says(&self, path: &str, words: &str) -> String {
        self.post(path, &[("SpeechResult", words), ("Confidence", "0.9")]).await
    }
}

/// Where the document goes on, as it is requested: unescaped, without its fragment.
fn next(twiml: &str) -> String {
    let from = twiml.find("/twilio/voice/collect").expect("a way on");
    let url = twiml[from..].split(['"', '<']).next().unwrap();
    url.split('#').next().unwrap().replace("&amp;", "&")
}

#[tokio::test]
async fn a_call_goes_turn_by_turn_to_its_end() {
    let Some(edge) = start().await else { return };
    let agent = Agent::at(&edge);
    let line = Line::new(&edge);
    let greeted = line.post("/twilio/voice", &[]).await;
    assert!(greeted.contains(&format!("<Say language=\"en-US\">{GREETING}</Say>")), "{greeted}");
    assert!(greeted.contains(r#"<Gather input="dtmf speech""#), "{greeted}");
    assert!(greeted.contains(r#"actionOnEmptyResult="true""#), "{greeted}");
    assert_eq!(next(&greeted), "/twilio/voice/collect?turn=1");

    let answered = line.says(&next(&greeted), "a booking").await;
    assert!(answered.contains("You said &lt;a booking&gt; &amp; more."), "{answered}");
    assert_eq!(next(&answered), "/twilio/voice/collect?turn=2");
    let keyed = line.post(&next(&answered), &[("Digits", "12")]).await;
    let ended = line.says(&next(&keyed), "goodbye").await;
    assert!(ended.contains("</Say><Hangup/></Response>"), "{ended}");
    assert!(!ended.contains("<Gather"), "{ended}");
    // It is over, and not revived.
    let late = line.says("/twilio/voice/collect?turn=9", "hello?").await;
    assert_eq!(late, "<Response><Hangup/></Response>");

    let texts: Vec<_> = agent.asked().iter().map(|(_, m)| m.text.reveal().to_owned()).collect();
    assert_eq!(texts, ["a booking", "12", "goodbye"]);
    let (turn, first) = agent.asked().remove(0);
    assert_eq!((turn, first.gathered), (Turn(1), true));
    let heard = |turn, text: &str| Heard { turn: Turn(turn), text: text.into(), complete: true };
    assert_eq!(first.heard, Some(heard(0, GREETING)));
    let started = edge.published_kind("CallStarted").await;
    assert_eq!(first.call.as_ref().map(CallSid::as_str), Some(line.sid.as_str()));
    let timed = edge.published_kind("TurnTimed").await;
    let stages: Vec<_> = timed.stages.iter().map(|s| s.name.as_ref()).collect();
    assert_eq!(stages, [Stage::TURN_ENDED, Stage::FIRST_AUDIO_OUT]);
    let over = edge.published_kind("CallEnded").await;
    assert_eq!(over.conversation, started.conversation);
    let Payload::CallEnded(over) = over.payload else { unreachable!() };
    assert_eq!(over.reason, CallEndReason::Agent);
    assert_eq!(over.heard, Some(heard(3, "You said <goodbye> & more.")));
}

#[tokio::test]
async fn a_reply_that_is_late_is_waited_for_by_redirect_at_whichever_task() {
    let Some(edge) = start().await else { return };
    let agent = Agent::at(&edge);
    let line = Line::new(&edge);
    let greeted = line.post("/twilio/voice", &[]).await;
    let patience = line.says(&next(&greeted), "silence").await;
    assert!(patience.contains("One moment, please.</Say><Redirect"), "{patience}");
    assert_eq!(next(&patience), "/twilio/voice/collect?turn=1&wait=1");
    // Another task got the reply, and keeps it where all find it.
    let reply = ReplyWritten {
        call: CallSid::parse(&line.sid).unwrap(),
        attempt: 3,
        text: "Here I am.".into(),
        hang_up: false,
        transfer: None,
        language: None,
    };
    edge.cache.keep_reply(Turn(1), &reply).await.unwrap();
    let answered = line.post(&next(&patience), &[]).await;
    assert!(answered.contains("Here I am."), "{answered}");
    assert_eq!(next(&answered), "/twilio/voice/collect?turn=2");
    line.says(&next(&answered), "thanks").await;
    let heard = agent.asked().pop().unwrap().1.heard.unwrap();
    assert_eq!((heard.turn, heard.text.reveal(), heard.complete), (Turn(1), "Here I am.", true));
}

#[tokio::test]
async fn who_talks_to_an_agent_of_another_language_is_spoken_to_and_recognised_in_it() {
    let Some(edge) = start().await else { return };
    let _agent = Agent::at(&edge);
    let line = Line::new(&edge);
    let greeted = line.post("/twilio/voice", &[]).await;
    assert_eq!(greeted.matches(r#"language="en-US""#).count(), 2, "{greeted}");
    let french = line.says(&next(&greeted), "bonjour").await;
    assert_eq!(french.matches(r#"language="fr-CA""#).count(), 2, "{french}");
    // Silence is asked about in the tenant's words, wherever that comes to; the answer may be French.
    let call = CallSid::parse(&line.sid).unwrap();
    let reply = ReplyWritten {
        call,
        attempt: 7,
        text: "Bonjour.".into(),
        hang_up: false,
        transfer: None,
        language: Some("fr-CA".into()),
    };
    edge.cache.keep_reply(Turn(1), &reply).await.unwrap();
    let asked = line.post(&next(&french), &[]).await;
    assert!(asked.contains(r#"language="fr-CA" actionOnEmptyResult"#), "{asked}");
    assert!(asked.contains(r#"language="en-US">"#), "{asked}");
}

#[tokio::test]
async fn a_reply_that_never_comes_ends_in_an_apology_and_a_human_is_asked_for() {
    let Some(edge) = start().await else { return };
    let agent = Agent::at(&edge);
    let line = Line::new(&edge);
    let greeted = line.post("/twilio/voice", &[]).await;
    let mut twiml = line.says(&next(&greeted), "silence").await;
    for _ in 1..WAITS {
        twiml = line.post(&next(&twiml), &[]).await;
        assert!(twiml.contains("<Pause") && twiml.contains("<Redirect"), "{twiml}");
    }
    twiml = line.post(&next(&twiml), &[]).await;
    assert!(twiml.contains("I am sorry, this is taking too long."), "{twiml}");
    assert!(twiml.contains(&format!(">{HUMAN}</Number></Dial>")), "{twiml}");
    let back = dialled(&twiml);
    assert_eq!(back, "/twilio/voice/transferred?turn=2&unheard=1");
    let returned = line.post(&back, &[("DialCallStatus", "no-answer")]).await;
    assert!(returned.contains("Nobody could take the call just now."), "{returned}");
    assert_eq!(next(&returned), "/twilio/voice/collect?turn=2&unheard=1");
    line.says(&next(&returned), "are you there").await;
    let (turn, last) = agent.asked().pop().unwrap();
    assert_eq!((turn, last.heard), (Turn(2), None), "nothing was heard of turn 1");
}

/// Where the caller comes back to when the transfer is over.
fn dialled(twiml: &str) -> String {
    let (_, url) = twiml.split_once(&format!("<Dial action=\"{PUBLIC_BASE}")).expect("a <Dial>");
    let (url, policy) = url.split('"').next().unwrap().split_once('#').expect("when to ask again");
    assert_eq!(policy, "rc=5&amp;rp=ct,rt,5xx");
    url.replace("&amp;", "&")
}

#[tokio::test]
async fn a_call_is_handed_to_a_human_who_is_told_what_it_is_about() {
    let Some(edge) = start().await else { return };
    let _agent = Agent::at(&edge);
    let line = Line::new(&edge);
    let greeted = line.post("/twilio/voice", &[]).await;
    let handed = line.says(&next(&greeted), "a person").await;
    assert!(handed.contains("</Say><Dial "), "first the word to the caller: {handed}");
    assert!(handed.contains(&format!(">{HUMAN}</Number></Dial>")), "{handed}");
    assert_eq!(dialled(&handed), "/twilio/voice/transferred?turn=2");
    let whisper = format!("/twilio/voice/whisper?call={}", line.sid);
    assert!(handed.contains(&format!("<Number url=\"{PUBLIC_BASE}{whisper}#rc=5")), "{handed}");
    let leg = call_form(&new_call_sid(), CALLER, HUMAN);
    let Answered(status, told) = edge.twilio(&whisper, &leg).await;
    assert_eq!(status, 200);
    assert!(told.contains("A call for Maple Dental. Ana &amp; Ben asked for a person."), "{told}");
    // Neither revived nor ended by whatever else asks.
    let again = line.says("/twilio/voice/collect?turn=5", "hello").await;
    assert!(again.contains("<Dial "), "{again}");

    let talked = [("DialCallStatus", "completed"), ("DialBridged", "true")];
    let over = line.post(&dialled(&handed), &talked).await;
    assert_eq!(over, "<Response><Hangup/></Response>");
    let updates = [TransferStatus::Dialled, TransferStatus::Answered];
    for expected in updates {
        let event = edge.published_kind("TransferUpdated").await;
        let Payload::TransferUpdated(update) = event.payload else { unreachable!() };
        assert_eq!(update.status, expected);
        assert_eq!(update.heard.is_some(), expected == TransferStatus::Dialled);
    }
    let ended = edge.published_kind("CallEnded").await;
    let Payload::CallEnded(ended) = ended.payload else { unreachable!() };
    assert_eq!(ended.reason, CallEndReason::Transferred);
    let Answered(status, fault) =
        edge.twilio("/twilio/voice/whisper", &call_form(&line.sid, CALLER, HUMAN)).await;
    assert_eq!(status, 400, "{fault}");
}

#[tokio::test]
async fn a_colleague_at_a_sip_address_is_called_there() {
    let Some(edge) = start().await else { return };
    let _agent = Agent::at(&edge);
    let line = Line::new(&edge);
    let greeted = line.post("/twilio/voice", &[]).await;
    let handed = line.says(&next(&greeted), "a colleague").await;
    assert!(handed.contains(&format!(">{COLLEAGUE}</Sip></Dial>")), "{handed}");
    assert!(handed.contains("<Sip url=\""), "told what it is about: {handed}");
    let back = line.post(&dialled(&handed), &[("DialCallStatus", "failed")]).await;
    assert!(back.contains("Nobody could take the call just now."), "{back}");
}

#[tokio::test]
async fn a_caller_whom_nobody_took_is_back_with_the_agent_on_a_new_stream() {
    let Some(edge) = start().await else { return };
    let untaken = [
        ("busy", None),
        ("no-answer", None),
        ("failed", None),
        ("canceled", None),
        // Who answers, hears what it is about and hangs up.
        ("completed", Some("false")),
    ];
    for (status, bridged) in untaken {
        let sid = new_call_sid();
        edge.call(&sid, CALLER).await;
        let mut form = call_form(&sid, CALLER, OUR_NUMBER);
        form.push(("DialCallStatus".into(), status.into()));
        form.extend(bridged.map(|bridged| ("DialBridged".into(), bridged.into())));
        let Answered(code, twiml) =
            edge.twilio("/twilio/voice/transferred?attempt=1&turn=3", &form).await;
        assert_eq!(code, 200, "{status}");
        assert!(twiml.contains("<Connect><Stream") && twiml.contains("attempt=2"), "{twiml}");
        let event = edge.published_kind("TransferUpdated").await;
        let Payload::TransferUpdated(update) = event.payload else { unreachable!() };
        assert_eq!(update.status, TransferStatus::Returned, "{status}");
    }
    let form = call_form(&new_call_sid(), CALLER, OUR_NUMBER);
    let Answered(status, _) =
        edge.twilio("/twilio/voice/transferred?attempt=1&turn=3", &form).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_answer_without_effect() {
    let Some(edge) = start().await else { return };
    let agent = Agent::at(&edge);
    let line = Line::new(&edge);
    let greeted = line.post("/twilio/voice", &[]).await;
    let first = line.says(&next(&greeted), "a booking").await;
    let second = line.says(&next(&first), "tomorrow").await;
    assert_eq!(line.says(&next(&greeted), "a booking").await, first);
    assert_eq!(line.says(&next(&first), "tomorrow").await, second);
    assert_eq!(agent.asked().len(), 2);
}

#[tokio::test]
async fn a_caller_who_says_nothing_is_asked_twice_and_then_bidden_farewell() {
    let Some(edge) = start().await else { return };
    let line = Line::new(&edge);
    let greeted = line.post("/twilio/voice", &[]).await;
    let asked = line.post(&next(&greeted), &[]).await;
    assert!(asked.contains("Are you still there?"), "{asked}");
    assert_eq!(next(&asked), "/twilio/voice/collect?turn=1&silent=1");
    let again = line.post(&next(&asked), &[]).await;
    assert_eq!(next(&again), "/twilio/voice/collect?turn=1&silent=2");
    let ended = line.post(&next(&again), &[]).await;
    assert!(ended.contains("Goodbye.</Say><Hangup/>"), "{ended}");
    let over = edge.published_kind("CallEnded").await;
    let Payload::CallEnded(over) = over.payload else { unreachable!() };
    assert_eq!(over.reason, CallEndReason::Agent);
}

/// A call that began so many minutes ago.
async fn begun_before(edge: &EdgeTask, minutes: i64) -> Line<'_> {
    let line = Line::new(edge);
    let began_at = Timestamp::from_micros(Timestamp::now().as_micros() - minutes * 60_000_000);
    let call = CallSid::parse(&line.sid).unwrap();
    edge.cache.begin_call(&call, began_at).await.unwrap();
    line
}

#[tokio::test]
async fn the_caller_is_told_once_that_the_limit_is_near_and_is_listened_to_to_the_last_word() {
    let Some(edge) = start().await else { return };
    let agent = Agent::at(&edge);
    let warning = "This call ends in one minute.";
    let line = begun_before(&edge, 28).await;
    let answered = line.says("/twilio/voice/collect?turn=1", "a booking").await;
    assert!(!answered.contains(warning), "{answered}");
    let line = begun_before(&edge, 29).await;
    let answered = line.says("/twilio/voice/collect?turn=1", "a booking").await;
    assert!(answered.contains(&format!("{warning}</Say><Gather")), "{answered}");
    assert_eq!(next(&answered), "/twilio/voice/collect?turn=2&warned=1");
    let again = line.says(&next(&answered), "tomorrow").await;
    assert!(again.contains("tomorrow") && !again.contains(warning), "{again}");
    let silent = line.post(&next(&again), &[]).await;
    assert!(!silent.contains(warning), "{silent}");

    let line = begun_before(&edge, 31).await;
    let ended = line.says("/twilio/voice/collect?turn=1", "yes, book it").await;
    assert!(ended.contains("time limit") && ended.contains("<Hangup/>"), "{ended}");
    edge.published_kind("CallEnded").await;
    let asked = async {
        while !agent.asked().iter().any(|(_, said)| said.text.reveal() == "yes, book it") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("the last word is kept");
}

#[tokio::test]
async fn what_is_no_step_of_a_call_is_refused() {
    let Some(edge) = start().await else { return };
    let form = call_form(&new_call_sid(), CALLER, OUR_GATHER_NUMBER);
    for path in ["/twilio/voice/collect", "/twilio/voice/collect?turn=zero"] {
        let Answered(status, fault) = edge.twilio(path, &form).await;
        assert_eq!(status, 400, "{path}");
        assert!(fault.contains("turn"), "{fault}");
    }
    for missing in ["CallSid", "To"] {
        let mut form = form.clone();
        form.retain(|(name, _)| name != missing);
        let Answered(status, fault) = edge.twilio("/twilio/voice/collect?turn=1", &form).await;
        assert_eq!(status, 400);
        assert!(fault.contains(missing), "{fault}");
    }
    let of_another = form_signature("/twilio/voice/collect?turn=2", &form);
    let Answered(status, _) =
        edge.post_form("/twilio/voice/collect?turn=1", &form, &of_another).await;
    assert_eq!(status, 401, "the turn is signed too");
    tokio::time::timeout(Duration::from_secs(30), edge.assert_nothing_published()).await.unwrap();
}
