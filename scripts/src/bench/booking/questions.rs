//! What the agent asks, as a person recognises it: by a few words.

use jiff::civil::{Date, DateTime, Time};

/// What the agent wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    WhatFor,
    Name,
    DayAndTime,
    Day,
    Time,
    Number,
    Which,
    Right,
    YesOrNo,
    WhatToChange,
    Service,
    WouldYouLike,
    StillThere,
    SayAgain,
    AnythingElse,
    /// Nothing: a human of the business takes over.
    Human,
    Goodbye,
}

/// Words by which a question is recognised, the surest first.
const CUES: [(&str, Asked); 36] = [
    ("anything else", Asked::AnythingElse),
    ("yes or a no", Asked::YesOrNo),
    ("yes or no", Asked::YesOrNo),
    ("is that right", Asked::Right),
    ("what should i change", Asked::WhatToChange),
    ("still there", Asked::StillThere),
    ("put you through", Asked::Human),
    ("call you back", Asked::Human),
    ("be with you", Asked::Human),
    ("talk to a person", Asked::Human),
    ("goodbye", Asked::Goodbye),
    ("day and time", Asked::DayAndTime),
    ("which day", Asked::Day),
    ("which other day", Asked::Day),
    ("only a day", Asked::Day),
    ("what time", Asked::Time),
    ("which time", Asked::Time),
    ("only a time", Asked::Time),
    ("would suit you", Asked::Which),
    ("would that suit", Asked::Which),
    ("which one", Asked::Which),
    ("what number", Asked::Number),
    ("the number", Asked::Number),
    ("phone number", Asked::Number),
    ("what name", Asked::Name),
    ("your name", Asked::Name),
    ("the name", Asked::Name),
    ("which service", Asked::Service),
    ("would you like one", Asked::WouldYouLike),
    ("would you like to make", Asked::WouldYouLike),
    ("like an appointment", Asked::WouldYouLike),
    ("say it again", Asked::SayAgain),
    ("say that again", Asked::SayAgain),
    ("help you", Asked::WhatFor),
    ("do for you", Asked::WhatFor),
    ("you like to do", Asked::WhatFor),
];

/// What is asked last in these words.
pub(super) fn asked(heard: &str) -> Option<Asked> {
    let heard = heard.to_lowercase();
    let cue = |part: &str| CUES.iter().find(|(cue, _)| part.contains(cue)).map(|(_, asked)| *asked);
    let mut parts = heard.split_inclusive(['.', '?', '!']).rev().filter_map(cue);
    let last = parts.next()?;
    // "I did not get the name. Could you say it again?"
    let before = parts.next().filter(|_| last == Asked::SayAgain);
    Some(before.unwrap_or(last))
}

/// A moment as the agent says it.
pub(super) fn spoken(at: DateTime) -> String {
    let clock = if at.minute() == 0 { "%-I %p" } else { "%-I:%M %p" };
    at.strftime(&format!("%A, %B %-d at {clock}")).to_string()
}

/// The times that are offered in these words.
pub(super) fn offered(heard: &str, today: Date) -> Vec<DateTime> {
    heard.rfind("I have ").map_or_else(Vec::new, |at| moments(&heard[at..], today))
}

/// The moments these words name, the day being said before or after its times.
pub(super) fn moments(text: &str, today: Date) -> Vec<DateTime> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let bare = |word: &str| word.trim_matches([',', '.', '?']).to_owned();
    let (mut day, mut clocks, mut moments) = (None, Vec::new(), Vec::new());
    for pair in words.windows(2) {
        let (word, next) = (bare(pair[0]), bare(pair[1]));
        if let Some(found) = date_named(&word, &next, today) {
            moments.extend(clocks.drain(..).map(|clock| found.to_datetime(clock)));
            day = Some(found);
        }
        let Some(clock) = clock_named(&word, &next) else { continue };
        match day {
            Some(day) => moments.push(day.to_datetime(clock)),
            None => clocks.push(clock),
        }
    }
    moments
}

/// "December 3", the next there is.
fn date_named(month: &str, day: &str, today: Date) -> Option<Date> {
    let of = |year: i16| Date::strptime("%Y %B %d", format!("{year} {month} {day}")).ok();
    of(today.year()).filter(|date| *date >= today).or_else(|| of(today.year() + 1))
}

/// "10:30 AM".
fn clock_named(clock: &str, half_day: &str) -> Option<Time> {
    let clock = if clock.contains(':') { clock.to_owned() } else { format!("{clock}:00") };
    Time::strptime("%I:%M %p", format!("{clock} {half_day}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn the_last_question_counts() {
        for (heard, wanted) in [
            ("Thank you for calling Maple Dental. How can I help you today?", Asked::WhatFor),
            ("Sure. What name is it for?", Asked::Name),
            ("Sorry, I did not get the name. Could you say it again?", Asked::Name),
            ("Thank you, Anna Lee. Which day would suit you?", Asked::Day),
            ("Sorry, which day was it? For example, next Monday.", Asked::Day),
            ("And at what time on Tuesday, December 1?", Asked::Time),
            ("Which other day and time would suit you?", Asked::DayAndTime),
            ("I have 10 AM or 11 AM on Tuesday, December 1. Which would suit you?", Asked::Which),
            ("Anna Lee, Tuesday, December 1 at 2 PM. Is that right?", Asked::Right),
            ("Sorry. Please say only yes or no: is that right?", Asked::YesOrNo),
            (
                "You are booked for Tuesday. A text message follows. Anything else?",
                Asked::AnythingElse,
            ),
            ("Are you still there? I cannot hear you.", Asked::StillThere),
            ("Sorry, I did not catch that. Could you say it again?", Asked::SayAgain),
            ("Thank you for calling. Goodbye.", Asked::Goodbye),
        ] {
            assert_eq!(asked(heard), Some(wanted), "{heard}");
        }
        assert_eq!(asked("One moment, please."), None);
    }

    #[test]
    fn offers_are_read_with_their_days() {
        let today = date(2026, 12, 28);
        let of_one_day = "Sorry, 2 PM is not free. I have 1 PM, 1:30 PM or 3 PM on Tuesday, December 29. Which would suit you?";
        let at = |hour, minute| date(2026, 12, 29).at(hour, minute, 0, 0);
        assert_eq!(offered(of_one_day, today), [at(13, 0), at(13, 30), at(15, 0)]);
        let of_two = "I have Thursday, December 31 at 4:30 PM or Friday, January 1 at 9 AM. Which would suit you?";
        let wanted = [date(2026, 12, 31).at(16, 30, 0, 0), date(2027, 1, 1).at(9, 0, 0, 0)];
        assert_eq!(offered(of_two, today), wanted);
        assert_eq!(spoken(wanted[1]), "Friday, January 1 at 9 AM");
    }
}
