//! What a webhook of Meta's says, as events. Every entry, change and message of a request counts, in order.

use std::time::Duration;

use domain::{
    Channel, ConversationId, DeliveryStatus, DeliveryUpdated, Envelope, EventId, MessageKind,
    MessageReceived, MessageRefused, Personal, Stage, TenantId, Timestamp,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    OUTSIDE_WINDOW, content,
    payload::{Contact, Message, MessagesValue, Status, Webhook},
};
use crate::{
    channel::{Malformed, Notice, Seen, SendMark, UserKey},
    directory::Directory,
};

/// Reads a validated webhook body.
///
/// # Errors
/// When it is no webhook at all. A single message that cannot be understood is left out with a log line: an error
/// would make Meta repeat the whole request, innocents included, for 7 days.
pub(super) fn read(
    body: &[u8],
    directory: &Directory,
    now: Timestamp,
) -> Result<Vec<Notice>, Malformed> {
    let mut notices = match serde_json::from_slice::<Webhook<WholeValue>>(body) {
        Ok(webhook) => read_changes(webhook, Some, directory, now),
        Err(_) => read_apart(body, directory, now)?,
    };
    keep_order_of_arrival(&mut notices);
    Ok(notices)
}

/// A change in which everything is as documented.
type WholeValue = MessagesValue<Message, Status>;

/// Part by part: what is wrong harms nothing beside it.
fn read_apart(
    body: &[u8],
    directory: &Directory,
    now: Timestamp,
) -> Result<Vec<Notice>, Malformed> {
    let json: Value =
        serde_json::from_slice(body).map_err(|e| Malformed::new("body", json_fault(&e)))?;
    let webhook: Webhook<Value> =
        serde_json::from_value(json).map_err(|e| Malformed::new("webhook", json_fault(&e)))?;
    let value_of = |value: Value| {
        let value = understood::<MessagesValue<Value, Value>>(value, "change")?;
        Some(value.read(|m| understood(m, "message"), |s| understood(s, "status")))
    };
    Ok(read_changes(webhook, value_of, directory, now))
}

fn read_changes<V>(
    webhook: Webhook<V>,
    value_of: impl Fn(V) -> Option<WholeValue>,
    directory: &Directory,
    now: Timestamp,
) -> Vec<Notice> {
    let changes = webhook.entry.into_iter().flat_map(|entry| entry.changes);
    let of_messages = changes.filter(|change| {
        if change.field != "messages" {
            tracing::info!(field = %change.field.escape_debug(), "webhook field ignored");
        }
        change.field == "messages"
    });
    let values = of_messages.filter_map(|change| change.value.and_then(&value_of));
    values.flat_map(|value| read_value(value, directory, now)).collect()
}

/// The order kept is the order of arrival (DESIGN 4): the vendor's times are whole seconds, and two
/// messages of one second would have no order. Within a request each is a microsecond later.
fn keep_order_of_arrival(notices: &mut [Notice]) {
    for (place, notice) in (0_u64..).zip(notices) {
        if let Notice::Person { event: Some(event), .. } = notice {
            event.occurred_at = event.occurred_at.plus(Duration::from_micros(place));
        }
    }
}

fn read_value(value: WholeValue, directory: &Directory, now: Timestamp) -> Vec<Notice> {
    for error in &value.errors {
        tracing::warn!(code = error.code, title = %error.title.escape_debug(), "WhatsApp reports an account error");
    }
    let Some(tenant) = directory.tenant_of(&Channel::WHATSAPP, &value.metadata.phone_number_id)
    else {
        metrics::counter!("edge_unknown_address_total", "channel" => "whatsapp").increment(1);
        tracing::warn!(
            kind = "unknown_number",
            channel = "whatsapp",
            "message to an address that is not ours"
        );
        return Vec::new();
    };
    let ours = Ours { tenant, phone_number_id: value.metadata.phone_number_id, now };
    let messages = value.messages.into_iter().filter_map(|m| ours.message(m, &value.contacts));
    let statuses = value.statuses.into_iter().filter_map(|s| ours.status(s));
    messages.chain(statuses).collect()
}

/// The address of ours a change is about.
struct Ours {
    tenant: TenantId,
    phone_number_id: String,
    now: Timestamp,
}

impl Ours {
    fn message(&self, message: Message, contacts: &[Contact]) -> Option<Notice> {
        let bsuid = message.from_user_id.clone().filter(|id| !id.is_empty());
        let number = message.from.clone().filter(|id| !id.is_empty());
        let Some(from) = number.clone().or_else(|| bsuid.clone()) else {
            tracing::warn!(kind = "malformed_message", part = "from", "WhatsApp message left out");
            return None;
        };
        // The contact's own id outlives the number where Meta gives one (DESIGN 4).
        let contact = bsuid.clone().unwrap_or_else(|| from.clone());
        let conversation = self.conversation(&contact);
        let (kind, text) = content::of(&message);
        let is_answered_now = is_answered(&kind);
        let profile_name = profile_of(contacts, number.as_deref(), bsuid.as_deref());
        let event_id =
            self.tenant.derive(&format!("whatsapp:{}:{}", self.phone_number_id, message.id));
        let mut event = Envelope::new(
            EventId::from_uuid(event_id),
            self.tenant,
            conversation,
            Channel::WHATSAPP,
            self.now,
            MessageReceived {
                from: Personal::new(from),
                to: self.phone_number_id.clone(),
                text: Personal::new(text),
                kind,
                external_id: message.id.clone(),
                profile_name: profile_name.map(Personal::new),
                bsuid: bsuid.map(Personal::new),
                heard: None,
                call: None,
                gathered: false,
                speech: None,
                quotes: message.context.and_then(|c| c.id).map(|id| plain(&id)),
                referral: message
                    .referral
                    .and_then(|r| r.headline.or(r.body))
                    .map(|text| plain(&text).into()),
            },
        );
        event.stamp(Stage::WEBHOOK_RECEIVED, self.now);
        Some(Notice::Person {
            user: UserKey::of(self.tenant, &Channel::WHATSAPP, &contact, &contact),
            event: Some(Box::new(event)),
            seen: Some(Seen {
                our_address: self.phone_number_id.clone(),
                external_id: message.id,
                conversation,
                is_answered_now,
            }),
        })
    }

    fn status(&self, status: Status) -> Option<Notice> {
        let reached = match status.status.as_str() {
            "sent" => DeliveryStatus::Sent,
            "delivered" => DeliveryStatus::Delivered,
            "read" | "played" => DeliveryStatus::Read,
            "failed" => DeliveryStatus::Failed,
            other => {
                tracing::info!(status = %other.escape_debug(), "WhatsApp status ignored");
                return None;
            }
        };
        let mark = status.biz_opaque_callback_data.as_deref().and_then(SendMark::parse);
        let contact = status.recipient_user_id.or(status.recipient_id).filter(|id| !id.is_empty());
        // Our mark names the conversation; without it the recipient does, who may be left out or named otherwise
        // than when they wrote (PROTOCOLS 2.2, BSUID).
        let conversation = match (&mark, &contact) {
            (Some(mark), _) => mark.conversation,
            (None, Some(contact)) => self.conversation(contact),
            (None, None) => {
                tracing::info!("WhatsApp status without recipient or mark ignored");
                return None;
            }
        };
        let error = status.errors.into_iter().next().map(|e| (e.code, plain(&e.title)));
        let refused = error.as_ref().filter(|(code, _)| *code == OUTSIDE_WINDOW);
        if let (DeliveryStatus::Failed, Some(mark), Some((code, _))) = (reached, mark, refused) {
            return Some(self.refused(mark, status.id, *code));
        }
        let event_id =
            self.tenant.derive(&format!("whatsapp-status:{}:{}", status.id, status.status));
        let event = Envelope::new(
            EventId::from_uuid(event_id),
            self.tenant,
            conversation,
            Channel::WHATSAPP,
            self.moment(status.timestamp.as_deref()),
            DeliveryUpdated {
                message: mark.map(|m| m.message),
                external_id: status.id.clone(),
                status: reached,
                error,
            },
        );
        Some(Notice::Delivery {
            event: Box::new(event),
            send: mark.map(|m| (m.send_id(), status.id)),
        })
    }

    /// A message of ours that the vendor had taken, and then not delivered because the person may not be written to freely:
    /// that is not its end.
    fn refused(&self, mark: SendMark, external_id: String, code: i64) -> Notice {
        let event_id = self.tenant.derive(&format!("whatsapp-refused:{external_id}"));
        let event = Envelope::new(
            EventId::from_uuid(event_id),
            self.tenant,
            mark.conversation,
            Channel::WHATSAPP,
            self.now,
            MessageRefused { message: mark.message, part: mark.part, external_id, code },
        );
        Notice::Delivery { event: Box::new(event), send: None }
    }

    fn conversation(&self, contact: &str) -> ConversationId {
        ConversationId::of_chat(
            self.tenant,
            Channel::WHATSAPP.as_str(),
            &self.phone_number_id,
            contact,
        )
    }

    /// A vendor's time: seconds since 1970 as text; now where it is missing or absurd.
    fn moment(&self, seconds: Option<&str>) -> Timestamp {
        let micros =
            seconds.and_then(|s| s.parse::<i64>().ok()).and_then(|s| s.checked_mul(1_000_000));
        match micros {
            Some(micros) if micros > 0 && micros <= self.now.as_micros() => {
                Timestamp::from_micros(micros)
            }
            _ => self.now,
        }
    }
}

/// Whether a message is one that a person expects an answer to.
fn is_answered(kind: &MessageKind) -> bool {
    match kind {
        MessageKind::Reaction { .. }
        | MessageKind::Revoked { .. }
        | MessageKind::NumberChanged { .. }
        | MessageKind::Keyword(_) => false,
        // The vendor's own notices.
        MessageKind::Unsupported(name) => name != "system",
        _ => true,
    }
}

fn profile_of(contacts: &[Contact], number: Option<&str>, bsuid: Option<&str>) -> Option<String> {
    let same = |a: Option<&str>, b: Option<&str>| a.is_some() && a == b;
    let contact = contacts
        .iter()
        .find(|c| same(c.user_id.as_deref(), bsuid) || same(c.wa_id.as_deref(), number))
        .or(if contacts.len() == 1 { contacts.first() } else { None })?;
    contact.profile.name.as_deref().map(plain).filter(|name| !name.is_empty())
}

/// Text as PostgreSQL can hold it: JSON may carry a NUL, a row may not.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn understood<T: DeserializeOwned>(value: Value, part: &'static str) -> Option<T> {
    serde_json::from_value(value)
        .inspect_err(|e| {
            metrics::counter!("edge_vendor_parts_left_out_total", "channel" => "whatsapp").increment(1);
            tracing::warn!(kind = "malformed_message", part, fault = %json_fault(e), "part of a webhook left out");
        })
        .ok()
}

/// What is wrong with JSON, without quoting values: they may be a person's.
fn json_fault(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    match error.classify() {
        Category::Data => {
            let text = error.to_string();
            // "missing field `entry`" names our own field; "invalid type: string \"…\"" quotes the sender.
            if text.starts_with("missing field") {
                text
            } else {
                "a field has the wrong type".to_owned()
            }
        }
        Category::Eof => "JSON ends too early".to_owned(),
        Category::Syntax | Category::Io => {
            format!("not JSON at line {} column {}", error.line(), error.column())
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{Address, AddressMode, Payload};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const OURS: &str = "106540352242922";

    fn directory() -> Directory {
        Directory::holding(
            vec![Address {
                channel: Channel::WHATSAPP,
                address: OURS.into(),
                display: None,
                tenant: TenantId::from_uuid(Uuid::from_u128(1)),
                mode: AddressMode::Chat,
                credentials: None,
            }],
            Vec::new(),
        )
    }

    fn now() -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000)
    }

    fn change(value: Value) -> Value {
        json!({"field": "messages", "value": value})
    }

    fn value(messages: Value) -> Value {
        json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": OURS},
            "contacts": [{"profile": {"name": "Ana"}, "wa_id": "972987654321"}], "messages": messages})
    }

    fn read_all(changes: Value) -> Vec<Notice> {
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]});
        read(body.to_string().as_bytes(), &directory(), now()).unwrap()
    }

    fn received(notice: &Notice) -> (&Envelope, &MessageReceived) {
        match notice {
            Notice::Person { event: Some(event), .. } => match &event.payload {
                Payload::MessageReceived(m) => (event, m),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn delivery(notice: &Notice) -> (&Envelope, &DeliveryUpdated) {
        match notice {
            Notice::Delivery { event, .. } => match &event.payload {
                Payload::DeliveryUpdated(d) => (event, d),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn text(id: &str, body: &str) -> Value {
        json!({"from": "972987654321", "id": id, "timestamp": "1749416383", "type": "text", "text": {"body": body}})
    }

    #[test]
    fn every_message_of_every_change_counts_in_order() {
        let notices = read_all(json!([
            change(value(json!([text("wamid.1", "Hi"), text("wamid.2", "there")]))),
            {"field": "account_update", "value": {"event": "X"}},
            change(value(json!([text("wamid.3", "!")]))),
        ]));
        let texts: Vec<_> =
            notices.iter().map(|n| received(n).1.text.reveal().to_owned()).collect();
        assert_eq!(texts, ["Hi", "there", "!"]);
        let (event, message) = received(&notices[0]);
        assert_eq!(message.profile_name.as_ref().unwrap().reveal(), "Ana");
        assert_eq!(message.to, OURS);
        assert!(notices.is_sorted_by_key(|n| received(n).0.occurred_at));
        assert!(event.occurred_at < received(&notices[1]).0.occurred_at);
    }

    #[test]
    fn nobody_is_shown_to_be_writing_where_no_answer_is_expected() {
        let told = |part: Value| {
            let mut message = json!({"from": "972987654321", "id": "wamid.1"});
            message.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
            match read_all(json!([change(value(json!([message])))])).pop() {
                Some(Notice::Person { seen: Some(seen), .. }) => seen.is_answered_now,
                other => panic!("{other:?}"),
            }
        };
        assert!(told(json!({"type": "text", "text": {"body": "Hi"}})));
        assert!(told(json!({"type": "hologram"})));
        for part in [
            json!({"type": "reaction", "reaction": {"message_id": "wamid.0", "emoji": "👍"}}),
            json!({"type": "revoke", "revoke": {"original_message_id": "wamid.0"}}),
            json!({"type": "system", "system": {"type": "customer_identity_changed"}}),
        ] {
            assert!(!told(part.clone()), "{part}");
        }
    }

    #[test]
    fn a_repeated_message_has_the_id_of_the_first() {
        let changes = json!([change(value(json!([text("wamid.1", "Hi")])))]);
        let (first, second) = (read_all(changes.clone()), read_all(changes));
        assert_eq!(received(&first[0]).0.event_id, received(&second[0]).0.event_id);
    }

    #[test]
    fn a_reply_names_what_it_quotes_and_a_first_message_the_advertisement_it_came_from() {
        let notices = read_all(json!([change(value(json!([
            {"from": "1", "id": "wamid.2", "type": "text", "text": {"body": "that one"}, "context": {"from": "9", "id": "wamid.1"}},
            {"from": "1", "id": "wamid.3", "type": "text", "text": {"body": "hi"}, "context": {"forwarded": true},
             "referral": {"source_url": "https://x", "headline": "Spring offer", "body": "10 % off"}},
        ])))]));
        assert_eq!(received(&notices[0]).1.quotes.as_deref(), Some("wamid.1"));
        assert_eq!(received(&notices[1]).1.quotes, None, "forwarding is no quote");
        assert_eq!(received(&notices[1]).1.referral.as_ref().unwrap().reveal(), "Spring offer");
    }

    #[test]
    fn an_unknown_type_is_told_on_and_a_broken_message_harms_no_other() {
        let notices = read_all(json!([change(value(json!([
            {"from": "1", "id": "wamid.1", "type": "hologram", "hologram": {}},
            {"id": 7},
            "rubbish",
            {"id": "wamid.4", "type": "text", "text": {"body": "from nobody"}},
            text("wamid.5", "a\u{0}b"),
        ])))]));
        assert_eq!(notices.len(), 2);
        assert_eq!(received(&notices[0]).1.kind, MessageKind::Unsupported("hologram".into()));
        assert_eq!(received(&notices[1]).1.text.reveal(), "a\u{fffd}b", "PostgreSQL holds no NUL");
    }

    #[test]
    fn a_contact_is_known_by_their_business_scoped_id_where_there_is_one() {
        let with = |from: Option<&str>, id: Option<&str>| {
            let message = json!({"from": from, "from_user_id": id, "id": "wamid.1", "type": "text", "text": {"body": "x"}});
            let notices = read_all(json!([change(value(json!([message])))]));
            let (event, message) = received(&notices[0]);
            (event.conversation, message.from.reveal().to_owned())
        };
        assert_eq!(
            with(Some("1555"), Some("US.9")).0,
            with(None, Some("US.9")).0,
            "the number may change or go"
        );
        assert_ne!(with(Some("1555"), Some("US.9")).0, with(Some("1555"), None).0);
        assert_eq!(with(Some("1555"), Some("US.9")).1, "1555");
        assert_eq!(with(None, Some("US.9")).1, "US.9");
    }

    #[test]
    fn a_status_settles_the_send_it_names_and_stays_in_its_conversation() {
        let mark = SendMark {
            message: EventId::random(),
            part: 1,
            conversation: ConversationId::from_uuid(Uuid::from_u128(77)),
        };
        let notices = read_all(json!([change(
            json!({"metadata": {"phone_number_id": OURS}, "statuses": [
                {"id": "wamid.9", "status": "failed", "timestamp": "1749416383", "recipient_id": "1555",
                 "biz_opaque_callback_data": mark.to_string(), "errors": [{"code": 131026, "title": "Undeliverable"}]},
                {"id": "wamid.8", "status": "played", "recipient_id": "1555"},
                {"id": "wamid.7", "status": "warped", "recipient_id": "1555"},
            ]})
        )]));
        assert_eq!(notices.len(), 2, "an unknown status is no error");
        let (event, update) = delivery(&notices[0]);
        assert_eq!(event.conversation, mark.conversation);
        assert_eq!(update.message, Some(mark.message));
        assert_eq!(update.error, Some((131026, "Undeliverable".into())));
        assert!(matches!(&notices[0], Notice::Delivery { send: Some((id, wamid)), .. }
            if *id == mark.send_id() && wamid == "wamid.9"));
        assert_eq!(delivery(&notices[1]).1.status, DeliveryStatus::Read);
    }

    #[test]
    fn a_message_that_is_refused_late_for_the_window_is_told_as_that_and_any_other_failure_as_failed()
     {
        let mark = SendMark {
            message: EventId::random(),
            part: 0,
            conversation: ConversationId::from_uuid(Uuid::from_u128(77)),
        };
        let failed = |code: i64, mark: &str| {
            let notices = read_all(json!([change(
                json!({"metadata": {"phone_number_id": OURS}, "statuses": [
                    {"id": "wamid.9", "status": "failed", "recipient_id": "1555",
                     "biz_opaque_callback_data": mark, "errors": [{"code": code, "title": "t"}]}]})
            )]));
            let [Notice::Delivery { event, send }] = &notices[..] else { panic!("{notices:?}") };
            (event.payload.name(), send.is_some())
        };
        let ours = mark.to_string();
        assert_eq!(
            failed(131_047, &ours),
            ("MessageRefused", false),
            "it does not settle the send"
        );
        assert_eq!(failed(131_026, &ours), ("DeliveryUpdated", true));
        assert_eq!(
            failed(131_047, "job-9"),
            ("DeliveryUpdated", false),
            "nobody can send it again"
        );
    }

    #[test]
    fn what_is_no_webhook_is_refused_without_quoting_it() {
        for body in ["", "{", "[]", "{}", r#"{"entry": "secret-number"}"#, "\u{1}secret"] {
            let fault = read(body.as_bytes(), &directory(), now()).unwrap_err();
            assert!(!fault.0.contains("secret"), "{fault}");
        }
        let fault = read(b"{}", &directory(), now()).unwrap_err();
        assert!(fault.0.contains("entry"), "the fault is named: {fault}");
    }

    #[test]
    fn a_message_to_a_number_that_is_not_ours_is_dropped() {
        let mut foreign = value(json!([text("wamid.1", "Hi")]));
        foreign["metadata"]["phone_number_id"] = json!("999");
        assert!(read_all(json!([change(foreign)])).is_empty());
    }
}
