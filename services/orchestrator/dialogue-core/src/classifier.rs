//! The intent classifier (C1): what the words are about, from which the confidences of the other agents follow (C2). It
//! has no turns of its own.

use crate::{
    agents::{AgentKind, is_no, is_yes},
    appointment, retrieval,
    state::{Question, State},
    understand::{self, Intent, Wish},
};

/// What a turn is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// The last reply is wanted once more.
    Again,
    /// A human is wanted, or agreed to.
    Human,
    /// A greeting, thanks, a goodbye.
    Courtesy,
    /// An appointment is wanted, or what was asked about one is answered.
    Appointment,
    /// Something is asked that a document may answer.
    Question,
    /// None of these.
    Unclear,
}

impl Meaning {
    /// What a model may say. The rules alone know whether there is anything to say again.
    pub(crate) const OF_A_MODEL: [Self; 5] =
        [Self::Appointment, Self::Question, Self::Human, Self::Courtesy, Self::Unclear];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::Human => "human",
            Self::Courtesy => "courtesy",
            Self::Appointment => "appointment",
            Self::Question => "question",
            Self::Unclear => "unclear",
        }
    }
}

/// What the words are about, and how sure that is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Verdict {
    pub(crate) meaning: Meaning,
    /// 0 to 1.
    pub(crate) confidence: f32,
}

impl Verdict {
    /// How sure an agent of `kind` is that the words are for it.
    pub(crate) fn confidence_of(&self, kind: AgentKind, is_current: bool) -> f32 {
        let is_meant = match self.meaning {
            Meaning::Again => is_current,
            Meaning::Human | Meaning::Appointment => kind == AgentKind::Task,
            Meaning::Courtesy => kind == AgentKind::Greeting,
            Meaning::Question => kind == AgentKind::InformationRetrieval,
            Meaning::Unclear => false,
        };
        if is_meant { self.confidence } else { NOT_MEANT }
    }

    /// For the record (C9); holds nothing the person said.
    pub(crate) fn told(&self) -> String {
        format!("intent {} {:.2}", self.meaning.as_str(), self.confidence)
    }
}

/// How sure an agent is that what is about something else is for it.
const NOT_MEANT: f32 = 0.1;

/// Surer than this of an appointment, a question is one about it.
const RATHER_AN_APPOINTMENT: f32 = 0.5;

/// What the words are about, by the rules. `services` is what can be booked.
pub(crate) fn classify(state: &State, text: &str, services: &[String]) -> Verdict {
    let wish = understand::wish(text);
    let verdict = |meaning, confidence| Verdict { meaning, confidence };
    if matches!(wish, Some(Wish::Repeat | Wish::Slower)) && state.last_reply().is_some() {
        return verdict(Meaning::Again, 0.9);
    }
    if wants_human(wish, state, text) {
        return verdict(Meaning::Human, 0.9);
    }
    let of_an_appointment = appointment::confidence(state, text, services);
    let of_courtesy = match (wish, state.asked) {
        (Some(Wish::Leave), _) => 0.95,
        (Some(Wish::Greet | Wish::Thank), _) => 0.85,
        (None, Some(Question::AnythingElse)) if is_no(text) => 0.9,
        (None, Some(Question::AnythingElse)) if is_yes(text) => 0.75,
        _ => NOT_MEANT,
    };
    if of_an_appointment.max(of_courtesy) > RATHER_AN_APPOINTMENT {
        return if of_an_appointment > of_courtesy {
            verdict(Meaning::Appointment, of_an_appointment)
        } else {
            verdict(Meaning::Courtesy, of_courtesy)
        };
    }
    if wish == Some(Wish::Task(Intent::Hours)) {
        return verdict(Meaning::Question, 0.85);
    }
    let is_asked = understand::is_question(text) || retrieval::wants_file(text);
    if is_asked && !retrieval::is_about_the_desk(text) {
        return verdict(Meaning::Question, 0.75);
    }
    verdict(Meaning::Unclear, NOT_MEANT)
}

/// A human is asked for, or agreed to.
pub(crate) fn wants_human(wish: Option<Wish>, state: &State, text: &str) -> bool {
    let is_agreed = || state.asked == Some(Question::Human) && wish.is_none() && is_yes(text);
    wish == Some(Wish::Task(Intent::Human)) || is_agreed()
}
