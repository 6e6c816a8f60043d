//! Templates that operators send by name (PROTOCOLS 2.3), to whom they may be sent at any time.

use domain::{ButtonParameter, SentTemplate, TemplateButton, TemplateHeader};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{answer::ApiError, caller::Caller, media};

const LONGEST_NAME: usize = 512;
const LONGEST_LANGUAGE: usize = 16;
const LONGEST_HEADER_CHARS: usize = 60;
const LONGEST_PARAMETER_CHARS: usize = 1024;
const MOST_PARAMETERS: usize = 32;
const LONGEST_PAYLOAD_CHARS: usize = 256;
const LONGEST_URL_END: usize = 2000;
const MOST_BUTTONS: usize = 10;

/// A template of WhatsApp, by the name under which Meta has approved it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its name.
    #[schema(max_length = 512, pattern = "^[a-z0-9_]+$", example = "appointment_offer")]
    name: String,
    /// Its language.
    #[schema(max_length = 16, pattern = "^[A-Za-z_]+$", example = "en_US")]
    language: String,
    /// What its header has, where that is not fixed.
    header: Option<Header>,
    /// What stands for the parameters of its body, in order.
    #[serde(default)]
    #[schema(max_items = 32, example = json!(["Ana", "Friday at ten"]))]
    parameters: Vec<String>,
    /// Those of its buttons that are not fixed.
    #[serde(default)]
    #[schema(max_items = 10)]
    buttons: Vec<Button>,
}

/// The header of a template: a text or a file.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The parameter of its line.
    #[schema(
        min_length = 1,
        max_length = 60,
        pattern = "^[^\\r\\n\\t]*\\S[^\\r\\n\\t]*$",
        example = "Maple Dental"
    )]
    text: Option<String>,
    /// A picture, a film or a document, as `POST /media` named it.
    file: Option<Uuid>,
}

/// A button of a template: a quick reply with its payload, or a link with the end of its address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Button {
    /// Which button, from 0.
    #[schema(maximum = 9, example = 0)]
    index: u32,
    /// Of a quick reply: what comes back when it is chosen.
    #[schema(min_length = 1, max_length = 256, pattern = "\\S", example = "yes")]
    payload: Option<String>,
    /// Of a link: what its address ends in.
    #[schema(max_length = 2000, pattern = "^[!-~]+$")]
    url_end: Option<String>,
}

impl Template {
    /// Refuses what Meta would refuse whatever the template.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let is_named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !is_of(&self.name, LONGEST_NAME, is_named) {
            let told = "must be small letters, digits and _, up to 512";
            return Err(ApiError::field("template.name", told));
        }
        let is_language = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !is_of(&self.language, LONGEST_LANGUAGE, is_language) {
            return Err(ApiError::field("template.language", "must be a language such as en_US"));
        }
        if let Some(header) = &self.header {
            if header.text.is_some() == header.file.is_some() {
                return Err(ApiError::field("template.header", "must be either a text or a file"));
            }
            if let Some(text) = &header.text {
                one_line("template.header.text", text, LONGEST_HEADER_CHARS)?;
            }
        }
        if self.parameters.len() > MOST_PARAMETERS {
            let told = format!("must be {MOST_PARAMETERS} at most");
            return Err(ApiError::field("template.parameters", &told));
        }
        for (n, parameter) in self.parameters.iter().enumerate() {
            one_line(&format!("template.parameters[{n}]"), parameter, LONGEST_PARAMETER_CHARS)?;
        }
        if self.buttons.len() > MOST_BUTTONS {
            let told = format!("must be {MOST_BUTTONS} at most");
            return Err(ApiError::field("template.buttons", &told));
        }
        for (n, button) in self.buttons.iter().enumerate() {
            let field = format!("template.buttons[{n}]");
            button.check(&field)?;
            if self.buttons[..n].iter().any(|other| other.index == button.index) {
                return Err(ApiError::field(&field, "is a button that stands there already"));
            }
        }
        Ok(())
    }

    /// The template as it is sent; its file is looked up.
    pub(super) async fn resolve(&self, caller: &Caller) -> Result<SentTemplate, ApiError> {
        let header = match &self.header {
            Some(Header { file: Some(id), .. }) => {
                Some(TemplateHeader::File(media::handed_over(caller, *id).await?))
            }
            Some(Header { text: Some(text), .. }) => {
                Some(TemplateHeader::Text(text.as_str().into()))
            }
            _ => None,
        };
        Ok(SentTemplate {
            name: self.name.clone(),
            language: self.language.clone(),
            header,
            parameters: self.parameters.iter().map(|p| p.as_str().into()).collect(),
            buttons: self.buttons.iter().filter_map(Button::filled).collect(),
        })
    }

    /// What the history shows where nobody says it: its name and what was filled in.
    pub(super) fn shown(&self) -> String {
        match self.parameters.is_empty() {
            true => format!("[{}]", self.name),
            false => format!("[{}] {}", self.name, self.parameters.join(" · ")),
        }
    }
}

impl Button {
    fn check(&self, field: &str) -> Result<(), ApiError> {
        if self.index as usize >= MOST_BUTTONS {
            let told = format!("has an index of 0 to {}", MOST_BUTTONS - 1);
            return Err(ApiError::field(field, &told));
        }
        let is_right = match (&self.payload, &self.url_end) {
            (Some(payload), None) => {
                !payload.trim().is_empty() && payload.chars().count() <= LONGEST_PAYLOAD_CHARS
            }
            (None, Some(end)) => is_of(end, LONGEST_URL_END, |c| c.is_ascii_graphic()),
            _ => false,
        };
        if is_right {
            return Ok(());
        }
        Err(ApiError::field(field, "must have either a payload or the end of a web address"))
    }

    fn filled(&self) -> Option<TemplateButton> {
        let payload = self.payload.clone().map(ButtonParameter::Payload);
        let end = || self.url_end.as_deref().map(|end| ButtonParameter::UrlEnd(end.into()));
        let parameter = payload.or_else(end)?;
        Some(TemplateButton { index: self.index, parameter })
    }
}

fn is_of(text: &str, longest: usize, kind: impl Fn(char) -> bool) -> bool {
    (1..=longest).contains(&text.len()) && text.chars().all(kind)
}

/// Meta refuses a parameter with a line break or a tab.
fn one_line(field: &str, text: &str, longest: usize) -> Result<(), ApiError> {
    let is_right = !text.trim().is_empty()
        && text.chars().count() <= longest
        && !text.contains(['\r', '\n', '\t']);
    match is_right {
        true => Ok(()),
        false => {
            let told =
                format!("must have 1 to {longest} characters, not blanks alone, on one line");
            Err(ApiError::field(field, &told))
        }
    }
}
