use std::sync::LazyLock;

use deadpool_redis::redis::Script;
use domain::{CallSid, Turn};

use crate::{Cache, CacheError};

/// Four times the longest call (B4).
const CALL_TTL_SECONDS: u64 = 2 * 60 * 60;

/// Longer than a caller leaves it open whether he interrupts: whoever suspended a turn and died does not keep it for ever.
const DOUBT_TTL_SECONDS: u64 = 10;

static RAISE_FENCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local current = tonumber(redis.call('GET', KEYS[1]) or '0')
        if tonumber(ARGV[1]) > current then
            redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
            return tonumber(ARGV[1])
        end
        return current
        ",
    )
});

/// How a turn of a call stands with its caller (DESIGN 2, "Turn fence").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its reply is listened to.
    Wanted,
    /// The caller may be interrupting: nobody is to work on the reply until that is known.
    Doubted,
    /// The fence has passed it.
    Passed,
}

impl Cache {
    /// Raises the turn fence of `call` to `turn` and returns where it stands: what belongs to an
    /// earlier turn is no longer wanted. It never goes down, whatever order calls arrive in
    /// (DESIGN 2, "Turn fence").
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn set_fence(&self, call: &CallSid, turn: Turn) -> Result<Turn, CacheError> {
        let key = self.key(call.as_str(), ":turn");
        self.run("set_fence", |mut c| async move {
            RAISE_FENCE.key(key).arg(turn.0).arg(CALL_TTL_SECONDS).invoke_async(&mut c).await
        })
        .await
        .map(Turn)
    }

    /// The turn fence of `call`; turn 0 where none was set.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn fence(&self, call: &CallSid) -> Result<Turn, CacheError> {
        let key = self.key(call.as_str(), ":turn");
        self.run("fence", |mut c| async move {
            deadpool_redis::redis::cmd("GET").arg(key).query_async::<Option<u32>>(&mut c).await
        })
        .await
        .map(|turn| Turn(turn.unwrap_or(0)))
    }

    /// Notes that the caller may be interrupting the reply to `turn`, which is therefore not to go on. It ends with
    /// [`Self::end_doubt`] or the fence, and by itself.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn doubt_turn(&self, call: &CallSid, turn: Turn) -> Result<(), CacheError> {
        let key = self.key(call.as_str(), ":doubt");
        self.run("doubt_turn", |mut c| async move {
            deadpool_redis::redis::cmd("SET")
                .arg(key)
                .arg(turn.0)
                .arg("EX")
                .arg(DOUBT_TTL_SECONDS)
                .query_async(&mut c)
                .await
        })
        .await
    }

    /// Notes that the caller only listened: the reply goes on.
    ///
    /// # Errors
    /// When Redis is away; the doubt then ends by itself.
    pub async fn end_doubt(&self, call: &CallSid) -> Result<(), CacheError> {
        let key = self.key(call.as_str(), ":doubt");
        self.run("end_doubt", |mut c| async move {
            deadpool_redis::redis::cmd("DEL").arg(key).query_async(&mut c).await
        })
        .await
    }

    /// How `turn` of `call` stands.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn standing(&self, call: &CallSid, turn: Turn) -> Result<Standing, CacheError> {
        let keys = [":turn", ":doubt"].map(|rest| self.key(call.as_str(), rest));
        let (fence, doubted) = self
            .run("standing", |mut c| async move {
                deadpool_redis::redis::cmd("MGET")
                    .arg(&keys)
                    .query_async::<(Option<u32>, Option<u32>)>(&mut c)
                    .await
            })
            .await?;
        Ok(match (fence, doubted) {
            (Some(fence), _) if fence > turn.0 => Standing::Passed,
            (_, Some(doubted)) if doubted == turn.0 => Standing::Doubted,
            _ => Standing::Wanted,
        })
    }

    /// The queue of the edge task that holds the socket of `call`, looked up anew for every answer
    /// because a call may move to another task (DESIGN 3.5, 5).
    ///
    /// # Errors
    /// When Redis is away; `reply_to` is the fallback.
    pub async fn edge_of(&self, call: &CallSid) -> Result<Option<String>, CacheError> {
        let key = self.key(call.as_str(), ":edge");
        self.run("edge_of", |mut c| async move {
            deadpool_redis::redis::cmd("GET").arg(key).query_async(&mut c).await
        })
        .await
    }

    /// What an answer for `call` must know before it leaves, asked at once: the turn fence, and the
    /// queue of the edge task that holds the socket, as [`Self::fence`] and [`Self::edge_of`].
    ///
    /// # Errors
    /// When Redis is away; `edge` drops by turn, and `reply_to` is the fallback.
    pub async fn way_to(&self, call: &CallSid) -> Result<(Turn, Option<String>), CacheError> {
        let keys = [":turn", ":edge"].map(|rest| self.key(call.as_str(), rest));
        self.run("way_to", |mut c| async move {
            deadpool_redis::redis::cmd("MGET")
                .arg(&keys)
                .query_async::<(Option<u32>, Option<String>)>(&mut c)
                .await
        })
        .await
        .map(|(turn, queue)| (Turn(turn.unwrap_or(0)), queue))
    }

    /// Notes in which language the caller of `call` is recognised, BCP 47.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn set_listens_in(&self, call: &CallSid, language: &str) -> Result<(), CacheError> {
        let key = self.key(call.as_str(), ":listens-in");
        self.run("set_listens_in", |mut c| async move {
            deadpool_redis::redis::cmd("SET")
                .arg(key)
                .arg(language)
                .arg("EX")
                .arg(CALL_TTL_SECONDS)
                .query_async(&mut c)
                .await
        })
        .await
    }

    /// In which language the caller of `call` is recognised; `None` where it is the tenant's.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn listens_in(&self, call: &CallSid) -> Result<Option<String>, CacheError> {
        let key = self.key(call.as_str(), ":listens-in");
        self.run("listens_in", |mut c| async move {
            deadpool_redis::redis::cmd("GET").arg(key).query_async(&mut c).await
        })
        .await
    }

    /// Notes whether the recording of `call` is paused.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn set_off_record(&self, call: &CallSid, paused: bool) -> Result<(), CacheError> {
        let key = self.key(call.as_str(), ":off-record");
        self.run("set_off_record", |mut c| async move {
            deadpool_redis::redis::cmd("SET")
                .arg(key)
                .arg(u8::from(paused))
                .arg("EX")
                .arg(CALL_TTL_SECONDS)
                .query_async(&mut c)
                .await
        })
        .await
    }

    /// Whether the recording of `call` is paused.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn is_off_record(&self, call: &CallSid) -> Result<bool, CacheError> {
        let key = self.key(call.as_str(), ":off-record");
        self.run("is_off_record", |mut c| async move {
            deadpool_redis::redis::cmd("GET").arg(key).query_async::<Option<u8>>(&mut c).await
        })
        .await
        .map(|paused| paused == Some(1))
    }
}
