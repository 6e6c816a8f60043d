//! Takes dead letters out of the broker into PostgreSQL, where operators browse and replay them (F5).

use std::time::Duration;

use anyhow::Context as _;
use bus::{Bus, DeadLetter, Queue, TraceContext};
use store::{
    Store,
    dead_letters::{About, Archive, NewLetter},
};
use tokio_util::sync::CancellationToken;

/// How long a letter lies in the broker at most while all is well.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks through the dead letters of every queue until `stop`. A letter is removed from the broker once it is kept; while
/// the database is away they stay there.
pub async fn run(bus: Bus, store: Store, stop: CancellationToken) {
    let archive = Archive::new(store);
    let mut failing = false;
    loop {
        match sweep(&bus, &archive).await {
            Ok(()) => {
                failing = false;
                tell_waiting(&archive).await;
            }
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(error = format!("{error:#}"), "dead letters stay in the broker");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Takes out every dead letter there is.
///
/// # Errors
/// When the broker or the database cannot be reached; what was not kept stays in the broker.
pub async fn sweep(bus: &Bus, archive: &Archive) -> anyhow::Result<()> {
    for queue in Queue::ALL {
        loop {
            let letters = bus.take_dead_letters(*queue).await?;
            if letters.is_empty() {
                break;
            }
            for letter in letters {
                keep(archive, &letter).await.context("keep a dead letter")?;
                bus.remove_dead_letter(&letter).await?;
                metrics::counter!("writer_dead_letters_kept_total", "messaging_destination_name" => queue.name())
                    .increment(1);
            }
        }
    }
    Ok(())
}

/// How many letters wait for an operator: what the alarm goes by.
async fn tell_waiting(archive: &Archive) {
    let Ok(waiting) = archive.waiting().await else { return };
    for queue in Queue::ALL {
        let letters = waiting.iter().find(|(of, _)| of == queue.name()).map_or(0, |(_, n)| *n);
        metrics::gauge!("messaging_dead_letters_waiting",
            "messaging_destination_name" => queue.name())
        .set(letters as f64);
    }
}

async fn keep(archive: &Archive, letter: &DeadLetter) -> Result<(), store::StoreError> {
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
            reason: &letter.reason,
            starts: letter.starts,
            receives: letter.receives,
            sent_at: letter.sent_at,
            died_at: letter.died_at,
            about,
            build: env!("CARGO_PKG_VERSION"),
            body: &letter.body,
        })
        .await
}
