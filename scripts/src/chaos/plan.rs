//! What breaks when. No I/O: a seed is a plan.

use std::fmt;
use std::time::Duration;

/// Between two blows, ms, at least and at most.
const APART_MS: (u64, u64) = (2_000, 6_000);
const TASKS: [&str; 8] = [
    "edge-1",
    "edge-2",
    "orchestrator-1",
    "orchestrator-2",
    "voice-1",
    "voice-2",
    "writer-1",
    "writer-2",
];
/// A task that was hit is left alone so long: it starts again after 2 s.
const RECOVERY_MS: u64 = 8_000;

/// Something that breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blow {
    /// `kill -9` of a task.
    Kill(&'static str),
    /// SIGTERM, as a deploy sends it.
    Stop(&'static str),
    /// A vendor's next answers are late.
    Slow {
        /// Which.
        vendor: &'static str,
        /// How late, ms.
        ms: u64,
        /// How many.
        times: u32,
    },
    /// A vendor's next answers are 503.
    Fail {
        /// Which.
        vendor: &'static str,
        /// How many.
        times: u32,
    },
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(task) => write!(f, "kill -9 {task}"),
            Self::Stop(task) => write!(f, "stop {task}"),
            Self::Slow { vendor, ms, times } => write!(f, "{vendor} {ms} ms late, {times} times"),
            Self::Fail { vendor, times } => write!(f, "{vendor} fails {times} times"),
        }
    }
}

/// What breaks, each at its time from the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub blows: Vec<(Duration, Blow)>,
}

impl Plan {
    /// The plan of a seed. Of each service a task is left.
    pub fn of(seed: u64, lasting: Duration) -> Self {
        let mut random = SplitMix(seed);
        let lasting_ms = u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX);
        let mut blows = Vec::new();
        // When each service was hit last.
        let mut hit_ms = [None::<u64>; 4];
        let mut at_ms = APART_MS.0;
        while at_ms < lasting_ms {
            let task = random.below(TASKS.len() as u64) as usize;
            let service = &mut hit_ms[task / 2];
            let recovered = service.is_none_or(|hit| at_ms >= hit + RECOVERY_MS);
            let blow = match random.below(10) {
                0..5 if recovered => Some(Blow::Kill(TASKS[task])),
                5..7 if recovered => Some(Blow::Stop(TASKS[task])),
                7 => Some(Blow::Slow {
                    vendor: ["deepgram", "graph", "openai"][random.below(3) as usize],
                    ms: 200 + random.below(800),
                    times: 1 + random.below(4) as u32,
                }),
                8 => Some(Blow::Fail { vendor: "graph", times: 1 + random.below(2) as u32 }),
                _ => None,
            };
            if let Some(blow) = blow {
                if matches!(blow, Blow::Kill(_) | Blow::Stop(_)) {
                    *service = Some(at_ms);
                }
                blows.push((Duration::from_millis(at_ms), blow));
            }
            at_ms += APART_MS.0 + random.below(APART_MS.1 - APART_MS.0);
        }
        Self { blows }
    }
}

/// Sebastiano Vigna's SplitMix64: small, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_another_seed_another() {
        let plan = |seed| Plan::of(seed, Duration::from_secs(180));
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
        assert!(plan(7).blows.len() > 15, "{:?}", plan(7));
    }

    #[test]
    fn a_service_is_not_hit_again_before_it_has_recovered() {
        for seed in 0..200 {
            let mut last = std::collections::HashMap::new();
            for (at, blow) in Plan::of(seed, Duration::from_secs(300)).blows {
                let (Blow::Kill(task) | Blow::Stop(task)) = blow else { continue };
                let service = task.split('-').next().unwrap();
                if let Some(before) = last.insert(service, at) {
                    assert!(at - before >= Duration::from_millis(RECOVERY_MS), "seed {seed}");
                }
            }
        }
    }
}
