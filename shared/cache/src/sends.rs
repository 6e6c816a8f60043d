use std::{collections::HashMap, sync::LazyLock};

use deadpool_redis::redis::{Script, cmd};
use domain::{EventId, Timestamp};

use crate::{Cache, CacheError};

/// As long as an event can lie in a queue, and a day.
const SEND_TTL_SECONDS: u64 = 15 * 24 * 60 * 60;

/// Returns the record as it was before, and makes one where there was none.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local record = redis.call('HGETALL', KEYS[1])
        if redis.call('HEXISTS', KEYS[1], 'since') == 0
            and redis.call('HEXISTS', KEYS[1], 'external_id') == 0 then
            redis.call('HSET', KEYS[1], 'since', ARGV[1])
            redis.call('EXPIRE', KEYS[1], ARGV[2])
        end
        return record
        ",
    )
});

static FINISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('HGET', KEYS[1], 'refused') == ARGV[1] then
            return ARGV[1]
        end
        redis.call('HSETNX', KEYS[1], 'external_id', ARGV[1])
        redis.call('EXPIRE', KEYS[1], ARGV[2])
        return redis.call('HGET', KEYS[1], 'external_id')
        ",
    )
});

/// A finished send is never taken back.
static FAIL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('HEXISTS', KEYS[1], 'external_id') == 0 then
            redis.call('HDEL', KEYS[1], 'since')
        end
        ",
    )
});

/// As `FAIL`, and counts.
static PUT_OFF: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('HEXISTS', KEYS[1], 'external_id') == 0 then
            redis.call('HDEL', KEYS[1], 'since')
        end
        local times = redis.call('HINCRBY', KEYS[1], 'put_off', 1)
        redis.call('EXPIRE', KEYS[1], ARGV[1])
        return times
        ",
    )
});

/// Takes back a send that the vendor refused after it had taken it: once. By the refused id a second run of the same is
/// told from the refusal of what was sent in its place.
static REFUSE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local refused = redis.call('HGET', KEYS[1], 'refused')
        if refused and refused ~= ARGV[1] then
            return 2
        end
        if refused and redis.call('HEXISTS', KEYS[1], 'external_id') == 1 then
            return 1
        end
        if not refused then
            redis.call('HSET', KEYS[1], 'refused', ARGV[1])
            redis.call('HDEL', KEYS[1], 'external_id', 'since')
            redis.call('EXPIRE', KEYS[1], ARGV[2])
        end
        return 0
        ",
    )
});

/// A status of a refusal mostly comes within seconds.
const BODY_TTL_SECONDS: u64 = 60 * 60;

/// What is to be done about a send that was refused after it had been taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It counts as never sent: it may be sent again, once.
    SendAgain,
    /// It was sent again already.
    SentAgain,
    /// What was sent in its place was refused as well.
    Again,
}

/// Where a send to the outside stands (DESIGN 2, "Sends").
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SendState {
    /// Never tried. It is recorded as begun now: send it.
    New,
    /// Tried, and nobody recorded how it went: it may have arrived. Never send it again.
    InDoubt {
        /// When it was begun.
        since: Timestamp,
    },
    /// The vendor took it.
    Done {
        /// The vendor's id of it.
        external_id: String,
    },
}

impl Cache {
    /// Records, before the vendor is asked, that the send of `event` begins; says where it stood.
    ///
    /// # Errors
    /// When Redis is away: do not send, retry.
    pub async fn begin_send(&self, event: EventId) -> Result<SendState, CacheError> {
        let key = self.send_key(event);
        let now = Timestamp::now().as_micros();
        let mut record: HashMap<String, String> = self
            .run("begin_send", |mut c| async move {
                BEGIN.key(key).arg(now).arg(SEND_TTL_SECONDS).invoke_async(&mut c).await
            })
            .await?;
        if let Some(external_id) = record.remove("external_id") {
            return Ok(SendState::Done { external_id });
        }
        Ok(match record.get("since") {
            Some(since) => SendState::InDoubt {
                since: Timestamp::from_micros(since.parse().unwrap_or_default()),
            },
            None => SendState::New,
        })
    }

    /// Records that the vendor took the send of `event` under `external_id`, and returns the id
    /// that stands. A status callback may settle a doubtful send the same way.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn finish_send(
        &self,
        event: EventId,
        external_id: &str,
    ) -> Result<String, CacheError> {
        let key = self.send_key(event);
        self.run("finish_send", |mut c| async move {
            FINISH.key(key).arg(external_id).arg(SEND_TTL_SECONDS).invoke_async(&mut c).await
        })
        .await
    }

    /// Forgets the send of `event`, because the vendor surely did not take it: it may be tried
    /// again. Without effect on a finished one.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn fail_send(&self, event: EventId) -> Result<(), CacheError> {
        let key = self.send_key(event);
        self.run("fail_send", |mut c| async move { FAIL.key(key).invoke_async(&mut c).await }).await
    }

    /// Forgets the send of `event` as [`Self::fail_send`] does, because the vendor takes nothing at the moment; how often that
    /// was so, this time included.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn put_off_send(&self, event: EventId) -> Result<u32, CacheError> {
        let key = self.send_key(event);
        self.run("put_off_send", |mut c| async move {
            PUT_OFF.key(key).arg(SEND_TTL_SECONDS).invoke_async(&mut c).await
        })
        .await
    }

    /// Notes that the vendor refused, after it had taken it as `external_id`, the send of `event`.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn refuse_send(
        &self,
        event: EventId,
        external_id: &str,
    ) -> Result<Refusal, CacheError> {
        let key = self.send_key(event);
        let answer: u8 = self
            .run("refuse_send", |mut c| async move {
                REFUSE.key(key).arg(external_id).arg(SEND_TTL_SECONDS).invoke_async(&mut c).await
            })
            .await?;
        Ok(match answer {
            0 => Refusal::SendAgain,
            1 => Refusal::SentAgain,
            _ => Refusal::Again,
        })
    }

    /// Keeps what was sent as `event` for an hour, should the vendor refuse it late.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn keep_sent(&self, event: EventId, body: &str) -> Result<(), CacheError> {
        let key = self.key(&format!("send:{event}"), ":body");
        self.run("keep_sent", |mut c| async move {
            cmd("SET").arg(key).arg(body).arg("EX").arg(BODY_TTL_SECONDS).query_async(&mut c).await
        })
        .await
    }

    /// What [`Self::keep_sent`] kept.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn kept_sent(&self, event: EventId) -> Result<Option<String>, CacheError> {
        let key = self.key(&format!("send:{event}"), ":body");
        self.run("kept_sent", |mut c| async move { cmd("GET").arg(key).query_async(&mut c).await })
            .await
    }

    fn send_key(&self, event: EventId) -> String {
        self.key(&format!("send:{event}"), "")
    }
}
