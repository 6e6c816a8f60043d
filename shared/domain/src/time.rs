use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in microseconds since the Unix epoch, UTC. Fine enough to stamp the stages of a turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Reads the machine's clock. Sans-IO code takes the moment as an argument instead.
    pub fn now() -> Self {
        SystemTime::now().into()
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
