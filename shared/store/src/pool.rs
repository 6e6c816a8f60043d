use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_postgres::{
    Client, ConfigConnectImpl, Connect, Hook, HookError, Manager, ManagerConfig, Pool, PoolError,
    RecyclingMethod, Runtime,
};
use domain::{BoxFuture, Dependency, FieldCipher, KeyRing, TenantId};
use tokio::sync::OnceCell;
use tokio_postgres::{
    Config, NoTls, Row, SimpleQueryMessage, Socket,
    config::SslMode,
    error::SqlState,
    tls::{MakeTlsConnect, TlsConnect},
    types::ToSql,
};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use crate::{Fault, StoreError};

/// How long a caller waits for a connection, s. Longer and the voice of a call would notice.
const WAIT_FOR_CONNECTION_S: u64 = 5;
/// How long a connection may take to be made, s.
const CONNECT_S: u64 = 3;
/// How long the sign of life may take.
const PROBE: Duration = Duration::from_millis(1500);

/// What every connection of a service is put under before its first use. The role makes row-level
/// security apply whoever logs in, an owner or superuser too; the limits keep one bad statement from
/// holding a connection for good.
const SESSION: &str = "SET ROLE switchboard_service; \
     SET statement_timeout = '15s'; \
     SET idle_in_transaction_session_timeout = '60s'; \
     SELECT row_security_active('messages')";

/// The database, through a pool of at most as many connections as it was given (D1: 20 a task).
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    /// Apart from the pool, so that a busy pool is not mistaken for a lost database.
    probe: Pool,
    keys: Arc<dyn KeyRing>,
    ciphers: Arc<RwLock<HashMap<TenantId, Arc<dyn FieldCipher>>>>,
    was_up: Arc<AtomicBool>,
}

impl Store {
    /// Prepares a pool of `max_connections` (at least 2; one is kept for health) to `database_url`.
    /// Nothing is connected yet: a task starts, and says what is missing, without its database.
    ///
    /// # Errors
    /// When the URL cannot be read, or asks for TLS and the machine has no root certificates.
    pub fn connect(
        database_url: &str,
        max_connections: usize,
        keys: Arc<dyn KeyRing>,
    ) -> anyhow::Result<Self> {
        let url = database_url.to_owned();
        Self::following(move || vec![url.clone()], max_connections, keys)
    }

    /// As [`Self::connect`], asking for the URL at each new connection: the current one first, then those that still may
    /// be right while a password is rotated (E4). Connections that are open stay so. Whether TLS is spoken is decided
    /// by the first.
    ///
    /// # Errors
    /// As [`Self::connect`], about the first URL.
    pub fn following(
        urls: impl Fn() -> Vec<String> + Send + Sync + 'static,
        max_connections: usize,
        keys: Arc<dyn KeyRing>,
    ) -> anyhow::Result<Self> {
        let urls: Urls = Arc::new(urls);
        Ok(Self {
            pool: pool(&urls, max_connections.saturating_sub(1).max(1))?,
            probe: pool(&urls, 1)?,
            keys,
            ciphers: Arc::default(),
            was_up: Arc::new(AtomicBool::new(true)),
        })
    }

    /// Begins a transaction for `tenant`: it sees and writes that tenant's rows and no others (D2).
    /// Dropped without [`TenantTx::commit`], it is rolled back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection can be had.
    pub async fn tenant(&self, tenant: TenantId) -> Result<TenantTx, StoreError> {
        let tx = TenantTx {
            client: Some(self.client().await?),
            store: self.clone(),
            tenant,
            new_key: OnceCell::new(),
            plans: None,
            began: Instant::now(),
        };
        // One round trip for both; a UUID needs no quoting.
        let begin = format!("BEGIN; SELECT set_config('app.tenant', '{tenant}', true)");
        tx.client()?.batch_execute(&begin).await?;
        Ok(tx)
    }

    /// A connection outside any tenant: it sees only what lies outside row-level security.
    pub(crate) async fn client(&self) -> Result<Client, StoreError> {
        let asked = Instant::now();
        let client = self.pool.get().await.map_err(pool_error);
        metrics::histogram!("db_client_connection_wait_time_seconds", "db_system_name" => "postgresql")
            .record(asked.elapsed());
        if client.is_err() {
            metrics::counter!("db_client_connection_errors_total", "db_system_name" => "postgresql")
                .increment(1);
        }
        self.tell_pool();
        client
    }

    /// How full the pool is.
    fn tell_pool(&self) {
        let status = self.pool.status();
        let idle = status.available.min(status.size);
        for (state, connections) in [("idle", idle), ("used", status.size - idle)] {
            metrics::gauge!("db_client_connection_count",
                "db_system_name" => "postgresql", "state" => state)
            .set(connections as f64);
        }
        metrics::gauge!("db_client_connection_max", "db_system_name" => "postgresql")
            .set(status.max_size as f64);
        metrics::gauge!("db_client_connection_pending_requests", "db_system_name" => "postgresql")
            .set(status.waiting as f64);
    }

    /// What wraps and unwraps data keys.
    pub(crate) fn keys(&self) -> &Arc<dyn KeyRing> {
        &self.keys
    }

    fn held_cipher(&self, tenant: TenantId) -> Option<Arc<dyn FieldCipher>> {
        self.ciphers.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned()
    }
}

impl Dependency for Store {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn is_up(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            self.tell_pool();
            let asked = async {
                let client = self.probe.get().await.map_err(pool_error)?;
                client.simple_query("SELECT 1").await.map_err(StoreError::from)
            };
            let answer = match tokio::time::timeout(PROBE, asked).await {
                Ok(answer) => answer.map(drop),
                Err(_) => Err(StoreError::interrupted("no answer in time")),
            };
            self.note_change(answer)
        })
    }
}

impl Store {
    /// Says why the database went away, once each time, and that it is back.
    fn note_change(&self, answer: Result<(), StoreError>) -> bool {
        let is_up = answer.is_ok();
        let was_up = self.was_up.swap(is_up, Ordering::Relaxed);
        match answer {
            Err(e) if was_up => tracing::warn!(error = %e, "the database is not usable"),
            Ok(()) if !was_up => tracing::info!("the database is usable again"),
            _ => {}
        }
        is_up
    }
}

/// A transaction that sees one tenant's rows. Statements are prepared once a connection.
pub struct TenantTx {
    /// `None` once committed. Until the server has confirmed `BEGIN` or `COMMIT` it stays here, so
    /// that a caller who gives up half-way leaves no transaction open in the pool.
    client: Option<Client>,
    store: Store,
    tenant: TenantId,
    /// The cipher under a key this transaction made itself.
    new_key: OnceCell<Arc<dyn FieldCipher>>,
    /// How its queries were answered, where that is asked for.
    plans: Option<Mutex<Vec<String>>>,
    began: Instant,
}

impl TenantTx {
    /// Has every query from now on explained, and run for that once more: [`Self::plans`]. Not for one that writes.
    pub fn explain(&mut self) {
        self.plans = Some(Mutex::default());
    }

    /// The plans of the queries since [`Self::explain`], as PostgreSQL's `EXPLAIN (ANALYZE, BUFFERS)` writes them.
    pub fn plans(&self) -> Vec<String> {
        let plans =
            self.plans.as_ref().map(|plans| plans.lock().unwrap_or_else(PoisonError::into_inner));
        plans.map(|plans| plans.clone()).unwrap_or_default()
    }

    /// Whose transaction it is.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Makes what was written stand.
    ///
    /// # Errors
    /// [`StoreError::InDoubt`] when the connection was lost meanwhile.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let committed = self.client()?.batch_execute("COMMIT").await.map_err(StoreError::at_commit);
        if committed.is_ok() {
            self.client = None;
        }
        let error_type = if committed.is_ok() { "" } else { "commit" };
        metrics::histogram!("db_client_operation_duration_seconds", "db_system_name" => "postgresql",
            "db_operation_name" => "transaction", "error_type" => error_type)
        .record(self.began.elapsed());
        committed
    }

    /// The cipher of the tenant's personal fields, from memory once it was had. A tenant without a
    /// key gets one in this transaction, so that the key and what is sealed under it stand or fall
    /// together; until then it serves this transaction alone. (A second connection for it would let
    /// a full pool wait for itself.)
    pub(crate) async fn cipher(&self) -> Result<Arc<dyn FieldCipher>, StoreError> {
        if let Some(cipher) = self.new_key.get() {
            return Ok(cipher.clone());
        }
        if let Some(cipher) = self.store.held_cipher(self.tenant) {
            return Ok(cipher);
        }
        let row = self
            .query_opt("SELECT wrapped_key FROM tenants WHERE id = $1", &[self.id()])
            .await?
            .ok_or(StoreError::NoTenant)?;
        let Some(wrapped) = row.get::<_, Option<Vec<u8>>>(0) else {
            return self.new_key.get_or_try_init(|| self.make_key()).await.cloned();
        };
        let cipher = self.store.keys.cipher(self.tenant, &wrapped).await?;
        let mut held = self.store.ciphers.write().unwrap_or_else(PoisonError::into_inner);
        Ok(held.entry(self.tenant).or_insert(cipher).clone())
    }

    /// What wraps and unwraps data keys that are no tenant's.
    pub(crate) fn key_ring(&self) -> &Arc<dyn KeyRing> {
        &self.store.keys
    }

    async fn make_key(&self) -> Result<Arc<dyn FieldCipher>, StoreError> {
        let wrapped = self.store.keys.generate(self.tenant).await?;
        // Another transaction may be first: this waits for its end, and its key is the one that
        // counts.
        let row = self
            .query_opt(
                "UPDATE tenants SET wrapped_key = coalesce(wrapped_key, $2) WHERE id = $1
                 RETURNING wrapped_key",
                &[self.id(), &wrapped],
            )
            .await?
            .ok_or(StoreError::NoTenant)?;
        Ok(self.store.keys.cipher(self.tenant, row.get(0)).await?)
    }

    pub(crate) async fn execute(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, values).await?)
    }

    pub(crate) async fn query(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let client = self.client()?;
        if let Some(plans) = &self.plans {
            let explain = format!("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {sql}");
            let lines = client.query(&explain, values).await?;
            let plan: Vec<&str> = lines.iter().map(|line| line.get(0)).collect();
            plans.lock().unwrap_or_else(PoisonError::into_inner).push(plan.join("\n"));
        }
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, values).await?)
    }

    pub(crate) async fn query_opt(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    /// Runs statements without values, such as those of a savepoint.
    pub(crate) async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.client()?.batch_execute(sql).await?)
    }

    pub(crate) fn id(&self) -> &Uuid {
        self.tenant.as_uuid()
    }

    fn client(&self) -> Result<&Client, StoreError> {
        self.client.as_ref().ok_or_else(|| StoreError::Refused(Fault::new("already committed")))
    }
}

impl Drop for TenantTx {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else {
            return;
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    if client.batch_execute("ROLLBACK").await.is_err() {
                        // It must not go back to the pool with a transaction open.
                        drop(Client::take(client));
                    }
                });
            }
            Err(_) => drop(Client::take(client)),
        }
    }
}

/// The URLs that may be right at this moment, the likeliest first.
type Urls = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Connects with the URL of the moment.
struct Following<T> {
    urls: Urls,
    tls: T,
}

impl<T> Connect for Following<T>
where
    T: MakeTlsConnect<Socket> + Clone + Sync + Send + 'static,
    T::Stream: Sync + Send,
    T::TlsConnect: Sync + Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<Connected, tokio_postgres::Error>> {
        let mut configs: Vec<Config> =
            (self.urls)().iter().filter_map(|url| read_url(url).ok()).collect();
        if configs.is_empty() {
            configs.push(config.clone());
        }
        let with = ConfigConnectImpl { tls: self.tls.clone() };
        Box::pin(async move {
            let last = configs.len() - 1;
            for config in &configs[..last] {
                match with.connect(config).await {
                    Err(error) if is_refused_login(&error) => {}
                    connected => return connected,
                }
            }
            with.connect(&configs[last]).await
        })
    }
}

type Connected = (tokio_postgres::Client, tokio::task::JoinHandle<()>);

fn is_refused_login(error: &tokio_postgres::Error) -> bool {
    [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION]
        .iter()
        .any(|refused| error.code() == Some(refused))
}

fn pool(urls: &Urls, size: usize) -> anyhow::Result<Pool> {
    let first = urls().into_iter().next().unwrap_or_default();
    let config = read_url(&first)?;
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match config.get_ssl_mode() {
        SslMode::Require => {
            let following = Following { urls: urls.clone(), tls: tls()? };
            Manager::from_connect(config, following, recycling)
        }
        _ => {
            let following = Following { urls: urls.clone(), tls: NoTls };
            Manager::from_connect(config, following, recycling)
        }
    };
    Ok(Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(Duration::from_secs(WAIT_FOR_CONNECTION_S)))
        .create_timeout(Some(Duration::from_secs(CONNECT_S)))
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move {
                let answers = client.simple_query(SESSION).await.map_err(HookError::Backend)?;
                if security_is_active(&answers) {
                    Ok(())
                } else {
                    Err(HookError::message("row-level security does not apply to this login"))
                }
            })
        }))
        .build()?)
}

/// Reads a URL, naming nothing of it in the error: it holds a password.
pub(crate) fn read_url(database_url: &str) -> anyhow::Result<Config> {
    let mut config: Config = database_url
        .parse()
        .map_err(|_| anyhow::anyhow!("the database URL cannot be read as a PostgreSQL URL"))?;
    config.connect_timeout(Duration::from_secs(CONNECT_S));
    config.tcp_user_timeout(Duration::from_secs(10));
    config.keepalives_idle(Duration::from_secs(10));
    if config.get_application_name().is_none() {
        config.application_name("switchboard");
    }
    Ok(config)
}

/// TLS that checks the server's certificate against the machine's roots (`SSL_CERT_FILE` for a root
/// of one's own, as RDS has).
pub(crate) fn tls() -> anyhow::Result<MakeRustlsConnect> {
    // Whoever was first decides; everything here uses ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (connector, _unreadable) = MakeRustlsConnect::with_native_certs()
        .map_err(|e| anyhow::anyhow!("find root certificates for TLS to the database: {e:?}"))?;
    Ok(connector)
}

fn security_is_active(answers: &[SimpleQueryMessage]) -> bool {
    answers.iter().any(|a| match a {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
        _ => false,
    })
}

fn pool_error(e: PoolError) -> StoreError {
    match e {
        PoolError::Backend(e) | PoolError::PostCreateHook(HookError::Backend(e)) => {
            match StoreError::from(e) {
                // undefined role or table
                StoreError::Refused(fault)
                    if matches!(fault.sqlstate.as_deref(), Some("22023" | "42P01")) =>
                {
                    StoreError::Refused(Fault::new(format!("it is not migrated: {fault}")))
                }
                // It accepts no connections for now, as while it is restored.
                StoreError::Refused(fault) if fault.sqlstate.as_deref() == Some("55000") => {
                    StoreError::Unavailable(fault)
                }
                other => other,
            }
        }
        PoolError::PostCreateHook(HookError::Message(m)) => StoreError::Refused(Fault::new(m)),
        other => StoreError::Unavailable(Fault::new(other.to_string())),
    }
}
