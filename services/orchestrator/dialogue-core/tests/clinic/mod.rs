//! A clinic of one chair, Monday to Friday 9 to 17 in Toronto, and a talk with its front desk, without
//! any clock.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;

use dialogue_core::tool::{Appointment, Call, Done, Escalated, Outcome, Slot, ToolRequest, Window};
use dialogue_core::{Answer, Choice, Desk, Message, State, Step, default_agents};
use domain::{Heard, MessageKind, TenantSettings, Timestamp, Turn};
use jiff::{SignedDuration, ToSpan, civil::DateTime, tz::TimeZone};

/// Friday, 20 November 2026, 14:00 UTC: 9:00 in Toronto.
pub const NOW: Timestamp = Timestamp::from_micros(1_795_183_200_000_000);

pub const CALLER: &str = "+14165550123";

pub fn desk() -> Desk {
    desk_with(&[])
}

/// The same, with these features switched on.
pub fn desk_with(features: &[&str]) -> Desk {
    let settings = TenantSettings {
        business: "Harbour Dental".into(),
        timezone: "America/Toronto".into(),
        features: features.iter().map(|&feature| feature.to_owned()).collect(),
        ..TenantSettings::default()
    };
    let services = ["check-up", "cleaning", "filling"].map(str::to_owned).to_vec();
    Desk::new(&settings, default_agents()).with_services(services)
}

fn toronto() -> TimeZone {
    TimeZone::get("America/Toronto").expect("the time zone")
}

pub fn moment(text: &str) -> jiff::Timestamp {
    let local: DateTime = text.parse().expect("a date and time");
    local.to_zoned(toronto()).expect("a moment").timestamp()
}

/// What stands in the book: start to name and number.
#[derive(Default)]
pub struct Clinic {
    pub booked: BTreeMap<jiff::Timestamp, (String, Option<String>)>,
    /// The service of each that was booked, where one was named.
    pub services: BTreeMap<jiff::Timestamp, Option<String>>,
    /// The e-mail address of each that was booked, where one was told.
    pub emails: BTreeMap<jiff::Timestamp, Option<String>>,
    /// Nothing can be reached.
    pub is_away: bool,
    pub escalations: Vec<String>,
    /// The recording is paused.
    pub is_off_record: bool,
}

impl Clinic {
    fn run(&mut self, request: &ToolRequest) -> Outcome {
        if self.is_away {
            return match request {
                ToolRequest::Book(_) => Outcome::Held,
                _ => Outcome::Unavailable,
            };
        }
        match request {
            ToolRequest::FindSlots(find) => {
                let near = find.near.unwrap_or(find.window.from);
                let mut free = self.free(find.window);
                if free.is_empty() {
                    free = self.around(near);
                }
                Outcome::Slots(slots(free, near))
            }
            ToolRequest::Book(book) => {
                if !self.around(book.start).contains(&book.start) {
                    return Outcome::Taken(slots(self.around(book.start), book.start));
                }
                let number = book.phone.as_ref().map(|p| p.reveal().to_owned());
                self.booked.insert(book.start, (book.name.reveal().to_owned(), number));
                self.services.insert(book.start, book.service.clone());
                let email = book.email.as_ref().map(|e| e.reveal().to_owned());
                self.emails.insert(book.start, email);
                Outcome::Booked(appointment(book.start))
            }
            ToolRequest::Reschedule(wanted) => {
                let Some(old) = self.of_id(&wanted.appointment) else { return Outcome::NotFound };
                if !self.around(wanted.start).contains(&wanted.start) {
                    return Outcome::Taken(slots(self.around(wanted.start), wanted.start));
                }
                let person = self.booked.remove(&old).expect("it stands");
                self.booked.insert(wanted.start, person);
                Outcome::Moved(appointment(wanted.start))
            }
            ToolRequest::Cancel(wanted) => match self.of_id(&wanted.appointment) {
                Some(at) => {
                    self.booked.remove(&at);
                    Outcome::Cancelled(appointment(at))
                }
                None => Outcome::NotFound,
            },
            ToolRequest::ListAppointments(_) => {
                let own = self.booked.iter().filter(|(_, (_, n))| n.as_deref() == Some(CALLER));
                Outcome::Appointments(own.map(|(at, _)| appointment(*at)).collect())
            }
            ToolRequest::Escalate(wanted) => {
                self.escalations.push(wanted.summary.reveal().to_owned());
                Outcome::Escalated(Escalated::Transferring)
            }
            // Nothing is written down there.
            ToolRequest::SearchKnowledge(_) => Outcome::Passages(Vec::new()),
            ToolRequest::PauseRecording | ToolRequest::ResumeRecording => {
                self.is_off_record = *request == ToolRequest::PauseRecording;
                Outcome::Done
            }
            _ => Outcome::Unavailable,
        }
    }

    fn of_id(&self, id: &str) -> Option<jiff::Timestamp> {
        self.booked.keys().copied().find(|at| at.to_string() == id)
    }

    fn around(&self, near: jiff::Timestamp) -> Vec<jiff::Timestamp> {
        let from = now().max(near - SignedDuration::from_hours(72));
        self.free(Window { from, until: near + SignedDuration::from_hours(21 * 24) })
    }

    fn free(&self, window: Window) -> Vec<jiff::Timestamp> {
        let mut at = window.from.to_zoned(toronto()).start_of_day().expect("a day").datetime();
        let mut free = Vec::new();
        loop {
            let start = at.to_zoned(toronto()).expect("a moment").timestamp();
            if start >= window.until {
                return free;
            }
            let is_open = at.weekday().to_monday_one_offset() <= 5 && (9..17).contains(&at.hour());
            if is_open && start >= window.from && !self.booked.contains_key(&start) {
                free.push(start);
            }
            at = at.checked_add(30.minutes()).expect("a time");
        }
    }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(NOW.as_micros()).expect("now")
}

fn appointment(start: jiff::Timestamp) -> Appointment {
    Appointment { id: start.to_string(), start, service: Some("check-up".into()), with: None }
}

fn slots(mut free: Vec<jiff::Timestamp>, near: jiff::Timestamp) -> Vec<Slot> {
    free.sort_by_key(|at| at.duration_since(near).abs());
    free.truncate(3);
    let half_hour = SignedDuration::from_mins(30);
    let one = |start| Slot {
        start,
        end: start + half_hour,
        service: "check-up".into(),
        resource: "1".into(),
        with: None,
    };
    free.into_iter().map(one).collect()
}

/// A person on the phone, or one who writes.
pub struct Talk {
    pub desk: Desk,
    pub state: State,
    pub turn: Turn,
    pub spoken: bool,
    pub hung_up: bool,
    pub from: &'static str,
    pub clinic: Clinic,
}

impl Talk {
    pub fn call() -> Self {
        Self::call_to(desk())
    }

    pub fn call_to(desk: Desk) -> Self {
        let state = desk.call_started("Hello, how can I help you today?");
        Self {
            desk,
            state,
            turn: Turn(0),
            spoken: true,
            hung_up: false,
            from: CALLER,
            clinic: Clinic::default(),
        }
    }

    pub fn chat() -> Self {
        Self { spoken: false, state: State::default(), ..Self::call() }
    }

    pub fn message(&self, text: &str, kind: MessageKind, heard_whole: bool) -> Message {
        let heard = self.state.pending.as_ref().filter(|_| self.spoken && heard_whole);
        let heard = heard.map(|p| Heard { turn: p.turn, text: p.text.clone(), complete: true });
        Message {
            turn: self.turn.next(),
            text: text.into(),
            kind,
            heard,
            spoken: self.spoken,
            from: self.from.into(),
            attachment: None,
            quoted: None,
            referral: None,
        }
    }

    /// The answer by the rules, with the tools run that it needs.
    pub fn answered(&mut self, message: &Message, choice: &Choice) -> Answer {
        let mut done: Vec<Done> = Vec::new();
        loop {
            match self.desk.answer(&self.state, message, choice, NOW, &done) {
                Step::Answer(answer) => return *answer,
                Step::Run(call) => done.push(self.done(call)),
            }
        }
    }

    fn done(&mut self, call: Call) -> Done {
        let outcome = self.clinic.run(&call.request);
        Done { call, outcome }
    }

    pub fn answer(&mut self, text: &str, kind: MessageKind, heard: bool) -> (String, Answer) {
        let message = self.message(text, kind, heard);
        self.turn = message.turn;
        let choice = self.desk.choose(&self.state, &message).expect("wants an answer");
        let answer = self.answered(&message, &choice);
        self.state = answer.state.clone();
        self.state.replied(self.turn, answer.scripted.as_str().into(), self.spoken);
        self.hung_up |= answer.hang_up;
        (choice.agent, answer)
    }

    pub fn say(&mut self, text: &str) -> (String, String) {
        let kind = if self.spoken { MessageKind::Speech } else { MessageKind::Text };
        let (agent, answer) = self.answer(text, kind, true);
        (agent, answer.scripted)
    }
}
