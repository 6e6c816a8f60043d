use std::{net::SocketAddr, sync::Arc};

use actix_web::{App, HttpResponse, HttpServer, Responder, web};
use anyhow::Context as _;
use domain::Dependency;
use futures::future::join_all;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Telemetry;

struct Ops {
    telemetry: Telemetry,
    dependencies: Vec<Arc<dyn Dependency>>,
}

/// Serves `/metrics`, `/health` (ready: 503 with the culprit while a dependency is down) and
/// `/healthz` (alive) until `stop` (DESIGN 9).
///
/// # Errors
/// When the address cannot be bound.
pub fn serve_ops(
    listen: SocketAddr,
    telemetry: &Telemetry,
    dependencies: Vec<Arc<dyn Dependency>>,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let ops = web::Data::new(Ops { telemetry: telemetry.clone(), dependencies });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(ops.clone())
            .route("/metrics", web::get().to(metrics))
            .route("/health", web::get().to(ready))
            .route("/healthz", web::get().to(alive))
    })
    .workers(1)
    .disable_signals()
    .bind(listen)
    .with_context(|| format!("listen on SB_OPS_LISTEN {listen}"))?
    .run();
    let handle = server.handle();
    tokio::spawn(async move {
        stop.cancelled().await;
        handle.stop(true).await;
    });
    Ok(tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "ops server ended");
        }
    }))
}

async fn metrics(ops: web::Data<Ops>) -> impl Responder {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(ops.telemetry.render_metrics())
}

async fn alive() -> impl Responder {
    HttpResponse::Ok().json(json!({"status": "alive"}))
}

async fn ready(ops: web::Data<Ops>) -> HttpResponse {
    health_response(&ops.dependencies).await
}

/// The answer of `GET /health`: each dependency by name, 503 while one is down.
pub async fn health_response(dependencies: &[Arc<dyn Dependency>]) -> HttpResponse {
    let states = join_all(dependencies.iter().map(|d| async { (d.name(), d.is_up().await) })).await;
    let all_up = states.iter().all(|(_, up)| *up);
    let detail: Map<String, Value> = states
        .into_iter()
        .map(|(name, up)| (name.to_owned(), json!(if up { "up" } else { "down" })))
        .collect();
    let body =
        json!({"status": if all_up { "ready" } else { "not ready" }, "dependencies": detail});
    if all_up {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}
