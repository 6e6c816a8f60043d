//! Another time for an appointment there is, or none any more.

use jiff::civil::DateTime;

use crate::{
    agents::Scripted,
    state::{Enquiry, Offer, Question, State, Task},
    tool::{Cancel, FindSlots, ListAppointments, Outcome, Reschedule, ToolRequest, Wanted, Window},
    understand::{self, Answer, Here, TimeOfDay},
};

use super::{
    Scene, book, close, fill_moment, is_over, local, moment_of, offers, offers::Chosen, pass_on,
    said, stamp,
};

const NONE_FOUND: &str = "I find no appointment under your number. Would you like to make one?";

/// Looks for the appointment that is meant.
pub(super) fn begin(
    state: &mut State,
    task: Task,
    text: &str,
    scene: &Scene<'_>,
) -> Result<Scripted, Wanted> {
    let name = state.enquiry.name.take();
    state.enquiry = Enquiry { task, name, ..Enquiry::default() };
    let request = ToolRequest::ListAppointments(ListAppointments { phone: None });
    let offers: Vec<Offer> = match scene.tools.run(request)? {
        Outcome::Appointments(coming) => coming
            .iter()
            .map(|a| Offer { start: a.start, appointment: Some(a.id.clone()) })
            .collect(),
        _ => return pass_on(state, what(task), scene),
    };
    match offers.as_slice() {
        [] => {
            state.enquiry = Enquiry::default();
            state.asked = Some(Question::Offer);
            Ok(NONE_FOUND.into())
        }
        [only] => {
            let only = only.clone();
            found(state, only, Some(text), scene)
        }
        _ => {
            let named = named(&offers, text, scene.here);
            state.enquiry.offers = offers;
            match named {
                Some(offer) => found(state, offer, Some(text), scene),
                None => Ok(ask_which(state, scene.here, false)),
            }
        }
    }
}

fn what(task: Task) -> &'static str {
    if task == Task::Cancel { "cancel an appointment" } else { "move an appointment" }
}

/// The one on the day or at the time the words name.
fn named(offers: &[Offer], text: &str, here: &Here) -> Option<Offer> {
    match offers::choose(offers, text, here) {
        Chosen::One(place) if names_moment(text, here) => offers.get(place).cloned(),
        _ => None,
    }
}

fn names_moment(text: &str, here: &Here) -> bool {
    let facts = understand::facts(text, here, false);
    facts.has_day() || facts.time_of_day().is_some()
}

fn ask_which(state: &mut State, here: &Here, is_again: bool) -> Scripted {
    let times: Vec<DateTime> =
        state.enquiry.offers.iter().map(|offer| local(offer.start, here)).collect();
    state.asked = Some(Question::Which);
    let text = format!("Which appointment is it: {}?", said::choices(&times));
    if is_again { Scripted::missed(text) } else { text.into() }
}

/// The appointment is known; `text` may name the new time as well.
fn found(
    state: &mut State,
    offer: Offer,
    text: Option<&str>,
    scene: &Scene<'_>,
) -> Result<Scripted, Wanted> {
    let at = local(offer.start, scene.here);
    state.enquiry.offers.clear();
    state.enquiry.appointment = Some(offer);
    if state.enquiry.task == Task::Cancel {
        state.asked = Some(Question::Confirm);
        return Ok(format!("Your appointment on {}: shall I cancel it?", said::moment(at)).into());
    }
    // A new day keeps the time, a new time the day.
    state.enquiry.day = Some(at.date());
    state.enquiry.time = Some(TimeOfDay::At(at.time()));
    let moved = text.is_some_and(|text| fill_moment(&mut state.enquiry, None, text, scene.here));
    if moved {
        return read_back(state, scene);
    }
    state.asked = Some(Question::Day);
    let moment = said::moment(at);
    Ok(format!("Your appointment is on {moment}. When would suit you instead?").into())
}

pub(super) fn reply(
    state: &mut State,
    asked: Option<Question>,
    text: &str,
    scene: &Scene<'_>,
) -> Result<Scripted, Wanted> {
    match asked {
        Some(Question::Which) => match offers::choose(&state.enquiry.offers, text, scene.here) {
            Chosen::One(place) => match state.enquiry.offers.get(place).cloned() {
                Some(offer) => found(state, offer, None, scene),
                None => Ok(ask_which(state, scene.here, true)),
            },
            _ => Ok(ask_which(state, scene.here, true)),
        },
        _ if state.enquiry.appointment.is_none() => {
            let task = state.enquiry.task;
            begin(state, task, text, scene)
        }
        Some(Question::Confirm) if state.enquiry.task == Task::Cancel => {
            cancelled(state, text, scene)
        }
        _ => moved(state, asked, text, scene),
    }
}

fn cancelled(state: &mut State, text: &str, scene: &Scene<'_>) -> Result<Scripted, Wanted> {
    let Some(appointment) = id_of(state) else { return pass_on(state, what(Task::Cancel), scene) };
    let is_said = understand::intent(text) == understand::Intent::Cancel;
    match understand::answer(text) {
        Answer::No if !is_said => Ok(close(state, "All right, it stays as it is. Anything else?")),
        Answer::Unclear if !is_said => {
            state.asked = Some(Question::Confirm);
            Ok(Scripted::missed("Sorry, was that a yes or a no: shall I cancel it?"))
        }
        _ => match scene.tools.run(ToolRequest::Cancel(Cancel { appointment }))? {
            Outcome::Cancelled(_) => Ok(close(state, "It is cancelled. Anything else?")),
            Outcome::NotFound => Ok(close(state, "It is cancelled already. Anything else?")),
            _ => pass_on(state, what(Task::Cancel), scene),
        },
    }
}

fn id_of(state: &State) -> Option<String> {
    state.enquiry.appointment.as_ref()?.appointment.clone()
}

fn moved(
    state: &mut State,
    asked: Option<Question>,
    text: &str,
    scene: &Scene<'_>,
) -> Result<Scripted, Wanted> {
    if asked == Some(Question::Offered) {
        match offers::choose(&state.enquiry.offers, text, scene.here) {
            Chosen::One(place) => {
                if let Some(offer) = state.enquiry.offers.get(place) {
                    let at = local(offer.start, scene.here);
                    state.enquiry.day = Some(at.date());
                    state.enquiry.time = Some(TimeOfDay::At(at.time()));
                }
                return read_back(state, scene);
            }
            Chosen::None => {
                state.asked = Some(Question::Day);
                return Ok("Which other day and time would suit you?".into());
            }
            Chosen::Some | Chosen::Else => {}
        }
    }
    let has_changed = fill_moment(&mut state.enquiry, asked, text, scene.here);
    if has_changed {
        return read_back(state, scene);
    }
    if asked == Some(Question::Confirm) {
        match understand::answer(text) {
            Answer::Yes => return settle(state, scene),
            Answer::No => {
                state.asked = Some(Question::Day);
                return Ok("When would suit you instead?".into());
            }
            Answer::Unclear => {
                state.asked = Some(Question::Confirm);
                return Ok(Scripted::missed("Sorry, was that a yes or a no?"));
            }
        }
    }
    state.asked = Some(Question::Day);
    Ok(Scripted::missed("Sorry, which day and time? For example, next Monday at two PM."))
}

fn read_back(state: &mut State, scene: &Scene<'_>) -> Result<Scripted, Wanted> {
    if is_over(&state.enquiry, scene.here) {
        state.asked = Some(Question::Day);
        return Ok("That time is over already. When would suit you instead?".into());
    }
    let window = match (moment_of(&state.enquiry), state.enquiry.day, state.enquiry.time) {
        (Some(at), ..) => {
            let start = stamp(at, scene.here);
            Window { from: start, until: start + jiff::SignedDuration::from_mins(1) }
        }
        (None, Some(day), Some(TimeOfDay::Part(part))) => {
            let (first, last) = part.hours();
            let of = |hour| stamp(day.at(hour, 0, 0, 0), scene.here);
            Window { from: of(first), until: of(last) }
        }
        _ => {
            state.asked = Some(Question::Day);
            return Ok("When would suit you instead?".into());
        }
    };
    let request = FindSlots { service: None, window, near: Some(window.from), limit: 3 };
    let wanted = moment_of(&state.enquiry);
    if let Outcome::Slots(slots) = scene.tools.run(ToolRequest::FindSlots(request))?
        && (wanted.is_none() || slots.iter().all(|slot| slot.start != window.from))
    {
        return Ok(book::offer(state, slots, wanted, scene.here));
    }
    let Some(at) = wanted else {
        state.asked = Some(Question::Day);
        return Ok("When exactly would suit you?".into());
    };
    state.asked = Some(Question::Confirm);
    Ok(format!("Your appointment moves to {}. Is that right?", said::moment(at)).into())
}

fn settle(state: &mut State, scene: &Scene<'_>) -> Result<Scripted, Wanted> {
    let (Some(appointment), Some(at)) = (id_of(state), moment_of(&state.enquiry)) else {
        return pass_on(state, what(Task::Reschedule), scene);
    };
    let request = Reschedule { appointment, start: stamp(at, scene.here) };
    match scene.tools.run(ToolRequest::Reschedule(request))? {
        Outcome::Moved(moved) => {
            let moment = said::moment(local(moved.start, scene.here));
            Ok(close(state, &format!("It has moved to {moment}. Anything else?")))
        }
        Outcome::Taken(slots) => Ok(book::offer(state, slots, Some(at), scene.here)),
        _ => pass_on(state, what(Task::Reschedule), scene),
    }
}
