use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use domain::TenantId;
use store::{Store, migrate};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// Only one test makes the template; the others wait. (`swbt` in ASCII.)
const TEMPLATE_LOCK: i64 = 0x7377_6274;
/// Databases of tests that were killed are dropped by a later test after so long, s.
const LEFT_BEHIND_S: u64 = 3600;
/// Connections of a test's pool: many tests share one server.
const CONNECTIONS: usize = 6;

/// A migrated database of the test's own, cloned from a template in some 50 ms and dropped with
/// this value.
pub struct TestDb {
    server_url: String,
    name: String,
}

impl TestDb {
    /// A migrated, empty database; `None` where the test is to be skipped
    /// ([`crate::require_stores`]).
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn create() -> Option<Self> {
        let stores = crate::require_stores()?;
        let made = Self::make(&stores.database_url, true).await;
        Some(made.expect("make a database for the test"))
    }

    /// As [`TestDb::create`], without the migrations.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn unmigrated() -> Option<Self> {
        let stores = crate::require_stores()?;
        let made = Self::make(&stores.database_url, false).await;
        Some(made.expect("make a database for the test"))
    }

    async fn make(server_url: &str, migrated: bool) -> anyhow::Result<Self> {
        let server = connect(server_url).await?;
        let template =
            if migrated { template(&server, server_url).await? } else { "template0".into() };
        let name = format!("sb_test_{}_{}", now_s(), crate::unique_prefix());
        server
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .context("clone the template")?;
        Ok(Self { server_url: server_url.to_owned(), name })
    }

    /// The database's URL, with the server's own login: the owner.
    pub fn url(&self) -> String {
        url_of(&self.server_url, &self.name)
    }

    /// A store on it, as the services use it.
    ///
    /// # Panics
    /// When the stand-in of KMS is away.
    pub async fn store(&self) -> Store {
        let keys = crate::key_ring().await.expect("reach the stand-in of KMS");
        Store::connect(&self.url(), CONNECTIONS, keys).expect("prepare a pool")
    }

    /// A connection with the server's own login, past row-level security: for looking at what
    /// really lies there.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn owner(&self) -> Client {
        connect(&self.url()).await.expect("connect as the owner")
    }

    /// Makes the database unreachable, as if the server were away: connections end, new ones are
    /// refused. [`TestDb::restore`] ends it.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn cut_off(&self) {
        let server = connect(&self.server_url).await.expect("reach the test server");
        let name = &self.name;
        server
            .batch_execute(&format!(
                "ALTER DATABASE {name} ALLOW_CONNECTIONS false;
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            ))
            .await
            .expect("cut the database off");
    }

    /// Makes it reachable again.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn restore(&self) {
        let server = connect(&self.server_url).await.expect("reach the test server");
        let sql = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name);
        server.batch_execute(&sql).await.expect("restore the database");
    }

    /// Adds a tenant.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn add_tenant(&self, slug: &str) -> TenantId {
        let id = Uuid::now_v7();
        self.owner()
            .await
            .execute(
                "INSERT INTO tenants (id, slug, settings) VALUES ($1, $2, '{\"business\": \"A test\"}')",
                &[&id, &slug],
            )
            .await
            .expect("add a tenant");
        TenantId::from_uuid(id)
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (url, name) = (self.server_url.clone(), self.name.clone());
        // The test's own runtime is ending.
        let dropped = std::thread::spawn(move || -> anyhow::Result<()> {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
                let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                Ok(connect(&url).await?.batch_execute(&sql).await?)
            })
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the test's database {} was left behind", self.name);
        }
    }
}

/// The name of a database with this release's migrations, made where it is missing.
async fn template(server: &Client, server_url: &str) -> anyhow::Result<String> {
    let all: String = migrate::MIGRATIONS.iter().flat_map(|m| [m.name, m.sql]).collect();
    let sum = Uuid::new_v5(&Uuid::NAMESPACE_OID, all.as_bytes()).simple().to_string();
    let name = format!("sb_template_{}", &sum[..16]);
    server.execute("SELECT pg_advisory_lock($1)", &[&TEMPLATE_LOCK]).await?;
    if !exists(server, &name).await? {
        drop_left_behind(server).await?;
        let unfinished = format!("{name}_unfinished");
        server.batch_execute(&format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await?;
        server.batch_execute(&format!("CREATE DATABASE {unfinished} TEMPLATE template0")).await?;
        migrate::run(&url_of(server_url, &unfinished)).await?;
        server.batch_execute(&format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await?;
    }
    server.execute("SELECT pg_advisory_unlock($1)", &[&TEMPLATE_LOCK]).await?;
    Ok(name)
}

async fn exists(server: &Client, name: &str) -> anyhow::Result<bool> {
    let found = server.query("SELECT FROM pg_database WHERE datname = $1", &[&name]).await?;
    Ok(!found.is_empty())
}

/// Drops what killed tests left: their names begin with the second they were made in.
async fn drop_left_behind(server: &Client) -> anyhow::Result<()> {
    let rows = server
        .query("SELECT datname FROM pg_database WHERE datname LIKE 'sb\\_test\\_%'", &[])
        .await?;
    for row in rows {
        let name: String = row.get(0);
        let made_s = name.split('_').nth(2).and_then(|s| s.parse::<u64>().ok());
        if made_s.is_some_and(|made| made + LEFT_BEHIND_S < now_s()) {
            server.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        }
    }
    Ok(())
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("reach the test server")?;
    tokio::spawn(connection);
    Ok(client)
}

/// The same URL with another database.
fn url_of(server_url: &str, database: &str) -> String {
    let (base, query) = match server_url.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (server_url, String::new()),
    };
    let authority_at = base.find("://").map_or(0, |at| at + 3);
    let host = match base[authority_at..].find('/') {
        Some(slash) => &base[..authority_at + slash],
        None => base,
    };
    format!("{host}/{database}{query}")
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::url_of;

    #[test]
    fn only_the_database_of_a_url_is_changed() {
        assert_eq!(url_of("postgres://u:p@h:1/a", "b"), "postgres://u:p@h:1/b");
        assert_eq!(url_of("postgres://u@h", "b"), "postgres://u@h/b");
        assert_eq!(url_of("postgres://u@/a?host=/run/pg", "b"), "postgres://u@/b?host=/run/pg");
    }
}
