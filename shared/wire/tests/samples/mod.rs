//! One envelope of each payload, every field set, and further variants.

use domain::*;
use uuid::Uuid;

pub fn first_of_each() -> Vec<Envelope> {
    let mut all = all();
    all.dedup_by_key(|e| e.payload.name());
    all
}

pub fn all() -> Vec<Envelope> {
    payloads().into_iter().map(envelope).collect()
}

pub fn envelope(payload: Payload) -> Envelope {
    let mut e = Envelope::new(
        EventId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        TenantId::from_uuid(Uuid::from_u128(2)),
        ConversationId::from_uuid(Uuid::from_u128(3)),
        Channel::VOICE,
        Timestamp::from_micros(1_780_000_000_123_456),
        payload,
    )
    .with_turn(Turn(4))
    .expiring_at(Timestamp::from_micros(1_780_000_010_123_456))
    .answering_to("sb-dev-edge-edge-1-0a1b2c3d.fifo");
    e.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    e.replays = 1;
    e.stamp(Stage::SPEECH_ENDED, Timestamp::from_micros(1_780_000_000_000_001));
    e.stamp("a_stage_of_a_later_release", Timestamp::from_micros(1_780_000_000_000_002));
    e
}

fn call() -> CallSid {
    CallSid::parse("CA0123456789abcdef0123456789abcdef").unwrap()
}

fn heard() -> Heard {
    Heard { turn: Turn(3), text: "We are open from".into(), complete: false }
}

fn voice() -> Voice {
    Voice::named("aura-2-thalia-en", "en-US")
}

fn received(kind: MessageKind) -> Payload {
    MessageReceived {
        from: "+15551234567".into(),
        to: "+15550100001".into(),
        text: "tomorrow at two, für Zoë".into(),
        kind,
        external_id: "wamid.X".into(),
        profile_name: Some("Ana".into()),
        bsuid: Some("US.13491208655302741918".into()),
        heard: Some(heard()),
        call: Some(call()),
        quotes: None,
        referral: None,
        gathered: false,
        speech: None,
    }
    .into()
}

fn gathered() -> Payload {
    let Payload::MessageReceived(message) = received(MessageKind::Speech) else { unreachable!() };
    MessageReceived { gathered: true, ..message }.into()
}

fn heard_by_a_model() -> Payload {
    let Payload::MessageReceived(message) = received(MessageKind::Speech) else { unreachable!() };
    MessageReceived { speech: Some(Sound::new([0xff_u8, 0x7f])), ..message }.into()
}

fn chat(kind: MessageKind) -> Payload {
    let Payload::MessageReceived(message) = received(kind) else { unreachable!() };
    MessageReceived {
        call: None,
        heard: None,
        quotes: Some("wamid.Q".into()),
        referral: Some("Spring offer".into()),
        ..message
    }
    .into()
}

fn ended(reason: CallEndReason) -> Payload {
    let started_at = Timestamp::from_micros(1_780_000_000_000_000);
    CallEnded { call: call(), reason, started_at, heard: Some(heard()) }.into()
}

pub fn mailed() -> Payload {
    let Payload::MessageSent(message) = sent(Vec::new()) else { unreachable!() };
    let at = Timestamp::from_micros;
    let entry = CalendarEntry {
        id: "018f6b1e-7c1a-7000-8000-000000000001".into(),
        sequence: 3,
        is_cancelled: true,
        starts_at: at(1_780_000_000_000_000),
        ends_at: at(1_780_001_800_000_000),
        timezone: "America/Toronto".into(),
        summary: "Maple Dental: cleaning".into(),
    };
    let mail = Mail { subject: "Your appointment".into(), entry: Some(entry) };
    MessageSent { form: SentForm::Mail(mail), ..message }.into()
}

fn sent(choices: Vec<OfferedChoice>) -> Payload {
    MessageSent {
        to: "+15551234567".into(),
        from: "+15550100001".into(),
        text: "Tomorrow at two it is.".into(),
        in_reply_to: "wamid.X".into(),
        attempt: 77,
        account: TurnAccount {
            agent: "appointments".into(),
            confidence: 0.75,
            reason: "current agent, 0.75 > 0.7".into(),
            model: "rules".into(),
            processing_ms: 12,
            tokens_in: 100,
            tokens_out: 20,
            cost_micros: 345,
        },
        choices,
        form: SentForm::Text,
    }
    .into()
}

fn sent_as(form: SentForm) -> Payload {
    let Payload::MessageSent(message) = sent(Vec::new()) else { unreachable!() };
    MessageSent { form, ..message }.into()
}

fn template(header: TemplateHeader) -> SentForm {
    SentForm::Template(SentTemplate {
        name: "appointment_offer".into(),
        language: "en_US".into(),
        header: Some(header),
        parameters: vec!["Ana".into(), "tomorrow at two".into()],
        buttons: vec![
            TemplateButton { index: 0, parameter: ButtonParameter::Payload("yes".into()) },
            TemplateButton { index: 1, parameter: ButtonParameter::UrlEnd("a/1".into()) },
        ],
    })
}

fn delivery(status: DeliveryStatus) -> Payload {
    DeliveryUpdated {
        message: Some(EventId::from_uuid(Uuid::from_u128(9))),
        external_id: "wamid.Y".into(),
        status,
        error: Some((131_047, "Re-engagement message".into())),
    }
    .into()
}

fn kept_file() -> KeptFile {
    KeptFile {
        bucket: "switchboard-dev".into(),
        key: "media/1/2026/05/28/9".into(),
        mime_type: "audio/ogg; codecs=opus".into(),
        bytes: 4_711,
    }
}

fn handover() -> Handover {
    Handover { to: "+15550100009".into(), summary: "Ana asked for a person.".into() }
}

fn appointment_changed(change: AppointmentChange) -> Payload {
    let appointment = "0190f000-0000-7000-8000-000000000003".to_owned();
    AppointmentChanged { appointment, change }.into()
}

fn transfer(status: TransferStatus) -> Payload {
    TransferUpdated { call: call(), status, heard: Some(heard()) }.into()
}

fn payloads() -> Vec<Payload> {
    let failure = || SpeechFailure("deepgram: 503; openai: timeout".into());
    vec![
        CallStarted {
            call: call(),
            from: "+15551234567".into(),
            to: "+15550100001".into(),
            greeting: "Hello, how can I help you today?".into(),
        }
        .into(),
        ended(CallEndReason::Caller),
        ended(CallEndReason::Agent),
        ended(CallEndReason::TimeLimit),
        ended(CallEndReason::Lost),
        ended(CallEndReason::Transferred),
        received(MessageKind::Speech),
        received(MessageKind::Text),
        received(MessageKind::Choice("slot-14".into())),
        received(MessageKind::Unsupported("sticker".into())),
        gathered(),
        heard_by_a_model(),
        chat(MessageKind::Media(Media {
            kind: MediaKind::Document,
            id: "1234567890".into(),
            mime_type: "application/pdf".into(),
            sha256: "ab".repeat(32),
            filename: Some("referral letter.pdf".into()),
        })),
        chat(MessageKind::Location(Location { latitude: 43.65, longitude: -79.38 })),
        chat(MessageKind::Reaction { to: "wamid.Q".into() }),
        chat(MessageKind::Edited { original: "wamid.Q".into() }),
        chat(MessageKind::Revoked { original: "wamid.Q".into() }),
        chat(MessageKind::Keyword(Keyword::Stop)),
        chat(MessageKind::Keyword(Keyword::Start)),
        chat(MessageKind::Keyword(Keyword::Help)),
        chat(MessageKind::NumberChanged { to: "15557654321".into() }),
        sent(Vec::new()),
        mailed(),
        sent(vec![
            OfferedChoice { id: "slot-1".into(), title: "Tuesday 2 PM".into(), description: None },
            OfferedChoice {
                id: "slot-2".into(),
                title: "Wednesday 9 AM".into(),
                description: Some("with Dr Singh".into()),
            },
        ]),
        sent_as(SentForm::File(SentFile {
            file: kept_file(),
            filename: Some("price list.pdf".into()),
            sha256: "ab".repeat(32),
        })),
        sent_as(SentForm::Link(SentLink {
            title: "Our map".into(),
            url: "https://maps.example/here".into(),
        })),
        sent_as(SentForm::Reaction { to: "wamid.Q".into() }),
        sent_as(template(TemplateHeader::Text("Maple Dental".into()))),
        sent_as(template(TemplateHeader::File(SentFile {
            file: kept_file(),
            filename: None,
            sha256: "ab".repeat(32),
        }))),
        delivery(DeliveryStatus::Accepted),
        delivery(DeliveryStatus::Sent),
        delivery(DeliveryStatus::Delivered),
        delivery(DeliveryStatus::Read),
        delivery(DeliveryStatus::Failed),
        delivery(DeliveryStatus::Doubtful),
        delivery(DeliveryStatus::Held),
        TurnTimed { attempt: 77 }.into(),
        RecordingFinished {
            call: call(),
            bucket: "switchboard-dev".into(),
            key: "audio-recordings/2026/05/28/CA0123456789abcdef0123456789abcdef.wav".into(),
            duration_ms: 61_020,
            bytes: 976_364,
            paused: Vec::new(),
        }
        .into(),
        RecordingFinished {
            call: call(),
            bucket: "switchboard-dev".into(),
            key: "audio-recordings/2026/05/28/CA1.wav".into(),
            duration_ms: 61_020,
            bytes: 976_364,
            paused: vec![PausedSpan { from_ms: 1_000, to_ms: 9_500 }],
        }
        .into(),
        EscalationRequested { reason: "no_answer".into(), summary: "wants Tuesday".into() }.into(),
        ReminderDue { appointment: "0190f000-0000-7000-8000-000000000001".into() }.into(),
        transfer(TransferStatus::Dialled),
        transfer(TransferStatus::Answered),
        transfer(TransferStatus::Returned),
        MediaSettled {
            message: EventId::from_uuid(Uuid::from_u128(9)),
            file: Some(kept_file()),
            words: Some("see you on Tuesday".into()),
            fault: Some("the second vendor answered".into()),
        }
        .into(),
        MediaSettled {
            message: EventId::from_uuid(Uuid::from_u128(9)),
            file: None,
            words: None,
            fault: Some("larger than 16 MB".into()),
        }
        .into(),
        TraceRequested { reason: "ended".into() }.into(),
        MessageRefused {
            message: EventId::from_uuid(Uuid::from_u128(9)),
            part: 2,
            external_id: "wamid.Y".into(),
            code: 131_047,
        }
        .into(),
        EscalationDue { escalation: "0190f000-0000-7000-8000-000000000002".into() }.into(),
        appointment_changed(AppointmentChange::Booked),
        appointment_changed(AppointmentChange::Moved),
        appointment_changed(AppointmentChange::Cancelled),
        TranscribeSegment {
            call: call(),
            segment: 5,
            audio: vec![0xff, 0x7f, 0x00],
            language: "en-US".into(),
            vendors: Vec::new(),
        }
        .into(),
        TranscribeSegment {
            call: call(),
            segment: 6,
            audio: vec![0xff],
            language: "en-US".into(),
            vendors: vec!["transcribe".into(), "deepgram".into()],
        }
        .into(),
        SegmentTranscribed {
            call: call(),
            segment: 5,
            result: Ok(Transcript { text: "tomorrow at two".into(), confidence: 0.98 }),
        }
        .into(),
        SegmentTranscribed { call: call(), segment: 5, result: Err(failure()) }.into(),
        SpeakSentence {
            call: call(),
            attempt: 77,
            index: 1,
            text: "Tomorrow at two it is.".into(),
            voice: voice(),
            rate: SpeechRate::NORMAL,
            cacheable: false,
        }
        .into(),
        SpeakSentence {
            call: call(),
            attempt: 77,
            index: 2,
            text: "Could you say that again?".into(),
            voice: Voice {
                vendors: vec![
                    VendorVoice { vendor: "polly".into(), name: Some("Joanna".into()) },
                    VendorVoice { vendor: "deepgram".into(), name: None },
                ],
                ..voice()
            },
            rate: SpeechRate::SLOWER,
            cacheable: true,
        }
        .into(),
        SentenceSpoken {
            call: call(),
            attempt: 77,
            index: 1,
            text: "Tomorrow at two it is.".into(),
            result: Ok(vec![1, 2, 3]),
            part: 0,
            more: false,
        }
        .into(),
        SentenceSpoken {
            call: call(),
            attempt: 77,
            index: 1,
            text: "Tomorrow at two it is.".into(),
            result: Ok(vec![1, 2, 3]),
            part: 2,
            more: true,
        }
        .into(),
        SentenceSpoken {
            call: call(),
            attempt: 77,
            index: 1,
            text: "Tomorrow at two it is.".into(),
            result: Err(failure()),
            part: 0,
            more: false,
        }
        .into(),
        ReplyFinished {
            call: call(),
            attempt: 77,
            sentences: 2,
            hang_up: true,
            transfer: None,
            listens_in: None,
        }
        .into(),
        ReplyFinished {
            call: call(),
            attempt: 77,
            sentences: 1,
            hang_up: false,
            transfer: Some(handover()),
            listens_in: Some("fr-CA".into()),
        }
        .into(),
        FinishRecording {
            call: call(),
            started_at: Timestamp::from_micros(1_780_000_000_000_000),
            parts: 7,
        }
        .into(),
        Ping { nonce: 42 }.into(),
        BookHeld {
            effect: "book_appointment:0".into(),
            start: Timestamp::from_micros(1_780_086_400_000_000),
            service: Some("check-up".into()),
            name: "Zoë Ng".into(),
            phone: Some("+15551234567".into()),
            email: Some("zoe@example.com".into()),
            notes: Some("a tooth hurts".into()),
            from: "+15551234567".into(),
            to: "+15550100001".into(),
        }
        .into(),
        ControlCall { call: call(), command: CallCommand::PauseRecording }.into(),
        ControlCall { call: call(), command: CallCommand::ResumeRecording }.into(),
        ReplyWritten {
            call: call(),
            attempt: 77,
            text: "Tomorrow at two it is. Goodbye.".into(),
            hang_up: true,
            transfer: None,
            language: None,
        }
        .into(),
        ReplyWritten {
            call: call(),
            attempt: 77,
            text: "One moment, I will put you through.".into(),
            hang_up: false,
            transfer: Some(handover()),
            language: Some("fr-CA".into()),
        }
        .into(),
        FetchMedia {
            message: EventId::from_uuid(Uuid::from_u128(9)),
            media: Media {
                kind: MediaKind::Document,
                id: "7700".into(),
                mime_type: "application/pdf".into(),
                sha256: "aa".into(),
                filename: Some("a.pdf".into()),
            },
            our_address: "106540352242922".into(),
        }
        .into(),
        TranscribeVoiceNote {
            message: EventId::from_uuid(Uuid::from_u128(9)),
            file: kept_file(),
            language: "en-US".into(),
            vendors: vec!["deepgram".into()],
        }
        .into(),
    ]
}
