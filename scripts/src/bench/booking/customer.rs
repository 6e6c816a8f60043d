//! What a person says to what the agent says. No I/O: words heard in, words to say out.
//!
//! The person recognises by a few keywords what was asked, as people do, and has nothing of the platform's own understanding.

use jiff::civil::DateTime;

use super::answers::another_day;
use super::persona::{Habit, Persona, Way, Wish};
use super::questions::{Asked, asked};
use crate::split_mix::SplitMix;

/// Who has spoken so often gives up.
const TURNS_MAX: usize = 24;

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing was asked yet.
    Wait,
    /// Something was asked, and the person says nothing.
    KeepSilent,
    Say(Line),
    /// The talk is over, or there is nobody to talk to.
    HangUp,
}

/// Something said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The words; none where the person only coughs.
    pub(super) text: String,
    pub(super) coughs: bool,
}

/// A person in one talk.
pub(super) struct Customer {
    pub(super) persona: Persona,
    pub(super) dice: SplitMix,
    /// When they want to come, once that is one moment.
    pub(super) target: Option<DateTime>,
    /// What they say first by mistake, until it is mended.
    pub(super) mistake: Option<DateTime>,
    /// Habits that happen once and have not yet.
    pub(super) to_come: Vec<Habit>,
    /// What was heard since they last spoke.
    pub(super) heard: String,
    /// The question that stands open, and the words it was asked in.
    pub(super) open: Option<(Asked, String)>,
    /// The number they told instead of their own, in ten digits.
    pub(super) told_number: Option<String>,
    pub(super) agreed: bool,
    pub(super) said: usize,
}

impl Customer {
    pub(super) fn new(persona: Persona) -> Self {
        let mut dice = SplitMix(persona.seed);
        let target = match persona.wish {
            Wish::At(at) => Some(at),
            Wish::Within(..) | Wish::Any => None,
        };
        let is_mistaken = [Habit::MendsReadBack, Habit::SaysOnlyNo].map(|h| persona.has(h));
        let mistake = target
            .filter(|_| is_mistaken.contains(&true))
            .map(|at| another_day(&mut dice, at, persona.today));
        Self {
            to_come: persona.habits.clone(),
            persona,
            dice,
            target,
            mistake,
            heard: String::new(),
            open: None,
            told_number: None,
            agreed: false,
            said: 0,
        }
    }

    /// The agent has said this, and is quiet.
    pub(super) fn hear(&mut self, words: &str) -> Next {
        self.heard += words;
        self.heard.push(' ');
        let Some(mut asked) = asked(&self.heard) else { return Next::Wait };
        if matches!(asked, Asked::Human | Asked::Goodbye) {
            return Next::HangUp;
        }
        let is_again = matches!(asked, Asked::StillThere | Asked::SayAgain);
        if is_again && self.open.is_none() {
            asked = Asked::WhatFor;
        }
        if !is_again {
            // The words to judge are those that were read back.
            if asked != Asked::YesOrNo || self.open.is_none() {
                self.open = Some((asked, self.heard.clone()));
            }
            if let Some(next) = self.disturbance() {
                return next;
            }
        }
        match self.answer(asked) {
            Some(text) => self.say(text),
            None => Next::HangUp,
        }
    }

    /// Nothing more has come for some seconds, and what was heard asked nothing.
    pub(super) fn wait_no_longer(&mut self) -> Next {
        let asked = self.open.as_ref().map_or(Asked::WhatFor, |(asked, _)| *asked);
        match self.answer(asked) {
            Some(text) => self.say(text),
            None => Next::HangUp,
        }
    }

    /// The agent's greeting has begun.
    pub(super) fn greeted(&mut self) -> Next {
        if self.said > 0 || !self.take(Habit::Interrupts) {
            return Next::Wait;
        }
        self.open = Some((Asked::WhatFor, String::new()));
        let opening = self.opening();
        self.say(opening)
    }

    /// When they agreed to come.
    pub(super) fn start(&self) -> Option<DateTime> {
        self.target.filter(|_| self.agreed)
    }

    /// Where they expect to be told, E.164.
    pub(super) fn told_at(&self) -> String {
        match &self.told_number {
            Some(digits) => format!("+1{digits}"),
            None => self.persona.own_number(),
        }
    }

    pub(super) fn say(&mut self, text: String) -> Next {
        self.said += 1;
        self.heard.clear();
        if self.said > TURNS_MAX {
            return Next::HangUp;
        }
        let is_careless = self.persona.way == Way::Chat && self.dice.once_in(3);
        let text = if is_careless { text.to_lowercase() } else { text };
        let coughs = self.persona.has(Habit::Coughs) && self.dice.once_in(3);
        Next::Say(Line { text, coughs })
    }

    /// Whether the habit has still to show itself; from now on it has.
    pub(super) fn take(&mut self, habit: Habit) -> bool {
        let before = self.to_come.len();
        self.to_come.retain(|to_come| *to_come != habit);
        self.to_come.len() < before
    }

    /// What happens once in a while instead of an answer.
    fn disturbance(&mut self) -> Option<Next> {
        let of_now = [Habit::FallsSilent, Habit::OnlyCoughs, Habit::AsksAgain, Habit::Mumbles];
        let habit = of_now.into_iter().find(|habit| self.to_come.contains(habit))?;
        if !self.dice.once_in(2) || !self.take(habit) {
            return None;
        }
        Some(match habit {
            Habit::FallsSilent => Next::KeepSilent,
            Habit::OnlyCoughs => {
                self.heard.clear();
                Next::Say(Line { text: String::new(), coughs: true })
            }
            Habit::AsksAgain => {
                let text = self.one_of(&[
                    "sorry?",
                    "could you repeat that?",
                    "pardon?",
                    "say that again please",
                ]);
                self.say(text)
            }
            _ => {
                let text = self.one_of(&[
                    "uh",
                    "hang on",
                    "hmm let me see",
                    "one second",
                    "can you hear me?",
                ]);
                self.say(text)
            }
        })
    }

    pub(super) fn one_of(&mut self, ways: &[&str]) -> String {
        self.dice.pick(ways).unwrap_or_default().replace("{name}", self.persona.name)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::persona::Service;
    use super::*;

    fn customer(habits: &[Habit]) -> Customer {
        Customer::new(Persona {
            number: 7,
            way: Way::Stream,
            name: "Anna Lee",
            service: Service::CheckUp,
            wish: Wish::At(date(2026, 12, 2).at(14, 0, 0, 0)),
            is_taken: false,
            is_hidden: false,
            habits: habits.to_vec(),
            today: date(2026, 11, 29),
            seed: 5,
        })
    }

    fn says(next: Next) -> String {
        match next {
            Next::Say(line) => line.text,
            next => panic!("{next:?}"),
        }
    }

    const READ_BACK: &str =
        "Anna Lee, Wednesday, December 2 at 2 PM, number ending 0 0 0 7. Is that right?";
    const BOOKED: &str = "You are booked for Wednesday, December 2 at 2 PM. Anything else?";

    #[test]
    fn who_is_asked_answers_and_agrees_to_what_they_wanted() {
        let mut anna = customer(&[]);
        assert!(!says(anna.hear("How can I help you today?")).is_empty());
        assert!(says(anna.hear("Sure. What name is it for?")).contains("Anna Lee"));
        assert_eq!(anna.hear("One moment, please."), Next::Wait);
        assert_eq!(anna.start(), None);
        says(anna.hear(READ_BACK));
        assert_eq!(anna.start(), Some(date(2026, 12, 2).at(14, 0, 0, 0)));
        says(anna.hear(BOOKED));
        assert_eq!(anna.hear("Thank you for calling. Goodbye."), Next::HangUp);
    }

    #[test]
    fn nobody_agrees_to_another_day_name_or_number() {
        for wrong in [
            READ_BACK.replace("Wednesday, December 2", "Thursday, December 3"),
            READ_BACK.replace("Anna", "Annie"),
            READ_BACK.replace("0 0 0 7", "0 0 1 7"),
        ] {
            let mut anna = customer(&[]);
            says(anna.hear(&wrong));
            assert_eq!(anna.start(), None, "{wrong}");
        }
    }

    #[test]
    fn a_mistake_is_mended_when_it_is_read_back() {
        let mut anna = customer(&[Habit::SaysOnlyNo]);
        let mistaken = anna.mistake.expect("a mistake");
        assert_eq!(mistaken.time(), anna.target.expect("a wish").time());
        let wrong = super::super::questions::spoken(mistaken);
        let read_back = READ_BACK.replace("Wednesday, December 2 at 2 PM", &wrong);
        assert!(says(anna.hear(&read_back)).starts_with("no"));
        says(anna.hear("What should I change, the name, the day or the time?"));
        says(anna.hear(READ_BACK));
        assert!(anna.start().is_some());
    }

    #[test]
    fn who_fell_silent_answers_the_question_that_stands_open() {
        let mut anna = customer(&[Habit::FallsSilent]);
        let greeting = "How can I help you today?";
        while anna.hear(greeting) != Next::KeepSilent {}
        let mut said = says(anna.hear("Are you still there? I cannot hear you."));
        if said.contains("here") {
            said = says(anna.hear(greeting));
        }
        assert!(!said.is_empty());
    }

    #[test]
    fn a_time_that_is_offered_is_the_one_agreed_to() {
        let mut anna = customer(&[]);
        says(anna.hear(
            "Sorry, 2 PM is not free. I have 3 PM on Friday, December 4. Would that suit you?",
        ));
        says(
            anna.hear(&READ_BACK.replace("Wednesday, December 2 at 2", "Friday, December 4 at 3")),
        );
        assert_eq!(anna.start(), Some(date(2026, 12, 4).at(15, 0, 0, 0)));
    }

    #[test]
    fn who_changes_their_mind_agrees_to_the_other_day() {
        let mut anna = customer(&[Habit::ChangesMind]);
        says(anna.hear(READ_BACK));
        assert_eq!(anna.start(), None);
        let other = super::super::questions::spoken(anna.target.expect("a wish"));
        says(anna.hear(&READ_BACK.replace("Wednesday, December 2 at 2 PM", &other)));
        assert!(anna.start().is_some());
    }
}
