use std::{sync::LazyLock, time::Duration};

use deadpool_redis::redis::{Script, cmd};
use domain::TenantId;

use crate::{Cache, CacheError, limits::milliseconds};

/// So many events of a tenant are kept, about: what a reader that was away for a while can still get.
const KEPT_EVENTS: usize = 10_000;
/// What nobody watches is not kept: it speaks of people.
const KEPT_SECONDS: u64 = 60 * 60;

static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[1])
        redis.call('EXPIRE', KEYS[1], ARGV[3])
        return id
        ",
    )
});

/// A live event of a tenant.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveEntry {
    /// Its place in the stream: where a reader goes on.
    pub id: String,
    /// What `edge` wrote, opaque here.
    pub body: String,
}

type Entries = Vec<(String, Vec<String>)>;

impl Cache {
    /// Keeps a one-time ticket, by its hash, for `ttl`.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn put_ticket(
        &self,
        hash: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<(), CacheError> {
        let key = self.key(&format!("ticket:{hash}"), "");
        let ttl_ms = milliseconds(ttl);
        self.run("put_ticket", |mut c| async move {
            cmd("SET").arg(key).arg(holder).arg("PX").arg(ttl_ms).query_async(&mut c).await
        })
        .await
    }

    /// Whom a ticket speaks for. It stays.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn ticket(&self, hash: &str) -> Result<Option<String>, CacheError> {
        let key = self.key(&format!("ticket:{hash}"), "");
        self.run("ticket", |mut c| async move { cmd("GET").arg(key).query_async(&mut c).await })
            .await
    }

    /// Whom a ticket speaks for. It is gone then.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn take_ticket(&self, hash: &str) -> Result<Option<String>, CacheError> {
        let key = self.key(&format!("ticket:{hash}"), "");
        self.run(
            "take_ticket",
            |mut c| async move { cmd("GETDEL").arg(key).query_async(&mut c).await },
        )
        .await
    }

    /// Adds an event to the stream of `tenant`.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn add_live(&self, tenant: TenantId, body: &str) -> Result<(), CacheError> {
        let key = self.live_key(tenant);
        self.run("add_live", |mut c| async move {
            let _: String = ADD
                .key(key)
                .arg(body)
                .arg(KEPT_EVENTS)
                .arg(KEPT_SECONDS)
                .invoke_async(&mut c)
                .await?;
            Ok(())
        })
        .await
    }

    /// Up to `count` events after the one with the id `after`, in order.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn live_after(
        &self,
        tenant: TenantId,
        after: &str,
        count: usize,
    ) -> Result<Vec<LiveEntry>, CacheError> {
        let (key, after) = (self.live_key(tenant), format!("({after}"));
        let entries: Entries = self
            .run("live_after", |mut c| async move {
                cmd("XRANGE")
                    .arg(key)
                    .arg(after)
                    .arg("+")
                    .arg("COUNT")
                    .arg(count)
                    .query_async(&mut c)
                    .await
            })
            .await?;
        let entry = |(id, mut fields): (String, Vec<String>)| LiveEntry {
            id,
            body: fields.pop().unwrap_or_default(),
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    /// The id of the oldest event that is kept.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn first_live(&self, tenant: TenantId) -> Result<Option<String>, CacheError> {
        let key = self.live_key(tenant);
        let entries: Entries = self
            .run("first_live", |mut c| async move {
                cmd("XRANGE")
                    .arg(key)
                    .arg("-")
                    .arg("+")
                    .arg("COUNT")
                    .arg(1)
                    .query_async(&mut c)
                    .await
            })
            .await?;
        Ok(entries.into_iter().next().map(|(id, _)| id))
    }

    /// The id of the newest event; `0-0` where there is none.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn last_live(&self, tenant: TenantId) -> Result<String, CacheError> {
        let key = self.live_key(tenant);
        let entries: Entries = self
            .run("last_live", |mut c| async move {
                cmd("XREVRANGE")
                    .arg(key)
                    .arg("+")
                    .arg("-")
                    .arg("COUNT")
                    .arg(1)
                    .query_async(&mut c)
                    .await
            })
            .await?;
        Ok(entries.into_iter().next().map_or_else(|| "0-0".to_owned(), |(id, _)| id))
    }

    fn live_key(&self, tenant: TenantId) -> String {
        self.key(&tenant.to_string(), ":live")
    }
}
