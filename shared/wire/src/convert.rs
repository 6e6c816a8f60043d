//! Between the domain's types and prost's.

mod chat;

use domain::{
    AppointmentChange, AppointmentChanged, BookHeld, CallCommand, CallEndReason, CallEnded,
    CallSid, CallStarted, Channel, ControlCall, ConversationId, DeliveryStatus, DeliveryUpdated,
    Envelope, EscalationDue, EscalationRequested, EventId, FinishRecording, Handover, Heard,
    MessageReceived, MessageSent, PausedSpan, Payload, Personal, Ping, RecordingFinished,
    ReminderDue, ReplyFinished, ReplyWritten, SegmentTranscribed, SentenceSpoken, Sound,
    SpeakSentence, SpeechFailure, SpeechRate, Stage, TenantId, Timestamp, TraceRequested,
    TranscribeSegment, Transcript, TransferStatus, TransferUpdated, Turn, TurnAccount, TurnTimed,
    VendorVoice, Voice,
};
use uuid::Uuid;

use crate::{DecodeError, Head, proto as p};

pub(crate) fn head_to_proto(e: &Envelope) -> p::Envelope {
    p::Envelope {
        event_id: e.event_id.to_string(),
        tenant: e.tenant.to_string(),
        conversation: e.conversation.to_string(),
        channel: e.channel.as_str().to_owned(),
        turn: e.turn.0,
        occurred_at_us: e.occurred_at.as_micros(),
        expires_at_us: e.expires_at.map(|t| t.as_micros()),
        reply_to: e.reply_to.clone().unwrap_or_default(),
        traceparent: e.traceparent.clone().unwrap_or_default(),
        replays: e.replays,
        stages: e
            .stages
            .iter()
            .map(|s| p::Stage { name: s.name.to_string(), at_us: s.at.as_micros() })
            .collect(),
        claim_check: None,
        off_record: e.off_record,
        payload: None,
    }
}

pub(crate) fn to_proto(e: &Envelope) -> p::Envelope {
    p::Envelope { payload: Some(payload_to_proto(&e.payload)), ..head_to_proto(e) }
}

pub(crate) fn head_from_proto(e: &p::Envelope) -> Result<Head, DecodeError> {
    Ok(Head {
        event_id: EventId::from_uuid(uuid("event_id", &e.event_id)?),
        replays: e.replays,
        occurred_at: Timestamp::from_micros(e.occurred_at_us),
        expires_at: e.expires_at_us.map(Timestamp::from_micros),
    })
}

pub(crate) fn from_proto(e: p::Envelope) -> Result<Envelope, DecodeError> {
    Ok(Envelope {
        event_id: EventId::from_uuid(uuid("event_id", &e.event_id)?),
        tenant: TenantId::from_uuid(uuid("tenant", &e.tenant)?),
        conversation: ConversationId::from_uuid(uuid("conversation", &e.conversation)?),
        channel: if e.channel.is_empty() {
            return Err(field("channel", "is empty"));
        } else {
            Channel::named(e.channel)
        },
        turn: Turn(e.turn),
        occurred_at: Timestamp::from_micros(e.occurred_at_us),
        expires_at: e.expires_at_us.map(Timestamp::from_micros),
        reply_to: some_text(e.reply_to),
        traceparent: some_text(e.traceparent),
        replays: e.replays,
        stages: e
            .stages
            .into_iter()
            .map(|s| Stage::new(s.name, Timestamp::from_micros(s.at_us)))
            .collect(),
        off_record: e.off_record,
        payload: payload_from_proto(e.payload.ok_or(DecodeError::UnknownPayload)?)?,
    })
}

fn payload_to_proto(payload: &Payload) -> p::envelope::Payload {
    use p::envelope::Payload as Out;
    match payload {
        Payload::CallStarted(m) => Out::CallStarted(p::CallStarted {
            call: m.call.to_string(),
            from: m.from.reveal().to_owned(),
            to: m.to.clone(),
            greeting: m.greeting.clone(),
        }),
        Payload::CallEnded(m) => Out::CallEnded(p::CallEnded {
            call: m.call.to_string(),
            reason: end_reason_to_proto(m.reason).into(),
            started_at_us: m.started_at.as_micros(),
            heard: m.heard.as_ref().map(heard_to_proto),
        }),
        Payload::MessageReceived(m) => Out::MessageReceived(p::MessageReceived {
            from: m.from.reveal().to_owned(),
            to: m.to.clone(),
            text: m.text.reveal().to_owned(),
            kind: Some(chat::kind_to_proto(&m.kind)),
            new_number: chat::new_number(&m.kind),
            external_id: m.external_id.clone(),
            profile_name: m.profile_name.clone().map(Personal::into_revealed),
            bsuid: m.bsuid.clone().map(Personal::into_revealed),
            heard: m.heard.as_ref().map(heard_to_proto),
            call: m.call.as_ref().map(ToString::to_string).unwrap_or_default(),
            quotes: m.quotes.clone().unwrap_or_default(),
            referral: m.referral.clone().map(Personal::into_revealed),
            gathered: m.gathered,
            sound: m.speech.as_ref().map(|speech| speech.mulaw().to_vec()),
        }),
        Payload::MessageSent(m) => Out::MessageSent(p::MessageSent {
            to: m.to.reveal().to_owned(),
            from: m.from.clone(),
            text: m.text.reveal().to_owned(),
            in_reply_to: m.in_reply_to.clone(),
            attempt: m.attempt,
            account: Some(p::TurnAccount {
                agent: m.account.agent.clone(),
                confidence: m.account.confidence,
                reason: m.account.reason.clone(),
                model: m.account.model.clone(),
                processing_ms: m.account.processing_ms,
                tokens_in: m.account.tokens_in,
                tokens_out: m.account.tokens_out,
                cost_micros: m.account.cost_micros,
            }),
            choices: m.choices.iter().map(chat::choice_to_proto).collect(),
            form: chat::form_to_proto(&m.form),
        }),
        Payload::DeliveryUpdated(m) => Out::DeliveryUpdated(p::DeliveryUpdated {
            message: m.message.map(|id| id.to_string()).unwrap_or_default(),
            external_id: m.external_id.clone(),
            status: delivery_to_proto(m.status).into(),
            error_code: m.error.as_ref().map(|(code, _)| *code),
            error_text: m.error.as_ref().map(|(_, text)| text.clone()).unwrap_or_default(),
        }),
        Payload::TurnTimed(m) => Out::TurnTimed(p::TurnTimed { attempt: m.attempt }),
        Payload::RecordingFinished(m) => Out::RecordingFinished(p::RecordingFinished {
            call: m.call.to_string(),
            bucket: m.bucket.clone(),
            key: m.key.clone(),
            duration_ms: m.duration_ms,
            bytes: m.bytes,
            paused: m
                .paused
                .iter()
                .map(|span| p::PausedSpan { from_ms: span.from_ms, to_ms: span.to_ms })
                .collect(),
        }),
        Payload::EscalationRequested(m) => Out::EscalationRequested(p::EscalationRequested {
            reason: m.reason.clone(),
            summary: m.summary.reveal().to_owned(),
        }),
        Payload::TranscribeSegment(m) => Out::TranscribeSegment(p::TranscribeSegment {
            call: m.call.to_string(),
            segment: m.segment,
            audio: m.audio.clone(),
            language: m.language.clone(),
            vendors: m.vendors.clone(),
        }),
        Payload::SegmentTranscribed(m) => Out::SegmentTranscribed(p::SegmentTranscribed {
            call: m.call.to_string(),
            segment: m.segment,
            result: Some(match &m.result {
                Ok(t) => p::segment_transcribed::Result::Transcript(p::Transcript {
                    text: t.text.reveal().to_owned(),
                    confidence: t.confidence,
                }),
                Err(why) => p::segment_transcribed::Result::Failure(why.0.clone()),
            }),
        }),
        Payload::SpeakSentence(m) => Out::SpeakSentence(p::SpeakSentence {
            call: m.call.to_string(),
            attempt: m.attempt,
            index: m.index,
            text: m.text.reveal().to_owned(),
            voice: Some(voice_to_proto(&m.voice)),
            rate_percent: match m.rate {
                SpeechRate::NORMAL => 0,
                rate => u32::from(rate.as_percent()),
            },
            cacheable: m.cacheable,
        }),
        Payload::SentenceSpoken(m) => Out::SentenceSpoken(p::SentenceSpoken {
            call: m.call.to_string(),
            attempt: m.attempt,
            index: m.index,
            text: m.text.reveal().to_owned(),
            result: Some(match &m.result {
                Ok(audio) => p::sentence_spoken::Result::Audio(audio.clone()),
                Err(why) => p::sentence_spoken::Result::Failure(why.0.clone()),
            }),
            part: m.part,
            more: m.more,
        }),
        Payload::ReplyFinished(m) => Out::ReplyFinished(p::ReplyFinished {
            call: m.call.to_string(),
            attempt: m.attempt,
            sentences: m.sentences,
            hang_up: m.hang_up,
            transfer: m.transfer.as_ref().map(handover_to_proto),
            listens_in: m.listens_in.clone(),
        }),
        Payload::TransferUpdated(m) => Out::TransferUpdated(p::TransferUpdated {
            call: m.call.to_string(),
            status: transfer_to_proto(m.status).into(),
            heard: m.heard.as_ref().map(heard_to_proto),
        }),
        Payload::ReplyWritten(m) => Out::ReplyWritten(p::ReplyWritten {
            call: m.call.to_string(),
            attempt: m.attempt,
            text: m.text.reveal().to_owned(),
            hang_up: m.hang_up,
            transfer: m.transfer.as_ref().map(handover_to_proto),
            language: m.language.clone(),
        }),
        Payload::FinishRecording(m) => Out::FinishRecording(p::FinishRecording {
            call: m.call.to_string(),
            started_at_us: m.started_at.as_micros(),
            parts: m.parts,
        }),
        Payload::Ping(m) => Out::Ping(p::Ping { nonce: m.nonce }),
        Payload::ReminderDue(m) => {
            Out::ReminderDue(p::ReminderDue { appointment: m.appointment.clone() })
        }
        Payload::EscalationDue(m) => {
            Out::EscalationDue(p::EscalationDue { escalation: m.escalation.clone() })
        }
        Payload::AppointmentChanged(m) => Out::AppointmentChanged(p::AppointmentChanged {
            appointment: m.appointment.clone(),
            change: change_to_proto(m.change).into(),
        }),
        Payload::BookHeld(m) => Out::BookHeld(p::BookHeld {
            effect: m.effect.clone(),
            start_us: m.start.as_micros(),
            service: m.service.clone().unwrap_or_default(),
            name: m.name.reveal().to_owned(),
            phone: revealed(&m.phone),
            email: revealed(&m.email),
            notes: revealed(&m.notes),
            from: m.from.reveal().to_owned(),
            to: m.to.clone(),
        }),
        Payload::MediaSettled(m) => Out::MediaSettled(chat::settled_to_proto(m)),
        Payload::MessageRefused(m) => Out::MessageRefused(chat::refused_to_proto(m)),
        Payload::TraceRequested(m) => {
            Out::TraceRequested(p::TraceRequested { reason: m.reason.clone() })
        }
        Payload::FetchMedia(m) => Out::FetchMedia(chat::fetch_to_proto(m)),
        Payload::TranscribeVoiceNote(m) => Out::TranscribeVoiceNote(chat::note_to_proto(m)),
        Payload::ControlCall(m) => Out::ControlCall(p::ControlCall {
            call: m.call.to_string(),
            command: command_to_proto(m.command).into(),
        }),
    }
}

fn payload_from_proto(payload: p::envelope::Payload) -> Result<Payload, DecodeError> {
    use p::envelope::Payload as In;
    Ok(match payload {
        In::CallStarted(m) => CallStarted {
            call: call("call_started.call", &m.call)?,
            from: m.from.into(),
            to: m.to,
            greeting: m.greeting,
        }
        .into(),
        In::CallEnded(m) => CallEnded {
            call: call("call_ended.call", &m.call)?,
            reason: end_reason_from_proto(m.reason())?,
            started_at: Timestamp::from_micros(m.started_at_us),
            heard: m.heard.map(heard_from_proto),
        }
        .into(),
        In::MessageReceived(m) => MessageReceived {
            from: m.from.into(),
            to: m.to,
            text: m.text.into(),
            kind: chat::kind_from_proto(
                m.kind.ok_or_else(|| field("message_received.kind", "is missing"))?,
                m.new_number,
            ),
            external_id: m.external_id,
            profile_name: m.profile_name.map(Personal::from),
            bsuid: m.bsuid.map(Personal::from),
            heard: m.heard.map(heard_from_proto),
            call: match m.call.as_str() {
                "" => None,
                id => Some(call("message_received.call", id)?),
            },
            quotes: some_text(m.quotes),
            referral: m.referral.map(Personal::from),
            gathered: m.gathered,
            speech: m.sound.map(Sound::new),
        }
        .into(),
        In::MessageSent(m) => {
            let a = m.account.unwrap_or_default();
            MessageSent {
                to: m.to.into(),
                from: m.from,
                text: m.text.into(),
                in_reply_to: m.in_reply_to,
                attempt: m.attempt,
                account: TurnAccount {
                    agent: a.agent,
                    confidence: a.confidence,
                    reason: a.reason,
                    model: a.model,
                    processing_ms: a.processing_ms,
                    tokens_in: a.tokens_in,
                    tokens_out: a.tokens_out,
                    cost_micros: a.cost_micros,
                },
                choices: m.choices.into_iter().map(chat::choice_from_proto).collect(),
                form: chat::form_from_proto(m.form)?,
            }
            .into()
        }
        In::DeliveryUpdated(m) => DeliveryUpdated {
            message: match m.message.as_str() {
                "" => None,
                id => Some(event_id("delivery_updated.message", id)?),
            },
            status: delivery_from_proto(m.status())?,
            external_id: m.external_id,
            error: m.error_code.map(|code| (code, m.error_text)),
        }
        .into(),
        In::TurnTimed(m) => TurnTimed { attempt: m.attempt }.into(),
        In::RecordingFinished(m) => RecordingFinished {
            call: call("recording_finished.call", &m.call)?,
            bucket: m.bucket,
            key: m.key,
            duration_ms: m.duration_ms,
            bytes: m.bytes,
            paused: m
                .paused
                .iter()
                .map(|span| PausedSpan { from_ms: span.from_ms, to_ms: span.to_ms })
                .collect(),
        }
        .into(),
        In::EscalationRequested(m) => {
            EscalationRequested { reason: m.reason, summary: m.summary.into() }.into()
        }
        In::TranscribeSegment(m) => TranscribeSegment {
            call: call("transcribe_segment.call", &m.call)?,
            segment: m.segment,
            audio: m.audio,
            language: m.language,
            vendors: m.vendors,
        }
        .into(),
        In::SegmentTranscribed(m) => SegmentTranscribed {
            call: call("segment_transcribed.call", &m.call)?,
            segment: m.segment,
            result: match m
                .result
                .ok_or_else(|| field("segment_transcribed.result", "is missing"))?
            {
                p::segment_transcribed::Result::Transcript(t) => {
                    Ok(Transcript { text: t.text.into(), confidence: t.confidence })
                }
                p::segment_transcribed::Result::Failure(why) => Err(SpeechFailure(why)),
            },
        }
        .into(),
        In::SpeakSentence(m) => {
            let voice = m.voice.ok_or_else(|| field("speak_sentence.voice", "is missing"))?;
            SpeakSentence {
                call: call("speak_sentence.call", &m.call)?,
                attempt: m.attempt,
                index: m.index,
                text: m.text.into(),
                voice: voice_from_proto(voice),
                rate: match m.rate_percent {
                    0 => SpeechRate::NORMAL,
                    percent => SpeechRate::percent(u8::try_from(percent).unwrap_or(u8::MAX)),
                },
                cacheable: m.cacheable,
            }
            .into()
        }
        In::SentenceSpoken(m) => SentenceSpoken {
            call: call("sentence_spoken.call", &m.call)?,
            attempt: m.attempt,
            index: m.index,
            text: m.text.into(),
            result: match m.result.ok_or_else(|| field("sentence_spoken.result", "is missing"))? {
                p::sentence_spoken::Result::Audio(audio) => Ok(audio),
                p::sentence_spoken::Result::Failure(why) => Err(SpeechFailure(why)),
            },
            part: m.part,
            more: m.more,
        }
        .into(),
        In::ReplyFinished(m) => ReplyFinished {
            call: call("reply_finished.call", &m.call)?,
            attempt: m.attempt,
            sentences: m.sentences,
            hang_up: m.hang_up,
            transfer: m.transfer.map(handover_from_proto),
            listens_in: m.listens_in,
        }
        .into(),
        In::TransferUpdated(m) => TransferUpdated {
            call: call("transfer_updated.call", &m.call)?,
            status: transfer_from_proto(m.status())?,
            heard: m.heard.map(heard_from_proto),
        }
        .into(),
        In::ReplyWritten(m) => ReplyWritten {
            call: call("reply_written.call", &m.call)?,
            attempt: m.attempt,
            text: m.text.into(),
            hang_up: m.hang_up,
            transfer: m.transfer.map(handover_from_proto),
            language: m.language,
        }
        .into(),
        In::FinishRecording(m) => FinishRecording {
            call: call("finish_recording.call", &m.call)?,
            started_at: Timestamp::from_micros(m.started_at_us),
            parts: m.parts,
        }
        .into(),
        In::Ping(m) => Ping { nonce: m.nonce }.into(),
        In::ReminderDue(m) => ReminderDue { appointment: m.appointment }.into(),
        In::EscalationDue(m) => EscalationDue { escalation: m.escalation }.into(),
        In::AppointmentChanged(m) => AppointmentChanged {
            change: change_from_proto(m.change())?,
            appointment: m.appointment,
        }
        .into(),
        In::BookHeld(m) => BookHeld {
            effect: m.effect,
            start: Timestamp::from_micros(m.start_us),
            service: some_text(m.service),
            name: m.name.into(),
            phone: some_text(m.phone).map(Into::into),
            email: some_text(m.email).map(Into::into),
            notes: some_text(m.notes).map(Into::into),
            from: m.from.into(),
            to: m.to,
        }
        .into(),
        In::MediaSettled(m) => chat::settled_from_proto(m)?.into(),
        In::TraceRequested(m) => TraceRequested { reason: m.reason }.into(),
        In::MessageRefused(m) => chat::refused_from_proto(m)?.into(),
        In::FetchMedia(m) => chat::fetch_from_proto(m)?.into(),
        In::TranscribeVoiceNote(m) => chat::note_from_proto(m)?.into(),
        In::ControlCall(m) => ControlCall {
            call: call("control_call.call", &m.call)?,
            command: command_from_proto(m.command())?,
        }
        .into(),
    })
}

fn voice_to_proto(v: &Voice) -> p::Voice {
    let vendors = v.vendors.iter().map(|v| p::VendorVoice {
        vendor: v.vendor.clone(),
        name: v.name.clone().unwrap_or_default(),
    });
    p::Voice { model: v.model.clone(), language: v.language.clone(), vendors: vendors.collect() }
}

fn voice_from_proto(v: p::Voice) -> Voice {
    let vendors = v.vendors.into_iter();
    let vendors = vendors.map(|v| VendorVoice { vendor: v.vendor, name: some_text(v.name) });
    Voice { model: v.model, language: v.language, vendors: vendors.collect() }
}

fn command_to_proto(c: CallCommand) -> p::control_call::Command {
    use p::control_call::Command as Out;
    match c {
        CallCommand::PauseRecording => Out::PauseRecording,
        CallCommand::ResumeRecording => Out::ResumeRecording,
    }
}

fn command_from_proto(c: p::control_call::Command) -> Result<CallCommand, DecodeError> {
    use p::control_call::Command as In;
    Ok(match c {
        In::PauseRecording => CallCommand::PauseRecording,
        In::ResumeRecording => CallCommand::ResumeRecording,
        In::Unspecified => return Err(field("control_call.command", "is unknown to this release")),
    })
}

fn change_to_proto(c: AppointmentChange) -> p::appointment_changed::Change {
    use p::appointment_changed::Change as Out;
    match c {
        AppointmentChange::Booked => Out::Booked,
        AppointmentChange::Moved => Out::Moved,
        AppointmentChange::Cancelled => Out::Cancelled,
    }
}

fn change_from_proto(c: p::appointment_changed::Change) -> Result<AppointmentChange, DecodeError> {
    use p::appointment_changed::Change as In;
    Ok(match c {
        In::Booked => AppointmentChange::Booked,
        In::Moved => AppointmentChange::Moved,
        In::Cancelled => AppointmentChange::Cancelled,
        In::Unspecified => {
            return Err(field("appointment_changed.change", "is unknown to this release"));
        }
    })
}

fn handover_to_proto(h: &Handover) -> p::Handover {
    p::Handover { to: h.to.reveal().to_owned(), summary: h.summary.reveal().to_owned() }
}

fn handover_from_proto(h: p::Handover) -> Handover {
    Handover { to: h.to.into(), summary: h.summary.into() }
}

fn transfer_to_proto(s: TransferStatus) -> p::transfer_updated::Status {
    use p::transfer_updated::Status as Out;
    match s {
        TransferStatus::Dialled => Out::Dialled,
        TransferStatus::Answered => Out::Answered,
        TransferStatus::Returned => Out::Returned,
    }
}

fn transfer_from_proto(s: p::transfer_updated::Status) -> Result<TransferStatus, DecodeError> {
    use p::transfer_updated::Status as In;
    Ok(match s {
        In::Dialled => TransferStatus::Dialled,
        In::Answered => TransferStatus::Answered,
        In::Returned => TransferStatus::Returned,
        In::Unspecified => {
            return Err(field("transfer_updated.status", "is unknown to this release"));
        }
    })
}

fn heard_to_proto(h: &Heard) -> p::Heard {
    p::Heard { turn: h.turn.0, text: h.text.reveal().to_owned(), complete: h.complete }
}

fn heard_from_proto(h: p::Heard) -> Heard {
    Heard { turn: Turn(h.turn), text: h.text.into(), complete: h.complete }
}

fn end_reason_to_proto(r: CallEndReason) -> p::call_ended::Reason {
    use p::call_ended::Reason as Out;
    match r {
        CallEndReason::Caller => Out::Caller,
        CallEndReason::Agent => Out::Agent,
        CallEndReason::TimeLimit => Out::TimeLimit,
        CallEndReason::Lost => Out::Lost,
        CallEndReason::Transferred => Out::Transferred,
    }
}

fn end_reason_from_proto(r: p::call_ended::Reason) -> Result<CallEndReason, DecodeError> {
    use p::call_ended::Reason as In;
    Ok(match r {
        In::Caller => CallEndReason::Caller,
        In::Agent => CallEndReason::Agent,
        In::TimeLimit => CallEndReason::TimeLimit,
        In::Lost => CallEndReason::Lost,
        In::Transferred => CallEndReason::Transferred,
        In::Unspecified => return Err(field("call_ended.reason", "is unknown to this release")),
    })
}

fn delivery_to_proto(s: DeliveryStatus) -> p::delivery_updated::Status {
    use p::delivery_updated::Status as Out;
    match s {
        DeliveryStatus::Held => Out::Held,
        DeliveryStatus::Accepted => Out::Accepted,
        DeliveryStatus::Sent => Out::Sent,
        DeliveryStatus::Delivered => Out::Delivered,
        DeliveryStatus::Read => Out::Read,
        DeliveryStatus::Failed => Out::Failed,
        DeliveryStatus::Doubtful => Out::Doubtful,
    }
}

fn delivery_from_proto(s: p::delivery_updated::Status) -> Result<DeliveryStatus, DecodeError> {
    use p::delivery_updated::Status as In;
    Ok(match s {
        In::Held => DeliveryStatus::Held,
        In::Accepted => DeliveryStatus::Accepted,
        In::Sent => DeliveryStatus::Sent,
        In::Delivered => DeliveryStatus::Delivered,
        In::Read => DeliveryStatus::Read,
        In::Failed => DeliveryStatus::Failed,
        In::Doubtful => DeliveryStatus::Doubtful,
        In::Unspecified => {
            return Err(field("delivery_updated.status", "is unknown to this release"));
        }
    })
}

fn event_id(name: &'static str, text: &str) -> Result<EventId, DecodeError> {
    uuid(name, text).map(EventId::from_uuid)
}

fn uuid(name: &'static str, text: &str) -> Result<Uuid, DecodeError> {
    text.parse().map_err(|e: uuid::Error| field(name, e.to_string()))
}

fn call(name: &'static str, text: &str) -> Result<CallSid, DecodeError> {
    CallSid::parse(text).ok_or_else(|| field(name, "is not a call id"))
}

fn revealed(text: &Option<Personal>) -> String {
    text.as_ref().map(|t| t.reveal().to_owned()).unwrap_or_default()
}

fn some_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn field(field: &'static str, problem: impl Into<String>) -> DecodeError {
    DecodeError::Field { field, problem: problem.into() }
}
