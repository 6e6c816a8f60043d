//! The agent that answers from the tenant's documents (C5).

use crate::{
    agents::{NOT_UNDERSTOOD, Scripted, decline, is_human_declined, offer},
    appointment::Scene,
    sentence::sentences,
    state::{Question, State},
    tool::{Outcome, SearchKnowledge, SendDocument, ToolRequest, Tools, Wanted},
    understand,
};

const NOT_KNOWN: &str = "Sorry, I do not know that. Would you like to talk to a person?";
const NOT_LOOKED_UP: &str =
    "Sorry, I cannot look that up right now. Would you like to talk to a person?";

/// Takes the words in and says what is said next.
pub(crate) fn reply(state: &mut State, text: &str, scene: &Scene<'_>) -> Result<Scripted, Wanted> {
    if text.trim().is_empty() {
        return Ok(Scripted::missed(NOT_UNDERSTOOD));
    }
    if is_human_declined(state, text) {
        return Ok(decline(state));
    }
    if is_about_the_desk(text) {
        return Ok(offer(state));
    }
    if wants_file(text)
        && let Some(sent) = send(state, text, scene)?
    {
        return Ok(sent);
    }
    answer(state, text, scene.tools)
}

/// What people say who want something sent.
const SEND: [&str; 12] = [
    "send me",
    "send us",
    "send it",
    "send over",
    "send the",
    "send your",
    "send a",
    "share your",
    "share the",
    "a pdf",
    "a copy of",
    "brochure",
];

/// Whether a file is asked for, rather than what it says.
pub(crate) fn wants_file(text: &str) -> bool {
    let words = understand::words(text);
    SEND.iter().any(|phrase| understand::contains(&words, phrase))
}

/// Sends the file that is asked for; `None` where there is none, or none that can be sent here: what it says may be told.
fn send(state: &mut State, text: &str, scene: &Scene<'_>) -> Result<Option<Scripted>, Wanted> {
    let request = ToolRequest::SendDocument(SendDocument { what: text.into() });
    let Outcome::Sent(title) = scene.tools.run(request)? else { return Ok(None) };
    state.asked = Some(Question::AnythingElse);
    let place = if scene.spoken { " on WhatsApp" } else { "" };
    Ok(Some(format!("I have sent you \"{title}\"{place}. Anything else?").into()))
}

/// What people ask to find out what they are talking to; no document of the tenant's has the answer.
const ABOUT_THE_DESK: [&str; 10] = [
    "what can you do",
    "what do you do",
    "how can you help",
    "what can you help",
    "who are you",
    "can you hear me",
    "do you hear me",
    "is anybody there",
    "is anyone there",
    "is somebody there",
];

pub(crate) fn is_about_the_desk(text: &str) -> bool {
    let words = understand::words(text);
    ABOUT_THE_DESK.iter().any(|phrase| understand::contains(&words, phrase))
}

/// Answers a question from the tenant's documents, and says which of them; one that they do not answer is said not to be
/// known, and a human offered: nothing is invented (C5).
fn answer(state: &mut State, question: &str, tools: &Tools<'_>) -> Result<Scripted, Wanted> {
    let request = ToolRequest::SearchKnowledge(SearchKnowledge { query: question.into() });
    let unanswered = match tools.run(request)? {
        Outcome::Passages(found) => match found.first() {
            Some(best) => {
                state.asked = Some(Question::AnythingElse);
                return Ok(told(question, &best.source, &best.text).into());
            }
            None => NOT_KNOWN,
        },
        _ => NOT_LOOKED_UP,
    };
    // The second in a row is a step down the ladder: a human comes at its end, asked for or not.
    let was_offered = state.asked.replace(Question::Human) == Some(Question::Human);
    Ok(Scripted { is_miss: was_offered, ..unanswered.into() })
}

/// What a piece of a document says to a question.
fn told(question: &str, source: &str, text: &str) -> String {
    let asked = understand::words(question);
    let told = sentences(text);
    let shared = |sentence: &String| {
        understand::words(sentence).iter().filter(|word| asked.contains(word)).count()
    };
    // The first of those that share most, for the text begins with what matters.
    let most = told.iter().map(shared).max().unwrap_or(0);
    let at = told.iter().position(|sentence| shared(sentence) == most).unwrap_or(0);
    let answer: String = told.iter().skip(at).take(SENTENCES_READ).map(String::as_str).collect();
    let answer = answer.trim();
    let stop = if answer.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{answer}{stop} That is from {source}. Anything else?")
}

/// As much of a document as is read to a person.
const SENTENCES_READ: usize = 2;
