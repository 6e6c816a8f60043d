//! What a language model is told of the tools, and how what it asks for becomes a typed request.
//!
//! A model's arguments come from outside: whatever they are, they become a request or an error that
//! tells the model what to mend. No error quotes a value.

use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::{Map, Value, json};

use super::{
    Book, Cancel, Escalate, EscalationReason, FindSlots, Http, ListAppointments, Reschedule,
    SearchKnowledge, SendDocument, ToolRequest, Weather, Window,
};

pub(super) const FIND_SLOTS: &str = "find_slots";
pub(super) const BOOK: &str = "book_appointment";
pub(super) const RESCHEDULE: &str = "reschedule_appointment";
pub(super) const CANCEL: &str = "cancel_appointment";
pub(super) const LIST_APPOINTMENTS: &str = "list_appointments";
pub(super) const SEARCH_KNOWLEDGE: &str = "search_knowledge";
pub(super) const SEND_DOCUMENT: &str = "send_document";
pub(super) const WEATHER: &str = "weather";
pub(super) const ESCALATE: &str = "transfer_to_human";
pub(super) const PAUSE_RECORDING: &str = "pause_recording";
pub(super) const RESUME_RECORDING: &str = "resume_recording";

/// The longest arguments read, in bytes.
const ARGUMENTS_BYTES_MAX: usize = 8 * 1024;

/// The longest text taken for one argument, in characters.
const TEXT_CHARS_MAX: usize = 2_000;

/// The longest span searched for free times, in days.
const WINDOW_DAYS_MAX: i64 = 62;

/// How many free times a model is given.
const SLOTS: u32 = 5;

/// A tool as a language model is told of it.
#[derive(Clone, PartialEq, Debug)]
pub struct ToolSchema {
    /// Its name.
    pub name: String,
    /// What it does, and when to use it.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
}

/// A tool of a tenant's own, over HTTP, as its configuration declares it. Where it is and how it is
/// called is the shell's business.
#[derive(Clone, PartialEq, Debug)]
pub struct OwnTool {
    /// Its name; none of the built-in ones.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
    /// The agents that may use it; empty means all.
    pub agents: Vec<String>,
}

impl OwnTool {
    /// Whether a model may use it in the part of `agent`.
    pub(crate) fn is_for(&self, agent: &str) -> bool {
        self.agents.is_empty() || self.agents.iter().any(|named| named == agent)
    }

    /// Lets `other` use it too, where `agent` is named.
    pub(crate) fn let_too(&mut self, agent: &str, other: &str) {
        if self.agents.iter().any(|named| named == agent) {
            self.agents.push(other.to_owned());
        }
    }
}

/// Those of a tenant's tools that models can be told. One with the name of a built-in tool is left out: the built-in one is
/// meant.
pub fn own(tools: &[domain::HttpTool]) -> Vec<OwnTool> {
    let taken = built_in();
    let tool = |tool: &domain::HttpTool| OwnTool {
        name: tool.name.clone(),
        description: tool.description.clone(),
        parameters: serde_json::from_str(&tool.parameters).unwrap_or_default(),
        agents: tool.agents.clone(),
    };
    tools.iter().filter(|t| taken.iter().all(|b| b.name != t.name)).map(tool).collect()
}

impl From<&OwnTool> for ToolSchema {
    fn from(tool: &OwnTool) -> Self {
        Self {
            name: tool.name.clone(),
            description: tool.description.clone(),
            parameters: tool.parameters.clone(),
        }
    }
}

/// The built-in tools.
pub fn built_in() -> Vec<ToolSchema> {
    let tool = |name: &str, description: &str, required: &[&str], properties: Value| ToolSchema {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        }),
    };
    let moment = |what: &str| {
        json!({"type": "string", "description": format!(
            "{what}, ISO 8601; without an offset it is the business's local time")})
    };
    let text = |what: &str| json!({"type": "string", "description": what});
    vec![
        tool(
            FIND_SLOTS,
            "Find free appointment times. Use it before offering or booking any time.",
            &["from", "until"],
            json!({
                "service": text("Id of the service"),
                "from": moment("Start of the span to search"),
                "until": moment("End of the span to search"),
                "near": moment("The moment the person asked for"),
            }),
        ),
        tool(
            BOOK,
            "Book an appointment at a time that is free. Only after reading the details back and \
             hearing a clear yes.",
            &["start", "name"],
            json!({
                "start": moment("When it begins"),
                "service": text("Id of the service"),
                "resource": text("Id of who serves it, from find_slots"),
                "name": text("Whom it is for"),
                "phone": text("Their number, E.164"),
                "email": text("Their e-mail address"),
                "notes": text("Anything they asked to pass on"),
            }),
        ),
        tool(
            RESCHEDULE,
            "Move an appointment to another time that is free.",
            &["appointment", "start"],
            json!({
                "appointment": text("Id of the appointment, from list_appointments"),
                "start": moment("When it is to begin"),
            }),
        ),
        tool(
            CANCEL,
            "Call an appointment off, after hearing a clear yes.",
            &["appointment"],
            json!({"appointment": text("Id of the appointment, from list_appointments")}),
        ),
        tool(
            LIST_APPOINTMENTS,
            "The coming appointments of this person.",
            &[],
            json!({"phone": text("Another number they booked under, E.164")}),
        ),
        tool(
            SEARCH_KNOWLEDGE,
            "What the business's documents say. Answer only from what comes back and name its \
             source; if nothing comes back, say that you do not know.",
            &["query"],
            json!({"query": text("The question")}),
        ),
        tool(
            SEND_DOCUMENT,
            "Send the person one of the business's files on WhatsApp, such as a price list or a form, \
             where they ask for it. If there is none, or it cannot be sent, say so.",
            &["what"],
            json!({"what": text("Which, in a few words")}),
        ),
        tool(
            WEATHER,
            "The weather forecast.",
            &[],
            json!({
                "place": text("A town; left out: where the business is"),
                "date": text("The day, as 2026-03-10; left out: today"),
            }),
        ),
        tool(
            ESCALATE,
            "Hand over to a human: when the person asks for one, or you cannot help.",
            &["summary"],
            json!({"summary": text("What the human has to know, in two sentences")}),
        ),
        tool(PAUSE_RECORDING, "Stop recording, before card numbers and the like.", &[], json!({})),
        tool(RESUME_RECORDING, "Record again.", &[], json!({})),
    ]
}

/// Why a model's request cannot be run. The words are for the model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArgumentError {
    /// There is no tool of this name, or not for this agent.
    NoSuchTool,
    /// The arguments are no JSON object, or too long.
    NotAnObject,
    /// An argument that must be there is not.
    Missing(String),
    /// An argument is not what the schema says.
    Wrong {
        /// Which.
        field: String,
        /// What it should be.
        expected: &'static str,
    },
    /// An argument the tool does not have.
    Unknown(String),
}

impl std::fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchTool => write!(f, "there is no such tool"),
            Self::NotAnObject => write!(f, "the arguments must be a JSON object"),
            Self::Missing(field) => write!(f, "{field} is missing"),
            Self::Wrong { field, expected } => write!(f, "{field} must be {expected}"),
            Self::Unknown(field) => write!(f, "there is no argument {field}"),
        }
    }
}

impl std::error::Error for ArgumentError {}

/// The request a model made of the tool `name`. `own` are the tenant's own tools; a moment without
/// an offset is taken to be of `zone`.
///
/// # Errors
/// When the tool does not exist or the arguments do not fit its schema.
pub fn parse(
    name: &str,
    arguments: &str,
    own: &[OwnTool],
    zone: &TimeZone,
) -> Result<ToolRequest, ArgumentError> {
    let mut fields = Fields::read(arguments, zone)?;
    if let Some(tool) = own.iter().find(|t| t.name == name) {
        check(&tool.parameters, &fields.left)?;
        let arguments = Value::Object(fields.left);
        return Ok(ToolRequest::Http(Http { name: name.to_owned(), arguments }));
    }
    let request = match name {
        FIND_SLOTS => {
            let (from, until) = (fields.moment("from")?, fields.moment("until")?);
            let longest = jiff::SignedDuration::from_hours(24 * WINDOW_DAYS_MAX);
            if until <= from || until.duration_since(from) > longest {
                let expected = "after from, by 62 days at most";
                return Err(ArgumentError::Wrong { field: "until".into(), expected });
            }
            ToolRequest::FindSlots(FindSlots {
                service: fields.text_if("service")?,
                window: Window { from, until },
                near: fields.moment_if("near")?,
                limit: SLOTS,
            })
        }
        BOOK => ToolRequest::Book(Book {
            start: fields.moment("start")?,
            service: fields.text_if("service")?,
            resource: fields.text_if("resource")?,
            name: fields.text("name")?.into(),
            phone: fields.phone_if("phone")?.map(Into::into),
            email: fields.text_if("email")?.map(Into::into),
            notes: fields.text_if("notes")?.map(Into::into),
        }),
        RESCHEDULE => ToolRequest::Reschedule(Reschedule {
            appointment: fields.text("appointment")?,
            start: fields.moment("start")?,
        }),
        CANCEL => ToolRequest::Cancel(Cancel { appointment: fields.text("appointment")? }),
        LIST_APPOINTMENTS => ToolRequest::ListAppointments(ListAppointments {
            phone: fields.phone_if("phone")?.map(Into::into),
        }),
        SEARCH_KNOWLEDGE => {
            ToolRequest::SearchKnowledge(SearchKnowledge { query: fields.text("query")?.into() })
        }
        SEND_DOCUMENT => {
            ToolRequest::SendDocument(SendDocument { what: fields.text("what")?.into() })
        }
        WEATHER => ToolRequest::Weather(Weather {
            place: fields.text_if("place")?,
            date: fields.date_if("date")?,
        }),
        ESCALATE => ToolRequest::Escalate(Escalate {
            reason: EscalationReason::Model,
            summary: fields.text("summary")?.into(),
        }),
        PAUSE_RECORDING => ToolRequest::PauseRecording,
        RESUME_RECORDING => ToolRequest::ResumeRecording,
        _ => return Err(ArgumentError::NoSuchTool),
    };
    match fields.left.keys().next() {
        Some(left) => Err(ArgumentError::Unknown(short(left))),
        None => Ok(request),
    }
}

/// A field's name, which a model may have invented at any length.
fn short(field: &str) -> String {
    field.chars().take(40).collect()
}

/// The arguments not yet taken.
struct Fields<'a> {
    left: Map<String, Value>,
    zone: &'a TimeZone,
}

impl<'a> Fields<'a> {
    /// Some models send nothing where there is nothing to say.
    fn read(arguments: &str, zone: &'a TimeZone) -> Result<Self, ArgumentError> {
        if arguments.len() > ARGUMENTS_BYTES_MAX {
            return Err(ArgumentError::NotAnObject);
        }
        let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
        match serde_json::from_str(arguments) {
            Ok(Value::Object(left)) => Ok(Self { left, zone }),
            _ => Err(ArgumentError::NotAnObject),
        }
    }

    fn text_if(&mut self, field: &str) -> Result<Option<String>, ArgumentError> {
        match self.left.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= TEXT_CHARS_MAX => {
                let text = text.trim();
                Ok((!text.is_empty()).then(|| text.to_owned()))
            }
            Some(_) => Err(wrong(field, "a text of at most 2000 characters")),
        }
    }

    fn text(&mut self, field: &str) -> Result<String, ArgumentError> {
        self.text_if(field)?.ok_or_else(|| ArgumentError::Missing(field.to_owned()))
    }

    fn moment_if(&mut self, field: &str) -> Result<Option<Timestamp>, ArgumentError> {
        let Some(text) = self.text_if(field)? else { return Ok(None) };
        let there = text.parse::<Timestamp>().ok();
        let here = || {
            let local = text.parse::<civil::DateTime>().ok()?;
            Some(self.zone.to_ambiguous_zoned(local).compatible().ok()?.timestamp())
        };
        let moment = there.or_else(here);
        moment.map(Some).ok_or_else(|| wrong(field, "a moment such as 2026-03-10T14:00:00-05:00"))
    }

    fn moment(&mut self, field: &str) -> Result<Timestamp, ArgumentError> {
        self.moment_if(field)?.ok_or_else(|| ArgumentError::Missing(field.to_owned()))
    }

    fn date_if(&mut self, field: &str) -> Result<Option<civil::Date>, ArgumentError> {
        let Some(text) = self.text_if(field)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| wrong(field, "a day such as 2026-03-10"))
    }

    fn phone_if(&mut self, field: &str) -> Result<Option<String>, ArgumentError> {
        let Some(text) = self.text_if(field)? else { return Ok(None) };
        let plain: String =
            text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.')).collect();
        let digits = plain.strip_prefix('+').unwrap_or_default();
        let is_e164 =
            (7..=15).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit());
        if is_e164 { Ok(Some(plain)) } else { Err(wrong(field, "a number such as +14165550123")) }
    }
}

fn wrong(field: &str, expected: &'static str) -> ArgumentError {
    ArgumentError::Wrong { field: short(field), expected }
}

/// Whether `arguments` fit the outermost level of a JSON Schema: what has to be there is, of the type
/// it should be, and nothing else where nothing else may be. Deeper levels are the tool's own affair.
fn check(schema: &Value, arguments: &Map<String, Value>) -> Result<(), ArgumentError> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for field in required {
        if arguments.get(field).is_none_or(Value::is_null) {
            return Err(ArgumentError::Missing(field.to_owned()));
        }
    }
    let properties = schema["properties"].as_object();
    for (field, value) in arguments {
        let Some(property) = properties.and_then(|p| p.get(field)) else {
            if schema["additionalProperties"] == Value::Bool(false) {
                return Err(ArgumentError::Unknown(short(field)));
            }
            continue;
        };
        let (fits, expected) = match property["type"].as_str() {
            Some("string") => (value.is_string(), "a text"),
            Some("integer") => (value.is_i64() || value.is_u64(), "a whole number"),
            Some("number") => (value.is_number(), "a number"),
            Some("boolean") => (value.is_boolean(), "true or false"),
            Some("array") => (value.is_array(), "a list"),
            Some("object") => (value.is_object(), "an object"),
            _ => (true, ""),
        };
        if !fits {
            return Err(wrong(field, expected));
        }
        let choices = property["enum"].as_array();
        if choices.is_some_and(|choices| !choices.contains(value)) {
            return Err(wrong(field, "one of the values of the schema"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn toronto() -> TimeZone {
        TimeZone::get("America/Toronto").unwrap()
    }

    fn own() -> Vec<OwnTool> {
        let parameters = json!({
            "type": "object",
            "properties": {"order": {"type": "integer"}, "size": {"enum": ["s", "m"]}},
            "required": ["order"],
            "additionalProperties": false,
        });
        vec![OwnTool {
            name: "order_status".into(),
            description: "An order.".into(),
            parameters,
            agents: Vec::new(),
        }]
    }

    fn parsed(name: &str, arguments: &str) -> Result<ToolRequest, String> {
        parse(name, arguments, &own(), &toronto()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_moment_without_an_offset_is_the_businesss_own() {
        for start in ["2026-03-10T14:00:00", "2026-03-10T14:00:00-04:00", "2026-03-10T18:00:00Z"] {
            let arguments = json!({"start": start, "name": "Anna", "phone": "+1 (416) 555-0123"});
            let Ok(ToolRequest::Book(book)) = parsed(BOOK, &arguments.to_string()) else {
                panic!("{start} is a moment")
            };
            assert_eq!(book.start.to_string(), "2026-03-10T18:00:00Z");
            assert_eq!(book.phone.unwrap().reveal(), "+14165550123");
        }
    }

    #[test]
    fn what_does_not_fit_tells_what_to_mend_and_quotes_nothing() {
        let cases = [
            ("fly", "{}", "there is no such tool"),
            (BOOK, "[1]", "the arguments must be a JSON object"),
            (BOOK, "{\"start\"", "the arguments must be a JSON object"),
            (BOOK, r#"{"start": "2026-03-10T14:00"}"#, "name is missing"),
            (
                BOOK,
                r#"{"start": "soon", "name": "Anna"}"#,
                "start must be a moment such as 2026-03-10T14:00:00-05:00",
            ),
            (
                BOOK,
                r#"{"start": "2026-03-10T14:00", "name": 7}"#,
                "name must be a text of at most 2000 characters",
            ),
            (
                LIST_APPOINTMENTS,
                r#"{"phone": "five"}"#,
                "phone must be a number such as +14165550123",
            ),
            (CANCEL, r#"{"appointment": "a", "why": "x"}"#, "there is no argument why"),
            (
                FIND_SLOTS,
                r#"{"from": "2026-03-10T14:00", "until": "2027-03-10T14:00"}"#,
                "until must be after from, by 62 days at most",
            ),
            ("order_status", "{}", "order is missing"),
            ("order_status", r#"{"order": "x"}"#, "order must be a whole number"),
            (
                "order_status",
                r#"{"order": 1, "size": "xl"}"#,
                "size must be one of the values of the schema",
            ),
            ("order_status", r#"{"order": 1, "all": true}"#, "there is no argument all"),
        ];
        for (name, arguments, expected) in cases {
            assert_eq!(parsed(name, arguments).unwrap_err(), expected, "{name} {arguments}");
        }
    }

    #[test]
    fn every_built_in_tool_can_be_asked_for_by_its_own_schema() {
        for tool in built_in() {
            let properties = tool.parameters["properties"].as_object().unwrap();
            let example = |field: &str| match field {
                "from" | "start" | "near" => "2026-03-10T14:00:00",
                "until" => "2026-03-11T14:00:00",
                "phone" => "+14165550123",
                "date" => "2026-03-10",
                _ => "something",
            };
            let all: Map<String, Value> =
                properties.keys().map(|f| (f.clone(), example(f).into())).collect();
            let request = parsed(&tool.name, &Value::Object(all).to_string()).unwrap();
            assert_eq!(request.name(), tool.name);
        }
        assert_eq!(parsed(PAUSE_RECORDING, "").unwrap(), ToolRequest::PauseRecording);
    }

    proptest! {
        #[test]
        fn no_arguments_panic(name in "[a-z_]{0,20}|find_slots|book_appointment", text in ".*") {
            let _ = parse(&name, &text, &own(), &toronto());
        }

        #[test]
        fn no_field_panics(value in ".*") {
            for tool in built_in() {
                let properties = tool.parameters["properties"].as_object().unwrap();
                let all: Map<String, Value> =
                    properties.keys().map(|f| (f.clone(), value.clone().into())).collect();
                let _ = parsed(&tool.name, &Value::Object(all).to_string());
            }
        }
    }
}
