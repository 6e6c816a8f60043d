use std::{sync::LazyLock, time::Duration};

use deadpool_redis::redis::Script;

use crate::{Cache, CacheError, limits::milliseconds};

static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local holder = redis.call('GET', KEYS[1])
        if holder and holder ~= ARGV[1] then
            return 0
        end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return 1
        ",
    )
});

static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) == ARGV[1] then
            redis.call('DEL', KEYS[1])
        end
        ",
    )
});

impl Cache {
    /// Takes the lease `name` for `owner`, or keeps it, for `ttl` from now. False while another
    /// holds it.
    ///
    /// # Errors
    /// When Redis is away; the lease may have been taken all the same.
    pub async fn renew_lease(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<bool, CacheError> {
        let key = self.lease_key(name);
        let ttl_ms = milliseconds(ttl);
        self.run("renew_lease", |mut c| async move {
            RENEW.key(key).arg(owner).arg(ttl_ms).invoke_async(&mut c).await
        })
        .await
    }

    /// Gives the lease `name` back, if `owner` holds it.
    ///
    /// # Errors
    /// When Redis is away; the lease then ends by itself.
    pub async fn release_lease(&self, name: &str, owner: &str) -> Result<(), CacheError> {
        let key = self.lease_key(name);
        self.run("release_lease", |mut c| async move {
            RELEASE.key(key).arg(owner).invoke_async(&mut c).await
        })
        .await
    }

    /// Who holds the lease `name`.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn holder(&self, name: &str) -> Result<Option<String>, CacheError> {
        let key = self.lease_key(name);
        self.run("holder", |mut c| async move {
            deadpool_redis::redis::cmd("GET").arg(key).query_async(&mut c).await
        })
        .await
    }

    fn lease_key(&self, name: &str) -> String {
        self.key(&format!("lease:{name}"), "")
    }
}
