use std::{sync::LazyLock, time::Duration};

use deadpool_redis::redis::Script;

use crate::{Cache, CacheError};

/// A sliding log: exact over any window, and as short as the limit. By the clock of Redis, so that
/// tasks agree. Returns 0 when admitted, else the microseconds until the next one would be.
static HIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
        local window = tonumber(ARGV[1])
        local oldest = redis.call('LINDEX', KEYS[1], 0)
        while oldest and tonumber(oldest) <= now - window do
            redis.call('LPOP', KEYS[1])
            oldest = redis.call('LINDEX', KEYS[1], 0)
        end
        if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[2]) then
            return oldest and tonumber(oldest) + window - now or window
        end
        redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
        redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
        return 0
        ",
    )
});

static REMEMBER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
        return redis.call('GET', KEYS[1])
        ",
    )
});

/// Whether one more is within a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It is, and was counted.
    Allowed,
    /// It is not, and was not counted.
    Denied {
        /// When the next one will be.
        retry_after: Duration,
    },
}

impl Cache {
    /// Counts one more hit of `key` unless `limit` hits lie within the last `window` (E2). Keys that
    /// stem from a person's number or name are to be hashed by the caller.
    ///
    /// # Errors
    /// When Redis is away; local limits then serve (DESIGN 5).
    pub async fn hit(
        &self,
        key: &str,
        window: Duration,
        limit: u32,
    ) -> Result<Admission, CacheError> {
        let key = self.key(&format!("limit:{key}"), "");
        let window_us = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        let wait_us: u64 = self
            .run("hit", |mut c| async move {
                HIT.key(key).arg(window_us).arg(limit).invoke_async(&mut c).await
            })
            .await?;
        Ok(match wait_us {
            0 => Admission::Allowed,
            us => Admission::Denied { retry_after: Duration::from_micros(us) },
        })
    }

    /// Notes that `key` (a signature, a one-time token) was used, for `ttl`; says whether it was
    /// before (E1).
    ///
    /// # Errors
    /// When Redis is away; replays are accepted then (DESIGN 5).
    pub async fn seen_before(&self, key: &str, ttl: Duration) -> Result<bool, CacheError> {
        let key = self.key(&format!("seen:{key}"), "");
        let ttl_ms = milliseconds(ttl);
        let set: Option<String> = self
            .run("seen_before", |mut c| async move {
                deadpool_redis::redis::cmd("SET")
                    .arg(key)
                    .arg(1)
                    .arg("NX")
                    .arg("PX")
                    .arg(ttl_ms)
                    .query_async(&mut c)
                    .await
            })
            .await?;
        Ok(set.is_none())
    }

    /// Keeps the answer to a request that may be repeated, for `ttl`, and returns the one that
    /// stands: `text`, or the one kept first (DESIGN 3.1).
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn remember_answer(
        &self,
        key: &str,
        ttl: Duration,
        text: &str,
    ) -> Result<String, CacheError> {
        let key = self.key(&format!("answer:{key}"), "");
        let ttl_ms = milliseconds(ttl);
        self.run("remember_answer", |mut c| async move {
            REMEMBER.key(key).arg(text).arg(ttl_ms).invoke_async(&mut c).await
        })
        .await
    }

    /// The answer kept under `key`.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn remembered_answer(&self, key: &str) -> Result<Option<String>, CacheError> {
        let key = self.key(&format!("answer:{key}"), "");
        self.run("remembered_answer", |mut c| async move {
            deadpool_redis::redis::cmd("GET").arg(key).query_async(&mut c).await
        })
        .await
    }
}

/// Redis refuses an expiry of 0.
pub(crate) fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}
