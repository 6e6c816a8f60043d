//! The agents (C1) and what each of them bids for a turn and says in it.

use crate::{
    appointment,
    state::{Question, State},
    tool::{Escalate, Escalated, EscalationReason, Outcome, ToolRequest, Tools, Wanted},
    understand::{self, Answer, Here, Intent, Wish},
};

/// What an agent does (C1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AgentKind {
    /// Opens and closes the talk.
    Greeting,
    /// Carries out a task; in this release: takes down appointment requests.
    Task,
    /// Takes what no other agent is sure of.
    Fallback,
}

/// One agent of a tenant (C3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    /// Its name, unique in the tenant.
    pub name: String,
    /// What it does.
    pub kind: AgentKind,
    /// What a language model is told about its part.
    pub instructions: String,
}

impl Agent {
    fn new(name: &str, kind: AgentKind, instructions: &str) -> Self {
        Self { name: name.to_owned(), kind, instructions: instructions.to_owned() }
    }
}

/// The agents of a tenant that has named none.
pub fn default_agents() -> Vec<Agent> {
    vec![
        Agent::new(
            "greeting",
            AgentKind::Greeting,
            "Welcome the person, find out what they need, and close the talk politely.",
        ),
        Agent::new(
            "appointments",
            AgentKind::Task,
            "Take down requests for appointments: ask for the name, the day and the time, one at a \
             time, read them back and ask whether they are right. You cannot book anything. Once \
             they are confirmed, say that the request is noted for the team, who will confirm it.",
        ),
        Agent::new(
            "fallback",
            AgentKind::Fallback,
            "Answer shortly if you can do so without inventing anything about the business, and \
             offer to take down a request for an appointment.",
        ),
    ]
}

const NOT_UNDERSTOOD: &str = "Sorry, I did not catch that. Could you say it again?";
const OFFER: &str = "I can take down an appointment request. Would you like one?";
const OFFER_AGAIN: &str = "Sorry, I can only help with appointments. Would you like one?";

/// What an agent says by the rules.
pub(crate) struct Scripted {
    pub text: String,
    /// Nothing more is to be said once this was heard.
    pub hang_up: bool,
}

impl From<String> for Scripted {
    fn from(text: String) -> Self {
        Self { text, hang_up: false }
    }
}

impl From<&str> for Scripted {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// How sure an agent of `kind` is that the words are for it (C2).
pub(crate) fn confidence(kind: AgentKind, is_current: bool, state: &State, text: &str) -> f32 {
    if is_current
        && matches!(understand::wish(text), Some(Wish::Repeat | Wish::Slower))
        && state.last_reply().is_some()
    {
        return 0.9;
    }
    if understand::wish(text) == Some(Wish::Task(Intent::Human)) {
        return if kind == AgentKind::Task { 0.9 } else { 0.1 };
    }
    match kind {
        AgentKind::Greeting => match (understand::wish(text), state.asked) {
            (Some(Wish::Leave), _) => 0.95,
            (Some(Wish::Greet | Wish::Thank), _) => 0.85,
            (None, Some(Question::AnythingElse)) if is_no(text) => 0.9,
            (None, Some(Question::AnythingElse)) if is_yes(text) => 0.75,
            _ => 0.1,
        },
        AgentKind::Task => appointment::confidence(state, text),
        AgentKind::Fallback => 0.0,
    }
}

/// Takes the words in and says, by the rules, what the agent says next.
pub(crate) fn reply(
    kind: AgentKind,
    state: &mut State,
    text: &str,
    spoken: bool,
    here: &Here,
    tools: &Tools<'_>,
) -> Result<Scripted, Wanted> {
    let wish = understand::wish(text);
    if wish == Some(Wish::Task(Intent::Human)) {
        return hand_over(state, text, tools);
    }
    let scripted = by_kind(kind, state, wish, text, spoken, here);
    Ok(scripted)
}

fn by_kind(
    kind: AgentKind,
    state: &mut State,
    wish: Option<Wish>,
    text: &str,
    spoken: bool,
    here: &Here,
) -> Scripted {
    if matches!(wish, Some(Wish::Repeat | Wish::Slower))
        && let Some(last) = state.last_reply()
    {
        return last.reveal().to_owned().into();
    }
    match kind {
        AgentKind::Task => appointment::reply(state, text, here).into(),
        AgentKind::Greeting => greet(state, wish, text, spoken),
        AgentKind::Fallback => {
            if text.trim().is_empty() {
                return NOT_UNDERSTOOD.into();
            }
            let was_offered = state.asked.replace(Question::Offer) == Some(Question::Offer);
            if was_offered && is_no(text) {
                state.asked = Some(Question::AnythingElse);
                return "All right. Anything else?".into();
            }
            if was_offered { OFFER_AGAIN.into() } else { OFFER.into() }
        }
    }
}

/// A human takes over (A7), or at least knows of it.
fn hand_over(state: &mut State, text: &str, tools: &Tools<'_>) -> Result<Scripted, Wanted> {
    let summary = match &state.enquiry.name {
        Some(name) => format!("{} asked for a person: {text}", name.reveal()),
        None => format!("Asked for a person: {text}"),
    };
    let request = Escalate { reason: EscalationReason::Asked, summary: summary.into() };
    let outcome = tools.run(ToolRequest::Escalate(request))?;
    Ok(match outcome {
        Outcome::Escalated(Escalated::Transferring) => "One moment, I will put you through.".into(),
        Outcome::Escalated(Escalated::Queued { minutes: Some(minutes) }) => {
            format!("Someone will be with you in about {minutes} minutes.").into()
        }
        Outcome::Escalated(Escalated::Queued { minutes: None }) => {
            "Someone will be with you as soon as possible.".into()
        }
        _ => {
            state.asked = Some(Question::Offer);
            "Sorry, nobody is free right now. Shall I take an appointment request?".into()
        }
    })
}

fn greet(state: &mut State, wish: Option<Wish>, text: &str, spoken: bool) -> Scripted {
    let asked = state.asked.take();
    let is_done = asked == Some(Question::AnythingElse) && is_no(text);
    if wish == Some(Wish::Leave) || is_done {
        let verb = if spoken { "calling" } else { "writing" };
        return Scripted { text: format!("Thank you for {verb}. Goodbye."), hang_up: spoken };
    }
    if wish == Some(Wish::Thank) {
        state.asked = Some(Question::AnythingElse);
        return "You are welcome. Anything else?".into();
    }
    if asked == Some(Question::AnythingElse) {
        return "What can I do for you?".into();
    }
    "Hello! How can I help you?".into()
}

fn is_yes(text: &str) -> bool {
    understand::answer(text) == Answer::Yes
}

fn is_no(text: &str) -> bool {
    understand::answer(text) == Answer::No
}
