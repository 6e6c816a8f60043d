//! What agents can have done (C5): typed requests, what came of them, and how a turn asks for them.
//!
//! Nothing here runs a tool. [`crate::Desk`] and [`crate::Reply`] say which [`Call`] is to be run;
//! the shell runs it, writes the [`Done`] into the turn's ledger, and asks again. A turn that is run
//! twice finds what was done and asks for the same things in the same order, so that nothing is done
//! twice: the key of an effect is the conversation, the turn and [`Call::index`].

mod schema;
mod told;

use std::fmt;

use domain::{Personal, Turn};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use schema::{ArgumentError, OwnTool, ToolSchema, built_in, own, parse};

/// The most tools one turn runs, by the rules or by a model; a model that asks for more loops.
pub const CALLS_MAX: u32 = 6;

/// A half-open span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Window {
    /// The first moment in it.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "tool", rename_all = "snake_case")]
pub enum ToolRequest {
    /// Free times.
    FindSlots(FindSlots),
    /// A new appointment.
    Book(Book),
    /// Another time for an appointment there is.
    Reschedule(Reschedule),
    /// An appointment there is no longer wanted.
    Cancel(Cancel),
    /// The coming appointments of this person: by `phone`, else by who calls or writes.
    ListAppointments(ListAppointments),
    /// What the tenant's documents say.
    SearchKnowledge(SearchKnowledge),
    /// The file that one of the tenant's documents is.
    SendDocument(SendDocument),
    /// The weather of a place on a day.
    Weather(Weather),
    /// A human takes over (A7).
    Escalate(Escalate),
    /// Nothing more is recorded until it is resumed.
    PauseRecording,
    /// Recording goes on.
    ResumeRecording,
    /// A tool of the tenant's own, over HTTP.
    Http(Http),
}

/// Free times for `service`, the nearest to `near` first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FindSlots {
    /// [`Slot::service`]; `None` where the tenant has one service only.
    pub service: Option<String>,
    /// Where to look. Where nothing is free in it the answer may lie outside, nearest first.
    pub window: Window,
    /// The moment wanted; the start of the window where none was named.
    pub near: Option<Timestamp>,
    /// At most so many.
    pub limit: u32,
}

/// Books `start`. Whoever runs it says `Taken` where another was quicker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Book {
    /// When it begins.
    pub start: Timestamp,
    /// [`Slot::service`].
    pub service: Option<String>,
    /// [`Slot::resource`]; `None` for whichever is free.
    pub resource: Option<String>,
    /// Whom it is for.
    #[serde(with = "personal")]
    pub name: Personal,
    /// E.164.
    #[serde(with = "personal_option")]
    pub phone: Option<Personal>,
    /// Where a confirmation goes as well.
    #[serde(with = "personal_option")]
    pub email: Option<Personal>,
    /// What the person said besides.
    #[serde(with = "personal_option")]
    pub notes: Option<Personal>,
}

/// Moves an appointment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reschedule {
    /// [`Appointment::id`].
    pub appointment: String,
    /// When it is to begin.
    pub start: Timestamp,
}

/// Calls an appointment off.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cancel {
    /// [`Appointment::id`].
    pub appointment: String,
}

/// Whose appointments.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListAppointments {
    /// E.164, where it is not the number of who calls or writes.
    #[serde(with = "personal_option")]
    pub phone: Option<Personal>,
}

/// A question to the tenant's documents.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SearchKnowledge {
    /// In the person's words, or a model's.
    #[serde(with = "personal")]
    pub query: Personal,
}

/// A file of the tenant's that is to be sent to the person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SendDocument {
    /// Which, in the person's words, or a model's.
    #[serde(with = "personal")]
    pub what: Personal,
}

/// Where and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Weather {
    /// A place; `None` for where the business is.
    pub place: Option<String>,
    /// The day there; `None` for today.
    pub date: Option<jiff::civil::Date>,
}

/// Why a human is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Escalate {
    /// What made it so.
    pub reason: EscalationReason,
    /// For the human: who, what was wanted, what is known so far.
    #[serde(with = "personal")]
    pub summary: Personal,
}

/// What made a human necessary (A7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationReason {
    /// The person asked for one.
    Asked,
    /// A rule of the tenant's.
    Rule,
    /// The recovery ladder came to its end (B3).
    Ladder,
    /// A model thought it right.
    Model,
}

impl EscalationReason {
    /// The name it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Rule => "rule",
            Self::Ladder => "ladder",
            Self::Model => "model",
        }
    }
}

/// A request to a tool of the tenant's own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// The tool's name in the tenant's configuration.
    pub name: String,
    /// An object that fits the tool's schema.
    pub arguments: Value,
}

/// Without the arguments: they may hold what the person said.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ToolRequest {
    /// The tool's name, as tenants permit it and models are told it.
    pub fn name(&self) -> &str {
        match self {
            Self::FindSlots(_) => schema::FIND_SLOTS,
            Self::Book(_) => schema::BOOK,
            Self::Reschedule(_) => schema::RESCHEDULE,
            Self::Cancel(_) => schema::CANCEL,
            Self::ListAppointments(_) => schema::LIST_APPOINTMENTS,
            Self::SearchKnowledge(_) => schema::SEARCH_KNOWLEDGE,
            Self::SendDocument(_) => schema::SEND_DOCUMENT,
            Self::Weather(_) => schema::WEATHER,
            Self::Escalate(_) => schema::ESCALATE,
            Self::PauseRecording => schema::PAUSE_RECORDING,
            Self::ResumeRecording => schema::RESUME_RECORDING,
            Self::Http(http) => &http.name,
        }
    }

    /// Whether running it changes anything, so that it must not run twice. A tenant's own tools
    /// count as changing something.
    pub const fn has_effect(&self) -> bool {
        !matches!(
            self,
            Self::FindSlots(_)
                | Self::ListAppointments(_)
                | Self::SearchKnowledge(_)
                | Self::Weather(_)
        )
    }

    /// Whether it reads or changes the calendar of appointments.
    pub const fn is_of_appointments(&self) -> bool {
        matches!(
            self,
            Self::FindSlots(_)
                | Self::Book(_)
                | Self::Reschedule(_)
                | Self::Cancel(_)
                | Self::ListAppointments(_)
        )
    }
}

/// A time that is free.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Slot {
    /// When it begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// The service's id in the tenant's configuration.
    pub service: String,
    /// The id of who or what serves it.
    pub resource: String,
    /// Its name as people say it, where the tenant wants it said.
    pub with: Option<String>,
}

/// An appointment that stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Appointment {
    /// Its id; means nothing to the dialogue.
    pub id: String,
    /// When it begins.
    pub start: Timestamp,
    /// The service's name as people say it.
    pub service: Option<String>,
    /// With whom, where the tenant wants it said.
    pub with: Option<String>,
}

/// A piece of a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Passage {
    /// The document's title.
    pub source: String,
    /// The text.
    pub text: String,
}

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "value", rename_all = "snake_case")]
pub enum Outcome {
    /// Free times, the nearest to what was wanted first; none: nothing is free as far as was looked.
    Slots(Vec<Slot>),
    /// The appointment stands.
    Booked(Appointment),
    /// It could not be written now; it is kept, done later and confirmed by message (D6).
    Held,
    /// The time is no longer free, or not within the hours; these are, nearest first.
    Taken(Vec<Slot>),
    /// The appointment stands at its new time.
    Moved(Appointment),
    /// It is called off.
    Cancelled(Appointment),
    /// The person's coming appointments, the next first.
    Appointments(Vec<Appointment>),
    /// What the documents say, the best first; none: nothing.
    Passages(Vec<Passage>),
    /// The file of the document of this title is on its way.
    Sent(String),
    /// The weather in words that can be spoken.
    Weather(String),
    /// A human takes over now, or has been asked for.
    Escalated(Escalated),
    /// Done; nothing to tell.
    Done,
    /// What a tool of the tenant's own answered.
    Json(Value),
    /// What was asked for does not exist.
    NotFound,
    /// Not allowed or not possible, in words a model can act on.
    Refused(String),
    /// The tool could not be reached in time; nothing was done.
    Unavailable,
}

/// Without what is in it: it may be about a person.
impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Outcome {
    /// Its kind, for logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Slots(_) => "slots",
            Self::Booked(_) => "booked",
            Self::Held => "held",
            Self::Taken(_) => "taken",
            Self::Moved(_) => "moved",
            Self::Cancelled(_) => "cancelled",
            Self::Appointments(_) => "appointments",
            Self::Passages(_) => "passages",
            Self::Sent(_) => "sent",
            Self::Weather(_) => "weather",
            Self::Escalated(_) => "escalated",
            Self::Done => "done",
            Self::Json(_) => "json",
            Self::NotFound => "not_found",
            Self::Refused(_) => "refused",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether something is otherwise than before.
    pub const fn has_happened(&self) -> bool {
        matches!(
            self,
            Self::Booked(_)
                | Self::Held
                | Self::Moved(_)
                | Self::Cancelled(_)
                | Self::Sent(_)
                | Self::Escalated(Escalated::Transferring | Escalated::Queued { .. })
                | Self::Done
        )
    }
}

/// How a human was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escalated {
    /// The call is put through when the reply was heard.
    Transferring,
    /// In the queue of a chat, or of people who will be called back.
    Queued {
        /// How long it will take about, in minutes, where known.
        minutes: Option<u32>,
    },
    /// Nobody is there now.
    NobodyThere,
}

/// A tool to be run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Its place among the calls of the turn, from 0. With conversation and turn it is the key of the
    /// effect.
    pub index: u32,
    /// What to do.
    pub request: ToolRequest,
}

/// A tool that was run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Done {
    /// What was asked.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
}

/// What was done in a turn of the past, for [`crate::Desk::rebuild`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastCall {
    /// In which turn.
    pub turn: Turn,
    /// What was done.
    pub done: Done,
}

/// The tools of one turn as the rules use them: what was done is looked up, what was not is asked
/// for, and the rules are run again when it is there.
pub(crate) struct Tools<'a> {
    done: &'a [Done],
}

/// A tool has to be run before the rules can go on.
#[derive(Debug)]
pub(crate) struct Wanted(pub(crate) Box<Call>);

impl<'a> Tools<'a> {
    pub(crate) fn new(done: &'a [Done]) -> Self {
        Self { done }
    }

    /// What came of `request`. The same request is never run twice in a turn, whoever made it. One
    /// too many is answered as if the tool were away, so that a turn ends.
    pub(crate) fn run(&self, request: ToolRequest) -> Result<&'a Outcome, Wanted> {
        if let Some(done) = self.done.iter().find(|d| d.call.request == request) {
            return Ok(&done.outcome);
        }
        match next_call(self.done, request) {
            Some(call) => Err(Wanted(Box::new(call))),
            None => Ok(&Outcome::Unavailable),
        }
    }
}

/// The next call of a turn; `None` where it has had [`CALLS_MAX`].
pub(crate) fn next_call(done: &[Done], request: ToolRequest) -> Option<Call> {
    let index = done.iter().map(|d| d.call.index + 1).max().unwrap_or(0);
    (index < CALLS_MAX).then_some(Call { index, request })
}

/// [`Personal`] as the plain text it protects: only stores and models see these forms.
mod personal {
    use domain::Personal;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Personal, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text.reveal())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Personal, D::Error> {
        String::deserialize(from).map(Personal::new)
    }
}

/// As [`personal`], for what may be missing.
mod personal_option {
    use domain::Personal;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        text: &Option<Personal>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        text.as_ref().map(Personal::reveal).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Personal>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Personal::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weather(place: &str) -> ToolRequest {
        ToolRequest::Weather(Weather { place: Some(place.into()), date: None })
    }

    #[test]
    fn what_was_done_is_not_asked_for_again() {
        let first = Tools::new(&[]).run(weather("Toronto")).unwrap_err().0;
        let first = *first;
        assert_eq!(first.index, 0);
        let done = [Done { call: first, outcome: Outcome::Weather("Sunny.".into()) }];
        let tools = Tools::new(&done);
        assert_eq!(tools.run(weather("Toronto")).unwrap(), &done[0].outcome);
        assert_eq!(tools.run(weather("Ottawa")).unwrap_err().0.index, 1);
    }

    #[test]
    fn a_turn_does_not_run_tools_without_end() {
        let done: Vec<Done> = (0..CALLS_MAX)
            .map(|index| Done {
                call: Call { index, request: weather(&index.to_string()) },
                outcome: Outcome::Unavailable,
            })
            .collect();
        assert_eq!(Tools::new(&done).run(weather("Toronto")).unwrap(), &Outcome::Unavailable);
    }

    #[test]
    fn what_is_printed_of_a_tool_holds_nothing_of_a_person() {
        let book = ToolRequest::Book(Book {
            start: Timestamp::UNIX_EPOCH,
            service: None,
            resource: None,
            name: "Anna Lee".into(),
            phone: Some("+15551234567".into()),
            email: Some("anna@example.org".into()),
            notes: Some("is afraid".into()),
        });
        let outcome = Outcome::Json(serde_json::json!({"name": "Anna Lee"}));
        let printed = format!("{:?}", Done { call: Call { index: 0, request: book }, outcome });
        for secret in ["Anna", "555", "example", "afraid"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }

    #[test]
    fn what_was_done_comes_back_from_the_ledger_as_it_was() {
        let done = Done {
            call: Call { index: 3, request: ToolRequest::PauseRecording },
            outcome: Outcome::Escalated(Escalated::Queued { minutes: Some(4) }),
        };
        let json = serde_json::to_string(&done).unwrap();
        assert_eq!(serde_json::from_str::<Done>(&json).unwrap(), done);
    }
}
