//! What only chats carry: kinds of messages, files, places, choices.

use domain::{
    ButtonParameter, CalendarEntry, FetchMedia, KeptFile, Keyword, Location, Mail, Media,
    MediaKind, MediaSettled, MessageKind, MessageRefused, OfferedChoice, Personal, SentFile,
    SentForm, SentLink, SentTemplate, TemplateButton, TemplateHeader, Timestamp,
    TranscribeVoiceNote,
};

use super::{event_id, field};
use crate::{
    DecodeError,
    proto::{
        self as p, message_received::Kind, message_sent::Form, sent_template::Header,
        template_button::Parameter,
    },
};

pub(super) fn kind_to_proto(kind: &MessageKind) -> Kind {
    match kind {
        MessageKind::Speech => Kind::Speech(true),
        MessageKind::Text => Kind::PlainText(true),
        MessageKind::Choice(id) => Kind::Choice(id.clone()),
        MessageKind::Media(m) => Kind::Media(media_to_proto(m)),
        MessageKind::Location(l) => {
            Kind::Location(p::Location { latitude: l.latitude, longitude: l.longitude })
        }
        MessageKind::Reaction { to } => Kind::ReactionTo(to.clone()),
        MessageKind::Edited { original } => Kind::Edited(original.clone()),
        MessageKind::Revoked { original } => Kind::Revoked(original.clone()),
        // What a release before this one takes it for; `new_number` says the rest.
        MessageKind::NumberChanged { .. } => Kind::Unsupported("system".to_owned()),
        MessageKind::Keyword(word) => Kind::Keyword(word.as_str().to_owned()),
        MessageKind::Unsupported(kind) => Kind::Unsupported(kind.clone()),
    }
}

pub(super) fn new_number(kind: &MessageKind) -> Option<String> {
    match kind {
        MessageKind::NumberChanged { to } => Some(to.reveal().to_owned()),
        _ => None,
    }
}

/// A kind of file that a later release added is one this release cannot use, not a fault of the message.
pub(super) fn kind_from_proto(kind: Kind, new_number: Option<String>) -> MessageKind {
    if let Some(to) = new_number {
        return MessageKind::NumberChanged { to: to.into() };
    }
    match kind {
        Kind::Speech(_) => MessageKind::Speech,
        Kind::PlainText(_) => MessageKind::Text,
        Kind::Choice(id) => MessageKind::Choice(id),
        Kind::Media(m) => match media_from_proto(m) {
            Ok(media) => MessageKind::Media(media),
            Err(unknown) => MessageKind::Unsupported(unknown),
        },
        Kind::Location(l) => {
            MessageKind::Location(Location { latitude: l.latitude, longitude: l.longitude })
        }
        Kind::ReactionTo(to) => MessageKind::Reaction { to },
        Kind::Edited(original) => MessageKind::Edited { original },
        Kind::Revoked(original) => MessageKind::Revoked { original },
        Kind::Keyword(word) => match Keyword::parse(&word) {
            Some(word) => MessageKind::Keyword(word),
            None => MessageKind::Unsupported(word),
        },
        Kind::Unsupported(kind) => MessageKind::Unsupported(kind),
    }
}

fn media_to_proto(m: &Media) -> p::Media {
    p::Media {
        kind: m.kind.as_str().to_owned(),
        id: m.id.clone(),
        mime_type: m.mime_type.clone(),
        sha256: m.sha256.clone(),
        filename: m.filename.clone().map(Personal::into_revealed),
    }
}

/// The file, or the name of a kind that this release does not know.
fn media_from_proto(m: p::Media) -> Result<Media, String> {
    match MediaKind::parse(&m.kind) {
        Some(kind) => Ok(Media {
            kind,
            id: m.id,
            mime_type: m.mime_type,
            sha256: m.sha256,
            filename: m.filename.map(Personal::from),
        }),
        None => Err(m.kind),
    }
}

pub(super) fn fetch_to_proto(m: &FetchMedia) -> p::FetchMedia {
    p::FetchMedia {
        message: m.message.to_string(),
        media: Some(media_to_proto(&m.media)),
        our_address: m.our_address.clone(),
    }
}

pub(super) fn fetch_from_proto(m: p::FetchMedia) -> Result<FetchMedia, DecodeError> {
    let media = m.media.ok_or_else(|| field("fetch_media.media", "is missing"))?;
    Ok(FetchMedia {
        message: event_id("fetch_media.message", &m.message)?,
        media: media_from_proto(media)
            .map_err(|_| field("fetch_media.media.kind", "is not known"))?,
        our_address: m.our_address,
    })
}

pub(super) fn note_to_proto(m: &TranscribeVoiceNote) -> p::TranscribeVoiceNote {
    p::TranscribeVoiceNote {
        message: m.message.to_string(),
        file: Some(file_to_proto(&m.file)),
        language: m.language.clone(),
        vendors: m.vendors.clone(),
    }
}

pub(super) fn note_from_proto(
    m: p::TranscribeVoiceNote,
) -> Result<TranscribeVoiceNote, DecodeError> {
    let file = m.file.ok_or_else(|| field("transcribe_voice_note.file", "is missing"))?;
    Ok(TranscribeVoiceNote {
        message: event_id("transcribe_voice_note.message", &m.message)?,
        file: file_from_proto(file),
        language: m.language,
        vendors: m.vendors,
    })
}

pub(super) fn settled_to_proto(m: &MediaSettled) -> p::MediaSettled {
    p::MediaSettled {
        message: m.message.to_string(),
        file: m.file.as_ref().map(file_to_proto),
        words: m.words.clone().map(Personal::into_revealed),
        fault: m.fault.clone(),
    }
}

pub(super) fn settled_from_proto(m: p::MediaSettled) -> Result<MediaSettled, DecodeError> {
    Ok(MediaSettled {
        message: event_id("media_settled.message", &m.message)?,
        file: m.file.map(file_from_proto),
        words: m.words.map(Personal::from),
        fault: m.fault,
    })
}

fn file_to_proto(file: &KeptFile) -> p::KeptFile {
    p::KeptFile {
        bucket: file.bucket.clone(),
        key: file.key.clone(),
        mime_type: file.mime_type.clone(),
        bytes: file.bytes,
    }
}

fn file_from_proto(file: p::KeptFile) -> KeptFile {
    KeptFile { bucket: file.bucket, key: file.key, mime_type: file.mime_type, bytes: file.bytes }
}

pub(super) fn choice_to_proto(choice: &OfferedChoice) -> p::OfferedChoice {
    p::OfferedChoice {
        id: choice.id.clone(),
        title: choice.title.reveal().to_owned(),
        description: choice.description.clone().map(Personal::into_revealed),
    }
}

pub(super) fn choice_from_proto(choice: p::OfferedChoice) -> OfferedChoice {
    OfferedChoice {
        id: choice.id,
        title: choice.title.into(),
        description: choice.description.map(Personal::from),
    }
}

fn mail_to_proto(mail: &Mail) -> p::Mail {
    p::Mail {
        subject: mail.subject.reveal().to_owned(),
        entry: mail.entry.as_ref().map(|e| p::CalendarEntry {
            id: e.id.clone(),
            sequence: e.sequence,
            is_cancelled: e.is_cancelled,
            starts_at_us: e.starts_at.as_micros(),
            ends_at_us: e.ends_at.as_micros(),
            timezone: e.timezone.clone(),
            summary: e.summary.reveal().to_owned(),
        }),
    }
}

fn mail_from_proto(mail: p::Mail) -> Mail {
    Mail {
        subject: mail.subject.into(),
        entry: mail.entry.map(|e| CalendarEntry {
            id: e.id,
            sequence: e.sequence,
            is_cancelled: e.is_cancelled,
            starts_at: Timestamp::from_micros(e.starts_at_us),
            ends_at: Timestamp::from_micros(e.ends_at_us),
            timezone: e.timezone,
            summary: e.summary.into(),
        }),
    }
}

pub(super) fn form_to_proto(form: &SentForm) -> Option<Form> {
    Some(match form {
        SentForm::Text => return None,
        SentForm::File(sent) => Form::File(sent_file_to_proto(sent)),
        SentForm::Link(link) => {
            Form::Link(p::SentLink { title: link.title.clone(), url: link.url.clone() })
        }
        SentForm::Reaction { to } => Form::ReactionTo(to.clone()),
        SentForm::Mail(mail) => Form::Mail(mail_to_proto(mail)),
        SentForm::Template(template) => Form::Template(template_to_proto(template)),
    })
}

fn sent_file_to_proto(sent: &SentFile) -> p::SentFile {
    p::SentFile {
        file: Some(file_to_proto(&sent.file)),
        filename: sent.filename.clone().map(Personal::into_revealed),
        sha256: sent.sha256.clone(),
    }
}

fn sent_file_from_proto(sent: p::SentFile, name: &'static str) -> Result<SentFile, DecodeError> {
    Ok(SentFile {
        file: file_from_proto(sent.file.ok_or_else(|| field(name, "is missing"))?),
        filename: sent.filename.map(Personal::from),
        sha256: sent.sha256,
    })
}

fn template_to_proto(t: &SentTemplate) -> p::SentTemplate {
    let header = t.header.as_ref().map(|header| match header {
        TemplateHeader::Text(text) => Header::HeaderText(text.reveal().to_owned()),
        TemplateHeader::File(file) => Header::HeaderFile(sent_file_to_proto(file)),
    });
    let button = |button: &TemplateButton| p::TemplateButton {
        index: button.index,
        parameter: Some(match &button.parameter {
            ButtonParameter::Payload(payload) => Parameter::Payload(payload.clone()),
            ButtonParameter::UrlEnd(end) => Parameter::UrlEnd(end.reveal().to_owned()),
        }),
    };
    p::SentTemplate {
        name: t.name.clone(),
        language: t.language.clone(),
        header,
        parameters: t.parameters.iter().map(|p| p.reveal().to_owned()).collect(),
        buttons: t.buttons.iter().map(button).collect(),
    }
}

fn template_from_proto(t: p::SentTemplate) -> Result<SentTemplate, DecodeError> {
    const FILE: &str = "message_sent.template.header_file.file";
    let header = match t.header {
        None => None,
        Some(Header::HeaderText(text)) => Some(TemplateHeader::Text(text.into())),
        Some(Header::HeaderFile(file)) => {
            Some(TemplateHeader::File(sent_file_from_proto(file, FILE)?))
        }
    };
    let button = |button: p::TemplateButton| {
        let parameter = match button.parameter {
            Some(Parameter::Payload(payload)) => ButtonParameter::Payload(payload),
            Some(Parameter::UrlEnd(end)) => ButtonParameter::UrlEnd(end.into()),
            None => return Err(field("message_sent.template.buttons.parameter", "is missing")),
        };
        Ok(TemplateButton { index: button.index, parameter })
    };
    Ok(SentTemplate {
        name: t.name,
        language: t.language,
        header,
        parameters: t.parameters.into_iter().map(Personal::from).collect(),
        buttons: t.buttons.into_iter().map(button).collect::<Result<_, _>>()?,
    })
}

pub(super) fn form_from_proto(form: Option<Form>) -> Result<SentForm, DecodeError> {
    Ok(match form {
        None => SentForm::Text,
        Some(Form::File(sent)) => {
            SentForm::File(sent_file_from_proto(sent, "message_sent.file.file")?)
        }
        Some(Form::Link(link)) => SentForm::Link(SentLink { title: link.title, url: link.url }),
        Some(Form::ReactionTo(to)) => SentForm::Reaction { to },
        Some(Form::Mail(mail)) => SentForm::Mail(mail_from_proto(mail)),
        Some(Form::Template(template)) => SentForm::Template(template_from_proto(template)?),
    })
}

pub(super) fn refused_to_proto(m: &MessageRefused) -> p::MessageRefused {
    p::MessageRefused {
        message: m.message.to_string(),
        code: m.code,
        part: m.part,
        external_id: m.external_id.clone(),
    }
}

pub(super) fn refused_from_proto(m: p::MessageRefused) -> Result<MessageRefused, DecodeError> {
    Ok(MessageRefused {
        message: event_id("message_refused.message", &m.message)?,
        part: m.part,
        external_id: m.external_id,
        code: m.code,
    })
}
