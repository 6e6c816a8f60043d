//! The webhook body as Meta documents it (PROTOCOLS 2.2). Lenient where Meta may add or leave out, strict where
//! nothing can be understood otherwise.

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub(super) struct Webhook {
    pub entry: Vec<Entry>,
}

#[derive(Deserialize)]
pub(super) struct Entry {
    #[serde(default)]
    pub changes: Vec<Change>,
}

#[derive(Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    pub field: String,
    /// Left unread here: a field we did not subscribe to has a shape of its own.
    #[serde(default)]
    pub value: Value,
}

#[derive(Deserialize)]
pub(super) struct MessagesValue {
    pub metadata: Metadata,
    #[serde(default)]
    pub contacts: Vec<Contact>,
    #[serde(default)]
    pub messages: Vec<Value>,
    #[serde(default)]
    pub statuses: Vec<Value>,
    #[serde(default)]
    pub errors: Vec<VendorError>,
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
