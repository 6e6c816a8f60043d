use std::sync::{
    LazyLock,
    atomic::{AtomicI64, Ordering},
};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A wall clock that differs by more from what the tasks agree on is not believed. Within it the machine's own is finer than
/// what can be told of another.
const BELIEVED_WITHIN: Duration = Duration::from_millis(500);

/// Where the clock that only goes forward began, for this process.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
/// What the clock that all tasks agree on showed at the origin, µs since the epoch.
static AGREED_AT_ORIGIN_US: AtomicI64 = AtomicI64::new(UNKNOWN);
const UNKNOWN: i64 = i64::MIN;

/// A moment in microseconds since the Unix epoch, UTC. Fine enough to stamp the stages of a turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Reads the machine's clock; where that is off from the one that all tasks agree on ([`Timestamp::agree_on`]), reads
    /// that one, for the moments of one task are compared with those of another. Sans-IO code takes the moment as an
    /// argument instead.
    pub fn now() -> Self {
        let wall = Self::from(SystemTime::now());
        match AGREED_AT_ORIGIN_US.load(Ordering::Relaxed) {
            UNKNOWN => wall,
            at_origin_us => wall.unless_off(Self(at_origin_us).plus(ORIGIN.elapsed())),
        }
    }

    /// From now on tasks go by a clock that showed `shown` at `at`, wherever the clock on their own wall is off.
    pub fn agree_on(shown: Self, at: Instant) {
        let origin = *ORIGIN;
        let since = Self(0).plus(at.saturating_duration_since(origin)).0;
        let until = Self(0).plus(origin.saturating_duration_since(at)).0;
        let at_origin_us = shown.0.saturating_sub(since).saturating_add(until);
        AGREED_AT_ORIGIN_US.store(at_origin_us, Ordering::Relaxed);
    }

    /// How far the machine's clock is ahead of the one that all tasks agree on, seconds; `None` before they do.
    pub fn wall_clock_ahead_by() -> Option<f64> {
        let wall = Self::from(SystemTime::now());
        match AGREED_AT_ORIGIN_US.load(Ordering::Relaxed) {
            UNKNOWN => None,
            at_origin_us => {
                let agreed = Self(at_origin_us).plus(ORIGIN.elapsed());
                Some(wall.0.saturating_sub(agreed.0) as f64 / 1e6)
            }
        }
    }

    /// This moment, or `agreed` where the two are too far apart for both to be right.
    fn unless_off(self, agreed: Self) -> Self {
        let apart = self.since(agreed).max(agreed.since(self));
        if apart > BELIEVED_WITHIN { agreed } else { self }
    }

    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(&self) -> i64 {
        self.0
    }

    /// This moment and `later` more.
    pub const fn plus(&self, later: Duration) -> Self {
        Self(self.0.saturating_add(later.as_micros() as i64))
    }

    /// This moment and `earlier` less.
    pub const fn minus(&self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(earlier.as_micros() as i64))
    }

    /// Year, month and day, UTC (proleptic Gregorian).
    pub const fn utc_date(&self) -> (i64, u32, u32) {
        // Days since 1 March of the year 0, in eras of 400 years, so that the leap day comes last.
        let days = self.0.div_euclid(86_400_000_000) + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year + era * 400 + (month <= 2) as i64;
        (year, month as u32, day as u32)
    }

    /// The time from `earlier` to this moment; zero where the clock went backwards.
    pub fn since(&self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(t: SystemTime) -> Self {
        let since = t.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(t: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_micros(u64::try_from(t.0).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_gives_way_to_the_one_that_all_agree_on() {
        let agreed = Timestamp::from_micros(1_800_000_000_000_000);
        for (off_ms, is_believed) in
            [(0, true), (400, true), (-400, true), (600, false), (-8_000, false)]
        {
            let wall = Timestamp::from_micros(agreed.0 + off_ms * 1_000);
            let believed = if is_believed { wall } else { agreed };
            assert_eq!(wall.unless_off(agreed), believed, "{off_ms} ms");
        }
    }

    #[test]
    fn a_moment_has_its_day_also_around_leap_days_and_before_1970() {
        for (seconds, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (951_782_400, (2000, 2, 29)),
            (951_868_800, (2000, 3, 1)),
            (1_795_910_399, (2026, 11, 28)),
            (4_107_542_400, (2100, 3, 1)),
            (4_107_542_399, (2100, 2, 28)),
        ] {
            assert_eq!(Timestamp::from_micros(seconds * 1_000_000).utc_date(), date, "{seconds}");
        }
    }
}
