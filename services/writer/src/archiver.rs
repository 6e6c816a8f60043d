//! Takes dead letters out of the broker into PostgreSQL, where operators browse and replay them (F5), notes what became of
//! those that were sent again, and forgets what was settled long ago.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use bus::{Bus, DeadLetter, Queue, TraceContext};
use domain::{StartCounter, Timestamp};
use store::{
    Store, StoreError,
    dead_letters::{About, Archive, NewLetter},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a letter lies in the broker at most while all is well.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often letters that were settled long ago are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);
/// Letters forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 1_000;

/// Looks through the dead letters of every queue until `stop`. A letter is removed from the broker once it is kept; while
/// the database is away they stay there. What is settled is forgotten when nothing was done about it for `keep_for`.
/// `consumers` knows how replays ended.
pub async fn run(
    bus: Bus,
    store: Store,
    consumers: Arc<dyn StartCounter>,
    keep_for: Duration,
    stop: CancellationToken,
) {
    let archive = Archive::new(store);
    let mut failing = false;
    let mut forget_at = Instant::now();
    loop {
        let swept = sweep(&bus, &archive).await;
        let settled = settle(&bus, &archive, &*consumers).await;
        tell_waiting(&bus, &archive).await;
        let mut seen_to = swept.and(settled);
        if seen_to.is_ok() && Instant::now() >= forget_at {
            forget_at = Instant::now() + FORGET_EVERY;
            seen_to = forget(&archive, keep_for).await;
        }
        match seen_to {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(error = format!("{error:#}"), "dead letters are not all seen to");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Takes out every dead letter there is. What cannot be taken out of one queue holds up no other.
///
/// # Errors
/// The first, when the broker or the database cannot be reached; what was not kept stays in the broker.
pub async fn sweep(bus: &Bus, archive: &Archive) -> anyhow::Result<()> {
    let mut swept = Ok(());
    for queue in Queue::ALL {
        swept = swept.and(sweep_one(bus, archive, *queue).await);
    }
    swept
}

async fn sweep_one(bus: &Bus, archive: &Archive, queue: Queue) -> anyhow::Result<()> {
    loop {
        let letters = bus.take_dead_letters(queue).await?;
        if letters.is_empty() {
            return Ok(());
        }
        for letter in letters {
            keep(archive, &letter).await.context("keep a dead letter")?;
            bus.remove_dead_letter(&letter).await?;
            metrics::counter!("writer_dead_letters_kept_total", "messaging_destination_name" => queue.name())
                .increment(1);
        }
    }
}

/// Notes which letters that were sent again have been handled, and which had no effect.
///
/// # Errors
/// When the database or `consumers` cannot be reached.
pub async fn settle(
    bus: &Bus,
    archive: &Archive,
    consumers: &dyn StartCounter,
) -> anyhow::Result<()> {
    let name_of = |name: &str| Queue::named(name).map(|queue| bus.queue_name(queue));
    let settled = archive.settle(consumers, &name_of).await.context("note how replays ended")?;
    ensure!(settled, "Redis cannot be asked how replays ended");
    Ok(())
}

/// Forgets letters that are settled and of which nothing was done for `keep_for`.
///
/// # Errors
/// When the database cannot be reached.
pub async fn forget(archive: &Archive, keep_for: Duration) -> anyhow::Result<()> {
    let since = Timestamp::now().minus(keep_for);
    loop {
        let forgotten = archive.forget(since, FORGOTTEN_AT_ONCE).await;
        let forgotten = forgotten.context("forget dead letters settled long ago")?;
        if forgotten > 0 {
            tracing::info!(letters = forgotten, "forgot dead letters settled long ago");
        }
        if forgotten < FORGOTTEN_AT_ONCE {
            return Ok(());
        }
    }
}

/// How many letters need somebody, and how many nobody could take out yet: what the alarms go by.
async fn tell_waiting(bus: &Bus, archive: &Archive) {
    let waiting = archive.waiting().await;
    for queue in Queue::ALL {
        if let Ok(waiting) = &waiting {
            let letters = waiting.iter().find(|(of, _)| of == queue.name()).map_or(0, |(_, n)| *n);
            metrics::gauge!("messaging_dead_letters_waiting",
                "messaging_destination_name" => queue.name())
            .set(letters as f64);
        }
        if let Ok(left) = bus.dead_letters_left(*queue).await {
            metrics::gauge!("messaging_dead_letters_left",
                "messaging_destination_name" => queue.name())
            .set(left as f64);
        }
    }
}

async fn keep(archive: &Archive, letter: &DeadLetter) -> Result<(), StoreError> {
    let envelope = letter.envelope.as_ref();
    let trace = envelope.and_then(|e| e.traceparent.as_deref()).and_then(TraceContext::parse);
    let trace_id = trace.map(|trace| trace.trace_id());
    let about = envelope.map(|e| About {
        tenant: e.tenant,
        conversation: e.conversation,
        event: e.event_id,
        event_name: e.payload.name(),
        turn: e.turn,
        replays: e.replays,
        occurred_at: e.occurred_at,
        expires_at: e.expires_at,
        trace_id: trace_id.as_deref(),
    });
    archive
        .keep(&NewLetter {
            queue: letter.queue.name(),
            message: &letter.message_id,
            group: &letter.group,
            error_type: letter.cause.name(),
            reason: &letter.reason,
            starts: letter.starts,
            receives: letter.receives,
            sent_at: letter.sent_at,
            died_at: letter.died_at,
            about,
            build: letter.build.as_deref().unwrap_or_default(),
            body: &letter.body,
        })
        .await
}
