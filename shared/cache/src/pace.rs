use std::{sync::LazyLock, time::Duration};

use deadpool_redis::redis::Script;
use domain::EventId;

use crate::{Cache, CacheError, limits::milliseconds};

/// Gives a send its place in line, once, and says how long it is until then, µs. By the clock of Redis, so that tasks
/// agree. The line is one moment: that of the next send at an even pace; `burst` sends may come before theirs.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
        local place = tonumber(redis.call('GET', KEYS[2]))
        if not place then
            local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
            local even = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
            place = math.max(now, even - (burst - 1) * interval)
            local next = even + interval
            redis.call('SET', KEYS[1], string.format('%.0f', next),
                'PX', math.ceil((next - now) / 1000))
            redis.call('SET', KEYS[2], string.format('%.0f', place),
                'PX', math.ceil((place - now) / 1000) + ARGV[3])
        end
        return math.max(0, place - now)
        ",
    )
});

/// Longer than a message that waited for its place waits for its turn.
const PLACE_TTL: Duration = Duration::from_secs(60 * 60);

/// How fast something may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// One in so long, in the long run.
    pub interval: Duration,
    /// So many may come at once, borrowed from later.
    pub burst: u32,
}

impl Cache {
    /// Gives `send` a place in the line of `key` and says how long to wait for it; asked again, it is the same place.
    /// Keys that stem from a person's number are to be hashed by the caller.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn place_in_line(
        &self,
        key: &str,
        rate: Rate,
        send: EventId,
    ) -> Result<Duration, CacheError> {
        let tag = format!("pace:{key}");
        let (line, place) = (self.key(&tag, ""), self.key(&tag, &format!(":{send}")));
        let interval_us = u64::try_from(rate.interval.as_micros()).unwrap_or(u64::MAX);
        let wait_us: u64 = self
            .run("place_in_line", |mut c| async move {
                TAKE.key(line)
                    .key(place)
                    .arg(interval_us)
                    .arg(rate.burst.max(1))
                    .arg(milliseconds(PLACE_TTL))
                    .invoke_async(&mut c)
                    .await
            })
            .await?;
        Ok(Duration::from_micros(wait_us))
    }
}
