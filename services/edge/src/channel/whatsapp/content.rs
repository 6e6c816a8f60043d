//! What kind of message a person sent, and its words (PROTOCOLS 2.2).

use domain::{Location, Media, MediaKind, MessageKind};

use super::{
    inbound::plain,
    payload::{Card, File, Message, Order, Place, System},
};

/// The kind of a message, and what of it is text: the words, a caption, the name of a place.
///
/// A message whose part is missing, or whose type came after this release, is [`MessageKind::Unsupported`] under the
/// vendor's name for it: it is answered and kept, never lost.
pub(super) fn of(message: &Message) -> (MessageKind, String) {
    let kind = message.kind.as_str();
    let known = match kind {
        "text" => message.text.as_ref().map(|t| (MessageKind::Text, plain(&t.body))),
        "interactive" => interactive(message),
        "button" => message
            .button
            .as_ref()
            .map(|b| choice(b.payload.as_deref().unwrap_or(&b.text), &b.text)),
        "image" => file(MediaKind::Image, message.image.as_ref()),
        "video" => file(MediaKind::Video, message.video.as_ref()),
        "document" => file(MediaKind::Document, message.document.as_ref()),
        "sticker" => file(MediaKind::Sticker, message.sticker.as_ref()),
        "audio" => {
            let kind = match &message.audio {
                Some(audio) if audio.voice => MediaKind::VoiceNote,
                _ => MediaKind::Audio,
            };
            file(kind, message.audio.as_ref())
        }
        "location" => message.location.as_ref().and_then(place),
        "contacts" => message.contacts.as_ref().map(|cards| {
            (MessageKind::Text, cards.iter().map(card).collect::<Vec<_>>().join("\n"))
        }),
        "order" => message
            .order
            .as_ref()
            .map(order)
            .filter(|text| !text.is_empty())
            .map(|text| (MessageKind::Text, text)),
        "reaction" => message.reaction.as_ref().map(|r| {
            let emoji = r.emoji.as_deref().unwrap_or_default();
            (MessageKind::Reaction { to: plain(&r.message_id) }, plain(emoji))
        }),
        "edit" => edit(message),
        "revoke" => message.revoke.as_ref().map(|r| {
            (MessageKind::Revoked { original: plain(&r.original_message_id) }, String::new())
        }),
        "system" => message.system.as_ref().and_then(number_change),
        _ => None,
    };
    known.unwrap_or_else(|| (MessageKind::Unsupported(plain(kind)), String::new()))
}

fn choice(id: &str, title: &str) -> (MessageKind, String) {
    (MessageKind::Choice(plain(id)), plain(title))
}

fn interactive(message: &Message) -> Option<(MessageKind, String)> {
    let part = message.interactive.as_ref()?;
    if let Some(chosen) = part.button_reply.as_ref().or(part.list_reply.as_ref()) {
        return Some(choice(&chosen.id, &chosen.title));
    }
    // What was filled in is JSON of the form's own making: its values are the words.
    let form = part.nfm_reply.as_ref();
    let words = form.map(|f| form_words(&f.response_json).unwrap_or_else(|| plain(&f.body)));
    match words.filter(|words| !words.trim().is_empty()) {
        Some(words) => Some((MessageKind::Text, words)),
        None => Some((
            MessageKind::Unsupported(plain(&format!("interactive:{}", part.kind))),
            String::new(),
        )),
    }
}

/// "name: Ana, day: Tuesday"; nothing where it is no object. The token by which a Flow is told from another is no word
/// of the person's.
fn form_words(json: &str) -> Option<String> {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).ok()?;
    let words = fields.iter().filter(|(name, _)| *name != "flow_token").map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{name}: {value}")
    });
    Some(plain(&words.collect::<Vec<_>>().join(", ")))
}

fn file(kind: MediaKind, file: Option<&File>) -> Option<(MessageKind, String)> {
    let file = file.filter(|f| !f.id.is_empty())?;
    let media = Media {
        kind,
        id: plain(&file.id),
        mime_type: plain(&file.mime_type),
        sha256: plain(&file.sha256),
        filename: file.filename.as_deref().map(|name| plain(name).into()),
    };
    Some((MessageKind::Media(media), plain(file.caption.as_deref().unwrap_or_default())))
}

fn place(place: &Place) -> Option<(MessageKind, String)> {
    let on_earth =
        (-90.0..=90.0).contains(&place.latitude) && (-180.0..=180.0).contains(&place.longitude);
    let words = [&place.name, &place.address].into_iter().flatten().map(|part| plain(part));
    on_earth.then(|| {
        let location = Location { latitude: place.latitude, longitude: place.longitude };
        (MessageKind::Location(location), words.collect::<Vec<_>>().join(", "))
    })
}

/// "Order: 2 x SKU-1, 1 x SKU-2. Please wrap it."
fn order(order: &Order) -> String {
    let items = order.product_items.iter();
    let items: Vec<_> =
        items.map(|item| format!("{} x {}", item.quantity, item.product_retailer_id)).collect();
    let note = order.text.as_deref().unwrap_or_default().trim();
    plain(&match (items.is_empty(), note.is_empty()) {
        (true, _) => note.to_owned(),
        (false, true) => format!("Order: {}", items.join(", ")),
        (false, false) => format!("Order: {}. {note}", items.join(", ")),
    })
}

/// A contact card as a person would say it, so that an agent may take a name and a number from it.
fn card(card: &Card) -> String {
    let phones = card.phones.iter().filter_map(|p| p.phone.as_deref());
    let words: Vec<_> = [card.name.formatted_name.as_str()].into_iter().chain(phones).collect();
    plain(&words.join(" "))
}

/// A notice of the vendor's is something an agent cannot use, but for the person's new number.
fn number_change(notice: &System) -> Option<(MessageKind, String)> {
    let to = notice.wa_id.as_deref().filter(|_| notice.kind == "user_changed_number")?;
    Some((MessageKind::NumberChanged { to: plain(to).into() }, String::new()))
}

fn edit(message: &Message) -> Option<(MessageKind, String)> {
    let edit = message.edit.as_ref()?;
    let now = edit.message.as_ref()?;
    let caption = || {
        [&now.image, &now.video, &now.document]
            .into_iter()
            .flatten()
            .find_map(|f| f.caption.clone())
    };
    let words = now.text.as_ref().map(|t| t.body.clone()).or_else(caption)?;
    Some((MessageKind::Edited { original: plain(&edit.original_message_id) }, plain(&words)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(kind: &str, part: Value) -> (MessageKind, String) {
        let mut message = json!({"from": "1", "id": "wamid.1", "type": kind});
        message[kind] = part;
        of(&serde_json::from_value(message).unwrap())
    }

    fn media(kind: MediaKind, mime_type: &str, filename: Option<&str>) -> MessageKind {
        MessageKind::Media(Media {
            kind,
            id: "77".into(),
            mime_type: mime_type.into(),
            sha256: "aa".into(),
            filename: filename.map(Into::into),
        })
    }

    #[test]
    fn a_chosen_button_or_list_entry_carries_its_id_and_title() {
        let chosen = |id: &str, title: &str| (MessageKind::Choice(id.into()), title.to_owned());
        let button = json!({"type": "button_reply", "button_reply": {"id": "y", "title": "Yes"}});
        assert_eq!(read("interactive", button), chosen("y", "Yes"));
        let row = json!({"type": "list_reply", "list_reply": {"id": "r1", "title": "Row"}});
        assert_eq!(read("interactive", row), chosen("r1", "Row"));
        assert_eq!(read("button", json!({"payload": "OK", "text": "Fine"})), chosen("OK", "Fine"));
        assert_eq!(read("button", json!({"text": "Fine"})), chosen("Fine", "Fine"));
    }

    #[test]
    fn a_form_that_was_filled_in_is_read_as_its_values() {
        let form = json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent",
            "response_json": r#"{"day":"Tuesday","flow_token":"t","guests":2}"#}});
        assert_eq!(
            read("interactive", form),
            (MessageKind::Text, "day: Tuesday, guests: 2".into())
        );
        let unreadable =
            json!({"type": "nfm_reply", "nfm_reply": {"body": "Sent", "response_json": "{"}});
        assert_eq!(read("interactive", unreadable), (MessageKind::Text, "Sent".into()));
        let empty = json!({"type": "nfm_reply", "nfm_reply": {}});
        let unsupported = MessageKind::Unsupported("interactive:nfm_reply".into());
        assert_eq!(read("interactive", empty), (unsupported, String::new()));
    }

    #[test]
    fn a_file_carries_what_it_is_fetched_and_checked_by_and_its_caption() {
        let part =
            |mime: &str| json!({"id": "77", "mime_type": mime, "sha256": "aa", "caption": "look"});
        for (name, kind) in [
            ("image", MediaKind::Image),
            ("video", MediaKind::Video),
            ("sticker", MediaKind::Sticker),
        ] {
            assert_eq!(read(name, part("x/y")), (media(kind, "x/y", None), "look".into()));
        }
        let mut document = part("application/pdf");
        document["filename"] = json!("a.pdf");
        let expected = media(MediaKind::Document, "application/pdf", Some("a.pdf"));
        assert_eq!(read("document", document), (expected, "look".into()));
    }

    #[test]
    fn a_voice_note_is_told_from_a_song() {
        let sound = |voice: Value| {
            read("audio", json!({"id": "77", "mime_type": "audio/ogg; codecs=opus", "sha256": "aa", "voice": voice})).0
        };
        assert_eq!(sound(json!(true)), media(MediaKind::VoiceNote, "audio/ogg; codecs=opus", None));
        assert_eq!(sound(json!(false)), media(MediaKind::Audio, "audio/ogg; codecs=opus", None));
    }

    #[test]
    fn a_place_is_read_with_its_name_and_one_off_the_map_is_not_believed() {
        let at = json!({"latitude": 43.65, "longitude": -79.38, "name": "City Hall", "address": "100 Queen St W"});
        let here = MessageKind::Location(Location { latitude: 43.65, longitude: -79.38 });
        assert_eq!(read("location", at), (here, "City Hall, 100 Queen St W".into()));
        let nowhere = json!({"latitude": 430.0, "longitude": 0.0});
        assert_eq!(read("location", nowhere).0, MessageKind::Unsupported("location".into()));
    }

    #[test]
    fn contact_cards_are_read_as_names_and_numbers() {
        let cards = json!([{"name": {"formatted_name": "Ana Ruiz"}, "phones": [{"phone": "+1 555 0100", "type": "CELL"}]},
            {"name": {"formatted_name": "Bo"}}]);
        assert_eq!(read("contacts", cards), (MessageKind::Text, "Ana Ruiz +1 555 0100\nBo".into()));
    }

    #[test]
    fn an_order_is_read_as_what_is_wanted() {
        let items = json!([{"product_retailer_id": "SKU-1", "quantity": 2, "item_price": 5, "currency": "CAD"},
            {"product_retailer_id": "SKU-2", "quantity": 1}]);
        let read = |part: Value| read("order", part).1;
        assert_eq!(
            read(json!({"catalog_id": "c", "product_items": items})),
            "Order: 2 x SKU-1, 1 x SKU-2"
        );
        let both = json!({"product_items": [{"product_retailer_id": "A", "quantity": 1}], "text": "Wrap it."});
        assert_eq!(read(both), "Order: 1 x A. Wrap it.");
        assert_eq!(read(json!({"text": "as always"})), "as always");
    }

    #[test]
    fn a_notice_of_a_new_number_carries_it_and_any_other_is_told_on() {
        let moved = json!({"type": "user_changed_number", "body": "Ana changed her number",
            "wa_id": "15557654321"});
        let (kind, text) = read("system", moved);
        assert_eq!(kind, MessageKind::NumberChanged { to: "15557654321".into() });
        assert_eq!(text, "", "nobody wrote it");
        let identity = json!({"type": "customer_identity_changed", "body": "x"});
        assert_eq!(read("system", identity).0, MessageKind::Unsupported("system".into()));
        let nowhere = json!({"type": "user_changed_number", "body": "x"});
        assert_eq!(read("system", nowhere).0, MessageKind::Unsupported("system".into()));
    }

    #[test]
    fn a_reaction_an_edit_and_a_revoke_name_the_message_they_are_about() {
        let to = || "wamid.0".to_owned();
        let reaction =
            |emoji: Value| read("reaction", json!({"message_id": "wamid.0", "emoji": emoji}));
        assert_eq!(reaction(json!("👍")), (MessageKind::Reaction { to: to() }, "👍".into()));
        assert_eq!(reaction(json!(null)), (MessageKind::Reaction { to: to() }, String::new()));
        let edit = json!({"original_message_id": "wamid.0", "message": {"type": "text", "text": {"body": "3 pm"}}});
        assert_eq!(read("edit", edit), (MessageKind::Edited { original: to() }, "3 pm".into()));
        let revoke = json!({"original_message_id": "wamid.0"});
        assert_eq!(
            read("revoke", revoke),
            (MessageKind::Revoked { original: to() }, String::new())
        );
    }

    #[test]
    fn what_is_new_or_incomplete_is_kept_under_the_vendors_name() {
        for (kind, part) in [
            ("hologram", json!({})),
            ("image", json!(null)),
            ("edit", json!({"original_message_id": "wamid.0"})),
            ("unsupported", json!({"type": "poll"})),
            ("system", json!({"type": "user_changed_number"})),
        ] {
            assert_eq!(read(kind, part), (MessageKind::Unsupported(kind.into()), String::new()));
        }
    }

    #[test]
    fn no_text_holds_a_nul() {
        assert_eq!(
            read("text", json!({"body": "a\u{0}b"})).1,
            "a\u{fffd}b",
            "PostgreSQL holds none"
        );
    }
}
