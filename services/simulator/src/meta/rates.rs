//! How fast Meta takes messages (PROTOCOLS 2.4): from one number, and from one number to one person.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// More messages from one number than it takes.
pub(super) const NUMBER_CODE: u32 = 130_429;
/// More messages to one person.
pub(super) const PAIR_CODE: u32 = 131_056;

/// What is taken: so many at once, then one for each interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// From one number: one message in so long, microseconds.
    pub number_interval_us: u64,
    /// So many at once.
    pub number_burst: u32,
    /// From one number to one person: one message in so long, microseconds.
    pub pair_interval_us: u64,
    /// So many at once.
    pub pair_burst: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            number_interval_us: 12_500,
            number_burst: 80,
            pair_interval_us: 6_000_000,
            pair_burst: 45,
        }
    }
}

/// What was taken lately: by name, the moment up to which the places are given away at an even pace.
#[derive(Debug, Default)]
pub(super) struct Taken(HashMap<String, Instant>);

impl Taken {
    /// Takes a message from `number` to `person`, unless that is over a rate; its code then.
    pub(super) fn take(
        &mut self,
        rates: Rates,
        number: &str,
        person: &str,
        now: Instant,
    ) -> Result<(), u32> {
        let lines = [
            (number.to_owned(), rates.number_interval_us, rates.number_burst, NUMBER_CODE),
            (format!("{number}:{person}"), rates.pair_interval_us, rates.pair_burst, PAIR_CODE),
        ];
        for (name, interval_us, burst, code) in &lines {
            let borrowed = Duration::from_micros(interval_us * u64::from(burst.saturating_sub(1)));
            if self.0.get(name).is_some_and(|next| *next > now + borrowed) {
                return Err(*code);
            }
        }
        for (name, interval_us, _, _) in lines {
            let next = self.0.entry(name).or_insert(now);
            *next = (*next).max(now) + Duration::from_micros(interval_us);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_gets_a_burst_and_then_one_in_six_seconds() {
        let (mut taken, t0, rates) = (Taken::default(), Instant::now(), Rates::default());
        for _ in 0..45 {
            taken.take(rates, "106", "1555", t0).unwrap();
        }
        assert_eq!(taken.take(rates, "106", "1555", t0), Err(PAIR_CODE));
        assert_eq!(taken.take(rates, "106", "1556", t0), Ok(()), "another person");
        let later = t0 + Duration::from_secs(6);
        assert_eq!(taken.take(rates, "106", "1555", later), Ok(()));
        assert_eq!(taken.take(rates, "106", "1555", later), Err(PAIR_CODE));
    }

    #[test]
    fn a_number_sends_eighty_a_second() {
        let (mut taken, t0, rates) = (Taken::default(), Instant::now(), Rates::default());
        let mut took = 0;
        for ms in 0..1000_u64 {
            let now = t0 + Duration::from_millis(ms);
            took += u32::from(taken.take(rates, "106", &ms.to_string(), now).is_ok());
        }
        assert_eq!(took, 80 + 79, "those of the first moment, and one for each interval");
        assert_eq!(taken.take(rates, "107", "1", t0), Ok(()), "another number");
    }
}
