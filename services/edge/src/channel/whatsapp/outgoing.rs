//! What we send, in the shapes of the Graph API (PROTOCOLS 2.3).

use domain::{
    ButtonParameter, MediaKind, OfferedChoice, Personal, SentLink, SentTemplate, TemplateButton,
    TemplateHeader,
};
use serde_json::{Value, json};

use super::files;
use crate::channel::{FileAtVendor, OutgoingPart, PartBody};

/// The longest text above buttons or a list, in characters.
pub(super) const LONGEST_INTERACTIVE_TEXT_CHARS: usize = 1024;

const MOST_BUTTONS: usize = 3;
const LONGEST_BUTTON_TITLE_CHARS: usize = 20;
const LONGEST_BUTTON_ID_CHARS: usize = 256;
const MOST_ROWS: usize = 10;
const LONGEST_ROW_TITLE_CHARS: usize = 24;
const LONGEST_ROW_TEXT_CHARS: usize = 72;
const LONGEST_ROW_ID_CHARS: usize = 200;
const LONGEST_LINK_TITLE_CHARS: usize = 20;
/// Meta names no limit; what is longer nobody types.
const LONGEST_URL: usize = 2000;
/// What opens a list; at most 20 characters.
const LIST_BUTTON: &str = "Choose";

/// One message.
pub(super) fn message(part: &OutgoingPart<'_>) -> Value {
    let mut message = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "biz_opaque_callback_data": part.mark.to_string(),
    });
    let (kind, member) = match part.body {
        PartBody::Text | PartBody::Mail(_) if part.choices.is_empty() => {
            ("text", json!({"body": part.text, "preview_url": false}))
        }
        PartBody::Text | PartBody::Mail(_) => ("interactive", interactive(part.text, part.choices)),
        PartBody::Template { template, file } => ("template", by_template(template, file)),
        PartBody::File(file) => with_caption(file, part.text),
        PartBody::Link(link) => ("interactive", with_link(part.text, link)),
        PartBody::Reaction(to) => ("reaction", json!({"message_id": to, "emoji": part.text})),
    };
    message["type"] = json!(kind);
    message[kind] = member;
    message[if is_bsuid(part.to) { "recipient" } else { "to" }] = json!(part.to.reveal());
    let quoted = part.in_reply_to.filter(|id| !id.is_empty());
    if let Some(wamid) = quoted.filter(|_| !matches!(part.body, PartBody::Reaction(_))) {
        message["context"] = json!({"message_id": wamid});
    }
    message
}

/// A file by the id it was uploaded under.
fn named_file(file: FileAtVendor<'_>) -> (&'static str, Value) {
    let (name, mut named) = (files::member(file.kind), json!({"id": file.id}));
    if let Some(filename) = file.filename.filter(|_| file.kind == MediaKind::Document) {
        named["filename"] = json!(filename.reveal());
    }
    (name, named)
}

fn with_caption(file: FileAtVendor<'_>, caption: &str) -> (&'static str, Value) {
    let (name, mut file) = named_file(file);
    if !caption.is_empty() {
        file["caption"] = json!(caption);
    }
    (name, file)
}

/// Whether a link fits on a button.
pub(super) fn shows_link(link: &SentLink) -> bool {
    let is_web = link.url.starts_with("https://") || link.url.starts_with("http://");
    is_web && is_within(&link.title, LONGEST_LINK_TITLE_CHARS) && link.url.len() <= LONGEST_URL
}

fn with_link(text: &str, link: &SentLink) -> Value {
    json!({"type": "cta_url", "body": {"text": text}, "action": {
        "name": "cta_url", "parameters": {"display_text": link.title, "url": link.url}}})
}

fn by_template(template: &SentTemplate, file: Option<FileAtVendor<'_>>) -> Value {
    let mut components = Vec::new();
    let header = match (&template.header, file) {
        (Some(TemplateHeader::Text(text)), _) => Some(text_parameter(text)),
        (Some(TemplateHeader::File(_)), Some(file)) => {
            let (kind, named) = named_file(file);
            let mut parameter = json!({"type": kind});
            parameter[kind] = named;
            Some(parameter)
        }
        _ => None,
    };
    if let Some(parameter) = header {
        components.push(json!({"type": "header", "parameters": [parameter]}));
    }
    if !template.parameters.is_empty() {
        let parameters: Vec<_> = template.parameters.iter().map(text_parameter).collect();
        components.push(json!({"type": "body", "parameters": parameters}));
    }
    components.extend(template.buttons.iter().map(template_button));
    let mut sent = json!({"name": template.name, "language": {"code": template.language}});
    if !components.is_empty() {
        sent["components"] = json!(components);
    }
    sent
}

fn text_parameter(text: &Personal) -> Value {
    json!({"type": "text", "text": text.reveal()})
}

fn template_button(button: &TemplateButton) -> Value {
    let (kind, parameter) = match &button.parameter {
        ButtonParameter::Payload(payload) => {
            ("quick_reply", json!({"type": "payload", "payload": payload}))
        }
        ButtonParameter::UrlEnd(end) => ("url", text_parameter(end)),
    };
    let index = button.index.to_string();
    json!({"type": "button", "sub_type": kind, "index": index, "parameters": [parameter]})
}

/// Shows a message and those before it as read, and, `is_answered_now`, that an answer is being written: until it comes, or
/// for 25 s.
pub(super) fn read_mark(external_id: &str, is_answered_now: bool) -> Value {
    let mut mark = json!({
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": external_id,
    });
    if is_answered_now {
        mark["typing_indicator"] = json!({"type": "text"});
    }
    mark
}

/// Whether these fit into buttons or a list. Titles are never cut: two cut ones may read alike.
pub(super) fn shows(choices: &[OfferedChoice]) -> bool {
    fit_buttons(choices) || fit_list(choices)
}

fn fit_buttons(choices: &[OfferedChoice]) -> bool {
    are_told_apart(choices)
        && choices.len() <= MOST_BUTTONS
        && choices.iter().all(|c| {
            c.description.is_none()
                && is_within(c.title.reveal(), LONGEST_BUTTON_TITLE_CHARS)
                && is_within(&c.id, LONGEST_BUTTON_ID_CHARS)
        })
}

fn fit_list(choices: &[OfferedChoice]) -> bool {
    are_told_apart(choices)
        && choices.len() <= MOST_ROWS
        && choices.iter().all(|c| {
            is_within(c.title.reveal(), LONGEST_ROW_TITLE_CHARS)
                && c.description
                    .as_ref()
                    .is_none_or(|d| is_within(d.reveal(), LONGEST_ROW_TEXT_CHARS))
                && is_within(&c.id, LONGEST_ROW_ID_CHARS)
        })
}

/// Meta refuses a message in which two choices share an id or a title.
fn are_told_apart(choices: &[OfferedChoice]) -> bool {
    let twice = |i: usize, c: &OfferedChoice| {
        choices[..i].iter().any(|other| other.id == c.id || other.title == c.title)
    };
    !choices.is_empty() && !choices.iter().enumerate().any(|(i, c)| twice(i, c))
}

fn is_within(text: &str, longest_chars: usize) -> bool {
    !text.is_empty() && text.chars().count() <= longest_chars
}

fn interactive(text: &str, choices: &[OfferedChoice]) -> Value {
    if fit_buttons(choices) {
        let buttons: Vec<_> = choices
            .iter()
            .map(|c| json!({"type": "reply", "reply": {"id": c.id, "title": c.title.reveal()}}))
            .collect();
        return json!({"type": "button", "body": {"text": text}, "action": {"buttons": buttons}});
    }
    let rows: Vec<_> = choices
        .iter()
        .map(|c| {
            let mut row = json!({"id": c.id, "title": c.title.reveal()});
            if let Some(description) = &c.description {
                row["description"] = json!(description.reveal());
            }
            row
        })
        .collect();
    json!({
        "type": "list",
        "body": {"text": text},
        "action": {"button": LIST_BUTTON, "sections": [{"rows": rows}]},
    })
}

/// A business-scoped user id is a country code, a dot and letters or digits; a number has no dot.
fn is_bsuid(to: &Personal) -> bool {
    to.reveal().contains('.')
}

#[cfg(test)]
mod tests {
    use domain::{ConversationId, EventId, KeptFile, SentFile};
    use uuid::Uuid;

    use super::*;
    use crate::channel::SendMark;

    fn mark() -> SendMark {
        SendMark {
            message: EventId::from_uuid(Uuid::from_u128(7)),
            part: 0,
            conversation: ConversationId::from_uuid(Uuid::from_u128(1)),
        }
    }

    fn written(to: &str, text: &str, choices: &[OfferedChoice]) -> Value {
        written_as(to, text, choices, PartBody::Text)
    }

    fn written_as(to: &str, text: &str, choices: &[OfferedChoice], body: PartBody<'_>) -> Value {
        let (to, mark) = (Personal::from(to), mark());
        message(&OutgoingPart {
            our_address: "106",
            to: &to,
            text,
            choices,
            body,
            in_reply_to: Some("wamid.1"),
            mark,
        })
    }

    fn choice(id: &str, title: &str, description: Option<&str>) -> OfferedChoice {
        OfferedChoice {
            id: id.into(),
            title: title.into(),
            description: description.map(Into::into),
        }
    }

    #[test]
    fn a_business_scoped_id_is_addressed_as_such_and_the_mark_goes_along() {
        let message = |to: &str| written(to, "Hi", &[]);
        assert_eq!(message("1555")["to"], "1555");
        assert_eq!(message("US.13491208655302741918")["recipient"], "US.13491208655302741918");
        assert!(message("US.1")["to"].is_null());
        assert_eq!(message("1555")["context"]["message_id"], "wamid.1");
        assert_eq!(message("1555")["biz_opaque_callback_data"], mark().to_string());
        assert_eq!(message("1555")["text"]["body"], "Hi");
    }

    #[test]
    fn a_template_carries_name_language_and_parameters() {
        let template = SentTemplate {
            name: "reminder".into(),
            language: "en_US".into(),
            header: None,
            parameters: vec!["Maple Dental".into(), "tomorrow at two".into()],
            buttons: Vec::new(),
        };
        let body = PartBody::Template { template: &template, file: None };
        let message = written_as("1555", "tomorrow at two", &[], body);
        assert_eq!(message["type"], "template");
        assert_eq!(
            message["template"],
            json!({"name": "reminder", "language": {"code": "en_US"}, "components": [
                {"type": "body", "parameters": [
                    {"type": "text", "text": "Maple Dental"},
                    {"type": "text", "text": "tomorrow at two"}]}]})
        );
        assert!(message["text"].is_null());
    }

    #[test]
    fn what_a_template_has_above_and_below_its_body_is_filled_in_as_well() {
        let (payload, end) =
            (ButtonParameter::Payload("OK".into()), ButtonParameter::UrlEnd("a/1".into()));
        let mut template = SentTemplate {
            name: "offer".into(),
            language: "en_US".into(),
            header: Some(TemplateHeader::Text("Friday".into())),
            parameters: Vec::new(),
            buttons: vec![
                TemplateButton { index: 0, parameter: payload },
                TemplateButton { index: 2, parameter: end },
            ],
        };
        let components = |template: &SentTemplate, file| {
            let body = PartBody::Template { template, file };
            written_as("1555", "", &[], body)["template"]["components"].clone()
        };
        assert_eq!(
            components(&template, None),
            json!([
                {"type": "header", "parameters": [{"type": "text", "text": "Friday"}]},
                {"type": "button", "sub_type": "quick_reply", "index": "0",
                    "parameters": [{"type": "payload", "payload": "OK"}]},
                {"type": "button", "sub_type": "url", "index": "2",
                    "parameters": [{"type": "text", "text": "a/1"}]}])
        );
        let (bucket, key, mime_type) = ("b".into(), "k".into(), "application/pdf".into());
        let kept = KeptFile { bucket, key, mime_type, bytes: 9 };
        let file = SentFile { file: kept, filename: None, sha256: String::new() };
        template.header = Some(TemplateHeader::File(file));
        let name = Personal::from("prices.pdf");
        let file = FileAtVendor { id: "77", kind: MediaKind::Document, filename: Some(&name) };
        assert_eq!(
            components(&template, Some(file))[0],
            json!({"type": "header", "parameters": [
                {"type": "document", "document": {"id": "77", "filename": "prices.pdf"}}]})
        );
    }

    #[test]
    fn a_file_is_named_by_its_id_with_what_its_kind_may_carry() {
        let name = Personal::from("prices.pdf");
        let sent = |kind, text| {
            let body = PartBody::File(FileAtVendor { id: "77", kind, filename: Some(&name) });
            written_as("1555", text, &[], body)
        };
        let document = sent(MediaKind::Document, "our prices");
        assert_eq!(document["type"], "document");
        let member = json!({"id": "77", "caption": "our prices", "filename": "prices.pdf"});
        assert_eq!(document["document"], member);
        assert_eq!(document["context"]["message_id"], "wamid.1");
        assert_eq!(sent(MediaKind::Image, "")["image"], json!({"id": "77"}));
        assert_eq!(sent(MediaKind::Audio, "")["audio"], json!({"id": "77"}));
    }

    #[test]
    fn a_link_is_a_button_and_a_reaction_names_its_message() {
        let link = SentLink { title: "Pay now".into(), url: "https://pay.example/1".into() };
        assert!(shows_link(&link));
        let long = SentLink { title: "x".repeat(21), ..link.clone() };
        assert!(!shows_link(&long));
        assert!(!shows_link(&SentLink { url: "ftp://x".into(), ..link.clone() }));
        assert_eq!(
            written_as("1555", "Your bill", &[], PartBody::Link(&link))["interactive"],
            json!({"type": "cta_url", "body": {"text": "Your bill"}, "action": {"name": "cta_url",
                "parameters": {"display_text": "Pay now", "url": "https://pay.example/1"}}})
        );
        let reaction = written_as("1555", "👍", &[], PartBody::Reaction("wamid.7"));
        assert_eq!(reaction["reaction"], json!({"message_id": "wamid.7", "emoji": "👍"}));
        assert!(reaction["text"].is_null());
    }

    #[test]
    fn up_to_three_short_choices_are_buttons() {
        let choices = [choice("y", "Yes", None), choice("n", "No", None)];
        assert_eq!(
            written("1555", "Sure?", &choices)["interactive"],
            json!({"type": "button", "body": {"text": "Sure?"}, "action": {"buttons": [
                {"type": "reply", "reply": {"id": "y", "title": "Yes"}},
                {"type": "reply", "reply": {"id": "n", "title": "No"}}]}})
        );
    }

    #[test]
    fn more_of_them_or_described_ones_are_a_list() {
        let mut choices = vec![choice("a", "Tuesday 2 PM", Some("with Dr Singh"))];
        assert_eq!(written("1555", "When?", &choices)["interactive"]["type"], "list");
        choices.extend((0..9).map(|n| choice(&format!("s{n}"), &format!("Slot {n}"), None)));
        let message = written("1555", "When?", &choices);
        let rows = message["interactive"]["action"]["sections"][0]["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 10);
        assert_eq!(
            rows[0],
            json!({"id": "a", "title": "Tuesday 2 PM", "description": "with Dr Singh"})
        );
        assert_eq!(rows[1], json!({"id": "s0", "title": "Slot 0"}));
    }

    #[test]
    fn what_meta_would_refuse_is_not_shown() {
        let many: Vec<_> =
            (0..11).map(|n| choice(&format!("s{n}"), &format!("Slot {n}"), None)).collect();
        assert!(!shows(&many), "more than ten");
        assert!(!shows(&[]), "none");
        assert!(!shows(&[choice("a", &"x".repeat(25), None)]), "a long title");
        assert!(!shows(&[choice("a", "A", Some(&"x".repeat(73)))]), "a long description");
        assert!(!shows(&[choice(&"i".repeat(257), "A", None)]), "a long id");
        assert!(!shows(&[choice("a", "", None)]), "no title");
        assert!(!shows(&[choice("a", "A", None), choice("b", "A", None)]), "one title twice");
        assert!(!shows(&[choice("a", "A", None), choice("a", "B", None)]), "one id twice");
        assert!(shows(&[choice("a", &"é".repeat(24), None)]), "characters, not bytes");
    }
}
