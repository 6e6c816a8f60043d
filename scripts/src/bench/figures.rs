//! Durations made into figures.

use std::time::Duration;

use domain::Stage;
use serde::Serialize;

/// How a duration is spread over many measurements, milliseconds. Percentiles are measured values (nearest rank).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// How many were measured.
    pub count: usize,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// All but one in twenty took no longer.
    pub p95_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Spread {
    /// The spread of `samples`; `None` where there are none.
    #[must_use]
    pub fn of(mut samples: Vec<Duration>) -> Option<Self> {
        samples.sort_unstable();
        let at = |percent: usize| {
            let rank = (samples.len() * percent).div_ceil(100).max(1);
            samples.get(rank - 1).map(|d| d.as_secs_f64() * 1000.0)
        };
        Some(Self { count: samples.len(), p50_ms: at(50)?, p95_ms: at(95)?, max_ms: at(100)? })
    }
}

/// The time between two stages of a turn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hop {
    /// The earlier stage.
    pub from: &'static str,
    /// The later stage.
    pub to: &'static str,
    /// How long it took.
    pub took: Spread,
}

impl Hop {
    /// The time from `from` to `to` over the turns that reached both; `None` where none did.
    fn between(turns: &[Vec<Stage>], from: &'static str, to: &'static str) -> Option<Self> {
        let took = turns.iter().filter_map(|stages| Some(at(stages, to)?.since(at(stages, from)?)));
        Some(Self { from, to, took: Spread::of(took.collect())? })
    }
}

/// Where the time of many turns went: from the first of some stages to the last, and from each to the next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Waterfall {
    /// From the first stage to the last.
    pub whole: Hop,
    /// From each stage to the next.
    pub hops: Vec<Hop>,
}

impl Waterfall {
    /// What `turns` took from each of `stages` to the next; `None` where no turn reached the first and the last.
    #[must_use]
    pub fn of(turns: &[Vec<Stage>], stages: &[&'static str]) -> Option<Self> {
        let whole = Hop::between(turns, stages.first()?, stages.last()?)?;
        let pairs = stages.windows(2);
        let hops = pairs.filter_map(|pair| Hop::between(turns, pair[0], pair[1])).collect();
        Some(Self { whole, hops })
    }
}

/// Twice and four times the load bring less than this much more: the knee.
const WORTH_DOUBLING: f64 = 1.1;

/// Whether the load, doubled from each of `rates` to the next, is past the knee. One step without gain is not taken for it: that
/// may be the machine's other work.
pub(super) fn is_past_the_knee(rates: &[f64]) -> bool {
    matches!(rates, [.., before, last, latest] if last.max(*latest) < before * WORTH_DOUBLING)
}

/// When a stage was reached.
pub(super) fn at(stages: &[Stage], name: &str) -> Option<domain::Timestamp> {
    stages.iter().find(|stage| stage.name == name).map(|stage| stage.at)
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    fn ms(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        values.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let spread = Spread::of(ms((1..=20).rev())).unwrap();
        assert_eq!((spread.p50_ms, spread.p95_ms, spread.max_ms), (10.0, 19.0, 20.0));
        let one = Spread::of(ms([7])).unwrap();
        assert_eq!((one.count, one.p50_ms, one.p95_ms, one.max_ms), (1, 7.0, 7.0, 7.0));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn one_doubling_without_gain_is_no_knee_and_two_are() {
        assert!(!is_past_the_knee(&[100.0, 105.0]));
        assert!(!is_past_the_knee(&[100.0, 105.0, 150.0]));
        assert!(is_past_the_knee(&[50.0, 100.0, 105.0, 109.0]));
    }

    fn turn(stages: &[(&'static str, i64)]) -> Vec<Stage> {
        let stage = |&(name, ms)| Stage::new(name, Timestamp::from_micros(ms * 1000));
        stages.iter().map(stage).collect()
    }

    #[test]
    fn a_turn_that_lacks_a_stage_counts_where_it_can() {
        let turns = [turn(&[("a", 0), ("b", 2), ("c", 10)]), turn(&[("a", 5), ("c", 9)])];
        let found = Waterfall::of(&turns, &["a", "b", "c"]).unwrap();
        assert_eq!((found.whole.took.count, found.whole.took.max_ms), (2, 10.0));
        let hops: Vec<_> = found.hops.iter().map(|h| (h.took.count, h.took.max_ms)).collect();
        assert_eq!(hops, [(1, 2.0), (1, 8.0)]);
        assert_eq!(Waterfall::of(&turns[1..], &["b", "c"]), None);
    }
}
