use std::sync::LazyLock;

use deadpool_redis::redis::{AsyncCommands as _, Script};
use domain::{BoxFuture, EventId, ReplayEnd, StartCounter, Starts};

use crate::{Cache, CacheError};

/// As long as an event can lie in a queue, and a day.
const STARTS_TTL_SECONDS: u64 = 15 * 24 * 60 * 60;

/// What stands where a replay that was handled is noted. In the place of one that had no effect stand this and the reason.
const HANDLED: &str = "1";
const FAILED: &str = "failed:";

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

    async fn replay_end(
        &self,
        queue: &str,
        replay: EventId,
    ) -> Result<Option<ReplayEnd>, CacheError> {
        let key = self.replay_key(queue, replay);
        let noted: Option<String> =
            self.run("replay_end", |mut c| async move { c.get(key).await }).await?;
        Ok(noted.map(|noted| match noted.strip_prefix(FAILED) {
            Some(why) => ReplayEnd::Failed(why.to_owned()),
            None => ReplayEnd::Handled,
        }))
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

    fn replay_ended<'a>(
        &'a self,
        queue: &'a str,
        replay: EventId,
        end: &'a ReplayEnd,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let key = self.replay_key(queue, replay);
            let end = match end {
                ReplayEnd::Handled => HANDLED.to_owned(),
                ReplayEnd::Failed(why) => format!("{FAILED}{why}"),
            };
            let noted = self
                .run("replay_ended", |mut c| async move {
                    c.set_ex::<_, _, ()>(key, end, STARTS_TTL_SECONDS).await
                })
                .await;
            if let Err(error) = noted {
                tracing::debug!(%error, "how a replay ended is not noted");
            }
        })
    }

    fn replays_ended<'a>(
        &'a self,
        queue: &'a str,
        replays: &'a [EventId],
    ) -> BoxFuture<'a, Option<Vec<Option<ReplayEnd>>>> {
        Box::pin(async move {
            let asked = replays.iter().map(|replay| self.replay_end(queue, *replay));
            futures::future::try_join_all(asked).await.ok()
        })
    }
}
