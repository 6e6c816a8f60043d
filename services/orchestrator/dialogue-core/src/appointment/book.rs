//! A new appointment: whom it is for, when, which number, read back, booked.

use domain::Personal;
use jiff::{SignedDuration, civil::DateTime};

use crate::{
    agents::Scripted,
    state::{Contact, Enquiry, Offer, Question, State},
    tool::{Book, FindSlots, Outcome, Slot, ToolRequest, Wanted, Window},
    understand::{self, Answer, Here, TimeOfDay},
};

use super::{
    Scene, close, fill_moment, is_over, local, moment_of, offers, offers::Chosen, pass_on, said,
    stamp,
};

/// Times offered at once: more are not remembered.
const OFFERS: u32 = 3;

const ASK_EMAIL: &str = "What e-mail address should I confirm it to?";

/// How far ahead "any day" looks.
const ANY_DAY: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Words that leave the choice of a time to us.
const OPEN_TO_ANY: [&str; 12] = [
    "any",
    "anytime",
    "anything",
    "whatever",
    "whenever",
    "earliest",
    "soonest",
    "asap",
    "available",
    "openings",
    "free",
    "possible",
];

pub(super) fn reply(
    state: &mut State,
    asked: Option<Question>,
    text: &str,
    scene: &Scene<'_>,
) -> Result<Scripted, Wanted> {
    let here = scene.here;
    let mut has_changed = false;
    if asked == Some(Question::Offered) {
        match offers::choose(&state.enquiry.offers, text, here) {
            Chosen::One(place) => {
                take(&mut state.enquiry, place, here);
                has_changed = true;
            }
            Chosen::Some => return Ok(ask_which(state, here, true)),
            Chosen::None => {
                let enquiry = &mut state.enquiry;
                (enquiry.time, enquiry.offers) = (None, Vec::new());
                enquiry.day = None;
                state.asked = Some(Question::Day);
                return Ok("Which other day and time would suit you?".into());
            }
            Chosen::Else => state.enquiry.offers.clear(),
        }
    }
    if !has_changed {
        has_changed = fill(&mut state.enquiry, asked, text, scene);
    }
    if asked == Some(Question::Confirm) && !has_changed {
        match understand::answer(text) {
            Answer::Yes => return settle(state, scene),
            Answer::No => return correct(state, text, scene),
            Answer::Unclear => {
                state.asked = Some(Question::Confirm);
                return Ok(Scripted::missed(match state.misses {
                    0 => "Sorry, was that a yes or a no?",
                    _ => "Sorry. Please say only yes or no: is that right?",
                }));
            }
        }
    }
    if is_over(&state.enquiry, here) {
        let is_of_the_day = state.enquiry.day.is_some_and(|day| day < here.now.date());
        state.enquiry.time = None;
        if is_of_the_day {
            state.enquiry.day = None;
            state.asked = Some(Question::Day);
            return Ok("That day is over already. Which day would suit you?".into());
        }
        state.asked = Some(Question::Time);
        return Ok("That time is over already. Which time would suit you?".into());
    }
    if !has_changed && matches!(asked, Some(Question::Day | Question::Time)) && is_open_to_any(text)
    {
        return offer_any(state, scene);
    }
    ask_next(state, asked.filter(|_| !has_changed), scene)
}

fn is_open_to_any(text: &str) -> bool {
    let words = understand::words(text);
    words.iter().any(|w| OPEN_TO_ANY.contains(&w.as_str()))
        || text.to_lowercase().contains("do you have")
        || text.to_lowercase().contains("have you got")
}

fn take(enquiry: &mut Enquiry, place: usize, here: &Here) {
    let Some(offer) = enquiry.offers.get(place) else { return };
    let at = local(offer.start, here);
    enquiry.day = Some(at.date());
    enquiry.time = Some(TimeOfDay::At(at.time()));
    enquiry.offers.clear();
}

/// Takes in what the words say; whether anything changed.
fn fill(enquiry: &mut Enquiry, asked: Option<Question>, text: &str, scene: &Scene<'_>) -> bool {
    let before = enquiry.clone();
    let service = understand::service(text, scene.services);
    enquiry.service = service.map(str::to_owned).or(enquiry.service.take());
    // The words of an address are no name, and its digits no number.
    if let Some(email) = understand::email(text) {
        enquiry.email = Contact::Told(email.into());
        return *enquiry != before;
    }
    // The digits of a number are no time of day.
    if let Some(number) = understand::phone(text, &scene.here.region) {
        enquiry.number = Contact::Told(number.into());
        return *enquiry != before;
    }
    let is_moment = fill_moment(enquiry, asked, text, scene.here);
    let is_asked = asked == Some(Question::Name);
    let name = understand::name(text, is_asked && !is_moment);
    let parts = || text.split([',', '.']).find_map(|part| understand::name(part, true));
    let name = name.or_else(|| is_asked.then(parts)?);
    let name = match service {
        // "no, it's for a filling" names nobody.
        Some(_) => name,
        None => name.or_else(|| mended_name(enquiry, asked, text, is_moment)),
    };
    enquiry.name = name.map(Personal::new).or(enquiry.name.take());
    let declines = understand::answer(text) == Answer::No;
    match asked {
        Some(Question::Phone) if declines && enquiry.number == Contact::Unknown => {
            enquiry.number = Contact::Declined;
        }
        Some(Question::Email) if declines && enquiry.email == Contact::Unknown => {
            enquiry.email = Contact::Declined;
        }
        _ => {}
    }
    *enquiry != before
}

/// "no, Annie Lee" to what was read back.
fn mended_name(
    enquiry: &Enquiry,
    asked: Option<Question>,
    text: &str,
    is_moment: bool,
) -> Option<String> {
    let known = enquiry.name.as_ref()?;
    if asked != Some(Question::Confirm) || is_moment || understand::answer(text) != Answer::No {
        return None;
    }
    let (_, after) = text.split_once([',', '.'])?;
    let mended = understand::name(after, true)?;
    (mended != known.reveal()).then_some(mended)
}

/// The caller said that what was read back is wrong.
fn correct(state: &mut State, text: &str, scene: &Scene<'_>) -> Result<Scripted, Wanted> {
    let words = understand::words(text);
    let says = |word: &str| words.iter().any(|w| w == word);
    if says("email") || says("e-mail") || says("address") {
        state.enquiry.email = Contact::Unknown;
        state.asked = Some(Question::Email);
        return Ok(ASK_EMAIL.into());
    }
    if says("name") {
        state.enquiry.name = None;
    } else if says("day") || says("date") {
        state.enquiry.day = None;
    } else if says("time") || says("hour") {
        state.enquiry.time = None;
    } else if says("number") || says("phone") {
        state.enquiry.number = Contact::Unknown;
        state.asked = Some(Question::Phone);
        return Ok("What number can we reach you on?".into());
    } else {
        state.asked = Some(Question::Confirm);
        return Ok("What should I change, the name, the day or the time?".into());
    }
    ask_next(state, None, scene)
}

/// Asks for what is missing, or reads back what there is. `missed`: the question that was just
/// asked without an answer to it.
fn ask_next(
    state: &mut State,
    missed: Option<Question>,
    scene: &Scene<'_>,
) -> Result<Scripted, Wanted> {
    let is_plain = state.misses > 0;
    // Two questions for an address are enough: an appointment does not fail for want of one.
    if missed == Some(Question::Email) && is_plain {
        state.enquiry.email = Contact::Declined;
    }
    let Enquiry { name, day, time, .. } = &state.enquiry;
    let ask = |question: Question, first: String, again: &str, plainly: &str| {
        let scripted = match missed == Some(question) {
            false => Scripted::from(first),
            true if is_plain => Scripted::missed(plainly),
            true => Scripted::missed(again),
        };
        (question, scripted)
    };
    let (question, scripted) = match (name, day, time) {
        (None, ..) => ask(
            Question::Name,
            "Sure. What name is it for?".to_owned(),
            "Sorry, I did not get the name. Could you say it again?",
            "Sorry. Please say only the name, or spell it.",
        ),
        (Some(name), None, _) => ask(
            Question::Day,
            format!("Thank you, {}. Which day would suit you?", name.reveal()),
            "Sorry, which day was it? For example, next Monday.",
            "Sorry. Please say only a day, for example, tomorrow.",
        ),
        (Some(_), Some(day), None) => ask(
            Question::Time,
            format!("And at what time on {}?", said::day(*day)),
            "Sorry, what time was it? For example, two PM.",
            "Sorry. Please say only a time, for example, two PM.",
        ),
        (Some(_), Some(_), Some(TimeOfDay::Part(part))) => {
            let (first, last) = part.hours();
            let day = day.unwrap_or(scene.here.now.date());
            let window = (day.at(first, 0, 0, 0), day.at(last, 0, 0, 0));
            return offer_within(state, window, scene);
        }
        (Some(_), Some(_), Some(TimeOfDay::At(_))) if needs_number(state, scene) => ask(
            Question::Phone,
            "What number can we reach you on?".to_owned(),
            "Sorry, I did not get the number. Could you say it again?",
            "Sorry. Please say the number digit by digit.",
        ),
        (Some(_), Some(_), Some(TimeOfDay::At(_))) if needs_email(state, scene) => ask(
            Question::Email,
            ASK_EMAIL.to_owned(),
            "Sorry, I did not get the address. Could you spell it, or say no?",
            ASK_EMAIL,
        ),
        (Some(_), Some(_), Some(TimeOfDay::At(_))) => return read_back(state, scene),
    };
    state.asked = Some(question);
    Ok(scripted)
}

/// What is booked where nothing was named, to be read back where it could have been another.
fn usual_service<'a>(scene: &'a Scene<'_>) -> Option<&'a str> {
    scene.services.first().filter(|_| scene.services.len() > 1).map(String::as_str)
}

/// A caller who hides the number is asked for one; in a chat we can answer without.
fn needs_number(state: &State, scene: &Scene<'_>) -> bool {
    scene.spoken && state.enquiry.number == Contact::Unknown && caller(scene).is_none()
}

fn needs_email(state: &State, scene: &Scene<'_>) -> bool {
    scene.asks_email && state.enquiry.email == Contact::Unknown
}

fn caller(scene: &Scene<'_>) -> Option<Personal> {
    understand::caller_id(scene.from.reveal()).map(Personal::new)
}

fn number(state: &State, scene: &Scene<'_>) -> Option<Personal> {
    match &state.enquiry.number {
        Contact::Told(number) => Some(number.clone()),
        Contact::Declined => None,
        Contact::Unknown => caller(scene),
    }
}

/// Reads back what there is, if the time is free; else offers others.
fn read_back(state: &mut State, scene: &Scene<'_>) -> Result<Scripted, Wanted> {
    let (Some(name), Some(at)) = (&state.enquiry.name, moment_of(&state.enquiry)) else {
        return ask_next(state, None, scene);
    };
    let start = stamp(at, scene.here);
    let request = FindSlots {
        service: state.enquiry.service.clone(),
        window: Window { from: start, until: start + SignedDuration::from_mins(1) },
        near: Some(start),
        limit: OFFERS,
    };
    let free = scene.tools.run(ToolRequest::FindSlots(request))?;
    if let Outcome::Slots(slots) = free
        && slots.iter().all(|slot| slot.start != start)
    {
        return Ok(offer(state, slots, Some(at), scene.here));
    }
    let number = number(state, scene);
    let moment = match state.enquiry.service.as_deref().or(usual_service(scene)) {
        Some(service) => format!("{service}, {}", said::moment(at)),
        None => said::moment(at),
    };
    // Both would be too long to listen to. An address is the more easily misheard.
    let reached_by = match (state.enquiry.email.told(), number.filter(|_| scene.spoken)) {
        (Some(email), _) => format!(", e-mail {}", said::address(email.reveal(), scene.spoken)),
        (None, Some(number)) => format!(", number ending {}", said::ending(number.reveal())),
        (None, None) => String::new(),
    };
    let text = format!("{}, {moment}{reached_by}. Is that right?", name.reveal());
    state.asked = Some(Question::Confirm);
    Ok(text.into())
}

/// What is free between two times of the business's clock.
fn offer_within(
    state: &mut State,
    (from, until): (DateTime, DateTime),
    scene: &Scene<'_>,
) -> Result<Scripted, Wanted> {
    let (from, until) = (stamp(from, scene.here), stamp(until, scene.here));
    let from = from.max(scene.here.now.timestamp());
    let window = Window { from, until: until.max(from) };
    let service = state.enquiry.service.clone();
    let request = FindSlots { service, window, near: None, limit: OFFERS };
    match scene.tools.run(ToolRequest::FindSlots(request))? {
        Outcome::Slots(slots) => Ok(offer(state, slots, None, scene.here)),
        _ => {
            state.asked = Some(Question::Time);
            state.enquiry.time = None;
            Ok("At what time exactly?".into())
        }
    }
}

/// Any time will do: the first there are, on the day where one was named.
fn offer_any(state: &mut State, scene: &Scene<'_>) -> Result<Scripted, Wanted> {
    let now = scene.here.now.datetime();
    let window = match state.enquiry.day {
        Some(day) => (day.at(0, 0, 0, 0), day.at(23, 59, 0, 0)),
        None => (now, now.saturating_add(ANY_DAY)),
    };
    offer_within(state, window, scene)
}

/// Offers what is free, `taken` being the time that was wanted and is not.
pub(super) fn offer(
    state: &mut State,
    slots: &[Slot],
    taken: Option<DateTime>,
    here: &Here,
) -> Scripted {
    state.enquiry.offers = slots
        .iter()
        .map(|slot| Offer { start: slot.start, appointment: None })
        .take(OFFERS as usize)
        .collect();
    state.enquiry.offers.sort_by_key(|offer| offer.start);
    if slots.is_empty() {
        (state.enquiry.day, state.enquiry.time) = (None, None);
        state.asked = Some(Question::Day);
        return "Sorry, nothing is free around then. Which other day would suit you?".into();
    }
    let scripted = ask_which(state, here, false);
    match taken {
        Some(at) => {
            format!("Sorry, {} is not free. {}", said::clock(at.time()), scripted.text).into()
        }
        None => scripted,
    }
}

/// Names the times that were found, for one to be chosen.
fn ask_which(state: &mut State, here: &Here, is_again: bool) -> Scripted {
    let times: Vec<DateTime> =
        state.enquiry.offers.iter().map(|offer| local(offer.start, here)).collect();
    state.asked = Some(Question::Offered);
    let choices = said::choices(&times);
    if is_again {
        return Scripted::missed(format!("Which one would you like: {choices}?"));
    }
    match times.len() {
        1 => format!("I have {choices}. Would that suit you?").into(),
        _ => format!("I have {choices}. Which would suit you?").into(),
    }
}

/// The caller agreed to what was read back.
fn settle(state: &mut State, scene: &Scene<'_>) -> Result<Scripted, Wanted> {
    let (Some(name), Some(at)) = (state.enquiry.name.clone(), moment_of(&state.enquiry)) else {
        return ask_next(state, None, scene);
    };
    let phone = number(state, scene);
    let can_text = phone.is_some();
    let request = Book {
        start: stamp(at, scene.here),
        service: state.enquiry.service.clone(),
        resource: None,
        name,
        phone,
        email: state.enquiry.email.told().cloned(),
        notes: None,
    };
    match scene.tools.run(ToolRequest::Book(request))? {
        Outcome::Booked(booked) => {
            let moment = said::moment(local(booked.start, scene.here));
            let text = match scene.spoken && can_text {
                true => {
                    format!("You are booked for {moment}. A text message follows. Anything else?")
                }
                false => format!("You are booked for {moment}. Anything else?"),
            };
            Ok(close(state, &text))
        }
        Outcome::Held => Ok(close(
            state,
            "I have kept your request and will confirm it by message shortly. Anything else?",
        )),
        Outcome::Taken(slots) => Ok(offer(state, slots, Some(at), scene.here)),
        _ => pass_on(state, "book", scene),
    }
}
