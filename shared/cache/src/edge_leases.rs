use std::{sync::LazyLock, time::Duration};

use deadpool_redis::redis::Script;
use domain::CallSid;

use crate::{Cache, CacheError, limits::milliseconds};

/// Four times the longest call (B4).
const CALLS_TTL_SECONDS: u64 = 2 * 60 * 60;
/// A task that has not seen it by then is gone: its queue's name never comes again.
const STOP_TTL_SECONDS: u64 = 10 * 60;

/// By the clock of Redis, so that no two tasks can disagree about who has lapsed.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
        local until_ms = redis.call('ZSCORE', KEYS[1], ARGV[1])
        redis.call('ZADD', KEYS[1], now_ms + ARGV[2], ARGV[1])
        local lapsed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms)
        return {(until_ms and tonumber(until_ms) > now_ms) and 1 or 0, lapsed}
        ",
    )
});

static IS_ALIVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
        local until_ms = redis.call('ZSCORE', KEYS[1], ARGV[1])
        return (until_ms and tonumber(until_ms) > now_ms) and 1 or 0
        ",
    )
});

static EDGES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
        local edges = {}
        local leases = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
        for i = 1, #leases, 2 do
            edges[#edges + 1] = {leases[i], tonumber(leases[i + 1]) > now_ms and 1 or 0}
        end
        return edges
        ",
    )
});

/// A task that lives again is not forgotten.
static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
        local until_ms = redis.call('ZSCORE', KEYS[1], ARGV[1])
        if until_ms and tonumber(until_ms) <= now_ms then
            redis.call('ZREM', KEYS[1], ARGV[1])
        end
        ",
    )
});

/// What a renewal tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Whether the lease held until now. Where it did not (a task that just started, or stood still
    /// for too long), others may have taken its calls.
    pub held: bool,
    /// The tasks whose leases have lapsed, by their queues.
    pub lapsed: Vec<String>,
}

impl Cache {
    /// Renews the one lease of the edge task that is reached by `queue`, for `ttl` from now, and
    /// tells whose leases have lapsed.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn renew_edge_lease(
        &self,
        queue: &str,
        ttl: Duration,
    ) -> Result<Renewal, CacheError> {
        let (key, ttl_ms) = (self.edges_key(), milliseconds(ttl));
        let (held, lapsed) = self
            .run("renew_edge_lease", |mut c| async move {
                RENEW.key(key).arg(queue).arg(ttl_ms).invoke_async(&mut c).await
            })
            .await?;
        Ok(Renewal { held, lapsed })
    }

    /// Ends the lease of a task that holds no calls any more.
    ///
    /// # Errors
    /// When Redis is away; the lease then lapses by itself.
    pub async fn end_edge_lease(&self, queue: &str) -> Result<(), CacheError> {
        let key = self.edges_key();
        self.run("end_edge_lease", |mut c| async move {
            deadpool_redis::redis::cmd("ZREM").arg(key).arg(queue).query_async(&mut c).await
        })
        .await
    }

    /// Whether the lease of the task that is reached by `queue` holds.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn edge_is_alive(&self, queue: &str) -> Result<bool, CacheError> {
        let key = self.edges_key();
        self.run("edge_is_alive", |mut c| async move {
            IS_ALIVE.key(key).arg(queue).invoke_async(&mut c).await
        })
        .await
    }

    /// Forgets a lapsed lease all of whose calls are elsewhere.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn forget_edge(&self, queue: &str) -> Result<(), CacheError> {
        let key = self.edges_key();
        self.run("forget_edge", |mut c| async move {
            FORGET.key(key).arg(queue).invoke_async(&mut c).await
        })
        .await
    }

    /// Adds `call` to those that the task of `queue` holds: what another has to take over.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn add_call_of_edge(&self, queue: &str, call: &CallSid) -> Result<(), CacheError> {
        let key = self.calls_key(queue);
        self.run("add_call_of_edge", |mut c| async move {
            deadpool_redis::redis::pipe()
                .sadd(&key, call.as_str())
                .ignore()
                .expire(&key, CALLS_TTL_SECONDS as i64)
                .ignore()
                .query_async(&mut c)
                .await
        })
        .await
    }

    /// Removes `call` from those that the task of `queue` holds.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn remove_call_of_edge(&self, queue: &str, call: &CallSid) -> Result<(), CacheError> {
        let key = self.calls_key(queue);
        self.run("remove_call_of_edge", |mut c| async move {
            deadpool_redis::redis::cmd("SREM").arg(key).arg(call.as_str()).query_async(&mut c).await
        })
        .await
    }

    /// The calls that the task of `queue` holds, or held when it was last heard of.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn calls_of_edge(&self, queue: &str) -> Result<Vec<CallSid>, CacheError> {
        let key = self.calls_key(queue);
        let calls: Vec<String> = self
            .run("calls_of_edge", |mut c| async move {
                deadpool_redis::redis::cmd("SMEMBERS").arg(key).query_async(&mut c).await
            })
            .await?;
        Ok(calls.iter().filter_map(|call| CallSid::parse(call)).collect())
    }

    /// Notes what the task of `queue` still has to publish of `call`, which is over: should it die before it comes to that,
    /// whoever finds its lease lapsed does it.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn note_ending(
        &self,
        queue: &str,
        call: &CallSid,
        messages: &str,
    ) -> Result<(), CacheError> {
        let key = self.endings_key(queue);
        self.run("note_ending", |mut c| async move {
            deadpool_redis::redis::pipe()
                .hset(&key, call.as_str(), messages)
                .ignore()
                .expire(&key, CALLS_TTL_SECONDS as i64)
                .ignore()
                .query_async(&mut c)
                .await
        })
        .await
    }

    /// Notes that all of that is published.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn forget_ending(&self, queue: &str, call: &CallSid) -> Result<(), CacheError> {
        let key = self.endings_key(queue);
        self.run("forget_ending", |mut c| async move {
            deadpool_redis::redis::cmd("HDEL").arg(key).arg(call.as_str()).query_async(&mut c).await
        })
        .await
    }

    /// The calls of which the task of `queue` had something to publish when it was last heard of, and what.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn endings_of_edge(&self, queue: &str) -> Result<Vec<(CallSid, String)>, CacheError> {
        let key = self.endings_key(queue);
        let endings: Vec<(String, String)> = self
            .run("endings_of_edge", |mut c| async move {
                deadpool_redis::redis::cmd("HGETALL").arg(key).query_async(&mut c).await
            })
            .await?;
        let read = |(call, messages): (String, String)| Some((CallSid::parse(&call)?, messages));
        Ok(endings.into_iter().filter_map(read).collect())
    }

    /// Every edge task that has a lease, by its queue, and whether the lease holds.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn edges(&self) -> Result<Vec<(String, bool)>, CacheError> {
        let key = self.edges_key();
        self.run("edges", |mut c| async move { EDGES.key(key).invoke_async(&mut c).await }).await
    }

    /// Asks the task of `queue` to stop as a deploy would: it takes no new calls, hands over the live ones and ends.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn ask_edge_to_stop(&self, queue: &str) -> Result<(), CacheError> {
        let key = self.stop_key(queue);
        self.run("ask_edge_to_stop", |mut c| async move {
            deadpool_redis::redis::cmd("SET")
                .arg(key)
                .arg(1)
                .arg("EX")
                .arg(STOP_TTL_SECONDS)
                .query_async(&mut c)
                .await
        })
        .await
    }

    /// Whether the task of `queue` was asked to stop.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn edge_is_asked_to_stop(&self, queue: &str) -> Result<bool, CacheError> {
        let key = self.stop_key(queue);
        self.run("edge_is_asked_to_stop", |mut c| async move {
            deadpool_redis::redis::cmd("EXISTS").arg(key).query_async(&mut c).await
        })
        .await
    }

    fn stop_key(&self, queue: &str) -> String {
        self.key(&format!("edge:{queue}"), ":stop")
    }

    fn edges_key(&self) -> String {
        self.key("edges", ":leases")
    }

    fn endings_key(&self, queue: &str) -> String {
        self.key(&format!("edge:{queue}"), ":endings")
    }

    fn calls_key(&self, queue: &str) -> String {
        self.key(&format!("edge:{queue}"), ":calls")
    }
}
