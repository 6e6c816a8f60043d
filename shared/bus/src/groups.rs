//! Which message may start: one of a group at a time, in the order received. No I/O.

use std::collections::{HashMap, VecDeque};

/// Messages waiting for the one before them in their group.
pub(crate) struct Groups<T> {
    /// A group is here while one of its messages runs.
    running: HashMap<String, VecDeque<T>>,
    waiting: usize,
}

impl<T> Default for Groups<T> {
    fn default() -> Self {
        Self { running: HashMap::new(), waiting: 0 }
    }
}

impl<T> Groups<T> {
    /// Takes a message; returns it when nothing of its group runs and it may start now.
    pub(crate) fn push(&mut self, group: &str, message: T) -> Option<T> {
        if let Some(queue) = self.running.get_mut(group) {
            queue.push_back(message);
            self.waiting += 1;
            return None;
        }
        self.running.insert(group.to_owned(), VecDeque::new());
        Some(message)
    }

    /// The running message of `group` is through; returns the next, which starts now.
    pub(crate) fn next(&mut self, group: &str) -> Option<T> {
        let next = self.running.get_mut(group).and_then(VecDeque::pop_front);
        match next {
            Some(_) => self.waiting -= 1,
            None => {
                self.running.remove(group);
            }
        }
        next
    }

    /// The running message of `group` goes back to the broker; returns those behind it, which must
    /// go back with it.
    pub(crate) fn give_up(&mut self, group: &str) -> Vec<T> {
        let behind = self.running.remove(group).unwrap_or_default();
        self.waiting -= behind.len();
        behind.into()
    }

    /// Everything that has not started, in order within each group.
    pub(crate) fn drain_waiting(&mut self) -> Vec<T> {
        self.waiting = 0;
        self.running.values_mut().flat_map(std::mem::take).collect()
    }

    /// Messages held: running and waiting.
    pub(crate) fn len(&self) -> usize {
        self.running.len() + self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_group_at_a_time_in_order_and_groups_side_by_side() {
        let mut g = Groups::default();
        assert_eq!(g.push("a", 1), Some(1));
        assert_eq!(g.push("a", 2), None);
        assert_eq!(g.push("b", 3), Some(3));
        assert_eq!(g.push("a", 4), None);
        assert_eq!(g.len(), 4);
        assert_eq!(g.next("a"), Some(2));
        assert_eq!(g.next("a"), Some(4));
        assert_eq!(g.next("a"), None);
        assert_eq!(g.push("a", 5), Some(5));
        assert_eq!(g.len(), 2);
    }

    #[test]
    fn those_behind_a_failed_message_do_not_overtake_it() {
        let mut g = Groups::default();
        assert_eq!(g.push("a", 1), Some(1));
        assert_eq!(g.push("a", 2), None);
        assert_eq!(g.push("a", 3), None);
        assert_eq!(g.give_up("a"), [2, 3]);
        assert_eq!(g.len(), 0);
        assert_eq!(g.push("a", 1), Some(1));
    }

    #[test]
    fn draining_leaves_only_what_runs() {
        let mut g = Groups::default();
        for n in 1..=3 {
            g.push("a", n);
        }
        assert_eq!(g.drain_waiting(), [2, 3]);
        assert_eq!(g.len(), 1);
        assert_eq!(g.next("a"), None);
    }
}
