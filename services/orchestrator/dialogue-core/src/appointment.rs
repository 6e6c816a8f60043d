//! The task agent of appointment enquiries: asks for name, day and time, reads them back, and takes
//! the request down for the team. It books nothing, and says nothing that sounds as if it did.

use domain::Personal;
use jiff::civil::Date;

use crate::{
    state::{Enquiry, Question, State},
    understand::{self, Answer, Facts, Here, Intent, TimeOfDay, Wish},
};

const NOTED: &str = "Thank you. I have noted your request for the team. Anything else?";
const DROPPED: &str = "All right, I have dropped that. Anything else?";
const CANNOT_CHANGE: &str = "I cannot change appointments yet, but the team can. Anything else?";

/// How sure the agent is that the words are for it (C2).
pub(crate) fn confidence(state: &State, text: &str) -> f32 {
    let wish = understand::wish(text);
    let is_under_way = matches!(
        state.asked,
        Some(Question::Name | Question::Day | Question::Time | Question::Confirm)
    );
    match wish {
        Some(Wish::Leave | Wish::Greet | Wish::Thank) => return 0.2,
        Some(Wish::Task(Intent::Book | Intent::Reschedule | Intent::Cancel)) => return 0.9,
        Some(Wish::NeverMind) if is_under_way => return 0.9,
        _ => {}
    }
    if is_under_way {
        return if fits(state, text) { 0.95 } else { 0.6 };
    }
    let is_accepted =
        state.asked == Some(Question::Offer) && understand::answer(text) == Answer::Yes;
    let facts = facts_of(text, None);
    let names_a_moment = facts.has_day() && facts.time_of_day().is_some();
    match (is_accepted, names_a_moment) {
        (true, _) => 0.9,
        (_, true) => 0.6,
        _ => 0.1,
    }
}

/// Whether the words answer the question that stands open.
fn fits(state: &State, text: &str) -> bool {
    let facts = facts_of(text, state.asked);
    let names_moment = facts.has_day() || facts.time_of_day().is_some();
    match state.asked {
        Some(Question::Name) => understand::name(text, true).is_some() || names_moment,
        Some(Question::Confirm) => names_moment || understand::answer(text) != Answer::Unclear,
        _ => names_moment,
    }
}

/// Which kinds of facts are named; which day they come to is of no matter.
fn facts_of(text: &str, asked: Option<Question>) -> Facts {
    understand::facts(text, &Here::nowhere(), asked == Some(Question::Time))
}

/// Takes the words in and says what is said next. `now` is the business's own clock.
pub(crate) fn reply(state: &mut State, text: &str, here: &Here) -> String {
    let asked = state.asked.take();
    match understand::wish(text) {
        Some(Wish::NeverMind) => return close(state, DROPPED),
        Some(Wish::Task(Intent::Reschedule | Intent::Cancel)) if !mends(state, asked) => {
            return close(state, CANNOT_CHANGE);
        }
        _ => {}
    }
    let before = state.enquiry.clone();
    fill(&mut state.enquiry, asked, text, here);
    let has_changed = state.enquiry != before;
    if asked == Some(Question::Confirm) && !has_changed {
        match understand::answer(text) {
            Answer::Yes => return close(state, NOTED),
            Answer::No => return correct(state, text),
            Answer::Unclear => {
                state.asked = Some(Question::Confirm);
                return "Sorry, was that a yes or a no?".to_owned();
            }
        }
    }
    if is_over(&state.enquiry, here) {
        state.enquiry.time = None;
        state.asked = Some(Question::Time);
        return "That time is over already. Which time would suit you?".to_owned();
    }
    ask_next(state, asked.filter(|_| !has_changed))
}

/// "Can we change the time?" of what was just read back mends it; there is nothing else to change.
fn mends(state: &State, asked: Option<Question>) -> bool {
    asked == Some(Question::Confirm) && state.enquiry.day.is_some()
}

fn fill(enquiry: &mut Enquiry, asked: Option<Question>, text: &str, here: &Here) {
    let facts = understand::facts(text, here, asked == Some(Question::Time));
    let is_moment = facts.has_day() || facts.time_of_day().is_some();
    let name = understand::name(text, asked == Some(Question::Name) && !is_moment);
    let parts = || text.split([',', '.']).find_map(|part| understand::name(part, true));
    let name = name.or_else(|| (asked == Some(Question::Name)).then(parts)?);
    enquiry.name = name.map(Personal::new).or(enquiry.name.take());
    enquiry.day = facts.date(here).or(enquiry.day);
    enquiry.time = facts.time_of_day().or(enquiry.time);
}

fn is_over(enquiry: &Enquiry, here: &Here) -> bool {
    match (enquiry.day, enquiry.time) {
        (Some(day), Some(TimeOfDay::At(time))) => day.to_datetime(time) <= here.now.datetime(),
        _ => false,
    }
}

/// The caller said that what was read back is wrong.
fn correct(state: &mut State, text: &str) -> String {
    let words = understand::words(text);
    let says = |word: &str| words.iter().any(|w| w == word);
    if says("name") {
        state.enquiry.name = None;
    } else if says("day") || says("date") {
        state.enquiry.day = None;
    } else if says("time") || says("hour") {
        state.enquiry.time = None;
    } else {
        state.asked = Some(Question::Confirm);
        return "What should I change, the name, the day or the time?".to_owned();
    }
    ask_next(state, None)
}

/// Asks for what is missing, or reads back what there is. `missed`: the question that was just
/// asked without an answer to it.
fn ask_next(state: &mut State, missed: Option<Question>) -> String {
    let Enquiry { name, day, time } = &state.enquiry;
    let (question, text) = match (name, day, time) {
        (None, ..) if missed == Some(Question::Name) => {
            (Question::Name, "Sorry, I did not get the name. Could you say it again?".to_owned())
        }
        (None, ..) => (Question::Name, "Sure. What name is it for?".to_owned()),
        (Some(_), None, _) if missed == Some(Question::Day) => {
            (Question::Day, "Sorry, which day was it? For example, next Monday.".to_owned())
        }
        (Some(name), None, _) => {
            (Question::Day, format!("Thank you, {}. Which day would suit you?", name.reveal()))
        }
        (Some(_), Some(_), None) if missed == Some(Question::Time) => {
            (Question::Time, "Sorry, what time was it? For example, two PM.".to_owned())
        }
        (Some(_), Some(day), None) => {
            (Question::Time, format!("And at what time on {}?", day_as_said(*day)))
        }
        (Some(name), Some(day), Some(time)) => {
            let (day, time) = (day_as_said(*day), time.as_said());
            (Question::Confirm, format!("{}, {day} {time}. Is that right?", name.reveal()))
        }
    };
    state.asked = Some(question);
    text
}

fn close(state: &mut State, text: &str) -> String {
    state.enquiry = Enquiry::default();
    state.asked = Some(Question::AnythingElse);
    text.to_owned()
}

fn day_as_said(day: Date) -> String {
    day.strftime("%A, %B %-d").to_string()
}
