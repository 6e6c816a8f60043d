//! When nothing is to be recorded (B4): a caller is about to tell a card number.

use crate::{
    agents::Scripted,
    state::State,
    tool::{Outcome, ToolRequest, Tools, Wanted},
    understand::{contains, words},
};

/// Who says one of these is about to tell a number that is nobody's business, or in the middle of it.
const OF_CARDS: [&str; 16] = [
    "by card",
    "by credit",
    "with card",
    "with a card",
    "my card",
    "the card",
    "credit card",
    "debit card",
    "card number",
    "security code",
    "expiry date",
    "expiration date",
    "visa",
    "mastercard",
    "cvv",
    "cvc",
];

/// So many figures are a number that is being told.
const FIGURES_MIN: usize = 3;

const FIGURES: [&str; 13] = [
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "double",
    "triple",
];

const PAUSED: &str = "I have paused the recording.";
const NO_PAYMENTS: &str =
    "I cannot take a card myself. Say \"a human\", and I will put you through.";

/// What is to be done about the recording of a call in which the caller says `text`.
pub(crate) fn wanted(text: &str, state: &State) -> Option<ToolRequest> {
    let words = words(text);
    let is_of_cards = OF_CARDS.iter().any(|phrase| contains(&words, phrase));
    match state.off_record {
        false => is_of_cards.then_some(ToolRequest::PauseRecording),
        true => (!is_of_cards && !is_number(text)).then_some(ToolRequest::ResumeRecording),
    }
}

/// Has the recording paused or resumed where it is to be, and says what is answered to who talks of a card.
pub(crate) fn heed(
    state: &mut State,
    text: &str,
    tools: &Tools<'_>,
) -> Result<Option<Scripted>, Wanted> {
    let request = wanted(text, state);
    let is_told = state.off_record && request.is_none();
    let Some(request) = request else {
        return Ok(is_told.then(|| NO_PAYMENTS.into()));
    };
    let pauses = request == ToolRequest::PauseRecording;
    let is_done = *tools.run(request)? == Outcome::Done;
    if is_done {
        state.off_record = pauses;
    }
    Ok(match (pauses, is_done) {
        (true, true) => Some(format!("{PAUSED} {NO_PAYMENTS}").into()),
        (true, false) => Some(NO_PAYMENTS.into()),
        (false, _) => None,
    })
}

fn is_number(text: &str) -> bool {
    let figures = text.chars().filter(char::is_ascii_digit).count();
    let spoken = words(text).iter().filter(|word| FIGURES.contains(&word.as_str())).count();
    figures.max(spoken) >= FIGURES_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_pauses_and_the_talk_after_its_number_resumes() {
        let mut state = State::default();
        for text in [
            "I'd like to pay by card",
            "My card number is",
            "can I use my Visa",
            "it is a credit card",
        ] {
            assert_eq!(wanted(text, &state), Some(ToolRequest::PauseRecording), "{text}");
        }
        for text in ["I need an appointment", "my number is 416 555 0123", "a cardiologist"] {
            assert_eq!(wanted(text, &state), None, "{text}");
        }
        state.off_record = true;
        for text in ["4111 1111 1111 1111", "four one one one", "the security code is 123"] {
            assert_eq!(wanted(text, &state), None, "{text}");
        }
        assert_eq!(wanted("that was it", &state), Some(ToolRequest::ResumeRecording));
    }
}
