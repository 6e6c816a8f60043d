//! The agents (C1) and what each of them bids for a turn and says in it.

use domain::Voice;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    appointment::{self, Scene},
    classifier, recording, retrieval,
    sentence::sentences,
    state::{Question, State},
    tool::{self, Escalate, Escalated, EscalationReason, Outcome, ToolRequest, Tools, Wanted},
    understand::{self, Answer, Wish},
};

/// What an agent does (C1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AgentKind {
    /// Opens and closes the talk.
    Greeting,
    /// Carries out a task; in this release: makes, moves and cancels appointments.
    Task,
    /// Answers questions from the tenant's documents, and names its source.
    InformationRetrieval,
    /// Takes what no other agent is sure of: asks again, offers what the desk can do, then a human.
    Fallback,
    /// Never speaks: turns the words into what they are about, from which the others' confidences follow.
    IntentClassifier,
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
    /// The names of the tools a language model may use in its part (C5).
    pub tools: Vec<String>,
    /// As the current agent it keeps the turn above this confidence, in hundredths; `None`: as the tenant's (C2).
    pub keeps_above_percent: Option<u8>,
    /// From this confidence on it can win a turn, in hundredths; `None`: as the tenant's (C2).
    pub wins_from_percent: Option<u8>,
    /// What it speaks, BCP 47; `None`: as the tenant.
    pub language: Option<String>,
    /// The vendor's name of its voice; `None`: the tenant's.
    pub voice: Option<String>,
}

impl Agent {
    fn new(name: &str, kind: AgentKind, instructions: &str) -> Self {
        let tools = kind.usual_tools();
        Self {
            name: name.to_owned(),
            kind,
            instructions: instructions.to_owned(),
            tools,
            keeps_above_percent: None,
            wins_from_percent: None,
            language: None,
            voice: None,
        }
    }

    /// The agent of a tenant's row, whose `config` is `{"instructions": "...", "tools": ["find_slots"], "keeps_above": 0.8,
    /// "wins_from": 0.6, "language": "fr-CA", "voice": "aura-2-agathe-fr"}`. What is left out is as with the built-in
    /// agent of the kind, and as the tenant has it. An intent classifier has `instructions` and `wins_from` only: under that
    /// its verdict counts as unclear.
    ///
    /// # Errors
    /// What is wrong with it, for the tenant's operator.
    pub fn read(name: &str, kind: AgentKind, config: &Value) -> Result<Self, String> {
        let Config { instructions, tools, keeps_above, wins_from, language, voice } =
            Config::deserialize(config).map_err(|e| e.to_string())?;
        if kind == AgentKind::IntentClassifier {
            let of_a_speaker = [
                ("tools", tools.as_ref().is_some_and(|tools| !tools.is_empty())),
                ("keeps_above", keeps_above.is_some()),
                ("language", language.is_some()),
                ("voice", voice.is_some()),
            ];
            if let Some((key, _)) = of_a_speaker.iter().find(|(_, is_set)| *is_set) {
                return Err(format!("{key}: an intent classifier never has a turn; leave it out"));
            }
        }
        let percent = |key: &str, share: Option<f64>| match share {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                Err(format!("{key}: {share} is not within 0 and 1"))
            }
            share => Ok(share.map(|share| (share * 100.0).round() as u8)),
        };
        if let Some(tag) = language.as_deref().filter(|tag| !is_language(tag)) {
            return Err(format!("language: {tag:?} is no tag such as en-US"));
        }
        if voice.as_deref().is_some_and(|name| name.trim().is_empty()) {
            return Err("voice: must not be empty; leave it out".to_owned());
        }
        let built_in = default_agents().into_iter().find(|a| a.kind == kind);
        let instructions = match instructions {
            Some(text) if text.trim().is_empty() => {
                return Err("instructions: must not be empty; leave them out".to_owned());
            }
            Some(text) if text.chars().count() > INSTRUCTIONS_CHARS_MAX => {
                return Err(format!(
                    "instructions: must have at most {INSTRUCTIONS_CHARS_MAX} characters"
                ));
            }
            Some(text) => text,
            None => built_in.map(|a| a.instructions).unwrap_or_default(),
        };
        let tools = tools.unwrap_or_else(|| kind.usual_tools());
        let known: Vec<String> = tool::built_in().into_iter().map(|t| t.name).collect();
        if let Some(unknown) = tools.iter().find(|t| !known.contains(t)) {
            return Err(format!("tools: {unknown:?} is none of {}", known.join(", ")));
        }
        Ok(Self {
            name: name.to_owned(),
            kind,
            instructions,
            tools,
            keeps_above_percent: percent("keeps_above", keeps_above)?,
            wins_from_percent: percent("wins_from", wins_from)?,
            language,
            voice,
        })
    }

    /// The tenant's voice, as far as the agent has none of its own. One of its own is asked for at every vendor of the
    /// tenant's.
    pub fn voice(&self, usual: &Voice) -> Voice {
        let mut voice = usual.clone();
        if let Some(language) = &self.language {
            voice.language.clone_from(language);
        }
        if let Some(own) = &self.voice {
            voice.model.clone_from(own);
            for vendor in &mut voice.vendors {
                vendor.name = Some(own.clone());
            }
        }
        voice
    }
}

/// Whether it looks like a tag of BCP 47.
fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let is_plain = |part: &str| {
        (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    parts.next().is_some_and(|first| (2..=3).contains(&first.len()) && is_plain(first))
        && parts.all(is_plain)
}

/// Longer instructions cost time and tokens with every turn.
const INSTRUCTIONS_CHARS_MAX: usize = 8_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    instructions: Option<String>,
    tools: Option<Vec<String>>,
    keeps_above: Option<f64>,
    wins_from: Option<f64>,
    language: Option<String>,
    voice: Option<String>,
}

impl AgentKind {
    /// The kind a row names; `None` for one that this release does not know.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "greeting" => Some(Self::Greeting),
            "task" => Some(Self::Task),
            "information_retrieval" => Some(Self::InformationRetrieval),
            "fallback" => Some(Self::Fallback),
            "intent_classifier" => Some(Self::IntentClassifier),
            _ => None,
        }
    }

    /// The names of all kinds, as a row has them.
    pub const NAMES: [&str; 5] =
        ["greeting", "task", "information_retrieval", "fallback", "intent_classifier"];

    /// Whether an agent of the kind can have a turn.
    pub const fn has_turns(self) -> bool {
        !matches!(self, Self::IntentClassifier)
    }

    fn usual_tools(self) -> Vec<String> {
        if self.has_turns() { USUAL_TOOLS.map(str::to_owned).to_vec() } else { Vec::new() }
    }
}

/// The tools of an agent whose tenant names none. All have the same, for a model talks with one voice whichever
/// agent has the turn: "yes, thanks" books what the agent before has read back.
pub const USUAL_TOOLS: [&str; 9] = [
    "find_slots",
    "book_appointment",
    "reschedule_appointment",
    "cancel_appointment",
    "list_appointments",
    "search_knowledge",
    "send_document",
    "weather",
    "transfer_to_human",
];

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
            "Make, move and cancel appointments. Ask for the name, the day and the time, one at a \
             time. Look for free times before you offer or promise any. Read name, day and time \
             back and ask whether they are right; change nothing before you heard a clear yes.",
        ),
        Agent::new(
            "information",
            AgentKind::InformationRetrieval,
            "Answer questions about the business from its documents: search them before you answer, \
             and say which of them it is from. Say that you do not know what none of them says, and \
             offer a human. Invent nothing.",
        ),
        Agent::new(
            "fallback",
            AgentKind::Fallback,
            "It is not clear what the person wants. Ask once more, shortly; say what you can do for \
             them; offer a human where that does not help. Invent nothing about the business.",
        ),
        Agent::new(
            "classifier",
            AgentKind::IntentClassifier,
            "Say what the person wants: an appointment made, moved or called off, something they \
             ask to know, a human, a greeting, thanks or goodbye, or none of these.",
        ),
    ]
}

pub(crate) const NOT_UNDERSTOOD: &str = "Sorry, I did not catch that. Could you say it again?";
const ANYTHING_ELSE: &str = "Sorry, I did not catch that. Is there anything else?";
const OFFER: &str = "I can make, move or cancel an appointment. Would you like one?";
const OFFER_AGAIN: &str = "Sorry, I can only help with appointments. Would you like one?";
const OFFER_HUMAN: &str = "Sorry, I still do not understand. Would you like to talk to a person?";

/// So many turns in a row that were not understood end with a human (B3).
const MISSES_MAX: u32 = 3;

/// What an agent says by the rules.
pub(crate) struct Scripted {
    pub text: String,
    /// Nothing more is to be said once this was heard.
    pub hang_up: bool,
    /// The words were no answer; a step down the recovery ladder (B3).
    pub is_miss: bool,
}

impl Scripted {
    /// What is said where the words were no answer.
    pub(crate) fn missed(text: impl Into<String>) -> Self {
        Self { text: text.into(), hang_up: false, is_miss: true }
    }

    /// The same, said after `first`.
    pub(crate) fn after(self, first: Option<String>) -> Self {
        match first {
            Some(first) => Self { text: format!("{first} {}", self.text), ..self },
            None => self,
        }
    }
}

impl From<String> for Scripted {
    fn from(text: String) -> Self {
        Self { text, hang_up: false, is_miss: false }
    }
}

impl From<&str> for Scripted {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Takes the words in and says, by the rules, what the agent says next.
pub(crate) fn reply(
    kind: AgentKind,
    state: &mut State,
    text: &str,
    scene: &Scene<'_>,
) -> Result<Scripted, Wanted> {
    let wish = understand::wish(text);
    let of_a_card = match scene.spoken {
        true => recording::heed(state, text, scene.tools)?,
        false => None,
    };
    if classifier::wants_human(wish, state, text) {
        state.misses = 0;
        state.asked = None;
        return hand_over(state, EscalationReason::Asked, scene.tools);
    }
    if let Some(scripted) = of_a_card {
        state.misses = 0;
        return Ok(scripted);
    }
    let scripted = by_kind(kind, state, wish, text, scene)?;
    state.misses = if scripted.is_miss { state.misses + 1 } else { 0 };
    // The ladder: ask again, ask more plainly, then a human (B3).
    if state.misses >= MISSES_MAX {
        state.misses = 0;
        return hand_over(state, EscalationReason::Ladder, scene.tools);
    }
    Ok(scripted)
}

/// What is said where nothing was said that could be answered: `receipt`, and the question that stands open once more.
pub(crate) fn go_on(state: &State, receipt: &str) -> Scripted {
    let last = state.asked.and_then(|_| state.last_reply());
    let open = last.and_then(|reply| sentences(reply.reveal()).pop());
    let question = open.filter(|sentence| sentence.ends_with('?'));
    let question = question.as_deref().map_or("What can I do for you?", str::trim);
    format!("{receipt} {question}").into()
}

fn by_kind(
    kind: AgentKind,
    state: &mut State,
    wish: Option<Wish>,
    text: &str,
    scene: &Scene<'_>,
) -> Result<Scripted, Wanted> {
    if matches!(wish, Some(Wish::Repeat | Wish::Slower))
        && let Some(last) = state.last_reply()
    {
        return Ok(last.reveal().to_owned().into());
    }
    Ok(match kind {
        AgentKind::Task => return appointment::reply(state, text, scene),
        AgentKind::Greeting => greet(state, wish, text, scene.spoken),
        AgentKind::InformationRetrieval => {
            return retrieval::reply(state, text, scene);
        }
        AgentKind::Fallback | AgentKind::IntentClassifier => {
            // "What is a filling?" may be all that is said of the appointment that is then offered.
            if let Some(service) = understand::service(text, scene.services) {
                state.enquiry.service = Some(service.to_owned());
            }
            fall_back(state, text)
        }
    })
}

/// Asks again, offers what the desk can do, then a human. The third miss in a row is a human, asked for or not.
fn fall_back(state: &mut State, text: &str) -> Scripted {
    if text.trim().is_empty() {
        return Scripted::missed(NOT_UNDERSTOOD);
    }
    if is_human_declined(state, text) {
        return decline(state);
    }
    // Noise after all is done is no wish for something else.
    if state.asked == Some(Question::AnythingElse) && state.misses == 0 {
        return Scripted::missed(ANYTHING_ELSE);
    }
    match state.asked {
        Some(Question::Offer) if is_no(text) => decline(state),
        Some(Question::Offer) if state.misses > 0 => {
            state.asked = Some(Question::Human);
            Scripted::missed(OFFER_HUMAN)
        }
        Some(Question::Offer) => Scripted::missed(OFFER_AGAIN),
        Some(Question::Human) if state.misses > 0 => Scripted::missed(OFFER_HUMAN),
        _ => offer(state),
    }
}

/// What the desk can do.
pub(crate) fn offer(state: &mut State) -> Scripted {
    state.asked = Some(Question::Offer);
    OFFER.into()
}

pub(crate) fn is_human_declined(state: &State, text: &str) -> bool {
    state.asked == Some(Question::Human) && is_no(text)
}

/// What was offered is not wanted.
pub(crate) fn decline(state: &mut State) -> Scripted {
    state.asked = Some(Question::AnythingElse);
    "All right. Anything else?".into()
}

/// A human takes over (A7), or at least knows of it.
fn hand_over(
    state: &mut State,
    reason: EscalationReason,
    tools: &Tools<'_>,
) -> Result<Scripted, Wanted> {
    let request = Escalate { reason, summary: summary_of(state, reason).into() };
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
            "Sorry, nobody is free right now. Would you like an appointment?".into()
        }
    })
}

/// Who it is, what made it necessary, and what is known so far.
fn summary_of(state: &State, reason: EscalationReason) -> String {
    state.enquiry.summary(match reason {
        EscalationReason::Ladder => "was not understood three times",
        _ => "asked for a person",
    })
}

fn greet(state: &mut State, wish: Option<Wish>, text: &str, spoken: bool) -> Scripted {
    let asked = state.asked.take();
    let is_done = asked == Some(Question::AnythingElse) && is_no(text);
    if wish == Some(Wish::Leave) || is_done {
        let verb = if spoken { "calling" } else { "writing" };
        let text = format!("Thank you for {verb}. Goodbye.");
        return Scripted { hang_up: spoken, ..text.into() };
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

pub(crate) fn is_yes(text: &str) -> bool {
    understand::answer(text) == Answer::Yes
}

pub(crate) fn is_no(text: &str) -> bool {
    understand::answer(text) == Answer::No
}
