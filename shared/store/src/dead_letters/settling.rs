//! How replays ended: their consumers noted it, and letters that died again tell it themselves.

use std::collections::HashMap;

use anyhow::Context as _;
use domain::{EventId, ReplayEnd, StartCounter};
use tokio_postgres::{Client, Error};

use super::{Archive, DeadLetters};
use crate::{StoreError, plain};

/// Replays asked about at once.
const ASKED_AT_ONCE: usize = 200;

/// The full name of a queue, under which consumers count; `None` of one this release does not have.
type NameOf<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

impl Archive {
    /// Notes which replays have ended, and how. `consumers` knows what was noted under a queue's full name, which `name_of`
    /// gives. False where it cannot be asked.
    ///
    /// # Errors
    /// As [`Store::tenant`](crate::Store::tenant).
    pub async fn settle(
        &self,
        consumers: &dyn StartCounter,
        name_of: NameOf<'_>,
    ) -> Result<bool, StoreError> {
        let client = self.store.client().await?;
        Ok(settle(&client, consumers, name_of).await?)
    }
}

impl DeadLetters {
    /// As [`Archive::settle`], for who works without the services.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn settle(
        &self,
        consumers: &dyn StartCounter,
        name_of: NameOf<'_>,
    ) -> anyhow::Result<bool> {
        settle(&self.client, consumers, name_of).await.context("note how replays ended")
    }
}

async fn settle(
    client: &Client,
    consumers: &dyn StartCounter,
    name_of: NameOf<'_>,
) -> Result<bool, Error> {
    client.execute("SELECT end_replays_that_died()", &[]).await?;
    let rows =
        client.query("SELECT queue, number, event, replays FROM open_replays()", &[]).await?;
    let open: Vec<(String, i64, EventId)> = rows
        .iter()
        .map(|row| {
            let (event, replays) = (EventId::from_uuid(row.get(2)), row.get::<_, i32>(3));
            (row.get(0), row.get(1), event.of_replay(replays.unsigned_abs() + 1))
        })
        .collect();
    let of_queues = open.chunk_by(|(a, ..), (b, ..)| a == b);
    for some in of_queues.flat_map(|of_queue| of_queue.chunks(ASKED_AT_ONCE)) {
        let Some(queue) = some.first().and_then(|(queue, ..)| name_of(queue)) else { continue };
        let replays: Vec<EventId> = some.iter().map(|(.., replay)| *replay).collect();
        let Some(ends) = consumers.replays_ended(&queue, &replays).await else { return Ok(false) };
        let mut ended: HashMap<ReplayEnd, Vec<i64>> = HashMap::new();
        for ((_, number, _), end) in some.iter().zip(ends) {
            if let Some(end) = end {
                ended.entry(end).or_default().push(*number);
            }
        }
        for (end, numbers) in ended {
            let (is_handled, told) = match &end {
                ReplayEnd::Handled => (true, ""),
                ReplayEnd::Failed(why) => (false, why.as_str()),
            };
            let sql = "SELECT end_replays($1, $2, $3)";
            client.execute(sql, &[&numbers, &is_handled, &plain(told)]).await?;
        }
    }
    Ok(true)
}
