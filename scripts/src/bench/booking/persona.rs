//! Who calls, what they want, and what they are like. No I/O: a seed and a day are a crowd.

use std::fmt;

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time, time};
use serde::Serialize;

use crate::split_mix::SplitMix;

/// How a person reaches the business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// A call with a media stream, in the modem voice.
    Stream,
    /// A call that Twilio recognises and speaks.
    Gather,
    /// WhatsApp.
    Chat,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stream => "stream",
            Self::Gather => "gather",
            Self::Chat => "chat",
        })
    }
}

/// What the tenant `demo` offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Half an hour; meant where nothing is named.
    CheckUp,
    /// Half an hour.
    Cleaning,
    /// An hour.
    Filling,
}

impl Service {
    pub(super) const ALL: [Self; 3] = [Self::CheckUp, Self::Cleaning, Self::Filling];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CheckUp => "check-up",
            Self::Cleaning => "cleaning",
            Self::Filling => "filling",
        }
    }
}

/// When somebody wants to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Then.
    At(DateTime),
    /// Some time from one time of a day until another: `afternoon` and the like.
    Within(Date, PartOfDay),
    /// As soon as possible.
    Any,
}

/// Of a day of business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartOfDay {
    Morning,
    Afternoon,
}

impl PartOfDay {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Morning => "morning",
            Self::Afternoon => "afternoon",
        }
    }

    pub(super) fn has(self, at: Time) -> bool {
        match self {
            Self::Morning => at < time(12, 0, 0, 0),
            Self::Afternoon => at >= time(12, 0, 0, 0),
        }
    }
}

/// What makes a call another than the plain one. A person has at most three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// Day and time, or more, in the first sentence.
    TellsAll,
    /// Says a wrong day or time and mends it in the same breath.
    MendsAtOnce,
    /// Says a wrong day first, and mends it when it is read back.
    MendsReadBack,
    /// Only says "no" to a read-back that is wrong, and tells what is wrong when asked.
    SaysOnlyNo,
    /// Wants another day once everything was right.
    ChangesMind,
    /// Wants another time once the appointment stands.
    MovesAfterwards,
    /// Wants to be reached on another number.
    TellsNumber,
    /// Tells a short name first and the whole one at the read-back.
    MendsName,
    /// Says nothing once, until asked.
    FallsSilent,
    /// Coughs before some answers.
    Coughs,
    /// Coughs once instead of an answer.
    OnlyCoughs,
    /// Asks once to have something said again.
    AsksAgain,
    /// Says once what means nothing.
    Mumbles,
    /// Asks about something else first.
    AsksFirst,
    /// Speaks into the greeting.
    Interrupts,
    /// Calls from a noisy place.
    Noisy,
}

impl fmt::Display for Habit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TellsAll => "tells all at once",
            Self::MendsAtOnce => "mends in the same breath",
            Self::MendsReadBack => "mends the read-back",
            Self::SaysOnlyNo => "says only no",
            Self::ChangesMind => "changes their mind",
            Self::MovesAfterwards => "moves it afterwards",
            Self::TellsNumber => "tells another number",
            Self::MendsName => "mends the name",
            Self::FallsSilent => "falls silent",
            Self::Coughs => "coughs",
            Self::OnlyCoughs => "only coughs once",
            Self::AsksAgain => "asks again",
            Self::Mumbles => "mumbles",
            Self::AsksFirst => "asks something first",
            Self::Interrupts => "interrupts",
            Self::Noisy => "noise on the line",
        })
    }
}

/// Those of a call alone: nobody coughs in a chat.
const OF_CALLS: [Habit; 5] =
    [Habit::FallsSilent, Habit::Coughs, Habit::OnlyCoughs, Habit::Interrupts, Habit::Noisy];
const OF_ALL: [Habit; 11] = [
    Habit::TellsAll,
    Habit::MendsAtOnce,
    Habit::MendsReadBack,
    Habit::SaysOnlyNo,
    Habit::ChangesMind,
    Habit::MovesAfterwards,
    Habit::TellsNumber,
    Habit::MendsName,
    Habit::AsksAgain,
    Habit::Mumbles,
    Habit::AsksFirst,
];

/// Somebody who wants an appointment.
#[derive(Debug, Clone)]
pub(super) struct Persona {
    /// Their place in the crowd.
    pub(super) number: usize,
    pub(super) way: Way,
    pub(super) name: &'static str,
    pub(super) service: Service,
    pub(super) wish: Wish,
    /// What was wished is taken already.
    pub(super) is_taken: bool,
    /// The caller hides the number.
    pub(super) is_hidden: bool,
    pub(super) habits: Vec<Habit>,
    /// The day the call is on, by the business's clock.
    pub(super) today: Date,
    /// Decides the person's words.
    pub(super) seed: u64,
}

const NAMES: [&str; 24] = [
    "Anna Lee",
    "Ben Okoro",
    "Priya Raman",
    "Diego Alvarez",
    "Siobhan Murphy",
    "Wei Zhang",
    "Fatima Haddad",
    "John Smith",
    "Maria Santos",
    "Oliver Brandt",
    "Keisha Brown",
    "Tom Baker",
    "Ingrid Larsen",
    "Rahul Mehta",
    "Grace O'Connor",
    "Jean-Luc Moreau",
    "April May",
    "Mark Friday",
    "Hannah van den Berg",
    "Will Young",
    "Noor Rahman",
    "Summer Hayes",
    "Patience Addo",
    "Lars Holm",
];
/// Business days ahead that appointments are wanted on.
const DAYS_AHEAD: u64 = 12;

impl Persona {
    /// The person at this place of the crowd of `seed`, on `today`.
    pub(super) fn new(seed: u64, number: usize, way: Way, today: Date) -> Self {
        let mut dice = SplitMix(seed.rotate_left(32) ^ number as u64);
        let service = match dice.below(6) {
            0 => Service::Cleaning,
            1 => Service::Filling,
            _ => Service::CheckUp,
        };
        let wish = match dice.below(10) {
            0 => Wish::Within(open_day(&mut dice, today), PartOfDay::Morning),
            1 => Wish::Within(open_day(&mut dice, today), PartOfDay::Afternoon),
            2 => Wish::Any,
            _ => Wish::At(open_time(&mut dice, today)),
        };
        let name = dice.pick(&NAMES).unwrap_or(NAMES[0]);
        let mut persona = Self {
            number,
            way,
            name,
            service,
            wish,
            is_taken: matches!(wish, Wish::At(_)) && dice.once_in(6),
            is_hidden: way != Way::Chat && dice.once_in(12),
            habits: Vec::new(),
            today,
            seed: dice.next(),
        };
        for _ in 0..dice.below(4) {
            let is_of_calls = way != Way::Chat && dice.once_in(2);
            let habit = if is_of_calls { dice.pick(&OF_CALLS) } else { dice.pick(&OF_ALL) };
            if let Some(habit) = habit.filter(|habit| persona.may_have(*habit)) {
                persona.habits.push(habit);
            }
        }
        persona
    }

    /// Whether a habit goes with what is known of the person.
    fn may_have(&self, habit: Habit) -> bool {
        let is_of_a_wrong_day = |habit: &Habit| {
            matches!(habit, Habit::MendsAtOnce | Habit::MendsReadBack | Habit::SaysOnlyNo)
        };
        let has_time = matches!(self.wish, Wish::At(_));
        let is_clear = !self.habits.iter().any(is_of_a_wrong_day) || !is_of_a_wrong_day(&habit);
        let fits = match habit {
            Habit::MendsAtOnce | Habit::MendsReadBack | Habit::SaysOnlyNo => has_time,
            // Who hides the number is asked for one.
            Habit::TellsNumber => !self.is_hidden && self.way != Way::Chat,
            Habit::MovesAfterwards => !self.is_hidden && !self.has(Habit::TellsNumber),
            // Greets, then says what is wanted: not both.
            Habit::AsksFirst => !self.has(Habit::Interrupts),
            Habit::Interrupts => !self.has(Habit::AsksFirst),
            _ => true,
        };
        fits && is_clear && !self.has(habit)
    }

    pub(super) fn has(&self, habit: Habit) -> bool {
        self.habits.contains(&habit)
    }

    /// The number they call or write from; nobody else of the crowd has it.
    pub(super) fn own_number(&self) -> String {
        format!("+1555781{:04}", self.number)
    }

    /// Another number of theirs, in ten digits.
    pub(super) fn other_number(&self) -> String {
        format!("416555{:04}", self.number)
    }
}

/// A day the business is open, not today.
fn open_day(dice: &mut SplitMix, today: Date) -> Date {
    let is_open = |day: &Date| day.weekday().to_monday_one_offset() <= 5;
    let mut days = today.series(1.day()).skip(1).filter(is_open);
    days.nth(dice.below(DAYS_AHEAD) as usize).unwrap_or(today)
}

/// A time at which every service can begin.
pub(super) fn open_time(dice: &mut SplitMix, today: Date) -> DateTime {
    let half_hours = dice.between(18, 33);
    open_day(dice, today).at((half_hours / 2) as i8, (half_hours % 2 * 30) as i8, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    const SUNDAY: Date = date(2026, 11, 29);

    fn crowd(seed: u64, way: Way) -> Vec<Persona> {
        (0..300).map(|number| Persona::new(seed, number, way, SUNDAY)).collect()
    }

    #[test]
    fn a_seed_is_a_crowd_and_another_is_another() {
        let told = |seed| format!("{:?}", crowd(seed, Way::Stream));
        assert_eq!(told(1), told(1));
        assert_ne!(told(1), told(2));
    }

    #[test]
    fn everybody_wants_a_time_the_business_is_open() {
        for persona in crowd(7, Way::Gather) {
            let Wish::At(at) = persona.wish else { continue };
            assert!(at.date() > SUNDAY, "{at}");
            assert!(at.weekday().to_monday_one_offset() <= 5, "{at}");
            assert!((time(9, 0, 0, 0)..=time(16, 0, 0, 0)).contains(&at.time()), "{at}");
        }
    }

    #[test]
    fn every_habit_is_met_and_none_where_it_cannot_be() {
        let callers = crowd(3, Way::Stream);
        for habit in OF_ALL.into_iter().chain(OF_CALLS) {
            assert!(callers.iter().any(|persona| persona.has(habit)), "{habit:?}");
        }
        let writers = crowd(3, Way::Chat);
        for habit in OF_CALLS {
            assert!(writers.iter().all(|persona| !persona.has(habit)), "{habit:?}");
        }
        assert!(writers.iter().all(|persona| !persona.is_hidden));
    }
}
