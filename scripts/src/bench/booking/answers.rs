//! What a person says to each question. No I/O.

use jiff::civil::{Date, DateTime};

use super::customer::Customer;
use super::persona::{Habit, Service, Wish, open_time};
use super::questions::{Asked, moments, offered, spoken};
use super::wording;
use crate::split_mix::SplitMix;

const OPENINGS: [&str; 16] = [
    "I'd like to make an appointment",
    "hi, can I book an appointment please",
    "yeah hello, I need to come in and see someone",
    "I want to see the dentist",
    "could you fit me in sometime",
    "I'm calling to schedule a visit",
    "do you have any openings",
    "book me an appointment please",
    "um, I was hoping to get an appointment",
    "hello, I would like to book an appointment",
    "hi there, I need an appointment",
    "this is {name}, I'd like an appointment",
    "my name is {name} and I need to see a dentist",
    "can I get an appointment",
    "good morning, I'd like to arrange an appointment please",
    "I have a toothache, can somebody look at it",
];
const OPENINGS_FOR: [&str; 8] = [
    "I'd like to book a {service}",
    "I need a {service}",
    "hi, can I make an appointment for a {service}",
    "I want to schedule a {service} please",
    "do you have a slot for a {service}",
    "I was told I need a {service}, can I come in",
    "um yes, I'd like an appointment for a {service}",
    "this is {name}, I'd like to come in for a {service}",
];
const INTRODUCED: [&str; 8] = [
    "{name}",
    "my name is {name}",
    "it's {name}",
    "this is {name}",
    "uh, {name}",
    "{name} please",
    "it's for {name}",
    "the name is {name}",
];
const AGREED: [&str; 12] = [
    "yes",
    "yes please",
    "yeah that's right",
    "correct",
    "perfect",
    "sounds good",
    "yep",
    "that's fine",
    "yes, thanks",
    "mhm, yes",
    "that is correct",
    "right",
];
const ENDED: [&str; 8] = [
    "no thank you",
    "no, that's all",
    "nope, bye",
    "that's it, thanks, bye",
    "no",
    "no, thanks, goodbye",
    "that's everything, thank you",
    "nothing else, thanks",
];
const ASIDES: [&str; 4] = [
    "are you open on Saturdays?",
    "where can I park?",
    "do you take insurance?",
    "what are your opening hours?",
];
const SOONEST: [&str; 5] = [
    "as soon as possible",
    "whatever is the earliest you have",
    "any day is fine",
    "the earliest you have",
    "anytime",
];

/// The same time on another day of business.
pub(super) fn another_day(dice: &mut SplitMix, at: DateTime, today: Date) -> DateTime {
    loop {
        let day = open_time(dice, today).date();
        if day != at.date() {
            return day.to_datetime(at.time());
        }
    }
}

impl Customer {
    /// The words for a question; `None` where there is nothing more to say.
    pub(super) fn answer(&mut self, asked: Asked) -> Option<String> {
        Some(match asked {
            Asked::WhatFor if self.take(Habit::AsksFirst) => self.one_of(&ASIDES),
            Asked::WhatFor => self.opening(),
            Asked::WouldYouLike => "yes please".to_owned(),
            Asked::Name => self.name(),
            Asked::DayAndTime => self.moment(),
            Asked::Day => self.day(),
            Asked::Time => self.time(),
            Asked::Number => self.number(),
            Asked::Service => self.persona.service.name().to_owned(),
            Asked::Which => self.choice(),
            Asked::Right => self.judgement(),
            // Of the read-back that stands open.
            Asked::YesOrNo => self.judgement(),
            Asked::WhatToChange => self.change(),
            Asked::StillThere => self.back_again(),
            Asked::SayAgain => self.again(),
            Asked::AnythingElse => self.end(),
            Asked::Human | Asked::Goodbye => return None,
        })
    }

    pub(super) fn opening(&mut self) -> String {
        let opening = match self.persona.service {
            Service::CheckUp => self.one_of(&OPENINGS),
            service => self.one_of(&OPENINGS_FOR).replace("{service}", service.name()),
        };
        match self.take(Habit::TellsAll) {
            true => format!("{opening}, {}", self.moment()),
            false => opening,
        }
    }

    fn name(&mut self) -> String {
        let introduced = self.dice.pick(&INTRODUCED).unwrap_or_default();
        let whole = self.persona.name;
        let short = whole.split(' ').next().unwrap_or(whole);
        introduced.replace("{name}", if self.take(Habit::MendsName) { short } else { whole })
    }

    /// When they want to come, as they say it now.
    fn moment(&mut self) -> String {
        let today = self.persona.today;
        match (self.mistake.or(self.target), self.persona.wish) {
            (Some(at), _) if self.take(Habit::MendsAtOnce) => {
                let wrong = another_day(&mut self.dice, at, today);
                let wrong = wording::moment(wrong, today, &mut self.dice);
                self.mended(&wrong, |dice| wording::moment(at, today, dice))
            }
            (Some(at), _) => wording::moment(at, today, &mut self.dice),
            (None, Wish::Within(day, part)) => {
                let day = wording::day(day, today, &mut self.dice);
                match day.as_str() {
                    "tomorrow" => format!("{day} {}", part.name()),
                    _ if self.dice.once_in(2) => format!("{day} in the {}", part.name()),
                    _ => format!("{day}, {} if possible", part.name()),
                }
            }
            (None, _) => self.one_of(&SOONEST),
        }
    }

    /// "Monday, no wait, Tuesday".
    fn mended(&mut self, wrong: &str, right: impl FnOnce(&mut SplitMix) -> String) -> String {
        let mends = self.one_of(&["no", "no wait", "sorry", "I mean", "no sorry", "actually"]);
        format!("{wrong}, {mends}, {}", right(&mut self.dice))
    }

    fn day(&mut self) -> String {
        let today = self.persona.today;
        let Some(at) = self.mistake.or(self.target) else { return self.moment() };
        if self.dice.once_in(4) {
            return self.moment();
        }
        if self.take(Habit::MendsAtOnce) {
            let wrong = another_day(&mut self.dice, at, today);
            let wrong = wording::day(wrong.date(), today, &mut self.dice);
            return self.mended(&wrong, |dice| wording::day(at.date(), today, dice));
        }
        let day = wording::day(at.date(), today, &mut self.dice);
        let form =
            self.one_of(&["{day}", "{day}", "{day} please", "can I come {day}", "um, {day}"]);
        form.replace("{day}", &day)
    }

    fn time(&mut self) -> String {
        let Some(at) = self.mistake.or(self.target) else {
            let Wish::Within(_, part) = self.persona.wish else { return self.one_of(&SOONEST) };
            return self
                .one_of(&["in the {part}", "some time in the {part}", "the {part}"])
                .replace("{part}", part.name());
        };
        let time = wording::time(at, &mut self.dice);
        let form =
            self.one_of(&["{time}", "{time}", "at {time}", "around {time}", "{time} please"]);
        form.replace("{time}", &time)
    }

    fn number(&mut self) -> String {
        let digits = self.persona.other_number();
        let said = wording::number(&digits, &mut self.dice);
        self.told_number = Some(digits);
        let form = self.one_of(&["{number}", "it's {number}", "my number is {number}", "{number}"]);
        form.replace("{number}", &said)
    }

    /// Which of the times that were offered.
    fn choice(&mut self) -> String {
        let heard = self.asked_in().to_owned();
        let offers = offered(&heard, self.persona.today);
        let Some(place) = self.place_of(&offers) else { return self.one_of(&["the first one"]) };
        let at = offers[place];
        (self.target, self.mistake) = (Some(at), None);
        let is_of_one_day = offers.iter().all(|other| other.date() == at.date());
        let clock = wording::time(at, &mut self.dice);
        let ordinal = match place {
            _ if place + 1 == offers.len() && place > 0 => "the last one",
            0 => "the first one",
            1 => "the second one",
            _ => "the third one",
        };
        match self.dice.below(4) {
            0 => ordinal.to_owned(),
            1 if is_of_one_day => format!("{clock} is fine"),
            2 if is_of_one_day => format!("I'll take {clock}"),
            _ => wording::moment(at, self.persona.today, &mut self.dice),
        }
    }

    /// Which suits best: within the wish where one is, else any.
    fn place_of(&mut self, offers: &[DateTime]) -> Option<usize> {
        let fitting: Vec<usize> = (0..offers.len()).filter(|at| self.fits(offers[*at])).collect();
        let all: Vec<usize> = (0..offers.len()).collect();
        self.dice.pick(if fitting.is_empty() { &all } else { &fitting })
    }

    fn fits(&self, at: DateTime) -> bool {
        match self.persona.wish {
            Wish::Within(day, part) => at.date() == day && part.has(at.time()),
            Wish::At(_) | Wish::Any => true,
        }
    }

    /// The words in which the open question was asked.
    fn asked_in(&self) -> &str {
        self.open.as_ref().map_or("", |(_, heard)| heard)
    }
}

/// What is said of a read-back, and of the end.
impl Customer {
    fn judgement(&mut self) -> String {
        let heard = self.asked_in().to_owned();
        let today = self.persona.today;
        self.agreed = false;
        if self.target.is_none() {
            let read_back = moments(&heard, today).last().copied();
            self.target = read_back.filter(|at| self.fits(*at));
        }
        let Some(target) = self.target else { return format!("no, {}", self.moment()) };
        if let Some(mistake) = self.mistake.filter(|mistake| heard.contains(&spoken(*mistake))) {
            self.mistake = None;
            if self.take(Habit::SaysOnlyNo) {
                return self.one_of(&["no", "no, that's wrong", "nope"]);
            }
            let right = match target.date() == mistake.date() {
                true => wording::time(target, &mut self.dice),
                false => wording::day(target.date(), today, &mut self.dice),
            };
            return self
                .one_of(&["no, {right}", "no sorry, {right}", "not quite, I meant {right}"])
                .replace("{right}", &right);
        }
        if !heard.contains(&spoken(target)) {
            return format!("no, {}", wording::moment(target, today, &mut self.dice));
        }
        let is_of_a_move = heard.contains("moves to") || heard.contains("move to");
        if !is_of_a_move && !heard.to_lowercase().contains(&self.persona.name.to_lowercase()) {
            return self.one_of(&["no, my name is {name}", "no, {name}", "the name is {name}"]);
        }
        let service = self.persona.service;
        let names = |other: &Service| heard.contains(other.name());
        if !names(&service) && Service::ALL.iter().any(names) {
            return self
                .one_of(&[
                    "no, a {service}",
                    "no, it's for a {service}",
                    "it should be a {service}",
                ])
                .replace("{service}", service.name());
        }
        if heard.contains("ending") && !heard.contains(&ending(&self.told_at())) {
            return format!("no, my number is {}", self.number());
        }
        if heard.contains("ending") && self.take(Habit::TellsNumber) {
            let number = self.number();
            return self
                .one_of(&["no, please use {number}", "can you use another number, {number}"])
                .replace("{number}", &number);
        }
        if self.take(Habit::ChangesMind) {
            let other = another_day(&mut self.dice, target, today);
            self.target = Some(other);
            let day = wording::day(other.date(), today, &mut self.dice);
            return self
                .one_of(&[
                    "no sorry, {day}",
                    "actually, can we do {day} instead",
                    "oh wait, make it {day}",
                    "hmm, could we make that {day}",
                ])
                .replace("{day}", &day);
        }
        self.agreed = true;
        self.one_of(&AGREED)
    }

    /// Asked what is wrong.
    fn change(&mut self) -> String {
        match self.target {
            Some(at) if self.dice.once_in(2) => {
                let moment = wording::moment(at, self.persona.today, &mut self.dice);
                format!("it should be {moment}")
            }
            _ => "the day".to_owned(),
        }
    }

    /// Asked whether they are there.
    fn back_again(&mut self) -> String {
        let open = self.open.as_ref().map(|(asked, _)| *asked);
        let here = self.one_of(&["yes, I'm here", "I'm here", "yes I'm still here"]);
        // Where "yes" would say more than that.
        let is_to_answer = matches!(open, Some(Asked::Right | Asked::Which | Asked::WouldYouLike));
        match open.filter(|_| is_to_answer || self.dice.once_in(2)) {
            Some(asked) => self.answer(asked).unwrap_or(here),
            None => here,
        }
    }

    /// Asked to say it again.
    fn again(&mut self) -> String {
        let open = self.open.as_ref().map(|(asked, _)| *asked);
        let answer = open.and_then(|asked| self.answer(asked));
        answer.unwrap_or_else(|| self.opening())
    }

    fn end(&mut self) -> String {
        if !self.agreed {
            let opening = self.opening();
            return format!("yes, {opening}");
        }
        if self.take(Habit::MovesAfterwards)
            && let Some(at) = self.target
        {
            let other = another_day(&mut self.dice, at, self.persona.today);
            (self.target, self.agreed) = (Some(other), false);
            let moment = wording::moment(other, self.persona.today, &mut self.dice);
            return self
                .one_of(&[
                    "actually, could you move my appointment to {moment}",
                    "oh, can we change it to {moment}",
                    "sorry, I need to reschedule that to {moment}",
                ])
                .replace("{moment}", &moment);
        }
        self.one_of(&ENDED)
    }
}

/// The end of a number as it is read back.
fn ending(number: &str) -> String {
    let digits: Vec<String> = number.chars().map(String::from).collect();
    digits[digits.len().saturating_sub(4)..].join(" ")
}
