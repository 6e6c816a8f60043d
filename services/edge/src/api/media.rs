//! What operators send besides text: files that are handed over first, links, choices, reactions, templates, and which message
//! is answered.

use std::time::Duration;

use actix_web::{HttpRequest, http::StatusCode, web};
use aws_sdk_s3::{error::SdkError, operation::head_object::HeadObjectError};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    Channel, ConversationId, KeptFile, OfferedChoice, Personal, SentFile, SentForm, SentLink,
    TenantId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::{TenantTx, messages as said};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Success},
    caller::{As, Caller},
    read::{self, Query},
    role::Operator,
    templates::Template,
    write::{Change, Done},
};

const HAND_OVER: &str = "media.create";
/// The largest file: what Meta takes as sound or film; a larger document is not worth the memory.
const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;
const FILE_WITHIN: Duration = Duration::from_secs(60);
const LONGEST_LINK_TITLE: usize = 60;
const LONGEST_URL: usize = 2000;
/// The longest emoji: a family with skin tones is 11 characters.
const LONGEST_EMOJI: usize = 16;
/// What WhatsApp shows in a list (PROTOCOLS 2.3).
const MOST_CHOICES: usize = 10;
const LONGEST_CHOICE_ID: usize = 200;
const LONGEST_CHOICE_CHARS: usize = 72;
/// What may be sent: nothing that runs.
const TYPES: [&str; 17] = [
    "application/msword",
    "application/pdf",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "audio/aac",
    "audio/amr",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "image/jpeg",
    "image/png",
    "text/plain",
    "video/3gpp",
    "video/mp4",
];

/// A file that messages may carry.
#[derive(Serialize, ToSchema)]
pub struct HandedOver {
    /// What a message names it by.
    pub id: Uuid,
    /// Its media type.
    #[schema(example = "application/pdf")]
    pub media_type: String,
    /// Its size.
    #[schema(example = 48211)]
    pub bytes: u64,
    /// SHA-256 of it, hexadecimal.
    pub sha256: String,
}

/// Hand over a file that messages may carry
///
/// For operators. The body is the file, its `Content-Type` what it is: a picture, sound, a film, PDF, plain text or an office
/// document, up to 16 MB. Then send it with `POST /conversations/{id}/messages`, or have agents send it with
/// `PUT /documents/{id}`, as `file`.
#[utoipa::path(post, path = "/api/v1/media", tag = "conversations",
    params(("filename" = Option<String>, Query, min_length = 1, max_length = 256, example = "prices.pdf",
        description = "What the person sees as its name")),
    request_body(content(("application/pdf"), ("image/jpeg"), ("image/png"), ("text/plain"), ("audio/ogg"), ("video/mp4"))),
    responses((status = 201, description = "It is kept", body = inline(Success<HandedOver>)),
        (status = 415, description = "Files of this type are not sent", body = super::answer::Failure)))]
pub async fn hand_over(
    caller: As<Operator>,
    request: HttpRequest,
    body: web::Payload,
) -> Answer<Value> {
    let (media_type, body) = read::file(&request, body, MAX_FILE_BYTES, FILE_WITHIN).await?;
    let mut query = Query::of(&request)?;
    let filename = query.text("filename")?;
    query.end()?;
    if !TYPES.contains(&media_type.as_str()) {
        let told = format!("a file is one of {}", TYPES.join(", "));
        let code = "unsupported_media_type";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, told));
    }
    if body.bytes().is_empty() {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_body", "the file is empty"));
    }
    let change = Change::of(&caller, &request, &body)?;
    let id = change.id;
    let handed = HandedOver {
        id,
        bytes: body.bytes().len() as u64,
        sha256: hex::encode(Sha256::digest(body.bytes())),
        media_type,
    };
    let keep = async |()| {
        let mut put = caller
            .api
            .s3
            .put_object()
            .bucket(&caller.api.settings.bucket)
            .key(key_of(caller.tenant, id))
            .content_type(&handed.media_type)
            .metadata("sha256", &handed.sha256);
        if let Some(filename) = &filename {
            // Metadata is ASCII.
            put = put.metadata("filename", URL_SAFE_NO_PAD.encode(filename));
        }
        put.body(body.bytes().to_vec().into()).send().await.map_err(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, kind = "storage_unavailable", "file not kept");
            ApiError::unavailable("the file could not be kept")
        })?;
        let noted = json!({ "media_type": &handed.media_type, "bytes": handed.bytes });
        Ok(Done::created(handed, HAND_OVER, id).noting(noted))
    };
    change.make_at_least_once((HAND_OVER, &id.to_string()), async |_| Ok(()), keep).await
}

/// Where a file that was handed over lies: under its tenant, so that nobody names another's.
fn key_of(tenant: TenantId, id: Uuid) -> String {
    format!("media/{tenant}/outgoing/{id}")
}

/// The file that was handed over under `id`.
pub(super) async fn handed_over(caller: &Caller, id: Uuid) -> Result<SentFile, ApiError> {
    let (bucket, key) = (caller.api.settings.bucket.clone(), key_of(caller.tenant, id));
    let found = caller.api.s3.head_object().bucket(&bucket).key(&key).send().await;
    let found = found.map_err(|error| match error {
        SdkError::ServiceError(e) if matches!(e.err(), HeadObjectError::NotFound(_)) => {
            ApiError::field("file", "must be the id of a file that was handed over")
        }
        error => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, kind = "storage_unavailable", "file not found out");
            ApiError::unavailable("the file could not be looked up")
        }
    })?;
    let told = |name: &str| found.metadata().and_then(|m| m.get(name)).cloned();
    let filename = told("filename").and_then(|name| URL_SAFE_NO_PAD.decode(name).ok());
    let filename = filename.and_then(|name| String::from_utf8(name).ok());
    Ok(SentFile {
        file: KeptFile {
            mime_type: found.content_type().unwrap_or_default().to_owned(),
            bytes: found.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
            bucket,
            key,
        },
        filename: filename.map(Personal::from),
        sha256: told("sha256").unwrap_or_default(),
    })
}

/// A link that a message carries.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What stands on it; on a button of WhatsApp up to 20 characters, else it is written out.
    #[schema(min_length = 1, max_length = 60, pattern = "\\S", example = "See the map")]
    title: String,
    /// Where it leads.
    #[schema(
        max_length = 2000,
        pattern = "^https?://[!-~]+$",
        example = "https://example.com/map"
    )]
    url: String,
}

/// A reaction.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reaction {
    /// To which message of the person.
    to: Uuid,
    /// The emoji; empty to take it back.
    #[schema(max_length = 16, example = "👍")]
    emoji: String,
}

/// An answer to choose from.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What stands for it when it is chosen.
    #[schema(min_length = 1, max_length = 200, pattern = "\\S", example = "fri-10")]
    id: String,
    /// What the person reads.
    #[schema(min_length = 1, max_length = 72, pattern = "\\S", example = "Friday at ten")]
    title: String,
    /// A second line.
    #[schema(min_length = 1, max_length = 72, pattern = "\\S", example = "with Dr Singh")]
    description: Option<String>,
}

/// A message that an operator writes: a text, a file with or without one, a reaction, or a template.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutgoingMessage {
    /// What it says; of a file the caption.
    #[schema(
        min_length = 1,
        max_length = 4096,
        pattern = "\\S",
        example = "I have moved it to Friday at ten."
    )]
    text: Option<String>,
    /// A file, as `POST /media` named it. On WhatsApp alone.
    file: Option<Uuid>,
    /// A link below the text.
    link: Option<Link>,
    /// Answers to choose from, below the text: buttons or a list on WhatsApp where they fit (a title of up to 24 characters),
    /// else written out and numbered.
    #[serde(default)]
    #[schema(max_items = 10)]
    choices: Vec<Choice>,
    /// A reaction, without anything else. On WhatsApp alone.
    reaction: Option<Reaction>,
    /// A template, which goes out however long ago the person wrote. `text` is what the history shows of it; without one its
    /// name and parameters. On WhatsApp alone.
    template: Option<Template>,
    /// The message of the person that this one answers; shown so where the channel can.
    reply_to: Option<Uuid>,
}

/// What is sent.
pub(super) struct Outgoing {
    pub text: String,
    pub form: SentForm,
    pub choices: Vec<OfferedChoice>,
    pub in_reply_to: String,
}

/// The longest message of an operator; a longer one than the channel takes leaves in parts.
const LONGEST_MESSAGE_CHARS: usize = 4096;

impl OutgoingMessage {
    /// Refuses what says nothing, or too much at once.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if let Some(text) = &self.text {
            read::text("text", text, LONGEST_MESSAGE_CHARS)?;
        }
        if let Some(link) = &self.link {
            read::text("link.title", &link.title, LONGEST_LINK_TITLE)?;
            let rest = link.url.strip_prefix("https://").or(link.url.strip_prefix("http://"));
            let is_url =
                rest.is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_graphic()));
            if !is_url || link.url.len() > LONGEST_URL {
                return Err(ApiError::field("link.url", "must be a web address"));
            }
        }
        if let Some(Reaction { emoji, .. }) = &self.reaction
            && (emoji.chars().count() > LONGEST_EMOJI || emoji.chars().any(char::is_alphanumeric))
        {
            return Err(ApiError::field("reaction.emoji", "must be one emoji, or empty"));
        }
        let forms = [self.file.is_some(), self.link.is_some(), self.reaction.is_some()];
        if forms.iter().filter(|is| **is).count() > 1 {
            return Err(ApiError::field("file", "goes with neither a link nor a reaction"));
        }
        if self.reaction.is_some() && (self.text.is_some() || self.reply_to.is_some()) {
            return Err(ApiError::field("reaction", "goes alone"));
        }
        if let Some(template) = &self.template {
            if forms.contains(&true) {
                let told = "goes with neither a file, a link nor a reaction";
                return Err(ApiError::field("template", told));
            }
            template.check()?;
        }
        self.check_choices()?;
        let says_something = [self.text.is_some(), self.template.is_some(), self.file.is_some()];
        if !says_something.contains(&true) && self.reaction.is_none() {
            let told = "is needed without a file, a reaction or a template";
            return Err(ApiError::field("text", told));
        }
        Ok(())
    }

    fn check_choices(&self) -> Result<(), ApiError> {
        if self.choices.is_empty() {
            return Ok(());
        }
        if self.text.is_none() || self.reaction.is_some() || self.template.is_some() {
            let told = "stand below a text, and not with a reaction or a template";
            return Err(ApiError::field("choices", told));
        }
        if self.choices.len() > MOST_CHOICES {
            return Err(ApiError::field("choices", &format!("must be {MOST_CHOICES} at most")));
        }
        for (n, choice) in self.choices.iter().enumerate() {
            let field = |name: &str| format!("choices[{n}].{name}");
            read::text(&field("id"), &choice.id, LONGEST_CHOICE_ID)?;
            read::text(&field("title"), &choice.title, LONGEST_CHOICE_CHARS)?;
            if let Some(description) = &choice.description {
                read::text(&field("description"), description, LONGEST_CHOICE_CHARS)?;
            }
            let before = &self.choices[..n];
            if before.iter().any(|other| other.id == choice.id || other.title == choice.title) {
                let told = "has the id or the title of another one";
                return Err(ApiError::field(&format!("choices[{n}]"), told));
            }
        }
        Ok(())
    }

    /// Whether it may go out when the person has not written lately: as the template that it is, or by the one that the tenant
    /// `has` for what operators write.
    pub(super) fn goes_by_template(&self, has: bool) -> bool {
        self.template.is_some() || (has && self.file.is_none() && self.reaction.is_none())
    }

    /// Finds what the message names, for a chat on `channel`.
    pub(super) async fn resolve(
        &self,
        caller: &Caller,
        tx: &TenantTx,
        conversation: ConversationId,
        channel: &Channel,
    ) -> Result<Outgoing, ApiError> {
        let shows_all = *channel == Channel::WHATSAPP;
        let external = async |field: &str, message: Uuid| {
            let found = said::external_id(tx, conversation, message).await?;
            found.ok_or_else(|| {
                ApiError::field(field, "must be a message that the person wrote in this chat")
            })
        };
        let text = self.text.clone().unwrap_or_default();
        let in_reply_to = match self.reply_to {
            Some(message) => external("reply_to", message).await?,
            None => String::new(),
        };
        let is_special = self.file.is_some() || self.reaction.is_some() || self.template.is_some();
        if is_special && !shows_all {
            return Err(ApiError::conflict(
                "not_on_this_channel",
                "files, reactions and templates go out on WhatsApp alone",
            ));
        }
        let choices = self.choices.iter().map(Choice::offered).collect();
        if let Some(id) = self.file {
            let form = SentForm::File(handed_over(caller, id).await?);
            return Ok(Outgoing { text, form, choices, in_reply_to });
        }
        if let Some(Reaction { to, emoji }) = &self.reaction {
            let form = SentForm::Reaction { to: external("reaction.to", *to).await? };
            return Ok(Outgoing { text: emoji.clone(), form, choices, in_reply_to });
        }
        if let Some(template) = &self.template {
            let text = self.text.clone().unwrap_or_else(|| template.shown());
            let form = SentForm::Template(template.resolve(caller).await?);
            return Ok(Outgoing { text, form, choices, in_reply_to });
        }
        let form = match &self.link {
            Some(Link { title, url }) => {
                SentForm::Link(SentLink { title: title.clone(), url: url.clone() })
            }
            None => SentForm::Text,
        };
        Ok(Outgoing { text, form, choices, in_reply_to })
    }
}

impl Choice {
    fn offered(&self) -> OfferedChoice {
        OfferedChoice {
            id: self.id.clone(),
            title: self.title.as_str().into(),
            description: self.description.as_deref().map(Into::into),
        }
    }
}
