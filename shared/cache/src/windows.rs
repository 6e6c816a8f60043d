use std::sync::LazyLock;

use deadpool_redis::redis::Script;
use domain::{ConversationId, Timestamp};

use crate::{Cache, CacheError};

/// Longer than any channel lets a business write freely after the person did (PROTOCOLS 2.4).
const WRITTEN_TTL_SECONDS: u64 = 25 * 60 * 60;

/// The later moment stands, whatever order they arrive in.
static NOTE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local known = redis.call('GET', KEYS[1])
        if not known or tonumber(known) < tonumber(ARGV[1]) then
            redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
        end
        ",
    )
});

impl Cache {
    /// Notes that the person of `conversation` wrote at `at`.
    ///
    /// # Errors
    /// When Redis is away; the history knows it too.
    pub async fn note_written(
        &self,
        conversation: ConversationId,
        at: Timestamp,
    ) -> Result<(), CacheError> {
        let key = self.key(&conversation.to_string(), ":written");
        let at = at.as_micros();
        self.run("note_written", |mut c| async move {
            NOTE.key(key).arg(at).arg(WRITTEN_TTL_SECONDS).invoke_async(&mut c).await
        })
        .await
    }

    /// When the person of `conversation` wrote last, as far as it was noted in the last day.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn last_written(
        &self,
        conversation: ConversationId,
    ) -> Result<Option<Timestamp>, CacheError> {
        let key = self.key(&conversation.to_string(), ":written");
        let at: Option<i64> = self
            .run("last_written", |mut c| async move {
                deadpool_redis::redis::cmd("GET").arg(key).query_async(&mut c).await
            })
            .await?;
        Ok(at.map(Timestamp::from_micros))
    }
}
