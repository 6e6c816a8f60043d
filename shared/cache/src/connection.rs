use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use deadpool_redis::redis::{
    RedisResult,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    cmd,
    io::tcp::TcpSettings,
};
use domain::{BoxFuture, Dependency};
use tokio::{
    runtime::{self, Handle},
    sync::OnceCell,
    time::{Instant, timeout},
};

use crate::{CacheError, outage::Outage};

/// How long any operation may take. Well under the 2.5 s after which the caller hears a filler, so
/// that a turn survives one such wait.
pub const OPERATION_TIMEOUT: Duration = Duration::from_millis(500);

/// How often it is tried to connect with other credentials, where those in use are no longer the current ones.
const REPLACE_EVERY: Duration = Duration::from_secs(2);

/// Redis, as a value to clone. Clones share one connection per node and runtime, over which commands
/// are pipelined and which mends itself; one over which nothing comes any more is given up for another. A pool in front of it would ping it before each operation
/// (0.5 ms an operation instead of 0.2 ms, in a development build against a Redis beside it).
#[derive(Clone)]
pub struct Cache {
    shared: Arc<Shared>,
}

struct Shared {
    /// The URLs that may be right at this moment, the likeliest first.
    urls: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    made: Mutex<Arc<Made>>,
    /// Of each runtime, for each has a connection of its own: one that hangs is no outage for the others.
    outages: Mutex<HashMap<runtime::Id, Arc<Outage>>>,
    prefix: String,
}

/// A runtime's connection, once it is made.
type Line = Arc<OnceCell<ClusterConnection>>;

/// What is connected with one URL.
struct Made {
    url: String,
    client: ClusterClient,
    /// Each runtime has its own: what serves a connection runs where it was made, and a question from
    /// another thread would wake that one, and its answer this one.
    lines: Mutex<HashMap<runtime::Id, Line>>,
    /// When it was tried last to make another in its place.
    replaced_at: Mutex<Option<std::time::Instant>>,
}

impl Made {
    fn with(url: String) -> Result<Self, CacheError> {
        // What is asked at once is written one after the other: by Nagle's algorithm the second
        // question would leave when the first is answered.
        // The limits are for what the client asks by itself: where the slots are, whether a node is there.
        let client = ClusterClientBuilder::new([url.as_str()])
            .tcp_settings(TcpSettings::default().set_nodelay(true))
            .connection_timeout(OPERATION_TIMEOUT)
            .response_timeout(OPERATION_TIMEOUT)
            .build()?;
        Ok(Self { url, client, lines: Mutex::default(), replaced_at: Mutex::default() })
    }

    async fn connection(&self) -> Result<(Line, ClusterConnection), CacheError> {
        let line = self.lines().entry(Handle::current().id()).or_default().clone();
        let connect = || self.client.get_async_connection();
        let connection = line.get_or_try_init(connect).await?.clone();
        Ok((line, connection))
    }

    /// Has the next operation connect anew, unless that was done meanwhile.
    fn give_up(&self, line: &Line) {
        let mut lines = self.lines();
        let runtime = Handle::current().id();
        if lines.get(&runtime).is_some_and(|current| Arc::ptr_eq(current, line)) {
            lines.remove(&runtime);
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<runtime::Id, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this caller is to try another in its place: one at a time, now and then.
    fn may_be_replaced(&self, now: std::time::Instant) -> bool {
        let mut last = self.replaced_at.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|at| now.duration_since(at) >= REPLACE_EVERY);
        if may {
            *last = Some(now);
        }
        may
    }
}

impl Shared {
    fn outage(&self) -> Arc<Outage> {
        let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        outages.entry(Handle::current().id()).or_default().clone()
    }

    fn made(&self) -> Arc<Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connection, made anew where another URL is the right one by now (E4). The old one serves while the new
    /// one cannot be had.
    async fn connection(&self) -> Result<(Line, ClusterConnection), CacheError> {
        let made = self.made();
        let urls = (self.urls)();
        let is_current = urls.first().is_none_or(|url| *url == made.url);
        if is_current || !made.may_be_replaced(std::time::Instant::now()) {
            return made.connection().await;
        }
        for url in urls.into_iter().take_while(|url| *url != made.url) {
            let Ok(new) = Made::with(url) else { continue };
            if let Ok(connection) = new.connection().await {
                *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                tracing::info!("connected to Redis with rotated credentials");
                return Ok(connection);
            }
        }
        made.connection().await
    }
}

impl Cache {
    /// Prepares the connection to the cluster of which `redis_url` (`redis://` or `rediss://`, with
    /// user and password where needed) names one node. It is made by the first operation, so that a
    /// service starts, and shows itself as not ready, while Redis is away. Every key begins with
    /// `prefix`.
    ///
    /// # Errors
    /// When the URL is none that Redis understands.
    pub fn connect(redis_url: &str, prefix: &str) -> Result<Self, CacheError> {
        let url = redis_url.to_owned();
        Self::following(move || vec![url.clone()], prefix)
    }

    /// As [`Self::connect`], following the URL while its credentials are rotated: the current one first, then those that
    /// still may be right (E4).
    ///
    /// # Errors
    /// When the first URL is none that Redis understands.
    pub fn following(
        urls: impl Fn() -> Vec<String> + Send + Sync + 'static,
        prefix: &str,
    ) -> Result<Self, CacheError> {
        let first = urls().into_iter().next().unwrap_or_default();
        let shared = Shared {
            made: Mutex::new(Arc::new(Made::with(first)?)),
            urls: Box::new(urls),
            outages: Mutex::default(),
            prefix: prefix.to_owned(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// `p:{tag}` followed by `rest`: all keys of one `tag` lie in one slot.
    pub(crate) fn key(&self, tag: &str, rest: &str) -> String {
        format!("{}:{{{tag}}}{rest}", self.shared.prefix)
    }

    /// Runs one operation within [`OPERATION_TIMEOUT`], connecting first where that is still to do.
    /// In an outage most operations fail without a wait.
    pub(crate) async fn run<T, F, R>(&self, operation: &'static str, f: F) -> Result<T, CacheError>
    where
        F: FnOnce(ClusterConnection) -> R,
        R: Future<Output = RedisResult<T>>,
    {
        let outage = self.shared.outage();
        if outage.may_ask(std::time::Instant::now()) {
            self.ask(operation, &outage, f).await
        } else {
            Err(CacheError::Away)
        }
    }

    async fn ask<T, F, R>(
        &self,
        operation: &'static str,
        outage: &Outage,
        f: F,
    ) -> Result<T, CacheError>
    where
        F: FnOnce(ClusterConnection) -> R,
        R: Future<Output = RedisResult<T>>,
    {
        let begun = Instant::now();
        let mut used = None;
        let asked = async {
            let (line, connection) = self.shared.connection().await?;
            used = Some(line);
            Ok(f(connection).await?)
        };
        let result = match timeout(OPERATION_TIMEOUT, asked).await {
            Ok(done) => done,
            Err(_) => Err(CacheError::TimedOut),
        };
        metrics::histogram!("db_client_operation_duration_seconds", "db_system_name" => "redis",
            "db_operation_name" => operation, "error_type" => error_type(&result))
        .record(begun.elapsed());
        match &result {
            Err(error) if error.is_outage() => {
                let is_lasting = outage.failed(Instant::now().into_std());
                // It may be the connection alone: the client can hang over one that fell without a word.
                if let Some(line) = used.filter(|_| is_lasting) {
                    self.shared.made().give_up(&line);
                }
            }
            _ => outage.answered(),
        }
        result
    }
}

fn error_type<T>(result: &Result<T, CacheError>) -> &'static str {
    match result {
        Ok(_) => "",
        Err(CacheError::TimedOut) => "timeout",
        // The client's own limit is as long as ours.
        Err(CacheError::Redis(error)) if error.is_timeout() => "timeout",
        Err(CacheError::Away) => "away",
        Err(CacheError::Redis(_)) => "refused",
        Err(CacheError::LedgerLost) => "ledger_lost",
    }
}

impl Dependency for Cache {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn is_up(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            // A GET, not a PING: it proves that slots are served, which a node without its cluster
            // does not do.
            let key = self.key("health", "");
            let get = |mut c: ClusterConnection| async move {
                cmd("GET").arg(key).query_async::<Option<String>>(&mut c).await
            };
            self.ask("health", &self.shared.outage(), get).await.is_ok()
        })
    }
}
