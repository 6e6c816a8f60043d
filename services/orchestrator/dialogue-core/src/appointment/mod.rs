//! The task agent of appointments (C6): books one, moves one, calls one off, with what the tools
//! say. Nothing is changed before it was read back and agreed to.

mod book;
mod change;
mod offers;
pub(crate) mod said;

use domain::Personal;
use jiff::{Timestamp, civil::DateTime};

use crate::{
    agents::Scripted,
    state::{Enquiry, Question, State, Task},
    tool::{Escalate, EscalationReason, ToolRequest, Tools, Wanted},
    understand::{self, Answer, Facts, Here, Intent, TimeOfDay, When, Wish},
};

const DROPPED: &str = "All right, I have dropped that. Anything else?";

/// What the agent is told beside the words.
pub(crate) struct Scene<'a> {
    pub(crate) here: &'a Here,
    pub(crate) tools: &'a Tools<'a>,
    /// What can be booked; empty where that is not known.
    pub(crate) services: &'a [String],
    /// Who calls or writes.
    pub(crate) from: &'a Personal,
    /// Whether the answer is spoken.
    pub(crate) spoken: bool,
    /// Whether an e-mail address is asked for.
    pub(crate) asks_email: bool,
}

/// How sure the agent is that the words are for it (C2). `services` is what can be booked.
pub(crate) fn confidence(state: &State, text: &str, services: &[String]) -> f32 {
    let wish = understand::wish(text);
    let is_under_way = state.asked.is_some_and(Question::is_of_an_appointment);
    let is_fit = is_under_way && fits(state, text);
    match wish {
        Some(Wish::Task(Intent::Book | Intent::Reschedule | Intent::Cancel)) => return 0.9,
        Some(Wish::NeverMind) if is_under_way => return 0.9,
        // "yes, thanks" agrees.
        Some(Wish::Greet | Wish::Thank) if is_fit => return 0.95,
        Some(Wish::Leave | Wish::Greet | Wish::Thank) => return 0.2,
        _ => {}
    }
    if is_under_way {
        return if is_fit { 0.95 } else { 0.6 };
    }
    let is_accepted =
        state.asked == Some(Question::Offer) && understand::answer(text) == Answer::Yes;
    let facts = facts_of(text, None);
    let names_a_moment = facts.has_day() && facts.time_of_day().is_some();
    match () {
        () if is_accepted => 0.9,
        () if wish.is_none() && understand::wants_service(text, services) => 0.75,
        () if names_a_moment => 0.6,
        () => 0.1,
    }
}

/// Whether the words answer the question that stands open.
fn fits(state: &State, text: &str) -> bool {
    let facts = facts_of(text, state.asked);
    let names_moment = facts.has_day() || facts.time_of_day().is_some();
    let answers = understand::answer(text) != Answer::Unclear;
    match state.asked {
        Some(Question::Name) => understand::name(text, true).is_some() || names_moment,
        Some(Question::Confirm | Question::Phone) => names_moment || answers,
        Some(Question::Email) => answers || understand::email(text).is_some(),
        Some(Question::Offered | Question::Which) => {
            names_moment || answers || offers::points_at_one(text)
        }
        _ => names_moment,
    }
}

/// Which kinds of facts are named; which day they come to is of no matter.
fn facts_of(text: &str, asked: Option<Question>) -> Facts {
    understand::facts(text, &Here::nowhere(), asked.is_some_and(Question::is_of_a_time))
}

/// Takes the words in and says what is said next.
pub(crate) fn reply(state: &mut State, text: &str, scene: &Scene<'_>) -> Result<Scripted, Wanted> {
    let asked = state.asked.take();
    let is_under_way = asked.is_some_and(Question::is_of_an_appointment);
    match understand::wish(text) {
        Some(Wish::NeverMind) => return Ok(close(state, DROPPED)),
        Some(Wish::Task(Intent::Reschedule)) if !is_mended(state, asked) => {
            return change::begin(state, Task::Reschedule, text, scene);
        }
        Some(Wish::Task(Intent::Cancel)) if state.enquiry.task != Task::Cancel || !is_under_way => {
            if is_under_way && !understand::words(text).iter().any(|w| w == "my") {
                return Ok(close(state, DROPPED));
            }
            return change::begin(state, Task::Cancel, text, scene);
        }
        Some(Wish::Task(Intent::Book))
            if state.enquiry.task != Task::Book && asked != Some(Question::Confirm) =>
        {
            state.enquiry = Enquiry { name: state.enquiry.name.take(), ..Enquiry::default() };
        }
        _ => {}
    }
    match state.enquiry.task {
        Task::Book => book::reply(state, asked, text, scene),
        Task::Reschedule | Task::Cancel => change::reply(state, asked, text, scene),
    }
}

/// "Can we change the time?" of what is in the making mends it: it changes no other appointment.
fn is_mended(state: &State, asked: Option<Question>) -> bool {
    let is_read_back = matches!(asked, Some(Question::Confirm | Question::Offered));
    match state.enquiry.task {
        Task::Book => is_read_back && state.enquiry.day.is_some(),
        Task::Reschedule => asked.is_some_and(Question::is_of_an_appointment),
        Task::Cancel => false,
    }
}

/// Takes in what the words say of day and time; whether anything changed. `prior` is what stands,
/// where day and time are known already.
fn fill_moment(enquiry: &mut Enquiry, asked: Option<Question>, text: &str, here: &Here) -> bool {
    let before = (enquiry.day, enquiry.time);
    if let (Some(day), Some(TimeOfDay::At(time))) = before {
        let prior = When::At(day.to_datetime(time));
        match understand::corrected(text, prior, here) {
            When::At(at) => {
                enquiry.day = Some(at.date());
                enquiry.time = Some(TimeOfDay::At(at.time()));
            }
            When::On(date) => enquiry.day = Some(date),
            When::Within(from, _) => {
                let facts = understand::facts(text, here, false);
                enquiry.day = Some(from.date());
                enquiry.time = facts.time_of_day().or(enquiry.time);
            }
        }
    } else {
        let is_asked = asked.is_some_and(Question::is_of_a_time);
        let facts = understand::facts(text, here, is_asked);
        enquiry.day = facts.date(here).or(enquiry.day);
        enquiry.time = facts.time_of_day().or(enquiry.time);
        // "in an hour and a half" names neither a day nor a time of day.
        if !facts.has_day()
            && facts.time_of_day().is_none()
            && let Some(When::At(at)) = understand::when(text, here)
        {
            enquiry.day = Some(at.date());
            enquiry.time = Some(TimeOfDay::At(at.time()));
        }
    }
    before != (enquiry.day, enquiry.time)
}

/// The moment the enquiry has come to, where it has.
fn moment_of(enquiry: &Enquiry) -> Option<DateTime> {
    match (enquiry.day, enquiry.time) {
        (Some(day), Some(TimeOfDay::At(time))) => Some(day.to_datetime(time)),
        _ => None,
    }
}

/// A wall-clock time of the business as a moment.
fn stamp(at: DateTime, here: &Here) -> Timestamp {
    here.now.time_zone().to_ambiguous_timestamp(at).compatible().unwrap_or_default()
}

/// A time to choose, in as few characters as a button has, and as it is understood when it comes back: "Thursday 11 AM",
/// beyond a week "December 3, 11 AM".
pub(crate) fn short_name(at: Timestamp, here: &Here) -> String {
    let at = local(at, here);
    let clock = said::clock(at.time());
    let days = here.now.date().until(at.date()).map_or(0, |span| span.get_days());
    match (1..=6).contains(&days) {
        true => format!("{} {clock}", at.strftime("%A")),
        false => format!("{}, {clock}", at.strftime("%B %-d")),
    }
}

/// A moment by the business's own clock.
pub(crate) fn local(at: Timestamp, here: &Here) -> DateTime {
    at.to_zoned(here.now.time_zone().clone()).datetime()
}

fn is_over(enquiry: &Enquiry, here: &Here) -> bool {
    moment_of(enquiry).is_some_and(|at| at <= here.now.datetime())
        || enquiry.day.is_some_and(|day| day < here.now.date())
}

fn close(state: &mut State, text: &str) -> Scripted {
    state.enquiry = Enquiry::default();
    state.asked = Some(Question::AnythingElse);
    text.into()
}

/// What was agreed to cannot be done here: somebody is told of it, and calls back.
fn pass_on(state: &mut State, what: &str, scene: &Scene<'_>) -> Result<Scripted, Wanted> {
    let known = &state.enquiry;
    let name = known.name.as_ref().map_or("Somebody", Personal::reveal);
    let moment = moment_of(known).map_or_else(String::new, said::moment);
    let summary = format!("{name} wants to {what} {moment}; it could not be done at once.");
    let request = Escalate { reason: EscalationReason::Rule, summary: summary.into() };
    scene.tools.run(ToolRequest::Escalate(request))?;
    Ok(close(
        state,
        "Sorry, I cannot do that right now. Somebody will call you back. Anything else?",
    ))
}
