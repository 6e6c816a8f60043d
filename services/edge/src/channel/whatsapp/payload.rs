//! The webhook body as Meta documents it (PROTOCOLS 2.2). Lenient where Meta may add or leave out, strict where
//! nothing can be understood otherwise.

use serde::Deserialize;
use serde_json::Value;

/// A webhook whose changes are read as `V`: whole in one pass where everything in it is as documented, else each part by
/// itself from JSON.
#[derive(Deserialize)]
pub(super) struct Webhook<V> {
    pub entry: Vec<Entry<V>>,
}

#[derive(Deserialize)]
pub(super) struct Entry<V> {
    #[serde(default = "Vec::new")]
    pub changes: Vec<Change<V>>,
}

#[derive(Deserialize)]
pub(super) struct Change<V> {
    #[serde(default)]
    pub field: String,
    /// A field we did not subscribe to has a shape of its own.
    pub value: Option<V>,
}

#[derive(Deserialize)]
pub(super) struct MessagesValue<M, S> {
    pub metadata: Metadata,
    #[serde(default)]
    pub contacts: Vec<Contact>,
    #[serde(default = "Vec::new")]
    pub messages: Vec<M>,
    #[serde(default = "Vec::new")]
    pub statuses: Vec<S>,
    #[serde(default)]
    pub errors: Vec<VendorError>,
}

impl MessagesValue<Value, Value> {
    /// Its messages and statuses as `message` and `status` read them; those they cannot are left out.
    pub(super) fn read<M, S>(
        self,
        message: impl FnMut(Value) -> Option<M>,
        status: impl FnMut(Value) -> Option<S>,
    ) -> MessagesValue<M, S> {
        MessagesValue {
            metadata: self.metadata,
            contacts: self.contacts,
            messages: self.messages.into_iter().filter_map(message).collect(),
            statuses: self.statuses.into_iter().filter_map(status).collect(),
            errors: self.errors,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Metadata {
    pub phone_number_id: String,
}

#[derive(Deserialize)]
pub(super) struct Contact {
    #[serde(default)]
    pub profile: Profile,
    pub wa_id: Option<String>,
    pub user_id: Option<String>,
}

#[derive(Deserialize, Default)]
pub(super) struct Profile {
    pub name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Message {
    /// Missing where the person has a username and we never wrote to their number.
    pub from: Option<String>,
    /// The business-scoped user id (BSUID).
    pub from_user_id: Option<String>,
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub text: Option<Text>,
    pub interactive: Option<Interactive>,
    pub button: Option<Button>,
    pub image: Option<File>,
    pub video: Option<File>,
    pub audio: Option<File>,
    pub document: Option<File>,
    pub sticker: Option<File>,
    pub location: Option<Place>,
    pub contacts: Option<Vec<Card>>,
    pub reaction: Option<Reaction>,
    pub order: Option<Order>,
    pub edit: Option<Edit>,
    pub revoke: Option<Revoke>,
    pub system: Option<System>,
    /// The message this one replies to; a reply may come without.
    pub context: Option<Quoted>,
    pub referral: Option<Referral>,
}

/// What the vendor announces of a file (PROTOCOLS 2.2); it is fetched by its id (2.5).
#[derive(Deserialize)]
pub(super) struct File {
    pub id: String,
    #[serde(default)]
    pub mime_type: String,
    #[serde(default)]
    pub sha256: String,
    pub caption: Option<String>,
    pub filename: Option<String>,
    /// Whether a piece of sound was spoken to us.
    #[serde(default)]
    pub voice: bool,
}

#[derive(Deserialize)]
pub(super) struct Place {
    pub latitude: f64,
    pub longitude: f64,
    pub name: Option<String>,
    pub address: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Card {
    pub name: CardName,
    #[serde(default)]
    pub phones: Vec<CardPhone>,
}

#[derive(Deserialize)]
pub(super) struct CardName {
    #[serde(default)]
    pub formatted_name: String,
}

#[derive(Deserialize)]
pub(super) struct CardPhone {
    pub phone: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Reaction {
    pub message_id: String,
    /// Empty or missing where it was taken back.
    pub emoji: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Order {
    pub text: Option<String>,
    #[serde(default)]
    pub product_items: Vec<Ordered>,
}

#[derive(Deserialize)]
pub(super) struct Ordered {
    pub product_retailer_id: String,
    #[serde(default)]
    pub quantity: u32,
}

#[derive(Deserialize)]
pub(super) struct Edit {
    pub original_message_id: String,
    /// The message as it is now, in the shape of any other.
    pub message: Option<Box<Edited>>,
}

#[derive(Deserialize)]
pub(super) struct Edited {
    pub text: Option<Text>,
    pub image: Option<File>,
    pub video: Option<File>,
    pub document: Option<File>,
}

#[derive(Deserialize)]
pub(super) struct Revoke {
    pub original_message_id: String,
}

/// A notice of the vendor's about the person.
#[derive(Deserialize)]
pub(super) struct System {
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The person's new id, of one whose number has changed.
    pub wa_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Quoted {
    pub id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Referral {
    pub headline: Option<String>,
    pub body: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Text {
    pub body: String,
}

#[derive(Deserialize)]
pub(super) struct Interactive {
    #[serde(rename = "type")]
    pub kind: String,
    pub button_reply: Option<Choice>,
    pub list_reply: Option<Choice>,
    pub nfm_reply: Option<FormReply>,
}

/// A form that was filled in (a Flow).
#[derive(Deserialize)]
pub(super) struct FormReply {
    #[serde(default)]
    pub body: String,
    /// JSON as text.
    #[serde(default)]
    pub response_json: String,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    pub id: String,
    pub title: String,
}

/// The quick reply of a template.
#[derive(Deserialize)]
pub(super) struct Button {
    pub payload: Option<String>,
    pub text: String,
}

#[derive(Deserialize)]
pub(super) struct Status {
    pub id: String,
    pub status: String,
    pub timestamp: Option<String>,
    pub recipient_id: Option<String>,
    pub recipient_user_id: Option<String>,
    pub biz_opaque_callback_data: Option<String>,
    #[serde(default)]
    pub errors: Vec<VendorError>,
}

#[derive(Deserialize)]
pub(super) struct VendorError {
    #[serde(default)]
    pub code: i64,
    #[serde(default)]
    pub title: String,
}

/// The answer of the Graph API to a send.
#[derive(Deserialize)]
pub(super) struct Sent {
    pub messages: Vec<SentMessage>,
}

#[derive(Deserialize)]
pub(super) struct SentMessage {
    pub id: String,
}

/// An error of the Graph API.
#[derive(Deserialize)]
pub(super) struct GraphFailure {
    pub error: GraphError,
}

#[derive(Deserialize)]
pub(super) struct GraphError {
    #[serde(default)]
    pub code: i64,
    #[serde(default, rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub is_transient: bool,
}
