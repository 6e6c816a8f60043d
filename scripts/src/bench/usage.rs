//! What processes use of the machine, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

/// The kernel counts processor time for user space in hundredths of a second, whatever its own tick is.
const TICKS_PER_SECOND: u64 = 100;

/// A process to watch.
#[derive(Debug, Clone)]
pub struct Process {
    /// Such as `edge-1`.
    pub name: String,
    /// Its id.
    pub pid: i32,
}

impl Process {
    /// What the tasks of one service, or the processes of one store, have in common: `edge` of `edge-1`.
    pub(crate) fn kind(&self) -> &str {
        match self.name.rsplit_once('-') {
            Some((kind, number)) if number.bytes().all(|b| b.is_ascii_digit()) => kind,
            _ => &self.name,
        }
    }
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Processor time, user and system, of all its threads, those that ended too.
    pub(crate) cpu: Duration,
    /// Its proportional share of memory, bytes: pages it shares with others are split among them.
    pub(crate) memory: u64,
}

impl Usage {
    /// What `process` and all its descendants use at this moment. A store may work through children.
    pub(crate) fn of(process: &Process) -> anyhow::Result<Self> {
        let mut usage = Self::of_one(process.pid)
            .with_context(|| format!("read what {} uses", process.name))?;
        for child in children(process.pid) {
            // One that has ended meanwhile uses nothing.
            let used = Self::of_one(child).unwrap_or_default();
            usage.cpu += used.cpu;
            usage.memory += used.memory;
        }
        Ok(usage)
    }

    fn of_one(pid: i32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read its times")?;
        let rollup =
            fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("read its memory")?;
        Self::parse(&stat, &rollup).context("understand what the kernel counts")
    }

    fn parse(stat: &str, rollup: &str) -> Option<Self> {
        // `pid (name) state ...`, where the name may hold anything, brackets too. `utime` is the 14th field.
        let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let cpu = Duration::from_millis((ticks()? + ticks()?) * 1000 / TICKS_PER_SECOND);
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        let kib: u64 = pss.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(Self { cpu, memory: kib * 1024 })
    }
}

/// What every process of a mesh had used at one moment.
pub(super) struct Sample {
    at: Instant,
    uses: Vec<Usage>,
}

impl Sample {
    /// As it is now, in the order of `processes`.
    pub(super) fn take(processes: &[Process]) -> anyhow::Result<Self> {
        let uses = processes.iter().map(Usage::of).collect::<anyhow::Result<_>>()?;
        Ok(Self { at: Instant::now(), uses })
    }

    /// How many cores the process at `place` kept busy since `before`.
    pub(super) fn cores(&self, before: &Self, place: usize) -> f64 {
        let used = self.uses[place].cpu.saturating_sub(before.uses[place].cpu);
        used.as_secs_f64() / (self.at - before.at).as_secs_f64()
    }

    /// What memory the process at `place` had, bytes.
    pub(super) fn memory(&self, place: usize) -> u64 {
        self.uses[place].memory
    }
}

/// Every process below `pid`.
fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let direct = list.split_whitespace().filter_map(|child| child.parse().ok());
    direct.flat_map(|child| [vec![child], children(child)].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_counts_is_understood() {
        let stat = "12 (tokio (x) 1) S 1 12 12 0 -1 4194560 900 0 0 0 150 50 7 7 20 0 3 0 99";
        let rollup = "5500-7fff ---p 00000000 00:00 0 [rollup]\nRss:  4000 kB\nPss:  3000 kB\n";
        let usage = Usage::parse(stat, rollup).unwrap();
        assert_eq!((usage.cpu, usage.memory), (Duration::from_secs(2), 3000 * 1024));
    }

    #[test]
    fn tasks_of_a_service_are_of_one_kind() {
        let kind = |name: &str| Process { name: name.to_owned(), pid: 1 }.kind().to_owned();
        assert_eq!([kind("edge-1"), kind("edge-12"), kind("redis")], ["edge", "edge", "redis"]);
    }

    #[test]
    fn this_process_has_a_size() {
        let own = Process { name: "own".to_owned(), pid: std::process::id() as i32 };
        assert!(Usage::of(&own).unwrap().memory > 0);
    }
}
