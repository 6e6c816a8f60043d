//! The task agent of appointment enquiries: asks for name, day and time, reads them back, and takes
//! the request down for the team. It books nothing, and says nothing that sounds as if it did.

use domain::Personal;
use jiff::civil::{Date, DateTime};

use crate::{
    state::{Enquiry, Question, State},
    understand::{self, Answer, TimeOfDay, Wish},
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
        Some(Wish::Book | Wish::Change) => return 0.9,
        Some(Wish::NeverMind) if is_under_way => return 0.9,
        _ => {}
    }
    if is_under_way {
        return if fits(state, text) { 0.95 } else { 0.6 };
    }
    let is_accepted =
        state.asked == Some(Question::Offer) && understand::answer(text) == Answer::Yes;
    let names_a_moment =
        understand::time(text).is_some() && understand::day(text, Date::MIN).is_some();
    match (is_accepted, names_a_moment) {
        (true, _) => 0.9,
        (_, true) => 0.6,
        _ => 0.1,
    }
}

/// Whether the words answer the question that stands open.
fn fits(state: &State, text: &str) -> bool {
    let names_day = understand::day(text, Date::MIN).is_some();
    let names_moment = names_day || understand::time(text).is_some();
    match state.asked {
        Some(Question::Name) => name(text, true).is_some() || names_moment,
        Some(Question::Time) => names_moment || understand::bare_time(text).is_some(),
        Some(Question::Confirm) => names_moment || understand::answer(text) != Answer::Unclear,
        _ => names_moment,
    }
}

/// Takes the words in and says what is said next. `now` is the business's own clock.
pub(crate) fn reply(state: &mut State, text: &str, now: DateTime) -> String {
    let asked = state.asked.take();
    match understand::wish(text) {
        Some(Wish::NeverMind) => return close(state, DROPPED),
        Some(Wish::Change) => return close(state, CANNOT_CHANGE),
        _ => {}
    }
    let before = state.enquiry.clone();
    fill(&mut state.enquiry, asked, text, now.date());
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
    if is_over(&state.enquiry, now) {
        state.enquiry.time = None;
        state.asked = Some(Question::Time);
        return "That time is over already. Which time would suit you?".to_owned();
    }
    ask_next(state, asked.filter(|_| !has_changed))
}

fn fill(enquiry: &mut Enquiry, asked: Option<Question>, text: &str, today: Date) {
    if let Some(name) = name(text, asked == Some(Question::Name)) {
        enquiry.name = Some(Personal::new(name));
    }
    let day = understand::day(text, today);
    let time = match asked {
        Some(Question::Time) if day.is_none() => understand::bare_time(text),
        _ => understand::time(text),
    };
    enquiry.day = day.or(enquiry.day);
    enquiry.time = time.or(enquiry.time);
}

/// The name in `text`; a bare one only where it was `asked` for.
fn name(text: &str, asked: bool) -> Option<String> {
    let is_moment =
        |part: &str| understand::day(part, Date::MIN).is_some() || understand::time(part).is_some();
    let bare = |part: &str| understand::bare_name(part).filter(|_| !is_moment(part));
    understand::stated_name(text)
        .or_else(|| asked.then(|| bare(text).or_else(|| text.split([',', '.']).find_map(bare)))?)
}

fn is_over(enquiry: &Enquiry, now: DateTime) -> bool {
    match (enquiry.day, enquiry.time) {
        (Some(day), Some(TimeOfDay::At(time))) => day.to_datetime(time) <= now,
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
            let (day, time) = (day_as_said(*day), understand::time_as_said(*time));
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
