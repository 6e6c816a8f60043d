//! A call and a chat, as their events.

use std::time::Duration;

use domain::{
    CallEndReason, CallEnded, CallSid, CallStarted, Channel, ConversationId, DeliveryStatus,
    DeliveryUpdated, Envelope, EventId, Heard, MessageKind, MessageReceived, MessageSent, Payload,
    RecordingFinished, SentForm, Stage, TenantId, Timestamp, Turn, TurnAccount, TurnTimed,
};

pub const CALLER: &str = "+15551234567";

pub fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000).plus(Duration::from_secs(second))
}

pub fn call_sid(n: usize) -> CallSid {
    CallSid::parse(&format!("CA{n:032}")).unwrap()
}

/// A call of two turns. The caller hears the greeting, a part of the first reply, and hangs up in
/// the second. `n` makes it a call of its own.
pub fn call(tenant: TenantId, n: usize) -> Vec<Envelope> {
    let sid = call_sid(n);
    let conversation = ConversationId::of_call(tenant, &sid);
    let event = |name: &str, turn: u32, second: u64, payload: Payload| {
        let id = EventId::from_uuid(conversation.derive(name));
        Envelope::new(id, tenant, conversation, Channel::VOICE, at(second), payload)
            .with_turn(Turn(turn))
    };
    let heard =
        |turn, text: &str, complete| Some(Heard { turn: Turn(turn), text: text.into(), complete });
    let received = |text: &str, heard| MessageReceived {
        from: CALLER.into(),
        to: "+15550100001".into(),
        text: text.into(),
        kind: MessageKind::Speech,
        external_id: String::new(),
        profile_name: None,
        bsuid: None,
        heard,
        call: Some(sid.clone()),
        quotes: None,
        referral: None,
        gathered: false,
        speech: None,
    };
    let sent = |text: &str| MessageSent {
        to: CALLER.into(),
        from: "+15550100001".into(),
        text: text.into(),
        in_reply_to: String::new(),
        attempt: 1,
        account: TurnAccount { agent: "task".into(), confidence: 0.9, ..Default::default() },
        choices: Vec::new(),
        form: SentForm::Text,
    };
    let mut timed = event("timed", 1, 13, TurnTimed { attempt: 1 }.into());
    timed.stamp(Stage::TURN_ENDED, at(10));
    timed.stamp(Stage::FIRST_AUDIO_OUT, at(11));
    vec![
        event(
            "started",
            0,
            0,
            CallStarted {
                call: sid.clone(),
                from: CALLER.into(),
                to: "+15550100001".into(),
                greeting: "Hello, this is the clinic.".into(),
            }
            .into(),
        ),
        event(
            "received 1",
            1,
            10,
            received("I need a dentist.", heard(0, "Hello, this is the clinic.", true)).into(),
        ),
        event("sent 1", 1, 12, sent("Of course. Is tomorrow good?").into()),
        event("received 2", 2, 14, received("No, Friday.", heard(1, "Of course.", false)).into()),
        event("sent 2", 2, 16, sent("Friday it is. Anything else?").into()),
        event(
            "ended",
            0,
            17,
            CallEnded {
                call: sid.clone(),
                reason: CallEndReason::Caller,
                started_at: at(0),
                heard: heard(2, "Friday it is.", false),
            }
            .into(),
        ),
        timed,
        event(
            "recorded",
            0,
            30,
            RecordingFinished {
                call: sid.clone(),
                bucket: "b".into(),
                key: format!("audio-recordings/2027/01/15/{sid}.wav"),
                duration_ms: 17_000,
                bytes: 544_044,
                paused: Vec::new(),
            }
            .into(),
        ),
    ]
}

/// A message, its answer, and three statuses of the answer.
pub fn chat(tenant: TenantId, n: usize) -> Vec<Envelope> {
    let conversation =
        ConversationId::of_chat(tenant, "whatsapp", "106540352242922", &n.to_string());
    let event = |name: &str, turn: u32, second: u64, payload: Payload| {
        let id = EventId::from_uuid(conversation.derive(name));
        Envelope::new(id, tenant, conversation, Channel::WHATSAPP, at(second), payload)
            .with_turn(Turn(turn))
    };
    let answer = EventId::from_uuid(conversation.derive("sent"));
    let status = |status, message| DeliveryUpdated {
        message,
        external_id: format!("wamid.out.{n}"),
        status,
        error: None,
    };
    vec![
        event(
            "received",
            0,
            0,
            MessageReceived {
                from: "15551234567".into(),
                to: "106540352242922".into(),
                text: "Are you open?".into(),
                kind: MessageKind::Text,
                external_id: format!("wamid.in.{n}"),
                profile_name: Some("Ada Lovelace".into()),
                bsuid: Some("US.4711".into()),
                heard: None,
                call: None,
                quotes: None,
                referral: None,
                gathered: false,
                speech: None,
            }
            .into(),
        ),
        event(
            "sent",
            1,
            1,
            MessageSent {
                to: "15551234567".into(),
                from: "106540352242922".into(),
                text: "Until five.".into(),
                in_reply_to: format!("wamid.in.{n}"),
                attempt: 1,
                account: TurnAccount { agent: "task".into(), ..Default::default() },
                choices: Vec::new(),
                form: SentForm::Text,
            }
            .into(),
        ),
        event("accepted", 1, 2, status(DeliveryStatus::Accepted, Some(answer)).into()),
        event("delivered", 0, 3, status(DeliveryStatus::Delivered, None).into()),
        event("read", 0, 4, status(DeliveryStatus::Read, None).into()),
    ]
}

/// Every order of `0..n`.
pub fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for order in orders(n - 1) {
        for place in 0..n {
            let mut order = order.clone();
            order.insert(place, n - 1);
            all.push(order);
        }
    }
    all
}
