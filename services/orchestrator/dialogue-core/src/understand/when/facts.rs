//! What a sentence says about time, and what it comes to.

use jiff::{
    SignedDuration, ToSpan,
    civil::{Date, DateTime, Time},
};

use super::{
    DayPart, Here, TimeOfDay, When, at,
    clock::{Clock, Meridiem},
    day::{Day, Which, date_of, monday, of_week},
    midnight, part_of, plus_days,
};

/// The facts of a sentence.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Facts {
    pub(super) day: Option<Day>,
    /// A weekday named beside a day of the month.
    pub(super) weekday: Option<jiff::civil::Weekday>,
    pub(super) clock: Option<Clock>,
    pub(super) until: Option<Clock>,
    pub(super) is_until_only: bool,
    pub(super) is_from_only: bool,
    pub(super) part: Option<DayPart>,
    /// From now.
    pub(super) in_time: Option<SignedDuration>,
    /// From what was said before.
    pub(super) shift: Option<Shift>,
    /// Only the half of the day was mended: "PM, not AM".
    pub(super) meridiem: Option<Meridiem>,
    pub(super) tonight: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shift {
    pub(super) days: i64,
    pub(super) minutes: i64,
}

impl Facts {
    /// Whether a day was named.
    pub fn has_day(&self) -> bool {
        self.day.is_some()
    }

    /// The time of day, where one was named; of a span of hours its first.
    pub fn time_of_day(&self) -> Option<TimeOfDay> {
        let clock = self.clock.map(|clock| TimeOfDay::At(self.meant(clock).time()));
        clock.or(self.part.map(TimeOfDay::Part))
    }

    /// The day, where one was named.
    pub fn date(&self, here: &Here) -> Option<Date> {
        let day = self.day?;
        if let (Day::OfMonth(day), Some(weekday)) = (day, self.weekday) {
            let fits = |months: i64| {
                let first = here.today().first_of_month().checked_add(months.months()).ok()?;
                let date = Date::new(first.year(), first.month(), day).ok()?;
                (date >= here.today() && date.weekday() == weekday).then_some(date)
            };
            if let Some(date) = (0..4).find_map(fits) {
                return Some(date);
            }
        }
        date_of(day, here)
    }

    /// Days, where more than one was named.
    pub(super) fn span(&self) -> Option<(Date, Date)> {
        match self.day {
            Some(Day::Span(from, until)) => Some((from, until)),
            _ => None,
        }
    }

    /// The clock time, where one was named, and no span of them.
    pub(super) fn time(&self) -> Option<Time> {
        if self.is_until_only || self.is_from_only || self.until.is_some() {
            return None;
        }
        self.clock.map(|clock| self.meant(clock).time())
    }

    /// The part of the day, where one was named and no clock time.
    pub(super) fn part(&self) -> Option<DayPart> {
        self.part.filter(|_| self.clock.is_none())
    }

    /// With what stands beside it: "seven in the evening".
    fn meant(&self, clock: Clock) -> Clock {
        let meridiem = match self.part {
            Some(DayPart::Morning) => Some(Meridiem::Am),
            Some(DayPart::Afternoon | DayPart::Evening) if clock.hour != 12 => Some(Meridiem::Pm),
            _ => None,
        };
        clock.with(meridiem)
    }

    /// First and last hour of the day that was named.
    fn hours(&self) -> Option<(Time, Time)> {
        let clock = self.clock?;
        let noon = Time::new(12, 0, 0, 0).unwrap_or_default();
        if self.is_from_only {
            let from = self.meant(clock).time();
            let day_ends = if from.hour() < 17 { 17 } else { 21 };
            let end = if self.part == Some(DayPart::Morning) { 12 } else { day_ends };
            return Some((from, Time::new(end, 0, 0, 0).ok()?));
        }
        if self.is_until_only {
            let until = self.meant(clock).time();
            let begins = if self.part.is_some_and(|p| p != DayPart::Morning) {
                noon
            } else {
                Time::new(if until.hour() <= 9 { 0 } else { 9 }, 0, 0, 0).ok()?
            };
            return Some((begins, until));
        }
        let until = self.until?;
        let (from, until) = match (clock.meridiem, until.meridiem) {
            (None, Some(half)) => {
                let same = clock.with(Some(half)).time();
                let end = until.time();
                let from = if same < end { same } else { clock.with(Some(Meridiem::Am)).time() };
                (from, end)
            }
            (Some(half), None) if !until.is_certain => {
                let from = clock.time();
                let same = until.with(Some(half)).time();
                let later = until.with(Some(Meridiem::Pm)).time();
                (from, if same > from { same } else { later })
            }
            _ => {
                let (from, end) = (self.meant(clock).time(), self.meant(until).time());
                let later = until.with(Some(Meridiem::Pm)).time();
                (from, if end > from { end } else { later })
            }
        };
        (from < until).then_some((from, until))
    }

    pub(super) fn resolve(&self, here: &Here) -> Option<When> {
        if let Some(later) = self.in_time {
            let then = here.now.checked_add(later).ok()?;
            return Some(When::At(then.datetime()));
        }
        let now = here.now.datetime();
        let today = here.today();
        let date = self.date(here);
        if date.is_some_and(|d| d < today) {
            return None;
        }
        if let Some((from, until)) = self.hours() {
            let date = date.unwrap_or(match today.to_datetime(from) > now {
                true => today,
                false => plus_days(today, 1),
            });
            return Some(When::Within(date.to_datetime(from), date.to_datetime(until)));
        }
        if let Some(clock) = self.clock {
            let time = self.meant(clock).time();
            let is_tonight = self.tonight && clock.is_certain && time == Time::midnight();
            let date = match date {
                Some(date) if is_tonight => plus_days(date, 1),
                Some(date) => date,
                None if today.to_datetime(time) > now => today,
                None => plus_days(today, 1),
            };
            return Some(When::At(date.to_datetime(time)));
        }
        match (self.day, self.part) {
            (Some(Day::Span(from, until)), None) => {
                Some(When::Within(midnight(from), midnight(until)))
            }
            (Some(Day::Span(from, until)), Some(part)) if plus_days(from, 1) < until => {
                // Any of those mornings; the first opens the span.
                let (first, last) = part.hours();
                Some(When::Within(at(from, first, 0), at(plus_days(until, -1), last, 0)))
            }
            (Some(_), None) => date.map(When::On),
            (Some(_), Some(part)) => Some(part_of(date?, part)),
            (None, Some(part)) => {
                let (first, _) = part.hours();
                let date = match at(today, first, 0) > now {
                    true => today,
                    false => plus_days(today, 1),
                };
                Some(part_of(date, part))
            }
            (None, None) => None,
        }
    }

    pub(super) fn applied_to(&self, prior: When, here: &Here) -> When {
        let date = self.date(here).map(|date| self.near(date, prior, here)).unwrap_or(prior.date());
        if let Some(shift) = self.shift {
            let moved = |at: DateTime| {
                let later = at.checked_add(shift.days.days()).unwrap_or(at);
                later.checked_add(shift.minutes.minutes()).unwrap_or(later)
            };
            let prior = match self.day {
                Some(_) => on_day(prior, date),
                None => prior,
            };
            let shifted = match prior {
                When::At(at) => When::At(moved(at)),
                When::On(date) => When::On(plus_days(date, shift.days)),
                When::Within(from, until) => When::Within(moved(from), moved(until)),
            };
            return match (self.hours(), self.time(), self.part()) {
                (None, None, None) => shifted,
                _ => self.timed(shifted.date(), prior),
            };
        }
        if self.in_time.is_some() {
            return self.resolve(here).unwrap_or(prior);
        }
        if let Some((from, until)) = self.span()
            && self.clock.is_none()
            && self.part.is_none()
        {
            // "next week instead": the same weekday and time of that week.
            let is_week = plus_days(from, 7) == until;
            return match (is_week, prior) {
                (true, When::At(_) | When::On(_)) => {
                    on_day(prior, of_week(monday(from), prior.date().weekday()))
                }
                _ => When::Within(midnight(from), midnight(until)),
            };
        }
        self.timed(date, prior)
    }

    /// The time named, on `date`; where none was, that of `prior`.
    fn timed(&self, date: Date, prior: When) -> When {
        if let Some((from, until)) = self.hours() {
            return When::Within(date.to_datetime(from), date.to_datetime(until));
        }
        if let Some(clock) = self.clock {
            let clock = match prior {
                // "at seven" said of an evening is one of it.
                When::Within(from, _) if from.hour() >= 12 && (1..=11).contains(&clock.hour) => {
                    clock.with(self.meant(clock).meridiem.or(Some(Meridiem::Pm)))
                }
                _ => self.meant(clock),
            };
            return When::At(date.to_datetime(clock.time()));
        }
        if let Some(part) = self.part {
            return part_of(date, part);
        }
        if let (Some(meridiem), When::At(at)) = (self.meridiem, prior) {
            let time = at.time();
            let hour = match meridiem {
                Meridiem::Am => time.hour() % 12,
                Meridiem::Pm => time.hour() % 12 + 12,
            };
            return When::At(super::at(date, hour, time.minute()));
        }
        on_day(prior, date)
    }

    /// A weekday or a day of the month that mends one far ahead is one near to it.
    fn near(&self, date: Date, prior: When, here: &Here) -> Date {
        let prior = prior.date();
        match self.day {
            Some(Day::Weekday(weekday, Which::Coming)) if prior >= plus_days(here.today(), 7) => {
                of_week(monday(prior), weekday)
            }
            Some(Day::OfMonth(day)) => Date::new(prior.year(), prior.month(), day)
                .ok()
                .filter(|d| *d >= here.today())
                .unwrap_or(date),
            _ => date,
        }
    }
}

fn on_day(prior: When, date: Date) -> When {
    match prior {
        When::At(at) => When::At(date.to_datetime(at.time())),
        When::On(_) => When::On(date),
        When::Within(from, until) => {
            let days = i64::from(until.date().since(from.date()).map_or(0, |s| s.get_days()));
            let end = plus_days(date, days);
            When::Within(date.to_datetime(from.time()), end.to_datetime(until.time()))
        }
    }
}
