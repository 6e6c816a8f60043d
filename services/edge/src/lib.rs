//! `edge`: the border of the mesh (DESIGN 1). Webhooks and media sockets come in here; the real-time half of a call
//! runs here; replies leave here.
//!
//! - [`api`]: REST for front ends and other systems.
//! - [`channel`]: the ways people reach us, one module each.
//! - [`guard`]: who may come in.
//! - [`http`]: the pipeline every webhook goes through.
//! - [`call`]: a phone call while it lasts.
//! - [`consumers`]: the queues `edge` reads.
//! - [`vendor`]: what is measured of requests to vendors.
//!
//! `design.md` beside this crate tells one call and one chat from end to end.

pub mod api;
pub mod call;
pub mod channel;
pub mod config;
pub mod consumers;
pub mod directory;
pub mod guard;
mod handover;
pub mod http;
mod publisher;
mod read_marks;
pub mod vendor;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{App, HttpServer, dev::Server, web};
use anyhow::Context as _;
use api::{Api, ApiSettings, cors::Origins, token::TokenVerifier, twilio::TwilioCalls};
use aws_config::SdkConfig;
use bus::{Bus, BusSettings, Consumer, Handler, Queue, Source};
use cache::Cache;
use call::{
    CallServices, LiveCalls, event_log::EventLogs, prompts::PromptStore, recording::Recordings,
    state::CallStates, token::StreamTokens,
};
use channel::{
    ChannelAdapter,
    email::Ses,
    registry,
    twilio_sms::SmsSettings,
    twilio_voice::{Transfers, TwilioSettings, WrittenReplies},
    whatsapp::WhatsAppSettings,
};
use config::{Config, Credentials};
use consumers::{
    escalations::Escalations,
    live::LiveEvents,
    media::{FILES_AT_ONCE, MediaIn},
    outbound::Outbound,
    own_queue::{AnswerRouter, QueueReady},
};
use directory::Directory;
use domain::Dependency;
use guard::Guard;
use http::Border;
use publisher::Publisher;
use read_marks::ReadMarks;
use socket2::{Domain, Protocol, Socket, Type};
use store::Store;
use tokio::{runtime::Handle, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use vault::FieldKeys;

/// Connections that wait to be accepted: a burst of calls after a deploy.
const LISTEN_BACKLOG: i32 = 1024;
/// How long what calls left to do (events, recordings) may take once the last socket is closed.
const SETTLE_WITHIN: Duration = Duration::from_secs(20);
/// Media sockets are closed that much before the server would cut them, so that Twilio takes the calls elsewhere.
const CUT_MARGIN: Duration = Duration::from_secs(5);
/// Who watches does not notice so little, and events that come together cost one request.
const LIVE_GATHERED_FOR: Duration = Duration::from_millis(250);
const BROKER_RETRY: Duration = Duration::from_secs(1);

/// A running edge task.
pub struct Edge {
    address: SocketAddr,
    server: Server,
    calls: Arc<CallServices>,
    bus: Bus,
    dependencies: Vec<Arc<dyn Dependency>>,
    call_drain: Duration,
    /// Ends with `stop`: takes nothing new.
    shared_work: JoinSet<()>,
    /// Ends when no call is live any more: the mesh answers until then.
    own_queue_work: JoinSet<()>,
    drained: CancellationToken,
}

impl Edge {
    /// Connects the parts, creates this task's queue and begins to listen. Waits for the broker, which is needed for
    /// anything; PostgreSQL and Redis may be away.
    ///
    /// # Errors
    /// When a setting cannot be used, the address is taken, or `stop` comes first.
    pub async fn start(
        config: Config,
        credentials: Credentials,
        aws: &SdkConfig,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        Self::start_with(config, credentials, aws, stop, Vec::new()).await
    }

    /// As [`Edge::start`], with `channels` besides those of the registry.
    ///
    /// # Errors
    /// As [`Edge::start`].
    pub async fn start_with(
        config: Config,
        credentials: Credentials,
        aws: &SdkConfig,
        stop: CancellationToken,
        channels: Vec<Arc<dyn ChannelAdapter>>,
    ) -> anyhow::Result<Self> {
        let listener = listen(config.listen)
            .with_context(|| format!("listen on SB_EDGE_LISTEN {}", config.listen))?;
        let address = listener.local_addr().context("ask for the listening address")?;
        let common = &config.common;
        let cache = Cache::following(credentials.redis_url.clone().follow(), &common.queue_prefix)?;
        let keys = FieldKeys::new(aws_sdk_kms::Client::new(aws), config.kms_key.clone());
        let database_url = credentials.database_url.clone().follow();
        let store = Store::following(database_url, config.database_connections, Arc::new(keys))?;
        let bus = Bus::new(
            aws,
            BusSettings {
                high_throughput: common.high_throughput,
                long_poll: common.long_poll,
                drain: common.drain,
                on_point: boot::crash_point,
                ..BusSettings::new(&common.queue_prefix, &common.s3_bucket)
            },
        );
        let own_queue = own_queue(&bus, &common.task, &stop).await?;
        tracing::info!(%address, queue = own_queue, "edge listens");
        metrics::gauge!("edge_sockets_max").set(f64::from(config.sockets));
        metrics::gauge!("edge_live_calls").set(0.0);
        metrics::gauge!("edge_event_sockets").set(0.0);
        // What must never happen is told as 0: the first time counts as a change.
        metrics::counter!("edge_doubtful_sends_total").increment(0);
        metrics::counter!("edge_call_effects_lost_total").increment(0);
        metrics::counter!("edge_recording_parts_lost_total").increment(0);

        let directory = Arc::new(Directory::default());
        let guard = Arc::new(Guard::new(cache.clone()));
        let states = CallStates::new(cache.clone());
        let tokens = Arc::new(stream_tokens(&credentials));
        let twilio = TwilioSettings {
            public_base_url: config.public_base_url.clone(),
            auth_token: credentials.twilio_auth_token.clone(),
        };
        let whatsapp = WhatsAppSettings {
            api_base_url: config.whatsapp_api_base_url.clone(),
            api_version: config.whatsapp_api_version.clone(),
            messages_per_second: config.whatsapp_messages_per_second,
            access_token: credentials.whatsapp_access_token.clone(),
            app_secret: credentials.whatsapp_app_secret.clone(),
            verify_token: credentials.whatsapp_verify_token.clone(),
        };
        let replies = Arc::new(WrittenReplies::new(cache.clone(), own_queue.clone()));
        let http = reqwest::Client::builder().build().context("build the HTTP client")?;
        let transfers = Transfers::new(
            cache.clone(),
            http.clone(),
            config.twilio_api_base_url.clone(),
            config.twilio_account_sid.clone(),
            twilio.clone(),
        );
        let mut adapters = registry::adapters(registry::Parts {
            directory: directory.clone(),
            http: http.clone(),
            tokens: tokens.clone(),
            calls: states.clone(),
            replies: replies.clone(),
            transfers: transfers.clone(),
            twilio: twilio.clone(),
            sms: SmsSettings {
                api_base_url: config.twilio_api_base_url.clone(),
                account_sid: config.twilio_account_sid.clone(),
            },
            ses: Ses::new(aws, config.ses_base_url.clone(), http.clone()),
            whatsapp,
        });
        adapters.extend(channels);
        let s3 = aws_sdk_s3::config::Builder::from(aws).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(s3);
        let calls = Arc::new(CallServices {
            bus: bus.clone(),
            cache: cache.clone(),
            store: store.clone(),
            guard: guard.clone(),
            directory: directory.clone(),
            tokens,
            twilio,
            stream_signature: config.stream_signature,
            states,
            transfers,
            prompts: Arc::new(PromptStore::default()),
            event_logs: EventLogs::new(config.call_log_dir.clone()),
            recordings: Recordings::new(s3.clone(), common.s3_bucket.clone()),
            live: LiveCalls::default(),
            own_queue: own_queue.clone(),
            runtime: Handle::current(),
            unfinished: TaskTracker::new(),
            stopping: stop.clone(),
            cut: CancellationToken::new(),
        });
        let queue_ready = Arc::new(QueueReady::default());
        let dependencies: Vec<Arc<dyn Dependency>> = vec![
            Arc::new(cache.clone()),
            Arc::new(bus.clone()),
            directory.clone(),
            queue_ready.clone(),
            calls.prompts.clone(),
        ];

        let drained = CancellationToken::new();
        let starts = Arc::new(cache.clone());
        let mut own_queue_work = JoinSet::new();
        let router = Arc::new(AnswerRouter::new(calls.clone(), replies, queue_ready.clone()));
        let consumer =
            Consumer::new(bus.clone(), Source::Task(own_queue.clone()), router, starts.clone());
        own_queue_work.spawn(consumer.run(drained.clone()));
        own_queue_work.spawn(call::takeover::keep_watch(calls.clone(), drained.clone()));

        let mut shared_work = JoinSet::new();
        shared_work.spawn(queue_ready.ping(bus.clone(), own_queue.clone(), stop.clone()));
        shared_work.spawn(directory.clone().keep_fresh(store.clone(), stop.clone()));
        let prompts = calls.prompts.clone();
        shared_work.spawn(prompts.keep_ready(
            directory.clone(),
            bus.clone(),
            own_queue,
            config.prompts_patience,
            stop.clone(),
        ));
        let mut consume = |queue, handler: Arc<dyn Handler>, needs: Arc<dyn Dependency>| {
            if config.consumes.contains(&queue) {
                let source = Source::Shared(queue);
                let mut consumer = Consumer::new(bus.clone(), source, handler, starts.clone());
                consumer = match queue {
                    Queue::Media => consumer.concurrency(FILES_AT_ONCE),
                    Queue::Live => consumer.gathers_for(LIVE_GATHERED_FOR),
                    _ => consumer,
                };
                shared_work.spawn(consumer.depends_on(needs).run(stop.clone()));
            }
        };
        let redis: Arc<dyn Dependency> = Arc::new(cache.clone());
        // A send is recorded in Redis first: without it nothing may leave.
        let outbound = Outbound::new(
            adapters.clone(),
            cache.clone(),
            store.clone(),
            directory.clone(),
            s3.clone(),
        );
        consume(Queue::Outbound, Arc::new(outbound), redis.clone());
        let media = MediaIn {
            adapters: adapters.clone(),
            directory: directory.clone(),
            cache: cache.clone(),
            s3: s3.clone(),
            bucket: common.s3_bucket.clone(),
        };
        consume(Queue::Media, Arc::new(media), redis.clone());
        let escalations = Escalations::new(store.clone(), cache.clone(), directory.clone());
        consume(Queue::Escalations, Arc::new(escalations), Arc::new(store.clone()));
        consume(Queue::Live, Arc::new(LiveEvents::new(cache.clone())), redis);

        let api = web::Data::new(Api {
            store,
            cache: cache.clone(),
            bus: bus.clone(),
            directory,
            twilio: TwilioCalls {
                api_base_url: config.twilio_api_base_url.clone(),
                account_sid: config.twilio_account_sid.clone(),
                auth_token: credentials.twilio_auth_token.clone(),
                public_base_url: config.public_base_url.clone(),
                http,
            },
            s3,
            stopping: stop.clone(),
            guard: guard.clone(),
            proxies: config.trusted_proxies.clone(),
            tokens: token_verifier(&config, &credentials)?,
            origins: Origins::listed(config.cors_origins.clone()),
            dependencies: dependencies.clone(),
            settings: ApiSettings {
                requests_per_minute: config.api_requests_per_minute,
                bucket: common.s3_bucket.clone(),
            },
        });
        let border = web::Data::new(Border {
            adapters,
            guard,
            proxies: config.trusted_proxies.clone(),
            sources: config.vendor_sources.clone(),
            bus: bus.clone(),
            publisher: Publisher::new(bus.clone()),
            read_marks: ReadMarks::new(cache.clone()),
            cache,
            calls: calls.clone(),
            dependencies: dependencies.clone(),
        });
        let server = serve(listener, border, api, config.call_drain)?;
        let call_drain = config.call_drain;
        Ok(Self {
            address,
            server,
            calls,
            bus,
            dependencies,
            call_drain,
            shared_work,
            own_queue_work,
            drained,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `/health` shows.
    pub fn dependencies(&self) -> Vec<Arc<dyn Dependency>> {
        self.dependencies.clone()
    }

    /// Serves until the `stop` given to [`Edge::start`], then drains: no new calls, live ones until their end or the
    /// drain's, then everything they left to do (DESIGN 5).
    ///
    /// # Errors
    /// When the server fails.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let server = self.server.handle();
        let serving = tokio::spawn(self.server);
        self.calls.stopping.cancelled().await;
        let live = self.calls.live.count();
        tracing::info!(live, "edge takes no new calls");
        let (calls, call_drain) = (self.calls.clone(), self.call_drain);
        let cutter = tokio::spawn(async move {
            tokio::time::sleep(call_drain).await;
            calls.cut.cancel();
        });
        server.stop(true).await;
        cutter.abort();
        self.calls.cut.cancel();
        serving.await.context("join the HTTP server")?.context("serve HTTP")?;
        self.calls.unfinished.close();
        if tokio::time::timeout(SETTLE_WITHIN, self.calls.unfinished.wait()).await.is_err() {
            tracing::error!("calls left work undone: events or recordings may be incomplete");
        }
        while self.shared_work.join_next().await.is_some() {}
        self.drained.cancel();
        while self.own_queue_work.join_next().await.is_some() {}
        self.bus.delete_task_queue(&self.calls.own_queue).await
    }
}

/// Listens so that several tasks of one machine share the port, and the kernel deals the calls out among them.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

fn serve(
    listener: TcpListener,
    border: web::Data<Border>,
    api: web::Data<Api>,
    call_drain: Duration,
) -> anyhow::Result<Server> {
    let app = move || {
        App::new()
            .configure(|app| http::routes(app, &border))
            .configure(|app| api::routes(app, &api))
    };
    let server = HttpServer::new(app)
        .disable_signals()
        // A frame of 20 ms does not wait for the acknowledgement of the one before.
        .tcp_nodelay(true)
        .shutdown_timeout((call_drain + CUT_MARGIN).as_secs())
        .listen(listener)
        .context("take over the listening socket")?;
    Ok(server.run())
}

async fn own_queue(bus: &Bus, task: &str, stop: &CancellationToken) -> anyhow::Result<String> {
    loop {
        match bus.create_task_queue(task).await {
            Ok(name) => return Ok(name),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "own queue not created, trying again")
            }
        }
        tokio::select! {
            () = stop.cancelled() => anyhow::bail!("told to stop before the broker answered"),
            () = tokio::time::sleep(BROKER_RETRY) => {}
        }
    }
}

fn stream_tokens(credentials: &Credentials) -> StreamTokens {
    match credentials.stream_token_key.clone() {
        Some(key) => StreamTokens::following(move || {
            key.accepted().iter().map(|k| k.reveal().as_bytes().to_vec()).collect()
        }),
        None => {
            let token = credentials.twilio_auth_token.clone();
            StreamTokens::following(move || {
                token.accepted().iter().map(|t| StreamTokens::derived_key(t.reveal())).collect()
            })
        }
    }
}

fn token_verifier(config: &Config, credentials: &Credentials) -> anyhow::Result<TokenVerifier> {
    let issuer = config.jwt_issuer.clone();
    if credentials.jwt_keys.is_some() && issuer.is_none() {
        anyhow::bail!("SB_JWT_KEYS is set, so SB_JWT_ISSUER must be as well");
    }
    let audience = config.jwt_audience.clone();
    TokenVerifier::new(credentials.jwt_keys.clone(), issuer.unwrap_or_default(), audience)
}
