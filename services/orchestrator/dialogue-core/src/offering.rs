//! What a person who writes may choose from below a reply: times, appointments, services, or yes and no (A5).
//!
//! The rules know what they asked. What a model asks is found in its words, and what it may offer in what its tools found:
//! a choice is never made of words alone.

use domain::OfferedChoice;
use jiff::{Timestamp, civil::DateTime};

use crate::{
    appointment::{local, short_name},
    sentence::sentences,
    state::{Question, State},
    tool::{Appointment, Done, Outcome, Slot},
    understand::Here,
};

/// So many fit into a list; more are no choice but a search.
const CHOICES_MAX: usize = 10;

/// How a question begins that is answered by yes or no, in a model's words.
const PLAIN_QUESTIONS: [&str; 15] = [
    "are you sure",
    "can i book",
    "do you want",
    "does that",
    "does this",
    "is that correct",
    "is that ok",
    "is that right",
    "is this correct",
    "is this right",
    "may i book",
    "shall i",
    "should i",
    "would that",
    "would you like",
];

/// How a question begins that is not, though the rules ask for a yes or no.
const OPEN_QUESTIONS: [&str; 5] = ["what", "when", "where", "which", "who"];

/// How months begin where models speak: a number beside one is a day.
const MONTHS: [&str; 25] = [
    "abr", "ago", "aoû", "apr", "aug", "avr", "dec", "dez", "dic", "déc", "ene", "feb", "fév",
    "jan", "jui", "jul", "jun", "mai", "mar", "may", "mär", "nov", "oct", "okt", "sep",
];

/// A reply that is about to go out, and what it came from.
pub(crate) struct Offering<'a> {
    /// Its words.
    pub reply: &'a str,
    /// Whether the rules wrote it.
    pub is_scripted: bool,
    /// The state after it.
    pub state: &'a State,
    /// What was done for it.
    pub done: &'a [Done],
    /// What can be booked.
    pub services: &'a [String],
    /// Where and when.
    pub here: &'a Here,
}

/// A moment to choose.
struct Moment {
    start: Timestamp,
    /// What tells it from others: who serves it, or what it is.
    about: Option<String>,
}

impl Offering<'_> {
    /// The choices; none where there is nothing to choose.
    pub(crate) fn choices(&self) -> Vec<OfferedChoice> {
        let plain = OfferedChoice::yes_or_no;
        if self.is_scripted {
            return match self.state.asked {
                Some(Question::Offered | Question::Which)
                    if self.state.enquiry.offers.len() > 1 =>
                {
                    self.named(self.asked_for())
                }
                Some(Question::Confirm | Question::Offer | Question::Offered | Question::Human)
                    if self.question().is_some_and(|q| !begins(&q, &OPEN_QUESTIONS)) =>
                {
                    plain()
                }
                _ => Vec::new(),
            };
        }
        if self.is_plain_question() {
            return plain();
        }
        if !self.reply.contains('?') {
            return Vec::new();
        }
        let times = self.named(self.mentioned());
        if times.is_empty() { self.services_named() } else { times }
    }

    /// The last sentence, where it asks something, in small letters.
    fn question(&self) -> Option<String> {
        let last = sentences(self.reply).pop()?;
        last.ends_with('?').then(|| last.trim().to_lowercase())
    }

    fn is_plain_question(&self) -> bool {
        let Some(question) = self.question() else { return false };
        // "… at 2 PM, is that right?"
        let tail = question.rsplit([',', ':', '-', '–', '—']).next().unwrap_or(&question).trim();
        let is_plain = begins(&question, &PLAIN_QUESTIONS) || begins(tail, &PLAIN_QUESTIONS);
        let is_open =
            [" or ", "anything else", "something else"].iter().any(|w| question.contains(w));
        is_plain && !is_open && !self.reply.to_lowercase().contains(" or ")
    }

    /// What the rules offered, with what the tools said of it.
    fn asked_for(&self) -> Vec<Moment> {
        let found = self.found();
        let offers = self.state.enquiry.offers.iter();
        let about = |start| found.iter().find(|m| m.start == start).and_then(|m| m.about.clone());
        offers.map(|o| Moment { start: o.start, about: about(o.start) }).collect()
    }

    /// What the tools last found to choose from.
    fn found(&self) -> Vec<Moment> {
        let of_slot = |slot: &Slot| Moment { start: slot.start, about: slot.with.clone() };
        let of_appointment = |one: &Appointment| {
            let about = [one.service.clone(), one.with.clone()].into_iter().flatten();
            let about = about.collect::<Vec<_>>().join(", ");
            Moment { start: one.start, about: Some(about).filter(|about| !about.is_empty()) }
        };
        let last = self.done.iter().rev().find_map(|done| match &done.outcome {
            Outcome::Slots(slots) | Outcome::Taken(slots) => {
                Some(slots.iter().map(of_slot).collect::<Vec<_>>())
            }
            Outcome::Appointments(all) => Some(all.iter().map(of_appointment).collect()),
            _ => None,
        });
        last.unwrap_or_default()
    }

    /// Those found of which the reply names the time, and the day where it names one.
    fn mentioned(&self) -> Vec<Moment> {
        let said = Said::of(self.reply);
        let at = |moment: &Moment| local(moment.start, self.here);
        let mut moments = self.found();
        moments.retain(|moment| said.names_clock(at(moment)));
        if moments.iter().any(|moment| said.names_day(at(moment))) {
            moments.retain(|moment| said.names_day(at(moment)));
        }
        moments
    }

    /// The next first, each once, with a second line where that tells them apart.
    fn named(&self, mut moments: Vec<Moment>) -> Vec<OfferedChoice> {
        moments.sort_by_key(|moment| moment.start);
        moments.dedup_by_key(|moment| moment.start);
        if !(2..=CHOICES_MAX).contains(&moments.len()) {
            return Vec::new();
        }
        let is_same = moments.windows(2).all(|two| two[0].about == two[1].about);
        let choice = |moment: Moment| OfferedChoice {
            id: format!("offer:{}", moment.start.as_microsecond()),
            title: short_name(moment.start, self.here).into(),
            description: moment.about.filter(|_| !is_same).map(Into::into),
        };
        moments.into_iter().map(choice).collect()
    }

    fn services_named(&self) -> Vec<OfferedChoice> {
        let reply = self.reply.to_lowercase();
        let is_named = |service: &&String| reply.contains(&service.to_lowercase());
        let choice = |service: &String| OfferedChoice {
            id: format!("service:{service}"),
            title: service.as_str().into(),
            description: None,
        };
        let named: Vec<_> = self.services.iter().filter(is_named).map(choice).collect();
        if (2..=CHOICES_MAX).contains(&named.len()) { named } else { Vec::new() }
    }
}

fn begins(question: &str, openings: &[&str]) -> bool {
    openings.iter().any(|opening| question.starts_with(opening))
}

/// The times and days that a text names.
struct Said {
    text: String,
    /// Hours as they are said, of twelve or of 24, with their minutes.
    clocks: Vec<(i8, i8)>,
    /// Days of a month.
    days: Vec<i8>,
}

impl Said {
    fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        let is_gap = |c: char| c.is_whitespace() || "*,;()?!\"".contains(c);
        let words: Vec<&str> = text.split(is_gap).filter(|word| !word.is_empty()).collect();
        let is_month = |word: Option<&&str>| {
            word.is_some_and(|word| MONTHS.iter().any(|month| word.starts_with(month)))
        };
        let (mut clocks, mut days) = (Vec::new(), Vec::new());
        for (place, word) in words.iter().enumerate() {
            let digits = word.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = word.split_at(digits);
            let Some(number) = number.parse::<i8>().ok().filter(|_| digits <= 2) else { continue };
            let before = place.checked_sub(1).and_then(|place| words.get(place));
            let is_ordinal = ["st", "nd", "rd", "th"].iter().any(|end| rest.starts_with(end));
            let minutes = rest.strip_prefix([':', '.', 'h']).and_then(|rest| rest.get(..2));
            match minutes.and_then(|minutes| minutes.parse().ok()) {
                Some(minutes) => clocks.push((number, minutes)),
                None if is_ordinal || is_month(before) || is_month(words.get(place + 1)) => {
                    days.push(number);
                }
                None => clocks.push((number, 0)),
            }
        }
        Self { text, clocks, days }
    }

    fn names_clock(&self, at: DateTime) -> bool {
        let is_meant = |(hour, minute): &(i8, i8)| {
            let is_hour = *hour == at.hour() || (*hour <= 12 && hour % 12 == at.hour() % 12);
            is_hour && *minute == at.minute()
        };
        self.clocks.iter().any(is_meant)
    }

    fn names_day(&self, at: DateTime) -> bool {
        let weekday = at.strftime("%A").to_string().to_lowercase();
        self.days.contains(&at.day()) || self.text.contains(&weekday)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::tool::{Call, FindSlots, ToolRequest, Window};

    fn moment(text: &str) -> Timestamp {
        let at: DateTime = text.parse().unwrap();
        at.to_zoned(TimeZone::UTC).unwrap().timestamp()
    }

    fn here() -> Here {
        let now = moment("2026-11-30T09:00").to_zoned(TimeZone::UTC);
        Here { now, region: "CA".into() }
    }

    fn found(slots: &[(&str, Option<&str>)]) -> Vec<Done> {
        let slot = |(start, with): &(&str, Option<&str>)| Slot {
            start: moment(start),
            end: moment(start),
            service: "check-up".into(),
            resource: "1".into(),
            with: with.map(str::to_owned),
        };
        let window = Window { from: Timestamp::UNIX_EPOCH, until: Timestamp::UNIX_EPOCH };
        let request = FindSlots { service: None, window, near: None, limit: 3 };
        let call = Call { index: 0, request: ToolRequest::FindSlots(request) };
        vec![Done { call, outcome: Outcome::Slots(slots.iter().map(slot).collect()) }]
    }

    /// The choices below a model's reply.
    fn below(reply: &str, done: &[Done]) -> Vec<(String, Option<String>)> {
        let services = ["check-up", "filling"].map(str::to_owned);
        let (state, here) = (State::default(), here());
        let offering = Offering {
            reply,
            is_scripted: false,
            state: &state,
            done,
            services: &services,
            here: &here,
        };
        let told =
            |c: OfferedChoice| (c.title.into_revealed(), c.description.map(|d| d.into_revealed()));
        offering.choices().into_iter().map(told).collect()
    }

    fn titles(reply: &str, done: &[Done]) -> Vec<String> {
        below(reply, done).into_iter().map(|(title, _)| title).collect()
    }

    #[test]
    fn the_times_a_model_offers_of_those_it_found_can_be_chosen() {
        let done = found(&[
            ("2026-12-03T15:00", None),
            ("2026-12-03T11:00", None),
            ("2026-12-03T14:30", None),
            ("2026-12-04T11:00", None),
        ]);
        let offered = ["Thursday 11 AM", "Thursday 2:30 PM"];
        for reply in [
            "On Thursday, December 3 I have 11 AM or 2:30 PM. Which suits you?",
            "Le 3 décembre : 11h00 ou 14h30 ?",
            "I can do Thursday the 3rd at 11:00, or at 2.30 pm. What do you prefer?",
        ] {
            assert_eq!(titles(reply, &done), offered, "{reply}");
        }
        assert!(titles("I have 11 AM and 2:30 PM on Thursday.", &done).is_empty(), "no question");
        assert!(titles("Which day would suit you?", &done).is_empty(), "no time is offered");
        let unasked = titles("Is 11 AM or 2:30 PM on Thursday better?", &[]);
        assert!(unasked.is_empty(), "nothing was looked up: {unasked:?}");
    }

    #[test]
    fn who_serves_a_time_is_told_where_it_tells_times_apart() {
        let reply = "I have 11 AM or 2 PM on Thursday. Which suits you?";
        let same =
            found(&[("2026-12-03T11:00", Some("Dr Lee")), ("2026-12-03T14:00", Some("Dr Lee"))]);
        assert!(below(reply, &same).iter().all(|(_, about)| about.is_none()));
        let two =
            found(&[("2026-12-03T11:00", Some("Dr Lee")), ("2026-12-03T14:00", Some("Dr Roy"))]);
        let about: Vec<_> =
            below(reply, &two).into_iter().map(|(_, about)| about.unwrap()).collect();
        assert_eq!(about, ["Dr Lee", "Dr Roy"]);
    }

    #[test]
    fn a_question_that_is_answered_by_yes_or_no_has_both() {
        let done = found(&[("2026-12-03T15:00", None), ("2026-12-03T14:00", None)]);
        for reply in [
            "So that is Anna Lee, Thursday, December 3 at 2 PM. Is that right?",
            "Thursday at 2 PM, is that right?",
            "I have Thursday at 2 PM free. Shall I book it?",
            "Would you like me to cancel it?",
        ] {
            assert_eq!(titles(reply, &done), ["Yes", "No"], "{reply}");
        }
        for reply in [
            "Thank you. Is there anything else?",
            "Would you like anything else?",
            "Could you tell me your name?",
            "Would you like the morning or the afternoon?",
            "You are booked.",
        ] {
            assert!(titles(reply, &[]).is_empty(), "{reply}");
        }
    }

    #[test]
    fn services_that_are_asked_about_can_be_chosen() {
        let asked = titles("Is it for a Check-up or a filling?", &[]);
        assert_eq!(asked, ["check-up", "filling"]);
        assert!(titles("Is the filling painful?", &[]).is_empty(), "one is no choice");
    }
}
