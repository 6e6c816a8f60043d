//! When appointments can start: hours, holidays and what is booked, as pure arithmetic by the
//! business's own clock (C6).

use std::collections::{BTreeSet, HashMap};

use domain::Timestamp;
use jiff::{
    ToSpan as _,
    civil::{Date, Time},
    tz::TimeZone,
};

/// When a business is open.
#[derive(Clone, PartialEq, Debug)]
pub struct Calendar {
    /// Whose clock the hours are by.
    pub timezone: TimeZone,
    /// The hours of each day of the week.
    pub hours: Vec<Opening>,
    /// Days it stays closed.
    pub holidays: BTreeSet<Date>,
}

/// One stretch of opening hours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// ISO 8601: 1 is Monday.
    pub weekday: i8,
    /// By the business's own clock.
    pub opens: Time,
    /// By the business's own clock, later than `opens`.
    pub closes: Time,
}

/// How a service fills the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How long an appointment takes, minutes.
    pub minutes: i32,
    /// Appointments start at whole steps from the opening on, minutes.
    pub step_minutes: i32,
}

/// A stretch of time a resource is taken for, half-open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy {
    /// The resource's number.
    pub resource: i64,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
}

/// A time that can be booked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slot {
    /// When it starts.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// Who is free then.
    pub resources: Vec<i64>,
}

impl Calendar {
    /// The starts of every appointment the hours allow on `day`, with their ends, in order. A time
    /// the clock skips (daylight saving) is left out; of one that comes twice, the first is meant.
    pub fn starts_on(&self, day: Date, pace: Pace) -> Vec<(Timestamp, Timestamp)> {
        if self.holidays.contains(&day) {
            return Vec::new();
        }
        let weekday = day.weekday().to_monday_one_offset();
        let mut starts = Vec::new();
        for opening in self.hours.iter().filter(|o| o.weekday == weekday) {
            let Some(closes) = self.moment(day, opening.closes) else { continue };
            let mut at = day.to_datetime(opening.opens);
            while at.date() == day && at.time() < opening.closes {
                if let Some(start) = self.moment(day, at.time()) {
                    let end = start.plus(minutes(pace.minutes));
                    if end <= closes {
                        starts.push((start, end));
                    }
                }
                at = at.saturating_add(i64::from(pace.step_minutes.max(1)).minutes());
            }
        }
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    /// Whether an appointment may start at `at` at all.
    pub fn allows(&self, at: Timestamp, pace: Pace) -> bool {
        self.starts_on(self.day_of(at), pace).iter().any(|(start, _)| *start == at)
    }

    /// The times from `from` to before `until` at which one of `resources` is free, in order.
    pub fn free(
        &self,
        (from, until): (Timestamp, Timestamp),
        pace: Pace,
        resources: &[i64],
        busy: &[Busy],
    ) -> Vec<Slot> {
        let mut taken: HashMap<i64, Vec<&Busy>> = HashMap::new();
        for b in busy {
            taken.entry(b.resource).or_default().push(b);
        }
        let is_free = |resource: &i64, start: Timestamp, end: Timestamp| {
            taken.get(resource).is_none_or(|stretches| {
                stretches.iter().all(|b| b.ends_at <= start || end <= b.starts_at)
            })
        };
        let mut slots = Vec::new();
        let last = self.day_of(until);
        let mut day = self.day_of(from);
        while day <= last {
            for (starts_at, ends_at) in self.starts_on(day, pace) {
                if starts_at < from || starts_at >= until {
                    continue;
                }
                let resources: Vec<i64> =
                    resources.iter().filter(|r| is_free(r, starts_at, ends_at)).copied().collect();
                if !resources.is_empty() {
                    slots.push(Slot { starts_at, ends_at, resources });
                }
            }
            match day.tomorrow() {
                Ok(next) => day = next,
                Err(_) => break,
            }
        }
        slots
    }

    /// The day of a moment, by the business's own clock.
    pub fn day_of(&self, at: Timestamp) -> Date {
        let moment = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default();
        self.timezone.to_datetime(moment).date()
    }

    /// The moment of a wall-clock time; `None` for one the clock skips.
    fn moment(&self, day: Date, time: Time) -> Option<Timestamp> {
        let wall = day.to_datetime(time);
        let at = self.timezone.to_ambiguous_timestamp(wall).earlier().ok()?;
        // A skipped time comes back as another one.
        (self.timezone.to_datetime(at) == wall).then(|| Timestamp::from_micros(at.as_microsecond()))
    }
}

/// The `count` slots nearest to `wanted`, in the order of time.
pub fn nearest(mut slots: Vec<Slot>, wanted: Timestamp, count: usize) -> Vec<Slot> {
    slots.sort_by_key(|s| s.starts_at.as_micros().abs_diff(wanted.as_micros()));
    slots.truncate(count);
    slots.sort_by_key(|s| s.starts_at);
    slots
}

fn minutes(count: i32) -> std::time::Duration {
    std::time::Duration::from_secs(60 * u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    const HALF_HOUR: Pace = Pace { minutes: 30, step_minutes: 30 };

    fn toronto() -> Calendar {
        let weekdays = 1..=5;
        Calendar {
            timezone: TimeZone::get("America/Toronto").unwrap(),
            hours: weekdays
                .map(|weekday| Opening {
                    weekday,
                    opens: time(9, 0, 0, 0),
                    closes: time(17, 0, 0, 0),
                })
                .collect(),
            holidays: BTreeSet::from([date(2026, 12, 25)]),
        }
    }

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_micros(at.as_microsecond())
    }

    #[test]
    fn a_day_offers_whole_appointments_between_opening_and_closing() {
        let starts = toronto().starts_on(date(2026, 11, 24), HALF_HOUR);
        assert_eq!(starts.len(), 16);
        assert_eq!(starts[0].0, at("2026-11-24T09:00:00-05:00"));
        assert_eq!(starts[15], (at("2026-11-24T16:30:00-05:00"), at("2026-11-24T17:00:00-05:00")));
        let long = Pace { minutes: 60, step_minutes: 30 };
        let last = toronto().starts_on(date(2026, 11, 24), long).pop().unwrap();
        assert_eq!(last.0, at("2026-11-24T16:00:00-05:00"), "it must end before closing");
    }

    #[test]
    fn weekends_and_holidays_offer_nothing() {
        assert!(toronto().starts_on(date(2026, 11, 28), HALF_HOUR).is_empty());
        assert!(toronto().starts_on(date(2026, 12, 25), HALF_HOUR).is_empty());
    }

    #[test]
    fn a_lunch_break_is_kept_free() {
        let mut calendar = toronto();
        calendar.hours = vec![
            Opening { weekday: 2, opens: time(13, 0, 0, 0), closes: time(14, 0, 0, 0) },
            Opening { weekday: 2, opens: time(11, 0, 0, 0), closes: time(12, 0, 0, 0) },
        ];
        let starts = calendar.starts_on(date(2026, 11, 24), HALF_HOUR);
        let hours: Vec<_> =
            starts.iter().map(|(s, _)| s.as_micros() / 1_800_000_000 % 48).collect();
        // In UTC, in half hours.
        assert_eq!(hours, [32, 33, 36, 37]);
    }

    #[test]
    fn the_clock_that_changes_makes_no_impossible_times() {
        let mut calendar = toronto();
        calendar.hours =
            vec![Opening { weekday: 7, opens: time(1, 0, 0, 0), closes: time(4, 0, 0, 0) }];
        // 02:00 to 03:00 is skipped.
        let spring = calendar.starts_on(date(2026, 3, 8), HALF_HOUR);
        assert_eq!(spring.len(), 4, "{spring:?}");
        assert!(spring.windows(2).all(|w| w[0].1 <= w[1].0), "{spring:?}");
        // 01:00 to 02:00 comes twice: the first is meant, and nothing overlaps.
        let autumn = calendar.starts_on(date(2026, 11, 1), HALF_HOUR);
        assert_eq!(autumn.len(), 6);
        assert!(autumn.windows(2).all(|w| w[0].1 <= w[1].0), "{autumn:?}");
    }

    #[test]
    fn a_time_is_free_while_any_resource_is() {
        let day = (at("2026-11-24T00:00:00-05:00"), at("2026-11-25T00:00:00-05:00"));
        let busy = |resource, from: &str, to: &str| Busy {
            resource,
            starts_at: at(&format!("2026-11-24T{from}:00-05:00")),
            ends_at: at(&format!("2026-11-24T{to}:00-05:00")),
        };
        let taken =
            [busy(1, "09:00", "10:00"), busy(2, "09:30", "10:00"), busy(1, "16:45", "18:00")];
        let free = toronto().free(day, HALF_HOUR, &[1, 2], &taken);
        assert_eq!(free.len(), 15, "only half past nine is gone");
        assert_eq!(free[0].resources, [2]);
        assert_eq!(free[1].resources, [1, 2]);
        assert_eq!(free.last().unwrap().resources, [2], "the last one overlaps on 1");
    }

    #[test]
    fn the_nearest_times_are_offered_in_order() {
        let day = (at("2026-11-24T00:00:00-05:00"), at("2026-11-25T00:00:00-05:00"));
        let free = toronto().free(day, HALF_HOUR, &[1], &[]);
        let offers = nearest(free, at("2026-11-24T14:10:00-05:00"), 2);
        let starts: Vec<_> = offers.iter().map(|s| s.starts_at).collect();
        assert_eq!(starts, [at("2026-11-24T14:00:00-05:00"), at("2026-11-24T14:30:00-05:00")]);
    }
}
