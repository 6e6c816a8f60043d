//! What is known of a conversation between two turns.

use domain::{Heard, Personal, Turn};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::understand::{self, TimeOfDay};

/// The most utterances a context carries; older ones are in the history only.
pub const HISTORY_UTTERANCES_MAX: usize = 40;

/// Who said something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The caller, or the person who writes.
    Person,
    /// One of our agents.
    Agent,
}

/// Something that was said and heard, or written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Utterance {
    /// By whom.
    pub role: Role,
    /// The words.
    pub text: Personal,
    /// In which turn.
    pub turn: Turn,
}

/// A question that stands open, so that a bare answer is understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// Whether an appointment is wanted.
    Offer,
    /// The name it is for.
    Name,
    /// The day.
    Day,
    /// The time of day.
    Time,
    /// The number they can be reached on.
    Phone,
    /// The address the appointment is confirmed to.
    Email,
    /// Which of the free times that were offered.
    Offered,
    /// Which of their appointments.
    Which,
    /// Whether what was read back is right.
    Confirm,
    /// Whether anything else is wanted.
    AnythingElse,
    /// Whether a human is wanted, where nothing is known.
    Human,
}

impl Question {
    /// Whether an appointment is under way while it stands open.
    pub(crate) const fn is_of_an_appointment(self) -> bool {
        !matches!(self, Self::Offer | Self::AnythingElse | Self::Human)
    }

    /// Whether a bare number answers it with a time of day.
    pub(crate) const fn is_of_a_time(self) -> bool {
        matches!(self, Self::Time | Self::Offered)
    }
}

/// What is to be done about an appointment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A new one.
    #[default]
    Book,
    /// Another time for one there is.
    Reschedule,
    /// One there is called off.
    Cancel,
}

/// Where a person can be reached.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Contact {
    /// They have told nothing of it.
    #[default]
    Unknown,
    /// They told this.
    Told(Personal),
    /// They would not tell any.
    Declined,
}

impl Contact {
    /// What they told.
    pub fn told(&self) -> Option<&Personal> {
        match self {
            Self::Told(told) => Some(told),
            Self::Unknown | Self::Declined => None,
        }
    }
}

/// Something to choose from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// When it begins.
    pub start: Timestamp,
    /// The id of the appointment that begins then; `None` for a free time.
    pub appointment: Option<String>,
}

/// What is known so far of the appointment a person asks for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Enquiry {
    /// What is to be done.
    pub task: Task,
    /// The name it is for.
    pub name: Option<Personal>,
    /// The service that was named; the business's usual one where none was.
    pub service: Option<String>,
    /// The day, in the business's time zone.
    pub day: Option<Date>,
    /// The time of day, in the business's time zone.
    pub time: Option<TimeOfDay>,
    /// The number for it, E.164; the one they call from where they told none.
    pub number: Contact,
    /// The e-mail address it is confirmed to.
    pub email: Contact,
    /// What was offered, in the order it was said.
    pub offers: Vec<Offer>,
    /// The appointment that is to be moved or called off.
    pub appointment: Option<Offer>,
}

impl Enquiry {
    /// A sentence for a human: who it is, what they did, and what is known so far.
    pub(crate) fn summary(&self, did: &str) -> String {
        let name = self.name.as_ref().map_or("Somebody", Personal::reveal);
        let moment = match (self.day, self.time) {
            (Some(day), Some(time)) => format!("; about {day} {}", time.as_said()),
            (Some(day), None) => format!("; about {day}"),
            _ => String::new(),
        };
        format!("{name} {did}{moment}.")
    }
}

/// The context of one conversation (C4). Plain data: the shell keeps it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct State {
    /// The agent that had the last turn.
    pub agent: Option<String>,
    /// The last turn whose words are in here.
    pub last_turn: Turn,
    /// What was said and heard, or written, in order; at most [`HISTORY_UTTERANCES_MAX`].
    pub history: Vec<Utterance>,
    /// A spoken reply of which it is not known yet what was heard. It is no part of the history:
    /// what the caller did not hear, the agent did not say (B2).
    pub pending: Option<Utterance>,
    /// The question that stands open.
    pub asked: Option<Question>,
    /// How many turns in a row were not understood (B3).
    pub misses: u32,
    /// Recording is paused: the caller tells a card number (B4).
    pub off_record: bool,
    /// The appointment in the making.
    pub enquiry: Enquiry,
    /// The call is over.
    pub ended: bool,
    /// The context was rebuilt from a history that may have lacked the last turn (DESIGN 5).
    pub gap: bool,
    /// The caller asked to be spoken to slowly (B3).
    pub slowly: bool,
}

impl State {
    /// The context of a call that has just begun; its greeting counts once it was heard.
    pub fn of_call(greeting: Personal, greeting_agent: &str) -> Self {
        Self {
            agent: Some(greeting_agent.to_owned()),
            pending: Some(Utterance { role: Role::Agent, text: greeting, turn: Turn::GREETING }),
            ..Self::default()
        }
    }

    /// Whether the words of `turn` are in here already, so that a message delivered again changes
    /// nothing. A person's first turn is 1.
    pub fn has(&self, turn: Turn) -> bool {
        turn <= self.last_turn
    }

    /// Puts what was heard of a reply in its place. Whatever else was pending was not heard and is
    /// forgotten.
    pub fn hear(&mut self, heard: Option<&Heard>) {
        let pending = self.pending.take();
        let Some(heard) = heard else { return };
        let text = match pending {
            Some(p) if heard.complete && heard.text.is_empty() && p.turn == heard.turn => p.text,
            _ => heard.text.clone(),
        };
        self.history.retain(|u| !(u.role == Role::Agent && u.turn == heard.turn));
        if !text.is_empty() {
            let at = self.history.partition_point(|u| u.turn <= heard.turn);
            self.history.insert(at, Utterance { role: Role::Agent, text, turn: heard.turn });
        }
        self.forget_oldest();
    }

    /// Takes in the reply to `turn` as it was given. A spoken one is pending until it is known what
    /// was heard; a written one is read.
    pub fn replied(&mut self, turn: Turn, text: Personal, spoken: bool) {
        let reply = Utterance { role: Role::Agent, text, turn };
        if spoken {
            self.pending = Some(reply);
        } else {
            self.history.push(reply);
            self.forget_oldest();
        }
    }

    /// The call is over.
    pub fn call_ended(&mut self, heard: Option<&Heard>) {
        self.hear(heard);
        self.ended = true;
    }

    /// What a human is told of a talk that ended before the appointment it was about was agreed; `None` of any other.
    pub fn left_unfinished(&self) -> Option<Personal> {
        let is_open = self.asked.is_some_and(Question::is_of_an_appointment);
        is_open.then(|| self.enquiry.summary("left before an appointment was agreed").into())
    }

    /// Whether the answer to `text` is to be spoken slowly: who asked for it is spoken to so until they want it otherwise (B3).
    pub fn slowly_after(&self, text: &Personal) -> bool {
        understand::slowly(text.reveal()).unwrap_or(self.slowly)
    }

    pub(crate) fn person_said(&mut self, turn: Turn, text: &Personal) {
        self.slowly = self.slowly_after(text);
        if !text.is_empty() {
            self.history.push(Utterance { role: Role::Person, text: text.clone(), turn });
            self.forget_oldest();
        }
        self.last_turn = turn;
    }

    /// The last thing we said, heard or not, so that it can be repeated.
    pub(crate) fn last_reply(&self) -> Option<&Personal> {
        let last_heard = || self.history.iter().rev().find(|u| u.role == Role::Agent);
        self.pending.as_ref().or_else(last_heard).map(|u| &u.text)
    }

    fn forget_oldest(&mut self) {
        let too_many = self.history.len().saturating_sub(HISTORY_UTTERANCES_MAX);
        self.history.drain(..too_many);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(state: &State) -> Vec<&str> {
        state.history.iter().map(|u| u.text.reveal()).collect()
    }

    fn heard(turn: u32, text: &str, complete: bool) -> Heard {
        Heard { turn: Turn(turn), text: text.into(), complete }
    }

    #[test]
    fn an_agent_remembers_only_what_was_heard() {
        let mut state = State::of_call("Hello, how can I help?".into(), "greeting");
        assert!(texts(&state).is_empty(), "the greeting may never be heard");
        state.hear(Some(&heard(0, "Hello, how", false)));
        state.person_said(Turn(1), &"Wait".into());
        state.replied(Turn(1), "All of this is lost.".into(), true);
        state.hear(None);
        state.person_said(Turn(2), &"Go on".into());
        assert_eq!(texts(&state), ["Hello, how", "Wait", "Go on"]);
    }

    #[test]
    fn what_was_heard_stands_before_the_words_that_came_after_it() {
        let mut state = State::default();
        state.person_said(Turn(1), &"one".into());
        state.person_said(Turn(2), &"two".into());
        state.hear(Some(&heard(1, "answer to one", true)));
        assert_eq!(texts(&state), ["one", "answer to one", "two"]);
        state.hear(Some(&heard(1, "answer", false)));
        assert_eq!(texts(&state), ["one", "answer", "two"], "told again, it is not doubled");
    }

    #[test]
    fn who_asked_for_it_is_spoken_to_slowly_until_they_want_it_otherwise() {
        let mut state = State::default();
        for (turn, text, slowly) in [
            (1, "I need an appointment", false),
            (2, "Slower, please", true),
            (3, "Next Monday", true),
            (4, "You can speak faster", false),
        ] {
            assert_eq!(state.slowly_after(&text.into()), slowly, "{text}");
            state.person_said(Turn(turn), &text.into());
            assert_eq!(state.slowly, slowly, "{text}");
        }
    }

    #[test]
    fn a_written_reply_is_remembered_at_once() {
        let mut state = State::default();
        state.person_said(Turn(1), &"one".into());
        state.replied(Turn(1), "answer".into(), false);
        assert_eq!(texts(&state), ["one", "answer"]);
    }

    #[test]
    fn the_context_stays_small_however_long_the_talk() {
        let mut state = State::default();
        for turn in 1..100 {
            state.person_said(Turn(turn), &format!("{turn}").into());
            state.replied(Turn(turn), "answer".into(), false);
        }
        assert_eq!(state.history.len(), HISTORY_UTTERANCES_MAX);
        assert_eq!(state.history[0].turn, Turn(80));
    }
}
