//! Read marks, as few as say the same: one for what a person writes in a row, since it marks what came before as well
//! (PROTOCOLS 2.3).
//!
//! The first message is marked at once, and that an answer is being written. What follows within a second waits for its end,
//! and is marked alone: by then the answer may be there, after which nobody is writing. While a human has the chat no agent is
//! writing either.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cache::Cache;
use tokio::runtime::Handle;

use crate::channel::{ChannelAdapter, Seen, UserKey};

const IN_A_ROW: Duration = Duration::from_secs(1);

/// Who is marked at the moment, and what waits to be. Cheap to clone.
#[derive(Clone)]
pub struct ReadMarks {
    cache: Cache,
    rows: Arc<Mutex<HashMap<UserKey, Option<Seen>>>>,
}

impl ReadMarks {
    /// Marks of chats that `cache` knows to be with a human or not.
    pub fn new(cache: Cache) -> Self {
        Self { cache, rows: Arc::default() }
    }

    /// Shows `user` that `seen` was. Best effort, and beside the answer: the vendor waits for it.
    pub fn mark(
        &self,
        runtime: &Handle,
        adapter: &Arc<dyn ChannelAdapter>,
        user: UserKey,
        seen: Seen,
    ) {
        match self.rows().entry(user) {
            Entry::Occupied(mut row) => {
                row.insert(Some(Seen { is_answered_now: false, ..seen }));
                return;
            }
            Entry::Vacant(row) => row.insert(None),
        };
        let (marks, adapter) = (self.clone(), adapter.clone());
        runtime.spawn(async move {
            let mut seen = seen;
            // Without Redis the agents answer.
            seen.is_answered_now = seen.is_answered_now
                && !marks.cache.is_with_human(seen.conversation).await.unwrap_or(false);
            adapter.mark_seen(&seen).await;
            loop {
                tokio::time::sleep(IN_A_ROW).await;
                match marks.next_of(user) {
                    Some(seen) => adapter.mark_seen(&seen).await,
                    None => return,
                }
            }
        });
    }

    /// What came last of a row; the row is over where nothing came.
    fn next_of(&self, user: UserKey) -> Option<Seen> {
        let mut rows = self.rows();
        let next = rows.get_mut(&user).and_then(Option::take);
        if next.is_none() {
            rows.remove(&user);
        }
        next
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<UserKey, Option<Seen>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
