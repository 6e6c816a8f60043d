use std::sync::LazyLock;

use deadpool_redis::redis::{AsyncCommands as _, Script};
use domain::{BoxFuture, EventId, StartCounter, Starts};

use crate::{Cache, CacheError};

/// As long as an event can lie in a queue, and a day.
const STARTS_TTL_SECONDS: u64 = 15 * 24 * 60 * 60;

static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local starts = redis.call('INCR', KEYS[1])
        redis.call('EXPIRE', KEYS[1], ARGV[1])
        return starts
        ",
    )
});

/// Never below zero, and never makes a key that does not expire.
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if tonumber(redis.call('GET', KEYS[1]) or '0') > 0 then
            redis.call('DECR', KEYS[1])
        end
        ",
    )
});

impl Cache {
    fn starts_key(&self, queue: &str, event: EventId) -> String {
        self.key(&format!("starts:{event}"), &format!(":{queue}"))
    }

    fn replay_key(&self, queue: &str, event: EventId) -> String {
        self.key(&format!("replayed:{event}"), &format!(":{queue}"))
    }

    /// Whether these replays, by what their starts are counted under, have been handled on `queue`.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn are_replays_done(
        &self,
        queue: &str,
        events: &[EventId],
    ) -> Result<Vec<bool>, CacheError> {
        let asked = events.iter().map(async |event| {
            let key = self.replay_key(queue, *event);
            self.run("is_replay_done", |mut c| async move { c.exists(key).await }).await
        });
        futures::future::try_join_all(asked).await
    }

    async fn count_start(&self, queue: &str, event: EventId) -> Result<Starts, CacheError> {
        let key = self.starts_key(queue, event);
        self.run("count_start", |mut c| async move {
            COUNT.key(key).arg(STARTS_TTL_SECONDS).invoke_async(&mut c).await
        })
        .await
        .map(Starts)
    }
}

impl StartCounter for Cache {
    fn started<'a>(&'a self, queue: &'a str, event: EventId) -> BoxFuture<'a, Option<Starts>> {
        Box::pin(async move { self.count_start(queue, event).await.ok() })
    }

    fn given_back<'a>(&'a self, queue: &'a str, event: EventId) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let key = self.starts_key(queue, event);
            let given_back = self
                .run("give_back", |mut c| async move {
                    GIVE_BACK.key(key).invoke_async::<()>(&mut c).await
                })
                .await;
            if let Err(error) = given_back {
                tracing::debug!(%error, "a start given back stays counted");
            }
        })
    }

    fn replay_done<'a>(&'a self, queue: &'a str, event: EventId) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let key = self.replay_key(queue, event);
            let noted = self
                .run("replay_done", |mut c| async move {
                    c.set_ex::<_, _, ()>(key, 1, STARTS_TTL_SECONDS).await
                })
                .await;
            if let Err(error) = noted {
                tracing::debug!(%error, "a replay that was handled is not noted");
            }
        })
    }
}
