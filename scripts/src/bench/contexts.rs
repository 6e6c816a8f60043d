//! What the context of a conversation costs to read and write when Redis holds very many (C4).

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cache::Cache;
use domain::ConversationId;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use uuid::Uuid;

use super::{Spread, row};
use crate::log::{Echo, Log};
use crate::stores::{Options, Stores};

/// A talk of 20 utterances as the orchestrator keeps it, bytes.
const CONTEXT_BYTES: usize = 2_400;

/// Requests on their way while the contexts are put in place.
const FILLED_AT_ONCE: usize = 64;

/// How much is kept, and how often it is read.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ContextLoad {
    /// Contexts in Redis.
    pub contexts: u32,
    /// Turns: each reads the context of some conversation and writes it back.
    pub turns: u32,
    /// Turns at a time.
    pub at_once: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct ContextReport {
    /// What was asked.
    pub load: ContextLoad,
    /// How long it took to fill Redis, s.
    pub filled_s: f64,
    /// From asking for a context to having it.
    pub read: Spread,
    /// All but one in a hundred reads took no longer, ms.
    pub read_p99_ms: f64,
    /// From writing a context back to knowing that it stands.
    pub written: Spread,
}

/// Fills a Redis of its own and takes turns in it, through the code that the orchestrator takes them with.
///
/// # Errors
/// When Redis cannot be started, filled or read, and when a context that was written is not there.
pub async fn contexts(load: ContextLoad) -> anyhow::Result<ContextReport> {
    ensure!(load.contexts > 0 && load.turns > 0, "there is nothing to measure");
    let logs = tempfile::tempdir().context("create a log folder")?;
    let log = Log::open(logs.path(), Echo::Off)?;
    let mut given: std::collections::BTreeMap<_, _> = std::env::vars().collect();
    // Only Redis is needed; a store that is named is not started.
    given.insert("DATABASE_URL".to_owned(), "unused".to_owned());
    let options = Options { given, aws_stand_ins: false, ..Options::default() };
    let stores = Stores::start(&options, &log).await?;
    let measured = on_redis(&stores.environment()["REDIS_URL"], load).await;
    stores.stop().await?;
    measured
}

async fn on_redis(url: &str, load: ContextLoad) -> anyhow::Result<ContextReport> {
    let prefix = format!("bench-{}", Uuid::new_v4().simple());
    let cache = Cache::connect(url, &prefix).context("prepare Redis")?;
    let body = "x".repeat(CONTEXT_BYTES);
    let begun = Instant::now();
    stream::iter(0..load.contexts)
        .map(|number| cache.put_context(conversation(number), 0, &body))
        .buffer_unordered(FILLED_AT_ONCE)
        .try_for_each(|_| async { Ok(()) })
        .await
        .context("fill Redis with contexts")?;
    let filled_s = begun.elapsed().as_secs_f64();

    let turns = stream::iter(0..load.turns)
        .map(|turn| take_turn(&cache, conversation(scattered(turn, load.contexts)), &body))
        .buffer_unordered(load.at_once.max(1));
    let took: Vec<(Duration, Duration)> = turns.try_collect().await?;
    let (mut read, written): (Vec<_>, Vec<_>) = took.into_iter().unzip();
    read.sort_unstable();
    let rank = (read.len() * 99).div_ceil(100).max(1);
    let read_p99_ms = read.get(rank - 1).map_or(0.0, |took| took.as_secs_f64() * 1000.0);
    Ok(ContextReport {
        load,
        filled_s,
        read: Spread::of(read).context("nothing was read")?,
        read_p99_ms,
        written: Spread::of(written).context("nothing was written")?,
    })
}

async fn take_turn(
    cache: &Cache,
    conversation: ConversationId,
    body: &str,
) -> anyhow::Result<(Duration, Duration)> {
    let asked = Instant::now();
    let found = cache.context(conversation).await.context("read a context")?;
    let read = asked.elapsed();
    let found = found.context("a context that was written is gone")?;
    ensure!(found.body.len() == body.len(), "a context is not as it was written");
    let asked = Instant::now();
    cache.put_context(conversation, found.version, body).await.context("write a context")?;
    Ok((read, asked.elapsed()))
}

fn conversation(number: u32) -> ConversationId {
    ConversationId::from_uuid(Uuid::from_u128(u128::from(number) + 1))
}

/// The place of turn `turn` among `contexts`, far from that of the turn before, and the same in every run.
fn scattered(turn: u32, contexts: u32) -> u32 {
    // 2^32 divided by the golden ratio: Knuth's multiplicative hash.
    let place = u64::from(turn.wrapping_mul(2_654_435_769)) * u64::from(contexts);
    u32::try_from(place >> 32).unwrap_or(0)
}

impl fmt::Display for ContextReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ContextLoad { contexts, turns, at_once } = self.load;
        writeln!(
            f,
            "{contexts} contexts of {CONTEXT_BYTES} bytes, filled in {:.0} s; {turns} turns, {at_once} at a time",
            self.filled_s
        )?;
        writeln!(f, "{:<44} {:>7} {:>7} {:>7}", "ms", "p50", "p95", "max")?;
        row(f, &format!("read (p99 {:.2})", self.read_p99_ms), &self.read)?;
        row(f, "written back", &self.written)
    }
}
