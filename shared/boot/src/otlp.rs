//! Spans for a collector, as OpenTelemetry's protocol carries them (OTLP over HTTP, in JSON), where
//! `OTEL_EXPORTER_OTLP_ENDPOINT` names one; without it nothing is made and nothing is sent.
//!
//! A span of the target [`TARGET`] is exported; logs do not show it. Its fields are the attributes, but for these:
//! `otel.name`, `otel.kind` (`producer`, `consumer`; else internal), `otel.trace` (the W3C trace context the span itself is),
//! `otel.parent` (the span id of its parent), `otel.links` (trace contexts, with blanks between them), `otel.error` (it
//! failed) and `otel.start_us`, `otel.end_us` (Unix microseconds, where the span tells of what was).
//!
//! Rejected: the `opentelemetry` crates, which bring a second runtime of exporters for what is one POST a second here.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use domain::Timestamp;
use serde_json::{Map, Value, json};
use tokio::{sync::mpsc, time::Instant};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer, registry::LookupSpan};

use crate::Environment;

/// The target of spans that are exported; whoever makes one writes it out.
pub(crate) const TARGET: &str = "otlp";

/// Spans that wait to be sent; beyond them new ones are dropped and counted.
const WAITING: usize = 8_192;
/// Spans in one request.
const BATCH: usize = 512;
const SEND_EVERY: Duration = Duration::from_secs(1);
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Collector {
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or the general one with `/v1/traces`.
    url: String,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: `name=value`, with commas between them.
    headers: Vec<(String, String)>,
}

impl Collector {
    /// What the environment names.
    pub(crate) fn of(env: &Environment) -> Option<Self> {
        let named = |name: &str| env.get(name).filter(|value| !value.trim().is_empty());
        let own = named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(str::to_owned);
        let url = own.or_else(|| {
            let base = named("OTEL_EXPORTER_OTLP_ENDPOINT")?;
            Some(format!("{}/v1/traces", base.trim_end_matches('/')))
        })?;
        let headers = named("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
        let headers = headers.split(',').filter_map(|header| header.split_once('='));
        let headers =
            headers.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        Some(Self { url, headers: headers.collect() })
    }

    /// Begins to send what the layer gives, until the process ends. Needs a runtime.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn start(self, resource: &[(&str, &str)]) -> anyhow::Result<Exporter> {
        let http = reqwest::Client::builder()
            .timeout(SEND_TIMEOUT)
            .build()
            .context("prepare an HTTP client for spans")?;
        let (spans, finished) = mpsc::channel(WAITING);
        let resource = resource.iter().map(|(name, value)| attribute(name, json!(value))).collect();
        tokio::spawn(send_all(http, self, resource, finished));
        Ok(Exporter { spans })
    }
}

/// The layer that sees the spans.
pub(crate) struct Exporter {
    spans: mpsc::Sender<Value>,
}

/// A span while it lasts.
struct Open {
    began: SystemTime,
    fields: Fields,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Exporter {
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: layer::Context<'_, S>,
    ) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(Open { began: Timestamp::now().into(), fields });
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: layer::Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: span::Id, context: layer::Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        let Some(finished) = open.finish(span.name()) else { return };
        if self.spans.try_send(finished).is_err() {
            metrics::counter!("telemetry_spans_dropped_total").increment(1);
        }
    }
}

impl Open {
    /// As the protocol has it; none without a trace.
    fn finish(self, name: &str) -> Option<Value> {
        let Fields { mut special, attributes } = self.fields;
        let mut text = |name: &str| match special.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let own = text("otel.trace")?;
        let (trace, id) = context_of(&own)?;
        let kind = match text("otel.kind").as_deref() {
            Some("producer") => 4,
            Some("consumer") => 5,
            _ => 1,
        };
        let links = text("otel.links").unwrap_or_default();
        let links: Vec<Value> = links
            .split_whitespace()
            .filter_map(context_of)
            .map(|(trace, id)| json!({"traceId": trace, "spanId": id}))
            .collect();
        let mut made = json!({
            "traceId": trace,
            "spanId": id,
            "name": text("otel.name").unwrap_or_else(|| name.to_owned()),
            "kind": kind,
            "attributes": attributes,
            "links": links,
        });
        if let Some(parent) = text("otel.parent").filter(|parent| !parent.is_empty()) {
            made["parentSpanId"] = json!(parent);
        }
        // 2 is an error; a span that went well has no status of its own.
        if let Some(error) = text("otel.error").filter(|error| !error.is_empty()) {
            made["status"] = json!({"code": 2, "message": error});
        }
        let at = |told: Option<Value>, usual: SystemTime| match told.and_then(|us| us.as_u64()) {
            Some(us) => us.saturating_mul(1_000).to_string(),
            None => nanoseconds(usual),
        };
        made["startTimeUnixNano"] = json!(at(special.remove("otel.start_us"), self.began));
        made["endTimeUnixNano"] = json!(at(special.remove("otel.end_us"), Timestamp::now().into()));
        Some(made)
    }
}

/// The hexadecimal ids of trace and span in a W3C trace context.
fn context_of(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split('-').skip(1);
    let (trace, span) = (parts.next()?, parts.next()?);
    (trace.len() == 32 && span.len() == 16).then_some((trace, span))
}

fn nanoseconds(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[derive(Default)]
struct Fields {
    /// Those whose names begin with `otel.`.
    special: Map<String, Value>,
    attributes: Vec<Value>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        if field.name().starts_with("otel.") {
            self.special.insert(field.name().to_owned(), value);
            return;
        }
        self.attributes.push(attribute(field.name(), value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, json!(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, json!(value));
    }
}

fn attribute(name: &str, value: Value) -> Value {
    let value = match value {
        Value::Bool(value) => json!({"boolValue": value}),
        // Whole numbers are texts in this protocol's JSON.
        Value::Number(number) if !number.is_f64() => json!({"intValue": number.to_string()}),
        Value::Number(number) => json!({"doubleValue": number}),
        Value::String(text) => json!({"stringValue": text}),
        other => json!({"stringValue": other.to_string()}),
    };
    json!({"key": name, "value": value})
}

async fn send_all(
    http: reqwest::Client,
    collector: Collector,
    resource: Vec<Value>,
    mut finished: mpsc::Receiver<Value>,
) {
    let mut was_taken = true;
    loop {
        let mut spans = Vec::new();
        if finished.recv_many(&mut spans, BATCH).await == 0 {
            return;
        }
        // What comes in the same second goes along.
        let due = Instant::now() + SEND_EVERY;
        while spans.len() < BATCH {
            match tokio::time::timeout_at(due, finished.recv()).await {
                Ok(Some(span)) => spans.push(span),
                Ok(None) | Err(_) => break,
            }
        }
        let count = spans.len() as u64;
        let sent = send(&http, &collector, &resource, spans).await;
        if let Err(error) = &sent {
            metrics::counter!("telemetry_spans_dropped_total").increment(count);
            if was_taken {
                let error = format!("{error:#}");
                tracing::warn!(error, kind = "spans_not_taken", "spans are dropped");
            }
        }
        was_taken = sent.is_ok();
    }
}

async fn send(
    http: &reqwest::Client,
    collector: &Collector,
    resource: &[Value],
    spans: Vec<Value>,
) -> anyhow::Result<()> {
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": {"name": "switchboard"}, "spans": spans}],
    }]});
    let mut request = http.post(&collector.url).json(&body);
    for (name, value) in &collector.headers {
        request = request.header(name, value);
    }
    let answer = request.send().await.map_err(reqwest::Error::without_url);
    let answer = answer.context("send spans to the collector")?;
    anyhow::ensure!(answer.status().is_success(), "the collector answers {}", answer.status());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tracing_subscriber::layer::SubscriberExt as _;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// A collector that takes one request.
    async fn taken(listener: TcpListener) -> (String, Value) {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        loop {
            client.read_buf(&mut bytes).await.unwrap();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Ok(body) = serde_json::from_str(body)
            {
                client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
                return (head.to_owned(), body);
            }
        }
    }

    #[test]
    fn without_a_collector_nothing_is_exported() {
        assert_eq!(Collector::of(&environment(&[])), None);
        assert_eq!(Collector::of(&environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")])), None);
    }

    #[test]
    fn the_endpoint_of_traces_wins_over_the_general_one() {
        let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");
        let collector = Collector::of(&environment(&[general])).unwrap();
        assert_eq!(collector.url, "http://c:4318/v1/traces");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://d/x");
        assert_eq!(Collector::of(&environment(&[general, own])).unwrap().url, "http://d/x");
    }

    #[tokio::test]
    async fn a_collector_gets_spans_with_parents_links_and_times_and_logs_do_not() {
        crate::install_tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let env = environment(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key = secret"),
        ]);
        let exporter = Collector::of(&env).unwrap().start(&[("service.name", "edge")]).unwrap();
        let only_ours = tracing_subscriber::filter::filter_fn(|of| of.target() == TARGET);
        let subscriber = tracing_subscriber::registry().with(exporter.with_filter(only_ours));
        tracing::subscriber::with_default(subscriber, || {
            let _other = tracing::info_span!("not exported");
            let span = tracing::info_span!(target: "otlp", "process",
                otel.name = "process writer", otel.kind = "consumer",
                otel.trace = format!("00-{TRACE}-b7ad6b7169203331-01"),
                otel.parent = "00f067aa0ba902b7",
                otel.links = format!("00-{TRACE}-00f067aa0ba902b8-01"),
                otel.error = tracing::field::Empty, turn = 3_u64);
            span.record("otel.error", "retry");
            drop(span);
            drop(tracing::info_span!(target: "otlp", "turn",
                otel.trace = format!("00-{TRACE}-b7ad6b7169203332-01"),
                otel.start_us = 1_000_000_u64, otel.end_us = 3_000_000_u64));
        });
        let (head, body) = taken(listener).await;
        assert!(head.starts_with("POST /v1/traces ") && head.contains("x-key: secret"), "{head}");
        let of = &body["resourceSpans"][0];
        assert_eq!(of["resource"]["attributes"][0]["value"]["stringValue"], "edge");
        let spans = of["scopeSpans"][0]["spans"].as_array().unwrap();
        assert_eq!(spans.len(), 2, "{body:#}");
        let process = &spans[0];
        assert_eq!((&process["traceId"], &process["kind"]), (&json!(TRACE), &json!(5)));
        assert_eq!(process["name"], "process writer");
        assert_eq!(process["parentSpanId"], "00f067aa0ba902b7");
        assert_eq!(process["links"][0]["spanId"], "00f067aa0ba902b8");
        assert_eq!(process["status"]["message"], "retry");
        assert_eq!(process["attributes"], json!([{"key": "turn", "value": {"intValue": "3"}}]));
        assert_eq!(spans[1]["startTimeUnixNano"], "1000000000");
        assert_eq!(spans[1]["endTimeUnixNano"], "3000000000");
    }
}
