//! What only chats carry: kinds of messages, files, places, choices.

use domain::{Location, Media, MediaKind, MessageKind, OfferedChoice, Personal};

use crate::proto::{self as p, message_received::Kind};

pub(super) fn kind_to_proto(kind: &MessageKind) -> Kind {
    match kind {
        MessageKind::Speech => Kind::Speech(true),
        MessageKind::Text => Kind::PlainText(true),
        MessageKind::Choice(id) => Kind::Choice(id.clone()),
        MessageKind::Media(m) => Kind::Media(p::Media {
            kind: m.kind.as_str().to_owned(),
            id: m.id.clone(),
            mime_type: m.mime_type.clone(),
            sha256: m.sha256.clone(),
            filename: m.filename.clone().map(Personal::into_revealed),
        }),
        MessageKind::Location(l) => {
            Kind::Location(p::Location { latitude: l.latitude, longitude: l.longitude })
        }
        MessageKind::Reaction { to } => Kind::ReactionTo(to.clone()),
        MessageKind::Edited { original } => Kind::Edited(original.clone()),
        MessageKind::Revoked { original } => Kind::Revoked(original.clone()),
        MessageKind::Unsupported(kind) => Kind::Unsupported(kind.clone()),
    }
}

/// A kind of file that a later release added is one this release cannot use, not a fault of the message.
pub(super) fn kind_from_proto(kind: Kind) -> MessageKind {
    match kind {
        Kind::Speech(_) => MessageKind::Speech,
        Kind::PlainText(_) => MessageKind::Text,
        Kind::Choice(id) => MessageKind::Choice(id),
        Kind::Media(m) => match MediaKind::parse(&m.kind) {
            Some(kind) => MessageKind::Media(Media {
                kind,
                id: m.id,
                mime_type: m.mime_type,
                sha256: m.sha256,
                filename: m.filename.map(Personal::from),
            }),
            None => MessageKind::Unsupported(m.kind),
        },
        Kind::Location(l) => {
            MessageKind::Location(Location { latitude: l.latitude, longitude: l.longitude })
        }
        Kind::ReactionTo(to) => MessageKind::Reaction { to },
        Kind::Edited(original) => MessageKind::Edited { original },
        Kind::Revoked(original) => MessageKind::Revoked { original },
        Kind::Unsupported(kind) => MessageKind::Unsupported(kind),
    }
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
