use std::{fmt, sync::LazyLock};

use deadpool_redis::redis::Script;
use domain::{ConversationId, EventId, Turn};

use crate::{Cache, CacheError};

/// C4.
const CONTEXT_TTL_SECONDS: u64 = 30 * 60;

/// A chat that rests longer gets its last turn from the history.
const TURNS_TTL_SECONDS: u64 = 30 * 24 * 60 * 60;

/// As long as an event can lie in a queue, and a day.
const TURN_OF_TTL_SECONDS: u64 = 15 * 24 * 60 * 60;

/// A human who takes a chat and forgets it does not silence it for ever.
const WITH_HUMAN_TTL_SECONDS: u64 = 12 * 60 * 60;

/// Writes the context unless another version stands there; -1 then.
static PUT_CONTEXT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local version = redis.call('HGET', KEYS[1], 'version')
        if version and version ~= ARGV[1] then
            return -1
        end
        local next = tonumber(ARGV[1]) + 1
        redis.call('HSET', KEYS[1], 'version', next, 'body', ARGV[2])
        redis.call('EXPIRE', KEYS[1], ARGV[3])
        return next
        ",
    )
});

/// The turn an event was given before, or the next one above the counter and the floor.
static NEXT_TURN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local given = redis.call('GET', KEYS[2])
        if given then
            return tonumber(given)
        end
        local last = tonumber(redis.call('GET', KEYS[1]) or '0')
        local next = math.max(last, tonumber(ARGV[1])) + 1
        redis.call('SET', KEYS[1], next, 'EX', ARGV[2])
        redis.call('SET', KEYS[2], next, 'EX', ARGV[3])
        return next
        ",
    )
});

/// A conversation's context as it was last written.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredContext {
    /// Counts the writes; what [`Cache::put_context`] wants to see again.
    pub version: u64,
    /// What the orchestrator wrote, opaque here.
    pub body: String,
}

impl fmt::Debug for StoredContext {
    /// Shows how much there is, not what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredContext")
            .field("version", &self.version)
            .field("bytes", &self.body.len())
            .finish()
    }
}

/// What became of a write that expects a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// It stands there now, under this version.
    Stored(u64),
    /// Another wrote in between; nothing was changed.
    Conflict,
}

impl Cache {
    /// The context of `conversation`; `None` when it expired or Redis lost it, which PostgreSQL
    /// then makes good (C4).
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn context(
        &self,
        conversation: ConversationId,
    ) -> Result<Option<StoredContext>, CacheError> {
        let key = self.key(&conversation.to_string(), ":context");
        let (version, body): (Option<u64>, Option<String>) = self
            .run("context", |mut c| async move {
                deadpool_redis::redis::cmd("HMGET")
                    .arg(key)
                    .arg("version")
                    .arg("body")
                    .query_async(&mut c)
                    .await
            })
            .await?;
        Ok(version.zip(body).map(|(version, body)| StoredContext { version, body }))
    }

    /// Writes the context of `conversation` for the next 30 minutes, unless another version than
    /// `seen` (0 where none was found) stands there. One that expired meanwhile is no conflict.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn put_context(
        &self,
        conversation: ConversationId,
        seen: u64,
        body: &str,
    ) -> Result<Written, CacheError> {
        let key = self.key(&conversation.to_string(), ":context");
        let version: i64 = self
            .run("put_context", |mut c| async move {
                PUT_CONTEXT
                    .key(key)
                    .arg(seen)
                    .arg(body)
                    .arg(CONTEXT_TTL_SECONDS)
                    .invoke_async(&mut c)
                    .await
            })
            .await?;
        Ok(u64::try_from(version).map_or(Written::Conflict, Written::Stored))
    }

    /// Forgets the context of `conversation`, because the history has more: it is built from there anew.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn forget_context(&self, conversation: ConversationId) -> Result<(), CacheError> {
        let key = self.key(&conversation.to_string(), ":context");
        self.run("forget_context", |mut c| async move {
            deadpool_redis::redis::cmd("DEL").arg(key).query_async(&mut c).await
        })
        .await
    }

    /// Notes that a human has the chat from now on: agents stay silent in it (DESIGN 4). For 12 hours after the last time this is
    /// noted, or until [`Self::give_back`]; the database knows it for as long as it is so.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn hand_to_human(&self, conversation: ConversationId) -> Result<(), CacheError> {
        let key = self.key(&conversation.to_string(), ":human");
        self.run("hand_to_human", |mut c| async move {
            deadpool_redis::redis::cmd("SET")
                .arg(key)
                .arg(1)
                .arg("EX")
                .arg(WITH_HUMAN_TTL_SECONDS)
                .query_async(&mut c)
                .await
        })
        .await
    }

    /// Gives the chat back to the agents.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn give_back(&self, conversation: ConversationId) -> Result<(), CacheError> {
        let key = self.key(&conversation.to_string(), ":human");
        self.run("give_back", |mut c| async move {
            deadpool_redis::redis::cmd("DEL").arg(key).query_async(&mut c).await
        })
        .await
    }

    /// Whether a human has the chat, as far as Redis knows.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn is_with_human(&self, conversation: ConversationId) -> Result<bool, CacheError> {
        let key = self.key(&conversation.to_string(), ":human");
        self.run("is_with_human", |mut c| async move {
            deadpool_redis::redis::cmd("EXISTS").arg(key).query_async(&mut c).await
        })
        .await
    }

    /// The turn of a chat that `event` opens: the one it was given before, else the next one. It
    /// lies above `floor`, the last turn the context or the history knows, so that a counter Redis
    /// lost does not give a number twice.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn next_turn(
        &self,
        conversation: ConversationId,
        event: EventId,
        floor: Turn,
    ) -> Result<Turn, CacheError> {
        let tag = conversation.to_string();
        let counter = self.key(&tag, ":turns");
        let given = self.key(&tag, &format!(":turn-of:{event}"));
        self.run("next_turn", |mut c| async move {
            NEXT_TURN
                .key(counter)
                .key(given)
                .arg(floor.0)
                .arg(TURNS_TTL_SECONDS)
                .arg(TURN_OF_TTL_SECONDS)
                .invoke_async(&mut c)
                .await
        })
        .await
        .map(Turn)
    }
}
