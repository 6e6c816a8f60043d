//! What breaks when. No I/O: a seed is a plan.

use std::fmt;
use std::time::Duration;

use crate::split_mix::SplitMix;

/// Between two blows, ms, at least and at most.
const APART_MS: (u64, u64) = (2_500, 5_500);
/// Who is killed, or told to stop: of each service one at a time.
const TASKS: [&str; 8] = [
    "edge-1",
    "orchestrator-1",
    "voice-1",
    "writer-1",
    "edge-2",
    "orchestrator-2",
    "voice-2",
    "writer-2",
];
/// A service that was hit is left alone so long: a task that is told to stop hands its calls on for up to 10 s, starts again
/// 2 s later, and needs a moment to be ready.
const RECOVERY_MS: u64 = 20_000;
/// Vendors that a blow slows down, by the simulator's names.
const SLOWED: [&str; 4] = ["deepgram", "graph", "openai", "twilio"];
/// Vendors that a blow makes fail, and how often at most. Beyond that a caller would rightly be told that nothing works.
const FAILED: [(&str, u32); 4] = [("deepgram", 2), ("graph", 2), ("openai", 1), ("twilio", 1)];
/// Vendors that a blow lets hang: behind it stands another, so that nobody waits for this one.
const HUNG: [&str; 1] = ["openai"];
/// Longer than anybody waits for a vendor.
const HANGS_MS: u64 = 30_000;
/// Vendors whose answer a blow cuts: the request is made again, or its status tells what came of it.
const CUT_SHORT: [&str; 2] = ["deepgram", "graph"];
/// How far a clock is stepped at most, either way, s. Time servers of one house do not differ by more for long.
const STEP_SECONDS_MAX: u64 = 8;
/// How long a clock stays wrong, ms, at least and at most.
const WRONG_MS: (u64, u64) = (8_000, 25_000);

/// Something that breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blow {
    /// `kill -9` of a task.
    Kill(&'static str),
    /// SIGTERM, as a deploy sends it.
    Stop(&'static str),
    /// Every connection to PostgreSQL falls, and none is to be had.
    CutPostgres(Duration),
    /// PostgreSQL is connected and says nothing.
    SilencePostgres(Duration),
    /// PostgreSQL crashes and starts again.
    RestartPostgres,
    /// Every connection to Redis falls, and none is to be had.
    CutRedis(Duration),
    /// Redis is connected and says nothing.
    SilenceRedis(Duration),
    /// Redis ends and starts again.
    RestartRedis,
    /// The broker answers 503 to everything.
    RefuseQueues(Duration),
    /// The broker does so many things without an answer.
    LoseAnswers(u32),
    /// The broker delivers so many receipts again, after they were deleted.
    DeliverAgain(u32),
    /// S3 stores nothing: the recorder's disk is full.
    FillStorage(Duration),
    /// A task's wall clock is set so many seconds ahead of the others' or, negative, behind them; by none it is right again.
    StepClock {
        /// Whose.
        task: &'static str,
        /// By how many.
        seconds: i64,
    },
    /// A vendor's next answers are late.
    Slow {
        /// Which.
        vendor: &'static str,
        /// How late.
        late: Duration,
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
    /// A vendor's next answer does not come.
    Hang {
        /// Which.
        vendor: &'static str,
        /// How long the vendor takes over it.
        late: Duration,
    },
    /// A vendor does what it is asked, and its answer breaks off.
    CutShort {
        /// Which.
        vendor: &'static str,
    },
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(task) => write!(f, "kill -9 {task}"),
            Self::Stop(task) => write!(f, "stop {task}"),
            Self::CutPostgres(lasting) => {
                write!(f, "PostgreSQL cut for {} ms", lasting.as_millis())
            }
            Self::SilencePostgres(lasting) => {
                write!(f, "PostgreSQL says nothing for {} ms", lasting.as_millis())
            }
            Self::RestartPostgres => write!(f, "PostgreSQL crashes and starts again"),
            Self::CutRedis(lasting) => write!(f, "Redis cut for {} ms", lasting.as_millis()),
            Self::SilenceRedis(lasting) => {
                write!(f, "Redis says nothing for {} ms", lasting.as_millis())
            }
            Self::RestartRedis => write!(f, "Redis ends and starts again"),
            Self::RefuseQueues(lasting) => {
                write!(f, "the broker answers 503 for {} ms", lasting.as_millis())
            }
            Self::LoseAnswers(times) => write!(f, "the broker loses {times} answers"),
            Self::DeliverAgain(times) => write!(f, "the broker delivers {times} receipts again"),
            Self::FillStorage(lasting) => write!(f, "S3 is full for {} ms", lasting.as_millis()),
            Self::StepClock { task, seconds: 0 } => write!(f, "the clock of {task} is right again"),
            Self::StepClock { task, seconds } => {
                write!(f, "the clock of {task} steps by {seconds:+} s")
            }
            Self::Slow { vendor, late, times } => {
                write!(f, "{vendor} {} ms late, {times} times", late.as_millis())
            }
            Self::Fail { vendor, times } => write!(f, "{vendor} fails {times} times"),
            Self::Hang { vendor, .. } => write!(f, "{vendor} gives no answer"),
            Self::CutShort { vendor } => write!(f, "an answer of {vendor} breaks off"),
        }
    }
}

/// What kind of blow: a bag holds each as often as it stands here, and is filled anew when it is empty, so that a plan of
/// three minutes has all.
#[derive(Clone, Copy)]
enum Kind {
    Kill,
    Stop,
    CutPostgres,
    SilencePostgres,
    RestartPostgres,
    CutRedis,
    SilenceRedis,
    RestartRedis,
    RefuseQueues,
    LoseAnswers,
    DeliverAgain,
    FillStorage,
    StepClock,
    Slow,
    Fail,
    Hang,
    CutShort,
}

const BAG: [Kind; 26] = [
    Kind::Kill,
    Kind::Kill,
    Kind::Kill,
    Kind::Kill,
    Kind::Stop,
    Kind::Stop,
    Kind::CutPostgres,
    Kind::SilencePostgres,
    Kind::RestartPostgres,
    Kind::CutRedis,
    Kind::SilenceRedis,
    Kind::RestartRedis,
    Kind::RefuseQueues,
    Kind::RefuseQueues,
    Kind::LoseAnswers,
    Kind::LoseAnswers,
    Kind::DeliverAgain,
    Kind::DeliverAgain,
    Kind::FillStorage,
    Kind::StepClock,
    Kind::StepClock,
    Kind::Slow,
    Kind::Slow,
    Kind::Fail,
    Kind::Hang,
    Kind::CutShort,
];

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
        let mut bag = Vec::new();
        let mut state = State { lasting_ms, ..State::default() };
        let mut at_ms = APART_MS.0;
        while at_ms < lasting_ms {
            if bag.is_empty() {
                bag = BAG.to_vec();
            }
            let kind = bag.swap_remove(random.below(bag.len() as u64) as usize);
            if let Some(blow) = blow(kind, &mut random, &mut state, at_ms) {
                if let Blow::StepClock { task, .. } = blow {
                    let back = Blow::StepClock { task, seconds: 0 };
                    blows.push((Duration::from_millis(state.clock_wrong_until_ms), back));
                }
                blows.push((Duration::from_millis(at_ms), blow));
                at_ms += random.between(APART_MS.0, APART_MS.1);
            }
        }
        blows.sort_by_key(|(at, _)| *at);
        Self { blows }
    }
}

/// What of the blows so far is not over.
#[derive(Default)]
struct State {
    /// When each service was hit last.
    hit_ms: [Option<u64>; 4],
    /// When nothing breaks any more.
    lasting_ms: u64,
    /// One clock is wrong at a time, so that no two differ by more than one is stepped.
    clock_wrong_until_ms: u64,
}

/// One of its kind; none where every service is still recovering, or a clock is wrong already.
fn blow(kind: Kind, random: &mut SplitMix, state: &mut State, at_ms: u64) -> Option<Blow> {
    let ms = |of: u64| Duration::from_millis(of);
    Some(match kind {
        Kind::Kill => Blow::Kill(victim(random, &mut state.hit_ms, at_ms)?),
        Kind::Stop => Blow::Stop(victim(random, &mut state.hit_ms, at_ms)?),
        Kind::CutPostgres => Blow::CutPostgres(ms(random.between(500, 3_000))),
        Kind::SilencePostgres => Blow::SilencePostgres(ms(random.between(1_000, 5_000))),
        Kind::RestartPostgres => Blow::RestartPostgres,
        Kind::CutRedis => Blow::CutRedis(ms(random.between(300, 2_000))),
        Kind::SilenceRedis => Blow::SilenceRedis(ms(random.between(500, 3_000))),
        Kind::RestartRedis => Blow::RestartRedis,
        Kind::RefuseQueues => Blow::RefuseQueues(ms(random.between(300, 2_500))),
        Kind::LoseAnswers => Blow::LoseAnswers(random.between(1, 5) as u32),
        Kind::DeliverAgain => Blow::DeliverAgain(random.between(2, 9) as u32),
        Kind::FillStorage => Blow::FillStorage(ms(random.between(2_000, 8_000))),
        Kind::StepClock => {
            if at_ms < state.clock_wrong_until_ms {
                return None;
            }
            let until_ms = at_ms + random.between(WRONG_MS.0, WRONG_MS.1);
            state.clock_wrong_until_ms = until_ms.min(state.lasting_ms);
            let task = TASKS[random.below(TASKS.len() as u64) as usize];
            let by = random.between(1, STEP_SECONDS_MAX + 1) as i64;
            Blow::StepClock { task, seconds: if random.below(2) == 0 { by } else { -by } }
        }
        Kind::Slow => Blow::Slow {
            vendor: SLOWED[random.below(SLOWED.len() as u64) as usize],
            late: ms(random.between(200, 1_500)),
            times: random.between(1, 5) as u32,
        },
        Kind::Fail => {
            let (vendor, most) = FAILED[random.below(FAILED.len() as u64) as usize];
            Blow::Fail { vendor, times: random.between(1, u64::from(most) + 1) as u32 }
        }
        Kind::Hang => Blow::Hang {
            vendor: HUNG[random.below(HUNG.len() as u64) as usize],
            late: ms(HANGS_MS),
        },
        Kind::CutShort => {
            Blow::CutShort { vendor: CUT_SHORT[random.below(CUT_SHORT.len() as u64) as usize] }
        }
    })
}

/// A task of a service that has recovered from the blow before.
fn victim(
    random: &mut SplitMix,
    hit_ms: &mut [Option<u64>; 4],
    at_ms: u64,
) -> Option<&'static str> {
    let first = random.below(TASKS.len() as u64) as usize;
    let has_recovered =
        |task: &usize| hit_ms[task % 4].is_none_or(|hit| at_ms >= hit + RECOVERY_MS);
    let task = (0..TASKS.len()).map(|next| (first + next) % TASKS.len()).find(has_recovered)?;
    hit_ms[task % 4] = Some(at_ms);
    Some(TASKS[task])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(task: &str) -> &str {
        task.split('-').next().unwrap()
    }

    #[test]
    fn a_seed_is_a_plan_and_another_seed_another() {
        let plan = |seed| Plan::of(seed, Duration::from_secs(180));
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn three_minutes_have_every_kind_of_blow() {
        for seed in 0..200 {
            let plan = Plan::of(seed, Duration::from_secs(180));
            let kinds: std::collections::HashSet<_> =
                plan.blows.iter().map(|(_, blow)| std::mem::discriminant(blow)).collect();
            assert_eq!(kinds.len(), 17, "seed {seed}: {plan:#?}");
        }
    }

    #[test]
    fn one_clock_is_wrong_at_a_time_and_becomes_right_again() {
        for seed in 0..200 {
            let mut wrong = None;
            for (_, blow) in Plan::of(seed, Duration::from_secs(300)).blows {
                let Blow::StepClock { task, seconds } = blow else { continue };
                assert!(seconds.abs() <= 8, "seed {seed}: {seconds}");
                let before = std::mem::replace(&mut wrong, (seconds != 0).then_some(task));
                assert_eq!(before, (seconds == 0).then_some(task), "seed {seed}");
            }
            assert_eq!(wrong, None, "seed {seed}");
        }
    }

    #[test]
    fn a_service_is_not_hit_again_before_it_has_recovered() {
        for seed in 0..200 {
            let mut last = std::collections::HashMap::new();
            for (at, blow) in Plan::of(seed, Duration::from_secs(300)).blows {
                let (Blow::Kill(task) | Blow::Stop(task)) = blow else { continue };
                if let Some(before) = last.insert(service(task), at) {
                    assert!(at - before >= Duration::from_millis(RECOVERY_MS), "seed {seed}");
                }
            }
        }
    }
}
