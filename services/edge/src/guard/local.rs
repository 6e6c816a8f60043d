//! Limits and marks of one task alone, for the time without Redis (DESIGN 5): sans-IO, time is an argument.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// Beyond so many keys what has expired is swept; what then remains is real traffic.
const SWEEP_OVER_KEYS: usize = 10_000;

/// Counters and marks in memory.
pub struct LocalMemory {
    hits: HashMap<String, Hits>,
    marks: HashMap<String, Instant>,
    /// How many may be there before the next sweep: twice what was left of the one before, so that a sweep costs each key
    /// little.
    hits_before_sweep: usize,
    marks_before_sweep: usize,
}

impl Default for LocalMemory {
    fn default() -> Self {
        Self {
            hits: HashMap::new(),
            marks: HashMap::new(),
            hits_before_sweep: SWEEP_OVER_KEYS,
            marks_before_sweep: SWEEP_OVER_KEYS,
        }
    }
}

struct Hits {
    window: Duration,
    at: VecDeque<Instant>,
}

impl LocalMemory {
    /// Counts one more hit of `key`, unless `limit` lie within the last `window`: then false.
    pub fn hit(&mut self, key: &str, window: Duration, limit: u32, now: Instant) -> bool {
        if self.hits.len() > self.hits_before_sweep {
            self.hits.retain(|_, h| h.at.back().is_some_and(|&last| now < last + h.window));
            self.hits_before_sweep = SWEEP_OVER_KEYS.max(2 * self.hits.len());
        }
        let hits =
            self.hits.entry(key.to_owned()).or_insert_with(|| Hits { window, at: VecDeque::new() });
        while hits.at.front().is_some_and(|&oldest| now >= oldest + window) {
            hits.at.pop_front();
        }
        let allowed = hits.at.len() < limit as usize;
        if allowed {
            hits.at.push_back(now);
        }
        allowed
    }

    /// Marks `key` for `ttl`; says whether it was marked before. A mark that stands is not prolonged.
    pub fn mark(&mut self, key: &str, ttl: Duration, now: Instant) -> bool {
        if self.marks.len() > self.marks_before_sweep {
            self.marks.retain(|_, &mut until| now < until);
            self.marks_before_sweep = SWEEP_OVER_KEYS.max(2 * self.marks.len());
        }
        if self.is_marked(key, now) {
            return true;
        }
        self.marks.insert(key.to_owned(), now + ttl);
        false
    }

    /// Whether `key` is marked.
    pub fn is_marked(&self, key: &str, now: Instant) -> bool {
        self.marks.get(key).is_some_and(|&until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_limit_counts_the_last_window_and_no_one_else() {
        let (mut memory, t0) = (LocalMemory::default(), Instant::now());
        assert!((0..100).all(|_| memory.hit("ana", MINUTE, 100, t0)));
        assert!(!memory.hit("ana", MINUTE, 100, t0 + MINUTE / 2));
        assert!(memory.hit("bob", MINUTE, 100, t0));
        assert!(memory.hit("ana", MINUTE, 100, t0 + MINUTE));
    }

    #[test]
    fn a_mark_stands_for_its_time() {
        let (mut memory, t0) = (LocalMemory::default(), Instant::now());
        assert!(!memory.mark("token", MINUTE, t0));
        assert!(memory.mark("token", MINUTE, t0 + MINUTE / 2), "the second use is noticed");
        assert!(!memory.is_marked("token", t0 + MINUTE), "a second use prolongs nothing");
    }

    #[test]
    fn what_has_expired_is_swept() {
        let (mut memory, t0) = (LocalMemory::default(), Instant::now());
        for n in 0..=SWEEP_OVER_KEYS {
            memory.hit(&n.to_string(), MINUTE, 1, t0);
            memory.mark(&n.to_string(), MINUTE, t0);
        }
        memory.hit("later", MINUTE, 1, t0 + MINUTE);
        memory.mark("later", MINUTE, t0 + MINUTE);
        assert_eq!((memory.hits.len(), memory.marks.len()), (1, 1));
    }
}
