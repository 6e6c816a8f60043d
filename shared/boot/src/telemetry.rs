use std::io::IsTerminal as _;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    Environment,
    otlp::{self, Collector},
};

/// Seconds. Fine where a hop of the mesh lies (1 to 20 ms), coarse up to the 10 s after which a turn
/// is given up.
const LATENCY_BUCKETS_SECONDS: &[f64] = &[
    0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024, 0.032, 0.05, 0.075, 0.1, 0.15, 0.25,
    0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0,
];

/// Seconds. What waits in a queue may wait for long.
const LAG_BUCKETS_SECONDS: &[f64] = &[
    0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0, 3_600.0,
];

/// Events; a batch has up to 32.
const BATCH_BUCKETS_EVENTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// The running telemetry of a process.
#[derive(Clone)]
pub struct Telemetry {
    metrics: PrometheusHandle,
}

impl Telemetry {
    /// The metrics in Prometheus text form.
    pub fn render_metrics(&self) -> String {
        self.metrics.run_upkeep();
        self.metrics.render()
    }
}

/// Starts logs and metrics of `service`. Logs go to standard output: JSON lines, or readable ones
/// where that is a terminal or `SB_LOG_FORMAT=text`; `SB_LOG` filters them (default `info`). Spans go
/// to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, if one does.
///
/// # Errors
/// When `SB_LOG` is not a filter, or telemetry was started before.
pub fn init_telemetry(service: &'static str, env: &Environment) -> anyhow::Result<Telemetry> {
    crate::install_tls();
    crate::crash::name_service(service);
    let filter = EnvFilter::try_new(env.get("SB_LOG").unwrap_or("info")).context("read SB_LOG")?;
    let text = match env.get("SB_LOG_FORMAT") {
        Some(format) => format == "text",
        None => std::io::stdout().is_terminal(),
    };
    // Who tells, by the names of OpenTelemetry's resource.
    let task =
        env.get("SB_TASK").map_or_else(|| crate::settings::task_name(service), str::to_owned);
    let resource = [
        ("service.name", service),
        ("service.instance.id", task.as_str()),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let exporter = Collector::of(env).map(|collector| collector.start(&resource)).transpose()?;
    let layer = tracing_subscriber::fmt::layer();
    let filter = filter.and(filter_fn(|of| of.target() != otlp::TARGET));
    let logged = if text {
        let layer = layer.with_target(false).with_ansi(std::io::stdout().is_terminal());
        layer.with_filter(filter).boxed()
    } else {
        layer.json().flatten_event(true).with_current_span(true).with_filter(filter).boxed()
    };
    let exported = exporter.map(|exporter| {
        exporter.with_filter(filter_fn(|of| of.is_span() && of.target() == otlp::TARGET)).boxed()
    });
    let layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> =
        [Some(logged), exported].into_iter().flatten().collect();
    tracing_subscriber::registry().with(layers).try_init().context("start logging")?;
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), LATENCY_BUCKETS_SECONDS)
        .context("set latency buckets")?
        .set_buckets_for_metric(Matcher::Suffix("_lag_seconds".into()), LAG_BUCKETS_SECONDS)
        .context("set lag buckets")?
        .set_buckets_for_metric(Matcher::Suffix("_batch_events".into()), BATCH_BUCKETS_EVENTS)
        .context("set batch buckets")?
        .add_global_label("service", service)
        .install_recorder()
        .context("start metrics")?;
    metrics::gauge!("target_info", "service_name" => service, "service_instance_id" => task,
        "service_version" => env!("CARGO_PKG_VERSION"))
    .set(1.0);
    Ok(Telemetry { metrics })
}
