//! Events of requests that come at the same time, published in one request to the broker: what a publish costs is mostly
//! the request, whatever is in it.
//!
//! A request that comes alone does not wait for others, but for the statuses of what was sent: they are most of what comes,
//! nobody waits for them, and they are left a moment to come together. Events of one conversation are never on their way
//! twice at a time, so that they keep the order in which they came.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::anyhow;
use bus::{Bus, SendError};
use domain::{ConversationId, Envelope, Payload};
use futures::future::join_all;
use tokio::sync::oneshot;

/// The broker takes so many in one request.
const MOST_TOGETHER: usize = 10;
/// So many requests to the broker are under way before others wait for company, while events come one by one. Once they come
/// together, one: what waits for it goes together in its turn.
const AT_ONCE_EAGERLY: usize = 2;
/// What can wait is left so long to come together. Meta waits seconds for the answer (PROTOCOLS 2.1).
const GATHERED_FOR: Duration = Duration::from_millis(50);
/// So many at most, each full.
const AT_ONCE: usize = 32;

/// Publishes the events of many requests. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    bus: Bus,
    line: Arc<Mutex<Line<Waiting>>>,
}

struct Waiting {
    events: Vec<Envelope>,
    told: oneshot::Sender<Result<(), SendError>>,
}

impl Publisher {
    /// Publishes through `bus`.
    pub fn new(bus: Bus) -> Self {
        Self { bus, line: Arc::default() }
    }

    /// Publishes `events`, in order. `Ok` only when the broker has taken all of them; after an error some may have been
    /// taken, and publishing all again is right.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub async fn publish(&self, events: Vec<Envelope>) -> Result<(), SendError> {
        let (told, outcome) = oneshot::channel();
        let of: Vec<ConversationId> = events.iter().map(|e| e.conversation).collect();
        let urgency = urgency_of(&events);
        let start = {
            let mut line = self.line();
            line.push(of, urgency, Waiting { events, told });
            line.wants_start(urgency)
        };
        // Not within the request, which may be given up while others depend on it; and so after those whose answer from
        // Redis came with this one's.
        let publisher = self.clone();
        match start {
            Start::Now => drop(tokio::spawn(async move {
                let first = publisher.line().start();
                publisher.work(first).await;
            })),
            Start::Later => drop(tokio::spawn(async move {
                tokio::time::sleep(GATHERED_FOR).await;
                let first = publisher.line().gathered();
                publisher.work(first).await;
            })),
            Start::Not => {}
        }
        outcome.await.unwrap_or_else(|_| Err(anyhow!("the task ends").into()))
    }

    async fn work(self, mut next: Option<Batch<Waiting>>) {
        while let Some(Batch { conversations, items }) = next {
            self.publish_together(items).await;
            let mut line = self.line();
            line.done(&conversations);
            next = line.next();
        }
    }

    async fn publish_together(&self, mut items: Vec<Waiting>) {
        if let [only] = items.as_slice() {
            let outcome = self.bus.publish(&only.events).await;
            if let Some(only) = items.pop() {
                let _ = only.told.send(outcome);
            }
            return;
        }
        let lengths: Vec<usize> = items.iter().map(|item| item.events.len()).collect();
        let mut all: Vec<Envelope> =
            items.iter_mut().flat_map(|item| std::mem::take(&mut item.events)).collect();
        if self.bus.publish(&all).await.is_ok() {
            for item in items {
                let _ = item.told.send(Ok(()));
            }
            return;
        }
        // One that the broker will never take must not keep the others from it.
        let apart = items.into_iter().zip(lengths).map(|(item, length)| {
            let events: Vec<Envelope> = all.drain(..length).collect();
            async move {
                let _ = item.told.send(self.bus.publish(&events).await);
            }
        });
        let apart: Vec<_> = apart.collect();
        join_all(apart).await;
    }

    fn line(&self) -> MutexGuard<'_, Line<Waiting>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody waits for an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Urgency {
    Presses,
    CanWait,
}

fn urgency_of(events: &[Envelope]) -> Urgency {
    let is_status = |event: &Envelope| matches!(event.payload, Payload::DeliveryUpdated(_));
    if events.iter().all(is_status) { Urgency::CanWait } else { Urgency::Presses }
}

/// Whether a task is to take a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    /// There are enough.
    Not,
    /// As soon as it runs, by [`Line::start`].
    Now,
    /// After [`GATHERED_FOR`], by [`Line::gathered`].
    Later,
}

/// What waits to be published, and what is under way. No I/O.
struct Line<T> {
    waiting: VecDeque<(Vec<ConversationId>, Urgency, T)>,
    waiting_events: usize,
    /// Items that wait and cannot.
    pressing: usize,
    /// A task will take what can wait.
    is_gathering: bool,
    under_way: HashSet<ConversationId>,
    batches: usize,
    /// How many requests' events went together last.
    last_together: usize,
    /// Tasks that will take a batch as soon as they run.
    starting: usize,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_events: 0,
            pressing: 0,
            is_gathering: false,
            under_way: HashSet::new(),
            batches: 0,
            last_together: 0,
            starting: 0,
        }
    }
}

/// What goes together.
struct Batch<T> {
    conversations: Vec<ConversationId>,
    items: Vec<T>,
}

impl<T> Line<T> {
    /// Adds an item with events of these conversations, one for each event.
    fn push(&mut self, of: Vec<ConversationId>, urgency: Urgency, item: T) {
        self.waiting_events += of.len();
        self.pressing += usize::from(urgency == Urgency::Presses);
        self.waiting.push_back((of, urgency, item));
    }

    /// Whether another task is to take a batch, now that an item of this urgency came.
    fn wants_start(&mut self, came: Urgency) -> Start {
        let busy = self.batches + self.starting;
        let is_full = self.waiting_events >= MOST_TOGETHER * (self.starting + 1);
        let is_eager = came == Urgency::Presses && busy < self.eagerly();
        if is_eager || (is_full && busy < AT_ONCE) {
            self.starting += 1;
            Start::Now
        } else if came == Urgency::CanWait && !self.is_gathering {
            self.is_gathering = true;
            Start::Later
        } else {
            Start::Not
        }
    }

    /// What a task that was wanted is to publish.
    fn start(&mut self) -> Option<Batch<T>> {
        self.starting -= 1;
        self.next()
    }

    /// What is to be published of what could wait, and of what came meanwhile.
    fn gathered(&mut self) -> Option<Batch<T>> {
        self.is_gathering = false;
        self.next()
    }

    /// What is to be published now. What can wait is left to the task that gathers, while there is one, unless it goes along.
    fn next(&mut self) -> Option<Batch<T>> {
        let is_eager = self.batches < self.eagerly() && (self.pressing > 0 || !self.is_gathering);
        let is_full = self.waiting_events >= MOST_TOGETHER && self.batches < AT_ONCE;
        if !is_eager && !is_full {
            return None;
        }
        let (mut chosen, mut conversations) = (Vec::new(), Vec::new());
        // Those of an item that has to wait, so that no later one overtakes it.
        let mut kept_back = HashSet::new();
        for (place, (of, _, _)) in self.waiting.iter().enumerate() {
            let waits = of.iter().any(|c| self.under_way.contains(c) || kept_back.contains(c));
            let fits = chosen.is_empty() || conversations.len() + of.len() <= MOST_TOGETHER;
            if waits || !fits {
                kept_back.extend(of.iter().copied());
                continue;
            }
            chosen.push(place);
            conversations.extend(of.iter().copied());
            if conversations.len() >= MOST_TOGETHER {
                break;
            }
        }
        if chosen.is_empty() || !(is_eager || conversations.len() >= MOST_TOGETHER) {
            return None;
        }
        // From the last, so that the places of the others stay.
        let taken = chosen.iter().rev().filter_map(|place| self.waiting.remove(*place));
        let (urgencies, mut items): (Vec<Urgency>, Vec<T>) =
            taken.map(|(_, urgency, item)| (urgency, item)).unzip();
        items.reverse();
        self.pressing -= urgencies.iter().filter(|u| **u == Urgency::Presses).count();
        self.waiting_events -= conversations.len();
        self.under_way.extend(conversations.iter().copied());
        self.batches += 1;
        self.last_together = items.len();
        Some(Batch { conversations, items })
    }

    fn eagerly(&self) -> usize {
        if self.last_together > 1 { 1 } else { AT_ONCE_EAGERLY }
    }

    /// A batch of these is published, or failed.
    fn done(&mut self, conversations: &[ConversationId]) {
        for conversation in conversations {
            self.under_way.remove(conversation);
        }
        self.batches -= 1;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Urgency::*, *};

    fn chat(n: u128) -> ConversationId {
        ConversationId::from_uuid(Uuid::from_u128(n))
    }

    fn line_of(items: &[(&str, &[u128])]) -> Line<String> {
        let mut line = Line::default();
        for (name, of) in items {
            line.push(of.iter().map(|n| chat(*n)).collect(), Presses, (*name).to_owned());
        }
        line
    }

    fn names(batch: Option<&Batch<String>>) -> Vec<&str> {
        batch.map(|b| b.items.iter().map(String::as_str).collect()).unwrap_or_default()
    }

    #[test]
    fn who_comes_alone_does_not_wait_and_who_comes_meanwhile_goes_together() {
        let mut line = line_of(&[("a", &[1])]);
        let first = line.next().unwrap();
        assert_eq!(names(Some(&first)), ["a"]);
        line.push(vec![chat(2)], Presses, "b".into());
        let second = line.next().unwrap();
        line.push(vec![chat(3)], Presses, "c".into());
        line.push(vec![chat(4)], Presses, "d".into());
        assert!(line.next().is_none(), "two are under way: company is waited for");
        line.done(&first.conversations);
        assert_eq!(names(line.next().as_ref()), ["c", "d"]);
        line.done(&second.conversations);
        assert!(line.next().is_none());
    }

    #[test]
    fn where_events_come_together_the_next_wait_for_one_request_and_not_for_two() {
        let mut line = line_of(&[("a", &[1]), ("b", &[2])]);
        let together = line.next().unwrap();
        line.push(vec![chat(3)], Presses, "c".into());
        assert!(line.next().is_none());
        line.push(vec![chat(4)], Presses, "d".into());
        line.done(&together.conversations);
        let together = line.next().unwrap();
        assert_eq!(names(Some(&together)), ["c", "d"]);
        line.push(vec![chat(5)], Presses, "e".into());
        line.done(&together.conversations);
        assert_eq!(names(line.next().as_ref()), ["e"]);
        line.push(vec![chat(6)], Presses, "f".into());
        assert_eq!(names(line.next().as_ref()), ["f"], "they come one by one again");
    }

    #[test]
    fn no_more_tasks_are_started_than_find_something_to_do() {
        let mut line = line_of(&[("a", &[1])]);
        assert_eq!(line.wants_start(Presses), Start::Now);
        line.push(vec![chat(2)], Presses, "b".into());
        assert_eq!(line.wants_start(Presses), Start::Now);
        line.push(vec![chat(3)], Presses, "c".into());
        assert_eq!(line.wants_start(Presses), Start::Not, "two are enough until there is more");
        assert_eq!(names(line.start().as_ref()), ["a", "b", "c"], "what came meanwhile goes along");
        assert!(line.start().is_none());
        assert_eq!((line.batches, line.starting), (1, 0));
    }

    #[test]
    fn what_can_wait_goes_together_and_along_with_what_cannot() {
        let mut line = Line::default();
        line.push(vec![chat(1)], CanWait, "sent");
        assert_eq!(line.wants_start(CanWait), Start::Later);
        line.push(vec![chat(2)], CanWait, "read");
        assert_eq!(line.wants_start(CanWait), Start::Not, "one task gathers");
        assert!(line.next().is_none(), "nor does a task that is done take them before");
        let gathered = line.gathered().unwrap();
        assert_eq!(gathered.items, ["sent", "read"]);
        line.done(&gathered.conversations);

        line.push(vec![chat(1)], CanWait, "delivered");
        assert_eq!(line.wants_start(CanWait), Start::Later);
        line.push(vec![chat(3)], Presses, "a message");
        assert_eq!(line.wants_start(Presses), Start::Now);
        assert_eq!(line.start().unwrap().items, ["delivered", "a message"]);
        assert!(line.gathered().is_none());
    }

    #[test]
    fn what_could_not_be_gathered_goes_with_the_end_of_what_it_waits_for() {
        let mut line = Line::default();
        line.push(vec![chat(1)], Presses, "a message");
        let message = line.next().unwrap();
        line.push(vec![chat(1)], CanWait, "its status");
        assert_eq!(line.wants_start(CanWait), Start::Later);
        assert!(line.gathered().is_none(), "its conversation is under way");
        line.done(&message.conversations);
        assert_eq!(line.next().unwrap().items, ["its status"]);
    }

    #[test]
    fn a_full_batch_of_what_can_wait_does_not() {
        let mut line = Line::default();
        let wanted = (0..10).map(|n| {
            line.push(vec![chat(n)], CanWait, n);
            line.wants_start(CanWait)
        });
        let wanted: Vec<Start> = wanted.collect();
        assert_eq!((wanted[0], wanted[1], wanted[9]), (Start::Later, Start::Not, Start::Now));
        assert_eq!(line.start().unwrap().items.len(), MOST_TOGETHER);
    }

    #[test]
    fn a_full_batch_does_not_wait_for_those_under_way() {
        let mut line = line_of(&[("a", &[1])]);
        let _under_way = line.next().unwrap();
        line.push(vec![chat(3)], Presses, "c".into());
        let _too = line.next().unwrap();
        for n in 10..20 {
            assert!(line.next().is_none());
            line.push(vec![chat(n)], Presses, n.to_string());
        }
        assert_eq!(line.next().unwrap().items.len(), MOST_TOGETHER);
    }

    #[test]
    fn a_conversation_is_never_under_way_twice_and_keeps_its_order() {
        let mut line = line_of(&[("first", &[1])]);
        let first = line.next().unwrap();
        // The second of both is held back by the first, and holds back the third of the other.
        line.push(vec![chat(1), chat(2)], Presses, "second".into());
        line.push(vec![chat(2)], Presses, "third".into());
        line.push(vec![chat(3)], Presses, "of another".into());
        let another = line.next().unwrap();
        assert_eq!(names(Some(&another)), ["of another"]);
        line.done(&first.conversations);
        assert_eq!(names(line.next().as_ref()), ["second", "third"]);
    }

    #[test]
    fn many_events_of_one_request_go_alone_and_whole() {
        let many: Vec<u128> = (0..25).collect();
        let mut line = line_of(&[("many", &many), ("one", &[99])]);
        assert_eq!(names(line.next().as_ref()), ["many"]);
        assert_eq!(names(line.next().as_ref()), ["one"]);
    }

    #[test]
    fn nothing_is_lost_whatever_comes_when() {
        let mut random = 7_u64;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % bound
        };
        let mut line = Line::default();
        let (mut under_way, mut published) = (Vec::new(), Vec::new());
        let mut is_gathering = false;
        for n in 0..2_000_u64 {
            let urgency = if below(2) == 0 { CanWait } else { Presses };
            line.push(vec![chat(u128::from(below(30)))], urgency, n);
            match line.wants_start(urgency) {
                Start::Now => under_way.extend(line.start()),
                Start::Later => is_gathering = true,
                Start::Not => {}
            }
            if is_gathering && (below(5) == 0 || n == 1_999) {
                under_way.extend(line.gathered());
                is_gathering = false;
            }
            while !under_way.is_empty() && (below(3) == 0 || n == 1_999) {
                let batch: Batch<u64> =
                    under_way.swap_remove(below(under_way.len() as u64) as usize);
                line.done(&batch.conversations);
                published.extend(batch.conversations.into_iter().zip(batch.items));
                under_way.extend(line.next());
            }
        }
        let mut all: Vec<u64> = published.iter().map(|(_, n)| *n).collect();
        all.sort_unstable();
        assert_eq!(all, (0..2_000).collect::<Vec<_>>());
        for c in 0..30 {
            let of: Vec<_> = published.iter().filter(|(of, _)| *of == chat(c)).collect();
            assert!(of.is_sorted_by_key(|(_, n)| *n), "the order of a conversation is kept");
        }
    }
}
